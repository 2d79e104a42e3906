//! Where the rings of a process find each other.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::model::ids::ReactorId;

/// No ring.
const NONE: RawFd = -1;

/// The ring descriptors of a process, by reactor. Clones share the table.
#[derive(Clone, Debug)]
pub struct RingTable(Arc<[AtomicI32]>);

impl RingTable {
    /// A table for `reactors` reactors, whose rings enter it as they are made.
    pub fn new(reactors: usize) -> RingTable {
        RingTable((0..reactors).map(|_| AtomicI32::new(NONE)).collect())
    }

    pub(super) fn reactors(&self) -> usize {
        self.0.len()
    }

    pub(super) fn enter(&self, id: ReactorId, ring: RawFd) {
        self.0[usize::from(id)].store(ring, Ordering::Release);
    }

    pub(super) fn leave(&self, id: ReactorId) {
        self.0[usize::from(id)].store(NONE, Ordering::Release);
    }

    /// The ring of `id`; `None` before it is made and after it is gone. A reactor without a ring does not sleep, so it
    /// needs no wake.
    pub(super) fn ring(&self, id: ReactorId) -> Option<RawFd> {
        Some(self.0[usize::from(id)].load(Ordering::Acquire)).filter(|ring| *ring != NONE)
    }
}
