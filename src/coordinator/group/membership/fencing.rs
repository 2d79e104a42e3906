//! Who may commit and fetch offsets, and whose offsets may go.

use crate::coordinator::group::classic::group::{ClassicGroup, ClassicState};
use crate::coordinator::group::consumer::group::{ConsumerGroup, ConsumerState};
use crate::coordinator::group::consumer::member::ConsumerMember;
use crate::coordinator::group::groups::{Group, Groups};
use crate::coordinator::group::machine::Committer;
use crate::coordinator::group::request::refuse;
use crate::coordinator::group::settings::milliseconds;
use crate::coordinator::machine::{CoordinatorRecord, Situation};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::{PartitionIndex, TopicId};

/// The first version of OffsetCommit that members of the consumer protocol may use.
const CONSUMER_COMMITS_FROM: i16 = 9;
/// The first version of OffsetCommit that says when there is no such group (KIP-848).
const GROUP_NOT_FOUND_FROM: i16 = 9;

/// What a committer may commit.
#[derive(Clone, Debug)]
pub enum CommitRight {
    /// Everything.
    All,
    /// What the member got in this epoch or before and still holds: it has not yet heard of a newer epoch (KIP-1251).
    Older {
        /// The member as it is.
        member: Box<ConsumerMember>,
        /// The epoch that it knows.
        epoch: i32,
    },
}

impl CommitRight {
    /// Whether the offset of a partition may be committed.
    ///
    /// # Errors
    /// STALE_MEMBER_EPOCH, or ILLEGAL_GENERATION for members of the classic protocol; the whole request is refused.
    pub fn check(&self, topic: TopicId, index: PartitionIndex) -> Result<(), ClientError> {
        let CommitRight::Older { member, epoch } = self else { return Ok(()) };
        let what = match member.epoch_of(topic, index) {
            Some(since) if since <= *epoch => return Ok(()),
            Some(since) => format!("epoch {epoch} is older than {since}, in which partition {index} was assigned"),
            None => format!("partition {index} is not assigned to member {} or pending revocation", member.id),
        };
        refuse(stale_code(member), what)
    }
}

fn stale_code(member: &ConsumerMember) -> ErrorCode {
    if member.is_classic() { ErrorCode::IllegalGeneration } else { ErrorCode::StaleMemberEpoch }
}

/// From when on the age of a group's offsets counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// They do not expire while the group is as it is.
    Never,
    /// From each one's own commit.
    FromCommit,
    /// From this time, in milliseconds since 1970, at which the group was left empty; an offset committed later counts from its
    /// commit.
    Since(i64),
}

impl Groups {
    /// Whether the group lets `committer` commit, and what. A commit keeps a member of the classic protocol in.
    ///
    /// # Errors
    /// Why not, in Kafka's codes.
    pub fn check_commit(
        &mut self,
        situation: &Situation<'_>,
        committer: &Committer<'_>,
    ) -> Result<CommitRight, ClientError> {
        let checked = self.touch(committer.group, |group| match group {
            Group::Classic(group) => {
                check_classic(group, committer)?;
                if matches!(group.state, ClassicState::Stable | ClassicState::PreparingRebalance)
                    && !committer.in_transaction
                    && let Some(member) = group.members.get(committer.member)
                {
                    let ends = situation.now + milliseconds(member.session_timeout_ms);
                    group.restart_session(committer.member, ends);
                }
                Ok(CommitRight::All)
            }
            Group::Consumer(group) => check_consumer(group, committer),
        });
        match checked {
            Some(right) => right,
            None if committer.generation < 0 => Ok(CommitRight::All),
            None => {
                let says_so = committer.api_version >= GROUP_NOT_FOUND_FROM && !committer.in_transaction;
                let code = if says_so { ErrorCode::GroupIdNotFound } else { ErrorCode::IllegalGeneration };
                refuse(code, format!("there is no group '{}': join it before you commit", committer.group))
            }
        }
    }

    /// Whether `member`, if one asks, may fetch the group's offsets in its epoch.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH or ILLEGAL_GENERATION.
    pub fn check_fetch(&self, group: &str, member: Option<&str>, epoch: i32) -> Result<(), ClientError> {
        let Some(Group::Consumer(group)) = self.get(group) else { return Ok(()) };
        if member.is_none_or(str::is_empty) && epoch < 0 {
            return Ok(());
        }
        let member = group.member(member.unwrap_or_default())?;
        if member.held.epoch == epoch {
            return Ok(());
        }
        let message = format!(
            "The received member epoch {epoch} does not match the expected member epoch {}.",
            member.held.epoch
        );
        refuse(stale_code(member), message)
    }

    /// Whether offsets of the group may be deleted one by one.
    ///
    /// # Errors
    /// NON_EMPTY_GROUP for a group in use whose members' subscriptions cannot be known.
    pub fn check_offset_delete(&self, group: &str) -> Result<(), ClientError> {
        match self.get(group) {
            Some(Group::Classic(classic)) if classic.state != ClassicState::Empty && !classic.is_of_consumers() => {
                refuse(ErrorCode::NonEmptyGroup, format!("the group '{group}' is in use"))
            }
            _ => Ok(()),
        }
    }

    /// Whether members of the group subscribe to `topic`.
    pub fn is_subscribed_to(&self, group: &str, topic: &str) -> bool {
        match self.get(group) {
            Some(Group::Classic(group)) => group.is_subscribed_to(topic),
            Some(Group::Consumer(group)) => group.is_subscribed_to(topic),
            None => false,
        }
    }

    /// From when on the age of the group's offsets counts; those of topics it subscribes to do not expire.
    pub fn expiry(&self, group: &str) -> Expiry {
        match self.get(group) {
            None => Expiry::FromCommit,
            Some(Group::Classic(group)) => match (group.state, &group.protocol_type) {
                (_, None) => Expiry::FromCommit,
                (ClassicState::Empty, Some(_)) => group.state_since_ms.map_or(Expiry::FromCommit, Expiry::Since),
                (ClassicState::Stable, Some(_)) if group.subscribed_topics.is_some() => Expiry::FromCommit,
                _ => Expiry::Never,
            },
            // As Kafka has it: nothing stored says since when such a group is empty.
            Some(Group::Consumer(_)) => Expiry::FromCommit,
        }
    }

    /// Whether the group has no members, so that it goes with its last offset.
    pub fn is_without_members(&self, group: &str) -> bool {
        match self.get(group) {
            None => true,
            Some(Group::Classic(group)) => group.state == ClassicState::Empty && group.pending_joins.is_empty(),
            Some(Group::Consumer(group)) => group.state() == ConsumerState::Empty,
        }
    }

    /// The records that delete a group; none if nothing of it is written.
    pub fn tombstones(&self, group: &str) -> Vec<CoordinatorRecord> {
        match self.get(group) {
            None => Vec::new(),
            Some(Group::Classic(group)) => group.stored.iter().map(|_| group.key().tombstone()).collect(),
            Some(Group::Consumer(group)) => group.to_tombstones(),
        }
    }
}

fn check_classic(group: &ClassicGroup, committer: &Committer<'_>) -> Result<(), ClientError> {
    let refused = |code: ErrorCode| {
        refuse(code, format!("member '{}' may not commit for group '{}'", committer.member, group.id))
    };
    let is_empty = group.state == ClassicState::Empty;
    if committer.generation < 0 && is_empty {
        return Ok(());
    }
    if committer.generation >= 0 || !committer.member.is_empty() || committer.instance.is_some() {
        if let Err(code) = group.check_member(committer.member, committer.instance) {
            return refused(code);
        }
        if committer.generation != group.generation {
            return refused(ErrorCode::IllegalGeneration);
        }
    } else if !committer.in_transaction && !is_empty {
        return refused(ErrorCode::UnknownMemberId);
    }
    if !committer.in_transaction && group.state == ClassicState::CompletingRebalance {
        return refused(ErrorCode::RebalanceInProgress);
    }
    Ok(())
}

fn check_consumer(group: &ConsumerGroup, committer: &Committer<'_>) -> Result<CommitRight, ClientError> {
    if committer.generation < 0 && group.members.is_empty() {
        return Ok(CommitRight::All);
    }
    // A producer that tells nothing of its consumer (KIP-98's first version of TxnOffsetCommit).
    let tells_nothing = committer.generation < 0 && committer.member.is_empty() && committer.instance.is_none();
    if committer.in_transaction && tells_nothing {
        return Ok(CommitRight::All);
    }
    let member = group.member(committer.member)?;
    if !committer.in_transaction && !member.is_classic() && committer.api_version < CONSUMER_COMMITS_FROM {
        let message = "OffsetCommit version 9 or above must be used by members using the consumer group protocol";
        return refuse(ErrorCode::UnsupportedVersion, message);
    }
    let known = member.held.epoch;
    let right = match committer.generation.cmp(&known) {
        std::cmp::Ordering::Equal => return Ok(CommitRight::All),
        std::cmp::Ordering::Less => {
            return Ok(CommitRight::Older { member: Box::new(member.clone()), epoch: committer.generation });
        }
        std::cmp::Ordering::Greater => stale_code(member),
    };
    let message = format!("Received member epoch {} is newer than current member epoch {known}.", committer.generation);
    refuse(right, message)
}
