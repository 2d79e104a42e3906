//! What the broker holds has bounds: memory below its limit (the tail, which the journal bounds, apart), descriptors and
//! operations in flight below what the configuration allows for, and when nobody is connected any more nothing is held for anybody.

use super::{Checker, Usage};
use crate::base::block::Use;
use crate::sim::history::{Event, Moment};

/// See the module.
pub struct Bounds;

impl Checker for Bounds {
    fn name(&self) -> &'static str {
        "bounds"
    }

    fn observe(&mut self, _: Moment, _: &Event) -> Result<(), String> {
        Ok(())
    }

    fn measure(&mut self, usage: &Usage) -> Result<(), String> {
        let of = |wanted: Use| usage.in_use.iter().find(|(one, _)| *one == wanted).map_or(0, |(_, bytes)| *bytes);
        let total: usize = usage.in_use.iter().map(|(_, bytes)| bytes).sum();
        if total > usage.limit_bytes + usage.tail_bytes_max {
            return Err(format!("{total} bytes of blocks are in use: {:?}", usage.in_use));
        }
        if usage.descriptors > usage.descriptors_max {
            let most = usage.descriptors_max;
            return Err(format!("{} descriptors are open, and {most} should do", usage.descriptors));
        }
        if usage.operations > usage.operations_max {
            let most = usage.operations_max;
            return Err(format!("{} operations are in flight, and {most} should do", usage.operations));
        }
        if usage.alone && usage.connections > 0 {
            return Err(format!("{} connections are open, and their peers have been gone for long", usage.connections));
        }
        let held = of(Use::Receive) + of(Use::Read);
        if usage.alone && (held > 0 || of(Use::Reply) > usage.replies_kept_max) {
            return Err(format!("nobody is connected, and blocks are in use: {:?}", usage.in_use));
        }
        Ok(())
    }
}
