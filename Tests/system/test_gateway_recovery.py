"""What every path of a MoldUDP64 feed lost is asked for again at the venue's re-request servers."""

import os
import random
import signal
import subprocess
import unittest

import harness
import venue
from harness import GATEWAY_BUS, Daemon, HealthClient, MarketClient, Namespace, Order, needs_namespaces
from test_gateway_itch import FEED, SYMBOLS

RECOVER = """reorder_time = "5ms"
[feed.recover]
servers = [%s]
%s
"""


class Case(unittest.TestCase):
    limits, options = "", ""

    def setUp(self):
        self.lines = venue.Lines(self)
        self.servers = [venue.ReRequests(self, self.lines) for _ in range(self.count)]
        servers = ", ".join(f'"{server.url}"' for server in self.servers)
        text = GATEWAY_BUS + '[journal]\ndirectory = "~/journal"\n' + FEED % (self.options + RECOVER % (servers, self.limits), self.lines.group("A"), self.lines.group("B"))
        self.daemon = Daemon(self, "holdfast-gateway", text).start()
        self.health = HealthClient(self, self.daemon.endpoint("gateway.pub"), self.daemon.endpoint("gateway.req"))
        self.client = MarketClient(self, self.daemon.endpoint("gateway.md"), "itch", everything=True)
        self.client.sync()
        self.lines.wait_heard(self.health)
        self.order = Order(per_topic=False)
        self.keep(self.lines.packet(*(venue.directory(number, symbol) for number, symbol in enumerate(SYMBOLS, 1))), "AB")
        self.client.wait_live()

    count = 1

    def keep(self, packet, lines):
        """The servers keep a packet, and it is sent on these lines."""
        for server in self.servers:
            server.keep(packet)
        for line in lines:
            self.lines.send(line, packet)

    def orders(self, lines, count=3):
        self.keep(self.lines.orders(count, *SYMBOLS), lines)

    def end(self):
        last = self.lines.next
        self.orders("AB", 1)
        received = self.client.until(
            lambda message: message["kind"] == "data" and message["sequence"] >= last, f"sequence {last}")
        for message in received:
            self.order.take(message)
        return received

    def values(self):
        return self.health.states()["feed/itch"]["values"]

    def wait_values(self, condition, what):
        """Waits for a state of the feed whose figures meet a condition."""
        self.health.subscribe("state/desk/feed/itch/")
        values = self.values()
        if not condition(values):
            values = self.health.wait_state("feed/itch", lambda state: condition(state["values"]), what)["values"]
        return values


class Recovery(Case):
    def test_what_both_lines_lost_is_recovered_and_delivered_in_order(self):
        chance = random.Random(4)
        for _ in range(400):
            self.orders([line for line in "AB" if chance.random() >= 0.2])
        received = self.end()
        self.assertEqual((self.order.faults, self.order.missing), ([], 0))
        numbers = [message["sequence"] for message in received if message["kind"] == "data"]
        self.assertEqual(numbers, list(range(numbers[0], self.lines.next)))
        recovered = [message for message in received if message["kind"] == "data" and message["path"] is None]
        self.assertTrue(recovered, "some were lost on both lines")
        self.wait_values(lambda values: values["recovered"] == len(recovered), "as many counted")

    def test_the_channel_says_recovering_until_an_answer_comes(self):
        server = self.servers[0]
        server.reply = lambda *request: None
        self.orders([])
        self.orders("AB")
        self.client.wait_channel("recovering")
        server.reply = server.answer
        self.client.wait_channel("live")
        self.end()
        self.assertEqual((self.order.faults, self.order.missing), ([], 0))

    def test_a_wide_hole_is_asked_for_until_it_is_filled(self):
        for _ in range(100):
            self.orders([])
        self.orders("AB")
        self.end()
        self.assertEqual((self.order.faults, self.order.missing), ([], 0))
        asked = [(first, count) for _, first, count in self.servers[0].requests]
        self.assertGreaterEqual(len(asked), 300 // self.servers[0].most)

    def test_a_loss_that_only_one_line_has_asks_nobody(self):
        for number in range(300):
            self.orders("AB"[number % 2])
        self.end()
        self.assertEqual((self.order.faults, self.order.missing, self.servers[0].requests), ([], 0, []))


class Restarted(Case):
    """A gateway that goes on where its journal ends."""

    options = 'journal = true\nstart = "journal"\n'

    def away(self, meanwhile):
        """Orders, a gateway that is killed, what comes meanwhile, and the gateway again."""
        self.orders("AB", 30)
        last = self.lines.next - 1
        for message in self.client.until(lambda message: message["sequence"] == last, f"sequence {last}"):
            self.order.take(message)
        self.health.subscribe("state/desk/feed/itch/")
        self.wait_values(lambda values: values["journal_sequence"] == last, "all of it in the journal")
        self.daemon.signal(signal.SIGKILL)
        self.daemon.wait_exit()
        meanwhile()
        self.daemon.start()
        self.health = HealthClient(self, self.daemon.endpoint("gateway.pub"), self.daemon.endpoint("gateway.req"))
        self.client = MarketClient(self, self.daemon.endpoint("gateway.md"), "itch", everything=True)
        self.client.sync()
        return last

    def first(self):
        """Where the run says that its knowledge begins."""
        return self.client.wait(lambda message: message["kind"] == "heartbeat" and message["told"]["first"],
                                "a heartbeat")["told"]["first"]

    def test_what_came_meanwhile_is_asked_for_and_delivered(self):
        last = self.away(lambda: [self.orders("AB") for _ in range(100)])
        self.lines.wait_heard(self.health)
        received = self.end()
        self.assertEqual(self.first(), last + 1)
        self.assertEqual((self.order.faults, self.order.missing), ([], 0))
        numbers = [message["sequence"] for message in received if message["kind"] == "data"]
        self.assertEqual(numbers, list(range(last + 1, self.lines.next)))

    def test_what_nobody_has_any_more_is_an_exact_gap(self):
        def meanwhile():
            self.orders("AB", 10)
            self.servers[0].messages.clear()
        last = self.away(meanwhile)
        self.lines.wait_heard(self.health)
        self.end()
        self.assertEqual(self.first(), last + 1)
        self.assertEqual((self.order.faults, self.order.missing), ([], 10))

    def test_too_much_is_not_asked_for(self):
        def meanwhile():
            self.lines.next += 1_000_000
        last = self.away(meanwhile)
        self.order = Order(per_topic=False)  # what is missing before `first` is for the client to tell
        self.lines.wait_heard(self.health)
        self.end()
        self.assertEqual(self.first(), last + 1_000_001)
        self.assertEqual((self.order.faults, self.order.missing, self.servers[0].requests), ([], 0, []))


class DeadServer(Case):
    limits = 'within = "300ms"\nanswer_within = "50ms"'

    def test_the_exact_gap_is_told_at_the_deadline_and_the_rest_goes_on(self):
        self.servers[0].reply = lambda *request: None
        first = self.lines.next
        self.orders([], 4)
        self.orders("AB")
        received = self.end()
        gaps = [(message["told"]["first"], message["told"]["last"]) for message in received if message["kind"] == "gap"]
        self.assertEqual(gaps, [(first, first + 3)])
        self.assertEqual((self.order.faults, self.order.missing), ([], 4))
        values = self.wait_values(lambda values: values["recovery_unanswered"] > 0, "requests without an answer")
        self.assertEqual(values["gaps"], 4)
        self.daemon.wait_log("were not answered")

    def test_nobody_listening_is_no_different(self):
        self.servers[0].close()
        self.orders([], 2)
        self.orders("AB")
        self.end()
        self.assertEqual((self.order.faults, self.order.missing), ([], 2))

    def test_garbage_and_other_sessions_are_counted_and_disturb_nothing(self):
        server = self.servers[0]
        stranger = venue.ReRequests(self, self.lines)
        replies = [b"", os.urandom(5), os.urandom(1000), b"garbage" * 40]

        def hostile(session, first, count):
            number = len(server.requests) % 7
            if number < 4:
                return replies[number]
            if number == 4:
                return venue.mold("OTHER", first, [venue.add_order(1, 1, "ALFA")] * count)
            if number == 5:
                return venue.mold(session, first + 1_000_000, [venue.add_order(1, 1, "ALFA")])
            return venue.mold_heartbeat(session, first)
        server.reply = hostile
        for _ in range(20):
            self.orders([], 2)
            self.orders("AB", 2)
            # Somebody else answers, too: it is not even read.
            for _, first, _ in server.requests[-1:]:
                stranger.socket.sendto(venue.mold(self.lines.session, first, [b"forged"]), server.client)
        received = self.end()
        self.assertEqual(self.order.faults, [])
        self.assertEqual(len({message["epoch"] for message in received if message["kind"] == "data"}), 1)
        self.assertFalse([message for message in received if message["body"] == b"forged"])
        values = self.wait_values(lambda values: "recovery_refused_truncated" in values, "refused answers")
        self.assertTrue(self.daemon.is_running())
        self.assertEqual(values["epochs"], 0)


class TwoServers(Case):
    count = 2
    limits = 'answer_within = "50ms"'

    def test_a_dead_server_is_passed_over_for_the_next(self):
        self.servers[0].reply = lambda *request: None
        for _ in range(20):
            self.orders([], 2)
            self.orders("AB")
        self.end()
        self.assertEqual((self.order.faults, self.order.missing), ([], 0))
        self.assertTrue(self.servers[1].requests)


@needs_namespaces
class Play(unittest.TestCase):
    """`holdfast play` serves two multicast groups that lose packets, and what it has played."""

    def test_a_subscriber_of_two_lossy_lines_sees_no_gap(self):
        desk, market = Namespace(self, "desk"), Namespace(self, "venue")
        for number, name in enumerate("ab", 1):
            harness.veth(desk, f"isp-{name}", market, f"to-{name}", number)
        groups = {"A": "239.82.1.1:30001", "B": "239.82.1.2:30001"}
        text = GATEWAY_BUS + '[journal]\ndirectory = "~/journal"\n' + FEED % (RECOVER % ('"udp://10.82.1.2:18000"', 'requests_per_second = 1000'),
                             groups["A"] + '"\ninterface = "isp-a', groups["B"] + '"\ninterface = "isp-b')
        daemon = Daemon(self, "holdfast-gateway", text, desk).start()
        client = MarketClient(self, daemon.endpoint("gateway.md"), "itch", everything=True)
        client.sync()
        words = [harness.binary("holdfast"), "play", "--generate", "itch", "--symbols", "500", "--rate", "5000",
                 "--seed", "1", "--drop", "0.05", "--mold-requests", "10.82.1.2:18000"]
        for name, group in groups.items():
            words += ["--mold", f"{group}@to-{name.lower()}"]
        harness.spawn(self, market.command(*words), stderr=subprocess.DEVNULL)
        order = Order(per_topic=False)
        client.wait(lambda message: order.take(message) or order.delivered >= 30_000, "30,000 messages", 60)
        self.assertEqual((order.faults, order.missing), ([], 0))
        health = HealthClient(self, daemon.endpoint("gateway.pub"), daemon.endpoint("gateway.req"))
        values = health.states()["feed/itch"]["values"]
        self.assertGreater(values["recovered"], 0)
        self.assertEqual(values["gaps"], 0)


if __name__ == "__main__":
    unittest.main()
