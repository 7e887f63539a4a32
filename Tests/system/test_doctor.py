"""`holdfast doctor` on hosts that are really wrong: sysctls of a namespace, an agent without rights, no upsd."""

import json
import os
import subprocess
import unittest

import harness
from harness import HealthClient, Namespace, needs_namespaces

AGENT = """[ups]
enabled = false
[clock]
enabled = false
[pressure]
enabled = false
[disk]
discover = false
[unit]
enabled = false
[nic]
include = ["eth0", "eth1"]
[[path.isp]]
name = "isp-a"
interface = "eth0"
targets = ["10.82.1.2"]
"""
GATEWAY = """[[feed]]
name = "itch"
protocol = "moldudp64"
keys = "itch-5.0"
policy = "hot-hot"
[[feed.path]]
name = "A"
interface = "eth0"
group = "239.1.1.1:30001"
[[feed.path]]
name = "B"
interface = "eth1"
group = "239.1.2.1:30001"
"""


@needs_namespaces
class Doctor(unittest.TestCase):
    def setUp(self):
        self.desk, self.far = Namespace(self, "desk"), Namespace(self, "isp")
        for number in (0, 1):
            harness.veth(self.desk, f"eth{number}", self.far, f"peer{number}", number + 1)
        for name in ("all", "eth0", "eth1"):
            self.sysctl(f"conf/{name}/rp_filter", 0)
        self.daemon = harness.Daemon(self, "holdfast-agent", harness.AGENT_BUS + AGENT, self.desk)
        self.gateway = os.path.join(self.daemon.folder, "gateway.toml")
        with open(self.gateway, "w") as file:
            file.write(GATEWAY)

    def sysctl(self, name, value):
        harness.run(*self.desk.command("sh", "-c", f"echo '{value}' > /proc/sys/net/ipv4/{name}"))

    def doctor(self, *words):
        command = self.desk.command(harness.binary("holdfast"), "doctor", "--agent-config", self.daemon.file,
                                    "--gateway-config", self.gateway, *words)
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def findings(self, verdict="advice"):
        done = self.doctor("--json")
        document = json.loads(done.stdout)
        advice = [finding for finding in document["findings"] if finding["verdict"] == "advice"]
        self.assertEqual((done.returncode, document["ok"]), (1, False) if advice else (0, True), done.stderr)
        for finding in advice:
            self.assertTrue(finding["advice"], finding)
        return {finding["check"]: finding["what"] for finding in document["findings"] if finding["verdict"] == verdict}

    def test_an_agent_that_does_not_run_is_a_finding_and_the_rest_is_checked(self):
        found = self.findings()
        self.assertIn("agent", found)
        self.assertNotIn("reverse path", found)
        done = self.doctor()
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertIn("to do agent: the agent does not answer", done.stdout)

    def test_with_an_agent_that_may_do_all_its_checks_are_well(self):
        self.daemon.start()
        harness.health(self, self.daemon, "state/").settle("path/isp-a", "ok")
        well = self.findings("ok")
        for check in ("agent", "configuration", "subjects", "ping", "reverse path", "memberships"):
            self.assertIn(check, well)

    def test_strict_reverse_path_filters_are_found_as_the_kernel_applies_them(self):
        self.sysctl("conf/eth1/rp_filter", 1)
        self.assertIn("eth1 drops", self.findings()["reverse path"])
        self.sysctl("conf/all/rp_filter", 2)  # the higher of both holds
        self.assertNotIn("reverse path", self.findings())
        self.sysctl("conf/all/rp_filter", 1)
        done = self.doctor()
        for name in ("eth0", "eth1"):
            self.assertIn(f"net.ipv4.conf.{name}.rp_filter=2", done.stdout)

    def test_a_line_s_interface_that_is_not_there_is_found(self):
        line = '[[line]]\nfeed = "itch"\nprotocol = "moldudp64"\n'
        for name, interface in (("A", "eth0"), ("B", "eth7")):
            line += f'[[line.path]]\nname = "{name}"\ninterface = "{interface}"\ngroup = "239.1.1.1:30001"\n'
        self.daemon.configure(harness.AGENT_BUS + AGENT + line)
        self.assertIn("eth7", self.findings()["interfaces"])

    def test_a_limit_of_memberships_that_is_too_low(self):
        self.sysctl("igmp_max_memberships", 0)
        self.assertIn("fewer than the 1", self.findings()["memberships"])

    def test_an_agent_without_rights_says_why_no_path_is_watched(self):
        self.sysctl("ping_group_range", "1 0")
        self.daemon.wrap = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
        os.chmod(self.daemon.folder, 0o777)
        self.daemon.start()
        client = harness.health(self, self.daemon, "state/")
        if "cannot be sent" not in client.settle("path/isp-a", "unknown")["reason"]:
            client.wait_state("path/isp-a", lambda message: "cannot be sent" in message["reason"])
        found = self.findings()
        self.assertIn("may not send ICMP echo", found["ping"])
        self.assertIn("path/isp-a is unknown: probes cannot be sent", found["subjects"])

    def test_an_agent_that_may_not_capture_the_lines_that_it_is_to_watch(self):
        line = """[[line]]
feed = "itch"
protocol = "moldudp64"
[[line.path]]
name = "A"
interface = "eth0"
group = "239.1.1.1:30001"
"""
        self.daemon.configure(harness.AGENT_BUS + AGENT + line)
        self.daemon.wrap = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
        os.chmod(self.daemon.folder, 0o777)
        self.daemon.start()
        client = harness.health(self, self.daemon, "state/")
        if "not allowed to capture" not in client.settle("line/itch.A", "unknown")["reason"]:
            client.wait_state("line/itch.A", lambda message: "not allowed to capture" in message["reason"])
        self.assertEqual(self.findings()["lines"], "the agent may not capture: itch.A")
        self.assertIn("install the drop-in line.conf", self.doctor().stdout)
        self.daemon.stop()
        self.daemon.wrap = []
        self.daemon.start()
        harness.health(self, self.daemon, "state/").wait_state(
            "line/itch.A", lambda message: "not allowed" not in message["reason"], "a capture")
        self.assertEqual(self.findings("ok")["lines"], "the agent may capture")

    def test_a_upsd_that_is_not_there(self):
        self.daemon.configure(harness.AGENT_BUS + AGENT.replace("enabled = false", "enabled = true"))
        self.assertIn("127.0.0.1:3493 (Connection refused)", self.findings()["ups"])

    def test_a_gateway_that_does_not_run_and_one_that_cannot_journal(self):
        running = harness.Daemon(
            self, "holdfast-gateway", harness.GATEWAY_BUS + '[journal]\ndirectory = "~/file/journal"\n'
            + GATEWAY.replace('policy', 'journal = true\npolicy'), self.desk)
        self.gateway = running.file
        open(os.path.join(running.folder, "file"), "w").close()
        self.assertEqual(self.findings()["gateway"], "the gateway does not answer: no feed is delivered")
        running.start()
        health = HealthClient(self, running.endpoint("gateway.pub"), running.endpoint("gateway.req"))
        health.subscribe("state/desk/feed/itch/")
        health.wait_state("feed/itch", lambda state: "not journalled: " in state["reason"], "a journal that stopped")
        found = self.findings()
        self.assertNotIn("gateway", found)
        self.assertRegex(found["journal"], "^feed/itch: not journalled: .*Not a directory")

    def test_a_refused_configuration_is_told_with_its_line(self):
        self.daemon.configure(harness.AGENT_BUS + "[nic]\nenabeld = true\n")
        self.assertIn(":6", self.findings()["configuration"])


if __name__ == "__main__":
    unittest.main()
