//! Who was fenced does no harm: once a later instance of a transactional id has been given its producer, nothing that an
//! earlier one sends is acknowledged or becomes visible, and no end of a transaction is.

use std::collections::BTreeMap;

use crate::model::ids::{PartitionId, ProducerEpoch, ProducerId};
use crate::model::offset::Offset;
use crate::sim::checkers::Checker;
use crate::sim::history::transactions::{InstanceNumber, Item, TransactionEvent, TransactionNumber};
use crate::sim::history::{Event, Moment};

/// See the module.
#[derive(Default)]
pub struct Zombies {
    instances: BTreeMap<InstanceNumber, Instance>,
    by: BTreeMap<TransactionNumber, InstanceNumber>,
    /// When each record was sent first.
    sent: BTreeMap<(TransactionNumber, u32), Moment>,
}

#[derive(Clone, Copy)]
struct Instance {
    id: u32,
    producer_id: ProducerId,
    epoch: ProducerEpoch,
    /// Since when it is known that it was fenced.
    fenced: Option<Moment>,
}

impl Zombies {
    fn stands_up(&mut self, moment: Moment, instance: InstanceNumber, new: Instance) {
        let mut fenced = None;
        for other in self.instances.values_mut().filter(|one| one.id == new.id && one.producer_id == new.producer_id) {
            if other.epoch < new.epoch {
                other.fenced.get_or_insert(moment);
            } else {
                // Its answer came late.
                fenced = Some(moment);
            }
        }
        self.instances.insert(instance, Instance { fenced, ..new });
    }

    fn by(&mut self, transaction: TransactionNumber) -> Option<&mut Instance> {
        self.instances.get_mut(self.by.get(&transaction)?)
    }

    fn check(&mut self, transaction: TransactionNumber, asked: Moment, what: &str) -> Result<(), String> {
        match self.by(transaction).and_then(|instance| instance.fenced) {
            Some(fenced) if fenced <= asked => Err(format!(
                "{what} of transaction {transaction} was acknowledged, asked for at {asked}, though its instance was fenced at {fenced}"
            )),
            _ => Ok(()),
        }
    }

    fn check_visible(&mut self, place: PartitionId, items: &[(Offset, Item)]) -> Result<(), String> {
        for (offset, item) in items {
            let sent = self.sent.get(&(item.transaction, item.number)).copied().unwrap_or(0);
            let fenced = self.by(item.transaction).and_then(|instance| instance.fenced);
            if let Some(fenced) = fenced.filter(|fenced| *fenced <= sent) {
                return Err(format!(
                    "{place}: {item:?} at offset {offset} is visible, sent at {sent} by an instance fenced at {fenced}"
                ));
            }
        }
        Ok(())
    }
}

impl Checker for Zombies {
    fn name(&self) -> &'static str {
        "zombies"
    }

    fn observe(&mut self, moment: Moment, event: &Event) -> Result<(), String> {
        let Event::Transaction(event) = event else { return Ok(()) };
        match event {
            TransactionEvent::Initialised { id, instance, producer_id, epoch } => {
                let new = Instance { id: *id, producer_id: *producer_id, epoch: *epoch, fenced: None };
                self.stands_up(moment, *instance, new);
            }
            TransactionEvent::Begun { transaction, instance, .. } => {
                self.by.insert(*transaction, *instance);
            }
            TransactionEvent::Sent { items, .. } => {
                for item in items {
                    self.sent.entry((item.transaction, item.number)).or_insert(moment);
                }
            }
            TransactionEvent::Appended { transaction, asked, .. } => self.check(*transaction, *asked, "a batch")?,
            TransactionEvent::Ended { transaction, asked, epoch, .. } => {
                self.check(*transaction, *asked, "the end")?;
                if let Some(instance) = self.by(*transaction) {
                    instance.epoch = instance.epoch.max(*epoch);
                }
            }
            TransactionEvent::Read { place, items, .. } => self.check_visible(*place, items)?,
            TransactionEvent::Drained { place, visible, .. } => self.check_visible(*place, visible)?,
            _ => {}
        }
        Ok(())
    }
}
