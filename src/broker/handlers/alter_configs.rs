//! AlterConfigs: replaces all dynamic configs of a resource.

use super::{error_fields, text};
use crate::broker::controller::{Command, Decided, decide};
use crate::broker::dispatch::{Origin, Request};
use crate::broker::reply::Outcome;
use crate::metadata::controller::configs::{AlterResource, AlterResult, Alteration};
use crate::protocol::messages::alter_configs_request::AlterConfigsResource;
use crate::protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use crate::protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};

/// Replaces configs, or says what would come of it.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<AlterConfigsRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let resources = decoded.resources.iter().map(wanted).collect();
    let responses = alter(&origin, resources, false, decoded.validate_only).await.into_iter().map(|result| {
        let (code, message) = error_fields(result.outcome.as_ref().copied());
        AlterConfigsResourceResponse::default()
            .with_error_code(code)
            .with_error_message(message)
            .with_resource_type(result.resource_type)
            .with_resource_name(text(result.resource_name))
    });
    let responses = responses.collect();
    origin.reply::<AlterConfigsRequest>(&AlterConfigsResponse::default().with_responses(responses))
}

fn wanted(resource: &AlterConfigsResource) -> AlterResource {
    let alterations = resource.configs.iter().map(|config| Alteration {
        name: config.name.to_string(),
        operation: Alteration::SET,
        value: config.value.as_ref().map(ToString::to_string),
    });
    AlterResource {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.to_string(),
        alterations: alterations.collect(),
    }
}

/// Has alterations decided, and logs what is refused.
pub async fn alter(
    origin: &Origin,
    resources: Vec<AlterResource>,
    incremental: bool,
    validate_only: bool,
) -> Vec<AlterResult> {
    let command = Command::AlterConfigs { resources: resources.clone(), incremental, validate_only };
    let results = match decide(&origin.broker, command).await {
        Decided::AlteredConfigs(results) => results,
        Decided::Failed(error) => {
            let failed = |resource: AlterResource| AlterResult {
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
                outcome: Err(error.clone()),
            };
            resources.into_iter().map(failed).collect()
        }
        _ => unreachable!("each command has its own answer"),
    };
    for result in &results {
        if let Err(error) = &result.outcome {
            origin.refused(|| format!("resource '{}': {error}", result.resource_name));
        }
    }
    results
}
