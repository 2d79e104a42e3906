//! What was acknowledged is there: every batch that was acknowledged with acks=1 or acks=all is read back whole at the
//! offset that was told, unless its records were asked to be deleted. Whoever consumes in between sees it too.

use std::collections::BTreeMap;

use super::Checker;
use super::cached::Cached;
use crate::model::ids::PartitionId;
use crate::model::offset::Offset;
use crate::sim::history::{Event, Moment, Tag};

/// See the module.
#[derive(Default)]
pub struct AckedLoss {
    places: BTreeMap<PartitionId, Place>,
    cached: Cached,
}

#[derive(Default)]
struct Place {
    /// Acknowledged records by offset: the tag, the acks, and since when it is known.
    acked: BTreeMap<Offset, (Tag, i16, Moment)>,
    /// Below this, records may be gone: somebody asked for it.
    may_be_deleted: Offset,
}

impl Place {
    /// Compares what was read of `[from, end)` with what was acknowledged before `asked`.
    fn compare(&self, from: Offset, end: Offset, asked: Moment, records: &[(Offset, Tag)]) -> Result<(), String> {
        if from >= end {
            return Ok(());
        }
        let mut read = records.iter().copied().peekable();
        for (offset, (tag, acks, moment)) in self.acked.range(from..end) {
            while read.peek().is_some_and(|(at, _)| at < offset) {
                read.next();
            }
            let found = read.peek().filter(|(at, _)| at == offset).map(|(_, tag)| *tag);
            if *moment <= asked && found != Some(*tag) && *offset >= self.may_be_deleted {
                return Err(format!(
                    "record {tag:?} was acknowledged (acks={acks}) at offset {offset}, and {found:?} is read there"
                ));
            }
        }
        Ok(())
    }
}

impl Checker for AckedLoss {
    fn name(&self) -> &'static str {
        "acked-loss"
    }

    fn observe(&mut self, moment: Moment, event: &Event) -> Result<(), String> {
        if let Some(kept) = self.cached.observe(moment, event) {
            for (_, known) in self.places.iter_mut().filter(|(place, _)| self.cached.holds(**place)) {
                known.acked.retain(|_, (_, _, moment)| *moment <= kept);
            }
        }
        match event {
            Event::Acked { batch, asked, .. } if self.cached.is_stale(batch.place, *asked) => Ok(()),
            Event::Acked { batch, base_offset, .. } => {
                let place = self.places.entry(batch.place).or_default();
                for (tag, offset) in batch.tags().zip(*base_offset..) {
                    place.acked.insert(offset, (tag, batch.acks, moment));
                }
                Ok(())
            }
            Event::DeleteAsked { place, to } => {
                let place = self.places.entry(*place).or_default();
                place.may_be_deleted = place.may_be_deleted.max(*to);
                Ok(())
            }
            Event::Read { place, asked, from, records, .. } => {
                let Some(known) = self.places.get(place) else { return Ok(()) };
                let end = records.last().map_or(*from, |(last, _)| last + 1);
                known.compare(*from, end, *asked, records).map_err(|what| format!("{place}: {what}"))
            }
            Event::Drained { place, start, end, records } => {
                let Some(known) = self.places.get(place) else { return Ok(()) };
                if *start > known.may_be_deleted {
                    let allowed = known.may_be_deleted;
                    return Err(format!("{place} starts at {start}, though nobody deleted beyond {allowed}"));
                }
                if let Some((offset, (tag, acks, _))) = known.acked.last_key_value()
                    && offset >= end
                {
                    return Err(format!(
                        "{place}: record {tag:?} was acknowledged (acks={acks}) at offset {offset}, and the log ends at \
                         {end}"
                    ));
                }
                known.compare(*start, *end, moment, records).map_err(|what| format!("{place}: {what}"))
            }
            Event::ReadRefused { place, from, code, asked } if code.name() == "OFFSET_OUT_OF_RANGE" => {
                let Some(known) = self.places.get(place) else { return Ok(()) };
                let beyond = known.acked.range(from..).any(|(_, (_, _, moment))| moment <= asked);
                if *from >= known.may_be_deleted && beyond {
                    return Err(format!(
                        "{place}: offset {from} is out of range, though records there were acknowledged"
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
