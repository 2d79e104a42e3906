//! A `.log` file: its batches.

use std::io;
use std::path::Path;

use flumen::log::directory::{Kind, parse_file_name};
use flumen::model::offset::Offset;
use flumen::record::control::ControlType;
use flumen::record::{BatchHeader, Corruption, HEADER_BYTES, Record, TimestampType, check_stored, records};

use super::known::Extent;
use super::report::Report;
use super::window::Window;

/// How far a walk came.
struct Walked {
    position: u64,
    next_offset: Offset,
}

/// Prints the batches of the segment at `path`, which must hold `extent`; its records too if `with_records`.
pub fn dump(path: &Path, extent: Extent, with_records: bool, report: &mut Report) -> io::Result<()> {
    let mut window = Window::open(path)?;
    let base = base_of(path, Kind::Log).unwrap_or(0);
    let stored = match extent {
        Extent::Whole => window.length(),
        Extent::Part { stored, .. } => stored,
    };
    let mut at = Walked { position: 0, next_offset: base };
    while at.position < window.length() {
        let batch = whole_batch(&mut window, at.position, report)?;
        let Some(total) = size(batch) else {
            let why = damage(batch);
            return end(path, &mut window, &at, stored, &why, report);
        };
        print_batch(path, &batch[..total], &mut at, (stored, with_records), report);
    }
    check_end(path, &at, window.length(), extent, report);
    Ok(())
}

/// The base offset in the name of a file of this kind.
pub fn base_of(path: &Path, kind: Kind) -> Option<Offset> {
    let (base, found) = parse_file_name(path.file_name()?.to_str()?)?;
    (found == kind).then_some(base)
}

/// The bytes from `position` on: a whole batch if there is one.
fn whole_batch<'a>(window: &'a mut Window, position: u64, report: &mut Report) -> io::Result<&'a [u8]> {
    let header = window.get(position, HEADER_BYTES, Some(report))?;
    let total = BatchHeader::read(header).and_then(BatchHeader::total_bytes).unwrap_or(HEADER_BYTES);
    // A length that reaches beyond the file is no reason to read all of it.
    let fits = position.checked_add(total as u64).is_some_and(|end| end <= window.length());
    window.get(position, if fits { total } else { HEADER_BYTES }, Some(report))
}

/// Bytes of the batch at the front of `bytes` if its extent makes sense, whatever its checksum says.
fn size(bytes: &[u8]) -> Option<usize> {
    match check_stored(bytes) {
        Ok(header) => header.total_bytes(),
        Err(Corruption::Crc { .. }) => BatchHeader::read(bytes)?.total_bytes(),
        Err(_) => None,
    }
}

fn damage(bytes: &[u8]) -> String {
    check_stored(bytes).err().map_or_else(String::new, |corruption| corruption.to_string())
}

/// Prints one whole batch and moves behind it.
fn print_batch(path: &Path, batch: &[u8], at: &mut Walked, (stored, with_records): (u64, bool), report: &mut Report) {
    let Some(header) = BatchHeader::read(batch) else { return };
    let position = at.position;
    let wrong = check_stored(batch).err().map(|corruption| corruption.to_string());
    report.line(|| describe(header, position, wrong.is_none()));
    report.counts.batches += 1;
    report.counts.records += u64::try_from(header.records_count()).unwrap_or(0);
    let relied_on = position + batch.len() as u64 <= stored;
    let mut found = |why: &str| {
        if relied_on {
            report.problem(path, position, why);
        } else {
            report.line(|| format!("  not relied on, the journal has it: {why}"));
        }
    };
    if header.base_offset() < at.next_offset {
        found(&format!("base offset {} where {} is the least possible", header.base_offset(), at.next_offset));
    }
    match wrong {
        Some(why) => found(&why),
        None => check_records(batch, with_records, report)
            .unwrap_or_else(|corruption| report.problem(path, position, &corruption.to_string())),
    }
    at.position += batch.len() as u64;
    at.next_offset = header.next_offset();
}

fn describe(header: &BatchHeader, position: u64, crc_ok: bool) -> String {
    let mut line = format!(
        "offsets {}-{}  position {position}  bytes {}  records {}  {} {}-{}",
        header.base_offset(),
        header.last_offset(),
        header.total_bytes().unwrap_or(0),
        header.records_count(),
        if header.timestamp_type() == TimestampType::CreateTime { "created" } else { "appended" },
        header.base_timestamp(),
        header.max_timestamp(),
    );
    if header.has_producer() {
        line += &format!(
            "  producer {} epoch {} sequence {}",
            header.producer_id(),
            header.producer_epoch(),
            header.base_sequence()
        );
    }
    let codec = header.compression().map_or("unknown", |compression| compression.name());
    line += &format!("  compression {codec}  leader epoch {}", header.partition_leader_epoch());
    for (set, word) in [
        (header.is_transactional(), "transactional"),
        (header.is_control(), "control"),
        (header.delete_horizon().is_some(), "delete horizon"),
    ] {
        if set {
            line += &format!("  {word}");
        }
    }
    line + &format!("  CRC {:#010x} {}", header.crc(), if crc_ok { "ok" } else { "WRONG" })
}

/// Reads every record of a batch whose CRC is right.
fn check_records(batch: &[u8], print: bool, report: &mut Report) -> Result<(), Corruption> {
    let records = records(batch)?;
    let is_control = records.header().is_control();
    for record in &records {
        let record = record?;
        if print {
            report.line(|| describe_record(&record, is_control));
        }
    }
    Ok(())
}

fn describe_record(record: &Record<'_>, is_control: bool) -> String {
    let text =
        |bytes: Option<&[u8]>| bytes.map_or_else(|| "null".to_owned(), |bytes| format!("\"{}\"", bytes.escape_ascii()));
    let mut line = format!("  | offset {}  timestamp {}", record.offset, record.timestamp);
    match record.key.filter(|_| is_control).and_then(ControlType::from_key) {
        Some(control) => line += &format!("  control {control:?}"),
        None => line += &format!("  key {}  value {}", text(record.key), text(record.value)),
    }
    for header in record.headers.iter() {
        line += &format!("  {}={}", header.key.escape_ascii(), text(header.value));
    }
    line
}

/// The walk found no batch: the end of what was written back, or damage.
fn end(path: &Path, window: &mut Window, at: &Walked, stored: u64, why: &str, report: &mut Report) -> io::Result<()> {
    let left = window.length() - at.position;
    let zeros = zeros_until(window, at.position, report)?;
    if at.position < stored {
        let why = if zeros == window.length() {
            format!("nothing but zeros, {left} bytes of them, where batches should be")
        } else {
            why.to_owned()
        };
        report.problem(path, at.position, &why);
    } else if zeros == window.length() {
        report.line(|| format!("end at position {}, then {left} bytes reserved", at.position));
    } else {
        report.line(|| {
            format!(
                "end at position {}; {left} bytes follow that the journal has, or has the beginning of",
                at.position
            )
        });
    }
    Ok(())
}

/// The position of the first byte from `from` on that is not zero; the file's end if there is none.
fn zeros_until(window: &mut Window, from: u64, report: &mut Report) -> io::Result<u64> {
    let mut at = from;
    while at < window.length() {
        let bytes = window.get(at, 1, Some(report))?;
        if bytes.is_empty() {
            break;
        }
        match bytes.iter().position(|byte| *byte != 0) {
            Some(found) => return Ok(at + found as u64),
            None => at += bytes.len() as u64,
        }
    }
    Ok(window.length())
}

/// Whether the file holds all that its checkpoint says.
fn check_end(path: &Path, at: &Walked, length: u64, extent: Extent, report: &mut Report) {
    let Extent::Part { stored, closed, .. } = extent else { return };
    if length < stored {
        report.problem(path, length, &format!("the file ends here, and {stored} bytes of it were written back"));
    }
    let Some(segment) = closed else { return };
    if (at.position, at.next_offset) != (u64::from(segment.end), segment.next_offset) {
        let why = format!(
            "the segment ends here with offset {}, and by the checkpoint at position {} with offset {}",
            at.next_offset - 1,
            segment.end,
            segment.next_offset - 1
        );
        report.problem(path, at.position, &why);
    }
}

/// Calls `each` with position and header of every batch of the segment at `path`, until it says that it has enough or
/// there are no more.
pub fn headers(path: &Path, mut each: impl FnMut(u32, &BatchHeader) -> bool) -> io::Result<()> {
    let mut window = Window::open(path)?;
    let mut at = 0;
    while let Some(header) = BatchHeader::read(window.get(at, HEADER_BYTES, None)?) {
        let (Some(total), Ok(position)) = (header.total_bytes(), u32::try_from(at)) else { break };
        if header.magic() != flumen::record::batch::MAGIC || !each(position, header) {
            break;
        }
        at += total as u64;
    }
    Ok(())
}
