//! `flumen-sim`: seeds in, verdict out. Plays runs of the simulated world until a promise is broken or the time is over.

#![allow(clippy::disallowed_methods, reason = "the real clock times the program; no world sees it")]

use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use flumen::broker::VERSION;
use flumen::sim::history::Violation;
use flumen::sim::minimise::minimise;
use flumen::sim::nemesis::Planned;
use flumen::sim::run::{Outcome, Run, Script};

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

#[derive(Default)]
struct Totals {
    runs: u64,
    failures: u64,
    simulated: Duration,
    events: u64,
    acked: u64,
    read: u64,
    starts: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.log {
        let filter = tracing_subscriber::EnvFilter::new("info");
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    }
    // A panic is reported with its seed, once, and not as often as it is played again.
    std::panic::set_hook(Box::new(|panic| LAST_PANIC.set(panic.to_string())));
    let started = Instant::now();
    let limit = options.minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
    let seeds = match (options.seed, options.seeds.clone()) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(seeds)) => seeds,
        (None, None) if limit.is_some() || options.runs.is_some() => fresh()..u64::MAX,
        (None, None) => 0..500,
    };
    let mut totals = Totals::default();
    let mut said = Instant::now();
    for seed in seeds {
        let enough = options.runs.is_some_and(|runs| totals.runs >= runs);
        if enough || limit.is_some_and(|limit| started.elapsed() >= limit) {
            break;
        }
        let outcome = play(&Script::of(seed));
        totals.add(&outcome);
        if let Some(violation) = &outcome.violation {
            clear_line();
            let small = minimise(&Script::of(seed), &outcome, options.replays, play);
            report(seed, &outcome, violation, &small, options.seed.is_some());
            if !options.keep_going {
                totals.print(started);
                return ExitCode::FAILURE;
            }
        }
        if said.elapsed() > progress_every() {
            said = Instant::now();
            totals.progress(started, seed);
        }
    }
    clear_line();
    totals.print(started);
    if totals.failures > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
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

fn report(seed: u64, outcome: &Outcome, violation: &Violation, small: &[Planned], with_trace: bool) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "seed {seed} FAILS at {VERSION}: {violation}");
    let _ = writeln!(
        out,
        "  after {:.3} s of its time; play it again with: flumen-sim --seed {seed}",
        outcome.simulated.as_secs_f64()
    );
    let _ = writeln!(out, "  it takes these of its {} faults:", outcome.plan.len());
    for planned in small {
        let _ = writeln!(out, "  {planned}");
    }
    if with_trace {
        for line in &outcome.report {
            let _ = writeln!(out, "  {line}");
        }
    }
}

impl Totals {
    fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.failures += u64::from(outcome.violation.is_some());
        self.simulated += outcome.simulated;
        self.events += outcome.events;
        self.acked += outcome.counts.acked;
        self.read += outcome.counts.read;
        self.starts += outcome.counts.starts;
    }

    fn line(&self, started: Instant) -> String {
        let took = started.elapsed().as_secs_f64().max(0.001);
        format!(
            "{} runs, {} failed; {:.0} s simulated in {took:.1} s: {:.0} times real time, {:.1} runs/s, {:.2} M events/s; {} \
             batches acknowledged, {} records read, {} starts",
            self.runs,
            self.failures,
            self.simulated.as_secs_f64(),
            self.simulated.as_secs_f64() / took,
            self.runs as f64 / took,
            self.events as f64 / took / 1e6,
            self.acked,
            self.read,
            self.starts,
        )
    }

    fn progress(&self, started: Instant, seed: u64) {
        let mut err = std::io::stderr().lock();
        let (begin, end) = if err.is_terminal() { ("\r\x1b[K", "") } else { ("", "\n") };
        let _ = write!(err, "{begin}seed {seed}: {}{end}", self.line(started));
        let _ = err.flush();
    }

    fn print(&self, started: Instant) {
        let _ = writeln!(std::io::stdout(), "{}", self.line(started));
    }
}
