//! The checkpoint: what each log looked like when it was last written back, so that recovery reads no segment.
//!
//! Each reactor appends to a file of its own, `checkpoint/EPOCH-REACTOR-NUMBER.checkpoint`: a header, then records, each
//! framed by magic, length and CRC-32C. After records became durable the header is brought up to date with how many bytes
//! count, and only then anything relies on them: what lies within is whole or corrupt, what lies behind was never relied
//! on. The header has two slots, written in turn, so that a torn write of one leaves the other. The record of a
//! log's latest process start with the highest version is the one that counts, whichever file it is in; so a log may move
//! between reactors, and old files go once a newer one holds all that still counts.
//!
//! A record holds the bytes of the log's last, incomplete block. That is what allows this block of the segment to be
//! written again later although committed bytes stand in it.
//!
//! On a disk without a free block topics and records must still be deletable, for that is how it gets space again. So each
//! file keeps some bytes reserved behind its end: records that give space back may use them, and no others.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::config::StorageConfig;
use super::group::Chain;
use super::leader_epochs::EpochEntry;
use super::segment::OnFile;
use crate::base::block::BLOCK_ALIGN;
use crate::base::map::Map;
use crate::base::turnstile::Turnstile;
use crate::io::file::{self, File};
use crate::io::op::OpenMode;
use crate::io::{ErrorKind, Handle, Result};
use crate::model::ids::{PartitionId, Uuid};
use crate::model::offset::{Offset, Timestamp};
use crate::record::crc;

const FILE_MAGIC: &[u8; 8] = b"FLUMENCP";
const VERSION: u32 = 2;
const RECORD_MAGIC: u32 = u32::from_le_bytes(*b"FLCR");
/// Bits of a segment's last byte.
const FINISHED_FLAG: u8 = 1;
const CUT_TO_SIZE_FLAG: u8 = 2;
/// Size of one of the two slots of the header.
const SLOT_BYTES: usize = 512;
const FILE_HEADER_BYTES: usize = 2 * SLOT_BYTES;
const RECORD_HEADER_BYTES: usize = 12;
/// What each file keeps for the records that give space back: some hundred of them.
const RESERVE_BYTES: u64 = 64 << 10;
/// A file that grows has its space reserved in steps of this.
const ALLOCATE_BYTES: u64 = 256 << 10;
/// A file is rewritten when it is larger than this and four times what still counts in it.
const REWRITE_BYTES_MIN: u64 = 16 << 20;

/// A log as of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRecord {
    /// Name of its directory.
    pub name: String,
    /// Number of its last change that is included.
    pub version: u64,
    /// Number of the process start that wrote it. Of earlier starts' journals it includes all that counts.
    pub process_epoch: u32,
    /// Whether the log is gone; nothing else counts then.
    pub removed: bool,
    /// The log start offset.
    pub log_start: Offset,
    /// Its segments, oldest first.
    pub segments: Vec<SegmentRecord>,
    /// Its leader epochs.
    pub epochs: Vec<EpochEntry>,
    /// Position in the active segment up to which its file holds everything.
    pub stored: u32,
    /// The last segment's bytes from the start of its last, incomplete block on.
    pub edge: Vec<u8>,
    /// What the log's owner keeps with it.
    pub owner_state: Vec<u8>,
}

/// A segment as of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "as in segment.rs")]
pub struct SegmentRecord {
    pub base: Offset,
    pub next_offset: Offset,
    pub end: u32,
    pub first_timestamp: Timestamp,
    pub max_timestamp: Timestamp,
    pub max_timestamp_offset: Offset,
    pub offsets_on_file: OnFile,
    pub times_on_file: OnFile,
    pub finished: bool,
    pub cut_to_size: bool,
}

/// Reads values off the front of a record's body.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, bytes: usize) -> std::result::Result<&'a [u8], String> {
        let Some((front, rest)) = self.0.split_at_checked(bytes) else {
            return Err(format!("{bytes} bytes where {} are left", self.0.len()));
        };
        self.0 = rest;
        Ok(front)
    }

    fn u32(&mut self) -> std::result::Result<u32, String> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().expect("4 bytes")))
    }

    fn i64(&mut self) -> std::result::Result<i64, String> {
        Ok(i64::from_le_bytes(self.take(8)?.try_into().expect("8 bytes")))
    }

    fn bytes(&mut self) -> std::result::Result<&'a [u8], String> {
        let count = self.u32()? as usize;
        self.take(count)
    }

    /// A count of items that take at least `bytes_each`.
    fn count(&mut self, bytes_each: usize) -> std::result::Result<usize, String> {
        let count = self.u32()? as usize;
        if count > self.0.len() / bytes_each {
            Err(format!("{count} items in {} bytes", self.0.len()))
        } else {
            Ok(count)
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

impl LogRecord {
    /// What decides which of two records of a log counts: the greater one does.
    pub fn age(&self) -> (u32, u64) {
        (self.process_epoch, self.version)
    }

    /// The framed record of `id`.
    pub fn encode(&self, id: PartitionId) -> Vec<u8> {
        let mut out = vec![0; RECORD_HEADER_BYTES];
        out.extend_from_slice(id.topic.as_bytes());
        out.extend_from_slice(&id.index.to_le_bytes());
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.process_epoch.to_le_bytes());
        out.push(u8::from(self.removed));
        put_bytes(&mut out, self.name.as_bytes());
        out.extend_from_slice(&self.log_start.to_le_bytes());
        out.extend_from_slice(&self.stored.to_le_bytes());
        out.extend_from_slice(&(self.segments.len() as u32).to_le_bytes());
        self.segments.iter().for_each(|segment| segment.encode(&mut out));
        out.extend_from_slice(&(self.epochs.len() as u32).to_le_bytes());
        for entry in &self.epochs {
            out.extend_from_slice(&entry.epoch.to_le_bytes());
            out.extend_from_slice(&entry.start_offset.to_le_bytes());
        }
        put_bytes(&mut out, &self.edge);
        put_bytes(&mut out, &self.owner_state);
        let body = (out.len() - RECORD_HEADER_BYTES) as u32;
        let crc = crc::crc32c(&out[RECORD_HEADER_BYTES..]);
        out[..4].copy_from_slice(&RECORD_MAGIC.to_le_bytes());
        out[4..8].copy_from_slice(&body.to_le_bytes());
        out[8..12].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(body: &[u8]) -> std::result::Result<(PartitionId, LogRecord), String> {
        let mut cursor = Cursor(body);
        let topic = Uuid::from_bytes(cursor.take(16)?.try_into().expect("16 bytes"));
        let id = PartitionId { topic, index: cursor.u32()? as i32 };
        let (version, process_epoch) = (cursor.i64()? as u64, cursor.u32()?);
        let removed = cursor.take(1)?[0] != 0;
        let name = std::str::from_utf8(cursor.bytes()?).map_err(|error| error.to_string())?.to_owned();
        let log_start = cursor.i64()?;
        let mut record = LogRecord { name, version, process_epoch, removed, log_start, ..LogRecord::default() };
        record.stored = cursor.u32()?;
        for _ in 0..cursor.count(SegmentRecord::BYTES)? {
            record.segments.push(SegmentRecord::decode(&mut cursor)?);
        }
        for _ in 0..cursor.count(12)? {
            record.epochs.push(EpochEntry { epoch: cursor.u32()? as i32, start_offset: cursor.i64()? });
        }
        record.edge = cursor.bytes()?.to_vec();
        record.owner_state = cursor.bytes()?.to_vec();
        if cursor.0.is_empty() { Ok((id, record)) } else { Err(format!("{} bytes too many", cursor.0.len())) }
    }
}

impl SegmentRecord {
    const BYTES: usize = 5 * 8 + 5 * 4 + 1;

    fn encode(&self, out: &mut Vec<u8>) {
        for value in [self.base, self.next_offset, self.first_timestamp, self.max_timestamp, self.max_timestamp_offset]
        {
            out.extend_from_slice(&value.to_le_bytes());
        }
        let (offsets, times) = (self.offsets_on_file, self.times_on_file);
        for value in [self.end, offsets.entries, offsets.crc, times.entries, times.crc] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        let flags = [(self.finished, FINISHED_FLAG), (self.cut_to_size, CUT_TO_SIZE_FLAG)];
        out.push(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum());
    }

    fn decode(cursor: &mut Cursor<'_>) -> std::result::Result<SegmentRecord, String> {
        let mut record = SegmentRecord {
            base: cursor.i64()?,
            next_offset: cursor.i64()?,
            first_timestamp: cursor.i64()?,
            max_timestamp: cursor.i64()?,
            max_timestamp_offset: cursor.i64()?,
            end: cursor.u32()?,
            ..SegmentRecord::default()
        };
        record.offsets_on_file = OnFile { entries: cursor.u32()?, crc: cursor.u32()? };
        record.times_on_file = OnFile { entries: cursor.u32()?, crc: cursor.u32()? };
        let flags = cursor.take(1)?[0];
        (record.finished, record.cut_to_size) = (flags & FINISHED_FLAG != 0, flags & CUT_TO_SIZE_FLAG != 0);
        Ok(record)
    }
}

/// One record of a checkpoint file as it was found there.
#[derive(Debug)]
pub struct FoundRecord {
    /// Where it starts.
    pub at: usize,
    /// Bytes of its frame and body.
    pub bytes: usize,
    /// The log.
    pub id: PartitionId,
    /// What it says.
    pub record: LogRecord,
}

/// One slot of a file's header.
fn encode_slot(sequence: u64, valid_bytes: u64) -> Vec<u8> {
    let mut out = FILE_MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&valid_bytes.to_le_bytes());
    let crc = crc::crc32c(&out);
    out[12..16].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Sequence and valid bytes of a slot.
fn decode_slot(slot: &[u8]) -> Option<(u64, u64)> {
    let (sequence, valid) = (slot.get(16..24)?, slot.get(24..32)?);
    let (sequence, valid) = (u64::from_le_bytes(sequence.try_into().ok()?), u64::from_le_bytes(valid.try_into().ok()?));
    (slot[..32] == encode_slot(sequence, valid)).then_some((sequence, valid))
}

/// Where the header slot is that does not count, if the other one does.
pub fn stale_header(content: &[u8]) -> Option<std::ops::Range<usize>> {
    let sequence = |slot: usize| Some(decode_slot(content.get(slot * SLOT_BYTES..(slot + 1) * SLOT_BYTES)?)?.0);
    let stale = match (sequence(0), sequence(1)) {
        (Some(first), Some(second)) => usize::from(first > second),
        (Some(_), None) => 1,
        (None, Some(_)) => 0,
        (None, None) => return None,
    };
    Some(stale * SLOT_BYTES..(stale + 1) * SLOT_BYTES)
}

/// What was read of a checkpoint file.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The records that count.
    pub records: Vec<FoundRecord>,
    /// Where they end; what lies behind is reserved space, or was never relied on.
    pub bytes: u64,
    /// Where a slot of the header starts that cannot be read: a crash tore it, or it is damaged.
    pub unreadable_slot: Option<usize>,
}

/// Why a checkpoint file cannot be relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Where in the file.
    pub position: usize,
    /// What is wrong there.
    pub why: String,
}

/// Reads a checkpoint file. What a crash left behind the records that count is left out.
///
/// When one slot of the header cannot be read the other may be one append old. Whole records behind what it counts are
/// then taken too: a record is appended after all it speaks of was made durable, so it is true whether it was relied on
/// or not.
///
/// # Errors
/// What is wrong with it, and where.
pub fn parse(content: &[u8]) -> std::result::Result<Parsed, Damaged> {
    let damaged = |position: usize, why: &str| Damaged { position, why: why.to_owned() };
    let slots: Vec<_> = content.chunks(SLOT_BYTES).take(2).map(decode_slot).collect();
    let Some((_, valid)) = slots.iter().flatten().max().copied() else {
        return Err(damaged(0, "neither of its two headers is valid"));
    };
    let is_blank = |slot: usize| content[slot * SLOT_BYTES..].iter().take(SLOT_BYTES).all(|byte| *byte == 0);
    let unreadable = slots.iter().enumerate().find(|(slot, read)| read.is_none() && !is_blank(*slot));
    let unreadable_slot = unreadable.map(|(slot, _)| slot * SLOT_BYTES);
    let Some(valid) = usize::try_from(valid).ok().filter(|valid| *valid <= content.len()) else {
        return Err(damaged(content.len(), &format!("the file ends here, and {valid} bytes of it were written")));
    };
    let until = if unreadable_slot.is_some() { content.len() } else { valid };
    let (mut records, mut at) = (Vec::new(), FILE_HEADER_BYTES);
    while at < until {
        match record_at(&content[..until], at) {
            Ok(found) => {
                at += found.bytes;
                records.push(found);
            }
            Err(why) if at < valid => return Err(damaged(at, &why)),
            Err(_) => break,
        }
    }
    Ok(Parsed { records, bytes: at as u64, unreadable_slot })
}

fn record_at(content: &[u8], at: usize) -> std::result::Result<FoundRecord, String> {
    let Some((bytes, crc, body)) = frame(content, at) else { return Err("no whole record is here".into()) };
    if crc != crc::crc32c(body) {
        return Err("the record's checksum is wrong".into());
    }
    let (id, record) = LogRecord::decode(body)?;
    Ok(FoundRecord { at, bytes, id, record })
}

/// The frame at `at`: its bytes, checksum and body, if it is whole.
fn frame(content: &[u8], at: usize) -> Option<(usize, u32, &[u8])> {
    let header = content.get(at..at + RECORD_HEADER_BYTES)?;
    let word = |from: usize| u32::from_le_bytes(header[from..from + 4].try_into().expect("4 bytes"));
    let bytes = word(4) as usize;
    let body = content.get(at + RECORD_HEADER_BYTES..)?.get(..bytes)?;
    (word(0) == RECORD_MAGIC).then_some((RECORD_HEADER_BYTES + bytes, word(8), body))
}

/// The checkpoint file of one reactor.
pub(super) struct Checkpoint {
    io: Handle,
    config: Rc<StorageConfig>,
    chain: Chain,
    number: Cell<u32>,
    written: RefCell<Option<Written>>,
    /// A write to the file failed; what it left behind may count by now, so nothing is written there any more.
    spoilt: Cell<bool>,
    live: RefCell<Map<PartitionId, (u64, u32)>>,
    /// Appends go one after the other, and each must know where the one before ended. Waiting are at most the workers of one
    /// pass and the logs being removed.
    turn: Turnstile,
}

/// What records that are appended do to the disk's space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// They take some, for what they say has been written.
    Takes,
    /// When they are durable, files go.
    Frees,
}

/// A file that records are appended to.
#[derive(Clone)]
struct Written {
    file: File,
    path: PathBuf,
    /// Bytes that count.
    bytes: u64,
    /// Bytes that have their space on disk.
    allocated: u64,
    /// Of the slot that says so.
    sequence: u64,
}

impl Written {
    /// Sees to it that the reserve is still there when `more` bytes have been appended. When it cannot be, only what frees
    /// space may go on: nothing has been written then.
    async fn make_room(&mut self, io: &Handle, more: u64, effect: Effect) -> Result<()> {
        let bytes = self.bytes + more;
        if bytes + RESERVE_BYTES <= self.allocated {
            return Ok(());
        }
        let to = (bytes + RESERVE_BYTES).next_multiple_of(ALLOCATE_BYTES);
        match self.file.allocate(io, self.allocated, to - self.allocated).await {
            Ok(()) => self.allocated = to,
            Err(error) if effect == Effect::Takes || bytes > self.allocated => return Err(error),
            Err(_) => {}
        }
        Ok(())
    }

    /// Appends `content` and makes it count.
    async fn append(&mut self, io: &Handle, content: &[u8]) -> Result<()> {
        file::append_copied(io, &self.file, self.bytes, content).await?;
        self.file.sync(io, true).await?;
        self.bytes += content.len() as u64;
        self.sequence += 1;
        let at = (self.sequence % 2) * SLOT_BYTES as u64;
        file::append_copied(io, &self.file, at, &encode_slot(self.sequence, self.bytes)).await?;
        self.file.sync(io, true).await
    }
}

impl Checkpoint {
    pub fn new(io: &Handle, config: &Rc<StorageConfig>, chain: Chain) -> Checkpoint {
        Checkpoint {
            io: io.clone(),
            config: Rc::clone(config),
            chain,
            number: Cell::new(0),
            written: RefCell::default(),
            spoilt: Cell::new(false),
            live: RefCell::default(),
            turn: Turnstile::default(),
        }
    }

    /// Makes the file, so that its reserve is there before the disk is full.
    ///
    /// # Errors
    /// The kernel's; the first append makes the file then.
    pub async fn begin(&self) -> Result<()> {
        let _alone = self.turn.enter().await;
        self.rewrite(None, &[]).await
    }

    /// Appends records; when it returns they count. Calls take turns: write-back appends, and so does each removal of a
    /// log.
    pub async fn append(&self, records: &[(PartitionId, Vec<u8>)], effect: Effect) -> Result<()> {
        let _alone = self.turn.enter().await;
        let current = self.written.borrow().clone();
        let live: u64 = self.live.borrow().values().map(|(_, bytes)| u64::from(*bytes)).sum();
        let is_full = |written: &Written| written.bytes > REWRITE_BYTES_MIN.max(4 * live);
        let usable = current.clone().filter(|_| !self.spoilt.get());
        match usable {
            Some(written) if !is_full(&written) => self.append_to(written, records, effect).await,
            Some(written) => match self.rewrite(current, records).await {
                Err(error) if error.kind() == ErrorKind::StorageFull => self.append_to(written, records, effect).await,
                done => done,
            },
            None => self.rewrite(current, records).await,
        }
    }

    async fn append_to(&self, mut to: Written, records: &[(PartitionId, Vec<u8>)], effect: Effect) -> Result<()> {
        let (content, places) = joined(records, Vec::new(), Vec::new());
        to.make_room(&self.io, content.len() as u64, effect).await?;
        let base = to.bytes;
        let result = to.append(&self.io, &content).await;
        self.spoilt.set(result.is_err());
        result.map(|()| self.note(to, base, places))
    }

    /// Makes a file of what still counts in the `current` one and of `records`, in whose place it comes.
    async fn rewrite(&self, current: Option<Written>, records: &[(PartitionId, Vec<u8>)]) -> Result<()> {
        let (mut content, mut places) = (Vec::new(), Vec::new());
        if let Some(old) = &current {
            self.carry(&old.path, &mut content, &mut places).await?;
        }
        let (content, places) = joined(records, content, places);
        self.note(self.create(&content).await?, FILE_HEADER_BYTES as u64, places);
        self.spoilt.set(false);
        if let Some(old) = current
            && let Err(error) = file::unlink(&self.io, &old.path).await
        {
            tracing::warn!("{}: it is no longer needed, and cannot be removed: {error}", old.path.display());
        }
        Ok(())
    }

    /// Notes what is in the file now: `places` count from `base`.
    fn note(&self, written: Written, base: u64, places: Vec<(PartitionId, u64, u32)>) {
        *self.written.borrow_mut() = Some(written);
        self.live.borrow_mut().extend(places.into_iter().map(|(id, at, bytes)| (id, (base + at, bytes))));
    }

    /// Makes a file that holds `content`. It gets its name when that is durable.
    async fn create(&self, content: &[u8]) -> Result<Written> {
        let directory = self.config.checkpoint_directory();
        let number = self.number.get();
        self.number.set(number + 1);
        let path = directory.join(format!("{:06}-{:02}-{number:04}.checkpoint", self.chain.epoch, self.chain.reactor));
        let unnamed = path.with_extension("new");
        let result = self.create_as(content, &unnamed, &path).await;
        if result.is_err() {
            // It is not needed under either name; that it cannot be removed is no second error.
            let _ = file::unlink(&self.io, &unnamed).await;
        }
        result
    }

    async fn create_as(&self, content: &[u8], unnamed: &Path, path: &Path) -> Result<Written> {
        let mode = OpenMode { write: true, create: true, truncate: true, ..OpenMode::default() };
        let file = File::open(&self.io, unnamed, mode).await?;
        let bytes = (FILE_HEADER_BYTES + content.len()) as u64;
        // No more than it needs: it may be made on a disk that is full.
        let allocated = (bytes + RESERVE_BYTES).next_multiple_of(BLOCK_ALIGN as u64);
        file.allocate(&self.io, 0, allocated).await?;
        let mut whole = encode_slot(0, bytes);
        whole.resize(SLOT_BYTES, 0);
        whole.extend_from_within(..);
        whole.extend_from_slice(content);
        file::append_copied(&self.io, &file, 0, &whole).await?;
        file.sync(&self.io, false).await?;
        file::rename(&self.io, unnamed, path).await?;
        file::sync_directory(&self.io, &self.config.checkpoint_directory()).await?;
        Ok(Written { file, path: path.to_owned(), bytes, allocated, sequence: 0 })
    }

    /// Takes over what still counts from the file that is given up.
    async fn carry(&self, path: &Path, content: &mut Vec<u8>, places: &mut Vec<(PartitionId, u64, u32)>) -> Result<()> {
        let old = file::read_whole(&self.io, path, u64::from(u32::MAX)).await?.unwrap_or_default();
        let mut live: Vec<_> = self.live.borrow().iter().map(|(id, place)| (*id, *place)).collect();
        live.sort();
        for (id, (at, bytes)) in live {
            let Some(record) = old.get(at as usize..at as usize + bytes as usize) else {
                return Err(crate::io::Error::other(format!("{} is shorter than what was written", path.display())));
            };
            places.push((id, content.len() as u64, bytes));
            content.extend_from_slice(record);
        }
        Ok(())
    }
}

/// Gives back what the file of an earlier start, of `bytes` bytes, has reserved behind its end.
///
/// # Errors
/// The kernel's.
pub(super) async fn release_reserve(io: &Handle, path: &Path, bytes: u64) -> Result<()> {
    let file = File::open(io, path, OpenMode { write: true, ..OpenMode::default() }).await?;
    file.truncate(io, bytes).await
}

/// Puts `records` behind what is in `content` already.
fn joined(
    records: &[(PartitionId, Vec<u8>)],
    mut content: Vec<u8>,
    mut places: Vec<(PartitionId, u64, u32)>,
) -> (Vec<u8>, Vec<(PartitionId, u64, u32)>) {
    for (id, record) in records {
        places.push((*id, content.len() as u64, record.len() as u32));
        content.extend_from_slice(record);
    }
    (content, places)
}
