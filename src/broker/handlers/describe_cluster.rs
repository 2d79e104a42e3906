//! DescribeCluster (KIP-700): who is in the cluster, as the client can reach it.

use super::metadata::{CLUSTER_OPERATIONS, OPERATIONS_NOT_ASKED, address};
use super::text;
use crate::broker::dispatch::{Origin, Request};
use crate::broker::reply::Outcome;
use crate::metadata::image::Image;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::base64_url;
use crate::protocol::messages::describe_cluster_response::DescribeClusterBroker;
use crate::protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};

/// The first version that says which endpoints are wanted (KIP-919).
const ENDPOINTS_FROM: i16 = 1;
/// The first version that tells fenced brokers (KIP-1073).
const FENCED_FROM: i16 = 2;

/// Numbers of the kinds of endpoints.
mod endpoint_type {
    pub const BROKERS: i8 = 1;
    pub const CONTROLLERS: i8 = 2;
}

/// Describes the cluster by the image in force.
pub fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<DescribeClusterRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let image = origin.broker.image();
    let response = DescribeClusterResponse::default().with_cluster_authorized_operations(OPERATIONS_NOT_ASKED);
    let response = match check_endpoints(&decoded, origin.version) {
        Err(error) => {
            origin.refused(|| error.to_string());
            response.with_error_code(error.code.code()).with_error_message(Some(text(error.message)))
        }
        Ok(()) => response
            .with_cluster_id(text(image.cluster_id().map(base64_url).unwrap_or_default()))
            .with_controller_id(BrokerId(origin.broker.config.node_id))
            .with_brokers(brokers(&origin, &image, decoded.include_fenced_brokers))
            .with_cluster_authorized_operations(if decoded.include_cluster_authorized_operations {
                CLUSTER_OPERATIONS
            } else {
                OPERATIONS_NOT_ASKED
            }),
    };
    origin.reply::<DescribeClusterRequest>(&response)
}

fn check_endpoints(decoded: &DescribeClusterRequest, version: i16) -> Result<(), ClientError> {
    if version < ENDPOINTS_FROM || decoded.endpoint_type == endpoint_type::BROKERS {
        return Ok(());
    }
    let (code, message) = if decoded.endpoint_type == endpoint_type::CONTROLLERS {
        let message =
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER";
        (ErrorCode::MismatchedEndpointType, message.to_owned())
    } else {
        (ErrorCode::UnsupportedEndpointType, format!("Unsupported endpoint type {}", decoded.endpoint_type))
    };
    Err(ClientError::new(code, message))
}

fn brokers(origin: &Origin, image: &Image, fenced_too: bool) -> Vec<DescribeClusterBroker> {
    let shown = image.brokers().filter(|broker| fenced_too || !broker.fenced);
    let described = shown.filter_map(|broker| {
        let (host, port) = address(origin, image, broker.id)?;
        let described = DescribeClusterBroker::default()
            .with_broker_id(BrokerId(broker.id))
            .with_host(text(host))
            .with_port(i32::from(port))
            .with_rack(broker.rack.clone().map(text));
        Some(if origin.version >= FENCED_FROM { described.with_is_fenced(broker.fenced) } else { described })
    });
    described.collect()
}
