//! The parts of a request that are plain functions.

use std::hint::black_box;

use bytes::Bytes;
use flumen::model::error_code::ErrorCode;
use flumen::protocol::frame::{SIZE_FIELD_BYTES, request_header};
use flumen::protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use flumen::protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use flumen::protocol::messages::{FetchRequest, ProduceRequest, TopicName};
use flumen::protocol::topic::{TopicRef, TopicSpan};
use flumen::protocol::{StrBytes, client, fetch, produce};
use flumen::record::BatchBuilder;
use flumen::record::batch::copy_and_verify;
use flumen::record::validate::{Rules, validate};
use uuid::Uuid;

use crate::Times;

/// What clients of today send: librdkafka names topics when it produces, Java's consumer has ids.
const PRODUCE_VERSION: i16 = 12;
const FETCH_VERSION: i16 = 17;
const RECORD_BYTES: usize = 100;
const WALL_MS: i64 = 1_700_000_000_000;
const TOPIC_ID: Uuid = Uuid::from_u128(7);

/// Reads frame header and body of a Produce request.
pub fn produce_decode(times: Times, partitions: i32) {
    let partition = |index| {
        PartitionProduceData::default().with_index(index).with_records(Some(Bytes::from(vec![1; RECORD_BYTES])))
    };
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str("orders")))
        .with_partition_data((0..partitions).map(partition).collect());
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
    let mut frame = client::encode_request(PRODUCE_VERSION, 1, Some("producer-1"), &request).expect("it encodes");
    let frame = frame.split_off(SIZE_FIELD_BYTES);
    times.run(|| {
        let header = request_header(black_box(&frame)).expect("a header");
        black_box(produce::decode_request(PRODUCE_VERSION, &frame, header.body_at).expect("a body"));
    });
}

/// A batch's way into the log: looked through, copied with its CRC, given its offset.
pub fn append(times: Times, records: usize) {
    let mut builder = BatchBuilder::new();
    for at in 0..records {
        builder.append(WALL_MS + at as i64, None, Some(&[b'v'; RECORD_BYTES]), &[]);
    }
    let batch = builder.build(0);
    let (mut log, rules) = (vec![0; batch.len()], Rules::default());
    times.run(|| {
        let checked = validate(black_box(&batch), &rules, WALL_MS).expect("a right batch");
        assert!(copy_and_verify(&mut log, &batch));
        checked.stamp(black_box(&mut log), 1000, 3);
    });
}

/// Writes a Produce reply.
pub fn produce_reply(times: Times, partitions: i32) {
    let topics = [TopicSpan { topic: TopicRef::Name("orders"), partitions: 0..partitions as usize }];
    let partitions: Vec<_> =
        (0..partitions).map(|index| produce::ProducedPartition::appended(index, 1000, 0)).collect();
    let response =
        produce::ProduceResponse { topics: &topics, partitions: &partitions, throttle_time_ms: 0, node_endpoints: &[] };
    times.run(|| {
        black_box(produce::encode_response(PRODUCE_VERSION, 1, black_box(&response)).expect("it encodes"));
    });
}

/// Reads frame header and body of a Fetch request.
pub fn fetch_decode(times: Times, partitions: i32) {
    let partition = |index| {
        let partition = FetchPartition::default().with_partition(index).with_fetch_offset(1000);
        partition.with_current_leader_epoch(3).with_partition_max_bytes(1 << 20)
    };
    let topic = FetchTopic::default().with_topic_id(TOPIC_ID).with_partitions((0..partitions).map(partition).collect());
    let request = FetchRequest::default().with_max_wait_ms(500).with_min_bytes(1).with_topics(vec![topic]);
    let mut frame = client::encode_request(FETCH_VERSION, 1, Some("consumer-1"), &request).expect("it encodes");
    let frame = frame.split_off(SIZE_FIELD_BYTES);
    times.run(|| {
        let header = request_header(black_box(&frame)).expect("a header");
        black_box(fetch::decode_request(FETCH_VERSION, &frame, header.body_at).expect("a body"));
    });
}

/// Writes a Fetch reply around its records.
pub fn fetch_reply(times: Times, partitions: i32) {
    let partition = |index| fetch::FetchedPartition {
        high_watermark: 1000,
        last_stable_offset: 1000,
        log_start_offset: 0,
        records_bytes: Some(64 << 10),
        ..fetch::FetchedPartition::refused(index, ErrorCode::None)
    };
    let topics = [TopicSpan { topic: TopicRef::Id(TOPIC_ID), partitions: 0..partitions as usize }];
    let partitions: Vec<_> = (0..partitions).map(partition).collect();
    let response = fetch::FetchResponse {
        throttle_time_ms: 0,
        error: ErrorCode::None,
        session_id: 9,
        topics: &topics,
        partitions: &partitions,
        node_endpoints: &[],
    };
    times.run(|| {
        black_box(fetch::encode_response(FETCH_VERSION, 1, black_box(&response)).expect("it encodes"));
    });
}
