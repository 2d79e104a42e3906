//! Connections that consume, in fetch sessions as Kafka's consumers use them (KIP-227).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use flumen::base::block::Use;
use flumen::base::time::Instant;
use flumen::io::Handle;
use flumen::io::op::Slices;
use flumen::io::socket::Socket;
use flumen::model::error_code::ErrorCode;
use flumen::record::{batches, records};

use super::frames::LargeFrames;
use super::measure::{Recorder, Series, Work};
use super::shared::Shared;
use super::template::Stamp;
use super::verify::Checker;
use super::wire::{FetchFrame, Fetched, read_fetched};

/// Fetches in a row that the broker refuses before the run is given up.
const REFUSALS_MAX: u32 = 100;

/// When a reader is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// When everything that was there at the start is read.
    CaughtUp,
    /// When the time is over; it begins again whenever everything is read.
    RepeatedlyCaughtUp,
    /// When the time is over; it waits for more.
    Time,
}

/// Where a reader is in one partition.
#[derive(Clone, Debug)]
pub struct Position {
    pub partition: i32,
    pub start: i64,
    pub offset: i64,
    pub end: i64,
    /// Whether the broker does not know the offset yet.
    pub is_news: bool,
}

/// Everything that a consuming connection needs.
pub struct Connection {
    pub io: Handle,
    pub socket: Socket,
    pub shared: Arc<Shared>,
    pub recorder: Rc<RefCell<Recorder>>,
    pub checker: Option<Rc<RefCell<Checker>>>,
    /// Whether values carry the time that they were meant to be sent at.
    pub is_stamped: bool,
    pub positions: Vec<Position>,
    pub frame: FetchFrame,
    pub until: Until,
}

/// Consumes until it is done.
pub async fn run(connection: Connection) {
    let io = connection.io.clone();
    let shared = Arc::clone(&connection.shared);
    let mut reader =
        Reader { connection, frames: LargeFrames::default(), correlation_id: 0, session: (0, 0), refusals: 0 };
    if let Err(reason) = reader.run(&io).await {
        shared.fail(format!("a consumer's connection failed: {reason}"));
    }
    shared.readers_done.fetch_add(1, Ordering::Relaxed);
}

struct Reader {
    connection: Connection,
    frames: LargeFrames,
    correlation_id: i32,
    session: (i32, i32),
    refusals: u32,
}

/// What one reply brought.
#[derive(Default)]
struct Brought {
    work: Work,
    refused: Option<(i32, i16)>,
}

impl Reader {
    async fn run(&mut self, io: &Handle) -> Result<(), String> {
        while !self.is_over(io.now()) {
            let sent = io.now();
            self.ask(io).await?;
            let bytes = self.frames.receive(io, &self.connection.socket).await?;
            let now = io.now();
            let brought = self.take(bytes, now)?;
            if let Some((partition, code)) = brought.refused {
                self.refused(partition, code)?;
                continue;
            }
            let mut recorder = self.connection.recorder.borrow_mut();
            recorder.latency(Series::Fetch, sent, now, 1);
            recorder.done(now, brought.work, true);
            self.connection.shared.count(brought.work.records, brought.work.bytes);
        }
        Ok(())
    }

    fn is_over(&mut self, now: Instant) -> bool {
        let caught_up =
            self.connection.until != Until::Time && self.connection.positions.iter().all(|one| one.offset >= one.end);
        if caught_up && self.connection.until == Until::RepeatedlyCaughtUp {
            for position in &mut self.connection.positions {
                position.offset = position.start;
                position.is_news = true;
            }
        }
        let is_late = now >= self.connection.recorder.borrow().window().end;
        caught_up && self.connection.until == Until::CaughtUp || is_late || self.connection.shared.is_stopped()
    }

    async fn ask(&mut self, io: &Handle) -> Result<(), String> {
        let is_full = self.session.1 == 0;
        let asked = self.connection.positions.iter().filter(|one| is_full || one.is_news);
        let asked: Vec<_> = asked.map(|one| (one.partition, one.offset)).collect();
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let mut request = Vec::new();
        self.connection.frame.put(&mut request, self.correlation_id, self.session, asked.into_iter());
        for position in &mut self.connection.positions {
            position.is_news = false;
        }
        let mut block = io.pool().block_unlimited(request.len(), Use::Reply).ok_or("no memory for a request")?;
        block[..request.len()].copy_from_slice(&request);
        let slices = Slices::from_iter([block.into_slice(request.len())]);
        self.connection.socket.send(io, slices, false).await.map_err(|error| error.to_string())
    }

    fn take(&mut self, bytes: usize, now: Instant) -> Result<Brought, String> {
        let frame = self.frames.frame(bytes);
        let mut brought = Brought::default();
        let connection = &mut self.connection;
        let mut fault = None;
        let head = read_fetched(frame, |fetched| {
            if fetched.error_code != 0 {
                brought.refused.get_or_insert((fetched.partition, fetched.error_code));
            } else if let Err(reason) = take_partition(connection, &fetched, frame, now, &mut brought.work) {
                fault.get_or_insert(reason);
            }
        });
        let head = head.map_err(|error| format!("a reply cannot be read: {error}"))?;
        if let Some(reason) = fault {
            return Err(reason);
        }
        if head.correlation_id != self.correlation_id {
            return Err(format!("a reply to request {} instead of {}", head.correlation_id, self.correlation_id));
        }
        if head.error_code != 0 {
            brought.refused = Some((-1, head.error_code));
        } else if head.session_id != 0 {
            self.session = (head.session_id, self.session.1 + 1);
        }
        Ok(brought)
    }

    /// After an error the whole session is asked for anew.
    fn refused(&mut self, partition: i32, code: i16) -> Result<(), String> {
        let error = ErrorCode::from_code(code).map_or("an unknown error", ErrorCode::name);
        self.connection.recorder.borrow_mut().errors += 1;
        self.connection.shared.error(|| format!("fetch, partition {partition}: {error}"));
        self.session = (0, 0);
        self.refusals += 1;
        if self.refusals > REFUSALS_MAX { Err(format!("{REFUSALS_MAX} fetches were refused: {error}")) } else { Ok(()) }
    }
}

fn take_partition(
    connection: &mut Connection,
    fetched: &Fetched,
    frame: &[u8],
    now: Instant,
    work: &mut Work,
) -> Result<(), String> {
    let index = connection.positions.binary_search_by_key(&fetched.partition, |one| one.partition);
    let index = index.map_err(|_| format!("partition {} was not asked for", fetched.partition))?;
    let position = &mut connection.positions[index];
    for batch in batches(&frame[fetched.records.clone()]) {
        let (header, batch) = batch.map_err(|corruption| format!("partition {}: {corruption}", fetched.partition))?;
        if header.next_offset() <= position.offset {
            continue;
        }
        if let Some(checker) = &connection.checker {
            // The first batch of a fetch may begin before what was asked for.
            let expected = if header.base_offset() < position.offset { header.base_offset() } else { position.offset };
            checker.borrow_mut().batch(fetched.partition, expected, header, batch);
        }
        if connection.is_stamped {
            let walk = records(batch).map_err(|corruption| format!("partition {}: {corruption}", fetched.partition))?;
            let first = walk.iter().next().and_then(Result::ok).and_then(|record| record.value.and_then(Stamp::read));
            if let Some(stamp) = first {
                let intended = Instant(stamp.intended_ns);
                let count = header.records_count() as u64;
                connection.recorder.borrow_mut().latency(Series::EndToEnd, intended, now, count);
            }
        }
        work.records += header.records_count() as u64;
        work.bytes += batch.len() as u64;
        position.offset = header.next_offset();
        position.is_news = true;
    }
    Ok(())
}
