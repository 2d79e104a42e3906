"""A Java application in a process of its own, and the topics that it reads and writes."""

import os
import pathlib
import signal
import subprocess
import time

from confluent_kafka import Consumer, KafkaError, TopicPartition

from client_confluent import Client, _Silent

CLASSPATH = os.environ.get("FRAMEWORKS_CLASSPATH", "")
LOGGING = pathlib.Path(__file__).with_name("log4j2.xml")
PATIENCE_SECONDS = 90
END_SECONDS = 40


class Application:
    """A main class with arguments; it ends when its standard input does, or on SIGTERM."""

    def __init__(self, directory, name, main_class, *arguments, properties=()):
        self.log = pathlib.Path(directory) / f"{name}.log"
        command = [
            "java", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dlog4j2.configurationFile={LOGGING}",
            *(f"-D{key}={value}" for key, value in properties), "-cp", CLASSPATH, main_class, *map(str, arguments),
        ]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)

    @property
    def text(self):
        return self.log.read_text(errors="replace")

    def check(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the application ended with status {self.process.returncode}: {self.text[-1500:]}")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        """Lets it end by itself; it must succeed."""
        self.process.stdin.close()
        status = self.process.wait(END_SECONDS)
        assert status == 0, f"the application ended with status {status}: {self.text[-1500:]}"

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(END_SECONDS)


def wait_until(holds, what, applications=(), seconds=PATIENCE_SECONDS):
    """Returns once it holds; `what` may be a function that tells how things stand."""
    deadline = time.monotonic() + seconds
    while not holds():
        for application in applications:
            application.check()
        if time.monotonic() > deadline:
            tails = "".join(application.text[-1000:] for application in applications)
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}\n{tails}")
        time.sleep(0.1)


def read_all(bootstrap, topic, partitions):
    """(partition, key, value) of everything that is committed, in each partition's order; nothing if there is no topic."""
    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": "unused",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 50,
    }
    consumer = Consumer(settings, logger=_Silent())
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    records, ended, deadline = [], set(), time.monotonic() + PATIENCE_SECONDS
    try:
        while len(ended) < partitions:
            if time.monotonic() > deadline:
                raise AssertionError(f"{topic} is not read to its end within {PATIENCE_SECONDS} s")
            for message in consumer.consume(2000, 0.2):
                if message.error() is None:
                    records.append((message.partition(), message.key(), message.value()))
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
        return records
    finally:
        consumer.close()


def create(bootstrap, *topics):
    """(name, partitions) each."""
    client = Client(bootstrap)
    for topic, partitions in topics:
        client.create_topic(topic, partitions)
    return client


def lag(bootstrap, client, group, topic, partitions):
    """How many records the group has not committed yet."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group}, logger=_Silent())
    try:
        places = consumer.committed([TopicPartition(topic, partition) for partition in range(partitions)], timeout=30)
    finally:
        consumer.close()
    return sum(client.watermarks(topic, place.partition)[1] - max(place.offset, 0) for place in places)
