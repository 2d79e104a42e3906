//! Who gets which partition: plain functions from members, subscriptions and the assignment as it is to the next one.
//!
//! **Owns:** the server-side assignors `uniform` and `range` (KIP-848).
//!
//! **Never:** knows epochs, records, or who holds a partition at the moment: moving to the target is [`super::reconcile`]'s.
//!
//! **Start reading at** [`assign`].

mod balance;
mod range;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::coordinator::group::records::consumer::Partitions;
use crate::model::ids::{PartitionIndex, TopicId};

#[cfg(test)]
mod tests;

/// The name of the assignor that spreads partitions evenly and moves few.
pub const UNIFORM: &str = "uniform";
/// The name of the assignor that gives each member a range of every topic, so that equal topics are split alike.
pub const RANGE: &str = "range";
/// All assignors, the default first.
pub const NAMES: [&str; 2] = [UNIFORM, RANGE];

/// A member as an assignor sees it.
#[derive(Clone, Debug)]
pub struct AssignedMember<'a> {
    /// Its id.
    pub id: Arc<str>,
    /// The id that it keeps over restarts, if it has one.
    pub instance_id: Option<&'a str>,
    /// The topics that it subscribes to; all of them exist.
    pub topics: BTreeSet<TopicId>,
    /// What the last target assignment gave it.
    pub current: &'a Partitions,
}

/// What an assignor is given.
#[derive(Clone, Debug)]
pub struct Assignable<'a> {
    /// The members, in the order of their ids.
    pub members: Vec<AssignedMember<'a>>,
    /// How many partitions each subscribed topic has.
    pub partition_counts: BTreeMap<TopicId, PartitionIndex>,
}

impl Assignable<'_> {
    fn has(&self, topic: TopicId, index: PartitionIndex) -> bool {
        self.partition_counts.get(&topic).is_some_and(|count| index < *count)
    }

    fn is_homogeneous(&self) -> bool {
        self.members.windows(2).all(|pair| pair[0].topics == pair[1].topics)
    }
}

/// What each member gets, in the order of the members. Every partition of a subscribed topic goes to exactly one of its
/// subscribers.
pub fn assign(name: &str, assignable: &Assignable<'_>) -> Vec<Partitions> {
    if name == RANGE {
        range::assign(assignable)
    } else if assignable.is_homogeneous() {
        uniform::assign(assignable)
    } else {
        balance::assign(assignable)
    }
}
