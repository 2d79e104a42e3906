"""main.py --bootstrap HOST:PORT [--only TEXT] [--transactions]

Applications of Kafka's frameworks, counted and compared; with --transactions that of exactly_once_v2 alone, which also kills
the broker if `run` has started it (at $CLIENTS_BROKER_CONTROL).
"""

import argparse
import secrets
import sys
import tempfile

import connect
import spring
import streams
from control import can_kill_broker
from report import Report

RUN = secrets.token_hex(3)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--transactions", action="store_true")
    options = parser.parse_args()
    report = Report("frameworks", options.only)
    with tempfile.TemporaryDirectory(prefix="frameworks-") as directory:
        place = (options.bootstrap, directory)
        if options.transactions:
            report.run("streams/exactly-once", streams.exactly_once, *place, f"streams-eos-{RUN}", can_kill_broker())
            return report.finish()
        report.run("streams/at-least-once", streams.at_least_once, *place, f"streams-alo-{RUN}")
        report.run("spring/listeners", spring.listeners, *place, f"spring-{RUN}")
        report.run("connect/workers", connect.workers, *place, f"connect-{RUN}")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
