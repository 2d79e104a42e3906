package clients;

import static clients.Report.check;
import static clients.Report.equal;

import clients.Records.Stored;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;

/** Writes topics of generated records and verifies them, whichever client wrote them. */
final class Exchange {
    static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");

    /** Creates the topic and sends it the generated records of the seed. */
    static void write(Broker broker, String topic, int seed, String codec) throws Exception {
        broker.create(topic, Records.PARTITIONS, Records.TOPIC_CONFIGS);
        List<Stored> generated = Records.generate(seed);
        List<ProducerRecord<byte[], byte[]>> toSend = generated.stream().map(record -> Broker.toSend(topic, record)).toList();
        List<RecordMetadata> acknowledged = broker.send(toSend, "compression.type", codec);
        for (int i = 0; i < generated.size(); i++) {
            Stored wanted = generated.get(i);
            RecordMetadata got = acknowledged.get(i);
            check(got.partition() == wanted.partition() && got.offset() == wanted.offset()
                && got.timestamp() == wanted.timestamp(), "acknowledged as " + got + ", sent as " + wanted);
        }
    }

    /** Reads a topic that holds the generated records of the seed, in every way. */
    static void verify(Broker broker, String topic, int seed) {
        List<Stored> expected = Records.generate(seed);
        try (KafkaConsumer<byte[], byte[]> consumer = broker.consumer()) {
            for (int start : new int[] {0, Records.MIDDLE_OFFSET, Records.COUNT_PER_PARTITION - 1}) {
                compareFrom(start, expected, Broker.read(consumer, topic, Records.PARTITIONS, start));
            }
            TopicPartition first = new TopicPartition(topic, 0);
            equal(consumer.beginningOffsets(List.of(first)).get(first), 0L, "beginning offset");
            equal(consumer.endOffsets(List.of(first)).get(first), (long) Records.COUNT_PER_PARTITION, "end offset");
            consumer.unsubscribe();
            compareTimes(consumer, topic, expected);
        }
    }

    private static void compareFrom(int start, List<Stored> expected, List<Stored> actual) {
        int at = 0;
        for (int partition = 0; partition < Records.PARTITIONS; partition++) {
            for (Stored wanted : Records.ofPartition(expected, partition).subList(start, Records.COUNT_PER_PARTITION)) {
                check(at < actual.size(), "from offset " + start + ": only " + at + " records, missing " + wanted);
                check(wanted.same(actual.get(at)), "from offset " + start + ": expected " + wanted + "; got " + actual.get(at));
                at++;
            }
        }
        equal(actual.size(), at, "records from offset " + start);
    }

    /** Asks for every timestamp there is, and for one millisecond before and after it. */
    private static void compareTimes(KafkaConsumer<byte[], byte[]> consumer, String topic, List<Stored> expected) {
        TreeSet<Long> times = new TreeSet<>();
        for (Stored record : expected) for (int near = -1; near <= 1; near++) times.add(record.timestamp() + near);
        for (long time : times) {
            Map<TopicPartition, Long> asked = new HashMap<>();
            for (int p = 0; p < Records.PARTITIONS; p++) asked.put(new TopicPartition(topic, p), time);
            consumer.offsetsForTimes(asked).forEach((place, found) -> compareTime(place, time, found, expected));
        }
    }

    private static void compareTime(TopicPartition place, long time, OffsetAndTimestamp found, List<Stored> expected) {
        List<Stored> partition = Records.ofPartition(expected, place.partition());
        OptionalLong wanted = Records.offsetForTime(partition, time);
        String what = "first offset of " + place + " at or after " + time;
        equal(found == null ? OptionalLong.empty() : OptionalLong.of(found.offset()), wanted, what);
        if (found != null) equal(found.timestamp(), partition.get((int) found.offset()).timestamp(), "timestamp of the " + what);
    }

    private Exchange() {}
}
