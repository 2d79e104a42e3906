"""Runs kcat and knows its output formats."""

import subprocess
from dataclasses import dataclass

import records

TIMEOUT_SECONDS = 60

# On a loaded machine librdkafka 2.0 now and then finds all brokers down before it has tried to reach one: a race of its
# start-up, whatever the broker. kcat 1.7 gives up then, with nothing sent.
NO_BROKER = "All broker connections are down"
# How librdkafka logs a connection that was tried and failed (kcat -q silences it).
TRIED = "|FAIL|"
ATTEMPTS_MAX = 3

# Every field of a record; lengths tell null (-1) from empty.
FORMAT = r"%p %o %T %K %S [%h] %k %s\n"


@dataclass
class Outcome:
    status: int
    output: bytes
    errors: str


class Kcat:
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def run(self, *arguments, stdin=b""):
        """The outcome of a kcat, or of the next one if it never came to try the broker."""
        for _ in range(ATTEMPTS_MAX):
            outcome = self.run_once(*arguments, stdin=stdin)
            # With output it did reach the broker; with a failed connection the broker is to blame.
            never_tried = NO_BROKER in outcome.errors and TRIED not in outcome.errors and not outcome.output
            if outcome.status == 0 or not never_tried:
                break
        return outcome

    def run_once(self, *arguments, stdin=b""):
        command = ["kcat", "-b", self.bootstrap, *map(str, arguments)]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=TIMEOUT_SECONDS, check=False)
        return Outcome(done.returncode, done.stdout, done.stderr.decode())

    def succeed(self, *arguments, stdin=b""):
        """The output of a kcat that must succeed."""
        done = self.run(*arguments, stdin=stdin)
        if done.status != 0:
            raise AssertionError(f"kcat {' '.join(map(str, arguments))} failed: {done.errors.strip()}")
        return done.output

    def produce(self, topic, partition, *arguments, stdin=b""):
        # The least that librdkafka allows: a producer that lives for a second should not linger for long.
        return self.succeed("-P", "-t", topic, "-p", partition, "-X", "linger.ms=1", *arguments, stdin=stdin)

    def consume(self, topic, partition, offset, *arguments):
        """The output from an offset to the end of a partition."""
        limits = ("-X", "fetch.wait.max.ms=50", "-X", "topic.auto.offset.reset=error")
        return self.succeed("-C", "-q", "-e", "-t", topic, "-p", partition, "-o", offset, *limits, *arguments)

    def query(self, topic, times):
        """{partition: timestamp} to {partition: offset, -1 for none}."""
        places = [word for partition, time in times.items() for word in ("-t", f"{topic}:{partition}:{time}")]
        lines = self.succeed("-Q", *places).decode().splitlines()
        answers = {}
        for line in lines:  # "TOPIC [PARTITION] offset OFFSET"
            _, partition, _, offset = line.split()
            answers[int(partition.strip("[]"))] = int(offset)
        return answers


def formatted(record):
    """What kcat prints of a record with FORMAT."""

    def length(data):
        return -1 if data is None else len(data)

    def text(value):
        # kcat prints header values as C strings.
        return b"NULL" if value is None else value.split(b"\0")[0]

    headers = b",".join(name.encode() + b"=" + text(value) for name, value in record.headers)
    numbers = f"{record.partition} {record.offset} {record.timestamp} {length(record.key)} {length(record.value)} "
    return numbers.encode() + b"[" + headers + b"] " + (record.key or b"") + b" " + (record.value or b"") + b"\n"


def verify(kcat, topic, seed):
    """Reads a topic that holds the generated records of the seed, in every way."""
    expected = records.by_partition(records.generate(seed))
    for partition, stored in expected.items():
        for start in (0, records.MIDDLE_OFFSET, records.COUNT_PER_PARTITION - 1):
            compare(stored[start:], kcat.consume(topic, partition, start, "-f", FORMAT))
        tail = kcat.consume(topic, partition, -3, "-f", FORMAT)
        compare(stored[-3:], tail)
    verify_times(kcat, topic, expected)


def compare(expected, output):
    """Compares what kcat printed with what it has to print, record by record."""
    at = 0
    for record in expected:
        wanted = formatted(record)
        got = output[at : at + len(wanted)]
        if got != wanted:
            raise AssertionError(f"expected {records.describe(record)}, printed {got[:200]!r}")
        at += len(wanted)
    if at != len(output):
        raise AssertionError(f"{len(output) - at} bytes more than {len(expected)} records: {output[at : at + 200]!r}")


def verify_times(kcat, topic, expected):
    """Asks for a tenth of the timestamps: each question is a process of its own."""
    stored = sorted({record.timestamp for partition in expected.values() for record in partition})
    for timestamp in [stored[0] - 1, *stored[::10], stored[7] + 1, stored[-1], stored[-1] + 1]:
        answers = kcat.query(topic, dict.fromkeys(expected, timestamp))
        for partition, offset in answers.items():
            wanted = records.offset_for_time(expected[partition], timestamp)
            if offset != (-1 if wanted is None else wanted):
                raise AssertionError(f"partition {partition} at {timestamp}: expected {wanted}, got {offset}")
        if len(answers) != len(expected):
            raise AssertionError(f"only {answers} is answered")
