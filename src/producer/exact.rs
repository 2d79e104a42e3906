//! The lossless encoding of a partition's producers: what checkpoints carry, so that a restart recognises every retry
//! that the broker recognised before it.
//!
//! All numbers are of variable length; a batch is written relative to the one before it, because those of one producer
//! lie close together. One producer with a full window takes about 60 bytes. The checksum is the checkpoint's.
//!
//! ```text
//! version u8, producer count; per producer, ascending:
//!   producer id (difference to the one before), epoch, coordinator epoch, last timestamp, first offset of the open
//!   transaction, batch count u8, and per batch, oldest first: last sequence, last offset, offset delta, timestamp,
//!   each but the offset delta as the difference to the batch before
//! ```

use crate::producer::corrupt::{Corrupt, Reader, put_signed, put_unsigned};
use crate::producer::entry::{BATCHES_RETAINED, BatchMetadata, NO_TRANSACTION, ProducerEntry};
use crate::producer::snapshot::check_batch;
use crate::producer::state::ProducerStates;

const WHAT: &str = "producer checkpoint";
pub(super) const VERSION: u8 = 1;
/// The least that one producer takes: each of its six fields is a byte or more.
const ENTRY_BYTES_MIN: usize = 6;

/// Appends all of `states` to `out`.
pub fn encode_exact(states: &ProducerStates, out: &mut Vec<u8>) {
    out.push(VERSION);
    put_unsigned(out, states.len() as u64);
    let mut previous_id = 0;
    for (producer_id, entry) in states.iter() {
        put_unsigned(out, producer_id.wrapping_sub(previous_id).cast_unsigned());
        encode_entry(out, entry);
        previous_id = producer_id;
    }
}

fn encode_entry(out: &mut Vec<u8>, entry: &ProducerEntry) {
    put_signed(out, i64::from(entry.epoch()));
    put_signed(out, i64::from(entry.coordinator_epoch()));
    put_signed(out, entry.last_timestamp());
    put_signed(out, entry.transaction_first_offset().unwrap_or(NO_TRANSACTION));
    out.push(entry.batches().len() as u8);
    let mut previous = BatchMetadata::default();
    for batch in entry.batches() {
        // Wrapping differences of 64 bits lose nothing, whatever the timestamps of clients are.
        put_signed(out, i64::from(batch.last_sequence) - i64::from(previous.last_sequence));
        put_signed(out, batch.last_offset.wrapping_sub(previous.last_offset));
        put_signed(out, i64::from(batch.offset_delta));
        put_signed(out, batch.timestamp.wrapping_sub(previous.timestamp));
        previous = *batch;
    }
}

/// Reads what [`encode_exact`] wrote; `bytes` holds nothing else.
///
/// # Errors
/// Another version, a length that does not fit, or a number that no producer can have.
pub fn decode_exact(bytes: &[u8]) -> Result<ProducerStates, Corrupt> {
    let mut reader = Reader::new(WHAT, bytes);
    let version = reader.u8("version")?;
    if version != VERSION {
        return Err(reader.corrupt_at(0, format!("version {version}, not {VERSION}")));
    }
    let count_at = reader.position();
    let count = reader.unsigned("producer count")?;
    let count_max = (reader.remaining() / ENTRY_BYTES_MIN) as u64;
    if count > count_max {
        return Err(reader.corrupt_at(count_at, format!("{count} producers where at most {count_max} have room")));
    }
    let mut states = ProducerStates::new();
    let mut previous_id = 0i64;
    for _ in 0..count {
        let start = reader.position();
        let producer_id = previous_id.wrapping_add(reader.unsigned("producer id")?.cast_signed());
        let entry = decode_entry(&mut reader)?;
        if producer_id < previous_id || !states.restore(producer_id, entry) {
            return Err(reader.corrupt_at(start, format!("producer {producer_id} follows producer {previous_id}")));
        }
        previous_id = producer_id;
    }
    match reader.remaining() {
        0 => Ok(states),
        left => Err(reader.corrupt_at(reader.position(), format!("{left} bytes follow the last producer"))),
    }
}

fn decode_entry(reader: &mut Reader<'_>) -> Result<ProducerEntry, Corrupt> {
    let mut entry = ProducerEntry::empty();
    entry.epoch = reader.narrow("epoch")?;
    entry.coordinator_epoch = reader.narrow("coordinator epoch")?;
    entry.last_timestamp = reader.signed("timestamp")?;
    entry.transaction_first_offset = reader.signed("first offset of the open transaction")?.max(NO_TRANSACTION);
    let count_at = reader.position();
    let count = reader.u8("batch count")?;
    if usize::from(count) > BATCHES_RETAINED {
        return Err(reader.corrupt_at(count_at, format!("{count} batches of one producer")));
    }
    let mut previous = BatchMetadata::default();
    for _ in 0..count {
        previous = decode_batch(reader, &previous)?;
        entry.push(previous);
    }
    Ok(entry)
}

fn decode_batch(reader: &mut Reader<'_>, previous: &BatchMetadata) -> Result<BatchMetadata, Corrupt> {
    let start = reader.position();
    let sequence = i64::from(previous.last_sequence).wrapping_add(reader.signed("last sequence")?);
    let last_sequence =
        i32::try_from(sequence).map_err(|_| reader.corrupt_at(start, format!("last sequence {sequence}")))?;
    let last_offset = previous.last_offset.wrapping_add(reader.signed("last offset")?);
    let offset_delta = reader.narrow("offset delta")?;
    let timestamp = previous.timestamp.wrapping_add(reader.signed("timestamp")?);
    let batch = BatchMetadata { last_sequence, offset_delta, last_offset, timestamp };
    check_batch(&batch).map_err(|reason| reader.corrupt_at(start, format!("a producer {reason}")))?;
    Ok(batch)
}

#[cfg(test)]
mod tests;
