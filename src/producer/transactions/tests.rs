use proptest::prelude::*;

use super::{Outcome, Transactions};
use crate::producer::transaction_index::{AbortedTransaction, TransactionIndex};

#[test]
fn without_transactions_all_below_the_high_watermark_is_stable() {
    let transactions = Transactions::new();
    assert_eq!(transactions.last_stable_offset(42), 42);
    assert_eq!(transactions.oldest(), None);
}

#[test]
fn an_open_transaction_holds_back_until_its_marker_is_replicated() {
    let mut transactions = Transactions::new();
    transactions.begin(1, 10);
    transactions.begin(1, 15);
    transactions.begin(2, 20);
    assert_eq!(transactions.oldest(), Some((1, 10)));
    assert_eq!((transactions.last_stable_offset(5), transactions.last_stable_offset(30)), (5, 10));
    assert_eq!(transactions.end(1, Outcome::Commit, 30), None);
    assert_eq!((transactions.last_stable_offset(30), transactions.last_stable_offset(31)), (10, 20));
    transactions.advance(31);
    assert_eq!(transactions.last_stable_offset(31), 20);
    assert_eq!(
        transactions.end(2, Outcome::Abort, 31),
        Some(AbortedTransaction { producer_id: 2, first_offset: 20, last_offset: 31, last_stable_offset: 32 })
    );
    assert_eq!((transactions.last_stable_offset(31), transactions.last_stable_offset(32)), (20, 32));
    assert_eq!(transactions.end(2, Outcome::Abort, 32), None);
}

#[test]
fn an_aborted_transaction_records_who_still_holds_back() {
    let mut transactions = Transactions::restore([(1, 10), (2, 20)].into_iter());
    let aborted = transactions.end(2, Outcome::Abort, 30).unwrap();
    assert_eq!(aborted.last_stable_offset, 10);
    transactions.reset();
    assert_eq!(transactions, Transactions::new());
}

/// One transaction of the naive model.
#[derive(Clone, Copy, Debug)]
struct Lived {
    producer_id: i64,
    first_offset: i64,
    end: Option<(i64, Outcome)>,
}

fn stable_by_definition(lived: &[Lived], high_watermark: i64) -> i64 {
    let holds_back = |t: &&Lived| t.end.is_none_or(|(marker, _)| marker >= high_watermark);
    let first = lived.iter().filter(holds_back).map(|t| t.first_offset).min();
    first.unwrap_or(high_watermark).min(high_watermark)
}

proptest! {
    #[test]
    fn stability_and_aborts_follow_from_all_that_happened(
        steps in prop::collection::vec((0..5i64, 0..10u8, 1..4i64), 1..80),
        queries in prop::collection::vec((0..200i64, 1..100i64), 20),
    ) {
        let mut transactions = Transactions::new();
        let mut index = TransactionIndex::new();
        let mut lived: Vec<Lived> = Vec::new();
        let (mut log_end, mut high_watermark) = (0, 0);
        for (producer_id, what, length) in steps {
            let open = lived.iter_mut().find(|t| t.producer_id == producer_id && t.end.is_none());
            match (what, open) {
                (0..=2, None) => {
                    lived.push(Lived { producer_id, first_offset: log_end, end: None });
                    transactions.begin(producer_id, log_end);
                    log_end += length;
                }
                (3..=7, Some(open)) => {
                    let outcome = if what < 5 { Outcome::Commit } else { Outcome::Abort };
                    open.end = Some((log_end, outcome));
                    if let Some(aborted) = transactions.end(producer_id, outcome, log_end) {
                        index.append(aborted);
                    }
                    log_end += 1;
                }
                (8, _) => high_watermark = (high_watermark + length * 3).min(log_end),
                (9, _) => transactions.advance(high_watermark),
                _ => log_end += length,
            }
            let stable = transactions.last_stable_offset(high_watermark);
            prop_assert_eq!(stable, stable_by_definition(&lived, high_watermark));
        }
        // What a consumer may ask for ends at the last stable offset.
        let stable = stable_by_definition(&lived, log_end);
        for (from, length) in queries {
            let to = (from + length).min(stable);
            if from >= to {
                continue;
            }
            let aborted = |t: &&Lived| {
                t.first_offset < to && matches!(t.end, Some((marker, Outcome::Abort)) if marker >= from)
            };
            let mut expected: Vec<_> = lived.iter().filter(aborted).map(|t| (t.producer_id, t.first_offset)).collect();
            let found = index.overlapping(from, to).aborted;
            let mut found: Vec<_> = found.iter().map(|t| (t.producer_id, t.first_offset)).collect();
            expected.sort_unstable();
            found.sort_unstable();
            prop_assert_eq!(found, expected, "from {} to {}", from, to);
        }
        let bytes = index.encode(0, log_end);
        prop_assert_eq!(TransactionIndex::decode(0, &bytes), Ok(index));
    }
}
