//! Loading: the partition's log replayed into an empty machine.

use super::Coordinator;
use crate::coordinator::machine::{Machine, TransactionOf};
use crate::model::offset::{NO_LEADER_EPOCH, Offset};
use crate::record::control::EndTransaction;
use crate::record::{self, BatchHeader};
use crate::shard::Isolation;

/// Bytes that are read at a time, or one batch.
const READ_BYTES: u32 = 1 << 20;
/// Records that one load complains about; the rest is counted.
const COMPLAINTS_MAX: usize = 20;

/// What a load has brought.
pub(super) struct Loaded<M> {
    pub machine: M,
    pub bytes: u64,
    pub records: u64,
    /// Records that did not fit and were passed over.
    pub unknown: usize,
}

/// The state of a load.
struct Replay<'a, M> {
    name: &'a str,
    loaded: Loaded<M>,
}

impl<M: Machine> Coordinator<M> {
    /// Replays everything that is visible.
    ///
    /// When a durable write has failed, what was on its way may be in the log at the next start or not: until then nobody
    /// can say what a coordinator of this log knows, and none is loaded.
    ///
    /// # Errors
    /// A sentence that says what in the log cannot be read.
    pub(super) async fn load(&self) -> Result<Loaded<M>, String> {
        if let Some(reason) = self.shard.storage_failure() {
            return Err(format!("the storage is offline because a durable write failed: {reason}"));
        }
        let machine = (self.make)(&self.image.borrow());
        let mut replay = Replay { name: &self.name, loaded: Loaded { machine, bytes: 0, records: 0, unknown: 0 } };
        let mut from = self.shard.offsets().log_start;
        // Nothing is appended meanwhile but what clients may write as an administrator, so this ends.
        while from < self.shard.high_watermark() {
            let read = self.shard.read(from, READ_BYTES, true, Isolation::ReadUncommitted, NO_LEADER_EPOCH).await;
            let start = self.shard.offsets().log_start;
            if start > from {
                // Old records were deleted under the reader: the snapshot that replaces them is still to come, and what ends
                // some of those read so far may be among them.
                replay.loaded = Loaded { machine: (self.make)(&self.image.borrow()), bytes: 0, records: 0, unknown: 0 };
                from = start;
                continue;
            }
            let fetched = read.map_err(|error| format!("offset {from}: {error}"))?;
            let bytes = fetched.gather(&self.io).await?;
            let next = replay.batches(&bytes, from)?;
            if next == from {
                return Err(format!("the log ends at offset {from}, before its high watermark"));
            }
            from = next;
            self.io.yield_now().await;
        }
        if replay.loaded.unknown > COMPLAINTS_MAX {
            tracing::warn!(
                coordinator = self.name,
                records = replay.loaded.unknown,
                "did not fit and were passed over"
            );
        }
        Ok(replay.loaded)
    }
}

impl<M: Machine> Replay<'_, M> {
    fn batches(&mut self, bytes: &[u8], from: Offset) -> Result<Offset, String> {
        let mut next = from;
        for batch in record::batches(bytes) {
            let at = |error: &dyn std::fmt::Display| format!("the batch at offset {next}: {error}");
            let (header, batch) = batch.map_err(|error| at(&error))?;
            record::check_stored(batch).map_err(|error| at(&error))?;
            let end = header.next_offset();
            if end > from {
                self.batch(header, batch, from).map_err(|error| at(&error))?;
                self.loaded.bytes += batch.len() as u64;
            }
            next = end;
        }
        Ok(next)
    }

    fn batch(&mut self, header: &BatchHeader, batch: &[u8], from: Offset) -> Result<(), record::Corruption> {
        let transaction = header
            .is_transactional()
            .then(|| TransactionOf { producer_id: header.producer_id(), producer_epoch: header.producer_epoch() });
        for stored in &record::records(batch)? {
            let stored = stored?;
            // The first batch may begin before the log does.
            if stored.offset < from {
                continue;
            }
            self.loaded.records += 1;
            if header.is_control() {
                if let (Some(end), Some(transaction)) = (EndTransaction::from_record(&stored), transaction) {
                    self.loaded.machine.replay_marker(transaction, end.is_commit);
                }
                continue;
            }
            let replayed = match stored.key {
                Some(key) => self.loaded.machine.replay(key, stored.value, transaction),
                None => Err("a record without a key".to_owned()),
            };
            if let Err(reason) = replayed {
                self.complain(stored.offset, &reason);
            }
        }
        Ok(())
    }

    fn complain(&mut self, offset: Offset, reason: &str) {
        self.loaded.unknown += 1;
        if self.loaded.unknown <= COMPLAINTS_MAX {
            tracing::warn!(coordinator = self.name, offset, "a record is passed over: {reason}");
        }
    }
}
