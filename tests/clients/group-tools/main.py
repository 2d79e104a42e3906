"""main.py --bootstrap HOST:PORT [--only TEXT]

Takes the broker and an Apache Kafka of its own through the same scenario, and compares what each tool prints, case by case.
"""

import argparse
import contextlib
import datetime
import pathlib
import secrets
import shutil
import subprocess
import sys
import tempfile
import time

from client_confluent import Client
from confluent_kafka import ConsumerGroupState, ConsumerGroupType
from members import Flavour, Member, wait_until
from records import Record
from report import Report, equal
from shell import CLIENTS, Tools

SCRIPT = CLIENTS.parents[1] / "scripts" / "apache-kafka.sh"
PREFIX = f"gt-{secrets.token_hex(3)}"
NOW_MS = int(time.time() * 1000)
PARTITIONS = 3
RECORDS_A_PARTITION = 10  # the first ten hours old, each an hour younger than the one before
CLASSIC = Flavour("java", None, "classic", "range", "sync")
CONSUMER = Flavour("java", None, "consumer", "uniform", "sync")
REFERENCE_PORT_BASE = 21000


def iso(milliseconds):
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]


class World:
    """One broker, prepared."""

    def __init__(self, bootstrap, directory):
        self.bootstrap = bootstrap
        self.file = pathlib.Path(directory) / f"{bootstrap.split(':')[1]}.csv"
        self.client = Client(bootstrap)
        self.tools = Tools(bootstrap)
        self.topic, self.other = f"{PREFIX}-topic", f"{PREFIX}-other"
        self.members = []

    def prepare(self):
        """Two topics; a live group of each protocol, and one of both; one whose member has left."""
        self.fill(self.topic, PARTITIONS)
        self.fill(self.other, 1)
        live = [self.join("live-classic", CLASSIC, instance="one"), self.join("live-consumer", CONSUMER)]
        left = [self.join("left-classic", CLASSIC), self.join("left-consumer", CONSUMER)]
        total = {f"{self.topic}-{partition}": RECORDS_A_PARTITION for partition in range(PARTITIONS)}
        for member in live + left:
            wait_until(lambda m=member: m.committed == total, lambda m=member: f"everything committed, not {m.committed}", [member])
        for member in left:
            member.close()
        self.mix()
        self.client.produce(self.topic, [Record(b"lag", partition=1)])

    def mix(self):
        """A member of the classic protocol has the only partition; one of the consumer protocol is idle beside it."""
        first = self.join("live-mixed", CLASSIC, topics=self.other)
        wait_until(lambda: first.committed, "the first member commits", [first])
        self.join("live-mixed", CONSUMER, topics=self.other, instance="two")
        self.wait_until_mixed()

    def wait_until_mixed(self):
        """Waits until the mixed group has both members, and they have settled."""
        group = f"{PREFIX}-live-mixed"

        def settled():
            found = self.client.admin.describe_consumer_groups([group], request_timeout=30)[group].result()
            is_consumer = found.type == ConsumerGroupType.CONSUMER
            return is_consumer and len(found.members) == 2 and found.state == ConsumerGroupState.STABLE

        wait_until(settled, "the mixed group settles", self.members)

    def fill(self, topic, partitions):
        self.client.create_topic(topic, partitions, {"retention.ms": "-1"})
        hour = 3_600_000
        self.client.produce(topic, [
            Record(b"%d" % at, partition=partition, timestamp=NOW_MS - (10 - at) * hour)
            for at in range(RECORDS_A_PARTITION) for partition in range(partitions)
        ])

    def join(self, group, flavour, **options):
        chosen = {"topics": self.topic, "session": 45000, **options}
        member = Member(self.bootstrap, flavour, f"{PREFIX}-{group}", **chosen)
        self.members.append(member)
        return member

    def members_of(self, group):
        return [member for member in self.members if member.group == f"{PREFIX}-{group}"]

    def run(self, tool, *arguments):
        """The tool's output; in the arguments TOPIC, OTHER, FILE and GROUP/x stand for this world's names."""
        words = []
        for argument in arguments:
            word = str(argument).replace("TOPIC", self.topic).replace("OTHER", self.other).replace("FILE", str(self.file))
            words.append(f"{PREFIX}-{word.removeprefix('GROUP/')}" if word.startswith("GROUP/") else word)
        lines = self.tools.run(tool, *words, prefix=PREFIX)
        return [line.replace(str(self.file), "FILE") for line in lines]

    def close(self):
        for member in self.members:
            member.end()
        self.tools.close()
        self.client.close()


GROUPS = "kafka-consumer-groups"
LIVE = ("live-classic", "live-consumer", "live-mixed")
RESET = (GROUPS, "--reset-offsets", "--group", "GROUP/left-classic", "--topic", "TOPIC")


def reset_cases():
    """(name, commands): each reset executed, and what is described after it."""
    ways = {
        "to-earliest": ["--to-earliest"],
        "to-latest": ["--to-latest"],
        "to-offset": ["--to-offset", 4],
        "to-offset-too-far": ["--to-offset", 4000],
        "to-offset-negative": ["--to-offset", -5],
        "shift-back": ["--shift-by", -3],
        "shift-on": ["--shift-by", 2],
        "shift-too-far": ["--shift-by", 1000],
        "to-datetime": ["--to-datetime", iso(NOW_MS - 5 * 3_600_000 - 1000)],
        "to-datetime-future": ["--to-datetime", iso(NOW_MS + 3_600_000)],
        "by-duration": ["--by-duration", "PT3H30M"],
        "to-current": ["--to-current"],
    }
    describe = (GROUPS, "--describe", "--offsets", "--group", "GROUP/left-classic")
    for name, way in ways.items():
        yield f"reset/{name}/dry-run", [(*RESET, *way, "--dry-run"), describe]
        yield f"reset/{name}", [(*RESET, *way, "--execute"), describe]
    one = (GROUPS, "--reset-offsets", "--group", "GROUP/left-classic", "--topic", "TOPIC:0,2")
    yield "reset/some-partitions", [(*one, "--to-offset", 1, "--execute"), describe]
    two = (GROUPS, "--reset-offsets", "--group", "GROUP/left-classic", "--topic", "TOPIC", "--topic", "OTHER")
    yield "reset/several-topics", [(*two, "--to-latest", "--execute"), describe]
    all_topics = (GROUPS, "--reset-offsets", "--group", "GROUP/left-classic", "--all-topics")
    yield "reset/all-topics", [(*all_topics, "--shift-by", -1, "--execute"), describe]
    yield "reset/consumer-protocol", [
        (GROUPS, "--reset-offsets", "--group", "GROUP/left-consumer", "--topic", "TOPIC", "--to-offset", 2, "--execute"),
        (GROUPS, "--describe", "--offsets", "--group", "GROUP/left-consumer"),
    ]
    for group in LIVE:
        refused = (GROUPS, "--reset-offsets", "--group", f"GROUP/{group}", "--topic", "TOPIC", "--to-earliest", "--execute")
        yield f"reset/{group}", [refused, (GROUPS, "--describe", "--offsets", "--group", f"GROUP/{group}")]
    yield "reset/new-group", [
        (GROUPS, "--reset-offsets", "--group", "GROUP/simple", "--topic", "TOPIC", "--to-offset", 3, "--execute"),
        (GROUPS, "--describe", "--offsets", "--group", "GROUP/simple"),
        (GROUPS, "--describe", "--state", "--group", "GROUP/simple"),
        (GROUPS, "--list", "--state", "--type"),
    ]
    unknown = (GROUPS, "--reset-offsets", "--group", "GROUP/left-classic", "--topic", f"{PREFIX}-no-topic")
    yield "reset/no-topic", [(*unknown, "--to-earliest", "--execute")]
    yield "reset/neither-execute-nor-dry-run", [(*RESET, "--to-earliest"), describe]
    yield "reset/both-execute-and-dry-run", [(*RESET, "--to-earliest", "--execute", "--dry-run"), describe]
    all_groups = (GROUPS, "--reset-offsets", "--all-groups", "--topic", "TOPIC")
    yield "reset/all-groups", [(*all_groups, "--to-offset", 5, "--dry-run"), describe]
    left = ("--group", "GROUP/left-classic", "--group", "GROUP/left-consumer")
    describe_left = (GROUPS, "--describe", "--offsets", *left)
    several = (GROUPS, "--reset-offsets", *left, "--topic", "TOPIC")
    yield "reset/several-groups", [(*several, "--to-offset", 8, "--execute"), describe_left]
    with_live = (*several, "--group", "GROUP/live-classic")
    yield "reset/several-groups-one-live", [(*with_live, "--to-offset", 9, "--execute"), describe_left]
    yield "reset/several-groups-export", [(*several, "--to-offset", 2, "--export", "--dry-run"), describe_left]
    new = (GROUPS, "--reset-offsets", "--group", "GROUP/simple-one", "--group", "GROUP/simple-two")
    yield "reset/new-groups", [(*new, "--topic", "OTHER", "--to-offset", 3, "--execute"), (GROUPS, "--list", "--state")]
    yield "reset/export", [(*RESET, "--to-offset", 6, "--export", "--dry-run")]


def listing_cases():
    yield "list", [(GROUPS, "--list")]
    yield "list/state", [(GROUPS, "--list", "--state")]
    for state in ("stable", "empty", "dead", "preparingrebalance,empty", "no-such-state"):
        yield f"list/state-{state}", [(GROUPS, "--list", "--state", state)]
    yield "list/type", [(GROUPS, "--list", "--type")]
    for kind in ("classic", "consumer", "share", "no-such-type"):
        yield f"list/type-{kind}", [(GROUPS, "--list", "--type", kind)]
    yield "list/state-and-type", [(GROUPS, "--list", "--state", "stable", "--type", "consumer")]
    yield "groups/list", [("kafka-groups", "--list")]
    for kind in ("classic", "consumer", "share"):
        yield f"groups/type-{kind}", [("kafka-groups", "--list", "--group-type", kind)]
    yield "groups/protocol", [("kafka-groups", "--list", "--protocol", "consumer")]
    yield "groups/consumer", [("kafka-groups", "--list", "--consumer")]


def describing_cases():
    for group in (*LIVE, "left-classic", "left-consumer", "no-such-group"):
        describe = (GROUPS, "--describe", "--group", f"GROUP/{group}")
        yield f"describe/{group}", [describe]
        yield f"describe/{group}/offsets-verbose", [(*describe, "--offsets", "--verbose")]
        yield f"describe/{group}/members", [(*describe, "--members")]
        yield f"describe/{group}/members-verbose", [(*describe, "--members", "--verbose")]
        yield f"describe/{group}/state", [(*describe, "--state")]
        yield f"describe/{group}/state-verbose", [(*describe, "--state", "--verbose")]
    both = (GROUPS, "--describe", "--group", "GROUP/live-classic", "--group", "GROUP/live-consumer")
    yield "describe/two-groups", [both]
    several = tuple(word for group in (*LIVE, "left-classic", "no-such-group") for word in ("--group", f"GROUP/{group}"))
    for chosen, name in ((several, "several-groups"), (("--all-groups",), "all-groups")):
        describe = (GROUPS, "--describe", *chosen)
        yield f"describe/{name}", [describe]
        for what in ("offsets", "members", "state"):
            yield f"describe/{name}/{what}-verbose", [(*describe, f"--{what}", "--verbose")]


def deleting_cases():
    """What goes away, last."""
    two = ("--group", "GROUP/simple-one", "--group", "GROUP/simple-two")
    yield "delete/two", [(GROUPS, "--delete", *two), (GROUPS, "--list", "--state", "--type"), (GROUPS, "--delete", *two)]
    for group in (*LIVE, "left-classic", "left-consumer", "no-such-group"):
        chosen = ("--group", f"GROUP/{group}")
        describe = (GROUPS, "--describe", "--offsets", *chosen)
        yield f"delete-offsets/{group}", [(GROUPS, "--delete-offsets", *chosen, "--topic", "TOPIC:1"), describe]
        yield f"delete-offsets/{group}/other-topic", [(GROUPS, "--delete-offsets", *chosen, "--topic", "OTHER"), describe]
        no_topic = (GROUPS, "--delete-offsets", *chosen, "--topic", f"{PREFIX}-no-topic")
        yield f"delete-offsets/{group}/no-topic", [no_topic]
        yield f"delete/{group}", [(GROUPS, "--delete", *chosen), (GROUPS, "--describe", "--state", *chosen)]
    several = ("--group", "GROUP/simple", "--group", "GROUP/live-classic", "--group", "GROUP/no-such-group")
    yield "delete/several", [(GROUPS, "--delete", *several), (GROUPS, "--list", "--state", "--type")]


def compare(worlds, commands):
    """The same commands print the same in every world."""
    for command in commands:
        broker, kafka = (world.run(*command) for world in worlds)
        if broker != kafka:
            only_broker = [line for line in broker if line not in kafka]
            only_kafka = [line for line in kafka if line not in broker]
            raise AssertionError(f"{' '.join(map(str, command))}: Apache Kafka prints {only_kafka}, the broker {only_broker}")


def from_file(worlds):
    """What is exported can be reset to, whatever happened since."""
    group = ("--group", "GROUP/left-classic")
    for world in worlds:
        exported = world.run(*RESET, "--to-offset", 7, "--export", "--dry-run")
        world.file.write_text("\n".join(line for line in exported if line.count(",") == 2) + "\n")
    describe = (GROUPS, "--describe", "--offsets", *group)
    compare(worlds, [(GROUPS, "--reset-offsets", *group, "--from-file", "FILE", "--execute"), describe])


def from_file_several(worlds):
    """The same of several groups, whose names stand in the file, too."""
    groups = ("--group", "GROUP/left-classic", "--group", "GROUP/left-consumer")
    reset = (GROUPS, "--reset-offsets", *groups)
    for world in worlds:
        exported = world.run(*reset, "--topic", "TOPIC", "--to-offset", 1, "--export", "--dry-run")
        world.file.write_text("\n".join(line for line in exported if line.count(",") == 3) + "\n")
    describe = (GROUPS, "--describe", "--offsets", *groups)
    for mode in ("--dry-run", "--execute"):
        compare(worlds, [(*reset, "--from-file", "FILE", mode), describe])


def remove_members(worlds, group, *instances):
    """Members that an operator removes are told the same, and come back."""
    members = [world.members_of(group)[0] for world in worlds]
    before = [len(member.events) for member in members]
    compare(worlds, [("remove-members", f"GROUP/{group}", *instances)])
    noticed = []
    for member, seen in zip(members, before, strict=True):
        wait_until(lambda m=member, s=seen: len(m.events) >= s + 2, "the member loses its partitions and has them back", [member])
        noticed.append([(event, len(partitions)) for event, partitions in member.events[seen:]])
    equal(noticed[0], noticed[1], "what the member noticed")


def remove_from_mixed(worlds):
    """Without its only member of the consumer protocol the group is classic, and the heartbeats of that one find no such group."""
    compare(worlds, [("remove-members", "GROUP/live-mixed", "two")])
    for world in worlds:
        removed = world.members_of("live-mixed")[1]
        removed.may_end = True
        wait_until(lambda member=removed: member.failure, "the removed member fails", [removed])
        equal(removed.failure, "GROUP_ID_NOT_FOUND", "failure of the removed member")
    compare(worlds, [(GROUPS, "--describe", "--members", "--verbose", "--group", "GROUP/live-mixed"), (GROUPS, "--list", "--type")])


def removing_cases():
    """(name, function, arguments)"""
    yield "remove/live-classic/instance", remove_members, ("live-classic", "one", "nobody")
    for group in ("live-classic", "live-consumer"):
        yield f"remove/{group}/all", remove_members, (group,)
    yield "remove/live-mixed/instance", remove_from_mixed, ()
    for group in ("left-classic", "left-consumer", "no-such-group"):
        removals = [("remove-members", f"GROUP/{group}"), ("remove-members", f"GROUP/{group}", "one")]
        yield f"remove/{group}", compare, (removals,)


@contextlib.contextmanager
def apache_kafka():
    data = tempfile.mkdtemp(prefix="group-tools-")
    port = REFERENCE_PORT_BASE + 2 * secrets.randbelow(4000)
    subprocess.run([SCRIPT, "start", "--port", str(port), "--data", data], check=True, stdout=subprocess.DEVNULL)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        subprocess.run([SCRIPT, "stop", "--data", data], check=True)
        shutil.rmtree(data)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    report = Report("group-tools", options.only)
    with apache_kafka() as reference, tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as opened:
        worlds = []
        for bootstrap in (options.bootstrap, reference):
            world = World(bootstrap, directory)
            opened.callback(world.close)
            worlds.append(world)
            world.prepare()
        for cases in (listing_cases, describing_cases, reset_cases):
            for name, commands in cases():
                report.run(name, compare, worlds, commands)
        report.run("reset/from-file", from_file, worlds)
        report.run("reset/from-file-several-groups", from_file_several, worlds)
        for name, body, arguments in removing_cases():
            report.run(name, body, worlds, *arguments)
        for name, commands in deleting_cases():
            report.run(name, compare, worlds, commands)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
