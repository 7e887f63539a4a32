"""Clients that send leases: what the gateway says of them on its health bus, by the wire document's own example."""

import json
import unittest

import curve
import harness
import test_entitlements
import test_examples
import venue
from harness import GATEWAY_BUS, Daemon, HealthClient, MarketClient, needs_namespaces, reader
from test_gateway_itch import FEED
from test_gateway_quotes import Case as Quotes
from test_gateway_quotes import SYMBOLS


def leaser():
    """The function of the document."""
    found = {}
    exec(test_examples.example(test_examples.text_of("Sources/Wire/README.md"), "Leases"), found)
    return found["lease"]


class Leasing:
    """A client with a position, and leases for it."""

    def open(self, daemon, feed, *instruments):
        self.market_data = MarketClient(self, daemon.endpoint("gateway.md"), feed, *instruments)
        self.position = reader.Position()
        take = self.market_data.read

        def read(frames):
            message = take(frames)
            self.position.take(message["topic"], message, message["told"])
            return message
        self.market_data.read = read
        self.market_data.sync()
        self.bus = HealthClient(self, daemon.endpoint("gateway.pub"), daemon.endpoint("gateway.req"),
                                "state/desk/client/")

    def lease(self, name="algo"):
        leaser()(self.bus.dealer, name, self.position)
        if not self.bus.dealer.poll(harness.PATIENCE_S * 1000):
            self.fail("no reply to a lease")
        return json.loads(self.bus.dealer.recv())

    def lease_until(self, condition, what, name="algo"):
        """Leases, at the pace that the gateway allows, until one is answered so; returns the answer."""
        seen = []
        while len(seen) < 300:
            reply = self.lease(name)
            if "retry_after_s" in reply:
                self.bus.dealer.poll(reply["retry_after_s"] * 1000)
                continue
            seen.append(reply)
            if condition(reply):
                return reply
        self.fail(f"{what}: the last answers were {seen[-3:]}")

    def wait(self, status, what):
        return self.bus.wait(lambda message: message["status"] == status, what)


class Channels(Leasing, unittest.TestCase):
    def setUp(self):
        self.lines = venue.Lines(self)
        self.daemon = Daemon(self, "holdfast-gateway", GATEWAY_BUS + FEED % (
            "", self.lines.group("A"), self.lines.group("B"))).start()
        self.open(self.daemon, "itch", "HF0001")
        self.lines.wait_heard(self.bus)
        self.lines.open("HF0001", "HF0002")

    def follow(self):
        """Reads until the client has heard of all that was sent."""
        last = self.lines.next - 1
        self.market_data.wait(lambda message: message["topic"].startswith("control/") and message["sequence"] == last,
                              f"the number {last}")

    def test_a_client_is_up_to_date_then_behind_then_silent_then_gone(self):
        self.follow()
        reply = self.lease()
        self.assertEqual((reply["ok"], reply["status"], reply["behind_messages"]), (True, "ok", 0), reply)
        told = self.wait("ok", "the client")
        self.assertEqual((told["kind"], told["name"], told["reason"]), ("client", "algo", "up to date"))
        # The client reads nothing more, and what it does not take grows old.
        for _ in range(5):
            self.lines.both(self.lines.orders(10, "HF0002"))
        reply = self.lease_until(lambda reply: reply["status"] == "warning", "a client that is behind")
        self.assertEqual(reply["behind_messages"], 50)
        self.assertGreaterEqual(reply["behind_s"], 1)
        told = self.wait("warning", "a client that is behind")
        self.assertEqual(told["reason"], "behind, by 10 messages or more")
        shown = harness.attempt(harness.binary("holdfast"), "status", "--endpoint", self.daemon.endpoint("gateway.req")).stdout
        self.assertRegex(shown, r"(?m)^.*client.*algo.*warning.*behind")
        self.follow()
        reply = self.lease_until(lambda reply: reply["behind_messages"] == 0, "a client that has caught up")
        self.lease_until(lambda reply: reply["status"] == "ok", "a client that has caught up for a while")
        told = self.wait("critical", "a lease that expired")
        self.assertEqual(told["reason"], "no lease for 3.0 s")
        self.assertEqual(self.bus.ask(request="lease", name="algo", expires_after_s=0)["ok"], True)
        self.bus.wait(lambda message: message.get("gone"), "the end of the client")

    def test_watch_shows_a_client_as_it_comes_falls_silent_and_goes(self):
        self.follow()
        watching = harness.Watching(self, self.daemon.endpoint("gateway.pub"), self.daemon.endpoint("gateway.req"))
        watching.read("feed/itch")
        self.lease()
        self.assertRegex(watching.read("client/algo"), r"^\S+Z desk client/algo ok: up to date$")
        self.position.missed = 5
        self.lease_until(lambda reply: reply["missed"] == 5, "the loss")
        self.assertIn("ok → warning: it missed messages lately", watching.read("client/algo"))
        self.assertIn("warning → critical: no lease for 3.0 s", watching.read("client/algo", "critical"))
        self.lease()
        watching.read("client/algo", "critical → ")
        joined = harness.Watching(self, self.daemon.endpoint("gateway.pub"), self.daemon.endpoint("gateway.req"))
        joined.read("client/algo")  # one that joins later, too
        while not (reply := self.bus.ask(request="lease", name="algo", expires_after_s=0))["ok"]:
            self.bus.dealer.poll(reply["retry_after_s"] * 1000)
        for one in (watching, joined):
            one.read("client/algo", "no longer watched")
            self.assertEqual(one.end(), 0)

    def test_losses_that_a_client_tells_are_told(self):
        self.follow()
        self.lease()
        self.position.missed = 12
        reply = self.lease_until(lambda reply: reply["missed"] == 12, "the loss")
        self.assertEqual((reply["status"], reply["reason"]), ("warning", "it missed messages lately"))
        self.assertEqual(self.wait("warning", "the loss")["values"]["missed"], 12)

    def test_what_makes_no_sense_is_refused_and_hurts_nobody(self):
        for words, error in (({"name": "algo", "expires_after_s": 3, "positions": [{"feed": "no", "epoch": "1",
                                                                                     "sequence": 1}]},
                              "there is no feed no"),
                             ({"expires_after_s": 3}, '"name" is missing'),
                             ({"name": "algo", "expires_after_s": 0.2}, "expected 0, or a number from 0.5 to 3600"),
                             ({"name": "algo", "expires_after_s": 3, "positions": [{}] * 65}, "at most 64 positions")):
            reply = self.bus.ask(request="lease", **words)
            self.assertFalse(reply["ok"])
            self.assertIn(error, reply["error"])
        status = self.bus.status()
        self.assertEqual((status["leases"], status["refused_requests"]), (0, 4))

    def test_every_refusal_of_a_desk_is_counted_once(self):
        refused = 0
        for words in ({"request": "repair", "feed": "no", "epoch": "1", "from": 1, "to": 2},
                      {"request": "repair", "feed": "itch", "epoch": "1", "from": 1, "to": 2},
                      {"request": "snapshot", "feed": "itch"}, {"request": "snapshot", "feed": "no"},
                      {"request": "pull", "feed": "itch", "replica": "r", "channel": 0, "segment": 0, "offset": 0,
                       "messages": 0},
                      {"request": "lease", "name": "algo", "expires_after_s": 3,
                       "positions": [{"feed": "no", "epoch": "1", "sequence": 1}]},
                      {"request": "switch", "feed": "no", "path": "A"}, {"request": "dance"},
                      {"request": "history", "subject": "nic/none"}):
            reply = json.loads(self.bus.ask_raw(json.dumps({"v": 1} | words).encode())[0])
            self.assertIs(reply["ok"], False, reply)
            refused += 1
            self.assertEqual(self.bus.status()["refused_requests"], refused, words)


class PerTopic(Leasing, Quotes):
    def test_a_client_of_a_feed_without_channels_is_measured_by_heartbeats(self):
        self.start()
        self.open(self.daemon, "quotes", *SYMBOLS)
        self.market.A.wait_held(self, "heartbeat/", *(f"{name}/" for name in SYMBOLS))
        self.market_data.wait_live()
        self.market.quote("HF1")
        self.market_data.wait(lambda message: message["kind"] == "heartbeat" and message["told"]["published"] == 1,
                              "a heartbeat")
        self.assertEqual((self.lease()["status"], self.position.leased()[0]["published"]), ("ok", 1))
        self.market.quote("HF1")
        self.market.quote("HF2")
        reply = self.lease_until(lambda reply: reply["status"] == "warning", "a client that is behind")
        self.assertEqual(reply["behind_messages"], 2)


@needs_namespaces
class Entitled(test_entitlements.Case):
    def test_a_name_belongs_to_its_key(self):
        self.open_market()
        algo = curve.Keys()
        requests = f"tcp://{test_entitlements.DESK}:7001"
        beyond = test_entitlements.GATEWAY.replace('"ipc://~/gateway.req"', f'"ipc://~/gateway.req", "{requests}"')
        self.start(beyond + self.feed(), algo=(algo, ["md/quotes/"]))
        bus = HealthClient(self, test_entitlements.DATA, requests, curve=(algo, self.host.public), namespace=self.algo)
        for name, ok in (("algo", True), ("algo.2", True), ("algo2", False), ("other", False)):
            reply = bus.ask(request="lease", name=name, expires_after_s=3)
            self.assertEqual(reply["ok"], ok, reply)
        self.assertIn("the name of this client's leases is algo", reply["error"])

    def test_a_lease_belongs_to_who_took_it(self):
        self.open_market()
        algo = curve.Keys()
        requests = f"tcp://{test_entitlements.DESK}:7001"
        beyond = test_entitlements.GATEWAY.replace('"ipc://~/gateway.req"', f'"ipc://~/gateway.req", "{requests}"')
        self.start(beyond + self.feed(), algo=(algo, ["md/quotes/"]))
        bus = HealthClient(self, test_entitlements.DATA, requests, curve=(algo, self.host.public), namespace=self.algo)
        local = harness.health(self, self.gateway, "state/", name="gateway")
        before = local.status()["refused_requests"]
        self.assertTrue(bus.ask(request="lease", name="algo", expires_after_s=60)["ok"])
        self.assertTrue(local.ask(request="lease", name="algo.2", expires_after_s=60)["ok"])
        for client, name, owner in ((local, "algo", "client algo"), (bus, "algo.2", "somebody who came in the clear")):
            for seconds in (60, 0):
                reply = client.ask(request="lease", name=name, expires_after_s=seconds)
                self.assertIn(f"belongs to {owner}", reply.get("error", ""), reply)
        self.assertEqual(local.states()["client/algo"]["status"], "ok")
        self.assertEqual((local.status()["leases"], local.status()["refused_requests"]), (2, before + 4))
        while not (reply := bus.ask(request="lease", name="algo", expires_after_s=0))["ok"]:
            bus.dealer.poll(reply["retry_after_s"] * 1000)
        self.assertTrue(local.ask(request="lease", name="algo", expires_after_s=60)["ok"])


if __name__ == "__main__":
    unittest.main()
