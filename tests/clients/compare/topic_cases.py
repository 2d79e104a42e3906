"""Topics and configs: Metadata, CreateTopics, DeleteTopics, CreatePartitions, DescribeTopicPartitions, DescribeCluster,
DescribeConfigs, AlterConfigs, IncrementalAlterConfigs, ApiVersions."""

from case import UNKNOWN_ID, case
from peer import ZERO_ID

TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = range(4)
BAD_NAMES = ("", ".", "..", "a/b", "a b", "ä", "x" * 250, "a\0b")


@case("Metadata")
def topics(c):
    one, two = c.topic("one", 3), c.topic("two")

    def metadata(label, *asked, **more):
        c.ask(label, Topics=list(asked), AllowAutoTopicCreation=False, **more)

    metadata("two topics", {"Name": one[0]}, {"Name": two[0]})
    metadata("a topic twice", {"Name": one[0]}, {"Name": one[0]})
    metadata("unknown", {"Name": c.name("nobody")})
    metadata("unknown among known", {"Name": c.name("nobody")}, {"Name": two[0]})
    for number, name in enumerate(BAD_NAMES):
        metadata(f"bad name {number}", {"Name": name})
    if c.version >= 1:
        metadata("none")
    if c.version >= 8:
        metadata("what may be done", {"Name": one[0]}, IncludeTopicAuthorizedOperations=True)
    if 8 <= c.version <= 10:
        metadata("what may be done to the cluster", IncludeClusterAuthorizedOperations=True)
    if c.version >= 10:
        metadata("by id", {"Name": None, "TopicId": one[1]})
        metadata("by unknown id", {"Name": None, "TopicId": UNKNOWN_ID})
        metadata("by name and id", {"Name": one[0], "TopicId": one[1]})
        metadata("by neither", {"Name": None, "TopicId": ZERO_ID})
        metadata("by id and by name", {"Name": None, "TopicId": one[1]}, {"Name": two[0]})
    c.ask("would be made on the way", Topics=[{"Name": c.name("auto")}], AllowAutoTopicCreation=True)


def new(name, partitions=1, replicas=1, assignments=(), **configs):
    configs = [{"Name": key.replace("_", "."), "Value": value} for key, value in configs.items()]
    placed = [{"PartitionIndex": index, "BrokerIds": brokers} for index, brokers in assignments]
    return {
        "Name": name,
        "NumPartitions": partitions,
        "ReplicationFactor": replicas,
        "Assignments": placed,
        "Configs": configs,
    }


@case("CreateTopics")
def creates(c):
    def create(label, *topics, **more):
        return c.ask(label, Topics=list(topics), timeoutMs=10_000, **more)

    create("only whether", new(c.name("v")), validateOnly=True)
    create("one", new(c.name("a"), 2))
    c.peer.settled_topic(c.name("a"), 2)
    create("again", new(c.name("a"), 2))
    create("again, only whether", new(c.name("a"), 2), validateOnly=True)
    create("with configs", new(c.name("b"), retention_ms="1000", cleanup_policy="compact"))
    create("placed by hand", new(c.name("c"), -1, -1, [(0, [1]), (1, [1])]))
    if c.version >= 4:
        create("by default", new(c.name("d"), -1, -1))
    create("twice in a request", new(c.name("e")), new(c.name("e")))
    create("good and bad", new(c.name("f")), new(c.name("g"), 0))
    create("nothing")
    c.peer.settled_topic(c.name("f"), 1)


@case("CreateTopics")
def refused(c):
    def create(label, *topics):
        return c.ask(label, Topics=list(topics), timeoutMs=10_000)

    for number, name in enumerate(BAD_NAMES):
        create(f"bad name {number}", new(name))
    create("no partitions", new(c.name("a"), 0))
    create("negative partitions", new(c.name("a"), -2))
    create("no replicas", new(c.name("a"), 1, 0))
    create("negative replicas", new(c.name("a"), 1, -2))
    create("more replicas than brokers", new(c.name("a"), 1, 2))
    create("partitions and a placement", new(c.name("a"), 1, -1, [(0, [1])]))
    create("replicas and a placement", new(c.name("a"), -1, 1, [(0, [1])]))
    create("placed nowhere", new(c.name("a"), -1, -1, [(0, [])]))
    create("placed at an unknown broker", new(c.name("a"), -1, -1, [(0, [9])]))
    create("placed twice at one broker", new(c.name("a"), -1, -1, [(0, [1, 1])]))
    create("placed with a gap", new(c.name("a"), -1, -1, [(0, [1]), (2, [1])]))
    create("a partition placed twice", new(c.name("a"), -1, -1, [(0, [1]), (0, [1])]))
    create("placed from one on", new(c.name("a"), -1, -1, [(1, [1])]))
    create("placed unevenly", new(c.name("a"), -1, -1, [(0, [1]), (1, [1, 1])]))
    create("an unknown config", new(c.name("a"), no_such="1"))
    create("a config of brokers", new(c.name("a"), log_retention_ms="1"))
    create("a bad value", new(c.name("a"), retention_ms="soon"))
    create("a value out of range", new(c.name("a"), segment_bytes="1"))
    create("an empty value", new(c.name("a"), retention_ms=""))
    create("a null value", new(c.name("a"), retention_ms=None))
    create("an empty config name", {**new(c.name("a")), "Configs": [{"Name": "", "Value": "1"}]})
    create("a bad policy", new(c.name("a"), cleanup_policy="compact,forget"))
    create("an empty policy", new(c.name("a"), cleanup_policy=""))
    create("a bad compression", new(c.name("a"), compression_type="rar"))
    create("tiered storage, which is off", new(c.name("a"), remote_storage_enable="true"))
    double = [{"Name": "retention.ms", "Value": "1"}, {"Name": "retention.ms", "Value": "2"}]
    create("a config twice", {**new(c.name("j")), "Configs": double})
    create("local retention above retention", new(c.name("k"), retention_ms="5", local_retention_ms="10"))
    create("more in sync than replicas", new(c.name("l"), min_insync_replicas="3"))


@case("CreateTopics")
def names_that_collide(c):
    dotted, lined = c.name("a.b"), c.name("a_b")
    c.ask("with a dot", Topics=[new(dotted)], timeoutMs=10_000)
    c.peer.settled_topic(dotted, 1)
    c.ask("with an underscore", Topics=[new(lined)], timeoutMs=10_000)
    c.ask("both at once", Topics=[new(c.name("c.d")), new(c.name("c_d"))], timeoutMs=10_000)


def gone(c, name):
    asked = {"Topics": [{"Name": name}], "AllowAutoTopicCreation": False}
    c.peer.until("gone", lambda: c.quietly("Metadata", 9, **asked)["Topics"][0]["ErrorCode"], lambda code: code == 3)


@case("DeleteTopics")
def deletes(c):
    topics = [c.topic(f"t{number}") for number in range(4)]

    def delete(label, *names):
        if c.version >= 6:
            return c.ask(label, Topics=[{"Name": name} for name in names], TimeoutMs=10_000)
        return c.ask(label, TopicNames=list(names), TimeoutMs=10_000)

    delete("one", topics[0][0])
    gone(c, topics[0][0])
    delete("again", topics[0][0])
    delete("unknown", c.name("nobody"))
    delete("known and unknown", topics[1][0], c.name("nobody"))
    delete("twice", topics[2][0], topics[2][0])
    delete("no name", "")
    delete("bad name", "a/b")
    delete("nothing")
    again = c.name("t0")
    c.peer.make_topic(again)
    delete("made again", again)


@case("DeleteTopics", low=6)
def by_id(c):
    one, two = c.topic("one"), c.topic("two")

    def delete(label, *topics):
        return c.ask(label, Topics=[{"Name": name, "TopicId": id} for name, id in topics], TimeoutMs=10_000)

    delete("name and id", one)
    delete("neither", (None, ZERO_ID))
    delete("unknown id", (None, UNKNOWN_ID))
    delete("by id and by name", (None, one[1]), (one[0], ZERO_ID))
    delete("an id twice", (None, two[1]), (None, two[1]))
    delete("by id", (None, one[1]))
    gone(c, one[0])
    delete("again", (None, one[1]))


@case("CreatePartitions")
def more_partitions(c):
    name, _ = c.topic(partitions=2)

    def create(label, count, topic=name, assignments=None, **more):
        placed = None if assignments is None else [{"BrokerIds": brokers} for brokers in assignments]
        topics = [{"Name": topic, "Count": count, "Assignments": placed}]
        return c.ask(label, Topics=topics, TimeoutMs=10_000, **more)

    create("only whether", 3, ValidateOnly=True)
    create("one more", 3)
    c.peer.settled_topic(name, 3)
    create("as many", 3)
    create("fewer", 2)
    create("none", 0)
    create("negative", -1)
    create("unknown topic", 5, topic=c.name("nobody"))
    create("bad name", 5, topic="a/b")
    create("placed", 4, assignments=[[1]])
    c.peer.settled_topic(name, 4)
    create("placed, too few", 6, assignments=[[1]])
    create("placed, too many", 5, assignments=[[1], [1]])
    create("placed nowhere", 5, assignments=[[]])
    create("placed at an unknown broker", 5, assignments=[[9]])
    create("placed twice at one", 5, assignments=[[1, 1]])
    create("an empty placement", 5, assignments=[])
    c.ask("nothing", Topics=[], TimeoutMs=10_000)
    twice = [{"Name": name, "Count": 8, "Assignments": None}, {"Name": name, "Count": 9, "Assignments": None}]
    c.ask("a topic twice", Topics=twice, TimeoutMs=10_000)


@case("DescribeTopicPartitions")
def pages(c):
    one, two = c.topic("one", 3), c.topic("two", 2)

    def describe(label, *names, limit=2000, cursor=None):
        c.ask(label, Topics=[{"Name": name} for name in names], ResponsePartitionLimit=limit, Cursor=cursor)

    describe("both", one[0], two[0])
    describe("twice", one[0], one[0])
    describe("unknown", c.name("nobody"))
    describe("bad name", "a/b")
    describe("no name", "")
    for limit in (1, 2, 3, 4, 5):
        describe(f"a page of {limit}", one[0], two[0], limit=limit)
    describe("a page of none", one[0], limit=0)
    describe("a negative page", one[0], limit=-3)
    describe("from a cursor", one[0], two[0], cursor={"TopicName": one[0], "PartitionIndex": 1})
    describe("from the second topic", one[0], two[0], cursor={"TopicName": two[0], "PartitionIndex": 0})
    describe("from beyond its partitions", one[0], two[0], cursor={"TopicName": one[0], "PartitionIndex": 9})
    describe("from a topic nobody has", one[0], two[0], cursor={"TopicName": c.name("p"), "PartitionIndex": 0})
    describe("from a topic that was not asked for", one[0], cursor={"TopicName": two[0], "PartitionIndex": 0})
    describe("from a negative place", one[0], cursor={"TopicName": one[0], "PartitionIndex": -1})
    describe("unknown, in a page of one", c.name("nobody"), one[0], limit=1)


@case("DescribeCluster")
def the_cluster(c):
    c.ask("plain")
    c.ask("what may be done", IncludeClusterAuthorizedOperations=True)
    if c.version >= 1:
        c.ask("its controllers", EndpointType=2)
        c.ask("an unknown kind", EndpointType=3)
    if c.version >= 2:
        c.ask("with fenced ones", IncludeFencedBrokers=True)


@case("ApiVersions")
def versions(c):
    name = {"ClientSoftwareName": "compare", "ClientSoftwareVersion": "1.0"}
    reply = c.peer.exchange("ApiVersions", c.version, name)
    c.peer.keep("error", reply["ErrorCode"])
    c.peer.keep("features", c.peer.masked(reply.get("SupportedFeatures")))
    for bad in ("", "a b", "-a", "ä"):
        for field in ("ClientSoftwareName", "ClientSoftwareVersion"):
            answer = c.peer.exchange("ApiVersions", c.version, {**name, field: bad})
            c.peer.keep(f"{field} '{bad}'", (answer["ErrorCode"], len(answer["ApiKeys"]) > 0))


def describe(c, label, *resources, **more):
    wanted = [{"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": keys} for kind, name, keys in resources]
    return c.ask(label, Resources=wanted, **more)


@case("DescribeConfigs")
def configs(c):
    topic, _ = c.topic(retention_ms="1234567", compression_type="lz4")
    everything = {"IncludeSynonyms": True, "IncludeDocumentation": True}
    describe(c, "a topic", (TOPIC, topic, None), **everything)
    describe(c, "a topic, in short", (TOPIC, topic, None))
    describe(c, "two of it", (TOPIC, topic, ["retention.ms", "segment.bytes"]), **everything)
    describe(c, "none of it", (TOPIC, topic, []))
    describe(c, "one that nobody knows", (TOPIC, topic, ["no.such"]))
    describe(c, "the broker", (BROKER, "1", None), **everything)
    describe(c, "the brokers' default", (BROKER, "", None), **everything)
    describe(c, "unknown topic", (TOPIC, c.name("nobody"), None))
    describe(c, "bad name", (TOPIC, "a/b", None))
    describe(c, "no name", (TOPIC, "", None))
    describe(c, "another broker", (BROKER, "7", None))
    describe(c, "a broker that is no number", (BROKER, "seven", None))
    describe(c, "an unknown kind", (99, "x", None))
    describe(c, "the kind of nothing", (0, "x", None))
    describe(c, "a group", (GROUP, c.name("g"), None), **everything)
    describe(c, "no group", (GROUP, "", None))
    describe(c, "client metrics", (CLIENT_METRICS, "x", None))
    describe(c, "good and bad", (TOPIC, topic, ["retention.ms"]), (TOPIC, c.name("nobody"), None))
    describe(c, "a topic twice", (TOPIC, topic, ["retention.ms"]), (TOPIC, topic, ["retention.ms"]))
    c.ask("nothing", Resources=[])


def shown(c, label, topic, *keys):
    """What DescribeConfigs says after a change, once the change is in force."""
    resources = [{"ResourceType": TOPIC, "ResourceName": topic, "ConfigurationKeys": list(keys)}]
    c.also(label, "DescribeConfigs", 4, Resources=resources, IncludeSynonyms=True)


def in_force(c, topic, key, value):
    resources = [{"ResourceType": TOPIC, "ResourceName": topic, "ConfigurationKeys": [key]}]

    def read():
        return c.quietly("DescribeConfigs", 4, Resources=resources)["Results"][0]["Configs"][0]["Value"]

    c.peer.until(f"{key} of {topic}", read, lambda found: found == value)


@case("AlterConfigs")
def replaces(c):
    topic, _ = c.topic(retention_ms="1234567")

    def alter(label, configs, kind=TOPIC, name=topic, **more):
        listed = [{"Name": key, "Value": value} for key, value in configs]
        return c.ask(label, Resources=[{"ResourceType": kind, "ResourceName": name, "Configs": listed}], **more)

    alter("only whether", [("retention.ms", "5")], ValidateOnly=True)
    shown(c, "as before", topic, "retention.ms")
    alter("all of it", [("segment.bytes", "2000000"), ("cleanup.policy", "compact,delete")])
    in_force(c, topic, "segment.bytes", "2000000")
    shown(c, "replaced", topic, "retention.ms", "segment.bytes", "cleanup.policy")
    alter("nothing, which is the defaults", [])
    in_force(c, topic, "segment.bytes", "1073741824")
    alter("an unknown config", [("no.such", "1")])
    alter("a bad value", [("retention.ms", "soon")])
    alter("a null value", [("retention.ms", None)])
    alter("an empty value", [("retention.ms", "")])
    alter("a config twice", [("retention.ms", "1"), ("retention.ms", "2")])
    alter("unknown topic", [("retention.ms", "1")], name=c.name("nobody"))
    alter("bad name", [("retention.ms", "1")], name="a/b")
    alter("no name", [("retention.ms", "1")], name="")
    alter("an unknown kind", [("retention.ms", "1")], kind=77)
    alter("another broker", [("log.cleaner.threads", "1")], kind=BROKER, name="9")
    alter("a broker that is no number", [("log.cleaner.threads", "1")], kind=BROKER, name="nine")
    alter("what a broker cannot change", [("process.roles", "broker")], kind=BROKER, name="1")
    alter("what nobody knows of a broker", [("no.such", "1")], kind=BROKER, name="1", ValidateOnly=True)
    c.ask("nothing", Resources=[])


@case("IncrementalAlterConfigs")
def changes(c):
    topic, _ = c.topic(retention_ms="1234567")

    def alter(label, changes, kind=TOPIC, name=topic, **more):
        listed = [{"Name": key, "ConfigOperation": how, "Value": value} for key, how, value in changes]
        return c.ask(label, Resources=[{"ResourceType": kind, "ResourceName": name, "Configs": listed}], **more)

    alter("only whether", [("retention.ms", SET, "5")], ValidateOnly=True)
    alter("set two", [("retention.ms", SET, "5000000"), ("segment.bytes", SET, "2000000")])
    in_force(c, topic, "segment.bytes", "2000000")
    alter("append", [("cleanup.policy", APPEND, "compact")])
    in_force(c, topic, "cleanup.policy", "delete,compact")
    alter("append what is there", [("cleanup.policy", APPEND, "compact")])
    alter("subtract", [("cleanup.policy", SUBTRACT, "delete")])
    in_force(c, topic, "cleanup.policy", "compact")
    alter("subtract what is not there", [("cleanup.policy", SUBTRACT, "delete")])
    alter("append two", [("leader.replication.throttled.replicas", APPEND, "0:1,1:1")])
    in_force(c, topic, "leader.replication.throttled.replicas", "0:1,1:1")
    alter("subtract one of two", [("leader.replication.throttled.replicas", SUBTRACT, "0:1")])
    in_force(c, topic, "leader.replication.throttled.replicas", "1:1")
    alter("delete", [("retention.ms", DELETE, None)])
    in_force(c, topic, "retention.ms", "604800000")
    shown(
        c,
        "after all",
        topic,
        "retention.ms",
        "segment.bytes",
        "cleanup.policy",
        "leader.replication.throttled.replicas",
    )
    alter("delete what is not set", [("flush.ms", DELETE, None)])
    alter("delete with a value", [("segment.bytes", DELETE, "7")])
    alter("append to a number", [("retention.ms", APPEND, "5")])
    alter("subtract from a number", [("retention.ms", SUBTRACT, "5")])
    alter("append what is not allowed", [("cleanup.policy", APPEND, "forget")])
    alter("subtract all there is", [("cleanup.policy", SUBTRACT, "compact")])
    alter("an unknown operation", [("retention.ms", 9, "5")])
    alter("set null", [("retention.ms", SET, None)])
    alter("append null", [("cleanup.policy", APPEND, None)])
    alter("an unknown config", [("no.such", SET, "1")])
    alter("delete an unknown config", [("no.such", DELETE, None)])
    alter("a bad value", [("retention.ms", SET, "soon")])
    alter("an empty value", [("retention.ms", SET, "")])
    alter("a value out of range", [("segment.bytes", SET, "1")])
    alter("a config twice", [("retention.ms", SET, "1"), ("retention.ms", SET, "2")])
    alter("good and bad", [("retention.ms", SET, "1"), ("segment.ms", SET, "soon")])
    alter("nothing of it", [])
    alter("unknown topic", [("retention.ms", SET, "1")], name=c.name("nobody"))
    alter("bad name", [("retention.ms", SET, "1")], name="a/b")
    alter("no name", [("retention.ms", SET, "1")], name="")
    alter("an unknown kind", [("retention.ms", SET, "1")], kind=77)
    alter("another broker", [("log.cleaner.threads", SET, "1")], kind=BROKER, name="9")
    alter("a broker that is no number", [("log.cleaner.threads", SET, "1")], kind=BROKER, name="nine")
    alter("what a broker cannot change", [("process.roles", SET, "broker")], kind=BROKER, name="1")
    alter("what nobody knows of a broker", [("no.such", SET, "1")], kind=BROKER, name="1", ValidateOnly=True)
    alter("the brokers' default", [("log.retention.ms", SET, "86400000")], kind=BROKER, name="", ValidateOnly=True)
    alter("a group", [("consumer.session.timeout.ms", SET, "45000")], kind=GROUP, name=c.name("g"))
    alter("a group, out of range", [("consumer.session.timeout.ms", SET, "1")], kind=GROUP, name=c.name("g"))
    alter("a group, unknown", [("no.such", SET, "1")], kind=GROUP, name=c.name("g"))
    c.ask("nothing", Resources=[])
    resource = {
        "ResourceType": TOPIC,
        "ResourceName": topic,
        "Configs": [{"Name": "flush.ms", "ConfigOperation": SET, "Value": "1"}],
    }
    c.ask("a topic twice", Resources=[resource, resource])
