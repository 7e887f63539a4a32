"""One injected fault is one incident, with everything that it explains attached: many kinds of fault, counted by
`holdfast status --json`."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

import harness
import test_agent_bus as bus
import test_agent_disk as disk
import test_agent_ups as ups
from harness import ROOT, Namespace, needs_namespaces
from test_agent_line import Venue

sys.path.insert(0, os.path.join(ROOT, "packaging/demonstration"))
import guardian  # noqa: E402
import manager  # noqa: E402

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
loss = { hold = "0s" }
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


class Counting:
    """Counts the incidents of `self.daemon`, of the subjects whose faults are injected."""

    injected = INJECTED

    def incidents(self):
        done = subprocess.run([harness.binary("holdfast"), "status", "--json", "--endpoint",
                               self.daemon.endpoint("agent.req")], capture_output=True, text=True, timeout=60)
        # The clock and the load of the machine under the test are not injected.
        return [item for item in json.loads(done.stdout)["incidents"] if item["root"].startswith(self.injected)]

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

    def each(self, *faults):
        """Injects one after the other; each restores what it broke."""
        self.kinds = []
        for fault in faults:
            with self.subTest(fault.__name__):
                fault()
                self.none(fault.__name__)
        print(f"\n    {len(self.kinds)} faults: {', '.join(self.kinds)}", end=" ", flush=True)
        self.assertGreaterEqual(len(self.kinds), 10)


@needs_namespaces
@harness.needs_tap
@ups.needs_nut
class Incidents(Counting, unittest.TestCase):
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

    def test_each_kind_of_fault_is_one_incident(self):
        self.each(self.carrier, self.administrative, self.tap_carrier, self.black_hole, self.loss, self.rename,
                  self.kill, self.stop, self.battery, self.old_battery, self.removal)

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
        self.algo.wait(harness.PATIENCE_S)
        self.one("process killed", "process/algo")
        self.start("algo")

    def stop(self):
        self.twin.terminate()
        self.twin.wait(harness.PATIENCE_S)
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


KINDS = """[nic]
discover = false
include = ["near0", "near1"]
flap_count = 1000
[path]
discover = false
[[path.isp]]
name = "a"
interface = "near0"
targets = ["10.82.0.2"]
[[path.isp]]
name = "b"
interface = "near1"
targets = ["10.82.1.2"]
[ups]
driver_folder = "%(power)s"
poll_every = "200ms"
stale_dwell = "1s"
host_needs = "10s"
[process]
scan_every = "100ms"
[disk]
discover = false
poll_every = "100ms"
include = [%(mounts)s]
[clock]
poll_every = "100ms"
unsynchronised_for = "500ms"
chrony_port = %(port)d
step_least = "1h"
[pressure]
cpu_stall = { warning = 0.8, critical = false, dwell = "0s" }
memory_stall = { warning = false, critical = false }
io_stall = { warning = false, critical = false }
[unit]
failed = false
%(unit)s
[[check]]
name = "ledger"
command = ["%(script)s"]
every = "200ms"
timeout = "5s"
[[line]]
feed = "itch"
protocol = "moldudp64"
silence = "2s"
[[line.path]]
name = "A"
interface = "near0"
group = "239.1.1.1:30001"
[[line.path]]
name = "B"
interface = "near1"
group = "239.1.2.1:30001"
"""
PORT = 3323
# An answer of Debian's chronyd, which follows another one on the loopback.
TRACKING = bytes.fromhex(
    "060200000021000500000000000000000102030400000000000000007f0000017f00000100000000000000000000000000010000"
    "00090000000000006b03740d0624a50cdf3a60e6dcb663ffdec108550934127000cc50820ef73bf8e2b14d37e880cfd7fc8375a2")


class Background(threading.Thread):
    """Work that is done again and again until the test ends."""

    def __init__(self, case, every_s=0.1):
        super().__init__(daemon=True)
        self.ends, self.every_s = threading.Event(), every_s
        case.addCleanup(self.end)

    def end(self):
        self.ends.set()
        self.join()

    def run(self):
        while not self.ends.wait(self.every_s):
            self.work()


class Beats(Background):
    """Heartbeats of a venue on the lines that are not silent."""

    def __init__(self, case, venue):
        super().__init__(case)
        self.venue, self.lines = venue, "AB"
        self.start()

    def work(self):
        for line in self.lines:
            try:
                self.venue.heartbeat(line)
            except OSError:
                pass  # its interface is down


class Chrony(Background):
    """Answers as chronyd does; whether its clock is synchronised is the test's choice."""

    def __init__(self, case, namespace):
        super().__init__(case, 0)
        self.is_synchronised = True

        def bind():
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind(("127.0.0.1", PORT))
            return made
        self.socket = namespace.enter(bind)
        self.socket.settimeout(0.1)
        case.addCleanup(self.socket.close)
        case.addCleanup(self.end)
        self.start()

    def work(self):
        try:
            question, peer = self.socket.recvfrom(2048)
        except TimeoutError:
            return
        answer = bytearray(TRACKING)
        answer[16:20] = question[8:12]
        answer[54:56] = bytes([0, 0 if self.is_synchronised else 3])
        self.socket.sendto(answer, peer)


@needs_namespaces
@disk.needs_fuse
@ups.needs_nut
class Kinds(Counting, disk.Case):
    """One fault of each kind that a host can have."""

    injected = ("nic/", "path/", "ups/", "process/", "disk/", "unit/", "clock/", "check/", "line/")

    def setUp(self):
        super().setUp()
        self.desk, self.market = Namespace(self, "desk"), Namespace(self, "mkt")
        for number in range(2):
            harness.veth(self.desk, f"near{number}", self.market, f"far{number}", number)
        self.beats = Beats(self, Venue(self, self.market))
        self.chrony = Chrony(self, self.desk)
        self.upsd = ups.Upsd(self, self.desk, {"main": ups.ONLINE})
        self.script = os.path.join(self.folder, "check")
        self.mounts = {"full": self.tmpfs("full"), "gone": self.tmpfs("gone")}
        self.mounts["hung"], self.server = disk.Hanging.fuse(self, "hung")
        if disk.can_loop():
            self.mounts["sealed"] = self.ext4("sealed")
        self.plugin(0, "balanced")
        self.boot()
        self.algo = harness.spawn(self, ["sleep", "86400"])
        text = KINDS % {
            "power": self.upsd.folder, "port": PORT, "script": self.script,
            "mounts": ", ".join(f'"{path}"' for path in self.mounts.values()),
            "unit": f'[[unit.watch]]\nname = "{manager.UNIT}"\ncrash_window = "2s"' if self.manager else ""}
        text += bus.watch("algo", bus.write_pid(self.folder, "algo", self.algo.pid))
        self.daemon = harness.Daemon(self, "holdfast-agent", harness.AGENT_BUS + text, self.desk, wrap=self.inside)
        self.daemon.start(environment={"DBUS_SYSTEM_BUS_ADDRESS": self.manager.bus} if self.manager else {})
        # A daemon that hangs in a file system ends when that does, so its server goes first.
        self.addCleanup(self.server.wait)
        self.addCleanup(self.server.kill)
        self.client = harness.health(self, self.daemon, "state/")
        for subject in ("nic/near0", "nic/near1", "path/a", "path/b", "ups/main", "process/algo", "clock/system",
                        "check/ledger", "line/itch.A", "line/itch.B", *(f"disk/{path}" for path in self.mounts.values()),
                        *([f"unit/{manager.UNIT}"] if self.manager else [])):
            self.client.settle(subject, "ok", patience=60)

    def boot(self):
        """A systemd of the test's own, where there can be one."""
        self.manager = None
        if manager.reason_against() is not None:
            return
        made = manager.Manager(f"{os.getpid()}", self.folder)
        groups = guardian.control_groups(made.tag)
        self.addCleanup(guardian.remove_machine, made.tag, groups)
        reason = made.start(lambda name, words, env: harness.spawn(
            self, words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), lambda pid: None, groups)
        if made.child:
            self.addCleanup(made.stop)
        if reason is None:
            self.manager = made

    def plugin(self, status, words):
        with open(self.script + ".new", "w") as file:
            file.write(f"#!/bin/sh\necho '{words}'\nexit {status}\n")
        os.chmod(self.script + ".new", 0o755)
        os.replace(self.script + ".new", self.script)

    tell = disk.Hanging.tell

    def test_one_fault_of_each_kind_is_one_incident(self):
        faults = [self.carrier, self.black_hole, self.silence, self.kill, self.battery, self.full, self.hung, self.gone,
                  self.failing, self.unsynchronised]
        if "sealed" in self.mounts:
            faults.append(self.sealed)
        if self.manager:
            faults.append(self.crash)
        self.each(*faults)
        self.injected = ("pressure/cpu",)
        self.pressure()

    def carrier(self):
        self.market.ip("link", "set", "far0", "down")
        self.one("carrier loss", "nic/near0", "path/a", "path/site", "line/itch.A")
        self.market.ip("link", "set", "far0", "up")

    def black_hole(self):
        self.market.drop_ingress("far1")
        self.one("black hole", "path/b", "path/site")
        self.market.clear_ingress("far1")

    def silence(self):
        self.beats.lines = "A"
        self.one("line silent", "line/itch.B")
        self.beats.lines = "AB"

    def kill(self):
        os.kill(self.algo.pid, signal.SIGKILL)
        self.algo.wait(harness.PATIENCE_S)
        self.one("process killed", "process/algo")
        self.algo = harness.spawn(self, ["sleep", "86400"])
        bus.write_pid(self.folder, "algo", self.algo.pid)

    def battery(self):
        self.upsd.status("main", "OB DISCHRG", battery_charge=90, battery_runtime=1200, ups_load=20)
        self.one("UPS on battery", "ups/main")
        self.upsd.write("main", ups.ONLINE)

    def full(self):
        self.write(f"{self.mounts['full']}/a", 4_190_000)
        self.one("file system full", f"disk/{self.mounts['full']}")
        self.run_inside("rm", f"{self.mounts['full']}/a")

    def hung(self):
        self.tell(self.server, "hang")
        self.one("mount hung", f"disk/{self.mounts['hung']}")
        self.tell(self.server, "answer")

    def gone(self):
        self.run_inside("umount", self.mounts["gone"])
        self.one("mount gone", f"disk/{self.mounts['gone']}")
        self.tmpfs("gone")

    def sealed(self):
        self.run_inside("mount", "-o", "remount,ro", self.mounts["sealed"])
        self.one("file system read-only", f"disk/{self.mounts['sealed']}")
        self.run_inside("mount", "-o", "remount,rw", self.mounts["sealed"])

    def failing(self):
        self.plugin(2, "off by one")
        self.one("check failing", "check/ledger")
        self.plugin(0, "balanced")

    def unsynchronised(self):
        self.chrony.is_synchronised = False
        self.one("clock not synchronised", "clock/system")
        self.chrony.is_synchronised = True

    def crash(self):
        self.manager.systemctl("kill", "--kill-who=main", "--signal=SEGV", manager.UNIT)
        self.one("unit crashed", f"unit/{manager.UNIT}")

    def pressure(self):
        """Last, because when it ends is for the other loads of this machine to say."""
        for _ in range(8 * os.cpu_count()):
            harness.spawn(self, ["sh", "-c", "while :; do :; done"])
        self.one("processors short", "pressure/cpu")


if __name__ == "__main__":
    unittest.main()
