"""A member of a group in a process of its own, driven by the suite `groups`, whose README tells options and events."""

import json
import logging
import sys
import threading

POLL_SECONDS = 0.1
COMMIT_INTERVAL_MS = 200
METADATA_AGE_MS = 1000
HEARTBEAT_MS = 300
# What librdkafka says of errors that end a consumer: it tells the application no code but _FATAL.
FATAL_CODES = {
    "The instance ID is still used": "UNRELEASED_INSTANCE_ID",
    "The group id does not exist": "GROUP_ID_NOT_FOUND",
}


def tell(event, **details):
    print(json.dumps({"event": event, **details}), flush=True)


def partition_name(place):
    return f"{place.topic}-{place.partition}"


def tell_partitions(event, places):
    tell(event, partitions=[partition_name(place) for place in places])


def tell_records(records):
    """(partition name, offset, value) of any partitions, in the order they were received."""
    by_partition = {}
    for partition, offset, value in records:
        by_partition.setdefault(partition, []).append([offset, value.decode()])
    for partition, all_of_it in by_partition.items():
        tell("records", partition=partition, records=all_of_it)


def watch_input():
    """An event that is set when the member is told to close, or when its standard input ends."""
    closing = threading.Event()

    def wait():
        for line in sys.stdin:
            if line.strip() == "close":
                break
        closing.set()

    threading.Thread(target=wait, daemon=True).start()
    return closing


class Uncommitted:
    """Whether records were read since a commit was asked for last, or that commit failed: an application repeats it, since no
    client does so for asynchronous commits."""

    def __init__(self):
        self.yes = False

    def note(self, found):
        self.yes = self.yes or bool(found)

    def take(self):
        was, self.yes = self.yes, False
        return was


def confluent(bootstrap, options, closing):
    import confluent_kafka

    uncommitted = Uncommitted()

    def on_commit(error, places):
        if error is None:
            confluent_committed(places)
        elif error.name() != "_NO_OFFSET":
            uncommitted.yes = True

    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": options["group"],
        "auto.offset.reset": "error" if options["reset"] == "none" else options["reset"],
        "enable.auto.commit": options["commit"] == "auto",
        "auto.commit.interval.ms": COMMIT_INTERVAL_MS,
        "topic.metadata.refresh.interval.ms": METADATA_AGE_MS,
        "fetch.wait.max.ms": 100,
        "group.protocol": options["protocol"],
        "on_commit": on_commit,
    }
    if options["protocol"] == "classic":
        settings |= {
            "partition.assignment.strategy": options["assignor"],
            "session.timeout.ms": options["session"],
            "heartbeat.interval.ms": HEARTBEAT_MS,
        }
    else:
        settings["group.remote.assignor"] = options["assignor"]
    if "instance" in options:
        settings["group.instance.id"] = options["instance"]
    consumer = confluent_kafka.Consumer(settings, logger=logging.getLogger())
    consumer.subscribe(
        ["^" + options["pattern"]] if "pattern" in options else options["topics"].split(","),
        on_assign=lambda _, places: tell_partitions("assigned", places),
        on_revoke=lambda _, places: tell_partitions("revoked", places),
        on_lost=lambda _, places: tell_partitions("lost", places),
    )
    try:
        while not closing.is_set():
            messages = consumer.consume(500, POLL_SECONDS)
            for message in messages:
                if message.error() and message.error().name() == "_AUTO_OFFSET_RESET":
                    tell("failed", code="NO_OFFSET")
                    return 1
                if message.error() and message.error().name() == "_FATAL":
                    told = message.error().str()
                    tell("failed", code=next((code for words, code in FATAL_CODES.items() if words in told), told))
                    return 1
            good = [message for message in messages if not message.error()]
            tell_records((f"{m.topic()}-{m.partition()}", m.offset(), m.value()) for m in good)
            uncommitted.note(good)
            if options["commit"] == "sync" and uncommitted.take():
                confluent_committed(consumer.commit(asynchronous=False))
            elif options["commit"] == "async" and uncommitted.take():
                consumer.commit(asynchronous=True)
    finally:
        consumer.close()
    return 0


def confluent_committed(places):
    tell("committed", offsets={partition_name(place): place.offset for place in places if place.offset >= 0})


def consumer_settings(bootstrap, options, assignors):
    """What a consumer of kafka-python and one of aiokafka are made with."""
    return {
        "bootstrap_servers": bootstrap,
        "group_id": options["group"],
        "group_instance_id": options.get("instance"),
        "auto_offset_reset": options["reset"],
        "enable_auto_commit": options["commit"] == "auto",
        "auto_commit_interval_ms": COMMIT_INTERVAL_MS,
        "metadata_max_age_ms": METADATA_AGE_MS,
        "fetch_max_wait_ms": 100,
        "session_timeout_ms": int(options["session"]),
        "heartbeat_interval_ms": HEARTBEAT_MS,
        "partition_assignment_strategy": [assignors[options["assignor"]]],
    }


def tell_found(found):
    """Tells the records that either of them has polled."""
    tell_records((partition_name(place), record.offset, record.value) for place in found for record in found[place])


def kafka_python(bootstrap, options, closing):
    import kafka
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
    from kafka.coordinator.assignors.range import RangePartitionAssignor
    from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
    from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
    from kafka.errors import CommitFailedError, NoOffsetForPartitionError, RebalanceInProgressError, RetriableError

    assignors = {
        "range": RangePartitionAssignor,
        "roundrobin": RoundRobinPartitionAssignor,
        "sticky": StickyPartitionAssignor,
        "cooperative-sticky": CooperativeStickyAssignor,
    }
    uncommitted = Uncommitted()

    def on_commit(offsets, result):
        if isinstance(result, Exception):
            uncommitted.yes = True
        else:
            tell("committed", offsets={partition_name(place): offsets[place].offset for place in offsets})

    class Listener(kafka.ConsumerRebalanceListener):
        def on_partitions_assigned(self, assigned):
            tell_partitions("assigned", assigned)

        def on_partitions_revoked(self, revoked):
            tell_partitions("revoked", revoked)

        def on_partitions_lost(self, lost):
            tell_partitions("lost", lost)

    consumer = kafka.KafkaConsumer(**consumer_settings(bootstrap, options, assignors))
    consumer.subscribe(options["topics"].split(","), listener=Listener())
    # 3.0.12 forgets a join that new metadata set off if poll() times out in it: it is to know the topics before it joins.
    consumer.topics()
    try:
        while not closing.is_set():
            try:
                found = consumer.poll(int(POLL_SECONDS * 1000), 500)
                tell_found(found)
                uncommitted.note(found)
                if options["commit"] == "sync" and uncommitted.yes:
                    consumer.commit()
                    uncommitted.yes = False
                    places = {place: consumer.committed(place) for place in consumer.assignment()}
                    tell("committed", offsets={partition_name(at): offset for at, offset in places.items() if offset})
                elif options["commit"] == "async" and uncommitted.take():
                    consumer.commit_async(callback=on_commit)
            except (RetriableError, RebalanceInProgressError, CommitFailedError) as error:
                # The next poll mends all of them. The client mostly tries again by itself, but a refused connection may come
                # out of poll.
                tell("error", code=type(error).__name__)
    except NoOffsetForPartitionError:
        tell("failed", code="NO_OFFSET")
        return 1
    finally:
        consumer.close()
    return 0


def aiokafka(bootstrap, options, closing):
    import asyncio

    return asyncio.run(_aiokafka(bootstrap, options, closing))


async def _aiokafka(bootstrap, options, closing):
    import aiokafka as library
    from aiokafka.coordinator.assignors.range import RangePartitionAssignor
    from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
    from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
    from aiokafka.errors import NoOffsetForPartitionError

    assignors = {
        "range": RangePartitionAssignor,
        "roundrobin": RoundRobinPartitionAssignor,
        "sticky": StickyPartitionAssignor,
    }

    class Listener(library.ConsumerRebalanceListener):
        def on_partitions_assigned(self, assigned):
            tell_partitions("assigned", assigned)

        def on_partitions_revoked(self, revoked):
            tell_partitions("revoked", revoked)

    consumer = library.AIOKafkaConsumer(**consumer_settings(bootstrap, options, assignors))
    consumer.subscribe(options["topics"].split(","), listener=Listener())
    await consumer.start()
    try:
        while not closing.is_set():
            found = await consumer.getmany(timeout_ms=int(POLL_SECONDS * 1000), max_records=500)
            tell_found(found)
            if found and options["commit"] == "sync":
                await consumer.commit()
                tell(
                    "committed",
                    offsets={partition_name(place): await consumer.committed(place) for place in found},
                )
    except NoOffsetForPartitionError:
        tell("failed", code="NO_OFFSET")
        return 1
    finally:
        await consumer.stop()
    return 0


MEMBERS = {"confluent": confluent, "kafka-python": kafka_python, "aiokafka": aiokafka}


def run(bootstrap, client, settings):
    """Consumes until it is told to close; the exit status."""
    logging.disable(logging.CRITICAL)
    options = dict(setting.split("=", 1) for setting in settings)
    status = MEMBERS[client](bootstrap, options, watch_input())
    if status == 0:
        tell("closed")
    return status
