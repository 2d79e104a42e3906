//! Tells what is committed.

use std::rc::Rc;

use crate::base::prng::Prng;
use crate::base::time::Instant;
use crate::io::Handle;
use crate::model::ids::PartitionId;
use crate::sim::client::groups as wire;
use crate::sim::client::{Lost, Session};
use crate::sim::history::Event;
use crate::sim::history::groups::{GroupEvent, GroupNumber, group_name};
use crate::sim::scene::{KnownTopic, Scene};
use crate::sim::workload::{PATIENCE, connect, note_lost, pause};

/// Tells the committed offsets of a group for all partitions of some topics; false when the broker does not say.
pub(super) async fn tell(
    scene: &Scene,
    session: &mut Session,
    group: GroupNumber,
    topics: &[KnownTopic],
    deadline: Instant,
) -> Result<bool, Lost> {
    let all = topics.iter().flat_map(|known| (0..known.partitions).map(move |index| (&known.topic, index)));
    let wanted: Vec<_> = all.collect();
    let asked = scene.moment();
    let Ok(offsets) = wire::fetch_offsets(session, &group_name(group), &wanted, deadline).await? else {
        return Ok(false);
    };
    for ((topic, index), told) in wanted.iter().zip(offsets) {
        let place = PartitionId { topic: topic.id, index: *index };
        let commit = match (told.offset, told.metadata.parse()) {
            (-1, _) => None,
            (_, Ok(commit)) => Some(commit),
            (offset, Err(_)) => {
                let what = format!("{place}: offset {offset} is committed with '{}', and nobody did", told.metadata);
                return Err(Lost::Malformed(what));
            }
        };
        let offset = told.offset;
        scene.record(Event::Group(GroupEvent::OffsetTold { group, place, asked, commit, offset }));
    }
    Ok(true)
}

/// Tells the committed offsets of all groups, while nobody commits.
pub async fn run(io: &Handle, scene: &Rc<Scene>, random: &mut Prng) {
    let topics: Vec<KnownTopic> = scene.topics().into_iter().filter(|known| !known.deletable).collect();
    for group in scene.groups() {
        let mut told = false;
        while !told && !scene.is_violated() {
            let mut session = connect(io, scene, random).await;
            match tell(scene, &mut session, group, &topics, io.now() + PATIENCE).await {
                Ok(all) => told = all,
                Err(lost) => note_lost(scene, lost),
            }
            if !told {
                pause(io, random).await;
            }
        }
    }
}
