//! Topics with `write.caching`, of which less is promised: what a crash of the broker may take is what was acknowledged within
//! `flush.ms` before it, and its offsets are given out again. For checkers that look at what was told of such topics.

use std::collections::BTreeSet;

use crate::model::ids::{PartitionId, Uuid};
use crate::sim::history::{Event, Moment};

/// The topics with `write.caching`.
#[derive(Default)]
pub(super) struct Cached {
    topics: BTreeSet<Uuid>,
    /// When the broker last ended.
    ended: Moment,
}

impl Cached {
    /// Takes in an event; when the broker has ended, what of these topics is kept all the same: all that was told by then.
    pub fn observe(&mut self, moment: Moment, event: &Event) -> Option<Moment> {
        match event {
            Event::TopicMade { topic, caching: true, .. } => {
                self.topics.insert(*topic);
                None
            }
            Event::BrokerEnded { kept, .. } => {
                self.ended = moment;
                Some(*kept)
            }
            _ => None,
        }
    }

    /// Whether this is a partition of such a topic.
    pub fn holds(&self, place: PartitionId) -> bool {
        self.topics.contains(&place.topic)
    }

    /// Whether an answer to what was asked then, about such a partition, is of a broker that has ended: what it says may
    /// have gone with it.
    pub fn is_stale(&self, place: PartitionId, asked: Moment) -> bool {
        asked <= self.ended && self.holds(place)
    }
}
