//! The trace: a hash over everything that happens, and the last events in words.
//!
//! Two runs of one seed must have the same hash; where they part, the readable tail of both says what differs first.

use std::collections::VecDeque;
use std::fmt;

use crate::base::time::Instant;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A reactor takes a turn: reactor.
    Turn,
    /// A reactor submits an operation: reactor, token, kind and its main argument.
    Submit,
    /// A reactor gets a completion: reactor, token, result.
    Complete,
    /// A file operation takes effect: reactor, token, result.
    Disk,
    /// Bytes are written to a file: file, position, checksum.
    Write,
    /// A socket takes bytes to send: socket, bytes, checksum.
    Send,
    /// Bytes arrive at a socket: sender, bytes.
    Arrive,
    /// A connection is reset: socket.
    Reset,
    /// A process starts: process, incarnation.
    Start,
    /// A process ends: process, 0 by itself and 1 by force.
    End,
    /// A machine loses its power: machine.
    PowerCut,
    /// A device is made to fail: machine, mount, file.
    Fault,
}

/// What operations are called, by the numbers that they have in the trace.
const OPERATIONS: [&str; 27] = [
    "",
    "open",
    "close",
    "stat",
    "list",
    "make directory",
    "rename",
    "unlink",
    "remove directory",
    "space",
    "read",
    "write",
    "sync",
    "allocate",
    "truncate",
    "listen",
    "accept",
    "connect",
    "receive",
    "receive into",
    "send",
    "send file",
    "shutdown",
    "cancel",
    "wake",
    "await stop",
    "is resident",
];

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Happening {
    at: Instant,
    what: What,
    details: [u64; 3],
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third] = self.details;
        write!(f, "{:>14} ns  ", self.at.0)?;
        let result = (third >> 1) as u32 as i32;
        match self.what {
            What::Turn => write!(f, "reactor {first} takes a turn"),
            What::Submit => {
                let kind = OPERATIONS.get((first >> 32) as usize).unwrap_or(&"an operation without a name here");
                let reactor = first as u32;
                write!(f, "reactor {reactor} submits {second:#x}: {kind} {third:#x}")
            }
            What::Complete => write!(f, "reactor {first} gets    {second:#x}: {result}"),
            What::Disk => write!(f, "reactor {first} had done {second:#x}: {}", third as u32 as i32),
            What::Write => write!(f, "file {first} is written at {second}, checksum {third:#x}"),
            What::Send => write!(f, "socket {first:#x} sends {second} bytes, checksum {third:#x}"),
            What::Arrive => write!(f, "socket {first:#x}: {second} bytes arrive at its peer"),
            What::Reset => write!(f, "socket {first:#x} is reset"),
            What::Start => write!(f, "process {first} starts with {third} reactors from {second} on"),
            What::End => write!(f, "process {first} ends{}", if second == 1 { " by force" } else { "" }),
            What::PowerCut => write!(f, "machine {first} loses its power"),
            What::Fault => write!(f, "machine {first}: a device fails ({second}, {third:#x})"),
        }
    }
}

/// The trace of a world.
pub struct Trace {
    hash: u64,
    events: u64,
    kept: VecDeque<Happening>,
    kept_max: usize,
}

/// 2^64 divided by the golden ratio, made odd.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Trace {
    /// A trace that keeps the last `kept_max` events in words.
    pub(super) fn new(kept_max: usize) -> Trace {
        Trace { hash: 0, events: 0, kept: VecDeque::new(), kept_max }
    }

    pub(super) fn record(&mut self, at: Instant, what: What, details: [u64; 3]) {
        let [first, second, third] = details;
        for word in [at.0, what as u64, first, second, third] {
            // A rotation before and after the product lets every bit reach every other within a few words.
            self.hash = (self.hash.rotate_left(23) ^ word).wrapping_mul(SPREAD);
            self.hash ^= self.hash >> 29;
        }
        self.events += 1;
        if self.kept_max > 0 {
            if self.kept.len() == self.kept_max {
                self.kept.pop_front();
            }
            self.kept.push_back(Happening { at, what, details });
        }
    }

    /// A hash over everything that happened so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many things happened so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The last events, oldest first.
    pub fn last(&self) -> impl Iterator<Item = &Happening> {
        self.kept.iter()
    }
}
