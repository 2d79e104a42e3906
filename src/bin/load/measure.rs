//! What is measured: latencies as histograms, counts a second, of one thread; and how threads' results become one.

use flumen::base::time::{Duration, Instant};
use hdrhistogram::Histogram;

/// The longest latency that is told apart, in nanoseconds.
const LATENCY_NS_MAX: u64 = 600_000_000_000;
/// The shortest.
const LATENCY_NS_MIN: u64 = 1000;
const SIGNIFICANT_DIGITS: u8 = 3;
/// Length of an interval of the time series.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// A latency that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Series {
    /// From the intended time of a Produce request to its acknowledgement.
    Acknowledge,
    /// From the intended time of a record to its arrival at a consumer.
    EndToEnd,
    /// From the sending of a Fetch request to the last byte of its reply.
    Fetch,
    /// From the start of a connection to the reply to its first request.
    Connect,
    /// From the request that commits a transaction to its reply.
    Commit,
}

impl Series {
    pub fn name(self) -> &'static str {
        match self {
            Series::Acknowledge => "acknowledge",
            Series::EndToEnd => "end to end",
            Series::Fetch => "fetch",
            Series::Connect => "connect",
            Series::Commit => "commit",
        }
    }
}

/// When what counts begins and ends.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub start: Instant,
    pub end: Instant,
}

impl Window {
    fn contains(&self, at: Instant) -> bool {
        (self.start..self.end).contains(&at)
    }
}

/// One interval of the time series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    pub requests: u64,
    pub records: u64,
    pub bytes: u64,
    pub p50_ns: u64,
    pub p99_ns: u64,
    pub max_ns: u64,
}

/// What one thread measured.
pub struct Recorder {
    window: Window,
    /// The series whose completions make the time series.
    main: Series,
    series: Vec<(Series, Histogram<u64>)>,
    current: Histogram<u64>,
    current_at: u64,
    pub intervals: Vec<Interval>,
    pub total: Interval,
    /// Records that consumers got, in all; they may be a side of a run whose main series is another.
    pub consumed: Interval,
    pub errors: u64,
}

pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(LATENCY_NS_MIN, LATENCY_NS_MAX, SIGNIFICANT_DIGITS).expect("the bounds are valid")
}

/// What came with one completion.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    pub records: u64,
    pub bytes: u64,
}

impl Recorder {
    pub fn new(window: Window, main: Series) -> Recorder {
        let intervals = window.end.since(window.start).as_nanos().div_ceil(INTERVAL.as_nanos()).max(1);
        Recorder {
            window,
            main,
            series: Vec::new(),
            current: histogram(),
            current_at: 0,
            intervals: vec![Interval::default(); intervals as usize],
            total: Interval::default(),
            consumed: Interval::default(),
            errors: 0,
        }
    }

    pub fn window(&self) -> Window {
        self.window
    }

    /// A latency of `series`, counted by when it was meant to begin. `count` records may share it.
    pub fn latency(&mut self, series: Series, intended: Instant, done: Instant, count: u64) {
        if !self.window.contains(intended) {
            return;
        }
        let nanos = (done.since(intended).as_nanos() as u64).clamp(LATENCY_NS_MIN, LATENCY_NS_MAX);
        if !self.series.iter().any(|(known, _)| *known == series) {
            self.series.push((series, histogram()));
        }
        let (_, histogram) = self.series.iter_mut().find(|(known, _)| *known == series).expect("it was just added");
        histogram.record_n(nanos, count).expect("clamped to the bounds");
        if series == self.main && self.window.contains(done) {
            self.turn_to(done);
            self.current.record_n(nanos, count).expect("clamped to the bounds");
        }
    }

    /// Completed work, counted by when it was done.
    pub fn done(&mut self, at: Instant, work: Work, is_consumed: bool) {
        if !self.window.contains(at) {
            return;
        }
        let sum = if is_consumed { &mut self.consumed } else { &mut self.total };
        add(sum, work);
        if is_consumed == matches!(self.main, Series::Fetch | Series::EndToEnd) {
            let index = self.index(at);
            add(&mut self.intervals[index as usize], work);
        }
    }

    fn index(&self, at: Instant) -> u64 {
        let index = at.since(self.window.start).as_nanos() / INTERVAL.as_nanos();
        (index as u64).min(self.intervals.len() as u64 - 1)
    }

    /// Closes the intervals before the one of `at`.
    fn turn_to(&mut self, at: Instant) {
        let index = self.index(at);
        if index > self.current_at {
            self.close();
            self.current_at = index;
        }
    }

    fn close(&mut self) {
        let interval = &mut self.intervals[self.current_at as usize];
        interval.p50_ns = self.current.value_at_quantile(0.5);
        interval.p99_ns = self.current.value_at_quantile(0.99);
        interval.max_ns = self.current.max();
        self.current.reset();
    }

    /// What was measured, once nothing more comes.
    pub fn finish(mut self) -> Measured {
        self.close();
        Measured {
            series: self.series,
            intervals: self.intervals,
            total: self.total,
            consumed: self.consumed,
            errors: self.errors,
        }
    }
}

fn add(sum: &mut Interval, work: Work) {
    sum.requests += 1;
    sum.records += work.records;
    sum.bytes += work.bytes;
}

/// What one or more threads measured.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    pub series: Vec<(Series, Histogram<u64>)>,
    pub intervals: Vec<Interval>,
    pub total: Interval,
    pub consumed: Interval,
    pub errors: u64,
}

impl Measured {
    /// Takes in what another thread measured. Quantiles of an interval are the worse thread's: the histograms are gone.
    pub fn merge(&mut self, other: Measured) {
        for (series, histogram) in other.series {
            match self.series.iter_mut().find(|(known, _)| *known == series) {
                Some((_, sum)) => sum.add(&histogram).expect("all have the same bounds"),
                None => self.series.push((series, histogram)),
            }
        }
        self.series.sort_by_key(|(series, _)| *series);
        self.intervals.resize(self.intervals.len().max(other.intervals.len()), Interval::default());
        for (sum, interval) in self.intervals.iter_mut().zip(&other.intervals) {
            sum_up(sum, interval);
        }
        sum_up(&mut self.total, &other.total);
        sum_up(&mut self.consumed, &other.consumed);
        self.errors += other.errors;
    }
}

fn sum_up(sum: &mut Interval, other: &Interval) {
    sum.requests += other.requests;
    sum.records += other.records;
    sum.bytes += other.bytes;
    sum.p50_ns = sum.p50_ns.max(other.p50_ns);
    sum.p99_ns = sum.p99_ns.max(other.p99_ns);
    sum.max_ns = sum.max_ns.max(other.max_ns);
}
