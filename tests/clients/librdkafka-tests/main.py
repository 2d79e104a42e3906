"""main.py --tests DIRECTORY --bootstrap HOST:PORT [--only TEXT]

Runs those of librdkafka's tests of transactions that need a broker. A test that skips itself has failed: the broker lacks something.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys

# Producers of transactions; consumers in both isolation levels behind transactions of the Java client; fetches of aborted records.
TESTS = ("0103_transactions", "0098_consumer_txn", "0129_fetch_aborted_msgs")
SECONDS_MAX = 600
LINES_SHOWN = 40
VERDICT = re.compile(r"\| (\d{4}_\w+)\s*\|\s*(PASSED|FAILED|SKIPPED|DNS|RUNNING)\s*\|\s*([\d.]+)s")


def run(tests, bootstrap, name):
    """The test's verdict, its seconds, and what it said."""
    (tests / "test.conf").write_text(f"bootstrap.servers={bootstrap}\ntest.topic.random=true\n")
    libraries = f"{tests.parent / 'src'}:{tests.parent / 'src-cpp'}"
    environment = os.environ | {"TESTS": name, "LD_LIBRARY_PATH": libraries, "TEST_KAFKA_VERSION": "4.3.1"}
    command = ["./test-runner", "-p1", "-E"]
    options = {"cwd": tests, "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        output = subprocess.run(command, timeout=SECONDS_MAX, check=False, **options).stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as expired:
        return "TIMED OUT", SECONDS_MAX, (expired.stdout or b"").decode(errors="replace")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    verdicts = [found for found in VERDICT.findall(plain) if found[0] == name]
    _, verdict, seconds = verdicts[-1] if verdicts else (name, "NOT RUN", "0")
    return verdict, float(seconds), plain


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--tests", type=pathlib.Path, required=True)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    passed = failed = 0
    for name in (test for test in TESTS if options.only in test):
        verdict, seconds, output = run(options.tests, options.bootstrap, name)
        good = verdict == "PASSED"
        passed, failed = passed + good, failed + (not good)
        print(f"librdkafka-tests: {'ok' if good else 'FAIL'} {name} {'' if good else verdict} ({seconds * 1000:.0f} ms)", flush=True)
        if not good:
            print("\n".join(output.splitlines()[-LINES_SHOWN:]), file=sys.stderr)
    print(f"librdkafka-tests: {passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
