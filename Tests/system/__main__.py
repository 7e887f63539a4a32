"""Runs the system tests: `python3 Tests/system [NAME ...]`, called by Tests/run.

Needs HOLDFAST_BINARIES, the folder of the release binaries. The last line is "N passed, N failed, N skipped".
A test that hangs is a failure: its class may say in `limit_s` that it honestly takes longer than most, and in
`is_last` that all others go before it."""

import faulthandler
import os
import signal
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT_S = 600.0  # for hangs only, however busy the machine
BETWEEN_S = 3600.0  # what a class sets up for all its tests, such as packages that are built


class Limit:
    """Fails what hangs, and tells where each thread then stands."""

    def __init__(self):
        self.limit_s = 0.0
        signal.signal(signal.SIGALRM, self.reached)

    def set(self, limit_s):
        """Until the next call. It is reached again and again: what cleans up after a hang may hang too."""
        self.limit_s = limit_s
        signal.setitimer(signal.ITIMER_REAL, limit_s, limit_s / 10)

    def end(self):
        signal.setitimer(signal.ITIMER_REAL, 0)

    def reached(self, *_):
        sys.stdout.flush()
        faulthandler.dump_traceback(sys.stdout)
        raise AssertionError(f"not at its end after {self.limit_s:g} s")


class Result(unittest.TextTestResult):
    """Counts each test once, however many of its parts failed, and says how long each took."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.passed, self.bad, self.began = 0, set(), 0.0
        self.limit = Limit()

    def startTestRun(self):
        super().startTestRun()
        self.limit.set(BETWEEN_S)

    def stopTestRun(self):
        self.limit.end()
        super().stopTestRun()

    def startTest(self, test):
        self.began = time.monotonic()
        super().startTest(test)
        self.limit.set(getattr(test, "limit_s", LIMIT_S))

    def stopTest(self, test):
        self.limit.set(BETWEEN_S)
        super().stopTest(test)

    def addSuccess(self, test):
        self.passed += 1
        self.stream.writeln(f"ok ({time.monotonic() - self.began:.1f} s)")

    def addFailure(self, test, error):
        self.bad.add(test.id())
        super().addFailure(test, error)
        self.tell(error)

    def addError(self, test, error):
        self.bad.add(test.id())
        super().addError(test, error)
        self.tell(error)

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self.bad.add(test.id())
        super().addSubTest(test, subtest, error)

    def tell(self, error):
        """At once and not only at the end: the log is then in order."""
        self.stream.writeln(f"    {error[0].__name__}: {str(error[1])[:300]}")
        self.stream.flush()


def tests_in(suite):
    for part in suite:
        yield from tests_in(part) if isinstance(part, unittest.TestSuite) else [part]


def main():
    sys.path.insert(0, HERE)
    loader = unittest.TestLoader()
    names = sys.argv[1:]
    found = loader.loadTestsFromNames(names) if names else loader.discover(HERE, pattern="test_*.py")
    suite = unittest.TestSuite(sorted(tests_in(found), key=lambda test: getattr(test, "is_last", False)))
    result = unittest.TextTestRunner(verbosity=2, resultclass=Result, stream=sys.stdout).run(suite)
    print(f"{result.passed} passed, {len(result.bad)} failed, {len(result.skipped)} skipped")
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
