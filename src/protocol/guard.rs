//! The generated decoders trust array lengths: they reserve room for as many elements as the length field says, up to
//! 2^32, before they read the first. Four bytes of a client could so ask for hundreds of gigabytes, and a failed
//! allocation ends the process. This buffer stands between a message's bytes and such a decoder and lets no length
//! through that the bytes behind it cannot fill.
//!
//! **Compact lengths** are varints, which the decoders read byte by byte, one `try_get_u8` each. At each such read the
//! guard looks ahead at the whole varint and fails the read when it is above the bound. Tags are varints too, so
//! values up to [`TAG_MAX`] always pass: vendors do use tags of five digits, and that many elements can be afforded.
//! (Booleans are read by the same call; one that is written as neither 0 nor 1 may be refused, which no client does.)
//!
//! **Plain lengths** are `i32`, which the guard cannot tell from other numbers, such as a timeout. So the first decoding
//! is a probe: each `i32` above the bound is handed out as [`IMPOSSIBLE_LENGTH`] instead. If it was a length, the
//! decoder fails then and there, as it does for every negative length but -1. If it was a number, the decoder carries
//! on, because nothing but lengths decides what is read next. A probe that succeeds has therefore seen no length above
//! the bound, and a second decoding without the substitution is safe. It is needed only if something was substituted.
//!
//! **Compact strings** may be longer than a plain one, which Kafka refuses: what is kept of names goes into records and replies
//! whose strings are plain. In a message without byte fields every field of so many bytes is a string, and is refused.
//!
//! What is left to a liar is room for as many elements as it sends bytes, a few levels deep, and never touched: a length
//! is believed until its elements run out, and then the request is refused.

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::{ByteBuf, NotEnoughBytesError};

use super::primitives::VARINT_BYTES_MAX;

/// Varints up to this value pass whatever the bound: all tags of two bytes.
const TAG_MAX: usize = (1 << 14) - 1;
/// No array, string or byte field has this length, and it is not null's -1 either.
const IMPOSSIBLE_LENGTH: i32 = -2;

/// What a message may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// No array has more elements.
    pub array_length_max: usize,
    /// No string or byte field has more bytes.
    pub field_bytes_max: usize,
}

struct Guard {
    bytes: Bytes,
    limits: Limits,
    /// Whether numbers above the bound are substituted.
    probing: bool,
    substituted: bool,
    /// Bytes of the field that was refused for its length.
    too_long: Option<usize>,
}

/// Whether bytes after a message's end are an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// The message fills its bytes.
    Refused,
    /// What follows is left unread, as Kafka does with requests: librdkafka 2.16 ends its Metadata requests with three
    /// bytes too many.
    Ignored,
}

/// Decodes a message in the schema of `version` from `bytes`, with nothing in it above `limits`.
///
/// # Errors
/// What was wrong, as a sentence.
pub(super) fn decode<M: Decodable>(bytes: &Bytes, version: i16, limits: Limits, rest: Rest) -> Result<M, String> {
    let mut guard = Guard { bytes: bytes.clone(), limits, probing: true, substituted: false, too_long: None };
    let probe = M::decode(&mut guard, version).map_err(|error| guard.explained(&error))?;
    guard.finish(rest)?;
    if !guard.substituted {
        return Ok(probe);
    }
    drop(probe);
    let mut guard = Guard { bytes: bytes.clone(), limits, probing: false, substituted: false, too_long: None };
    let message = M::decode(&mut guard, version).map_err(|error| guard.explained(&error))?;
    guard.finish(rest)?;
    Ok(message)
}

impl Guard {
    fn finish(&self, rest: Rest) -> Result<(), String> {
        match self.bytes.len() {
            0 => Ok(()),
            _ if rest == Rest::Ignored => Ok(()),
            left => Err(format!("{left} bytes after the end of the message")),
        }
    }

    /// The most elements that `left` bytes can hold: no element takes less than one.
    fn bound(&self, left: usize) -> usize {
        left.min(self.limits.array_length_max.max(self.limits.field_bytes_max))
    }

    /// Why the decoder failed: it takes a field that was refused for one that was cut.
    fn explained(&self, error: &dyn std::fmt::Display) -> String {
        match self.too_long {
            Some(bytes) => format!("a field of {bytes} bytes, {} are allowed", self.limits.field_bytes_max),
            None => error.to_string(),
        }
    }

    /// The varint at the front, and how many bytes follow it.
    fn leading_varint(&self) -> (usize, usize) {
        let mut value = 0;
        for (place, byte) in self.bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
            value |= usize::from(byte & 0x7f) << (7 * place);
            if *byte < 0x80 {
                return (value, self.bytes.len() - place - 1);
            }
        }
        (value, self.bytes.len().saturating_sub(VARINT_BYTES_MAX))
    }
}

impl Buf for Guard {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let (value, left) = self.leading_varint();
        // A compact length is written plus one.
        let length = value.saturating_sub(1);
        if value > TAG_MAX && length > self.bound(left) {
            return Err(TryGetError { requested: length, available: self.bound(left) });
        }
        self.bytes.try_get_u8()
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        let value = self.bytes.try_get_i32()?;
        let too_long = usize::try_from(value).is_ok_and(|length| length > self.bound(self.bytes.len()));
        if self.probing && too_long {
            self.substituted = true;
            return Ok(IMPOSSIBLE_LENGTH);
        }
        Ok(value)
    }
}

impl ByteBuf for Guard {
    fn peek_bytes(&mut self, range: std::ops::Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.bytes.split_to(size)
    }

    fn try_get_bytes(&mut self, size: usize) -> Result<Bytes, NotEnoughBytesError> {
        if size > self.limits.field_bytes_max {
            self.too_long = Some(size);
            return Err(NotEnoughBytesError);
        }
        if size > self.bytes.len() { Err(NotEnoughBytesError) } else { Ok(self.get_bytes(size)) }
    }
}
