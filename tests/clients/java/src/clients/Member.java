package clients;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.NoOffsetForPartitionException;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.UnreleasedInstanceIdException;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** A member of a group in a process of its own, driven by the suite `groups`, whose README tells options and events. */
final class Member implements ConsumerRebalanceListener {
    private static final Map<String, String> ASSIGNORS = Map.of(
        "range", "org.apache.kafka.clients.consumer.RangeAssignor",
        "roundrobin", "org.apache.kafka.clients.consumer.RoundRobinAssignor",
        "sticky", "org.apache.kafka.clients.consumer.StickyAssignor",
        "cooperative-sticky", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");

    private final Map<String, String> options;
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final BlockingQueue<String> commands = new LinkedBlockingQueue<>();
    /** Whether records were read since the last commit was asked for, or that commit failed: no client repeats an asynchronous one. */
    private boolean uncommitted;

    Member(String bootstrap, List<String> settings) {
        options = settings.stream().map(setting -> setting.split("=", 2)).collect(Collectors.toMap(pair -> pair[0], pair -> pair[1]));
        Map<String, Object> configs = new HashMap<>();
        configs.put("bootstrap.servers", bootstrap);
        configs.put("group.id", options.get("group"));
        configs.put("auto.offset.reset", options.get("reset"));
        configs.put("enable.auto.commit", options.get("commit").equals("auto"));
        configs.put("auto.commit.interval.ms", 200);
        configs.put("metadata.max.age.ms", 1000);
        configs.put("fetch.max.wait.ms", 100);
        configs.put("group.protocol", options.get("protocol"));
        if (options.get("protocol").equals("classic")) {
            configs.put("partition.assignment.strategy", ASSIGNORS.get(options.get("assignor")));
            configs.put("session.timeout.ms", options.get("session"));
            configs.put("heartbeat.interval.ms", 300);
        } else {
            configs.put("group.remote.assignor", options.get("assignor"));
        }
        if (options.containsKey("instance")) configs.put("group.instance.id", options.get("instance"));
        consumer = new KafkaConsumer<>(configs, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    /** Consumes until it is told to close or its standard input ends; the exit status. */
    int run() throws Exception {
        Thread reader = new Thread(this::readCommands);
        reader.setDaemon(true);
        reader.start();
        if (options.containsKey("pattern")) consumer.subscribe(new SubscriptionPattern(options.get("pattern")), this);
        else consumer.subscribe(Arrays.asList(options.get("topics").split(",")), this);
        try {
            for (String command = null; !"close".equals(command); command = commands.poll()) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(100));
                for (TopicPartition partition : records.partitions()) tell(partition, records.records(partition));
                uncommitted |= !records.isEmpty();
                if (uncommitted) commit();
            }
        } catch (NoOffsetForPartitionException error) {
            System.out.println("{\"event\":\"failed\",\"code\":\"NO_OFFSET\"}");
            return 1;
        } catch (UnreleasedInstanceIdException | GroupIdNotFoundException error) {
            System.out.println("{\"event\":\"failed\",\"code\":\"" + Errors.forException(error) + "\"}");
            return 1;
        } finally {
            consumer.close();
        }
        System.out.println("{\"event\":\"closed\"}");
        return 0;
    }

    private void readCommands() {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        try {
            for (String line = input.readLine(); line != null; line = input.readLine()) commands.add(line);
        } catch (IOException error) {
            System.err.println(error);
        }
        commands.add("close");
    }

    private void commit() {
        uncommitted = false;
        switch (options.get("commit")) {
            case "sync" -> {
                Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                for (TopicPartition partition : consumer.assignment()) {
                    offsets.put(partition, new OffsetAndMetadata(consumer.position(partition)));
                }
                consumer.commitSync(offsets);
                committed(offsets);
            }
            case "async" -> consumer.commitAsync((offsets, error) -> {
                if (error == null) committed(offsets);
                else uncommitted = true;
            });
            default -> { }
        }
    }

    private static void committed(Map<TopicPartition, OffsetAndMetadata> offsets) {
        String all = offsets.entrySet().stream().map(entry -> "\"" + entry.getKey() + "\":" + entry.getValue().offset())
            .collect(Collectors.joining(","));
        System.out.println("{\"event\":\"committed\",\"offsets\":{" + all + "}}");
    }

    private static void tell(TopicPartition partition, List<ConsumerRecord<byte[], byte[]>> records) {
        String values = records.stream().map(record -> "[" + record.offset() + ",\"" + new String(record.value()) + "\"]")
            .collect(Collectors.joining(","));
        System.out.println("{\"event\":\"records\",\"partition\":\"" + partition + "\",\"records\":[" + values + "]}");
    }

    private static void tell(String event, Collection<TopicPartition> partitions) {
        String names = partitions.stream().map(partition -> "\"" + partition + "\"").collect(Collectors.joining(","));
        System.out.println("{\"event\":\"" + event + "\",\"partitions\":[" + names + "]}");
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        tell("assigned", partitions);
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        tell("revoked", partitions);
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        tell("lost", partitions);
    }
}
