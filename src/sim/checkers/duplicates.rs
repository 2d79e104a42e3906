//! A record stands in the log once if its producer is idempotent, however often it was sent, and otherwise at most as often
//! as it was sent.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::Checker;
use super::cached::Cached;
use crate::base::map::Map;
use crate::model::ids::PartitionId;
use crate::model::offset::Offset;
use crate::sim::history::{BatchTag, Event, Moment, Tag};

/// See the module.
#[derive(Default)]
pub struct Duplicates {
    /// By the first record of each batch: records, whether idempotent, times sent.
    sent: BTreeMap<Tag, (u32, bool, u32)>,
    /// Where each record was seen, mostly at one offset.
    seen: Map<PartitionId, Map<Tag, SmallVec<[Offset; 1]>>>,
    cached: Cached,
}

impl Duplicates {
    fn note(&mut self, place: PartitionId, tag: Tag, offset: Offset) -> Result<(), String> {
        let seen = self.seen.entry(place).or_default().entry(tag).or_default();
        if seen.contains(&offset) {
            return Ok(());
        }
        seen.push(offset);
        if seen.len() == 1 {
            return Ok(());
        }
        let Some((_, (_, idempotent, times))) = self.sent.range(..=tag).next_back() else { return Ok(()) };
        let allowed = if *idempotent { 1 } else { *times as usize };
        if seen.len() > allowed {
            let kind = if *idempotent { "an idempotent" } else { "a" };
            return Err(format!("{place}: record {tag:?} of {kind} producer, sent {times} times, stands at {seen:?}"));
        }
        Ok(())
    }
}

impl Checker for Duplicates {
    fn name(&self) -> &'static str {
        "duplicates"
    }

    fn observe(&mut self, moment: Moment, event: &Event) -> Result<(), String> {
        if self.cached.observe(moment, event).is_some() {
            // What stood where it no longer does is seen again where it does stand.
            self.seen.retain(|place, _| !self.cached.holds(*place));
        }
        match event {
            Event::Acked { batch: BatchTag { place, .. }, asked, .. } | Event::Read { place, asked, .. }
                if self.cached.is_stale(*place, *asked) =>
            {
                Ok(())
            }
            Event::Sent { batch } => {
                self.sent.entry(batch.first).or_insert((batch.count, batch.idempotent, 0)).2 += 1;
                Ok(())
            }
            Event::Acked { batch, base_offset, .. } => {
                let mut tags = batch.tags().zip(*base_offset..);
                tags.try_for_each(|(tag, offset)| self.note(batch.place, tag, offset))
            }
            Event::Read { place, records, .. } => {
                records.iter().try_for_each(|(offset, tag)| self.note(*place, *tag, *offset))
            }
            _ => Ok(()),
        }
    }
}
