"""Kafka Connect: two distributed workers carry the lines of a file through a topic to another file; one is killed."""

import http.client
import json
import pathlib
import socket

from application import Application, create, wait_until
from report import equal

MAIN = "org.apache.kafka.connect.cli.ConnectDistributed"
LINES = 1000
FILE = "org.apache.kafka.connect.file.FileStream{}Connector"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Worker(Application):
    def __init__(self, bootstrap, directory, name, number):
        self.port = free_port()
        settings = {
            "bootstrap.servers": bootstrap,
            "group.id": name,
            "listeners": f"http://127.0.0.1:{self.port}",
            "rest.advertised.host.name": "127.0.0.1",
            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "value.converter": "org.apache.kafka.connect.storage.StringConverter",
            "offset.flush.interval.ms": 300,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
            "scheduled.rebalance.max.delay.ms": 1000,
            **{f"{kind}.storage.topic": f"{name}-{kind}s" for kind in ("offset", "config")},
            "status.storage.topic": f"{name}-status",
            **{f"{kind}.storage.replication.factor": 1 for kind in ("offset", "config", "status")},
            "offset.storage.partitions": 3,
            "status.storage.partitions": 2,
        }
        file = pathlib.Path(directory) / f"{name}-{number}.properties"
        file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        super().__init__(directory, f"{name}-{number}", MAIN, file)

    def request(self, method, path, body=None):
        """Status and body; None and nothing while it does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null")
        except (OSError, http.client.HTTPException, json.JSONDecodeError):  # a worker that starts answers with a page
            return None, None
        finally:
            connection.close()

    def runs(self, connector):
        """Whether the connector and its only task run; the worker that the task is on."""
        status, told = self.request("GET", f"/connectors/{connector}/status")
        if status != 200 or told["connector"]["state"] != "RUNNING":
            return None
        running = [task["worker_id"] for task in told["tasks"] if task["state"] == "RUNNING"]
        return running[0] if len(running) == 1 else None

    def put(self, connector, settings):
        def accepted():
            status, _ = self.request("PUT", f"/connectors/{connector}/config", settings)
            return status in (200, 201)

        wait_until(accepted, f"{connector} is accepted", [self])


def workers(bootstrap, directory, name):
    topic, source, sink = f"{name}-lines", pathlib.Path(directory) / f"{name}.in", pathlib.Path(directory) / f"{name}.out"
    client = create(bootstrap, (topic, 1))
    lines = []

    def append():
        more = [f"line {number} of a file" for number in range(len(lines), len(lines) + LINES)]
        lines.extend(more)
        with open(source, "a") as file:
            file.writelines(f"{line}\n" for line in more)

    def written():
        return sink.read_text().splitlines() if sink.exists() else []

    append()
    started = [Worker(bootstrap, directory, name, 0)]
    first = started[0]
    try:
        wait_until(lambda: first.request("GET", "/connectors")[0] == 200, "the worker answers", [first])
        common = {"tasks.max": "1"}
        first.put("source", {**common, "connector.class": FILE.format("Source"), "file": str(source), "topic": topic})
        first.put("sink", {**common, "connector.class": FILE.format("Sink"), "file": str(sink), "topics": topic})
        wait_until(lambda: written() == lines, lambda: f"{len(written())} of {len(lines)} lines", [first])
        second = Worker(bootstrap, directory, name, 1)
        started.append(second)

        def spread():
            return {second.runs("source"), second.runs("sink")} == {f"127.0.0.1:{w.port}" for w in (first, second)}

        wait_until(spread, "each worker has a task", [first, second])
        append()
        wait_until(lambda: set(written()) == set(lines), lambda: f"{len(written())} of {len(lines)} lines", [first, second])
        first.kill()
        append()
        wait_until(lambda: set(written()) == set(lines), lambda: f"{len(written())} of {len(lines)} lines", [second])
        equal(list(dict.fromkeys(written())), lines, "lines in order, whatever came twice")
        here = f"127.0.0.1:{second.port}"
        wait_until(lambda: (second.runs("source"), second.runs("sink")) == (here, here), "both tasks run there", [second])
        equal(second.request("DELETE", "/connectors/source")[0], 204, "status of the deletion")
        wait_until(lambda: second.request("GET", "/connectors")[1] == ["sink"], "the source is gone", [second])
        second.terminate()
    finally:
        for worker in started:
            worker.kill()
        client.close()
