//! Consumers see what lies below the high watermark and nothing else; the high watermark and the log start never go back,
//! not even over a crash; what was acknowledged lies below; and the log starts no later than somebody asked it to.

use std::collections::BTreeMap;

use super::Checker;
use super::cached::Cached;
use super::rising::Rising;
use crate::model::ids::PartitionId;
use crate::model::offset::Offset;
use crate::sim::history::{BatchTag, Event, Moment};

/// See the module.
#[derive(Default)]
pub struct Watermarks {
    places: BTreeMap<PartitionId, Place>,
    cached: Cached,
}

#[derive(Default)]
struct Place {
    high_watermark: Rising,
    log_start: Rising,
    /// The log start may be up to here.
    may_start: Offset,
}

impl Place {
    fn high(&mut self, moment: Moment, asked: Moment, offset: Offset) -> Result<(), String> {
        let known = self.high_watermark.at(asked);
        self.high_watermark.note(moment, offset);
        if offset < known {
            return Err(format!("the high watermark was {known} and is {offset}"));
        }
        Ok(())
    }

    fn start(&mut self, moment: Moment, asked: Moment, offset: Offset) -> Result<(), String> {
        let known = self.log_start.at(asked);
        self.log_start.note(moment, offset);
        if offset < known {
            return Err(format!("the log start was {known} and is {offset}"));
        }
        if offset > self.may_start {
            return Err(format!("the log starts at {offset}, and nobody deleted beyond {}", self.may_start));
        }
        Ok(())
    }
}

impl Watermarks {
    fn place(&mut self, place: PartitionId) -> &mut Place {
        self.places.entry(place).or_default()
    }
}

impl Checker for Watermarks {
    fn name(&self) -> &'static str {
        "watermarks"
    }

    fn observe(&mut self, moment: Moment, event: &Event) -> Result<(), String> {
        if let Some(kept) = self.cached.observe(moment, event) {
            for (_, known) in self.places.iter_mut().filter(|(place, _)| self.cached.holds(**place)) {
                known.high_watermark.forget_after(kept);
            }
        }
        let result = match event {
            Event::Acked { batch: BatchTag { place, .. }, asked, .. }
            | Event::Read { place, asked, .. }
            | Event::Listed { place, asked, .. }
                if self.cached.is_stale(*place, *asked) =>
            {
                return Ok(());
            }
            Event::Acked { batch, base_offset, asked, log_start } => {
                let place = self.place(batch.place);
                // Acknowledged is visible.
                place.high_watermark.note(moment, base_offset + i64::from(batch.count));
                (batch.place, place.start(moment, *asked, *log_start))
            }
            Event::Read { place, asked, from, bounds, records } => {
                let known = self.place(*place);
                let above = records.iter().find(|(offset, _)| *offset >= bounds.high_watermark);
                let result = match above {
                    Some((offset, tag)) => {
                        Err(format!("record {tag:?} at {offset} was read, above {}", bounds.high_watermark))
                    }
                    None if bounds.last_stable > bounds.high_watermark => {
                        Err(format!("last stable offset {} above {}", bounds.last_stable, bounds.high_watermark))
                    }
                    None if !records.is_empty() && bounds.log_start > *from && known.may_start <= *from => {
                        Err(format!("offset {from} was read below the log start {}", bounds.log_start))
                    }
                    None => known
                        .high(moment, *asked, bounds.high_watermark)
                        .and_then(|()| known.start(moment, *asked, bounds.log_start)),
                };
                (*place, result)
            }
            Event::Listed { place, asked, latest, offset } => {
                let known = self.place(*place);
                let told =
                    if *latest { known.high(moment, *asked, *offset) } else { known.start(moment, *asked, *offset) };
                (*place, told)
            }
            Event::DeleteAsked { place, to } => {
                let known = self.place(*place);
                known.may_start = known.may_start.max(*to);
                (*place, Ok(()))
            }
            Event::Deleted { place, asked, low_watermark } => {
                (*place, self.place(*place).start(moment, *asked, *low_watermark))
            }
            _ => return Ok(()),
        };
        result.1.map_err(|what| format!("{}: {what}", result.0))
    }
}
