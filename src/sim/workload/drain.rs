//! Reads everything there is while nobody writes: what the last judgement is about.

use std::rc::Rc;

use crate::protocol::messages::{FetchRequest, MetadataRequest};

use super::consumer::{list, read_partition};
use super::{PATIENCE, connect, note_lost, pause};
use super::{groups, transactions};
use crate::base::prng::Prng;
use crate::io::Handle;
use crate::model::error_code::ErrorCode;
use crate::model::ids::{PartitionId, Uuid};
use crate::sim::client::requests::{self, EARLIEST, FetchLimits, LATEST, Topic};
use crate::sim::client::{Lost, Session};
use crate::sim::history::{Bounds, Event};
use crate::sim::scene::Scene;

/// The version of the fetches.
const VERSION: i16 = 16;

/// Reads every partition of every topic from its start to its end, and tells when that is done.
pub async fn run(io: Handle, scene: Rc<Scene>, mut random: Prng, done: Rc<std::cell::Cell<bool>>) {
    for known in scene.topics() {
        for index in 0..known.partitions {
            let place = PartitionId { topic: known.topic.id, index };
            loop {
                let mut session = connect(&io, &scene, &mut random).await;
                match drain(&io, &scene, &mut session, &known.topic, place).await {
                    Ok(true) => break,
                    // Its deletion may have been asked for by somebody who never heard what came of it.
                    Ok(false) if known.deletable => match topics(&io, &mut session).await {
                        Ok(there) if !there.contains(&known.topic.id) => break,
                        Ok(_) => {}
                        Err(lost) => note_lost(&scene, lost),
                    },
                    Ok(false) => {}
                    Err(lost) => note_lost(&scene, lost),
                }
                if scene.is_violated() {
                    return;
                }
                pause(&io, &mut random).await;
            }
        }
    }
    groups::drain::run(&io, &scene, &mut random).await;
    transactions::drain::run(&io, &scene, &mut random).await;
    loop {
        let mut session = connect(&io, &scene, &mut random).await;
        match list_topics(&io, &scene, &mut session).await {
            Ok(()) => break,
            Err(lost) => note_lost(&scene, lost),
        }
        pause(&io, &mut random).await;
    }
    done.set(true);
}

async fn list_topics(io: &Handle, scene: &Scene, session: &mut Session) -> Result<(), Lost> {
    let topics = topics(io, session).await?;
    scene.record(Event::TopicsListed { topics });
    Ok(())
}

/// The topics there are.
async fn topics(io: &Handle, session: &mut Session) -> Result<Vec<Uuid>, Lost> {
    let request = MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false);
    let response = session.ask::<MetadataRequest>(requests::METADATA, &request, io.now() + PATIENCE).await?;
    Ok(response.topics.iter().filter(|topic| topic.error_code == 0).map(|topic| topic.topic_id).collect())
}

/// Reads one partition; false when the broker did not let it.
async fn drain(
    io: &Handle,
    scene: &Scene,
    session: &mut Session,
    topic: &Topic,
    place: PartitionId,
) -> Result<bool, Lost> {
    let Some(start) = list(io, scene, session, topic, place, EARLIEST).await? else { return Ok(false) };
    let Some(end) = list(io, scene, session, topic, place, LATEST).await? else { return Ok(false) };
    let (mut at, mut all) = (start, Vec::new());
    while at < end {
        let limits = FetchLimits {
            wait_ms_max: 500,
            bytes_min: 1,
            bytes_max: 8 << 20,
            partition_bytes_max: 1 << 20,
            session: (0, -1),
        };
        let asked = scene.moment();
        let request = requests::fetch(VERSION, &limits, &[(topic.clone(), place.index, at)]);
        let response = session.ask::<FetchRequest>(VERSION, &request, io.now() + PATIENCE).await?;
        let data = response.responses.first().and_then(|topic| topic.partitions.first());
        let Some(data) = data else { return Err(Lost::Malformed("a fetch without an answer".into())) };
        if data.error_code != 0 {
            let code = ErrorCode::from_code(data.error_code).unwrap_or(ErrorCode::UnknownServerError);
            scene.record(Event::ReadRefused { place, asked, from: at, code });
            return Ok(false);
        }
        let records = read_partition(place, at, data).map_err(Lost::Malformed)?;
        let Some((last, _)) = records.last() else {
            let what = format!("{place}: a read of offset {at} brings nothing, though the log ends at {end}");
            return Err(Lost::Malformed(what));
        };
        let bounds = Bounds {
            log_start: data.log_start_offset,
            high_watermark: data.high_watermark,
            last_stable: data.last_stable_offset,
        };
        let from = at;
        at = last + 1;
        // What clients gave up on long ago may still come in: a slow broker works it off.
        all.extend(records.iter().copied().filter(|(offset, _)| *offset < end));
        scene.record(Event::Read { place, asked, from, bounds, records });
    }
    scene.record(Event::Drained { place, start, end, records: all });
    Ok(true)
}
