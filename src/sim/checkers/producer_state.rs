//! After a clean stop what the checkpoint says of producers is what the log says: for each producer whose batches are in
//! the log, the last batch with its sequence number and offset, or none when a marker has brought a later epoch since.

use std::collections::BTreeMap;

use super::{AtRest, Checker};
use crate::io::Path;
use crate::log::checkpoint;
use crate::log::directory::{Kind, parse_file_name};
use crate::model::ids::{PartitionId, ProducerEpoch, ProducerId};
use crate::model::offset::Offset;
use crate::producer::kept::decode_kept;
use crate::record::batches;
use crate::sim::history::{Event, Moment};

/// See the module.
pub struct ProducerState;

/// A producer's last batch in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    epoch: ProducerEpoch,
    sequence: i32,
    offset: Offset,
}

impl Checker for ProducerState {
    fn name(&self) -> &'static str {
        "producer-state"
    }

    fn observe(&mut self, _: Moment, _: &Event) -> Result<(), String> {
        Ok(())
    }

    fn inspect(&mut self, rest: &AtRest) -> Result<(), String> {
        let mut records: BTreeMap<PartitionId, checkpoint::LogRecord> = BTreeMap::new();
        for (path, bytes) in rest.files.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "checkpoint")) {
            let found = checkpoint::parse(bytes)
                .map_err(|damaged| format!("{} at {}: {}", path.display(), damaged.position, damaged.why))?;
            for one in found.records {
                let record = records.entry(one.id).or_default();
                if one.record.age() >= record.age() {
                    *record = one.record;
                }
            }
        }
        for (id, record) in records.iter().filter(|(_, record)| !record.removed) {
            check(rest, record).map_err(|what| format!("{id} ({}): {what}", record.name))?;
        }
        Ok(())
    }
}

fn check(rest: &AtRest, record: &checkpoint::LogRecord) -> Result<(), String> {
    let producers = decode_kept(&record.owner_state).map_err(|why| why.to_string())?.producers;
    for (id, last) in last_batches(rest, &record.name) {
        let Some(entry) = producers.get(id) else {
            return Err(format!("producer {id} is forgotten, and its {last:?} is in the log"));
        };
        let known = Last { epoch: entry.epoch(), sequence: entry.last_sequence(), offset: entry.last_offset() };
        if known != last {
            return Err(format!("producer {id} is known for {known:?}, and its last in the log is {last:?}"));
        }
    }
    Ok(())
}

/// The last batch of each producer in the segments of one partition.
fn last_batches(rest: &AtRest, name: &str) -> BTreeMap<ProducerId, Last> {
    let mut last = BTreeMap::new();
    let is_of = |path: &Path| path.parent().and_then(Path::file_name).is_some_and(|directory| directory == name);
    for (path, bytes) in rest.files.iter().filter(|(path, _)| is_of(path)) {
        let kind = path.file_name().and_then(|name| parse_file_name(name.to_str()?));
        if !matches!(kind, Some((_, Kind::Log))) {
            continue;
        }
        for (header, _) in batches(bytes).map_while(Result::ok) {
            if !header.has_producer() {
                continue;
            }
            let epoch = header.producer_epoch();
            if header.is_control() {
                // It is no batch to remember, but with a later epoch earlier ones are of no use any more.
                if last.get(&header.producer_id()).is_none_or(|known: &Last| known.epoch < epoch) {
                    last.insert(header.producer_id(), Last { epoch, sequence: -1, offset: -1 });
                }
                continue;
            }
            let (first, delta) = (header.base_sequence(), header.last_offset_delta());
            // Coordinators write without sequence numbers.
            let sequence = if first < 0 { first } else { first.wrapping_add(delta) };
            last.insert(header.producer_id(), Last { epoch, sequence, offset: header.last_offset() });
        }
    }
    last
}
