//! No refusal without a reason: a producer whose earlier batches are all acknowledged is never out of order, no sound batch
//! is called damaged, no stored one is damaged, and nothing is answered with what no schema allows.

use super::Checker;
use super::cached::Cached;
use crate::model::error_code::ErrorCode;
use crate::sim::history::{Event, Moment};

/// See the module.
#[derive(Default)]
pub struct Refusals {
    /// Refusals about damage are well founded.
    damaged: bool,
    cached: Cached,
    /// The broker has ended at least once.
    ended: bool,
}

impl Checker for Refusals {
    fn name(&self) -> &'static str {
        "refusals"
    }

    fn observe(&mut self, moment: Moment, event: &Event) -> Result<(), String> {
        self.ended |= self.cached.observe(moment, event).is_some();
        match event {
            Event::Refused { batch, code, in_order, .. } => {
                // A crash took batches before it that were acknowledged.
                let may_lack = self.ended && self.cached.holds(batch.place);
                let unfounded = match code {
                    ErrorCode::OutOfOrderSequenceNumber if may_lack => false,
                    ErrorCode::OutOfOrderSequenceNumber
                    | ErrorCode::UnknownProducerId
                    | ErrorCode::InvalidProducerEpoch => *in_order,
                    // What may pass, or what only other checkers can judge.
                    ErrorCode::KafkaStorageError
                    | ErrorCode::NotLeaderOrFollower
                    | ErrorCode::RequestTimedOut
                    | ErrorCode::UnknownTopicOrPartition
                    | ErrorCode::UnknownTopicId => false,
                    _ => true,
                };
                if unfounded { Err(format!("batch {batch:?} was refused with {code}")) } else { Ok(()) }
            }
            Event::LastCopyDamaged { .. } => {
                self.damaged = true;
                Ok(())
            }
            Event::ReadRefused { code: ErrorCode::CorruptMessage, .. } if self.damaged => Ok(()),
            Event::ReadRefused { place, from, code, .. } => match code {
                ErrorCode::KafkaStorageError
                | ErrorCode::NotLeaderOrFollower
                | ErrorCode::UnknownTopicOrPartition
                | ErrorCode::UnknownTopicId
                | ErrorCode::OffsetOutOfRange => Ok(()),
                code => Err(format!("{place}: a read from offset {from} was refused with {code}")),
            },
            Event::StartRefused { why } if why.contains("is damaged") && !self.damaged => {
                Err(format!("the broker does not start: {why}"))
            }
            Event::Malformed { what } => Err(what.clone()),
            _ => Ok(()),
        }
    }
}
