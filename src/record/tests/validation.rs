//! One test a rule: what is refused, with which of Kafka's codes, and what is let pass.

use super::{OwnedRecord, WALL_MS, plain, produce, with_crc, with_field};
use crate::model::error_code::ErrorCode;
use crate::record::batch::{self, TimestampType};
use crate::record::validate::{Checked, Rules, check_stored, validate, verify_crc};
use crate::record::{BatchBuilder, BatchHeader, Compression, Corruption};

const MAGIC: usize = 16;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const MAX_TIMESTAMP: usize = 35;
const PRODUCER_ID: usize = 43;
const RECORDS_COUNT: usize = 57;
const RECORDS: usize = 61;

fn check(batch: &[u8]) -> Result<Checked, ErrorCode> {
    check_with(batch, &Rules::default())
}

fn check_with(batch: &[u8], rules: &Rules) -> Result<Checked, ErrorCode> {
    validate(batch, rules, WALL_MS).map_err(|error| {
        assert!(error.message.len() > 20, "a sentence: {}", error.message);
        error.code
    })
}

fn refused(batch: &[u8]) -> ErrorCode {
    check(batch).expect_err("to be refused")
}

#[test]
fn a_plain_batch_passes_with_its_facts() {
    let batch = plain();
    let checked = check(&batch).expect("right");
    let expected = Checked {
        bytes: batch.len(),
        records_count: 3,
        last_offset_delta: 2,
        base_timestamp: WALL_MS,
        max_timestamp: WALL_MS + 2,
        timestamp_type: TimestampType::CreateTime,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        is_transactional: false,
        compression: Compression::None,
    };
    assert_eq!(checked, expected);
    assert!(!checked.has_producer());
}

#[test]
fn exactly_one_whole_batch_is_taken() {
    let batch = plain();
    assert_eq!(refused(&[]), ErrorCode::InvalidRecord);
    assert_eq!(refused(&batch[..16]), ErrorCode::InvalidRecord);
    assert_eq!(refused(&batch[..40]), ErrorCode::InvalidRecord);
    assert_eq!(refused(&batch[..batch.len() - 1]), ErrorCode::InvalidRecord);
    assert_eq!(refused(&[&batch[..], &[0]].concat()), ErrorCode::InvalidRecord);
    assert_eq!(refused(&[&batch[..], &batch[..]].concat()), ErrorCode::InvalidRecord);
}

#[test]
fn lengths_that_cannot_be_are_damage() {
    for length in [-1, 0, 48, i32::MIN] {
        assert_eq!(refused(&with_field(plain(), 8, i32::to_be_bytes(length))), ErrorCode::CorruptMessage);
    }
    assert_eq!(refused(&with_field(plain(), 8, i32::MAX.to_be_bytes())), ErrorCode::InvalidRecord);
}

#[test]
fn other_format_versions_are_refused() {
    for (magic, code) in [
        (0, ErrorCode::InvalidRecord),
        (1, ErrorCode::InvalidRecord),
        (3, ErrorCode::CorruptMessage),
        (-1, ErrorCode::CorruptMessage),
    ] {
        assert_eq!(refused(&with_field(plain(), MAGIC, i8::to_be_bytes(magic))), code);
    }
}

#[test]
fn the_size_limit_is_the_whole_batch() {
    let batch = plain();
    let exactly = Rules { message_bytes_max: batch.len() as u32, ..Rules::default() };
    let below = Rules { message_bytes_max: batch.len() as u32 - 1, ..Rules::default() };
    assert!(check_with(&batch, &exactly).is_ok());
    assert_eq!(check_with(&batch, &below), Err(ErrorCode::MessageTooLarge));
}

#[test]
fn offsets_and_counts_have_to_fit() {
    let mut moved = plain();
    batch::set_base_offset(&mut moved, 1);
    assert_eq!(refused(&moved), ErrorCode::InvalidRecord);
    for count in [0, -1, 2, 4, i32::MIN, i32::MAX] {
        assert_eq!(refused(&with_field(plain(), RECORDS_COUNT, i32::to_be_bytes(count))), ErrorCode::InvalidRecord);
    }
    for delta in [-1, 1, 3, i32::MIN, i32::MAX] {
        assert_eq!(refused(&with_field(plain(), LAST_OFFSET_DELTA, i32::to_be_bytes(delta))), ErrorCode::InvalidRecord);
    }
    // Both agree, and the records do not.
    for claimed in [2, 4, i32::MAX] {
        let batch = with_field(plain(), RECORDS_COUNT, i32::to_be_bytes(claimed));
        let batch = with_field(batch, LAST_OFFSET_DELTA, (claimed - 1).to_be_bytes());
        assert_eq!(refused(&batch), ErrorCode::InvalidRecord);
    }
}

#[test]
fn record_offsets_count_up_from_zero() {
    let mut batch = plain();
    // The first record: length, attributes, timestamp delta, offset delta.
    assert_eq!(batch[RECORDS + 3], 0);
    batch[RECORDS + 3] = 2;
    assert_eq!(refused(&with_crc(batch)), ErrorCode::InvalidRecord);
}

#[test]
fn clients_write_no_control_batches_and_no_broker_flags() {
    assert_eq!(refused(&with_field(plain(), ATTRIBUTES, [0, 0x20])), ErrorCode::InvalidRecord);
    assert_eq!(refused(&with_field(plain(), ATTRIBUTES, [0, 0x40])), ErrorCode::InvalidRecord);
    assert_eq!(refused(&with_field(plain(), ATTRIBUTES, [0, 0x08])), ErrorCode::InvalidTimestamp);
    let append_time = Rules { timestamp_type: TimestampType::LogAppendTime, ..Rules::default() };
    let batch = with_field(plain(), ATTRIBUTES, [0, 0x08]);
    assert_eq!(check_with(&batch, &append_time), Err(ErrorCode::InvalidTimestamp));
}

#[test]
fn unknown_codecs_are_refused() {
    for id in 5..=7 {
        assert_eq!(refused(&with_field(plain(), ATTRIBUTES, [0, id])), ErrorCode::UnsupportedCompressionType);
    }
}

#[test]
fn idempotent_producers_number_their_records() {
    let record = [OwnedRecord::new(0, WALL_MS, Some(b"k"), None)];
    let checked = check(&produce(BatchBuilder::new().producer(7, 1, 5).transactional(), &record)).expect("right");
    assert!(checked.has_producer() && checked.is_transactional);
    assert_eq!((checked.producer_id, checked.producer_epoch, checked.base_sequence), (7, 1, 5));
    assert_eq!(refused(&produce(BatchBuilder::new().producer(7, 1, -1), &record)), ErrorCode::InvalidRecord);
    assert_eq!(refused(&produce(BatchBuilder::new().producer(7, -1, 0), &record)), ErrorCode::InvalidRecord);
    assert_eq!(refused(&produce(BatchBuilder::new().transactional(), &record)), ErrorCode::InvalidRecord);
    // Without a producer id neither epoch nor sequence mean anything, and some clients send zeros.
    let zeros = with_field(plain(), PRODUCER_ID + 8, [0; 6]);
    assert!(check(&zeros).is_ok());
}

#[test]
fn timestamps_have_bounds() {
    let one = |timestamp| produce(BatchBuilder::new(), &[OwnedRecord::new(0, timestamp, None, None)]);
    let rules = Rules { timestamp_before_max_ms: 1000, timestamp_after_max_ms: 10, ..Rules::default() };
    for timestamp in [WALL_MS - 1000, WALL_MS, WALL_MS + 10, -1] {
        assert!(check_with(&one(timestamp), &rules).is_ok(), "{timestamp}");
    }
    for timestamp in [WALL_MS - 1001, WALL_MS + 11, 0, -2, i64::MAX, i64::MIN] {
        assert_eq!(check_with(&one(timestamp), &rules), Err(ErrorCode::InvalidTimestamp), "{timestamp}");
    }
    assert!(check(&one(0)).is_ok(), "any age by default");
    assert_eq!(refused(&one(WALL_MS + 3_600_001)), ErrorCode::InvalidTimestamp);
    let append_time = Rules { timestamp_type: TimestampType::LogAppendTime, ..rules };
    let checked = check_with(&one(WALL_MS + 11), &append_time).expect("the producer's timestamps are not kept");
    assert_eq!((checked.max_timestamp, checked.timestamp_type), (WALL_MS, TimestampType::LogAppendTime));
}

#[test]
fn a_timestamp_beyond_64_bits_is_refused() {
    let records = [OwnedRecord::new(0, i64::MAX - 1, None, None), OwnedRecord::new(1, i64::MIN + 1, None, None)];
    let batch = produce(BatchBuilder::new(), &records);
    let lax = Rules { timestamp_after_max_ms: i64::MAX, ..Rules::default() };
    assert_eq!(check_with(&batch, &lax), Err(ErrorCode::InvalidTimestamp));
}

#[test]
fn a_wrong_max_timestamp_is_corrected() {
    for wrong in [-1, 0, WALL_MS + 1, WALL_MS + 500] {
        let mut batch = with_field(plain(), MAX_TIMESTAMP, i64::to_be_bytes(wrong));
        let checked = check(&batch).expect("Kafka corrects it too");
        assert_eq!(checked.max_timestamp, WALL_MS + 2);
        checked.stamp(&mut batch, 0, -1);
        assert_eq!(batch, plain());
    }
}

#[test]
fn compressed_records_are_looked_into_only_where_a_rule_needs_it() {
    let records = [OwnedRecord::new(0, WALL_MS, None, Some(b"v")), OwnedRecord::new(1, WALL_MS + 5, None, None)];
    let compacted = Rules { compacted: true, ..Rules::default() };
    let aged = Rules { timestamp_before_max_ms: 1000, ..Rules::default() };
    let thorough = Rules { walk_compressed: true, ..Rules::default() };
    for compression in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let batch = produce(BatchBuilder::new().compression(compression), &records);
        assert_eq!(check(&batch).expect("right").max_timestamp, WALL_MS + 5);
        assert!(check_with(&batch, &aged).is_ok() && check_with(&batch, &thorough).is_ok());
        assert_eq!(check_with(&batch, &compacted), Err(ErrorCode::InvalidRecord), "no key");

        let damaged = with_field(batch.clone(), RECORDS, [0xaa; 8]);
        assert!(check(&damaged).is_ok(), "nothing needs the records");
        for rules in [&compacted, &aged, &thorough] {
            assert_eq!(check_with(&damaged, rules), Err(ErrorCode::InvalidRecord), "{compression}");
        }
        // Old clients leave the max timestamp at -1, and a time index needs the right one.
        let without = with_field(batch.clone(), MAX_TIMESTAMP, (-1_i64).to_be_bytes());
        assert_eq!(check(&without).expect("old clients send this").max_timestamp, WALL_MS + 5);
        let late = with_field(batch, MAX_TIMESTAMP, i64::MAX.to_be_bytes());
        assert_eq!(check(&late).expect("the records are in time").max_timestamp, WALL_MS + 5);
    }
}

#[test]
fn compressed_timestamps_have_bounds_too() {
    let records = [OwnedRecord::new(0, WALL_MS - 2000, None, None), OwnedRecord::new(1, WALL_MS + 5, None, None)];
    let batch = produce(BatchBuilder::new().compression(Compression::Lz4), &records);
    let aged = Rules { timestamp_before_max_ms: 1000, ..Rules::default() };
    let strict = Rules { timestamp_after_max_ms: 4, ..Rules::default() };
    assert_eq!(check_with(&batch, &aged), Err(ErrorCode::InvalidTimestamp));
    assert_eq!(check_with(&batch, &strict), Err(ErrorCode::InvalidTimestamp));
    assert!(check(&batch).is_ok());
}

#[test]
fn compacted_topics_need_keys() {
    let compacted = Rules { compacted: true, ..Rules::default() };
    let keyed = [OwnedRecord::new(0, WALL_MS, Some(b""), None)];
    let keyless = [keyed[0].clone(), OwnedRecord::new(1, WALL_MS, None, Some(b"v"))];
    assert!(check_with(&produce(BatchBuilder::new(), &keyed), &compacted).is_ok(), "an empty key is a key");
    assert_eq!(check_with(&produce(BatchBuilder::new(), &keyless), &compacted), Err(ErrorCode::InvalidRecord));
}

/// The batch of one record with this body, whose length goes before it.
fn with_body(body: &[u8]) -> Vec<u8> {
    let mut batch = produce(BatchBuilder::new(), &[OwnedRecord::new(0, WALL_MS, None, None)]);
    batch.truncate(RECORDS);
    batch.push(u8::try_from(body.len() * 2).expect("a short body"));
    batch.extend_from_slice(body);
    let length = (batch.len() - 12) as i32;
    with_field(batch, 8, length.to_be_bytes())
}

#[test]
fn malformed_records_are_refused() {
    // Attributes, timestamp delta, offset delta, key, value, headers count.
    assert!(check(&with_body(&[0, 0, 0, 1, 1, 0])).is_ok());
    assert!(check(&with_body(&[0, 0, 0, 3, 5, 0])).is_ok(), "as in Kafka, any negative length is null");
    assert!(check(&with_body(&[0x77, 0, 0, 1, 1, 0])).is_ok(), "as in Kafka, record attributes mean nothing");
    assert!(check(&with_body(&[0, 0, 0, 1, 1, 2, 2, b'k', 1])).is_ok(), "a header with a null value");
    let malformed: [&[u8]; 10] = [
        &[],
        &[0, 0, 0, 1, 1],
        &[0, 0, 0, 1, 1, 0, 0],
        &[0, 0, 0, 4, 1, 0],
        &[0, 0, 0, 1, 4, 0],
        &[0, 0, 0, 1, 1, 1],
        &[0, 0, 0, 1, 1, 2],
        &[0, 0, 0, 1, 1, 2, 1, 1],
        &[0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 1, 1, 0],
        &[0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0, 1, 1, 0],
    ];
    for body in malformed {
        assert_eq!(refused(&with_body(body)), ErrorCode::InvalidRecord, "{body:?}");
    }
    let mut trailing = with_body(&[0, 0, 0, 1, 1, 0]);
    trailing.push(0);
    let length = (trailing.len() - 12) as i32;
    assert_eq!(refused(&with_field(trailing, 8, length.to_be_bytes())), ErrorCode::InvalidRecord);
}

#[test]
fn a_decompression_bomb_is_refused() {
    // 130 MiB of zeros behind a header that claims one record: a few KiB of zstd.
    let zeros = vec![0; 130 << 20];
    let mut batch = produce(BatchBuilder::new(), &[OwnedRecord::new(0, WALL_MS, None, None)]);
    batch.truncate(RECORDS);
    batch.extend_from_slice(&Compression::Zstd.compress(&zeros));
    let length = (batch.len() - 12) as i32;
    let batch = with_field(batch, 8, length.to_be_bytes());
    let batch = with_field(batch, ATTRIBUTES, [0, 4]);
    let compacted = Rules { compacted: true, ..Rules::default() };
    assert_eq!(check_with(&batch, &compacted), Err(ErrorCode::MessageTooLarge));
}

#[test]
fn stored_batches_are_judged_by_what_is_wrong() {
    let mut batch = plain();
    batch::set_base_offset(&mut batch, 1000);
    let whole = batch.len();
    assert_eq!(check_stored(&batch).map(BatchHeader::next_offset), Ok(1003));
    let followed = [&batch[..], b"whatever"].concat();
    assert!(check_stored(&followed).is_ok());
    assert_eq!(check_stored(&[]), Err(Corruption::Incomplete { present: 0, needed: 61 }));
    let cut = check_stored(&batch[..whole - 1]).expect_err("cut");
    assert_eq!(cut, Corruption::Incomplete { present: whole - 1, needed: whole });

    let fault = |at: usize, field: &[u8]| {
        let mut damaged = batch.clone();
        damaged[at..at + field.len()].copy_from_slice(field);
        check_stored(&with_crc(damaged)).expect_err("damaged")
    };
    assert_eq!(fault(MAGIC, &[1]), Corruption::Magic { magic: 1 });
    assert_eq!(fault(8, &(-5_i32).to_be_bytes()), Corruption::Length { batch_length: -5 });
    assert_eq!(fault(0, &(-1_i64).to_be_bytes()), Corruption::Offsets { base_offset: -1, last_offset_delta: 2 });
    assert_eq!(
        fault(0, &(i64::MAX - 2).to_be_bytes()),
        Corruption::Offsets { base_offset: i64::MAX - 2, last_offset_delta: 2 }
    );
    assert_eq!(
        fault(LAST_OFFSET_DELTA, &(-1_i32).to_be_bytes()),
        Corruption::Offsets { base_offset: 1000, last_offset_delta: -1 }
    );
    assert_eq!(
        fault(RECORDS_COUNT, &4_i32.to_be_bytes()),
        Corruption::Count { records_count: 4, last_offset_delta: 2 }
    );
    assert_eq!(fault(ATTRIBUTES, &[0, 6]), Corruption::Compression { id: 6 });

    let mut flipped = batch;
    flipped[whole - 1] ^= 1;
    assert!(matches!(check_stored(&flipped), Err(Corruption::Crc { .. })));
    assert!(!verify_crc(&flipped) && verify_crc(&plain()) && !verify_crc(&[]));
}
