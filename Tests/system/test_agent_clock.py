"""The clock: Debian's real chronyd in a network namespace, with its hands off the clock, and a clock that is set."""

import os
import shutil
import socket
import tempfile
import time
import unittest

import harness
from harness import agent, health
from test_agent_bus import QUIET

PORT = 3323
CONFIGURATION = QUIET.replace("[clock]\nenabled = false\n", "") + f"""[clock]
poll_every = "100ms"
unsynchronised_for = "500ms"
step_least = "0s"
step_stands = "1s"
chrony_port = {PORT}
"""


def find_chronyd():
    """Debian's chronyd. Installing the package would put it in the place of the host's own time service, so the
    package is only unpacked."""
    if installed := shutil.which("chronyd", path="/usr/sbin:/usr/local/sbin"):
        return installed
    folder = os.path.join(harness.ROOT, ".build/chrony")
    program = os.path.join(folder, "usr/sbin/chronyd")
    if not os.path.exists(program) and shutil.which("apt-get"):
        with tempfile.TemporaryDirectory() as download:
            os.chmod(download, 0o755)
            got = harness.attempt("apt-get", "download", "chrony", cwd=download)
            for name in os.listdir(download) if got.returncode == 0 else []:
                harness.attempt("dpkg-deb", "-x", os.path.join(download, name), folder)
    return program if os.path.exists(program) else None


CHRONYD = find_chronyd()
needs_chronyd = unittest.skipUnless(CHRONYD, "needs Debian's chrony, to be downloaded by apt-get")


@needs_chronyd
@harness.needs_namespaces
class RealChronyd(unittest.TestCase):
    def setUp(self):
        self.namespace = harness.Namespace(self, "clock")
        self.folder = harness.folder_of(self)

    def chronyd(self, name, *lines):
        """A chronyd that leaves the clock alone (-x)."""
        file = os.path.join(self.folder, f"{name}.conf")
        with open(file, "w") as conf:
            conf.write("\n".join([*lines, "bindcmdaddress /", f"pidfile {self.folder}/{name}.pid", ""]))
        log = open(os.path.join(self.folder, f"{name}.log"), "w")
        child = harness.spawn(
            self, self.namespace.command(CHRONYD, "-d", "-x", "-u", "root", "-f", file), stdout=log, stderr=log)
        log.close()
        return child

    def server(self):
        return self.chronyd("server", "local stratum 8", "allow 127.0.0.1", "port 3123", "cmdport 0")

    def client(self):
        return self.chronyd(
            "client", "server 127.0.0.1 port 3123 iburst minpoll -4 maxpoll -4", "port 0", f"cmdport {PORT}")

    def agent(self, more=""):
        self.daemon = agent(self, CONFIGURATION + more, self.namespace)
        self.health = health(self, self.daemon, "state/", "sample/")

    def wait(self, status, reason):
        return self.health.wait_state(
            "clock/system", lambda state: state["status"] == status and reason in state["reason"], f"{status} {reason}")

    def test_a_chronyd_that_follows_another(self):
        self.server()
        self.client()
        self.agent()
        state = self.wait("ok", "chrony follows 127.0.0.1")
        values = state["values"]
        self.assertEqual(values["stratum"], 9)
        self.assertEqual(values["reference_id"], "7F000001")
        self.assertIs(values["synchronised"], True)
        self.assertLess(abs(values["offset_s"]), values["error_bound_s"])
        sample = self.health.wait(
            lambda message: message["topic"].startswith("sample/desk/clock/"), "a sample of the clock")
        self.assertIn("root_dispersion_s", sample["values"])

    def test_a_chronyd_that_dies_and_comes_back(self):
        self.server()
        child = self.client()
        self.agent()
        self.wait("ok", "chrony follows 127.0.0.1")
        child.kill()
        child.wait(harness.PATIENCE_S)
        self.wait("warning", "chronyd no longer answers")
        self.client()
        self.wait("ok", "chrony follows 127.0.0.1")

    def test_a_chronyd_that_hangs(self):
        self.server()
        child = self.client()
        self.agent()
        self.wait("ok", "chrony follows 127.0.0.1")
        os.kill(child.pid, 19)  # SIGSTOP
        self.wait("warning", "chronyd no longer answers")
        os.kill(child.pid, 18)
        self.wait("ok", "chrony follows 127.0.0.1")

    def test_a_chronyd_that_follows_nobody(self):
        self.chronyd("alone", "local stratum 8", "port 0", f"cmdport {PORT}")
        self.agent()
        self.wait("warning", "follows only this host's own clock")

    def test_the_laws_class(self):
        self.server()
        self.client()
        self.agent('class = "rts25-hft"\nerror_bound = { warning = 1e-9, dwell = "0s" }\n')
        self.wait("warning", "from UTC (rts25-hft)")

    def test_somebody_else_on_the_port(self):
        def bind():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind(("127.0.0.1", PORT))
            return sock
        stranger = self.namespace.enter(bind)
        self.addCleanup(stranger.close)
        self.agent()
        stranger.settimeout(harness.PATIENCE_S)
        question, peer = stranger.recvfrom(2048)
        self.assertEqual(len(question), 104)
        for answer in (b"", b"x", os.urandom(104), b"\6\2\0\0" + os.urandom(100), question):
            stranger.sendto(answer, peer)
        self.daemon.wait_log("no reply")
        self.assertTrue(self.daemon.is_running())
        self.assertEqual(self.daemon.stop(), 0)


class ClockThatIsSet(unittest.TestCase):
    @unittest.skipUnless(os.geteuid() == 0, "needs root, to set the clock to what it is")
    def test_a_step_is_told(self):
        daemon = agent(self, CONFIGURATION.replace('poll_every = "100ms"', 'poll_every = "1h"'))
        client = health(self, daemon, "state/")
        # Before this there is no earlier time to compare with.
        client.join()
        before = client.states()["clock/system"]["values"]["steps"]
        # The same time again: for the kernel the clock was set, by the moment between the two calls.
        time.clock_settime_ns(time.CLOCK_REALTIME, time.clock_gettime_ns(time.CLOCK_REALTIME))
        state = client.wait_state("clock/system", lambda state: "was set by" in state["reason"], "a step")
        self.assertEqual(state["values"]["steps"], before + 1)
        self.assertLess(abs(state["values"]["last_step_s"]), 0.1)
        client.wait_state("clock/system", lambda state: "was set by" not in state["reason"], "the end of the step")


if __name__ == "__main__":
    unittest.main()
