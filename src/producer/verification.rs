//! Producers whose transaction is being verified with its coordinator before their first batch is appended (KIP-890).
//!
//! Without it, a batch delayed until after its transaction's end would open a transaction that nobody ever ends. A
//! [`Guard`] ties the coordinator's answer to this very attempt: the marker of the transaction takes the guard away, so
//! an answer that is older than the marker opens nothing.

use std::collections::BTreeMap;

use crate::model::ids::{ProducerEpoch, ProducerId};
use crate::model::offset::Timestamp;

/// Producers being verified at once in one partition; beyond it further ones are to retry.
pub const VERIFICATIONS_MAX: usize = 100_000;

/// Names one attempt at verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard(u64);

/// A verification under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verification {
    guard: Guard,
    started_ms: Timestamp,
    epoch: ProducerEpoch,
    /// The lowest first sequence number of this epoch that asked: no higher one may be appended before it, or the lower
    /// one would be out of order for ever.
    pub lowest_sequence: i32,
    /// Whether the producer bumps its epoch with every transaction (transaction version 2).
    pub supports_epoch_bump: bool,
}

/// The verifications of one partition.
#[derive(Clone, Debug, Default)]
pub struct Verifications {
    under_way: BTreeMap<ProducerId, Verification>,
    guards_made: u64,
}

impl Verifications {
    /// None under way; allocates nothing.
    pub fn new() -> Verifications {
        Verifications::default()
    }

    /// Begins to verify a batch of `producer_id`, or joins what is under way for it. `None` if too many are: the client
    /// is to retry.
    pub fn begin(
        &mut self,
        producer_id: ProducerId,
        epoch: ProducerEpoch,
        base_sequence: i32,
        supports_epoch_bump: bool,
        wall_ms: Timestamp,
    ) -> Option<Guard> {
        if let Some(verification) = self.under_way.get_mut(&producer_id) {
            verification.join(epoch, base_sequence);
            return Some(verification.guard);
        }
        if self.under_way.len() >= VERIFICATIONS_MAX {
            return None;
        }
        self.guards_made += 1;
        let guard = Guard(self.guards_made);
        let lowest_sequence = base_sequence;
        let verification = Verification { guard, started_ms: wall_ms, epoch, lowest_sequence, supports_epoch_bump };
        self.under_way.insert(producer_id, verification);
        Some(guard)
    }

    /// What is under way for `producer_id`.
    pub fn get(&self, producer_id: ProducerId) -> Option<&Verification> {
        self.under_way.get(&producer_id)
    }

    /// Whether `guard` is still the one under which `producer_id` is verified.
    pub fn holds(&self, producer_id: ProducerId, guard: Guard) -> bool {
        self.get(producer_id).is_some_and(|verification| verification.guard == guard)
    }

    /// Ends it: a transactional batch of `producer_id`, or the marker of its transaction, was appended.
    pub fn end(&mut self, producer_id: ProducerId) {
        self.under_way.remove(&producer_id);
    }

    /// Forgets what began `expiration_ms` or more before `wall_ms` and never came to an end.
    pub fn expire(&mut self, wall_ms: Timestamp, expiration_ms: i64) {
        self.under_way.retain(|_, verification| wall_ms.saturating_sub(verification.started_ms) < expiration_ms);
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

impl Verification {
    fn join(&mut self, epoch: ProducerEpoch, base_sequence: i32) {
        let lower = epoch == self.epoch && base_sequence < self.lowest_sequence;
        if lower || epoch > self.epoch {
            self.epoch = epoch;
            self.lowest_sequence = base_sequence;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Verifications;

    #[test]
    fn the_lowest_sequence_of_the_newest_epoch_is_kept() {
        let mut verifications = Verifications::new();
        let guard = verifications.begin(7, 1, 5, true, 0).unwrap();
        assert_eq!(verifications.begin(7, 1, 3, true, 0), Some(guard));
        verifications.begin(7, 1, 9, true, 0);
        assert_eq!(verifications.get(7).unwrap().lowest_sequence, 3);
        verifications.begin(7, 0, 1, true, 0);
        assert_eq!(verifications.get(7).unwrap().lowest_sequence, 3);
        verifications.begin(7, 2, 8, true, 0);
        assert_eq!(verifications.get(7).unwrap().lowest_sequence, 8);
    }

    #[test]
    fn a_guard_does_not_outlive_its_transaction() {
        let mut verifications = Verifications::new();
        let first = verifications.begin(7, 1, 0, true, 0).unwrap();
        assert!(verifications.holds(7, first));
        verifications.end(7);
        assert!(!verifications.holds(7, first));
        let second = verifications.begin(7, 1, 0, true, 0).unwrap();
        assert!(!verifications.holds(7, first));
        assert!(verifications.holds(7, second));
    }

    #[test]
    fn what_never_ends_expires() {
        let mut verifications = Verifications::new();
        verifications.begin(7, 1, 0, true, 1_000);
        verifications.begin(8, 1, 0, true, 2_000);
        verifications.expire(2_500, 1_000);
        assert_eq!(verifications.len(), 1);
        assert!(verifications.get(8).is_some());
        verifications.expire(i64::MAX, 1_000);
        assert!(verifications.is_empty());
    }
}
