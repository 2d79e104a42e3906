//! Which partition of an internal topic a group or a transactional id belongs to.

use crate::model::ids::PartitionIndex;

/// The partition of `key` among `count`: Kafka's, so that a tool which computes it finds the same.
pub fn partition_of(key: &str, count: i32) -> PartitionIndex {
    assert!(count > 0, "a topic has partitions");
    // The absolute value of the smallest number does not exist; Kafka takes 0 for it.
    java_hash(key).checked_abs().unwrap_or(0) % count
}

/// `String.hashCode` of Java: over UTF-16 units.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::{java_hash, partition_of};

    #[test]
    fn hashes_are_javas() {
        // "polygenelubricants" is a known string whose hash is the smallest number.
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("abc"), 96354);
        assert_eq!(java_hash("\u{1f600}"), 0xd83d * 31 + 0xde00);
    }

    #[test]
    fn every_key_has_a_partition() {
        assert_eq!(partition_of("polygenelubricants", 50), 0);
        assert_eq!(partition_of("abc", 50), 96354 % 50);
        for key in ["", "a", "group-1", "ÿ", "a very long name of a group"] {
            assert!((0..50).contains(&partition_of(key, 50)));
        }
    }
}
