//! Keeping the log short: when it has outgrown the state that it replays into, that state is written at its end and
//! everything before is deleted. Loading then takes a time that follows from what there is, not from what there was.

use std::rc::Rc;

use super::held::{Held, Release};
use super::{Coordinator, Stage, encode};
use crate::coordinator::machine::{DECISION_BYTES_MAX, Machine};
use crate::model::offset::Offset;
use crate::shard::Append;

/// When a log is long enough to be rewritten.
#[derive(Clone, Copy, Debug)]
pub struct CompactionLimits {
    /// Bytes of a log below which it is left alone.
    pub bytes_min: u64,
    /// How many times the size of the state the log may have.
    pub growth: u64,
}

impl Default for CompactionLimits {
    fn default() -> CompactionLimits {
        // Fifty partitions of 4 MiB are read in a moment; rewriting at four times the state costs a third of a byte a byte.
        CompactionLimits { bytes_min: 4 << 20, growth: 4 }
    }
}

/// Bytes of a snapshot's batches: small, so that each fits between others' appends.
const SNAPSHOT_BATCH_BYTES: usize = 256 << 10;
/// A snapshot larger than this is not written in one go, which would keep the reactor too long: the log is left to grow.
const SNAPSHOT_BYTES_MAX: u64 = 512 << 20;

/// How much of the log is state.
#[derive(Default)]
pub(super) struct Growth {
    /// Bytes of the log.
    bytes: u64,
    /// Bytes of the state when it was last looked at.
    state_bytes: u64,
    /// Bytes of the log before the snapshot that is under way.
    before_snapshot: u64,
    /// A snapshot is under way.
    snapshot_runs: bool,
    /// There are records in the log that this program does not know, of a later one perhaps: nothing is deleted then.
    has_unknown: bool,
    /// The offset of the snapshot's first record, once known.
    pub snapshot_from: Option<Offset>,
}

impl Growth {
    pub fn loaded(&mut self, bytes: u64, has_unknown: bool) {
        *self = Growth { bytes, has_unknown, ..Growth::default() };
    }

    pub fn appended(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    fn is_due(&self, limits: CompactionLimits) -> bool {
        !self.snapshot_runs
            && !self.has_unknown
            && self.bytes >= limits.bytes_min.max(self.state_bytes.saturating_mul(limits.growth))
    }
}

impl<M: Machine> Coordinator<M> {
    /// Begins a snapshot if the log has grown enough for it. Records of open transactions are in it, as part of these
    /// transactions, so that a log in which they never all end at once stays short too.
    pub(super) fn compact_if_grown(&self) {
        let snapshot = {
            let state = self.state.borrow();
            match &state.stage {
                Stage::Active(machine) if state.growth.is_due(self.compaction) => machine.snapshot(),
                _ => return,
            }
        };
        let batches = encode::batches(&snapshot, SNAPSHOT_BATCH_BYTES, self.io.wall_ms());
        let bytes: u64 = batches.iter().map(|batch| batch.len() as u64).sum();
        {
            let mut state = self.state.borrow_mut();
            state.growth.state_bytes = bytes;
            let too_large = batches.iter().any(|batch| batch.len() > DECISION_BYTES_MAX as usize);
            if !state.growth.is_due(self.compaction) || bytes > SNAPSHOT_BYTES_MAX || too_large {
                return;
            }
        }
        if batches.is_empty() {
            return self.forget_everything();
        }
        self.append_snapshot(&batches, bytes);
    }

    fn append_snapshot(&self, batches: &[Vec<u8>], bytes: u64) {
        {
            let growth = &mut self.state.borrow_mut().growth;
            (growth.snapshot_runs, growth.before_snapshot) = (true, growth.bytes);
            growth.bytes += bytes;
        }
        for (at, batch) in batches.iter().enumerate() {
            let append = match self.append(batch) {
                // What is in the log of the snapshot already says nothing new.
                Append::Done(Some(Err(error))) => {
                    tracing::warn!(coordinator = self.name, %error, "the log could not be rewritten");
                    let growth = &mut self.state.borrow_mut().growth;
                    // Tried again when the log has grown further.
                    (growth.snapshot_runs, growth.state_bytes) = (false, growth.bytes);
                    return;
                }
                append => append,
            };
            let release = if at == 0 { Release::SnapshotBegins } else { Release::SnapshotGoesOn };
            self.hold(Held { append: Some(append), release });
        }
        self.state.borrow_mut().held.push_back(Held { append: None, release: Release::SnapshotEnds });
    }

    /// There is no state at all: everything may go.
    fn forget_everything(&self) {
        {
            let growth = &mut self.state.borrow_mut().growth;
            (growth.snapshot_runs, growth.before_snapshot) = (true, growth.bytes);
            growth.snapshot_from = Some(self.shard.offsets().log_end);
        }
        // Behind all that is on its way; the task looks at the line next.
        self.state.borrow_mut().held.push_back(Held { append: None, release: Release::SnapshotEnds });
    }

    /// The whole snapshot is in the log for good.
    pub(super) fn snapshot_is_durable(self: &Rc<Self>) {
        let growth = &mut self.state.borrow_mut().growth;
        growth.snapshot_runs = false;
        growth.bytes = growth.bytes.saturating_sub(growth.before_snapshot);
        let Some(from) = growth.snapshot_from.take() else { return };
        let coordinator = Rc::clone(self);
        self.io.spawn(async move {
            match coordinator.shard.delete_records(from).await {
                Ok(start) => tracing::debug!(coordinator = coordinator.name, start, "the log was rewritten"),
                Err(error) => {
                    tracing::warn!(coordinator = coordinator.name, %error, "old records could not be deleted")
                }
            }
        });
    }
}
