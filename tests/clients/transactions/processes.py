"""Transactional producers and copiers in processes of their own, and what a reader sees of their work."""

import pathlib
import subprocess
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from client_confluent import _Silent

CLIENTS = pathlib.Path(__file__).resolve().parents[1]
SCRIPT = CLIENTS.parents[1] / "scripts" / "apache-kafka.sh"
PATIENCE_SECONDS = 60


class Transactor:
    """A producer that does what it is told."""

    def __init__(self, bootstrap, suite, transactional_id, timeout_ms=60_000):
        command = [CLIENTS / suite / "suite", "--bootstrap", bootstrap, "transactor", transactional_id, str(timeout_ms)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        """The answer: ok, fenced, or an error."""
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def does(self, *words):
        answer = self.ask(*words)
        if answer != "ok":
            raise AssertionError(f"{' '.join(map(str, words))}: {answer}")

    def kill(self):
        self.process.kill()
        self.process.wait()


def copier(bootstrap, suite, source, target, group, instance, partition, count):
    """
    A process that copies records exactly once. The Java one is Kafka's own TransactionalMessageCopier, which keeps to one
    partition and ends after so many records; confluent-kafka's keeps to one, too; franz-go's share them in a group.
    """
    if suite != "java":
        command = [CLIENTS / suite / "suite", "--bootstrap", bootstrap, "copier", source, target, group, instance]
        command += [str(partition)] if suite == "python" else []
    else:
        command = [
            SCRIPT, "tool", "org.apache.kafka.tools.TransactionalMessageCopier",
            "--broker-list", bootstrap, "--input-topic", source, "--input-partition", str(partition),
            "--output-topic", target, "--consumer-group", group, "--transactional-id", instance,
            "--max-messages", str(count), "--transaction-size", "50", "--transaction-timeout", "10000", "--use-group-metadata",
        ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def read(bootstrap, topic, partitions, isolation="read_committed"):
    """The values of each partition, as far as they can be read."""
    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": "unused",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": isolation,
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 20,
    }
    consumer = Consumer(settings, logger=_Silent())
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    values, ended, deadline = {partition: [] for partition in range(partitions)}, set(), time.monotonic() + PATIENCE_SECONDS
    try:
        while len(ended) < partitions:
            if time.monotonic() > deadline:
                raise AssertionError(f"{topic} is not read to its end within {PATIENCE_SECONDS} s: {ended}")
            for message in consumer.consume(2000, 0.2):
                if message.error() is None:
                    values[message.partition()].append(message.value().decode())
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
        return values
    finally:
        consumer.close()


def committed(bootstrap, group, topic, partition):
    """The group's offset, None without one, or the name of the error (offsets have to be stable)."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group}, logger=_Silent())
    try:
        (place,) = consumer.committed([TopicPartition(topic, partition)], timeout=3)
        return place.offset if place.offset >= 0 else None
    except KafkaException as error:
        return error.args[0].name()
    finally:
        consumer.close()


def wait_until(holds, what, seconds=PATIENCE_SECONDS):
    """Returns once it holds; `what` may be a function that tells how things stand."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.1)
