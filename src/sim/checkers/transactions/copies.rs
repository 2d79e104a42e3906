//! Copies and offsets are one: each record below the committed offset was copied once, in order, and none above it was.

use std::collections::BTreeMap;

use crate::model::ids::{PartitionId, PartitionIndex};
use crate::model::offset::Offset;
use crate::sim::checkers::Checker;
use crate::sim::history::transactions::{Content, Copied, Item, TransactionEvent};
use crate::sim::history::{Event, Moment};

/// See the module.
#[derive(Default)]
pub struct Copies {
    visible: BTreeMap<PartitionId, Vec<(Offset, Item)>>,
    copied_up_to: BTreeMap<PartitionId, Offset>,
}

impl Copies {
    fn check(&self, copied: Copied) -> Result<(), String> {
        let mut copies: BTreeMap<PartitionIndex, Vec<Offset>> = BTreeMap::new();
        for (place, items) in self.visible.iter().filter(|(place, _)| place.topic == copied.to) {
            let mut last: BTreeMap<PartitionIndex, Offset> = BTreeMap::new();
            for (at, item) in items {
                let Content::Copy { from, offset } = item.content else {
                    return Err(format!("{place}: {item:?} at offset {at} is no copy"));
                };
                if let Some(before) = last.insert(from, offset).filter(|before| *before >= offset) {
                    return Err(format!("{place}: the copy of {from}@{offset} at {at} follows that of {before}"));
                }
                copies.entry(from).or_default().push(offset);
            }
        }
        for (place, items) in self.visible.iter().filter(|(place, _)| place.topic == copied.from) {
            let up_to = self.copied_up_to.get(place).copied().unwrap_or(0);
            let mut found = copies.remove(&place.index).unwrap_or_default();
            found.sort_unstable();
            let expected: Vec<Offset> = items.iter().map(|(offset, _)| *offset).filter(|at| *at < up_to).collect();
            if found != expected {
                let missing = expected.iter().find(|offset| !found.contains(offset));
                let surplus = found.iter().find(|offset| !expected.contains(offset));
                return Err(format!(
                    "{place}: {} records lie below the committed offset {up_to} and {} copies are there; missing {missing:?}, \
                     surplus {surplus:?}",
                    expected.len(),
                    found.len()
                ));
            }
        }
        Ok(())
    }
}

impl Checker for Copies {
    fn name(&self) -> &'static str {
        "copies"
    }

    fn observe(&mut self, _: Moment, event: &Event) -> Result<(), String> {
        match event {
            Event::Transaction(TransactionEvent::Drained { place, visible, .. }) => {
                self.visible.insert(*place, visible.clone());
                Ok(())
            }
            Event::Transaction(TransactionEvent::CopiedUpTo { place, offset }) => {
                self.copied_up_to.insert(*place, *offset);
                Ok(())
            }
            Event::Transaction(TransactionEvent::AllDrained { copied: Some(copied) }) => self.check(*copied),
            _ => Ok(()),
        }
    }
}
