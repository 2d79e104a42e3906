//! The administrator: makes and deletes topics, deletes records, alters configurations, and finds out what became of a
//! request without a reply.

use std::rc::Rc;

use crate::protocol::messages::{
    CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, IncrementalAlterConfigsRequest, MetadataRequest,
};

use super::{PATIENCE, connect, note_lost, pause};
use crate::base::prng::Prng;
use crate::base::time::Duration;
use crate::io::Handle;
use crate::model::error_code::ErrorCode;
use crate::model::ids::{PartitionId, Uuid};
use crate::sim::client::requests::{self, Topic};
use crate::sim::client::{Lost, Session};
use crate::sim::history::Event;
use crate::sim::scene::{KnownTopic, Phase, Scene};

/// Topics at a time.
const TOPICS_MAX: usize = 5;

/// How an administrator works.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Topics that exist from the beginning and stay.
    pub topics: u32,
    /// Pause between two changes, at most, in milliseconds.
    pub think_ms_max: u64,
    /// Whether it deletes records.
    pub deletes_records: bool,
    /// Whether it makes and deletes topics beyond those that stay.
    pub changes_topics: bool,
    /// `flush.ms` of topics with `write.caching`, if it makes such.
    pub flush_ms: Option<u64>,
    /// Segments are no smaller than this, in bytes: no batch is larger.
    pub segment_bytes_min: u64,
}

/// A topic to be made.
#[derive(Clone)]
struct Wish {
    name: String,
    partitions: i32,
    deletable: bool,
    caching: bool,
}

struct Admin {
    io: Handle,
    scene: Rc<Scene>,
    random: Prng,
    style: Style,
    /// A topic that was asked for and of which it is not known whether it was made.
    unknown: Option<Wish>,
    made: u32,
}

/// Administers until the process ends.
pub async fn run(io: Handle, scene: Rc<Scene>, random: Prng, style: Style) {
    let mut admin = Admin { io, scene, random, style, unknown: None, made: 0 };
    loop {
        let mut session = connect(&admin.io, &admin.scene, &mut admin.random).await;
        loop {
            let busy = admin.scene.busy();
            let result = admin.act(&mut session).await;
            drop(busy);
            if let Err(lost) = result {
                note_lost(&admin.scene, lost);
                break;
            }
            let settled = admin.unknown.is_none() && admin.has_all_that_stay();
            if settled {
                let think = Duration::from_millis(admin.random.below(admin.style.think_ms_max + 1));
                admin.io.sleep(think).await;
                while admin.scene.phase() != Phase::Running {
                    admin.io.sleep(Duration::from_millis(100)).await;
                }
            }
        }
        pause(&admin.io, &mut admin.random).await;
    }
}

impl Admin {
    fn has_all_that_stay(&self) -> bool {
        self.scene.topics().iter().filter(|known| !known.deletable).count() as u32 >= self.style.topics
    }

    async fn act(&mut self, session: &mut Session) -> Result<(), Lost> {
        if self.unknown.is_some() {
            return self.look_up(session).await;
        }
        if !self.has_all_that_stay() {
            let number = self.scene.topics().iter().filter(|known| !known.deletable).count();
            return self.create(session, format!("stays-{number}"), false).await;
        }
        match self.random.below(6) {
            0 | 1 if self.style.changes_topics && self.scene.topics_count() < TOPICS_MAX => {
                self.made += 1;
                // Names are used again: a topic of the same name is another one.
                let name = format!("goes-{}", self.made % 3);
                if self.scene.topics().iter().any(|known| known.topic.name == name) {
                    return Ok(());
                }
                self.create(session, name, true).await
            }
            2 if self.style.changes_topics => self.delete(session).await,
            3 | 4 if self.style.deletes_records => self.delete_records(session).await,
            _ => self.alter(session).await,
        }
    }

    fn segment_bytes(&mut self) -> String {
        self.random.between(self.style.segment_bytes_min, 600_000).to_string()
    }

    async fn create(&mut self, session: &mut Session, name: String, deletable: bool) -> Result<(), Lost> {
        let partitions = self.random.between(1, 3) as i32;
        let caching = self.style.flush_ms.is_some() && self.random.one_in(3);
        self.make(session, Wish { name, partitions, deletable, caching }).await
    }

    async fn make(&mut self, session: &mut Session, wish: Wish) -> Result<(), Lost> {
        let configs = [
            ("internal.segment.bytes", self.segment_bytes()),
            ("index.interval.bytes", self.random.between(100, 8000).to_string()),
            ("retention.ms", "-1".to_owned()),
            // Wall clocks jump here.
            ("message.timestamp.after.max.ms", i64::MAX.to_string()),
            ("write.caching", wish.caching.to_string()),
            ("flush.ms", self.style.flush_ms.map_or(i64::MAX, |ms| ms as i64).to_string()),
        ];
        let request = requests::create_topic(&wish.name, wish.partitions, &configs);
        self.unknown = Some(wish);
        let deadline = self.io.now() + PATIENCE;
        let response = session.ask::<CreateTopicsRequest>(requests::CREATE_TOPICS, &request, deadline).await?;
        let answer = response.topics.first().ok_or_else(|| Lost::Malformed("CreateTopics without an answer".into()))?;
        if answer.error_code == 0 {
            self.note_made(answer.topic_id);
        } else if ErrorCode::from_code(answer.error_code) != Some(ErrorCode::TopicAlreadyExists) {
            pause(&self.io, &mut self.random).await;
        }
        Ok(())
    }

    fn note_made(&mut self, id: Uuid) {
        let Some(Wish { name, partitions, deletable, caching }) = self.unknown.take() else { return };
        self.scene.record(Event::TopicMade { topic: id, partitions, caching });
        self.scene.add_topic(KnownTopic { topic: Topic { name, id }, partitions, deletable, caching });
    }

    /// Finds out whether a topic was made. One that is not there may still come, if the request is on its way; so its
    /// name counts as unknown until it is there.
    async fn look_up(&mut self, session: &mut Session) -> Result<(), Lost> {
        let Some(wish) = self.unknown.clone() else { return Ok(()) };
        let request = requests::metadata(&wish.name);
        let deadline = self.io.now() + PATIENCE;
        let response = session.ask::<MetadataRequest>(requests::METADATA, &request, deadline).await?;
        let answer = response.topics.first().ok_or_else(|| Lost::Malformed("Metadata without an answer".into()))?;
        if answer.error_code == 0 {
            let partitions = answer.partitions.len() as i32;
            self.unknown = Some(Wish { partitions, ..wish });
            self.note_made(answer.topic_id);
            return Ok(());
        }
        pause(&self.io, &mut self.random).await;
        if wish.deletable && self.random.one_in(8) {
            // It is not worth the wait. Should it come after all, nobody uses it.
            self.unknown = None;
            return Ok(());
        }
        self.make(session, wish).await
    }

    async fn delete(&mut self, session: &mut Session) -> Result<(), Lost> {
        let deletable: Vec<KnownTopic> = self.scene.topics().into_iter().filter(|known| known.deletable).collect();
        if deletable.is_empty() {
            return Ok(());
        }
        let id = deletable[self.random.below(deletable.len() as u64) as usize].topic.id;
        self.scene.record(Event::TopicDeleteAsked { topic: id });
        let request = requests::delete_topic(id);
        let deadline = self.io.now() + PATIENCE;
        let response = session.ask::<DeleteTopicsRequest>(requests::DELETE_TOPICS, &request, deadline).await;
        let answer = response.as_ref().ok().and_then(|response| response.responses.first());
        if answer.is_some_and(|answer| answer.error_code == 0) {
            self.scene.record(Event::TopicDeleted { topic: id });
        }
        // Whatever became of it, nobody counts on the topic any more.
        self.scene.remove_topic(id);
        response.map(|_| ())
    }

    async fn delete_records(&mut self, session: &mut Session) -> Result<(), Lost> {
        let Some((topic, place)) = self.scene.any_place(&mut self.random, true) else { return Ok(()) };
        let end = self.scene.known_end(place);
        if end == 0 {
            return Ok(());
        }
        let to = self.random.between(1, end as u64) as i64;
        // Rarely all, mostly some of the oldest.
        let to = if self.random.one_in(5) { to } else { to / 2 };
        self.ask_to_delete(session, &topic, place, to).await
    }

    async fn ask_to_delete(
        &mut self,
        session: &mut Session,
        topic: &Topic,
        place: PartitionId,
        to: i64,
    ) -> Result<(), Lost> {
        self.scene.record(Event::DeleteAsked { place, to });
        let asked = self.scene.moment();
        let request = requests::delete_records(&topic.name, place, to);
        let deadline = self.io.now() + PATIENCE;
        let response = session.ask::<DeleteRecordsRequest>(requests::DELETE_RECORDS, &request, deadline).await?;
        let answer = response.topics.first().and_then(|topic| topic.partitions.first());
        let answer = answer.ok_or_else(|| Lost::Malformed("DeleteRecords without an answer".into()))?;
        if answer.error_code == 0 {
            self.scene.record(Event::Deleted { place, asked, low_watermark: answer.low_watermark });
        }
        Ok(())
    }

    async fn alter(&mut self, session: &mut Session) -> Result<(), Lost> {
        let Some((topic, _)) = self.scene.any_place(&mut self.random, true) else { return Ok(()) };
        let (key, value) = match self.random.below(2) {
            0 => ("internal.segment.bytes", self.segment_bytes()),
            _ => ("index.interval.bytes", self.random.between(100, 8000).to_string()),
        };
        let request = requests::alter_config(&topic.name, key, &value);
        let deadline = self.io.now() + PATIENCE;
        let response =
            session.ask::<IncrementalAlterConfigsRequest>(requests::ALTER_CONFIGS, &request, deadline).await?;
        match response.responses.first() {
            Some(_) => Ok(()),
            None => Err(Lost::Malformed("IncrementalAlterConfigs without an answer".into())),
        }
    }
}
