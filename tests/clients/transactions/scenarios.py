"""What transactions go through, written once for every client."""

import contextlib
import itertools
import random
import secrets
import time

from client_confluent import Client
from control import kill_broker
from processes import Transactor, committed, copier, read, wait_until
from records import Record
from report import equal

RUN = secrets.token_hex(3)
PARTITIONS = 3
COPIED_PARTITIONS = 2
WAVE = 300
KILLS = 8
BROKER_KILL_EVERY = 4
SHORT_TIMEOUT_MS = 2000
CRASH_SECONDS = 60


class Work:
    """A topic, and the transactional producers of one client on it."""

    def __init__(self, bootstrap, suite, case):
        self.bootstrap, self.suite = bootstrap, suite
        self.name = f"transactions-{suite}-{case}-{RUN}"
        self.client = Client(bootstrap)
        self.client.create_topic(self.name, PARTITIONS)
        self.transactors = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for transactor in self.transactors:
            transactor.kill()
        self.client.close()

    def transactor(self, **options):
        transactor = Transactor(self.bootstrap, self.suite, self.name, **options)
        self.transactors.append(transactor)
        return transactor

    def send_everywhere(self, transactor, value):
        for partition in range(PARTITIONS):
            transactor.does("send", self.name, partition, f"{value}-{partition}")
        transactor.does("flush")

    def sees(self, *values, isolation="read_committed"):
        expected = {partition: [f"{value}-{partition}" for value in values] for partition in range(PARTITIONS)}

        def seen():
            return read(self.bootstrap, self.name, PARTITIONS, isolation)

        # Markers of a transaction that has ended are written a moment later.
        wait_until(lambda: seen() == expected, lambda: f"{isolation} sees {seen()}, not {expected}")


def commit(bootstrap, suite):
    """Records and offsets become visible together, with the commit and not before."""
    with Work(bootstrap, suite, "commit") as work:
        one = work.transactor()
        one.does("init")
        one.does("begin")
        work.send_everywhere(one, "first")
        one.does("offsets", work.name, work.name, 0, 17)
        work.sees("first", isolation="read_uncommitted")
        equal(set(map(tuple, read(bootstrap, work.name, PARTITIONS).values())), {()}, "what read_committed sees before")
        early = committed(bootstrap, work.name, work.name, 0)
        assert early in (None, "_TIMED_OUT", "UNSTABLE_OFFSET_COMMIT"), f"the offset {early} is visible before the commit"
        one.does("commit")
        work.sees("first")
        wait_until(
            lambda: committed(bootstrap, work.name, work.name, 0) == 17,
            lambda: f"committed {committed(bootstrap, work.name, work.name, 0)}",
        )


def abort(bootstrap, suite):
    """What is aborted is never seen, nor are its offsets; the next transaction is."""
    with Work(bootstrap, suite, "abort") as work:
        one = work.transactor()
        one.does("init")
        for value, end in (("first", "abort"), ("second", "commit"), ("third", "abort"), ("fourth", "commit")):
            one.does("begin")
            work.send_everywhere(one, value)
            if end == "abort":
                one.does("offsets", work.name, work.name, 0, 99)
            one.does(end)
        work.sees("second", "fourth")
        work.sees("first", "second", "third", "fourth", isolation="read_uncommitted")
        wait_until(lambda: committed(bootstrap, work.name, work.name, 0) is None, "no offset is committed")


def fence(bootstrap, suite):
    """A second producer of the same id aborts what the first has open, and the first can do no more."""
    with Work(bootstrap, suite, "fence") as work:
        zombie, heir = work.transactor(), work.transactor()
        zombie.does("init")
        zombie.does("begin")
        work.send_everywhere(zombie, "lost")
        heir.does("init")
        heir.does("begin")
        work.send_everywhere(heir, "kept")
        equal(zombie.ask("commit"), "fenced", "the zombie's commit")
        heir.does("commit")
        zombie.ask("begin")  # some clients let it
        assert zombie.ask("send", work.name, 0, "late") != "ok" or zombie.ask("flush") != "ok", "the zombie could send"
        work.sees("kept")


def time_out(bootstrap, suite):
    """A transaction that is left open is aborted by the coordinator, and cannot be committed any more."""
    with Work(bootstrap, suite, "time-out") as work:
        slow, other = work.transactor(timeout_ms=SHORT_TIMEOUT_MS), Work(bootstrap, suite, "beside")
        with other:
            slow.does("init")
            slow.does("begin")
            work.send_everywhere(slow, "slow")
            work.client.produce(work.name, [Record(b"plain-%d" % p, partition=p) for p in range(PARTITIONS)])
            work.sees("plain")  # which is stored behind the open transaction
            answer = slow.ask("commit")
            assert answer != "ok", "a transaction was committed after the coordinator had aborted it"
            work.sees("plain")


def kill_between(bootstrap, suite):
    """The broker is killed before the commit, and after it: all of it is there."""
    with Work(bootstrap, suite, "kill") as work:
        one = work.transactor()
        one.does("init")
        one.does("begin")
        work.send_everywhere(one, "first")
        one.does("offsets", work.name, work.name, 1, 5)
        kill_broker()
        one.does("commit")
        work.sees("first")
        one.does("begin")
        work.send_everywhere(one, "second")
        one.does("commit")
        if suite == "go":  # of which Apache Kafka was seen never to show the commit that it was killed after
            work.sees("first", "second")
        kill_broker()
        one.does("begin")
        work.send_everywhere(one, "third")
        one.does("abort")
        work.sees("first", "second")
        equal(committed(bootstrap, work.name, work.name, 1), 5, "committed offset")


def copy(bootstrap, suite, broker_too):
    """Instances (and the broker) are killed in the middle: the output holds each input exactly once, in order."""
    name = f"transactions-{suite}-copy-{RUN}"
    source, target = f"{name}-in", f"{name}-out"
    client = Client(bootstrap)
    for topic in (source, target):
        client.create_topic(topic, COPIED_PARTITIONS)
    total = WAVE * (KILLS + 1)
    draws = random.Random(suite)
    sent = 0

    def start(number):
        return copier(bootstrap, suite, source, target, name, f"{name}-{number}", number, total)

    def produce():
        nonlocal sent
        records = [
            Record(b"%d" % at, partition=partition) for at in range(sent, sent + WAVE) for partition in range(COPIED_PARTITIONS)
        ]
        client.produce(source, records)
        sent += WAVE

    def copied():
        return sum(map(len, read(bootstrap, target, COPIED_PARTITIONS).values()))

    def tend():
        # Kafka's copier ends once it has copied what was there when it began: when all have ended, there may be more by now.
        at_work = any(instance.poll() is None for instance in instances.values())
        revive(instances, start, finished=suite == "java" and at_work)

    def goes_on(before):
        tend()
        return copied() > before or copied() == sent * COPIED_PARTITIONS

    instances = {number: start(number) for number in range(COPIED_PARTITIONS)}
    kills = 0
    try:
        produce()
        for kill in range(KILLS):
            before = copied()
            wait_until(lambda before=before: goes_on(before), "something is copied")
            produce()
            time.sleep(draws.uniform(0, 0.4))
            if broker_too and kill % BROKER_KILL_EVERY == BROKER_KILL_EVERY - 1:
                kill_broker()
            victim = draws.randrange(COPIED_PARTITIONS)
            instances[victim].kill()
            instances[victim].wait()
            kills += 1
            revive(instances, start)

        def done():
            tend()
            return copied() >= total * COPIED_PARTITIONS

        wait_until(done, lambda: f"{copied()} of {total * COPIED_PARTITIONS} are copied", 2 * CRASH_SECONDS)
        for partition, values in read(bootstrap, target, COPIED_PARTITIONS).items():
            exactly_once(partition, [int(value) for value in values], total)
        equal(kills, KILLS, "kills")
    finally:
        for instance in instances.values():
            with contextlib.suppress(ProcessLookupError):
                instance.kill()
            instance.wait()
        client.close()


def exactly_once(partition, values, total):
    """Fails with the first place where the values are not 0 to total - 1."""
    for at, (value, expected) in enumerate(itertools.zip_longest(values, range(total))):
        if value != expected:
            near = values[max(at - 3, 0) : at + 4]
            raise AssertionError(f"partition {partition} has {len(values)} of {total}; at {at}: {near} for {expected}")


def revive(instances, start, finished=False):
    """Starts again what has died, as a supervisor would; one that has finished its part (status 0) stays so."""
    for number, instance in instances.items():
        status = instance.poll()
        if status is not None and not (finished and status == 0):
            instances[number] = start(number)
