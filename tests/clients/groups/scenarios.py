"""What groups go through, written once for every client."""

import secrets
import time

from confluent_kafka import Consumer, KafkaException, TopicPartition
from client_confluent import Client, _Silent
from members import Member, wait_until
from records import Record
from report import equal

RUN = secrets.token_hex(3)
PARTITIONS = 6
WAVE = 120  # records
STATIC_SESSION_MS = 30_000  # within which a static member comes back, even on a loaded machine
QUIET_SECONDS = 1  # long enough for several heartbeats


class Group:
    """A topic, a group that reads it, and the members that were started."""

    def __init__(self, bootstrap, flavour, case):
        self.bootstrap = bootstrap
        self.flavour = flavour
        self.name = f"groups-{flavour.name.replace('/', '-')}-{case}-{RUN}"
        self.topic = self.name
        self.client = Client(bootstrap)
        self.client.create_topic(self.topic, PARTITIONS)
        self.sent = 0
        self.members = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for member in self.members:
            member.end()
        self.client.close()

    def wait_until(self, holds, what):
        wait_until(holds, what, self.members)

    @property
    def partitions(self):
        return {f"{self.topic}-{partition}" for partition in range(PARTITIONS)}

    def start(self, flavour=None, **options):
        member = Member(self.bootstrap, flavour or self.flavour, self.name, topics=self.topic, **options)
        self.members.append(member)
        return member

    def produce(self, count=WAVE):
        """Sends records whose values are their partition and offset."""
        numbers = range(self.sent, self.sent + count)
        self.client.produce(
            self.topic,
            [Record(b"%d:%d" % (n % PARTITIONS, n // PARTITIONS), partition=n % PARTITIONS) for n in numbers],
        )
        self.sent += count

    def expected(self, start=0, end=None):
        return {(f"{self.topic}-{n % PARTITIONS}", n // PARTITIONS) for n in range(start, self.sent if end is None else end)}

    def shared_by(self, *members):
        """Waits until exactly these members hold all partitions, none idle, none twice, and it stays so."""

        def settled():
            owned = [member.owned for member in members]
            return all(owned) and sum(map(len, owned)) == PARTITIONS and set().union(*owned) == self.partitions

        def stays():
            if not settled():
                return False
            before = [len(member.events) for member in members]
            time.sleep(QUIET_SECONDS)
            return settled() and before == [len(member.events) for member in members]

        self.wait_until(stays, lambda: f"owned: {[sorted(member.owned) for member in members]} of {len(self.partitions)}")

    def received_by(self, members, start=0, end=None):
        """Waits until the members together have received every record from number `start` to `end`; checks each value."""

        def received():
            return {(partition, offset) for member in members for partition, offset, _ in member.records}

        expected = self.expected(start, end)
        self.wait_until(lambda: received() >= expected, lambda: f"{len(expected - received())} records are missing")
        for member in members:
            for partition, offset, value in member.records:
                equal(value, f"{partition.rsplit('-', 1)[1]}:{offset}", f"value in {partition} at {offset}")

    def committed(self):
        """The group's offsets by partition number, None where there is none; nothing while the coordinator loads."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.name}, logger=_Silent())
        try:
            places = [TopicPartition(self.topic, partition) for partition in range(PARTITIONS)]
            found = consumer.committed(places, timeout=30)
            return [place.offset if place.offset >= 0 else None for place in found]
        except KafkaException as error:
            if error.args[0].name() in ("NOT_COORDINATOR", "COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE"):
                return []
            raise
        finally:
            consumer.close()

    def commits_reach_the_end(self):
        end = self.sent // PARTITIONS
        self.wait_until(lambda: self.committed() == [end] * PARTITIONS, lambda: f"committed {self.committed()}, not {end} each")

    def close(self):
        """Ends the members; returns what the group has committed, as $CLIENTS_OFFSETS has it."""
        for member in self.members:
            member.end()
        committed = {f"{self.topic}-{partition}": offset for partition, offset in enumerate(self.committed())}
        self.client.close()
        return {self.name: committed}


def life(bootstrap, flavour):
    """Members come, leave and are killed; every record reaches a member, and each one's offset is committed."""
    with Group(bootstrap, flavour, "life") as group:
        group.produce()
        first = group.start()
        group.shared_by(first)
        second = group.start()
        group.shared_by(first, second)
        third = group.start()
        group.shared_by(first, second, third)
        equal(sorted(len(member.owned) for member in group.members), [2, 2, 2], "partitions a member")
        if flavour.cooperative:
            moved_only_what_had_to_move(group)
        group.produce()
        group.received_by(group.members)
        third.kill()
        group.shared_by(first, second)
        second.close()
        group.shared_by(first)
        group.produce()
        group.received_by(group.members)
        nothing_twice_from_one_assignment(first)
        group.commits_reach_the_end()
        first.close()
        group.commits_reach_the_end()


def moved_only_what_had_to_move(group):
    first, second, third = group.members
    taken = first.changes("revoked")
    equal(len(taken), len(set(taken)), "partitions revoked from the first member, each once")
    equal(len(taken), PARTITIONS - len(first.owned), "partitions revoked from the first member")
    equal(sum(len(m.changes("revoked")) for m in (second, third)), 5 - len(taken), "partitions revoked from the others")
    equal(sum(len(member.changes("lost")) for member in group.members), 0, "partitions lost")


def nothing_twice_from_one_assignment(member):
    """A member that kept a partition all the time sees each of its records once."""
    kept = member.owned - set(member.changes("revoked")) - set(member.changes("lost"))
    seen = [(partition, offset) for partition, offset, _ in member.records if partition in kept]
    equal(len(seen), len(set(seen)), "records of the partitions that were never taken away")


def static(bootstrap, flavour):
    """
    A static member that comes back in time gets its partitions back, and nobody else notices. With the classic protocol
    it may have been killed; with the consumer protocol it says that it will be back (KIP-848), or is refused until its
    session has expired.
    """
    with Group(bootstrap, flavour, "static") as group:
        group.produce()
        first, second = (group.start(instance=name, session=STATIC_SESSION_MS) for name in ("first", "second"))
        group.shared_by(first, second)
        group.received_by(group.members)
        had, seen = set(second.owned), len(first.events)
        if flavour.protocol == "classic":
            second.kill()
        else:
            second.close()
        again = group.start(instance="second", session=STATIC_SESSION_MS)
        group.shared_by(first, again)
        equal(again.owned, had, "partitions of the member that came back")
        group.produce()
        group.received_by([first, again], start=WAVE)
        equal(first.events[seen:], [], "what the other member noticed")


def static_killed(bootstrap, flavour):
    """
    A static member of the consumer protocol that was killed could not say that it will be back: until its session ends its name
    is not given to another, nor its partitions (KIP-848).
    """
    with Group(bootstrap, flavour, "static-killed") as group:
        group.produce()
        first, second = (group.start(instance=name) for name in ("first", "second"))
        group.shared_by(first, second)
        group.received_by(group.members)
        seen = len(first.events)
        second.kill()
        early = group.start(instance="second")
        early.may_end = True
        group.wait_until(lambda: early.failure, "the member that comes back too soon fails")
        equal(early.failure, "UNRELEASED_INSTANCE_ID", "failure")
        equal(first.events[seen:], [], "what the other member noticed")
        group.shared_by(first)
        again = group.start(instance="second")
        group.shared_by(first, again)
        group.produce()
        group.received_by([first, again], start=WAVE)


def reset(bootstrap, flavour):
    """Where a group without offsets begins."""
    with Group(bootstrap, flavour, "reset") as group:
        group.produce()
        if "none" in flavour.abilities:
            without = Member(bootstrap, flavour, f"{group.name}-none", topics=group.topic, reset="none")
            without.may_end = True
            group.members.append(without)
            group.wait_until(lambda: without.failure, "the member without an offset to begin at fails")
            equal(without.failure, "NO_OFFSET", "failure")
        late = Member(bootstrap, flavour, f"{group.name}-latest", topics=group.topic, reset="latest")
        group.members.append(late)
        group.shared_by(late)
        group.produce()
        group.received_by([late], start=WAVE)
        equal({(p, o) for p, o, _ in late.records}, group.expected(WAVE), "records since the latest offset")
        if "duration" in flavour.abilities:
            by_duration(group)


def by_duration(group):
    """KIP-1106: everything younger than a duration."""
    topic = f"{group.topic}-old"
    group.client.create_topic(topic, 1, {"retention.ms": "-1"})
    now = int(time.time() * 1000)
    ages_hours = (50, 30, 10, 2)
    old = [Record(b"0:%d" % at, partition=0, timestamp=now - age * 3_600_000) for at, age in enumerate(ages_hours)]
    group.client.produce(topic, old)
    young = Member(group.bootstrap, group.flavour, topic, topics=topic, reset="by_duration:PT20H")
    group.members.append(young)
    group.wait_until(lambda: len(young.records) == 2, lambda: f"two records, not {young.records}")
    equal([offset for _, offset, _ in young.records], [2, 3], "offsets of the records younger than 20 hours")


def pattern(bootstrap, flavour):
    """The broker resolves a regular expression, and sees topics that come later."""
    with Group(bootstrap, flavour, "pattern") as group:
        group.produce()
        member = Member(bootstrap, flavour, f"{group.name}-p", pattern=f"{group.topic}.*")
        group.members.append(member)
        group.received_by([member])
        later = f"{group.topic}-later"
        group.client.create_topic(later, 2)
        group.client.produce(later, [Record(b"1:0", partition=1)])
        group.wait_until(lambda: (f"{later}-1", 0, "1:0") in member.records, "the record of the topic that came later")
        equal(member.owned, group.partitions | {f"{later}-0", f"{later}-1"}, "partitions")


class AcrossKill:
    """One group whose members live while the broker is killed, and one that was left before and is joined after."""

    def __init__(self, bootstrap, flavour):
        self.flavour = flavour
        self.living = Group(bootstrap, flavour, "living")
        self.left = Group(bootstrap, flavour, "left")

    def before(self):
        for group in (self.living, self.left):
            group.produce()
        leaver = self.left.start()
        for _ in range(2):
            self.living.start()
        self.left.received_by([leaver])
        self.left.commits_reach_the_end()
        leaver.close()
        self.living.shared_by(*self.living.members)
        self.living.received_by(self.living.members)
        self.living.commits_reach_the_end()

    def after(self):
        """What was committed is not read again, and what came since is read."""
        self.left.commits_reach_the_end()
        for group in (self.left, self.living):
            group.produce()
        # Without a committed offset it would fail or read nothing.
        again = self.left.start(reset="none" if "none" in self.flavour.abilities else "latest")
        self.left.received_by([again], start=WAVE)
        equal({(p, o) for p, o, _ in again.records}, self.left.expected(WAVE), "records after the committed offsets")
        self.living.received_by(self.living.members)
        self.living.shared_by(*self.living.members)
        self.living.commits_reach_the_end()

    def close(self):
        """Ends the members; returns what their groups have committed."""
        return self.living.close() | self.left.close()
