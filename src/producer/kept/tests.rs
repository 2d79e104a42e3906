use super::{Filed, FiledSegment, Kept, decode_kept, encode_kept};
use crate::producer::exact::encode_exact;
use crate::producer::state::{BatchFacts, ProducerStates};
use crate::producer::transaction_index::{AbortedTransaction, TransactionIndex};

fn producers() -> ProducerStates {
    let mut states = ProducerStates::new();
    let facts = BatchFacts {
        producer_id: 9,
        producer_epoch: 1,
        base_sequence: 0,
        last_offset_delta: 4,
        is_transactional: true,
    };
    states.commit(&facts, 100, 7);
    states
}

fn aborted() -> TransactionIndex {
    let mut index = TransactionIndex::new();
    for (first_offset, last_offset) in [(3, 10), (0, 12), (13, 200)] {
        index.append(AbortedTransaction {
            producer_id: 5,
            first_offset,
            last_offset,
            last_stable_offset: first_offset,
        });
    }
    index
}

#[test]
fn what_is_kept_is_read_back() {
    let segments = vec![
        FiledSegment { base: 0, bytes: 68, crc: Some(u32::MAX) },
        FiledSegment { base: 700, bytes: 34, crc: None },
    ];
    let filed = Filed { below: 3, listed_from: 0, segments };
    let kept = Kept { producers: producers(), aborted: aborted(), filed };
    let bytes = encode_kept(&kept.producers, &kept.aborted, &kept.filed);
    assert_eq!(decode_kept(&bytes), Ok(kept));
    for end in 1..bytes.len() {
        assert!(decode_kept(&bytes[..end]).is_err(), "cut at {end}");
    }
    assert!(decode_kept(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn nothing_takes_no_bytes() {
    assert!(encode_kept(&ProducerStates::new(), &TransactionIndex::new(), &Filed::default()).is_empty());
    assert_eq!(decode_kept(&[]), Ok(Kept::default()));
}

#[test]
fn the_first_version_is_the_producers_alone() {
    let mut bytes = Vec::new();
    encode_exact(&producers(), &mut bytes);
    assert_eq!(decode_kept(&bytes), Ok(Kept { producers: producers(), ..Kept::default() }));
}

#[test]
fn the_second_version_knows_the_last_file_alone() {
    // No producers (their encoding's version and count), files up to 7, the last of segment 5 with 34 bytes, nothing aborted.
    let mut states = Vec::new();
    encode_exact(&ProducerStates::new(), &mut states);
    let mut bytes = vec![2, states.len() as u8];
    bytes.extend(states);
    bytes.extend([14, 10, 34, 0]);
    let last = FiledSegment { base: 5, bytes: 34, crc: None };
    let filed = Filed { below: 7, listed_from: 5, segments: vec![last] };
    assert_eq!(decode_kept(&bytes), Ok(Kept { filed, ..Kept::default() }));
}

#[test]
fn a_file_that_grows_keeps_its_checksum() {
    let mut filed = Filed::default();
    filed.append(10, b"123", 20);
    filed.append(10, b"456789", 30);
    filed.append(40, b"x", 50);
    let first = FiledSegment { base: 10, bytes: 9, crc: Some(0xe306_9283) };
    assert_eq!((filed.of(10), filed.of(20), filed.below), (Some(&first), None, 50));
}

#[test]
fn what_cannot_be_is_refused() {
    assert!(decode_kept(&[4]).unwrap_err().to_string().contains("version 4, not 3"));
    let mut falling = TransactionIndex::new();
    falling.append(AbortedTransaction { producer_id: 5, first_offset: 9, last_offset: 10, last_stable_offset: 9 });
    let mut bytes = encode_kept(&ProducerStates::new(), &falling, &Filed::default());
    let at = bytes.len() - 3;
    bytes[at] = 21; // the first offset becomes -11
    assert!(decode_kept(&bytes).is_err());
}
