//! Requests to mutate: one of every advertised API in every version.

use std::collections::BTreeSet;
use std::fmt::Debug;

use bytes::Bytes;
use flumen::protocol::api::{ApiKey, advertised};
use flumen::protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use flumen::protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use flumen::protocol::messages::{FetchRequest, ProduceRequest, TopicName};
use flumen::protocol::offset_ids::IDS_FROM;
use flumen::protocol::txn_markers::VERSIONED_FROM;
use flumen::protocol::{StrBytes, client};
use flumen::record::BatchBuilder;
use kafka_protocol::protocol::Request;
use uuid::Uuid;

#[path = "../../../src/protocol/tests/samples.rs"]
pub mod samples;

/// A topic that the broker under test has.
pub const TOPIC: &str = "orders";

fn topic_name(text: &'static str) -> TopicName {
    TopicName(StrBytes::from_static_str(text))
}

pub fn produce(version: i16) -> ProduceRequest {
    let batch = |value: &str| {
        let mut builder = BatchBuilder::new();
        builder.append(1000, Some(b"key"), Some(value.as_bytes()), &[]);
        Some(Bytes::from(builder.build(0)))
    };
    let data = (0..3).map(|index| {
        PartitionProduceData::default().with_index(index).with_records(batch(&"x".repeat(10 + index as usize * 30)))
    });
    let topic = TopicProduceData::default().with_partition_data(data.collect());
    let topic =
        if version >= 13 { topic.with_topic_id(Uuid::from_u128(77)) } else { topic.with_name(topic_name(TOPIC)) };
    ProduceRequest::default().with_acks(-1).with_timeout_ms(1000).with_topic_data(vec![topic.clone(), topic])
}

pub fn fetch(version: i16) -> FetchRequest {
    let partitions = (0..3).map(|index| {
        FetchPartition::default()
            .with_partition(index)
            .with_fetch_offset(0)
            .with_partition_max_bytes(100_000)
            .with_current_leader_epoch(if version >= 9 { 0 } else { -1 })
    });
    let topic = FetchTopic::default().with_partitions(partitions.collect());
    let by_id = version >= 13;
    let topic = if by_id { topic.with_topic_id(Uuid::from_u128(77)) } else { topic.with_topic(topic_name(TOPIC)) };
    let request = FetchRequest::default()
        .with_max_wait_ms(10)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_topics(vec![topic])
        .with_session_epoch(if version >= 7 { 0 } else { -1 });
    if version < 7 {
        return request;
    }
    let forgotten = ForgottenTopic::default().with_partitions(vec![1, 2]);
    let forgotten =
        if by_id { forgotten.with_topic_id(Uuid::from_u128(78)) } else { forgotten.with_topic(topic_name("gone")) };
    request.with_forgotten_topics_data(vec![forgotten])
}

#[derive(Default)]
struct Frames {
    all: Vec<Vec<u8>>,
    seen: BTreeSet<(i16, i16)>,
}

impl Frames {
    fn add(&mut self, key: i16, version: i16, frame: Vec<u8>) {
        self.seen.insert((key, version));
        self.all.push(frame);
    }
}

impl samples::Visitor for Frames {
    fn visit<R: Request + PartialEq + Debug>(&mut self, version: i16, request: R) {
        let frame = client::encode_request(version, 1, Some("fuzz"), &request).expect("encodes");
        self.add(R::KEY, version, frame);
    }
}

/// The body of an OffsetCommit of version 10, which names topics by id.
pub fn offset_commit_by_id() -> Vec<u8> {
    let group = [2, b'g', 0xff, 0xff, 0xff, 0xff, 1, 0];
    let partition = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 2, b'x', 0];
    [&group[..], &[2], &[7; 16], &[2], &partition, &[0, 0]].concat()
}

/// The body of an OffsetFetch of version 10.
pub fn offset_fetch_by_id() -> Vec<u8> {
    let group = [2, 2, b'g', 0, 0xff, 0xff, 0xff, 0xff];
    [&group[..], &[2], &[7; 16], &[2], &[0, 0, 0, 0], &[0], &[0], &[0, 0]].concat()
}

/// The body of a WriteTxnMarkers of version 2, which tells each marker's transaction version.
pub fn versioned_markers() -> Vec<u8> {
    let producer = [0, 0, 0, 0, 0, 0, 0, 9, 0, 3, 1];
    let topic = [2, 7, b'o', b'r', b'd', b'e', b'r', b's', 2, 0, 0, 0, 0, 0];
    [&[2][..], &producer, &topic, &[0, 0, 0, 1], &[2, 0], &[0]].concat()
}

/// A frame of a flexible request.
fn framed(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let frame = [&key.to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 1, 0xff, 0xff, 0], body].concat();
    [&(frame.len() as i32).to_be_bytes()[..], &frame].concat()
}

/// Frames with their size fields, of every version of every API.
pub fn requests() -> Vec<Vec<u8>> {
    let mut frames = Frames::default();
    samples::visit_all(&mut frames);
    for version in 3..=13 {
        frames.add(0, version, client::encode_request(version, 1, Some("fuzz"), &produce(version)).expect("encodes"));
    }
    for version in 4..=18 {
        frames.add(1, version, client::encode_request(version, 1, Some("fuzz"), &fetch(version)).expect("encodes"));
    }
    for (key, version, body) in [
        (ApiKey::OffsetCommit, IDS_FROM, offset_commit_by_id()),
        (ApiKey::OffsetFetch, IDS_FROM, offset_fetch_by_id()),
        (ApiKey::WriteTxnMarkers, VERSIONED_FROM, versioned_markers()),
    ] {
        frames.add(key.code(), version, framed(key.code(), version, &body));
    }
    for api in advertised() {
        let missing: Vec<_> = (api.min..=api.max).filter(|v| !frames.seen.contains(&(api.key.code(), *v))).collect();
        assert!(missing.is_empty(), "{}: no sample of versions {missing:?}", api.key);
    }
    frames.all
}
