"""A gateway that takes a feed of two other gateways, over CURVE: what one of them cannot deliver the other does, and
what neither has is told."""

import os
import random
import signal
import socket
import threading
import time
import unittest

import harness
import venue
from curve import Keys, write_clients
from harness import GATEWAY_BUS, Daemon, HealthClient, MarketClient, Namespace, Order, needs_namespaces

SYMBOLS = ("ALFA", "BRAVO", "BRK/A")

UPSTREAM = """host = "%s"
[bus]
publish = ["ipc://~/gateway.pub"]
request = ["ipc://~/gateway.req"]
[downstream]
publish = ["ipc://~/gateway.md", "tcp://10.82.%d.2:7001"]
[curve]
key = "~/host.key"
clients = "~/clients.toml"
[[feed]]
name = "itch"
protocol = "moldudp64"
policy = "hot-hot"
[[feed.path]]
name = "A"
group = "127.0.0.1:%d"
"""

DESK = GATEWAY_BUS + """[curve]
key = "~/host.key"
[[feed]]
name = "copy"
protocol = "holdfast"
upstream = "itch"
policy = "hot-hot"
silence = "5s"
silence_behind_twin = "5s"
"""


@needs_namespaces
class Chain(unittest.TestCase):
    """Two gateways on hosts of their own, each with one line of the venue, and one that takes their feed."""

    def setUp(self):
        self.near, desk_keys = Namespace(self, "desk"), Keys()
        self.session, self.next, self.chance = "S000000001", 1, random.Random(5)
        self.sites, self.hosts, self.sockets, self.ports, text = {}, {}, {}, {}, DESK
        for number, name in enumerate("AB", 1):
            far = self.hosts[name] = Namespace(self, f"site{name}")
            harness.veth(self.near, f"to{name}", far, "eth0", number)
            port = self.ports[name] = far.enter(venue.free_port)
            daemon = Daemon(self, "holdfast-gateway", UPSTREAM % (f"site{name}", number, port), far)
            keys = Keys().write(os.path.join(daemon.folder, "host.key"))
            write_clients(os.path.join(daemon.folder, "clients.toml"), desk=(desk_keys, ["md/itch/"]))
            self.sites[name] = daemon.start()
            self.sockets[name] = far.enter(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            self.addCleanup(self.sockets[name].close)
            text += (f'[[feed.path]]\nname = "{name}"\nendpoint = "tcp://10.82.{number}.2:7001"\n'
                     f'server_key = "{keys.public}"\n')
        self.near.ip("addr", "add", "10.82.2.7/24", "dev", "toB")
        text += 'local_address = "10.82.2.7"\n'
        self.daemon = Daemon(self, "holdfast-gateway", text, self.near)
        desk_keys.write(os.path.join(self.daemon.folder, "host.key"))
        self.daemon.start()
        self.client = MarketClient(self, self.daemon.endpoint("gateway.md"), "copy", everything=True)
        self.client.sync()
        self.health = HealthClient(self, self.daemon.endpoint("gateway.pub"), self.daemon.endpoint("gateway.req"))
        self.order, self.bodies = Order(per_topic=False), {}
        self.open()

    def send(self, packet, sites="AB"):
        for name in sites:
            self.sockets[name].sendto(packet, ("127.0.0.1", self.ports[name]))

    def open(self):
        """The directory on both, once the whole chain hears: the desk's channel opens with the venue's first word."""
        for name, site in self.sites.items():
            health = HealthClient(self, site.endpoint("gateway.pub"), site.endpoint("gateway.req"))
            until = time.monotonic() + harness.PATIENCE_S
            while health.states().get("feed-path/itch.A", {}).get("status") != "ok":
                self.assertLess(time.monotonic(), until, f"site {name} hears nothing")
                self.send(venue.mold_heartbeat(self.session, self.next))
        self.client.wait(lambda message: message["kind"] == "heartbeat" and message["told"]["first"], "a channel")
        for name in "AB":
            self.wait_path(name, "ok")
        self.packet("AB", *(venue.directory(number, symbol) for number, symbol in enumerate(SYMBOLS, 1)))
        self.client.wait_live()

    def wait_path(self, name, status):
        self.health.subscribe("state/")
        self.health.settle(f"feed-path/copy.{name}", status)

    def packet(self, sites, *messages):
        messages = messages or [venue.add_order(index % 3 + 1, self.next + index, SYMBOLS[index % 3]) for index in range(3)]
        self.send(venue.mold(self.session, self.next, messages), sites)
        self.bodies.update({self.next + index: message for index, message in enumerate(messages)})
        self.next += len(messages)

    def follow(self):
        """A last packet on both, and everything up to it."""
        self.packet("AB")
        last, received = self.next - 1, []
        for message in self.client.until(lambda message: message["kind"] == "data" and message["sequence"] >= last,
                                         f"sequence {last}"):
            self.order.take(message)
            received.append(message)
        data = [message for message in received if message["kind"] == "data"]
        for message in data:
            self.assertEqual(message["body"], self.bodies[message["sequence"]])
        return data, [(message["told"]["first"], message["told"]["last"]) for message in received
                      if message["kind"] == "gap"]

    def test_what_one_gateway_lost_the_other_fills_and_what_both_lost_is_told(self):
        for _ in range(10):
            lost = []
            for _ in range(20):
                sites = self.chance.choice(["A", "B", "AB", "AB"])
                self.packet(sites)
            lost.append((self.next, self.next + 2))
            self.packet("")
            data, gaps = self.follow()
            self.assertEqual(gaps, lost)
        self.assertEqual(self.order.faults, [])
        self.assertEqual({message["topic"] for message in data},
                         {"md/copy/ALFA/", "md/copy/BRAVO/", "md/copy/BRK%2FA/"})

    def test_a_gateway_that_is_killed_costs_nothing_and_comes_back(self):
        self.follow()
        self.sites["A"].signal(signal.SIGKILL)
        self.sites["A"].child.wait(harness.PATIENCE_S)
        for _ in range(20):
            self.packet("AB")
        _, gaps = self.follow()
        self.assertEqual(gaps, [])
        self.wait_path("A", "critical")
        self.sites["A"].start()
        until = time.monotonic() + harness.PATIENCE_S
        while self.health.states()["feed-path/copy.A"]["status"] != "ok":
            self.assertLess(time.monotonic(), until, "path A does not come back")
            self.packet("AB")
            _, gaps = self.follow()
            self.assertEqual(gaps, [])
        for _ in range(20):
            self.packet(self.chance.choice(["A", "AB", "B"]))
        self.follow()
        self.assertEqual(self.order.faults, [])

    def test_a_connection_comes_from_the_address_that_was_given(self):
        for name, address in ("A", "10.82.1.1"), ("B", "10.82.2.7"):
            listed = harness.run(*self.hosts[name].command("ss", "-Htn", "state", "established", "sport", "=", ":7001"))
            self.assertEqual([line.split()[-1].rsplit(":", 1)[0] for line in listed.splitlines()], [address])

    def test_a_silent_venue_is_stale_here_too_and_its_end_closes(self):
        self.follow()
        self.client.wait(lambda message: message["kind"] == "state" and message["state"] == "stale", "stale")
        self.packet("AB")
        self.client.wait_live()
        self.send(venue.mold_end(self.session, self.next))
        self.client.wait_channel("closed")


TOPICS = """host = "%s"
[bus]
publish = ["ipc://~/gateway.pub"]
request = ["ipc://~/gateway.req"]
[downstream]
publish = ["ipc://~/gateway.md"]
[[feed]]
name = "quotes"
protocol = "%s"
policy = "hot-hot"
silence = "5s"
silence_behind_twin = "5s"
"""


class Relay:
    """Stands between a client and a gateway's socket: connections can be cut, and none is taken in until it is mended."""

    def __init__(self, test, path, to):
        self.path, self.to, self.ends = path, to, []
        self.mend()
        test.addCleanup(self.cut)

    def mend(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        try:
            while True:
                ends = [listener.accept()[0], socket.socket(socket.AF_UNIX)]
                ends[1].connect(self.to)
                self.ends += ends
                for one, other in (ends, ends[::-1]):
                    threading.Thread(target=self.copy, args=(one, other), daemon=True).start()
        except OSError:
            pass  # it is closed

    def copy(self, one, other):
        try:
            while data := one.recv(1 << 16):
                other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            self.end(end)

    @staticmethod
    def end(one):
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is gone already

    def cut(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.end(self.listener)
        self.listener.close()
        while self.ends:
            self.end(self.ends.pop())


class Topics(unittest.TestCase):
    """The same of a feed whose topics are numbered each by itself."""

    def test_what_a_quiet_topic_lost_is_told_before_the_feed_is_live_again(self):
        market = venue.Market(self, "ALFA", "A B")
        text, relays, sites = TOPICS % ("desk", "holdfast"), [], []
        for name in "AB":
            site = Daemon(self, "holdfast-gateway", TOPICS % (f"site{name}", "zeromq")
                          + f'[[feed.path]]\nname = "A"\nendpoint = "{getattr(market, name).endpoint}"\n').start()
            path = os.path.join(site.folder, "relay")
            relays.append(Relay(self, path, site.endpoint("gateway.md").removeprefix("ipc://")))
            sites.append(MarketClient(self, site.endpoint("gateway.md"), "quotes", "ALFA", "A%20B"))
            text += f'[[feed.path]]\nname = "{name}"\nendpoint = "ipc://{path}"\n'
        daemon = Daemon(self, "holdfast-gateway", text).start()
        client = MarketClient(self, daemon.endpoint("gateway.md"), "quotes", "ALFA", "A%20B")

        def quote(symbol, to):
            """Until each of them has one, which is the last."""
            market.quote(symbol)
            last = market.book.last[symbol + "/"]
            for one in to:
                one.wait(lambda message: message["kind"] == "data" and message["sequence"] == last
                         and message["names"][2] == symbol, f"{symbol} {last}")
            return last

        for one in (*sites, client):
            one.sync()
            one.wait_live()
        seen = {}
        while len(seen) < 6:  # until the venue has everybody's subscriptions
            for symbol in market.symbols:
                market.quote(symbol)
            for number, one in enumerate((*sites, client)):
                for message in one.messages(0.05):
                    if message["kind"] == "data":
                        seen[number, message["names"][2]] = message["sequence"]
        first = quote("A B", (*sites, client))
        for relay in relays:
            relay.cut()
        client.wait_channel("stale")
        last = quote("A B", sites)
        # The sites have said it again, and will not for a while.
        for one in sites:
            one.wait(lambda message: message["kind"] == "idle" and message["sequence"] == last, "an idle frame")
        relays[0].mend()
        told = []
        client.wait(lambda message: told.append(message)
                    or message["kind"] == "state" and message["state"] == "live", "live again")
        gaps = [message["told"] for message in told if message["kind"] == "gap"]
        self.assertEqual([(gap["instrument"], gap["first"], gap["last"]) for gap in gaps], [("A B", first + 1, last)])

    def test_each_topic_comes_whole_through_two_gateways(self):
        market = venue.Market(self, "ALFA", "A B")
        text = TOPICS % ("desk", "holdfast")
        for name in "AB":
            site = Daemon(self, "holdfast-gateway", TOPICS % (f"site{name}", "zeromq")
                          + f'[[feed.path]]\nname = "A"\nendpoint = "{getattr(market, name).endpoint}"\n').start()
            text += f'[[feed.path]]\nname = "{name}"\nendpoint = "{site.endpoint("gateway.md")}"\n'
        daemon = Daemon(self, "holdfast-gateway", text).start()
        client = MarketClient(self, daemon.endpoint("gateway.md"), "quotes", "ALFA", "A%20B")
        client.sync()
        client.wait_live()
        # Until the other gateways were heard, nobody knew that there are no batches.
        client.subscribe("batch/quotes/")
        bus = HealthClient(self, daemon.endpoint("gateway.pub"), daemon.endpoint("gateway.req"))
        client.wait(lambda message: any(told["prefix"] == "batch/quotes/" for told in bus.status()["refused"]),
                    "the refusal of batches")
        order, chance, last = Order(per_topic=True), random.Random(6), {}
        while len(last) < 2:  # until both sites' subscriptions are in place at the venue
            for symbol in market.symbols:
                market.quote(symbol)
            for message in client.messages(0.05):
                order.take(message)
                if message["kind"] == "data":
                    last[message["names"][2]] = message["sequence"]
        for _ in range(15):  # no more at once than may wait
            for _ in range(20):
                market.quote(chance.choice(market.symbols), skip=chance.choice(["", "A", "B"]))
            for symbol in market.symbols:
                market.quote(symbol)
            ends = {symbol: market.book.last[symbol + "/"] for symbol in market.symbols}
            client.wait(lambda message: order.take(message)
                        or message["kind"] == "data" and last.update({message["names"][2]: message["sequence"]})
                        or last == ends, "the last quotes")
        self.assertEqual((order.faults, order.missing), ([], 0))


if __name__ == "__main__":
    unittest.main()
