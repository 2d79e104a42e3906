//! The client of the echo job: one reactor, 64 connections, a fixed number of requests in flight on each.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use flumen::base::block::{Pool, Slice, Use};
use flumen::io::op::Slices;
use flumen::io::socket::{Received, Socket};
use flumen::io::{Handle, Ipv4Addr, SocketAddr};

use crate::processor::Clock;
use crate::{MEASURED, Sample, WARM_UP, on_flumen};

const CONNECTIONS: usize = 64;
/// Bytes of a request, and of a reply.
pub const REQUEST_BYTES: usize = 128;

pub fn run(port: u16, depth: usize, server: Clock) -> Sample {
    on_flumen::reactor(&Pool::new(64 << 20), move |io| async move {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let block = io.pool().try_block(REQUEST_BYTES * depth, Use::Reply).expect("memory");
        let requests = block.into_slice(REQUEST_BYTES * depth);
        let replies = Rc::new(Cell::new(0));
        for _ in 0..CONNECTIONS {
            let socket = Socket::connect(&io, address).await.expect("a connection");
            io.spawn(exchange(io.clone(), socket, requests.clone(), Rc::clone(&replies)));
        }
        io.sleep(WARM_UP).await;
        #[allow(clippy::disallowed_methods, reason = "the wall time of a measurement")]
        let started = (Instant::now(), server.now(), replies.get());
        io.sleep(MEASURED).await;
        Sample { requests: replies.get() - started.2, server_cpu: server.now() - started.1, wall: started.0.elapsed() }
    })
}

/// Sends as many requests as there are slots, then one for each reply.
async fn exchange(io: Handle, socket: Socket, requests: Slice, replies: Rc<Cell<u64>>) {
    socket.send(&io, Slices::from_iter([requests.clone()]), false).await.expect("a send");
    let (mut chunks, mut bytes) = (socket.chunks(&io), 0);
    loop {
        match chunks.next().await.expect("a receive") {
            Received::Chunk(chunk) => bytes += chunk.len(),
            other => panic!("the server replies for ever, not {other:?}"),
        }
        let complete = bytes / REQUEST_BYTES;
        bytes %= REQUEST_BYTES;
        replies.set(replies.get() + complete as u64);
        if complete > 0 {
            let next = requests.slice(0..complete * REQUEST_BYTES);
            socket.send(&io, Slices::from_iter([next]), false).await.expect("a send");
        }
    }
}
