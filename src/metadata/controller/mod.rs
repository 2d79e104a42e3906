//! The controller's decisions: plain functions from an image and a request to records and answers.
//!
//! **Owns:** what may be created, altered and deleted, with Kafka's error codes and sentences where it may not.
//!
//! **Never:** changes the image (the replay of the records does), appends to the log, or checks who asks (authorization comes
//! before). A caller that decides again before the records of the last decision are applied must decide from an image that
//! holds them.
//!
//! **Start reading at** [`topics`].

pub mod configs;
pub mod internal_topics;
pub mod names;
pub mod placement;
pub mod producer_ids;
#[cfg(test)]
mod testing;
pub mod topics;

use super::config::layers::Layers;
use super::image::{Configs, Image};
use super::record::MetadataRecord;
use crate::model::ids::BrokerId;

/// What a decision is made from, besides the request.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The cluster as it is.
    pub image: &'a Image,
    /// The static Kafka properties of the broker that was asked.
    pub statics: &'a Configs,
    /// The broker that was asked.
    pub broker: BrokerId,
    /// Most partition replicas a broker may host.
    pub partitions_per_broker_max: u32,
}

impl<'a> Context<'a> {
    /// The configuration of the broker that was asked.
    pub fn layers(&self) -> Layers<'a> {
        Layers::new(self.image, self.statics, self.broker)
    }
}

/// What was decided: records to append to the metadata log, and an answer to each part of the request, to be given once the
/// records are applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<T> {
    /// The records; none when all was refused or only validated.
    pub records: Vec<MetadataRecord>,
    /// The answers.
    pub results: Vec<T>,
}

/// Most partitions one request may create, as in Kafka.
pub const PARTITIONS_PER_REQUEST_MAX: usize = 10_000;
