//! Transactions: which producer a transactional id stands for, which partitions its transaction has touched, and how it
//! ends (KIP-98, KIP-360, KIP-890).
//!
//! A decision to commit or to abort is a record of `__transaction_state`. It is durable before the client is told and
//! before the first marker is written; markers are written until each partition has its own, by whoever takes them from the
//! machine ([`Input::TakeMarkers`](machine::Input::TakeMarkers)), and a last record says that all are there. A crash at any
//! point leaves either no decision, and the transaction is aborted when its time is over, or one, and then its markers are
//! written after the start.
//!
//! **Owns:** the state machine of one partition of `__transaction_state` ([`machine`]), what it remembers of a transactional
//! id ([`state`]), the rules of each request ([`begin`], [`enlist`], [`end`]), time ([`timing`]), markers under way
//! ([`markers`]), what administrators see ([`describe`]), Kafka's records ([`record`]).
//!
//! **Never:** waits, reads a clock, draws random numbers, or writes a marker itself.
//!
//! **Start reading at** [`state`], then [`machine`].
#![doc = ""]
#![doc = include_str!("../../DELIVERY.md")]

pub mod begin;
pub mod describe;
pub mod end;
pub mod enlist;
pub mod machine;
pub mod markers;
pub mod record;
pub mod state;
pub mod timing;

#[cfg(test)]
mod tests;
