//! A member of a consumer group.

use std::sync::Arc;

use crate::base::time::Duration;
use crate::coordinator::group::records::consumer::{CurrentAssignmentValue, MemberState, MemberValue, PartitionEpochs};
use crate::coordinator::group::settings::milliseconds;
use crate::model::ids::{PartitionIndex, TopicId};

/// The epoch with which a member joins.
pub const JOIN_EPOCH: i32 = 0;
/// The epoch with which a member leaves.
pub const LEAVE_EPOCH: i32 = -1;
/// The epoch with which a static member leaves for a while.
pub const LEAVE_STATIC_EPOCH: i32 = -2;

/// A member: what it told of itself, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerMember {
    /// Its id.
    pub id: Arc<str>,
    /// What it told of itself.
    pub told: MemberValue,
    /// What it holds.
    pub held: CurrentAssignmentValue,
}

impl ConsumerMember {
    /// A member that nothing is known of.
    pub fn new(id: &str) -> ConsumerMember {
        let told = MemberValue { rebalance_timeout_ms: -1, regex: Some(String::new()), ..MemberValue::default() };
        let held = CurrentAssignmentValue { previous_epoch: -1, ..CurrentAssignmentValue::default() };
        ConsumerMember { id: Arc::from(id), told, held }
    }

    /// Whether it speaks the classic protocol.
    pub fn is_classic(&self) -> bool {
        self.told.classic.is_some()
    }

    /// The expression that it subscribes to.
    pub fn regex(&self) -> Option<&str> {
        self.told.regex.as_deref().filter(|regex| !regex.is_empty())
    }

    /// Whether it holds what the assignment of `target_epoch` gives it.
    pub fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.held.state == MemberState::Stable && self.held.epoch == target_epoch
    }

    /// How long it may be silent; `otherwise` unless it said so itself, as those of the classic protocol do.
    pub fn session_timeout(&self, otherwise: Duration) -> Duration {
        self.told.classic.as_ref().map_or(otherwise, |classic| milliseconds(classic.session_timeout_ms))
    }

    /// How long it may take to give up partitions, or to join when it speaks the classic protocol.
    pub fn rebalance_timeout(&self) -> Duration {
        milliseconds(self.told.rebalance_timeout_ms)
    }

    /// The epoch in which it got a partition that it holds or has to give up.
    pub fn epoch_of(&self, topic: TopicId, index: PartitionIndex) -> Option<i32> {
        let in_map = |map: &PartitionEpochs| map.get(&topic).and_then(|epochs| epochs.get(&index)).copied();
        in_map(&self.held.assigned).or_else(|| in_map(&self.held.revoking))
    }
}
