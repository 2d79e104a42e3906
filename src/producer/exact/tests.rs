use proptest::prelude::*;

use super::{decode_exact, encode_exact};
use crate::producer::entry::BATCHES_RETAINED;
use crate::producer::state::{BatchFacts, ProducerStates};

fn encoded(states: &ProducerStates) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_exact(states, &mut bytes);
    bytes
}

fn full_window(producer_id: i64, base_offset: i64) -> ProducerStates {
    let mut states = ProducerStates::new();
    for index in 0..BATCHES_RETAINED as i32 {
        let facts = BatchFacts {
            producer_id,
            producer_epoch: 0,
            base_sequence: 1_000_000 + index * 100,
            last_offset_delta: 99,
            is_transactional: false,
        };
        states.commit(&facts, base_offset + i64::from(index) * 100, 1_700_000_000_000 + i64::from(index));
    }
    states
}

#[test]
fn a_partition_without_producers_takes_two_bytes() {
    assert_eq!(encoded(&ProducerStates::new()), [1, 0]);
    assert_eq!(decode_exact(&[1, 0]), Ok(ProducerStates::new()));
}

#[test]
fn a_producer_with_a_full_window_is_small() {
    let states = full_window(123_456, 1_000_000_000);
    let bytes = encoded(&states);
    assert!(bytes.len() <= 64, "{} bytes", bytes.len());
    assert_eq!(decode_exact(&bytes), Ok(states));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let reason = |bytes: &[u8]| decode_exact(bytes).unwrap_err().to_string();
    assert_eq!(reason(&[]), "producer checkpoint is corrupt at byte 0: version needs 1 bytes, 0 are left");
    assert_eq!(reason(&[2, 0]), "producer checkpoint is corrupt at byte 0: version 2, not 1");
    assert_eq!(reason(&[1, 0, 0]), "producer checkpoint is corrupt at byte 2: 1 bytes follow the last producer");
    let huge = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    assert_eq!(
        reason(&huge),
        "producer checkpoint is corrupt at byte 1: 18446744073709551615 producers where at most 0 have room"
    );
    let twice = [1, 2, 7, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0];
    assert_eq!(reason(&twice), "producer checkpoint is corrupt at byte 8: producer 7 follows producer 7");
    let six = [1, 1, 7, 0, 1, 1, 1, 6];
    assert_eq!(reason(&six), "producer checkpoint is corrupt at byte 7: 6 batches of one producer");
}

#[test]
fn every_cut_is_noticed() {
    let bytes = encoded(&full_window(9, 40));
    for end in 0..bytes.len() {
        assert!(decode_exact(&bytes[..end]).is_err(), "cut at {end}");
    }
}

fn any_states() -> impl Strategy<Value = ProducerStates> {
    let batch = (0..6i64, 0..3i16, 0..=i32::MAX, 0..1000i32, any::<bool>(), 0..i64::MAX / 2, any::<i64>());
    prop::collection::vec(batch, 0..40).prop_map(|batches| {
        let mut states = ProducerStates::new();
        for (place, producer_epoch, base_sequence, last_offset_delta, is_transactional, base_offset, timestamp) in
            batches
        {
            let producer_id = [0, 1, 1000, 1 << 40, i64::MAX - 1, i64::MAX][place as usize];
            let facts = BatchFacts { producer_id, producer_epoch, base_sequence, last_offset_delta, is_transactional };
            states.commit(&facts, base_offset, timestamp);
        }
        states
    })
}

proptest! {
    #[test]
    fn nothing_is_lost(states in any_states()) {
        prop_assert_eq!(decode_exact(&encoded(&states)), Ok(states));
    }

    #[test]
    fn garbage_never_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        states in any_states(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let _ = decode_exact(&[&[1], &bytes[..]].concat());
        let mut changed = encoded(&states);
        let at = at.index(changed.len());
        changed[at] = byte;
        if let Ok(decoded) = decode_exact(&changed) {
            prop_assert_eq!(decode_exact(&encoded(&decoded)), Ok(decoded));
        }
    }
}
