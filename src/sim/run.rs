//! One run: a broker, clients, and a plan of faults in a world of one seed, then calm, then judgement.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::atlas;
use super::cast;
use super::checkers::groups::ownership::OWNED_MAX;
use super::checkers::liveness::{DRAIN_MAX, FINISH_MAX, PROGRESS_MAX, START_MAX, STOP_MAX};
use super::checkers::{self, AtRest, Usage};
use super::cluster::{self, DATA, DISK_BYTES, SimBroker, configuration};
use super::config::{Config, MachineConfig};
use super::disk::PowerCut;
use super::faults::{DiskFaultRates, Written};
use super::history::{Counts, Event, History, Moment, Violation, shown};
use super::machines;
use super::nemesis::{self, Crash, Fault, Planned, Weather};
use super::scene::{Phase, Scene};
use super::workload::{Client, drain};
use super::world::{MachineId, ProcessId, World};
use crate::base::prng::Prng;
use crate::base::time::{Duration, Instant};
use crate::broker::STAGING_BYTES;
use crate::io::Path;

/// How often what the broker uses is looked at.
const MEASURE_EVERY: Duration = Duration::from_millis(500);
/// Most reactors of a broker.
const REACTORS_MAX: u64 = 3;
/// Happenings of the world that are kept for the report of a failure.
const TRACE_KEPT: usize = 200;
/// How long it takes until the last connection to a machine without power is known to be gone: the longest pause between
/// two tries to send something, and some more.
const ALONE: Duration = Duration::from_secs(150);
/// What it may take beyond `flush.ms` until what was acknowledged from memory is durable.
const FLUSH_SLACK: Duration = Duration::from_millis(250);
/// How many flushes of the device that may take at most: some of them are slow ones, and some are of groups before it.
const FLUSHES_MAX: u64 = 40;
/// `flush.ms` beyond this makes no difference.
const FLUSH_MS_MAX: u64 = 1000;
/// Operations of a reactor, apart from those of sockets and of the journal: files that are read, written back, made and
/// removed.
const OPERATIONS_MAX: usize = 64;
/// Operations of one group: it, its file's header, and a run for each partition that has one.
const OPERATIONS_PER_GROUP: usize = 16;
/// How often what is waited for is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How long a broker that does not start is left alone.
const START_AGAIN: Duration = Duration::from_millis(300);

/// What a run is to be: everything else follows from the seed.
#[derive(Clone, Debug)]
pub struct Script {
    /// The seed.
    pub seed: u64,
    /// How long the workload takes.
    pub length: Duration,
    /// The faults, if not those of the seed.
    pub plan: Option<Vec<Planned>>,
}

impl Script {
    /// The run of a seed.
    pub fn of(seed: u64) -> Script {
        let length = Prng::new(seed).split("length").between(8_000, 45_000);
        Script { seed, length: Duration::from_millis(length), plan: None }
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The broken promise, if one was.
    pub violation: Option<Violation>,
    /// The faults of the run.
    pub plan: Vec<Planned>,
    /// Virtual time that passed.
    pub simulated: Duration,
    /// Virtual time in which clients were at work.
    pub at_work: Duration,
    /// Things that happened.
    pub events: u64,
    /// Hash over all of them.
    pub hash: u64,
    /// How much clients did.
    pub counts: Counts,
    /// The last happenings of the world and of the history, in words; empty when nothing was broken.
    pub report: Vec<String>,
}

/// What is to be done at some time.
#[derive(Clone, Debug)]
enum Action {
    Strike(usize),
    Relent(usize),
    StartBroker,
    StartClients,
    Measure,
}

/// A run under way.
pub struct Run {
    seed: u64,
    /// The world.
    pub world: World,
    scene: Rc<Scene>,
    broker: SimBroker,
    reactors: usize,
    clients: Vec<ProcessId>,
    clients_machine: MachineId,
    plan: Vec<Planned>,
    length: Duration,
    agenda: BTreeMap<(Instant, u64), Action>,
    noted: u64,
    /// The broker was heard to serve since its start.
    serving: bool,
    /// The crash that a crash point stands for, and when the broker is back.
    crash: Option<(Crash, u64)>,
    /// The same of the crash that comes when a client is told what is awaited.
    crash_when_told: Option<(Crash, u64)>,
    /// How often the broker has crashed.
    crashes: u64,
    random: Prng,
    /// The parent of the streams of faults that strike.
    strikes: Prng,
    /// Nothing but that nothing wrong is shown can be asked for any more.
    last_copy_damaged: bool,
    began: Instant,
    /// The longest that what was acknowledged from memory may take to become durable.
    flush_max: Duration,
    /// Moments of the history by the time they came, as far as anybody may ask for them.
    marks: VecDeque<(Instant, Moment)>,
    /// Something struck that may keep flushes from being done in time, or at all: what was acknowledged from memory up to
    /// here is kept.
    flushed_up_to: Option<Moment>,
    /// How long clients were at work, once they no longer are.
    at_work: Option<Duration>,
}

impl Run {
    /// Sets the world up; nothing has happened yet.
    pub fn new(script: &Script) -> Run {
        let streams = Prng::new(script.seed).split("run");
        let mut shape = streams.split("shape");
        let mut world = World::with(script.seed, Config { trace_kept: TRACE_KEPT, ..Config::default() });
        let reactors = shape.between(1, REACTORS_MAX) as usize;
        let disk = cluster::disk(&mut streams.split("disk"));
        let configured = configuration(&mut streams.split("configuration"));
        let broker = SimBroker::start_on(&mut world, disk, configured, reactors);
        let weather = Weather::draw(&mut shape);
        let plan = match &script.plan {
            Some(plan) => plan.clone(),
            None => nemesis::plan(&streams.split("faults"), weather, script.length, REACTORS_MAX),
        };
        let history = History::new(checkers::all());
        let scene = Rc::new(Scene::new(history, broker.address(&world), streams.split("workload")));
        let clients_machine = world.machine(&MachineConfig::default());
        let mut caching = streams.split("write caching");
        let flush_ms = caching.one_in(2).then(|| caching.between(1, 2 * FLUSH_MS_MAX));
        let mut run = Run {
            seed: script.seed,
            scene,
            broker,
            reactors,
            clients: Vec::new(),
            clients_machine,
            plan,
            length: script.length,
            agenda: BTreeMap::new(),
            noted: 0,
            serving: false,
            crash: None,
            crash_when_told: None,
            crashes: 0,
            random: streams.split("operator"),
            strikes: streams.split("strikes"),
            last_copy_damaged: false,
            began: world.now(),
            flush_max: Duration::from_millis(flush_ms.unwrap_or(0).min(FLUSH_MS_MAX))
                + FLUSH_SLACK
                + Duration::from_nanos(FLUSHES_MAX * disk.flush.high_ns),
            marks: VecDeque::new(),
            flushed_up_to: None,
            at_work: None,
            world,
        };
        for (number, client) in cast::all(&streams, flush_ms).into_iter().enumerate() {
            run.add_client(number, client);
        }
        run
    }

    /// The scene.
    pub fn scene(&self) -> &Rc<Scene> {
        &self.scene
    }

    fn add_client(&mut self, number: usize, client: Client) {
        let name = format!("{}-{number}", client.kind());
        if client.makes_progress() {
            self.scene.expect_progress(&name);
        }
        if let Client::Member(style) = &client {
            self.scene.add_group(style.group);
        }
        let (scene, incarnation) = (Rc::clone(&self.scene), Cell::new(0));
        let process = self.world.client(self.clients_machine, move |io| {
            incarnation.set(incarnation.get() + 1);
            let random = scene.stream(&name, incarnation.get());
            client.clone().start(io, Rc::clone(&scene), name.clone(), random)
        });
        self.clients.push(process);
    }

    fn schedule(&mut self, at: Instant, action: Action) {
        self.noted += 1;
        self.agenda.insert((at, self.noted), action);
    }

    fn after(&mut self, ms: u64, action: Action) {
        self.schedule(self.world.now() + Duration::from_millis(ms), action);
    }

    /// Plays the run to its end, or to the first broken promise.
    pub fn play(&mut self) {
        if let Some(Violation { checker, what }) = machines::check(self.seed) {
            return self.scene.history_mut().complain(checker, what);
        }
        self.began = self.world.now();
        for at in 0..self.plan.len() {
            let strikes = self.began + self.plan[at].at;
            self.schedule(strikes, Action::Strike(at));
        }
        self.schedule(self.began, Action::Measure);
        self.run_for(self.length);
        self.heal();
        if self.last_copy_damaged {
            // What can be read is read once more, when nobody writes any more; it may be refused, but not wrong.
            if self.await_start() {
                self.await_finish();
                self.drain();
            }
            return;
        }
        let steps: [fn(&mut Run) -> bool; 9] = [
            Run::await_start,
            Run::await_progress,
            Run::await_owners,
            Run::await_finish,
            Run::drain,
            Run::look_alone,
            Run::end_broker,
            Run::drain_again,
            Run::stop_and_inspect,
        ];
        for step in steps {
            if self.is_over() || !step(self) {
                return;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.scene.is_violated()
    }

    fn run_for(&mut self, duration: Duration) {
        self.run_until(duration, |_| false);
    }

    /// Lets the world go on, doing what is due, until `condition` holds; false when it did not within `longest`.
    fn run_until(&mut self, longest: Duration, condition: impl Fn(&Run) -> bool) -> bool {
        let limit = self.world.now() + longest;
        loop {
            if self.is_over() {
                return false;
            }
            if condition(self) {
                return true;
            }
            let next = self.agenda.keys().next().map_or(limit, |(at, _)| (*at).min(limit));
            while !self.is_interrupted() && self.world.step(next) {
                if condition(self) {
                    return true;
                }
            }
            if self.is_interrupted() {
                self.attend();
                continue;
            }
            self.world.run_for(next.since(self.world.now()));
            match self.agenda.first_key_value() {
                Some(((at, _), _)) if *at <= self.world.now() => {
                    let (_, action) = self.agenda.pop_first().expect("just looked at");
                    self.act(&action);
                }
                _ => return condition(self),
            }
        }
    }

    /// Whether something happened that the operator answers to.
    fn is_interrupted(&self) -> bool {
        self.scene.is_violated()
            || self.broker.is_refused()
            || self.world.crashed().is_some()
            || self.scene.was_told()
            || !self.serving && self.broker.serves(&self.world)
    }

    fn attend(&mut self) {
        if let Some(why) = self.broker.take_refusal() {
            self.scene.record(Event::StartRefused { why });
            self.world.kill(self.broker.process);
            let again = self.world.now() + START_AGAIN;
            self.schedule(again, Action::StartBroker);
        } else if self.world.crashed() == Some(self.broker.process) {
            let (crash, back_ms) = self.crash.take().expect("it was planned");
            self.crash(crash, back_ms, "at its crash point");
        } else if self.scene.was_told() {
            self.scene.await_told(None);
            if let Some((crash, back_ms)) = self.crash_when_told.take() {
                self.crash(crash, back_ms, "when a client had just been told");
            }
        } else if !self.serving && self.broker.serves(&self.world) {
            self.serving = true;
            self.scene.record(Event::BrokerStarted);
            self.flushed_up_to = self.flushes_may_fail().then(|| self.scene.moment());
        }
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Strike(at) => self.strike(*at),
            Action::Relent(at) => self.relent(*at),
            Action::StartBroker => self.start_broker(),
            Action::StartClients => self.start_clients(),
            Action::Measure => {
                for path in self.world.take_astray() {
                    self.scene.record(Event::Damaged { path });
                }
                self.measure(false);
                self.mark();
                let next = self.world.now() + MEASURE_EVERY;
                self.schedule(next, Action::Measure);
            }
        }
    }

    fn start_broker(&mut self) {
        if !self.world.is_running(self.broker.process) {
            self.serving = false;
            self.world.restart_on(self.broker.process, self.reactors);
        }
    }

    fn start_clients(&mut self) {
        for client in self.clients.clone() {
            if !self.world.is_running(client) {
                self.world.restart(client);
            }
        }
    }

    fn crash(&mut self, crash: Crash, back_ms: u64, how: &'static str) {
        if !self.world.is_running(self.broker.process) {
            return;
        }
        match crash {
            Crash::Kill => self.world.kill(self.broker.process),
            Crash::PowerCut(policy) => {
                self.world.power_cut(self.broker.machine, policy);
                self.world.power_on(self.broker.machine);
            }
        }
        self.crashes += 1;
        self.broker_ended(how, false);
        self.after(back_ms, Action::StartBroker);
    }

    /// Notes which moment of the history this is.
    fn mark(&mut self) {
        let now = self.world.now();
        self.marks.push_back((now, self.scene.moment()));
        // The last one that is old enough stays.
        while self.marks.get(1).is_some_and(|(at, _)| *at + self.flush_max <= now) {
            self.marks.pop_front();
        }
    }

    /// What was acknowledged from memory up to here must be durable by now, if nothing kept it from that.
    fn flushed_by_now(&self) -> Moment {
        let now = self.world.now();
        let old_enough = self.marks.iter().rev().find(|(at, _)| *at + self.flush_max <= now);
        old_enough.map_or(0, |(_, moment)| *moment)
    }

    fn broker_ended(&mut self, how: &'static str, in_peace: bool) {
        self.serving = false;
        let flushed = if in_peace { self.scene.moment() } else { self.flushed_by_now() };
        let kept = flushed.min(self.flushed_up_to.unwrap_or(Moment::MAX));
        self.scene.record(Event::BrokerEnded { how, kept });
    }

    /// Whether a fault is at work that lets writes fail or take long.
    fn flushes_may_fail(&self) -> bool {
        let since = self.world.now().since(self.began);
        self.plan.iter().any(|planned| match planned.fault {
            Fault::Disk { ms, .. } | Fault::DiskDies { ms } | Fault::ReadOnly { ms } => {
                planned.at <= since && since <= planned.at + Duration::from_millis(ms)
            }
            _ => false,
        })
    }

    fn strike(&mut self, at: usize) {
        let hinders =
            |fault: &Fault| matches!(fault, Fault::Disk { .. } | Fault::DiskDies { .. } | Fault::ReadOnly { .. });
        let fault = &self.plan[at].fault;
        if hinders(fault) || matches!(fault, Fault::Pause { .. }) {
            let flushed = self.flushed_by_now();
            self.flushed_up_to.get_or_insert(flushed);
        }
        let (broker, machine, clients) = (self.broker.process, self.broker.machine, self.clients_machine);
        let data = Path::new(DATA);
        let until = match self.plan[at].fault.clone() {
            Fault::Crash { crash, back_ms } => return self.crash(crash, back_ms, "by a crash"),
            Fault::CrashAt { submission, crash, back_ms } => {
                if self.world.is_running(broker) {
                    self.crash = Some((crash, back_ms));
                    self.world.crash_at_submission(broker, submission);
                }
                return;
            }
            Fault::CrashInWrite { write, files, crash, back_ms } => {
                if self.world.is_running(broker) {
                    self.crash = Some((crash, back_ms));
                    self.world.crash_in_write(broker, files, write);
                }
                return;
            }
            Fault::CrashAfter { told, crash, back_ms } => {
                if self.world.is_running(broker) {
                    self.crash_when_told = Some((crash, back_ms));
                    self.scene.await_told(Some(told));
                }
                return;
            }
            Fault::Restart { reactors, back_ms } => return self.restart(reactors, back_ms),
            Fault::Pause { ms } => return self.world.pause(broker, Duration::from_millis(ms)),
            Fault::WallClock { ms } => return self.world.step_wall_clock(machine, ms),
            Fault::Memory { left, ms } => {
                self.world.press_memory(broker, Some(left));
                ms
            }
            Fault::Partition { to_broker, from_broker, ms } => {
                if to_broker {
                    self.world.cut_one_way(clients, machine, true);
                }
                if from_broker {
                    self.world.cut_one_way(machine, clients, true);
                }
                ms
            }
            Fault::Delay { delay_ms, ms } => {
                self.world.delay(clients, machine, Duration::from_millis(delay_ms));
                ms
            }
            Fault::Reset => return self.world.reset_connections(clients, machine),
            Fault::Resets { one_in, ms } => {
                self.world.reset_one_in(one_in);
                ms
            }
            Fault::ClientsLost { ms } => {
                self.world.power_cut(clients, Default::default());
                return self.after(ms, Action::StartClients);
            }
            Fault::Disk { rates, ms } => {
                self.world.disk_faults(machine, data, rates);
                ms
            }
            Fault::Rot { count } => return self.rot(at, count),
            Fault::RotLastCopy { count } => {
                // What the page cache holds does not rot: the machine was off.
                self.crash(Crash::PowerCut(PowerCut::default()), 100, "by a power cut, and its disk rots");
                return self.rot_last_copies(at, count);
            }
            Fault::LatentErrors { sectors, ms } => {
                self.lose_sectors(at, sectors);
                ms
            }
            Fault::DiskDies { ms } => {
                self.world.disk_dies(machine, data, true);
                ms
            }
            Fault::DiskFull { free_bytes, ms } => {
                self.world.disk(machine, data, |disk| {
                    let space = disk.space();
                    disk.resize(space.total - space.free + free_bytes);
                });
                ms
            }
            Fault::ReadOnly { ms } => {
                self.world.remount(machine, data, true);
                ms
            }
        };
        self.after(until, Action::Relent(at));
    }

    fn relent(&mut self, at: usize) {
        let (machine, clients) = (self.broker.machine, self.clients_machine);
        let data = Path::new(DATA);
        match self.plan[at].fault.clone() {
            Fault::Memory { .. } => self.world.press_memory(self.broker.process, None),
            Fault::Partition { .. } => self.world.heal(machine, clients),
            Fault::Delay { .. } => self.world.delay(clients, machine, Duration::ZERO),
            Fault::Resets { .. } => self.world.reset_one_in(0),
            Fault::Disk { rates, .. } => {
                self.world.disk_faults(machine, data, DiskFaultRates::default());
                if rates.write_error_one_in > 0 || rates.sync_error_one_in > 0 {
                    self.replace_failed();
                }
            }
            Fault::LatentErrors { .. } => self.world.disk(machine, data, super::disk::Disk::make_readable),
            Fault::DiskDies { .. } => {
                self.world.disk_dies(machine, data, false);
                self.replace_failed();
            }
            Fault::DiskFull { .. } => self.world.disk(machine, data, |disk| disk.resize(DISK_BYTES)),
            Fault::ReadOnly { .. } => {
                self.world.remount(machine, data, false);
                self.replace_failed();
            }
            _ => {}
        }
    }

    /// The stream of what is drawn when a fault strikes.
    fn strike_stream(&self, at: usize) -> Prng {
        self.strikes.split(&self.plan[at].number.to_string())
    }

    /// Flips bits of which no promise depends.
    fn rot(&mut self, at: usize, count: u64) {
        let mut random = self.strike_stream(at);
        let mut damaged = Vec::new();
        self.world.disk(self.broker.machine, Path::new(DATA), |disk| {
            let mut places = Vec::new();
            for path in disk.paths() {
                let content = disk.content_of(&path).unwrap_or_default();
                places.extend(atlas::redundant(&path, &content).map(|range| (path.clone(), range)));
            }
            for _ in 0..count.min(places.len() as u64) {
                let (path, range) = &places[random.below(places.len() as u64) as usize];
                disk.corrupt(path, random.between(range.start, range.end - 1), &[1 << random.below(8)]);
                damaged.push(path.clone());
            }
        });
        damaged.into_iter().for_each(|path| self.scene.record(Event::Damaged { path }));
    }

    /// Flips bits in segments, where nothing else holds what is there.
    fn rot_last_copies(&mut self, at: usize, count: u64) {
        let mut random = self.strike_stream(at);
        let mut damaged = Vec::new();
        self.world.disk(self.broker.machine, Path::new(DATA), |disk| {
            let covered: Vec<_> = atlas::covered(disk).into_iter().collect();
            for _ in 0..count.min(covered.len() as u64) {
                let (path, covered) = &covered[random.below(covered.len() as u64) as usize];
                let bytes = disk.content_of(path).map_or(0, |content| content.len() as u64).min(*covered);
                if bytes > 0 {
                    disk.corrupt(path, random.below(bytes), &[1 << random.below(8)]);
                    damaged.push(path.clone());
                }
            }
        });
        self.last_copy_damaged |= !damaged.is_empty();
        damaged.into_iter().for_each(|path| self.scene.record(Event::LastCopyDamaged { path }));
    }

    /// Lets sectors of any file fail for a while.
    fn lose_sectors(&mut self, at: usize, sectors: u64) {
        let mut random = self.strike_stream(at);
        self.world.disk(self.broker.machine, Path::new(DATA), |disk| {
            let paths = disk.paths();
            for _ in 0..sectors {
                let path = &paths[random.below(paths.len() as u64) as usize];
                let bytes = disk.content_of(path).map_or(0, |content| content.len() as u64);
                if bytes > 0 {
                    disk.make_unreadable(path, random.below(bytes), 1);
                }
            }
        });
    }

    /// The operator: a broker whose storage has failed serves again after a restart.
    fn replace_failed(&mut self) {
        let way = self.random.below(3);
        let back_ms = self.random.between(1, 500);
        match way {
            0 => self.crash(Crash::Kill, back_ms, "by its operator"),
            1 => self.crash(Crash::PowerCut(PowerCut::default()), back_ms, "by its operator, who cuts the power"),
            _ => self.restart(self.reactors, back_ms),
        }
    }

    /// Stops the broker in peace; it is given some time, and killed then.
    fn restart(&mut self, reactors: usize, back_ms: u64) {
        if !self.serving || !self.world.is_running(self.broker.process) {
            return;
        }
        self.reactors = reactors;
        let crashes = self.crashes;
        self.world.stop(self.broker.process);
        self.run_until(STOP_MAX, |run| !run.world.is_running(run.broker.process));
        if self.crashes > crashes {
            return;
        }
        let stopped = !self.world.is_running(self.broker.process);
        if !stopped && self.world.is_running(self.broker.process) && !self.is_over() {
            // The disk or the network may be what keeps it; what it promised holds all the same.
            self.world.kill(self.broker.process);
        }
        self.broker_ended("by a stop", stopped);
        self.after(back_ms, Action::StartBroker);
    }

    /// Ends everything that goes wrong.
    fn heal(&mut self) {
        self.agenda.retain(|_, action| !matches!(action, Action::Strike(_) | Action::Relent(_)));
        let failed = (0..self.plan.len()).any(|at| {
            let over = self.began + self.plan[at].at <= self.world.now();
            over && matches!(self.plan[at].fault, Fault::Disk { .. } | Fault::DiskDies { .. } | Fault::ReadOnly { .. })
        });
        for at in 0..self.plan.len() {
            if !matches!(self.plan[at].fault, Fault::Disk { .. } | Fault::DiskDies { .. } | Fault::ReadOnly { .. }) {
                self.relent(at);
            }
        }
        let (machine, data) = (self.broker.machine, Path::new(DATA));
        self.world.disk_faults(machine, data, DiskFaultRates::default());
        self.world.disk_dies(machine, data, false);
        self.world.remount(machine, data, false);
        self.world.disk(machine, data, super::disk::Disk::make_readable);
        self.crash = self.crash.take().filter(|_| self.world.crashed().is_some());
        if self.world.is_running(self.broker.process) {
            self.world.crash_at_submission(self.broker.process, u64::MAX);
            self.world.crash_in_write(self.broker.process, Written::Any, u64::MAX);
        }
        self.scene.await_told(None);
        if failed && !self.is_over() {
            self.replace_failed();
        }
        self.scene.record(Event::FaultsOver);
        self.scene.calm_down();
        self.start_clients();
        if !self.world.is_running(self.broker.process) {
            self.after(1, Action::StartBroker);
        }
    }

    fn overdue(&self, what: impl Into<String>) -> bool {
        if !self.is_over() && !self.last_copy_damaged {
            self.scene.record(Event::Overdue { what: what.into() });
        }
        false
    }

    fn await_start(&mut self) -> bool {
        // A pause that struck last lasts half a minute.
        self.run_until(START_MAX, |run| run.serving) || self.overdue("the broker does not start")
    }

    fn await_progress(&mut self) -> bool {
        self.scene.reset_progress();
        let all = self.run_until(PROGRESS_MAX, |run| run.scene.stuck().is_empty());
        all || self.overdue(format!("nothing gets done by {:?} within {PROGRESS_MAX:?}", self.scene.stuck()))
    }

    fn await_owners(&mut self) -> bool {
        let limit = self.world.now() + OWNED_MAX;
        loop {
            // A borrow of the history must not outlast the question.
            let awaited = self.scene.history().awaits();
            let Some(missing) = awaited else { return true };
            if self.is_over() || self.world.now() >= limit {
                return self.overdue(format!("within {OWNED_MAX:?}: {missing}"));
            }
            self.run_for(LOOK_AGAIN);
        }
    }

    fn await_finish(&mut self) -> bool {
        self.scene.set_phase(Phase::Finishing);
        self.run_until(FINISH_MAX, |run| run.scene.busy_clients() == 0)
            || self.overdue(format!("{} clients do not come to an end", self.scene.busy_clients()))
    }

    fn drain(&mut self) -> bool {
        self.scene.set_phase(Phase::Quiet);
        self.at_work = Some(self.world.now().since(self.began));
        self.run_for(Duration::from_millis(200));
        self.read_everything()
    }

    fn read_everything(&mut self) -> bool {
        let done = Rc::new(Cell::new(false));
        let (scene, told) = (Rc::clone(&self.scene), Rc::clone(&done));
        let process = self.world.client(self.clients_machine, move |io| {
            let random = scene.stream("drain", 0);
            drain::run(io, Rc::clone(&scene), random, Rc::clone(&told))
        });
        let all = self.run_until(DRAIN_MAX, |_| done.get());
        self.world.kill(process);
        all || self.overdue("not everything can be read")
    }

    /// Looks at what the broker holds when nobody is there.
    fn look_alone(&mut self) -> bool {
        for client in self.clients.clone() {
            self.world.kill(client);
        }
        self.run_for(ALONE);
        self.measure(true);
        true
    }

    fn measure(&mut self, alone: bool) {
        if !self.world.is_running(self.broker.process) {
            return;
        }
        let (in_use, limit_bytes) = self.world.memory(self.broker.process);
        let storage = &self.broker.config.storage;
        let tail = storage.journal_bytes + storage.tail_bytes_max + (16 << 20);
        let usage = Usage {
            in_use,
            limit_bytes,
            tail_bytes_max: self.reactors * tail as usize,
            connections: self.world.connections(self.broker.process),
            descriptors: self.world.descriptors(self.broker.process),
            operations: self.world.operations(self.broker.process),
            // A socket receives and sends. Of a group come the group, the header of a file and its runs.
            operations_max: 2 * self.world.descriptors(self.broker.process)
                + self.reactors * (OPERATIONS_MAX + storage.groups_in_flight_max * OPERATIONS_PER_GROUP),
            descriptors_max: 64 + self.reactors * (2 * storage.open_files_max + 64),
            replies_kept_max: self.reactors * STAGING_BYTES,
            alone,
        };
        self.scene.history_mut().judge(|checker| checker.measure(&usage));
    }

    /// Ends the broker once more, in one of the ways there are.
    fn end_broker(&mut self) -> bool {
        match self.random.below(3) {
            0 => return self.stop_and_inspect() && self.come_back(),
            1 => self.crash(Crash::Kill, 1, "by a kill at rest"),
            _ => self.crash(Crash::PowerCut(Default::default()), 1, "by a power cut at rest"),
        }
        self.run_until(START_MAX, |run| run.serving) || self.overdue("the broker does not start")
    }

    fn come_back(&mut self) -> bool {
        self.after(1, Action::StartBroker);
        self.run_until(START_MAX, |run| run.serving) || self.overdue("the broker does not start")
    }

    fn drain_again(&mut self) -> bool {
        self.read_everything()
    }

    fn stop_and_inspect(&mut self) -> bool {
        self.world.stop(self.broker.process);
        if !self.run_until(STOP_MAX, |run| !run.world.is_running(run.broker.process)) {
            return self.overdue("the broker does not stop");
        }
        self.broker_ended("by a stop", true);
        for path in self.world.take_astray() {
            self.scene.record(Event::Damaged { path });
        }
        let files = self.world.disk(self.broker.machine, Path::new(DATA), |disk| {
            let paths = disk.paths();
            paths
                .into_iter()
                .filter(|path| !path.starts_with("/journal"))
                .filter_map(|path| {
                    let content = disk.content_of(&path)?;
                    Some((path, content))
                })
                .collect()
        });
        let rest = AtRest { files };
        self.scene.history_mut().judge(|checker| checker.inspect(&rest));
        !self.is_over()
    }

    /// What came of it.
    pub fn outcome(&self) -> Outcome {
        let history = self.scene.history();
        let violation = history.violation().cloned();
        let trace = self.world.trace();
        let report = if violation.is_some() { self.report() } else { Vec::new() };
        Outcome {
            violation,
            plan: self.plan.clone(),
            simulated: Duration::from_nanos(self.world.now().0),
            at_work: self.at_work.unwrap_or_else(|| self.world.now().since(self.began)),
            events: trace.events(),
            hash: trace.hash(),
            counts: history.counts(),
            report,
        }
    }

    /// What came of it when the broker (or the world) has panicked: nothing of the run is touched but what was noted.
    pub fn outcome_of_panic(&self, text: &str) -> Outcome {
        let violation = Violation { checker: "panic", what: text.to_owned() };
        Outcome { violation: Some(violation), report: self.report(), ..self.outcome() }
    }

    /// The last things that happened.
    pub fn report(&self) -> Vec<String> {
        let (in_use, limit) = self.world.memory(self.broker.process);
        let mut lines = vec![format!("the broker's blocks in use: {in_use:?} of {limit}")];
        lines.push("the world's last happenings:".to_owned());
        lines.extend(self.world.trace().last().map(|one| one.to_string()));
        lines.push("what clients did and learned last:".to_owned());
        lines.extend(self.scene.history().last().map(|(moment, event)| format!("{moment:>8}  {}", shown(event))));
        lines
    }
}

/// Plays a script.
pub fn play(script: &Script) -> Outcome {
    let mut run = Run::new(script);
    run.play();
    run.outcome()
}
