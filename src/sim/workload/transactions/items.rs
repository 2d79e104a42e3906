//! The records of transactions: written, and read back as consumers of either isolation level see them.

use std::collections::BTreeSet;

use crate::model::ids::{PartitionId, ProducerEpoch, ProducerId};
use crate::model::offset::Offset;
use crate::protocol::messages::fetch_response::PartitionData;
use crate::record::control::end_transaction_of;
use crate::record::walk::Record;
use crate::record::{BatchBuilder, batches, check_stored, records};
use crate::sim::history::transactions::{Content, Item, Logged, LoggedBatch};

const MAGIC: u32 = 0x7a_c7_10_45;
/// Magic, transaction, number, partition, kind, two numbers.
const ITEM_BYTES: usize = 4 + 4 + 4 + 4 + 4 + 8 + 8;

fn value(item: &Item, partition: i32) -> Vec<u8> {
    let (kind, first, second) = match item.content {
        Content::Plain => (0u32, 0, 0),
        Content::Transfer { amount } => (1, amount, 0),
        Content::Copy { from, offset } => (2, i64::from(from), offset),
    };
    let mut value = Vec::with_capacity(ITEM_BYTES);
    for word in [MAGIC, item.transaction, item.number, partition as u32, kind] {
        value.extend_from_slice(&word.to_be_bytes());
    }
    value.extend_from_slice(&first.to_be_bytes());
    value.extend_from_slice(&second.to_be_bytes());
    value
}

/// The batch of some records of a transaction, `sequence` that of the first.
pub fn batch(items: &[Item], partition: i32, wall_ms: i64, by: (ProducerId, ProducerEpoch), sequence: i32) -> Vec<u8> {
    let mut builder = BatchBuilder::new().producer(by.0, by.1, sequence).transactional();
    for item in items {
        builder.append(wall_ms, None, Some(&value(item, partition)), &[]);
    }
    builder.build(0)
}

fn item(record: &Record<'_>, partition: i32) -> Result<Item, String> {
    let value = record.value.unwrap_or_default();
    let damaged = || Err(format!("the record at offset {} of partition {partition} was never written", record.offset));
    if value.len() != ITEM_BYTES {
        return damaged();
    }
    let word = |at: usize| u32::from_be_bytes(value[at..at + 4].try_into().expect("4 bytes"));
    let long = |at: usize| i64::from_be_bytes(value[at..at + 8].try_into().expect("8 bytes"));
    if word(0) != MAGIC || word(12) as i32 != partition {
        return damaged();
    }
    let content = match word(16) {
        0 => Content::Plain,
        1 => Content::Transfer { amount: long(20) },
        2 => Content::Copy { from: long(20) as i32, offset: long(28) },
        _ => return damaged(),
    };
    Ok(Item { transaction: word(4), number: word(8), content })
}

/// A part of a log: what is visible of it, what lies there, and the offset after it.
#[derive(Debug, Default)]
pub struct Part {
    /// What a `read_committed` consumer shows its user.
    pub visible: Vec<(Offset, Item)>,
    /// The batches.
    pub logged: Vec<LoggedBatch>,
    /// The offset after the last batch.
    pub next: Offset,
}

/// Reads what a fetch of `from` brought, as Kafka's consumers do: of a producer that is listed with an aborted transaction
/// nothing is shown from its first offset to its marker.
///
/// # Errors
/// What was never written.
pub fn read(place: PartitionId, from: Offset, data: &PartitionData) -> Result<Part, String> {
    let bytes = data.records.as_deref().unwrap_or_default();
    let mut aborted: Vec<(Offset, ProducerId)> =
        data.aborted_transactions.iter().flatten().map(|one| (one.first_offset, one.producer_id.0)).collect();
    aborted.sort_unstable();
    let mut aborted = aborted.into_iter().peekable();
    let mut skipped = BTreeSet::new();
    let mut part = Part { next: from, ..Part::default() };
    for batch in batches(bytes) {
        let (header, batch) = batch.map_err(|why| format!("{place}: {why}"))?;
        let at = |why: &dyn std::fmt::Display| format!("{place} at offset {}: {why}", header.base_offset());
        check_stored(batch).map_err(|why| at(&why))?;
        while let Some((_, producer)) = aborted.next_if(|(first, _)| *first <= header.last_offset()) {
            skipped.insert(producer);
        }
        let producer_id = header.producer_id();
        part.next = header.next_offset();
        let kind = match end_transaction_of(batch).map_err(|why| at(&why))? {
            Some(end) => {
                skipped.remove(&producer_id);
                Logged::Marker { is_commit: end.is_commit }
            }
            None => {
                let mut items = Vec::new();
                for record in &records(batch).map_err(|why| at(&why))? {
                    let record = record.map_err(|why| at(&why))?;
                    if record.offset >= from {
                        items.push((record.offset, item(&record, place.index)?));
                    }
                }
                if !header.is_transactional() || !skipped.contains(&producer_id) {
                    part.visible.extend(items.iter().copied());
                }
                Logged::Items(items)
            }
        };
        part.logged.push(LoggedBatch { base_offset: header.base_offset(), producer_id, kind });
    }
    Ok(part)
}
