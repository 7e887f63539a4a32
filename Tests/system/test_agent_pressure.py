"""Pressure: the host's own files, a sandboxed agent with the kernel's triggers, and files that change."""

import os
import time
import unittest

import harness
import test_agent_disk as disks
from harness import AGENT_BUS, Daemon, agent, health
from test_agent_bus import QUIET as SILENT

QUIET = SILENT.replace("[pressure]\nenabled = false\n", "")
KERNEL = tuple(map(int, os.uname().release.split(".")[:2]))
needs_triggers = unittest.skipUnless(
    os.geteuid() == 0 and os.path.exists("/proc/pressure/memory") and KERNEL >= (6, 5),
    "needs root and PSI, and Linux 6.5: before it triggers are for the privileged")


# Without the capability for which the kernel would start a real-time thread.
SANDBOX = ("setpriv", "--bounding-set", "-sys_resource", "--inh-caps", "-sys_resource")


class Sandboxed:
    """What tests of the kernel's own word need."""

    def sandboxed(self, configuration):
        self.daemon = Daemon(self, "holdfast-agent", AGENT_BUS + configuration, wrap=SANDBOX)
        return self.daemon.start()

    def told_by_the_kernel(self, name, burden):
        """Only the trigger of `name` is asked for, and the next poll is in an hour: the first other reading after the
        start is the kernel's word."""
        limits = "".join(f"{one}_stall = {{ warning = {'0.005' if one == name else 'false'}, critical = false }}\n"
                         for one in ("cpu", "memory", "io"))
        self.sandboxed(QUIET + '[pressure]\npoll_every = "1h"\n' + limits)
        client = health(self, self.daemon, "sample/")
        topic = f"sample/desk/pressure/{name}/"
        first = client.wait(lambda message: message["topic"] == topic, "the first reading")["values"]["some_ratio"]
        burden()
        message = client.wait(lambda message: message["topic"] == topic and
                              message["values"]["some_ratio"] not in (first, 0), f"another reading of {name}")
        self.assertGreater(message["values"]["some_ratio"], 0)


class Pressure(Sandboxed, unittest.TestCase):
    def test_this_host(self):
        daemon = agent(self, QUIET)
        client = health(self, daemon, "state/", "sample/")
        state = client.wait_state("pressure/memory", lambda state: "available_ratio" in state["values"], "memory")
        with open("/proc/meminfo") as file:
            total = int(file.readline().split()[1]) * 1024
        self.assertEqual(state["values"]["total_bytes"], total)
        client.wait_state("pressure/cpu", lambda state: "load_per_cpu" in state["values"], "the load")
        sample = client.wait(lambda message: message["topic"].startswith("sample/desk/pressure/memory/"), "a sample")
        self.assertGreater(sample["values"]["available_bytes"], 0)

    def test_limits_are_the_operators(self):
        daemon = agent(self, QUIET + '[pressure]\nmemory_available = { warning = 1, critical = false, dwell = "0s" }\n')
        state = health(self, daemon, "state/").wait_state("pressure/memory", "warning")
        self.assertRegex(state["reason"], r"^\d+\.\d % of memory is available$")
        daemon.configure(AGENT_BUS + QUIET)
        daemon.signal(1)
        health(self, daemon, "state/").wait_state("pressure/memory", "ok")

    def hog(self):
        """More work than there are processors, until the test ends."""
        for _ in range(4 * os.cpu_count()):
            harness.spawn(self, ["sh", "-c", "while :; do :; done"])

    @needs_triggers
    def test_without_capabilities_the_kernel_tells(self):
        daemon = self.sandboxed(QUIET)
        held, writable = [], 0
        for name in os.listdir(f"/proc/{daemon.child.pid}/fd"):
            try:
                target = os.readlink(f"/proc/{daemon.child.pid}/fd/{name}")
                with open(f"/proc/{daemon.child.pid}/fdinfo/{name}") as info:
                    flags = int(next(line for line in info if line.startswith("flags:")).split()[1], 8)
            except FileNotFoundError:  # closed meanwhile: a trigger stays open
                continue
            held.append(target)
            writable += target.startswith("/proc/pressure/") and flags & os.O_ACCMODE == os.O_RDWR
        self.assertEqual(writable, 3, held)
        threads = harness.attempt("ps", "-eo", "comm").stdout
        self.assertNotIn("psimon", threads)
        self.assertEqual(daemon.stop(), 0)

    @needs_triggers
    def test_a_trigger_fires_and_nobody_waited_for_the_poll(self):
        """The files are read at the start, and then only when the kernel says so: the next poll is in an hour."""
        limits = 'cpu_stall = { warning = 0.05, critical = false, dwell = "0s" }\n'
        self.sandboxed(QUIET + '[pressure]\npoll_every = "1h"\n' + limits)
        client = health(self, self.daemon, "state/", "sample/")
        first = client.wait_state("pressure/cpu", lambda state: "some_ratio" in state["values"], "the first reading")
        first = first["values"]["some_ratio"]
        self.hog()
        message = client.wait(
            lambda message: message["topic"].startswith(("state/desk/pressure/cpu/", "sample/desk/pressure/cpu/"))
            and message["values"]["some_ratio"] not in (first, 0), "another reading")
        self.assertGreater(message["values"]["some_ratio"], 0)
        state = client.settle("pressure/cpu", "warning")
        self.assertRegex(state["reason"], r"^tasks wait for a processor \d+\.\d % of the time")

    @needs_triggers
    def test_the_kernel_tells_of_waiting_for_memory(self):
        """A program in a group of 8 MiB reads a file of 64 MiB without anything in it, again and again: each page that
        it reads must be taken from another. The host has memory enough, and the disk nothing to do."""
        group = harness.memory_group(self, 8 << 20)
        file = os.path.join(harness.folder_of(self), "sparse")
        with open(file, "wb") as out:
            out.truncate(64 << 20)
        self.told_by_the_kernel("memory", lambda: harness.spawn(self, [
            "sh", "-c", f"echo $$ >{group}/cgroup.procs; while :; do cat {file} >/dev/null; done"]))

    def test_where_the_kernel_does_not_tell_the_polls_do(self):
        """CAP_SYS_RESOURCE makes a trigger cost a real-time thread, so root's agent has none."""
        limits = 'cpu_stall = { warning = 0.05, critical = false, dwell = "0s" }\n'
        daemon = agent(self, QUIET + '[pressure]\npoll_every = "100ms"\n' + limits)
        client = health(self, daemon, "state/")
        self.hog()
        client.settle("pressure/cpu", "warning")

    def test_the_history_has_ten_readings_a_second(self):
        daemon = agent(self, QUIET)
        client = health(self, daemon, "state/", "sample/")
        self.hog()
        until = time.monotonic() + harness.PATIENCE_S
        samples = 0
        while True:
            reply = client.ask(request="history", subject="pressure/cpu")
            points = reply["values"].get("waiting_ratio", [])
            if len(points) >= 20:
                break
            self.assertLess(time.monotonic(), until, f"only {points}")
            samples += sum(message["topic"].startswith("sample/desk/pressure/cpu/") for message in client.sync())
            client.frames(0.1)
        self.assertLess(samples, 10, "more often than the samples come")
        self.assertTrue(all(value is None or 0 <= value <= 1 for _, value in points), points)
        self.assertGreater(max(value or 0 for _, value in points), 0)
        memory = client.ask(request="history", subject="pressure/memory")["values"]
        self.assertIn("available_ratio", memory)
        self.assertIn("all_waiting_ratio", memory)


@needs_triggers
@disks.needs_loop
class Disk(Sandboxed, disks.Case):
    def test_the_kernel_tells_of_waiting_for_it(self):
        """A program writes the same 64 blocks of a small loop device again and again, each to the disk."""
        path = self.ext4("data")
        writes = "bs=4096 count=64 oflag=direct,dsync conv=notrunc"
        self.told_by_the_kernel("io", lambda: harness.spawn(self, [
            *self.inside, "sh", "-c", f"while :; do dd if=/dev/zero of={path}/block {writes} 2>/dev/null; done"]))


if __name__ == "__main__":
    unittest.main()
