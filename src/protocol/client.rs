//! The client's side: requests out, replies in. For tests, the topic command and the load generator; all messages,
//! Produce and Fetch too, are the kafka-protocol crate's.

use bytes::Bytes;
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, Request};

use super::api::{request_header_version, response_header_version};
use super::guard::{Limits, Rest};
use super::message::{MessageError, decode, encode_frame, key_of};

/// The frame of a request, size field and header included.
///
/// # Errors
/// When the request sets a field that `version` does not have, or passes 2 GiB.
pub fn encode_request<R: Request>(
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    request: &R,
) -> Result<Vec<u8>, MessageError> {
    let key = key_of::<R>();
    let header = RequestHeader::default()
        .with_request_api_key(key.code())
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(client_id.map(|client_id| client_id.to_owned().into()));
    let mut bytes = Vec::new();
    header.encode(&mut bytes, request_header_version(key.code(), version)).map_err(|error| MessageError {
        key,
        version,
        reason: error.to_string(),
    })?;
    encode_frame(key, version, &bytes, request)
}

/// Reads the reply to a request `R` of `version` from `frame` (without the size field): its correlation id and body.
/// Lengths are bounded by the frame alone, since replies carry records.
///
/// # Errors
/// When the reply does not follow the schema, or has bytes left over.
pub fn decode_response<R: Request>(version: i16, frame: &[u8]) -> Result<(i32, R::Response), MessageError> {
    let key = key_of::<R>();
    let mut bytes = Bytes::copy_from_slice(frame);
    let header = ResponseHeader::decode(&mut bytes, response_header_version(key, version))
        .map_err(|error| MessageError { key, version, reason: error.to_string() })?;
    let limits = Limits { array_length_max: bytes.len(), field_bytes_max: bytes.len() };
    let body = decode(key, version, &bytes, limits, Rest::Refused)?;
    Ok((header.correlation_id, body))
}
