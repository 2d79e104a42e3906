//! Listening, connecting and accepting.

use std::collections::VecDeque;

use super::bytes::ByteQueue;
use super::{Answer, Attempt, Content, Listener, Packet, Place, Socket};
use crate::base::time::{Duration, Instant};
use crate::io::op::{Completion, Fd, ListenAddress, OpenMode, Payload, Token, errno};
use crate::io::{IpAddr, Ipv4Addr, Path, SocketAddr};
use crate::sim::errors::{EADDRNOTAVAIL, ENOTSOCK, ETIMEDOUT};
use crate::sim::events::Event;
use crate::sim::kernel::{Descriptor, Kernel, Waiting};
use crate::sim::table::Key;

/// The first port that is given out to those who do not care, and how many there are (as Linux has it).
const EPHEMERAL_FIRST: u16 = 32_768;
const EPHEMERAL_COUNT: u16 = 28_232;
/// A request to connect that is not answered is sent again after a second, then after twice the pause each time.
const CONNECT_PAUSE: Duration = Duration::from_secs(1);
/// Requests sent before a connect fails with a timeout: Linux's tcp_syn_retries, and the first.
const CONNECT_TRIES_MAX: u32 = 7;
/// Longest backlog of a listener: net.core.somaxconn.
const BACKLOG_MAX: usize = 4096;

impl Kernel {
    pub(in crate::sim) fn listen(&mut self, reactor: usize, token: Token, address: ListenAddress, backlog: u32) {
        let place = match address {
            ListenAddress::Tcp(address) => self.bind(reactor, address).map(Place::Tcp),
            ListenAddress::Unix(path) => self.bind_unix(reactor, &path).map(|()| Place::Unix),
        };
        let process = self.reactors[reactor].process;
        let full = self.processes[process].descriptors.is_full();
        let place = match place {
            Ok(_) if full => Err(errno::EMFILE),
            place => place,
        };
        let place = match place {
            Ok(place) => place,
            Err(errno) => return self.answer(reactor, token, Err(errno)),
        };
        let bound = match place {
            Place::Tcp(address) => Some(address),
            Place::Unix => None,
        };
        let machine = self.machine_of(reactor);
        let listener = self.network.listeners.insert(Listener {
            machine,
            process,
            place,
            descriptor: true,
            backlog: (backlog as usize).clamp(1, BACKLOG_MAX),
            queue: VecDeque::new(),
            half_open: 0,
            acceptors: VecDeque::new(),
        });
        if let Some(address) = bound {
            self.network.ports.entry((machine, address.port())).or_default().push((address.ip(), listener));
        }
        let fd = self.processes[process].descriptors.insert(Descriptor::Listener(listener));
        let result = fd.expect("checked to have room").0;
        self.complete_soon(reactor, Completion { token, result, more: false, payload: Payload::Address(bound) });
    }

    /// The address that a listener gets.
    fn bind(&mut self, reactor: usize, address: SocketAddr) -> Result<SocketAddr, i32> {
        let machine = self.machine_of(reactor);
        if self.machine_at(machine, address.ip()) != Some(machine) {
            return Err(EADDRNOTAVAIL);
        }
        if address.port() == 0 {
            return Ok(SocketAddr::new(address.ip(), self.ephemeral_port(machine)));
        }
        let there = self.network.ports.get(&(machine, address.port()));
        let taken = there.is_some_and(|listeners| {
            listeners.iter().any(|(ip, _)| *ip == address.ip() || ip.is_unspecified() || address.ip().is_unspecified())
        });
        if taken { Err(errno::EADDRINUSE) } else { Ok(address) }
    }

    /// A Unix socket's file; nobody can reach it by the operations that there are, so it only occupies its name.
    fn bind_unix(&mut self, reactor: usize, path: &Path) -> Result<(), i32> {
        let machine = self.machine_of(reactor);
        let (mount, path) = self.mount_of(machine, path);
        let disk = &mut self.machines[machine].mounts[mount].disk;
        match disk.unlink(&path) {
            Ok(()) | Err(errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        let mode = OpenMode { write: true, create: true, ..OpenMode::default() };
        let inode = disk.open(&path, mode)?;
        disk.release(inode);
        Ok(())
    }

    fn ephemeral_port(&mut self, machine: usize) -> u16 {
        let first = (self.network.latency.below(u64::from(EPHEMERAL_COUNT))) as u16;
        let next = *self.network.ephemeral.entry(machine).or_insert(first);
        let free = (0..EPHEMERAL_COUNT)
            .map(|step| EPHEMERAL_FIRST + (next + step) % EPHEMERAL_COUNT)
            .find(|port| !self.network.ports.contains_key(&(machine, *port)));
        // With a listener on each of them, numbers repeat; connections are told apart by more than their ports.
        let port = free.unwrap_or(EPHEMERAL_FIRST);
        self.network.ephemeral.insert(machine, (port - EPHEMERAL_FIRST + 1) % EPHEMERAL_COUNT);
        port
    }

    pub(in crate::sim) fn accept(&mut self, reactor: usize, token: Token, fd: Fd) {
        let listener = match self.descriptor(reactor, fd) {
            Ok(Descriptor::Listener(listener)) => listener,
            Ok(Descriptor::Socket(_)) => return self.answer(reactor, token, Err(errno::EINVAL)),
            Ok(Descriptor::File(_)) => return self.answer(reactor, token, Err(ENOTSOCK)),
            Err(errno) => return self.answer(reactor, token, Err(errno)),
        };
        self.reactors[reactor].waiting.insert(token, Waiting::Listener(listener));
        let state = self.network.listeners.get_mut(listener).expect("a descriptor's listener exists");
        state.acceptors.push_back((reactor, token));
        self.serve_acceptors(listener);
    }

    /// Hands waiting connections to those who accept.
    fn serve_acceptors(&mut self, listener: Key) {
        while let Some(state) = self.network.listeners.get_mut(listener)
            && !state.queue.is_empty()
            && !state.acceptors.is_empty()
        {
            let process = state.process;
            let turn = self.counts.below(state.acceptors.len() as u64) as usize;
            let (reactor, token) = state.acceptors[turn];
            if self.processes[process].descriptors.is_full() {
                state.acceptors.remove(turn);
                self.complete_with(reactor, token, -errno::EMFILE);
                self.close_listener_if_unused(listener);
                continue;
            }
            let socket = state.queue.pop_front().expect("checked");
            let fd = self.processes[process].descriptors.insert(Descriptor::Socket(socket));
            self.processes[process].sockets.insert(socket);
            let state = self.network.sockets.get_mut(socket).expect("a queued socket exists");
            state.process = Some(process);
            let payload = Payload::Accepted { peer: Some(state.remote), local: Some(state.local) };
            let result = fd.expect("checked to have room").0;
            self.complete(reactor, Completion { token, result, more: true, payload });
        }
    }

    pub(in crate::sim) fn cancel_accept(&mut self, listener: Key, reactor: usize, token: Token) -> bool {
        let Some(state) = self.network.listeners.get_mut(listener) else { return false };
        state.acceptors.retain(|acceptor| *acceptor != (reactor, token));
        self.complete_with(reactor, token, -errno::ECANCELED);
        self.close_listener_if_unused(listener);
        true
    }

    /// Closes the descriptor of a listener. As in a kernel, who waits for a connection keeps it listening.
    pub(in crate::sim) fn close_listener(&mut self, listener: Key) {
        self.network.listeners.get_mut(listener).expect("a descriptor's listener exists").descriptor = false;
        self.close_listener_if_unused(listener);
    }

    /// Ends a listener that neither a descriptor nor an operation refers to any more; who was not accepted is turned away.
    fn close_listener_if_unused(&mut self, listener: Key) {
        let Some(state) = self.network.listeners.get(listener) else { return };
        if !state.descriptor && state.acceptors.is_empty() {
            self.end_listener(listener);
        }
    }

    fn end_listener(&mut self, listener: Key) {
        let Some(state) = self.network.listeners.remove(listener) else { return };
        if let Place::Tcp(address) = state.place {
            let place = (state.machine, address.port());
            let there = self.network.ports.get_mut(&place).expect("it was entered when it was bound");
            there.retain(|(_, key)| *key != listener);
            if there.is_empty() {
                self.network.ports.remove(&place);
            }
        }
        for socket in state.queue {
            self.abort(socket);
        }
    }

    /// Ends the listeners of a process that has ended.
    pub(in crate::sim) fn abandon_listeners(&mut self, process: usize) {
        for listener in self.network.listeners.keys_where(|listener| listener.process == process) {
            self.end_listener(listener);
        }
    }

    /// What a shutdown does to a listener: it stops listening, and who accepts is told.
    pub(super) fn shut_listener(&mut self, listener: Key) {
        let Some(state) = self.network.listeners.get_mut(listener) else { return };
        state.backlog = 0;
        let acceptors = std::mem::take(&mut state.acceptors);
        let queue = std::mem::take(&mut state.queue);
        for (reactor, token) in acceptors {
            self.complete_with(reactor, token, -errno::EINVAL);
        }
        for socket in queue {
            self.abort(socket);
        }
    }

    pub(in crate::sim) fn connect(&mut self, reactor: usize, token: Token, remote: SocketAddr) {
        let machine = self.machine_of(reactor);
        let ip = if self.machine_at(machine, remote.ip()) != Some(machine) {
            self.machines[machine].address
        } else if remote.ip().is_unspecified() {
            IpAddr::from(Ipv4Addr::LOCALHOST)
        } else {
            remote.ip()
        };
        let local = SocketAddr::new(ip, self.ephemeral_port(machine));
        let attempt = Attempt { reactor, token, machine, local, remote, tries: 0, answer: None };
        let attempt = self.network.attempts.insert(attempt);
        self.reactors[reactor].waiting.insert(token, Waiting::Attempt(attempt));
        self.send_request(attempt);
    }

    fn send_request(&mut self, key: Key) {
        let Some(attempt) = self.network.attempts.get_mut(key) else { return };
        attempt.tries += 1;
        let (from, remote) = (attempt.machine, attempt.remote);
        let to = self.machine_at(from, remote.ip()).unwrap_or(from);
        let at = self.now + self.one_way(from, to);
        self.events.push(at, Event::Request { attempt: key });
    }

    pub(in crate::sim) fn request_arrives(&mut self, key: Key) {
        let Some(attempt) = self.network.attempts.get(key) else { return };
        let (reactor, from, local, remote) = (attempt.reactor, attempt.machine, attempt.local, attempt.remote);
        if !self.is_alive(reactor) {
            self.network.attempts.remove(key);
            return;
        }
        // Without a way back there is no answer either.
        let reachable = |to: &usize| self.gets_through(from, *to) && self.gets_through(*to, from);
        let Some(to) = self.machine_at(from, remote.ip()).filter(reachable) else {
            return self.request_lost(key);
        };
        let listener = self.listener_at(to, remote);
        let room = listener.map(|listener| {
            let state = self.network.listeners.get(listener).expect("a port's listener exists");
            (state.queue.len() + state.half_open < state.backlog, state.backlog == 0)
        });
        let answer = match (listener, room) {
            (Some(listener), Some((true, _))) => Answer::Made(self.make_pair(listener, (from, to), local, remote)),
            (Some(_), Some((false, false))) => return self.request_lost(key),
            _ => Answer::Refused(errno::ECONNREFUSED),
        };
        self.network.attempts.get_mut(key).expect("it was just there").answer = Some(answer);
        let at = self.now + self.one_way(to, from);
        self.events.push(at, Event::Answer { attempt: key });
    }

    fn listener_at(&self, machine: usize, address: SocketAddr) -> Option<Key> {
        let there = self.network.ports.get(&(machine, address.port()))?;
        let matching = there.iter().find(|(ip, _)| *ip == address.ip() || ip.is_unspecified());
        matching.map(|(_, listener)| *listener)
    }

    /// A request that nobody answers is sent again later, a few times.
    fn request_lost(&mut self, key: Key) {
        let attempt = self.network.attempts.get_mut(key).expect("checked by the caller");
        if attempt.tries >= CONNECT_TRIES_MAX {
            attempt.answer = Some(Answer::Refused(ETIMEDOUT));
            let at = self.now + CONNECT_PAUSE * (1 << (CONNECT_TRIES_MAX - 1));
            self.events.push(at, Event::Answer { attempt: key });
            return;
        }
        let pause = CONNECT_PAUSE * (1 << (attempt.tries - 1));
        attempt.tries += 1;
        self.events.push(self.now + pause, Event::Request { attempt: key });
    }

    /// Makes both ends of a connection; answers the client's.
    fn make_pair(&mut self, listener: Key, (from, to): (usize, usize), local: SocketAddr, remote: SocketAddr) -> Key {
        let client = self.network.sockets.insert(Socket::new(from, to, local, remote, self.now));
        let mut server = Socket::new(to, from, remote, local, self.now);
        server.peer = Some(client);
        let server = self.network.sockets.insert(server);
        // The third packet goes out when the second has come in: two more ways, and what the client sends comes after.
        let established = self.now + self.one_way(to, from) + self.one_way(from, to);
        let state = self.network.sockets.get_mut(client).expect("just made");
        state.peer = Some(server);
        state.last_arrival = established;
        self.network.listeners.get_mut(listener).expect("found by the caller").half_open += 1;
        self.network.half_open.insert(server, listener);
        self.events.push(established, Event::Established { socket: server });
        client
    }

    pub(in crate::sim) fn established(&mut self, socket: Key) {
        let Some(listener) = self.network.half_open.remove(&socket) else { return };
        let Some(state) = self.network.listeners.get_mut(listener) else { return self.abort(socket) };
        state.half_open -= 1;
        if self.network.sockets.get(socket).is_some() {
            state.queue.push_back(socket);
            self.serve_acceptors(listener);
        }
    }

    pub(in crate::sim) fn answer_arrives(&mut self, key: Key) {
        let Some(attempt) = self.network.attempts.remove(key) else { return };
        let (reactor, token) = (attempt.reactor, attempt.token);
        match attempt.answer.expect("an answer was under way") {
            Answer::Refused(errno) => self.complete_with(reactor, token, -errno),
            Answer::Made(socket) if self.is_alive(reactor) => self.connected(reactor, token, socket),
            Answer::Made(socket) => self.abort(socket),
        }
    }

    fn connected(&mut self, reactor: usize, token: Token, socket: Key) {
        let process = self.reactors[reactor].process;
        let Some(state) = self.network.sockets.get_mut(socket) else {
            return self.complete_with(reactor, token, -errno::ECONNRESET);
        };
        match self.processes[process].descriptors.insert(Descriptor::Socket(socket)) {
            Ok(fd) => {
                state.process = Some(process);
                self.processes[process].sockets.insert(socket);
                self.complete_with(reactor, token, fd.0);
            }
            Err(errno) => {
                self.abort(socket);
                self.complete_with(reactor, token, -errno);
            }
        }
    }

    pub(in crate::sim) fn cancel_connect(&mut self, key: Key) -> bool {
        let Some(attempt) = self.network.attempts.remove(key) else { return false };
        if let Some(Answer::Made(socket)) = attempt.answer {
            self.abort(socket);
        }
        self.complete_with(attempt.reactor, attempt.token, -errno::ECANCELED);
        true
    }
}

impl Socket {
    fn new(machine: usize, peer_machine: usize, local: SocketAddr, remote: SocketAddr, now: Instant) -> Socket {
        Socket {
            process: None,
            machine,
            peer_machine,
            peer: None,
            local,
            remote,
            descriptor: true,
            open: true,
            arrived: ByteQueue::default(),
            end_arrived: false,
            error: None,
            receive_closed: false,
            receivers: VecDeque::new(),
            outgoing: ByteQueue::default(),
            under_way: VecDeque::new(),
            under_way_bytes: 0,
            corked: None,
            send_closed: false,
            aborted: false,
            end_sent: false,
            senders: VecDeque::new(),
            last_arrival: now,
            arrival_armed: false,
            stalled: None,
        }
    }

    /// Puts something on its way.
    pub(super) fn push_packet(&mut self, arrives: Instant, content: Content) {
        self.last_arrival = self.last_arrival.max(arrives);
        if let Content::Bytes(bytes) = &content {
            self.under_way_bytes += bytes.len();
        }
        self.under_way.push_back(Packet { arrives: self.last_arrival, content });
    }
}
