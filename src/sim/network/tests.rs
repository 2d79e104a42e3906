use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use crate::base::block::Use;
use crate::base::time::Duration;
use crate::io::op::{Fd, ListenAddress, Op, Payload, Slices, errno};
use crate::io::{Handle, Ipv4Addr, SocketAddr};
use crate::sim::config::{Config, MachineConfig, ProcessConfig};
use crate::sim::world::World;

const LONG: Duration = Duration::from_secs(3600);
const PORT: u16 = 9092;

/// Runs `main` alone in a world with full counts, and returns what it returned.
fn run<T: 'static, F>(config: ProcessConfig, main: impl Fn(Handle) -> F + 'static) -> T
where
    F: Future<Output = T> + 'static,
{
    let mut world = World::with(7, Config { short_counts_one_in: 0, ..Config::default() });
    let machine = world.machine(&MachineConfig::default());
    let result: Rc<RefCell<Option<T>>> = Rc::default();
    let (kept, main) = (Rc::clone(&result), Rc::new(main));
    let process = world.process::<(), _>(machine, config, move |io, _| {
        let (kept, main) = (Rc::clone(&kept), Rc::clone(&main));
        async move {
            let value = main(io).await;
            *kept.borrow_mut() = Some(value);
        }
    });
    assert!(world.run_until(LONG, |world| !world.is_running(process)));
    world.run_for(Duration::from_secs(1));
    assert_eq!((world.sockets(), world.descriptors(process)), (0, 0), "the end of a process closes everything");
    let result = result.borrow_mut().take();
    result.expect("it ran to its end")
}

fn slices(io: &Handle, content: &[u8]) -> Slices {
    let mut block = io.pool().block_unlimited(content.len(), Use::Reply).expect("memory for a test");
    block[..content.len()].copy_from_slice(content);
    Slices::from_iter([block.into_slice(content.len())])
}

async fn listen(io: &Handle, backlog: u32) -> Fd {
    let address = ListenAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
    Fd(io.submit(Op::Listen { address, backlog }).await.result)
}

async fn connect(io: &Handle) -> i32 {
    io.submit(Op::Connect { address: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)) }).await.result
}

async fn pair(io: &Handle) -> (Fd, Fd) {
    let listener = listen(io, 10).await;
    let mut accepts = io.submit_stream(Op::Accept { fd: listener });
    let client = Fd(connect(io).await);
    let server = Fd(accepts.next().await.expect("a connection").result);
    (client, server)
}

async fn send(io: &Handle, fd: Fd, content: &[u8], more: bool) -> i32 {
    io.submit(Op::Send { fd, bytes: slices(io, content), more }).await.result
}

async fn receive(io: &Handle, fd: Fd, bytes: u32, all: bool) -> (i32, Vec<u8>) {
    let into = io.pool().block_unlimited(bytes as usize, Use::Receive).expect("memory for a test");
    let completion = io.submit(Op::ReceiveInto { fd, into, start: 0, bytes, all }).await;
    let Payload::Block(block) = completion.payload else { panic!("the block comes back") };
    (completion.result, block[..completion.result.max(0) as usize].to_vec())
}

async fn close(io: &Handle, fd: Fd) {
    assert_eq!(io.submit(Op::Close { fd }).await.result, 0);
}

#[test]
fn bytes_left_unread_make_a_close_a_reset_which_is_told_once() {
    run(ProcessConfig::default(), |io| async move {
        let (client, server) = pair(&io).await;
        assert_eq!(send(&io, client, b"question", false).await, 8);
        assert_eq!(send(&io, server, b"unasked", false).await, 7);
        io.sleep(Duration::from_millis(5)).await;
        close(&io, server).await;
        io.sleep(Duration::from_millis(5)).await;
        assert_eq!(receive(&io, client, 100, false).await, (7, b"unasked".to_vec()), "what had arrived is there");
        assert_eq!(receive(&io, client, 100, false).await.0, -errno::ECONNRESET);
        assert_eq!(receive(&io, client, 100, false).await.0, 0);
        assert_eq!(send(&io, client, b"more", false).await, -errno::EPIPE);
    });
}

#[test]
fn sending_to_a_closed_peer_is_reset_a_moment_later() {
    run(ProcessConfig::default(), |io| async move {
        let (client, server) = pair(&io).await;
        close(&io, server).await;
        assert_eq!(receive(&io, client, 100, false).await.0, 0, "the peer has closed");
        assert_eq!(send(&io, client, b"into the void", false).await, 13);
        io.sleep(Duration::from_millis(5)).await;
        assert_eq!(send(&io, client, b"again", false).await, -errno::EPIPE);
    });
}

#[test]
fn a_cork_holds_small_sends_back_until_more_comes_or_it_gives_up() {
    run(ProcessConfig::default(), |io| async move {
        let (client, server) = pair(&io).await;
        for (push, at_least, at_most) in [(true, 10, 20), (false, 200, 210)] {
            let started = io.now();
            assert_eq!(send(&io, client, b"first", true).await, 5);
            let task_io = io.clone();
            io.spawn(async move {
                task_io.sleep(Duration::from_millis(10)).await;
                if push {
                    assert_eq!(send(&task_io, client, b"second", false).await, 6);
                }
            });
            assert_eq!(receive(&io, server, 5, true).await.1, b"first");
            let waited = io.now().since(started).as_millis();
            assert!((at_least..=at_most).contains(&waited), "{waited} ms");
            if push {
                assert_eq!(receive(&io, server, 6, true).await.1, b"second");
            }
        }
    });
}

#[test]
fn a_full_backlog_makes_connects_wait() {
    run(ProcessConfig::default(), |io| async move {
        let listener = listen(&io, 2).await;
        for _ in 0..2 {
            assert!(connect(&io).await >= 0);
        }
        let started = io.now();
        let task_io = io.clone();
        io.spawn(async move {
            task_io.sleep(Duration::from_millis(1500)).await;
            let mut accepts = task_io.submit_stream(Op::Accept { fd: listener });
            assert!(accepts.next().await.expect("a connection").result >= 0);
            task_io.sleep(LONG).await;
        });
        assert!(connect(&io).await >= 0);
        assert_eq!(io.now().since(started).as_secs(), 3, "sent again after one and then two seconds");
    });
}

#[test]
fn descriptors_run_out_and_come_back() {
    run(ProcessConfig { descriptors_max: 4, ..ProcessConfig::default() }, |io| async move {
        let listener = listen(&io, 10).await;
        let client = Fd(connect(&io).await);
        assert!(connect(&io).await >= 0 && connect(&io).await >= 0);
        assert_eq!(connect(&io).await, -errno::EMFILE);
        let mut accepts = io.submit_stream(Op::Accept { fd: listener });
        let refused = accepts.next().await.expect("an error");
        assert_eq!((refused.result, refused.more), (-errno::EMFILE, false));
        close(&io, client).await;
        let mut accepts = io.submit_stream(Op::Accept { fd: listener });
        assert_eq!(accepts.next().await.expect("a connection").result, client.0, "the lowest free number is next");
    });
}

#[test]
fn buffers_bound_what_is_under_way() {
    let sent = run(ProcessConfig::default(), |io| async move {
        let (client, _server) = pair(&io).await;
        let mut sent = 0;
        loop {
            let flood = io.submit(Op::Send { fd: client, bytes: slices(&io, &[1; 100_000]), more: false });
            let task_io = io.clone();
            let timeout = async move { task_io.sleep(Duration::from_secs(1)).await };
            match first_of(flood, timeout).await {
                Some(completion) => sent += completion.result as usize,
                None => return sent,
            }
        }
    });
    let buffers = Config::default().network.send_buffer_bytes + Config::default().network.receive_buffer_bytes;
    assert!((buffers / 2..=buffers).contains(&sent), "{sent} bytes of {buffers}");
}

/// What `wanted` resolves to, unless `limit` is over first.
async fn first_of<T>(wanted: impl Future<Output = T>, limit: impl Future<Output = ()>) -> Option<T> {
    let (mut wanted, mut limit) = (Box::pin(wanted), Box::pin(limit));
    std::future::poll_fn(|context| match wanted.as_mut().poll(context) {
        std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
        std::task::Poll::Pending => limit.as_mut().poll(context).map(|()| None),
    })
    .await
}

#[test]
fn operations_on_the_wrong_kind_of_descriptor_are_refused() {
    run(ProcessConfig::default(), |io| async move {
        let listener = listen(&io, 10).await;
        let mode = crate::io::op::OpenMode { write: true, create: true, ..Default::default() };
        let file = Fd(io.submit(Op::Open { path: "/file".into(), mode }).await.result);
        assert!(receive(&io, listener, 10, false).await.0 < 0);
        assert_eq!(send(&io, file, b"x", false).await, -crate::sim::errors::ENOTSOCK);
        assert_eq!(receive(&io, Fd(1000), 10, false).await.0, -errno::EBADF);
        assert_eq!(io.submit(Op::Accept { fd: file }).await.result, -crate::sim::errors::ENOTSOCK);
        assert_eq!(io.submit(Op::Sync { fd: listener, data_only: true }).await.result, -errno::EINVAL);
        assert_eq!(io.submit(Op::Close { fd: Fd(0) }).await.result, -errno::EBADF);
        let taken = listen(&io, 10).await;
        assert_eq!(taken.0, -errno::EADDRINUSE);
    });
}

#[test]
fn what_waits_on_a_closed_descriptor_keeps_its_socket() {
    run(ProcessConfig::default(), |io| async move {
        let (client, server) = pair(&io).await;
        let mut chunks = io.submit_stream(Op::Receive { fd: server });
        close(&io, server).await;
        assert_eq!(send(&io, client, b"still read", false).await, 10);
        let chunk = chunks.next().await.expect("a chunk");
        assert!(matches!(&chunk.payload, Payload::Chunk(chunk) if **chunk == *b"still read"));
        let end = Box::pin(receive(&io, client, 100, false));
        assert!(first_of(end, io.sleep(Duration::from_secs(10))).await.is_none(), "the peer sees no end");
        drop(chunks);
        assert_eq!(receive(&io, client, 100, false).await.0, 0, "and sees it when the receive is gone");
    });
}
