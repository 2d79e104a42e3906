//! What is remembered of rebalances.

use super::{Cause, History, Outcome, REASON_BYTES_MAX, REBALANCES_KEPT_MAX};
use crate::base::time::{Duration, Instant};

#[test]
fn the_last_rebalances_are_remembered_with_what_they_took() {
    let mut history = History::default();
    for number in 0..40_u64 {
        let cause = Cause::of_group(format!("cause {number}"));
        history.begin("g", Instant(number), 1000, cause, 1, 2);
    }
    assert!(history.is_open());
    history.end("g", Instant(40 + 39), 7, 3, Outcome::Stable);
    assert!(!history.is_open());
    let past: Vec<_> = history.past().collect();
    assert_eq!(past.len(), REBALANCES_KEPT_MAX);
    assert!(past[..past.len() - 1].iter().all(|rebalance| rebalance.outcome == Outcome::Superseded));
    let last = past[past.len() - 1];
    assert_eq!((last.outcome, last.generation, last.members), (Outcome::Stable, 7, 3));
    assert_eq!((last.duration, last.cause.reason.as_str()), (Duration::from_nanos(40), "cause 39"));
    history.end("g", Instant(100), 8, 3, Outcome::Stable);
    assert_eq!(history.past().len(), REBALANCES_KEPT_MAX, "nothing ends that did not begin");
}

#[test]
fn reasons_of_clients_are_cut_at_a_character() {
    let cause = Cause::of_group("ä".repeat(REASON_BYTES_MAX));
    assert_eq!(cause.reason.chars().count(), REASON_BYTES_MAX / 2);
}
