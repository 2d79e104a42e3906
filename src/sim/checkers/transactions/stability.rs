//! The last stable offset never goes back, nothing beyond it is shown, what is shown below it never changes, whoever reads it
//! and in whatever pieces, and it is what follows from the batches and markers in the log.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::ids::{PartitionId, ProducerId};
use crate::model::offset::Offset;
use crate::sim::checkers::Checker;
use crate::sim::checkers::rising::Rising;
use crate::sim::history::transactions::{Item, Logged, LoggedBatch, TransactionEvent};
use crate::sim::history::{Event, Moment};

/// See the module.
#[derive(Default)]
pub struct Stability {
    places: BTreeMap<PartitionId, Place>,
}

#[derive(Default)]
struct Place {
    last_stable: Rising,
    high_watermark: Rising,
    /// What is visible below `known_to`.
    visible: BTreeMap<Offset, Item>,
    known_to: Offset,
}

impl Place {
    /// Compares what was read of `[from, next)` with what is known, and learns the rest.
    fn compare(&mut self, from: Offset, next: Offset, items: &[(Offset, Item)]) -> Result<(), String> {
        if from > self.known_to || next <= from {
            return Ok(());
        }
        let until = self.known_to.min(next);
        let known: Vec<(Offset, Item)> =
            self.visible.range(from..until.max(from)).map(|(offset, item)| (*offset, *item)).collect();
        let read: Vec<(Offset, Item)> = items.iter().copied().filter(|(offset, _)| *offset < until).collect();
        if known != read {
            let differs = known.iter().zip(&read).find(|(known, read)| known != read);
            return Err(format!(
                "of offsets {from} to {until} {} records were visible and {} are; first difference: {differs:?}",
                known.len(),
                read.len()
            ));
        }
        self.visible.extend(items.iter().copied());
        self.known_to = self.known_to.max(next);
        Ok(())
    }
}

/// What `read_committed` has to show of a log in which nothing is open.
fn from_log(logged: &[LoggedBatch]) -> Result<Vec<(Offset, Item)>, String> {
    let mut open: BTreeMap<ProducerId, Vec<(Offset, Item)>> = BTreeMap::new();
    let mut visible = Vec::new();
    for batch in logged {
        match &batch.kind {
            Logged::Items(items) => open.entry(batch.producer_id).or_default().extend(items),
            Logged::Marker { is_commit } => {
                let items = open.remove(&batch.producer_id).unwrap_or_default();
                if *is_commit {
                    visible.extend(items);
                }
            }
        }
    }
    let hanging: BTreeSet<ProducerId> = open.into_keys().collect();
    if !hanging.is_empty() {
        return Err(format!("the log is stable to its end, and transactions of {hanging:?} are open in it"));
    }
    visible.sort_unstable_by_key(|(offset, _)| *offset);
    Ok(visible)
}

impl Checker for Stability {
    fn name(&self) -> &'static str {
        "stable-offset"
    }

    fn observe(&mut self, moment: Moment, event: &Event) -> Result<(), String> {
        let Event::Transaction(event) = event else { return Ok(()) };
        match event {
            TransactionEvent::Read { place, asked, from, next, bounds, items } => {
                let known = self.places.entry(*place).or_default();
                let (stable, high) = (known.last_stable.at(*asked), known.high_watermark.at(*asked));
                known.last_stable.note(moment, bounds.last_stable);
                known.high_watermark.note(moment, bounds.high_watermark);
                if bounds.last_stable < stable {
                    return Err(format!("{place}: the last stable offset was {stable} and is {}", bounds.last_stable));
                }
                if bounds.high_watermark < high {
                    return Err(format!("{place}: the high watermark was {high} and is {}", bounds.high_watermark));
                }
                if bounds.last_stable > bounds.high_watermark {
                    return Err(format!("{place}: last stable offset above the high watermark: {bounds:?}"));
                }
                if *next > bounds.last_stable {
                    return Err(format!("{place}: offsets up to {next} were read, beyond {}", bounds.last_stable));
                }
                known.compare(*from, *next, items).map_err(|what| format!("{place}: {what}"))
            }
            TransactionEvent::Drained { place, end, visible, logged } => {
                let known = self.places.entry(*place).or_default();
                let expected = from_log(logged).map_err(|what| format!("{place}: {what}"))?;
                if *visible != expected {
                    let differs = visible.iter().zip(&expected).find(|(seen, expected)| seen != expected);
                    return Err(format!(
                        "{place}: {} records are visible, and by the log {} should be; first difference: {differs:?}",
                        visible.len(),
                        expected.len()
                    ));
                }
                let promised = known.last_stable.at(moment).max(known.high_watermark.at(moment));
                if *end < promised {
                    return Err(format!("{place}: the log ends at {end}, and was told to reach {promised}"));
                }
                known.compare(0, *end, visible).map_err(|what| format!("{place}: {what}"))
            }
            _ => Ok(()),
        }
    }
}
