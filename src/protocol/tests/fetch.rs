//! Fetch against the crate's codec.

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic, ReplicaState};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{BrokerId, FetchRequest as TheirRequest};

use super::{CORRELATION_ID, Draw, LIMITS, is_topic, read_reply, request_frame, spans, str_bytes, topic_name};
use crate::model::error_code::ErrorCode;
use crate::protocol::fetch::{
    AbortedTransaction, EncodedFetch, EpochEndOffset, FetchRequest, FetchResponse, FetchedPartition, IsolationLevel,
    decode_request, encode_response,
};
use crate::protocol::guard::{self, Rest};
use crate::protocol::primitives::{EncodeError, Fault};
use crate::protocol::topic::{TopicRef, TopicSpan};

const VERSIONS: std::ops::RangeInclusive<i16> = 4..=18;
const DRAWS_A_VERSION: usize = 200;

fn their_partition(draw: &mut Draw, version: i16) -> FetchPartition {
    let mut partition = FetchPartition::default()
        .with_partition(draw.i32())
        .with_fetch_offset(draw.i64())
        .with_partition_max_bytes(draw.i32())
        .with_unknown_tagged_fields(draw.unknown_fields(version >= 12));
    if version >= 5 {
        partition.log_start_offset = draw.i64();
    }
    if version >= 9 {
        partition.current_leader_epoch = draw.i32();
    }
    if version >= 12 {
        partition.last_fetched_epoch = draw.i32();
    }
    if version >= 17 {
        partition.replica_directory_id = draw.id();
    }
    if version >= 18 {
        partition.high_watermark = draw.i64();
    }
    partition
}

fn their_request(draw: &mut Draw, version: i16) -> TheirRequest {
    let flexible = version >= 12;
    let topic = |draw: &mut Draw| {
        let topic = FetchTopic::default()
            .with_partitions((0..draw.count(3)).map(|_| their_partition(draw, version)).collect())
            .with_unknown_tagged_fields(draw.unknown_fields(flexible));
        if version >= 13 { topic.with_topic_id(draw.id()) } else { topic.with_topic(topic_name(&draw.text())) }
    };
    let forgotten = |draw: &mut Draw| {
        let topic = ForgottenTopic::default()
            .with_partitions((0..draw.count(3)).map(|_| draw.i32()).collect())
            .with_unknown_tagged_fields(draw.unknown_fields(flexible));
        if version >= 13 { topic.with_topic_id(draw.id()) } else { topic.with_topic(topic_name(&draw.text())) }
    };
    let mut request = TheirRequest::default()
        .with_max_wait_ms(draw.i32())
        .with_min_bytes(draw.i32())
        .with_max_bytes(draw.i32())
        .with_isolation_level(i8::from(draw.yes()))
        .with_topics((0..draw.count(3)).map(|_| topic(draw)).collect())
        .with_unknown_tagged_fields(draw.unknown_fields(flexible));
    if version >= 15 {
        let state = ReplicaState::default().with_replica_id(BrokerId(draw.i32())).with_replica_epoch(draw.i64());
        request.replica_state = state.with_unknown_tagged_fields(draw.unknown_fields(true));
    } else {
        request.replica_id = BrokerId(draw.i32());
    }
    if version >= 7 {
        (request.session_id, request.session_epoch) = (draw.i32(), draw.i32());
        request.forgotten_topics_data = (0..draw.count(2)).map(|_| forgotten(draw)).collect();
    }
    if version >= 11 {
        request.rack_id = str_bytes(&draw.text());
    }
    if flexible {
        request.cluster_id = draw.optional_text().map(|text| str_bytes(&text));
    }
    request
}

fn assert_same(ours: &FetchRequest<'_>, theirs: &TheirRequest, version: i16) {
    assert_eq!(ours.cluster_id, theirs.cluster_id.as_deref());
    if version >= 15 {
        let state = &theirs.replica_state;
        assert_eq!((ours.replica_id, ours.replica_epoch), (state.replica_id.0, state.replica_epoch));
    } else {
        assert_eq!((ours.replica_id, ours.replica_epoch), (theirs.replica_id.0, -1));
    }
    assert_eq!((ours.max_wait_ms, ours.min_bytes), (theirs.max_wait_ms, theirs.min_bytes));
    assert_eq!(ours.max_bytes, theirs.max_bytes);
    assert_eq!(ours.isolation_level == IsolationLevel::ReadCommitted, theirs.isolation_level == 1);
    assert_eq!((ours.session_id, ours.session_epoch), (theirs.session_id, theirs.session_epoch));
    assert_eq!(ours.rack_id, &*theirs.rack_id);

    assert_eq!(ours.topics.len(), theirs.topics.len());
    let mut seen = 0;
    for (span, topic) in ours.topics.iter().zip(&theirs.topics) {
        assert!(is_topic(span.topic, &topic.topic, topic.topic_id));
        assert_eq!(span.partitions, seen..seen + topic.partitions.len(), "spans follow each other");
        seen = span.partitions.end;
        for (ours, theirs) in ours.partitions[span.partitions.clone()].iter().zip(&topic.partitions) {
            assert_eq!((ours.index, ours.current_leader_epoch), (theirs.partition, theirs.current_leader_epoch));
            assert_eq!((ours.fetch_offset, ours.last_fetched_epoch), (theirs.fetch_offset, theirs.last_fetched_epoch));
            assert_eq!((ours.log_start_offset, ours.max_bytes), (theirs.log_start_offset, theirs.partition_max_bytes));
            assert_eq!(ours.directory_id, theirs.replica_directory_id);
            assert_eq!(ours.high_watermark.unwrap_or(i64::MAX), theirs.high_watermark);
        }
    }
    assert_eq!(ours.partitions.len(), seen);

    assert_eq!(ours.forgotten.len(), theirs.forgotten_topics_data.len());
    for (span, topic) in ours.forgotten.iter().zip(&theirs.forgotten_topics_data) {
        assert!(is_topic(span.topic, &topic.topic, topic.topic_id));
        assert_eq!(ours.forgotten_partitions[span.partitions.clone()], topic.partitions);
    }
}

#[test]
fn requests_are_read_as_the_crate_writes_them() {
    for version in VERSIONS {
        let mut draw = Draw::new(version as u64);
        for _ in 0..DRAWS_A_VERSION {
            let theirs = their_request(&mut draw, version);
            let (frame, body_at) = request_frame(version, &theirs);
            assert_same(&decode_request(version, &frame, body_at).expect("decodes"), &theirs, version);
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
                assert_same(&ours, &theirs, version);
                agreed += 1;
            }
        }
    }
    assert!(agreed > 1000, "damage must leave enough readable requests to compare, it left {agreed}");
}

#[test]
fn an_unknown_isolation_level_is_refused() {
    let request = TheirRequest::default().with_isolation_level(2);
    let (frame, body_at) = request_frame(11, &request);
    assert_eq!(decode_request(11, &frame, body_at).expect_err("no such level").fault, Fault::Value(2));
}

#[test]
fn a_tagged_field_must_fill_its_size() {
    let request = TheirRequest::default().with_replica_state(ReplicaState::default().with_replica_epoch(1));
    let (mut frame, body_at) = request_frame(15, &request);
    // The frame ends in: tag 1, size 13, replica id, replica epoch, no tagged fields. One byte more in size and content:
    let size_at = frame.len() - 14;
    assert_eq!(frame[size_at - 1..=size_at], [1, 13]);
    frame[size_at] = 14;
    frame.push(0);
    let error = decode_request(15, &frame, body_at).expect_err("a byte too many in the field");
    assert_eq!(error.fault, Fault::TaggedFieldSize { tag: 1 });
}

/// A partition of a reply, and its records.
fn our_partition(draw: &mut Draw) -> (FetchedPartition, Vec<u8>) {
    let records = draw.bytes(200).to_vec();
    let epoch = |draw: &mut Draw| EpochEndOffset { epoch: draw.count(9) as i32, end_offset: draw.i64() };
    let transaction = |draw: &mut Draw| AbortedTransaction { producer_id: draw.i64(), first_offset: draw.i64() };
    let partition = FetchedPartition {
        index: draw.i32(),
        error: draw.error(),
        high_watermark: draw.i64(),
        last_stable_offset: draw.i64(),
        log_start_offset: draw.i64(),
        aborted_transactions: draw.yes().then(|| (0..draw.count(2)).map(|_| transaction(draw)).collect()),
        preferred_read_replica: draw.yes().then_some(7),
        diverging_epoch: draw.yes().then(|| epoch(draw)),
        current_leader: draw.leader(),
        snapshot_id: draw.yes().then(|| epoch(draw)),
        records_bytes: (!records.is_empty() || draw.yes()).then_some(records.len() as u32),
    };
    (partition, records)
}

/// The frame as a connection sends it: records put in at the cuts.
fn assemble(encoded: &EncodedFetch, records: &[Vec<u8>]) -> Vec<u8> {
    let (mut frame, mut at) = (Vec::new(), 0);
    for cut in &encoded.cuts {
        frame.extend_from_slice(&encoded.bytes[at..cut.at]);
        frame.extend_from_slice(&records[cut.partition]);
        at = cut.at;
    }
    frame.extend_from_slice(&encoded.bytes[at..]);
    assert_eq!(frame.len(), encoded.frame_bytes);
    frame
}

fn assert_same_partition(ours: &FetchedPartition, records: &[u8], theirs: &PartitionData, version: i16) {
    assert_eq!((ours.index, ours.error.code()), (theirs.partition_index, theirs.error_code));
    assert_eq!((ours.high_watermark, ours.last_stable_offset), (theirs.high_watermark, theirs.last_stable_offset));
    assert_eq!(if version >= 5 { ours.log_start_offset } else { -1 }, theirs.log_start_offset);
    let read = |transaction: &kafka_protocol::messages::fetch_response::AbortedTransaction| AbortedTransaction {
        producer_id: transaction.producer_id.0,
        first_offset: transaction.first_offset,
    };
    let aborted = theirs.aborted_transactions.as_ref().map(|list| list.iter().map(read).collect());
    assert_eq!(ours.aborted_transactions, aborted);
    let preferred = ours.preferred_read_replica.filter(|_| version >= 11).unwrap_or(-1);
    assert_eq!(preferred, theirs.preferred_read_replica.0);
    assert_eq!(ours.records_bytes.map(|_| records), theirs.records.as_deref());

    let none = EpochEndOffset { epoch: -1, end_offset: -1 };
    let tagged = |field: Option<EpochEndOffset>| field.filter(|_| version >= 12).unwrap_or(none);
    let (diverging, snapshot) = (tagged(ours.diverging_epoch), tagged(ours.snapshot_id));
    assert_eq!(diverging.epoch, theirs.diverging_epoch.epoch);
    assert_eq!(diverging.end_offset, theirs.diverging_epoch.end_offset);
    assert_eq!((snapshot.epoch, snapshot.end_offset), (theirs.snapshot_id.epoch, theirs.snapshot_id.end_offset));
    let leader =
        ours.current_leader.filter(|_| version >= 12).map_or((-1, -1), |one| (one.leader_id, one.leader_epoch));
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
            let (partitions, records): (Vec<_>, Vec<_>) =
                (0..topics.len() * each).map(|_| our_partition(&mut draw)).unzip();
            let node_endpoints = draw.endpoints();
            let ours = FetchResponse {
                throttle_time_ms: draw.i32(),
                error: draw.error(),
                session_id: draw.i32(),
                topics: &topics,
                partitions: &partitions,
                node_endpoints: &node_endpoints,
            };
            let encoded = encode_response(version, CORRELATION_ID, &ours).expect("encodes");
            assert_eq!(encoded.cuts.len(), records.iter().filter(|records| !records.is_empty()).count());
            let theirs = read_reply::<TheirRequest>(version, &assemble(&encoded, &records));

            assert_eq!(theirs.throttle_time_ms, ours.throttle_time_ms);
            let session = if version >= 7 { (ours.error.code(), ours.session_id) } else { (0, 0) };
            assert_eq!((theirs.error_code, theirs.session_id), session);
            assert_eq!(theirs.responses.len(), topics.len());
            for (span, topic) in topics.iter().zip(&theirs.responses) {
                assert!(is_topic(span.topic, &topic.topic, topic.topic_id));
                assert_eq!(span.partitions.len(), topic.partitions.len());
                for (place, theirs) in span.partitions.clone().zip(&topic.partitions) {
                    assert_same_partition(&partitions[place], &records[place], theirs, version);
                }
            }
            assert_eq!(theirs.node_endpoints.len(), if version >= 16 { node_endpoints.len() } else { 0 });
            for (ours, theirs) in node_endpoints.iter().zip(&theirs.node_endpoints) {
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
fn a_reply_above_two_gib_is_refused() {
    let topics = [TopicSpan { topic: TopicRef::Name("orders"), partitions: 0..2 }];
    let mut partitions = [FetchedPartition::refused(0, ErrorCode::None), FetchedPartition::refused(1, ErrorCode::None)];
    partitions[0].records_bytes = Some(i32::MAX as u32 - 200);
    let encode = |partitions: &[FetchedPartition]| {
        let response = FetchResponse {
            throttle_time_ms: 0,
            error: ErrorCode::None,
            session_id: 0,
            topics: &topics,
            partitions,
            node_endpoints: &[],
        };
        encode_response(12, 0, &response)
    };
    let encoded = encode(&partitions).expect("just below the limit");
    assert_eq!(encoded.frame_bytes, encoded.bytes.len() + i32::MAX as usize - 200);
    partitions[1].records_bytes = Some(200);
    assert!(matches!(encode(&partitions), Err(EncodeError::FrameTooLong(_))));
    partitions[1].records_bytes = Some(u32::MAX);
    assert!(matches!(encode(&partitions), Err(EncodeError::FrameTooLong(_))));
}
