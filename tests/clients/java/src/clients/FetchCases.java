package clients;

import static clients.Report.check;
import static clients.Report.equal;
import static clients.Report.refused;

import clients.Records.Stored;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.NoOffsetForPartitionException;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/** Positions, limits and waiting of the consumer with assigned partitions. */
final class FetchCases {
    private static final int HOLD_MS = 10_000;
    private static final long FAR_OFFSET = 1_000_000;

    private final Broker broker;

    FetchCases(Broker broker) {
        this.broker = broker;
    }

    void run(Report report) {
        report.run("offset-out-of-range", this::outOfRange);
        report.run("offset-reset", this::reset);
        report.run("seek-and-pause", this::seekAndPause);
        report.run("small-fetch-limits", this::smallLimits);
        report.run("read-committed", this::readCommitted);
        report.run("held-fetch", this::heldFetch);
        report.run("fetch-min-bytes", this::minBytes);
        report.run("partition-added-to-session", this::addedPartition);
    }

    /** The first record a consumer of these settings gets when it starts at the offset, or at none if that is negative. */
    private Stored first(String topic, long offset, Object... settings) {
        try (KafkaConsumer<byte[], byte[]> consumer = broker.consumer(settings)) {
            TopicPartition place = new TopicPartition(topic, 0);
            consumer.assign(List.of(place));
            if (offset >= 0) consumer.seek(place, offset);
            return Broker.stored(consumer.poll(Broker.PATIENCE).iterator().next());
        }
    }

    private void outOfRange() throws Exception {
        String topic = broker.topic("range", 1, Map.of());
        broker.sendTexts(topic, "only");
        OffsetOutOfRangeException error = refused(OffsetOutOfRangeException.class, () -> first(topic, FAR_OFFSET));
        equal(error.offsetOutOfRangePartitions(), Map.of(new TopicPartition(topic, 0), FAR_OFFSET), "partitions");
        refused(NoOffsetForPartitionException.class, () -> first(topic, -1));
    }

    private void reset() throws Exception {
        String topic = broker.topic("reset", 1, Map.of());
        broker.send(List.of(Broker.toSend(topic, 0, Records.FIRST_TIMESTAMP, null, "old")));
        broker.sendTexts(topic, "new");
        equal(new String(first(topic, FAR_OFFSET, "auto.offset.reset", "earliest").value()), "old", "earliest");
        equal(new String(first(topic, FAR_OFFSET, "auto.offset.reset", "by_duration:PT1H").value()), "new", "by duration");
        try (KafkaConsumer<byte[], byte[]> consumer = broker.consumer("auto.offset.reset", "latest")) {
            TopicPartition place = new TopicPartition(topic, 0);
            consumer.assign(List.of(place));
            equal(consumer.position(place), 2L, "latest");
        }
    }

    private void seekAndPause() throws Exception {
        String topic = broker.topic("seek", 2, Map.of());
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int i = 0; i < 200; i++) records.add(Broker.toSend(topic, i % 2, null, null, "" + i));
        broker.send(records);
        TopicPartition even = new TopicPartition(topic, 0), odd = new TopicPartition(topic, 1);
        try (KafkaConsumer<byte[], byte[]> consumer = broker.consumer("max.poll.records", 1000)) {
            consumer.assign(List.of(even, odd));
            consumer.seekToBeginning(List.of(even, odd));
            consumer.pause(List.of(odd));
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Broker.PATIENCE)) {
                equal(record.partition(), 0, "partition");
            }
            consumer.seek(odd, 50);
            consumer.resume(List.of(odd));
            consumer.pause(List.of(even));
            equal(consumer.poll(Broker.PATIENCE).iterator().next().offset(), 50L, "offset after the seek");
            consumer.seekToEnd(List.of(even));
            equal(consumer.position(even), 100L, "position of the end");
        }
    }

    /** A record larger than every limit is returned all the same (KIP-74), so the consumer gets on. */
    private void smallLimits() throws Exception {
        String topic = broker.topic("limits", 2, Records.TOPIC_CONFIGS);
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int i = 0; i < 40; i++) {
            records.add(Broker.toSend(topic, i % 2, null, "" + i, "x".repeat(i % 5 == 0 ? 300_000 : 100)));
        }
        broker.send(records, "batch.size", 0);
        List<Stored> stored = broker.readAll(topic, 2, "fetch.max.bytes", 2000, "max.partition.fetch.bytes", 1000);
        equal(stored.size(), 40, "records");
        for (Stored record : stored) equal(new String(record.key()), "" + (2 * record.offset() + record.partition()), "key");
    }

    private void readCommitted() throws Exception {
        String topic = broker.topic("committed", 1, Map.of());
        broker.sendTexts(topic, "0", "1", "2");
        equal(broker.readAll(topic, 1, "isolation.level", "read_committed").size(), 3, "records");
    }

    /** As `first`, with the milliseconds until it came; the consumer's close is not waited for (a fetch may be held). */
    private long waitForFirst(String expected, String topic, long offset, Object... settings) {
        KafkaConsumer<byte[], byte[]> consumer = broker.consumer(settings);
        try {
            TopicPartition place = new TopicPartition(topic, 0);
            consumer.assign(List.of(place));
            consumer.seek(place, offset);
            long start = System.nanoTime();
            equal(new String(consumer.poll(Broker.PATIENCE).iterator().next().value()), expected, "value");
            return (System.nanoTime() - start) / 1_000_000;
        } finally {
            consumer.close(CloseOptions.timeout(Duration.ZERO));
        }
    }

    /** A fetch at the end of the log is answered by the next append, long before its own time is up. */
    private void heldFetch() throws Exception {
        String topic = broker.topic("held", 1, Map.of());
        broker.sendTexts(topic, "warm");
        CompletableFuture<Void> later = CompletableFuture.runAsync(() -> {
            try {
                broker.sendTexts(topic, "awaited");
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
        }, CompletableFuture.delayedExecutor(1, TimeUnit.SECONDS));
        long waitedMs = waitForFirst("awaited", topic, 1, "fetch.max.wait.ms", HOLD_MS);
        later.get();
        check(waitedMs < HOLD_MS / 2, "the fetch was held for " + waitedMs + " ms");
    }

    /** Less than fetch.min.bytes is held back until fetch.max.wait.ms is over; as much is not. */
    private void minBytes() throws Exception {
        String topic = broker.topic("min-bytes", 1, Map.of());
        broker.sendTexts(topic, "few bytes");
        long waitedMs = waitForFirst("few bytes", topic, 0, "fetch.min.bytes", 100_000, "fetch.max.wait.ms", 1000);
        check(waitedMs >= 900, "too few bytes were answered after " + waitedMs + " ms");
        broker.sendTexts(topic, "x".repeat(100_000));
        waitedMs = waitForFirst("few bytes", topic, 0, "fetch.min.bytes", 100_000, "fetch.max.wait.ms", HOLD_MS);
        check(waitedMs < HOLD_MS / 2, "enough bytes were held for " + waitedMs + " ms");
    }

    /** An incremental fetch session (KIP-227) goes on when partitions join and leave it. */
    private void addedPartition() throws Exception {
        String topic = broker.topic("session", 3, Map.of());
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int i = 0; i < 3; i++) records.add(Broker.toSend(topic, i, null, null, "" + i));
        broker.send(records);
        List<List<Integer>> assignments = List.of(List.of(0), List.of(0, 1), List.of(1, 2), List.of(0, 1, 2));
        try (KafkaConsumer<byte[], byte[]> consumer = broker.consumer()) {
            for (List<Integer> partitions : assignments) {
                List<TopicPartition> assigned = partitions.stream().map(p -> new TopicPartition(topic, p)).toList();
                consumer.assign(assigned);
                for (int round = 0; round < 2; round++) expectOneEach(consumer, assigned);
            }
        }
    }

    private static void expectOneEach(KafkaConsumer<byte[], byte[]> consumer, List<TopicPartition> assigned) {
        consumer.seekToBeginning(assigned);
        List<String> values = new ArrayList<>();
        long deadline = System.nanoTime() + Broker.PATIENCE.toNanos();
        while (values.size() < assigned.size()) {
            check(System.nanoTime() < deadline, "only " + values + " of " + assigned);
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                values.add(new String(record.value()));
            }
        }
        values.sort(null);
        equal(values, assigned.stream().map(place -> "" + place.partition()).toList(), "values");
    }
}
