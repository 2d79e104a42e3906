//! What the kernel may still read or write, held until the last completion of its operation.

use std::ffi::CString;
use std::os::fd::RawFd;

use crate::base::block::Block;
use crate::io::op::{Slices, Token};

/// The most parts that one vectored call takes (`UIO_MAXIOV`); longer lists are written short.
const PARTS_MAX: usize = 1024;

/// What an operation in flight holds.
pub(super) enum Held {
    /// Nothing.
    Nothing,
    /// Opening: as [`Held::Paths`], and the result is a descriptor.
    Open { _path: CString },
    /// The paths of a call on names.
    Paths { _first: CString, _second: Option<CString> },
    /// A path and where its attributes go.
    Stat(Box<StatCall>),
    /// The block being filled.
    Block(Block),
    /// Bytes being written or sent, in one part.
    Bytes { _bytes: Slices },
    /// Bytes being written or sent, in several parts.
    Gather { _gather: Box<Gather> },
    /// A listener's stream of connections.
    Accept { fd: RawFd, cancelled: bool },
    /// A connecting socket and the address it connects to.
    Connect { fd: RawFd, _address: Box<SocketAddress> },
    /// A connection's stream of chunks.
    Receive { fd: RawFd, cancelled: bool },
    /// The rest of a file's range that waits for room in the socket.
    SendFile { fd: RawFd, file: RawFd, at: u64, bytes: u32 },
    /// A signal descriptor.
    StopSignal { fd: RawFd },
}

/// The arguments of a `statx`.
pub(super) struct StatCall {
    pub(super) path: CString,
    pub(super) answer: libc::statx,
}

/// A socket address as the kernel has it.
pub(super) struct SocketAddress {
    pub(super) storage: libc::sockaddr_storage,
    pub(super) bytes: libc::socklen_t,
}

/// The arguments of a vectored write or send.
pub(super) struct Gather {
    _bytes: Slices,
    pub(super) parts: Vec<libc::iovec>,
    pub(super) message: libc::msghdr,
}

impl Gather {
    pub(super) fn new(bytes: Slices) -> Box<Gather> {
        let parts = bytes.iter().take(PARTS_MAX);
        let parts = parts.map(|part| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() });
        let mut parts: Vec<_> = parts.collect();
        // SAFETY: all-zero bytes are a valid msghdr (null pointers and lengths of 0).
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = parts.as_mut_ptr();
        message.msg_iovlen = parts.len() as _;
        Box::new(Gather { _bytes: bytes, parts, message })
    }
}

struct Slot {
    token: Token,
    held: Held,
}

/// The token of an empty slot: no operation has it, its top bit being set.
const EMPTY: Token = Token::MAX;

/// Operations in flight, by the slot number in their token.
#[derive(Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    in_flight: usize,
}

impl Slots {
    fn index(token: Token) -> usize {
        (token & 0xffff_ffff) as usize
    }

    /// Holds `held` for the operation `token`.
    pub(super) fn insert(&mut self, token: Token, held: Held) {
        let index = Slots::index(token);
        while self.slots.len() <= index {
            self.slots.push(Slot { token: EMPTY, held: Held::Nothing });
        }
        let slot = &mut self.slots[index];
        assert!(slot.token == EMPTY, "one operation a slot");
        *slot = Slot { token, held };
        self.in_flight += 1;
    }

    /// What is held for `token`, if it is in flight.
    pub(super) fn get(&mut self, token: Token) -> Option<&mut Held> {
        let slot = self.slots.get_mut(Slots::index(token))?;
        (slot.token == token).then_some(&mut slot.held)
    }

    /// Releases what is held for `token`, which has ended.
    pub(super) fn remove(&mut self, token: Token) -> Held {
        let slot = &mut self.slots[Slots::index(token)];
        assert!(slot.token == token, "in flight until its last completion");
        slot.token = EMPTY;
        self.in_flight -= 1;
        std::mem::replace(&mut slot.held, Held::Nothing)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Lets no stream start again.
    pub(super) fn end_streams(&mut self) {
        for slot in &mut self.slots {
            if let Held::Accept { cancelled, .. } | Held::Receive { cancelled, .. } = &mut slot.held {
                *cancelled = true;
            }
        }
    }

    /// Whether the results of `token` are descriptors.
    pub(super) fn brings_fd(&mut self, token: Token) -> bool {
        matches!(self.get(token), Some(Held::Open { .. } | Held::Connect { .. } | Held::Accept { .. }))
    }

    /// Leaks everything held: the kernel may still use it.
    pub(super) fn give_up(&mut self) {
        Vec::leak(std::mem::take(&mut self.slots));
    }
}
