//! What a run came to, as data: printed for people, as a JSON line, and drawn on a page.

use serde::{Deserialize, Serialize};

use super::measure::Interval;
use super::options::Mode;
use super::process::Usage;
use super::run::{Outcome, Plan};
use super::say;

/// The quantiles that are printed.
const QUANTILES: [f64; 6] = [0.5, 0.9, 0.99, 0.999, 0.9999, 1.0];

/// A run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// `summary`: tells this line from those of the progress.
    pub r#type: String,
    pub label: String,
    pub mode: String,
    /// The command line.
    pub command: String,
    pub seconds: f64,
    pub produced: Rates,
    pub consumed: Rates,
    pub errors: u64,
    pub latencies: Vec<Latency>,
    pub intervals: Vec<Second>,
    pub broker: Option<Process>,
    pub client_cores: f64,
    pub verified: Option<Verified>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    pub requests: u64,
    pub records: u64,
    pub bytes: u64,
    pub requests_per_s: f64,
    pub records_per_s: f64,
    pub bytes_per_s: f64,
}

impl Rates {
    fn new(sum: &Interval, seconds: f64) -> Rates {
        let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        Rates {
            requests: sum.requests,
            records: sum.records,
            bytes: sum.bytes,
            requests_per_s: per_second(sum.requests),
            records_per_s: per_second(sum.records),
            bytes_per_s: per_second(sum.bytes),
        }
    }
}

/// A histogram, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    pub name: String,
    pub count: u64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p99_9_ms: f64,
    pub p99_99_ms: f64,
    pub max_ms: f64,
    /// Quantiles and values, for the plot.
    pub curve: Vec<(f64, f64)>,
}

/// A second of the time series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    pub requests: u64,
    pub records: u64,
    pub bytes: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

/// The broker's process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    pub cpu_s: f64,
    pub cores: f64,
    pub cpu_us_per_request: f64,
    pub cpu_s_per_gb: f64,
    pub resident_bytes_before: u64,
    pub resident_bytes: u64,
    pub resident_bytes_peak: u64,
    pub written_bytes: u64,
    pub read_bytes: u64,
    pub threads: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verified {
    pub acknowledged: u64,
    pub batches: u64,
    pub records: u64,
    pub faults: u64,
    pub told: Vec<String>,
}

const MILLISECOND_NS: f64 = 1e6;

fn latency(name: &str, histogram: &hdrhistogram::Histogram<u64>) -> Latency {
    let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / MILLISECOND_NS;
    let [p50_ms, p90_ms, p99_ms, p99_9_ms, p99_99_ms, max_ms] = QUANTILES.map(at);
    /// Points for each further nine.
    const STEPS: u32 = 12;
    let nines = (histogram.len() as f64).log10().clamp(1.0, 7.0);
    let points = (nines * f64::from(STEPS)).ceil() as u32;
    let curve = (0..=points).map(|step| 1.0 - 10f64.powf(-f64::from(step) / f64::from(STEPS)));
    Latency {
        name: name.to_owned(),
        count: histogram.len(),
        mean_ms: histogram.mean() / MILLISECOND_NS,
        p50_ms,
        p90_ms,
        p99_ms,
        p99_9_ms,
        p99_99_ms,
        max_ms,
        curve: curve.map(|quantile| (quantile, at(quantile))).collect(),
    }
}

impl Process {
    fn new(before: Option<Usage>, start: Usage, end: Usage, work: &Rates, seconds: f64) -> Process {
        let cpu_s = (end.cpu_s - start.cpu_s).max(0.0);
        let share = |amount: f64| if amount > 0.0 { cpu_s / amount } else { 0.0 };
        Process {
            cpu_s,
            cores: share(seconds),
            cpu_us_per_request: 1e6 * share(work.requests as f64),
            cpu_s_per_gb: 1e9 * share(work.bytes as f64),
            resident_bytes_before: before.unwrap_or(start).resident_bytes,
            resident_bytes: end.resident_bytes,
            resident_bytes_peak: end.resident_bytes_peak,
            written_bytes: end.written_bytes - start.written_bytes,
            read_bytes: end.read_bytes - start.read_bytes,
            threads: end.threads,
        }
    }
}

impl Summary {
    pub fn new(plan: &Plan, outcome: &Outcome) -> Summary {
        let seconds = outcome.elapsed.as_secs_f64();
        let common = plan.mode.common().expect("a run has them");
        let measured = &outcome.measured;
        let (produced, consumed) = (Rates::new(&measured.total, seconds), Rates::new(&measured.consumed, seconds));
        let work = if matches!(plan.mode, Mode::Fetch(_)) { &consumed } else { &produced };
        let (start, end) = (outcome.looks.start.or(outcome.looks.end), outcome.looks.end);
        let broker = start.and_then(|look| look.0).zip(end.and_then(|look| look.0));
        let own = start.zip(end).map_or(0.0, |(start, end)| end.1.cpu_s - start.1.cpu_s);
        let seconds_shown = (seconds.ceil() as usize).max(1);
        Summary {
            r#type: "summary".to_owned(),
            label: common.label.clone(),
            mode: plan.mode.name().to_owned(),
            command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
            seconds,
            produced,
            consumed,
            errors: measured.errors,
            latencies: measured.series.iter().map(|(series, histogram)| latency(series.name(), histogram)).collect(),
            intervals: measured.intervals.iter().take(seconds_shown).map(second).collect(),
            broker: broker.map(|(start, end)| Process::new(outcome.looks.before, start, end, work, seconds)),
            client_cores: if seconds > 0.0 { own / seconds } else { 0.0 },
            verified: outcome.checker.as_ref().map(|checker| Verified {
                acknowledged: outcome.ledger.records(),
                batches: checker.batches,
                records: checker.records,
                faults: checker.faults,
                told: checker.told.clone(),
            }),
        }
    }

    /// Prints it for people.
    pub fn print(&self) {
        let label = if self.label.is_empty() { String::new() } else { format!("  {}", self.label) };
        say(&format!("{}{label}  {:.1} s  {} errors", self.mode, self.seconds, self.errors));
        for (what, rates) in [("produced", &self.produced), ("consumed", &self.consumed)] {
            if rates.requests > 0 {
                say(&format!(
                    "  {what:<12} {:>10.1} MB/s  {:>11.0} records/s  {:>9.0} requests/s",
                    rates.bytes_per_s / 1e6,
                    rates.records_per_s,
                    rates.requests_per_s
                ));
            }
        }
        if !self.latencies.is_empty() {
            say("  ms               p50       p90       p99     p99.9    p99.99       max      count");
        }
        for one in &self.latencies {
            let values = [one.p50_ms, one.p90_ms, one.p99_ms, one.p99_9_ms, one.p99_99_ms, one.max_ms];
            let values: String = values.iter().map(|value| format!(" {value:>9.3}")).collect();
            say(&format!("  {:<12}{values}  {:>9}", one.name, one.count));
        }
        if let Some(broker) = &self.broker {
            say(&format!(
                "  broker        CPU {:.3} cores  {:.2} us/request  {:.3} s/GB  memory {:.1} MiB (peak {:.1})  \
                 written {:.1} MB  read {:.1} MB  {} threads",
                broker.cores,
                broker.cpu_us_per_request,
                broker.cpu_s_per_gb,
                mebibytes(broker.resident_bytes),
                mebibytes(broker.resident_bytes_peak),
                broker.written_bytes as f64 / 1e6,
                broker.read_bytes as f64 / 1e6,
                broker.threads
            ));
        }
        say(&format!("  this program  CPU {:.3} cores", self.client_cores));
        if let Some(verified) = &self.verified {
            say(&format!(
                "  verified      {} records in {} batches, {} of this run acknowledged, {} faults",
                verified.records, verified.batches, verified.acknowledged, verified.faults
            ));
            for fault in &verified.told {
                say(&format!("    {fault}"));
            }
        }
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn second(interval: &Interval) -> Second {
    Second {
        requests: interval.requests,
        records: interval.records,
        bytes: interval.bytes,
        p50_ms: interval.p50_ns as f64 / MILLISECOND_NS,
        p99_ms: interval.p99_ns as f64 / MILLISECOND_NS,
        max_ms: interval.max_ns as f64 / MILLISECOND_NS,
    }
}
