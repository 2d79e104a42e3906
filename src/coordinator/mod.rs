//! Coordinators: the state machines of consumer groups and of transactions, and the shell that makes what they decide
//! durable.
//!
//! Each partition of an internal topic (`__consumer_offsets`, `__transaction_state`) has one coordinator, on the reactor
//! that hosts the partition. It holds the state that the partition's records replay into. A decision is a plain
//! function ([`machine::Machine::decide`]) from state and input to effects: records to append, and replies to release once those are
//! durable. The shell ([`runtime`]) appends the records, replays them into the machine at once, in the order of the log, and
//! releases the replies when the log has made them durable; a reply that needs no record still waits for what was decided
//! before it, so nobody is ever told of a state that a crash could take back.
//!
//! **Owns:** the contract between machine and shell ([`machine`]), the shell, the machines of groups and of transactions, the
//! formats of their records (Kafka's own).
//!
//! **Never:** sees a connection, a reactor other than its own, or a segment. The machines contain no `async`, read no clock and
//! draw no random numbers: time, randomness and the cluster's image come in with each call.
//!
//! **Start reading at** [`machine`], then [`runtime`].

pub mod group;
pub mod machine;
pub mod partition;
pub mod record;
pub mod runtime;
pub mod transaction;
