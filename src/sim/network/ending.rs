//! The ways a connection ends: shutdown, close, reset, the death of a process, the loss of power.

use super::{Content, Socket};
use crate::io::op::{Fd, Token, errno};
use crate::sim::errors::ENOTCONN;
use crate::sim::events::Event;
use crate::sim::kernel::{Descriptor, Kernel};
use crate::sim::table::Key;
use crate::sim::trace::What;

impl Kernel {
    pub(in crate::sim) fn shutdown(&mut self, reactor: usize, token: Token, fd: Fd) {
        if let Ok(Descriptor::Listener(listener)) = self.descriptor(reactor, fd) {
            self.shut_listener(listener);
            return self.answer(reactor, token, Ok(0));
        }
        let socket = match self.socket(reactor, fd) {
            Ok(socket) => socket,
            Err(errno) => return self.answer(reactor, token, Err(errno)),
        };
        let state = self.state(socket);
        let connected = !state.end_sent || state.peer.is_some();
        (state.receive_closed, state.send_closed) = (true, true);
        state.corked = None;
        self.serve_receivers(socket);
        self.serve_senders(socket);
        self.answer(reactor, token, if connected { Ok(0) } else { Err(ENOTCONN) });
    }

    /// Closes the descriptor of a socket. As in a kernel, operations that wait on it keep the socket itself until they end.
    pub(in crate::sim) fn close_socket(&mut self, socket: Key) {
        self.state(socket).descriptor = false;
        self.close_if_unused(socket);
    }

    /// Ends a socket that neither a descriptor nor an operation refers to any more; what was sent is still delivered.
    /// Bytes that nobody received make it a reset (RFC 2525, section 2.17).
    pub(super) fn close_if_unused(&mut self, socket: Key) {
        let Some(state) = self.network.sockets.get_mut(socket) else { return };
        if !state.open || state.descriptor || !state.receivers.is_empty() || !state.senders.is_empty() {
            return;
        }
        (state.open, state.receive_closed, state.send_closed) = (false, true, true);
        state.corked = None;
        let unread = state.arrived.count() > 0;
        if let Some(process) = state.process {
            self.processes[process].sockets.remove(&socket);
        }
        if unread {
            self.abort(socket);
        } else {
            self.transmit(socket);
            self.free_if_done(socket);
        }
    }

    /// Ends a socket with a reset; what was on its way already may still arrive before.
    pub(super) fn abort(&mut self, socket: Key) {
        let Some(state) = self.network.sockets.get_mut(socket) else { return };
        (state.open, state.aborted, state.send_closed) = (false, true, true);
        state.outgoing.clear();
        state.arrived.clear();
        let (from, to, gone) = (state.machine, state.peer_machine, state.peer.is_none());
        if gone {
            return self.forget(socket);
        }
        let at = self.now + self.one_way(from, to);
        let state = self.state(socket);
        state.push_packet(at, Content::Reset);
        state.end_sent = true;
        self.arm_arrival(socket);
    }

    /// Fails a socket: its operations are told, nothing more comes or goes.
    pub(super) fn fail(&mut self, socket: Key, errno: i32) {
        let Some(state) = self.network.sockets.get_mut(socket) else { return };
        let already_over = state.end_sent && state.peer.is_none();
        let errno = if state.end_arrived && errno == errno::ECONNRESET { errno::EPIPE } else { errno };
        state.lose_everything();
        if !already_over {
            state.error = Some(errno);
        }
        let (peer, open) = (state.peer.take(), state.open);
        if let Some(peer) = peer.and_then(|peer| self.network.sockets.get_mut(peer)) {
            peer.peer = None;
        }
        self.trace.record(self.now, What::Reset, [socket.number(), errno as u64, 0]);
        if open {
            self.serve_receivers(socket);
            self.serve_senders(socket);
        } else {
            self.forget(socket);
        }
    }

    /// Removes a closed socket once everything it had to say was delivered.
    pub(super) fn free_if_done(&mut self, socket: Key) {
        let Some(state) = self.network.sockets.get(socket) else { return };
        if !state.open && state.end_sent && state.under_way.is_empty() {
            self.forget(socket);
        }
    }

    /// Removes a socket; its peer learns of it when it sends something.
    pub(super) fn forget(&mut self, socket: Key) {
        let Some(state) = self.network.sockets.remove(socket) else { return };
        assert!(state.receivers.is_empty() && state.senders.is_empty(), "operations outlive their socket");
        if let Some(peer) = state.peer.and_then(|peer| self.network.sockets.get_mut(peer)) {
            peer.peer = None;
        }
    }

    /// Closes what a process that has ended leaves behind. One that was killed may reset its connections instead: to a
    /// peer, a program that dies with requests unread in its buffers looks like that.
    pub(in crate::sim) fn abandon_sockets(&mut self, process: usize, forced: bool) {
        for socket in std::mem::take(&mut self.processes[process].sockets) {
            self.drop_operations(socket);
            if forced && self.network.resets.one_in(2) {
                self.abort(socket);
            } else {
                self.close_socket(socket);
            }
        }
    }

    fn drop_operations(&mut self, socket: Key) {
        let Some(state) = self.network.sockets.get_mut(socket) else { return };
        state.receivers.clear();
        for sender in std::mem::take(&mut state.senders) {
            self.finish_send(&sender, -errno::ECANCELED);
        }
    }

    /// Makes all sockets and listeners of a machine vanish, as a power cut does: nobody is told.
    pub(in crate::sim) fn vanish_network(&mut self, machine: usize) {
        for listener in self.network.listeners.keys_where(|listener| listener.machine == machine) {
            self.network.listeners.remove(listener);
        }
        self.network.ports.retain(|(at, _), _| *at != machine);
        for attempt in self.network.attempts.keys_where(|attempt| attempt.machine == machine) {
            self.network.attempts.remove(attempt);
        }
        for socket in self.network.sockets.keys_where(|socket| socket.machine == machine) {
            let state = self.state(socket);
            state.receivers.clear();
            // Their files went with the machine's memory.
            state.senders.clear();
            if let Some(process) = state.process {
                self.processes[process].sockets.remove(&socket);
            }
            self.network.half_open.remove(&socket);
            self.forget(socket);
        }
    }

    /// Tells a socket, one way later, that there is no connection.
    pub(super) fn push_reset(&mut self, socket: Key) {
        let Some(state) = self.network.sockets.get(socket) else { return };
        let at = self.now + self.one_way(state.peer_machine, state.machine);
        self.events.push(at, Event::Reset { socket });
    }

    pub(in crate::sim) fn reset_arrives(&mut self, socket: Key) {
        let Some(state) = self.network.sockets.get(socket) else { return };
        if self.gets_through(state.peer_machine, state.machine) {
            self.fail(socket, errno::ECONNRESET);
        } else {
            // Lost; what is sent next asks for another.
            self.transmit(socket);
            self.arm_arrival(socket);
        }
    }

    /// Resets a connection at both ends.
    pub(super) fn reset_both(&mut self, socket: Key) {
        let peer = self.network.sockets.get(socket).and_then(|state| state.peer);
        self.fail(socket, errno::ECONNRESET);
        if let Some(peer) = peer {
            self.fail(peer, errno::ECONNRESET);
        }
    }

    /// Resets all connections between two machines.
    pub(in crate::sim) fn reset_between(&mut self, one: usize, other: usize) {
        let between = |state: &Socket| state.machine == one && state.peer_machine == other;
        for socket in self.network.sockets.keys_where(between) {
            self.reset_both(socket);
        }
    }
}
