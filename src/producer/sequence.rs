//! Sequence numbers: 31 bits that wrap from `i32::MAX` to 0 (KIP-98).

use crate::model::ids::NO_SEQUENCE;

/// One more than the greatest sequence number.
const MODULUS: i64 = 1 << 31;

/// The sequence number `increment` records after `sequence`.
pub fn advance(sequence: i32, increment: i32) -> i32 {
    wrap(i64::from(sequence) + i64::from(increment))
}

/// The sequence number `decrement` records before `sequence`.
pub fn retreat(sequence: i32, decrement: i32) -> i32 {
    wrap(i64::from(sequence) - i64::from(decrement))
}

/// The sequence number of the last record of a batch whose last record has `last_offset_delta`; a batch without sequence
/// numbers has none at its end either.
pub fn last_of_batch(base_sequence: i32, last_offset_delta: i32) -> i32 {
    if base_sequence == NO_SEQUENCE { NO_SEQUENCE } else { advance(base_sequence, last_offset_delta) }
}

/// Whether a batch that starts with `next` follows one that ended with `last` ([`NO_SEQUENCE`]: none came before, so
/// only 0 follows).
pub fn follows(last: i32, next: i32) -> bool {
    i64::from(next) == i64::from(last) + 1 || (next == 0 && last == i32::MAX)
}

fn wrap(sequence: i64) -> i32 {
    i32::try_from(sequence.rem_euclid(MODULUS)).expect("less than 2^31")
}

#[cfg(test)]
mod tests {
    use super::{advance, follows, last_of_batch, retreat};

    #[test]
    fn sequences_wrap_to_zero_after_the_greatest() {
        assert_eq!(advance(0, 0), 0);
        assert_eq!(advance(i32::MAX, 1), 0);
        assert_eq!(advance(i32::MAX - 1, 1), i32::MAX);
        assert_eq!(advance(i32::MAX, i32::MAX), i32::MAX - 1);
        assert_eq!(retreat(0, 1), i32::MAX);
        assert_eq!(retreat(4, 5), i32::MAX);
        assert_eq!(retreat(5, 5), 0);
        assert_eq!(retreat(i32::MAX, i32::MAX), 0);
    }

    #[test]
    fn retreating_undoes_advancing() {
        for sequence in [0, 1, 1000, i32::MAX - 1, i32::MAX] {
            for step in [0, 1, 999, i32::MAX] {
                assert_eq!(retreat(advance(sequence, step), step), sequence);
            }
        }
    }

    #[test]
    fn a_batch_follows_its_predecessor_or_starts_at_zero() {
        assert!(follows(-1, 0));
        assert!(!follows(-1, 1));
        assert!(follows(41, 42));
        assert!(!follows(41, 41));
        assert!(!follows(41, 43));
        assert!(follows(i32::MAX, 0));
        assert!(!follows(i32::MAX, i32::MIN));
        assert!(!follows(i32::MAX - 1, 0));
    }

    #[test]
    fn batches_without_sequences_have_none_at_their_end() {
        assert_eq!(last_of_batch(-1, 9), -1);
        assert_eq!(last_of_batch(0, 9), 9);
        assert_eq!(last_of_batch(i32::MAX, 9), 8);
    }
}
