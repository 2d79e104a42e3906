//! Whole requests, from the socket to the socket: a broker as it is shipped and its clients in a simulated world in which
//! everything always takes the same time and nothing fails. The kernel is no part of the count, and neither is the world.

use core::time::Duration;
use std::cell::Cell;
use std::rc::Rc;

use flumen::base::block::Use;
use flumen::base::units::GIB;
use flumen::broker::config::{Config, MachineFacts};
use flumen::io::op::Slices;
use flumen::io::socket::{Received, Socket};
use flumen::io::{Handle, SocketAddr};
use flumen::protocol::client::encode_request;
use flumen::protocol::messages::{CreateTopicsRequest, FetchRequest, ListOffsetsRequest, ProduceRequest};
use flumen::record::BatchBuilder;
use flumen::sim::client::Session;
use flumen::sim::client::requests::{self, FetchLimits, Topic};
use flumen::sim::cluster::SimBroker;
use flumen::sim::{self, DiskConfig, Latency, MachineConfig, NetworkConfig, World};

use crate::Times;

/// Which world.
const SEED: u64 = 1;
/// Connections, each of which sends the next requests when all of the last are answered.
const CONNECTIONS: u32 = 8;
const PARTITIONS: i32 = 4;
/// Batches in each partition that is read from.
const READ_BATCHES: u32 = 8;
const PRODUCE_VERSION: i16 = 12;
const FETCH_VERSION: i16 = 17;
/// How long a client waits for an answer, and the world for its clients.
const PATIENCE: Duration = Duration::from_secs(600);

/// A request of one record, through the journal.
pub fn produce_small(times: Times) {
    play(times, Load { records: 1, record_bytes: 100, reads: false, in_flight: 10 });
}

/// A request of 64 KiB, past the journal; of few records, for `append_64k` is about looking through many.
pub fn produce_batch(times: Times) {
    play(times, Load { records: 4, record_bytes: 16_000, reads: false, in_flight: 1 });
}

/// Eight batches out of memory.
pub fn fetch_tail(times: Times) {
    play(times, Load { records: 1, record_bytes: 100, reads: true, in_flight: 10 });
}

/// What clients do.
#[derive(Clone, Copy)]
struct Load {
    /// Records of a batch, and bytes of a record's value.
    records: usize,
    record_bytes: usize,
    /// Batches are read, over and over; otherwise they are written.
    reads: bool,
    /// Requests that a connection sends at once. With many the broker's share of what is counted is larger: the clients' reactor
    /// has less to do, and is of the same code.
    in_flight: u32,
}

/// Lets clients ask `times`, and looks afterwards whether the log has what it should.
fn play(times: Times, load: Load) {
    assert!(times.count.is_multiple_of(CONNECTIONS * load.in_flight), "each connection asks as often");
    let always = |us: u64| Latency { low_ns: us * 1000, high_ns: us * 1000, slow_one_in: 0 };
    let network = NetworkConfig { remote: always(50), local: always(5), ..NetworkConfig::default() };
    let timing =
        sim::Config { short_counts_one_in: 0, turn: always(5), wake: always(5), network, ..sim::Config::default() };
    let disk = DiskConfig {
        names: always(20),
        cached: always(5),
        device: always(80),
        flush: always(100),
        ..DiskConfig::default()
    };
    let mut world = World::with(SEED, timing);
    let broker = SimBroker::start_on(&mut world, disk, configuration(), 1);
    let (address, answered) = (broker.address(&world), Rc::new(Cell::new(0)));
    let machine = world.machine(&MachineConfig::default());
    let told = Rc::clone(&answered);
    world.client(machine, move |io| clients(io, address, load, times.count, Rc::clone(&told)));
    let all = world.run_until(PATIENCE, |_| answered.get() == times.count);
    assert!(all, "only {} were answered", answered.get());
    let appended = if load.reads { READ_BATCHES * PARTITIONS as u32 } else { times.count + PARTITIONS as u32 };
    let records = i64::from(appended) * load.records as i64;
    let reader = world.client(machine, move |io| async move {
        assert_eq!(written(&io, address).await, records, "what was acknowledged is there");
    });
    assert!(world.run_until(PATIENCE, |world| !world.is_running(reader)), "the log is looked at");
}

/// The broker's configuration: the defaults, on a machine of 4 GiB.
fn configuration() -> Config {
    let flags = [("data", "/data"), ("listen", "PLAINTEXT=0.0.0.0:9092"), ("reactors", "1")];
    let flags = flags.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let machine = MachineFacts { cores: 1, memory_bytes: 4 * GIB };
    Config::load(None, std::iter::empty(), &flags, machine).expect("the flags above make a configuration")
}

/// Makes the topic, writes a first batch or some into each partition, and starts what is counted.
async fn clients(io: Handle, broker: SocketAddr, load: Load, times: u32, answered: Rc<Cell<u32>>) {
    let mut session = connect(&io, broker).await;
    let create = requests::create_topic("orders", PARTITIONS, &[]);
    let made = session.ask::<CreateTopicsRequest>(requests::CREATE_TOPICS, &create, io.now() + PATIENCE).await;
    let topic = Topic { name: "orders".into(), id: made.expect("an answer").topics[0].topic_id };
    for partition in 0..PARTITIONS {
        for _ in 0..if load.reads { READ_BATCHES } else { 1 } {
            let request = produce(&io, load, &topic, partition);
            let reply = session.ask::<ProduceRequest>(PRODUCE_VERSION, &request, io.now() + PATIENCE).await;
            assert_eq!(reply.expect("an answer").responses[0].partition_responses[0].error_code, 0);
        }
    }
    for connection in 0..CONNECTIONS {
        let partition = connection as i32 % PARTITIONS;
        let frame = if load.reads {
            encode_request(FETCH_VERSION, 1, Some("consumer-1"), &fetch(&topic, partition))
        } else {
            encode_request(PRODUCE_VERSION, 1, Some("producer-1"), &produce(&io, load, &topic, partition))
        };
        let at_once = frame.expect("it encodes").repeat(load.in_flight as usize);
        let rounds = times / CONNECTIONS / load.in_flight;
        io.spawn(ask_again(io.clone(), broker, at_once, load.in_flight, rounds, Rc::clone(&answered)));
    }
    std::future::pending::<()>().await;
}

/// A session, as soon as the broker listens.
async fn connect(io: &Handle, broker: SocketAddr) -> Session {
    loop {
        match Session::connect(io, broker, io.now() + PATIENCE).await {
            Ok(session) => return session,
            Err(_) => io.sleep(Duration::from_millis(10)).await,
        }
    }
}

fn produce(io: &Handle, load: Load, topic: &Topic, partition: i32) -> ProduceRequest {
    let mut batch = BatchBuilder::new();
    for _ in 0..load.records {
        batch.append(io.wall_ms(), None, Some(&vec![b'v'; load.record_bytes]), &[]);
    }
    requests::produce(PRODUCE_VERSION, -1, &[(topic.clone(), partition, batch.build(0).into())])
}

fn fetch(topic: &Topic, partition: i32) -> FetchRequest {
    let limits = FetchLimits {
        wait_ms_max: 500,
        bytes_min: 1,
        bytes_max: 50 << 20,
        partition_bytes_max: 1 << 20,
        session: (0, -1),
    };
    requests::fetch(FETCH_VERSION, &limits, &[(topic.clone(), partition, 0)])
}

/// Sends the same requests over a connection of its own `rounds` times, and waits for the answers to each round, which are never
/// of another length than the first (an error's are).
async fn ask_again(io: Handle, broker: SocketAddr, frames: Vec<u8>, count: u32, rounds: u32, answered: Rc<Cell<u32>>) {
    let socket = Socket::connect(&io, broker).await.expect("the broker listens");
    let mut chunks = socket.chunks(&io);
    let mut block = io.pool().block_unlimited(frames.len(), Use::Reply).expect("memory for requests");
    block[..frames.len()].copy_from_slice(&frames);
    let requests = block.into_slice(frames.len());
    let mut reply_bytes = None;
    for _ in 0..rounds {
        socket.send(&io, Slices::from_iter([requests.clone()]), false).await.expect("the requests are sent");
        let (mut arrived, mut expected) = (0, usize::MAX);
        while arrived < expected {
            let Ok(Received::Chunk(chunk)) = chunks.next().await else { panic!("the broker closed the connection") };
            if arrived == 0 {
                let size = chunk.first_chunk::<4>().expect("no count falls short here");
                let bytes = size.len() + u32::from_be_bytes(*size) as usize;
                assert_eq!(*reply_bytes.get_or_insert(bytes), bytes, "all answers are alike");
                expected = bytes * count as usize;
            }
            arrived += chunk.len();
        }
        assert_eq!(arrived, expected, "all answers are alike");
        answered.set(answered.get() + count);
    }
}

/// Records in all partitions together.
async fn written(io: &Handle, broker: SocketAddr) -> i64 {
    let mut session = connect(io, broker).await;
    let mut records = 0;
    for partition in 0..PARTITIONS {
        let request = requests::list_offsets("orders", partition, requests::LATEST);
        let reply = session.ask::<ListOffsetsRequest>(requests::LIST_OFFSETS, &request, io.now() + PATIENCE).await;
        records += reply.expect("an answer").topics[0].partitions[0].offset;
    }
    records
}
