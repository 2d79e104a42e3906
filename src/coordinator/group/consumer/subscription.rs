//! What members subscribe to: noticing that it changed, or that the topics behind it did, and raising the group epoch.

use std::collections::{BTreeMap, BTreeSet};

use super::group::ConsumerGroup;
use super::plan::Plan;
use super::regex;
use crate::base::time::{Duration, Instant};
use crate::coordinator::group::history::Cause;
use crate::coordinator::group::records::Key;
use crate::coordinator::group::records::consumer::RegularExpressionValue;
use crate::coordinator::group::settings::ConsumerSettings;
use crate::coordinator::group::topic_hash;
use crate::coordinator::machine::Situation;
use crate::model::error_code::ClientError;

/// Expressions of one group at most: each is matched with every topic when topics come or go.
pub const EXPRESSIONS_MAX: usize = 100;
/// How long expressions are left as they are after they were resolved because topics came or went: where topics keep coming,
/// heartbeats do not pay for it each time. (Kafka waits twice as long.)
pub const REGEX_RENEWAL_INTERVAL: Duration = Duration::from_secs(5);

/// What is new about a member's subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionChange {
    /// It names other topics or another expression.
    pub changed: bool,
    /// The member is new.
    pub is_new: bool,
}

impl ConsumerGroup {
    /// Whether what asks at `now` resolves the expressions of all members again.
    fn renews_regexes(&self, now: Instant) -> bool {
        self.names_may_have_changed && self.regexes_renewed_at.is_none_or(|at| now >= at + REGEX_RENEWAL_INTERVAL)
    }

    /// Notes that a member's request at `now` was held against the topics as they are.
    pub fn note_topics(&mut self, now: Instant) {
        self.topics_may_have_changed = false;
        if self.renews_regexes(now) {
            self.names_may_have_changed = false;
            self.regexes_renewed_at = Some(now);
        }
    }
}

impl Plan<'_> {
    /// Writes what is new about the member that asks, resolves expressions, and raises the group epoch if anything that an
    /// assignment depends on changed. `reason` says what the member does.
    ///
    /// # Errors
    /// INVALID_REGULAR_EXPRESSION.
    pub fn subscribe(
        &mut self,
        situation: &Situation<'_>,
        settings: &ConsumerSettings,
        reason: &str,
    ) -> Result<SubscriptionChange, ClientError> {
        let before = self.member_before();
        let is_new = before.is_none();
        let told_anew = before.is_none_or(|before| before.told != self.member.told);
        if told_anew || self.replaces.is_some() {
            self.write_member();
        }
        let names_changed = before.is_some_and(|before| before.told.topics != self.member.told.topics);
        let regex_changed = before.and_then(|before| before.regex()) != self.member.regex();
        let votes_anew = before.is_some_and(|before| before.told.assignor != self.member.told.assignor);
        let assignor_changed = votes_anew && self.prefers_another_assignor(settings);
        let matches_changed = self.update_regexes(situation, regex_changed)?;
        let changed = names_changed || (regex_changed && !is_new);
        let has_to = is_new || changed || matches_changed || assignor_changed;
        if !(has_to || self.group.topics_may_have_changed) {
            return Ok(SubscriptionChange { changed, is_new });
        }
        let topics = self.subscribed_topics();
        let hash = topic_hash::of_topics(situation.image, topics.into_iter());
        let topics_changed = hash != self.group.metadata_hash;
        if has_to || topics_changed {
            let told = &self.member.told;
            let by_member = |what: &str| Cause::of_member(what, &self.member.id, &told.client_id, &told.client_host);
            self.cause = Some(match (is_new, changed) {
                (true, _) => by_member(reason),
                (false, true) => by_member(&format!("member {} changed its subscription", self.member.id)),
                (false, false) if assignor_changed => {
                    by_member(&format!("member {} prefers another assignor", self.member.id))
                }
                (false, false) => Cause::of_group("topics that the group subscribes to changed"),
            });
            self.raise_epoch(hash);
        }
        Ok(SubscriptionChange { changed: changed || is_new, is_new })
    }

    /// Resolves expressions that are new, and all when topics came or went; forgets those nobody subscribes to. Whether any matches
    /// other topics than before.
    fn update_regexes(&mut self, situation: &Situation<'_>, regex_changed: bool) -> Result<bool, ClientError> {
        let renewed = self.group.renews_regexes(situation.now);
        if !regex_changed && !renewed {
            return Ok(false);
        }
        if regex_changed && let Some(expression) = self.member.regex() {
            // Refused before anything is written; what members subscribed to earlier is not theirs to hear about.
            regex::compile(expression)?;
        }
        let wanted: BTreeSet<String> = self.members().filter_map(|member| member.regex()).map(str::to_owned).collect();
        if wanted.is_empty() && self.group.regexes.is_empty() {
            return Ok(false);
        }
        if wanted.len() > EXPRESSIONS_MAX {
            let message = format!("the group subscribes to {EXPRESSIONS_MAX} expressions already");
            let code = crate::model::error_code::ErrorCode::InvalidRegularExpression;
            return Err(ClientError::new(code, message));
        }
        let mut next: BTreeMap<String, RegularExpressionValue> = BTreeMap::new();
        let mut matches_changed = false;
        for expression in wanted {
            let known = self.group.regexes.get(&expression);
            let resolved = match known {
                Some(known) if !renewed => known.clone(),
                // One that an earlier version took and this one does not matches nothing.
                _ => regex::resolve(&expression, situation.image, situation.wall_ms).unwrap_or_default(),
            };
            if known.is_none_or(|known| known.topics != resolved.topics) {
                matches_changed = true;
                let key = Key::RegularExpression { group: self.group_id(), regex: expression.clone() };
                self.records.push(key.record(resolved.encode()));
            }
            next.insert(expression, resolved);
        }
        for expression in self.group.regexes.keys().filter(|expression| !next.contains_key(*expression)) {
            matches_changed = true;
            let key = Key::RegularExpression { group: self.group.id.to_string(), regex: expression.clone() };
            self.records.push(key.tombstone());
        }
        self.regexes = Some(next);
        Ok(matches_changed)
    }
}
