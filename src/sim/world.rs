//! The world: virtual time, and the machines and processes in it, all on one thread and from one seed.

use std::cell::{Cell, Ref, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use super::backend::SimBackend;
use super::config::{Config, MachineConfig, ProcessConfig};
use super::disk::{Disk, PowerCut};
use super::events::Event;
use super::faults::{DiskFaultRates, Written};
use super::kernel::Kernel;
use super::trace::{Trace, What};
use crate::base::block::Use;
use crate::base::time::{Duration, Instant};
use crate::io::mesh::{Port, ports};
use crate::io::reactor::Reactor;
use crate::io::{Handle, IpAddr, Path, PathBuf};
use crate::model::ids::ReactorId;

/// A machine of the world: disks, clocks, an address, power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MachineId(usize);

/// A process of the world: a program that runs on one machine, or did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessId(usize);

type Main = Pin<Box<dyn Future<Output = ()>>>;
/// Makes the main future of one reactor, given the way to it.
type Starter = Box<dyn FnOnce(Handle) -> Main>;
/// Makes the starters of a process's reactors, which share a mesh.
type Program = Box<dyn Fn(usize) -> Vec<Starter>>;

/// A simulated world. Everything in it is a function of the seed, the configuration, and the calls made on it.
pub struct World {
    kernel: Rc<RefCell<Kernel>>,
    /// Reactors that run, by their number in the kernel.
    reactors: Vec<Option<Running>>,
    processes: Vec<Process>,
}

struct Process {
    machine: MachineId,
    config: ProcessConfig,
    program: Program,
    /// Reactors whose main future has not ended.
    running: Vec<usize>,
}

struct Running {
    reactor: Reactor,
    process: ProcessId,
    /// Present until the first turn.
    starter: Option<Starter>,
    /// Set when the main future has ended.
    done: Rc<Cell<bool>>,
}

impl World {
    /// A world of `seed` with the usual timing.
    pub fn new(seed: u64) -> World {
        World::with(seed, Config::default())
    }

    /// A world of `seed`.
    pub fn with(seed: u64, config: Config) -> World {
        let kernel = Rc::new(RefCell::new(Kernel::new(seed, config)));
        World { kernel, reactors: Vec::new(), processes: Vec::new() }
    }

    /// Adds a machine, with power.
    pub fn machine(&mut self, config: &MachineConfig) -> MachineId {
        MachineId(self.kernel.borrow_mut().add_machine(config))
    }

    /// The address under which other machines reach this one.
    pub fn address(&self, machine: MachineId) -> IpAddr {
        self.kernel.borrow().machines[machine.0].address
    }

    /// Starts a process. `main` is called once for each of its reactors, at the reactor's first turn, with the way to
    /// it and its port of the mesh that the reactors share. A reactor ends with its main future, the process with its
    /// last reactor. [`World::restart`] calls `main` again.
    pub fn process<M, F>(
        &mut self,
        machine: MachineId,
        config: ProcessConfig,
        main: impl Fn(Handle, Port<M>) -> F + 'static,
    ) -> ProcessId
    where
        M: Send + 'static,
        F: Future<Output = ()> + 'static,
    {
        let main = Rc::new(main);
        let program = move |reactors: usize| {
            let starter = |port: Port<M>| {
                let main = Rc::clone(&main);
                Box::new(move |io: Handle| Box::pin(main(io, port)) as Main) as Starter
            };
            ports::<M>(reactors).into_iter().map(starter).collect()
        };
        let process = ProcessId(self.kernel.borrow_mut().add_process(machine.0));
        self.processes.push(Process { machine, config, program: Box::new(program), running: Vec::new() });
        self.start(process);
        process
    }

    /// As [`World::process`], for a program that runs on one reactor and has no mesh.
    pub fn client<F>(&mut self, machine: MachineId, main: impl Fn(Handle) -> F + 'static) -> ProcessId
    where
        F: Future<Output = ()> + 'static,
    {
        self.process::<(), _>(machine, ProcessConfig::default(), move |io, _| main(io))
    }

    /// As [`World::restart`], on another number of reactors.
    pub fn restart_on(&mut self, process: ProcessId, reactors: usize) {
        self.processes[process.0].config.reactors = reactors;
        self.restart(process);
    }

    /// Lets a process crash when it submits its operation number `after` from now: that one and all later ones never
    /// reach its kernel, and [`World::crashed`] tells, upon which it is to be ended.
    pub fn crash_at_submission(&mut self, process: ProcessId, after: u64) {
        self.kernel.borrow_mut().crash_at(process.0, after);
    }

    /// Lets a process crash while the kernel has its durable write number `after` from now, counting only those to `files`:
    /// that one was submitted, and nothing after it is.
    pub fn crash_in_write(&mut self, process: ProcessId, files: Written, after: u64) {
        self.kernel.borrow_mut().crash_in_write(process.0, files, after);
    }

    /// The process that has come to its crash point.
    pub fn crashed(&self) -> Option<ProcessId> {
        self.kernel.borrow().crashed.map(ProcessId)
    }

    /// Takes so much from a process's pool that `left` bytes of its limit remain; zero pressure with `None`.
    pub fn press_memory(&mut self, process: ProcessId, left: Option<usize>) {
        let process = &mut self.kernel.borrow_mut().processes[process.0];
        process.pressure.clear();
        let Some(left) = left else { return };
        const STEP: usize = 64 << 10;
        while process.pool.limit_bytes().saturating_sub(process.pool.in_use_total()) > left {
            let Some(block) = process.pool.try_block(STEP, Use::Staging) else { return };
            process.pressure.push(block);
        }
    }

    /// Bytes of blocks that a process has in use, what was taken to press it apart, and its pool's limit.
    pub fn memory(&self, process: ProcessId) -> ([(Use, usize); Use::ALL.len()], usize) {
        let process = &self.kernel.borrow().processes[process.0];
        let pressed: usize = process.pressure.iter().map(|block| block.len()).sum();
        let in_use = Use::ALL.map(|one| {
            let taken = if one == Use::Staging { pressed } else { 0 };
            (one, process.pool.in_use(one).saturating_sub(taken))
        });
        (in_use, process.pool.limit_bytes())
    }

    /// Whether somebody listens at a port of a machine.
    pub fn listens(&self, machine: MachineId, port: u16) -> bool {
        self.kernel.borrow().network.listens(machine.0, port)
    }

    /// The paths of files in which writes went astray since this was last asked.
    pub fn take_astray(&mut self) -> Vec<PathBuf> {
        let mut kernel = self.kernel.borrow_mut();
        let astray = std::mem::take(&mut kernel.astray);
        let path =
            |(machine, mount, inode): (usize, usize, usize)| kernel.machines[machine].mounts[mount].disk.path_of(inode);
        astray.into_iter().filter_map(path).collect()
    }

    /// Mounts the file system that holds `path` read-only, as a kernel does that does not trust it any more, or for
    /// writing again.
    pub fn remount(&mut self, machine: MachineId, path: &Path, read_only: bool) {
        let mut kernel = self.kernel.borrow_mut();
        let (mount, _) = kernel.mount_of(machine.0, path);
        kernel.machines[machine.0].mounts[mount].faults.read_only = read_only;
    }

    fn start(&mut self, process: ProcessId) {
        let Process { machine, config, program, running } = &mut self.processes[process.0];
        let mut kernel = self.kernel.borrow_mut();
        assert!(kernel.machines[machine.0].powered, "a process needs a machine with power");
        let reactors = kernel.start_process(process.0, config);
        let pool = kernel.processes[process.0].pool.clone();
        drop(kernel);
        for ((id, number), starter) in reactors.iter().enumerate().zip(program(config.reactors)) {
            let backend = SimBackend::new(Rc::clone(&self.kernel), *number);
            let reactor = Reactor::new(id as ReactorId, Box::new(backend), pool.clone());
            assert_eq!(*number, self.reactors.len(), "reactors are numbered as they start");
            self.reactors.push(Some(Running { reactor, process, starter: Some(starter), done: Rc::default() }));
        }
        *running = reactors;
    }

    /// Whether a process runs.
    pub fn is_running(&self, process: ProcessId) -> bool {
        !self.processes[process.0].running.is_empty()
    }

    /// Asks a process to stop, as SIGTERM does.
    pub fn stop(&mut self, process: ProcessId) {
        self.kernel.borrow_mut().stop(process.0);
    }

    /// Ends a process as `kill -9` does: its memory is gone, its descriptors are closed, and peers see its connections
    /// end or reset. What it wrote to files stays: the machine's kernel has it, durable or not.
    pub fn kill(&mut self, process: ProcessId) {
        if !self.is_running(process) {
            return;
        }
        self.drop_reactors(process);
        self.kernel.borrow_mut().end_process(process.0, true);
    }

    fn drop_reactors(&mut self, process: ProcessId) {
        for reactor in std::mem::take(&mut self.processes[process.0].running) {
            self.kernel.borrow_mut().end_reactor(reactor);
            // The tasks are dropped with the reactor; what they do then reaches no backend any more.
            drop(self.reactors[reactor].take());
        }
    }

    /// Takes the power from a machine: its processes end without a word, its network falls silent, and its disks keep
    /// what was durable and of the rest what `policy` says.
    pub fn power_cut(&mut self, machine: MachineId, policy: PowerCut) {
        let here = |process: &Process| process.machine == machine;
        let lost: Vec<usize> = (0..self.processes.len()).filter(|at| here(&self.processes[*at])).collect();
        for process in &lost {
            self.drop_reactors(ProcessId(*process));
        }
        let mut kernel = self.kernel.borrow_mut();
        let now = kernel.now;
        kernel.trace.record(now, What::PowerCut, [machine.0 as u64, 0, 0]);
        kernel.machines[machine.0].powered = false;
        kernel.vanish_network(machine.0);
        for process in lost {
            kernel.end_process(process, true);
        }
        kernel.cut_disks(machine.0, &policy);
    }

    /// Gives a machine power again; its processes are started by [`World::restart`].
    pub fn power_on(&mut self, machine: MachineId) {
        let mut kernel = self.kernel.borrow_mut();
        if !kernel.machines[machine.0].powered {
            kernel.power_on(machine.0);
        }
    }

    /// Starts a process that has ended once more, on its machine, which gets power if it has none.
    pub fn restart(&mut self, process: ProcessId) {
        assert!(!self.is_running(process), "a process is started after it has ended");
        let machine = self.processes[process.0].machine;
        self.power_on(machine);
        self.kernel.borrow_mut().finish_files(machine.0);
        self.start(process);
    }

    /// Lets a process take no turns for a while, as when it is stopped (SIGSTOP) or its host has no time for it.
    pub fn pause(&mut self, process: ProcessId, duration: Duration) {
        self.kernel.borrow_mut().pause(process.0, duration);
    }

    /// Cuts the network between two machines, both ways; packets under way wait and are sent again, as TCP does.
    pub fn cut(&mut self, one: MachineId, other: MachineId) {
        self.cut_one_way(one, other, true);
        self.cut_one_way(other, one, true);
    }

    /// Heals what [`World::cut`] has cut.
    pub fn heal(&mut self, one: MachineId, other: MachineId) {
        self.cut_one_way(one, other, false);
        self.cut_one_way(other, one, false);
    }

    /// Cuts or heals one direction between two machines.
    pub fn cut_one_way(&mut self, from: MachineId, to: MachineId, cut: bool) {
        self.kernel.borrow_mut().network.set_cut(from.0, to.0, cut);
    }

    /// Makes everything between two machines take longer by `delay` each way; zero ends it.
    pub fn delay(&mut self, one: MachineId, other: MachineId, delay: Duration) {
        let network = &mut self.kernel.borrow_mut().network;
        network.set_delay(one.0, other.0, delay);
        network.set_delay(other.0, one.0, delay);
    }

    /// Resets all connections between two machines.
    pub fn reset_connections(&mut self, one: MachineId, other: MachineId) {
        self.kernel.borrow_mut().reset_between(one.0, other.0);
    }

    /// Lets one arrival in so many reset its connection, all over the world; 0 for none.
    pub fn reset_one_in(&mut self, one_in: u64) {
        self.kernel.borrow_mut().network.reset_one_in = one_in;
    }

    /// Sets how often operations fail on the file system that holds `path`.
    pub fn disk_faults(&mut self, machine: MachineId, path: &Path, rates: DiskFaultRates) {
        let mut kernel = self.kernel.borrow_mut();
        let (mount, _) = kernel.mount_of(machine.0, path);
        kernel.machines[machine.0].mounts[mount].faults.set(rates);
    }

    /// Lets the device of the file system that holds `path` die: what needs it fails with EIO from now on. Or lets it
    /// work again.
    pub fn disk_dies(&mut self, machine: MachineId, path: &Path, dead: bool) {
        let mut kernel = self.kernel.borrow_mut();
        let (mount, _) = kernel.mount_of(machine.0, path);
        kernel.machines[machine.0].mounts[mount].faults.dead = dead;
    }

    /// Sets a machine's wall clock forward (or back, when negative).
    pub fn step_wall_clock(&mut self, machine: MachineId, step_ms: i64) {
        let machine = &mut self.kernel.borrow_mut().machines[machine.0];
        machine.wall_offset_ns = machine.wall_offset_ns.saturating_add(step_ms.saturating_mul(1_000_000));
    }

    /// Looks into, or damages, the file system that holds `path`; paths inside are given from its own root.
    pub fn disk<T>(&mut self, machine: MachineId, path: &Path, look: impl FnOnce(&mut Disk) -> T) -> T {
        let mut kernel = self.kernel.borrow_mut();
        let (mount, _) = kernel.mount_of(machine.0, path);
        look(&mut kernel.machines[machine.0].mounts[mount].disk)
    }

    /// Sockets of connections that a process has.
    pub fn connections(&self, process: ProcessId) -> usize {
        self.kernel.borrow().processes[process.0].sockets.len()
    }

    /// Descriptors that a process has open.
    pub fn descriptors(&self, process: ProcessId) -> usize {
        self.kernel.borrow().processes[process.0].descriptors.count()
    }

    /// Operations that a process has submitted and that have not completed.
    pub fn operations(&self, process: ProcessId) -> usize {
        self.kernel.borrow().operations(process.0)
    }

    /// Sockets that exist in the world, those that were closed but have something under way included.
    pub fn sockets(&self) -> usize {
        self.kernel.borrow().network.sockets_count()
    }

    /// The world's own clock; processes see it shifted.
    pub fn now(&self) -> Instant {
        self.kernel.borrow().now
    }

    /// Everything that happened, as a hash and in words.
    pub fn trace(&self) -> Ref<'_, Trace> {
        Ref::map(self.kernel.borrow(), |kernel| &kernel.trace)
    }

    /// Lets the next thing happen; false when nothing ever will, or not before `limit`.
    pub fn step(&mut self, limit: Instant) -> bool {
        let mut kernel = self.kernel.borrow_mut();
        if kernel.events.next_at().is_none_or(|at| at > limit) {
            return false;
        }
        let (at, event) = kernel.events.pop().expect("there is a next one");
        assert!(at >= kernel.now, "time goes forward");
        kernel.now = at;
        match event {
            Event::Turn { reactor } => {
                if kernel.begins_turn(reactor) {
                    drop(kernel);
                    self.take_turn(reactor);
                }
            }
            event => kernel.handle(event),
        }
        true
    }

    /// Lets things happen until `condition` holds, which is asked after each of them, or for at most `longest`. Tells
    /// whether it held.
    pub fn run_until(&mut self, longest: Duration, mut condition: impl FnMut(&World) -> bool) -> bool {
        let limit = self.now() + longest;
        loop {
            if condition(self) {
                return true;
            }
            if !self.step(limit) {
                self.kernel.borrow_mut().now = limit;
                return condition(self);
            }
        }
    }

    /// Lets things happen for `duration`.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(duration, |_| false);
    }

    fn take_turn(&mut self, number: usize) {
        let Some(running) = &mut self.reactors[number] else { unreachable!("an ended reactor takes no turn") };
        if let Some(starter) = running.starter.take() {
            let (io, done) = (running.reactor.handle(), Rc::clone(&running.done));
            let main = starter(io.clone());
            io.spawn(async move {
                main.await;
                done.set(true);
            });
        }
        running.reactor.collect();
        running.reactor.turn();
        if running.done.get() {
            return self.end_reactor(number);
        }
        self.kernel.borrow_mut().ends_turn(number);
    }

    /// Ends a reactor whose main future has ended, and its process if it was the last.
    fn end_reactor(&mut self, number: usize) {
        let Some(mut running) = self.reactors[number].take() else { unreachable!("it has just taken a turn") };
        running.reactor.finish();
        let process = running.process;
        self.kernel.borrow_mut().end_reactor(number);
        drop(running);
        let still_running = &mut self.processes[process.0].running;
        still_running.retain(|reactor| *reactor != number);
        if still_running.is_empty() {
            self.kernel.borrow_mut().end_process(process.0, false);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for process in 0..self.processes.len() {
            self.drop_reactors(ProcessId(process));
        }
    }
}
