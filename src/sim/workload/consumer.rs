//! Consumers: they follow every partition from its start, with and without fetch sessions (KIP-227), by name or by id.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use crate::protocol::messages::{FetchRequest, FetchResponse, ListOffsetsRequest};

use super::records;
use super::{PATIENCE, connect, note_lost, pause};
use crate::base::prng::Prng;
use crate::base::time::Duration;
use crate::io::Handle;
use crate::model::error_code::ErrorCode;
use crate::model::ids::PartitionId;
use crate::model::offset::Offset;
use crate::record::{batches, check_stored};
use crate::sim::client::requests::{self, EARLIEST, FetchLimits, Topic};
use crate::sim::client::{Lost, Session};
use crate::sim::history::{Bounds, Event, Moment, Tag};
use crate::sim::scene::{Phase, Scene};

/// How a consumer works.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// The version of its requests.
    pub version: i16,
    /// Whether it uses a fetch session.
    pub session: bool,
    /// How long a fetch may wait, in milliseconds.
    pub wait_ms_max: i32,
    /// How much makes a fetch worth answering.
    pub bytes_min: i32,
    /// Bytes a partition may bring.
    pub partition_bytes_max: i32,
    /// Pause between fetches, at most, in milliseconds.
    pub think_ms_max: u64,
    /// One fetch in so many begins again at the log start; 0 for none.
    pub rewind_one_in: u64,
}

/// A partition, and the offset that is to be read from it next.
type Position = (Topic, i32, Offset);

struct Consumer {
    io: Handle,
    scene: Rc<Scene>,
    name: String,
    random: Prng,
    style: Style,
    positions: BTreeMap<PartitionId, Offset>,
    /// Session, its next epoch, and the positions that the broker knows.
    session: Option<(i32, i32, BTreeMap<PartitionId, Offset>)>,
}

/// Consumes until the process ends.
pub async fn run(io: Handle, scene: Rc<Scene>, name: String, random: Prng, style: Style) {
    let mut consumer = Consumer { io, scene, name, random, style, positions: BTreeMap::new(), session: None };
    loop {
        let mut connection = connect(&consumer.io, &consumer.scene, &mut consumer.random).await;
        consumer.session = None;
        loop {
            match consumer.fetch(&mut connection).await {
                Ok(()) => {}
                Err(lost) => {
                    note_lost(&consumer.scene, lost);
                    break;
                }
            }
        }
        pause(&consumer.io, &mut consumer.random).await;
    }
}

impl Consumer {
    fn wanted(&mut self) -> Vec<Position> {
        let named = self.style.version < requests::TOPIC_IDS_FROM;
        let mut wanted = Vec::new();
        for known in self.scene.topics() {
            if named && known.deletable {
                continue;
            }
            for index in 0..known.partitions {
                let place = PartitionId { topic: known.topic.id, index };
                let position = self.positions.entry(place).or_insert(0);
                if self.style.rewind_one_in > 0 && self.random.one_in(self.style.rewind_one_in) {
                    *position = 0;
                }
                wanted.push((known.topic.clone(), index, *position));
            }
        }
        wanted
    }

    async fn fetch(&mut self, connection: &mut Session) -> Result<(), Lost> {
        while self.scene.topics_count() == 0 || self.scene.phase() == Phase::Quiet {
            self.io.sleep(Duration::from_millis(100)).await;
        }
        let all = self.wanted();
        let (session, sent) = self.in_session(&all);
        let limits = FetchLimits {
            wait_ms_max: self.style.wait_ms_max,
            bytes_min: self.style.bytes_min,
            bytes_max: 4 << 20,
            partition_bytes_max: self.style.partition_bytes_max,
            session,
        };
        let asked = self.scene.moment();
        let request = requests::fetch(self.style.version, &limits, &sent);
        let deadline = self.io.now() + PATIENCE;
        let response = connection.ask::<FetchRequest>(self.style.version, &request, deadline).await?;
        self.scene.progressed(&self.name);
        if !self.follow_session(&response, &all) {
            return Ok(());
        }
        self.take(connection, asked, &all, &response).await?;
        let think = self.random.below(self.style.think_ms_max + 1);
        if think > 0 {
            self.io.sleep(Duration::from_millis(think)).await;
        }
        Ok(())
    }

    /// What of `all` goes into a request: in a session only what has changed.
    fn in_session(&mut self, all: &[Position]) -> ((i32, i32), Vec<Position>) {
        if !self.style.session {
            return ((0, -1), all.to_vec());
        }
        let place = |one: &Position| PartitionId { topic: one.0.id, index: one.1 };
        let gone = |known: &PartitionId| !all.iter().any(|one| place(one) == *known);
        if self.session.as_ref().is_some_and(|(.., known)| known.keys().any(gone)) {
            self.session = None;
        }
        match &mut self.session {
            None => ((0, 0), all.to_vec()),
            Some((id, epoch, known)) => {
                let changed = |one: &&Position| known.insert(place(one), one.2) != Some(one.2);
                let sent = all.iter().filter(changed).cloned().collect();
                ((*id, *epoch), sent)
            }
        }
    }

    /// Notes what a response says of the session; false when it holds nothing else.
    fn follow_session(&mut self, response: &FetchResponse, all: &[Position]) -> bool {
        if !self.style.session {
            return true;
        }
        if response.error_code != 0 || response.session_id == 0 {
            self.session = None;
            return response.error_code == 0;
        }
        let place = |one: &Position| (PartitionId { topic: one.0.id, index: one.1 }, one.2);
        match &mut self.session {
            Some((id, epoch, _)) if *id == response.session_id => *epoch += 1,
            _ => self.session = Some((response.session_id, 1, all.iter().map(place).collect())),
        }
        true
    }

    async fn take(
        &mut self,
        connection: &mut Session,
        asked: Moment,
        all: &[Position],
        response: &FetchResponse,
    ) -> Result<(), Lost> {
        for topic in &response.responses {
            for data in &topic.partitions {
                let asked_for = all.iter().find(|one| is_about(self.style.version, one, topic, data));
                let Some((known, index, from)) = asked_for.cloned() else {
                    let what = format!("a fetch brought partition {} that was not asked for", data.partition_index);
                    return Err(Lost::Malformed(what));
                };
                let place = PartitionId { topic: known.id, index };
                match ErrorCode::from_code(data.error_code).unwrap_or(ErrorCode::UnknownServerError) {
                    ErrorCode::None => {
                        let read = read_partition(place, from, data).map_err(Lost::Malformed)?;
                        if let Some((last, _)) = read.last() {
                            self.positions.insert(place, last + 1);
                        }
                        let bounds = bounds(data);
                        self.scene.record(Event::Read { place, asked, from, bounds, records: read });
                    }
                    code => {
                        self.scene.record(Event::ReadRefused { place, asked, from, code });
                        self.after_refusal(connection, &known, place, code).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn after_refusal(
        &mut self,
        connection: &mut Session,
        topic: &Topic,
        place: PartitionId,
        code: ErrorCode,
    ) -> Result<(), Lost> {
        self.session = None;
        match code {
            ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition => {
                self.positions.remove(&place);
            }
            ErrorCode::OffsetOutOfRange => {
                if let Some(start) = list(&self.io, &self.scene, connection, topic, place, EARLIEST).await? {
                    self.positions.insert(place, start);
                }
            }
            _ => pause(&self.io, &mut self.random).await,
        }
        Ok(())
    }
}

fn is_about(version: i16, one: &Position, topic: &FetchableTopicResponse, data: &PartitionData) -> bool {
    let by_id = version >= requests::TOPIC_IDS_FROM;
    let same = if by_id { one.0.id == topic.topic_id } else { one.0.name == *topic.topic.0 };
    same && one.1 == data.partition_index
}

fn bounds(data: &PartitionData) -> Bounds {
    Bounds {
        log_start: data.log_start_offset,
        high_watermark: data.high_watermark,
        last_stable: data.last_stable_offset,
    }
}

/// Asks for the log start or the high watermark; `None` when the broker does not say.
pub(super) async fn list(
    io: &Handle,
    scene: &Scene,
    connection: &mut Session,
    topic: &Topic,
    place: PartitionId,
    which: i64,
) -> Result<Option<Offset>, Lost> {
    let asked = scene.moment();
    let request = requests::list_offsets(&topic.name, place.index, which);
    let deadline = io.now() + PATIENCE;
    let response = connection.ask::<ListOffsetsRequest>(requests::LIST_OFFSETS, &request, deadline).await?;
    let answer = response.topics.first().and_then(|topic| topic.partitions.first());
    let answer = answer.ok_or_else(|| Lost::Malformed("no answer in ListOffsets".into()))?;
    // The name may be another topic's by now.
    let still_it = scene.topic(place.topic).is_some_and(|known| !known.deletable);
    if answer.error_code != 0 || !still_it {
        return Ok((answer.error_code == 0).then_some(answer.offset));
    }
    scene.record(Event::Listed { place, asked, latest: which == requests::LATEST, offset: answer.offset });
    Ok(Some(answer.offset))
}

/// The records that a fetch brought of one partition, from `from` on.
pub(super) fn read_partition(
    place: PartitionId,
    from: Offset,
    data: &PartitionData,
) -> Result<Vec<(Offset, Tag)>, String> {
    let bytes = data.records.as_deref().unwrap_or_default();
    let mut read = Vec::new();
    for batch in batches(bytes) {
        let (header, batch) = batch.map_err(|why| format!("{place}: {why}"))?;
        check_stored(batch).map_err(|why| format!("{place} at offset {}: {why}", header.base_offset()))?;
        if header.last_offset() < from {
            return Err(format!("{place}: a fetch from {from} brought a batch that ends at {}", header.last_offset()));
        }
        let records = crate::record::records(batch).map_err(|why| format!("{place}: {why}"))?;
        for record in &records {
            let record = record.map_err(|why| format!("{place}: {why}"))?;
            if record.offset >= from {
                read.push((record.offset, records::read(&record, place.index)?));
            }
        }
    }
    Ok(read)
}
