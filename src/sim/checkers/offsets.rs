//! An offset names one record for ever, and there are no gaps: whatever is acknowledged or read at an offset, by whomever
//! and whenever, is the same record, reads begin where they were asked to, and nothing is read that was never sent there.

use std::collections::BTreeMap;

use super::Checker;
use super::cached::Cached;
use crate::model::ids::PartitionId;
use crate::model::offset::Offset;
use crate::sim::history::{BatchTag, Event, Moment, Tag};

/// See the module.
#[derive(Default)]
pub struct Offsets {
    /// The record at each offset, and since when it is known.
    known: BTreeMap<PartitionId, BTreeMap<Offset, (Tag, Moment)>>,
    /// Batches that were ever sent, by their first record: how many records, and where to.
    sent: BTreeMap<Tag, (u32, PartitionId)>,
    cached: Cached,
}

impl Offsets {
    fn note(&mut self, moment: Moment, place: PartitionId, offset: Offset, tag: Tag) -> Result<(), String> {
        let known = self.known.entry(place).or_default();
        let (before, _) = known.entry(offset).or_insert((tag, moment));
        if *before == tag {
            Ok(())
        } else {
            Err(format!("{place}: offset {offset} was record {before:?} and is now record {tag:?}"))
        }
    }

    fn check_was_sent(&self, place: PartitionId, offset: Offset, tag: Tag) -> Result<(), String> {
        let sent = self.sent.range(..=tag).next_back();
        let fits = sent.is_some_and(|(first, (count, to))| {
            first.producer == tag.producer && tag.number < first.number + count && *to == place
        });
        if fits { Ok(()) } else { Err(format!("{place}: record {tag:?} at offset {offset} was never sent there")) }
    }

    fn read(
        &mut self,
        moment: Moment,
        place: PartitionId,
        from: Offset,
        records: &[(Offset, Tag)],
    ) -> Result<(), String> {
        for (expected, (offset, tag)) in (from..).zip(records) {
            if *offset != expected {
                return Err(format!("{place}: offset {expected} was to be read next, and {offset} was"));
            }
            self.check_was_sent(place, *offset, *tag)?;
            self.note(moment, place, *offset, *tag)?;
        }
        Ok(())
    }
}

impl Checker for Offsets {
    fn name(&self) -> &'static str {
        "offsets"
    }

    fn observe(&mut self, moment: Moment, event: &Event) -> Result<(), String> {
        if let Some(kept) = self.cached.observe(moment, event) {
            for (_, known) in self.known.iter_mut().filter(|(place, _)| self.cached.holds(**place)) {
                known.retain(|_, (_, moment)| *moment <= kept);
            }
        }
        match event {
            Event::Acked { batch: BatchTag { place, .. }, asked, .. } | Event::Read { place, asked, .. }
                if self.cached.is_stale(*place, *asked) =>
            {
                Ok(())
            }
            Event::Sent { batch } => {
                self.sent.insert(batch.first, (batch.count, batch.place));
                Ok(())
            }
            Event::Acked { batch, base_offset, .. } => {
                if *base_offset < 0 {
                    return Err(format!("{}: acknowledged at offset {base_offset}", batch.place));
                }
                let mut tags = batch.tags().zip(*base_offset..);
                tags.try_for_each(|(tag, offset)| self.note(moment, batch.place, offset, tag))
            }
            Event::Read { place, from, records, .. } => self.read(moment, *place, *from, records),
            Event::Drained { place, start, end, records } => {
                if records.len() as i64 != end - start {
                    return Err(format!("{place}: {} records from {start} to {end}", records.len()));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
