//! What a log's owner keeps with it, as bytes that mean nothing to the log: a state in each checkpoint, and a growing
//! companion file beside each segment.

use std::rc::Rc;

use super::directory::Kind;
use super::log::Log;
use super::write_back::Thoroughness;
use crate::base::block::Slice;
use crate::io::Result;
use crate::io::file::{self, File};
use crate::io::op::OpenMode;
use crate::model::offset::Offset;

/// The owner of a log.
pub trait Owner {
    /// What is to be kept with a checkpoint, as of the log's end.
    fn state(&self) -> Vec<u8>;

    /// What is to be added to companion files now, given the log's segments as base offset and next offset, the last of
    /// which is appended to; with `all`, everything. What is not added stays in the state.
    fn companions(&self, segments: &[(Offset, Offset)], all: bool) -> Vec<Companion>;

    /// What [`Owner::companions`] gave is on disk, durably, and so is a checkpoint that was made after it.
    fn companions_written(&self, companions: &[Companion]);
}

/// What a start found of what an owner knew.
#[derive(Debug, Default)]
pub struct Owned {
    /// What [`Owner::state`] gave for the last checkpoint; empty without one.
    pub state: Vec<u8>,
    /// Whole batches back to back that were appended after it, in order. Records that were deleted since are among them.
    pub since: Vec<Slice>,
}

/// Bytes to be added to a segment's companion file, which then ends with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Companion {
    /// Base offset of the segment.
    pub segment: Offset,
    /// Where in the file.
    pub at: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The offset up to which the files hold everything then.
    pub below: Offset,
}

impl Log {
    /// Has `owner` asked for what is to be kept with each checkpoint.
    pub fn set_owner(&self, owner: Rc<dyn Owner>) {
        *self.owner().borrow_mut() = Some(owner);
    }

    pub(super) fn owner_state(&self) -> Vec<u8> {
        let owner = self.owner().borrow().clone();
        owner.map(|owner| owner.state()).unwrap_or_default()
    }

    /// What the owner wants added to its files; to be asked while the log is held.
    pub(super) fn companions(&self, thoroughness: Thoroughness) -> Vec<Companion> {
        let owner = self.owner().borrow().clone();
        owner.map_or_else(Vec::new, |owner| {
            owner.companions(&self.segments_from(0), thoroughness == Thoroughness::Final)
        })
    }

    pub(super) fn companions_written(&self, companions: &[Companion]) {
        let owner = self.owner().borrow().clone();
        if let Some(owner) = owner.filter(|_| !companions.is_empty()) {
            owner.companions_written(companions);
        }
    }

    /// The segments that hold `offset` or what comes after it: base offset and next offset, oldest first.
    pub fn segments_from(&self, offset: Offset) -> Vec<(Offset, Offset)> {
        let state = self.state();
        let newer = state.segments.iter().skip_while(|segment| segment.next_offset <= offset);
        newer.map(|segment| (segment.base, segment.next_offset)).collect()
    }

    /// The content of a segment's companion file, nothing if there is none.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn companion(&self, segment: Offset) -> Result<Vec<u8>> {
        let path = self.context.directory.path(self.name(), segment, Kind::TransactionIndex);
        Ok(file::read_whole(&self.context.io, &path, u64::from(u32::MAX)).await?.unwrap_or_default())
    }

    /// Writes what a companion file begins with, durably, in place of what stands there; its name too.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn repair_companion(&self, segment: Offset, bytes: &[u8]) -> Result<()> {
        let (io, directory) = (&self.context.io, &self.context.directory);
        let path = directory.path(self.name(), segment, Kind::TransactionIndex);
        let file = File::open(io, &path, OpenMode { write: true, create: true, ..OpenMode::default() }).await?;
        file::append_copied(io, &file, 0, bytes).await?;
        file.sync(io, false).await?;
        file::sync_directory(io, &directory.partition_path(self.name())).await
    }

    /// Adds to a companion file, durably; its name too.
    pub(super) async fn write_companion(&self, companion: &Companion) -> Result<()> {
        let (io, directory) = (&self.context.io, &self.context.directory);
        directory.ensure(self.name()).await?;
        let path = directory.path(self.name(), companion.segment, Kind::TransactionIndex);
        let file = File::open(io, &path, OpenMode { write: true, create: true, ..OpenMode::default() }).await?;
        file::append_copied(io, &file, companion.at, &companion.bytes).await?;
        file.truncate(io, companion.at + companion.bytes.len() as u64).await?;
        file.sync(io, false).await?;
        file::sync_directory(io, &directory.partition_path(self.name())).await
    }
}
