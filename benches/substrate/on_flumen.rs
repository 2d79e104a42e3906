//! The jobs on `flumen::io`.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Instant;

use flumen::base::block::{Block, Pool, Use};
use flumen::io::file::File;
use flumen::io::op::{ListenAddress, OpenMode, Slices};
use flumen::io::reactor::Reactor;
use flumen::io::socket::{Listener, Received, Socket};
use flumen::io::uring::{RingTable, UringBackend};
use flumen::io::{Handle, Ipv4Addr, SocketAddr};

use crate::append::{self, Filling, GROUP_BYTES, PRODUCERS, WRITES};
use crate::{MEASURED, Sample, WARM_UP, processor};

/// Runs one reactor on this thread.
pub fn reactor<T: 'static, F: Future<Output = T> + 'static>(pool: &Pool, main: impl FnOnce(Handle) -> F) -> T {
    let backend = UringBackend::new(0, &RingTable::new(1), pool).expect("a ring");
    let reactor = Reactor::new(0, Box::new(backend), pool.clone());
    let handle = reactor.handle();
    reactor.run(main(handle))
}

/// Prints its port and echoes until killed.
pub fn echo() {
    reactor(&Pool::new(64 << 20), |io| async move {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut listener = Listener::listen(&io, ListenAddress::Tcp(address), 128).await.expect("a listener");
        println!("{}", listener.address().expect("a TCP listener").port());
        loop {
            let accepted = listener.accept(&io).await.expect("a connection");
            let (task_io, socket) = (io.clone(), Socket::adopt(&io, &accepted));
            io.spawn(async move {
                let mut chunks = socket.chunks(&task_io);
                while let Ok(Received::Chunk(chunk)) = chunks.next().await {
                    if socket.send(&task_io, Slices::from_iter([chunk]), false).await.is_err() {
                        break;
                    }
                }
            });
        }
    })
}

type Shared = Rc<RefCell<Filling<Block>>>;

async fn produce(io: Handle, shared: Shared, bytes: usize, appended: Rc<Cell<u64>>) {
    let batch = vec![7u8; bytes];
    loop {
        let make = || io.pool().try_block(GROUP_BYTES, Use::Tail).expect("memory for a group");
        let outcome = shared.borrow_mut().append(&batch, make, |block| block);
        match outcome {
            Ok(durable) => {
                durable.await;
                appended.set(appended.get() + 1);
            }
            Err(room) => drop(room.await),
        }
    }
}

async fn write(io: Handle, shared: Shared, file: File) {
    loop {
        let taken = shared.borrow_mut().take();
        match taken {
            Ok((group, at)) => {
                let bytes = Slices::from_iter([group.buffer.into_slice(group.bytes)]);
                file.write_at(&io, at, bytes, true).await.expect("a durable write");
                for producer in group.producers {
                    producer.send(());
                }
            }
            Err(group) => drop(group.await),
        }
        // What the producers of this turn append goes into one group.
        io.turn_end().await;
    }
}

/// Appends for the time of a measurement.
pub fn append(bytes: usize) -> Sample {
    reactor(&Pool::new(64 << 20), move |io| async move {
        let mode = OpenMode { write: true, direct: true, ..OpenMode::default() };
        let file = File::open(&io, &append::path(), mode).await.expect("the prepared file");
        let (shared, appended) = (Shared::default(), Rc::new(Cell::new(0)));
        for _ in 0..WRITES {
            io.spawn(write(io.clone(), Rc::clone(&shared), file.clone()));
        }
        for _ in 0..PRODUCERS {
            io.spawn(produce(io.clone(), Rc::clone(&shared), bytes, Rc::clone(&appended)));
        }
        io.sleep(WARM_UP).await;
        let clock = processor::own_clock();
        #[allow(clippy::disallowed_methods, reason = "the wall time of a measurement")]
        let started = (Instant::now(), clock.now(), appended.get());
        io.sleep(MEASURED).await;
        Sample { requests: appended.get() - started.2, server_cpu: clock.now() - started.1, wall: started.0.elapsed() }
    })
}
