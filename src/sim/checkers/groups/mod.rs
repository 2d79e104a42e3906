//! What groups promise, one file a promise.
//!
//! **Owns:** the model of who may believe to own a partition, of who speaks for a group, and of committed offsets.
//!
//! **Never:** knows more than members were told.
//!
//! **Start reading at** [`ownership`].

pub mod commits;
pub mod fences;
pub mod ownership;
