//! Completion entries into completions.

use io_uring::cqueue::{self, Entry};

use super::slots::{Held, StatCall};
use super::{UringBackend, system};
use crate::io::op::{Completion, Fd, Payload, Stat, Token, errno};
use crate::model::ids::ReactorId;

/// Marks the entries that no operation awaits; operations' tokens have the top bit clear.
const INTERNAL: u64 = 1 << 63;
/// An entry whose result does not matter.
pub(super) const IGNORED: u64 = INTERNAL;
/// With a reactor's number: an entry that failed to wake that reactor.
const WAKE: u64 = INTERNAL | 1 << 32;

/// The name of an entry that wakes `reactor`.
pub(super) fn wake_token(reactor: ReactorId) -> u64 {
    WAKE | u64::from(reactor)
}

/// Errors of a wake after which the other side is gone or was never there.
const GONE: [i32; 3] = [-libc::EBADF, -libc::EBADFD, -libc::EOWNERDEAD];

impl UringBackend {
    /// Turns one completion entry into what its operation promised.
    pub(super) fn finish(&mut self, entry: &Entry, completions: &mut Vec<Completion>) {
        let (token, result) = (entry.user_data(), entry.result());
        if token & INTERNAL != 0 {
            self.finish_internal(token, result);
            return;
        }
        let held = self.slots.get(token).expect("an entry completes an operation in flight");
        match *held {
            Held::Receive { fd, cancelled } => return self.finish_receive(entry, fd, cancelled, completions),
            Held::Accept { fd, cancelled } => return self.finish_accept(entry, fd, cancelled, completions),
            Held::SendFile { .. } if result >= 0 => return self.send_file(token, completions),
            _ => {}
        }
        let (result, payload) = match self.slots.remove(token) {
            Held::Block(block) => (result, Payload::Block(block)),
            Held::Stat(call) if result >= 0 => (result, Payload::Stat(stat_of(&call))),
            Held::Connect { fd, .. } if result >= 0 => (fd, Payload::None),
            Held::Connect { fd, .. } => {
                system::close(Fd(fd));
                (result, Payload::None)
            }
            Held::StopSignal { fd } => {
                system::take_signal(fd);
                system::close(Fd(fd));
                (result.min(0), Payload::None)
            }
            _ => (result, Payload::None),
        };
        completions.push(Completion { token, result, more: false, payload });
    }

    fn finish_internal(&mut self, token: u64, result: i32) {
        if token & WAKE == WAKE && !GONE.contains(&result) {
            // The other ring could not take the message just now (out of memory, say): the wake must not be lost.
            self.push_wake((token & 0xffff) as ReactorId);
        }
    }

    /// A chunk, or the end of the chunks. A stream that the kernel has ended although it could go on is armed again.
    fn finish_receive(&mut self, entry: &Entry, fd: i32, cancelled: bool, completions: &mut Vec<Completion>) {
        let (token, result) = (entry.user_data(), entry.result());
        let armed = cqueue::more(entry.flags());
        let mut payload = Payload::None;
        match cqueue::buffer_select(entry.flags()) {
            Some(id) if result > 0 => payload = Payload::Chunk(self.buffers.take(id, result as usize, &self.pool)),
            Some(id) => self.buffers.put_back(id),
            None => assert!(result <= 0, "bytes come in a buffer"),
        }
        let goes_on = match result {
            1.. => true,
            0 => false,
            _ => -result == errno::ENOBUFS && self.buffers.replenish(&self.pool),
        };
        if goes_on && !armed && !cancelled {
            self.arm_receive(token, fd, false);
        }
        if result > 0 {
            completions.push(Completion { token, result, more: true, payload });
            if !armed && cancelled {
                self.end_stream(token, -errno::ECANCELED, completions);
            }
        } else if !goes_on || cancelled {
            assert!(!armed, "a receive that failed is over");
            self.end_stream(token, if goes_on { -errno::ECANCELED } else { result }, completions);
        }
    }

    /// A connection, or the end of the connections.
    fn finish_accept(&mut self, entry: &Entry, fd: i32, cancelled: bool, completions: &mut Vec<Completion>) {
        let (token, result) = (entry.user_data(), entry.result());
        let armed = cqueue::more(entry.flags());
        if result < 0 {
            assert!(!armed, "an accept that failed is over");
            self.end_stream(token, result, completions);
            return;
        }
        let (peer, local) = system::accepted(result);
        completions.push(Completion { token, result, more: true, payload: Payload::Accepted { peer, local } });
        match (armed, cancelled) {
            (true, _) => {}
            (false, true) => self.end_stream(token, -errno::ECANCELED, completions),
            (false, false) => self.arm_accept(token, fd, false),
        }
    }

    fn end_stream(&mut self, token: Token, result: i32, completions: &mut Vec<Completion>) {
        self.slots.remove(token);
        completions.push(Completion { token, result, more: false, payload: Payload::None });
    }
}

fn stat_of(call: &StatCall) -> Stat {
    let kind = u32::from(call.answer.stx_mode) & libc::S_IFMT;
    Stat { bytes: call.answer.stx_size, directory: kind == libc::S_IFDIR }
}
