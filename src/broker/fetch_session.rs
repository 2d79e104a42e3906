//! Incremental fetch sessions (KIP-227): what a consumer asks for is remembered, so that its next requests name only
//! what changed and replies carry only what has news.
//!
//! Sessions live on the reactor of the connection that made them; a client that reconnects elsewhere is told that its
//! session is unknown and makes a new one, as after an eviction. No I/O, no clock.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::base::map::Map;
use crate::base::time::{Duration, Instant};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::{PartitionIndex, TopicId};
use crate::model::offset::{LeaderEpoch, Offset};

/// The id of "no session".
pub const NO_SESSION: i32 = 0;
/// The epoch of a request that makes a new session.
pub const INITIAL_EPOCH: i32 = 0;
/// The epoch of a request outside any session, which ends the one it names.
pub const FINAL_EPOCH: i32 = -1;
/// Partitions that one session may hold; a client that asks for more is served without a session.
const SESSION_PARTITIONS_MAX: usize = 100_000;
/// Partitions that the sessions of one reactor may hold together, at about 200 bytes each: 80 MB.
const PARTITIONS_MAX: usize = 4 * SESSION_PARTITIONS_MAX;
/// How often a fresh session id is drawn before a client goes without a session.
const ID_DRAWS_MAX: u32 = 8;

/// A topic as a fetch names it: by id since version 13 (KIP-516), by name before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicKey {
    /// By id.
    Id(TopicId),
    /// By name.
    Name(Rc<str>),
}

/// A partition as a fetch names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartitionKey {
    /// The topic.
    pub topic: TopicKey,
    /// The partition's number.
    pub index: PartitionIndex,
}

/// What is wanted of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The partition.
    pub key: PartitionKey,
    /// The first offset wanted.
    pub fetch_offset: Offset,
    /// Bytes of it at most.
    pub bytes_max: i32,
    /// The leader epoch that the client knows, -1 if it knows none (KIP-320).
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch of the last record that the client has, -1 if it does not say.
    pub last_fetched_epoch: LeaderEpoch,
}

/// What a reply would say of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The error, if any.
    pub error: ErrorCode,
    /// Bytes of records.
    pub bytes: u32,
    /// The high watermark.
    pub high_watermark: Offset,
    /// The log start offset.
    pub log_start_offset: Offset,
}

/// How a fetch is to be served.
#[derive(Debug)]
pub struct Plan {
    /// What to read, in the order in which room in the reply is given out.
    pub partitions: Vec<Wanted>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Everything is answered, and no session made.
    Sessionless,
    /// Everything is answered, and a session made if there is room.
    New { with_ids: bool },
    /// What has news is answered.
    Incremental { session: i32 },
}

#[derive(Debug)]
struct Entry {
    wanted: Wanted,
    /// As last told to the client; -1 after an error.
    high_watermark: Offset,
    log_start_offset: Offset,
}

#[derive(Debug)]
struct Session {
    /// The epoch that the next request must carry.
    epoch: i32,
    with_ids: bool,
    made: Instant,
    last_used: Instant,
    /// In the order of service; one that got data moves to the end, so that none is starved by a full reply.
    entries: BTreeMap<u64, Entry>,
    places: BTreeMap<PartitionKey, u64>,
    next_place: u64,
}

impl Session {
    fn put(&mut self, wanted: Wanted) {
        match self.places.get(&wanted.key) {
            Some(place) => {
                let entry = self.entries.get_mut(place).expect("each key has its place");
                entry.wanted = wanted;
            }
            None => {
                let place = self.next_place;
                self.next_place += 1;
                self.places.insert(wanted.key.clone(), place);
                self.entries.insert(place, Entry { wanted, high_watermark: -1, log_start_offset: -1 });
            }
        }
    }

    fn forget(&mut self, key: &PartitionKey) {
        if let Some(place) = self.places.remove(key) {
            self.entries.remove(&place);
        }
    }

    /// Notes what is told of a partition; false if it is not news and stays out of the reply.
    fn note(&mut self, key: &PartitionKey, seen: &Seen) -> bool {
        let Some(place) = self.places.get(key).copied() else { return true };
        let entry = self.entries.get_mut(&place).expect("each key has its place");
        let failed = !seen.error.is_none();
        let news = failed
            || seen.bytes > 0
            || entry.high_watermark != seen.high_watermark
            || entry.log_start_offset != seen.log_start_offset;
        // After an error the next good answer is news, whatever it says.
        entry.high_watermark = if failed { -1 } else { seen.high_watermark };
        entry.log_start_offset = seen.log_start_offset;
        if seen.bytes > 0 {
            let entry = self.entries.remove(&place).expect("just found");
            self.entries.insert(self.next_place, entry);
            self.places.insert(key.clone(), self.next_place);
            self.next_place += 1;
        }
        news
    }
}

/// The sessions of one reactor.
#[derive(Debug)]
pub struct Sessions {
    sessions: Map<i32, Session>,
    slots: usize,
    eviction: Duration,
    evicted: u64,
}

impl Sessions {
    /// Room for `slots` sessions; one unused for `eviction` gives way to a new one.
    pub fn new(slots: usize, eviction: Duration) -> Sessions {
        Sessions { sessions: Map::default(), slots, eviction, evicted: 0 }
    }

    /// Sessions there are, partitions they hold and how many were evicted.
    pub fn counts(&self) -> (usize, usize, u64) {
        (self.sessions.len(), self.partitions(), self.evicted)
    }

    fn partitions(&self) -> usize {
        self.sessions.values().map(|session| session.entries.len()).sum()
    }

    /// Takes in a request's session part.
    ///
    /// # Errors
    /// FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH or FETCH_SESSION_TOPIC_ID_ERROR, on which the client
    /// starts a new session.
    pub fn begin(
        &mut self,
        now: Instant,
        (id, epoch): (i32, i32),
        with_ids: bool,
        wanted: Vec<Wanted>,
        forgotten: &[PartitionKey],
    ) -> Result<Plan, ClientError> {
        if epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH {
            self.sessions.remove(&id);
            let kind = if epoch == INITIAL_EPOCH { Kind::New { with_ids } } else { Kind::Sessionless };
            return Ok(Plan { partitions: wanted, kind });
        }
        let session = self.continued(id, epoch, with_ids)?;
        session.epoch = next_epoch(epoch);
        session.last_used = now;
        let before = session.entries.len();
        wanted.into_iter().for_each(|wanted| session.put(wanted));
        forgotten.iter().for_each(|key| session.forget(key));
        let partitions: Vec<Wanted> = session.entries.values().map(|entry| entry.wanted.clone()).collect();
        let is_too_large = partitions.len() > SESSION_PARTITIONS_MAX
            || (partitions.len() > before && self.partitions() > PARTITIONS_MAX);
        if partitions.is_empty() || is_too_large {
            self.sessions.remove(&id);
            return Ok(Plan { partitions, kind: Kind::Sessionless });
        }
        Ok(Plan { partitions, kind: Kind::Incremental { session: id } })
    }

    fn continued(&mut self, id: i32, epoch: i32, with_ids: bool) -> Result<&mut Session, ClientError> {
        let Some(session) = self.sessions.get_mut(&id) else {
            let message =
                format!("fetch session {id} is not known here: it was evicted, or made on another connection");
            return Err(ClientError::new(ErrorCode::FetchSessionIdNotFound, message));
        };
        if session.epoch != epoch {
            let message = format!("fetch session {id} expects epoch {}, the request has {epoch}", session.epoch);
            return Err(ClientError::new(ErrorCode::InvalidFetchSessionEpoch, message));
        }
        if session.with_ids != with_ids {
            let message =
                format!("fetch session {id} was made {} topic ids", if with_ids { "without" } else { "with" });
            return Err(ClientError::new(ErrorCode::FetchSessionTopicIdError, message));
        }
        Ok(session)
    }

    /// Closes a fetch that was served as `plan` says, `seen` in the order of its partitions: the session id to answer
    /// with, and which partitions the reply is to contain. `random` supplies ids.
    pub fn finish(
        &mut self,
        now: Instant,
        plan: &Plan,
        seen: &[Seen],
        random: &mut dyn FnMut() -> u64,
    ) -> (i32, Vec<bool>) {
        assert_eq!(plan.partitions.len(), seen.len());
        match plan.kind {
            Kind::Sessionless => (NO_SESSION, vec![true; seen.len()]),
            Kind::New { with_ids } => (self.make(now, with_ids, plan, seen, random), vec![true; seen.len()]),
            Kind::Incremental { session: id } => {
                let Some(session) = self.sessions.get_mut(&id) else { return (id, vec![true; seen.len()]) };
                let news = plan.partitions.iter().zip(seen).map(|(wanted, seen)| session.note(&wanted.key, seen));
                (id, news.collect())
            }
        }
    }

    fn make(
        &mut self,
        now: Instant,
        with_ids: bool,
        plan: &Plan,
        seen: &[Seen],
        random: &mut dyn FnMut() -> u64,
    ) -> i32 {
        let partitions = plan.partitions.len();
        if partitions == 0 || partitions > SESSION_PARTITIONS_MAX || !self.make_room(now, partitions) {
            return NO_SESSION;
        }
        let mut session = Session {
            epoch: next_epoch(INITIAL_EPOCH),
            with_ids,
            made: now,
            last_used: now,
            entries: BTreeMap::new(),
            places: BTreeMap::new(),
            next_place: 0,
        };
        for (wanted, seen) in plan.partitions.iter().zip(seen) {
            session.put(wanted.clone());
            session.note(&wanted.key, seen);
        }
        for _ in 0..ID_DRAWS_MAX {
            let id = (random() & 0x7fff_ffff) as i32;
            if id != NO_SESSION && !self.sessions.contains_key(&id) {
                self.sessions.insert(id, session);
                return id;
            }
        }
        NO_SESSION
    }

    /// Makes room for a session of `partitions`: one long unused gives way, or else the smallest one of some age that is
    /// smaller than the new one (sessions save most where they are large).
    fn make_room(&mut self, now: Instant, partitions: usize) -> bool {
        let needed = self.partitions() + partitions;
        if self.sessions.len() < self.slots && needed <= PARTITIONS_MAX {
            return true;
        }
        let unused = |session: &Session| now.since(session.last_used) > self.eviction;
        let old_and_smaller =
            |session: &Session| now.since(session.made) > self.eviction && session.entries.len() < partitions;
        let oldest = self.sessions.iter().min_by_key(|(id, session)| (session.last_used, **id));
        let victim = oldest.filter(|(_, session)| unused(session)).or_else(|| {
            let smaller = self.sessions.iter().filter(|(_, session)| old_and_smaller(session));
            smaller.min_by_key(|(id, session)| (session.entries.len(), **id))
        });
        let Some((victim, freed)) = victim.map(|(id, session)| (*id, session.entries.len())) else { return false };
        if needed - freed > PARTITIONS_MAX {
            return false;
        }
        self.sessions.remove(&victim);
        self.evicted += 1;
        true
    }
}

fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVICTION: Duration = Duration::from_secs(120);

    fn at(seconds: u64) -> Instant {
        Instant(seconds * 1_000_000_000)
    }

    fn key(index: PartitionIndex) -> PartitionKey {
        PartitionKey { topic: TopicKey::Name("t".into()), index }
    }

    fn wanted(index: PartitionIndex, fetch_offset: Offset) -> Wanted {
        Wanted { key: key(index), fetch_offset, bytes_max: 1000, current_leader_epoch: -1, last_fetched_epoch: -1 }
    }

    fn seen(bytes: u32, high_watermark: Offset) -> Seen {
        Seen { error: ErrorCode::None, bytes, high_watermark, log_start_offset: 0 }
    }

    fn make(sessions: &mut Sessions, now: Instant, partitions: i32, id: u64) -> i32 {
        let wanted = (0..partitions).map(|index| wanted(index, 0)).collect();
        let plan = sessions.begin(now, (NO_SESSION, INITIAL_EPOCH), false, wanted, &[]).unwrap();
        let seen = vec![seen(0, 5); partitions as usize];
        sessions.finish(now, &plan, &seen, &mut || id).0
    }

    #[test]
    fn an_incremental_reply_carries_only_news() {
        let mut sessions = Sessions::new(10, EVICTION);
        let id = make(&mut sessions, at(0), 3, 77);
        assert_eq!(id, 77);
        let plan = sessions.begin(at(1), (id, 1), false, vec![wanted(1, 9)], &[key(2)]).unwrap();
        let offsets: Vec<_> = plan.partitions.iter().map(|wanted| (wanted.key.index, wanted.fetch_offset)).collect();
        assert_eq!(offsets, [(0, 0), (1, 9)]);
        let told = sessions.finish(at(1), &plan, &[seen(0, 5), seen(10, 6)], &mut || 0);
        assert_eq!(told, (77, vec![false, true]));
        // The one that got data is served last now; an unchanged high watermark is not told again.
        let plan = sessions.begin(at(2), (id, 2), false, vec![wanted(3, 0)], &[]).unwrap();
        let order: Vec<_> = plan.partitions.iter().map(|wanted| wanted.key.index).collect();
        assert_eq!(order, [0, 1, 3]);
        let told = sessions.finish(at(2), &plan, &[seen(0, 7), seen(0, 6), seen(0, 0)], &mut || 0);
        assert_eq!(told.1, [true, false, true]);
    }

    #[test]
    fn what_follows_an_error_is_news() {
        let mut sessions = Sessions::new(10, EVICTION);
        let id = make(&mut sessions, at(0), 1, 5);
        let failed = Seen { error: ErrorCode::NotLeaderOrFollower, bytes: 0, high_watermark: -1, log_start_offset: -1 };
        for (epoch, seen, news) in [(1, failed, true), (2, failed, true), (3, seen(0, 5), true), (4, seen(0, 5), false)]
        {
            let plan = sessions.begin(at(1), (id, epoch), false, vec![], &[]).unwrap();
            assert_eq!(sessions.finish(at(1), &plan, &[seen], &mut || 0).1, [news], "epoch {epoch}");
        }
    }

    #[test]
    fn unknown_sessions_wrong_epochs_and_other_naming_are_refused() {
        let mut sessions = Sessions::new(10, EVICTION);
        let id = make(&mut sessions, at(0), 1, 5);
        let mut code = |id, epoch, with_ids| match sessions.begin(at(1), (id, epoch), with_ids, vec![], &[]) {
            Ok(_) => ErrorCode::None,
            Err(error) => error.code,
        };
        assert_eq!(code(6, 1, false), ErrorCode::FetchSessionIdNotFound);
        assert_eq!(code(id, 2, false), ErrorCode::InvalidFetchSessionEpoch);
        assert_eq!(code(id, 1, true), ErrorCode::FetchSessionTopicIdError);
        assert_eq!(code(id, 1, false), ErrorCode::None);
        assert_eq!(code(id, FINAL_EPOCH, false), ErrorCode::None);
        assert_eq!(code(id, 2, false), ErrorCode::FetchSessionIdNotFound, "the final epoch ended it");
    }

    #[test]
    fn a_session_that_forgets_all_ends() {
        let mut sessions = Sessions::new(10, EVICTION);
        let id = make(&mut sessions, at(0), 1, 5);
        let plan = sessions.begin(at(1), (id, 1), false, vec![], &[key(0)]).unwrap();
        assert_eq!(sessions.finish(at(1), &plan, &[], &mut || 0).0, NO_SESSION);
        assert_eq!(sessions.counts().0, 0);
    }

    #[test]
    fn a_full_cache_gives_up_what_is_unused_or_smaller() {
        let mut sessions = Sessions::new(2, EVICTION);
        assert_eq!(make(&mut sessions, at(0), 5, 1), 1);
        assert_eq!(make(&mut sessions, at(0), 1, 2), 2);
        assert_eq!(make(&mut sessions, at(60), 9, 3), NO_SESSION, "both are young and in use");
        for (id, epoch) in [(1, 1), (2, 1)] {
            sessions.begin(at(130), (id, epoch), false, vec![], &[]).unwrap();
        }
        assert_eq!(make(&mut sessions, at(131), 1, 4), NO_SESSION, "none is smaller");
        assert_eq!(make(&mut sessions, at(131), 3, 5), 5, "the one of a single partition gives way");
        assert_eq!(make(&mut sessions, at(300), 1, 6), 6, "unused for two minutes");
        assert_eq!(sessions.counts(), (2, 4, 2));
    }

    #[test]
    fn all_sessions_together_hold_so_many_partitions() {
        let mut sessions = Sessions::new(10, EVICTION);
        let largest = SESSION_PARTITIONS_MAX as i32;
        for id in 1..=3 {
            assert_eq!(make(&mut sessions, at(0), largest, id), id as i32);
        }
        assert_eq!(make(&mut sessions, at(0), largest - 1, 4), 4);
        assert_eq!(make(&mut sessions, at(1), 2, 5), NO_SESSION);
        assert_eq!(make(&mut sessions, at(1), 1, 5), 5, "the last one that there is room for");
        // A session that grows ends, and its client is served without.
        let plan = sessions.begin(at(2), (5, 1), false, vec![wanted(7, 0)], &[]).unwrap();
        assert_eq!((plan.partitions.len(), plan.kind), (2, Kind::Sessionless));
        assert_eq!(sessions.counts().0, 4);
        // One long unused gives way here too, if that is enough.
        sessions.begin(at(130), (4, 1), false, vec![], &[]).unwrap();
        assert_eq!(make(&mut sessions, at(130), largest, 6), 6);
        assert_eq!(sessions.counts(), (4, 4 * SESSION_PARTITIONS_MAX - 1, 1));
    }
}
