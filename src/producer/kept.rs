//! What a partition keeps of its producers with each checkpoint: their states, and the aborted transactions that stand in
//! no `.txnindex` file yet.
//!
//! ```text
//! version u8 (3)
//! length of the producers' encoding, the encoding (exact.rs)
//! filed: below, listed from
//! count of segments with a file; per one, ascending by base offset:
//!   base offset (difference to the one before), bytes, CRC-32C of them plus 1, or 0 where it is not known
//! count of aborted transactions; per one, ascending by last offset:
//!   producer id, first offset, last offset (difference to the one before), last stable offset (difference to last offset)
//! ```
//!
//! Numbers are of variable length. Earlier releases wrote version 1, the producers' encoding alone, and version 2, in which the end
//! of the files, the last segment with one and its length stand in place of the list.

use crate::model::offset::Offset;
use crate::producer::corrupt::{Corrupt, Reader, put_signed, put_unsigned};
use crate::producer::exact::{self, decode_exact, encode_exact};
use crate::producer::state::ProducerStates;
use crate::producer::transaction_index::{AbortedTransaction, TransactionIndex};
use crate::record::crc;

const WHAT: &str = "producer checkpoint";
const VERSION: u8 = 3;
/// The version without a list of segments.
const UNLISTED: u8 = 2;
/// The least that one aborted transaction takes: each of its four fields is a byte or more.
const ENTRY_BYTES_MIN: usize = 4;
/// The least that one segment with a file takes.
const SEGMENT_BYTES_MIN: usize = 3;

/// How far the `.txnindex` files go, and what has to stand in them: a file that is lost or damaged is missed by that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filed {
    /// Markers below this offset stand in files.
    pub below: Offset,
    /// Of the segments from this base offset on every one that has a file is listed; an earlier release listed none.
    pub listed_from: Offset,
    /// The segments that have a file, ascending.
    pub segments: Vec<FiledSegment>,
}

/// The `.txnindex` file of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FiledSegment {
    /// Base offset of the segment.
    pub base: Offset,
    /// How many bytes of the file count.
    pub bytes: u64,
    /// The CRC-32C of these bytes; none where an earlier release did not note it.
    pub crc: Option<u32>,
}

impl Filed {
    /// The file of the segment at `base`, if it has one that is known.
    pub fn of(&self, base: Offset) -> Option<&FiledSegment> {
        let at = self.segments.binary_search_by_key(&base, |one| one.base).ok()?;
        Some(&self.segments[at])
    }

    /// Notes that `bytes` follow in the file of the segment at `base`, which is the last one, and that the files hold every
    /// marker below `below` then.
    pub fn append(&mut self, base: Offset, bytes: &[u8], below: Offset) {
        if self.segments.last().is_none_or(|last| last.base != base) {
            self.segments.push(FiledSegment { base, bytes: 0, crc: Some(0) });
        }
        let last = self.segments.last_mut().expect("just made");
        last.bytes += bytes.len() as u64;
        last.crc = last.crc.map(|crc| crc::crc32c_append(crc, bytes));
        self.below = below;
    }
}

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The producers.
    pub producers: ProducerStates,
    /// Aborted transactions that stand in no file.
    pub aborted: TransactionIndex,
    /// What stands in files.
    pub filed: Filed,
}

/// The encoding of what is kept; nothing at all where nothing is known.
pub fn encode_kept(producers: &ProducerStates, aborted: &TransactionIndex, filed: &Filed) -> Vec<u8> {
    if producers.is_empty() && aborted.entries().is_empty() && *filed == Filed::default() {
        return Vec::new();
    }
    let mut states = Vec::new();
    encode_exact(producers, &mut states);
    let mut out = vec![VERSION];
    put_unsigned(&mut out, states.len() as u64);
    out.extend_from_slice(&states);
    put_signed(&mut out, filed.below);
    put_signed(&mut out, filed.listed_from);
    put_unsigned(&mut out, filed.segments.len() as u64);
    let mut previous = 0;
    for segment in &filed.segments {
        put_signed(&mut out, segment.base - previous);
        put_unsigned(&mut out, segment.bytes);
        put_unsigned(&mut out, segment.crc.map_or(0, |crc| u64::from(crc) + 1));
        previous = segment.base;
    }
    put_unsigned(&mut out, aborted.entries().len() as u64);
    let mut previous = 0;
    for entry in aborted.entries() {
        put_signed(&mut out, entry.producer_id);
        put_signed(&mut out, entry.first_offset);
        put_signed(&mut out, entry.last_offset - previous);
        put_signed(&mut out, entry.last_stable_offset - entry.last_offset);
        previous = entry.last_offset;
    }
    out
}

/// Reads what [`encode_kept`] wrote.
///
/// # Errors
/// Another version, a length that does not fit, or a number that cannot be.
pub fn decode_kept(bytes: &[u8]) -> Result<Kept, Corrupt> {
    match bytes.first() {
        None => return Ok(Kept::default()),
        Some(&exact::VERSION) => return Ok(Kept { producers: decode_exact(bytes)?, ..Kept::default() }),
        Some(_) => {}
    }
    let mut reader = Reader::new(WHAT, bytes);
    let version = reader.u8("version")?;
    if version != VERSION && version != UNLISTED {
        return Err(reader.corrupt_at(0, format!("version {version}, not {VERSION}")));
    }
    let length_at = reader.position();
    let length = reader.unsigned("length of the producers")?;
    let Some(states) = usize::try_from(length).ok().and_then(|length| reader.bytes(length)) else {
        return Err(reader.corrupt_at(length_at, format!("{length} bytes of producers do not fit")));
    };
    let producers = decode_exact(states)?;
    let filed = if version == UNLISTED { decode_unlisted(&mut reader)? } else { decode_filed(&mut reader)? };
    let aborted = decode_aborted(&mut reader)?;
    match reader.remaining() {
        0 => Ok(Kept { producers, aborted, filed }),
        left => Err(reader.corrupt_at(reader.position(), format!("{left} bytes follow the last transaction"))),
    }
}

/// What version 2 says of the files: of those of earlier segments nothing.
fn decode_unlisted(reader: &mut Reader<'_>) -> Result<Filed, Corrupt> {
    let below = reader.signed("end of the transaction indexes")?;
    let base = reader.signed("last indexed segment")?;
    let bytes = reader.unsigned("bytes of its index")?;
    let last = (bytes > 0).then_some(FiledSegment { base, bytes, crc: None });
    Ok(Filed { below, listed_from: base, segments: last.into_iter().collect() })
}

fn decode_filed(reader: &mut Reader<'_>) -> Result<Filed, Corrupt> {
    let below = reader.signed("end of the transaction indexes")?;
    let listed_from = reader.signed("first listed segment")?;
    let count_at = reader.position();
    let count = reader.unsigned("count of indexed segments")?;
    let count_max = (reader.remaining() / SEGMENT_BYTES_MIN) as u64;
    if count > count_max {
        return Err(reader.corrupt_at(count_at, format!("{count} segments where at most {count_max} have room")));
    }
    let mut segments: Vec<FiledSegment> = Vec::new();
    for _ in 0..count {
        let start = reader.position();
        let previous = segments.last().map(|last| last.base);
        let base = previous.unwrap_or(0).wrapping_add(reader.signed("indexed segment")?);
        let bytes = reader.unsigned("bytes of its index")?;
        let crc = reader.unsigned("checksum of its index")?;
        let crc = crc.checked_sub(1).map(u32::try_from).transpose().ok();
        let Some(crc) = crc.filter(|_| base >= 0 && previous.is_none_or(|before| before < base)) else {
            return Err(reader.corrupt_at(start, format!("segment {base} with {bytes} bytes follows {previous:?}")));
        };
        segments.push(FiledSegment { base, bytes, crc });
    }
    Ok(Filed { below, listed_from, segments })
}

fn decode_aborted(reader: &mut Reader<'_>) -> Result<TransactionIndex, Corrupt> {
    let count_at = reader.position();
    let count = reader.unsigned("count of aborted transactions")?;
    let count_max = (reader.remaining() / ENTRY_BYTES_MIN) as u64;
    if count > count_max {
        return Err(reader.corrupt_at(count_at, format!("{count} transactions where at most {count_max} have room")));
    }
    let mut aborted = TransactionIndex::new();
    let mut previous: Option<Offset> = None;
    for _ in 0..count {
        let start = reader.position();
        let producer_id = reader.signed("producer id")?;
        let first_offset = reader.signed("first offset")?;
        let last_offset = previous.unwrap_or(0).wrapping_add(reader.signed("last offset")?);
        let last_stable_offset = last_offset.wrapping_add(reader.signed("last stable offset")?);
        let entry = AbortedTransaction { producer_id, first_offset, last_offset, last_stable_offset };
        if first_offset < 0 || last_offset < first_offset || previous.is_some_and(|before| before >= last_offset) {
            return Err(reader.corrupt_at(start, format!("{entry:?} follows one that ends at {previous:?}")));
        }
        aborted.append(entry);
        previous = Some(last_offset);
    }
    Ok(aborted)
}

#[cfg(test)]
mod tests;
