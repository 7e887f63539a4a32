"""Feeds' lines on the wire: live multicast over two veth pairs, with loss, silence, skew and drops that are known."""

import os
import re
import signal
import socket
import struct
import threading
import time
import unittest

import harness
from harness import agent, health
from test_agent_bus import QUIET
from venue import mold, mold_end, mold_heartbeat

GROUPS = {"A": ("239.1.1.1", 30001), "B": ("239.1.2.1", 30001)}

LINES = """
[[line]]
feed = "itch"
protocol = "moldudp64"
silence = "2s"
%s
[[line.path]]
name = "A"
interface = "near0"
group = "239.1.1.1:30001"
[[line.path]]
name = "B"
interface = "near1"
group = "239.1.2.1:30001"
"""


def session(opens_h, closes_h):
    """The keys of a session on every day that opens and closes so many hours from now."""
    times = [time.strftime("%H:%M", time.gmtime(time.time() + 3600 * hours)) for hours in (opens_h, closes_h)]
    days = '"mon", "tue", "wed", "thu", "fri", "sat", "sun"'
    return f'zone = "UTC", days = [{days}], hours = ["{times[0]}-{times[1]}"]'


class Venue:
    """A MoldUDP64 session on both lines: each packet goes where the test says."""

    def __init__(self, case, namespace):
        self.sockets, self.next, self.session = {}, 1, "S000000001"
        for number, line in enumerate(GROUPS):
            def opened(number=number):
                made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 4)
                made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(f"10.82.{number}.2"))
                return made
            self.sockets[line] = namespace.enter(opened)
            case.addCleanup(self.sockets[line].close)

    def send(self, packet, lines="AB"):
        for line in lines:
            self.sockets[line].sendto(packet, GROUPS[line])

    def data(self, count=1, lines="AB", delay_s=0.0):
        """The next messages as one packet; the last line gets it late."""
        packet = mold(self.session, self.next, [b"x" * 20] * count)
        self.next += count
        for index, line in enumerate(lines):
            if index and delay_s:
                until = time.monotonic() + delay_s
                while time.monotonic() < until:
                    pass
            self.send(packet, line)

    def heartbeat(self, lines="AB"):
        self.send(mold_heartbeat(self.session, self.next), lines)


@harness.needs_namespaces
class Lines(unittest.TestCase):
    def setUp(self):
        self.host, self.market = harness.Namespace(self, "host"), harness.Namespace(self, "mkt")
        for number in range(2):
            harness.veth(self.host, f"near{number}", self.market, f"far{number}", number)
        self.venue = Venue(self, self.market)

    def start(self, more="", nic=QUIET):
        self.daemon = agent(self, nic + LINES % more, self.host)
        self.client = health(self, self.daemon, "state/", "sample/desk/line/")

    def flow(self, lines="AB"):
        """Heartbeats until both lines are heard: captures are opened after the agent is ready."""
        until = time.monotonic() + harness.PATIENCE_S
        while time.monotonic() < until:
            self.venue.heartbeat(lines)
            states = self.client.states()
            if all(states[f"line/itch.{line}"]["status"] == "ok" for line in lines):
                return
        self.fail(f"the lines are not heard: {states}")

    def beat(self, lines="AB"):
        """Heartbeats in the background, each 100 ms, until the test ends or says so."""
        ends = threading.Event()

        def work():
            while not ends.wait(0.1):
                self.venue.heartbeat(lines)
        thread = threading.Thread(target=work, daemon=True)
        thread.start()

        def end():
            ends.set()
            thread.join()
        self.addCleanup(end)
        return end

    def wait_sample(self, line, condition, what):
        return self.client.wait(
            lambda message: message["topic"] == f"sample/desk/line/itch.{line}/" and condition(message["values"]),
            what)["values"]

    def test_both_flow_and_are_counted(self):
        self.start()
        self.flow()
        before = self.venue.next
        for _ in range(500):
            self.venue.data(3)
        sent = self.venue.next - before
        self.beat()
        for line in "AB":
            values = self.wait_sample(line, lambda values: values["messages"] == sent, f"all messages of {line}")
            self.assertEqual((values["gaps"], values["duplicate_messages"], values["malformed_packets"]), (0, 0, 0))
            self.assertEqual(values["packets"] - values["heartbeats"], 500)

    def test_loss_on_B_is_counted_exactly_and_A_is_well(self):
        self.start()
        self.flow()
        lost = 0
        for number in range(300):
            is_lost = number % 50 == 17
            self.venue.data(4, "A" if is_lost else "AB")
            lost += 4 if is_lost else 0
        self.beat()
        # The state is of the moment when the limit was passed, with what had been judged until then.
        state = self.client.wait_state("line/itch.B", "warning")
        told = re.fullmatch(r"([0-9]\.[0-9]{3}) % lost within 60 s: ([0-9]+) messages", state["reason"])
        self.assertIsNotNone(told, state["reason"])
        self.assertGreaterEqual(float(told[1]), 1)
        self.assertIn(int(told[2]), range(4, lost + 1, 4))
        values = self.wait_sample("B", lambda values: values["lost_messages"] == lost, "the loss of B")
        self.assertEqual((values["lost_everywhere_messages"], values["gaps"]), (0, 6))
        self.assertAlmostEqual(values["loss_ratio"], 0.02)
        self.assertEqual(self.client.states()["line/itch.A"]["status"], "ok")

    def test_silence_of_B_is_critical_while_A_flows_and_both_when_both_are(self):
        self.start()
        self.flow()
        ends = threading.Event()

        def work():
            while not ends.wait(0.02):
                self.venue.data(1, "A")
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            state = self.client.wait_state("line/itch.B", "critical")
        finally:
            ends.set()
            thread.join()
        self.assertRegex(state["reason"], "^silent for [0-9.]+ s while A is heard$")
        self.assertEqual(self.client.states()["line/itch.A"]["status"], "ok")
        state = self.client.wait_state("line/itch.A", "critical")
        self.assertIn("like every line of the feed", state["reason"])
        self.flow()
        self.venue.send(mold_end(self.venue.session, self.venue.next))
        for line in "AB":
            self.client.wait_state(f"line/itch.{line}", lambda state: state["reason"] == "the session has ended")

    def test_the_cause_of_a_silent_line_is_its_nic(self):
        self.start(nic='[nic]\ndiscover = false\ninclude = ["near1"]\n[path]\ndiscover = false\n')
        self.flow()
        self.client.settle("nic/near1", "ok")
        self.beat("A")
        self.market.link("far1").set(False)
        state = self.client.wait_state("line/itch.B", "critical")
        self.assertEqual(state["cause"], "nic/near1")

    def test_what_is_for_another_group_or_port_is_no_part_of_a_line(self):
        self.start()
        self.flow()
        before = self.wait_sample("A", lambda values: True, "a sample")
        for _ in range(2000):
            for group, port in (("239.1.1.1", 30002), ("239.1.1.9", 30001), ("10.82.0.1", 30001)):
                self.venue.sockets["A"].sendto(b"not for us", (group, port))
        self.venue.data(3)
        after = self.wait_sample("A", lambda values: values["messages"] == before["messages"] + 3, "the messages")
        for name in ("malformed_packets", "capture_dropped_packets", "gaps"):
            self.assertEqual(after[name], before[name], name)

    def test_skew_is_seen(self):
        self.start()
        self.flow()
        for _ in range(200):
            self.venue.data(2, delay_s=0.002)
        self.beat()
        values = self.wait_sample("B", lambda values: "skew_median_us" in values, "the skew of B")
        self.assertGreater(values["skew_median_us"], 1900)
        self.assertGreaterEqual(values["skew_p99_us"], values["skew_median_us"])
        self.assertEqual(values["leader"], "A")

    def test_what_the_capture_drops_is_not_the_lines_loss(self):
        """The agent is stopped while more comes in than its ring holds."""
        self.start("buffer_bytes = 524288")
        self.flow()
        self.daemon.signal(signal.SIGSTOP)
        for _ in range(20_000):
            self.venue.data(1, "B")
        for _ in range(10):
            self.venue.data(1, "A")
        self.daemon.signal(signal.SIGCONT)
        self.beat()
        state = self.client.wait_state("line/itch.B", lambda state: "the capture dropped packets" in state["reason"])
        self.assertEqual(state["status"], "unknown")
        values = self.wait_sample("B", lambda values: values["unjudged_messages"], "what is missing and not judged")
        self.assertGreater(values["capture_dropped_packets"], 1000)
        self.assertEqual((values["lost_messages"], values["lost_everywhere_messages"]), (0, 0))

    def test_a_new_session_and_garbage_disturb_nothing(self):
        self.start()
        self.flow()
        for _ in range(50):
            self.venue.data(2)
        self.venue.session, self.venue.next = "S000000002", 1
        for _ in range(50):
            self.venue.data(2)
        for _ in range(5):
            self.venue.send(os.urandom(19))
        self.beat()
        for line in "AB":
            values = self.wait_sample(line, lambda values: values["malformed_packets"] == 5, f"the garbage on {line}")
            self.assertEqual((values["messages"], values["gaps"], values["epochs"]), (200, 0, 2))

    def test_another_protocol_on_the_group_is_said(self):
        self.start()
        self.client.settle("line/itch.A", "unknown")
        ends = threading.Event()

        def work():
            while not ends.wait(0.02):
                self.venue.send(struct.pack("<HBBI", 8, 0, 1, 7))
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            self.client.wait_state(
                "line/itch.A", lambda state: "of another protocol" in state["reason"] and state["status"] == "unknown")
        finally:
            ends.set()
            thread.join()

    def test_an_interface_that_comes_later_and_goes_again(self):
        self.start("buffer_bytes = 524288")
        self.flow()
        self.host.ip("link", "del", "near1")
        state = self.client.wait_state("line/itch.B", lambda state: "near1" in state["reason"])
        self.assertEqual(state["status"], "unknown")
        self.assertEqual(self.client.states()["line/itch.A"]["status"], "ok")
        harness.veth(self.host, "near1", self.market, "far1", 1)
        self.venue = Venue(self, self.market)
        self.flow()

    def test_without_the_right_it_says_what_to_do(self):
        configuration = harness.AGENT_BUS + QUIET + LINES % ""
        self.daemon = harness.Daemon(
            self, "holdfast-agent", configuration, self.host,
            wrap=["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw"]).start()
        self.client = health(self, self.daemon, "state/")
        state = self.client.wait_state("line/itch.A", lambda state: "not allowed" in state["reason"])
        self.assertEqual(state["status"], "unknown")
        self.assertIn("CAP_NET_RAW and the unit's drop-in line.conf", state["reason"])

    def test_a_reload_takes_lines_away_and_others_stay(self):
        self.start()
        self.flow()
        change = self.client.states()["line/itch.A"]["change"]
        self.daemon.configure(harness.AGENT_BUS + QUIET + LINES % "" + (LINES % "").replace("itch", "other"))
        self.daemon.signal(signal.SIGHUP)
        self.client.wait_state("line/other.A", "unknown")
        self.assertEqual(self.client.states()["line/itch.A"]["change"], change)
        self.daemon.configure(harness.AGENT_BUS + QUIET)
        self.daemon.signal(signal.SIGHUP)
        self.client.wait_state("line/itch.A", lambda state: state.get("gone"))
        self.assertNotIn("line/itch.A", self.client.states())

    def test_outside_its_session_a_line_is_closed_and_inside_it_is_judged(self):
        self.start(f'session = {{ {session(2, 3)} }}')
        for line in "AB":
            self.assertRegex(self.client.settle(f"line/itch.{line}", "ok")["reason"], r"^closed until 20.* UTC$")
        self.venue.data(5)
        self.wait_sample("A", lambda values: values["messages"] == 5, "what is counted all the same")
        text = harness.AGENT_BUS + QUIET + LINES % f'session = {{ {session(-2, 2)} }}'
        self.daemon.configure(text)
        self.daemon.signal(signal.SIGHUP)
        self.client.wait_state("line/itch.B", "unknown")
        self.flow()
        self.client.wait_state("line/itch.B", "critical")


if __name__ == "__main__":
    unittest.main()
