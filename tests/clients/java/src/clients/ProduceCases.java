package clients;

import static clients.Report.check;
import static clients.Report.equal;
import static clients.Report.refused;

import clients.Records.Stored;
import java.io.ByteArrayOutputStream;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidTimestampException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.record.TimestampType;

/** What the producer sends, and what the broker refuses of it. */
final class ProduceCases {
    private final Broker broker;

    ProduceCases(Broker broker) {
        this.broker = broker;
    }

    void run(Report report) {
        for (String codec : Exchange.CODECS) report.run("round-trip-" + codec, () -> roundTrip(codec));
        report.run("acks", this::acks);
        report.run("keys", this::keys);
        report.run("null-key-and-null-value", this::nullKeyAndValue);
        report.run("many-batches", this::manyBatches);
        report.run("many-batches-without-idempotence", this::manyBatchesPlain);
        report.run("many-partitions", this::manyPartitions);
        report.run("real-file", this::realFile);
        report.run("topic-compression", this::topicCompression);
        report.run("log-append-time", this::logAppendTime);
        report.run("invalid-timestamp", this::invalidTimestamp);
        report.run("too-large", this::tooLarge);
        report.run("keyless-record-to-compacted-topic", this::keylessToCompacted);
        report.run("unknown-topic", this::unknownTopic);
    }

    private void roundTrip(String codec) throws Exception {
        String topic = broker.name("round-trip-" + codec);
        Exchange.write(broker, topic, 2, codec);
        Exchange.verify(broker, topic, 2);
    }

    private void acks() throws Exception {
        String topic = broker.topic("acks", 1, Map.of());
        for (String level : List.of("0", "1", "all")) {
            ProducerRecord<byte[], byte[]> record = Broker.toSend(topic, 0, null, null, "acks " + level);
            RecordMetadata sent = broker.send(List.of(record), "acks", level, "enable.idempotence", false).get(0);
            equal(sent.hasOffset(), !level.equals("0"), "offset known with acks=" + level);
            awaitEnd(topic, List.of("0", "1", "all").indexOf(level) + 1);
        }
        equal(broker.texts(topic), List.of("acks 0", "acks 1", "acks all"), "values");
    }

    /** Records sent with acks=0 arrive when they arrive. */
    private void awaitEnd(String topic, long end) throws Exception {
        TopicPartition place = new TopicPartition(topic, 0);
        long deadline = System.nanoTime() + Broker.PATIENCE.toNanos();
        try (KafkaConsumer<byte[], byte[]> consumer = broker.consumer()) {
            while (consumer.endOffsets(List.of(place)).get(place) < end) {
                check(System.nanoTime() < deadline, "the end offset did not reach " + end);
                Thread.sleep(10);
            }
        }
    }

    private void keys() throws Exception {
        String topic = broker.topic("keys", Records.KEYED_PARTITIONS, Map.of());
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        int count = Records.KEY_PARTITIONS.length();
        for (int i = 0; i < 3 * count; i++) records.add(Broker.toSend(topic, null, null, "k" + i % count, "" + i));
        broker.send(records);
        List<Stored> stored = broker.readAll(topic, Records.KEYED_PARTITIONS);
        equal(stored.size(), records.size(), "records");
        for (Stored record : stored) {
            String key = new String(record.key());
            int expected = Records.KEY_PARTITIONS.charAt(Integer.parseInt(key.substring(1))) - '0';
            equal(record.partition(), expected, "partition of " + key);
        }
    }

    private void nullKeyAndValue() throws Exception {
        String topic = broker.topic("nulls", 1, Map.of());
        broker.send(List.of(Broker.toSend(topic, 0, null, null, null), Broker.toSend(topic, 0, null, "", "")));
        List<Stored> stored = broker.readAll(topic, 1);
        check(stored.get(0).key() == null && stored.get(0).value() == null, "not null: " + stored.get(0));
        check(stored.get(1).key().length == 0 && stored.get(1).value().length == 0, "not empty: " + stored.get(1));
    }

    private void manyBatches() throws Exception {
        sendManyBatches("many", "linger.ms", 0, "batch.size", 200);
    }

    private void manyBatchesPlain() throws Exception {
        sendManyBatches("many-plain", "batch.size", 200, "enable.idempotence", false, "acks", "1",
            "max.in.flight.requests.per.connection", 1);
    }

    /** Thousands of batches of a few records, pipelined: offsets follow the order of sending in every partition. */
    private void sendManyBatches(String ofCase, Object... settings) throws Exception {
        String topic = broker.topic(ofCase, 4, Map.of());
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int i = 0; i < 8000; i++) records.add(Broker.toSend(topic, i % 4, null, null, "" + i));
        List<RecordMetadata> sent = broker.send(records, settings);
        for (int i = 0; i < sent.size(); i++) equal(sent.get(i).offset(), (long) (i / 4), "offset of record " + i);
        for (Stored record : broker.readAll(topic, 4)) {
            equal(new String(record.value()), "" + (4 * record.offset() + record.partition()), "value");
        }
    }

    private void manyPartitions() throws Exception {
        String topic = broker.topic("many-partitions", 60, Map.of());
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int i = 0; i < 3000; i++) records.add(Broker.toSend(topic, i % 60, null, "k", "" + i));
        broker.send(records);
        List<Stored> stored = broker.readAll(topic, 60);
        equal(stored.size(), 3000, "records");
        for (Stored record : stored) {
            equal(new String(record.value()), "" + (60 * record.offset() + record.partition()), "value");
        }
    }

    private void realFile() throws Exception {
        String topic = broker.topic("file", 1, Records.FILE_TOPIC_CONFIGS);
        List<byte[]> lines = Records.fileLines();
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>(lines.size());
        for (byte[] line : lines) records.add(new ProducerRecord<>(topic, 0, null, line));
        broker.send(records);
        List<Stored> stored = broker.readAll(topic, 1);
        for (int i = 0; i < stored.size(); i++) equal(stored.get(i).offset(), (long) i, "offset");
        equal(digest(stored.stream().map(Stored::value).toList()), digest(lines), "sha256 of the file");
    }

    private static String digest(List<byte[]> lines) throws Exception {
        ByteArrayOutputStream file = new ByteArrayOutputStream();
        for (byte[] line : lines) {
            file.write(line);
            file.write('\n');
        }
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(file.toByteArray()));
    }

    /** A topic with a compression of its own returns what was sent, whatever the producer's compression. */
    private void topicCompression() throws Exception {
        for (String codec : List.of("uncompressed", "gzip", "zstd")) {
            String topic = broker.topic("topic-" + codec, 1, Map.of("compression.type", codec));
            for (String sent : List.of("none", "snappy")) {
                ProducerRecord<byte[], byte[]> record = Broker.toSend(topic, 0, null, "key", sent.repeat(100));
                broker.send(List.of(record, record), "compression.type", sent);
            }
            String none = "none".repeat(100), snappy = "snappy".repeat(100);
            equal(broker.texts(topic), List.of(none, none, snappy, snappy), "values in a topic of " + codec);
        }
    }

    private void logAppendTime() throws Exception {
        String topic = broker.topic("append-time", 1, Map.of("message.timestamp.type", "LogAppendTime"));
        long before = System.currentTimeMillis() - 1000;
        for (String codec : Exchange.CODECS) {
            ProducerRecord<byte[], byte[]> record = Broker.toSend(topic, 0, Records.FIRST_TIMESTAMP, null, codec);
            RecordMetadata sent = broker.send(List.of(record, record), "compression.type", codec).get(0);
            check(sent.timestamp() >= before, "the acknowledged timestamp is not the broker's: " + sent.timestamp());
        }
        try (KafkaConsumer<byte[], byte[]> consumer = broker.consumer()) {
            TopicPartition place = new TopicPartition(topic, 0);
            consumer.assign(Set.of(place));
            consumer.seek(place, 0);
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Broker.PATIENCE)) {
                equal(record.timestampType(), TimestampType.LOG_APPEND_TIME, "type of timestamp");
                check(record.timestamp() >= before, "the stored timestamp is not the broker's: " + record.timestamp());
            }
        }
        equal(broker.texts(topic).size(), 2 * Exchange.CODECS.size(), "records");
    }

    private void invalidTimestamp() throws Exception {
        String topic = broker.topic("bad-timestamp", 1, Map.of("message.timestamp.before.max.ms", "1000"));
        ProducerRecord<byte[], byte[]> old = Broker.toSend(topic, 0, Records.FIRST_TIMESTAMP, null, "old");
        refused(InvalidTimestampException.class, () -> broker.send(List.of(old)));
        broker.sendTexts(topic, "of now");
        equal(broker.texts(topic), List.of("of now"), "values");
    }

    private void tooLarge() throws Exception {
        String topic = broker.topic("too-large", 1, Map.of("max.message.bytes", "20000"));
        try (KafkaProducer<byte[], byte[]> producer = broker.producer()) {
            ProducerRecord<byte[], byte[]> large = Broker.toSend(topic, 0, null, null, "x".repeat(30_000));
            refused(RecordTooLargeException.class, () -> producer.send(large).get());
            ProducerRecord<byte[], byte[]> fitting = Broker.toSend(topic, 0, null, null, "x".repeat(19_000));
            equal(producer.send(fitting).get().offset(), 0L, "offset of the record that fits");
        }
    }

    private void keylessToCompacted() throws Exception {
        String topic = broker.topic("compacted", 1, Map.of("cleanup.policy", "compact"));
        ProducerRecord<byte[], byte[]> keyless = Broker.toSend(topic, 0, null, null, "no key");
        refused(InvalidRecordException.class, () -> broker.send(List.of(keyless)));
        broker.send(List.of(Broker.toSend(topic, 0, null, "k", "v"), Broker.toSend(topic, 0, null, "k", null)));
        equal(broker.readAll(topic, 1).size(), 2, "records");
    }

    private void unknownTopic() throws Exception {
        String topic = broker.name("never-made");
        ProducerRecord<byte[], byte[]> lost = Broker.toSend(topic, null, null, null, "lost");
        refused(TimeoutException.class, () -> broker.send(List.of(lost), "max.block.ms", 1500));
        check(!broker.admin.listTopics().names().get().contains(topic), "the topic was created by sending to it");
        ProducerRecord<byte[], byte[]> misnamed = Broker.toSend("a b", null, null, null, "lost");
        refused(InvalidTopicException.class, () -> broker.send(List.of(misnamed), "max.block.ms", 1500));
    }
}
