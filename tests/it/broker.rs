//! The broker as a process, over real TCP and the real backend.

mod admin;
mod client;
mod consume;
mod process;
mod produce;
mod wire;
