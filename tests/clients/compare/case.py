"""What a case is given, and the list of all cases."""

import uuid

UNKNOWN_ID = uuid.UUID("01234567-89ab-4cde-8f01-23456789abcd")
CASES = []


def case(api, *, low=0, high=99):
    """Registers a function for every version of the API that both brokers serve, from `low` to `high`."""

    def register(function):
        CASES.append((api, function.__name__.replace("_", "-"), low, high, function))
        return function

    return register


class Context:
    """A case at one version, against one broker. Both brokers see the same names."""

    def __init__(self, peer, api, version, prefix):
        self.peer, self.api, self.version, self.prefix = peer, api, version, prefix

    def name(self, suffix):
        return f"{self.prefix}-{suffix}"

    def ask(self, label, over=None, **body):
        """Asks by the API and version of the case; the reply, or None where the connection was closed."""
        return self.peer.ask(label, self.api, self.version, body, over)

    def also(self, label, api, version, **body):
        """Asks by another API, and compares that answer too."""
        return self.peer.ask(label, api, version, body)

    def quietly(self, api, version, **body):
        """Asks without comparing."""
        return self.peer.exchange(api, version, body)

    def topic(self, suffix="t", partitions=1, **configs):
        """Makes a topic; its name and id."""
        name = self.name(suffix)
        return name, self.peer.make_topic(name, partitions, **configs)

    def place(self, topic, since, name="Name", id="TopicId"):
        """How a version names a topic: by name, or by id from version `since` on."""
        return {id: topic[1]} if self.version >= since else {name: topic[0]}

    def append(self, topic, records, partition=0, acks=-1):
        """Appends batches, without comparing; the partition's answer."""
        data = [{"Index": partition, "Records": records}]
        topics = [{"Name": topic[0], "PartitionData": data}]
        reply = self.quietly("Produce", 9, Acks=acks, TimeoutMs=10_000, TopicData=topics)
        answer = reply["Responses"][0]["PartitionResponses"][0]
        assert answer["ErrorCode"] == 0, answer
        return answer
