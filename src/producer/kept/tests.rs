use super::{Filed, Kept, decode_kept, encode_kept};
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
    let kept = Kept { producers: producers(), aborted: aborted(), filed: Filed { below: 3, segment: 0, bytes: 68 } };
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
fn what_cannot_be_is_refused() {
    assert!(decode_kept(&[3]).unwrap_err().to_string().contains("version 3, not 2"));
    let mut falling = TransactionIndex::new();
    falling.append(AbortedTransaction { producer_id: 5, first_offset: 9, last_offset: 10, last_stable_offset: 9 });
    let mut bytes = encode_kept(&ProducerStates::new(), &falling, &Filed::default());
    let at = bytes.len() - 3;
    bytes[at] = 21; // the first offset becomes -11
    assert!(decode_kept(&bytes).is_err());
}
