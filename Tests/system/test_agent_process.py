"""Watched processes: how they end, how many there are, and that they come back."""

import os
import signal
import subprocess
import sys
import unittest
import uuid

import harness
from harness import agent, health
from test_agent_bus import QUIET, watch, write_pid


def kernel():
    return tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])


HAS_EXIT_INFO = kernel() >= (6, 15)


class OneProcess(unittest.TestCase):
    def setUp(self):
        self.folder = harness.folder_of(self)
        self.child = self.run_child()
        self.daemon = agent(self, QUIET + watch("algo", os.path.join(self.folder, "algo.pid")))
        self.client = health(self, self.daemon, "state/")
        self.first = self.client.settle("process/algo", "ok")

    def run_child(self):
        """A process that ends with the status that it reads from its input."""
        child = harness.spawn(self, ["sh", "-c", "read status; exit $status"], stdin=subprocess.PIPE)
        self.addCleanup(child.stdin.close)
        write_pid(self.folder, "algo", child.pid)
        return child

    def test_a_kill_is_published_with_its_signal(self):
        os.kill(self.child.pid, signal.SIGKILL)
        state = self.client.wait_state("process/algo", "critical")
        self.assertIn("SIGKILL" if HAS_EXIT_INFO else "unknown", state["reason"])
        self.assertIn(str(self.child.pid), state["reason"])
        self.assertEqual(state["previous"], "ok")

    def test_other_signals_are_named_as_well(self):
        os.kill(self.child.pid, signal.SIGABRT)
        state = self.client.wait_state("process/algo", "critical")
        self.assertIn("SIGABRT" if HAS_EXIT_INFO else "unknown", state["reason"])

    def test_an_exit_status_is_published(self):
        self.child.stdin.write(b"3\n")
        self.child.stdin.flush()
        state = self.client.wait_state("process/algo", "critical")
        self.assertIn("status 3" if HAS_EXIT_INFO else "unknown", state["reason"])

    def test_an_end_with_status_zero_is_an_end(self):
        self.child.stdin.write(b"0\n")
        self.child.stdin.flush()
        self.client.wait_state("process/algo", "critical")

    def test_a_restart_is_ok_again(self):
        os.kill(self.child.pid, signal.SIGKILL)
        gone = self.client.wait_state("process/algo", "critical")
        self.child.wait()
        child = self.run_child()
        back = self.client.wait_state("process/algo", "ok")
        self.assertIn(str(child.pid), back["reason"])
        self.assertEqual(back["previous"], "critical")
        self.assertGreater(back["change"], gone["change"])

    def test_a_restart_that_no_scan_could_see_is_a_change_all_the_same(self):
        other = harness.spawn(self, ["sleep", "86400"])
        write_pid(self.folder, "algo", other.pid)
        os.kill(self.child.pid, signal.SIGKILL)
        seen = self.client.until(
            lambda message: harness.subject_of(message) == "process/algo" and str(other.pid) in message["reason"],
            "the successor")
        self.assertEqual(seen[-1]["status"], "ok")
        self.assertGreater(seen[-1]["change"], self.first["change"])

    def test_a_stopped_process_is_still_there(self):
        os.kill(self.child.pid, signal.SIGSTOP)
        late = health(self, self.daemon, "state/")
        late.join()
        self.assertEqual(late.states()["process/algo"]["change"], self.first["change"])


class PidFiles(unittest.TestCase):
    def setUp(self):
        self.folder = harness.folder_of(self)
        self.file = os.path.join(self.folder, "algo.pid")

    def test_a_pidfile_that_is_not_there_says_so(self):
        client = health(self, agent(self, QUIET + watch("algo", self.file)), "state/")
        state = client.settle("process/algo", "critical")
        self.assertIn("algo.pid", state["reason"])

    def test_a_pidfile_with_anything_else_in_it_disturbs_nothing(self):
        for number, text in enumerate((b"", b"no number\n", b"-1\n", b"0\n", b"99999999999999999999\n", os.urandom(5000))):
            with open(self.file, "wb") as file:
                file.write(text)
            with self.subTest(text[:20]):
                daemon = agent(self, QUIET + watch("algo", self.file))
                health(self, daemon, "state/").settle("process/algo", "critical")
                self.assertTrue(daemon.is_running())
                self.assertEqual(daemon.stop(), 0)


class Counting(unittest.TestCase):
    def setUp(self):
        self.word = "hftest-" + uuid.uuid4().hex

    def child(self):
        return harness.spawn(self, [sys.executable, "-c", "import sys; sys.stdin.read()", self.word, "worker"],
                             stdin=subprocess.PIPE)

    def start(self, limits):
        text = f'[[process.watch]]\nname = "workers"\nmatch_command = ["{self.word}", "worker"]\n{limits}'
        self.daemon = agent(self, QUIET + '[process]\nscan_every = "100ms"\n' + text)
        return health(self, self.daemon, "state/")

    def test_fewer_than_the_minimum_is_critical_and_counts_them(self):
        children = [self.child(), self.child()]
        client = self.start("minimum = 2\n")
        client.settle("process/workers", "ok")
        os.kill(children[0].pid, signal.SIGKILL)
        self.assertIn("1 of 2", client.wait_state("process/workers", "critical")["reason"])
        self.addCleanup(children[0].wait)
        self.child()
        client.wait_state("process/workers", "ok")

    def test_more_than_the_maximum_is_a_warning(self):
        self.child()
        client = self.start("maximum = 1\n")
        client.settle("process/workers", "ok")
        second = self.child()
        self.assertIn("at most 1", client.wait_state("process/workers", "warning")["reason"])
        os.kill(second.pid, signal.SIGKILL)
        client.wait_state("process/workers", "ok")

    def test_by_name_and_by_executable(self):
        folder = harness.folder_of(self)
        name = self.word[7:20]
        program = os.path.join(folder, name)
        harness.run("cp", "/usr/bin/sleep", program)
        child = harness.spawn(self, [program, "86400"])
        client = health(self, agent(self, QUIET + f"""[[process.watch]]
name = "by-name"
match_name = "{name}"
[[process.watch]]
name = "by-path"
match_executable = "{program}"
"""), "state/")
        for subject in ("process/by-name", "process/by-path"):
            self.assertIn(str(child.pid), client.settle(subject, "ok")["reason"])
        os.kill(child.pid, signal.SIGKILL)
        waiting = {"process/by-name", "process/by-path"}
        client.wait(lambda message: message["status"] == "critical"
                    and (waiting.discard(harness.subject_of(message)) or not waiting), "both")


if __name__ == "__main__":
    unittest.main()
