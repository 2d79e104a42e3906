//! Direct runs: what one partition appends within a group beyond a threshold goes straight to its segment.
//!
//! A run's buffer is laid out like the segment itself (a position has the same remainder modulo 4 KiB in both), so whole
//! blocks of it are written with O_DIRECT as they stand, and the next run goes on in the same buffer. The first block of
//! a run may hold bytes that are committed already; it is written again only because the journal or the checkpoint still
//! holds those bytes, so a torn write cannot hurt them. What lies behind the last whole block rides in the group.

use std::rc::Rc;

use super::group::{Entry, EntryKind};
use super::log::Log;
use crate::base::block::{Appender, BLOCK_ALIGN, Pool, Slice, Use};
use crate::io::op::Slices;
use crate::io::{Handle, Result};
use crate::model::offset::Offset;
use crate::record::batch::CRC_COVERS_FROM;
use crate::record::crc;

/// Size of a run's buffer unless a batch is larger, in bytes.
const RUN_BLOCK_BYTES: usize = 1 << 20;

/// `position` rounded down to a whole block.
pub fn block_floor(position: u32) -> u32 {
    position - position % BLOCK_ALIGN as u32
}

/// The buffer that one log's runs are staged in.
pub struct RunBuffer {
    appender: Appender,
    /// Base offset of the segment.
    pub segment: Offset,
    /// Position in the segment of the buffer's first byte, a multiple of 4 KiB.
    origin: u32,
    /// The run that is being staged in the open group.
    open: Option<OpenRun>,
}

struct OpenRun {
    start: u32,
    prefix_crc: u32,
}

/// A run as it is handed to the journal.
pub struct SealedRun {
    /// Its entry in the group.
    pub entry: Entry,
    /// Its whole blocks.
    pub bytes: Slice,
    /// What lies behind them.
    pub rest: Slice,
    /// Where its whole blocks go in the segment.
    pub at: u32,
    /// The log it belongs to.
    pub log: Rc<Log>,
}

impl RunBuffer {
    /// A buffer for a run that starts at `position` and takes at least `bytes`; `fill_front` writes what the segment
    /// holds between the start of the block and `position`. `None` without memory.
    pub fn new(
        pool: &Pool,
        segment: Offset,
        position: u32,
        bytes: usize,
        fill_front: impl FnOnce(u32, &mut [u8]),
    ) -> Option<RunBuffer> {
        let origin = block_floor(position);
        let front = (position - origin) as usize;
        let block = pool.block_unlimited((front + bytes).max(RUN_BLOCK_BYTES), Use::Tail)?;
        let mut appender = block.into_appender();
        fill_front(origin, appender.reserve(front));
        appender.share(front);
        Some(RunBuffer { appender, segment, origin, open: None })
    }

    /// Whether `bytes` more, to stand at `position` of `segment`, go on where the buffer ends.
    pub fn takes(&self, segment: Offset, position: u32, bytes: usize) -> bool {
        self.segment == segment && self.end() == position && self.appender.room() >= bytes
    }

    /// Whether a run is being staged.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    fn end(&self) -> u32 {
        self.origin + self.appender.filled() as u32
    }

    /// Stages a batch of `bytes`, which `fill` writes. Nothing is staged when it fails. Tells whether a run was opened.
    ///
    /// # Errors
    /// What `fill` returns.
    pub fn stage<E>(
        &mut self,
        bytes: usize,
        fill: impl FnOnce(&mut [u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(Slice, bool), E> {
        let start = self.end();
        fill(self.appender.reserve(bytes))?;
        let slice = self.appender.share(bytes);
        let opened = self.open.is_none();
        let run = self.open.get_or_insert(OpenRun { start, prefix_crc: 0 });
        run.prefix_crc = prefix_crc(run.prefix_crc, &slice);
        Ok((slice, opened))
    }

    /// Closes the open run: `entry` names its log, version and end.
    pub fn seal(&mut self, log: &Rc<Log>, mut entry: Entry) -> Option<SealedRun> {
        let OpenRun { start, prefix_crc } = self.open.take()?;
        let end = self.end();
        let (first, last) = (block_floor(start), block_floor(end));
        let rest_start = last.max(start);
        entry.kind = if last > first { EntryKind::Run } else { EntryKind::Append };
        entry.position = start;
        if entry.kind == EntryKind::Run {
            (entry.run_bytes, entry.run_crc) = (end - start, prefix_crc);
        }
        let bytes = self.range(first, last);
        let rest = self.range(rest_start, end);
        Some(SealedRun { entry, bytes, rest, at: first, log: Rc::clone(log) })
    }

    fn range(&self, start: u32, end: u32) -> Slice {
        self.appender.shared((start - self.origin) as usize..(end - self.origin) as usize)
    }
}

/// Adds a batch to a run's checksum: its header up to and including the CRC field, which covers all that follows.
pub fn prefix_crc(crc: u32, batch: &[u8]) -> u32 {
    crc::crc32c_append(crc, &batch[..CRC_COVERS_FROM])
}

impl SealedRun {
    /// Writes the whole blocks to the segment, durably.
    pub(super) async fn write(self, io: &Handle) -> Result<()> {
        let result = if self.bytes.is_empty() { Ok(()) } else { self.write_blocks(io).await };
        self.log.run_finished(self.entry.segment, self.at, result.is_err());
        result
    }

    async fn write_blocks(&self, io: &Handle) -> Result<()> {
        let file = self.log.active_file(self.entry.segment).await?;
        let mut slices = Slices::new();
        slices.push(self.bytes.clone());
        file.write_at(io, u64::from(self.at), slices, true).await
    }
}
