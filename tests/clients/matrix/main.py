"""main.py --bootstrap HOST:PORT [--full]

Every writer makes a topic of generated records with each compression; every reader verifies one topic of each other
writer, chosen so that all compressions of a writer are read and a reader meets all compressions. With --full it
verifies all topics of all other writers.
"""

import argparse
import pathlib
import re
import secrets
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from report import Report

SUITES = pathlib.Path(__file__).parents[1]
TIMEOUT_SECONDS = 240
PROCESSES = 2
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")

# Name: the suite's command, and whether the client can send null header values (which odd seeds do without).
WRITERS = {
    "java": (("java/suite",), True),
    "librdkafka": (("python/suite", "--client", "confluent"), True),
    "kafka-python": (("python/suite", "--client", "kafka-python"), False),
    "aiokafka": (("python/suite", "--client", "aiokafka"), False),
    "franz-go": (("go/suite", "--client", "franz"), True),
    "sarama": (("go/suite", "--client", "sarama"), True),
    "kafkajs": (("node/suite",), False),
}
READERS = {
    "java": ("java/suite",),
    "librdkafka": ("python/suite", "--client", "confluent"),
    "kafka-python": ("python/suite", "--client", "kafka-python"),
    "aiokafka": ("python/suite", "--client", "aiokafka"),
    "franz-go": ("go/suite", "--client", "franz"),
    "sarama": ("go/suite", "--client", "sarama"),
    "kcat": ("kcat/suite",),
}
RESULT = re.compile(r"\S+: (?P<result>ok|FAIL) \S*?(?:write|verify) (?P<topic>[\w.-]+)(?P<detail>.*)")


class Topic:
    def __init__(self, run, writer, codec):
        number = 2 * (list(WRITERS).index(writer) * len(CODECS) + CODECS.index(codec)) + 2
        self.seed = number if WRITERS[writer][1] else number + 1
        self.name = f"matrix-{writer}-{codec}-{run}"
        self.writer, self.codec = writer, codec
        self.place = f"{self.name}:{self.seed}:{codec}"


def run_suite(bootstrap, command, verb, topics):
    """{topic name: None or why it failed} of one suite that writes or verifies topics."""
    program, *options = command
    line = [SUITES / program, "--bootstrap", bootstrap, *options, verb, *(topic.place for topic in topics)]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
        output, why = done.stdout, f"no result: {(done.stderr or done.stdout).strip()[-300:]}"
    except subprocess.TimeoutExpired as error:
        output, why = (error.stdout or b"").decode(), f"no result in {TIMEOUT_SECONDS} s"
    results = {topic.name: why for topic in topics}
    for found in map(RESULT.match, output.splitlines()):
        if found:
            results[found["topic"]] = None if found["result"] == "ok" else found["detail"].lstrip(": ")
    return results


def choose(reader, topics, full):
    """The topics a reader verifies."""
    others = [topic for topic in topics if topic.writer != reader]
    if full:
        return others
    turn = list(READERS).index(reader)
    chosen = []
    for topic in others:
        writer = list(WRITERS).index(topic.writer)
        # kcat, which writes none, also takes what the writer would have read of its own.
        turns = {turn, writer} if reader == "kcat" else {turn}
        if CODECS.index(topic.codec) in {(each + writer) % len(CODECS) for each in turns}:
            chosen.append(topic)
    return chosen


def outcome(why):
    if why is not None:
        raise AssertionError(why)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    run = secrets.token_hex(3)
    topics = [Topic(run, writer, codec) for writer in WRITERS for codec in CODECS]
    report = Report("matrix")
    with ThreadPoolExecutor(PROCESSES) as pool:

        def start(command, verb, chosen):
            return pool.submit(run_suite, options.bootstrap, command, verb, chosen)

        writing = {w: start(WRITERS[w][0], "write", [t for t in topics if t.writer == w]) for w in WRITERS}
        for writer, future in writing.items():
            written = future.result()
            report.run(f"{writer} writes", outcome, next((why for why in written.values() if why), None))
        chosen = {reader: choose(reader, topics, options.full) for reader in READERS}
        reading = {reader: start(READERS[reader], "verify", chosen[reader]) for reader in READERS}
        for reader, future in reading.items():
            verified = future.result()
            for topic in chosen[reader]:
                report.run(f"{topic.writer} -> {reader} {topic.codec}", outcome, verified[topic.name])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
