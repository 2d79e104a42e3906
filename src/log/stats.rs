//! What an operator asks of the storage later: counts and histograms of one reactor, without atomics.

use hdrhistogram::Histogram;

/// A histogram of three digits, from 1 to an hour in microseconds or 4 GiB in bytes.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 1 << 32, 2).expect("the bounds and two digits are valid")
}

/// The journal's side.
#[derive(Clone, Debug)]
pub struct JournalStats {
    /// Groups sealed.
    pub groups: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes of groups, headers and padding included.
    pub bytes: u64,
    /// Bytes written to segments directly.
    pub run_bytes: u64,
    /// Groups being written.
    pub in_flight: u64,
    /// Journal files that hold what write-back has not released.
    pub live_files: u64,
    /// Microseconds from a group's submission to its completion.
    pub device: Histogram<u64>,
    /// Microseconds from a group's first entry to its seal.
    pub staged: Histogram<u64>,
    /// Bytes a group.
    pub group_bytes: Histogram<u64>,
}

impl Default for JournalStats {
    fn default() -> JournalStats {
        JournalStats {
            groups: 0,
            entries: 0,
            bytes: 0,
            run_bytes: 0,
            in_flight: 0,
            live_files: 0,
            device: histogram(),
            staged: histogram(),
            group_bytes: histogram(),
        }
    }
}

/// The storage of one reactor.
#[derive(Clone, Debug)]
pub struct StorageStats {
    /// Its journal.
    pub journal: JournalStats,
    /// Logs hosted.
    pub logs: u64,
    /// Bytes that are only in the journal and in memory.
    pub dirty_bytes: u64,
    /// What the batches in memory take there, in bytes.
    pub tail_bytes: u64,
    /// Write-back passes.
    pub write_backs: u64,
    /// Bytes written to segments by write-back.
    pub written_back_bytes: u64,
    /// Checkpoint records written.
    pub checkpoint_records: u64,
    /// Bytes read from segments.
    pub read_bytes: u64,
    /// Segment files open.
    pub open_files: u64,
    /// Free bytes of the file system when last looked at.
    pub free_bytes: u64,
    /// Why the storage is offline, if it is.
    pub failure: Option<String>,
}
