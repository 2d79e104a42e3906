//! The broker as a process, over real TCP and the real backend.
#![allow(clippy::unwrap_used, reason = "a test ends where its expectations do")]
#![allow(clippy::disallowed_methods, reason = "a test has no reactor whose clock it could read or that it could block")]

mod admin;
mod client;
mod consume;
mod corruption;
mod damage;
mod dump;
mod groups;
mod load;
mod offsets;
mod process;
mod produce;
mod program;
mod segments;
mod transactions;
mod wire;
