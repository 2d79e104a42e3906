//! Operations into ring entries.

use std::ffi::CString;
use std::net::SocketAddr;
use std::path::Path;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd as RingFd, FsyncFlags};
use io_uring::{opcode, types};

use super::finish::{IGNORED, wake_token};
use super::slots::{Gather, Held, StatCall};
use super::{UringBackend, buffers, system};
use crate::base::block::Block;
use crate::io::op::{Completion, Fd, ListenAddress, NOBODY, Op, OpenMode, Payload, Slices, Submission, Token, errno};
use crate::io::{Error, Result};
use crate::model::ids::ReactorId;

/// The most bytes of a file that one operation sends, so that a reactor's other work goes on in between.
const SEND_FILE_BYTES_MAX: u32 = 512 << 10;

/// Relative paths are relative to the working directory.
const HERE: RingFd = RingFd(libc::AT_FDCWD);

fn plain(token: Token, result: i32) -> Completion {
    Completion { token, result, more: false, payload: Payload::None }
}

impl UringBackend {
    /// Starts one operation; those that the ring does not have are done on the spot.
    pub(super) fn start(&mut self, submission: Submission, completions: &mut Vec<Completion>) {
        let Submission { token, op } = submission;
        assert!(
            token != NOBODY || matches!(op, Op::Close { .. } | Op::Cancel { .. } | Op::Wake { .. }),
            "the result of {op:?} is awaited by somebody"
        );
        match op {
            Op::Close { fd } => self.start_plain(token, opcode::Close::new(RingFd(fd.0)).build()),
            Op::Cancel { token: target } => self.start_cancel(token, target, completions),
            Op::Wake { reactor } => self.start_wake(token, reactor, completions),
            Op::Receive { fd } => self.arm_receive(token, fd.0, true),
            Op::Send { fd, bytes, more } => self.start_send(token, fd, bytes, more, completions),
            Op::Write { fd, at, bytes, durable } => self.start_write(token, fd, at, bytes, durable, completions),
            Op::Read { fd, at, into, start, bytes } => self.start_read(token, fd, at, into, start, bytes),
            Op::ReceiveInto { fd, into, start, bytes, all } => {
                self.start_receive_into(token, fd, into, start, bytes, all);
            }
            Op::Accept { fd } => self.arm_accept(token, fd.0, true),
            Op::Connect { address } => self.start_connect(token, &address, completions),
            Op::SendFile { fd, file, at, bytes, more: _ } => {
                self.slots.insert(token, Held::SendFile { fd: fd.0, file: file.0, at, bytes });
                self.send_file(token, completions);
            }
            Op::Shutdown { fd } => {
                // The ring hands a shutdown to a worker thread, which looks the descriptor up when it gets to it: by then
                // the socket may be closed, and its number that of a connection accepted since.
                completions.push(plain(token, or_errno(system::shutdown(fd).map(|()| 0))));
            }
            Op::Sync { fd, data_only } => {
                let flags = if data_only { FsyncFlags::DATASYNC } else { FsyncFlags::empty() };
                self.start_plain(token, opcode::Fsync::new(RingFd(fd.0)).flags(flags).build());
            }
            Op::Allocate { fd, at, bytes } => {
                self.start_plain(token, opcode::Fallocate::new(RingFd(fd.0), bytes).offset(at).build());
            }
            Op::Truncate { fd, bytes } => {
                // The ring's truncate came with Linux 6.9; a truncate changes metadata in memory and seldom waits.
                completions.push(plain(token, or_errno(system::truncate(fd, bytes).map(|()| 0))));
            }
            Op::IsResident { fd, at, bytes } => {
                completions.push(plain(token, or_errno(system::is_resident(fd, at, bytes).map(i32::from))));
            }
            Op::StopSignal => self.start_stop_signal(token, completions),
            Op::Listen { address, backlog } => completions.push(listen(token, &address, backlog)),
            op => self.start_on_path(token, op, completions),
        }
    }

    /// Operations on names.
    fn start_on_path(&mut self, token: Token, op: Op, completions: &mut Vec<Completion>) {
        let started = match op {
            Op::Open { path, mode } => self.start_open(token, &path, mode),
            Op::Stat { path } => self.start_stat(token, &path),
            Op::CreateDirectory { path } => {
                self.start_on_name(token, &path, |name| opcode::MkDirAt::new(HERE, name.as_ptr()).mode(0o755).build())
            }
            Op::Unlink { path } => {
                self.start_on_name(token, &path, |name| opcode::UnlinkAt::new(HERE, name.as_ptr()).build())
            }
            Op::RemoveDirectory { path } => self.start_on_name(token, &path, |name| {
                opcode::UnlinkAt::new(HERE, name.as_ptr()).flags(libc::AT_REMOVEDIR).build()
            }),
            Op::Rename { from, to } => self.start_rename(token, &from, &to),
            Op::List { path } => system::names(&path).map(|names| {
                completions.push(Completion { payload: Payload::Names(names), ..plain(token, 0) });
            }),
            Op::Space { path } => system::space(&path).map(|space| {
                completions.push(Completion { payload: Payload::Space(space), ..plain(token, 0) });
            }),
            op => unreachable!("{op:?} has no path"),
        };
        if let Err(error) = started {
            completions.push(plain(token, system::negated(&error)));
        }
    }

    /// An operation that holds nothing; what nobody awaits makes a completion entry only when it fails.
    fn start_plain(&mut self, token: Token, entry: Entry) {
        if token == NOBODY {
            self.push(&entry.flags(Flags::SKIP_SUCCESS).user_data(IGNORED));
        } else {
            self.start_holding(token, Held::Nothing, entry);
        }
    }

    fn start_holding(&mut self, token: Token, held: Held, entry: Entry) {
        self.slots.insert(token, held);
        self.push(&entry.user_data(token));
    }

    fn start_cancel(&mut self, token: Token, target: Token, completions: &mut Vec<Completion>) {
        if let Some(held) = self.slots.get(target) {
            if let Held::Accept { cancelled, .. } | Held::Receive { cancelled, .. } = held {
                *cancelled = true;
            }
            self.push(&opcode::AsyncCancel::new(target).build().flags(Flags::SKIP_SUCCESS).user_data(IGNORED));
        } else if let Some(at) = self.later.iter().position(|submission| submission.token == target) {
            self.later.remove(at);
            completions.push(plain(target, -errno::ECANCELED));
        }
        if token != NOBODY {
            completions.push(plain(token, 0));
        }
    }

    fn start_wake(&mut self, token: Token, reactor: ReactorId, completions: &mut Vec<Completion>) {
        self.push_wake(reactor);
        if token != NOBODY {
            completions.push(plain(token, 0));
        }
    }

    pub(super) fn push_wake(&mut self, reactor: ReactorId) {
        if let Some(ring) = self.table.ring(reactor) {
            let entry = opcode::MsgRingData::new(RingFd(ring), 0, IGNORED, None).build();
            self.push(&entry.flags(Flags::SKIP_SUCCESS).user_data(wake_token(reactor)));
        }
    }

    /// Starts (`first`) or goes on with a stream of chunks.
    pub(super) fn arm_receive(&mut self, token: Token, fd: i32, first: bool) {
        if first {
            self.slots.insert(token, Held::Receive { fd, cancelled: false });
        }
        self.push(&opcode::RecvMulti::new(RingFd(fd), buffers::GROUP).build().user_data(token));
    }

    /// Starts (`first`) or goes on with a stream of connections.
    pub(super) fn arm_accept(&mut self, token: Token, fd: i32, first: bool) {
        if first {
            self.slots.insert(token, Held::Accept { fd, cancelled: false });
        }
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        self.push(&opcode::AcceptMulti::new(RingFd(fd)).flags(flags).build().user_data(token));
    }

    fn start_send(&mut self, token: Token, fd: Fd, bytes: Slices, more: bool, completions: &mut Vec<Completion>) {
        let flags = libc::MSG_NOSIGNAL | if more { libc::MSG_MORE } else { 0 };
        match bytes.as_slice() {
            [] => completions.push(plain(token, 0)),
            [only] => {
                let entry = opcode::Send::new(RingFd(fd.0), only.as_ptr(), only.len() as u32).flags(flags).build();
                self.start_holding(token, Held::Bytes { _bytes: bytes }, entry);
            }
            _ => {
                let gather = Gather::new(bytes);
                let entry = opcode::SendMsg::new(RingFd(fd.0), &gather.message).flags(flags as u32).build();
                self.start_holding(token, Held::Gather { _gather: gather }, entry);
            }
        }
    }

    fn start_write(
        &mut self,
        token: Token,
        fd: Fd,
        at: u64,
        bytes: Slices,
        durable: bool,
        completions: &mut Vec<Completion>,
    ) {
        let flags = if durable { libc::RWF_DSYNC } else { 0 };
        match bytes.as_slice() {
            [] => completions.push(plain(token, 0)),
            [only] => {
                let lasting = self.pool.lasting_of(only);
                let (fd, from, count) = (RingFd(fd.0), only.as_ptr(), only.len() as u32);
                let entry = match lasting.and_then(|block| self.fixed.index_of(&block, from, &self.ring.submitter())) {
                    Some(index) => opcode::WriteFixed::new(fd, from, count, index).offset(at).rw_flags(flags).build(),
                    None => opcode::Write::new(fd, from, count).offset(at).rw_flags(flags).build(),
                };
                self.start_holding(token, Held::Bytes { _bytes: bytes }, entry);
            }
            _ => {
                let gather = Gather::new(bytes);
                let entry = opcode::Writev::new(RingFd(fd.0), gather.parts.as_ptr(), gather.parts.len() as u32);
                let entry = entry.offset(at).rw_flags(flags).build();
                self.start_holding(token, Held::Gather { _gather: gather }, entry);
            }
        }
    }

    fn start_read(&mut self, token: Token, fd: Fd, at: u64, mut into: Block, start: u32, bytes: u32) {
        let target = into[start as usize..start as usize + bytes as usize].as_mut_ptr();
        let entry = opcode::Read::new(RingFd(fd.0), target, bytes).offset(at).build();
        self.start_holding(token, Held::Block(into), entry);
    }

    fn start_receive_into(&mut self, token: Token, fd: Fd, mut into: Block, start: u32, bytes: u32, all: bool) {
        let target = into[start as usize..start as usize + bytes as usize].as_mut_ptr();
        let flags = if all { libc::MSG_WAITALL } else { 0 };
        let entry = opcode::Recv::new(RingFd(fd.0), target, bytes).flags(flags).build();
        self.start_holding(token, Held::Block(into), entry);
    }

    fn start_connect(&mut self, token: Token, address: &SocketAddr, completions: &mut Vec<Completion>) {
        let fd = match system::connecting_socket(address) {
            Ok(fd) => fd,
            Err(error) => return completions.push(plain(token, system::negated(&error))),
        };
        let address = Box::new(system::socket_address(address));
        let entry = opcode::Connect::new(RingFd(fd), (&raw const address.storage).cast(), address.bytes).build();
        self.start_holding(token, Held::Connect { fd, _address: address }, entry);
    }

    /// Sends the next part of a file, or waits for room in the socket.
    pub(super) fn send_file(&mut self, token: Token, completions: &mut Vec<Completion>) {
        let Some(&mut Held::SendFile { fd, file, at, bytes }) = self.slots.get(token) else {
            unreachable!("held by its slot until it is done")
        };
        match system::send_file(fd, file, at, bytes.min(SEND_FILE_BYTES_MAX) as usize) {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {
                let entry = opcode::PollAdd::new(RingFd(fd), libc::POLLOUT as u32).build();
                self.push(&entry.user_data(token));
            }
            sent => {
                self.slots.remove(token);
                completions.push(plain(token, or_errno(sent.map(|count| count as i32))));
            }
        }
    }

    fn start_stop_signal(&mut self, token: Token, completions: &mut Vec<Completion>) {
        match system::stop_signal_fd() {
            Ok(fd) => {
                let entry = opcode::PollAdd::new(RingFd(fd), libc::POLLIN as u32).build();
                self.start_holding(token, Held::StopSignal { fd }, entry);
            }
            Err(error) => completions.push(plain(token, system::negated(&error))),
        }
    }

    fn start_open(&mut self, token: Token, path: &Path, mode: OpenMode) -> Result<()> {
        let path = system::c_path(path)?;
        let entry = opcode::OpenAt::new(HERE, path.as_ptr()).flags(open_flags(mode)).mode(0o644).build();
        self.start_holding(token, Held::Open { _path: path }, entry);
        Ok(())
    }

    fn start_stat(&mut self, token: Token, path: &Path) -> Result<()> {
        // SAFETY: all-zero bytes are a valid statx.
        let answer: libc::statx = unsafe { std::mem::zeroed() };
        let mut call = Box::new(StatCall { path: system::c_path(path)?, answer });
        let answer = (&raw mut call.answer).cast::<types::statx>();
        let mask = libc::STATX_SIZE | libc::STATX_TYPE;
        let entry = opcode::Statx::new(HERE, call.path.as_ptr(), answer).mask(mask).build();
        self.start_holding(token, Held::Stat(call), entry);
        Ok(())
    }

    fn start_on_name(&mut self, token: Token, path: &Path, entry: impl FnOnce(&CString) -> Entry) -> Result<()> {
        let path = system::c_path(path)?;
        let entry = entry(&path);
        self.start_holding(token, Held::Paths { _first: path, _second: None }, entry);
        Ok(())
    }

    fn start_rename(&mut self, token: Token, from: &Path, to: &Path) -> Result<()> {
        let (from, to) = (system::c_path(from)?, system::c_path(to)?);
        let entry = opcode::RenameAt::new(HERE, from.as_ptr(), HERE, to.as_ptr()).build();
        self.start_holding(token, Held::Paths { _first: from, _second: Some(to) }, entry);
        Ok(())
    }
}

fn or_errno(result: Result<i32>) -> i32 {
    result.unwrap_or_else(|error: Error| system::negated(&error))
}

fn listen(token: Token, address: &ListenAddress, backlog: u32) -> Completion {
    match system::listen(address, backlog) {
        Ok((fd, address)) => Completion { payload: Payload::Address(address), ..plain(token, fd.0) },
        Err(error) => plain(token, system::negated(&error)),
    }
}

fn open_flags(mode: OpenMode) -> i32 {
    let mut flags = libc::O_CLOEXEC | if mode.write { libc::O_RDWR } else { libc::O_RDONLY };
    let chosen = [
        (mode.create, libc::O_CREAT),
        (mode.direct, libc::O_DIRECT),
        (mode.directory, libc::O_DIRECTORY),
        (mode.truncate, libc::O_TRUNC),
    ];
    for (_, flag) in chosen.iter().filter(|(wanted, _)| *wanted) {
        flags |= flag;
    }
    flags
}
