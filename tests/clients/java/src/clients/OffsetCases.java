package clients;

import static clients.Report.equal;
import static clients.Report.refused;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.errors.OffsetOutOfRangeException;

/** ListOffsets and DeleteRecords through the admin client and the consumer. */
final class OffsetCases {
    private static final long T = Records.FIRST_TIMESTAMP;

    private final Broker broker;

    OffsetCases(Broker broker) {
        this.broker = broker;
    }

    void run(Report report) {
        report.run("list-offsets", this::listOffsets);
        for (String codec : Exchange.CODECS) report.run("list-offsets-in-one-batch-" + codec, () -> inOneBatch(codec));
        report.run("list-offsets-of-empty-partition", this::emptyPartition);
        report.run("list-offsets-of-unknown-partition", this::unknownPartition);
        report.run("delete-records", this::deleteRecords);
    }

    private ListOffsetsResultInfo offset(String topic, OffsetSpec spec) throws Exception {
        TopicPartition place = new TopicPartition(topic, 0);
        return broker.admin.listOffsets(Map.of(place, spec)).partitionResult(place).get();
    }

    /** Sends one record a timestamp, each in a batch of its own. */
    private void sendTimes(String topic, long... times) throws Exception {
        for (long time : times) broker.send(List.of(Broker.toSend(topic, 0, T + time, null, "t" + time)));
    }

    private void expect(String topic, OffsetSpec spec, long offset, long timestamp) throws Exception {
        ListOffsetsResultInfo found = offset(topic, spec);
        equal(found.offset(), offset, "offset of " + spec.getClass().getSimpleName());
        equal(found.timestamp(), timestamp, "timestamp of " + spec.getClass().getSimpleName());
    }

    private void listOffsets() throws Exception {
        String topic = broker.topic("list-offsets", 1, Records.TOPIC_CONFIGS);
        sendTimes(topic, 50, 90, 70, 90, 10);
        expect(topic, OffsetSpec.earliest(), 0, -1);
        expect(topic, OffsetSpec.latest(), 5, -1);
        expect(topic, OffsetSpec.maxTimestamp(), 1, T + 90);
        expect(topic, OffsetSpec.forTimestamp(T), 0, T + 50);
        expect(topic, OffsetSpec.forTimestamp(T + 51), 1, T + 90);
        expect(topic, OffsetSpec.forTimestamp(T + 90), 1, T + 90);
        expect(topic, OffsetSpec.forTimestamp(T + 91), -1, -1);
        expect(topic, OffsetSpec.forTimestamp(0), 0, T + 50);
    }

    /** The answer lies inside a batch, so a compressed one must be opened to find it. */
    private void inOneBatch(String codec) throws Exception {
        String topic = broker.topic("one-batch-" + codec, 1, Records.TOPIC_CONFIGS);
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int i = 0; i < 100; i++) records.add(Broker.toSend(topic, 0, T + 10L * (i % 50), null, "in one batch " + i));
        broker.send(records, "compression.type", codec, "linger.ms", 1000, "batch.size", 1_000_000);
        for (int i = 0; i < 50; i++) {
            expect(topic, OffsetSpec.forTimestamp(T + 10L * i), i, T + 10L * i);
            if (i > 0) expect(topic, OffsetSpec.forTimestamp(T + 10L * i - 9), i, T + 10L * i);
        }
        expect(topic, OffsetSpec.forTimestamp(T + 491), -1, -1);
        expect(topic, OffsetSpec.maxTimestamp(), 49, T + 490);
    }

    private void emptyPartition() throws Exception {
        String topic = broker.topic("empty", 1, Map.of());
        expect(topic, OffsetSpec.earliest(), 0, -1);
        expect(topic, OffsetSpec.latest(), 0, -1);
        expect(topic, OffsetSpec.maxTimestamp(), -1, -1);
        expect(topic, OffsetSpec.forTimestamp(0), -1, -1);
        try (KafkaConsumer<byte[], byte[]> consumer = broker.consumer()) {
            TopicPartition place = new TopicPartition(topic, 0);
            Map<TopicPartition, Object> none = new HashMap<>();
            none.put(place, null);
            equal(consumer.offsetsForTimes(Map.of(place, 0L)), none, "offset for a time");
        }
        equal(broker.readAll(topic, 1), List.of(), "records");
    }

    private void unknownPartition() throws Exception {
        String topic = broker.topic("one-partition", 1, Map.of());
        TopicPartition missing = new TopicPartition(topic, 1);
        // The admin client takes it for a partition that may yet come, and asks until its time is up.
        ListOffsetsOptions soon = new ListOffsetsOptions().timeoutMs(1000);
        refused(ApiException.class, () -> broker.admin.listOffsets(Map.of(missing, OffsetSpec.latest()), soon).all().get());
    }

    private void deleteRecords() throws Exception {
        String topic = broker.topic("delete-records", 1, Map.of());
        broker.sendTexts(topic, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9");
        TopicPartition place = new TopicPartition(topic, 0);
        equal(deleteBefore(place, 4), 4L, "low watermark");
        equal(offset(topic, OffsetSpec.earliest()).offset(), 4L, "earliest offset");
        equal(deleteBefore(place, 2), 4L, "low watermark after a deletion below it");
        try (KafkaConsumer<byte[], byte[]> consumer = broker.consumer()) {
            consumer.assign(List.of(place));
            consumer.seekToBeginning(List.of(place));
            equal(consumer.position(place), 4L, "position of the beginning");
            equal(Broker.read(consumer, topic, 1, 4).size(), 6, "records left");
        }
        refused(OffsetOutOfRangeException.class, () -> deleteBefore(place, 11));
        equal(deleteBefore(place, -1), 10L, "low watermark after the deletion of all");
        equal(offset(topic, OffsetSpec.earliest()).offset(), 10L, "earliest offset");
        broker.sendTexts(topic, "10");
        equal(offset(topic, OffsetSpec.latest()).offset(), 11L, "latest offset");
    }

    private long deleteBefore(TopicPartition place, long offset) throws Exception {
        RecordsToDelete before = RecordsToDelete.beforeOffset(offset);
        return broker.admin.deleteRecords(Map.of(place, before)).lowWatermarks().get(place).get().lowWatermark();
    }
}
