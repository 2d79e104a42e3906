//! What goes wrong in a run: a plan of faults, drawn from the seed before the run begins.
//!
//! Each fault is plain data, drawn from a stream of its own, so that a run without one of them is the same up to where it
//! would have struck: that is what makes a failing plan small ([`super::minimise`]).

use std::fmt;

use super::disk::PowerCut;
use super::faults::{DiskFaultRates, Written};
use super::scene::Told;
use crate::base::prng::Prng;
use crate::base::time::Duration;

/// A fault of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its number in the whole plan, which names the stream of what is drawn when it strikes.
    pub number: usize,
    /// When it strikes, counted from the begin of the workload.
    pub at: Duration,
    /// What it is.
    pub fault: Fault,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>3} at {:>7.3} s: {:?}", self.number, self.at.as_secs_f64(), self.fault)
    }
}

/// How a process ends against its will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// As by `kill -9`: the kernel keeps what was written.
    Kill,
    /// With the machine's power.
    PowerCut(PowerCut),
}

/// Something that goes wrong. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant's text explains its fields")]
pub enum Fault {
    /// The broker crashes, and is back after a while.
    Crash { crash: Crash, back_ms: u64 },
    /// The broker crashes at its submission number `submission` from now.
    CrashAt { submission: u64, crash: Crash, back_ms: u64 },
    /// The broker crashes in the instant in which a client is told something of that kind.
    CrashAfter { told: Told, crash: Crash, back_ms: u64 },
    /// The broker crashes while its durable write number `write` from now, of those to `files`, is in flight.
    CrashInWrite { write: u64, files: Written, crash: Crash, back_ms: u64 },
    /// The broker is stopped in peace and started on another number of reactors.
    Restart { reactors: usize, back_ms: u64 },
    /// The broker takes no turns.
    Pause { ms: u64 },
    /// The broker's wall clock jumps.
    WallClock { ms: i64 },
    /// The broker's memory gets scarce: so many bytes are left.
    Memory { left: usize, ms: u64 },

    /// Nothing gets through from clients to the broker, from there to them, or both.
    Partition { to_broker: bool, from_broker: bool, ms: u64 },
    /// Everything takes longer.
    Delay { delay_ms: u64, ms: u64 },
    /// All connections are reset.
    Reset,
    /// One arrival in so many resets its connection.
    Resets { one_in: u64, ms: u64 },
    /// The clients' machine loses its power: the broker's connections are half open.
    ClientsLost { ms: u64 },

    /// Operations of the disk fail or are slow.
    Disk { rates: DiskFaultRates, ms: u64 },
    /// Bits of `count` places rot that hold no last copy.
    Rot { count: u64 },
    /// Bits of `count` places rot in segments, where nothing else holds what was there.
    RotLastCopy { count: u64 },
    /// So many sectors of any files cannot be read for a while.
    LatentErrors { sectors: u64, ms: u64 },
    /// The device dies, and is back after a while.
    DiskDies { ms: u64 },
    /// Next to nothing of the disk is free.
    DiskFull { free_bytes: u64, ms: u64 },
    /// The file system is mounted read-only.
    ReadOnly { ms: u64 },
}

/// Which kinds of faults a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// None.
    Calm,
    /// Crashes and restarts.
    Crashes,
    /// Networks.
    Network,
    /// Disks.
    Disk,
    /// All of them.
    Storm,
    /// Damage to last copies, and crashes. What is asked for then is only that nothing wrong is ever shown.
    Rot,
}

impl Weather {
    /// The weather of a run.
    pub fn draw(random: &mut Prng) -> Weather {
        match random.below(10) {
            0 => Weather::Calm,
            1..=3 => Weather::Crashes,
            4 => Weather::Network,
            5 if random.one_in(2) => Weather::Rot,
            5 => Weather::Disk,
            _ => Weather::Storm,
        }
    }
}

/// Draws the plan of a run whose workload takes `length`.
pub fn plan(streams: &Prng, weather: Weather, length: Duration, reactors_max: u64) -> Vec<Planned> {
    let mut times = streams.split("times");
    let mean_ms = times.between(1_000, 12_000);
    let (mut plan, mut at_ms) = (Vec::new(), times.between(500, 3_000));
    while weather != Weather::Calm && u128::from(at_ms) < length.as_millis() {
        let number = plan.len();
        let mut random = streams.split("fault").split(&number.to_string());
        let fault = draw(&mut random, weather, reactors_max);
        plan.push(Planned { number, at: Duration::from_millis(at_ms), fault });
        at_ms += times.between(mean_ms / 4, 2 * mean_ms);
    }
    plan
}

fn draw(random: &mut Prng, weather: Weather, reactors_max: u64) -> Fault {
    let kind = match weather {
        Weather::Calm | Weather::Storm => random.below(26),
        Weather::Crashes => random.below(9),
        Weather::Network => random.between(9, 14),
        Weather::Disk => random.between(14, 25),
        Weather::Rot => 26,
    };
    match kind {
        0 => Fault::Crash { crash: crash(random), back_ms: back_ms(random) },
        1 | 2 => {
            let told = [Told::Deletion, Told::Topic, Told::Commit, Told::Decision][random.below(4) as usize];
            Fault::CrashAfter { told, crash: Crash::PowerCut(power_cut(random)), back_ms: back_ms(random) }
        }
        3 => {
            let submission = random.below(3000);
            Fault::CrashAt { submission, crash: crash(random), back_ms: back_ms(random) }
        }
        4 | 5 => {
            let (files, write) = match random.below(3) {
                0 => (Written::Any, random.below(300)),
                1 => (Written::Groups, random.below(30)),
                _ => (Written::Segments, random.below(30)),
            };
            let crash = if random.one_in(2) { Crash::PowerCut(PowerCut::torn()) } else { crash(random) };
            Fault::CrashInWrite { write, files, crash, back_ms: back_ms(random) }
        }
        6 => Fault::Restart { reactors: random.between(1, reactors_max) as usize, back_ms: back_ms(random) },
        7 => {
            let ms = if random.one_in(4) { 30_000 } else { random.between(10, 5_000) };
            Fault::Pause { ms }
        }
        8 if random.one_in(2) => {
            let jump = random.between(1, 3_600_000) as i64;
            Fault::WallClock { ms: if random.one_in(2) { jump } else { -jump } }
        }
        8 => Fault::Memory { left: random.between(0, 1 << 20) as usize, ms: random.between(100, 5_000) },
        9 | 10 => {
            let (to_broker, from_broker) = [(true, true), (true, false), (false, true)][random.below(3) as usize];
            Fault::Partition { to_broker, from_broker, ms: random.between(100, 20_000) }
        }
        11 => Fault::Delay { delay_ms: random.between(1, 2_000), ms: random.between(1_000, 10_000) },
        12 => Fault::Reset,
        13 => Fault::Resets { one_in: random.between(20, 500), ms: random.between(500, 10_000) },
        14 => Fault::ClientsLost { ms: random.between(100, 5_000) },
        15 => Fault::Disk { rates: slow(random), ms: random.between(500, 10_000) },
        16 => Fault::DiskFull { free_bytes: random.below(4 << 20), ms: random.between(500, 8_000) },
        17 => Fault::DiskDies { ms: random.between(100, 5_000) },
        18 => Fault::ReadOnly { ms: random.between(100, 5_000) },
        19 | 20 => Fault::Disk { rates: errors(random), ms: random.between(500, 5_000) },
        21 => Fault::LatentErrors { sectors: random.between(1, 50), ms: random.between(100, 8_000) },
        22 => {
            let rates = DiskFaultRates { astray_one_in: random.between(1, 20), ..DiskFaultRates::default() };
            Fault::Disk { rates, ms: random.between(500, 10_000) }
        }
        23 => Fault::Rot { count: random.between(1, 20) },
        24 => Fault::Disk { rates: slow(random), ms: random.between(500, 10_000) },
        25 => {
            let rates = DiskFaultRates { sync_error_one_in: random.between(2, 40), ..DiskFaultRates::default() };
            Fault::Disk { rates, ms: random.between(500, 5_000) }
        }
        _ => match random.below(3) {
            0 => Fault::Crash { crash: crash(random), back_ms: back_ms(random) },
            _ => Fault::RotLastCopy { count: random.between(1, 10) },
        },
    }
}

fn back_ms(random: &mut Prng) -> u64 {
    random.between(1, 800)
}

fn crash(random: &mut Prng) -> Crash {
    if random.one_in(3) {
        return Crash::Kill;
    }
    Crash::PowerCut(power_cut(random))
}

fn power_cut(random: &mut Prng) -> PowerCut {
    match random.below(3) {
        0 => PowerCut::default(),
        1 => PowerCut::mixed(),
        _ => PowerCut {
            pages_kept_percent: random.below(101) as u8,
            pages_torn_percent: random.below(101) as u8,
            sizes_kept_percent: random.below(101) as u8,
            writes_in_flight_percent: random.below(101) as u8,
            names_kept: random.one_in(2),
        },
    }
}

fn slow(random: &mut Prng) -> DiskFaultRates {
    DiskFaultRates {
        slow_one_in: random.between(2, 50),
        slow_for: Duration::from_secs(10),
        ..DiskFaultRates::default()
    }
}

fn errors(random: &mut Prng) -> DiskFaultRates {
    let mut rate = || if random.one_in(2) { 0 } else { random.between(5, 200) };
    let (read_error_one_in, write_error_one_in, sync_error_one_in) = (rate(), rate(), rate());
    DiskFaultRates { read_error_one_in, write_error_one_in, sync_error_one_in, ..DiskFaultRates::default() }
}
