//! What transactions promise, one file a promise.
//!
//! **Owns:** what may be visible of a transaction, when, and together with what.
//!
//! **Never:** knows more than producers and consumers were told.
//!
//! **Start reading at** [`outcomes`].

pub mod bank;
pub mod copies;
pub mod outcomes;
pub mod stability;
pub mod zombies;
