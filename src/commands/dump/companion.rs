//! The small files: producer snapshots, transaction indexes, leader epochs, checkpoints.

use std::io;
use std::path::Path;

use flumen::log::checkpoint::{self, FoundRecord, LogRecord};
use flumen::log::leader_epochs::LeaderEpochs;
use flumen::producer::snapshot;
use flumen::producer::transaction_index::TransactionIndex;

use super::report::Report;

fn read(path: &Path, report: &mut Report) -> io::Result<Vec<u8>> {
    let bytes = std::fs::read(path)?;
    report.advance(bytes.len() as u64);
    Ok(bytes)
}

/// Prints a `.snapshot` file.
pub fn dump_snapshot(path: &Path, report: &mut Report) -> io::Result<()> {
    let states = match snapshot::decode(&read(path, report)?) {
        Ok(states) => states,
        Err(corrupt) => {
            report.problem(path, corrupt.position as u64, &corrupt.to_string());
            return Ok(());
        }
    };
    for (id, entry) in states.iter() {
        let transaction =
            entry.transaction_first_offset().map_or_else(|| "none".to_owned(), |offset| format!("from {offset}"));
        report.line(|| {
            format!(
                "producer {id}  epoch {}  last sequence {}  last offset {}  timestamp {}  coordinator epoch {}  transaction {transaction}",
                entry.epoch(),
                entry.last_sequence(),
                entry.last_offset(),
                entry.last_timestamp(),
                entry.coordinator_epoch(),
            )
        });
    }
    report.line(|| format!("{} producers  CRC ok", states.len()));
    Ok(())
}

/// Prints the `.txnindex` file of the segment that starts at the offset in its name.
pub fn dump_transactions(path: &Path, report: &mut Report) -> io::Result<()> {
    let base = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).unwrap_or(0);
    match TransactionIndex::decode(base, &read(path, report)?) {
        Ok(index) => index.entries().iter().for_each(|aborted| {
            report.counts.index_entries += 1;
            report.line(|| {
                format!(
                    "aborted: producer {}  offsets {}-{}  last stable offset {}",
                    aborted.producer_id, aborted.first_offset, aborted.last_offset, aborted.last_stable_offset
                )
            });
        }),
        Err(corrupt) => report.problem(path, corrupt.position as u64, &corrupt.to_string()),
    }
    Ok(())
}

/// Prints a `leader-epoch-checkpoint`.
pub fn dump_epochs(path: &Path, report: &mut Report) -> io::Result<()> {
    let bytes = read(path, report)?;
    match LeaderEpochs::decode(&bytes) {
        Ok(epochs) => epochs.entries().iter().for_each(|entry| {
            report.line(|| format!("epoch {}  from offset {}", entry.epoch, entry.start_offset));
        }),
        Err(corrupt) => {
            let position: usize =
                bytes.split_inclusive(|byte| *byte == b'\n').take(corrupt.line - 1).map(<[u8]>::len).sum();
            report.problem(path, position as u64, &corrupt.to_string());
        }
    }
    Ok(())
}

/// Prints a `.checkpoint` file.
pub fn dump_checkpoint(path: &Path, report: &mut Report) -> io::Result<()> {
    match checkpoint::parse(&read(path, report)?) {
        Ok(found) => {
            found.records.iter().for_each(|found| print_record(found, report));
            report.line(|| format!("{} records  CRC ok", found.records.len()));
            if let Some(position) = found.unreadable_slot {
                report.line(|| {
                    format!("one of its two headers, at position {position}, was torn by a crash or is damaged")
                });
            }
        }
        Err(damaged) => report.problem(path, damaged.position as u64, &damaged.why),
    }
    Ok(())
}

fn print_record(found: &FoundRecord, report: &mut Report) {
    let FoundRecord { at, bytes, id, record } = found;
    let LogRecord { name, version, process_epoch, log_start, stored, .. } = record;
    report.line(|| {
        if record.removed {
            return format!(
                "position {at}  bytes {bytes}  {id} \"{name}\"  version {version} of start {process_epoch}  removed"
            );
        }
        format!(
            "position {at}  bytes {bytes}  {id} \"{name}\"  version {version} of start {process_epoch}  log start {log_start}  \
             stored {stored}  edge {} bytes  owner state {} bytes",
            record.edge.len(),
            record.owner_state.len(),
        )
    });
    for segment in &record.segments {
        report.line(|| {
            format!(
                "  segment {}  next offset {}  bytes {}  max timestamp {} at offset {}  index entries {} and {}{}",
                segment.base,
                segment.next_offset,
                segment.end,
                segment.max_timestamp,
                segment.max_timestamp_offset,
                segment.offsets_on_file.entries,
                segment.times_on_file.entries,
                if segment.finished { "  finished" } else { "" },
            )
        });
    }
    for epoch in &record.epochs {
        report.line(|| format!("  epoch {}  from offset {}", epoch.epoch, epoch.start_offset));
    }
}
