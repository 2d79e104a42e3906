"""main.py --bootstrap HOST:PORT [--only TEXT]

Each step starts a Java virtual machine, so that the cases ask a tool as little as shows that it works.
"""

import argparse
import hashlib
import json
import pathlib
import re
import secrets
import subprocess
import sys
import tempfile
import time

import records
from report import Report, equal

SCRIPT = pathlib.Path(__file__).parents[3] / "scripts" / "apache-kafka.sh"
TIMEOUT_SECONDS = 60
RUN = secrets.token_hex(3)
ATTEMPTS = 3


class Cases:
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def run(self, tool, *arguments, stdin=""):
        """Exit status and output, standard output before standard error."""
        command = [SCRIPT, "tool", tool, *map(str, arguments), "--bootstrap-server", self.bootstrap]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
        return done.returncode, done.stdout, done.stderr

    def succeed(self, tool, *arguments, stdin=""):
        status, output, errors = self.run(tool, *arguments, stdin=stdin)
        assert status == 0, f"{tool} {' '.join(map(str, arguments))} failed: {output.strip()} {errors.strip()}"
        return output

    def fail(self, expected, tool, *arguments):
        status, output, errors = self.run(tool, *arguments)
        assert status != 0, f"{tool} {arguments} succeeded: {output}"
        assert expected in output + errors, f"expected '{expected}', got: {output} {errors}"

    def retry(self, check):
        """What a controller has decided reaches the brokers' metadata a moment later."""
        for attempt in range(ATTEMPTS):
            try:
                return check()
            except AssertionError:
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(0.2)

    def topic(self, case, *arguments):
        name = f"tools-{case}-{RUN}"
        self.succeed("kafka-topics", "--create", "--topic", name, *arguments)
        return name

    def topics(self):
        topic = self.topic("topics", "--partitions", 3, "--replication-factor", 1, "--config", "retention.ms=777777")
        self.retry(lambda: self.described(topic, 3))
        assert topic in self.succeed("kafka-topics", "--list").split(), "the topic is not listed"
        self.succeed("kafka-topics", "--create", "--if-not-exists", "--topic", topic)
        self.fail("already exists", "kafka-topics", "--create", "--topic", topic)
        self.succeed("kafka-topics", "--alter", "--topic", topic, "--partitions", 5)
        self.retry(lambda: self.described(topic, 5))
        self.succeed("kafka-topics", "--delete", "--topic", topic)
        self.retry(lambda: self.fail("does not exist", "kafka-topics", "--describe", "--topic", topic))

    def described(self, topic, partitions):
        lines = self.succeed("kafka-topics", "--describe", "--topic", topic).strip().split("\n")
        summary = (
            f"Topic: {topic}\t",
            f"PartitionCount: {partitions}\t",
            "ReplicationFactor: 1\t",
            "retention.ms=777777",
        )
        for text in summary:
            assert text in lines[0], f"'{text}' is not in '{lines[0]}'"
        equal(len(lines), 1 + partitions, "lines")
        for partition, line in enumerate(lines[1:]):
            found = re.search(r"Partition: (\d+)\tLeader: (\d+)\tReplicas: (\d+)\tIsr: (\d+)", line)
            assert found, f"unexpected line: {line}"
            equal(int(found[1]), partition, "partition")
            assert found[2] == found[3] == found[4], f"leader, replicas and ISR differ: {line}"

    def invalid_topics(self):
        create = ("kafka-topics", "--create", "--topic")
        self.fail("InvalidTopicException", *create, "a b")
        replicas = (f"tools-replicas-{RUN}", "--replication-factor", 9)
        self.fail("InvalidReplicationFactorException", *create, *replicas)
        config = (f"tools-config-{RUN}", "--config", "max.message.bytes=-7")
        self.fail("Invalid value -7 for configuration max.message.bytes", *create, *config)

    def configs(self):
        topic = self.topic("configs")
        entity = ("--entity-type", "topics", "--entity-name", topic)
        self.succeed(
            "kafka-configs", "--alter", *entity, "--add-config", "cleanup.policy=[delete,compact],retention.ms=4242"
        )
        self.retry(lambda: self.has_configs(topic, "cleanup.policy=delete,compact", "retention.ms=4242"))
        self.succeed("kafka-configs", "--alter", *entity, "--delete-config", "retention.ms")
        self.retry(lambda: self.has_configs(topic, "cleanup.policy=delete,compact"))
        everything = self.succeed("kafka-configs", "--describe", "--all", *entity)
        assert re.search(r"max\.message\.bytes=1048588 sensitive=false synonyms=\{", everything), everything
        self.fail(
            "InvalidConfigurationException", "kafka-configs", "--alter", *entity, "--add-config", "segment.bytes=soon"
        )

    def has_configs(self, topic, *expected):
        output = self.succeed("kafka-configs", "--describe", "--entity-type", "topics", "--entity-name", topic)
        own = sorted(line.split(" sensitive=")[0].strip() for line in output.splitlines()[1:])
        equal(own, sorted(expected), "the topic's own configs")

    def group_configs(self):
        """Configs of a group are set, shown, refused outside of the broker's bounds, and unset."""
        entity = ("--entity-type", "groups", "--entity-name", f"tools-group-configs-{RUN}")
        self.succeed(
            "kafka-configs", "--alter", *entity, "--add-config", "consumer.session.timeout.ms=50000,streams.num.standby.replicas=1"
        )
        shown = "  consumer.session.timeout.ms=50000 sensitive=false synonyms={DYNAMIC_GROUP_CONFIG:consumer.session.timeout.ms=50000, "
        self.retry(lambda: self.shows(shown, *entity))
        self.retry(lambda: self.shows(shown, "--entity-type", "groups"))
        everything = self.succeed("kafka-configs", "--describe", "--all", *entity)
        assert "share.auto.offset.reset=latest sensitive=false synonyms={DEFAULT_CONFIG:share.auto.offset.reset=latest}" in everything
        for setting in ("consumer.session.timeout.ms=3600000", "consumer.session.timeout.ms=soon", "nonsense=1"):
            self.fail("InvalidConfigurationException", "kafka-configs", "--alter", *entity, "--add-config", setting)
        self.succeed("kafka-configs", "--alter", *entity, "--delete-config", "consumer.session.timeout.ms")
        self.retry(lambda: self.shows("  streams.num.standby.replicas=1 ", *entity, not_shown="consumer.session.timeout.ms"))

    def shows(self, text, *entity, not_shown=None):
        output = self.succeed("kafka-configs", "--describe", *entity)
        assert text in output and (not_shown is None or not_shown not in output), output

    def console(self):
        """Keys, headers, tombstones and null keys by the console producer, printed in full by the console consumer."""
        topic = self.topic("console", "--partitions", 1)
        properties = ("parse.key=true", "parse.headers=true", "null.marker=NULL")
        reader = [word for setting in properties for word in ("--reader-property", setting)]
        text = "a:1,a:2\tk1\tv1\nb:\tk2\tNULL\nNULL\tNULL\tv3\n" + "".join(
            f"n:{n}\tk\tline {n}\n" for n in range(3, 200)
        )
        for codec in ("gzip", "zstd"):
            self.succeed("kafka-console-producer", "--topic", topic, "--compression-codec", codec, *reader, stdin=text)
        printed = self.console_lines(topic, 0, 400)
        equal(printed[:3], ["0\ta:1,a:2\tk1\tv1", "1\tb:\tk2\tnull", "2\tNO_HEADERS\tnull\tv3"], "first records")
        equal([line.split("\t")[0] for line in printed], [str(n) for n in range(400)], "offsets")
        equal(printed[399], "399\tn:199\tk\tline 199", "last record")
        equal(self.console_lines(topic, 250, 150), printed[250:], "records from the middle")

    def console_lines(self, topic, offset, count):
        shown = ("print.offset=true", "print.headers=true", "print.key=true")
        formatter = [word for setting in shown for word in ("--formatter-property", setting)]
        place = ("--topic", topic, "--partition", 0, "--offset", offset, "--max-messages", count)
        output = self.succeed("kafka-console-consumer", *place, "--timeout-ms", 20_000, *formatter)
        return [line.removeprefix("Offset:") for line in output.splitlines()]

    def produce(self, topic, count, size, *settings):
        """kafka-producer-perf-test as fast as it goes."""
        chosen = ("--command-property", *settings) if settings else ()
        amount = ("--num-records", count, "--record-size", size, "--throughput", -1)
        return self.succeed("kafka-producer-perf-test", "--topic", topic, *amount, *chosen)

    def producer_performance(self):
        topic = self.topic("performance", "--partitions", 4)
        for settings in ("acks=all", "acks=1 compression.type=lz4 enable.idempotence=false"):
            output = self.produce(topic, 50_000, 200, *settings.split())
            assert re.search(r"50000 records sent, .* records/sec .* avg latency", output), output
        offsets = self.offsets(topic, "latest")
        equal(sum(offset for _, offset in offsets), 100_000, "records in all partitions")

    def real_file(self):
        """The lines of a file through the console producer, and back through the console consumer."""
        topic = self.topic("file", "--partitions", 1, "--config", "segment.bytes=1048576")
        text = b"\n".join(records.file_lines()).decode() + "\n"
        self.succeed("kafka-console-producer", "--topic", topic, stdin=text)
        place = ("--topic", topic, "--partition", 0, "--offset", "earliest", "--max-messages", records.FILE_LINES)
        received = self.succeed("kafka-console-consumer", *place, "--timeout-ms", 20_000)
        equal(
            hashlib.sha256(received.encode()).hexdigest(),
            hashlib.sha256(text.encode()).hexdigest(),
            "sha256 of the file",
        )

    def verifiable_producer(self):
        topic = self.topic("verifiable", "--partitions", 1)
        hour_ago = int(time.time() * 1000) - 3_600_000
        output = self.succeed(
            "kafka-verifiable-producer",
            "--topic",
            topic,
            "--max-messages",
            2000,
            "--acks",
            -1,
            "--repeating-keys",
            10,
            "--message-create-time",
            hour_ago,
        )
        events = [json.loads(line) for line in output.splitlines()]
        sent = [event for event in events if event["name"] == "producer_send_success"]
        equal([event["offset"] for event in sent], list(range(2000)), "offsets")
        (summary,) = [event for event in events if event["name"] == "tool_data"]
        equal((summary["sent"], summary["acked"]), (2000, 2000), "sent and acknowledged")

    def offsets(self, topic, moment):
        output = self.succeed("kafka-get-offsets", "--topic", topic, "--time", moment)
        return sorted(
            tuple(int(word) for word in line.split(":")[1:]) for line in output.splitlines() if line.split(":")[2]
        )

    def get_offsets(self):
        topic = self.topic("offsets", "--partitions", 2)
        self.produce(topic, 1000, 10)
        latest = self.offsets(topic, "latest")
        equal(sum(offset for _, offset in latest), 1000, "records")
        equal(self.offsets(topic, "earliest"), [(0, 0), (1, 0)], "earliest offsets")
        filled = [(partition, 0) for partition, offset in latest if offset > 0]
        equal(self.offsets(topic, records.FIRST_TIMESTAMP), filled, "offsets since a time before all records")
        equal(
            [partition for partition, _ in self.offsets(topic, "max-timestamp")],
            [p for p, _ in filled],
            "max-timestamp",
        )

    def consumers_in_groups(self):
        """The consumers among the tools, each with a group of its own."""
        topic = self.topic("groups", "--partitions", 2)
        self.produce(topic, 2000, 10)
        for protocol in ("classic", "consumer"):
            group = f"tools-{protocol}-{RUN}"
            place = ("--topic", topic, "--group", group, "--from-beginning", "--timeout-ms", 20_000)
            chosen = ("--command-property", f"group.protocol={protocol}", "--max-messages", 2000)
            output = self.succeed("kafka-console-consumer", *place, *chosen)
            equal(len(output.splitlines()), 2000, f"records through the {protocol} protocol")
        output = self.succeed("kafka-consumer-perf-test", "--topic", topic, "--num-records", 2000, "--timeout", 20_000)
        assert re.search(r", 2000, ", output), output

    def verifiable_consumer(self):
        topic, group = self.topic("verified", "--partitions", 1), f"tools-verified-{RUN}"
        self.produce(topic, 500, 10)
        chosen = ("--topic", topic, "--group-id", group, "--max-messages", 500, "--reset-policy", "earliest")
        events = [json.loads(line) for line in self.succeed("kafka-verifiable-consumer", *chosen).splitlines()]
        equal(sum(event["count"] for event in events if event["name"] == "records_consumed"), 500, "records consumed")
        commits = [event for event in events if event["name"] == "offsets_committed"]
        assert all(event["success"] for event in commits), f"a commit failed: {commits}"
        equal(commits[-1]["offsets"][0]["offset"], 500, "offset committed last")

    def end_to_end_latency(self):
        topic = self.topic("latency", "--partitions", 1)
        chosen = ("--topic", topic, "--num-records", 200, "--producer-acks", "all", "--record-size", 100)
        assert re.search(r"Percentiles: 50th = \d+", self.succeed("kafka-e2e-latency", *chosen)), "no percentiles"

    def delete_records(self):
        topic = self.topic("delete-records", "--partitions", 1)
        self.produce(topic, 100, 10)
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump({"partitions": [{"topic": topic, "partition": 0, "offset": 40}], "version": 1}, file)
            file.flush()
            output = self.succeed("kafka-delete-records", "--offset-json-file", file.name)
        assert "low_watermark: 40" in output, output
        equal(self.offsets(topic, "earliest"), [(0, 40)], "earliest offset")

    def cluster(self):
        assert re.search(r"Cluster ID: \S+", self.succeed("kafka-cluster", "cluster-id")), "no cluster id"
        versions = self.succeed("kafka-broker-api-versions")
        for api in ("Produce(0)", "Fetch(1)", "ListOffsets(2)", "Metadata(3)", "ApiVersions(18)", "CreateTopics(19)"):
            assert api in versions, f"{api} is not in {versions}"

    def all(self):
        return {
            "cluster": self.cluster,
            "topics": self.topics,
            "invalid-topics": self.invalid_topics,
            "configs": self.configs,
            "group-configs": self.group_configs,
            "console": self.console,
            "producer-performance": self.producer_performance,
            "real-file": self.real_file,
            "verifiable-producer": self.verifiable_producer,
            "get-offsets": self.get_offsets,
            "delete-records": self.delete_records,
            "consumers-in-groups": self.consumers_in_groups,
            "verifiable-consumer": self.verifiable_consumer,
            "end-to-end-latency": self.end_to_end_latency,
        }


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    report = Report("tools", options.only)
    for name, case in Cases(options.bootstrap).all().items():
        report.run(name, case)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
