//! Walks over several batches, lookups by timestamp, CRC and patches in place.

use super::{OwnedRecord, WALL_MS, plain, produce, read, with_field};
use crate::base::prng::Prng;
use crate::record::batch::{self, TimestampType};
use crate::record::corruption::RecordFault;
use crate::record::crc::{self, Crc32c, PIECE_BYTES};
use crate::record::timestamp::{offset_for_timestamp, offset_for_timestamp_from, record_of_max_timestamp};
use crate::record::validate::verify_crc;
use crate::record::{BatchBuilder, BatchHeader, Compression, Corruption, batches, records};

/// Batches of 3 records at offsets 0, 3, 6, ...
fn log(count: i64) -> Vec<u8> {
    (0..count)
        .flat_map(|at| {
            let mut batch = plain();
            batch::set_base_offset(&mut batch, at * 3);
            batch
        })
        .collect()
}

#[test]
fn batches_are_walked_to_the_cut() {
    let log = log(4);
    let one = log.len() / 4;
    for cut in 0..=log.len() {
        let mut walk = batches(&log[..cut]);
        let offsets: Vec<i64> =
            walk.by_ref().map(|batch| batch.expect("whole ones are right").0.base_offset()).collect();
        assert_eq!(offsets, (0..(cut / one) as i64).map(|at| at * 3).collect::<Vec<_>>());
        assert_eq!(walk.whole_bytes(), cut / one * one);
    }
}

#[test]
fn a_walk_ends_at_corruption() {
    let mut log = log(3);
    let one = log.len() / 3;
    log[one + 16] = 7;
    let mut walk = batches(&log);
    assert!(matches!(walk.next(), Some(Ok((_, batch))) if batch.len() == one));
    assert!(matches!(walk.next(), Some(Err(Corruption::Magic { magic: 7 }))));
    assert!(walk.next().is_none());
    assert_eq!(walk.whole_bytes(), one);
}

#[test]
fn headers_claim_sizes_without_panic() {
    let size = |length: i32| {
        let batch = with_field(plain(), 8, length.to_be_bytes());
        BatchHeader::read(&batch).expect("long enough").total_bytes()
    };
    assert_eq!((size(-1), size(48), size(49)), (None, None, Some(61)));
    assert_eq!(size(i32::MAX), Some(i32::MAX as usize + 12));
    assert!(BatchHeader::read(&[0; 60]).is_none());
    let edge = with_field(plain(), 0, i64::MAX.to_be_bytes());
    assert_eq!(BatchHeader::read(&edge).map(BatchHeader::next_offset), Some(i64::MAX));
}

#[test]
fn records_tell_what_is_wrong_with_them() {
    let mut batch = plain();
    // A length of 50.
    batch[61] = 100;
    let records = records(&batch).expect("the header is right");
    let mut walk = records.iter();
    let fault = walk.next().expect("an error").expect_err("damaged");
    assert_eq!(fault, Corruption::Record { index: 0, fault: RecordFault::Length { claimed: 50, left: 44 } });
    assert!(walk.next().is_none());

    let batch = with_field(plain(), 57, 2_i32.to_be_bytes());
    let records = crate::record::records(&batch).expect("fewer records than offsets are what compaction leaves");
    let last = records.iter().last().expect("an error");
    assert!(matches!(last, Err(Corruption::Record { index: 2, fault: RecordFault::BytesAfterRecords { .. } })));
}

#[test]
fn timestamps_are_found_record_by_record() {
    let stamps = [5, 9, 3, 9, 7];
    let timed: Vec<_> = (0..).zip(stamps).map(|(at, stamp)| OwnedRecord::new(at, stamp, None, None)).collect();
    for compression in Compression::ALL {
        let mut batch = produce(BatchBuilder::new().compression(compression), &timed);
        batch::set_base_offset(&mut batch, 100);
        let find = |timestamp| offset_for_timestamp(&batch, timestamp).expect("readable");
        assert_eq!(find(-1), Some((100, 5)));
        assert_eq!(find(5), Some((100, 5)));
        assert_eq!(find(6), Some((101, 9)));
        assert_eq!(find(9), Some((101, 9)));
        assert_eq!(find(10), None);
        assert_eq!(offset_for_timestamp_from(&batch, 4, 102), Ok(Some((103, 9))));
        assert_eq!(offset_for_timestamp_from(&batch, 4, 105), Ok(None));
        assert_eq!(record_of_max_timestamp(&batch), Ok(Some((101, 9))));

        batch::set_append_time(&mut batch, 50);
        let find = |timestamp| offset_for_timestamp(&batch, timestamp).expect("readable");
        assert_eq!((find(10), find(50), find(51)), (Some((100, 50)), Some((100, 50)), None));
        assert_eq!(record_of_max_timestamp(&batch), Ok(Some((100, 50))));
    }
}

#[test]
fn patches_keep_the_crc_right() {
    let mut batch = plain();
    batch::set_base_offset(&mut batch, 77);
    batch::set_partition_leader_epoch(&mut batch, 5);
    assert!(verify_crc(&batch), "the CRC does not cover them");
    batch::set_append_time(&mut batch, 123);
    let header = BatchHeader::read(&batch).expect("long enough");
    assert_eq!((header.timestamp_type(), header.max_timestamp()), (TimestampType::LogAppendTime, 123));
    assert_eq!((header.base_timestamp(), header.base_offset(), header.partition_leader_epoch()), (WALL_MS, 77, 5));
    assert!(verify_crc(&batch));
    assert!(read(&batch).iter().all(|record| record.timestamp == 123));
    batch::set_max_timestamp(&mut batch, TimestampType::CreateTime, WALL_MS + 2);
    batch::set_base_offset(&mut batch, 0);
    batch::set_partition_leader_epoch(&mut batch, -1);
    assert_eq!(batch, plain(), "and back again");
}

#[test]
fn a_copy_verifies() {
    let batch = plain();
    let mut copy = vec![0; batch.len()];
    assert!(batch::copy_and_verify(&mut copy, &batch));
    assert_eq!(copy, batch);
    for at in 17..batch.len() {
        let mut flipped = batch.clone();
        flipped[at] ^= 0x40;
        assert!(!batch::copy_and_verify(&mut copy, &flipped), "byte {at}");
        assert_eq!(copy, flipped);
    }
    assert!(!batch::copy_and_verify(&mut copy[..30], &batch[..30]));
}

#[test]
fn the_crc_agrees_with_a_second_opinion() {
    assert_eq!(crc::crc32c(b"123456789"), 0xe306_9283, "the check value of CRC-32C");
    let mut bytes = vec![0; 3 * PIECE_BYTES + 17];
    Prng::new(1).fill(&mut bytes);
    let lengths = (0..600).chain([4095, 4096, 4097, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, bytes.len()]);
    for length in lengths {
        let from = &bytes[..length];
        let mut to = vec![0; length];
        assert_eq!(crc::crc32c(from), crc32c::crc32c(from), "{length} bytes");
        assert_eq!(crc::copy_crc32c(&mut to, from), crc32c::crc32c(from), "{length} bytes");
        let (first, second) = from.split_at(length / 3);
        assert_eq!(crc::crc32c_append(crc::crc32c_append(0, first), second), crc32c::crc32c(from), "{length} bytes");
        assert_eq!(to, from);
    }
}

#[test]
fn a_crc_is_taken_in_pieces() {
    let mut bytes = vec![0; 5000];
    let mut prng = Prng::new(2);
    prng.fill(&mut bytes);
    for _ in 0..200 {
        let mut crc = Crc32c::new();
        let mut rest = &bytes[..];
        let mut copy = vec![0; bytes.len()];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(prng.between(0, rest.len().min(900) as u64) as usize);
            if prng.one_in(2) {
                crc.update(piece);
            } else {
                crc.copy(&mut copy[..piece.len()], piece);
            }
            rest = behind;
        }
        assert_eq!(crc.value(), crc32c::crc32c(&bytes));
    }
}
