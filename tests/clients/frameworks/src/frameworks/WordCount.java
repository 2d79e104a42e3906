package frameworks;

import java.time.Duration;
import java.util.Arrays;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

/**
 * An instance of an application of Kafka Streams that counts words: BOOTSTRAP APPLICATION INPUT OUTPUT GUARANTEE DIRECTORY.
 * It lives until its standard input ends.
 */
public final class WordCount {
    private static final Duration CLOSE = Duration.ofSeconds(20);

    public static void main(String[] arguments) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("application.id", arguments[1]);
        settings.put("processing.guarantee", arguments[4]);
        settings.put("state.dir", arguments[5]);
        settings.put("commit.interval.ms", 200);
        settings.put("statestore.cache.max.bytes", 0);
        settings.put("replication.factor", 1);
        settings.put("num.stream.threads", 1);
        settings.put("session.timeout.ms", 6000);
        settings.put("heartbeat.interval.ms", 500);
        settings.put("auto.offset.reset", "earliest");
        settings.put("producer.transaction.timeout.ms", 10_000);

        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream(arguments[2], org.apache.kafka.streams.kstream.Consumed.with(Serdes.String(), Serdes.String()))
            .flatMapValues(line -> Arrays.asList(line.split(" ")))
            .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
            .count(Materialized.with(Serdes.String(), Serdes.Long()))
            .toStream()
            .mapValues(count -> Long.toString(count))
            .to(arguments[3], Produced.with(Serdes.String(), Serdes.String()));

        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        streams.setStateListener((now, before) -> System.out.println(now));
        streams.start();
        CountDownLatch ended = new CountDownLatch(1);
        Thread input = new Thread(() -> {
            try {
                while (System.in.read() >= 0) { }
            } catch (java.io.IOException error) {
                error.printStackTrace();
            }
            ended.countDown();
        });
        input.setDaemon(true);
        input.start();
        ended.await();
        System.exit(streams.close(CLOSE) ? 0 : 1);
    }

    private WordCount() {}
}
