//! What is wrong with stored producer state, and where; and the reader that finds it.

use std::fmt;

/// Stored bytes that cannot be what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// What was being read, such as "producer snapshot".
    pub what: &'static str,
    /// Position of the field at fault, in bytes from the start.
    pub position: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is corrupt at byte {}: {}", self.what, self.position, self.reason)
    }
}

impl std::error::Error for Corrupt {}

/// A cursor over stored bytes that knows where it stands.
pub(super) struct Reader<'a> {
    what: &'static str,
    bytes: &'a [u8],
    position: usize,
}

/// Bytes of the longest variable-length number: 64 bits, 7 a byte.
const VARINT_BYTES_MAX: usize = 10;

impl<'a> Reader<'a> {
    pub(super) fn new(what: &'static str, bytes: &'a [u8]) -> Reader<'a> {
        Reader { what, bytes, position: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    pub(super) fn corrupt_at(&self, position: usize, reason: impl Into<String>) -> Corrupt {
        Corrupt { what: self.what, position, reason: reason.into() }
    }

    fn take<const N: usize>(&mut self, field: &str) -> Result<[u8; N], Corrupt> {
        let Some(taken) = self.bytes[self.position..].first_chunk::<N>() else {
            let left = self.remaining();
            return Err(self.corrupt_at(self.position, format!("{field} needs {N} bytes, {left} are left")));
        };
        self.position += N;
        Ok(*taken)
    }

    /// The next `count` bytes, if there are so many.
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes[self.position..].get(..count)?;
        self.position += count;
        Some(taken)
    }

    pub(super) fn u8(&mut self, field: &str) -> Result<u8, Corrupt> {
        Ok(self.take::<1>(field)?[0])
    }

    pub(super) fn i16(&mut self, field: &str) -> Result<i16, Corrupt> {
        Ok(i16::from_be_bytes(self.take(field)?))
    }

    pub(super) fn i32(&mut self, field: &str) -> Result<i32, Corrupt> {
        Ok(i32::from_be_bytes(self.take(field)?))
    }

    pub(super) fn u32(&mut self, field: &str) -> Result<u32, Corrupt> {
        Ok(u32::from_be_bytes(self.take(field)?))
    }

    pub(super) fn i64(&mut self, field: &str) -> Result<i64, Corrupt> {
        Ok(i64::from_be_bytes(self.take(field)?))
    }

    /// A number of 7 bits a byte, lowest first, as [`put_unsigned`] writes it.
    pub(super) fn unsigned(&mut self, field: &str) -> Result<u64, Corrupt> {
        let start = self.position;
        let mut value = 0u64;
        for index in 0..VARINT_BYTES_MAX {
            let byte = self.u8(field)?;
            let bits = u64::from(byte & 0x7f);
            if index == VARINT_BYTES_MAX - 1 && byte > 1 {
                break;
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.corrupt_at(start, format!("{field} is longer than 64 bits")))
    }

    /// A signed number, small ones of either sign short, as [`put_signed`] writes it.
    pub(super) fn signed(&mut self, field: &str) -> Result<i64, Corrupt> {
        let value = self.unsigned(field)?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// A signed number that fits its type.
    pub(super) fn narrow<T: TryFrom<i64>>(&mut self, field: &str) -> Result<T, Corrupt> {
        let start = self.position;
        let value = self.signed(field)?;
        T::try_from(value).map_err(|_| self.corrupt_at(start, format!("{field} {value} is out of range")))
    }
}

/// Appends `value`, 7 bits a byte, lowest first.
pub(super) fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    // At most ten rounds: each takes 7 bits of 64.
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends `value` so that small numbers of either sign are short.
pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

#[cfg(test)]
mod tests {
    use super::{Reader, put_signed, put_unsigned};

    #[test]
    fn numbers_of_all_lengths_are_read_back() {
        let numbers = [0, 1, -1, 63, 64, -64, -65, 1 << 40, i64::MAX, i64::MIN];
        let mut bytes = Vec::new();
        numbers.iter().for_each(|&number| put_signed(&mut bytes, number));
        put_unsigned(&mut bytes, u64::MAX);
        let mut reader = Reader::new("test", &bytes);
        for number in numbers {
            assert_eq!(reader.signed("number"), Ok(number));
        }
        assert_eq!(reader.unsigned("number"), Ok(u64::MAX));
        assert_eq!(reader.remaining(), 0);
    }

    #[test]
    fn what_is_missing_or_too_long_is_named_with_its_place() {
        let mut reader = Reader::new("test", &[0x80; 3]);
        assert_eq!(
            reader.unsigned("epoch").unwrap_err().to_string(),
            "test is corrupt at byte 3: epoch needs 1 bytes, 0 are left"
        );
        let mut reader = Reader::new("test", &[0xff; 11]);
        assert_eq!(
            reader.unsigned("epoch").unwrap_err().to_string(),
            "test is corrupt at byte 0: epoch is longer than 64 bits"
        );
        let mut bytes = Vec::new();
        put_signed(&mut bytes, 40_000);
        let mut reader = Reader::new("test", &bytes);
        assert_eq!(
            reader.narrow::<i16>("epoch").unwrap_err().to_string(),
            "test is corrupt at byte 0: epoch 40000 is out of range"
        );
    }
}
