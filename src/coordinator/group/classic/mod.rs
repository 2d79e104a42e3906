//! Groups of the classic protocol: members join, the leader assigns, all synchronise, heartbeats keep them in.
//!
//! **Owns:** the state of one classic group and the rules of each request. What is durable is the group's record
//! ([`stored`]), written when the leader has assigned and when the group is left empty; who waits and which timers run is not.
//!
//! **Never:** looks into members' metadata, but for the topics that consumers subscribe to.
//!
//! **Start reading at** [`group`], then [`join`] and [`rebalance`].

pub mod due;
pub mod group;
pub mod heartbeat;
pub mod join;
pub mod leave;
pub mod protocols;
pub mod rebalance;
pub mod stored;
pub mod sync;

#[cfg(test)]
mod tests;
