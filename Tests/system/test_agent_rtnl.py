"""While somebody holds the kernel's network configuration lock, for which many of its answers about links wait, the
agent goes on: nothing false is told, and what happens meanwhile is."""

import os
import signal
import subprocess
import sys
import unittest

import harness
import rtnl_holder
from harness import AGENT_BUS, Daemon, Namespace, health, needs_namespaces, subject_of
from test_agent_bus import watch, write_pid

HERE = os.path.dirname(os.path.abspath(__file__))
LONGEST_S = 20
MACHINE = ("clock/", "pressure/")  # what the machine under the test does


def can_hold():
    if not harness.can_use_namespaces() or not rtnl_holder.USERFAULTFD:
        return False
    try:
        os.close(rtnl_holder.Hole().descriptor)
    except OSError:
        return False
    return True


@needs_namespaces
@unittest.skipUnless(can_hold(), "needs userfaultfd(2), with faults in the kernel")
class Held(unittest.TestCase):
    def setUp(self):
        self.desk, self.isp, self.other = (Namespace(self, name) for name in ("desk", "isp", "other"))
        self.text = '[nic]\ninclude = ["eth*"]\n[disk]\ndiscover = false\ninclude = ["/"]\n[ups]\ndiscover = false\n'
        for number in (0, 1):
            harness.veth(self.desk, f"eth{number}", self.isp, f"peer{number}", number + 1)
            self.text += f'[[path.isp]]\nname = "isp-{number}"\ninterface = "eth{number}"\n' \
                         f'targets = ["10.82.{number + 1}.2"]\n'
        self.desk.ip("route", "add", "default", "via", "10.82.1.2")
        self.folder = harness.folder_of(self)
        self.text += watch("algo", self.begin())

    def begin(self):
        """Starts what is watched, and returns its pidfile."""
        self.algo = harness.spawn(self, ["sleep", "86400"])
        return write_pid(self.folder, "algo", self.algo.pid)

    def daemon(self):
        return Daemon(self, "holdfast-agent", AGENT_BUS + self.text, self.desk)

    def hold(self):
        """Returns when the lock is held; `release` lets go."""
        self.holder = harness.spawn(
            self, self.other.command(sys.executable, os.path.join(HERE, "rtnl_holder.py"), "lo", str(LONGEST_S)),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.holder.stdin.close)
        self.addCleanup(self.holder.stdout.close)
        self.assertEqual(harness.read_line(self, self.holder.stdout), "held\n")
        # The proof: who asks for a link waits.
        self.asker = harness.spawn(self, ["ip", "-n", self.desk.name, "link", "show", "eth0"],
                                   stdout=subprocess.DEVNULL)

    def release(self):
        self.assertIsNone(self.asker.poll(), "the lock was not held")
        self.holder.stdin.write("\n")
        self.holder.stdin.flush()
        self.assertEqual(harness.read_line(self, self.holder.stdout), "released\n")
        self.assertEqual(self.asker.wait(harness.PATIENCE_S), 0)

    def deafen(self, deaf):
        """The far end answers no echo request any more: no link is touched, and no lock is needed."""
        def write():
            with open("/proc/sys/net/ipv4/icmp_echo_ignore_all", "w") as file:
                file.write("1" if deaf else "0")
        # /proc/sys is that of whoever opens it.
        self.isp.enter(write)

    def news(self, messages, known):
        """What changed, but for the machine's own."""
        return {subject_of(message): message["status"] for message in messages
                if message["topic"].startswith("state/") and not subject_of(message).startswith(MACHINE)
                and message["change"] > known}

    def test_nothing_false_is_told_and_what_happens_is(self):
        client = health(self, self.daemon().start(), "state/", "sample/", "heartbeat/")
        for subject in ("nic/eth0", "nic/eth1", "path/isp-0", "path/isp-1", "path/site", "process/algo", "disk//"):
            client.settle(subject, "ok", patience=60)
        known = client.status()["change"]
        self.hold()
        # Two seconds of the agent's own: it beats, and it samples what needs no such answer.
        sampled, beats = [], 0

        def is_enough(message):
            nonlocal beats
            beats += message["topic"].startswith("heartbeat/")
            if message["topic"].startswith("sample/"):
                sampled.append(subject_of(message))
            return beats >= 8 and all(sampled.count(name) >= 2 for name in ("path/isp-0", "path/isp-1", "disk//"))
        quiet = client.until(is_enough, "heartbeats and samples while the lock is held")
        self.assertEqual(self.news(quiet, known), {})
        # What happens is told.
        os.kill(self.algo.pid, signal.SIGKILL)
        self.algo.wait(harness.PATIENCE_S)
        self.deafen(True)
        wanted = {"process/algo": "critical", "path/isp-0": "critical", "path/isp-1": "critical", "path/site": "critical"}
        found = {}

        def is_all(message):
            found.update(self.news([message], known))
            return all(found.get(subject) == status for subject, status in wanted.items())
        client.wait(is_all, f"{wanted} while the lock is held")
        self.assertEqual(found, wanted)
        self.begin()
        client.wait_state("process/algo", "ok", "the process that is started again while the lock is held")
        self.release()
        self.deafen(False)
        for subject in ("path/isp-0", "path/isp-1", "path/site", "nic/eth0", "nic/eth1"):
            client.settle(subject, "ok", patience=60)

    def test_an_agent_that_starts_meanwhile_tells_what_it_can(self):
        self.hold()
        daemon = self.daemon().start()
        client = health(self, daemon, "state/", "heartbeat/")
        for subject in ("process/algo", "disk//", "path/isp-0", "path/isp-1"):
            client.settle(subject, "ok", patience=LONGEST_S)
        states = client.states()
        bad = {name: state["reason"] for name, state in states.items()
               if state["status"] in ("warning", "critical") and not name.startswith(MACHINE)}
        self.assertEqual(bad, {})
        self.release()
        for subject in ("nic/eth0", "nic/eth1"):
            client.settle(subject, "ok", patience=60)


if __name__ == "__main__":
    unittest.main()
