//! The broker itself: its identity, network, replication, quorum, quotas and metrics.

use crate::metadata::config::definition::ConfigType::{Boolean, Class, Int, List, Long, String};
use crate::metadata::config::definition::Definition;
use crate::metadata::config::definition::Rule::{Any, AtLeast, EachOneOf, NotEmpty};
use crate::metadata::config::definition::UpdateMode::{ClusterWide, PerBroker, ReadOnly};

super::definitions! {
    "advertised.listeners", List, None, Any, ReadOnly =>
        "Addresses that clients and other brokers are told to connect to, one a listener.";
    "alter.config.policy.class.name", Class, None, Any, ReadOnly =>
        "Java class that may refuse config alterations. No effect here.";
    "alter.log.dirs.replication.quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly =>
        "Samples kept to measure copies between log directories.";
    "alter.log.dirs.replication.quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly =>
        "Length of one sample of copies between log directories.";
    "auto.create.topics.enable", Boolean, Some("true"), Any, ReadOnly =>
        "Whether a topic is created when a client that allows it asks for one that does not exist.";
    "auto.leader.rebalance.enable", Boolean, Some("true"), Any, ReadOnly =>
        "Whether leadership goes back to preferred leaders by itself.";
    "background.threads", Int, Some("10"), AtLeast(1), ClusterWide =>
        "Threads for background work in Kafka. No effect here: a reactor does all the work of its core.";
    "broker.heartbeat.interval.ms", Int, Some("2000"), Any, ReadOnly =>
        "Pause between a broker's heartbeats to the controller.";
    "broker.id", Int, Some("-1"), Any, ReadOnly =>
        "Id of this broker; the same as node.id.";
    "broker.rack", String, None, Any, ReadOnly =>
        "Rack or availability zone of the broker; replicas are spread over racks.";
    "broker.session.timeout.ms", Int, Some("9000"), Any, ReadOnly =>
        "How long a broker stays in the cluster without a heartbeat.";
    "client.quota.callback.class", Class, None, Any, ReadOnly =>
        "Java class that computes quotas of clients. No effect here.";
    "config.providers", List, Some(""), Any, ClusterWide =>
        "Names of Java classes that look config values up elsewhere. No effect here.";
    "connections.max.idle.ms", Long, Some("600000"), Any, ReadOnly =>
        "How long a connection may stay silent before it is closed.";
    "controlled.shutdown.enable", Boolean, Some("true"), Any, ReadOnly =>
        "Whether a broker hands its leaderships over before it stops.";
    "controller.listener.names", List, None, Any, ReadOnly =>
        "Names of the listeners on which controllers are reached.";
    "controller.quorum.append.linger.ms", Int, Some("25"), AtLeast(0), ReadOnly =>
        "How long the leader of the metadata log waits for more records before it writes.";
    "controller.quorum.auto.join.enable", Boolean, Some("false"), Any, ReadOnly =>
        "Whether a controller joins the voters of the metadata log by itself.";
    "controller.quorum.bootstrap.servers", List, Some(""), NotEmpty, ReadOnly =>
        "Addresses at which a node finds the voters of the metadata log.";
    "controller.quorum.election.backoff.max.ms", Int, Some("1000"), AtLeast(0), ReadOnly =>
        "Longest pause between two tries to become leader of the metadata log.";
    "controller.quorum.election.timeout.ms", Int, Some("1000"), AtLeast(0), ReadOnly =>
        "How long a voter waits for votes before it stands for election again.";
    "controller.quorum.fetch.max.bytes", Int, Some("1048576"), AtLeast(1), ReadOnly =>
        "Most bytes one fetch from the metadata log returns, unless its first batch is larger.";
    "controller.quorum.fetch.snapshot.max.bytes", Int, Some("1048576"), AtLeast(1), ReadOnly =>
        "Most bytes one fetch of a metadata snapshot returns.";
    "controller.quorum.fetch.timeout.ms", Int, Some("2000"), AtLeast(0), ReadOnly =>
        "How long a voter of the metadata log goes without news of its leader before it calls an election.";
    "controller.quorum.request.timeout.ms", Int, Some("2000"), AtLeast(0), ReadOnly =>
        "How long a voter of the metadata log waits for an answer.";
    "controller.quorum.retry.backoff.ms", Int, Some("20"), AtLeast(0), ReadOnly =>
        "Pause before a voter of the metadata log asks again.";
    "controller.quorum.voters", List, Some(""), NotEmpty, ReadOnly =>
        "Ids and addresses of the voters of the metadata log, as id@host:port, where they are fixed.";
    "controller.quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly =>
        "Samples kept to measure how much clients change the metadata.";
    "controller.quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly =>
        "Length of one sample of how much clients change the metadata.";
    "controller.socket.timeout.ms", Int, Some("30000"), Any, ReadOnly =>
        "How long the controller waits for a broker on a connection.";
    "create.topic.policy.class.name", Class, None, Any, ReadOnly =>
        "Java class that may refuse new topics. No effect here.";
    "default.replication.factor", Int, Some("1"), Any, ReadOnly =>
        "Replicas of a topic that is created by itself, or without saying how many.";
    "delete.records.purgatory.purge.interval.requests", Int, Some("1"), Any, ReadOnly =>
        "Answered DeleteRecords requests kept before they are cleared out. No effect here.";
    "delete.topic.enable", Boolean, Some("true"), Any, ReadOnly =>
        "Whether topics can be deleted.";
    "early.start.listeners", List, None, Any, ReadOnly =>
        "Listeners that open before authorization is ready.";
    "fetch.max.bytes", Int, Some("57671680"), AtLeast(1024), ReadOnly =>
        "Most bytes one fetch returns, whatever the client asks for.";
    "fetch.purgatory.purge.interval.requests", Int, Some("1000"), Any, ReadOnly =>
        "Answered fetches kept before they are cleared out. No effect here.";
    "follower.fetch.last.tiered.offset.enable", Boolean, Some("false"), Any, ClusterWide =>
        "Whether an empty follower begins after what is tiered instead of copying it.";
    "initial.broker.registration.timeout.ms", Int, Some("60000"), Any, ReadOnly =>
        "How long a broker tries to register with the controller before it gives up starting.";
    "inter.broker.listener.name", String, None, Any, ReadOnly =>
        "Name of the listener that brokers use among themselves.";
    "kafka.metrics.polling.interval.secs", Int, Some("10"), AtLeast(1), ReadOnly =>
        "Pause between two readings of metrics by reporters of Kafka. No effect here.";
    "kafka.metrics.reporters", List, Some(""), Any, ReadOnly =>
        "Java classes that report the metrics of Kafka's broker. No effect here.";
    "leader.imbalance.check.interval.seconds", Long, Some("300"), AtLeast(1), ReadOnly =>
        "Pause between two checks whether preferred leaders lead.";
    "listener.security.protocol.map", String,
        Some("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"), Any, PerBroker =>
        "Security protocol of each listener, as name:protocol pairs.";
    "listeners", List, Some("PLAINTEXT://:9092"), Any, PerBroker =>
        "Addresses the broker listens on, each with its listener's name.";
    "max.connection.creation.rate", Int, Some("2147483647"), AtLeast(0), ClusterWide =>
        "New connections a second, over all listeners or under a listener's prefix.";
    "max.connections", Int, Some("2147483647"), AtLeast(0), ClusterWide =>
        "Connections at a time, over all listeners or under a listener's prefix.";
    "max.connections.per.ip", Int, Some("2147483647"), AtLeast(0), ClusterWide =>
        "Connections at a time from one address.";
    "max.connections.per.ip.overrides", String, Some(""), Any, ClusterWide =>
        "Connections at a time from certain addresses, as address:number pairs.";
    "max.incremental.fetch.session.cache.slots", Int, Some("1000"), AtLeast(0), ReadOnly =>
        "Fetch sessions a broker keeps.";
    "max.request.partition.size.limit", Int, Some("2000"), AtLeast(1), ReadOnly =>
        "Most partitions one DescribeTopicPartitions request is answered with.";
    "metadata.log.dir", String, None, Any, ReadOnly =>
        "Directory of the metadata log, where it is not the first of log.dirs.";
    "metadata.log.max.record.bytes.between.snapshots", Long, Some("20971520"), AtLeast(1), ReadOnly =>
        "Bytes of the metadata log after which a new snapshot of the metadata is made.";
    "metadata.log.max.snapshot.interval.ms", Long, Some("3600000"), AtLeast(0), ReadOnly =>
        "Longest time between two snapshots of the metadata while it changes; 0 sets no bound.";
    "metadata.log.segment.bytes", Int, Some("1073741824"), AtLeast(8_388_608), ReadOnly =>
        "Size at which a segment of the metadata log is closed.";
    "metadata.log.segment.ms", Long, Some("604800000"), Any, ReadOnly =>
        "Age at which a segment of the metadata log is closed.";
    "metadata.max.idle.interval.ms", Int, Some("500"), AtLeast(0), ReadOnly =>
        "Pause after which an idle controller writes a record that says nothing; 0 switches that off.";
    "metadata.max.retention.bytes", Long, Some("104857600"), Any, ReadOnly =>
        "Size of metadata log and snapshots beyond which the oldest are dropped.";
    "metadata.max.retention.ms", Long, Some("604800000"), Any, ReadOnly =>
        "Age beyond which parts of the metadata log and snapshots are dropped.";
    "metric.reporters", List, Some("org.apache.kafka.common.metrics.JmxReporter"), Any, ClusterWide =>
        "Java classes that report metrics. No effect here.";
    "metrics.num.samples", Int, Some("2"), AtLeast(1), ReadOnly =>
        "Samples kept to compute a metric in Kafka. No effect here.";
    "metrics.recording.level", String, Some("INFO"), Any, ReadOnly =>
        "Which metrics Kafka's broker records. No effect here.";
    "metrics.sample.window.ms", Long, Some("30000"), AtLeast(1), ReadOnly =>
        "Length of one sample of a metric in Kafka. No effect here.";
    "node.id", Int, None, AtLeast(0), ReadOnly =>
        "Id of this node in its cluster.";
    "num.io.threads", Int, Some("8"), AtLeast(1), ClusterWide =>
        "Threads that handle requests in Kafka. No effect here: one reactor a core does.";
    "num.network.threads", Int, Some("3"), AtLeast(1), ClusterWide =>
        "Threads that receive and send in Kafka. No effect here: one reactor a core does.";
    "num.replica.alter.log.dirs.threads", Int, None, Any, ReadOnly =>
        "Threads that move replicas between log directories in Kafka. No effect here.";
    "num.replica.fetchers", Int, Some("1"), AtLeast(1), ClusterWide =>
        "Fetchers that copy from one leader broker.";
    "process.roles", List, None, EachOneOf(&["broker", "controller"]), ReadOnly =>
        "Roles of this process: broker, controller or both.";
    "producer.purgatory.purge.interval.requests", Int, Some("1000"), Any, ReadOnly =>
        "Answered produce requests kept before they are cleared out. No effect here.";
    "queued.max.request.bytes", Long, Some("-1"), Any, ReadOnly =>
        "Bytes of requests received and not yet worked on beyond which Kafka reads no more; -1 sets no bound.";
    "queued.max.requests", Int, Some("500"), AtLeast(1), ReadOnly =>
        "Requests received and not yet worked on beyond which Kafka reads no more. No effect here.";
    "quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly =>
        "Samples kept to measure clients against their quotas.";
    "quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly =>
        "Length of one sample of what a client uses.";
    "replica.fetch.backoff.ms", Int, Some("1000"), AtLeast(0), ReadOnly =>
        "Pause of a follower after a fetch failed.";
    "replica.fetch.max.bytes", Int, Some("1048576"), AtLeast(0), ReadOnly =>
        "Bytes of one partition that a follower asks for at a time.";
    "replica.fetch.min.bytes", Int, Some("1"), Any, ReadOnly =>
        "Fewest bytes a follower's fetch waits for.";
    "replica.fetch.response.max.bytes", Int, Some("10485760"), AtLeast(0), ReadOnly =>
        "Most bytes one fetch of a follower returns.";
    "replica.fetch.wait.max.ms", Int, Some("500"), Any, ReadOnly =>
        "How long a follower's fetch waits for bytes.";
    "replica.high.watermark.checkpoint.interval.ms", Long, Some("5000"), Any, ReadOnly =>
        "Pause between two records of the high watermarks on disk.";
    "replica.lag.time.max.ms", Long, Some("30000"), Any, ReadOnly =>
        "How long a follower may lag behind before it leaves the ISR.";
    "replica.selector.class", String, None, Any, ReadOnly =>
        "Java class that chooses the replica a consumer reads from. No effect here.";
    "replica.socket.receive.buffer.bytes", Int, Some("65536"), Any, ReadOnly =>
        "Receive buffer of connections to leaders.";
    "replica.socket.timeout.ms", Int, Some("30000"), Any, ReadOnly =>
        "How long a follower waits for an answer of its leader.";
    "replication.quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly =>
        "Samples kept to measure throttled replication.";
    "replication.quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly =>
        "Length of one sample of throttled replication.";
    "request.timeout.ms", Int, Some("30000"), Any, ReadOnly =>
        "How long a broker waits for the answer to a request of its own.";
    "socket.connection.setup.timeout.max.ms", Long, Some("30000"), Any, ReadOnly =>
        "Longest time a connection to another node may take to be set up after repeated failures.";
    "socket.connection.setup.timeout.ms", Long, Some("10000"), Any, ReadOnly =>
        "How long a first connection to another node may take to be set up.";
    "socket.listen.backlog.size", Int, Some("50"), AtLeast(1), ReadOnly =>
        "Connections that may wait to be accepted.";
    "socket.receive.buffer.bytes", Int, Some("102400"), Any, ReadOnly =>
        "Receive buffer of client connections; -1 leaves it to the system.";
    "socket.request.max.bytes", Int, Some("104857600"), AtLeast(1), ReadOnly =>
        "Largest request; a larger one closes its connection.";
    "socket.send.buffer.bytes", Int, Some("102400"), Any, ReadOnly =>
        "Send buffer of client connections; -1 leaves it to the system.";
    "telemetry.max.bytes", Int, Some("1048576"), AtLeast(1), ReadOnly =>
        "Largest set of metrics a client may push.";
}
