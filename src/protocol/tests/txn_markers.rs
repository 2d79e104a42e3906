//! WriteTxnMarkers with transaction versions, against bytes written out by hand.

use kafka_protocol::messages::WriteTxnMarkersRequest;
use kafka_protocol::messages::WriteTxnMarkersResponse;
use kafka_protocol::messages::write_txn_markers_response::WritableTxnMarkerResult;

use super::{CORRELATION_ID, Draw};
use crate::protocol::message::encode_response;
use crate::protocol::txn_markers::{VERSIONED_FROM, decode};

fn markers() -> Vec<u8> {
    let mut bytes = vec![3];
    bytes.extend([0, 0, 0, 0, 0, 0, 1, 0, 0, 3, 1]);
    bytes.extend([2, 2, b't', 3, 0, 0, 0, 1, 0, 0, 0, 2, 0]);
    bytes.extend([0, 0, 0, 5, 2, 0]);
    // The second has no topics, and a tagged field follows that nobody knows.
    bytes.extend([0, 0, 0, 0, 0, 0, 0, 9, 0, 4, 0, 1, 0, 0, 0, 6, 1, 1, 7, 1, 0]);
    bytes.push(0);
    bytes
}

#[test]
fn markers_are_read_with_their_versions() {
    let (request, versions) = decode(&markers()).expect("a request");
    assert_eq!(versions, [2, 1]);
    let (first, second) = (&request.markers[0], &request.markers[1]);
    assert_eq!((first.producer_id.0, first.producer_epoch, first.transaction_result), (256, 3, true));
    assert_eq!((&*first.topics[0].name.0, &first.topics[0].partition_indexes[..]), ("t", &[1, 2][..]));
    assert_eq!((first.coordinator_epoch, second.coordinator_epoch), (5, 6));
    assert_eq!((second.producer_id.0, second.producer_epoch, second.transaction_result), (9, 4, false));
}

#[test]
fn requests_that_are_cut_or_damaged_are_refused_or_read() {
    let whole = markers();
    for end in 0..whole.len() {
        assert!(decode(&whole[..end]).is_err(), "cut at {end}");
    }
    let mut draw = Draw::new(2);
    for _ in 0..5000 {
        let mut damaged = markers();
        draw.damage(&mut damaged);
        let _ = decode(&damaged);
    }
}

#[test]
fn replies_are_those_of_the_version_before() {
    let result = WritableTxnMarkerResult::default().with_producer_id(9.into());
    let response = WriteTxnMarkersResponse::default().with_markers(vec![result]);
    let written =
        |version| encode_response::<WriteTxnMarkersRequest>(version, CORRELATION_ID, &response).expect("a reply");
    assert_eq!(written(VERSIONED_FROM), written(1));
}
