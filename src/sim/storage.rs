//! File operations of simulated processes: how long they take, which of them fail, and when they take effect.

use std::collections::BTreeSet;

use super::atlas;
use super::config::{DiskConfig, MachineConfig};
use super::disk::{DIRECT_ALIGN, Disk, InodeId, PowerCut};
use super::errors::{EISDIR, ESPIPE, EXDEV};
use super::events::Event;
use super::faults::{DiskFaults, Written};
use super::kernel::{Descriptor, Kernel, Waiting};
use super::table::Key;
use super::trace::What;
use crate::base::block::Block;
use crate::base::prng::Prng;
use crate::base::time::{Duration, Instant};
use crate::io::op::{Completion, Fd, NOBODY, Op, OpenMode, Payload, Slices, Token, errno};
use crate::io::{Path, PathBuf};
use crate::record::crc;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// A file system at its place in a machine's tree.
pub(super) struct Mount {
    path: PathBuf,
    pub(super) disk: Disk,
    pub(super) faults: DiskFaults,
    timing: DiskConfig,
    /// When the device is done with what it was given so far.
    free_at: Instant,
    latency: Prng,
    pub(super) cuts: Prng,
    /// Files that were read through the page cache since they were last written past it. All of them may be evicted at any time.
    cached: BTreeSet<InodeId>,
}

/// An open file as a process's descriptor has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    pub(super) mount: usize,
    pub(super) inode: InodeId,
    write: bool,
    direct: bool,
}

/// A file operation under way.
pub(super) struct Operation {
    reactor: usize,
    token: Token,
    machine: usize,
    mount: usize,
    action: Action,
}

enum Action {
    Open { path: PathBuf, mode: OpenMode },
    Stat { path: PathBuf },
    List { path: PathBuf },
    CreateDirectory { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
    Unlink { path: PathBuf },
    RemoveDirectory { path: PathBuf },
    Space { path: PathBuf },
    Read { file: Opened, at: u64, into: Block, start: u32, bytes: u32 },
    IsResident { file: Opened },
    Write { file: Opened, at: u64, bytes: Slices, durable: bool },
    Sync { file: Opened },
    Allocate { file: Opened, at: u64, bytes: u64 },
    Truncate { file: Opened, bytes: u64 },
}

/// What an operation came to.
struct Effect {
    result: Result<i32, i32>,
    payload: Payload,
}

impl From<Result<i32, i32>> for Effect {
    fn from(result: Result<i32, i32>) -> Effect {
        Effect { result, payload: Payload::None }
    }
}

/// The file systems of a machine. Mount points exist, durably.
pub(super) fn mounts(config: &MachineConfig, streams: &Prng) -> Vec<Mount> {
    assert!(config.mounts.first().is_some_and(|(path, _)| path == Path::new("/")), "the first mount is the root");
    let mut mounts: Vec<Mount> = Vec::new();
    for (path, bytes) in &config.mounts {
        if let Some(root) = mounts.first_mut() {
            make_durable_directory(&mut root.disk, path);
        }
        let streams = streams.split("mount").split(&path.to_string_lossy());
        mounts.push(Mount {
            path: path.clone(),
            disk: Disk::new(*bytes),
            faults: DiskFaults::new(&streams),
            timing: config.disk,
            free_at: Instant(0),
            latency: streams.split("latency"),
            cuts: streams.split("power cuts"),
            cached: BTreeSet::new(),
        });
    }
    mounts
}

fn make_durable_directory(disk: &mut Disk, path: &Path) {
    let mut ancestors: Vec<&Path> = path.ancestors().filter(|ancestor| ancestor.parent().is_some()).collect();
    ancestors.reverse();
    for ancestor in ancestors {
        let made = disk.create_directory(ancestor);
        assert!(matches!(made, Ok(()) | Err(errno::EEXIST)), "a mount point can be made");
        let parent = disk.find(ancestor.parent().expect("the root was left out"));
        disk.sync(parent.expect("it was just made or found"));
    }
}

impl Kernel {
    /// The mount that holds `path`, and the path from its root.
    pub(super) fn mount_of(&self, machine: usize, path: &Path) -> (usize, PathBuf) {
        let absolute = Path::new("/").join(path);
        let mounts = self.machines[machine].mounts.iter().enumerate();
        let holders = mounts.filter_map(|(number, mount)| Some((number, absolute.strip_prefix(&mount.path).ok()?)));
        let (number, inner) =
            holders.min_by_key(|(_, inner)| inner.as_os_str().len()).expect("the root holds every path");
        (number, Path::new("/").join(inner))
    }

    /// Gives up a descriptor's or an operation's hold of a file.
    pub(super) fn release(&mut self, machine: usize, file: Opened) {
        self.machines[machine].mounts[file.mount].disk.release(file.inode);
    }

    /// The open file behind a descriptor.
    pub(super) fn opened(&self, reactor: usize, fd: Fd) -> Result<Opened, i32> {
        match self.descriptor(reactor, fd)? {
            Descriptor::File(opened) => Ok(opened),
            Descriptor::Listener(_) | Descriptor::Socket(_) => Err(ESPIPE),
        }
    }

    /// Starts a file operation.
    pub(super) fn submit_to_disk(&mut self, reactor: usize, token: Token, op: Op) {
        let machine = self.machine_of(reactor);
        let (mount, action) = match self.action(reactor, machine, op) {
            Ok(action) => action,
            Err((errno, payload)) => {
                self.complete_soon(reactor, Completion { token, result: -errno, more: false, payload });
                return;
            }
        };
        if let Some(file) = action.file() {
            self.machines[machine].mounts[mount].disk.hold(file.inode);
        }
        let at = self.effect_at(machine, mount, &action);
        if let Action::Write { file, durable: true, bytes, .. } = &action {
            let (disk, inode) = (&self.machines[machine].mounts[mount].disk, file.inode);
            let is_meant = |files| {
                let to_journal = || disk.path_of(inode).is_some_and(|path| path.starts_with("/journal"));
                match files {
                    Written::Any => true,
                    Written::Segments => !to_journal(),
                    Written::Groups => length(bytes) > DIRECT_ALIGN as usize && to_journal(),
                }
            };
            let process = self.reactors[reactor].process;
            if let Some((doomed, files, after)) = self.crash_in_write
                && doomed == process
                && is_meant(files)
            {
                self.crash_in_write = after.checked_sub(1).map(|after| (process, files, after));
                if self.crash_in_write.is_none() {
                    self.crashed = Some(process);
                }
            }
        }
        if token != NOBODY {
            self.reactors[reactor].waiting.insert(token, Waiting::Disk);
        }
        let operation = self.storage.insert(Operation { reactor, token, machine, mount, action });
        self.events.push(at, Event::Disk { operation });
    }

    /// What an operation is to do, and where; or why it cannot, with what goes back to its owner.
    fn action(&self, reactor: usize, machine: usize, op: Op) -> Result<(usize, Action), (i32, Payload)> {
        let file = |fd| self.opened(reactor, fd);
        let plain = |errno| (errno, Payload::None);
        let action = match op {
            Op::Read { fd, at, into, start, bytes } => {
                assert!(start as usize + bytes as usize <= into.len(), "a read stays within its block");
                match file(fd) {
                    Ok(file) => Action::Read { file, at, into, start, bytes },
                    Err(errno) => return Err((errno, Payload::Block(into))),
                }
            }
            Op::IsResident { fd, .. } => Action::IsResident { file: file(fd).map_err(plain)? },
            Op::Write { fd, at, bytes, durable } => {
                let file = file(fd).map_err(plain)?;
                if !file.write {
                    return Err(plain(errno::EBADF));
                }
                Action::Write { file, at, bytes, durable }
            }
            Op::Sync { fd, .. } => Action::Sync { file: file(fd).map_err(|_| plain(self.not_a_file(reactor, fd)))? },
            Op::Allocate { fd, at, bytes } => {
                let file = file(fd).map_err(plain)?;
                if !file.write {
                    return Err(plain(errno::EBADF));
                }
                Action::Allocate { file, at, bytes }
            }
            Op::Truncate { fd, bytes } => {
                let file = file(fd).map_err(|_| plain(self.not_a_file(reactor, fd)))?;
                if !file.write {
                    return Err(plain(errno::EINVAL));
                }
                Action::Truncate { file, bytes }
            }
            op => return self.named_action(machine, op).map_err(plain),
        };
        let mount = action.file().expect("what is not named has a descriptor").mount;
        Ok((mount, action))
    }

    fn not_a_file(&self, reactor: usize, fd: Fd) -> i32 {
        if self.descriptor(reactor, fd).is_ok() { errno::EINVAL } else { errno::EBADF }
    }

    fn named_action(&self, machine: usize, op: Op) -> Result<(usize, Action), i32> {
        let locate = |path: &Path| self.mount_of(machine, path);
        let at = |path: &Path, action: fn(PathBuf) -> Action| {
            let (mount, path) = locate(path);
            (mount, action(path))
        };
        Ok(match op {
            Op::Open { path, mode } => {
                let (mount, path) = locate(&path);
                (mount, Action::Open { path, mode })
            }
            Op::Stat { path } => at(&path, |path| Action::Stat { path }),
            Op::List { path } => at(&path, |path| Action::List { path }),
            Op::CreateDirectory { path } => at(&path, |path| Action::CreateDirectory { path }),
            Op::Unlink { path } => at(&path, |path| Action::Unlink { path }),
            Op::RemoveDirectory { path } => at(&path, |path| Action::RemoveDirectory { path }),
            Op::Space { path } => at(&path, |path| Action::Space { path }),
            Op::Rename { from, to } => {
                let ((from_mount, from), (mount, to)) = (locate(&from), locate(&to));
                if from_mount != mount {
                    return Err(EXDEV);
                }
                (mount, Action::Rename { from, to })
            }
            _ => unreachable!("the other operations went their own ways"),
        })
    }

    fn effect_at(&mut self, machine: usize, mount: usize, action: &Action) -> Instant {
        let now = self.now;
        let mount = &mut self.machines[machine].mounts[mount];
        let (timing, random) = (mount.timing, &mut mount.latency);
        let (took, device_bytes) = match action {
            Action::Read { file, bytes, .. } if file.direct => (timing.device.draw(random), u64::from(*bytes)),
            Action::Read { .. } | Action::IsResident { .. } => (timing.cached.draw(random), 0),
            Action::Write { file, bytes, durable, .. } => {
                let device = file.direct || *durable;
                let base = if device { timing.device } else { timing.cached }.draw(random);
                let flush = if *durable { timing.flush.draw(random) } else { Duration::ZERO };
                (base + flush, if device { length(bytes) as u64 } else { 0 })
            }
            Action::Sync { .. } => (timing.device.draw(random) + timing.flush.draw(random), 0),
            _ => (timing.names.draw(random), 0),
        };
        let took = took + mount.faults.slowness();
        if device_bytes == 0 {
            return now + took;
        }
        let transfer = device_bytes.saturating_mul(NS_PER_SECOND) / timing.bytes_per_second;
        mount.free_at = mount.free_at.max(now) + Duration::from_nanos(transfer);
        mount.free_at + took
    }

    /// Lets a file operation take effect.
    pub(super) fn disk_effect(&mut self, operation: Key) {
        let Some(operation) = self.storage.remove(operation) else { return };
        let Operation { reactor, token, machine, mount, action } = operation;
        let held = action.file();
        let refused = self.machines[machine].mounts[mount].faults.read_only && action.changes();
        let effect = if refused { Err(errno::EROFS).into() } else { self.perform(reactor, machine, mount, action) };
        if let Some(file) = held {
            self.release(machine, file);
        }
        let result = effect.result.unwrap_or_else(|errno| -errno);
        self.trace.record(self.now, What::Disk, [reactor as u64, token, u64::from(result as u32)]);
        let payload = effect.payload;
        self.complete_soon(reactor, Completion { token, result, more: false, payload });
    }

    /// Settles what reactors that have ended had under way. Names, sizes and room are changed by threads of the kernel for
    /// which a process's end waits, so each of those changes is made by now or never; what is with the device goes on until
    /// the process's next start.
    pub(super) fn settle_files(&mut self, ended: &[usize]) {
        let waited_for =
            |operation: &Operation| ended.contains(&operation.reactor) && !operation.action.is_with_device();
        for key in self.storage.keys_where(waited_for) {
            if self.counts.one_in(2) {
                self.disk_effect(key);
            } else if let Some(Operation { machine, action, .. }) = self.storage.remove(key)
                && let Some(file) = action.file()
            {
                self.release(machine, file);
            }
        }
    }

    /// Lets everything take effect that processes which have ended left with the devices of a machine: a start waits for
    /// that, as a process of the real world does at the lock of its data directory, which the rings hold until then.
    pub(super) fn finish_files(&mut self, machine: usize) {
        let left = |operation: &Operation| operation.machine == machine && !self.is_alive(operation.reactor);
        for key in self.storage.keys_where(left) {
            self.disk_effect(key);
        }
    }

    fn perform(&mut self, reactor: usize, machine: usize, mount: usize, action: Action) -> Effect {
        let disk = &mut self.machines[machine].mounts[mount].disk;
        let nothing = |outcome: Result<(), i32>| Effect::from(outcome.map(|()| 0));
        match action {
            Action::Open { path, mode } => self.open(reactor, machine, mount, &path, mode).into(),
            Action::Stat { path } => match disk.stat(&path) {
                Ok(stat) => Effect { result: Ok(0), payload: Payload::Stat(stat) },
                Err(errno) => Err(errno).into(),
            },
            Action::List { path } => match disk.list(&path) {
                Ok(names) => Effect { result: Ok(0), payload: Payload::Names(names) },
                Err(errno) => Err(errno).into(),
            },
            Action::CreateDirectory { path } => nothing(disk.create_directory(&path)),
            Action::Rename { from, to } => nothing(disk.rename(&from, &to)),
            Action::Unlink { path } => nothing(disk.unlink(&path)),
            Action::RemoveDirectory { path } => nothing(disk.remove_directory(&path)),
            Action::Space { path } => match disk.stat(&path) {
                Ok(_) => Effect { result: Ok(0), payload: Payload::Space(disk.space()) },
                Err(errno) => Err(errno).into(),
            },
            Action::Read { file, at, mut into, start, bytes } => {
                let range = start as usize..start as usize + bytes as usize;
                let result = self.read(machine, file, at, &mut into[range]);
                Effect { result, payload: Payload::Block(into) }
            }
            Action::IsResident { file } => Ok(i32::from(self.is_resident(machine, file))).into(),
            Action::Write { file, at, bytes, durable } => self.write(machine, file, at, &bytes, durable).into(),
            Action::Sync { file } => nothing(self.sync(machine, file)),
            Action::Allocate { file, at, bytes } => nothing(disk.allocate(file.inode, at, bytes)),
            Action::Truncate { file, bytes } => nothing(disk.truncate(file.inode, bytes)),
        }
    }

    fn open(&mut self, reactor: usize, machine: usize, mount: usize, path: &Path, mode: OpenMode) -> Result<i32, i32> {
        let process = self.reactors[reactor].process;
        let alive = self.is_alive(reactor);
        if alive && self.processes[process].descriptors.is_full() {
            return Err(errno::EMFILE);
        }
        let inode = self.machines[machine].mounts[mount].disk.open(path, mode)?;
        let opened = Opened { mount, inode, write: mode.write, direct: mode.direct };
        if !alive {
            // The kernel went through with it, but there is nobody to hold a descriptor.
            self.release(machine, opened);
            return Err(errno::ECANCELED);
        }
        self.processes[process].descriptors.insert(Descriptor::File(opened)).map(|fd| fd.0)
    }

    fn read(&mut self, machine: usize, file: Opened, at: u64, into: &mut [u8]) -> Result<i32, i32> {
        let short = self.falls_short();
        let mount = &mut self.machines[machine].mounts[file.mount];
        if mount.disk.is_directory(file.inode) {
            return Err(EISDIR);
        }
        if i64::try_from(at).is_err() {
            return Err(errno::EINVAL);
        }
        // As the kernel does: at or beyond the end there is nothing to be misaligned.
        if at >= mount.disk.bytes(file.inode) || into.is_empty() {
            return Ok(0);
        }
        if file.direct && !is_aligned(at, into) {
            return Err(errno::EINVAL);
        }
        if mount.faults.read_fails() {
            return Err(self.device_error(machine, file));
        }
        let wanted = if short { shortened(into.len(), file.direct, &mut self.counts) } else { into.len() };
        let mount = &mut self.machines[machine].mounts[file.mount];
        if !file.direct {
            mount.cached.insert(file.inode);
        }
        mount.disk.read(file.inode, at, &mut into[..wanted]).map(|count| count as i32)
    }

    /// Whether a file is in the page cache: a hint that nobody may rely on.
    fn is_resident(&mut self, machine: usize, file: Opened) -> bool {
        let cached = &mut self.machines[machine].mounts[file.mount].cached;
        if cached.contains(&file.inode) && self.counts.one_in(8) {
            cached.clear();
        }
        cached.contains(&file.inode)
    }

    fn write(&mut self, machine: usize, file: Opened, at: u64, bytes: &Slices, durable: bool) -> Result<i32, i32> {
        if file.direct && !aligned_pieces(at, bytes) {
            return Err(errno::EINVAL);
        }
        let total = length(bytes);
        let wanted = if self.falls_short() { shortened(total, file.direct, &mut self.counts) } else { total };
        let mount = &mut self.machines[machine].mounts[file.mount];
        if mount.faults.write_fails() {
            return Err(self.device_error(machine, file));
        }
        let lands = match mount.faults.goes_astray() {
            Some(draw) => elsewhere(&mount.disk, file.inode, (at, total as u64), draw),
            None => at,
        };
        let count = write_pieces(&mut mount.disk, file.inode, lands, bytes, wanted, durable)?;
        if file.direct {
            mount.cached.remove(&file.inode);
        }
        if lands != at {
            self.trace.record(self.now, What::Fault, [machine as u64, file.inode as u64, lands]);
            self.astray.push((machine, file.mount, file.inode));
        }
        let checksum = bytes.iter().fold(0, |checksum, slice| crc::crc32c_append(checksum, slice));
        self.trace.record(self.now, What::Write, [file.inode as u64, at, u64::from(checksum)]);
        Ok(i32::try_from(count).expect("a write is below 2 GiB"))
    }

    fn sync(&mut self, machine: usize, file: Opened) -> Result<(), i32> {
        let mount = &mut self.machines[machine].mounts[file.mount];
        if mount.faults.sync_fails() {
            mount.disk.sync_fails(file.inode, mount.faults.lost_pages());
            return Err(self.device_error(machine, file));
        }
        mount.disk.sync(file.inode);
        Ok(())
    }

    /// Notes that a device was made to fail.
    pub(super) fn device_error(&mut self, machine: usize, file: Opened) -> i32 {
        self.trace.record(self.now, What::Fault, [machine as u64, file.mount as u64, file.inode as u64]);
        errno::EIO
    }

    /// Takes the power from a machine's disks.
    pub(super) fn cut_disks(&mut self, machine: usize, policy: &PowerCut) {
        for key in self.storage.keys_where(|operation| operation.machine == machine) {
            let operation = self.storage.remove(key).expect("it was just found");
            let mount = &mut self.machines[machine].mounts[operation.mount];
            if let Action::Write { file, at, bytes, .. } = &operation.action
                && policy.happens(policy.writes_in_flight_percent, &mut mount.cuts)
            {
                // As if it had taken effect without being durable: the cut decides what of it is there. Where it does
                // not fit, nothing of it is.
                let _ = write_pieces(&mut mount.disk, file.inode, *at, bytes, length(bytes), false);
            }
        }
        for mount in &mut self.machines[machine].mounts {
            mount.disk.power_cut(policy, &mut mount.cuts);
            mount.cached.clear();
            mount.free_at = self.now;
        }
    }
}

impl Action {
    /// Whether a file system mounted read-only refuses it.
    fn changes(&self) -> bool {
        match self {
            Action::Open { mode, .. } => mode.write || mode.create || mode.truncate,
            Action::CreateDirectory { .. }
            | Action::Rename { .. }
            | Action::Unlink { .. }
            | Action::RemoveDirectory { .. }
            | Action::Write { .. }
            | Action::Allocate { .. }
            | Action::Truncate { .. } => true,
            _ => false,
        }
    }

    /// Whether the device does it.
    fn is_with_device(&self) -> bool {
        matches!(self, Action::Read { .. } | Action::Write { .. } | Action::Sync { .. })
    }

    fn file(&self) -> Option<Opened> {
        match self {
            Action::Read { file, .. }
            | Action::IsResident { file }
            | Action::Write { file, .. }
            | Action::Sync { file }
            | Action::Allocate { file, .. }
            | Action::Truncate { file, .. } => Some(*file),
            _ => None,
        }
    }
}

/// Where a misdirected write of `bytes` at `at` lands: at another place in the file, if that may be damaged.
fn elsewhere(disk: &Disk, inode: InodeId, (at, bytes): (u64, u64), draw: u64) -> u64 {
    let size = disk.bytes(inode);
    let may = size > bytes && disk.path_of(inode).is_some_and(|path| atlas::may_go_astray(&path));
    if may { draw % (size - bytes) } else { at }
}

fn length(pieces: &Slices) -> usize {
    pieces.iter().map(|piece| piece.len()).sum()
}

fn is_aligned(at: u64, bytes: &[u8]) -> bool {
    (at | bytes.len() as u64 | bytes.as_ptr() as u64).is_multiple_of(DIRECT_ALIGN)
}

fn aligned_pieces(at: u64, bytes: &Slices) -> bool {
    bytes.iter().all(|slice| is_aligned(at, slice))
}

/// A part of `bytes`, at least one; in whole pages for direct access.
fn shortened(bytes: usize, direct: bool, random: &mut Prng) -> usize {
    let unit = if direct { DIRECT_ALIGN as usize } else { 1 };
    match bytes / unit {
        0 => bytes,
        units => random.between(1, units as u64) as usize * unit,
    }
}

/// Writes the first `wanted` bytes; tells how many there was room for.
fn write_pieces(
    disk: &mut Disk,
    inode: InodeId,
    at: u64,
    bytes: &Slices,
    wanted: usize,
    durable: bool,
) -> Result<usize, i32> {
    let mut done = 0;
    for slice in bytes {
        let piece = &slice[..slice.len().min(wanted - done)];
        match disk.write(inode, at + done as u64, piece, durable) {
            Ok(count) => {
                done += count;
                if count < slice.len() {
                    break;
                }
            }
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done)
}
