//! Batches made once and sent many times: what differs from one to the next is patched in place.

use flumen::base::prng::Prng;
use flumen::record::crc::crc32c;
use flumen::record::{BatchBuilder, Compression, HEADER_BYTES, records};

use crate::options::Sending;

/// Marks values that carry a [`Stamp`].
const MAGIC: u32 = 0x464c_4d4e;
/// Bytes of a stamp at the front of a value.
pub const STAMP_BYTES: usize = 24;

// Positions in a batch's header, as `flumen::record::batch` documents them.
const CRC_AT: usize = 17;
const CRC_COVERS_FROM: usize = 21;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;

/// Of a batch's bytes, how many differ from one template to the next: values are drawn once for all.
const VALUES_BYTES: usize = 1 << 20;

/// What a value of this program says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Who sent it: one connection of one run.
    pub source: u32,
    /// How many records that source had sent to the partition before.
    pub sequence: u64,
    /// When it was meant to be sent, on the monotonic clock of the machine, in nanoseconds.
    pub intended_ns: u64,
}

impl Stamp {
    /// The stamp of `value`, if it has one.
    pub fn read(value: &[u8]) -> Option<Stamp> {
        let (magic, rest) = value.split_first_chunk::<4>()?;
        let (source, rest) = rest.split_first_chunk::<4>()?;
        let (sequence, rest) = rest.split_first_chunk::<8>()?;
        let (intended, _) = rest.split_first_chunk::<8>()?;
        (u32::from_be_bytes(*magic) == MAGIC).then(|| Stamp {
            source: u32::from_be_bytes(*source),
            sequence: u64::from_be_bytes(*sequence),
            intended_ns: u64::from_be_bytes(*intended),
        })
    }

    fn write(self, value: &mut [u8]) {
        value[..4].copy_from_slice(&MAGIC.to_be_bytes());
        value[4..8].copy_from_slice(&self.source.to_be_bytes());
        value[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        value[16..24].copy_from_slice(&self.intended_ns.to_be_bytes());
    }
}

/// An idempotent producer, and the sequence number of a batch's first record.
#[derive(Clone, Copy, Debug)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
    pub base_sequence: i32,
}

/// A batch to send again and again.
#[derive(Clone, Debug)]
pub struct Template {
    pub bytes: Vec<u8>,
    pub records: u32,
    /// Where the values lie, if the batch is not compressed.
    values_at: Vec<usize>,
    compression: Compression,
    content: Content,
}

#[derive(Clone, Debug)]
struct Content {
    keys: Vec<Option<Vec<u8>>>,
    values: Vec<Vec<u8>>,
    timestamp_ms: i64,
}

impl Content {
    fn build(&self, compression: Compression) -> Vec<u8> {
        let mut builder = BatchBuilder::new().compression(compression);
        for (key, value) in self.keys.iter().zip(&self.values) {
            builder.append(self.timestamp_ms, key.as_deref(), Some(value), &[]);
        }
        builder.build(0)
    }
}

/// The size of a batch that is as large as `sending` wants, in records.
pub fn records_per_batch(sending: &Sending) -> u32 {
    /// Attributes, deltas and lengths of a record.
    const RECORD_OVERHEAD_BYTES: usize = 10;
    let key_bytes = if sending.keys.is_some() { KEY_BYTES } else { 0 };
    let fitting =
        sending.batch_bytes.saturating_sub(HEADER_BYTES) / (sending.record_bytes + key_bytes + RECORD_OVERHEAD_BYTES);
    sending.batch_records.unwrap_or((fitting as u32).max(1))
}

/// Bytes of a key.
const KEY_BYTES: usize = 12;

/// The key with this number.
pub fn key(number: u32) -> Vec<u8> {
    format!("key-{number:08}").into_bytes()
}

/// The partition that Kafka's producers choose for a key: murmur2, its sign bit cleared, modulo.
pub fn partition_of(key: &[u8], partitions: usize) -> usize {
    const SEED: u32 = 0x9747_b28c;
    const MULTIPLIER: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ key.len() as u32;
    let mut chunks = key.chunks_exact(4);
    for chunk in &mut chunks {
        let mut word = u32::from_le_bytes(chunk.try_into().expect("chunks of four")).wrapping_mul(MULTIPLIER);
        word ^= word >> 24;
        hash = hash.wrapping_mul(MULTIPLIER) ^ word.wrapping_mul(MULTIPLIER);
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^= hash >> 15;
    (hash & 0x7fff_ffff) as usize % partitions
}

impl Template {
    /// A batch of `count` records with values of `record_bytes`, and with keys out of `keys` if there are any.
    pub fn new(
        count: u32,
        record_bytes: usize,
        keys: &[u32],
        compression: Compression,
        timestamp_ms: i64,
        random: &mut Prng,
    ) -> Template {
        // Text-like bytes of which codecs make about half, and no two runs of the same length alike.
        let mut drawn = vec![0; VALUES_BYTES.min(count as usize * record_bytes).max(record_bytes)];
        random.fill(&mut drawn);
        for byte in &mut drawn {
            *byte = b"etaoinshrdlu ,.4"[usize::from(*byte & 15)];
        }
        let value = |at: usize| {
            let start = at * record_bytes % (drawn.len() - record_bytes + 1);
            drawn[start..start + record_bytes].to_vec()
        };
        let content = Content {
            keys: (0..count as usize)
                .map(|_| (!keys.is_empty()).then(|| key(keys[random.below(keys.len() as u64) as usize])))
                .collect(),
            values: (0..count as usize).map(value).collect(),
            timestamp_ms,
        };
        let bytes = content.build(compression);
        let values_at = if compression == Compression::None { values_in(&bytes) } else { Vec::new() };
        Template { bytes, records: count, values_at, compression, content }
    }

    /// The batch with stamps in its values: `first`, then rising sequences.
    pub fn stamped(&mut self, first: Stamp, into: &mut Vec<u8>) {
        into.clear();
        let stamp = |at: usize| Stamp { sequence: first.sequence + at as u64, ..first };
        if self.compression == Compression::None {
            into.extend_from_slice(&self.bytes);
            for (at, value_at) in self.values_at.iter().enumerate() {
                stamp(at).write(&mut into[*value_at..]);
            }
            seal(into);
        } else {
            for (at, value) in self.content.values.iter_mut().enumerate() {
                stamp(at).write(value);
            }
            into.extend_from_slice(&self.content.build(self.compression));
        }
    }
}

/// Writes the producer into a batch.
pub fn set_producer(batch: &mut [u8], producer: Producer) {
    batch[PRODUCER_ID_AT..PRODUCER_EPOCH_AT].copy_from_slice(&producer.id.to_be_bytes());
    batch[PRODUCER_EPOCH_AT..BASE_SEQUENCE_AT].copy_from_slice(&producer.epoch.to_be_bytes());
    batch[BASE_SEQUENCE_AT..BASE_SEQUENCE_AT + 4].copy_from_slice(&producer.base_sequence.to_be_bytes());
    seal(batch);
}

fn seal(batch: &mut [u8]) {
    let crc = crc32c(&batch[CRC_COVERS_FROM..]);
    batch[CRC_AT..CRC_COVERS_FROM].copy_from_slice(&crc.to_be_bytes());
}

/// Where the values of a batch that is not compressed lie.
fn values_in(batch: &[u8]) -> Vec<usize> {
    let walk = records(batch).expect("it was just built");
    let start = batch.as_ptr() as usize;
    walk.iter()
        .map(|record| record.expect("it was just built").value.expect("no value is null").as_ptr() as usize - start)
        .collect()
}
