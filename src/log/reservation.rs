//! The space that is reserved on disk ahead of a log's end, so that a batch can go to its segment directly.
//!
//! It is reserved in tasks of their own, in steps that grow with the segment. Until it is there batches go through the
//! journal; one that is too large for the journal waits for it, or is refused when the disk lacks it.

use std::rc::Rc;

use super::config::Precedence;
use super::log::{AppendError, Log};
use super::run::{RunBuffer, block_floor};
use crate::base::block::BLOCK_ALIGN;
use crate::base::time::Duration;
use crate::io::Result;
use crate::model::offset::Offset;

/// Reservations of segment space grow with the segment, up to this many bytes.
const RESERVE_BYTES_MAX: u32 = 64 << 20;
/// The pause after a reservation that failed.
const RESERVE_RETRY: Duration = Duration::from_millis(250);

impl Log {
    /// Whether a batch of `bytes` goes to the segment directly. Its own size decides, and not what waits besides: a backlog
    /// of small batches is no reason to leave the one commit that all of them share.
    pub(super) fn goes_direct(self: &Rc<Self>, bytes: u32, rolls: bool) -> std::result::Result<bool, AppendError> {
        let state = self.state();
        let config = &self.context.config;
        let must = bytes > config.entry_bytes_max();
        if must && (state.held || rolls) {
            return if state.held { Err(AppendError::Busy) } else { Ok(true) };
        }
        let goes_on = state.run.as_ref().is_some_and(RunBuffer::is_open);
        if state.held || rolls || (bytes < config.direct_run_bytes_min && !goes_on) {
            return Ok(false);
        }
        let (end, allocated) = (state.active().end.saturating_add(bytes), state.active().allocated);
        drop(state);
        let left = allocated.checked_sub(end);
        if must && left.is_none() {
            return Err(self.awaited(bytes));
        }
        if left.is_none_or(|left| left < self.reserve_bytes(end) / 2) {
            self.reserve_ahead(bytes, false);
        }
        Ok(left.is_some())
    }

    /// How much is reserved ahead of a segment of `end` bytes.
    fn reserve_bytes(&self, end: u32) -> u32 {
        end.clamp(self.context.config.steps.reserve_bytes, RESERVE_BYTES_MAX)
    }

    /// Reserves space for a batch that needs it; what is to be said meanwhile.
    pub(super) fn awaited(self: &Rc<Self>, bytes: u32) -> AppendError {
        let may_wait = self.reserve_ahead(bytes, true) || self.state().settings.precedence != Precedence::Records;
        if may_wait { AppendError::Busy } else { AppendError::Full }
    }

    /// Reserves space behind the active segment's end, in a task of its own: until it is there, appends go through the
    /// journal, or wait if they `must` not.
    /// Tells whether the space may come: the disk is not known to lack it.
    fn reserve_ahead(self: &Rc<Self>, bytes: u32, must: bool) -> bool {
        let mut state = self.state_mut();
        if state.reserving || state.reserve_after.is_some_and(|after| self.context.io.now() < after) {
            return true;
        }
        let (segment, end, allocated) = (state.active().base, state.active().end, state.active().allocated);
        let from = block_floor(allocated.max(end));
        let least = end.saturating_add(bytes);
        let ahead = self.reserve_bytes(end).max(bytes.saturating_mul(2));
        let wanted = end.saturating_add(ahead).min(state.settings.segment_bytes.max(least));
        if wanted <= allocated {
            return true;
        }
        let reserve = match state.settings.precedence {
            Precedence::Records => self.context.config.disk_reserve_bytes,
            Precedence::Coordination | Precedence::Deletion => 0,
        };
        let Some((to, taken)) = self.may_reserve(reserve, from, [wanted, least], must) else { return false };
        state.reserving = true;
        drop(state);
        let log = Rc::clone(self);
        self.context.io.spawn(async move {
            let done = log.reserve(segment, from, to).await;
            log.context.reserved(taken);
            let mut state = log.state_mut();
            state.reserving = false;
            state.reserve_after = done.is_err().then(|| log.context.io.now() + RESERVE_RETRY);
            match done {
                Ok(()) if state.active().base == segment => state.active_mut().allocated = to,
                Ok(()) => {}
                Err(error) if log.context.no_space.tells(&log.context.io) => {
                    tracing::warn!("{}: no space ahead of the log's end: {error}", log.name());
                }
                Err(_) => {}
            }
            drop(state);
            log.wake_quiet();
        });
        true
    }

    /// Up to where space may be reserved, of what is `wanted` and of the `least`, and how many bytes that takes. A batch that
    /// `must` have it may do with the least, and touch the disk's `reserve`: once there is less than that, it is refused.
    fn may_reserve(&self, reserve: u64, from: u32, [wanted, least]: [u32; 2], must: bool) -> Option<(u32, u64)> {
        let taken = |to: u32| u64::from(to.saturating_sub(from));
        if self.context.may_reserve(reserve, taken(wanted)) {
            return Some((wanted, taken(wanted)));
        }
        let may = must && self.context.may_reserve(reserve.saturating_sub(taken(least)), taken(least));
        may.then(|| (least, taken(least)))
    }

    /// Gives back what is reserved behind the active segment's end, unless that is just growing. Write-back holds the log,
    /// and no run is under way.
    pub(super) async fn release_reserved(&self) -> Result<()> {
        let (segment, end) = {
            let mut state = self.state_mut();
            if state.reserving || state.reserved_bytes() == 0 {
                return Ok(());
            }
            state.active_mut().allocated = 0;
            (state.active().base, state.active().end)
        };
        let file = self.active_file(segment).await?;
        file.truncate(&self.context.io, u64::from(end).next_multiple_of(BLOCK_ALIGN as u64)).await
    }

    async fn reserve(&self, segment: Offset, from: u32, to: u32) -> Result<()> {
        let file = self.active_file(segment).await?;
        file.allocate(&self.context.io, u64::from(from), u64::from(to - from)).await
    }
}
