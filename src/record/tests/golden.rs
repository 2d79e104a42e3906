//! Batches that Apache Kafka's own code wrote (`testdata/README.md` tells how): read as it means them, and written as
//! it writes them.

use super::{OwnedRecord, WALL_MS, produce, read};
use crate::record::batch::{self, BatchHeader, TimestampType};
use crate::record::control::{self, ControlType, EndTransaction};
use crate::record::validate::{Rules, check_produce_version, check_stored, validate};
use crate::record::{BatchBuilder, Compression, timestamp, walk};

macro_rules! golden {
    ($name:literal) => {
        include_bytes!(concat!("../testdata/", $name, ".batch")).as_slice()
    };
}

/// The five records that every vector holds unless it says otherwise.
fn five() -> Vec<OwnedRecord> {
    let large: Vec<u8> = (0..3000).map(|at| (at % 251) as u8).collect();
    vec![
        OwnedRecord::new(0, WALL_MS, Some(b"key-0"), Some(b"value-0")),
        OwnedRecord::new(1, WALL_MS + 5, None, Some(b"value without key"))
            .header(b"trace", Some(b"abc"))
            .header(b"empty", Some(b""))
            .header(b"null", None),
        OwnedRecord::new(2, WALL_MS - 300, Some(b"tombstone"), None),
        OwnedRecord::new(3, WALL_MS + 70_000, None, None)
            .header(b"", Some(b"key is empty"))
            .header("\u{fc}ml\u{e4}ut".as_bytes(), Some("\u{20ac}".as_bytes())),
        OwnedRecord::new(4, WALL_MS + 9, Some(b""), Some(&large)),
    ]
}

fn five_from(base_offset: i64) -> Vec<OwnedRecord> {
    five().into_iter().map(|record| OwnedRecord { offset: record.offset + base_offset, ..record }).collect()
}

const BY_CODEC: [(Compression, &[u8]); 5] = [
    (Compression::None, golden!("none")),
    (Compression::Gzip, golden!("gzip")),
    (Compression::Snappy, golden!("snappy")),
    (Compression::Lz4, golden!("lz4")),
    (Compression::Zstd, golden!("zstd")),
];

#[test]
fn every_codec_is_read() {
    for (compression, bytes) in BY_CODEC {
        let header = check_stored(bytes).expect("Kafka's batch is right");
        assert_eq!(header.compression(), Some(compression));
        assert_eq!(header.total_bytes(), Some(bytes.len()));
        assert_eq!((header.base_offset(), header.last_offset(), header.records_count()), (0, 4, 5));
        assert_eq!((header.base_timestamp(), header.max_timestamp()), (WALL_MS, WALL_MS + 70_000));
        assert_eq!(read(bytes), five(), "{compression}");
    }
}

#[test]
fn every_codec_is_accepted() {
    for (compression, bytes) in BY_CODEC {
        let rules = Rules { walk_compressed: true, ..Rules::default() };
        let checked = validate(bytes, &rules, WALL_MS).expect("Kafka's producer is right");
        assert_eq!((checked.bytes, checked.records_count, checked.last_offset_delta), (bytes.len(), 5, 4));
        assert_eq!((checked.max_timestamp, checked.compression), (WALL_MS + 70_000, compression));
        let mut stamped = bytes.to_vec();
        checked.stamp(&mut stamped, 0, -1);
        assert_eq!(stamped, bytes, "there was nothing to correct");
        assert_eq!(check_produce_version(&checked, 6).is_err(), compression == Compression::Zstd);
        assert!(check_produce_version(&checked, 7).is_ok());
    }
}

#[test]
fn several_compressed_blocks_are_read() {
    let expected: Vec<_> =
        (0..100).map(|at| OwnedRecord::new(at, WALL_MS + at, None, Some(&[at as u8; 1024]))).collect();
    for bytes in [
        golden!("gzip-100-records"),
        golden!("snappy-100-records"),
        golden!("lz4-100-records"),
        golden!("zstd-100-records"),
    ] {
        check_stored(bytes).expect("Kafka's batch is right");
        assert_eq!(read(bytes), expected);
    }
}

#[test]
fn what_is_built_is_what_kafka_builds() {
    assert_eq!(produce(BatchBuilder::new(), &five()), golden!("none"));
    let mut transactional = BatchBuilder::new().producer(4711, 3, 2_147_483_640).transactional().leader_epoch(17);
    five().iter().for_each(|record| record.append_to(&mut transactional));
    assert_eq!(transactional.build(1_234_567_890_123), golden!("transactional"));
    let mut append_time = BatchBuilder::new().append_time(1_700_000_111_111).leader_epoch(2);
    five().iter().for_each(|record| record.append_to(&mut append_time));
    assert_eq!(append_time.build(7), golden!("append-time"));
}

#[test]
fn compressed_batches_differ_from_kafkas_only_behind_the_header() {
    for (compression, bytes) in BY_CODEC {
        let built = produce(BatchBuilder::new().compression(compression), &five());
        assert_eq!(built[21..61], bytes[21..61], "{compression}: attributes to records count");
        assert_eq!(read(&built), five());
        check_stored(&built).expect("length and CRC fit");
    }
}

#[test]
fn transactional_and_append_time_headers_are_read() {
    let header = check_stored(golden!("transactional")).expect("Kafka's batch is right");
    assert!(header.is_transactional() && header.has_producer() && !header.is_control());
    assert_eq!((header.producer_id(), header.producer_epoch(), header.base_sequence()), (4711, 3, 2_147_483_640));
    assert_eq!((header.base_offset(), header.next_offset()), (1_234_567_890_123, 1_234_567_890_128));
    assert_eq!(header.partition_leader_epoch(), 17);
    assert_eq!(read(golden!("transactional")), five_from(1_234_567_890_123));

    let header = check_stored(golden!("append-time")).expect("Kafka's batch is right");
    assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
    assert!(read(golden!("append-time")).iter().all(|record| record.timestamp == 1_700_000_111_111));
}

#[test]
fn the_stamp_of_append_time_is_kafkas() {
    let rules = Rules { timestamp_type: TimestampType::LogAppendTime, ..Rules::default() };
    for (sent, stored) in
        [(golden!("none"), golden!("none-stamped-append-time")), (golden!("zstd"), golden!("zstd-stamped-append-time"))]
    {
        let checked = validate(sent, &rules, 1_700_000_222_222).expect("Kafka's producer is right");
        let mut stamped = sent.to_vec();
        checked.stamp(&mut stamped, 1000, 9);
        assert_eq!(stamped, stored);

        let mut by_hand = sent.to_vec();
        batch::set_base_offset(&mut by_hand, 1000);
        batch::set_partition_leader_epoch(&mut by_hand, 9);
        batch::set_append_time(&mut by_hand, 1_700_000_222_222);
        assert_eq!(by_hand, stored);
    }
}

#[test]
fn a_missing_max_timestamp_is_corrected_as_kafka_corrects_it() {
    let sent = golden!("none-without-max-timestamp");
    let checked = validate(sent, &Rules::default(), WALL_MS).expect("old clients send this");
    assert_eq!(checked.max_timestamp, WALL_MS + 70_000);
    let mut stamped = sent.to_vec();
    checked.stamp(&mut stamped, 1000, 9);
    assert_eq!(stamped, golden!("none-without-max-timestamp-stamped"));
}

#[test]
fn transaction_markers_are_kafkas() {
    let commit = EndTransaction { is_commit: true, coordinator_epoch: 12 };
    let abort = EndTransaction { is_commit: false, coordinator_epoch: 13 };
    assert_eq!(commit.batch(55, 1_700_000_000_123, 6, 4711, 3), golden!("commit"));
    assert_eq!(abort.batch(56, 1_700_000_000_124, 6, 4711, 3), golden!("abort"));
    assert_eq!(golden!("commit").len(), control::END_TRANSACTION_BATCH_BYTES);
    assert_eq!(control::end_transaction_of(golden!("commit")), Ok(Some(commit)));
    assert_eq!(control::end_transaction_of(golden!("abort")), Ok(Some(abort)));
    assert_eq!(control::end_transaction_of(golden!("none")), Ok(None));
    assert_eq!(ControlType::from_key(&ControlType::LeaderChange.key()), Some(ControlType::LeaderChange));
    assert_eq!(ControlType::from_key(&[0, 0, 0]), None);
    assert_eq!(ControlType::from_key(&[0xff, 0xff, 0, 1]), None, "negative versions do not exist");
    assert_eq!(ControlType::from_key(&[0, 5, 0, 99, 1]), Some(ControlType::Unknown(99)));
}

#[test]
fn what_compaction_leaves_is_kafkas() {
    let stored = golden!("transactional");
    let header = BatchHeader::read(stored).expect("long enough");
    let horizon = 1_700_000_500_000 + 86_400_000;
    let mut kept = BatchBuilder::replacing(header, Some(horizon));
    let records = walk::records(stored).expect("readable");
    for (offset_delta, record) in (0..).zip(&records) {
        if offset_delta == 0 || offset_delta == 2 {
            kept.append_kept(offset_delta, &record.expect("readable"));
        }
    }
    let kept = kept.build(header.base_offset());
    assert_eq!(kept, golden!("transactional-compacted"));
    assert_eq!(BatchHeader::read(&kept).and_then(BatchHeader::delete_horizon), Some(horizon));
    assert_eq!(read(&kept), [five_from(header.base_offset())[0].clone(), five_from(header.base_offset())[2].clone()]);

    let emptied = BatchBuilder::replacing(header, None).build(header.base_offset());
    assert_eq!(emptied, golden!("transactional-emptied"));
    check_stored(&emptied).expect("a header alone is a batch");
    assert_eq!(read(&emptied), []);
    assert_eq!(timestamp::record_of_max_timestamp(&emptied), Ok(None));
    assert_eq!(timestamp::offset_for_timestamp(&emptied, 0), Ok(None));
}

#[test]
fn kept_headers_are_copied() {
    let header = BatchHeader::read(golden!("none")).expect("long enough");
    let mut kept = BatchBuilder::replacing(header, None);
    let records = walk::records(golden!("none")).expect("readable");
    for (offset_delta, record) in (0..).zip(&records) {
        kept.append_kept(offset_delta, &record.expect("readable"));
    }
    assert_eq!(kept.build(0), golden!("none"));
}
