//! The seam between the broker and a kernel: the only dynamic boundary in the program.

use std::collections::VecDeque;

use super::clock::Clocks;
use super::op::{Completion, Submission};
use crate::base::prng::Prng;
use crate::base::time::Instant;

/// How long a turn may wait for a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: tasks are ready.
    Not,
    /// Until a completion or a wake arrives, at most until this instant.
    Until(Instant),
    /// Until a completion or a wake arrives.
    Forever,
}

/// A kernel as a reactor sees it. One instance a reactor, used by its thread alone.
///
/// Called once per reactor turn, so the virtual call costs nothing per operation. `tests/it/backend.rs` says what every
/// implementation owes.
pub trait Backend {
    /// Starts all `submissions` (drains them, in order), waits as told unless completions are at hand, and appends the
    /// completions that are there. A simulated backend does not wait: it notes the wait and returns, and the world
    /// takes the reactor's next turn when it is due.
    fn turn(&mut self, submissions: &mut VecDeque<Submission>, completions: &mut Vec<Completion>, wait: Wait);

    /// Both clocks, now.
    fn clocks(&self) -> Clocks;

    /// Fills `bytes` with random bits fit for ids.
    fn random(&mut self, bytes: &mut [u8]);

    /// The stream by which a reactor draws the next of its ready tasks, asked for once; `None` for the order in which they
    /// were woken. What runs on a reactor must be right in any order.
    fn order(&mut self) -> Option<Prng> {
        None
    }

    /// The backend's name for the log line at start.
    fn name(&self) -> &'static str;
}
