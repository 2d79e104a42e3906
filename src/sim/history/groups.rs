//! What clients did and learned about groups.

use std::collections::BTreeSet;

use super::Moment;
use crate::base::time::{Duration, Instant};
use crate::model::error_code::ErrorCode;
use crate::model::ids::PartitionId;
use crate::model::offset::Offset;

/// Names a group.
pub type GroupNumber = u32;
/// Names a member: whoever joins without being known is another one.
pub type MemberNumber = u32;
/// Names a commit of an offset: clients number them, and commit the number as its metadata.
pub type CommitNumber = u32;

/// The id of a group.
pub fn group_name(group: GroupNumber) -> String {
    format!("group-{group}")
}

/// Who a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joiner {
    /// The group.
    pub group: GroupNumber,
    /// The client: its earlier members are no more.
    pub client: String,
    /// The name that it keeps over restarts, if it is static.
    pub instance: Option<u32>,
    /// It does not know its member id yet.
    pub is_nameless: bool,
    /// Whether the generation is the group's (classic), or an epoch of its own (KIP-848).
    pub is_classic: bool,
    /// How long it may be silent, or take to follow a rebalance: before that nobody else gets what it holds.
    pub patience: Duration,
    /// What it subscribes to.
    pub wants: BTreeSet<PartitionId>,
}

/// See the module.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each variant's text explains its fields")]
pub enum GroupEvent {
    /// A member is about to join, or to join anew.
    Joining { member: MemberNumber, joiner: Joiner },
    /// A member was told what it holds: in this generation, by the leader's decision number `decision` (classic).
    Assigned {
        member: MemberNumber,
        generation: i32,
        decision: u64,
        asked: Moment,
        asked_at: Instant,
        at: Instant,
        holds: BTreeSet<PartitionId>,
    },
    /// A member holds no more than this from here on.
    Keeps { member: MemberNumber, holds: BTreeSet<PartitionId> },
    /// A member was told that all is well.
    Confirmed { member: MemberNumber, generation: i32, asked: Moment, asked_at: Instant },
    /// A member was told that it is none.
    Expelled { member: MemberNumber, code: ErrorCode, at: Instant },
    /// A member ends by its own will, in words or without; it holds nothing any more.
    Gone { member: MemberNumber },
    /// An offset is about to be committed by a member that believes to be in this generation.
    CommitAsked { commit: CommitNumber, group: GroupNumber, place: PartitionId, offset: Offset },
    /// It was.
    Committed { commit: CommitNumber, asked: Moment, member: MemberNumber, generation: i32 },
    /// It was refused.
    CommitRefused { commit: CommitNumber, code: ErrorCode },
    /// The committed offset of a partition was told: the number of the commit, none if there was none.
    OffsetTold { group: GroupNumber, place: PartitionId, asked: Moment, commit: Option<CommitNumber>, offset: Offset },
}
