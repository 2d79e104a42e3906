//! The state machine of one partition of `__consumer_offsets`: which request goes where, and which record.

use super::config::GroupConfig;
use super::groups::Groups;
use super::history::Rebalance;
use super::membership::admin::Filter;
use super::offset_record::OffsetKey;
use super::offsets::Offsets;
use super::records::Key;
use super::request::MembershipReply;
use crate::base::time::Instant;
use crate::coordinator::machine::{Effects, Machine, ReplyTo, Situation, SnapshotRun, TransactionOf};
use crate::coordinator::record::version_of;
use crate::metadata::delta::Changes;
use crate::model::error_code::ClientError;
use crate::protocol::messages::consumer_group_describe_response;
use crate::protocol::messages::describe_groups_response::DescribedGroup;
use crate::protocol::messages::list_groups_response::ListedGroup;
use crate::protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use crate::protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use crate::protocol::messages::{
    ConsumerGroupHeartbeatRequest, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest,
    OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, SyncGroupRequest, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};

/// Who asks, as far as groups take notice.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// What the client calls itself.
    pub client_id: String,
    /// The address it connects from, as Kafka writes it: `/127.0.0.1`.
    pub client_host: String,
    /// The version of the API in which it asks.
    pub api_version: i16,
}

/// What a coordinator of groups is asked.
#[derive(Debug)]
pub enum Input {
    /// Commit offsets; topics are named.
    OffsetCommit(Caller, Box<OffsetCommitRequest>),
    /// Commit offsets in a transaction.
    TxnOffsetCommit(Caller, Box<TxnOffsetCommitRequest>),
    /// The offsets of one group, of named topics or of all.
    OffsetFetch {
        /// What is asked for.
        group: Box<OffsetFetchRequestGroup>,
        /// Whether offsets under a pending transaction are to be told as such (KIP-447).
        require_stable: bool,
    },
    /// Forget offsets (KIP-496).
    OffsetDelete(Box<OffsetDeleteRequest>),
    /// Join a group by the classic protocol.
    JoinGroup(Caller, Box<JoinGroupRequest>),
    /// Bring or get the assignment of the classic protocol.
    SyncGroup(Box<SyncGroupRequest>),
    /// Stay in, by the classic protocol.
    Heartbeat(Box<HeartbeatRequest>),
    /// Leave; the members are listed, in all versions.
    LeaveGroup(Box<LeaveGroupRequest>),
    /// Join, stay in or leave by the consumer protocol (KIP-848).
    ConsumerGroupHeartbeat(Caller, Box<ConsumerGroupHeartbeatRequest>),
    /// The groups that there are.
    ListGroups(Filter),
    /// Groups of the classic protocol, by their ids.
    DescribeGroups(Caller, Vec<String>),
    /// Groups of the consumer protocol, by their ids.
    ConsumerGroupDescribe(Vec<String>),
    /// Delete groups with their offsets.
    DeleteGroups(Vec<String>),
    /// Why a group rebalanced lately.
    Rebalances(String),
}

/// What it answers, for each request its own; an error is of the request as a whole.
#[derive(Debug)]
pub enum Reply {
    /// To [`Input::OffsetCommit`].
    OffsetCommit(Result<OffsetCommitResponse, ClientError>),
    /// To [`Input::TxnOffsetCommit`].
    TxnOffsetCommit(Result<TxnOffsetCommitResponse, ClientError>),
    /// To [`Input::OffsetFetch`].
    OffsetFetch(Result<OffsetFetchResponseGroup, ClientError>),
    /// To [`Input::OffsetDelete`].
    OffsetDelete(Result<OffsetDeleteResponse, ClientError>),
    /// To requests about membership.
    Membership(MembershipReply),
    /// To [`Input::ListGroups`].
    ListGroups(Vec<ListedGroup>),
    /// To [`Input::DescribeGroups`].
    DescribeGroups(Vec<DescribedGroup>),
    /// To [`Input::ConsumerGroupDescribe`].
    ConsumerGroupDescribe(Vec<consumer_group_describe_response::DescribedGroup>),
    /// To [`Input::DeleteGroups`], one result a group.
    DeleteGroups(Vec<Result<(), ClientError>>),
    /// To [`Input::Rebalances`]; none if there is no such group.
    Rebalances(Option<Vec<Rebalance>>),
}

/// Groups of one partition.
pub struct GroupMachine {
    /// What it follows.
    pub(super) config: GroupConfig,
    /// How far they have come.
    pub(super) offsets: Offsets,
    /// Who is in them.
    pub(super) groups: Groups,
}

/// Who wants to commit, for the group to decide whether it may.
#[derive(Clone, Copy, Debug)]
pub struct Committer<'a> {
    /// The group.
    pub group: &'a str,
    /// The member, empty for none.
    pub member: &'a str,
    /// Its static name, if it has one.
    pub instance: Option<&'a str>,
    /// The generation (or member epoch) that it knows, negative for none.
    pub generation: i32,
    /// Whether the commit is part of a transaction.
    pub in_transaction: bool,
    /// The version of the API in which it asks.
    pub api_version: i16,
}

impl GroupMachine {
    /// A machine without any group.
    pub fn new(config: GroupConfig) -> GroupMachine {
        let groups = Groups::new(config.membership.clone(), config.broker.clone());
        GroupMachine { config, offsets: Offsets::default(), groups }
    }

    /// All groups, those of which there are offsets alone included, with their states, and how many members each has.
    pub fn overview(&self) -> Vec<(ListedGroup, usize)> {
        let groups = self.list_groups(&Filter::default()).into_iter();
        groups
            .map(|listed| {
                let members = self.groups.members_of(&listed.group_id.0);
                (listed, members)
            })
            .collect()
    }

    /// The committed offsets.
    pub fn offsets(&self) -> &Offsets {
        &self.offsets
    }
}

/// The effects of a decision about membership as the machine's.
fn membership(effects: Effects<MembershipReply>) -> Effects<Reply> {
    let replies = effects.replies.into_iter().map(|(to, reply)| (to, Reply::Membership(reply))).collect();
    Effects { records: effects.records, transaction: effects.transaction, replies }
}

impl Machine for GroupMachine {
    type Input = Input;
    type Reply = Reply;

    fn decide(&mut self, situation: &Situation<'_>, input: Input, to: ReplyTo) -> Effects<Reply> {
        match input {
            Input::OffsetCommit(caller, request) => self.commit_offsets(situation, &caller, &request, to),
            Input::TxnOffsetCommit(caller, request) => {
                self.commit_offsets_in_transaction(situation, &caller, &request, to)
            }
            Input::OffsetFetch { group, require_stable } => {
                let fetched = self.fetch_offsets(&group, require_stable);
                Effects::reply(to, Reply::OffsetFetch(fetched))
            }
            Input::OffsetDelete(request) => self.delete_offsets(&request, to),
            Input::JoinGroup(caller, request) => membership(self.groups.join(situation, caller, &request, to)),
            Input::SyncGroup(request) => membership(self.groups.sync(situation, &request, to)),
            Input::Heartbeat(request) => membership(self.groups.heartbeat(situation, &request, to)),
            Input::LeaveGroup(request) => membership(self.groups.leave(situation, &request, to)),
            Input::ConsumerGroupHeartbeat(caller, request) => {
                membership(self.groups.consumer_heartbeat(situation, &caller, &request, to))
            }
            Input::ListGroups(filter) => Effects::reply(to, Reply::ListGroups(self.list_groups(&filter))),
            Input::DescribeGroups(caller, ids) => {
                Effects::reply(to, Reply::DescribeGroups(self.describe_groups(&ids, caller.api_version)))
            }
            Input::ConsumerGroupDescribe(ids) => {
                let groups = ids.iter().map(|id| self.groups.describe_consumer(situation, id)).collect();
                Effects::reply(to, Reply::ConsumerGroupDescribe(groups))
            }
            Input::DeleteGroups(ids) => self.delete_groups(&ids, to),
            Input::Rebalances(id) => Effects::reply(to, Reply::Rebalances(self.rebalances(&id))),
        }
    }

    fn replay(&mut self, key: &[u8], value: Option<&[u8]>, transaction: Option<TransactionOf>) -> Result<(), String> {
        match version_of(key) {
            Some(version) if OffsetKey::is_version(version) => self.offsets.replay(key, value, transaction),
            Some(version) if Key::is_known(version) => self.groups.replay(key, value),
            Some(version) => Err(format!("no record has keys of version {version}")),
            None => Err("a key without a version".to_owned()),
        }
    }

    fn replay_marker(&mut self, transaction: TransactionOf, committed: bool) {
        self.offsets.end_transaction(transaction.producer_id, committed);
    }

    fn loaded(&mut self, situation: &Situation<'_>) -> Effects<Reply> {
        self.offsets.schedule_expiry(situation.now + self.config.offsets_check_interval);
        self.offsets.schedule_sweep(situation.now);
        membership(self.groups.on_time(situation))
    }

    fn image_changed(&mut self, situation: &Situation<'_>, changes: &Changes) -> Effects<Reply> {
        if changes.broker_configs_changed(self.config.broker.id) {
            self.config = GroupConfig::of(situation.image, self.config.broker.clone());
            self.groups.settings = self.config.membership.clone();
        }
        let names_changed = !changes.created_topics.is_empty() || !changes.removed_topics.is_empty();
        if names_changed || !changes.created_partitions.is_empty() || !changes.removed_partitions.is_empty() {
            self.groups.topics_changed(names_changed);
        }
        let records = self.offsets.of_removed_topics(&changes.removed_topics);
        Effects { records, ..Effects::default() }
    }

    fn on_time(&mut self, situation: &Situation<'_>) -> Effects<Reply> {
        // Tombstones are a decision of their own: there may be any number of them.
        let mut records = Vec::new();
        if self.offsets.take_sweep(situation.now) {
            records = self.offsets.of_missing_topics(situation.image);
        } else if self.offsets.expiry_due().is_some_and(|due| due <= situation.now) {
            records = self.expired_offsets(situation.wall_ms);
            self.offsets.schedule_expiry(situation.now + self.config.offsets_check_interval);
        }
        if records.is_empty() {
            return membership(self.groups.on_time(situation));
        }
        Effects { records, ..Effects::default() }
    }

    fn next_deadline(&self) -> Option<Instant> {
        [self.offsets.next_deadline(), self.groups.next_deadline()].into_iter().flatten().min()
    }

    fn snapshot(&self) -> Vec<SnapshotRun> {
        let groups = SnapshotRun { transaction: None, records: self.groups.snapshot() };
        let runs = std::iter::once(groups).chain(self.offsets.snapshot());
        runs.filter(|run| !run.records.is_empty()).collect()
    }
}
