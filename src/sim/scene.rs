//! What the clients of a world share: the history, the topics that there are, and what phase the run is in.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use super::client::requests::Topic;
use super::history::groups::GroupEvent;
use super::history::transactions::TransactionEvent;
use super::history::{Event, History, Moment};
use crate::base::prng::Prng;
use crate::io::SocketAddr;
use crate::model::ids::{PartitionId, Uuid};
use crate::model::offset::Offset;

/// What clients are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Work.
    Running,
    /// Begin nothing new, but bring to an end what was begun.
    Finishing,
    /// Do nothing.
    Quiet,
}

/// What a client may be told that has to be durable by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// That a log starts later than before.
    Deletion,
    /// That a topic was made or deleted.
    Topic,
    /// That an offset was committed.
    Commit,
    /// That a transaction ended.
    Decision,
}

/// A topic that clients may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTopic {
    /// Name and id.
    pub topic: Topic,
    /// How many partitions.
    pub partitions: i32,
    /// Whether it may be deleted. Clients that name topics use only those that may not, or they could not tell which
    /// topic of that name a reply was about.
    pub deletable: bool,
    /// Whether it has `write.caching`.
    pub caching: bool,
}

/// See the module.
pub struct Scene {
    history: RefCell<History>,
    /// The broker's address.
    pub broker: SocketAddr,
    phase: Cell<Phase>,
    topics: RefCell<Vec<KnownTopic>>,
    /// The highest offset known to exist in each partition, for those who delete records.
    ends: RefCell<BTreeMap<PartitionId, Offset>>,
    /// The highest log start that was told of each.
    starts: RefCell<BTreeMap<PartitionId, Offset>>,
    /// What is awaited to be told, and whether it was.
    awaited: Cell<Option<Told>>,
    was_told: Cell<bool>,
    producers: Cell<u32>,
    /// Topics of those who write in transactions.
    transactional: RefCell<Vec<KnownTopic>>,
    transactions: Cell<u32>,
    instances: Cell<u32>,
    members: Cell<u32>,
    commits: Cell<u32>,
    /// The groups that there are.
    groups: RefCell<BTreeSet<u32>>,
    is_calm: Cell<bool>,
    /// The stream of the workload; each client splits its own from it.
    random: Prng,
    /// Batches acknowledged to each client since progress was last asked for.
    progress: RefCell<BTreeMap<String, u64>>,
    /// Clients with something under way.
    busy: Cell<u32>,
}

impl Scene {
    /// A scene in which nothing has happened.
    pub fn new(history: History, broker: SocketAddr, random: Prng) -> Scene {
        Scene {
            history: RefCell::new(history),
            broker,
            phase: Cell::new(Phase::Running),
            topics: RefCell::default(),
            ends: RefCell::default(),
            starts: RefCell::default(),
            awaited: Cell::new(None),
            was_told: Cell::new(false),
            producers: Cell::new(0),
            transactional: RefCell::default(),
            transactions: Cell::new(0),
            instances: Cell::new(0),
            members: Cell::new(0),
            commits: Cell::new(0),
            groups: RefCell::default(),
            is_calm: Cell::new(false),
            random,
            progress: RefCell::default(),
            busy: Cell::new(0),
        }
    }

    /// The history.
    pub fn history(&self) -> std::cell::Ref<'_, History> {
        self.history.borrow()
    }

    /// The history, to be added to.
    pub fn history_mut(&self) -> std::cell::RefMut<'_, History> {
        self.history.borrow_mut()
    }

    /// Adds to the history.
    pub fn record(&self, event: Event) {
        if self.tells(&event).is_some_and(|told| self.awaited.get() == Some(told)) {
            self.awaited.set(None);
            self.was_told.set(true);
        }
        if let Event::Read { place, bounds, .. } = &event {
            let mut ends = self.ends.borrow_mut();
            let end = ends.entry(*place).or_default();
            *end = bounds.high_watermark.max(*end);
        }
        self.history.borrow_mut().record(event);
    }

    /// What an event is the first word of.
    fn tells(&self, event: &Event) -> Option<Told> {
        let (place, start) = match event {
            Event::Deleted { place, low_watermark, .. } => (place, low_watermark),
            Event::Read { place, bounds, .. } => (place, &bounds.log_start),
            Event::Listed { place, latest: false, offset, .. } => (place, offset),
            Event::TopicMade { .. } | Event::TopicDeleted { .. } => return Some(Told::Topic),
            Event::Group(GroupEvent::Committed { .. }) => return Some(Told::Commit),
            Event::Transaction(TransactionEvent::Ended { .. }) => return Some(Told::Decision),
            _ => return None,
        };
        let before = self.starts.borrow_mut().insert(*place, *start).unwrap_or(*start);
        (before < *start).then_some(Told::Deletion)
    }

    /// Waits until a client is told of something, from now on; nothing with `None`.
    pub fn await_told(&self, told: Option<Told>) {
        self.awaited.set(told);
        self.was_told.set(false);
    }

    /// Whether what was awaited has been told.
    pub fn was_told(&self) -> bool {
        self.was_told.get()
    }

    /// Now, on the history's clock.
    pub fn moment(&self) -> Moment {
        self.history.borrow().moment()
    }

    /// Whether a promise was broken.
    pub fn is_violated(&self) -> bool {
        self.history.borrow().violation().is_some()
    }

    /// What clients are to do.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Tells clients what to do.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.set(phase);
    }

    /// A stream of a client's own.
    pub fn stream(&self, client: &str, incarnation: u32) -> Prng {
        self.random.split(client).split(&incarnation.to_string())
    }

    /// A number for a new incarnation of a producer.
    pub fn producer(&self) -> u32 {
        self.producers.set(self.producers.get() + 1);
        self.producers.get()
    }

    /// A number for a new transaction.
    pub fn transaction(&self) -> u32 {
        self.transactions.set(self.transactions.get() + 1);
        self.transactions.get()
    }

    /// A number for a new instance of a transactional id.
    pub fn instance(&self) -> u32 {
        self.instances.set(self.instances.get() + 1);
        self.instances.get()
    }

    /// A number for a new member of a group.
    pub fn member(&self) -> u32 {
        self.members.set(self.members.get() + 1);
        self.members.get()
    }

    /// A number for a new commit of an offset.
    pub fn commit(&self) -> u32 {
        self.commits.set(self.commits.get() + 1);
        self.commits.get()
    }

    /// The groups that there are.
    pub fn groups(&self) -> Vec<u32> {
        self.groups.borrow().iter().copied().collect()
    }

    /// Adds a group.
    pub fn add_group(&self, group: u32) {
        self.groups.borrow_mut().insert(group);
    }

    /// Whether nothing fails any more: clients make no trouble of their own then.
    pub fn is_calm(&self) -> bool {
        self.is_calm.get()
    }

    /// Nothing fails from here on.
    pub fn calm_down(&self) {
        self.is_calm.set(true);
    }

    /// The topics of transactions that there are.
    pub fn transactional_topics(&self) -> Vec<KnownTopic> {
        self.transactional.borrow().clone()
    }

    /// The topic of transactions with this name, if it was made.
    pub fn transactional_topic(&self, name: &str) -> Option<KnownTopic> {
        self.transactional.borrow().iter().find(|known| known.topic.name == name).cloned()
    }

    /// Adds a topic of transactions.
    pub fn add_transactional_topic(&self, topic: KnownTopic) {
        self.transactional.borrow_mut().push(topic);
    }

    /// The topics that there are, as far as clients know.
    pub fn topics(&self) -> Vec<KnownTopic> {
        self.topics.borrow().clone()
    }

    /// How many topics there are.
    pub fn topics_count(&self) -> usize {
        self.topics.borrow().len()
    }

    /// Adds a topic.
    pub fn add_topic(&self, topic: KnownTopic) {
        self.topics.borrow_mut().push(topic);
    }

    /// Takes a topic out of use.
    pub fn remove_topic(&self, id: Uuid) {
        self.topics.borrow_mut().retain(|known| known.topic.id != id);
    }

    /// The topic with this id, if it is in use.
    pub fn topic(&self, id: Uuid) -> Option<KnownTopic> {
        self.topics.borrow().iter().find(|known| known.topic.id == id).cloned()
    }

    /// A partition drawn from `random`; with `named` only of topics that stay.
    pub fn any_place(&self, random: &mut Prng, named: bool) -> Option<(Topic, PartitionId)> {
        let topics = self.topics.borrow();
        let fit: Vec<&KnownTopic> = topics.iter().filter(|known| !named || !known.deletable).collect();
        if fit.is_empty() {
            return None;
        }
        let known = fit[random.below(fit.len() as u64) as usize];
        let index = random.below(known.partitions as u64) as i32;
        Some((known.topic.clone(), PartitionId { topic: known.topic.id, index }))
    }

    /// The highest offset that is known to exist in a partition.
    pub fn known_end(&self, place: PartitionId) -> Offset {
        self.ends.borrow().get(&place).copied().unwrap_or(0)
    }

    /// Notes that `client` got something done.
    pub fn progressed(&self, client: &str) {
        if let Some(count) = self.progress.borrow_mut().get_mut(client) {
            *count += 1;
        }
    }

    /// Notes that `client` exists, and is expected to get something done.
    pub fn expect_progress(&self, client: &str) {
        self.progress.borrow_mut().entry(client.to_owned()).or_default();
    }

    /// Forgets what was got done so far.
    pub fn reset_progress(&self) {
        self.progress.borrow_mut().values_mut().for_each(|count| *count = 0);
    }

    /// Those who got nothing done since.
    pub fn stuck(&self) -> Vec<String> {
        self.progress.borrow().iter().filter(|(_, count)| **count == 0).map(|(client, _)| client.clone()).collect()
    }

    /// Counts a client as busy until the guard is dropped.
    pub fn busy(self: &std::rc::Rc<Self>) -> Busy {
        self.busy.set(self.busy.get() + 1);
        Busy(std::rc::Rc::clone(self))
    }

    /// Clients that have something under way.
    pub fn busy_clients(&self) -> u32 {
        self.busy.get()
    }
}

/// See [`Scene::busy`].
pub struct Busy(std::rc::Rc<Scene>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
    }
}
