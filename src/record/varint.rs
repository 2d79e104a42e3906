//! Kafka's variable-length integers: zig-zag, seven bits a byte, least significant first, as in protocol buffers.

/// Reads forward through bytes; every read that would reach beyond their end gives `None` instead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: bytes }
    }

    /// The bytes not read yet.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    #[inline]
    pub(super) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }

    /// A 32-bit integer of at most five bytes. As in Kafka, bits of the fifth byte that do not fit are dropped.
    #[inline]
    pub(super) fn varint(&mut self) -> Option<i32> {
        let first = self.byte()?;
        let zigzag = if first < 0x80 { u32::from(first) } else { self.long_varint(first)? };
        Some((zigzag >> 1) as i32 ^ -((zigzag & 1) as i32))
    }

    fn long_varint(&mut self, first: u8) -> Option<u32> {
        let mut value = u32::from(first & 0x7f);
        for shift in [7, 14, 21, 28] {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A 64-bit integer of at most ten bytes. As in Kafka, bits of the tenth byte that do not fit are dropped.
    #[inline]
    pub(super) fn varlong(&mut self) -> Option<i64> {
        let first = self.byte()?;
        let zigzag = if first < 0x80 { u64::from(first) } else { self.long_varlong(first)? };
        Some((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    fn long_varlong(&mut self, first: u8) -> Option<u64> {
        let mut value = u64::from(first & 0x7f);
        for shift in [7, 14, 21, 28, 35, 42, 49, 56, 63] {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A length and as many bytes; a negative length is null, as in Kafka. The outer `None` is malformed.
    #[inline]
    pub(super) fn nullable(&mut self) -> Option<Option<&'a [u8]>> {
        match usize::try_from(self.varint()?) {
            Ok(bytes) => self.take(bytes).map(Some),
            Err(_) => Some(None),
        }
    }
}

/// Appends `value` to `to`.
pub(super) fn write_varint(to: &mut Vec<u8>, value: i32) {
    write_varlong(to, i64::from(value));
}

/// Appends `value` to `to`. A 32-bit value has the same bytes in either width: zig-zag keeps its magnitude.
pub(super) fn write_varlong(to: &mut Vec<u8>, value: i64) {
    let mut left = zigzag(value);
    while left >= 0x80 {
        to.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    to.push(left as u8);
}

/// Bytes that `value` takes.
pub(super) fn varlong_bytes(value: i64) -> usize {
    let bits = 64 - zigzag(value).leading_zeros() as usize;
    bits.div_ceil(7).max(1)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}
