//! One request with something in every field, for each advertised API that the kafka-protocol crate decodes, in each
//! version. Names nothing of this library, so that `tests/decode_memory.rs` can use it too.

use std::fmt::Debug;

use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions as HeldPartitions;
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_producers_request::TopicRequest as DescribedTopic;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::incremental_alter_configs_request as incremental;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Request, StrBytes};

/// Takes each sample with its own type.
pub trait Visitor {
    /// A request of `version`.
    fn visit<R: Request + PartialEq + Debug>(&mut self, version: i16, request: R);
}

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn topic(name: &'static str) -> TopicName {
    TopicName(text(name))
}

fn brokers() -> Vec<BrokerId> {
    vec![BrokerId(1), BrokerId(2), BrokerId(3)]
}

/// Shows every sample to `visitor`.
pub fn visit_all(visitor: &mut impl Visitor) {
    (0..=4).for_each(|version| visitor.visit(version, api_versions(version)));
    (0..=13).for_each(|version| visitor.visit(version, metadata(version)));
    (1..=11).for_each(|version| visitor.visit(version, list_offsets(version)));
    (0..=5).for_each(|version| visitor.visit(version, init_producer_id(version)));
    (2..=7).for_each(|version| visitor.visit(version, create_topics()));
    (1..=6).for_each(|version| visitor.visit(version, delete_topics(version)));
    (0..=2).for_each(|version| visitor.visit(version, delete_records()));
    (1..=4).for_each(|version| visitor.visit(version, describe_configs(version)));
    (0..=2).for_each(|version| visitor.visit(version, alter_configs()));
    (0..=1).for_each(|version| visitor.visit(version, incremental_alter_configs()));
    (0..=3).for_each(|version| visitor.visit(version, create_partitions()));
    (0..=1).for_each(|version| visitor.visit(version, list_config_resources(version)));
    (0..=2).for_each(|version| visitor.visit(version, describe_cluster(version)));
    visitor.visit(0, describe_topic_partitions());
    (2..=4).for_each(|version| visitor.visit(version, offset_for_leader_epoch(version)));
    (0..=6).for_each(|version| visitor.visit(version, find_coordinator(version)));
    (2..=9).for_each(|version| visitor.visit(version, offset_commit(version)));
    (1..=9).for_each(|version| visitor.visit(version, offset_fetch(version)));
    visitor.visit(0, offset_delete());
    (0..=9).for_each(|version| visitor.visit(version, join_group(version)));
    (0..=5).for_each(|version| visitor.visit(version, sync_group(version)));
    (0..=4).for_each(|version| visitor.visit(version, heartbeat(version)));
    (0..=5).for_each(|version| visitor.visit(version, leave_group(version)));
    (0..=6).for_each(|version| visitor.visit(version, describe_groups(version)));
    (0..=5).for_each(|version| visitor.visit(version, list_groups(version)));
    (0..=2).for_each(|version| visitor.visit(version, delete_groups()));
    (0..=1).for_each(|version| visitor.visit(version, consumer_group_heartbeat(version)));
    (0..=1).for_each(|version| visitor.visit(version, consumer_group_describe()));
    (0..=5).for_each(|version| visitor.visit(version, add_partitions_to_txn(version)));
    (0..=4).for_each(|version| visitor.visit(version, add_offsets_to_txn()));
    (0..=5).for_each(|version| visitor.visit(version, end_txn()));
    visitor.visit(1, write_txn_markers());
    (0..=5).for_each(|version| visitor.visit(version, txn_offset_commit(version)));
    visitor.visit(0, describe_producers());
    visitor.visit(0, describe_transactions());
    (0..=2).for_each(|version| visitor.visit(version, list_transactions(version)));
}

fn api_versions(version: i16) -> ApiVersionsRequest {
    let request = ApiVersionsRequest::default();
    if version < 3 {
        return request;
    }
    request.with_client_software_name(text("apache-kafka-java")).with_client_software_version(text("4.1.0"))
}

fn metadata(version: i16) -> MetadataRequest {
    let entry = MetadataRequestTopic::default().with_name(Some(topic("orders")));
    let mut topics = vec![entry.clone(), entry];
    if version >= 10 {
        topics[1] = MetadataRequestTopic::default().with_name(None).with_topic_id(uuid::Uuid::from_u128(77));
    }
    MetadataRequest::default()
        .with_topics(Some(topics))
        .with_allow_auto_topic_creation(version < 4)
        .with_include_cluster_authorized_operations((8..=10).contains(&version))
        .with_include_topic_authorized_operations(version >= 8)
}

fn list_offsets(version: i16) -> ListOffsetsRequest {
    let partition = |index| {
        ListOffsetsPartition::default()
            .with_partition_index(index)
            .with_current_leader_epoch(if version >= 4 { 70_000 } else { -1 })
            .with_timestamp(-3)
    };
    let topics = vec![
        ListOffsetsTopic::default()
            .with_name(topic("orders"))
            .with_partitions(vec![partition(0), partition(1_000_000)]),
    ];
    ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(i8::from(version >= 2))
        .with_topics(topics)
        .with_timeout_ms(if version >= 10 { 30_000 } else { 0 })
}

fn init_producer_id(version: i16) -> InitProducerIdRequest {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text("payments-1"))))
        .with_transaction_timeout_ms(60_000);
    if version < 3 {
        return request;
    }
    request.with_producer_id(ProducerId(4_000_000_000)).with_producer_epoch(3)
}

fn create_topics() -> CreateTopicsRequest {
    let assignment =
        |index| CreatableReplicaAssignment::default().with_partition_index(index).with_broker_ids(brokers());
    let config = |value| CreatableTopicConfig::default().with_name(text("cleanup.policy")).with_value(value);
    let assigned = CreatableTopic::default()
        .with_name(topic("orders"))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_assignments(vec![assignment(0), assignment(1)])
        .with_configs(vec![config(Some(text("compact"))), config(None)]);
    let counted =
        CreatableTopic::default().with_name(topic("payments")).with_num_partitions(100_000).with_replication_factor(3);
    CreateTopicsRequest::default()
        .with_topics(vec![assigned, counted])
        .with_timeout_ms(i32::MAX)
        .with_validate_only(true)
}

fn delete_topics(version: i16) -> DeleteTopicsRequest {
    let request = DeleteTopicsRequest::default().with_timeout_ms(60_000);
    if version < 6 {
        return request.with_topic_names(vec![topic("orders"), topic("payments")]);
    }
    let by_id = DeleteTopicState::default().with_topic_id(uuid::Uuid::from_u128(1 << 100));
    request.with_topics(vec![DeleteTopicState::default().with_name(Some(topic("orders"))), by_id])
}

fn delete_records() -> DeleteRecordsRequest {
    let partition = |index, offset| DeleteRecordsPartition::default().with_partition_index(index).with_offset(offset);
    let partitions = vec![partition(0, -1), partition(1_000_000, 1 << 40)];
    let topics = vec![DeleteRecordsTopic::default().with_name(topic("orders")).with_partitions(partitions)];
    DeleteRecordsRequest::default().with_topics(topics).with_timeout_ms(60_000)
}

fn describe_configs(version: i16) -> DescribeConfigsRequest {
    let resource = |keys| {
        DescribeConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("orders"))
            .with_configuration_keys(keys)
    };
    DescribeConfigsRequest::default()
        .with_resources(vec![resource(None), resource(Some(vec![text("retention.ms"), text("segment.bytes")]))])
        .with_include_synonyms(true)
        .with_include_documentation(version >= 3)
}

fn alter_configs() -> AlterConfigsRequest {
    let config = |value| AlterableConfig::default().with_name(text("retention.ms")).with_value(value);
    let resource = AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("orders"))
        .with_configs(vec![config(Some(text("1000"))), config(None)]);
    AlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(true)
}

fn incremental_alter_configs() -> IncrementalAlterConfigsRequest {
    let config = |operation| {
        incremental::AlterableConfig::default()
            .with_name(text("cleanup.policy"))
            .with_config_operation(operation)
            .with_value(Some(text("compact")))
    };
    let resource = incremental::AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("orders"))
        .with_configs(vec![config(2), config(3)]);
    IncrementalAlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(true)
}

fn create_partitions() -> CreatePartitionsRequest {
    let assignment = CreatePartitionsAssignment::default().with_broker_ids(brokers());
    let assigned = CreatePartitionsTopic::default()
        .with_name(topic("orders"))
        .with_count(12)
        .with_assignments(Some(vec![assignment.clone(), assignment]));
    let counted = CreatePartitionsTopic::default().with_name(topic("payments")).with_count(1).with_assignments(None);
    CreatePartitionsRequest::default().with_topics(vec![assigned, counted]).with_timeout_ms(5_000)
}

fn describe_cluster(version: i16) -> DescribeClusterRequest {
    DescribeClusterRequest::default()
        .with_include_cluster_authorized_operations(true)
        .with_endpoint_type(if version >= 1 { 2 } else { 1 })
        .with_include_fenced_brokers(version >= 2)
}

fn describe_topic_partitions() -> DescribeTopicPartitionsRequest {
    let named = |name| TopicRequest::default().with_name(topic(name));
    DescribeTopicPartitionsRequest::default()
        .with_topics(vec![named("orders"), named("payments")])
        .with_response_partition_limit(2000)
        .with_cursor(Some(Cursor::default().with_topic_name(topic("orders")).with_partition_index(5)))
}

fn offset_for_leader_epoch(version: i16) -> OffsetForLeaderEpochRequest {
    let partition = OffsetForLeaderPartition::default()
        .with_partition(4)
        .with_current_leader_epoch(66_000)
        .with_leader_epoch(65_000);
    let topics = vec![OffsetForLeaderTopic::default().with_topic(topic("orders")).with_partitions(vec![partition])];
    OffsetForLeaderEpochRequest::default()
        .with_replica_id(BrokerId(if version >= 3 { 9 } else { -2 }))
        .with_topics(topics)
}

fn find_coordinator(version: i16) -> FindCoordinatorRequest {
    let request = FindCoordinatorRequest::default().with_key_type(i8::from(version >= 1));
    if version < 4 {
        return request.with_key(text("payments-1"));
    }
    request.with_coordinator_keys(vec![text("payments-1"), text("payments-2")])
}

fn offset_commit(version: i16) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(3)
        .with_committed_offset(1 << 40)
        .with_committed_leader_epoch(if version >= 6 { 5 } else { -1 })
        .with_committed_metadata(Some(text("where I was")));
    let orders = OffsetCommitRequestTopic::default()
        .with_name(topic("orders"))
        .with_partitions(vec![partition, OffsetCommitRequestPartition::default()]);
    OffsetCommitRequest::default()
        .with_group_id(GroupId(text("billing")))
        .with_generation_id_or_member_epoch(7)
        .with_member_id(text("member-1"))
        .with_group_instance_id((version >= 7).then(|| text("static-1")))
        .with_retention_time_ms(if version <= 4 { 1 << 40 } else { -1 })
        .with_topics(vec![orders.clone(), orders])
}

fn offset_fetch(version: i16) -> OffsetFetchRequest {
    let request = OffsetFetchRequest::default().with_require_stable(version >= 7);
    if version < 8 {
        let orders =
            OffsetFetchRequestTopic::default().with_name(topic("orders")).with_partition_indexes(vec![0, 1, 2]);
        return request.with_group_id(GroupId(text("billing"))).with_topics(Some(vec![orders.clone(), orders]));
    }
    let orders = OffsetFetchRequestTopics::default().with_name(topic("orders")).with_partition_indexes(vec![0, 1, 2]);
    let group = OffsetFetchRequestGroup::default().with_group_id(GroupId(text("billing")));
    let group = if version >= 9 { group.with_member_id(Some(text("member-1"))).with_member_epoch(4) } else { group };
    request.with_groups(vec![group.clone().with_topics(Some(vec![orders])), group.with_topics(None)])
}

fn offset_delete() -> OffsetDeleteRequest {
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(2);
    let orders = OffsetDeleteRequestTopic::default().with_name(topic("orders")).with_partitions(vec![partition]);
    OffsetDeleteRequest::default().with_group_id(GroupId(text("billing"))).with_topics(vec![orders.clone(), orders])
}

fn join_group(version: i16) -> JoinGroupRequest {
    let protocol = |name: &'static str| {
        JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(vec![0, 1, 2, 3].into())
    };
    JoinGroupRequest::default()
        .with_group_id(GroupId(text("billing")))
        .with_session_timeout_ms(45_000)
        .with_rebalance_timeout_ms(if version >= 1 { 300_000 } else { -1 })
        .with_member_id(text("member-1"))
        .with_group_instance_id((version >= 5).then(|| text("static-1")))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol("range"), protocol("cooperative-sticky")])
        .with_reason((version >= 8).then(|| text("first poll")))
}

fn sync_group(version: i16) -> SyncGroupRequest {
    let part = |member: &'static str| {
        SyncGroupRequestAssignment::default().with_member_id(text(member)).with_assignment(vec![4, 5, 6].into())
    };
    SyncGroupRequest::default()
        .with_group_id(GroupId(text("billing")))
        .with_generation_id(3)
        .with_member_id(text("member-1"))
        .with_group_instance_id((version >= 3).then(|| text("static-1")))
        .with_protocol_type((version >= 5).then(|| text("consumer")))
        .with_protocol_name((version >= 5).then(|| text("range")))
        .with_assignments(vec![part("member-1"), part("member-2")])
}

fn heartbeat(version: i16) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(GroupId(text("billing")))
        .with_generation_id(3)
        .with_member_id(text("member-1"))
        .with_group_instance_id((version >= 3).then(|| text("static-1")))
}

fn leave_group(version: i16) -> LeaveGroupRequest {
    let request = LeaveGroupRequest::default().with_group_id(GroupId(text("billing")));
    if version < 3 {
        return request.with_member_id(text("member-1"));
    }
    let member = MemberIdentity::default()
        .with_member_id(text("member-1"))
        .with_group_instance_id(Some(text("static-1")))
        .with_reason((version >= 5).then(|| text("closing")));
    request.with_members(vec![member.clone(), member])
}

fn describe_groups(version: i16) -> DescribeGroupsRequest {
    DescribeGroupsRequest::default()
        .with_groups(vec![GroupId(text("billing")), GroupId(text("audit"))])
        .with_include_authorized_operations(version >= 3)
}

fn list_groups(version: i16) -> ListGroupsRequest {
    let texts = |wanted: bool, values: [&'static str; 2]| {
        if wanted { values.map(text).to_vec() } else { Vec::new() }
    };
    ListGroupsRequest::default()
        .with_states_filter(texts(version >= 4, ["Stable", "Empty"]))
        .with_types_filter(texts(version >= 5, ["classic", "consumer"]))
}

fn delete_groups() -> DeleteGroupsRequest {
    DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text("billing")), GroupId(text("audit"))])
}

fn consumer_group_heartbeat(version: i16) -> ConsumerGroupHeartbeatRequest {
    let held = HeldPartitions::default().with_topic_id(uuid::Uuid::from_u128(7)).with_partitions(vec![0, 1, 2]);
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text("billing")))
        .with_member_id(text("member-1"))
        .with_member_epoch(4)
        .with_instance_id(Some(text("static-1")))
        .with_rack_id(Some(text("rack-1")))
        .with_rebalance_timeout_ms(300_000)
        .with_subscribed_topic_names(Some(vec![topic("orders"), topic("payments")]))
        .with_subscribed_topic_regex((version >= 1).then(|| text("orders-.*")))
        .with_server_assignor(Some(text("uniform")))
        .with_topic_partitions(Some(vec![held.clone(), held]))
}

fn consumer_group_describe() -> ConsumerGroupDescribeRequest {
    ConsumerGroupDescribeRequest::default()
        .with_group_ids(vec![GroupId(text("billing")), GroupId(text("audit"))])
        .with_include_authorized_operations(true)
}

fn transfers() -> TransactionalId {
    TransactionalId(text("transfers"))
}

fn add_partitions_to_txn(version: i16) -> AddPartitionsToTxnRequest {
    let orders = AddPartitionsToTxnTopic::default().with_name(topic("orders")).with_partitions(vec![0, 7]);
    if version >= 4 {
        let transaction = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(transfers())
            .with_producer_id(ProducerId(1 << 40))
            .with_producer_epoch(3)
            .with_verify_only(true)
            .with_topics(vec![orders.clone(), orders]);
        return AddPartitionsToTxnRequest::default().with_transactions(vec![transaction.clone(), transaction]);
    }
    AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(transfers())
        .with_v3_and_below_producer_id(ProducerId(1 << 40))
        .with_v3_and_below_producer_epoch(3)
        .with_v3_and_below_topics(vec![orders.clone(), orders])
}

fn add_offsets_to_txn() -> AddOffsetsToTxnRequest {
    AddOffsetsToTxnRequest::default()
        .with_transactional_id(transfers())
        .with_producer_id(ProducerId(1 << 40))
        .with_producer_epoch(3)
        .with_group_id(GroupId(text("billing")))
}

fn end_txn() -> EndTxnRequest {
    EndTxnRequest::default()
        .with_transactional_id(transfers())
        .with_producer_id(ProducerId(1 << 40))
        .with_producer_epoch(3)
        .with_committed(true)
}

fn write_txn_markers() -> WriteTxnMarkersRequest {
    let orders = WritableTxnMarkerTopic::default().with_name(topic("orders")).with_partition_indexes(vec![0, 7]);
    let marker = WritableTxnMarker::default()
        .with_producer_id(ProducerId(1 << 40))
        .with_producer_epoch(3)
        .with_transaction_result(true)
        .with_topics(vec![orders.clone(), orders])
        .with_coordinator_epoch(5);
    WriteTxnMarkersRequest::default().with_markers(vec![marker.clone(), marker])
}

fn txn_offset_commit(version: i16) -> TxnOffsetCommitRequest {
    let partition = TxnOffsetCommitRequestPartition::default()
        .with_partition_index(2)
        .with_committed_offset(1 << 40)
        .with_committed_leader_epoch(if version >= 2 { 70_000 } else { -1 })
        .with_committed_metadata(Some(text("half way")));
    let orders = TxnOffsetCommitRequestTopic::default()
        .with_name(topic("orders"))
        .with_partitions(vec![partition.clone(), partition]);
    let request = TxnOffsetCommitRequest::default()
        .with_transactional_id(transfers())
        .with_group_id(GroupId(text("billing")))
        .with_producer_id(ProducerId(1 << 40))
        .with_producer_epoch(3)
        .with_topics(vec![orders.clone(), orders]);
    if version < 3 {
        return request;
    }
    request.with_generation_id(4).with_member_id(text("member-1")).with_group_instance_id(Some(text("static-1")))
}

fn describe_producers() -> DescribeProducersRequest {
    let orders = DescribedTopic::default().with_name(topic("orders")).with_partition_indexes(vec![0, 7]);
    DescribeProducersRequest::default().with_topics(vec![orders.clone(), orders])
}

fn describe_transactions() -> DescribeTransactionsRequest {
    DescribeTransactionsRequest::default().with_transactional_ids(vec![transfers(), transfers()])
}

fn list_config_resources(version: i16) -> ListConfigResourcesRequest {
    ListConfigResourcesRequest::default().with_resource_types(if version >= 1 { vec![2, 32] } else { Vec::new() })
}

fn list_transactions(version: i16) -> ListTransactionsRequest {
    ListTransactionsRequest::default()
        .with_state_filters(vec![text("Ongoing"), text("PrepareCommit")])
        .with_producer_id_filters(vec![ProducerId(1), ProducerId(1 << 40)])
        .with_duration_filter(if version >= 1 { 60_000 } else { -1 })
        .with_transactional_id_pattern((version >= 2).then(|| text("transfers-.*")))
}
