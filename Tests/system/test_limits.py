"""What runs the tests: one that hangs is a failure that says where, and the next one runs."""

import os
import re
import subprocess
import sys
import unittest

import harness

SAMPLES = """
import subprocess, threading, time, unittest


class First(unittest.TestCase):
    is_last = True

    def test_of_a_class_that_goes_last(self):
        pass


class Hanging(unittest.TestCase):
    limit_s = 1

    def test_1_that_waits_for_what_never_comes(self):
        threading.Thread(target=self.helper, daemon=True).start()
        self.child = subprocess.Popen(["sleep", "86400"], stdout=subprocess.PIPE)
        self.addCleanup(self.child.stdout.close)
        self.addCleanup(self.end)
        self.addCleanup(self.clean_up)
        self.child.stdout.read()

    def helper(self):
        time.sleep(86400)

    def clean_up(self):
        time.sleep(86400)

    def end(self):
        self.child.kill()
        self.child.wait()
        print("ended")


class Next(unittest.TestCase):
    def test_2_that_runs_all_the_same(self):
        pass
"""

GUARDED = """
import os, subprocess, unittest
import harness


class Sample(unittest.TestCase):
    def test_1_the_guardian_keeps_nothing_open(self):
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        harness.spawn(self, ["true"])
        os.close(write_end)
        self.assertEqual(os.read(read_end, 1), b"")

    def test_2_that_is_killed(self):
        child = harness.spawn(self, ["sleep", "86400"])
        print(f"left: {child.pid} {harness.folder_of(self)}", flush=True)
        os.kill(os.getpid(), 9)
"""


class Limits(unittest.TestCase):
    def run_tests(self, text):
        """What a run of these tests says, of which not all pass, and its status."""
        folder = harness.folder_of(self)
        with open(os.path.join(folder, "samples.py"), "w") as file:
            file.write(text)
        done = subprocess.run([sys.executable, "-u", os.path.join(harness.ROOT, "Tests/system"), "samples"],
                              capture_output=True, text=True, timeout=10 * harness.PATIENCE_S,
                              env=os.environ | {"PYTHONPATH": folder})
        return done.stdout + done.stderr, done.returncode

    def test_what_a_run_that_was_killed_left_is_ended_and_removed(self):
        said, status = self.run_tests(GUARDED)
        self.assertEqual(status, -9, said)
        self.assertRegex(said, r"test_1_the_guardian_keeps_nothing_open.* ok \(")
        # By now the guardian is gone too: it holds the pipe that all was read from.
        pid, folder = re.search(r"left: (\d+) (\S+)", said).groups()
        self.assertFalse(os.path.exists(folder))
        self.assertTrue(harness.watched.wait_end(int(pid), harness.PATIENCE_S), f"{pid} goes on")

    def test_a_line_is_not_waited_for_longer_than_it_says(self):
        silent = harness.spawn(self, ["sh", "-c", "printf 'one\\ntw'; exec sleep 86400"], stdout=subprocess.PIPE)
        self.addCleanup(silent.stdout.close)
        self.assertEqual(harness.read_line(self, silent.stdout), "one\n")
        with self.assertRaisesRegex(AssertionError, "no line in 0.2 s, only b'"):
            harness.read_line(self, silent.stdout, 0.2)
        silent.kill()
        self.assertIn(harness.read_line(self, silent.stdout), ("", "tw"))

    def test_a_hang_is_a_failure_with_the_stacks_of_all_threads_and_the_next_test_runs(self):
        said, status = self.run_tests(SAMPLES)
        self.assertEqual(status, 1, said)
        self.assertEqual(said.splitlines()[-1], "2 passed, 1 failed, 0 skipped", said)
        self.assertIn("AssertionError: not at its end after 1 s", said)
        for name in ("test_1_that_waits_for_what_never_comes", "helper", "clean_up"):
            self.assertRegex(said, rf'File ".*/samples.py", line \d+ in {name}\n')
        self.assertIn("ended\n", said, "what comes after a cleanup that hangs")
        names = ("test_1_", "test_2_", "test_of_a_class_that_goes_last")
        self.assertEqual(sorted(names, key=said.index), list(names))


HANGING_SWIFT = """#!/bin/sh
case "$1" in
format) exit 0 ;;
build) exec sleep 86400 ;;
esac
"""


class Whole(unittest.TestCase):
    """Tests/run, with a `swift` that hangs."""

    def test_a_build_that_hangs_is_ended_and_told(self):
        folder = harness.folder_of(self)
        for name, text in (("swift", HANGING_SWIFT), ("dpkg-query", "#!/bin/sh\necho install ok installed\n")):
            with open(os.path.join(folder, name), "w") as file:
                file.write(text)
            os.chmod(file.name, 0o755)
        done = harness.attempt(os.path.join(harness.ROOT, "Tests/run"), "--unit", "--seconds", "20",
                               env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"})
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"\ndebug build +FAILED .* \d+ s \(it was ended: it took too long\)\n")
        self.assertRegex(done.stdout.splitlines()[-1], r"^[01] passed, [23] failed, 0 skipped$")


if __name__ == "__main__":
    unittest.main()
