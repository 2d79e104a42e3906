"""main.py --bootstrap HOST:PORT [--only TEXT]

Runs the scenarios with every client: kafka-clients (transaction version 2), confluent-kafka and franz-go. What kills the broker
needs one that `run` has started. Then come the transactions of other suites: franz-go's own test, and Kafka Streams.
"""

import argparse
import concurrent.futures
import pathlib
import subprocess
import sys

import scenarios
from control import can_kill_broker
from report import Report

CLIENTS = pathlib.Path(__file__).resolve().parents[1]
SUITES = {"java": "java", "python": "confluent", "go": "franz"}
TOGETHER = 3


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    report = Report("transactions", options.only)
    calm = {
        "commit": scenarios.commit,
        "abort": scenarios.abort,
        "fence": scenarios.fence,
        "time-out": scenarios.time_out,
    }
    with concurrent.futures.ThreadPoolExecutor(TOGETHER) as pool:
        runs = [
            pool.submit(report.run, f"{client}/{name}", scenario, options.bootstrap, suite)
            for suite, client in SUITES.items()
            for name, scenario in calm.items()
        ]
        concurrent.futures.wait(runs)
    # These kill the broker, one after another.
    for suite, client in SUITES.items():
        if can_kill_broker():
            report.run(f"{client}/kill-between", scenarios.kill_between, options.bootstrap, suite)
        # With librdkafka, Apache Kafka itself was seen to commit a copy twice when it was killed (but not its copiers alone).
        broker_too = can_kill_broker() and suite != "python"
        report.run(f"{client}/copy", scenarios.copy, options.bootstrap, suite, broker_too)
    for suite in ("franz-tests", "frameworks"):
        report.run(f"{suite}/transactions", other_suite, suite, options.bootstrap)
    return report.finish()


def other_suite(suite, bootstrap):
    """All its cases of transactions pass."""
    command = [CLIENTS / suite / "suite", "--bootstrap", bootstrap, "--transactions"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, "; ".join(line for line in done.stdout.splitlines() if ": FAIL " in line)


if __name__ == "__main__":
    sys.exit(main())
