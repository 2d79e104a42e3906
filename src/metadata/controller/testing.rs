//! A small cluster for the controller's tests.

use super::Context;
use crate::metadata::delta::Delta;
use crate::metadata::image::{Configs, Image};
use crate::metadata::record::{BrokerRegistration, ConfigResource, MetadataRecord};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::Uuid;

/// The image and static properties decisions are made from, with broker 1 as the one that was asked.
pub struct Cluster {
    pub image: Image,
    pub statics: Configs,
    pub partitions_per_broker_max: u32,
    drawn: u128,
}

impl Cluster {
    /// A cluster of brokers 1 to `brokers`.
    pub fn new(brokers: i32) -> Cluster {
        let mut cluster =
            Cluster { image: Image::empty(), statics: Configs::new(), partitions_per_broker_max: 100_000, drawn: 0 };
        let registered = (1..=brokers).map(|id| broker(id, false)).collect::<Vec<_>>();
        cluster.apply(&registered);
        cluster
    }

    pub fn context(&self) -> Context<'_> {
        Context {
            image: &self.image,
            statics: &self.statics,
            broker: 1,
            partitions_per_broker_max: self.partitions_per_broker_max,
        }
    }

    pub fn apply(&mut self, records: &[MetadataRecord]) {
        let offset = self.image.offset() + records.len() as i64;
        self.image = Delta::apply(&self.image, records, offset, 1).unwrap().0;
    }

    pub fn set(&mut self, resource: ConfigResource, name: &str, value: &str) {
        let record = MetadataRecord::Config { resource, name: name.into(), value: Some(value.into()) };
        self.apply(&[record]);
    }

    pub fn set_static(&mut self, name: &str, value: &str) {
        self.statics.insert(name.into(), value.into());
    }

    /// Topic ids that count up, beginning with one that is reserved.
    pub fn fresh_id(&mut self) -> impl FnMut() -> Uuid + use<> {
        let mut next = self.drawn;
        self.drawn += 1_000_000;
        move || {
            next += 1;
            Uuid::from_u128(next)
        }
    }
}

pub fn broker(id: i32, fenced: bool) -> MetadataRecord {
    MetadataRecord::Broker(BrokerRegistration { id, epoch: 1, endpoints: Vec::new(), rack: None, fenced })
}

/// The code's name and the sentence, as one text.
pub fn shown(outcome: Result<(), ClientError>) -> String {
    match outcome {
        Ok(()) => ErrorCode::None.name().to_owned(),
        Err(error) => error.to_string(),
    }
}
