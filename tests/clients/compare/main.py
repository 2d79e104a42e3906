"""main.py --bootstrap HOST:PORT [--kafka HOST:PORT] [--only TEXT] [--verbose]

Starts Apache Kafka as the broker under test is configured (or takes one that runs), sends the same requests to both in
every version that both advertise, and compares the replies: error codes, and every field that is not a broker's own. A
case is an API and what is asked of it, at all versions. What differs for a reason is in differences.py; a reason that
nothing needs any more is a failure, too. --verbose prints every difference.
"""

import argparse
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile

import data_cases  # noqa: F401 - registers its cases
import group_cases  # noqa: F401
import topic_cases  # noqa: F401
import transaction_cases  # noqa: F401
from case import CASES, Context
from differences import DIFFERENCES
from peer import Peer, differences
from report import Report
from schema import Schemas

APACHE_KAFKA = os.environ["APACHE_KAFKA"]
# What scripts/apache-kafka.sh sets for small machines, and the broker under test may have otherwise.
ALIKE = (
    "auto.create.topics.enable",
    "group.initial.rebalance.delay.ms",
    "offsets.topic.num.partitions",
    "transaction.state.log.num.partitions",
)
OWN = (
    "listeners",
    "log.dirs",
    "log.dir",
    "node.id",
    "broker.id",
    "broker.rack",
    "advertised.listeners",
    "process.roles",
    "controller.listener.names",
    "controller.quorum.voters",
    "listener.security.protocol.map",
)
STATIC_SOURCE, DEFAULT_SOURCE = 4, 5
SHOWN_MAX = 12


def kafka_jar():
    jars = (
        subprocess.run([APACHE_KAFKA, "classpath"], check=True, stdout=subprocess.PIPE, text=True)
        .stdout.strip()
        .split(":")
    )
    return next(jar for jar in jars if pathlib.Path(jar).name.startswith("kafka-clients-"))


def broker_configs(peer):
    wanted = [{"ResourceType": 4, "ResourceName": "1", "ConfigurationKeys": None}]
    (broker,) = peer.exchange("DescribeConfigs", 4, {"Resources": wanted})["Results"]
    assert broker["ErrorCode"] == 0, broker["ErrorMessage"]
    return broker["Configs"]


def is_apache_kafka(peer):
    return any(config["Name"] == "process.roles" and config["Value"] for config in broker_configs(peer))


def settings(peer):
    """The broker's static properties."""
    return {
        config["Name"]: config["Value"]
        for config in broker_configs(peer)
        if config["Name"] in ALIKE or (config["ConfigSource"] == STATIC_SOURCE and config["Name"] not in OWN)
    }


def free_ports():
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            try:
                second.bind(("127.0.0.1", first.getsockname()[1] + 1))
                return first.getsockname()[1]
            except OSError:
                continue


class Kafka:
    """Apache Kafka for the time of the comparison."""

    def __init__(self, properties):
        self.data = pathlib.Path(tempfile.mkdtemp(prefix="compare-", dir=os.environ["CLIENTS_WORK"]))
        words = [word for name, value in properties.items() for word in ("--props", f"{name}={value}")]
        command = [APACHE_KAFKA, "start", "--port", str(free_ports()), "--data", self.data, *words]
        self.bootstrap = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run([APACHE_KAFKA, "stop", "--data", self.data], check=True)
        shutil.rmtree(self.data)


def advertised(peer):
    """Versions by API name."""
    keys = peer.exchange("ApiVersions", 3, {"ClientSoftwareName": "compare", "ClientSoftwareVersion": "1"})["ApiKeys"]
    return {peer.schemas.names[each["ApiKey"]]: (each["MinVersion"], each["MaxVersion"]) for each in keys}


class Comparison:
    def __init__(self, ours, theirs, verbose):
        self.ours, self.theirs, self.verbose = ours, theirs, verbose
        self.versions, self.kafka_versions = advertised(ours), advertised(theirs)
        self.run = secrets.token_hex(3)
        self.excused = set()

    def reason(self, api, label, path, found, wanted):
        for number, listed in enumerate(DIFFERENCES):
            if listed.covers(api, label, path, found, wanted):
                self.excused.add(number)
                return listed.reason
        return None

    def same_versions(self):
        found = []
        for api, range_ in self.versions.items():
            if api not in self.kafka_versions or range_ != self.kafka_versions[api]:
                if not self.reason(api, "versions", "", range_, self.kafka_versions.get(api)):
                    found.append(f"{api}: {range_} here, {self.kafka_versions.get(api)} there")
        assert not found, "; ".join(found)

    def compare(self, api, name, low, high, function):
        (minimum, maximum), (kafka_minimum, kafka_maximum) = self.versions[api], self.kafka_versions[api]
        low = max(low, minimum, kafka_minimum, 3 if api == "Produce" else 0)
        high = min(high, maximum, kafka_maximum)
        assert low <= high, f"no version between {low} and {high}"
        found, replies = {}, 0
        for version in range(low, high + 1):
            for peer in (self.ours, self.theirs):
                prefix = f"{self.run}-{api}-{name}-{version}"
                peer.begin(prefix)
                function(Context(peer, api, version, prefix))
                peer.close()
            replies += len(self.ours.transcript)
            for label, line in self.differing(api):
                labels, versions = found.setdefault(line, ({}, {}))
                labels[label] = versions[version] = None
        lines = [
            f"v{','.join(map(str, versions))} {line} ({'; '.join(labels)})"
            for line, (labels, versions) in found.items()
        ]
        if lines and self.verbose:
            print("\n".join(f"    {api}/{name}: {line}" for line in lines))
        assert not lines, f"{len(lines)} differences; " + "; ".join(lines[:SHOWN_MAX])
        assert replies > 0

    def differing(self, api):
        ours, theirs = self.ours.transcript, self.theirs.transcript
        assert [label for label, _ in ours] == [label for label, _ in theirs], "the two runs took different ways"
        for (label, found), (_, wanted) in zip(ours, theirs):
            for path, ours_here, theirs_here in differences(found, wanted):
                if not self.reason(api, label, path, ours_here, theirs_here):
                    yield label, f"{path}: {ours_here!r}, Kafka {theirs_here!r}"

    def every_reason_is_needed(self):
        idle = [listed.reason for number, listed in enumerate(DIFFERENCES) if number not in self.excused]
        assert not idle, f"nothing differs so any more: {idle}"


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--kafka", help="an Apache Kafka that runs already")
    parser.add_argument("--only", default="")
    parser.add_argument("--verbose", action="store_true", help="print every difference")
    options = parser.parse_args()
    schemas = Schemas(kafka_jar())
    ours = Peer(options.bootstrap, schemas)
    report = Report("compare", options.only)
    if options.kafka:
        compare_all(report, ours, Peer(options.kafka, schemas), options)
    else:
        with Kafka(settings(ours)) as kafka:
            compare_all(report, ours, Peer(kafka.bootstrap, schemas), options)
    return report.finish()


def warm_up(peer):
    """Waits until the coordinators answer."""
    for kind, name in enumerate(("group", "transactional id")):
        asked = {"KeyType": kind, "CoordinatorKeys": [name]}
        peer.until(
            f"the coordinator of a {name}",
            lambda asked=asked: peer.exchange("FindCoordinator", 4, asked)["Coordinators"][0]["ErrorCode"],
            lambda code: code == 0,
        )
    asked = {"TransactionalId": "transactional id", "TransactionTimeoutMs": 60_000}
    peer.until("transactions", lambda: peer.exchange("InitProducerId", 4, asked)["ErrorCode"], lambda code: code == 0)
    asked = {"Groups": [{"GroupId": "group", "Topics": None}]}
    peer.until(
        "groups", lambda: peer.exchange("OffsetFetch", 8, asked)["Groups"][0]["ErrorCode"], lambda code: code == 0
    )


def compare_all(report, ours, theirs, options):
    for peer in (ours, theirs):
        warm_up(peer)
    comparison = Comparison(ours, theirs, options.verbose)
    report.run("versions", comparison.same_versions)
    for api, name, *rest in CASES:
        report.run(f"{api}/{name}", comparison.compare, api, name, *rest)
    # Two Apache Kafkas differ in hardly anything.
    if not options.only and not is_apache_kafka(ours):
        report.run("every listed difference exists", comparison.every_reason_is_needed)


if __name__ == "__main__":
    sys.exit(main())
