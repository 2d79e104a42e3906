//! Kafka's record batch, format version 2 (magic 2, KIP-98): bytes to facts and back.
//!
//! **Owns:** the batch header read and patched in place ([`batch`]), its CRC-32C in the same pass as its copy
//! ([`crc`]), what a producer may send ([`mod@validate`]) and what a disk may give back ([`validate::check_stored`]),
//! the walk over batches, records and headers ([`walk`]), exact timestamp lookup ([`timestamp`]), writing batches
//! ([`build`]), control records ([`control`]) and the four codecs under a bound ([`compress`]).
//!
//! **Never:** does I/O, reads a clock (the wall clock is an argument), keeps state between calls, or panics on bytes
//! that a client or a disk gave: those are refused with a [`ClientError`](crate::model::error_code::ClientError) or
//! told as a [`corruption::Corruption`].
//!
//! **Start reading at** [`batch`], then [`mod@validate`].

pub mod batch;
pub mod build;
pub mod compress;
pub mod control;
pub mod corruption;
pub mod crc;
pub mod timestamp;
pub mod validate;
mod varint;
pub mod walk;

pub use batch::{BatchHeader, HEADER_BYTES, LENGTH_PREFIX_BYTES, TimestampType};
pub use build::BatchBuilder;
pub use compress::Compression;
pub use corruption::Corruption;
pub use timestamp::{offset_for_timestamp, record_of_max_timestamp};
pub use validate::{Checked, Rules, check_stored, validate, verify_crc};
pub use walk::{Record, batches, records};

#[cfg(test)]
mod tests;
