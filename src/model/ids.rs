//! Identities of brokers, topics, partitions, producers and reactors.

use std::fmt;

pub use uuid::Uuid;

/// Id of a broker within its cluster (`node.id`).
pub type BrokerId = i32;

/// Id of an idempotent or transactional producer; -1 for none.
pub type ProducerId = i64;

/// Epoch of a producer id; -1 for none.
pub type ProducerEpoch = i16;

/// "Not an idempotent producer."
pub const NO_PRODUCER_ID: ProducerId = -1;
/// "No producer epoch."
pub const NO_PRODUCER_EPOCH: ProducerEpoch = -1;
/// "No sequence number."
pub const NO_SEQUENCE: i32 = -1;

/// Number of a partition within its topic, from 0.
pub type PartitionIndex = i32;

/// Number of a reactor within its process, from 0.
pub type ReactorId = u16;

/// A topic's id (KIP-516): made once, never reused, so a topic that is deleted and created again has another.
pub type TopicId = Uuid;

/// One partition of one topic incarnation: the key of everything that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId {
    /// The topic's id.
    pub topic: TopicId,
    /// The partition's number.
    pub index: PartitionIndex,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", base64_url(self.topic), self.index)
    }
}

/// A uuid as Kafka prints it: 22 characters of unpadded URL-safe base64.
pub fn base64_url(id: Uuid) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // 128 bits are 21 characters of 6 bits and one of the last 2 bits, shifted to its upper end.
    let bits = id.as_u128();
    (0..22)
        .map(|at| {
            let six = if at < 21 { (bits >> (122 - 6 * at)) & 63 } else { (bits & 3) << 4 };
            char::from(ALPHABET[six as usize])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Uuid, base64_url};

    #[test]
    fn uuids_print_as_kafka_prints_them() {
        assert_eq!(base64_url(Uuid::from_u128(1)), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(base64_url(Uuid::from_u128(u128::MAX)), "_____________________w");
    }
}
