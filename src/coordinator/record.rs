//! The bytes of coordinators' records: Kafka's versioned structures. Each key and each value starts with its version;
//! a key's version says which kind of record it is.

use crate::protocol::primitives::{DecodeError, Reader, Writer};

/// Bytes of the version in front of keys and values.
const VERSION_BYTES: usize = 2;

/// The version that stands in front of `bytes`.
pub fn version_of(bytes: &[u8]) -> Option<i16> {
    bytes.first_chunk::<VERSION_BYTES>().map(|version| i16::from_be_bytes(*version))
}

/// Writes a structure of `version`; `flexible` says how its lengths are written (KIP-482).
pub fn write(version: i16, flexible: bool, fields: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::body(flexible);
    writer.i16(version);
    fields(&mut writer);
    writer.into_bytes()
}

/// Reads a whole structure behind its version. Bytes after its fields are an error.
///
/// # Errors
/// A sentence that says what does not fit.
pub fn read<'a, T>(
    bytes: &'a [u8],
    flexible: bool,
    fields: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<T, String> {
    if bytes.len() < VERSION_BYTES {
        return Err(format!("{} bytes hold no version", bytes.len()));
    }
    let mut reader = Reader::new(bytes, VERSION_BYTES, flexible);
    let read = fields(&mut reader).and_then(|read| reader.finish().map(|()| read));
    read.map_err(|error| error.to_string())
}
