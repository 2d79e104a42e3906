//! Names on disk: where segments and their companions lie, how their names become durable, and which stay open.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::base::turnstile::Turnstile;
use crate::io::file::{self, File};
use crate::io::op::OpenMode;
use crate::io::{Handle, Result};
use crate::model::ids::PartitionId;
use crate::model::offset::Offset;

/// How the name of a directory on its way out ends, as Kafka's does.
pub const DOOMED_SUFFIX: &str = "-delete";

/// The companions of a segment, by Kafka's suffixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Record batches back to back.
    Log,
    /// Offset index.
    Index,
    /// Time index.
    TimeIndex,
    /// Producer snapshot as of the base offset.
    Snapshot,
    /// The owner's index of the segment: aborted transactions.
    TransactionIndex,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 5] = [Kind::Log, Kind::Index, Kind::TimeIndex, Kind::Snapshot, Kind::TransactionIndex];

    /// The file name's end.
    pub fn suffix(self) -> &'static str {
        match self {
            Kind::Log => "log",
            Kind::Index => "index",
            Kind::TimeIndex => "timeindex",
            Kind::Snapshot => "snapshot",
            Kind::TransactionIndex => "txnindex",
        }
    }
}

/// Kafka's file name for a segment's file.
pub fn file_name(base: Offset, kind: Kind) -> String {
    format!("{base:020}.{}", kind.suffix())
}

/// The segment and kind that a file name stands for.
pub fn parse_file_name(name: &str) -> Option<(Offset, Kind)> {
    let (base, suffix) = name.split_once('.')?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.suffix() == suffix)?;
    (base.len() == 20).then(|| base.parse().ok()).flatten().map(|base| (base, kind))
}

/// How a segment is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Past the page cache, for writing.
    Write,
    /// Past the page cache, for reading.
    Direct,
    /// Through the page cache, for reading and sending.
    Cached,
}

/// Names an open segment: by the log's id, since a later log may have the same directory.
type OpenKey = (PartitionId, Offset, Access);

/// The partition directories of one reactor's logs, and their open segments.
pub struct Directory {
    io: Handle,
    data: PathBuf,
    made: RefCell<BTreeSet<String>>,
    /// Syncs of the data directory, one at a time; how many were begun, and the last one that was done.
    syncs: Turnstile,
    begun: Cell<u64>,
    done: Cell<u64>,
    open: RefCell<BTreeMap<OpenKey, (File, u64)>>,
    /// How often files were forgotten: one that was being opened meanwhile is not kept, or a removed one would hold its space.
    forgotten: Cell<u64>,
    uses: Cell<u64>,
    open_max: usize,
}

impl Directory {
    /// Below the data directory `data`, with at most `open_max` files kept open.
    pub fn new(io: &Handle, data: &Path, open_max: usize) -> Directory {
        Directory {
            io: io.clone(),
            data: data.to_owned(),
            made: RefCell::default(),
            syncs: Turnstile::default(),
            begun: Cell::new(0),
            done: Cell::new(0),
            open: RefCell::default(),
            forgotten: Cell::new(0),
            uses: Cell::new(0),
            open_max,
        }
    }

    /// The path of a segment's file.
    pub fn path(&self, name: &str, base: Offset, kind: Kind) -> PathBuf {
        self.data.join(name).join(file_name(base, kind))
    }

    /// The path of a partition's directory.
    pub fn partition_path(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }

    /// Segment files that are open.
    pub fn open_files(&self) -> usize {
        self.open.borrow().len()
    }

    /// Makes sure that a partition's directory exists and that its name survives a power cut.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn ensure(&self, name: &str) -> Result<()> {
        if self.made.borrow().contains(name) {
            return Ok(());
        }
        file::create_directory(&self.io, &self.data.join(name)).await?;
        self.sync_names().await?;
        self.made.borrow_mut().insert(name.to_owned());
        Ok(())
    }

    /// Makes the names of the partition directories durable, as they are now. A sync that begins after this was asked for serves
    /// all that wait: with a thousand new partitions there are few syncs.
    async fn sync_names(&self) -> Result<()> {
        let begun_before = self.begun.get();
        let _alone = self.syncs.enter().await;
        if self.done.get() > begun_before {
            return Ok(());
        }
        let sync = self.begun.get() + 1;
        self.begun.set(sync);
        file::sync_directory(&self.io, &self.data).await?;
        self.done.set(sync);
        Ok(())
    }

    /// Opens a segment that exists; keeps it open for a while.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn segment(&self, (id, name): (PartitionId, &str), base: Offset, access: Access) -> Result<File> {
        if let Some(file) = self.cached((id, base, access)) {
            return Ok(file);
        }
        let mode = OpenMode { write: access == Access::Write, direct: access != Access::Cached, ..OpenMode::default() };
        let forgotten = self.forgotten.get();
        let file = File::open(&self.io, &self.path(name, base, Kind::Log), mode).await?;
        Ok(if self.forgotten.get() == forgotten { self.keep((id, base, access), file) } else { file })
    }

    /// Opens a segment for writing, making it (and its directory) first if it does not exist; its name is durable.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn segment_for_write(&self, (id, name): (PartitionId, &str), base: Offset) -> Result<File> {
        if let Some(file) = self.cached((id, base, Access::Write)) {
            return Ok(file);
        }
        self.ensure(name).await?;
        let mode = OpenMode { write: true, create: true, direct: true, ..OpenMode::default() };
        let file = File::open(&self.io, &self.path(name, base, Kind::Log), mode).await?;
        file::sync_directory(&self.io, &self.partition_path(name)).await?;
        Ok(self.keep((id, base, Access::Write), file))
    }

    fn cached(&self, key: OpenKey) -> Option<File> {
        let now = self.uses.get() + 1;
        self.uses.set(now);
        let mut open = self.open.borrow_mut();
        let (file, used) = open.get_mut(&key)?;
        *used = now;
        Some(file.clone())
    }

    fn keep(&self, key: OpenKey, file: File) -> File {
        let mut open = self.open.borrow_mut();
        if open.len() >= self.open_max {
            // The older half goes at once, so that looking for it is paid for by as many openings.
            let mut ages: Vec<u64> = open.values().map(|(_, used)| *used).collect();
            ages.sort_unstable();
            let middle = ages[ages.len() / 2];
            open.retain(|_, (_, used)| *used > middle);
        }
        open.entry(key).or_insert((file, self.uses.get())).0.clone()
    }

    /// Forgets the open files of a segment, before it is removed.
    pub fn forget(&self, id: PartitionId, base: Offset) {
        self.forgotten.set(self.forgotten.get() + 1);
        let mut open = self.open.borrow_mut();
        for access in [Access::Write, Access::Direct, Access::Cached] {
            open.remove(&(id, base, access));
        }
    }

    /// Gives a partition's directory another name, durably: from then on its own is free. Fine if there is none, or if this
    /// was done before.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn set_aside(&self, id: PartitionId, name: &str) -> Result<()> {
        let (path, aside) = (self.data.join(name), self.data.join(name_aside(id)));
        self.made.borrow_mut().remove(name);
        // With one set aside already, what has the name now is another's.
        if file::stat(&self.io, &aside).await?.is_none() {
            if file::stat(&self.io, &path).await?.is_none() {
                return Ok(());
            }
            file::rename(&self.io, &path, &aside).await?;
        }
        self.sync_names().await
    }

    /// Removes the directory that was set aside, durably, with everything in it; fine if there is none.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn remove_aside(&self, id: PartitionId) -> Result<()> {
        self.forgotten.set(self.forgotten.get() + 1);
        self.open.borrow_mut().retain(|(open, ..), _| *open != id);
        let aside = self.data.join(name_aside(id));
        if file::stat(&self.io, &aside).await?.is_none() {
            return Ok(());
        }
        remove_tree(&self.io, &aside).await?;
        self.sync_names().await
    }
}

/// The name of a directory on its way out: by it a start knows whose it was.
pub fn name_aside(id: PartitionId) -> String {
    format!("{id}{DOOMED_SUFFIX}")
}

/// Removes a partition directory and the files in it.
///
/// # Errors
/// The kernel's.
pub async fn remove_tree(io: &Handle, path: &Path) -> Result<()> {
    for name in file::list(io, path).await? {
        file::unlink(io, &path.join(name)).await?;
    }
    file::remove_directory(io, path).await
}
