//! Connections that produce: a sender that follows the schedule, and a receiver of the replies.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use flumen::base::block::{Appender, Slice, Use};
use flumen::base::oneshot;
use flumen::base::prng::Prng;
use flumen::base::time::{Duration, Instant};
use flumen::io::Handle;
use flumen::io::op::Slices;
use flumen::io::socket::Socket;
use flumen::model::error_code::ErrorCode;

use super::frames::SmallFrames;
use super::measure::{Recorder, Series, Work};
use super::options::Sending;
use super::shared::Shared;
use super::template::{Producer, STAMP_BYTES, Stamp, Template, key, partition_of, records_per_batch, set_producer};
use super::verify::Ledger;
use super::wire::{ProduceFrame, read_produced};

/// Batches above this are sent from where they lie instead of being copied into the request.
const SHARED_BATCH_BYTES_MIN: usize = 8 << 10;
/// Blocks that requests are written into.
const COPY_BLOCK_BYTES: usize = 64 << 10;
/// Slices of one send: several requests may leave together.
const SLICES_MAX: usize = 64;
/// How long replies are awaited after the last request.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// Bytes of templates at most: with keys there is one for each partition.
const TEMPLATES_BYTES_MAX: usize = 512 << 20;

/// The batches that the connections of a thread send.
pub struct Templates {
    /// By partition (with keys) and compression.
    all: Vec<Template>,
    shared: Vec<Option<Slice>>,
    compressions: usize,
    by_partition: bool,
    is_stamped: bool,
}

impl Templates {
    /// Makes them; stamped ones carry sequence numbers and times.
    ///
    /// # Errors
    /// When the options ask for what cannot be.
    pub fn new(sending: &Sending, partitions: usize, is_stamped: bool, io: &Handle) -> Result<Templates, String> {
        if is_stamped && sending.record_bytes < STAMP_BYTES {
            return Err(format!("records of less than {STAMP_BYTES} bytes have no room for what is to be verified"));
        }
        let count = records_per_batch(sending);
        let by_partition = sending.keys.is_some();
        let mut keys: Vec<Vec<u32>> = vec![Vec::new(); if by_partition { partitions } else { 1 }];
        for number in 0..sending.keys.unwrap_or(0) {
            keys[partition_of(&key(number), partitions)].push(number);
        }
        if by_partition && keys.iter().any(Vec::is_empty) {
            return Err(format!("--keys: more keys are needed so that each of {partitions} partitions has one"));
        }
        if keys.len() * sending.compression.len() * count as usize * sending.record_bytes > TEMPLATES_BYTES_MAX {
            return Err("--keys with batches this large for so many partitions takes too much memory".to_owned());
        }
        let mut random = Prng::new(io.random());
        let mut all = Vec::new();
        for keys in &keys {
            for compression in &sending.compression {
                all.push(Template::new(count, sending.record_bytes, keys, *compression, io.wall_ms(), &mut random));
            }
        }
        let is_fixed = !is_stamped && !sending.idempotent;
        let share = |template: &Template| {
            let bytes = template.bytes.len();
            let mut block = io.pool().block_unlimited(bytes, Use::Reply).ok_or("no memory for the batches")?;
            block[..bytes].copy_from_slice(&template.bytes);
            Ok::<_, String>(block.into_slice(bytes))
        };
        let is_shared = |template: &Template| is_fixed && template.bytes.len() >= SHARED_BATCH_BYTES_MIN;
        let shared = all.iter().map(|template| is_shared(template).then(|| share(template)).transpose());
        let shared = shared.collect::<Result<_, _>>()?;
        Ok(Templates { all, shared, compressions: sending.compression.len(), by_partition, is_stamped })
    }

    fn index(&self, partition: i32, turn: u64) -> usize {
        let first = if self.by_partition { partition as usize * self.compressions } else { 0 };
        first + (turn % self.compressions as u64) as usize
    }
}

/// Part of a request that is under way: partition, first sequence and count of its records.
type Sent = (i32, u64, u32);

/// A request that is under way.
struct Pending {
    intended: Instant,
    correlation_id: i32,
    work: Work,
    sent: Vec<Sent>,
}

/// A connection's state.
struct Lane {
    in_flight: RefCell<VecDeque<Pending>>,
    in_flight_max: usize,
    /// The sender, asleep for want of a slot.
    room: RefCell<Option<oneshot::Sender<()>>>,
    sender_done: Cell<bool>,
}

impl Lane {
    fn has_room(&self) -> bool {
        self.in_flight.borrow().len() < self.in_flight_max
    }

    /// Takes the oldest request off; whoever waits for room may go on.
    fn answered(&self) -> Option<Pending> {
        let pending = self.in_flight.borrow_mut().pop_front();
        if let Some(room) = self.room.borrow_mut().take() {
            room.send(());
        }
        pending
    }
}

/// Everything that a producing connection needs.
pub struct Connection {
    pub io: Handle,
    pub socket: Rc<Socket>,
    pub shared: std::sync::Arc<Shared>,
    pub recorder: Rc<RefCell<Recorder>>,
    pub templates: Rc<RefCell<Templates>>,
    pub ledger: Rc<RefCell<Ledger>>,
    pub partitions: Vec<i32>,
    pub partitions_per_request: usize,
    pub frame: ProduceFrame,
    pub producer: Option<(i64, i16)>,
    pub in_flight: usize,
    /// Between two intended requests of this connection, and before the first one; `None` to saturate.
    pub pace: Option<Pace>,
    /// Names the connection in stamps.
    pub source: u32,
}

/// When a connection's requests are meant to leave.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub first: Instant,
    /// In nanoseconds; a fraction of one would add up.
    pub period_ns: f64,
}

impl Pace {
    /// When request `number` is meant to leave.
    pub fn at(&self, number: u64) -> Instant {
        self.first + Duration::from_nanos((self.period_ns * number as f64) as u64)
    }
}

/// Produces until the window ends and everything is answered.
pub async fn run(connection: Connection) {
    let lane = Rc::new(Lane {
        in_flight: RefCell::default(),
        in_flight_max: connection.in_flight,
        room: RefCell::default(),
        sender_done: Cell::new(false),
    });
    let (done, sent) = oneshot::channel();
    let has_replies = connection.frame.acks != 0;
    let (io, shared) = (connection.io.clone(), std::sync::Arc::clone(&connection.shared));
    let (socket, recorder) = (Rc::clone(&connection.socket), Rc::clone(&connection.recorder));
    let ledger = Rc::clone(&connection.ledger);
    let source = connection.source;
    let (send_lane, send_io) = (Rc::clone(&lane), io.clone());
    io.spawn(async move {
        let mut sender = Sender::new(connection, Rc::clone(&send_lane));
        if let Err(reason) = sender.run(&send_io).await {
            sender.connection.shared.fail(format!("a producer's connection failed: {reason}"));
            sender.connection.socket.shutdown(&send_io);
        }
        send_lane.sender_done.set(true);
        // With nothing under way the receiver waits for bytes that will not come.
        if send_lane.in_flight.borrow().is_empty() {
            sender.connection.socket.shutdown(&send_io);
        }
        done.send(());
    });
    if has_replies {
        let receiver = Receiver { io: io.clone(), shared, recorder, ledger, lane: Rc::clone(&lane), source };
        receiver.run(&socket).await;
    }
    // The sender's end says that nothing of it is left.
    let _ = sent.await;
}

/// The half that sends.
struct Sender {
    connection: Connection,
    lane: Rc<Lane>,
    /// Records sent so far, by place in the connection's partitions.
    sequences: Vec<u64>,
    next_partition: usize,
    requests: u64,
    correlation_id: i32,
    scratch: Vec<u8>,
    stamped: Vec<u8>,
    copies: Option<Appender>,
}

impl Sender {
    fn new(connection: Connection, lane: Rc<Lane>) -> Sender {
        Sender {
            sequences: vec![0; connection.partitions.len()],
            connection,
            lane,
            next_partition: 0,
            requests: 0,
            correlation_id: 0,
            scratch: Vec::new(),
            stamped: Vec::new(),
            copies: None,
        }
    }

    async fn run(&mut self, io: &Handle) -> Result<(), String> {
        loop {
            while !self.lane.has_room() {
                let (sender, receiver) = oneshot::channel();
                *self.lane.room.borrow_mut() = Some(sender);
                let _ = receiver.await;
            }
            let intended = self.intended(io);
            if self.is_over(intended) {
                return Ok(());
            }
            if intended > io.now() {
                io.sleep_until(intended).await;
            }
            let mut slices = Slices::new();
            let mut pending = vec![self.request(io, intended, &mut slices)?];
            // What else is due leaves with it.
            while slices.len() < SLICES_MAX
                && self.lane.in_flight.borrow().len() + pending.len() < self.lane.in_flight_max
            {
                let intended = self.intended(io);
                if intended > io.now() || self.is_over(intended) {
                    break;
                }
                pending.push(self.request(io, intended, &mut slices)?);
            }
            let unanswered = if self.connection.frame.acks == 0 { Some(pending) } else { self.track(pending) };
            self.connection.socket.send(io, slices, false).await.map_err(|error| error.to_string())?;
            for pending in unanswered.into_iter().flatten() {
                self.sent_for_good(io, &pending);
            }
        }
    }

    fn track(&self, pending: Vec<Pending>) -> Option<Vec<Pending>> {
        self.lane.in_flight.borrow_mut().extend(pending);
        None
    }

    /// With acks=0 a request is over when the kernel has taken it.
    fn sent_for_good(&self, io: &Handle, pending: &Pending) {
        let mut recorder = self.connection.recorder.borrow_mut();
        recorder.latency(Series::Acknowledge, pending.intended, io.now(), 1);
        recorder.done(io.now(), pending.work, false);
        self.connection.shared.count(pending.work.records, pending.work.bytes);
    }

    fn intended(&self, io: &Handle) -> Instant {
        self.connection.pace.map_or_else(|| io.now(), |pace| pace.at(self.requests))
    }

    fn is_over(&self, intended: Instant) -> bool {
        intended >= self.connection.recorder.borrow().window().end || self.connection.shared.is_stopped()
    }

    /// Adds the next request to what is sent.
    fn request(&mut self, io: &Handle, intended: Instant, slices: &mut Slices) -> Result<Pending, String> {
        let templates = Rc::clone(&self.connection.templates);
        let mut templates = templates.borrow_mut();
        let share = self.connection.partitions.len();
        let count = self.connection.partitions_per_request.min(share);
        let first = self.next_partition;
        let places = (0..count).map(|at| (first + at) % share);
        let mut sizes: Vec<usize> = Vec::with_capacity(count);
        let mut batches: Vec<(usize, Option<Vec<u8>>)> = Vec::with_capacity(count);
        for place in places.clone() {
            let index = templates.index(self.connection.partitions[place], self.requests);
            let own = self.own_batch(&mut templates, index, place, intended);
            sizes.push(own.as_ref().map_or(templates.all[index].bytes.len(), Vec::len));
            batches.push((index, own));
        }
        self.correlation_id = self.correlation_id.wrapping_add(1);
        self.scratch.clear();
        self.connection.frame.put_front(&mut self.scratch, self.correlation_id, sizes.iter().copied());
        let (mut work, mut sent) = (Work::default(), Vec::new());
        for (at, (place, (index, own))) in places.zip(batches).enumerate() {
            let partition = self.connection.partitions[place];
            ProduceFrame::put_partition(&mut self.scratch, partition, sizes[at]);
            match (own, &templates.shared[index]) {
                (Some(own), _) => self.scratch.extend_from_slice(&own),
                (None, Some(shared)) => {
                    self.flush(io, slices)?;
                    slices.push(shared.clone());
                }
                (None, None) => self.scratch.extend_from_slice(&templates.all[index].bytes),
            }
            ProduceFrame::put_partition_end(&mut self.scratch, at + 1 == count);
            let records = templates.all[index].records;
            work.records += u64::from(records);
            work.bytes += sizes[at] as u64;
            if templates.is_stamped {
                sent.push((partition, self.sequences[place], records));
            }
            self.sequences[place] += u64::from(records);
        }
        self.flush(io, slices)?;
        self.next_partition = (self.next_partition + count) % share;
        self.requests += 1;
        Ok(Pending { intended, correlation_id: self.correlation_id, work, sent })
    }

    /// The batch for a partition if it is unlike the template.
    fn own_batch(&mut self, templates: &mut Templates, index: usize, place: usize, at: Instant) -> Option<Vec<u8>> {
        /// Sequence numbers start again at 0 after the largest `i32`.
        const SEQUENCES: u64 = 1 << 31;
        let sequence = self.sequences[place];
        let producer = self.connection.producer.map(|(id, epoch)| Producer {
            id,
            epoch,
            base_sequence: (sequence % SEQUENCES) as i32,
        });
        if templates.is_stamped {
            let first = Stamp { source: self.connection.source, sequence, intended_ns: at.0 };
            templates.all[index].stamped(first, &mut self.stamped);
        } else if producer.is_some() {
            self.stamped.clear();
            self.stamped.extend_from_slice(&templates.all[index].bytes);
        } else {
            return None;
        }
        if let Some(producer) = producer {
            set_producer(&mut self.stamped, producer);
        }
        Some(self.stamped.clone())
    }

    /// Moves what was written to a slice.
    fn flush(&mut self, io: &Handle, slices: &mut Slices) -> Result<(), String> {
        let bytes = self.scratch.len();
        if self.copies.as_ref().is_none_or(|copies| copies.room() < bytes) {
            let block = io.pool().block_unlimited(bytes.max(COPY_BLOCK_BYTES), Use::Reply);
            self.copies = Some(block.ok_or("no memory for requests")?.into_appender());
        }
        let copies = self.copies.as_mut().expect("it was just made");
        copies.reserve(bytes).copy_from_slice(&self.scratch);
        slices.push(copies.share(bytes));
        self.scratch.clear();
        Ok(())
    }
}

/// The half that receives.
struct Receiver {
    io: Handle,
    shared: std::sync::Arc<Shared>,
    recorder: Rc<RefCell<Recorder>>,
    ledger: Rc<RefCell<Ledger>>,
    lane: Rc<Lane>,
    source: u32,
}

impl Receiver {
    async fn run(&self, socket: &Rc<Socket>) {
        let mut frames = SmallFrames::new(&self.io, socket);
        self.close_when_late(socket);
        loop {
            match self.take_all(&mut frames) {
                Ok(()) if self.is_over() => return,
                Ok(()) => {}
                Err(reason) => return self.failed(&reason),
            }
            if let Err(reason) = frames.receive(&self.io, socket).await {
                if self.is_over() {
                    return;
                }
                return self.failed(&reason);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.lane.sender_done.get() && self.lane.in_flight.borrow().is_empty()
    }

    fn failed(&self, reason: &str) {
        self.shared.fail(format!("a producer's connection failed: {reason}"));
        // The sender must not wait for room that never comes.
        self.lane.in_flight.borrow_mut().clear();
        self.lane.answered();
    }

    /// Gives up a connection whose replies do not come.
    fn close_when_late(&self, socket: &Rc<Socket>) {
        let (io, socket, lane) = (self.io.clone(), Rc::clone(socket), Rc::clone(&self.lane));
        let end = self.recorder.borrow().window().end + DRAIN_MAX;
        let io_of_task = io.clone();
        io.spawn(async move {
            io_of_task.sleep_until(end).await;
            if !lane.in_flight.borrow().is_empty() {
                socket.shutdown(&io_of_task);
            }
        });
    }

    fn take_all(&self, frames: &mut SmallFrames) -> Result<(), String> {
        while let Some(frame) = frames.try_next()? {
            let mut refused = None;
            let read = read_produced(frame, |produced| {
                if produced.error_code != 0 {
                    refused.get_or_insert(produced);
                }
            });
            let correlation_id = read.map_err(|error| format!("a reply cannot be read: {error}"))?;
            let pending = self.lane.answered().ok_or("a reply to no request")?;
            if pending.correlation_id != correlation_id {
                return Err(format!("a reply to request {correlation_id} instead of {}", pending.correlation_id));
            }
            let now = self.io.now();
            let mut recorder = self.recorder.borrow_mut();
            if let Some(refused) = refused {
                recorder.errors += 1;
                self.shared.error(|| {
                    let error = ErrorCode::from_code(refused.error_code).map_or("?", ErrorCode::name);
                    let message = refused.message.as_deref().unwrap_or("");
                    format!("partition {} refused a batch: {error} {message}", refused.partition)
                });
                continue;
            }
            recorder.latency(Series::Acknowledge, pending.intended, now, 1);
            recorder.done(now, pending.work, false);
            self.shared.count(pending.work.records, pending.work.bytes);
            for (partition, first, count) in pending.sent {
                self.ledger.borrow_mut().acknowledged(self.source, partition, first, u64::from(count));
            }
        }
        Ok(())
    }
}
