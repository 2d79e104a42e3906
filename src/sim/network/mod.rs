//! The network between simulated machines: listeners, connections, and the bytes under way.
//!
//! **Owns:** connections, each two [`Socket`]s with the bytes that wait to be sent, those on their way to the peer, and
//! those that have arrived. Bytes and the end of a stream arrive in order; how long each step takes is drawn from the
//! network's stream. What TCP would resend because of a cut link or a machine without power stays under way and is tried
//! again with growing pauses, as TCP does.
//!
//! **Never:** loses, doubles or reorders bytes of a connection that lives; knows what the bytes mean.
//!
//! **Start reading at** `connect`, then `stream`.

mod bytes;
mod connect;
mod ending;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use ::bytes::Bytes;

use self::bytes::ByteQueue;
use super::kernel::Kernel;
use super::storage::Opened;
use super::table::{Key, Table};
use crate::base::block::Block;
use crate::base::prng::Prng;
use crate::base::time::{Duration, Instant};
use crate::io::op::{Slices, Token};
use crate::io::{IpAddr, SocketAddr};

/// The network's state.
pub(super) struct Network {
    sockets: Table<Socket>,
    listeners: Table<Listener>,
    attempts: Table<Attempt>,
    /// The listener in whose queue a socket will stand once its connection is established.
    half_open: BTreeMap<Key, Key>,
    /// Listeners by machine and port.
    ports: BTreeMap<(usize, u16), Vec<(IpAddr, Key)>>,
    /// The port that each machine gives out next to those who do not care.
    ephemeral: BTreeMap<usize, u16>,
    /// Pairs of machines, from and to, between which nothing arrives.
    cut: BTreeSet<(usize, usize)>,
    /// What packets from one machine to another take longer than usual.
    delays: BTreeMap<(usize, usize), Duration>,
    /// One arrival in so many resets its connection instead; 0 for none.
    pub(super) reset_one_in: u64,
    latency: Prng,
    resets: Prng,
}

/// One end of a connection.
struct Socket {
    /// The process that has or had it open; `None` while it waits to be accepted.
    process: Option<usize>,
    machine: usize,
    peer_machine: usize,
    /// The other end; `None` once that is gone.
    peer: Option<Key>,
    local: SocketAddr,
    remote: SocketAddr,
    /// Whether a descriptor (or a listener's queue) refers to it.
    descriptor: bool,
    /// Whether a descriptor or an operation does.
    open: bool,

    arrived: ByteQueue,
    end_arrived: bool,
    /// An error to report once.
    error: Option<i32>,
    receive_closed: bool,
    receivers: VecDeque<Receiver>,

    outgoing: ByteQueue,
    under_way: VecDeque<Packet>,
    under_way_bytes: usize,
    /// Until when small rests are kept back, because the sender said that more follows at once.
    corked: Option<Instant>,
    send_closed: bool,
    /// Whether it was closed by a reset, which nobody sends again when it is lost.
    aborted: bool,
    end_sent: bool,
    senders: VecDeque<Sender>,
    /// Nothing sent later arrives before.
    last_arrival: Instant,
    /// Whether an arrival is scheduled.
    arrival_armed: bool,
    /// Since when packets do not get through, and the pause before the next try.
    stalled: Option<(Instant, Duration)>,
}

/// Something on its way from a socket to its peer.
struct Packet {
    arrives: Instant,
    content: Content,
}

enum Content {
    Bytes(Bytes),
    /// No bytes follow.
    End,
    /// The connection is aborted.
    Reset,
}

/// A receive that waits for bytes.
struct Receiver {
    reactor: usize,
    token: Token,
    target: Target,
}

enum Target {
    /// Chunk by chunk into blocks of the process's pool.
    Chunks,
    /// Into one block.
    Block { into: Block, range: Range<usize>, done: usize, all: bool },
}

/// A send that waits for room.
struct Sender {
    reactor: usize,
    token: Token,
    source: Source,
    more: bool,
}

enum Source {
    Memory(Slices),
    File { file: Opened, at: u64, bytes: u32 },
}

struct Listener {
    machine: usize,
    process: usize,
    place: Place,
    /// Whether a descriptor refers to it; operations that wait on it keep it as well.
    descriptor: bool,
    backlog: usize,
    /// Connections that nobody has accepted yet.
    queue: VecDeque<Key>,
    /// Connections whose third packet is under way.
    half_open: usize,
    acceptors: VecDeque<(usize, Token)>,
}

enum Place {
    Tcp(SocketAddr),
    Unix,
}

/// A connection being made.
struct Attempt {
    reactor: usize,
    token: Token,
    machine: usize,
    local: SocketAddr,
    remote: SocketAddr,
    tries: u32,
    answer: Option<Answer>,
}

enum Answer {
    /// The client's end.
    Made(Key),
    Refused(i32),
}

impl Network {
    pub(super) fn new(root: &Prng) -> Network {
        let streams = root.split("network");
        Network {
            sockets: Table::new(),
            listeners: Table::new(),
            attempts: Table::new(),
            half_open: BTreeMap::new(),
            ports: BTreeMap::new(),
            ephemeral: BTreeMap::new(),
            cut: BTreeSet::new(),
            delays: BTreeMap::new(),
            reset_one_in: 0,
            latency: streams.split("latency"),
            resets: streams.split("resets"),
        }
    }

    /// Sockets that exist, whether or not a process has them open.
    pub(super) fn sockets_count(&self) -> usize {
        self.sockets.len()
    }

    /// Whether somebody listens at a port.
    pub(super) fn listens(&self, machine: usize, port: u16) -> bool {
        self.ports.get(&(machine, port)).is_some_and(|listeners| !listeners.is_empty())
    }

    /// Cuts or heals the way from one machine to another.
    pub(super) fn set_cut(&mut self, from: usize, to: usize, cut: bool) {
        if cut {
            self.cut.insert((from, to));
        } else {
            self.cut.remove(&(from, to));
        }
    }

    /// Makes packets from one machine to another take longer.
    pub(super) fn set_delay(&mut self, from: usize, to: usize, delay: Duration) {
        self.delays.insert((from, to), delay);
    }
}

impl Kernel {
    /// One way from a machine to another.
    fn one_way(&mut self, from: usize, to: usize) -> Duration {
        let latency = if from == to { self.config.network.local } else { self.config.network.remote };
        let delay = self.network.delays.get(&(from, to)).copied().unwrap_or_default();
        latency.draw(&mut self.network.latency) + delay
    }

    /// Whether packets get from a machine to another now.
    fn gets_through(&self, from: usize, to: usize) -> bool {
        self.machines[to].powered && self.machines[from].powered && !self.network.cut.contains(&(from, to))
    }

    /// The machine that an address leads to, seen from `from`.
    fn machine_at(&self, from: usize, address: IpAddr) -> Option<usize> {
        if address.is_loopback() || address.is_unspecified() {
            return Some(from);
        }
        // Addresses are given out in order.
        let IpAddr::V4(address) = address else { return None };
        let number = u32::from(address).checked_sub(0x0a00_0001)? as usize;
        (number < self.machines.len()).then_some(number)
    }
}
