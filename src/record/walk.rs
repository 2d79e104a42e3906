//! Walks: batch by batch through a log's bytes, record by record through a batch, header by header through a record.

use std::borrow::Cow;

use super::batch::{BatchHeader, HEADER_BYTES, MAGIC, TimestampType};
use super::compress::{Compression, DECOMPRESSED_BYTES_MAX};
use super::corruption::{Corruption, RecordFault};
use super::varint::Cursor;
use crate::model::offset::{Offset, Timestamp};

/// The batches that stand back to back in `bytes`. Headers are checked, CRCs are not: [`super::check_stored`] does
/// that. The walk ends at the end of the bytes, before a batch that is cut short ([`Batches::whole_bytes`] tells
/// where), or after the first corruption.
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { bytes, position: 0, broken: false }
}

/// See [`batches`].
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
    broken: bool,
}

impl Batches<'_> {
    /// Bytes of the whole batches given so far: once the walk has ended, where a cut batch or the corruption begins.
    pub fn whole_bytes(&self) -> usize {
        self.position
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<(&'a BatchHeader, &'a [u8]), Corruption>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        match first_batch(&self.bytes[self.position..]) {
            Ok((header, batch)) => {
                self.position += batch.len();
                Some(Ok((header, batch)))
            }
            Err(Corruption::Incomplete { .. }) => None,
            Err(corruption) => {
                self.broken = true;
                Some(Err(corruption))
            }
        }
    }
}

/// The first batch of `bytes`, its header checked but not its CRC.
pub(super) fn first_batch(bytes: &[u8]) -> Result<(&BatchHeader, &[u8]), Corruption> {
    let Some(header) = BatchHeader::read(bytes) else {
        return Err(Corruption::Incomplete { present: bytes.len(), needed: HEADER_BYTES });
    };
    let needed = sane_bytes(header)?;
    match bytes.get(..needed) {
        Some(batch) => Ok((header, batch)),
        None => Err(Corruption::Incomplete { present: bytes.len(), needed }),
    }
}

/// Size of the batch, if its header says nothing that cannot be.
fn sane_bytes(header: &BatchHeader) -> Result<usize, Corruption> {
    if header.magic() != MAGIC {
        return Err(Corruption::Magic { magic: header.magic() });
    }
    let Some(total) = header.total_bytes() else {
        return Err(Corruption::Length { batch_length: header.batch_length() });
    };
    let (base_offset, last_offset_delta) = (header.base_offset(), header.last_offset_delta());
    let offsets = i64::from(last_offset_delta) + 1;
    if base_offset < 0 || last_offset_delta < 0 || base_offset.checked_add(offsets).is_none() {
        return Err(Corruption::Offsets { base_offset, last_offset_delta });
    }
    // Fewer records than offsets are what compaction leaves behind, down to none.
    if !(0..=offsets).contains(&i64::from(header.records_count())) {
        return Err(Corruption::Count { records_count: header.records_count(), last_offset_delta });
    }
    if header.compression().is_none() {
        return Err(Corruption::Compression { id: header.compression_id() });
    }
    Ok(total)
}

/// The records of the first batch of `bytes`: as they lie there, or decompressed into a buffer of at most
/// [`DECOMPRESSED_BYTES_MAX`].
///
/// # Errors
/// When the batch is cut short, its header says what cannot be, or its records do not decompress. The CRC is not
/// checked.
pub fn records(bytes: &[u8]) -> Result<Records<'_>, Corruption> {
    let (header, batch) = first_batch(bytes)?;
    let compression = header.compression().ok_or(Corruption::Compression { id: header.compression_id() })?;
    let body = &batch[HEADER_BYTES..];
    // A batch that compaction has emptied is a mere header whatever its attributes say.
    let body = if compression == Compression::None || body.is_empty() {
        Cow::Borrowed(body)
    } else {
        let decompressed = compression.decompress(body, DECOMPRESSED_BYTES_MAX);
        Cow::Owned(decompressed.map_err(|fault| Corruption::Decompression { compression, fault })?)
    };
    Ok(Records { header, body })
}

/// The records of one batch, decompressed if need be. Borrow it to walk them, as often as wanted.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    header: &'a BatchHeader,
    body: Cow<'a, [u8]>,
}

impl<'a> Records<'a> {
    /// The batch's header.
    pub fn header(&self) -> &'a BatchHeader {
        self.header
    }

    /// The walk from the first record on.
    pub fn iter(&self) -> RecordsIter<'_> {
        RecordsIter {
            header: self.header,
            cursor: Cursor::new(&self.body),
            index: 0,
            count: usize::try_from(self.header.records_count()).unwrap_or(0),
            broken: false,
        }
    }
}

impl<'a> IntoIterator for &'a Records<'_> {
    type Item = Result<Record<'a>, Corruption>;
    type IntoIter = RecordsIter<'a>;

    fn into_iter(self) -> RecordsIter<'a> {
        self.iter()
    }
}

/// See [`Records::iter`]. Ends after the first corruption.
#[derive(Clone, Debug)]
pub struct RecordsIter<'a> {
    header: &'a BatchHeader,
    cursor: Cursor<'a>,
    index: usize,
    count: usize,
    broken: bool,
}

impl<'a> RecordsIter<'a> {
    /// Takes the batch's base into the record. As in Kafka, a sum beyond 64 bits wraps around.
    fn absolute(&self, record: &RawRecord<'a>) -> Record<'a> {
        let timestamp = match self.header.timestamp_type() {
            TimestampType::CreateTime => self.header.base_timestamp().wrapping_add(record.timestamp_delta),
            TimestampType::LogAppendTime => self.header.max_timestamp(),
        };
        Record {
            offset: self.header.base_offset().wrapping_add(i64::from(record.offset_delta)),
            timestamp,
            key: record.key,
            value: record.value,
            headers: record.headers,
        }
    }

    fn break_off(&mut self, fault: RecordFault) -> Option<Result<Record<'a>, Corruption>> {
        self.broken = true;
        Some(Err(Corruption::Record { index: self.index, fault }))
    }
}

impl<'a> Iterator for RecordsIter<'a> {
    type Item = Result<Record<'a>, Corruption>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        if self.index == self.count {
            let bytes = self.cursor.rest().len();
            return if bytes == 0 { None } else { self.break_off(RecordFault::BytesAfterRecords { bytes }) };
        }
        match read_record(&mut self.cursor) {
            Ok(record) => {
                self.index += 1;
                Some(Ok(self.absolute(&record)))
            }
            Err(fault) => self.break_off(fault),
        }
    }
}

/// One record, its key and value as they lie in the batch.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its place in the log.
    pub offset: Offset,
    /// Its time in milliseconds: the producer's, or the batch's under LogAppendTime.
    pub timestamp: Timestamp,
    /// The key, `None` for null.
    pub key: Option<&'a [u8]>,
    /// The value, `None` for null: a tombstone, where the topic is compacted.
    pub value: Option<&'a [u8]>,
    /// The headers (KIP-82).
    pub headers: Headers<'a>,
}

/// The headers of one record, checked when the record was read.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    count: u32,
    bytes: &'a [u8],
}

/// A header of a record (KIP-82).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The key, UTF-8 by convention; no broker checks it.
    pub key: &'a [u8],
    /// The value, `None` for null.
    pub value: Option<&'a [u8]>,
}

impl<'a> Headers<'a> {
    /// Number of headers.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The headers in their order.
    pub fn iter(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.bytes);
        // They were read once by `read_headers`, so none fails here.
        (0..self.count).map_while(move |_| read_header(&mut cursor).ok())
    }

    /// The headers as they lie in the record, without their count.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// A record as it lies in its batch, counted from the batch's base.
pub(super) struct RawRecord<'a> {
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// Reads the record at the cursor and moves behind it.
#[inline]
pub(super) fn read_record<'a>(cursor: &mut Cursor<'a>) -> Result<RawRecord<'a>, RecordFault> {
    let claimed = cursor.varint().ok_or(RecordFault::NoLength)?;
    let left = cursor.rest().len();
    let body = usize::try_from(claimed).ok().and_then(|bytes| cursor.take(bytes));
    let mut body = Cursor::new(body.ok_or(RecordFault::Length { claimed, left })?);
    let record = read_fields(&mut body)?;
    match body.rest().len() {
        0 => Ok(record),
        bytes => Err(RecordFault::TrailingBytes { bytes }),
    }
}

#[inline]
fn read_fields<'a>(body: &mut Cursor<'a>) -> Result<RawRecord<'a>, RecordFault> {
    // The record's own attributes have no meaning yet, and Kafka does not look at them.
    body.byte().ok_or(RecordFault::Fields)?;
    let timestamp_delta = body.varlong().ok_or(RecordFault::Fields)?;
    let offset_delta = body.varint().ok_or(RecordFault::Fields)?;
    let key = body.nullable().ok_or(RecordFault::Fields)?;
    let value = body.nullable().ok_or(RecordFault::Fields)?;
    let headers = read_headers(body)?;
    Ok(RawRecord { timestamp_delta, offset_delta, key, value, headers })
}

#[inline]
fn read_headers<'a>(body: &mut Cursor<'a>) -> Result<Headers<'a>, RecordFault> {
    let count = body.varint().ok_or(RecordFault::Fields)?;
    let start = body.rest();
    // A header takes two bytes at least, so this bounds the loop by the record's size.
    let headers = u32::try_from(count).ok().filter(|headers| *headers as usize <= start.len());
    let headers = headers.ok_or(RecordFault::HeadersCount { count })?;
    for _ in 0..headers {
        read_header(body)?;
    }
    Ok(Headers { count: headers, bytes: &start[..start.len() - body.rest().len()] })
}

fn read_header<'a>(body: &mut Cursor<'a>) -> Result<Header<'a>, RecordFault> {
    let key = body.nullable().ok_or(RecordFault::Fields)?.ok_or(RecordFault::NullHeaderKey)?;
    let value = body.nullable().ok_or(RecordFault::Fields)?;
    Ok(Header { key, value })
}
