"""Lines by UDP as the kernel has them: which sender is heard on which NIC, when a packet came, what was dropped, and a
NIC that is taken out and put in again."""

import signal
import socket
import time
import unittest

import harness
import venue
from harness import GATEWAY_BUS, Daemon, HealthClient, MarketClient, Namespace, needs_namespaces
from test_gateway_itch import SYMBOLS
from test_gateway_itch import Case as TwoLines

SESSION, GROUP = "S000000001", ("239.82.7.1", 30001)


@needs_namespaces
class Case(unittest.TestCase):
    """A line from one of several addresses of the venue, into a namespace with two links."""

    path, number = "", 1

    def setUp(self):
        self.desk, self.market = Namespace(self, "desk"), Namespace(self, "venue")
        harness.veth(self.desk, "isp-a", self.market, "to-a", 1)
        harness.veth(self.desk, "isp-b", self.market, "to-b", 2)
        self.prepare()
        text = GATEWAY_BUS + ('[[feed]]\nname = "itch"\nprotocol = "moldudp64"\npolicy = "hot-hot"\n[[feed.path]]\n'
                              f'name = "A"\ngroup = "{GROUP[0]}:{GROUP[1]}"\ninterface = "isp-a"\n{self.path}\n')
        self.daemon = Daemon(self, "holdfast-gateway", text, self.desk).start()
        self.client = MarketClient(self, self.daemon.endpoint("gateway.md"), "itch", everything=True)
        self.client.sync()
        self.health = HealthClient(self, self.daemon.endpoint("gateway.pub"), self.daemon.endpoint("gateway.req"),
                                   "state/desk/feed-path/")
        self.next = 1

    def prepare(self):
        pass

    def sender(self, address, through="10.82.1.2"):
        def opened():
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind((address, 0))
            made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 4)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(through))
            return made
        made = self.market.enter(opened)
        self.addCleanup(made.close)
        return made

    def say(self, sender):
        """The next packet, heard or not."""
        sender.sendto(venue.mold(SESSION, self.next, [venue.add_order(1, self.next, SYMBOLS[0])]), GROUP)
        self.next += 1

    def wait_heard(self, says):
        for _ in self.client.messages():
            says()
            if self.health.states().get("feed-path/itch.A", {}).get("status") == "ok":
                return
        self.fail(f"the line is not heard; {self.daemon.log()}")

    def heard(self, sender):
        """The first of what is said from now on that is heard."""
        first = self.next
        while True:
            self.say(sender)
            message = self.client.wait(lambda message: message["kind"] == "data" or message["kind"] == "heartbeat", "a word")
            if message["kind"] == "data" and message["sequence"] >= first:
                return message["sequence"]


class OneSender(Case):
    path = 'source = "10.82.1.3"'

    def prepare(self):
        self.market.ip("addr", "add", "10.82.1.3/24", "dev", "to-a")
        self.market.ip("addr", "add", "10.82.1.4/24", "dev", "to-a")

    def test_only_the_sender_that_was_named_is_heard(self):
        right, wrong = self.sender("10.82.1.3"), self.sender("10.82.1.4")
        sent = 0

        def say():
            nonlocal sent
            wrong.sendto(venue.mold("SOMEBODY", 1, [b"S" + bytes(11)]), GROUP)
            right.sendto(venue.mold_heartbeat(SESSION, self.next), GROUP)
            sent += 1
        self.wait_heard(say)
        for _ in range(20):
            say()
        self.heard(right)
        samples = HealthClient(self, self.daemon.endpoint("gateway.pub"), self.daemon.endpoint("gateway.req"),
                               "sample/desk/feed-path/")
        counted = samples.wait(lambda message: message["values"]["messages"] > 0, "a sample")["values"]["packets"]
        self.assertGreater(counted, 20)
        self.assertLessEqual(counted, sent + self.next - 1, "what the other one sent is counted as well")


class NoAddress(OneSender):
    """The NIC has no IPv4 address, and groups are routed by the other one."""

    def prepare(self):
        super().prepare()
        self.desk.ip("addr", "flush", "dev", "isp-a")
        self.desk.ip("route", "add", "224.0.0.0/4", "dev", "isp-b")
        for name in ("all", "isp-a"):
            harness.run(*self.desk.command("sysctl", "-qw", f"net.ipv4.conf.{name}.rp_filter=0"))


class Replaced(Case):
    def test_a_NIC_that_is_taken_out_and_put_in_again_is_listened_on_again(self):
        sender = self.sender("10.82.1.2")
        self.wait_heard(lambda: sender.sendto(venue.mold_heartbeat(SESSION, self.next), GROUP))
        self.heard(sender)
        self.desk.ip("link", "del", "isp-a")
        state = self.health.wait_state("feed-path/itch.A", lambda state: "isp-a" in state["reason"], "the NIC is gone")
        self.assertEqual(state["status"], "critical")
        harness.run("ip", "link", "add", "isp-a", "netns", self.desk.name, "type", "veth",
                    "peer", "name", "to-a", "netns", self.market.name)
        self.market.ip("addr", "add", "10.82.1.2/24", "dev", "to-a")
        self.market.ip("link", "set", "to-a", "up")
        self.desk.ip("addr", "add", "10.82.1.1/24", "dev", "isp-a")
        self.desk.ip("link", "set", "isp-a", "up")
        again = self.sender("10.82.1.2")
        self.wait_heard(lambda: again.sendto(venue.mold_heartbeat(SESSION, self.next), GROUP))
        self.heard(again)
        values = self.health.states()["feed-path/itch.A"]["values"]
        self.assertGreaterEqual(values["connects"], 2)
        self.assertGreaterEqual(values["attempts"], values["connects"])


class Gone(Case):
    """A NIC that is not there."""

    path = ""

    def prepare(self):
        self.desk.ip("link", "del", "isp-a")

    def test_a_NIC_that_is_not_there_is_tried_again_and_again_and_it_shows(self):
        samples = HealthClient(self, self.daemon.endpoint("gateway.pub"), self.daemon.endpoint("gateway.req"),
                               "sample/desk/feed-path/")
        for tried in (1, 3):
            samples.wait(lambda message: message["values"].get("attempts", 0) > tried
                         and message["values"]["retry_after_s"] > 0, "attempts")
        self.assertIn("isp-a", self.health.states()["feed-path/itch.A"]["reason"])


class HeldUp(TwoLines):
    """The gateway is held up while packets come."""

    options = 'silence = "1h"\nsilence_behind_twin = "1h"'

    def setUp(self):
        super().setUp()
        self.open()

    def stop(self):
        self.daemon.signal(signal.SIGSTOP)
        self.addCleanup(self.daemon.signal, signal.SIGCONT)


class Stopped(HeldUp):
    def test_when_a_packet_came_is_the_kernel_s_word(self):
        self.stop()
        sequence, before = self.lines.next, time.time_ns()
        self.lines.both(self.orders(1))
        after = time.time_ns()
        self.daemon.signal(signal.SIGCONT)
        message = self.client.wait(
            lambda message: message["kind"] == "data" and message["sequence"] == sequence, "the packet")
        self.assertLess(before, message["receive_time"])
        self.assertLess(message["receive_time"], after, "when the gateway read it, or later")

    def test_what_the_kernel_drops_is_counted_apart_and_exactly(self):
        self.stop()
        packet, flood = venue.mold("SOMEBODY", 1, [bytes(1400)]), 40_000
        for _ in range(flood):
            self.lines.send("A", packet)
        self.daemon.signal(signal.SIGCONT)
        samples = HealthClient(self, self.daemon.endpoint("gateway.pub"), self.daemon.endpoint("gateway.req"),
                               "sample/desk/feed-path/itch.A/")
        samples.sync()
        # The count comes with the next packet.
        def counted(message):
            self.lines.send("A", venue.mold_heartbeat(self.lines.session, self.lines.next))
            return message["values"]["packets_dropped_by_kernel"] > 0
        values = samples.wait(counted, "packets that were dropped")["values"]
        self.assertGreater(values["packets"], 1000)
        self.assertGreaterEqual(values["packets"] + values["packets_dropped_by_kernel"], flood)
        self.assertLess(values["packets_dropped_by_kernel"], flood)


class StoppedForLong(HeldUp):
    """Longer than what came is fresh."""

    options = HeldUp.options + '\nfreshness = "500ms"'

    def data(self, sequence):
        return self.client.wait(
            lambda message: message["kind"] == "data" and message["sequence"] == sequence, f"number {sequence}")

    def test_what_waited_meanwhile_is_not_called_live(self):
        self.stop()
        first = self.lines.next
        for _ in range(3):
            self.lines.both(self.orders(1))
        time.sleep(1)  # twice as long as it is fresh
        self.daemon.signal(signal.SIGCONT)
        self.assertEqual([self.data(first + place)["state"] for place in range(3)], ["stale"] * 3)
        self.lines.both(self.orders(1))
        self.assertEqual(self.data(first + 3)["state"], "live")


if __name__ == "__main__":
    unittest.main()
