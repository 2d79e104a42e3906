//! An offset names one record for ever, and there are no gaps: whatever is acknowledged or read at an offset, by whomever
//! and whenever, is the same record, reads begin where they were asked to, and nothing is read that was never sent there.

use std::collections::BTreeMap;

use super::Checker;
use super::cached::Cached;
use crate::model::ids::PartitionId;
use crate::model::offset::Offset;
use crate::sim::history::{BatchTag, Event, Moment, Tag};

/// The farthest that an offset is above those that are known: more than a run writes.
const AHEAD_MAX: usize = 1 << 24;

/// See the module.
#[derive(Default)]
pub struct Offsets {
    known: BTreeMap<PartitionId, Known>,
    /// Batches that were ever sent, by their first record: how many records, and where to.
    sent: BTreeMap<Tag, (u32, PartitionId)>,
    cached: Cached,
}

/// The record at each offset, and since when it is known.
#[derive(Default)]
struct Known(Vec<Option<(Tag, Moment)>>);

impl Known {
    /// The record at `offset`, which may be above all that are known.
    fn at(&mut self, offset: Offset) -> Result<&mut Option<(Tag, Moment)>, String> {
        let at = usize::try_from(offset).ok().filter(|at| *at <= self.0.len() + AHEAD_MAX);
        let at = at.ok_or_else(|| format!("offset {offset}, where {} are known", self.0.len()))?;
        if self.0.len() <= at {
            self.0.resize(at + 1, None);
        }
        Ok(&mut self.0[at])
    }

    /// Forgets what is known since later than `kept`.
    fn forget_after(&mut self, kept: Moment) {
        self.0.iter_mut().for_each(|slot| *slot = slot.take_if(|(_, moment)| *moment <= kept));
    }
}

impl Offsets {
    /// Notes which record is at an offset; whether that was known.
    fn note(&mut self, moment: Moment, place: PartitionId, offset: Offset, tag: Tag) -> Result<bool, String> {
        let slot = self.known.entry(place).or_default().at(offset).map_err(|what| format!("{place}: {what}"))?;
        match slot {
            Some((before, _)) if *before == tag => Ok(true),
            Some((before, _)) => {
                Err(format!("{place}: offset {offset} was record {before:?} and is now record {tag:?}"))
            }
            None => {
                *slot = Some((tag, moment));
                Ok(false)
            }
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
            if !self.note(moment, place, *offset, *tag)? {
                self.check_was_sent(place, *offset, *tag)?;
            }
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
                known.forget_after(kept);
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
                tags.try_for_each(|(tag, offset)| self.note(moment, batch.place, offset, tag).map(drop))
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
