//! `flumen stats`: what a running broker counts, as rates over an interval.

use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use flumen::base::units::Bytes;
use flumen::broker::accept::STATS_SOCKET;
use flumen::broker::stats::{ApiStats, Distribution, ReactorStats, Snapshot, TransactionStats};
use flumen::protocol::api::ApiKey;

use super::{Outcome, ask, say, text};

/// The command's flags.
pub fn command() -> Command {
    let data = Arg::new("data")
        .long("data")
        .value_name("DIRECTORY")
        .default_value("./data")
        .help("The data directory of the broker, which must run on this machine");
    let interval = Arg::new("interval")
        .long("interval")
        .value_name("SECONDS")
        .default_value("1")
        .value_parser(clap::value_parser!(u64).range(1..3600))
        .help("Seconds between two looks");
    let once = Arg::new("once").long("once").action(ArgAction::SetTrue).help("Print the totals since the start, once");
    let json = Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one snapshot as JSON");
    Command::new("stats").about("Show what a running broker does").arg(data).arg(interval).arg(once).arg(json)
}

/// Prints statistics until it is interrupted, or once.
pub fn run(matches: &ArgMatches) -> Outcome {
    let data = text(matches, "data");
    if matches.get_flag("json") {
        say(&ask::ask(data, STATS_SOCKET, "")?);
        return Ok(());
    }
    let mut before = snapshot(data)?;
    if matches.get_flag("once") {
        print(&before, &Snapshot::default());
        return Ok(());
    }
    let interval = matches.get_one::<u64>("interval").copied().unwrap_or(1);
    loop {
        sleep(Duration::from_secs(interval));
        let now = snapshot(data)?;
        // A broker that was started again counts from zero.
        let base = if now.uptime_ms < before.uptime_ms { Snapshot::default() } else { before };
        print(&now, &base);
        before = now;
    }
}

#[allow(clippy::disallowed_methods, reason = "this process has no reactor that it could block")]
fn sleep(duration: Duration) {
    std::thread::sleep(duration);
}

/// What the broker whose data is at `data` counts.
pub(super) fn snapshot(data: &str) -> Result<Snapshot, String> {
    ask::read(&ask::ask(data, STATS_SOCKET, "")?)
}

fn print(now: &Snapshot, before: &Snapshot) {
    let seconds = (now.uptime_ms.saturating_sub(before.uptime_ms)).max(1) as f64 / 1000.0;
    let in_use: u64 = now.memory.in_use.values().sum();
    say(&format!(
        "broker {}  up {} s  topics {}  partitions {}  memory {} of {}  flumen {}",
        now.broker_id,
        now.uptime_ms / 1000,
        now.topics,
        now.partitions,
        Bytes(in_use),
        Bytes(now.memory.limit),
        now.version
    ));
    let transactions =
        now.reactors.iter().map(|one| one.transactions).fold(TransactionStats::default(), TransactionStats::plus);
    if transactions.ids > 0 {
        say(&format!(
            "  transactional ids {}  open transactions {}  the oldest for {} s",
            transactions.ids,
            transactions.open,
            transactions.oldest_open_ms / 1000
        ));
    }
    for reactor in &now.reactors {
        let earlier = before.reactors.iter().find(|one| one.reactor == reactor.reactor).cloned().unwrap_or_default();
        print_reactor(reactor, &earlier, seconds);
    }
    for (key, requests) in by_api(now, before) {
        let name = ApiKey::from_code(key).map_or("?", ApiKey::name);
        let count = requests.latency_us.count();
        let quantile = |quantile| milliseconds(requests.latency_us.quantile(quantile));
        say(&format!(
            "  {name:<24} {:>10.0}/s  p50 {:>8}  p99 {:>8}  p99.9 {:>8}  max {:>8} ms",
            count as f64 / seconds,
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
            quantile(1.0)
        ));
    }
}

fn milliseconds(microseconds: u64) -> String {
    format!("{:.2}", microseconds as f64 / 1000.0)
}

fn print_reactor(now: &ReactorStats, before: &ReactorStats, seconds: f64) {
    let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
    let megabytes = |now, before| rate(now, before) / 1e6;
    say(&format!(
        "  reactor {}  busy {:>3.0} %  connections {}  in flight {}  in {:.1} MB/s  out {:.1} MB/s  batches {:.0}/s  \
         partitions {}  refusals {:.0}/s",
        now.reactor,
        rate(now.busy_ns, before.busy_ns) / 1e7,
        now.connections,
        now.requests_in_flight,
        megabytes(now.bytes_in, before.bytes_in),
        megabytes(now.bytes_out, before.bytes_out),
        rate(now.batches_in, before.batches_in),
        now.partitions,
        rate(now.refusals, before.refusals),
    ));
    let (storage, earlier) = (&now.storage, &before.storage);
    let groups = storage.groups.saturating_sub(earlier.groups);
    let device = storage.device_us.since(&earlier.device_us);
    say(&format!(
        "             commits {:.0}/s of {}  device p50 {} p99 {} ms  in flight {}  journal {:.1} MB/s  direct {:.1} MB/s  \
         write-back {:.1} MB/s  dirty {}  tail {}",
        groups as f64 / seconds,
        Bytes(storage.journal_bytes.saturating_sub(earlier.journal_bytes) / groups.max(1)),
        milliseconds(device.quantile(0.5)),
        milliseconds(device.quantile(0.99)),
        storage.groups_in_flight,
        megabytes(storage.journal_bytes, earlier.journal_bytes),
        megabytes(storage.run_bytes, earlier.run_bytes),
        megabytes(storage.written_back_bytes, earlier.written_back_bytes),
        Bytes(storage.dirty_bytes),
        Bytes(storage.tail_bytes),
    ));
    if let Some(failure) = &storage.failure {
        say(&format!("             STORAGE OFFLINE: {failure}"));
    }
}

/// Requests of all reactors since `before`, by API.
fn by_api(now: &Snapshot, before: &Snapshot) -> Vec<(i16, ApiStats)> {
    let mut sum: std::collections::BTreeMap<i16, ApiStats> = std::collections::BTreeMap::new();
    for reactor in &now.reactors {
        let earlier = before.reactors.iter().find(|one| one.reactor == reactor.reactor);
        for requests in &reactor.requests {
            let known = earlier.and_then(|earlier| earlier.requests.iter().find(|one| one.key == requests.key));
            let since =
                known.map_or_else(|| requests.latency_us.clone(), |known| requests.latency_us.since(&known.latency_us));
            let total: &mut ApiStats = sum.entry(requests.key).or_default();
            total.latency_us = total.latency_us.plus(&since);
        }
    }
    sum.into_iter().filter(|(_, requests)| requests.latency_us != Distribution::default()).collect()
}
