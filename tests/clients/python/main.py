"""main.py --bootstrap HOST:PORT [--client NAME] [--only TEXT]            all cases, or those of one client, or named so
main.py --bootstrap HOST:PORT --client NAME write TOPIC:SEED:CODEC...  sends generated records to new topics
main.py --bootstrap HOST:PORT --client NAME verify TOPIC:SEED...       reads them back, whoever wrote them
main.py --bootstrap HOST:PORT --client NAME member NAME=VALUE...       becomes a member of a group
main.py --bootstrap HOST:PORT transactor ID TIMEOUT_MS                 a transactional producer that does what it is told
main.py --bootstrap HOST:PORT copier INPUT OUTPUT GROUP ID PARTITION   copies records in transactions
"""

import argparse
import importlib
import sys

import cases
import member
import transactor
from report import Report

CLIENTS = {"confluent": "client_confluent", "kafka-python": "client_kafka_python", "aiokafka": "client_aiokafka"}


def arguments():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--client", choices=CLIENTS)
    parser.add_argument("--only", default="")
    parser.add_argument("verb", nargs="?", choices=("write", "verify", "member", "transactor", "copier"))
    parser.add_argument("topics", nargs="*")
    return parser.parse_args()


def run_cases(report, client):
    for codec in client.codecs:
        report.run(f"{client.name}/round-trip-{codec}", cases.round_trip, client, codec)
    for name, case in cases.CASES.items():
        if name not in client.left_out:
            report.run(f"{client.name}/{name}", case, client)


def run_verb(report, client, verb, topics):
    for place in topics:
        topic, seed, codec = (place + ":none").split(":")[:3]
        name, where = f"{client.name}/{verb} {topic}", (client, topic, int(seed))
        if verb == "write":
            report.run(name, cases.write, *where, codec)
        else:
            report.run(name, cases.verify, *where)


def main():
    options = arguments()
    if options.verb == "member":
        return member.run(options.bootstrap, options.client, options.topics)
    if options.verb == "transactor":
        return transactor.run(options.bootstrap, *options.topics)
    if options.verb == "copier":
        return transactor.copy(options.bootstrap, *options.topics)
    report = Report("python", options.only)
    for name in [options.client] if options.client else CLIENTS:
        module = importlib.import_module(CLIENTS[name])
        client = module.Client(options.bootstrap)
        print(f"python: {module.VERSION}", flush=True)
        if options.verb:
            run_verb(report, client, options.verb, options.topics)
        else:
            run_cases(report, client)
        client.close()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
