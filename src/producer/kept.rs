//! What a partition keeps of its producers with each checkpoint: their states, and the aborted transactions that stand in
//! no `.txnindex` file yet.
//!
//! ```text
//! version u8 (2)
//! length of the producers' encoding, the encoding (exact.rs)
//! filed: below, segment, bytes
//! count of aborted transactions; per one, ascending by last offset:
//!   producer id, first offset, last offset (difference to the one before), last stable offset (difference to last offset)
//! ```
//!
//! Numbers are of variable length. Version 1, which earlier releases wrote, is the producers' encoding alone.

use crate::model::offset::Offset;
use crate::producer::corrupt::{Corrupt, Reader, put_signed, put_unsigned};
use crate::producer::exact::{self, decode_exact, encode_exact};
use crate::producer::state::ProducerStates;
use crate::producer::transaction_index::{AbortedTransaction, TransactionIndex};

const WHAT: &str = "producer checkpoint";
const VERSION: u8 = 2;
/// The least that one aborted transaction takes: each of its four fields is a byte or more.
const ENTRY_BYTES_MIN: usize = 4;

/// How far the `.txnindex` files go: transactions whose marker lies below `below` stand in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filed {
    /// Markers below this offset stand in files.
    pub below: Offset,
    /// Base offset of the last segment that has such a file.
    pub segment: Offset,
    /// How many bytes of that file count.
    pub bytes: u64,
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
    put_signed(&mut out, filed.segment);
    put_unsigned(&mut out, filed.bytes);
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
    if version != VERSION {
        return Err(reader.corrupt_at(0, format!("version {version}, not {VERSION}")));
    }
    let length_at = reader.position();
    let length = reader.unsigned("length of the producers")?;
    let Some(states) = usize::try_from(length).ok().and_then(|length| reader.bytes(length)) else {
        return Err(reader.corrupt_at(length_at, format!("{length} bytes of producers do not fit")));
    };
    let producers = decode_exact(states)?;
    let filed = Filed {
        below: reader.signed("end of the transaction indexes")?,
        segment: reader.signed("last indexed segment")?,
        bytes: reader.unsigned("bytes of its index")?,
    };
    let aborted = decode_aborted(&mut reader)?;
    match reader.remaining() {
        0 => Ok(Kept { producers, aborted, filed }),
        left => Err(reader.corrupt_at(reader.position(), format!("{left} bytes follow the last transaction"))),
    }
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
