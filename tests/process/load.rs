//! Load on a broker that may end at any moment, and what became of it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flumen::base::prng::Prng;
use flumen::model::error_code::ErrorCode;
use flumen::protocol::StrBytes;
use flumen::protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use flumen::protocol::messages::delete_topics_request::DeleteTopicState;
use flumen::protocol::messages::produce_response::PartitionProduceResponse;
use flumen::protocol::messages::{
    CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, FetchRequest, ProduceRequest,
    create_topics_request::CreatableTopic,
};
use flumen::record::{self, BatchBuilder, BatchHeader};

use super::client::{Client, batch, fetch_request, fetched, name, produce_request};
use super::ledger::{Built, EARLIEST, LATEST, Name, Place, try_list_offset, write_name};

/// Requests of a writer under way. A broker remembers the last five batches of a producer: with four that are in doubt,
/// the one that was acknowledged before them is still among them.
const IN_FLIGHT: usize = 4;
const PRODUCE_VERSION: i16 = 11;
const FETCH_VERSION: i16 = 12;

/// A batch that was built.
#[derive(Clone, Debug)]
pub struct Batch {
    pub name: Name,
    pub bytes: Vec<u8>,
}

/// What one writer sends to one partition.
#[derive(Debug)]
pub struct Lane {
    pub place: Place,
    next_number: u32,
    next_sequence: i32,
    /// Sent and not acknowledged when the broker ended, oldest first.
    in_doubt: VecDeque<Batch>,
    pub last_acknowledged: Option<(Batch, i64)>,
}

/// How large a writer's batches are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Through the journal.
    Small,
    /// Mostly past the journal, straight to the segments.
    Large,
}

/// One producer with a connection of its own.
#[derive(Debug)]
pub struct Writer {
    pub id: u32,
    /// Producer id and epoch of an idempotent one.
    pub producer: Option<(i64, i16)>,
    pub acks: i16,
    pub size: Size,
    pub lanes: Vec<Lane>,
    pub random: Prng,
    pub report: Report,
}

/// What became of a writer's batches, since it was last asked.
#[derive(Debug, Default)]
pub struct Report {
    pub built: Vec<(Place, Name, Built)>,
    pub acknowledged: Vec<(Place, i64, Name)>,
}

type Flight = (i32, Vec<(usize, Batch)>);

impl Lane {
    pub fn new(place: Place) -> Lane {
        Lane { place, next_number: 0, next_sequence: 0, in_doubt: VecDeque::new(), last_acknowledged: None }
    }
}

impl Writer {
    /// Writes until the broker ends.
    pub fn run(mut self, address: SocketAddr) -> Writer {
        let Ok(mut client) = Client::try_connect(address) else { return self };
        let mut flying: VecDeque<Flight> = VecDeque::new();
        loop {
            if flying.len() < IN_FLIGHT {
                let batches = self.next_batches();
                let request = self.request(&batches);
                let sent = client.try_send(PRODUCE_VERSION, &request);
                flying.push_back((sent.as_ref().copied().unwrap_or(-1), batches));
                if sent.is_err() {
                    break;
                }
                if self.size == Size::Large {
                    thread::sleep(Duration::from_millis(self.random.below(8)));
                }
                continue;
            }
            let (id, batches) = flying.pop_front().unwrap();
            let Some(response) = client.try_receive::<ProduceRequest>(PRODUCE_VERSION, id) else {
                flying.push_front((id, batches));
                break;
            };
            let answers = response.responses.iter().flat_map(|topic| &topic.partition_responses);
            for ((lane, batch), answer) in batches.into_iter().zip(answers) {
                self.acknowledge(lane, batch, answer);
            }
        }
        self.doubt(flying);
        self
    }

    /// A broker that stops cleanly answers what it has read: the replies that came before the end.
    fn doubt(&mut self, flying: VecDeque<Flight>) {
        let mut unsure: Vec<VecDeque<Batch>> = self.lanes.iter().map(|_| VecDeque::new()).collect();
        for (_, batches) in flying {
            batches.into_iter().for_each(|(lane, batch)| unsure[lane].push_back(batch));
        }
        for (lane, mut unsure) in self.lanes.iter_mut().zip(unsure) {
            if self.producer.is_some() {
                unsure.append(&mut lane.in_doubt);
                lane.in_doubt = unsure;
            }
        }
    }

    fn request(&self, batches: &[(usize, Batch)]) -> ProduceRequest {
        let batches: Vec<_> = batches
            .iter()
            .map(|(lane, batch)| {
                let place = self.lanes[*lane].place;
                (place.topic, place.partition, batch.bytes.clone())
            })
            .collect();
        produce_request(self.acks, &batches)
    }

    fn next_batches(&mut self) -> Vec<(usize, Batch)> {
        let lanes = self.lanes.len();
        let first = self.random.below(lanes as u64) as usize;
        let count = self.random.between(1, lanes.min(3) as u64) as usize;
        let chosen = (0..count).map(|at| (first + at) % lanes);
        chosen.map(|lane| (lane, self.next_batch(lane))).collect()
    }

    fn next_batch(&mut self, lane: usize) -> Batch {
        if let Some(repeated) = self.lanes[lane].in_doubt.pop_front() {
            return repeated;
        }
        let (records, bytes_max) = match self.size {
            Size::Small => (self.random.between(1, 12), 400),
            Size::Large => (self.random.between(1, 4), 150_000),
        };
        let lane = &mut self.lanes[lane];
        let name = Name { writer: self.id, number: lane.next_number };
        let mut builder = BatchBuilder::new();
        if let Some((id, epoch)) = self.producer {
            builder = builder.producer(id, epoch, lane.next_sequence);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        for _ in 0..records {
            let mut value = vec![0; self.random.between(1, bytes_max) as usize];
            self.random.fill(&mut value);
            builder.append(now, Some(write_name(name).as_bytes()), Some(&value), &[]);
        }
        let bytes = builder.build(0);
        lane.next_number += 1;
        lane.next_sequence += records as i32;
        let crc = BatchHeader::read(&bytes).unwrap().crc();
        let built = Built { crc, records: records as i32, is_idempotent: self.producer.is_some() };
        self.report.built.push((lane.place, name, built));
        Batch { name, bytes }
    }

    fn acknowledge(&mut self, lane: usize, batch: Batch, answer: &PartitionProduceResponse) {
        let lane = &mut self.lanes[lane];
        let text = answer.error_message.as_ref();
        assert_eq!(answer.error_code, 0, "{:?}, {:?}: {text:?}", lane.place, batch.name);
        assert_eq!(answer.index, lane.place.partition);
        self.report.acknowledged.push((lane.place, answer.base_offset, batch.name));
        lane.last_acknowledged = Some((batch, answer.base_offset));
    }

    /// Sends the last acknowledged batch of each lane again, as a producer does whose reply was lost.
    pub fn repeat_last(&self, client: &mut Client) {
        for lane in &self.lanes {
            let Some((batch, offset)) = &lane.last_acknowledged else { continue };
            let request = produce_request(-1, &[(lane.place.topic, lane.place.partition, batch.bytes.clone())]);
            let response = client.ask(PRODUCE_VERSION, &request);
            let answer = &response.responses[0].partition_responses[0];
            let told = (answer.error_code, answer.base_offset);
            assert_eq!(told, (0, *offset), "{:?}, {:?} again: {:?}", lane.place, batch.name, answer.error_message);
        }
    }
}

/// Follows partitions as a consumer does until the broker ends; gives the base offset and checksum of each batch.
pub fn consume(address: SocketAddr, mut from: Vec<(Place, i64)>) -> Vec<(Place, i64, u32)> {
    let mut seen = Vec::new();
    let Ok(mut client) = Client::try_connect(address) else { return seen };
    loop {
        let wanted: Vec<_> = from.iter().map(|(place, offset)| (place.topic, place.partition, *offset)).collect();
        let request = fetch_request(&wanted).with_max_wait_ms(50);
        let Ok(id) = client.try_send(FETCH_VERSION, &request) else { return seen };
        let Some(response) = client.try_receive::<FetchRequest>(FETCH_VERSION, id) else { return seen };
        for (topic, data) in fetched(&response) {
            let (place, next) = from
                .iter_mut()
                .find(|(place, _)| place.topic == topic && place.partition == data.partition_index)
                .unwrap();
            if data.error_code == ErrorCode::OffsetOutOfRange.code() {
                // DeleteRecords was faster.
                *next = data.log_start_offset.max(*next);
                continue;
            }
            assert_eq!(data.error_code, 0, "{place:?} at {next}");
            for batch in record::batches(data.records.as_deref().unwrap_or_default()) {
                let (header, _) = batch.unwrap();
                seen.push((*place, header.base_offset(), header.crc()));
                *next = header.next_offset();
            }
        }
    }
}

/// Deletes records of partitions until the broker ends; gives what it asked for, and what was acknowledged.
pub fn trim(address: SocketAddr, places: &[Place], mut random: Prng) -> Vec<(Place, i64, Option<i64>)> {
    let mut done = Vec::new();
    let Ok(mut client) = Client::try_connect(address) else { return done };
    loop {
        for place in places {
            thread::sleep(Duration::from_millis(random.between(1, 60)));
            let Some((start, end)) = bounds(&mut client, *place) else { return done };
            let offset = start + random.below((end - start) as u64 + 1) as i64;
            done.push((*place, offset, None));
            let partition = DeleteRecordsPartition::default().with_partition_index(place.partition).with_offset(offset);
            let topic = DeleteRecordsTopic::default().with_name(name(place.topic)).with_partitions(vec![partition]);
            let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
            let Ok(id) = client.try_send(2, &request) else { return done };
            let Some(response) = client.try_receive::<DeleteRecordsRequest>(2, id) else { return done };
            let answer = &response.topics[0].partitions[0];
            assert_eq!(answer.error_code, 0, "{place:?}: delete below {offset}");
            done.last_mut().unwrap().2 = Some(answer.low_watermark);
        }
    }
}

/// The log start offset and the high watermark; `None` when the broker has ended meanwhile.
fn bounds(client: &mut Client, place: Place) -> Option<(i64, i64)> {
    Some((try_list_offset(client, place, EARLIEST)?, try_list_offset(client, place, LATEST)?))
}

/// How far a topic of [`churn`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Asked,
    Created,
    DeletionAsked,
    Deleted,
}

/// Creates topics, writes to them and deletes most of them, until the broker ends.
pub fn churn(address: SocketAddr, round: u32, mut random: Prng) -> Vec<(String, Fate)> {
    let mut topics = Vec::new();
    let Ok(mut client) = Client::try_connect(address) else { return topics };
    for number in 0.. {
        let topic = format!("churn-{round}-{number}");
        topics.push((topic.clone(), Fate::Asked));
        let fate = &mut topics.last_mut().unwrap().1;
        if live(&mut client, &topic, fate, &mut random).is_none() {
            break;
        }
    }
    topics
}

fn live(client: &mut Client, topic: &str, fate: &mut Fate, random: &mut Prng) -> Option<()> {
    let wanted = CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(random.between(1, 3) as i32)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![wanted]).with_timeout_ms(10_000);
    let id = client.try_send(7, &request).ok()?;
    let response = client.try_receive::<CreateTopicsRequest>(7, id)?;
    assert_eq!(response.topics[0].error_code, 0, "{topic}: {:?}", response.topics[0].error_message);
    *fate = Fate::Created;
    let value = "x".repeat(random.between(1, 40_000) as usize);
    for _ in 0..random.below(5) {
        let id = client.try_send(PRODUCE_VERSION, &produce_request(-1, &[(topic, 0, batch(&[&value]))])).ok()?;
        let response = client.try_receive::<ProduceRequest>(PRODUCE_VERSION, id)?;
        assert_eq!(response.responses[0].partition_responses[0].error_code, 0, "{topic}");
    }
    thread::sleep(Duration::from_millis(random.below(40)));
    if random.one_in(8) {
        return Some(());
    }
    *fate = Fate::DeletionAsked;
    delete_topic(client, topic)?;
    *fate = Fate::Deleted;
    Some(())
}

/// Deletes a topic; `None` when the broker has ended meanwhile.
pub fn delete_topic(client: &mut Client, topic: &str) -> Option<()> {
    let wanted = DeleteTopicState::default().with_name(Some(name(topic)));
    let request = DeleteTopicsRequest::default().with_topics(vec![wanted]).with_timeout_ms(10_000);
    let id = client.try_send(6, &request).ok()?;
    let response = client.try_receive::<DeleteTopicsRequest>(6, id)?;
    let answer = &response.responses[0];
    assert_eq!(answer.error_code, 0, "{topic}: {:?}", answer.error_message.as_ref().map(StrBytes::to_string));
    Some(())
}
