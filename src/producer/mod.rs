//! Idempotence and transactions of one partition: which batch may be appended, which was appended before, which
//! transactions are open, and how that state is written down.
//!
//! **Owns:** the last batches of each producer ([`state`]), the arithmetic of sequence numbers ([`sequence`]), the
//! verification of a transaction's first append ([`verification`]), open transactions and the last stable offset
//! ([`transactions`]), aborted transactions ([`transaction_index`]), Kafka's `.snapshot` file ([`snapshot`]) and the
//! lossless encoding that checkpoints carry ([`kept`], [`exact`]).
//!
//! **Never:** reads a clock, a file or a batch; awaits anything. Facts about a batch come in as plain numbers.
//!
//! **Start reading at** [`state`].

pub mod corrupt;
pub mod entry;
pub mod exact;
pub mod kept;
pub mod sequence;
pub mod snapshot;
pub mod state;
pub mod transaction_index;
pub mod transactions;
pub mod verification;

#[cfg(test)]
mod golden;
