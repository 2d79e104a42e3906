//! The journal's format: what a file, a group and an entry look like on disk.
//!
//! A journal file starts with one 4 KiB block that holds its [`FileHeader`]. Groups follow, each at a multiple of 4 KiB
//! and padded to one. A group is a 64-byte [`GroupHeader`] and its entries back to back; an entry is a 64-byte
//! [`EntryHeader`] and `bytes` of payload. All integers are little-endian, all checksums CRC-32C.
//!
//! Files are recycled, so old groups lie behind the new ones. A group belongs to its file's present life only if epoch,
//! reactor and file sequence agree with the file header, and it counts only if its number is the next one.

use zerocopy::little_endian::{I32, I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::base::block::BLOCK_ALIGN;
use crate::model::ids::{PartitionId, ReactorId, Uuid};
use crate::model::offset::Offset;
use crate::record::crc;
use crate::record::crc::Crc32c;

/// Where the first group of a file lies.
pub const GROUPS_START: u64 = BLOCK_ALIGN as u64;
/// Size of a group's header in bytes.
pub const GROUP_HEADER_BYTES: usize = size_of::<GroupHeader>();
/// Size of an entry's header in bytes.
pub const ENTRY_HEADER_BYTES: usize = size_of::<EntryHeader>();

const FILE_MAGIC: u32 = u32::from_le_bytes(*b"FLJF");
const GROUP_MAGIC: u32 = u32::from_le_bytes(*b"FLJG");
/// Version of this format; a file of another version is refused.
const VERSION: u16 = 2;

const _: () = assert!(GROUP_HEADER_BYTES == 64 && ENTRY_HEADER_BYTES == 64);

/// Which life of which journal a file or group belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chain {
    /// Number of the process start that wrote it.
    pub epoch: u32,
    /// The reactor that wrote it.
    pub reactor: ReactorId,
}

/// The first bytes of a journal file.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawFileHeader {
    magic: U32,
    crc: U32,
    version: U16,
    reactor: U16,
    epoch: U32,
    sequence: U64,
    first_group: U64,
    bytes: U64,
}

/// What a journal file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// The journal it belongs to.
    pub chain: Chain,
    /// Number of the file within its chain.
    pub sequence: u64,
    /// Number of its first group.
    pub first_group: u64,
    /// Size of the file; 0 where that is not known.
    pub bytes: u64,
}

impl FileHeader {
    /// The header's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut raw = RawFileHeader {
            magic: FILE_MAGIC.into(),
            crc: 0.into(),
            version: VERSION.into(),
            reactor: self.chain.reactor.into(),
            epoch: self.chain.epoch.into(),
            sequence: self.sequence.into(),
            first_group: self.first_group.into(),
            bytes: self.bytes.into(),
        };
        raw.crc = crc::crc32c(&raw.as_bytes()[8..]).into();
        raw.as_bytes().to_vec()
    }

    /// Reads a header; `Ok(None)` where none was ever written.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Option<FileHeader>, String> {
        let Ok((raw, _)) = RawFileHeader::ref_from_prefix(bytes) else {
            return Err(format!("{} bytes are no journal file", bytes.len()));
        };
        if raw.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if raw.magic.get() != FILE_MAGIC {
            return Err("the journal file's magic number is wrong".into());
        }
        if raw.crc.get() != crc::crc32c(&raw.as_bytes()[8..]) {
            return Err("the journal file header's checksum is wrong".into());
        }
        if raw.version.get() != VERSION {
            return Err(format!("journal format {} is not known to this version (it writes {VERSION})", raw.version));
        }
        Ok(Some(FileHeader {
            chain: Chain { epoch: raw.epoch.get(), reactor: raw.reactor.get() },
            sequence: raw.sequence.get(),
            first_group: raw.first_group.get(),
            bytes: raw.bytes.get(),
        }))
    }
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct GroupHeader {
    magic: U32,
    crc: U32,
    sequence: U64,
    group: U64,
    epoch: U32,
    reactor: U16,
    reserved: [u8; 2],
    bytes: U32,
    entries: U32,
    durable: U64,
    unused: [u8; 16],
}

/// The place of a group in its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupPlace {
    /// The journal.
    pub chain: Chain,
    /// The file's number.
    pub sequence: u64,
    /// The group's number, rising by one from group to group over all files of a chain.
    pub group: u64,
    /// All groups below this one were durable when this one was sealed: if one of them cannot be read, it was lost after
    /// it was acknowledged, and is no torn end.
    pub durable: u64,
}

/// A group's header bytes for `entries` entries that are `body` together.
pub fn encode_group_header(place: GroupPlace, entries: u32, body: &[u8]) -> [u8; GROUP_HEADER_BYTES] {
    let mut raw = GroupHeader {
        magic: GROUP_MAGIC.into(),
        crc: 0.into(),
        sequence: place.sequence.into(),
        group: place.group.into(),
        epoch: place.chain.epoch.into(),
        reactor: place.chain.reactor.into(),
        reserved: [0; 2],
        bytes: ((GROUP_HEADER_BYTES + body.len()) as u32).into(),
        entries: entries.into(),
        durable: place.durable.into(),
        unused: [0; 16],
    };
    raw.crc = group_crc(&raw, body).into();
    let mut bytes = [0; GROUP_HEADER_BYTES];
    bytes.copy_from_slice(raw.as_bytes());
    bytes
}

fn group_crc(raw: &GroupHeader, body: &[u8]) -> u32 {
    let mut crc = Crc32c::new();
    crc.update(&raw.as_bytes()[8..]);
    crc.update(body);
    crc.value()
}

/// A group as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// Its number.
    pub number: u64,
    /// All groups below this one were durable when it was sealed.
    pub durable: u64,
    /// Its entries.
    pub entries: u32,
    /// The entries' bytes.
    pub body: &'a [u8],
    /// Bytes up to the next group.
    pub padded: usize,
}

/// What the bytes at a group's place turn out to be.
#[derive(Debug)]
pub enum Found<'a> {
    /// A whole group of this chain and file.
    Group(Group<'a>),
    /// More bytes are needed to tell: this many from the group's start on.
    Need(usize),
    /// No group of this chain and file.
    Nothing,
}

/// Looks for a group of `header`'s file at the start of `bytes`.
pub fn find_group<'a>(header: &FileHeader, bytes: &'a [u8]) -> Found<'a> {
    let Ok((raw, rest)) = GroupHeader::ref_from_prefix(bytes) else { return Found::Need(BLOCK_ALIGN) };
    let claimed = Chain { epoch: raw.epoch.get(), reactor: raw.reactor.get() };
    let total = raw.bytes.get() as usize;
    if raw.magic.get() != GROUP_MAGIC
        || claimed != header.chain
        || raw.sequence.get() != header.sequence
        || raw.group.get() < header.first_group
        || total < GROUP_HEADER_BYTES
    {
        return Found::Nothing;
    }
    if total > bytes.len() {
        return Found::Need(total.next_multiple_of(BLOCK_ALIGN));
    }
    let body = &rest[..total - GROUP_HEADER_BYTES];
    if raw.crc.get() != group_crc(raw, body) {
        return Found::Nothing;
    }
    Found::Group(Group {
        number: raw.group.get(),
        durable: raw.durable.get(),
        entries: raw.entries.get(),
        body,
        padded: total.next_multiple_of(BLOCK_ALIGN),
    })
}

/// The life of a file that whatever group stands at the start of `bytes` was written in, as a header that
/// [`find_group`] finds it by; `None` where no group begins. For tools that look at what recycling left behind.
pub fn claimed_header(bytes: &[u8]) -> Option<FileHeader> {
    let (raw, _) = GroupHeader::ref_from_prefix(bytes).ok()?;
    (raw.magic.get() == GROUP_MAGIC).then(|| FileHeader {
        chain: Chain { epoch: raw.epoch.get(), reactor: raw.reactor.get() },
        sequence: raw.sequence.get(),
        first_group: raw.group.get(),
        bytes: 0,
    })
}

/// What an entry does to its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// The log begins; the payload is the name of its directory.
    Create,
    /// The payload is whole batches at `position` of the segment.
    Append,
    /// Whole batches of `run_bytes` bytes from `position` on: their whole blocks are in the segment itself, the payload
    /// is the rest behind the last whole block. `run_crc` covers the batches' header prefixes (see `run.rs`).
    Run,
    /// The log starts at `next_offset`.
    Start,
}

impl EntryKind {
    const ALL: [EntryKind; 4] = [EntryKind::Create, EntryKind::Append, EntryKind::Run, EntryKind::Start];

    fn code(self) -> u8 {
        match self {
            EntryKind::Create => 1,
            EntryKind::Append => 2,
            EntryKind::Run => 3,
            EntryKind::Start => 4,
        }
    }

    fn from_code(code: u8) -> Option<EntryKind> {
        EntryKind::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct EntryHeader {
    kind: u8,
    reserved: [u8; 3],
    bytes: U32,
    topic: [u8; 16],
    index: I32,
    position: U32,
    segment: I64,
    version: U64,
    next_offset: I64,
    run_bytes: U32,
    run_crc: U32,
}

/// An entry's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it does.
    pub kind: EntryKind,
    /// The log.
    pub id: PartitionId,
    /// Number of the change within its log: each entry's is one more than the one before, so that a lost group shows.
    pub version: u64,
    /// Base offset of the segment.
    pub segment: Offset,
    /// Position in the segment.
    pub position: u32,
    /// The log end offset after this entry; of [`EntryKind::Start`] the log start offset.
    pub next_offset: Offset,
    /// For [`EntryKind::Run`]: bytes of the whole run.
    pub run_bytes: u32,
    /// For [`EntryKind::Run`]: checksum of the batches' header prefixes.
    pub run_crc: u32,
}

impl Entry {
    /// The header's bytes before a payload of `bytes`.
    pub fn encode(&self, bytes: u32) -> [u8; ENTRY_HEADER_BYTES] {
        let raw = EntryHeader {
            kind: self.kind.code(),
            reserved: [0; 3],
            bytes: bytes.into(),
            topic: *self.id.topic.as_bytes(),
            index: self.id.index.into(),
            position: self.position.into(),
            segment: self.segment.into(),
            version: self.version.into(),
            next_offset: self.next_offset.into(),
            run_bytes: self.run_bytes.into(),
            run_crc: self.run_crc.into(),
        };
        let mut out = [0; ENTRY_HEADER_BYTES];
        out.copy_from_slice(raw.as_bytes());
        out
    }

    /// Reads the next entry of a group's body: the entry, its payload, and what follows.
    ///
    /// # Errors
    /// What is wrong with it: the group's checksum was right, so this is a fault of the writer.
    pub fn decode(body: &[u8]) -> Result<(Entry, &[u8], &[u8]), String> {
        let Ok((raw, rest)) = EntryHeader::ref_from_prefix(body) else {
            return Err(format!("{} bytes where an entry's header should be", body.len()));
        };
        let Some(kind) = EntryKind::from_code(raw.kind) else {
            return Err(format!("entry kind {} is not known", raw.kind));
        };
        let bytes = raw.bytes.get() as usize;
        if bytes > rest.len() {
            return Err(format!("an entry of {bytes} bytes where {} are left", rest.len()));
        }
        let entry = Entry {
            kind,
            id: PartitionId { topic: Uuid::from_bytes(raw.topic), index: raw.index.get() },
            version: raw.version.get(),
            segment: raw.segment.get(),
            position: raw.position.get(),
            next_offset: raw.next_offset.get(),
            run_bytes: raw.run_bytes.get(),
            run_crc: raw.run_crc.get(),
        };
        Ok((entry, &rest[..bytes], &rest[bytes..]))
    }
}
