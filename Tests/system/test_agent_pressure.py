"""Pressure: the host's own files, a sandboxed agent with the kernel's triggers, and files that change."""

import os
import subprocess
import unittest

import harness
from harness import AGENT_BUS, Daemon, agent, health
from test_agent_bus import QUIET as SILENT

QUIET = SILENT.replace("[pressure]\nenabled = false\n", "")


class Pressure(unittest.TestCase):
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

    @unittest.skipUnless(os.geteuid() == 0 and os.path.exists("/proc/pressure/memory"), "needs root and PSI")
    def test_without_capabilities_the_kernel_tells(self):
        if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 5):
            self.skipTest("before Linux 6.5 triggers are for the privileged")
        daemon = Daemon(self, "holdfast-agent", AGENT_BUS + QUIET,
                        wrap=("setpriv", "--bounding-set", "-sys_resource", "--inh-caps", "-sys_resource"))
        daemon.start()
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
        threads = subprocess.run(["ps", "-eo", "comm"], capture_output=True, text=True).stdout
        self.assertNotIn("psimon", threads)
        self.assertEqual(daemon.stop(), 0)


if __name__ == "__main__":
    unittest.main()
