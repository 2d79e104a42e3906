//! What the threads of a run share: the beginning, the end, and what a progress line shows.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use flumen::base::time::{Duration, Instant};
use flumen::io::Handle;

use super::measure::Window;

/// How often the threads look whether all are ready.
const READY_POLL: Duration = Duration::from_millis(1);
/// Between the moment all are ready and the first request.
const LEAD: Duration = Duration::from_millis(10);

/// State of a run.
#[derive(Default)]
pub struct Shared {
    ready: AtomicUsize,
    /// On the monotonic clock; 0 until all are ready.
    start_ns: AtomicU64,
    stopped: AtomicBool,
    failure: Mutex<Option<String>>,
    pub requests: AtomicU64,
    pub records: AtomicU64,
    pub bytes: AtomicU64,
    pub errors: AtomicU64,
    /// Readers that have nothing left to read.
    pub readers_done: AtomicUsize,
}

impl Shared {
    /// Waits for the other threads; gives the time of the first request.
    pub async fn start(&self, io: &Handle, threads: usize) -> Instant {
        if self.ready.fetch_add(1, Ordering::SeqCst) + 1 == threads {
            self.start_ns.store((io.now() + LEAD).0, Ordering::SeqCst);
        }
        loop {
            match self.start_ns.load(Ordering::SeqCst) {
                0 if self.is_stopped() => return io.now(),
                0 => io.sleep(READY_POLL).await,
                start => return Instant(start),
            }
        }
    }

    /// Ends the run early.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Ends the run as failed; the first reason counts.
    pub fn fail(&self, reason: String) {
        self.failure.lock().expect("never left mid-change").get_or_insert(reason);
        self.stop();
    }

    pub fn failure(&self) -> Option<String> {
        self.failure.lock().expect("never left mid-change").clone()
    }

    /// Notes an error of the broker that the run survives; the first few are told.
    pub fn error(&self, text: impl FnOnce() -> String) {
        /// More of them would hide the rest of the output.
        const TOLD_MAX: u64 = 3;
        if self.errors.fetch_add(1, Ordering::Relaxed) < TOLD_MAX {
            super::say_error(&format!("flumen-load: {}", text()));
        }
    }

    pub fn count(&self, records: u64, bytes: u64) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The window that begins after `warm_up` and lasts for `duration`.
pub fn window(start: Instant, warm_up: Duration, duration: Duration) -> Window {
    Window { start: start + warm_up, end: start + warm_up + duration }
}
