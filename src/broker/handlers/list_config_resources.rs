//! ListConfigResources (KIP-1142): what has configs of its own, by type.

use super::text;
use crate::broker::dispatch::Request;
use crate::broker::reply::Outcome;
use crate::metadata::controller::configs::{list_config_resources, resource_type};
use crate::protocol::messages::list_config_resources_response::ConfigResource;
use crate::protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};

/// The first version that names types; before, the resources of clients' metrics are meant.
const TYPES_FROM: i16 = 1;

/// Lists them by the image in force.
pub fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<ListConfigResourcesRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let types = if origin.version < TYPES_FROM { vec![resource_type::CLIENT_METRICS] } else { decoded.resource_types };
    let response = ListConfigResourcesResponse::default();
    let response = match list_config_resources(&origin.broker.image(), &types) {
        Ok(resources) => {
            let told = resources
                .into_iter()
                .map(|(kind, name)| ConfigResource::default().with_resource_name(text(name)).with_resource_type(kind));
            response.with_config_resources(told.collect())
        }
        Err(error) => {
            origin.refused(|| error.to_string());
            response.with_error_code(error.code.code())
        }
    };
    origin.reply::<ListConfigResourcesRequest>(&response)
}
