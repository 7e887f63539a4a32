"""Feeds over SoupBinTCP: resumed at the next message, beside MoldUDP64 or alone, against servers of our own and
against somebody else's library."""

import os
import random
import signal
import socket
import struct
import subprocess
import unittest

import harness
import venue
from harness import GATEWAY_BUS, Daemon, HealthClient, MarketClient, Namespace, Order, needs_namespaces
from test_gateway_itch import SYMBOLS

PEERS = os.path.join(harness.ROOT, ".build/peers/bin/python")
PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "soup_peer.py")
needs_peers = unittest.skipUnless(os.path.exists(PEERS), "needs .build/peers with nasdaq-protocols, which Tests/run "
                                  "makes where PyPI can be reached")

FEED = """[[feed]]
name = "itch"
protocol = "soupbintcp"
policy = "hot-hot"
%s
"""

PATH = """[[feed.path]]
name = "%s"
endpoint = "%s"
login_file = "~/itch.login"
%s
"""


class Case(unittest.TestCase):
    def gateway(self, paths, options="", namespace=None, password="secret", mode=0o600, ready=True):
        self.daemon = Daemon(self, "holdfast-gateway", GATEWAY_BUS + FEED % options + paths, namespace)
        self.login_file(password, mode)
        self.daemon.start(ready=ready)
        if ready:
            self.join()

    def login_file(self, password="secret", mode=0o600):
        file = os.path.join(self.daemon.folder, "itch.login")
        with open(os.open(file, os.O_CREAT | os.O_WRONLY, mode), "w") as login:
            login.write(f'user = "me"\npassword = "{password}"\n')

    def join(self):
        self.client = MarketClient(self, self.daemon.endpoint("gateway.md"), "itch", everything=True)
        self.client.sync()
        self.order = Order(per_topic=False)

    def health(self, *topics):
        return HealthClient(self, self.daemon.endpoint("gateway.pub"), self.daemon.endpoint("gateway.req"), *topics)

    def wait_published(self, sequence):
        """Waits until the gateway has published a message, which may have been before we came."""
        self.client.wait(lambda message: self.order.take(message) or message["sequence"] >= sequence
                         and message["kind"] in ("data", "heartbeat"), f"sequence {sequence}")

    def until(self, sequence):
        """Follows everything up to a message."""
        received = self.client.until(
            lambda message: message["kind"] == "data" and message["sequence"] >= sequence, f"sequence {sequence}", 60)
        for message in received:
            self.order.take(message)
        return received

    def flawless(self):
        self.assertEqual((self.order.faults, self.order.missing), ([], 0))

    @staticmethod
    def directory():
        return [venue.directory(number, symbol) for number, symbol in enumerate(SYMBOLS, 1)]

    @staticmethod
    def orders(first, count):
        return [venue.add_order(number % 3 + 1, number, SYMBOLS[number % 3]) for number in range(first, first + count)]


class OwnVenues(Case):
    """Servers of our own."""

    def serve(self, count=1):
        self.venues = [venue.Soup(self) for _ in range(count)]
        self.next = 1
        self.say(self.directory())

    def say(self, messages):
        for one in self.venues:
            one.add(*messages)
        self.next += len(messages)

    def open(self, count=1, **options):
        self.serve(count)
        self.gateway("".join(PATH % (name, one.endpoint, "") for name, one in zip("ABCD", self.venues)), **options)
        if "password" not in options:
            self.wait_published(3)


class Alone(OwnVenues):
    def test_a_session_is_delivered_from_its_first_message_on(self):
        self.open()
        self.say(self.orders(self.next, 500))
        received = self.until(self.next - 1)
        self.flawless()
        self.assertEqual(self.venues[0].logins, [("me", "secret", "", 1)])
        data = [message for message in received if message["kind"] == "data"]
        self.assertEqual([message["sequence"] for message in data], list(range(4, 504)))
        self.assertEqual([message["body"] for message in data], self.venues[0].messages[3:])
        self.assertEqual({message["topic"] for message in data}, {f"md/itch/{symbol}/" for symbol in SYMBOLS})

    def test_a_server_that_comes_later_is_well_with_its_first_word(self):
        port = venue.free_port(socket.SOCK_STREAM)
        self.gateway(PATH % ("A", f"tcp://127.0.0.1:{port}", ""), 'silence = "300ms"')
        health = self.health("state/desk/feed-path/")
        self.assertIn("not connected", health.settle("feed-path/itch.A", "critical")["reason"])
        # So long that whoever asks then how long nothing was heard finds it too long.
        self.client.wait(lambda message: message["kind"] == "state" and message["state"] == "stale", "a stale feed")
        self.venues, self.next = [venue.Soup(self, port=port)], 1
        self.say(self.directory())
        told = health.wait(lambda message: message["topic"].startswith("state/")
                           and "not connected" not in message["reason"], "another state")
        self.assertEqual((told["status"], told["reason"]), ("ok", "active"))

    def test_after_a_loss_it_goes_on_where_it_stopped(self):
        self.open()
        for _ in range(5):
            self.say(self.orders(self.next, 100))
            self.until(self.next - 1)
            logins = len(self.venues[0].logins)
            self.venues[0].drop()
            self.say(self.orders(self.next, 100))
            self.until(self.next - 1)
            self.assertGreater(len(self.venues[0].logins), logins)
        self.flawless()
        self.assertTrue(all(session == "S000000001" and sequence > 1
                            for _, _, session, sequence in self.venues[0].logins[1:]))

    def test_two_connections_of_which_one_dies_at_a_time_lose_and_repeat_nothing(self):
        self.open(2)
        chance = random.Random(5)
        for number in range(20):
            self.say(self.orders(self.next, 50))
            self.until(self.next - 1)
            if number % 4 == 3:
                self.venues[chance.randrange(2)].drop()
        self.flawless()

    def test_a_venue_that_goes_silent_is_left_and_logged_in_to_again(self):
        self.open()
        health = self.health("state/desk/feed-path/")
        self.venues[0].frozen = True
        state = health.wait_state("feed-path/itch.A", "critical")
        self.assertTrue(state["reason"])
        self.client.wait_channel("stale")
        self.venues[0].frozen = False
        self.say(self.orders(self.next, 10))
        self.until(self.next - 1)
        self.flawless()

    def test_a_quiet_market_stays_live(self):
        self.open()
        self.client.wait_live()
        states = {message["state"] for message in self.client.messages(4) if message["kind"] == "heartbeat"}
        self.assertEqual(states, {"live"})
        self.assertEqual(len(self.venues[0].logins), 1)

    def test_garbage_ends_the_connection_is_counted_and_the_stream_goes_on(self):
        self.open()
        for garbage in (b"\0\0", b"\0\1?", b"\0\5Hello", b"\0\1L", b"\0\37A" + bytes(30)):
            logins = len(self.venues[0].logins)
            self.venues[0].garbage = garbage
            self.venues[0].wait_login(self, lambda login: len(self.venues[0].logins) > logins, "after garbage")
        self.say(self.orders(self.next, 10))
        self.until(self.next - 1)
        self.assertTrue(self.daemon.is_running())
        self.flawless()
        health = self.health("sample/desk/feed-path/")
        health.wait(lambda sample: sample["values"].get("stream_errors", 0) >= 4, "stream errors")

    def test_another_session_is_another_epoch(self):
        self.open()
        old = self.client.wait(lambda message: message["kind"] == "heartbeat", "a heartbeat")["epoch"]
        self.venues[0].session = "S000000002"
        with self.venues[0].lock:
            self.venues[0].messages = self.directory() + self.orders(4, 5)
        self.venues[0].drop()
        message = self.client.wait(lambda message: message["kind"] == "data" and message["epoch"] != old, "another epoch")
        self.assertEqual(message["sequence"], 1)

    def test_a_wrong_password_is_told_and_shown_nowhere(self):
        self.open(password="wrong")
        self.daemon.wait_log("not authorised")
        state = self.health().states()["feed-path/itch.A"]
        self.assertNotEqual(state["status"], "ok")
        self.assertNotIn("wrong", self.daemon.log())
        with open(f"/proc/{self.daemon.child.pid}/cmdline") as file:
            self.assertNotIn("wrong", file.read())

    def test_a_login_file_that_others_may_read_is_refused(self):
        self.serve()
        self.gateway(PATH % ("A", self.venues[0].endpoint, ""), mode=0o644, ready=False)
        self.assertEqual(self.daemon.wait_exit(), 78)
        self.assertIn("chmod 600", self.daemon.log())
        self.assertNotIn("secret\"", self.daemon.log())
        done = harness.attempt(harness.binary("holdfast"), "check-config", self.daemon.file)
        self.assertEqual(done.returncode, 78)
        self.assertIn("login_file", done.stderr)


class Reloaded(OwnVenues):
    """A feed that takes up its journal is taken away and added again while another one goes on."""

    def setUp(self):
        self.serve(2)
        self.journalled = FEED % 'journal = true\nstart = "journal"\n' + PATH % ("A", self.venues[0].endpoint, "")
        self.calm = '[journal]\ndirectory = "~/journal"\n' + FEED.replace('"itch"', '"calm"') % "" + PATH % (
            "A", self.venues[1].endpoint, "")
        self.daemon = Daemon(self, "holdfast-gateway", GATEWAY_BUS + self.calm + self.journalled)
        self.login_file()
        self.daemon.start()
        self.join()
        self.wait_published(3)
        self.say(self.orders(self.next, 100))
        self.until(self.next - 1)
        self.flawless()

    def reload(self, text):
        self.daemon.configure(GATEWAY_BUS + text)
        self.daemon.signal(signal.SIGHUP)
        lines = self.daemon.wait_told("READY=1")
        self.assertFalse([line for line in lines if "refused" in line], lines)

    def test_it_goes_on_where_it_stopped(self):
        self.reload(self.calm)
        stopped = self.next
        self.say(self.orders(self.next, 50))
        self.reload(self.calm + self.journalled)
        self.until(self.next - 1)
        self.assertEqual([sequence for *_, sequence in self.venues[0].logins], [1, stopped])
        self.flawless()

    def test_a_disk_that_hangs_holds_nobody_up(self):
        self.reload(self.calm)
        # A pipe in place of the last segment: who opens it waits until somebody writes.
        pipe = f"{self.daemon.folder}/journal/itch/0/{1000:012}.journal"
        os.mkfifo(pipe)
        self.reload(self.calm + self.journalled)
        client = MarketClient(self, self.daemon.endpoint("gateway.md"), "calm", everything=True)
        client.sync()
        client.wait_live()
        self.say(self.orders(self.next, 1))
        client.wait(lambda message: message["kind"] == "data" and message["sequence"] == self.next - 1, "the other feed")
        self.venues[0].wait_login(self, lambda login: len(self.venues[0].logins) == 2, "without what the disk has")
        with open(pipe, "wb"):
            pass


class Mixed(OwnVenues):
    """A line of MoldUDP64 and a connection of SoupBinTCP in one feed: the same session, the same numbers."""

    def open(self, count=1, **options):
        self.lines = venue.Lines(self)
        self.serve(1)
        self.gateway(f'[[feed.path]]\nname = "M"\ngroup = "{self.lines.group("A")}"\n'
                     + PATH % ("T", self.venues[0].endpoint, ""), **options)
        self.wait_published(3)

    def test_what_the_line_loses_the_connection_fills(self):
        self.open(options='reorder_time = "5s"\n')  # the server looks for messages when it has waited for others
        chance = random.Random(6)
        for _ in range(200):
            messages = self.orders(self.next, 3)
            if chance.random() < 0.7:
                self.lines.send("A", venue.mold(self.lines.session, self.next, messages))
            self.say(messages)
        received = self.until(self.next - 1)
        self.flawless()
        paths = {message["path"] for message in received if message["kind"] == "data"}
        self.assertEqual(paths, {0, 1})


@needs_peers
class SomebodyElse(Case):
    """Nasdaq's own library at the other end."""

    def test_a_server_of_nasdaq_s_library(self):
        peer = harness.spawn(self, [PEERS, PEER, "server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                             bufsize=1)
        port = int(harness.read_line(self, peer.stdout).split()[1])

        def say(*messages):
            for message in messages:
                peer.stdin.write(message.hex() + "\n")
        say(*self.directory())
        self.gateway(PATH % ("A", f"tcp://127.0.0.1:{port}", ""))
        self.assertEqual(harness.read_line(self, peer.stdout).split(), ["login", "me", "secret", "-", "1"])
        self.wait_published(3)
        say(*self.orders(4, 200))
        self.until(203)
        peer.stdin.write("drop\n")
        self.assertEqual(harness.read_line(self, peer.stdout).split(), ["login", "me", "secret", "S000000001", "204"])
        say(*self.orders(204, 200))
        self.until(403)
        self.flawless()
        peer.stdin.write("end\n")
        self.client.wait_channel("closed")
        # The library hangs up on a client that does not say that it lives.
        self.assertIsNone(peer.poll())

    def test_a_client_of_nasdaq_s_library(self):
        port = venue.free_port(kind=venue.socket.SOCK_STREAM)
        harness.spawn(self, [harness.binary("holdfast"), "play", "--generate", "itch", "--symbols", "50", "--rate", "2000",
                             "--session", "PLAYED", "--soup", f"127.0.0.1:{port}"], stderr=subprocess.DEVNULL)
        first = self.take(port, 1, 500)
        self.assertEqual(first[0], ["session", "PLAYED", "1"])
        messages = {int(words[1]): words[2] for words in first if words[0] == "message"}
        self.assertEqual(sorted(messages), list(range(1, 501)))
        again = self.take(port, 300, 150)
        self.assertEqual(again[0], ["session", "PLAYED", "300"])
        for words in again:
            if words[0] == "message" and int(words[1]) <= 500:
                self.assertEqual(messages[int(words[1])], words[2])

    def take(self, port, sequence, count):
        for _ in range(100):  # until the server listens
            done = subprocess.run([PEERS, PEER, "client", str(port), str(sequence), str(count)], capture_output=True,
                                  text=True, timeout=60)
            if done.returncode == 0:
                return [line.split() for line in done.stdout.splitlines()]
        self.fail(done.stderr)


@needs_namespaces
class Links(Case):
    """Two connections by two links; one is cut without a word."""

    def test_a_half_open_connection_is_found_and_nothing_is_lost(self):
        desk, market = Namespace(self, "desk"), Namespace(self, "venue")
        for number, name in enumerate("ab", 1):
            harness.veth(desk, f"isp-{name}", market, f"to-{name}", number)
        words = [harness.binary("holdfast"), "play", "--generate", "itch", "--symbols", "100", "--rate", "2000",
                 "--soup", "0.0.0.0:17000"]
        harness.spawn(self, market.command(*words), stderr=subprocess.DEVNULL)
        paths = "".join(PATH % (name.upper(), f"tcp://10.82.{number}.2:17000",
                                f'interface = "isp-{name}"\nlocal_address = "10.82.{number}.1"')
                        for number, name in enumerate("ab", 1))
        self.gateway(paths, namespace=desk)
        health = self.health("state/desk/feed-path/")
        for line in "AB":
            health.settle(f"feed-path/itch.{line}", "ok")
        desk.drop_ingress("isp-a")
        health.wait_state("feed-path/itch.A", "critical")
        received = self.client.wait(lambda message: self.order.take(message) or message["kind"] == "data", "data")
        self.until(received["sequence"] + 5000)
        self.flawless()
        desk.clear_ingress("isp-a")
        health.wait_state("feed-path/itch.A", "ok")
        self.until(max(self.order.next.values()) + 5000)
        self.flawless()


@needs_namespaces
class OneVenueAddress(Case):
    """One address of the venue that two links lead to: the interface decides by which, and the own address is ours to
    choose."""

    def test_a_connection_goes_by_the_link_and_from_the_address_that_were_given(self):
        desk, market = Namespace(self, "desk"), Namespace(self, "venue")
        market.ip("addr", "add", "10.82.9.9/32", "dev", "lo")
        for number, name in enumerate("ab", 1):
            harness.veth(desk, f"isp-{name}", market, f"to-{name}", number)
            desk.ip("route", "add", "10.82.9.9", "via", f"10.82.{number}.2", "dev", f"isp-{name}", "metric", str(number))
        desk.ip("addr", "add", "10.82.2.7/24", "dev", "isp-b")
        for name in ("all", "isp-a", "isp-b"):
            harness.run(*desk.command("sysctl", "-qw", f"net.ipv4.conf.{name}.rp_filter=0"))
        harness.spawn(self, market.command(harness.binary("holdfast"), "play", "--generate", "itch", "--rate", "100",
                                           "--soup", "10.82.9.9:17000"), stderr=subprocess.DEVNULL)
        self.gateway(PATH % ("A", "tcp://10.82.9.9:17000", 'interface = "isp-a"')
                     + PATH % ("B", "tcp://10.82.9.9:17000", 'interface = "isp-b"\nlocal_address = "10.82.2.7"'),
                     namespace=desk)
        health = self.health("state/desk/feed-path/")
        for line in "AB":
            health.settle(f"feed-path/itch.{line}", "ok")
        listed = harness.run(*market.command("ss", "-Htn", "state", "established", "sport", "=", ":17000"))
        peers = [line.split()[-1].rsplit(":", 1)[0] for line in listed.splitlines()]
        self.assertEqual(sorted(peers), ["10.82.1.1", "10.82.2.7"])
        # As routed, both would go by the first link.
        market.drop_ingress("to-b")
        health.wait_state("feed-path/itch.B", "critical")
        self.assertEqual(health.states()["feed-path/itch.A"]["status"], "ok")


@needs_namespaces
class BesideALine(Case):
    """A connection in a feed of MoldUDP64, whose lines may be silent for longer than a connection."""

    def test_a_half_open_connection_fails_its_path_long_before_the_line_s_silence_would(self):
        desk, market = Namespace(self, "desk"), Namespace(self, "venue")
        harness.veth(desk, "isp-a", market, "to-a", 1)
        harness.spawn(self, market.command(harness.binary("holdfast"), "play", "--generate", "itch", "--rate", "100",
                                           "--soup", "0.0.0.0:17000"), stderr=subprocess.DEVNULL)
        text = FEED.replace("soupbintcp", "moldudp64") % 'silence = "1h"\nsilence_behind_twin = "1h"'
        self.daemon = Daemon(self, "holdfast-gateway", GATEWAY_BUS + text + PATH % (
            "T", "tcp://10.82.1.2:17000", 'interface = "isp-a"'), desk)
        self.login_file()
        self.daemon.start()
        health = self.health("state/desk/feed-path/")
        health.settle("feed-path/itch.T", "ok")
        desk.drop_ingress("isp-a")
        state = health.wait_state("feed-path/itch.T", "critical")
        self.assertIn("no word for 1400 ms", state["reason"])
        desk.clear_ingress("isp-a")
        health.wait_state("feed-path/itch.T", "ok")


class Capture(unittest.TestCase):
    """A capture in place of the wire."""

    def write(self, folder, packets):
        """A pcap with packets of two groups, a millisecond apart."""
        path = os.path.join(folder, "day.pcap")
        with open(path, "wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
            for number, (group, payload) in enumerate(packets):
                udp = struct.pack(">HHHH", 30001, 30001, 8 + len(payload), 0) + payload
                ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 1, 17, 0, bytes((10, 0, 0, 1)),
                                 bytes(map(int, group.split(".")))) + udp
                frame = bytes(12) + b"\x08\x00" + ip
                file.write(struct.pack("<IIII", 1_700_000_000, number * 1000, len(frame), len(frame)) + frame)
        return path

    def setUp(self):
        self.folder = harness.folder_of(self)
        messages = Case.directory() + Case.orders(4, 600)
        self.packets = []
        for at in range(0, len(messages), 3):
            packet = venue.mold("S000000001", at + 1, messages[at:at + 3])
            for line, group in enumerate(("239.1.1.1", "239.1.2.1")):
                if (at // 3) % 5 != line + 1:  # each line loses what the other one has
                    self.packets.append((group, packet))

    def start(self, pace):
        """A gateway with two lines of the capture."""
        path = os.path.join(self.folder, "day.pcap")
        lines = "".join(f'[[feed.path]]\nname = "{name}"\nfile = "{path}"\ngroup = "{group}:30001"\npace = "{pace}"\n'
                        for name, group in (("A", "239.1.1.1"), ("B", "239.1.2.1")))
        text = GATEWAY_BUS + '[[feed]]\nname = "itch"\nprotocol = "moldudp64"\npolicy = "hot-hot"\nreorder_time = "5s"\n' + lines
        self.daemon = Daemon(self, "holdfast-gateway", text).start()
        self.health = HealthClient(self, self.daemon.endpoint("gateway.pub"), self.daemon.endpoint("gateway.req"))
        self.health.subscribe("sample/desk/feed-path/")

    def wait_played(self, packets):
        counts = {}

        def done(sample):
            counts[sample["name"]] = sample["values"]["messages"]
            return sum(counts.values()) == 3 * packets
        self.health.wait(done, "every packet of the capture")
        self.assertEqual(self.health.states()["feed/itch"]["values"]["gaps"], 0)

    def play(self, pace):
        self.write(self.folder, self.packets)
        self.start(pace)
        self.wait_played(len(self.packets))
        self.daemon.wait_log("the recording is over")

    def test_it_is_played_at_its_own_pace(self):
        self.play("recorded")

    def test_it_is_played_as_fast_as_it_can_be_read(self):
        self.play("flat-out")

    def test_one_that_is_not_there_is_tried_again_less_and_less_often_until_it_is(self):
        self.start("recorded")
        waits = {}

        def is_tried(sample):
            values = sample["values"]
            if sample["name"] == "itch.A" and values["retry_after_s"] > 0:
                waits[values["attempts"]] = values["retry_after_s"]
            return any(attempts >= 3 for attempts in waits)
        self.health.wait(is_tried, "a third attempt")
        for attempts, wait in waits.items():
            least = min(5, 0.5 * 2 ** (attempts - 1))
            self.assertTrue(least <= wait < 1.5 * least, waits)
        state = self.health.states()["feed-path/itch.A"]
        self.assertNotEqual(state["status"], "ok")
        self.assertIn("No such file or directory", state["reason"])
        self.assertEqual(self.daemon.log().count("day.pcap: No such file or directory, trying again"), 2)
        os.mkdir(os.path.join(self.folder, "made"))
        made = self.write(os.path.join(self.folder, "made"), self.packets)
        os.replace(made, os.path.join(self.folder, "day.pcap"))
        self.wait_played(len(self.packets))

    def test_one_that_was_cut_off_is_played_to_there_and_told(self):
        path = self.write(self.folder, self.packets)
        os.truncate(path, os.path.getsize(path) - 5)
        self.start("flat-out")
        self.wait_played(len(self.packets) - 1)
        for line in "AB":
            state = self.health.settle(f"feed-path/itch.{line}", "critical")
            self.assertIn("truncated", state["reason"])
        self.daemon.wait_log("truncated")

    def test_one_that_is_none_is_told_and_not_tried_again(self):
        with open(os.path.join(self.folder, "day.pcap"), "wb") as file:
            file.write(b"this is no capture, whatever its name says")
        self.start("recorded")
        self.assertIn("day.pcap", self.health.settle("feed-path/itch.A", "critical")["reason"])
        self.assertEqual(self.health.wait(lambda sample: sample["name"] == "itch.A", "figures")["values"]["attempts"], 1)


if __name__ == "__main__":
    unittest.main()
