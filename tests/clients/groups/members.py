"""A member of a group: a process that some client's suite starts, which tells what happens to it in lines of JSON."""

import json
import pathlib
import signal
import subprocess
import threading
import time

CLIENTS = pathlib.Path(__file__).resolve().parents[1]
PATIENCE_SECONDS = 60
STEP_SECONDS = 0.05
SESSION_MS = 6000


class Flavour:
    """A client library with one way of sharing partitions."""

    def __init__(self, suite, client, protocol, assignor, commit, *abilities):
        self.suite = suite
        self.client = client
        self.protocol = protocol
        self.assignor = assignor
        self.commit = commit
        self.abilities = abilities
        self.name = "/".join(filter(None, (client or suite, protocol, assignor, commit)))

    @property
    def cooperative(self):
        """Whether a rebalance takes only what moves."""
        return self.protocol == "consumer" or self.assignor == "cooperative-sticky"

    def command(self, bootstrap, options):
        client = ["--client", self.client] if self.client else []
        words = [f"{name}={value}" for name, value in options.items()]
        return [CLIENTS / self.suite / "suite", "--bootstrap", bootstrap, *client, "member", *words]


class Member:
    """A running member, and what it has told so far."""

    def __init__(self, bootstrap, flavour, group, **chosen):
        options = {
            "group": group,
            "protocol": flavour.protocol,
            "assignor": flavour.assignor,
            "commit": flavour.commit,
            "reset": "earliest",
            "session": SESSION_MS,
            **chosen,
        }
        self.group = group
        self.records = []  # (partition, offset, value)
        self.owned = set()
        self.events = []
        self.committed = {}
        self.failure = None
        self.may_end = False
        self.process = subprocess.Popen(
            flavour.command(bootstrap, options), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            start_new_session=True,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            getattr(self, f"_on_{event['event']}")(event)

    def _on_assigned(self, event):
        self.owned |= set(event["partitions"])
        self._on_change(event)

    def _on_revoked(self, event):
        self.owned -= set(event["partitions"])
        self._on_change(event)

    _on_lost = _on_revoked

    def _on_change(self, event):
        if event["partitions"]:
            self.events.append((event["event"], set(event["partitions"])))

    def _on_records(self, event):
        self.records += [(event["partition"], offset, value) for offset, value in event["records"]]

    def _on_committed(self, event):
        self.committed |= event["offsets"]

    def _on_failed(self, event):
        self.failure = event["code"]

    def _on_error(self, event):
        pass  # a library's word that it tries again

    def _on_closed(self, event):
        self.owned = set()

    def changes(self, kind, since=0):
        """The partitions of all events of a kind, from the event `since` on."""
        return [partition for event, partitions in self.events[since:] if event == kind for partition in partitions]

    def check(self):
        """Fails if the process has ended without being told to."""
        if self.process.poll() is not None and not self.may_end:
            why = self.failure or f"status {self.process.returncode}"
            raise AssertionError(f"a member ended by itself with {why}")

    def kill(self):
        """SIGKILL: the broker hears nothing."""
        self.may_end = True
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self):
        """Lets it leave, and returns when it has."""
        self.may_end = True
        self.process.stdin.write("close\n")
        self.process.stdin.flush()
        status = self.process.wait(PATIENCE_SECONDS)
        self.reader.join(PATIENCE_SECONDS)
        if status != 0:
            raise AssertionError(f"the member ended with status {status}")

    def end(self):
        """Whatever it is doing."""
        self.process.kill()
        self.process.wait()


def wait_until(holds, what, members=(), seconds=PATIENCE_SECONDS):
    """Returns once it holds; `what` may be a function that tells how things stand. None of the members may die meanwhile."""
    deadline = time.monotonic() + seconds
    while not holds():
        for member in members:
            member.check()
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(STEP_SECONDS)
