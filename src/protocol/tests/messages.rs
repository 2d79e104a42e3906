//! The bridge to the crate's codecs, with every advertised request.

use std::collections::BTreeSet;
use std::fmt::Debug;

use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponseTopic};
use kafka_protocol::messages::{
    ApiVersionsRequest, BrokerId, FindCoordinatorRequest, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest,
    MetadataResponse, SyncGroupRequest,
};
use kafka_protocol::protocol::{HeaderVersion, Request, StrBytes};

use super::samples::{Visitor, visit_all};
use super::{CORRELATION_ID, Draw, read_reply, request_frame, str_bytes, topic_name};
use crate::model::error_code::ErrorCode;
use crate::protocol::api::{ApiKey, advertised, request_header_version, response_header_version};
use crate::protocol::api_versions::{self, Feature, Features};
use crate::protocol::message::{BODY_BYTES_MAX, decode_request, encode_response, schema_version};
use crate::protocol::primitives::STRING_BYTES_MAX;
use crate::protocol::{offset_ids, txn_markers};

struct RoundTrip(BTreeSet<(i16, i16)>);

impl Visitor for RoundTrip {
    fn visit<R: Request + PartialEq + Debug>(&mut self, version: i16, request: R) {
        let (frame, body_at) = request_frame(version, &request);
        assert_eq!(decode_request::<R>(version, &frame[body_at..]).as_ref(), Ok(&request));
        for end in body_at..frame.len() {
            assert!(decode_request::<R>(version, &frame[body_at..end]).is_err(), "{} {version}, cut at {end}", R::KEY);
        }
        let prolonged = [&frame[body_at..], &[0]].concat();
        assert_eq!(decode_request::<R>(version, &prolonged).as_ref(), Ok(&request), "what follows is ignored");

        let schema = schema_version(ApiKey::from_code(R::KEY).expect("a key"), version);
        assert_eq!(request_header_version(R::KEY, version), R::header_version(schema));
        let key = ApiKey::from_code(R::KEY).expect("a key");
        assert_eq!(response_header_version(key, version), R::Response::header_version(schema));
        assert!(self.0.insert((R::KEY, version)));
    }
}

#[test]
fn every_advertised_request_is_read_back_and_refused_when_cut() {
    let mut round_trip = RoundTrip(BTreeSet::new());
    visit_all(&mut round_trip);
    let by_hand = [ApiKey::Produce, ApiKey::Fetch];
    let expected: BTreeSet<_> = advertised()
        .filter(|api| !by_hand.contains(&api.key))
        .flat_map(|api| (api.min..=api.max).map(|version| (api.key.code(), version)))
        // `offset_ids` and `txn_markers` have tests of their own.
        .filter(|(key, version)| !(matches!(key, 8 | 9) && *version == offset_ids::IDS_FROM))
        .filter(|served| *served != (ApiKey::WriteTxnMarkers.code(), txn_markers::VERSIONED_FROM))
        .collect();
    assert_eq!(round_trip.0, expected, "there is a sample of each version that is advertised");
}

struct Damage {
    refused: usize,
    read: usize,
}

impl Visitor for Damage {
    fn visit<R: Request + PartialEq + Debug>(&mut self, version: i16, request: R) {
        let (frame, body_at) = request_frame(version, &request);
        let mut draw = Draw::new((R::KEY as u64) << 8 | version as u64);
        for _ in 0..2000 {
            let mut body = frame[body_at..].to_vec();
            draw.damage(&mut body);
            match decode_request::<R>(version, &body) {
                Ok(_) => self.read += 1,
                Err(_) => self.refused += 1,
            }
        }
    }
}

#[test]
fn damaged_requests_are_read_or_refused_without_a_panic() {
    let mut damage = Damage { refused: 0, read: 0 };
    visit_all(&mut damage);
    assert!(damage.refused > 10_000 && damage.read > 1_000, "{} refused, {} read", damage.refused, damage.read);
}

/// Puts a length that nothing could satisfy at every position.
struct Lengths;

impl Visitor for Lengths {
    fn visit<R: Request + PartialEq + Debug>(&mut self, version: i16, request: R) {
        let (frame, body_at) = request_frame(version, &request);
        let lengths: [&[u8]; 4] =
            [&[0x7f, 0xff, 0xff, 0xff], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0, 0x10, 0, 0], &[0x80, 0x80, 0x80, 0x04]];
        for at in 0..frame.len() - body_at {
            for length in lengths {
                let mut body = frame[body_at..].to_vec();
                super::overwrite(&mut body, at, length);
                // Either is right: the position may hold a number. `tests/decode_memory.rs` measures what is reserved.
                let _ = decode_request::<R>(version, &body);
                body.truncate(at);
                body.extend_from_slice(length);
                let _ = decode_request::<R>(version, &body);
            }
        }
    }
}

#[test]
fn impossible_lengths_anywhere_do_not_end_the_process() {
    visit_all(&mut Lengths);
}

#[test]
fn large_numbers_that_are_no_lengths_pass_the_guard() {
    // The timeout of CreateTopics 2 is above every length in the frame; so are an epoch and a partition of ListOffsets.
    let request = kafka_protocol::messages::CreateTopicsRequest::default().with_timeout_ms(i32::MAX);
    let (frame, body_at) = request_frame(2, &request);
    assert_eq!(decode_request(2, &frame[body_at..]), Ok(request));
}

#[test]
fn a_body_or_a_field_above_its_limit_is_refused() {
    let error = decode_request::<MetadataRequest>(1, &vec![0; BODY_BYTES_MAX + 1]).expect_err("too long");
    assert!(error.to_string().starts_with("Metadata version 1: a body of 8388609 bytes"), "{error}");

    for version in [3, 4] {
        let assignment = |bytes: usize| {
            let assignment = kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment::default()
                .with_assignment(vec![7; bytes].into());
            SyncGroupRequest::default().with_assignments(vec![assignment])
        };
        let (frame, body_at) = request_frame(version, &assignment(1 << 20));
        assert!(decode_request::<SyncGroupRequest>(version, &frame[body_at..]).is_ok());
        let (frame, body_at) = request_frame(version, &assignment((1 << 20) + 1));
        assert!(decode_request::<SyncGroupRequest>(version, &frame[body_at..]).is_err());
    }
}

#[test]
fn a_compact_string_is_no_longer_than_a_plain_one() {
    let request = |bytes: usize| {
        FindCoordinatorRequest::default().with_coordinator_keys(vec![StrBytes::from_string("x".repeat(bytes))])
    };
    let (frame, body_at) = request_frame(4, &request(STRING_BYTES_MAX));
    assert!(decode_request::<FindCoordinatorRequest>(4, &frame[body_at..]).is_ok());
    let (frame, body_at) = request_frame(4, &request(40_000));
    let error = decode_request::<FindCoordinatorRequest>(4, &frame[body_at..]).expect_err("too long");
    assert_eq!(error.reason, "a field of 40000 bytes, 32767 are allowed");
}

#[test]
fn replies_carry_the_header_of_their_version() {
    for version in 0..=13 {
        let broker = MetadataResponseBroker::default().with_node_id(BrokerId(1)).with_host(str_bytes("localhost"));
        let topic = MetadataResponseTopic::default().with_name(Some(topic_name("orders")));
        let response = MetadataResponse::default().with_brokers(vec![broker.with_port(9092)]).with_topics(vec![topic]);
        let frame = encode_response::<MetadataRequest>(version, CORRELATION_ID, &response).expect("encodes");
        let header_bytes = if version >= 9 { 5 } else { 4 };
        assert_eq!(frame[4..8], CORRELATION_ID.to_be_bytes());
        assert!(version < 9 || frame[4 + header_bytes - 1] == 0, "empty tagged fields");
        assert_eq!(read_reply::<MetadataRequest>(version, &frame), response);
    }
}

#[test]
fn list_offsets_11_has_the_schema_of_10() {
    let partition = ListOffsetsPartitionResponse::default().with_partition_index(3).with_offset(17);
    let topic = ListOffsetsTopicResponse::default().with_name(topic_name("orders")).with_partitions(vec![partition]);
    let response = ListOffsetsResponse::default().with_topics(vec![topic]);
    let newest = encode_response::<ListOffsetsRequest>(11, CORRELATION_ID, &response).expect("encodes");
    assert_eq!(newest, encode_response::<ListOffsetsRequest>(10, CORRELATION_ID, &response).expect("encodes"));
    assert_eq!(read_reply::<ListOffsetsRequest>(11, &newest), response);
    assert!(encode_response::<ListOffsetsRequest>(12, CORRELATION_ID, &response).is_err());
}

fn features() -> Features {
    let feature = |name, min, max| Feature { name, min, max };
    Features {
        supported: vec![feature("metadata.version", 7, 30), feature("transaction.version", 0, 2)],
        finalized: vec![feature("transaction.version", 2, 2)],
        finalized_epoch: 42,
    }
}

#[test]
fn api_versions_states_what_is_advertised() {
    for version in 0..=4 {
        let frame = api_versions::response(version, CORRELATION_ID, 5, &features()).expect("encodes");
        assert_eq!(frame[4..8], CORRELATION_ID.to_be_bytes());
        assert_eq!(frame[8..10], [0, 0], "the error code follows at once: header version 0 in every version");
        let reply = read_reply::<ApiVersionsRequest>(version, &frame);
        let stated: Vec<_> = reply.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
        let expected: Vec<_> = advertised().map(|api| (api.key.code(), api.stated_min(), api.max)).collect();
        assert_eq!(stated, expected);
        assert!(stated.contains(&(0, 0, 13)), "Produce from 0 (KAFKA-18659)");
        assert_eq!(reply.throttle_time_ms, if version >= 1 { 5 } else { 0 });
        let supported: Vec<_> = reply.supported_features.iter().map(|feature| feature.name.to_string()).collect();
        match version {
            4 => assert_eq!(supported, ["metadata.version", "transaction.version"]),
            3 => assert_eq!(supported, ["metadata.version"], "no level 0 before version 4 (KAFKA-17011)"),
            _ => assert!(supported.is_empty()),
        }
        if version >= 3 {
            assert_eq!(reply.finalized_features_epoch, 42);
            assert_eq!(reply.finalized_features[0].max_version_level, 2);
        }
    }
}

#[test]
fn api_versions_of_an_unknown_version_is_answered_in_version_0() {
    for version in [5, 99, i16::MAX, -1] {
        let frame = api_versions::response(version, CORRELATION_ID, 0, &features()).expect("encodes");
        let reply = read_reply::<ApiVersionsRequest>(0, &frame);
        assert_eq!(reply.error_code, ErrorCode::UnsupportedVersion.code());
        let [own] = &reply.api_keys[..] else { panic!("one range") };
        assert_eq!((own.api_key, own.min_version, own.max_version), (18, 0, 4));
    }
    let frame = api_versions::error_response(3, CORRELATION_ID, ErrorCode::InvalidRequest).expect("encodes");
    assert_eq!(read_reply::<ApiVersionsRequest>(3, &frame).error_code, ErrorCode::InvalidRequest.code());
}

#[test]
fn software_names_are_checked_as_kip_511_says() {
    for name in ["apache-kafka-java", "librdkafka", "2.6.0", "a", "v1-rc.2"] {
        assert!(api_versions::is_software_name(name), "{name}");
    }
    for name in ["", "-a", "a-", ".", "a b", "a_b", "größe"] {
        assert!(!api_versions::is_software_name(name), "{name}");
    }
}
