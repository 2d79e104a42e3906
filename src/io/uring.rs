//! The real backend: one io_uring a reactor.
//!
//! The ring is made on its reactor's thread and used by it alone (`SINGLE_ISSUER`, `DEFER_TASKRUN`): completions are
//! produced inside the one `io_uring_enter` of a turn, never by an interruption. What an operation needs while the
//! kernel works on it (blocks, paths, vectors) lies in [`slots`] until its last completion, however early its future
//! was dropped. Operations become ring entries in [`start`], entries' results become completions in [`finish`]; the few
//! calls the ring does not have are in [`system`] and do not wait. Chunks are received into [`buffers`]; what is written from
//! memory that lasts is in [`fixed`].
//!
//! Sockets are non-blocking, for `sendfile`; the ring's own receives and sends wait all the same, because the kernel
//! looks at `MSG_DONTWAIT` for them and not at the descriptor's mode.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::AsRawFd;

use io_uring::types::{CancelBuilder, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue};

use super::backend::{Backend, Wait};
use super::clock::Clocks;
use super::op::{Completion, Fd, Op, Submission};
use super::{Error, Result};
use crate::base::block::Pool;
use crate::base::time::Duration;
use crate::model::ids::ReactorId;

mod buffers;
mod finish;
mod fixed;
mod slots;
mod start;
mod system;
mod table;

use buffers::BufferRing;
use fixed::FixedBuffers;
use slots::Slots;
pub(super) use system::{block_stop_signals, return_freed_memory};
pub use table::RingTable;

/// Entries of the submission queue; a turn with more submits in between.
const SUBMISSION_ENTRIES: u32 = 1024;
/// The fewest entries to start with when memory may not be locked.
const SUBMISSION_ENTRIES_MIN: u32 = 64;
/// Completion entries for each submission entry: multishot operations complete without a submission.
const COMPLETIONS_PER_SUBMISSION: u32 = 4;
/// Bytes that the kernel locks for a submission entry: itself (64), its place in the queue (4), its completions (16 each).
const ENTRY_BYTES: u64 = 64 + 4 + 16 * COMPLETIONS_PER_SUBMISSION as u64;
/// The queues of a ring get one part in so many of its share of what may be locked; the rest is for its buffers.
const LOCKED_SHARE_OF_QUEUES: u64 = 2;
/// Kernel threads of one ring for calls that wait: `[on files, on everything else]`.
const WORKERS_MAX: [u32; 2] = [16, 16];
/// Looks at the queues for each look at the clock.
const LOOKS_PER_CLOCK: u32 = 8;
/// Tries to have a full submission queue taken by the kernel.
const FLUSH_TRIES: u32 = 1000;
/// A send from this size on is a large one.
const LARGE_SEND_BYTES_MIN: usize = 32 << 10;
/// Bytes of large sends that one turn begins with; the others wait for later turns, so that what arrives meanwhile, and the
/// writes it brings, need not wait until a crowd of consumers has been served.
const LARGE_SEND_BYTES_A_TURN: usize = 256 << 10;
/// How long the end of a backend waits for the operations it has cancelled, and how often it looks.
const DRAIN_STEP: Duration = Duration::from_millis(10);
const DRAIN_STEPS: u32 = 500;

/// The kernel behind one reactor.
pub struct UringBackend {
    ring: IoUring,
    id: ReactorId,
    table: RingTable,
    slots: Slots,
    buffers: BufferRing,
    fixed: FixedBuffers,
    pool: Pool,
    /// Large sends whose turn has not come yet.
    later: VecDeque<Submission>,
    /// Completion entries taken from the ring and not yet looked at.
    arrived: Vec<cqueue::Entry>,
    /// How long it looks for completions itself before it sleeps.
    spin: Duration,
}

impl UringBackend {
    /// The backend of reactor `id`, to be made on the thread that will use it. `table` is shared by all reactors of the
    /// process; receive buffers come out of `pool`.
    ///
    /// # Errors
    /// With a sentence that names the remedy, when the machine does not let the process have a ring.
    pub fn new(id: ReactorId, table: &RingTable, pool: &Pool) -> Result<UringBackend> {
        let ring = build_ring(table.reactors())?;
        let mut workers = WORKERS_MAX;
        ring.submitter().register_iowq_max_workers(&mut workers)?;
        let buffers = BufferRing::new(&ring.submitter(), pool)?;
        let fixed = FixedBuffers::new(&ring.submitter());
        table.enter(id, ring.as_raw_fd());
        Ok(UringBackend {
            ring,
            id,
            table: table.clone(),
            slots: Slots::default(),
            buffers,
            fixed,
            pool: pool.clone(),
            later: VecDeque::new(),
            arrived: Vec::with_capacity(256),
            spin: Duration::ZERO,
        })
    }

    /// The same, but before it sleeps it looks for completions for as long as `spin`.
    pub fn spinning(mut self, spin: Duration) -> UringBackend {
        self.spin = spin;
        self
    }

    /// Has the kernel keep `file` open, and any lock on it, until the last operation of this ring has ended: also after
    /// the process was killed, when what it left with a device is still on its way.
    ///
    /// # Errors
    /// The kernel's.
    pub fn hold(&self, file: &File) -> Result<()> {
        self.ring.submitter().register_files(&[file.as_raw_fd()])
    }

    /// Queues an entry for the kernel.
    fn push(&mut self, entry: &squeue::Entry) {
        for _ in 0..FLUSH_TRIES {
            // SAFETY: whatever the entry points to is owned by a slot (or by the buffer ring) and stays where it is
            // until the entry's last completion.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return;
            }
            self.enter(Wait::Not);
        }
        panic!("the kernel does not take submissions");
    }

    /// Gives the kernel what is queued and takes what has completed, after the wait: awake at first, as far as it may spin.
    fn enter(&mut self, wait: Wait) {
        if wait != Wait::Not && self.spin > Duration::ZERO {
            self.submit(Wait::Not);
            if !self.arrived.is_empty() {
                return;
            }
            if self.spins(wait) {
                return self.submit(Wait::Not);
            }
        }
        self.submit(wait);
    }

    /// Looks for completions without sleeping; false when the time for it is over.
    fn spins(&mut self, wait: Wait) -> bool {
        let mut until = system::monotonic() + self.spin;
        if let Wait::Until(deadline) = wait {
            until = until.min(deadline);
        }
        while system::monotonic() < until {
            for _ in 0..LOOKS_PER_CLOCK {
                if self.ring.submission().taskrun() || !self.ring.completion().is_empty() {
                    return true;
                }
                std::hint::spin_loop();
            }
        }
        false
    }

    /// As [`UringBackend::enter`], asleep from the start.
    fn submit(&mut self, wait: Wait) {
        let (timeout, want) = match wait {
            Wait::Not => (None, 0),
            Wait::Forever => (None, 1),
            Wait::Until(deadline) => match deadline.since(system::monotonic()) {
                Duration::ZERO => (None, 0),
                left => (Some(Timespec::from(left)), 1),
            },
        };
        let queue = self.ring.submission();
        let (queued, due) = (queue.len() as u32, queue.taskrun() || queue.cq_overflow());
        drop(queue);
        if want > 0 || queued > 0 || due {
            let args = match &timeout {
                Some(timeout) => SubmitArgs::new().timespec(timeout),
                None => SubmitArgs::new(),
            };
            let flags = (EnterFlags::GETEVENTS | EnterFlags::EXT_ARG).bits();
            // SAFETY: the argument is the structure that EXT_ARG announces, alive during the call.
            let entered = unsafe { self.ring.submitter().enter(queued, want, flags, Some(&args)) };
            if let Err(error) = entered {
                match error.raw_os_error() {
                    // The wait ended early, or what was queued stays queued until completions were taken.
                    Some(libc::EINTR | libc::ETIME | libc::EAGAIN | libc::EBUSY) => {}
                    _ => panic!("io_uring_enter: {error}"),
                }
            }
        }
        self.arrived.extend(self.ring.completion());
    }

    /// Turns all completion entries that were taken into completions.
    fn finish_arrived(&mut self, completions: &mut Vec<Completion>) {
        // Finishing one may take further entries from the ring, when the submission queue is full.
        while !self.arrived.is_empty() {
            let mut arrived = std::mem::take(&mut self.arrived);
            for entry in arrived.drain(..) {
                self.finish(&entry, completions);
            }
            if self.arrived.is_empty() {
                self.arrived = arrived;
            }
        }
    }

    /// Finishes what nobody awaits any more, and closes the descriptors it brings.
    fn release_arrived(&mut self) {
        let mut completions = Vec::new();
        for entry in std::mem::take(&mut self.arrived) {
            let brings_fd = self.slots.brings_fd(entry.user_data());
            self.finish(&entry, &mut completions);
            for completion in completions.drain(..) {
                if brings_fd && completion.result >= 0 {
                    system::close(Fd(completion.result));
                }
            }
        }
    }
}

impl Backend for UringBackend {
    fn turn(&mut self, submissions: &mut VecDeque<Submission>, completions: &mut Vec<Completion>, wait: Wait) {
        self.buffers.refill(&self.pool);
        let mut room = LARGE_SEND_BYTES_A_TURN;
        while room > 0
            && let Some(submission) = self.later.pop_front()
        {
            room = room.saturating_sub(large_send_bytes(&submission.op));
            self.start(submission, completions);
        }
        while let Some(submission) = submissions.pop_front() {
            match large_send_bytes(&submission.op) {
                1.. if room == 0 => self.later.push_back(submission),
                bytes => {
                    room = room.saturating_sub(bytes);
                    self.start(submission, completions);
                }
            }
        }
        let at_hand = !completions.is_empty() || !self.arrived.is_empty() || !self.later.is_empty();
        self.enter(if at_hand { Wait::Not } else { wait });
        self.finish_arrived(completions);
    }

    fn clocks(&self) -> Clocks {
        Clocks { now: system::monotonic(), wall_ms: system::wall_ms() }
    }

    fn random(&mut self, bytes: &mut [u8]) {
        system::random(bytes);
    }

    fn name(&self) -> &'static str {
        "io_uring"
    }
}

impl Drop for UringBackend {
    /// Cancels what is in flight and waits for it: the kernel may write to a block until then.
    fn drop(&mut self) {
        self.table.leave(self.id);
        self.push(&opcode::AsyncCancel2::new(CancelBuilder::any()).build().user_data(finish::IGNORED));
        self.slots.end_streams();
        for _ in 0..DRAIN_STEPS {
            if self.slots.in_flight() == 0 {
                // What it holds goes now, and not when the kernel gets to the ring. Mostly there is nothing.
                let _ = self.ring.submitter().unregister_files();
                return;
            }
            self.enter(Wait::Until(system::monotonic() + DRAIN_STEP));
            self.release_arrived();
        }
        tracing::error!(
            operations = self.slots.in_flight(),
            "operations outlive their reactor; their memory is given up"
        );
        self.slots.give_up();
        self.buffers.give_up();
    }
}

/// The bytes of a large send, 0 for anything else.
fn large_send_bytes(op: &Op) -> usize {
    let bytes = match op {
        Op::Send { bytes, .. } => bytes.iter().map(|slice| slice.len()).sum(),
        Op::SendFile { bytes, .. } => *bytes as usize,
        _ => 0,
    };
    if bytes >= LARGE_SEND_BYTES_MIN { bytes } else { 0 }
}

/// A ring of one of `reactors`, as large as the process may have it.
fn build_ring(reactors: usize) -> Result<IoUring> {
    let mut entries = entries_within(system::locked_bytes_max(), reactors);
    loop {
        let built = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(entries * COMPLETIONS_PER_SUBMISSION)
            .dontfork()
            .build(entries);
        match built {
            Ok(ring) if entries < SUBMISSION_ENTRIES => {
                tracing::warn!(entries, "the limit of locked memory makes the ring small: {MEMLOCK_REMEDY}");
                return Ok(ring);
            }
            Ok(ring) => return Ok(ring),
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && entries > SUBMISSION_ENTRIES_MIN => {
                entries /= 2;
            }
            Err(error) => return Err(explained(&error)),
        }
    }
}

/// Entries to start with, so that the rings of the other reactors find room within the limit of locked memory, too.
fn entries_within(locked_bytes_max: Option<u64>, reactors: usize) -> u32 {
    let share = locked_bytes_max.map_or(u64::MAX, |limit| limit / reactors as u64 / LOCKED_SHARE_OF_QUEUES);
    let mut entries = SUBMISSION_ENTRIES;
    while entries > SUBMISSION_ENTRIES_MIN && u64::from(entries) * ENTRY_BYTES > share {
        entries /= 2;
    }
    entries
}

/// What to do about a limit of locked memory that is too low.
const MEMLOCK_REMEDY: &str = "raise it (`LimitMEMLOCK=infinity` in the service unit, `ulimit -l unlimited` in a shell)";

/// Why there is no ring, and what to do.
fn explained(error: &Error) -> Error {
    let why = match error.raw_os_error() {
        Some(libc::EPERM) => {
            "io_uring is forbidden here: allow it (sysctl kernel.io_uring_disabled=0; in a container, a seccomp profile \
             that permits io_uring_setup, io_uring_enter and io_uring_register)"
                .to_owned()
        }
        Some(libc::ENOSYS) => "this kernel has no io_uring: Linux 6.1 or later is needed".to_owned(),
        Some(libc::EINVAL) => "this kernel's io_uring is too old: Linux 6.1 or later is needed".to_owned(),
        Some(libc::ENOMEM) => format!("the limit of locked memory is too low for a ring: {MEMLOCK_REMEDY}"),
        Some(libc::EMFILE | libc::ENFILE) => "no descriptor is left for a ring: raise the limit of open files".to_owned(),
        _ => "no ring could be made".to_owned(),
    };
    Error::new(error.kind(), format!("{why} ({error})"))
}
