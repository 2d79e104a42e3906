//! The command line: what to do, and how much of it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use flumen::base::units::parse_bytes;
use flumen::record::Compression;

/// The most connections of a run; each takes a descriptor here and one at the broker.
const CONNECTIONS_MAX: u64 = 100_000;

/// An open-loop load generator for brokers of the Kafka protocol.
///
/// With --rate each request has a time at which it is meant to leave, whatever the broker does, and its latency counts
/// from that time: a broker that stalls is charged for every request that had to wait. Without --rate as much is sent
/// as the requests in flight allow.
#[derive(Parser, Debug)]
#[command(name = "flumen-load", version = flumen::broker::VERSION)]
pub struct Options {
    #[command(subcommand)]
    pub mode: Mode,
}

#[derive(Subcommand, Debug, Clone)]
pub enum Mode {
    /// Produce; measures from the intended time to the acknowledgement
    Produce(Produce),
    /// Read what a topic holds (--tail: what arrives from now on); measures each fetch
    Fetch(Fetch),
    /// Produce and consume; measures from a record's intended time to each consumer
    EndToEnd(EndToEnd),
    /// Open connections that do nothing; measures what they cost
    Connections(Connections),
    /// Produce in transactions, as much as goes; measures each acknowledgement and each commit
    Transactions(Transactions),
    /// Put results of earlier runs (files of JSON lines) on one page
    Page(Page),
}

/// What all runs have.
#[derive(Args, Debug, Clone)]
pub struct Common {
    /// A broker to begin with
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    pub bootstrap: String,
    /// The topic
    #[arg(long, default_value = "load")]
    pub topic: String,
    /// Create the topic with this many partitions if it is not there
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=1_000_000))]
    pub partitions: Option<i32>,
    /// A config of the topic, if it is created
    #[arg(long, value_name = "NAME=VALUE")]
    pub topic_config: Vec<String>,
    /// Seconds that are measured
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub duration: Duration,
    /// Seconds of the same load before that
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub warm_up: Duration,
    /// Threads of this program
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,
    /// The broker's process, on this machine: its CPU time, memory and disk traffic are measured
    #[arg(long)]
    pub pid: Option<u32>,
    /// A name for the run
    #[arg(long, default_value = "")]
    pub label: String,
    /// Print JSON lines: one a second, then the summary
    #[arg(long)]
    pub json: bool,
    /// Write a page with plots to this file
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Check everything that is read: checksums, gapless offsets, and that acknowledged records of this program are there, once, in order
    #[arg(long)]
    pub verify: bool,
}

/// What producers send.
#[derive(Args, Debug, Clone)]
pub struct Sending {
    /// Connections that produce; each has its share of the partitions
    #[arg(long, default_value = "6", value_parser = clap::value_parser!(u64).range(1..=CONNECTIONS_MAX))]
    pub connections: u64,
    /// Requests in flight on each connection
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub in_flight: u16,
    /// Bytes of a record's value
    #[arg(long, value_name = "SIZE", default_value = "1024", value_parser = size)]
    pub record_bytes: usize,
    /// Records of a batch
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch_records: Option<u32>,
    /// Bytes of a batch before compression, where --batch-records is not given
    #[arg(long, value_name = "SIZE", default_value = "16384", value_parser = size)]
    pub batch_bytes: usize,
    /// Partitions of a connection that one request goes to
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub partitions_per_request: u32,
    /// Acknowledgements to wait for: 0, 1 or all
    #[arg(long, default_value = "all", value_parser = acks)]
    pub acks: i16,
    /// Produce idempotently
    #[arg(long)]
    pub idempotent: bool,
    /// Give records keys, out of this many, and send each to its key's partition
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub keys: Option<u32>,
    /// none, gzip, snappy, lz4 or zstd; several between commas take turns
    #[arg(long, default_value = "none", value_delimiter = ',', value_parser = compression)]
    pub compression: Vec<Compression>,
    /// Requests a second, of all connections together; without it as many as go
    #[arg(long, value_parser = rate)]
    pub rate: Option<f64>,
}

#[derive(Args, Debug, Clone)]
pub struct Produce {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub sending: Sending,
}

/// How consumers ask.
#[derive(Args, Debug, Clone)]
pub struct Asking {
    /// Connections that consume
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u64).range(1..=CONNECTIONS_MAX))]
    pub consumers: u64,
    /// Bytes of a reply at most (fetch.max.bytes)
    #[arg(long, value_name = "SIZE", default_value = "52428800", value_parser = size)]
    pub fetch_bytes: usize,
    /// Bytes of a partition in a reply at most (max.partition.fetch.bytes)
    #[arg(long, value_name = "SIZE", default_value = "1048576", value_parser = size)]
    pub fetch_partition_bytes: usize,
    /// Milliseconds that the broker may wait for records (fetch.max.wait.ms)
    #[arg(long, default_value = "500", value_parser = clap::value_parser!(i32).range(0..=60_000))]
    pub fetch_wait_ms: i32,
    /// Bytes that the broker waits for (fetch.min.bytes)
    #[arg(long, value_name = "SIZE", default_value = "1", value_parser = size)]
    pub fetch_bytes_min: usize,
    /// Each consumer reads all partitions, instead of a share of them
    #[arg(long)]
    pub fan_out: bool,
}

#[derive(Args, Debug, Clone)]
pub struct Fetch {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub asking: Asking,
    /// Begin at the end and read what arrives, until the time is over
    #[arg(long, conflicts_with = "repeat")]
    pub tail: bool,
    /// Begin again at the end, until the time is over; otherwise the run ends when all is read
    #[arg(long)]
    pub repeat: bool,
}

#[derive(Args, Debug, Clone)]
pub struct EndToEnd {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub sending: Sending,
    #[command(flatten)]
    pub asking: Asking,
}

#[derive(Args, Debug, Clone)]
pub struct Connections {
    #[command(flatten)]
    pub common: Common,
    /// Connections to open
    #[arg(long, default_value = "1000", value_parser = clap::value_parser!(u64).range(1..=CONNECTIONS_MAX))]
    pub connections: u64,
}

#[derive(Args, Debug, Clone)]
pub struct Transactions {
    #[command(flatten)]
    pub common: Common,
    /// Producers, each with a transactional id and a connection of its own; each has its share of the partitions
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub producers: u64,
    /// Milliseconds between the beginning of a transaction and its commit
    #[arg(long, default_value = "100", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub commit_ms: u64,
    /// Requests in flight on each connection; each carries a batch to each partition of the producer
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub in_flight: u16,
    /// Bytes of a record's value
    #[arg(long, value_name = "SIZE", default_value = "1024", value_parser = size)]
    pub record_bytes: usize,
    /// Records of a batch
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch_records: u32,
}

#[derive(Args, Debug, Clone)]
pub struct Page {
    /// Files of JSON lines, as --json prints them; their summaries are shown side by side
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// The page
    #[arg(long, value_name = "FILE")]
    pub report: PathBuf,
}

impl Mode {
    /// The mode's name, as in the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Mode::Produce(_) => "produce",
            Mode::Fetch(_) => "fetch",
            Mode::EndToEnd(_) => "end-to-end",
            Mode::Connections(_) => "connections",
            Mode::Transactions(_) => "transactions",
            Mode::Page(_) => "page",
        }
    }

    /// What all runs have; a page is no run.
    pub fn common(&self) -> Option<&Common> {
        match self {
            Mode::Produce(Produce { common, .. })
            | Mode::Fetch(Fetch { common, .. })
            | Mode::EndToEnd(EndToEnd { common, .. })
            | Mode::Connections(Connections { common, .. })
            | Mode::Transactions(Transactions { common, .. }) => Some(common),
            Mode::Page(_) => None,
        }
    }

    /// What is sent, if anything is.
    pub fn sending(&self) -> Option<&Sending> {
        match self {
            Mode::Produce(Produce { sending, .. }) | Mode::EndToEnd(EndToEnd { sending, .. }) => Some(sending),
            Mode::Fetch(_) | Mode::Connections(_) | Mode::Transactions(_) | Mode::Page(_) => None,
        }
    }

    /// How is asked, if it is.
    pub fn asking(&self) -> Option<&Asking> {
        match self {
            Mode::Fetch(Fetch { asking, .. }) | Mode::EndToEnd(EndToEnd { asking, .. }) => Some(asking),
            Mode::Produce(_) | Mode::Connections(_) | Mode::Transactions(_) | Mode::Page(_) => None,
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    /// A day.
    const SECONDS_MAX: f64 = 86_400.0;
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("'{text}' is no number of seconds from 0 to {SECONDS_MAX}")),
    }
}

fn size(text: &str) -> Result<usize, String> {
    /// No frame of the protocol is larger.
    const BYTES_MAX: u64 = i32::MAX as u64 / 2;
    match parse_bytes(text)? {
        bytes @ 1..=BYTES_MAX => Ok(bytes as usize),
        bytes => Err(format!("{bytes} bytes: from 1 to {BYTES_MAX}")),
    }
}

fn acks(text: &str) -> Result<i16, String> {
    match text {
        "0" => Ok(0),
        "1" => Ok(1),
        "all" | "-1" => Ok(-1),
        _ => Err(format!("'{text}': 0, 1 or all")),
    }
}

fn compression(text: &str) -> Result<Compression, String> {
    Compression::from_name(text).ok_or_else(|| format!("'{text}': none, gzip, snappy, lz4 or zstd"))
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.001..=1e9).contains(&rate) => Ok(rate),
        _ => Err(format!("'{text}' is no number of requests a second")),
    }
}
