"""A gateway that is stopped and started again, as an upgrade does, while the venue goes on: a subscriber can
account for every sequence, with what it received and with exact gaps, by the rules of the wire document."""

import random
import signal
import threading
import unittest

import test_gateway_quotes
from harness import Daemon, MarketClient, reader
from test_gateway_itch import SYMBOLS, Case

LOCATES = {f"#{number}": symbol for number, symbol in enumerate(SYMBOLS, 1)}


class Account:
    """What one client received and what it knows to be missing, by the reader's rules."""

    def __init__(self):
        self.position = reader.Position()
        self.received, self.missing, self.reasons = {}, {}, set()
        self.faults = []

    def take(self, message):
        is_new, missing = self.position.take(message["topic"], message, message["told"])
        for instrument, first, last, why in missing:
            self.reasons.add(why)
            instrument = LOCATES.get(instrument, instrument)
            self.missing.setdefault(instrument, []).append((first, last))
        if is_new:
            name = LOCATES.get(message["names"][2], message["names"][2])
            held = self.received.setdefault(name, [])
            if held and message["sequence"] <= held[-1]:
                self.faults.append(f"{name}: {message['sequence']} after {held[-1]}")
            held.append(message["sequence"])

    def judge(self, case, sent, since):
        """`sent`: instrument -> every sequence; from `since` on, each is received or missing, and never both."""
        case.assertEqual(self.faults, [])
        for name, sequences in sent.items():
            ranges = self.missing.get(name, []) + self.missing.get(None, [])
            received = set(self.received.get(name, []))
            case.assertEqual(len(received), len(self.received.get(name, [])), name)
            told = {number for first, last in ranges for number in range(first, last + 1)} & set(sequences)
            case.assertEqual(sorted(told & received), [], f"{name}: received, and told as missing")
            wanted = {number for number in sequences if number >= since}
            case.assertEqual(sorted(wanted - received - told), [], f"{name}: neither received nor told")


class Player:
    """Orders on both lines of the venue, for as long as the test lasts; some packets get lost on either."""

    def __init__(self, case, lines):
        self.case, self.lines, self.chance = case, lines, random.Random(3)
        self.ends = threading.Event()
        self.sent = {symbol: [] for symbol in SYMBOLS}
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        case.addCleanup(self.stop)

    def run(self):
        while not self.ends.wait(0.001):
            first, count = self.lines.next, self.chance.randint(1, 4)
            packet = self.lines.orders(count, *SYMBOLS)
            for offset in range(count):
                self.sent[SYMBOLS[offset % len(SYMBOLS)]].append(first + offset)
            for line in "AB":
                if self.chance.random() >= 0.02:
                    self.lines.send(line, packet)

    def stop(self):
        self.ends.set()
        self.thread.join()


def follow(account, client, condition, what):
    """Accounts for all messages up to the first that meets the condition."""
    for message in client.until(condition, what):
        account.take(message)


def kill(daemon):
    daemon.signal(signal.SIGKILL)
    daemon.wait_exit()


class Itch(Case):
    def restart(self, end):
        """Ends the gateway and starts it again; returns the new incarnation, which is a higher one."""
        before = self.health().status()["incarnation"]
        end(self.daemon)
        self.daemon.start()
        incarnation = self.health().status()["incarnation"]
        self.assertGreater(incarnation, before)
        return incarnation

    def last_orders(self, player):
        """The directory again, and orders that no line loses; returns the number of the first of them."""
        player.stop()
        self.lines.open(*SYMBOLS)
        first = self.lines.next
        for offset in range(6):
            player.sent[SYMBOLS[offset % len(SYMBOLS)]].append(first + offset)
        self.lines.both(self.lines.orders(6, *SYMBOLS))
        return first

    def account_for_everything(self, end):
        self.open()
        client = MarketClient(self, self.daemon.endpoint("gateway.md"), "itch", everything=True)
        account, player = Account(), Player(self, self.lines)
        follow(account, client, lambda message: message["sequence"] > 500, "500 messages")
        since = min(map(min, account.received.values()))
        for _ in range(3):
            incarnation = self.restart(end)

            def is_told(message):
                return message["kind"] == "heartbeat" and message["told"]["first"]
            follow(account, client, lambda message: is_told(message) and message["run"] == incarnation % 2**32,
                   "where the new run begins")
            goal = self.lines.next + 200
            follow(account, client, lambda message: message["sequence"] > goal, "200 messages more")
        first = self.last_orders(player)
        follow(account, client, lambda message: message["kind"] == "data" and message["sequence"] == first + 5,
               "the last order")
        self.assertIn("restart", account.reasons)
        account.judge(self, player.sent, since)

    def test_a_subscriber_of_everything_accounts_for_every_sequence(self):
        self.account_for_everything(Daemon.stop)

    def test_after_a_kill_too(self):
        self.account_for_everything(kill)

    def test_a_subscriber_of_one_symbol_is_told_that_names_are_not_known_and_accounts_for_the_rest(self):
        self.open()
        client = MarketClient(self, self.daemon.endpoint("gateway.md"), "itch", "BRAVO")
        account, player = Account(), Player(self, self.lines)
        follow(account, client, lambda message: message["kind"] == "data" and message["sequence"] > 500, "its symbol")
        since = account.received["BRAVO"][0]
        self.restart(Daemon.stop)
        follow(account, client, lambda message: message["state"] == "recovering" and message["kind"] == "state"
               and message["told"]["reason"] == "no directory", "that there is no directory")
        first = self.last_orders(player)
        follow(account, client, lambda message: message["kind"] == "data" and message["sequence"] == first + 4,
               "its symbol again")
        self.assertIn("restart", account.reasons)
        # What came while no name was known went to another topic, and the state said so.
        _, restarted = max(account.missing[None])
        sent = [number for number in player.sent["BRAVO"] if number <= restarted or number >= first]
        account.judge(self, {"BRAVO": sent}, since)


class Quotes(test_gateway_quotes.Case):
    def test_each_topic_accounts_for_every_sequence(self):
        self.start()
        symbols = {"HF1", "HF2", "HF3"}
        client = self.join(*symbols)
        client.wait_live()
        self.market.play()
        account = Account()

        def all_beyond(goal, run=None):
            """A condition that is met when each symbol has had data beyond a sequence, of another run than `run`."""
            left = set(symbols)

            def is_met(message):
                if message["kind"] == "data" and message["sequence"] > goal and message["run"] != run:
                    left.discard(message["names"][2])
                return not left
            return is_met
        follow(account, client, all_beyond(50), "quotes of each symbol")
        since = max(numbers[0] for numbers in account.received.values())
        for end in (Daemon.stop, kill, Daemon.stop):
            run = self.health().status()["incarnation"] % 2**32
            end(self.daemon)
            self.daemon.start()
            self.assertNotEqual(self.health().status()["incarnation"] % 2**32, run)
            follow(account, client, all_beyond(0, run), "quotes of the new run")
        self.market.stop()
        ends = {symbol: self.market.book.last[f"{symbol}/"] for symbol in symbols}
        reached = {}
        follow(account, client, lambda message: message["kind"] in ("data", "idle") and (
            reached.update({message["names"][2]: message["sequence"]}) or reached == ends), "the last of each topic")
        account.judge(self, {symbol: range(1, last + 1) for symbol, last in ends.items()}, since)
        self.assertIn("restart", account.reasons)


if __name__ == "__main__":
    unittest.main()
