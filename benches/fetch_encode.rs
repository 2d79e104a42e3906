//! Time to write a Fetch reply around its records, for 1 and 50 partitions; and to read the request. By hand and by the
//! kafka-protocol crate, which is the yardstick. Prints nanoseconds a message: the best of the rounds, which is the one least
//! disturbed.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a benchmark measures time and prints it")]

use std::hint::black_box;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use flumen::model::error_code::ErrorCode;
use flumen::protocol::frame::{SIZE_FIELD_BYTES, request_header};
use flumen::protocol::topic::{TopicRef, TopicSpan};
use flumen::protocol::{client, fetch};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchRequest, FetchResponse, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use uuid::Uuid;

const ROUNDS: usize = 20;
const MESSAGES_A_ROUND: u32 = 20_000;
const RECORD_BYTES: u32 = 64 << 10;
/// What of the crate's time is the most.
const LIMIT: f64 = 0.5;

fn partitions(count: i32) -> Vec<fetch::FetchedPartition> {
    let partition = |index| fetch::FetchedPartition {
        high_watermark: 1000,
        last_stable_offset: 1000,
        log_start_offset: 0,
        records_bytes: Some(RECORD_BYTES),
        ..fetch::FetchedPartition::refused(index, ErrorCode::None)
    };
    (0..count).map(partition).collect()
}

/// The same reply, as the crate has it; records come behind it.
fn crate_response(version: i16, count: i32) -> FetchResponse {
    let partition = |index| {
        let partition = PartitionData::default().with_partition_index(index).with_high_watermark(1000);
        partition.with_last_stable_offset(1000).with_log_start_offset(0).with_records(Some(Bytes::new()))
    };
    let topic = FetchableTopicResponse::default().with_partitions((0..count).map(partition).collect());
    let topic = if version >= 13 {
        topic.with_topic_id(Uuid::from_u128(7))
    } else {
        topic.with_topic(TopicName(StrBytes::from_static_str("orders")))
    };
    FetchResponse::default().with_session_id(9).with_responses(vec![topic])
}

fn request_frame(version: i16, partitions: i32) -> Vec<u8> {
    let partition = |index| {
        let partition = FetchPartition::default().with_partition(index).with_fetch_offset(1000);
        partition.with_current_leader_epoch(3).with_partition_max_bytes(1 << 20)
    };
    let topic = FetchTopic::default().with_partitions((0..partitions).map(partition).collect());
    let topic = if version >= 13 {
        topic.with_topic_id(Uuid::from_u128(7))
    } else {
        topic.with_topic(TopicName(StrBytes::from_static_str("orders")))
    };
    let request = FetchRequest::default().with_max_wait_ms(500).with_min_bytes(1).with_topics(vec![topic]);
    let mut frame = client::encode_request(version, 1, Some("consumer-1"), &request).expect("encodes");
    frame.split_off(SIZE_FIELD_BYTES)
}

/// Nanoseconds a call of `work`.
fn measure(mut work: impl FnMut()) -> f64 {
    let round = |_| {
        let start = Instant::now();
        (0..MESSAGES_A_ROUND).for_each(|_| work());
        start.elapsed().as_nanos() as f64 / f64::from(MESSAGES_A_ROUND)
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

fn print(what: &str, version: i16, count: i32, by_hand: f64, by_crate: f64) {
    let ratio = by_hand / by_crate;
    let verdict = if ratio <= LIMIT { "met" } else { "missed" };
    println!("{what:<11} {version:>8} {count:>10} {by_hand:>12.0} {by_crate:>12.0} {ratio:>7.2} {LIMIT:>6} {verdict}");
}

fn main() {
    println!(
        "{:<11} {:>8} {:>10} {:>12} {:>12} {:>7} {:>6}",
        "", "version", "partitions", "by hand, ns", "crate, ns", "ratio", "limit"
    );
    for version in [11, 12, 17] {
        for count in [1, 50] {
            let partitions = partitions(count);
            let topic = if version >= 13 { TopicRef::Id(Uuid::from_u128(7)) } else { TopicRef::Name("orders") };
            let topics = [TopicSpan { topic, partitions: 0..count as usize }];
            let response = fetch::FetchResponse {
                throttle_time_ms: 0,
                error: ErrorCode::None,
                session_id: 9,
                topics: &topics,
                partitions: &partitions,
                node_endpoints: &[],
            };
            let reply = measure(|| {
                black_box(fetch::encode_response(version, 1, black_box(&response)).expect("encodes"));
            });
            let theirs = crate_response(version, count);
            let reply_by_crate = measure(|| {
                let mut frame = BytesMut::new();
                black_box(&theirs).encode(&mut frame, version).expect("encodes");
                black_box(frame);
            });
            let frame = request_frame(version, count);
            let request = measure(|| {
                let header = request_header(black_box(&frame)).expect("a header");
                black_box(fetch::decode_request(version, &frame, header.body_at).expect("a body"));
            });
            let shared = Bytes::from(frame.clone());
            let request_by_crate = measure(|| {
                let header = request_header(black_box(&frame)).expect("a header");
                let mut body = shared.slice(header.body_at..);
                black_box(FetchRequest::decode(&mut body, version).expect("a body"));
            });
            print("reply out", version, count, reply, reply_by_crate);
            print("request in", version, count, request, request_by_crate);
        }
    }
}
