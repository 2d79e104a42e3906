use proptest::prelude::*;

use super::{EpochEnd, EpochEntry, LeaderEpochs, UNKNOWN_END};

fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
    let mut epochs = LeaderEpochs::new();
    for &(epoch, start_offset) in entries {
        epochs.assign(epoch, start_offset).unwrap();
    }
    epochs
}

fn pairs(epochs: &LeaderEpochs) -> Vec<(i32, i64)> {
    epochs.entries().iter().map(|entry| (entry.epoch, entry.start_offset)).collect()
}

fn reason(text: &str) -> String {
    LeaderEpochs::decode(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn an_epoch_ends_where_the_next_one_with_records_begins() {
    let epochs = epochs(&[(2, 10), (5, 20), (6, 30)]);
    let end = |epoch| epochs.end_offset_for(epoch, 100);
    assert_eq!(end(6), EpochEnd { epoch: 6, end_offset: 100 });
    assert_eq!(end(5), EpochEnd { epoch: 5, end_offset: 30 });
    assert_eq!(end(4), EpochEnd { epoch: 2, end_offset: 20 });
    assert_eq!(end(1), EpochEnd { epoch: 1, end_offset: 10 });
    assert_eq!((end(7), end(-1)), (UNKNOWN_END, UNKNOWN_END));
    assert_eq!(LeaderEpochs::new().end_offset_for(0, 100), UNKNOWN_END);
}

#[test]
fn records_know_their_epoch() {
    let epochs = epochs(&[(2, 10), (5, 20)]);
    let found: Vec<_> = [9, 10, 19, 20, i64::MAX].map(|offset| epochs.epoch_for_offset(offset)).to_vec();
    assert_eq!(found, [None, Some(2), Some(2), Some(5), Some(5)]);
}

#[test]
fn a_new_epoch_removes_what_contradicts_it() {
    let mut epochs = epochs(&[(0, 0), (1, 10), (3, 20)]);
    assert_eq!(epochs.assign(3, 25), Ok(false));
    assert_eq!(epochs.assign(4, 10), Ok(true));
    assert_eq!(pairs(&epochs), [(0, 0), (4, 10)]);
    assert_eq!(epochs.assign(4, 5), Ok(true));
    assert_eq!(pairs(&epochs), [(0, 0), (4, 5)]);
    assert_eq!(epochs.assign(-1, 5).unwrap_err().to_string(), "leader epoch -1 from offset 5: neither may be negative");
    assert!(epochs.assign(5, -1).is_err());
}

#[test]
fn it_is_cut_with_the_log() {
    let mut epochs = epochs(&[(0, 0), (1, 10), (3, 20)]);
    assert!(!epochs.truncate_from_end(21) && !epochs.truncate_from_end(-1));
    assert!(epochs.truncate_from_end(20));
    assert_eq!(pairs(&epochs), [(0, 0), (1, 10)]);
    assert!(epochs.truncate_from_start(5));
    assert_eq!(pairs(&epochs), [(0, 5), (1, 10)]);
    assert!(!epochs.truncate_from_start(5) && !epochs.truncate_from_start(4));
    assert!(epochs.truncate_from_start(12));
    assert_eq!(pairs(&epochs), [(1, 12)]);
    assert_eq!(epochs.earliest(), Some(EpochEntry { epoch: 1, start_offset: 12 }));
    epochs.clear();
    assert_eq!(epochs.latest(), None);
}

#[test]
fn the_file_is_kafkas() {
    let epochs = epochs(&[(0, 0), (3, 20)]);
    assert_eq!(epochs.encode(), "0\n2\n0 0\n3 20\n");
    assert_eq!(LeaderEpochs::decode(epochs.encode().as_bytes()), Ok(epochs));
    assert_eq!(LeaderEpochs::new().encode(), "0\n0\n");
    assert_eq!(LeaderEpochs::decode(b""), Ok(LeaderEpochs::new()));
    assert_eq!(LeaderEpochs::decode(b"0\r\n0\r\n"), Ok(LeaderEpochs::new()));
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    assert_eq!(reason("1\n0\n"), "leader-epoch-checkpoint is corrupt in line 1: version '1', not 0");
    assert_eq!(reason("\n"), "leader-epoch-checkpoint is corrupt in line 1: version '', not 0");
    assert_eq!(reason("0\n"), "leader-epoch-checkpoint is corrupt in line 2: '' is no number of epochs");
    assert_eq!(reason("0\n-1\n"), "leader-epoch-checkpoint is corrupt in line 2: '-1' is no number of epochs");
    assert_eq!(
        reason("0\n2\n0 0\n"),
        "leader-epoch-checkpoint is corrupt in line 2: it promises 2 epochs, and 1 follow"
    );
    assert_eq!(
        reason("0\n1\n0 0 0\n"),
        "leader-epoch-checkpoint is corrupt in line 3: '0 0 0' is no epoch and start offset"
    );
    assert_eq!(
        reason("0\n1\n99999999999 0\n"),
        "leader-epoch-checkpoint is corrupt in line 3: '99999999999 0' is no epoch and start offset"
    );
    assert_eq!(
        reason("0\n1\n-1 7\n"),
        "leader-epoch-checkpoint is corrupt in line 3: leader epoch -1 from offset 7: neither may be negative"
    );
    assert_eq!(
        reason("0\n2\n1 5\n2 5\n"),
        "leader-epoch-checkpoint is corrupt in line 4: epoch 2 from offset 5 follows epoch 1 from offset 5"
    );
    let no_text = LeaderEpochs::decode(b"0\n1\n\xff 7\n").unwrap_err();
    assert_eq!(no_text.to_string(), "leader-epoch-checkpoint is corrupt in line 3: it is no text");
    assert!(reason(&format!("0\n1\n{}\n", "\u{e9}".repeat(500))).len() < 200);
}

/// The naive model: the epoch of every record in the log, from its first offset on.
#[derive(Default)]
struct Records {
    first_offset: i64,
    epochs: Vec<i32>,
}

impl Records {
    fn end(&self) -> i64 {
        self.first_offset + self.epochs.len() as i64
    }

    fn epoch_for_offset(&self, offset: i64) -> Option<i32> {
        let last = self.epochs.last().copied();
        usize::try_from(offset - self.first_offset).ok().and_then(|at| self.epochs.get(at).copied().or(last))
    }

    fn end_offset_for(&self, epoch: i32) -> EpochEnd {
        let latest = self.epochs.last().copied();
        let Some(above) = self.epochs.iter().position(|known| *known > epoch) else {
            let known = latest == Some(epoch);
            return if known { EpochEnd { epoch, end_offset: self.end() } } else { UNKNOWN_END };
        };
        let floor = above.checked_sub(1).map_or(epoch, |at| self.epochs[at]);
        EpochEnd { epoch: floor, end_offset: self.first_offset + above as i64 }
    }
}

proptest! {
    #[test]
    fn answers_follow_from_the_records(
        steps in prop::collection::vec((0..10u8, 0..3i32, 0..8i64), 1..60),
    ) {
        let (mut epochs, mut records) = (LeaderEpochs::new(), Records::default());
        let mut epoch = 0;
        for (what, epoch_step, length) in steps {
            match what {
                0 => {
                    let cut = (records.end() - length).max(records.first_offset);
                    records.epochs.truncate((cut - records.first_offset) as usize);
                    epochs.truncate_from_end(cut);
                }
                1 if records.epochs.len() as i64 > length => {
                    records.epochs.drain(..length as usize);
                    records.first_offset += length;
                    epochs.truncate_from_start(records.first_offset);
                }
                _ => {
                    epoch += epoch_step * i32::from(what < 5);
                    for _ in 0..length {
                        epochs.assign(epoch, records.end()).unwrap();
                        records.epochs.push(epoch);
                    }
                }
            }
            for asked in 0..epoch + 3 {
                prop_assert_eq!(epochs.end_offset_for(asked, records.end()), records.end_offset_for(asked));
            }
            for offset in records.first_offset - 1..records.end() + 2 {
                prop_assert_eq!(epochs.epoch_for_offset(offset), records.epoch_for_offset(offset));
            }
            let decoded = LeaderEpochs::decode(epochs.encode().as_bytes());
            prop_assert_eq!(decoded.as_ref(), Ok(&epochs));
        }
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..60), text in "[0-9 \n-]{0,60}") {
        let _ = LeaderEpochs::decode(&bytes);
        let _ = LeaderEpochs::decode(format!("0\n3\n{text}").as_bytes());
    }
}
