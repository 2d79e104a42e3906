//! The records that producers of the world write: each says which it is, and every byte of it follows from that, so that
//! a consumer knows damage, a record of another place, and a record that was never written when it sees one.

use crate::base::prng::Prng;
use crate::model::ids::{ProducerEpoch, ProducerId};
use crate::record::walk::Record;
use crate::record::{BatchBuilder, Compression};
use crate::sim::history::{BatchTag, Tag};

const MAGIC: u32 = 0x51_3a_77_0c;
/// Magic, producer, number, timestamp, partition, length.
const FRONT_BYTES: usize = 4 + 4 + 4 + 8 + 4 + 4;

/// Bytes of a value that follow from its tag.
fn fill(tag: Tag, bytes: &mut [u8]) {
    let mut state = u64::from(tag.producer) << 32 | u64::from(tag.number);
    for chunk in bytes.chunks_mut(8) {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        chunk.copy_from_slice(&(state ^ state >> 29).to_be_bytes()[..chunk.len()]);
    }
}

fn value(tag: Tag, timestamp: i64, partition: i32, bytes: usize) -> Vec<u8> {
    let mut value = Vec::with_capacity(FRONT_BYTES + bytes);
    value.extend_from_slice(&MAGIC.to_be_bytes());
    value.extend_from_slice(&tag.producer.to_be_bytes());
    value.extend_from_slice(&tag.number.to_be_bytes());
    value.extend_from_slice(&timestamp.to_be_bytes());
    value.extend_from_slice(&partition.to_be_bytes());
    value.extend_from_slice(&(bytes as u32).to_be_bytes());
    value.resize(FRONT_BYTES + bytes, 0);
    fill(tag, &mut value[FRONT_BYTES..]);
    value
}

/// Producer id, epoch, and the sequence of a batch's first record.
pub type Sequenced = (ProducerId, ProducerEpoch, i32);

/// Builds a batch; `bytes` are the sizes of its records, about.
pub fn batch(
    batch: BatchTag,
    wall_ms: i64,
    bytes: &[usize],
    compression: Compression,
    by: Option<Sequenced>,
) -> Vec<u8> {
    let mut builder = BatchBuilder::new().compression(compression);
    if let Some((id, epoch, sequence)) = by {
        builder = builder.producer(id, epoch, sequence);
    }
    for (tag, bytes) in batch.tags().zip(bytes) {
        let timestamp = wall_ms + i64::from(tag.number % 3);
        let value = value(tag, timestamp, batch.place.index, *bytes);
        let key = tag.number.to_be_bytes();
        let key = tag.number.is_multiple_of(2).then_some(&key[..]);
        builder.append(timestamp, key, Some(&value), &[]);
    }
    builder.build(0)
}

/// No batch has more bytes than this; one that is not `large` has fewer than a tenth.
pub const BATCH_BYTES_MAX: u64 = 230_000;

/// How large the records of a batch are.
pub fn sizes(random: &mut Prng, large: bool) -> Vec<usize> {
    let count = random.between(1, 5);
    let bytes = match random.below(40) {
        0 if large => random.between(60_000, 220_000),
        1..=6 if large => random.between(8_000, 40_000),
        _ => random.between(1, 1500),
    };
    (0..count).map(|_| (bytes / count) as usize).collect()
}

/// Reads a record back.
///
/// # Errors
/// What about it was never written.
pub fn read(record: &Record<'_>, partition: i32) -> Result<Tag, String> {
    let value = record.value.unwrap_or_default();
    let Some((front, rest)) = value.split_at_checked(FRONT_BYTES) else {
        return Err(format!("a value of {} bytes at offset {}", value.len(), record.offset));
    };
    let word = |at: usize| u32::from_be_bytes(front[at..at + 4].try_into().expect("4 bytes"));
    let tag = Tag { producer: word(4), number: word(8) };
    let timestamp = i64::from_be_bytes(front[12..20].try_into().expect("8 bytes"));
    let mut expected = vec![0; word(24) as usize % (1 << 24)];
    fill(tag, &mut expected);
    let key = tag.number.to_be_bytes();
    let key = tag.number.is_multiple_of(2).then_some(&key[..]);
    let complaint = if word(0) != MAGIC || rest != expected {
        "its value is not what was written"
    } else if word(20) as i32 != partition {
        "it was written to another partition"
    } else if record.timestamp != timestamp {
        "its timestamp is not what was written"
    } else if record.key != key {
        "its key is not what was written"
    } else {
        return Ok(tag);
    };
    Err(format!("record {tag:?} at offset {} of partition {partition}: {complaint}", record.offset))
}

#[cfg(test)]
mod tests;
