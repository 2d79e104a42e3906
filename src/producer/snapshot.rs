//! Kafka's `.snapshot` file, version 1, byte for byte: the producers of a partition at the offset in the file's name.
//!
//! ```text
//! version          i16      1
//! crc              u32      CRC-32C of everything after it
//! count            i32
//! count times, 46 bytes each:
//!   producer id            i64
//!   epoch                  i16
//!   last sequence          i32    -1: no batch
//!   last offset            i64    -1: no batch
//!   offset delta           i32    0: no batch
//!   timestamp              i64    of the last batch or marker
//!   coordinator epoch      i32    -1: no marker yet
//!   transaction's first offset i64  -1: none open
//! ```
//!
//! It keeps one batch a producer, so it is for Kafka's tools and for moving to and from Kafka; [`exact`](super::exact)
//! keeps all. Kafka writes the producers in no particular order; here they ascend.

use crate::producer::corrupt::{Corrupt, Reader};
use crate::producer::entry::{BatchMetadata, NO_TRANSACTION, ProducerEntry};
use crate::producer::state::ProducerStates;
use crate::record::crc;

const WHAT: &str = "producer snapshot";
const VERSION: i16 = 1;
/// Where the bytes under the checksum start: after the version and the checksum itself.
const CHECKED_FROM: usize = 6;
const HEADER_BYTES: usize = CHECKED_FROM + 4;
/// Bytes of one producer.
const ENTRY_BYTES: usize = 46;

/// The content of a `.snapshot` file.
pub fn encode(states: &ProducerStates) -> Vec<u8> {
    let count = i32::try_from(states.len()).expect("a partition has far fewer than 2^31 producers");
    let mut out = Vec::with_capacity(HEADER_BYTES + states.len() * ENTRY_BYTES);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&count.to_be_bytes());
    for (producer_id, entry) in states.iter() {
        out.extend_from_slice(&producer_id.to_be_bytes());
        encode_entry(&mut out, entry);
    }
    let crc = crc::crc32c(&out[CHECKED_FROM..]);
    out[2..CHECKED_FROM].copy_from_slice(&crc.to_be_bytes());
    out
}

fn encode_entry(out: &mut Vec<u8>, entry: &ProducerEntry) {
    let offset_delta = entry.batches().last().map_or(0, |batch| batch.offset_delta);
    out.extend_from_slice(&entry.epoch().to_be_bytes());
    out.extend_from_slice(&entry.last_sequence().to_be_bytes());
    out.extend_from_slice(&entry.last_offset().to_be_bytes());
    out.extend_from_slice(&offset_delta.to_be_bytes());
    out.extend_from_slice(&entry.last_timestamp().to_be_bytes());
    out.extend_from_slice(&entry.coordinator_epoch().to_be_bytes());
    out.extend_from_slice(&entry.transaction_first_offset().unwrap_or(NO_TRANSACTION).to_be_bytes());
}

/// Reads a `.snapshot` file that Flumen or Kafka wrote.
///
/// # Errors
/// Another version, a wrong checksum, a length that does not fit, or a number that no producer can have.
pub fn decode(bytes: &[u8]) -> Result<ProducerStates, Corrupt> {
    let mut reader = Reader::new(WHAT, bytes);
    let version = reader.i16("version")?;
    if version != VERSION {
        return Err(reader.corrupt_at(0, format!("version {version}, not {VERSION}")));
    }
    let stored = reader.u32("checksum")?;
    let computed = crc::crc32c(&bytes[CHECKED_FROM..]);
    if stored != computed {
        return Err(reader.corrupt_at(2, format!("its checksum is {stored:#010x}, its content has {computed:#010x}")));
    }
    let count = reader.i32("producer count")?;
    if usize::try_from(count).ok().and_then(|count| count.checked_mul(ENTRY_BYTES)) != Some(reader.remaining()) {
        let left = reader.remaining();
        return Err(reader.corrupt_at(
            CHECKED_FROM,
            format!("{count} producers need {ENTRY_BYTES} bytes each, but {left} bytes follow"),
        ));
    }
    let mut states = ProducerStates::new();
    for _ in 0..count {
        decode_entry(&mut reader, &mut states)?;
    }
    Ok(states)
}

fn decode_entry(reader: &mut Reader<'_>, states: &mut ProducerStates) -> Result<(), Corrupt> {
    let start = reader.position();
    let producer_id = reader.i64("producer id")?;
    let mut entry = ProducerEntry::empty();
    entry.epoch = reader.i16("epoch")?;
    let last_sequence = reader.i32("last sequence")?;
    let last_offset = reader.i64("last offset")?;
    let offset_delta = reader.i32("offset delta")?;
    entry.last_timestamp = reader.i64("timestamp")?;
    entry.coordinator_epoch = reader.i32("coordinator epoch")?;
    entry.transaction_first_offset = reader.i64("first offset of the open transaction")?.max(NO_TRANSACTION);
    if last_offset >= 0 {
        let batch = BatchMetadata { last_sequence, offset_delta, last_offset, timestamp: entry.last_timestamp };
        check_batch(&batch).map_err(|reason| reader.corrupt_at(start, format!("producer {producer_id} {reason}")))?;
        entry.push(batch);
    }
    if producer_id < 0 {
        return Err(reader.corrupt_at(start, format!("producer id {producer_id} is negative")));
    }
    if !states.restore(producer_id, entry) {
        return Err(reader.corrupt_at(start, format!("producer {producer_id} is there twice")));
    }
    Ok(())
}

/// What no remembered batch can be, as the end of a sentence.
pub(super) fn check_batch(batch: &BatchMetadata) -> Result<(), String> {
    let BatchMetadata { last_sequence, offset_delta, last_offset, .. } = *batch;
    if last_sequence < -1 {
        return Err(format!("has last sequence {last_sequence}"));
    }
    if offset_delta < 0 || i64::from(offset_delta) > last_offset {
        return Err(format!("has a batch of offset delta {offset_delta} that ends at offset {last_offset}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
