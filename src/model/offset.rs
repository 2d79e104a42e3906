//! Offsets, epochs and sequence numbers.

use std::fmt;

/// Position of a record in its partition: Kafka's one offset space, from the wire to the index.
pub type Offset = i64;

/// Milliseconds since 1970-01-01 UTC, as records carry them; -1 for none.
pub type Timestamp = i64;

/// "No timestamp".
pub const NO_TIMESTAMP: Timestamp = -1;

/// Number of a leadership of one partition, rising with each change of leader (KIP-101). -1 where unknown.
pub type LeaderEpoch = i32;

/// "No leader epoch known".
pub const NO_LEADER_EPOCH: LeaderEpoch = -1;

/// Special timestamps of ListOffsets.
pub mod list_offsets {
    /// The log end offset (or what the isolation level lets a consumer see).
    pub const LATEST: i64 = -1;
    /// The log start offset.
    pub const EARLIEST: i64 = -2;
    /// The offset of the record with the largest timestamp (KIP-734).
    pub const MAX_TIMESTAMP: i64 = -3;
    /// The first offset on local disks (KIP-405).
    pub const EARLIEST_LOCAL: i64 = -4;
    /// The last offset in tiered storage (KIP-1005).
    pub const LATEST_TIERED: i64 = -5;
    /// The first offset not yet uploaded to tiered storage (KIP-1023).
    pub const EARLIEST_PENDING_UPLOAD: i64 = -6;
}

/// A half-open range of offsets, printed as Kafka's tools do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetRange {
    /// First offset of the range.
    pub first: Offset,
    /// Offset after the last one.
    pub end: Offset,
}

impl fmt::Display for OffsetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.first, self.end)
    }
}
