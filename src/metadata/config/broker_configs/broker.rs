//! The broker itself: its identity, network, replication, quorum, quotas and metrics.

use crate::metadata::config::definition::ConfigType::{Boolean, Class, Int, List, Long, String};
use crate::metadata::config::definition::Definition;
use crate::metadata::config::definition::Rule::{Any, AtLeast, EachOneOf, NotEmpty};
use crate::metadata::config::definition::UpdateMode::{ClusterWide, PerBroker, ReadOnly};

super::definitions! {
    "advertised.listeners", List, None, Any, ReadOnly =>
        "";
    "alter.config.policy.class.name", Class, None, Any, ReadOnly =>
        "";
    "alter.log.dirs.replication.quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly =>
        "";
    "alter.log.dirs.replication.quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly =>
        "";
    "auto.create.topics.enable", Boolean, Some("true"), Any, ReadOnly =>
        "";
    "auto.leader.rebalance.enable", Boolean, Some("true"), Any, ReadOnly =>
        "";
    "background.threads", Int, Some("10"), AtLeast(1), ClusterWide =>
        "";
    "broker.heartbeat.interval.ms", Int, Some("2000"), Any, ReadOnly =>
        "";
    "broker.id", Int, Some("-1"), Any, ReadOnly =>
        "";
    "broker.rack", String, None, Any, ReadOnly =>
        "";
    "broker.session.timeout.ms", Int, Some("9000"), Any, ReadOnly =>
        "";
    "client.quota.callback.class", Class, None, Any, ReadOnly =>
        "";
    "config.providers", List, Some(""), Any, ClusterWide =>
        "";
    "connections.max.idle.ms", Long, Some("600000"), Any, ReadOnly =>
        "";
    "controlled.shutdown.enable", Boolean, Some("true"), Any, ReadOnly =>
        "";
    "controller.listener.names", List, None, Any, ReadOnly =>
        "";
    "controller.quorum.append.linger.ms", Int, Some("25"), AtLeast(0), ReadOnly =>
        "";
    "controller.quorum.auto.join.enable", Boolean, Some("false"), Any, ReadOnly =>
        "";
    "controller.quorum.bootstrap.servers", List, Some(""), NotEmpty, ReadOnly =>
        "";
    "controller.quorum.election.backoff.max.ms", Int, Some("1000"), AtLeast(0), ReadOnly =>
        "";
    "controller.quorum.election.timeout.ms", Int, Some("1000"), AtLeast(0), ReadOnly =>
        "";
    "controller.quorum.fetch.max.bytes", Int, Some("1048576"), AtLeast(1), ReadOnly =>
        "";
    "controller.quorum.fetch.snapshot.max.bytes", Int, Some("1048576"), AtLeast(1), ReadOnly =>
        "";
    "controller.quorum.fetch.timeout.ms", Int, Some("2000"), AtLeast(0), ReadOnly =>
        "";
    "controller.quorum.request.timeout.ms", Int, Some("2000"), AtLeast(0), ReadOnly =>
        "";
    "controller.quorum.retry.backoff.ms", Int, Some("20"), AtLeast(0), ReadOnly =>
        "";
    "controller.quorum.voters", List, Some(""), NotEmpty, ReadOnly =>
        "";
    "controller.quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly =>
        "";
    "controller.quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly =>
        "";
    "controller.socket.timeout.ms", Int, Some("30000"), Any, ReadOnly =>
        "";
    "create.topic.policy.class.name", Class, None, Any, ReadOnly =>
        "";
    "default.replication.factor", Int, Some("1"), Any, ReadOnly =>
        "";
    "delete.records.purgatory.purge.interval.requests", Int, Some("1"), Any, ReadOnly =>
        "";
    "delete.topic.enable", Boolean, Some("true"), Any, ReadOnly =>
        "";
    "early.start.listeners", List, None, Any, ReadOnly =>
        "";
    "fetch.max.bytes", Int, Some("57671680"), AtLeast(1024), ReadOnly =>
        "";
    "fetch.purgatory.purge.interval.requests", Int, Some("1000"), Any, ReadOnly =>
        "";
    "follower.fetch.last.tiered.offset.enable", Boolean, Some("false"), Any, ClusterWide =>
        "";
    "initial.broker.registration.timeout.ms", Int, Some("60000"), Any, ReadOnly =>
        "";
    "inter.broker.listener.name", String, None, Any, ReadOnly =>
        "";
    "kafka.metrics.polling.interval.secs", Int, Some("10"), AtLeast(1), ReadOnly =>
        "";
    "kafka.metrics.reporters", List, Some(""), Any, ReadOnly =>
        "";
    "leader.imbalance.check.interval.seconds", Long, Some("300"), AtLeast(1), ReadOnly =>
        "";
    "listener.security.protocol.map", String,
        Some("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"), Any, PerBroker =>
        "";
    "listeners", List, Some("PLAINTEXT://:9092"), Any, PerBroker =>
        "";
    "max.connection.creation.rate", Int, Some("2147483647"), AtLeast(0), ClusterWide =>
        "";
    "max.connections", Int, Some("2147483647"), AtLeast(0), ClusterWide =>
        "";
    "max.connections.per.ip", Int, Some("2147483647"), AtLeast(0), ClusterWide =>
        "";
    "max.connections.per.ip.overrides", String, Some(""), Any, ClusterWide =>
        "";
    "max.incremental.fetch.session.cache.slots", Int, Some("1000"), AtLeast(0), ReadOnly =>
        "";
    "max.request.partition.size.limit", Int, Some("2000"), AtLeast(1), ReadOnly =>
        "";
    "metadata.log.dir", String, None, Any, ReadOnly =>
        "";
    "metadata.log.max.record.bytes.between.snapshots", Long, Some("20971520"), AtLeast(1), ReadOnly =>
        "";
    "metadata.log.max.snapshot.interval.ms", Long, Some("3600000"), AtLeast(0), ReadOnly =>
        "";
    "metadata.log.segment.bytes", Int, Some("1073741824"), AtLeast(8_388_608), ReadOnly =>
        "";
    "metadata.log.segment.ms", Long, Some("604800000"), Any, ReadOnly =>
        "";
    "metadata.max.idle.interval.ms", Int, Some("500"), AtLeast(0), ReadOnly =>
        "";
    "metadata.max.retention.bytes", Long, Some("104857600"), Any, ReadOnly =>
        "";
    "metadata.max.retention.ms", Long, Some("604800000"), Any, ReadOnly =>
        "";
    "metric.reporters", List, Some("org.apache.kafka.common.metrics.JmxReporter"), Any, ClusterWide =>
        "";
    "metrics.num.samples", Int, Some("2"), AtLeast(1), ReadOnly =>
        "";
    "metrics.recording.level", String, Some("INFO"), Any, ReadOnly =>
        "";
    "metrics.sample.window.ms", Long, Some("30000"), AtLeast(1), ReadOnly =>
        "";
    "node.id", Int, None, AtLeast(0), ReadOnly =>
        "";
    "num.io.threads", Int, Some("8"), AtLeast(1), ClusterWide =>
        "";
    "num.network.threads", Int, Some("3"), AtLeast(1), ClusterWide =>
        "";
    "num.replica.alter.log.dirs.threads", Int, None, Any, ReadOnly =>
        "";
    "num.replica.fetchers", Int, Some("1"), AtLeast(1), ClusterWide =>
        "";
    "process.roles", List, None, EachOneOf(&["broker", "controller"]), ReadOnly =>
        "";
    "producer.purgatory.purge.interval.requests", Int, Some("1000"), Any, ReadOnly =>
        "";
    "queued.max.request.bytes", Long, Some("-1"), Any, ReadOnly =>
        "";
    "queued.max.requests", Int, Some("500"), AtLeast(1), ReadOnly =>
        "";
    "quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly =>
        "";
    "quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly =>
        "";
    "replica.fetch.backoff.ms", Int, Some("1000"), AtLeast(0), ReadOnly =>
        "";
    "replica.fetch.max.bytes", Int, Some("1048576"), AtLeast(0), ReadOnly =>
        "";
    "replica.fetch.min.bytes", Int, Some("1"), Any, ReadOnly =>
        "";
    "replica.fetch.response.max.bytes", Int, Some("10485760"), AtLeast(0), ReadOnly =>
        "";
    "replica.fetch.wait.max.ms", Int, Some("500"), Any, ReadOnly =>
        "";
    "replica.high.watermark.checkpoint.interval.ms", Long, Some("5000"), Any, ReadOnly =>
        "";
    "replica.lag.time.max.ms", Long, Some("30000"), Any, ReadOnly =>
        "";
    "replica.selector.class", String, None, Any, ReadOnly =>
        "";
    "replica.socket.receive.buffer.bytes", Int, Some("65536"), Any, ReadOnly =>
        "";
    "replica.socket.timeout.ms", Int, Some("30000"), Any, ReadOnly =>
        "";
    "replication.quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly =>
        "";
    "replication.quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly =>
        "";
    "request.timeout.ms", Int, Some("30000"), Any, ReadOnly =>
        "";
    "socket.connection.setup.timeout.max.ms", Long, Some("30000"), Any, ReadOnly =>
        "";
    "socket.connection.setup.timeout.ms", Long, Some("10000"), Any, ReadOnly =>
        "";
    "socket.listen.backlog.size", Int, Some("50"), AtLeast(1), ReadOnly =>
        "";
    "socket.receive.buffer.bytes", Int, Some("102400"), Any, ReadOnly =>
        "";
    "socket.request.max.bytes", Int, Some("104857600"), AtLeast(1), ReadOnly =>
        "";
    "socket.send.buffer.bytes", Int, Some("102400"), Any, ReadOnly =>
        "";
    "telemetry.max.bytes", Int, Some("1048576"), AtLeast(1), ReadOnly =>
        "";
}
