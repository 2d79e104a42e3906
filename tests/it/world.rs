//! Runs of the whole broker in the simulated world.

use std::cell::Cell;
use std::rc::Rc;

use flumen::base::prng::Prng;
use flumen::base::time::Duration;
use flumen::io::{Handle, SocketAddr};
use flumen::protocol::messages::{CreateTopicsRequest, FetchRequest, ProduceRequest};
use flumen::record::{BatchBuilder, batches, records};
use flumen::sim::client::Session;
use flumen::sim::client::requests::{self, FetchLimits, Topic};
use flumen::sim::cluster::{SimBroker, configuration};
use flumen::sim::run::{Outcome, Script, play};
use flumen::sim::{MachineConfig, PowerCut, World};

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
    for seed in CORPUS {
        assert_kept(seed, &play(&Script::of(seed)));
    }
}

#[test]
fn one_seed_is_one_run_of_the_broker() {
    let (first, again, other) = (play(&Script::of(2)), play(&Script::of(2)), play(&Script::of(4)));
    assert_eq!((first.hash, first.events), (again.hash, again.events));
    assert_ne!(first.hash, other.hash);
}

/// Creates a topic on a broker, appends numbered records until `count` are acknowledged, and reads them back.
async fn write_and_read(io: Handle, broker: SocketAddr, count: usize, told: Rc<Cell<usize>>) {
    let deadline = || io.now() + Duration::from_secs(30);
    let mut session = loop {
        match Session::connect(&io, broker, deadline()).await {
            Ok(session) => break session,
            Err(_) => io.sleep(Duration::from_millis(50)).await,
        }
    };
    let made = session.ask::<CreateTopicsRequest>(7, &requests::create_topic("topic", 1, &[]), deadline()).await;
    let id = made.expect("an answer").topics[0].topic_id;
    let topic = Topic { name: "topic".into(), id };
    for number in 0..count {
        let mut batch = BatchBuilder::new();
        batch.append(io.wall_ms(), None, Some(format!("{broker} {number}").as_bytes()), &[]);
        let batches = [(topic.clone(), 0, batch.build(0).into())];
        let answer = session.ask::<ProduceRequest>(9, &requests::produce(9, -1, &batches), deadline()).await;
        let answer = answer.expect("an answer").responses.remove(0).partition_responses.remove(0);
        assert_eq!((answer.error_code, answer.base_offset), (0, number as i64));
    }
    let limits = FetchLimits {
        wait_ms_max: 0,
        bytes_min: 1,
        bytes_max: 1 << 20,
        partition_bytes_max: 1 << 20,
        session: (0, -1),
    };
    let fetched = session.ask::<FetchRequest>(12, &requests::fetch(12, &limits, &[(topic, 0, 0)]), deadline()).await;
    let bytes = fetched.expect("an answer").responses.remove(0).partitions.remove(0).records.expect("records");
    for (number, batch) in batches(&bytes).enumerate() {
        let (_, batch) = batch.expect("a batch");
        let walked = records(batch).expect("records");
        let record = walked.iter().next().expect("one record").expect("a sound one");
        assert_eq!(record.value, Some(format!("{broker} {number}").as_bytes()), "another broker's record");
        told.set(told.get() + 1);
    }
}

#[test]
fn two_brokers_of_one_world_run_each_for_itself() {
    let mut world = World::new(7);
    let random = Prng::new(7);
    let brokers: Vec<SimBroker> = (1..3)
        .map(|number| {
            let config = configuration(&mut random.split(&number.to_string()));
            SimBroker::start(&mut world, config, number)
        })
        .collect();
    let clients = world.machine(&MachineConfig::default());
    let read: Vec<Rc<Cell<usize>>> = brokers.iter().map(|_| Rc::default()).collect();
    for (broker, told) in brokers.iter().zip(&read) {
        let (address, told) = (broker.address(&world), Rc::clone(told));
        world.client(clients, move |io| write_and_read(io, address, 50, Rc::clone(&told)));
    }
    // The one loses its power while the other goes on.
    let [first, second] = &brokers[..] else { unreachable!("there are two") };
    assert!(world.run_until(Duration::from_secs(60), |_| read.iter().all(|told| told.get() == 50)));
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
