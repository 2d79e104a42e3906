//! Cases about receiving: chunks, exact receives, and what happens between the two.

use core::time::Duration;

use flumen::base::block::{Slice, Use};
use flumen::io::Handle;
use flumen::io::op::Slices;
use flumen::io::socket::{Chunks, Received, Socket};

use super::sockets::{listen, pair, receive_all, receive_exactly};
use super::{Harness, byte_at, pattern, slice, slices, start};

/// The largest chunk that a backend may deliver.
const CHUNK_BYTES_MAX: usize = 16 << 10;

/// Sends `bytes` bytes of the test stream in pieces of uneven size, then drops the socket.
fn send_stream(io: &Handle, socket: Socket, bytes: usize) -> flumen::base::oneshot::Receiver<()> {
    let task_io = io.clone();
    start(io, async move {
        let mut at = 0;
        while at < bytes {
            let piece = (1 + at * 31 % 60_000).min(bytes - at);
            socket.send(&task_io, slices(&task_io, &pattern(at, piece)), false).await.expect("a send");
            at += piece;
        }
    })
}

/// Checks that `chunk` is the test stream from `at`, and tells where it goes on.
fn verify(chunk: &[u8], at: usize) -> usize {
    assert!(chunk.iter().enumerate().all(|(index, byte)| *byte == byte_at(at + index)), "in order from {at}");
    at + chunk.len()
}

pub fn chunks_keep_order(harness: impl Harness) {
    const BYTES: usize = 8 << 20;
    harness.one(|io| async move {
        let (client, server) = pair(&io).await;
        let sender = send_stream(&io, client, BYTES);
        let (mut at, mut chunks) = (0, server.chunks(&io));
        loop {
            match chunks.next().await.expect("a receive") {
                Received::Chunk(chunk) => {
                    assert!(!chunk.is_empty() && chunk.len() <= CHUNK_BYTES_MAX);
                    at = verify(&chunk, at);
                }
                Received::Closed => break,
                Received::NoMemory => chunks = server.chunks(&io),
                Received::Stopped => panic!("nobody stopped it"),
            }
        }
        assert_eq!(at, BYTES);
        sender.await.expect("all was sent");
    });
}

pub fn receive_into_takes_all_or_what_is_there(harness: impl Harness) {
    harness.one(|io| async move {
        let (client, server) = pair(&io).await;
        client.send(&io, slices(&io, &pattern(0, 1000)), false).await.expect("a send");
        let mut block = io.pool().try_block(8192, Use::Receive).expect("memory");
        block.fill(7);
        let (block, count) = server.receive_into(&io, block, 100, 8000, false).await;
        let count = count.expect("a receive") as usize;
        assert!((1..=1000).contains(&count), "what is there");
        assert_eq!(block[100..100 + count], pattern(0, count));
        assert!(block[..100].iter().chain(&block[100 + count..]).all(|byte| *byte == 7));
        let task_io = io.clone();
        let sender = start(&io, async move {
            for part in 0..9 {
                task_io.sleep(Duration::from_millis(2)).await;
                let bytes = pattern(1000 + part * 1000, 1000);
                client.send(&task_io, slices(&task_io, &bytes), false).await.expect("a send");
            }
            client
        });
        assert!(receive_exactly(&io, &server, 10_000 - count).await == pattern(count, 10_000 - count));
        sender.await.expect("all was sent");
    });
}

pub fn receive_into_ends_short_with_the_stream(harness: impl Harness) {
    harness.one(|io| async move {
        let (client, server) = pair(&io).await;
        client.send(&io, slices(&io, &pattern(0, 3000)), false).await.expect("a send");
        drop(client);
        let block = io.pool().try_block(8192, Use::Receive).expect("memory");
        let (block, count) = server.receive_into(&io, block, 0, 8000, true).await;
        assert_eq!(count.expect("a receive"), 3000);
        assert_eq!(block[..3000], pattern(0, 3000));
        let (_, count) = server.receive_into(&io, block, 0, 8000, true).await;
        assert_eq!(count.expect("the end"), 0);
    });
}

/// Stops `chunks` and verifies what still arrives; tells where the stream goes on, and whether it has ended.
async fn stop(chunks: &mut Chunks, mut at: usize) -> (usize, bool) {
    chunks.stop();
    loop {
        match chunks.next().await.expect("a receive") {
            Received::Chunk(chunk) => at = verify(&chunk, at),
            Received::Stopped | Received::NoMemory => return (at, false),
            Received::Closed => return (at, true),
        }
    }
}

pub fn stop_then_receive_into_loses_nothing(harness: impl Harness) {
    const BYTES: usize = 6 << 20;
    harness.one(|io| async move {
        let (client, server) = pair(&io).await;
        let sender = send_stream(&io, client, BYTES);
        let (mut at, mut round, mut ended) = (0, 0, false);
        while !ended {
            round += 1;
            let mut chunks = server.chunks(&io);
            for _ in 0..round % 4 {
                match chunks.next().await.expect("a receive") {
                    Received::Chunk(chunk) => at = verify(&chunk, at),
                    Received::Closed => ended = true,
                    Received::NoMemory | Received::Stopped => panic!("nobody stopped it and memory is plenty"),
                }
                if ended {
                    break;
                }
            }
            if !ended {
                (at, ended) = stop(&mut chunks, at).await;
            }
            let bytes = 1 + round * 7919 % 100_000;
            if !ended && bytes <= BYTES - at {
                at = verify(&receive_exactly(&io, &server, bytes).await, at);
            }
        }
        assert_eq!(at, BYTES);
        sender.await.expect("all was sent");
    });
}

pub fn a_closed_peer_is_the_end(harness: impl Harness) {
    harness.one(|io| async move {
        let (client, server) = pair(&io).await;
        client.send(&io, slices(&io, b"last words"), false).await.expect("a send");
        client.shutdown(&io);
        assert_eq!(receive_all(&io, &server).await, b"last words");
        assert!(matches!(server.chunks(&io).next().await, Ok(Received::Closed)), "still the end");
        let block = io.pool().try_block(100, Use::Receive).expect("memory");
        let (_, count) = server.receive_into(&io, block, 0, 100, true).await;
        assert_eq!(count.expect("the end"), 0);
    });
}

pub fn a_shutdown_wakes_pending_receives(harness: impl Harness) {
    harness.one(|io| async move {
        let (client, server) = pair(&io).await;
        let mut chunks = server.chunks(&io);
        let (task_io, block) = (io.clone(), io.pool().try_block(100, Use::Receive).expect("memory"));
        let receiver = start(&io, async move {
            let (_, count) = client.receive_into(&task_io, block, 0, 100, true).await;
            count.expect("the end, not an error")
        });
        io.sleep(Duration::from_millis(20)).await;
        server.shutdown(&io);
        assert!(matches!(chunks.next().await, Ok(Received::Closed)), "the own side's receive ends");
        assert_eq!(receiver.await.expect("it ended"), 0, "and the peer's");
    });
}

/// The next connection often gets the number of the descriptor that was closed: a shutdown that came late would hit it.
pub fn a_shutdown_ends_its_own_connection_alone(harness: impl Harness) {
    /// Enough that a late shutdown would hit one of them.
    const CONNECTIONS: usize = 300;
    harness.one(|io| async move {
        let mut listener = listen(&io).await;
        let address = listener.address().expect("a TCP listener");
        for number in 0..CONNECTIONS {
            let client = start(&io, connect_owned(io.clone(), address));
            let accepted = listener.accept(&io).await.expect("a connection");
            let server = Socket::adopt(&io, &accepted);
            let client = client.await.expect("it ended").expect("a connection");
            server.send(&io, slices(&io, b"hello"), false).await.expect("a send");
            assert_eq!(receive_exactly(&io, &client, 5).await, b"hello", "connection {number} lives");
            server.shutdown(&io);
        }
    });
}

async fn connect_owned(io: Handle, address: flumen::io::SocketAddr) -> flumen::io::Result<Socket> {
    Socket::connect(&io, address).await
}

pub fn an_abandoned_receive_lets_the_socket_close(harness: impl Harness) {
    harness.one(|io| async move {
        let (client, server) = pair(&io).await;
        let block = io.pool().try_block(4096, Use::Receive).expect("memory");
        let mut receive = Box::pin(server.receive_into(&io, block, 0, 4096, true));
        let pending =
            std::future::poll_fn(|context| std::task::Poll::Ready(receive.as_mut().poll(context).is_pending()));
        assert!(pending.await);
        io.sleep(Duration::from_millis(5)).await;
        drop(receive);
        drop(server);
        assert!(receive_all(&io, &client).await.is_empty(), "the peer sees the close");
        io.sleep(Duration::from_millis(5)).await;
        assert!(io.counters().in_flight == 0, "nothing is left behind");
    });
}

pub fn exhausted_memory_is_told_and_recovers(harness: impl Harness) {
    const PIECE: usize = 64 << 10;
    const PIECES: usize = 64;
    const POOL_BYTES: usize = 512 << 10;
    let verify_piecewise = |chunk: &[u8], at: usize| {
        assert!(chunk.iter().enumerate().all(|(index, byte)| *byte == byte_at((at + index) % PIECE)), "in order");
        at + chunk.len()
    };
    let refusals = harness.one_with_pool(POOL_BYTES, move |io| async move {
        let (client, server) = pair(&io).await;
        let task_io = io.clone();
        let sender = start(&io, async move {
            let piece = slice(&task_io, &pattern(0, PIECE));
            for _ in 0..PIECES {
                client.send(&task_io, Slices::from_iter([piece.clone()]), false).await.expect("a send");
            }
        });
        let (mut at, mut refusals, mut idle) = (0, 0, 0);
        let mut held: Vec<Slice> = Vec::new();
        let mut chunks = server.chunks(&io);
        loop {
            match chunks.next().await.expect("a receive") {
                Received::Chunk(chunk) => {
                    idle = 0;
                    held.push(chunk);
                }
                Received::NoMemory => {
                    refusals += 1;
                    idle += 1;
                    assert!(idle < 1000, "freed memory is used again");
                    at = held.drain(..).fold(at, |at, chunk| verify_piecewise(&chunk, at));
                    io.sleep(Duration::from_millis(1)).await;
                    chunks = server.chunks(&io);
                }
                Received::Closed => break,
                Received::Stopped => panic!("nobody stopped it"),
            }
        }
        at = held.drain(..).fold(at, |at, chunk| verify_piecewise(&chunk, at));
        assert_eq!(at, PIECE * PIECES);
        sender.await.expect("all was sent");
        refusals
    });
    assert!(refusals > 0, "4 MiB do not fit into 512 KiB");
}

pub fn held_chunks_keep_their_content(harness: impl Harness) {
    harness.one(|io| async move {
        let (client, server) = pair(&io).await;
        let mut chunks = server.chunks(&io);
        let (mut held, mut at) = (Vec::new(), 0);
        // Small and large chunks: a backend may treat them differently.
        for round in 0..300 {
            let bytes = if round % 3 == 0 { 10_000 } else { 1 + round };
            client.send(&io, slices(&io, &pattern(at, bytes)), false).await.expect("a send");
            let mut got = 0;
            while got < bytes {
                let Received::Chunk(chunk) = chunks.next().await.expect("a receive") else { panic!("bytes") };
                got += chunk.len();
                held.push(chunk);
            }
            at += bytes;
        }
        let end = held.iter().fold(0, |at, chunk| verify(chunk, at));
        assert_eq!(end, at);
    });
}

pub fn dropped_chunks_stop_receiving(harness: impl Harness) {
    harness.one(|io| async move {
        let (client, server) = pair(&io).await;
        for _ in 0..50 {
            let mut chunks = server.chunks(&io);
            client.send(&io, slices(&io, b"x"), false).await.expect("a send");
            assert!(matches!(chunks.next().await, Ok(Received::Chunk(_))));
            drop(chunks);
        }
        io.sleep(Duration::from_millis(5)).await;
        assert_eq!(io.counters().in_flight, 0);
        client.send(&io, slices(&io, b"last"), false).await.expect("a send");
        assert_eq!(receive_exactly(&io, &server, 4).await, b"last");
    });
}
