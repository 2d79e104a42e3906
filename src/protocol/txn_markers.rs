//! The version of WriteTxnMarkers that says by which rules each marker's epoch is checked (KIP-1228), which the kafka-protocol
//! crate does not have. The reply is that of the version before.

use super::api::ApiKey;
use super::message::{BODY_BYTES_MAX, MessageError};
use super::primitives::{DecodeError, Reader};
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{ProducerId, TopicName, WriteTxnMarkersRequest};
use kafka_protocol::protocol::StrBytes;

/// The first version with the transaction version of each marker, and so far the only one.
pub const VERSIONED_FROM: i16 = 2;

/// Bytes that the smallest element of an array takes: used to refuse counts that the bytes behind them cannot fill.
mod bytes_min {
    /// Producer, epoch, result, no topics, coordinator's epoch, transaction version, no tagged fields.
    pub const MARKER: usize = 8 + 2 + 1 + 1 + 4 + 1 + 1;
    /// An empty name, no partitions, no tagged fields.
    pub const TOPIC: usize = 1 + 1 + 1;
    /// A partition's number.
    pub const INDEX: usize = 4;
}

/// Reads a request of version 2: the markers, and the transaction version of each. Bytes behind it are ignored, as Kafka does.
///
/// # Errors
/// What does not follow the schema; the connection is then closed.
pub fn decode(body: &[u8]) -> Result<(WriteTxnMarkersRequest, Vec<i8>), MessageError> {
    let failed = |reason: String| MessageError { key: ApiKey::WriteTxnMarkers, version: VERSIONED_FROM, reason };
    if body.len() > BODY_BYTES_MAX {
        return Err(failed(format!("a body of {} bytes, {BODY_BYTES_MAX} are allowed: split the request", body.len())));
    }
    read(&mut Reader::new(body, 0, true)).map_err(|error| failed(error.to_string()))
}

fn read(body: &mut Reader<'_>) -> Result<(WriteTxnMarkersRequest, Vec<i8>), DecodeError> {
    let count = body.array_length(bytes_min::MARKER)?;
    let (mut markers, mut versions) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for _ in 0..count {
        let marker = WritableTxnMarker::default()
            .with_producer_id(ProducerId(body.i64()?))
            .with_producer_epoch(body.i16()?)
            .with_transaction_result(body.boolean()?);
        let topics = read_topics(body)?;
        markers.push(marker.with_topics(topics).with_coordinator_epoch(body.i32()?));
        versions.push(body.i8()?);
        body.skip_tagged_fields()?;
    }
    body.skip_tagged_fields()?;
    Ok((WriteTxnMarkersRequest::default().with_markers(markers), versions))
}

fn read_topics(body: &mut Reader<'_>) -> Result<Vec<WritableTxnMarkerTopic>, DecodeError> {
    let count = body.array_length(bytes_min::TOPIC)?;
    let mut topics = Vec::with_capacity(count);
    for _ in 0..count {
        let name = TopicName(StrBytes::from_string(body.string()?.to_owned()));
        let count = body.array_length(bytes_min::INDEX)?;
        let mut indexes = Vec::with_capacity(count);
        for _ in 0..count {
            indexes.push(body.i32()?);
        }
        body.skip_tagged_fields()?;
        topics.push(WritableTxnMarkerTopic::default().with_name(name).with_partition_indexes(indexes));
    }
    Ok(topics)
}
