//! The new protocol (KIP-848): heartbeats are all there is.

use std::collections::{BTreeMap, BTreeSet};

use super::{Member, Next, is_passing};
use crate::model::error_code::ErrorCode;
use crate::model::ids::{PartitionId, Uuid};
use crate::protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use crate::protocol::messages::{ConsumerGroupHeartbeatRequest, TopicName};
use crate::sim::client::Lost;
use crate::sim::client::groups as wire;
use crate::sim::history::Event;
use crate::sim::scene::Phase;
use crate::sim::workload::PATIENCE;

/// The epoch of a member that joins.
const JOINS: i32 = 0;
/// The epoch of a member that leaves.
const LEAVES: i32 = -1;
/// The epoch of a static member that leaves for a while.
const LEAVES_FOR_A_WHILE: i32 = -2;

/// Joins and stays in until it is out again, by its own will or not.
pub(super) async fn live(member: &mut Member) -> Result<(), Lost> {
    while member.scene.phase() == Phase::Running && !member.is_retired() {
        if member.troubles() && member.number != 0 {
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
            return Ok(());
        }
        match beat(member).await? {
            Next::On => member.work().await?,
            Next::Rejoin => {}
            Next::Anew => return Ok(()),
        }
        member.think().await;
    }
    if member.number != 0 {
        leave(member).await?;
    }
    Ok(())
}

fn request(member: &Member, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(wire::group_id(&member.group()))
        .with_member_id(wire::text(&member.id))
        .with_instance_id(member.instance().as_deref().map(wire::text))
        .with_member_epoch(epoch)
}

async fn beat(member: &mut Member) -> Result<Next, Lost> {
    let joins = member.generation <= JOINS;
    if member.number == 0 || joins || member.subscribed() != member.topics {
        member.joining();
        if member.id.is_empty() {
            member.id = format!("member-{}", member.number);
        }
    }
    let mut holds: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for place in &member.holds {
        holds.entry(place.topic).or_default().push(place.index);
    }
    let holds = holds
        .into_iter()
        .map(|(topic, indexes)| TopicPartitions::default().with_topic_id(topic).with_partitions(indexes));
    let names = member.topics.iter().map(|known| TopicName(wire::text(&known.topic.name)));
    let request = request(member, if joins { JOINS } else { member.generation })
        .with_rebalance_timeout_ms(member.style.rebalance_ms as i32)
        .with_subscribed_topic_names(Some(names.collect()))
        .with_topic_partitions(Some(holds.collect()));
    let asked = member.now();
    let deadline = member.io.now() + PATIENCE;
    let session = member.session().await?;
    let response = session.ask::<ConsumerGroupHeartbeatRequest>(wire::CONSUMER_HEARTBEAT, &request, deadline).await?;
    match ErrorCode::from_code(response.error_code).unwrap_or(ErrorCode::UnknownServerError) {
        ErrorCode::None => {
            let Some(assignment) = &response.assignment else {
                member.generation = response.member_epoch;
                member.confirmed(asked);
                return Ok(Next::On);
            };
            let parts = assignment.topic_partitions.iter();
            let holds = parts.flat_map(|part| {
                part.partitions.iter().map(|index| PartitionId { topic: part.topic_id, index: *index })
            });
            let holds: BTreeSet<PartitionId> = holds.collect();
            member.assigned(response.member_epoch, 0, asked, holds);
            Ok(Next::On)
        }
        ErrorCode::FencedMemberEpoch => {
            member.keeps(BTreeSet::new());
            member.generation = JOINS;
            Ok(Next::Rejoin)
        }
        code @ (ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId) => {
            member.expelled(code);
            Ok(Next::Anew)
        }
        // The one before it has not left yet, or it is known for dead only later.
        ErrorCode::UnreleasedInstanceId => Ok(Next::Rejoin),
        code if is_passing(code) => Ok(Next::Rejoin),
        code => {
            let what = format!("ConsumerGroupHeartbeat of member {} was refused with {code}", member.number);
            member.scene.record(Event::Malformed { what });
            Ok(Next::Rejoin)
        }
    }
}

async fn leave(member: &mut Member) -> Result<(), Lost> {
    let for_a_while = member.style.instance.is_some() && member.random.one_in(2);
    let request = request(member, if for_a_while { LEAVES_FOR_A_WHILE } else { LEAVES });
    member.gone();
    let deadline = member.io.now() + PATIENCE;
    let session = member.session().await?;
    session.ask::<ConsumerGroupHeartbeatRequest>(wire::CONSUMER_HEARTBEAT, &request, deadline).await?;
    Ok(())
}
