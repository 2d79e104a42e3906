//! A topic that was made is there until somebody asks for its deletion, and one that was deleted never comes back.

use std::collections::BTreeMap;

use super::Checker;
use crate::model::error_code::ErrorCode;
use crate::model::ids::{PartitionId, Uuid};
use crate::sim::history::{Event, Moment};

/// See the module.
#[derive(Default)]
pub struct Topics {
    known: BTreeMap<Uuid, Topic>,
}

#[derive(Clone, Copy, Default)]
struct Topic {
    delete_asked: bool,
    /// When its deletion was acknowledged.
    deleted: Option<Moment>,
}

impl Topics {
    fn used(&self, place: PartitionId, asked: Moment) -> Result<(), String> {
        match self.known.get(&place.topic).and_then(|topic| topic.deleted) {
            Some(deleted) if deleted <= asked => Err(format!("{place} serves, though its topic was deleted")),
            _ => Ok(()),
        }
    }

    fn missed(&self, place: PartitionId, code: ErrorCode) -> Result<(), String> {
        let gone = matches!(code, ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition);
        match self.known.get(&place.topic) {
            Some(topic) if gone && !topic.delete_asked => {
                Err(format!("{place} is unknown ({code}), though it was made"))
            }
            _ => Ok(()),
        }
    }
}

impl Checker for Topics {
    fn name(&self) -> &'static str {
        "topics"
    }

    fn observe(&mut self, moment: Moment, event: &Event) -> Result<(), String> {
        match event {
            Event::TopicMade { topic, .. } => {
                self.known.entry(*topic).or_default();
                Ok(())
            }
            Event::TopicDeleteAsked { topic } => {
                self.known.entry(*topic).or_default().delete_asked = true;
                Ok(())
            }
            Event::TopicDeleted { topic } => {
                self.known.entry(*topic).or_default().deleted = Some(moment);
                Ok(())
            }
            Event::Acked { batch, asked, .. } => self.used(batch.place, *asked),
            Event::Read { place, asked, .. } => self.used(*place, *asked),
            Event::Refused { batch, code, .. } => self.missed(batch.place, *code),
            Event::ReadRefused { place, code, .. } => self.missed(*place, *code),
            Event::TopicsListed { topics } => {
                for (id, topic) in &self.known {
                    let listed = topics.contains(id);
                    if !listed && !topic.delete_asked {
                        return Err(format!("topic {id} was made and is not listed"));
                    }
                    if listed && topic.deleted.is_some() {
                        return Err(format!("topic {id} was deleted and is listed"));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
