//! A client of the world: one connection to a broker, requests out, replies in, nothing taken for granted.
//!
//! **Owns:** the connection ([`Session`]) with its correlation ids and its timeouts, and the building and reading of the
//! requests that workloads send ([`requests`], [`groups`], [`transactions`]). A reply that does not come in time, or whose connection is lost, is
//! [`Lost`]: whether the request was carried out is then unknown, and no workload may assume either.
//!
//! **Never:** retries by itself; what is sent again, and what that may do twice, is the workload's knowledge.
//!
//! **Start reading at** [`Session::ask`].

pub mod groups;
pub mod requests;
pub mod transactions;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use kafka_protocol::protocol::Request;

use crate::base::block::Use;
use crate::base::time::{Duration, Instant};
use crate::io::op::Slices;
use crate::io::socket::{Chunks, Received, Socket};
use crate::io::{Handle, SocketAddr};
use crate::protocol::client::{decode_response, encode_request};

/// Largest reply that a client takes, in bytes.
const REPLY_BYTES_MAX: usize = 64 << 20;
/// How long a client waits for memory to receive into.
const MEMORY_PAUSE: Duration = Duration::from_millis(5);

/// The connection is of no further use, and what it was asked may have happened or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It could not be made, failed, or was closed.
    Connection,
    /// Nothing came in time.
    Timeout,
    /// What came follows no schema: the broker's fault.
    Malformed(String),
}

/// Waits for `future` until `deadline`; `None` when that is over first.
pub async fn until<T>(io: &Handle, deadline: Instant, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut sleep = pin!(io.sleep_until(deadline));
    poll_fn(|context| {
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        sleep.as_mut().poll(context).map(|()| None)
    })
    .await
}

/// A connection to a broker.
pub struct Session {
    io: Handle,
    chunks: Chunks,
    socket: Socket,
    arrived: Vec<u8>,
    next_id: i32,
}

impl Session {
    /// Connects to `address` before `deadline`.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn connect(io: &Handle, address: SocketAddr, deadline: Instant) -> Result<Session, Lost> {
        let connected = until(io, deadline, Socket::connect(io, address)).await.ok_or(Lost::Timeout)?;
        let socket = connected.map_err(|_| Lost::Connection)?;
        let chunks = socket.chunks(io);
        Ok(Session { io: io.clone(), chunks, socket, arrived: Vec::new(), next_id: 0 })
    }

    /// Sends a request; gives its correlation id.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn send<R: Request>(&mut self, version: i16, request: &R, deadline: Instant) -> Result<i32, Lost> {
        self.next_id += 1;
        let frame = encode_request(version, self.next_id, Some("world"), request)
            .map_err(|error| Lost::Malformed(error.to_string()))?;
        let mut block = self.io.pool().block_unlimited(frame.len(), Use::Reply).ok_or(Lost::Connection)?;
        block[..frame.len()].copy_from_slice(&frame);
        let slices = Slices::from_iter([block.into_slice(frame.len())]);
        let sent = until(&self.io, deadline, self.socket.send(&self.io, slices, false)).await;
        sent.ok_or(Lost::Timeout)?.map_err(|_| Lost::Connection)?;
        Ok(self.next_id)
    }

    /// The next reply's frame, without its size.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn receive(&mut self, deadline: Instant) -> Result<Vec<u8>, Lost> {
        loop {
            if let Some(frame) = self.whole_frame()? {
                return Ok(frame);
            }
            match until(&self.io, deadline, self.chunks.next()).await.ok_or(Lost::Timeout)? {
                Ok(Received::Chunk(chunk)) => self.arrived.extend_from_slice(&chunk),
                Ok(Received::NoMemory) => {
                    self.io.sleep(MEMORY_PAUSE).await;
                    self.chunks = self.socket.chunks(&self.io);
                }
                Ok(Received::Closed | Received::Stopped) | Err(_) => return Err(Lost::Connection),
            }
        }
    }

    fn whole_frame(&mut self) -> Result<Option<Vec<u8>>, Lost> {
        let Some(size) = self.arrived.first_chunk::<4>() else { return Ok(None) };
        let bytes = usize::try_from(i32::from_be_bytes(*size)).unwrap_or(usize::MAX);
        if bytes > REPLY_BYTES_MAX {
            return Err(Lost::Malformed(format!("a reply of {bytes} bytes")));
        }
        if self.arrived.len() < 4 + bytes {
            return Ok(None);
        }
        let rest = self.arrived.split_off(4 + bytes);
        let mut frame = std::mem::replace(&mut self.arrived, rest);
        frame.drain(..4);
        Ok(Some(frame))
    }

    /// Asks and waits for the answer. For use without other requests in flight.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn ask<R: Request>(&mut self, version: i16, request: &R, deadline: Instant) -> Result<R::Response, Lost> {
        let id = self.send(version, request, deadline).await?;
        let frame = self.receive(deadline).await?;
        read_reply::<R>(version, &frame, id)
    }
}

/// Reads the reply to the request with correlation id `id`.
///
/// # Errors
/// [`Lost::Malformed`] when it is another's or follows no schema.
pub fn read_reply<R: Request>(version: i16, frame: &[u8], id: i32) -> Result<R::Response, Lost> {
    let (answered, response) =
        decode_response::<R>(version, frame).map_err(|error| Lost::Malformed(error.to_string()))?;
    if answered == id {
        Ok(response)
    } else {
        Err(Lost::Malformed(format!("a reply to request {answered} where that to {id} was due")))
    }
}
