//! The reactor's write-ahead journal: one commit for all partitions.
//!
//! Appends of a turn are staged, entry by entry, in the open group. At the turn's end the group is sealed and written
//! with one durable write, unless [`StorageConfig::groups_in_flight_max`] are under way: then it goes on filling, which
//! is how the commit's size follows the load. A group is durable when it, its runs, and all groups before it are.
//!
//! Files are recycled in order. One may be written anew when no log needs it any more, that is when every log's
//! checkpoint covers what the file holds of it; logs hold an [`Arc`] of the file for as long as they need it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use super::config::{Precedence, StorageConfig};
use super::group::{self, Chain, ENTRY_HEADER_BYTES, Entry, FileHeader, GROUP_HEADER_BYTES, GROUPS_START, GroupPlace};
use super::journal_file::{JournalFile, JournalFiles};
use super::log::Log;
use super::run::SealedRun;
use super::stats::JournalStats;
use crate::base::block::{Appender, BLOCK_ALIGN, Block, Slice, Use};
use crate::base::oneshot;
use crate::base::time::{Duration, Instant};
use crate::io::Handle;
use crate::io::op::Slices;
use crate::model::offset::Offset;

/// What becomes of the logs when groups complete.
#[derive(Debug)]
pub enum Durable {
    /// This log is durable up to this offset.
    Log(Rc<Log>, Offset),
    /// A durable write failed: nothing more will become durable.
    Failed(String),
}

/// Why nothing can be staged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageError {
    /// No journal file has room; write-back will free one.
    Full,
    /// A durable write failed earlier.
    Failed(String),
    /// The machine has no memory left.
    Memory,
    /// The storage is being shut down.
    Closed,
}

/// The journal of one reactor.
#[derive(Clone)]
pub struct Journal {
    inner: Rc<Inner>,
}

struct Inner {
    io: Handle,
    config: Rc<StorageConfig>,
    chain: Chain,
    files: JournalFiles,
    state: RefCell<State>,
    stats: RefCell<JournalStats>,
    /// Nothing more is staged.
    closed: Cell<bool>,
    /// The pump is to end.
    stopping: Cell<bool>,
}

struct State {
    appender: Option<Appender>,
    open: Option<OpenGroup>,
    sealed: VecDeque<Sealed>,
    in_flight: VecDeque<Flight>,
    next_group: u64,
    /// Groups below this one are durable.
    durable_groups: u64,
    /// A group that says so was written since, or need not be.
    witnessed: bool,
    /// When the last group became durable.
    idle_since: Instant,
    current: Current,
    live: VecDeque<Arc<JournalFile>>,
    durable: VecDeque<Durable>,
    failure: Option<String>,
    pump: Option<Waker>,
    listener: Option<Waker>,
    waiters: Vec<(u64, oneshot::Sender<()>)>,
}

/// The group being filled.
#[derive(Default)]
struct OpenGroup {
    entries: u32,
    /// Logs with an open run in this group.
    runs: Vec<Rc<Log>>,
    sealed_runs: Vec<SealedRun>,
    touched: Vec<(Rc<Log>, Offset)>,
    /// When it has to go even if nobody waits for it; `None` when somebody does.
    lazy_until: Option<Instant>,
    opened: Instant,
}

/// A group ready to be written.
struct Sealed {
    group: u64,
    bytes: Slice,
    file: Arc<JournalFile>,
    at: u64,
    /// The header of a file that begins with this group.
    header: Option<Slice>,
    runs: Vec<SealedRun>,
    touched: Vec<(Rc<Log>, Offset)>,
}

struct Flight {
    group: u64,
    done: bool,
    touched: Vec<(Rc<Log>, Offset)>,
}

/// The file that groups go to.
struct Current {
    file: Arc<JournalFile>,
    header: FileHeader,
    position: u64,
    header_written: bool,
}

/// How urgently an entry wants to be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody waits for it.
    Now,
    /// Nobody waits; durable within this time (`write.caching`).
    Within(Duration),
}

/// After this long without an append an empty group is written, which tells recovery that the groups before it were
/// durable: damage to them is then never taken for a torn end.
const WITNESS_AFTER: Duration = Duration::from_millis(50);
/// Of the logs that a group touches, those touched last are looked through before one is noted again.
const TOUCHED_LOOKED_AT: usize = 8;
/// Bytes kept free in a group for the rest of one open run: an entry's header and less than a block.
const RUN_REST_BYTES: usize = ENTRY_HEADER_BYTES + BLOCK_ALIGN;

impl State {
    /// The open group, if anything is in it: one is begun before it is certain that its first entry comes.
    fn filling(&self) -> Option<&OpenGroup> {
        self.open.as_ref().filter(|open| open.entries > 0 || !open.runs.is_empty())
    }

    /// See [`Journal::fail`].
    fn fail(&mut self, reason: String) {
        if self.failure.is_some() {
            return;
        }
        tracing::error!("storage is offline: {reason}");
        self.failure = Some(reason.clone());
        // Their runs will never be written; write-back waits for that.
        self.open.iter().flat_map(|open| &open.runs).for_each(|log| log.wake_quiet());
        let touched = self.open.iter().map(|open| &open.touched);
        let touched = touched.chain(self.sealed.iter().map(|sealed| &sealed.touched));
        touched.flatten().for_each(|(log, _)| log.wake_quiet());
        self.waiters.clear();
        self.durable.push_back(Durable::Failed(reason));
        if let Some(waker) = self.listener.take() {
            waker.wake();
        }
    }
}

impl Journal {
    /// A journal over `files`, the first of which is ready.
    ///
    /// # Panics
    /// When none is.
    pub fn new(io: &Handle, config: &Rc<StorageConfig>, chain: Chain, files: JournalFiles) -> Journal {
        let file = Arc::new(files.take_ready().expect("JournalFiles::open made one ready"));
        let header = FileHeader { chain, sequence: 0, first_group: 0, bytes: file.bytes() };
        let state = State {
            live: VecDeque::from([Arc::clone(&file)]),
            current: Current { file, header, position: GROUPS_START, header_written: false },
            appender: None,
            open: None,
            sealed: VecDeque::new(),
            in_flight: VecDeque::new(),
            next_group: 0,
            durable_groups: 0,
            witnessed: true,
            idle_since: Instant::default(),
            durable: VecDeque::new(),
            failure: None,
            pump: None,
            listener: None,
            waiters: Vec::new(),
        };
        files.want(1);
        let inner = Inner {
            io: io.clone(),
            config: Rc::clone(config),
            chain,
            files,
            state: RefCell::new(state),
            stats: RefCell::default(),
            closed: Cell::new(false),
            stopping: Cell::new(false),
        };
        let journal = Journal { inner: Rc::new(inner) };
        io.spawn(journal.clone().pump());
        journal
    }

    /// Which life of which journal this is.
    pub fn chain(&self) -> Chain {
        self.inner.chain
    }

    /// Makes sure that the open group takes an entry of `payload` bytes, sealing it and beginning another if need be. To
    /// be called before the log's state is borrowed: sealing visits the logs of the group.
    ///
    /// # Errors
    /// [`StageError`].
    pub fn make_room(&self, payload: usize, precedence: Precedence) -> Result<(), StageError> {
        self.check_open()?;
        let state = &mut *self.inner.state.borrow_mut();
        let need = ENTRY_HEADER_BYTES + payload + RUN_REST_BYTES;
        if let Some(open) = &state.open {
            let appender = state.appender.as_ref().expect("an open group has its block");
            let filled = appender.filled() - appender.section_start() + open.runs.len() * RUN_REST_BYTES;
            let fits = appender.room() >= need + open.runs.len() * RUN_REST_BYTES
                && filled + need <= (self.inner.config.group_bytes_max as usize).max(need + GROUP_HEADER_BYTES);
            if fits && self.has_file_room(state, filled + need, precedence) {
                return Ok(());
            }
            self.seal(state);
        }
        if !self.has_file_room(state, GROUP_HEADER_BYTES + need, precedence) {
            self.wake_files(state);
            return Err(StageError::Full);
        }
        self.begin(state, GROUP_HEADER_BYTES + need)
    }

    /// Whether anything can be staged at all, sooner or later.
    ///
    /// # Errors
    /// [`StageError::Failed`] and [`StageError::Closed`].
    pub fn check_open(&self) -> Result<(), StageError> {
        match &self.inner.state.borrow().failure {
            Some(failure) => Err(StageError::Failed(failure.clone())),
            None if self.inner.closed.get() => Err(StageError::Closed),
            None => Ok(()),
        }
    }

    /// Whether a group of `bytes` finds a place in the current file or in one that is ready, and leaves in the last of
    /// them what is left to others.
    fn has_file_room(&self, state: &State, bytes: usize, precedence: Precedence) -> bool {
        let bytes = bytes.next_multiple_of(BLOCK_ALIGN) as u64;
        let leaves = precedence.leaves(self.inner.config.journal_file_bytes);
        let (current, ready) = (state.current.file.bytes() - state.current.position, self.inner.files.ready_bytes());
        if ready == 0 { current >= bytes + leaves } else { current >= bytes || ready >= bytes + GROUPS_START + leaves }
    }

    fn begin(&self, state: &mut State, bytes: usize) -> Result<(), StageError> {
        let room = state.appender.as_ref().map_or(0, Appender::room);
        if room < bytes {
            let size = bytes.max(self.inner.config.group_bytes_max as usize);
            let block = self.inner.io.pool().block_unlimited(size, Use::Tail).ok_or(StageError::Memory)?;
            state.appender = Some(block.into_appender());
        }
        state.appender.as_mut().expect("it was just made").begin(GROUP_HEADER_BYTES);
        state.open = Some(OpenGroup {
            opened: self.inner.io.now(),
            lazy_until: Some(Instant(u64::MAX)),
            ..OpenGroup::default()
        });
        Ok(())
    }

    /// Stages an entry of `bytes` payload bytes, which `fill` writes. Room was made before. When `fill` fails nothing is
    /// staged.
    ///
    /// # Errors
    /// What `fill` returns.
    pub fn stage<E>(
        &self,
        entry: &Entry,
        bytes: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Slice, E> {
        let state = &mut *self.inner.state.borrow_mut();
        let appender = state.appender.as_mut().expect("room was made");
        let space = appender.reserve(ENTRY_HEADER_BYTES + bytes);
        fill(&mut space[ENTRY_HEADER_BYTES..])?;
        space[..ENTRY_HEADER_BYTES].copy_from_slice(&entry.encode(bytes as u32));
        let slice = appender.share(ENTRY_HEADER_BYTES + bytes);
        state.open.as_mut().expect("room was made").entries += 1;
        Ok(slice.slice(ENTRY_HEADER_BYTES..ENTRY_HEADER_BYTES + bytes))
    }

    /// Notes that the open group brings `log` to `end`, and how soon that is wanted.
    pub fn touch(&self, log: &Rc<Log>, end: Offset, urgency: Urgency) {
        let state = &mut *self.inner.state.borrow_mut();
        let open = state.open.as_mut().expect("something was staged");
        let mut latest = open.touched.iter_mut().rev().take(TOUCHED_LOOKED_AT);
        match latest.find(|(other, _)| Rc::ptr_eq(other, log)) {
            Some((_, offset)) => *offset = end,
            None => open.touched.push((Rc::clone(log), end)),
        }
        open.lazy_until = match (urgency, open.lazy_until) {
            (Urgency::Within(time), Some(until)) => Some(until.min(self.inner.io.now() + time)),
            _ => None,
        };
        if let Some(waker) = state.pump.take() {
            waker.wake();
        }
    }

    /// Notes that `log` has an open run in the open group.
    pub fn join_run(&self, log: &Rc<Log>) {
        let state = &mut *self.inner.state.borrow_mut();
        state.open.as_mut().expect("room was made").runs.push(Rc::clone(log));
    }

    /// Takes a run that its log has closed before the group's end.
    pub fn close_run(&self, run: SealedRun) {
        let state = &mut *self.inner.state.borrow_mut();
        let open = state.open.as_mut().expect("the run was opened in it");
        open.runs.retain(|log| !log.is(run.entry.id));
        stage_run(state, run);
    }

    /// The number of the open group, or of the next one.
    pub fn group(&self) -> u64 {
        self.inner.state.borrow().next_group
    }

    /// The file that the open group goes to at the earliest: what a log that appends now will need.
    pub fn file(&self) -> Arc<JournalFile> {
        Arc::clone(&self.inner.state.borrow().current.file)
    }

    /// Waits until everything staged so far is durable; false when the journal has failed.
    pub async fn settled(&self) -> bool {
        let receiver = {
            let state = &mut *self.inner.state.borrow_mut();
            if state.failure.is_some() {
                return false;
            }
            let is_filling = state.filling().is_some();
            if let Some(open) = state.open.as_mut().filter(|_| is_filling) {
                open.lazy_until = None;
            }
            if !is_filling && state.sealed.is_empty() && state.in_flight.is_empty() {
                return true;
            }
            let last = state.next_group - u64::from(!is_filling);
            let (sender, receiver) = oneshot::channel();
            state.waiters.push((last, sender));
            if let Some(waker) = state.pump.take() {
                waker.wake();
            }
            receiver
        };
        receiver.await.is_some()
    }

    /// What became durable, in order.
    pub async fn next_durable(&self) -> Vec<Durable> {
        poll_fn(|context| {
            let state = &mut *self.inner.state.borrow_mut();
            if state.durable.is_empty() {
                state.listener = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(state.durable.drain(..).collect())
        })
        .await
    }

    /// Takes the storage offline: everything staged from here on is refused.
    pub fn fail(&self, reason: String) {
        self.inner.state.borrow_mut().fail(reason);
    }

    /// Why the storage is offline, if it is.
    pub fn failure(&self) -> Option<String> {
        self.inner.state.borrow().failure.clone()
    }

    /// Counts since the start.
    pub fn stats(&self) -> JournalStats {
        let mut stats = self.inner.stats.borrow().clone();
        let state = self.inner.state.borrow();
        stats.in_flight = state.in_flight.len() as u64;
        stats.live_files = state.live.len() as u64;
        stats
    }

    /// Share of the journal's capacity that holds what write-back has not released, in percent.
    pub fn fill_percent(&self) -> u64 {
        let state = self.inner.state.borrow();
        (state.live.len() as u64 * self.inner.config.journal_file_bytes * 100) / self.inner.config.journal_bytes.max(1)
    }

    /// Gives files that no log needs any more back for reuse; called after checkpoints.
    pub fn recycle(&self) {
        let state = &mut *self.inner.state.borrow_mut();
        // The current file is the last one in `live` and is held by `current` as well.
        while state.live.len() > 1 && state.live.front().is_some_and(|file| Arc::strong_count(file) == 1) {
            let file = state.live.pop_front().expect("just looked at");
            self.inner.files.give_back(Arc::into_inner(file).expect("the only holder"));
        }
    }

    /// Refuses what is to be staged from here on, and ends the pump once everything is durable; false when the storage is
    /// offline.
    pub async fn shutdown(&self) -> bool {
        self.inner.closed.set(true);
        let settled = self.settled().await;
        self.inner.stopping.set(true);
        if let Some(waker) = self.inner.state.borrow_mut().pump.take() {
            waker.wake();
        }
        settled
    }

    /// Whether nothing more is staged, because the storage is being shut down.
    pub(super) fn is_closed(&self) -> bool {
        self.inner.closed.get()
    }

    /// Gives up the logs of groups that will never be written.
    pub(super) fn let_go(&self) {
        let mut state = self.inner.state.borrow_mut();
        let (open, sealed) = (state.open.take(), std::mem::take(&mut state.sealed));
        let (in_flight, durable) = (std::mem::take(&mut state.in_flight), std::mem::take(&mut state.durable));
        drop(state);
        drop((open, sealed, in_flight, durable));
    }

    fn wake_files(&self, state: &State) {
        self.inner.files.want(state.live.len() as u64);
    }

    /// Seals the open group: its runs' rests become entries, its header is written over its front.
    fn seal(&self, state: &mut State) {
        let open = state.open.as_ref().expect("there is an open group");
        for log in open.runs.clone() {
            if let Some(run) = log.seal_run() {
                stage_run(state, run);
            }
        }
        let open = state.open.take().expect("still open");
        let appender = state.appender.as_mut().expect("an open group has its block");
        let padded = (appender.filled() - appender.section_start()).next_multiple_of(BLOCK_ALIGN) as u64;
        if state.current.position + padded > state.current.file.bytes() {
            let file = Arc::new(self.inner.files.take_ready().expect("make_room saw to it"));
            let sequence = state.current.header.sequence + 1;
            let first_group = state.next_group;
            let header = FileHeader { chain: self.inner.chain, sequence, first_group, bytes: file.bytes() };
            state.live.push_back(Arc::clone(&file));
            state.current = Current { file, header, position: GROUPS_START, header_written: false };
            self.inner.files.want(state.live.len() as u64);
        }
        let current = &mut state.current;
        let place = GroupPlace {
            chain: self.inner.chain,
            sequence: current.header.sequence,
            group: state.next_group,
            durable: state.durable_groups,
        };
        let header = group::encode_group_header(place, open.entries, appender.section());
        let bytes = appender.seal(&header);
        let file_header = (!current.header_written).then(|| header_block(&self.inner.io, &current.header)).flatten();
        let is_headless = !current.header_written && file_header.is_none();
        current.header_written = true;
        let mut stats = self.inner.stats.borrow_mut();
        stats.groups += 1;
        stats.entries += u64::from(open.entries);
        stats.bytes += bytes.len() as u64;
        stats.run_bytes += open.sealed_runs.iter().map(|run| run.bytes.len() as u64).sum::<u64>();
        stats.staged.saturating_record(self.inner.io.now().since(open.opened).as_micros() as u64);
        stats.group_bytes.saturating_record(bytes.len() as u64);
        state.sealed.push_back(Sealed {
            group: state.next_group,
            file: Arc::clone(&current.file),
            at: current.position,
            header: file_header,
            bytes,
            runs: open.sealed_runs,
            touched: open.touched,
        });
        current.position += padded;
        state.next_group += 1;
        if is_headless {
            // Without memory for 4 KiB nothing can be promised any more.
            state.fail("there is no memory for a journal file's header".into());
        }
    }

    /// The task that seals and writes.
    async fn pump(self) {
        loop {
            let more = poll_fn(|context| {
                let state = &mut *self.inner.state.borrow_mut();
                if self.inner.stopping.get() && state.filling().is_none() && state.sealed.is_empty() {
                    return Poll::Ready(None);
                }
                match self.due(state) {
                    Due::Now => Poll::Ready(Some(None)),
                    Due::At(deadline) => {
                        state.pump = Some(context.waker().clone());
                        Poll::Ready(Some(Some(deadline)))
                    }
                    Due::No => {
                        state.pump = Some(context.waker().clone());
                        Poll::Pending
                    }
                }
            })
            .await;
            match more {
                None => return,
                Some(None) => {
                    self.inner.io.turn_end().await;
                    self.launch();
                }
                Some(Some(deadline)) => self.nap(deadline).await,
            }
        }
    }

    /// Waits until `deadline` or until something is touched.
    async fn nap(&self, deadline: Instant) {
        let mut sleep = std::pin::pin!(self.inner.io.sleep_until(deadline));
        let mut polled = false;
        poll_fn(|context| {
            let woken = {
                let state = &mut *self.inner.state.borrow_mut();
                let woken = polled && state.pump.is_none();
                state.pump = Some(context.waker().clone());
                woken
            };
            polled = true;
            if woken || sleep.as_mut().poll(context).is_ready() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn due(&self, state: &State) -> Due {
        if state.in_flight.len() >= self.inner.config.groups_in_flight_max || state.failure.is_some() {
            return Due::No;
        }
        if !state.sealed.is_empty() {
            return Due::Now;
        }
        match state.filling().map(|open| open.lazy_until) {
            None if state.witnessed || !state.in_flight.is_empty() => Due::No,
            None if self.witness_due(state) => Due::Now,
            None => Due::At(state.idle_since + WITNESS_AFTER),
            Some(None) => Due::Now,
            Some(Some(until)) if until <= self.inner.io.now() => Due::Now,
            Some(Some(Instant(u64::MAX))) => Due::No,
            Some(Some(until)) => Due::At(until),
        }
    }

    /// Whether the journal has been idle long enough to say, in an empty group, that its last groups are durable.
    fn witness_due(&self, state: &State) -> bool {
        !state.witnessed
            && state.in_flight.is_empty()
            && state.filling().is_none()
            && self.inner.io.now() >= state.idle_since + WITNESS_AFTER
    }

    fn launch(&self) {
        while let Some(sealed) = self.next_sealed() {
            let journal = self.clone();
            self.inner.io.spawn(async move { journal.write(sealed).await });
        }
    }

    /// The next group to write, entered as in flight.
    fn next_sealed(&self) -> Option<Sealed> {
        let state = &mut *self.inner.state.borrow_mut();
        if state.in_flight.len() >= self.inner.config.groups_in_flight_max || state.failure.is_some() {
            return None;
        }
        if state.sealed.is_empty() && state.filling().is_some() {
            self.seal(state);
        }
        if state.sealed.is_empty() && self.witness_due(state) {
            state.witnessed = true;
            let has_room = self.has_file_room(state, BLOCK_ALIGN, Precedence::Records);
            if has_room && (state.open.is_some() || self.begin(state, BLOCK_ALIGN).is_ok()) {
                self.seal(state);
            }
        }
        let mut sealed = state.sealed.pop_front()?;
        let touched = std::mem::take(&mut sealed.touched);
        state.in_flight.push_back(Flight { group: sealed.group, done: false, touched });
        Some(sealed)
    }

    async fn write(self, sealed: Sealed) {
        let Sealed { group, bytes, file, at, header, runs, .. } = sealed;
        let io = &self.inner.io;
        let started = io.now();
        let mut runs_left = Vec::with_capacity(runs.len());
        for run in runs {
            let (sender, receiver) = oneshot::channel();
            let task_io = io.clone();
            io.spawn(async move { sender.send(run.write(&task_io).await) });
            runs_left.push(receiver);
        }
        let header_write = async {
            match header {
                Some(header) => file.write(io, 0, one(header)).await,
                None => Ok(()),
            }
        };
        let group_write = file.write(io, at, one(bytes));
        let mut result = both(header_write, group_write).await;
        for receiver in runs_left {
            let run = receiver.await.unwrap_or_else(|| Err(crate::io::ErrorKind::Interrupted.into()));
            result = result.and(run);
        }
        self.inner.stats.borrow_mut().device.saturating_record(io.now().since(started).as_micros() as u64);
        match result {
            Ok(()) => self.complete(group),
            Err(error) => {
                self.fail(format!("group {group} of the journal or one of its runs could not be written: {error}"))
            }
        }
    }

    fn complete(&self, group: u64) {
        let state = &mut *self.inner.state.borrow_mut();
        if state.failure.is_some() {
            return;
        }
        let flight = state.in_flight.iter_mut().find(|flight| flight.group == group);
        flight.expect("a group completes once").done = true;
        while state.in_flight.front().is_some_and(|flight| flight.done) {
            let flight = state.in_flight.pop_front().expect("just looked at");
            state.durable_groups = flight.group + 1;
            state.witnessed = flight.touched.is_empty();
            state.idle_since = self.inner.io.now();
            state.durable.extend(flight.touched.into_iter().map(|(log, end)| {
                log.set_durable(end);
                Durable::Log(log, end)
            }));
            let ready = state.waiters.extract_if(.., |(last, _)| *last <= flight.group);
            ready.for_each(|(_, sender)| sender.send(()));
        }
        for waker in [state.listener.take(), state.pump.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

enum Due {
    Now,
    At(Instant),
    No,
}

/// Stages the entry of a closed run: what lies behind its last whole block rides in the group.
fn stage_run(state: &mut State, run: SealedRun) {
    let appender = state.appender.as_mut().expect("an open group has its block");
    let rest = run.rest.len();
    let space = appender.reserve(ENTRY_HEADER_BYTES + rest);
    space[..ENTRY_HEADER_BYTES].copy_from_slice(&run.entry.encode(rest as u32));
    space[ENTRY_HEADER_BYTES..].copy_from_slice(&run.rest);
    appender.share(ENTRY_HEADER_BYTES + rest);
    let open = state.open.as_mut().expect("the run was opened in it");
    open.entries += 1;
    open.sealed_runs.push(run);
}

fn header_block(io: &Handle, header: &FileHeader) -> Option<Slice> {
    let mut block: Block = io.pool().block_unlimited(BLOCK_ALIGN, Use::Staging)?;
    let bytes = header.encode();
    block.fill(0);
    block[..bytes.len()].copy_from_slice(&bytes);
    Some(block.into_slice(BLOCK_ALIGN))
}

fn one(slice: Slice) -> Slices {
    let mut slices = Slices::new();
    slices.push(slice);
    slices
}

/// Runs two operations side by side; the first error of either.
async fn both(
    first: impl Future<Output = crate::io::Result<()>>,
    second: impl Future<Output = crate::io::Result<()>>,
) -> crate::io::Result<()> {
    let (mut first, mut second) = (std::pin::pin!(first), std::pin::pin!(second));
    let (mut left, mut right) = (None, None);
    poll_fn(|context| {
        if left.is_none()
            && let Poll::Ready(result) = first.as_mut().poll(context)
        {
            left = Some(result);
        }
        if right.is_none()
            && let Poll::Ready(result) = second.as_mut().poll(context)
        {
            right = Some(result);
        }
        match (&mut left, &mut right) {
            (Some(left), Some(right)) => {
                let left = std::mem::replace(left, Ok(()));
                Poll::Ready(left.and(std::mem::replace(right, Ok(()))))
            }
            _ => Poll::Pending,
        }
    })
    .await
}
