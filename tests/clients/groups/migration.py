"""Groups that change their protocol while they are in use, member by member (KIP-848), and what they go through."""

import contextlib
import threading
import time

from client_confluent import _Silent
from confluent_kafka import ConsumerGroupType, Producer
from report import equal
from scenarios import PARTITIONS, STATIC_SESSION_MS, Group

FLOW_RECORDS = 2 * PARTITIONS
FLOW_PAUSE_SECONDS = 0.5
FLOW_TIMEOUT_SECONDS = 60
CLASSIC = ConsumerGroupType.CLASSIC
CONSUMER = ConsumerGroupType.CONSUMER


class Migration(Group):
    """A group whose members are of two flavours of one client, while records keep coming."""

    def __init__(self, bootstrap, classic, consumer, case):
        super().__init__(bootstrap, classic, case)
        self.consumer = consumer
        self.flowing = threading.Event()
        self.flow = threading.Thread(target=self._flow, daemon=True)
        self.flow_failure = None

    def __enter__(self):
        self.begin_flow()
        return self

    def __exit__(self, *details):
        with contextlib.suppress(Exception):
            self.end_flow()
        super().__exit__(*details)

    def begin_flow(self):
        self.flowing.set()
        self.flow.start()

    def end_flow(self):
        self.flowing.clear()
        if self.flow.ident:
            self.flow.join()
        if self.flow_failure:
            raise self.flow_failure

    def _flow(self):
        """Sends records as `produce` does, by one producer that outlives the broker."""
        timeout = {"message.timeout.ms": FLOW_TIMEOUT_SECONDS * 1000}
        producer = Producer({"bootstrap.servers": self.bootstrap, "enable.idempotence": True, **timeout}, logger=_Silent())
        try:
            while self.flowing.is_set():
                for n in range(self.sent, self.sent + FLOW_RECORDS):
                    producer.produce(self.topic, b"%d:%d" % (n % PARTITIONS, n // PARTITIONS), partition=n % PARTITIONS)
                equal(producer.flush(FLOW_TIMEOUT_SECONDS), 0, "records not acknowledged")
                self.sent += FLOW_RECORDS
                time.sleep(FLOW_PAUSE_SECONDS)
        except Exception as error:  # noqa: BLE001 - told by who waits for the thread
            self.flow_failure = error

    def replace(self, member, flavour, **options):
        """A clean stop, and a member of another flavour instead."""
        member.close()
        return self.start(flavour, **options)

    def settle(self, kind, *members):
        """Waits until the members share the partitions and what was sent so far is read; the group has this type."""
        self.shared_by(*members)
        self.received_by(self.members, end=self.sent)
        self.wait_until(self.kind, "the group is listed")
        equal(self.kind(), kind, "the group's type")

    def kind(self):
        """The group's type by ListGroups; none while the coordinator loads."""
        listed = self.client.admin.list_consumer_groups(request_timeout=30).result()
        return next((one.type for one in listed.valid if one.group_id == self.name), None)

    def finish(self):
        """Ends the flow; all of it has been read and committed."""
        self.end_flow()
        self.received_by(self.members)
        self.commits_reach_the_end()

    def nothing_twice(self):
        seen = [(partition, offset) for member in self.members for partition, offset, _ in member.records]
        twice = sorted({place for place in seen if seen.count(place) > 1}) if len(seen) > len(set(seen)) else []
        equal(twice, [], "records received twice")


def migrate(bootstrap, classic, consumer, once):
    """A group is upgraded member by member, and downgraded again; no record is missed, and none comes twice if `once`."""
    with Migration(bootstrap, classic, consumer, "migrate") as group:
        first, second = group.start(), group.start()
        group.settle(CLASSIC, first, second)
        first = group.replace(first, consumer)
        group.settle(CONSUMER, first, second)
        second = group.replace(second, consumer)
        group.settle(CONSUMER, first, second)
        first = group.replace(first, classic)
        group.settle(CONSUMER, first, second)
        second = group.replace(second, classic)
        group.settle(CLASSIC, first, second)
        group.finish()
        if once:
            group.nothing_twice()
        for member in (first, second):
            member.close()
        group.commits_reach_the_end()


def migrate_static(bootstrap, classic, consumer):
    """Static members keep their partitions when their protocol changes."""
    with Migration(bootstrap, classic, consumer, "migrate-static") as group:

        def replace(members, at, flavour, kind):
            owned = [set(member.owned) for member in members]
            seen = [len(member.events) for member in members]
            name = ("first", "second")[at]
            members[at] = group.replace(members[at], flavour, instance=name, session=STATIC_SESSION_MS)
            group.settle(kind, *members)
            equal([member.owned for member in members], owned, f"partitions after the replacement of {name}")
            equal(members[1 - at].events[seen[1 - at]:], [], "what the other member noticed")

        members = [group.start(instance=name, session=STATIC_SESSION_MS) for name in ("first", "second")]
        group.settle(CLASSIC, *members)
        replace(members, 0, consumer, CONSUMER)
        replace(members, 1, consumer, CONSUMER)
        replace(members, 0, classic, CONSUMER)
        replace(members, 1, classic, CLASSIC)
        group.finish()


def migrate_killed(bootstrap, classic, consumer):
    """
    Members of either protocol are missed when their sessions end; without the last one of the consumer protocol the group is
    classic again.
    """
    with Migration(bootstrap, classic, consumer, "migrate-killed") as group:
        first, second = group.start(), group.start()
        group.settle(CLASSIC, first, second)
        third = group.start(consumer)
        group.settle(CONSUMER, first, second, third)
        first.kill()
        group.settle(CONSUMER, second, third)
        third.kill()
        group.settle(CLASSIC, second)
        group.finish()


def migrate_refused(bootstrap, classic, consumer):
    """
    A group whose leader adds data of its own to assignments, as librdkafka's cooperative-sticky does once partitions have moved,
    is for the classic protocol only as long as it has members.
    """
    with Migration(bootstrap, classic, consumer, "migrate-refused") as group:
        first, second = group.start(), group.start()
        group.settle(CLASSIC, first, second)
        first.close()
        group.settle(CLASSIC, second)
        seen = len(second.events)
        newcomer = group.start(consumer)
        newcomer.may_end = True
        group.wait_until(lambda: newcomer.failure, "the member of the consumer protocol fails")
        equal(newcomer.failure, "GROUP_ID_NOT_FOUND", "failure")
        group.settle(CLASSIC, second)
        equal(second.events[seen:], [], "what the other member noticed")
        second.close()
        third = group.start(consumer)
        group.settle(CONSUMER, third)
        group.finish()


class AcrossKill:
    """The broker is killed while a group has members of both protocols and records keep coming."""

    def __init__(self, bootstrap, classic, consumer):
        self.group = Migration(bootstrap, classic, consumer, "migrate-kill")

    def before(self):
        group = self.group
        group.produce()
        first, second = group.start(), group.start()
        group.settle(CLASSIC, first, second)
        first = group.replace(first, group.consumer)
        group.settle(CONSUMER, first, second)
        self.living = [first, second]
        group.begin_flow()

    def after(self):
        group, (first, second) = self.group, self.living
        group.settle(CONSUMER, first, second)
        first = group.replace(first, group.flavour)
        group.settle(CLASSIC, first, second)
        group.finish()

    def close(self):
        with contextlib.suppress(Exception):
            self.group.end_flow()
        return self.group.close()
