//! DescribeConfigs: every config of a resource with its value, where it comes from and what it means.

use super::{once, text};
use crate::broker::dispatch::{Origin, Request};
use crate::broker::reply::Outcome;
use crate::metadata::config::describe::{ConfigEntry, ConfigSynonym, Filter};
use crate::metadata::controller::Context;
use crate::metadata::controller::configs::describe_configs;
use crate::metadata::image::Image;
use crate::protocol::messages::describe_configs_request::DescribeConfigsResource;
use crate::protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use crate::protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};

/// The first version with types and documentation (KIP-569).
const TYPES_FROM: i16 = 3;

/// Describes resources by the image in force.
pub fn handle(request: Request) -> Outcome {
    let (origin, mut decoded) = match request.decode::<DescribeConfigsRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    decoded.resources = once(decoded.resources, |resource| (resource.resource_type, resource.resource_name.clone()));
    let image = origin.broker.image();
    let results = decoded.resources.iter().map(|resource| described(&origin, &image, &decoded, resource)).collect();
    origin.reply::<DescribeConfigsRequest>(&DescribeConfigsResponse::default().with_results(results))
}

fn described(
    origin: &Origin,
    image: &Image,
    decoded: &DescribeConfigsRequest,
    resource: &DescribeConfigsResource,
) -> DescribeConfigsResult {
    let context = Context {
        image,
        statics: &origin.broker.config.kafka,
        broker: origin.broker.config.node_id,
        partitions_per_broker_max: origin.broker.config.partitions_per_broker_max,
    };
    let keys = resource.configuration_keys.as_ref();
    let keys: Option<Vec<String>> = keys.map(|keys| keys.iter().map(ToString::to_string).collect());
    let filter = Filter::new(keys.as_deref());
    let result = DescribeConfigsResult::default()
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone());
    match describe_configs(&context, resource.resource_type, &resource.resource_name, filter) {
        Ok(entries) => {
            result.with_configs(entries.into_iter().map(|entry| told(decoded, origin.version, entry)).collect())
        }
        Err(error) => {
            origin.refused(|| format!("resource '{}': {error}", &*resource.resource_name));
            result.with_error_code(error.code.code()).with_error_message(Some(text(error.message)))
        }
    }
}

fn told(decoded: &DescribeConfigsRequest, version: i16, entry: ConfigEntry) -> DescribeConfigsResourceResult {
    let synonyms = if decoded.include_synonyms { entry.synonyms } else { Vec::new() };
    let result = DescribeConfigsResourceResult::default()
        .with_name(text(entry.name))
        .with_value(entry.value.map(text))
        .with_read_only(entry.read_only)
        .with_config_source(entry.source.code())
        .with_is_sensitive(entry.sensitive)
        .with_synonyms(synonyms.into_iter().map(synonym).collect());
    if version < TYPES_FROM {
        return result;
    }
    let documentation = entry.documentation.filter(|_| decoded.include_documentation);
    result.with_config_type(entry.kind.code()).with_documentation(documentation.map(text))
}

fn synonym(synonym: ConfigSynonym) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym::default()
        .with_name(text(synonym.name))
        .with_value(synonym.value.map(text))
        .with_source(synonym.source.code())
}
