"""One of the two brokers: requests go to it; what it answered is kept, with what is a broker's own replaced."""

import itertools
import re
import socket
import struct
import time
import uuid

from batches import described

REPLY_SECONDS_MAX = 30
SETTLE_SECONDS_MAX = 20
CLIENT_ID = b"compare"
CLOSED = "the connection is closed"
SILENT = "no reply"
ZERO_ID = uuid.UUID(int=0)

# Fields that each broker fills in by itself.
OWN = {
    "Host",
    "Port",
    "ClusterId",
    "Rack",
    "BootTimestamp",
    "LogAppendTimeMs",
    "TransactionStartTimeMs",
    "LastTimestamp",
    "StartTimestamp",
    "ThrottleTimeMs",
}
# Ids that a broker gives out: each is replaced by its number in the order in which they were seen.
GIVEN = {"ProducerId", "MemberId", "SessionId", "Leader", "GenerationId"}
# Text for people: only whether there is one.
WORDS = {"ErrorMessage", "BatchIndexErrorMessage", "Documentation"}
UNORDERED_KEYS = (
    "Name",
    "Topic",
    "TopicId",
    "TopicName",
    "GroupId",
    "TransactionalId",
    "PartitionIndex",
    "Partition",
    "Index",
    "NodeId",
    "BrokerId",
    "ApiKey",
    "BatchIndex",
    "ResourceType",
    "ResourceName",
    "Key",
    "ErrorCode",
    "MemberId",
)


class Unanswered(Exception):
    """The broker closed the connection instead of answering, or said nothing for REPLY_SECONDS_MAX."""


class Connection:
    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=REPLY_SECONDS_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlation = itertools.count(1)

    def send(self, payload):
        self.socket.sendall(struct.pack(">i", len(payload)) + payload)

    def receive(self, count):
        data = b""
        while len(data) < count:
            try:
                more = self.socket.recv(count - len(data))
            except ConnectionResetError:
                more = b""
            except TimeoutError:
                raise Unanswered(SILENT) from None
            if not more:
                raise Unanswered(CLOSED)
            data += more
        return data

    def request(self, key, version, flexible, body):
        """Sends a request; its correlation id."""
        correlation = next(self.correlation)
        header = struct.pack(">hhih", key, version, correlation, len(CLIENT_ID)) + CLIENT_ID
        self.send(header + (b"\0" if flexible else b"") + body)
        return correlation

    def reply(self, correlation, flexible):
        """The reply's body."""
        (length,) = struct.unpack(">i", self.receive(4))
        data = self.receive(length)
        assert struct.unpack(">i", data[:4])[0] == correlation, "the replies are not in order"
        assert not flexible or data[4] == 0, "tagged fields in the reply's header"
        return data[5 if flexible else 4 :]

    def close(self):
        self.socket.close()


class Peer:
    """A broker and what it was asked."""

    def __init__(self, bootstrap, schemas):
        host, port = bootstrap.rsplit(":", 1)
        self.address = (host, int(port))
        self.schemas = schemas
        self.connections = {}
        self.transcript = []
        self.prefix = "no prefix"
        self.names = {}
        self.ids = {}

    def begin(self, prefix):
        """A case begins, whose names start so."""
        self.prefix = prefix
        self.transcript.clear()
        self.names.clear()
        self.ids.clear()

    def exchange(self, api, version, body, over=None):
        """The decoded reply, over a connection of its own name. Raises Unanswered."""
        request, response = self.schemas.requests[api], self.schemas.responses[api]
        payload = request.encode(body, version)
        return self.exchange_bytes(request.key, version, payload, response, version in request.flexible, over)

    def exchange_bytes(self, key, version, payload, response, flexible, over=None):
        if over not in self.connections:
            self.connections[over] = Connection(self.address)
        connection = self.connections[over]
        try:
            correlation = connection.request(key, version, flexible, payload)
            data = connection.reply(correlation, flexible and key != self.schemas.requests["ApiVersions"].key)
        except (Unanswered, BrokenPipeError) as error:
            connection.close()
            del self.connections[over]
            raise Unanswered(str(error) if isinstance(error, Unanswered) else CLOSED) from None
        return response.decode(data, version)

    def ask(self, label, api, version, body, over=None):
        """Asks and keeps what came back; the reply as it came, or None where the connection was closed."""
        try:
            reply = self.exchange(api, version, body, over)
        except Unanswered as how:
            self.keep(label, str(how))
            return None
        self.keep(label, self.masked(reply))
        return reply

    def keep(self, label, what):
        self.transcript.append((label, what))

    def masked(self, value, field=""):
        if isinstance(value, dict):
            return {name: self.masked(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return sorted((self.masked(inner, field) for inner in value), key=order)
        if field in OWN:
            return None if value in (None, -1) else f"<{field}>"
        if field in WORDS:
            return value if value in (None, -(1 << 31)) else f"<{field}>"
        if field == "Records":
            return described(value or b"")
        if isinstance(value, uuid.UUID):
            return str(value) if value == ZERO_ID else self.names.get(value, "<unknown id>").replace(self.prefix, "~")
        if field in GIVEN and value not in (0, -1, "", None):
            return self.numbered(field, value)
        return value.replace(self.prefix, "~") if isinstance(value, str) else value

    def numbered(self, field, value):
        if isinstance(value, int) and field != "ProducerId" and field != "SessionId":
            return value
        if isinstance(value, str) and not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-|^[\w-]{22}$", value):
            return value
        numbers = self.ids.setdefault("MemberId" if field == "Leader" else field, {})
        return f"<{field} {numbers.setdefault(value, len(numbers) + 1)}>"

    def make_topic(self, name, partitions=1, **configs):
        """Makes a topic and waits until it is led; its id."""
        wanted = [{"Name": key.replace("_", "."), "Value": value} for key, value in configs.items()]
        topic = {"Name": name, "NumPartitions": partitions, "ReplicationFactor": 1, "Configs": wanted}
        reply = self.exchange("CreateTopics", 7, {"Topics": [topic]})
        assert reply["Topics"][0]["ErrorCode"] == 0, reply
        return self.settled_topic(name, partitions)

    def settled_topic(self, name, partitions):
        """The id of a topic, once the broker serves it: Apache Kafka's brokers hear of it a moment after the reply."""
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while time.monotonic() < deadline:
            (topic,) = self.exchange("Metadata", 12, {"Topics": [{"Name": name}], "AllowAutoTopicCreation": False})[
                "Topics"
            ]
            led = [each for each in topic["Partitions"] if each["ErrorCode"] == 0]
            offsets = [{"PartitionIndex": index, "Timestamp": -1} for index in range(partitions)]
            listed = self.exchange(
                "ListOffsets", 7, {"ReplicaId": -1, "Topics": [{"Name": name, "Partitions": offsets}]}
            )
            served = all(each["ErrorCode"] == 0 for each in listed["Topics"][0]["Partitions"])
            if len(led) == partitions and served:
                self.names[topic["TopicId"]] = f"<id of {name}>"
                return topic["TopicId"]
            time.sleep(0.02)
        raise AssertionError(f"{name} is not served")

    def until(self, what, read, wanted):
        """Repeats `read` until `wanted` says yes to what it gives."""
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while not wanted(found := read()):
            assert time.monotonic() < deadline, f"{what}: {found}"
            time.sleep(0.02)
        return found

    def close(self):
        for connection in self.connections.values():
            connection.close()
        self.connections.clear()


def order(value):
    """Where an element of a list stands: by what it is about. No reply's meaning rests on the order of a list."""
    if not isinstance(value, dict):
        return (0, str(value))
    return (
        1,
        *(
            f"{value[key]:>12}" if isinstance(value[key], int) else str(value[key])
            for key in UNORDERED_KEYS
            if key in value
        ),
    )


def differences(ours, theirs, path=""):
    """(path, ours, theirs) wherever two masked values differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in theirs | ours:
            inner = f"{path}.{name}" if path else name
            yield from differences(ours.get(name, "<no such field>"), theirs.get(name, "<no such field>"), inner)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for left, right in zip(ours, theirs):
            yield from differences(left, right, f"{path}[{subject(right)}]")
    elif isinstance(ours, list) and isinstance(theirs, list) and all(isinstance(each, dict) for each in ours + theirs):
        left, right = ({subject(each): each for each in side} for side in (ours, theirs))
        for name in sorted(left.keys() | right.keys()):
            if name not in left or name not in right or len(left) != len(ours) or len(right) != len(theirs):
                yield f"{path}[{name}]", left.get(name, "<nothing>"), right.get(name, "<nothing>")
            else:
                yield from differences(left[name], right[name], f"{path}[{name}]")
    elif ours != theirs:
        yield path, ours, theirs


def subject(value):
    """What an element of a list is about, for the path of a difference."""
    if not isinstance(value, dict):
        return str(value)
    return next(
        (re.sub(r"<id of (.*)>", r"\1", str(value[key])) for key in UNORDERED_KEYS if value.get(key) not in (None, "")),
        "",
    )
