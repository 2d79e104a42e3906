//! Sockets in the data directory that take a line and answer it as JSON: what operators ask a running broker on its machine.

use std::future::Future;
use std::rc::Rc;

use serde::Serialize;

use super::accept::{send_json, serve_socket, unless};
use super::broker::Broker;
use crate::base::block::Use;
use crate::io::socket::Socket;
use crate::protocol::primitives::STRING_BYTES_MAX;

/// The longest line: a name, what is wanted with it, and the line's end.
const QUESTION_BYTES_MAX: u32 = STRING_BYTES_MAX as u32 + 64;

/// Answers questions to the socket `name` until the broker stops. `subject` is what nobody can ask where it cannot be made.
pub async fn serve<A, F>(broker: Rc<Broker>, name: &str, subject: &str, answer: fn(Rc<Broker>, String) -> F)
where
    A: Serialize + 'static,
    F: Future<Output = A> + 'static,
{
    let answer_line = move |broker: Rc<Broker>, socket: Socket| async move {
        let waiting = broker.waiting();
        let Some(Some(line)) = unless(&waiting.hurry, question(&broker, &socket)).await else { return };
        let told = answer(Rc::clone(&broker), line).await;
        send_json(&broker, &socket, &told).await;
    };
    serve_socket(broker, name, &format!("nobody can ask {subject}"), answer_line).await;
}

async fn question(broker: &Broker, socket: &Socket) -> Option<String> {
    let mut block = broker.io.pool().try_block(QUESTION_BYTES_MAX as usize, Use::Reply)?;
    let mut start = 0;
    while start < QUESTION_BYTES_MAX {
        let (returned, count) = socket.receive_into(&broker.io, block, start, QUESTION_BYTES_MAX - start, false).await;
        block = returned;
        let count = count.ok().filter(|count| *count > 0)?;
        start += count;
        let read = &block[..start as usize];
        if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
            return std::str::from_utf8(&read[..end]).ok().map(str::to_owned);
        }
    }
    None
}
