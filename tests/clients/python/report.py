"""Runs cases and reports them: a line each, then the totals."""

import sys
import time
import traceback


class Report:
    """Runs the cases whose name contains `only`."""

    def __init__(self, suite, only=""):
        self.suite = suite
        self.only = only
        self.passed = 0
        self.failed = 0

    def run(self, name, case, *arguments):
        if self.only not in name:
            return
        start = time.monotonic()
        try:
            case(*arguments)
        except Exception as error:  # noqa: BLE001 - any failure of a case is its result
            self.failed += 1
            reason = str(error).splitlines()[0] if str(error) else "no message"
            print(f"{self.suite}: FAIL {name}: {type(error).__name__}: {reason}", flush=True)
            if not isinstance(error, AssertionError):
                traceback.print_exc(limit=-4, file=sys.stderr)
            return
        self.passed += 1
        print(f"{self.suite}: ok {name} ({(time.monotonic() - start) * 1000:.0f} ms)", flush=True)

    def finish(self):
        """Prints the totals; the exit status of the suite."""
        print(f"{self.suite}: {self.passed} passed, {self.failed} failed", flush=True)
        return 0 if self.failed == 0 and self.passed > 0 else 1


class Refused(Exception):
    """The broker (or the client on its behalf) refused; `code` is Kafka's name of the error."""

    def __init__(self, code, message=""):
        super().__init__(f"{code} {message}".strip())
        self.code = code


def equal(actual, expected, what):
    if actual != expected:
        raise AssertionError(f"{what}: expected {expected!r}, got {actual!r}")


def refused(codes, action, *arguments, **options):
    """Asserts that the action is refused with one of the codes."""
    allowed = (codes,) if isinstance(codes, str) else codes
    try:
        result = action(*arguments, **options)
    except Refused as error:
        if error.code not in allowed:
            raise AssertionError(f"expected {' or '.join(allowed)}, got {error}") from error
        return error
    raise AssertionError(f"expected {' or '.join(allowed)}, but it succeeded with {result!r}")


def eventually(read, expected, what):
    """Repeats `read` until it is as expected: what a controller has decided reaches the metadata a moment later."""
    deadline = time.monotonic() + 5
    while True:
        try:
            return equal(read(), expected, what)
        except (AssertionError, Refused):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
