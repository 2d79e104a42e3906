//! What cutting a partition from its end means: the log, its producers as of there, who waits.

use std::rc::Rc;

use super::aborted::Remaining;
use super::append::gone;
use super::read::client_error;
use super::replay::Replayed;
use super::shard::Shard;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::offset::Offset;

impl Shard {
    /// Cuts the partition, durably, so that no record at or behind `to` is left, and gives the log end offset after that.
    /// Batches stay whole: it lies before `to` when a batch held records on both sides. Below the log start everything goes,
    /// and the log starts anew at `to`. Appends that wait are answered with NOT_LEADER_OR_FOLLOWER: only a replica that
    /// leads no more is cut (KIP-101).
    ///
    /// # Errors
    /// CORRUPT_MESSAGE when the log cannot be read around `to`; KAFKA_STORAGE_ERROR when the cut could not be made to last.
    pub async fn truncate(self: &Rc<Self>, to: Offset) -> Result<Offset, ClientError> {
        if to < 0 {
            let message = format!("a log cannot end at offset {to}: give 0 or more");
            return Err(ClientError::new(ErrorCode::OffsetOutOfRange, message));
        }
        let Some(cut) = self.log().cut_before(to).await.map_err(client_error)? else { return Ok(self.log().end()) };
        let mut replayed = Replayed::as_of(self.log(), cut.end(), cut.end()).await?;
        // What ended after the cut is open again; nobody has read beyond the high watermark, which is what is left.
        replayed.open.advance(cut.end());
        let aborted = self.aborted().as_of(self.log(), cut.end()).await?;
        let cut_off = || self.cut_off(cut.end(), replayed, aborted);
        self.storage().truncate(self.log(), &cut, cut_off).await.map_err(|error| {
            let message = format!("the log could not be cut at offset {}: {error}", cut.end());
            ClientError::new(ErrorCode::KafkaStorageError, message)
        })?;
        Ok(cut.end())
    }

    /// What follows from a cut, before anything else is appended.
    fn cut_off(&self, end: Offset, replayed: Replayed, aborted: Remaining) {
        *self.producers().borrow_mut() = replayed.producers;
        self.close_transactions();
        self.transactions().borrow_mut().open = replayed.open;
        self.aborted().cut_off(aborted);
        self.retreat(end);
        self.parked().borrow_mut().clear();
        self.waiters().fail(&gone());
    }
}
