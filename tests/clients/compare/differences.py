"""What the broker answers otherwise than Apache Kafka, and why."""

import re


class Difference:
    """Covers what differs in the replies of an API: patterns for the case's label and the field's path."""

    def __init__(self, api, label, path, reason, ours=".*", theirs=".*"):
        self.reason = reason
        self.patterns = [re.compile(each, re.DOTALL) for each in (api, label, path, ours, theirs)]

    def covers(self, api, label, path, found, wanted):
        values = (api, label, path, repr(found), repr(wanted))
        return all(pattern.fullmatch(value) for pattern, value in zip(self.patterns, values))


# Brokers' configs that scripts/apache-kafka.sh sets, or that have other defaults for a reason.
BROKER_CONFIGS = "|".join(
    re.escape(name)
    for name in (
        "advertised.listeners",
        "controller.listener.names",
        "controller.quorum.voters",
        "listener.security.protocol.map",
        "listeners",
        "log.cleaner.dedupe.buffer.size",
        "log.dirs",
        "max.connections",
        "offsets.topic.num.partitions",
        "offsets.topic.replication.factor",
        "process.roles",
        "share.coordinator.state.topic.min.isr",
        "share.coordinator.state.topic.replication.factor",
        "transaction.state.log.min.isr",
        "transaction.state.log.num.partitions",
        "transaction.state.log.replication.factor",
    )
)

DIFFERENCES = (
    Difference(
        ".*",
        ".*",
        "(.*\\.)?(Batch(Index))?ErrorMessage",
        "what is refused is refused in words, where Apache Kafka often has none",
        ours="'<ErrorMessage>'",
        theirs="None",
    ),
    Difference(
        ".*",
        "a (partition|topic) twice|by id and by name",
        ".*\\[[^]]*\\]",
        "what is asked for twice is answered twice, by Apache Kafka once",
    ),
    # Produce
    Difference(
        "Produce",
        ".*",
        ".*LogStartOffset",
        "what is refused carries no log start offset: no client reads it there",
        ours="-1",
        theirs="0",
    ),
    Difference(
        "Produce",
        ".*",
        ".*RecordErrors\\[.\\]",
        "a batch is refused as a whole, in the words for its first wrong record",
        ours="'<nothing>'",
    ),
    Difference(
        "Produce",
        "deltas out of order|behind all of these|a leader epoch of its own",
        ".*",
        "record offsets that are not 0, 1, 2, ... are refused, where Apache Kafka stores them",
    ),
    Difference("Produce", "unknown compression", ".*ErrorCode", "said by its own code", ours="76", theirs="-1"),
    Difference(
        "Produce",
        "gzip that is none",
        ".*",
        "compressed batches are stored unseen where no setting of the topic needs them read",
    ),
    Difference(
        "Produce",
        "claimed where the client's counts",
        ".*",
        "a timestamp type that only brokers set is refused on every topic",
    ),
    Difference(
        "Produce",
        "number 5|repeated, still known",
        ".*LogAppendTimeMs",
        "a repeated batch has no append time where records have their producers' times",
    ),
    Difference(
        "Produce",
        "no epoch|a sequence at the end",
        ".*",
        "a producer id without an epoch is refused, where Apache Kafka stores it",
    ),
    # Fetch
    Difference(
        "Fetch",
        "an isolation level nobody knows",
        ".*",
        "a request that has no meaning closes the connection",
        ours=".*closed.*",
    ),
    Difference(
        "Fetch",
        "a negative limit",
        ".*",
        "a limit below zero counts as zero, which brings one batch; Kafka fails on it",
    ),
    Difference("Fetch", ".*", ".*AbortedTransactions", "none are null or an empty list", ours="None", theirs="\\[\\]"),
    Difference(
        "Fetch",
        "fetched (from a later one|beyond the end)",
        ".*",
        "diverging epochs are for followers, and there are none",
    ),
    # ListOffsets
    Difference(
        "ListOffsets",
        "an isolation level nobody knows",
        ".*",
        "counts as read_uncommitted, where Apache Kafka fails",
        theirs="-1",
    ),
    # Metadata
    Difference(
        "Metadata",
        "by .*",
        ".*",
        "topic ids mean the same in every version that has them; Apache Kafka refuses them before 12, "
        "refuses a topic with neither name nor id as its own failure, and drops names that stand beside ids",
    ),
    # Topics
    Difference(
        "CreateTopics|DescribeConfigs|AlterConfigs|IncrementalAlterConfigs",
        ".*",
        ".*write.caching\\]",
        "a config of its own",
        theirs="'<nothing>'",
    ),
    Difference(
        "CreateTopics|DescribeConfigs|AlterConfigs|IncrementalAlterConfigs",
        ".*",
        ".*min.insync.replicas\\].*",
        "eligible leader replicas (KIP-966) make it a default of the cluster in Apache Kafka",
    ),
    Difference(
        "DescribeTopicPartitions",
        "unknown.*|bad name",
        ".*AuthorizedOperations",
        "of a topic that is not there",
        ours="-2147483648",
    ),
    Difference(
        "DescribeTopicPartitions",
        "no name|from a topic (nobody has|that was not asked for)",
        ".*",
        "a missing name is an invalid one, and a cursor at a topic that is gone goes on behind it; Apache Kafka fails",
    ),
    # Versions and features
    Difference(
        "ApiVersions",
        "features",
        ".*(metadata|eligible.leader.replicas|kraft|share|streams).version\\]",
        "features that are not there",
        ours="'<nothing>'",
    ),
    # Configs
    Difference("DescribeConfigs", "the broker", f".*Configs\\[({BROKER_CONFIGS})\\].*", "set otherwise"),
    Difference(
        "DescribeConfigs",
        "client metrics",
        ".*",
        "there is no telemetry: refused as a resource without configs",
    ),
    Difference(
        "IncrementalAlterConfigs", "an unknown operation", ".*ErrorCode", "an invalid request", ours="42", theirs="-1"
    ),
    # Groups
    Difference(
        "OffsetCommit|TxnOffsetCommit",
        "(as a|of a generation).*",
        ".*ErrorCode",
        "a group that has offsets alone is no group to be a member of; Apache Kafka knows the group and not the member",
        ours="22|69",
        theirs="25",
    ),
    Difference(
        "OffsetDelete",
        "again|unknown.*|nothing of it",
        ".*",
        "a group of offsets alone is gone with the last of them",
        ours="69|'<nothing>'",
    ),
    Difference(
        "ConsumerGroupHeartbeat",
        "by a pattern",
        ".*",
        "a pattern is resolved at once, by Apache Kafka until the next heartbeat",
    ),
    # Transactions
    Difference(
        "AddPartitionsToTxn",
        "is it there, before",
        ".*ErrorCode",
        "the code of version 5 is not told in version 4",
        ours="48",
        theirs="120",
    ),
    Difference("AddOffsetsToTxn", "no group", "ErrorCode", "a group has a name", ours="42", theirs="0"),
    Difference("WriteTxnMarkers", "an old epoch", ".*ErrorCode", "said by its own code", ours="47", theirs="-1"),
    Difference(
        "ListTransactions",
        "lasting .*",
        ".*-idle\\]",
        "a transaction that is not under way lasts no time",
        ours="'<nothing>'",
    ),
)
