"""Runs the system tests: `python3 Tests/system [NAME ...]`, called by Tests/run.

Needs HOLDFAST_BINARIES, the folder of the release binaries. The last line is "N passed, N failed, N skipped"."""

import os
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


class Result(unittest.TextTestResult):
    """Counts each test once, however many of its parts failed, and says how long each took."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.passed, self.bad, self.began = 0, set(), 0.0

    def startTest(self, test):
        self.began = time.monotonic()
        super().startTest(test)

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


def main():
    sys.path.insert(0, HERE)
    loader = unittest.TestLoader()
    names = sys.argv[1:]
    suite = loader.loadTestsFromNames(names) if names else loader.discover(HERE, pattern="test_*.py")
    result = unittest.TextTestRunner(verbosity=2, resultclass=Result, stream=sys.stdout).run(suite)
    print(f"{result.passed} passed, {len(result.bad)} failed, {len(result.skipped)} skipped")
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
