//! The broker process.
//!
//! **Owns:** what the process is configured with ([`config`]).
//!
//! **Never:** reads a file, the environment or the command line itself.
//!
//! **Start reading at** [`config`].

pub mod config;
