//! A disk that is full, and one that fails: what is refused and how, that the rest goes on, that it resumes, and that
//! nothing acknowledged is lost.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use flumen::base::prng::Prng;
use flumen::model::error_code::ErrorCode;
use flumen::protocol::messages::DeleteRecordsRequest;
use flumen::protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use flumen::record::{BatchBuilder, BatchHeader};

use super::client::{Client, name, produce_request};
use super::image::Image;
use super::ledger::{Built, Ledger, Name, Place, list_offset, write_name};
use super::load::delete_topic;
use super::process::{Broker, pause};

const PATIENCE: Duration = Duration::from_secs(20);
const IMAGE_MIB: u64 = 192;
const FLAGS: [&str; 14] = [
    "--reactors",
    "2",
    "--journal-bytes",
    "16MiB",
    "--journal-file-bytes",
    "2MiB",
    "--write-back-bytes",
    "4MiB",
    "--write-back-interval-ms",
    "200",
    "--direct-run-bytes-min",
    "64KiB",
    "--disk-reserve-bytes",
    "48MiB",
];
const FIRST: Place = Place { topic: "first", partition: 0 };
const SECOND: Place = Place { topic: "second", partition: 0 };

/// Writes to one partition, one batch at a time, and keeps the account of it.
struct Producer {
    client: Client,
    place: Place,
    ledger: Ledger,
    number: u32,
    random: Prng,
}

/// Code and sentence of a refusal.
type Refused = (i16, String);

impl Producer {
    fn new(address: SocketAddr, place: Place) -> Producer {
        let random = Prng::new(7).split(place.topic);
        Producer { client: Client::connect(address), place, ledger: Ledger::default(), number: 0, random }
    }

    /// Builds a batch of some size below 100 KB.
    fn batch(&mut self) -> (Name, Vec<u8>) {
        let name = Name { writer: 0, number: self.number };
        self.number += 1;
        let mut value = vec![0; self.random.between(1, 100_000) as usize];
        self.random.fill(&mut value);
        let mut builder = BatchBuilder::new();
        builder.append(i64::from(self.number), Some(write_name(name).as_bytes()), Some(&value), &[]);
        let bytes = builder.build(0);
        let crc = BatchHeader::read(&bytes).unwrap().crc();
        self.ledger.built.insert(name, Built { crc, records: 1, is_idempotent: false });
        (name, bytes)
    }

    /// Produces a batch.
    fn produce(&mut self) -> Result<i64, Refused> {
        let (name, bytes) = self.batch();
        let request = produce_request(-1, &[(self.place.topic, self.place.partition, bytes)]);
        let response = self.client.ask(11, &request);
        let answer = &response.responses[0].partition_responses[0];
        if answer.error_code != 0 {
            let message = answer.error_message.as_ref().map(|text| text.to_string()).unwrap_or_default();
            return Err((answer.error_code, message));
        }
        self.ledger.acknowledged.insert(answer.base_offset, name);
        Ok(answer.base_offset)
    }

    fn produce_until_refused(&mut self) -> Refused {
        let deadline = Instant::now() + 6 * PATIENCE;
        while Instant::now() < deadline {
            if let Err(refused) = self.produce() {
                return refused;
            }
        }
        panic!("{:?}: all was accepted", self.place)
    }

    fn produce_until_accepted(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while let Err(refused) = self.produce() {
            assert!(Instant::now() < deadline, "{:?} is still refused: {refused:?}", self.place);
            pause(Duration::from_millis(50));
        }
    }

    fn delete_all_records(&mut self) {
        let end = list_offset(&mut self.client, self.place, super::ledger::LATEST);
        let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(-1);
        let topic = DeleteRecordsTopic::default().with_name(name(self.place.topic)).with_partitions(vec![partition]);
        let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
        let response = self.client.ask(2, &request);
        let answer = &response.topics[0].partitions[0];
        assert_eq!((answer.error_code, answer.low_watermark), (0, end));
        self.ledger.deleted = (end, end);
    }

    fn verify(&mut self) {
        self.ledger.verify(&mut self.client, self.place, true);
    }
}

fn assert_refusal((code, message): &Refused, word: &str) {
    assert_eq!(*code, ErrorCode::KafkaStorageError.code(), "{message}");
    assert!(message.contains(word), "'{message}' does not tell what is wrong");
}

/// A broker on the image with two topics, each with a producer.
fn start(image: &Image) -> (Broker, Producer, Producer) {
    let broker = Broker::start(&image.data(), &FLAGS);
    let mut client = Client::connect(broker.address);
    for place in [FIRST, SECOND] {
        client.create_topic(place.topic, 1, &[("segment.bytes", "4194304")]);
    }
    let (first, second) = (Producer::new(broker.address, FIRST), Producer::new(broker.address, SECOND));
    (broker, first, second)
}

/// Fills the disk through the broker, one topic and then the other.
fn fill(first: &mut Producer, second: &mut Producer) {
    for _ in 0..600 {
        first.produce().unwrap();
    }
    assert_refusal(&second.produce_until_refused(), "full");
    first.verify();
    second.verify();
    assert_refusal(&first.produce_until_refused(), "full");
}

/// Starts the broker again, with its producers.
fn restart(image: &Image, producers: &mut [&mut Producer]) -> Broker {
    let broker = Broker::start(&image.data(), &FLAGS);
    for producer in producers {
        producer.client = Client::connect(broker.address);
    }
    broker
}

/// After `freed`, all goes on without a restart, and survives one.
fn go_on(image: &Image, mut broker: Broker, producers: &mut [&mut Producer]) {
    for producer in producers.iter_mut() {
        producer.produce_until_accepted();
        for _ in 0..20 {
            producer.produce_until_accepted();
        }
        producer.verify();
    }
    assert!(broker.is_running());
    broker.kill();
    let broker = restart(image, producers);
    for producer in producers.iter_mut() {
        producer.verify();
        producer.produce_until_accepted();
    }
    assert!(broker.stop().success());
}

#[test]
fn a_full_disk_refuses_produce_until_a_topic_is_deleted() {
    let image = Image::new(IMAGE_MIB);
    let (mut broker, mut first, mut second) = start(&image);
    fill(&mut first, &mut second);
    assert!(broker.is_running());
    delete_topic(&mut first.client, FIRST.topic).unwrap();
    go_on(&image, broker, &mut [&mut second]);
}

#[test]
fn a_full_disk_refuses_produce_until_records_are_deleted() {
    let image = Image::new(IMAGE_MIB);
    let (broker, mut first, mut second) = start(&image);
    fill(&mut first, &mut second);
    first.delete_all_records();
    go_on(&image, broker, &mut [&mut first, &mut second]);
}

#[test]
fn a_full_broker_stops_cleanly_and_starts_again() {
    let image = Image::new(IMAGE_MIB);
    let (broker, mut first, mut second) = start(&image);
    fill(&mut first, &mut second);
    assert!(broker.stop().success(), "the reserve is there so that a stop can write back");
    let broker = restart(&image, &mut [&mut first, &mut second]);
    for producer in [&mut first, &mut second] {
        producer.verify();
        assert_refusal(&producer.produce_until_refused(), "full");
    }
    delete_topic(&mut first.client, FIRST.topic).unwrap();
    go_on(&image, broker, &mut [&mut second]);
}

/// Both producers go on until told to stop; what was refused must have been so in the right words.
fn load(producers: [Producer; 2], until: &Arc<AtomicBool>, word: &'static str) -> Vec<thread::JoinHandle<Producer>> {
    let run = |mut producer: Producer| {
        let until = Arc::clone(until);
        thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                if let Err(refused) = producer.produce() {
                    assert_refusal(&refused, word);
                    pause(Duration::from_millis(10));
                }
            }
            producer
        })
    };
    producers.map(run).into()
}

fn joined(load: Vec<thread::JoinHandle<Producer>>) -> Vec<Producer> {
    load.into_iter().map(|producer| producer.join().unwrap()).collect()
}

/// Somebody else takes all space while both produce, and they go on for `time`; gives them, and the file in the way.
fn filled_under_load(image: &Image, producers: [Producer; 2], time: Duration) -> (Vec<Producer>, PathBuf) {
    let until = Arc::new(AtomicBool::new(false));
    let load = load(producers, &until, "full");
    pause(Duration::from_millis(300));
    let foreign = image.fill(0);
    pause(time);
    until.store(true, Ordering::Relaxed);
    (joined(load), foreign)
}

/// Fills a part of the disk through the first topic, and all the rest by somebody else, and gives write-back the time to
/// fail; gives the file in the way.
fn fill_to_the_last_block(image: &Image, first: &mut Producer, second: &mut Producer) -> PathBuf {
    for _ in 0..1500 {
        first.produce().unwrap();
    }
    let foreign = image.fill(0);
    let _ = second.produce_until_refused();
    pause(Duration::from_secs(1));
    foreign
}

#[test]
fn a_disk_that_others_fill_to_the_last_block_loses_nothing_and_goes_on_when_there_is_space() {
    let image = Image::new(IMAGE_MIB);
    let (mut broker, first, second) = start(&image);
    // Long enough for write-back to be due and to fail.
    let (mut producers, foreign) = filled_under_load(&image, [first, second], Duration::from_secs(2));
    assert!(broker.is_running());
    for producer in &mut producers {
        assert_refusal(&producer.produce_until_refused(), "full");
        producer.verify();
    }
    std::fs::remove_file(foreign).unwrap();
    go_on(&image, broker, &mut producers.iter_mut().collect::<Vec<_>>());
}

#[test]
fn a_topic_can_be_deleted_from_a_disk_that_others_filled_to_the_last_block() {
    let image = Image::new(IMAGE_MIB);
    let (broker, mut first, mut second) = start(&image);
    fill_to_the_last_block(&image, &mut first, &mut second);
    delete_topic(&mut first.client, FIRST.topic).unwrap();
    go_on(&image, broker, &mut [&mut second]);
}

/// The deletion counts at once; its space comes back when write-back has found room for what else the log lacks.
#[test]
fn records_can_be_deleted_on_a_disk_that_others_filled_to_the_last_block() {
    let image = Image::new(IMAGE_MIB);
    let (broker, mut first, mut second) = start(&image);
    let foreign = fill_to_the_last_block(&image, &mut first, &mut second);
    first.delete_all_records();
    first.verify();
    second.verify();
    std::fs::remove_file(foreign).unwrap();
    go_on(&image, broker, &mut [&mut first, &mut second]);
}

#[test]
fn journals_of_many_reactors_leave_a_small_disk_its_reserve() {
    // 16 journals of 16 MiB would be all that the disk has; two files of 2 MiB each are not.
    let image = Image::new(256);
    let flags = ["--reactors", "16"].into_iter().chain(FLAGS[2..].iter().copied()).collect::<Vec<_>>();
    let broker = Broker::start(&image.data(), &flags);
    Client::connect(broker.address).create_topic("many", 16, &[("segment.bytes", "4194304")]);
    let places = (0..16).map(|partition| Place { topic: "many", partition });
    let mut producers: Vec<_> = places.map(|place| Producer::new(broker.address, place)).collect();
    for _ in 0..20 {
        for producer in &mut producers {
            producer.produce().unwrap();
        }
    }
    let free = image.free();
    assert!(free >= 32 << 20, "{free} bytes are free");
    producers.iter_mut().for_each(Producer::verify);
    assert!(broker.stop().success());
}

#[test]
fn a_disk_too_small_for_the_journals_is_said_at_the_start() {
    let image = Image::new(64);
    let mut broker = Broker::spawn(&image.data(), &["--reactors", "4", "--journal-file-bytes", "32MiB"]);
    let line = broker.wait_for_line("no space for the journal");
    assert!(line.contains("storage.journal_file_bytes") && line.contains("reactors.count"), "{line}");
    assert_eq!(broker.wait().code(), Some(1));
}

/// What a killed broker has left with a slow disk arrives in its own time: the next start waits for it, and looks then.
#[test]
fn a_start_waits_for_writes_that_a_killed_broker_left_with_the_disk() {
    let slow = Image::new(2 * IMAGE_MIB);
    let image = slow.inner(IMAGE_MIB);
    // Dropped after the disk has thawed, whatever happens.
    let (mut killed, mut first, _) = start(&image);
    for _ in 0..20 {
        first.produce().unwrap();
    }
    let frozen = slow.freeze();
    let (name, bytes) = first.batch();
    first.client.send(11, &produce_request(-1, &[(FIRST.topic, FIRST.partition, bytes)]));
    pause(Duration::from_millis(300));
    // Threads of it may be held in the kernel by the disk, so it has ended only when that goes on.
    killed.signal("KILL");
    let mut broker = Broker::spawn(&image.data(), &FLAGS);
    broker.wait_for_line("still on their way");
    drop(frozen);
    killed.wait();
    broker.await_serving();
    first.client = Client::connect(broker.address);
    first.verify();
    assert_eq!(list_offset(&mut first.client, FIRST, super::ledger::LATEST), 21, "{name:?} had reached the disk");
    go_on(&image, broker, &mut [&mut first]);
}

#[test]
fn a_stop_on_a_disk_without_space_says_so_and_loses_nothing() {
    let image = Image::new(IMAGE_MIB);
    let (mut broker, first, second) = start(&image);
    let (mut producers, foreign) = filled_under_load(&image, [first, second], Duration::from_secs(1));
    broker.signal("TERM");
    let status = broker.wait();
    // Whether there was anything left to write is the moment's; but the status is never a signal's.
    assert!(matches!(status.code(), Some(0 | 1)), "{status}");
    std::fs::remove_file(foreign).unwrap();
    let producers = &mut producers.iter_mut().collect::<Vec<_>>();
    let broker = restart(&image, producers);
    go_on(&image, broker, producers);
}

#[test]
fn a_file_system_that_turns_read_only_under_load_refuses_produce_and_serves_on() {
    let image = Image::new(IMAGE_MIB);
    let (mut broker, first, second) = start(&image);
    let until = Arc::new(AtomicBool::new(false));
    let load = load([first, second], &until, "offline");
    pause(Duration::from_millis(400));
    image.turn_read_only();
    pause(Duration::from_secs(1));
    until.store(true, Ordering::Relaxed);
    let mut producers = joined(load);
    assert!(broker.is_running());
    for producer in &mut producers {
        assert_refusal(&producer.produce_until_refused(), "offline");
        producer.verify();
    }
    broker.signal("TERM");
    let status = broker.wait();
    assert_eq!(status.code(), Some(1), "a stop that could not write back says so");
    image.repair();
    let producers = &mut producers.iter_mut().collect::<Vec<_>>();
    let broker = restart(&image, producers);
    go_on(&image, broker, producers);
}
