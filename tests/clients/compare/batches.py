"""Record batches as a producer writes them."""

import struct
import time

CASTAGNOLI = 0x82F63B78
TABLE = []
for number in range(256):
    for _ in range(8):
        number = number >> 1 ^ (CASTAGNOLI if number & 1 else 0)
    TABLE.append(number)

HEADER_BYTES = 61
# An hour before the run: old enough to be in the past for both brokers, too new to be deleted or forgotten.
START_MS = int(time.time() - 3600) * 1000


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ TABLE[(value ^ byte) & 255]
    return value ^ 0xFFFFFFFF


def varint(number):
    number = number << 1 ^ number >> 63
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def sized(data):
    return varint(-1) if data is None else varint(len(data)) + data


def record(delta, key, value, timestamp_delta=0):
    body = b"\0" + varint(timestamp_delta) + varint(delta) + sized(key) + sized(value) + varint(0)
    return varint(len(body)) + body


def batch(
    values,
    key=b"key",
    timestamp=START_MS,
    step=1,
    attributes=0,
    producer=-1,
    epoch=-1,
    sequence=-1,
    magic=2,
    count=None,
    last_delta=None,
    base=0,
    leader_epoch=-1,
    deltas=None,
    crc=None,
):
    """A batch of `values`; the rest is as it should be, unless told otherwise."""
    deltas = range(len(values)) if deltas is None else deltas
    records = b"".join(record(delta, key, value, at * step) for at, (delta, value) in enumerate(zip(deltas, values)))
    last = len(values) - 1 if last_delta is None else last_delta
    newest = timestamp + step * max(len(values) - 1, 0)
    body = struct.pack(
        ">hiqqqhii",
        attributes,
        last,
        timestamp,
        newest,
        producer,
        epoch,
        sequence,
        len(values) if count is None else count,
    )
    body += records
    check = crc32c(body) if crc is None else crc
    return struct.pack(">qiibI", base, 9 + len(body), leader_epoch, magic, check) + body


def described(data):
    """The whole batches in `data`, a text each; a part of one at the end, which clients drop, is not told."""
    found, at = [], 0
    while len(data) - at >= HEADER_BYTES:
        base, length, leader_epoch, magic, crc, _, last = struct.unpack(">qiibIhi", data[at : at + 27])
        if at + 12 + length > len(data):
            break
        found.append(
            f"{base} to {base + last}, epoch {leader_epoch}, magic {magic}, {12 + length} bytes, checksum {crc:08x}"
        )
        at += 12 + length
    return found
