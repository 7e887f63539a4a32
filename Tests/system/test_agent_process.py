"""Watched processes: how they end, how many there are, and that they come back."""

import os
import signal
import socket
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
        self.child.wait(harness.PATIENCE_S)
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
        self.assertIn("more than 1 running", client.wait_state("process/workers", "warning")["reason"])
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


class Working(unittest.TestCase):
    """That a process runs is not all: it accepts connections, writes its heartbeat, and uses no more than it may."""

    def setUp(self):
        self.folder = harness.folder_of(self)
        self.heart = os.path.join(self.folder, "heartbeat")
        self.path = os.path.join(self.folder, "algo.sock")

    def start(self, limits, child=None):
        self.child = child or harness.spawn(self, ["sleep", "86400"])
        text = '[process]\nscan_every = "100ms"\n' + watch("algo", write_pid(self.folder, "algo", self.child.pid))
        self.daemon = agent(self, '[unit]\nenabled = false\n' + QUIET + text + 'probe_every = "100ms"\n'
                            'probe_limit = "100ms"\n' + limits)
        return health(self, self.daemon, "state/")

    def listen(self, family, address):
        listener = socket.socket(family, socket.SOCK_STREAM)
        self.addCleanup(listener.close)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(16)
        return listener

    def test_a_port_that_refuses_is_critical_until_it_accepts(self):
        listener = self.listen(socket.AF_INET, ("127.0.0.1", 0))
        address = listener.getsockname()
        client = self.start(f'tcp = "127.0.0.1:{address[1]}"\n')
        client.settle("process/algo", "ok")
        listener.close()
        state = client.wait_state("process/algo", "critical")
        self.assertIn(f"does not accept connections at 127.0.0.1:{address[1]}", state["reason"])
        self.assertIn("refused", state["reason"])
        self.listen(socket.AF_INET, address)
        client.wait_state("process/algo", "ok")

    def test_a_socket_whose_queue_is_full_accepts_nobody(self):
        """Its process is there, and hangs: nobody takes connections from the queue."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(listener.close)
        listener.bind(self.path)
        listener.listen(0)
        waiting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(waiting.close)
        waiting.connect(self.path)
        client = self.start(f'socket = "{self.path}"\n')
        state = client.settle("process/algo", "critical")
        self.assertIn(f"does not accept connections at {self.path}", state["reason"])
        listener.close()
        os.unlink(self.path)
        self.listen(socket.AF_UNIX, self.path)
        client.wait_state("process/algo", "ok")

    def test_a_heartbeat_that_stops_is_critical(self):
        def beat():
            with open(self.heart, "w") as file:
                file.write("x")
        beat()
        client = self.start(f'heartbeat_file = "{self.heart}"\nheartbeat_within = "500ms"\n')
        state = client.settle("process/algo", "critical")
        self.assertIn("no heartbeat for more than 500ms", state["reason"])
        beat()
        client.wait_state("process/algo", "ok")
        os.unlink(self.heart)
        self.assertIn("No such file", client.wait_state(
            "process/algo", lambda state: "No such file" in state["reason"])["reason"])

    def test_what_does_not_run_is_not_asked(self):
        """One reason at a time: that it has ended."""
        client = self.start(f'socket = "{self.path}"\nminimum = 1\n')
        self.assertIn("does not accept", client.settle("process/algo", "critical")["reason"])
        self.child.kill()
        client.wait_state("process/algo", lambda state: "pid" in state["reason"])

    def test_limits_on_threads_and_descriptors(self):
        script = ("import os, resource, sys\n"
                  "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))\n"
                  "held = []\n"
                  "for line in sys.stdin:\n"
                  "    while len(held) < int(line): held.append(os.open('/dev/null', os.O_RDONLY))\n"
                  "    while len(held) > int(line): os.close(held.pop())\n"
                  "    print('done', flush=True)\n")
        child = harness.spawn(self, [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.stdin.close)

        def hold(count):
            child.stdin.write(b"%d\n" % count)
            child.stdin.flush()
            harness.read_line(self, child.stdout)
        hold(1)
        client = self.start("", child)
        client.subscribe("sample/")
        client.settle("process/algo", "ok")
        hold(85)
        state = client.wait_state("process/algo", "warning")
        self.assertIn("of its descriptors in use", state["reason"])
        sample = client.wait(lambda message: message["topic"].startswith("sample/") and message["kind"] == "process",
                             "a sample")
        self.assertGreaterEqual(sample["values"]["descriptors"], 85)
        self.assertEqual(sample["values"]["threads"], 1)
        hold(1)
        client.wait_state("process/algo", "ok")

    def test_a_limit_on_resident_memory(self):
        client = self.start("rss_bytes = { warning = 4096 }\n")
        self.assertIn("MiB of resident memory", client.settle("process/algo", "warning")["reason"])


@unittest.skipUnless(harness.can_use_namespaces() and os.path.isdir("/sys/fs/cgroup"), "needs root and control groups")
class LackOfMemory(unittest.TestCase):
    """A process that the kernel kills because its control group may have no more memory."""

    def test_it_is_told_as_that(self):
        group = harness.memory_group(self, 32 << 20)
        script = "import sys\nsys.stdin.readline()\nheld = bytearray(256 << 20)\nsys.stdin.readline()"
        child = harness.spawn(self, [sys.executable, "-c", script], stdin=subprocess.PIPE)
        self.addCleanup(child.stdin.close)
        with open(os.path.join(group, "cgroup.procs"), "w") as file:
            file.write(str(child.pid))
        folder = harness.folder_of(self)
        daemon = agent(self, QUIET + watch("algo", write_pid(folder, "algo", child.pid)))
        client = health(self, daemon, "state/")
        client.settle("process/algo", "ok")
        child.stdin.write(b"\n")
        child.stdin.flush()
        state = client.wait_state("process/algo", "critical")
        self.assertIn("killed for lack of memory", state["reason"])
        child.wait(harness.PATIENCE_S)


if __name__ == "__main__":
    unittest.main()
