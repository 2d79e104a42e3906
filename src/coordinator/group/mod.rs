//! Groups: who consumes what together, and how far they have come.
//!
//! **Owns:** the state machine of one partition of `__consumer_offsets` ([`machine`]): its groups ([`groups`]), the rules of
//! both protocols ([`classic`], [`consumer`]) and of the change between them ([`migration`]), committed offsets
//! ([`offsets`]), the configuration that they follow ([`config`], [`settings`]), the formats of their records.
//!
//! **Never:** waits, reads a clock or draws random numbers.
//!
//! **Start reading at** [`machine`], then [`membership`] and [`offsets`].

pub mod classic;
pub mod config;
pub mod consumer;
pub mod consumer_protocol;
pub mod groups;
pub mod history;
pub mod machine;
pub mod membership;
pub mod migration;
pub mod offset_record;
pub mod offsets;
pub mod records;
pub mod request;
pub mod settings;
pub mod topic_hash;

#[cfg(test)]
mod retention_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
