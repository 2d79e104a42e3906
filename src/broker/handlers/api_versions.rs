//! ApiVersions (KIP-35, KIP-511): the first request of every connection.

use crate::broker::dispatch::{Origin, Request, encoded};
use crate::broker::reply::Outcome;
use crate::model::error_code::ErrorCode;
use crate::protocol::api::ApiKey;
use crate::protocol::api_versions::{self, Feature, Features};
use crate::protocol::messages::ApiVersionsRequest;

/// The first version that names the client's software.
const SOFTWARE_FROM: i16 = 3;

/// Answers with the APIs and features of this broker, to any version.
pub fn handle(request: Request) -> Outcome {
    let (version, correlation_id) = (request.origin.version, request.origin.correlation_id);
    if !ApiKey::ApiVersions.api().serves(version) {
        return encoded(api_versions::response(version, correlation_id, 0, &Features::default()));
    }
    let (origin, decoded) = match request.decode::<ApiVersionsRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let (name, number) = (&decoded.client_software_name, &decoded.client_software_version);
    if version >= SOFTWARE_FROM {
        if !api_versions::is_software_name(name) || !api_versions::is_software_name(number) {
            origin.refused(|| "the client software's name or version has characters that KIP-511 forbids".to_owned());
            return encoded(api_versions::error_response(version, correlation_id, ErrorCode::InvalidRequest));
        }
        *origin.connection.software.borrow_mut() = format!("{} {}", &**name, &**number);
    }
    encoded(api_versions::response(version, correlation_id, 0, &features(&origin)))
}

fn features(origin: &Origin) -> Features {
    let image = origin.broker.image();
    let level = |feature: &'static SupportedFeature| {
        let level = image.feature_level(feature.name);
        (level > 0).then_some(Feature { name: feature.name, min: level, max: level })
    };
    let supported = |feature: &SupportedFeature| Feature { name: feature.name, min: feature.min, max: feature.max };
    Features {
        supported: FEATURES.iter().map(supported).collect(),
        finalized: FEATURES.iter().filter_map(level).collect(),
        finalized_epoch: image.offset(),
    }
}

/// A feature this broker can serve (KIP-584), with the levels it supports.
pub struct SupportedFeature {
    /// Its name.
    pub name: &'static str,
    /// The lowest level.
    pub min: i16,
    /// The highest level.
    pub max: i16,
}

/// The features. Clients and tools switch on what stands here, so only what is served may stand here.
pub const FEATURES: &[SupportedFeature] = &[
    SupportedFeature { name: "group.version", min: 0, max: 1 },
    SupportedFeature { name: "transaction.version", min: 0, max: 2 },
];
