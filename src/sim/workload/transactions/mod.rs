//! Clients that write in transactions, and those who read what counts.
//!
//! **Owns:** topics of its own: their offsets have gaps where markers lie, and none of their records is ever asked to be
//! deleted. A client that cannot know what became of a request stands up as another instance, which aborts what it has left
//! open.
//!
//! **Never:** has two transactions of an instance open at a time, or decides one twice.
//!
//! **Start reading at** [`producer`], then [`transactor`] and [`copier`].

pub mod copier;
pub mod drain;
pub mod items;
pub mod producer;
pub mod reader;
pub mod transactor;

use std::rc::Rc;

use super::{PATIENCE, pause};
use crate::base::prng::Prng;
use crate::io::Handle;
use crate::model::error_code::ErrorCode;
use crate::protocol::messages::{CreateTopicsRequest, MetadataRequest};
use crate::sim::client::requests::{self, Topic};
use crate::sim::client::{Lost, Session};
use crate::sim::history::Event;
use crate::sim::scene::{KnownTopic, Scene};

/// The topic between whose partitions transfers are made.
pub const BANK: &str = "bank";
/// The topic of transactions that write anything anywhere; its records are copied, too.
pub const QUEUE: &str = "queue";
/// The topic that copies go to.
pub const COPIES: &str = "copies";
/// The group whose offsets say up to where was copied.
pub const COPY_GROUP: &str = "copiers";

/// How many partitions each of these topics has.
pub fn partitions(topic: &str) -> i32 {
    match topic {
        BANK => 4,
        QUEUE => 2,
        _ => 3,
    }
}

/// The topic of this name, made if it is not there.
pub(super) async fn topic(
    io: &Handle,
    scene: &Rc<Scene>,
    random: &mut Prng,
    session: &mut Session,
    name: &str,
) -> Result<KnownTopic, Lost> {
    loop {
        if let Some(known) = scene.transactional_topic(name) {
            return Ok(known);
        }
        let request = requests::metadata(name);
        let response = session.ask::<MetadataRequest>(requests::METADATA, &request, io.now() + PATIENCE).await?;
        let answer = response.topics.first().ok_or_else(|| Lost::Malformed("Metadata without an answer".into()))?;
        if answer.error_code == 0 {
            let topic = Topic { name: name.to_owned(), id: answer.topic_id };
            let known =
                KnownTopic { topic, partitions: answer.partitions.len() as i32, deletable: false, caching: false };
            if scene.transactional_topic(name).is_none() {
                scene.record(Event::TopicMade { topic: answer.topic_id, partitions: known.partitions, caching: false });
                scene.add_transactional_topic(known.clone());
            }
            return Ok(known);
        }
        if ErrorCode::from_code(answer.error_code) == Some(ErrorCode::UnknownTopicOrPartition) {
            let configs = [
                ("internal.segment.bytes", random.between(4_000, 60_000).to_string()),
                ("index.interval.bytes", random.between(100, 2000).to_string()),
                ("retention.ms", "-1".to_owned()),
                ("message.timestamp.after.max.ms", i64::MAX.to_string()),
            ];
            let request = requests::create_topic(name, partitions(name), &configs);
            session.ask::<CreateTopicsRequest>(requests::CREATE_TOPICS, &request, io.now() + PATIENCE).await?;
        }
        pause(io, random).await;
    }
}
