//! Reads: from an offset to the bytes of whole batches, and from a timestamp to an offset.
//!
//! What the tail holds is sent from memory. What it does not is read from the segment into a block, the first time past the
//! page cache (`warm.rs`), and every checksum is compared before anything is sent. For a consumer that reads in order the next
//! bytes are read ahead meanwhile. What was read a second time, through the page cache, goes by sendfile from then on.

use std::rc::Rc;

use super::directory::{Access, Kind};
use super::log::{Log, State};
use super::offset_index::{OffsetIndex, OffsetPosition};
use super::run::block_floor;
use super::segment::{Indexes, Segment};
use super::time_index::TimeIndex;
use crate::base::block::{BLOCK_ALIGN, Slice, Use};
use crate::base::oneshot;
use crate::base::time::Duration;
use crate::io::file::{self, File};
use crate::model::offset::{LeaderEpoch, NO_TIMESTAMP, Offset, Timestamp};
use crate::record::batch::{BatchHeader, MAGIC};
use crate::record::crc;
use crate::record::{Corruption, check_stored, records, timestamp};

/// The most that one read brings into memory, unless a single batch is larger: with what makes it whole sectors a block of 1 MiB.
const READ_BYTES_MAX: u32 = (1 << 20) - BLOCK_ALIGN as u32;

/// The most that is asked of the device at once past the page cache: durable writes wait behind it in its queue. Twice as much is
/// a tenth quicker to read, and more than doubles their p99 (benches/RESULTS.md, "Cold reads").
const DIRECT_PIECE_BYTES: u32 = 256 << 10;

/// Whose memory a read takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// What the pool has left.
    Limited,
    /// As much as it needs: for write-back, which is what frees memory. Its workers are few, and each reads one piece.
    Unlimited,
}
/// The least that a read brings, so that a search looks at more than one batch.
pub(super) const READ_BYTES_MIN: u32 = 64 << 10;
/// How often index files are read again because they grew meanwhile.
const INDEX_TRIES: u32 = 4;
/// How often, and after how long, memory for a read is asked for again.
const MEMORY_TRIES: u32 = 200;
const MEMORY_PAUSE: Duration = Duration::from_millis(1);

/// A part of what was read.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Bytes in memory.
    Memory(Slice),
    /// A range of a file that is in the page cache.
    File {
        /// The file.
        file: File,
        /// Position of the first byte.
        at: u64,
        /// How many.
        bytes: u32,
    },
}

impl Piece {
    /// Its size in bytes.
    pub fn bytes(&self) -> u32 {
        match self {
            Piece::Memory(slice) => slice.len() as u32,
            Piece::File { bytes, .. } => *bytes,
        }
    }
}

/// What was read: whole batches.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// Their bytes, in order.
    pub pieces: Vec<Piece>,
    /// The offset after the last record; the first offset that was asked for where nothing was read.
    pub next_offset: Offset,
}

/// Why nothing could be read.
#[derive(Debug)]
pub enum ReadError {
    /// The offset is not in the log.
    OutOfRange,
    /// The bytes on disk are not what was written.
    Corrupt(String),
    /// The kernel refused.
    Io(String),
    /// No memory could be had in time.
    Memory,
}

/// How long what was read ahead waits for who reads it.
const AHEAD_KEPT: Duration = Duration::from_secs(1);

/// Of so many logs of a reactor something is read ahead at a time: with up to 1 MiB of each that bounds what nobody may come for.
const LOGS_READ_AHEAD_MAX: usize = 32;

/// What is in memory, or on its way there, for a consumer that reads a log in order. There is at most one of it a log.
pub(super) struct ReadAhead {
    start: Start,
    bytes: oneshot::Receiver<Slice>,
    /// One of the context's `logs_read_ahead`.
    _counted: Rc<()>,
}

/// Whole batches of a segment file, each of them sound.
struct Stored {
    bytes: Slice,
    segment: Offset,
    /// Where each batch starts, and where the last one ends.
    starts: Vec<Mark>,
    end: Mark,
    /// How they were read.
    access: Access,
}

/// Where a read begins.
#[derive(Clone, Copy)]
struct Start {
    /// The offset that is looked for.
    from: Offset,
    segment: Offset,
    position: u32,
    limit: u32,
    /// The offset that the batch at the position has to start with, where that is known.
    expected: Option<Offset>,
    /// By the index the offset behind the batch at the position, where that one need not be looked at.
    behind_first: Option<Offset>,
}

/// A batch's offset and its position in the segment.
type Mark = (Offset, u32);

impl Log {
    /// Whole batches from the one that holds `from` on, that end at or before `below`, at most `bytes_max` (the first one
    /// even if larger when `at_least_one`). May give less than there is; gives nothing only when nothing fits.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read(
        self: &Rc<Self>,
        from: Offset,
        below: Offset,
        bytes_max: u32,
        at_least_one: bool,
    ) -> Result<Read, ReadError> {
        if from >= below || (bytes_max == 0 && !at_least_one) {
            return Ok(Read { pieces: Vec::new(), next_offset: from });
        }
        let range = {
            let state = self.state();
            if let Some((slices, next_offset)) = state.tail.read(from, below, bytes_max, at_least_one) {
                return Ok(Read { pieces: slices.into_iter().map(Piece::Memory).collect(), next_offset });
            }
            state.warm.find(from, below, bytes_max, self.context.io.now())
        };
        if let Some(range) = range
            && let Ok(file) = self.file(range.segment, Access::Cached).await
        {
            let (at, bytes) = (u64::from(range.start), range.end - range.start);
            // Where the kernel cannot tell, what was read lately is taken to be there still.
            if file.is_resident(&self.context.io, at, bytes).await.unwrap_or(true) {
                return Ok(Read { pieces: vec![Piece::File { file, at, bytes }], next_offset: range.next_offset });
            }
        }
        let forgotten = self.state().forgotten_reads;
        let ahead = self.read_ahead_of(from).await;
        let stored = self.find_stored(from, bytes_max, ahead).await?;
        let (given, next_offset) = within(&stored.bytes, from, below, bytes_max, at_least_one);
        if self.state().forgotten_reads == forgotten {
            self.note_read(&stored, given.as_ref().map_or(0, |given| given.len() as u32), next_offset, bytes_max);
        }
        Ok(Read { pieces: given.map(Piece::Memory).into_iter().collect(), next_offset })
    }

    /// As [`Log::read`], always in memory, and without a thought for who reads next: for look-ups.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_memory(self: &Rc<Self>, from: Offset, bytes_max: u32) -> Result<Vec<Slice>, ReadError> {
        let end = self.end();
        let tail = self.state().tail.read(from, end, bytes_max, true);
        match tail {
            Some((slices, _)) => Ok(slices),
            None => Ok(vec![self.find_stored(from, bytes_max, None).await?.bytes]),
        }
    }

    /// The segment that holds the batch with `offset`, its position there, and its bytes with those that follow.
    pub(super) async fn find_batch(self: &Rc<Self>, offset: Offset) -> Result<(Slice, Offset, u32), ReadError> {
        let stored = self.find_stored(offset, 1, None).await?;
        let position = stored.starts[0].1;
        Ok((stored.bytes, stored.segment, position))
    }

    /// Whole batches of a segment file, the first of which holds `from`. Each that it gives is sound; where one is not, it gives
    /// those before it.
    async fn find_stored(
        self: &Rc<Self>,
        from: Offset,
        bytes_max: u32,
        ahead: Option<(Start, Slice)>,
    ) -> Result<Stored, ReadError> {
        let mut want = bytes_max.clamp(READ_BYTES_MIN, READ_BYTES_MAX);
        let (mut start, access, mut ahead) = match ahead {
            Some((start, bytes)) => {
                want = bytes.len() as u32;
                (start, Access::Direct, Some(bytes))
            }
            None => {
                let start = self.start_of(from).await?;
                want = want.min(start.limit.saturating_sub(start.position));
                (start, self.access(&start, want).await, None)
            }
        };
        let mut damage: Option<(u32, String)> = None;
        // Each round moves the start behind what it found to lie before `from`, or learns the size of the batch there.
        loop {
            if want == 0 {
                return Err(ReadError::OutOfRange);
            }
            let bytes = match ahead.take() {
                Some(bytes) => bytes,
                None => self.load(start.segment, start.position, want, Memory::Limited, access).await?,
            };
            let before = skip_before(&bytes, &mut start);
            let (starts, end) = match self.sound(&bytes, before, &start) {
                Ok(found) => found,
                Err(why) => {
                    // Behind the damage is tried once; what is told is the damage.
                    let retried = damage.is_some();
                    let (position, why) = damage.get_or_insert((start.position + before as u32, why));
                    if !retried && let Some(next) = self.start_behind(&start, *position) {
                        start = next;
                        want = READ_BYTES_MIN.min(start.limit - start.position);
                        continue;
                    }
                    return Err(self.corrupt(start.segment, *position, why));
                }
            };
            let Some((_, first)) = starts.first().copied() else {
                want = self.larger(&start, before as u32, &bytes[before..], want)?;
                start.position += before as u32;
                want = want.min(start.limit - start.position);
                continue;
            };
            let bytes = bytes.slice((first - start.position) as usize..(end.1 - start.position) as usize);
            return Ok(Stored { bytes, segment: start.segment, starts, end, access });
        }
    }

    /// Notes what a consumer was given of `stored`: its front of `given` bytes, up to the offset `next`. What is left of it is kept for
    /// its next read; where nothing is left and it reads in order, as much as it asked for is read ahead.
    fn note_read(self: &Rc<Self>, stored: &Stored, given: u32, next: Offset, asked: u32) {
        let now = self.context.io.now();
        let Stored { ref bytes, segment, ref starts, end, access } = *stored;
        let mut state = self.state_mut();
        if access == Access::Cached {
            state.warm.note(access, segment, starts, end, now);
            return;
        }
        let position = starts[0].1 + given;
        let follows = given > 0 && state.warm.note(access, segment, starts, (next, position), now);
        drop(state);
        if given < bytes.len() as u32 {
            let expected = Some(if given == 0 { starts[0].0 } else { next });
            let start = Start { from: next, segment, position, limit: end.1, expected, behind_first: None };
            if let Some(sender) = self.put_read_ahead(start) {
                sender.send(bytes.slice(given as usize..bytes.len()));
                let log = Rc::clone(self);
                self.context.io.spawn(async move { log.forget_read_ahead(next).await });
            }
        } else if follows {
            let log = Rc::clone(self);
            self.context.io.spawn(async move { log.read_ahead(next, asked).await });
        }
    }

    /// Reads `asked` bytes from the batch on that holds `from`, for who reads there within a while.
    async fn read_ahead(self: Rc<Self>, from: Offset, asked: u32) {
        let Ok(start) = self.start_of(from).await else { return };
        if self.state().tail.first_offset().is_some_and(|first| first <= from) {
            return;
        }
        let want = asked.clamp(READ_BYTES_MIN, READ_BYTES_MAX).min(start.limit.saturating_sub(start.position));
        // What is less is soon in memory, or of the next segment.
        if want < READ_BYTES_MIN {
            return;
        }
        let Some(sender) = self.put_read_ahead(start) else { return };
        if let Ok(bytes) = self.load(start.segment, start.position, want, Memory::Limited, Access::Direct).await {
            sender.send(bytes);
        }
        self.forget_read_ahead(from).await;
    }

    /// What was read ahead from `from` on, and where it starts; `None` where there is nothing, or it has failed.
    async fn read_ahead_of(&self, from: Offset) -> Option<(Start, Slice)> {
        let ahead = self.take_read_ahead(from)?;
        let forgotten = self.state().forgotten_reads;
        let bytes = ahead.bytes.await.filter(|bytes| !bytes.is_empty())?;
        // More may be in the file by now and less in the tail, or the log was cut.
        let limit = self.read_limit(ahead.start.segment)?;
        (self.state().forgotten_reads == forgotten).then_some((Start { limit, ..ahead.start }, bytes))
    }

    /// Makes place for what is read ahead, unless there is some for another reader, or there is much for other logs.
    fn put_read_ahead(&self, start: Start) -> Option<oneshot::Sender<Slice>> {
        let mut state = self.state_mut();
        let logs = &self.context.logs_read_ahead;
        if state.read_ahead.is_some() || Rc::strong_count(logs) > LOGS_READ_AHEAD_MAX {
            return None;
        }
        let (sender, bytes) = oneshot::channel();
        state.read_ahead = Some(ReadAhead { start, bytes, _counted: Rc::clone(logs) });
        Some(sender)
    }

    /// What is read ahead from `from` on; it comes to nothing where that failed.
    fn take_read_ahead(&self, from: Offset) -> Option<ReadAhead> {
        self.state_mut().read_ahead.take_if(|ahead| ahead.start.from == from)
    }

    /// Lets go of what is read ahead from `from` on if nobody has come for it after a while.
    async fn forget_read_ahead(&self, from: Offset) {
        self.context.io.sleep(AHEAD_KEPT).await;
        self.take_read_ahead(from);
    }

    /// How `bytes` from `start` on are best read.
    async fn access(&self, start: &Start, bytes: u32) -> Access {
        if self.state().warm.was_passed(start.from, self.context.io.now()) {
            return Access::Cached;
        }
        let Ok(file) = self.file(start.segment, Access::Cached).await else { return Access::Cached };
        let resident = file.is_resident(&self.context.io, u64::from(start.position), bytes).await;
        if resident.unwrap_or(false) { Access::Cached } else { Access::Direct }
    }

    /// The starts of the sound batches of `bytes` from `at` on, and where they end.
    ///
    /// # Errors
    /// What is wrong with the first of them.
    fn sound(&self, bytes: &[u8], at: usize, start: &Start) -> Result<(Vec<Mark>, Mark), String> {
        let (mut at, mut expected, mut starts) = (at, start.expected, Vec::new());
        let state = self.state();
        while at < bytes.len() {
            let header = match check_stored(&bytes[at..]) {
                Ok(header) => header,
                Err(Corruption::Incomplete { .. }) => break,
                Err(_) if !starts.is_empty() => break,
                Err(corruption) => return Err(corruption.to_string()),
            };
            let base = header.base_offset();
            let why = misplaced(header, expected, state.epochs.epoch_for_offset(base)).or_else(|| {
                let behind = expected.is_none() && base > start.from;
                behind.then(|| format!("the batch starts at offset {base}, where {} belongs at the latest", start.from))
            });
            if let Some(why) = why {
                if !starts.is_empty() {
                    break;
                }
                return Err(why);
            }
            starts.push((base, start.position + at as u32));
            expected = Some(header.next_offset());
            at += header.total_bytes().expect("it was checked");
        }
        Ok((starts, (expected.unwrap_or(start.from), start.position + at as u32)))
    }

    /// How much to read next, when a read of `want` bytes held only batches before the offset, up to `at`.
    fn larger(&self, start: &Start, at: u32, rest: &[u8], want: u32) -> Result<u32, ReadError> {
        let batch = BatchHeader::read(rest).and_then(BatchHeader::total_bytes).unwrap_or(0);
        let left = start.limit - start.position - at;
        if batch > left as usize || (at == 0 && batch <= want as usize) {
            let why = format!("{left} bytes are left of the segment, and no whole batch is there");
            return Err(self.corrupt(start.segment, start.position + at, &why));
        }
        Ok((batch as u32).max(want))
    }

    fn corrupt(&self, segment: Offset, position: u32, why: &str) -> ReadError {
        let path = self.context.directory.path(self.name(), segment, Kind::Log);
        let message = format!("{} is damaged at position {position}: {why}", path.display());
        tracing::error!("{message}");
        ReadError::Corrupt(message)
    }

    /// Where to start looking for `from` in the segment files, and where they end for this purpose.
    async fn start_of(self: &Rc<Self>, from: Offset) -> Result<Start, ReadError> {
        let segment = {
            let state = self.state();
            // What lies before the log's start in its oldest segment is there for who replays it; clients are not let so far.
            if state.segments.first().is_none_or(|oldest| from < oldest.base) || from >= state.end() {
                return Err(ReadError::OutOfRange);
            }
            // The offsets of a segment may end before the next one's base (compaction); then the next one has it.
            let at = state.segments.partition_point(|segment| segment.next_offset <= from);
            state.segments[at].base
        };
        self.load_indexes(segment, Memory::Limited).await?;
        let state = self.state();
        let Some(found) = state.segments.iter().find(|one| one.base == segment) else {
            return Err(ReadError::OutOfRange);
        };
        let OffsetPosition { offset, position } = found.indexes.offsets.floor(from);
        let limit = read_limit(&state, found);
        let expected = (position == 0).then_some(segment);
        let behind_first = (position > 0 && offset < from).then_some(offset + 1);
        Ok(Start { from, segment, position, limit, expected, behind_first })
    }

    /// Where a segment ends for who reads files; `None` when it is gone.
    fn read_limit(&self, segment: Offset) -> Option<u32> {
        let state = self.state();
        let found = state.segments.iter().find(|one| one.base == segment)?;
        Some(read_limit(&state, found))
    }

    /// Where else to begin when there is damage before the offset: at the next batch that the index has, which may be the one
    /// that holds it.
    fn start_behind(&self, start: &Start, damage: u32) -> Option<Start> {
        let state = self.state();
        let found = state.segments.iter().find(|one| one.base == start.segment)?;
        let entry = found.indexes.offsets.first_at_or_after(u64::from(damage) + 1)?;
        let holds = entry.offset >= start.from && entry.position < start.limit;
        holds.then_some(Start { position: entry.position, expected: None, behind_first: None, ..*start })
    }

    /// Reads `want` bytes at `position` of a segment file, or fewer where it ends.
    pub(super) async fn load(
        self: &Rc<Self>,
        segment: Offset,
        position: u32,
        want: u32,
        memory: Memory,
        access: Access,
    ) -> Result<Slice, ReadError> {
        let io = &self.context.io;
        let failed = |error: crate::io::Error| {
            let path = self.context.directory.path(self.name(), segment, Kind::Log);
            ReadError::Io(format!("{} at position {position}: {error}", path.display()))
        };
        let file = self.file(segment, access).await.map_err(failed)?;
        // Past the page cache whole sectors are read.
        let (before, whole, piece) = match access {
            Access::Direct => {
                let before = position - block_floor(position);
                (before, (before + want).next_multiple_of(BLOCK_ALIGN as u32), DIRECT_PIECE_BYTES)
            }
            _ => (0, want, u32::MAX),
        };
        for _ in 0..MEMORY_TRIES {
            let block = match memory {
                Memory::Limited => io.pool().try_block(whole as usize, Use::Read),
                Memory::Unlimited => io.pool().block_unlimited(whole as usize, Use::Read),
            };
            let Some(block) = block else {
                io.sleep(MEMORY_PAUSE).await;
                continue;
            };
            // What frees memory waits for nobody.
            let _turn = match (access, memory) {
                (Access::Direct, Memory::Limited) => Some(self.context.direct_reads.enter().await),
                _ => None,
            };
            let (block, read) = file.read_in_pieces(io, u64::from(position - before), block, whole, piece).await;
            let count = read.map_err(failed)?;
            self.context.counters.borrow_mut().read_bytes += u64::from(count);
            let end = count.clamp(before, before + want) as usize;
            return Ok(block.into_slice(end).slice(before as usize..end));
        }
        Err(ReadError::Memory)
    }

    /// Makes sure that a segment's indexes are in memory.
    pub(super) async fn load_indexes(self: &Rc<Self>, base: Offset, memory: Memory) -> Result<(), ReadError> {
        for _ in 0..INDEX_TRIES {
            let (on_file, end, next_offset, synced) = {
                let state = self.state();
                let Some(segment) = state.segments.iter().find(|segment| segment.base == base) else { return Ok(()) };
                if segment.indexes.whole {
                    return Ok(());
                }
                let synced = segment.finished || segment.cut_to_size;
                (segment.indexes.on_file(), segment.end, segment.next_offset, synced)
            };
            let (offsets, times) = on_file;
            let offset_bytes = offsets.entries * Indexes::OFFSET_ENTRY_BYTES;
            let time_bytes = times.entries * Indexes::TIME_ENTRY_BYTES;
            let offset_bytes = self.index_file(base, Kind::Index, offset_bytes, offsets.crc, synced).await;
            let time_bytes = self.index_file(base, Kind::TimeIndex, time_bytes, times.crc, synced).await;
            let (Some(offset_bytes), Some(time_bytes)) = (offset_bytes, time_bytes) else { break };
            let offsets = OffsetIndex::decode(base, &offset_bytes, u64::from(end));
            let times = TimeIndex::decode(base, &time_bytes, next_offset);
            let (Ok(offsets), Ok(times)) = (offsets, times) else { break };
            let mut state = self.state_mut();
            let active = state.active().base == base;
            let Some(segment) = state.segments.iter_mut().find(|segment| segment.base == base) else { return Ok(()) };
            // Write-back may have moved entries from memory to the files meanwhile: then the files are read again.
            if segment.indexes.on_file() == on_file {
                segment.indexes.load(offsets, times);
                if !active && !segment.finished {
                    // A crash may have come before its last entry was on file.
                    segment.close();
                }
                return Ok(());
            }
        }
        self.rebuild_indexes(base, memory).await
    }

    /// The part of an index file that counts; `None` (and a log line) when it is not what was written. While a segment is
    /// appended to its index files are not synced, so after a power cut that is nothing to worry about.
    async fn index_file(
        self: &Rc<Self>,
        base: Offset,
        kind: Kind,
        bytes: u32,
        crc: u32,
        synced: bool,
    ) -> Option<Vec<u8>> {
        let path = self.context.directory.path(self.name(), base, kind);
        let why = match file::read_whole(&self.context.io, &path, u64::from(u32::MAX)).await {
            Ok(Some(content)) => match content.get(..bytes as usize) {
                Some(counts) if crc::crc32c(counts) == crc => return Some(counts.to_vec()),
                Some(_) => format!("the checksum of its first {bytes} bytes is wrong"),
                None => format!("it has {} bytes and should have {bytes}", content.len()),
            },
            Ok(None) if bytes == 0 => return Some(Vec::new()),
            Ok(None) => "it does not exist".into(),
            Err(error) => error.to_string(),
        };
        if synced {
            tracing::error!("{} is damaged at position 0: {why}; it is rebuilt from the segment", path.display());
        } else {
            tracing::info!("{} is rebuilt from the segment: {why}", path.display());
        }
        None
    }

    /// Builds a segment's indexes anew from its batches, as far as its file holds them.
    async fn rebuild_indexes(self: &Rc<Self>, base: Offset, memory: Memory) -> Result<(), ReadError> {
        let (interval, until) = {
            let state = self.state();
            let Some(segment) = state.segments.iter().find(|segment| segment.base == base) else { return Ok(()) };
            (state.settings.index_interval_bytes, state.stored_end(base, segment.end))
        };
        let mut rebuilt = Segment::new(base, NO_TIMESTAMP);
        while rebuilt.end < until {
            let want = READ_BYTES_MAX.min(until - rebuilt.end);
            let mut bytes = self.load(base, rebuilt.end, want, memory, Access::Direct).await?;
            let first = BatchHeader::read(&bytes).and_then(BatchHeader::total_bytes).unwrap_or(0);
            if first > bytes.len() && first <= (until - rebuilt.end) as usize {
                bytes = self.load(base, rebuilt.end, first as u32, memory, Access::Direct).await?;
            }
            if let Err(why) = index_batches(&mut rebuilt, &bytes, interval) {
                // What lies behind is found by walking on from the last entry, as far as it can be.
                let path = self.context.directory.path(self.name(), base, Kind::Log);
                tracing::error!("{} is damaged at position {}: {why}", path.display(), rebuilt.end);
                break;
            }
        }
        self.take_rebuilt(base, rebuilt, until);
        Ok(())
    }

    /// Puts rebuilt indexes in place and has write-back write them to their files.
    fn take_rebuilt(self: &Rc<Self>, base: Offset, mut rebuilt: Segment, until: u32) {
        let mut state = self.state_mut();
        let active = state.active().base == base;
        let Some(segment) = state.segments.iter_mut().find(|segment| segment.base == base) else { return };
        if !active {
            rebuilt.close();
        }
        segment.indexes.replace(rebuilt.indexes, until);
        (segment.finished, segment.cut_to_size) = (false, false);
        drop(state);
        self.context.note_change(self);
    }

    /// The first record at or behind the log start whose timestamp is at least `timestamp`: its offset and timestamp.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn offset_for_timestamp(
        self: &Rc<Self>,
        timestamp: Timestamp,
    ) -> Result<Option<(Offset, Timestamp)>, ReadError> {
        let mut from = self.start();
        loop {
            let segment = {
                let state = self.state();
                let mut segments = state.segments.iter().filter(|segment| segment.next_offset > from);
                segments
                    .find(|segment| segment.max_timestamp >= timestamp)
                    .map(|segment| (segment.base, segment.next_offset))
            };
            let Some((base, end)) = segment else { return Ok(None) };
            self.load_indexes(base, Memory::Limited).await?;
            let earliest = {
                let state = self.state();
                let found = state.segments.iter().find(|segment| segment.base == base);
                found.map_or(base, |segment| segment.indexes.times.lookup(timestamp).offset)
            };
            let start = from.max(earliest).max(base);
            if let Some(found) = self.scan_for_timestamp(start, end, timestamp).await? {
                return Ok(Some(found));
            }
            // The segment's largest timestamp was cut off, or belongs to records before the log start.
            from = end;
        }
    }

    async fn scan_for_timestamp(
        self: &Rc<Self>,
        from: Offset,
        end: Offset,
        timestamp: Timestamp,
    ) -> Result<Option<(Offset, Timestamp)>, ReadError> {
        let mut from = from;
        let start = self.start();
        while from < end {
            let before = from;
            for slice in self.read_memory(from, READ_BYTES_MIN).await? {
                for (header, batch) in whole_batches(&slice) {
                    if header.max_timestamp() >= timestamp {
                        let found = timestamp::offset_for_timestamp_from(batch, timestamp, start)
                            .map_err(|corruption| ReadError::Corrupt(format!("{}: {corruption}", self.name())))?;
                        if found.is_some() {
                            return Ok(found);
                        }
                    }
                    from = header.next_offset();
                }
            }
            if from == before {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// The first record with the largest timestamp: its offset and timestamp; `None` in a log without timestamps.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn record_of_max_timestamp(self: &Rc<Self>) -> Result<Option<(Offset, Timestamp)>, ReadError> {
        let largest = {
            let state = self.state();
            let segments = state.segments.iter().filter(|segment| segment.next_offset > state.log_start);
            segments.map(|segment| segment.max_timestamp).max().unwrap_or(NO_TIMESTAMP)
        };
        if largest == NO_TIMESTAMP {
            return Ok(None);
        }
        if let Some(found) = self.offset_for_timestamp(largest).await? {
            return Ok(Some(found));
        }
        // It is that of a deleted record, which its segment still holds.
        match self.largest_of_the_living().await? {
            NO_TIMESTAMP => Ok(None),
            largest => self.offset_for_timestamp(largest).await,
        }
    }

    /// The largest timestamp at or behind the log start: of its segment by a walk, of the later ones as it is known.
    async fn largest_of_the_living(self: &Rc<Self>) -> Result<Timestamp, ReadError> {
        let (start, end, later) = {
            let state = self.state();
            let mut living = state.segments.iter().filter(|segment| segment.next_offset > state.log_start);
            let end = living.next().map_or(state.log_start, |first| first.next_offset);
            (state.log_start, end, living.map(|segment| segment.max_timestamp).max().unwrap_or(NO_TIMESTAMP))
        };
        let (mut largest, mut from) = (later, start);
        while from < end {
            let before = from;
            for slice in self.read_memory(from, READ_BYTES_MIN).await? {
                for (header, batch) in whole_batches(&slice) {
                    largest = largest.max(
                        largest_from(header, batch, start)
                            .map_err(|corruption| ReadError::Corrupt(format!("{}: {corruption}", self.name())))?,
                    );
                    from = header.next_offset();
                }
            }
            if from == before {
                break;
            }
        }
        Ok(largest)
    }
}

/// Where a segment ends for who reads files: where the tail begins.
fn read_limit(state: &State, segment: &Segment) -> u32 {
    let tail = state.tail.iter().next().filter(|batch| batch.segment == segment.base);
    tail.map_or(segment.end, |batch| batch.position)
}

/// The largest timestamp of a batch's records at or behind `start`.
fn largest_from(header: &BatchHeader, batch: &[u8], start: Offset) -> Result<Timestamp, Corruption> {
    if header.base_offset() >= start {
        return Ok(header.max_timestamp());
    }
    let mut largest = NO_TIMESTAMP;
    for record in &records(batch)? {
        let record = record?;
        if record.offset >= start {
            largest = largest.max(record.timestamp);
        }
    }
    Ok(largest)
}

/// Position in `bytes`, which are those at `start`, of the first batch that does not lie wholly before the offset that is looked
/// for, by the headers alone: what is not asked for need not be sound.
fn skip_before(bytes: &[u8], start: &mut Start) -> usize {
    let mut at = 0;
    while let Some(header) = BatchHeader::read(&bytes[at..]) {
        let Some(length) = header.total_bytes().filter(|length| at + length <= bytes.len()) else { break };
        let next = match start.behind_first.take() {
            Some(next) => next,
            None => {
                let in_place = start.expected.is_none_or(|expected| expected == header.base_offset());
                let next = header.base_offset().saturating_add(i64::from(header.last_offset_delta()) + 1);
                if header.magic() != MAGIC || !in_place || next <= header.base_offset() || next > start.from {
                    break;
                }
                next
            }
        };
        start.expected = Some(next);
        at += length;
    }
    at
}

/// What is wrong with the place of a batch, if anything is. Neither its offset nor its leader epoch is covered by its
/// checksum. Nothing is compacted, so offsets have no gaps.
fn misplaced(header: &BatchHeader, expected: Option<Offset>, epoch: Option<LeaderEpoch>) -> Option<String> {
    let (base, found) = (header.base_offset(), header.partition_leader_epoch());
    match (expected, epoch) {
        (Some(expected), _) if expected != base => {
            Some(format!("the batch starts at offset {base}, where {expected} belongs"))
        }
        (_, Some(epoch)) if epoch != found => {
            Some(format!("the batch at offset {base} has leader epoch {found}, and was written in {epoch}"))
        }
        _ => None,
    }
}

/// Has `rebuilt` index the whole batches of `bytes`, which go on where it ends.
///
/// # Errors
/// What is wrong with the batch where it ends now.
fn index_batches(rebuilt: &mut Segment, bytes: &[u8], index_interval_bytes: u32) -> Result<(), String> {
    let mut at = 0;
    while at < bytes.len() {
        let header = match check_stored(&bytes[at..]) {
            Ok(header) => header,
            Err(Corruption::Incomplete { .. }) if at > 0 => break,
            Err(corruption) => return Err(corruption.to_string()),
        };
        if let Some(why) = misplaced(header, Some(rebuilt.next_offset), None) {
            return Err(why);
        }
        let length = header.total_bytes().expect("it was checked");
        rebuilt.note(header, length as u32, index_interval_bytes);
        at += length;
    }
    if at == 0 { Err("the file ends here".to_owned()) } else { Ok(()) }
}

/// The front of `bytes` that ends at or before the offset `below` and within `bytes_max`, and the offset after it.
fn within(bytes: &Slice, from: Offset, below: Offset, bytes_max: u32, at_least_one: bool) -> (Option<Slice>, Offset) {
    let (mut end, mut next_offset) = (0, from);
    for (header, batch) in whole_batches(bytes) {
        let fits = end + batch.len() <= bytes_max as usize || (at_least_one && end == 0);
        if header.next_offset() > below || !fits {
            break;
        }
        end += batch.len();
        next_offset = header.next_offset();
    }
    ((end > 0).then(|| bytes.slice(0..end)), next_offset)
}

pub(super) fn whole_batches(bytes: &[u8]) -> impl Iterator<Item = (&BatchHeader, &[u8])> {
    crate::record::batches(bytes).map_while(Result::ok)
}
