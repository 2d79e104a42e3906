//! What can be wrong with stored bytes, told precisely enough to act on.

use std::fmt;

use super::batch::{HEADER_BYTES, MAGIC};
use super::compress::{Compression, Fault};
use crate::model::offset::Offset;

/// Why bytes that should hold a batch do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Corruption {
    /// The batch is cut short; what is there may be the right beginning of it.
    Incomplete {
        /// Bytes present.
        present: usize,
        /// Bytes the batch has, or those of a header if not even that is there.
        needed: usize,
    },
    /// Another format version than 2, so nothing else could be read.
    Magic {
        /// The version found.
        magic: i8,
    },
    /// The batch length is negative or too small for a header.
    Length {
        /// The length found.
        batch_length: i32,
    },
    /// The CRC does not fit the bytes.
    Crc {
        /// The CRC stored.
        stored: u32,
        /// The CRC of the bytes.
        computed: u32,
    },
    /// The offsets are negative or beyond the largest offset.
    Offsets {
        /// The base offset found.
        base_offset: Offset,
        /// The last offset delta found.
        last_offset_delta: i32,
    },
    /// A negative number of records, or more than there are offsets.
    Count {
        /// The number of records found.
        records_count: i32,
        /// The last offset delta found.
        last_offset_delta: i32,
    },
    /// A compression id that means nothing.
    Compression {
        /// The id found.
        id: i16,
    },
    /// The records could not be decompressed.
    Decompression {
        /// The codec the attributes name.
        compression: Compression,
        /// What its decoder said.
        fault: Fault,
    },
    /// A record is malformed, although the bytes are as they were written.
    Record {
        /// Number of the record in its batch, from 0.
        index: usize,
        /// What is wrong with it.
        fault: RecordFault,
    },
}

/// What is wrong with one record, or with the bytes where it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordFault {
    /// No readable length where the record should begin: the records end too early.
    NoLength,
    /// The length is negative or reaches beyond the records' end.
    Length {
        /// The length found, in bytes.
        claimed: i32,
        /// Bytes left in the batch.
        left: usize,
    },
    /// Timestamp, offset, key, value or a header reaches beyond the record's end.
    Fields,
    /// A negative number of headers, or more than there are bytes.
    HeadersCount {
        /// The number found.
        count: i32,
    },
    /// A header without a key.
    NullHeaderKey,
    /// Bytes after the last field of the record.
    TrailingBytes {
        /// How many.
        bytes: usize,
    },
    /// Bytes after the last record of the batch.
    BytesAfterRecords {
        /// How many.
        bytes: usize,
    },
}

impl fmt::Display for RecordFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordFault::NoLength => write!(f, "the batch ends where the record's length should be"),
            RecordFault::Length { claimed, left } => {
                write!(f, "the record claims {claimed} bytes, and {left} are left in the batch")
            }
            RecordFault::Fields => write!(f, "a field reaches beyond the end of the record"),
            RecordFault::HeadersCount { count } => write!(f, "the record claims {count} headers"),
            RecordFault::NullHeaderKey => write!(f, "a header has no key"),
            RecordFault::TrailingBytes { bytes } => write!(f, "{bytes} bytes follow the record's last field"),
            RecordFault::BytesAfterRecords { bytes } => write!(f, "{bytes} bytes follow the last record"),
        }
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Corruption::Incomplete { present, needed } => {
                write!(f, "the batch is cut short: {present} of {needed} bytes are there")
            }
            Corruption::Magic { magic } => write!(f, "the magic byte is {magic}, not {MAGIC}"),
            Corruption::Length { batch_length } => {
                write!(f, "the batch length is {batch_length}, and a batch has a header of {HEADER_BYTES} bytes")
            }
            Corruption::Crc { stored, computed } => {
                write!(f, "the stored CRC is {stored:#010x}, that of the bytes {computed:#010x}")
            }
            Corruption::Offsets { base_offset, last_offset_delta } => {
                write!(f, "offsets from {base_offset} with a last offset delta of {last_offset_delta} cannot be")
            }
            Corruption::Count { records_count, last_offset_delta } => {
                write!(f, "{records_count} records with a last offset delta of {last_offset_delta} cannot be")
            }
            Corruption::Compression { id } => write!(f, "compression id {id} means nothing"),
            Corruption::Decompression { compression, fault } => write!(f, "{compression}: {fault}"),
            Corruption::Record { index, fault } => write!(f, "record {index}: {fault}"),
        }
    }
}

impl std::error::Error for Corruption {}
