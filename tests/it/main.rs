//! The integration tests: one binary, so that it is linked once.

#[macro_use]
mod backend;
mod broker;
mod coordinator;
mod ends;
mod engine;
mod fuzz;
mod late_writes;
mod leftovers;
mod sim;
mod sim_backend;
mod storage;
mod transactions;
mod truncation;
mod tuning;
mod uring;
mod world;
