//! Transactions: which partitions a producer's transaction has touched, and how it ends.
//!
//! **Owns:** the state machine of one partition of `__transaction_state` ([`machine`]).
//!
//! **Never:** waits, reads a clock or draws random numbers.
//!
//! **Start reading at** [`machine`].

pub mod machine;
