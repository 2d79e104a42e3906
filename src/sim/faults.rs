//! What is made to fail. Each kind is off unless asked for and draws from a stream of its own, so that switching one on
//! leaves the draws of all others as they were.

use crate::base::prng::Prng;
use crate::base::time::Duration;

/// Which durable writes are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// All.
    Any,
    /// Those outside of the journal.
    Segments,
    /// Groups of the journal that take more than one page.
    Groups,
}

/// One chance in so many that something fails; never when 0.
#[derive(Clone, Debug)]
struct Chance {
    one_in: u64,
    random: Prng,
}

impl Chance {
    fn never(random: Prng) -> Chance {
        Chance { one_in: 0, random }
    }

    fn strikes(&mut self) -> bool {
        self.one_in > 0 && self.random.one_in(self.one_in)
    }
}

/// How often operations of one file system fail: one in so many, 0 for never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskFaultRates {
    /// Reads that fail with EIO.
    pub read_error_one_in: u64,
    /// Writes that fail with EIO, having written nothing.
    pub write_error_one_in: u64,
    /// Syncs that fail with EIO; some changes are then never made durable by a later sync either, as on Linux.
    pub sync_error_one_in: u64,
    /// Writes that land elsewhere in their file, as far as the atlas allows it for that file.
    pub astray_one_in: u64,
    /// Operations that take longer.
    pub slow_one_in: u64,
    /// How much longer those take at most; the shortest of them a hundredth of it.
    pub slow_for: Duration,
}

/// The faults of one file system.
pub(super) struct DiskFaults {
    read: Chance,
    write: Chance,
    sync: Chance,
    astray: Chance,
    slow: Chance,
    slow_for: Duration,
    lost_pages: Prng,
    /// From then on everything that touches the device fails.
    pub(super) dead: bool,
    /// Nothing may change.
    pub(super) read_only: bool,
}

impl DiskFaults {
    pub(super) fn new(streams: &Prng) -> DiskFaults {
        DiskFaults {
            read: Chance::never(streams.split("read errors")),
            write: Chance::never(streams.split("write errors")),
            sync: Chance::never(streams.split("sync errors")),
            astray: Chance::never(streams.split("writes astray")),
            slow: Chance::never(streams.split("slow operations")),
            slow_for: Duration::ZERO,
            lost_pages: streams.split("pages lost by failed syncs"),
            dead: false,
            read_only: false,
        }
    }

    pub(super) fn set(&mut self, rates: DiskFaultRates) {
        self.read.one_in = rates.read_error_one_in;
        self.write.one_in = rates.write_error_one_in;
        self.sync.one_in = rates.sync_error_one_in;
        self.astray.one_in = rates.astray_one_in;
        self.slow.one_in = rates.slow_one_in;
        self.slow_for = rates.slow_for;
    }

    pub(super) fn read_fails(&mut self) -> bool {
        self.read.strikes() || self.dead
    }

    pub(super) fn write_fails(&mut self) -> bool {
        self.write.strikes() || self.dead
    }

    pub(super) fn sync_fails(&mut self) -> bool {
        self.sync.strikes() || self.dead
    }

    /// Whether a write goes astray, and to where: a number to take the remainder of.
    pub(super) fn goes_astray(&mut self) -> Option<u64> {
        self.astray.strikes().then(|| self.astray.random.bits())
    }

    pub(super) fn slowness(&mut self) -> Duration {
        if !self.slow.strikes() {
            return Duration::ZERO;
        }
        // As many around each power of ten.
        let longest = self.slow_for.as_nanos() as u64;
        let magnitude = self.slow.random.below(2);
        let high = longest / 10u64.pow(magnitude as u32);
        Duration::from_nanos(self.slow.random.between(high / 10, high))
    }

    pub(super) fn lost_pages(&mut self) -> &mut Prng {
        &mut self.lost_pages
    }
}
