//! How long things take and how unreliable they are. All of it is drawn from streams of the seed.

use crate::base::prng::Prng;
use crate::base::time::Duration;
use crate::base::units::{GIB, KIB, MIB};
use crate::io::PathBuf;

/// A duration drawn anew each time: uniform between two bounds, now and then a multiple of that.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// Shortest, in nanoseconds.
    pub low_ns: u64,
    /// Longest of the common ones, in nanoseconds.
    pub high_ns: u64,
    /// One draw in so many takes ten times as long; 0 for none.
    pub slow_one_in: u64,
}

/// How much longer a slow draw takes.
const SLOW_FACTOR: u64 = 10;

impl Latency {
    /// Between `low_us` and `high_us` microseconds, one in a hundred ten times as long.
    pub const fn micros(low_us: u64, high_us: u64) -> Latency {
        Latency { low_ns: low_us * 1000, high_ns: high_us * 1000, slow_one_in: 100 }
    }

    pub(super) fn draw(&self, random: &mut Prng) -> Duration {
        let common = random.between(self.low_ns, self.high_ns);
        let slow = self.slow_one_in > 0 && random.one_in(self.slow_one_in);
        Duration::from_nanos(if slow { common * SLOW_FACTOR } else { common })
    }
}

/// The world as a whole.
#[derive(Clone, Debug)]
pub struct Config {
    /// One count in so many of reads, writes, sends and receives is made to fall short; 0 for none.
    pub short_counts_one_in: u64,
    /// What a turn costs a reactor's core.
    pub turn: Latency,
    /// From something to do until a sleeping reactor's turn.
    pub wake: Latency,
    /// The network.
    pub network: NetworkConfig,
    /// How many of the last events the trace keeps in words.
    pub trace_kept: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            short_counts_one_in: 8,
            turn: Latency { low_ns: 500, high_ns: 10_000, slow_one_in: 1000 },
            wake: Latency::micros(0, 20),
            network: NetworkConfig::default(),
            trace_kept: 0,
        }
    }
}

/// What all machines' network has in common.
#[derive(Clone, Copy, Debug)]
pub struct NetworkConfig {
    /// One way between two machines.
    pub remote: Latency,
    /// One way within a machine.
    pub local: Latency,
    /// Bytes that a socket takes for sending before the peer's side has them.
    pub send_buffer_bytes: usize,
    /// Bytes that may wait at a socket for being received, those under way included.
    pub receive_buffer_bytes: usize,
    /// How long bytes may stay undelivered before a connection fails with a timeout. Linux tries for 15 minutes.
    pub delivery_max: Duration,
}

impl Default for NetworkConfig {
    fn default() -> NetworkConfig {
        NetworkConfig {
            remote: Latency::micros(30, 300),
            local: Latency::micros(0, 30),
            send_buffer_bytes: (256 * KIB) as usize,
            receive_buffer_bytes: (128 * KIB) as usize,
            delivery_max: Duration::from_secs(15 * 60),
        }
    }
}

/// A machine: its disks and clocks.
#[derive(Clone, Debug)]
pub struct MachineConfig {
    /// Where file systems are mounted, and their bytes. The first is `/`.
    pub mounts: Vec<(PathBuf, u64)>,
    /// The timing of its disks.
    pub disk: DiskConfig,
    /// How far its wall clock is from that of the world, at most, either way.
    pub wall_skew_max: Duration,
}

impl Default for MachineConfig {
    fn default() -> MachineConfig {
        MachineConfig {
            mounts: vec![(PathBuf::from("/"), 64 * GIB)],
            disk: DiskConfig::default(),
            wall_skew_max: Duration::from_millis(50),
        }
    }
}

/// How fast disks are.
#[derive(Clone, Copy, Debug)]
pub struct DiskConfig {
    /// Names: open, rename, stat and the like, which the kernel hands to a worker thread.
    pub names: Latency,
    /// Reads and writes by way of the page cache.
    pub cached: Latency,
    /// Direct reads and writes.
    pub device: Latency,
    /// What durability adds: a flush of the device's cache.
    pub flush: Latency,
    /// Bytes a second that the device moves.
    pub bytes_per_second: u64,
}

impl Default for DiskConfig {
    fn default() -> DiskConfig {
        DiskConfig {
            names: Latency::micros(5, 100),
            cached: Latency::micros(1, 20),
            device: Latency::micros(50, 150),
            flush: Latency::micros(50, 400),
            bytes_per_second: GIB,
        }
    }
}

/// A process: a program that runs on a machine, on some reactors.
#[derive(Clone, Debug)]
pub struct ProcessConfig {
    /// How many reactors.
    pub reactors: usize,
    /// The limit of the pool that its reactors share.
    pub pool_bytes: usize,
    /// How many descriptors it may have open.
    pub descriptors_max: usize,
}

impl Default for ProcessConfig {
    fn default() -> ProcessConfig {
        ProcessConfig { reactors: 1, pool_bytes: (64 * MIB) as usize, descriptors_max: 65_536 }
    }
}
