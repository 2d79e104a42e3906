//! The consumers' own messages, as Kafka's clients write them.

use std::collections::BTreeSet;

use super::{NamedPartitions, read_assignment, read_subscription, read_topics, version_of, write_assignment};

fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn subscriptions_of_all_versions_are_read() {
    // Version, one topic "t", user data of one byte.
    let plain = "0000 00000001 0001 74 00000001 ff";
    let read = read_subscription(&bytes(plain)).unwrap();
    assert_eq!(read.topics, BTreeSet::from(["t".to_owned()]));
    // Owned partitions 0 and 5 of "t" (KIP-429), generation 7, rack "r" (KIP-881).
    let full = "0003 00000001 0001 74 ffffffff 00000001 0001 74 00000002 00000000 00000005 00000007 0001 72";
    let read = read_subscription(&bytes(full)).unwrap();
    assert_eq!(read.owned, NamedPartitions::from([("t".to_owned(), BTreeSet::from([0, 5]))]));
    assert_eq!(read.rack_id.as_deref(), Some("r"));
    assert_eq!(read_topics(&bytes(full)).unwrap(), read.topics);
    // A version from the future is read as the last one known.
    assert_eq!(version_of(&bytes("0063")).unwrap(), 3);
}

#[test]
fn assignments_are_read_as_they_are_written() {
    let partitions =
        NamedPartitions::from([("a".to_owned(), BTreeSet::from([0, 1, 7])), ("b".to_owned(), BTreeSet::new())]);
    let written = write_assignment(1, &partitions);
    let read = read_assignment(&written).unwrap();
    assert_eq!(read.partitions, partitions);
    assert!(!read.has_user_data);
    assert_eq!(written[..2], [0, 1]);
}

#[test]
fn what_is_no_such_message_is_refused() {
    for broken in ["", "00", "ffff", "0000 7fffffff", "0000 00000001 7fff", "0003 00000000 ffffffff 00ffffff"] {
        assert!(read_subscription(&bytes(broken)).is_err(), "{broken}");
    }
    assert!(read_assignment(&bytes("0000 00000001 0001 74 40000000")).is_err());
}
