//! Records are read as they are written, and as Kafka writes them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::Key;
use super::classic::{ClassicGroupValue, ClassicMemberValue};
use super::consumer::{
    ClassicMetadata, CurrentAssignmentValue, GroupEpochValue, MemberState, MemberValue, RegularExpressionValue,
    TargetEpochValue, decode_target_member, encode_target_member,
};
use crate::model::ids::Uuid;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn keys_have_kafkas_bytes() {
    let group = || "g".to_owned();
    let member = || "m".to_owned();
    let keys = [
        (Key::Classic { group: group() }, "0002000167"),
        (Key::GroupEpoch { group: group() }, "0003000167"),
        (Key::PartitionMetadata { group: group() }, "0004000167"),
        (Key::Member { group: group(), member: member() }, "000500016700016d"),
        (Key::TargetEpoch { group: group() }, "0006000167"),
        (Key::TargetMember { group: group(), member: member() }, "000700016700016d"),
        (Key::CurrentAssignment { group: group(), member: member() }, "000800016700016d"),
        (Key::RegularExpression { group: group(), regex: "a.*".to_owned() }, "00100001670003612e2a"),
    ];
    for (key, expected) in keys {
        assert_eq!(hex(&key.encode()), expected);
        assert_eq!(Key::decode(&key.encode()).unwrap(), key);
    }
    assert!(Key::decode(&bytes("0009000167")).is_err());
    assert!(Key::decode(&bytes("000200016700")).is_err());
    assert!(Key::decode(&bytes("00")).is_err());
}

#[test]
fn classic_groups_of_all_versions_are_read() {
    // Version 0: type, generation, protocol, leader, and a member with one timeout for both.
    let first =
        "0000 0001 63 00000003 0001 70 0001 6d 00000001 0001 6d 0001 63 0002 2f68 00002710 00000001 aa 00000000";
    let read = ClassicGroupValue::decode(&bytes(first)).unwrap();
    assert_eq!((read.generation, read.state_timestamp_ms, read.leader.as_deref()), (3, -1, Some("m")));
    let member = &read.members[0];
    assert_eq!((member.session_timeout_ms, member.rebalance_timeout_ms), (10_000, 10_000));
    assert_eq!((&*member.subscription, member.assignment.len()), ([0xaa].as_slice(), 0));
    // Version 4 is flexible: the same group with a timestamp, an instance id and tagged fields.
    let last = "0004 02 63 00000003 02 70 02 6d 0000000000000005 02 02 6d 02 69 02 63 03 2f68 00004e20 00002710 02 aa 01 00 00";
    let read = ClassicGroupValue::decode(&bytes(last)).unwrap();
    assert_eq!((read.state_timestamp_ms, read.members[0].instance_id.as_deref()), (5, Some("i")));
    assert_eq!(read.members[0].rebalance_timeout_ms, 20_000);
    assert!(ClassicGroupValue::decode(&bytes("0005")).is_err());
    assert_eq!(ClassicGroupValue::decode(&read.encode()).unwrap(), read);
}

#[test]
fn values_of_consumer_groups_have_kafkas_bytes() {
    let epoch = GroupEpochValue { epoch: 7, metadata_hash: 1 };
    assert_eq!(hex(&epoch.encode()), "000000000007010008".to_owned() + "0000000000000001");
    assert_eq!(
        GroupEpochValue::decode(&bytes("00000000000700")).unwrap(),
        GroupEpochValue { epoch: 7, metadata_hash: 0 }
    );
    let topic = Uuid::from_u128(1);
    let target = BTreeMap::from([(topic, BTreeSet::from([0, 2]))]);
    let expected = format!("0000 02 {} 03 00000000 00000002 00 00", topic.simple());
    assert_eq!(encode_target_member(&target), bytes(&expected));
    // What members hold carries epochs since Kafka 4.3 (KIP-1251); without, they are the member's.
    let old = format!("0000 00000005 00000004 00 02 {} 03 00000000 00000002 00 01 00", topic.simple());
    let read = CurrentAssignmentValue::decode(&bytes(&old)).unwrap();
    assert_eq!(read.assigned, BTreeMap::from([(topic, BTreeMap::from([(0, 5), (2, 5)]))]));
    let new = format!(
        "0000 00000005 00000004 00 02 {} 03 00000000 00000002 01 00 09 03 00000003 00000005 01 00",
        topic.simple()
    );
    let read = CurrentAssignmentValue::decode(&bytes(&new)).unwrap();
    assert_eq!(read.assigned, BTreeMap::from([(topic, BTreeMap::from([(0, 3), (2, 5)]))]));
    assert_eq!(read.encode(), bytes(&new));
}

fn text() -> impl Strategy<Value = String> {
    "[a-zé]{0,8}"
}

fn member_value() -> impl Strategy<Value = MemberValue> {
    let classic = (any::<i32>(), prop::collection::vec((text(), prop::collection::vec(any::<u8>(), 0..9)), 0..3));
    let classic = classic.prop_map(|(session_timeout_ms, protocols)| ClassicMetadata {
        session_timeout_ms,
        protocols: protocols.into_iter().map(|(name, metadata)| (name, metadata.into())).collect(),
    });
    (
        prop::option::of(text()),
        text(),
        prop::collection::btree_set(text(), 0..4),
        prop::option::of(text()),
        any::<i32>(),
        prop::option::of(classic),
    )
        .prop_map(|(optional, client, topics, regex, rebalance_timeout_ms, classic)| MemberValue {
            instance_id: optional.clone(),
            rack_id: optional.clone(),
            client_id: client.clone(),
            client_host: client,
            topics,
            regex,
            rebalance_timeout_ms,
            assignor: optional,
            classic,
        })
}

proptest! {
    #[test]
    fn members_are_read_as_they_are_written(value in member_value()) {
        prop_assert_eq!(MemberValue::decode(&value.encode()).unwrap(), value);
    }

    #[test]
    fn assignments_are_read_as_they_are_written(
        epochs in any::<(i32, i32)>(),
        state in 0..4_usize,
        assigned in prop::collection::btree_map(any::<u128>().prop_map(Uuid::from_u128), prop::collection::btree_map(any::<i32>(), any::<i32>(), 0..5), 0..4),
    ) {
        let states = [MemberState::Stable, MemberState::UnrevokedPartitions, MemberState::UnreleasedPartitions, MemberState::Unknown];
        let value = CurrentAssignmentValue {
            epoch: epochs.0,
            previous_epoch: epochs.1,
            state: states[state],
            assigned: assigned.clone(),
            revoking: assigned.clone(),
        };
        prop_assert_eq!(CurrentAssignmentValue::decode(&value.encode()).unwrap(), value);
        let target = assigned.iter().map(|(topic, epochs)| (*topic, epochs.keys().copied().collect())).collect();
        prop_assert_eq!(decode_target_member(&encode_target_member(&target)).unwrap(), target);
    }

    #[test]
    fn other_values_are_read_as_they_are_written(numbers in any::<(i32, i64, i64)>(), topics in prop::collection::btree_set(text(), 0..4), member in text()) {
        let epoch = GroupEpochValue { epoch: numbers.0, metadata_hash: numbers.1 };
        prop_assert_eq!(GroupEpochValue::decode(&epoch.encode()).unwrap(), epoch);
        let target = TargetEpochValue { epoch: numbers.0, timestamp_ms: numbers.1 };
        prop_assert_eq!(TargetEpochValue::decode(&target.encode()).unwrap(), target);
        let regex = RegularExpressionValue { topics, version: numbers.1, timestamp_ms: numbers.2 };
        prop_assert_eq!(RegularExpressionValue::decode(&regex.encode()).unwrap(), regex);
        let member = ClassicMemberValue { member_id: member.clone(), rebalance_timeout_ms: 5, instance_id: Some(member), ..ClassicMemberValue::default() };
        let group = ClassicGroupValue { generation: numbers.0, state_timestamp_ms: numbers.1, members: vec![member], ..ClassicGroupValue::default() };
        prop_assert_eq!(ClassicGroupValue::decode(&group.encode()).unwrap(), group);
    }

    #[test]
    fn no_bytes_are_more_than_refused(noise in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Key::decode(&noise);
        let _ = ClassicGroupValue::decode(&noise);
        let _ = GroupEpochValue::decode(&noise);
        let _ = MemberValue::decode(&noise);
        let _ = TargetEpochValue::decode(&noise);
        let _ = decode_target_member(&noise);
        let _ = CurrentAssignmentValue::decode(&noise);
        let _ = RegularExpressionValue::decode(&noise);
    }
}
