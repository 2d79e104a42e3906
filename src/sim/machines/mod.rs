//! The pure machines of the broker against models that are too simple to be wrong, from the seed of a run.
//!
//! **Owns:** for each machine a list, a map or a recomputation that says what it has to answer, and random steps in which
//! both are asked the same.
//!
//! **Never:** needs a world: nothing here waits, and a seed is done within milliseconds.
//!
//! **Start reading at** [`check`]. A further machine is a file here and a line in [`MACHINES`].

mod fetch_session;
mod log_offsets;
mod producer_window;

use super::history::Violation;
use crate::base::prng::Prng;

/// Takes random steps and compares.
type Check = fn(Prng) -> Result<(), String>;

/// The machines by name.
const MACHINES: [(&str, Check); 3] = [
    ("machine: log offsets", log_offsets::check),
    ("machine: producer window", producer_window::check),
    ("machine: fetch session", fetch_session::check),
];

/// Lets all machines take the steps of a seed; the first difference.
pub fn check(seed: u64) -> Option<Violation> {
    let streams = Prng::new(seed).split("machines");
    MACHINES.iter().find_map(|(checker, check)| {
        let what = check(streams.split(checker)).err()?;
        Some(Violation { checker, what })
    })
}

/// An error unless both are the same.
fn same<T: PartialEq + std::fmt::Debug>(what: impl FnOnce() -> String, machine: &T, model: &T) -> Result<(), String> {
    if machine == model { Ok(()) } else { Err(format!("{}: it says {machine:?}, and it is {model:?}", what())) }
}

#[cfg(test)]
mod tests;
