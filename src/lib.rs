#![doc = include_str!("ARCHITECTURE.md")]

pub mod base;
pub mod broker;
pub mod coordinator;
pub mod io;
pub mod log;
pub mod metadata;
pub mod model;
pub mod producer;
pub mod protocol;
pub mod record;
pub mod shard;
pub mod sim;
