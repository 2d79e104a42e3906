"""FindCoordinator, offsets, members of groups in both protocols, groups as operators see them."""

from case import UNKNOWN_ID, case

GROUP_KEY, TRANSACTION_KEY, SHARE_KEY = range(3)


@case("FindCoordinator")
def coordinators(c):
    def find(label, *keys, kind=GROUP_KEY):
        for key in keys if c.version < 4 else [keys]:
            one = {"Key": key} if c.version < 4 else {"CoordinatorKeys": list(key)}
            c.ask(label, **one, KeyType=kind)

    find("of a group", c.name("g"))
    find("of a group without a name", "")
    find("of two groups", c.name("g"), c.name("h"))
    if c.version >= 1:
        find("of a transactional id", c.name("t"), kind=TRANSACTION_KEY)
        find("of a transactional id without a name", "", kind=TRANSACTION_KEY)
        find("of nothing known", c.name("x"), kind=9)
        find("of a negative kind", c.name("x"), kind=-1)


def committed(c, label, group, topics, **more):
    c.ask(label, GroupId=group, Topics=topics, **more)


def offsets(c, topic, *partitions, since=10):
    listed = [
        {"PartitionIndex": index, "CommittedOffset": offset, "CommittedMetadata": text}
        for index, offset, text in partitions
    ]
    return {**c.place(topic, since), "Partitions": listed}


@case("OffsetCommit")
def commits(c):
    topic = c.topic(partitions=2)
    group = c.name("g")
    committed(c, "one", group, [offsets(c, topic, (0, 5, "note"))])
    committed(c, "two", group, [offsets(c, topic, (0, 6, ""), (1, 7, "x"))])
    committed(c, "null metadata", group, [offsets(c, topic, (0, 6, None))])
    committed(c, "a negative offset", group, [offsets(c, topic, (0, -1, ""))])
    committed(c, "metadata too long", group, [offsets(c, topic, (0, 6, "x" * 5000))])
    committed(c, "unknown partition", group, [offsets(c, topic, (9, 5, ""))])
    committed(c, "unknown topic", group, [offsets(c, (c.name("nobody"), UNKNOWN_ID), (0, 5, ""))])
    committed(c, "known and unknown", group, [offsets(c, topic, (0, 5, ""), (9, 5, ""))])
    committed(c, "no topics", group, [])
    committed(c, "no partitions", group, [offsets(c, topic)])
    committed(c, "no group", "", [offsets(c, topic, (0, 5, ""))])
    committed(
        c, "as a member of no group", group, [offsets(c, topic, (0, 5, ""))], MemberId="me", GenerationIdOrMemberEpoch=3
    )
    committed(c, "of a generation, as nobody", group, [offsets(c, topic, (0, 5, ""))], GenerationIdOrMemberEpoch=3)
    committed(c, "as a member without a generation", group, [offsets(c, topic, (0, 5, ""))], MemberId="me")
    groups = [{"GroupId": group, "Topics": None}]
    c.also("what there is", "OffsetFetch", 9, Groups=groups)


@case("OffsetFetch")
def fetches(c):
    topic = c.topic(partitions=2)
    group, none = c.name("g"), c.name("none")
    c.quietly("OffsetCommit", 9, GroupId=group, Topics=[offsets(c, topic, (0, 5, "note"), since=99)])

    def fetch(label, *groups, **more):
        if c.version >= 8:
            listed = [{"GroupId": name, "Topics": wanted} for name, wanted in groups]
            return c.ask(label, Groups=listed, **more)
        for name, wanted in groups:
            c.ask(label, GroupId=name, Topics=wanted, **more)
        return None

    def wanted(*partitions, which=topic):
        return [{**c.place(which, 10), "PartitionIndexes": list(partitions)}]

    fetch("one", (group, wanted(0)))
    fetch("committed and not", (group, wanted(0, 1)))
    fetch("unknown partition", (group, wanted(9)))
    fetch("unknown topic", (group, wanted(0, which=(c.name("nobody"), UNKNOWN_ID))))
    fetch("of a group nobody has", (none, wanted(0)))
    fetch("of no group", ("", wanted(0)))
    fetch("nothing", (group, []))
    if c.version >= 2:
        fetch("all", (group, None))
        fetch("all of a group nobody has", (none, None))
    if c.version >= 7:
        fetch("stable ones", (group, wanted(0)), RequireStable=True)
    if c.version >= 8:
        fetch("of two groups", (group, wanted(0)), (none, wanted(0)))
        fetch("of no groups")
    if c.version >= 9:
        listed = [{"GroupId": group, "MemberId": "me", "MemberEpoch": 4, "Topics": wanted(0)}]
        c.ask("as a member of no group", Groups=listed)


@case("OffsetDelete")
def deletes_offsets(c):
    topic = c.topic(partitions=2)
    group = c.name("g")
    c.quietly("OffsetCommit", 9, GroupId=group, Topics=[offsets(c, topic, (0, 5, "note"), since=99)])

    def delete(label, name, *partitions, topic=topic[0]):
        listed = [{"PartitionIndex": index} for index in partitions]
        c.ask(label, GroupId=name, Topics=[{"Name": topic, "Partitions": listed}])

    delete("one", group, 0)
    delete("again", group, 0)
    delete("unknown partition", group, 7)
    delete("unknown topic", group, 0, topic=c.name("nobody"))
    delete("of a group nobody has", c.name("none"), 0)
    delete("of no group", "", 0)
    delete("nothing of it", group)


def join(c, label, group, member="", protocols=(("range", b"meta"),), kind="consumer", session=10_000, **more):
    listed = [{"Name": name, "Metadata": metadata} for name, metadata in protocols]
    body = {"GroupId": group, "MemberId": member, "SessionTimeoutMs": session, "RebalanceTimeoutMs": 10_000}
    return c.ask(label, **body, ProtocolType=kind, Protocols=listed, **more)


def joined(c, group, instance=None):
    """A group of one member; the member's id and the generation. Joins by a version of its own."""
    body = {
        "GroupId": group,
        "MemberId": "",
        "GroupInstanceId": instance,
        "SessionTimeoutMs": 10_000,
        "RebalanceTimeoutMs": 10_000,
        "ProtocolType": "consumer",
        "Protocols": [{"Name": "range", "Metadata": b"meta"}],
    }
    reply = c.quietly("JoinGroup", 5, **body)
    if reply["ErrorCode"] == 79:
        reply = c.quietly("JoinGroup", 5, **{**body, "MemberId": reply["MemberId"]})
    assert reply["ErrorCode"] == 0, reply
    return reply["MemberId"], reply["GenerationId"]


def synced(c, group, instance=None):
    member, generation = joined(c, group, instance)
    assignments = [{"MemberId": member, "Assignment": b"all"}]
    body = {"GroupId": group, "GenerationId": generation, "MemberId": member, "GroupInstanceId": instance}
    assert c.quietly("SyncGroup", 3, **body, Assignments=assignments)["ErrorCode"] == 0
    return member, generation


@case("JoinGroup")
def joins(c):
    group = c.name("g")
    first = join(c, "the first time", group)
    member = first["MemberId"]
    if c.version >= 4:
        join(c, "with the id it was given", group, member)
    join(c, "again", group, member)
    join(c, "as somebody nobody knows", group, "nobody")
    join(c, "with other protocols", group, member, protocols=(("sticky", b""), ("range", b"more")))
    join(c, "of another type", group, kind="connect")
    join(c, "without a type", c.name("a"), kind="")
    join(c, "without protocols", c.name("b"), protocols=())
    join(c, "no group", "")
    join(c, "a short session", c.name("c"), session=1)
    join(c, "a long session", c.name("c"), session=10_000_000)
    join(c, "as somebody, in a group nobody has", c.name("d"), "nobody")
    if c.version >= 5:
        join(c, "a static member", c.name("s"), GroupInstanceId="one")
        join(c, "a static member without a name", c.name("s"), GroupInstanceId="")
        join(c, "a static member by another id", c.name("s"), "other", GroupInstanceId="one")


@case("SyncGroup")
def syncs(c):
    group = c.name("g")
    member, generation = joined(c, group)

    def sync(label, name=group, who=member, at=generation, **more):
        assignments = [{"MemberId": who, "Assignment": b"all"}]
        kind = {"ProtocolType": "consumer", "ProtocolName": "range"} if c.version >= 5 else {}
        c.ask(label, GroupId=name, GenerationId=at, MemberId=who, Assignments=assignments, **{**kind, **more})

    sync("an old generation", at=generation - 1)
    sync("a later generation", at=generation + 1)
    sync("as nobody", who="nobody")
    if c.version >= 5:
        sync("another type", ProtocolType="connect")
        sync("another protocol", ProtocolName="sticky")
        sync("no type", ProtocolType=None, ProtocolName=None)
    sync("as the leader")
    sync("again")
    sync("of a group nobody has", name=c.name("none"))
    sync("of no group", name="")


@case("Heartbeat")
def beats(c):
    group = c.name("g")
    member, generation = synced(c, group)

    def beat(label, name=group, who=member, at=generation, **more):
        c.ask(label, GroupId=name, GenerationId=at, MemberId=who, **more)

    beat("well")
    beat("an old generation", at=generation - 1)
    beat("a later generation", at=generation + 1)
    beat("as nobody", who="nobody")
    beat("as no one", who="")
    beat("of a group nobody has", name=c.name("none"))
    beat("of no group", name="")
    if c.version >= 3:
        beat("as a static member that is none", GroupInstanceId="one")
    waiting = c.name("w")
    member, generation = joined(c, waiting)
    beat("before it has synced", name=waiting, who=member, at=generation)


@case("LeaveGroup")
def leaves(c):
    group = c.name("g")
    member, _ = synced(c, group)

    def leave(label, *members, name=group):
        if c.version >= 3:
            listed = [{"MemberId": who, "GroupInstanceId": instance} for who, instance in members]
            return c.ask(label, GroupId=name, Members=listed)
        return c.ask(label, GroupId=name, MemberId=members[0][0])

    leave("as nobody", ("nobody", None))
    leave("of a group nobody has", (member, None), name=c.name("none"))
    leave("of no group", (member, None), name="")
    if c.version >= 3:
        leave("a static member nobody knows", ("", "one"))
        leave("nobody at all")
        leave("one that is there and one that is not", (member, None), ("nobody", None))
    else:
        leave("well", (member, None))
    leave("again", (member, None))


@case("DescribeGroups")
def describes(c):
    group, waiting = c.name("g"), c.name("w")
    synced(c, group)
    joined(c, waiting)
    offsets_alone = c.name("o")
    topic = c.topic()
    c.quietly("OffsetCommit", 9, GroupId=offsets_alone, Topics=[offsets(c, topic, (0, 5, "note"), since=99)])
    c.ask("stable", Groups=[group])
    c.ask("waiting", Groups=[waiting])
    c.ask("with offsets alone", Groups=[offsets_alone])
    c.ask("nobody has it", Groups=[c.name("none")])
    c.ask("no name", Groups=[""])
    c.ask("none", Groups=[])
    c.ask("two", Groups=[group, c.name("none")])
    if c.version >= 3:
        c.ask("what may be done", Groups=[group], IncludeAuthorizedOperations=True)


@case("ListGroups")
def lists(c):
    synced(c, c.name("g"))

    def mine(label, **body):
        reply = c.quietly("ListGroups", c.version, **body)
        groups = [each for each in reply["Groups"] if each["GroupId"].startswith(c.prefix)]
        c.peer.keep(label, c.peer.masked({**reply, "Groups": groups}))

    mine("all")
    if c.version >= 4:
        mine("stable", StatesFilter=["Stable"])
        mine("in other letters", StatesFilter=["stable"])
        mine("empty", StatesFilter=["Empty"])
        mine("a state nobody knows", StatesFilter=["Confused"])
    if c.version >= 5:
        mine("classic", TypesFilter=["classic"])
        mine("in other letters", TypesFilter=["Classic"])
        mine("consumer", TypesFilter=["consumer"])
        mine("a type nobody knows", TypesFilter=["other"])


@case("DeleteGroups")
def deletes_groups(c):
    topic = c.topic()
    empty, full = c.name("e"), c.name("f")
    c.quietly("OffsetCommit", 9, GroupId=empty, Topics=[offsets(c, topic, (0, 5, "note"), since=99)])
    synced(c, full)
    c.ask("one with members", GroupsNames=[full])
    c.ask("nobody has it", GroupsNames=[c.name("none")])
    c.ask("no name", GroupsNames=[""])
    c.ask("one and one nobody has", GroupsNames=[empty, c.name("none")])
    c.ask("again", GroupsNames=[empty])
    c.ask("none", GroupsNames=[])


def consume(c, label, group, member, epoch, topics=(), **more):
    body = {
        "GroupId": group,
        "MemberId": member,
        "MemberEpoch": epoch,
        "RebalanceTimeoutMs": 10_000 if epoch == 0 else -1,
    }
    body |= {"SubscribedTopicNames": list(topics), "TopicPartitions": []} if epoch == 0 else {}
    return c.ask(label, **{**body, **more})


@case("ConsumerGroupHeartbeat")
def beats_of_consumers(c):
    topic, _ = c.topic(partitions=2)
    group, member = c.name("g"), "AAAAAAAAAAAAAAAAAAAAAA"
    first = consume(c, "joins", group, member, 0, [topic])
    epoch = first["MemberEpoch"]
    consume(c, "beats", group, member, epoch)
    consume(c, "of an old epoch", group, member, epoch - 1)
    consume(c, "of a later epoch", group, member, epoch + 5)
    consume(c, "as nobody", group, "BBBBBBBBBBBBBBBBBBBBBB", epoch)
    consume(c, "of a group nobody has", c.name("none"), member, epoch)
    consume(c, "of no group", "", member, 0, [topic])
    consume(c, "without topics", c.name("a"), member, 0, SubscribedTopicNames=None)
    consume(c, "without a rebalance timeout", c.name("a"), member, 0, [topic], RebalanceTimeoutMs=-1)
    consume(
        c,
        "owning something at once",
        c.name("a"),
        member,
        0,
        [topic],
        TopicPartitions=[{"TopicId": UNKNOWN_ID, "Partitions": [0]}],
    )
    consume(c, "with an assignor nobody has", c.name("a"), member, 0, [topic], ServerAssignor="other")
    consume(c, "with an empty assignor", c.name("a"), member, 0, [topic], ServerAssignor="")
    consume(c, "with an empty instance", c.name("a"), member, 0, [topic], InstanceId="")
    consume(c, "a negative epoch", c.name("a"), member, -5)
    consume(c, "leaves a group nobody has", c.name("none"), member, -1)
    consume(c, "as nobody, leaving", group, "BBBBBBBBBBBBBBBBBBBBBB", -1)
    consume(c, "a static member", c.name("s"), member, 0, [topic], InstanceId="one")
    consume(c, "the same name by another", c.name("s"), "BBBBBBBBBBBBBBBBBBBBBB", 0, [topic], InstanceId="one")
    consume(c, "a static member that is away", c.name("s"), member, -2, InstanceId="one")
    consume(c, "leaves", group, member, -1)
    consume(c, "beats after that", group, member, epoch)
    if c.version >= 1:
        consume(c, "by a pattern", c.name("r"), member, 0, [], SubscribedTopicRegex=f"{c.prefix}.*")
        consume(c, "by a pattern that is none", c.name("q"), member, 0, [], SubscribedTopicRegex="(")
        consume(c, "without a member id", c.name("m"), "", 0, [topic])


@case("ConsumerGroupDescribe")
def describes_consumers(c):
    topic = c.topic(partitions=2)
    group, classic = c.name("g"), c.name("c")
    body = {
        "GroupId": group,
        "MemberId": "AAAAAAAAAAAAAAAAAAAAAA",
        "MemberEpoch": 0,
        "RebalanceTimeoutMs": 10_000,
        "SubscribedTopicNames": [topic[0]],
        "TopicPartitions": [],
    }

    def beat():
        return c.quietly("ConsumerGroupHeartbeat", 0, **body)

    c.peer.until("assigned", beat, lambda reply: reply["Assignment"] and reply["Assignment"]["TopicPartitions"])
    synced(c, classic)
    c.ask("one", GroupIds=[group])
    c.ask("a classic one", GroupIds=[classic])
    c.ask("nobody has it", GroupIds=[c.name("none")])
    c.ask("no name", GroupIds=[""])
    c.ask("what may be done", GroupIds=[group], IncludeAuthorizedOperations=True)
    c.ask("none", GroupIds=[])
