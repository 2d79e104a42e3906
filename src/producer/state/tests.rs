use proptest::prelude::*;

use super::{BatchFacts, EVICTED_ONE_IN, MarkerFacts, PRODUCERS_MAX, ProducerStates, Verdict};
use crate::model::error_code::ErrorCode;
use crate::producer::entry::BATCHES_RETAINED;
use crate::producer::exact::{decode_exact, encode_exact};
use crate::producer::sequence;

fn batch(producer_id: i64, producer_epoch: i16, base_sequence: i32, records: i32) -> BatchFacts {
    BatchFacts { producer_id, producer_epoch, base_sequence, last_offset_delta: records - 1, is_transactional: false }
}

fn transactional(producer_id: i64, producer_epoch: i16, base_sequence: i32, records: i32) -> BatchFacts {
    BatchFacts { is_transactional: true, ..batch(producer_id, producer_epoch, base_sequence, records) }
}

fn marker(producer_id: i64, producer_epoch: i16, coordinator_epoch: i32, transaction_version: i16) -> MarkerFacts {
    MarkerFacts { producer_id, producer_epoch, coordinator_epoch, transaction_version }
}

fn code(verdict: Verdict) -> ErrorCode {
    match verdict {
        Verdict::Refuse(error) => error.code,
        other => panic!("{other:?} is no refusal"),
    }
}

fn appended(states: &mut ProducerStates, facts: &BatchFacts, base_offset: i64) {
    assert_eq!(states.check(facts), Verdict::Append);
    states.commit(facts, base_offset, base_offset * 10);
}

#[test]
fn the_last_five_batches_are_recognised_and_the_sixth_is_out_of_order() {
    let mut states = ProducerStates::new();
    for index in 0..6 {
        appended(&mut states, &batch(1, 0, index * 10, 10), 100 + i64::from(index) * 10);
    }
    for index in 1..6 {
        let base_offset = 100 + i64::from(index) * 10;
        assert_eq!(
            states.check(&batch(1, 0, index * 10, 10)),
            Verdict::Duplicate { base_offset, last_offset: base_offset + 9, timestamp: base_offset * 10 }
        );
    }
    assert_eq!(code(states.check(&batch(1, 0, 0, 10))), ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(code(states.check(&batch(1, 0, 50, 9))), ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(code(states.check(&batch(1, 0, 61, 1))), ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(states.check(&batch(1, 0, 60, 1)), Verdict::Append);
}

#[test]
fn epochs_only_rise_and_start_at_zero() {
    let mut states = ProducerStates::new();
    appended(&mut states, &batch(1, 5, 0, 3), 0);
    assert_eq!(code(states.check(&batch(1, 4, 3, 1))), ErrorCode::InvalidProducerEpoch);
    assert_eq!(code(states.check(&batch(1, 6, 3, 1))), ErrorCode::OutOfOrderSequenceNumber);
    appended(&mut states, &batch(1, 6, 0, 1), 3);
    assert_eq!(code(states.check(&batch(1, 5, 0, 3))), ErrorCode::InvalidProducerEpoch);
    assert_eq!(states.check(&batch(1, 6, 1, 1)), Verdict::Append);
}

#[test]
fn an_unknown_producer_may_start_anywhere() {
    let mut states = ProducerStates::new();
    appended(&mut states, &batch(1, 3, 4711, 2), 0);
    assert_eq!(states.check(&batch(1, 3, 4713, 1)), Verdict::Append);
    assert_eq!(states.expire(100_000, 1), 1);
    assert_eq!(states.check(&batch(1, 2, 9, 1)), Verdict::Append);
}

#[test]
fn a_batch_may_wrap_and_is_recognised() {
    let mut states = ProducerStates::new();
    appended(&mut states, &batch(1, 0, i32::MAX - 1, 4), 0);
    assert_eq!(states.get(1).unwrap().last_sequence(), 1);
    assert!(matches!(states.check(&batch(1, 0, i32::MAX - 1, 4)), Verdict::Duplicate { base_offset: 0, .. }));
    assert_eq!(states.check(&batch(1, 0, 2, 1)), Verdict::Append);
}

#[test]
fn batches_without_a_producer_pass_and_leave_no_trace() {
    let mut states = ProducerStates::new();
    let facts = batch(-1, -1, -1, 10);
    assert_eq!(states.check(&facts), Verdict::Append);
    assert_eq!(states.check_from_coordinator(&facts), Verdict::Append);
    assert_eq!(states.commit(&facts, 0, 0), None);
    assert_eq!(states.commit_marker(&marker(-1, -1, 0, 1), 0), None);
    assert!(states.is_empty());
}

#[test]
fn negative_sequences_and_lengths_are_refused() {
    let states = ProducerStates::new();
    assert_eq!(code(states.check(&batch(1, 0, -1, 1))), ErrorCode::InvalidRecord);
    assert_eq!(code(states.check(&batch(1, 0, i32::MIN, 1))), ErrorCode::InvalidRecord);
    assert_eq!(code(states.check(&batch(1, 0, 0, i32::MIN + 1))), ErrorCode::InvalidRecord);
}

#[test]
fn a_transaction_opens_with_its_first_batch_and_closes_with_its_marker() {
    let mut states = ProducerStates::new();
    assert_eq!(states.commit(&transactional(1, 0, 0, 2), 10, 0), Some(10));
    assert_eq!(states.commit(&transactional(1, 0, 2, 2), 12, 0), None);
    assert!(states.has_ongoing_transaction(1, 0));
    assert!(!states.has_ongoing_transaction(1, 1));
    assert_eq!(states.open_transactions().collect::<Vec<_>>(), [(1, 10)]);
    assert_eq!(code(states.check(&batch(1, 0, 4, 1))), ErrorCode::InvalidTxnState);
    assert_eq!(states.expire(i64::MAX, 1), 0);
    assert_eq!(states.commit_marker(&marker(1, 1, 0, 2), 99), Some(10));
    assert_eq!(states.commit_marker(&marker(1, 1, 0, 2), 99), None);
    assert_eq!(states.get(1).unwrap().last_timestamp(), 99);
    assert_eq!(code(states.check(&batch(1, 1, 4, 1))), ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(states.check(&batch(1, 1, 0, 1)), Verdict::Append);
}

#[test]
fn markers_are_fenced_by_both_epochs() {
    let mut states = ProducerStates::new();
    assert_eq!(states.check_marker(&marker(1, 0, 0, 2)), Ok(()));
    states.commit(&transactional(1, 4, 0, 1), 0, 0);
    let refused = |states: &ProducerStates, facts| states.check_marker(&facts).unwrap_err().code;
    assert_eq!(refused(&states, marker(1, 3, 7, 1)), ErrorCode::InvalidProducerEpoch);
    assert_eq!(refused(&states, marker(1, 4, 7, 2)), ErrorCode::InvalidProducerEpoch);
    assert_eq!(states.check_marker(&marker(1, 4, 7, 1)), Ok(()));
    states.commit_marker(&marker(1, 5, 7, 2), 0);
    assert_eq!(states.check_marker(&marker(1, 5, 7, 2)), Ok(()));
    assert_eq!(refused(&states, marker(1, 5, 6, 2)), ErrorCode::TransactionCoordinatorFenced);
    states.commit(&transactional(1, i16::MAX, 0, 1), 9, 0);
    assert_eq!(states.check_marker(&marker(1, i16::MAX, 7, 2)), Ok(()));
}

#[test]
fn coordinators_are_checked_for_their_epoch_alone() {
    let mut states = ProducerStates::new();
    states.commit(&transactional(1, 4, 0, 1), 0, 0);
    assert_eq!(states.check_from_coordinator(&transactional(1, 4, 0, 1)), Verdict::Append);
    assert_eq!(code(states.check_from_coordinator(&transactional(1, 3, 0, 1))), ErrorCode::InvalidProducerEpoch);
    assert_eq!(code(states.check_from_coordinator(&batch(1, 4, 0, 1))), ErrorCode::InvalidTxnState);
}

#[test]
fn a_producer_that_bumps_its_epoch_starts_each_transaction_at_zero() {
    let mut states = ProducerStates::new();
    assert_eq!(code(states.check_as(&transactional(1, 3, 5, 1), true)), ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(states.check_as(&transactional(1, 3, 5, 1), false), Verdict::Append);
    assert_eq!(states.check_as(&transactional(1, 3, 0, 1), true), Verdict::Append);
    states.commit(&transactional(1, 3, 0, 1), 0, 0);
    assert_eq!(states.check_as(&transactional(1, 3, 1, 1), true), Verdict::Append);
}

#[test]
fn a_marker_that_changes_nothing_is_a_repetition() {
    let mut states = ProducerStates::new();
    let marker = |epoch, coordinator_epoch| marker(1, epoch, coordinator_epoch, 2);
    assert!(!states.is_repeated_marker(&marker(1, 0)));
    states.commit(&transactional(1, 0, 0, 1), 0, 0);
    assert!(!states.is_repeated_marker(&marker(0, 0)));
    states.commit_marker(&marker(1, 0), 0);
    assert!(states.is_repeated_marker(&marker(1, 0)));
    assert!(!states.is_repeated_marker(&marker(1, 1)), "a newer coordinator makes itself known");
    assert!(!states.is_repeated_marker(&marker(2, 0)), "a higher epoch fences");
    states.commit(&transactional(1, 1, 0, 1), 5, 0);
    assert!(!states.is_repeated_marker(&marker(1, 0)), "a transaction is open");
}

#[test]
fn producers_expire_by_the_age_of_their_last_batch() {
    let mut states = ProducerStates::new();
    for (producer_id, timestamp) in [(1, 1_000), (2, 2_000), (3, i64::MIN), (4, i64::MAX)] {
        states.commit(&batch(producer_id, 0, 0, 1), producer_id, timestamp);
    }
    assert_eq!(states.expire(2_999, 1_000), 2);
    assert_eq!(states.iter().map(|(id, _)| id).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(states.expire(3_000, 1_000), 1);
    states.reset();
    assert_eq!(states.memory_bytes(), 0);
}

#[test]
fn memory_is_small_where_producers_are_few() {
    let mut states = ProducerStates::new();
    assert_eq!(states.memory_bytes(), 0);
    states.commit(&batch(1, 0, 0, 1), 0, 0);
    assert!(states.memory_bytes() <= 168, "{}", states.memory_bytes());
    states.commit(&batch(2, 0, 0, 1), 0, 0);
    assert!(states.memory_bytes() <= 336, "{}", states.memory_bytes());
    states.expire(1_000, 1);
    assert_eq!(states.memory_bytes(), 0);
}

#[test]
fn the_longest_silent_producers_make_room_for_new_ones() {
    let mut states = ProducerStates::new();
    states.commit(&transactional(0, 0, 0, 1), 0, 0);
    for producer_id in 1..PRODUCERS_MAX as i64 {
        // Pairs share a timestamp, and the greater ids are the older ones.
        let timestamp = (PRODUCERS_MAX as i64 - producer_id) / 2;
        states.commit(&batch(producer_id, 0, 0, 1), producer_id, timestamp);
    }
    assert_eq!(states.len(), PRODUCERS_MAX);
    states.commit(&batch(-1, 0, 0, 1), 0, 0);
    states.commit(&batch(7, 0, 1, 1), 0, 1_000_000);
    assert_eq!(states.len(), PRODUCERS_MAX);
    states.commit(&batch(1_000_000, 0, 0, 1), 0, 0);
    let evicted = (PRODUCERS_MAX - 1) / EVICTED_ONE_IN + 1;
    assert_eq!(states.len(), PRODUCERS_MAX - evicted + 1);
    assert!(states.has_ongoing_transaction(0, 0));
    assert!(states.get(7).is_some() && states.get(1_000_000).is_some());
    assert!(states.get(PRODUCERS_MAX as i64 - 1).is_none());
}

/// Everything that was ever appended, in order; verdicts follow from it by definition.
#[derive(Default)]
struct History {
    events: Vec<Event>,
    log_end_offset: i64,
}

#[derive(Clone, Copy)]
enum Event {
    Batch { facts: BatchFacts, base_offset: i64 },
    Marker(MarkerFacts),
}

impl Event {
    fn producer_id(&self) -> i64 {
        match self {
            Event::Batch { facts, .. } => facts.producer_id,
            Event::Marker(facts) => facts.producer_id,
        }
    }

    fn epoch(&self) -> i16 {
        match self {
            Event::Batch { facts, .. } => facts.producer_epoch,
            Event::Marker(facts) => facts.producer_epoch,
        }
    }
}

impl History {
    fn of(&self, producer_id: i64) -> impl DoubleEndedIterator<Item = &Event> {
        self.events.iter().filter(move |event| event.producer_id() == producer_id)
    }

    fn epoch(&self, producer_id: i64) -> Option<i16> {
        self.of(producer_id).next_back().map(Event::epoch)
    }

    /// Batches since the epoch last changed, newest first.
    fn batches(&self, producer_id: i64) -> Vec<(BatchFacts, i64)> {
        let epoch = self.epoch(producer_id);
        let current = self.of(producer_id).rev().take_while(|event| Some(event.epoch()) == epoch);
        let batch = |event: &Event| match *event {
            Event::Batch { facts, base_offset } => Some((facts, base_offset)),
            Event::Marker(_) => None,
        };
        current.filter_map(batch).collect()
    }

    fn open_since(&self, producer_id: i64) -> Option<i64> {
        self.of(producer_id).fold(None, |open, event| match *event {
            Event::Marker(_) => None,
            Event::Batch { facts, base_offset } => open.or(facts.is_transactional.then_some(base_offset)),
        })
    }

    fn next_sequence(&self, producer_id: i64) -> i32 {
        let batches = self.batches(producer_id);
        batches.first().map_or(0, |(facts, _)| sequence::advance(facts.last_sequence(), 1))
    }

    fn verdict(&self, facts: &BatchFacts) -> Result<Option<i64>, ErrorCode> {
        let Some(epoch) = self.epoch(facts.producer_id) else { return Ok(None) };
        let retained = self.batches(facts.producer_id).into_iter().take(BATCHES_RETAINED);
        let same = |known: &BatchFacts| {
            (known.producer_epoch, known.base_sequence, known.last_offset_delta)
                == (facts.producer_epoch, facts.base_sequence, facts.last_offset_delta)
        };
        if let Some((_, base_offset)) = retained.into_iter().find(|(known, _)| same(known)) {
            return Ok(Some(base_offset));
        }
        let expected = if facts.producer_epoch == epoch { self.next_sequence(facts.producer_id) } else { 0 };
        if facts.producer_epoch < epoch {
            Err(ErrorCode::InvalidProducerEpoch)
        } else if facts.base_sequence != expected {
            Err(ErrorCode::OutOfOrderSequenceNumber)
        } else if self.open_since(facts.producer_id).is_some() && !facts.is_transactional {
            Err(ErrorCode::InvalidTxnState)
        } else {
            Ok(None)
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Next { producer_id: i64, records: i32, is_transactional: bool },
    Retry { back: usize, longer: bool },
    Odd { producer_id: i64, epoch_step: i16, sequence_step: i32, records: i32 },
    Near { producer_id: i64, below_greatest: i32, records: i32 },
    Marker { producer_id: i64, epoch_step: i16 },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let producer_id = 0..3i64;
    prop_oneof![
        8 => (producer_id.clone(), 1..6, any::<bool>())
            .prop_map(|(producer_id, records, is_transactional)| Step::Next { producer_id, records, is_transactional }),
        4 => (0..20usize, prop::bool::weighted(0.1)).prop_map(|(back, longer)| Step::Retry { back, longer }),
        3 => (producer_id.clone(), -1..2i16, -2..3, 1..4).prop_map(|(producer_id, epoch_step, sequence_step, records)| {
            Step::Odd { producer_id, epoch_step, sequence_step, records }
        }),
        1 => (producer_id.clone(), 0..4, 1..8).prop_map(|(producer_id, below_greatest, records)| {
            Step::Near { producer_id, below_greatest, records }
        }),
        2 => (producer_id, 0..2i16).prop_map(|(producer_id, epoch_step)| Step::Marker { producer_id, epoch_step }),
        1 => Just(Step::Restart),
    ]
}

fn facts_of(step: &Step, history: &History) -> Option<BatchFacts> {
    match *step {
        Step::Next { producer_id, records, is_transactional } => {
            let epoch = history.epoch(producer_id).unwrap_or(0);
            let facts = batch(producer_id, epoch, history.next_sequence(producer_id), records);
            Some(BatchFacts { is_transactional, ..facts })
        }
        Step::Retry { back, longer } => match *history.events.iter().rev().nth(back)? {
            Event::Batch { facts, .. } => {
                Some(BatchFacts { last_offset_delta: facts.last_offset_delta + i32::from(longer), ..facts })
            }
            Event::Marker(_) => None,
        },
        Step::Odd { producer_id, epoch_step, sequence_step, records } => {
            let epoch = history.epoch(producer_id).unwrap_or(0) + epoch_step;
            let sequence = history.next_sequence(producer_id).checked_add(sequence_step)?;
            (epoch >= 0 && sequence >= 0).then(|| batch(producer_id, epoch, sequence, records))
        }
        Step::Near { producer_id, below_greatest, records } => {
            let epoch = history.epoch(producer_id).unwrap_or(0);
            Some(batch(producer_id, epoch, i32::MAX - below_greatest, records))
        }
        Step::Marker { .. } | Step::Restart => None,
    }
}

fn restarted(states: &ProducerStates) -> ProducerStates {
    let mut bytes = Vec::new();
    encode_exact(states, &mut bytes);
    decode_exact(&bytes).unwrap()
}

proptest! {
    #[test]
    fn verdicts_follow_from_all_that_was_appended(steps in prop::collection::vec(step(), 1..120)) {
        let (mut states, mut history) = (ProducerStates::new(), History::default());
        for step in &steps {
            match *step {
                Step::Restart => states = restarted(&states),
                Step::Marker { producer_id, epoch_step } => {
                    let facts = marker(producer_id, history.epoch(producer_id).unwrap_or(0) + epoch_step, 0, 1);
                    prop_assert_eq!(states.check_marker(&facts), Ok(()));
                    prop_assert_eq!(states.commit_marker(&facts, 0), history.open_since(producer_id));
                    history.events.push(Event::Marker(facts));
                    history.log_end_offset += 1;
                }
                _ => {}
            }
            let Some(facts) = facts_of(step, &history) else { continue };
            let base_offset = history.log_end_offset;
            match (states.check(&facts), history.verdict(&facts)) {
                (Verdict::Append, Ok(None)) => {
                    let opened = history.open_since(facts.producer_id).is_none() && facts.is_transactional;
                    let begun = states.commit(&facts, base_offset, base_offset * 3);
                    prop_assert_eq!(begun, opened.then_some(base_offset));
                    history.events.push(Event::Batch { facts, base_offset });
                    history.log_end_offset += i64::from(facts.last_offset_delta) + 1;
                }
                (Verdict::Duplicate { base_offset, last_offset, timestamp }, Ok(Some(expected))) => {
                    prop_assert_eq!(base_offset, expected);
                    prop_assert_eq!(last_offset, expected + i64::from(facts.last_offset_delta));
                    prop_assert_eq!(timestamp, expected * 3);
                }
                (Verdict::Refuse(error), Err(expected)) => prop_assert_eq!(error.code, expected),
                (verdict, expected) => prop_assert!(false, "{:?}, not {:?}: {:?}", verdict, expected, facts),
            }
        }
    }

    #[test]
    fn no_facts_make_it_panic(
        batches in prop::collection::vec(
            (any::<i64>(), any::<i16>(), any::<i32>(), any::<i32>(), any::<bool>(), any::<i64>(), any::<i64>()), 1..30),
        wall_ms in any::<i64>(),
        expiration_ms in any::<i64>(),
    ) {
        let mut states = ProducerStates::new();
        for (id, producer_epoch, base_sequence, last_offset_delta, is_transactional, base_offset, timestamp) in batches {
            let producer_id = id % 3;
            let facts = BatchFacts { producer_id, producer_epoch, base_sequence, last_offset_delta, is_transactional };
            states.check(&facts);
            states.check_from_coordinator(&facts);
            states.commit(&facts, base_offset, timestamp);
            states.check(&facts);
            let facts = marker(producer_id, producer_epoch, base_sequence, producer_epoch % 3);
            if states.check_marker(&facts).is_ok() {
                states.commit_marker(&facts, timestamp);
            }
        }
        let before = states.len();
        prop_assert_eq!(before, states.expire(wall_ms, expiration_ms) + states.len());
    }
}
