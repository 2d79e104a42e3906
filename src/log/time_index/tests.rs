use proptest::prelude::*;

use super::{ENTRY_BYTES, TimeIndex, TimestampOffset};

fn index(base_offset: i64, entries: &[(i64, i64)]) -> TimeIndex {
    let mut index = TimeIndex::new(base_offset);
    for &(timestamp, offset) in entries {
        assert_eq!(index.maybe_append(timestamp, offset), Ok(true));
    }
    index
}

fn entry(timestamp: i64, relative_offset: u32) -> [u8; ENTRY_BYTES] {
    let mut bytes = [0; ENTRY_BYTES];
    bytes[..8].copy_from_slice(&timestamp.to_be_bytes());
    bytes[8..].copy_from_slice(&relative_offset.to_be_bytes());
    bytes
}

fn reason(bytes: &[u8]) -> String {
    TimeIndex::decode(100, bytes, 200).unwrap_err().to_string()
}

#[test]
fn an_empty_index_costs_nothing_and_points_to_the_start() {
    let index = TimeIndex::new(100);
    let nothing = TimestampOffset { timestamp: -1, offset: 100 };
    assert_eq!((index.lookup(i64::MAX), index.last(), index.memory_bytes()), (nothing, nothing, 0));
    assert_eq!(TimeIndex::decode(100, &[], 100), Ok(index));
}

#[test]
fn only_a_greater_timestamp_makes_an_entry() {
    let mut index = TimeIndex::new(100);
    assert_eq!(index.maybe_append(-1, 105), Ok(false));
    assert_eq!(index.maybe_append(1_000, 105), Ok(true));
    assert_eq!(index.maybe_append(1_000, 105), Ok(false));
    assert_eq!(index.maybe_append(1_000, 110), Ok(false));
    assert!(index.maybe_append(999, 110).unwrap_err().to_string().contains("lies below timestamp 1000 at offset 105"));
    assert!(index.maybe_append(1_001, 104).is_err());
    assert!(index.maybe_append(1_001, 100 + (1 << 31)).unwrap_err().to_string().contains("roll the segment first"));
    assert_eq!(index.maybe_append(1_001, 105), Ok(true));
    assert_eq!(index.last(), TimestampOffset { timestamp: 1_001, offset: 105 });
    assert_eq!(TimeIndex::decode(100, index.encode(), 106), Ok(index));
}

#[test]
fn it_finds_the_greatest_entry_at_or_below() {
    let index = index(100, &[(1_000, 105), (2_000, 150)]);
    let found = |timestamp| index.lookup(timestamp).offset;
    assert_eq!((found(999), found(1_000), found(1_999), found(2_000), found(i64::MAX)), (100, 105, 105, 150, 150));
    assert_eq!(index.encode(), [entry(1_000, 5), entry(2_000, 50)].concat());
    assert_eq!(index.checksum(), crc32c::crc32c(index.encode()));
}

#[test]
fn what_is_wrong_is_named_with_its_entry() {
    assert_eq!(reason(&[0; 13]), "time index is corrupt at entry 1: 13 bytes are no whole entries of 12");
    assert_eq!(reason(&[entry(5, 1), entry(5, 2)].concat()), "time index is corrupt at entry 1: timestamp 5 follows 5");
    assert_eq!(
        reason(&[entry(5, 2), entry(6, 1)].concat()),
        "time index is corrupt at entry 1: relative offset 1 follows 2"
    );
    assert_eq!(reason(&entry(-1, 2)), "time index is corrupt at entry 0: timestamp -1 follows -1");
    assert_eq!(
        reason(&entry(5, 100)),
        "time index is corrupt at entry 0: relative offset 100 from 100 is beyond the segment's end 200"
    );
    assert!(reason(&entry(5, u32::MAX)).contains("is above 2147483647"));
}

proptest! {
    #[test]
    fn it_is_a_sorted_list(
        base_offset in 0..1_000_000i64,
        steps in prop::collection::vec((0..4i64, 0..30i64), 0..60),
        queries in prop::collection::vec(-3..200i64, 20),
        cut in -5..1_000i64,
    ) {
        let mut index = TimeIndex::new(base_offset);
        let mut list: Vec<(i64, i64)> = Vec::new();
        let (mut timestamp, mut offset) = (-1, base_offset);
        for (timestamp_step, offset_step) in steps {
            timestamp += timestamp_step;
            offset += offset_step;
            let greater = timestamp > list.last().map_or(-1, |(timestamp, _)| *timestamp);
            prop_assert_eq!(index.maybe_append(timestamp, offset), Ok(greater));
            if greater {
                list.push((timestamp, offset));
            }
        }
        for query in queries {
            let expected = list.iter().rev().find(|(timestamp, _)| *timestamp <= query).copied();
            let found = index.lookup(query);
            prop_assert_eq!((found.timestamp, found.offset), expected.unwrap_or((-1, base_offset)));
        }
        let decoded = TimeIndex::decode(base_offset, index.encode(), offset + 1);
        prop_assert_eq!(decoded.as_ref(), Ok(&index));
        index.truncate_to(base_offset + cut);
        list.retain(|(_, offset)| *offset < base_offset + cut);
        prop_assert_eq!(index.iter().map(|found| (found.timestamp, found.offset)).collect::<Vec<_>>(), list);
    }

    #[test]
    fn garbage_never_panics(
        base_offset in any::<i64>(),
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        end_offset in any::<i64>(),
        target in any::<i64>(),
    ) {
        if let Ok(mut index) = TimeIndex::decode(base_offset, &bytes, end_offset) {
            index.lookup(target);
            let _ = index.maybe_append(target, target);
            index.truncate_to(target);
        }
    }
}
