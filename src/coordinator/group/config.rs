//! What of the broker's configuration the coordinators of groups follow.

use std::sync::Arc;

use super::settings::GroupSettings;
use crate::base::time::Duration;
use crate::metadata::config::layers::Layers;
use crate::metadata::image::{Configs, Image};
use crate::model::ids::BrokerId;

/// Whose configuration it is: what an image is read with.
#[derive(Clone, Debug, Default)]
pub struct OfBroker {
    /// Kafka's properties that the broker was started with.
    pub statics: Arc<Configs>,
    /// The broker's id.
    pub id: BrokerId,
}

impl OfBroker {
    /// The layers of the broker's configuration by an image.
    pub fn layers<'a>(&'a self, image: &'a Image) -> Layers<'a> {
        Layers::new(image, &self.statics, self.id)
    }
}

/// The configuration, resolved when a coordinator is loaded and whenever it changes.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_check_interval: Duration,
    /// How groups are run that set nothing themselves.
    pub membership: GroupSettings,
    /// Whose it is.
    pub broker: OfBroker,
}

impl GroupConfig {
    /// The configuration of a broker by an image.
    pub fn of(image: &Image, broker: OfBroker) -> GroupConfig {
        let layers = broker.layers(image);
        let natural = |name: &str| u64::try_from(layers.whole(name)).unwrap_or(0);
        GroupConfig {
            offset_metadata_bytes_max: natural("offset.metadata.max.bytes") as usize,
            offsets_retention_ms: layers.whole("offsets.retention.minutes").saturating_mul(60_000),
            offsets_check_interval: Duration::from_millis(natural("offsets.retention.check.interval.ms")),
            membership: GroupSettings::resolve(&layers),
            broker,
        }
    }
}
