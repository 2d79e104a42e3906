"""main.py --bootstrap HOST:PORT [--only TEXT] [--together N]

Runs the scenarios with every flavour of client, some of them at a time, since members mostly wait. The cases
`across-kill` need a broker that `run` has started: it kills the broker and starts it again at $CLIENTS_BROKER_CONTROL. What
their groups have committed in the end is written to $CLIENTS_OFFSETS.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import sys

import migration
import scenarios
from control import can_kill_broker, kill_broker
from members import Flavour
from report import Report

JAVA = ("java", None)
CONFLUENT = ("python", "confluent")
KAFKA_PYTHON = ("python", "kafka-python")
AIOKAFKA = ("python", "aiokafka")
FRANZ = ("go", "franz")
SARAMA = ("go", "sarama")
KAFKAJS = ("node", None)

FLAVOURS = (
    Flavour(*JAVA, "classic", "range", "sync", "static", "none", "duration"),
    Flavour(*JAVA, "classic", "cooperative-sticky", "async", "none"),
    Flavour(*JAVA, "consumer", "uniform", "auto", "static", "none", "duration", "pattern"),
    Flavour(*CONFLUENT, "classic", "range", "auto", "static", "none"),
    Flavour(*CONFLUENT, "classic", "cooperative-sticky", "sync"),
    Flavour(*CONFLUENT, "consumer", "uniform", "async", "static", "none", "pattern"),
    Flavour(*KAFKA_PYTHON, "classic", "range", "sync", "static", "none"),
    Flavour(*KAFKA_PYTHON, "classic", "cooperative-sticky", "async"),
    Flavour(*AIOKAFKA, "classic", "roundrobin", "auto", "static", "none"),
    Flavour(*FRANZ, "classic", "cooperative-sticky", "auto", "static"),
    Flavour(*FRANZ, "classic", "range", "async"),
    Flavour(*FRANZ, "consumer", "uniform", "sync"),
    Flavour(*SARAMA, "classic", "sticky", "auto", "static"),
    Flavour(*SARAMA, "classic", "range", "sync"),
    Flavour(*KAFKAJS, "classic", "roundrobin", "auto"),
    Flavour(*KAFKAJS, "classic", "roundrobin", "sync"),
)

# (before, after) of groups that change their protocol, and what the pair is put through besides. `once`: it commits what it polls
# before the partitions can be taken away; franz-go takes them at any time.
MIGRATIONS = (
    (Flavour(*JAVA, "classic", "range", "sync"), Flavour(*JAVA, "consumer", "range", "sync"), "once", "kill"),
    (Flavour(*JAVA, "classic", "cooperative-sticky", "async"), Flavour(*JAVA, "consumer", "uniform", "async"), "static"),
    (Flavour(*CONFLUENT, "classic", "range", "sync"), Flavour(*CONFLUENT, "consumer", "uniform", "sync"), "once", "static", "kill", "killed"),
    (Flavour(*CONFLUENT, "classic", "cooperative-sticky", "auto"), Flavour(*CONFLUENT, "consumer", "uniform", "auto"), "refused"),
    (Flavour(*FRANZ, "classic", "cooperative-sticky", "sync"), Flavour(*FRANZ, "consumer", "uniform", "sync"), "static", "kill"),
    (Flavour(*FRANZ, "classic", "range", "auto"), Flavour(*FRANZ, "consumer", "range", "auto"), "killed"),
    # Libraries that speak only the classic protocol, beside one that speaks the other.
    (Flavour(*KAFKA_PYTHON, "classic", "cooperative-sticky", "async"), Flavour(*FRANZ, "consumer", "uniform", "sync")),
    (Flavour(*AIOKAFKA, "classic", "roundrobin", "auto"), Flavour(*CONFLUENT, "consumer", "range", "async")),
    (Flavour(*SARAMA, "classic", "range", "sync"), Flavour(*FRANZ, "consumer", "uniform", "auto")),
    (Flavour(*KAFKAJS, "classic", "roundrobin", "auto"), Flavour(*CONFLUENT, "consumer", "uniform", "sync")),
)


def cases(bootstrap):
    """(name, body) of everything that may run at the same time."""
    for flavour in FLAVOURS:
        yield f"{flavour.name}/life", lambda flavour=flavour: scenarios.life(bootstrap, flavour)
        if "static" in flavour.abilities:
            yield f"{flavour.name}/static", lambda flavour=flavour: scenarios.static(bootstrap, flavour)
            if flavour.protocol == "consumer":
                yield f"{flavour.name}/static-killed", lambda flavour=flavour: scenarios.static_killed(bootstrap, flavour)
        if "pattern" in flavour.abilities:
            yield f"{flavour.name}/pattern", lambda flavour=flavour: scenarios.pattern(bootstrap, flavour)
        yield f"{flavour.name}/reset", lambda flavour=flavour: scenarios.reset(bootstrap, flavour)
    for classic, consumer, *abilities in MIGRATIONS:
        pair = (bootstrap, classic, consumer)
        if "refused" in abilities:
            yield f"{classic.name}/migrate-refused", lambda pair=pair: migration.migrate_refused(*pair)
        else:
            yield f"{classic.name}/migrate", lambda pair=pair, once="once" in abilities: migration.migrate(*pair, once)
        if "static" in abilities:
            yield f"{classic.name}/migrate-static", lambda pair=pair: migration.migrate_static(*pair)
        if "killed" in abilities:
            yield f"{classic.name}/migrate-killed", lambda pair=pair: migration.migrate_killed(*pair)


def across_kill(bootstrap, report, pool):
    """All groups go through the same kill of the broker."""
    made = [(f"{flavour.name}/across-kill", scenarios.AcrossKill, (flavour,)) for flavour in FLAVOURS]
    made += [
        (f"{classic.name}/migrate-across-kill", migration.AcrossKill, (classic, consumer))
        for classic, consumer, *abilities in MIGRATIONS if "kill" in abilities
    ]
    situations = [(name, make(bootstrap, *of)) for name, make, of in made if report.only in name]
    if not situations:
        return
    try:
        before = [pool.submit(situation.before) for _, situation in situations]
        concurrent.futures.wait(before)
        kill_broker()
        after = [
            pool.submit(report.run, name, lambda s=situation, b=first: (b.result(), s.after()))
            for (name, situation), first in zip(situations, before, strict=True)
        ]
        concurrent.futures.wait(after)
    finally:
        committed = {}
        for _, situation in situations:
            committed |= situation.close()
        pathlib.Path(os.environ["CLIENTS_OFFSETS"]).write_text(json.dumps(committed))


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--together", type=int, default=6)
    options = parser.parse_args()
    report = Report("groups", options.only)
    with concurrent.futures.ThreadPoolExecutor(options.together) as pool:
        runs = [pool.submit(report.run, name, body) for name, body in cases(options.bootstrap)]
        concurrent.futures.wait(runs)
        if can_kill_broker():
            across_kill(options.bootstrap, report, pool)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
