"""main.py --bootstrap HOST:PORT [--only TEXT]              all cases, or those whose name contains the text
main.py --bootstrap HOST:PORT verify TOPIC:SEED...       reads generated records, whoever wrote them
"""

import argparse
import hashlib
import json
import secrets
import sys
import tempfile
import time

import records
from client_confluent import Client
from kcat import FORMAT, Kcat, compare, verify
from records import Record
from report import Report, equal, eventually

RUN = secrets.token_hex(3)
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
FAR_OFFSET = 1_000_000


class Cases:
    def __init__(self, bootstrap):
        self.kcat = Kcat(bootstrap)
        self.admin = Client(bootstrap)

    def topic(self, case, partitions=1, configs=None):
        name = f"kcat-{case}-{RUN}"
        self.admin.create_topic(name, partitions, configs)
        return name

    def stored_times(self, topic, partition=0):
        """The timestamps the broker has, which kcat cannot choose when it produces."""
        return [int(line) for line in self.kcat.consume(topic, partition, 0, "-f", r"%T\n").split()]

    def expect(self, topic, sent, start=0):
        """Compares partition 0 with records that were sent without offsets and timestamps."""
        placed = [
            Record(value, key, headers, 0, offset, timestamp)
            for offset, ((key, value, headers), timestamp) in enumerate(
                zip(sent, self.stored_times(topic), strict=True)
            )
        ]
        compare(placed[start:], self.kcat.consume(topic, 0, start, "-f", FORMAT))

    def metadata(self):
        topic = self.topic("metadata", 3)
        listed = json.loads(self.kcat.succeed("-L", "-J", "-t", topic))
        (described,) = listed["topics"]
        equal([partition["partition"] for partition in described["partitions"]], [0, 1, 2], "partitions")
        brokers = {broker["id"] for broker in listed["brokers"]}
        assert all(partition["leader"] in brokers for partition in described["partitions"]), f"no leader: {described}"
        everything = json.loads(self.kcat.succeed("-L", "-J"))
        assert topic in [each["topic"] for each in everything["topics"]], "the topic is not listed"

    def round_trip(self, codec):
        """Keys and values, null and empty, with headers, one kcat a set of headers."""
        topic = self.topic(codec)
        plain = [(b"key-%d" % (number % 7), b"value %d " % number * (number % 50), ()) for number in range(1, 300)]
        text = b"".join(key + b"\t" + value + b"\n" for key, value, _ in plain)
        self.kcat.produce(topic, 0, "-K", "\\t", "-z", codec, stdin=text)
        headers = ("-H", "dup=a", "-H", "dup=b", "-H", "empty=", "-H", "null", "-H", "größe=ß")
        self.kcat.produce(topic, 0, "-K", "\\t", "-z", codec, *headers, stdin=b"k\tv\n\tempty key\nempty value\t\n")
        self.kcat.produce(topic, 0, "-K", "\\t", "-Z", "-z", codec, stdin=b"tombstone\t\n\tnull key\n")
        with_headers = (("dup", b"a"), ("dup", b"b"), ("empty", b""), ("null", None), ("größe", "ß".encode()))
        sent = plain + [
            (b"k", b"v", with_headers),
            (b"", b"empty key", with_headers),
            (b"empty value", b"", with_headers),
            (b"tombstone", None, ()),
            (None, b"null key", ()),
        ]
        for start in (0, 150, len(sent) - 1):
            self.expect(topic, sent, start)

    def sizes(self):
        """Values from 1 B to 1 MiB, each the content of a file."""
        topic = self.topic("sizes", 1, records.TOPIC_CONFIGS)
        values = [bytes(range(256)) * (size // 256) or b"x" * size for size in (1, 100, 4096, 65_536, 1_048_576)]
        for value, codec in zip(values, CODECS, strict=True):
            with tempfile.NamedTemporaryFile() as file:
                file.write(value)
                file.flush()
                self.kcat.produce(
                    topic, 0, "-z", codec, "-X", f"message.max.bytes={records.REQUEST_BYTES_MAX}", file.name
                )
        self.expect(topic, [(None, value, ()) for value in values])

    def acks(self):
        topic = self.topic("acks")
        for number, level in enumerate(("0", "1", "all")):
            self.kcat.produce(topic, 0, "-X", f"topic.acks={level}", stdin=b"acks " + level.encode() + b"\n")
            eventually(lambda: self.admin.watermarks(topic, 0), (0, number + 1), f"watermarks after acks={level}")
        self.kcat.produce(topic, 0, "-X", "enable.idempotence=true", stdin=b"idempotent\n")
        equal(self.kcat.consume(topic, 0, 0), b"acks 0\nacks 1\nacks all\nidempotent\n", "values")

    def keys(self):
        topic = self.topic("keys", records.KEYED_PARTITIONS)
        count = len(records.KEY_PARTITIONS)
        text = b"".join(b"k%d\t%d\n" % (number % count, number) for number in range(3 * count))
        self.kcat.succeed("-P", "-t", topic, "-K", "\\t", "-X", "topic.partitioner=murmur2_random", stdin=text)
        stored = (
            self.kcat.succeed("-C", "-q", "-e", "-t", topic, "-o", "beginning", "-f", r"%p %k\n").decode().split("\n")
        )
        placed = sorted(line.split() for line in stored if line)
        wanted = sorted([records.KEY_PARTITIONS[number % count], f"k{number % count}"] for number in range(3 * count))
        equal(placed, wanted, "partitions of the keys")

    def offsets(self):
        topic = self.topic("offsets")
        self.kcat.produce(topic, 0, stdin=b"".join(b"%d\n" % number for number in range(100)))
        for offset, first in (("beginning", 0), (0, 0), (57, 57), (-5, 95), ("end", 100)):
            wanted = b"".join(b"%d\n" % number for number in range(first, 100))
            equal(self.kcat.consume(topic, 0, offset), wanted, f"values from {offset}")
        equal(self.kcat.consume(topic, 0, 10, "-c", 3), b"10\n11\n12\n", "three values")
        equal(self.kcat.query(topic, {0: -2}), {0: 0}, "earliest offset")
        equal(self.kcat.query(topic, {0: -1}), {0: 100}, "latest offset")

    def times(self):
        topic = self.topic("times")
        for number in range(5):
            self.kcat.produce(topic, 0, stdin=b"%d a\n%d b\n" % (number, number))
            time.sleep(0.01)
        stored = self.stored_times(topic)
        for timestamp in stored:
            wanted = stored.index(timestamp)
            equal(self.kcat.query(topic, {0: timestamp}), {0: wanted}, f"offset of {timestamp}")
        equal(self.kcat.query(topic, {0: stored[-1] + 1}), {0: -1}, "offset after the last")
        half = stored[4]
        late = self.kcat.consume(topic, 0, f"s@{half}").decode().split("\n")[:-1]
        equal(len(late), sum(timestamp >= half for timestamp in stored), "records since a time")
        early = self.kcat.succeed("-C", "-q", "-e", "-t", topic, "-p", 0, "-o", f"s@{stored[0]}", "-o", f"e@{half}")
        equal(len(early.splitlines()), stored.index(half), "records until a time")

    def real_file(self):
        topic = self.topic("file", 1, records.FILE_TOPIC_CONFIGS)
        content = b"".join(line + b"\n" for line in records.file_lines())
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            self.kcat.produce(topic, 0, "-l", file.name)
        received = self.kcat.consume(topic, 0, "beginning")
        equal(hashlib.sha256(received).hexdigest(), hashlib.sha256(content).hexdigest(), "sha256 of the file")

    def fails(self, text, *arguments, stdin=b"x\n"):
        done = self.kcat.run(*arguments, "-X", "topic.metadata.propagation.max.ms=500", stdin=stdin)
        assert done.status != 0, f"kcat {arguments} succeeded"
        assert text in done.errors, f"expected '{text}', got '{done.errors.strip()}'"

    def errors(self):
        topic, missing = self.topic("errors", 1, {"max.message.bytes": "20000"}), f"kcat-missing-{RUN}"
        self.kcat.produce(topic, 0, stdin=b"only\n")
        self.fails("Unknown topic or partition", "-P", "-t", missing)
        self.fails("Unknown topic or partition", "-C", "-e", "-t", missing)
        self.fails("Unknown partition", "-P", "-t", topic, "-p", 5)
        self.fails("Message size too large", "-P", "-t", topic, "-p", 0, stdin=b"x" * 30_000)
        from_far = ("-C", "-e", "-t", topic, "-p", 0, "-o", FAR_OFFSET)
        self.fails("Offset out of range", *from_far, "-X", "topic.auto.offset.reset=error")
        equal(
            self.kcat.succeed(*from_far, "-q", "-X", "topic.auto.offset.reset=earliest"),
            b"only\n",
            "values after a reset",
        )
        equal(self.admin.watermarks(topic, 0), (0, 1), "watermarks")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("verb", nargs="?", choices=("verify",))
    parser.add_argument("topics", nargs="*")
    options = parser.parse_args()
    report = Report("kcat", options.only)
    if options.verb:
        for place in options.topics:
            topic, seed, *_ = place.split(":")
            report.run(f"verify {topic}", verify, Kcat(options.bootstrap), topic, int(seed))
        return report.finish()
    cases = Cases(options.bootstrap)
    for codec in CODECS:
        report.run(f"round-trip-{codec}", cases.round_trip, codec)
    for case in ("metadata", "sizes", "acks", "keys", "offsets", "times", "real_file", "errors"):
        report.run(case.replace("_", "-"), getattr(cases, case))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
