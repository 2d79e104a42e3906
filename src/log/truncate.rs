//! Cutting a log from its end, while it is open: what a follower does whose leader has another history (KIP-101, KIP-279).
//!
//! A cut is one record of the checkpoint: with it the log ends at the cut, without it nothing has happened. What was
//! appended before is written back and covered by a record first, so recovery never replays the journal across a cut; and
//! the segments are written behind the cut only after its record is durable, so recovery never looks for a direct run
//! that was written over. Files of segments that are gone are removed while appends still wait, so that a later segment
//! of the same name cannot lose its own.

use std::rc::Rc;

use super::checkpoint::Effect;
use super::directory::{Access, Kind};
use super::log::{Edge, Log, State};
use super::reader::{Memory, READ_BYTES_MIN, ReadError, whole_batches};
use super::run::block_floor;
use super::segment::Segment;
use super::storage::Storage;
use super::write_back::{self, Thoroughness};
use crate::io::file;
use crate::io::{ErrorKind, Result};
use crate::model::offset::{NO_TIMESTAMP, Offset, Timestamp};
use crate::record::batch::BatchHeader;

/// Where a log is to be cut: in front of a batch.
#[derive(Clone, Debug)]
pub struct Cut {
    segment: Offset,
    position: u32,
    end: Offset,
    /// What stands before the position in its block.
    edge: Vec<u8>,
    /// The largest timestamp of the segment before the position, and the last offset of its batch.
    max: (Timestamp, Offset),
    /// Nothing is left, and the log starts anew at `end`.
    anew: bool,
}

impl Cut {
    /// The log end offset after the cut.
    pub fn end(&self) -> Offset {
        self.end
    }
}

impl Log {
    /// Where to cut so that no record at or behind `to` is left: before the batch that holds it. `None` when there is no
    /// such record. Where none before `to` is left either, the log starts anew there.
    ///
    /// # Errors
    /// [`ReadError`]: where the log cannot be read around `to` it cannot be cut there.
    pub async fn cut_before(self: &Rc<Self>, to: Offset) -> std::result::Result<Option<Cut>, ReadError> {
        if to >= self.end() {
            return Ok(None);
        }
        let anew = |at: Offset| {
            let max = (NO_TIMESTAMP, -1);
            Cut { segment: at, position: 0, end: at, edge: Vec::new(), max, anew: true }
        };
        if to <= self.start() {
            return Ok(Some(anew(to)));
        }
        let (segment, position, end) = self.batch_at(to).await?;
        if end <= self.start() {
            return Ok(Some(anew(self.start())));
        }
        self.load_indexes(segment, Memory::Limited).await?;
        let edge = self.bytes_before(segment, position).await?;
        let max = self.max_before(segment, end).await?;
        Ok(Some(Cut { segment, position, end, edge, max, anew: false }))
    }

    /// Segment, position and base offset of the batch that holds `offset`.
    async fn batch_at(self: &Rc<Self>, offset: Offset) -> std::result::Result<(Offset, u32, Offset), ReadError> {
        let in_tail = {
            let state = self.state();
            let found = state.tail.iter().find(|batch| (batch.base_offset..batch.next_offset).contains(&offset));
            found.map(|batch| (batch.segment, batch.position, batch.base_offset))
        };
        if let Some(found) = in_tail {
            return Ok(found);
        }
        let (bytes, segment, position) = self.find_batch(offset).await?;
        let base = BatchHeader::read(&bytes).map_or(offset, BatchHeader::base_offset);
        Ok((segment, position, base))
    }

    /// What stands before `position` in its block.
    async fn bytes_before(self: &Rc<Self>, segment: Offset, position: u32) -> std::result::Result<Vec<u8>, ReadError> {
        let start = block_floor(position);
        let mut bytes = vec![0; (position - start) as usize];
        let missing = self.state().tail.copy(segment, start, &mut bytes);
        if missing > 0 {
            // What the tail lacks is in the file: it covers all that the files lack.
            let stored = self.load(segment, start, missing as u32, Memory::Limited, Access::Direct).await?;
            if stored.len() < missing {
                let path = self.context.directory.path(self.name(), segment, Kind::Log);
                let at = start as usize + stored.len();
                return Err(ReadError::Corrupt(format!(
                    "{} is damaged at position {at}: it ends here",
                    path.display()
                )));
            }
            bytes[..missing].copy_from_slice(&stored[..missing]);
        }
        Ok(bytes)
    }

    /// The largest timestamp of the segment before the offset `end`, and the last offset of its batch.
    async fn max_before(
        self: &Rc<Self>,
        segment: Offset,
        end: Offset,
    ) -> std::result::Result<(Timestamp, Offset), ReadError> {
        let indexed = {
            let state = self.state();
            let found = state.segments.iter().find(|one| one.base == segment);
            let mut times = found.map(|found| found.indexes.times.clone()).ok_or(ReadError::OutOfRange)?;
            times.truncate_to(end);
            times.last()
        };
        let mut max = match indexed.timestamp {
            NO_TIMESTAMP => (NO_TIMESTAMP, -1),
            timestamp => (timestamp, indexed.offset),
        };
        let start = segment.max(self.start());
        self.batches_between(indexed.offset.max(start), end, |batch| {
            let header = BatchHeader::read(batch).expect("a whole batch has a header");
            if header.max_timestamp() > max.0 {
                max = (header.max_timestamp(), header.last_offset());
            }
        })
        .await?;
        Ok(max)
    }

    /// Shows `each` the batches from the one that holds `from` on, that end at or before `below`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn batches_between(
        self: &Rc<Self>,
        from: Offset,
        below: Offset,
        mut each: impl FnMut(&[u8]),
    ) -> std::result::Result<(), ReadError> {
        let mut from = from;
        while from < below {
            let before = from;
            for slice in self.read_memory(from, READ_BYTES_MIN).await? {
                for (header, batch) in whole_batches(&slice).filter(|(header, _)| header.next_offset() <= below) {
                    each(batch);
                    from = header.next_offset();
                }
            }
            if from == before {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The latest snapshot beside a segment that starts at or before `end`, and that segment's base offset, oldest last in
    /// line; to be asked again with a smaller `end` when it is of no use.
    pub async fn snapshot_before(self: &Rc<Self>, end: Offset) -> Option<(Offset, Rc<[u8]>)> {
        const SNAPSHOT_BYTES_MAX: u64 = 64 << 20;
        let (bases, pending) = {
            let state = self.state();
            let bases = state.segments.iter().map(|segment| segment.base).filter(|base| *base <= end);
            (bases.collect::<Vec<Offset>>(), state.snapshots.clone())
        };
        for base in bases.into_iter().rev() {
            if let Some(found) = pending.iter().find(|(of, _)| *of == base) {
                return Some(found.clone());
            }
            let path = self.context.directory.path(self.name(), base, Kind::Snapshot);
            match file::read_whole(&self.context.io, &path, SNAPSHOT_BYTES_MAX).await {
                Ok(Some(content)) => return Some((base, content.into())),
                Ok(None) => {}
                Err(error) => tracing::warn!("{}: {error}", path.display()),
            }
        }
        None
    }
}

impl State {
    /// Cuts the log; gives the base offsets of the segments whose files are to go.
    fn cut(&mut self, cut: &Cut, wall_ms: Timestamp) -> Vec<Offset> {
        let Cut { segment, position, end, ref edge, max, anew } = *cut;
        self.run = None;
        self.forget_read();
        let goes = |base: Offset| anew || base > segment;
        let gone: Vec<Offset> = self.segments.iter().map(|one| one.base).filter(|base| goes(*base)).collect();
        self.segments.retain(|one| !goes(one.base));
        self.snapshots.retain(|(base, _)| !goes(*base));
        self.doomed.retain(|base| !goes(*base));
        self.dirty.retain_mut(|range| {
            if range.segment == segment {
                range.end = range.end.min(position);
            }
            !goes(range.segment) && range.start < range.end
        });
        self.epochs_written = None;
        if anew {
            self.log_start = end;
            self.tail = Default::default();
            self.epochs.clear();
            self.segments.push(Segment::new(end, wall_ms));
        } else {
            self.tail.truncate(end);
            self.epochs.truncate_from_end(end);
            self.active_mut().cut(position, end, max);
        }
        if self.dirty.is_empty() {
            self.edge = Edge { segment, start: block_floor(position), bytes: edge.clone() };
        }
        gone
    }
}

impl Storage {
    /// Cuts `log`, durably, and has `then` do what follows from it, before anything else is appended. The log's owner is
    /// asked for its state after that.
    ///
    /// # Errors
    /// The kernel's; nothing was cut then, unless the storage is offline. `Interrupted` when the log has changed, so that
    /// it cannot be cut there any more.
    pub async fn truncate(&self, log: &Rc<Log>, cut: &Cut, then: impl FnOnce()) -> Result<()> {
        let _alone = self.inner.passes.enter().await;
        log.state_mut().closed = true;
        let result = self.truncate_closed(log, cut, then).await;
        log.state_mut().closed = false;
        result
    }

    async fn truncate_closed(&self, log: &Rc<Log>, cut: &Cut, then: impl FnOnce()) -> Result<()> {
        let (context, checkpoint) = (&self.inner.context, &self.inner.checkpoint);
        write_back::pass(context, checkpoint, vec![Rc::clone(log)], Thoroughness::Lazy).await?;
        if !cut.anew {
            let loaded = log.load_indexes(cut.segment, Memory::Unlimited).await;
            loaded.map_err(|error| crate::io::Error::other(format!("{error:?}")))?;
        }
        if log.state().removed || !log.is_cut_possible(cut) {
            return Err(ErrorKind::Interrupted.into());
        }
        let gone = {
            let mut state = log.state_mut();
            state.version += 1;
            state.cut(cut, context.io.wall_ms())
        };
        log.cut_durable(cut.end);
        then();
        let captured = log.capture(Thoroughness::Lazy);
        let record = captured.record.encode(log.id());
        if let Err(error) = checkpoint.append(&[(log.id(), record)], Effect::Frees).await {
            log.state_mut().abandon_capture();
            // The record may be there all the same: what would be appended now would not fit it.
            context.journal.fail(format!("the cut of {} at offset {} failed: {error}", log.name(), cut.end));
            return Err(error);
        }
        log.finish_write_back(captured);
        tracing::info!("{} was cut to end at offset {}", log.name(), cut.end);
        if let Err(error) = remove_segments(log, &gone).await {
            tracing::warn!("{}: files of segments that were cut off stay for now: {error}", log.name());
        }
        context.note_change(log);
        Ok(())
    }
}

impl Log {
    /// Whether the place that was found is still one in this log.
    fn is_cut_possible(&self, cut: &Cut) -> bool {
        let state = self.state();
        let found = state.segments.iter().find(|one| one.base == cut.segment);
        let in_segment = found.is_some_and(|found| found.end >= cut.position && found.next_offset >= cut.end);
        cut.end < state.end() && (cut.anew || (in_segment && cut.end > state.log_start))
    }
}

async fn remove_segments(log: &Rc<Log>, gone: &[Offset]) -> Result<()> {
    let (io, directory) = (&log.context.io, &log.context.directory);
    for base in gone {
        directory.forget(log.id(), *base);
        for kind in Kind::ALL {
            file::unlink(io, &directory.path(log.name(), *base, kind)).await?;
        }
    }
    Ok(())
}
