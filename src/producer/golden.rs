//! This module against recordings of Apache Kafka 4.3.1; `testdata/README.md` says how they were made.

use crate::model::offset::Offset;
use crate::producer::exact::{decode_exact, encode_exact};
use crate::producer::snapshot;
use crate::producer::state::{BatchFacts, MarkerFacts, ProducerStates, Verdict};
use crate::producer::transaction_index::TransactionIndex;
use crate::producer::transactions::{Outcome, Transactions};

pub(super) fn unhex(text: &str) -> Vec<u8> {
    let digits = text.trim().as_bytes();
    digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

#[derive(Default)]
struct Partition {
    states: ProducerStates,
    transactions: Transactions,
    index: TransactionIndex,
    log_end_offset: Offset,
}

fn number<T: std::str::FromStr>(words: &[&str], at: usize) -> T {
    words[at].parse().ok().unwrap_or_else(|| panic!("{words:?} has no number at {at}"))
}

impl Partition {
    fn play(&mut self, words: &[&str]) -> String {
        match words[0] {
            "batch" => self.batch(words),
            "marker" => self.marker(words),
            "lso" => {
                let high_watermark = number(words, 1);
                self.transactions.advance(high_watermark);
                self.transactions.last_stable_offset(high_watermark).to_string()
            }
            other => panic!("unknown line {other}"),
        }
    }

    fn batch(&mut self, words: &[&str]) -> String {
        let facts = BatchFacts {
            producer_id: number(words, 1),
            producer_epoch: number(words, 2),
            base_sequence: number(words, 3),
            last_offset_delta: number(words, 4),
            is_transactional: words[5] == "1",
        };
        assert_eq!(self.log_end_offset, number::<Offset>(words, 6));
        match self.states.check(&facts) {
            Verdict::Append => {
                if let Some(first) = self.states.commit(&facts, self.log_end_offset, number(words, 7)) {
                    self.transactions.begin(facts.producer_id, first);
                }
                self.log_end_offset += i64::from(facts.last_offset_delta) + 1;
                "append".to_owned()
            }
            Verdict::Duplicate { base_offset, last_offset, timestamp } => {
                format!("duplicate {base_offset} {last_offset} {timestamp}")
            }
            Verdict::Refuse(error) => format!("refuse {}", error.code),
        }
    }

    fn marker(&mut self, words: &[&str]) -> String {
        let facts = MarkerFacts {
            producer_id: number(words, 1),
            producer_epoch: number(words, 2),
            coordinator_epoch: number(words, 3),
            transaction_version: number(words, 4),
        };
        let outcome = if words[5] == "abort" { Outcome::Abort } else { Outcome::Commit };
        if let Err(error) = self.states.check_marker(&facts) {
            return format!("refuse {}", error.code);
        }
        let ended = self.states.commit_marker(&facts, number(words, 7));
        let open_before = self.transactions.open_count();
        let aborted = self.transactions.end(facts.producer_id, outcome, self.log_end_offset);
        assert_eq!(ended.is_some(), open_before > self.transactions.open_count());
        self.log_end_offset += 1;
        let Some(aborted) = aborted else { return "append none".to_owned() };
        assert_eq!(ended, Some(aborted.first_offset));
        self.index.append(aborted);
        format!("append {} {} {}", aborted.first_offset, aborted.last_offset, aborted.last_stable_offset)
    }

    fn survives_its_encodings(&self) {
        let mut exact = Vec::new();
        encode_exact(&self.states, &mut exact);
        let restored = decode_exact(&exact).unwrap();
        assert_eq!(restored, self.states);
        let open: Vec<_> = restored.open_transactions().collect();
        assert_eq!(open.len(), self.transactions.open_count());
        let transactions = Transactions::restore(open.into_iter());
        assert_eq!(transactions.first_open_offset(), self.transactions.first_open_offset());
    }
}

fn replay(trace: &str) {
    let mut partition = Partition::default();
    for line in trace.lines() {
        if let Some((input, expected)) = line.split_once(" = ") {
            let words: Vec<_> = input.split(' ').collect();
            assert_eq!(partition.play(&words), expected, "{line}");
            partition.survives_its_encodings();
        } else if let Some(hex) = line.strip_prefix("snapshot ") {
            assert_eq!(snapshot::encode(&partition.states), unhex(hex));
        } else if let Some(hex) = line.strip_prefix("txnindex ") {
            assert_eq!(partition.index.encode(0, partition.log_end_offset), unhex(hex));
        } else {
            panic!("unknown line {line}");
        }
    }
}

#[test]
fn idempotent_producers_are_judged_as_kafka_judges_them() {
    replay(include_str!("testdata/idempotent.txt"));
}

#[test]
fn wrapping_sequences_are_judged_as_kafka_judges_them() {
    replay(include_str!("testdata/wrapping.txt"));
}

#[test]
fn transactional_producers_are_judged_as_kafka_judges_them() {
    replay(include_str!("testdata/transactional.txt"));
}

#[test]
fn aborted_transactions_are_found_as_kafka_finds_them() {
    let mut index = TransactionIndex::new();
    for line in include_str!("testdata/transaction_index.txt").lines() {
        if let Some(hex) = line.strip_prefix("file ") {
            index = TransactionIndex::decode(100, &unhex(hex)).unwrap();
            assert_eq!(index.entries().len(), 4);
            assert_eq!(index.encode(100, 1000), unhex(hex));
            continue;
        }
        let (input, expected) = line.split_once(" = ").unwrap();
        let words: Vec<_> = input.split(' ').collect();
        let found = index.overlapping(number(&words, 1), number(&words, 2));
        let ends: String = found.aborted.iter().map(|aborted| format!(" {}", aborted.last_offset)).collect();
        assert_eq!(format!("{}{ends}", found.is_complete), expected, "{line}");
    }
}
