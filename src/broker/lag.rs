//! How far groups are behind, as this broker knows it: each committed offset held against the end of its partition, in
//! records and in time.

use std::cell::RefCell;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::broker::Broker;
use super::handlers::produce::not_open;
use super::message::{Answer, Ask, LagQuestion};
use super::scatter::Scatter;
use crate::base::map::Map;
use crate::coordinator::group::offset_record::CommittedOffset;
use crate::metadata::image::Image;
use crate::model::error_code::ClientError;
use crate::model::ids::{PartitionId, ReactorId};
use crate::model::offset::{Offset, Timestamp};
use crate::protocol::topic::TopicRef;
use crate::shard::Behind;

/// The socket's name in the data directory. It takes `list AFTER`, for the groups whose ids come after that one, or `describe
/// GROUP`, and answers with a [`Page`].
pub const LAG_SOCKET: &str = "lag.sock";

/// Groups and committed offsets that one reactor tells of at a time; a group with more comes alone.
const PAGE_MAX: usize = 5_000;

/// Groups with their lag, in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Why there is no answer; none if there is one.
    pub error: Option<String>,
    /// The groups.
    pub groups: Vec<GroupLag>,
    /// Whether more come after the last one.
    pub more: bool,
}

/// Which groups are wanted.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// A page of those whose ids come after this.
    After(String),
    /// One.
    One(String),
}

/// A group with its lag.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupLag {
    /// The group's id.
    pub group: String,
    /// Its state, in Kafka's words.
    pub state: String,
    /// Its type: `classic` or `consumer`.
    #[serde(rename = "type")]
    pub kind: String,
    /// How many members it has.
    pub members: usize,
    /// Records it is behind in all partitions together.
    pub records: i64,
    /// The most that it is behind in one partition, in milliseconds.
    pub ms: i64,
    /// Partition by partition.
    pub partitions: Vec<PartitionLag>,
}

/// A partition of a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartitionLag {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The committed offset.
    pub offset: Offset,
    /// The high watermark, if the partition can be asked.
    pub end: Option<Offset>,
    /// Records in between.
    pub records: Option<i64>,
    /// How long ago the oldest record that is not read yet was written, in milliseconds; 0 when there is none.
    pub ms: Option<i64>,
    /// How long ago the offset was committed, in milliseconds.
    pub committed_ago_ms: i64,
}

/// What one reactor tells of its groups.
#[derive(Clone, Debug, Default)]
pub struct OffsetsPart {
    /// Groups, in the order of their ids.
    pub groups: Vec<GroupOffsets>,
    /// Whether it has more, after these.
    pub more: bool,
}

/// The committed offsets of a group.
#[derive(Clone, Debug)]
pub struct GroupOffsets {
    /// The group's id.
    pub group: String,
    /// Its state.
    pub state: String,
    /// Its type.
    pub kind: String,
    /// How many members it has.
    pub members: usize,
    /// What it has committed.
    pub offsets: Vec<GroupOffset>,
}

/// A committed offset.
#[derive(Clone, Debug)]
pub struct GroupOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: Offset,
    /// When it was committed.
    pub commit_ms: Timestamp,
}

/// The times of the batches at offsets that were asked for last: a group that stands still costs no read.
#[derive(Default)]
pub struct Times(RefCell<Map<PartitionId, Vec<(Offset, Timestamp)>>>);

/// Offsets of one partition whose times are remembered.
const TIMES_PER_PARTITION_MAX: usize = 100;

impl Times {
    fn find(&self, question: &LagQuestion) -> Option<Timestamp> {
        let times = self.0.borrow();
        times.get(&question.partition)?.iter().find(|(offset, _)| *offset == question.offset).map(|(_, time)| *time)
    }

    fn note(&self, question: &LagQuestion, time: Timestamp) {
        let mut times = self.0.borrow_mut();
        let of_partition = times.entry(question.partition).or_default();
        if of_partition.len() >= TIMES_PER_PARTITION_MAX {
            of_partition.remove(0);
        }
        of_partition.push((question.offset, time));
    }

    /// Forgets a partition that is gone.
    pub fn removed(&self, partition: PartitionId) {
        self.0.borrow_mut().remove(&partition);
    }
}

/// Answers a line of [`LAG_SOCKET`].
pub async fn answer_line(broker: Rc<Broker>, line: String) -> Page {
    let failed = |error| Page { error: Some(error), ..Page::default() };
    match line.split_once(' ') {
        Some(("list", after)) => page(&broker, Wanted::After(after.to_owned())).await,
        Some(("describe", group)) => {
            let found = page(&broker, Wanted::One(group.to_owned())).await;
            let missing = || failed(format!("there is no group '{group}', or its coordinator is still loading"));
            if found.groups.is_empty() { missing() } else { found }
        }
        _ => failed("ask for 'list AFTER' or 'describe GROUP'".to_owned()),
    }
}

/// Groups that are wanted, with their lag.
pub async fn page(broker: &Rc<Broker>, wanted: Wanted) -> Page {
    let others = (0..broker.reactors() as ReactorId).filter(|reactor| *reactor != broker.io.reactor_id());
    let calls: Vec<_> = others.map(|reactor| broker.ask(reactor, Ask::GroupOffsets(wanted.clone()))).collect();
    let mut parts = vec![offsets_here(broker, &wanted)];
    for call in calls {
        match call.await {
            Answer::GroupOffsets(there) => parts.push(there),
            _ => unreachable!("a question for groups is answered with groups"),
        }
    }
    let (groups, more) = merged(parts);
    let image = broker.image();
    let mut scatter = Scatter::default();
    for one in groups.iter().flat_map(|group| &group.offsets) {
        scatter.push(route(broker, &image, one));
    }
    let mut answers = scatter.gather(broker, Ask::Lag, answer, behind_here).await.into_iter();
    let wall_ms = broker.io.wall_ms();
    let with_lag = |group: GroupOffsets| {
        let GroupOffsets { group, state, kind, members, offsets } = group;
        let partitions = offsets.into_iter().zip(&mut answers);
        let partitions = partitions.map(|(offset, behind)| PartitionLag::of(offset, behind.ok(), wall_ms)).collect();
        GroupLag { group, state, kind, members, ..GroupLag::of(partitions) }
    };
    Page { error: None, groups: groups.into_iter().map(with_lag).collect(), more }
}

/// What the reactors told, in order. A reactor that has more may have some that come before the last of another one: all end
/// where the first of them does.
fn merged(parts: Vec<OffsetsPart>) -> (Vec<GroupOffsets>, bool) {
    let ends = parts.iter().filter(|part| part.more).map(|part| part.groups.last().map(|last| last.group.clone()));
    let end = ends.min();
    let mut groups: Vec<_> = parts.into_iter().flat_map(|part| part.groups).collect();
    groups.sort_by(|left, right| left.group.cmp(&right.group));
    if let Some(end) = &end {
        groups.retain(|group| Some(&group.group) <= end.as_ref());
    }
    (groups, end.is_some())
}

fn route(broker: &Broker, image: &Image, offset: &GroupOffset) -> Result<(ReactorId, LagQuestion), ClientError> {
    let route = broker.route(image, TopicRef::Name(&offset.topic), offset.partition);
    let route = route.map_err(|unreachable| unreachable.error)?;
    Ok((route.reactor, LagQuestion { partition: route.partition, offset: offset.offset }))
}

fn answer(answer: Answer) -> Vec<Result<Behind, ClientError>> {
    match answer {
        Answer::Lag(lag) => lag,
        _ => unreachable!("a question for lag is answered with lag"),
    }
}

/// What the coordinators of this reactor know of the groups that are wanted: whole groups, in the order of their ids.
pub fn offsets_here(broker: &Broker, wanted: &Wanted) -> OffsetsPart {
    let is_wanted = |group: &str| match wanted {
        Wanted::After(after) => group > after.as_str(),
        Wanted::One(one) => group == one,
    };
    let coordinators: Vec<_> = broker.coordinators.groups().into_iter().map(|(_, one)| one).collect();
    let mut found: Vec<_> = Vec::new();
    for (place, coordinator) in coordinators.iter().enumerate() {
        let here = coordinator.peek(|machine| machine.overview()).unwrap_or_default().into_iter();
        found.extend(
            here.filter(|(listed, _)| is_wanted(&listed.group_id.0)).map(|(listed, members)| (place, listed, members)),
        );
    }
    found.sort_by(|(_, left, _), (_, right, _)| left.group_id.0.cmp(&right.group_id.0));
    let (mut part, mut told, count) = (OffsetsPart::default(), 0, found.len());
    for (place, listed, members) in found {
        let group = listed.group_id.0.to_string();
        let offset = |(topic, partition, committed): (&str, i32, &CommittedOffset)| GroupOffset {
            topic: topic.to_owned(),
            partition,
            offset: committed.offset,
            commit_ms: committed.commit_ms,
        };
        let offsets =
            coordinators[place].peek(|machine| machine.offsets().of_group(&group).map(offset).collect::<Vec<_>>());
        let offsets = offsets.unwrap_or_default();
        told += 1 + offsets.len();
        if told > PAGE_MAX && !part.groups.is_empty() {
            break;
        }
        let (state, kind) = (listed.group_state.to_string(), listed.group_type.to_string());
        part.groups.push(GroupOffsets { group, state, kind, members, offsets });
    }
    part.more = part.groups.len() < count;
    part
}

/// Answers questions about partitions that are hosted here.
pub async fn behind_here(broker: &Broker, questions: Vec<LagQuestion>) -> Vec<Result<Behind, ClientError>> {
    let mut answers = Vec::with_capacity(questions.len());
    for question in questions {
        answers.push(behind(broker, question).await);
    }
    answers
}

async fn behind(broker: &Broker, question: LagQuestion) -> Result<Behind, ClientError> {
    let shard = broker.shards.get(question.partition).ok_or_else(|| not_open(question.partition))?;
    let (offsets, known) = (shard.offsets(), broker.lag_times.find(&question));
    if let Some(since) = known.filter(|_| question.offset >= offsets.log_start) {
        let end = offsets.high_watermark;
        return Ok(Behind { end, records: end.saturating_sub(question.offset).max(0), since: Some(since) });
    }
    let behind = shard.behind(question.offset).await?;
    if let Some(since) = behind.since.filter(|_| question.offset >= offsets.log_start) {
        broker.lag_times.note(&question, since);
    }
    Ok(behind)
}

impl GroupLag {
    /// The sums over its partitions.
    fn of(partitions: Vec<PartitionLag>) -> GroupLag {
        GroupLag {
            records: partitions.iter().filter_map(|one| one.records).sum(),
            ms: partitions.iter().filter_map(|one| one.ms).max().unwrap_or(0),
            partitions,
            ..GroupLag::default()
        }
    }
}

impl PartitionLag {
    fn of(offset: GroupOffset, behind: Option<Behind>, wall_ms: Timestamp) -> PartitionLag {
        let ago = |time: Timestamp| wall_ms.saturating_sub(time).max(0);
        let ms = behind.and_then(|behind| match behind.since {
            Some(since) => Some(ago(since)),
            None => (behind.records == 0).then_some(0),
        });
        PartitionLag {
            topic: offset.topic,
            partition: offset.partition,
            offset: offset.offset,
            end: behind.map(|behind| behind.end),
            records: behind.map(|behind| behind.records),
            ms,
            committed_ago_ms: ago(offset.commit_ms),
        }
    }
}
