//! The requests about membership, each given to the group it is about, whichever protocol that has.
//!
//! **Owns:** which rule answers a request: of the classic protocol, of the consumer protocol, or of the change from one to the
//! other.
//!
//! **Never:** knows a rule of either protocol.
//!
//! **Start reading at** [`heartbeat`] for the consumer protocol, [`join`] for the classic one.

pub mod admin;
pub mod fencing;
pub mod heartbeat;
pub mod join;
pub mod leave;
pub mod sync;
pub mod time;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
