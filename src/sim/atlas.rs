//! The fault atlas: which bytes of a broker's disk are no last copy of anything that was promised, so that a run may damage
//! them and still ask for everything that was acknowledged.
//!
//! A broker that stands alone has one good copy of what was acknowledged: its journal and its segments together. Damage to
//! those is another kind of run, in which what is asked for is that nobody is ever shown anything wrong.

use std::ops::Range;

use crate::io::Path;
use crate::log::checkpoint::stale_header;
use crate::log::group::{FileHeader, GROUPS_START};

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

/// Whether writes to this file may go astray within it.
pub fn may_go_astray(path: &Path) -> bool {
    matches!(path.extension().and_then(|extension| extension.to_str()), Some("index" | "timeindex" | "snapshot"))
}
