//! A segment's facts in memory: extent, timestamps and sparse indexes.

use super::checkpoint::SegmentRecord;
use super::offset_index::OffsetIndex;
use super::time_index::TimeIndex;
use super::write_back::Unwritten;
use crate::model::offset::{NO_TIMESTAMP, Offset, Timestamp};
use crate::record::batch::BatchHeader;
use crate::record::crc;

/// What is known of one segment.
#[derive(Debug)]
pub struct Segment {
    /// Offset of its first record.
    pub base: Offset,
    /// Offset after its last record.
    pub next_offset: Offset,
    /// Bytes of batches in it.
    pub end: u32,
    /// Bytes reserved for its file on disk.
    pub allocated: u32,
    /// The largest timestamp of its first batch, from which its age for `segment.ms` counts; -1 while it is empty, or if
    /// that batch has none.
    pub first_timestamp: Timestamp,
    /// When it was begun, or found by this start: its age counts from then where the first batch has no timestamp.
    pub begun_ms: Timestamp,
    /// The largest timestamp in it.
    pub max_timestamp: Timestamp,
    /// Last offset of the first batch that has this timestamp.
    pub max_timestamp_offset: Offset,
    /// Its sparse indexes.
    pub indexes: Indexes,
    /// Bytes since the last index entry.
    since_index: u32,
    /// No append follows, all of it is in its file, the file is cut to size, and its indexes are complete on disk.
    pub finished: bool,
    /// The file is not longer than its batches, and its indexes on file are complete: a clean stop left it so, and nothing
    /// was written since.
    pub cut_to_size: bool,
}

/// The sparse indexes of a segment: a part that is on file, and what came after it.
#[derive(Debug)]
pub struct Indexes {
    /// Entries on file and the checksum over them.
    pub offsets_on_file: OnFile,
    /// As above, of the time index.
    pub times_on_file: OnFile,
    /// Entries in memory; they include those on file when `whole`.
    pub offsets: OffsetIndex,
    /// As above, of the time index.
    pub times: TimeIndex,
    /// Whether the entries on file are in memory too.
    pub whole: bool,
    /// The timestamp of the time index's last entry, wherever that is; [`NO_TIMESTAMP`] without one. After a start it may
    /// be above it, where only the file knows.
    last_time: Timestamp,
    /// How often they were built anew.
    generation: u32,
    /// Where the segment ended when their files were last written in this life of the process; 0 when they were not.
    files_cover: u32,
}

/// The part of an index that was written to its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnFile {
    /// Entries.
    pub entries: u32,
    /// CRC-32C over their bytes.
    pub crc: u32,
}

impl Segment {
    /// An empty segment that starts at `base`.
    pub fn new(base: Offset, begun_ms: Timestamp) -> Segment {
        Segment {
            base,
            begun_ms,
            next_offset: base,
            end: 0,
            allocated: 0,
            first_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            max_timestamp_offset: -1,
            indexes: Indexes::new(base),
            since_index: 0,
            finished: false,
            cut_to_size: true,
        }
    }

    /// Notes a batch that was appended at the segment's end.
    pub fn note(&mut self, header: &BatchHeader, bytes: u32, index_interval_bytes: u32) {
        if self.end == 0 {
            self.first_timestamp = header.max_timestamp();
        }
        if header.max_timestamp() > self.max_timestamp {
            self.max_timestamp = header.max_timestamp();
            self.max_timestamp_offset = header.last_offset();
        }
        if self.since_index > index_interval_bytes {
            // Offsets and positions only rise, and the log rolls before an offset no longer fits, so nothing is refused.
            let _ = self.indexes.offsets.append(header.last_offset(), self.end);
            self.indexes.append_time(self.max_timestamp, self.max_timestamp_offset);
            self.since_index = 0;
        }
        self.since_index = self.since_index.saturating_add(bytes);
        self.end += bytes;
        self.cut_to_size = false;
        self.next_offset = header.next_offset();
    }

    /// Completes the time index when the segment is rolled, as Kafka does, so that its last entry is the maximum.
    pub fn close(&mut self) {
        self.indexes.append_time(self.max_timestamp, self.max_timestamp_offset);
    }

    /// Cuts it to end at `to`, which is at `position`; `max` is the largest timestamp before, and the last offset of its batch.
    /// The indexes are in memory.
    pub fn cut(&mut self, position: u32, to: Offset, max: (Timestamp, Offset)) {
        (self.end, self.next_offset, self.finished, self.allocated) = (position, to, false, 0);
        self.cut_to_size = false;
        (self.max_timestamp, self.max_timestamp_offset) = max;
        if position == 0 {
            self.first_timestamp = NO_TIMESTAMP;
        }
        self.indexes.cut(to);
    }

    /// Bytes of the larger of the two indexes.
    pub fn index_bytes(&self) -> usize {
        let indexes = &self.indexes;
        let on_file = |part: OnFile, entry: usize| if indexes.whole { 0 } else { part.entries as usize * entry };
        let offsets = on_file(indexes.offsets_on_file, 8) + indexes.offsets.encoded_bytes();
        offsets.max(on_file(indexes.times_on_file, 12) + indexes.times.encoded_bytes())
    }

    /// What a checkpoint says of it.
    pub fn record(&self) -> SegmentRecord {
        SegmentRecord {
            base: self.base,
            next_offset: self.next_offset,
            end: self.end,
            first_timestamp: self.first_timestamp,
            max_timestamp: self.max_timestamp,
            max_timestamp_offset: self.max_timestamp_offset,
            offsets_on_file: self.indexes.offsets_on_file,
            times_on_file: self.indexes.times_on_file,
            finished: self.finished,
            cut_to_size: self.cut_to_size,
        }
    }

    /// The segment that a checkpoint's record describes.
    pub fn from_record(record: &SegmentRecord, begun_ms: Timestamp) -> Segment {
        let mut segment = Segment::new(record.base, begun_ms);
        segment.next_offset = record.next_offset;
        segment.end = record.end;
        segment.first_timestamp = record.first_timestamp;
        segment.max_timestamp = record.max_timestamp;
        segment.max_timestamp_offset = record.max_timestamp_offset;
        segment.finished = record.finished;
        segment.cut_to_size = record.cut_to_size;
        segment.indexes.offsets_on_file = record.offsets_on_file;
        segment.indexes.times_on_file = record.times_on_file;
        segment.indexes.whole = record.offsets_on_file.entries == 0 && record.times_on_file.entries == 0;
        if record.times_on_file.entries > 0 {
            // A clean stop wrote the maximum. A crash may have come before it: then the next greater one is the next
            // entry, and a search walks on from the last one.
            segment.indexes.last_time = record.max_timestamp;
        }
        segment
    }
}

impl OnFile {
    fn extend(&mut self, bytes: &[u8], entry_bytes: u32) {
        self.crc = crc::crc32c_append(self.crc, bytes);
        self.entries += bytes.len() as u32 / entry_bytes;
    }
}

impl Indexes {
    fn new(base: Offset) -> Indexes {
        Indexes {
            offsets_on_file: OnFile::default(),
            times_on_file: OnFile::default(),
            offsets: OffsetIndex::new(base),
            times: TimeIndex::new(base),
            whole: true,
            last_time: NO_TIMESTAMP,
            generation: 0,
            files_cover: 0,
        }
    }

    /// Adds to the time index that `timestamp`, of the batch that ends with `offset`, is the greatest so far; an entry is
    /// made only if it is greater than the last one, on file or in memory.
    fn append_time(&mut self, timestamp: Timestamp, offset: Offset) {
        if timestamp > self.last_time {
            // Both only rise, and the log rolls before an offset no longer fits, so nothing is refused.
            let _ = self.times.maybe_append(timestamp, offset);
            self.last_time = timestamp;
        }
    }

    /// Bytes of an offset index entry.
    pub const OFFSET_ENTRY_BYTES: u32 = 8;
    /// Bytes of a time index entry.
    pub const TIME_ENTRY_BYTES: u32 = 12;

    /// What of both indexes is on file.
    pub fn on_file(&self) -> (OnFile, OnFile) {
        (self.offsets_on_file, self.times_on_file)
    }

    /// Whether their files are to be written though the segment, which ends at `end`, is appended to: they lack entries, and were last
    /// written `lag` bytes ago. After a start that may have been at any time, so then it is as if they never were: what a crash
    /// leaves without entries is no longer than this.
    pub(super) fn are_due(&self, end: u32, lag: u32) -> bool {
        let written = if self.whole { self.offsets_on_file.entries as usize } else { 0 };
        self.offsets.len() > written && end.saturating_sub(self.files_cover) >= lag
    }

    /// The entries that are not on file yet, or none if they are not `due`.
    pub(super) fn unwritten(&self, due: bool) -> (Unwritten, Unwritten) {
        let behind = |on_file: OnFile, entry_bytes: u32, entries: &[u8]| {
            let written = if self.whole { (on_file.entries * entry_bytes) as usize } else { 0 };
            let bytes = if due { entries[written..].to_vec() } else { Vec::new() };
            Unwritten { on_file, generation: self.generation, entry_bytes, bytes }
        };
        (
            behind(self.offsets_on_file, Indexes::OFFSET_ENTRY_BYTES, self.offsets.encode()),
            behind(self.times_on_file, Indexes::TIME_ENTRY_BYTES, self.times.encode()),
        )
    }

    /// Notes that these entries of a segment that ended at `end` are on file now; false when the indexes were rebuilt meanwhile, so
    /// that they do not count.
    pub(super) fn note_written(&mut self, offsets: &Unwritten, times: &Unwritten, end: u32) -> bool {
        if self.generation != offsets.generation {
            return false;
        }
        if offsets.bytes.is_empty() && times.bytes.is_empty() {
            return true;
        }
        self.files_cover = end;
        self.offsets_on_file.extend(&offsets.bytes, offsets.entry_bytes);
        self.times_on_file.extend(&times.bytes, times.entry_bytes);
        if !self.whole {
            self.drop_written(offsets, times);
        }
        true
    }

    /// Keeps in memory only what is not on file.
    fn drop_written(&mut self, offsets: &Unwritten, times: &Unwritten) {
        let (base, written) = (self.offsets.base_offset(), offsets.bytes.len() / Indexes::OFFSET_ENTRY_BYTES as usize);
        let mut kept = OffsetIndex::new(base);
        for entry in self.offsets.iter().skip(written) {
            let _ = kept.append(entry.offset, entry.position);
        }
        self.offsets = kept;
        let written = times.bytes.len() / Indexes::TIME_ENTRY_BYTES as usize;
        let mut kept = TimeIndex::new(base);
        for entry in self.times.iter().skip(written) {
            let _ = kept.maybe_append(entry.timestamp, entry.offset);
        }
        self.times = kept;
    }

    /// Puts the entries on file before those in memory.
    pub(super) fn load(&mut self, offsets: OffsetIndex, times: TimeIndex) {
        if self.whole {
            return;
        }
        let newer_offsets = std::mem::replace(&mut self.offsets, offsets);
        let newer_times = std::mem::replace(&mut self.times, times);
        for entry in newer_offsets.iter() {
            let _ = self.offsets.append(entry.offset, entry.position);
        }
        for entry in newer_times.iter() {
            let _ = self.times.maybe_append(entry.timestamp, entry.offset);
        }
        self.whole = true;
        self.last_time = self.times.last().timestamp;
    }

    /// Takes entries that were built anew from the segment up to the position `until`; none is on file then. Of those in
    /// memory what lies behind stays.
    pub(super) fn replace(&mut self, rebuilt: Indexes, until: u32) {
        let (offsets, times) = (rebuilt.offsets, rebuilt.times);
        let newer_offsets = std::mem::replace(&mut self.offsets, offsets);
        let newer_times = std::mem::replace(&mut self.times, times);
        let mut first = Offset::MAX;
        for entry in newer_offsets.iter().filter(|entry| entry.position >= until) {
            first = first.min(entry.offset);
            let _ = self.offsets.append(entry.offset, entry.position);
        }
        for entry in newer_times.iter().filter(|entry| entry.offset >= first) {
            let _ = self.times.maybe_append(entry.timestamp, entry.offset);
        }
        self.whole = true;
        self.generation += 1;
        (self.offsets_on_file, self.times_on_file, self.files_cover) = (OnFile::default(), OnFile::default(), 0);
        self.last_time = self.times.last().timestamp;
    }

    /// Forgets the entries at or behind `to`. What is left is written to the files anew.
    fn cut(&mut self, to: Offset) {
        debug_assert!(self.whole, "loaded before the cut");
        self.offsets.truncate_to(to);
        self.times.truncate_to(to);
        self.last_time = self.times.last().timestamp;
        self.generation += 1;
        (self.offsets_on_file, self.times_on_file, self.files_cover) = (OnFile::default(), OnFile::default(), 0);
    }

    /// Forgets the entries, all of which are on file.
    pub fn unload(&mut self) {
        let base = self.offsets.base_offset();
        (self.offsets, self.times, self.whole) = (OffsetIndex::new(base), TimeIndex::new(base), false);
    }
}
