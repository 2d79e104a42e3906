package clients;

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * <pre>
 * --bootstrap HOST:PORT                               all cases
 * --bootstrap HOST:PORT --only TEXT                   the cases whose name contains the text
 * --bootstrap HOST:PORT write TOPIC:SEED:CODEC...     sends generated records to new topics
 * --bootstrap HOST:PORT verify TOPIC:SEED...          reads them back, whoever wrote them
 * --bootstrap HOST:PORT member NAME=VALUE...          becomes a member of a group
 * --bootstrap HOST:PORT tools                         runs the command line tools it is told to
 * --bootstrap HOST:PORT transactor ID TIMEOUT_MS      becomes a transactional producer that does what it is told
 * </pre>
 */
public final class Main {
    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new HashMap<>();
        int at = 0;
        for (; at + 1 < arguments.length && arguments[at].startsWith("--"); at += 2) {
            options.put(arguments[at], arguments[at + 1]);
        }
        if (!options.containsKey("--bootstrap") || !Set.of("--bootstrap", "--only").containsAll(options.keySet())) {
            System.err.println("usage: --bootstrap HOST:PORT [--only TEXT] [write TOPIC:SEED:CODEC...|verify TOPIC:SEED...|member NAME=VALUE...|tools|transactor ID MS]");
            System.exit(2);
        }
        List<String> rest = Arrays.asList(arguments).subList(at, arguments.length);
        if (!rest.isEmpty() && rest.get(0).equals("member")) {
            System.exit(new Member(options.get("--bootstrap"), rest.subList(1, rest.size())).run());
        }
        if (!rest.isEmpty() && rest.get(0).equals("tools")) {
            ToolShell.run();
            return;
        }
        if (!rest.isEmpty() && rest.get(0).equals("transactor")) {
            System.exit(new Transactor(options.get("--bootstrap"), rest.get(1), Integer.parseInt(rest.get(2))).run());
        }
        Report report = new Report(options.getOrDefault("--only", ""));
        try (Broker broker = new Broker(options.get("--bootstrap"))) {
            System.out.println("java: kafka-clients " + AppInfoParser.getVersion());
            if (rest.isEmpty()) runCases(broker, report);
            else runVerb(broker, report, rest.get(0), rest.subList(1, rest.size()));
        }
        System.exit(report.finish());
    }

    private static void runCases(Broker broker, Report report) {
        new TopicCases(broker).run(report);
        new ConfigCases(broker).run(report);
        new ProduceCases(broker).run(report);
        new OffsetCases(broker).run(report);
        new FetchCases(broker).run(report);
    }

    private static void runVerb(Broker broker, Report report, String verb, List<String> places) {
        for (String place : places) {
            String[] parts = place.split(":");
            int seed = Integer.parseInt(parts[1]);
            report.run(verb + " " + parts[0], () -> {
                if (verb.equals("write")) Exchange.write(broker, parts[0], seed, parts[2]);
                else if (verb.equals("verify")) Exchange.verify(broker, parts[0], seed);
                else throw new IllegalArgumentException("unknown verb " + verb);
            });
        }
    }

    private Main() {}
}
