package clients;

import static clients.Report.check;
import static clients.Report.equal;
import static clients.Report.eventually;
import static clients.Report.refused;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.kafka.clients.admin.CreatePartitionsOptions;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.CreateTopicsResult;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicaAssignmentException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** Topics, partitions and the cluster through the admin client. */
final class TopicCases {
    private final Broker broker;

    TopicCases(Broker broker) {
        this.broker = broker;
    }

    void run(Report report) {
        report.run("describe-cluster", this::describeCluster);
        report.run("create-topic", this::createTopic);
        report.run("create-topic-by-assignment", this::createByAssignment);
        report.run("create-topic-validate-only", this::createValidateOnly);
        report.run("create-topics-one-of-many-fails", this::createSome);
        report.run("invalid-topics", this::invalidTopics);
        report.run("invalid-counts", this::invalidCounts);
        report.run("create-partitions", this::createPartitions);
        report.run("delete-topic", this::deleteTopic);
        report.run("delete-topic-by-id", this::deleteById);
        report.run("recreated-topic", this::recreatedTopic);
    }

    private TopicDescription describe(String topic) throws Exception {
        return broker.admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
    }

    private Set<String> names() throws Exception {
        return broker.admin.listTopics().names().get();
    }

    private void describeCluster() throws Exception {
        DescribeClusterResult cluster = broker.admin.describeCluster();
        Collection<Node> nodes = cluster.nodes().get();
        check(!cluster.clusterId().get().isEmpty(), "no cluster id");
        check(nodes.contains(cluster.controller().get()), "the controller is none of the brokers");
        for (Node node : nodes) check(node.port() > 0 && !node.host().isEmpty(), "no address: " + node);
    }

    private void createTopic() throws Exception {
        String topic = broker.name("create");
        CreateTopicsResult created =
            broker.admin.createTopics(List.of(new NewTopic(topic, 4, (short) 1).configs(Map.of("retention.ms", "77777"))));
        equal(created.numPartitions(topic).get(), 4, "partitions in the answer");
        equal(created.replicationFactor(topic).get(), 1, "replication factor in the answer");
        equal(created.config(topic).get().get("retention.ms").value(), "77777", "retention.ms in the answer");
        eventually(() -> names().contains(topic), true, "listed");
        TopicDescription described = describe(topic);
        equal(described.topicId(), created.topicId(topic).get(), "topic id");
        check(!described.topicId().equals(Uuid.ZERO_UUID), "the topic id is zero");
        equal(described.partitions().stream().map(TopicPartitionInfo::partition).toList(), List.of(0, 1, 2, 3), "partitions");
        for (TopicPartitionInfo partition : described.partitions()) {
            equal(partition.replicas(), List.of(partition.leader()), "replicas");
            equal(partition.isr(), List.of(partition.leader()), "in-sync replicas");
        }
        TopicCollection byId = TopicCollection.ofTopicIds(List.of(described.topicId()));
        equal(broker.admin.describeTopics(byId).allTopicIds().get().get(described.topicId()).name(), topic, "name by id");
        NewTopic byDefaults = new NewTopic(broker.name("defaults"), Optional.empty(), Optional.empty());
        broker.admin.createTopics(List.of(byDefaults)).all().get();
        eventually(() -> describe(byDefaults.name()).partitions().isEmpty(), false, "no partitions by default");
        refused(TopicExistsException.class, () -> broker.create(topic, 1, Map.of()));
    }

    private void createByAssignment() throws Exception {
        int id = broker.admin.describeCluster().nodes().get().iterator().next().id();
        NewTopic assigned = new NewTopic(broker.name("assigned"), Map.of(0, List.of(id), 1, List.of(id)));
        broker.admin.createTopics(List.of(assigned)).all().get();
        eventually(() -> describe(assigned.name()).partitions().size(), 2, "partitions");
        NewTopic elsewhere = new NewTopic(broker.name("elsewhere"), Map.of(0, List.of(id + 1000)));
        refused(InvalidReplicaAssignmentException.class, () -> broker.admin.createTopics(List.of(elsewhere)).all().get());
    }

    private void createValidateOnly() throws Exception {
        String topic = broker.name("validated");
        CreateTopicsOptions validateOnly = new CreateTopicsOptions().validateOnly(true);
        broker.admin.createTopics(List.of(new NewTopic(topic, 2, (short) 1)), validateOnly).all().get();
        check(!names().contains(topic), "validation created the topic");
        NewTopic bad = new NewTopic(topic, 2, (short) 100);
        refused(InvalidReplicationFactorException.class, () -> broker.admin.createTopics(List.of(bad), validateOnly).all().get());
    }

    private void createSome() throws Exception {
        String good = broker.name("some-good"), bad = broker.name("some-bad");
        CreateTopicsResult created = broker.admin.createTopics(List.of(new NewTopic(good, 1, (short) 1), new NewTopic(bad, 1, (short) 9)));
        created.values().get(good).get();
        refused(InvalidReplicationFactorException.class, () -> created.values().get(bad).get());
        eventually(() -> names().contains(good), true, "the valid topic is listed");
        check(!names().contains(bad), "the refused topic exists");
    }

    private void invalidTopics() throws Exception {
        for (String name : List.of("", ".", "..", "a b", "a/b", "ü", "x".repeat(250))) {
            refused(InvalidTopicException.class, () -> broker.create(name, 1, Map.of()));
        }
        String dots = broker.topic("same.metric", 1, Map.of());
        refused(InvalidTopicException.class, () -> broker.create(dots.replace('.', '_'), 1, Map.of()));
        String longest = (broker.name("longest") + "x".repeat(249)).substring(0, 249);
        broker.create(longest, 1, Map.of());
        broker.admin.deleteTopics(List.of(longest)).all().get();
        refused(UnknownTopicOrPartitionException.class, () -> describe(broker.name("never-made")));
    }

    private void invalidCounts() throws Exception {
        String topic = broker.name("invalid-counts");
        NewTopic manyReplicas = new NewTopic(topic, 1, (short) 100);
        refused(InvalidReplicationFactorException.class, () -> broker.admin.createTopics(List.of(manyReplicas)).all().get());
        NewTopic noReplicas = new NewTopic(topic, 1, (short) 0);
        refused(InvalidReplicationFactorException.class, () -> broker.admin.createTopics(List.of(noReplicas)).all().get());
        refused(InvalidPartitionsException.class, () -> broker.create(topic, 0, Map.of()));
        refused(InvalidConfigurationException.class, () -> broker.create(topic, 1, Map.of("no.such.config", "1")));
        refused(InvalidConfigurationException.class, () -> broker.create(topic, 1, Map.of("retention.ms", "soon")));
        refused(InvalidConfigurationException.class, () -> broker.create(topic, 1, Map.of("max.message.bytes", "-1")));
        check(!names().contains(topic), "a refused topic exists");
    }

    private void createPartitions() throws Exception {
        String topic = broker.topic("partitions", 2, Map.of());
        broker.sendTexts(topic, "stays");
        CreatePartitionsOptions validateOnly = new CreatePartitionsOptions().validateOnly(true);
        broker.admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(9)), validateOnly).all().get();
        equal(describe(topic).partitions().size(), 2, "partitions after validation");
        increase(topic, 5);
        eventually(() -> describe(topic).partitions().size(), 5, "partitions");
        broker.send(List.of(Broker.toSend(topic, 4, null, null, "new")));
        equal(broker.readAll(topic, 5).size(), 2, "records");
        refused(InvalidPartitionsException.class, () -> increase(topic, 5));
        refused(InvalidPartitionsException.class, () -> increase(topic, 3));
        refused(UnknownTopicOrPartitionException.class, () -> increase(broker.name("never-made"), 3));
    }

    private void increase(String topic, int total) throws Exception {
        broker.admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(total))).all().get();
    }

    private void deleteTopic() throws Exception {
        String topic = broker.topic("delete", 3, Map.of());
        broker.sendTexts(topic, "gone");
        broker.admin.deleteTopics(List.of(topic)).all().get();
        eventually(() -> names().contains(topic), false, "listed");
        refused(UnknownTopicOrPartitionException.class, () -> describe(topic));
        refused(UnknownTopicOrPartitionException.class, () -> broker.admin.deleteTopics(List.of(topic)).all().get());
    }

    private void deleteById() throws Exception {
        String topic = broker.topic("delete-by-id", 1, Map.of());
        TopicCollection id = TopicCollection.ofTopicIds(List.of(describe(topic).topicId()));
        broker.admin.deleteTopics(id).all().get();
        eventually(() -> names().contains(topic), false, "listed");
        refused(UnknownTopicIdException.class, () -> broker.admin.deleteTopics(id).all().get());
    }

    private void recreatedTopic() throws Exception {
        String topic = broker.topic("recreated", 1, Map.of());
        Uuid first = describe(topic).topicId();
        broker.sendTexts(topic, "first life");
        broker.admin.deleteTopics(List.of(topic)).all().get();
        broker.create(topic, 1, Map.of());
        check(!describe(topic).topicId().equals(first), "the new topic has the old id");
        broker.sendTexts(topic, "second life");
        equal(broker.texts(topic), List.of("second life"), "values");
    }
}
