"""The cases, written once against the small face that each client module gives its library (class Client)."""

import hashlib
import secrets
import threading
import time

import records
from records import Record
from report import equal, eventually, refused

RUN = secrets.token_hex(3)
HOLD_SECONDS = 10
FAR_OFFSET = 1_000_000


def topic_name(client, case):
    return f"python-{client.name}-{case}-{RUN}"


# Generated records: also what the cross-client matrix calls


def write(client, topic, seed, codec):
    """Creates the topic and sends it the generated records of the seed."""
    client.create_topic(topic, records.PARTITIONS, records.TOPIC_CONFIGS)
    generated = records.generate(seed)
    positions = client.produce(topic, generated, codec)
    equal(positions, [(record.partition, record.offset) for record in generated], "acknowledged positions")


def verify(client, topic, seed):
    """Reads a topic that holds the generated records of the seed, in every way."""
    expected = records.by_partition(records.generate(seed))
    for partition in expected:
        equal(
            client.watermarks(topic, partition),
            (0, records.COUNT_PER_PARTITION),
            f"watermarks of partition {partition}",
        )
    for start in (0, records.MIDDLE_OFFSET, records.COUNT_PER_PARTITION - 1):
        actual = client.read(topic, dict.fromkeys(expected, start))
        wanted = [record for partition in sorted(expected) for record in expected[partition][start:]]
        difference = records.first_difference(wanted, actual)
        if difference:
            raise AssertionError(f"from offset {start}: {difference}")
    verify_times(client, topic, expected)


def verify_times(client, topic, expected):
    """Asks for every timestamp there is, and for one millisecond before and after it."""
    stored = sorted({record.timestamp for partition in expected.values() for record in partition})
    for timestamp in sorted({near for exact in stored for near in (exact - 1, exact, exact + 1)}):
        wanted = {p: records.offset_for_time(partition, timestamp) for p, partition in expected.items()}
        equal(client.offsets_for_times(topic, dict.fromkeys(expected, timestamp)), wanted, f"offsets for {timestamp}")


def round_trip(client, codec):
    topic = topic_name(client, codec)
    write(client, topic, client.seed, codec)
    verify(client, topic, client.seed)


# Topics and configs


def cluster(client):
    cluster_id, brokers = client.broker_ids()
    assert cluster_id, "the cluster has no id"
    assert brokers, "the cluster has no brokers"


def topics(client):
    topic = topic_name(client, "topics")
    client.create_topic(topic, 4)
    eventually(lambda: client.partition_count(topic), 4, "partitions of the new topic")
    eventually(lambda: topic in client.topics(), True, "the new topic is listed")
    refused("TOPIC_ALREADY_EXISTS", client.create_topic, topic, 4)
    client.create_partitions(topic, 7)
    eventually(lambda: client.partition_count(topic), 7, "partitions after more were created")
    refused("INVALID_PARTITIONS", client.create_partitions, topic, 3)
    client.delete_topic(topic)
    eventually(lambda: topic in client.topics(), False, "the deleted topic is listed")
    refused("UNKNOWN_TOPIC_OR_PARTITION", client.partition_count, topic)
    refused("UNKNOWN_TOPIC_OR_PARTITION", client.delete_topic, topic)


def recreated_topic_is_empty(client):
    topic = topic_name(client, "recreated")
    for value in (b"first life", b"second life"):
        client.create_topic(topic)
        equal(client.produce(topic, [Record(value, partition=0)]), [(0, 0)], "position")
        equal([record.value for record in client.read(topic, {0: 0})], [value], "values")
        client.delete_topic(topic)


def invalid_topics(client):
    for name in ("a b", "a/b", "..", "x" * 250, "ü"):
        refused("INVALID_TOPIC_EXCEPTION", client.create_topic, name)
    longest = topic_name(client, "longest").ljust(249, "x")
    client.create_topic(longest)
    eventually(lambda: longest in client.topics(), True, "a topic with a name of 249 characters is listed")
    client.delete_topic(longest)


def invalid_counts(client):
    topic = topic_name(client, "invalid-counts")
    refused("INVALID_REPLICATION_FACTOR", client.create_topic, topic, 1, replication=100)
    refused("INVALID_PARTITIONS", client.create_topic, topic, 0)
    refused("INVALID_CONFIG", client.create_topic, topic, 1, {"no.such.config": "1"})
    refused("INVALID_CONFIG", client.create_topic, topic, 1, {"retention.ms": "soon"})
    assert topic not in client.topics(), "a refused topic exists"


def has_config(client, topic, name, value, what):
    eventually(lambda: client.topic_configs(topic)[name], value, what)


def configs(client):
    topic = topic_name(client, "configs")
    client.create_topic(topic, 1, {"retention.ms": "123456789"})
    described = client.topic_configs(topic)
    equal(described["retention.ms"], "123456789", "retention.ms as created")
    equal(described["cleanup.policy"], "delete", "cleanup.policy by default")
    client.alter_configs(topic, "SET", "max.message.bytes", "54321")
    has_config(client, topic, "max.message.bytes", "54321", "max.message.bytes as set")
    has_config(client, topic, "retention.ms", "123456789", "retention.ms stays")
    client.alter_configs(topic, "DELETE", "max.message.bytes")
    has_config(client, topic, "max.message.bytes", "1048588", "max.message.bytes after its deletion")
    client.alter_configs(topic, "APPEND", "cleanup.policy", "compact")
    has_config(client, topic, "cleanup.policy", "delete,compact", "cleanup.policy after APPEND")
    client.alter_configs(topic, "SUBTRACT", "cleanup.policy", "delete")
    has_config(client, topic, "cleanup.policy", "compact", "cleanup.policy after SUBTRACT")
    refused("INVALID_CONFIG", client.alter_configs, topic, "SET", "cleanup.policy", "shred")


def configs_of_unknown_topic(client):
    missing = topic_name(client, "missing")
    refused("UNKNOWN_TOPIC_OR_PARTITION", client.alter_configs, missing, "SET", "retention.ms", "1")
    refused("UNKNOWN_TOPIC_OR_PARTITION", client.topic_configs, missing)


# Producing


def acks(client):
    topic = topic_name(client, "acks")
    client.create_topic(topic)
    for level in ("0", "1", "all"):
        client.produce(topic, [Record(b"acks " + level.encode(), partition=0)], acks=level, idempotent=False)
        wait_for_end(client, topic, ("0", "1", "all").index(level) + 1)
    values = [record.value for record in client.read(topic, {0: 0})]
    equal(values, [b"acks 0", b"acks 1", b"acks all"], "values")


def wait_for_end(client, topic, end):
    """Records sent with acks=0 arrive when they arrive."""
    deadline = time.monotonic() + HOLD_SECONDS
    while client.watermarks(topic, 0)[1] < end:
        assert time.monotonic() < deadline, f"the log end offset did not reach {end}"
        time.sleep(0.01)


def keys(client):
    topic = topic_name(client, "keys")
    client.create_topic(topic, records.KEYED_PARTITIONS)
    count = len(records.KEY_PARTITIONS)
    sent = [Record(b"%d" % number, key=b"k%d" % (number % count)) for number in range(3 * count)]
    positions = client.produce(topic, sent)
    expected = [int(records.KEY_PARTITIONS[number % count]) for number in range(3 * count)]
    equal([partition for partition, _ in positions], expected, "partitions of the keys")
    actual = client.read(topic, dict.fromkeys(range(records.KEYED_PARTITIONS), 0))
    stored = sorted((record.partition, record.offset, record.key, record.value) for record in actual)
    wanted = sorted((p, o, record.key, record.value) for record, (p, o) in zip(sent, positions, strict=True))
    equal(stored, wanted, "stored records")


def many_batches(client):
    """Many small batches in flight keep their order, with the idempotent producer where the client has one."""
    topic = topic_name(client, "many")
    client.create_topic(topic, 4)
    sent = [Record(b"%d" % number, partition=number % 4) for number in range(8000)]
    positions = client.produce(topic, sent)
    equal(positions, [(number % 4, number // 4) for number in range(8000)], "positions")
    actual = client.read(topic, dict.fromkeys(range(4), 0))
    equal(
        [record.value for record in actual if record.partition == 3], [b"%d" % n for n in range(3, 8000, 4)], "values"
    )


def real_file(client):
    topic = topic_name(client, "file")
    client.create_topic(topic, 1, records.FILE_TOPIC_CONFIGS)
    lines = records.file_lines()
    client.produce(topic, [Record(line, partition=0) for line in lines])
    actual = client.read(topic, {0: 0})
    equal([record.offset for record in actual], list(range(len(lines))), "offsets")
    equal(digest(record.value for record in actual), digest(lines), "sha256 of the file")
    tail = client.read(topic, {0: len(lines) // 2 + 7})
    equal(digest(record.value for record in tail), digest(lines[len(lines) // 2 + 7 :]), "sha256 of the second half")


def digest(lines):
    return hashlib.sha256(b"".join(line + b"\n" for line in lines)).hexdigest()


def too_large(client):
    topic = topic_name(client, "too-large")
    client.create_topic(topic, 1, {"max.message.bytes": "20000"})
    refused("MESSAGE_TOO_LARGE", client.produce, topic, [Record(b"x" * 30_000, partition=0)])
    equal(client.produce(topic, [Record(b"x" * 19_000, partition=0)]), [(0, 0)], "position of the record that fits")


def log_append_time(client):
    topic = topic_name(client, "append-time")
    client.create_topic(topic, 1, {"message.timestamp.type": "LogAppendTime"})
    before = time.time() * 1000 - 1000
    client.produce(topic, [Record(b"now", partition=0, timestamp=records.FIRST_TIMESTAMP)])
    (record,) = client.read(topic, {0: 0})
    assert record.timestamp >= before, f"the broker's clock was not used: {record.timestamp}"


def unknown_topic(client):
    topic = topic_name(client, "unknown")
    refused(("UNKNOWN_TOPIC_OR_PARTITION", "TIMEOUT"), client.produce, topic, [Record(b"lost")])
    assert topic not in client.topics(), "the topic was created by sending to it"


# Reading


def offset_out_of_range(client):
    topic = topic_name(client, "range")
    client.create_topic(topic)
    client.produce(topic, [Record(b"only", partition=0)])
    refused("OFFSET_OUT_OF_RANGE", client.read_one, topic, 0, FAR_OFFSET, 1)
    equal(client.read_one(topic, 0, 0, 1).value, b"only", "value")


def empty_partition(client):
    topic = topic_name(client, "empty")
    client.create_topic(topic, 2)
    equal(client.watermarks(topic, 1), (0, 0), "watermarks")
    equal(client.offsets_for_times(topic, {0: 0, 1: 5}), {0: None, 1: None}, "offsets for times")
    equal(client.read(topic, {0: 0, 1: 0}), [], "records")
    equal(client.list_offset(topic, 0, "max_timestamp"), None, "offset of the largest timestamp")


def list_offsets(client):
    topic = topic_name(client, "list-offsets")
    client.create_topic(topic, 1, {"retention.ms": "-1"})
    times = (50, 90, 70, 90, 10)
    client.produce(topic, [Record(b"t", partition=0, timestamp=records.FIRST_TIMESTAMP + t) for t in times])
    equal(client.list_offset(topic, 0, "earliest"), 0, "earliest")
    equal(client.list_offset(topic, 0, "latest"), 5, "latest")
    equal(client.list_offset(topic, 0, "max_timestamp"), 1, "first offset of the largest timestamp")


def deleted_records(client):
    topic = topic_name(client, "deleted-records")
    client.create_topic(topic)
    client.produce(topic, [Record(b"%d" % number, partition=0) for number in range(10)])
    equal(client.delete_records(topic, 0, 4), 4, "low watermark")
    equal(client.watermarks(topic, 0), (4, 10), "watermarks")
    equal([record.value for record in client.read(topic, {0: 4})], [b"%d" % n for n in range(4, 10)], "values left")
    refused("OFFSET_OUT_OF_RANGE", client.read_one, topic, 0, 3, 1)
    refused("OFFSET_OUT_OF_RANGE", client.delete_records, topic, 0, 11)


def held_fetch(client):
    """A fetch at the end of the log is answered by the next append, long before its own time is up."""
    topic = topic_name(client, "held")
    client.create_topic(topic)
    client.produce(topic, [Record(b"warm", partition=0)])
    later = threading.Timer(1, client.produce, (topic, [Record(b"awaited", partition=0)]))
    start = time.monotonic()
    later.start()
    record = client.read_one(topic, 0, 1, HOLD_SECONDS)
    waited = time.monotonic() - start
    later.join()
    equal(record.value, b"awaited", "value")
    assert waited < HOLD_SECONDS / 2, f"the fetch was held for {waited:.1f} s"


CASES = {
    "cluster": cluster,
    "topics": topics,
    "recreated-topic-is-empty": recreated_topic_is_empty,
    "invalid-topics": invalid_topics,
    "invalid-counts": invalid_counts,
    "configs": configs,
    "configs-of-unknown-topic": configs_of_unknown_topic,
    "acks": acks,
    "keys": keys,
    "many-batches": many_batches,
    "real-file": real_file,
    "too-large": too_large,
    "log-append-time": log_append_time,
    "unknown-topic": unknown_topic,
    "offset-out-of-range": offset_out_of_range,
    "empty-partition": empty_partition,
    "list-offsets": list_offsets,
    "deleted-records": deleted_records,
    "held-fetch": held_fetch,
}
