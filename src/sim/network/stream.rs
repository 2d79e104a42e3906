//! Bytes through a connection: sending, what is under way, receiving.

use std::ops::Range;

use bytes::Bytes;

use super::{Content, Receiver, Sender, Socket, Source, Target};
use crate::base::block::{Block, Use};
use crate::base::time::{Duration, Instant};
use crate::io::op::{Completion, Fd, Payload, Slices, Token, errno};
use crate::record::crc;
use crate::sim::errors::{ENOTCONN, ENOTSOCK, ETIMEDOUT};
use crate::sim::events::Event;
use crate::sim::kernel::{Descriptor, Kernel, Waiting};
use crate::sim::storage::Opened;
use crate::sim::table::Key;
use crate::sim::trace::What;

/// Largest chunk of a multishot receive.
const CHUNK_BYTES: usize = 16 << 10;
/// Most bytes that travel as one.
const PACKET_BYTES_MAX: usize = 64 << 10;
/// A corked socket keeps back less than this: the payload of a full Ethernet frame.
const FRAME_BYTES: usize = 1448;
/// How long it keeps it back.
const CORK_MAX: Duration = Duration::from_millis(200);
/// The pause before bytes that did not get through are sent again, and what it grows to (Linux's bounds of the
/// retransmission timeout).
const RESEND_PAUSE_MIN: Duration = Duration::from_millis(200);
const RESEND_PAUSE_MAX: Duration = Duration::from_secs(120);

impl Kernel {
    pub(super) fn socket(&self, reactor: usize, fd: Fd) -> Result<Key, i32> {
        match self.descriptor(reactor, fd)? {
            Descriptor::Socket(socket) => Ok(socket),
            Descriptor::Listener(_) => Err(ENOTCONN),
            Descriptor::File(_) => Err(ENOTSOCK),
        }
    }

    pub(super) fn state(&mut self, socket: Key) -> &mut Socket {
        self.network.sockets.get_mut(socket).expect("a socket with a descriptor exists")
    }

    pub(in crate::sim) fn receive(&mut self, reactor: usize, token: Token, fd: Fd) {
        match self.socket(reactor, fd) {
            Ok(socket) => self.add_receiver(socket, Receiver { reactor, token, target: Target::Chunks }),
            Err(errno) => self.answer(reactor, token, Err(errno)),
        }
    }

    pub(in crate::sim) fn receive_into(
        &mut self,
        reactor: usize,
        token: Token,
        fd: Fd,
        into: Block,
        range: Range<u32>,
        all: bool,
    ) {
        let range = range.start as usize..range.end as usize;
        if range.is_empty() {
            let payload = Payload::Block(into);
            return self.complete_soon(reactor, Completion { token, result: 0, more: false, payload });
        }
        assert!(range.end <= into.len(), "a receive stays within its block");
        match self.socket(reactor, fd) {
            Ok(socket) => {
                let target = Target::Block { into, range, done: 0, all };
                self.add_receiver(socket, Receiver { reactor, token, target });
            }
            Err(errno) => {
                let payload = Payload::Block(into);
                self.complete_soon(reactor, Completion { token, result: -errno, more: false, payload });
            }
        }
    }

    fn add_receiver(&mut self, socket: Key, receiver: Receiver) {
        self.reactors[receiver.reactor].waiting.insert(receiver.token, Waiting::Socket(socket));
        self.state(socket).receivers.push_back(receiver);
        self.serve_receivers(socket);
    }

    pub(in crate::sim) fn send(&mut self, reactor: usize, token: Token, fd: Fd, bytes: Slices, more: bool) {
        self.add_sender(fd, Sender { reactor, token, source: Source::Memory(bytes), more });
    }

    pub(in crate::sim) fn send_file(
        &mut self,
        reactor: usize,
        token: Token,
        (fd, file): (Fd, Fd),
        at: u64,
        bytes: u32,
        more: bool,
    ) {
        match self.opened(reactor, file) {
            Ok(file) => {
                let machine = self.machine_of(reactor);
                self.machines[machine].mounts[file.mount].disk.hold(file.inode);
                self.add_sender(fd, Sender { reactor, token, source: Source::File { file, at, bytes }, more });
            }
            Err(errno) => self.answer(reactor, token, Err(errno)),
        }
    }

    fn add_sender(&mut self, fd: Fd, sender: Sender) {
        match self.socket(sender.reactor, fd) {
            Ok(socket) => {
                self.reactors[sender.reactor].waiting.insert(sender.token, Waiting::Socket(socket));
                self.state(socket).senders.push_back(sender);
                self.serve_senders(socket);
            }
            Err(errno) => self.finish_send(&sender, -errno),
        }
    }

    /// Completes a send and gives up its file.
    pub(super) fn finish_send(&mut self, sender: &Sender, result: i32) {
        if let Source::File { file, .. } = sender.source {
            self.release(self.machine_of(sender.reactor), file);
        }
        let result = if result < 0 { Err(-result) } else { Ok(result) };
        self.answer(sender.reactor, sender.token, result);
    }

    /// Takes from waiting sends what there is room for.
    pub(super) fn serve_senders(&mut self, socket: Key) {
        let buffer = self.config.network.send_buffer_bytes;
        while let Some(state) = self.network.sockets.get_mut(socket)
            && let Some(sender) = state.senders.front()
        {
            let wanted = sender.source.bytes();
            let room = buffer.saturating_sub(state.outgoing.count() + state.under_way_bytes);
            let failed = state.error.take().or(state.send_closed.then_some(errno::EPIPE));
            // A sender sleeps until a third of its buffer is free, as in Linux.
            if failed.is_none() && wanted > 0 && room < wanted.min(buffer / 3) {
                break;
            }
            let sender = state.senders.pop_front().expect("it is the front one");
            let result = match failed {
                Some(errno) => -errno,
                None => self.take_from(socket, &sender, wanted.min(room)),
            };
            self.finish_send(&sender, result);
        }
        self.transmit(socket);
        self.close_if_unused(socket);
    }

    /// Copies up to `most` bytes from a send; answers its result.
    fn take_from(&mut self, socket: Key, sender: &Sender, most: usize) -> i32 {
        let wanted = sender.source.bytes();
        let most = if most > 1 && self.falls_short() { self.counts.between(1, most as u64) as usize } else { most };
        let bytes = match &sender.source {
            Source::Memory(slices) => gathered(slices, most),
            Source::File { file, at, .. } => match self.read_to_send(sender.reactor, *file, *at, most) {
                Ok(bytes) => bytes,
                Err(errno) => return -errno,
            },
        };
        let count = bytes.len();
        let checksum = u64::from(crc::crc32c(&bytes));
        self.trace.record(self.now, What::Send, [socket.number(), count as u64, checksum]);
        let state = self.state(socket);
        state.outgoing.push(Bytes::from(bytes));
        state.corked = None;
        if sender.more && count == wanted {
            let until = self.now + CORK_MAX;
            self.state(socket).corked = Some(until);
            self.events.push(until, Event::Uncork { socket });
        }
        count as i32
    }

    fn read_to_send(&mut self, reactor: usize, file: Opened, at: u64, most: usize) -> Result<Vec<u8>, i32> {
        let machine = self.machine_of(reactor);
        let mount = &mut self.machines[machine].mounts[file.mount];
        if mount.faults.read_fails() {
            return Err(self.device_error(machine, file));
        }
        let mut bytes = vec![0; most];
        let count = mount.disk.read(file.inode, at, &mut bytes)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    /// Puts on its way what the peer has room for.
    pub(super) fn transmit(&mut self, socket: Key) {
        let Some(state) = self.network.sockets.get(socket) else { return };
        let ends = state.send_closed && !state.end_sent;
        if state.outgoing.count() == 0 && !ends {
            return;
        }
        let (from, to) = (state.machine, state.peer_machine);
        let waiting = state.peer.and_then(|peer| self.network.sockets.get(peer)).map_or(0, |peer| peer.arrived.count());
        let window = self.config.network.receive_buffer_bytes.saturating_sub(waiting);
        let arrives = self.now + self.one_way(from, to);
        let state = self.state(socket);
        while state.under_way_bytes < window && !(state.corked.is_some() && state.outgoing.count() < FRAME_BYTES) {
            let most = (window - state.under_way_bytes).min(PACKET_BYTES_MAX);
            let Some(bytes) = state.outgoing.take(most) else { break };
            state.push_packet(arrives, Content::Bytes(bytes));
        }
        if ends && state.outgoing.count() == 0 {
            state.push_packet(arrives, Content::End);
            state.end_sent = true;
        }
        self.arm_arrival(socket);
    }

    pub(super) fn arm_arrival(&mut self, socket: Key) {
        let Some(state) = self.network.sockets.get_mut(socket) else { return };
        if let Some(packet) = state.under_way.front()
            && !state.arrival_armed
        {
            state.arrival_armed = true;
            self.events.push(packet.arrives.max(self.now), Event::Arrive { from: socket });
        }
    }

    pub(in crate::sim) fn uncork(&mut self, socket: Key) {
        if let Some(state) = self.network.sockets.get_mut(socket)
            && state.corked.is_some_and(|until| until <= self.now)
        {
            state.corked = None;
            self.transmit(socket);
        }
    }

    /// Packets of a socket reach its peer.
    pub(in crate::sim) fn arrive(&mut self, from: Key) {
        let Some(state) = self.network.sockets.get_mut(from) else { return };
        state.arrival_armed = false;
        if state.under_way.is_empty() {
            return;
        }
        let (machine, peer_machine, peer) = (state.machine, state.peer_machine, state.peer);
        if !self.gets_through(machine, peer_machine) {
            return self.stall(from);
        }
        if self.network.reset_one_in > 0 && self.network.resets.one_in(self.network.reset_one_in) {
            return self.reset_both(from);
        }
        let now = self.now;
        let state = self.state(from);
        state.stalled = None;
        let mut delivered = 0;
        while let Some(packet) = self.state(from).next_due(now) {
            if !self.deliver(from, peer, packet, &mut delivered) {
                break;
            }
        }
        self.trace.record(now, What::Arrive, [from.number(), delivered, 0]);
        if let Some(peer) = peer {
            self.serve_receivers(peer);
        }
        self.serve_senders(from);
        self.arm_arrival(from);
        self.free_if_done(from);
    }

    /// Hands one packet to the peer; false when nothing after it matters.
    fn deliver(&mut self, from: Key, peer: Option<Key>, packet: Content, delivered: &mut u64) -> bool {
        let found = peer.and_then(|peer| Some((peer, self.network.sockets.get_mut(peer)?)));
        match (packet, found) {
            (Content::Bytes(bytes), Some((_, peer))) if peer.open && !peer.receive_closed => {
                *delivered += bytes.len() as u64;
                peer.arrived.push(bytes);
            }
            (Content::Bytes(_), found) => {
                // Nobody will read this: the connection is reset, for both ends if there are two.
                let peer = found.map(|(peer, _)| peer);
                if let Some(peer) = peer {
                    self.fail(peer, errno::ECONNRESET);
                }
                self.push_reset(from);
                return false;
            }
            (Content::End, Some((_, peer))) => peer.end_arrived = true,
            (Content::Reset, Some((peer, _))) => self.fail(peer, errno::ECONNRESET),
            (Content::End | Content::Reset, None) => {}
        }
        true
    }

    /// Packets do not get through: they are tried again later, or given up.
    fn stall(&mut self, from: Key) {
        let (now, most) = (self.now, self.config.network.delivery_max);
        let state = self.state(from);
        if state.aborted {
            return self.forget(from);
        }
        let (since, pause) = state.stalled.unwrap_or((now, RESEND_PAUSE_MIN));
        if now.since(since) >= most {
            return self.fail(from, ETIMEDOUT);
        }
        state.stalled = Some((since, (pause * 2).min(RESEND_PAUSE_MAX)));
        state.arrival_armed = true;
        self.events.push(now + pause, Event::Arrive { from });
    }

    /// Gives waiting receives what has arrived, the error, or the end.
    pub(super) fn serve_receivers(&mut self, socket: Key) {
        while let Some(state) = self.network.sockets.get_mut(socket)
            && let Some(mut receiver) = state.receivers.pop_front()
        {
            if state.arrived.count() > 0 {
                match self.receive_some(socket, receiver) {
                    Some(unfinished) => receiver = unfinished,
                    None => continue,
                }
            } else if let Some(errno) = state.error {
                // Bytes received before are told first, the error next time.
                if receiver.done() == 0 {
                    state.error = None;
                }
                self.finish_receive(receiver, -errno);
                continue;
            } else if state.end_arrived || state.receive_closed {
                self.finish_receive(receiver, 0);
                continue;
            }
            let state = self.state(socket);
            state.receivers.push_front(receiver);
            if state.arrived.count() == 0 && state.error.is_none() && !state.end_arrived && !state.receive_closed {
                break;
            }
        }
        // What was received makes room for what waits at the peer.
        if let Some(peer) = self.network.sockets.get(socket).and_then(|state| state.peer) {
            self.transmit(peer);
        }
        self.close_if_unused(socket);
    }

    /// Gives one receive some of what has arrived; gives the receive back when it goes on.
    fn receive_some(&mut self, socket: Key, mut receiver: Receiver) -> Option<Receiver> {
        let short = self.falls_short();
        let state = self.network.sockets.get_mut(socket).expect("found by the caller");
        let arrived = state.arrived.count();
        let mut count_of = |most: usize| if short { self.counts.between(1, most as u64) as usize } else { most };
        let (reactor, token) = (receiver.reactor, receiver.token);
        match &mut receiver.target {
            Target::Chunks => {
                let pool = &self.processes[self.reactors[reactor].process].pool;
                let Some(mut block) = pool.try_block(CHUNK_BYTES, Use::Receive) else {
                    self.complete_with(reactor, token, -errno::ENOBUFS);
                    return None;
                };
                let count = count_of(arrived.min(CHUNK_BYTES));
                state.arrived.copy_to(&mut block[..count]);
                let payload = Payload::Chunk(block.into_slice(count));
                self.complete(reactor, Completion { token, result: count as i32, more: true, payload });
                Some(receiver)
            }
            Target::Block { into, range, done, all } => {
                let left = range.len() - *done;
                let count = if *all { left.min(arrived) } else { count_of(left.min(arrived)) };
                let start = range.start + *done;
                state.arrived.copy_to(&mut into[start..start + count]);
                *done += count;
                if *all && *done < range.len() {
                    return Some(receiver);
                }
                self.finish_receive(receiver, 0);
                None
            }
        }
    }

    /// Completes a receive: with the count it has, or else with `result`.
    fn finish_receive(&mut self, receiver: Receiver, result: i32) {
        let (token, reactor) = (receiver.token, receiver.reactor);
        let (result, payload) = match receiver.target {
            Target::Chunks => (result, Payload::None),
            Target::Block { into, done: 0, .. } => (result, Payload::Block(into)),
            Target::Block { into, done, .. } => (done as i32, Payload::Block(into)),
        };
        self.complete(reactor, Completion { token, result, more: false, payload });
    }

    pub(in crate::sim) fn cancel_on_socket(&mut self, socket: Key, reactor: usize, token: Token) -> bool {
        let Some(state) = self.network.sockets.get_mut(socket) else { return false };
        let is_it = |of: usize, named: Token| of == reactor && named == token;
        if let Some(at) = state.receivers.iter().position(|receiver| is_it(receiver.reactor, receiver.token)) {
            let receiver = state.receivers.remove(at).expect("just found");
            self.finish_receive(receiver, -errno::ECANCELED);
            self.close_if_unused(socket);
            return true;
        }
        let Some(at) = state.senders.iter().position(|sender| is_it(sender.reactor, sender.token)) else {
            return false;
        };
        let sender = state.senders.remove(at).expect("just found");
        self.finish_send(&sender, -errno::ECANCELED);
        self.close_if_unused(socket);
        true
    }
}

impl Socket {
    /// Takes the next packet that is due.
    fn next_due(&mut self, now: Instant) -> Option<Content> {
        if self.under_way.front()?.arrives > now {
            return None;
        }
        let packet = self.under_way.pop_front()?;
        if let Content::Bytes(bytes) = &packet.content {
            self.under_way_bytes -= bytes.len();
        }
        Some(packet.content)
    }

    /// Nothing more is sent, and nothing received but what has arrived.
    pub(super) fn lose_everything(&mut self) {
        self.outgoing.clear();
        self.under_way.clear();
        self.under_way_bytes = 0;
        (self.end_arrived, self.send_closed, self.end_sent) = (true, true, true);
    }
}

impl Receiver {
    /// Bytes it has got already.
    fn done(&self) -> usize {
        match &self.target {
            Target::Chunks => 0,
            Target::Block { done, .. } => *done,
        }
    }
}

impl Source {
    fn bytes(&self) -> usize {
        match self {
            Source::Memory(slices) => slices.iter().map(|slice| slice.len()).sum(),
            Source::File { bytes, .. } => *bytes as usize,
        }
    }
}

/// The first `most` bytes of slices, together.
fn gathered(slices: &Slices, most: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(most);
    for slice in slices {
        let part = slice.len().min(most - bytes.len());
        bytes.extend_from_slice(&slice[..part]);
    }
    bytes
}
