//! Sockets in the data directory that take a line and answer it as JSON: what operators ask a running broker on its machine.

use std::future::Future;
use std::rc::Rc;

use serde::Serialize;

use super::accept::{send_json, unless};
use super::broker::Broker;
use crate::base::block::Use;
use crate::base::time::Duration;
use crate::io::op::ListenAddress;
use crate::io::socket::{Listener, Socket};
use crate::protocol::primitives::STRING_BYTES_MAX;

/// Connections that the kernel keeps before they are accepted.
const BACKLOG: u32 = 16;
/// How long to wait after the kernel could not accept.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// The longest line: a name, what is wanted with it, and the line's end.
const QUESTION_BYTES_MAX: u32 = STRING_BYTES_MAX as u32 + 64;

/// Answers questions to the socket `name` until the broker stops. `subject` is what nobody can ask where it cannot be made.
pub async fn serve<A, F>(broker: Rc<Broker>, name: &str, subject: &str, answer: fn(Rc<Broker>, String) -> F)
where
    A: Serialize + 'static,
    F: Future<Output = A> + 'static,
{
    let path = broker.config.data_directory.join(name);
    let mut listener = match Listener::listen(&broker.io, ListenAddress::Unix(path.clone()), BACKLOG).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "nobody can ask {subject}: the socket cannot be made");
            return;
        }
    };
    let waiting = broker.waiting();
    while let Some(accepted) = unless(&waiting.hurry, listener.accept(&broker.io)).await {
        match accepted {
            Ok(accepted) => {
                let broker = Rc::clone(&broker);
                let socket = Socket::adopt(&broker.io, &accepted);
                broker.io.clone().spawn(async move {
                    let waiting = broker.waiting();
                    let Some(Some(line)) = unless(&waiting.hurry, question(&broker, &socket)).await else { return };
                    let told = answer(Rc::clone(&broker), line).await;
                    send_json(&broker, &socket, &told).await;
                });
            }
            Err(_) => broker.io.sleep(ACCEPT_RETRY).await,
        }
    }
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
