//! Groups of the consumer protocol (KIP-848): members send heartbeats, the broker assigns, and only what moves is given up.
//!
//! **Owns:** the state of one consumer group and the rules of each request. A decision looks at the group and gives records; the
//! group changes when they are replayed. Only sessions and other deadlines change at once.
//!
//! **Never:** waits for a member: each heartbeat is answered as things stand.
//!
//! **Start reading at** [`group`], then [`heartbeat`], [`target`] and [`reconcile`].

pub mod assignor;
pub mod classic_member;
pub mod describe;
pub mod due;
pub mod group;
pub mod heartbeat;
pub mod leave;
pub mod member;
pub mod plan;
pub mod reconcile;
pub mod regex;
pub mod replay;
pub mod subscription;
pub mod target;

#[cfg(test)]
mod tests;
