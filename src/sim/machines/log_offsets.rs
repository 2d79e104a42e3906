//! A segment with its indexes and the history of leader epochs, against a list of the batches in it.

use super::same;
use crate::base::prng::Prng;
use crate::log::leader_epochs::{EpochEnd, LeaderEpochs};
use crate::log::offset_index::OffsetIndex;
use crate::log::segment::Segment;
use crate::log::time_index::TimeIndex;
use crate::model::offset::{LeaderEpoch, NO_TIMESTAMP, Offset, Timestamp};
use crate::record::{BatchBuilder, BatchHeader};

/// Steps of one seed, at most.
const STEPS_MAX: u64 = 120;

/// A batch as the model knows it.
#[derive(Clone, Copy, Debug)]
struct Batch {
    base: Offset,
    last: Offset,
    position: u32,
    bytes: u32,
    epoch: LeaderEpoch,
    max_timestamp: Timestamp,
}

struct Both {
    random: Prng,
    interval_bytes: u32,
    segment: Segment,
    epochs: LeaderEpochs,
    batches: Vec<Batch>,
    epoch: LeaderEpoch,
    clock: Timestamp,
}

/// Appends, cuts and looks up.
pub(super) fn check(mut random: Prng) -> Result<(), String> {
    let base = random.below(1 << 40) as Offset;
    let (interval_bytes, clock) = (random.below(1000) as u32, random.between(0, 1 << 40) as Timestamp);
    let (segment, epochs) = (Segment::new(base, clock), LeaderEpochs::new());
    let mut both = Both { random, interval_bytes, segment, epochs, batches: Vec::new(), epoch: 0, clock };
    for _ in 0..both.random.between(1, STEPS_MAX) {
        match both.random.below(20) {
            0 => both.epoch += both.random.between(1, 3) as LeaderEpoch,
            1 => both.cut(),
            _ => both.append()?,
        }
        both.compare()?;
    }
    both.compare_files()
}

impl Both {
    fn end(&self) -> (Offset, u32) {
        self.batches.last().map_or((self.segment.base, 0), |last| (last.last + 1, last.position + last.bytes))
    }

    fn append(&mut self) -> Result<(), String> {
        // Clients' clocks differ, and some stand still.
        self.clock += self.random.below(20) as i64;
        let mut builder = BatchBuilder::new();
        let mut max_timestamp = NO_TIMESTAMP;
        for _ in 0..self.random.between(1, 4) {
            let timestamp = self.clock - self.random.below(10) as i64;
            max_timestamp = max_timestamp.max(timestamp);
            builder.append(timestamp, None, Some(&vec![0; self.random.below(200) as usize]), &[]);
        }
        let (base, position) = self.end();
        let bytes = builder.build(base);
        let header = BatchHeader::read(&bytes).ok_or("a batch that was just built has no header")?;
        self.epochs.assign(self.epoch, base).map_err(|why| why.to_string())?;
        self.segment.note(header, bytes.len() as u32, self.interval_bytes);
        let (last, bytes, epoch) = (header.last_offset(), bytes.len() as u32, self.epoch);
        self.batches.push(Batch { base, last, position, bytes, epoch, max_timestamp });
        Ok(())
    }

    fn cut(&mut self) {
        let kept = self.random.below(self.batches.len() as u64 + 1) as usize;
        self.batches.truncate(kept);
        let (to, position) = self.end();
        let mut max = (NO_TIMESTAMP, -1);
        for batch in self.batches.iter().filter(|batch| batch.max_timestamp >= 0) {
            if batch.max_timestamp > max.0 {
                max = (batch.max_timestamp, batch.last);
            }
        }
        self.segment.cut(position, to, max);
        self.epochs.truncate_from_end(to);
        // Who cuts a log goes on in a later epoch.
        self.epoch += 1;
    }

    fn compare(&mut self) -> Result<(), String> {
        let (next_offset, end) = self.end();
        same(|| "the end".into(), &(self.segment.next_offset, self.segment.end), &(next_offset, end))?;
        let newest = self.batches.iter().map(|batch| batch.max_timestamp).max().unwrap_or(NO_TIMESTAMP);
        same(|| "the largest timestamp".into(), &self.segment.max_timestamp, &newest)?;
        self.compare_offset()?;
        self.compare_time()?;
        self.compare_epoch()
    }

    /// A search from where the offset index says finds the batch, and the entry is one of a batch.
    fn compare_offset(&mut self) -> Result<(), String> {
        let (next_offset, _) = self.end();
        let wanted = self.random.between(self.segment.base as u64, next_offset as u64) as Offset;
        let entry = self.segment.indexes.offsets.floor(wanted);
        if entry.position > 0 {
            let named = self.batches.iter().find(|batch| batch.position == entry.position).map(|batch| batch.last);
            same(|| format!("the index entry for {wanted}"), &Some(entry.offset), &named)?;
        }
        match self.batches.iter().find(|batch| batch.last >= wanted) {
            Some(batch) if batch.position < entry.position => {
                Err(format!("offset {wanted} is at {}, and a search begins at {}", batch.position, entry.position))
            }
            _ => Ok(()),
        }
    }

    /// No batch before the entry of the time index that a search begins at holds what is searched for.
    fn compare_time(&mut self) -> Result<(), String> {
        let wanted = self.clock - self.random.below(200) as i64;
        let entry = self.segment.indexes.times.lookup(wanted);
        let missed = self.batches.iter().find(|batch| batch.last < entry.offset && batch.max_timestamp >= wanted);
        match missed {
            Some(batch) => Err(format!("time {wanted}: a search begins behind {batch:?}, at {entry:?}")),
            None => Ok(()),
        }
    }

    fn compare_epoch(&mut self) -> Result<(), String> {
        let Some(last) = self.batches.last() else { return Ok(()) };
        let (log_end, newest) = (last.last + 1, last.epoch);
        let batch = self.batches[self.random.below(self.batches.len() as u64) as usize];
        let found = self.epochs.epoch_for_offset(batch.base);
        same(|| format!("the epoch of offset {}", batch.base), &found, &Some(batch.epoch))?;
        let first = self.batches[0].epoch;
        let asked = self.random.between(first as u64, newest as u64) as LeaderEpoch;
        let epoch = self.batches.iter().map(|batch| batch.epoch).filter(|epoch| *epoch <= asked).max();
        let after = self.batches.iter().find(|batch| batch.epoch > asked);
        let model = EpochEnd {
            epoch: epoch.expect("that of the first batch is"),
            end_offset: after.map_or(log_end, |batch| batch.base),
        };
        same(|| format!("the end of epoch {asked}"), &self.epochs.end_offset_for(asked, log_end), &model)
    }

    /// What is written to files is read back.
    fn compare_files(&mut self) -> Result<(), String> {
        self.segment.close();
        let (base, (next_offset, end)) = (self.segment.base, self.end());
        let indexes = &self.segment.indexes;
        let offsets = OffsetIndex::decode(base, indexes.offsets.encode(), u64::from(end));
        let offsets = offsets.map_err(|why| format!("the offset index: {why}"))?;
        same(|| "the offset index's bytes".into(), &offsets.encode(), &indexes.offsets.encode())?;
        let times = TimeIndex::decode(base, indexes.times.encode(), next_offset);
        let times = times.map_err(|why| format!("the time index: {why}"))?;
        same(|| "the time index's bytes".into(), &times.encode(), &indexes.times.encode())?;
        let newest = self.batches.iter().map(|batch| batch.max_timestamp).max().unwrap_or(NO_TIMESTAMP);
        same(|| "a closed time index's last entry".into(), &times.last().timestamp, &newest)?;
        let epochs = LeaderEpochs::decode(self.epochs.encode().as_bytes());
        let epochs = epochs.map_err(|why| format!("the epochs' file: {why}"))?;
        same(|| "the epochs".into(), &epochs.entries(), &self.epochs.entries())
    }
}
