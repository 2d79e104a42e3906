//! `flumen::io` and glommio side by side on the jobs that the design rests on: `cargo bench --bench substrate`.
//!
//! - **echo**: 128-byte requests and replies over 64 connections, with 1 and 8 requests in flight each;
//! - **append**: 16 producers with 4 batches in flight each, committed in groups, two durable O_DIRECT writes in flight
//!   over a file whose blocks are written already.
//!
//! Each server runs in a process of its own on the first core, so that the CPU time charged to it includes the kernel's
//! worker threads; clients run on the second core. Rounds alternate between the two; what counts is the median of the
//! CPU time a request, which repeats well where throughput does not.

#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

mod append;
mod client;
mod on_flumen;
mod on_glommio;
mod processor;

/// Alternating rounds of each job.
const ROUNDS: usize = 5;
/// Time before a measurement starts, and how long it takes.
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(2);
/// Cores of the server and of its clients.
const SERVER_CORE: usize = 0;
const CLIENT_CORE: usize = 1;
/// The variable that tells a child process what to be: a side and a job.
const ROLE: &str = "SUBSTRATE_ROLE";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Flumen,
    Glommio,
}

#[derive(Clone, Copy)]
enum Job {
    Echo { depth: usize },
    Append { bytes: usize },
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Side::Flumen => "flumen",
            Side::Glommio => "glommio",
        }
    }
}

impl Job {
    fn name(self) -> String {
        match self {
            Job::Echo { depth } => format!("echo, depth {depth}"),
            Job::Append { bytes } => format!("durable append, {} KiB", bytes >> 10),
        }
    }

    /// The most CPU time that flumen may take, as a share of glommio's.
    fn limit(self) -> f64 {
        match self {
            Job::Echo { .. } => 0.75,
            Job::Append { .. } => 1.0,
        }
    }
}

/// What one round measured.
#[derive(Clone, Copy, Debug)]
struct Sample {
    requests: u64,
    wall: Duration,
    server_cpu: Duration,
}

impl Sample {
    fn cpu_micros(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e6 / self.requests as f64
    }

    fn per_second(&self) -> f64 {
        self.requests as f64 / self.wall.as_secs_f64()
    }
}

fn main() {
    if let Ok(role) = std::env::var(ROLE) {
        serve(&role);
        return;
    }
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let rounds = std::env::var("SUBSTRATE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    let jobs = [
        Job::Echo { depth: 1 },
        Job::Echo { depth: 8 },
        Job::Append { bytes: 4 << 10 },
        Job::Append { bytes: 64 << 10 },
    ];
    processor::pin(CLIENT_CORE);
    println!(
        "{:<24} {:>24} {:>24} {:>7} {:>6}  {:>11} {:>11}",
        "server CPU us a request", "flumen min/median/max", "glommio", "ratio", "limit", "flumen/s", "glommio/s"
    );
    for job in jobs.into_iter().filter(|job| only.as_ref().is_none_or(|only| job.name().contains(only.as_str()))) {
        let mut samples: [Vec<Sample>; 2] = Default::default();
        for _ in 0..rounds {
            for (side, samples) in [Side::Flumen, Side::Glommio].into_iter().zip(&mut samples) {
                samples.push(measure(side, job));
            }
        }
        report(job, &samples);
    }
}

/// The minimum, median and maximum of a figure.
fn spread(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> [f64; 3] {
    let mut figures: Vec<f64> = samples.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    [figures[0], figures[figures.len() / 2], figures[figures.len() - 1]]
}

fn report(job: Job, samples: &[Vec<Sample>; 2]) {
    let cpu = [spread(&samples[0], Sample::cpu_micros), spread(&samples[1], Sample::cpu_micros)];
    let ratio = cpu[0][1] / cpu[1][1];
    let shown = cpu.map(|[low, median, high]| format!("{low:.3}/{median:.3}/{high:.3}"));
    let rates = [&samples[0], &samples[1]].map(|samples| spread(samples, Sample::per_second)[1]);
    let verdict = if ratio <= job.limit() { "" } else { "  OVER" };
    println!(
        "{:<24} {:>24} {:>24} {:>7.3} {:>6.2}  {:>11.0} {:>11.0}{verdict}",
        job.name(),
        shown[0],
        shown[1],
        ratio,
        job.limit(),
        rates[0],
        rates[1],
    );
}

fn spawn(side: Side, job: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let program = std::env::current_exe().expect("this program's path");
    let role = format!("{} {job}", side.name());
    let mut child = Command::new(program).env(ROLE, role).stdout(Stdio::piped()).spawn().expect("a child process");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    (child, output)
}

fn next_number(output: &mut impl BufRead) -> u64 {
    let mut line = String::new();
    output.read_line(&mut line).expect("a line from the child process");
    line.trim().parse().expect("a number from the child process")
}

fn measure(side: Side, job: Job) -> Sample {
    match job {
        Job::Echo { depth } => {
            let (mut child, mut output) = spawn(side, "echo");
            let port = next_number(&mut output) as u16;
            let clock = processor::clock_of(child.id());
            let sample = client::run(port, depth, clock);
            child.kill().expect("the child process runs");
            child.wait().expect("the child process ends");
            sample
        }
        Job::Append { bytes } => {
            append::prepare_file();
            let (mut child, mut output) = spawn(side, &format!("append {bytes}"));
            let requests = next_number(&mut output);
            let wall = Duration::from_nanos(next_number(&mut output));
            let server_cpu = Duration::from_nanos(next_number(&mut output));
            child.wait().expect("the child process ends");
            Sample { requests, wall, server_cpu }
        }
    }
}

/// The life of a child process.
fn serve(role: &str) {
    processor::pin(SERVER_CORE);
    match role.split(' ').collect::<Vec<_>>()[..] {
        ["flumen", "echo"] => on_flumen::echo(),
        ["glommio", "echo"] => on_glommio::echo(),
        [side, "append", bytes] => {
            let bytes = bytes.parse().expect("a number of bytes");
            let sample = if side == "flumen" { on_flumen::append(bytes) } else { on_glommio::append(bytes) };
            println!("{}\n{}\n{}", sample.requests, sample.wall.as_nanos(), sample.server_cpu.as_nanos());
        }
        _ => panic!("an unknown role: {role}"),
    }
}
