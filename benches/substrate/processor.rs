//! Cores and CPU clocks.

use std::time::Duration;

/// A process's CPU clock.
#[derive(Clone, Copy)]
pub struct Clock(libc::clockid_t);

/// Pins this thread, and those it will start, to `core` (modulo the cores there are).
pub fn pin(core: usize) {
    let cores = flumen::io::topology::available_cores();
    // A child inherits its parent's pinning, so the cores of the machine are asked for, not those of the process.
    let count =
        std::fs::read_to_string("/proc/cpuinfo").map_or(cores.len(), |text| text.matches("processor\t").count());
    // SAFETY: all-zero bytes are an empty set, the index is below its size, and the size is stated.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core % count.max(1), &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

/// The CPU clock of a process, the kernel's worker threads for it included.
pub fn clock_of(process: u32) -> Clock {
    let mut clock = 0;
    // SAFETY: the clock's id is to be filled.
    let result = unsafe { libc::clock_getcpuclockid(process as libc::pid_t, &mut clock) };
    assert!(result == 0, "the process runs");
    Clock(clock)
}

/// The CPU clock of this process.
pub fn own_clock() -> Clock {
    clock_of(std::process::id())
}

impl Clock {
    pub fn now(self) -> Duration {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the argument is a timespec to be filled.
        let result = unsafe { libc::clock_gettime(self.0, &mut now) };
        assert!(result == 0, "the process runs");
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    }
}
