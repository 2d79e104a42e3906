//! One connection: a reader that cuts requests out of what arrives, and a writer that sends replies in their order.
//!
//! Small requests arrive as chunks and are parsed where they lie. When a large frame is announced the chunk stream
//! stops, and the rest of the frame is received straight into a block of the frame's size; the connection stays in
//! that direct mode while its frames are large. Memory is admitted before it is allocated: a connection whose replies
//! are not read, whose requests are not answered yet, or for which the pool has no block, is left unread.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;

use super::broker::Broker;
use super::dispatch;
use super::input::{Input, Next};
use super::reply::{Outcome, ReplyRing};
use super::transmit;
use crate::base::block::{Block, Slice, Use};
use crate::base::time::{Duration, Instant};
use crate::io;
use crate::io::socket::{Accepted, Chunks, Received, Socket};
use crate::protocol::frame::frame_length;

/// Frames above this are received straight into a block of their size. Chunks are 16 KiB at most, so smaller frames
/// span three chunks at worst and gathering them costs one small copy.
const DIRECT_FRAME_BYTES_MIN: usize = 32 << 10;
/// What one receive of a large frame asks for at most, so that its progress can be seen.
const RECEIVE_STEP_BYTES: usize = 1 << 20;
/// In direct mode, how much of the next frame is received to learn its size.
const PEEK_BYTES: usize = 4096;
/// How soon a refused block is asked for again.
const MEMORY_RETRY: Duration = Duration::from_millis(2);
/// How often; after that (30 s) the connection is given up.
const MEMORY_RETRIES_MAX: u32 = 15_000;
/// A connection that holds memory and makes no progress for this long is closed: within a large frame, or with replies
/// that its peer does not read.
pub const STALLED_MAX: Duration = Duration::from_secs(30);

/// Names a connection within its reactor.
pub type ConnectionKey = usize;

/// A connection's state, shared by its reader, its writer and its requests.
pub struct Connection {
    /// The peer's address; `None` on a Unix socket.
    pub peer: Option<io::SocketAddr>,
    /// The address on which the peer reached us; `None` on a Unix socket.
    pub local: Option<io::SocketAddr>,
    /// The listener's number in the configuration.
    pub listener: usize,
    /// The replies.
    pub ring: ReplyRing,
    /// Name and version of the client's software, as ApiVersions told them (KIP-511).
    pub software: RefCell<String>,
    client_id: RefCell<Rc<str>>,
    socket: Socket,
    key: Cell<ConnectionKey>,
    last_active: Cell<Instant>,
    /// Since when the peer owes us bytes of a large frame, or room for a reply.
    stalled_since: Cell<Option<Instant>>,
    sending_since: Cell<Option<Instant>>,
    stopping: Cell<bool>,
}

/// Why a connection ended.
#[derive(Debug)]
pub enum Ended {
    /// The peer closed it.
    ByPeer,
    /// The socket failed.
    Failed(io::Error),
    /// We refuse to go on; the sentence says why.
    Refused(String),
    /// It was closed by this side, which has said why already.
    ByUs,
}

impl Connection {
    /// The peer as log lines name it.
    pub fn peer_name(&self) -> String {
        let address = self.peer.map_or_else(|| "a local peer".to_owned(), |peer| peer.to_string());
        let software = self.software.borrow();
        if software.is_empty() { address } else { format!("{address} ({software})") }
    }

    /// `client_id` as a shared text: nearly all requests of a connection carry the same.
    pub fn client_id(&self, client_id: &str) -> Rc<str> {
        let mut last = self.client_id.borrow_mut();
        if **last != *client_id {
            *last = client_id.into();
        }
        Rc::clone(&last)
    }

    /// Ends the connection now: requests in flight are given up.
    pub fn close(&self, broker: &Broker) {
        if !self.ring.is_closed() {
            self.ring.close();
            self.socket.shutdown(&broker.io);
        }
    }

    /// Ends the connection once the requests in flight are answered.
    pub fn stop(&self) {
        self.stopping.set(true);
        self.ring.drain();
    }

    /// Why the connection is to be closed at `now`, if it is.
    pub fn overdue(&self, now: Instant, idle_max: Option<Duration>) -> Option<&'static str> {
        let late = |since: Option<Instant>| since.is_some_and(|since| now.since(since) > STALLED_MAX);
        if late(self.stalled_since.get()) {
            return Some("it stopped in the middle of a large request");
        }
        if late(self.sending_since.get()) {
            return Some("it does not read its replies");
        }
        match idle_max {
            Some(idle_max) if self.ring.in_flight() == 0 && now.since(self.last_active.get()) > idle_max => {
                Some("it was idle for connections.max.idle.ms")
            }
            _ => None,
        }
    }

    fn touch(&self, now: Instant) {
        self.last_active.set(now);
    }

    /// The socket, for the writer.
    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Notes that a send is under way, or that none is.
    pub(super) fn set_sending(&self, since: Option<Instant>) {
        self.sending_since.set(since);
        if let Some(since) = since {
            self.touch(since);
        }
    }
}

/// Puts an accepted connection to use on this reactor.
pub fn start(broker: &Rc<Broker>, accepted: &Accepted, listener: usize) {
    if broker.is_stopping() {
        drop(Socket::adopt(&broker.io, accepted));
        return broker.connection_closed();
    }
    let now = broker.io.now();
    let connection = Rc::new(Connection {
        peer: accepted.peer,
        local: accepted.local,
        listener,
        ring: ReplyRing::new(broker.config.connection_bytes_in_flight_max),
        software: RefCell::default(),
        client_id: RefCell::new("".into()),
        socket: Socket::adopt(&broker.io, accepted),
        key: Cell::new(0),
        last_active: Cell::new(now),
        stalled_since: Cell::new(None),
        sending_since: Cell::new(None),
        stopping: Cell::new(false),
    });
    connection.key.set(broker.connections.borrow_mut().insert(Rc::clone(&connection)));
    broker.counters.connections_opened.add(1);
    broker.io.spawn(transmit::write(Rc::clone(broker), Rc::clone(&connection)));
    broker.io.spawn(read(Rc::clone(broker), connection));
}

async fn read(broker: Rc<Broker>, connection: Rc<Connection>) {
    let mut reader = Reader {
        broker: Rc::clone(&broker),
        connection: Rc::clone(&connection),
        input: Input::default(),
        stream: None,
        direct: false,
        peer_closed: false,
    };
    let ended = match reader.run().await {
        Ok(never) => match never {},
        Err(ended) => ended,
    };
    match &ended {
        Ended::Refused(reason) => {
            broker
                .refusals
                .log(&broker.io, || format!("closed the connection of {}: {reason}", connection.peer_name()));
        }
        Ended::Failed(error) => tracing::debug!(peer = %connection.peer_name(), %error, "connection failed"),
        Ended::ByPeer | Ended::ByUs => {}
    }
    connection.close(&broker);
    reader.finish().await;
    broker.connections.borrow_mut().remove(connection.key.get());
    broker.connection_closed();
}

/// A type without values: the reader only ends with a reason.
enum Never {}

struct Reader {
    broker: Rc<Broker>,
    connection: Rc<Connection>,
    input: Input,
    stream: Option<Chunks>,
    direct: bool,
    peer_closed: bool,
}

impl Reader {
    async fn run(&mut self) -> Result<Never, Ended> {
        // A request above half of all memory could never be admitted beside anything else.
        let configured = usize::try_from(self.broker.config.request_bytes_max).unwrap_or(usize::MAX);
        let bytes_max = configured.min(self.broker.io.pool().limit_bytes() / 2);
        loop {
            match self.input.next(bytes_max) {
                Next::Frame(frame) => self.take(frame).await?,
                Next::Announced(size) => {
                    let bytes = frame_length(size, bytes_max).map_err(|error| Ended::Refused(error.to_string()))?;
                    let frame = self.gather(bytes).await?;
                    self.take(frame).await?;
                }
                Next::Nothing => self.receive().await?,
            }
        }
    }

    /// Hands a request to its handler, once there is room for its reply.
    async fn take(&mut self, frame: Slice) -> Result<(), Ended> {
        let bytes = frame.len() as u64;
        self.wait_for_room(bytes).await?;
        if self.connection.stopping.get() {
            self.pause().await?;
            self.connection.ring.closed().await;
            return Err(Ended::ByUs);
        }
        self.connection.touch(self.broker.io.now());
        self.broker.counters.bytes_in.add(bytes);
        let slot = self.connection.ring.reserve(bytes);
        dispatch::handle(&self.broker, &self.connection, slot, frame);
        Ok(())
    }

    async fn wait_for_room(&mut self, bytes: u64) -> Result<(), Ended> {
        if !self.connection.ring.has_room(bytes) {
            self.broker.counters.reads_paused.add(1);
            self.pause().await?;
            self.connection.ring.room(bytes).await;
        }
        if self.connection.ring.is_closed() { Err(Ended::ByUs) } else { Ok(()) }
    }

    /// Gathers a frame of `bytes`, of which the input holds only the beginning.
    async fn gather(&mut self, bytes: usize) -> Result<Slice, Ended> {
        self.direct = bytes > DIRECT_FRAME_BYTES_MIN;
        self.wait_for_room(bytes as u64).await?;
        if self.direct {
            self.pause().await?;
        }
        let mut block = self.block(bytes).await?;
        let mut filled = self.input.fill(&mut block[..bytes]);
        while filled < bytes {
            self.connection.stalled_since.set(Some(self.broker.io.now()));
            if self.direct {
                let step = (bytes - filled).min(RECEIVE_STEP_BYTES);
                let (returned, count) = self.receive_into(block, filled, step, true).await?;
                block = returned;
                filled += count;
            } else {
                self.receive().await?;
                filled += self.input.fill(&mut block[filled..bytes]);
            }
        }
        self.connection.stalled_since.set(None);
        Ok(block.into_slice(bytes))
    }

    /// Receives more into the input.
    async fn receive(&mut self) -> Result<(), Ended> {
        if self.peer_closed {
            return Err(Ended::ByPeer);
        }
        if self.direct {
            let block = self.block(PEEK_BYTES).await?;
            let (block, count) = self.receive_into(block, 0, PEEK_BYTES, false).await?;
            self.input.push(block.into_slice(count));
            // A small frame is taken from here as it is; only another large one keeps the direct mode.
            self.direct = false;
            return Ok(());
        }
        let stream = self.stream.get_or_insert_with(|| self.connection.socket.chunks(&self.broker.io));
        match stream.next().await.map_err(Ended::Failed)? {
            Received::Chunk(chunk) => self.input.push(chunk),
            Received::Closed => self.peer_closed = true,
            Received::Stopped => self.stream = None,
            Received::NoMemory => {
                self.stream = None;
                self.broker.counters.reads_paused.add(1);
                self.broker.io.sleep(MEMORY_RETRY).await;
            }
        }
        Ok(())
    }

    async fn receive_into(&self, block: Block, at: usize, bytes: usize, all: bool) -> Result<(Block, usize), Ended> {
        let received = self.connection.socket.receive_into(&self.broker.io, block, at as u32, bytes as u32, all);
        match received.await {
            (_, Err(error)) => Err(Ended::Failed(error)),
            (_, Ok(0)) => Err(Ended::ByPeer),
            (block, Ok(count)) => Ok((block, count as usize)),
        }
    }

    /// A block for `bytes`, as soon as the pool has one.
    async fn block(&mut self, bytes: usize) -> Result<Block, Ended> {
        for retries in 0..MEMORY_RETRIES_MAX {
            if let Some(block) = self.broker.io.pool().try_block(bytes, Use::Receive) {
                return Ok(block);
            }
            if retries == 0 {
                self.broker.counters.reads_paused.add(1);
                self.pause().await?;
            }
            self.broker.io.sleep(MEMORY_RETRY).await;
            if self.connection.ring.is_closed() {
                return Err(Ended::ByUs);
            }
        }
        Err(Ended::Refused(format!("no memory for a request of {bytes} bytes came free within 30 s")))
    }

    /// Stops the chunk stream and keeps what it still brings.
    async fn pause(&mut self) -> Result<(), Ended> {
        let Some(mut stream) = self.stream.take() else { return Ok(()) };
        stream.stop();
        loop {
            match stream.next().await.map_err(Ended::Failed)? {
                Received::Chunk(chunk) => self.input.push(chunk),
                Received::Closed => self.peer_closed = true,
                Received::Stopped | Received::NoMemory => return Ok(()),
            }
            if self.peer_closed {
                return Ok(());
            }
        }
    }

    /// Waits for the receive under way to end (the socket is shut down), so that the descriptor is free to be closed.
    async fn finish(&mut self) {
        if let Some(mut stream) = self.stream.take() {
            while let Ok(Received::Chunk(_)) = stream.next().await {}
        }
    }
}

/// Runs a request's handler as a task of its own, until it has an outcome or the connection ends.
pub fn run(
    broker: &Rc<Broker>,
    connection: &Rc<Connection>,
    slot: super::reply::SlotId,
    mut handler: Pin<Box<impl Future<Output = Outcome> + 'static>>,
) {
    let connection = Rc::clone(connection);
    broker.io.spawn(async move {
        let outcome = std::future::poll_fn(|context| {
            if connection.ring.is_closed() {
                return std::task::Poll::Ready(None);
            }
            let polled = handler.as_mut().poll(context).map(Some);
            if polled.is_pending() && !connection.ring.park(slot, context.waker()) {
                return std::task::Poll::Ready(None);
            }
            polled
        })
        .await;
        if let Some(outcome) = outcome {
            connection.ring.fill(slot, outcome);
        }
    });
}
