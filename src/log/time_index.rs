//! The sparse map from timestamps to offsets of one segment, in memory as in Kafka's `.timeindex` file (KIP-33).
//!
//! ```text
//! 12 bytes each, ascending: timestamp i64, relative offset u32 (offset - base offset); big-endian
//! ```
//!
//! An entry says: up to and with the batch that **ends** with this offset, no timestamp is greater than this one. So a
//! record with a greater timestamp lies behind it, and a search for a timestamp starts at the greatest entry at or below
//! it. Timestamps below 0 never stand in it.

use zerocopy::big_endian::{I64, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::log::corrupt::{CorruptIndex, RefusedEntry};
use crate::log::offset_index::{RELATIVE_OFFSET_MAX, relative};
use crate::model::offset::{NO_TIMESTAMP, Offset, Timestamp};
use crate::record::crc;

const INDEX: &str = "time index";

/// Bytes of one entry, in the file and in memory.
pub const ENTRY_BYTES: usize = 12;

/// An entry as it stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Entry {
    timestamp: I64,
    relative_offset: U32,
}

/// The greatest timestamp up to an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    /// The timestamp; [`NO_TIMESTAMP`] where no entry says more.
    pub timestamp: Timestamp,
    /// Last offset of the batch that holds it; the base offset where no entry says more.
    pub offset: Offset,
}

/// The time index of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeIndex {
    base_offset: Offset,
    entries: Vec<Entry>,
}

impl TimeIndex {
    /// The empty index of the segment that starts at `base_offset`; allocates nothing.
    pub fn new(base_offset: Offset) -> TimeIndex {
        TimeIndex { base_offset, entries: Vec::new() }
    }

    /// The segment's base offset.
    pub fn base_offset(&self) -> Offset {
        self.base_offset
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of the file.
    pub fn encoded_bytes(&self) -> usize {
        self.entries.len() * ENTRY_BYTES
    }

    /// Heap bytes in use.
    pub fn memory_bytes(&self) -> usize {
        self.entries.capacity() * ENTRY_BYTES
    }

    /// Gives back what the index reserved to grow: a sealed segment's does not.
    pub fn shrink_to_fit(&mut self) {
        self.entries.shrink_to_fit();
    }

    /// The last entry; ([`NO_TIMESTAMP`], base offset) if there is none.
    pub fn last(&self) -> TimestampOffset {
        self.entries.last().map_or(self.nothing(), |entry| self.absolute(*entry))
    }

    /// All entries, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = TimestampOffset> {
        self.entries.iter().map(|entry| self.absolute(*entry))
    }

    /// Adds that `timestamp` is the greatest of the segment so far, and that the batch that holds it ends with
    /// `offset`; called whenever the offset index gets an entry, and once more when the segment is rolled. An entry is
    /// made only if `timestamp` is greater than the last one; returns whether it was.
    ///
    /// # Errors
    /// `timestamp` or `offset` lies below the last entry's, or the offset is out of this segment's range.
    pub fn maybe_append(&mut self, timestamp: Timestamp, offset: Offset) -> Result<bool, RefusedEntry> {
        let last = self.last();
        if !self.is_empty() && (timestamp < last.timestamp || offset < last.offset) {
            return Err(refused(format!(
                "timestamp {timestamp} at offset {offset} lies below timestamp {} at offset {}",
                last.timestamp, last.offset
            )));
        }
        if timestamp <= last.timestamp {
            return Ok(false);
        }
        let Some(relative_offset) = relative(self.base_offset, offset) else {
            return Err(refused(format!(
                "offset {offset} is not within 2^31 of base offset {}: roll the segment first",
                self.base_offset
            )));
        };
        self.entries.push(Entry { timestamp: I64::new(timestamp), relative_offset: U32::new(relative_offset) });
        Ok(true)
    }

    /// From which offset to walk to find the first record at or after `timestamp`: the greatest entry at or below it,
    /// ([`NO_TIMESTAMP`], base offset) if there is none.
    pub fn lookup(&self, timestamp: Timestamp) -> TimestampOffset {
        let above = self.entries.partition_point(|entry| entry.timestamp.get() <= timestamp);
        above.checked_sub(1).map_or(self.nothing(), |at| self.absolute(self.entries[at]))
    }

    /// Removes entries at or above `offset`: the log was cut there.
    pub fn truncate_to(&mut self, offset: Offset) {
        self.entries.truncate(self.entries.partition_point(|entry| self.absolute(*entry).offset < offset));
    }

    /// The bytes of the file.
    pub fn encode(&self) -> &[u8] {
        self.entries.as_bytes()
    }

    /// CRC-32C of the bytes of the file, for the checkpoint that vouches for it.
    pub fn checksum(&self) -> u32 {
        crc::crc32c(self.encode())
    }

    /// Reads the file of the segment with the offsets from `base_offset` up to and without `end_offset`.
    ///
    /// # Errors
    /// A length that does not fit; timestamps that do not ascend; offsets that descend or lie beyond the segment.
    pub fn decode(base_offset: Offset, bytes: &[u8], end_offset: Offset) -> Result<TimeIndex, CorruptIndex> {
        let Ok(entries) = <[Entry]>::ref_from_bytes(bytes) else {
            let reason = format!("{} bytes are no whole entries of {ENTRY_BYTES}", bytes.len());
            return Err(CorruptIndex::new(INDEX, bytes.len() / ENTRY_BYTES, reason));
        };
        let mut previous: Option<Entry> = None;
        for (at, entry) in entries.iter().enumerate() {
            check(*entry, previous, base_offset, end_offset).map_err(|reason| CorruptIndex::new(INDEX, at, reason))?;
            previous = Some(*entry);
        }
        Ok(TimeIndex { base_offset, entries: entries.to_vec() })
    }

    fn nothing(&self) -> TimestampOffset {
        TimestampOffset { timestamp: NO_TIMESTAMP, offset: self.base_offset }
    }

    /// Entries are only let in whose offset exists, so this cannot overflow.
    fn absolute(&self, entry: Entry) -> TimestampOffset {
        TimestampOffset {
            timestamp: entry.timestamp.get(),
            offset: self.base_offset + i64::from(entry.relative_offset.get()),
        }
    }
}

fn refused(reason: String) -> RefusedEntry {
    RefusedEntry { index: INDEX, reason }
}

fn check(entry: Entry, previous: Option<Entry>, base_offset: Offset, end_offset: Offset) -> Result<(), String> {
    let (timestamp, offset) = (entry.timestamp.get(), i64::from(entry.relative_offset.get()));
    if offset > RELATIVE_OFFSET_MAX {
        return Err(format!("relative offset {offset} is above {RELATIVE_OFFSET_MAX}"));
    }
    if base_offset.checked_add(offset).is_none_or(|offset| offset >= end_offset) {
        return Err(format!("relative offset {offset} from {base_offset} is beyond the segment's end {end_offset}"));
    }
    let least = previous.map_or(NO_TIMESTAMP, |previous| previous.timestamp.get());
    if timestamp <= least {
        return Err(format!("timestamp {timestamp} follows {least}"));
    }
    match previous.map(|previous| i64::from(previous.relative_offset.get())) {
        Some(previous) if offset < previous => Err(format!("relative offset {offset} follows {previous}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
