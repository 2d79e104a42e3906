//! Copiers: each consumes one partition of the queue with `read_committed`, and writes what it read, together with how far it
//! read, in one transaction; so each record is copied once, in order, whatever happens. Two may run with one transactional id.

use std::rc::Rc;

use super::items;
use super::producer::{self, Over, TransactionalProducer};
use super::{COPIES, COPY_GROUP, QUEUE, topic};
use crate::base::prng::Prng;
use crate::base::time::Duration;
use crate::io::Handle;
use crate::model::error_code::ErrorCode;
use crate::model::ids::PartitionId;
use crate::model::offset::Offset;
use crate::protocol::messages::FetchRequest;
use crate::sim::client::groups;
use crate::sim::client::requests::{self, FetchLimits};
use crate::sim::history::Event;
use crate::sim::history::transactions::{Content, Item};
use crate::sim::scene::{KnownTopic, Phase, Scene};
use crate::sim::workload::{PATIENCE, pause};

/// The version of the fetches.
const VERSION: i16 = 12;

/// How a copier works.
#[derive(Clone, Debug)]
pub struct Style {
    /// Who it is.
    pub producer: producer::Style,
    /// The partition that it copies.
    pub partition: i32,
    /// One transaction in so many is aborted.
    pub aborts_one_in: u64,
    /// Pause between two transactions, at most, in milliseconds.
    pub think_ms_max: u64,
}

struct Copier {
    producer: TransactionalProducer,
    style: Style,
    topics: Option<(KnownTopic, KnownTopic)>,
    /// What is to be read next; unknown after each new start.
    position: Option<Offset>,
}

/// Copies until the process ends.
pub async fn run(io: Handle, scene: Rc<Scene>, name: String, random: Prng, style: Style) {
    let producer = TransactionalProducer::new(io, scene, random, "copier", style.producer.clone());
    let mut copier = Copier { producer, style, topics: None, position: None };
    loop {
        while copier.producer.scene.phase() != Phase::Running {
            copier.producer.io.sleep(Duration::from_millis(100)).await;
        }
        let busy = copier.producer.scene.busy();
        let done = copier.step().await;
        drop(busy);
        match done {
            Ok(()) => copier.producer.scene.progressed(&name),
            Err(over) => {
                copier.producer.fall();
                copier.position = None;
                if over == Over::Fenced {
                    let wait = copier.producer.random.between(100, 4_000);
                    copier.producer.io.sleep(Duration::from_millis(wait)).await;
                }
                pause(&copier.producer.io, &mut copier.producer.random).await;
            }
        }
        let think = copier.producer.random.below(copier.style.think_ms_max + 1);
        copier.producer.io.sleep(Duration::from_millis(think)).await;
    }
}

impl Copier {
    async fn step(&mut self) -> Result<(), Over> {
        let (from, to) = self.topics().await?;
        if !self.producer.is_up() {
            self.producer.stand_up().await?;
            self.position = None;
        }
        let position = match self.position {
            Some(position) => position,
            None => self.committed(&from).await?,
        };
        self.position = Some(position);
        let part = self.read(&from, position).await?;
        if part.next == position {
            return Ok(());
        }
        self.producer.begin();
        let batches = self.copies(&part.visible, to.partitions);
        if !batches.is_empty() {
            self.producer.send(&to.topic, &batches).await?;
        }
        self.producer.send_offset(COPY_GROUP, &from.topic, self.style.partition, part.next).await?;
        let commit = !self.producer.random.one_in(self.style.aborts_one_in);
        self.producer.end(commit).await?;
        self.position = if commit { Some(part.next) } else { None };
        Ok(())
    }

    /// The copies of what was read, by the partition they go to: all from one offset on go to the next one.
    fn copies(&mut self, read: &[(Offset, Item)], partitions: i32) -> Vec<(i32, Vec<Item>)> {
        let mut batches: Vec<(i32, Vec<Item>)> = Vec::new();
        for (offset, _) in read {
            let to = (offset % i64::from(partitions)) as i32;
            let copy = self.producer.item(Content::Copy { from: self.style.partition, offset: *offset });
            match batches.iter_mut().find(|(index, _)| *index == to) {
                Some((_, items)) => items.push(copy),
                None => batches.push((to, vec![copy])),
            }
        }
        batches
    }

    async fn topics(&mut self) -> Result<(KnownTopic, KnownTopic), Over> {
        if let Some(topics) = &self.topics {
            return Ok(topics.clone());
        }
        let (io, scene) = (self.producer.io.clone(), Rc::clone(&self.producer.scene));
        let mut random = self.producer.random.split("topic");
        let session = self.producer.session().await;
        let from = topic(&io, &scene, &mut random, session, QUEUE).await;
        let to = match &from {
            Ok(_) => topic(&io, &scene, &mut random, session, COPIES).await,
            Err(lost) => Err(lost.clone()),
        };
        match (from, to) {
            (Ok(from), Ok(to)) => {
                self.topics = Some((from.clone(), to.clone()));
                Ok((from, to))
            }
            (_, Err(lost)) | (Err(lost), _) => {
                self.producer.lost(lost);
                Err(Over::Unknown)
            }
        }
    }

    /// How far was copied: nothing may be pending.
    async fn committed(&mut self, from: &KnownTopic) -> Result<Offset, Over> {
        let deadline = self.producer.io.now() + PATIENCE;
        let session = self.producer.session().await;
        let fetched =
            groups::fetch_offsets(session, COPY_GROUP, &[(&from.topic, self.style.partition)], deadline).await;
        match fetched {
            Ok(Ok(offsets)) => Ok(offsets.first().map_or(0, |known| known.offset.max(0))),
            Ok(Err(_)) => Err(Over::Unknown),
            Err(lost) => {
                self.producer.lost(lost);
                Err(Over::Unknown)
            }
        }
    }

    async fn read(&mut self, from: &KnownTopic, position: Offset) -> Result<items::Part, Over> {
        let limits = FetchLimits {
            wait_ms_max: 300,
            bytes_min: 1,
            bytes_max: 1 << 20,
            partition_bytes_max: self.producer.random.between(1, 2_000) as i32,
            session: (0, -1),
        };
        let place = PartitionId { topic: from.topic.id, index: self.style.partition };
        let request = requests::fetch(VERSION, &limits, &[(from.topic.clone(), place.index, position)]);
        let request = request.with_isolation_level(requests::READ_COMMITTED);
        let deadline = self.producer.io.now() + PATIENCE;
        let session = self.producer.session().await;
        let answered = session.ask::<FetchRequest>(VERSION, &request, deadline).await;
        let response = answered.map_err(|lost| {
            self.producer.lost(lost);
            Over::Unknown
        })?;
        let data = response.responses.first().and_then(|topic| topic.partitions.first());
        let Some(data) = data else { return Ok(items::Part { next: position, ..items::Part::default() }) };
        if data.error_code != 0 {
            let (asked, code) = (self.producer.scene.moment(), ErrorCode::from_code(data.error_code));
            let code = code.unwrap_or(ErrorCode::UnknownServerError);
            self.producer.scene.record(Event::ReadRefused { place, asked, from: position, code });
            return Err(Over::Unknown);
        }
        items::read(place, position, data).map_err(|what| {
            self.producer.scene.record(Event::Malformed { what });
            Over::Unknown
        })
    }
}
