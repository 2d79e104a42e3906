"""Transactions of confluent-kafka in processes of their own, driven by the suite `transactions`."""

import logging
import sys

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

TIMEOUT_SECONDS = 60
FENCED = ("_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH")
COPIES_A_TRANSACTION = 50
COPY_TIMEOUT_MS = 10_000


class Transactor:
    """Does what a line of words says."""

    def __init__(self, bootstrap, transactional_id, timeout_ms):
        settings = {
            "bootstrap.servers": bootstrap,
            "transactional.id": transactional_id,
            "transaction.timeout.ms": int(timeout_ms),
        }
        self.bootstrap = bootstrap
        self.producer = Producer(settings, logger=logging.getLogger())
        self.failures = []

    def init(self):
        self.producer.init_transactions(TIMEOUT_SECONDS)

    def begin(self):
        self.failures = []
        self.producer.begin_transaction()

    def send(self, topic, partition, value):
        def delivered(error, _):
            if error:
                self.failures.append(error)

        self.producer.produce(topic, value.encode(), partition=int(partition), on_delivery=delivered)

    def flush(self):
        self.producer.flush(TIMEOUT_SECONDS)
        if self.failures:
            raise KafkaException(self.failures[0])

    def offsets(self, group, topic, partition, offset):
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group}, logger=logging.getLogger())
        place = TopicPartition(topic, int(partition), int(offset))
        self.producer.send_offsets_to_transaction([place], consumer.consumer_group_metadata(), TIMEOUT_SECONDS)
        consumer.close()

    def commit(self):
        self.producer.commit_transaction(TIMEOUT_SECONDS)

    def abort(self):
        self.producer.abort_transaction(TIMEOUT_SECONDS)


def run(bootstrap, transactional_id, timeout_ms):
    """Answers each command with a line; the exit status."""
    logging.disable(logging.CRITICAL)
    transactor = Transactor(bootstrap, transactional_id, timeout_ms)
    for line in sys.stdin:
        name, *arguments = line.split()
        try:
            getattr(transactor, name)(*arguments)
            print("ok", flush=True)
        except KafkaException as error:
            print("fenced" if error.args[0].name() in FENCED else f"error {error}", flush=True)
    return 0


def copy(bootstrap, source, target, group, transactional_id, partition):
    """Copies a partition's records to that of another topic, with their offsets in the same transactions, until killed."""
    logging.disable(logging.CRITICAL)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 50,
        },
        logger=logging.getLogger(),
    )
    producer = Producer(
        {"bootstrap.servers": bootstrap, "transactional.id": transactional_id, "transaction.timeout.ms": COPY_TIMEOUT_MS},
        logger=logging.getLogger(),
    )
    producer.init_transactions(TIMEOUT_SECONDS)
    place = TopicPartition(source, int(partition))
    resume(consumer, place)
    while True:
        messages = [m for m in consumer.consume(COPIES_A_TRANSACTION, 0.2) if not m.error()]
        if messages and not copied(consumer, producer, messages, target):
            resume(consumer, place)


def copied(consumer, producer, messages, target):
    """Whether these records were copied; otherwise their transaction was aborted."""
    try:
        producer.begin_transaction()
        for message in messages:
            producer.produce(target, message.value(), partition=message.partition())
        last = messages[-1]
        end = TopicPartition(last.topic(), last.partition(), last.offset() + 1)
        producer.send_offsets_to_transaction([end], consumer.consumer_group_metadata(), TIMEOUT_SECONDS)
        producer.commit_transaction(TIMEOUT_SECONDS)
        return True
    except KafkaException as error:
        if error.args[0].fatal():
            raise
        producer.abort_transaction(TIMEOUT_SECONDS)
        return False


def resume(consumer, place):
    """From what is committed, or from the beginning."""
    (committed,) = consumer.committed([place], TIMEOUT_SECONDS)
    consumer.assign([TopicPartition(place.topic, place.partition, max(committed.offset, 0))])
