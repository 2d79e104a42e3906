//! Tests of the record batch: golden vectors from Apache Kafka ([`golden`]), each rule of validation
//! ([`validation`]), walks and lookups ([`walks`]), codecs ([`codecs`]), and properties over random and damaged
//! batches ([`properties`]).

mod codecs;
mod golden;
mod properties;
mod validation;
mod walks;

use super::batch;
use super::build::BatchBuilder;
use super::walk::{self, Header};

/// A record that owns its bytes, so that tests can compare records.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OwnedRecord {
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl OwnedRecord {
    fn new(offset: i64, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> OwnedRecord {
        let (key, value) = (key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec));
        OwnedRecord { offset, timestamp, key, value, headers: Vec::new() }
    }

    fn header(mut self, key: &[u8], value: Option<&[u8]>) -> OwnedRecord {
        self.headers.push((key.to_vec(), value.map(<[u8]>::to_vec)));
        self
    }

    fn append_to(&self, builder: &mut BatchBuilder) {
        let headers: Vec<Header<'_>> =
            self.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect();
        builder.append(self.timestamp, self.key.as_deref(), self.value.as_deref(), &headers);
    }
}

fn owned(record: &walk::Record<'_>) -> OwnedRecord {
    OwnedRecord {
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers: record.headers.iter().map(|it| (it.key.to_vec(), it.value.map(<[u8]>::to_vec))).collect(),
    }
}

/// All records of one batch.
fn read(batch: &[u8]) -> Vec<OwnedRecord> {
    let records = walk::records(batch).expect("a readable batch");
    records.iter().map(|record| owned(&record.expect("a readable record"))).collect()
}

/// The batch of `records` with offsets from 0, as a producer would send it.
fn produce(builder: BatchBuilder, records: &[OwnedRecord]) -> Vec<u8> {
    let mut builder = builder;
    for record in records {
        record.append_to(&mut builder);
    }
    builder.build(0)
}

/// Three small records with keys.
fn plain() -> Vec<u8> {
    let records: Vec<_> = (0..3).map(|at| OwnedRecord::new(at, WALL_MS + at, Some(b"key"), Some(b"value"))).collect();
    produce(BatchBuilder::new(), &records)
}

/// Overwrites bytes of a header field and makes the CRC right again.
fn with_field<const BYTES: usize>(mut batch: Vec<u8>, at: usize, field: [u8; BYTES]) -> Vec<u8> {
    batch[at..at + BYTES].copy_from_slice(&field);
    with_crc(batch)
}

fn with_crc(mut batch: Vec<u8>) -> Vec<u8> {
    let crc = batch::computed_crc(&batch).expect("longer than a header");
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

/// The clock of these tests.
const WALL_MS: i64 = 1_700_000_000_000;
