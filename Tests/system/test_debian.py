"""Debian 12, booted, with the agent's package: what an operator of 200 such hosts sees.

A class is a theme and, for most, a machine that its tests share. Clients are outside: they know the wire document
and nothing else."""

import re
import subprocess
import time
import unittest

import harness
import packages
from debian import AGENT, AGENT_TOML, GATEWAY, Debian, boot, follow, ready_after_ms, show, status, uplink, watch
from nspawn import needs_machines

DROP_INS = "/usr/share/holdfast/drop-ins"
CAP_NET_RAW = 1 << 13
STATE_CHANGED = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a02"


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
            said = installing.communicate(timeout=harness.COMMAND_S)[0]
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
        told = status(machine)
        self.assertRegex(told, r"path/eth0 +ok")
        machine.run("useradd", "--groups", "holdfast", "alice")
        machine.run("useradd", "mallory")
        self.assertEqual(status(machine, "sudo", "-u", "alice").split("\n")[0], told.split("\n")[0])
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
        options = "nr_inodes=1,mode=750,uid=holdfast,gid=holdfast"
        self.machine.run("mount", "-t", "tmpfs", "-o", options, "none", "/run/holdfast")
        mounted = True
        try:
            self.refuse("ipc:///run/holdfast/agent.pub", "No space left on device", "df -i /run/holdfast",
                        restarts=True)
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
        self.assertIn("path/eth0", status(self.machine))


if __name__ == "__main__":
    unittest.main()
