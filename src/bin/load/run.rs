//! A run: what is known before it, its threads, and what it came to.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use flumen::base::block::Pool;
use flumen::base::oneshot;
use flumen::base::time::{Duration, Instant};
use flumen::io::op::Op;
use flumen::io::socket::Socket;
use flumen::io::topology::Threads;
use flumen::io::{Handle, topology};

use super::cluster::{Cluster, Offsets, Share, deal, offsets};
use super::fetch::{self, Position, Until};
use super::measure::{INTERVAL, Measured, Recorder, Series, Window};
use super::options::{Asking, Common, Mode, Sending};
use super::process::{Usage, usage};
use super::produce::{self, Pace, Templates};
use super::shared::{Shared, window};
use super::verify::{Checker, Ledger};
use super::wire::{FetchFrame, ProduceFrame};
use super::{idle, say, say_error, transactions};

/// Memory of this program's blocks: replies may be as large as a frame, on every connection.
const POOL_BYTES: usize = 8 << 30;
/// A reading of everything that was produced ends at the latest after this.
const READ_BACK_MAX: Duration = Duration::from_secs(3600);

/// What all threads know.
pub struct Plan {
    pub mode: Mode,
    pub cluster: Cluster,
    pub addresses: Vec<SocketAddr>,
    /// By broker, in the order of its partitions; taken before anything is sent.
    pub offsets: Vec<Offsets>,
    pub shared: Arc<Shared>,
    pub until: Until,
    pub warm_up: Duration,
    pub duration: Duration,
    /// Usage of the broker and of this program at the window's start and end.
    looks: Mutex<Looks>,
    elapsed_ns: AtomicU64,
}

/// What the kernel counted for the broker, if its pid was given, and for this program.
#[derive(Clone, Copy, Debug, Default)]
pub struct Looks {
    pub before: Option<Usage>,
    pub start: Option<(Option<Usage>, Usage)>,
    pub end: Option<(Option<Usage>, Usage)>,
}

/// What a run came to.
pub struct Outcome {
    pub measured: Measured,
    pub looks: Looks,
    pub elapsed: Duration,
    pub ledger: Ledger,
    pub checker: Option<Checker>,
    pub failure: Option<String>,
}

/// What a thread came to.
struct Part {
    measured: Measured,
    ledger: Ledger,
    checker: Checker,
}

impl Plan {
    /// Finds out what must be known.
    ///
    /// # Errors
    /// What the broker refused or could not be resolved.
    pub fn new(mode: Mode, common: &Common) -> Result<Plan, String> {
        let producers = mode.sending().filter(|sending| sending.idempotent).map_or(0, |sending| sending.connections);
        let cluster = Cluster::discover(common, producers as usize)?;
        let addresses = cluster.brokers.iter().map(|broker| resolve(&broker.address)).collect::<Result<_, _>>()?;
        let brokers = cluster.brokers.iter();
        let offsets = brokers.map(|leading| offsets(leading, &common.topic)).collect::<Result<_, _>>()?;
        let until = match &mode {
            Mode::Fetch(options) if options.repeat => Until::RepeatedlyCaughtUp,
            Mode::Fetch(options) if !options.tail => Until::CaughtUp,
            _ => Until::Time,
        };
        let warm_up = if until == Until::CaughtUp { Duration::ZERO } else { common.warm_up };
        let before = common.pid.map(|pid| usage(&pid.to_string())).transpose()?;
        Ok(Plan {
            mode,
            cluster,
            addresses,
            offsets,
            shared: Arc::default(),
            until,
            warm_up,
            duration: common.duration,
            looks: Mutex::new(Looks { before, ..Looks::default() }),
            elapsed_ns: AtomicU64::new(0),
        })
    }

    /// The same topic, to be read from where it ended before the run.
    fn reading_back(&self) -> Plan {
        Plan {
            mode: self.mode.clone(),
            cluster: Cluster {
                brokers: self.cluster.brokers.iter().map(|one| one.copy()).collect(),
                producers: Vec::new(),
                ..self.cluster
            },
            addresses: self.addresses.clone(),
            offsets: Vec::new(),
            shared: Arc::default(),
            until: Until::CaughtUp,
            warm_up: Duration::ZERO,
            duration: READ_BACK_MAX,
            looks: Mutex::default(),
            elapsed_ns: AtomicU64::new(0),
        }
    }

    fn common(&self) -> &Common {
        self.mode.common().expect("a run has them")
    }

    fn main_series(&self) -> Series {
        match self.mode {
            Mode::Produce(_) | Mode::Page(_) => Series::Acknowledge,
            Mode::Fetch(_) => Series::Fetch,
            Mode::EndToEnd(_) => Series::EndToEnd,
            Mode::Connections(_) => Series::Connect,
            Mode::Transactions(_) => Series::Commit,
        }
    }

    fn look(&self) -> (Option<Usage>, Usage) {
        let broker = self.common().pid.and_then(|pid| usage(&pid.to_string()).ok());
        (broker, usage("self").unwrap_or_default())
    }
}

fn resolve(address: &str) -> Result<SocketAddr, String> {
    let mut resolved = address.to_socket_addrs().map_err(|error| format!("{address}: {error}"))?;
    resolved.next().ok_or_else(|| format!("{address}: the name has no address"))
}

/// Runs `plan` to its end.
///
/// # Errors
/// When the threads cannot be had.
pub fn run(plan: &Arc<Plan>) -> Result<Outcome, String> {
    let threads = usize::from(plan.common().threads);
    let parts = execute(plan, threads, |io, plan, threads| Box::pin(work(io, plan, threads)))?;
    let mut outcome = Outcome {
        measured: Measured::default(),
        looks: *plan.looks.lock().expect("never left mid-change"),
        elapsed: Duration::from_nanos(plan.elapsed_ns.load(Ordering::Relaxed)),
        ledger: Ledger::default(),
        checker: None,
        failure: plan.shared.failure(),
    };
    let mut checker = Checker::default();
    for part in parts {
        outcome.measured.merge(part.measured);
        outcome.ledger.merge(part.ledger);
        checker.merge(part.checker);
    }
    if plan.common().verify {
        if plan.mode.sending().is_some() && outcome.failure.is_none() {
            checker = read_back(plan)?;
            checker.compare(&outcome.ledger);
        }
        outcome.checker = Some(checker);
    }
    Ok(outcome)
}

type Working<T> = std::pin::Pin<Box<dyn Future<Output = T>>>;

fn execute<T: Send + 'static>(
    plan: &Arc<Plan>,
    threads: usize,
    main: impl Fn(Handle, Arc<Plan>, usize) -> Working<T> + Sync,
) -> Result<Vec<T>, String> {
    let pool = Pool::new(POOL_BYTES);
    topology::run(Threads::new(threads), &pool, |io| main(io, Arc::clone(plan), threads))
        .map_err(|error| error.to_string())
}

/// Reads everything back that came since the plan's offsets were taken.
fn read_back(plan: &Arc<Plan>) -> Result<Checker, String> {
    let mut reading = plan.reading_back();
    for (broker, before) in plan.cluster.brokers.iter().zip(&plan.offsets) {
        let now = offsets(broker, &plan.common().topic)?;
        reading.offsets.push(before.iter().zip(now).map(|((_, next), (_, end))| (*next, end)).collect());
    }
    let reading = Arc::new(reading);
    let parts = execute(&reading, 1, |io, plan, _| Box::pin(read_all(io, plan)))?;
    match reading.shared.failure() {
        Some(failure) => Err(failure),
        None => Ok(parts.into_iter().next().unwrap_or_default()),
    }
}

async fn read_all(io: Handle, plan: Arc<Plan>) -> Checker {
    let window = window(io.now(), Duration::ZERO, plan.duration);
    let recorder = Rc::new(RefCell::new(Recorder::new(window, Series::Fetch)));
    let checker = Rc::new(RefCell::new(Checker::default()));
    let asking = Asking {
        consumers: 1,
        fetch_bytes: 8 << 20,
        fetch_partition_bytes: 1 << 20,
        fetch_wait_ms: 100,
        fetch_bytes_min: 1,
        fan_out: true,
    };
    for (broker, leading) in plan.cluster.brokers.iter().enumerate() {
        let share = Share { broker, partitions: leading.partitions.clone() };
        match consumer(&io, &plan, &recorder, &share, &asking, Some(Rc::clone(&checker))).await {
            Ok(connection) => fetch::run(connection).await,
            Err(reason) => plan.shared.fail(reason),
        }
    }
    checker.take()
}

/// One thread's work.
async fn work(io: Handle, plan: Arc<Plan>, threads: usize) -> Part {
    let own = |index: usize| index % threads == usize::from(io.reactor_id());
    // Replaced when the time of the start is known; nothing records before.
    let unset = Window { start: Instant(u64::MAX), end: Instant(u64::MAX) };
    let recorder = Rc::new(RefCell::new(Recorder::new(unset, plan.main_series())));
    let ledger = Rc::new(RefCell::new(Ledger::default()));
    let mut checkers = Vec::new();
    if io.reactor_id() == 0 {
        io.spawn(stop_when_asked(io.clone(), Arc::clone(&plan)));
    }
    let prepared = prepare(&io, &plan, &recorder, &ledger, &mut checkers, &own).await;
    if let Err(reason) = &prepared {
        plan.shared.fail(reason.clone());
    }
    let start = plan.shared.start(&io, threads).await;
    let window = window(start, plan.warm_up, plan.duration);
    *recorder.borrow_mut() = Recorder::new(window, plan.main_series());
    let mut prepared = prepared.unwrap_or_default();
    prepared.set_paces(&plan, start);
    if plan.until == Until::CaughtUp {
        // What little there is would be read before the time begins.
        io.sleep_until(start).await;
    }
    let mut ends = prepared.launch(&io, window);
    if io.reactor_id() == 0 {
        io.spawn(watch(io.clone(), Arc::clone(&plan), window));
    }
    if let Mode::Connections(options) = &plan.mode {
        ends.push(idle::launch(&io, &plan, &recorder, options.connections as usize, &own));
    }
    if let Mode::Transactions(options) = &plan.mode {
        ends.extend(transactions::launch(&io, &plan, &recorder, options, &own));
    }
    for end in ends {
        let _ = end.await;
    }
    let elapsed = io.now().since(window.start).min(plan.duration);
    plan.elapsed_ns.fetch_max(elapsed.as_nanos() as u64, Ordering::Relaxed);
    if io.reactor_id() == 0 {
        let mut looks = plan.looks.lock().expect("never left mid-change");
        looks.end.get_or_insert_with(|| plan.look());
    }
    let mut checker = Checker::default();
    for one in checkers {
        checker.merge(one.take());
    }
    let measured = recorder.replace(Recorder::new(window, plan.main_series())).finish();
    Part { measured, ledger: ledger.take(), checker }
}

/// SIGINT and SIGTERM end the run; what was measured so far is shown.
async fn stop_when_asked(io: Handle, plan: Arc<Plan>) {
    drop(io.submit(Op::StopSignal).await);
    plan.shared.stop();
}

/// Connections that are open and wait for the start.
#[derive(Default)]
struct Prepared {
    producers: Vec<(usize, produce::Connection)>,
    consumers: Vec<fetch::Connection>,
}

impl Prepared {
    /// Spreads the connections' requests evenly over the time.
    fn set_paces(&mut self, plan: &Plan, start: Instant) {
        let Some(sending) = plan.mode.sending() else { return };
        let Some(rate) = sending.rate else { return };
        let period_ns = 1e9 * sending.connections as f64 / rate;
        for (index, producer) in &mut self.producers {
            let first = start + Duration::from_nanos((1e9 / rate * *index as f64) as u64);
            producer.pace = Some(Pace { first, period_ns });
        }
    }

    fn launch(self, io: &Handle, window: Window) -> Vec<oneshot::Receiver<()>> {
        let mut ends = Vec::new();
        for consumer in self.consumers {
            ends.push(spawn(io, fetch::run(consumer)));
        }
        for (_, producer) in self.producers {
            debug_assert!(producer.recorder.borrow().window().end == window.end);
            ends.push(spawn(io, produce::run(producer)));
        }
        ends
    }
}

/// Starts a task; the receiver hears of its end.
pub fn spawn(io: &Handle, task: impl Future<Output = ()> + 'static) -> oneshot::Receiver<()> {
    let (sender, receiver) = oneshot::channel();
    io.spawn(async move {
        task.await;
        sender.send(());
    });
    receiver
}

async fn prepare(
    io: &Handle,
    plan: &Arc<Plan>,
    recorder: &Rc<RefCell<Recorder>>,
    ledger: &Rc<RefCell<Ledger>>,
    checkers: &mut Vec<Rc<RefCell<Checker>>>,
    own: &impl Fn(usize) -> bool,
) -> Result<Prepared, String> {
    let mut prepared = Prepared::default();
    if let Some(asking) = plan.mode.asking() {
        let checks = plan.common().verify && plan.mode.sending().is_none();
        for (_, share) in shares_of(plan, asking).into_iter().enumerate().filter(|(index, _)| own(*index)) {
            let checker = checks.then(Rc::<RefCell<Checker>>::default);
            checkers.extend(checker.clone());
            prepared.consumers.push(consumer(io, plan, recorder, &share, asking, checker).await?);
        }
    }
    if let Some(sending) = plan.mode.sending() {
        let is_stamped = plan.common().verify || matches!(plan.mode, Mode::EndToEnd(_));
        let templates = Templates::new(sending, plan.cluster.partitions, is_stamped, io)?;
        let templates = Rc::new(RefCell::new(templates));
        let shares = deal(&plan.cluster.brokers, sending.connections as usize);
        for (index, share) in shares.into_iter().enumerate().filter(|(index, _)| own(*index)) {
            let socket = connect(io, plan.addresses[share.broker]).await?;
            prepared.producers.push((
                index,
                produce::Connection {
                    io: io.clone(),
                    socket: Rc::new(socket),
                    shared: Arc::clone(&plan.shared),
                    recorder: Rc::clone(recorder),
                    templates: Rc::clone(&templates),
                    ledger: Rc::clone(ledger),
                    partitions: share.partitions,
                    partitions_per_request: sending.partitions_per_request as usize,
                    frame: produce_frame(plan, sending),
                    producer: plan.cluster.producers.get(index).copied(),
                    in_flight: usize::from(sending.in_flight),
                    pace: None,
                    source: io.random() as u32,
                },
            ));
        }
    }
    Ok(prepared)
}

fn produce_frame(plan: &Plan, sending: &Sending) -> ProduceFrame {
    ProduceFrame { version: plan.cluster.produce_version, acks: sending.acks, topic: plan.common().topic.clone() }
}

fn shares_of(plan: &Plan, asking: &Asking) -> Vec<Share> {
    let consumers = asking.consumers as usize;
    if asking.fan_out {
        let brokers = &plan.cluster.brokers;
        let all = |consumer: usize| Share {
            broker: consumer % brokers.len(),
            partitions: brokers[consumer % brokers.len()].partitions.clone(),
        };
        (0..consumers).map(all).collect()
    } else {
        deal(&plan.cluster.brokers, consumers)
    }
}

pub async fn connect(io: &Handle, address: SocketAddr) -> Result<Socket, String> {
    Socket::connect(io, address).await.map_err(|error| format!("cannot connect to {address}: {error}"))
}

async fn consumer(
    io: &Handle,
    plan: &Arc<Plan>,
    recorder: &Rc<RefCell<Recorder>>,
    share: &Share,
    asking: &Asking,
    checker: Option<Rc<RefCell<Checker>>>,
) -> Result<fetch::Connection, String> {
    let (leading, known) = (&plan.cluster.brokers[share.broker], &plan.offsets[share.broker]);
    let position = |partition: &i32| {
        let at = leading.partitions.binary_search(partition).expect("a share is of its broker's partitions");
        let (first, next) = known[at];
        let (start, end) = if plan.until == Until::Time { (next, i64::MAX) } else { (first, next) };
        Position { partition: *partition, start, offset: start, end, is_news: true }
    };
    Ok(fetch::Connection {
        io: io.clone(),
        socket: connect(io, plan.addresses[share.broker]).await?,
        shared: Arc::clone(&plan.shared),
        recorder: Rc::clone(recorder),
        checker,
        is_stamped: matches!(plan.mode, Mode::EndToEnd(_)) && plan.until == Until::Time,
        positions: share.partitions.iter().map(position).collect(),
        frame: FetchFrame {
            topic: plan.common().topic.clone(),
            wait_ms: asking.fetch_wait_ms,
            bytes_min: asking.fetch_bytes_min as i32,
            bytes_max: asking.fetch_bytes as i32,
            partition_bytes_max: asking.fetch_partition_bytes as i32,
        },
        until: plan.until,
    })
}

/// Looks at both processes at the window's ends, and shows how far the run is.
async fn watch(io: Handle, plan: Arc<Plan>, window: Window) {
    io.sleep_until(window.start).await;
    plan.looks.lock().expect("never left mid-change").start = Some(plan.look());
    let shows = std::io::stderr().is_terminal() && !plan.common().json;
    let mut before = [0; 3];
    let seconds = plan.duration.as_secs_f64();
    let mut at = window.start;
    while at < window.end {
        let next = (at + INTERVAL).min(window.end);
        io.sleep_until(next).await;
        let length = next.since(at).as_secs_f64();
        at = next;
        let now = [&plan.shared.requests, &plan.shared.records, &plan.shared.bytes]
            .map(|count| count.load(Ordering::Relaxed));
        let rates = [0, 1, 2].map(|count| (now[count] - before[count]) as f64 / length);
        before = now;
        let passed = at.since(window.start).as_secs_f64();
        let errors = plan.shared.errors.load(Ordering::Relaxed);
        if plan.common().json {
            say(&serde_json::json!({
                "type": "progress", "at_s": passed, "requests_per_s": rates[0], "records_per_s": rates[1],
                "bytes_per_s": rates[2], "errors": errors,
            })
            .to_string());
        } else if shows {
            progress(passed / seconds, rates, errors);
        }
    }
    let mut looks = plan.looks.lock().expect("never left mid-change");
    looks.end.get_or_insert_with(|| plan.look());
    if shows {
        say_error("");
    }
}

fn progress(part: f64, rates: [f64; 3], errors: u64) {
    use std::io::Write;
    /// Characters of the bar.
    const BAR: usize = 24;
    let filled = (part * BAR as f64).round() as usize;
    let bar: String = (0..BAR).map(|at| if at < filled { '#' } else { '.' }).collect();
    let mut out = std::io::stderr();
    let _ = write!(
        out,
        "\r[{bar}] {:>9.0} requests/s {:>10.0} records/s {:>8.1} MB/s  {errors} errors ",
        rates[0],
        rates[1],
        rates[2] / 1e6
    );
    let _ = out.flush();
}
