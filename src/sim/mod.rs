//! The simulated world: the very same broker code over a kernel that is a data structure.
//!
//! **Owns:** virtual time, and machines with disks, clocks and addresses, on which processes run ([`world`]). A process
//! is a number of reactors over simulated backends ([`backend`]); all reactors of all processes run on one thread, and
//! one seed decides who is next, how long things take, which counts fall short, and what fails. What operations mean is
//! in [`disk`] (what a power cut leaves of a file system) and in `network` (streams between machines); [`config`] has the
//! timing and [`faults`] what can be made to fail. The whole run goes into a hash ([`trace`]): one seed, one hash.
//!
//! **Never:** reads a real clock or a real random source, starts a thread, or iterates over a map whose order is not its
//! content's; is kinder than a kernel: what POSIX does not promise may fail to happen here.
//!
//! On top of that stand runs ([`run`]): a broker ([`cluster`]) and clients ([`workload`]) in a world, a plan of what goes
//! wrong ([`nemesis`]), and judges ([`checkers`]) who know what clients were told ([`history`]).
//!
//! **Start reading at** [`world`], then `kernel`, the state that all backends share; for runs at [`run`].
//!
//! That all of it bites is shown by `tests/mutations`: the broker with one promise broken on purpose, of which
//! `scripts/mutations.sh` asks that a checker notices within a stated number of seeds. The machines that need no world are held
//! against models from the same seeds ([`machines`]). What a seed found stays as a scenario in `tests/it/world.rs`.
//!
//! How fast that is: `flumen-sim --seeds 0..168` played 285 seconds of simulated time for each second of CPU (2026-11-26, 2
//! virtual cores, 24 GiB, nothing else running). Most of a run waits for connections of vanished clients to be given up;
//! counting only the time in which clients are at work it is 51 seconds, with some 3,300 batches acknowledged and 77,000
//! records read in each run. Every invocation prints both figures.
//!
//! Every choice is drawn from a stream of its own purpose (order, schedule, counts, each disk's latency, each kind of
//! fault, ...), split from the seed by name, so that a change in one leaves the others as they were.

mod atlas;
pub mod backend;
mod cast;
pub mod checkers;
pub mod client;
pub mod cluster;
pub mod config;
pub mod disk;
mod errors;
mod events;
pub mod faults;
pub mod history;
mod kernel;
pub mod machines;
pub mod minimise;
pub mod nemesis;
mod network;
pub mod run;
pub mod scene;
mod storage;
mod table;
pub mod trace;
pub mod workload;
pub mod world;

pub use config::{Config, DiskConfig, Latency, MachineConfig, NetworkConfig, ProcessConfig};
pub use disk::PowerCut;
pub use faults::DiskFaultRates;
pub use world::{MachineId, ProcessId, World};
