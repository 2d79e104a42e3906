//! Time to read a Produce request: frame header and body, for 1 and 50 partitions, by hand and by the kafka-protocol
//! crate, which is the yardstick. Prints nanoseconds a request: the best of the rounds, which is the one least disturbed.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a benchmark measures time and prints it")]

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use flumen::protocol::frame::{SIZE_FIELD_BYTES, request_header};
use flumen::protocol::{client, produce};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, TopicName};
use kafka_protocol::protocol::{Decodable, StrBytes};

const ROUNDS: usize = 20;
const REQUESTS_A_ROUND: u32 = 20_000;
const RECORD_BYTES: usize = 1024;
/// What of the crate's time is the most.
const LIMIT: f64 = 0.5;

fn frame(version: i16, partitions: i32) -> Vec<u8> {
    let partition = |index| {
        PartitionProduceData::default().with_index(index).with_records(Some(Bytes::from(vec![1; RECORD_BYTES])))
    };
    let topic = TopicProduceData::default().with_partition_data((0..partitions).map(partition).collect());
    let topic = if version >= 13 {
        topic.with_topic_id(uuid::Uuid::from_u128(7))
    } else {
        topic.with_name(TopicName(StrBytes::from_static_str("orders")))
    };
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
    let mut frame = client::encode_request(version, 1, Some("producer-1"), &request).expect("encodes");
    frame.split_off(SIZE_FIELD_BYTES)
}

/// Nanoseconds a call of `work`.
fn measure(mut work: impl FnMut()) -> f64 {
    let round = |_| {
        let start = Instant::now();
        (0..REQUESTS_A_ROUND).for_each(|_| work());
        start.elapsed().as_nanos() as f64 / f64::from(REQUESTS_A_ROUND)
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

fn main() {
    println!(
        "{:>8} {:>10} {:>12} {:>12} {:>7} {:>6}",
        "version", "partitions", "by hand, ns", "crate, ns", "ratio", "limit"
    );
    for version in [8, 12, 13] {
        for partitions in [1, 50] {
            let frame = frame(version, partitions);
            let by_hand = measure(|| {
                let header = request_header(black_box(&frame)).expect("a header");
                black_box(produce::decode_request(version, &frame, header.body_at).expect("a body"));
            });
            let shared = Bytes::from(frame.clone());
            let by_crate = measure(|| {
                let header = request_header(black_box(&frame)).expect("a header");
                let mut body = shared.slice(header.body_at..);
                black_box(ProduceRequest::decode(&mut body, version).expect("a body"));
            });
            let ratio = by_hand / by_crate;
            let verdict = if ratio <= LIMIT { "met" } else { "missed" };
            println!(
                "{version:>8} {partitions:>10} {by_hand:>12.0} {by_crate:>12.0} {ratio:>7.2} {LIMIT:>6} {verdict}"
            );
        }
    }
}
