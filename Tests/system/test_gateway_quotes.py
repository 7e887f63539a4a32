"""The gateway with two servers of a sequenced ZeroMQ feed, hot-warm: what is subscribed where and when, what a
switch costs, and what an operator can say. The servers are the tests' own."""

import os
import signal
import subprocess
import time
import unittest

import zmq

import harness
import venue
from harness import GATEWAY_BUS, Daemon, HealthClient, MarketClient, Namespace, Order, agent, needs_namespaces
from test_agent_bus import QUIET, watch, write_pid

FEED = """[[feed]]
name = "quotes"
protocol = "zeromq"
policy = "hot-warm"
%s
[[feed.path]]
name = "A"
plaintext = true
endpoint = "%s"
%s
[[feed.path]]
name = "B"
plaintext = true
endpoint = "%s"
%s
"""
SYMBOLS = ("HF1", "HF2", "HF3", "HF4")
BEAT = "heartbeat/"
TIMES = 'hold_down = "500ms"\nlinger = "200ms"\n'
# Where failover is not the subject, a server of ours that is slow on a busy machine is not left for that.
STEADY = 'silence = "5s"\nsilence_behind_twin = "5s"\n'


class Case(unittest.TestCase):
    options = TIMES + STEADY

    def start(self, options=None, agent_part="", depends=("", ""), more="", is_frozen=False):
        self.market = venue.Market(self, *SYMBOLS)
        A, B = self.market.A, self.market.B
        A.is_frozen = B.is_frozen = is_frozen
        text = GATEWAY_BUS + agent_part + FEED % (options or self.options, A.endpoint, depends[0], B.endpoint, depends[1])
        self.daemon = Daemon(self, "holdfast-gateway", text + more).start()
        self.order = Order(per_topic=True)

    def join(self, *symbols):
        client = MarketClient(self, self.daemon.endpoint("gateway.md"), "quotes", *symbols)
        client.sync()
        return client

    def health(self, *topics):
        return HealthClient(self, self.daemon.endpoint("gateway.pub"), self.daemon.endpoint("gateway.req"), *topics)

    def follow(self, client, condition, what):
        received = client.until(condition, what)
        for message in received:
            self.order.take(message)
        return received

    def wait_agents(self, *liveness):
        """Waits until the gateway holds its agents to be that, and returns what came to the client meanwhile."""
        kept = []
        for message in self.client.messages():  # each is an occasion to look
            kept.append(message)
            agents = [told["liveness"] for told in self.bus.status()["agents"]]
            if agents == list(liveness):
                return kept
        self.fail(f"the agents are {agents}, not {liveness}")

    def live_on(self, path):
        return lambda message: (message["kind"] == "state" and message["state"] == "live"
                                and message["told"]["path"] == path)

    def data(self, message):
        return message["kind"] == "data"

    def tool(self, *words):
        done = subprocess.run([harness.binary("holdfast"), *words, "--endpoint", self.daemon.endpoint("gateway.req")],
                              capture_output=True, text=True, timeout=harness.PATIENCE_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout


class Subscriptions(Case):
    def setUp(self):
        self.start()

    def test_upstream_gets_exactly_what_clients_want_on_the_active_path_only(self):
        self.market.A.wait_held(self, BEAT)
        self.market.B.wait_held(self, BEAT)
        self.join("HF1", "HF2")
        self.market.A.wait_held(self, BEAT, "HF1/", "HF2/")
        self.assertEqual(self.market.B.held, [BEAT])
        self.assertEqual(self.market.A.subscriptions, [("+", BEAT), ("+", "HF1/"), ("+", "HF2/")])

    def test_a_topic_is_subscribed_once_for_all_and_released_after_the_last(self):
        first, second = self.join("HF1"), self.join("HF1", "HF2")
        self.market.A.wait_held(self, BEAT, "HF1/", "HF2/")
        second.close()
        self.market.A.wait_held(self, BEAT, "HF1/")
        first.close()
        self.market.A.wait_held(self, BEAT)
        self.assertEqual(self.market.A.subscriptions.count(("+", "HF1/")), 1)
        self.assertEqual(self.market.A.subscriptions.count(("-", "HF1/")), 1)

    def test_a_client_that_unsubscribes_releases_its_topic(self):
        client = self.join("HF1", "HF2")
        self.market.A.wait_held(self, BEAT, "HF1/", "HF2/")
        client.unsubscribe("md/quotes/HF2/")
        self.market.A.wait_held(self, BEAT, "HF1/")

    def test_what_a_topic_had_while_nobody_asked_for_it_is_no_gap(self):
        for prefix, other in (("md/quotes/HF1/", ["HF2/"]), ("md/quotes/", [])):
            client = self.join("HF2") if other else MarketClient(self, self.daemon.endpoint("gateway.md"), "quotes")
            client.subscribe("control/quotes/", prefix)
            wanted = ["HF1/", *other] if other else [""]
            self.market.A.wait_held(self, BEAT, *wanted)
            self.market.quote("HF1")
            first = client.wait(lambda message: message["topic"] == "md/quotes/HF1/" and self.data(message), "a quote")
            client.unsubscribe(prefix)
            self.market.A.wait_held(self, BEAT, *other)
            for _ in range(5):
                self.market.quote("HF1")
            self.market.A.wait_sent(self)
            client.subscribe(prefix)
            self.market.A.wait_held(self, BEAT, *wanted)
            self.market.quote("HF1")
            seen = client.until(lambda message: message["topic"] == "md/quotes/HF1/" and self.data(message), "another")
            self.assertEqual([message for message in seen if message["kind"] in ("gap", "idle")
                              and message["sequence"] < first["sequence"] + 5], [])
            self.assertEqual((seen[-1]["sequence"], seen[-1]["previous"]), (first["sequence"] + 6, 0))
            client.close()
            self.market.A.wait_held(self, BEAT)
        sample = self.health("sample/desk/feed/quotes/").wait(
            lambda message: message["values"]["messages"] == 4, "the feed's figures")
        self.assertEqual(sample["values"]["gaps"], 0)

    def test_a_symbol_that_does_not_exist_hurts_nobody(self):
        client = self.join("HF1", "NOSUCH", "odd%2Fname")
        self.market.A.wait_held(self, BEAT, "HF1/", "NOSUCH/", "odd%2Fname/")
        client.wait_live()
        self.market.quote("HF1")
        self.assertEqual(client.wait(self.data, "a quote")["topic"], "md/quotes/HF1/")

    def test_a_refused_subscription_never_reaches_the_venue(self):
        other = self.join("HF1")
        other.subscribe("md/quotes/HF2", "md/other/HF3/", "HF4/")
        other.sync()
        self.market.A.wait_held(self, BEAT, "HF1/")
        refused = {entry["prefix"] for entry in self.health().status()["refused"]}
        self.assertLessEqual({"md/quotes/HF2", "md/other/HF3/", "HF4/"}, refused)
        other.subscribe("md/quotes/HF3/")
        self.market.A.wait_held(self, BEAT, "HF1/", "HF3/")
        self.assertEqual(self.market.A.subscriptions, [("+", BEAT), ("+", "HF1/"), ("+", "HF3/")])


class Crowd(Case):
    def test_while_very_many_subscriptions_come_in_others_have_their_turns(self):
        self.start()
        client, health = self.join("HF1"), self.health()
        sockets = [harness.subscriber(client.context, self.daemon.endpoint("gateway.md"), "control/quotes/")
                   for _ in range(40)]
        for number, socket in enumerate(sockets):
            self.addCleanup(socket.close)
            for symbol in range(5000):
                socket.subscribe(f"md/quotes/{number}-{symbol}/")
        before = 2  # the client's feed and symbol; and a third while its marker has not been given up
        total = before + len(sockets) * 5001
        counts, until = [], time.monotonic() + 10 * harness.PATIENCE_S
        while not counts or counts[-1] < total:
            self.assertLess(time.monotonic(), until, f"{total} were to come, the last counts are {counts[-5:]}")
            counts.append(health.status()["subscriptions"])
            # A socket whose handshake took too long comes back by itself, and subscribes anew when it is looked at.
            sockets[len(counts) % len(sockets)].getsockopt(zmq.EVENTS)
        midst = [count for count in counts if before + 1 < count < total]
        self.assertGreater(len(midst), 1, "it was silent until it had them all")


class Lagging(Case):
    options = TIMES + 'lag = "500ms"\nsilence = "60s"\nsilence_behind_twin = "60s"\n'

    def test_a_path_that_goes_on_to_speak_and_is_late_is_left_until_it_is_not(self):
        self.start()
        client, bus = self.join("HF1"), self.health("state/")
        client.wait_live()
        self.market.play()
        self.follow(client, self.data, "a quote")
        self.market.A.delay_s = 2
        received = self.follow(client, self.live_on("B"), "live on B")
        self.assertTrue(any("500 ms or more behind another path" in (message["told"]["reason"] or "")
                            for message in received if message["kind"] == "state"), received)
        state = bus.wait_state("feed-path/quotes.A", "critical")
        self.assertEqual(state["reason"], "500 ms or more behind another path")
        self.assertGreater(state["values"]["lag_s"], 0.5)
        self.market.A.delay_s = 0
        self.follow(client, self.live_on("A"), "live on A")
        self.assertEqual(self.order.faults, [])


class Paced(Case):
    options = Case.options + "subscribe_rate = 20\n"

    def test_how_far_a_path_is_and_how_much_longer_it_takes_is_published(self):
        self.start()
        symbols = [f"X{number}" for number in range(100)]
        self.join(*symbols)
        self.market.A.wait_held(self, BEAT, *(symbol + "/" for symbol in symbols))
        health, seen = self.health("sample/"), []
        self.tool("switch", "quotes", "B", "--hold")

        def is_done(message):
            values = message.get("values", {})
            if message["topic"].endswith("/feed-path/quotes.B/") and values.get("to_subscribe") == len(symbols):
                seen.append((values["subscribed"], values["subscribe_remaining_s"]))
            return bool(seen) and seen[-1][0] == len(symbols)

        health.wait(is_done, "every topic")
        midst = [(done, left) for done, left in seen if 0 < done < len(symbols)]
        self.assertTrue(midst, seen)
        for done, left in midst:
            self.assertAlmostEqual(left, (len(symbols) - done) / 20, delta=0.2)
        self.assertEqual(seen[-1][1], 0)


    def test_a_server_that_comes_back_is_complete_when_all_is_subscribed_there_again(self):
        server = venue.Upstream(self, venue.Book())
        wire = venue.Wire(self, server.endpoint)
        other = venue.line_ports(1)[0]
        self.daemon = Daemon(self, "holdfast-gateway", GATEWAY_BUS + FEED % (
            self.options, wire.endpoint, "", f"tcp://127.0.0.1:{other}", "")).start()
        symbols = [f"X{number}" for number in range(30)]
        topics = [symbol + "/" for symbol in symbols]
        client = self.join(*symbols)
        client.wait_live()
        server.wait_held(self, BEAT, *topics)
        wire.cut()
        told = client.until(lambda message: message["kind"] == "state" and message["state"] != "live", "the cut")
        told += client.until(self.live_on("A"), "live again")
        self.assertEqual(set(server.held), {BEAT, *topics})
        reasons = [message["told"]["reason"] or "" for message in told if message["kind"] == "state"]
        self.assertTrue([reason for reason in reasons if "A is being subscribed" in reason], reasons)


class Reload(Case):
    more = ""

    def setUp(self):
        self.start(self.options + self.more)
        self.bus = self.health("state/")
        self.client = self.join("HF1")
        self.client.wait_live()

    def reload(self, *change):
        with open(self.daemon.file) as file:
            self.daemon.configure(file.read().replace(*change))
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_told("RELOADING=1")
        self.daemon.wait_told("READY=1")

    def wait_feed(self, condition, what):
        """A feed that goes has no values."""
        return self.bus.wait_state("feed/quotes", lambda state: state["values"] and condition(state["values"]), what)["values"]

    def test_what_an_operator_asked_for_outlives_a_change_of_the_feed(self):
        self.tool("switch", "quotes", "B", "--hold")
        self.tool("mute", "feed-path/quotes.A", "--for", "10m")
        self.wait_feed(lambda values: values["held"] and values["muted"], "held and muted")
        self.bus.sync()
        self.reload('linger = "200ms"', 'linger = "300ms"')
        values = self.wait_feed(lambda values: values["switches"] == 0, "the feed as it is built anew")
        self.assertEqual((values["path"], values["held"], values["muted"]), ("B", True, "feed-path/quotes.A"))
        self.follow(self.client, self.live_on("B"), "live on B")
        self.market.B.wait_held(self, BEAT, "HF1/")
        self.tool("unmute", "feed-path/quotes.A")
        self.tool("switch", "quotes", "--release")
        self.follow(self.client, self.live_on("A"), "live on A")

    def test_a_hold_on_a_path_that_is_gone_ends_and_that_is_said(self):
        self.tool("switch", "quotes", "B", "--hold")
        self.wait_feed(lambda values: values["held"], "held")
        self.reload('name = "B"', 'name = "C"')
        self.wait_feed(lambda values: not values["held"] and values["path"] == "A", "on A")
        self.daemon.wait_log("feed quotes is no longer held on path B, which is none")


class JournalledReload(Reload):
    """A feed that comes back when its journal is closed."""

    more = "journal = true\n"


class Turns(Case):
    options = Case.options + "subscribe_rate = 400\n"

    def test_on_failover_a_client_with_few_topics_does_not_wait_behind_one_with_many(self):
        self.start()
        many, few = [f"A{number}" for number in range(200)], ["Z1", "Z2", "Z3"]
        self.join(*many)
        self.join(*few)
        self.market.A.wait_held(self, BEAT, *(symbol + "/" for symbol in many + few))
        self.tool("switch", "quotes", "B", "--hold")
        self.market.B.wait_held(self, BEAT, *(symbol + "/" for symbol in many + few))
        added = [topic for sign, topic in self.market.B.subscriptions if sign == "+" and topic != BEAT]
        # 4, 12, 48 and 136 of them wait in four classes, the few behind the 4.
        self.assertLess({symbol + "/" for symbol in few}, set(added[:28]))
        self.assertEqual(len(added), len(many + few))

    def test_a_topic_that_waits_comes_sooner_once_a_client_with_few_asks_for_it(self):
        port, other = venue.line_ports(2)
        text = FEED % (self.options, f"tcp://127.0.0.1:{port}", "", f"tcp://127.0.0.1:{other}", "")
        self.daemon = Daemon(self, "holdfast-gateway", GATEWAY_BUS + text).start()
        many, few = [f"A{number}" for number in range(200)], ["A198", "A199"]
        self.join(*many)
        self.join(*few)
        opened = venue.Upstream(self, venue.Book(), port=port)
        opened.wait_held(self, BEAT, *(symbol + "/" for symbol in many))
        added = [topic for sign, topic in opened.subscriptions if sign == "+" and topic != BEAT]
        self.assertLess({symbol + "/" for symbol in few}, set(added[:28]))
        self.assertEqual(len(added), len(many))


class Unheard(Case):
    options = TIMES

    def test_a_feed_whose_paths_have_all_failed_is_critical_though_nothing_was_ever_heard(self):
        self.start(is_frozen=True)
        health = self.health("state/", "sample/")
        state = health.wait_state("feed/quotes", lambda state: state["status"] == "critical" and state["cause"])
        self.assertEqual((state["reason"], state["cause"]), ("no path is well", "feed-path/quotes.A"))
        health.wait(lambda message: message["topic"].startswith("sample/") and message["kind"] == "feed", "a sample")
        self.assertIn("gaps", self.tool("history", "feed/quotes"))


class Failover(Case):
    options = TIMES

    def playing(self, *symbols, **options):
        self.start(**options)
        self.client = self.join(*symbols)
        self.client.wait_live()
        self.market.play()
        self.follow(self.client, self.data, "a quote")

    def fail_over(self, fault):
        fault()
        received = self.follow(self.client, self.live_on("B"), "live on B")
        states = [message["state"] for message in received if message["kind"] == "state"]
        self.assertIn("recovering", states)
        self.assertEqual(states[-1], "live")
        self.assertNotIn("live", states[states.index("recovering"):-1])
        return received

    def freeze(self):
        self.market.A.is_frozen = True

    def test_a_frozen_server_is_left_and_every_subscription_is_active_on_the_other(self):
        self.playing("HF1", "HF2")
        self.fail_over(self.freeze)
        self.market.B.wait_held(self, BEAT, "HF1/", "HF2/")
        added = [topic for sign, topic in self.market.B.subscriptions if sign == "+"]
        self.assertEqual(sorted(added), ["HF1/", "HF2/", BEAT])
        self.follow(self.client, lambda message: self.data(message) and message["names"][2] == "HF2"
                    and message["path"] == 1, "HF2 by B")
        self.assertEqual(self.order.faults, [])

    def test_what_was_missed_in_between_is_told_exactly(self):
        self.playing("HF1")
        received = self.fail_over(self.freeze)
        received += self.follow(self.client, self.data, "a quote by B")
        gaps = [message["told"] for message in received if message["kind"] == "gap"]
        self.assertTrue(gaps, "quotes went on while nobody took them")
        self.assertEqual({(gap["reason"], gap["instrument"]) for gap in gaps}, {("failover", "HF1")})
        self.assertEqual(self.order.faults, [])

    def test_a_server_that_closes_is_left(self):
        self.playing("HF1")
        self.fail_over(self.market.A.close)
        self.follow(self.client, self.data, "a quote by B")
        self.assertEqual(self.order.faults, [])
        health, until, values = self.health(), time.monotonic() + harness.PATIENCE_S, {}
        while values.get("attempts", 0) < 3:
            self.assertLess(time.monotonic(), until, f"it is not tried again: {values}")
            values = health.states()["feed-path/quotes.A"]["values"]
        self.assertGreater(values["retry_after_s"], 0)

    def test_it_fails_back_after_the_hold_down_and_leaves_B_subscribed_to_nothing(self):
        self.playing("HF1", "HF2")
        self.fail_over(self.freeze)
        self.market.A.is_frozen = False
        received = self.follow(self.client, self.live_on("A"), "live on A again")
        self.follow(self.client, lambda message: self.data(message) and message["path"] == 0, "a quote by A")
        self.market.B.wait_held(self, BEAT)
        self.market.A.wait_held(self, BEAT, "HF1/", "HF2/")
        self.assertEqual(self.order.faults, [])
        gaps = [message for message in received if message["kind"] == "gap"]
        self.assertEqual(gaps, [], "a planned move loses nothing")

    def test_topics_wanted_during_the_outage_are_subscribed_on_B_only(self):
        self.playing("HF1")
        self.fail_over(self.freeze)
        asked = len(self.market.A.subscriptions)
        self.client.subscribe("md/quotes/HF3/")
        self.market.B.wait_held(self, BEAT, "HF1/", "HF3/")
        self.assertNotIn(("+", "HF3/"), self.market.A.subscriptions[asked:])

    def test_both_servers_frozen_is_never_called_live(self):
        self.playing("HF1")
        self.market.B.is_frozen = True
        self.freeze()
        self.client.wait(lambda message: message["kind"] == "state" and message["state"] == "stale", "stale")
        beat = self.client.wait(lambda message: message["kind"] == "heartbeat", "a heartbeat")
        self.assertEqual(beat["state"], "stale")
        self.market.B.is_frozen = self.market.A.is_frozen = False
        self.follow(self.client, lambda message: message["kind"] == "state" and message["state"] == "live", "live")

    def test_the_health_bus_says_which_path_carries_the_feed(self):
        self.playing("HF1")
        health = self.health("state/")
        health.settle("feed-path/quotes.A", "ok")
        self.freeze()
        health.wait_state("feed-path/quotes.A", "critical")
        feed = health.wait_state("feed/quotes", lambda message: message["values"]["path"] == "B")
        self.assertEqual(feed["values"]["switches"], 1)


class Divergence(unittest.TestCase):
    """Hot-hot lines of which one says something else."""

    def start(self, *names):
        self.book = venue.Book()
        self.lines = {name: venue.Upstream(self, self.book) for name in names}
        text = GATEWAY_BUS + '[[feed]]\nname = "quotes"\nprotocol = "zeromq"\npolicy = "hot-hot"\nhold_down = "1h"\n'
        text += STEADY
        for name, line in self.lines.items():
            text += f'[[feed.path]]\nname = "{name}"\nplaintext = true\nendpoint = "{line.endpoint}"\n'
        self.daemon = Daemon(self, "holdfast-gateway", text).start()
        self.bus = harness.health(self, self.daemon, "state/", "sample/", name="gateway")
        self.client = MarketClient(self, self.daemon.endpoint("gateway.md"), "quotes", *SYMBOLS)
        for line in self.lines.values():
            line.wait_held(self, BEAT, *(f"{symbol}/" for symbol in SYMBOLS))
        self.client.wait_live()

    def next(self):
        for symbol in SYMBOLS:
            self.book.following(symbol + "/")

    def send(self, names, body):
        """What lines make of the last message of each symbol."""
        for name in names:
            for symbol in SYMBOLS:
                sequence = self.book.last[symbol + "/"]
                self.lines[name].send(venue.frame(symbol + "/", venue.DATA, self.book.session, sequence, body))

    def receive(self):
        """The bodies of the next message of each symbol."""
        wait = lambda: self.client.wait(lambda message: message["kind"] == "data", "a quote")  # noqa: E731
        return [wait()["body"] for _ in SYMBOLS]

    def wait_counted(self, line, name, count):
        self.bus.wait(lambda message: message["topic"] == f"sample/desk/feed-path/quotes.{line}/"
                      and message["values"][name] >= count, f"{count} {name} of {line}")

    def test_of_two_lines_the_preferred_one_is_followed_and_the_other_only_compared(self):
        self.start("A", "B")
        self.next()
        self.send("A", b"right")
        self.assertEqual(self.receive(), [b"right"] * 4)
        self.send("B", b"wrong")
        state = self.bus.settle("feed-path/quotes.B", "critical")
        self.assertIn("differ from those of A", state["reason"])
        self.assertIn("differs between path B and path A", self.daemon.log())
        for round in range(1, 6):
            self.next()
            self.send("B", b"wrong")
            self.wait_counted("B", "messages", (round + 1) * 4)  # the wrong one came first
            self.send("A", b"right")
            self.assertEqual(self.receive(), [b"right"] * 4)
        self.wait_counted("B", "divergent", 24)
        self.assertEqual(self.bus.states()["feed/quotes"]["status"], "warning")

    def test_of_three_lines_the_preferred_one_is_left_where_it_differs_from_two(self):
        self.start("A", "B", "C")
        self.next()
        self.send("A", b"wrong")
        self.receive()
        self.send("BC", b"right")
        state = self.bus.settle("feed-path/quotes.A", "critical")
        self.assertIn("differ from those of", state["reason"])
        self.next()
        self.send("A", b"wrong")
        self.wait_counted("A", "messages", 8)
        self.send("BC", b"right")
        self.assertEqual(self.receive(), [b"right"] * 4)
        for name in "BC":
            self.assertEqual(self.bus.states()[f"feed-path/quotes.{name}"]["status"], "ok")


class Operators(Case):
    def setUp(self):
        self.start()
        self.client = self.join("HF1")
        self.client.wait_live()
        self.market.play()
        self.bus = self.health("state/")
        self.bus.settle("feed-path/quotes.B", "ok")

    def test_switch_moves_and_fails_back_by_itself(self):
        self.tool("switch", "quotes", "B")
        self.follow(self.client, self.live_on("B"), "live on B")
        self.follow(self.client, self.live_on("A"), "live on A again")
        self.assertEqual(self.order.faults, [])

    def test_switch_with_hold_stays_until_it_is_released(self):
        self.tool("switch", "quotes", "B", "--hold")
        self.follow(self.client, self.live_on("B"), "live on B")
        state = self.bus.wait_state("feed/quotes", lambda message: message["values"]["held"])
        self.assertIn("held", state["reason"])
        moved = [message for message in self.client.messages(1.5)
                 if message["kind"] == "state" and message["told"]["path"] == "A"]
        self.assertEqual(moved, [])
        self.tool("switch", "quotes", "--release")
        self.client.wait(self.live_on("A"), "live on A again")
        self.assertFalse(self.bus.states()["feed/quotes"]["values"]["held"])

    def test_a_switch_to_nowhere_is_refused_with_what_there_is(self):
        for words, told in ((("quotes", "C"), ("C", "A", "B")), (("nofeed", "B"), ("nofeed", "quotes"))):
            done = harness.attempt(harness.binary("holdfast"), "switch", *words, "--endpoint",
                                   self.daemon.endpoint("gateway.req"))
            self.assertEqual(done.returncode, 1)
            for word in told:
                self.assertIn(word, done.stderr)

    def test_a_mute_is_a_visible_state_and_ends_by_itself(self):
        self.tool("mute", "feed-path/quotes.B", "--for", "1s")
        state = self.bus.wait_state("feed-path/quotes.B", lambda message: message["values"]["muted"])
        self.assertIn("muted", state["reason"])
        self.bus.wait_state("feed-path/quotes.B", lambda message: not message["values"]["muted"])

    def test_unmute_ends_it(self):
        self.tool("mute", "feed-path/quotes.B", "--for", "1h")
        self.bus.wait_state("feed-path/quotes.B", lambda message: message["values"]["muted"])
        self.tool("unmute", "feed-path/quotes.B")
        self.bus.wait_state("feed-path/quotes.B", lambda message: not message["values"]["muted"])


class HostileUpstream(Case):
    def setUp(self):
        self.start()
        self.client = self.join("HF1")
        self.client.wait_live()

    def test_frames_that_are_none_are_counted_by_name_and_quotes_go_on(self):
        book, A = self.market.book, self.market.A
        good = venue.frame("HF1/", venue.DATA, book.session, 1, b"x")
        for bad in [good[:length] for length in range(5, len(good) - 1)] + [
            good.replace(b"\0\x01\x01", b"\0\x09\x01", 1), good.replace(b"\0\x01\x01", b"\0\x01\x09", 1),
            venue.frame("HF1/", venue.DATA, book.session, 0), venue.frame("HF1/", venue.HEARTBEAT, book.session, 0),
            b"HF1/" + os.urandom(400), b"HF1/" + b"y" * 400, b"heartbeat/", b"heartbeat/\0" + os.urandom(20),
            venue.frame("HF1/", venue.DATA, book.session, 1, bytes(1 << 20)),
        ]:
            A.send(bad)
        for _ in range(20):
            self.market.quote("HF1")
        for _ in range(20):
            received = self.follow(self.client, self.data, "a quote")
        self.assertEqual(self.order.faults, [])
        self.assertEqual(received[-1]["sequence"], 20)
        names = [f"decode_errors_{name}" for name in
                 ("truncated", "unknown-version", "unknown-kind", "inconsistent", "bad-topic", "oversized")]
        samples = self.health("sample/desk/feed-path/quotes.A/")
        values = samples.wait(lambda message: all(message["values"].get(name, 0) for name in names),
                              f"counts of {names}")["values"]
        # None of them ends the connection, and with it what was subscribed.
        self.assertEqual((values["connects"], values.get("stream_errors", 0)), (1, 0))

    def test_who_sends_what_is_far_too_long_is_hung_up_on_with_a_word_and_quotes_go_on(self):
        book, A = self.market.book, self.market.A
        A.send(venue.frame("HF1/", venue.DATA, book.session, 1, bytes(17 << 20)))
        self.daemon.wait_log(f"hung up on {A.endpoint}: a frame of 17")
        self.client.wait_channel("live", "B")
        for _ in range(20):
            self.market.quote("HF1")
        received = self.follow(self.client, lambda message: self.data(message) and message["sequence"] == 20, "the last")
        self.assertEqual((self.order.faults, len([message for message in received if self.data(message)])), ([], 20))

    def test_a_hole_of_the_venue_s_own_is_told_for_its_instrument(self):
        self.market.quote("HF1")
        self.follow(self.client, self.data, "the first")
        self.market.quote("HF1", skip="AB")
        self.market.quote("HF1", skip="AB")
        self.market.quote("HF1")
        received = self.follow(self.client, self.data, "the fourth")
        gap = next(message["told"] for message in received if message["kind"] == "gap")
        self.assertEqual((gap["first"], gap["last"], gap["instrument"]), (2, 3, "HF1"))
        self.assertEqual(self.order.faults, [])

    def test_repeated_frames_are_delivered_once(self):
        for sequence in (1, 1, 2, 1, 2, 3):
            self.market.A.send(venue.frame("HF1/", venue.DATA, self.market.book.session, sequence, b"{}"))
        received = self.follow(self.client, lambda message: self.data(message) and message["sequence"] == 3, "the third")
        self.assertEqual([message["sequence"] for message in received if self.data(message)], [1, 2, 3])

    def test_an_old_message_is_flagged_late_and_never_plainly_live(self):
        import time
        self.market.quote("HF1", source_ns=time.time_ns() - 5_000_000_000)
        self.assertIn("late", self.client.wait(self.data, "the old quote")["flags"])

    def test_another_session_is_another_epoch(self):
        for _ in range(3):
            self.market.quote("HF1")
        first = self.follow(self.client, lambda message: self.data(message) and message["sequence"] == 3, "three")[-1]
        self.market.book.session += 1
        self.market.book.last = {}
        for _ in range(5):
            self.market.quote("HF1")
        received = self.follow(self.client, lambda message: self.data(message) and message["sequence"] == 5, "five")
        new = [message for message in received if self.data(message)]
        self.assertEqual([message["sequence"] for message in new], [1, 2, 3, 4, 5])
        self.assertEqual(len({message["epoch"] for message in new} | {first["epoch"]}), 2)
        self.assertEqual(self.order.faults, [])


class AgentCase(Case):
    """The path A depends on a process that an agent watches: an agent's word without a network. On another one depends
    the path C, which has no server: by it the gateway shows that it has heard what the agent said before."""

    MARKED = """[[feed.path]]
name = "C"
plaintext = true
endpoint = "tcp://127.0.0.1:%d"
depends_on = ["process/mark"]
"""

    def setUp(self):
        folder = harness.folder_of(self)
        self.line, self.mark = (harness.spawn(self, ["sleep", "86400"]) for _ in range(2))
        self.agent = agent(self, QUIET + "".join(
            watch(name, write_pid(folder, name, process.pid)) for name, process in (("line", self.line), ("mark", self.mark))))
        part = (f'[[agent]]\npublish = "{self.agent.endpoint("agent.pub")}"\n'
                f'request = "{self.agent.endpoint("agent.req")}"\n')
        self.start(agent_part=part, depends=('depends_on = ["process/line"]', ""),
                   more=self.MARKED % venue.line_ports(1)[0])
        self.client = self.join("HF1")
        self.client.wait_live()
        self.market.quote("HF1")
        self.follow(self.client, self.data, "a quote")
        self.bus = self.health("state/")
        self.wait_agents("alive")

    def kill_line(self):
        self.kill(self.line)

    def kill(self, process):
        os.kill(process.pid, signal.SIGKILL)
        process.wait(harness.PATIENCE_S)

    def kill_line_and_wait_heard(self):
        """Kills it, and returns when the agent has told the gateway."""
        agent_bus = HealthClient(self, self.agent.endpoint("agent.pub"), self.agent.endpoint("agent.req"), "state/")
        agent_bus.settle("process/line", "ok")
        self.kill_line()
        agent_bus.wait_state("process/line", "critical")
        self.kill(self.mark)
        self.bus.wait_state("feed-path/quotes.C", lambda message: "process/mark is critical" in message["reason"])
        return agent_bus


class AgentsWord(AgentCase):
    options = TIMES + 'silence = "60s"\nsilence_behind_twin = "60s"\n'

    def test_an_agent_s_critical_moves_the_feed_long_before_silence_would(self):
        self.market.A.is_frozen = True
        self.kill_line()
        received = self.follow(self.client, self.live_on("B"), "live on B")
        self.assertTrue(any("process/line" in message["told"]["reason"] for message in received
                            if message["kind"] == "state" and message["told"]["reason"]), received)
        state = self.bus.states()["feed-path/quotes.A"]
        self.assertEqual(state["status"], "critical")
        self.market.B.wait_held(self, BEAT, "HF1/")


class DataAgainstAgent(AgentCase):
    options = TIMES

    def test_data_that_flows_outranks_the_agent(self):
        # It may leave before the next message refutes the agent, but then it comes back while the agent insists.
        self.market.play()
        agent_bus = self.kill_line_and_wait_heard()
        path = "A"
        for message in self.client.messages(3):
            self.order.take(message)
            if message["kind"] == "state":
                path = message["told"]["path"]
        self.assertEqual((path, self.order.faults), ("A", []))
        self.assertEqual(agent_bus.states()["process/line"]["status"], "critical")


class SilencedAgent(AgentCase):
    options = AgentsWord.options

    def test_a_muted_subject_moves_nothing(self):
        self.tool("mute", "process/line", "--for", "1h")
        self.market.A.is_frozen = True
        self.kill_line_and_wait_heard()
        moved = [message for message in self.client.messages(0.8)
                 if message["kind"] == "state" and message["told"]["path"] == "B"]
        self.assertEqual(moved, [])
        self.tool("unmute", "process/line")
        self.client.wait(self.live_on("B"), "live on B")

    def test_an_agent_that_dies_triggers_nothing(self):
        self.market.play()
        self.kill(self.agent.child)
        received = self.wait_agents("expired") + self.follow(self.client, self.data, "a quote")
        moved = [message for message in received if message["kind"] == "state" and message["told"]["path"] == "B"]
        self.assertEqual(moved, [])


class Untold(AgentCase):
    def setUp(self):
        folder = harness.folder_of(self)
        self.line = harness.spawn(self, ["sleep", "86400"])
        self.agent = agent(self, QUIET + watch("line", write_pid(folder, "line", self.line.pid)))
        part = (f'[[agent]]\npublish = "{self.agent.endpoint("agent.pub")}"\n'
                f'request = "{self.agent.endpoint("agent.req")}"\n')
        self.start(agent_part=part, depends=('depends_on = ["process/line", "process/lime"]',
                                             'depends_on = ["process/line", "far:nic/eth0"]'))

    def test_a_path_says_that_no_agent_tells_of_what_it_depends_on(self):
        bus = self.health("state/")
        for path, subject in (("A", "process/lime"), ("B", "far:nic/eth0")):
            told = bus.wait_state(f"feed-path/quotes.{path}",
                                  lambda state: "no agent tells of" in state["reason"], patience=30)
            self.assertEqual(told["status"], "warning")
            self.assertTrue(told["reason"].endswith(f"no agent tells of {subject}"), told["reason"])
        self.assertEqual(bus.states()["feed/quotes"]["values"]["switches"], 0)


class Unguarded(AgentCase):
    def test_when_its_agent_is_gone_a_path_says_so(self):
        self.agent.signal(signal.SIGKILL)
        self.agent.wait_exit()
        told = self.bus.wait_state("feed-path/quotes.A", lambda state: "no agent tells of" in state["reason"], patience=40)
        self.assertEqual(told["status"], "warning")
        self.agent.start()
        self.bus.wait_state("feed-path/quotes.A", "ok")


class NoAgent(Case):
    options = AgentsWord.options

    def test_where_no_agent_ever_was_a_path_says_so(self):
        folder = harness.folder_of(self)
        self.start(agent_part=f'[[agent]]\npublish = "ipc://{folder}/pub"\nrequest = "ipc://{folder}/req"\n',
                   depends=('depends_on = ["process/line"]', ""))
        told = self.health("state/").wait_state(
            "feed-path/quotes.A", lambda state: "no agent tells of" in state["reason"], patience=40)
        self.assertEqual(told["status"], "warning")


class AgentThatAnswersLate(Case):
    """An agent whose states come, and which answers no requests yet."""

    options = AgentsWord.options

    def test_it_is_not_asked_for_each_second_in_which_it_was_not_there(self):
        folder = harness.folder_of(self)
        publish, request = (f"ipc://{folder}/{name}" for name in ("late.pub", "late.req"))
        publisher = zmq.Context.instance().socket(zmq.XPUB)
        self.addCleanup(publisher.close, 0)
        publisher.bind(publish)
        self.start(agent_part=f'[[agent]]\npublish = "{publish}"\nrequest = "{request}"\n')
        topics = set()
        while not any(topic.startswith(b"\x01sync/") for topic in topics):  # it has joined
            self.assertTrue(publisher.poll(harness.PATIENCE_S * 1000), topics)
            topics.add(publisher.recv())
        # Five times its patience, by its own clock: figures come each second.
        samples, bus = [], self.health("sample/desk/feed/")
        bus.wait(lambda message: message["topic"].startswith("sample/") and (samples.append(message) or len(samples) > 5),
                 "six samples")
        server = zmq.Context.instance().socket(zmq.ROUTER)
        self.addCleanup(server.close, 0)
        server.bind(request)
        self.assertTrue(server.poll(harness.PATIENCE_S * 1000), "it asks")
        requests = 0
        while requests < 4 and server.poll(300):
            server.recv_multipart()
            requests += 1
        self.assertLess(requests, 4)


class TwoAgents(Case):
    """Agents of two hosts that have a subject of the same name."""

    options = AgentsWord.options

    def test_what_another_host_s_agent_says_fails_no_path_of_this_one(self):
        folder = harness.folder_of(self)
        lines, agents, part = {}, {}, ""
        for host in ("desk", "far"):
            lines[host] = harness.spawn(self, ["sleep", "86400"])
            text = harness.AGENT_BUS.replace("desk", host) + QUIET + watch("line", write_pid(folder, host, lines[host].pid))
            agents[host] = Daemon(self, "holdfast-agent", text).start()
            part += (f'[[agent]]\npublish = "{agents[host].endpoint("agent.pub")}"\n'
                     f'request = "{agents[host].endpoint("agent.req")}"\n')
        self.start(agent_part=part,
                   depends=('depends_on = ["process/line"]', 'depends_on = ["far:process/line"]'))
        self.client = self.join("HF1")
        self.client.wait_live()
        self.market.quote("HF1")
        self.follow(self.client, self.data, "a quote")
        self.bus = self.health("state/")
        self.wait_agents("alive", "alive")
        self.market.A.is_frozen = self.market.B.is_frozen = True
        self.kill(lines["far"])
        self.bus.wait_state("feed-path/quotes.B", "critical")
        states = self.bus.states()
        self.assertIn("far:process/line is critical", states["feed-path/quotes.B"]["reason"])
        self.assertEqual(states["feed-path/quotes.A"]["status"], "ok")
        self.assertIsNone(states["feed-path/quotes.B"]["cause"])
        self.kill(lines["desk"])
        self.bus.wait_state("feed-path/quotes.A", lambda state: (state["status"], state["cause"]) == ("critical", "process/line"))

    def kill(self, line):
        line.kill()
        line.wait(harness.PATIENCE_S)


@needs_namespaces
class TwoISPs(Case):
    """Agent and gateway on a trading host with two links: carrier loss, and one incident for one fault."""

    def test_carrier_loss_moves_the_feed_and_names_the_NIC_as_the_cause(self):
        desk, market = Namespace(self, "desk"), Namespace(self, "venue")
        book = venue.Book()
        paths, depends = "", []
        for number, name in enumerate("ab", 1):
            harness.veth(desk, f"isp-{name}", market, f"to-{name}", number)
            paths += (f'[[path.isp]]\nname = "isp-{name}"\ninterface = "isp-{name}"\n'
                      f'targets = ["10.82.{number}.2"]\n')
            depends.append(f'interface = "isp-{name}"\ndepends_on = ["nic/isp-{name}", "path/isp-{name}"]')
        A = venue.Upstream(self, book, "10.82.1.2", market)
        B = venue.Upstream(self, book, "10.82.2.2", market)
        watcher = agent(self, '[nic]\ninclude = ["isp-a", "isp-b"]\n' + paths, desk)
        part = f'[[agent]]\npublish = "{watcher.endpoint("agent.pub")}"\nrequest = "{watcher.endpoint("agent.req")}"\n'
        text = GATEWAY_BUS + part + FEED % (self.options, A.endpoint, depends[0], B.endpoint, depends[1])
        self.daemon = Daemon(self, "holdfast-gateway", text, desk).start()
        client = self.join("HF1")
        client.wait_live()
        bus = self.health("state/")
        bus.settle("feed-path/quotes.A", "ok")
        link = market.link("to-a")
        self.addCleanup(link.close)
        link.set(False)
        client.wait(self.live_on("B"), "live on B")
        B.wait_held(self, BEAT, "HF1/")
        link.set(True)
        client.wait(self.live_on("A"), "live on A again", 60)
        B.wait_held(self, BEAT)


if __name__ == "__main__":
    unittest.main()
