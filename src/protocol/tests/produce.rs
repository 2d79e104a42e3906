//! Produce against the crate's codec.

use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{ProduceRequest as TheirRequest, TransactionalId};
use kafka_protocol::protocol::StrBytes;

use super::{CORRELATION_ID, Draw, LIMITS, is_topic, read_reply, request_frame, spans, str_bytes, topic_name};
use crate::model::error_code::ErrorCode;
use crate::protocol::guard::{self, Rest};
use crate::protocol::primitives::{EncodeError, Fault, REQUEST_PARTITIONS_MAX};
use crate::protocol::produce::{
    ProduceRequest, ProduceResponse, ProducedPartition, TopicRef, decode_request, encode_response,
};
use crate::protocol::topic::TopicSpan;

const VERSIONS: std::ops::RangeInclusive<i16> = 3..=13;
const DRAWS_A_VERSION: usize = 200;

fn their_request(draw: &mut Draw, version: i16) -> TheirRequest {
    let flexible = version >= 9;
    let partition = |draw: &mut Draw| {
        PartitionProduceData::default()
            .with_index(draw.i32())
            .with_records(draw.yes().then(|| draw.bytes(300)))
            .with_unknown_tagged_fields(draw.unknown_fields(flexible))
    };
    let topic = |draw: &mut Draw| {
        let topic = TopicProduceData::default()
            .with_partition_data((0..draw.count(3)).map(|_| partition(draw)).collect())
            .with_unknown_tagged_fields(draw.unknown_fields(flexible));
        if version >= 13 { topic.with_topic_id(draw.id()) } else { topic.with_name(topic_name(&draw.text())) }
    };
    TheirRequest::default()
        .with_transactional_id(draw.optional_text().map(|text| TransactionalId(StrBytes::from_string(text))))
        .with_acks(*draw.pick(&[0, 1, -1, 7]))
        .with_timeout_ms(draw.i32())
        .with_topic_data((0..draw.count(3)).map(|_| topic(draw)).collect())
        .with_unknown_tagged_fields(draw.unknown_fields(flexible))
}

fn assert_same(ours: &ProduceRequest<'_>, theirs: &TheirRequest, frame: &[u8]) {
    assert_eq!(ours.transactional_id, theirs.transactional_id.as_ref().map(|id| &*id.0));
    assert_eq!((ours.acks, ours.timeout_ms), (theirs.acks, theirs.timeout_ms));
    assert_eq!(ours.topics.len(), theirs.topic_data.len());
    let mut seen = 0;
    for (span, topic) in ours.topics.iter().zip(&theirs.topic_data) {
        assert!(is_topic(span.topic, &topic.name, topic.topic_id));
        assert_eq!(span.partitions, seen..seen + topic.partition_data.len(), "spans follow each other");
        seen = span.partitions.end;
        for (partition, data) in ours.partitions[span.partitions.clone()].iter().zip(&topic.partition_data) {
            assert_eq!(partition.index, data.index);
            assert_eq!(partition.records.clone().map(|range| &frame[range]), data.records.as_deref());
        }
    }
    assert_eq!(ours.partitions.len(), seen);
}

#[test]
fn requests_are_read_as_the_crate_writes_them() {
    for version in VERSIONS {
        let mut draw = Draw::new(version as u64);
        for _ in 0..DRAWS_A_VERSION {
            let theirs = their_request(&mut draw, version);
            let (frame, body_at) = request_frame(version, &theirs);
            let ours = decode_request(version, &frame, body_at).expect("decodes");
            assert_same(&ours, &theirs, &frame);
        }
    }
}

#[test]
fn truncated_and_prolonged_requests_are_refused() {
    for version in VERSIONS {
        let mut draw = Draw::new(90 + version as u64);
        for _ in 0..10 {
            let (mut frame, body_at) = request_frame(version, &their_request(&mut draw, version));
            for end in body_at..frame.len() {
                assert!(decode_request(version, &frame[..end], body_at).is_err(), "version {version} cut at {end}");
            }
            frame.push(0);
            let error = decode_request(version, &frame, body_at).expect_err("a byte too many");
            assert_eq!(error.fault, Fault::Trailing(1));
        }
    }
}

#[test]
fn damaged_requests_are_refused_or_read_as_the_crate_reads_them() {
    let mut agreed = 0;
    for version in VERSIONS {
        let mut draw = Draw::new(180 + version as u64);
        for _ in 0..1500 {
            let (frame, body_at) = request_frame(version, &their_request(&mut draw, version));
            let mut body = frame[body_at..].to_vec();
            draw.damage(&mut body);
            let ours = decode_request(version, &body, 0);
            let theirs = guard::decode::<TheirRequest>(&body.clone().into(), version, LIMITS, Rest::Refused);
            if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
                assert_same(&ours, &theirs, &body);
                agreed += 1;
            }
        }
    }
    assert!(agreed > 1000, "damage must leave enough readable requests to compare, it left {agreed}");
}

#[test]
fn versions_without_a_schema_are_refused() {
    for version in [-1, 0, 2, 14] {
        let error = decode_request(version, &[0; 64], 0).expect_err("no schema");
        assert_eq!(error.fault, Fault::Version(version));
        let response = ProduceResponse { topics: &[], partitions: &[], throttle_time_ms: 0, node_endpoints: &[] };
        assert_eq!(encode_response(version, 0, &response), Err(EncodeError::Version(version)));
    }
}

#[test]
fn lengths_beyond_the_frame_are_refused_before_anything_is_reserved() {
    // Null transactional id, acks, timeout, then 2^31 - 1 topics.
    let mut body = vec![0xff, 0xff, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff];
    body.extend_from_slice(&[0; 32]);
    let error = decode_request(8, &body, 0).expect_err("too many topics");
    assert_eq!(
        error,
        crate::protocol::primitives::DecodeError { at: 8, fault: Fault::ArrayTooLong(i32::MAX as usize) }
    );
    // A thousand topics in 32 bytes.
    body[8..12].copy_from_slice(&1000i32.to_be_bytes());
    let error = decode_request(8, &body, 0).expect_err("too many topics for the bytes");
    assert_eq!(error.fault, Fault::Truncated { needed: 6000, left: 32 });
}

#[test]
fn the_partitions_of_all_topics_have_a_bound_together() {
    let request = |each: usize| {
        // Null transactional id, acks, timeout, two topics named "a".
        let mut body = vec![0xff, 0xff, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2];
        for _ in 0..2 {
            body.extend_from_slice(&[0, 1, b'a']);
            body.extend_from_slice(&i32::try_from(each).expect("a count").to_be_bytes());
            // Partition 0 with null records.
            body.extend([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff].repeat(each));
        }
        body
    };
    let allowed = request(REQUEST_PARTITIONS_MAX / 2);
    assert_eq!(decode_request(8, &allowed, 0).expect("decodes").partitions.len(), REQUEST_PARTITIONS_MAX);
    let error = decode_request(8, &request(REQUEST_PARTITIONS_MAX / 2 + 1), 0).expect_err("too many");
    assert_eq!(error.fault, Fault::TooManyPartitions(REQUEST_PARTITIONS_MAX + 2));
}

fn our_partition(draw: &mut Draw) -> ProducedPartition {
    ProducedPartition {
        index: draw.i32(),
        error: draw.error(),
        base_offset: draw.i64(),
        log_append_time_ms: draw.i64(),
        log_start_offset: draw.i64(),
        record_errors: (0..draw.count(2)).map(|_| (draw.i32(), draw.optional_text())).collect(),
        error_message: draw.optional_text(),
        current_leader: draw.leader(),
    }
}

fn assert_same_partition(ours: &ProducedPartition, theirs: &PartitionProduceResponse, version: i16) {
    assert_eq!((ours.index, ours.error.code()), (theirs.index, theirs.error_code));
    assert_eq!((ours.base_offset, ours.log_append_time_ms), (theirs.base_offset, theirs.log_append_time_ms));
    assert_eq!(if version >= 5 { ours.log_start_offset } else { -1 }, theirs.log_start_offset);
    if version >= 8 {
        let errors: Vec<_> = theirs
            .record_errors
            .iter()
            .map(|error| (error.batch_index, error.batch_index_error_message.as_ref().map(|text| text.to_string())))
            .collect();
        assert_eq!(ours.record_errors, errors);
        assert_eq!(ours.error_message.as_deref(), theirs.error_message.as_deref());
    }
    let leader =
        ours.current_leader.filter(|_| version >= 10).map_or((-1, -1), |one| (one.leader_id, one.leader_epoch));
    assert_eq!(leader, (theirs.current_leader.leader_id.0, theirs.current_leader.leader_epoch));
}

#[test]
fn replies_are_read_by_the_crate_as_they_were_written() {
    for version in VERSIONS {
        let mut draw = Draw::new(270 + version as u64);
        for _ in 0..DRAWS_A_VERSION {
            let (names, ids): (Vec<_>, Vec<_>) = (0..draw.count(2)).map(|_| (draw.text(), draw.id())).unzip();
            let each = draw.count(3);
            let topics = spans(&names, &ids, version >= 13, each);
            let partitions: Vec<_> = (0..topics.len() * each).map(|_| our_partition(&mut draw)).collect();
            let (throttle_time_ms, node_endpoints) = (draw.i32(), draw.endpoints());
            let ours = ProduceResponse {
                topics: &topics,
                partitions: &partitions,
                throttle_time_ms,
                node_endpoints: &node_endpoints,
            };
            let frame = encode_response(version, CORRELATION_ID, &ours).expect("encodes");
            let theirs = read_reply::<TheirRequest>(version, &frame);

            assert_eq!((theirs.throttle_time_ms, theirs.responses.len()), (throttle_time_ms, topics.len()));
            for (span, topic) in topics.iter().zip(&theirs.responses) {
                assert!(is_topic(span.topic, &topic.name, topic.topic_id));
                assert_eq!(span.partitions.len(), topic.partition_responses.len());
                for (ours, theirs) in partitions[span.partitions.clone()].iter().zip(&topic.partition_responses) {
                    assert_same_partition(ours, theirs, version);
                }
            }
            let listed: Vec<_> = if version >= 10 { node_endpoints } else { Vec::new() };
            assert_eq!(listed.len(), theirs.node_endpoints.len());
            for (ours, theirs) in listed.iter().zip(&theirs.node_endpoints) {
                assert_eq!((ours.node_id, ours.port), (theirs.node_id.0, theirs.port));
                assert_eq!(
                    (str_bytes(&ours.host), ours.rack.as_deref()),
                    (theirs.host.clone(), theirs.rack.as_deref())
                );
            }
        }
    }
}

#[test]
fn a_topic_must_have_the_form_of_the_version() {
    let topics = [TopicSpan { topic: TopicRef::Name("orders"), partitions: 0..0 }];
    let response = ProduceResponse { topics: &topics, partitions: &[], throttle_time_ms: 0, node_endpoints: &[] };
    assert!(encode_response(12, 0, &response).is_ok());
    assert_eq!(encode_response(13, 0, &response), Err(EncodeError::TopicForm));
}

#[test]
fn an_error_message_that_is_too_long_is_cut_at_a_character() {
    let topics = [TopicSpan { topic: TopicRef::Name("orders"), partitions: 0..1 }];
    // 20,000 characters of two bytes; the limit of 32,767 bytes falls into the middle of one.
    let message = "ü".repeat(20_000);
    let partitions = [ProducedPartition::refused(0, ErrorCode::InvalidRecord, Some(message.clone()))];
    let response =
        ProduceResponse { topics: &topics, partitions: &partitions, throttle_time_ms: 0, node_endpoints: &[] };
    for version in [8, 9] {
        let frame = encode_response(version, CORRELATION_ID, &response).expect("encodes");
        let theirs = read_reply::<TheirRequest>(version, &frame);
        let sent = theirs.responses[0].partition_responses[0].error_message.clone().expect("a message");
        assert_eq!(&*sent, &message[..32_766]);
    }
}
