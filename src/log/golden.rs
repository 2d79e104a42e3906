//! This module against recordings of Apache Kafka 4.3.1; `testdata/README.md` says how they were made.

use crate::log::leader_epochs::LeaderEpochs;
use crate::log::offset_index::OffsetIndex;
use crate::log::time_index::{TimeIndex, TimestampOffset};
use crate::model::offset::Offset;

const BASE_OFFSET: Offset = 1000;
const INDEX_INTERVAL_BYTES: u64 = 300;

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.trim().as_bytes();
    digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

fn numbers(words: &str) -> Vec<i64> {
    words.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// A segment that indexes as Kafka's does: an entry before the first batch that comes after more than an interval.
struct Segment {
    offsets: OffsetIndex,
    times: TimeIndex,
    greatest: TimestampOffset,
    bytes_since_entry: u64,
    end_offset: Offset,
    segment_bytes: u64,
}

impl Segment {
    fn new() -> Segment {
        Segment {
            offsets: OffsetIndex::new(BASE_OFFSET),
            times: TimeIndex::new(BASE_OFFSET),
            greatest: TimestampOffset { timestamp: -1, offset: BASE_OFFSET },
            bytes_since_entry: 0,
            end_offset: BASE_OFFSET,
            segment_bytes: 0,
        }
    }

    fn append(&mut self, last_offset: Offset, position: u32, bytes: u64, timestamp: i64) {
        if timestamp > self.greatest.timestamp {
            self.greatest = TimestampOffset { timestamp, offset: last_offset };
        }
        if self.bytes_since_entry > INDEX_INTERVAL_BYTES {
            self.offsets.append(last_offset, position).unwrap();
            self.times.maybe_append(self.greatest.timestamp, self.greatest.offset).unwrap();
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += bytes;
        self.end_offset = last_offset + 1;
        self.segment_bytes += bytes;
    }

    fn check(&mut self, name: &str, input: &[i64], expected: &str) {
        match name {
            "offset" => {
                let found = self.offsets.floor(input[0]);
                assert_eq!(vec![found.offset, i64::from(found.position)], numbers(expected));
                assert_eq!(self.offsets.lookup(input[0]), found.position);
            }
            "time" => {
                self.times.maybe_append(self.greatest.timestamp, self.greatest.offset).unwrap();
                let found = self.times.lookup(input[0]);
                assert_eq!(vec![found.timestamp, found.offset], numbers(expected));
            }
            "after" => {
                let found = self.offsets.first_at_or_after(input[0] as u64);
                let found: Vec<_> = found.map_or(vec![], |found| vec![found.offset, i64::from(found.position)]);
                assert_eq!(found, numbers(expected));
            }
            other => panic!("unknown line {other}"),
        }
    }
}

#[test]
fn indexes_are_written_and_searched_as_kafka_does() {
    let mut segment = Segment::new();
    for line in include_str!("testdata/indexes.txt").lines() {
        let (name, rest) = line.split_once(' ').unwrap();
        match (name, rest.split_once(" = ")) {
            ("batch", _) => {
                let batch = numbers(rest);
                segment.append(batch[1], batch[2] as u32, batch[3] as u64, batch[4]);
            }
            ("segment-bytes", _) => assert_eq!(numbers(rest), [segment.segment_bytes as i64]),
            ("index", _) => {
                assert_eq!(segment.offsets.encode(), unhex(rest));
                let decoded = OffsetIndex::decode(BASE_OFFSET, &unhex(rest), segment.segment_bytes);
                assert_eq!(decoded.as_ref(), Ok(&segment.offsets));
            }
            ("timeindex", _) => {
                assert_eq!(segment.times.encode(), unhex(rest));
                let decoded = TimeIndex::decode(BASE_OFFSET, &unhex(rest), segment.end_offset);
                assert_eq!(decoded.as_ref(), Ok(&segment.times));
            }
            (_, Some((input, expected))) => segment.check(name, &numbers(input), expected),
            _ => panic!("unknown line {line}"),
        }
    }
}

fn play(epochs: &mut LeaderEpochs, name: &str, input: &[i64]) -> Vec<i64> {
    match name {
        "assign" => {
            let before = epochs.clone();
            let changed = epochs.assign(input[0] as i32, input[1]).unwrap();
            assert_eq!(changed, *epochs != before);
            vec![]
        }
        "end" => {
            let end = epochs.end_offset_for(input[0] as i32, input[1]);
            vec![i64::from(end.epoch), end.end_offset]
        }
        "epoch" => vec![epochs.epoch_for_offset(input[0]).map_or(-1, i64::from)],
        "cut-end" => {
            let before = epochs.clone();
            let changed = epochs.truncate_from_end(input[0]);
            assert_eq!(changed, *epochs != before);
            vec![]
        }
        "cut-start" => {
            let before = epochs.clone();
            let changed = epochs.truncate_from_start(input[0]);
            assert_eq!(changed, *epochs != before);
            vec![]
        }
        other => panic!("unknown line {other}"),
    }
}

#[test]
fn leader_epochs_are_kept_as_kafka_keeps_them() {
    let mut epochs = LeaderEpochs::new();
    for line in include_str!("testdata/leader_epochs.txt").lines() {
        if let Some(hex) = line.strip_prefix("file ") {
            // Two more epochs were assigned before the file was taken.
            let file = LeaderEpochs::decode(&unhex(hex)).unwrap();
            for entry in &file.entries()[file.entries().len() - 2..] {
                epochs.assign(entry.epoch, entry.start_offset).unwrap();
            }
            assert_eq!(epochs.encode().as_bytes(), unhex(hex));
            return;
        }
        let (call, entries) = line.split_once(" |").unwrap();
        let (name, rest) = call.split_once(' ').unwrap();
        let (input, expected) = rest.split_once(" = ").unwrap_or((rest, ""));
        assert_eq!(play(&mut epochs, name, &numbers(input)), numbers(expected), "{line}");
        let left: String = epochs.entries().iter().map(|e| format!(" {}:{}", e.epoch, e.start_offset)).collect();
        assert_eq!(left, entries, "{line}");
    }
    panic!("the recording ends with a file");
}
