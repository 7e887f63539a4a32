"""Market data beyond a host: CURVE upstream and downstream, who may read what, and what is in the clear by opt-in.
Three hosts: the desk with the gateway, an algorithm's, and the venue's."""

import os
import signal
import subprocess
import sys
import unittest

import zmq
import zmq.utils.monitor

import curve
import harness
import venue
from harness import Daemon, HealthClient, MarketClient, Namespace, Order, needs_namespaces
from test_agent_bus import QUIET, watch, write_pid

SYMBOLS = ("HF1", "HF2", "HF3", "HF4")
BEAT = "heartbeat/"
DESK, ALGO, VENUE = "10.82.1.1", "10.82.1.2", "10.82.2.2"
DATA = f"tcp://{DESK}:7000"

GATEWAY = f"""host = "desk"
[curve]
key = "~/host.key"
clients = "~/clients.toml"
[bus]
publish = ["ipc://~/gateway.pub"]
request = ["ipc://~/gateway.req"]
[downstream]
publish = ["ipc://~/gateway.md", "{DATA}"]
"""

FEED = """[[feed]]
name = "quotes"
protocol = "zeromq"
policy = "hot-warm"
hold_down = "500ms"
linger = "0ms"
silence = "5s"
silence_behind_twin = "5s"
[[feed.path]]
name = "A"
endpoint = "%s"
server_key = "%s"
%s
[[feed.path]]
name = "B"
endpoint = "%s"
server_key = "%s"
"""


class Case(unittest.TestCase):
    def setUp(self):
        self.desk, self.algo, self.far = (Namespace(self, name) for name in ("desk", "algo", "venue"))
        harness.veth(self.desk, "to-algo", self.algo, "to-desk", 1)
        harness.veth(self.desk, "to-venue", self.far, "to-desk", 2)
        self.host, self.venue_keys = curve.Keys(), curve.Keys()
        self.market = None

    def open_market(self, *allowed):
        self.market = venue.Market(self, *SYMBOLS, address=VENUE, namespace=self.far, keys=self.venue_keys,
                                   allowed=allowed or [self.host])
        return self.market

    def feed(self, depends="", keys=("", "")):
        A, B = self.market.A, self.market.B
        public = self.venue_keys.public
        return FEED % (A.endpoint, keys[0] or public, depends, B.endpoint, keys[1] or public)

    def start(self, text, ready=True, **clients):
        self.gateway = Daemon(self, "holdfast-gateway", text, self.desk)
        self.host.write(os.path.join(self.gateway.folder, "host.key"))
        self.write_clients(**clients)
        return self.gateway.start(ready=ready)

    def write_clients(self, **clients):
        curve.write_clients(os.path.join(self.gateway.folder, "clients.toml"), **clients)

    def reload(self):
        """SIGHUP, and wait until it is done."""
        self.gateway.signal(signal.SIGHUP)
        lines = self.gateway.wait_told("READY=1")
        self.assertFalse([line for line in lines if "refused" in line], lines)

    def health(self, *topics):
        return HealthClient(self, self.gateway.endpoint("gateway.pub"), self.gateway.endpoint("gateway.req"), *topics)

    def client(self, keys, *instruments, server=None, **options):
        return MarketClient(self, DATA, "quotes", *instruments, curve=(keys, (server or self.host).public),
                            namespace=self.algo, **options)

    def quote_all(self):
        for symbol in SYMBOLS:
            self.market.quote(symbol)

    def instruments(self, client, until):
        """The instruments of the quotes that come before `until`'s, which is among them."""
        received = client.until(lambda message: message["kind"] == "data" and message["names"][2] == until, until)
        return {message["names"][2] for message in received if message["kind"] in ("data", "idle")}

    def refusals(self):
        return {(entry["client"], entry["prefix"]): entry["error"] for entry in self.health().status()["refused"]}


@needs_namespaces
class Entitlements(Case):
    def setUp(self):
        super().setUp()
        self.open_market()
        self.some, self.whole, self.nothing = (curve.Keys() for _ in range(3))
        self.start(GATEWAY + self.feed(), **self.rights())

    def rights(self, some=("md/quotes/HF1/", "md/quotes/HF2/")):
        return {"some": (self.some, some), "whole": (self.whole, ["md/quotes/"]), "nothing": self.nothing}

    def test_a_client_gets_its_instruments_and_their_control_topic_and_nothing_else(self):
        client = self.client(self.some, "HF1", "HF2", "HF3")
        client.sync()
        client.wait_live()
        self.market.A.wait_held(self, BEAT, "HF1/", "HF2/")
        self.quote_all()
        self.quote_all()
        self.assertEqual(self.instruments(client, "HF2"), {"HF1", "HF2"})
        shown = harness.attempt(harness.binary("holdfast"), "status", "--endpoint", self.gateway.endpoint("gateway.req")).stdout
        self.assertIn('subscription "md/quotes/HF3/" of client some: the client may read', shown)
        refused = self.refusals()
        self.assertEqual(list(refused), [("some", "md/quotes/HF3/")])
        self.assertIn("may read md/quotes/HF1/, md/quotes/HF2/", refused["some", "md/quotes/HF3/"])
        self.gateway.wait_log('refused the subscription "md/quotes/HF3/" of client some: the client may read')

    def test_a_broad_request_is_narrowed_to_what_is_allowed(self):
        client = self.client(self.some, everything=True)
        client.sync()
        self.market.A.wait_held(self, BEAT, "HF1/", "HF2/")
        for _ in range(5):
            self.quote_all()
        self.market.quote("HF2")
        self.assertEqual(self.instruments(client, "HF2"), {"HF1", "HF2"})
        self.assertIn("narrowed to md/quotes/HF1/, md/quotes/HF2/", self.refusals()["some", "md/quotes/"])
        client.unsubscribe("md/quotes/")
        self.market.A.wait_held(self, BEAT)
        client.subscribe("md/quotes/HF2/")
        self.market.A.wait_held(self, BEAT, "HF2/")

    def test_a_client_without_topics_gets_nothing_but_its_markers(self):
        client = self.client(self.nothing, *SYMBOLS, everything=True)
        self.assertEqual(client.sync(), [])
        other = self.client(self.whole, everything=True)
        other.wait_live()
        self.market.A.wait_held(self, BEAT, "")
        self.quote_all()
        self.assertEqual(self.instruments(other, "HF4"), set(SYMBOLS))
        self.assertEqual(client.sync(), [])
        refused = self.refusals()
        self.assertEqual({prefix for name, prefix in refused if name == "nothing"},
                         {"control/quotes/", "md/quotes/", *(f"md/quotes/{symbol}/" for symbol in SYMBOLS)})
        self.assertIn("may read no market data", refused["nothing", "md/quotes/"])

    def test_who_is_connected_is_shown_with_name_address_and_subscriptions(self):
        client = self.client(self.some, "HF1", "HF2")
        client.sync()
        local = MarketClient(self, self.gateway.endpoint("gateway.md"), "quotes", "HF1")
        local.sync()
        shown = {entry["client"]: entry for entry in self.health().status()["connections"]}
        self.assertEqual(set(shown), {"some", None})
        self.assertEqual(shown["some"]["address"], ALGO)
        # control, two instruments; the marker is given up by now or not yet
        self.assertIn(shown["some"]["subscriptions"], (3, 4))

    def test_a_shorter_list_takes_effect_at_once_and_disturbs_nobody_else(self):
        client, other = self.client(self.some, everything=True), self.client(self.whole, "HF2", "HF3")
        client.sync(), other.sync()
        other.wait_live()
        self.market.A.wait_held(self, BEAT, "HF1/", "HF2/", "HF3/")
        order = Order(per_topic=True)
        watcher = other.sub.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self.market.play()
        self.instruments(client, "HF2")
        self.write_clients(**self.rights(some=["md/quotes/HF1/"]))
        self.reload()
        # It is hung up on, comes back by itself, and is judged anew.
        self.gateway.wait_log("may read less than before")
        client.wait(lambda message: message["kind"] == "state", "the state, for who comes anew")
        client.sync()
        seen = {message["names"][2] for message in client.messages(1) if message["kind"] == "data"}
        self.assertEqual(seen, {"HF1"})
        for message in other.until(lambda message: message["kind"] == "data" and message["sequence"] > 100, "100"):
            order.take(message)
        self.assertEqual(order.faults, [])
        self.assertFalse(watcher.poll(0), "another client was disconnected")

    def test_a_longer_list_takes_effect_when_the_client_asks_again(self):
        client = self.client(self.some, "HF3")
        client.sync()
        self.assertEqual(list(self.refusals()), [("some", "md/quotes/HF3/")])
        self.write_clients(**self.rights(some=["md/quotes/HF1/", "md/quotes/HF2/", "md/quotes/HF3/"]))
        self.reload()
        client.unsubscribe("md/quotes/HF3/")
        client.subscribe("md/quotes/HF3/")
        self.market.A.wait_held(self, BEAT, "HF3/")
        self.market.quote("HF3")
        self.assertEqual(self.instruments(client, "HF3"), {"HF3"})

    def test_a_client_with_an_unknown_key_learns_nothing_and_is_logged_with_its_address(self):
        stranger = self.client(curve.Keys(), everything=True)
        self.gateway.wait_log(f"refused {ALGO} at market-data")
        self.market.quote("HF1")
        self.assertIsNone(stranger.frames(0.5))
        self.assertEqual(self.health().status()["subscriptions"], 0)

    def test_strangers_without_end_cost_nobody_a_message_and_keep_nobody_out(self):
        local = MarketClient(self, self.gateway.endpoint("gateway.md"), "quotes", "HF1", "HF2")
        remote = self.client(self.whole, "HF1", "HF2")
        for client in (local, remote):
            client.sync()
            client.wait_live()
        self.market.A.wait_held(self, BEAT, "HF1/", "HF2/")
        orders = {client: Order(per_topic=True) for client in (local, remote)}
        flood = harness.spawn(self, self.algo.command(
            sys.executable, os.path.join(os.path.dirname(__file__), "flood.py"), DESK, "7000", self.host.public,
            "60000", "120"), stdout=subprocess.DEVNULL)
        self.gateway.wait_log(f"refused {ALGO} at market-data")
        self.market.play()
        # From the strangers' own address, while they come.
        late = self.client(self.some, "HF1")
        late.sync()
        self.assertIsNone(flood.poll(), "the strangers were gone before the client was in")
        end = 500
        for client, order in orders.items():
            for message in client.until(lambda message: message["kind"] == "data" and message["sequence"] > end, end):
                order.take(message)
            self.assertEqual((order.faults, order.missing), ([], 0))
        self.assertEqual(self.health().status()["dropped_messages"], 0)

    def test_a_client_that_speaks_in_the_clear_gets_nothing(self):
        plain = MarketClient(self, DATA, "quotes", everything=True, namespace=self.algo)
        self.gateway.wait_log(f"refused {ALGO} at market-data")
        self.assertIsNone(plain.frames(0.5))


@needs_namespaces
class Upstream(Case):
    def test_a_venue_that_refuses_our_key_is_named_and_joined_when_it_no_longer_does(self):
        other = curve.Keys()
        self.open_market(other)
        self.start(GATEWAY + self.feed())
        bus = self.health("state/")
        for name in "AB":
            bus.wait_state(f"feed-path/quotes.{name}", lambda message: "refuses our key" in message["reason"])
        self.gateway.wait_log("refuses our key; trying again, not receiving")
        self.assertLessEqual(self.gateway.log().count("refuses our key; trying again"), 2, "told once for each path")
        for server in (self.market.A, self.market.B):
            server.door.allowed.add(self.host.public)
        bus.settle("feed-path/quotes.A", "ok")
        bus.settle("feed-path/quotes.B", "ok")

    def test_a_wrong_server_key_on_a_path_is_said_in_its_reason_and_the_other_path_carries_the_feed(self):
        self.open_market()
        self.start(GATEWAY + self.feed(keys=(curve.Keys().public, "")))
        bus = self.health("state/")
        bus.wait_state("feed-path/quotes.A", lambda message: "is server_key its key" in message["reason"])
        bus.settle("feed-path/quotes.B", "ok")
        client = MarketClient(self, self.gateway.endpoint("gateway.md"), "quotes", "HF1")
        client.sync()
        self.market.B.wait_held(self, BEAT, "HF1/")
        self.market.quote("HF1")
        self.assertEqual(self.instruments(client, "HF1"), {"HF1"})

    def follow_quotes(self):
        """A client of this host that notes every fault, with quotes going on."""
        client = MarketClient(self, self.gateway.endpoint("gateway.md"), "quotes", "HF1", "HF2")
        client.sync()
        client.wait_live()
        self.market.A.wait_held(self, BEAT, "HF1/", "HF2/")
        self.market.play()
        return client, Order(per_topic=True)

    def take(self, client, order, count):
        """Follows so many quotes, of which none is missing."""
        left = [count]

        def enough(message):
            order.take(message)
            left[0] -= message["kind"] == "data"
            return left[0] <= 0
        client.wait(enough, f"{count} quotes")
        self.assertEqual((order.faults, order.missing), ([], 0))

    def test_another_key_of_our_own_loses_nothing_upstream_and_is_the_one_that_clients_need(self):
        new, algo = curve.Keys(), curve.Keys()
        self.open_market(self.host, new)
        self.start(GATEWAY + self.feed(), algo=(algo, ["md/quotes/"]))
        remote = self.client(algo, "HF1")
        remote.sync()
        client, order = self.follow_quotes()
        self.take(client, order, 100)
        new.write(os.path.join(self.gateway.folder, "host.key"))
        self.reload()
        for server in (self.market.A, self.market.B):
            server.door.wait_asked(self, new, harness.PATIENCE_S)
        # Each server lets go of the connection with the old key.
        self.market.A.wait_released(self, "HF1/")
        self.take(client, order, 400)
        self.assertEqual(self.health().states()["feed/quotes"]["values"]["switches"], 0)
        rotated = self.client(algo, "HF1", server=new)
        rotated.sync()
        self.assertEqual(self.instruments(rotated, "HF1"), {"HF1"})

    def test_a_key_that_the_venue_does_not_know_yet_disturbs_nothing_until_it_does(self):
        new = curve.Keys()
        self.open_market()
        self.start(GATEWAY + self.feed())
        client, order = self.follow_quotes()
        new.write(os.path.join(self.gateway.folder, "host.key"))
        self.reload()
        self.gateway.wait_log("refuses our key; trying again, going on with the key before")
        self.take(client, order, 400)
        for server in (self.market.A, self.market.B):
            server.door.allowed.add(new.public)
        self.market.A.wait_released(self, "HF1/")
        self.take(client, order, 400)
        self.market.A.wait_held(self, BEAT, "HF1/", "HF2/")


@needs_namespaces
class RemoteAgent(Case):
    """The gateway's agent is on the venue's side and beyond the host; its word moves the feed."""

    AGENT = f"""host = "far"
[curve]
key = "~/host.key"
clients = "~/clients.toml"
[bus]
publish = ["ipc://~/agent.pub", "tcp://{VENUE}:5555"]
request = ["ipc://~/agent.req", "tcp://{VENUE}:5556"]
"""

    def start_agent(self, *allowed):
        self.line = harness.spawn(self, ["sleep", "86400"])
        self.agent_keys = curve.Keys()
        folder = harness.folder_of(self)
        self.agent = Daemon(self, "holdfast-agent", self.AGENT + QUIET
                            + watch("line", write_pid(folder, "line", self.line.pid)), self.far)
        self.agent_keys.write(os.path.join(self.agent.folder, "host.key"))
        self.allow_at_agent(*allowed)
        self.agent.start()

    def allow_at_agent(self, *allowed):
        curve.write_clients(os.path.join(self.agent.folder, "clients.toml"),
                            **{f"client{number}": keys for number, keys in enumerate(allowed)})

    def text(self):
        return (GATEWAY + f'[[agent]]\npublish = "tcp://{VENUE}:5555"\nrequest = "tcp://{VENUE}:5556"\n'
                f'server_key = "{self.agent_keys.public}"\n' + self.feed('depends_on = ["process/line"]'))

    def kill_line(self):
        os.kill(self.line.pid, signal.SIGKILL)
        self.line.wait(harness.PATIENCE_S)

    def wait_agent(self, condition, what):
        bus = self.health("heartbeat/")
        for _ in bus.messages():  # each heartbeat is an occasion to look
            told = bus.status()["agents"][0]
            if condition(told):
                return told
        self.gateway.fail(f"{what}: {told}")

    def test_its_word_moves_the_feed_at_once(self):
        self.open_market()
        self.start_agent(self.host)
        self.start(self.text())
        client = MarketClient(self, self.gateway.endpoint("gateway.md"), "quotes", "HF1")
        client.sync()
        client.wait_live()
        self.market.A.wait_held(self, BEAT, "HF1/")
        self.wait_agent(lambda told: told["liveness"] == "alive" and told["host"] == "far", "the agent is heard")
        # A path that delivers is not left: the venue freezes with the line.
        self.market.A.is_frozen = True
        self.kill_line()
        client.wait(lambda message: message["kind"] == "state" and message["state"] == "live"
                    and message["told"]["path"] == "B", "live on B")
        self.market.B.wait_held(self, BEAT, "HF1/")
        state = self.health("state/").states()["feed-path/quotes.A"]
        self.assertIn("process/line is critical", state["reason"])

    def test_an_agent_that_does_not_know_us_is_told_and_followed_once_it_does(self):
        self.open_market()
        self.start_agent()
        self.start(self.text())
        told = self.wait_agent(lambda told: told["trouble"], "the agent's trouble")
        self.assertEqual(told["liveness"], "never heard")
        self.gateway.wait_log("its word counts as unknown")
        self.allow_at_agent(self.host)
        self.agent.signal(signal.SIGHUP)
        self.wait_agent(lambda told: told["liveness"] == "alive" and not told["trouble"], "the agent is heard")
        self.gateway.wait_log("lets us in")


@needs_namespaces
class Plaintext(Case):
    TEXT = GATEWAY.replace(f', "{DATA}"', "")

    def test_market_data_in_the_clear_needs_the_opt_in_and_is_told_at_each_start(self):
        market = venue.Market(self, *SYMBOLS, address=VENUE, namespace=self.far)
        text = self.TEXT + f'plaintext = ["{DATA}"]\n' + (FEED % (
            market.A.endpoint, "", "", market.B.endpoint, "")).replace('server_key = ""', "plaintext = true")
        self.start(text)
        self.gateway.wait_log(f"goes out in the clear at {DATA}")
        for server in (market.A, market.B):
            self.gateway.wait_log(f"comes in the clear from {server.endpoint}")
        client = MarketClient(self, DATA, "quotes", "HF1", namespace=self.algo)
        client.sync()
        client.wait_live()
        market.quote("HF1")
        self.assertEqual(self.instruments(client, "HF1"), {"HF1"})
        said = self.gateway.log().count("goes out in the clear")
        self.reload()
        self.assertEqual(self.gateway.log().count("goes out in the clear"), said + 1)

    def test_without_the_opt_in_the_configuration_is_refused(self):
        text = self.TEXT + (FEED % (f"tcp://{VENUE}:7001", "", "", f"tcp://{VENUE}:7002", "")).replace(
            'server_key = ""\n', "")
        self.start(text, ready=False)
        self.assertEqual(self.gateway.wait_exit(), 78)
        for word in ("server_key", "plaintext = true", f"tcp://{VENUE}:7001"):
            self.assertIn(word, self.gateway.log())

    def test_an_endpoint_beyond_the_host_without_keys_is_refused(self):
        self.gateway = Daemon(self, "holdfast-gateway", GATEWAY, self.desk)
        self.gateway.start(ready=False)
        self.assertEqual(self.gateway.wait_exit(), 78)
        for word in (DATA, "holdfast keygen", "downstream.publish"):
            self.assertIn(word, self.gateway.log())


if __name__ == "__main__":
    unittest.main()
