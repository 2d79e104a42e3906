//! What coordinators know is what their logs say. After a clean stop the log of each partition of `__consumer_offsets` and
//! `__transaction_state` is replayed from the files: the offsets are those that were told last, nobody is a member who has
//! been silent for minutes, no transaction is open or half ended, and a prefix that is replaced by its snapshot, wherever it
//! is cut, replays into the same state.

use std::collections::{BTreeMap, BTreeSet};

use super::{AtRest, Checker};
use crate::coordinator::group::config::{GroupConfig, OfBroker};
use crate::coordinator::group::machine::GroupMachine;
use crate::coordinator::machine::{CoordinatorRecord, Machine, TransactionOf};
use crate::coordinator::transaction::machine::{TransactionConfig, TransactionMachine};
use crate::coordinator::transaction::state::Status;
use crate::io::Path;
use crate::log::directory::{Kind, parse_file_name};
use crate::metadata::controller::internal_topics::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC};
use crate::metadata::image::Image;
use crate::model::ids::{PartitionId, ProducerEpoch, ProducerId};
use crate::model::offset::Offset;
use crate::record::control::EndTransaction;
use crate::record::{batches, records};
use crate::sim::history::groups::{GroupEvent, GroupNumber, group_name};
use crate::sim::history::{Event, Moment};

/// Places at which each log is cut.
const CUTS: usize = 4;

/// See the module.
#[derive(Default)]
pub struct Coordinators {
    /// The offset that was told last.
    told: BTreeMap<(GroupNumber, PartitionId), Offset>,
}

/// A record of a coordinator's log, or the marker of a transaction.
enum Step {
    Record(CoordinatorRecord, Option<TransactionOf>),
    Marker(TransactionOf, bool),
}

impl Step {
    fn take<M: Machine>(&self, machine: &mut M) -> Result<(), String> {
        match self {
            Step::Record(record, transaction) => machine.replay(&record.key, record.value.as_deref(), *transaction),
            Step::Marker(transaction, committed) => {
                machine.replay_marker(*transaction, *committed);
                Ok(())
            }
        }
    }
}

/// The log of a partition, by the name of its directory.
fn steps(rest: &AtRest, name: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let is_of = |path: &Path| path.parent().and_then(Path::file_name).is_some_and(|directory| directory == name);
    for (path, bytes) in rest.files.iter().filter(|(path, _)| is_of(path)) {
        let kind = path.file_name().and_then(|name| parse_file_name(name.to_str()?));
        if !matches!(kind, Some((_, Kind::Log))) {
            continue;
        }
        for (header, batch) in batches(bytes).map_while(Result::ok) {
            let transaction = header
                .is_transactional()
                .then(|| TransactionOf { producer_id: header.producer_id(), producer_epoch: header.producer_epoch() });
            for record in &records(batch).map_err(|why| why.to_string())? {
                let record = record.map_err(|why| why.to_string())?;
                if header.is_control() {
                    if let (Some(end), Some(transaction)) = (EndTransaction::from_record(&record), transaction) {
                        steps.push(Step::Marker(transaction, end.is_commit));
                    }
                    continue;
                }
                let key = record.key.ok_or("a record without a key")?.to_vec();
                let value = record.value.map(<[u8]>::to_vec);
                steps.push(Step::Record(CoordinatorRecord { key, value }, transaction));
            }
        }
    }
    Ok(steps)
}

/// A record of a snapshot, with the producer in whose transaction it is pending.
type Known = (Option<(ProducerId, ProducerEpoch)>, Vec<u8>, Option<Vec<u8>>);

fn snapshot(machine: &impl Machine) -> BTreeSet<Known> {
    let mut known = BTreeSet::new();
    for run in machine.snapshot() {
        let of = run.transaction.map(|transaction| (transaction.producer_id, transaction.producer_epoch));
        known.extend(run.records.into_iter().map(|record| (of, record.key, record.value)));
    }
    known
}

/// Replays a log, whole and with its front replaced by a snapshot.
fn replay<M: Machine>(steps: &[Step], make: impl Fn() -> M) -> Result<M, String> {
    let mut whole = make();
    steps.iter().try_for_each(|step| step.take(&mut whole))?;
    let expected = snapshot(&whole);
    for cut in (1..=CUTS).map(|part| steps.len() * part / (CUTS + 1)) {
        let (front, back) = steps.split_at(cut);
        let mut early = make();
        front.iter().try_for_each(|step| step.take(&mut early))?;
        let mut late = make();
        for run in early.snapshot() {
            for record in run.records {
                late.replay(&record.key, record.value.as_deref(), run.transaction)?;
            }
        }
        back.iter().try_for_each(|step| step.take(&mut late))?;
        let found = snapshot(&late);
        if found != expected {
            let differs = expected.symmetric_difference(&found).next();
            return Err(format!(
                "with its first {cut} of {} records replaced by their snapshot the log replays into {} records and not {}; \
                 first difference: {differs:?}",
                steps.len(),
                found.len(),
                expected.len()
            ));
        }
    }
    Ok(whole)
}

/// Committed offsets by group and partition.
type Committed = BTreeMap<(String, PartitionId), Offset>;

/// Nobody is a member any more; what the log says of offsets goes to `committed`.
fn check_groups(machine: &GroupMachine, committed: &mut Committed) -> Result<(), String> {
    for (listed, members) in machine.overview() {
        let group = listed.group_id.to_string();
        if members > 0 {
            return Err(format!("group '{group}' has {members} members, and nobody is there"));
        }
        for (_, index, known) in machine.offsets().of_group(&group) {
            committed.insert((group.clone(), PartitionId { topic: known.topic_id, index }), known.offset);
        }
    }
    Ok(())
}

impl Checker for Coordinators {
    fn name(&self) -> &'static str {
        "coordinators"
    }

    fn observe(&mut self, _: Moment, event: &Event) -> Result<(), String> {
        if let Event::Group(GroupEvent::OffsetTold { group, place, offset, .. }) = event {
            self.told.insert((*group, *place), *offset);
        }
        Ok(())
    }

    fn inspect(&mut self, rest: &AtRest) -> Result<(), String> {
        let directories: BTreeSet<&str> = rest
            .files
            .keys()
            .filter_map(|path| path.parent().and_then(Path::file_name).and_then(|name| name.to_str()))
            .collect();
        let mut committed = Committed::new();
        for name in directories {
            let is_of = |topic: &str| name.strip_prefix(topic).is_some_and(|rest| rest.starts_with('-'));
            if is_of(OFFSETS_TOPIC) {
                let image = Image::empty();
                let make = || GroupMachine::new(GroupConfig::of(&image, OfBroker::default()));
                let machine = replay(&steps(rest, name)?, make).map_err(|what| format!("{name}: {what}"))?;
                check_groups(&machine, &mut committed).map_err(|what| format!("{name}: {what}"))?;
            } else if is_of(TRANSACTIONS_TOPIC) {
                let make = || TransactionMachine::new(TransactionConfig::default());
                let machine = replay(&steps(rest, name)?, make).map_err(|what| format!("{name}: {what}"))?;
                for (id, transaction) in machine.iter() {
                    if transaction.status == Status::Ongoing || transaction.status.is_prepared() {
                        return Err(format!("{name}: the transaction of '{id}' is {} for ever", transaction.status));
                    }
                }
            }
        }
        for ((group, place), offset) in &self.told {
            let group = group_name(*group);
            let found = committed.get(&(group.clone(), *place)).copied().unwrap_or(-1);
            if found != *offset {
                return Err(format!("{place}: offset {offset} of group '{group}' was told, and the log says {found}"));
            }
        }
        Ok(())
    }
}
