//! What one partition must hold: every batch that was built for it, where acknowledged and seen ones stand, and the walk
//! over the log that compares.

use std::collections::BTreeMap;

use flumen::protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use flumen::protocol::messages::{BrokerId, ListOffsetsRequest};
use flumen::record::{self, BatchHeader};

use super::client::{Client, fetch_request, name};

pub const EARLIEST: i64 = -2;
pub const LATEST: i64 = -1;
/// Look-ups by time that a walk is compared with.
const LOOKUPS: usize = 10;

/// A partition of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub topic: &'static str,
    pub partition: i32,
}

/// Which batch: who wrote it, and its number among that writer's batches for that partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    pub writer: u32,
    pub number: u32,
}

/// What a batch was when it was built. Its checksum stands for its bytes: the walk compares the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Built {
    pub crc: u32,
    pub records: i32,
    /// Its writer repeats what was not acknowledged, so that no number before the last one may be missing.
    pub is_idempotent: bool,
}

/// All that is known of one partition.
#[derive(Debug, Default)]
pub struct Ledger {
    pub built: BTreeMap<Name, Built>,
    /// Acknowledged, by base offset.
    pub acknowledged: BTreeMap<i64, Name>,
    /// Sent to a consumer: the checksum, by base offset.
    pub seen: BTreeMap<i64, u32>,
    /// Everything below the first was acknowledged as deleted; nothing from the second on was asked to be.
    pub deleted: (i64, i64),
    /// Found by the walks so far, which came to this offset.
    found: BTreeMap<Name, i64>,
    last: BTreeMap<u32, u32>,
    pub walked: i64,
}

/// The offset that ListOffsets gives for a time, or for one of the special values.
pub fn list_offset(client: &mut Client, place: Place, timestamp: i64) -> i64 {
    try_list_offset(client, place, timestamp).expect("the broker answers")
}

/// The same of a broker that may end meanwhile.
pub fn try_list_offset(client: &mut Client, place: Place, timestamp: i64) -> Option<i64> {
    let partition = ListOffsetsPartition::default().with_partition_index(place.partition).with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default().with_name(name(place.topic)).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    let id = client.try_send(7, &request).ok()?;
    let response = client.try_receive::<ListOffsetsRequest>(7, id)?;
    let answer = &response.topics[0].partitions[0];
    assert_eq!(answer.error_code, 0, "{place:?}");
    Some(answer.offset)
}

impl Ledger {
    /// Walks the log, from where the last walk ended or `whole`, and compares it with everything known.
    pub fn verify(&mut self, client: &mut Client, place: Place, whole: bool) {
        let (start, end) = (list_offset(client, place, EARLIEST), list_offset(client, place, LATEST));
        let (deleted, asked) = self.deleted;
        assert!((deleted..=asked.max(deleted)).contains(&start), "{place:?} starts at {start}: {:?}", self.deleted);
        assert!(start <= end, "{place:?}: {start} to {end}");
        if whole {
            (self.found, self.last, self.walked) = (BTreeMap::new(), BTreeMap::new(), start);
        }
        self.walked = self.walked.max(start);
        let mut times = Vec::new();
        while self.walked < end {
            let before = self.walked;
            for bytes in fetch(client, place, self.walked) {
                times.push(self.take(place, start, &bytes));
            }
            assert!(self.walked > before, "{place:?}: nothing at offset {before}, the end is {end}");
        }
        assert_eq!(self.walked, end, "{place:?} ends");
        for (offset, name) in self.acknowledged.range(start..) {
            assert_eq!(self.found.get(name), Some(offset), "{place:?}: {name:?} was acknowledged at {offset}");
        }
        if whole {
            look_up_times(client, place, start, &times);
        }
    }

    /// Takes the next batch; gives its base offset and timestamp.
    fn take(&mut self, place: Place, start: i64, bytes: &[u8]) -> (i64, i64) {
        record::check_stored(bytes).unwrap();
        let header = *BatchHeader::read(bytes).unwrap();
        let base = header.base_offset();
        let is_cut_by_start = self.walked == start && base < start && header.next_offset() > start;
        assert!(base == self.walked || is_cut_by_start, "{place:?}: offset {base} where {} belongs", self.walked);
        let records = record::records(bytes).unwrap();
        let first = (&records).into_iter().next().unwrap().unwrap();
        let name = read_name(first.key.unwrap());
        let built = self.built.get(&name).unwrap_or_else(|| panic!("{place:?}: {name:?} at {base} was never sent"));
        assert_eq!((header.crc(), header.records_count()), (built.crc, built.records), "{place:?}: {name:?} at {base}");
        if let Some(crc) = self.seen.get(&base) {
            assert_eq!(*crc, header.crc(), "{place:?}: a consumer saw another batch at {base}");
        }
        if let Some(other) = self.found.insert(name, base) {
            panic!("{place:?}: {name:?} stands at {other} and at {base}");
        }
        let last = self.last.insert(name.writer, name.number);
        let in_order = match last {
            None => start > 0 || !built.is_idempotent || name.number == 0,
            Some(last) if built.is_idempotent => name.number == last + 1,
            Some(last) => name.number > last,
        };
        assert!(in_order, "{place:?}: {name:?} at {base} follows number {last:?} of its writer");
        self.walked = header.next_offset();
        (base, header.base_timestamp())
    }

    /// What the walks found.
    pub fn batches(&self) -> usize {
        self.found.len()
    }
}

/// The whole batches that one fetch gives.
pub fn fetch(client: &mut Client, place: Place, offset: i64) -> Vec<Vec<u8>> {
    let response = client.ask(12, &fetch_request(&[(place.topic, place.partition, offset)]));
    let data = &response.responses[0].partitions[0];
    assert_eq!(data.error_code, 0, "{place:?} at {offset}");
    let records = data.records.as_deref().unwrap_or_default();
    record::batches(records).map(|batch| batch.unwrap().1.to_vec()).collect()
}

/// Compares look-ups by time with the first record of a time in the log.
fn look_up_times(client: &mut Client, place: Place, start: i64, batches: &[(i64, i64)]) {
    for at in (0..batches.len()).step_by((batches.len() / LOOKUPS).max(1)) {
        let time = batches[at].1;
        let (first, _) = batches.iter().find(|(_, other)| *other >= time).unwrap();
        let expected = (*first).max(start);
        assert_eq!(list_offset(client, place, time), expected, "{place:?}: the first record at or after {time}");
    }
}

/// The key by which a batch tells its name.
pub fn write_name(name: Name) -> String {
    format!("{}/{}", name.writer, name.number)
}

fn read_name(key: &[u8]) -> Name {
    let text = std::str::from_utf8(key).unwrap();
    let (writer, number) = text.split_once('/').unwrap();
    Name { writer: writer.parse().unwrap(), number: number.parse().unwrap() }
}
