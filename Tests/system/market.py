"""Venues by multicast, made from the published formats of PITCH, IEX-TP and MDP 3.0 and not from the code that reads
them: two lines over two links between namespaces, each of which loses what the test says; and the account of what a
client must get of them."""

import random
import socket
import struct
import time

import harness
import reader
from harness import Namespace

GROUPS = {"A": ("239.83.1.1", 31001), "B": ("239.83.2.1", 31002)}
SECOND = {"A": ("239.83.1.2", 31003), "B": ("239.83.2.2", 31004)}


class Lines:
    """Multicast from a namespace of the venue to one of the desk, over a link for each line; `choose` says to which
    group of each line a packet goes."""

    def __init__(self, case, choose=lambda packet: GROUPS):
        self.choose = choose
        self.desk, self.venue = Namespace(case, "desk"), Namespace(case, "venue")
        self.sockets = {}
        for number, line in enumerate(GROUPS, 1):
            harness.veth(self.desk, f"near{line}", self.venue, f"far{line}", number)

            def opened(number=number):
                made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 4)
                made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(f"10.82.{number}.2"))
                return made
            self.sockets[line] = self.venue.enter(opened)
            case.addCleanup(self.sockets[line].close)

    def paths(self, groups=(GROUPS,)):
        text = ""
        for line in GROUPS:
            listed = ", ".join('"%s:%d"' % group[line] for group in groups)
            text += (f'[[feed.path]]\nname = "{line}"\ninterface = "near{line}"\n'
                     + (f"group = [{listed}]\n" if len(groups) > 1 else f"group = {listed}\n"))
        return text

    def send(self, packet, lines="AB"):
        for line in lines:
            self.sockets[line].sendto(packet, self.choose(packet)[line])

    def wait_heard(self, health, heartbeats):
        """Heartbeats until the gateway hears both lines."""
        until = time.monotonic() + harness.PATIENCE_S
        while time.monotonic() < until:
            for packet in heartbeats():
                self.send(packet)
            states = health.states()
            if all(states.get(f"feed-path/md.{line}", {}).get("status") == "ok" for line in GROUPS):
                return
        health.case.fail(f"the gateway does not hear both lines: {states}")


# PITCH: integers are little-endian, messages open with their length and type


def unit(number, sequence, messages):
    body = b"".join(messages)
    return struct.pack("<HBBI", 8 + len(body), len(messages), number, sequence) + body


def pitch(kind, fields=b""):
    """A message with a time offset of 0."""
    return struct.pack("<BBI", 6 + len(fields), kind, 0) + fields


def pitch_time(seconds):
    return struct.pack("<BBI", 6, 0x20, seconds)


def pitch_add(order, symbol, quantity=100):
    return pitch(0x22, struct.pack("<QcH6sHB", order, b"B", quantity, symbol.ljust(6).encode(), 1000, 1))


def pitch_execute(order, quantity):
    return pitch(0x23, struct.pack("<QIQ", order, quantity, 1))


def pitch_delete(order):
    return pitch(0x29, struct.pack("<Q", order))


def pitch_trade(symbol):
    return pitch(0x2A, struct.pack("<QcI6sQQ", 0, b"B", 100, symbol.ljust(6).encode(), 10_000, 1))


PITCH_CLEAR, PITCH_END = pitch(0x97), pitch(0x2D)


# IEX-TP: a header of forty bytes, then messages behind their lengths


def segment(session, first, messages, channel=1, offset=0):
    body = b"".join(struct.pack("<H", len(message)) + message for message in messages)
    return struct.pack("<BxHIIHHqqq", 1, 0x8004, channel, session, len(body), len(messages), offset, first,
                       time.time_ns()) + body


def price_level(symbol, size):
    """DEEP's price level update, buy side."""
    return struct.pack("<cBq8sIq", b"8", 1, time.time_ns(), symbol.ljust(8).encode(), size, 10_000)


def iex_event(code):
    return struct.pack("<ccq", b"S", code, time.time_ns())


# MDP 3.0: a header of twelve bytes, then SBE messages behind their sizes


def mdp3(sequence, messages):
    return struct.pack("<IQ", sequence, time.time_ns()) + b"".join(messages)


def sbe(template, root, rest=b""):
    return struct.pack("<HHHHH", 10 + len(root) + len(rest), len(root), template, 1, 9) + root + rest


def book(*securities):
    """MDIncrementalRefreshBook: one entry for each."""
    entries = b"".join(struct.pack("<qiiIiBB6x", 10_000, 1, security, 1, 1, 1, 0) for security in securities)
    return sbe(46, struct.pack("<QB2x", time.time_ns(), 0x84), struct.pack("<HB", 32, len(securities)) + entries
               + struct.pack("<H5xB", 24, 0))


def volume(security):
    return sbe(37, struct.pack("<QB2x", time.time_ns(), 1), struct.pack("<HBiiIB3x", 16, 1, 1, security, 1, 0))


MDP3_HEARTBEAT = sbe(12, b"")


def channel_reset():
    return sbe(4, struct.pack("<QB", time.time_ns(), 0x84), struct.pack("<HBh", 2, 1, 310))


# What must come of it


class Account:
    """What was sent under each number of each channel and numbering, what both lines lost, and what a client got."""

    def __init__(self, case):
        self.case = case
        self.sent = {}  # (channel, numbering) -> {sequence: {instrument or None: body}}
        self.lost = {}  # likewise -> the numbers that no line brought
        self.epochs = {}  # (channel, epoch) -> numbering, in the order of their coming
        self.data, self.gaps, self.order = {}, {}, {}
        self.position, self.missing = reader.Position(), []

    def note(self, channel, numbering, sequence, parts, is_lost=False):
        self.sent.setdefault((channel, numbering), {})[sequence] = parts
        if is_lost:
            self.lost.setdefault((channel, numbering), set()).add(sequence)

    def take(self, message):
        """One message of a client that takes the whole feed."""
        kind, channel = message["kind"], message["channel"]
        _, missing = self.position.take(message["topic"], message, message["told"])
        self.missing += missing
        if kind not in ("data", "gap"):
            return
        numbering = self.epochs.setdefault((channel, message["epoch"]),
                                           sum(1 for known, _ in self.epochs if known == channel))
        space, sequence = (channel, numbering), message["sequence"]
        if kind == "gap":
            self.gaps.setdefault(space, []).extend(range(message["told"]["first"], message["told"]["last"] + 1))
            return
        self.case.assertGreaterEqual(sequence, self.order.get(space, 0), f"{space}: {sequence} is out of order")
        self.order[space] = sequence
        got = self.data.setdefault(space, {}).setdefault(sequence, {})
        instrument = message["names"][2]
        self.case.assertNotIn(instrument, got, f"{space}: {sequence} came twice to {instrument}")
        got[instrument] = message["body"]

    def settle(self):
        """Each number was delivered, once to each of its instruments, or told as missing because no line had it."""
        for space, sent in self.sent.items():
            lost = self.lost.get(space, set())
            told = self.gaps.get(space, [])
            self.case.assertEqual(sorted(told), sorted(lost), f"{space}: gaps")
            self.case.assertEqual(self.data.get(space), {sequence: parts for sequence, parts in sent.items()
                                                         if sequence not in lost}, f"{space}: data")
        own = [missing for missing in self.missing if missing[3] == "own"]
        self.case.assertEqual(own, [], "a topic's numbers show losses that no gap told")
        self.case.assertGreater(sum(len(lost) for lost in self.lost.values()), 0, "nothing was lost on both lines")


class Loss:
    """Which packets each line loses: as the seed says."""

    def __init__(self, seed, ratio):
        self.chance, self.ratio = random.Random(seed), ratio

    def lines(self):
        return "".join(line for line in GROUPS if self.chance.random() >= self.ratio)
