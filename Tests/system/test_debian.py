"""Debian 12, booted, with the packages installed by apt: what an operator of 200 such hosts sees.

A class is a theme and, for most, a machine that its tests share. Clients are outside: they know the wire document
and nothing else."""

import os
import re
import socket
import subprocess
import threading
import time
import unittest

import harness
import packages
import venue
from harness import HealthClient, MarketClient, Namespace, Order, subject_of, veth
from nspawn import Machine, needs_machines, owner_of

AGENT = "holdfast-agent.service"
GATEWAY = "holdfast-gateway.service"
AGENT_TOML = "/etc/holdfast/agent.toml"
DROP_INS = "/usr/share/holdfast/drop-ins"
CAP_NET_RAW = 1 << 13
STATE_CHANGED = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a02"


def boot(owner, host="fra-1", older=False):
    """A machine with the packages in /root/dist, those of an older version in /root/older."""
    folders = {"/root/dist": packages.folder()}
    if older:
        folders["/root/older"] = packages.folder(packages.OLDER)
    return Machine(owner, host, folders)


def line(owner, machine, interface, number):
    """A namespace on the other side of an interface of the machine's."""
    far = Namespace(owner, interface)
    veth(machine, interface, far, "to-host", number)
    return far


def uplink(owner, machine):
    """An ISP: its namespace's address is the next hop of the machine's default route, on eth0."""
    isp = line(owner, machine, "eth0", 1)
    machine.ip("route", "add", "default", "via", "10.82.1.2")
    return isp


def apt(machine, *names, folder="/root/dist", version=packages.VERSION):
    """Installs or upgrades as automation does: what was changed in /etc stays. Returns the result."""
    return machine.attempt("apt-get", "install", "--yes", "-o", "Dpkg::Options::=--force-confold",
                           *(f"{folder}/{name}_{version}_amd64.deb" for name in names))


def install(machine, *names, **options):
    done = apt(machine, *names, **options)
    if done.returncode:
        machine.owner.fail(f"apt-get ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def follow(case, machine, *topics, name="agent"):
    """A client of a daemon's health bus, from outside; it waits for the socket to appear."""
    return HealthClient(case, machine.endpoint(f"{name}.pub"), machine.endpoint(f"{name}.req"), *topics)


def watch(name, match):
    return f'[[process.watch]]\nname = "{name}"\n{match}\n'


def show(text):
    """A figure, for the log of the run: figures are looked at, not asserted."""
    print(f"\n    {text}", end=" ", flush=True)


def ready_after_ms(machine, unit):
    """From the start of the main process to READY, as systemd saw it."""
    stamps = machine.show(unit, "ActiveEnterTimestampMonotonic", "ExecMainStartTimestampMonotonic")
    return (int(stamps["ActiveEnterTimestampMonotonic"]) - int(stamps["ExecMainStartTimestampMonotonic"])) / 1000


class Debian(unittest.TestCase):
    """Tests that share one machine, with an ISP and the agent's package."""

    names = ["holdfast"]

    @classmethod
    def setUpClass(cls):
        cls.owner = owner_of(cls)
        cls.machine = boot(cls.owner)
        cls.isp = uplink(cls.owner, cls.machine)
        install(cls.machine, *cls.names)

    def configure(self, text):
        self.machine.write(AGENT_TOML, text)

    def restart(self, text=None):
        """Starts the agent anew, with this configuration."""
        if text is not None:
            self.configure(text)
        self.machine.run("systemctl", "restart", AGENT)

    def client(self, *topics):
        return follow(self, self.machine, *topics)


@needs_machines
@packages.needs_packages
class FirstInstallation(unittest.TestCase):
    """From a bare Debian to the first state on the bus."""

    def test_install_and_be_told(self):
        """apt-get alone, no configuration: the agent is ready, and a subscriber who waits gets states."""
        machine = boot(self)
        uplink(self, machine)
        client = follow(self, machine, "state/")
        words = machine.command("apt-get", "install", "--yes", f"/root/dist/holdfast_{packages.VERSION}_amd64.deb")
        began = time.monotonic()
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True) as installing:
            first = client.wait(lambda message: True, "a first state")
            took = time.monotonic() - began
            said = installing.communicate()[0]
        self.assertEqual(installing.returncode, 0, said)
        self.assertEqual(first["host"], "fra-1")
        show(f"install to first published state: {took:.2f} s")
        self.assertEqual(machine.state(AGENT), "active")
        self.assertEqual(machine.run("systemctl", "is-enabled", AGENT).strip(), "enabled")
        show(f"agent ready {ready_after_ms(machine, AGENT):.0f} ms after its start")
        self.assertEqual(machine.run("systemctl", "is-system-running").strip(), "running")
        client.wait_state("path/eth0", "ok")
        self.check_users(machine)

    def check_users(self, machine):
        """Root and the group may ask; others are told why not."""
        status = machine.run("holdfast", "status")
        self.assertRegex(status, r"path/eth0 +ok")
        machine.run("useradd", "--groups", "holdfast", "alice")
        machine.run("useradd", "mallory")
        self.assertEqual(machine.run("sudo", "-u", "alice", "holdfast", "status").split("\n")[0], status.split("\n")[0])
        refused = machine.attempt("sudo", "-u", "mallory", "holdfast", "status")
        self.assertEqual(refused.returncode, 3)
        self.assertIn("holdfast", refused.stderr)
        self.assertIn("permission denied", refused.stderr)


@needs_machines
@packages.needs_packages
class Sandbox(Debian):
    """What the units may do, and that all watchers work within it."""

    names = ["holdfast", "holdfast-gateway"]

    def test_exposure(self):
        """As the installed systemd computes it, with everything that it knows."""
        for unit in (AGENT, GATEWAY):
            text = self.machine.run("systemd-analyze", "security", "--no-pager", unit)
            score = float(re.search(r"Overall exposure level for \S+: (\d+\.\d)", text)[1])
            show(f"{unit}: exposure {score}")
            self.assertLessEqual(score, 1.8)

    def test_the_units_are_correct(self):
        done = self.machine.attempt("systemd-analyze", "verify", "--man=no", AGENT, GATEWAY)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_the_process(self):
        """The user holdfast, one capability, no way to more, and the system call filter is on."""
        pid = self.machine.show(AGENT, "MainPID")["MainPID"]
        status = dict(line.split(":\t", 1) for line in self.machine.read(f"/proc/{pid}/status").splitlines())
        user = self.machine.run("id", "--user", "holdfast").strip()
        self.assertEqual(set(status["Uid"].split()), {user})
        for name in ("CapEff", "CapPrm", "CapAmb", "CapBnd"):
            self.assertEqual(int(status[name], 16), CAP_NET_RAW, name)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))

    def test_every_watcher_works(self):
        """NICs, paths by raw ICMP, processes of root by name, command line and pidfile; what is hidden is unknown,
        and shown with the drop-in that the reason names."""
        machine = self.machine
        machine.run("systemd-run", "--unit=matcher", "sleep", "86421")
        self.addCleanup(machine.attempt, "systemctl", "stop", "matcher")
        machine.write("/run/matcher.pid", machine.show("matcher", "MainPID")["MainPID"])
        self.restart('[nic]\ninclude = ["eth0"]\n'
                     '[[path.isp]]\nname = "isp-a"\ninterface = "eth0"\ntargets = ["10.82.1.2"]\n'
                     + watch("by-name", 'match_name = "sleep"') + watch("by-command", 'match_command = ["86421"]')
                     + watch("by-pidfile", 'pidfile = "/run/matcher.pid"')
                     + watch("by-executable", 'match_executable = "/usr/bin/sleep"'))
        client = self.client("state/")
        for subject in ("nic/eth0", "path/isp-a", "process/by-name", "process/by-command", "process/by-pidfile"):
            client.settle(subject, "ok")
        hidden = client.settle("process/by-executable", "unknown")
        self.assertIn("use match_command, or install the drop-in executables.conf", hidden["reason"])
        self.drop_in("executables.conf")
        self.restart()
        self.client("state/").settle("process/by-executable", "ok")

    def drop_in(self, name, unit=AGENT):
        """Installs one of the shipped drop-ins, for this test."""
        folder = f"/etc/systemd/system/{unit}.d"
        self.machine.run("install", "-D", "-m", "644", "-t", folder, f"{DROP_INS}/{AGENT}.d/{name}")
        self.machine.run("systemctl", "daemon-reload")

        def remove():
            self.machine.run("rm", f"{folder}/{name}")
            self.machine.run("systemctl", "daemon-reload")
            if unit == AGENT:
                self.restart()
        self.addCleanup(remove)

    def test_drop_ins_allow_what_they_say(self):
        """Within the agent's unit the kernel's clock and packet sockets are closed, and open with the drop-ins."""
        probes = {"clock.conf": 'my $b = "\\0" x 512; syscall(159, $b) >= 0 or die $!',  # adjtimex, modes 0: read
                  "line.conf": 'socket(my $s, 17, 3, 0) or die $!'}  # AF_PACKET, SOCK_RAW
        unit = self.machine.read(f"/lib/systemd/system/{AGENT}")
        unit = re.sub(r"^(ExecStart|ExecReload|Type|Restart|WatchdogSec)=.*\n", "", unit, flags=re.M)
        for name, code in probes.items():
            with self.subTest(name):
                self.machine.write("/usr/local/bin/probe", f"#!/usr/bin/perl\n{code};\n", mode=0o755)
                self.machine.write("/etc/systemd/system/probe.service", unit.replace(
                    "[Service]", "[Service]\nType=oneshot\nExecStart=/usr/local/bin/probe"))
                self.machine.run("systemctl", "daemon-reload")
                before = self.machine.moment()
                self.assertNotEqual(self.machine.attempt("systemctl", "start", "probe").returncode, 0)
                self.machine.wait_entry(lambda entry: re.match("Operation not permitted|Address family not supp",
                                                               entry["MESSAGE"]),
                                        "the refusal", "_SYSTEMD_UNIT=probe.service", after=before)
                self.drop_in(name, "probe.service")
                self.machine.run("systemctl", "start", "probe")


@needs_machines
@packages.needs_packages
class Watching(Debian):
    """A fault, on the bus and in the journal."""

    def test_a_killed_process(self):
        """It is published at once, and is one entry of the journal with its fields and an explanation."""
        machine = self.machine
        machine.run("systemd-run", "--unit=matcher", "sleep", "86422")
        self.restart(watch("matcher", 'match_command = ["86422"]'))
        client = self.client("state/")
        client.settle("process/matcher", "ok")
        before = machine.moment()
        machine.run("systemctl", "kill", "--signal=KILL", "matcher")
        state = client.wait_state("process/matcher", "critical")
        entry = machine.wait_entry(
            lambda entry: entry["HOLDFAST_SUBJECT"] == "process/matcher", "the killed process",
            f"_SYSTEMD_UNIT={AGENT}", f"MESSAGE_ID={STATE_CHANGED}", after=before)
        self.assertEqual(entry["PRIORITY"], "3")
        fields = {name: entry.get(name) for name in entry if name.startswith("HOLDFAST_")}
        self.assertEqual(fields["HOLDFAST_STATUS"], "critical")
        self.assertEqual(fields["HOLDFAST_PREVIOUS"], "ok")
        self.assertEqual(fields["HOLDFAST_HOST"], "fra-1")
        self.assertEqual(fields["HOLDFAST_REASON"], state["reason"])
        self.assertIn(state["reason"], entry["MESSAGE"])
        explained = machine.run("journalctl", "--catalog", "HOLDFAST_SUBJECT=process/matcher",
                                "HOLDFAST_STATUS=critical")
        self.assertIn("Subject: process/matcher on fra-1 is critical", explained)
        self.assertNotRegex(explained, r"HOLDFAST_[A-Z]+[^=A-Z]", "a field that the entry has not")

    def test_a_lost_carrier_is_the_cause(self):
        """The far end goes down: the NIC, and the path that stands on it, which names it."""
        self.restart('[nic]\ninclude = ["eth0"]\n')
        client = self.client("state/")
        client.settle("nic/eth0", "ok")
        client.settle("path/eth0", "ok")
        far = self.isp.link("to-host")
        self.addCleanup(far.close)
        far.set(False)
        try:
            client.wait_state("nic/eth0", "critical")
            path = client.wait_state("path/eth0", lambda message: message["status"] != "ok")
            self.assertEqual(path["cause"], "nic/eth0")
        finally:
            far.set(True)
        client.settle("nic/eth0", "ok")

    def test_journald_never_holds_a_change_back(self):
        self.assertEqual(self.machine.show(AGENT, "LogRateLimitIntervalUSec")["LogRateLimitIntervalUSec"], "0")


@needs_machines
@packages.needs_packages
class Life(Debian):
    """Hanging, reloading, and configurations that are not good."""

    def test_the_watchdog_restarts_a_stopped_agent(self):
        """SIGSTOP: the heartbeat stops, systemd ends the process and starts it anew, subscribers see a later run."""
        self.restart("")
        client = self.client("heartbeat/")
        old = client.wait(lambda message: True, "a heartbeat")["incarnation"]
        before = self.machine.moment()
        self.machine.run("systemctl", "kill", "--signal=STOP", AGENT)
        self.machine.wait_entry(lambda entry: "Watchdog timeout" in entry["MESSAGE"], "the watchdog's word",
                                f"UNIT={AGENT}", after=before)
        new = client.wait(lambda message: message["incarnation"] != old, "another incarnation")["incarnation"]
        self.assertGreater(new, old)
        self.assertEqual(self.machine.show(AGENT, "NRestarts")["NRestarts"], "1")

    def test_reload_keeps_state(self):
        """What was watched keeps its `since` and its run; what is new in the file is watched."""
        self.machine.run("systemd-run", "--unit=kept", "sleep", "86423")
        self.restart(watch("kept", 'match_command = ["86423"]'))
        client = self.client("state/")
        client.settle("process/kept", "ok")
        before = client.status()
        kept = client.states()["process/kept"]
        self.configure(watch("kept", 'match_command = ["86423"]') + watch("missing", 'match_command = ["86424"]'))
        self.machine.run("systemctl", "reload", AGENT)
        added = client.wait_state("process/missing", "critical")
        self.assertEqual(added["incarnation"], before["incarnation"])
        self.assertGreater(added["change"], before["change"])
        after = client.states()["process/kept"]
        self.assertEqual([after[key] for key in ("incarnation", "change", "since", "status")],
                         [kept[key] for key in ("incarnation", "change", "since", "status")])

    def test_a_broken_file_refuses_the_reload(self):
        """The command fails, the status names file and line, and the agent goes on as it was."""
        self.restart("")
        client = self.client("heartbeat/")
        old = client.wait(lambda message: True, "a heartbeat")["incarnation"]
        self.configure("[nic]\n\nenabled = 3\n")
        done = self.machine.attempt("systemctl", "reload", AGENT)
        self.assertNotEqual(done.returncode, 0)
        self.machine.run("journalctl", "--sync")
        status = self.machine.attempt("systemctl", "status", AGENT).stdout
        self.assertIn(f"{AGENT_TOML}:3", status)
        self.assertIn("active (running)", status)
        client.sync()
        self.assertEqual(client.wait(lambda message: True, "a heartbeat")["incarnation"], old)

    def refuse(self, *expected, restarts=False):
        """A start that fails, with these texts where an operator looks first."""
        machine = self.machine
        machine.attempt("systemctl", "stop", AGENT)
        before = machine.moment()
        self.addCleanup(machine.attempt, "systemctl", "stop", AGENT)
        self.assertNotEqual(machine.attempt("systemctl", "start", AGENT).returncode, 0)
        if restarts:
            self.assertIn(machine.state(AGENT), ("activating", "active"))
            said = "\n".join(entry["MESSAGE"] for entry in machine.journal(f"--unit={AGENT}", after=before))
        else:
            self.assertEqual(machine.state(AGENT), "failed")
            machine.run("journalctl", "--sync")
            said = machine.attempt("systemctl", "status", "--full", "--lines=50", AGENT).stdout
            self.assertEqual(machine.show(AGENT, "NRestarts")["NRestarts"], "0")
        for text in expected:
            self.assertIn(text, said)

    def test_a_broken_file_at_the_start(self):
        """The line, in the unit's status; no restart, which would not cure it."""
        self.configure("[nic]\nenabledd = true\n")
        self.refuse(f"{AGENT_TOML}:2", "enabledd", "status=78")

    def test_a_file_that_the_user_may_not_read(self):
        self.configure("")
        self.machine.run("chmod", "600", AGENT_TOML)
        self.addCleanup(self.machine.run, "chmod", "644", AGENT_TOML)
        self.refuse(f"{AGENT_TOML}: permission denied", "the daemon's user must be able to read it")

    def test_a_folder_of_a_socket_that_is_missing(self):
        """Says which, and comes back by itself when it is there."""
        self.configure('[bus]\npublish = ["ipc:///srv/nowhere/agent.pub"]\n')
        self.refuse("ipc:///srv/nowhere/agent.pub", "/srv/nowhere", restarts=True)

    def test_a_folder_that_the_unit_may_not_write(self):
        self.configure('[bus]\npublish = ["ipc:///srv/agent.pub"]\n')
        self.refuse("ipc:///srv/agent.pub", "ReadWritePaths=", restarts=True)

    def test_a_full_run(self):
        """No room for the sockets; the agent is there as soon as there is some."""
        self.configure("")
        self.machine.run("systemctl", "stop", AGENT)
        self.machine.shell("rm -f /run/holdfast/*")
        self.machine.run("mount", "-t", "tmpfs", "-o", "nr_inodes=1,mode=750,uid=holdfast,gid=holdfast", "none", "/run/holdfast")
        mounted = True
        try:
            self.refuse("ipc:///run/holdfast/agent.pub", "No space left on device", "df -i /run/holdfast", restarts=True)
            self.machine.run("umount", "/run/holdfast")
            mounted = False
            client = self.client("heartbeat/")
            client.wait(lambda message: True, "a heartbeat of the agent that came back")
        finally:
            if mounted:
                self.machine.run("umount", "/run/holdfast")

    def test_no_etc_at_all(self):
        """A folder that was deleted is no reason not to watch."""
        self.machine.run("mv", "/etc/holdfast", "/etc/holdfast.away")
        self.addCleanup(self.machine.run, "mv", "/etc/holdfast.away", "/etc/holdfast")
        self.machine.run("systemctl", "restart", AGENT)
        self.assertIn("path/eth0", self.machine.run("holdfast", "status"))


# The gateway, upgrades, removal


class Lines(venue.Lines):
    """The lines of `venue.Lines` as two multicast groups, each sent from an ISP of its own."""

    groups = {"A": "239.83.1.1", "B": "239.83.2.1"}
    port = 30001

    def __init__(self, case, **isps):
        super().__init__(case)
        self.sockets = {}
        for line, isp in isps.items():
            sender = isp.enter(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            case.addCleanup(sender.close)
            address = next(word for word in isp.ip("-brief", "address", "show", "to-host").split() if "." in word)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address.split("/")[0]))
            self.sockets[line] = sender

    def group(self, line):
        return f"{self.groups[line]}:{self.port}"

    def send(self, line, packet):
        self.sockets[line].sendto(packet, (self.groups[line], self.port))


ITCH = """[[feed]]
name = "itch"
protocol = "moldudp64"
policy = "hot-hot"
[[feed.path]]
name = "A"
interface = "eth0"
group = "239.83.1.1:30001"
depends_on = ["nic/eth0"]
[[feed.path]]
name = "B"
interface = "eth1"
group = "239.83.2.1:30001"
depends_on = ["nic/eth1"]
"""
QUOTES = """[[feed]]
name = "quotes"
protocol = "zeromq"
policy = "hot-warm"
[[feed.path]]
name = "A"
interface = "eth0"
endpoint = "%s"
plaintext = true
[[feed.path]]
name = "B"
interface = "eth1"
endpoint = "%s"
plaintext = true
"""
LOCAL_AGENT = """[[agent]]
publish = "ipc:///run/holdfast/agent.pub"
request = "ipc:///run/holdfast/agent.req"
"""


class FeedHost:
    """A machine with the gateway's package, and two ISPs with a venue: lines of itch, servers of quotes."""

    def __init__(self, owner, **options):
        self.machine = boot(owner, "gw-1", **options)
        isps = {"A": uplink(owner, self.machine), "B": line(owner, self.machine, "eth1", 2)}
        self.lines = Lines(owner, **isps)
        book = venue.Book()
        self.servers = [venue.Upstream(owner, book, f"10.82.{number}.2", isp)
                        for number, isp in enumerate(isps.values(), 1)]

    def start(self):
        """Configures and enables the gateway."""
        self.machine.write("/etc/holdfast/gateway.toml",
                           LOCAL_AGENT + ITCH + QUOTES % tuple(server.endpoint for server in self.servers))
        self.machine.write(AGENT_TOML, '[nic]\ninclude = ["eth*"]\n')
        self.machine.run("systemctl", "reload", AGENT)
        self.machine.run("systemctl", "enable", "--now", GATEWAY)

    def itch(self, case):
        client = MarketClient(case, self.machine.endpoint("gateway.md"), "itch", everything=True)
        client.sync()
        self.lines.wait_heard(self.health(case))
        self.lines.open("ALFA", "BRAVO")
        client.wait_live()
        return client

    def quotes(self, case):
        client = MarketClient(case, self.machine.endpoint("gateway.md"), "quotes", "HF1", "HF2")
        client.sync()
        self.servers[0].wait_held(case, "heartbeat/", "HF1/", "HF2/")
        client.wait_live()
        return client

    def quote(self, topic):
        sequence = self.servers[0].book.following(topic)
        for server in self.servers:
            server.send(venue.frame(topic, venue.DATA, server.book.session, sequence, b"{}"))
        return sequence

    def play(self, case):
        """Both feeds, from a thread, until the function that is returned is called."""
        ends = threading.Event()

        def run():
            while not ends.wait(0.005):
                self.lines.both(self.lines.orders(3, "ALFA", "BRAVO"))
                self.quote("HF1/"), self.quote("HF2/")
        thread = threading.Thread(target=run)

        def stop():
            ends.set()
            thread.join()
        thread.start()
        case.addCleanup(stop)
        return stop

    def health(self, case, *topics):
        return follow(case, self.machine, *topics, name="gateway")


@needs_machines
@packages.needs_packages
class Gateway(unittest.TestCase):
    def test_from_the_package_to_live_data(self):
        """Installed it neither runs nor starts at the next boot; configured and enabled it works, in its sandbox."""
        host = FeedHost(self)
        machine = host.machine
        install(machine, "holdfast", "holdfast-gateway")
        self.assertEqual(machine.state(GATEWAY), "inactive")
        self.assertEqual(machine.attempt("systemctl", "is-enabled", GATEWAY).stdout.strip(), "disabled")
        self.assertEqual(machine.run("systemctl", "is-system-running").strip(), "running")
        host.start()
        show(f"gateway ready {ready_after_ms(machine, GATEWAY):.0f} ms after its start")
        client, quotes = host.itch(self), host.quotes(self)
        host.quote("HF1/")
        self.assertEqual(quotes.wait(lambda message: message["kind"] == "data", "a quote")["topic"], "md/quotes/HF1/")
        order = Order(per_topic=False)
        for _ in range(20):
            host.lines.both(host.lines.orders(3, "ALFA", "BRAVO"))
        for message in client.until(lambda message: message["sequence"] >= 62 and message["kind"] == "data", "62"):
            order.take(message)
        self.assertEqual((order.faults, order.missing), ([], 0))
        health = host.health(self, "state/")
        for subject in ("feed/itch", "feed-path/itch.A", "feed-path/itch.B", "feed/quotes", "feed-path/quotes.B"):
            health.settle(subject, "ok")
        self.assertRegex(machine.run("holdfast", "status"), "nic/eth1 +ok")
        self.check_process(machine)
        self.check_warning(machine)

    def check_process(self, machine):
        """No capability at all."""
        pid = machine.show(GATEWAY, "MainPID")["MainPID"]
        status = dict(line.split(":\t", 1) for line in machine.read(f"/proc/{pid}/status").splitlines())
        self.assertEqual([int(status[name], 16) for name in ("CapEff", "CapPrm", "CapAmb", "CapBnd")], [0] * 4)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))

    def check_warning(self, machine):
        """A receive buffer smaller than it asked for is told, once a line, where the kernel grants less."""
        with open("/proc/sys/net/core/rmem_max") as file:
            granted = int(file.read())
        told = [entry["MESSAGE"] for entry in machine.journal(f"_SYSTEMD_UNIT={GATEWAY}")
                if "receive buffer" in entry["MESSAGE"]]
        self.assertEqual(len(told), 2 if granted < 16 << 20 else 0, told)
        for text in told:
            self.assertIn("net.core.rmem_max", text)


@needs_machines
@packages.needs_packages
class Upgrade(unittest.TestCase):
    """From an older version's packages, with subscribers who stay."""

    def test_subscribers_of_the_agent(self):
        """Every change of the old run is there, then a later run, whose states are whole."""
        machine = boot(self, older=True)
        uplink(self, machine)
        install(machine, "holdfast", folder="/root/older", version=packages.OLDER)
        machine.run("systemd-run", "--unit=matcher", "sleep", "86425")
        machine.write(AGENT_TOML, watch("matcher", 'match_command = ["86425"]'))
        machine.run("systemctl", "reload", AGENT)
        client = follow(self, machine, "state/", "heartbeat/")
        client.settle("process/matcher", "ok")
        old = client.join()
        install(machine, "holdfast")
        self.assertEqual(machine.run("dpkg-query", "--show", "--showformat=${Version}", "holdfast"), packages.VERSION)
        last = old["change"]
        for message in client.until(lambda message: message["incarnation"] != old["incarnation"], "a later run")[:-1]:
            self.assertLessEqual(message["change"], last + 1, "a change was missed before the upgrade")
            last = max(last, message["change"])
        new = client.join()
        self.assertGreater(new["incarnation"], old["incarnation"])
        client.settle("process/matcher", "ok")
        self.assertEqual(set(client.states()), {subject_of(state) for state in old["states"]})
        self.assertIn(watch("matcher", 'match_command = ["86425"]'), machine.read(AGENT_TOML))

    def test_a_configuration_that_the_new_version_refuses(self):
        """The old process goes on, apt says the line, and a restart after the correction is the new version."""
        machine = boot(self, older=True)
        uplink(self, machine)
        install(machine, "holdfast", folder="/root/older", version=packages.OLDER)
        client = follow(self, machine, "heartbeat/")
        old = client.wait(lambda message: True, "a heartbeat")["incarnation"]
        pid = machine.show(AGENT, "MainPID")
        machine.write(AGENT_TOML, "[path]\nenabled = 1\n")
        before = machine.moment()
        self.assertIn(f"{AGENT_TOML}:2", install(machine, "holdfast"))
        machine.wait_entry(lambda entry: f"{AGENT_TOML}:2" in entry["MESSAGE"], "the line", after=before)
        self.assertEqual(machine.show(AGENT, "MainPID"), pid)
        client.sync()
        self.assertEqual(client.wait(lambda message: True, "a heartbeat")["incarnation"], old)
        machine.write(AGENT_TOML, "")
        machine.run("systemctl", "restart", AGENT)
        new = client.wait(lambda message: message["incarnation"] != old, "a later run")
        self.assertGreater(new["incarnation"], old)

    def test_subscribers_of_the_gateway(self):
        """Market data while the gateway is upgraded: each sequence once and in order but for one hole, which is
        exact, and which a client notices by what the document says."""
        host = FeedHost(self, older=True)
        machine = host.machine
        install(machine, "holdfast", "holdfast-gateway", folder="/root/older", version=packages.OLDER)
        host.start()
        itch, quotes, health = host.itch(self), host.quotes(self), host.health(self, "heartbeat/")
        old = health.wait(lambda message: True, "a heartbeat")["incarnation"]
        stop = host.play(self)
        itch.wait(lambda message: message["kind"] == "data", "data of the old run")
        install(machine, "holdfast", "holdfast-gateway")
        new = health.wait(lambda message: message["incarnation"] != old, "a later run")["incarnation"]
        self.assertGreater(new, old)
        self.check_itch(self.to_the_end(itch, host.lines.next))
        self.check_quotes(self.to_the_end(quotes, host.quote("HF1/")))
        stop()

    def to_the_end(self, client, sequence):
        """What came before and after the upgrade: data beyond a sequence, and a heartbeat of the later run."""
        messages = client.until(lambda message: message["kind"] == "data" and message["sequence"] > sequence, "new data")
        return messages + client.until(lambda message: message["kind"] == "heartbeat", "a heartbeat")

    def hole(self, data):
        """The one place where a sequence is not the next one: the message before it, and the one after it."""
        holes = [pair for pair in zip(data, data[1:]) if pair[1]["sequence"] != pair[0]["sequence"] + 1]
        self.assertEqual(len(holes), 1, holes)
        self.assertGreater(holes[0][1]["sequence"], holes[0][0]["sequence"])
        show(f"{holes[0][0]['topic']}: {holes[0][1]['sequence'] - holes[0][0]['sequence'] - 1} missed in the upgrade")
        return holes[0]

    def check_run(self, messages):
        """The heartbeats tell that another run has begun."""
        published = [message["told"]["published"] for message in messages if message["kind"] == "heartbeat"]
        self.assertEqual(sum(after < before for before, after in zip(published, published[1:])), 1, published)

    def check_itch(self, messages):
        """The new run's first control frame comes before its data, and says where it begins."""
        self.check_run(messages)
        before, after = self.hole([message for message in messages if message["kind"] == "data"])
        between = messages[messages.index(before) + 1:messages.index(after)]
        control = [message for message in between if message["topic"].startswith("control/")]
        self.assertEqual(control[-1]["sequence"], after["sequence"] - 1, control)

    def check_quotes(self, messages):
        """The first message of each topic does not name the last one as its predecessor."""
        self.check_run(messages)
        for symbol in ("HF1", "HF2"):
            topic = f"md/quotes/{symbol}/"
            data = [message for message in messages if message["kind"] == "data" and message["topic"] == topic]
            before, after = self.hole(data)
            self.assertNotEqual(after["previous"], before["sequence"])


@needs_machines
@packages.needs_packages
class Removal(unittest.TestCase):
    # What the machine itself writes all the time, and where Debian keeps its own books.
    passing = re.compile(r"^/(var/(log|cache|lib/(apt|dpkg|systemd|private))|etc/(ld\.so\.cache|\.pwd\.lock)|root|tmp|"
                         r"etc/(passwd|group|shadow|gshadow)-?)(/|$)")

    # What a package that is removed and not purged leaves: configuration, data, and that a unit was enabled.
    kept = "/etc/holdfast|/var/lib/holdfast|/etc/systemd/system/multi-user.target.wants/holdfast-"

    def listing(self, machine):
        return set(machine.run("find", "/", "-xdev").splitlines())

    def test_remove_and_purge(self):
        """Remove keeps the configuration and nothing that runs; purge leaves the user, as Debian's policy says."""
        machine = boot(self)
        uplink(self, machine)
        machine.run("apt-get", "install", "--yes", "libzmq5", "libpcap0.8")
        before = self.listing(machine)
        self.assertIn("/usr/bin/apt-get", before)
        install(machine, "holdfast", "holdfast-gateway")
        machine.run("install", "-m", "600", "-o", "holdfast", "/dev/null", "/etc/holdfast/host.key")
        machine.run("install", "-m", "644", "/dev/null", "/etc/holdfast/clients.toml")
        machine.run("systemctl", "enable", "--now", GATEWAY)
        pid = machine.show(AGENT, "MainPID")["MainPID"]
        machine.run("apt-get", "remove", "--yes", "holdfast", "holdfast-gateway")
        self.assertFalse(machine.exists(f"/proc/{pid}"))
        self.assertFalse(machine.exists("/run/holdfast"))
        left = {path for path in self.listing(machine) - before if not self.passing.match(path)}
        self.assertIn(AGENT_TOML, left)
        self.assertEqual({path for path in left if not re.match(self.kept, path)}, set())
        machine.run("apt-get", "purge", "--yes", "holdfast", "holdfast-gateway")
        after = self.listing(machine)
        self.assertEqual({path for path in after - before if not self.passing.match(path)}, set())
        self.assertEqual({path for path in before - after if not self.passing.match(path)}, set())
        self.assertEqual(machine.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "holdfast*"), "")
        machine.run("getent", "passwd", "holdfast")


# README


def commands(section, **names):
    """The shell commands of a section of README.md, one a line; `names` take the place of its words in capitals."""
    with open(os.path.join(harness.ROOT, "README.md")) as file:
        parts = re.split(r"^(#+ .*)$", file.read(), flags=re.M)
    heading = next((index for index, part in enumerate(parts) if re.fullmatch(rf"#+ {section}", part)), None)
    if heading is None:
        raise AssertionError(f"README.md has no section \"{section}\"")
    text = "".join(re.findall(r"^```sh\n(.*?)^```", parts[heading + 1], flags=re.M | re.S)).replace("\\\n", " ")
    lines = (re.sub(r"(^|\s+)# .*", "", line).strip() for line in text.splitlines())
    return [re.sub(r"\b[A-Z]{3,}\b", lambda word: names.get(word[0], word[0]), line) for line in lines if line]


@needs_machines
@packages.needs_packages
class Readme(unittest.TestCase):
    """The commands that README.md shows, typed as they stand."""

    # These go on until they are interrupted.
    follows = re.compile(r"holdfast watch|journalctl .*(-f\b|--follow)")

    def type(self, machine, command):
        """Runs a command in root's folder; questions are answered with yes."""
        words = ["timeout", "--signal=INT", "2"] if self.follows.search(command) else []
        done = machine.attempt(*words, "bash", "-c", f"cd && {command}", input="y\n" * 10)
        # 3: something is not known yet.
        allowed = (0, 1, 2, 3) if re.search("holdfast status", command) else (0, 124, 130) if words else (0,)
        self.assertIn(done.returncode, allowed, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def test_operate(self):
        host = FeedHost(self)
        install(host.machine, "holdfast", "holdfast-gateway")
        host.start()
        host.itch(self), host.quotes(self)
        host.play(self)
        typed = commands("Operate")
        self.assertGreaterEqual(len(typed), 5)
        for command in typed:
            with self.subTest(command):
                self.type(host.machine, command)


if __name__ == "__main__":
    unittest.main()
