//! The jobs on glommio, as its documentation would have them written.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::io::{DmaBuffer, DmaFile, OpenOptions};
use glommio::net::TcpListener;
use glommio::{LocalExecutorBuilder, Placement};

use crate::append::{self, Filling, GROUP_BYTES, PRODUCERS, WRITES};
use crate::{MEASURED, SERVER_CORE, Sample, WARM_UP, processor};

fn executor() -> glommio::LocalExecutor {
    LocalExecutorBuilder::new(Placement::Fixed(SERVER_CORE)).make().expect("an executor")
}

/// Prints its port and echoes until killed.
pub fn echo() {
    executor().run(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        println!("{}", listener.local_addr().expect("bound").port());
        loop {
            let mut stream = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("an option");
            glommio::spawn_local(async move {
                let mut buffer = vec![0; 16 << 10];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..count]).await.is_err() {
                        break;
                    }
                }
            })
            .detach();
        }
    })
}

type Shared = Rc<RefCell<Filling<DmaBuffer>>>;

async fn produce(file: Rc<DmaFile>, shared: Shared, bytes: usize, appended: Rc<Cell<u64>>) {
    let batch = vec![7u8; bytes];
    loop {
        let make = || file.alloc_dma_buffer(GROUP_BYTES);
        let outcome = shared.borrow_mut().append(&batch, make, |buffer| buffer.as_bytes_mut());
        match outcome {
            Ok(durable) => {
                durable.await;
                appended.set(appended.get() + 1);
            }
            Err(room) => drop(room.await),
        }
    }
}

async fn write(file: Rc<DmaFile>, shared: Shared) {
    loop {
        let taken = shared.borrow_mut().take();
        match taken {
            Ok((mut group, at)) => {
                group.buffer.trim_to_size(group.bytes);
                let written = file.write_at(group.buffer, at).await.expect("a durable write");
                assert_eq!(written, group.bytes);
                for producer in group.producers {
                    producer.send(());
                }
            }
            Err(group) => drop(group.await),
        }
        // What the producers append now goes into one group.
        glommio::yield_if_needed().await;
        futures_lite::future::yield_now().await;
    }
}

/// Appends for the time of a measurement.
pub fn append(bytes: usize) -> Sample {
    executor().run(async move {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_DSYNC);
        let file = Rc::new(options.dma_open(append::path()).await.expect("the prepared file"));
        let (shared, appended) = (Shared::default(), Rc::new(Cell::new(0)));
        for _ in 0..WRITES {
            glommio::spawn_local(write(Rc::clone(&file), Rc::clone(&shared))).detach();
        }
        for _ in 0..PRODUCERS {
            glommio::spawn_local(produce(Rc::clone(&file), Rc::clone(&shared), bytes, Rc::clone(&appended))).detach();
        }
        glommio::timer::sleep(WARM_UP).await;
        let clock = processor::own_clock();
        #[allow(clippy::disallowed_methods, reason = "the wall time of a measurement")]
        let started = (Instant::now(), clock.now(), appended.get());
        glommio::timer::sleep(MEASURED).await;
        Sample { requests: appended.get() - started.2, server_cpu: clock.now() - started.1, wall: started.0.elapsed() }
    })
}
