//! The classic protocol: JoinGroup, SyncGroup with the leader's assignment, heartbeats.

use std::collections::{BTreeMap, BTreeSet};

use super::assign::{self, Known, Named};
use super::{Member, Next, Protocol, is_passing};
use crate::model::error_code::ErrorCode;
use crate::model::ids::PartitionId;
use crate::protocol::messages::join_group_request::JoinGroupRequestProtocol;
use crate::protocol::messages::leave_group_request::MemberIdentity;
use crate::protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use crate::protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
};
use crate::sim::client::Lost;
use crate::sim::client::groups as wire;
use crate::sim::scene::Phase;
use crate::sim::workload::{PATIENCE, pause};

const PROTOCOL_TYPE: &str = "consumer";

fn code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)
}

/// Joins and stays in until it is out again, by its own will or not.
pub(super) async fn live(member: &mut Member) -> Result<(), Lost> {
    while member.scene.phase() == Phase::Running && !member.is_retired() {
        let next = match join(member).await? {
            Some(joined) => match sync(member, &joined).await? {
                Next::On => stay(member).await?,
                next => next,
            },
            None => Next::Rejoin,
        };
        match next {
            Next::On | Next::Rejoin => {}
            Next::Anew => return Ok(()),
        }
        pause(&member.io, &mut member.random).await;
    }
    if member.number != 0 {
        leave(member).await?;
    }
    Ok(())
}

fn protocol_name(member: &Member) -> &'static str {
    if member.style.protocol == Protocol::Eager { "range" } else { "cooperative-sticky" }
}

fn named(member: &Member, holds: &BTreeSet<PartitionId>) -> BTreeMap<String, Vec<i32>> {
    let mut named: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for place in holds {
        if let Some(topic) = member.topic(*place) {
            named.entry(topic.name).or_default().push(place.index);
        }
    }
    named
}

/// Joins; `None` when it has to try again.
async fn join(member: &mut Member) -> Result<Option<JoinGroupResponse>, Lost> {
    if member.style.protocol == Protocol::Eager && !member.holds.is_empty() {
        member.keeps(BTreeSet::new());
    }
    member.joining();
    let topics: Vec<_> = member.topics.iter().map(|known| known.topic.clone()).collect();
    let metadata = wire::subscription(&topics, &named(member, &member.holds));
    let protocol =
        JoinGroupRequestProtocol::default().with_name(wire::text(protocol_name(member))).with_metadata(metadata);
    let request = JoinGroupRequest::default()
        .with_group_id(wire::group_id(&member.group()))
        .with_session_timeout_ms(member.style.session_ms as i32)
        .with_rebalance_timeout_ms(member.style.rebalance_ms as i32)
        .with_member_id(wire::text(&member.id))
        .with_group_instance_id(member.instance().as_deref().map(wire::text))
        .with_protocol_type(wire::text(PROTOCOL_TYPE))
        .with_protocols(vec![protocol]);
    let deadline = member.io.now() + PATIENCE;
    let response = member.session().await?.ask::<JoinGroupRequest>(wire::JOIN, &request, deadline).await?;
    match code(response.error_code) {
        ErrorCode::None => {
            member.id = response.member_id.to_string();
            return Ok(Some(response));
        }
        ErrorCode::MemberIdRequired => member.id = response.member_id.to_string(),
        code @ (ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId) => {
            member.expelled(code);
            member.silence().await;
        }
        code => refused(member, "JoinGroup", code),
    }
    Ok(None)
}

/// What has no business to come is told; the rest passes.
fn refused(member: &Member, what: &str, code: ErrorCode) {
    if !is_passing(code) && !matches!(code, ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration) {
        let what = format!("{what} of member {} was refused with {code}", member.number);
        member.scene.record(crate::sim::history::Event::Malformed { what });
    }
}

/// As the leader, decides who gets what.
fn decide(member: &mut Member, joined: &JoinGroupResponse) -> Result<Vec<SyncGroupRequestAssignment>, Lost> {
    if joined.leader != joined.member_id || joined.members.is_empty() {
        return Ok(Vec::new());
    }
    let mut members = Vec::new();
    for one in &joined.members {
        let (topics, holds) = wire::read_subscription(one.metadata.clone())?;
        let holds = holds.iter().flat_map(|(topic, indexes)| indexes.iter().map(|index| (topic.clone(), *index)));
        let (topics, holds) = (topics.into_iter().collect(), holds.collect());
        members.push(Known { id: one.member_id.to_string(), topics, holds });
    }
    let all: Vec<Named> = member
        .subscribed()
        .iter()
        .flat_map(|known| (0..known.partitions).map(|index| (known.topic.name.clone(), index)))
        .collect();
    let dealt = match member.style.protocol {
        Protocol::Eager => assign::eager(&members, &all, &mut member.random),
        _ => assign::cooperative(&members, &all),
    };
    let decision = u64::from(member.number) << 32 | member.random.below(1 << 32);
    let part = |(id, parts): (&String, &BTreeSet<Named>)| {
        let mut by_topic: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for (topic, index) in parts {
            by_topic.entry(topic.clone()).or_default().push(*index);
        }
        SyncGroupRequestAssignment::default()
            .with_member_id(wire::text(id))
            .with_assignment(wire::assignment(&by_topic, decision))
    };
    Ok(dealt.iter().map(part).collect())
}

async fn sync(member: &mut Member, joined: &JoinGroupResponse) -> Result<Next, Lost> {
    let assignments = decide(member, joined)?;
    let request = SyncGroupRequest::default()
        .with_group_id(wire::group_id(&member.group()))
        .with_generation_id(joined.generation_id)
        .with_member_id(wire::text(&member.id))
        .with_group_instance_id(member.instance().as_deref().map(wire::text))
        .with_protocol_type(Some(wire::text(PROTOCOL_TYPE)))
        .with_protocol_name(Some(wire::text(protocol_name(member))))
        .with_assignments(assignments);
    let asked = member.now();
    let deadline = member.io.now() + PATIENCE;
    let response = member.session().await?.ask::<SyncGroupRequest>(wire::SYNC, &request, deadline).await?;
    match code(response.error_code) {
        ErrorCode::None => {}
        code @ (ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId) => {
            member.expelled(code);
            return Ok(Next::Anew);
        }
        code => {
            refused(member, "SyncGroup", code);
            return Ok(Next::Rejoin);
        }
    }
    let (partitions, decision) = wire::read_assignment(response.assignment)?;
    let mut assigned = BTreeSet::new();
    for (topic, indexes) in &partitions {
        let known = member.topics.iter().find(|known| known.topic.name == *topic);
        let known = known.ok_or_else(|| Lost::Malformed(format!("{topic} was assigned and not subscribed to")))?;
        assigned.extend(indexes.iter().map(|index| PartitionId { topic: known.topic.id, index: *index }));
    }
    let gives_up = !member.holds.is_subset(&assigned);
    member.assigned(joined.generation_id, decision, asked, assigned);
    // Who gave something up joins again, so that others get it.
    Ok(if gives_up { Next::Rejoin } else { Next::On })
}

async fn stay(member: &mut Member) -> Result<Next, Lost> {
    loop {
        member.think().await;
        if member.scene.phase() != Phase::Running || member.is_retired() {
            return Ok(Next::On);
        }
        if member.subscribed() != member.topics {
            return Ok(Next::Rejoin);
        }
        if member.troubles() {
            match member.random.below(3) {
                0 => leave(member).await?,
                1 => {
                    member.gone();
                    member.session = None;
                }
                _ => {
                    member.silence().await;
                    continue;
                }
            }
            member.silence().await;
            return Ok(Next::Anew);
        }
        match beat(member).await? {
            Next::On => {}
            next => return Ok(next),
        }
        member.work().await?;
    }
}

async fn beat(member: &mut Member) -> Result<Next, Lost> {
    let request = HeartbeatRequest::default()
        .with_group_id(wire::group_id(&member.group()))
        .with_generation_id(member.generation)
        .with_member_id(wire::text(&member.id))
        .with_group_instance_id(member.instance().as_deref().map(wire::text));
    let asked = member.now();
    let deadline = member.io.now() + PATIENCE;
    let response = member.session().await?.ask::<HeartbeatRequest>(wire::HEARTBEAT, &request, deadline).await?;
    match code(response.error_code) {
        ErrorCode::None => member.confirmed(asked),
        ErrorCode::RebalanceInProgress => return Ok(Next::Rejoin),
        ErrorCode::IllegalGeneration => {
            member.keeps(BTreeSet::new());
            return Ok(Next::Rejoin);
        }
        code @ (ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId) => {
            member.expelled(code);
            if code == ErrorCode::FencedInstanceId {
                member.silence().await;
            }
            return Ok(Next::Anew);
        }
        code => refused(member, "Heartbeat", code),
    }
    Ok(Next::On)
}

async fn leave(member: &mut Member) -> Result<(), Lost> {
    let identity = MemberIdentity::default()
        .with_member_id(wire::text(&member.id))
        .with_group_instance_id(member.instance().as_deref().map(wire::text));
    let request =
        LeaveGroupRequest::default().with_group_id(wire::group_id(&member.group())).with_members(vec![identity]);
    member.gone();
    let deadline = member.io.now() + PATIENCE;
    member.session().await?.ask::<LeaveGroupRequest>(wire::LEAVE, &request, deadline).await?;
    Ok(())
}
