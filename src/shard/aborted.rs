//! Aborted transactions of one partition: the newest in memory and in checkpoints, all others in `.txnindex` files.

use std::cell::{Cell, Ref, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use super::replay::Replayed;
use crate::base::oneshot;
use crate::log::Log;
use crate::log::owner::Companion;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::offset::Offset;
use crate::producer::kept::{Filed, FiledSegment};
use crate::producer::transaction_index::{AbortedTransaction, ENTRY_BYTES, TransactionIndex};
use crate::record::crc;

/// Aborted transactions of the active segment that are kept in memory before they go to its file, so that what a
/// checkpoint carries of them is bounded too: 32 bytes each here, about 10 there.
const RECENT_MAX: usize = 2048;
/// Index files kept in memory, for consumers that read old offsets.
const LOADED_MAX: usize = 4;

/// The aborted transactions of one partition.
#[derive(Default)]
pub(super) struct Aborted {
    recent: RefCell<TransactionIndex>,
    filed: RefCell<Filed>,
    /// Base offset of the segment, how many bytes of its file counted, and what they say; the latest used last.
    loaded: RefCell<VecDeque<(Offset, u64, Rc<TransactionIndex>)>>,
    /// A file is being made anew.
    rebuilding: Cell<bool>,
    /// Who waits for that.
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
}

/// What is left of the aborted transactions after a cut.
#[derive(Debug, Default)]
pub(super) struct Remaining {
    recent: TransactionIndex,
    filed: Filed,
}

/// A segment and the end of what its file has to hold.
#[derive(Clone, Copy)]
struct Part {
    base: Offset,
    end: Offset,
}

impl Aborted {
    pub fn new(recent: TransactionIndex, filed: Filed) -> Aborted {
        Aborted { recent: RefCell::new(recent), filed: RefCell::new(filed), ..Aborted::default() }
    }

    pub fn append(&self, aborted: AbortedTransaction) {
        self.recent.borrow_mut().append(aborted);
    }

    pub fn recent(&self) -> Ref<'_, TransactionIndex> {
        self.recent.borrow()
    }

    pub fn filed(&self) -> Ref<'_, Filed> {
        self.filed.borrow()
    }

    /// What the files lack: all of the segments that are no longer appended to, and of the active one when it has many,
    /// or with `all`.
    pub fn companions(&self, segments: &[(Offset, Offset)], all: bool) -> Vec<Companion> {
        let recent = self.recent.borrow();
        let mut filed = self.filed.borrow().clone();
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
            let at = filed.of(*base).map_or(0, |file| file.bytes);
            filed.append(*base, &bytes, *next_offset);
            companions.push(Companion { segment: *base, at, bytes, below: *next_offset });
        }
        companions
    }

    /// Lets go of what stands in files now.
    pub fn companions_written(&self, companions: &[Companion]) {
        let filed = &mut *self.filed.borrow_mut();
        for Companion { segment, bytes, below, .. } in companions {
            filed.append(*segment, bytes, *below);
        }
        if !companions.is_empty() {
            self.recent.borrow_mut().remove_below(filed.below);
        }
    }

    /// The log starts at `offset` now, in the segment at `base` or before it.
    pub fn start_at(&self, offset: Offset, base: Offset) {
        self.recent.borrow_mut().remove_below(offset);
        self.filed.borrow_mut().segments.retain(|file| file.base >= base);
    }

    /// What is left when the log has been cut to end at `end`: in memory, and of the files, whose later entries go or are
    /// overwritten. It stays right whatever goes from memory to the files before the cut.
    ///
    /// # Errors
    /// As [`overlapping`](Self::overlapping).
    pub async fn as_of(&self, log: &Rc<Log>, end: Offset) -> Result<Remaining, ClientError> {
        let mut recent = self.recent.borrow().clone();
        recent.truncate_to(end);
        let filed = self.filed.borrow().clone();
        Ok(Remaining { recent, filed: self.filed_as_of(log, filed, end).await? })
    }

    async fn filed_as_of(&self, log: &Rc<Log>, mut filed: Filed, end: Offset) -> Result<Filed, ClientError> {
        let holds = |(base, _): &(Offset, Offset)| *base < end;
        let last = log.segments_from(0).into_iter().take_while(holds).last().filter(|_| filed.below > end);
        let Some((base, next_offset)) = last else {
            filed.segments.retain(|file| file.base < end);
            return Ok(Filed { below: filed.below.min(end), ..filed });
        };
        let index = self.load(log, Part { base, end: next_offset.min(filed.below) }).await?;
        filed.segments.retain(|file| file.base < base);
        let kept = index.encode(base, end);
        if kept.is_empty() {
            filed.below = end;
        } else {
            filed.append(base, &kept, end);
        }
        Ok(filed)
    }

    /// The log was cut; `remaining` is what [`as_of`](Self::as_of) has found before.
    pub fn cut_off(&self, remaining: Remaining) {
        *self.recent.borrow_mut() = remaining.recent;
        *self.filed.borrow_mut() = remaining.filed;
        self.loaded.borrow_mut().clear();
    }

    /// The transactions that a consumer of the offsets from `from` up to and without `to` has to skip.
    ///
    /// # Errors
    /// KAFKA_STORAGE_ERROR when an index file cannot be read, or is not what was written and the log does not say either.
    pub async fn overlapping(
        &self,
        log: &Rc<Log>,
        from: Offset,
        to: Offset,
    ) -> Result<Vec<AbortedTransaction>, ClientError> {
        let below = self.filed.borrow().below;
        let recent = self.recent.borrow().overlapping(from, to).aborted;
        if from >= below || from >= to {
            return Ok(recent);
        }
        let mut aborted = Vec::new();
        for (base, next_offset) in log.segments_from(from) {
            if base >= below {
                break;
            }
            let mut found = self.load(log, Part { base, end: next_offset.min(below) }).await?.overlapping(from, to);
            aborted.append(&mut found.aborted);
            if found.is_complete {
                return Ok(aborted);
            }
        }
        aborted.extend(recent);
        Ok(aborted)
    }

    /// What the file of a segment says, as far as it counts. One that is lost or damaged is made anew.
    async fn load(&self, log: &Rc<Log>, part: Part) -> Result<Rc<TransactionIndex>, ClientError> {
        let (expected, listed) = {
            let filed = self.filed.borrow();
            (filed.of(part.base).copied(), part.base >= filed.listed_from)
        };
        if expected.is_none() && listed {
            return Ok(Rc::default());
        }
        let counts = expected.map_or(u64::MAX, |expected| expected.bytes);
        self.until_rebuilt().await;
        if let Some(index) = self.known(part.base, counts) {
            return Ok(index);
        }
        let name = || format!("the index of aborted transactions of segment {} of {}", part.base, log.name());
        let content = log.companion(part.base).await.map_err(|error| refused(format!("{}: {error}", name())))?;
        let index = match checked(part.base, &content, expected) {
            Ok(index) => Rc::new(index),
            Err(why) => {
                let rebuilding = Rebuilding::begin(self).await;
                if let Some(index) = self.known(part.base, counts) {
                    return Ok(index);
                }
                let rebuilt = rebuilt(log, part).await.map_err(|error| {
                    refused(format!("{}: {why}; it cannot be made anew: {}", name(), error.message))
                })?;
                tracing::warn!("{}: {why}: made anew from the log", name());
                self.repair(log, part, expected, &rebuilt).await;
                let index = Rc::new(rebuilt);
                self.keep(part.base, expected, &index);
                drop(rebuilding);
                return Ok(index);
            }
        };
        self.keep(part.base, expected, &index);
        Ok(index)
    }

    /// Writes an index that was made anew. Where that fails, or the file is still added to and the log no longer says
    /// everything that stood in it, it is made anew once more when it is next asked for.
    async fn repair(&self, log: &Rc<Log>, part: Part, expected: Option<FiledSegment>, rebuilt: &TransactionIndex) {
        let bytes = rebuilt.encode(part.base, part.end);
        let mut written = Filed::default();
        written.append(part.base, &bytes, part.end);
        let now = written.segments.pop().filter(|_| !bytes.is_empty());
        let same = expected.zip(now).is_some_and(|(expected, now)| {
            expected.bytes == now.bytes && expected.crc.is_none_or(|crc| Some(crc) == now.crc)
        });
        let is_last = self.filed.borrow().segments.last().is_none_or(|last| last.base <= part.base);
        if is_last && !same {
            return;
        }
        if let Err(error) = log.repair_companion(part.base, &bytes).await {
            return tracing::warn!("an index of aborted transactions of {} cannot be written: {error}", log.name());
        }
        let filed = &mut *self.filed.borrow_mut();
        if let Ok(at) = filed.segments.binary_search_by_key(&part.base, |file| file.base)
            && expected == Some(filed.segments[at])
            && !same
        {
            match now {
                Some(now) => filed.segments[at] = now,
                None => {
                    filed.segments.remove(at);
                }
            }
        }
    }

    /// Keeps what a file says, unless the log was cut while it was read.
    fn keep(&self, base: Offset, expected: Option<FiledSegment>, index: &Rc<TransactionIndex>) {
        let now = self.filed.borrow().of(base).copied();
        if now != expected {
            return;
        }
        let counts = expected.map_or(u64::MAX, |expected| expected.bytes);
        let mut loaded = self.loaded.borrow_mut();
        loaded.retain(|(other, ..)| *other != base);
        if loaded.len() == LOADED_MAX {
            loaded.pop_front();
        }
        loaded.push_back((base, counts, Rc::clone(index)));
    }

    /// Waits while a file is being made anew: reading a segment once is enough for all who ask.
    async fn until_rebuilt(&self) {
        while self.rebuilding.get() {
            let (sender, receiver) = oneshot::channel();
            self.waiting.borrow_mut().push(sender);
            receiver.await;
        }
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

/// A file being made anew, until this is dropped.
struct Rebuilding<'a>(&'a Aborted);

impl<'a> Rebuilding<'a> {
    async fn begin(aborted: &'a Aborted) -> Rebuilding<'a> {
        aborted.until_rebuilt().await;
        aborted.rebuilding.set(true);
        Rebuilding(aborted)
    }
}

impl Drop for Rebuilding<'_> {
    fn drop(&mut self) {
        self.0.rebuilding.set(false);
        // Whoever waits looks again.
        self.0.waiting.borrow_mut().drain(..).for_each(|waiting| waiting.send(()));
    }
}

fn refused(message: String) -> ClientError {
    tracing::error!("{message}");
    ClientError::new(ErrorCode::KafkaStorageError, message)
}

/// What a file says, if it is what was written.
fn checked(base: Offset, content: &[u8], expected: Option<FiledSegment>) -> Result<TransactionIndex, String> {
    let counting = match expected {
        None => content,
        Some(FiledSegment { bytes, crc, .. }) => {
            let counting = content.get(..bytes as usize);
            let counting = counting.ok_or_else(|| format!("it has {} bytes and should have {bytes}", content.len()))?;
            if crc.is_some_and(|crc| crc != crc::crc32c(counting)) {
                return Err("its checksum is not that of what was written".to_owned());
            }
            counting
        }
    };
    TransactionIndex::decode(base, counting).map_err(|corrupt| corrupt.to_string())
}

/// What the file of a segment has to hold, from the log.
async fn rebuilt(log: &Rc<Log>, part: Part) -> Result<TransactionIndex, ClientError> {
    let replayed = Replayed::as_of(log, part.base, part.end).await?;
    let mut index = TransactionIndex::new();
    replayed.aborted.into_iter().filter(|one| one.last_offset >= part.base).for_each(|one| index.append(one));
    Ok(index)
}

const _: () = assert!(ENTRY_BYTES == 34, "as Kafka's AbortedTxn");

#[cfg(test)]
mod tests;
