"""The examples in the documents, run as they stand against real daemons."""

import os
import re
import subprocess
import sys
import unittest

import curve
import harness
import venue
from harness import AGENT_BUS, GATEWAY_BUS, Daemon, Namespace, agent, health, needs_namespaces
from test_agent_bus import QUIET, watch, write_pid
from test_gateway_itch import FEED


def text_of(path):
    with open(os.path.join(harness.ROOT, path)) as file:
        return file.read()


def example(text, section, language="python"):
    """The first block of code of a language under a heading."""
    part = re.split(rf"^#+ {section}$", text, flags=re.M)
    if len(part) < 2:
        return None
    block = re.search(rf"^```{language}\n(.*?)^```", re.split(r"^## ", part[1], flags=re.M)[0], flags=re.M | re.S)
    return block.group(1) if block else None


class README(unittest.TestCase):
    def test_the_subscriber_prints_health_and_market_data(self):
        code = example(text_of("README.md"), "Subscribe") if os.path.exists(os.path.join(harness.ROOT, "README.md")) else None
        if code is None:
            self.skipTest("README.md has no example under \"Subscribe\"")
        lines = venue.Lines(self)
        watched = harness.spawn(self, ["sleep", "86400"])
        gateway = Daemon(self, "holdfast-gateway", "")
        gateway.configure(GATEWAY_BUS + FEED % ("", lines.group("A"), lines.group("B")))
        gateway.start()
        lines.wait_heard(health(self, gateway, name="gateway"))
        daemon = Daemon(self, "holdfast-agent", "")
        daemon.configure(AGENT_BUS.replace("~", gateway.folder) + QUIET
                         + watch("algo", write_pid(gateway.folder, "algo", watched.pid)))
        daemon.start()
        reading = harness.spawn(self, [sys.executable, "-u", "-c", code, gateway.folder], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, cwd=harness.ROOT)
        self.addCleanup(reading.stdout.close)
        wanted = {"process algo ok": False, "control/itch/0/ heartbeat": False, "md/itch/HF0001/ data live": False}
        for line in reading.stdout:
            self.assertNotIn("Traceback", line)
            lines.open("HF0001") if lines.next == 1 else lines.both(lines.orders(1, "HF0001"))
            for start in wanted:
                wanted[start] |= line.startswith(start)
            if all(wanted.values()):
                return
        self.fail(f"the example ended; not seen: {[line for line, seen in wanted.items() if not seen]}")

    def test_the_configuration_examples_are_good(self):
        blocks = re.findall(r"^```toml\n(.*?)^```", text_of("README.md"), flags=re.M | re.S)
        self.assertTrue(blocks)
        folder = harness.folder_of(self)
        key, clients = os.path.join(folder, "host.key"), os.path.join(folder, "clients.toml")
        public = harness.run(harness.binary("holdfast"), "keygen", key).strip()
        harness.run(harness.binary("holdfast"), "authorize", "algo", public, "--file", clients)
        for number, block in enumerate(blocks):
            path = os.path.join(folder, f"{'gateway' if '[[feed]]' in block else 'agent'}{number}.toml")
            with open(path, "w") as file:
                file.write(f'{block}\n[curve]\nkey = "{key}"\nclients = "{clients}"\n')
            done = harness.attempt(harness.binary("holdfast"), "check-config", path)
            self.assertEqual((done.returncode, done.stderr), (0, ""))


class WireDocument(unittest.TestCase):
    def test_the_follower_tells_the_state_and_each_change(self):
        import signal
        code = example(text_of("Sources/Wire/README.md"), "Joining without a gap")
        child = harness.spawn(self, ["sleep", "86400"])
        folder = harness.folder_of(self)
        daemon = agent(self, QUIET + watch("algo", write_pid(folder, "algo", child.pid)))
        health(self, daemon, "state/").settle("process/algo", "ok")
        code += f"""
for told in follow({daemon.endpoint("agent.pub")!r}, {daemon.endpoint("agent.req")!r}, "desk"):
    print(*told, flush=True)
"""
        following = harness.spawn(self, [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True)
        self.addCleanup(following.stdout.close)
        self.assertEqual(harness.read_line(self, following.stdout), "process algo ok\n")
        os.kill(child.pid, signal.SIGKILL)
        self.assertEqual(harness.read_line(self, following.stdout), "process algo critical\n")

    @needs_namespaces
    def test_the_subscriber_beyond_the_host_prints_what_it_may_read(self):
        code = example(text_of("README.md"), "From another host")
        desk, algo = Namespace(self, "desk"), Namespace(self, "algo")
        harness.veth(desk, "to-algo", algo, "to-desk", 1)
        host, client = curve.Keys(), curve.Keys()
        watched = harness.spawn(self, ["sleep", "86400"])
        daemon = Daemon(self, "holdfast-agent", "", desk)
        folder = daemon.folder
        host.write(os.path.join(folder, "host.key"))
        client.write(os.path.join(folder, "client.key"))
        curve.write_clients(os.path.join(folder, "clients.toml"), desk2=client)
        pid_file = write_pid(folder, "algo", watched.pid)
        daemon.configure("""host = "desk"
[curve]
key = "~/host.key"
clients = "~/clients.toml"
[bus]
publish = ["tcp://10.82.1.1:5555"]
request = ["ipc://~/agent.req"]
""" + QUIET + watch("algo", pid_file))
        daemon.start()
        words = [sys.executable, "-u", "-c", code, "tcp://10.82.1.1:5555", host.public, folder + "/client.key"]
        reading = harness.spawn(self, algo.command(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(reading.stdout.close)
        for line in reading.stdout:
            self.assertNotIn("Traceback", line)
            if line.startswith("state/desk/process/algo/ ok"):
                return
        self.fail("the example ended")


if __name__ == "__main__":
    unittest.main()
