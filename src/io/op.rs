//! Operations and completions as plain data: the whole vocabulary between the broker and a kernel, real or simulated.

use std::net::SocketAddr;
use std::path::PathBuf;

use smallvec::SmallVec;

use crate::base::block::{Block, Slice};
use crate::model::ids::ReactorId;

/// A file or socket, as a number that the backend gave out. All reactors of a process share one table of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fd(pub i32);

/// Names an operation from its submission to its last completion. The top bit is clear; the low half is a slot number:
/// small, dense, and used by one operation at a time, so that a backend may keep what it holds for an operation in a
/// table.
pub type Token = u64;

/// The token of operations whose completion nobody awaits: [`Op::Close`], [`Op::Cancel`] and [`Op::Wake`]. A backend
/// need not complete them.
pub const NOBODY: Token = Token::MAX;

/// Bytes to write or to send, in order.
pub type Slices = SmallVec<[Slice; 4]>;

/// How to open a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenMode {
    /// Writing allowed, reading always is.
    pub write: bool,
    /// Make the file if it does not exist. Its name is durable only after the directory was synced.
    pub create: bool,
    /// Bypass the page cache: addresses, positions and lengths are multiples of 4 KiB.
    pub direct: bool,
    /// The path is a directory, opened to be synced.
    pub directory: bool,
    /// Cut an existing file to zero bytes.
    pub truncate: bool,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP address; port 0 takes any free port.
    Tcp(SocketAddr),
    /// A Unix socket at a path; a stale socket file there is replaced.
    Unix(PathBuf),
}

/// An operation. Buffers travel with it and come back in the completion, so that nothing the kernel still uses is ever
/// reachable from elsewhere. Unless said otherwise the completion's `result` is 0 or a negated errno.
#[derive(Debug)]
#[allow(missing_docs, reason = "each variant's text explains its fields")]
pub enum Op {
    /// Opens a file; `result` is the [`Fd`].
    Open { path: PathBuf, mode: OpenMode },
    /// Closes a file or socket. Other operations on it must have completed.
    Close { fd: Fd },
    /// Size and kind of a path; answers [`Payload::Stat`].
    Stat { path: PathBuf },
    /// Names in a directory, without `.` and `..`, in no order; answers [`Payload::Names`].
    List { path: PathBuf },
    /// Makes one directory (its parent must exist).
    CreateDirectory { path: PathBuf },
    /// Renames within one file system, replacing the target.
    Rename { from: PathBuf, to: PathBuf },
    /// Removes a file's name.
    Unlink { path: PathBuf },
    /// Removes an empty directory.
    RemoveDirectory { path: PathBuf },
    /// Free and total bytes of the file system that holds `path`; answers [`Payload::Space`].
    Space { path: PathBuf },

    /// Reads up to `bytes` at position `at` into `into[start..]`; `result` is the count, 0 at the end of the file;
    /// the block comes back as [`Payload::Block`].
    Read { fd: Fd, at: u64, into: Block, start: u32, bytes: u32 },
    /// Whether all of `bytes` at position `at` of a file are in the page cache: `result` is 1 or 0. Pages that are on their way
    /// from the device count as well. `-ENOSYS` where the kernel cannot tell.
    IsResident { fd: Fd, at: u64, bytes: u32 },
    /// Writes at position `at`; `result` is the count, which may fall short. With `durable` the completion comes after
    /// the bytes are on stable storage (`RWF_DSYNC`).
    Write { fd: Fd, at: u64, bytes: Slices, durable: bool },
    /// Makes a file's content (and, without `data_only`, its metadata) durable; on a directory, its names.
    Sync { fd: Fd, data_only: bool },
    /// Reserves space for `[at, at + bytes)` and grows the file to cover it; the bytes read as zeros.
    Allocate { fd: Fd, at: u64, bytes: u64 },
    /// Cuts or extends a file to `bytes`.
    Truncate { fd: Fd, bytes: u64 },

    /// Opens a listening socket; `result` is the [`Fd`], with [`Payload::Address`] of what it is bound to.
    Listen { address: ListenAddress, backlog: u32 },
    /// Accepts connections, one completion each ([`Payload::Accepted`], `result` is the [`Fd`]) until cancelled or failed.
    Accept { fd: Fd },
    /// Connects to a TCP address; `result` is the [`Fd`].
    Connect { address: SocketAddr },
    /// Receives, one completion a chunk ([`Payload::Chunk`], at most 16 KiB each), until the peer closes (`result` 0,
    /// no more completions), the socket fails, it is cancelled, or memory for chunks runs out (`-ENOBUFS`, no more
    /// completions: submit again later).
    Receive { fd: Fd },
    /// Receives into `into[start..start + bytes]`; `result` is the count, 0 when the peer has closed; with `all` the
    /// count is short only at the end of the stream or on an error. The block comes back as [`Payload::Block`].
    ReceiveInto { fd: Fd, into: Block, start: u32, bytes: u32, all: bool },
    /// Sends; `result` is the count, which may fall short. `more` says that another send follows at once.
    Send { fd: Fd, bytes: Slices, more: bool },
    /// Sends `bytes` of `file` from position `at` without passing them through user memory; `result` is the count,
    /// which may fall short. The caller knows the range to be in the page cache: a cold page would stall the reactor.
    SendFile { fd: Fd, file: Fd, at: u64, bytes: u32, more: bool },
    /// Shuts down both directions of a socket: its receives and sends end.
    Shutdown { fd: Fd },

    /// Asks that the operation `token` end soon; that operation still completes itself (`-ECANCELED` if it was stopped).
    Cancel { token: Token },
    /// Makes another reactor of this process take a turn.
    Wake { reactor: ReactorId },
    /// Completes when the process is asked to stop (SIGTERM or SIGINT); only reactor 0 submits it.
    StopSignal,
}

impl Op {
    /// Whether the completion's `result` is a descriptor that somebody must own.
    pub fn brings_fd(&self) -> bool {
        matches!(self, Op::Open { .. } | Op::Listen { .. } | Op::Accept { .. } | Op::Connect { .. })
    }

    /// Whether the operation may wait for ever, for a peer say. When nobody awaits it any more it is cancelled: it would
    /// keep its descriptor open.
    pub fn may_never_end(&self) -> bool {
        matches!(
            self,
            Op::ReceiveInto { .. }
                | Op::Receive { .. }
                | Op::Accept { .. }
                | Op::Connect { .. }
                | Op::Send { .. }
                | Op::SendFile { .. }
                | Op::StopSignal
        )
    }
}

/// An operation with its name.
#[derive(Debug)]
pub struct Submission {
    /// The name that completions carry.
    pub token: Token,
    /// What to do.
    pub op: Op,
}

/// What came of an operation.
#[derive(Debug)]
pub struct Completion {
    /// The operation's name.
    pub token: Token,
    /// A count, a descriptor or 0; negative: a negated errno.
    pub result: i32,
    /// Whether further completions of this operation follow.
    pub more: bool,
    /// What comes with it.
    pub payload: Payload,
}

/// What a completion brings besides its result.
#[derive(Debug)]
#[allow(missing_docs, reason = "each variant's text explains its fields")]
pub enum Payload {
    /// Nothing.
    None,
    /// The block that the operation filled (also when it failed).
    Block(Block),
    /// Received bytes.
    Chunk(Slice),
    /// Both ends of an accepted connection; `None` for Unix sockets.
    Accepted { peer: Option<SocketAddr>, local: Option<SocketAddr> },
    /// The address a listener is bound to; `None` for Unix sockets.
    Address(Option<SocketAddr>),
    /// The answer to [`Op::Stat`].
    Stat(Stat),
    /// The answer to [`Op::List`].
    Names(Vec<String>),
    /// The answer to [`Op::Space`].
    Space(Space),
}

/// Size and kind of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Size of a file in bytes.
    pub bytes: u64,
    /// Whether it is a directory.
    pub directory: bool,
}

/// Room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that may still be allocated.
    pub free: u64,
    /// Size of the file system.
    pub total: u64,
}

/// Errno values that the broker's code decides on; the same numbers on every Linux architecture.
pub mod errno {
    /// No such file or directory.
    pub const ENOENT: i32 = 2;
    /// Input/output error.
    pub const EIO: i32 = 5;
    /// Bad descriptor.
    pub const EBADF: i32 = 9;
    /// Out of memory.
    pub const ENOMEM: i32 = 12;
    /// The name exists.
    pub const EEXIST: i32 = 17;
    /// Not a directory.
    pub const ENOTDIR: i32 = 20;
    /// Invalid argument (misaligned O_DIRECT among others).
    pub const EINVAL: i32 = 22;
    /// Too many open files.
    pub const EMFILE: i32 = 24;
    /// No space left on device.
    pub const ENOSPC: i32 = 28;
    /// Read-only file system.
    pub const EROFS: i32 = 30;
    /// Broken pipe.
    pub const EPIPE: i32 = 32;
    /// Directory not empty.
    pub const ENOTEMPTY: i32 = 39;
    /// Address in use.
    pub const EADDRINUSE: i32 = 98;
    /// Connection reset.
    pub const ECONNRESET: i32 = 104;
    /// No buffer space.
    pub const ENOBUFS: i32 = 105;
    /// Connection refused.
    pub const ECONNREFUSED: i32 = 111;
    /// Cancelled.
    pub const ECANCELED: i32 = 125;
}
