//! The fault atlas: which bytes of a broker's disk are no last copy of anything that was promised, so that a run may damage
//! them and still ask for everything that was acknowledged.
//!
//! A broker that stands alone has one good copy of what was acknowledged: its journal and its segments together. Damage to
//! those is another kind of run, in which what is asked for is that nobody is ever shown anything wrong.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use super::disk::Disk;
use crate::io::Path;
use crate::log::checkpoint::{self, FoundRecord, LogRecord, stale_header};
use crate::log::directory::{Kind, file_name};
use crate::log::group::{FileHeader, GROUPS_START};
use crate::model::ids::PartitionId;

/// The part of a file that may be damaged.
pub fn redundant(path: &Path, content: &[u8]) -> Option<Range<u64>> {
    let end = content.len() as u64;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let range = match extension {
        // Built anew from the segment.
        "index" | "timeindex" => 0..end,
        // For Kafka's tools; the checkpoint has the same.
        "snapshot" => 0..end,
        _ if name == "leader-epoch-checkpoint" => 0..end,
        // Written in turn: the other one counts.
        "checkpoint" => stale_header(content).map(|slot| slot.start as u64..slot.end as u64)?,
        // A file that waits to be used again: nobody reads what lies behind its blank header.
        _ if path.starts_with("/journal") && matches!(FileHeader::decode(content), Ok(None)) => GROUPS_START..end,
        _ => return None,
    };
    (!range.is_empty()).then_some(range)
}

/// How far the segments hold what the checkpoints of a broker's disk speak of, by path. Damage behind that, in the last groups
/// before a crash, may look like writes that the crash has torn: then what they held is cut off, and its offsets are given out
/// again (ARCHITECTURE: Torn or damaged).
pub fn covered(disk: &Disk) -> BTreeMap<PathBuf, u64> {
    let mut records: BTreeMap<PartitionId, LogRecord> = BTreeMap::new();
    let checkpoints = disk.paths().into_iter().filter(|path| path.extension().is_some_and(|one| one == "checkpoint"));
    for content in checkpoints.filter_map(|path| disk.content_of(&path)) {
        for FoundRecord { id, record, .. } in checkpoint::parse(&content).map_or(Vec::new(), |parsed| parsed.records) {
            if records.get(&id).is_none_or(|known| record.age() >= known.age()) {
                records.insert(id, record);
            }
        }
    }
    let mut covered = BTreeMap::new();
    for record in records.values().filter(|record| !record.removed) {
        for (at, segment) in record.segments.iter().enumerate() {
            let is_last = at + 1 == record.segments.len();
            let path = Path::new("/").join(&record.name).join(file_name(segment.base, Kind::Log));
            covered.insert(path, u64::from(if is_last { record.stored } else { segment.end }));
        }
    }
    covered
}

/// Whether writes to this file may go astray within it.
pub fn may_go_astray(path: &Path) -> bool {
    matches!(path.extension().and_then(|extension| extension.to_str()), Some("index" | "timeindex" | "snapshot"))
}
