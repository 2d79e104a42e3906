//! A hash of the topics that a group subscribes to, so that a change of any of them is noticed without keeping a copy.

use crate::metadata::image::{Image, Topic};

/// The offset basis of FNV-1a in 64 bits.
const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
/// The prime of FNV-1a in 64 bits.
const PRIME: u64 = 0x0100_0000_01b3;

struct Fnv(u64);

impl Fnv {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }

    fn topic(&mut self, topic: &Topic) {
        self.bytes(topic.id.as_bytes());
        self.bytes(&topic.partition_count().to_be_bytes());
    }
}

/// The hash of those of `topics`, given in the order of their names, that exist; 0 for none at all.
///
/// It goes into the record of a group's epoch, so it has to stay the same over versions; what Kafka wrote there is another hash, so
/// a group taken over from Kafka rebalances once.
pub fn of_topics<'a>(image: &Image, topics: impl Iterator<Item = &'a str>) -> i64 {
    let mut hash = Fnv(OFFSET_BASIS);
    let mut found = false;
    for topic in topics.filter_map(|name| image.topic(name)) {
        hash.topic(topic);
        found = true;
    }
    if found { i64::from_be_bytes(hash.0.to_be_bytes()) } else { 0 }
}
