use super::{Aborted, RECENT_MAX};
use crate::producer::transaction_index::{AbortedTransaction, ENTRY_BYTES, TransactionIndex};

fn aborted(first_offset: i64, last_offset: i64) -> AbortedTransaction {
    AbortedTransaction { producer_id: 1, first_offset, last_offset, last_stable_offset: last_offset + 1 }
}

#[test]
fn closed_segments_go_to_their_files_and_the_active_one_stays() {
    let kept = Aborted::default();
    for offset in [5, 15, 25] {
        kept.append(aborted(offset - 1, offset));
    }
    let segments = [(0, 10), (10, 20), (20, 30)];
    let companions = kept.companions(&segments, false);
    let places: Vec<_> = companions.iter().map(|one| (one.segment, one.at, one.bytes.len(), one.below)).collect();
    assert_eq!(places, [(0, 0, ENTRY_BYTES, 10), (10, 0, ENTRY_BYTES, 20)]);
    kept.companions_written(&companions);
    let files: Vec<_> = kept.filed().segments.iter().map(|file| (file.base, file.bytes)).collect();
    assert_eq!((kept.filed().below, files), (20, vec![(0, ENTRY_BYTES as u64), (10, ENTRY_BYTES as u64)]));
    assert_eq!(kept.recent().entries(), [aborted(24, 25)]);
    assert!(kept.companions(&segments, false).is_empty());
}

#[test]
fn a_file_grows_at_its_end() {
    let kept = Aborted::default();
    kept.append(aborted(4, 5));
    let first = kept.companions(&[(0, 10)], true);
    assert_eq!((first.len(), first[0].at), (1, 0));
    kept.companions_written(&first);
    kept.append(aborted(11, 12));
    let second = kept.companions(&[(0, 20)], true);
    assert_eq!((second[0].segment, second[0].at), (0, ENTRY_BYTES as u64));
    assert_eq!(TransactionIndex::decode(0, &second[0].bytes).unwrap().entries(), [aborted(11, 12)]);
    kept.companions_written(&second);
    assert!(kept.recent().entries().is_empty());
    assert!(kept.companions(&[(0, 20)], true).is_empty());
}

#[test]
fn many_of_the_active_segment_go_to_its_file_too() {
    let kept = Aborted::default();
    for at in 0..RECENT_MAX as i64 {
        assert!(kept.companions(&[(0, 2 * at + 1)], false).is_empty());
        kept.append(aborted(2 * at, 2 * at + 1));
    }
    assert_eq!(kept.companions(&[(0, 2 * RECENT_MAX as i64)], false)[0].bytes.len(), RECENT_MAX * ENTRY_BYTES);
}
