//! A transaction counts as a whole or not at all: what is visible was asked to be committed (no aborted read, G1a), what was
//! acknowledged as committed is visible, all of it, at the offsets that were told, once, and in the order in which the
//! instances of a transactional id wrote it.

use std::collections::BTreeMap;

use crate::model::error_code::ErrorCode;
use crate::model::ids::PartitionId;
use crate::model::offset::Offset;
use crate::protocol::api::ApiKey;
use crate::sim::checkers::Checker;
use crate::sim::history::transactions::{Item, TransactionEvent, TransactionNumber};
use crate::sim::history::{Event, Moment};

/// See the module.
#[derive(Default)]
pub struct Outcomes {
    transactions: BTreeMap<TransactionNumber, Transaction>,
    drained: BTreeMap<PartitionId, Vec<(Offset, Item)>>,
}

#[derive(Default)]
struct Transaction {
    id: u32,
    /// What was sent, by the number in the transaction.
    sent: BTreeMap<u32, (PartitionId, Item)>,
    /// Where batches were acknowledged, by their first record's number.
    offsets: BTreeMap<u32, Offset>,
    commits_asked: u32,
    /// What was acknowledged.
    ended: Option<bool>,
    end_refused: bool,
}

impl Transaction {
    /// Whether it may count: a commit was asked for, and was not the only one and refused.
    fn may_count(&self) -> bool {
        match self.ended {
            Some(committed) => committed,
            None => self.commits_asked > u32::from(self.end_refused),
        }
    }

    fn counts(&self) -> bool {
        self.ended == Some(true)
    }
}

impl Outcomes {
    fn of(&mut self, transaction: TransactionNumber) -> &mut Transaction {
        self.transactions.entry(transaction).or_default()
    }

    fn check_visible(&self, place: PartitionId, offset: Offset, item: Item) -> Result<(), String> {
        let known = self.transactions.get(&item.transaction);
        let sent = known.and_then(|known| known.sent.get(&item.number));
        let Some((known, (to, as_sent))) = known.zip(sent) else {
            return Err(format!("{place}: {item:?} at offset {offset} was never sent"));
        };
        if (*to, *as_sent) != (place, item) {
            return Err(format!("{place}: {item:?} at offset {offset} was sent as {as_sent:?} to {to}"));
        }
        if !known.may_count() {
            let (asked, ended) = (known.commits_asked, known.ended);
            return Err(format!(
                "{place}: {item:?} at offset {offset} is visible; commits asked for: {asked}, ended: {ended:?} (aborted read)"
            ));
        }
        Ok(())
    }

    /// Everything was read: each transaction is there or is not.
    fn check_whole(&self) -> Result<(), String> {
        let mut visible: BTreeMap<TransactionNumber, BTreeMap<u32, Offset>> = BTreeMap::new();
        for (place, items) in &self.drained {
            for (offset, item) in items {
                if let Some(before) = visible.entry(item.transaction).or_default().insert(item.number, *offset) {
                    return Err(format!("{place}: {item:?} stands at offsets {before} and {offset}"));
                }
            }
        }
        let none = BTreeMap::new();
        for (number, known) in &self.transactions {
            if known.sent.values().any(|(place, _)| !self.drained.contains_key(place)) {
                continue;
            }
            let seen = visible.get(number).unwrap_or(&none);
            let missing: Vec<u32> = known.sent.keys().filter(|one| !seen.contains_key(one)).copied().collect();
            if known.counts() && !missing.is_empty() {
                return Err(format!("transaction {number} was committed, and of its records {missing:?} are missing"));
            }
            if !seen.is_empty() && !missing.is_empty() {
                let seen: Vec<&u32> = seen.keys().collect();
                return Err(format!("transaction {number} is torn: records {seen:?} are visible, {missing:?} are not"));
            }
            for (first, base_offset) in known.offsets.iter().filter(|_| !seen.is_empty()) {
                if seen.get(first) != Some(base_offset) {
                    return Err(format!(
                        "record {first} of transaction {number} was acknowledged at offset {base_offset}, and stands at {:?}",
                        seen.get(first)
                    ));
                }
            }
        }
        Ok(())
    }

    /// The records of each transactional id stand in a partition as they were written.
    fn check_order(&self, place: PartitionId, items: &[(Offset, Item)]) -> Result<(), String> {
        let mut last: BTreeMap<u32, Item> = BTreeMap::new();
        for (offset, item) in items {
            let Some(known) = self.transactions.get(&item.transaction) else { continue };
            if let Some(before) = last.insert(known.id, *item)
                && (before.transaction, before.number) >= (item.transaction, item.number)
            {
                return Err(format!("{place}: {item:?} at offset {offset} follows {before:?}"));
            }
        }
        Ok(())
    }
}

impl Checker for Outcomes {
    fn name(&self) -> &'static str {
        "transactions"
    }

    fn observe(&mut self, _: Moment, event: &Event) -> Result<(), String> {
        let Event::Transaction(event) = event else { return Ok(()) };
        match event {
            TransactionEvent::Begun { transaction, id, .. } => self.of(*transaction).id = *id,
            TransactionEvent::Sent { transaction, place, items } => {
                let known = self.of(*transaction);
                known.sent.extend(items.iter().map(|item| (item.number, (*place, *item))));
            }
            TransactionEvent::Appended { transaction, place, base_offset: Some(base_offset), first, .. } => {
                if *base_offset < 0 {
                    return Err(format!("{place}: acknowledged at offset {base_offset}"));
                }
                self.of(*transaction).offsets.insert(*first, *base_offset);
            }
            TransactionEvent::EndAsked { transaction, commit } => {
                self.of(*transaction).commits_asked += u32::from(*commit);
            }
            TransactionEvent::Ended { transaction, commit, .. } => self.of(*transaction).ended = Some(*commit),
            TransactionEvent::Refused { transaction, asked_for, code } => {
                let known = self.of(*transaction);
                known.end_refused |= *asked_for == ApiKey::EndTxn;
                // What may pass is asked again, and all else has to have a reason that a transaction can have.
                let has_reason = matches!(
                    code,
                    ErrorCode::InvalidProducerEpoch
                        | ErrorCode::ProducerFenced
                        | ErrorCode::InvalidTxnState
                        | ErrorCode::TransactionAbortable
                );
                if !has_reason {
                    return Err(format!("{asked_for} of transaction {transaction} was refused with {code}"));
                }
            }
            TransactionEvent::Read { place, items, .. } => {
                items.iter().try_for_each(|(offset, item)| self.check_visible(*place, *offset, *item))?;
            }
            TransactionEvent::Drained { place, visible, .. } => {
                visible.iter().try_for_each(|(offset, item)| self.check_visible(*place, *offset, *item))?;
                self.check_order(*place, visible)?;
                self.drained.insert(*place, visible.clone());
            }
            TransactionEvent::AllDrained { .. } => self.check_whole()?,
            _ => {}
        }
        Ok(())
    }
}
