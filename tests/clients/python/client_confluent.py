"""confluent-kafka: the Python face of librdkafka."""

import time

import confluent_kafka
from confluent_kafka import Consumer, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from records import REQUEST_BYTES_MAX, Record
from report import Refused

TIMEOUT_SECONDS = 30
MESSAGES_A_CALL = 1000

# librdkafka's own names of what Kafka's protocol calls otherwise.
CODES = {
    "MSG_SIZE_TOO_LARGE": "MESSAGE_TOO_LARGE",
    "UNKNOWN_TOPIC_OR_PART": "UNKNOWN_TOPIC_OR_PARTITION",
    "_UNKNOWN_TOPIC": "UNKNOWN_TOPIC_OR_PARTITION",
    "_UNKNOWN_PARTITION": "UNKNOWN_TOPIC_OR_PARTITION",
    "TOPIC_EXCEPTION": "INVALID_TOPIC_EXCEPTION",
}

# What a new partition may answer until its leader has taken it up.
NEW_TOPIC_CODES = ("NOT_LEADER_FOR_PARTITION", "LEADER_NOT_AVAILABLE", "UNKNOWN_TOPIC_OR_PARTITION")

CONFIG_OPERATIONS = {
    "SET": AlterConfigOpType.SET,
    "DELETE": AlterConfigOpType.DELETE,
    "APPEND": AlterConfigOpType.APPEND,
    "SUBTRACT": AlterConfigOpType.SUBTRACT,
}


def _refusal(error):
    """A KafkaError or KafkaException as Refused."""
    if isinstance(error, KafkaException):
        error = error.args[0]
    name = error.name()
    if name == "_AUTO_OFFSET_RESET" and "out of range" in error.str():
        name = "OFFSET_OUT_OF_RANGE"
    return Refused(CODES.get(name, name), error.str())


def _result(future):
    try:
        return future.result(TIMEOUT_SECONDS)
    except KafkaException as error:
        raise _refusal(error) from error


class Client:
    name = "confluent"
    seed = 2
    codecs = ("none", "gzip", "snappy", "lz4", "zstd")
    left_out = ()  # cases this client cannot express

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "logger": _Silent()})
        self.reader = self._consumer()

    def close(self):
        self.reader.close()

    def _consumer(self, **options):
        return Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "unused",  # the constructor demands one; no partition is ever subscribed or committed
                "enable.auto.commit": False,
                "enable.partition.eof": False,
                "auto.offset.reset": "error",
                "message.max.bytes": REQUEST_BYTES_MAX,
                "fetch.wait.max.ms": 100,
                **{name.replace("_", "."): value for name, value in options.items()},
            },
            logger=_Silent(),
        )

    # Administration

    def broker_ids(self):
        cluster = _result(self.admin.describe_cluster(request_timeout=TIMEOUT_SECONDS))
        return cluster.cluster_id, sorted(node.id for node in cluster.nodes)

    def create_topic(self, topic, partitions=1, configs=None, replication=1):
        new = NewTopic(topic, partitions, replication, config=configs or {})
        _result(self.admin.create_topics([new], operation_timeout=TIMEOUT_SECONDS)[topic])
        for partition in range(partitions):
            self._await_leader(topic, partition)

    def _await_leader(self, topic, partition):
        """Apache Kafka tells that a topic exists a moment before its partitions are led."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            try:
                self.reader.list_topics(topic, timeout=TIMEOUT_SECONDS)  # what librdkafka has cached may be older
                return self.watermarks(topic, partition)
            except Refused as error:
                if error.code not in NEW_TOPIC_CODES or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def delete_topic(self, topic):
        _result(self.admin.delete_topics([topic], operation_timeout=TIMEOUT_SECONDS)[topic])

    def topics(self):
        return set(self.admin.list_topics(timeout=TIMEOUT_SECONDS).topics)

    def partition_count(self, topic):
        return len(_result(self.admin.describe_topics(TopicCollection([topic]))[topic]).partitions)

    def create_partitions(self, topic, total):
        _result(self.admin.create_partitions([NewPartitions(topic, total)], operation_timeout=TIMEOUT_SECONDS)[topic])

    def topic_configs(self, topic):
        resource = ConfigResource(ResourceType.TOPIC, topic)
        entries = _result(self.admin.describe_configs([resource])[resource])
        return {name: entry.value for name, entry in entries.items()}

    def alter_configs(self, topic, operation, name, value=None):
        entry = ConfigEntry(name, value, incremental_operation=CONFIG_OPERATIONS[operation])
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        _result(self.admin.incremental_alter_configs([resource])[resource])

    def list_offset(self, topic, partition, kind):
        """The earliest, latest or max_timestamp offset, or None."""
        spec = {
            "earliest": OffsetSpec.earliest(),
            "latest": OffsetSpec.latest(),
            "max_timestamp": OffsetSpec.max_timestamp(),
        }
        place = TopicPartition(topic, partition)
        offset = _result(self.admin.list_offsets({place: spec[kind]})[place]).offset
        return offset if offset >= 0 else None

    def delete_records(self, topic, partition, before):
        place = TopicPartition(topic, partition, before)
        return _result(self.admin.delete_records([place])[place]).low_watermark

    # Producing

    def produce(self, topic, records, compression="none", acks="all", idempotent=None):
        """Sends the records and returns the (partition, offset) of each, in order."""
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "compression.type": compression,
                "acks": acks,
                "enable.idempotence": acks == "all" if idempotent is None else idempotent,
                "message.max.bytes": REQUEST_BYTES_MAX,
                "batch.size": 100_000,
                "partitioner": "murmur2_random",
                "topic.metadata.propagation.max.ms": 500,
                "message.timeout.ms": TIMEOUT_SECONDS * 1000,
                "queue.buffering.max.messages": 1_000_000,
            },
            logger=_Silent(),
        )
        positions, failures = [None] * len(records), []
        for index, record in enumerate(records):
            self._send(producer, topic, record, index, positions, failures)
        left = producer.flush(TIMEOUT_SECONDS)
        if failures:
            raise _refusal(failures[0])
        if left:
            raise Refused("TIMEOUT", f"{left} records are not acknowledged after {TIMEOUT_SECONDS} s")
        return positions

    @staticmethod
    def _send(producer, topic, record, index, positions, failures):
        def delivered(error, message):
            if error is not None:
                failures.append(error)
            else:
                positions[index] = (message.partition(), message.offset())

        chosen = {} if record.partition is None else {"partition": record.partition}
        if record.timestamp is not None:
            chosen["timestamp"] = record.timestamp
        try:
            producer.produce(
                topic, value=record.value, key=record.key, headers=list(record.headers), on_delivery=delivered, **chosen
            )
        except KafkaException as error:
            raise _refusal(error) from error
        producer.poll(0)

    # Reading

    def watermarks(self, topic, partition):
        try:
            return self.reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT_SECONDS)
        except KafkaException as error:
            raise _refusal(error) from error

    def offsets_for_times(self, topic, times):
        """{partition: timestamp} to {partition: first offset at or after it, or None}."""
        places = [TopicPartition(topic, partition, timestamp) for partition, timestamp in times.items()]
        found = self.reader.offsets_for_times(places, timeout=TIMEOUT_SECONDS)
        return {place.partition: place.offset if place.offset >= 0 else None for place in found}

    def read(self, topic, starts, **options):
        """{partition: offset} to the records from there to the end, in the order of partition and offset."""
        left = {partition: self.watermarks(topic, partition)[1] - offset for partition, offset in starts.items()}
        consumer = self._consumer(**options) if options else self.reader
        consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in starts.items()])
        records, deadline = [], time.monotonic() + TIMEOUT_SECONDS
        while any(count > 0 for count in left.values()):
            if time.monotonic() > deadline:
                raise Refused("TIMEOUT", f"records not read in {TIMEOUT_SECONDS} s: {left}")
            for message in consumer.consume(MESSAGES_A_CALL, timeout=0.1):
                record = _record(message)
                left[record.partition] -= 1
                records.append(record)
        consumer.unassign()
        if options:
            consumer.close()
        return sorted(records, key=lambda record: (record.partition, record.offset))

    def read_one(self, topic, partition, offset, wait_seconds):
        """The next record from `offset`, with a fetch that the broker may hold back for `wait_seconds`."""
        consumer = self._consumer(fetch_wait_max_ms=wait_seconds * 1000)
        consumer.assign([TopicPartition(topic, partition, offset)])
        try:
            message = consumer.poll(wait_seconds + TIMEOUT_SECONDS)
            return None if message is None else _record(message)
        finally:
            consumer.close()


def _record(message):
    if message.error() is not None:
        raise _refusal(message.error())
    return Record(
        key=message.key(),
        value=message.value(),
        headers=tuple(message.headers() or ()),
        partition=message.partition(),
        offset=message.offset(),
        timestamp=message.timestamp()[1],
    )


class _Silent:
    """librdkafka logs to standard error unless it is given a logger."""

    def log(self, *_):
        pass

    debug = info = warning = error = critical = log


VERSION = f"confluent-kafka {confluent_kafka.__version__}, librdkafka {confluent_kafka.libversion()[0]}"
