//! Listeners: connections are accepted on one reactor and go to the one that has the fewest.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use serde::Serialize;

use super::broker::Broker;
use super::calls::Hurry;
use super::connection;
use super::message::Message;
use super::startup::{self, StartError};
use crate::base::block::Use;
use crate::base::time::Duration;
use crate::io::op::{ListenAddress, Slices};
use crate::io::socket::{Accepted, Listener, Socket};
use crate::model::ids::ReactorId;

/// Connections that the kernel keeps before they are accepted.
const BACKLOG: u32 = 1024;
/// How long to wait after the kernel could not accept (no descriptors left, say).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// The name of the socket in the data directory that answers with statistics.
pub const STATS_SOCKET: &str = "flumen.sock";

/// Opens all listeners.
///
/// # Errors
/// Which address cannot be listened on, and why.
pub async fn listen(broker: &Broker) -> Result<Vec<Listener>, StartError> {
    let mut listeners = Vec::new();
    for listener in &broker.config.listeners {
        let address = ListenAddress::Tcp(listener.address);
        let opened = Listener::listen(&broker.io, address, BACKLOG).await;
        listeners.push(opened.map_err(|error| {
            StartError(format!("cannot listen on {} (listener {}): {error}", listener.address, listener.name))
        })?);
    }
    Ok(listeners)
}

/// The result of `future`, unless `hurry` is set first.
pub(super) async fn unless<T>(hurry: &Hurry, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        if hurry.poll_set(context) {
            return Poll::Ready(None);
        }
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// Accepts connections until the broker stops.
pub async fn accept(broker: Rc<Broker>, mut listener: Listener, number: usize) {
    let waiting = broker.waiting();
    while let Some(accepted) = unless(&waiting.hurry, listener.accept(&broker.io)).await {
        match accepted {
            Ok(accepted) => place(&broker, accepted, number),
            Err(error) => {
                broker.refusals.log(&broker.io, || format!("a connection could not be accepted: {error}"));
                broker.io.sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Hands a connection to the reactor with the fewest, or closes it where there are too many.
fn place(broker: &Rc<Broker>, accepted: Accepted, number: usize) {
    let total: u64 = broker.placed.borrow().iter().map(|count| u64::from(*count)).sum();
    let connections_max = broker.limits.get().connections_max;
    if total >= connections_max {
        drop(Socket::adopt(&broker.io, &accepted));
        let peer = accepted.peer.map_or_else(String::new, |peer| peer.to_string());
        return broker.refusals.log(&broker.io, || {
            format!("closed the connection of {peer}: there are max.connections={connections_max} already")
        });
    }
    let reactor = {
        let mut placed = broker.placed.borrow_mut();
        let fewest = (0..placed.len()).min_by_key(|reactor| placed[*reactor]).expect("there is a reactor");
        placed[fewest] += 1;
        fewest as ReactorId
    };
    if reactor == broker.io.reactor_id() {
        connection::start(broker, &accepted, number);
    } else {
        broker.mesh.send(reactor, Message::Connection(Box::new(accepted), number));
    }
}

/// Answers every connection to the statistics socket with one snapshot, as JSON, until the broker stops.
pub async fn serve_stats(broker: Rc<Broker>) {
    let answer = |broker: Rc<Broker>, socket: Socket| async move {
        let snapshot = startup::snapshot(&broker).await;
        send_json(&broker, &socket, &snapshot).await;
    };
    serve_socket(broker, STATS_SOCKET, "no statistics", answer).await;
}

/// Makes the socket `name` in the data directory and answers every connection to it by `answer`, until the broker stops;
/// where it cannot be made, a line says `without` what.
pub(super) async fn serve_socket<F>(
    broker: Rc<Broker>,
    name: &str,
    without: &str,
    answer: impl Fn(Rc<Broker>, Socket) -> F,
) where
    F: Future<Output = ()> + 'static,
{
    let path = broker.config.data_directory.join(name);
    let mut listener = match Listener::listen(&broker.io, ListenAddress::Unix(path.clone()), BACKLOG).await {
        Ok(listener) => listener,
        Err(error) => return tracing::warn!(path = %path.display(), %error, "{without}: the socket cannot be made"),
    };
    let waiting = broker.waiting();
    while let Some(accepted) = unless(&waiting.hurry, listener.accept(&broker.io)).await {
        match accepted {
            Ok(accepted) => {
                let socket = Socket::adopt(&broker.io, &accepted);
                broker.io.spawn(answer(Rc::clone(&broker), socket));
            }
            Err(_) => broker.io.sleep(ACCEPT_RETRY).await,
        }
    }
}

/// Sends an answer as JSON.
pub(super) async fn send_json(broker: &Rc<Broker>, socket: &Socket, answer: &impl Serialize) {
    let Ok(json) = serde_json::to_vec(answer) else { return };
    // Whoever asks when memory is short asks for that reason.
    let Some(mut block) = broker.io.pool().block_unlimited(json.len(), Use::Reply) else { return };
    block[..json.len()].copy_from_slice(&json);
    let mut slices = Slices::new();
    slices.push(block.into_slice(json.len()));
    if let Err(error) = socket.send(&broker.io, slices, false).await {
        tracing::debug!(%error, "an answer could not be sent");
    }
}
