use super::{batch, read};
use crate::model::ids::{PartitionId, Uuid};
use crate::record::{Compression, records};
use crate::sim::history::{BatchTag, Tag};

#[test]
fn a_record_is_known_again_and_damage_is_seen() {
    let place = PartitionId { topic: Uuid::nil(), index: 2 };
    let first = Tag { producer: 3, number: 10 };
    let written = BatchTag { place, first, count: 2, acks: -1, idempotent: false };
    let bytes = batch(written, 1000, &[5, 500], Compression::None, None);
    let read_all = |bytes: &[u8], partition| -> Vec<Result<Tag, String>> {
        let records = records(bytes).expect("a batch");
        records.iter().map(|record| read(&record.expect("a record"), partition)).collect()
    };
    let tags: Vec<Tag> = written.tags().collect();
    assert_eq!(read_all(&bytes, 2), tags.iter().map(|tag| Ok(*tag)).collect::<Vec<_>>());
    assert!(read_all(&bytes, 1).iter().all(Result::is_err), "another partition");
    let mut damaged = bytes.clone();
    let at = damaged.len() - 10;
    damaged[at] ^= 1;
    assert!(read_all(&damaged, 2)[0].is_ok() && read_all(&damaged, 2)[1].is_err());
}
