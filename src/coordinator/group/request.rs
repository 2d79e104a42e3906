//! Who asks, what is answered, and what a decision about membership is given and brings about.

pub use super::machine::Caller;

use super::history::History;
use super::settings::GroupSettings;
use crate::base::time::{Duration, Instant};
use crate::coordinator::machine::{CoordinatorRecord, Effects, ReplyTo, Situation};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::protocol::StrBytes;
use crate::protocol::messages::{
    ConsumerGroupHeartbeatResponse, HeartbeatResponse, JoinGroupResponse, LeaveGroupResponse, SyncGroupResponse,
};

/// The answer to a request about membership.
#[derive(Debug)]
pub enum MembershipReply {
    /// To JoinGroup.
    JoinGroup(Box<JoinGroupResponse>),
    /// To SyncGroup.
    SyncGroup(Box<SyncGroupResponse>),
    /// To Heartbeat.
    Heartbeat(HeartbeatResponse),
    /// To LeaveGroup.
    LeaveGroup(LeaveGroupResponse),
    /// To ConsumerGroupHeartbeat.
    ConsumerGroupHeartbeat(Box<ConsumerGroupHeartbeatResponse>),
}

/// What a decision about one group has at hand, and what it brings about.
pub struct Context<'a> {
    /// The time, the image, and randomness.
    pub situation: &'a Situation<'a>,
    /// How groups are run.
    pub settings: &'a GroupSettings,
    /// The group's rebalances.
    pub history: &'a mut History,
    /// Records and replies.
    pub effects: Effects<MembershipReply>,
}

impl<'a> Context<'a> {
    /// A context that has brought about nothing yet.
    pub fn new(situation: &'a Situation<'a>, settings: &'a GroupSettings, history: &'a mut History) -> Context<'a> {
        Context { situation, settings, history, effects: Effects::default() }
    }

    /// The point in time that lies `timeout_ms` ahead.
    pub fn in_ms(&self, timeout_ms: i32) -> Instant {
        self.situation.now + super::settings::milliseconds(timeout_ms)
    }

    /// The point in time that lies `timeout` ahead.
    pub fn after(&self, timeout: Duration) -> Instant {
        self.situation.now + timeout
    }

    /// Appends a record.
    pub fn record(&mut self, record: CoordinatorRecord) {
        self.effects.records.push(record);
    }

    /// Releases a reply.
    pub fn reply(&mut self, to: ReplyTo, reply: MembershipReply) {
        self.effects.replies.push((to, reply));
    }
}

/// An id as Kafka's UUIDs of version 4 print.
pub fn random_uuid(random: u128) -> String {
    uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid().hyphenated().to_string()
}

/// An owned text as messages carry it.
pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A refusal.
pub fn refuse<T>(code: ErrorCode, message: impl Into<String>) -> Result<T, ClientError> {
    Err(ClientError::new(code, message))
}
