"""The generated records of README.md: every suite writes and expects exactly these."""

from dataclasses import dataclass
from functools import cache

COUNT = 240
PARTITIONS = 3
COUNT_PER_PARTITION = COUNT // PARTITIONS
MIDDLE_OFFSET = 41
FIRST_TIMESTAMP = 1_700_000_000_000
TOPIC_CONFIGS = {"max.message.bytes": "4194304", "retention.ms": "-1"}
REQUEST_BYTES_MAX = 4_194_304

FILE_LINES = 50_000
FILE_TOPIC_CONFIGS = {"segment.bytes": "1048576", "retention.ms": "-1"}

# The partition of key "k0", "k1", ... among six, by Kafka's default partitioner (murmur2).
KEYED_PARTITIONS = 6
KEY_PARTITIONS = "553440142240321051124453005124"

_MASK = 0xFFFF_FFFF


@dataclass(frozen=True)
class Record:
    """Partition, offset and timestamp (milliseconds) are None where the client or the broker is to choose them."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple = ()
    partition: int | None = None
    offset: int | None = None
    timestamp: int | None = None


class Xorshift:
    """Marsaglia's 32-bit xorshift (13, 17, 5); the state must not be zero."""

    def __init__(self, state):
        self.state = state

    def next(self):
        x = self.state
        x ^= (x << 13) & _MASK
        x ^= x >> 17
        x ^= (x << 5) & _MASK
        self.state = x
        return x

    def bytes(self, length):
        words = (self.next() for _ in range((length + 3) // 4))
        return b"".join(word.to_bytes(4, "little") for word in words)[:length]


def _key(index, random):
    number = random.next() % 50
    return (None, b"")[index % 7] if index % 7 < 2 else b"key-%d" % number


def _value(index, key, random, tame):
    length = random.next() % 1500 + 1
    if 100 <= index <= 120:
        length = 1 << (index - 100)
    elif index % 11 < 2:
        return None if index % 11 == 0 and (key is not None or not tame) else b""
    if index % 2 == 0:
        return random.bytes(length)
    pattern = random.bytes(64)
    return (pattern * (length // 64 + 1))[:length]


def _headers(index, random, tame):
    if index % 5 == 1:
        return (("h", b"v"),)
    if index % 5 == 2:
        return (("dup", b"a"), ("dup", b"b"), ("dup", b"a"))
    if index % 5 == 3:
        return (("empty", b""), ("null", b"" if tame else None))
    if index % 5 == 4:
        return (("bytes", random.bytes(16)), ("größe", "ß".encode()))
    return ()


def _timestamp(index):
    if index % 10 == 3:
        return FIRST_TIMESTAMP + 40 * index - 450
    if index % 10 == 5:
        return FIRST_TIMESTAMP + 40 * (index - 3)
    return FIRST_TIMESTAMP + 40 * index


@cache
def generate(seed):
    """The records of a seed, in the order they are to be sent. Odd seeds are tame: no client refuses to send them."""
    records, tame = [], seed % 2 == 1
    for index in range(COUNT):
        random = Xorshift(((seed * 0x9E3779B1 + index * 0x85EBCA6B) & _MASK) | 1)
        key = _key(index, random)
        value = _value(index, key, random, tame)
        records.append(
            Record(
                key=key,
                value=value,
                headers=_headers(index, random, tame),
                partition=index % PARTITIONS,
                offset=index // PARTITIONS,
                timestamp=_timestamp(index),
            )
        )
    return records


def by_partition(records):
    partitions = {}
    for record in records:
        partitions.setdefault(record.partition, []).append(record)
    return partitions


def offset_for_time(partition_records, timestamp):
    """The first offset whose timestamp is at least `timestamp`, or None."""
    return next((record.offset for record in partition_records if record.timestamp >= timestamp), None)


def file_lines():
    random = Xorshift(1)
    lines = []
    for number in range(FILE_LINES):
        words = tuple(random.next() for _ in range(4))
        lines.append(b"%08d line of a real file %08x %08x %08x %08x" % (number, *words))
    return lines


def describe(record):
    """A record in one short line, for reports of differences."""

    def short(data):
        if data is None:
            return "null"
        return repr(bytes(data)) if len(data) <= 24 else f"{bytes(data[:16])!r}...({len(data)} bytes)"

    headers = ", ".join(f"{name}={short(value)}" for name, value in record.headers)
    return (
        f"partition {record.partition} offset {record.offset} timestamp {record.timestamp} "
        f"key {short(record.key)} value {short(record.value)} headers [{headers}]"
    )


def first_difference(expected, actual):
    """None when both lists are equal, otherwise a sentence about the first difference."""
    for wanted, got in zip(expected, actual, strict=False):
        if wanted != got:
            return f"expected {describe(wanted)}; got {describe(got)}"
    if len(expected) != len(actual):
        return f"expected {len(expected)} records, got {len(actual)}"
    return None
