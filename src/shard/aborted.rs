//! Aborted transactions of one partition: the newest in memory and in checkpoints, all others in `.txnindex` files.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::log::Log;
use crate::log::owner::Companion;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::offset::Offset;
use crate::producer::kept::Filed;
use crate::producer::transaction_index::{AbortedTransaction, ENTRY_BYTES, TransactionIndex};

/// Aborted transactions of the active segment that are kept in memory before they go to its file, so that what a
/// checkpoint carries of them is bounded too: 32 bytes each here, about 10 there.
const RECENT_MAX: usize = 2048;
/// Index files kept in memory, for consumers that read old offsets.
const LOADED_MAX: usize = 4;

/// The aborted transactions of one partition.
#[derive(Default)]
pub(super) struct Aborted {
    recent: RefCell<TransactionIndex>,
    filed: std::cell::Cell<Filed>,
    /// Base offset of the segment, how many bytes of its file counted, and what they say; the latest used last.
    loaded: RefCell<VecDeque<(Offset, u64, Rc<TransactionIndex>)>>,
}

impl Aborted {
    pub fn new(recent: TransactionIndex, filed: Filed) -> Aborted {
        Aborted { recent: RefCell::new(recent), filed: std::cell::Cell::new(filed), loaded: RefCell::default() }
    }

    pub fn append(&self, aborted: AbortedTransaction) {
        self.recent.borrow_mut().append(aborted);
    }

    pub fn recent(&self) -> std::cell::Ref<'_, TransactionIndex> {
        self.recent.borrow()
    }

    pub fn filed(&self) -> Filed {
        self.filed.get()
    }

    /// What the files lack: all of the segments that are no longer appended to, and of the active one when it has many,
    /// or with `all`.
    pub fn companions(&self, segments: &[(Offset, Offset)], all: bool) -> Vec<Companion> {
        let recent = self.recent.borrow();
        let mut filed = self.filed.get();
        let mut companions = Vec::new();
        let Some((active, _)) = segments.last().copied() else { return companions };
        for (base, next_offset) in segments {
            if *base == active && !all && recent.entries().len() < RECENT_MAX {
                break;
            }
            let bytes = recent.encode((*base).max(filed.below), *next_offset);
            if bytes.is_empty() {
                continue;
            }
            let at = if filed.segment == *base { filed.bytes } else { 0 };
            filed = Filed { below: *next_offset, segment: *base, bytes: at + bytes.len() as u64 };
            companions.push(Companion { segment: *base, at, bytes, below: *next_offset });
        }
        companions
    }

    /// Lets go of what stands in files now.
    pub fn companions_written(&self, companions: &[Companion]) {
        let Some(last) = companions.last() else { return };
        let bytes = last.at + last.bytes.len() as u64;
        self.filed.set(Filed { below: last.below, segment: last.segment, bytes });
        self.recent.borrow_mut().remove_below(last.below);
    }

    /// The log starts at `offset` now.
    pub fn start_at(&self, offset: Offset) {
        self.recent.borrow_mut().remove_below(offset);
    }

    /// What of the files counts when the log has been cut to end at `end`: their later entries go, or are overwritten.
    ///
    /// # Errors
    /// As [`overlapping`](Self::overlapping).
    pub async fn filed_as_of(&self, log: &Rc<Log>, end: Offset) -> Result<Filed, ClientError> {
        let filed = self.filed.get();
        let holds = |(base, _): &(Offset, Offset)| *base < end;
        let Some((base, _)) = log.segments_from(0).into_iter().take_while(holds).last().filter(|_| filed.below > end)
        else {
            return Ok(Filed { below: filed.below.min(end), ..filed });
        };
        let index = self.load(log, base, &filed).await?;
        let kept = index.entries().iter().take_while(|aborted| aborted.last_offset < end).count();
        Ok(Filed { below: end, segment: base, bytes: (kept * ENTRY_BYTES) as u64 })
    }

    /// The log was cut to end at `end`; `filed` is what [`filed_as_of`](Self::filed_as_of) has found before.
    pub fn cut_off(&self, end: Offset, filed: Filed) {
        self.recent.borrow_mut().truncate_to(end);
        self.loaded.borrow_mut().clear();
        if self.filed.get().below > end {
            self.filed.set(filed);
        }
    }

    /// The transactions that a consumer of the offsets from `from` up to and without `to` has to skip.
    ///
    /// # Errors
    /// KAFKA_STORAGE_ERROR when an index file cannot be read, or is not what was written.
    pub async fn overlapping(
        &self,
        log: &Rc<Log>,
        from: Offset,
        to: Offset,
    ) -> Result<Vec<AbortedTransaction>, ClientError> {
        let filed = self.filed.get();
        let recent = self.recent.borrow().overlapping(from, to).aborted;
        if from >= filed.below || from >= to {
            return Ok(recent);
        }
        let mut aborted = Vec::new();
        for (base, _) in log.segments_from(from) {
            if base >= filed.below {
                break;
            }
            let mut found = self.load(log, base, &filed).await?.overlapping(from, to);
            aborted.append(&mut found.aborted);
            if found.is_complete {
                return Ok(aborted);
            }
        }
        aborted.extend(recent);
        Ok(aborted)
    }

    /// What the file of a segment says, as far as it counts.
    async fn load(&self, log: &Rc<Log>, base: Offset, filed: &Filed) -> Result<Rc<TransactionIndex>, ClientError> {
        let counts = if base == filed.segment { filed.bytes } else { u64::MAX };
        if let Some(index) = self.known(base, counts) {
            return Ok(index);
        }
        let refused = |why: String| {
            let message = format!("the index of aborted transactions of segment {base} of {}: {why}", log.name());
            tracing::error!("{message}");
            ClientError::new(ErrorCode::KafkaStorageError, message)
        };
        let content = log.companion(base).await.map_err(|error| refused(error.to_string()))?;
        let counting = if counts == u64::MAX { Some(&content[..]) } else { content.get(..counts as usize) };
        let Some(counting) = counting else {
            return Err(refused(format!("it has {} bytes and should have {counts}", content.len())));
        };
        let index = TransactionIndex::decode(base, counting).map_err(|corrupt| refused(corrupt.to_string()))?;
        let index = Rc::new(index);
        let mut loaded = self.loaded.borrow_mut();
        loaded.retain(|(other, ..)| *other != base);
        if loaded.len() == LOADED_MAX {
            loaded.pop_front();
        }
        loaded.push_back((base, counts, Rc::clone(&index)));
        Ok(index)
    }

    fn known(&self, base: Offset, counts: u64) -> Option<Rc<TransactionIndex>> {
        let mut loaded = self.loaded.borrow_mut();
        let at = loaded.iter().position(|(other, bytes, _)| *other == base && *bytes == counts)?;
        let used = loaded.remove(at)?;
        let index = Rc::clone(&used.2);
        loaded.push_back(used);
        Some(index)
    }
}

const _: () = assert!(ENTRY_BYTES == 34, "as Kafka's AbortedTxn");

#[cfg(test)]
mod tests;
