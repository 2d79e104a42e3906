//! Groups of the journal that were on their way to the disk when the process was killed, and arrive only after the next
//! start has looked for them: the next start's acknowledged records stay.

use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;

use flumen::io::Handle;
use flumen::io::file::{self, File};
use flumen::io::op::OpenMode;
use flumen::model::offset::Offset;
use flumen::record::{BatchBuilder, BatchHeader};
use flumen::shard::{Acks, Shard, StorageConfig};
use flumen::sim::{MachineConfig, World};

use crate::engine::{config, open_as, partition, read_all, settings};

const VALUES: [&str; 4] = ["kept", "late", "acknowledged", "last"];
const BLOCK: usize = 4096;
/// The first group of a journal file follows its header.
const GROUPS_START: usize = BLOCK;

/// Nothing is written back before a clean stop.
fn journal_only() -> StorageConfig {
    StorageConfig { write_back_bytes: 1 << 30, write_back_interval: Duration::from_secs(3600), ..config() }
}

#[derive(Default)]
struct Story {
    /// The first start's journal file with all groups.
    whole: RefCell<Vec<u8>>,
    ready: Cell<usize>,
    /// What the last start found: base offsets and values.
    found: RefCell<Vec<(Offset, &'static str)>>,
}

async fn append(io: &Handle, shard: &Rc<Shard>, value: &str) {
    let mut batch = BatchBuilder::new();
    batch.append(io.wall_ms(), None, Some(value.as_bytes()), &[]);
    shard.append(&batch.build(0), Acks::All).await.expect("an acknowledged append");
}

/// The journal file of the first start, with `content` if there is some.
async fn journal(io: &Handle, content: Option<&[u8]>) -> Vec<u8> {
    let path = Path::new("/data/journal/000001-00-0000.journal");
    if let Some(content) = content {
        let mode = OpenMode { write: true, create: true, ..OpenMode::default() };
        let file = File::open(io, path, mode).await.expect("it opens");
        file::append_copied(io, &file, 0, content).await.expect("a write");
    }
    file::read_whole(io, path, 1 << 30).await.expect("a read").expect("a journal")
}

/// Each start does its part; `groups` groups of the first one, of a batch each, are late. A clean stop removes the first
/// start's journal, and the power cut that follows brings it back, late groups and all.
async fn start(io: Handle, number: usize, groups: usize, story: Rc<Story>) {
    if number == 2 {
        let whole = journal(&io, None).await;
        let late = GROUPS_START + BLOCK..GROUPS_START + (1 + groups) * BLOCK;
        assert!(whole[late.clone()].chunks(BLOCK).all(|block| block[..4] == *b"FLJG"), "a group for each batch");
        let mut early = whole.clone();
        early[late].fill(0);
        journal(&io, Some(&early)).await;
        *story.whole.borrow_mut() = whole;
    }
    if number == 3 {
        let whole = story.whole.borrow().clone();
        journal(&io, Some(&whole)).await;
    }
    let shards = open_as(&io, journal_only()).await;
    let shard = shards.open(partition(0), "topic-0", settings(), 0);
    match number {
        1 => {
            append(&io, &shard, "kept").await;
            for _ in 0..groups {
                append(&io, &shard, "late").await;
            }
        }
        2 => {
            assert_eq!(shard.offsets().log_end, 1, "the late groups are not there yet");
            append(&io, &shard, "acknowledged").await;
        }
        _ => {
            append(&io, &shard, "last").await;
            for bytes in read_all(&shard).await {
                let header = BatchHeader::read(&bytes).expect("a header");
                let holds = |value: &&str| bytes.windows(value.len()).any(|window| window == value.as_bytes());
                let value = VALUES.iter().copied().find(holds).expect("one of the values");
                story.found.borrow_mut().push((header.base_offset(), value));
            }
        }
    }
    story.ready.set(number);
    io.submit(flumen::io::op::Op::StopSignal).await;
    shards.shutdown().await.expect("a clean stop");
}

fn run(groups: usize, is_stopped: bool) {
    let mut world = World::new(1);
    let machine = world.machine(&MachineConfig::default());
    let (story, number) = (Rc::new(Story::default()), Rc::new(Cell::new(0)));
    let told = Rc::clone(&story);
    let process = world.client(machine, move |io| {
        number.set(number.get() + 1);
        start(io, number.get(), groups, Rc::clone(&told))
    });
    for number in 1..=3 {
        assert!(world.run_until(Duration::from_secs(60), |_| story.ready.get() == number), "start {number}");
        if number == 2 && is_stopped {
            world.stop(process);
            assert!(world.run_until(Duration::from_secs(60), |world| !world.is_running(process)), "it stops");
        } else {
            world.kill(process);
        }
        if number < 3 {
            world.restart(process);
        }
    }
    let expected = [(0, "kept"), (1, "acknowledged"), (2, "last")];
    assert_eq!(*story.found.borrow(), expected, "{groups} late groups, stopped cleanly: {is_stopped}");
}

#[test]
fn late_groups_do_not_replace_what_a_later_start_acknowledged() {
    for groups in 1..=3 {
        run(groups, false);
    }
}

#[test]
fn late_groups_do_not_follow_what_a_later_start_checkpointed() {
    for groups in 1..=3 {
        run(groups, true);
    }
}
