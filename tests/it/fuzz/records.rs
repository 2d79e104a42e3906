//! Mutated records of coordinators, and mutated metadata of members: what a log gives back, and what clients put into groups.

use flumen::coordinator::group::consumer_protocol::{read_assignment, read_subscription, read_topics};
use flumen::coordinator::group::offset_record::{CommittedOffset, OffsetKey};
use flumen::coordinator::group::records::Key;
use flumen::coordinator::group::records::classic::ClassicGroupValue;
use flumen::coordinator::group::records::consumer::{
    CurrentAssignmentValue, GroupEpochValue, MemberValue, RegularExpressionValue, TargetEpochValue,
    decode_target_member,
};
use flumen::coordinator::transaction::record;
use flumen::protocol::{offset_ids, txn_markers};

use super::corpus;
use super::mutate::Mutator;
use super::{rounds, seed};

/// What reads a record's key or value: whether it could, or else why not.
type Decoder = fn(&[u8]) -> Result<(), String>;

const KEYS: [Decoder; 3] = [
    |bytes| Key::decode(bytes).map(drop),
    |bytes| OffsetKey::decode(bytes).map(drop),
    |bytes| record::decode_key(bytes).map(drop),
];

const VALUES: [Decoder; 11] = [
    |bytes| CommittedOffset::decode(bytes).map(drop),
    |bytes| ClassicGroupValue::decode(bytes).map(drop),
    |bytes| GroupEpochValue::decode(bytes).map(drop),
    |bytes| MemberValue::decode(bytes).map(drop),
    |bytes| TargetEpochValue::decode(bytes).map(drop),
    |bytes| decode_target_member(bytes).map(drop),
    |bytes| CurrentAssignmentValue::decode(bytes).map(drop),
    |bytes| RegularExpressionValue::decode(bytes).map(drop),
    |bytes| record::decode_value(bytes).map(drop),
    |bytes| read_subscription(bytes).map(drop),
    |bytes| read_assignment(bytes).map(drop),
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal")).collect()
}

/// Keys and values that Apache Kafka wrote.
fn samples() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let lines = include_str!("records.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split_whitespace().skip(1).map(bytes);
            (words.next().expect("a key"), words.next().expect("a value"))
        })
        .unzip()
}

/// Mutates `samples` and reads them by all of `decoders`; how often each could, and how often one could not.
fn read_mutated(samples: &[Vec<u8>], decoders: &[Decoder]) -> (Vec<usize>, usize) {
    let mut mutator = Mutator::new(seed());
    let (mut read, mut refused) = (vec![0; decoders.len()], 0);
    for round in 0..rounds(20_000) {
        let mut changed = samples[round % samples.len()].clone();
        mutator.mutate(&mut changed, 0, &samples[(round * 7 + 3) % samples.len()]);
        for (decode, read) in decoders.iter().zip(&mut read) {
            match decode(&changed) {
                Ok(()) => *read += 1,
                Err(why) => {
                    assert!(!why.is_empty());
                    refused += 1;
                }
            }
        }
        let _ = read_topics(&changed);
    }
    (read, refused)
}

#[test]
fn records_of_coordinators_of_any_bytes_are_read_or_refused() {
    let (keys, mut values) = samples();
    for (decoders, samples) in [(&KEYS[..], &keys), (&VALUES[..9], &values)] {
        for sample in samples {
            assert!(decoders.iter().any(|decode| decode(sample).is_ok()), "{sample:02x?} is Apache Kafka's");
        }
    }
    // A consumer's subscription to two topics with user data, and its assignment of one partition, in version 1.
    values.push(bytes("00010000000200016100016200000002abcd000000010001610000000100000000"));
    values.push(bytes("0001000000010001610000000100000000ffffffff"));
    for (decoders, samples) in [(&KEYS[..], &keys), (&VALUES[..], &values)] {
        let (read, refused) = read_mutated(samples, decoders);
        assert!(read.iter().all(|read| *read > 10) && refused > 10_000, "{read:?} read, {refused} refused");
    }
}

#[test]
fn requests_that_are_read_by_hand_are_read_or_refused_whatever_their_bytes() {
    let bodies = vec![corpus::offset_commit_by_id(), corpus::offset_fetch_by_id(), corpus::versioned_markers()];
    let decoders: [Decoder; 3] = [
        |body| offset_ids::decode_commit(body).map(drop).map_err(|error| error.to_string()),
        |body| offset_ids::decode_fetch(body).map(drop).map_err(|error| error.to_string()),
        |body| txn_markers::decode(body).map(drop).map_err(|error| error.to_string()),
    ];
    for (decode, body) in decoders.iter().zip(&bodies) {
        assert_eq!(decode(body), Ok(()), "{body:02x?}");
    }
    let (read, refused) = read_mutated(&bodies, &decoders);
    assert!(read.iter().all(|read| *read > 1000) && refused > 1000, "{read:?} read, {refused} refused");
}
