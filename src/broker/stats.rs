//! What a reactor counts, and the snapshot of all reactors that `flumen stats` prints.
//!
//! Counters are plain cells of one reactor: nothing on the way of a request touches a shared cache line. A snapshot is
//! gathered over the mesh, a message to each reactor, when somebody asks for one.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::broker::Broker;
use super::lag::GroupLag;
use crate::base::time::Duration;
use crate::coordinator::transaction::machine::TransactionMachine;
use crate::shard::StorageStats;

/// Latencies are kept in microseconds up to this (ten minutes: the longest a fetch may wait is far below).
const LATENCY_MICROSECONDS_MAX: u64 = 600_000_000;
/// Significant digits of kept latencies: 1 % is finer than any two runs agree.
const LATENCY_DIGITS: u8 = 2;

/// A count of one reactor.
#[derive(Debug, Default)]
pub struct Counter(Cell<u64>);

impl Counter {
    /// Counts `more`.
    pub fn add(&self, more: u64) {
        self.0.set(self.0.get() + more);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// The counts of one reactor.
#[derive(Default)]
pub struct Counters {
    /// Bytes of requests received, sizes not counted.
    pub bytes_in: Counter,
    /// Bytes of replies sent.
    pub bytes_out: Counter,
    /// Connections taken on.
    pub connections_opened: Counter,
    /// Connections that are gone.
    pub connections_closed: Counter,
    /// Times a connection was left unread for want of memory or because its replies were not read.
    pub reads_paused: Counter,
    /// Batches appended for producers, here or by another reactor.
    pub batches_in: Counter,
    /// Requests and partitions of requests that were refused.
    pub refusals: Counter,
    /// Fetches that waited for data.
    pub fetches_waited: Counter,
    apis: RefCell<BTreeMap<i16, Latencies>>,
}

struct Latencies {
    microseconds: Histogram<u64>,
}

impl Counters {
    /// Counts a request of API `key` that took `duration` from its arrival to its reply being ready.
    pub fn request(&self, key: i16, duration: Duration) {
        let mut apis = self.apis.borrow_mut();
        let latencies = apis.entry(key).or_insert_with(|| Latencies {
            microseconds: Histogram::new_with_max(LATENCY_MICROSECONDS_MAX, LATENCY_DIGITS)
                .expect("bounds of a histogram, both constants"),
        });
        latencies.microseconds.saturating_record(duration.as_micros().min(u128::from(u64::MAX)) as u64);
    }

    /// Requests by API.
    pub fn requests(&self) -> Vec<ApiStats> {
        let apis = self.apis.borrow();
        apis.iter()
            .map(|(key, latencies)| ApiStats {
                key: *key,
                count: latencies.microseconds.len(),
                latency_us: Distribution::of(&latencies.microseconds),
            })
            .collect()
    }
}

/// A histogram as pairs of a value and how often it was recorded, so that two of them can be subtracted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution(pub Vec<(u64, u64)>);

impl Distribution {
    /// The recorded values of `histogram`.
    pub fn of(histogram: &Histogram<u64>) -> Distribution {
        let recorded = histogram.iter_recorded();
        Distribution(recorded.map(|value| (value.value_iterated_to(), value.count_at_value())).collect())
    }

    /// What was recorded since `earlier`, a snapshot of the same histogram.
    pub fn since(&self, earlier: &Distribution) -> Distribution {
        let before: BTreeMap<u64, u64> = earlier.0.iter().copied().collect();
        let left =
            self.0.iter().map(|(value, count)| (*value, count - before.get(value).copied().unwrap_or(0).min(*count)));
        Distribution(left.filter(|(_, count)| *count > 0).collect())
    }

    /// Both together.
    pub fn plus(&self, other: &Distribution) -> Distribution {
        let mut sum: BTreeMap<u64, u64> = self.0.iter().copied().collect();
        for (value, count) in &other.0 {
            *sum.entry(*value).or_insert(0) += count;
        }
        Distribution(sum.into_iter().collect())
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// The value that the share `quantile` (0 to 1) of the recorded ones does not pass; 0 when there are none.
    pub fn quantile(&self, quantile: f64) -> u64 {
        let rank = (self.count() as f64 * quantile).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (value, count) in &self.0 {
            seen += count;
            if seen >= rank {
                return *value;
            }
        }
        0
    }
}

/// Requests of one API.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ApiStats {
    /// The API's key.
    pub key: i16,
    /// Requests answered.
    pub count: u64,
    /// Time from arrival to the reply being ready, in microseconds.
    pub latency_us: Distribution,
}

/// One reactor's part of a snapshot.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ReactorStats {
    /// Its number.
    pub reactor: u16,
    /// Turns taken.
    pub turns: u64,
    /// Turns that slept.
    pub waits: u64,
    /// Nanoseconds of work.
    pub busy_ns: u64,
    /// I/O operations submitted.
    pub operations: u64,
    /// I/O operations in flight.
    pub operations_in_flight: u64,
    /// Messages to other reactors that wait for room.
    pub mesh_backlog: u64,
    /// Connections open.
    pub connections: u64,
    /// Connections taken on.
    pub connections_opened: u64,
    /// Requests that wait for their replies.
    pub requests_in_flight: u64,
    /// Bytes of requests.
    pub bytes_in: u64,
    /// Bytes of replies.
    pub bytes_out: u64,
    /// Times a connection was left unread.
    pub reads_paused: u64,
    /// Batches appended.
    pub batches_in: u64,
    /// Refusals.
    pub refusals: u64,
    /// Fetches that waited for data.
    pub fetches_waited: u64,
    /// Fetch sessions.
    pub fetch_sessions: u64,
    /// Partitions in fetch sessions.
    pub fetch_session_partitions: u64,
    /// Fetch sessions evicted.
    pub fetch_sessions_evicted: u64,
    /// Partitions hosted.
    pub partitions: u64,
    /// What the coordinators of transactions here know.
    #[serde(default)]
    pub transactions: TransactionStats,
    /// Requests by API.
    pub requests: Vec<ApiStats>,
    /// What the storage counts.
    pub storage: StorageSnapshot,
}

/// What coordinators of transactions know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionStats {
    /// Transactional ids.
    pub ids: u64,
    /// Transactions that have begun and are not complete.
    pub open: u64,
    /// For how long the oldest of them has been open, in milliseconds; 0 without any.
    pub oldest_open_ms: u64,
}

impl TransactionStats {
    /// Those of several coordinators together.
    pub fn plus(self, other: TransactionStats) -> TransactionStats {
        TransactionStats {
            ids: self.ids + other.ids,
            open: self.open + other.open,
            oldest_open_ms: self.oldest_open_ms.max(other.oldest_open_ms),
        }
    }

    fn here(broker: &Broker) -> TransactionStats {
        let wall_ms = broker.io.wall_ms();
        let coordinators = broker.coordinators.transactions();
        let counts = coordinators.iter().filter_map(|(_, coordinator)| coordinator.peek(TransactionMachine::open));
        let counted = counts.map(|open| TransactionStats {
            ids: open.ids as u64,
            open: open.count as u64,
            oldest_open_ms: open.oldest_started_ms.map_or(0, |began| u64::try_from(wall_ms - began).unwrap_or(0)),
        });
        counted.fold(TransactionStats::default(), TransactionStats::plus)
    }
}

/// What the storage of one reactor counts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StorageSnapshot {
    /// Groups committed.
    pub groups: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes of them.
    pub journal_bytes: u64,
    /// Bytes that went to segments directly.
    pub run_bytes: u64,
    /// Groups being written.
    pub groups_in_flight: u64,
    /// Microseconds from a group's submission to its completion.
    pub device_us: Distribution,
    /// Microseconds from a group's first entry to its seal.
    pub staged_us: Distribution,
    /// Bytes a group.
    pub group_bytes: Distribution,
    /// Bytes that are only in the journal and in memory.
    pub dirty_bytes: u64,
    /// What the batches in memory take there, in bytes.
    pub tail_bytes: u64,
    /// Write-back passes.
    pub write_backs: u64,
    /// Bytes that write-back wrote.
    pub written_back_bytes: u64,
    /// Bytes read from segments.
    pub read_bytes: u64,
    /// Segment files open.
    pub open_files: u64,
    /// Free bytes of the file system when last looked at.
    pub free_bytes: u64,
    /// Why the storage is offline, if it is.
    pub failure: Option<String>,
}

impl StorageSnapshot {
    fn of(stats: &StorageStats) -> StorageSnapshot {
        StorageSnapshot {
            groups: stats.journal.groups,
            entries: stats.journal.entries,
            journal_bytes: stats.journal.bytes,
            run_bytes: stats.journal.run_bytes,
            groups_in_flight: stats.journal.in_flight,
            device_us: Distribution::of(&stats.journal.device),
            staged_us: Distribution::of(&stats.journal.staged),
            group_bytes: Distribution::of(&stats.journal.group_bytes),
            dirty_bytes: stats.dirty_bytes,
            tail_bytes: stats.tail_bytes,
            write_backs: stats.write_backs,
            written_back_bytes: stats.written_back_bytes,
            read_bytes: stats.read_bytes,
            open_files: stats.open_files,
            free_bytes: stats.free_bytes,
            failure: stats.failure.clone(),
        }
    }
}

/// Memory by use, in bytes, of the whole process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MemoryStats {
    /// The most that is handed out.
    pub limit: u64,
    /// In use, by use.
    pub in_use: BTreeMap<String, u64>,
}

/// Everything, of all reactors.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// The broker's version and commit.
    pub version: String,
    /// The cluster's id.
    pub cluster_id: String,
    /// The broker's id.
    pub broker_id: i32,
    /// Milliseconds since the start.
    pub uptime_ms: u64,
    /// Topics in the cluster.
    pub topics: u64,
    /// Partitions in the cluster.
    pub partitions: u64,
    /// The first groups, and how far they are behind.
    #[serde(default)]
    pub groups: Vec<GroupLag>,
    /// Whether there are more groups: `flumen group list` tells of all.
    #[serde(default)]
    pub more_groups: bool,
    /// Memory.
    pub memory: MemoryStats,
    /// The reactors, in order.
    pub reactors: Vec<ReactorStats>,
}

/// This reactor's part.
pub fn of_reactor(broker: &Broker) -> ReactorStats {
    let io = broker.io.counters();
    let counters = &broker.counters;
    let (sessions, session_partitions, evicted) = broker.sessions.borrow().counts();
    let connections = broker.connections.borrow();
    let in_flight = connections.iter().map(|(_, connection)| connection.ring.in_flight() as u64).sum();
    ReactorStats {
        reactor: broker.io.reactor_id(),
        turns: io.turns,
        waits: io.waits,
        busy_ns: io.busy_ns,
        operations: io.submissions,
        operations_in_flight: io.in_flight,
        mesh_backlog: broker.mesh.backlog() as u64,
        connections: connections.len() as u64,
        connections_opened: counters.connections_opened.get(),
        requests_in_flight: in_flight,
        bytes_in: counters.bytes_in.get(),
        bytes_out: counters.bytes_out.get(),
        reads_paused: counters.reads_paused.get(),
        batches_in: counters.batches_in.get(),
        refusals: counters.refusals.get(),
        fetches_waited: counters.fetches_waited.get(),
        fetch_sessions: sessions as u64,
        fetch_session_partitions: session_partitions as u64,
        fetch_sessions_evicted: evicted,
        partitions: broker.shards.ids().len() as u64,
        transactions: TransactionStats::here(broker),
        requests: counters.requests(),
        storage: StorageSnapshot::of(&broker.shards.stats()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_subtract_add_and_rank() {
        let earlier = Distribution(vec![(10, 5), (20, 1)]);
        let later = Distribution(vec![(10, 6), (20, 1), (30, 98)]);
        let between = later.since(&earlier);
        assert_eq!(between, Distribution(vec![(10, 1), (30, 98)]));
        assert_eq!((between.quantile(0.01), between.quantile(0.5), between.quantile(1.0)), (10, 30, 30));
        assert_eq!(between.plus(&Distribution(vec![(30, 2)])).count(), 101);
        assert_eq!(Distribution::default().quantile(0.5), 0);
    }

    #[test]
    fn requests_are_counted_by_api() {
        let counters = Counters::default();
        counters.request(3, Duration::from_micros(100));
        counters.request(3, Duration::from_micros(100));
        counters.request(0, Duration::from_secs(3600));
        let requests = counters.requests();
        assert_eq!(requests.iter().map(|api| (api.key, api.count)).collect::<Vec<_>>(), [(0, 1), (3, 2)]);
        assert_eq!(requests[1].latency_us.quantile(0.5), 100);
    }
}
