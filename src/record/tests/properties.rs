//! Properties: whatever is built is accepted and read back; whatever is damaged is noticed; nothing panics.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{OwnedRecord, WALL_MS, produce, read, with_crc};
use crate::base::prng::Prng;
use crate::record::batch::{self, TimestampType};
use crate::record::control::end_transaction_of;
use crate::record::timestamp::{offset_for_timestamp, record_of_max_timestamp};
use crate::record::validate::{Rules, check_stored, validate, verify_crc};
use crate::record::walk::{self, batches, records};
use crate::record::{BatchBuilder, BatchHeader, Compression};

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..most)
}

fn record() -> impl Strategy<Value = OwnedRecord> {
    let timestamp = prop_oneof![Just(-1_i64), WALL_MS - 1_000_000..WALL_MS + 1_000_000];
    let headers = vec((bytes(10), option::of(bytes(20))), 0..4);
    (timestamp, option::of(bytes(40)), option::of(bytes(400)), headers)
        .prop_map(|(timestamp, key, value, headers)| OwnedRecord { offset: 0, timestamp, key, value, headers })
}

fn some_records() -> impl Strategy<Value = Vec<OwnedRecord>> {
    vec(record(), 1..20).prop_map(|mut records| {
        (0..).zip(&mut records).for_each(|(at, record)| record.offset = at);
        records
    })
}

fn compression() -> impl Strategy<Value = Compression> {
    (0..5_i16).prop_map(|id| Compression::from_id(id).expect("one of five"))
}

fn builder() -> impl Strategy<Value = BatchBuilder> {
    (compression(), option::of((0..i64::MAX, 0..i16::MAX, 0..i32::MAX, any::<bool>()))).prop_map(
        |(compression, producer)| {
            let builder = BatchBuilder::new().compression(compression);
            match producer {
                None => builder,
                Some((id, epoch, sequence, false)) => builder.producer(id, epoch, sequence),
                Some((id, epoch, sequence, true)) => builder.producer(id, epoch, sequence).transactional(),
            }
        },
    )
}

const THOROUGH: Rules = Rules {
    unnumbered: false,
    message_bytes_max: u32::MAX,
    compacted: false,
    timestamp_type: TimestampType::CreateTime,
    timestamp_before_max_ms: i64::MAX,
    timestamp_after_max_ms: 3_600_000,
    walk_compressed: true,
};

proptest! {
    #[test]
    fn what_is_built_is_accepted_and_read_back(
        builder in builder(), expected in some_records(), base_offset in 0..i64::MAX - 100, epoch in any::<i32>(),
    ) {
        let mut batch = produce(builder, &expected);
        let checked = validate(&batch, &THOROUGH, WALL_MS).expect("a right batch");
        prop_assert!(verify_crc(&batch));
        let header = BatchHeader::read(&batch).expect("long enough");
        prop_assert_eq!(checked.max_timestamp, header.max_timestamp());
        prop_assert_eq!(checked.records_count as usize, expected.len());
        prop_assert_eq!(checked.bytes, batch.len());

        checked.stamp(&mut batch, base_offset, epoch);
        let header = check_stored(&batch).expect("a right batch");
        prop_assert_eq!(header.partition_leader_epoch(), epoch);
        prop_assert_eq!(header.next_offset(), base_offset + expected.len() as i64);
        let moved: Vec<_> =
            expected.iter().map(|it| OwnedRecord { offset: it.offset + base_offset, ..it.clone() }).collect();
        prop_assert_eq!(read(&batch), moved);
    }

    #[test]
    fn lookups_agree_with_a_plain_search(
        expected in some_records(), compression in compression(), at in any::<prop::sample::Index>(),
    ) {
        let batch = produce(BatchBuilder::new().compression(compression), &expected);
        for target in [expected[at.index(expected.len())].timestamp, expected[at.index(expected.len())].timestamp + 1] {
            let first = expected.iter().find(|record| record.timestamp >= target);
            prop_assert_eq!(offset_for_timestamp(&batch, target), Ok(first.map(|it| (it.offset, it.timestamp))));
        }
        let largest = expected.iter().map(|record| record.timestamp).max().expect("not empty");
        let first = expected.iter().find(|record| record.timestamp == largest).expect("present");
        prop_assert_eq!(record_of_max_timestamp(&batch), Ok(Some((first.offset, largest))));
    }

    #[test]
    fn compaction_keeps_what_it_keeps(expected in some_records(), compression in compression(), mask in any::<u32>()) {
        let mut batch = produce(BatchBuilder::new().compression(compression).producer(1, 2, 3), &expected);
        batch::set_base_offset(&mut batch, 500);
        let header = BatchHeader::read(&batch).expect("long enough");
        let all = records(&batch).expect("readable");
        let mut builder = BatchBuilder::replacing(header, None);
        let mut kept = Vec::new();
        for (at, record) in (0..).zip(&all) {
            let record = record.expect("readable");
            if mask & (1 << at) != 0 {
                builder.append_kept(at, &record);
                kept.push(super::owned(&record));
            }
        }
        let rewritten = builder.build(header.base_offset());
        let after = check_stored(&rewritten).expect("right");
        prop_assert_eq!((after.base_offset(), after.last_offset()), (header.base_offset(), header.last_offset()));
        prop_assert_eq!((after.producer_id(), after.base_sequence()), (1, 3));
        prop_assert_eq!(read(&rewritten), kept);
    }

    #[test]
    fn garbage_is_refused_without_panic(garbage in bytes(400), id in 0..8_i16) {
        exercise(&garbage);
        if let Some(compression) = Compression::from_id(id) {
            let _ = compression.decompress(&garbage, 1 << 16);
        }
    }

    #[test]
    fn garbage_behind_a_right_header_is_refused_without_panic(
        garbage in bytes(400), attributes in 0..8_u8, count in 1..50_i32,
    ) {
        let mut batch = produce(BatchBuilder::new(), &[OwnedRecord::new(0, WALL_MS, None, None)]);
        batch.truncate(61);
        batch.extend_from_slice(&garbage);
        let length = (batch.len() - 12) as i32;
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        batch[22] = attributes;
        batch[23..27].copy_from_slice(&(count - 1).to_be_bytes());
        batch[57..61].copy_from_slice(&count.to_be_bytes());
        exercise(&with_crc(batch));
    }
}

/// Every function that takes bytes of a client or a disk.
fn exercise(bytes: &[u8]) {
    let _ = validate(bytes, &THOROUGH, WALL_MS);
    let _ = validate(bytes, &Rules { compacted: true, ..Rules::default() }, WALL_MS);
    let _ = validate(bytes, &Rules { timestamp_type: TimestampType::LogAppendTime, ..THOROUGH }, i64::MAX);
    let _ = verify_crc(bytes);
    let _ = check_stored(bytes);
    let _ = end_transaction_of(bytes);
    let _ = offset_for_timestamp(bytes, WALL_MS);
    let _ = record_of_max_timestamp(bytes);
    let mut copy = vec![0; bytes.len()];
    assert_eq!(batch::copy_and_verify(&mut copy, bytes), verify_crc(bytes));
    for batch in batches(bytes).flatten() {
        let Ok(records) = walk::records(batch.1) else { continue };
        for record in records.iter().flatten() {
            assert_eq!(record.headers.iter().count(), record.headers.len());
        }
    }
    if let Some(header) = BatchHeader::read(bytes) {
        let _ = (header.next_offset(), header.total_bytes(), header.compression(), header.delete_horizon());
        let _ = format!("{header:?}");
    }
}

/// Every byte of a batch, flipped in each of its bits, is noticed: by validation, by the CRC, or not at all because
/// it is the leader epoch, which the broker sets anyway.
#[test]
fn every_flipped_bit_is_noticed() {
    const LEADER_EPOCH: std::ops::Range<usize> = 12..16;
    let expected: Vec<_> = (0..4)
        .map(|at| OwnedRecord::new(at, WALL_MS + at, Some(b"key"), Some(b"a value")).header(b"h", Some(b"v")))
        .collect();
    for compression in Compression::ALL {
        let batch = produce(BatchBuilder::new().compression(compression).producer(9, 0, 0), &expected);
        for at in 0..batch.len() {
            for bit in 0..8 {
                let mut flipped = batch.clone();
                flipped[at] ^= 1 << bit;
                let passes = validate(&flipped, &Rules::default(), WALL_MS).is_ok() && verify_crc(&flipped);
                assert_eq!(passes, LEADER_EPOCH.contains(&at), "{compression}: bit {bit} of byte {at}");
            }
        }
    }
}

/// Damages right batches at random, makes the CRC right again so that the damage gets past it, and walks what is left.
/// About a second on the machines of 2026; the seed makes it the same every time.
#[test]
fn damaged_batches_never_panic() {
    const ROUNDS: usize = 30_000;
    let mut prng = Prng::new(0x5eed);
    let expected: Vec<_> = (0..6)
        .map(|at| OwnedRecord::new(at, WALL_MS + at, Some(b"key"), Some(&[at as u8; 50])).header(b"h", None))
        .collect();
    let originals: Vec<_> =
        Compression::ALL.map(|compression| produce(BatchBuilder::new().compression(compression), &expected)).to_vec();
    let mut accepted = 0;
    for round in 0..ROUNDS {
        let mut batch = originals[round % originals.len()].clone();
        for _ in 0..prng.between(1, 4) {
            damage(&mut batch, &mut prng);
        }
        // The length is made right too, most of the time, for the same reason.
        if batch.len() > 61 && !prng.one_in(8) {
            let length = (batch.len() - 12) as i32;
            batch[8..12].copy_from_slice(&length.to_be_bytes());
            batch = with_crc(batch);
        }
        exercise(&batch);
        accepted += usize::from(validate(&batch, &THOROUGH, WALL_MS).is_ok());
    }
    assert!(
        accepted > 0 && accepted < ROUNDS,
        "{accepted} of {ROUNDS} accepted: the damage is neither nothing nor total"
    );
}

fn damage(batch: &mut Vec<u8>, prng: &mut Prng) {
    if batch.is_empty() {
        return;
    }
    let at = prng.below(batch.len() as u64) as usize;
    match prng.below(6) {
        0 => batch[at] ^= 1 << prng.below(8),
        1 => batch[at] = prng.bits() as u8,
        2 => batch[at] = [0, 1, 0x7f, 0x80, 0xff][prng.below(5) as usize],
        3 => batch.truncate(at),
        4 => batch.insert(at, prng.bits() as u8),
        _ => drop(batch.remove(at)),
    }
}
