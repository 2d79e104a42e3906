//! OffsetFetch: how far groups have come, several of them in one request.

use std::collections::BTreeSet;

use crate::broker::broker::{find_topic, shown};
use crate::broker::coordinate::{self, Waiting};
use crate::broker::dispatch::{Origin, Request, encoded};
use crate::broker::reply::Outcome;
use crate::coordinator::group::machine::{Input, Reply};
use crate::metadata::controller::internal_topics::OFFSETS_TOPIC;
use crate::metadata::image::Image;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::TopicId;
use crate::protocol::StrBytes;
use crate::protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use crate::protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use crate::protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, TopicName};
use crate::protocol::offset_ids::{self, IDS_FROM};
use crate::protocol::topic::TopicRef;

/// The first version that asks for several groups (KIP-709).
const GROUPS_FROM: i16 = 8;
/// The first version with an error of the request as a whole.
const ERROR_FROM: i16 = 2;
/// Groups that one request may ask for.
const GROUPS_MAX: usize = 10_000;

/// A group under way: what was asked, what could not be asked, and the coordinator's answer.
struct Asked {
    wanted: OffsetFetchRequestGroup,
    unknown: Vec<OffsetFetchResponseTopics>,
    waiting: Result<Waiting<Reply>, ClientError>,
}

/// Answers with the committed offsets of each group.
pub async fn handle(request: Request) -> Outcome {
    let decoded = match request.origin.version {
        IDS_FROM.. => request.decode_by(offset_ids::decode_fetch),
        _ => request.decode::<OffsetFetchRequest>(),
    };
    let (origin, decoded) = match decoded {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let require_stable = decoded.require_stable;
    let wanted = if origin.version >= GROUPS_FROM { decoded.groups } else { vec![only_group(decoded)] };
    if wanted.len() > GROUPS_MAX {
        return Outcome::Close(format!("{} groups in one request, {GROUPS_MAX} are allowed: split it", wanted.len()));
    }
    let ready = coordinate::prepare(&origin.broker, OFFSETS_TOPIC).await;
    let image = origin.broker.image();
    // All are asked before any answer is awaited: their coordinators work side by side.
    let mut seen = BTreeSet::new();
    let asked: Vec<Asked> = wanted
        .into_iter()
        .map(|group| {
            let is_first = seen.insert(group.group_id.clone());
            let may_ask = if is_first { ready.clone() } else { Err(repeated(&group.group_id.0)) };
            ask(&origin, &image, group, require_stable, may_ask)
        })
        .collect();
    let mut groups = Vec::with_capacity(asked.len());
    for one in asked {
        groups.push(answered(&origin, &image, one).await);
    }
    let response = match groups.pop() {
        Some(only) if origin.version < GROUPS_FROM => as_only_group(only, origin.version),
        last => {
            groups.extend(last);
            OffsetFetchResponse::default().with_groups(groups)
        }
    };
    match origin.version {
        IDS_FROM.. => encoded(offset_ids::encode_fetch_response(origin.correlation_id, &response)),
        _ => origin.reply::<OffsetFetchRequest>(&response),
    }
}

/// Why a group is not answered for twice in one reply: its offsets may be a thousand times as large as its name.
fn repeated(group: &str) -> ClientError {
    let message = format!("group '{}' is named twice: name it once, with all its topics", shown(group));
    ClientError::new(ErrorCode::InvalidRequest, message)
}

/// The one group of earlier versions.
fn only_group(decoded: OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let topic = |topic: crate::protocol::messages::offset_fetch_request::OffsetFetchRequestTopic| {
        OffsetFetchRequestTopics::default().with_name(topic.name).with_partition_indexes(topic.partition_indexes)
    };
    let topics = decoded.topics.map(|topics| topics.into_iter().map(topic).collect());
    OffsetFetchRequestGroup::default().with_group_id(decoded.group_id).with_topics(topics)
}

fn ask(
    origin: &Origin,
    image: &Image,
    mut group: OffsetFetchRequestGroup,
    require_stable: bool,
    may_ask: Result<(), ClientError>,
) -> Asked {
    // An offset comes with up to 4 KiB of metadata: a partition is told once.
    let mut seen = BTreeSet::new();
    for topic in group.topics.iter_mut().flatten() {
        topic.partition_indexes.retain(|index| seen.insert((topic.name.clone(), topic.topic_id, *index)));
    }
    let mut unknown = Vec::new();
    if origin.version >= IDS_FROM
        && let Some(topics) = group.topics.take()
    {
        let (known, missing): (Vec<_>, Vec<_>) =
            topics.into_iter().map(|topic| named(image, topic)).partition(|(_, known)| *known);
        group.topics = Some(known.into_iter().map(|(topic, _)| topic).collect());
        unknown = missing.into_iter().map(|(topic, _)| unknown_id(&topic)).collect();
    }
    let wanted = group.clone();
    let waiting = may_ask.map(|()| {
        let id = group.group_id.0.clone();
        coordinate::group(&origin.broker, &id, Input::OffsetFetch { group: Box::new(group), require_stable })
    });
    Asked { wanted, unknown, waiting }
}

/// The topic with its name, if there is one with its id.
fn named(image: &Image, topic: OffsetFetchRequestTopics) -> (OffsetFetchRequestTopics, bool) {
    match find_topic(image, TopicRef::Id(topic.topic_id)) {
        Ok(found) => (topic.with_name(TopicName(super::text(found.name.to_string()))), true),
        Err(_) => (topic, false),
    }
}

fn unknown_id(topic: &OffsetFetchRequestTopics) -> OffsetFetchResponseTopics {
    let partition = |index: &i32| nothing(*index, ErrorCode::UnknownTopicId);
    OffsetFetchResponseTopics::default()
        .with_topic_id(topic.topic_id)
        .with_partitions(topic.partition_indexes.iter().map(partition).collect())
}

fn nothing(index: i32, code: ErrorCode) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions::default()
        .with_partition_index(index)
        .with_committed_offset(-1)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(StrBytes::default()))
        .with_error_code(code.code())
}

async fn answered(origin: &Origin, image: &Image, asked: Asked) -> OffsetFetchResponseGroup {
    let answer = match asked.waiting {
        Err(error) => Err(error),
        Ok(waiting) => match waiting.await {
            Ok(Reply::OffsetFetch(answer)) => answer,
            Ok(_) => unreachable!("each request has its own reply"),
            Err(error) => Err(error),
        },
    };
    match answer {
        Ok(group) if origin.version >= IDS_FROM => with_ids(image, group, asked.unknown),
        Ok(group) => group,
        Err(error) => {
            origin.refused(|| error.to_string());
            failed(&asked.wanted, error.code, origin.version)
        }
    }
}

/// Topics by their ids; what is no topic any more has no id to be told by.
fn with_ids(
    image: &Image,
    mut group: OffsetFetchResponseGroup,
    unknown: Vec<OffsetFetchResponseTopics>,
) -> OffsetFetchResponseGroup {
    let by_id = |mut topic: OffsetFetchResponseTopics| {
        let name = std::mem::take(&mut topic.name);
        if topic.topic_id.is_nil() {
            topic.topic_id = image.topic(&name.0).map_or(TopicId::nil(), |topic| topic.id);
        }
        (!topic.topic_id.is_nil()).then_some(topic)
    };
    group.topics = std::mem::take(&mut group.topics).into_iter().filter_map(by_id).chain(unknown).collect();
    group
}

/// A group whose coordinator did not answer. Version 1 has no place for the error but the partitions.
fn failed(wanted: &OffsetFetchRequestGroup, code: ErrorCode, version: i16) -> OffsetFetchResponseGroup {
    let group = OffsetFetchResponseGroup::default().with_group_id(wanted.group_id.clone()).with_error_code(code.code());
    if version >= ERROR_FROM {
        return group;
    }
    let topic = |topic: &OffsetFetchRequestTopics| {
        let partitions = topic.partition_indexes.iter().map(|index| nothing(*index, code)).collect();
        OffsetFetchResponseTopics::default().with_name(topic.name.clone()).with_partitions(partitions)
    };
    group.with_topics(wanted.topics.iter().flatten().map(topic).collect())
}

fn as_only_group(group: OffsetFetchResponseGroup, version: i16) -> OffsetFetchResponse {
    let partition = |partition: OffsetFetchResponsePartitions| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(partition.partition_index)
            .with_committed_offset(partition.committed_offset)
            .with_committed_leader_epoch(if version >= 5 { partition.committed_leader_epoch } else { -1 })
            .with_metadata(partition.metadata)
            .with_error_code(partition.error_code)
    };
    let topic = |topic: OffsetFetchResponseTopics| {
        let partitions = topic.partitions.into_iter().map(partition).collect();
        OffsetFetchResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    };
    OffsetFetchResponse::default()
        .with_topics(group.topics.into_iter().map(topic).collect())
        .with_error_code(if version >= ERROR_FROM { group.error_code } else { 0 })
}
