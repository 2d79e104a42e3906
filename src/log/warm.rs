//! What of the segment files is known to be sound and in the page cache.
//!
//! A range is read into memory first, on a path that cannot stall the reactor, its checksums are compared and it is sent
//! from there. After that, for a while, the same range goes to other consumers by sendfile, untouched: it was whole when
//! it was read, and its pages are still there. `cachestat` could not tell as much: it counts pages that are still being
//! read.

use std::collections::VecDeque;

use crate::base::time::{Duration, Instant};
use crate::model::offset::Offset;

/// How long a range counts as warm.
const FRESH: Duration = Duration::from_secs(60);
/// Ranges remembered for one log.
const SPANS_MAX: usize = 16;
/// Batch starts are remembered at this distance in bytes at least.
const MARK_BYTES: u32 = 16 << 10;

/// A batch start: its offset and its position in the segment.
type Mark = (Offset, u32);

/// A contiguous range of whole batches.
#[derive(Debug)]
struct Span {
    segment: Offset,
    read_at: Instant,
    /// Starts of some of its batches, the first one's among them, and its end.
    marks: Vec<Mark>,
}

/// The warm ranges of one log.
#[derive(Debug, Default)]
pub struct Warm {
    spans: VecDeque<Span>,
}

/// A range that may be sent from its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmRange {
    /// Base offset of the segment.
    pub segment: Offset,
    /// First position, the start of a batch.
    pub start: u32,
    /// Position behind the last batch.
    pub end: u32,
    /// Offset after it.
    pub next_offset: Offset,
}

impl Warm {
    /// Notes that the batches whose starts are `starts`, up to `end`, were read and are sound.
    pub fn note(&mut self, segment: Offset, starts: &[Mark], end: Mark, now: Instant) {
        let Some(first) = starts.first() else { return };
        self.spans.retain(|span| now.since(span.read_at) < FRESH);
        let last = self.spans.iter_mut().find(|span| span.segment == segment && span.marks.last() == Some(first));
        let span = match last {
            Some(span) => span,
            None => {
                if self.spans.len() == SPANS_MAX {
                    self.spans.pop_front();
                }
                self.spans.push_back(Span { segment, read_at: now, marks: vec![*first] });
                self.spans.back_mut().expect("it was just pushed")
            }
        };
        for mark in starts.iter().skip(1) {
            if mark.1 - span.marks.last().expect("never empty").1 >= MARK_BYTES {
                span.marks.push(*mark);
            }
        }
        span.marks.push(end);
    }

    /// The warm batches from the one that starts at `from` on, up to the offset `below`, at most `bytes_max`. Where it is not
    /// known which batch holds `from` there is nothing: what a consumer is sent begins with that batch, as Kafka's clients
    /// rely on (some take a batch before it for what they asked for).
    pub fn find(&self, from: Offset, below: Offset, bytes_max: u32, now: Instant) -> Option<WarmRange> {
        let fresh = self.spans.iter().filter(|span| now.since(span.read_at) < FRESH);
        let (span, start) = fresh
            .filter_map(|span| Some((span, span.marks.binary_search_by_key(&from, |mark| mark.0).ok()?)))
            .find(|(span, start)| start + 1 < span.marks.len())?;
        let position = span.marks[start].1;
        let fits = |mark: &&Mark| mark.0 <= below && mark.1 - position <= bytes_max;
        let end = span.marks[start + 1..].iter().take_while(fits).last()?;
        Some(WarmRange { segment: span.segment, start: position, end: end.1, next_offset: end.0 })
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.spans.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_and_are_found_by_batch_starts() {
        let mut warm = Warm::default();
        let now = Instant(1);
        warm.note(0, &[(0, 0), (10, 20_000)], (20, 40_000), now);
        warm.note(0, &[(20, 40_000)], (30, 60_000), now);
        let range = |start, end, next_offset| Some(WarmRange { segment: 0, start, end, next_offset });
        assert_eq!(warm.find(0, 100, 1 << 20, now), range(0, 60_000, 30));
        assert_eq!(warm.find(10, 100, 20_000, now), range(20_000, 40_000, 20));
        assert_eq!(warm.find(10, 25, 1 << 20, now), range(20_000, 40_000, 20));
        assert_eq!(warm.find(10, 15, 1 << 20, now), None);
        assert_eq!(warm.find(30, 100, 1 << 20, now), None);
        assert_eq!(warm.find(0, 100, 1 << 20, now + FRESH), None);
    }

    #[test]
    fn a_range_never_begins_before_the_batch_that_was_asked_for() {
        let mut warm = Warm::default();
        let now = Instant(1);
        // Batches of one record and 100 bytes: their starts are too close to be remembered.
        let starts: Vec<Mark> = (0..50).map(|offset| (offset, offset as u32 * 100)).collect();
        warm.note(0, &starts, (50, 5_000), now);
        assert!(warm.find(0, 100, 1 << 20, now).is_some());
        assert_eq!(warm.find(41, 100, 1 << 20, now), None);
    }
}
