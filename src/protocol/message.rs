//! All other messages: the bodies that the kafka-protocol crate generates from Kafka's own schemas, with the frame around
//! them and a guard (`guard.rs`) in front of its decoders.

use std::fmt;

use bytes::Bytes;
use kafka_protocol::protocol::{Decodable, Encodable, Request};

use super::api::{ApiKey, response_header_version};
use super::guard::{self, Limits, Rest};
use super::primitives::{SIZE_FIELD_BYTES, STRING_BYTES_MAX};

/// The longest body that is decoded into a generated message, in bytes. Such a message takes far more memory than its
/// bytes (up to about forty times, when they are all empty names), and it is not counted in any pool. Produce and Fetch,
/// whose requests are large, do not pass through here; the largest requests that do (offset commits, assignments)
/// are below Kafka's own 1 MiB limit of a group's record.
pub const BODY_BYTES_MAX: usize = 8 << 20;

/// No array of a request has more elements, and no byte field more bytes, than this.
const LENGTH_MAX: usize = 1 << 20;
/// The requests that have byte fields: what members tell of themselves, and what they are assigned. The others hold strings.
const WITH_BYTE_FIELDS: [ApiKey; 2] = [ApiKey::JoinGroup, ApiKey::SyncGroup];

/// A message that cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageError {
    /// The API.
    pub key: ApiKey,
    /// The version of it.
    pub version: i16,
    /// What was wrong.
    pub reason: String,
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} version {}: {}", self.key, self.version, self.reason)
    }
}

impl std::error::Error for MessageError {}

/// The API of a generated request type.
pub(super) fn key_of<R: Request>() -> ApiKey {
    ApiKey::from_code(R::KEY).expect("every generated request is an API of Kafka 4.3")
}

/// The version whose schema `version` has: the crate ends at ListOffsets 10, and 11 changed the meaning of a
/// timestamp, not the schema (KIP-1023); it ends at WriteTxnMarkers 1, whose reply 2 left as it was (KIP-1228; the request
/// is read by [`super::txn_markers`]).
pub(super) fn schema_version(key: ApiKey, version: i16) -> i16 {
    match (key, version) {
        (ApiKey::ListOffsets, 11) => 10,
        (ApiKey::WriteTxnMarkers, 2) => 1,
        _ => version,
    }
}

/// Reads the body of a request. Strings and byte fields of the message share one copy of `body`.
///
/// # Errors
/// When the body does not follow the schema of `version`, or is above [`BODY_BYTES_MAX`]; the connection is then closed,
/// as Kafka does. Bytes after the message's end are ignored, as Kafka does too.
pub fn decode_request<R: Request>(version: i16, body: &[u8]) -> Result<R, MessageError> {
    let key = key_of::<R>();
    if body.len() > BODY_BYTES_MAX {
        let reason = format!("a body of {} bytes, {BODY_BYTES_MAX} are allowed: split the request", body.len());
        return Err(MessageError { key, version, reason });
    }
    let field_bytes_max = if WITH_BYTE_FIELDS.contains(&key) { LENGTH_MAX } else { STRING_BYTES_MAX };
    let limits = Limits { array_length_max: LENGTH_MAX, field_bytes_max };
    decode(key, version, &Bytes::copy_from_slice(body), limits, Rest::Ignored)
}

pub(super) fn decode<M: Decodable>(
    key: ApiKey,
    version: i16,
    body: &Bytes,
    limits: Limits,
    rest: Rest,
) -> Result<M, MessageError> {
    guard::decode(body, schema_version(key, version), limits, rest).map_err(|reason| MessageError {
        key,
        version,
        reason,
    })
}

/// The frame of the reply to a request `R`, size field and header included.
///
/// # Errors
/// When the reply sets a field that `version` does not have, or passes 2 GiB.
pub fn encode_response<R: Request>(
    version: i16,
    correlation_id: i32,
    response: &R::Response,
) -> Result<Vec<u8>, MessageError> {
    let key = key_of::<R>();
    let mut header = Vec::with_capacity(SIZE_FIELD_BYTES + 1);
    header.extend_from_slice(&correlation_id.to_be_bytes());
    if response_header_version(key, version) >= 1 {
        header.push(0);
    }
    encode_frame(key, version, &header, response)
}

pub(super) fn encode_frame<M: Encodable>(
    key: ApiKey,
    version: i16,
    header: &[u8],
    body: &M,
) -> Result<Vec<u8>, MessageError> {
    let failed = |reason: String| MessageError { key, version, reason };
    let schema = schema_version(key, version);
    let body_bytes = body.compute_size(schema).map_err(|error| failed(error.to_string()))?;
    let size = i32::try_from(header.len() + body_bytes)
        .map_err(|_| failed(format!("a body of {body_bytes} bytes does not fit a frame")))?;
    let mut frame = Vec::with_capacity(SIZE_FIELD_BYTES + header.len() + body_bytes);
    frame.extend_from_slice(&size.to_be_bytes());
    frame.extend_from_slice(header);
    body.encode(&mut frame, schema).map_err(|error| failed(error.to_string()))?;
    assert_eq!(frame.len(), SIZE_FIELD_BYTES + header.len() + body_bytes, "{key} {version} is as long as computed");
    Ok(frame)
}
