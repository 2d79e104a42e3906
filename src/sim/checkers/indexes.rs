//! After a clean stop the files of a partition agree: segments hold sound batches back to back and nothing else, with
//! offsets that go on from segment to segment, every entry of an offset index names a batch by its last offset, and every
//! entry of a time index is true.

use std::collections::{BTreeMap, BTreeSet};

use super::{AtRest, Checker};
use crate::io::{Path, PathBuf};
use crate::log::directory::{Kind, parse_file_name};
use crate::log::offset_index::OffsetIndex;
use crate::log::time_index::TimeIndex;
use crate::model::offset::Offset;
use crate::record::{batches, check_stored};
use crate::sim::history::{Event, Moment};

/// See the module.
#[derive(Default)]
pub struct Indexes {
    /// Files that a run has damaged: nobody is asked to notice before they are read.
    damaged: BTreeSet<PathBuf>,
}

/// A batch in its segment.
struct Stored {
    position: u32,
    base_offset: Offset,
    last_offset: Offset,
    max_timestamp: i64,
}

impl Checker for Indexes {
    fn name(&self) -> &'static str {
        "indexes"
    }

    fn observe(&mut self, _: Moment, event: &Event) -> Result<(), String> {
        if let Event::Damaged { path } | Event::LastCopyDamaged { path } = event {
            self.damaged.insert(path.clone());
        }
        Ok(())
    }

    fn inspect(&mut self, rest: &AtRest) -> Result<(), String> {
        let mut partitions: BTreeMap<PathBuf, Vec<Offset>> = BTreeMap::new();
        for path in rest.files.keys() {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
                continue;
            };
            if let Some((base, Kind::Log)) = parse_file_name(name) {
                partitions.entry(parent.to_owned()).or_default().push(base);
            }
        }
        for (directory, mut bases) in partitions {
            bases.sort_unstable();
            let mut end = None;
            for base in bases {
                end = self.check_segment(rest, &directory, base, end)?;
            }
        }
        Ok(())
    }
}

impl Indexes {
    /// Checks one segment with its companions; gives the offset at which the next one goes on.
    fn check_segment(
        &self,
        rest: &AtRest,
        directory: &Path,
        base: Offset,
        expected: Option<Offset>,
    ) -> Result<Option<Offset>, String> {
        let path = |kind: Kind| directory.join(crate::log::directory::file_name(base, kind));
        let file = |kind: Kind| rest.files.get(&path(kind)).map(Vec::as_slice);
        let shown = path(Kind::Log).display().to_string();
        if self.damaged.contains(&path(Kind::Log)) {
            return Ok(None);
        }
        let bytes = file(Kind::Log).unwrap_or_default();
        let stored = stored(bytes).map_err(|what| format!("{shown}, {} bytes: {what}", bytes.len()))?;
        let mut next = expected.unwrap_or(base);
        if base != next {
            return Err(format!("{shown}: the segment before ends at {next}"));
        }
        for batch in &stored {
            if batch.base_offset != next {
                return Err(format!(
                    "{shown}: offset {} at position {}, not {next}",
                    batch.base_offset, batch.position
                ));
            }
            next = batch.last_offset + 1;
        }
        if let Some(bytes) = file(Kind::Index).filter(|_| !self.damaged.contains(&path(Kind::Index))) {
            let index = OffsetIndex::decode(base, bytes, file(Kind::Log).unwrap_or_default().len() as u64);
            let index = index.map_err(|what| format!("{}: {what}", path(Kind::Index).display()))?;
            for entry in index.iter() {
                let found = stored.iter().find(|batch| batch.position == entry.position);
                if found.is_none_or(|batch| batch.last_offset != entry.offset) {
                    return Err(format!("{}: {entry:?} names no batch", path(Kind::Index).display()));
                }
            }
        }
        if let Some(bytes) = file(Kind::TimeIndex).filter(|_| !self.damaged.contains(&path(Kind::TimeIndex))) {
            let index = TimeIndex::decode(base, bytes, next);
            let index = index.map_err(|what| format!("{}: {what}", path(Kind::TimeIndex).display()))?;
            for entry in index.iter() {
                let before = stored.iter().filter(|batch| batch.base_offset <= entry.offset);
                if before.map(|batch| batch.max_timestamp).max() != Some(entry.timestamp) {
                    return Err(format!("{}: {entry:?} is not true", path(Kind::TimeIndex).display()));
                }
            }
        }
        Ok(Some(next))
    }
}

fn stored(bytes: &[u8]) -> Result<Vec<Stored>, String> {
    let (mut found, mut walk, mut position) = (Vec::new(), batches(bytes), 0);
    for batch in &mut walk {
        let (header, batch) = batch.map_err(|why| format!("position {position}: {why}"))?;
        check_stored(batch).map_err(|why| format!("position {position}: {why}"))?;
        found.push(Stored {
            position,
            base_offset: header.base_offset(),
            last_offset: header.last_offset(),
            max_timestamp: header.max_timestamp(),
        });
        position += batch.len() as u32;
    }
    match bytes.len() - walk.whole_bytes() {
        0 => Ok(found),
        left => Err(format!("{left} bytes behind the last whole batch")),
    }
}
