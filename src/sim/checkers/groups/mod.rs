//! What groups promise, one file a promise.
//!
//! **Owns:** the model of who may believe to own a partition, of who speaks for a group, and of committed offsets.
//!
//! **Never:** knows more than members were told.
//!
//! **Start reading at** [`ownership`].

pub mod commits;
pub mod fences;
pub mod ownership;

use std::collections::BTreeMap;

use crate::sim::history::groups::{GroupEvent, GroupNumber, MemberNumber};
use crate::sim::history::{Event, Moment};

/// Since when the coordinator of a group is known to be loaded. Before that it answers every heartbeat as if all were well, as
/// Kafka's does, so such an answer tells nothing.
#[derive(Default)]
struct Loaded(BTreeMap<GroupNumber, Moment>);

impl Loaded {
    fn observe(&mut self, moment: Moment, event: &Event, group_of: impl Fn(MemberNumber) -> Option<GroupNumber>) {
        let group = match event {
            Event::BrokerEnded { .. } => {
                self.0.clear();
                None
            }
            Event::Group(GroupEvent::Assigned { member, .. } | GroupEvent::Committed { member, .. }) => {
                group_of(*member)
            }
            Event::Group(GroupEvent::OffsetTold { group, .. }) => Some(*group),
            _ => None,
        };
        if let Some(group) = group {
            self.0.entry(group).or_insert(moment);
        }
    }

    /// Whether it was loaded by then.
    fn since(&self, group: GroupNumber, asked: Moment) -> bool {
        self.0.get(&group).is_some_and(|since| *since <= asked)
    }
}
