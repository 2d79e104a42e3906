//! When nothing goes wrong any more, everybody gets on within a bound: the broker starts, and every producer and consumer
//! gets something done.

use super::Checker;
use crate::base::time::Duration;
use crate::sim::history::{Event, Moment};

/// How long a start may take once nothing fails.
pub const START_MAX: Duration = Duration::from_secs(60);
/// How long it may take until every client has got something done.
pub const PROGRESS_MAX: Duration = Duration::from_secs(90);
/// How long it may take until nothing is under way any more: what is sent again is given up after 90 seconds.
pub const FINISH_MAX: Duration = Duration::from_secs(200);
/// How long it may take to read everything.
pub const DRAIN_MAX: Duration = Duration::from_secs(200);
/// How long a stop may take: requests in flight have ten seconds.
pub const STOP_MAX: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Default)]
pub struct Liveness {
    faults_over: bool,
    /// The last copy of something is damaged: a broker that does not start with what is left, and says so, is right.
    damaged: bool,
}

impl Checker for Liveness {
    fn name(&self) -> &'static str {
        "liveness"
    }

    fn observe(&mut self, _: Moment, event: &Event) -> Result<(), String> {
        match event {
            Event::FaultsOver => {
                self.faults_over = true;
                Ok(())
            }
            Event::LastCopyDamaged { .. } => {
                self.damaged = true;
                Ok(())
            }
            Event::StartRefused { why } if self.damaged && names_damage(why) => Ok(()),
            Event::StartRefused { why } if self.faults_over => {
                Err(format!("nothing fails any more, and the broker does not start: {why}"))
            }
            Event::Overdue { what } => Err(what.clone()),
            _ => Ok(()),
        }
    }
}

fn names_damage(why: &str) -> bool {
    why.contains("is damaged") || why.contains("CORRUPT_MESSAGE")
}
