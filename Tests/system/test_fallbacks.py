"""What the agent does where the kernel offers less: each lack is forced by HOLDFAST_WITHOUT, and seen from outside."""

import datetime
import glob
import os
import socket
import struct
import time
import unittest

import harness
from harness import AGENT_BUS, Daemon, Namespace, health, needs_namespaces
from test_agent_bus import QUIET
from test_agent_pressure import KERNEL

TIME_SERVICES = {"chronyd", "ntpd", "ntp-daemon", "openntpd", "ptp4l", "phc2sys", "ts2phc", "timemaster", "ptpd",
                 "ptpd2", "sfptpd", "timebeat", "systemd-timesyn"}
NETWORK = """[nic]
include = ["eth0"]
[path]
discover = false
[[path.isp]]
name = "isp-a"
interface = "eth0"
targets = ["10.82.1.2"]
"""


def names_of_processes():
    names = set()
    for path in glob.glob("/proc/[0-9]*/comm"):
        try:
            with open(path) as file:
                names.add(file.read().strip())
        except OSError:
            continue
    return names


class Case(unittest.TestCase):
    def start(self, configuration, lack, namespace=None, wrap=()):
        self.daemon = Daemon(self, "holdfast-agent", AGENT_BUS + configuration, namespace, wrap=wrap)
        self.daemon.start(environment={"HOLDFAST_WITHOUT": lack})
        self.client = health(self, self.daemon, "state/")
        return self.client

    def held(self, part):
        """The files that the agent holds open whose names have this part."""
        folder = f"/proc/{self.daemon.child.pid}/fd"
        return [target for name in os.listdir(folder) if part in (target := os.readlink(f"{folder}/{name}"))]


@needs_namespaces
class Network(Case):
    def setUp(self):
        self.desk, self.isp = Namespace(self, "desk"), Namespace(self, "isp")
        harness.veth(self.desk, "eth0", self.isp, "peer", 1)

    def sockets(self, table):
        """How many sockets of a protocol there are in the namespace."""
        with open(f"/proc/{self.daemon.child.pid}/net/{table}") as file:
            return len(file.readlines()) - 1

    def test_without_raw_sockets_paths_are_probed_by_datagrams(self):
        harness.run(*self.desk.command("sh", "-c", "echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range"))
        client = self.start(NETWORK, "raw-icmp", self.desk)
        client.settle("path/isp-a", "ok")
        self.assertEqual((self.sockets("raw"), self.sockets("icmp")), (0, 1))
        self.isp.drop_ingress("peer")
        self.assertIn("10.82.1.2 silent for", client.wait_state("path/isp-a", "critical")["reason"])
        self.isp.clear_ingress("peer")
        client.settle("path/isp-a", "ok", patience=60)

    def test_without_carrier_counters_the_kernels_events_tell(self):
        client = self.start(NETWORK, "carrier-counters", self.desk)
        client.settle("nic/eth0", "ok")
        self.assertEqual(self.held("carrier_"), [])
        for up, status in ((False, "critical"), (True, "ok")) * 2:
            self.isp.link("peer").set(up)
            client.settle("nic/eth0", status)

    @harness.needs_tap
    def test_without_ethtool_over_netlink_speed_is_read_from_files(self):
        tap = harness.Tap(self, self.desk, "tap0")
        tap.carrier(True)
        tap.set_speed(1000)
        # /sys is that of the namespace: ip netns exec mounts it anew.
        client = self.start('[nic]\ninclude = ["tap0"]\n[path]\nenabled = false\n', "ethtool-netlink", self.desk)
        if client.settle("nic/tap0", "ok")["values"].get("speed_bits_per_second") != 1_000_000_000:
            client.wait_state("nic/tap0", lambda state: state["values"].get("speed_bits_per_second") == 1_000_000_000,
                              "the speed")

    def test_news_from_others_than_the_kernel_are_not_believed(self):
        """Root may send to the agent's socket what looks like the kernel's word that a link is lost."""
        client = self.start(NETWORK, "", self.desk)
        before = client.settle("nic/eth0", "ok")
        with open(f"/proc/{self.daemon.child.pid}/net/netlink") as file:
            ports = [int(line.split()[2]) for line in file.readlines()[1:] if line.split()[1] == "0"]
        ports = [port for port in ports if port]
        self.assertTrue(ports)
        attribute = struct.pack("=HH", 9, 3) + b"eth0\0\0\0\0"
        body = struct.pack("=BxHiII", 0, 1, 11, 0x1003, 0xFFFFFFFF) + attribute
        lost = struct.pack("=IHHII", 16 + len(body), 16, 0, 0, 0) + body
        with self.desk.enter(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)) as stranger:
            for port in ports:
                stranger.sendto(lost, (port, 0))
                stranger.sendto(b"\0" * 16, (port, 0))
        # What is true is still heard, and comes behind what was forged.
        moment = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.isp.link("peer").set(False)
        state = client.wait_state("nic/eth0", "critical")
        self.assertGreater(state["detected_at"], moment, "before, only the forged word said so")
        self.assertEqual((state["previous"], state["values"]["carrier_down_count"]),
                         ("ok", before["values"]["carrier_down_count"] + 1))
        self.assertEqual(self.daemon.stop(), 0)


class Host(Case):
    def test_without_adjtimex_that_no_service_runs_is_told_and_which_one_does(self):
        client = self.start(QUIET.replace("[clock]\nenabled = false\n", "")
                            + '[clock]\nchrony_port = 0\npoll_every = "100ms"\nunsynchronised_for = "300ms"\n',
                            "kernel-clock")
        running = names_of_processes() & TIME_SERVICES
        if os.readlink("/proc/self/ns/pid") != "pid:[4026531836]":
            wanted = ("unknown", "in a container the host keeps it")
        elif not running:
            wanted = ("warning", "not synchronised: nothing keeps it")
        else:
            self.skipTest(f"{running} keep the clock of this host")
        client.wait_state("clock/system", lambda state: state["status"] == wanted[0] and wanted[1] in state["reason"],
                          str(wanted))

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to set the clock to what it is")
    def test_without_a_timer_for_it_a_clock_that_is_set_is_seen_at_the_next_poll(self):
        client = self.start(
            QUIET.replace("[clock]\nenabled = false\n", "")
            + '[clock]\nchrony_port = 0\npoll_every = "100ms"\nstep_least = "0s"\nstep_stands = "1s"\n', "clock-steps")
        self.assertNotIn("clockid: 0", self.details(), "no timer of the wall clock")
        client.join()
        # Far enough to be told from noise, and back at once.
        try:
            time.clock_settime_ns(time.CLOCK_REALTIME, time.clock_gettime_ns(time.CLOCK_REALTIME) + 1_000_000)
            client.wait_state("clock/system", lambda state: "was set by" in state["reason"], "a step")
        finally:
            time.clock_settime_ns(time.CLOCK_REALTIME, time.clock_gettime_ns(time.CLOCK_REALTIME) - 1_000_000)

    @unittest.skipUnless(os.geteuid() == 0 and os.path.exists("/proc/pressure/memory") and KERNEL >= (6, 5),
                         "needs root and PSI, and Linux 6.5")
    def test_without_triggers_pressure_is_polled(self):
        client = self.start(
            QUIET.replace("[pressure]\nenabled = false\n", "")
            + '[pressure]\npoll_every = "100ms"\ncpu_stall = { warning = 0.05, critical = false, dwell = "0s" }\n',
            "pressure-triggers",
            wrap=("setpriv", "--bounding-set", "-sys_resource", "--inh-caps", "-sys_resource"))
        for _ in range(4 * os.cpu_count()):
            harness.spawn(self, ["sh", "-c", "while :; do :; done"])
        client.settle("pressure/cpu", "warning")
        self.assertEqual(self.writable("/proc/pressure/"), 0)

    def details(self):
        """What the kernel says of the agent's descriptors."""
        texts = []
        for path in glob.glob(f"/proc/{self.daemon.child.pid}/fdinfo/*"):
            try:
                with open(path) as file:
                    texts.append(file.read())
            except FileNotFoundError:  # closed meanwhile
                continue
        return "".join(texts)

    def writable(self, start):
        pid, count = self.daemon.child.pid, 0
        for name in os.listdir(f"/proc/{pid}/fd"):
            with open(f"/proc/{pid}/fdinfo/{name}") as info:
                flags = int(next(line for line in info if line.startswith("flags:")).split()[1], 8)
            is_written = flags & os.O_ACCMODE != os.O_RDONLY
            count += is_written and os.readlink(f"/proc/{pid}/fd/{name}").startswith(start)
        return count


if __name__ == "__main__":
    unittest.main()
