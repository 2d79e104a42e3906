"""aiokafka: asyncio's client, producing and reading; its administration covers topics only."""

import asyncio
import logging
import threading

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.errors import KafkaError, KafkaTimeoutError, OffsetOutOfRangeError, for_code

from records import REQUEST_BYTES_MAX, Record
from report import Refused

TIMEOUT_SECONDS = 30
POLL_MS = 100

CODES = {
    "MESSAGE_SIZE_TOO_LARGE": "MESSAGE_TOO_LARGE",
    "INVALID_TOPIC": "INVALID_TOPIC_EXCEPTION",
}

logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def _refusal(error):
    if isinstance(error, OffsetOutOfRangeError):
        return Refused("OFFSET_OUT_OF_RANGE", str(error))
    if isinstance(error, (KafkaTimeoutError, asyncio.TimeoutError)):
        return Refused("TIMEOUT", str(error))
    name = getattr(error, "message", type(error).__name__)
    return Refused(CODES.get(name, name), str(error))


def _check(code, message=""):
    if code:
        raise _refusal(for_code(code)(message))


class Client:
    name = "aiokafka"
    seed = 1  # it refuses to send null values without a key
    codecs = ("none", "gzip", "snappy", "lz4", "zstd")
    # Its administration has no incremental alteration of configs and no offsets other than the two ends.
    left_out = ("configs", "configs-of-unknown-topic", "list-offsets", "empty-partition")

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.admin, self.reader = self._wait(self._start())

    async def _start(self):
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        return admin, await self._consumer(POLL_MS)

    def close(self):
        self._wait(self.reader.stop())
        self._wait(self.admin.close())
        self.loop.call_soon_threadsafe(self.loop.stop)

    def _wait(self, coroutine):
        """Runs a coroutine on the client's loop: cases are plain functions, some of them in two threads."""
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(2 * TIMEOUT_SECONDS)
        except (TimeoutError, KafkaError) as error:
            raise _refusal(error) from error

    async def _consumer(self, fetch_wait_ms):
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=fetch_wait_ms,
        )
        await consumer.start()
        return consumer

    # Administration

    def broker_ids(self):
        cluster = self._wait(self.admin.describe_cluster())
        return cluster["cluster_id"], sorted(broker["node_id"] for broker in cluster["brokers"])

    def create_topic(self, topic, partitions=1, configs=None, replication=1):
        new = NewTopic(topic, partitions, replication, topic_configs=configs or {})
        _check(*self._wait(self.admin.create_topics([new])).topic_errors[0][1:3])

    def delete_topic(self, topic):
        _check(self._wait(self.admin.delete_topics([topic])).topic_error_codes[0][1])

    def topics(self):
        return set(self._wait(self.admin.list_topics()))

    def partition_count(self, topic):
        (described,) = self._wait(self.admin.describe_topics([topic]))
        _check(described["error_code"])
        return len(described["partitions"])

    def create_partitions(self, topic, total):
        answer = self._wait(self.admin.create_partitions({topic: NewPartitions(total)}))
        _check(*answer.topic_errors[0][1:3])

    def delete_records(self, topic, partition, before):
        place = TopicPartition(topic, partition)
        return self._wait(self.admin.delete_records({place: RecordsToDelete(before)}))[place]

    # Producing

    def produce(self, topic, records, compression="none", acks="all", idempotent=None):
        return self._wait(self._produce(topic, records, compression, acks, idempotent))

    async def _produce(self, topic, records, compression, acks, idempotent):
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap,
            compression_type=None if compression == "none" else compression,
            acks=acks if acks == "all" else int(acks),
            enable_idempotence=acks == "all" if idempotent is None else idempotent,
            max_request_size=REQUEST_BYTES_MAX,
            linger_ms=5,
            request_timeout_ms=3000,
        )
        await producer.start()
        try:
            futures = [await self._send(producer, topic, record) for record in records]
            await producer.flush()
            sent = await asyncio.gather(*futures)
        finally:
            await producer.stop()
        return [(metadata.partition, metadata.offset) if metadata else None for metadata in sent]

    @staticmethod
    async def _send(producer, topic, record):
        return await producer.send(
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
        start = self._wait(self.reader.beginning_offsets([place]))[place]
        return start, self._wait(self.reader.end_offsets([place]))[place]

    def offsets_for_times(self, topic, times):
        places = {TopicPartition(topic, partition): timestamp for partition, timestamp in times.items()}
        found = self._wait(self.reader.offsets_for_times(places))
        return {place.partition: None if answer is None else answer.offset for place, answer in found.items()}

    def read(self, topic, starts):
        left = {partition: self.watermarks(topic, partition)[1] - offset for partition, offset in starts.items()}
        return self._wait(asyncio.wait_for(self._read(topic, starts, left), TIMEOUT_SECONDS))

    async def _read(self, topic, starts, left):
        self._assign(self.reader, topic, starts)
        records = []
        while any(count > 0 for count in left.values()):
            for place, batch in (await self.reader.getmany(timeout_ms=POLL_MS)).items():
                records.extend(_record(message) for message in batch)
                left[place.partition] -= len(batch)
        self.reader.unsubscribe()  # otherwise every later request waits behind a held fetch on the same connection
        return sorted(records, key=lambda record: (record.partition, record.offset))

    def read_one(self, topic, partition, offset, wait_seconds):
        return self._wait(self._read_one(topic, partition, offset, wait_seconds))

    async def _read_one(self, topic, partition, offset, wait_seconds):
        consumer = await self._consumer(wait_seconds * 1000)
        self._assign(consumer, topic, {partition: offset})
        try:
            return _record(await asyncio.wait_for(consumer.getone(), wait_seconds + TIMEOUT_SECONDS))
        finally:
            await consumer.stop()

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


VERSION = f"aiokafka {aiokafka.__version__}"
