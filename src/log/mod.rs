//! The log of one partition: bytes, offsets and leader epochs on this disk.
//!
//! **Owns:** the maps from offsets ([`offset_index`]) and timestamps ([`time_index`]) to positions in a segment, and the
//! history of leader epochs ([`leader_epochs`]), each in the format of Kafka's files.
//!
//! **Never:** knows producers, replicas or clients.
//!
//! **Start reading at** [`offset_index`].

pub mod corrupt;
pub mod leader_epochs;
pub mod offset_index;
pub mod time_index;

#[cfg(test)]
mod golden;
