//! Reads everything of the topics of transactions, as consumers of either isolation level see it, once nothing is open in
//! them any more; and how far was copied.

use std::rc::Rc;

use super::{COPIES, COPY_GROUP, QUEUE, items};
use crate::base::prng::Prng;
use crate::io::Handle;
use crate::model::error_code::ErrorCode;
use crate::model::ids::PartitionId;
use crate::model::offset::Offset;
use crate::protocol::messages::FetchRequest;
use crate::sim::client::groups;
use crate::sim::client::requests::{self, FetchLimits};
use crate::sim::client::{Lost, Session};
use crate::sim::history::Event;
use crate::sim::history::transactions::{Copied, TransactionEvent};
use crate::sim::scene::{KnownTopic, Scene};
use crate::sim::workload::{PATIENCE, connect, note_lost, pause};

/// The version of the fetches.
const VERSION: i16 = 16;
/// The isolation level that shows everything.
const READ_UNCOMMITTED: i8 = 0;

/// Reads all there is; returns when it has, or when a promise is broken.
pub async fn run(io: &Handle, scene: &Rc<Scene>, random: &mut Prng) {
    let topics = scene.transactional_topics();
    for known in &topics {
        for index in 0..known.partitions {
            let mut drained = false;
            while !drained && !scene.is_violated() {
                let mut session = connect(io, scene, random).await;
                match drain(io, scene, &mut session, known, index).await {
                    Ok(all) => drained = all,
                    Err(lost) => note_lost(scene, lost),
                }
                if !drained {
                    pause(io, random).await;
                }
            }
        }
    }
    let (from, to) = (scene.transactional_topic(QUEUE), scene.transactional_topic(COPIES));
    let copied = from.as_ref().zip(to).map(|(from, to)| Copied { from: from.topic.id, to: to.topic.id });
    if let Some(from) = from.filter(|_| copied.is_some()) {
        while !scene.is_violated() {
            let mut session = connect(io, scene, random).await;
            match tell_copied(io, scene, &mut session, &from).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(lost) => note_lost(scene, lost),
            }
            pause(io, random).await;
        }
    }
    scene.record(Event::Transaction(TransactionEvent::AllDrained { copied }));
}

async fn tell_copied(io: &Handle, scene: &Scene, session: &mut Session, from: &KnownTopic) -> Result<bool, Lost> {
    let wanted: Vec<_> = (0..from.partitions).map(|index| (&from.topic, index)).collect();
    let Ok(offsets) = groups::fetch_offsets(session, COPY_GROUP, &wanted, io.now() + PATIENCE).await? else {
        return Ok(false);
    };
    for (index, known) in offsets.iter().enumerate() {
        let place = PartitionId { topic: from.topic.id, index: index as i32 };
        scene.record(Event::Transaction(TransactionEvent::CopiedUpTo { place, offset: known.offset.max(0) }));
    }
    Ok(true)
}

/// Reads one partition in both ways; false when the broker did not let it, or a transaction holds it.
async fn drain(
    io: &Handle,
    scene: &Scene,
    session: &mut Session,
    known: &KnownTopic,
    index: i32,
) -> Result<bool, Lost> {
    let place = PartitionId { topic: known.topic.id, index };
    let Some(all) = read_all(io, scene, session, known, place, READ_UNCOMMITTED).await? else { return Ok(false) };
    let Some(visible) = read_all(io, scene, session, known, place, requests::READ_COMMITTED).await? else {
        return Ok(false);
    };
    if visible.next != all.next {
        return Ok(false);
    }
    let (visible, logged) = (visible.visible, all.logged);
    scene.record(Event::Transaction(TransactionEvent::Drained { place, end: all.next, visible, logged }));
    Ok(true)
}

/// Everything that an isolation level shows of a partition.
async fn read_all(
    io: &Handle,
    scene: &Scene,
    session: &mut Session,
    known: &KnownTopic,
    place: PartitionId,
    isolation_level: i8,
) -> Result<Option<items::Part>, Lost> {
    let mut whole = items::Part::default();
    loop {
        let limits = FetchLimits {
            wait_ms_max: 0,
            bytes_min: 0,
            bytes_max: 8 << 20,
            partition_bytes_max: 20_000,
            session: (0, -1),
        };
        let (asked, from): (_, Offset) = (scene.moment(), whole.next);
        let request = requests::fetch(VERSION, &limits, &[(known.topic.clone(), place.index, from)]);
        let request = request.with_isolation_level(isolation_level);
        let response = session.ask::<FetchRequest>(VERSION, &request, io.now() + PATIENCE).await?;
        let data = response.responses.first().and_then(|topic| topic.partitions.first());
        let Some(data) = data else { return Err(Lost::Malformed("a fetch without an answer".into())) };
        if data.error_code != 0 {
            let code = ErrorCode::from_code(data.error_code).unwrap_or(ErrorCode::UnknownServerError);
            scene.record(Event::ReadRefused { place, asked, from, code });
            return Ok(None);
        }
        let part = items::read(place, from, data).map_err(Lost::Malformed)?;
        let end = if isolation_level == READ_UNCOMMITTED { data.high_watermark } else { data.last_stable_offset };
        if part.next == from && from < end {
            let what =
                format!("{place}: a read of offset {from} brings nothing, though there is something up to {end}");
            return Err(Lost::Malformed(what));
        }
        whole.visible.extend(part.visible);
        whole.logged.extend(part.logged);
        whole.next = part.next;
        if whole.next >= end {
            return Ok(Some(whole));
        }
    }
}
