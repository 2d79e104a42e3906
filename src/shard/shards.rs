//! The shards of one reactor and the storage below them.

use std::cell::RefCell;
use std::rc::Rc;

use super::settings::ShardSettings;
use super::shard::Shard;
use crate::base::map::Map;
use crate::base::time::Duration;
use crate::io::{Handle, Result};
use crate::log::journal::Durable;
use crate::log::recovery::RecoveredPart;
use crate::log::stats::StorageStats;
use crate::log::{Storage, StorageConfig};
use crate::model::ids::PartitionId;
use crate::model::offset::LeaderEpoch;

/// How often producers that have expired are looked for; Kafka's `producer.id.expiration.check.interval.ms`.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(600);

/// The shards of one reactor. Clones share them.
#[derive(Clone)]
pub struct Shards {
    inner: Rc<Inner>,
}

struct Inner {
    io: Handle,
    storage: Storage,
    shards: RefCell<Map<PartitionId, Rc<Shard>>>,
}

/// Starts the storage of this reactor with what was recovered for it. Its shards are then opened one by one.
///
/// # Errors
/// The kernel's.
pub async fn start(io: &Handle, config: StorageConfig, part: RecoveredPart) -> Result<Shards> {
    let storage = Storage::start(io, config, part).await?;
    let shards = Shards { inner: Rc::new(Inner { io: io.clone(), storage, shards: RefCell::default() }) };
    io.spawn(shards.clone().follow_journal());
    io.spawn(shards.clone().expire());
    Ok(shards)
}

impl Shards {
    /// The shard of a partition, if it is hosted here.
    pub fn get(&self, id: PartitionId) -> Option<Rc<Shard>> {
        self.inner.shards.borrow().get(&id).cloned()
    }

    /// Opens the shard of a partition whose directory is `name`, with what was recovered of it. Does no I/O.
    pub fn open(&self, id: PartitionId, name: &str, settings: ShardSettings, leader_epoch: LeaderEpoch) -> Rc<Shard> {
        let shard = Shard::open(&self.inner.io, &self.inner.storage, id, name, settings, leader_epoch);
        self.inner.shards.borrow_mut().insert(id, Rc::clone(&shard));
        shard
    }

    /// Removes a partition, open or merely recovered, and frees its space, durably.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn remove(&self, id: PartitionId) -> Result<()> {
        let shard = self.inner.shards.borrow_mut().remove(&id);
        if let Some(shard) = shard {
            shard.close();
        }
        self.inner.storage.remove(id).await
    }

    /// The partitions hosted here, in order.
    pub fn ids(&self) -> Vec<PartitionId> {
        let mut ids: Vec<_> = self.inner.shards.borrow().keys().copied().collect();
        ids.sort();
        ids
    }

    /// Partitions that were recovered and not opened: of topics that were being deleted.
    pub fn unclaimed(&self) -> Vec<PartitionId> {
        self.inner.storage.unclaimed()
    }

    /// Counts of the storage since its start.
    pub fn stats(&self) -> StorageStats {
        self.inner.storage.stats()
    }

    /// Makes all durable, writes all back and completes the checkpoint.
    ///
    /// # Errors
    /// The kernel's; nothing that was acknowledged is lost by it.
    pub async fn shutdown(&self) -> Result<()> {
        self.inner.storage.shutdown().await
    }

    /// The task that hears from the journal what is durable.
    async fn follow_journal(self) {
        loop {
            for event in self.inner.storage.next_durable().await {
                match event {
                    Durable::Log(log, end) => {
                        let shard = self.get(log.id());
                        if let Some(shard) = shard {
                            shard.advance(end);
                        }
                    }
                    Durable::Failed(reason) => {
                        let shards: Vec<_> = self.inner.shards.borrow().values().cloned().collect();
                        shards.iter().for_each(|shard| shard.fail(&reason));
                    }
                }
            }
        }
    }

    async fn expire(self) {
        loop {
            self.inner.io.sleep(EXPIRY_INTERVAL).await;
            let shards: Vec<_> = self.inner.shards.borrow().values().cloned().collect();
            for shard in shards {
                shard.expire_producers(self.inner.io.wall_ms());
                self.inner.io.yield_now().await;
            }
        }
    }
}
