//! OffsetCommit and OffsetFetch with topic ids, against bytes written out by hand.

use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{GroupId, OffsetCommitResponse, OffsetFetchResponse};
use kafka_protocol::protocol::StrBytes;

use super::{CORRELATION_ID, Draw};
use crate::model::ids::Uuid;
use crate::protocol::offset_ids::{decode_commit, decode_fetch, encode_commit_response, encode_fetch_response};

const ID: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn commit() -> Vec<u8> {
    let mut bytes = vec![3, b'g', b'1', 0, 0, 0, 7, 2, b'm', 0];
    bytes.push(2);
    bytes.extend(ID);
    bytes.push(2);
    bytes.extend([0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 5, 3, b'h', b'i', 0]);
    bytes.extend([0, 0]);
    bytes
}

fn fetch() -> Vec<u8> {
    let mut bytes = vec![3, 2, b'g', 2, b'm', 0, 0, 0, 4, 2];
    bytes.extend(ID);
    bytes.extend([3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0]);
    // The second group asks for everything, and a tagged field follows that nobody knows.
    bytes.extend([2, b'h', 0, 255, 255, 255, 255, 0, 1, 9, 1, 0]);
    bytes.extend([1, 0]);
    bytes
}

#[test]
fn commits_are_read() {
    let request = decode_commit(&commit()).expect("a request");
    assert_eq!((&*request.group_id.0, request.generation_id_or_member_epoch, &*request.member_id), ("g1", 7, "m"));
    assert_eq!((request.group_instance_id, request.topics[0].topic_id), (None, Uuid::from_bytes(ID)));
    let partition = &request.topics[0].partitions[0];
    assert_eq!((partition.partition_index, partition.committed_offset), (3, 256));
    assert_eq!((partition.committed_leader_epoch, partition.committed_metadata.as_deref()), (5, Some("hi")));
}

#[test]
fn fetches_are_read() {
    let request = decode_fetch(&fetch()).expect("a request");
    assert!(request.require_stable);
    let (first, second) = (&request.groups[0], &request.groups[1]);
    assert_eq!((&*first.group_id.0, first.member_id.as_deref(), first.member_epoch), ("g", Some("m"), 4));
    let topics = first.topics.as_ref().expect("topics");
    assert_eq!((topics[0].topic_id, &topics[0].partition_indexes[..]), (Uuid::from_bytes(ID), &[1, 2][..]));
    assert_eq!((&*second.group_id.0, second.member_id.as_deref(), second.topics.as_ref()), ("h", None, None));
}

#[test]
fn requests_that_are_cut_or_damaged_are_refused_or_read() {
    for end in 0..commit().len() {
        assert!(decode_commit(&commit()[..end]).is_err(), "cut at {end}");
    }
    for end in 0..fetch().len() {
        assert!(decode_fetch(&fetch()[..end]).is_err(), "cut at {end}");
    }
    let mut draw = Draw::new(1);
    for _ in 0..5000 {
        let (mut commit, mut fetch) = (commit(), fetch());
        draw.damage(&mut commit);
        draw.damage(&mut fetch);
        let _ = (decode_commit(&commit), decode_fetch(&fetch));
    }
}

/// Size, correlation id, no tagged fields, no throttling.
fn head(body: usize) -> Vec<u8> {
    let mut bytes = (4 + 1 + 4 + body as i32).to_be_bytes().to_vec();
    bytes.extend(CORRELATION_ID.to_be_bytes());
    bytes.extend([0, 0, 0, 0, 0]);
    bytes
}

#[test]
fn replies_are_written() {
    let partition = OffsetCommitResponsePartition::default().with_partition_index(3).with_error_code(12);
    let topic =
        OffsetCommitResponseTopic::default().with_topic_id(Uuid::from_bytes(ID)).with_partitions(vec![partition]);
    let response = OffsetCommitResponse::default().with_topics(vec![topic]);
    let body = [&[2][..], &ID, &[2, 0, 0, 0, 3, 0, 12, 0, 0, 0]].concat();
    assert_eq!(encode_commit_response(CORRELATION_ID, &response), Ok([head(body.len()), body].concat()));

    let partition = OffsetFetchResponsePartitions::default()
        .with_partition_index(1)
        .with_committed_offset(258)
        .with_committed_leader_epoch(2)
        .with_metadata(Some(text("x")))
        .with_error_code(0);
    let topic =
        OffsetFetchResponseTopics::default().with_topic_id(Uuid::from_bytes(ID)).with_partitions(vec![partition]);
    let group = OffsetFetchResponseGroup::default().with_group_id(GroupId(text("g"))).with_topics(vec![topic]);
    let response = OffsetFetchResponse::default().with_groups(vec![group.with_error_code(14)]);
    let body = [
        &[2, 2, b'g', 2][..],
        &ID,
        &[2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 2, 2, b'x', 0, 0, 0],
        &[0, 0, 14, 0, 0],
    ]
    .concat();
    assert_eq!(encode_fetch_response(CORRELATION_ID, &response), Ok([head(body.len()), body].concat()));
}
