package clients;

import clients.Records.Header;
import clients.Records.Stored;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The broker under test, as the Java clients see it. */
final class Broker implements AutoCloseable {
    static final Duration PATIENCE = Duration.ofSeconds(30);
    private static final Duration POLL = Duration.ofMillis(100);

    final Admin admin;
    private final String bootstrap;
    private final String run = HexFormat.of().toHexDigits(new SecureRandom().nextInt());

    Broker(String bootstrap) {
        this.bootstrap = bootstrap;
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap, "default.api.timeout.ms", (int) PATIENCE.toMillis()));
    }

    @Override
    public void close() {
        admin.close();
    }

    /** A topic name of this case in this run of the suite. */
    String name(String ofCase) {
        return "java-" + ofCase + "-" + run;
    }

    /** Creates the topic of a case and returns its name. */
    String topic(String ofCase, int partitions, Map<String, String> configs) throws Exception {
        String topic = name(ofCase);
        create(topic, partitions, configs);
        return topic;
    }

    /**
     * Returns when every partition answers, too: Apache Kafka tells that a topic exists a moment before its partitions
     * are led, and records sent at that moment were seen to expire.
     */
    void create(String topic, int partitions, Map<String, String> configs) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(configs))).all().get();
        Map<TopicPartition, OffsetSpec> ends = new HashMap<>();
        for (int p = 0; p < partitions; p++) ends.put(new TopicPartition(topic, p), OffsetSpec.latest());
        Report.eventually(() -> admin.listOffsets(ends).all().get().size(), partitions, "partitions of " + topic);
    }

    /** A producer with Kafka's defaults except for these settings (name, value, name, value, ...). */
    KafkaProducer<byte[], byte[]> producer(Object... settings) {
        Map<String, Object> configs = settings(settings);
        configs.putIfAbsent("delivery.timeout.ms", (int) PATIENCE.toMillis() + 5000);
        configs.putIfAbsent("max.request.size", Records.REQUEST_BYTES_MAX);
        return new KafkaProducer<>(configs, new ByteArraySerializer(), new ByteArraySerializer());
    }

    /** A consumer without a group, which takes no offset but the one it is told to, except for these settings. */
    KafkaConsumer<byte[], byte[]> consumer(Object... settings) {
        Map<String, Object> configs = settings(settings);
        configs.putIfAbsent("auto.offset.reset", "none");
        configs.putIfAbsent("enable.auto.commit", false);
        configs.putIfAbsent("allow.auto.create.topics", false);
        configs.putIfAbsent("default.api.timeout.ms", (int) PATIENCE.toMillis());
        configs.putIfAbsent("fetch.max.wait.ms", 50);  // close() waits for the fetch that is held at the broker
        return new KafkaConsumer<>(configs, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private Map<String, Object> settings(Object... pairs) {
        Map<String, Object> configs = new HashMap<>();
        configs.put("bootstrap.servers", bootstrap);
        for (int i = 0; i < pairs.length; i += 2) configs.put((String) pairs[i], pairs[i + 1]);
        return configs;
    }

    /** A record to send; a null partition or timestamp leaves the choice to the producer. */
    static ProducerRecord<byte[], byte[]> toSend(String topic, Integer partition, Long timestamp, String key, String value) {
        return new ProducerRecord<>(topic, partition, timestamp,
            key == null ? null : Records.bytes(key), value == null ? null : Records.bytes(value));
    }

    static ProducerRecord<byte[], byte[]> toSend(String topic, Stored record) {
        ProducerRecord<byte[], byte[]> sent =
            new ProducerRecord<>(topic, record.partition(), record.timestamp(), record.key(), record.value());
        for (Header header : record.headers()) sent.headers().add(new RecordHeader(header.name(), header.value()));
        return sent;
    }

    /** Sends all records with one producer of these settings and returns what was acknowledged, in order. */
    List<RecordMetadata> send(Collection<ProducerRecord<byte[], byte[]>> records, Object... settings) throws Exception {
        try (KafkaProducer<byte[], byte[]> producer = producer(settings)) {
            List<Future<RecordMetadata>> futures = new ArrayList<>(records.size());
            for (ProducerRecord<byte[], byte[]> record : records) futures.add(producer.send(record));
            producer.flush();
            List<RecordMetadata> acknowledged = new ArrayList<>(records.size());
            for (Future<RecordMetadata> future : futures) acknowledged.add(future.get());
            return acknowledged;
        }
    }

    /** Sends text values to partition 0 with the current time. */
    void sendTexts(String topic, String... values) throws Exception {
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (String value : values) records.add(toSend(topic, 0, null, null, value));
        send(records);
    }

    /** Everything from the given offset of each of the partitions 0 to `partitions` - 1 to the end, partition by partition. */
    static List<Stored> read(KafkaConsumer<byte[], byte[]> consumer, String topic, int partitions, long offset) {
        Map<TopicPartition, Long> starts = new LinkedHashMap<>();
        for (int partition = 0; partition < partitions; partition++) starts.put(new TopicPartition(topic, partition), offset);
        consumer.assign(starts.keySet());
        starts.forEach(consumer::seek);
        Map<TopicPartition, Long> ends = consumer.endOffsets(starts.keySet());
        List<Stored> records = new ArrayList<>();
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
            Report.check(System.nanoTime() < deadline, "not read to the end within " + PATIENCE + ": " + ends);
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) records.add(stored(record));
        }
        records.sort(Comparator.comparingInt(Stored::partition).thenComparingLong(Stored::offset));
        return records;
    }

    /** All records of a topic. */
    List<Stored> readAll(String topic, int partitions, Object... settings) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(settings)) {
            return read(consumer, topic, partitions, 0);
        }
    }

    /** All values of partition 0 as text. */
    List<String> texts(String topic) {
        return readAll(topic, 1).stream().map(record -> new String(record.value())).toList();
    }

    static Stored stored(ConsumerRecord<byte[], byte[]> record) {
        List<Header> headers = new ArrayList<>();
        record.headers().forEach(header -> headers.add(new Header(header.key(), header.value())));
        return new Stored(record.partition(), record.offset(), record.timestamp(), record.key(), record.value(), headers);
    }
}
