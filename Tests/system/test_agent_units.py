"""Units of systemd, in a booted Debian: the agent in its shipped sandbox, the system's own message bus.

The packages are not needed: the program is seen in the machine as it was built."""

import os
import re
import time
import unittest

import harness
from harness import HealthClient
from nspawn import Machine, needs_machines, owner_of
from test_agent_bus import QUIET

AGENT = "holdfast-agent.service"
CONFIGURATION = QUIET + """[unit]
failed = true
[[unit.watch]]
name = "crasher.service"
crash_window = "3s"
[[unit.watch]]
name = "late.service"
[[unit.watch]]
name = "nickname.service"
[[unit.watch]]
name = "moving.service"
[[unit.watch]]
name = "forbidden.service"
expected = "inactive"
[process]
scan_every = "100ms"
[[process.watch]]
name = "matcher"
unit = "crasher.service"
minimum = 2
[[process.watch]]
name = "single"
unit = "single.service"
"""
# Ends with status 3 when it is told to, and is started again.
CRASHER = """[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/bin/sh -c 'trap "exit 3" USR1; sleep 86400 & wait'
Restart=on-failure
RestartSec=200ms
"""


def show(text):
    """A figure, for the log of the run: figures are looked at, not asserted."""
    print(f"\n    {text}", end=" ", flush=True)


def runtime_folders(program):
    """Folders of libraries that no Debian package has: a debug build's Swift. A release build needs none."""
    text = harness.run("ldd", program)
    folders = {os.path.dirname(path) for path in re.findall(r"=> (/\S+)", text)}
    return {folder: folder for folder in folders if not folder.startswith(("/lib", "/usr/lib"))}


@needs_machines
class Units(unittest.TestCase):
    """Tests share one machine; each has units of its own."""

    @classmethod
    def setUpClass(cls):
        cls.owner = owner_of(cls)
        program = harness.binary("holdfast-agent")
        folders = {"/srv/programs": os.path.realpath(os.path.dirname(program))} | runtime_folders(program)
        cls.machine = machine = Machine(cls.owner, "fra-1", folders)
        machine.run("apt-get", "install", "--yes", "libzmq5", "libpcap0.8")
        cls.install_unit()
        for name in ("crasher", "known", "forbidden"):
            cls.unit(name, CRASHER)
        cls.unit("nickname-of", CRASHER)
        machine.run("ln", "-s", "/etc/systemd/system/nickname-of.service", "/etc/systemd/system/nickname.service")
        os.makedirs(machine.path("/etc/holdfast"))
        machine.write("/etc/holdfast/agent.toml", CONFIGURATION)
        machine.run("systemctl", "daemon-reload")
        machine.attempt("systemctl", "reset-failed")
        machine.run("systemctl", "start", "crasher", "nickname-of", AGENT)

    @classmethod
    def install_unit(cls):
        """The shipped one, for the program where it is here."""
        with open(os.path.join(harness.ROOT, "units", AGENT)) as file:
            text = file.read().replace("/usr/bin/holdfast-agent", "/srv/programs/holdfast-agent")
        cls.machine.write(f"/etc/systemd/system/{AGENT}", text)
        with open(os.path.join(harness.ROOT, "units/holdfast.sysusers")) as file:
            cls.machine.write("/usr/lib/sysusers.d/holdfast.conf", file.read())
        cls.machine.run("systemd-sysusers")

    @classmethod
    def unit(cls, name, text):
        cls.machine.write(f"/etc/systemd/system/{name}.service", text)

    def client(self):
        return HealthClient(self, self.machine.endpoint("agent.pub"), self.machine.endpoint("agent.req"), "state/")

    def crash(self, name="crasher"):
        self.machine.run("systemctl", "kill", "--kill-who=main", "--signal=USR1", name)

    def wait_for(self, condition, what):
        until = time.monotonic() + harness.PATIENCE_S
        while not condition():
            if time.monotonic() > until:
                self.fail(f"{what}: not within {harness.PATIENCE_S:g} s")
            time.sleep(0.02)

    def test_a_crash_that_is_restarted_is_told_with_its_exit_status(self):
        client = self.client()
        first = client.settle("unit/crasher.service", "ok")
        self.assertEqual(self.machine.show("crasher", "MainPID")["MainPID"], str(first["values"]["main_pid"]))
        self.crash()
        down = client.wait_state("unit/crasher.service", "critical")
        self.assertEqual(down["reason"], "ended: exit status 3")
        self.assertEqual(down["values"]["exit_status"], 3)
        show(f"crash published {self.after_ms(down):.1f} ms after systemd saw it end")
        back = client.wait_state("unit/crasher.service", lambda state: "started again" in state["reason"])
        self.assertEqual((back["status"], back["reason"]), ("warning", "started again after exit status 3"))
        self.assertNotEqual(back["values"]["invocation_id"], first["values"]["invocation_id"])
        self.assertEqual(back["values"]["restarts"], first["values"]["restarts"] + 1)
        # Kept for the window, then over.
        client.wait_state("unit/crasher.service", "ok")

    def after_ms(self, state):
        """From when it happened, as systemd says, to when the agent knew."""
        def seconds(text):
            whole, _, fraction = text.rstrip("Z").partition(".")
            moment = time.strptime(whole, "%Y-%m-%dT%H:%M:%S")
            return moment.tm_sec + 60 * moment.tm_min + float("0." + (fraction or "0"))
        return (seconds(state["detected_at"]) - seconds(state["happened_at"])) * 1000

    def test_processes_are_found_by_their_unit_which_explains_their_end(self):
        client = self.client()
        client.settle("unit/crasher.service", "ok")
        # The shell and its sleep.
        self.assertEqual(client.settle("process/matcher", "ok")["reason"], "several running")
        self.crash()
        state = client.wait_state("process/matcher", lambda state: state["status"] == "critical" and state["cause"])
        self.assertEqual(state["cause"], "unit/crasher.service")
        client.wait_state("process/matcher", "ok")
        client.settle("unit/crasher.service", "ok")

    def test_how_a_main_process_ended_is_told_by_systemd_where_the_kernel_does_not(self):
        folder = f"/etc/systemd/system/{AGENT}.d"
        self.machine.run("mkdir", folder)

        def undo():
            self.machine.run("rm", "-r", folder)
            self.machine.run("systemctl", "daemon-reload")
            self.machine.run("systemctl", "restart", AGENT)
        self.addCleanup(undo)
        self.machine.write(f"{folder}/without.conf",
                           "[Service]\nEnvironment=HOLDFAST_WITHOUT=exit-by-pidfd,exit-by-stat\n")
        self.unit("single", "[Service]\nExecStart=/bin/sh -c 'read line </run/single; exit 5'\n")
        self.machine.run("mkfifo", "/run/single")
        self.machine.run("systemctl", "daemon-reload")
        self.machine.run("systemctl", "start", "single")
        self.machine.run("systemctl", "restart", AGENT)
        client = self.client()
        client.settle("unit/crasher.service", "ok")
        client.settle("process/single", "ok")
        self.machine.shell("echo >/run/single")
        client.wait_state("process/single", lambda state: "exited with status 5" in state["reason"])
        self.machine.run("systemctl", "reset-failed", "single")

    def test_an_alias_is_followed_to_its_unit(self):
        client = self.client()
        client.settle("unit/nickname.service", "ok")
        self.crash("nickname-of")
        client.wait_state("unit/nickname.service", "critical")
        client.wait_state("unit/nickname.service", lambda state: state["reason"] == "started again after exit status 3")

    def test_an_alias_that_moves_is_followed_there(self):
        client = self.client()
        folder = "/etc/systemd/system"
        for name in ("old-home", "new-home"):
            self.unit(name, CRASHER)
        for name in ("old-home", "new-home"):
            self.machine.run("ln", "-sfn", f"{folder}/{name}.service", f"{folder}/moving.service")
            self.machine.run("systemctl", "daemon-reload")
            self.machine.run("systemctl", "start", name)
            main = int(self.machine.run("systemctl", "show", "--property=MainPID", "--value", name))
            client.wait_state("unit/moving.service",
                              lambda state: state["status"] == "ok" and state["values"]["main_pid"] == main)
        self.crash("new-home")
        self.assertIn("exit status 3", client.wait_state("unit/moving.service", "critical")["reason"])

    def test_a_kill_is_told_with_its_signal(self):
        client = self.client()
        client.settle("unit/crasher.service", "ok")
        self.machine.run("systemctl", "kill", "--kill-who=main", "--signal=SEGV", "crasher")
        self.assertRegex(client.wait_state("unit/crasher.service", "critical")["reason"], "SIGSEGV")
        client.settle("unit/crasher.service", "ok")

    def test_a_restart_by_hand_is_no_crash(self):
        client = self.client()
        before = client.settle("unit/crasher.service", "ok")
        self.machine.run("systemctl", "restart", "crasher")
        after = client.wait_state(
            "unit/crasher.service",
            lambda state: state["status"] == "ok" and state["values"]["main_pid"] != before["values"]["main_pid"])
        self.assertEqual(after["values"]["crashes"], before["values"]["crashes"])

    def test_a_unit_that_fails_is_told_without_any_configuration(self):
        client = self.client()
        client.settle("unit/failed", "ok")
        self.machine.attempt("systemd-run", "--unit=broken", "--property=RemainAfterExit=yes", "sh", "-c", "exit 4")
        state = client.wait_state("unit/broken.service", "warning")
        self.assertEqual(state["reason"], "failed: exit status 4")
        summary = client.settle("unit/failed", "warning")
        self.assertIn("broken.service", summary["reason"])
        self.machine.run("systemctl", "reset-failed", "broken")
        client.wait_state("unit/broken.service", "ok")
        client.settle("unit/failed", "ok")

    def test_a_unit_that_comes_with_a_reload_is_found(self):
        client = self.client()
        self.assertEqual(client.settle("unit/late.service", "critical")["reason"], "there is no such unit")
        self.unit("late", CRASHER)
        self.machine.run("systemctl", "daemon-reload")
        client.wait_state("unit/late.service", lambda state: state["reason"] == "inactive")
        self.machine.run("systemctl", "start", "late")
        client.wait_state("unit/late.service", "ok")
        self.machine.run("systemctl", "daemon-reload")
        self.crash("late")
        self.assertIn("exit status 3", client.wait_state("unit/late.service", "critical")["reason"])

    def test_a_unit_that_must_not_run_is_critical_when_it_does(self):
        client = self.client()
        client.settle("unit/forbidden.service", "ok")
        self.machine.run("systemctl", "start", "forbidden")
        client.wait_state("unit/forbidden.service", "critical")
        self.machine.run("systemctl", "stop", "forbidden")
        client.wait_state("unit/forbidden.service", "ok")

    def test_when_the_bus_is_started_anew_nothing_is_missed(self):
        client = self.client()
        client.settle("unit/crasher.service", "ok")
        self.machine.run("systemctl", "stop", "dbus.socket", "dbus.service")
        lost = client.wait_state("unit/crasher.service", "unknown")
        self.assertIn("message bus", lost["reason"])
        client.settle("unit/failed", "unknown")
        # Without the bus systemctl asks systemd directly.
        before = self.machine.show("crasher", "NRestarts")
        self.crash()
        self.wait_for(lambda: self.machine.show("crasher", "NRestarts") != before
                      and self.machine.state("crasher") == "active", "the restart")
        self.machine.run("systemctl", "start", "dbus.socket", "dbus.service")
        back = client.wait_state("unit/crasher.service", lambda state: state["status"] != "unknown")
        self.assertEqual((back["status"], back["reason"]), ("warning", "started again after an end that nobody saw"))
        client.settle("unit/failed", "ok")
        client.settle("unit/crasher.service", "ok")
        self.crash()
        self.assertIn("exit status 3", client.wait_state("unit/crasher.service", "critical")["reason"])
        client.settle("unit/crasher.service", "ok")

    def test_units_that_nobody_watches_do_not_wake_it(self):
        client = self.client()
        client.subscribe("heartbeat/")  # so that time passes
        client.settle("unit/crasher.service", "ok")
        pid = self.machine.show(AGENT, "MainPID")["MainPID"]

        def wake_ups():
            text = self.machine.read(f"/proc/{pid}/status")
            return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.MULTILINE)[1])

        before, began = wake_ups(), time.monotonic()
        for number in range(30):
            self.machine.run("systemd-run", "--quiet", "--wait", f"--unit=stranger-{number}", "true")
        busy, took = wake_ups() - before, time.monotonic() - began
        before, began = wake_ups(), time.monotonic()
        client.wait(lambda message: time.monotonic() - began > took, "as long again", patience=took + harness.PATIENCE_S)
        quiet = wake_ups() - before
        show(f"{busy} wake-ups while 30 units came and went, {quiet} in the same time without")
        # Each unit makes a dozen signals; had they come through, there would be hundreds more.
        self.assertLess(busy, quiet + 60)


if __name__ == "__main__":
    unittest.main()
