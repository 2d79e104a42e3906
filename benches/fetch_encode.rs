//! Time to write a Fetch reply around its records, for 1 and 50 partitions; and to read the request. Prints nanoseconds a
//! message: the best of the rounds, which is the one least disturbed.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a benchmark measures time and prints it")]

use std::hint::black_box;
use std::time::Instant;

use flumen::model::error_code::ErrorCode;
use flumen::protocol::frame::{SIZE_FIELD_BYTES, request_header};
use flumen::protocol::topic::{TopicRef, TopicSpan};
use flumen::protocol::{client, fetch};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{FetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

const ROUNDS: usize = 20;
const MESSAGES_A_ROUND: u32 = 20_000;
const RECORD_BYTES: u32 = 64 << 10;

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

fn main() {
    println!("{:>8} {:>10} {:>14} {:>16}", "version", "partitions", "reply out, ns", "request in, ns");
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
            let frame = request_frame(version, count);
            let request = measure(|| {
                let header = request_header(black_box(&frame)).expect("a header");
                black_box(fetch::decode_request(version, &frame, header.body_at).expect("a body"));
            });
            println!("{version:>8} {count:>10} {reply:>14.0} {request:>16.0}");
        }
    }
}
