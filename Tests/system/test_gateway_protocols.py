"""PITCH, IEX-TP and MDP 3.0 over real multicast: two lossy lines, a gap on both, numbers that begin anew. Nothing is
lost without being told, nothing comes twice."""

import random
import subprocess
import unittest

import harness
import market
from harness import GATEWAY_BUS, Daemon, HealthClient, MarketClient, Order, needs_namespaces
from market import Account, Lines, Loss

HEAD = GATEWAY_BUS + """[[feed]]
name = "md"
policy = "hot-hot"
# A machine that is busy reads one line long before the other; how long a hole waits is not what is tried here.
reorder_time = "200ms"
"""

BATCH = 40  # packets that are on their way at most: fewer than any buffer holds


class Case(unittest.TestCase):
    options, groups = "", (market.GROUPS,)

    @staticmethod
    def choose(packet):
        return market.GROUPS

    def setUp(self):
        self.lines = Lines(self, self.choose)
        text = HEAD + self.options + self.lines.paths(self.groups)
        self.daemon = Daemon(self, "holdfast-gateway", text, self.lines.desk).start()
        self.client = MarketClient(self, self.daemon.endpoint("gateway.md"), "md", everything=True)
        self.client.sync()
        self.health = HealthClient(self, self.daemon.endpoint("gateway.pub"), self.daemon.endpoint("gateway.req"))
        self.lines.wait_heard(self.health, self.heartbeats)
        self.account, self.loss = Account(self), Loss(1, 0.15)

    def follow(self, channel, sequence, numbering=0):
        """Takes what comes until a number was delivered."""
        space = (channel, numbering)
        self.client.wait(lambda message: self.account.take(message) or self.account.order.get(space, 0) >= sequence,
                         f"sequence {sequence} of channel {channel}")

    def values(self, subject):
        return self.health.states()[subject]["values"]

    def assert_well(self):
        """Nothing was refused."""
        self.assertTrue(self.daemon.is_running())
        for line in market.GROUPS:
            refused = {name for name in self.values(f"feed-path/md.{line}") if name.startswith("decode_errors")}
            self.assertEqual(refused, set())


@needs_namespaces
class PITCH(Case):
    options = 'protocol = "pitch"\nchannels = [1, 2]\n'
    symbols = {1: ("ALFA", "BRAVO"), 2: ("CHARLY", "DELTA")}

    def setUp(self):
        self.next, self.numbering = {1: 1, 2: 1}, {1: 0, 2: 0}
        self.open, self.count, self.chance = {1: [], 2: []}, 0, random.Random(7)
        super().setUp()

    def heartbeats(self):
        return [market.unit(number, following, []) for number, following in self.next.items()]

    def message(self, number):
        """A message and the instrument that it concerns: a new order, or what becomes of one."""
        if self.open[number] and self.chance.random() < 0.6:
            order, symbol, left = self.chance.choice(self.open[number])
            self.open[number].remove((order, symbol, left))
            if self.chance.random() < 0.5:
                return market.pitch_delete(order), order, symbol
            if left > 40:
                self.open[number].append((order, symbol, left - 40))
            return market.pitch_execute(order, min(left, 40)), order, symbol
        symbol = self.chance.choice(self.symbols[number])
        if self.chance.random() < 0.1:
            return market.pitch_trade(symbol), None, symbol
        self.count += 1
        self.open[number].append((self.count, symbol, 100))
        return market.pitch_add(self.count, symbol), self.count, symbol

    def packet(self, number, lines, *messages):
        """The next packet of a unit, noted with what each message must reach."""
        made = messages or [self.message(number) for _ in range(self.chance.randrange(1, 6))]
        first = self.next[number]
        for offset, (message, order, symbol) in enumerate(made):
            if not lines and message[1] == 0x22:
                self.unknown.add(order)
            instrument = None if order in self.unknown else symbol
            self.account.note(number, self.numbering[number], first + offset, {instrument: message}, not lines)
        self.next[number] += len(made)
        self.lines.send(market.unit(number, first, [message for message, _, _ in made]), lines)

    unknown = frozenset()

    def play(self, packets, lossy=True):
        for index in range(packets):
            number = index % 2 + 1
            self.packet(number, self.loss.lines() if lossy else "AB")
            if index % BATCH >= BATCH - 2:
                self.packet(number, "AB")
                self.follow(number, self.next[number] - 1, self.numbering[number])

    def test_two_lossy_lines_of_two_units_lose_nothing_untold(self):
        self.unknown = set()
        self.play(1200)
        for number in (1, 2):  # a gap on both lines, and what follows it
            self.packet(number, "")
            self.packet(number, "AB")
            self.follow(number, self.next[number] - 1)
        self.account.settle()
        self.assert_well()

    def test_a_unit_clear_that_begins_anew_mixes_nothing_with_what_was_before(self):
        self.unknown = set()
        self.play(2 * BATCH)
        self.packet(1, "")
        self.packet(1, "AB")
        self.follow(1, self.next[1] - 1)
        before = self.next[1]
        clear = (market.PITCH_CLEAR, None, None)
        # The last message of before comes on B when A has begun anew.
        self.next[1], self.numbering[1], held = 1, 1, self.open[1]
        self.open[1] = []
        self.packet(1, "A", clear, (market.pitch_add(10**6, "ALFA"), 10**6, "ALFA"))
        add = market.pitch_add(10**6 + 1, "BRAVO")
        self.account.note(1, 0, before, {"BRAVO": add})
        self.lines.send(market.unit(1, before, [add]), "B")
        self.lines.send(market.unit(1, 1, [market.PITCH_CLEAR, market.pitch_add(10**6, "ALFA")]), "B")
        self.packet(1, "AB", (market.pitch_delete(10**6), 10**6, "ALFA"))
        self.follow(1, self.next[1] - 1, 1)
        # An order of before is void.
        stale = held[0][0] if held else 1
        self.unknown.add(stale)
        self.packet(1, "AB", (market.pitch_delete(stale), stale, "ALFA"))
        self.play(2 * BATCH)
        self.account.settle()
        self.assertEqual(len({epoch for channel, epoch in self.account.epochs if channel == 1}), 2)
        self.assertEqual(len({epoch for channel, epoch in self.account.epochs if channel == 2}), 1)

    def test_the_numbers_go_on_after_the_last(self):
        self.unknown = set()
        self.next[1] = 2**32 - 1 - 50
        # The unit jumps there, as if the day had been long: a gateway that begins here.
        self.daemon.stop()
        self.daemon.start()
        self.client = MarketClient(self, self.daemon.endpoint("gateway.md"), "md", everything=True)
        self.client.sync()
        self.lines.wait_heard(self.health, self.heartbeats)
        while self.next[1] <= 2**32 - 1 + 50:
            first, made = self.next[1], [self.message(1) for _ in range(3)]
            for offset, (message, order, symbol) in enumerate(made):
                self.account.note(1, 0, first + offset, {symbol: message})
            self.next[1] += 3
            sent = (first - 1) % (2**32 - 1) + 1
            self.lines.send(market.unit(1, sent, [message for message, _, _ in made]), self.loss.chance.choice(["A", "B", "AB"]))
            self.lines.send(market.unit(1, (self.next[1] - 1) % (2**32 - 1) + 1, []))
        self.follow(1, self.next[1] - 1)
        self.assertEqual(self.account.data[1, 0], self.account.sent[1, 0])
        self.assertEqual(self.account.gaps, {})

    def test_the_end_of_the_session_closes_the_unit(self):
        self.unknown = set()
        self.play(BATCH, lossy=False)
        self.packet(1, "AB", (market.PITCH_END, None, None))
        closed = self.client.wait(lambda message: self.account.take(message) or message["state"] == "closed", "closed")
        self.assertEqual(closed["topic"], "control/md/1/")

    def test_packets_that_are_none_are_counted_and_data_goes_on(self):
        self.unknown = set()
        chance = random.Random(3)
        good = market.unit(1, self.next[1], [market.pitch_delete(1)] * 4)
        bad = [good[:length] for length in range(len(good))]
        bad += [bytes([good[0], 0, 200]) + good[3:], good[:8] + b"\1" + good[9:], good[:8] + b"\xff" + good[9:]]
        for number, packet in enumerate(bad):
            self.lines.send(packet, "AB"[number % 2])
        for _ in range(3):  # a unit that is not configured
            self.lines.send(market.unit(200, 1, [market.pitch_delete(1)]))
        for _ in range(200):
            self.lines.send(chance.randbytes(chance.randrange(1, 7)), "A")
        self.play(BATCH, lossy=False)
        self.packet(1, "AB")
        self.follow(1, self.next[1] - 1)
        self.assertEqual(self.account.gaps, {})
        self.health.subscribe("sample/desk/feed-path/")
        counted = {}
        self.health.wait(lambda message: counted.update({message["name"]: message["values"]}) or len(counted) == 2
                         and all(values.get("decode_errors_unknown-channel", 0) >= 3
                                 and values.get("decode_errors_truncated", 0) >= 10 for values in counted.values()),
                         "both paths count what was none")


@needs_namespaces
class Groups(PITCH):
    """The same with a group for each unit."""

    groups = (market.GROUPS, market.SECOND)

    @staticmethod
    def choose(packet):
        return market.SECOND if packet[3:4] == b"\2" else market.GROUPS


@needs_namespaces
class IEX(Case):
    options = 'protocol = "iex-tp"\n'
    symbols = ("ALFA", "BRAVO", "CHARLIE")

    def setUp(self):
        self.session, self.next, self.numbering, self.chance = 1137, 1, 0, random.Random(8)
        super().setUp()

    def heartbeats(self):
        return [market.segment(self.session, self.next, [])]

    def play(self, count, lossy=True):
        """Messages which the two lines cut into segments each in its own way."""
        first = self.next
        made = [(market.price_level(symbol, first + index), symbol)
                for index in range(count) for symbol in [self.chance.choice(self.symbols)]]
        self.next += count
        brought = set()
        for line in market.GROUPS:
            at = 0
            while at < count:
                size = self.chance.randrange(1, 8)
                messages = [message for message, _ in made[at:at + size]]
                if not lossy or line in self.loss.lines():
                    self.lines.send(market.segment(self.session, first + at, messages), line)
                    brought |= set(range(first + at, first + at + len(messages)))
                at += size
        for index, (message, symbol) in enumerate(made):
            self.account.note(1, self.numbering, first + index, {symbol: message}, first + index not in brought)

    def mark(self):
        """A message on both lines, followed."""
        self.play(1, lossy=False)
        self.follow(1, self.next - 1, self.numbering)

    def test_lines_that_cut_their_segments_differently_and_lose_lose_nothing_untold(self):
        for _ in range(40):
            self.play(BATCH)
            self.mark()
        self.account.settle()
        self.assert_well()

    def test_another_session_is_another_epoch_and_nothing_of_it_is_lost(self):
        self.play(BATCH)
        self.mark()
        self.session, self.next, self.numbering = 1138, 1, 1
        for _ in range(5):
            self.play(BATCH)
            self.mark()
        self.account.settle()
        self.assertEqual([epoch for _, epoch in self.account.epochs], [1137, 1138])

    def test_a_heartbeat_tells_of_a_lost_last_message_and_the_end_of_messages_closes(self):
        self.mark()
        self.account.note(1, 0, self.next, {"ALFA": b""}, True)
        self.next += 1
        self.lines.send(market.segment(self.session, self.next, []))
        gap = self.client.wait(lambda message: self.account.take(message) or message["kind"] == "gap", "the gap")
        self.assertEqual((gap["told"]["first"], gap["told"]["last"]), (self.next - 1, self.next - 1))
        event = market.iex_event(b"C")
        self.account.note(1, 0, self.next, {None: event})
        self.lines.send(market.segment(self.session, self.next, [event]))
        self.client.wait(lambda message: self.account.take(message) or message["state"] == "closed", "closed")
        self.account.settle()


@needs_namespaces
class MDP3(Case):
    options = 'protocol = "mdp3"\n'

    def setUp(self):
        self.next, self.numbering, self.chance = 1, 0, random.Random(9)
        self.account = Account(self)
        super().setUp()

    def heartbeats(self):
        """They have numbers, as every packet."""
        packet = market.mdp3(self.next, [market.MDP3_HEARTBEAT])
        self.next += 1
        return [packet]

    def packet(self, lines, *messages):
        """The next packet; each security gets its messages, each with its size."""
        if not messages:
            messages = []
            for _ in range(self.chance.randrange(1, 5)):
                ids = self.chance.sample(range(100, 106), self.chance.randrange(1, 4))
                messages.append((market.book(*ids), ids) if self.chance.random() < 0.7
                                else (market.volume(ids[0]), ids[:1]))
        parts = {}
        for message, ids in messages:
            for security in ids or [None]:
                name = None if security is None else str(security)
                parts[name] = parts.get(name, b"") + message
        self.account.note(0, self.numbering, self.next, parts, not lines)
        self.lines.send(market.mdp3(self.next, [message for message, _ in messages]), lines)
        self.next += 1

    def play(self, count):
        for index in range(count):
            self.packet(self.loss.lines())
            if index % BATCH == BATCH - 1:
                self.mark()

    def mark(self):
        """A packet on both lines, of one message for no instrument, followed."""
        self.packet("AB", (market.MDP3_HEARTBEAT, ()))
        self.follow(0, self.next - 1, self.numbering)

    def settle(self):
        """The heartbeats with which it began are not in the account."""
        first = min(self.account.sent[0, 0])
        data = self.account.data[0, 0]
        for sequence in [sequence for sequence in data if sequence < first]:
            self.assertEqual(data.pop(sequence), {None: market.MDP3_HEARTBEAT})
        self.account.settle()

    def test_two_lossy_lines_lose_nothing_untold_and_each_security_gets_its_messages(self):
        self.play(1000)
        self.packet("")
        self.packet("AB", (market.MDP3_HEARTBEAT, ()))
        self.mark()
        self.settle()
        self.assert_well()

    def test_a_channel_reset_that_begins_anew_opens_an_epoch(self):
        self.play(2 * BATCH)
        self.packet("")
        self.mark()
        self.next, self.numbering = 1, 1
        self.packet("AB", (market.channel_reset(), ()))
        self.play(2 * BATCH)
        self.mark()
        self.settle()
        self.assertEqual(len(self.account.epochs), 2)

    def test_a_channel_reset_within_the_numbers_reaches_no_instrument_and_opens_none(self):
        self.mark()
        self.packet("AB", (market.channel_reset(), ()))
        self.packet("")
        self.mark()
        self.settle()
        self.assertEqual(len(self.account.epochs), 1)


@needs_namespaces
class Played(unittest.TestCase):
    """What `holdfast play` makes of each protocol, with losses of its own, arrives whole or is told."""

    def play(self, protocol, generated, instrument):
        lines = Lines(self)
        daemon = Daemon(self, "holdfast-gateway", HEAD + f'protocol = "{protocol}"\n' + lines.paths(), lines.desk).start()
        client = MarketClient(self, daemon.endpoint("gateway.md"), "md", everything=True)
        client.sync()
        words = [harness.binary("holdfast"), "play", "--generate", generated, "--symbols", "50", "--rate", "4000",
                 "--drop", "0.05"]
        for line, (group, port) in market.GROUPS.items():
            words += [f"--{protocol}", f"{group}:{port}@far{line}"]
        harness.spawn(self, lines.venue.command(*words), stderr=subprocess.DEVNULL)
        order, seen = Order(per_topic=False), set()

        def taken(message):
            order.take(message)
            if message["kind"] == "data":
                seen.add(message["names"][2])
            return order.delivered >= 8000
        client.wait(taken, "8,000 messages")
        self.assertEqual(order.faults, [])
        self.assertGreater(order.missing, 0)
        self.assertIn(instrument, seen)

    def test_pitch(self):
        self.play("pitch", "pitch", "HF0050")

    def test_iex_tp(self):
        self.play("iex-tp", "deep", "HF0050")

    def test_mdp3(self):
        self.play("mdp3", "mdp3", "50")


if __name__ == "__main__":
    unittest.main()
