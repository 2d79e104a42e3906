//! The sparse map from offsets to positions of one segment, in memory as in Kafka's `.index` file.
//!
//! ```text
//! 8 bytes each, ascending: relative offset u32 (offset - base offset, at most 2^31 - 1), position u32; big-endian
//! ```
//!
//! An entry says: the batch at this position **ends** with this offset (Kafka's convention, which `kafka-dump-log`
//! checks), so every record with a greater offset lies behind it. A search starts at the greatest entry at or below the
//! offset sought and walks forward at most one index interval.

use zerocopy::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::log::corrupt::{CorruptIndex, RefusedEntry};
use crate::model::offset::Offset;
use crate::record::crc;

const INDEX: &str = "offset index";

/// Bytes of one entry, in the file and in memory.
pub const ENTRY_BYTES: usize = 8;

/// The greatest difference between an offset of a segment and its base offset: Kafka reads the field as signed.
pub const RELATIVE_OFFSET_MAX: i64 = i32::MAX as i64;

/// An entry as it stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Entry {
    relative_offset: U32,
    position: U32,
}

/// A place in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetPosition {
    /// Last offset of the batch; the base offset where no entry says more.
    pub offset: Offset,
    /// Where the batch starts, in bytes from the start of the segment.
    pub position: u32,
}

/// The offset index of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetIndex {
    base_offset: Offset,
    entries: Vec<Entry>,
}

impl OffsetIndex {
    /// The empty index of the segment that starts at `base_offset`; allocates nothing.
    pub fn new(base_offset: Offset) -> OffsetIndex {
        OffsetIndex { base_offset, entries: Vec::new() }
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

    /// Whether `offset` can stand in this index; otherwise the segment must be rolled before it.
    pub fn can_append(&self, offset: Offset) -> bool {
        relative(self.base_offset, offset).is_some()
    }

    /// The last entry.
    pub fn last(&self) -> Option<OffsetPosition> {
        self.entries.last().map(|entry| self.absolute(*entry))
    }

    /// All entries, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = OffsetPosition> {
        self.entries.iter().map(|entry| self.absolute(*entry))
    }

    /// Adds the batch at `position` that ends with `last_offset`.
    ///
    /// # Errors
    /// Offset or position do not lie above the last entry's, or the offset is out of this segment's range.
    pub fn append(&mut self, last_offset: Offset, position: u32) -> Result<(), RefusedEntry> {
        let Some(relative_offset) = relative(self.base_offset, last_offset) else {
            return Err(refused(format!(
                "offset {last_offset} is not within 2^31 of base offset {}: roll the segment first",
                self.base_offset
            )));
        };
        let entry = Entry { relative_offset: U32::new(relative_offset), position: U32::new(position) };
        if let Some(last) = self.last()
            && (last.offset >= last_offset || last.position >= position)
        {
            return Err(refused(format!(
                "offset {last_offset} at position {position} does not lie above offset {} at position {}",
                last.offset, last.position
            )));
        }
        self.entries.push(entry);
        Ok(())
    }

    /// From where to walk to find `offset`: the position of the greatest entry at or below it, 0 if there is none.
    pub fn lookup(&self, offset: Offset) -> u32 {
        self.floor(offset).position
    }

    /// The greatest entry at or below `offset`; (base offset, 0) if there is none.
    pub fn floor(&self, offset: Offset) -> OffsetPosition {
        let above = self.entries.partition_point(|entry| self.absolute(*entry).offset <= offset);
        match above.checked_sub(1) {
            Some(at) => self.absolute(self.entries[at]),
            None => OffsetPosition { offset: self.base_offset, position: 0 },
        }
    }

    /// The least entry whose batch starts at or after `position`: its offset lies outside of what is read up to there.
    pub fn first_at_or_after(&self, position: u64) -> Option<OffsetPosition> {
        let at = self.entries.partition_point(|entry| u64::from(entry.position.get()) < position);
        self.entries.get(at).map(|entry| self.absolute(*entry))
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

    /// Reads the file of the segment that starts at `base_offset` and has `segment_bytes`.
    ///
    /// # Errors
    /// A length that does not fit; offsets or positions that do not ascend; a position beyond the segment.
    pub fn decode(base_offset: Offset, bytes: &[u8], segment_bytes: u64) -> Result<OffsetIndex, CorruptIndex> {
        let Ok(entries) = <[Entry]>::ref_from_bytes(bytes) else {
            let reason = format!("{} bytes are no whole entries of {ENTRY_BYTES}", bytes.len());
            return Err(CorruptIndex::new(INDEX, bytes.len() / ENTRY_BYTES, reason));
        };
        let mut previous: Option<Entry> = None;
        for (at, entry) in entries.iter().enumerate() {
            check(*entry, previous, segment_bytes).map_err(|reason| CorruptIndex::new(INDEX, at, reason))?;
            previous = Some(*entry);
        }
        match previous {
            Some(last) if base_offset.checked_add(i64::from(last.relative_offset.get())).is_none() => {
                Err(CorruptIndex::new(INDEX, entries.len() - 1, "its offset is beyond the greatest one"))
            }
            _ => Ok(OffsetIndex { base_offset, entries: entries.to_vec() }),
        }
    }

    /// Entries are only let in whose offset exists, so this cannot overflow.
    fn absolute(&self, entry: Entry) -> OffsetPosition {
        OffsetPosition {
            offset: self.base_offset + i64::from(entry.relative_offset.get()),
            position: entry.position.get(),
        }
    }
}

/// `offset` relative to `base_offset`, if the field can hold it.
pub(super) fn relative(base_offset: Offset, offset: Offset) -> Option<u32> {
    let difference = offset.checked_sub(base_offset)?;
    (0..=RELATIVE_OFFSET_MAX).contains(&difference).then_some(difference as u32)
}

fn refused(reason: String) -> RefusedEntry {
    RefusedEntry { index: INDEX, reason }
}

fn check(entry: Entry, previous: Option<Entry>, segment_bytes: u64) -> Result<(), String> {
    let (offset, position) = (entry.relative_offset.get(), entry.position.get());
    if i64::from(offset) > RELATIVE_OFFSET_MAX {
        return Err(format!("relative offset {offset} is above {RELATIVE_OFFSET_MAX}"));
    }
    if u64::from(position) >= segment_bytes {
        return Err(format!("position {position} is beyond the segment's {segment_bytes} bytes"));
    }
    let Some(previous) = previous else { return Ok(()) };
    if offset <= previous.relative_offset.get() {
        return Err(format!("relative offset {offset} follows {}", previous.relative_offset.get()));
    }
    if position <= previous.position.get() {
        return Err(format!("position {position} follows {}", previous.position.get()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
