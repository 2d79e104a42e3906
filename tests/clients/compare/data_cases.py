"""Produce, Fetch, ListOffsets, OffsetForLeaderEpoch, DeleteRecords, InitProducerId."""

from batches import HEADER_BYTES, START_MS, batch
from case import UNKNOWN_ID, case

DAY_MS = 86_400_000


def produce(c, label, topic, records, partition=0, acks=-1, **more):
    data = [{"Index": partition, "Records": records}]
    topics = [{**c.place(topic, 13), "PartitionData": data}]
    return c.ask(label, Acks=acks, TimeoutMs=10_000, TopicData=topics, **more)


@case("Produce")
def appends(c):
    topic = c.topic(partitions=2)
    produce(c, "one batch", topic, batch([b"a", b"b"]))
    produce(c, "the next", topic, batch([b"c"]), acks=1)
    produce(c, "null key and value", topic, batch([None], key=None))
    two = [{"Index": index, "Records": batch([b"x"])} for index in (1, 0)]
    c.ask("two partitions", Acks=-1, TimeoutMs=1000, TopicData=[{**c.place(topic, 13), "PartitionData": two}])
    c.ask("nothing at all", Acks=-1, TimeoutMs=1000, TopicData=[])
    c.ask(
        "a topic without partitions", Acks=-1, TimeoutMs=1000, TopicData=[{**c.place(topic, 13), "PartitionData": []}]
    )


@case("Produce")
def refused_partitions(c):
    topic = c.topic()
    records = batch([b"a"])
    produce(c, "unknown partition", topic, records, partition=7)
    produce(c, "negative partition", topic, records, partition=-1)
    produce(c, "unknown topic", (c.name("nobody"), UNKNOWN_ID), records)
    produce(c, "bad name", ("no/topic", UNKNOWN_ID), records)
    produce(c, "good and bad", topic, records)
    both = [
        {**c.place(topic, 13), "PartitionData": [{"Index": 0, "Records": records}, {"Index": 9, "Records": records}]},
        {**c.place((c.name("nobody"), UNKNOWN_ID), 13), "PartitionData": [{"Index": 0, "Records": records}]},
    ]
    c.ask("one that is there among others", Acks=-1, TimeoutMs=1000, TopicData=both)


@case("Produce")
def acks(c):
    topic = c.topic()
    for wrong in (2, -2, 7):
        produce(c, f"acks={wrong}", topic, batch([b"a"]), acks=wrong)


@case("Produce")
def refused_batches(c):
    topic = c.topic(max_message_bytes="2000")
    good = batch([b"a", b"b"])
    produce(c, "empty records", topic, b"")
    produce(c, "a wrong checksum", topic, batch([b"a"], crc=1))
    produce(c, "magic 1", topic, batch([b"a"], magic=1))
    produce(c, "magic 3", topic, batch([b"a"], magic=3))
    produce(c, "two batches", topic, good + good)
    produce(c, "cut short", topic, good[:-3])
    produce(c, "less than a header", topic, good[:40])
    produce(c, "too large", topic, batch([b"x" * 3000]))
    produce(c, "as large as allowed", topic, batch([b"x" * (2000 - HEADER_BYTES - 12)]))
    produce(c, "a count that is too small", topic, batch([b"a", b"b"], count=1))
    produce(c, "a count that is too large", topic, batch([b"a", b"b"], count=3))
    produce(c, "a count of zero", topic, batch([], count=0, last_delta=0))
    produce(c, "a negative count", topic, batch([b"a"], count=-1))
    produce(c, "a last offset too large", topic, batch([b"a"], last_delta=5))
    produce(c, "deltas out of order", topic, batch([b"a", b"b"], deltas=[1, 0]))
    produce(c, "unknown compression", topic, batch([b"a"], attributes=7))
    produce(c, "a control batch", topic, batch([b"a"], attributes=0x20))
    produce(c, "transactional without a producer", topic, batch([b"a"], attributes=0x10))
    produce(c, "behind all of these", topic, good)
    produce(c, "a base offset of its own", topic, batch([b"a"], base=77))
    produce(c, "a leader epoch of its own", topic, batch([b"a"], leader_epoch=5))


@case("Produce")
def unreadable(c):
    topic = c.topic()
    produce(c, "gzip that is none", topic, batch([b"a"], attributes=1))
    # Kafka's tools cannot read it.
    c.quietly("DeleteTopics", 5, TopicNames=[topic[0]], TimeoutMs=10_000)


@case("Produce")
def timestamps(c):
    topic = c.topic(message_timestamp_after_max_ms="3600000")
    produce(c, "years ahead", topic, batch([b"a"], timestamp=START_MS * 2))
    produce(c, "none", topic, batch([b"a"], timestamp=-1, step=0))
    produce(c, "long ago", topic, batch([b"a"], timestamp=1))
    bounded = c.topic("b", message_timestamp_before_max_ms="3600000")
    produce(c, "older than allowed", bounded, batch([b"a"], timestamp=1))
    stamped = c.topic("s", message_timestamp_type="LogAppendTime")
    produce(c, "the broker's time", stamped, batch([b"a"]))
    produce(c, "the broker's time, claimed", stamped, batch([b"a"], attributes=8))
    produce(c, "claimed where the client's counts", topic, batch([b"a"], attributes=8))


@case("Produce")
def compacted(c):
    topic = c.topic(cleanup_policy="compact")
    produce(c, "a key", topic, batch([b"a"]))
    produce(c, "no key", topic, batch([b"a"], key=None))
    produce(c, "one of two without", topic, batch([b"a", b"b"], key=None))


@case("Produce")
def sequences(c):
    topic = c.topic()
    owner = c.quietly("InitProducerId", 4, TransactionalId=None, TransactionTimeoutMs=0)

    def sequenced(sequence, count=1, epoch=0):
        return batch([b"a"] * count, producer=owner["ProducerId"], epoch=epoch, sequence=sequence)

    produce(c, "not from zero", topic, sequenced(5))
    produce(c, "from zero", topic, sequenced(0, 2))
    produce(c, "again", topic, sequenced(0, 2))
    produce(c, "a gap", topic, sequenced(9))
    produce(c, "the next", topic, sequenced(2))
    for number in range(3, 9):
        produce(c, f"number {number}", topic, sequenced(number))
    produce(c, "repeated, still known", topic, sequenced(5))
    produce(c, "repeated, too long ago", topic, sequenced(0, 2))
    produce(c, "overlapping", topic, sequenced(8, 3))
    produce(c, "a new epoch, not from zero", topic, sequenced(3, epoch=1))
    produce(c, "a new epoch", topic, sequenced(0, epoch=1))
    produce(c, "an old epoch", topic, sequenced(9, epoch=0))
    produce(c, "a producer nobody gave out", topic, batch([b"a"], producer=987_654, epoch=0, sequence=0))
    produce(c, "no epoch", topic, batch([b"a"], producer=987_655, epoch=-1, sequence=0))
    produce(c, "no sequence", topic, batch([b"a"], producer=987_656, epoch=0, sequence=-1))
    produce(c, "a sequence at the end", topic, batch([b"a"], producer=987_657, epoch=0, sequence=(1 << 31) - 1))
    produce(
        c,
        "transactional, no transaction",
        topic,
        batch([b"a"], producer=owner["ProducerId"], epoch=1, sequence=1, attributes=16),
    )


def fetch(c, label, topic, offset, partition=0, over=None, maximum=100_000, epoch=-1, fetched_epoch=-1, **more):
    wanted = {
        "Partition": partition,
        "FetchOffset": offset,
        "PartitionMaxBytes": maximum,
        "CurrentLeaderEpoch": epoch,
        "LastFetchedEpoch": fetched_epoch,
    }
    topics = [{**c.place(topic, 13, "Topic"), "Partitions": [wanted]}]
    body = {"MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": 1 << 20, "Topics": topics, **more}
    return c.ask(label, over, **body)


def filled(c, suffix="t"):
    topic = c.topic(suffix)
    for number in range(3):
        c.append(topic, batch([b"%d" % number, b"v" * 20, b"w" * number]))
    return topic


@case("Fetch")
def reads(c):
    topic = filled(c)
    fetch(c, "all", topic, 0)
    fetch(c, "within a batch", topic, 4)
    fetch(c, "the last record", topic, 8)
    fetch(c, "the end", topic, 9)
    fetch(c, "the end, waiting", topic, 9, MinBytes=1, MaxWaitMs=50)
    fetch(c, "beyond the end", topic, 10)
    fetch(c, "before the start", topic, -1)
    fetch(c, "read committed", topic, 0, IsolationLevel=1)
    fetch(c, "an isolation level nobody knows", topic, 0, IsolationLevel=2)
    fetch(c, "a limit below a batch", topic, 0, maximum=1)
    fetch(c, "a limit of zero", topic, 0, maximum=0)
    fetch(c, "a limit of one batch and a half", topic, 0, maximum=200)
    fetch(c, "a negative limit", topic, 0, maximum=-1)
    fetch(c, "a limit of the whole below a batch", topic, 0, MaxBytes=1)
    fetch(c, "the whole limited to nothing", topic, 0, MaxBytes=0)
    c.ask("nothing", MaxWaitMs=0, MinBytes=0, MaxBytes=1000, Topics=[])


@case("Fetch")
def fetches_nowhere(c):
    topic = filled(c)
    fetch(c, "unknown partition", topic, 0, partition=3)
    fetch(c, "negative partition", topic, 0, partition=-3)
    fetch(c, "unknown topic", (c.name("nobody"), UNKNOWN_ID), 0)
    wanted = [{"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1000}]
    topics = [
        {**c.place((c.name("nobody"), UNKNOWN_ID), 13, "Topic"), "Partitions": wanted},
        {**c.place(topic, 13, "Topic"), "Partitions": wanted},
    ]
    c.ask("one that is there among others", MaxWaitMs=0, MinBytes=0, MaxBytes=1 << 20, Topics=topics)
    c.ask("bad partitions do not wait", MaxWaitMs=5000, MinBytes=1, MaxBytes=1 << 20, Topics=topics[:1])


@case("Fetch", low=9)
def leader_epochs(c):
    topic = filled(c)
    fetch(c, "the leader's epoch", topic, 0, epoch=0)
    fetch(c, "a later epoch", topic, 0, epoch=3)
    fetch(c, "a later epoch, by the end", topic, 9, epoch=3)
    fetch(c, "a negative epoch", topic, 0, epoch=-2)
    if c.version >= 12:
        fetch(c, "fetched from this epoch", topic, 3, fetched_epoch=0)
        fetch(c, "fetched from a later one", topic, 3, fetched_epoch=4)
        fetch(c, "fetched beyond the end", topic, 12, fetched_epoch=0)


@case("Fetch", low=7)
def sessions(c):
    topic, other = filled(c), filled(c, "o")
    first = fetch(c, "a session begins", topic, 0, over="s", SessionEpoch=0)
    session = first["SessionId"]

    def next_fetch(label, epoch, topics, forgotten=(), over="s"):
        body = {"SessionId": session, "SessionEpoch": epoch, "Topics": topics, "ForgottenTopicsData": list(forgotten)}
        return c.ask(label, over, MaxWaitMs=0, MinBytes=0, MaxBytes=1 << 20, **body)

    def wanted(which, offset):
        partitions = [{"Partition": 0, "FetchOffset": offset, "PartitionMaxBytes": 100_000}]
        return {**c.place(which, 13, "Topic"), "Partitions": partitions}

    next_fetch("as before", 1, [])
    next_fetch("further on", 2, [wanted(topic, 9)])
    next_fetch("nothing new", 3, [])
    c.append(topic, batch([b"new"]))
    next_fetch("something new", 4, [])
    next_fetch("one more topic", 5, [wanted(other, 0)])
    next_fetch("one topic less", 6, [wanted(other, 9)], [{**c.place(topic, 13, "Topic"), "Partitions": [0]}])
    next_fetch("nothing new of the other", 7, [])
    next_fetch("an epoch too late", 12, [])
    next_fetch("an epoch too early", 3, [])
    session += 1
    next_fetch("a session nobody has", 1, [], over="t")
    session -= 1
    next_fetch("the session ends", -1, [wanted(topic, 0)])
    next_fetch("after its end", 8, [])
    fetch(c, "a session that begins at another epoch", topic, 0, over="u", SessionEpoch=5)
    fetch(c, "an id with epoch 0", topic, 0, over="u", SessionId=0, SessionEpoch=0)
    session = 0
    next_fetch(
        "an unknown topic in a session", 0, [wanted((c.name("nobody"), UNKNOWN_ID), 0), wanted(topic, 0)], over="v"
    )


def list_offsets(c, label, topic, timestamp, partition=0, epoch=-1, **more):
    partitions = [{"PartitionIndex": partition, "Timestamp": timestamp, "CurrentLeaderEpoch": epoch}]
    return c.ask(label, ReplicaId=-1, Topics=[{"Name": topic[0], "Partitions": partitions}], **more)


@case("ListOffsets")
def by_time(c):
    topic = filled(c)
    empty = c.topic("e")
    for special in range(-8, 1):
        list_offsets(c, f"timestamp {special}", topic, special)
        list_offsets(c, f"timestamp {special}, nothing there", empty, special)
    list_offsets(c, "the first", topic, START_MS)
    list_offsets(c, "within the first batch", topic, START_MS + 1)
    list_offsets(c, "beyond the last", topic, START_MS + 3)
    list_offsets(c, "read committed", topic, -1, IsolationLevel=1)
    list_offsets(c, "an isolation level nobody knows", topic, -1, IsolationLevel=5)


@case("ListOffsets")
def refused(c):
    topic = filled(c)
    list_offsets(c, "unknown partition", topic, -1, partition=3)
    list_offsets(c, "negative partition", topic, -1, partition=-3)
    list_offsets(c, "unknown topic", (c.name("nobody"), UNKNOWN_ID), -1)
    list_offsets(c, "bad name", ("no/topic", UNKNOWN_ID), -1)
    list_offsets(c, "no name", ("", UNKNOWN_ID), -1)
    c.ask("nothing", ReplicaId=-1, Topics=[])
    c.ask("no partitions", ReplicaId=-1, Topics=[{"Name": topic[0], "Partitions": []}])
    twice = [{"PartitionIndex": 0, "Timestamp": -1}, {"PartitionIndex": 0, "Timestamp": -2}]
    c.ask("a partition twice", ReplicaId=-1, Topics=[{"Name": topic[0], "Partitions": twice}])
    c.ask("another replica id", ReplicaId=-2, Topics=[{"Name": topic[0], "Partitions": twice[:1]}])
    if c.version >= 4:
        list_offsets(c, "the leader's epoch", topic, -1, epoch=0)
        list_offsets(c, "a later epoch", topic, -1, epoch=3)


@case("OffsetForLeaderEpoch")
def ends_of_epochs(c):
    topic = filled(c)

    def epochs(label, asked, current=-1, name=topic[0], partition=0, replica=-1):
        partitions = [{"Partition": partition, "CurrentLeaderEpoch": current, "LeaderEpoch": asked}]
        c.ask(label, ReplicaId=replica, Topics=[{"Topic": name, "Partitions": partitions}])

    epochs("the first", 0)
    epochs("a later one", 1)
    epochs("none", -1)
    epochs("negative", -5)
    epochs("by the leader's", 0, current=0)
    epochs("by a later one", 0, current=4)
    epochs("unknown partition", 0, partition=4)
    epochs("unknown topic", 0, name=c.name("nobody"))
    epochs("bad name", 0, name="no/topic")
    epochs("a debugging consumer", 0, replica=-2)
    c.ask("nothing", ReplicaId=-1, Topics=[])


@case("DeleteRecords")
def deletes(c):
    topic = filled(c)

    def delete(label, offset, name=topic[0], partition=0):
        partitions = [{"PartitionIndex": partition, "Offset": offset}]
        c.ask(label, Topics=[{"Name": name, "Partitions": partitions}], TimeoutMs=10_000)

    delete("within a batch", 4)
    delete("again", 4)
    delete("before that", 2)
    delete("beyond the end", 10)
    delete("negative", -2)
    delete("up to the end", -1)
    delete("unknown partition", 0, partition=5)
    delete("negative partition", 0, partition=-5)
    delete("unknown topic", 0, name=c.name("nobody"))
    delete("bad name", 0, name="no/topic")
    c.ask("nothing", Topics=[], TimeoutMs=1000)
    c.ask("no partitions", Topics=[{"Name": topic[0], "Partitions": []}], TimeoutMs=1000)
    twice = [{"PartitionIndex": 0, "Offset": 9}, {"PartitionIndex": 0, "Offset": 9}]
    c.ask("a partition twice", Topics=[{"Name": topic[0], "Partitions": twice}], TimeoutMs=1000)
    partitions = [{"PartitionIndex": 0, "Timestamp": -2}]
    c.also("the new start", "ListOffsets", 7, ReplicaId=-1, Topics=[{"Name": topic[0], "Partitions": partitions}])
    compacted = c.topic("c", cleanup_policy="compact")
    delete("of a compacted topic", 0, name=compacted[0])


@case("InitProducerId")
def producers(c):
    def init(label, transactional, timeout=60_000, producer=-1, epoch=-1):
        more = {"ProducerId": producer, "ProducerEpoch": epoch}
        return c.ask(label, TransactionalId=transactional, TransactionTimeoutMs=timeout, **more)

    init("without a transactional id", None)
    init("without, with a timeout that is none", None, timeout=-1)
    init("an empty transactional id", "")
    init("a transactional id", c.name("x"))
    again = init("again", c.name("x"))
    init("a timeout of zero", c.name("y"), timeout=0)
    init("a negative timeout", c.name("y"), timeout=-5)
    init("a timeout above the limit", c.name("y"), timeout=DAY_MS)
    if c.version >= 3:
        init("going on", c.name("x"), producer=again["ProducerId"], epoch=again["ProducerEpoch"])
        init("from an epoch too old", c.name("x"), producer=again["ProducerId"], epoch=0)
        init("as another", c.name("x"), producer=again["ProducerId"] + 1000, epoch=0)
        init("an epoch without an id", c.name("x"), producer=-1, epoch=3)
        init("an id without an epoch", c.name("x"), producer=7, epoch=-1)
        init("an id, no transactional id", None, producer=7, epoch=0)
        init("an id that nobody has", c.name("z"), producer=987_654, epoch=0)
