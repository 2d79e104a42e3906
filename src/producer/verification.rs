//! Transactions whose first batch in a partition waits for the coordinator's word (KIP-890).
//!
//! Without it, a batch delayed until after its transaction's end would open a transaction that nobody ever ends. A
//! [`Guard`] ties the coordinator's answer to this very attempt: the marker of the transaction takes the guard away, so
//! an answer that is older than the marker opens nothing. Kafka lets further batches of the producer race with the
//! verification and refuses those that overtake; here they stand in line behind the first one, so none can.

use std::collections::BTreeMap;

use crate::model::ids::{ProducerEpoch, ProducerId};

/// Producers being verified at once in one partition; beyond it further ones are to retry.
pub const VERIFICATIONS_MAX: usize = 100_000;

/// Names one attempt at verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guard(u64);

/// The verifications of one partition.
#[derive(Clone, Debug, Default)]
pub struct Verifications {
    under_way: BTreeMap<(ProducerId, ProducerEpoch), Guard>,
    guards_made: u64,
}

impl Verifications {
    /// None under way; allocates nothing.
    pub fn new() -> Verifications {
        Verifications::default()
    }

    /// The attempt that a batch of this producer and epoch has to wait for, if there is one.
    pub fn under_way(&self, producer_id: ProducerId, epoch: ProducerEpoch) -> Option<Guard> {
        self.under_way.get(&(producer_id, epoch)).copied()
    }

    /// Begins an attempt. `None` if too many are under way: the client is to retry.
    pub fn begin(&mut self, producer_id: ProducerId, epoch: ProducerEpoch) -> Option<Guard> {
        if self.under_way.len() >= VERIFICATIONS_MAX {
            return None;
        }
        self.guards_made += 1;
        let guard = Guard(self.guards_made);
        self.under_way.insert((producer_id, epoch), guard);
        Some(guard)
    }

    /// The coordinator has answered; whether the answer still counts.
    pub fn settle(&mut self, producer_id: ProducerId, epoch: ProducerEpoch, guard: Guard) -> bool {
        let counts = self.under_way(producer_id, epoch) == Some(guard);
        if counts {
            self.under_way.remove(&(producer_id, epoch));
        }
        counts
    }

    /// The marker of a transaction of `producer_id` has come: what is still unanswered was asked before it.
    pub fn end(&mut self, producer_id: ProducerId) {
        let all = (producer_id, ProducerEpoch::MIN)..=(producer_id, ProducerEpoch::MAX);
        let ended: Vec<_> = self.under_way.range(all).map(|(key, _)| *key).collect();
        for key in ended {
            self.under_way.remove(&key);
        }
    }

    /// Number under way.
    pub fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Verifications;

    #[test]
    fn an_answer_counts_once() {
        let mut verifications = Verifications::new();
        assert_eq!(verifications.under_way(7, 1), None);
        let guard = verifications.begin(7, 1).unwrap();
        assert_eq!(verifications.under_way(7, 1), Some(guard));
        assert_eq!(verifications.under_way(7, 2), None);
        assert!(verifications.settle(7, 1, guard));
        assert!(!verifications.settle(7, 1, guard));
        assert!(verifications.is_empty());
    }

    #[test]
    fn a_guard_does_not_outlive_its_transaction() {
        let mut verifications = Verifications::new();
        let first = verifications.begin(7, 1).unwrap();
        let other = verifications.begin(8, 1).unwrap();
        verifications.end(7);
        assert!(!verifications.settle(7, 1, first));
        let second = verifications.begin(7, 1).unwrap();
        assert!(!verifications.settle(7, 1, first));
        assert!(verifications.settle(7, 1, second));
        assert!(verifications.settle(8, 1, other));
    }
}
