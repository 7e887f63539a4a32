"""The parts of `holdfast-bench agent` that need nothing but the agent, with one fault of each kind: each is noticed. And
those of `holdfast-bench gateway` that are short: what they print, what must have come of it, and the exit status."""

import contextlib
import io
import json
import os
import types
import unittest
import unittest.mock

import zmq

import bench_conditions
import bench_failover
import bench_gateway
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


class Gateway(unittest.TestCase):
    def document(self, part, *words):
        done = harness.attempt(os.path.join(harness.ROOT, "Tests/holdfast-bench"), "gateway", "--quick", "--json", "--only",
                               part, *words, env={**os.environ, "HOLDFAST_BINARIES": harness.BINARIES})
        self.assertEqual(done.returncode, 0, done.stderr)
        document = json.loads(done.stdout)
        self.assertEqual(set(document), {"quick", "kernel", "cores", part})
        return document[part]

    def test_arbiter(self):
        rows = self.document("arbiter")
        self.assertEqual(len({row["figure"] for row in rows}), 3)
        for row in rows:
            self.assertEqual((row["program"], row["messages"]), ("gateway", 400_000), row)
            self.assertGreater(row["ns_per_message"], 0)
            if os.path.basename(os.path.normpath(harness.BINARIES)) == "release":  # others are not optimised
                self.assertEqual(row["allocations"], 0, row)

    @harness.needs_namespaces
    def test_failover(self):
        rows = self.document("failover", "--count", "1")
        found = {(row["fault"], row["feed"]): row for row in rows}
        left, without, live = "path told as failed", "longest time without data", "live on the other path"
        wanted = set()
        for fault in bench_failover.FAULTS.values():
            for feed in fault.leaves or fault.feeds:
                name = f"{feed}, {fault.feeds[feed]}"
                is_moved = fault.leaves and fault.feeds[feed] == "hot-warm"
                wanted |= {(fault.name, name, live if is_moved else without)}
                wanted |= {(fault.name, name, left)} if fault.leaves else set()
        self.assertEqual({(row["fault"], row["feed"], row["what"]) for row in rows}, wanted)
        self.assertEqual(len(rows), len(wanted))
        for row in rows:
            self.assertEqual(row["runs"], 1)
            self.assertIn("median_ms", row, "it was measured")
            if row["what"] != left:
                self.assertGreater(row["received"], 0)
                self.assertEqual({row[name] for name in bench_failover.WRONG}, {0}, row)
        # Over one connection what comes late is no loss.
        alone = bench_failover.FAULTS["half-open"]
        self.assertEqual(found[alone.name, "soup, one path"]["gaps_told"], 0)

    def status(self, *rows):
        """The exit status of a run that measures this, and what it says besides."""
        said = io.StringIO()
        with unittest.mock.patch.dict(bench_gateway.PARTS, {"arbiter": lambda options: list(rows)}), \
                unittest.mock.patch("sys.argv", ["bench_gateway.py", "--json", "--only", "arbiter"]), \
                contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            return bench_gateway.main(), said.getvalue()

    def test_what_is_not_as_promised_is_told_and_the_status_1(self):
        good = {"program": "gateway", "lost": 0, "is_within": True}
        self.assertEqual(self.status(good, {"program": "zmq_proxy, one input", "lost": 7}), (0, ""))
        for wrong in ({"is_within": False}, {"lost": 1}, {"duplicates": 1}, {"out_of_order": 1}, {"false_live": 1},
                      {"program": "gateway, two inputs", "lost": 1}, {"lost_by_who_reads": 2}):
            status, said = self.status(good, wrong)
            self.assertEqual((status, said), (1, f"holdfast-bench: not as promised: {wrong}\n"))


if __name__ == "__main__":
    unittest.main()
