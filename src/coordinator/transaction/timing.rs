//! Time: transactions that take too long are aborted, transactional ids that nobody uses are forgotten, and requests wait
//! for markers for a while.

use super::end::concurrent;
use super::machine::{Input, Reply, TransactionMachine};
use super::markers::Markers;
use super::record::tombstone;
use super::state::{Status, Transaction};
use crate::base::time::{Duration, Instant};
use crate::coordinator::machine::{DECISION_BYTES_ENOUGH, Effects, Machine, ReplyTo, Situation, bytes_of};

/// How long a request may wait for the markers of the transaction before it. They take milliseconds; where a disk is in
/// trouble the client is told to try again, as Kafka does at once.
const WAIT: Duration = Duration::from_secs(5);
/// Requests that may wait at a time.
const WAITING_MAX: usize = 10_000;
/// Transactions aborted, or transactional ids forgotten, in one decision.
const DECISIONS_MAX: usize = 200;

impl TransactionMachine {
    /// Lets a request wait until the markers of `input`'s transaction are written.
    pub(super) fn wait(&mut self, situation: &Situation<'_>, input: Input, to: ReplyTo) -> Effects<Reply> {
        let transactional_id = match &input {
            Input::Begin(begin) => &begin.transactional_id,
            Input::Enlist(enlist) => &enlist.transactional_id,
            Input::End(end) => &end.transactional_id,
            _ => unreachable!("nothing else waits for markers"),
        };
        let transactional_id = transactional_id.clone();
        match self.entries.get_mut(&transactional_id) {
            Some(entry) if self.waiting_count < WAITING_MAX => {
                entry.waiting.push_back((input, to, situation.now + WAIT));
                self.waiting_count += 1;
                self.waits.push_back((situation.now + WAIT, transactional_id));
                Effects::default()
            }
            _ => Effects::reply(to, too_early(input)),
        }
    }

    /// The log has been replayed: clocks start, and decided transactions go on.
    pub(super) fn resume(&mut self, situation: &Situation<'_>) {
        for (id, entry) in &mut self.entries {
            let durable = &entry.durable;
            if durable.status == Status::Ongoing {
                let at = situation.now + left_of(durable, situation);
                entry.times_out = Some(at);
                self.timeouts.insert((at, id.clone()));
            } else if durable.status.is_prepared() {
                self.to_write.push_back(Markers::of(id, durable));
            }
        }
        self.expiry_at = Some(situation.now + self.expiry_interval());
    }

    /// Sees to it that the open transaction of a transactional id is looked at when `at` has come; it is looked at no more for the
    /// one before.
    pub(super) fn time_out_at(&mut self, transactional_id: &str, at: Instant) {
        let Some(entry) = self.entries.get_mut(transactional_id) else { return };
        if let Some(before) = entry.times_out.replace(at) {
            self.timeouts.remove(&(before, transactional_id.to_owned()));
        }
        self.timeouts.insert((at, transactional_id.to_owned()));
    }

    fn expiry_interval(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.config.expiry_interval_ms).unwrap_or(u64::MAX).max(1))
    }

    pub(super) fn next_time(&self) -> Option<Instant> {
        if !self.completed.is_empty() {
            return Some(Instant(0));
        }
        let timeout = self.timeouts.first().map(|(at, _)| *at);
        let wait = self.waits.front().map(|(at, _)| *at);
        timeout.into_iter().chain(wait).chain(self.expiry_at).min()
    }

    /// Does what is due: one thing a call, so that each decision sees what the one before has changed.
    pub(super) fn pass_time(&mut self, situation: &Situation<'_>) -> Effects<Reply> {
        if let Some(effects) = self.go_on(situation) {
            return effects;
        }
        if self.timeouts.first().is_some_and(|(at, _)| *at <= situation.now) {
            return self.abort_overdue(situation);
        }
        if self.waits.front().is_some_and(|(at, _)| *at <= situation.now) {
            return self.give_up_waiting(situation);
        }
        if self.expiry_at.is_some_and(|at| at <= situation.now) {
            return self.forget_unused(situation);
        }
        Effects::default()
    }

    /// Decides about one request that waited for a transaction which is complete now.
    fn go_on(&mut self, situation: &Situation<'_>) -> Option<Effects<Reply>> {
        let id = self.completed.front()?.clone();
        let entry = self.entries.get_mut(&id);
        let next =
            entry.filter(|entry| !entry.durable.status.is_prepared()).and_then(|entry| entry.waiting.pop_front());
        let Some((input, to, _)) = next else {
            self.completed.pop_front();
            return Some(Effects::default());
        };
        self.waiting_count -= 1;
        Some(self.decide(situation, input, to))
    }

    /// Aborts transactions that have taken too long.
    fn abort_overdue(&mut self, situation: &Situation<'_>) -> Effects<Reply> {
        let mut all = Effects::default();
        let mut bytes = 0;
        for _ in 0..DECISIONS_MAX {
            if bytes >= DECISION_BYTES_ENOUGH || self.timeouts.first().is_none_or(|(at, _)| *at > situation.now) {
                break;
            }
            let Some((_, id)) = self.timeouts.pop_first() else { break };
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            entry.times_out = None;
            let durable = &entry.durable;
            if durable.status != Status::Ongoing {
                continue;
            }
            let left = left_of(durable, situation);
            if !left.is_zero() {
                // The wall clock was set back.
                self.time_out_at(&id, situation.now + left);
                continue;
            }
            tracing::info!(
                transactional_id = id,
                producer_id = durable.producer_id,
                "a transaction took too long: aborted"
            );
            let effects = self.fence(situation, &id);
            bytes += bytes_of(&effects.records);
            all.records.extend(effects.records);
            all.replies.extend(effects.replies);
        }
        all
    }

    /// Tells requests that have waited long enough to come again.
    fn give_up_waiting(&mut self, situation: &Situation<'_>) -> Effects<Reply> {
        let mut effects = Effects::default();
        while let Some((_, id)) = self.waits.front().filter(|(at, _)| *at <= situation.now) {
            let Some(entry) = self.entries.get_mut(id) else {
                self.waits.pop_front();
                continue;
            };
            while entry.waiting.front().is_some_and(|(_, _, until)| *until <= situation.now) {
                let Some((input, to, _)) = entry.waiting.pop_front() else { break };
                self.waiting_count -= 1;
                effects.replies.push((to, too_early(input)));
            }
            self.waits.pop_front();
        }
        effects
    }

    /// Forgets transactional ids that nobody has used for long.
    fn forget_unused(&mut self, situation: &Situation<'_>) -> Effects<Reply> {
        let expiration_ms = self.config.expiration_ms;
        let unused = self.entries.iter().filter(|(_, entry)| {
            let idle = !matches!(entry.durable.status, Status::Ongoing) && !entry.durable.status.is_prepared();
            idle && entry.waiting.is_empty()
                && situation.wall_ms.saturating_sub(entry.durable.updated_ms) >= expiration_ms
        });
        let records: Vec<_> = unused.take(DECISIONS_MAX).map(|(id, _)| tombstone(id)).collect();
        let more = records.len() == DECISIONS_MAX;
        self.expiry_at = Some(if more { situation.now } else { situation.now + self.expiry_interval() });
        Effects { records, ..Effects::default() }
    }
}

/// How long an open transaction may go on.
fn left_of(durable: &Transaction, situation: &Situation<'_>) -> Duration {
    let left_ms = durable.overdue_ms().saturating_sub(situation.wall_ms);
    Duration::from_millis(u64::try_from(left_ms).unwrap_or(0))
}

/// The answer to a request that came while the markers of the transaction before it are being written.
fn too_early(input: Input) -> Reply {
    match input {
        Input::Enlist(enlist) => {
            Reply::Enlisted(vec![Some(concurrent(&enlist.transactional_id)); enlist.partitions.len()])
        }
        Input::Begin(begin) => Reply::Refused(concurrent(&begin.transactional_id)),
        Input::End(end) => Reply::Refused(concurrent(&end.transactional_id)),
        _ => unreachable!("nothing else waits for markers"),
    }
}
