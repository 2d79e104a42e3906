//! Fetch sessions (KIP-227), against clients who remember everything they ever asked for and were told.

use std::rc::Rc;

use super::same;
use crate::base::prng::Prng;
use crate::base::time::{Duration, Instant};
use crate::broker::fetch_session::{NO_SESSION, PartitionKey, Seen, Sessions, TopicKey, Wanted};
use crate::model::error_code::ErrorCode;
use crate::model::offset::Offset;

const STEPS_MAX: u64 = 120;
const SLOTS: usize = 3;
const PARTITIONS: u64 = 6;

/// What a client wants of a partition, and what it was told of it last, unless that was an error.
#[derive(Clone, Debug)]
struct Position {
    key: PartitionKey,
    offset: Offset,
    told: Option<(Offset, Offset)>,
}

struct Client {
    id: i32,
    epoch: i32,
    /// In the order in which room in a reply is given out.
    positions: Vec<Position>,
}

struct Both {
    random: Prng,
    sessions: Sessions,
    clients: Vec<Client>,
    topic: Rc<str>,
}

/// Makes sessions and goes on with them, in order and out of it.
pub(super) fn check(mut random: Prng) -> Result<(), String> {
    let steps = random.between(1, STEPS_MAX);
    let sessions = Sessions::new(SLOTS, Duration::from_secs(120));
    let mut both = Both { random, sessions, clients: Vec::new(), topic: "topic".into() };
    for _ in 0..steps {
        if both.clients.is_empty() || both.random.one_in(8) {
            both.begin()?;
        } else {
            both.go_on()?;
        }
        let partitions = both.clients.iter().map(|client| client.positions.len()).sum();
        let counts = both.sessions.counts();
        same(|| "sessions and partitions".into(), &(counts.0, counts.1), &(both.clients.len(), partitions))?;
    }
    Ok(())
}

impl Both {
    fn key(&mut self) -> PartitionKey {
        PartitionKey { topic: TopicKey::Name(Rc::clone(&self.topic)), index: self.random.below(PARTITIONS) as i32 }
    }

    fn wanted(&mut self, most: u64) -> Vec<Wanted> {
        let mut wanted: Vec<Wanted> = Vec::new();
        for _ in 0..self.random.between(0, most) {
            let (key, fetch_offset) = (self.key(), self.random.below(1000) as Offset);
            if wanted.iter().all(|other| other.key != key) {
                wanted.push(Wanted {
                    key,
                    fetch_offset,
                    bytes_max: 1000,
                    current_leader_epoch: -1,
                    last_fetched_epoch: -1,
                });
            }
        }
        wanted
    }

    fn seen(&mut self) -> Seen {
        if self.random.one_in(10) {
            let error = ErrorCode::NotLeaderOrFollower;
            return Seen { error, bytes: 0, high_watermark: -1, log_start_offset: -1 };
        }
        // Few values, so that often nothing has changed.
        Seen {
            error: ErrorCode::None,
            bytes: if self.random.one_in(4) { 100 } else { 0 },
            high_watermark: self.random.below(3) as Offset,
            log_start_offset: self.random.below(2) as Offset,
        }
    }

    fn begin(&mut self) -> Result<(), String> {
        let wanted = self.wanted(PARTITIONS);
        let ends = if self.clients.is_empty() || self.random.one_in(2) {
            NO_SESSION
        } else {
            let at = self.random.below(self.clients.len() as u64) as usize;
            self.clients.swap_remove(at).id
        };
        let plan = self.sessions.begin(Instant(0), (ends, 0), false, wanted.clone(), &[]);
        let plan = plan.map_err(|error| format!("a new session is refused: {error:?}"))?;
        same(|| "what a new session reads".into(), &plan.partitions, &wanted)?;
        let seen: Vec<Seen> = wanted.iter().map(|_| self.seen()).collect();
        let random = &mut self.random;
        let (id, news) = self.sessions.finish(Instant(0), &plan, &seen, &mut || random.bits());
        same(|| "what a first reply tells".into(), &news, &vec![true; wanted.len()])?;
        let has_room = !wanted.is_empty() && self.clients.len() < SLOTS;
        same(|| "whether a session is made".into(), &(id != NO_SESSION), &has_room)?;
        if has_room {
            let mut client = Client { id, epoch: 1, positions: Vec::new() };
            // One after the other: a first reply changes nothing in the order, as in Kafka.
            for (wanted, seen) in wanted.iter().zip(&seen) {
                client.ask(wanted);
                client.hear(&wanted.key, seen);
            }
            self.clients.push(client);
        }
        Ok(())
    }

    fn go_on(&mut self) -> Result<(), String> {
        let at = self.random.below(self.clients.len() as u64) as usize;
        let (id, epoch) = (self.clients[at].id, self.clients[at].epoch);
        if self.random.one_in(10) {
            let late = self.sessions.begin(Instant(0), (id, epoch + 1), false, Vec::new(), &[]);
            let code = late.err().map(|error| error.code);
            return same(|| "an epoch too early".into(), &code, &Some(ErrorCode::InvalidFetchSessionEpoch));
        }
        let wanted = self.wanted(3);
        let forgotten: Vec<PartitionKey> = (0..self.random.below(2)).map(|_| self.key()).collect();
        let plan = self.sessions.begin(Instant(0), (id, epoch), false, wanted.clone(), &forgotten);
        let plan = plan.map_err(|error| format!("a session in order is refused: {error:?}"))?;
        let client = &mut self.clients[at];
        client.epoch += 1;
        wanted.iter().for_each(|wanted| client.ask(wanted));
        client.positions.retain(|position| !forgotten.contains(&position.key));
        let read: Vec<_> = plan.partitions.iter().map(|wanted| (wanted.key.clone(), wanted.fetch_offset)).collect();
        let model: Vec<_> = client.positions.iter().map(|position| (position.key.clone(), position.offset)).collect();
        same(|| "what a session reads".into(), &read, &model)?;
        let seen: Vec<Seen> = read.iter().map(|_| self.seen()).collect();
        let told = self.sessions.finish(Instant(0), &plan, &seen, &mut || 0);
        if model.is_empty() {
            self.clients.swap_remove(at);
            return same(|| "a session without partitions".into(), &told, &(NO_SESSION, Vec::new()));
        }
        let client = &mut self.clients[at];
        let news = read.iter().zip(&seen).map(|((key, _), seen)| client.hear(key, seen)).collect();
        same(|| "what a reply tells".into(), &told, &(id, news))
    }
}

impl Client {
    fn ask(&mut self, wanted: &Wanted) {
        match self.positions.iter_mut().find(|position| position.key == wanted.key) {
            Some(position) => position.offset = wanted.fetch_offset,
            None => {
                let (key, offset) = (wanted.key.clone(), wanted.fetch_offset);
                self.positions.push(Position { key, offset, told: None });
            }
        }
    }

    /// Takes in what is to be said of a partition; whether it has to be said.
    fn hear(&mut self, key: &PartitionKey, seen: &Seen) -> bool {
        let at = self.positions.iter().position(|position| position.key == *key).expect("it was asked for");
        let mut position = self.positions.remove(at);
        let says = seen.error.is_none().then_some((seen.high_watermark, seen.log_start_offset));
        let news = says.is_none() || seen.bytes > 0 || position.told != says;
        position.told = says;
        // Who got data is served last from now on.
        let to = if seen.bytes > 0 { self.positions.len() } else { at };
        self.positions.insert(to, position);
        news
    }
}
