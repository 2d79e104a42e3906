//! `flumen-sim`: seeds in, verdict out. Plays runs of the simulated world until a promise is broken or the time is over.
//!
//! Each world is on one thread; so many of them as there are cores are played at the same time.

#![allow(clippy::disallowed_methods, reason = "the real clock times the program; no world sees it")]

use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use clap::Parser;
use flumen::broker::VERSION;
use flumen::sim::history::Violation;
use flumen::sim::minimise::minimise;
use flumen::sim::nemesis::Planned;
use flumen::sim::run::{Outcome, Run, Script};

/// As in `flumen` itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often a line of progress is printed to a file; a terminal has one line that changes.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Plays seeds of the simulated world and judges the broker in it.
#[derive(Parser)]
#[command(name = "flumen-sim", version = VERSION)]
struct Options {
    /// Plays this seed alone.
    #[arg(long, conflicts_with_all = ["seeds", "minutes"])]
    seed: Option<u64>,
    /// Plays these seeds, the second one not included.
    #[arg(long, value_name = "A..B", value_parser = parse_range)]
    seeds: Option<Range<u64>>,
    /// Ends after so many minutes; without --seeds it plays fresh seeds until then.
    #[arg(long)]
    minutes: Option<f64>,
    /// Ends after so many runs; without --seeds it plays fresh seeds.
    #[arg(long)]
    runs: Option<u64>,
    /// Plays so many worlds at the same time, each on a thread of its own [default: one a core].
    #[arg(long)]
    jobs: Option<usize>,
    /// Plays only these of the seed's faults, by their numbers, as in 0,3 (use with --seed).
    #[arg(long, value_delimiter = ',', num_args = 0.., requires = "seed")]
    faults: Option<Vec<usize>>,
    /// Goes on after a failure, and counts them.
    #[arg(long)]
    keep_going: bool,
    /// How often a failing seed is played again to find out which of its faults it takes.
    #[arg(long, default_value_t = 40)]
    replays: usize,
    /// Prints the broker's log lines (use with --seed).
    #[arg(long)]
    log: bool,
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("is two numbers, as in 0..500")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    Ok(number(from)?..number(to)?)
}

/// The seeds that are left to be played.
struct Supply {
    next: AtomicU64,
    end: u64,
    deadline: Option<Instant>,
    /// A promise was broken, and nobody wants to know of more.
    enough: AtomicBool,
}

impl Supply {
    fn take(&self) -> Option<u64> {
        let over = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if over || self.enough.load(Ordering::Relaxed) {
            return None;
        }
        let seed = self.next.fetch_add(1, Ordering::Relaxed);
        (seed < self.end).then_some(seed)
    }
}

/// A seed that was played.
struct Played {
    seed: u64,
    outcome: Outcome,
    /// What of its plan is enough to break the promise that it broke.
    small: Vec<Planned>,
    /// What it took of a core.
    cpu: Duration,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.log {
        let filter = tracing_subscriber::EnvFilter::new("info");
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    }
    // A panic is reported with its seed, once, and not as often as it is played again.
    std::panic::set_hook(Box::new(|panic| LAST_PANIC.set(panic.to_string())));
    let limit = options.minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
    let seeds = match (options.seed, options.seeds.clone()) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(seeds)) => seeds,
        (None, None) if limit.is_some() || options.runs.is_some() => fresh()..u64::MAX,
        (None, None) => 0..500,
    };
    let end = options.runs.map_or(seeds.end, |runs| seeds.end.min(seeds.start.saturating_add(runs)));
    let supply = Supply {
        next: AtomicU64::new(seeds.start),
        end,
        deadline: limit.map(|limit| Instant::now() + limit),
        enough: AtomicBool::new(false),
    };
    let totals = play_all(&options, &supply, seeds.start);
    clear_line();
    totals.print();
    if totals.failures > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Plays what there is on as many threads as there are to be, and reports as it goes.
fn play_all(options: &Options, supply: &Supply, first: u64) -> Totals {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = options.jobs.unwrap_or_else(cores).max(1);
    let mut totals = Totals::new(first);
    std::thread::scope(|scope| {
        let (sender, played) = mpsc::channel();
        for _ in 0..jobs {
            let sender = sender.clone();
            scope.spawn(move || work(options, supply, &sender));
        }
        drop(sender);
        let mut said = Instant::now();
        loop {
            match played.recv_timeout(Duration::from_millis(100)) {
                Ok(one) => {
                    totals.add(&one);
                    if let Some(violation) = &one.outcome.violation {
                        clear_line();
                        report(&one, violation, options.seed.is_some());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if said.elapsed() > progress_every() {
                said = Instant::now();
                totals.progress();
            }
        }
    });
    totals
}

/// Plays seeds until there are none.
fn work(options: &Options, supply: &Supply, sender: &Sender<Played>) {
    while let Some(seed) = supply.take() {
        let mut script = Script::of(seed);
        if let Some(kept) = &options.faults {
            let all = Run::new(&script).outcome().plan;
            script.plan = Some(all.into_iter().filter(|planned| kept.contains(&planned.number)).collect());
        }
        let before = thread_cpu();
        let outcome = play(&script);
        let cpu = thread_cpu().saturating_sub(before);
        let mut small = Vec::new();
        if outcome.violation.is_some() {
            supply.enough.fetch_or(!options.keep_going, Ordering::Relaxed);
            small = minimise(&script, &outcome, options.replays, play);
        }
        if sender.send(Played { seed, outcome, small, cpu }).is_err() {
            return;
        }
    }
}

/// What this thread has taken of a core so far, as the kernel counts it: the first number is in nanoseconds.
fn thread_cpu() -> Duration {
    let counts = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let on_cpu_ns = counts.split(' ').next().and_then(|count| count.parse().ok());
    Duration::from_nanos(on_cpu_ns.unwrap_or_default())
}

/// A first seed that no earlier invocation had.
fn fresh() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    // Seeds are short to type: ten digits.
    1_000_000_000 + (since.as_secs() * 10_000 % 8_000_000_000)
}

fn progress_every() -> Duration {
    if std::io::stderr().is_terminal() { Duration::from_millis(200) } else { PROGRESS_EVERY }
}

fn clear_line() {
    if std::io::stderr().is_terminal() {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
}

/// Plays a script; a panic is the violation of an invariant that the broker itself checks.
fn play(script: &Script) -> Outcome {
    let mut run = ManuallyDrop::new(Run::new(script));
    let played = catch_unwind(AssertUnwindSafe(|| {
        run.play();
        run.outcome()
    }));
    match played {
        Ok(outcome) => {
            drop(ManuallyDrop::into_inner(run));
            outcome
        }
        // What a panic has left may panic again when it is dropped: it is left alone.
        Err(_) => run.outcome_of_panic(&LAST_PANIC.take()),
    }
}

thread_local! {
    /// Where the last panic was and what it said.
    static LAST_PANIC: Cell<String> = const { Cell::new(String::new()) };
}

fn report(played: &Played, violation: &Violation, with_trace: bool) {
    let Played { seed, outcome, small, .. } = played;
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "seed {seed} FAILS at {VERSION}: {violation}");
    let numbers: Vec<String> = small.iter().map(|planned| planned.number.to_string()).collect();
    let _ = writeln!(
        out,
        "  after {:.3} s of its time; play it again with: flumen-sim --seed {seed} --faults {}",
        outcome.simulated.as_secs_f64(),
        numbers.join(","),
    );
    let _ = writeln!(out, "  it takes {} of its {} faults:", small.len(), outcome.plan.len());
    for planned in small {
        let _ = writeln!(out, "  {planned}");
    }
    if with_trace {
        for line in &outcome.report {
            let _ = writeln!(out, "  {line}");
        }
    }
}

/// What came of all runs so far.
struct Totals {
    started: Instant,
    first: u64,
    last: u64,
    runs: u64,
    failures: u64,
    simulated: Duration,
    /// Of which clients and faults were at work.
    at_work: Duration,
    cpu: Duration,
    events: u64,
    acked: u64,
    read: u64,
    starts: u64,
}

impl Totals {
    fn new(first: u64) -> Totals {
        Totals {
            started: Instant::now(),
            first,
            last: first,
            runs: 0,
            failures: 0,
            simulated: Duration::ZERO,
            at_work: Duration::ZERO,
            cpu: Duration::ZERO,
            events: 0,
            acked: 0,
            read: 0,
            starts: 0,
        }
    }

    fn add(&mut self, played: &Played) {
        let outcome = &played.outcome;
        self.last = self.last.max(played.seed);
        self.runs += 1;
        self.failures += u64::from(outcome.violation.is_some());
        self.simulated += outcome.simulated;
        self.at_work += outcome.at_work;
        self.cpu += played.cpu;
        self.events += outcome.events;
        self.acked += outcome.counts.acked;
        self.read += outcome.counts.read;
        self.starts += outcome.counts.starts;
    }

    fn line(&self) -> String {
        let took = self.started.elapsed().as_secs_f64().max(0.001);
        let cpu = self.cpu.as_secs_f64().max(0.001);
        format!(
            "seeds {}..{}: {} runs, {} failed; {:.0} s simulated in {took:.1} s and {cpu:.1} s of CPU: {:.0} times real \
             time a core, {:.0} times while clients are at work; {:.1} runs/s, {:.2} M events/s; {} batches \
             acknowledged, {} records read, {} starts",
            self.first,
            self.last + 1,
            self.runs,
            self.failures,
            self.simulated.as_secs_f64(),
            self.simulated.as_secs_f64() / cpu,
            self.at_work.as_secs_f64() / cpu,
            self.runs as f64 / took,
            self.events as f64 / took / 1e6,
            self.acked,
            self.read,
            self.starts,
        )
    }

    fn progress(&self) {
        let mut err = std::io::stderr().lock();
        let (begin, end) = if err.is_terminal() { ("\r\x1b[K", "") } else { ("", "\n") };
        let _ = write!(err, "{begin}{}{end}", self.line());
        let _ = err.flush();
    }

    fn print(&self) {
        let _ = writeln!(std::io::stdout(), "{}", self.line());
    }
}
