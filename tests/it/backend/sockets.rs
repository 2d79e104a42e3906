//! Cases about listeners, connections and sending.

use core::time::Duration;
use std::cell::Cell;
use std::rc::Rc;

use flumen::base::block::Use;
use flumen::io::file::{self, File};
use flumen::io::op::{ListenAddress, Op, OpenMode, Slices, errno};
use flumen::io::socket::{Listener, Received, Socket};
use flumen::io::{ErrorKind, Handle, Ipv4Addr, SocketAddr};

use super::{Harness, pattern, slice, slices, start};

/// More than the buffers of a connection hold on either side.
const MORE_THAN_BUFFERS: usize = 64 << 20;
const MEBIBYTE: usize = 1 << 20;

pub async fn listen(io: &Handle) -> Listener {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Listener::listen(io, ListenAddress::Tcp(address), 128).await.expect("a listener")
}

/// Both ends of a connection.
pub async fn pair(io: &Handle) -> (Socket, Socket) {
    let mut listener = listen(io).await;
    let client = Socket::connect(io, listener.address().expect("a TCP listener")).await.expect("a connection");
    let accepted = listener.accept(io).await.expect("a connection");
    (client, Socket::adopt(io, &accepted))
}

/// Everything until the peer closes.
pub async fn receive_all(io: &Handle, socket: &Socket) -> Vec<u8> {
    let (mut content, mut chunks) = (Vec::new(), socket.chunks(io));
    loop {
        match chunks.next().await.expect("a receive") {
            Received::Chunk(chunk) => content.extend_from_slice(&chunk),
            Received::Closed => return content,
            Received::NoMemory => chunks = socket.chunks(io),
            Received::Stopped => panic!("nobody stopped it"),
        }
    }
}

/// Exactly `bytes` bytes.
pub async fn receive_exactly(io: &Handle, socket: &Socket, bytes: usize) -> Vec<u8> {
    let block = io.pool().block_unlimited(bytes, Use::Receive).expect("memory for a test");
    let (block, count) = socket.receive_into(io, block, 0, bytes as u32, true).await;
    assert_eq!(count.expect("a receive") as usize, bytes);
    block[..bytes].to_vec()
}

pub fn a_listener_takes_a_free_port(harness: impl Harness) {
    harness.one(|io| async move {
        let mut listener = listen(&io).await;
        let address = listener.address().expect("a TCP listener");
        assert_ne!(address.port(), 0);
        assert_eq!(address.ip(), Ipv4Addr::LOCALHOST);
        let client = Socket::connect(&io, address).await.expect("a connection");
        let accepted = listener.accept(&io).await.expect("a connection");
        assert_eq!(accepted.local, Some(address));
        let peer = accepted.peer.expect("a TCP peer");
        assert_eq!(peer.ip(), Ipv4Addr::LOCALHOST);
        assert_ne!(peer.port(), address.port());
        drop(client);
        assert!(receive_all(&io, &Socket::adopt(&io, &accepted)).await.is_empty());
    });
}

pub fn an_echo_over_one_connection(harness: impl Harness) {
    harness.one(|io| async move {
        let (client, server) = pair(&io).await;
        let server_io = io.clone();
        let echo = start(&io, async move {
            let mut chunks = server.chunks(&server_io);
            while let Received::Chunk(chunk) = chunks.next().await.expect("a receive") {
                server.send(&server_io, Slices::from_iter([chunk]), false).await.expect("a send");
            }
        });
        for round in 0..200 {
            let request = pattern(round * 1000, 1 + round * 37);
            client.send(&io, slices(&io, &request), false).await.expect("a send");
            assert!(receive_exactly(&io, &client, request.len()).await == request);
        }
        client.shutdown(&io);
        echo.await.expect("the server saw the end");
    });
}

pub fn a_hundred_connections(harness: impl Harness) {
    harness.one(|io| async move {
        let mut listener = listen(&io).await;
        let address = listener.address().expect("a TCP listener");
        let mut clients = Vec::new();
        for number in 0..100usize {
            let client_io = io.clone();
            clients.push(start(&io, async move {
                let client = Socket::connect(&client_io, address).await.expect("a connection");
                client.send(&client_io, slices(&client_io, &[number as u8; 100]), false).await.expect("a send");
                assert_eq!(receive_exactly(&client_io, &client, 100).await, [number as u8; 100]);
            }));
        }
        for _ in 0..100 {
            let accepted = listener.accept(&io).await.expect("a connection");
            let socket = Socket::adopt(&io, &accepted);
            let task_io = io.clone();
            io.spawn(async move {
                let request = receive_exactly(&task_io, &socket, 100).await;
                socket.send(&task_io, slices(&task_io, &request), false).await.expect("a send");
            });
        }
        for client in clients {
            client.await.expect("it got its reply");
        }
    });
}

pub fn a_taken_port_is_refused(harness: impl Harness) {
    harness.one(|io| async move {
        let listener = listen(&io).await;
        let address = ListenAddress::Tcp(listener.address().expect("a TCP listener"));
        let error = Listener::listen(&io, address, 16).await.map(drop).expect_err("taken");
        assert_eq!(error.raw_os_error(), Some(errno::EADDRINUSE));
    });
}

pub fn nobody_listens(harness: impl Harness) {
    harness.one(|io| async move {
        let listener = listen(&io).await;
        let address = listener.address().expect("a TCP listener");
        drop(listener);
        io.sleep(Duration::from_millis(20)).await;
        let error = Socket::connect(&io, address).await.map(drop).expect_err("nobody listens");
        assert_eq!(error.raw_os_error(), Some(errno::ECONNREFUSED));
    });
}

pub fn a_reset_is_an_error(harness: impl Harness) {
    harness.one(|io| async move {
        let (client, server) = pair(&io).await;
        client.send(&io, slices(&io, b"never read"), false).await.expect("a send");
        io.sleep(Duration::from_millis(20)).await;
        drop(server);
        io.sleep(Duration::from_millis(20)).await;
        let mut sends = 0;
        let error = loop {
            sends += 1;
            assert!(sends < 100, "sends to a closed peer fail in the end");
            if let Err(error) = client.send(&io, slices(&io, b"more"), false).await {
                break error;
            }
            io.sleep(Duration::from_millis(1)).await;
        };
        assert!(matches!(error.raw_os_error(), Some(errno::ECONNRESET | errno::EPIPE)), "{error}");
    });
}

/// Sends `MORE_THAN_BUFFERS` bytes of the test stream's first mebibyte, over and over.
async fn send_flood(io: &Handle, socket: &Socket) {
    let chunk = slice(io, &pattern(0, MEBIBYTE));
    for _ in 0..MORE_THAN_BUFFERS / MEBIBYTE {
        socket.send(io, Slices::from_iter([chunk.clone()]), false).await.expect("a send");
    }
}

/// Receives what [`send_flood`] sends.
async fn drain_flood(io: &Handle, socket: &Socket) {
    let expected = pattern(0, MEBIBYTE);
    for _ in 0..MORE_THAN_BUFFERS / MEBIBYTE {
        assert!(receive_exactly(io, socket, MEBIBYTE).await == expected);
    }
}

pub fn a_stalled_reader_holds_the_sender_back(harness: impl Harness) {
    harness.one(|io| async move {
        let (client, server) = pair(&io).await;
        let sent = Rc::new(Cell::new(false));
        let (task_io, task_sent) = (io.clone(), Rc::clone(&sent));
        let sender = start(&io, async move {
            send_flood(&task_io, &client).await;
            task_sent.set(true);
        });
        io.sleep(Duration::from_millis(100)).await;
        assert!(!sent.get(), "nobody reads yet");
        drain_flood(&io, &server).await;
        sender.await.expect("all was sent");
        assert!(receive_all(&io, &server).await.is_empty());
    });
}

pub fn scattered_sends_arrive_in_order(harness: impl Harness) {
    harness.one(|io| async move {
        let (client, server) = pair(&io).await;
        let task_io = io.clone();
        let sender = start(&io, async move {
            let mut at = 0;
            for round in 0..40 {
                let mut parts = Slices::new();
                for part in 0..1 + round % 17 {
                    let bytes = 1 + (round * 7919 + part * 104_729) % 50_000;
                    parts.push(slice(&task_io, &pattern(at, bytes)));
                    at += bytes;
                }
                client.send(&task_io, parts, round % 3 == 0).await.expect("a send");
            }
            at
        });
        let received = receive_all(&io, &server).await;
        let sent = sender.await.expect("all was sent");
        assert!(received == pattern(0, sent));
    });
}

/// Large sends may have to wait for their turn: each that is not given up arrives whole, and one that is given up before its turn
/// touches no connection that has its descriptor's number afterwards.
pub fn large_sends_that_are_given_up_leave_the_others_alone(harness: impl Harness) {
    const CONNECTIONS: usize = 24;
    const BYTES: usize = 300 << 10;
    harness.one(|io| async move {
        for round in 0..3 {
            let mut pairs = Vec::new();
            for _ in 0..CONNECTIONS {
                pairs.push(pair(&io).await);
            }
            // All begin in one turn. Of every third one the future is dropped in that turn, and its connection closed.
            let (mut receivers, mut kept) = (Vec::new(), Vec::new());
            for (number, (client, server)) in pairs.into_iter().enumerate() {
                let content = pattern(round * 100 + number, BYTES);
                let (sender_io, sent) = (io.clone(), slices(&io, &content));
                let mut send = Box::pin(async move { server.send(&sender_io, sent, false).await });
                std::future::poll_fn(|context| {
                    assert!(send.as_mut().poll(context).is_pending());
                    std::task::Poll::Ready(())
                })
                .await;
                if number % 3 == 2 {
                    kept.push(send);
                    receivers.push((client, None));
                } else {
                    let send = start(&io, async move { send.await.expect("a send") });
                    receivers.push((client, Some((send, content))));
                }
            }
            drop(kept);
            // These may have the numbers of those that were closed.
            let (other, peer) = pair(&io).await;
            peer.send(&io, slices(&io, b"hello"), false).await.expect("a send");
            assert_eq!(receive_exactly(&io, &other, 5).await, b"hello");
            for (client, sent) in receivers {
                let received = receive_all(&io, &client).await;
                match sent {
                    Some((send, content)) => {
                        send.await;
                        assert!(received == content);
                    }
                    None => assert!(received.len() <= BYTES),
                }
            }
            drop(peer);
            assert!(receive_all(&io, &other).await.is_empty(), "nothing but what was sent to it");
        }
    });
}

async fn file_of(io: &Handle, path: &std::path::Path, content: &[u8]) -> File {
    let mode = OpenMode { write: true, create: true, ..OpenMode::default() };
    let file = File::open(io, path, mode).await.expect("a new file");
    file::append_copied(io, &file, 0, content).await.expect("a write");
    file
}

pub fn a_file_is_sent_whole_and_in_part(harness: impl Harness) {
    let path = harness.scratch().join("file");
    harness.one(move |io| async move {
        let content = pattern(0, 3_000_000);
        let file = file_of(&io, &path, &content).await;
        let (client, server) = pair(&io).await;
        let task_io = io.clone();
        let sender = start(&io, async move {
            server.send(&task_io, slices(&task_io, b"header"), true).await.expect("a send");
            server.send_file(&task_io, &file, 0, 3_000_000, true).await.expect("the whole file");
            server.send(&task_io, slices(&task_io, b"middle"), true).await.expect("a send");
            server.send_file(&task_io, &file, 1_234_567, 4321, false).await.expect("a part of it");
        });
        let received = receive_all(&io, &client).await;
        sender.await.expect("all was sent");
        assert!(received == [b"header", &content[..], b"middle", &content[1_234_567..1_238_888]].concat());
    });
}

pub fn a_stalled_reader_does_not_stall_the_sender_of_a_file(harness: impl Harness) {
    let path = harness.scratch().join("file");
    harness.one(move |io| async move {
        let content = pattern(0, MEBIBYTE);
        let file = file_of(&io, &path, &content).await;
        let (client, server) = pair(&io).await;
        let sent = Rc::new(Cell::new(false));
        let (task_io, task_sent) = (io.clone(), Rc::clone(&sent));
        let sender = start(&io, async move {
            for _ in 0..MORE_THAN_BUFFERS / MEBIBYTE {
                server.send_file(&task_io, &file, 0, MEBIBYTE as u32, false).await.expect("the file");
            }
            task_sent.set(true);
        });
        // The reactor lives on: timers and other connections do.
        io.sleep(Duration::from_millis(100)).await;
        let (other, end) = pair(&io).await;
        other.send(&io, slices(&io, b"hello"), false).await.expect("a send");
        assert_eq!(receive_exactly(&io, &end, 5).await, b"hello");
        assert!(!sent.get(), "nobody reads yet");
        drain_flood(&io, &client).await;
        sender.await.expect("all was sent");
    });
}

pub fn a_file_is_not_sent_beyond_its_end(harness: impl Harness) {
    let path = harness.scratch().join("file");
    harness.one(move |io| async move {
        let file = file_of(&io, &path, &pattern(0, 5000)).await;
        let (client, server) = pair(&io).await;
        let error = server.send_file(&io, &file, 4000, 2000, false).await.expect_err("only 1000 are there");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        drop(server);
        assert_eq!(receive_all(&io, &client).await, pattern(4000, 1000));
    });
}

pub fn unix_sockets_listen(harness: impl Harness) {
    let path = harness.scratch().join("socket");
    harness.one(move |io| async move {
        let Some(reply) = harness.unix_exchange(path.clone(), b"hello".to_vec()) else { return };
        // The second listener replaces the stale file of the first.
        let first = Listener::listen(&io, ListenAddress::Unix(path.clone()), 16).await.expect("a listener");
        drop(first);
        io.sleep(Duration::from_millis(20)).await;
        let mut listener = Listener::listen(&io, ListenAddress::Unix(path.clone()), 16).await.expect("a listener");
        assert_eq!(listener.address(), None);
        loop {
            let accepted = listener.accept(&io).await.expect("a connection");
            assert_eq!((accepted.peer, accepted.local), (None, None));
            let socket = Socket::adopt(&io, &accepted);
            let block = io.pool().try_block(5, Use::Receive).expect("memory");
            let (block, count) = socket.receive_into(&io, block, 0, 5, true).await;
            if count.expect("a receive") == 5 {
                assert_eq!(&block[..5], b"hello");
                socket.send(&io, slices(&io, b"world"), false).await.expect("a send");
                break;
            }
        }
        let mut tries = 0;
        let reply = loop {
            match reply.try_recv() {
                Ok(reply) => break reply,
                Err(_) => io.sleep(Duration::from_millis(5)).await,
            }
            tries += 1;
            assert!(tries < 2000, "the reply arrives");
        };
        assert_eq!(reply, b"world");
    });
}

pub fn a_dropped_listener_frees_its_port(harness: impl Harness) {
    harness.one(|io| async move {
        let listener = listen(&io).await;
        let address = listener.address().expect("a TCP listener");
        drop(listener);
        io.sleep(Duration::from_millis(20)).await;
        let again = Listener::listen(&io, ListenAddress::Tcp(address), 16).await.expect("the port is free");
        assert_eq!(again.address(), Some(address));
    });
}

/// Whether the peer closes or resets, as it does when nobody serves the connection.
async fn ends(io: &Handle, socket: &Socket) {
    let mut chunks = socket.chunks(io);
    match chunks.next().await {
        Ok(Received::Closed) => {}
        Err(error) => assert_eq!(error.raw_os_error(), Some(errno::ECONNRESET)),
        Ok(other) => panic!("the end, not {other:?}"),
    }
}

pub fn connections_nobody_took_are_closed(harness: impl Harness) {
    harness.one(|io| async move {
        let listener = listen(&io).await;
        let address = listener.address().expect("a TCP listener");
        let mut clients = Vec::new();
        for _ in 0..10 {
            clients.push(Socket::connect(&io, address).await.expect("a connection"));
        }
        io.sleep(Duration::from_millis(20)).await;
        drop(listener);
        for client in &clients {
            ends(&io, client).await;
        }
    });
}

pub fn an_abandoned_connect_is_closed(harness: impl Harness) {
    harness.one(|io| async move {
        let mut listener = listen(&io).await;
        let address = listener.address().expect("a TCP listener");
        for wait in [false, true] {
            let connect = io.submit(Op::Connect { address });
            if wait {
                io.sleep(Duration::from_millis(20)).await;
            } else {
                io.yield_now().await;
            }
            drop(connect);
            // Whether it was refused in time or made and closed, nothing of it stays.
            let probe = Socket::connect(&io, address).await.expect("a connection");
            probe.send(&io, slices(&io, b"probe"), false).await.expect("a send");
            loop {
                let accepted = listener.accept(&io).await.expect("a connection");
                let socket = Socket::adopt(&io, &accepted);
                let mut chunks = socket.chunks(&io);
                match chunks.next().await {
                    Ok(Received::Chunk(chunk)) => {
                        assert!(b"probe".starts_with(&chunk), "at least the first byte of it, which may come alone");
                        break;
                    }
                    Ok(Received::Closed) => {}
                    Err(error) => assert_eq!(error.raw_os_error(), Some(errno::ECONNRESET)),
                    Ok(other) => panic!("bytes or the end, not {other:?}"),
                }
            }
        }
    });
}
