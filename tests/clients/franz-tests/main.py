"""main.py --bootstrap HOST:PORT [--only TEXT] [--records N] [--transactions]

Runs those of franz-go's tests that need a broker, or that of transactions alone. A test that skips itself has failed: the broker lacks something.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys

BINARY = pathlib.Path(os.environ["CLIENTS_WORK"]) / "franz-tests"
# The chains carry all records through several groups with members that come and go, with every balancer, both protocols and
# static members. Left out: share groups, SCRAM.
TRANSACTION_TESTS = ("TestTxnEtl",)
TESTS = (
    "TestGroupETL",
    "TestGroupSimple",
    "Test848RegexBrokerResolves",
    "TestUnknownGroupOffsetFetchPinned",
    "TestPing",
    "TestIssue1034",
    "TestIssue325",
    "TestConsumeTopicRetrieval",
    "TestConsumeTopicRetrieval_Many",
    "TestConsumeRegex",
    "TestIssue337",
    "TestDirectPartitionPurge",
    "TestIssue434",
    "TestAddRemovePartitions",
    "TestPauseIssue489",
    "TestPauseIssueOct2023",
    "TestIssue523",
    "TestIssue648",
    "TestIssue810",
    "TestIssue865",
    "TestIssueFetchLargerThanBrokerMaxReadBytes",
    "TestPooling",
    "TestHookPollStart",
    "TestConsumeMaxDecompressBatchBytes",
    "TestClient_Produce",
    "TestIssue769",
    "TestIssueProduceSyncManualPartitionNegativeDoesNotPanic",
    "TestIssue831",
    "TestClient_ProduceLargeMessages",
)
RESULT = re.compile(r" *--- (PASS|FAIL|SKIP): (\S+) \(([\d.]+)s\)")
SECONDS_MAX = 400
LINES_SHOWN = 60


def run(bootstrap, tests, records):
    environment = os.environ | {
        "KGO_SEEDS": bootstrap,
        "KGO_TEST_RF": "1",
        "KGO_TEST_RECORDS": str(records),
        "KGO_TEST_MAX_TOPIC_PARTS": "7",
        "KGO_LOG_LEVEL": "none",
    }
    command = [BINARY, "-test.v", "-test.run", f"^({'|'.join(tests)})$", "-test.timeout", f"{SECONDS_MAX}s"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--transactions", action="store_true")
    options = parser.parse_args()
    tests = [test for test in (TRANSACTION_TESTS if options.transactions else TESTS) if options.only in test]
    output = run(options.bootstrap, tests, options.records)
    results = {name: (result, seconds) for result, name, seconds in RESULT.findall(output)}
    passed = failed = 0
    for name in sorted(set(results) | set(tests)):
        result, seconds = results.get(name, ("NOT RUN", "0"))
        good = result == "PASS"
        passed, failed = passed + good, failed + (not good)
        print(f"franz-tests: {'ok' if good else 'FAIL'} {name} {'' if good else result} ({float(seconds) * 1000:.0f} ms)")
    if failed:
        interesting = [line for line in output.splitlines() if not re.match(r"=== ", line)]
        print("\n".join(interesting[-LINES_SHOWN:]), file=sys.stderr)
    print(f"franz-tests: {passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
