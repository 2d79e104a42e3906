//! Recovery: from the checkpoints and the journals to the logs as they were.
//!
//! Its work is bounded by what the checkpoints do not cover, never by how much data there is. No segment is opened but
//! those of direct runs that are younger than the checkpoint, whose checksums are compared. The recovered part stays in
//! memory as the logs' tail and is written back like any other.
//!
//! A group that was on its way to the disk when the process was killed may arrive after the next start has looked for it
//! and gone on without it. So a later start's word counts before an earlier one's: its checkpoint covers whatever the
//! journals of earlier starts hold, and its journal takes the place of their changes from its own first one on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::checkpoint::{self, FoundRecord, LogRecord};
use super::config::StorageConfig;
use super::directory::{DOOMED_SUFFIX, Kind, file_name, name_aside};
use super::group::{Chain, Entry, EntryKind, FileHeader, GROUPS_START, claimed_header};
use super::group_reader::{GroupReader, JournalPart};
use super::journal_file::{OldChain, OldChains};
use super::run::{block_floor, prefix_crc};
use super::space::DiskSpace;
use super::sweep::check_directories;
use crate::base::block::{Appender, BLOCK_ALIGN, Block, Slice, Use};
use crate::base::map::Map;
use crate::base::time::Duration;
use crate::base::units::Bytes;
use crate::io::file::{self, File};
use crate::io::op::{OpenMode, Slices};
use crate::io::{ErrorKind, Handle};
use crate::model::ids::{PartitionId, ReactorId};
use crate::model::offset::Offset;
use crate::record::{batches, check_stored};

/// The largest checkpoint file, in bytes.
const CHECKPOINT_BYTES_MAX: u64 = 4 << 30;
/// Blocks that recovered batches are copied to, in bytes.
const COPY_BLOCK_BYTES: usize = 1 << 20;

/// Why the storage cannot be started.
#[derive(Debug)]
pub enum StartError {
    /// The kernel refused something.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the kernel said.
        error: crate::io::Error,
    },
    /// Acknowledged data is damaged: nothing is served rather than less than what was promised.
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in the file, in bytes.
        position: u64,
        /// What is wrong.
        why: String,
    },
    /// A directory holds a partition that no checkpoint and no journal knows: files of theirs are missing.
    Unknown {
        /// The partition's directory.
        path: PathBuf,
    },
    /// The machine has no memory left.
    Memory,
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Io { path, error } => write!(f, "{}: {error}", path.display()),
            StartError::Corrupt { path, position, why } => write!(
                f,
                "{} is damaged at position {position}: {why}. What it held was acknowledged, so the broker does not start \
                 without it: restore the file from a copy, or the data directory from a backup",
                path.display()
            ),
            StartError::Unknown { path } => write!(
                f,
                "{} holds a partition of which neither the checkpoints nor the journals know anything, so files of theirs are \
                 missing and the broker does not start without them: restore the data directory from a backup, or move \
                 this directory away if it is not this broker's",
                path.display()
            ),
            StartError::Memory => f.write_str("there is no memory left to recover the logs"),
        }
    }
}

impl std::error::Error for StartError {}

type Result<T> = std::result::Result<T, StartError>;

pub(super) fn at<T>(path: &Path, result: crate::io::Result<T>) -> Result<T> {
    result.map_err(|error| StartError::Io { path: path.to_owned(), error })
}

fn corrupt(path: &Path, position: u64, why: impl Into<String>) -> StartError {
    StartError::Corrupt { path: path.to_owned(), position, why: why.into() }
}

/// Everything that was found.
#[derive(Debug)]
pub struct Recovered {
    /// Number of this start.
    pub epoch: u32,
    /// The logs.
    pub logs: BTreeMap<PartitionId, RecoveredLog>,
    /// Journal files that nobody needs.
    pub spares: Vec<PathBuf>,
    /// Journal files that nobody needs any more gather here.
    pub released: Arc<Mutex<Vec<PathBuf>>>,
    /// The checkpoint files that hold the records, and their bytes.
    pub checkpoints: Vec<(PathBuf, u64)>,
    /// What was done.
    pub summary: Summary,
}

/// What recovery did, for the log line at start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Logs found.
    pub logs: u64,
    /// Groups replayed.
    pub groups: u64,
    /// Batches bytes brought back from journals and runs.
    pub bytes: u64,
    /// Bytes of checkpoints read.
    pub checkpoint_bytes: u64,
    /// How long it took.
    pub took: Duration,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Summary { logs, groups, bytes, checkpoint_bytes, took } = self;
        write!(
            f,
            "{logs} logs, {} of checkpoints, {groups} groups of the journal with {} of batches, in {} ms",
            Bytes(*checkpoint_bytes),
            Bytes(*bytes),
            took.as_millis()
        )
    }
}

/// A log as it was recovered.
#[derive(Debug, Default)]
pub struct RecoveredLog {
    /// Its last checkpoint; empty when there was none.
    pub record: LogRecord,
    /// What happened since.
    pub changes: Vec<Change>,
    /// The version after the last change.
    pub version: u64,
    /// The journals that hold its changes: of several starts when the broker was killed again before a checkpoint.
    pub needs: OldChains,
    /// The log end offset after the last change.
    next_offset: Option<Offset>,
    /// The process start that made the last change.
    process_epoch: u32,
    /// Of each change its version, and the log end offset before it.
    before: Vec<(u64, Option<Offset>)>,
}

/// A change that is not covered by the checkpoint.
#[derive(Debug)]
pub enum Change {
    /// Batches were appended.
    Batches {
        /// Base offset of the segment.
        segment: Offset,
        /// Position in the segment.
        position: u32,
        /// Whole batches.
        bytes: Slice,
        /// Position up to which the segment's file holds them already.
        stored: u32,
    },
    /// Records were deleted from the log's front.
    Start {
        /// The log start offset.
        to: Offset,
    },
}

impl RecoveredLog {
    /// The log end offset before any change that is still to come.
    fn end(&self) -> Offset {
        self.next_offset.or_else(|| self.record.segments.last().map(|segment| segment.next_offset)).unwrap_or(0)
    }

    /// Whether a change is part of the log's history, as far as that is known, and not covered by the checkpoint.
    fn is_new(&self, version: u64, process_epoch: u32) -> bool {
        let covered = version <= self.record.version || process_epoch < self.record.process_epoch;
        !self.record.removed && !covered && (version > self.version || process_epoch > self.process_epoch)
    }

    /// Takes back the changes from `version` on: a later process start made that change anew, so what was replayed in its
    /// place had not been there when that start recovered.
    fn take_back(&mut self, version: u64) {
        let kept = self.before.partition_point(|(other, _)| *other < version);
        if let Some((_, next_offset)) = self.before.get(kept) {
            self.next_offset = *next_offset;
        }
        self.before.truncate(kept);
        self.changes.truncate(kept);
        self.version = version - 1;
    }

    fn change(&mut self, change: Change) {
        self.before.push((self.version, self.next_offset));
        self.changes.push(change);
    }
}

/// Reads checkpoints and journals below `config.data`, which exists.
///
/// # Errors
/// [`StartError`].
pub async fn recover(io: &Handle, config: &StorageConfig) -> Result<Recovered> {
    let started = io.now();
    let (journals, checkpoints) = (config.journal_directory(), config.checkpoint_directory());
    for directory in [&journals, &checkpoints] {
        at(directory, file::create_directory(io, directory).await)?;
    }
    at(&config.data, file::sync_directory(io, &config.data).await)?;
    let mut recovery = Recovery {
        io: io.clone(),
        config: config.clone(),
        logs: BTreeMap::new(),
        names: Map::default(),
        aside: at(&config.data, file::list(io, &config.data).await)?.into_iter().collect(),
        read: BTreeSet::new(),
        copies: None,
        summary: Summary::default(),
        epoch: 0,
    };
    recovery.aside.retain(|name| name.ends_with(DOOMED_SUFFIX));
    let checkpoints = recovery.read_checkpoints(&checkpoints).await?;
    let released = Arc::default();
    let spares = recovery.read_journals(&journals, &released).await?;
    recovery.flush().await?;
    let Recovery { logs, mut summary, epoch, aside, .. } = recovery;
    let live = || logs.iter().filter(|(_, log)| !log.record.removed);
    let mut known: BTreeSet<String> = live().map(|(_, log)| log.record.name.clone()).collect();
    // Whoever removes the log for good removes its directory too.
    known.extend(live().map(|(id, _)| name_aside(*id)).filter(|name| aside.contains(name)));
    check_directories(io, &config.data, &known).await?;
    summary.logs = logs.values().filter(|log| !log.record.removed).count() as u64;
    // The clock stands still within a turn; the reads above have ended the one in which this began.
    summary.took = io.now().since(started);
    Ok(Recovered { epoch: epoch + 1, logs, spares, released, checkpoints, summary })
}

struct Recovery {
    io: Handle,
    config: StorageConfig,
    logs: BTreeMap<PartitionId, RecoveredLog>,
    names: Map<PartitionId, String>,
    /// Names of directories that are set aside: the removal of their logs was decided.
    aside: BTreeSet<String>,
    /// Files that hold what is brought back.
    read: BTreeSet<PathBuf>,
    copies: Option<Appender>,
    summary: Summary,
    epoch: u32,
}

/// Where a chain ends: with a torn group, or with one of which a run is missing.
struct TornEnd {
    /// Which of the chain's files.
    file: usize,
    /// Where in it.
    position: u64,
    /// The number of the group that is not there.
    group: u64,
    /// What is missing of the group, if it is there.
    lost_run: Option<LostRun>,
}

/// A run that is not in its segment as it was written.
struct LostRun {
    /// The segment.
    path: PathBuf,
    position: u32,
    bytes: u32,
}

impl Recovery {
    async fn read_checkpoints(&mut self, directory: &Path) -> Result<Vec<(PathBuf, u64)>> {
        let mut files = Vec::new();
        for name in at(directory, file::list(&self.io, directory).await)? {
            let path = directory.join(&name);
            let Some(epoch) = epoch_of(&name, "checkpoint") else {
                if epoch_of(&name, "new").is_some() {
                    // It was being made when the broker ended.
                    at(&path, file::unlink(&self.io, &path).await)?;
                } else {
                    tracing::warn!("{} is no checkpoint: it is left alone", path.display());
                }
                continue;
            };
            let content = at(&path, file::read_whole(&self.io, &path, CHECKPOINT_BYTES_MAX).await)?.unwrap_or_default();
            let found =
                checkpoint::parse(&content).map_err(|damaged| corrupt(&path, damaged.position as u64, damaged.why))?;
            if let Some(position) = found.unreadable_slot {
                let path = path.display();
                tracing::warn!(
                    "{path}: its header at position {position} was torn by a crash or is damaged: the other one is used"
                );
            }
            self.epoch = self.epoch.max(epoch);
            self.summary.checkpoint_bytes += found.bytes;
            files.push((path, found.bytes));
            for FoundRecord { id, record, .. } in found.records {
                let log = self.logs.entry(id).or_default();
                if record.age() >= log.record.age() {
                    (log.version, log.record) = (record.version, record);
                }
            }
        }
        Ok(files)
    }

    /// Replays all journals; gives the files that nobody needs.
    async fn read_journals(&mut self, directory: &Path, released: &Arc<Mutex<Vec<PathBuf>>>) -> Result<Vec<PathBuf>> {
        let mut chains = BTreeMap::<Chain, Vec<JournalPart>>::new();
        let (mut spares, mut blanks) = (Vec::new(), Vec::new());
        for name in at(directory, file::list(&self.io, directory).await)? {
            let path = directory.join(&name);
            let Some(epoch) = epoch_of(&name, "journal") else {
                tracing::warn!("{} is no journal file: it is left alone", path.display());
                continue;
            };
            let (header, bytes) = self.read_header(&path).await?;
            self.epoch = self.epoch.max(epoch);
            match header {
                Some(header) => chains.entry(header.chain).or_default().push(JournalPart { path, header, bytes }),
                None => {
                    blanks.extend(self.claimed(&path, bytes).await?);
                    spares.push(path);
                }
            }
        }
        for (chain, mut parts) in chains {
            self.epoch = self.epoch.max(chain.epoch);
            parts.sort_by_key(|part| part.header.sequence);
            self.replay_chain(parts, released, &mut spares).await?;
        }
        let claimed = blanks.iter().map(|part| part.header.chain.epoch).max();
        self.epoch = self.epoch.max(claimed.unwrap_or(0));
        for part in blanks {
            self.refuse_if_not_covered(&part).await?;
        }
        Ok(spares)
    }

    async fn read_header(&self, path: &Path) -> Result<(Option<FileHeader>, u64)> {
        let bytes = at(path, file::stat(&self.io, path).await)?.map_or(0, |stat| stat.bytes);
        let block = self.read_block(path, 0).await?;
        if block.len() < BLOCK_ALIGN {
            // The file was being made.
            return Ok((None, bytes));
        }
        let header = FileHeader::decode(&block).map_err(|why| corrupt(path, 0, why))?;
        match header {
            Some(header) if header.bytes > bytes => {
                Err(corrupt(path, bytes, format!("the file ends here, and it had {} bytes", header.bytes)))
            }
            header => Ok((header, bytes)),
        }
    }

    /// The block at `position` of a file, shorter where the file ends.
    async fn read_block(&self, path: &Path, position: u64) -> Result<Slice> {
        let file = at(path, File::open(&self.io, path, OpenMode::default()).await)?;
        let block = self.block(BLOCK_ALIGN)?;
        let (block, read) = file.read_at(&self.io, position, block, BLOCK_ALIGN as u32).await;
        let count = at(path, read)? as usize;
        Ok(block.into_slice(BLOCK_ALIGN).slice(0..count))
    }

    /// A file with a blank header, as the life that its first group claims; `None` without a group.
    async fn claimed(&self, path: &Path, bytes: u64) -> Result<Option<JournalPart>> {
        if bytes < GROUPS_START + BLOCK_ALIGN as u64 {
            return Ok(None);
        }
        let header = claimed_header(&self.read_block(path, GROUPS_START).await?);
        Ok(header.map(|header| JournalPart { path: path.to_owned(), header, bytes }))
    }

    /// A blank header is that of a file that is ready to be written: before it was blanked, checkpoints covered all that the
    /// file held. If they do not, and groups in it were acknowledged, the header was lost. Only the latest start is asked:
    /// of logs that were removed earlier the checkpoints may know nothing any more.
    async fn refuse_if_not_covered(&self, part: &JournalPart) -> Result<()> {
        if part.header.chain.epoch != self.epoch {
            return Ok(());
        }
        let mut reader = GroupReader::open(&self.io, part).await?;
        let (mut expected, mut durable, mut uncovered) = (part.header.first_group, 0, None);
        while let Some((number, mark)) = reader.look().await?.map(|(number, mark, _)| (number, mark)) {
            let Some((_, body)) = reader.next(expected).await? else { break };
            if uncovered.is_none() && self.holds_news(body, part).map_err(|why| corrupt(&part.path, 0, why))? {
                uncovered = Some(number);
            }
            durable = durable.max(mark);
            expected = number + 1;
            reader.advance();
        }
        match uncovered {
            Some(group) if durable > group => {
                let why =
                    format!("its header is blank, but its group {group} was durable, and no checkpoint covers it");
                Err(corrupt(&part.path, 0, why))
            }
            _ => Ok(()),
        }
    }

    /// Whether any entry of a group is not covered by a checkpoint.
    fn holds_news(&self, body: &[u8], part: &JournalPart) -> std::result::Result<bool, String> {
        let mut rest = body;
        while !rest.is_empty() {
            let (entry, _, behind) = Entry::decode(rest)?;
            rest = behind;
            if self.is_new(&entry, part.header.chain) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn block(&self, bytes: usize) -> Result<Block> {
        self.io.pool().block_unlimited(bytes, Use::Staging).ok_or(StartError::Memory)
    }

    /// Replays the files of one chain in order, up to its torn end.
    async fn replay_chain(
        &mut self,
        parts: Vec<JournalPart>,
        released: &Arc<Mutex<Vec<PathBuf>>>,
        spares: &mut Vec<PathBuf>,
    ) -> Result<()> {
        let paths = parts.iter().map(|part| part.path.clone()).collect();
        let holder = Arc::new(OldChain::new(paths, released));
        let mut expected = parts.first().map_or(0, |part| part.header.first_group);
        let (mut torn, mut gap) = (None, false);
        for (at, part) in parts.iter().enumerate() {
            gap |= at > 0 && parts[at - 1].header.sequence + 1 != part.header.sequence;
            let mut reader = GroupReader::open(&self.io, part).await?;
            if gap {
                self.refuse_if_new(&mut reader, part).await?;
                continue;
            }
            if torn.is_none() {
                let lost_run;
                (expected, lost_run) = self.replay_file(&mut reader, part, &holder, expected).await?;
                let ends = lost_run.is_some() || !goes_on(part, &parts, expected);
                torn = ends.then_some(TornEnd { file: at, position: reader.position, group: expected, lost_run });
            }
            if let Some(torn) = &torn {
                refuse_if_acknowledged(&mut reader, &parts[torn.file].path, torn).await?;
            }
        }
        if let Some(torn) = torn.filter(|torn| torn.lost_run.is_some()) {
            self.invalidate(&parts[torn.file], torn.position).await?;
        }
        drop(holder);
        // What nobody holds has been released just now.
        spares.append(&mut released.lock().expect("the list is never left mid-change"));
        Ok(())
    }

    /// Files of a chain that miss one between them had been released: nothing in them may be new.
    async fn refuse_if_new(&self, reader: &mut GroupReader<'_>, part: &JournalPart) -> Result<()> {
        let mut expected = part.header.first_group;
        while let Some((number, body)) = reader.next(expected).await? {
            if self.holds_news(body, part).map_err(|why| corrupt(&part.path, 0, why))? {
                let why = format!("it follows file {} of its journal, which is missing", part.header.sequence - 1);
                return Err(corrupt(&part.path, 0, why));
            }
            expected = number + 1;
            reader.advance();
        }
        Ok(())
    }

    /// Replays the groups of one file: the number of the group that it ends before, and what is missing of that one if a
    /// run of it is.
    async fn replay_file(
        &mut self,
        reader: &mut GroupReader<'_>,
        part: &JournalPart,
        holder: &Arc<OldChain>,
        first: u64,
    ) -> Result<(u64, Option<LostRun>)> {
        let mut expected = first;
        while let Some((number, body)) = reader.next(expected).await? {
            let body = body.to_vec();
            if let Some(lost) = self.replay_group(&body, part, reader.position, holder).await? {
                return Ok((expected, Some(lost)));
            }
            self.summary.groups += 1;
            expected = number + 1;
            reader.advance();
        }
        Ok((expected, None))
    }

    /// Makes the decision last that a group was never acknowledged because one of its runs is missing: a later recovery,
    /// for which a checkpoint covers that run, would otherwise find nothing wrong with the group.
    async fn invalidate(&self, part: &JournalPart, position: u64) -> Result<()> {
        let mut block = self.block(BLOCK_ALIGN)?;
        block.fill(0);
        let mode = OpenMode { write: true, direct: true, ..OpenMode::default() };
        let file = at(&part.path, File::open(&self.io, &part.path, mode).await)?;
        let blank = Slices::from_iter([block.into_slice(BLOCK_ALIGN)]);
        at(&part.path, file.write_at(&self.io, position, blank, true).await)
    }

    /// Replays one group, unless one of its runs is not in its segment: that run then.
    async fn replay_group(
        &mut self,
        body: &[u8],
        part: &JournalPart,
        position: u64,
        holder: &Arc<OldChain>,
    ) -> Result<Option<LostRun>> {
        let mut entries = Vec::new();
        let mut rest = body;
        while !rest.is_empty() {
            let (entry, payload, behind) = Entry::decode(rest).map_err(|why| corrupt(&part.path, position, why))?;
            rest = behind;
            if self.is_new(&entry, part.header.chain) {
                entries.push((entry, payload));
            }
        }
        let mut runs = Vec::new();
        for (entry, payload) in &entries {
            if entry.kind == EntryKind::Create {
                let name = String::from_utf8_lossy(payload).into_owned();
                self.names.insert(entry.id, name);
            }
            runs.push(match entry.kind {
                EntryKind::Run if !self.is_aside(entry.id) => match self.read_run(entry, payload).await? {
                    Ok(bytes) => Some(bytes),
                    Err(lost) => return Ok(Some(lost)),
                },
                _ => None,
            });
        }
        if !entries.is_empty() {
            self.read.insert(part.path.clone());
        }
        for ((entry, payload), run) in entries.into_iter().zip(runs) {
            self.apply(&entry, payload, run, (part.header.chain, holder))
                .map_err(|why| corrupt(&part.path, position, why))?;
        }
        Ok(None)
    }

    /// Whether an entry of `chain` is to be replayed.
    fn is_new(&self, entry: &Entry, chain: Chain) -> bool {
        self.logs.get(&entry.id).is_none_or(|log| log.is_new(entry.version, chain.epoch))
    }

    fn apply(
        &mut self,
        entry: &Entry,
        payload: &[u8],
        run: Option<Slice>,
        (chain, holder): (Chain, &Arc<OldChain>),
    ) -> std::result::Result<(), String> {
        let is_aside = self.is_aside(entry.id);
        let log = self.logs.entry(entry.id).or_default();
        if entry.version <= log.version {
            tracing::info!(
                "log {}: changes {} to {} arrived on the disk after the start that followed, and do not count",
                entry.id,
                entry.version,
                log.version
            );
            log.take_back(entry.version);
        }
        if entry.version != log.version + 1 {
            return Err(format!(
                "log {} goes from change {} to change {}: what lies between is lost",
                entry.id, log.version, entry.version
            ));
        }
        (log.version, log.process_epoch) = (entry.version, chain.epoch);
        log.needs.add(holder);
        let bytes = match entry.kind {
            EntryKind::Create => {
                log.record.name = self.names.get(&entry.id).cloned().unwrap_or_default();
                return Ok(());
            }
            _ if is_aside => return Ok(()),
            EntryKind::Start => {
                log.change(Change::Start { to: entry.next_offset });
                return Ok(());
            }
            EntryKind::Append => self.copy(payload)?,
            EntryKind::Run => run.ok_or("a run that was not read")?,
        };
        let log = self.logs.entry(entry.id).or_default();
        let (segment, position) = (entry.segment, entry.position);
        check_batches(&bytes, log.end(), entry.next_offset)?;
        self.summary.bytes += bytes.len() as u64;
        let end = entry.position + bytes.len() as u32;
        let stored = if entry.kind == EntryKind::Run { block_floor(end) } else { entry.position };
        log.change(Change::Batches { segment, position, bytes, stored });
        log.next_offset = Some(entry.next_offset);
        Ok(())
    }

    /// Copies a payload out of the window it was read into.
    fn copy(&mut self, payload: &[u8]) -> std::result::Result<Slice, String> {
        if self.copies.as_ref().is_none_or(|copies| copies.room() < payload.len()) {
            let bytes = payload.len().max(COPY_BLOCK_BYTES);
            let block = self.io.pool().block_unlimited(bytes, Use::Tail).ok_or("no memory is left")?;
            self.copies = Some(block.into_appender());
        }
        let copies = self.copies.as_mut().expect("it was just made");
        copies.reserve(payload.len()).copy_from_slice(payload);
        Ok(copies.share(payload.len()))
    }

    /// Reads a run's whole blocks from its segment and compares checksums.
    async fn read_run(&mut self, entry: &Entry, rest: &[u8]) -> Result<std::result::Result<Slice, LostRun>> {
        let known = self.logs.get(&entry.id).map(|log| &log.record.name).filter(|name| !name.is_empty());
        let name = known.or_else(|| self.names.get(&entry.id)).map_or("", String::as_str);
        let path = self.config.data.join(name).join(file_name(entry.segment, Kind::Log));
        let lost = || LostRun { path: path.clone(), position: entry.position, bytes: entry.run_bytes };
        let file = match File::open(&self.io, &path, OpenMode::default()).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Err(lost())),
            opened => at(&path, opened)?,
        };
        let (run, first) = (entry.run_bytes as usize, block_floor(entry.position));
        let front = (entry.position - first) as usize;
        let Some(in_segment) = run.checked_sub(rest.len()) else { return Ok(Err(lost())) };
        let block = self.io.pool().block_unlimited(front + run, Use::Tail).ok_or(StartError::Memory)?;
        let (mut block, read) = file.read_at(&self.io, u64::from(first), block, (front + in_segment) as u32).await;
        if at(&path, read)? as usize != front + in_segment {
            return Ok(Err(lost()));
        }
        block[front + in_segment..front + run].copy_from_slice(rest);
        let bytes = block.into_slice(front + run).slice(front..front + run);
        if run_checksum(&bytes) != Some(entry.run_crc) {
            return Ok(Err(lost()));
        }
        self.read.insert(path);
        Ok(Ok(bytes))
    }

    /// Makes what was brought back durable: what a killed process had written may be in the device's cache, and from now on
    /// it counts.
    async fn flush(&self) -> Result<()> {
        for path in &self.read {
            let file = at(path, File::open(&self.io, path, OpenMode::default()).await)?;
            at(path, file.sync(&self.io, true).await)?;
        }
        Ok(())
    }

    /// Whether the removal of a log was decided: of what it held nothing is needed.
    fn is_aside(&self, id: PartitionId) -> bool {
        !self.aside.is_empty() && self.aside.contains(&name_aside(id))
    }
}

/// The checksum of a run whose batches are all whole and sound.
fn run_checksum(bytes: &[u8]) -> Option<u32> {
    let (mut crc, mut rest) = (0, bytes);
    while !rest.is_empty() {
        let length = check_stored(rest).ok()?.total_bytes()?;
        crc = prefix_crc(crc, &rest[..length]);
        rest = &rest[length..];
    }
    Some(crc)
}

/// Checks that `bytes` are whole batches that lead from offset `first` to `next`.
fn check_batches(bytes: &[u8], first: Offset, next: Offset) -> std::result::Result<(), String> {
    let mut expected = first;
    let mut walk = batches(bytes);
    for batch in &mut walk {
        let (header, _) = batch.map_err(|corruption| corruption.to_string())?;
        if header.base_offset() != expected {
            return Err(format!("a batch starts at offset {} where {expected} belongs", header.base_offset()));
        }
        expected = header.next_offset();
    }
    if walk.whole_bytes() != bytes.len() || expected != next {
        return Err(format!("the batches end at offset {expected} where {next} belongs"));
    }
    Ok(())
}

/// Refuses when a group of this file, behind the chain's end, says that the group there had been durable. `path` is that of
/// the file in which the chain ends.
async fn refuse_if_acknowledged(reader: &mut GroupReader<'_>, path: &Path, torn: &TornEnd) -> Result<()> {
    let TornEnd { position, group, lost_run, .. } = torn;
    while let Some((number, durable)) = reader.scan().await? {
        if number <= *group || durable <= *group {
            continue;
        }
        return Err(match lost_run {
            Some(LostRun { path: segment, position: run, bytes }) => corrupt(
                segment,
                u64::from(*run),
                format!(
                    "the {bytes} bytes from here on are not those that group {group} of {} speaks of, and group {number} \
                     says it was durable",
                    path.display()
                ),
            ),
            None => corrupt(
                path,
                *position,
                format!("group {group} cannot be read, and group {number} says it was durable"),
            ),
        });
    }
    Ok(())
}

/// Whether the chain goes on behind `part`, whose last group is the one before `expected`.
fn goes_on(part: &JournalPart, parts: &[JournalPart], expected: u64) -> bool {
    let next = parts.iter().find(|next| next.header.sequence == part.header.sequence + 1);
    next.is_some_and(|next| next.header.first_group == expected)
}

/// The epoch in a name of the form `EPOCH-REACTOR-NUMBER.suffix`; `None` for any other name.
fn epoch_of(name: &str, suffix: &str) -> Option<u32> {
    let (numbers, ending) = name.split_once('.')?;
    let [epoch, reactor, number] = <[&str; 3]>::try_from(numbers.split('-').collect::<Vec<_>>()).ok()?;
    let is_number = |text: &str| text.parse::<u32>().is_ok();
    (ending == suffix && is_number(reactor) && is_number(number)).then(|| epoch.parse().ok()).flatten()
}

impl Recovered {
    /// Deals what was found out to the reactors that will host it.
    pub fn split(self, reactors: usize, host: impl Fn(PartitionId) -> ReactorId) -> Vec<RecoveredPart> {
        let space = Arc::default();
        let mut parts: Vec<RecoveredPart> = (0..reactors)
            .map(|_| RecoveredPart {
                epoch: self.epoch,
                logs: BTreeMap::new(),
                spares: Vec::new(),
                released: Arc::clone(&self.released),
                space: Arc::clone(&space),
            })
            .collect();
        for (id, log) in self.logs {
            if !log.record.removed {
                parts[usize::from(host(id))].logs.insert(id, log);
            }
        }
        for (at, spare) in self.spares.into_iter().enumerate() {
            parts[at % reactors].spares.push(spare);
        }
        parts
    }
}

/// What one reactor is to host.
#[derive(Debug)]
pub struct RecoveredPart {
    /// Number of this start.
    pub epoch: u32,
    /// The logs.
    pub logs: BTreeMap<PartitionId, RecoveredLog>,
    /// Journal files to use first.
    pub spares: Vec<PathBuf>,
    /// Journal files that nobody needs any more gather here.
    pub released: Arc<Mutex<Vec<PathBuf>>>,
    /// The account of the disk's space that all reactors keep together.
    pub space: Arc<DiskSpace>,
}
