//! An offset that never goes back: what was told of it, and when.

use crate::model::offset::Offset;
use crate::sim::history::Moment;

/// The largest offset that was told, and when each of them was.
#[derive(Default)]
pub(super) struct Rising(Vec<(Moment, Offset)>);

impl Rising {
    /// Notes that `offset` was told at `moment`.
    pub(super) fn note(&mut self, moment: Moment, offset: Offset) {
        if self.0.last().is_none_or(|(_, last)| *last < offset) {
            self.0.push((moment, offset));
        }
    }

    /// Forgets what was told after `kept`.
    pub(super) fn forget_after(&mut self, kept: Moment) {
        self.0.retain(|(moment, _)| *moment <= kept);
    }

    /// The largest that was told up to `asked`.
    pub(super) fn at(&self, asked: Moment) -> Offset {
        let after = self.0.partition_point(|(moment, _)| *moment <= asked);
        after.checked_sub(1).map_or(0, |at| self.0[at].1)
    }
}
