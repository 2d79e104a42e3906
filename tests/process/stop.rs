//! A clean stop: nothing more is accepted, what is in flight is finished, and the next start has nothing to do.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use flumen::base::prng::Prng;
use flumen::protocol::messages::FetchRequest;

use super::client::{Client, fetch_request};
use super::ledger::{Ledger, Place};
use super::load::{Lane, Report, Size, Writer};
use super::process::{Broker, pause};
use super::scratch;

const TOPIC: &str = "stopped";
const PARTITIONS: i32 = 3;

fn writer(id: u32, size: Size) -> Writer {
    let lanes = (0..PARTITIONS).map(|partition| Lane::new(Place { topic: TOPIC, partition })).collect();
    Writer { id, producer: None, acks: -1, size, lanes, random: Prng::new(u64::from(id)), report: Report::default() }
}

#[test]
fn a_stop_under_load_finishes_what_is_in_flight_and_leaves_nothing_to_replay() {
    let directory = scratch();
    let flags = ["--reactors", "2"];
    let broker = Broker::start(directory.path(), &flags);
    Client::connect(broker.address).create_topic(TOPIC, PARTITIONS, &[]);
    let address = broker.address;
    let writers = [writer(0, Size::Small), writer(1, Size::Large), writer(2, Size::Small)];
    let writers: Vec<_> = writers.into_iter().map(|writer| thread::spawn(move || writer.run(address))).collect();
    pause(Duration::from_millis(1500));
    assert_eq!(broker.stop().code(), Some(0));
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
    let mut ledgers: Vec<Ledger> = (0..PARTITIONS).map(|_| Ledger::default()).collect();
    for writer in writers {
        let report = writer.join().unwrap().report;
        assert!(!report.acknowledged.is_empty(), "there was no load");
        for (place, name, built) in report.built {
            ledgers[place.partition as usize].built.insert(name, built);
        }
        for (place, offset, name) in report.acknowledged {
            ledgers[place.partition as usize].acknowledged.insert(offset, name);
        }
    }
    let mut broker = Broker::spawn(directory.path(), &flags);
    let recovered = broker.wait_for_line("recovered");
    assert!(recovered.contains(" with 0 B of batches"), "a clean stop leaves nothing to replay: {recovered}");
    broker.await_serving();
    let mut client = Client::connect(broker.address);
    for (partition, ledger) in ledgers.iter_mut().enumerate() {
        ledger.verify(&mut client, Place { topic: TOPIC, partition: partition as i32 }, true);
    }
}

#[test]
fn a_stop_answers_fetches_that_wait_and_does_not_wait_for_idle_connections() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic(TOPIC, 1, &[]);
    client.produce(TOPIC, 0, &["one"]);
    let idle: Vec<_> = (0..20).map(|_| Client::connect(broker.address)).collect();
    let id = client.send(12, &fetch_request(&[(TOPIC, 0, 1)]).with_max_wait_ms(60_000));
    pause(Duration::from_millis(200));
    let began = Instant::now();
    broker.signal("TERM");
    let response = client.receive::<FetchRequest>(12, id);
    assert_eq!(response.responses[0].partitions[0].error_code, 0);
    assert_eq!(client.frame(), None, "then the connection ends");
    assert_eq!({ broker }.wait().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(9), "it waited for something: {:?}", began.elapsed());
    drop(idle);
}
