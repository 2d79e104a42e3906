//! WriteTxnMarkers: markers that somebody else has decided on: another broker's coordinator, or a tool that ends a
//! transaction which hangs (`kafka-transactions.sh abort`).

use crate::broker::dispatch::Request;
use crate::broker::markers;
use crate::broker::message::MarkerWrite;
use crate::broker::reply::Outcome;
use crate::broker::scatter::Scatter;
use crate::model::error_code::ErrorCode;
use crate::producer::state::MarkerFacts;
use crate::producer::transactions;
use crate::protocol::messages::write_txn_markers_request::WritableTxnMarker;
use crate::protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use crate::protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use crate::protocol::topic::TopicRef;
use crate::protocol::txn_markers::{self, VERSIONED_FROM};

/// Appends the markers, and answers when they are durable.
pub async fn handle(request: Request) -> Outcome {
    let decoded = match request.origin.version {
        VERSIONED_FROM.. => request.decode_by(txn_markers::decode),
        // These versions do not say by which rules.
        _ => request.decode::<WriteTxnMarkersRequest>().map(|(origin, decoded)| (origin, (decoded, Vec::new()))),
    };
    let (origin, (decoded, versions)) = match decoded {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let versions = versions.into_iter().map(i16::from).chain(std::iter::repeat(0));
    let image = origin.broker.image();
    let mut scatter = Scatter::default();
    for (marker, transaction_version) in decoded.markers.iter().zip(versions) {
        let facts = MarkerFacts {
            producer_id: marker.producer_id.0,
            producer_epoch: marker.producer_epoch,
            coordinator_epoch: marker.coordinator_epoch,
            transaction_version,
        };
        let outcome =
            if marker.transaction_result { transactions::Outcome::Commit } else { transactions::Outcome::Abort };
        for (topic, index) in partitions(marker) {
            let route = origin.broker.route(&image, TopicRef::Name(topic), index);
            let write = |partition| MarkerWrite { partition, facts, outcome };
            let routed = route.map(|route| (route.reactor, write(route.partition)));
            scatter.push(routed.map_err(|unreachable| unreachable.error));
        }
    }
    let written = markers::gather(&origin.broker, scatter).await;
    if let Some(error) = written.iter().find_map(|result| result.as_ref().err()) {
        origin.refused(|| error.to_string());
    }
    let mut codes = written.into_iter().map(|result| result.map_or_else(|error| error.code, |_| ErrorCode::None));
    let results = decoded.markers.iter().map(|marker| result(marker, &mut codes)).collect();
    origin.reply::<WriteTxnMarkersRequest>(&WriteTxnMarkersResponse::default().with_markers(results))
}

fn partitions(marker: &WritableTxnMarker) -> impl Iterator<Item = (&str, i32)> {
    marker.topics.iter().flat_map(|topic| topic.partition_indexes.iter().map(|index| (&*topic.name.0, *index)))
}

fn result(marker: &WritableTxnMarker, codes: &mut impl Iterator<Item = ErrorCode>) -> WritableTxnMarkerResult {
    let mut topics = Vec::with_capacity(marker.topics.len());
    for topic in &marker.topics {
        let partitions = topic.partition_indexes.iter().zip(&mut *codes).map(|(index, code)| {
            WritableTxnMarkerPartitionResult::default().with_partition_index(*index).with_error_code(code.code())
        });
        let partitions = partitions.collect();
        topics.push(WritableTxnMarkerTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions));
    }
    WritableTxnMarkerResult::default().with_producer_id(marker.producer_id).with_topics(topics)
}
