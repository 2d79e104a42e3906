//! The writer of a connection: leading replies of the ring become as few sends as possible.

use std::rc::Rc;

use smallvec::SmallVec;

use super::broker::Broker;
use super::connection::Connection;
use super::reply::{Outcome, Part};
use crate::base::block::{Appender, Pool, Slice, Use};
use crate::io;
use crate::io::file::File;
use crate::io::op::Slices;
use crate::shard::Piece;

/// Bytes of replies that one round of the writer takes from the ring (one reply at least).
const ROUND_BYTES_MAX: u64 = 4 << 20;
/// Bytes of one send, so that a slow peer's progress can be seen.
const SEND_BYTES_MAX: usize = 1 << 20;
/// Slices of one send; the kernel takes 1024.
const SEND_SLICES_MAX: usize = 256;

/// Size of the blocks that encoded replies are copied to, those of several connections one behind the other. Each reactor
/// keeps the one that is being filled.
pub const STAGING_BYTES: usize = 8 << 10;

/// One operation of the writer.
enum Sending {
    Memory(Slices),
    File { file: File, at: u64, bytes: u32 },
}

/// Where encoded replies lie while they are sent: the block that is being filled, shared by the connections of a reactor.
#[derive(Default)]
pub(super) struct Staging(Option<Appender>);

impl Staging {
    /// A copy of `bytes` that the kernel may read; `None` when the machine has no memory.
    fn copy(&mut self, pool: &Pool, bytes: &[u8]) -> Option<Slice> {
        // Outside the pool's limit: the rings bound the bytes of their connections' replies.
        if bytes.len() > STAGING_BYTES / 2 {
            // In a block of its own, which goes with it.
            let mut block = pool.block_unlimited(bytes.len(), Use::Reply)?;
            block[..bytes.len()].copy_from_slice(bytes);
            return Some(block.into_slice(bytes.len()));
        }
        if self.0.as_ref().is_none_or(|staging| staging.room() < bytes.len()) {
            self.0 = Some(pool.block_unlimited(STAGING_BYTES, Use::Reply)?.into_appender());
        }
        let staging = self.0.as_mut()?;
        staging.reserve(bytes.len()).copy_from_slice(bytes);
        Some(staging.share(bytes.len()))
    }
}

/// Sends the replies of a connection until it ends.
pub(super) async fn write(broker: Rc<Broker>, connection: Rc<Connection>) {
    let _emptied = EmptiedAtEnd(&connection);
    while connection.ring.ready().await {
        if connection.ring.may_grow() {
            // Replies that become ready in the same turn leave in the same send.
            broker.io.turn_end().await;
        }
        let round = Round::of(&broker, &connection);
        let bytes = round.bytes;
        let sent = send(&broker, &connection, round.sendings).await;
        connection.ring.sent(bytes);
        broker.counters.bytes_out.add(bytes);
        match (sent, round.closing) {
            (Ok(()), None) => {}
            (Ok(()), Some(reason)) => {
                let line = || format!("closed the connection of {}: {reason}", connection.peer_name());
                broker.refusals.log(&broker.io, line);
                break;
            }
            (Err(error), _) => {
                tracing::debug!(peer = %connection.peer_name(), %error, "replies could not be sent");
                break;
            }
        }
    }
    connection.close(&broker);
}

/// Empties the ring when the writer ends, however it ends: what the ring follows may hold the connection.
struct EmptiedAtEnd<'a>(&'a Connection);

impl Drop for EmptiedAtEnd<'_> {
    fn drop(&mut self) {
        self.0.ring.close();
    }
}

async fn send(broker: &Broker, connection: &Connection, sendings: Sendings) -> io::Result<()> {
    let last = sendings.len().saturating_sub(1);
    for (number, sending) in sendings.into_iter().enumerate() {
        let more = number < last;
        connection.set_sending(Some(broker.io.now()));
        match sending {
            Sending::Memory(slices) => connection.socket().send(&broker.io, slices, more).await?,
            Sending::File { file, at, bytes } => {
                connection.socket().send_file(&broker.io, &file, at, bytes, more).await?;
            }
        }
    }
    connection.set_sending(None);
    Ok(())
}

type Sendings = SmallVec<[Sending; 1]>;

/// The sends of some replies.
#[derive(Default)]
struct Round {
    sendings: Sendings,
    /// The memory send that is being put together.
    open: Slices,
    open_bytes: usize,
    bytes: u64,
    closing: Option<String>,
}

impl Round {
    /// Takes what is ready in the connection's ring.
    fn of(broker: &Broker, connection: &Connection) -> Round {
        let mut round = Round::default();
        connection.ring.take(ROUND_BYTES_MAX, |outcome| {
            match outcome {
                Outcome::Reply(reply) => {
                    round.bytes += reply.bytes();
                    reply.parts.into_iter().all(|part| round.add(broker, part));
                }
                Outcome::Nothing => {}
                Outcome::Close(reason) => round.closing = Some(reason),
            }
            round.closing.is_none()
        });
        round.seal();
        round
    }

    /// Adds a part; false when nothing can be added any more.
    fn add(&mut self, broker: &Broker, part: Part) -> bool {
        match part {
            Part::Bytes(bytes) => {
                let copy = broker.reply_staging.borrow_mut().copy(broker.io.pool(), &bytes);
                match copy {
                    Some(slice) => self.add_slice(slice),
                    None => self.closing = Some("the machine has no memory for its replies".to_owned()),
                }
            }
            Part::Piece(Piece::Memory(slice)) => self.add_slice(slice),
            Part::Piece(Piece::File { file, at, bytes }) => self.add_file(&file, at, bytes),
        }
        self.closing.is_none()
    }

    fn add_slice(&mut self, slice: Slice) {
        let mut rest = slice;
        while !rest.is_empty() {
            if self.open_bytes >= SEND_BYTES_MAX || self.open.len() >= SEND_SLICES_MAX {
                self.seal();
            }
            let count = rest.len().min(SEND_BYTES_MAX - self.open_bytes);
            let (now, later) = (rest.slice(0..count), rest.slice(count..rest.len()));
            self.open_bytes += count;
            match self.open.last_mut().and_then(|last| last.joined(&now).map(|joined| (last, joined))) {
                Some((last, joined)) => *last = joined,
                None => self.open.push(now),
            }
            rest = later;
        }
    }

    fn add_file(&mut self, file: &File, at: u64, bytes: u32) {
        self.seal();
        let mut done = 0;
        while done < bytes {
            let step = (bytes - done).min(SEND_BYTES_MAX as u32);
            self.sendings.push(Sending::File { file: file.clone(), at: at + u64::from(done), bytes: step });
            done += step;
        }
    }

    fn seal(&mut self) {
        self.open_bytes = 0;
        let slices = std::mem::take(&mut self.open);
        if !slices.is_empty() {
            self.sendings.push(Sending::Memory(slices));
        }
    }
}
