//! Write-back: from the journal to the segments, then the checkpoint, then the journal's files are free again.
//!
//! A pass takes all logs that changed. For each it captures the state, writes what the segment files lack in whole
//! blocks, makes that durable, and appends a record to the checkpoint; when that is durable too, the log needs no older
//! journal file. A log whose missing part fits into its last, incomplete block is not written at all: the checkpoint
//! record holds that block, so ten thousand partitions with a few records each cost one sequential write.

use std::cell::RefCell;
use std::rc::Rc;

use super::checkpoint::{Checkpoint, Effect, LogRecord, SegmentRecord};
use super::context::Context;
use super::directory::{Kind, parse_file_name};
use super::log::{DirtyRange, Edge, Log, Need, State};
use super::owner::Companion;
use super::reader::{Memory, ReadError};
use super::run::{RunBuffer, block_floor};
use super::segment::{OnFile, Segment};
use crate::base::block::{BLOCK_ALIGN, Use};
use crate::base::oneshot;
use crate::io::file::{self, File};
use crate::io::op::{OpenMode, Slices};
use crate::io::{Error, ErrorKind, Result};
use crate::model::offset::Offset;

/// The largest single write, in bytes: while there is time, and while appends press. A commit of the moment waits for the write
/// before it, and its flush for all that was written since the last one.
const WRITE_BYTES_MAX: u32 = 128 << 10;
const PRESSED_WRITE_BYTES_MAX: u32 = 1 << 20;
/// While there is time, write-back rests after each write for so many times what it took.
const REST: u32 = 3;
/// Of the logs that lack as much as this, one is written at a time: more of them gain nothing that anybody waits for, and each
/// is in the way of the commits that somebody does wait for.
const LARGE_BYTES: u64 = 1 << 20;
/// Checkpoint records are made durable when they have this many bytes, if not before.
const RECORDS_BYTES_MAX: usize = 8 << 20;

/// What a log looked like when its write-back began.
pub(super) struct Captured {
    /// The record to be; the write-back completes what it says of the index files.
    pub record: LogRecord,
    dirty: Vec<DirtyRange>,
    /// The segments that are to be written, oldest first; the last one is appended to meanwhile.
    segments: Vec<Unfinished>,
    edge: Edge,
    /// Segments whose files can go when the record is durable.
    doomed: Vec<Offset>,
    snapshots: Vec<(Offset, Rc<[u8]>)>,
    /// What the owner's files lack.
    companions: Vec<Companion>,
    /// The segment files need not be touched.
    in_record: bool,
}

/// A segment whose files are to be brought up to date.
struct Unfinished {
    base: Offset,
    end: u32,
    offsets: Unwritten,
    times: Unwritten,
}

/// Index entries that are to follow those on file.
pub(super) struct Unwritten {
    pub on_file: OnFile,
    /// Of the indexes they were taken from.
    pub generation: u32,
    pub entry_bytes: u32,
    pub bytes: Vec<u8>,
}

/// A log whose record waits for the checkpoint.
struct Pending {
    log: Rc<Log>,
    captured: Captured,
    record: Vec<u8>,
}

/// How thorough a pass is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thoroughness {
    /// In normal running.
    Lazy,
    /// At a clean stop: every file is brought to its exact size and content.
    Final,
}

/// One pass over `logs`.
///
/// # Errors
/// The first error of any log; the logs that failed stay as they are and come again with the next pass.
pub(super) async fn pass(
    context: &Rc<Context>,
    checkpoint: &Rc<Checkpoint>,
    logs: Vec<Rc<Log>>,
    thoroughness: Thoroughness,
) -> Result<()> {
    context.counters.borrow_mut().write_backs += 1;
    let tells = context.tells_failures();
    let queue = Rc::new(RefCell::new(logs.into_iter()));
    let pending = Rc::new(RefCell::new(Vec::new()));
    let failure = Rc::new(RefCell::new(None));
    let workers: Vec<_> = (0..context.config.write_back_depth)
        .map(|_| {
            let (sender, receiver) = oneshot::channel();
            let worker = Worker {
                context: Rc::clone(context),
                checkpoint: Rc::clone(checkpoint),
                queue: Rc::clone(&queue),
                pending: Rc::clone(&pending),
                failure: Rc::clone(&failure),
                thoroughness,
            };
            context.io.spawn(async move {
                worker.run().await;
                sender.send(());
            });
            receiver
        })
        .collect();
    for worker in workers {
        worker.await;
    }
    let rest = pending.take();
    complete(context, checkpoint, rest, (&failure, thoroughness)).await;
    context.journal.recycle();
    let failed = failure.borrow_mut().take();
    context.note_pass(failed.is_some(), tells);
    failed.map_or(Ok(()), Err)
}

struct Worker {
    context: Rc<Context>,
    checkpoint: Rc<Checkpoint>,
    queue: Rc<RefCell<std::vec::IntoIter<Rc<Log>>>>,
    pending: Rc<RefCell<Vec<Pending>>>,
    failure: Rc<RefCell<Option<Error>>>,
    thoroughness: Thoroughness,
}

impl Worker {
    async fn run(self) {
        loop {
            let Some(log) = self.queue.borrow_mut().next() else { return };
            match write_back(&log, self.thoroughness).await {
                Ok(Some(pending)) => self.collect(pending).await,
                Ok(None) => {}
                Err(error) => {
                    if self.context.tells_failures() {
                        tracing::warn!("{} could not be written back: {error}; trying again", log.name());
                    }
                    self.context.note_change(&log);
                    self.failure.borrow_mut().get_or_insert(error);
                }
            }
        }
    }

    async fn collect(&self, done: Pending) {
        let full = {
            let mut pending = self.pending.borrow_mut();
            pending.push(done);
            let bytes: usize = pending.iter().map(|pending| pending.record.len()).sum();
            pending.len() >= self.context.config.steps.checkpoint_records || bytes >= RECORDS_BYTES_MAX
        };
        if full {
            let batch = self.pending.take();
            complete(&self.context, &self.checkpoint, batch, (&self.failure, self.thoroughness)).await;
        }
    }
}

/// Makes the records of `pending` durable and lets the logs go on from there.
async fn complete(
    context: &Rc<Context>,
    checkpoint: &Rc<Checkpoint>,
    mut pending: Vec<Pending>,
    (failure, thoroughness): (&Rc<RefCell<Option<Error>>>, Thoroughness),
) {
    if pending.is_empty() {
        return;
    }
    let note = |error: Error| {
        if context.tells_failures() {
            tracing::warn!("the checkpoint could not be written: {error}; trying again");
        }
        failure.borrow_mut().get_or_insert(error);
    };
    match append(context, checkpoint, &mut pending, Effect::Takes).await {
        Err(error) if error.kind() == ErrorKind::StorageFull => {
            let frees = |one: &Pending| !one.captured.doomed.is_empty();
            let (freeing, rest): (Vec<_>, Vec<_>) = pending.into_iter().partition(frees);
            give_up(context, rest);
            note(error);
            // One after the other: what the files of one held is there for the records of the next.
            for mut one in freeing.into_iter().map(|one| vec![one]) {
                match append(context, checkpoint, &mut one, Effect::Frees).await {
                    Err(_) => give_up(context, one),
                    Ok(()) => go_on(context, one, thoroughness).await,
                }
            }
        }
        Err(error) => {
            give_up(context, pending);
            note(error);
        }
        Ok(()) => go_on(context, pending, thoroughness).await,
    }
}

/// Appends the records of `pending` to the checkpoint. They are given up there and then, before anything that stays is allocated
/// among them; when they could not be appended, their logs have them still.
async fn append(context: &Context, checkpoint: &Checkpoint, pending: &mut [Pending], effect: Effect) -> Result<()> {
    let records: Vec<_> = pending.iter_mut().map(|one| (one.log.id(), std::mem::take(&mut one.record))).collect();
    context.counters.borrow_mut().checkpoint_records += records.len() as u64;
    let result = checkpoint.append(&records, effect).await;
    if result.is_err() {
        pending.iter_mut().zip(records).for_each(|(one, (_, record))| one.record = record);
    }
    result
}

/// The records of these logs are not in the checkpoint: they come again.
fn give_up(context: &Context, pending: Vec<Pending>) {
    for Pending { log, .. } in pending {
        log.state_mut().abandon_capture();
        context.note_change(&log);
    }
}

/// The records of these logs are durable.
async fn go_on(context: &Context, pending: Vec<Pending>, thoroughness: Thoroughness) {
    for Pending { log, captured, .. } in pending {
        // Until they are gone the log counts as being written back: no other log gets the directory's name.
        let thorough = thoroughness == Thoroughness::Final;
        let strays = if thorough { remove_strays(&log).await } else { Ok(()) };
        if let Err(error) = remove_doomed(&log, &captured.doomed).await.and(strays) {
            tracing::warn!("{}: deleted segments could not be removed: {error}", log.name());
            context.note_change(&log);
        }
        log.finish_write_back(captured);
    }
}

/// Writes one log back; what is left to do is the checkpoint.
async fn write_back(log: &Rc<Log>, thoroughness: Thoroughness) -> Result<Option<Pending>> {
    let large = log.state().dirty_bytes() >= LARGE_BYTES;
    let _alone = if large { Some(log.context.large_write_backs.enter().await) } else { None };
    log.state_mut().held = true;
    let result = write_back_held(log, thoroughness).await;
    log.state_mut().held = false;
    if result.is_err() {
        log.state_mut().abandon_capture();
    }
    result
}

async fn write_back_held(log: &Rc<Log>, thoroughness: Thoroughness) -> Result<Option<Pending>> {
    log.quiet().await;
    if log.state().removed {
        return Ok(None);
    }
    check_indexes(log, thoroughness).await?;
    let mut captured = log.capture(thoroughness);
    if !log.context.journal.settled().await {
        return Err(ErrorKind::Interrupted.into());
    }
    if log.context.low_on_space() {
        log.release_reserved().await?;
    }
    if !captured.in_record {
        write_segments(log, &mut captured, thoroughness).await?;
    }
    let record = captured.record.encode(log.id());
    Ok(Some(Pending { log: Rc::clone(log), captured, record }))
}

/// Makes sure, before entries are added to index files for the last time, that those of earlier starts are there: while
/// a segment was appended to they were not synced.
async fn check_indexes(log: &Rc<Log>, thoroughness: Thoroughness) -> Result<()> {
    for base in log.unchecked_indexes(thoroughness) {
        match log.load_indexes(base, Memory::Unlimited).await {
            // A segment that cannot be read keeps the index it has; whoever reads it is told.
            Ok(()) | Err(ReadError::Corrupt(_) | ReadError::OutOfRange) => {}
            Err(ReadError::Memory) => return Err(ErrorKind::OutOfMemory.into()),
            Err(ReadError::Io(why)) => return Err(Error::other(why)),
        }
    }
    Ok(())
}

/// Removes files of segments that never came to be part of the log: a crash took the append that began them.
async fn remove_strays(log: &Rc<Log>) -> Result<()> {
    let (io, directory) = (&log.context.io, log.context.directory.partition_path(log.name()));
    if file::stat(io, &directory).await?.is_none() {
        return Ok(());
    }
    for name in file::list(io, &directory).await? {
        let known = |base: Offset| log.state().segments.iter().any(|segment| segment.base == base);
        if parse_file_name(&name).is_some_and(|(base, _)| !known(base)) {
            file::unlink(io, &directory.join(name)).await?;
        }
    }
    Ok(())
}

/// Removes the files of segments that are no longer part of the log. The checkpoint no longer names them: until then
/// recovery may look into them, for the runs that they hold.
async fn remove_doomed(log: &Rc<Log>, doomed: &[Offset]) -> Result<()> {
    for base in doomed {
        log.context.directory.forget(log.id(), *base);
        for kind in Kind::ALL {
            file::unlink(&log.context.io, &log.context.directory.path(log.name(), *base, kind)).await?;
        }
        // Who was reading may have opened it again meanwhile.
        log.context.directory.forget(log.id(), *base);
    }
    log.state_mut().doomed.retain(|base| !doomed.contains(base));
    Ok(())
}

impl State {
    /// Gives up a capture: what it covered is needed from the journal as before.
    pub(super) fn abandon_capture(&mut self) {
        self.capturing = false;
        let since = std::mem::take(&mut self.need_since_capture);
        self.need.current = self.need.current.take().or(since.current);
    }

    /// Whether everything that the files lack lies in the last, incomplete block, and begins with a batch; the index files of the
    /// active segment may lack `index_lag` bytes more.
    fn fits_record(&self, index_lag: u32) -> bool {
        let active = self.active();
        let finished = self.segments.iter().rev().skip(1).all(|segment| segment.finished)
            && !active.indexes.are_due(active.end, index_lag);
        match self.dirty.as_slice() {
            [] => finished,
            [range] => {
                let begins =
                    self.tail.iter().any(|batch| batch.segment == active.base && batch.position == range.start);
                finished && range.segment == active.base && range.start >= block_floor(active.end) && begins
            }
            _ => false,
        }
    }
}

impl Log {
    /// Segments whose index files are to be finished and were last seen by an earlier start.
    fn unchecked_indexes(&self, thoroughness: Thoroughness) -> Vec<Offset> {
        let state = self.state();
        let active = state.active().base;
        let ends = |segment: &&Segment| segment.base != active || thoroughness == Thoroughness::Final;
        let unchecked = |segment: &&Segment| !segment.finished && !segment.indexes.whole;
        state.segments.iter().filter(ends).filter(unchecked).map(|segment| segment.base).collect()
    }

    /// Captures the state that a checkpoint record will describe.
    pub(super) fn capture(&self, thoroughness: Thoroughness) -> Captured {
        let owner_state = self.owner_state();
        let companions = self.companions(thoroughness);
        let state = &mut *self.state_mut();
        if thoroughness == Thoroughness::Final {
            state.active_mut().close();
        }
        let (active, end) = (state.active().base, state.active().end);
        let index_lag = self.context.config.steps.index_lag_bytes;
        let in_record = thoroughness == Thoroughness::Lazy && state.fits_record(index_lag);
        let first_dirty = state.dirty.first().map_or(end, |range| range.start);
        let start = block_floor(end);
        let mut bytes = vec![0; (end - start) as usize];
        state.copy(active, start, &mut bytes);
        state.capturing = true;
        state.need_since_capture = Need::default();
        let unfinished = state.segments.iter().filter(|segment| !segment.finished && !in_record);
        let segments = unfinished.map(|segment| {
            let finishes = segment.base != active || thoroughness == Thoroughness::Final;
            let due = finishes || segment.indexes.are_due(segment.end, index_lag);
            let (offsets, times) = segment.indexes.unwritten(due);
            Unfinished { base: segment.base, end: segment.end, offsets, times }
        });
        Captured {
            record: LogRecord {
                name: self.name().to_owned(),
                version: state.version,
                process_epoch: self.context.journal.chain().epoch,
                removed: false,
                log_start: state.log_start,
                segments: state.segments.iter().map(Segment::record).collect(),
                epochs: state.epochs.entries().to_vec(),
                stored: if in_record { first_dirty } else { end },
                edge: bytes.clone(),
                owner_state,
            },
            segments: segments.collect(),
            dirty: state.dirty.clone(),
            edge: Edge { segment: active, start, bytes },
            doomed: state.doomed.clone(),
            snapshots: state.snapshots.clone(),
            companions: if in_record { Vec::new() } else { companions },
            in_record,
        }
    }

    /// Lets go of what the checkpoint now covers.
    pub(super) fn finish_write_back(self: &Rc<Self>, captured: Captured) {
        self.companions_written(&captured.companions);
        let state = &mut *self.state_mut();
        state.capturing = false;
        let since = std::mem::take(&mut state.need_since_capture);
        state.need.end(since);
        // A run's buffer is large, and the log may be idle from now on; the next run makes another.
        if !state.run.as_ref().is_some_and(RunBuffer::is_open) {
            state.run = None;
        }
        if captured.in_record {
            let stored = captured.record.stored;
            let end = captured.edge.start + captured.edge.bytes.len() as u32;
            state.edge = captured.edge;
            state.edge.bytes.truncate((stored - state.edge.start) as usize);
            state.compact_tail(self.context.io.pool(), (stored, end), self.durable_end());
            return;
        }
        state.snapshots.retain(|(base, _)| !captured.snapshots.iter().any(|(written, _)| written == base));
        for range in &captured.dirty {
            state.mark_stored(range.segment, range.start, range.end);
        }
        state.edge = captured.edge;
    }
}

/// Writes what the segment files lack, and finishes the segments that are no longer appended to.
async fn write_segments(log: &Rc<Log>, captured: &mut Captured, thoroughness: Thoroughness) -> Result<()> {
    let active = captured.edge.segment;
    let (mut epochs_are_due, mut wrote) = (thoroughness == Thoroughness::Final, false);
    for segment in std::mem::take(&mut captured.segments) {
        let finish = segment.base != active || thoroughness == Thoroughness::Final;
        epochs_are_due |= finish || !segment.offsets.bytes.is_empty();
        if segment.end == 0 {
            cut_empty(log, segment.base, finish).await?;
            continue;
        }
        let file = log.active_file(segment.base).await?;
        wrote = true;
        for range in captured.dirty.iter().filter(|range| range.segment == segment.base) {
            write_range(log, &file, *range).await?;
        }
        if finish {
            file.truncate(&log.context.io, u64::from(segment.end)).await?;
        }
        file.sync(&log.context.io, !finish).await?;
        append_index(log, segment.base, Kind::Index, &segment.offsets, finish).await?;
        append_index(log, segment.base, Kind::TimeIndex, &segment.times, finish).await?;
        let record = log.note_files_written(&segment, segment.base != active, finish);
        captured.record.segments.iter_mut().filter(|one| one.base == segment.base).for_each(|one| {
            (one.offsets_on_file, one.times_on_file) = (record.offsets_on_file, record.times_on_file);
            (one.finished, one.cut_to_size) = (record.finished, record.cut_to_size);
        });
    }
    for (base, snapshot) in &captured.snapshots {
        log.context.directory.ensure(log.name()).await?;
        let path = log.context.directory.path(log.name(), *base, Kind::Snapshot);
        file::replace(&log.context.io, &path, snapshot).await?;
    }
    for companion in &captured.companions {
        log.write_companion(companion).await?;
    }
    match (epochs_are_due, wrote) {
        (true, _) => write_epochs(log).await,
        (false, true) => make_epochs(log).await,
        (false, false) => Ok(()),
    }
}

/// Takes what a cut left in the files of a segment that is empty now, if it has any.
async fn cut_empty(log: &Rc<Log>, base: Offset, finish: bool) -> Result<()> {
    let io = &log.context.io;
    for kind in [Kind::Log, Kind::Index, Kind::TimeIndex] {
        let path = log.context.directory.path(log.name(), base, kind);
        if !finish || file::stat(io, &path).await?.is_none() {
            continue;
        }
        let file = File::open(io, &path, OpenMode { write: true, ..OpenMode::default() }).await?;
        file.truncate(io, 0).await?;
        file.sync(io, false).await?;
    }
    Ok(())
}

impl Log {
    /// Notes that a segment's files were brought up to date; gives what a record says of it now.
    fn note_files_written(&self, written: &Unfinished, finished: bool, cut: bool) -> SegmentRecord {
        let mut state = self.state_mut();
        let found = state.segments.iter_mut().find(|segment| segment.base == written.base);
        let segment = found.expect("segments stay while the log is held");
        let counts = segment.indexes.note_written(&written.offsets, &written.times, written.end);
        if cut {
            segment.allocated = 0;
            segment.cut_to_size = counts && segment.end == written.end;
        }
        if finished && counts {
            segment.finished = true;
            segment.indexes.unload();
        }
        segment.record()
    }
}

/// Writes one missing range in whole blocks: what stands before it in its first block is written again as it is, and
/// zeros follow it in its last one.
async fn write_range(log: &Rc<Log>, file: &File, range: DirtyRange) -> Result<()> {
    let io = &log.context.io;
    let mut at = block_floor(range.start);
    while at < range.end {
        let pressed = log.context.is_pressed();
        let bytes_max = if pressed { PRESSED_WRITE_BYTES_MAX } else { WRITE_BYTES_MAX };
        let until = range.end.min(at.saturating_add(bytes_max));
        let count = (until - at) as usize;
        let padded = count.next_multiple_of(BLOCK_ALIGN);
        let Some(mut block) = io.pool().block_unlimited(padded, Use::Staging) else {
            return Err(ErrorKind::OutOfMemory.into());
        };
        log.state().copy(range.segment, at, &mut block[..count]);
        block[count..padded].fill(0);
        let mut slices = Slices::new();
        slices.push(block.into_slice(padded));
        let started = io.now();
        file.write_at(io, u64::from(at), slices, false).await?;
        log.context.counters.borrow_mut().written_back_bytes += padded as u64;
        at = until;
        if !pressed && at < range.end {
            io.sleep(REST * io.now().since(started)).await;
        }
    }
    Ok(())
}

/// Appends to a segment's index file what came since it was last written.
async fn append_index(log: &Rc<Log>, base: Offset, kind: Kind, new: &Unwritten, finish: bool) -> Result<()> {
    if new.bytes.is_empty() && !finish {
        return Ok(());
    }
    let io = &log.context.io;
    let path = log.context.directory.path(log.name(), base, kind);
    let file = File::open(io, &path, OpenMode { write: true, create: true, ..OpenMode::default() }).await?;
    let at = u64::from(new.on_file.entries) * u64::from(new.entry_bytes);
    file::append_copied(io, &file, at, &new.bytes).await?;
    if finish {
        file.truncate(io, at + new.bytes.len() as u64).await?;
        file.sync(io, false).await?;
        file::sync_directory(io, &log.context.directory.partition_path(log.name())).await?;
    }
    Ok(())
}

/// Makes `leader-epoch-checkpoint`, empty for now, so that it stands where write-back was, which is what a start goes by
/// ([`super::sweep`]); one that is there stays as it is.
async fn make_epochs(log: &Rc<Log>) -> Result<()> {
    if log.state().epochs_written.is_none() {
        let path = log.context.directory.partition_path(log.name()).join("leader-epoch-checkpoint");
        File::open(&log.context.io, &path, OpenMode { write: true, create: true, ..OpenMode::default() }).await?;
        log.state_mut().epochs_written = Some(0);
    }
    Ok(())
}

/// Writes `leader-epoch-checkpoint`, for Kafka's tools; the checkpoint record is what recovery reads.
async fn write_epochs(log: &Rc<Log>) -> Result<()> {
    let (text, count) = {
        let state = log.state();
        let count = state.epochs.entries().len();
        if state.epochs_written == Some(count) {
            return Ok(());
        }
        (state.epochs.encode(), count)
    };
    let directory = log.context.directory.partition_path(log.name());
    if file::stat(&log.context.io, &directory).await?.is_some() {
        file::replace(&log.context.io, &directory.join("leader-epoch-checkpoint"), text.as_bytes()).await?;
        log.state_mut().epochs_written = Some(count);
    }
    Ok(())
}
