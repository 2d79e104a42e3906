//! The state of one classic group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::base::time::{Duration, Instant};
use crate::coordinator::group::consumer_protocol;
use crate::coordinator::group::records::classic::ClassicGroupValue;
use crate::coordinator::machine::ReplyTo;
use crate::model::error_code::ErrorCode;

/// Where a classic group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClassicState {
    /// No members.
    Empty,
    /// Members are asked to join.
    PreparingRebalance,
    /// All have joined; the leader is to assign.
    CompletingRebalance,
    /// Everybody has an assignment.
    Stable,
}

impl ClassicState {
    /// Kafka's name of the state.
    pub fn name(self) -> &'static str {
        match self {
            ClassicState::Empty => "Empty",
            ClassicState::PreparingRebalance => "PreparingRebalance",
            ClassicState::CompletingRebalance => "CompletingRebalance",
            ClassicState::Stable => "Stable",
        }
    }
}

/// Kafka's name of the state of a group that does not exist.
pub const DEAD: &str = "Dead";

/// A protocol's name and a member's metadata of it.
pub type Protocol = (String, Bytes);

/// A member.
#[derive(Clone, Debug)]
pub struct ClassicMember {
    /// Its id.
    pub id: String,
    /// The id that it keeps over restarts, if it has one (KIP-345).
    pub instance_id: Option<String>,
    /// What the client calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
    /// How long it may take to join, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent, in milliseconds.
    pub session_timeout_ms: i32,
    /// Its protocols, in its order of preference.
    pub protocols: Vec<Protocol>,
    /// What the leader assigned to it.
    pub assignment: Bytes,
    /// Its JoinGroup that waits.
    pub waiting_join: Option<ReplyTo>,
    /// Its SyncGroup that waits.
    pub waiting_sync: Option<ReplyTo>,
    /// Whether no generation has begun with it yet: then even its waiting join does not keep it in.
    pub is_new: bool,
    /// When it is removed unless it is heard of; none while it waits.
    pub session_ends: Option<Instant>,
}

impl ClassicMember {
    /// The member's metadata of a protocol, empty if it does not speak it.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|(name, _)| name == protocol)
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    /// Whether a request of it waits.
    pub fn is_waiting(&self) -> bool {
        self.waiting_join.is_some() || self.waiting_sync.is_some()
    }
}

/// When the joining ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinDeadline {
    /// The time.
    pub at: Instant,
    /// How much longer a new group may wait for members that keep coming; none outside the first rebalance.
    pub initial: Option<Duration>,
}

/// A classic group.
#[derive(Clone, Debug)]
pub struct ClassicGroup {
    /// Its id.
    pub id: Arc<str>,
    /// Where it stands.
    pub state: ClassicState,
    /// Whether the joining under way began in an empty group.
    pub is_initial_rebalance: bool,
    /// When the state changed last, in milliseconds since 1970; none where unknown.
    pub state_since_ms: Option<i64>,
    /// What kind of members it has.
    pub protocol_type: Option<String>,
    /// The protocol that the members agreed on.
    pub protocol: Option<String>,
    /// The generation.
    pub generation: i32,
    /// The leader's member id.
    pub leader: Option<String>,
    /// The members by id.
    pub members: BTreeMap<String, ClassicMember>,
    /// Member ids of static members by instance id.
    pub static_members: BTreeMap<String, String>,
    /// Ids given out to members that are to come back with them, and until when.
    pub pending_joins: BTreeMap<String, Instant>,
    /// Members that have not synchronised in this generation.
    pub pending_syncs: BTreeSet<String>,
    /// How many members speak each protocol.
    pub supported: BTreeMap<String, usize>,
    /// When the joining ends.
    pub join_deadline: Option<JoinDeadline>,
    /// When members that have not synchronised are removed.
    pub sync_deadline: Option<Instant>,
    /// Whether somebody came while a new group waited for more.
    pub new_member_added: bool,
    /// The topics that the members subscribe to; none if that cannot be known.
    pub subscribed_topics: Option<BTreeSet<String>>,
    /// No deadline of the group lies before this.
    pub wake: Option<Instant>,
    /// The last record of the group.
    pub stored: Option<ClassicGroupValue>,
    /// Records of the group's own decisions that were not replayed yet.
    pub unreplayed: u32,
}

impl ClassicGroup {
    /// An empty group that nothing is known of.
    pub fn new(id: Arc<str>, wall_ms: Option<i64>) -> ClassicGroup {
        ClassicGroup {
            id,
            state: ClassicState::Empty,
            is_initial_rebalance: false,
            state_since_ms: wall_ms,
            protocol_type: None,
            protocol: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_joins: BTreeMap::new(),
            pending_syncs: BTreeSet::new(),
            supported: BTreeMap::new(),
            join_deadline: None,
            sync_deadline: None,
            new_member_added: false,
            subscribed_topics: None,
            wake: None,
            stored: None,
            unreplayed: 0,
        }
    }

    /// Changes the state.
    pub fn enter(&mut self, state: ClassicState, wall_ms: i64) {
        let allowed = match state {
            ClassicState::Empty | ClassicState::CompletingRebalance => self.state == ClassicState::PreparingRebalance,
            ClassicState::PreparingRebalance => self.state != ClassicState::PreparingRebalance,
            ClassicState::Stable => self.state == ClassicState::CompletingRebalance,
        };
        assert!(allowed, "a classic group does not go from {:?} to {state:?}", self.state);
        self.is_initial_rebalance = state == ClassicState::PreparingRebalance && self.state == ClassicState::Empty;
        self.state = state;
        self.state_since_ms = Some(wall_ms);
    }

    /// Whether the members are consumers, whose metadata has a known form.
    pub fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(consumer_protocol::PROTOCOL_TYPE)
    }

    /// Whether there is nothing to the group but perhaps offsets.
    pub fn is_simple(&self) -> bool {
        self.protocol_type.is_none() && self.state == ClassicState::Empty && self.pending_joins.is_empty()
    }

    /// Whether `member_id` leads.
    pub fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    /// Adds a member.
    pub fn add(&mut self, member: ClassicMember, protocol_type: &str) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.to_owned());
        }
        if let Some(instance) = &member.instance_id {
            let replaced = self.static_members.insert(instance.clone(), member.id.clone());
            assert!(replaced.is_none(), "an instance id belongs to one member");
        }
        self.leader.get_or_insert_with(|| member.id.clone());
        self.pending_joins.remove(&member.id);
        self.count_protocols(&member.protocols, 1);
        self.members.insert(member.id.clone(), member);
    }

    /// Removes a member, or an id that was given out; the next member in order leads if the leader goes.
    pub fn remove(&mut self, member_id: &str) -> Option<ClassicMember> {
        self.pending_joins.remove(member_id);
        self.pending_syncs.remove(member_id);
        let removed = self.members.remove(member_id);
        if let Some(member) = &removed {
            self.count_protocols(&member.protocols, -1);
            if let Some(instance) = &member.instance_id {
                self.static_members.remove(instance);
            }
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        removed
    }

    /// Gives a member other protocols.
    pub fn set_protocols(&mut self, member_id: &str, protocols: Vec<Protocol>) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        let before = std::mem::take(&mut member.protocols);
        self.count_protocols(&before, -1);
        self.count_protocols(&protocols, 1);
        if let Some(member) = self.members.get_mut(member_id) {
            member.protocols = protocols;
        }
    }

    fn count_protocols(&mut self, protocols: &[Protocol], step: isize) {
        for (name, _) in protocols {
            let count = self.supported.entry(name.clone()).or_insert(0);
            *count = count.checked_add_signed(step).expect("a protocol is not taken back more often than it was given");
            if *count == 0 {
                self.supported.remove(name);
            }
        }
    }

    /// Members whose JoinGroup waits.
    pub fn joined(&self) -> usize {
        self.members.values().filter(|member| member.waiting_join.is_some()).count()
    }

    /// Whether nobody is missing who could still join.
    pub fn have_all_joined(&self) -> bool {
        self.pending_joins.is_empty() && self.members.values().all(|member| member.waiting_join.is_some())
    }

    /// The longest that any member may take to join, in milliseconds.
    pub fn rebalance_timeout_ms(&self) -> i32 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0).max(0)
    }

    /// Sees to it that the group is looked at when `at` has come.
    pub fn arm(&mut self, at: Instant) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// Starts a member's session anew.
    pub fn restart_session(&mut self, member_id: &str, ends: Instant) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.session_ends = Some(ends);
            self.arm(ends);
        }
    }

    /// Whether `member_id`, with its instance id if it has one, is a member.
    ///
    /// # Errors
    /// FENCED_INSTANCE_ID when another member has taken the instance id over, UNKNOWN_MEMBER_ID otherwise.
    pub fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance_id {
            match self.static_members.get(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(owner) if owner != member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// Whether offsets of `topic` belong to a consumer that may be at work; true if that cannot be known.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.is_of_consumers(),
        }
    }

    /// The topics that the members subscribe to in the protocol agreed on; none if that cannot be known.
    pub fn compute_subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if !self.is_of_consumers() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.append(&mut consumer_protocol::read_topics(&member.metadata(protocol)).ok()?);
        }
        Some(topics)
    }
}
