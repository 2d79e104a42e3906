//! Runs of the whole broker in the simulated world.

use core::time::Duration;
use std::cell::Cell;
use std::rc::Rc;

use flumen::base::prng::Prng;
use flumen::broker::config::Config;
use flumen::io::{Handle, PathBuf, SocketAddr};
use flumen::model::error_code::ErrorCode;
use flumen::model::ids::PartitionId;
use flumen::protocol::messages::CreateTopicsRequest;
use flumen::record::{BatchBuilder, batches, records};
use flumen::sim::client::Session;
use flumen::sim::client::requests::{self, FetchLimits, Topic};
use flumen::sim::cluster::{SimBroker, configuration};
use flumen::sim::run::{Outcome, Script, play};
use flumen::sim::{DiskFaultRates, MachineConfig, PowerCut, World};
use kafka_protocol::protocol::Request;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Seeds of every weather, the same each time; `flumen-sim` plays fresh ones.
const CORPUS: std::ops::Range<u64> = 8..12;

fn assert_kept(seed: u64, outcome: &Outcome) {
    if let Some(violation) = &outcome.violation {
        panic!("seed {seed}: {violation}\nplay it with: flumen-sim --seed {seed}");
    }
    assert!(outcome.counts.acked > 20 && outcome.counts.read > 20, "seed {seed} did little: {:?}", outcome.counts);
    assert!(outcome.counts.starts >= 2, "the broker is always started again: {:?}", outcome.counts);
}

#[test]
fn the_corpus_breaks_no_promise() {
    let (mut committed, mut assigned) = (0, 0);
    for seed in CORPUS {
        let outcome = play(&Script::of(seed));
        assert_kept(seed, &outcome);
        committed += outcome.counts.committed;
        assigned += outcome.counts.assigned;
    }
    assert!(committed > 20 && assigned > 5, "{committed} transactions, {assigned} assignments of groups");
}

#[test]
fn one_seed_is_one_run_of_the_broker() {
    let (first, again, other) = (play(&Script::of(2)), play(&Script::of(2)), play(&Script::of(4)));
    assert_eq!((first.hash, first.events), (again.hash, again.events));
    assert_ne!(first.hash, other.hash);
}

/// A client that knows one topic.
struct Client {
    io: Handle,
    session: Session,
    topic: Topic,
}

impl Client {
    /// Connects, again and again until the broker serves, and makes a topic of one partition.
    async fn with_topic(io: &Handle, broker: SocketAddr, configs: &[(&str, String)]) -> Client {
        Client::with_topic_of(io, broker, 1, configs).await
    }

    async fn with_topic_of(io: &Handle, broker: SocketAddr, partitions: i32, configs: &[(&str, String)]) -> Client {
        let mut session = loop {
            match Session::connect(io, broker, io.now() + PATIENCE).await {
                Ok(session) => break session,
                Err(_) => io.sleep(Duration::from_millis(50)).await,
            }
        };
        let request = requests::create_topic("topic", partitions, configs);
        let made = session.ask::<CreateTopicsRequest>(requests::CREATE_TOPICS, &request, io.now() + PATIENCE).await;
        let id = made.expect("an answer").topics[0].topic_id;
        Client { io: io.clone(), session, topic: Topic { name: "topic".into(), id } }
    }

    async fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let deadline = self.io.now() + PATIENCE;
        self.session.ask::<R>(version, request, deadline).await.expect("an answer")
    }

    /// Appends one record to the first partition; its offset.
    async fn append(&mut self, value: &[u8]) -> i64 {
        self.append_to(0, value).await
    }

    async fn append_to(&mut self, partition: i32, value: &[u8]) -> i64 {
        let mut batch = BatchBuilder::new();
        batch.append(self.io.wall_ms(), None, Some(value), &[]);
        let request = requests::produce(9, -1, &[(self.topic.clone(), partition, batch.build(0).into())]);
        let answer = self.ask(9, &request).await.responses.remove(0).partition_responses.remove(0);
        assert_eq!(answer.error_code, 0);
        answer.base_offset
    }

    /// The values from an offset on, of one reply.
    async fn read(&mut self, from: i64) -> Vec<Vec<u8>> {
        let limits = FetchLimits {
            wait_ms_max: 0,
            bytes_min: 1,
            bytes_max: 1 << 20,
            partition_bytes_max: 1 << 20,
            session: (0, -1),
        };
        let request = requests::fetch(12, &limits, &[(self.topic.clone(), 0, from)]);
        let data = self.ask(12, &request).await.responses.remove(0).partitions.remove(0);
        assert_eq!(data.error_code, 0, "a read from offset {from}");
        let bytes = data.records.unwrap_or_default();
        let whole = batches(&bytes).map(|batch| batch.expect("a batch").1);
        let value = |batch| {
            let walked = records(batch).expect("records");
            walked.iter().next().expect("one record").expect("a sound one").value.expect("a value").to_vec()
        };
        whole.map(value).collect()
    }

    async fn log_start(&mut self) -> i64 {
        let request = requests::list_offsets("topic", 0, requests::EARLIEST);
        self.ask(requests::LIST_OFFSETS, &request).await.topics[0].partitions[0].offset
    }
}

/// A world with one broker, configured as the scenario needs it.
fn with_broker(change: impl FnOnce(&mut Config)) -> (World, SimBroker) {
    let mut world = World::new(11);
    let mut config = configuration(&mut Prng::new(11));
    change(&mut config);
    let reactors = config.reactors;
    let broker = SimBroker::start(&mut world, config, reactors);
    (world, broker)
}

/// Runs a client to its end.
fn run_client<F>(world: &mut World, main: impl Fn(Handle) -> F + 'static)
where
    F: Future<Output = ()> + 'static,
{
    let machine = world.machine(&MachineConfig::default());
    let client = world.client(machine, main);
    assert!(world.run_until(Duration::from_secs(120), |world| !world.is_running(client)), "the client ends");
}

async fn write_and_read(io: Handle, broker: SocketAddr, told: Rc<Cell<usize>>) {
    let mut client = Client::with_topic(&io, broker, &[]).await;
    let value = |number: i64| format!("{broker} {number}").into_bytes();
    for number in 0..50 {
        assert_eq!(client.append(&value(number)).await, number);
    }
    let read = client.read(0).await;
    assert_eq!(read, (0..50).map(value).collect::<Vec<_>>(), "its own broker's records");
    told.set(read.len());
}

#[test]
fn two_brokers_of_one_world_run_each_for_itself() {
    let mut world = World::new(7);
    let random = Prng::new(7);
    let start = |number: usize| {
        let config = configuration(&mut random.split(&number.to_string()));
        SimBroker::start(&mut world, config, number)
    };
    let brokers: Vec<SimBroker> = (1..3).map(start).collect();
    let clients = world.machine(&MachineConfig::default());
    let read: Vec<Rc<Cell<usize>>> = brokers.iter().map(|_| Rc::default()).collect();
    for (broker, told) in brokers.iter().zip(&read) {
        let (address, told) = (broker.address(&world), Rc::clone(told));
        world.client(clients, move |io| write_and_read(io, address, Rc::clone(&told)));
    }
    assert!(world.run_until(Duration::from_secs(60), |_| read.iter().all(|told| told.get() == 50)));
    // The one loses its power while the other goes on.
    let [first, second] = &brokers[..] else { unreachable!("there are two") };
    world.power_cut(first.machine, PowerCut::default());
    world.run_for(Duration::from_secs(1));
    assert!(!first.serves(&world) && second.serves(&world));
    world.restart(first.process);
    assert!(world.run_until(Duration::from_secs(10), |world| first.serves(world)));
    for broker in &brokers {
        world.stop(broker.process);
    }
    assert!(world.run_until(Duration::from_secs(10), |world| brokers.iter().all(|one| !world.is_running(one.process))));
}

/// Found by seed 69: with `write.caching` a large batch was shown to consumers while it was on its way to its segment, and had
/// left the memory already; they got the zeros that stood there.
#[test]
fn what_is_read_before_it_is_durable_is_read_from_memory() {
    let (mut world, broker) = with_broker(|config| {
        config.storage.tail_bytes_max = 0;
        config.storage.direct_run_bytes_min = 8 << 10;
        config.storage.write_back_interval = Duration::from_millis(20);
    });
    let slow = DiskFaultRates { slow_one_in: 1, slow_for: Duration::from_millis(200), ..DiskFaultRates::default() };
    world.disk_faults(broker.machine, SimBroker::data(), slow);
    let address = broker.address(&world);
    run_client(&mut world, move |io| async move {
        let caching = [("write.caching", "true".to_owned()), ("flush.ms", "1".to_owned())];
        let mut client = Client::with_topic(&io, address, &caching).await;
        for number in 0..100 {
            let value = vec![number as u8; 10_000];
            assert_eq!(client.append(&value).await, number);
            io.sleep(Duration::from_millis(io.random() % 60)).await;
            assert_eq!(client.read(number).await, [value]);
        }
    });
}

/// Found by seed 4096292248: while its own part of a fetch read the disk, and another reactor had told enough, the reactor polled
/// the fetch again and again, and got to nothing else.
#[test]
fn a_fetch_over_two_reactors_rests_while_its_own_part_reads_the_disk() {
    const PARTITIONS: i32 = 8;
    let (mut world, broker) = with_broker(|config| {
        config.reactors = 2;
        config.storage.tail_bytes_max = 0;
        config.storage.write_back_interval = Duration::from_millis(20);
    });
    let address = broker.address(&world);
    let (filled, fetched) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
    let (told, counted, clients) = (Rc::clone(&filled), Rc::clone(&fetched), world.machine(&MachineConfig::default()));
    let client = world.client(clients, move |io| {
        let (filled, fetched) = (Rc::clone(&told), Rc::clone(&counted));
        async move {
            let mut client = Client::with_topic_of(&io, address, PARTITIONS, &[]).await;
            for partition in 0..PARTITIONS {
                assert_eq!(client.append_to(partition, &[7; 10_000]).await, 0);
            }
            // Written back, and gone from memory.
            io.sleep(Duration::from_secs(1)).await;
            filled.set(true);
            io.sleep(Duration::from_millis(1)).await;
            let limits = FetchLimits {
                wait_ms_max: 400,
                bytes_min: 85_000,
                bytes_max: 1 << 20,
                partition_bytes_max: 1 << 20,
                session: (0, -1),
            };
            let parts: Vec<_> = (0..PARTITIONS).map(|partition| (client.topic.clone(), partition, 0)).collect();
            for _ in 0..20 {
                let topic = client.ask(12, &requests::fetch(12, &limits, &parts)).await.responses.remove(0);
                assert!(topic.partitions.iter().all(|data| data.records.is_some()), "what there is");
                fetched.set(fetched.get() + 1);
            }
        }
    });
    assert!(world.run_until(Duration::from_secs(60), |_| filled.get()));
    let slow = DiskFaultRates { slow_one_in: 2, slow_for: Duration::from_millis(200), ..DiskFaultRates::default() };
    world.disk_faults(broker.machine, SimBroker::data(), slow);
    let until = world.now() + Duration::from_secs(120);
    let mut steps = 0;
    while world.is_running(client) && world.step(until) {
        steps += 1;
        assert!(steps < 10_000, "a fetch that waits for the disk is looked at all the time");
    }
    assert_eq!(fetched.get(), 20);
}

/// Found by seed 101: room for a segment's next run was still being reserved when the segment was already full, and write-back
/// had cut its file to size; the file then ended in zeros for ever.
#[test]
fn a_full_segment_is_not_reserved_for_any_more() {
    let (mut world, broker) = with_broker(|config| {
        config.storage.direct_run_bytes_min = 8 << 10;
        config.storage.write_back_interval = Duration::from_millis(20);
    });
    let slow = DiskFaultRates { slow_one_in: 2, slow_for: Duration::from_millis(200), ..DiskFaultRates::default() };
    world.disk_faults(broker.machine, SimBroker::data(), slow);
    let address = broker.address(&world);
    run_client(&mut world, move |io| async move {
        let mut client = Client::with_topic(&io, address, &[("internal.segment.bytes", "40000".to_owned())]).await;
        for number in 0..60 {
            assert_eq!(client.append(&[7; 10_000]).await, number);
        }
    });
    world.disk_faults(broker.machine, SimBroker::data(), DiskFaultRates::default());
    world.stop(broker.process);
    assert!(world.run_until(Duration::from_secs(30), |world| !world.is_running(broker.process)));
    let segments: Vec<Vec<u8>> = world.disk(broker.machine, SimBroker::data(), |disk| {
        let of_topic =
            |path: &PathBuf| path.starts_with("/topic-0") && path.extension().is_some_and(|one| one == "log");
        disk.paths().into_iter().filter(of_topic).map(|path| disk.content_of(&path).expect("a file")).collect()
    });
    assert!(segments.len() > 10, "{} segments", segments.len());
    for segment in segments {
        let whole: usize = batches(&segment).map_while(Result::ok).map(|(_, batch)| batch.len()).sum();
        assert_eq!(whole, segment.len(), "batches and nothing behind them");
    }
}

/// Found by seed 148: a deletion of records that the disk did not take was told as the log's start until the broker was
/// started anew, and then the log began before it again.
#[test]
fn a_log_start_that_is_not_durable_is_told_to_nobody() {
    let (mut world, broker) = with_broker(|_| {});
    let (address, machine) = (broker.address(&world), broker.machine);
    let filled = Rc::new(Cell::new(false));
    let (told, clients) = (Rc::clone(&filled), world.machine(&MachineConfig::default()));
    let client = world.client(clients, move |io| {
        let filled = Rc::clone(&told);
        async move {
            let mut client = Client::with_topic(&io, address, &[]).await;
            for number in 0..10 {
                assert_eq!(client.append(b"value").await, number);
            }
            filled.set(true);
            io.sleep(Duration::from_secs(1)).await;
            let place = PartitionId { topic: client.topic.id, index: 0 };
            let request = requests::delete_records("topic", place, 5);
            let answer = client.ask(requests::DELETE_RECORDS, &request).await.topics.remove(0).partitions.remove(0);
            assert_eq!(ErrorCode::from_code(answer.error_code), Some(ErrorCode::KafkaStorageError));
            assert_eq!(client.log_start().await, 0);
        }
    });
    assert!(world.run_until(Duration::from_secs(60), |_| filled.get()));
    world.remount(machine, SimBroker::data(), true);
    assert!(world.run_until(Duration::from_secs(60), |world| !world.is_running(client)));
    world.kill(broker.process);
    world.remount(machine, SimBroker::data(), false);
    world.restart(broker.process);
    run_client(&mut world, move |io| async move {
        let mut client = Client::with_topic(&io, address, &[]).await;
        assert_eq!(client.log_start().await, 0);
    });
}
