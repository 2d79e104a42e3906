//! The broker is killed again and again under load, and keeps its promises each time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use flumen::base::prng::Prng;
use flumen::protocol::messages::{InitProducerIdRequest, MetadataRequest};

use super::client::Client;
use super::ledger::{Ledger, Place};
use super::load::{Fate, Lane, Size, Writer, churn, consume, trim};
use super::process::{Broker, pause};
use super::scratch;

/// Kills of a serving broker; those while it starts come on top.
const KILLS: u32 = 50;
/// One in this many rounds ends with a clean stop instead.
const STOPS: u32 = 9;
/// One in this many rounds compares the whole logs, the others what came since.
const WHOLE: u32 = 10;

/// Journals so small that files are recycled, runs written and checkpoints made between any two kills.
const FLAGS: [&str; 12] = [
    "--journal-bytes",
    "16MiB",
    "--journal-file-bytes",
    "1MiB",
    "--write-back-bytes",
    "2MiB",
    "--write-back-interval-ms",
    "100",
    "--direct-run-bytes-min",
    "64KiB",
    "--memory",
    "256MiB",
];

/// Whether a writer is idempotent, its acks, and the size of its batches.
type Kind = (bool, i16, Size);

/// Topics, with their partitions and writers.
const TOPICS: [(&str, i32, &[Kind]); 4] = [
    ("plain", 4, &[(false, 1, Size::Small), (false, -1, Size::Small)]),
    ("idempotent", 4, &[(true, -1, Size::Small), (true, -1, Size::Small)]),
    ("large", 3, &[(false, 1, Size::Large), (true, -1, Size::Large), (true, -1, Size::Small)]),
    ("trimmed", 2, &[(false, -1, Size::Small), (false, 1, Size::Large)]),
];

struct World {
    random: Prng,
    data: tempfile::TempDir,
    ledgers: BTreeMap<Place, Ledger>,
    writers: Vec<Writer>,
    topics: BTreeMap<String, Fate>,
    slowest_start: Duration,
}

#[test]
fn what_was_acknowledged_outlives_fifty_kills_under_load() {
    let seed = std::env::var("CRASH_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("CRASH_SEED={seed}");
    let mut world = World {
        random: Prng::new(seed),
        data: scratch(),
        ledgers: BTreeMap::new(),
        writers: Vec::new(),
        topics: BTreeMap::new(),
        slowest_start: Duration::ZERO,
    };
    let mut broker = world.start();
    world.prepare(&broker);
    let (mut kills, mut round) = (0, 0);
    while kills < KILLS {
        round += 1;
        let cleanly = round % STOPS == 0;
        world.load(broker, round, cleanly);
        kills += u32::from(!cleanly);
        world.disturb_start();
        broker = world.start();
        world.verify(&broker, round % WHOLE == 0);
    }
    assert!(broker.stop().success());
    world.check_files();
    let broker = world.start();
    world.verify(&broker, true);
    world.check_removed();
    let batches: usize = world.ledgers.values().map(Ledger::batches).sum();
    eprintln!("{kills} kills, {batches} batches found, the slowest start took {:?}", world.slowest_start);
    assert!(batches > 1000, "the load was none: {batches} batches");
}

impl Drop for World {
    /// What a failed run left is kept, to be looked into.
    fn drop(&mut self) {
        if thread::panicking() {
            self.data.disable_cleanup(true);
            eprintln!("the data is kept in {}", self.data().display());
        }
    }
}

impl World {
    fn data(&self) -> &Path {
        self.data.path()
    }

    /// A start with another number of reactors than the last one's, perhaps.
    fn start(&mut self) -> Broker {
        let reactors = self.random.between(1, 3).to_string();
        let flags = [&FLAGS[..], &["--reactors", &reactors]].concat();
        let began = Instant::now();
        let broker = Broker::start(self.data(), &flags);
        self.slowest_start = self.slowest_start.max(began.elapsed());
        broker
    }

    /// Now and then the broker is killed while it starts.
    fn disturb_start(&mut self) {
        while self.random.one_in(4) {
            let flags = [&FLAGS[..], &["--reactors", "2"]].concat();
            let broker = Broker::spawn(self.data(), &flags);
            pause(Duration::from_millis(self.random.below(120)));
            broker.kill();
        }
    }

    fn prepare(&mut self, broker: &Broker) {
        let mut client = Client::connect(broker.address);
        for (topic, partitions, writers) in TOPICS {
            client.create_topic(topic, partitions, &[("segment.bytes", "1048576")]);
            let places: Vec<_> = (0..partitions).map(|partition| Place { topic, partition }).collect();
            self.ledgers.extend(places.iter().map(|place| (*place, Ledger::default())));
            for (idempotent, acks, size) in writers {
                let id = self.writers.len() as u32;
                let producer = idempotent.then(|| {
                    let request = InitProducerIdRequest::default().with_transactional_id(None);
                    let response = client.ask(4, &request);
                    assert_eq!(response.error_code, 0);
                    (response.producer_id.0, response.producer_epoch)
                });
                self.writers.push(Writer {
                    id,
                    producer,
                    acks: *acks,
                    size: *size,
                    lanes: places.iter().map(|place| Lane::new(*place)).collect(),
                    random: self.random.split(&format!("writer {id}")),
                    report: Default::default(),
                });
            }
        }
    }

    /// Lets everybody work for a moment, ends the broker, and notes what each was told.
    fn load(&mut self, broker: Broker, round: u32, cleanly: bool) {
        let address = broker.address;
        let writers: Vec<_> = self.writers.drain(..).map(|writer| thread::spawn(move || writer.run(address))).collect();
        let from = self.ledgers.iter().map(|(place, ledger)| (*place, ledger.walked)).collect();
        let consumer = thread::spawn(move || consume(address, from));
        let trimmed: Vec<_> = self.ledgers.keys().copied().filter(|place| place.topic == "trimmed").collect();
        let random = self.random.split(&format!("trim {round}"));
        let trimmer = thread::spawn(move || trim(address, &trimmed, random));
        let random = self.random.split(&format!("churn {round}"));
        let churner = thread::spawn(move || churn(address, round, random));
        pause(Duration::from_millis(self.random.between(10, 700)));
        if cleanly {
            assert!(broker.stop().success(), "round {round}: a clean stop under load");
        } else {
            broker.kill();
        }
        self.writers = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        for writer in &mut self.writers {
            let report = std::mem::take(&mut writer.report);
            for (place, name, built) in report.built {
                self.ledgers.get_mut(&place).unwrap().built.insert(name, built);
            }
            for (place, offset, name) in report.acknowledged {
                self.ledgers.get_mut(&place).unwrap().acknowledged.insert(offset, name);
            }
        }
        for (place, offset, crc) in consumer.join().unwrap() {
            let other = self.ledgers.get_mut(&place).unwrap().seen.insert(offset, crc);
            assert!(other.is_none_or(|other| other == crc), "{place:?}: another batch at {offset} than a consumer saw");
        }
        for (place, asked, acknowledged) in trimmer.join().unwrap() {
            let deleted = &mut self.ledgers.get_mut(&place).unwrap().deleted;
            *deleted = (deleted.0.max(acknowledged.unwrap_or(0)), deleted.1.max(asked));
        }
        self.topics.extend(churner.join().unwrap());
    }

    /// Compares what the broker has with what everybody was told.
    fn verify(&mut self, broker: &Broker, whole: bool) {
        let mut client = Client::connect(broker.address);
        for (place, ledger) in &mut self.ledgers {
            ledger.verify(&mut client, *place, whole);
        }
        for writer in self.writers.iter().filter(|writer| writer.producer.is_some()) {
            writer.repeat_last(&mut client);
        }
        let response = client.ask(12, &MetadataRequest::default().with_topics(None));
        let there: BTreeSet<String> =
            response.topics.iter().map(|topic| topic.name.as_ref().unwrap().to_string()).collect();
        for (topic, fate) in &mut self.topics {
            match *fate {
                Fate::Asked | Fate::DeletionAsked if there.contains(topic) => *fate = Fate::Created,
                Fate::Asked | Fate::DeletionAsked => *fate = Fate::Deleted,
                Fate::Created => assert!(there.contains(topic), "{topic} was created and is gone"),
                Fate::Deleted => assert!(!there.contains(topic), "{topic} was deleted and is back"),
            }
        }
    }

    /// After a clean stop the files are complete, and indexes agree with the log.
    fn check_files(&self) {
        let dump = Command::new(env!("CARGO_BIN_EXE_flumen")).args(["dump", "--verify"]).arg(self.data()).output();
        let dump = dump.unwrap();
        let (out, error) = (String::from_utf8_lossy(&dump.stdout), String::from_utf8_lossy(&dump.stderr));
        assert!(dump.status.success(), "flumen dump --verify:\n{out}\n{error}");
    }

    /// Deleted topics leave nothing behind.
    fn check_removed(&self) {
        for entry in std::fs::read_dir(self.data()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let of = |topic: &str| name.strip_prefix(topic).is_some_and(|rest| rest.starts_with('-'));
            let deleted = self.topics.iter().find(|(topic, fate)| **fate == Fate::Deleted && of(topic));
            assert!(deleted.is_none(), "{name} is still there, its topic was deleted");
        }
    }
}
