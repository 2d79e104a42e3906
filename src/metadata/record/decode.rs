//! Reading fields out of a record's bytes, every one checked.

use super::{RECORD_ITEMS_MAX, RECORD_STRING_BYTES_MAX};
use crate::model::ids::Uuid;
use std::fmt;

/// Why bytes are no record of this program's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end within a field.
    Truncated,
    /// Bytes are left over after the last field.
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// The type is none this program knows: written by a newer one.
    UnknownType {
        /// The type's number.
        kind: u8,
    },
    /// The type is known, its version is not: written by a newer program.
    NewerVersion {
        /// The type's number.
        kind: u8,
        /// The version met.
        version: u8,
        /// The newest version this program reads.
        supported: u8,
    },
    /// The config's resource is of a type this program does not know.
    UnknownResource {
        /// The resource type's number.
        kind: u8,
    },
    /// A number does not fit its field.
    NumberOutOfRange,
    /// A string or a list is longer than any this program writes.
    TooLong {
        /// The length met.
        length: u64,
    },
    /// A string is not UTF-8.
    NotText,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Truncated => write!(f, "the metadata record ends within a field"),
            DecodeError::TrailingBytes { count } => write!(f, "the metadata record has {count} bytes too many"),
            DecodeError::UnknownType { kind } => {
                write!(f, "metadata record type {kind} is unknown: the log was written by a newer version")
            }
            DecodeError::NewerVersion { kind, version, supported } => write!(
                f,
                "metadata record type {kind} has version {version}, but only versions up to {supported} are understood: \
                 the log was written by a newer version"
            ),
            DecodeError::UnknownResource { kind } => write!(f, "config resource type {kind} is unknown"),
            DecodeError::NumberOutOfRange => write!(f, "a number in the metadata record does not fit its field"),
            DecodeError::TooLong { length } => {
                write!(f, "a length of {length} in the metadata record is out of bounds")
            }
            DecodeError::NotText => write!(f, "a string in the metadata record is not UTF-8"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Most bytes of a varint of 64 bits.
const VARINT_BYTES_MAX: u32 = 10;

/// A cursor over a record's bytes.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes { count: self.rest.len() }) }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    pub fn boolean(&mut self) -> Result<bool, DecodeError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::NumberOutOfRange),
        }
    }

    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        Uuid::from_slice(self.take(16)?).map_err(|_| DecodeError::Truncated)
    }

    pub fn unsigned(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for at in 0..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit of the 64.
            if at == VARINT_BYTES_MAX - 1 && byte > 1 {
                return Err(DecodeError::NumberOutOfRange);
            }
            value |= bits << (7 * at);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::NumberOutOfRange)
    }

    pub fn signed(&mut self) -> Result<i64, DecodeError> {
        let value = self.unsigned()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub fn int32(&mut self) -> Result<i32, DecodeError> {
        i32::try_from(self.signed()?).map_err(|_| DecodeError::NumberOutOfRange)
    }

    pub fn int16(&mut self) -> Result<i16, DecodeError> {
        i16::try_from(self.signed()?).map_err(|_| DecodeError::NumberOutOfRange)
    }

    pub fn port(&mut self) -> Result<u16, DecodeError> {
        u16::try_from(self.unsigned()?).map_err(|_| DecodeError::NumberOutOfRange)
    }

    fn length(&mut self, max: usize) -> Result<usize, DecodeError> {
        let length = self.unsigned()?;
        usize::try_from(length).ok().filter(|length| *length <= max).ok_or(DecodeError::TooLong { length })
    }

    pub fn string(&mut self) -> Result<String, DecodeError> {
        let length = self.length(RECORD_STRING_BYTES_MAX)?;
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| DecodeError::NotText)?;
        Ok(text.to_owned())
    }

    pub fn optional_string(&mut self) -> Result<Option<String>, DecodeError> {
        if self.boolean()? { Ok(Some(self.string()?)) } else { Ok(None) }
    }

    pub fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.length(RECORD_ITEMS_MAX)?;
        // Each item takes at least one byte, so a count beyond the rest cannot reserve memory for nothing.
        if count > self.rest.len() {
            return Err(DecodeError::Truncated);
        }
        (0..count).map(|_| item(self)).collect()
    }
}
