package frameworks;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.kafka.annotation.EnableKafka;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.config.ConcurrentKafkaListenerContainerFactory;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.listener.ContainerProperties.AckMode;
import org.springframework.kafka.listener.DefaultErrorHandler;
import org.springframework.kafka.listener.DeadLetterPublishingRecoverer;
import org.springframework.kafka.support.Acknowledgment;
import org.springframework.util.backoff.FixedBackOff;

/**
 * An application of Spring Kafka: a listener in three threads that acknowledges each record itself and answers it to another
 * topic, and one for batches. Its settings are the system properties bootstrap, group, input, output. What it cannot digest
 * ("poison") goes to the dead letter topic after two more tries. It lives until its standard input ends.
 */
@Configuration
@EnableKafka
public class Listener {
    private static final String BOOTSTRAP = System.getProperty("bootstrap");

    @Bean
    KafkaTemplate<String, String> template() {
        return new KafkaTemplate<>(new DefaultKafkaProducerFactory<>(
            Map.of("bootstrap.servers", BOOTSTRAP), new StringSerializer(), new StringSerializer()));
    }

    private static ConcurrentKafkaListenerContainerFactory<String, String> factory(String group) {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", BOOTSTRAP);
        settings.put("group.id", group);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", false);
        settings.put("session.timeout.ms", 6000);
        settings.put("heartbeat.interval.ms", 500);
        ConcurrentKafkaListenerContainerFactory<String, String> factory = new ConcurrentKafkaListenerContainerFactory<>();
        factory.setConsumerFactory(
            new DefaultKafkaConsumerFactory<>(settings, new StringDeserializer(), new StringDeserializer()));
        return factory;
    }

    @Bean
    ConcurrentKafkaListenerContainerFactory<String, String> single(KafkaTemplate<String, String> template) {
        ConcurrentKafkaListenerContainerFactory<String, String> factory = factory(System.getProperty("group"));
        factory.setConcurrency(3);
        factory.getContainerProperties().setAckMode(AckMode.MANUAL_IMMEDIATE);
        DefaultErrorHandler handler = new DefaultErrorHandler(new DeadLetterPublishingRecoverer(template), new FixedBackOff(50, 2));
        handler.setCommitRecovered(true);  // nobody else acknowledges a record that became a dead letter
        factory.setCommonErrorHandler(handler);
        return factory;
    }

    @Bean
    ConcurrentKafkaListenerContainerFactory<String, String> batches() {
        ConcurrentKafkaListenerContainerFactory<String, String> factory = factory(System.getProperty("group") + "-batches");
        factory.setBatchListener(true);
        return factory;
    }

    @Bean
    Work work(KafkaTemplate<String, String> template) {
        return new Work(template);
    }

    static class Work {
        private final KafkaTemplate<String, String> template;

        Work(KafkaTemplate<String, String> template) {
            this.template = template;
        }

        @KafkaListener(topics = "#{systemProperties['input']}", containerFactory = "single")
        void one(ConsumerRecord<String, String> record, Acknowledgment acknowledgment) throws Exception {
            if (record.value().equals("poison")) throw new IllegalStateException("this record cannot be digested");
            template.send(System.getProperty("output"), record.key(), record.value().toUpperCase()).get();
            acknowledgment.acknowledge();
        }

        @KafkaListener(topics = "#{systemProperties['input']}", containerFactory = "batches")
        void many(List<ConsumerRecord<String, String>> records) {
            for (ConsumerRecord<String, String> record : records) {
                System.out.println("batch " + record.partition() + " " + record.offset());
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        try (AnnotationConfigApplicationContext context = new AnnotationConfigApplicationContext(Listener.class)) {
            System.out.println("started " + context.getBeanDefinitionCount());
            while (System.in.read() >= 0) { }
        }
        System.out.println("closed");
        System.exit(0);
    }
}
