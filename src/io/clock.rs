//! The two clocks of a reactor, read once a turn.

use crate::base::time::Instant;

/// What the clocks said at the start of a turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clocks {
    /// The monotonic clock.
    pub now: Instant,
    /// The wall clock in milliseconds since 1970-01-01 UTC; it may jump either way.
    pub wall_ms: i64,
}
