"""Transactions: AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, TxnOffsetCommit, WriteTxnMarkers, and what tools see."""

from batches import batch
from case import case


class Producer:
    """A transactional id with the id and epoch it was given."""

    def __init__(self, c, suffix="x", timeout=60_000):
        self.c, self.name = c, c.name(suffix)
        reply = c.quietly("InitProducerId", 4, TransactionalId=self.name, TransactionTimeoutMs=timeout)
        assert reply["ErrorCode"] == 0, reply
        self.id, self.epoch = reply["ProducerId"], reply["ProducerEpoch"]
        c.peer.numbered("ProducerId", self.id)

    def begin(self, topic, *partitions):
        body = {
            "V3AndBelowTransactionalId": self.name,
            "V3AndBelowProducerId": self.id,
            "V3AndBelowProducerEpoch": self.epoch,
            "V3AndBelowTopics": [{"Name": topic, "Partitions": list(partitions)}],
        }

        def add():
            reply = self.c.quietly("AddPartitionsToTxn", 3, **body)
            return reply["ResultsByTopicV3AndBelow"][0]["ResultsByPartition"][0]["PartitionErrorCode"]

        self.c.peer.until("begun", add, lambda code: code == 0)

    def end(self, commit=True):
        body = {"TransactionalId": self.name, "ProducerId": self.id, "ProducerEpoch": self.epoch, "Committed": commit}
        assert self.c.quietly("EndTxn", 3, **body)["ErrorCode"] == 0

    def append(self, topic, sequence):
        records = batch([b"a"], producer=self.id, epoch=self.epoch, sequence=sequence, attributes=0x10)
        topics = [{"Name": topic[0], "PartitionData": [{"Index": 0, "Records": records}]}]
        body = {"TransactionalId": self.name, "Acks": -1, "TimeoutMs": 10_000, "TopicData": topics}
        reply = self.c.quietly("Produce", 9, **body)
        assert reply["Responses"][0]["PartitionResponses"][0]["ErrorCode"] == 0, reply


@case("AddPartitionsToTxn")
def adds_partitions(c):
    topic, _ = c.topic(partitions=2)
    producer = Producer(c)

    def add(label, *partitions, name=producer.name, id=producer.id, epoch=producer.epoch, topic=topic, verify=False):
        topics = [{"Name": topic, "Partitions": list(partitions)}]
        if c.version <= 3:
            more = {"V3AndBelowProducerId": id, "V3AndBelowProducerEpoch": epoch, "V3AndBelowTopics": topics}
            return c.ask(label, V3AndBelowTransactionalId=name, **more)
        one = {
            "TransactionalId": name,
            "ProducerId": id,
            "ProducerEpoch": epoch,
            "VerifyOnly": verify,
            "Topics": topics,
        }
        return c.ask(label, Transactions=[one])

    if c.version >= 4:
        add("is it there, before", 0, verify=True)
    add("one", 0)
    add("again, and another", 0, 1)
    if c.version >= 4:
        add("is it there", 0, verify=True)
    add("unknown partition", 7)
    add("unknown topic", 0, topic=c.name("nobody"))
    add("known and unknown", 0, 7)
    add("an old epoch", 0, epoch=producer.epoch - 1)
    add("a later epoch", 0, epoch=producer.epoch + 1)
    add("another producer", 0, id=producer.id + 1000)
    add("an id nobody has", 0, name=c.name("none"))
    add("no id", 0, name="")
    add("nothing of it")
    producer.end()


@case("AddOffsetsToTxn")
def adds_offsets(c):
    producer = Producer(c)

    def add(label, group, name=producer.name, id=producer.id, epoch=producer.epoch):
        c.ask(label, TransactionalId=name, ProducerId=id, ProducerEpoch=epoch, GroupId=group)

    add("one", c.name("g"))
    add("again", c.name("g"))
    add("no group", "")
    add("an old epoch", c.name("g"), epoch=producer.epoch - 1)
    add("a later epoch", c.name("g"), epoch=producer.epoch + 1)
    add("another producer", c.name("g"), id=producer.id + 1000)
    add("an id nobody has", c.name("g"), name=c.name("none"))
    add("no id", c.name("g"), name="")
    producer.end(False)


@case("EndTxn")
def ends(c):
    topic = c.topic()
    producer = Producer(c)

    def end(label, committed=True, name=producer.name, id=producer.id, epoch=None):
        epoch = producer.epoch if epoch is None else epoch
        return c.ask(label, TransactionalId=name, ProducerId=id, ProducerEpoch=epoch, Committed=committed)

    def ended(reply):
        if c.version >= 5 and reply["ErrorCode"] == 0:
            producer.id, producer.epoch = reply["ProducerId"], reply["ProducerEpoch"]

    ended(end("none was begun, abort", False))
    producer.begin(topic[0], 0)
    end("an old epoch", epoch=producer.epoch - 1)
    end("a later epoch", epoch=producer.epoch + 5)
    end("another producer", id=producer.id + 1000)
    end("an id nobody has", name=c.name("none"))
    end("no id", name="")
    ended(end("commits"))
    producer.begin(topic[0], 0)
    ended(end("aborts", False))
    producer.begin(topic[0], 0)
    ended(end("commits again"))


@case("TxnOffsetCommit")
def commits_offsets(c):
    topic, _ = c.topic(partitions=2)
    producer, group = Producer(c), c.name("g")
    body = {"TransactionalId": producer.name, "ProducerId": producer.id, "ProducerEpoch": producer.epoch}
    assert c.quietly("AddOffsetsToTxn", 3, **body, GroupId=group)["ErrorCode"] == 0

    def commit(label, *partitions, group=group, topic=topic, **more):
        listed = [
            {"PartitionIndex": index, "CommittedOffset": offset, "CommittedMetadata": "x"}
            for index, offset in partitions
        ]
        c.ask(label, **{**body, "GroupId": group, "Topics": [{"Name": topic, "Partitions": listed}], **more})

    commit("one", (0, 5))
    commit("two", (0, 6), (1, 7))
    commit("unknown partition", (7, 5))
    commit("unknown topic", (0, 5), topic=c.name("nobody"))
    commit("no group", (0, 5), group="")
    commit("nothing of it")
    commit("an old epoch", (0, 5), ProducerEpoch=producer.epoch - 1)
    commit("another producer", (0, 5), ProducerId=producer.id + 1000)
    commit("an id nobody has", (0, 5), TransactionalId=c.name("none"))
    if c.version >= 3:
        commit("as a member of no group", (0, 5), MemberId="me", GenerationId=4)
        commit("as a static member of no group", (0, 5), MemberId="me", GenerationId=4, GroupInstanceId="one")
    groups = [{"GroupId": group, "Topics": None}]
    c.also("not yet there", "OffsetFetch", 9, Groups=groups)
    c.also("unstable", "OffsetFetch", 9, Groups=groups, RequireStable=True)
    producer.end()
    c.peer.until(
        "committed",
        lambda: len(c.quietly("OffsetFetch", 9, Groups=groups)["Groups"][0]["Topics"]),
        lambda count: count >= 1,
    )
    c.also("there", "OffsetFetch", 9, Groups=groups)


@case("WriteTxnMarkers")
def markers(c):
    topic = c.topic()
    producer = Producer(c)

    def mark(label, id=producer.id, epoch=producer.epoch, name=topic[0], partition=0, commit=True):
        topics = [{"Name": name, "PartitionIndexes": [partition]}]
        marker = {
            "ProducerId": id,
            "ProducerEpoch": epoch,
            "TransactionResult": commit,
            "Topics": topics,
            "CoordinatorEpoch": 0,
        }
        c.ask(label, Markers=[marker])

    producer.begin(topic[0], 0)
    producer.append(topic, 0)
    mark("unknown topic", name=c.name("nobody"))
    mark("unknown partition", partition=5)
    mark("an abort", commit=False)
    mark("again", commit=False)
    mark("of nobody", id=987_654, epoch=0)
    mark("an old epoch", epoch=-1)
    c.ask("none", Markers=[])
    fetched = {"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 100_000}
    c.quietly(
        "Fetch", 11, MaxWaitMs=0, MinBytes=0, IsolationLevel=1, Topics=[{"Topic": topic[0], "Partitions": [fetched]}]
    )


@case("DescribeTransactions")
def describes(c):
    topic = c.topic()
    idle, open_ = Producer(c, "idle"), Producer(c, "open")
    open_.begin(topic[0], 0)
    c.ask("idle", TransactionalIds=[idle.name])
    c.ask("open", TransactionalIds=[open_.name])
    c.ask("nobody has it", TransactionalIds=[c.name("none")])
    c.ask("no name", TransactionalIds=[""])
    c.ask("none", TransactionalIds=[])
    open_.end()


@case("ListTransactions")
def lists(c):
    topic = c.topic()
    Producer(c, "idle")
    open_ = Producer(c, "open")
    open_.begin(topic[0], 0)

    def mine(label, **body):
        reply = c.quietly("ListTransactions", c.version, **body)
        states = [each for each in reply["TransactionStates"] if each["TransactionalId"].startswith(c.prefix)]
        c.peer.keep(label, c.peer.masked({**reply, "TransactionStates": states}))

    mine("all")
    mine("open", StateFilters=["Ongoing"])
    mine("in other letters", StateFilters=["ongoing"])
    mine("a state nobody knows", StateFilters=["Confused"])
    mine("both", StateFilters=["Ongoing", "Confused"])
    mine("of a producer", ProducerIdFilters=[open_.id])
    mine("of a producer nobody has", ProducerIdFilters=[987_654])
    if c.version >= 1:
        mine("lasting long", DurationFilter=100_000)
        mine("lasting any time", DurationFilter=0)
    if c.version >= 2:
        mine("by a pattern", TransactionalIdPattern=f"{c.prefix}-o.*")
        mine("by a pattern that is none", TransactionalIdPattern="(")
        mine("by an empty pattern", TransactionalIdPattern="")
    open_.end()


@case("DescribeProducers")
def producers(c):
    topic = c.topic()
    producer = Producer(c)
    producer.begin(topic[0], 0)
    producer.append(topic, 0)
    owner = c.quietly("InitProducerId", 4, TransactionalId=None, TransactionTimeoutMs=0)
    c.append(topic, batch([b"a"], producer=owner["ProducerId"], epoch=0, sequence=0))

    def describe(label, *partitions, name=topic[0]):
        c.ask(label, Topics=[{"Name": name, "PartitionIndexes": list(partitions)}])

    describe("two", 0)
    describe("unknown partition", 7)
    describe("unknown topic", 0, name=c.name("nobody"))
    describe("bad name", 0, name="a/b")
    describe("nothing of it")
    c.ask("nothing", Topics=[])
    producer.end()
