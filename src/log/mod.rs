//! The log: bytes, offsets and leader epochs of partitions on this disk.
//!
//! **Owns:** the reactor's write-ahead [`journal`] and its group commit, direct runs ([`run`]), write-back to Kafka-format
//! segments ([`write_back`]), the [`checkpoint`], [`recovery`], the [`tail`] that consumers read from memory, reads of
//! what is on disk ([`reader`]), the sparse indexes, and the names of all files ([`directory`]).
//!
//! **Never:** knows producers, replicas or clients; an owner's state rides in the checkpoint as bytes ([`owner::Owner`]).
//!
//! **Start reading at** [`log`] for an append, [`reader`] for a read, [`storage`] for what ties them together.

pub mod checkpoint;
pub mod config;
mod context;
pub mod corrupt;
pub mod directory;
pub mod group;
mod group_reader;
pub mod journal;
pub mod journal_file;
pub mod leader_epochs;
#[allow(clippy::module_inception, reason = "the log of a partition is what this module is about")]
pub mod log;
pub mod offset_index;
pub mod owner;
pub mod reader;
pub mod recovery;
mod reservation;
pub mod run;
pub mod segment;
pub mod space;
pub mod stats;
pub mod storage;
mod sweep;
pub mod tail;
pub mod time_index;
pub mod truncate;
pub mod warm;
mod write_back;

pub use config::{Precedence, Steps, StorageConfig};
pub use log::{AppendError, Log, LogSettings, Placed};
pub use reader::{Piece, ReadError};
pub use storage::Storage;

#[cfg(test)]
mod golden;
