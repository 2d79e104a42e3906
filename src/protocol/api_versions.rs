//! The first reply of every connection: which APIs and features this broker has.

use kafka_protocol::messages::ApiVersionsRequest;
use kafka_protocol::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};

use crate::model::error_code::ErrorCode;

use super::api::{Api, ApiKey, advertised};
use super::message::{MessageError, encode_response};

/// The first version in which a feature whose lowest level is 0 may be listed: older clients fail on it (KAFKA-17011).
const LEVEL_ZERO_FROM: i16 = 4;

/// The features of the broker and of the cluster (KIP-584). They switch the behaviour of clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// What this broker can do: the levels it supports.
    pub supported: Vec<Feature>,
    /// What the cluster has settled on: the levels in force.
    pub finalized: Vec<Feature>,
    /// Number of the last change of what is in force; -1 where unknown, which makes clients ignore `finalized`.
    pub finalized_epoch: i64,
}

/// Levels of one feature, such as `transaction.version` 0 to 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// The lowest level.
    pub min: i16,
    /// The highest level.
    pub max: i16,
}

/// The frame of the reply to an ApiVersions request of any version.
///
/// A version that is not served is answered in the schema of version 0 with UNSUPPORTED_VERSION and the one range
/// that tells the client what to ask next: that of ApiVersions itself (KIP-511). Kafka lists no other there.
///
/// # Errors
/// When `features` do not fit the schema (never with names below 32 KiB).
pub fn response(
    version: i16,
    correlation_id: i32,
    throttle_time_ms: i32,
    features: &Features,
) -> Result<Vec<u8>, MessageError> {
    let own = ApiKey::ApiVersions.api();
    if !own.serves(version) {
        let refusal = ApiVersionsResponse::default()
            .with_error_code(ErrorCode::UnsupportedVersion.code())
            .with_api_keys(vec![range(own)]);
        return encode_response::<ApiVersionsRequest>(0, correlation_id, &refusal);
    }
    let listed = |feature: &&Feature| version >= LEVEL_ZERO_FROM || feature.min > 0;
    let response = ApiVersionsResponse::default()
        .with_api_keys(advertised().map(range).collect())
        .with_throttle_time_ms(throttle_time_ms)
        .with_supported_features(features.supported.iter().filter(listed).map(supported).collect())
        .with_finalized_features_epoch(features.finalized_epoch)
        .with_finalized_features(features.finalized.iter().map(finalized).collect());
    encode_response::<ApiVersionsRequest>(version, correlation_id, &response)
}

/// The frame of a reply that carries `error` alone, such as INVALID_REQUEST for a client software name that
/// [`is_software_name`] refuses.
///
/// # Errors
/// When `version` is not served.
pub fn error_response(version: i16, correlation_id: i32, error: ErrorCode) -> Result<Vec<u8>, MessageError> {
    let response = ApiVersionsResponse::default().with_error_code(error.code()).with_finalized_features_epoch(-1);
    encode_response::<ApiVersionsRequest>(version, correlation_id, &response)
}

/// Whether a client may call its software, or its version, `text` (KIP-511): letters, digits, `-` and `.`, the first
/// and the last a letter or digit. Checked from version 3 on.
pub fn is_software_name(text: &str) -> bool {
    let ends_well = |end: Option<u8>| end.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
        && ends_well(text.bytes().next())
        && ends_well(text.bytes().next_back())
}

fn range(api: &Api) -> ApiVersion {
    ApiVersion::default().with_api_key(api.key.code()).with_min_version(api.stated_min()).with_max_version(api.max)
}

fn supported(feature: &Feature) -> SupportedFeatureKey {
    SupportedFeatureKey::default()
        .with_name(feature.name.into())
        .with_min_version(feature.min)
        .with_max_version(feature.max)
}

fn finalized(feature: &Feature) -> FinalizedFeatureKey {
    FinalizedFeatureKey::default()
        .with_name(feature.name.into())
        .with_min_version_level(feature.min)
        .with_max_version_level(feature.max)
}
