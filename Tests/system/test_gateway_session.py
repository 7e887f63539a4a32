"""A gateway that starts in the middle of a session and is to have all of it: `start = "session"`."""

import collections
import signal
import subprocess
import time
import unittest

import harness
import venue
from harness import (
    GATEWAY_BUS, Daemon, HealthClient, MarketClient, Namespace, Order, binary, needs_namespaces, reader)
from test_gateway_itch import FEED, SYMBOLS

START = """start = "session"
start_messages = %d
[feed.recover]
servers = ["%s"]
requests_per_second = 2000
"""

DESK = GATEWAY_BUS + """[[feed]]
name = "copy"
protocol = "holdfast"
upstream = "itch"
policy = "hot-hot"
[[feed.path]]
name = "A"
endpoint = "%s"
"""


class Session(unittest.TestCase):
    def setUp(self):
        self.lines = venue.Lines(self)
        self.server = venue.ReRequests(self, self.lines)
        self.send(self.lines.packet(
            *(venue.directory(number, symbol) for number, symbol in enumerate(SYMBOLS, 1))), "")
        for _ in range(1000):
            self.send(self.lines.orders(20, *SYMBOLS), "")

    def send(self, packet, lines="AB"):
        self.server.keep(packet)
        for line in lines:
            self.lines.send(line, packet)

    def configuration(self, most, more=""):
        return GATEWAY_BUS + '[journal]\ndirectory = "~/journal"\n' + FEED % (
            more + START % (most, self.server.url), self.lines.group("A"), self.lines.group("B"))

    def start(self, most):
        self.run_gateway(self.configuration(most))

    def run_gateway(self, text):
        self.daemon = Daemon(self, "holdfast-gateway", text).start()
        self.client = MarketClient(self, self.daemon.endpoint("gateway.md"), "itch", everything=True)
        self.client.sync()
        self.health = HealthClient(self, self.daemon.endpoint("gateway.pub"), self.daemon.endpoint("gateway.req"))
        self.order = Order(per_topic=False)

    def test_all_of_it_comes_in_order_while_the_venue_goes_on_and_then_the_feed_is_live(self):
        self.start(100_000)
        received, live = [], []
        while not live:
            self.send(self.lines.orders(5, *SYMBOLS))
            for message in self.client.messages(0.02):
                received.append(message)
                if message["kind"] == "state" and message["state"] == "live":
                    live.append(message)
        last = self.lines.next - 1
        self.send(self.lines.orders(1, *SYMBOLS))
        received += self.client.until(
            lambda message: message["kind"] == "data" and message["sequence"] > last, f"sequence {last + 1}")
        for message in received:
            self.order.take(message)
        self.assertEqual((self.order.faults, self.order.missing), ([], 0))
        data = [message for message in received if message["kind"] == "data"]
        self.assertEqual([message["sequence"] for message in data], list(range(1, last + 2)))
        recovered = [message for message in data if message["path"] is None]
        seen = collections.Counter(message["path"] for message in data)
        self.assertGreater(
            len(recovered), 20_000,
            f"by path {dict(seen)}, {len(self.server.requests)} requests to port {self.server.port}, the first "
            f"{self.server.requests[:3]}, lines {self.lines.ports}, from {data[0]} to {data[-1]}")
        self.assertTrue(all("recovering" in message["flags"] for message in recovered))
        self.assertEqual({message["topic"] for message in data if message["body"][:1] == b"A"},
                         {f"md/itch/{symbol}/" for symbol in SYMBOLS})
        self.health.subscribe("sample/desk/feed")
        done = self.health.wait(lambda message: message["kind"] == "feed" and message["values"]["recovered"]
                                and "behind_messages" not in message["values"], "a feed that is not behind")
        self.assertEqual(done["values"]["gaps"], 0)
        for path in "AB":
            line = self.health.wait(lambda message: message["name"] == f"itch.{path}", f"figures of {path}")
            self.assertEqual(line["values"]["missed"], 0)

    def test_what_it_sends_of_the_past_is_not_live_either_at_a_gateway_that_takes_its_feed(self):
        self.start(100_000)
        desk = Daemon(self, "holdfast-gateway", DESK % self.daemon.endpoint("gateway.md")).start()
        client = MarketClient(self, desk.endpoint("gateway.md"), "copy", everything=True)
        client.sync()
        health = HealthClient(self, desk.endpoint("gateway.pub"), desk.endpoint("gateway.req"))
        health.subscribe("state/")
        health.settle("feed-path/copy.A", "ok")
        past, is_live = [], False
        while not is_live:
            self.send(self.lines.orders(5, *SYMBOLS))
            for message in client.messages(0.02):
                is_live = is_live or message["kind"] == "state" and message["state"] == "live"
                past += [message] if message["kind"] == "data" and not is_live else []
        self.assertGreater(len(past), 20_000)
        self.assertEqual([message["sequence"] for message in past], list(range(1, len(past) + 1)))
        self.assertTrue(all("recovering" in message["flags"] for message in past))

    def follow(self, position, condition, what, sends=True):
        """Sends orders until a message meets the condition; returns the new data, and what is missing."""
        new, missing, found = [], [], False
        while not found:
            if sends:
                self.send(self.lines.orders(5, *SYMBOLS))
            for message in self.client.messages(0.02) if sends else self.client.until(condition, what):
                is_new, lost = position.take(message["topic"], message, message["told"])
                new += [message["sequence"]] if is_new else []
                missing += lost
                found = found or condition(message)
        return new, missing

    def test_a_client_has_nothing_twice_and_misses_nothing_when_a_gateway_without_a_journal_begins_again(self):
        position = reader.Position()
        # As if this session were as long as a day's.
        self.addCleanup(setattr, reader.Position, "OVERLAP", reader.Position.OVERLAP)
        reader.Position.OVERLAP = 1000
        self.start(100_000)

        def is_live(message):
            return message["kind"] == "state" and message["state"] == "live"
        new, missing = self.follow(position, is_live, "a live feed")
        self.daemon.signal(signal.SIGKILL)
        self.daemon.wait_exit()
        self.daemon.start()
        run = self.health.status()["incarnation"] % 2**32

        def is_there(message):
            return message["run"] == run
        for more in (self.follow(position, is_there, "the next run", sends=False),
                     self.follow(position, is_live, "a live feed again")):
            new, missing = new + more[0], missing + more[1]
        self.assertEqual(missing, [])
        self.assertEqual(new, list(range(1, new[-1] + 1)))
        self.assertGreater(new[-1], 20_000)

    def test_what_an_earlier_run_did_not_have_is_asked_for_too_if_it_had_no_directory(self):
        journalled = self.configuration(100_000, "journal = true\n")
        self.run_gateway(journalled.replace('start = "session"', 'start = "now"'))
        self.lines.wait_heard(self.health)
        self.send(self.lines.orders(5, *SYMBOLS))
        last = self.lines.next - 1
        self.client.wait(lambda message: message["kind"] == "data" and message["sequence"] == last, f"{last}")
        self.daemon.stop()
        self.daemon.configure(journalled)
        self.daemon.start()
        self.client = MarketClient(self, self.daemon.endpoint("gateway.md"), "itch", everything=True)
        self.client.sync()
        data, is_live = [], False
        while not is_live:
            self.send(self.lines.orders(5, *SYMBOLS))
            for message in self.client.messages(0.02):
                data += [message["sequence"]] if message["kind"] == "data" else []
                is_live = is_live or message["kind"] == "state" and message["state"] == "live"
        self.assertEqual(data, list(range(1, data[-1] + 1)))
        self.daemon.stop()
        folder = f"{self.daemon.folder}/journal"
        checked = subprocess.run([binary("holdfast"), "verify", folder], capture_output=True, text=True, timeout=60)
        self.assertEqual((checked.returncode, "whole" in checked.stdout), (0, True), checked.stdout + checked.stderr)
        self.daemon.start()

        def ask(request):
            return self.health.dealer.send(request) or self.health.dealer.recv_multipart()
        epoch = message["epoch"]
        repaired = [reader.read(frame)[1] for frame in reader.repair(ask, "itch", epoch, last - 10, last)]
        self.assertEqual({header["sequence"] for header in repaired if header["kind"] == "data"},
                         set(range(last - 10, last + 1)))

    def test_one_that_is_too_far_ahead_is_taken_from_where_it_is(self):
        self.start(1000)
        first = self.lines.next
        self.lines.wait_heard(self.health)
        self.daemon.wait_log(f"messages ahead, more than start_messages (1000): it is taken from {first} on")
        self.assertEqual(self.server.requests, [])


@needs_namespaces
class Ports(unittest.TestCase):
    """A host that has no more ports to give than three feeds need, and some of them are for their lines."""

    NAMES = ("one", "two", "three")

    def setUp(self):
        self.host, first = Namespace(self, "ports"), 30_000
        self.lines, self.servers, text = {}, {}, GATEWAY_BUS
        for number, name in enumerate(self.NAMES):
            lines = self.lines[name] = self.host.enter(lambda: venue.Lines(self))
            lines.socket.bind(("127.0.0.1", 0))
            lines.ports = {"A": first + 2 * number, "B": first + 2 * number + 1}
            server = self.servers[name] = self.host.enter(lambda: venue.ReRequests(self, lines))
            feed = FEED % (START % (1000, server.url), lines.group("A"), lines.group("B"))
            text += feed.replace('name = "itch"', f'name = "{name}"')
        last = first + 3 * len(self.NAMES) - 1
        harness.run(*self.host.command("sysctl", "-qw", f"net.ipv4.ip_local_port_range={first} {last}"))
        self.daemon = Daemon(self, "holdfast-gateway", text, self.host).start()

    def test_what_is_sent_again_comes_to_who_asked_for_it_and_to_no_line(self):
        for name, lines in self.lines.items():
            for _ in range(10):
                self.servers[name].keep(lines.orders(5, *SYMBOLS))
            self.wait_asked(name)
        ports = [server.client[1] for server in self.servers.values()]
        lines = [port for lines in self.lines.values() for port in lines.ports.values()]
        self.assertEqual(len({*ports, *lines}), 9, f"the feeds ask from {ports}, and their lines are {lines}")
        health = HealthClient(self, self.daemon.endpoint("gateway.pub"), self.daemon.endpoint("gateway.req"))
        health.subscribe("sample/desk/feed/")
        for name in self.NAMES:
            health.wait(lambda message: message["name"] == name and message["values"]["recovered"] == 50,
                        f"all that was to be sent to {name} again")

    def wait_asked(self, name):
        """Heartbeats of the venue until the gateway, which opens its lines after it is ready, asks for the rest."""
        until = time.monotonic() + harness.PATIENCE_S
        lines = self.lines[name]
        lines.both(venue.mold_heartbeat(lines.session, lines.next))
        while not self.servers[name].asked.wait(0.02):
            self.assertLess(time.monotonic(), until, f"nobody is asked for what {name} has not got")
            lines.both(venue.mold_heartbeat(lines.session, lines.next))


if __name__ == "__main__":
    unittest.main()
