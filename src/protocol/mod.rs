//! The wire: frames, the table of APIs, Produce and Fetch by hand, every other message through the kafka-protocol crate.
//!
//! **Owns:** the bytes of requests and replies. [`frame`] finds a request in a stream and reads its header, [`api`] says
//! which keys and versions exist and which of them this broker serves, [`produce`] and [`fetch`] are the two hot
//! messages, read and written without touching a record byte, [`message`] guards the generated codecs of all others
//! against hostile lengths, [`api_versions`] writes the first reply of every connection, [`client`] is the other
//! side (requests out, replies in).
//!
//! **Never:** reads a socket, waits, looks into a record batch, or decides what an answer is.
//!
//! **Start reading at** [`frame`], then [`produce`].

pub mod api;
pub mod api_versions;
pub mod client;
pub mod fetch;
pub mod frame;
pub mod message;
pub mod offset_ids;
pub mod primitives;
pub mod produce;
pub mod topic;
pub mod txn_markers;

mod guard;

pub use kafka_protocol::messages;
pub use kafka_protocol::protocol::StrBytes;

#[cfg(test)]
mod tests;
