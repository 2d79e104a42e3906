//! Foundations that know neither Kafka nor I/O.
//!
//! **Owns:** aligned, pooled, counted memory ([`block`]: the one buffer type of the broker), bounded queues
//! ([`bounded`]), split random streams ([`prng`]), hash maps whose order never depends on the process ([`map`]),
//! sizes ([`units`]) and points in time ([`time`]), local one-shot cells ([`oneshot`]) and turns ([`turnstile`]).
//!
//! **Never:** reads a clock, touches a file or a socket, or names a Kafka noun.
//!
//! **Start reading at** [`block`].

pub mod block;
pub mod bounded;
pub mod map;
pub mod oneshot;
pub mod prng;
pub mod time;
pub mod turnstile;
pub mod units;
