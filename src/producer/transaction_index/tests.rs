use proptest::prelude::*;

use super::{AbortedTransaction, ENTRY_BYTES, TransactionIndex};

fn aborted(first_offset: i64, last_offset: i64) -> AbortedTransaction {
    AbortedTransaction { producer_id: 7, first_offset, last_offset, last_stable_offset: last_offset + 1 }
}

fn index() -> TransactionIndex {
    let mut index = TransactionIndex::new();
    [aborted(5, 10), aborted(8, 20), aborted(25, 30)].into_iter().for_each(|entry| index.append(entry));
    index
}

fn ends(index: &TransactionIndex) -> Vec<i64> {
    index.entries().iter().map(|entry| entry.last_offset).collect()
}

#[test]
fn it_is_cut_at_both_ends() {
    let mut index = index();
    index.remove_below(10);
    assert_eq!(ends(&index), [10, 20, 30]);
    index.remove_below(11);
    assert_eq!(ends(&index), [20, 30]);
    index.truncate_to(31);
    assert_eq!(ends(&index), [20, 30]);
    index.truncate_to(30);
    assert_eq!(ends(&index), [20]);
    index.truncate_to(0);
    assert!(index.entries().is_empty());
}

#[test]
fn a_segment_has_the_transactions_that_end_in_it() {
    let index = index();
    assert_eq!(index.encode(0, 100).len(), 3 * ENTRY_BYTES);
    let middle = index.encode(15, 30);
    assert_eq!(ends(&TransactionIndex::decode(15, &middle).unwrap()), [20]);
    assert!(index.encode(40, 50).is_empty());
    assert!(index.encode(30, 10).is_empty());
}

#[test]
#[should_panic(expected = "does not come after")]
fn markers_ascend() {
    index().append(aborted(1, 30));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let bytes = index().encode(0, 100);
    let reason = |base, bytes: &[u8]| TransactionIndex::decode(base, bytes).unwrap_err().to_string();
    assert_eq!(reason(0, &bytes[..40]), "transaction index is corrupt at byte 34: 40 bytes are no whole entries");
    assert_eq!(
        reason(11, &bytes),
        "transaction index is corrupt at byte 0: last offset 10 where 11 is the least possible"
    );
    let swapped = [&bytes[34..68], &bytes[..34]].concat();
    assert_eq!(
        reason(0, &swapped),
        "transaction index is corrupt at byte 34: last offset 10 where 21 is the least possible"
    );
    let with = |at: usize, byte: u8| {
        let mut changed = bytes.clone();
        changed[at] = byte;
        TransactionIndex::decode(0, &changed).unwrap_err().reason
    };
    assert_eq!(with(1, 1), "version 1, not 0");
    assert!(with(2, 0x80).ends_with("contradicts itself"));
    assert!(with(17, 11).ends_with("contradicts itself"));
    assert!(with(33, 12).ends_with("contradicts itself"));
}

proptest! {
    #[test]
    fn garbage_never_panics(
        base_offset in any::<i64>(),
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        at in 0..3 * ENTRY_BYTES,
        byte in any::<u8>(),
    ) {
        let _ = TransactionIndex::decode(base_offset, &bytes);
        let mut changed = index().encode(0, 100);
        changed[at] = byte;
        if let Ok(decoded) = TransactionIndex::decode(0, &changed) {
            prop_assert_eq!(decoded.encode(0, i64::MAX), changed);
        }
    }
}
