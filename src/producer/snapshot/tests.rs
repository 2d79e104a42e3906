use proptest::prelude::*;

use super::{CHECKED_FROM, ENTRY_BYTES, HEADER_BYTES, decode, encode};
use crate::producer::golden::unhex;
use crate::producer::state::{BatchFacts, MarkerFacts, ProducerStates};

fn kafkas() -> (Vec<u8>, Vec<u8>) {
    let (three, none) = include_str!("../testdata/snapshot.hex").split_once('\n').unwrap();
    (unhex(three), unhex(none))
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&bytes[CHECKED_FROM..]);
    bytes[2..CHECKED_FROM].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// Kafka's three producers, as they came to be.
fn states() -> ProducerStates {
    let mut states = ProducerStates::new();
    let facts = BatchFacts {
        producer_id: 7,
        producer_epoch: 0,
        base_sequence: 0,
        last_offset_delta: 9,
        is_transactional: false,
    };
    for index in 0..7 {
        let facts = BatchFacts { base_sequence: index * 10, ..facts };
        states.commit(&facts, 100 + i64::from(index) * 10, 1_700_000_000_000 + i64::from(index));
    }
    let marker =
        MarkerFacts { producer_id: 4000, producer_epoch: 32767, coordinator_epoch: 12, transaction_version: 2 };
    states.commit_marker(&marker, 1_700_000_000_500);
    let marker = MarkerFacts { producer_id: i64::MAX, producer_epoch: 3, coordinator_epoch: 5, transaction_version: 2 };
    states.commit_marker(&marker, 0);
    let open = BatchFacts {
        producer_id: i64::MAX,
        producer_epoch: 3,
        base_sequence: i32::MAX,
        last_offset_delta: 0,
        is_transactional: true,
    };
    states.commit(&open, 77, -1);
    states.commit(&BatchFacts { base_sequence: i32::MAX - 2, last_offset_delta: 5, ..open }, 85, -1);
    states
}

#[test]
fn it_is_kafkas_file_byte_for_byte() {
    let (three, none) = kafkas();
    assert_eq!(encode(&states()), three);
    assert_eq!(encode(&ProducerStates::new()), none);
}

#[test]
fn kafkas_file_is_read() {
    let (three, none) = kafkas();
    let states = decode(&three).unwrap();
    assert_eq!(encode(&states), three);
    let entry = states.get(7).unwrap();
    assert_eq!((entry.batches().len(), entry.last_sequence(), entry.last_offset()), (1, 69, 169));
    assert!(states.get(4000).unwrap().batches().is_empty());
    assert_eq!(states.open_transactions().collect::<Vec<_>>(), [(i64::MAX, 77)]);
    assert!(decode(&none).unwrap().is_empty());
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let (three, _) = kafkas();
    let reason = |bytes: &[u8]| decode(bytes).unwrap_err().to_string();
    assert_eq!(reason(&[]), "producer snapshot is corrupt at byte 0: version needs 2 bytes, 0 are left");
    assert_eq!(reason(&[0, 2, 0, 0]), "producer snapshot is corrupt at byte 0: version 2, not 1");
    assert_eq!(reason(&[0, 1, 0, 0]), "producer snapshot is corrupt at byte 2: checksum needs 4 bytes, 2 are left");
    let mut flipped = three.clone();
    flipped[20] ^= 1;
    assert!(reason(&flipped).starts_with("producer snapshot is corrupt at byte 2: its checksum is 0x992bfe4d"));
    let longer = sealed([&three[..], &[0]].concat());
    assert!(reason(&longer).contains("at byte 6: 3 producers need 46 bytes each, but 139 bytes follow"));
    let mut negative = three.clone();
    negative[CHECKED_FROM..HEADER_BYTES].copy_from_slice(&(-1i32).to_be_bytes());
    assert!(reason(&sealed(negative)).contains("at byte 6: -1 producers"));
}

#[test]
fn numbers_that_no_producer_has_are_refused() {
    let (three, _) = kafkas();
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = three.clone();
        changed[HEADER_BYTES + at..][..bytes.len()].copy_from_slice(bytes);
        decode(&sealed(changed)).unwrap_err()
    };
    assert!(with(0, &(-7i64).to_be_bytes()).reason.contains("is negative"));
    let twice = with(0, &4000i64.to_be_bytes());
    assert_eq!(twice.position, HEADER_BYTES + ENTRY_BYTES);
    assert!(twice.reason.contains("twice"));
    assert!(with(10, &(-2i32).to_be_bytes()).reason.contains("last sequence -2"));
    assert!(with(22, &(-1i32).to_be_bytes()).reason.contains("offset delta -1"));
    assert!(with(22, &170i32.to_be_bytes()).reason.contains("offset delta 170"));
}

proptest! {
    #[test]
    fn garbage_is_refused_or_read_but_never_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        at in 0..148usize,
        byte in any::<u8>(),
    ) {
        let _ = decode(&bytes);
        let mut changed = kafkas().0;
        changed[at] = byte;
        if decode(&changed).is_ok() {
            prop_assert_eq!(&changed, &kafkas().0);
        }
        if let Ok(states) = decode(&sealed(changed)) {
            prop_assert_eq!(states.len(), 3);
        }
    }
}
