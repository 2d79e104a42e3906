//! What of the segment files is known to be sound, and how it is best read next.
//!
//! What is read for the first time is read past the page cache (`Access::Direct`): the kernel's read-ahead may be any size, and
//! the commits of all partitions would wait for it in the device's queue; and what is read once is not worth a place there.
//! What is read a second time within a while is read through the page cache, and from then on it goes to other consumers
//! by sendfile, untouched: its checksums were compared when it was read, and its pages are still there. `cachestat` alone could
//! not tell as much: it counts pages that are still being read.

use std::collections::VecDeque;

use super::directory::Access;
use crate::base::time::{Duration, Instant};
use crate::model::offset::Offset;

/// How long a range counts as read.
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

/// What was read of one log lately.
#[derive(Debug, Default)]
pub struct Warm {
    /// Through the page cache.
    cached: Spans,
    /// Past it.
    passed: Spans,
}

#[derive(Debug, Default)]
struct Spans(VecDeque<Span>);

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
    /// Notes that the batches whose starts are `starts`, up to `end`, were read and are sound. Whether they follow on what was read
    /// before in the same way.
    pub fn note(&mut self, access: Access, segment: Offset, starts: &[Mark], end: Mark, now: Instant) -> bool {
        if access == Access::Cached {
            return self.cached.note(segment, starts, end, now).is_some_and(|(_, follows)| follows);
        }
        let noted = self.passed.note(segment, &starts[..starts.len().min(1)], end, now);
        noted.is_some_and(|(span, follows)| {
            // It is never sent from its file, so nobody needs to know where its batches start.
            span.marks.drain(1..span.marks.len() - 1);
            follows
        })
    }

    /// The batches from the one that starts at `from` on that were read through the page cache, up to the offset `below`, at most
    /// `bytes_max`. Where it is not known which batch holds `from` there is nothing: what a consumer is sent begins with that batch, as
    /// Kafka's clients rely on (some take a batch before it for what they asked for).
    pub fn find(&self, from: Offset, below: Offset, bytes_max: u32, now: Instant) -> Option<WarmRange> {
        self.cached.find(from, below, bytes_max, now)
    }

    /// Whether `from` was read before, past the page cache.
    pub fn was_passed(&self, from: Offset, now: Instant) -> bool {
        let fresh = self.passed.0.iter().filter(|span| now.since(span.read_at) < FRESH);
        fresh.map(|span| (span.marks[0].0, span.last().0)).any(|(first, end)| first <= from && from < end)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Warm::default();
    }
}

impl Span {
    fn last(&self) -> Mark {
        *self.marks.last().expect("never empty")
    }
}

impl Spans {
    /// The span that these batches are in now, and whether it was there before.
    fn note(&mut self, segment: Offset, starts: &[Mark], end: Mark, now: Instant) -> Option<(&mut Span, bool)> {
        let first = starts.first()?;
        self.0.retain(|span| now.since(span.read_at) < FRESH);
        let found = self.0.iter().position(|span| span.segment == segment && span.last() == *first);
        let at = found.unwrap_or_else(|| {
            if self.0.len() == SPANS_MAX {
                self.0.pop_front();
            }
            self.0.push_back(Span { segment, read_at: now, marks: vec![*first] });
            self.0.len() - 1
        });
        let span = &mut self.0[at];
        for mark in starts.iter().skip(1) {
            if mark.1 - span.last().1 >= MARK_BYTES {
                span.marks.push(*mark);
            }
        }
        span.marks.push(end);
        Some((span, found.is_some()))
    }

    fn find(&self, from: Offset, below: Offset, bytes_max: u32, now: Instant) -> Option<WarmRange> {
        let fresh = self.0.iter().filter(|span| now.since(span.read_at) < FRESH);
        let (span, start) = fresh
            .filter_map(|span| Some((span, span.marks.binary_search_by_key(&from, |mark| mark.0).ok()?)))
            .find(|(span, start)| start + 1 < span.marks.len())?;
        let position = span.marks[start].1;
        let fits = |mark: &&Mark| mark.0 <= below && mark.1 - position <= bytes_max;
        let end = span.marks[start + 1..].iter().take_while(fits).last()?;
        Some(WarmRange { segment: span.segment, start: position, end: end.1, next_offset: end.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_and_are_found_by_batch_starts() {
        let mut warm = Warm::default();
        let now = Instant(1);
        assert!(!warm.note(Access::Cached, 0, &[(0, 0), (10, 20_000)], (20, 40_000), now));
        assert!(warm.note(Access::Cached, 0, &[(20, 40_000)], (30, 60_000), now));
        let range = |start, end, next_offset| Some(WarmRange { segment: 0, start, end, next_offset });
        assert_eq!(warm.find(0, 100, 1 << 20, now), range(0, 60_000, 30));
        assert_eq!(warm.find(10, 100, 20_000, now), range(20_000, 40_000, 20));
        assert_eq!(warm.find(10, 25, 1 << 20, now), range(20_000, 40_000, 20));
        assert_eq!(warm.find(10, 15, 1 << 20, now), None);
        assert_eq!(warm.find(30, 100, 1 << 20, now), None);
        assert_eq!(warm.find(0, 100, 1 << 20, now + FRESH), None);
    }

    #[test]
    fn what_was_read_past_the_page_cache_is_known_and_not_sent_from_there() {
        let mut warm = Warm::default();
        let now = Instant(1);
        assert!(!warm.note(Access::Direct, 0, &[(5, 0), (10, 100)], (20, 200), now));
        assert!(warm.note(Access::Direct, 0, &[(20, 200)], (30, 300), now));
        assert_eq!(warm.find(5, 100, 1 << 20, now), None);
        let known: Vec<Offset> = (0..40).filter(|from| warm.was_passed(*from, now)).collect();
        assert_eq!(known, Vec::from_iter(5..30));
        assert!(!warm.was_passed(5, now + FRESH));
        warm.clear();
        assert!(!warm.was_passed(5, now));
    }

    #[test]
    fn a_range_never_begins_before_the_batch_that_was_asked_for() {
        let mut warm = Warm::default();
        let now = Instant(1);
        // Batches of one record and 100 bytes: their starts are too close to be remembered.
        let starts: Vec<Mark> = (0..50).map(|offset| (offset, offset as u32 * 100)).collect();
        warm.note(Access::Cached, 0, &starts, (50, 5_000), now);
        assert!(warm.find(0, 100, 1 << 20, now).is_some());
        assert_eq!(warm.find(41, 100, 1 << 20, now), None);
    }
}
