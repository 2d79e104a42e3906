//! Listeners and connections.

use std::net::SocketAddr;

use super::file::{File, skip};
use super::op::{Completion, Fd, ListenAddress, Op, Payload, Slices, errno};
use super::reactor::{Closing, Handle, OperationStream, result_of};
use super::{Error, ErrorKind, Result};
use crate::base::block::{Block, Slice};

/// A listening socket and its stream of connections.
pub struct Listener {
    incoming: OperationStream,
    fd: Fd,
    closing: Closing,
    address: Option<SocketAddr>,
}

/// An accepted connection before it is put to use; it may be sent to another reactor.
#[derive(Debug)]
pub struct Accepted {
    fd: Fd,
    /// The peer's address; `None` for Unix sockets.
    pub peer: Option<SocketAddr>,
    /// The address on which the peer reached us; `None` for Unix sockets.
    pub local: Option<SocketAddr>,
}

impl Listener {
    /// Listens on `address`.
    ///
    /// # Errors
    /// The kernel's; `AddrInUse` among them.
    pub async fn listen(io: &Handle, address: ListenAddress, backlog: u32) -> Result<Listener> {
        let completion = io.submit(Op::Listen { address, backlog }).await;
        let fd = Fd(result_of(completion.result)? as i32);
        let Payload::Address(address) = completion.payload else { unreachable!("listen answers with an address") };
        Ok(Listener { incoming: io.submit_stream(Op::Accept { fd }), fd, closing: io.closing(), address })
    }

    /// The address listened on, with the port that was taken; `None` for Unix sockets.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The next connection.
    ///
    /// # Errors
    /// The kernel's (too many open files, say); the listener listens on and may be asked again.
    pub async fn accept(&mut self, io: &Handle) -> Result<Accepted> {
        loop {
            let Some(completion) = self.incoming.next().await else {
                self.incoming = io.submit_stream(Op::Accept { fd: self.fd });
                continue;
            };
            let fd = Fd(result_of(completion.result)? as i32);
            let Payload::Accepted { peer, local } = completion.payload else {
                unreachable!("accept answers with peers")
            };
            return Ok(Accepted { fd, peer, local });
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.closing.push(self.fd);
    }
}

/// A connection. Closed when dropped.
pub struct Socket {
    fd: Fd,
    closing: Closing,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.closing.push(self.fd);
    }
}

impl Socket {
    /// Puts an accepted connection to use on this reactor.
    pub fn adopt(io: &Handle, accepted: &Accepted) -> Socket {
        Socket { fd: accepted.fd, closing: io.closing() }
    }

    /// Connects to `address`.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn connect(io: &Handle, address: SocketAddr) -> Result<Socket> {
        let completion = io.submit(Op::Connect { address }).await;
        let fd = Fd(result_of(completion.result)? as i32);
        Ok(Socket { fd, closing: io.closing() })
    }

    /// Starts to receive in chunks of the kernel's choosing, for small requests.
    pub fn chunks(&self, io: &Handle) -> Chunks {
        Chunks { stream: io.submit_stream(Op::Receive { fd: self.fd }) }
    }

    /// Receives into `block[start..start + bytes]`; the count is 0 when the peer has closed. With `all` it is short only
    /// at the end of the stream.
    pub async fn receive_into(
        &self,
        io: &Handle,
        block: Block,
        start: u32,
        bytes: u32,
        all: bool,
    ) -> (Block, Result<u32>) {
        assert!(start as usize + bytes as usize <= block.len() && bytes > 0);
        let op = Op::ReceiveInto { fd: self.fd, into: block, start, bytes, all };
        let completion = io.submit(op).await;
        let Payload::Block(block) = completion.payload else { unreachable!("a receive gives its block back") };
        (block, result_of(completion.result))
    }

    /// Sends all `bytes`.
    ///
    /// # Errors
    /// The kernel's; the connection is of no further use then.
    pub async fn send(&self, io: &Handle, bytes: Slices, more: bool) -> Result<()> {
        let mut bytes = bytes;
        loop {
            let left: usize = bytes.iter().map(|slice| slice.len()).sum();
            if left == 0 {
                return Ok(());
            }
            let sent = io.submit(Op::Send { fd: self.fd, bytes: bytes.clone(), more }).await.result;
            match result_of(sent) {
                Ok(count) if count as usize == left => return Ok(()),
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => skip(&mut bytes, count as usize),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends `bytes` of `file` from `at` out of the page cache.
    ///
    /// # Errors
    /// The kernel's; `UnexpectedEof` when the file ends before.
    pub async fn send_file(&self, io: &Handle, file: &File, at: u64, bytes: u32, more: bool) -> Result<()> {
        let mut sent = 0;
        while sent < bytes {
            let op = Op::SendFile { fd: self.fd, file: file.fd(), at: at + u64::from(sent), bytes: bytes - sent, more };
            match result_of(io.submit(op).await.result) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends both directions; receives and sends under way finish with an error or the end.
    pub fn shutdown(&self, io: &Handle) {
        drop(io.submit(Op::Shutdown { fd: self.fd }));
    }
}

/// Received chunks of one connection.
pub struct Chunks {
    stream: OperationStream,
}

/// What a receive brought.
#[derive(Debug)]
pub enum Received {
    /// Bytes.
    Chunk(Slice),
    /// The peer has closed its side.
    Closed,
    /// Receiving has stopped as asked by [`Chunks::stop`].
    Stopped,
    /// There was no memory for chunks; start again when there is.
    NoMemory,
}

impl Chunks {
    /// The next chunk.
    ///
    /// # Errors
    /// The kernel's; the connection is of no further use then.
    pub async fn next(&mut self) -> Result<Received> {
        match self.stream.next().await {
            Some(completion) => Chunks::read(completion),
            None => Ok(Received::Stopped),
        }
    }

    /// The next chunk if it is there already.
    ///
    /// # Errors
    /// As [`Chunks::next`].
    pub fn try_next(&mut self) -> Option<Result<Received>> {
        self.stream.try_next().map(Chunks::read)
    }

    fn read(completion: Completion) -> Result<Received> {
        match (completion.result, completion.payload) {
            (1.., Payload::Chunk(chunk)) => Ok(Received::Chunk(chunk)),
            (0, _) => Ok(Received::Closed),
            (result, _) if result == -errno::ECANCELED => Ok(Received::Stopped),
            (result, _) if result == -errno::ENOBUFS => Ok(Received::NoMemory),
            (result, _) => Err(Error::from_raw_os_error(-result)),
        }
    }

    /// Asks for the end; chunks under way still arrive, then [`Received::Stopped`].
    pub fn stop(&self) {
        self.stream.cancel();
    }
}
