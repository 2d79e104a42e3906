//! Threads and the cores they are pinned to.

use std::fs::File;
use std::future::Future;
use std::sync::mpsc;
use std::thread::{self, ScopedJoinHandle};

use super::reactor::{Handle, Reactor};
use super::uring::{RingTable, UringBackend};
use super::{Error, Result};
use crate::base::block::Pool;
use crate::base::time::Duration;
use crate::model::ids::ReactorId;

/// The cores that this process may run on, in order.
pub fn available_cores() -> Vec<usize> {
    // SAFETY: all-zero bytes are an empty cpu_set_t.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is as large as stated.
    let result = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) };
    if result != 0 {
        // More cores than a cpu_set_t names; the first ones do.
        return (0..thread::available_parallelism().map_or(1, usize::from)).collect();
    }
    // SAFETY: the index is below the set's size.
    (0..libc::CPU_SETSIZE as usize).filter(|core| unsafe { libc::CPU_ISSET(*core, &set) }).collect()
}

/// Memory that this process may use, in bytes: the machine's, or less if its control group says so.
pub fn memory_total_bytes() -> u64 {
    // SAFETY: all-zero bytes are a valid sysinfo.
    let mut info: libc::sysinfo = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is to be filled.
    let result = unsafe { libc::sysinfo(&mut info) };
    assert!(result == 0, "the argument is valid");
    let machine = info.totalram.saturating_mul(u64::from(info.mem_unit));
    group_limit().map_or(machine, |limit| limit.min(machine))
}

/// The tightest memory limit among the control groups (version 2) that the process is in.
fn group_limit() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = std::path::Path::new("/sys/fs/cgroup");
    let limit_of =
        |group: &std::path::Path| std::fs::read_to_string(group.join("memory.max")).ok()?.trim().parse().ok();
    root.join(own).ancestors().take_while(|group| group.starts_with(root)).filter_map(limit_of).min()
}

/// Pins the calling thread to `core`.
fn pin_to(core: usize) -> Result<()> {
    // SAFETY: all-zero bytes are an empty cpu_set_t.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `core` came out of a set of this size.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: the set is as large as stated.
    let result = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) };
    if result == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

/// How reactors run.
#[derive(Clone, Copy)]
pub struct Threads<'a> {
    /// How many.
    pub reactors: usize,
    /// Whether each stays on one of the cores that the process may use, round robin.
    pub pin: bool,
    /// How long each looks for completions before it sleeps: a core that is halted takes its time to wake.
    pub spin: Duration,
    /// What the kernel keeps open until the last operation of the last reactor has ended, whatever becomes of the process.
    pub held: Option<&'a File>,
}

impl Threads<'_> {
    /// So many, wherever the scheduler has them.
    pub fn new(reactors: usize) -> Threads<'static> {
        Threads { reactors, pin: false, spin: Duration::ZERO, held: None }
    }

    /// So many, each on a core of its own.
    pub fn pinned(reactors: usize) -> Threads<'static> {
        Threads { pin: true, ..Threads::new(reactors) }
    }
}

/// Runs `main` on each of the reactors, each on a thread of its own (`reactor-0`, ...); returns what they returned, in order,
/// when all have. SIGTERM and SIGINT are blocked from here on and come through [`super::op::Op::StopSignal`].
///
/// # Errors
/// When a thread, a core or a ring cannot be had; then `main` ran nowhere.
///
/// # Panics
/// Ends the process when `main` panics on a reactor: the others would wait for it for ever.
pub fn run<T, F>(threads: Threads<'_>, pool: &Pool, main: impl Fn(Handle) -> F + Sync) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let Threads { reactors, pin, spin, held } = threads;
    assert!(reactors > 0 && reactors <= usize::from(ReactorId::MAX));
    super::uring::block_stop_signals();
    super::uring::return_freed_memory();
    let cores = if pin { available_cores() } else { Vec::new() };
    let table = RingTable::new(reactors);
    let (ready, started) = mpsc::channel::<Result<()>>();
    thread::scope(|scope| {
        let mut threads: Vec<(mpsc::Sender<()>, ScopedJoinHandle<'_, Option<T>>)> = Vec::with_capacity(reactors);
        let mut failure = None;
        for id in 0..reactors {
            let core = (!cores.is_empty()).then(|| cores[id % cores.len()]);
            let (go, gate) = mpsc::channel();
            let (table, ready, main) = (&table, ready.clone(), &main);
            let make = move || {
                let backend = UringBackend::new(id as ReactorId, table, pool)?.spinning(spin);
                held.map_or(Ok(()), |file| backend.hold(file))?;
                Ok(backend)
            };
            let body = move || reactor_thread(id as ReactorId, core, make, pool, &ready, &gate, main);
            match thread::Builder::new().name(format!("reactor-{id}")).spawn_scoped(scope, body) {
                Ok(thread) => threads.push((go, thread)),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        for _ in 0..threads.len() {
            let outcome = started.recv().expect("the sender is here");
            failure = failure.or(outcome.err());
        }
        // Without a word through its gate a reactor ends at once.
        if failure.is_none() {
            for (go, _) in &threads {
                go.send(()).expect("the thread waits at its gate");
            }
        }
        let handles: Vec<_> = threads.into_iter().map(|(_, thread)| thread).collect();
        let results = handles.into_iter().map(|thread| thread.join().expect("a panic has ended the process"));
        let results: Vec<Option<T>> = results.collect();
        match failure {
            Some(error) => Err(error),
            None => Ok(results.into_iter().map(|result| result.expect("it went through its gate")).collect()),
        }
    })
}

/// One reactor's life. It waits at its gate until all rings are there, so that each can wake each.
fn reactor_thread<T, F>(
    id: ReactorId,
    core: Option<usize>,
    make: impl FnOnce() -> Result<UringBackend>,
    pool: &Pool,
    ready: &mpsc::Sender<Result<()>>,
    gate: &mpsc::Receiver<()>,
    main: &(impl Fn(Handle) -> F + Sync),
) -> Option<T>
where
    T: 'static,
    F: Future<Output = T> + 'static,
{
    let end_on_panic = EndOnPanic(id);
    let pinned = core.map_or(Ok(()), pin_to);
    let backend = match pinned.and_then(|()| make()) {
        Ok(backend) => backend,
        Err(error) => {
            ready.send(Err(error)).expect("the starter waits");
            return None;
        }
    };
    ready.send(Ok(())).expect("the starter waits");
    gate.recv().ok()?;
    let reactor = Reactor::new(id, Box::new(backend), pool.clone());
    let handle = reactor.handle();
    let result = reactor.run(main(handle));
    drop(end_on_panic);
    Some(result)
}

/// Ends the process when it is dropped by a panic.
struct EndOnPanic(ReactorId);

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!(reactor = self.0, "a reactor has panicked; the process ends");
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reactors_run_each_on_its_thread_and_return_in_order() {
        let pool = Pool::new(64 << 20);
        let names = run(Threads::pinned(2), &pool, |io| async move {
            io.sleep(Duration::from_millis(10 * u64::from(2 - io.reactor_id()))).await;
            (io.reactor_id(), thread::current().name().map(str::to_owned), available_cores().len())
        });
        let named = |id: u16| (id, Some(format!("reactor-{id}")), 1);
        assert_eq!(names.expect("rings can be had"), [named(0), named(1)]);
    }

    #[test]
    fn the_machine_is_described() {
        assert!(!available_cores().is_empty());
        assert!(memory_total_bytes() > 1 << 26);
    }
}
