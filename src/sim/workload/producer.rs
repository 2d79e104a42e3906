//! Producers: with and without idempotence, with all acks, several batches and several requests in flight.
//!
//! A batch whose reply is lost or whose refusal may pass is sent again, as it was, until it is resolved or its time is
//! over; an idempotent producer that gives a batch up begins again with a new producer id, because its sequence numbers
//! would have a gap (Kafka's clients do the same).

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::protocol::messages::produce_response::PartitionProduceResponse;
use crate::protocol::messages::{InitProducerIdRequest, ProduceRequest, ProduceResponse};
use bytes::Bytes;

use super::records;
use super::{PATIENCE, connect, note_lost, pause};
use crate::base::prng::Prng;
use crate::base::time::{Duration, Instant};
use crate::io::Handle;
use crate::model::error_code::ErrorCode;
use crate::model::ids::{PartitionId, ProducerEpoch, ProducerId};
use crate::record::Compression;
use crate::sim::client::requests::{self, Topic};
use crate::sim::client::{Lost, Session, read_reply, until};
use crate::sim::history::{BatchTag, Event, Moment, Tag};
use crate::sim::scene::{Phase, Scene};

/// Unresolved batches of one partition: what an idempotent producer may have in flight, and the broker remembers.
const BATCHES_MAX: usize = 5;
/// How long a batch is tried for (clients: `delivery.timeout.ms`).
const DELIVERY: Duration = Duration::from_secs(90);

/// How a producer works.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// 0, 1 or -1.
    pub acks: i16,
    /// With a producer id and sequence numbers; needs `acks` -1.
    pub idempotent: bool,
    /// Whether unresolved batches are sent again.
    pub retries: bool,
    /// Requests in flight.
    pub window: usize,
    /// Partitions a request, at most.
    pub places_max: u64,
    /// Pause after a reply, at most, in milliseconds.
    pub think_ms_max: u64,
    /// Whether some batches are large.
    pub large: bool,
    /// The version of its requests.
    pub version: i16,
    /// The codec of its batches.
    pub compression: Compression,
}

/// A batch that is not resolved.
struct Batch {
    tag: BatchTag,
    bytes: Bytes,
    topic: Topic,
    in_flight: bool,
    /// All batches before it had been resolved when it was sent last.
    in_order: bool,
    /// It went out at least once.
    was_sent: bool,
    born: Instant,
}

/// A request under way.
struct Flight {
    id: i32,
    asked: Moment,
    deadline: Instant,
    batches: Vec<(Topic, BatchTag)>,
}

struct Producer {
    io: Handle,
    scene: Rc<Scene>,
    name: String,
    random: Prng,
    style: Style,
    id: Option<(ProducerId, ProducerEpoch)>,
    incarnation: u32,
    next_number: u32,
    sequences: BTreeMap<PartitionId, i32>,
    /// The last record that was acknowledged in each partition.
    acked: BTreeMap<PartitionId, u32>,
    queues: BTreeMap<PartitionId, VecDeque<Batch>>,
    flights: VecDeque<Flight>,
    /// Nothing is sent before: a refusal asked for a pause.
    not_before: Instant,
}

/// Produces until the process ends.
pub async fn run(io: Handle, scene: Rc<Scene>, name: String, random: Prng, style: Style) {
    let incarnation = scene.producer();
    let not_before = io.now();
    let mut producer = Producer {
        io,
        scene,
        name,
        random,
        style,
        id: None,
        incarnation,
        next_number: 0,
        sequences: BTreeMap::new(),
        acked: BTreeMap::new(),
        queues: BTreeMap::new(),
        flights: VecDeque::new(),
        not_before,
    };
    loop {
        producer.wait_for_work().await;
        let busy = producer.scene.busy();
        while !producer.is_at_rest() {
            let lost = producer.work().await;
            note_lost(&producer.scene, lost);
            producer.abandon_flights();
            pause(&producer.io, &mut producer.random).await;
        }
        drop(busy);
    }
}

impl Producer {
    async fn wait_for_work(&mut self) {
        while self.is_at_rest() {
            self.io.sleep(Duration::from_millis(100)).await;
        }
    }

    fn is_at_rest(&self) -> bool {
        let running = self.scene.phase() == Phase::Running && self.scene.topics_count() > 0;
        !running && self.queues.values().all(VecDeque::is_empty)
    }

    /// Works over one connection until it is lost or there is nothing to do.
    async fn work(&mut self) -> Lost {
        let mut session = connect(&self.io, &self.scene, &mut self.random).await;
        if self.style.idempotent && self.id.is_none() {
            match self.ask_for_id(&mut session).await {
                Ok(id) => self.id = Some(id),
                Err(lost) => return lost,
            }
        }
        loop {
            self.give_up_overdue();
            if self.style.idempotent && self.id.is_none() || self.is_at_rest() && self.flights.is_empty() {
                return Lost::Connection;
            }
            match self.exchange(&mut session).await {
                Ok(()) => {}
                Err(lost) => return lost,
            }
        }
    }

    /// Sends what there is to send, takes one reply, and thinks.
    async fn exchange(&mut self, session: &mut Session) -> Result<(), Lost> {
        while self.flights.len() < self.style.window && self.io.now() >= self.not_before {
            let batches = self.next_batches();
            if batches.is_empty() {
                break;
            }
            self.send(session, &batches).await?;
            if self.style.acks == 0 {
                break;
            }
        }
        if let Some(flight) = self.flights.front() {
            let frame = session.receive(flight.deadline).await?;
            let flight = self.flights.pop_front().expect("just looked at");
            let response = read_reply::<ProduceRequest>(self.style.version, &frame, flight.id)?;
            self.take_reply(&flight, &response)?;
        }
        let think = self.random.below(self.style.think_ms_max * 1000 + 1);
        let pause = Duration::from_micros(think).max(self.not_before.since(self.io.now()));
        if self.style.acks == 0 {
            // Nothing else would notice that the broker has closed the connection.
            let deadline = self.io.now() + pause.max(Duration::from_millis(1));
            match until(&self.io, deadline, session.receive(deadline)).await {
                None | Some(Err(Lost::Timeout)) => {}
                Some(Err(lost)) => return Err(lost),
                Some(Ok(_)) => return Err(Lost::Malformed("a reply to a request with acks=0".into())),
            }
        } else if think > 0 {
            self.io.sleep(pause).await;
        }
        Ok(())
    }

    async fn ask_for_id(&mut self, session: &mut Session) -> Result<(ProducerId, ProducerEpoch), Lost> {
        let request = requests::init_producer_id();
        let deadline = self.io.now() + PATIENCE;
        let response = session.ask::<InitProducerIdRequest>(requests::INIT_PRODUCER_ID, &request, deadline).await?;
        if response.error_code == 0 {
            Ok((response.producer_id.0, response.producer_epoch))
        } else {
            pause(&self.io, &mut self.random).await;
            Err(Lost::Connection)
        }
    }

    /// What goes into the next request: of each chosen partition the first batch that waits, or a new one.
    fn next_batches(&mut self) -> Vec<BatchTag> {
        let waiting = |queue: &VecDeque<Batch>| queue.iter().any(|batch| !batch.in_flight);
        let mut places: Vec<PartitionId> =
            self.queues.iter().filter(|(_, queue)| waiting(queue)).map(|(place, _)| *place).collect();
        if self.scene.phase() == Phase::Running {
            for _ in 0..self.random.between(1, self.style.places_max) {
                let named = self.style.version < requests::TOPIC_IDS_FROM;
                let Some((topic, place)) = self.scene.any_place(&mut self.random, named) else { break };
                let queue = self.queues.entry(place).or_default();
                if queue.len() < BATCHES_MAX && queue.iter().all(|batch| batch.in_flight) {
                    self.make_batch(topic, place);
                    places.push(place);
                }
            }
        }
        places.sort_unstable();
        places.dedup();
        let mut chosen = Vec::new();
        for place in places {
            let queue = self.queues.get_mut(&place).expect("it has a batch");
            let at = queue.iter().position(|batch| !batch.in_flight).expect("one of them waits");
            // What stands behind one that waits is refused anyway; one that waits goes out when those are back.
            if queue.iter().skip(at).any(|batch| batch.in_flight) {
                continue;
            }
            queue[at].in_flight = true;
            queue[at].was_sent = true;
            queue[at].in_order = at == 0;
            chosen.push(queue[at].tag);
        }
        chosen
    }

    fn make_batch(&mut self, topic: Topic, place: PartitionId) {
        let sizes = records::sizes(&mut self.random, self.style.large);
        let count = sizes.len() as u32;
        let first = Tag { producer: self.incarnation, number: self.next_number };
        self.next_number += count;
        let tag = BatchTag { place, first, count, acks: self.style.acks, idempotent: self.style.idempotent };
        let sequence = self.sequences.entry(place).or_default();
        let by = self.id.map(|(id, epoch)| (id, epoch, *sequence));
        *sequence += count as i32;
        let bytes = records::batch(tag, self.io.wall_ms(), &sizes, self.style.compression, by);
        let batch = Batch {
            tag,
            bytes: bytes.into(),
            topic,
            in_flight: false,
            in_order: false,
            was_sent: false,
            born: self.io.now(),
        };
        self.queues.entry(place).or_default().push_back(batch);
    }

    async fn send(&mut self, session: &mut Session, batches: &[BatchTag]) -> Result<(), Lost> {
        let (mut data, mut sent) = (Vec::new(), Vec::new());
        for tag in batches {
            let queue = self.queues.get(&tag.place).expect("it was chosen from there");
            let batch = queue.iter().find(|batch| batch.tag == *tag).expect("it was chosen from there");
            data.push((batch.topic.clone(), tag.place.index, batch.bytes.clone()));
            sent.push((batch.topic.clone(), *tag));
            self.scene.record(Event::Sent { batch: *tag });
        }
        let asked = self.scene.moment();
        let deadline = self.io.now() + PATIENCE;
        let request = requests::produce(self.style.version, self.style.acks, &data);
        if self.style.acks == 0 {
            // There will be no reply; whatever becomes of them, they are done with.
            for tag in batches {
                self.resolve(*tag);
                self.scene.record(Event::GivenUp { batch: *tag });
            }
        }
        let id = session.send(self.style.version, &request, deadline).await?;
        if self.style.acks == 0 {
            self.scene.progressed(&self.name);
        } else {
            self.flights.push_back(Flight { id, asked, deadline, batches: sent });
        }
        Ok(())
    }

    fn take_reply(&mut self, flight: &Flight, response: &ProduceResponse) -> Result<(), Lost> {
        let mut answered = 0;
        for topic in &response.responses {
            for partition in &topic.partition_responses {
                let by_id = self.style.version >= requests::TOPIC_IDS_FROM;
                let about = |(known, tag): &&(Topic, BatchTag)| {
                    let same = if by_id { known.id == topic.topic_id } else { *known.name == **topic.name };
                    same && tag.place.index == partition.index
                };
                let Some((_, tag)) = flight.batches.iter().find(about) else {
                    return Err(Lost::Malformed(format!(
                        "an answer about partition {} not asked about",
                        partition.index
                    )));
                };
                answered += 1;
                self.settle(flight, *tag, partition);
            }
        }
        if answered != flight.batches.len() {
            return Err(Lost::Malformed(format!("{answered} answers to {} batches", flight.batches.len())));
        }
        Ok(())
    }

    fn settle(&mut self, flight: &Flight, tag: BatchTag, answer: &PartitionProduceResponse) {
        let asked = flight.asked;
        let queue = self.queues.entry(tag.place).or_default();
        let Some(batch) = queue.iter_mut().find(|batch| batch.tag == tag) else { return };
        batch.in_flight = false;
        let in_order = batch.in_order;
        let code = ErrorCode::from_code(answer.error_code).unwrap_or(ErrorCode::UnknownServerError);
        match code {
            ErrorCode::None => {
                let (base_offset, log_start) = (answer.base_offset, answer.log_start_offset);
                self.resolve(tag);
                let last = self.acked.entry(tag.place).or_insert(0);
                *last = (*last).max(tag.first.number);
                self.scene.record(Event::Acked { batch: tag, asked, base_offset, log_start });
                self.scene.progressed(&self.name);
                return;
            }
            // It stands in the log, at an offset that the broker no longer knows.
            ErrorCode::DuplicateSequenceNumber => {
                self.resolve(tag);
                return self.scene.record(Event::GivenUp { batch: tag });
            }
            _ => {}
        }
        // A partition in which nothing of a producer stands takes any sequence number as its first; so where the first batch
        // was refused (a full disk) and those sent right behind it were not, it comes too late for ever. Kafka does the same. They
        // need not be acknowledged for it: the storage may fail under one that was taken.
        let overtaken = match self.acked.get(&tag.place) {
            Some(last) => *last > tag.first.number,
            None => queue.iter().any(|other| other.was_sent && other.tag.first.number > tag.first.number),
        };
        self.scene.record(Event::Refused { batch: tag, asked, code, in_order: in_order && !overtaken });
        match code {
            ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition => self.forget_place(tag.place),
            ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId | ErrorCode::InvalidProducerEpoch
                if in_order =>
            {
                self.begin_anew();
            }
            _ if !self.style.retries => {
                self.resolve(tag);
                self.scene.record(Event::GivenUp { batch: tag });
            }
            _ => self.not_before = self.io.now() + Duration::from_millis(self.random.between(5, 300)),
        }
    }

    fn resolve(&mut self, tag: BatchTag) {
        let queue = self.queues.entry(tag.place).or_default();
        queue.retain(|batch| batch.tag != tag);
    }

    fn forget_place(&mut self, place: PartitionId) {
        for batch in self.queues.remove(&place).unwrap_or_default() {
            self.scene.record(Event::GivenUp { batch: batch.tag });
        }
    }

    /// Gives up everything and takes a new producer id.
    fn begin_anew(&mut self) {
        let places: Vec<PartitionId> = self.queues.keys().copied().collect();
        places.into_iter().for_each(|place| self.forget_place(place));
        self.id = None;
        self.sequences.clear();
        self.acked.clear();
        self.incarnation = self.scene.producer();
        self.next_number = 0;
    }

    fn give_up_overdue(&mut self) {
        let now = self.io.now();
        let overdue = |batch: &Batch| !batch.in_flight && now.since(batch.born) > DELIVERY;
        let late: Vec<BatchTag> =
            self.queues.values().flatten().filter(|batch| overdue(batch)).map(|batch| batch.tag).collect();
        if late.is_empty() {
            return;
        }
        if self.style.idempotent {
            return self.begin_anew();
        }
        for tag in late {
            self.resolve(tag);
            self.scene.record(Event::GivenUp { batch: tag });
        }
    }

    /// The connection is lost: nobody will answer what is under way.
    fn abandon_flights(&mut self) {
        for flight in std::mem::take(&mut self.flights) {
            for (_, tag) in flight.batches {
                if !self.style.retries {
                    self.resolve(tag);
                    self.scene.record(Event::GivenUp { batch: tag });
                }
            }
        }
        for batch in self.queues.values_mut().flatten() {
            batch.in_flight = false;
        }
    }
}
