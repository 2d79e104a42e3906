#![doc = include_str!("ARCHITECTURE.md")]

pub mod base;
pub mod broker;
pub mod io;
pub mod metadata;
pub mod model;
