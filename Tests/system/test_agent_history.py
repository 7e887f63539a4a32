"""What the agent remembers: history by request and by command, and the last seconds before a change."""

import json
import subprocess
import unittest

import harness
from harness import Namespace, agent, health, needs_namespaces

ISP = '[nic]\ninclude = ["eth0"]\n[[path.isp]]\nname = "isp-a"\ninterface = "eth0"\ntargets = ["10.82.1.2"]\n'


def tool(*words):
    return subprocess.run([harness.binary("holdfast"), *words], capture_output=True, text=True, timeout=60)


@needs_namespaces
class History(unittest.TestCase):
    def setUp(self):
        self.desk, self.far = Namespace(self, "desk"), Namespace(self, "isp")
        harness.veth(self.desk, "eth0", self.far, "peer", 1)
        self.daemon = agent(self, ISP, self.desk)
        self.client = health(self, self.daemon, "state/", "sample/")
        self.client.settle("path/isp-a", "ok")

    def remembered(self, count):
        """The path's history once it has so many points of the round trip."""
        while True:
            reply = self.client.ask(request="history", subject="path/isp-a")
            self.assertIs(reply["ok"], True, reply)
            values = reply["values"]
            if len(values.get("rtt_s", [])) >= count and "loss_ratio" in values:
                return reply
            self.client.wait(lambda message: message["topic"].startswith("sample/"), "a sample")

    def test_a_path_has_many_readings_a_second_for_one_sample(self):
        reply = self.remembered(15)
        samples = [message for message in self.client.sync() if message["topic"].startswith("sample/")]
        points = reply["values"]["rtt_s"]
        self.assertLess(len(samples), 10)
        self.assertEqual((reply["host"], reply["kind"], reply["name"], reply["last_s"]), ("desk", "path", "isp-a", 60))
        times = [time for time, _ in points]
        self.assertEqual(times, sorted(times))
        self.assertLessEqual(times[-1], 0)
        self.assertTrue(all(0 < value < 10 for _, value in points))
        self.assertLess(len(reply["values"]["targets_up"]), 3, "what stands still is one point")
        recent = self.client.ask(request="history", subject="path/isp-a", last_s=0.5)
        self.assertEqual(recent["last_s"], 0.5)
        self.assertTrue(all(time >= -0.5 for time, _ in recent["values"]["rtt_s"]))

    def test_the_command_draws_what_the_request_tells(self):
        self.remembered(15)
        done = tool("history", "path/isp-a", "--endpoint", self.daemon.endpoint("agent.req"), "--seconds", "10")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        head, *rows = done.stdout.splitlines()
        self.assertTrue(head.startswith("VALUE") and head.endswith("LAST 10.0s"), head)
        drawn, = [row for row in rows if row.startswith("rtt ")]
        self.assertTrue(any(block in drawn for block in "▁▂▃▄▅▆▇█"), drawn)
        done = tool("history", "path/isp-a", "--endpoint", self.daemon.endpoint("agent.req"), "--json")
        self.assertIn("rtt_s", json.loads(done.stdout)["values"])

    def test_what_is_not_watched_is_refused_with_1_and_no_answer_is_69(self):
        done = tool("history", "nic/none", "--endpoint", self.daemon.endpoint("agent.req"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("nic/none is not watched", done.stderr)
        done = tool("history", "nic/none", "--endpoint", "ipc:///nonexistent/x", "--time-limit", "300ms")
        self.assertEqual(done.returncode, 69)
        self.assertEqual(tool("history", "nonsense").returncode, 64)
        self.assertEqual(tool("history", "nic/eth0", "--seconds", "0").returncode, 64)

    def test_a_black_hole_comes_with_the_seconds_before_it(self):
        self.remembered(15)
        self.far.drop_ingress("peer")
        state = self.client.wait_state("path/isp-a", "critical")
        before = state["before"]
        self.assertEqual(before["step_s"], 0.5)
        self.assertIn("loss_ratio", before["values"])
        self.assertTrue(1 <= len(before["values"]) <= 6)
        for values in before["values"].values():
            self.assertEqual(len(values), 20)
        loss = [value for value in before["values"]["loss_ratio"] if value is not None]
        self.assertGreater(loss[-1], loss[0], "how it came about")
        self.assertEqual(self.client.states()["path/isp-a"]["before"], before, "and whoever asks later sees it")
        self.far.clear_ingress("peer")
        back = self.client.wait_state("path/isp-a", "ok", patience=60)
        self.assertNotIn("before", back)


if __name__ == "__main__":
    unittest.main()
