//! What is wrong with an index, and where.

use std::fmt;

/// Bytes of an index file that cannot be what was written. The file is rebuilt from its segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorruptIndex {
    /// Which index: "offset index" or "time index".
    pub index: &'static str,
    /// Number of the entry at fault, from 0.
    pub entry: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl CorruptIndex {
    pub(super) fn new(index: &'static str, entry: usize, reason: impl Into<String>) -> CorruptIndex {
        CorruptIndex { index, entry, reason: reason.into() }
    }
}

impl fmt::Display for CorruptIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is corrupt at entry {}: {}", self.index, self.entry, self.reason)
    }
}

impl std::error::Error for CorruptIndex {}

/// An entry that an index cannot take: the segment must be rolled first, or the caller's offsets do not ascend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedEntry {
    /// Which index: "offset index" or "time index".
    pub index: &'static str,
    /// Why it was refused.
    pub reason: String,
}

impl fmt::Display for RefusedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} takes no such entry: {}", self.index, self.reason)
    }
}

impl std::error::Error for RefusedEntry {}
