//! What a crash leaves behind on the disk, and that it goes: files of segments between the checkpoint that no longer names
//! them and their removal, directories of deleted partitions, temporary files.

use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flumen::io::Handle;
use flumen::io::file::{self, File};
use flumen::io::op::OpenMode;
use flumen::log::directory::parse_file_name;
use flumen::model::offset::Offset;
use flumen::record::BatchBuilder;
use flumen::shard::{Acks, Shard};
use flumen::sim::{MachineConfig, MachineId, World};

use crate::engine::{open, partition, settings};

/// What the process is to do once it has started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Delete the older half of the records.
    Delete,
    /// Cut the younger half of the log off.
    Cut,
    /// Remove the partition.
    Remove,
    /// Nothing: look what is left.
    Rest,
}

#[derive(Default)]
struct Scene {
    then: Option<Then>,
    ready: bool,
    end: Offset,
}

type Shared = Rc<RefCell<Scene>>;

fn batch(wall_ms: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.append(wall_ms, Some(b"key"), Some(&[7; 30_000]), &[]);
    builder.build(0)
}

/// Fills a dozen segments.
async fn fill(io: &Handle, shard: &Rc<Shard>) {
    for _ in 0..80 {
        shard.append(&batch(io.wall_ms()), Acks::All).await.expect("an append");
    }
    // Write-back comes by.
    io.sleep(Duration::from_secs(1)).await;
}

async fn broker(io: Handle, scene: Shared) {
    let shards = open(&io).await;
    let shard = shards.open(partition(0), "left-0", settings(), 0);
    let then = scene.borrow().then.expect("told");
    if then != Then::Rest {
        fill(&io, &shard).await;
    }
    scene.borrow_mut().ready = true;
    let middle = shard.offsets().log_end / 2;
    match then {
        Then::Delete => drop(shard.delete_records(middle).await),
        Then::Cut => drop(shard.truncate(middle).await),
        Then::Remove => drop(shards.remove(partition(0)).await),
        Then::Rest => {}
    }
    scene.borrow_mut().end = shard.offsets().log_end;
    std::future::pending::<()>().await;
}

fn files(world: &mut World, machine: MachineId) -> Vec<PathBuf> {
    world.disk(machine, Path::new("/data"), |disk| disk.paths())
}

/// The base offsets of the segments whose `.log` files exist.
fn bases(world: &mut World, machine: MachineId) -> BTreeSet<Offset> {
    let paths = files(world, machine);
    let names = paths.iter().filter(|path| path.parent().is_some_and(|parent| parent.ends_with("left-0")));
    names.filter_map(|path| parse_file_name(path.file_name()?.to_str()?)).map(|(base, _)| base).collect()
}

struct Run {
    world: World,
    machine: MachineId,
    process: flumen::sim::ProcessId,
    scene: Shared,
}

fn begin(then: Then) -> Run {
    let mut world = World::new(3);
    let machine = world.machine(&MachineConfig::default());
    let scene = Shared::default();
    scene.borrow_mut().then = Some(then);
    let shared = Rc::clone(&scene);
    let process = world.client(machine, move |io| broker(io, Rc::clone(&shared)));
    assert!(world.run_until(Duration::from_secs(60), |_| scene.borrow().ready));
    Run { world, machine, process, scene }
}

impl Run {
    /// Kills the process as soon as `now` is true, starts it again, and lets time pass.
    fn kill_when(&mut self, mut now: impl FnMut(&mut World, MachineId) -> bool) {
        let mut steps = 0;
        while !now(&mut self.world, self.machine) {
            self.world.run_for(Duration::from_micros(5));
            steps += 1;
            assert!(steps < 1_000_000, "the moment never comes");
        }
        self.world.kill(self.process);
    }

    fn start_again(&mut self) {
        {
            let mut scene = self.scene.borrow_mut();
            (scene.ready, scene.then) = (false, Some(Then::Rest));
        }
        self.world.restart(self.process);
        assert!(self.world.run_until(Duration::from_secs(60), |_| self.scene.borrow().ready));
    }
}

#[test]
fn segments_that_a_deletion_left_are_removed_after_a_crash() {
    let mut run = begin(Then::Delete);
    let before = bases(&mut run.world, run.machine);
    assert!(before.len() > 8, "{before:?}");
    // The first file is gone, so the checkpoint no longer names any of them.
    let first = before.first().copied().expect("a segment");
    run.kill_when(|world, machine| {
        let log = PathBuf::from(format!("/data/left-0/{first:020}.log"));
        !files(world, machine).contains(&log)
    });
    let left = bases(&mut run.world, run.machine);
    assert!(left.len() > before.len() / 2 + 1, "some are left: {left:?}");
    run.start_again();
    run.world.run_for(Duration::from_secs(60));
    let after = bases(&mut run.world, run.machine);
    assert_eq!(after.iter().filter(|base| **base <= 40).count(), 1, "only the one that holds the log start: {after:?}");
}

#[test]
fn segments_that_a_cut_left_are_removed_after_a_crash() {
    let mut run = begin(Then::Cut);
    let before = bases(&mut run.world, run.machine);
    let beyond: Vec<Offset> = before.iter().copied().filter(|base| *base > 40).collect();
    assert!(beyond.len() > 3, "{before:?}");
    let first = beyond[0];
    run.kill_when(|world, machine| {
        let log = PathBuf::from(format!("/data/left-0/{first:020}.log"));
        !files(world, machine).contains(&log)
    });
    assert!(bases(&mut run.world, run.machine).iter().any(|base| *base > first), "some are left");
    run.start_again();
    assert_eq!(run.scene.borrow().end, 40, "the cut lasts");
    run.world.run_for(Duration::from_secs(60));
    let after = bases(&mut run.world, run.machine);
    assert!(after.iter().all(|base| *base <= 40), "{after:?}");
}

#[test]
fn directories_of_deleted_partitions_are_removed_at_the_start() {
    let mut run = begin(Then::Remove);
    let is_doomed = |path: &PathBuf| path.to_string_lossy().ends_with("-delete");
    run.kill_when(|world, machine| {
        let files = files(world, machine);
        let inside = files.iter().filter(|path| path.to_string_lossy().contains("-delete/")).count();
        files.iter().any(is_doomed) && inside < 20
    });
    assert!(files(&mut run.world, run.machine).iter().any(is_doomed));
    run.start_again();
    assert!(!files(&mut run.world, run.machine).iter().any(is_doomed));
}

#[test]
fn temporary_files_go_and_foreign_ones_stay() {
    let mut world = World::new(4);
    let machine = world.machine(&MachineConfig::default());
    let scene = Shared::default();
    scene.borrow_mut().then = Some(Then::Delete);
    let shared = Rc::clone(&scene);
    let own = ["leader-epoch-checkpoint.tmp", "00000000000000000000.tmp", "00000000000000099999.log"];
    let foreign = ["notes.txt", "00000000000000000000.log.bak", "orders.tmp"];
    let process = world.client(machine, move |io| {
        let scene = Rc::clone(&shared);
        async move {
            file::create_directory(&io, Path::new("/data")).await.expect("a directory");
            file::create_directory(&io, Path::new("/data/left-0")).await.expect("a directory");
            for name in own.iter().chain(&foreign) {
                let mode = OpenMode { write: true, create: true, ..OpenMode::default() };
                File::open(&io, &Path::new("/data/left-0").join(name), mode).await.expect("a file");
            }
            broker(io, scene).await;
        }
    });
    assert!(world.run_until(Duration::from_secs(60), |_| scene.borrow().ready));
    world.run_for(Duration::from_secs(60));
    let paths = files(&mut world, machine);
    let is_there = |name: &&str| paths.contains(&Path::new("/data/left-0").join(name));
    assert!(!own.iter().any(&is_there), "{paths:?}");
    assert!(foreign.iter().all(is_there), "{paths:?}");
    world.kill(process);
}
