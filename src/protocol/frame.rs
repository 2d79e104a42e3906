//! Frames: the size field in front of each request, and the request header.
//!
//! On the wire a request is an `i32` size and that many bytes: header, then body. "The frame" here is those bytes
//! without the size field, and every position is counted from its start.

use std::fmt;

use super::api::request_header_version;
pub use super::primitives::SIZE_FIELD_BYTES;
use super::primitives::{DecodeError, Reader};

/// The shortest request header: key, version, correlation id, and a client id that is null.
pub const FRAME_BYTES_MIN: usize = 10;

/// First bytes of a TLS record that carries a handshake: content type 22, major version 3.
const TLS_HANDSHAKE: [u8; 2] = [0x16, 0x03];
/// First bytes of the HTTP requests that browsers, scrapers and health checks send.
const HTTP_METHODS: [&[u8; 4]; 8] = [b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI", b"DELE", b"PATC", b"CONN"];

/// Why a connection's bytes are no Kafka request. The connection is closed; the text is for the log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A TLS client on a plaintext port.
    Tls,
    /// An HTTP client on a Kafka port.
    Http,
    /// A size that is negative or too small for a request header.
    TooShort {
        /// The size field's value.
        bytes: i32,
    },
    /// A size above `socket.request.max.bytes`.
    TooLong {
        /// The size field's value.
        bytes: i32,
        /// The limit.
        bytes_max: usize,
    },
    /// A header that cannot be read.
    Header(DecodeError),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Tls => f.write_str(
                "a TLS handshake on a plaintext listener: set security.protocol=PLAINTEXT in the client, \
                 or point it at a TLS listener",
            ),
            FrameError::Http => f.write_str("an HTTP request on a Kafka listener"),
            FrameError::TooShort { bytes } => {
                write!(f, "a request of {bytes} bytes, which is shorter than a request header ({FRAME_BYTES_MIN})")
            }
            FrameError::TooLong { bytes, bytes_max } => {
                write!(f, "a request of {bytes} bytes, above socket.request.max.bytes={bytes_max}")
            }
            FrameError::Header(error) => write!(f, "the request header cannot be read: {error}"),
        }
    }
}

impl std::error::Error for FrameError {}

/// The number of bytes in the frame whose size field is `size_field`, at most `bytes_max` (`socket.request.max.bytes`).
///
/// # Errors
/// When no request can have that size. Sizes above the limit that are in truth the first bytes of a TLS handshake
/// (369 million and more, read as a number) or of an HTTP request (above a thousand million) are named as such.
pub fn frame_length(size_field: [u8; SIZE_FIELD_BYTES], bytes_max: usize) -> Result<usize, FrameError> {
    let bytes = i32::from_be_bytes(size_field);
    match usize::try_from(bytes) {
        Ok(length) if length > bytes_max => Err(too_long(size_field, bytes_max)),
        Ok(length) if length >= FRAME_BYTES_MIN => Ok(length),
        Ok(_) | Err(_) => Err(FrameError::TooShort { bytes }),
    }
}

fn too_long(size_field: [u8; SIZE_FIELD_BYTES], bytes_max: usize) -> FrameError {
    if size_field.starts_with(&TLS_HANDSHAKE) {
        FrameError::Tls
    } else if HTTP_METHODS.contains(&&size_field) {
        FrameError::Http
    } else {
        FrameError::TooLong { bytes: i32::from_be_bytes(size_field), bytes_max }
    }
}

/// What stands in front of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// Which API; not checked, see [`super::api::lookup`].
    pub api_key: i16,
    /// Which version of it; not checked either.
    pub api_version: i16,
    /// Goes back in the reply's header.
    pub correlation_id: i32,
    /// What the client calls itself (`client.id`); quotas and log lines name it.
    pub client_id: Option<&'a str>,
    /// Position in the frame at which the body starts.
    pub body_at: usize,
}

/// Reads the header of the request in `frame` (without the size field). Header versions 1 and 2 differ in the tagged
/// fields at the end, which are skipped; which of the two it is follows from key and version.
///
/// # Errors
/// [`FrameError::Header`] when the header is cut short or malformed.
pub fn request_header(frame: &[u8]) -> Result<RequestHeader<'_>, FrameError> {
    read_header(frame).map_err(FrameError::Header)
}

fn read_header(frame: &[u8]) -> Result<RequestHeader<'_>, DecodeError> {
    // The client id keeps its i16 length in header version 2, so that a broker can read it whatever the version.
    let mut reader = Reader::new(frame, 0, false);
    let api_key = reader.i16()?;
    let api_version = reader.i16()?;
    let correlation_id = reader.i32()?;
    let client_id = reader.nullable_string()?;
    let mut body_at = reader.at();
    if request_header_version(api_key, api_version) >= 2 {
        let mut tagged = Reader::new(frame, body_at, true);
        tagged.skip_tagged_fields()?;
        body_at = tagged.at();
    }
    Ok(RequestHeader { api_key, api_version, correlation_id, client_id, body_at })
}
