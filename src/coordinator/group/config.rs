//! What of the broker's configuration the coordinators of groups follow.

use super::settings::GroupSettings;
use crate::base::time::Duration;
use crate::metadata::config::layers::Layers;

/// The configuration, resolved when a coordinator is loaded.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_check_interval: Duration,
    /// How groups are run.
    pub membership: GroupSettings,
}

impl GroupConfig {
    /// The configuration of a broker with these layers.
    pub fn of(layers: &Layers<'_>) -> GroupConfig {
        let natural = |name: &str| u64::try_from(layers.whole(name)).unwrap_or(0);
        GroupConfig {
            offset_metadata_bytes_max: natural("offset.metadata.max.bytes") as usize,
            offsets_retention_ms: layers.whole("offsets.retention.minutes").saturating_mul(60_000),
            offsets_check_interval: Duration::from_millis(natural("offsets.retention.check.interval.ms")),
            membership: GroupSettings::resolve(layers),
        }
    }
}
