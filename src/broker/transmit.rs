//! The writer of a connection: leading replies of the ring become as few sends as possible.

use std::rc::Rc;

use super::broker::Broker;
use super::connection::Connection;
use super::reply::{Outcome, Part};
use crate::base::block::{Appender, Slice, Use};
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

/// One operation of the writer.
enum Sending {
    Memory(Slices),
    File { file: File, at: u64, bytes: u32 },
}

/// Sends the replies of a connection until it ends.
pub(super) async fn write(broker: Rc<Broker>, connection: Rc<Connection>) {
    while connection.ring.ready().await {
        // Replies that become ready in the same turn leave in the same send.
        broker.io.turn_end().await;
        let round = Round::of(&broker, connection.ring.take(ROUND_BYTES_MAX));
        let bytes = round.bytes;
        let closing = round.closing.clone();
        let sent = send(&broker, &connection, round.sendings).await;
        connection.ring.sent(bytes);
        broker.counters.bytes_out.add(bytes);
        match (sent, closing) {
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

async fn send(broker: &Broker, connection: &Connection, sendings: Vec<Sending>) -> io::Result<()> {
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

/// The sends of some replies.
struct Round {
    sendings: Vec<Sending>,
    /// The memory send that is being put together.
    open: Slices,
    open_bytes: usize,
    staging: Option<Appender>,
    bytes: u64,
    closing: Option<String>,
}

impl Round {
    fn of(broker: &Broker, outcomes: Vec<Outcome>) -> Round {
        let staged: usize = outcomes.iter().map(staged_bytes).sum();
        let mut round = Round {
            sendings: Vec::new(),
            open: Slices::new(),
            open_bytes: 0,
            staging: None,
            bytes: outcomes
                .iter()
                .map(|outcome| if let Outcome::Reply(reply) = outcome { reply.bytes() } else { 0 })
                .sum(),
            closing: None,
        };
        if staged > 0 {
            // Outside the pool's limit: the ring bounds the bytes of a connection's replies.
            match broker.io.pool().block_unlimited(staged, Use::Reply) {
                Some(block) => round.staging = Some(block.into_appender()),
                None => {
                    round.closing = Some("the machine has no memory for its replies".to_owned());
                    return round;
                }
            }
        }
        for outcome in outcomes {
            match outcome {
                Outcome::Reply(reply) => reply.parts.into_iter().for_each(|part| round.add(part)),
                Outcome::Nothing => {}
                Outcome::Close(reason) => {
                    round.closing = Some(reason);
                    break;
                }
            }
        }
        round.seal();
        round
    }

    fn add(&mut self, part: Part) {
        match part {
            Part::Bytes(bytes) => {
                let Some(staging) = &mut self.staging else { unreachable!("sized for all encoded bytes") };
                staging.reserve(bytes.len())[..bytes.len()].copy_from_slice(&bytes);
                let slice = staging.share(bytes.len());
                self.add_slice(slice);
            }
            Part::Piece(Piece::Memory(slice)) => self.add_slice(slice),
            Part::Piece(Piece::File { file, at, bytes }) => self.add_file(&file, at, bytes),
        }
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

fn staged_bytes(outcome: &Outcome) -> usize {
    let Outcome::Reply(reply) = outcome else { return 0 };
    let bytes = |part: &Part| if let Part::Bytes(bytes) = part { bytes.len() } else { 0 };
    reply.parts.iter().map(bytes).sum()
}
