//! `.journal` files: header, live groups with their entries, and what recycling left of older ones.

use std::io;
use std::path::{Path, PathBuf};

use flumen::base::block::BLOCK_ALIGN;
use flumen::log::group::{Chain, Entry, EntryKind, FileHeader, Found, GROUPS_START, Group, claimed_header, find_group};
use flumen::record::{batches, check_stored};

use super::known::Known;
use super::report::Report;
use super::window::Window;

/// Where the live groups of a file end, for the check across the files of a chain.
pub struct JournalEnd {
    path: PathBuf,
    header: FileHeader,
    /// The number of the group that would be next.
    next_group: u64,
    /// Where it would be.
    position: u64,
    /// The greatest number below which all groups were durable, as any group of this file says.
    durable: u64,
}

/// Prints the journal file at `path`, and what of it the checkpoints cover.
pub fn dump(path: &Path, known: Option<&Known>, report: &mut Report) -> io::Result<Option<JournalEnd>> {
    let mut window = Window::open(path)?;
    let header = match FileHeader::decode(window.get(0, BLOCK_ALIGN, Some(report))?) {
        Ok(Some(header)) => Some(header),
        Ok(None) => {
            report.line(|| "blank: ready to be written, no live groups".to_owned());
            None
        }
        Err(_) if window.length() < BLOCK_ALIGN as u64 => {
            report.line(|| "being made: no header yet".to_owned());
            return Ok(None);
        }
        Err(why) => {
            report.problem(path, 0, &why);
            None
        }
    };
    let Some(header) = header else {
        leftovers(&mut window, GROUPS_START, report)?;
        return Ok(None);
    };
    let Chain { epoch, reactor } = header.chain;
    report.line(|| {
        format!("start {epoch}  reactor {reactor}  file {}  first group {}", header.sequence, header.first_group)
    });
    let end = live_groups(path, &mut window, header, known, report)?;
    let durable = newer_groups(&mut window, &end, report)?;
    leftovers(&mut window, end.position, report)?;
    let end = JournalEnd { durable: end.durable.max(durable), ..end };
    if durable > end.next_group && !was_rewritten(&mut window, &end)? {
        report_lost(&end, report);
    }
    Ok(Some(end))
}

fn report_lost(end: &JournalEnd, report: &mut Report) {
    let why = format!("group {} cannot be read, and a later one says that it was durable", end.next_group);
    report.problem(&end.path, end.position, &why);
}

/// Checks that the live groups go on from file to file. What goes on nowhere is the end of its chain, unless a later file
/// says that more had been durable.
pub fn check_chains(mut ends: Vec<JournalEnd>, report: &mut Report) {
    ends.sort_by_key(|end| (end.header.chain, end.header.sequence));
    for (at, end) in ends.iter().enumerate() {
        let later = ends[at + 1..].iter().take_while(|later| later.header.chain == end.header.chain);
        let Some(next) = later.clone().next() else { continue };
        let follows = next.header.sequence == end.header.sequence + 1;
        // A file in between is missing: all up to it had been released.
        if !follows || next.header.first_group == end.next_group || end.durable > end.next_group {
            continue;
        }
        if later.clone().any(|later| later.durable > end.next_group) {
            report_lost(end, report);
        }
    }
}

/// The group at `position`, as a group of `header`'s file.
fn group_at<'a>(
    window: &'a mut Window,
    header: &FileHeader,
    position: u64,
    report: &mut Report,
) -> io::Result<Option<Group<'a>>> {
    let mut need = BLOCK_ALIGN;
    // A group's header names its size, so a second look decides.
    for _ in 0..2 {
        if position.checked_add(need as u64).is_none_or(|end| end > window.length()) {
            return Ok(None);
        }
        match find_group(header, window.get(position, need, Some(report))?) {
            Found::Need(more) => need = more,
            Found::Nothing => return Ok(None),
            Found::Group(_) => break,
        }
    }
    Ok(match find_group(header, window.get(position, need, None)?) {
        Found::Group(group) => Some(group),
        _ => None,
    })
}

/// Prints the groups that recovery would replay.
fn live_groups(
    path: &Path,
    window: &mut Window,
    header: FileHeader,
    known: Option<&Known>,
    report: &mut Report,
) -> io::Result<JournalEnd> {
    let (mut next_group, mut position, mut durable) = (header.first_group, GROUPS_START, 0);
    while let Some(group) = group_at(window, &header, position, report)?.filter(|group| group.number == next_group) {
        let (number, entries, below) = (group.number, group.entries, group.durable);
        let (bytes, padded) = (group.body.len(), group.padded as u64);
        let body = group.body.to_vec();
        report.counts.groups += 1;
        report.line(|| {
            format!(
                "group {number}  position {position}  entries {entries}  bytes {bytes}  durable below {below}  CRC ok"
            )
        });
        if let Err(why) = print_entries(&body, entries, header.chain, known, report) {
            report.problem(path, position, &format!("group {number}: {why}"));
        }
        (next_group, position, durable) = (number + 1, position + padded, durable.max(below));
    }
    report.line(|| format!("the live groups end at position {position}"));
    Ok(JournalEnd { path: path.to_owned(), header, next_group, position, durable })
}

/// What groups of this life behind the end say was durable.
fn newer_groups(window: &mut Window, end: &JournalEnd, report: &mut Report) -> io::Result<u64> {
    let (mut position, mut durable) = (end.position, 0);
    while position < window.length() {
        let found = group_at(window, &end.header, position, report)?;
        let found = found.map(|group| (group.number, group.durable, group.padded as u64));
        if let Some((number, below, _)) = found.filter(|(number, ..)| *number > end.next_group) {
            report.line(|| format!("group {number}  position {position}  behind the end, never replayed"));
            durable = durable.max(below);
        }
        position += found.map_or(BLOCK_ALIGN as u64, |(_, _, padded)| padded);
    }
    Ok(durable)
}

/// Whether a running broker wrote to the file meanwhile, so that what was seen is no statement about one moment.
fn was_rewritten(window: &mut Window, end: &JournalEnd) -> io::Result<bool> {
    window.forget();
    let header = FileHeader::decode(window.get(0, BLOCK_ALIGN, None)?);
    let mut silent = Report::new(true);
    let group = group_at(window, &end.header, end.position, &mut silent)?;
    Ok(header != Ok(Some(end.header)) || group.is_some_and(|group| group.number == end.next_group))
}

/// Prints which groups of earlier lives lie at and behind `position`, a line for each life.
fn leftovers(window: &mut Window, mut position: u64, report: &mut Report) -> io::Result<()> {
    let mut run: Option<(FileHeader, u64, u64)> = None;
    while position < window.length() {
        let claimed = claimed_header(window.get(position, BLOCK_ALIGN, Some(report))?);
        let padded = match &claimed {
            Some(header) => group_at(window, header, position, report)?.map(|group| group.padded as u64),
            None => None,
        };
        if let (Some(claimed), Some(_)) = (claimed, padded) {
            match &mut run {
                Some((first, _, count)) if (first.chain, first.sequence) == (claimed.chain, claimed.sequence) => {
                    *count += 1
                }
                _ => print_leftovers(run.replace((claimed, position, 1)), report),
            }
        }
        position += padded.unwrap_or(BLOCK_ALIGN as u64);
    }
    print_leftovers(run, report);
    Ok(())
}

fn print_leftovers(run: Option<(FileHeader, u64, u64)>, report: &mut Report) {
    let Some((header, position, count)) = run else { return };
    let Chain { epoch, reactor } = header.chain;
    report.line(|| {
        format!(
            "old: {count} groups from position {position}, of start {epoch}, reactor {reactor}, file {}, from group {} on",
            header.sequence, header.first_group
        )
    });
}

/// Prints a group's entries, with whether a checkpoint covers them.
fn print_entries(
    body: &[u8],
    entries: u32,
    chain: Chain,
    known: Option<&Known>,
    report: &mut Report,
) -> Result<(), String> {
    let (mut rest, mut count) = (body, 0);
    while !rest.is_empty() {
        let (entry, payload, behind) = Entry::decode(rest)?;
        print_entry(&entry, payload, chain, known, report)?;
        (rest, count) = (behind, count + 1);
    }
    if count == entries { Ok(()) } else { Err(format!("it has {count} entries, and its header says {entries}")) }
}

fn print_entry(
    entry: &Entry,
    payload: &[u8],
    chain: Chain,
    known: Option<&Known>,
    report: &mut Report,
) -> Result<(), String> {
    let Entry { kind, id, version, segment, position, next_offset, .. } = *entry;
    let mut state = "";
    if let Some(known) = known {
        state = if known.covers(id, version, chain.epoch) { "  covered by a checkpoint" } else { "  new" };
    }
    report.line(|| {
        let what = match kind {
            EntryKind::Create => format!("create \"{}\"", payload.escape_ascii()),
            EntryKind::Append => format!("append {} bytes", payload.len()),
            EntryKind::Run => {
                format!("run {} bytes, {} of them here, CRC {:#010x}", entry.run_bytes, payload.len(), entry.run_crc)
            }
            EntryKind::Start => "start here, records before are deleted".to_owned(),
        };
        format!(
            "  {id}  change {version}  segment {segment}  position {position}  next offset {next_offset}  {what}{state}"
        )
    });
    if kind == EntryKind::Append {
        check_batches(payload).map_err(|why| format!("change {version} of {id}: {why}"))
    } else {
        Ok(())
    }
}

/// Checks that an entry's payload is whole batches with right checksums.
fn check_batches(payload: &[u8]) -> Result<(), String> {
    let mut walk = batches(payload);
    for batch in &mut walk {
        let (_, batch) = batch.map_err(|corruption| corruption.to_string())?;
        check_stored(batch).map_err(|corruption| corruption.to_string())?;
    }
    let whole = walk.whole_bytes();
    if whole == payload.len() {
        Ok(())
    } else {
        Err(format!("a batch is cut short at byte {whole} of {}", payload.len()))
    }
}
