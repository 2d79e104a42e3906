//! The state machine of one partition of `__consumer_offsets`: which request goes where, and which record.

use super::config::GroupConfig;
use super::offset_record::OffsetKey;
use super::offsets::Offsets;
use crate::base::time::Instant;
use crate::coordinator::machine::{CoordinatorRecord, Effects, Machine, ReplyTo, Situation, TransactionOf};
use crate::coordinator::record::version_of;
use crate::metadata::delta::Changes;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use crate::protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use crate::protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, TxnOffsetCommitRequest,
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
}

/// Groups of one partition.
pub struct GroupMachine {
    /// What it follows.
    pub(super) config: GroupConfig,
    /// How far they have come.
    pub(super) offsets: Offsets,
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

/// The first version of OffsetCommit that says when there is no such group (KIP-848).
const GROUP_NOT_FOUND_FROM: i16 = 9;

impl GroupMachine {
    /// A machine without any group.
    pub fn new(config: GroupConfig) -> GroupMachine {
        GroupMachine { config, offsets: Offsets::default() }
    }

    /// The committed offsets.
    pub fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// Whether the group lets `committer` commit. A group that does not exist takes commits from those who are no members.
    pub(super) fn check_commit(&self, committer: &Committer<'_>) -> Result<(), ClientError> {
        if committer.generation < 0 {
            return Ok(());
        }
        let code = if committer.api_version >= GROUP_NOT_FOUND_FROM && !committer.in_transaction {
            ErrorCode::GroupIdNotFound
        } else {
            ErrorCode::IllegalGeneration
        };
        Err(ClientError::new(code, format!("there is no group '{}': join it before you commit", committer.group)))
    }
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
                Effects::reply(to, Reply::OffsetFetch(Ok(self.offsets.fetch(&group, require_stable))))
            }
            Input::OffsetDelete(request) => self.delete_offsets(&request, to),
        }
    }

    fn replay(&mut self, key: &[u8], value: Option<&[u8]>, transaction: Option<TransactionOf>) -> Result<(), String> {
        match version_of(key) {
            Some(version) if OffsetKey::is_version(version) => self.offsets.replay(key, value, transaction),
            Some(version) => Err(format!("no record has keys of version {version}")),
            None => Err("a key without a version".to_owned()),
        }
    }

    fn replay_marker(&mut self, transaction: TransactionOf, committed: bool) {
        self.offsets.end_transaction(transaction.producer_id, committed);
    }

    fn loaded(&mut self, situation: &Situation<'_>) -> Effects<Reply> {
        self.offsets.schedule_expiry(situation.now + self.config.offsets_check_interval);
        let records = self.offsets.of_missing_topics(situation.image);
        Effects { records, ..Effects::default() }
    }

    fn image_changed(&mut self, _situation: &Situation<'_>, changes: &Changes) -> Effects<Reply> {
        let records = self.offsets.of_removed_topics(&changes.removed_topics);
        Effects { records, ..Effects::default() }
    }

    fn on_time(&mut self, situation: &Situation<'_>) -> Effects<Reply> {
        let mut effects = Effects::default();
        if self.offsets.expiry_due().is_some_and(|due| due <= situation.now) {
            effects.records = self.expired_offsets(situation.wall_ms);
            self.offsets.schedule_expiry(situation.now + self.config.offsets_check_interval);
        }
        effects
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.offsets.expiry_due()
    }

    fn snapshot(&self) -> Vec<CoordinatorRecord> {
        self.offsets.snapshot()
    }

    fn has_pending_transactions(&self) -> bool {
        self.offsets.has_pending()
    }
}
