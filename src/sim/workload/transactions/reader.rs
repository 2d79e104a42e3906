//! Readers: they follow every partition of the topics of transactions with `read_committed`, in pieces of any size, and begin
//! again now and then.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::items;
use crate::base::prng::Prng;
use crate::base::time::Duration;
use crate::io::Handle;
use crate::model::error_code::ErrorCode;
use crate::model::ids::PartitionId;
use crate::model::offset::Offset;
use crate::protocol::messages::FetchRequest;
use crate::sim::client::requests::{self, FetchLimits, Topic};
use crate::sim::client::{Lost, Session};
use crate::sim::history::transactions::TransactionEvent;
use crate::sim::history::{Bounds, Event};
use crate::sim::scene::{Phase, Scene};
use crate::sim::workload::{PATIENCE, connect, note_lost, pause};

/// How a reader works.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// The version of its requests.
    pub version: i16,
    /// Bytes that a fetch may bring of a partition.
    pub partition_bytes_max: i32,
    /// Pause between fetches, at most, in milliseconds.
    pub think_ms_max: u64,
    /// One fetch in so many begins again at the start.
    pub rewind_one_in: u64,
}

/// Reads until the process ends.
pub async fn run(io: Handle, scene: Rc<Scene>, name: String, mut random: Prng, style: Style) {
    let mut positions: BTreeMap<PartitionId, Offset> = BTreeMap::new();
    loop {
        let mut session = connect(&io, &scene, &mut random).await;
        loop {
            while scene.phase() == Phase::Quiet || scene.transactional_topics().is_empty() {
                io.sleep(Duration::from_millis(100)).await;
            }
            match read(&io, &scene, &mut random, &mut session, &style, &mut positions).await {
                Ok(()) => scene.progressed(&name),
                Err(lost) => {
                    note_lost(&scene, lost);
                    break;
                }
            }
            io.sleep(Duration::from_millis(random.below(style.think_ms_max + 1))).await;
        }
        pause(&io, &mut random).await;
    }
}

async fn read(
    io: &Handle,
    scene: &Scene,
    random: &mut Prng,
    session: &mut Session,
    style: &Style,
    positions: &mut BTreeMap<PartitionId, Offset>,
) -> Result<(), Lost> {
    let mut wanted: Vec<(Topic, i32, Offset)> = Vec::new();
    for known in scene.transactional_topics() {
        for index in 0..known.partitions {
            let position = positions.entry(PartitionId { topic: known.topic.id, index }).or_insert(0);
            if random.one_in(style.rewind_one_in) {
                *position = 0;
            }
            wanted.push((known.topic.clone(), index, *position));
        }
    }
    let limits = FetchLimits {
        wait_ms_max: 200,
        bytes_min: 1,
        bytes_max: 4 << 20,
        partition_bytes_max: style.partition_bytes_max,
        session: (0, -1),
    };
    let asked = scene.moment();
    let request = requests::fetch(style.version, &limits, &wanted).with_isolation_level(requests::READ_COMMITTED);
    let response = session.ask::<FetchRequest>(style.version, &request, io.now() + PATIENCE).await?;
    for topic in &response.responses {
        for data in &topic.partitions {
            let by_id = style.version >= requests::TOPIC_IDS_FROM;
            let is_about = |(known, index, _): &&(Topic, i32, Offset)| {
                let same = if by_id { known.id == topic.topic_id } else { *known.name == *topic.topic.0 };
                same && *index == data.partition_index
            };
            let Some((known, index, from)) = wanted.iter().find(is_about).cloned() else {
                return Err(Lost::Malformed("a fetch brought a partition that was not asked for".into()));
            };
            let place = PartitionId { topic: known.id, index };
            if data.error_code != 0 {
                let code = ErrorCode::from_code(data.error_code).unwrap_or(ErrorCode::UnknownServerError);
                scene.record(Event::ReadRefused { place, asked, from, code });
                pause(io, random).await;
                continue;
            }
            let part = items::read(place, from, data).map_err(Lost::Malformed)?;
            positions.insert(place, part.next);
            let bounds = Bounds {
                log_start: data.log_start_offset,
                high_watermark: data.high_watermark,
                last_stable: data.last_stable_offset,
            };
            let (next, items) = (part.next, part.visible);
            scene.record(Event::Transaction(TransactionEvent::Read { place, asked, from, next, bounds, items }));
        }
    }
    Ok(())
}
