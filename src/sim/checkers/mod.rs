//! The judges: each holds the broker to one promise, knowing only what clients were told and what lies on the disk.
//!
//! **Owns:** one file a promise. A [`Checker`] sees every event of the [`history`](super::history) as it happens, a
//! [`Usage`] now and then, and, after a clean stop, the files ([`AtRest`]).
//!
//! **Never:** shares state with a workload or with another checker; knows more than a client could, but for the files.
//!
//! **Start reading at** [`acked_loss`]. A further promise is a file here and a line in [`all`].

pub mod acked_loss;
pub mod bounds;
mod cached;
pub mod coordinators;
pub mod duplicates;
pub mod groups;
pub mod indexes;
pub mod liveness;
pub mod offsets;
pub mod order;
pub mod producer_state;
pub mod refusals;
mod rising;
pub mod topics;
pub mod transactions;
pub mod watermarks;

use std::collections::BTreeMap;

use super::history::{Event, Moment};
use crate::base::block::Use;
use crate::io::PathBuf;
use crate::model::error_code::ErrorCode;

/// Holds the broker to one promise. An error says what is broken.
pub trait Checker {
    /// The promise's name.
    fn name(&self) -> &'static str;

    /// Looks at an event.
    ///
    /// # Errors
    /// What is broken.
    fn observe(&mut self, moment: Moment, event: &Event) -> Result<(), String>;

    /// What has yet to come now that nothing fails any more, and has to within a bound; none if all is as it should be.
    fn awaits(&self) -> Option<String> {
        None
    }

    /// Looks at what the broker uses.
    ///
    /// # Errors
    /// What is broken.
    fn measure(&mut self, _usage: &Usage) -> Result<(), String> {
        Ok(())
    }

    /// Looks at the files after a clean stop.
    ///
    /// # Errors
    /// What is broken.
    fn inspect(&mut self, _rest: &AtRest) -> Result<(), String> {
        Ok(())
    }
}

/// All checkers, without a past.
pub fn all() -> Vec<Box<dyn Checker>> {
    vec![
        Box::new(acked_loss::AckedLoss::default()),
        Box::new(offsets::Offsets::default()),
        Box::new(duplicates::Duplicates::default()),
        Box::new(order::Order::default()),
        Box::new(watermarks::Watermarks::default()),
        Box::new(refusals::Refusals::default()),
        Box::new(topics::Topics::default()),
        Box::new(indexes::Indexes::default()),
        Box::new(producer_state::ProducerState),
        Box::new(transactions::outcomes::Outcomes::default()),
        Box::new(transactions::stability::Stability::default()),
        Box::new(transactions::zombies::Zombies::default()),
        Box::new(transactions::bank::Bank::default()),
        Box::new(transactions::copies::Copies::default()),
        Box::new(groups::ownership::Ownership::default()),
        Box::new(groups::fences::Fences::default()),
        Box::new(groups::commits::Commits::default()),
        Box::new(coordinators::Coordinators::default()),
        Box::new(bounds::Bounds),
        Box::new(liveness::Liveness::default()),
    ]
}

/// Whether a code speaks of the coordinator, which says nothing about what it did before it went.
fn is_about_coordinators(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::CoordinatorLoadInProgress | ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator
    )
}

/// What a broker uses at one moment.
#[derive(Clone, Debug)]
pub struct Usage {
    /// Bytes of blocks in use, by use.
    pub in_use: [(Use, usize); Use::ALL.len()],
    /// The pool's limit in bytes.
    pub limit_bytes: usize,
    /// What the tail may hold beyond it, in bytes: it is counted and bounded by the journal.
    pub tail_bytes_max: usize,
    /// Connections to it that are open on its side.
    pub connections: usize,
    /// Descriptors open.
    pub descriptors: usize,
    /// Most descriptors that the configuration allows for.
    pub descriptors_max: usize,
    /// Operations in flight.
    pub operations: usize,
    /// Most operations that its descriptors and its write-back account for.
    pub operations_max: usize,
    /// What is kept of replies' blocks when there are no replies.
    pub replies_kept_max: usize,
    /// Whether nobody has been connected for a while.
    pub alone: bool,
}

/// The files of a data directory after a clean stop, by their paths from the root.
#[derive(Clone, Debug, Default)]
pub struct AtRest {
    /// Path and content.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
}
