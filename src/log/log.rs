//! One partition's log: offsets, segments, the tail, and what is not yet in the segment files.
//!
//! An append is synchronous: it goes into the journal's open group or into the log's run, the indexes and the tail, and
//! returns. What needs the disk (write-back, checkpoints, reads of old offsets) happens in tasks elsewhere and borrows
//! this state only between its waits.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use super::checkpoint::LogRecord;
use super::config::Precedence;
use super::context::Context;
use super::directory::Access;
use super::group::{ENTRY_HEADER_BYTES, Entry, EntryKind};
use super::journal::{StageError, Urgency};
use super::journal_file::{JournalFile, OldChains};
use super::leader_epochs::{InvalidEpoch, LeaderEpochs};
use super::owner::Owner;
use super::reader::ReadAhead;
use super::recovery::{Change, RecoveredLog};
use super::run::{RunBuffer, SealedRun, block_floor};
use super::segment::Segment;
use super::tail::{Tail, TailBatch};
use super::warm::Warm;
use crate::base::block::{BLOCK_ALIGN, Pool, Slice, Use};
use crate::base::oneshot;
use crate::base::time::{Duration, Instant};
use crate::io::Result;
use crate::io::file::File;
use crate::model::ids::PartitionId;
use crate::model::offset::{LeaderEpoch, NO_LEADER_EPOCH, Offset, Timestamp};
use crate::record::batch::{self, BatchHeader};
use crate::record::batches;

/// How long a deletion of records waits for room in the journal, which write-back makes unless the disk is full to the last block.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(5);

/// What of a topic's configuration the log follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `segment.bytes`.
    pub segment_bytes: u32,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u32,
    /// `segment.index.bytes`.
    pub segment_index_bytes: u32,
    /// With `write.caching`: an append is durable within this time (`flush.ms`), and nobody waits for it.
    pub lazy: Option<Duration>,
    /// Who its appends give way to when the space ends.
    pub precedence: Precedence,
}

/// Where a batch was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset after its last record.
    pub next_offset: Offset,
}

/// Why a batch was not placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// Its checksum is wrong.
    Corrupt,
    /// For the moment the journal has no room, or the segment is being written back. The same append will succeed later.
    Busy,
    /// The storage is offline, for this reason.
    Offline(String),
    /// It can only go to its segment, for which the disk has no space.
    Full,
    /// The machine has no memory left.
    Memory,
    /// The storage is being shut down.
    Closed,
}

impl From<StageError> for AppendError {
    fn from(error: StageError) -> AppendError {
        match error {
            StageError::Full => AppendError::Busy,
            StageError::Failed(reason) => AppendError::Offline(reason),
            StageError::Memory => AppendError::Memory,
            StageError::Closed => AppendError::Closed,
        }
    }
}

/// A range of a segment that its file does not hold yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirtyRange {
    /// Base offset of the segment.
    pub segment: Offset,
    /// First position.
    pub start: u32,
    /// Position behind the last one.
    pub end: u32,
}

/// The journal files that a log needs until its next checkpoint.
#[derive(Debug, Default)]
pub struct Need {
    /// The oldest file of this process start; files go in their order, so it keeps all later ones.
    pub current: Option<Arc<JournalFile>>,
    /// Journals of earlier starts.
    pub old: OldChains,
}

impl Need {
    /// Whether no journal file is needed.
    pub fn is_empty(&self) -> bool {
        self.current.is_none() && self.old.is_empty()
    }

    /// The log needs what `since` says, and nothing from before.
    pub fn end(&mut self, since: Need) {
        self.old.let_go();
        *self = since;
    }
}

/// One partition's log.
pub struct Log {
    id: PartitionId,
    name: String,
    pub(super) context: Rc<Context>,
    state: RefCell<State>,
    durable_end: Cell<Offset>,
    /// What clients are told of the log's start while a later one is not durable, so that a crash does not let it go back.
    told_start: Cell<Option<Offset>>,
    quiet: RefCell<Vec<Waker>>,
    owner: RefCell<Option<Rc<dyn Owner>>>,
}

/// The state of a log.
pub(super) struct State {
    pub settings: LogSettings,
    pub log_start: Offset,
    pub version: u64,
    /// Oldest first; the last one is appended to.
    pub segments: Vec<Segment>,
    pub tail: Tail,
    /// What the segment file holds of the block in which its missing part begins, for the next write of that block.
    pub edge: Edge,
    pub dirty: Vec<DirtyRange>,
    pub run: Option<RunBuffer>,
    /// Runs that are sealed and not yet durable.
    pub runs_in_flight: Vec<(Offset, u32)>,
    /// Write-back is at work on the segment files: small appends go through the journal, large ones wait.
    pub held: bool,
    /// The log is being cut, or what a crash left of it is being removed: appends wait.
    pub closed: bool,
    pub epochs: LeaderEpochs,
    /// What holds the changes that the last checkpoint does not cover.
    pub need: Need,
    /// The same, counted from the last capture.
    pub need_since_capture: Need,
    /// Leader epochs that `leader-epoch-checkpoint` holds, if it was written in this life of the process.
    pub epochs_written: Option<usize>,
    /// Write-back has captured the state and not yet completed the checkpoint.
    pub capturing: bool,
    /// Producer snapshots (base offset, content) that are to be written beside their segments.
    pub snapshots: Vec<(Offset, Rc<[u8]>)>,
    pub reserving: bool,
    /// The last reservation failed: not before this is the next one tried.
    pub reserve_after: Option<Instant>,
    /// A run was not written: the segment's file lacks what the tail has.
    run_lost: bool,
    pub removed: bool,
    /// Segments that are no longer part of the log, whose files are still to be removed.
    pub doomed: Vec<Offset>,
    /// What of the files was read lately, and is known to be sound.
    pub warm: Warm,
    /// What of them is being read for who is likely to ask for it next.
    pub read_ahead: Option<ReadAhead>,
    /// How often that was forgotten: a read that began before notes nothing.
    pub forgotten_reads: u64,
}

/// See [`State::edge`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Edge {
    /// Base offset of the segment: the oldest one that its file lacks something of.
    pub segment: Offset,
    /// Position of the first byte, a multiple of 4 KiB.
    pub start: u32,
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({})", self.name)
    }
}

impl State {
    pub fn active(&self) -> &Segment {
        self.segments.last().expect("a log has a segment")
    }

    pub fn active_mut(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("a log has a segment")
    }

    pub fn end(&self) -> Offset {
        self.active().next_offset
    }

    /// Copies the bytes of `segment` from `start` on into `to`: from the edge and the tail, which hold them all.
    pub fn copy(&self, segment: Offset, start: u32, to: &mut [u8]) {
        let missing = self.tail.copy(segment, start, to);
        if missing == 0 {
            return;
        }
        assert_eq!(segment, self.edge.segment, "what the tail lacks is at the edge");
        let from = start.checked_sub(self.edge.start).expect("what the tail lacks is at the edge") as usize;
        to[..missing].copy_from_slice(&self.edge.bytes[from..from + missing]);
    }

    /// Bytes that the segment files lack.
    pub fn dirty_bytes(&self) -> u64 {
        self.dirty.iter().map(|range| u64::from(range.end - range.start)).sum()
    }

    /// Bytes reserved on disk behind the active segment's end, in whole blocks.
    pub fn reserved_bytes(&self) -> u64 {
        let active = self.active();
        u64::from(active.allocated).saturating_sub(u64::from(active.end).next_multiple_of(BLOCK_ALIGN as u64))
    }

    pub fn mark_dirty(&mut self, segment: Offset, start: u32, end: u32) {
        match self.dirty.last_mut() {
            Some(last) if last.segment == segment && last.end == start => last.end = end,
            _ if start < end => self.dirty.push(DirtyRange { segment, start, end }),
            _ => {}
        }
    }

    /// Position in `segment` from which on its file may lack something.
    pub fn stored_end(&self, segment: Offset, end: u32) -> u32 {
        self.dirty.iter().filter(|range| range.segment == segment).map(|range| range.start).min().unwrap_or(end)
    }

    /// Takes the state over from a checkpoint's record.
    fn restore(&mut self, record: LogRecord, pool: &Pool, wall_ms: Timestamp) {
        let Some(last) = record.segments.last().copied() else { return };
        self.log_start = record.log_start;
        self.segments = record.segments.iter().map(|segment| Segment::from_record(segment, wall_ms)).collect();
        for entry in record.epochs {
            // Whatever a checkpoint holds was checked when it was assigned, and its checksum is right.
            let _ = self.epochs.assign(entry.epoch, entry.start_offset);
        }
        let start = block_floor(last.end);
        self.edge = Edge { segment: last.base, start, bytes: record.edge };
        if record.stored < last.end {
            self.restore_tail(record.stored, last.end, pool);
        }
    }

    /// Takes the batches that only the checkpoint holds into the tail.
    fn restore_tail(&mut self, stored: u32, end: u32, pool: &Pool) {
        let (segment, from) = (self.edge.segment, (stored - self.edge.start) as usize);
        let missing = self.edge.bytes.split_off(from);
        let mut block =
            pool.block_unlimited(missing.len(), Use::Tail).expect("there is memory at start for 4 KiB a log");
        block[..missing.len()].copy_from_slice(&missing);
        let slice = block.into_slice(missing.len());
        let mut at = 0;
        for batch in batches(&missing) {
            let Ok((header, bytes)) = batch else { break };
            self.tail.push(TailBatch {
                base_offset: header.base_offset(),
                next_offset: header.next_offset(),
                segment,
                position: stored + at as u32,
                max_timestamp: header.max_timestamp(),
                bytes: slice.slice(at..at + bytes.len()),
            });
            at += bytes.len();
        }
        self.mark_dirty(segment, stored, end);
    }

    /// Does again what the journal says was done.
    fn replay(&mut self, change: Change, wall_ms: Timestamp) {
        match change {
            Change::Start { to } => self.start_at(to),
            Change::Batches { segment, position, bytes, stored } => {
                if self.active().base != segment {
                    self.active_mut().close();
                    self.segments.push(Segment::new(segment, wall_ms));
                }
                let end = position + bytes.len() as u32;
                let mut at = 0;
                for batch in batches(&bytes) {
                    let Ok((_, batch)) = batch else { break };
                    // Recovery has walked these batches before; an epoch that falls was no leader's.
                    let _ = self.note(bytes.slice(at..at + batch.len()));
                    at += batch.len();
                }
                // A run's first block was written with what stood before the run in it, and the run's checksum does not
                // cover that: the block is written once more, the run's own bytes in it as they are.
                let whole = position.next_multiple_of(BLOCK_ALIGN as u32).min(end);
                self.mark_dirty(segment, position, whole);
                if stored > whole {
                    self.mark_stored(segment, whole, stored);
                }
                self.mark_dirty(segment, stored.max(whole), end);
            }
        }
    }

    /// Lets the log start at `to`: segments that lie wholly before are given up.
    pub fn start_at(&mut self, to: Offset) {
        self.log_start = to;
        let active = self.active().base;
        let doomed: Vec<Offset> = self
            .segments
            .iter()
            .filter(|one| one.next_offset <= to && one.base != active)
            .map(|one| one.base)
            .collect();
        let Some(last) = doomed.last().copied() else { return };
        self.segments.retain(|segment| segment.base > last);
        self.dirty.retain(|range| range.segment > last);
        self.snapshots.retain(|(base, _)| *base > last);
        self.tail.evict(|batch| batch.segment <= last);
        self.epochs.truncate_from_start(to);
        self.forget_read();
        self.doomed.extend(doomed);
    }

    /// Forgets what was read of the files: the log is cut, at one end or the other.
    pub fn forget_read(&mut self) {
        self.warm.clear();
        self.read_ahead = None;
        self.forgotten_reads += 1;
    }

    /// Notes that the journal's open file is needed from now on.
    pub fn note_need(&mut self, file: impl FnOnce() -> Arc<JournalFile>) {
        let slot = if self.capturing { &mut self.need_since_capture } else { &mut self.need };
        slot.current.get_or_insert_with(file);
    }

    /// Notes that the segment's file holds everything from `start` to `end`.
    pub fn mark_stored(&mut self, segment: Offset, start: u32, end: u32) {
        let mut kept = Vec::with_capacity(self.dirty.len() + 1);
        for range in self.dirty.drain(..) {
            if range.segment != segment || range.end <= start || range.start >= end {
                kept.push(range);
                continue;
            }
            if range.start < start {
                kept.push(DirtyRange { end: start, ..range });
            }
            if range.end > end {
                kept.push(DirtyRange { start: end, ..range });
            }
        }
        self.dirty = kept;
    }

    /// Notes a batch that now stands at the end of the active segment.
    ///
    /// # Errors
    /// A leader epoch below that of an earlier batch, which no leader writes.
    pub fn note(&mut self, bytes: Slice) -> std::result::Result<(), InvalidEpoch> {
        let header = *BatchHeader::read(&bytes).expect("it was validated");
        let interval = self.settings.index_interval_bytes;
        let active = self.active_mut();
        let (segment, position) = (active.base, active.end);
        active.note(&header, bytes.len() as u32, interval);
        if header.partition_leader_epoch() >= 0 {
            self.epochs.assign(header.partition_leader_epoch(), header.base_offset())?;
        }
        self.tail.push(TailBatch {
            base_offset: header.base_offset(),
            next_offset: header.next_offset(),
            segment,
            position,
            max_timestamp: header.max_timestamp(),
            bytes,
        });
        Ok(())
    }

    /// Whether a run is staged or under way.
    pub fn has_runs(&self) -> bool {
        !self.runs_in_flight.is_empty() || self.run.as_ref().is_some_and(RunBuffer::is_open)
    }

    /// Position up to which batches of the segment may leave the memory: their bytes are in its file, and what stands
    /// before a missing part in its first block is at the edge. What a run on its way brings counts as stored, also what was
    /// durable before it in its first block, and is not yet there.
    fn evictable_end(&self, segment: Offset) -> u32 {
        let runs = self.runs_in_flight.iter().filter(|(of, _)| *of == segment);
        runs.map(|(_, at)| *at).fold(self.kept_end(segment), u32::min)
    }

    /// The same where no run is on its way.
    fn kept_end(&self, segment: Offset) -> u32 {
        let end = self.segments.iter().find(|one| one.base == segment).map_or(0, |one| one.end);
        let missing = self.stored_end(segment, end);
        if segment != self.active().base && missing == end {
            return end;
        }
        let at_edge = self.edge.segment == segment
            && self.edge.start == block_floor(missing)
            && self.edge.start as usize + self.edge.bytes.len() >= missing as usize;
        if at_edge { missing } else { block_floor(missing) }
    }

    /// Lets batches go from the front of the tail until at most `bytes_max` are held, as far as they may go: what stands at
    /// or above `durable_end` is perhaps still on its way to its segment, and with `write.caching` read before that.
    pub fn evict(&mut self, bytes_max: u64, durable_end: Offset) {
        if self.run_lost {
            return;
        }
        let mut tail = std::mem::take(&mut self.tail);
        let (mut limit, mut excess) = (None, tail.held_bytes().saturating_sub(bytes_max));
        tail.evict(|batch| {
            let evictable = match limit {
                Some((segment, end)) if segment == batch.segment => end,
                _ => {
                    let end = self.evictable_end(batch.segment);
                    limit = Some((batch.segment, end));
                    end
                }
            };
            let goes = excess > 0 && batch.end() <= evictable && batch.next_offset <= durable_end;
            excess = excess.saturating_sub(batch.held_bytes());
            goes
        });
        self.tail = tail;
    }

    /// Moves the few batches between `stored` and `end`, which only a checkpoint record and the memory hold, out of the
    /// journal's large blocks.
    pub fn compact_tail(&mut self, pool: &Pool, (stored, end): (u32, u32), durable_end: Offset) {
        let segment = self.edge.segment;
        self.evict(0, durable_end);
        let few = |batch: &&TailBatch| batch.segment == segment && (stored..end).contains(&batch.position);
        // A run may have brought them to the segment meanwhile.
        let are_there = self.tail.iter().find(few).is_some_and(|first| first.position == stored);
        let are_moved = self.tail.iter().filter(few).all(|batch| batch.bytes.block_bytes() == BLOCK_ALIGN);
        if !are_there || are_moved {
            return;
        }
        let Some(mut block) = pool.block_unlimited((end - stored) as usize, Use::Tail) else { return };
        self.copy(segment, stored, &mut block[..(end - stored) as usize]);
        let slice = block.into_slice((end - stored) as usize);
        self.tail.rebase(&slice, segment, stored, end);
    }

    fn must_roll(&self, header: &BatchHeader, bytes: u32, wall_ms: i64) -> bool {
        let active = self.active();
        if active.end == 0 {
            return false;
        }
        let settings = &self.settings;
        // As Kafka's `timeWaitedForRoll`.
        let waited = if active.first_timestamp >= 0 {
            header.max_timestamp().saturating_sub(active.first_timestamp)
        } else {
            wall_ms.saturating_sub(active.begun_ms)
        };
        let index_full = active.index_bytes() + 12 > settings.segment_index_bytes as usize;
        active.end.saturating_add(bytes) > settings.segment_bytes
            || waited > settings.segment_ms
            || active.next_offset + i64::from(header.last_offset_delta()) - active.base > i64::from(i32::MAX)
            || index_full
    }
}

impl Log {
    pub(super) fn with_state(id: PartitionId, name: &str, context: &Rc<Context>, state: State) -> Rc<Log> {
        let end = state.end();
        Rc::new(Log {
            id,
            name: name.to_owned(),
            context: Rc::clone(context),
            state: RefCell::new(state),
            durable_end: Cell::new(end),
            told_start: Cell::new(None),
            quiet: RefCell::default(),
            owner: RefCell::default(),
        })
    }

    /// A log as recovery found it, empty when it found nothing; and the batches since its checkpoint, in order, those among
    /// them that were deleted again.
    pub(super) fn recover(
        id: PartitionId,
        name: &str,
        context: &Rc<Context>,
        settings: LogSettings,
        recovered: RecoveredLog,
    ) -> (Rc<Log>, Vec<Slice>) {
        let wall_ms = context.io.wall_ms();
        let mut state = Log::empty_state(settings, wall_ms);
        let RecoveredLog { record, changes, version, needs, .. } = recovered;
        let name = if record.name.is_empty() { name } else { &record.name.clone() };
        state.version = version;
        state.need.old = needs;
        state.restore(record, context.io.pool(), wall_ms);
        let mut since = Vec::new();
        for change in changes {
            if let Change::Batches { bytes, .. } = &change {
                since.push(bytes.clone());
            }
            state.replay(change, wall_ms);
        }
        let log = Log::with_state(id, name, context, state);
        if !log.state.borrow().dirty.is_empty() || !log.state.borrow().need.is_empty() {
            context.note_change(&log);
        }
        (log, since)
    }

    fn empty_state(settings: LogSettings, wall_ms: Timestamp) -> State {
        State {
            settings,
            log_start: 0,
            version: 0,
            segments: vec![Segment::new(0, wall_ms)],
            tail: Tail::default(),
            edge: Edge::default(),
            dirty: Vec::new(),
            run: None,
            runs_in_flight: Vec::new(),
            held: false,
            closed: false,
            epochs: LeaderEpochs::default(),
            need: Need::default(),
            need_since_capture: Need::default(),
            epochs_written: None,
            capturing: false,
            snapshots: Vec::new(),
            reserving: false,
            reserve_after: None,
            run_lost: false,
            removed: false,
            doomed: Vec::new(),
            warm: Warm::default(),
            read_ahead: None,
            forgotten_reads: 0,
        }
    }

    pub(super) fn state(&self) -> Ref<'_, State> {
        self.state.borrow()
    }

    pub(super) fn state_mut(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    /// The partition.
    pub fn id(&self) -> PartitionId {
        self.id
    }

    /// The name of its directory.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is(&self, id: PartitionId) -> bool {
        self.id == id
    }

    /// Offset of the first record.
    pub fn start(&self) -> Offset {
        self.state.borrow().log_start
    }

    /// The durable start, which is the one to tell clients: a deletion that is on its way to the disk may not come to be.
    pub fn durable_start(&self) -> Offset {
        self.told_start.get().unwrap_or_else(|| self.start())
    }

    /// Base of the oldest segment.
    pub fn oldest_segment(&self) -> Offset {
        self.state.borrow().segments[0].base
    }

    /// Offset after the last record.
    pub fn end(&self) -> Offset {
        self.state.borrow().end()
    }

    /// Offset up to which this disk has confirmed everything.
    pub fn durable_end(&self) -> Offset {
        self.durable_end.get()
    }

    /// The log was cut: what was durable behind its end is no longer part of it.
    pub(super) fn cut_durable(&self, end: Offset) {
        self.durable_end.set(end.min(self.durable_end.get()));
    }

    pub(super) fn set_durable(&self, end: Offset) {
        self.durable_end.set(end.max(self.durable_end.get()));
    }

    pub(super) fn owner(&self) -> &RefCell<Option<Rc<dyn Owner>>> {
        &self.owner
    }

    /// Follows a changed configuration.
    pub fn configure(&self, settings: LogSettings) {
        self.state.borrow_mut().settings = settings;
    }

    /// The latest leader epoch in the log, -1 if there is none.
    pub fn latest_epoch(&self) -> LeaderEpoch {
        self.state.borrow().epochs.latest().map_or(NO_LEADER_EPOCH, |entry| entry.epoch)
    }

    /// Where the largest epoch not above `epoch` ends (KIP-101, KIP-279); `(-1, -1)` when that is not known.
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> (LeaderEpoch, Offset) {
        let state = self.state.borrow();
        let end = state.epochs.end_offset_for(epoch, state.end());
        (end.epoch, end.end_offset)
    }

    /// The leader epoch under which `offset` was appended, -1 if that is not known.
    pub fn epoch_of(&self, offset: Offset) -> LeaderEpoch {
        self.state.borrow().epochs.epoch_for_offset(offset).unwrap_or(NO_LEADER_EPOCH)
    }

    fn rolls_before(&self, header: &BatchHeader, bytes: u32) -> bool {
        self.state.borrow().must_roll(header, bytes, self.context.io.wall_ms())
    }

    /// Appends a validated batch, which gives way to others as `precedence` says: checks its checksum while copying it, and
    /// has `stamp` write into the copy what the leader decides, given the offset of its first record. `snapshot` is asked for
    /// the producer snapshot when the batch begins a new segment. In the order of calls; returns when the batch is placed, not
    /// when it is durable.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was appended then.
    pub fn append(
        self: &Rc<Self>,
        batch: &[u8],
        precedence: Precedence,
        stamp: impl FnOnce(&mut [u8], Offset),
        snapshot: impl FnOnce() -> Vec<u8>,
    ) -> std::result::Result<Placed, AppendError> {
        let header = *BatchHeader::read(batch).expect("it was validated");
        let bytes = batch.len() as u32;
        let rolls = self.rolls_before(&header, bytes);
        let direct = self.make_room(batch.len(), rolls, precedence)?;
        let journal = &self.context.journal;
        // The batch may still turn out to be damaged when it is copied. The log is announced then, and has begun a segment
        // if it was due, and both stand by themselves.
        self.announce();
        if rolls {
            self.roll(snapshot());
            if direct {
                // The new segment has no space yet, and the batch can go nowhere else.
                return Err(self.awaited(bytes));
            }
        }
        let base_offset = self.end();
        let fill = |to: &mut [u8]| {
            if !batch::copy_and_verify(to, batch) {
                return Err(AppendError::Corrupt);
            }
            stamp(to, base_offset);
            Ok(())
        };
        let slice =
            if direct { self.stage_run(batch.len(), fill)? } else { self.stage_entry(&header, batch.len(), fill)? };
        let mut state = self.state.borrow_mut();
        state.note(slice).expect("the leader's epoch never falls");
        let next_offset = state.end();
        state.note_need(|| journal.file());
        let urgency = state.settings.lazy.map_or(Urgency::Now, Urgency::Within);
        drop(state);
        journal.touch(self, next_offset, urgency);
        self.context.note_append(self, u64::from(bytes), direct);
        Ok(Placed { base_offset, next_offset })
    }

    /// Whether an append of a batch of `bytes` has to wait for room.
    pub fn is_full_for(self: &Rc<Self>, bytes: usize, precedence: Precedence) -> bool {
        self.make_room(bytes, false, precedence) == Err(AppendError::Busy)
    }

    /// Makes sure that a batch of `bytes`, before which the log `rolls` or not, has room in the open group, and tells whether
    /// it goes to its segment directly.
    fn make_room(
        self: &Rc<Self>,
        bytes: usize,
        rolls: bool,
        precedence: Precedence,
    ) -> std::result::Result<bool, AppendError> {
        let (closed, removed) = (self.state.borrow().closed, self.state.borrow().removed);
        if removed {
            return Err(AppendError::Closed);
        }
        if closed {
            return Err(AppendError::Busy);
        }
        let direct = match self.goes_direct(bytes as u32, rolls) {
            // Nothing is waited for that will not come.
            Err(error) => return Err(self.context.journal.check_open().map_or_else(AppendError::from, |()| error)),
            Ok(direct) => direct,
        };
        let payload = if direct { 0 } else { bytes };
        self.context.journal.make_room(payload + ENTRY_HEADER_BYTES + self.name.len(), precedence)?;
        Ok(direct)
    }

    /// Stages the log's first entry, which says its name.
    fn announce(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        if state.version > 0 {
            return;
        }
        state.version = 1;
        let entry = self.entry(EntryKind::Create, 1, state.active().base, 0);
        let staged = self.context.journal.stage(&entry, self.name.len(), |to| {
            to.copy_from_slice(self.name.as_bytes());
            Ok::<(), std::convert::Infallible>(())
        });
        staged.expect("copying a name cannot fail");
        // Whatever becomes of the append that follows: the entry counts, and a checkpoint has to cover it.
        state.note_need(|| self.context.journal.file());
        drop(state);
        self.context.note_change(self);
    }

    /// Deletes the records before `to`, durably, and the segments that held nothing else.
    ///
    /// # Errors
    /// [`AppendError`] when the storage takes no change, `Busy` when the journal had no room for five seconds; nothing was
    /// deleted then.
    pub async fn delete_before(self: &Rc<Self>, to: Offset) -> std::result::Result<(), AppendError> {
        let mut deadline = self.context.io.now() + ROOM_WAIT_MAX;
        loop {
            // Write-back relies on the segments it has seen.
            let busy = {
                let state = self.state.borrow();
                state.held || state.capturing || state.closed
            };
            let room = if busy {
                Err(StageError::Full)
            } else if to <= self.start() {
                Ok(())
            } else {
                self.context.journal.make_room(ENTRY_HEADER_BYTES + self.name.len(), Precedence::Deletion)
            };
            match room {
                Ok(()) => break,
                Err(StageError::Full) if busy || self.context.io.now() < deadline => {
                    self.context.io.sleep(Duration::from_millis(1)).await;
                    if busy {
                        deadline = self.context.io.now() + ROOM_WAIT_MAX;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        if to > self.start() {
            self.stage_start(to);
        } else if to <= self.durable_start() {
            return Ok(());
        }
        // Whoever asked may give up waiting, and clients are told of the new start all the same.
        let (sender, settled) = oneshot::channel();
        let log = Rc::clone(self);
        self.context.io.spawn(async move { sender.send(log.start_settled(to).await) });
        settled.await.unwrap_or(Err(AppendError::Closed))
    }

    /// Waits until the log's start at `to` is durable, from when on clients are told of it.
    async fn start_settled(&self, to: Offset) -> std::result::Result<(), AppendError> {
        if !self.context.journal.settled().await {
            return Err(AppendError::Offline(self.context.journal.failure().unwrap_or_default()));
        }
        let durable = self.durable_start().max(to);
        self.told_start.set(Some(durable).filter(|durable| *durable < self.start()));
        self.context.wake_write_back();
        Ok(())
    }

    /// Puts the deletion of the records before `to` into the open group.
    fn stage_start(self: &Rc<Self>, to: Offset) {
        self.told_start.set(Some(self.durable_start()));
        self.announce();
        self.close_run();
        let end = {
            let mut state = self.state.borrow_mut();
            state.version += 1;
            let base = state.active().base;
            let entry = Entry { next_offset: to, ..self.entry(EntryKind::Start, state.version, base, 0) };
            let staged = self.context.journal.stage(&entry, 0, |_| Ok::<(), std::convert::Infallible>(()));
            staged.expect("nothing is copied");
            state.start_at(to);
            state.note_need(|| self.context.journal.file());
            state.end()
        };
        self.context.journal.touch(self, end, Urgency::Now);
        self.context.note_append(self, 0, false);
    }

    fn stage_entry<E>(
        self: &Rc<Self>,
        header: &BatchHeader,
        bytes: usize,
        fill: impl FnOnce(&mut [u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<Slice, E> {
        self.close_run();
        let mut state = self.state.borrow_mut();
        state.run = None;
        let (segment, position) = (state.active().base, state.active().end);
        let entry = Entry {
            next_offset: state.end() + i64::from(header.last_offset_delta()) + 1,
            ..self.entry(EntryKind::Append, state.version + 1, segment, position)
        };
        let slice = self.context.journal.stage(&entry, bytes, fill)?;
        state.version += 1;
        state.mark_dirty(segment, position, position + bytes as u32);
        Ok(slice)
    }

    fn entry(&self, kind: EntryKind, version: u64, segment: Offset, position: u32) -> Entry {
        Entry { kind, id: self.id, version, segment, position, next_offset: 0, run_bytes: 0, run_crc: 0 }
    }

    fn stage_run(
        self: &Rc<Self>,
        bytes: usize,
        fill: impl FnOnce(&mut [u8]) -> std::result::Result<(), AppendError>,
    ) -> std::result::Result<Slice, AppendError> {
        let (segment, position) = {
            let state = self.state.borrow();
            (state.active().base, state.active().end)
        };
        let goes_on = self.state.borrow().run.as_ref().is_some_and(|run| run.takes(segment, position, bytes));
        if !goes_on {
            self.close_run();
            let mut state = self.state.borrow_mut();
            let pool = self.context.io.pool();
            let run = RunBuffer::new(pool, segment, position, bytes, |start, to| state.copy(segment, start, to));
            state.run = Some(run.ok_or(AppendError::Memory)?);
        }
        let mut state = self.state.borrow_mut();
        let (slice, opened) = state.run.as_mut().expect("it was just made").stage(bytes, fill)?;
        drop(state);
        if opened {
            self.context.journal.join_run(self);
        }
        Ok(slice)
    }

    /// Closes the run of the open group before the group ends.
    fn close_run(self: &Rc<Self>) {
        if let Some(run) = self.seal_run() {
            self.context.journal.close_run(run);
        }
    }

    /// Closes the run of the open group, if there is one: its whole blocks are to be written now.
    pub(super) fn seal_run(self: &Rc<Self>) -> Option<SealedRun> {
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        if !state.run.as_ref().is_some_and(RunBuffer::is_open) {
            return None;
        }
        let (segment, end) = (state.active().base, state.active().end);
        state.version += 1;
        let entry = Entry { next_offset: state.end(), ..self.entry(EntryKind::Append, state.version, segment, 0) };
        let sealed = state.run.as_mut().expect("just looked at").seal(self, entry)?;
        state.mark_stored(segment, sealed.at, sealed.at + sealed.bytes.len() as u32);
        let rest = end - sealed.rest.len() as u32;
        state.mark_dirty(segment, rest, end);
        state.runs_in_flight.push((segment, sealed.at));
        Some(sealed)
    }

    /// The run at `at` of a segment is in its file, or it was `lost` and will never be.
    pub(super) fn run_finished(&self, segment: Offset, at: u32, lost: bool) {
        let state = &mut *self.state.borrow_mut();
        state.run_lost |= lost;
        let runs = &mut state.runs_in_flight;
        let found = runs.iter().position(|run| *run == (segment, at));
        runs.swap_remove(found.expect("each run finishes once"));
        self.wake_quiet();
    }

    pub(super) fn wake_quiet(&self) {
        let wakers = std::mem::take(&mut *self.quiet.borrow_mut());
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until no run is staged or under way and no space is being reserved, or the storage is offline, where no run
    /// will be written any more. The caller holds the log, so none begins.
    pub(super) async fn quiet(&self) {
        poll_fn(|context| {
            let state = self.state.borrow();
            let is_quiet = !state.has_runs() && !state.reserving;
            if is_quiet || self.context.journal.failure().is_some() {
                return Poll::Ready(());
            }
            self.quiet.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Begins a new segment at the log's end. `snapshot` is Kafka's producer snapshot as of there.
    fn roll(self: &Rc<Self>, snapshot: Vec<u8>) {
        self.close_run();
        let mut state = self.state.borrow_mut();
        state.run = None;
        state.active_mut().close();
        let base = state.end();
        state.segments.push(Segment::new(base, self.context.io.wall_ms()));
        state.snapshots.push((base, snapshot.into()));
    }

    /// The file of the active segment, for writing.
    pub(super) async fn active_file(&self, segment: Offset) -> Result<File> {
        self.context.directory.segment_for_write((self.id, &self.name), segment).await
    }

    /// The file of a segment, for reading.
    pub(super) async fn file(&self, segment: Offset, access: Access) -> Result<File> {
        self.context.directory.segment((self.id, &self.name), segment, access).await
    }
}
