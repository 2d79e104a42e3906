//! Clients that are slow, silent, numerous or talk nonsense, and a broker that is frozen: it serves on, within its
//! memory.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use flumen::base::prng::Prng;
use flumen::protocol::client::encode_request;
use flumen::protocol::messages::describe_configs_request::DescribeConfigsResource;
use flumen::protocol::messages::describe_producers_request::TopicRequest;
use flumen::protocol::messages::metadata_request::MetadataRequestTopic;
use flumen::protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use flumen::protocol::messages::{DescribeConfigsRequest, DescribeProducersRequest, MetadataRequest, ProduceRequest};

use super::client::{Client, batch, fetch_request, name, produce_request};
use super::process::{Broker, pause};
use super::{memory, scratch};

const MIB: u64 = 1 << 20;
/// Of the broker under test. The program with its debug information, the allocator, and the journal's blocks, which have
/// bounds of their own, come on top.
const MEMORY_FLAG: [&str; 4] = ["--memory", "128MiB", "--reactors", "2"];
const MEMORY_MAX: u64 = 128 * MIB + 128 * MIB;
/// A healthy client gets its answer within this time, whatever the others do.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Batches that a healthy client writes at least: on a busy disk a nuisance may be over before they are.
const BATCHES_MIN: i64 = 21;

/// Produces and fetches one small batch after the other until told to stop; gives the time of the slowest.
fn healthy(address: SocketAddr, partition: i32, until: &Arc<AtomicBool>) -> JoinHandle<Duration> {
    let until = Arc::clone(until);
    thread::spawn(move || {
        let mut client = Client::connect(address);
        let (mut count, mut slowest) = (0, Duration::ZERO);
        while !until.load(Ordering::Relaxed) || count < BATCHES_MIN {
            let began = Instant::now();
            let answer = client.produce("healthy", partition, &[&format!("value {count}")]);
            assert_eq!((answer.error_code, answer.base_offset), (0, count));
            let response = client.ask(12, &fetch_request(&[("healthy", partition, count)]));
            assert_eq!(response.responses[0].partitions[0].high_watermark, count + 1);
            slowest = slowest.max(began.elapsed());
            count += 1;
        }
        slowest
    })
}

/// Runs `nuisance` against a broker with two healthy clients, which must be served all the time.
fn among_healthy(flags: &[&str], nuisance: impl FnOnce(&Broker)) {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &[&MEMORY_FLAG[..], flags].concat());
    Client::connect(broker.address).create_topic("healthy", 2, &[]);
    let until = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..2).map(|partition| healthy(broker.address, partition, &until)).collect();
    pause(Duration::from_millis(300));
    nuisance(&broker);
    until.store(true, Ordering::Relaxed);
    for client in clients {
        let slowest = client.join().unwrap();
        assert!(slowest < ANSWER_MAX, "the slowest batch took {slowest:?}");
    }
    let peak = memory(&broker, "VmHWM");
    assert!(peak < MEMORY_MAX, "{} MiB at the peak", peak / MIB);
    assert!(broker.stop().success());
}

#[test]
fn requests_of_every_size_are_answered_although_memory_is_short() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &MEMORY_FLAG);
    Client::connect(broker.address).create_topic("sizes", 8, &[]);
    let address = broker.address;
    let threads: Vec<_> = (0..8)
        .map(|partition: i32| {
            thread::spawn(move || {
                let mut random = Prng::new(partition as u64);
                let mut client = Client::connect(address);
                for _ in 0..1500 {
                    // Through the journal and past it in turns, which is what holds the most memory a byte.
                    let value = "x".repeat(random.between(1, 200_000) as usize);
                    let answer = client.produce("sizes", partition, &[&value]);
                    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let peak = memory(&broker, "VmHWM");
    assert!(peak < MEMORY_MAX, "{} MiB at the peak", peak / MIB);
}

#[test]
fn a_broker_that_was_frozen_goes_on_where_it_was() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &MEMORY_FLAG);
    Client::connect(broker.address).create_topic("healthy", 2, &[]);
    let until = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..2).map(|partition| healthy(broker.address, partition, &until)).collect();
    for _ in 0..2 {
        pause(Duration::from_millis(300));
        broker.signal("STOP");
        pause(Duration::from_secs(3));
        broker.signal("CONT");
    }
    pause(Duration::from_millis(500));
    until.store(true, Ordering::Relaxed);
    for client in clients {
        let slowest = client.join().unwrap();
        assert!(slowest >= Duration::from_secs(2), "it was frozen, and the slowest took {slowest:?}");
    }
    assert!(broker.stop().success());
}

#[test]
fn connections_that_end_within_a_frame_are_closed_and_hold_nobody_up() {
    among_healthy(&["--connection-idle-ms-max", "2000"], |broker| {
        let frame = encode_request(11, 1, None, &produce_request(-1, &[("healthy", 0, batch(&["never whole"]))]));
        let frame = frame.unwrap();
        let large = i32::to_be_bytes(20 << 20);
        let mut half: Vec<TcpStream> = (0..200)
            .map(|number| {
                let mut stream = TcpStream::connect(broker.address).unwrap();
                let begun: &[u8] = if number % 4 == 0 { &large } else { &frame[..1 + number % (frame.len() - 1)] };
                stream.write_all(begun).unwrap();
                stream
            })
            .collect();
        // One half closes its side, as a client does that was killed; the other says nothing more.
        half.iter().step_by(2).for_each(|stream| stream.shutdown(Shutdown::Write).unwrap());
        for stream in half.iter_mut().step_by(2) {
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0, "no reply to half a request");
        }
    });
}

/// What is told of a topic, of a broker's configs or of a partition takes far more than its name.
#[test]
fn names_repeated_in_one_request_do_not_multiply_the_reply() {
    among_healthy(&[], |broker| {
        let mut client = Client::connect(broker.address);
        client.create_topic("wide", 1000, &[]);
        let topic = MetadataRequestTopic::default().with_name(Some(name("wide")));
        let request = MetadataRequest::default().with_topics(Some(vec![topic; 5000]));
        let response = client.ask(12, &request);
        assert_eq!((response.topics.len(), response.topics[0].partitions.len()), (1, 1000));

        let one = DescribeConfigsResource::default().with_resource_type(4).with_resource_name("1".to_owned().into());
        let request = DescribeConfigsRequest::default().with_resources(vec![one; 20_000]).with_include_synonyms(true);
        let response = client.ask(4, &request);
        assert_eq!((response.results.len(), response.results[0].error_code), (1, 0));

        let topic = TopicRequest::default().with_name(name("healthy")).with_partition_indexes(vec![1, 0, 1, 1]);
        let request = DescribeProducersRequest::default().with_topics(vec![topic.clone(), topic]);
        let response = client.ask(0, &request);
        let told: Vec<i32> = response.topics[0].partitions.iter().map(|one| one.partition_index).collect();
        assert_eq!((told, response.topics[1].partitions.len()), (vec![1, 0], 0));

        // Partitions without records, in as many arrays as it takes: more of them than there is any use for.
        let nothing = PartitionProduceData::default().with_records(None);
        let topic = TopicProduceData::default().with_name(name("healthy")).with_partition_data(vec![nothing; 500_000]);
        let request = ProduceRequest::default().with_acks(-1).with_topic_data(vec![topic; 6]);
        let mut client = Client::connect(broker.address);
        let closed = client.try_send(9, &request).map_or(true, |_| client.frame().is_none());
        assert!(closed, "such a request is not answered");
    });
}

#[test]
fn clients_that_never_read_cost_bounded_memory() {
    among_healthy(&[], |broker| {
        let mut client = Client::connect(broker.address);
        client.create_topic("large", 1, &[]);
        let value = "x".repeat(900_000);
        for _ in 0..20 {
            assert_eq!(client.produce("large", 0, &[&value]).error_code, 0);
        }
        let deaf: Vec<Client> = (0..30)
            .map(|_| {
                let mut client = Client::connect(broker.address);
                client.stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
                let request = fetch_request(&[("large", 0, 0)]);
                // Until neither the broker nor the sockets' buffers take more.
                let mut asked = 0;
                while asked < 2000 && client.try_send(12, &request).is_ok() {
                    asked += 1;
                }
                client
            })
            .collect();
        pause(Duration::from_secs(3));
        drop(deaf);
    });
}

/// Without others meanwhile: what their records take would count as the connections'.
#[test]
fn two_thousand_idle_connections_cost_little() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &MEMORY_FLAG);
    let mut client = Client::connect(broker.address);
    client.create_topic("healthy", 1, &[]);
    assert_eq!(client.produce("healthy", 0, &["before"]).error_code, 0);
    let before = memory(&broker, "RssAnon");
    let mut idle: Vec<Client> = (0..2000).map(|_| Client::connect(broker.address)).collect();
    // Each has been in use once.
    for client in &mut idle {
        assert!(client.topic_id("healthy").is_some());
    }
    let each = memory(&broker, "RssAnon").saturating_sub(before) / 2000;
    eprintln!("an idle connection: {each} bytes");
    assert!(each < 16 << 10, "{each} bytes of memory an idle connection");
    let began = Instant::now();
    assert_eq!(client.produce("healthy", 0, &["among them"]).error_code, 0);
    assert_eq!(idle[1234].consume("healthy", 0, 1), [(1, "among them".to_owned())]);
    assert!(began.elapsed() < ANSWER_MAX);
    drop(idle);
    assert!(broker.stop().success());
}

#[test]
fn garbage_on_the_socket_is_refused_while_others_work() {
    among_healthy(&[], |broker| {
        let mut random = Prng::new(3);
        Client::connect(broker.address).create_topic("noise", 1, &[]);
        let valid = encode_request(11, 1, None, &produce_request(-1, &[("noise", 0, batch(&["value"]))])).unwrap();
        for round in 0..400 {
            let mut stream = TcpStream::connect(broker.address).unwrap();
            let mut bytes = vec![0; random.between(1, 60_000) as usize];
            random.fill(&mut bytes);
            match round % 4 {
                // Nothing but noise; noise behind a length that fits; behind an absurd one; a valid frame with a hole.
                0 => {}
                1 => bytes.splice(..0, (bytes.len() as i32).to_be_bytes()).for_each(drop),
                2 => bytes.splice(..0, i32::MAX.to_be_bytes()).for_each(drop),
                _ => {
                    bytes.clone_from(&valid);
                    // Not in the size, and not in the batch, where the checksum would have to be right.
                    let at = 4 + random.below(20) as usize;
                    bytes[at] ^= 1 << random.below(8);
                }
            }
            // The broker may have closed it before all is written.
            let _ = stream.write_all(&bytes);
        }
        pause(Duration::from_millis(500));
    });
}
