"""kafka-python: the protocol in Python alone."""

import logging
import re
import time

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, KafkaTimeoutError, for_code
from kafka.protocol.consumer import OffsetSpec

from records import REQUEST_BYTES_MAX, Record
from report import Refused

TIMEOUT_SECONDS = 30
POLL_MS = 100
RECORDS_A_POLL = 10_000

# Where kafka-python's classes are named otherwise than Kafka's protocol.
CODES = {"MESSAGE_SIZE_TOO_LARGE": "MESSAGE_TOO_LARGE", "INVALID_TOPIC": "INVALID_TOPIC_EXCEPTION"}

logging.getLogger("kafka").setLevel(logging.CRITICAL)


def _refusal(error):
    if isinstance(error, KafkaTimeoutError):
        return Refused("TIMEOUT", str(error))
    name = getattr(error, "message", type(error).__name__)
    return Refused(CODES.get(name, name), str(error))


def _call(action, *arguments, **options):
    try:
        return action(*arguments, **options)
    except KafkaError as error:
        raise _refusal(error) from error


def _check(code):
    error = for_code(code)
    if code:
        raise _refusal(error())


class Client:
    name = "kafka-python"
    seed = 1  # it refuses to send null header values, and null values without a key
    codecs = ("none", "gzip", "snappy", "lz4", "zstd")
    left_out = ("configs-of-unknown-topic",)  # it drops the error from the answer

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        self.reader = self._consumer(POLL_MS)

    def close(self):
        self.reader.close()
        self.admin.close()

    def _consumer(self, fetch_wait_ms):
        return KafkaConsumer(
            bootstrap_servers=self.bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=fetch_wait_ms,
            allow_auto_create_topics=False,
        )

    # Administration

    def broker_ids(self):
        cluster = _call(self.admin.describe_cluster)
        return cluster["cluster_id"], sorted(broker["broker_id"] for broker in cluster["brokers"])

    def create_topic(self, topic, partitions=1, configs=None, replication=1):
        new = {topic: {"num_partitions": partitions, "replication_factor": replication, "configs": configs or {}}}
        _call(self.admin.create_topics, new)
        _call(self.admin.wait_for_topics, [topic])

    def delete_topic(self, topic):
        _call(self.admin.delete_topics, [topic])

    def topics(self):
        return set(_call(self.admin.list_topics))

    def partition_count(self, topic):
        (described,) = _call(self.admin.describe_topics, [topic])
        _check(described["error_code"])
        return len(described["partitions"])

    def create_partitions(self, topic, total):
        _call(self.admin.create_partitions, {topic: total})

    def topic_configs(self, topic):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        described = _call(self.admin.describe_configs, [resource], config_filter="all")["topic"][topic]
        return {name: entry["value"] for name, entry in described.items()}

    def alter_configs(self, topic, operation, name, value=None):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, {name: (operation, value)})
        result = _call(self.admin.alter_configs, [resource], raise_on_unknown=False)["topic"][topic]
        if result != "OK":
            # It answers with text, "[Error 40] InvalidConfigurationError: ...", instead of raising.
            raise _refusal(for_code(int(re.match(r"\[Error (\d+)\]", result)[1]))(result))

    def list_offset(self, topic, partition, kind):
        spec = {"earliest": OffsetSpec.EARLIEST, "latest": OffsetSpec.LATEST, "max_timestamp": OffsetSpec.MAX_TIMESTAMP}
        place = TopicPartition(topic, partition)
        offset = _call(self.admin.list_partition_offsets, {place: spec[kind]})[place].offset
        return offset if offset >= 0 else None

    def delete_records(self, topic, partition, before):
        place = TopicPartition(topic, partition)
        return _call(self.admin.delete_records, {place: before})[place]["low_watermark"]

    # Producing

    def produce(self, topic, records, compression="none", acks="all", idempotent=None):
        producer = KafkaProducer(
            bootstrap_servers=self.bootstrap,
            compression_type=None if compression == "none" else compression,
            acks=acks if acks == "all" else int(acks),
            enable_idempotence=acks == "all" if idempotent is None else idempotent,
            max_request_size=REQUEST_BYTES_MAX,
            linger_ms=5,
            max_block_ms=3000,
        )
        try:
            futures = [_call(self._send, producer, topic, record) for record in records]
            _call(producer.flush, TIMEOUT_SECONDS)
            sent = [_call(future.get, TIMEOUT_SECONDS) for future in futures]
        finally:
            producer.close(timeout=1)
        return [(metadata.partition, metadata.offset) for metadata in sent]

    @staticmethod
    def _send(producer, topic, record):
        return producer.send(
            topic,
            value=record.value,
            key=record.key,
            headers=list(record.headers),
            partition=record.partition,
            timestamp_ms=record.timestamp,
        )

    # Reading

    def watermarks(self, topic, partition):
        place = TopicPartition(topic, partition)
        start = _call(self.reader.beginning_offsets, [place])[place]
        return start, _call(self.reader.end_offsets, [place])[place]

    def offsets_for_times(self, topic, times):
        places = {TopicPartition(topic, partition): timestamp for partition, timestamp in times.items()}
        found = _call(self.reader.offsets_for_times, places)
        return {place.partition: None if answer is None else answer.offset for place, answer in found.items()}

    def read(self, topic, starts):
        left = {partition: self.watermarks(topic, partition)[1] - offset for partition, offset in starts.items()}
        self._assign(self.reader, topic, starts)
        records, deadline = [], time.monotonic() + TIMEOUT_SECONDS
        while any(count > 0 for count in left.values()):
            if time.monotonic() > deadline:
                raise Refused("TIMEOUT", f"records not read in {TIMEOUT_SECONDS} s: {left}")
            for batch in _call(self.reader.poll, POLL_MS, RECORDS_A_POLL).values():
                records.extend(_record(message) for message in batch)
                left[batch[0].partition] -= len(batch)
        return sorted(records, key=lambda record: (record.partition, record.offset))

    def read_one(self, topic, partition, offset, wait_seconds):
        consumer = self._consumer(wait_seconds * 1000)
        self._assign(consumer, topic, {partition: offset})
        try:
            found = _call(consumer.poll, (wait_seconds + TIMEOUT_SECONDS) * 1000, 1)
            return next((_record(message) for batch in found.values() for message in batch), None)
        finally:
            consumer.close()

    @staticmethod
    def _assign(consumer, topic, starts):
        consumer.assign([TopicPartition(topic, partition) for partition in starts])
        for partition, offset in starts.items():
            consumer.seek(TopicPartition(topic, partition), offset)


def _record(message):
    return Record(
        key=message.key,
        value=message.value,
        headers=tuple(message.headers or ()),
        partition=message.partition,
        offset=message.offset,
        timestamp=message.timestamp,
    )


VERSION = f"kafka-python {kafka.__version__}"
