"""Clients that join late: the last value of each topic by request, as the wire document says; what it covers, who may
have it, and what takes it away."""

import subprocess
import sys
import unittest

import curve
import harness
import test_entitlements
import test_examples
import venue
from harness import HealthClient, needs_namespaces, reader
from test_gateway_quotes import SYMBOLS, Case

REQUESTS = f"tcp://{test_entitlements.DESK}:7001"


def read(frames):
    """The topics, sequences and bodies of a snapshot's frames."""
    return [(topic, header["sequence"], body) for topic, header, body in map(reader.read, frames)]


class Joining(unittest.TestCase):
    """Where a client begins on each topic, while its subscriptions are put in place one after the other."""

    def take(self, topic, kind, sequence, previous=0, told=None):
        header = {"kind": kind, "epoch": 7, "flags": [], "channel": 0, "run": 1, "sequence": sequence, "previous": previous}
        return self.position.take(topic, header, told)

    def test_what_a_topic_is_shown_with_is_a_position_until_the_marker_comes(self):
        self.position = reader.Position()
        self.take("control/itch/0/", "heartbeat", 1000, told={"first": 1, "named": True, "published": 1000})
        self.assertEqual(self.take("md/itch/A/", "idle", 990, 990), (False, []))
        self.assertEqual(self.take("md/itch/B/", "idle", 1040, 1040), (False, []))
        self.assertEqual(self.take("md/itch/B/", "data", 1041, 1040), (True, []))
        self.assertEqual(self.take("md/itch/A/", "data", 1050, 1045), (True, [("A", 991, 1045, "own")]))
        self.assertEqual(self.take("sync/1/", "sync", 0), (False, []))
        # What was in place and never heard of had said nothing.
        self.assertEqual(self.take("md/itch/C/", "idle", 1060, 1060), (False, [("C", 1051, 1060, "own")]))
        self.take("sync/1/", "sync", 0)
        self.assertEqual(self.take("md/itch/E/", "idle", 1062, 1062), (False, [("E", 1051, 1062, "own")]))
        self.position.join("md/itch/D/", "md/itch/B/")
        self.assertEqual(self.take("md/itch/D/", "idle", 1070, 1070), (False, []))
        # It had been given up meanwhile; the others had not.
        self.assertEqual(self.take("md/itch/B/", "idle", 1071, 1071), (False, []))
        self.assertEqual(self.take("md/itch/F/", "idle", 1072, 1072), (False, [("F", 1051, 1072, "own")]))
        self.take("sync/2/", "sync", 0)
        self.assertEqual(self.take("md/itch/B/", "data", 1080, 1075), (True, [("B", 1072, 1075, "own")]))
        self.assertEqual(self.position.missed, 55 + 10 + 12 + 22 + 4)

    def topic(self, topic, kind, sequence, told=None):
        header = {"kind": kind, "epoch": 7, "flags": ["numbered_per_topic"], "channel": 0, "run": 1, "sequence": sequence,
                  "previous": max(0, sequence - (kind == "data"))}
        return self.position.take(topic, header, told)

    def test_of_topics_numbered_by_themselves_those_count_that_are_ours(self):
        self.position = reader.Position()
        gap = {"instrument": "X", "reason": "failover"}
        self.assertEqual(self.topic("md/q/A/", "data", 100), (True, []))
        for first, last in ((10, 12), (50, 52)):
            told = {**gap, "first": first, "last": last}
            self.assertEqual(self.topic("control/q/0/", "gap", 0, told), (False, []))
        self.position.join("md/q/X/")
        self.assertEqual(self.topic("md/q/X/", "idle", 400), (False, []))
        self.assertEqual(self.topic("md/q/X/", "data", 402), (True, [("X", 401, 401, "own")]))
        self.topic("sync/1/", "sync", 0)
        # Given up and taken again, with and without a word before the marker.
        self.position.join("md/q/A/", "md/q/X/")
        self.assertEqual(self.topic("md/q/A/", "idle", 200), (False, []))
        self.topic("sync/2/", "sync", 0)
        self.assertEqual(self.topic("md/q/X/", "idle", 500), (False, []))
        told = {**gap, "first": 503, "last": 504}
        self.assertEqual(self.topic("control/q/0/", "gap", 0, told), (
            False, [("X", 501, 502, "own"), ("X", 503, 504, "told")]))
        self.assertEqual(self.position.missed, 3)
        # What was on its way when it was given up comes, and is no position from which something would be missed.
        told = {**gap, "first": 600, "last": 600}
        for topic, instrument in (("md/q/X/", "X"), ("md/q/", "A")):
            self.position.leave(topic)
            self.assertEqual(self.topic(f"md/q/{instrument}/", "data", 505), (True, []))
            self.assertEqual(self.topic("control/q/0/", "gap", 0, {**told, "instrument": instrument}), (False, []))
        self.position.join("md/q/A/")
        self.assertEqual(self.topic("md/q/A/", "data", 650), (True, []))
        self.assertEqual(self.topic("md/q/A/", "data", 652), (True, [("A", 651, 651, "own")]))
        self.assertEqual(self.topic("md/q/X/", "data", 700), (True, []))
        self.position.join("md/q/")
        self.assertEqual(self.topic("md/q/X/", "data", 705), (True, []))
        self.assertEqual(self.topic("md/q/X/", "data", 707), (True, [("X", 706, 706, "own")]))
        self.assertEqual(self.position.missed, 5)


class LateJoin(Case):
    def setUp(self):
        self.start()
        self.bus = self.health()
        self.early = self.join(*SYMBOLS)
        self.market.A.wait_held(self, "heartbeat/", *(f"{name}/" for name in SYMBOLS))
        self.early.wait_live()

    def quote(self, symbol, payload, **options):
        self.market.quote(symbol, payload, **options)
        self.early.wait(lambda message: self.data(message) and message["body"] == payload, "the quote")

    def snapshot(self, instruments=None):
        return read(reader.snapshot(self.bus.ask_raw, "quotes", instruments))

    def test_the_example_of_the_document_yields_values_and_then_what_comes(self):
        for symbol, payload in (("HF1", b"one"), ("HF2", b"two"), ("HF1", b"three")):
            self.quote(symbol, payload)
        code = test_examples.example(test_examples.text_of("Sources/Wire/README.md"), "Joining late")
        code += f"""
for topic, header, body in join({self.daemon.endpoint("gateway.md")!r}, {self.daemon.endpoint("gateway.req")!r},
                                "quotes", {SYMBOLS!r}):
    if header["kind"] == "data":
        print(topic, header["sequence"], header["state"], body.decode(), "last_value" in header["flags"], flush=True)
"""
        late = harness.spawn(self, [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True,
                             cwd=f"{harness.ROOT}/Sources/Wire")
        self.addCleanup(late.stdout.close)
        self.assertEqual(sorted(harness.read_line(self, late.stdout) for _ in "12"),
                         ["md/quotes/HF1/ 2 live three True\n", "md/quotes/HF2/ 1 live two True\n"])
        self.quote("HF2", b"four")
        self.assertEqual(harness.read_line(self, late.stdout), "md/quotes/HF2/ 2 live four False\n")

    def test_under_load_a_joiner_has_each_value_and_misses_nothing_after_it(self):
        self.market.play()
        self.early.wait(self.data, "a quote")
        for _ in range(20):
            client = self.join(*SYMBOLS)
            covered = {topic: sequence for topic, sequence, _ in self.snapshot(SYMBOLS)}
            self.assertTrue(covered)
            follows = {f"md/quotes/{name}/" for name in SYMBOLS}
            while follows:
                message = client.wait(self.data, "data")
                topic, sequence = message["topic"], message["sequence"]
                if sequence > covered.get(topic, 0):
                    if topic in covered:
                        self.assertEqual(sequence, covered[topic] + 1, topic)
                    covered[topic] = sequence
                    follows.discard(topic)
            client.close()

    def test_only_values_that_are_sure_are_handed_out(self):
        for symbol in SYMBOLS:
            self.quote(symbol, b"first")
        self.assertEqual(self.snapshot(["HF2", "NOSUCH"]), [("md/quotes/HF2/", 1, b"first")])
        # One quote that no path brings, and then a path that says so.
        self.market.book.following("HF1/")
        self.market.A.send(venue.frame("HF1/", venue.IDLE, self.market.book.session, 2))
        self.early.wait(lambda message: message["kind"] == "gap", "the gap")
        self.assertEqual(sorted(topic for topic, _, _ in self.snapshot()),
                         ["md/quotes/HF2/", "md/quotes/HF3/", "md/quotes/HF4/"])
        self.assertEqual(self.bus.states()["feed/quotes"]["values"].keys() & {"last_values", "last_values_bytes"},
                         {"last_values", "last_values_bytes"})
        self.early.unsubscribe("md/quotes/HF2/")
        self.market.A.wait_released(self, "HF2/")
        self.assertEqual(sorted(topic for topic, _, _ in self.snapshot()), ["md/quotes/HF3/", "md/quotes/HF4/"])

    def test_a_request_that_makes_no_sense_is_answered_with_what_would(self):
        for words, error in (({"feed": "other"}, "there is no feed other"),
                             ({"feed": "quotes", "instruments": []}, "an array of 1 to 5000 names"),
                             ({"feed": "quotes", "after": "x"}, "what the reply before called next")):
            reply = self.bus.ask(request="snapshot", **words)
            self.assertFalse(reply["ok"])
            self.assertIn(error, reply["error"])


class Off(Case):
    def test_a_feed_of_changes_keeps_none(self):
        self.start(options=self.options + "last_values = false\n")
        reply = self.health().ask(request="snapshot", feed="quotes")
        self.assertFalse(reply["ok"])
        self.assertIn("no last values are kept of feed quotes", reply["error"])


@needs_namespaces
class Entitled(test_entitlements.Case):
    def test_a_client_gets_the_values_of_what_it_may_read(self):
        self.open_market()
        some, none, all_ = (curve.Keys() for _ in range(3))
        beyond = test_entitlements.GATEWAY.replace('"ipc://~/gateway.req"', f'"ipc://~/gateway.req", "{REQUESTS}"')
        self.start(beyond + self.feed(), some=(some, ["md/quotes/HF1/", "md/quotes/HF2/"]), none=(none, ["md/other/"]),
                   all=(all_, ["md/"]))
        client = self.client(all_, *SYMBOLS)
        client.sync()
        client.wait_live()
        for symbol in SYMBOLS:
            self.market.quote(symbol, b"x")
            client.wait(lambda message: message["kind"] == "data", "the quote")

        def topics(keys, instruments=None):
            bus = HealthClient(self, test_entitlements.DATA, REQUESTS, curve=(keys, self.host.public), namespace=self.algo)
            return sorted(topic for topic, _, _ in read(reader.snapshot(bus.ask_raw, "quotes", instruments)))
        self.assertEqual(topics(all_), [f"md/quotes/{name}/" for name in SYMBOLS])
        self.assertEqual(topics(some), ["md/quotes/HF1/", "md/quotes/HF2/"])
        self.assertEqual(topics(some, ["HF2", "HF3"]), ["md/quotes/HF2/"])
        with self.assertRaisesRegex(ValueError, "md/quotes/ is not for this client"):
            topics(none)
