//! Members of groups: by the classic protocol with eager and cooperative assignors, by the new one (KIP-848), dynamic and
//! static. They commit offsets, also where they no longer may, and leave, fall silent, die and come back.
//!
//! **Owns:** what a member believes to hold: what it was told last, less what it gave up; nothing once it has left or was told
//! that it is no member any more.
//!
//! **Never:** looks at another member but through the broker.
//!
//! **Start reading at** [`Member`], then [`classic`] and [`consumer`].

mod assign;
mod classic;
mod consumer;
pub mod drain;

use std::collections::BTreeSet;
use std::rc::Rc;

use super::{PATIENCE, connect, note_lost, pause};
use crate::base::prng::Prng;
use crate::base::time::{Duration, Instant};
use crate::io::Handle;
use crate::model::error_code::ErrorCode;
use crate::model::ids::PartitionId;
use crate::protocol::messages::{FindCoordinatorRequest, OffsetCommitRequest};
use crate::sim::client::groups as wire;
use crate::sim::client::requests::Topic;
use crate::sim::client::transactions::{self, KeyType};
use crate::sim::client::{Lost, Session};
use crate::sim::history::groups::{GroupEvent, GroupNumber, Joiner, MemberNumber, group_name};
use crate::sim::history::{Event, Moment};
use crate::sim::scene::{KnownTopic, Phase, Scene};

/// How members of a group learn what they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Classic; everything is given up before a rebalance.
    Eager,
    /// Classic; only what moves is given up.
    Cooperative,
    /// KIP-848.
    Consumer,
}

/// How a member works.
#[derive(Clone, Debug)]
pub struct Style {
    /// Its group.
    pub group: GroupNumber,
    /// The group's protocol.
    pub protocol: Protocol,
    /// The name that it keeps over restarts.
    pub instance: Option<u32>,
    /// Another member has the same name, and this one is to go when nothing fails any more.
    pub is_double: bool,
    /// How long it may be silent, in milliseconds; by the new protocol the broker decides.
    pub session_ms: u64,
    /// How long it may take to follow a rebalance, in milliseconds.
    pub rebalance_ms: u64,
    /// Pause between two heartbeats, at most, in milliseconds.
    pub think_ms_max: u64,
    /// One turn in so many it leaves, falls silent for a while, or dies.
    pub trouble_one_in: u64,
}

/// `group.consumer.session.timeout.ms` of the brokers of this world.
pub const CONSUMER_SESSION_MS: u64 = 4_000;

/// Why a member's turn is over.
enum Next {
    /// It goes on.
    On,
    /// It joins anew, as the member that it is.
    Rejoin,
    /// It is no member any more.
    Anew,
}

/// A member, or a client that wants to be one.
struct Member {
    io: Handle,
    scene: Rc<Scene>,
    random: Prng,
    name: String,
    style: Style,
    session: Option<Session>,
    /// Its number; 0 for none.
    number: MemberNumber,
    /// Its id, as the broker knows it.
    id: String,
    generation: i32,
    holds: BTreeSet<PartitionId>,
    topics: Vec<KnownTopic>,
    /// Who it was before: number, id, generation, and what it held.
    former: Option<(MemberNumber, String, i32, BTreeSet<PartitionId>)>,
}

/// Is a member, again and again, until the process ends.
pub async fn run(io: Handle, scene: Rc<Scene>, name: String, random: Prng, style: Style) {
    let mut member = Member {
        io,
        scene,
        random,
        name,
        style,
        session: None,
        number: 0,
        id: String::new(),
        generation: -1,
        holds: BTreeSet::new(),
        topics: Vec::new(),
        former: None,
    };
    loop {
        while member.scene.phase() != Phase::Running || member.subscribed().is_empty() || member.is_retired() {
            member.io.sleep(Duration::from_millis(100)).await;
        }
        let busy = member.scene.busy();
        let lived = match member.style.protocol {
            Protocol::Eager | Protocol::Cooperative => classic::live(&mut member).await,
            Protocol::Consumer => consumer::live(&mut member).await,
        };
        drop(busy);
        if let Err(lost) = lived {
            member.lost(lost);
        }
        pause(&member.io, &mut member.random).await;
    }
}

impl Member {
    fn record(&self, event: GroupEvent) {
        self.scene.record(Event::Group(event));
    }

    fn group(&self) -> String {
        group_name(self.style.group)
    }

    fn instance(&self) -> Option<String> {
        self.style.instance.map(|instance| format!("instance-{instance}"))
    }

    /// Whether it stays away for good.
    fn is_retired(&self) -> bool {
        self.style.is_double && self.scene.is_calm()
    }

    /// The topics that members subscribe to: those that stay.
    fn subscribed(&self) -> Vec<KnownTopic> {
        self.scene.topics().into_iter().filter(|known| !known.deletable).collect()
    }

    fn lost(&mut self, lost: Lost) {
        note_lost(&self.scene, lost);
        self.session = None;
    }

    async fn session(&mut self) -> Result<&mut Session, Lost> {
        if self.session.is_none() {
            let mut session = connect(&self.io, &self.scene, &mut self.random).await;
            let request = transactions::find_coordinator(&self.group(), KeyType::Group);
            let deadline = self.io.now() + PATIENCE;
            session.ask::<FindCoordinatorRequest>(transactions::FIND_COORDINATOR, &request, deadline).await?;
            self.session = Some(session);
        }
        self.session.as_mut().ok_or(Lost::Connection)
    }

    /// Tells that it is about to join, as somebody new if it is nobody.
    fn joining(&mut self) {
        if self.number == 0 {
            self.number = self.scene.member();
        }
        self.topics = self.subscribed();
        let wants = self
            .topics
            .iter()
            .flat_map(|known| (0..known.partitions).map(|index| PartitionId { topic: known.topic.id, index }));
        let session_ms =
            if self.style.protocol == Protocol::Consumer { CONSUMER_SESSION_MS } else { self.style.session_ms };
        let joiner = Joiner {
            group: self.style.group,
            client: self.name.clone(),
            instance: self.style.instance,
            is_nameless: self.id.is_empty(),
            is_classic: self.style.protocol != Protocol::Consumer,
            patience: Duration::from_millis(session_ms.min(self.style.rebalance_ms)),
            wants: wants.collect(),
        };
        self.record(GroupEvent::Joining { member: self.number, joiner });
    }

    fn assigned(
        &mut self,
        generation: i32,
        decision: u64,
        (asked, asked_at): (Moment, Instant),
        holds: BTreeSet<PartitionId>,
    ) {
        self.remember();
        (self.generation, self.holds) = (generation, holds.clone());
        let (member, at) = (self.number, self.io.now());
        self.record(GroupEvent::Assigned { member, generation, decision, asked, asked_at, at, holds });
        self.scene.progressed(&self.name);
    }

    fn confirmed(&mut self, (asked, asked_at): (Moment, Instant)) {
        let (member, generation) = (self.number, self.generation);
        self.record(GroupEvent::Confirmed { member, generation, asked, asked_at });
        self.scene.progressed(&self.name);
    }

    fn remember(&mut self) {
        if self.number != 0 && !self.holds.is_empty() {
            self.former = Some((self.number, self.id.clone(), self.generation, self.holds.clone()));
        }
    }

    fn keeps(&mut self, holds: BTreeSet<PartitionId>) {
        self.remember();
        self.holds = holds.clone();
        self.record(GroupEvent::Keeps { member: self.number, holds });
    }

    fn forget(&mut self) {
        self.remember();
        (self.number, self.generation) = (0, -1);
        self.id.clear();
        self.holds.clear();
    }

    fn expelled(&mut self, code: ErrorCode) {
        self.record(GroupEvent::Expelled { member: self.number, code, at: self.io.now() });
        self.forget();
    }

    fn gone(&mut self) {
        self.record(GroupEvent::Gone { member: self.number });
        self.forget();
    }

    fn now(&self) -> (Moment, Instant) {
        (self.scene.moment(), self.io.now())
    }

    async fn think(&mut self) {
        let think = self.random.below(self.style.think_ms_max + 1);
        self.io.sleep(Duration::from_millis(think)).await;
    }

    /// What members do besides staying in: commits, and looks at what is committed.
    async fn work(&mut self) -> Result<(), Lost> {
        if let Some((number, id, generation, held)) = self.former.take_if(|_| true) {
            // One who does not know yet that it holds them no more.
            if self.random.one_in(3) {
                self.commit(number, &id, generation, &held).await?;
            }
        }
        if self.random.one_in(2) {
            let (number, id, generation, holds) = (self.number, self.id.clone(), self.generation, self.holds.clone());
            self.commit(number, &id, generation, &holds).await?;
        }
        if self.random.one_in(3) {
            let topics = self.topics.clone();
            let (scene, deadline, group) = (Rc::clone(&self.scene), self.io.now() + PATIENCE, self.style.group);
            drain::tell(&scene, self.session().await?, group, &topics, deadline).await?;
        }
        Ok(())
    }

    async fn commit(
        &mut self,
        number: MemberNumber,
        id: &str,
        generation: i32,
        holds: &BTreeSet<PartitionId>,
    ) -> Result<(), Lost> {
        let Some(place) = holds.iter().nth(self.random.below(holds.len().max(1) as u64) as usize).copied() else {
            return Ok(());
        };
        let Some(topic) = self.topic(place) else { return Ok(()) };
        let commit = self.scene.commit();
        let (group, offset) = (self.style.group, i64::from(commit) * 10);
        let instance = self.instance();
        let request = wire::commit(
            &self.group(),
            (id, instance.as_deref(), generation),
            (&topic, place.index),
            offset,
            &commit.to_string(),
        );
        let deadline = self.io.now() + PATIENCE;
        self.session().await?;
        self.record(GroupEvent::CommitAsked { commit, group, place, offset });
        let asked = self.scene.moment();
        let response =
            self.session().await?.ask::<OffsetCommitRequest>(wire::OFFSET_COMMIT, &request, deadline).await?;
        let answer = response.topics.first().and_then(|topic| topic.partitions.first());
        let answer = answer.ok_or_else(|| Lost::Malformed("OffsetCommit without an answer".into()))?;
        match ErrorCode::from_code(answer.error_code).unwrap_or(ErrorCode::UnknownServerError) {
            ErrorCode::None => self.record(GroupEvent::Committed { commit, asked, member: number, generation }),
            code => self.record(GroupEvent::CommitRefused { commit, code }),
        }
        Ok(())
    }

    fn topic(&self, place: PartitionId) -> Option<Topic> {
        self.topics.iter().find(|known| known.topic.id == place.topic).map(|known| known.topic.clone())
    }

    /// Whether it is in the mood for trouble; nobody is once all is calm.
    fn troubles(&mut self) -> bool {
        let due = self.random.one_in(self.style.trouble_one_in);
        due && !self.scene.is_calm()
    }

    /// Some time that may be more than it is given.
    async fn silence(&mut self) {
        let silent = self.random.between(self.style.session_ms / 4, self.style.session_ms * 2);
        self.io.sleep(Duration::from_millis(silent)).await;
    }
}

/// Whether the coordinator is not there yet, or no longer.
fn is_passing(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::CoordinatorLoadInProgress | ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator
    )
}
