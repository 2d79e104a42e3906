//! The state that all simulated kernels share: machines, processes, descriptors, what each reactor is waiting for, and
//! what will happen when. Files are in [`super::storage`], sockets in [`super::network`].

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

use super::config::{Config, MachineConfig, ProcessConfig};
use super::disk::InodeId;
use super::events::{Event, Events};
use super::faults::Written;
use super::network::Network;
use super::storage::{self, Mount, Opened};
use super::table::{Key, Table};
use super::trace::{Trace, What};
use crate::base::block::{Block, Pool};
use crate::base::map::Map;
use crate::base::prng::Prng;
use crate::base::time::{Duration, Instant};
use crate::io::backend::Wait;
use crate::io::clock::Clocks;
use crate::io::op::{Completion, Fd, NOBODY, Op, Payload, Submission, Token, errno};
use crate::io::{IpAddr, Ipv4Addr};
use crate::model::ids::ReactorId;
use crate::record::crc;

/// The first descriptor number; those below are the standard streams.
const FIRST_FD: i32 = 3;
/// 2026-01-01 in milliseconds since 1970-01-01 UTC; worlds begin within a year of it.
const WALL_START_MS: u64 = 1_767_225_600_000;
const YEAR_MS: u64 = 365 * 24 * 3600 * 1000;
/// Longest time between a result and its completion's arrival when a completion is held back.
const HELD_BACK_NS_MAX: u64 = 20_000;
const NS_PER_MS: u64 = 1_000_000;

/// Everything but the reactors themselves.
pub(super) struct Kernel {
    pub(super) now: Instant,
    pub(super) config: Config,
    pub(super) events: Events,
    pub(super) trace: Trace,
    pub(super) machines: Vec<Machine>,
    pub(super) processes: Vec<Process>,
    pub(super) reactors: Vec<ReactorState>,
    pub(super) network: Network,
    /// File operations that have not taken effect.
    pub(super) storage: Table<storage::Operation>,
    /// Completions held back for a moment.
    held_back: Table<(usize, Completion)>,
    /// The parent of all streams; only ever split.
    pub(super) root: Prng,
    /// Who runs next and how long it takes.
    schedule: Prng,
    /// Which counts fall short, and by how much.
    pub(super) counts: Prng,
    wall_start_ms: u64,
    /// The process that is to crash, and after how many more submissions.
    crash: Option<(usize, u64)>,
    /// The same in durable writes, and which of them count.
    pub(super) crash_in_write: Option<(usize, Written, u64)>,
    /// Files in which a write went astray, by machine and mount, since that was last asked.
    pub(super) astray: Vec<(usize, usize, InodeId)>,
    /// The process that has come to its crash point: nothing that it submits reaches the kernel any more.
    pub(super) crashed: Option<usize>,
}

pub(super) struct Machine {
    pub(super) address: IpAddr,
    pub(super) mounts: Vec<Mount>,
    pub(super) powered: bool,
    /// What its monotonic clock is ahead of the world's.
    monotonic_offset_ns: u64,
    /// What its wall clock is ahead of the world's, in nanoseconds.
    pub(super) wall_offset_ns: i64,
    clocks: Prng,
}

pub(super) struct Process {
    pub(super) machine: usize,
    pub(super) descriptors: Descriptors,
    /// Its sockets, with or without a descriptor.
    pub(super) sockets: BTreeSet<Key>,
    /// Its reactors by their id; those that have ended stay until the process has.
    pub(super) reactors: Vec<usize>,
    pub(super) pool: Pool,
    /// Blocks that are taken from the pool so that the process has less.
    pub(super) pressure: Vec<Block>,
    asked_to_stop: bool,
    stop_waiters: Vec<(usize, Token)>,
}

/// What the world knows about one reactor.
pub(super) struct ReactorState {
    pub(super) process: usize,
    alive: bool,
    in_turn: bool,
    /// How its last turn ended: how long it would wait, and whether it took completions along.
    noted: (Wait, bool),
    inbox: VecDeque<Completion>,
    /// Operations that wait for something and can be cancelled.
    pub(super) waiting: Map<Token, Waiting>,
    /// When its core is free again.
    busy_until: Instant,
    paused_until: Instant,
    /// When its next turn is due; the end of time when nothing is.
    due: Instant,
    /// Times at which turn events are in the heap for it, latest first.
    armed: Vec<Instant>,
    random: Prng,
}

/// Where a cancellable operation waits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waiting {
    Socket(Key),
    Listener(Key),
    Attempt(Key),
    Stop,
    /// With the disk, which does not let go of it.
    Disk,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Descriptor {
    File(Opened),
    Listener(Key),
    Socket(Key),
}

/// The descriptor table of a process: the lowest free number is given out next, as POSIX says.
pub(super) struct Descriptors {
    slots: Vec<Option<Descriptor>>,
    free: BinaryHeap<Reverse<usize>>,
    used_max: usize,
}

impl Descriptors {
    fn new(used_max: usize) -> Descriptors {
        Descriptors { slots: Vec::new(), free: BinaryHeap::new(), used_max }
    }

    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty() && self.slots.len() == self.used_max
    }

    /// Descriptors in use.
    pub(super) fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, descriptor: Descriptor) -> Result<Fd, i32> {
        if self.is_full() {
            return Err(errno::EMFILE);
        }
        let slot = match self.free.pop() {
            Some(Reverse(slot)) => slot,
            None => {
                self.slots.push(None);
                self.slots.len() - 1
            }
        };
        self.slots[slot] = Some(descriptor);
        Ok(Fd(slot as i32 + FIRST_FD))
    }

    pub(super) fn get(&self, fd: Fd) -> Result<Descriptor, i32> {
        let slot = usize::try_from(fd.0 - FIRST_FD).ok();
        slot.and_then(|slot| *self.slots.get(slot)?).ok_or(errno::EBADF)
    }

    fn remove(&mut self, fd: Fd) -> Result<Descriptor, i32> {
        let descriptor = self.get(fd)?;
        let slot = (fd.0 - FIRST_FD) as usize;
        self.slots[slot] = None;
        self.free.push(Reverse(slot));
        Ok(descriptor)
    }

    fn take_all(&mut self) -> Vec<Descriptor> {
        self.free.clear();
        self.slots.drain(..).flatten().collect()
    }
}

impl Kernel {
    pub(super) fn new(seed: u64, config: Config) -> Kernel {
        let root = Prng::new(seed);
        let wall_start_ms = WALL_START_MS + root.split("wall clock").below(YEAR_MS);
        Kernel {
            now: Instant(0),
            events: Events::new(root.split("order")),
            trace: Trace::new(config.trace_kept),
            machines: Vec::new(),
            processes: Vec::new(),
            reactors: Vec::new(),
            network: Network::new(&root),
            storage: Table::new(),
            held_back: Table::new(),
            schedule: root.split("schedule"),
            counts: root.split("counts"),
            wall_start_ms,
            crash: None,
            crash_in_write: None,
            astray: Vec::new(),
            crashed: None,
            config,
            root,
        }
    }

    /// Lets a process come to its crash point when it submits its operation number `after` from now.
    pub(super) fn crash_at(&mut self, process: usize, after: u64) {
        self.crash = Some((process, after));
    }

    /// Lets a process crash with its durable write number `after` from now in flight.
    pub(super) fn crash_in_write(&mut self, process: usize, files: Written, after: u64) {
        self.crash_in_write = Some((process, files, after));
    }

    /// Whether an operation is beyond its process's crash point.
    fn is_beyond_crash(&mut self, reactor: usize) -> bool {
        let process = self.reactors[reactor].process;
        if let Some((doomed, after)) = self.crash
            && doomed == process
        {
            self.crash = after.checked_sub(1).map(|after| (process, after));
            if self.crash.is_none() {
                self.crashed = Some(process);
            }
        }
        self.crashed == Some(process)
    }

    pub(super) fn add_machine(&mut self, config: &MachineConfig) -> usize {
        let number = self.machines.len();
        assert!(number < 1 << 16, "addresses are given out from 10.0.0.0/15");
        let address = IpAddr::from(Ipv4Addr::from(0x0a00_0001 + number as u32));
        let streams = self.root.split("machine").split(&number.to_string());
        let mut clocks = streams.split("clocks");
        let skew = config.wall_skew_max.as_nanos() as u64;
        let wall_offset_ns = clocks.below(2 * skew + 1) as i64 - skew as i64;
        let mounts = storage::mounts(config, &streams);
        let machine = Machine { address, mounts, powered: true, monotonic_offset_ns: 0, wall_offset_ns, clocks };
        self.machines.push(machine);
        self.power_on(number);
        number
    }

    /// Gives a machine power; its monotonic clock begins anew.
    pub(super) fn power_on(&mut self, machine: usize) {
        let machine = &mut self.machines[machine];
        machine.powered = true;
        machine.monotonic_offset_ns = machine.clocks.between(1_000_000_000, 1 << 50);
    }

    /// Makes room for a process; it has no reactors yet.
    pub(super) fn add_process(&mut self, machine: usize) -> usize {
        let descriptors = Descriptors::new(0);
        self.processes.push(Process {
            machine,
            descriptors,
            sockets: BTreeSet::new(),
            reactors: Vec::new(),
            pool: Pool::new(0),
            pressure: Vec::new(),
            asked_to_stop: false,
            stop_waiters: Vec::new(),
        });
        self.processes.len() - 1
    }

    /// Starts a process, once more or for the first time; answers its reactors.
    pub(super) fn start_process(&mut self, process: usize, config: &ProcessConfig) -> Vec<usize> {
        let first = self.reactors.len();
        let reactors: Vec<usize> = (first..first + config.reactors).collect();
        for reactor in &reactors {
            let random = self.root.split("ids").split(&reactor.to_string());
            self.reactors.push(ReactorState {
                process,
                alive: true,
                in_turn: false,
                noted: (Wait::Not, false),
                inbox: VecDeque::new(),
                waiting: Map::default(),
                busy_until: self.now,
                paused_until: self.now,
                due: Instant(u64::MAX),
                armed: Vec::new(),
                random,
            });
            let at = self.now + self.config.wake.draw(&mut self.schedule);
            self.request_turn(*reactor, at);
        }
        let state = &mut self.processes[process];
        assert!(state.descriptors.count() == 0 && state.sockets.is_empty(), "the process had ended");
        state.descriptors = Descriptors::new(config.descriptors_max);
        state.reactors.clone_from(&reactors);
        state.pool = Pool::new(config.pool_bytes);
        state.asked_to_stop = false;
        self.trace.record(self.now, What::Start, [process as u64, first as u64, config.reactors as u64]);
        reactors
    }

    /// Lets a reactor take no further part; what it waits for completes without it.
    pub(super) fn end_reactor(&mut self, reactor: usize) {
        let state = &mut self.reactors[reactor];
        state.alive = false;
        state.inbox.clear();
        state.waiting.clear();
        state.due = Instant(u64::MAX);
    }

    /// Closes what a process that is no more had open. Its reactors have ended.
    pub(super) fn end_process(&mut self, process: usize, forced: bool) {
        self.trace.record(self.now, What::End, [process as u64, u64::from(forced), 0]);
        self.crash = self.crash.filter(|(doomed, _)| *doomed != process);
        self.crash_in_write = self.crash_in_write.filter(|(doomed, ..)| *doomed != process);
        self.crashed = self.crashed.filter(|crashed| *crashed != process);
        self.processes[process].pressure.clear();
        let state = &mut self.processes[process];
        assert!(state.reactors.iter().all(|reactor| !self.reactors[*reactor].alive), "a reactor runs on");
        state.stop_waiters.clear();
        let ended = std::mem::take(&mut state.reactors);
        let machine = state.machine;
        let descriptors = state.descriptors.take_all();
        if !self.machines[machine].powered {
            // Its sockets and open files went with the machine's memory.
            return;
        }
        self.settle_files(&ended);
        for descriptor in descriptors {
            match descriptor {
                Descriptor::File(opened) => self.release(machine, opened),
                Descriptor::Listener(_) | Descriptor::Socket(_) => {}
            }
        }
        self.abandon_listeners(process);
        self.abandon_sockets(process, forced);
    }

    /// Whether a reactor takes part.
    pub(super) fn is_alive(&self, reactor: usize) -> bool {
        self.reactors[reactor].alive
    }

    pub(super) fn machine_of(&self, reactor: usize) -> usize {
        self.processes[self.reactors[reactor].process].machine
    }

    pub(super) fn descriptor(&self, reactor: usize, fd: Fd) -> Result<Descriptor, i32> {
        self.processes[self.reactors[reactor].process].descriptors.get(fd)
    }

    pub(super) fn clocks(&self, reactor: usize) -> Clocks {
        let machine = &self.machines[self.machine_of(reactor)];
        let elapsed = i64::try_from(self.now.0).expect("a world ends within 292 years");
        let wall_ns = elapsed + machine.wall_offset_ns;
        Clocks {
            now: Instant(self.now.0 + machine.monotonic_offset_ns),
            wall_ms: self.wall_start_ms as i64 + wall_ns.div_euclid(NS_PER_MS as i64),
        }
    }

    /// Operations of a process that have not completed.
    pub(super) fn operations(&self, process: usize) -> usize {
        let reactors = &self.processes[process].reactors;
        reactors.iter().map(|reactor| self.reactors[*reactor].waiting.len()).sum()
    }

    pub(super) fn random(&mut self, reactor: usize, bytes: &mut [u8]) {
        self.reactors[reactor].random.fill(bytes);
    }

    /// The stream by which a reactor draws the next of its ready tasks. Half of the reactors take them as they come, which
    /// is what a kernel's do.
    pub(super) fn order(&mut self, reactor: usize) -> Option<Prng> {
        let mut stream = self.root.split("tasks").split(&reactor.to_string());
        stream.one_in(2).then_some(stream)
    }

    /// Does what an event says, turns of reactors aside.
    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::Turn { .. } => unreachable!("the world takes turns"),
            Event::Deliver { completion } => {
                if let Some((reactor, completion)) = self.held_back.remove(completion) {
                    self.complete(reactor, completion);
                }
            }
            Event::Disk { operation } => self.disk_effect(operation),
            Event::Arrive { from } => self.arrive(from),
            Event::Uncork { socket } => self.uncork(socket),
            Event::Reset { socket } => self.reset_arrives(socket),
            Event::Request { attempt } => self.request_arrives(attempt),
            Event::Answer { attempt } => self.answer_arrives(attempt),
            Event::Established { socket } => self.established(socket),
        }
    }

    /// Starts an operation.
    pub(super) fn submit(&mut self, reactor: usize, submission: Submission) {
        if self.is_beyond_crash(reactor) {
            return;
        }
        let Submission { token, op } = submission;
        let (kind, argument) = fingerprint(&op);
        self.trace.record(self.now, What::Submit, [reactor as u64 ^ kind << 32, token, argument]);
        match op {
            Op::Close { fd } => self.close(reactor, token, fd),
            Op::Listen { address, backlog } => self.listen(reactor, token, address, backlog),
            Op::Accept { fd } => self.accept(reactor, token, fd),
            Op::Connect { address } => self.connect(reactor, token, address),
            Op::Receive { fd } => self.receive(reactor, token, fd),
            Op::ReceiveInto { fd, into, start, bytes, all } => {
                self.receive_into(reactor, token, fd, into, start..start + bytes, all);
            }
            Op::Send { fd, bytes, more } => self.send(reactor, token, fd, bytes, more),
            Op::SendFile { fd, file, at, bytes, more } => {
                self.send_file(reactor, token, (fd, file), at, bytes, more);
            }
            Op::Shutdown { fd } => self.shutdown(reactor, token, fd),
            Op::Cancel { token: target } => self.cancel(reactor, token, target),
            Op::Wake { reactor: other } => self.wake(reactor, token, other),
            Op::StopSignal => self.await_stop(reactor, token),
            op => self.submit_to_disk(reactor, token, op),
        }
    }

    fn close(&mut self, reactor: usize, token: Token, fd: Fd) {
        let process = self.reactors[reactor].process;
        let closed = self.processes[process].descriptors.remove(fd);
        match closed {
            Ok(Descriptor::File(opened)) => self.release(self.processes[process].machine, opened),
            Ok(Descriptor::Listener(listener)) => self.close_listener(listener),
            Ok(Descriptor::Socket(socket)) => self.close_socket(socket),
            Err(_) => {}
        }
        self.answer(reactor, token, closed.map(|_| 0));
    }

    fn cancel(&mut self, reactor: usize, token: Token, target: Token) {
        let found = match self.reactors[reactor].waiting.get(&target).copied() {
            Some(Waiting::Socket(socket)) => self.cancel_on_socket(socket, reactor, target),
            Some(Waiting::Listener(listener)) => self.cancel_accept(listener, reactor, target),
            Some(Waiting::Attempt(attempt)) => self.cancel_connect(attempt),
            Some(Waiting::Stop) => {
                let process = self.reactors[reactor].process;
                self.processes[process].stop_waiters.retain(|waiter| *waiter != (reactor, target));
                self.complete_with(reactor, target, -errno::ECANCELED);
                true
            }
            Some(Waiting::Disk) => {
                self.answer(reactor, token, Err(super::errors::EALREADY));
                return;
            }
            None => false,
        };
        self.answer(reactor, token, if found { Ok(0) } else { Err(errno::ENOENT) });
    }

    fn wake(&mut self, reactor: usize, token: Token, other: ReactorId) {
        let process = self.reactors[reactor].process;
        let woken = self.processes[process].reactors.get(usize::from(other)).copied();
        let woken = woken.filter(|woken| self.reactors[*woken].alive);
        if let Some(woken) = woken {
            self.turn_soon(woken);
        }
        self.answer(reactor, token, woken.map(|_| 0).ok_or(errno::EBADF));
    }

    fn await_stop(&mut self, reactor: usize, token: Token) {
        let process = &mut self.processes[self.reactors[reactor].process];
        if process.asked_to_stop {
            self.answer(reactor, token, Ok(0));
        } else {
            process.stop_waiters.push((reactor, token));
            self.reactors[reactor].waiting.insert(token, Waiting::Stop);
        }
    }

    /// Asks a process to stop.
    pub(super) fn stop(&mut self, process: usize) {
        self.processes[process].asked_to_stop = true;
        for (reactor, token) in std::mem::take(&mut self.processes[process].stop_waiters) {
            self.complete_with(reactor, token, 0);
        }
    }

    /// Whether a count that could be full is made to fall short this time.
    pub(super) fn falls_short(&mut self) -> bool {
        self.config.short_counts_one_in > 0 && self.counts.one_in(self.config.short_counts_one_in)
    }

    /// Completes an operation at once or in a moment.
    pub(super) fn answer(&mut self, reactor: usize, token: Token, result: Result<i32, i32>) {
        let result = result.unwrap_or_else(|errno| -errno);
        self.complete_soon(reactor, Completion { token, result, more: false, payload: Payload::None });
    }

    /// As [`Kernel::answer`], with everything that comes with the completion. For operations with one completion.
    pub(super) fn complete_soon(&mut self, reactor: usize, completion: Completion) {
        if completion.token == NOBODY || !self.reactors[reactor].alive {
            return;
        }
        let delay = self.schedule.below(2 * HELD_BACK_NS_MAX);
        if delay >= HELD_BACK_NS_MAX {
            return self.complete(reactor, completion);
        }
        // Nothing can cancel it any more.
        self.reactors[reactor].waiting.remove(&completion.token);
        let completion = self.held_back.insert((reactor, completion));
        self.events.push(self.now + Duration::from_nanos(delay), Event::Deliver { completion });
    }

    /// Completes an operation that was waiting.
    pub(super) fn complete_with(&mut self, reactor: usize, token: Token, result: i32) {
        self.complete(reactor, Completion { token, result, more: false, payload: Payload::None });
    }

    /// Hands a completion to its reactor and sees to it that it takes a turn.
    pub(super) fn complete(&mut self, reactor: usize, completion: Completion) {
        let state = &mut self.reactors[reactor];
        if !state.alive || completion.token == NOBODY {
            return;
        }
        let result = completion.result as u32;
        let details = [reactor as u64, completion.token, u64::from(result) << 1 | u64::from(completion.more)];
        self.trace.record(self.now, What::Complete, details);
        if !completion.more {
            state.waiting.remove(&completion.token);
        }
        state.inbox.push_back(completion);
        self.turn_soon(reactor);
    }

    /// Moves completions to their reactor, which would wait for more as long as `wait` says.
    pub(super) fn collect(&mut self, reactor: usize, completions: &mut Vec<Completion>, wait: Wait) {
        let state = &mut self.reactors[reactor];
        state.noted = (wait, !state.inbox.is_empty());
        completions.extend(state.inbox.drain(..));
    }

    fn turn_soon(&mut self, reactor: usize) {
        let state = &self.reactors[reactor];
        if !state.in_turn && state.due > self.now {
            let at = self.now + self.config.wake.draw(&mut self.schedule);
            self.request_turn(reactor, at);
        }
    }

    /// Makes a reactor's next turn due at `at`, or as soon after as it can, unless one is due before.
    fn request_turn(&mut self, reactor: usize, at: Instant) {
        let state = &mut self.reactors[reactor];
        let at = at.max(state.busy_until).max(state.paused_until);
        if !state.alive || at >= state.due {
            return;
        }
        state.due = at;
        if state.armed.last().is_none_or(|armed| at < *armed) {
            state.armed.push(at);
            self.events.push(at, Event::Turn { reactor });
        }
    }

    /// Whether a turn event of now means a turn.
    pub(super) fn begins_turn(&mut self, reactor: usize) -> bool {
        let state = &mut self.reactors[reactor];
        assert_eq!(state.armed.pop(), Some(self.now), "turn events come in the order noted");
        if !state.alive {
            return false;
        }
        if state.due > self.now {
            let due = std::mem::replace(&mut state.due, Instant(u64::MAX));
            if due < Instant(u64::MAX) {
                self.request_turn(reactor, due);
            }
            return false;
        }
        state.due = Instant(u64::MAX);
        state.in_turn = true;
        self.trace.record(self.now, What::Turn, [reactor as u64, 0, 0]);
        true
    }

    /// Ends a turn: sees to it that the next one comes when the reactor has something to do.
    pub(super) fn ends_turn(&mut self, reactor: usize) {
        let cost = self.config.turn.draw(&mut self.schedule);
        let machine = self.machine_of(reactor);
        let offset = self.machines[machine].monotonic_offset_ns;
        let state = &mut self.reactors[reactor];
        state.in_turn = false;
        state.busy_until = self.now + cost;
        let at = match state.noted {
            (_, true) | (Wait::Not, _) => self.now,
            (Wait::Until(deadline), _) => Instant(deadline.0.saturating_sub(offset)),
            (Wait::Forever, _) => return,
        };
        // A deadline at the end of a process's time is none.
        if at < Instant(u64::MAX - offset) {
            self.request_turn(reactor, at);
        }
    }

    /// Lets the reactors of a process take no turns for a while, as when it is stopped or its host is overloaded.
    pub(super) fn pause(&mut self, process: usize, duration: Duration) {
        for reactor in self.processes[process].reactors.clone() {
            let state = &mut self.reactors[reactor];
            state.paused_until = self.now + duration;
            if state.due < Instant(u64::MAX) {
                let due = std::mem::replace(&mut state.due, Instant(u64::MAX));
                self.request_turn(reactor, due);
            }
        }
    }
}

/// What of an operation goes into the trace: its kind and its main argument.
fn fingerprint(op: &Op) -> (u64, u64) {
    let checksum = |path: &crate::io::Path| u64::from(crc::crc32c(path.as_os_str().as_encoded_bytes()));
    match op {
        Op::Open { path, .. } => (1, checksum(path)),
        Op::Close { fd } => (2, fd.0 as u64),
        Op::Stat { path } => (3, checksum(path)),
        Op::List { path } => (4, checksum(path)),
        Op::CreateDirectory { path } => (5, checksum(path)),
        Op::Rename { from, to } => (6, checksum(from) << 32 | checksum(to)),
        Op::Unlink { path } => (7, checksum(path)),
        Op::RemoveDirectory { path } => (8, checksum(path)),
        Op::Space { path } => (9, checksum(path)),
        Op::Read { at, bytes, .. } => (10, at ^ u64::from(*bytes) << 40),
        Op::Write { at, durable, .. } => (11, at << 1 | u64::from(*durable)),
        Op::Sync { fd, .. } => (12, fd.0 as u64),
        Op::Allocate { at, bytes, .. } => (13, at ^ bytes << 24),
        Op::Truncate { bytes, .. } => (14, *bytes),
        Op::Listen { backlog, .. } => (15, u64::from(*backlog)),
        Op::Accept { fd } => (16, fd.0 as u64),
        Op::Connect { address } => (17, u64::from(address.port())),
        Op::Receive { fd } => (18, fd.0 as u64),
        Op::ReceiveInto { fd, bytes, .. } => (19, fd.0 as u64 ^ u64::from(*bytes) << 32),
        Op::Send { fd, .. } => (20, fd.0 as u64),
        Op::SendFile { fd, at, .. } => (21, fd.0 as u64 ^ at << 24),
        Op::Shutdown { fd } => (22, fd.0 as u64),
        Op::Cancel { token } => (23, *token),
        Op::Wake { reactor } => (24, u64::from(*reactor)),
        Op::StopSignal => (25, 0),
        Op::IsResident { at, bytes, .. } => (26, at ^ u64::from(*bytes) << 40),
    }
}
