package clients;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.serialization.StringSerializer;

/** A transactional producer in a process of its own, driven by the suite `transactions`: each command is answered with a line. */
final class Transactor {
    private final KafkaProducer<String, String> producer;
    private final List<Future<RecordMetadata>> sent = new ArrayList<>();

    Transactor(String bootstrap, String transactionalId, int timeoutMs) {
        producer = new KafkaProducer<>(Map.of(
            "bootstrap.servers", bootstrap,
            "transactional.id", transactionalId,
            "transaction.timeout.ms", timeoutMs,
            "delivery.timeout.ms", 60_000,
            "max.block.ms", 60_000), new StringSerializer(), new StringSerializer());
    }

    int run() throws Exception {
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) System.out.println(answer(line.split(" ")));
        return 0;
    }

    private String answer(String[] words) throws Exception {
        try {
            execute(words);
            return "ok";
        } catch (Exception error) {
            Throwable cause = error;
            while (cause != null) {
                if (cause instanceof ProducerFencedException || cause instanceof InvalidProducerEpochException) return "fenced";
                cause = cause.getCause();
            }
            return "error " + error;
        }
    }

    private void execute(String[] words) throws Exception {
        switch (words[0]) {
            case "init" -> producer.initTransactions();
            case "begin" -> {
                sent.clear();
                producer.beginTransaction();
            }
            case "send" -> sent.add(producer.send(new ProducerRecord<>(words[1], Integer.valueOf(words[2]), null, words[3])));
            case "flush" -> flush();
            case "offsets" -> producer.sendOffsetsToTransaction(
                Map.of(new TopicPartition(words[2], Integer.parseInt(words[3])), new OffsetAndMetadata(Long.parseLong(words[4]))),
                new ConsumerGroupMetadata(words[1]));
            case "commit" -> producer.commitTransaction();
            case "abort" -> producer.abortTransaction();
            default -> throw new IllegalArgumentException(words[0]);
        }
    }

    private void flush() throws InterruptedException, ExecutionException {
        producer.flush();
        for (Future<RecordMetadata> future : sent) future.get();
    }
}
