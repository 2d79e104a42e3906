use super::*;
use proptest::prelude::*;

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn resource() -> impl Strategy<Value = ConfigResource> {
    prop_oneof![
        any::<String>().prop_map(ConfigResource::Topic),
        any::<i32>().prop_map(ConfigResource::Broker),
        Just(ConfigResource::DefaultBroker),
        any::<String>().prop_map(ConfigResource::Group),
        any::<String>().prop_map(ConfigResource::ClientMetrics),
    ]
}

fn partition() -> impl Strategy<Value = PartitionRegistration> {
    let ids = || prop::collection::vec(any::<i32>(), 0..6);
    (uuid(), any::<[i32; 4]>(), ids(), ids()).prop_map(|(topic, numbers, replicas, isr)| PartitionRegistration {
        partition: PartitionId { topic, index: numbers[0] },
        leader: numbers[1],
        leader_epoch: numbers[2],
        partition_epoch: numbers[3],
        replicas,
        isr,
    })
}

fn broker() -> impl Strategy<Value = BrokerRegistration> {
    let endpoint = (any::<String>(), any::<String>(), any::<u16>()).prop_map(|(listener, host, port)| Endpoint {
        listener,
        host,
        port,
    });
    let endpoints = prop::collection::vec(endpoint, 0..4);
    (any::<i32>(), any::<i64>(), endpoints, any::<Option<String>>(), any::<bool>())
        .prop_map(|(id, epoch, endpoints, rack, fenced)| BrokerRegistration { id, epoch, endpoints, rack, fenced })
}

fn record() -> impl Strategy<Value = MetadataRecord> {
    prop_oneof![
        uuid().prop_map(|id| MetadataRecord::ClusterId { id }),
        (any::<String>(), any::<i16>()).prop_map(|(name, level)| MetadataRecord::FeatureLevel { name, level }),
        (any::<String>(), uuid()).prop_map(|(name, id)| MetadataRecord::Topic { name, id }),
        partition().prop_map(MetadataRecord::Partition),
        uuid().prop_map(|id| MetadataRecord::RemoveTopic { id }),
        (resource(), any::<String>(), any::<Option<String>>())
            .prop_map(|(resource, name, value)| MetadataRecord::Config { resource, name, value }),
        any::<i64>().prop_map(|next_producer_id| MetadataRecord::ProducerIds { next_producer_id }),
        broker().prop_map(MetadataRecord::Broker),
        any::<i32>().prop_map(|id| MetadataRecord::UnregisterBroker { id }),
    ]
}

fn encoded(record: &MetadataRecord) -> Vec<u8> {
    let mut out = Vec::new();
    record.encode(&mut out);
    out
}

proptest! {
    #[test]
    fn records_survive_their_encoding(record in record()) {
        prop_assert_eq!(MetadataRecord::decode(&encoded(&record)), Ok(record));
    }

    #[test]
    fn every_truncation_and_every_extra_byte_is_an_error(record in record()) {
        let mut bytes = encoded(&record);
        for end in 0..bytes.len() {
            prop_assert!(MetadataRecord::decode(&bytes[..end]).is_err());
        }
        bytes.push(0);
        prop_assert_eq!(MetadataRecord::decode(&bytes), Err(DecodeError::TrailingBytes { count: 1 }));
    }

    #[test]
    fn garbage_never_panics(
        kind in 0_u8..12,
        mut bytes in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        bytes.splice(0..0, [kind, 0]);
        if let Ok(record) = MetadataRecord::decode(&bytes) {
            prop_assert_eq!(MetadataRecord::decode(&encoded(&record)), Ok(record));
        }
    }
}

#[test]
fn the_bytes_on_disk_are_fixed() {
    let record = MetadataRecord::Topic { name: "ab".into(), id: Uuid::from_u128(1) };
    let mut expected = vec![3, 0, 2, b'a', b'b'];
    expected.extend([0; 15]);
    expected.push(1);
    assert_eq!(encoded(&record), expected);
    assert_eq!(encoded(&MetadataRecord::ProducerIds { next_producer_id: 1000 }), [7, 0, 0xd0, 0x0f]);
    let default = MetadataRecord::Config { resource: ConfigResource::DefaultBroker, name: "k".into(), value: None };
    assert_eq!(encoded(&default), [6, 0, 4, 0, 1, b'k', 0]);
}

#[test]
fn what_a_newer_program_wrote_is_refused() {
    let mut bytes = encoded(&MetadataRecord::ProducerIds { next_producer_id: 0 });
    bytes[1] = 1;
    let error = MetadataRecord::decode(&bytes).unwrap_err();
    assert_eq!(error, DecodeError::NewerVersion { kind: 7, version: 1, supported: 0 });
    assert!(error.to_string().contains("newer version"));
    assert_eq!(MetadataRecord::decode(&[10, 0]), Err(DecodeError::UnknownType { kind: 10 }));
    assert_eq!(MetadataRecord::decode(&[0, 0]), Err(DecodeError::UnknownType { kind: 0 }));
    assert_eq!(MetadataRecord::decode(&[6, 0, 3, 0]), Err(DecodeError::UnknownResource { kind: 3 }));
}

#[test]
fn lengths_are_bounded_before_memory_is_taken() {
    // A list of replicas that claims four thousand items in a record of a few bytes.
    let mut bytes = vec![4, 0];
    bytes.extend([0; 16 + 4]);
    bytes.extend([0x80, 0x20]); // 4,096
    assert_eq!(MetadataRecord::decode(&bytes), Err(DecodeError::Truncated));
    assert_eq!(
        MetadataRecord::decode(&[3, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        Err(DecodeError::TooLong { length: 0xffff_ffff })
    );
    assert_eq!(
        MetadataRecord::decode(&[7, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]),
        Err(DecodeError::NumberOutOfRange)
    );
}
