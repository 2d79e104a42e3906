//! The coordinators of one reactor: one for each partition of an internal topic that it hosts.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::config::Config;
use crate::coordinator::group::config::{GroupConfig, OfBroker};
use crate::coordinator::group::machine::GroupMachine;
use crate::coordinator::machine::Machine;
use crate::coordinator::runtime::Coordinator;
use crate::coordinator::transaction::machine::{TransactionConfig, TransactionMachine};
use crate::io::Handle;
use crate::metadata::config::layers::Layers;
use crate::metadata::controller::internal_topics::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC};
use crate::metadata::delta::Changes;
use crate::metadata::image::Image;
use crate::model::ids::{PartitionId, PartitionIndex};
use crate::shard::Shard;

type ByPartition<M> = RefCell<BTreeMap<PartitionId, Rc<Coordinator<M>>>>;

/// The coordinators of this reactor.
#[derive(Default)]
pub struct Coordinators {
    groups: ByPartition<GroupMachine>,
    transactions: ByPartition<TransactionMachine>,
}

fn all<M: Machine>(coordinators: &ByPartition<M>) -> Vec<Rc<Coordinator<M>>> {
    coordinators.borrow().values().cloned().collect()
}

fn transaction_config(layers: &Layers<'_>) -> TransactionConfig {
    TransactionConfig {
        timeout_ms_max: i32::try_from(layers.whole("transaction.max.timeout.ms")).unwrap_or(i32::MAX),
        expiration_ms: layers.whole("transactional.id.expiration.ms"),
        expiry_interval_ms: layers.whole("transaction.remove.expired.transaction.cleanup.interval.ms"),
        ..TransactionConfig::default()
    }
}

impl Coordinators {
    /// Notes that a partition is open here, and starts its coordinator if `topic` is one that has them.
    pub fn opened(&self, io: &Handle, config: &Arc<Config>, image: &Rc<Image>, topic: &str, shard: &Rc<Shard>) {
        let (id, name) = (shard.id(), format!("{topic}-{}", shard.id().index));
        let (io, shard, image, config) = (io.clone(), Rc::clone(shard), Rc::clone(image), Arc::clone(config));
        let compaction = config.compaction;
        match topic {
            OFFSETS_TOPIC => {
                let of_broker = OfBroker { statics: Arc::new(config.kafka.clone()), id: config.node_id };
                let make = move |image: &Image| GroupMachine::new(GroupConfig::of(image, of_broker.clone()));
                let started = Coordinator::start(&io, shard, name, image, compaction, Box::new(make));
                self.groups.borrow_mut().insert(id, started);
            }
            TRANSACTIONS_TOPIC => {
                let make = move |image: &Image| {
                    TransactionMachine::new(transaction_config(&Layers::new(image, &config.kafka, config.node_id)))
                };
                let started = Coordinator::start(&io, shard, name, image, compaction, Box::new(make));
                self.transactions.borrow_mut().insert(id, started);
            }
            _ => {}
        }
    }

    /// Notes that a partition is about to be removed.
    pub fn removed(&self, id: PartitionId) {
        let group = self.groups.borrow_mut().remove(&id);
        if let Some(coordinator) = group {
            coordinator.close();
        }
        let transaction = self.transactions.borrow_mut().remove(&id);
        if let Some(coordinator) = transaction {
            coordinator.close();
        }
    }

    /// Puts another image in force.
    pub fn image_changed(&self, image: &Rc<Image>, changes: &Changes) {
        all(&self.groups).iter().for_each(|one| one.image_changed(Rc::clone(image), changes));
        all(&self.transactions).iter().for_each(|one| one.image_changed(Rc::clone(image), changes));
    }

    /// Ends them all: the broker stops.
    pub fn close(&self) {
        all(&self.groups).iter().for_each(|one| one.close());
        all(&self.transactions).iter().for_each(|one| one.close());
    }

    /// The coordinator of the groups of a partition.
    pub fn group(&self, id: PartitionId) -> Option<Rc<Coordinator<GroupMachine>>> {
        self.groups.borrow().get(&id).cloned()
    }

    /// All coordinators of groups here, with their partitions' numbers.
    pub fn groups(&self) -> Vec<(PartitionIndex, Rc<Coordinator<GroupMachine>>)> {
        self.groups.borrow().iter().map(|(id, one)| (id.index, Rc::clone(one))).collect()
    }

    /// The coordinator of the transactions of a partition.
    pub fn transaction(&self, id: PartitionId) -> Option<Rc<Coordinator<TransactionMachine>>> {
        self.transactions.borrow().get(&id).cloned()
    }

    /// All coordinators of transactions here, with their partitions' numbers.
    pub fn transactions(&self) -> Vec<(PartitionIndex, Rc<Coordinator<TransactionMachine>>)> {
        self.transactions.borrow().iter().map(|(id, one)| (id.index, Rc::clone(one))).collect()
    }
}
