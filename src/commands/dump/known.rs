//! What the checkpoints of a data directory vouch for: which bytes of which files must be there.
//!
//! A segment that is being appended to may hold anything behind what was written back: reserved space, holes that the
//! journal fills at the next start, half a block. Only what a checkpoint relies on can be damaged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flumen::log::checkpoint::{self, LogRecord, SegmentRecord};
use flumen::log::segment::OnFile;
use flumen::model::ids::PartitionId;
use flumen::model::offset::Offset;

/// The latest record of each log of one data directory.
#[derive(Default)]
pub struct Known {
    logs: BTreeMap<PartitionId, LogRecord>,
}

/// What a segment's files must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// There are no checkpoints: whole batches up to the file's end.
    Whole,
    /// At least `stored` bytes of batches.
    Part {
        /// Bytes that were written back; the journal may hold more.
        stored: u64,
        /// Entries of the offset index.
        offsets: OnFile,
        /// Entries of the time index.
        times: OnFile,
        /// What the checkpoint says of the whole segment, if nothing was appended since.
        closed: Option<SegmentRecord>,
    },
}

/// Nothing that was written back.
const NOTHING: Extent = Extent::Part {
    stored: 0,
    offsets: OnFile { entries: 0, crc: 0 },
    times: OnFile { entries: 0, crc: 0 },
    closed: None,
};

impl Known {
    /// Reads the checkpoints below `data`; `None` when there is no directory of them: not Flumen's, then. A checkpoint
    /// that cannot be read is left out, and found damaged when it is its turn.
    pub fn read(data: &Path) -> Option<Known> {
        let directory = std::fs::read_dir(data.join("checkpoint")).ok()?;
        let mut known = Known::default();
        for path in directory.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.extension().is_none_or(|extension| extension != "checkpoint") {
                continue;
            }
            let content = std::fs::read(&path).unwrap_or_default();
            for found in checkpoint::parse(&content).unwrap_or_default().records {
                let latest = known.logs.entry(found.id).or_default();
                if found.record.age() >= latest.age() {
                    *latest = found.record;
                }
            }
        }
        Some(known)
    }

    /// Whether recovery would pass over the change `version` of `id` in a journal of the process start `process_epoch`.
    pub fn covers(&self, id: PartitionId, version: u64, process_epoch: u32) -> bool {
        let covers =
            |record: &LogRecord| record.removed || version <= record.version || process_epoch < record.process_epoch;
        self.logs.get(&id).is_some_and(covers)
    }

    /// What the segment `base` of the log in the directory `name` must hold.
    pub fn extent(&self, name: &str, base: Offset) -> Extent {
        let Some(record) = self.logs.values().find(|record| !record.removed && record.name == name) else {
            return NOTHING;
        };
        let Some(segment) = record.segments.iter().find(|segment| segment.base == base) else { return NOTHING };
        let is_last = record.segments.last().is_some_and(|last| last.base == base);
        let stored = u64::from(if is_last { record.stored } else { segment.end });
        let closed = (!is_last).then_some(*segment);
        Extent::Part { stored, offsets: segment.offsets_on_file, times: segment.times_on_file, closed }
    }

    /// Segments that must be there: the directory's name, the base offset.
    pub fn required(&self) -> Vec<(&str, Offset)> {
        let logs = self.logs.values().filter(|record| !record.removed);
        let all = logs.flat_map(|record| record.segments.iter().map(|segment| (record.name.as_str(), segment.base)));
        all.filter(|(name, base)| matches!(self.extent(name, *base), Extent::Part { stored, .. } if stored > 0))
            .collect()
    }
}

/// The data directory that a file of a partition, of the journal or of the checkpoints lies in.
pub fn data_directory(path: &Path) -> Option<PathBuf> {
    let parent = path.parent()?;
    // A bare file name lies in the working directory.
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    Some(parent.canonicalize().ok()?.parent()?.to_owned())
}
