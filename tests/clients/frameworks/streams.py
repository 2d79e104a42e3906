"""Kafka Streams: words are counted by two instances, which are closed or killed, as is the broker."""

import collections
import contextlib
import random

from application import Application, create, read_all, wait_until
from control import kill_broker
from records import Record
from report import equal

PARTITIONS = 3
WORDS = [f"word{number}" for number in range(40)]
WORDS_A_LINE = 5
LINES = 600
MAIN = "frameworks.WordCount"


class Words:
    """An application, what it was sent, and what it must have counted."""

    def __init__(self, bootstrap, directory, name, guarantee):
        self.bootstrap, self.directory, self.name, self.guarantee = bootstrap, directory, name, guarantee
        self.input, self.output = f"{name}-input", f"{name}-output"
        self.client = create(bootstrap, (self.input, PARTITIONS), (self.output, PARTITIONS))
        self.draws = random.Random(name)
        self.sent = collections.Counter()
        self.instances = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for instance in self.instances:
            instance.kill()
        self.client.close()

    def start(self):
        number = len(self.instances)
        state = f"{self.directory}/{self.name}-{number}"
        arguments = (self.bootstrap, self.name, self.input, self.output, self.guarantee, state)
        instance = Application(self.directory, f"{self.name}-{number}", MAIN, *arguments)
        self.instances.append(instance)
        return instance

    def running(self, instance):
        wait_until(lambda: "RUNNING" in instance.text.split(), "the instance runs", [instance])

    def send(self):
        lines = [[self.draws.choice(WORDS) for _ in range(WORDS_A_LINE)] for _ in range(LINES)]
        self.client.produce(
            self.input, [Record(" ".join(line).encode(), partition=at % PARTITIONS) for at, line in enumerate(lines)]
        )
        self.sent.update(word for line in lines for word in line)

    def counted(self):
        """Each word's counts in the order they were written; a word has one partition."""
        counts = collections.defaultdict(list)
        for _, key, value in read_all(self.bootstrap, self.output, PARTITIONS):
            counts[key.decode()].append(int(value))
        return counts

    def all_counted(self, *alive):
        def last():
            return {word: counts[-1] for word, counts in self.counted().items()}

        def holds():
            found = last()
            return sum(found.values()) >= self.sent.total() and found.keys() == self.sent.keys()

        wait_until(holds, lambda: f"{sum(last().values())} of {self.sent.total()} words are counted", alive)
        equal(last(), dict(self.sent), "counts of words")


def at_least_once(bootstrap, directory, name):
    """Instances come and go without a failure: then the counts are exact, too."""
    with Words(bootstrap, directory, name, "at_least_once") as words:
        words.send()
        first = words.start()
        words.all_counted(first)
        second = words.start()
        words.running(second)
        words.send()
        words.all_counted(first, second)
        first.close()
        words.send()
        words.all_counted(second)
        second.close()


def exactly_once(bootstrap, directory, name, broker_may_be_killed):
    """Instances and the broker are killed at work: every word is counted once, and every count is written once."""
    with Words(bootstrap, directory, name, "exactly_once_v2") as words:
        words.send()
        first, second = words.start(), words.start()
        words.running(first)
        words.running(second)
        words.all_counted(first, second)
        words.send()
        first.kill()
        third = words.start()
        words.send()
        words.all_counted(second, third)
        words.send()
        if broker_may_be_killed:
            kill_broker()
        words.send()
        words.all_counted(second, third)
        for word, counts in words.counted().items():
            equal(counts, list(range(1, words.sent[word] + 1)), f"all counts of {word}")
        with contextlib.suppress(AssertionError):  # what counts is counted; closing is the other case's
            second.close()
