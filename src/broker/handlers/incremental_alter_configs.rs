//! IncrementalAlterConfigs (KIP-339): changes the configs it names, and leaves the others.

use super::alter_configs::alter;
use super::{error_fields, text};
use crate::broker::dispatch::Request;
use crate::broker::reply::Outcome;
use crate::metadata::controller::configs::{AlterResource, Alteration};
use crate::protocol::messages::incremental_alter_configs_request::AlterConfigsResource;
use crate::protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use crate::protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

/// Changes configs, or says what would come of it.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<IncrementalAlterConfigsRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let resources = decoded.resources.iter().map(wanted).collect();
    let responses = alter(&origin, resources, true, decoded.validate_only).await.into_iter().map(|result| {
        let (code, message) = error_fields(result.outcome.as_ref().copied());
        AlterConfigsResourceResponse::default()
            .with_error_code(code)
            .with_error_message(message)
            .with_resource_type(result.resource_type)
            .with_resource_name(text(result.resource_name))
    });
    let responses = responses.collect();
    let response = IncrementalAlterConfigsResponse::default().with_responses(responses);
    origin.reply::<IncrementalAlterConfigsRequest>(&response)
}

fn wanted(resource: &AlterConfigsResource) -> AlterResource {
    let alterations = resource.configs.iter().map(|config| Alteration {
        name: config.name.to_string(),
        operation: config.config_operation,
        value: config.value.as_ref().map(ToString::to_string),
    });
    AlterResource {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.to_string(),
        alterations: alterations.collect(),
    }
}
