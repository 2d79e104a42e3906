use proptest::prelude::*;

use super::{ENTRY_BYTES, OffsetIndex, OffsetPosition, RELATIVE_OFFSET_MAX};

const SEGMENT_BYTES: u64 = 1 << 20;

fn index(base_offset: i64, entries: &[(i64, u32)]) -> OffsetIndex {
    let mut index = OffsetIndex::new(base_offset);
    for &(offset, position) in entries {
        index.append(offset, position).unwrap();
    }
    index
}

fn reason(bytes: &[u8]) -> String {
    OffsetIndex::decode(100, bytes, SEGMENT_BYTES).unwrap_err().to_string()
}

fn entry(relative_offset: u32, position: u32) -> [u8; ENTRY_BYTES] {
    let mut bytes = [0; ENTRY_BYTES];
    bytes[..4].copy_from_slice(&relative_offset.to_be_bytes());
    bytes[4..].copy_from_slice(&position.to_be_bytes());
    bytes
}

#[test]
fn an_empty_index_costs_nothing_and_points_to_the_start() {
    let index = OffsetIndex::new(100);
    assert_eq!((index.lookup(50), index.lookup(500), index.memory_bytes()), (0, 0, 0));
    assert_eq!(index.floor(500), OffsetPosition { offset: 100, position: 0 });
    assert_eq!(OffsetIndex::decode(100, &[], 0), Ok(index));
}

#[test]
fn it_finds_the_greatest_entry_at_or_below() {
    let index = index(100, &[(109, 5_000), (130, 9_000)]);
    assert_eq!((index.lookup(108), index.lookup(109), index.lookup(129)), (0, 5_000, 5_000));
    assert_eq!((index.lookup(130), index.lookup(i64::MAX), index.lookup(i64::MIN)), (9_000, 9_000, 0));
    assert_eq!(index.first_at_or_after(5_001), Some(OffsetPosition { offset: 130, position: 9_000 }));
    assert_eq!(index.first_at_or_after(9_001), None);
    assert_eq!(index.last(), Some(OffsetPosition { offset: 130, position: 9_000 }));
}

#[test]
fn entries_ascend_within_reach_of_the_base_offset() {
    let mut index = index(100, &[(109, 5_000)]);
    assert!(index.append(109, 6_000).unwrap_err().to_string().contains("does not lie above offset 109"));
    assert!(index.append(110, 5_000).unwrap_err().to_string().contains("does not lie above offset 109"));
    assert!(index.append(99, 6_000).unwrap_err().to_string().contains("roll the segment first"));
    assert!(index.can_append(100 + RELATIVE_OFFSET_MAX) && !index.can_append(101 + RELATIVE_OFFSET_MAX));
    assert!(index.append(101 + RELATIVE_OFFSET_MAX, 6_000).is_err());
    assert!(index.append(i64::MIN, 6_000).is_err());
    assert_eq!(index.len(), 1);
    index.append(100 + RELATIVE_OFFSET_MAX, u32::MAX).unwrap();
    assert_eq!(index.lookup(100 + RELATIVE_OFFSET_MAX), u32::MAX);
    assert!(OffsetIndex::new(i64::MIN).append(i64::MAX, 1).is_err());
}

#[test]
fn the_checksum_is_that_of_the_file() {
    let index = index(100, &[(109, 5_000), (130, 9_000)]);
    assert_eq!(index.encode(), [entry(9, 5_000), entry(30, 9_000)].concat());
    assert_eq!(index.checksum(), crc32c::crc32c(index.encode()));
    assert_eq!(index.encoded_bytes(), 16);
}

#[test]
fn what_is_wrong_is_named_with_its_entry() {
    assert_eq!(reason(&[0; 12]), "offset index is corrupt at entry 1: 12 bytes are no whole entries of 8");
    assert_eq!(
        reason(&[entry(9, 10), entry(9, 20)].concat()),
        "offset index is corrupt at entry 1: relative offset 9 follows 9"
    );
    assert_eq!(
        reason(&[entry(9, 10), entry(10, 10)].concat()),
        "offset index is corrupt at entry 1: position 10 follows 10"
    );
    assert_eq!(
        reason(&entry(1, 1 << 20)),
        "offset index is corrupt at entry 0: position 1048576 is beyond the segment's 1048576 bytes"
    );
    assert_eq!(
        reason(&entry(1 << 31, 1)),
        "offset index is corrupt at entry 0: relative offset 2147483648 is above 2147483647"
    );
    let beyond = OffsetIndex::decode(i64::MAX - 5, &entry(6, 1), SEGMENT_BYTES).unwrap_err();
    assert_eq!(beyond.to_string(), "offset index is corrupt at entry 0: its offset is beyond the greatest one");
    assert!(OffsetIndex::decode(i64::MAX - 5, &entry(5, 1), SEGMENT_BYTES).is_ok());
}

proptest! {
    #[test]
    fn it_is_a_sorted_list(
        base_offset in 0..1_000_000i64,
        steps in prop::collection::vec((1..50i64, 1..5_000u32), 0..60),
        queries in prop::collection::vec(0..3_000i64, 20),
        cut in 0..3_000i64,
    ) {
        let mut list: Vec<(i64, u32)> = Vec::new();
        let (mut offset, mut position) = (base_offset - 1, 0);
        for (offset_step, position_step) in steps {
            offset += offset_step;
            list.push((offset, position));
            position += position_step;
        }
        let mut index = index(base_offset, &list);
        for query in queries {
            let target = base_offset + query - 20;
            let expected = list.iter().rev().find(|(offset, _)| *offset <= target).map_or(0, |(_, position)| *position);
            prop_assert_eq!(index.lookup(target), expected);
            let after = list.iter().find(|(_, position)| i64::from(*position) >= query * 50).map(|(offset, _)| *offset);
            prop_assert_eq!(index.first_at_or_after(query as u64 * 50).map(|found| found.offset), after);
        }
        let decoded = OffsetIndex::decode(base_offset, index.encode(), u64::from(position) + 1);
        prop_assert_eq!(decoded.as_ref(), Ok(&index));
        index.truncate_to(base_offset + cut);
        list.retain(|(offset, _)| *offset < base_offset + cut);
        prop_assert_eq!(index.iter().map(|found| (found.offset, found.position)).collect::<Vec<_>>(), list);
    }

    #[test]
    fn garbage_never_panics(
        base_offset in any::<i64>(),
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        segment_bytes in any::<u64>(),
        target in any::<i64>(),
    ) {
        if let Ok(mut index) = OffsetIndex::decode(base_offset, &bytes, segment_bytes) {
            index.lookup(target);
            let _ = index.append(target, 7);
            index.truncate_to(target);
        }
    }
}
