//! Kafka's nouns as types: ids, offsets, epochs and error codes.
//!
//! **Owns:** the meaning and the range of each number that stands in a protocol field, a file name or a record.
//!
//! **Never:** contains behaviour beyond comparing, printing and checking such numbers.
//!
//! **Start reading at** [`offset`] and [`error_code`].

pub mod error_code;
pub mod ids;
pub mod offset;
