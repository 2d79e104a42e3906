//! Sockets in, replies out: connections, handlers, and the wiring of a process.
//!
//! **Owns:** the connections of a reactor ([`connection`], [`reply`], [`transmit`]), the table from API to handler
//! ([`dispatch`], [`handlers`]), which reactor hosts what and what crosses the mesh ([`route`], [`message`], [`calls`]),
//! fetch sessions ([`fetch_session`]), the controller's shell and the metadata log ([`controller`], [`metadata_log`]),
//! the process's configuration ([`config`]), start and stop ([`startup`]), what is counted ([`stats`]).
//!
//! **Never:** touches a segment or the journal; decides about metadata (that is [`crate::metadata::controller`]'s); holds
//! the bytes of a request longer than it takes to place them.
//!
//! **Start reading at** [`startup`], then [`connection`] and [`handlers::produce`].

pub mod accept;
#[allow(clippy::module_inception, reason = "the broker of one reactor is what this module is about")]
pub mod broker;
pub mod calls;
pub mod config;
pub mod connection;
pub mod controller;
pub mod coordinate;
pub mod coordinators;
pub mod dispatch;
pub mod fetch_session;
pub mod handlers;
pub mod holder;
pub mod hosting;
mod identity;
pub mod input;
pub mod lag;
pub mod markers;
pub mod message;
pub mod metadata_log;
pub mod questions;
pub mod reading;
pub mod refusal;
pub mod reply;
pub mod route;
pub mod scatter;
pub mod serve;
pub mod startup;
pub mod stats;
mod transmit;
pub mod verification;
pub mod why;

pub use transmit::STAGING_BYTES;

/// The version of this program and the commit it was built from.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("BUILD_COMMIT"), ")");
