//! The brokers of a world: the program that the process `flumen serve` runs, over a simulated kernel.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::config::{DiskConfig, Latency, MachineConfig, ProcessConfig};
use super::world::{MachineId, ProcessId, World};
use crate::base::prng::Prng;
use crate::base::time::Duration;
use crate::base::units::{GIB, KIB, MIB};
use crate::broker::config::{Config, MachineFacts};
use crate::broker::message::Message;
use crate::broker::startup::{self, RunError};
use crate::coordinator::runtime::CompactionLimits;
use crate::io::{Handle, Path, SocketAddr};
use crate::shard::Steps;

/// Where a broker's data is; a file system of its own.
pub const DATA: &str = "/data";
/// Where brokers listen.
pub const PORT: u16 = 9092;
/// Bytes of the file system that holds the data.
pub const DISK_BYTES: u64 = 8 * GIB;

/// A broker of the world.
pub struct SimBroker {
    /// Its machine.
    pub machine: MachineId,
    /// Its process.
    pub process: ProcessId,
    /// Its configuration.
    pub config: Arc<Config>,
    /// Why it did not start, if it did not.
    refused: Rc<RefCell<Option<String>>>,
}

/// A broker's configuration: small files and low thresholds, so that a short run rolls, recycles, writes back and
/// checkpoints often.
pub fn configuration(random: &mut Prng) -> Config {
    // A connection whose client is gone without a word ends when it has been idle, which is before anybody looks at what
    // is held for nobody.
    let flags = [
        ("data", DATA),
        ("listen", "PLAINTEXT=0.0.0.0:9092"),
        ("memory", "64MiB"),
        ("reactors", "1"),
        ("connection-idle-ms-max", "100000"),
        // A start reads the logs of all coordinators.
        ("kafka", "transaction.state.log.num.partitions=3"),
        ("kafka", "offsets.topic.num.partitions=3"),
        // Members that die are to be missed within a run.
        ("kafka", "group.min.session.timeout.ms=1000"),
        ("kafka", "group.initial.rebalance.delay.ms=500"),
        ("kafka", "group.consumer.min.heartbeat.interval.ms=500"),
        ("kafka", "group.consumer.heartbeat.interval.ms=500"),
        ("kafka", "group.consumer.min.session.timeout.ms=4000"),
        ("kafka", "group.consumer.session.timeout.ms=4000"),
    ];
    let flags: Vec<(String, String)> = flags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let machine = MachineFacts { cores: 1, memory_bytes: GIB };
    let mut config =
        Config::load(None, std::iter::empty(), &flags, machine).expect("the flags above make a configuration");
    let storage = &mut config.storage;
    storage.journal_file_bytes = [256 * KIB, MIB][random.below(2) as usize];
    storage.journal_bytes = storage.journal_file_bytes * random.between(4, 8);
    storage.groups_in_flight_max = random.between(1, 4) as usize;
    storage.group_bytes_max = [64 * KIB, 128 * KIB][random.below(2) as usize] as u32;
    storage.direct_run_bytes_min = [512, 8 * KIB, 24 * KIB, 128 * KIB][random.below(4) as usize] as u32;
    storage.write_back_bytes = storage.journal_bytes / random.between(3, 10);
    storage.write_back_interval =
        Duration::from_millis(if random.one_in(4) { random.between(1, 20) } else { random.between(20, 3_000) });
    storage.write_back_depth = random.between(1, 4) as usize;
    storage.disk_reserve_bytes = MIB;
    storage.tail_bytes_max = [0, 0, 256 * KIB, 512 * KIB][random.below(4) as usize];
    storage.open_files_max = random.between(4, 32) as usize;
    storage.steps = Steps {
        checkpoint_records: [1, 4, 512][random.below(3) as usize],
        trim_bytes: [4 * KIB, 4 * KIB, MIB][random.below(3) as usize],
        reserve_bytes: [16 * KIB, 128 * KIB, MIB][random.below(3) as usize] as u32,
        index_lag_bytes: [0, 0, 16 * KIB, MIB][random.below(4) as usize] as u32,
    };
    // Small enough that some logs are rewritten in a run, and some are not.
    config.compaction = CompactionLimits { bytes_min: 8 * KIB, growth: 4 };
    config.memory_bytes = [8, 64][random.below(2) as usize] * MIB;
    config
}

/// A disk: as quick as they come, or one that takes long to flush its cache or to look names up.
pub fn disk(random: &mut Prng) -> DiskConfig {
    DiskConfig {
        flush: [(50, 400), (50, 400), (500, 5_000), (2_000, 20_000)]
            .map(|(low_us, high_us)| Latency::micros(low_us, high_us))[random.below(4) as usize],
        names: [(5, 100), (5, 100), (100, 5_000)].map(|(low_us, high_us)| Latency::micros(low_us, high_us))
            [random.below(3) as usize],
        ..DiskConfig::default()
    }
}

impl SimBroker {
    /// Adds a machine with a broker to the world, and starts it.
    pub fn start(world: &mut World, config: Config, reactors: usize) -> SimBroker {
        SimBroker::start_on(world, DiskConfig::default(), config, reactors)
    }

    /// As [`SimBroker::start`], with disks of another speed.
    pub fn start_on(world: &mut World, disk: DiskConfig, config: Config, reactors: usize) -> SimBroker {
        let mounts = vec![("/".into(), GIB), (DATA.into(), DISK_BYTES)];
        let machine = world.machine(&MachineConfig { mounts, disk, ..MachineConfig::default() });
        let config = Arc::new(config);
        let refused = Rc::new(RefCell::new(None));
        let process_config =
            ProcessConfig { reactors, pool_bytes: config.memory_bytes as usize, descriptors_max: 4096 };
        let (given, told) = (Arc::clone(&config), Rc::clone(&refused));
        let process = world.process::<Message, _>(machine, process_config, move |io: Handle, port| {
            let (config, refused) = (Arc::clone(&given), Rc::clone(&told));
            async move {
                let leads = io.reactor_id() == 0;
                if let Err(RunError::Start(error)) = startup::run(io, port, config).await {
                    if leads {
                        *refused.borrow_mut() = Some(error.to_string());
                    }
                    // The process ends with its first reactor, and here that is the world's business.
                    std::future::pending::<()>().await;
                }
            }
        });
        SimBroker { machine, process, config, refused }
    }

    /// Where clients reach it.
    pub fn address(&self, world: &World) -> SocketAddr {
        SocketAddr::new(world.address(self.machine), PORT)
    }

    /// Whether it takes connections.
    pub fn serves(&self, world: &World) -> bool {
        world.is_running(self.process) && world.listens(self.machine, PORT)
    }

    /// Why the last start failed, told once.
    pub fn take_refusal(&self) -> Option<String> {
        self.refused.borrow_mut().take()
    }

    /// Whether a start has failed.
    pub fn is_refused(&self) -> bool {
        self.refused.borrow().is_some()
    }

    /// Where its data is.
    pub fn data() -> &'static Path {
        Path::new(DATA)
    }
}
