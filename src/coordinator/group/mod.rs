//! Groups: who consumes what together, and how far they have come.
//!
//! **Owns:** the state machine of one partition of `__consumer_offsets` ([`machine`]), committed offsets ([`offsets`]), the
//! configuration that they follow ([`config`]), the formats of their records.
//!
//! **Never:** waits, reads a clock or draws random numbers.
//!
//! **Start reading at** [`machine`], then [`offsets`].

pub mod config;
pub mod machine;
pub mod offset_record;
pub mod offsets;

#[cfg(test)]
mod tests;
