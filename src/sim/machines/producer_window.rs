//! What a partition remembers of its producers, against the list of all batches that it ever took.

use std::collections::BTreeMap;

use super::same;
use crate::base::prng::Prng;
use crate::model::error_code::ErrorCode;
use crate::model::ids::{ProducerEpoch, ProducerId};
use crate::model::offset::Offset;
use crate::producer::entry::BATCHES_RETAINED;
use crate::producer::snapshot;
use crate::producer::state::{BatchFacts, ProducerStates, Verdict};

const STEPS_MAX: u64 = 300;
const PRODUCERS: u64 = 4;
/// Sequence numbers are 31 bits and begin anew at 0.
const SEQUENCES: i64 = 1 << 31;
/// `producer.id.expiration.ms`, so that some expire.
const EXPIRATION_MS: i64 = 2_000;

/// A batch that was taken: its first and last sequence number, the offset of its first record.
type Taken = (i64, i64, Offset);

#[derive(Default)]
struct Known {
    epoch: ProducerEpoch,
    /// All batches of the epoch.
    taken: Vec<Taken>,
    last_timestamp: i64,
}

struct Both {
    random: Prng,
    states: ProducerStates,
    model: BTreeMap<ProducerId, Known>,
    next_offset: Offset,
    wall_ms: i64,
}

/// Sends batches in order, again, out of order and from other epochs; forgets the silent; stores and reads back.
pub(super) fn check(mut random: Prng) -> Result<(), String> {
    let steps = random.between(1, STEPS_MAX);
    let (states, model) = (ProducerStates::new(), BTreeMap::new());
    let mut both = Both { random, states, model, next_offset: 0, wall_ms: 0 };
    for _ in 0..steps {
        both.wall_ms += both.random.below(50) as i64;
        match both.random.below(40) {
            0 => both.expire()?,
            1 => both.store()?,
            _ => both.send()?,
        }
    }
    Ok(())
}

impl Both {
    fn facts(&mut self) -> BatchFacts {
        let producer_id = self.random.below(PRODUCERS) as ProducerId;
        let mut count = self.random.between(1, 5) as i64;
        let known = self.model.get(&producer_id);
        let mut producer_epoch = known.map_or(0, |known| known.epoch);
        let next = known.and_then(|known| known.taken.last()).map_or(0, |(_, last, _)| (last + 1) % SEQUENCES);
        let first = match self.random.below(10) {
            // Again, one of the last few.
            0..=2 if known.is_some_and(|known| !known.taken.is_empty()) => {
                let taken = &self.model[&producer_id].taken;
                let back = self.random.below((taken.len() as u64).min(8)) as usize;
                let (first, last, _) = taken[taken.len() - 1 - back];
                count = (last - first).rem_euclid(SEQUENCES) + 1;
                first
            }
            3 => self.random.below(20) as i64,
            4 => {
                producer_epoch += self.random.between(0, 2) as ProducerEpoch - 1;
                if self.random.one_in(2) { 0 } else { next }
            }
            // Of a producer of which nothing is known any number may come first: also one that soon begins anew.
            _ if known.is_none() && self.random.one_in(2) => SEQUENCES - self.random.between(1, 20) as i64,
            _ => next,
        };
        BatchFacts {
            producer_id,
            producer_epoch: producer_epoch.max(0),
            base_sequence: i32::try_from(first).expect("below 2^31"),
            last_offset_delta: count as i32 - 1,
            is_transactional: false,
        }
    }

    fn expected(&self, facts: &BatchFacts) -> Result<Option<Offset>, ErrorCode> {
        let Some(known) = self.model.get(&facts.producer_id) else { return Ok(None) };
        let first = i64::from(facts.base_sequence);
        let last = (first + i64::from(facts.last_offset_delta)) % SEQUENCES;
        if facts.producer_epoch < known.epoch {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        if facts.producer_epoch > known.epoch {
            return if first == 0 { Ok(None) } else { Err(ErrorCode::OutOfOrderSequenceNumber) };
        }
        let mut recent = known.taken.iter().rev().take(BATCHES_RETAINED);
        if let Some((_, _, offset)) = recent.find(|taken| (taken.0, taken.1) == (first, last)) {
            return Ok(Some(*offset));
        }
        let (_, before, _) = known.taken.last().expect("an epoch is known by its batches");
        if (before + 1) % SEQUENCES == first { Ok(None) } else { Err(ErrorCode::OutOfOrderSequenceNumber) }
    }

    fn send(&mut self) -> Result<(), String> {
        let facts = self.facts();
        let expected = self.expected(&facts);
        let said = match self.states.check(&facts) {
            Verdict::Append => Ok(None),
            Verdict::Duplicate { base_offset, .. } => Ok(Some(base_offset)),
            Verdict::Refuse(error) => Err(error.code),
        };
        same(|| format!("{facts:?}"), &said, &expected)?;
        if said == Ok(None) {
            self.take(&facts);
        }
        let last = self.model.get(&facts.producer_id).and_then(|known| known.taken.last());
        let remembered = self.states.get(facts.producer_id).map(|entry| i64::from(entry.last_sequence()));
        same(|| format!("the last number of producer {}", facts.producer_id), &remembered, &last.map(|last| last.1))
    }

    fn take(&mut self, facts: &BatchFacts) {
        self.states.commit(facts, self.next_offset, self.wall_ms);
        let known = self.model.entry(facts.producer_id).or_default();
        if known.epoch != facts.producer_epoch {
            *known = Known { epoch: facts.producer_epoch, ..Known::default() };
        }
        let first = i64::from(facts.base_sequence);
        let last = (first + i64::from(facts.last_offset_delta)) % SEQUENCES;
        known.taken.push((first, last, self.next_offset));
        known.last_timestamp = self.wall_ms;
        self.next_offset += i64::from(facts.last_offset_delta) + 1;
    }

    fn expire(&mut self) -> Result<(), String> {
        let forgotten = self.states.expire(self.wall_ms, EXPIRATION_MS);
        let before = self.model.len();
        self.model.retain(|_, known| self.wall_ms - known.last_timestamp < EXPIRATION_MS);
        same(|| "producers forgotten".into(), &forgotten, &(before - self.model.len()))
    }

    fn store(&mut self) -> Result<(), String> {
        let stored = snapshot::encode(&self.states);
        self.states = snapshot::decode(&stored).map_err(|why| format!("a snapshot: {why}"))?;
        // Kafka's format has the last batch of each producer; a start replays the others from the log.
        for known in self.model.values_mut() {
            known.taken.drain(..known.taken.len() - 1);
        }
        Ok(())
    }
}
