//! The groups of one coordinator: finding them, their deadlines, and what their records make of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::classic::group::{ClassicGroup, ClassicState};
use super::config::OfBroker;
use super::consumer::group::{ConsumerGroup, ConsumerState};
use super::history::{Cause, History, Outcome};
use super::records::Key;
use super::records::classic::ClassicGroupValue;
use super::records::consumer::{
    CurrentAssignmentValue, GroupEpochValue, MemberValue, RegularExpressionValue, TargetEpochValue,
    decode_target_member,
};
use super::request::{Context, MembershipReply};
use super::settings::GroupSettings;
use crate::base::time::Instant;
use crate::coordinator::machine::{CoordinatorRecord, Effects, Situation};
use crate::metadata::image::Image;
use crate::metadata::record::ConfigResource;

/// Groups of one coordinator, of which a broker has fifty by default: what a client makes up cannot take all memory.
pub const GROUPS_MAX: usize = 100_000;

/// A group of either protocol.
#[derive(Clone, Debug)]
pub enum Group {
    /// Of the classic protocol.
    Classic(Box<ClassicGroup>),
    /// Of the consumer protocol.
    Consumer(Box<ConsumerGroup>),
}

/// A group and what is kept beside its state.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The group.
    pub group: Group,
    /// Its last rebalances.
    pub history: History,
    /// A rebalance that begins once the group's records were replayed.
    pub pending_rebalance: Option<Cause>,
    /// When the group was told to be looked at.
    registered: Option<Instant>,
}

impl Entry {
    fn new(group: Group) -> Entry {
        Entry { group, history: History::default(), pending_rebalance: None, registered: None }
    }

    /// Whether there is nothing to the group.
    pub fn is_void(&self) -> bool {
        match &self.group {
            Group::Classic(group) => {
                group.stored.is_none()
                    && group.unreplayed == 0
                    && group.state == ClassicState::Empty
                    && group.pending_joins.is_empty()
            }
            Group::Consumer(_) => false,
        }
    }

    fn wake(&self) -> Option<Instant> {
        match &self.group {
            Group::Classic(group) => group.wake,
            Group::Consumer(group) => group.wake,
        }
    }
}

/// See [`Groups::settings_of`].
fn settings_of<'a>(settings: &'a GroupSettings, broker: &OfBroker, image: &Image, id: &str) -> Cow<'a, GroupSettings> {
    let own = image.configs(&ConfigResource::Group(id.to_owned()));
    if own.is_empty() { Cow::Borrowed(settings) } else { Cow::Owned(settings.of_group(&broker.layers(image), own)) }
}

/// All groups of one partition of the offsets topic.
pub struct Groups {
    /// How groups are run that set nothing themselves.
    pub settings: GroupSettings,
    broker: OfBroker,
    entries: BTreeMap<Arc<str>, Entry>,
    wakes: BTreeSet<(Instant, Arc<str>)>,
}

impl Groups {
    /// No groups.
    pub fn new(settings: GroupSettings, broker: OfBroker) -> Groups {
        Groups { settings, broker, entries: BTreeMap::new(), wakes: BTreeSet::new() }
    }

    /// How a group is run, with the dynamic configs of its own (KIP-848).
    pub fn settings_of(&self, image: &Image, id: &str) -> Cow<'_, GroupSettings> {
        settings_of(&self.settings, &self.broker, image, id)
    }

    /// How many members a group has.
    pub fn members_of(&self, id: &str) -> usize {
        match self.get(id) {
            Some(Group::Classic(group)) => group.members.len(),
            Some(Group::Consumer(group)) => group.members.len(),
            None => 0,
        }
    }

    /// A group, if there is anything to it.
    pub fn get(&self, id: &str) -> Option<&Group> {
        self.entries.get(id).filter(|entry| !entry.is_void()).map(|entry| &entry.group)
    }

    /// The last rebalances of a group.
    pub fn history(&self, id: &str) -> Option<&History> {
        self.entries.get(id).map(|entry| &entry.history)
    }

    /// All groups that there is anything to, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Group)> {
        self.entries.iter().filter(|(_, entry)| !entry.is_void()).map(|(id, entry)| (id, &entry.group))
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether a group with this id would be one too many.
    pub fn is_full_for(&self, id: &str) -> bool {
        self.entries.len() >= GROUPS_MAX && !self.entries.contains_key(id)
    }

    /// Whether there is no group.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Lets `work` decide about a group that exists, with what was replayed for it settled before, and what it holds looked
    /// at after.
    pub(super) fn with<R>(
        &mut self,
        situation: &Situation<'_>,
        id: &str,
        work: impl FnOnce(&mut Entry, &GroupSettings, &mut Effects<MembershipReply>) -> R,
    ) -> Option<(R, Effects<MembershipReply>)> {
        let entry = self.entries.get_mut(id)?;
        let mut effects = Effects::default();
        let settings = settings_of(&self.settings, &self.broker, situation.image, id);
        settle(entry, &settings, situation, &mut effects);
        let result = work(entry, &settings, &mut effects);
        self.look_after(id);
        Some((result, effects))
    }

    /// Settles what was replayed for a group, before something is decided about it that may be refused.
    pub(super) fn settled(&mut self, situation: &Situation<'_>, id: &str) -> Effects<MembershipReply> {
        self.with(situation, id, |_, _, _| ()).map(|((), effects)| effects).unwrap_or_default()
    }

    /// A group as it is, and its deadlines looked after.
    pub(super) fn touch<R>(&mut self, id: &str, work: impl FnOnce(&mut Group) -> R) -> Option<R> {
        let entry = self.entries.get_mut(id).filter(|entry| !entry.is_void())?;
        let result = work(&mut entry.group);
        self.look_after(id);
        Some(result)
    }

    /// Makes sure that there is an entry for `id`; a new one is an empty classic group of which nothing is written.
    pub(super) fn ensure(&mut self, id: &str, wall_ms: i64) {
        if !self.entries.contains_key(id) {
            let id: Arc<str> = Arc::from(id);
            let group = ClassicGroup::new(Arc::clone(&id), Some(wall_ms));
            self.entries.insert(id, Entry::new(Group::Classic(Box::new(group))));
        }
    }

    /// Registers when a group is to be looked at, and forgets one that there is nothing to.
    pub(super) fn look_after(&mut self, id: &str) {
        let Some((key, _)) = self.entries.get_key_value(id) else { return };
        let key = Arc::clone(key);
        let entry = self.entries.get_mut(&key).expect("it was found just now");
        let is_void = entry.is_void();
        let wake = if is_void { None } else { entry.wake() };
        let registered = std::mem::replace(&mut entry.registered, wake);
        if wake != registered {
            self.reregister(&key, registered, wake);
        }
        if is_void {
            self.entries.remove(&key);
        }
    }

    fn reregister(&mut self, id: &Arc<str>, before: Option<Instant>, next: Option<Instant>) {
        if let Some(at) = before {
            self.wakes.remove(&(at, Arc::clone(id)));
        }
        if let Some(at) = next {
            self.wakes.insert((at, Arc::clone(id)));
        }
    }

    /// When a group is to be looked at next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// The groups that are to be looked at now.
    pub(super) fn due(&self, now: Instant) -> Vec<Arc<str>> {
        self.wakes.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| Arc::clone(id)).collect()
    }

    /// Takes note that topics may have changed.
    pub fn topics_changed(&mut self, names_changed: bool) {
        for entry in self.entries.values_mut() {
            if let Group::Consumer(group) = &mut entry.group {
                group.topics_may_have_changed = true;
                group.names_may_have_changed |= names_changed;
            }
        }
    }

    /// The records that replay into the present durable state.
    pub fn snapshot(&self) -> Vec<CoordinatorRecord> {
        let records = self.entries.values().flat_map(|entry| match &entry.group {
            Group::Classic(group) => group.snapshot().into_iter().collect(),
            Group::Consumer(group) => group.to_records(),
        });
        records.collect()
    }

    /// Takes in a record of membership.
    ///
    /// # Errors
    /// A sentence that says what does not fit.
    pub fn replay(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), String> {
        let key = Key::decode(key)?;
        let id = match &key {
            Key::Classic { group }
            | Key::GroupEpoch { group }
            | Key::PartitionMetadata { group }
            | Key::Member { group, .. }
            | Key::TargetEpoch { group }
            | Key::TargetMember { group, .. }
            | Key::CurrentAssignment { group, .. }
            | Key::RegularExpression { group, .. } => group.clone(),
        };
        match key {
            Key::Classic { .. } => self.replay_classic(&id, value)?,
            key => self.replay_consumer(&id, key, value)?,
        }
        self.register(&id);
        Ok(())
    }

    /// As [`Groups::look_after`], but keeps what there is nothing to: more records of the same decision may follow.
    fn register(&mut self, id: &str) {
        let Some((key, entry)) = self.entries.get_key_value(id) else { return };
        let wake = Some(if entry.is_void() { Instant::default() } else { entry.wake().unwrap_or_default() });
        let (key, registered) = (Arc::clone(key), entry.registered);
        if wake != registered {
            self.reregister(&key, registered, wake);
            self.entries.get_mut(&key).expect("it was found just now").registered = wake;
        }
    }

    fn replay_classic(&mut self, id: &str, value: Option<&[u8]>) -> Result<(), String> {
        let Some(bytes) = value else {
            // The tombstone of a group that has become a consumer group since says nothing about that one.
            if let Some(entry) = self.entries.get_mut(id)
                && let Group::Classic(group) = &mut entry.group
            {
                **group = ClassicGroup::new(Arc::clone(&group.id), None);
            }
            return Ok(());
        };
        let value = ClassicGroupValue::decode(bytes)?;
        if let Some(Entry { group: Group::Classic(group), .. }) = self.entries.get_mut(id)
            && group.unreplayed > 0
        {
            group.replay_own(value);
            return Ok(());
        }
        let id: Arc<str> = Arc::from(id);
        let mut group = ClassicGroup::from_value(Arc::clone(&id), value);
        group.arm(Instant::default());
        let group = Group::Classic(Box::new(group));
        match self.entries.get_mut(&id) {
            Some(entry) => entry.group = group,
            None => drop(self.entries.insert(id, Entry::new(group))),
        }
        Ok(())
    }

    fn replay_consumer(&mut self, id: &str, key: Key, value: Option<&[u8]>) -> Result<(), String> {
        let is_consumer = matches!(self.entries.get(id), Some(Entry { group: Group::Consumer(_), .. }));
        if !is_consumer {
            // A tombstone of what the group was before it became classic, or of a group that is gone.
            if value.is_none() {
                return Ok(());
            }
            let id: Arc<str> = Arc::from(id);
            let group = Group::Consumer(Box::new(ConsumerGroup::new(Arc::clone(&id))));
            match self.entries.get_mut(&id) {
                Some(entry) => entry.group = group,
                None => drop(self.entries.insert(id, Entry::new(group))),
            }
        }
        let Some(entry) = self.entries.get_mut(id) else { return Ok(()) };
        let Group::Consumer(group) = &mut entry.group else { return Ok(()) };
        match key {
            Key::Classic { .. } => {}
            Key::GroupEpoch { .. } => match value {
                Some(bytes) => group.replay_epoch(GroupEpochValue::decode(bytes)?),
                None => {
                    let id = Arc::clone(&group.id);
                    entry.group = Group::Classic(Box::new(ClassicGroup::new(id, None)));
                }
            },
            Key::PartitionMetadata { .. } => group.has_partition_metadata = value.is_some(),
            Key::Member { member, .. } => group.replay_member(&member, value.map(MemberValue::decode).transpose()?),
            Key::TargetEpoch { .. } => group.replay_target_epoch(value.map(TargetEpochValue::decode).transpose()?),
            Key::TargetMember { member, .. } => {
                group.replay_target(&member, value.map(decode_target_member).transpose()?);
            }
            Key::CurrentAssignment { member, .. } => {
                group.replay_held(&member, value.map(CurrentAssignmentValue::decode).transpose()?);
            }
            Key::RegularExpression { regex, .. } => {
                group.replay_regex(regex, value.map(RegularExpressionValue::decode).transpose()?);
            }
        }
        Ok(())
    }
}

/// Starts what replayed records bring with them: sessions, other deadlines, rebalances that wait for them; and ends rebalances
/// that they complete.
pub(super) fn settle(
    entry: &mut Entry,
    settings: &GroupSettings,
    situation: &Situation<'_>,
    effects: &mut Effects<MembershipReply>,
) {
    let Entry { group, history, pending_rebalance, .. } = entry;
    match group {
        Group::Classic(group) => {
            let is_new = group.wake == Some(Instant::default());
            if is_new || pending_rebalance.is_some() {
                let mut context = Context::new(situation, settings, history);
                group.settle(&mut context, pending_rebalance.take());
                merge(effects, context.effects);
            }
        }
        Group::Consumer(group) => {
            if !group.is_unsettled {
                return;
            }
            group.settle(situation.now, settings.consumer.session_timeout);
            if history.is_open() {
                let outcome = match group.state() {
                    ConsumerState::Stable => Outcome::Stable,
                    ConsumerState::Empty => Outcome::Empty,
                    ConsumerState::Assigning | ConsumerState::Reconciling => return,
                };
                history.end(&group.id, situation.now, group.epoch, group.members.len(), outcome);
            }
        }
    }
}

/// Adds what a later part of a decision brings about.
pub(super) fn merge(effects: &mut Effects<MembershipReply>, more: Effects<MembershipReply>) {
    effects.records.extend(more.records);
    effects.replies.extend(more.replies);
}
