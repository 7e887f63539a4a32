"""The gateway with two MoldUDP64 lines, hot-hot: each sequence once, in order, or told as a gap."""

import os
import random
import socket
import struct
import subprocess
import threading
import time
import unittest

import harness
import market
import venue
from harness import GATEWAY_BUS, Daemon, HealthClient, MarketClient, Namespace, Order, RawPeer, needs_namespaces
from test_agent_line import session

SYMBOLS = ("ALFA", "BRAVO", "CHARLIE")

FEED = """[[feed]]
name = "itch"
protocol = "moldudp64"
policy = "hot-hot"
%s
[[feed.path]]
name = "A"
group = "%s"
[[feed.path]]
name = "B"
group = "%s"
"""


class Case(unittest.TestCase):
    options = ""

    def setUp(self):
        self.lines = venue.Lines(self)
        text = GATEWAY_BUS + FEED % (self.options, self.lines.group("A"), self.lines.group("B"))
        self.daemon = Daemon(self, "holdfast-gateway", text).start()
        self.client = MarketClient(self, self.daemon.endpoint("gateway.md"), "itch", everything=True)
        self.client.sync()
        self.lines.wait_heard(self.health())
        self.order = Order(per_topic=False)

    def open(self):
        self.lines.open(*SYMBOLS)
        self.client.wait_live()

    def orders(self, count=3):
        return self.lines.orders(count, *SYMBOLS)

    def end(self):
        """A last packet on both lines, and everything up to it, followed."""
        last = self.lines.next
        self.lines.both(self.orders(1))
        received = self.client.until(
            lambda message: message["kind"] == "data" and message["sequence"] >= last, f"sequence {last}")
        for message in received:
            self.order.take(message)
        return received

    def health(self):
        return HealthClient(self, self.daemon.endpoint("gateway.pub"), self.daemon.endpoint("gateway.req"))

    def wait_counted(self, name, at_least):
        """Waits until both paths together count so many, in the samples that come each second."""
        samples = HealthClient(self, self.daemon.endpoint("gateway.pub"), self.daemon.endpoint("gateway.req"),
                               "sample/desk/feed-path/")
        counts = {}

        def counted(message):
            counts[message["name"]] = message["values"].get(name, 0)
            return sum(counts.values()) >= at_least
        samples.wait(counted, f"{at_least} {name}")

    def sequences(self, messages):
        return [message["sequence"] for message in messages if message["kind"] == "data"]

    def gaps(self, messages):
        return [(message["told"]["first"], message["told"]["last"]) for message in messages if message["kind"] == "gap"]


class Sessions(Case):
    options = f'silence = "300ms"\nsession = {{ {session(2, 3)} }}'

    def test_outside_its_session_a_feed_is_closed_and_its_silence_no_failure(self):
        health = self.health()
        health.subscribe("state/desk/feed")
        state = health.settle("feed/itch", "ok")
        self.assertRegex(state["reason"], r"^closed: no session until 20.* UTC$")
        for path in "AB":
            health.settle(f"feed-path/itch.{path}", "ok")
        frame = self.client.wait(lambda message: message["kind"] in ("state", "heartbeat"), "a control frame")
        self.assertEqual(frame["state"], "closed")
        # Whatever comes all the same is passed on, as a closed feed's.
        self.lines.open(*SYMBOLS)
        received = self.end()
        self.assertEqual({message["state"] for message in received}, {"closed"})
        self.assertIn(1, self.sequences(received))
        self.assertEqual({state["status"] for subject, state in health.states().items() if "itch" in subject}, {"ok"})


class Arbitration(Case):
    # A machine that is busy reads one line long before the other; how long a hole waits is not what is tried here.
    options = 'reorder_time = "500ms"'

    def test_each_message_of_two_equal_lines_comes_once_and_in_order(self):
        self.open()
        for _ in range(300):
            self.lines.both(self.orders())
        received = self.end()
        self.assertEqual(self.order.faults, [])
        self.assertEqual(self.sequences(received), list(range(self.sequences(received)[0], self.lines.next)))
        self.assertEqual(self.gaps(received), [])
        bodies = [message["body"] for message in received if message["kind"] == "data" and message["body"][:1] == b"A"]
        self.assertEqual([struct.unpack_from(">Q", body, 11)[0] for body in bodies],
                         [message["sequence"] for message in received if message["body"][:1] == b"A"])

    def test_a_message_goes_to_the_topic_of_its_instrument(self):
        self.open()
        self.lines.both(self.orders(3))
        received = self.end()
        for message in received:
            if message["kind"] == "data" and message["body"][:1] == b"A":
                self.assertEqual(message["topic"], f"md/itch/{message['body'][24:32].decode().strip()}/")

    def test_what_one_line_loses_the_other_fills(self):
        self.open()
        chance = random.Random(1)
        for _ in range(500):
            packet = self.orders()
            loser = chance.choice(["A", "B", None])
            for line in "AB":
                if line != loser:
                    self.lines.send(line, packet)
        received = self.end()
        self.assertEqual((self.order.faults, self.gaps(received)), ([], []))

    def test_what_both_lines_lose_is_told_as_an_exact_gap_and_nothing_else_is(self):
        self.open()
        first = self.lines.next
        self.lines.both(self.orders(2))
        self.orders(3)  # to nobody
        self.lines.both(self.orders(2))
        self.orders(1)
        received = self.end()
        self.assertEqual(self.gaps(received), [(first + 2, first + 4), (first + 7, first + 7)])
        reasons = {message["told"]["reason"] for message in received if message["kind"] == "gap"}
        self.assertEqual(reasons, {"not_recovered"})
        self.assertEqual(self.order.faults, [])

    def test_loss_at_random_on_both_lines_leaves_nothing_untold(self):
        self.open()
        chance = random.Random(2)
        for _ in range(2000):
            packet = self.orders()
            for line in "AB":
                if chance.random() >= 0.05:
                    self.lines.send(line, packet)
        self.end()
        self.assertEqual(self.order.faults, [])
        self.assertGreater(self.order.missing, 0)

    def test_packets_in_disorder_are_put_in_order(self):
        self.open()
        packets = [self.orders() for _ in range(200)]
        for at in range(0, 200, 4):
            for packet in reversed(packets[at:at + 4]):
                self.lines.both(packet)
        received = self.end()
        self.assertEqual((self.order.faults, self.gaps(received)), ([], []))

    def test_repeated_packets_are_delivered_once(self):
        self.open()
        packets = [self.orders() for _ in range(50)]
        for packet in packets + packets[::-1] + packets:
            self.lines.both(packet)
        received = self.end()
        self.assertEqual((self.order.faults, self.gaps(received)), ([], []))

    def test_lines_may_cut_their_packets_differently(self):
        self.open()
        first = self.lines.next
        messages = [venue.add_order(number % 3 + 1, number, SYMBOLS[number % 3]) for number in range(first, first + 60)]
        for line, size in (("A", 3), ("B", 7)):
            for at in range(0, 60, size):
                self.lines.send(line, venue.mold(self.lines.session, first + at, messages[at:at + size]))
        self.lines.next += 60
        received = self.end()
        self.assertEqual((self.order.faults, self.gaps(received)), ([], []))

    def test_a_heartbeat_reveals_the_loss_of_the_last_message(self):
        self.open()
        self.lines.both(self.orders())
        lost = self.lines.next
        self.orders(2)
        self.lines.both(venue.mold_heartbeat(self.lines.session, self.lines.next))
        gap = self.client.wait(lambda message: message["kind"] == "gap", "the gap")
        self.assertEqual((gap["told"]["first"], gap["told"]["last"]), (lost, lost + 1))


class Topics(Case):
    def test_previous_names_the_message_before_of_the_same_topic(self):
        self.open()
        for _ in range(20):
            self.lines.both(self.orders(7))
        last = {}
        for message in self.end():
            if message["kind"] == "data" and message["body"][:1] == b"A":
                if message["topic"] in last:
                    self.assertEqual(message["previous"], last[message["topic"]])
                last[message["topic"]] = message["sequence"]
        self.assertEqual(len(last), 3)

    def test_a_client_of_one_symbol_gets_that_one_and_the_control_topic(self):
        self.open()
        one = MarketClient(self, self.daemon.endpoint("gateway.md"), "itch", "BRAVO")
        one.sync()
        for _ in range(20):
            self.lines.both(self.orders(7))
        last = self.lines.next + 1
        self.lines.both(self.orders(3))
        received = one.until(lambda message: message["kind"] == "data" and message["sequence"] >= last, "the last")
        self.assertEqual({message["topic"] for message in received if message["kind"] == "data"}, {"md/itch/BRAVO/"})
        order = Order(per_topic=False)
        for message in received:
            order.follow_topic(message) if message["kind"] == "data" else None
        self.assertEqual(order.faults, [])

    def test_an_idle_topic_tells_its_last_sequence(self):
        self.open()
        first = self.lines.next
        self.lines.both(self.orders(3))
        idle = self.client.wait(lambda message: message["kind"] == "idle" and message["topic"] == "md/itch/BRAVO/"
                                and message["sequence"] > 3, "an idle frame")
        self.assertEqual((idle["sequence"], idle["previous"], idle["body"]), (first + 1, first + 1, b""))

    def test_a_late_joiner_is_told_the_state_and_the_topic_s_position(self):
        self.open()
        first = self.lines.next
        self.lines.both(self.orders(3))
        self.end()
        late = MarketClient(self, self.daemon.endpoint("gateway.md"), "itch", "BRAVO")
        before = late.sync()
        kinds = {(message["kind"], message["topic"]) for message in before}
        self.assertIn(("state", "control/itch/0/"), kinds)
        idle = next(message for message in before if message["kind"] == "idle")
        self.assertEqual((idle["topic"], idle["sequence"]), ("md/itch/BRAVO/", first + 1))

    def test_heartbeats_count_what_was_published_and_what_was_told(self):
        self.open()
        self.lines.both(self.orders(2))
        self.orders(3)
        self.end()
        beat = self.client.wait(lambda message: message["kind"] == "heartbeat" and message["told"]["gaps"], "a heartbeat")
        self.assertEqual((beat["told"]["gaps"], beat["told"]["published"]), (3, self.lines.next - 1 - 3))
        self.assertEqual((beat["told"]["interval_ms"], beat["sequence"]), (100, self.lines.next - 1))

    def test_messages_before_the_directory_are_marked_unresolved(self):
        self.lines.both(self.orders(3))
        self.client.wait_live()
        self.lines.both(self.orders(3))
        message = self.client.wait(lambda message: message["kind"] == "data", "data")
        self.assertIn("unresolved", message["flags"])
        self.assertRegex(message["topic"], r"^md/itch/%23[123]/$")
        self.open()
        self.lines.both(self.orders(3))
        message = self.client.wait(lambda message: message["kind"] == "data" and message["body"][:1] == b"A"
                                   and "unresolved" not in message["flags"], "data with a name")
        self.assertIn(message["names"][2], SYMBOLS)

    def test_a_refused_subscription_is_told_and_disturbs_nothing(self):
        self.open()
        wrong = ("", "md/", "md/itch", "md/nofeed/ALFA/", "md/itch/ALFA", "nonsense/", "md/itch/%zz/", "control/itch/x/",
                 "md/itch/" + "x" * 500 + "/")
        other = MarketClient(self, self.daemon.endpoint("gateway.md"), "itch")
        other.subscribe(*wrong)
        other.sync()
        status = self.health().status()
        refused = {entry["prefix"]: entry["error"] for entry in status["refused"]}
        for prefix in wrong[:-1]:
            self.assertIn(prefix, refused)
            self.assertTrue(refused[prefix])
        self.assertGreaterEqual(status["subscriptions_refused"], len(wrong))
        self.lines.both(self.orders(30))
        self.end()
        self.assertEqual(self.order.faults, [])
        leaked = [message for message in other.sync() if message["kind"] == "data"]
        self.assertEqual(leaked, [])

    def test_who_does_not_speak_the_protocol_is_hung_up_on_and_counted(self):
        self.open()
        path = self.daemon.endpoint("gateway.md").removeprefix("ipc://")
        for number in range(5):
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.settimeout(harness.PATIENCE_S)
                stranger.connect(path)
                stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes([number]) * 100)
                try:
                    while stranger.recv(4096):
                        pass
                except ConnectionResetError:
                    pass  # what it sent was not read to its end
        self.lines.both(self.orders(30))
        self.end()
        self.assertEqual(self.order.faults, [])
        self.assertEqual(self.health().status()["broken_client_connections"], 5)

    def test_a_peer_that_gives_up_what_it_never_held_takes_nothing_from_others(self):
        self.open()
        raw = RawPeer(self, self.daemon.endpoint("gateway.md"))
        for message in (b"\x00md/itch/", b"\x00control/itch/", b"\x00md/itch/ALFA/", b"\x07odd", b"", b"\x01sync/raw/"):
            raw.send(message)
        raw.wait_frame(b"sync/raw/")
        self.lines.both(self.orders(30))
        self.end()
        self.assertEqual(self.order.faults, [])
        status = self.health().status()
        self.assertGreaterEqual(status["unsubscriptions_ignored"], 3)
        self.assertGreaterEqual(status["malformed_client_messages"], 1)

    def test_a_client_that_subscribes_to_a_million_topics_holds_what_one_may_and_costs_others_nothing(self):
        self.open()
        before = self.health().status()["subscriptions"]
        raw = RawPeer(self, self.daemon.endpoint("gateway.md"))

        def subscribe():
            for start in range(0, 1_000_000, 5000):
                topics = (b"\x01md/itch/S%d/" % number for number in range(start, start + 5000))
                raw.socket.sendall(b"".join(bytes([0, len(topic)]) + topic for topic in topics))
            raw.send(b"\x01sync/raw/")
        greedy = threading.Thread(target=subscribe, daemon=True)
        greedy.start()
        while greedy.is_alive():  # the market goes on
            self.lines.both(self.orders())
            greedy.join(0.005)
        raw.wait_frame(b"sync/raw/")
        received = self.end()
        self.assertEqual((self.order.faults, self.gaps(received)), ([], []))
        self.assertEqual(self.sequences(received)[-1], self.lines.next - 1)
        status = self.health().status()
        held = status["subscriptions"] - before - 1  # the marker
        self.assertEqual((status["subscriptions_refused"], held), (900_000, 100_000))
        self.assertEqual(status["dropped_messages"], 0)
        # What is told of the refusals is bounded, too.
        self.assertLessEqual(len(status["refused"]), 1000)
        self.assertRegex(status["refused"][-1]["error"], "holds 100000 subscriptions")


class Paths(Case):
    options = 'silence = "1s"\nsilence_behind_twin = "200ms"\nfreshness = "500ms"\n'

    def test_a_line_that_falls_silent_behind_its_twin_is_critical_and_nothing_is_lost(self):
        self.open()
        health = self.health()
        health.subscribe("state/")
        health.join()
        done = []
        while not done:  # the venue goes on until the gateway has noticed
            self.lines.send("B", self.orders(1))
            done = [message for message in health.messages(0.01) if message["kind"] == "feed-path"
                    and message["name"] == "itch.A" and message["status"] == "critical"]
            self.assertLess(self.lines.next, 10_000, "nobody noticed")
        feed = health.states()["feed/itch"]
        self.assertEqual(feed["status"], "warning")
        self.assertIn("redundancy", feed["reason"])
        self.end()
        self.assertEqual((self.order.faults, self.order.missing), ([], 0))

    def test_silence_on_both_lines_is_never_called_live(self):
        self.open()
        self.lines.both(self.orders())
        stale = self.client.wait(lambda message: message["kind"] == "state" and message["state"] == "stale", "stale")
        self.assertIn("stale", stale["flags"])
        beat = self.client.wait(lambda message: message["kind"] == "heartbeat", "a heartbeat")
        self.assertNotEqual(beat["state"], "live")
        self.lines.both(self.orders())
        self.client.wait_live()

    def test_a_quiet_market_with_heartbeats_stays_live(self):
        self.open()
        states = set()
        for _ in range(20):
            self.lines.both(venue.mold_heartbeat(self.lines.session, self.lines.next))
            states |= {message["state"] for message in self.client.messages(0.1) if message["kind"] == "heartbeat"}
        self.assertEqual(states, {"live"})

    def test_the_end_of_the_session_closes_the_channel_and_the_next_opens_it(self):
        self.open()
        first = self.client.wait(lambda message: message["kind"] == "heartbeat", "a heartbeat")["epoch"]
        for _ in range(3):
            self.lines.both(venue.mold_end(self.lines.session, self.lines.next))
        closed = self.client.wait_channel("closed")
        self.assertIn("ended", closed["told"]["reason"])
        self.lines.session, self.lines.next = "S000000002", 1
        for _ in range(5):
            self.open_again()
        message = self.client.wait(lambda message: message["kind"] == "data" and message["epoch"] != first, "data")
        self.assertEqual(message["sequence"], 1)
        self.client.wait_live()

    def open_again(self):
        self.lines.open(*SYMBOLS)
        self.lines.both(self.orders())


class AnotherProtocol(Case):
    options = 'silence = "300ms"'

    def test_a_path_on_which_something_else_comes_says_so(self):
        health = self.health()
        health.subscribe("state/desk/feed-path")
        while True:
            self.lines.both(b"\x01\x00\x04\x80 of quite another protocol, and long enough")
            told = [message for message in health.messages(0.1) if "is no moldudp64" in message.get("reason", "")]
            if told:
                break
        self.assertEqual(told[0]["status"], "critical")
        self.assertRegex(told[0]["reason"], r"\(what comes is no moldudp64\)$")


class HostileInput(Case):
    def hostile(self):
        """Packets that are none, by the name under which they are counted where one is certain."""
        chance = random.Random(3)
        good = venue.mold(self.lines.session, self.lines.next, [venue.add_order(1, 1, "ALFA")] * 5)
        yield from ((b"x" * length, "truncated") for length in range(20))
        yield from ((good[:length], "truncated") for length in range(20, len(good), 7))
        yield venue.mold("S000000001", 2**64 - 2, [b"x"] * 4), "sequence-overflow"
        for _ in range(200):
            yield chance.randbytes(chance.randrange(1, 1500)), None
        for _ in range(300):  # no flip in the session or sequence: those would be another venue's good packets
            flipped = bytearray(good)
            flipped[chance.randrange(18, len(good))] ^= 1 << chance.randrange(8)
            flipped[18:20] = (5000 + chance.randrange(60_000)).to_bytes(2, "big")
            yield bytes(flipped), None
        yield venue.mold(self.lines.session, self.lines.next + 2**40, [b"far ahead"]), None
        yield venue.mold(self.lines.session, 0, [b"sequence zero"]), None
        yield venue.mold("OTHER", 5, [venue.add_order(1, 1, "ALFA")]), None
        yield os.urandom(65_000), None
        yield b"", None

    def test_packets_that_are_none_are_counted_by_name_and_data_goes_on(self):
        self.open()
        for number, (packet, _) in enumerate(self.hostile()):
            self.lines.send("AB"[number % 2], packet)
            if number % 10 == 0:
                self.lines.both(self.orders())
        self.end()
        self.assertEqual(self.order.faults, [])
        self.assertTrue(self.daemon.is_running())
        certain = [name for _, name in self.hostile() if name]
        for name in set(certain):
            self.wait_counted(f"decode_errors_{name}", certain.count(name))

    def test_what_was_refused_is_told_with_its_place_and_at_a_limited_rate(self):
        self.open()
        packet = venue.mold(self.lines.session, self.lines.next, [venue.add_order(1, 1, "ALFA")])
        for _ in range(100):
            self.lines.send("A", packet[:-3])
        self.wait_counted("decode_errors_truncated", 100)
        last = f"{len(packet) - 3} bytes, offset 22: truncated, 36 bytes wanted, 33 left"
        self.daemon.wait_log(f"of {last}, which is no moldudp64")
        self.assertEqual(self.daemon.log().count("which is no moldudp64"), 1)
        states = self.health().states()
        self.assertEqual(states["feed-path/itch.A"]["values"]["refused_last"], last)
        self.assertNotIn("refused_last", states["feed-path/itch.B"]["values"])

    def test_a_stray_packet_of_another_session_opens_no_epoch(self):
        self.open()
        epochs = set()
        for number in range(200):
            if number % 40 == 20:
                self.lines.send("A", venue.mold("INTRUDER", 1 + number, [venue.add_order(1, 1, "ALFA")]))
            self.lines.both(self.orders())
        for message in self.end():
            epochs.add(message["epoch"])
        self.assertEqual(self.order.faults, [])
        self.assertEqual(len(epochs), 1)

    def test_a_venue_that_changes_its_session_starts_a_new_epoch_and_mixes_nothing(self):
        self.open()
        self.lines.both(self.orders())
        old = self.end()[-1]["epoch"]
        self.lines.session, self.lines.next = "S000000002", 1
        for _ in range(40):
            self.lines.open(*SYMBOLS)
            self.lines.both(self.orders(5))
        received = self.end()
        epochs = [message["epoch"] for message in received if message["kind"] == "data"]
        self.assertEqual(epochs, sorted(epochs, key=lambda epoch: epoch != old), "no message of the old one comes back")
        self.assertNotEqual(epochs[-1], old)
        self.assertEqual(self.order.faults, [])
        new = [message["sequence"] for message in received if message["kind"] == "data" and message["epoch"] != old]
        self.assertEqual(new, list(range(1, self.lines.next)))

    def test_copies_that_differ_are_told(self):
        self.open()
        sequence = self.lines.next
        self.lines.send("A", venue.mold(self.lines.session, sequence, [venue.add_order(1, 1, "ALFA")]))
        self.lines.send("B", venue.mold(self.lines.session, sequence, [venue.add_order(1, 2, "ALFA")]))
        self.lines.next += 1
        self.end()
        self.assertEqual(self.order.faults, [])
        self.wait_counted("divergent", 1)


    def test_a_line_that_goes_on_to_differ_is_left_and_its_copies_are_not_delivered(self):
        self.open()
        wrong, right = venue.add_order(1, 666, "ALFA"), venue.add_order(1, 1, "ALFA")

        def say(lines):
            for line in lines:
                self.lines.send(line, venue.mold(
                    self.lines.session, self.lines.next, [wrong if line == "B" else right]))
            self.lines.next += 1
        for _ in range(5):
            say("AB")
        state = self.health().settle("feed-path/itch.B", "critical")
        self.assertIn("differ from those of A", state["reason"])
        first = self.lines.next
        for _ in range(50):
            say("BA")  # the wrong one comes first
        bodies = [message["body"] for message in self.end()
                  if message["kind"] == "data" and message["sequence"] >= first][:50]
        self.assertEqual(bodies, [right] * 50)
        self.assertEqual(self.order.faults, [])
        self.assertEqual(self.health().states()["feed/itch"]["status"], "warning")


@needs_namespaces
class OneGroup(unittest.TestCase):
    """Both lines have the same group, each on a link of its own."""

    GROUP = dict.fromkeys("AB", ("239.82.1.1", 30001))

    def setUp(self):
        self.lines, self.next = market.Lines(self, lambda packet: self.GROUP), 1
        text = (GATEWAY_BUS + '[[feed]]\nname = "md"\nprotocol = "moldudp64"\npolicy = "hot-hot"\n'
                'silence = "1h"\nsilence_behind_twin = "1h"\n' + self.lines.paths((self.GROUP,)))
        daemon = Daemon(self, "holdfast-gateway", text, self.lines.desk).start()
        self.health = HealthClient(self, daemon.endpoint("gateway.pub"), daemon.endpoint("gateway.req"))
        self.lines.wait_heard(self.health, self.heartbeat)

    def heartbeat(self):
        return [venue.mold_heartbeat("S000000001", self.next)]

    def packets(self):
        """How many each line has counted, when the next message has come on both: whatever came before it is in."""
        self.lines.send(venue.mold("S000000001", self.next, [venue.add_order(1, self.next, "ALFA")]))
        self.next += 1
        until = time.monotonic() + harness.PATIENCE_S
        while time.monotonic() < until:
            states = self.health.states()
            values = {line: states[f"feed-path/md.{line}"]["values"] for line in "AB"}
            if all(counted["messages"] >= self.next - 1 for counted in values.values()):
                return {line: counted["packets"] for line, counted in values.items()}
        self.fail(f"message {self.next - 1} did not come on both lines: {values}")

    def test_a_line_counts_what_comes_in_on_its_own_link_only(self):
        for line, other in ("AB", "BA"):
            before = self.packets()
            for _ in range(50):
                self.lines.send(*self.heartbeat(), line)
            self.assertEqual(self.packets(), {line: before[line] + 51, other: before[other] + 1})


@needs_namespaces
class Multicast(unittest.TestCase):
    """`holdfast play` on two multicast groups over two links, each of which drops packets."""

    def test_every_sequence_of_two_lossy_lines_comes_once_in_order_or_is_told(self):
        desk, market = Namespace(self, "desk"), Namespace(self, "venue")
        for number, name in enumerate("ab", 1):
            harness.veth(desk, f"isp-{name}", market, f"to-{name}", number)
        groups = {"A": "239.82.1.1:30001", "B": "239.82.1.2:30001"}
        text = GATEWAY_BUS + FEED % ("", groups["A"] + '"\ninterface = "isp-a', groups["B"] + '"\ninterface = "isp-b')
        daemon = Daemon(self, "holdfast-gateway", text, desk).start()
        client = MarketClient(self, daemon.endpoint("gateway.md"), "itch", everything=True)
        client.sync()
        words = [harness.binary("holdfast"), "play", "--generate", "itch", "--symbols", "500", "--rate", "5000",
                 "--seed", "1", "--drop", "0.05"]
        for name, group in groups.items():
            words += ["--mold", f"{group}@to-{name.lower()}"]
        harness.spawn(self, market.command(*words), stderr=subprocess.DEVNULL)
        order = Order(per_topic=False)
        client.wait(lambda message: order.take(message) or order.delivered >= 20_000, "20,000 messages", 60)
        self.assertEqual(order.faults, [])
        self.assertGreater(order.missing, 0)
        health = HealthClient(self, daemon.endpoint("gateway.pub"), daemon.endpoint("gateway.req"), "state/")
        for line in "AB":
            state = health.settle(f"feed-path/itch.{line}", "warning")
            self.assertRegex(state["reason"], "losing|lost")


if __name__ == "__main__":
    unittest.main()
