//! `.index` and `.timeindex` files: their entries, held against the segment's batches.

use std::io;
use std::path::Path;

use flumen::log::corrupt::CorruptIndex;
use flumen::log::directory::{Kind, file_name};
use flumen::log::offset_index::{self, OffsetIndex, OffsetPosition};
use flumen::log::segment::OnFile;
use flumen::log::time_index::{self, TimeIndex, TimestampOffset};
use flumen::model::offset::{NO_TIMESTAMP, Offset, Timestamp};
use flumen::record::BatchHeader;
use flumen::record::crc;

use super::known::Extent;
use super::report::Report;
use super::segment::{base_of, headers};

/// Prints the offset index at `path`.
pub fn dump_offsets(path: &Path, extent: Extent, report: &mut Report) -> io::Result<()> {
    let base = base_of(path, Kind::Index).unwrap_or(0);
    let on_file = match extent {
        Extent::Whole => None,
        Extent::Part { offsets, .. } => Some(offsets),
    };
    let Some(bytes) = relied_on(path, on_file, offset_index::ENTRY_BYTES, report)? else { return Ok(()) };
    let log = path.with_file_name(file_name(base, Kind::Log));
    let segment_bytes = std::fs::metadata(&log).map_or(u64::MAX, |metadata| metadata.len());
    let decoded = decode(&bytes, offset_index::ENTRY_BYTES, |bytes| OffsetIndex::decode(base, bytes, segment_bytes));
    match decoded {
        Ok(index) => check_offsets(path, &log, &index.iter().collect::<Vec<_>>(), report),
        Err(corrupt) => {
            report.problem(path, (corrupt.entry * offset_index::ENTRY_BYTES) as u64, &corrupt.to_string());
            Ok(())
        }
    }
}

/// Prints the time index at `path`.
pub fn dump_times(path: &Path, extent: Extent, report: &mut Report) -> io::Result<()> {
    let base = base_of(path, Kind::TimeIndex).unwrap_or(0);
    let on_file = match extent {
        Extent::Whole => None,
        Extent::Part { times, .. } => Some(times),
    };
    let Some(bytes) = relied_on(path, on_file, time_index::ENTRY_BYTES, report)? else { return Ok(()) };
    match decode(&bytes, time_index::ENTRY_BYTES, |bytes| TimeIndex::decode(base, bytes, Offset::MAX)) {
        Ok(index) => {
            let log = path.with_file_name(file_name(base, Kind::Log));
            check_times(path, &log, &index.iter().collect::<Vec<_>>(), report)
        }
        Err(corrupt) => {
            report.problem(path, (corrupt.entry * time_index::ENTRY_BYTES) as u64, &corrupt.to_string());
            Ok(())
        }
    }
}

/// The entries of the file that count: all, or those a checkpoint vouches for, with its checksum. `None` when they are
/// damaged.
fn relied_on(
    path: &Path,
    on_file: Option<OnFile>,
    entry_bytes: usize,
    report: &mut Report,
) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = std::fs::read(path)?;
    report.advance(bytes.len() as u64);
    let Some(on_file) = on_file else { return Ok(Some(bytes)) };
    let counted = on_file.entries as usize * entry_bytes;
    if bytes.len() < counted {
        let why = format!("the file ends here, and {} entries of it were written back", on_file.entries);
        report.problem(path, bytes.len() as u64, &why);
        return Ok(None);
    }
    let behind = bytes.len() - counted;
    if behind > 0 {
        report.line(|| format!("{behind} bytes at the end are not relied on"));
        bytes.truncate(counted);
    }
    if crc::crc32c(&bytes) != on_file.crc {
        report.problem(path, 0, &format!("the checkpoint has another checksum of the {} entries", on_file.entries));
        return Ok(None);
    }
    Ok(Some(bytes))
}

/// Decodes the entries; where that fails, without the zeros at the end, which a running Kafka reserves.
fn decode<I>(
    bytes: &[u8],
    entry_bytes: usize,
    decode: impl Fn(&[u8]) -> Result<I, CorruptIndex>,
) -> Result<I, CorruptIndex> {
    decode(bytes).or_else(|corrupt| {
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let used = used.next_multiple_of(entry_bytes).min(bytes.len());
        if used < bytes.len() { decode(&bytes[..used]) } else { Err(corrupt) }
    })
}

fn check_offsets(path: &Path, log: &Path, entries: &[OffsetPosition], report: &mut Report) -> io::Result<()> {
    let mut next = 0;
    let mut judge = |position: u32, header: &BatchHeader| {
        while let Some(entry) = entries.get(next)
            && entry.position <= position
        {
            let wrong = match (entry.position == position, header.last_offset()) {
                (false, _) => Some("no batch starts at this position".to_owned()),
                (true, last) if last != entry.offset => {
                    Some(format!("the batch at this position ends with offset {last}"))
                }
                _ => None,
            };
            print_offset(path, next, *entry, wrong, report);
            next += 1;
        }
        next < entries.len()
    };
    if log.exists() && !entries.is_empty() {
        headers(log, &mut judge)?;
    }
    for (number, entry) in entries.iter().enumerate().skip(next) {
        print_offset(path, number, *entry, Some("the segment has no batch there".to_owned()), report);
    }
    Ok(())
}

fn print_offset(path: &Path, number: usize, entry: OffsetPosition, wrong: Option<String>, report: &mut Report) {
    report.counts.index_entries += 1;
    report.line(|| format!("offset {}  position {}", entry.offset, entry.position));
    if let Some(why) = wrong {
        let why = format!("entry {number}, offset {} at position {}: {why}", entry.offset, entry.position);
        report.problem(path, (number * offset_index::ENTRY_BYTES) as u64, &why);
    }
}

fn check_times(path: &Path, log: &Path, entries: &[TimestampOffset], report: &mut Report) -> io::Result<()> {
    let (mut next, mut greatest) = (0, NO_TIMESTAMP);
    let mut judge = |_: u32, header: &BatchHeader| {
        greatest = greatest.max(header.max_timestamp());
        while let Some(entry) = entries.get(next)
            && entry.offset <= header.last_offset()
        {
            print_time(path, next, *entry, wrong_time(*entry, header, greatest), report);
            next += 1;
        }
        next < entries.len()
    };
    if log.exists() && !entries.is_empty() {
        headers(log, &mut judge)?;
    }
    for (number, entry) in entries.iter().enumerate().skip(next) {
        print_time(path, number, *entry, Some("the segment does not reach this offset".to_owned()), report);
    }
    Ok(())
}

/// What the batch that holds the entry's offset says against it; `greatest` is the greatest timestamp up to it.
fn wrong_time(entry: TimestampOffset, header: &BatchHeader, greatest: Timestamp) -> Option<String> {
    if header.last_offset() != entry.offset {
        return Some(format!("no batch ends with this offset, one does with {}", header.last_offset()));
    }
    if header.max_timestamp() != entry.timestamp {
        return Some(format!("the batch has timestamp {}", header.max_timestamp()));
    }
    (greatest > entry.timestamp).then(|| format!("timestamp {greatest} stands before it"))
}

fn print_time(path: &Path, number: usize, entry: TimestampOffset, wrong: Option<String>, report: &mut Report) {
    report.counts.index_entries += 1;
    report.line(|| format!("timestamp {}  offset {}", entry.timestamp, entry.offset));
    if let Some(why) = wrong {
        let why = format!("entry {number}, timestamp {} at offset {}: {why}", entry.timestamp, entry.offset);
        report.problem(path, (number * time_index::ENTRY_BYTES) as u64, &why);
    }
}
