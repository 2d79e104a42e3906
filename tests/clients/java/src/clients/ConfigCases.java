package clients;

import static clients.Report.check;
import static clients.Report.equal;
import static clients.Report.eventually;
import static clients.Report.refused;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.clients.admin.AlterConfigsOptions;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConfigEntry.ConfigSource;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** Configs of topics and brokers through the admin client. */
final class ConfigCases {
    private final Broker broker;

    ConfigCases(Broker broker) {
        this.broker = broker;
    }

    void run(Report report) {
        report.run("describe-topic-configs", this::describeTopicConfigs);
        report.run("describe-broker-configs", this::describeBrokerConfigs);
        report.run("set-and-delete-configs", this::setAndDelete);
        report.run("append-and-subtract-configs", this::appendAndSubtract);
        report.run("invalid-configs", this::invalidConfigs);
        report.run("alter-configs-validate-only", this::validateOnly);
    }

    private static ConfigResource ofTopic(String topic) {
        return new ConfigResource(ConfigResource.Type.TOPIC, topic);
    }

    private Config describe(ConfigResource resource) throws Exception {
        DescribeConfigsOptions all = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
        return broker.admin.describeConfigs(List.of(resource), all).all().get().get(resource);
    }

    private String value(String topic, String name) throws Exception {
        return describe(ofTopic(topic)).get(name).value();
    }

    private void alter(String topic, OpType operation, String name, String value) throws Exception {
        Collection<AlterConfigOp> change = List.of(new AlterConfigOp(new ConfigEntry(name, value), operation));
        broker.admin.incrementalAlterConfigs(Map.of(ofTopic(topic), change)).all().get();
    }

    private void describeTopicConfigs() throws Exception {
        String topic = broker.topic("described", 1, Map.of("retention.ms", "123456"));
        Config described = describe(ofTopic(topic));
        Map<String, String> defaults = Map.of("cleanup.policy", "delete", "compression.type", "producer",
            "max.message.bytes", "1048588", "segment.bytes", "1073741824", "message.timestamp.type", "CreateTime",
            "min.insync.replicas", "1", "retention.bytes", "-1");
        for (Map.Entry<String, String> entry : defaults.entrySet()) {
            ConfigEntry found = described.get(entry.getKey());
            check(found != null, entry.getKey() + " is not described");
            equal(found.value(), entry.getValue(), entry.getKey());
            check(found.source() != ConfigSource.DYNAMIC_TOPIC_CONFIG, entry.getKey() + " is not the topic's own");
        }
        ConfigEntry own = described.get("retention.ms");
        equal(own.value(), "123456", "retention.ms");
        equal(own.source(), ConfigSource.DYNAMIC_TOPIC_CONFIG, "source of retention.ms");
        equal(own.isDefault(), false, "retention.ms is a default");
        equal(own.synonyms().get(0).value(), "123456", "first synonym of retention.ms");
        equal(own.type(), ConfigEntry.ConfigType.LONG, "type of retention.ms");
    }

    private void describeBrokerConfigs() throws Exception {
        int id = broker.admin.describeCluster().nodes().get().iterator().next().id();
        Config described = describe(new ConfigResource(ConfigResource.Type.BROKER, Integer.toString(id)));
        for (String name : List.of("message.max.bytes", "log.retention.ms", "num.partitions", "auto.create.topics.enable")) {
            check(described.get(name) != null, name + " is not described");
        }
    }

    private void setAndDelete() throws Exception {
        String topic = broker.topic("altered", 1, Map.of("retention.ms", "123456"));
        alter(topic, OpType.SET, "max.message.bytes", "54321");
        eventually(() -> value(topic, "max.message.bytes"), "54321", "max.message.bytes");
        eventually(() -> value(topic, "retention.ms"), "123456", "retention.ms stays");
        alter(topic, OpType.DELETE, "max.message.bytes", null);
        eventually(() -> value(topic, "max.message.bytes"), "1048588", "max.message.bytes after its deletion");
        alter(topic, OpType.DELETE, "max.message.bytes", null);
        eventually(() -> value(topic, "retention.ms"), "123456", "retention.ms stays");
    }

    private void appendAndSubtract() throws Exception {
        String topic = broker.topic("lists", 1, Map.of());
        alter(topic, OpType.APPEND, "cleanup.policy", "compact");
        eventually(() -> value(topic, "cleanup.policy"), "delete,compact", "after APPEND to the default");
        alter(topic, OpType.APPEND, "cleanup.policy", "compact");
        eventually(() -> value(topic, "cleanup.policy"), "delete,compact", "after APPEND of what is there");
        alter(topic, OpType.SUBTRACT, "cleanup.policy", "delete");
        eventually(() -> value(topic, "cleanup.policy"), "compact", "after SUBTRACT");
        alter(topic, OpType.SUBTRACT, "cleanup.policy", "delete");
        eventually(() -> value(topic, "cleanup.policy"), "compact", "after SUBTRACT of what is not there");
        refused(InvalidConfigurationException.class, () -> alter(topic, OpType.APPEND, "retention.ms", "1"));
        refused(InvalidConfigurationException.class, () -> alter(topic, OpType.SUBTRACT, "retention.ms", "1"));
    }

    private void invalidConfigs() throws Exception {
        String topic = broker.topic("invalid-configs", 1, Map.of());
        refused(InvalidConfigurationException.class, () -> alter(topic, OpType.SET, "no.such.config", "1"));
        refused(InvalidConfigurationException.class, () -> alter(topic, OpType.SET, "retention.ms", "soon"));
        refused(InvalidConfigurationException.class, () -> alter(topic, OpType.SET, "cleanup.policy", "shred"));
        refused(InvalidConfigurationException.class, () -> alter(topic, OpType.SET, "compression.type", "brotli"));
        String missing = broker.name("never-made");
        refused(UnknownTopicOrPartitionException.class, () -> alter(missing, OpType.SET, "retention.ms", "1"));
        refused(UnknownTopicOrPartitionException.class, () -> describe(ofTopic(missing)));
    }

    private void validateOnly() throws Exception {
        String topic = broker.topic("alter-validated", 1, Map.of());
        Collection<AlterConfigOp> change = List.of(new AlterConfigOp(new ConfigEntry("retention.ms", "5"), OpType.SET));
        AlterConfigsOptions validateOnly = new AlterConfigsOptions().validateOnly(true);
        broker.admin.incrementalAlterConfigs(Map.of(ofTopic(topic), change), validateOnly).all().get();
        eventually(() -> value(topic, "retention.ms"), "604800000", "retention.ms");
    }
}
