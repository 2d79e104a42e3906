//! The history of leader epochs of one partition: with which offset each began (KIP-101, KIP-279).
//!
//! A follower that was cut off asks its leader where the epoch of its own last record ended, and cuts its log there;
//! the answer comes from here. In memory 16 bytes an epoch, in the file `leader-epoch-checkpoint` a line of text.

use std::fmt;

use crate::model::offset::{LeaderEpoch, NO_LEADER_EPOCH, Offset};

/// The answer where the end of an epoch is not known.
pub const UNKNOWN_END: EpochEnd = EpochEnd { epoch: NO_LEADER_EPOCH, end_offset: -1 };

const VERSION: &str = "0";
/// Lines of the file before the first entry.
const HEADER_LINES: usize = 2;

/// An epoch and the offset of its first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    /// The epoch; 0 or more.
    pub epoch: LeaderEpoch,
    /// Offset of the first record that its leader wrote; 0 or more.
    pub start_offset: Offset,
}

/// Where an epoch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The greatest known epoch at or below the one asked for.
    pub epoch: LeaderEpoch,
    /// First offset that does not belong to it.
    pub end_offset: Offset,
}

/// An entry that no leader can have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidEpoch(pub EpochEntry);

impl fmt::Display for InvalidEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EpochEntry { epoch, start_offset } = self.0;
        write!(f, "leader epoch {epoch} from offset {start_offset}: neither may be negative")
    }
}

impl std::error::Error for InvalidEpoch {}

/// A line of `leader-epoch-checkpoint` that cannot be what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorruptCheckpoint {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for CorruptCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "leader-epoch-checkpoint is corrupt in line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for CorruptCheckpoint {}

/// The leader epochs of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderEpochs {
    /// Both epochs and start offsets strictly ascend.
    entries: Vec<EpochEntry>,
}

impl LeaderEpochs {
    /// No epochs; allocates nothing.
    pub fn new() -> LeaderEpochs {
        LeaderEpochs::default()
    }

    /// All entries, ascending.
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The greatest epoch that has records.
    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    /// The least epoch that has records.
    pub fn earliest(&self) -> Option<EpochEntry> {
        self.entries.first().copied()
    }

    /// Heap bytes in use.
    pub fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<EpochEntry>()
    }

    /// Notes that `epoch` has its first record at `start_offset`; called for every batch, so most calls say nothing new.
    /// Entries that contradict the new one (an epoch not below it, an offset not below it) are removed: the new one
    /// comes from the log itself. Returns whether anything changed.
    ///
    /// # Errors
    /// The epoch or the offset is negative.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> Result<bool, InvalidEpoch> {
        let entry = EpochEntry { epoch, start_offset };
        if epoch < 0 || start_offset < 0 {
            return Err(InvalidEpoch(entry));
        }
        if self.latest().is_some_and(|latest| latest.epoch == epoch && latest.start_offset <= start_offset) {
            return Ok(false);
        }
        let conflicts = |known: &EpochEntry| known.epoch >= epoch || known.start_offset >= start_offset;
        while self.entries.last().is_some_and(conflicts) {
            self.entries.pop();
        }
        self.entries.push(entry);
        Ok(true)
    }

    /// Where `epoch` ended, on a log whose next offset is `log_end_offset`: the start of the first greater epoch, or
    /// the log's end for the latest. Of an epoch without records the greatest known one below it is answered for; one
    /// below all known ones ended where those begin; of one above all known ones, and of [`NO_LEADER_EPOCH`], nothing is
    /// known ([`UNKNOWN_END`]).
    pub fn end_offset_for(&self, epoch: LeaderEpoch, log_end_offset: Offset) -> EpochEnd {
        if epoch == NO_LEADER_EPOCH {
            return UNKNOWN_END;
        }
        if self.latest().is_some_and(|latest| latest.epoch == epoch) {
            return EpochEnd { epoch, end_offset: log_end_offset };
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let Some(next) = self.entries.get(above) else { return UNKNOWN_END };
        let floor = above.checked_sub(1).map_or(epoch, |at| self.entries[at].epoch);
        EpochEnd { epoch: floor, end_offset: next.start_offset }
    }

    /// The epoch of the record at `offset`, if it is known.
    pub fn epoch_for_offset(&self, offset: Offset) -> Option<LeaderEpoch> {
        let above = self.entries.partition_point(|entry| entry.start_offset <= offset);
        Some(self.entries[above.checked_sub(1)?].epoch)
    }

    /// Removes epochs that begin at or above `end_offset`: the log was cut there. Returns whether any was.
    pub fn truncate_from_end(&mut self, end_offset: Offset) -> bool {
        let before = self.entries.len();
        if end_offset >= 0 {
            self.entries.truncate(self.entries.partition_point(|entry| entry.start_offset < end_offset));
        }
        self.entries.len() < before
    }

    /// Removes epochs that ended below `start_offset`, and lets the one that holds it begin there: the log starts there
    /// now. Returns whether anything changed.
    pub fn truncate_from_start(&mut self, start_offset: Offset) -> bool {
        let above = self.entries.partition_point(|entry| entry.start_offset <= start_offset);
        let Some(holds) = above.checked_sub(1) else { return false };
        let changed = holds > 0 || self.entries[0].start_offset != start_offset;
        self.entries.drain(..holds);
        self.entries[0].start_offset = start_offset;
        changed
    }

    /// Forgets everything: the log starts anew.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// The content of the file `leader-epoch-checkpoint`.
    pub fn encode(&self) -> String {
        let mut text = format!("{VERSION}\n{}\n", self.entries.len());
        for EpochEntry { epoch, start_offset } in &self.entries {
            text.push_str(&format!("{epoch} {start_offset}\n"));
        }
        text
    }

    /// Reads the file `leader-epoch-checkpoint`, Flumen's or Kafka's. An empty file has no epochs, as in Kafka, which
    /// makes the file before it writes it.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub fn decode(bytes: &[u8]) -> Result<LeaderEpochs, CorruptCheckpoint> {
        if bytes.is_empty() {
            return Ok(LeaderEpochs::new());
        }
        let lines = text_lines(bytes)?;
        let count = decode_header(&lines)?;
        let mut epochs = LeaderEpochs::new();
        for (at, line) in lines.iter().enumerate().skip(HEADER_LINES) {
            let entry = decode_entry(line, epochs.latest()).map_err(|reason| corrupt(at, reason))?;
            epochs.entries.push(entry);
        }
        match epochs.entries.len() {
            found if found == count => Ok(epochs),
            found => Err(corrupt(1, format!("it promises {count} epochs, and {found} follow"))),
        }
    }
}

fn corrupt(line_index: usize, reason: impl Into<String>) -> CorruptCheckpoint {
    CorruptCheckpoint { line: line_index + 1, reason: reason.into() }
}

fn text_lines(bytes: &[u8]) -> Result<Vec<&str>, CorruptCheckpoint> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let lines_before = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        corrupt(lines_before, "it is no text")
    })?;
    Ok(text.lines().collect())
}

/// The number of epochs that the first two lines promise.
fn decode_header(lines: &[&str]) -> Result<usize, CorruptCheckpoint> {
    let version = lines.first().copied().unwrap_or_default();
    if version != VERSION {
        return Err(corrupt(0, format!("version '{}', not {VERSION}", shortened(version))));
    }
    let count = lines.get(1).copied().unwrap_or_default();
    count.parse().map_err(|_| corrupt(1, format!("'{}' is no number of epochs", shortened(count))))
}

fn decode_entry(line: &str, previous: Option<EpochEntry>) -> Result<EpochEntry, String> {
    let malformed = || format!("'{}' is no epoch and start offset", shortened(line));
    let mut words = line.split_ascii_whitespace();
    let (Some(epoch), Some(start_offset), None) = (words.next(), words.next(), words.next()) else {
        return Err(malformed());
    };
    let epoch = epoch.parse().map_err(|_| malformed())?;
    let start_offset = start_offset.parse().map_err(|_| malformed())?;
    let entry = EpochEntry { epoch, start_offset };
    if epoch < 0 || start_offset < 0 {
        return Err(InvalidEpoch(entry).to_string());
    }
    match previous {
        Some(previous) if previous.epoch >= epoch || previous.start_offset >= start_offset => Err(format!(
            "epoch {epoch} from offset {start_offset} follows epoch {} from offset {}",
            previous.epoch, previous.start_offset
        )),
        _ => Ok(entry),
    }
}

/// The beginning of a line, short enough for an error message.
fn shortened(line: &str) -> &str {
    const SHOWN_CHARS_MAX: usize = 40;
    line.char_indices().nth(SHOWN_CHARS_MAX).map_or(line, |(end, _)| &line[..end])
}

#[cfg(test)]
mod tests;
