//! The simulated world as a whole: one seed is one run, processes die and come back, machines lose power, networks cut.

use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use flumen::base::block::Use;
use flumen::io::file::{self, File};
use flumen::io::mesh::{Mesh, Port};
use flumen::io::op::{ListenAddress, Op, OpenMode, Slices, errno};
use flumen::io::socket::{Accepted, Listener, Received, Socket};
use flumen::io::{Handle, IpAddr, Ipv4Addr, SocketAddr};
use flumen::sim::{Config, DiskFaultRates, MachineConfig, MachineId, PowerCut, ProcessConfig, ProcessId, World};

use crate::backend::{pattern, slices};

const PORT: u16 = 9092;
const CREATE: OpenMode = OpenMode { write: true, create: true, direct: false, directory: false, truncate: false };
/// Virtual time that no scenario needs.
const LONG: Duration = Duration::from_secs(3600);

/// Echoes what comes over one connection until it ends.
async fn echo(io: Handle, socket: Socket) {
    let mut chunks = socket.chunks(&io);
    while let Ok(Received::Chunk(chunk)) = chunks.next().await {
        if socket.send(&io, Slices::from_iter([chunk]), false).await.is_err() {
            return;
        }
    }
}

/// A server on several reactors: the first accepts and deals connections out, until it is asked to stop.
async fn serve(io: Handle, port: Port<Accepted>) {
    let mesh = Mesh::join(&io, port);
    if io.reactor_id() > 0 {
        loop {
            let (_, accepted) = mesh.receive().await;
            io.spawn(echo(io.clone(), Socket::adopt(&io, &accepted)));
        }
    }
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
    let mut listener = Listener::listen(&io, ListenAddress::Tcp(address), 128).await.expect("a listener");
    let mut next = 0;
    loop {
        let Ok(accepted) = listener.accept(&io).await else { continue };
        next = (next + 1) % mesh.reactors();
        match next {
            0 => io.spawn(echo(io.clone(), Socket::adopt(&io, &accepted))),
            reactor => mesh.send(reactor as u16, accepted),
        }
    }
}

fn server(world: &mut World, machine: MachineId) -> ProcessId {
    world.process(machine, ProcessConfig { reactors: 3, ..ProcessConfig::default() }, serve)
}

/// Connects, again and again until somebody listens.
async fn connect(io: &Handle, server: IpAddr) -> Socket {
    loop {
        match Socket::connect(io, SocketAddr::new(server, PORT)).await {
            Ok(socket) => return socket,
            Err(_) => io.sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Sends one request and checks its echo; false when the connection fails.
async fn exchange(io: &Handle, socket: &Socket, request: &[u8]) -> bool {
    if socket.send(io, slices(io, request), false).await.is_err() {
        return false;
    }
    let block = io.pool().try_block(request.len(), Use::Receive).expect("memory for a test");
    let (block, count) = socket.receive_into(io, block, 0, request.len() as u32, true).await;
    match count {
        Ok(count) if count as usize == request.len() => {
            assert_eq!(block[..request.len()], *request);
            true
        }
        _ => false,
    }
}

/// A client that has requests echoed and writes what came back to a file of its own.
async fn write_echoes(io: Handle, server: IpAddr, number: usize) {
    let socket = connect(&io, server).await;
    let file = File::open(&io, Path::new(&format!("/client-{number}")), CREATE).await.expect("a new file");
    let mut at = 0;
    for round in 0..20 {
        let request = pattern(round * 1000, 1 + io.random() as usize % 20_000);
        assert!(exchange(&io, &socket, &request).await);
        file.write_at(&io, at, slices(&io, &request), round % 3 == 0).await.expect("a write");
        at += request.len() as u64;
        io.sleep(Duration::from_micros(io.random() % 3000)).await;
    }
    file.sync(&io, true).await.expect("a sync");
    assert_eq!(file::stat(&io, file.path()).await.expect("a stat").expect("the file").bytes, at);
}

/// A small world run to its end: its hash, and how many things happened.
fn small_world(seed: u64) -> (u64, u64) {
    let mut world = World::new(seed);
    let (here, there) = (world.machine(&MachineConfig::default()), world.machine(&MachineConfig::default()));
    let server = server(&mut world, here);
    let address = world.address(here);
    let clients: Vec<ProcessId> =
        (0..5).map(|number| world.client(there, move |io| write_echoes(io, address, number))).collect();
    assert!(world.run_until(LONG, |world| clients.iter().all(|client| !world.is_running(*client))));
    world.kill(server);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.sockets(), 0, "nothing is left of the connections");
    let trace = world.trace();
    (trace.hash(), trace.events())
}

#[test]
fn one_seed_is_one_run() {
    let mut hashes = BTreeSet::new();
    for seed in 0..8 {
        let first = small_world(seed);
        assert!(first.1 > 1000, "a run of {} events", first.1);
        assert_eq!(first, small_world(seed), "seed {seed} runs the same way again");
        hashes.insert(first.0);
    }
    assert_eq!(hashes.len(), 8, "each seed has a run of its own");
}

/// A world in which everything happens that is supported, from one seed.
fn stormy_world(seed: u64) -> (u64, u64) {
    let mut world = World::with(seed, Config { trace_kept: 10, ..Config::default() });
    let (here, there) = (world.machine(&MachineConfig::default()), world.machine(&MachineConfig::default()));
    let rates = DiskFaultRates {
        read_error_one_in: 20,
        write_error_one_in: 20,
        sync_error_one_in: 20,
        astray_one_in: 0,
        slow_one_in: 50,
        slow_for: Duration::from_millis(10),
    };
    world.disk_faults(there, Path::new("/"), rates);
    let server = server(&mut world, here);
    let address = world.address(here);
    let writers: Vec<ProcessId> = (0..4)
        .map(|number| {
            world.client(there, move |io| async move {
                let path = format!("/storm-{number}");
                loop {
                    let socket = connect(&io, address).await;
                    let mut at = 0;
                    while exchange(&io, &socket, &pattern(at, 3000)).await {
                        let Ok(file) = File::open(&io, Path::new(&path), CREATE).await else { break };
                        if file.write_at(&io, at as u64, slices(&io, &pattern(at, 3000)), true).await.is_err() {
                            break;
                        }
                        let _ = file.sync(&io, false).await;
                        at += 3000;
                    }
                }
            })
        })
        .collect();
    for round in 0..6 {
        world.run_for(Duration::from_millis(40));
        world.kill(server);
        world.run_for(Duration::from_millis(5));
        world.restart(server);
        world.run_for(Duration::from_millis(20));
        world.cut(here, there);
        world.run_for(Duration::from_millis(50));
        world.heal(here, there);
        world.reset_one_in(200);
        world.run_for(Duration::from_secs(1));
        world.reset_one_in(0);
        world.reset_connections(here, there);
        world.power_cut(there, if round % 2 == 0 { PowerCut::default() } else { PowerCut::mixed() });
        world.run_for(Duration::from_millis(20));
        for writer in &writers {
            world.restart(*writer);
        }
        world.pause(server, Duration::from_millis(30));
        world.step_wall_clock(there, -3_600_000);
    }
    let trace = world.trace();
    assert_eq!(trace.last().count(), 10);
    assert!(trace.last().all(|happening| happening.to_string().contains(" ns ")));
    (trace.hash(), trace.events())
}

#[test]
fn one_seed_is_one_run_in_a_storm() {
    let mut hashes = BTreeSet::new();
    for seed in 0..4 {
        let first = stormy_world(seed);
        assert!(first.1 > 1000, "a run of {} events", first.1);
        assert_eq!(first, stormy_world(seed), "seed {seed} runs the same way again");
        hashes.insert(first.0);
    }
    assert_eq!(hashes.len(), 4, "each seed has a run of its own");
}

/// A machine, a process on it that ran `main` to its end, and the world they are in.
fn after<F>(seed: u64, main: impl Fn(Handle) -> F + 'static) -> (World, MachineId)
where
    F: Future<Output = ()> + 'static,
{
    let mut world = World::new(seed);
    let machine = world.machine(&MachineConfig::default());
    let process = world.client(machine, main);
    assert!(world.run_until(LONG, |world| !world.is_running(process)));
    assert_eq!(world.descriptors(process), 0);
    (world, machine)
}

fn content(world: &mut World, machine: MachineId, path: &str) -> Option<Vec<u8>> {
    world.disk(machine, Path::new("/"), |disk| disk.content_of(Path::new(path)))
}

/// Writes one file in each degree of durability.
async fn write_all_degrees(io: Handle) {
    let write = async |name: &str, durable: bool, sync: bool| {
        let file = File::open(&io, Path::new(name), CREATE).await.expect("a new file");
        file.write_at(&io, 0, slices(&io, &pattern(0, 10_000)), durable).await.expect("a write");
        if sync {
            file.sync(&io, true).await.expect("a sync");
        }
        file
    };
    let plain = write("/plain", false, false).await;
    let durable = write("/durable", true, false).await;
    let synced = write("/synced", false, true).await;
    file::sync_directory(&io, Path::new("/")).await.expect("a sync of the names");
    let nameless = write("/nameless", true, true).await;
    durable.write_at(&io, 5000, slices(&io, &[0xff; 100]), false).await.expect("a write");
    synced.truncate(&io, 10).await.expect("a cut");
    drop((plain, nameless));
}

#[test]
fn a_power_cut_leaves_what_was_durable() {
    let (mut world, machine) = after(1, write_all_degrees);
    assert_eq!(content(&mut world, machine, "/plain"), Some(pattern(0, 10_000)));
    assert_eq!(content(&mut world, machine, "/synced"), Some(pattern(0, 10)));
    world.power_cut(machine, PowerCut::default());
    assert_eq!(content(&mut world, machine, "/plain"), Some(Vec::new()), "its name alone was synced");
    assert_eq!(content(&mut world, machine, "/durable"), Some(pattern(0, 10_000)));
    assert_eq!(content(&mut world, machine, "/synced"), Some(pattern(0, 10_000)), "the cut was not synced");
    assert_eq!(content(&mut world, machine, "/nameless"), None, "its name was not synced");
}

#[test]
fn a_killed_process_loses_only_its_memory() {
    let mut world = World::new(1);
    let machine = world.machine(&MachineConfig::default());
    let written = Rc::new(Cell::new(false));
    let seen = Rc::clone(&written);
    let process = world.client(machine, move |io| {
        let written = Rc::clone(&written);
        async move {
            write_all_degrees(io.clone()).await;
            written.set(true);
            std::future::pending::<()>().await;
        }
    });
    assert!(world.run_until(LONG, |_| seen.get()));
    world.kill(process);
    assert!(!world.is_running(process));
    assert_eq!(world.descriptors(process), 0);
    assert_eq!(content(&mut world, machine, "/plain"), Some(pattern(0, 10_000)), "the kernel has it");
    assert_eq!(content(&mut world, machine, "/nameless"), Some(pattern(0, 10_000)));
}

#[test]
fn what_a_killed_process_had_in_memory_is_freed() {
    let mut world = World::new(2);
    let machine = world.machine(&MachineConfig::default());
    let witness = Rc::new(());
    let seen = Rc::clone(&witness);
    let config = ProcessConfig { reactors: 2, ..ProcessConfig::default() };
    let process = world.process(machine, config, move |io: Handle, port: Port<u64>| {
        let witness = Rc::clone(&seen);
        async move {
            let mesh = Mesh::join(&io, port);
            let (sleeper, own) = (io.clone(), Rc::clone(&witness));
            io.spawn(async move {
                let _own = own;
                sleeper.sleep(LONG).await;
            });
            let (stopper, own) = (io.clone(), Rc::clone(&witness));
            io.spawn(async move {
                let _own = own;
                stopper.submit(Op::StopSignal).await;
            });
            let _own = witness;
            mesh.receive().await;
        }
    });
    world.run_for(Duration::from_secs(1));
    assert_eq!(Rc::strong_count(&witness), 2 + 2 * 3, "the program's, and three tasks' on each reactor");
    for _ in 0..3 {
        world.kill(process);
        assert_eq!(Rc::strong_count(&witness), 2);
        world.restart(process);
        world.run_for(Duration::from_secs(1));
    }
}

#[test]
fn a_stop_is_delivered_early_or_late() {
    for run_first in [false, true] {
        let mut world = World::new(5);
        let machine = world.machine(&MachineConfig::default());
        let process = world.client(machine, |io| async move {
            assert_eq!(io.submit(Op::StopSignal).await.result, 0);
        });
        if run_first {
            world.run_for(Duration::from_secs(1));
        }
        assert!(world.is_running(process));
        world.stop(process);
        assert!(world.run_until(Duration::from_secs(1), |world| !world.is_running(process)));
    }
}

/// A client on its own machine that counts echoes and how often its connection ended.
fn counting_client(world: &mut World, server: IpAddr) -> (MachineId, Rc<Cell<u32>>, Rc<Cell<u32>>) {
    let machine = world.machine(&MachineConfig::default());
    let (echoes, ends): (Rc<Cell<u32>>, Rc<Cell<u32>>) = Default::default();
    let (counted, ended) = (Rc::clone(&echoes), Rc::clone(&ends));
    world.client(machine, move |io| {
        let (echoes, ends) = (Rc::clone(&counted), Rc::clone(&ended));
        async move {
            loop {
                let socket = connect(&io, server).await;
                while exchange(&io, &socket, &pattern(0, 100)).await {
                    echoes.set(echoes.get() + 1);
                    io.sleep(Duration::from_millis(1)).await;
                }
                ends.set(ends.get() + 1);
            }
        }
    });
    (machine, echoes, ends)
}

#[test]
fn peers_of_a_killed_process_are_told_and_come_back() {
    for seed in 0..10 {
        let mut world = World::new(seed);
        let here = world.machine(&MachineConfig::default());
        let server = server(&mut world, here);
        let address = world.address(here);
        let (_, echoes, ends) = counting_client(&mut world, address);
        assert!(world.run_until(LONG, |_| echoes.get() == 20));
        world.kill(server);
        world.run_for(Duration::from_secs(1));
        assert_eq!(ends.get(), 1, "the client was told");
        let before = echoes.get();
        world.restart(server);
        assert!(world.run_until(Duration::from_secs(1), |_| echoes.get() == before + 20));
    }
}

#[test]
fn a_machine_without_power_is_silent_and_its_return_resets() {
    for seed in 0..10 {
        let mut world = World::new(seed);
        let here = world.machine(&MachineConfig::default());
        let server = server(&mut world, here);
        let address = world.address(here);
        let (_, echoes, ends) = counting_client(&mut world, address);
        assert!(world.run_until(LONG, |_| echoes.get() == 20));
        world.power_cut(here, PowerCut::default());
        let before = echoes.get();
        world.run_for(Duration::from_secs(60));
        assert!(echoes.get() <= before + 1 && ends.get() == 0, "nobody tells the client");
        world.restart(server);
        assert!(world.run_until(Duration::from_secs(300), |_| echoes.get() == before + 20));
        assert_eq!(ends.get(), 1, "what it had sent met nobody");
    }
}

#[test]
fn a_cut_network_delays_and_heals() {
    for seed in 0..10 {
        let mut world = World::new(seed);
        let here = world.machine(&MachineConfig::default());
        server(&mut world, here);
        let address = world.address(here);
        let (there, echoes, ends) = counting_client(&mut world, address);
        assert!(world.run_until(LONG, |_| echoes.get() == 20));
        world.cut(here, there);
        world.run_for(Duration::from_secs(5));
        assert!(echoes.get() <= 21);
        world.heal(here, there);
        assert!(world.run_until(Duration::from_secs(60), |_| echoes.get() == 50));
        assert_eq!(ends.get(), 0, "the connection survived");
        world.reset_connections(here, there);
        assert!(world.run_until(Duration::from_secs(60), |_| echoes.get() == 100));
        assert_eq!(ends.get(), 1, "and then it did not");
    }
}

#[test]
fn connecting_to_nobody_is_refused_or_times_out() {
    let mut world = World::new(1);
    let (here, there) = (world.machine(&MachineConfig::default()), world.machine(&MachineConfig::default()));
    let targets = [world.address(there), IpAddr::from([192, 0, 2, 1])];
    let results: Rc<RefCell<Vec<(i32, u64)>>> = Rc::default();
    let told = Rc::clone(&results);
    let process = world.client(here, move |io| {
        let told = Rc::clone(&told);
        async move {
            for target in targets {
                let started = io.now();
                let completion = io.submit(Op::Connect { address: SocketAddr::new(target, PORT) }).await;
                told.borrow_mut().push((completion.result, io.now().since(started).as_secs()));
            }
        }
    });
    assert!(world.run_until(LONG, |world| !world.is_running(process)));
    assert_eq!(*results.borrow(), [(-errno::ECONNREFUSED, 0), (-110, 127)]);
}

#[test]
fn failing_disks_fail_as_asked() {
    let mut world = World::new(1);
    let machine = world.machine(&MachineConfig {
        mounts: vec![("/".into(), 1 << 30), ("/data".into(), 1 << 30)],
        ..MachineConfig::default()
    });
    world.disk_dies(machine, Path::new("/data"), true);
    let process = world.client(machine, |io| async move {
        for (path, fails) in [("/data/file", true), ("/file", false)] {
            let file = File::open(&io, Path::new(path), CREATE).await.expect("names are cached");
            let written = file.write_at(&io, 0, slices(&io, b"content"), true).await;
            assert_eq!(written.is_err(), fails);
            assert_eq!(file.sync(&io, true).await.map_err(|error| error.raw_os_error()).is_err(), fails);
        }
    });
    assert!(world.run_until(LONG, |world| !world.is_running(process)));
}

#[test]
fn clocks_differ_between_machines_and_agree_within() {
    let mut world = World::new(3);
    let told: Rc<RefCell<Vec<(u64, i64)>>> = Rc::default();
    for _ in 0..2 {
        let machine = world.machine(&MachineConfig::default());
        for _ in 0..2 {
            let told = Rc::clone(&told);
            world.client(machine, move |io| {
                let told = Rc::clone(&told);
                async move {
                    let second = Duration::from_secs(1);
                    let started = io.now();
                    io.sleep(second).await;
                    let late = io.now().since(started) - second;
                    assert!(late < Duration::from_millis(1), "{late:?} late");
                    told.borrow_mut().push((io.now().0, io.wall_ms()));
                }
            });
        }
    }
    world.run_for(LONG);
    let mut told = told.borrow().clone();
    told.sort_unstable();
    let [(first, early), (second, _), (third, late), (fourth, _)] = told[..] else {
        panic!("four processes: {told:?}")
    };
    assert!(second - first < 1_000_000 && fourth - third < 1_000_000, "one clock a machine");
    assert!(third - second > 1_000_000, "machines started at different times");
    assert!((late - early).abs() < 200, "wall clocks are near each other");
}
