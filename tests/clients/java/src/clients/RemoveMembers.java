package clients;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupResult;
import org.apache.kafka.common.KafkaFuture;

/**
 * <pre>
 * --bootstrap-server HOST:PORT GROUP INSTANCE...      removes static members from a group
 * --bootstrap-server HOST:PORT GROUP                  removes all members
 * </pre>
 * A tool of its own for what none of Kafka's does; it prints a line for each.
 */
public final class RemoveMembers {
    public static void main(String[] arguments) throws Exception {
        String group = arguments[2];
        List<MemberToRemove> members = Arrays.stream(arguments).skip(3).map(MemberToRemove::new).collect(Collectors.toList());
        RemoveMembersFromConsumerGroupOptions options =
            members.isEmpty() ? new RemoveMembersFromConsumerGroupOptions() : new RemoveMembersFromConsumerGroupOptions(members);
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", arguments[1]))) {
            RemoveMembersFromConsumerGroupResult result = admin.removeMembersFromConsumerGroup(group, options);
            tell("all", result.all());
            for (MemberToRemove member : members) tell(member.groupInstanceId(), result.memberResult(member));
        }
    }

    private static void tell(String what, KafkaFuture<Void> removed) throws InterruptedException {
        try {
            removed.get();
            System.out.println(what + ": removed");
        } catch (ExecutionException error) {
            System.out.println(what + ": " + error.getCause());
        }
    }

    private RemoveMembers() {}
}
