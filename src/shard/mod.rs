//! The engine of one partition replica on this broker: it composes the log with its producers' state and its waiters.
//!
//! **Owns:** what an append or a read of one partition means ([`append`], [`read`]), the high watermark and who waits for
//! it ([`waiters`]), the partition's producers and transactions ([`transactions`]), and the set of shards of a reactor ([`Shards`]).
//!
//! **Never:** sees a socket or an api version; an append never waits inside, so it needs no lock.
//!
//! **Start reading at** [`append`].

mod aborted;
pub mod append;
pub mod gather;
pub mod lag;
pub mod offsets;
pub mod read;
mod replay;
pub mod settings;
#[allow(clippy::module_inception, reason = "the shard is what this module is about")]
pub mod shard;
pub mod shards;
pub mod transactions;
pub mod truncate;
pub mod waiters;

pub use crate::log::reader::Piece;
pub use crate::log::recovery::{Recovered, RecoveredPart, StartError};
pub use crate::log::stats::{JournalStats, StorageStats};
pub use crate::log::storage::merge_checkpoints;
pub use crate::log::{Precedence, Steps, StorageConfig, recovery::recover};
pub use append::{Acks, Append, Appended};
pub use lag::Behind;
pub use offsets::{Offsets, TimestampOffset};
pub use read::{Fetched, Isolation};
pub use settings::ShardSettings;
pub use shard::Shard;
pub use shards::{Shards, start};
pub use transactions::{ProducerDescription, Unverified};
pub use waiters::Watch;
