//! Kafka's records of transactional ids: TransactionLogKey and TransactionLogValue.
//!
//! ```text
//! key 0:    transactional id
//! value 0:  producer id i64, epoch i16, timeout i32, status i8, partitions (nullable: topic, indexes), updated i64, started i64
//! value 1:  the same with compact lengths, and tagged fields: 0 previous producer id, 1 next producer id, 2 client version
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use super::state::{Status, Touched, Transaction};
use crate::coordinator::machine::CoordinatorRecord;
use crate::coordinator::record::{read, version_of, write};
use crate::model::ids::NO_PRODUCER_ID;
use crate::protocol::primitives::{DecodeError, Reader, Writer};

const KEY_VERSION: i16 = 0;
/// The version that Kafka writes with `transaction.version` 1 and later.
const VALUE_VERSION: i16 = 1;
const PREVIOUS_PRODUCER_ID_TAG: u32 = 0;
const NEXT_PRODUCER_ID_TAG: u32 = 1;
const CLIENT_VERSION_TAG: u32 = 2;
/// The least that a topic takes: an empty name and an empty list.
const TOPIC_BYTES_MIN: usize = 2;
const INDEX_BYTES: usize = 4;

/// The record of a transactional id that stands at `transaction`.
pub fn record(transactional_id: &str, transaction: &Transaction) -> CoordinatorRecord {
    CoordinatorRecord { key: key(transactional_id), value: Some(value(transaction)) }
}

/// The record that forgets a transactional id.
pub fn tombstone(transactional_id: &str) -> CoordinatorRecord {
    CoordinatorRecord { key: key(transactional_id), value: None }
}

fn key(transactional_id: &str) -> Vec<u8> {
    write(KEY_VERSION, false, |key| key.string(transactional_id))
}

/// The transactional id that `bytes` name.
///
/// # Errors
/// What does not fit.
pub fn decode_key(bytes: &[u8]) -> Result<&str, String> {
    match version_of(bytes) {
        Some(KEY_VERSION) => read(bytes, false, |key| key.string()),
        Some(version) => Err(format!("version {version} of a transaction's key is not known")),
        None => Err("a key without a version".to_owned()),
    }
}

fn value(transaction: &Transaction) -> Vec<u8> {
    write(VALUE_VERSION, true, |value| {
        value.i64(transaction.producer_id);
        value.i16(transaction.producer_epoch);
        value.i32(transaction.timeout_ms);
        value.i8(transaction.status as i8);
        write_partitions(value, transaction);
        value.i64(transaction.updated_ms);
        value.i64(transaction.started_ms);
        let Transaction { previous_producer_id, next_producer_id, client_version, .. } = *transaction;
        let ids = [(PREVIOUS_PRODUCER_ID_TAG, previous_producer_id), (NEXT_PRODUCER_ID_TAG, next_producer_id)];
        let ids = ids.into_iter().filter(|(_, id)| *id != NO_PRODUCER_ID);
        value.tagged_fields(ids.clone().count() + usize::from(client_version != 0));
        ids.for_each(|(tag, id)| value.tagged_field(tag, |field| field.i64(id)));
        if client_version != 0 {
            value.tagged_field(CLIENT_VERSION_TAG, |field| field.i16(client_version));
        }
    })
}

/// The partitions by topic; null, as Kafka has it, where there can be none.
fn write_partitions(value: &mut Writer, transaction: &Transaction) {
    if transaction.status == Status::Empty {
        return value.wide_length(None);
    }
    let partitions: Vec<&Touched> = transaction.partitions.iter().collect();
    let topics: Vec<&[&Touched]> = partitions.chunk_by(|one, next| one.0 == next.0).collect();
    value.wide_length(Some(topics.len()));
    for topic in topics {
        value.string(&topic[0].0);
        value.wide_length(Some(topic.len()));
        topic.iter().for_each(|(_, index)| value.i32(*index));
        value.tagged_fields(0);
    }
}

/// What `bytes` say of a transactional id; `None` for one that Kafka was about to forget.
///
/// # Errors
/// What does not fit.
pub fn decode_value(bytes: &[u8]) -> Result<Transaction, String> {
    let version = version_of(bytes).ok_or("a value without a version")?;
    if !(0..=VALUE_VERSION).contains(&version) {
        return Err(format!("version {version} of a transaction is not known"));
    }
    let (transaction, status) = read(bytes, version >= 1, read_value)?;
    match Status::from_id(status) {
        Some(status) => Ok(Transaction { status, ..transaction }),
        None => Err(format!("status {status} of a transaction is not known")),
    }
}

fn read_value(value: &mut Reader<'_>) -> Result<(Transaction, i8), DecodeError> {
    let producer_id = value.i64()?;
    let producer_epoch = value.i16()?;
    let timeout_ms = value.i32()?;
    let status = value.i8()?;
    let partitions = read_partitions(value)?;
    let updated_ms = value.i64()?;
    let started_ms = value.i64()?;
    let mut transaction =
        Transaction { producer_epoch, partitions, started_ms, ..Transaction::new(producer_id, timeout_ms, updated_ms) };
    value.tagged_fields(|tag, field| {
        match tag {
            PREVIOUS_PRODUCER_ID_TAG => transaction.previous_producer_id = field.i64()?,
            NEXT_PRODUCER_ID_TAG => transaction.next_producer_id = field.i64()?,
            CLIENT_VERSION_TAG => transaction.client_version = field.i16()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((transaction, status))
}

fn read_partitions(value: &mut Reader<'_>) -> Result<BTreeSet<Touched>, DecodeError> {
    let mut partitions = BTreeSet::new();
    for _ in 0..value.nullable_array_length(TOPIC_BYTES_MIN)?.unwrap_or(0) {
        let topic: Arc<str> = value.string()?.into();
        for _ in 0..value.array_length(INDEX_BYTES)? {
            partitions.insert((Arc::clone(&topic), value.i32()?));
        }
        value.skip_tagged_fields()?;
    }
    Ok(partitions)
}
