"""Requests and replies by the schemas that Apache Kafka's own jar carries (common/message/*.json).

A message is a dictionary of the schema's field names. What a request leaves out has the schema's default; a field that
its version lacks is not sent. A reply has every field of its version, unknown tagged fields as `tag N`.
"""

import json
import re
import struct
import uuid
import zipfile

NEVER = 1 << 15
WHOLE = {"int8": "b", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "float64": "d"}


class Versions:
    """`3`, `3+`, `3-5` or `none`."""

    def __init__(self, text):
        found = re.fullmatch(r"(\d+)(?:(\+)|-(\d+))?", text or "none")
        self.low, self.high = (
            (int(found[1]), int(found[3] or (NEVER if found[2] else found[1]))) if found else (NEVER, -1)
        )

    def __contains__(self, version):
        return self.low <= version <= self.high


class Field:
    def __init__(self, description, structs, flexible):
        self.name = description["name"]
        self.versions = Versions(description["versions"])
        self.nullable = Versions(description.get("nullableVersions"))
        self.tagged = Versions(description.get("taggedVersions"))
        self.flexible = Versions(description["flexibleVersions"]) if "flexibleVersions" in description else flexible
        self.tag = description.get("tag")
        self.array = description["type"].startswith("[]")
        self.kind = description["type"].removeprefix("[]")
        self.default = self.read_default(description.get("default"))
        if "fields" in description:
            structs[self.kind] = [Field(inner, structs, flexible) for inner in description["fields"]]
        self.structs = structs

    def read_default(self, text):
        if text == "null":
            return None
        if self.array:
            return []
        if self.kind == "string":
            return text or ""
        if self.kind in ("bytes", "records"):
            return b""
        if self.kind == "bool":
            return text in (True, "true")
        if self.kind == "uuid":
            return uuid.UUID(int=0)
        if self.kind == "float64":
            return float(text or 0)
        return int(str(text or 0), 0) if self.kind in WHOLE else {}

    def write(self, out, value, version):
        flexible = version in self.flexible
        if not self.array:
            return self.write_one(out, value, version, flexible)
        write_length(out, None if value is None else len(value), flexible, "i")
        for element in value or ():
            self.write_one(out, element, version, flexible)
        return None

    def write_one(self, out, value, version, flexible):
        if self.kind in WHOLE:
            out += struct.pack(">" + WHOLE[self.kind], value)
        elif self.kind == "bool":
            out.append(value)
        elif self.kind == "uuid":
            out += value.bytes
        elif self.kind in ("string", "bytes", "records"):
            data = value.encode() if isinstance(value, str) else value
            write_length(out, None if data is None else len(data), flexible, "h" if self.kind == "string" else "i")
            out += data or b""
        else:
            if not self.array and version in self.nullable:
                out.append(255 if value is None else 1)
                if value is None:
                    return
            write_struct(out, self.structs[self.kind], value, version, flexible)

    def read(self, reader, version):
        flexible = version in self.flexible
        if not self.array:
            return self.read_one(reader, version, flexible)
        length = reader.length(flexible, "i")
        return None if length is None else [self.read_one(reader, version, flexible) for _ in range(length)]

    def read_one(self, reader, version, flexible):
        if self.kind in WHOLE:
            return reader.whole(WHOLE[self.kind])
        if self.kind == "bool":
            return reader.whole("b") != 0
        if self.kind == "uuid":
            return uuid.UUID(bytes=reader.take(16))
        if self.kind in ("string", "bytes", "records"):
            length = reader.length(flexible, "h" if self.kind == "string" else "i")
            data = None if length is None else reader.take(length)
            return data.decode() if self.kind == "string" and data is not None else data
        if not self.array and version in self.nullable and reader.whole("b") < 0:
            return None
        return read_struct(reader, self.structs[self.kind], version, flexible)


def write_varint(out, number):
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)


def write_length(out, length, flexible, plain):
    if flexible:
        write_varint(out, 0 if length is None else length + 1)
    else:
        out += struct.pack(">" + plain, -1 if length is None else length)


def write_struct(out, fields, given, version, flexible):
    unknown = set(given) - {field.name for field in fields}
    assert not unknown, f"no field is named {unknown}"
    tagged = []
    for field in fields:
        if version not in field.versions:
            continue
        value = given.get(field.name, field.default)
        if version not in field.tagged:
            field.write(out, value, version)
        elif value != field.default:
            tagged.append((field, value))
    if not flexible:
        return
    write_varint(out, len(tagged))
    for field, value in sorted(tagged, key=lambda each: each[0].tag):
        inner = bytearray()
        field.write(inner, value, version)
        write_varint(out, field.tag)
        write_varint(out, len(inner))
        out += inner


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        assert self.at + count <= len(self.data), "the reply is too short"
        self.at += count
        return self.data[self.at - count : self.at]

    def whole(self, code):
        return struct.unpack(">" + code, self.take(struct.calcsize(">" + code)))[0]

    def varint(self):
        number = shift = 0
        while True:
            byte = self.whole("B")
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    def length(self, flexible, plain):
        length = self.varint() - 1 if flexible else self.whole(plain)
        return None if length < 0 else length


def read_struct(reader, fields, version, flexible):
    found = {}
    for field in fields:
        if version in field.versions:
            found[field.name] = field.default if version in field.tagged else field.read(reader, version)
    if flexible:
        by_tag = {field.tag: field for field in fields if version in field.versions and version in field.tagged}
        for _ in range(reader.varint()):
            tag, inner = reader.varint(), Reader(reader.take(reader.varint()))
            if tag in by_tag:
                found[by_tag[tag].name] = by_tag[tag].read(inner, version)
                assert inner.at == len(inner.data), f"tagged field {by_tag[tag].name} is longer than what it holds"
            else:
                found[f"tag {tag}"] = inner.data
    return found


class Message:
    """One direction of one API."""

    def __init__(self, description):
        self.key = description["apiKey"]
        self.versions = Versions(description["validVersions"])
        self.flexible = Versions(description.get("flexibleVersions"))
        structs = {}
        for each in description.get("commonStructs", ()):
            structs[each["name"]] = [Field(inner, structs, self.flexible) for inner in each["fields"]]
        self.fields = [Field(each, structs, self.flexible) for each in description["fields"]]

    def encode(self, given, version):
        out = bytearray()
        write_struct(out, self.fields, given, version, version in self.flexible)
        return bytes(out)

    def decode(self, data, version):
        reader = Reader(data)
        found = read_struct(reader, self.fields, version, version in self.flexible)
        assert reader.at == len(data), f"{len(data) - reader.at} bytes are behind the reply"
        return found


class Schemas:
    """All messages of a kafka-clients jar, by API name."""

    def __init__(self, jar):
        self.requests, self.responses = {}, {}
        with zipfile.ZipFile(jar) as archive:
            for name in archive.namelist():
                found = re.fullmatch(r"common/message/(\w+?)(Request|Response)\.json", name)
                if not found:
                    continue
                text = re.sub(r"^\s*//.*$", "", archive.read(name).decode(), flags=re.MULTILINE)
                description = json.loads(re.sub(r"(?<=[\[{,\s])//[^\n\"]*$", "", text, flags=re.MULTILINE))
                if "fields" in description:
                    kind = self.requests if found[2] == "Request" else self.responses
                    kind[found[1]] = Message(description)
        self.names = {message.key: name for name, message in self.requests.items()}
