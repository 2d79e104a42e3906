//! The records of an idempotent producer stand in a partition in the order in which it made them, without one missing
//! between two of them.

use std::collections::BTreeMap;

use super::Checker;
use crate::model::ids::PartitionId;
use crate::sim::history::{Event, Moment, Tag};

/// See the module.
#[derive(Default)]
pub struct Order {
    /// Batches of idempotent producers in the order in which they were first sent, by producer and partition: first number
    /// and count.
    sent: BTreeMap<(u32, PartitionId), Vec<(u32, u32)>>,
}

impl Order {
    /// The place of a record in the order of its producer: which batch, which record of it, and how long that batch is.
    fn rank(&self, place: PartitionId, tag: Tag) -> Option<(usize, u32, u32)> {
        let batches = self.sent.get(&(tag.producer, place))?;
        let at = batches.partition_point(|(first, _)| *first <= tag.number).checked_sub(1)?;
        let (first, count) = batches[at];
        (tag.number < first + count).then_some((at, tag.number - first, count))
    }
}

impl Checker for Order {
    fn name(&self) -> &'static str {
        "order"
    }

    fn observe(&mut self, _: Moment, event: &Event) -> Result<(), String> {
        match event {
            Event::Sent { batch } if batch.idempotent => {
                let sent = self.sent.entry((batch.first.producer, batch.place)).or_default();
                if sent.last().is_none_or(|(first, _)| *first < batch.first.number) {
                    sent.push((batch.first.number, batch.count));
                }
                Ok(())
            }
            Event::Drained { place, records, .. } => {
                let mut last: BTreeMap<u32, (Tag, (usize, u32, u32))> = BTreeMap::new();
                for (offset, tag) in records {
                    let Some(rank) = self.rank(*place, *tag) else { continue };
                    if let Some((before, (batch, record, count))) = last.insert(tag.producer, (*tag, rank)) {
                        let follows = if record + 1 == count {
                            (rank.0, rank.1) == (batch + 1, 0)
                        } else {
                            (rank.0, rank.1) == (batch, record + 1)
                        };
                        if !follows {
                            return Err(format!(
                                "{place}: record {tag:?} at offset {offset} follows record {before:?}"
                            ));
                        }
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
