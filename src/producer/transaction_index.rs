//! Aborted transactions, and Kafka's `.txnindex` file: which producers' records a consumer in `read_committed` skips.
//!
//! ```text
//! 34 bytes each, ascending by last offset:
//!   version i16 (0), producer id i64, first offset i64, last offset i64 (the marker), last stable offset i64
//! ```
//!
//! A transaction stands in the index of the segment that holds its marker, though it may have begun in an earlier one.

use crate::model::ids::ProducerId;
use crate::model::offset::Offset;
use crate::producer::corrupt::{Corrupt, Reader};

const WHAT: &str = "transaction index";
const VERSION: i16 = 0;
/// Bytes of one entry of the file.
pub const ENTRY_BYTES: usize = 34;

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// The producer whose records are to be skipped.
    pub producer_id: ProducerId,
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Offset of its marker.
    pub last_offset: Offset,
    /// The last stable offset right after the marker, had it been replicated: transactions at or above it stand in
    /// later entries, so a search for records below it ends here.
    pub last_stable_offset: Offset,
}

/// The result of a search in one index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What overlaps the range, ascending by last offset.
    pub aborted: Vec<AbortedTransaction>,
    /// Whether no index of a later segment can hold more.
    pub is_complete: bool,
}

/// Aborted transactions, ascending by the offset of their marker; 32 bytes each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionIndex {
    entries: Vec<AbortedTransaction>,
}

impl TransactionIndex {
    /// An empty index; allocates nothing.
    pub fn new() -> TransactionIndex {
        TransactionIndex::default()
    }

    /// All entries, ascending by last offset.
    pub fn entries(&self) -> &[AbortedTransaction] {
        &self.entries
    }

    /// Heap bytes in use.
    pub fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<AbortedTransaction>()
    }

    /// Adds what [`Transactions::end`](super::transactions::Transactions::end) returned.
    ///
    /// # Panics
    /// If its marker does not come after the last one's: markers are appended in order, and who replays a log calls
    /// [`truncate_to`](Self::truncate_to) with the first offset replayed before.
    pub fn append(&mut self, aborted: AbortedTransaction) {
        if let Some(last) = self.entries.last() {
            assert!(last.last_offset < aborted.last_offset, "{aborted:?} does not come after {last:?}");
        }
        self.entries.push(aborted);
    }

    /// What overlaps the offsets from `from` up to and without `to`: began before `to` and ended at or after `from`.
    pub fn overlapping(&self, from: Offset, to: Offset) -> Found {
        let mut found = Found::default();
        let start = self.entries.partition_point(|aborted| aborted.last_offset < from);
        for aborted in &self.entries[start..] {
            if aborted.first_offset < to {
                found.aborted.push(*aborted);
            }
            if aborted.last_stable_offset >= to {
                found.is_complete = true;
                break;
            }
        }
        found
    }

    /// Removes transactions whose marker lies at or above `offset`: the log was cut there.
    pub fn truncate_to(&mut self, offset: Offset) {
        self.entries.truncate(self.entries.partition_point(|aborted| aborted.last_offset < offset));
    }

    /// Removes transactions whose marker lies below `offset`: the log starts there now.
    pub fn remove_below(&mut self, offset: Offset) {
        self.entries.drain(..self.entries.partition_point(|aborted| aborted.last_offset < offset));
    }

    /// The file of the segment that holds the offsets from `base_offset` up to and without `next_base_offset`. Kafka
    /// has no such file where it would be empty.
    pub fn encode(&self, base_offset: Offset, next_base_offset: Offset) -> Vec<u8> {
        let start = self.entries.partition_point(|aborted| aborted.last_offset < base_offset);
        let end = self.entries.partition_point(|aborted| aborted.last_offset < next_base_offset).max(start);
        let mut out = Vec::with_capacity((end - start) * ENTRY_BYTES);
        for aborted in &self.entries[start..end] {
            out.extend_from_slice(&VERSION.to_be_bytes());
            out.extend_from_slice(&aborted.producer_id.to_be_bytes());
            out.extend_from_slice(&aborted.first_offset.to_be_bytes());
            out.extend_from_slice(&aborted.last_offset.to_be_bytes());
            out.extend_from_slice(&aborted.last_stable_offset.to_be_bytes());
        }
        out
    }

    /// Reads the file of the segment that starts at `base_offset`.
    ///
    /// # Errors
    /// A length that does not fit, another version, markers below the segment or not ascending, or offsets of one entry
    /// that contradict each other.
    pub fn decode(base_offset: Offset, bytes: &[u8]) -> Result<TransactionIndex, Corrupt> {
        let mut reader = Reader::new(WHAT, bytes);
        if !bytes.len().is_multiple_of(ENTRY_BYTES) {
            let whole = bytes.len() - bytes.len() % ENTRY_BYTES;
            return Err(reader.corrupt_at(whole, format!("{} bytes are no whole entries", bytes.len())));
        }
        let mut entries = Vec::with_capacity(bytes.len() / ENTRY_BYTES);
        let mut lowest = base_offset;
        while reader.remaining() > 0 {
            let aborted = decode_entry(&mut reader, lowest)?;
            lowest = aborted.last_offset.saturating_add(1);
            entries.push(aborted);
        }
        Ok(TransactionIndex { entries })
    }
}

/// Reads one entry whose marker must lie at or above `lowest`.
fn decode_entry(reader: &mut Reader<'_>, lowest: Offset) -> Result<AbortedTransaction, Corrupt> {
    let start = reader.position();
    let version = reader.i16("version")?;
    if version != VERSION {
        return Err(reader.corrupt_at(start, format!("version {version}, not {VERSION}")));
    }
    let aborted = AbortedTransaction {
        producer_id: reader.i64("producer id")?,
        first_offset: reader.i64("first offset")?,
        last_offset: reader.i64("last offset")?,
        last_stable_offset: reader.i64("last stable offset")?,
    };
    let AbortedTransaction { producer_id, first_offset, last_offset, last_stable_offset } = aborted;
    let ascending = (0..=last_offset).contains(&first_offset);
    if producer_id < 0 || !ascending || !(0..=last_offset.saturating_add(1)).contains(&last_stable_offset) {
        return Err(reader.corrupt_at(start, format!("{aborted:?} contradicts itself")));
    }
    if last_offset < lowest {
        return Err(reader.corrupt_at(start, format!("last offset {last_offset} where {lowest} is the least possible")));
    }
    Ok(aborted)
}

#[cfg(test)]
mod tests;
