"""One injected fault is one incident, with everything that it explains attached: many kinds of fault, counted by
`holdfast status --json`."""

import json
import os
import signal
import subprocess
import time
import unittest

import harness
import test_agent_bus as bus
import test_agent_ups as ups
from harness import Namespace, needs_namespaces

INJECTED = ("nic/", "path/", "ups/", "process/")
CONFIGURATION = """[nic]
discover = false
include = ["isp-a", "isp-b", "tap0"]
flap_count = 1000
[path]
discover = false
[[path.isp]]
name = "a"
interface = "isp-a"
targets = ["10.82.1.2"]
loss_window = 30
[[path.isp]]
name = "b"
interface = "isp-b"
targets = ["10.82.2.2"]
[ups]
driver_folder = "%s"
poll_every = "200ms"
stale_dwell = "1s"
host_needs = "10s"
[process]
scan_every = "100ms"
"""


@needs_namespaces
@harness.needs_tap
@ups.needs_nut
class Incidents(unittest.TestCase):
    def setUp(self):
        self.desk, self.isp = Namespace(self, "desk"), Namespace(self, "isp")
        for number, name in enumerate("ab", 1):
            harness.veth(self.desk, f"isp-{name}", self.isp, f"to-{name}", number)
        self.tap = harness.Tap(self, self.desk, "tap0")
        self.tap.carrier(True)
        self.upsd = ups.Upsd(self, self.desk, {"main": ups.ONLINE})
        self.folder = harness.folder_of(self)
        text = CONFIGURATION % self.upsd.folder
        for name in ("algo", "twin"):
            text += bus.watch(name, self.start(name)) + "maximum = 1\n"
        self.daemon = harness.agent(self, text, self.desk)
        self.client = harness.health(self, self.daemon, "state/")
        for subject in ("nic/isp-a", "nic/isp-b", "nic/tap0", "path/a", "path/b", "ups/main", "process/algo",
                        "process/twin"):
            self.client.settle(subject, "ok", patience=60)

    def start(self, name):
        child = harness.spawn(self, ["sleep", "86400"])
        setattr(self, name, child)
        return bus.write_pid(self.folder, name, child.pid)

    def incidents(self):
        done = subprocess.run([harness.binary("holdfast"), "status", "--json", "--endpoint",
                               self.daemon.endpoint("agent.req")], capture_output=True, text=True, timeout=60)
        # The clock and the load of the machine under the test are not injected.
        return [item for item in json.loads(done.stdout)["incidents"] if item["root"].startswith(INJECTED)]

    def wait_incidents(self, condition, what, patience=60):
        """Asks after each message, until the incidents are so; what comes about in between is not judged."""
        until = time.monotonic() + patience
        while not condition(found := self.incidents()):
            if time.monotonic() > until:
                self.fail(f"{what}: {found}")
            self.client.frames(0.2)
        return found

    def one(self, fault, root, *dependents):
        """Exactly one incident, of this root, with exactly these dependents."""
        expected = [(root, sorted(dependents))]
        self.wait_incidents(
            lambda found: [(item["root"], sorted(item["dependents"])) for item in found] == expected,
            f"{fault} should be {expected}")
        self.kinds.append(fault)

    def none(self, fault):
        self.wait_incidents(lambda found: not found, f"after {fault} nothing is left")

    def test_each_kind_of_fault_is_one_incident(self):
        self.kinds = []
        for fault in (self.carrier, self.administrative, self.tap_carrier, self.black_hole, self.loss,
                      self.rename, self.kill, self.stop, self.battery, self.old_battery, self.removal):
            with self.subTest(fault.__name__):
                fault()
                self.none(fault.__name__)
        self.assertGreaterEqual(len(self.kinds), 10)

    def carrier(self):
        self.isp.ip("link", "set", "to-a", "down")
        self.one("carrier loss", "nic/isp-a", "path/a", "path/site")
        self.isp.ip("link", "set", "to-a", "up")

    def administrative(self):
        self.desk.ip("link", "set", "isp-b", "down")
        self.one("administratively down", "nic/isp-b", "path/b", "path/site")
        self.desk.ip("link", "set", "isp-b", "up")

    def tap_carrier(self):
        self.tap.carrier(False)
        self.one("carrier loss of a NIC that nothing needs", "nic/tap0")
        self.tap.carrier(True)

    def black_hole(self):
        self.isp.drop_ingress("to-a")
        self.one("black hole", "path/a", "path/site")
        self.isp.clear_ingress("to-a")

    def loss(self):
        self.isp.drop_ingress("to-a", "numgen inc mod 5 == 0 drop")
        self.one("a fifth of the packets lost", "path/a")
        self.isp.clear_ingress("to-a")

    def rename(self):
        """A device can be renamed only while it is down, by older kernels."""
        self.desk.ip("link", "set", "isp-b", "down")
        self.desk.ip("link", "set", "isp-b", "name", "other")
        self.one("interface renamed", "nic/isp-b", "path/b", "path/site")
        self.desk.ip("link", "set", "other", "name", "isp-b")
        self.desk.ip("link", "set", "isp-b", "up")

    def kill(self):
        os.kill(self.algo.pid, signal.SIGKILL)
        self.algo.wait()
        self.one("process killed", "process/algo")
        self.start("algo")

    def stop(self):
        self.twin.terminate()
        self.twin.wait()
        self.one("process stopped", "process/twin")
        self.start("twin")

    def battery(self):
        self.upsd.status("main", "OB DISCHRG", battery_charge=90, battery_runtime=1200, ups_load=20)
        self.one("UPS on battery", "ups/main")
        self.upsd.write("main", ups.ONLINE)

    def old_battery(self):
        self.upsd.status("main", "OL RB", battery_charge=100, battery_runtime=1200, ups_load=20)
        self.one("battery to be replaced", "ups/main")
        self.upsd.write("main", ups.ONLINE)

    def removal(self):
        self.isp.ip("link", "del", "to-a")
        self.one("interface gone", "nic/isp-a", "path/a", "path/site")
        harness.veth(self.desk, "isp-a", self.isp, "to-a", 1)


if __name__ == "__main__":
    unittest.main()
