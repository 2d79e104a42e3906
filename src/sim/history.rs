//! What clients asked, and what they were told: the history that checkers judge.
//!
//! All clients of a world share one history. Its clock counts entries, and a reply carries the moment at which it was
//! asked for, so a checker knows what was told before something else was asked: nothing else orders events between
//! clients.

pub mod groups;
pub mod transactions;

use std::collections::VecDeque;
use std::fmt;

use self::groups::GroupEvent;
use self::transactions::TransactionEvent;
use super::checkers::Checker;
use crate::io::PathBuf;
use crate::model::error_code::ErrorCode;
use crate::model::ids::{PartitionId, Uuid};
use crate::model::offset::Offset;

/// A point in the history: how many events came before.
pub type Moment = u64;

/// Events that are kept for the report of a failure.
const KEPT_MAX: usize = 2000;

/// Names a record: its producer (each incarnation of each is another one) and its number there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag {
    /// The producer's incarnation.
    pub producer: u32,
    /// The record's number, in the order of production.
    pub number: u32,
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.producer, self.number)
    }
}

/// Events as they stand in reports: partitions by the front of their topic's id.
pub fn shown(event: &Event) -> String {
    let text = format!("{event:?}");
    let mut parts = text.split("PartitionId { topic: ");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (topic, rest) = part.split_once(", index: ").unwrap_or((part, ""));
        let (index, rest) = rest.split_once(" }").unwrap_or(("", rest));
        shown.push_str(topic.get(..8).unwrap_or(topic));
        shown.push('-');
        shown.push_str(index);
        shown.push_str(rest);
    }
    shown
}

/// A batch: records with consecutive numbers, in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchTag {
    /// The partition.
    pub place: PartitionId,
    /// Its first record.
    pub first: Tag,
    /// How many records.
    pub count: u32,
    /// The acknowledgement that was asked for.
    pub acks: i16,
    /// Whether it bears a producer id and sequence numbers.
    pub idempotent: bool,
}

impl BatchTag {
    /// The records.
    pub fn tags(self) -> impl Iterator<Item = Tag> {
        let Tag { producer, number } = self.first;
        (0..self.count).map(move |at| Tag { producer, number: number + at })
    }
}

/// What a client did or learned.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each variant's text explains its fields")]
pub enum Event {
    /// A batch is about to be sent, for the first time or again.
    Sent { batch: BatchTag },
    /// A batch was acknowledged at `base_offset`.
    Acked { batch: BatchTag, asked: Moment, base_offset: Offset, log_start: Offset },
    /// A batch was refused; `in_order` when all batches of its producer before it had been acknowledged when it was sent.
    Refused { batch: BatchTag, asked: Moment, code: ErrorCode, in_order: bool },
    /// A client no longer cares what becomes of a batch.
    GivenUp { batch: BatchTag },
    /// A consumer read `records` from `from` on.
    Read { place: PartitionId, asked: Moment, from: Offset, bounds: Bounds, records: Vec<(Offset, Tag)> },
    /// A read was refused.
    ReadRefused { place: PartitionId, asked: Moment, from: Offset, code: ErrorCode },
    /// The log start (or, with `latest`, the high watermark) was asked for.
    Listed { place: PartitionId, asked: Moment, latest: bool, offset: Offset },
    /// Everything in a partition was read while nobody wrote.
    Drained { place: PartitionId, start: Offset, end: Offset, records: Vec<(Offset, Tag)> },
    /// Records before `to` are about to be deleted.
    DeleteAsked { place: PartitionId, to: Offset },
    /// They were deleted.
    Deleted { place: PartitionId, asked: Moment, low_watermark: Offset },
    /// A topic exists, with or without `write.caching`.
    TopicMade { topic: Uuid, partitions: i32, caching: bool },
    /// A topic is about to be deleted.
    TopicDeleteAsked { topic: Uuid },
    /// It was deleted.
    TopicDeleted { topic: Uuid },
    /// All topics were looked up, while nobody made or deleted any.
    TopicsListed { topics: Vec<Uuid> },
    /// A broker's process ended. What it had acknowledged up to the moment `kept` is kept even in topics with
    /// `write.caching`.
    BrokerEnded { how: &'static str, kept: Moment },
    /// A broker serves again.
    BrokerStarted,
    /// A broker refuses to start.
    StartRefused { why: String },
    /// A file was damaged where it is not the last copy of anything.
    Damaged { path: PathBuf },
    /// The last copy of something was damaged: from here on it may be refused, but never be wrong.
    LastCopyDamaged { path: PathBuf },
    /// From here on nothing is made to fail any more.
    FaultsOver,
    /// Something about groups.
    Group(GroupEvent),
    /// Something about transactions.
    Transaction(TransactionEvent),
    /// Something did not happen within its bound.
    Overdue { what: String },
    /// Something that no broker may say.
    Malformed { what: String },
}

/// What a read says of the log around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The log start offset.
    pub log_start: Offset,
    /// The high watermark.
    pub high_watermark: Offset,
    /// The last stable offset.
    pub last_stable: Offset,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Who noticed.
    pub checker: &'static str,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker, self.what)
    }
}

/// The history of a world and those who judge it.
pub struct History {
    moment: Moment,
    checkers: Vec<Box<dyn Checker>>,
    violation: Option<Violation>,
    kept: VecDeque<(Moment, Event)>,
    counts: Counts,
}

/// How much happened; a run in which nothing did proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Batches acknowledged.
    pub acked: u64,
    /// Records read.
    pub read: u64,
    /// Transactions committed.
    pub committed: u64,
    /// Assignments that members were told.
    pub assigned: u64,
    /// Starts of brokers.
    pub starts: u64,
}

impl History {
    /// An empty history, judged by `checkers`.
    pub fn new(checkers: Vec<Box<dyn Checker>>) -> History {
        History { moment: 0, checkers, violation: None, kept: VecDeque::new(), counts: Counts::default() }
    }

    /// Now.
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// How much happened.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The first broken promise.
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// The last events, oldest first.
    pub fn last(&self) -> impl Iterator<Item = &(Moment, Event)> {
        self.kept.iter()
    }

    /// Takes in an event and has it judged.
    pub fn record(&mut self, event: Event) {
        self.moment += 1;
        match &event {
            Event::Acked { .. } => self.counts.acked += 1,
            Event::Read { records, .. } => self.counts.read += records.len() as u64,
            Event::BrokerStarted => self.counts.starts += 1,
            Event::Group(GroupEvent::Assigned { .. }) => self.counts.assigned += 1,
            Event::Transaction(TransactionEvent::Ended { commit: true, .. }) => self.counts.committed += 1,
            _ => {}
        }
        let moment = self.moment;
        self.judge(|checker| checker.observe(moment, &event));
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back((moment, event));
    }

    /// Has each checker look at something; the first complaint stays.
    pub fn judge(&mut self, mut look: impl FnMut(&mut dyn Checker) -> Result<(), String>) {
        for checker in &mut self.checkers {
            if let Err(what) = look(checker.as_mut())
                && self.violation.is_none()
            {
                self.violation = Some(Violation { checker: checker.name(), what });
            }
        }
    }

    /// What the checkers still wait for.
    pub fn awaits(&self) -> Option<String> {
        self.checkers.iter().find_map(|checker| checker.awaits())
    }

    /// Notes a broken promise that is not one checker's.
    pub fn complain(&mut self, checker: &'static str, what: String) {
        self.violation.get_or_insert(Violation { checker, what });
    }
}
