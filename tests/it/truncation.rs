//! Cutting a log while it is open, against a model: appends, cuts and deletions follow one another, and the process is
//! killed or the machine loses power anywhere between them.

use core::time::Duration;
use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;

use flumen::base::prng::Prng;
use flumen::io::Handle;
use flumen::model::error_code::ErrorCode;
use flumen::model::offset::{NO_TIMESTAMP, Offset, Timestamp, list_offsets};
use flumen::record::{BatchBuilder, BatchHeader};
use flumen::shard::{Acks, Isolation, Shard, Shards};
use flumen::sim::{MachineConfig, PowerCut, World};

use crate::engine::{content, open, partition, read_all, settings};

const ROUNDS: usize = 14;
const PRODUCER: i64 = 4711;

/// One batch that the log holds, as it was sent.
#[derive(Clone)]
struct Kept {
    base: Offset,
    bytes: Vec<u8>,
}

impl Kept {
    fn header(&self) -> &BatchHeader {
        BatchHeader::read(&self.bytes).expect("a header")
    }

    fn next(&self) -> Offset {
        self.base + i64::from(self.header().records_count())
    }
}

/// What may have happened when the process ended.
#[derive(Clone, Default)]
enum Pending {
    #[default]
    Nothing,
    /// The first few of these were appended, or none.
    Append(Vec<Vec<u8>>),
    Cut(Offset),
    Delete(Offset),
}

#[derive(Default)]
struct Model {
    start: Offset,
    end: Offset,
    batches: Vec<Kept>,
    pending: Pending,
    random: Option<Prng>,
    starts: usize,
    cuts: u64,
    checks: u64,
}

impl Model {
    fn random(&mut self) -> &mut Prng {
        self.random.as_mut().expect("a stream")
    }

    fn append(&mut self, bytes: Vec<u8>) {
        let kept = Kept { base: self.end, bytes };
        self.end = kept.next();
        self.batches.push(kept);
    }

    /// Batches stay whole, so the log may end before `to`.
    fn cut(&mut self, to: Offset) {
        if to >= self.end {
            return;
        }
        self.batches.retain(|batch| batch.next() <= to);
        match self.batches.last() {
            Some(last) if last.next() > self.start => self.end = last.next(),
            _ => {
                self.batches.clear();
                self.start = self.start.min(to);
                self.end = self.start;
            }
        }
    }

    fn delete(&mut self, to: Offset) {
        self.start = self.start.max(to);
        self.batches.retain(|batch| batch.next() > to);
    }

    /// The sequence number that the producer goes on with.
    fn sequence(&self) -> i32 {
        self.batches.last().map_or(0, |last| last.header().base_sequence() + last.header().records_count())
    }

    fn batch(&mut self, sequence: i32, wall_ms: i64) -> Vec<u8> {
        let random = self.random();
        let records = random.between(1, 4);
        let bytes = match random.below(12) {
            0 => random.between(60_000, 150_000),
            1..=3 => random.between(8_000, 40_000),
            _ => random.between(1, 1500),
        };
        let mut value = vec![0; (bytes / records) as usize];
        let mut builder = BatchBuilder::new().producer(PRODUCER, 0, sequence);
        for record in 0..records {
            random.fill(&mut value);
            // Times go up and down.
            let timestamp = wall_ms + record as i64 - random.below(5000) as i64;
            builder.append(timestamp, Some(b"key"), Some(&value), &[]);
        }
        builder.build(0)
    }
}

type Shared = Rc<RefCell<Model>>;

/// Whether the log holds what `model` says, its offsets included.
fn agrees(model: &Model, shard: &Rc<Shard>, found: &[Vec<u8>]) -> Result<(), String> {
    let offsets = shard.offsets();
    if (offsets.log_start, offsets.log_end) != (model.start, model.end) {
        return Err(format!(
            "it goes from {} to {}, not from {} to {}",
            offsets.log_start, offsets.log_end, model.start, model.end
        ));
    }
    if found.len() != model.batches.len() {
        return Err(format!("it has {} batches, not {}", found.len(), model.batches.len()));
    }
    for (stored, kept) in found.iter().zip(&model.batches) {
        let base = BatchHeader::read(stored).expect("a header").base_offset();
        if base != kept.base || content(stored) != content(&kept.bytes) {
            return Err(format!("it has another batch at {base} than the one at {}", kept.base));
        }
    }
    Ok(())
}

/// Finds out what became of the pending operation, and checks all the rest.
async fn reconcile(shard: &Rc<Shard>, model: &Shared) {
    let found = read_all(shard).await;
    let mut model = model.borrow_mut();
    let pending = std::mem::take(&mut model.pending);
    let mut why = Vec::new();
    let steps = match &pending {
        Pending::Append(batches) => batches.len() + 1,
        Pending::Nothing => 1,
        Pending::Cut(_) | Pending::Delete(_) => 2,
    };
    for step in 0..steps {
        let mut guess =
            Model { start: model.start, end: model.end, batches: model.batches.clone(), ..Model::default() };
        match &pending {
            Pending::Append(batches) => batches.iter().take(step).for_each(|batch| guess.append(batch.clone())),
            Pending::Cut(to) if step == 1 => guess.cut(*to),
            Pending::Delete(to) if step == 1 => guess.delete(*to),
            _ => {}
        }
        match agrees(&guess, shard, &found) {
            Ok(()) => {
                (model.start, model.end, model.batches) = (guess.start, guess.end, guess.batches);
                model.checks += 1;
                return;
            }
            Err(error) => why.push(error),
        }
    }
    panic!("the log is none of what it may be: {}", why.join("; "));
}

/// Looks records up by time, and compares with a walk over the model.
async fn check_times(shard: &Rc<Shard>, model: &Shared) {
    let (wanted, expected, largest) = {
        let mut model = model.borrow_mut();
        let all: Vec<(Offset, Timestamp)> = model.batches.iter().flat_map(records).collect();
        let start = model.start;
        let visible: Vec<_> = all.into_iter().filter(|(offset, _)| *offset >= start).collect();
        let largest = visible.iter().map(|(_, timestamp)| *timestamp).max();
        let Some(largest) = largest else { return };
        let wanted = largest - model.random().below(6000) as i64;
        let expected = visible.iter().find(|(_, timestamp)| *timestamp >= wanted).copied();
        (wanted, expected, visible.iter().find(|(_, timestamp)| *timestamp == largest).copied())
    };
    let found = shard.offset_for_timestamp(wanted, Isolation::ReadUncommitted).await.expect("a look-up");
    assert_eq!((found.offset, found.timestamp), expected.unwrap_or((-1, NO_TIMESTAMP)), "the first at {wanted}");
    let found = shard.offset_for_timestamp(list_offsets::MAX_TIMESTAMP, Isolation::ReadUncommitted).await;
    let found = found.expect("a look-up");
    assert_eq!(Some((found.offset, found.timestamp)), largest, "the largest");
}

fn records(kept: &Kept) -> Vec<(Offset, Timestamp)> {
    let walked = flumen::record::records(&kept.bytes).expect("a sound batch");
    let all: Vec<_> = walked.iter().map(|record| record.expect("a record")).map(|one| one.timestamp).collect();
    all.into_iter().enumerate().map(|(at, timestamp)| (kept.base + at as i64, timestamp)).collect()
}

async fn append_some(io: &Handle, shard: &Rc<Shard>, model: &Shared) {
    let batches: Vec<Vec<u8>> = {
        let mut model = model.borrow_mut();
        let mut sequence = model.sequence();
        let count = model.random().between(1, 5);
        (0..count)
            .map(|_| {
                let batch = model.batch(sequence, io.wall_ms());
                sequence += BatchHeader::read(&batch).expect("a header").records_count();
                batch
            })
            .collect()
    };
    model.borrow_mut().pending = Pending::Append(batches.clone());
    let placed: Vec<_> = batches.iter().map(|batch| shard.append(batch, Acks::All)).collect();
    for (append, batch) in placed.into_iter().zip(batches) {
        let appended = append.await.expect("an append");
        let mut model = model.borrow_mut();
        assert_eq!(appended.base_offset, model.end, "the next offset is given out");
        model.append(batch);
        if let Pending::Append(left) = &mut model.pending {
            left.remove(0);
        }
    }
    model.borrow_mut().pending = Pending::Nothing;
}

/// Sends the last batch again: the producers' state must know it, whatever was cut behind it.
async fn repeat_last(shard: &Rc<Shard>, model: &Shared) {
    let last = model.borrow().batches.last().cloned();
    let Some(last) = last.filter(|last| last.base >= model.borrow().start) else { return };
    let appended = shard.append(&last.bytes, Acks::All).await.expect("a repeated batch");
    assert_eq!(appended.base_offset, last.base, "it has the offset that it got");
    assert_eq!(shard.offsets().log_end, last.next());
}

/// Skips a sequence number, which the producers' state must notice.
async fn skip_a_sequence(io: &Handle, shard: &Rc<Shard>, model: &Shared) {
    let batch = {
        let mut model = model.borrow_mut();
        if model.batches.last().is_none_or(|last| last.base < model.start) {
            return;
        }
        let sequence = model.sequence() + 1;
        model.batch(sequence, io.wall_ms())
    };
    let error = shard.append(&batch, Acks::All).await.expect_err("a gap");
    assert_eq!(error.code, ErrorCode::OutOfOrderSequenceNumber);
}

async fn cut_somewhere(shard: &Rc<Shard>, model: &Shared) {
    let to = {
        let mut model = model.borrow_mut();
        let (start, end) = (model.start, model.end);
        let to = match model.random().below(6) {
            0 => start - model.random().below(4) as i64,
            1 => end + model.random().below(3) as i64,
            2 => start + model.random().below((end - start + 1) as u64) as i64,
            _ => end - model.random().below(12) as i64,
        };
        to.max(0)
    };
    model.borrow_mut().pending = Pending::Cut(to);
    let end = shard.truncate(to).await.expect("a cut");
    let mut model = model.borrow_mut();
    model.pending = Pending::Nothing;
    model.cut(to);
    model.cuts += 1;
    assert_eq!((end, shard.offsets().log_end), (model.end, model.end), "cut to {to}");
    assert_eq!(shard.high_watermark(), model.end);
}

async fn delete_some(shard: &Rc<Shard>, model: &Shared) {
    let to = {
        let mut model = model.borrow_mut();
        let (start, end) = (model.start, model.end);
        start + model.random().below((end - start + 1) as u64) as i64 / 2
    };
    model.borrow_mut().pending = Pending::Delete(to);
    shard.delete_records(to).await.expect("a deletion");
    let mut model = model.borrow_mut();
    model.pending = Pending::Nothing;
    model.delete(to);
}

async fn work(io: &Handle, shard: &Rc<Shard>, model: &Shared) {
    loop {
        let choice = model.borrow_mut().random().below(100);
        match choice {
            0..60 => append_some(io, shard, model).await,
            60..72 => cut_somewhere(shard, model).await,
            72..75 => delete_some(shard, model).await,
            75..80 => reconcile(shard, model).await,
            80..85 => check_times(shard, model).await,
            85..90 => repeat_last(shard, model).await,
            90..95 => skip_a_sequence(io, shard, model).await,
            _ => {
                let pause = model.borrow_mut().random().below(60);
                io.sleep(Duration::from_millis(pause)).await;
            }
        }
    }
}

async fn broker(io: Handle, model: Shared) {
    let shards: Shards = open(&io).await;
    let shard = shards.open(partition(0), "cut-0", settings(), 0);
    reconcile(&shard, &model).await;
    check_times(&shard, &model).await;
    model.borrow_mut().starts += 1;
    let worker = {
        let (io, shard, model) = (io.clone(), Rc::clone(&shard), Rc::clone(&model));
        async move { work(&io, &shard, &model).await }
    };
    worker.await;
}

/// Gives the hash of the run and how many cuts and checks there were.
fn run(seed: u64) -> (u64, u64, u64) {
    let mut world = World::new(seed);
    let machine = world.machine(&MachineConfig::default());
    let model = Shared::default();
    model.borrow_mut().random = Some(Prng::new(seed).split("workload"));
    let mut fate = Prng::new(seed).split("fate");
    let shared = Rc::clone(&model);
    let process = world.client(machine, move |io| broker(io, Rc::clone(&shared)));
    for round in 1..=ROUNDS {
        let started = world.run_until(Duration::from_secs(60), |_| model.borrow().starts == round);
        assert!(started, "seed {seed}: round {round} does not start");
        world.run_for(Duration::from_micros(fate.between(500, 300_000)));
        if fate.one_in(2) {
            world.kill(process);
        } else {
            world.power_cut(machine, if fate.one_in(2) { PowerCut::default() } else { PowerCut::mixed() });
            world.power_on(machine);
        }
        world.restart(process);
    }
    assert!(world.run_until(Duration::from_secs(60), |_| model.borrow().starts == ROUNDS + 1));
    let model = model.borrow();
    let hash = world.trace().hash();
    (hash, model.cuts, model.checks)
}

/// Says which seed it was that failed.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "it was seed {}", self.0);
        }
    }
}

#[test]
fn a_log_that_is_cut_while_it_is_open_is_what_a_model_says() {
    let (mut cuts, mut checks) = (0, 0);
    for seed in 0..20 {
        let told = Told(seed);
        let (_, cut, checked) = run(seed);
        drop(told);
        cuts += cut;
        checks += checked;
    }
    assert!(cuts > 300 && checks > 250, "{cuts} cuts and {checks} checks");
}
