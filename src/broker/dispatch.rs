//! From a frame to its handler: the header is read, the version checked, and the handler of the API started.

use std::rc::Rc;

use super::broker::{Broker, shown};
use super::connection::{self, Connection};
use super::handlers;
use super::reply::{Outcome, Reply, SlotId};
use crate::base::block::Slice;
use crate::base::time::Instant;
use crate::protocol::api::{self, ApiKey};
use crate::protocol::frame;
use crate::protocol::message::{self, MessageError};

/// Where a request came from and how it is to be answered.
pub struct Origin {
    /// The reactor that reads the connection.
    pub broker: Rc<Broker>,
    /// The connection.
    pub connection: Rc<Connection>,
    /// The API.
    pub key: ApiKey,
    /// The version of it.
    pub version: i16,
    /// Goes back in the reply.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Rc<str>,
}

/// A request whose body is not read yet.
pub struct Request {
    /// Where it came from.
    pub origin: Origin,
    /// The frame, without its size.
    pub frame: Slice,
    /// Where the body starts in the frame.
    pub body_at: usize,
}

impl Request {
    /// Reads the body as the message `R` and lets go of the frame.
    ///
    /// # Errors
    /// The outcome that closes the connection, as Kafka does when a body does not follow its schema.
    pub fn decode<R: kafka_protocol::protocol::Request>(self) -> Result<(Origin, R), Outcome> {
        match message::decode_request::<R>(self.origin.version, &self.frame[self.body_at..]) {
            Ok(decoded) => Ok((self.origin, decoded)),
            Err(error) => Err(Outcome::Close(error.to_string())),
        }
    }
}

impl Request {
    /// Reads the body by `read`, where it is no message of the crate's, and lets go of the frame.
    ///
    /// # Errors
    /// As [`Request::decode`].
    pub fn decode_by<T>(self, read: impl FnOnce(&[u8]) -> Result<T, MessageError>) -> Result<(Origin, T), Outcome> {
        match read(&self.frame[self.body_at..]) {
            Ok(decoded) => Ok((self.origin, decoded)),
            Err(error) => Err(Outcome::Close(error.to_string())),
        }
    }
}

impl Origin {
    /// The reply `response` to the message `R`.
    pub fn reply<R: kafka_protocol::protocol::Request>(&self, response: &R::Response) -> Outcome {
        encoded(message::encode_response::<R>(self.version, self.correlation_id, response))
    }

    /// Counts something that was refused, and logs it at a bounded rate.
    pub fn refused(&self, sentence: impl FnOnce() -> String) {
        self.broker.counters.refusals.add(1);
        self.broker.refusals.log(&self.broker.io, || {
            let (peer, client) = (self.connection.peer_name(), shown(&self.client_id));
            format!("{} version {} of {peer}, client '{client}': {}", self.key, self.version, sentence())
        });
    }
}

/// The outcome of an encoded reply; one that cannot be encoded closes the connection with its reason.
pub fn encoded<E: std::fmt::Display>(bytes: Result<Vec<u8>, E>) -> Outcome {
    match bytes {
        Ok(bytes) => Outcome::Reply(Reply::encoded(bytes)),
        Err(error) => {
            tracing::error!(%error, "a reply does not fit its schema");
            Outcome::Close(format!("the reply does not fit its schema: {error}"))
        }
    }
}

/// Starts the request in `frame`; its outcome goes to `slot`. What the handler does before its first wait happens now.
pub fn handle(broker: &Rc<Broker>, connection: &Rc<Connection>, slot: SlotId, frame: Slice) {
    let header = match frame::request_header(&frame) {
        Ok(header) => header,
        Err(error) => return connection.ring.fill(slot, Outcome::Close(error.to_string())),
    };
    let (key, version) = match api::lookup(header.api_key, header.api_version) {
        Ok(api) => (api.key, header.api_version),
        Err(error) => return connection.ring.fill(slot, Outcome::Close(error.to_string())),
    };
    let origin = Origin {
        broker: Rc::clone(broker),
        connection: Rc::clone(connection),
        key,
        version,
        correlation_id: header.correlation_id,
        client_id: connection.client_id(header.client_id.unwrap_or_default()),
    };
    let body_at = header.body_at;
    start(Started { slot, at: broker.io.now() }, Request { origin, frame, body_at });
}

/// A request's slot, and when it arrived.
#[derive(Clone, Copy)]
pub struct Started {
    /// The slot of its reply.
    pub slot: SlotId,
    /// The start of the turn in which it was read.
    pub at: Instant,
}

fn start(started: Started, request: Request) {
    use handlers as h;
    match request.origin.key {
        ApiKey::Produce => h::produce::start(started, request),
        ApiKey::Fetch => run(started, request, h::fetch::handle),
        ApiKey::ListOffsets => run(started, request, h::list_offsets::handle),
        ApiKey::Metadata => run(started, request, h::metadata::handle),
        ApiKey::ApiVersions => now(started, request, h::api_versions::handle),
        ApiKey::FindCoordinator => run(started, request, h::find_coordinator::handle),
        ApiKey::OffsetCommit => run(started, request, h::offset_commit::handle),
        ApiKey::OffsetFetch => run(started, request, h::offset_fetch::handle),
        ApiKey::OffsetDelete => run(started, request, h::offset_delete::handle),
        ApiKey::JoinGroup => run(started, request, h::join_group::handle),
        ApiKey::Heartbeat => run(started, request, h::heartbeat::handle),
        ApiKey::LeaveGroup => run(started, request, h::leave_group::handle),
        ApiKey::SyncGroup => run(started, request, h::sync_group::handle),
        ApiKey::DescribeGroups => run(started, request, h::describe_groups::handle),
        ApiKey::ListGroups => run(started, request, h::list_groups::handle),
        ApiKey::DeleteGroups => run(started, request, h::delete_groups::handle),
        ApiKey::ConsumerGroupHeartbeat => run(started, request, h::consumer_group_heartbeat::handle),
        ApiKey::ConsumerGroupDescribe => run(started, request, h::consumer_group_describe::handle),
        ApiKey::CreateTopics => run(started, request, h::create_topics::handle),
        ApiKey::DeleteTopics => run(started, request, h::delete_topics::handle),
        ApiKey::DeleteRecords => run(started, request, h::delete_records::handle),
        ApiKey::CreatePartitions => run(started, request, h::create_partitions::handle),
        ApiKey::InitProducerId => run(started, request, h::init_producer_id::handle),
        ApiKey::AddPartitionsToTxn => run(started, request, h::add_partitions_to_txn::handle),
        ApiKey::AddOffsetsToTxn => run(started, request, h::add_offsets_to_txn::handle),
        ApiKey::EndTxn => run(started, request, h::end_txn::handle),
        ApiKey::TxnOffsetCommit => run(started, request, h::txn_offset_commit::handle),
        ApiKey::WriteTxnMarkers => run(started, request, h::write_txn_markers::handle),
        ApiKey::DescribeTransactions => run(started, request, h::describe_transactions::handle),
        ApiKey::ListTransactions => run(started, request, h::list_transactions::handle),
        ApiKey::DescribeProducers => run(started, request, h::describe_producers::handle),
        ApiKey::OffsetForLeaderEpoch => run(started, request, h::offset_for_leader_epoch::handle),
        ApiKey::DescribeConfigs => now(started, request, h::describe_configs::handle),
        ApiKey::ListConfigResources => now(started, request, h::list_config_resources::handle),
        ApiKey::AlterConfigs => run(started, request, h::alter_configs::handle),
        ApiKey::IncrementalAlterConfigs => run(started, request, h::incremental_alter_configs::handle),
        ApiKey::DescribeCluster => now(started, request, h::describe_cluster::handle),
        ApiKey::DescribeTopicPartitions => now(started, request, h::describe_topic_partitions::handle),
        // The table of APIs advertises what this match serves; a test compares the two.
        key => {
            let reason = format!("{key} is advertised and has no handler");
            request.origin.connection.ring.fill(started.slot, Outcome::Close(reason));
        }
    }
}

/// Answers at once.
fn now(started: Started, request: Request, handler: impl FnOnce(Request) -> Outcome) {
    let Origin { broker, connection, key, .. } = &request.origin;
    let (broker, connection, key) = (Rc::clone(broker), Rc::clone(connection), *key);
    let outcome = handler(request);
    started.count(&broker, key);
    connection.ring.fill(started.slot, outcome);
}

/// Answers when the handler's task is done. What a handler may come to hold is large: it gets its place on the heap before it is
/// handed on.
fn run<F: Future<Output = Outcome> + 'static>(started: Started, request: Request, handler: fn(Request) -> F) {
    let Origin { broker, connection, key, .. } = &request.origin;
    let (broker, connection, key) = (Rc::clone(broker), Rc::clone(connection), *key);
    let counted = Rc::clone(&broker);
    let handling = Box::pin(async move {
        let outcome = handler(request).await;
        started.count(&counted, key);
        outcome
    });
    connection::run(&broker, &connection, started.slot, handling);
}

impl Started {
    /// Counts the request, whose reply is ready now.
    pub fn count(&self, broker: &Broker, key: ApiKey) {
        broker.counters.request(key.code(), broker.io.now().since(self.at));
    }
}
