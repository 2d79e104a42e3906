//! Committed offsets, and those that wait for the end of a transaction.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::sync::Arc;

use super::groups::GROUPS_MAX;
use super::machine::{Caller, Committer, GroupMachine, Reply};
use super::membership::fencing::Expiry;
use super::offset_record::{CommittedOffset, OffsetKey};
use crate::base::time::Instant;
use crate::coordinator::machine::{
    CoordinatorRecord, DECISION_BYTES_MAX, Effects, ReplyTo, Situation, SnapshotRun, TransactionOf,
};
use crate::metadata::image::Image;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::{PartitionIndex, ProducerEpoch, ProducerId, TopicId};
use crate::model::offset::{NO_LEADER_EPOCH, Offset, Timestamp};
use crate::protocol::StrBytes;
use crate::protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use crate::protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use crate::protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use crate::protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use crate::protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use crate::protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, TopicName,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

/// "No offset" in replies.
const NO_OFFSET: Offset = -1;
/// "As long as the broker says" in OffsetCommit requests.
const DEFAULT_RETENTION: i64 = -1;
/// Bytes of records that one commit may make.
const COMMIT_BYTES_MAX: usize = DECISION_BYTES_MAX as usize - (64 << 10);
/// Offsets that one look for expired ones forgets at most, so that one decision stays one batch of bearable size.
const EXPIRED_PER_LOOK_MAX: usize = 10_000;

/// An offset with its place in the order of replay, by which a transaction's end is told from a later commit.
#[derive(Clone, Debug)]
struct Entry {
    committed: CommittedOffset,
    at: u64,
}

type ByPartition = BTreeMap<PartitionIndex, Entry>;
type ByTopic = BTreeMap<String, ByPartition>;
type ByGroup = BTreeMap<String, ByTopic>;

/// Offsets of an open transaction.
#[derive(Debug)]
struct Pending {
    producer_epoch: ProducerEpoch,
    groups: ByGroup,
}

/// The offsets of the groups of one partition.
#[derive(Default)]
pub struct Offsets {
    committed: ByGroup,
    /// Offsets of open transactions, by producer.
    pending: BTreeMap<ProducerId, Pending>,
    /// Records replayed so far.
    replayed: u64,
    expiry_due: Option<Instant>,
    /// When to look for offsets of topics that were deleted while nobody looked.
    sweep_due: Option<Instant>,
}

fn entry<'a>(groups: &'a ByGroup, key: &OffsetKey<'_>) -> Option<&'a Entry> {
    groups.get(key.group)?.get(key.topic)?.get(&key.partition)
}

/// Puts an offset in its place. One that is there already, to the millisecond, keeps its place in the order: it comes from a
/// snapshot that a crash has left behind the log which it stands for.
fn put(groups: &mut ByGroup, key: &OffsetKey<'_>, new: Entry) {
    // Looked up before it is named: most commits are of offsets that are there.
    if !groups.contains_key(key.group) {
        groups.insert(key.group.to_owned(), ByTopic::new());
    }
    let topics = groups.get_mut(key.group).expect("just made");
    if !topics.contains_key(key.topic) {
        topics.insert(key.topic.to_owned(), ByPartition::new());
    }
    match topics.get_mut(key.topic).expect("just made").entry(key.partition) {
        btree_map::Entry::Vacant(vacant) => {
            vacant.insert(new);
        }
        btree_map::Entry::Occupied(known) if known.get().committed == new.committed => {}
        btree_map::Entry::Occupied(mut known) => *known.get_mut() = new,
    }
}

fn remove(groups: &mut ByGroup, key: &OffsetKey<'_>) {
    let Some(topics) = groups.get_mut(key.group) else { return };
    let Some(partitions) = topics.get_mut(key.topic) else { return };
    partitions.remove(&key.partition);
    if partitions.is_empty() {
        topics.remove(key.topic);
    }
    if topics.is_empty() {
        groups.remove(key.group);
    }
}

/// All entries with their keys.
fn entries(groups: &ByGroup) -> impl Iterator<Item = (OffsetKey<'_>, &Entry)> {
    groups.iter().flat_map(|(group, topics)| {
        topics.iter().flat_map(move |(topic, partitions)| {
            partitions.iter().map(move |(partition, entry)| (OffsetKey { group, topic, partition: *partition }, entry))
        })
    })
}

impl Offsets {
    /// Takes in a record, pending if it is part of a transaction.
    ///
    /// # Errors
    /// What does not fit.
    pub fn replay(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        transaction: Option<TransactionOf>,
    ) -> Result<(), String> {
        let key = OffsetKey::decode(key)?;
        self.replayed += 1;
        let at = self.replayed;
        match (value, transaction) {
            (Some(value), None) => {
                let committed = CommittedOffset::decode(value)?;
                put(&mut self.committed, &key, Entry { committed, at });
            }
            (Some(value), Some(transaction)) => {
                let committed = CommittedOffset::decode(value)?;
                let TransactionOf { producer_id, producer_epoch } = transaction;
                let fresh = || Pending { producer_epoch, groups: ByGroup::new() };
                let pending = self.pending.entry(producer_id).or_insert_with(fresh);
                pending.producer_epoch = producer_epoch;
                put(&mut pending.groups, &key, Entry { committed, at });
            }
            (None, _) => {
                // A tombstone ends what is pending, too: the group or the topic is gone.
                remove(&mut self.committed, &key);
                for pending in self.pending.values_mut() {
                    remove(&mut pending.groups, &key);
                }
                self.pending.retain(|_, pending| !pending.groups.is_empty());
            }
        }
        Ok(())
    }

    /// Ends a producer's transaction: its offsets count from now on, or are forgotten.
    pub fn end_transaction(&mut self, producer: ProducerId, is_committed: bool) {
        let Some(pending) = self.pending.remove(&producer) else { return };
        if !is_committed {
            return;
        }
        for (key, pending) in entries(&pending.groups) {
            // A commit outside the transaction that came later stays.
            if entry(&self.committed, &key).is_none_or(|known| known.at < pending.at) {
                put(&mut self.committed, &key, pending.clone());
            }
        }
    }

    /// Whether a transaction is open that commits offsets of the group.
    pub fn has_pending_of(&self, group: &str) -> bool {
        self.pending.values().any(|pending| pending.groups.contains_key(group))
    }

    fn is_pending(&self, key: &OffsetKey<'_>) -> bool {
        self.pending.values().any(|pending| entry(&pending.groups, key).is_some())
    }

    /// The records of everything that is committed, and of what is pending, in the order in which they came where a transaction
    /// has a part in it: which of two commits of a partition counts depends on it.
    pub fn snapshot(&self) -> Vec<SnapshotRun> {
        let pending: Vec<(TransactionOf, OffsetKey<'_>, &Entry)> = self
            .pending
            .iter()
            .flat_map(|(producer_id, pending)| {
                let transaction = TransactionOf { producer_id: *producer_id, producer_epoch: pending.producer_epoch };
                entries(&pending.groups).map(move |(key, entry)| (transaction, key, entry))
            })
            .collect();
        let (mut in_order, mut rest) = (Vec::new(), Vec::new());
        let contended: BTreeSet<(&str, &str, PartitionIndex)> =
            pending.iter().map(|(_, key, _)| (key.group, key.topic, key.partition)).collect();
        for (key, entry) in entries(&self.committed) {
            if contended.contains(&(key.group, key.topic, key.partition)) {
                in_order.push((entry.at, None, key.commit(&entry.committed)));
            } else {
                rest.push(key.commit(&entry.committed));
            }
        }
        let open = pending
            .iter()
            .map(|(transaction, key, entry)| (entry.at, Some(*transaction), key.commit(&entry.committed)));
        in_order.extend(open);
        in_order.sort_by_key(|(at, ..)| *at);
        let mut runs = vec![SnapshotRun { transaction: None, records: rest }];
        for (_, transaction, record) in in_order {
            if runs.last().is_none_or(|last| last.transaction != transaction) {
                runs.push(SnapshotRun { transaction, records: Vec::new() });
            }
            runs.last_mut().expect("just made").records.push(record);
        }
        runs
    }

    /// Whether the group has offsets, committed or pending.
    pub fn has_group(&self, group: &str) -> bool {
        self.committed.contains_key(group) || self.pending.values().any(|pending| pending.groups.contains_key(group))
    }

    /// The groups that have committed offsets.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.committed.keys().map(String::as_str)
    }

    /// The committed offsets of a group: topic, partition, offset.
    pub fn of_group(&self, group: &str) -> impl Iterator<Item = (&str, PartitionIndex, &CommittedOffset)> {
        self.committed.get(group).into_iter().flatten().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(partition, entry)| (topic.as_str(), *partition, &entry.committed))
        })
    }

    /// The records that forget every offset of `group`.
    pub fn delete_group(&self, group: &str) -> Vec<CoordinatorRecord> {
        self.tombstones(|key, _| key.group == group)
    }

    /// When to look for expired offsets next.
    pub fn expiry_due(&self) -> Option<Instant> {
        self.expiry_due
    }

    /// When there is something to do next.
    pub fn next_deadline(&self) -> Option<Instant> {
        [self.expiry_due, self.sweep_due].into_iter().flatten().min()
    }

    /// Sets when to look for offsets of missing topics.
    pub fn schedule_sweep(&mut self, due: Instant) {
        self.sweep_due = Some(due);
    }

    /// Whether it is time to look for them; it is then not asked again.
    pub fn take_sweep(&mut self, now: Instant) -> bool {
        self.sweep_due.take_if(|due| *due <= now).is_some()
    }

    /// Sets when to look for expired offsets next.
    pub fn schedule_expiry(&mut self, due: Instant) {
        self.expiry_due = Some(due);
    }

    /// The records that forget the offsets of topics that are gone.
    pub fn of_removed_topics(&self, removed: &BTreeMap<TopicId, Arc<str>>) -> Vec<CoordinatorRecord> {
        if removed.is_empty() {
            return Vec::new();
        }
        let names: BTreeSet<&str> = removed.values().map(|name| &**name).collect();
        self.tombstones(|key, _| names.contains(key.topic))
    }

    /// The records that forget the offsets of topics that were deleted while nobody looked; another one may have the name now.
    pub fn of_missing_topics(&self, image: &Image) -> Vec<CoordinatorRecord> {
        self.tombstones(|key, committed| {
            let is_another = |id: TopicId| !committed.topic_id.is_nil() && committed.topic_id != id;
            image.topic(key.topic).is_none_or(|topic| is_another(topic.id))
        })
    }

    fn tombstones(&self, wanted: impl Fn(&OffsetKey<'_>, &CommittedOffset) -> bool) -> Vec<CoordinatorRecord> {
        let pending = self.pending.values().flat_map(|pending| entries(&pending.groups));
        let all = entries(&self.committed).chain(pending).filter(|(key, entry)| wanted(key, &entry.committed));
        let mut records: Vec<CoordinatorRecord> = all.map(|(key, _)| key.tombstone()).collect();
        records.sort_by(|left, right| left.key.cmp(&right.key));
        records.dedup();
        records
    }

    /// Answers with the offsets of one group.
    pub fn fetch(&self, wanted: &OffsetFetchRequestGroup, require_stable: bool) -> OffsetFetchResponseGroup {
        let group = &*wanted.group_id.0;
        let topics = match &wanted.topics {
            Some(topics) => topics
                .iter()
                .map(|topic| {
                    let partitions = topic.partition_indexes.iter();
                    let told = partitions.map(|partition| {
                        let key = OffsetKey { group, topic: &topic.name.0, partition: *partition };
                        self.told(&key, topic.topic_id, require_stable)
                    });
                    (topic.name.clone(), topic.topic_id, told.collect())
                })
                .collect(),
            None => self.all_of(group, require_stable),
        };
        let topic = |(name, id, partitions)| {
            OffsetFetchResponseTopics::default().with_name(name).with_topic_id(id).with_partitions(partitions)
        };
        OffsetFetchResponseGroup::default()
            .with_group_id(wanted.group_id.clone())
            .with_topics(topics.into_iter().map(topic).collect())
    }

    fn all_of(
        &self,
        group: &str,
        require_stable: bool,
    ) -> Vec<(TopicName, TopicId, Vec<OffsetFetchResponsePartitions>)> {
        let topics = self.committed.get(group).into_iter().flatten();
        topics
            .map(|(topic, partitions)| {
                let key = |partition: &PartitionIndex| OffsetKey { group, topic, partition: *partition };
                let told = partitions
                    .keys()
                    .map(|partition| self.told(&key(partition), TopicId::nil(), require_stable))
                    .collect();
                (TopicName(StrBytes::from_string(topic.clone())), TopicId::nil(), told)
            })
            .collect()
    }

    /// The offset of a partition; of the topic with this very id, where one is given.
    fn told(&self, key: &OffsetKey<'_>, id: TopicId, require_stable: bool) -> OffsetFetchResponsePartitions {
        let none = OffsetFetchResponsePartitions::default()
            .with_partition_index(key.partition)
            .with_committed_offset(NO_OFFSET)
            .with_committed_leader_epoch(NO_LEADER_EPOCH)
            .with_metadata(Some(StrBytes::default()));
        if require_stable && self.is_pending(key) {
            return none.with_error_code(ErrorCode::UnstableOffsetCommit.code());
        }
        let of_this_topic = |entry: &&Entry| {
            let committed = entry.committed.topic_id;
            committed.is_nil() || id.is_nil() || committed == id
        };
        match entry(&self.committed, key).filter(of_this_topic) {
            None => none,
            Some(Entry { committed, .. }) => none
                .with_committed_offset(committed.offset)
                .with_committed_leader_epoch(committed.leader_epoch)
                .with_metadata(Some(StrBytes::from_string(committed.metadata.to_string()))),
        }
    }
}

/// A partition of a commit, whichever API it came by.
struct Commit<'a> {
    topic: &'a str,
    partition: PartitionIndex,
    offset: Offset,
    leader_epoch: i32,
    metadata: Option<&'a str>,
}

/// What all commits of one request share.
struct Commits<'a> {
    group: &'a str,
    image: &'a Image,
    wall_ms: Timestamp,
    expire_ms: Option<Timestamp>,
    metadata_bytes_max: usize,
    records: Vec<CoordinatorRecord>,
    bytes: usize,
}

impl Commits<'_> {
    /// Refuses more than one decision may write: each record repeats the names, so a request of a few megabytes can make hundreds.
    fn check_size(&self) -> Result<(), ClientError> {
        if self.bytes <= COMMIT_BYTES_MAX {
            return Ok(());
        }
        let message = format!(
            "the offsets of group '{}' take {} bytes of records, {COMMIT_BYTES_MAX} are allowed: commit fewer at a time",
            self.group, self.bytes
        );
        Err(ClientError::new(ErrorCode::InvalidCommitOffsetSize, message))
    }

    /// Adds the record of one commit, unless it is refused.
    fn add(&mut self, commit: &Commit<'_>) -> ErrorCode {
        let metadata = commit.metadata.unwrap_or_default();
        // Kafka counts Java's characters and calls them bytes.
        if metadata.encode_utf16().count() > self.metadata_bytes_max {
            return ErrorCode::OffsetMetadataTooLarge;
        }
        let Some(found) = self.image.topic(commit.topic).filter(|found| found.partition(commit.partition).is_some())
        else {
            // An offset without its partition would be there for whatever is given the name next.
            return ErrorCode::UnknownTopicOrPartition;
        };
        let committed = CommittedOffset {
            offset: commit.offset,
            leader_epoch: commit.leader_epoch,
            metadata: metadata.into(),
            commit_ms: self.wall_ms,
            expire_ms: self.expire_ms,
            topic_id: found.id,
        };
        if self.bytes > COMMIT_BYTES_MAX {
            // It will be refused as a whole.
            return ErrorCode::InvalidCommitOffsetSize;
        }
        let record =
            OffsetKey { group: self.group, topic: commit.topic, partition: commit.partition }.commit(&committed);
        self.bytes += record.bytes();
        self.records.push(record);
        ErrorCode::None
    }
}

impl GroupMachine {
    fn commits<'a>(&self, situation: &'a Situation<'_>, group: &'a str, retention_ms: i64) -> Commits<'a> {
        Commits {
            group,
            image: situation.image,
            wall_ms: situation.wall_ms,
            expire_ms: (retention_ms != DEFAULT_RETENTION).then(|| situation.wall_ms.saturating_add(retention_ms)),
            metadata_bytes_max: self.config.offset_metadata_bytes_max,
            records: Vec::new(),
            bytes: 0,
        }
    }

    pub(super) fn commit_offsets(
        &mut self,
        situation: &Situation<'_>,
        caller: &Caller,
        request: &OffsetCommitRequest,
        to: ReplyTo,
    ) -> Effects<Reply> {
        let committer = Committer {
            group: &request.group_id.0,
            member: &request.member_id,
            instance: request.group_instance_id.as_deref(),
            generation: request.generation_id_or_member_epoch,
            in_transaction: false,
            api_version: caller.api_version,
        };
        let commits = request.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|partition| Commit {
                topic: &topic.name.0,
                partition: partition.partition_index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: partition.committed_metadata.as_deref(),
            })
        });
        let (records, mut codes) = match self.records_of(situation, &committer, request.retention_time_ms, commits) {
            Ok((records, codes)) => (records, codes.into_iter()),
            Err(error) => return Effects::reply(to, Reply::OffsetCommit(Err(error))),
        };
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().zip(&mut codes).map(|(partition, code)| {
                OffsetCommitResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(code.code())
            });
            let partitions = partitions.collect();
            OffsetCommitResponseTopic::default()
                .with_name(topic.name.clone())
                .with_topic_id(topic.topic_id)
                .with_partitions(partitions)
        });
        let response = OffsetCommitResponse::default().with_topics(topics.collect());
        Effects { records, transaction: None, replies: vec![(to, Reply::OffsetCommit(Ok(response)))] }
    }

    pub(super) fn commit_offsets_in_transaction(
        &mut self,
        situation: &Situation<'_>,
        caller: &Caller,
        request: &TxnOffsetCommitRequest,
        to: ReplyTo,
    ) -> Effects<Reply> {
        let committer = Committer {
            group: &request.group_id.0,
            member: &request.member_id,
            instance: request.group_instance_id.as_deref(),
            generation: request.generation_id,
            in_transaction: true,
            api_version: caller.api_version,
        };
        let commits = request.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|partition| Commit {
                topic: &topic.name.0,
                partition: partition.partition_index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: partition.committed_metadata.as_deref(),
            })
        });
        let (records, mut codes) = match self.records_of(situation, &committer, DEFAULT_RETENTION, commits) {
            Ok((records, codes)) => (records, codes.into_iter()),
            Err(error) => return Effects::reply(to, Reply::TxnOffsetCommit(Err(in_transaction(error)))),
        };
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().zip(&mut codes).map(|(partition, code)| {
                TxnOffsetCommitResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(code.code())
            });
            let partitions = partitions.collect();
            TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
        });
        let response = TxnOffsetCommitResponse::default().with_topics(topics.collect());
        let transaction = TransactionOf { producer_id: request.producer_id.0, producer_epoch: request.producer_epoch };
        Effects { records, transaction: Some(transaction), replies: vec![(to, Reply::TxnOffsetCommit(Ok(response)))] }
    }

    /// The records of the commits of a request, whichever API it came by, and what each is answered.
    ///
    /// # Errors
    /// Why all of them are refused.
    fn records_of<'a>(
        &mut self,
        situation: &Situation<'_>,
        committer: &Committer<'_>,
        retention_ms: i64,
        commits: impl Iterator<Item = Commit<'a>> + Clone,
    ) -> Result<(Vec<CoordinatorRecord>, Vec<ErrorCode>), ClientError> {
        self.check_commit(situation, committer, commits.clone().map(|commit| (commit.topic, commit.partition)))?;
        let mut written = self.commits(situation, committer.group, retention_ms);
        let codes = commits.map(|commit| written.add(&commit)).collect();
        written.check_size()?;
        Ok((written.records, codes))
    }

    pub(super) fn delete_offsets(&self, request: &OffsetDeleteRequest, to: ReplyTo) -> Effects<Reply> {
        let group = &*request.group_id.0;
        if !self.offsets.has_group(group) && self.groups.get(group).is_none() {
            let message = format!("there is no group '{group}'");
            let error = ClientError::new(ErrorCode::GroupIdNotFound, message);
            return Effects::reply(to, Reply::OffsetDelete(Err(error)));
        }
        if let Err(error) = self.groups.check_offset_delete(group) {
            return Effects::reply(to, Reply::OffsetDelete(Err(error)));
        }
        let mut records = Vec::new();
        // A partition may be named again and again, and each record repeats the group's name.
        let mut seen = BTreeSet::new();
        let topics = request.topics.iter().map(|topic| {
            let is_in_use = self.groups.is_subscribed_to(group, &topic.name);
            let partitions = topic.partitions.iter().map(|partition| {
                let key = OffsetKey { group, topic: &topic.name.0, partition: partition.partition_index };
                if is_in_use {
                    return OffsetDeleteResponsePartition::default()
                        .with_partition_index(partition.partition_index)
                        .with_error_code(ErrorCode::GroupSubscribedToTopic.code());
                }
                let is_there = entry(&self.offsets.committed, &key).is_some() || self.offsets.is_pending(&key);
                if is_there && seen.insert((key.topic, key.partition)) {
                    records.push(key.tombstone());
                }
                OffsetDeleteResponsePartition::default().with_partition_index(partition.partition_index)
            });
            let partitions = partitions.collect();
            OffsetDeleteResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
        });
        let response = OffsetDeleteResponse::default().with_topics(topics.collect());
        Effects { records, transaction: None, replies: vec![(to, Reply::OffsetDelete(Ok(response)))] }
    }

    /// The group's offsets, for a member only in its present epoch (KIP-848).
    pub(super) fn fetch_offsets(
        &self,
        wanted: &OffsetFetchRequestGroup,
        require_stable: bool,
    ) -> Result<OffsetFetchResponseGroup, ClientError> {
        let member = wanted.member_id.as_ref().map(|id| id.as_str());
        self.groups.check_fetch(&wanted.group_id, member, wanted.member_epoch)?;
        Ok(self.offsets.fetch(wanted, require_stable))
    }

    /// Whether the group lets `committer` commit the offsets of `partitions`, given by the names of their topics.
    fn check_commit<'a>(
        &mut self,
        situation: &Situation<'_>,
        committer: &Committer<'_>,
        mut partitions: impl Iterator<Item = (&'a str, PartitionIndex)>,
    ) -> Result<(), ClientError> {
        let right = self.groups.check_commit(situation, committer)?;
        let is_known = self.groups.get(committer.group).is_some() || self.offsets.has_group(committer.group);
        if !is_known && self.offsets.committed.len().max(self.groups.len()) >= GROUPS_MAX {
            let message = format!("the coordinator has {GROUPS_MAX} groups: delete some that are not used");
            return Err(ClientError::new(ErrorCode::PolicyViolation, message));
        }
        partitions.try_for_each(|(topic, index)| {
            let topic = situation.image.topic(topic).map_or(TopicId::nil(), |topic| topic.id);
            right.check(topic, index)
        })
    }

    /// The records that forget what has expired (KIP-211): offsets of topics that nobody in the group subscribes to,
    /// `offsets.retention.minutes` after their commit or after the group was left empty, or when the client said. A group without members
    /// goes with its last offset.
    pub(super) fn expired_offsets(&self, wall_ms: Timestamp) -> Vec<CoordinatorRecord> {
        let mut records = Vec::new();
        let ids: BTreeSet<&str> = self.offsets.groups().chain(self.groups.iter().map(|(id, _)| &**id)).collect();
        for group in ids {
            if records.len() >= EXPIRED_PER_LOOK_MAX {
                break;
            }
            let room = EXPIRED_PER_LOOK_MAX - records.len();
            let all_go = self.expire_group(group, wall_ms, room, &mut records);
            if all_go && self.groups.is_without_members(group) {
                records.extend(self.groups.tombstones(group));
            }
        }
        records
    }

    /// Adds the tombstones of a group's expired offsets, `room` at most; whether nothing is left of them.
    fn expire_group(&self, group: &str, wall_ms: Timestamp, room: usize, records: &mut Vec<CoordinatorRecord>) -> bool {
        let base = match self.groups.expiry(group) {
            Expiry::Never => return false,
            Expiry::FromCommit => Timestamp::MIN,
            Expiry::Since(since) => since,
        };
        let is_expired = |committed: &CommittedOffset| match committed.expire_ms {
            Some(expire_ms) => wall_ms >= expire_ms,
            None => wall_ms.saturating_sub(committed.commit_ms.max(base)) >= self.config.offsets_retention_ms,
        };
        let (mut all_go, mut count) = (!self.offsets.has_pending_of(group), 0);
        for (topic, partition, committed) in self.offsets.of_group(group) {
            let key = OffsetKey { group, topic, partition };
            let is_kept = self.offsets.is_pending(&key) || self.groups.is_subscribed_to(group, topic);
            if is_kept || count == room || !is_expired(committed) {
                all_go = false;
                continue;
            }
            count += 1;
            records.push(key.tombstone());
        }
        all_go
    }
}

/// A transaction's offsets are refused in the words that producers know.
fn in_transaction(error: ClientError) -> ClientError {
    match error.code {
        ErrorCode::StaleMemberEpoch => ClientError::new(ErrorCode::IllegalGeneration, error.message),
        _ => error,
    }
}
