"""The parts of `holdfast-bench agent` that need nothing but the agent, with one fault of each kind: each is noticed."""

import types
import unittest

import zmq

import bench_conditions
import harness
import measure
import test_agent_bus
import test_agent_disk as disks
import test_agent_pressure as pressures

measure.zmq, measure.harness, measure.tests = zmq, harness, test_agent_bus


@disks.needs_mounts
class Parts(unittest.TestCase):
    def noticed(self, name, *faults):
        rows = bench_conditions.PARTS[name](types.SimpleNamespace(count=1))
        mine = [row for row in rows if row["program"] == "holdfast-agent"]
        self.assertEqual([row["fault"] for row in mine], list(faults))
        if name == "pressure" and not mine[0]["noticed"]:
            self.skipTest("others keep this machine busy")
        for row in mine:
            self.assertEqual((row["runs"], row["noticed"]), (1, 1), row)
            self.assertGreaterEqual(row["p99_ms"], row["median_ms"])

    def test_disk(self):
        self.noticed("disk", "file system full")

    def test_check(self):
        self.noticed("check", "plugin, run each second, turns critical")

    def test_clock(self):
        self.noticed("clock", "clock that is set")

    @harness.needs_namespaces
    def test_line(self):
        self.noticed("line", "line that loses a packet", "line that falls silent beside its twin")

    @pressures.needs_triggers
    def test_pressure(self):
        self.noticed("pressure", "tasks that wait for processors a fifth of the time")


if __name__ == "__main__":
    unittest.main()
