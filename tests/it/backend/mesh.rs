//! Cases about several reactors of one process.

use core::time::Duration;
use std::cell::RefCell;

use flumen::base::block::Use;
use flumen::io::file::File;
use flumen::io::op::OpenMode;
use flumen::io::socket::{Accepted, Listener, Socket};

use super::sockets::{listen, receive_all};
use super::{Harness, pattern, slices};

/// Far more than one ring of the mesh holds.
const FLOOD: u64 = 5000;

pub fn messages_keep_their_order(harness: impl Harness) {
    harness.many(2, |io, mesh| async move {
        if io.reactor_id() == 0 {
            for number in 0..500u64 {
                mesh.send(1, number);
                if number % 7 == 0 {
                    io.yield_now().await;
                }
            }
            assert_eq!(mesh.receive().await, (1, 500));
        } else {
            for number in 0..500 {
                assert_eq!(mesh.receive().await, (0, number));
            }
            mesh.send(0, 500);
        }
    });
}

pub fn a_full_ring_loses_nothing(harness: impl Harness) {
    harness.many(2, |io, mesh| async move {
        if io.reactor_id() == 0 {
            for number in 0..FLOOD {
                mesh.send(1, number);
            }
            assert!(mesh.backlog() > 0, "more than the ring holds");
            for number in FLOOD..FLOOD + 100 {
                io.sleep(Duration::from_micros(300)).await;
                mesh.send(1, number);
            }
            assert_eq!(mesh.receive().await, (1, u64::MAX));
            assert_eq!(mesh.backlog(), 0);
        } else {
            io.sleep(Duration::from_millis(50)).await;
            for number in 0..FLOOD + 100 {
                assert_eq!(mesh.receive().await, (0, number));
            }
            mesh.send(0, u64::MAX);
        }
    });
}

pub fn a_message_wakes_a_sleeping_reactor(harness: impl Harness) {
    let turns = harness.many(2, |io, mesh| async move {
        for round in 0..200u64 {
            if io.reactor_id() == 0 {
                if round % 50 == 0 {
                    // Long enough for the other side to fall asleep without a deadline.
                    io.sleep(Duration::from_millis(20)).await;
                }
                mesh.send(1, round);
                assert_eq!(mesh.receive().await, (1, round));
            } else {
                assert_eq!(mesh.receive().await, (0, round));
                mesh.send(0, round);
            }
        }
        io.counters().turns
    });
    assert!(turns.iter().all(|turns| *turns < 10_000), "they sleep while they wait: {turns:?}");
}

pub fn everybody_talks_to_everybody(harness: impl Harness) {
    const REACTORS: u16 = 3;
    const EACH: u64 = 3000;
    harness.many(usize::from(REACTORS), |io, mesh| async move {
        let me = io.reactor_id();
        let others = || (0..REACTORS).filter(|other| *other != me);
        for number in 0..EACH {
            for other in others() {
                mesh.send(other, number);
            }
            if number % 100 == 0 {
                io.yield_now().await;
            }
        }
        let mut next = [0; REACTORS as usize];
        let mut done = 0;
        // After EACH numbers from each other reactor, and a last word from each that it has got mine.
        while done < usize::from(REACTORS) - 1 {
            let (from, number) = mesh.receive().await;
            let next = &mut next[usize::from(from)];
            assert_eq!(number, *next);
            *next += 1;
            match *next {
                EACH => mesh.send(from, EACH),
                next if next > EACH => done += 1,
                _ => {}
            }
        }
        while mesh.backlog() > 0 {
            io.sleep(Duration::from_millis(1)).await;
        }
        // The others may still be taking what was sent last.
        io.sleep(Duration::from_millis(50)).await;
    });
}

pub fn a_connection_moves_to_another_reactor(harness: impl Harness) {
    harness.many(2, |io, mesh| async move {
        if io.reactor_id() == 0 {
            let mut listener: Listener = listen(&io).await;
            let address = listener.address().expect("a TCP listener");
            let client = Socket::connect(&io, address).await.expect("a connection");
            let accepted: Accepted = listener.accept(&io).await.expect("a connection");
            mesh.send(1, accepted);
            client.send(&io, slices(&io, &pattern(0, 100_000)), false).await.expect("a send");
            assert!(receive_all(&io, &client).await == pattern(0, 100_000));
        } else {
            let (_, accepted) = mesh.receive().await;
            let socket = Socket::adopt(&io, &accepted);
            let mut echoed = 0;
            while echoed < 100_000 {
                let block = io.pool().try_block(10_000, Use::Receive).expect("memory");
                let (block, count) = socket.receive_into(&io, block, 0, 10_000, true).await;
                let count = count.expect("a receive") as usize;
                socket.send(&io, [block.into_slice(count)].into_iter().collect(), false).await.expect("a send");
                echoed += count;
            }
        }
    });
}

pub fn a_file_is_closed_by_its_last_holder(harness: impl Harness) {
    let path = harness.scratch().join("file");
    harness.many(2, move |io, mesh| {
        let path = path.clone();
        async move {
            if io.reactor_id() == 0 {
                let mode = OpenMode { write: true, create: true, ..OpenMode::default() };
                let file = File::open(&io, &path, mode).await.expect("a new file");
                file.write_at(&io, 0, slices(&io, b"shared"), false).await.expect("a write");
                let held = RefCell::new(Some(file.clone()));
                mesh.send(1, file);
                drop(held.borrow_mut().take());
                let (_, back) = mesh.receive().await;
                drop(back);
            } else {
                let (_, file) = mesh.receive().await;
                io.sleep(Duration::from_millis(5)).await;
                let block = io.pool().try_block(100, Use::Read).expect("memory");
                let (block, count) = file.read_at(&io, 0, block, 100).await;
                assert_eq!(&block[..count.expect("a read") as usize], b"shared");
                mesh.send(0, file.clone());
                drop(file);
                io.sleep(Duration::from_millis(5)).await;
            }
        }
    });
}
