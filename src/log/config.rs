//! The knobs of the storage engine.

use std::path::PathBuf;

use crate::base::time::Duration;
use crate::base::units::{GIB, KIB, MIB};

/// How the storage of one broker is laid out and driven. Every default is a measured one (`benches/RESULTS.md`).
#[derive(Clone, Debug)]
pub struct StorageConfig {
    /// The data directory.
    pub data: PathBuf,
    /// Bytes that one reactor's journal may take on disk.
    pub journal_bytes: u64,
    /// Size of one journal file; a multiple of 4 KiB.
    pub journal_file_bytes: u64,
    /// Groups under way at a time: with one, the device waits for us.
    pub groups_in_flight_max: usize,
    /// A group is sealed when it reaches this size.
    pub group_bytes_max: u32,
    /// A batch of this size or more goes to its segment directly.
    pub direct_run_bytes_min: u32,
    /// Write-back starts when this much is only in the journal.
    pub write_back_bytes: u64,
    /// Write-back starts at the latest this long after an append.
    pub write_back_interval: Duration,
    /// Logs that are written back at a time.
    pub write_back_depth: usize,
    /// Below this much free space produce is refused.
    pub disk_reserve_bytes: u64,
    /// Bytes of written-back batches that stay in memory for consumers of the tail, per reactor.
    pub tail_bytes_max: u64,
    /// Segment files that stay open, per reactor.
    pub open_files_max: usize,
    /// How large the steps of background work are.
    pub steps: Steps,
}

/// How large the steps of background work are: nobody needs to set them, but a world in which they are small comes to the
/// places between them often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Checkpoint records that a pass of write-back makes durable at a time.
    pub checkpoint_records: usize,
    /// The tails are bounded again after this many bytes of direct runs at the earliest.
    pub trim_bytes: u64,
    /// The least that is reserved on disk ahead of a segment's end, in bytes.
    pub reserve_bytes: u32,
    /// The index files of a segment that is appended to are written when so many bytes of it have no entry in them, and the file of
    /// leader epochs with them. Until then only the segment's own file is touched; after a crash a search walks through as much.
    pub index_lag_bytes: u32,
}

impl Default for Steps {
    fn default() -> Steps {
        Steps {
            checkpoint_records: 128,
            trim_bytes: MIB,
            reserve_bytes: MIB as u32,
            index_lag_bytes: (256 * KIB) as u32,
        }
    }
}

/// Who goes on when the space ends: on disk below the reserve, and in the journal when no further file can be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precedence {
    /// What clients produce: refused below the disk's reserve, and it leaves the journal's last part to the others.
    #[default]
    Records,
    /// What coordinators write. Offsets are how consumers get past what fills the disk.
    Coordination,
    /// Metadata, and deletions of records: how a full disk gets space again.
    Deletion,
}

impl Precedence {
    /// Of the last journal file there is, the bytes that are left to those that go before this one.
    pub(super) fn leaves(self, journal_file_bytes: u64) -> u64 {
        let leaves = (journal_file_bytes / 8).min(MIB);
        match self {
            Precedence::Records => leaves,
            Precedence::Coordination => leaves / 2,
            Precedence::Deletion => 0,
        }
    }
}

impl StorageConfig {
    /// The defaults for a data directory.
    pub fn new(data: PathBuf) -> StorageConfig {
        StorageConfig {
            data,
            journal_bytes: GIB,
            journal_file_bytes: 64 * MIB,
            groups_in_flight_max: 4,
            group_bytes_max: MIB as u32,
            direct_run_bytes_min: (32 * KIB) as u32,
            write_back_bytes: 32 * MIB,
            write_back_interval: Duration::from_secs(10),
            write_back_depth: 16,
            disk_reserve_bytes: GIB,
            tail_bytes_max: 32 * MIB,
            open_files_max: 2048,
            steps: Steps::default(),
        }
    }

    /// The largest entry that goes through the journal; larger batches always go to their segment directly.
    pub fn entry_bytes_max(&self) -> u32 {
        (self.journal_file_bytes / 8).min(u64::from(u32::MAX)) as u32
    }

    /// The directory of the journal files.
    pub fn journal_directory(&self) -> PathBuf {
        self.data.join("journal")
    }

    /// The directory of the checkpoint files.
    pub fn checkpoint_directory(&self) -> PathBuf {
        self.data.join("checkpoint")
    }
}
