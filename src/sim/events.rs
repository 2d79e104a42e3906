//! What is going to happen: a heap ordered by time, and by a draw of the seed among what happens at the same time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::table::Key;
use crate::base::prng::Prng;
use crate::base::time::Instant;

/// Something that is due at some time. What it is about may be gone by then; it does nothing then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A reactor takes a turn, if one is due.
    Turn { reactor: usize },
    /// A completion that was held back is delivered.
    Deliver { completion: Key },
    /// A file operation takes effect.
    Disk { operation: Key },
    /// Bytes under way from a socket arrive at its peer.
    Arrive { from: Key },
    /// A socket that waited for more to send sends what it has.
    Uncork { socket: Key },
    /// A socket learns that its peer knows nothing of the connection.
    Reset { socket: Key },
    /// A request to connect reaches its destination.
    Request { attempt: Key },
    /// The answer to it comes back: the socket made, or a refusal.
    Answer { attempt: Key },
    /// The third packet makes the connection one that may be accepted.
    Established { socket: Key },
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Instant,
    tie: u64,
}

struct Scheduled {
    due: Due,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Scheduled) -> bool {
        self.due == other.due
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Scheduled) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Scheduled) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

/// The heap.
pub(super) struct Events {
    heap: BinaryHeap<Reverse<Scheduled>>,
    ties: Prng,
}

impl Events {
    pub(super) fn new(ties: Prng) -> Events {
        Events { heap: BinaryHeap::new(), ties }
    }

    pub(super) fn push(&mut self, at: Instant, event: Event) {
        let due = Due { at, tie: self.ties.bits() };
        self.heap.push(Reverse(Scheduled { due, event }));
    }

    /// When the next event is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|next| next.0.due.at)
    }

    pub(super) fn pop(&mut self) -> Option<(Instant, Event)> {
        self.heap.pop().map(|next| (next.0.due.at, next.0.event))
    }
}
