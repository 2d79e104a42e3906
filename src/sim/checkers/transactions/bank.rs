//! Transfers move money and make none: whatever is visible of all accounts together adds up to nothing.

use std::collections::BTreeMap;

use crate::model::ids::PartitionId;
use crate::sim::checkers::Checker;
use crate::sim::history::transactions::{Content, TransactionEvent};
use crate::sim::history::{Event, Moment};

/// See the module.
#[derive(Default)]
pub struct Bank {
    balances: BTreeMap<PartitionId, i64>,
}

impl Checker for Bank {
    fn name(&self) -> &'static str {
        "bank"
    }

    fn observe(&mut self, _: Moment, event: &Event) -> Result<(), String> {
        match event {
            Event::Transaction(TransactionEvent::Drained { place, visible, .. }) => {
                let amount = |content| if let Content::Transfer { amount } = content { amount } else { 0 };
                self.balances.insert(*place, visible.iter().map(|(_, item)| amount(item.content)).sum());
                Ok(())
            }
            Event::Transaction(TransactionEvent::AllDrained { .. }) => {
                let total: i64 = self.balances.values().sum();
                if total == 0 {
                    Ok(())
                } else {
                    Err(format!("all accounts together have {total}: {:?}", self.balances))
                }
            }
            _ => Ok(()),
        }
    }
}
