//! Kafka's primitive types: a bounds-checked reader over bytes of a client, and a writer.
//!
//! Both know whether the message is in a flexible version (KIP-482): strings, byte fields and array lengths are then
//! compact (an unsigned varint of the length plus one, 0 for null) and structures end in tagged fields. In other
//! versions a string's length is an `i16`, that of arrays and byte fields an `i32`, each -1 for null.

use std::fmt;
use std::ops::Range;

use crate::model::ids::Uuid;

/// Bytes of the size field in front of every frame.
pub const SIZE_FIELD_BYTES: usize = 4;
/// The longest string of the protocol in bytes, in compact form too (Kafka's own decoders refuse longer ones).
pub const STRING_BYTES_MAX: usize = i16::MAX as usize;
/// No array of a request has more elements than this. What is kept of an element takes more memory than its bytes.
pub const ARRAY_LENGTH_MAX: usize = 1 << 20;
/// The partitions of all topics of a Produce or Fetch request are no more than this: as many as a broker has by default.
pub const REQUEST_PARTITIONS_MAX: usize = 100_000;
/// An unsigned varint of 32 bits takes at most this many bytes.
pub(super) const VARINT_BYTES_MAX: usize = 5;

/// What was wrong with a message, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Position in the frame (after its size field) at which the offending field starts.
    pub at: usize,
    /// What was wrong.
    pub fault: Fault,
}

/// What can be wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The field needs more bytes than are left.
    Truncated {
        /// Bytes the field needs at least.
        needed: u64,
        /// Bytes that are left.
        left: usize,
    },
    /// A length below what null is written as.
    NegativeLength(i32),
    /// Null where the schema has no null.
    Null,
    /// A string that is not UTF-8.
    NotUtf8,
    /// A string above [`STRING_BYTES_MAX`].
    StringTooLong(usize),
    /// An array above [`ARRAY_LENGTH_MAX`].
    ArrayTooLong(usize),
    /// Partitions above [`REQUEST_PARTITIONS_MAX`] in one request.
    TooManyPartitions(usize),
    /// A varint that does not end, or does not fit 32 bits.
    Varint,
    /// A tagged field whose content is shorter or longer than its size says.
    TaggedFieldSize {
        /// The field's tag.
        tag: u32,
    },
    /// A value outside its enumeration.
    Value(i64),
    /// Bytes after the message's end.
    Trailing(usize),
    /// A version that the decoder does not know; the dispatcher let it through by mistake.
    Version(i16),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: ", self.at)?;
        match self.fault {
            Fault::Truncated { needed, left } => write!(f, "a field of at least {needed} bytes, {left} are left"),
            Fault::NegativeLength(length) => write!(f, "a length of {length}"),
            Fault::Null => write!(f, "null in a field that has no null"),
            Fault::NotUtf8 => write!(f, "a string that is not UTF-8"),
            Fault::StringTooLong(bytes) => write!(f, "a string of {bytes} bytes, {STRING_BYTES_MAX} are allowed"),
            Fault::ArrayTooLong(count) => write!(f, "an array of {count} elements, {ARRAY_LENGTH_MAX} are allowed"),
            Fault::TooManyPartitions(count) => {
                write!(f, "{count} partitions, {REQUEST_PARTITIONS_MAX} are allowed: split the request")
            }
            Fault::Varint => write!(f, "a varint above 32 bits"),
            Fault::TaggedFieldSize { tag } => write!(f, "tagged field {tag} does not fill the size it states"),
            Fault::Value(value) => write!(f, "{value} is no value of this field"),
            Fault::Trailing(bytes) => write!(f, "{bytes} bytes after the end of the message"),
            Fault::Version(version) => write!(f, "no schema for version {version}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Reads fields from a frame, each after a check that its bytes are there.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    flexible: bool,
}

impl<'a> Reader<'a> {
    /// A reader of `bytes` from position `at` on; `flexible` says how lengths are written.
    ///
    /// # Panics
    /// When `at` lies beyond the end.
    pub fn new(bytes: &'a [u8], at: usize, flexible: bool) -> Reader<'a> {
        assert!(at <= bytes.len(), "a reader starts within its bytes");
        Reader { bytes, at, flexible }
    }

    /// Position of the next byte.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    #[cold]
    fn fault<T>(&self, fault: Fault) -> Result<T, DecodeError> {
        Err(DecodeError { at: self.at, fault })
    }

    #[inline]
    fn require(&self, needed: usize) -> Result<(), DecodeError> {
        if needed > self.left() {
            return self.fault(Fault::Truncated { needed: needed as u64, left: self.left() });
        }
        Ok(())
    }

    #[inline]
    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        self.require(count)?;
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("as many bytes as were taken"))
    }

    /// An `i8`.
    #[inline]
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        Ok(i8::from_be_bytes(self.array()?))
    }

    /// A boolean: any byte but 0 is true, as in Kafka.
    #[inline]
    pub fn boolean(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    /// An `i16`.
    #[inline]
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    /// An `i32`.
    #[inline]
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// An `i64`.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// A uuid.
    #[inline]
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        Ok(Uuid::from_bytes(self.array()?))
    }

    /// An unsigned varint of at most 32 bits, seven bits a byte, the lowest first.
    #[inline]
    pub fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        match self.bytes.get(self.at) {
            // Most are below 128.
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u32::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u64;
        for place in 0..VARINT_BYTES_MAX {
            let Some(&byte) = self.bytes.get(self.at + place) else {
                return self.fault(Fault::Truncated { needed: place as u64 + 1, left: place });
            };
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                let Ok(value) = u32::try_from(value) else { return self.fault(Fault::Varint) };
                self.at += place + 1;
                return Ok(value);
            }
        }
        self.fault(Fault::Varint)
    }

    /// A length in compact form.
    fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        let written = self.unsigned_varint()?;
        Ok(written.checked_sub(1).map(|length| length as usize))
    }

    /// The length of an array or of a byte field.
    fn wide_length(&mut self) -> Result<Option<usize>, DecodeError> {
        if self.flexible {
            return self.compact_length();
        }
        let start = self.at;
        match self.i32()? {
            -1 => Ok(None),
            length if length < 0 => Err(DecodeError { at: start, fault: Fault::NegativeLength(length) }),
            length => Ok(Some(length as usize)),
        }
    }

    fn string_length(&mut self) -> Result<Option<usize>, DecodeError> {
        if self.flexible {
            return self.compact_length();
        }
        let start = self.at;
        match self.i16()? {
            -1 => Ok(None),
            length if length < 0 => Err(DecodeError { at: start, fault: Fault::NegativeLength(i32::from(length)) }),
            length => Ok(Some(length as usize)),
        }
    }

    /// A string or null.
    pub fn nullable_string(&mut self) -> Result<Option<&'a str>, DecodeError> {
        let start = self.at;
        let Some(length) = self.string_length()? else { return Ok(None) };
        if length > STRING_BYTES_MAX {
            return Err(DecodeError { at: start, fault: Fault::StringTooLong(length) });
        }
        match std::str::from_utf8(self.take(length)?) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(DecodeError { at: start, fault: Fault::NotUtf8 }),
        }
    }

    /// A string.
    pub fn string(&mut self) -> Result<&'a str, DecodeError> {
        let start = self.at;
        self.nullable_string()?.ok_or(DecodeError { at: start, fault: Fault::Null })
    }

    /// A byte field or null, as the range of the frame that it takes.
    pub fn nullable_bytes(&mut self) -> Result<Option<Range<usize>>, DecodeError> {
        let Some(length) = self.wide_length()? else { return Ok(None) };
        let start = self.at;
        self.take(length)?;
        Ok(Some(start..self.at))
    }

    /// The number of elements of an array, or null, after a check that the bytes left can hold them at
    /// `element_bytes_min` bytes each and a comparison with [`ARRAY_LENGTH_MAX`]: nothing is ever reserved for elements that cannot be there.
    pub fn nullable_array_length(&mut self, element_bytes_min: usize) -> Result<Option<usize>, DecodeError> {
        let start = self.at;
        let Some(count) = self.wide_length()? else { return Ok(None) };
        if count > ARRAY_LENGTH_MAX {
            return Err(DecodeError { at: start, fault: Fault::ArrayTooLong(count) });
        }
        let needed = count as u64 * element_bytes_min as u64;
        if needed > self.left() as u64 {
            return Err(DecodeError { at: start, fault: Fault::Truncated { needed, left: self.left() } });
        }
        Ok(Some(count))
    }

    /// The number of elements of an array that is never null; see [`Reader::nullable_array_length`].
    pub fn array_length(&mut self, element_bytes_min: usize) -> Result<usize, DecodeError> {
        let start = self.at;
        self.nullable_array_length(element_bytes_min)?.ok_or(DecodeError { at: start, fault: Fault::Null })
    }

    /// The number of partitions of one more topic, in a list of which `before` were read for the topics before it; see
    /// [`Reader::nullable_array_length`]. Arrays are many where each is short, so that their sum has a bound of its own.
    pub fn partitions_length(&mut self, partition_bytes_min: usize, before: usize) -> Result<usize, DecodeError> {
        let start = self.at;
        let partitions = self.array_length(partition_bytes_min)?;
        if before + partitions > REQUEST_PARTITIONS_MAX {
            return Err(DecodeError { at: start, fault: Fault::TooManyPartitions(before + partitions) });
        }
        Ok(partitions)
    }

    /// The tagged fields that end a structure of a flexible version; in other versions nothing is read.
    ///
    /// `known` is given each tag with a reader of that field alone. It returns whether it knows the tag, in which case
    /// it has read the whole field; other fields are skipped, as KIP-482 asks.
    pub fn tagged_fields(
        &mut self,
        mut known: impl FnMut(u32, &mut Reader<'a>) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        if !self.flexible {
            return Ok(());
        }
        let count = self.unsigned_varint()?;
        for _ in 0..count {
            let start = self.at;
            let tag = self.unsigned_varint()?;
            let size = self.unsigned_varint()? as usize;
            self.require(size)?;
            let end = self.at + size;
            let mut field = Reader { bytes: &self.bytes[..end], at: self.at, flexible: true };
            if known(tag, &mut field)? && field.left() != 0 {
                return Err(DecodeError { at: start, fault: Fault::TaggedFieldSize { tag } });
            }
            self.at = end;
        }
        Ok(())
    }

    /// Skips the tagged fields of a structure that has none of its own.
    pub fn skip_tagged_fields(&mut self) -> Result<(), DecodeError> {
        self.tagged_fields(|_, _| Ok(false))
    }

    /// Checks that the message ends here.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.left() {
            0 => Ok(()),
            left => self.fault(Fault::Trailing(left)),
        }
    }
}

/// A message that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// No schema for this version.
    Version(i16),
    /// The frame would not fit the `i32` of its size field.
    FrameTooLong(u64),
    /// A topic given by id in a version that names topics, or the other way round.
    TopicForm,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::Version(version) => write!(f, "no schema for version {version}"),
            EncodeError::FrameTooLong(bytes) => write!(f, "a frame of {bytes} bytes does not fit its size field"),
            EncodeError::TopicForm => write!(f, "a topic id in a version with names, or a name in one with ids"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// Writes the fields of one frame: its size (filled in by [`Writer::finish`]), a header, a body.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    flexible: bool,
}

impl Writer {
    /// A frame that starts with its size field and a reply header: the correlation id, and empty tagged fields when
    /// `tagged_header` is set. `flexible` says how the lengths of the body are written; `bytes` is how much room to
    /// make at once.
    pub fn reply(correlation_id: i32, tagged_header: bool, flexible: bool, bytes: usize) -> Writer {
        let mut writer = Writer { bytes: Vec::with_capacity(bytes), flexible };
        writer.i32(0);
        writer.i32(correlation_id);
        if tagged_header {
            writer.unsigned_varint(0);
        }
        writer
    }

    /// A structure outside any frame: fields alone.
    pub fn body(flexible: bool) -> Writer {
        Writer { bytes: Vec::new(), flexible }
    }

    /// The bytes of a structure begun with [`Writer::body`].
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// An `i8`.
    pub fn i8(&mut self, value: i8) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// A byte field.
    pub fn bytes(&mut self, value: &[u8]) {
        self.wide_length(Some(value.len()));
        self.bytes.extend_from_slice(value);
    }

    /// An `i16`.
    pub fn i16(&mut self, value: i16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// An `i32`.
    pub fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// An `i64`.
    pub fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// A uuid.
    pub fn uuid(&mut self, value: Uuid) {
        self.bytes.extend_from_slice(value.as_bytes());
    }

    /// An unsigned varint.
    pub fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// The length of an array or of a byte field, which the caller keeps below 2^31.
    pub fn wide_length(&mut self, length: Option<usize>) {
        let length = length.map(|length| i32::try_from(length).expect("arrays and byte fields stay below 2^31"));
        match (self.flexible, length) {
            (true, Some(length)) => self.unsigned_varint(length as u32 + 1),
            (true, None) => self.unsigned_varint(0),
            (false, length) => self.i32(length.unwrap_or(-1)),
        }
    }

    /// A string or null. What passes [`STRING_BYTES_MAX`] is cut off: names were read under the same limit, so only an
    /// error message that quotes a client can be that long.
    pub fn nullable_string(&mut self, text: Option<&str>) {
        let text = text.map(|text| &text[..text.floor_char_boundary(STRING_BYTES_MAX)]);
        match (self.flexible, text) {
            (true, Some(text)) => self.unsigned_varint(text.len() as u32 + 1),
            (true, None) => self.unsigned_varint(0),
            (false, Some(text)) => self.i16(text.len() as i16),
            (false, None) => self.i16(-1),
        }
        self.bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
    }

    /// A string; see [`Writer::nullable_string`] for its limit.
    pub fn string(&mut self, text: &str) {
        self.nullable_string(Some(text));
    }

    /// The number of tagged fields that follow, at the end of a structure; nothing outside flexible versions, where
    /// `count` is 0.
    pub fn tagged_fields(&mut self, count: usize) {
        if self.flexible {
            self.unsigned_varint(count as u32);
        } else {
            assert_eq!(count, 0, "tagged fields in a version that has none");
        }
    }

    /// One tagged field with what `content` writes. Fields of a structure are written by rising tag.
    pub fn tagged_field(&mut self, tag: u32, content: impl FnOnce(&mut Writer)) {
        let mut field = Writer { bytes: Vec::new(), flexible: true };
        content(&mut field);
        self.tagged_field_header(tag, field.len());
        self.bytes.append(&mut field.bytes);
    }

    /// Tag and size of a tagged field whose content follows and takes `bytes` bytes.
    pub fn tagged_field_header(&mut self, tag: u32, bytes: usize) {
        self.unsigned_varint(tag);
        self.unsigned_varint(bytes as u32);
    }

    /// Fills in the frame's size, which counts `elsewhere` bytes that are sent within the frame but are not in the
    /// writer, and gives the bytes out.
    ///
    /// # Errors
    /// When the size does not fit its field.
    pub fn finish(mut self, elsewhere: u64) -> Result<Vec<u8>, EncodeError> {
        let size = self.bytes.len() as u64 - SIZE_FIELD_BYTES as u64 + elsewhere;
        let field = i32::try_from(size).map_err(|_| EncodeError::FrameTooLong(size))?;
        self.bytes[..SIZE_FIELD_BYTES].copy_from_slice(&field.to_be_bytes());
        Ok(self.bytes)
    }
}
