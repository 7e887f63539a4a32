"""The journal of a feed: what was released is in it, whoever wanted it; killed at full load it loses nothing that was
promised; what is changed afterwards is found. The files are read here by their document alone."""

import fcntl
import glob
import hashlib
import json
import os
import re
import resource
import signal
import struct
import subprocess
import unittest

import zmq

import curve
import harness
import test_entitlements
import test_gateway_quotes
import venue
from harness import GATEWAY_BUS, Daemon, HealthClient, MarketClient, binary, reader, spawn
from test_gateway_itch import FEED, SYMBOLS, Case

JOURNAL = """[journal]
directory = "~/journal"
fsync = "%s"
segment_bytes = %d
keep_bytes = %d
"""


# CRC32C and the segments, from Sources/FeedJournal/README.md


def crc_table():
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


TABLE = list(crc_table())


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ TABLE[(value ^ byte) & 255]
    return value ^ 0xFFFFFFFF


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)


def segments(folder):
    return sorted(glob.glob(f"{folder}/*.journal"))


def records(path, check=False):
    """(kind, contents) of each record; with `check`, every checksum by hand."""
    data = read(path)
    assert data[:8] == b"HFJOURNL", path
    at = struct.unpack_from("<H", data, 10)[0]
    while at < len(data):
        length, kind, zero, topic, checksum, own = struct.unpack_from("<IBBHII", data, at)
        contents = data[at + 16:at + 16 + length]
        if check:
            assert own == crc32c(data[at:at + 12]) and checksum == crc32c(contents), (path, at)
        assert len(contents) == length, (path, at)
        yield kind, contents
        at += 16 + length


def frames(folder, check=False):
    """The frames of a channel, as `reader.read` gives them."""
    for path in segments(folder):
        for kind, contents in records(path, check):
            if kind == 1:
                yield reader.read(contents)


def data(folder, check=False):
    return [(header["sequence"], topic, body) for topic, header, body in frames(folder, check)
            if header["kind"] == "data"]


def holdfast(*words):
    done = harness.attempt(binary("holdfast"), *words)
    return done.returncode, done.stdout, done.stderr


class Journalled(Case):
    fsync, segment_bytes, keep_bytes, start, wrap = "none", 1 << 20, 1 << 30, "now", ()

    def setUp(self):
        self.lines = venue.Lines(self)
        options = f'journal = true\nstart = "{self.start}"\n' + self.options
        text = GATEWAY_BUS + JOURNAL % (self.fsync, self.segment_bytes, self.keep_bytes) + FEED % (
            options, self.lines.group("A"), self.lines.group("B"))
        self.daemon = Daemon(self, "holdfast-gateway", text, wrap=self.wrap).start()
        self.folder = f"{self.daemon.folder}/journal/itch/0"
        self.client = MarketClient(self, self.daemon.endpoint("gateway.md"), "itch", everything=True)
        self.client.sync()
        self.lines.wait_heard(self.health())
        self.order = harness.Order(per_topic=False)

    def wait_written(self, sequence, name="journal_sequence"):
        bus = self.health()
        bus.subscribe("state/desk/feed/")
        known = bus.states().get("feed/itch", {}).get("values", {})
        if known.get(name, 0) >= sequence:
            return known
        return bus.wait(lambda message: message["values"].get(name, 0) >= sequence, f"{name} {sequence}")["values"]

    def verify_segment(self, number):
        """Whether a segment that is named alone is being written to, and its digest."""
        code, out, errors = holdfast("verify", "--json", f"{self.folder}/{number:012}.journal")
        self.assertEqual(code, 0, errors)
        check, = json.loads(out)["channels"]
        return check["being_written"], check["last_digest"]

    def verify(self, *words, status=0):
        code, out, errors = holdfast("verify", "--json", *words, self.folder)
        self.assertEqual(code, status, out + errors)
        return json.loads(out)


class Writing(Journalled):
    segment_bytes = 1 << 16

    def test_what_is_released_is_journalled_whoever_takes_it(self):
        self.client.close()
        self.open_unseen()
        for _ in range(200):
            self.lines.both(self.orders())
        last = self.lines.next - 1
        self.daemon.stop()
        kept = data(self.folder, check=True)
        self.assertEqual([sequence for sequence, _, _ in kept], list(range(1, last + 1)))
        self.assertEqual({topic for _, topic, _ in kept[3:]} - {"md/itch/*/"}, {f"md/itch/{name}/" for name in SYMBOLS})
        report = self.verify()
        self.assertTrue(report["whole"])
        self.assertEqual(report["channels"][0]["last_digest"],
                         hashlib.sha256(read(segments(self.folder)[-1])).hexdigest())

    def open_unseen(self):
        self.lines.open(*SYMBOLS)
        self.lines.wait_heard(self.health())

    def test_gaps_and_states_are_records_too(self):
        self.open()
        self.lines.both(self.orders(2))
        first = self.lines.next
        self.orders(3)  # to nobody
        self.lines.both(self.orders(2))
        self.end()
        self.daemon.stop()
        told = [(header["kind"], reader.control(header, body)) for _, header, body in frames(self.folder)
                if header["kind"] != "data"]
        gaps = [body for kind, body in told if kind == "gap"]
        self.assertEqual([(gap["first"], gap["last"]) for gap in gaps], [(first, first + 2)])
        self.assertIn("state", {kind for kind, _ in told})
        self.assertEqual([body["first"] for kind, body in told if kind == "heartbeat"], [1])

    def test_segments_are_chained_as_sha256sum_says(self):
        self.open()
        for _ in range(4000):
            self.lines.both(self.orders(5))
        self.end()
        self.daemon.stop()
        paths = segments(self.folder)
        self.assertGreater(len(paths), 2)
        before = bytes(32)
        for number, path in enumerate(paths, 1):
            content = read(path)
            self.assertEqual(struct.unpack_from("<Q", content, 16)[0], number)
            self.assertEqual(content[40:72], before)
            before = hashlib.sha256(content).digest()
        self.assertEqual(self.verify("--digest", before.hex())["digest_found"], True)
        self.verify("--digest", "0" * 64, status=65)


class Verifying(Journalled):
    def test_a_flipped_byte_is_named_by_segment_record_and_sequence(self):
        self.open()
        self.lines.both(self.orders(30))
        self.end()
        self.daemon.stop()
        path = segments(self.folder)[0]
        content = bytearray(read(path))
        at, number, place = struct.unpack_from("<H", content, 10)[0], 0, None
        while at < len(content):
            length, kind = struct.unpack_from("<IB", content, at)
            if kind == 1:
                _, header, _ = reader.read(bytes(content[at + 16:at + 16 + length]))
                if header["kind"] == "data" and header["sequence"] == 20:
                    place = (at, number, length)
            at, number = at + 16 + length, number + 1
        at, number, length = place
        content[at + 16 + length - 1] ^= 1
        write(path, content)
        report = self.verify(status=65)
        self.assertEqual(report["channels"][0]["faults"],
                         [f"segment 1: record {number} (sequence 20) at byte {at}: "
                          "the checksum of its contents does not fit"])
        code, _, errors = holdfast("replay", self.folder, "--from", "19", "--count", "2")
        self.assertEqual(code, 65)
        self.assertIn("(sequence 20)", errors)

    def test_the_digest_that_is_told_of_a_running_gateway_s_journal_holds_later_too(self):
        self.open()
        self.lines.both(self.orders(30))
        self.wait_written(30)
        channel = self.verify()["channels"][0]
        self.assertEqual((channel["being_written"], channel["last_digest"]), (True, None))
        self.assertEqual(self.verify_segment(1), (True, None))
        self.end()
        self.daemon.stop()
        self.daemon.start()
        self.lines.wait_heard(self.health())
        channel = self.verify()["channels"][0]
        self.assertEqual((channel["being_written"], channel["last_digest_segment"]), (True, 1))
        self.assertEqual(self.verify_segment(1), (False, channel["last_digest"]))
        self.assertEqual(self.verify_segment(2), (True, None))
        self.daemon.stop()
        self.verify("--digest", channel["last_digest"])

    def test_strange_files_are_refused_by_name(self):
        other = os.path.join(self.daemon.folder, "000000000001.journal")
        write(other, os.urandom(5000))
        code, out, _ = holdfast("verify", other)
        self.assertEqual(code, 65, out)
        self.assertIn("segment 1: header: this is no segment of a journal", out)
        code, _, errors = holdfast("verify", self.daemon.file)
        self.assertEqual((code, "no segment of a journal" in errors), (66, True), errors)
        code, _, errors = holdfast("verify", self.daemon.folder + "/nothing")
        self.assertEqual((code, "No such file" in errors), (66, True), errors)
        os.mkdir(os.path.join(self.daemon.folder, "empty"))
        self.assertEqual(holdfast("replay", os.path.join(self.daemon.folder, "empty"))[0], 66)
        self.assertEqual(holdfast("verify", "--digest", "12", other)[0], 64)


class Killed(Journalled):
    def test_kill_at_full_load_loses_nothing_that_was_said_to_be_written(self):
        self.open()
        player = spawn(self, [binary("holdfast"), "play", "--generate", "itch", "--rate", "20000", "--symbols", "50",
                              "--session", "FULLLOAD", "--mold", self.lines.group("A"), "--mold",
                              self.lines.group("B")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(3):
            written = self.wait_written(2000)
            self.daemon.signal(signal.SIGKILL)
            self.daemon.wait_exit()
            kept = {sequence for sequence, _, _ in self.whole()}
            self.assertGreaterEqual(max(kept), written["journal_sequence"])
            self.daemon.start()
        player.terminate()
        player.wait(harness.PATIENCE_S)
        self.daemon.stop()
        report = self.verify()
        self.assertTrue(report["whole"], report)
        self.assertGreaterEqual(report["channels"][0]["segments"], 4)

    def whole(self):
        """Data of all whole records; the last segment may end in one that is torn."""
        for path in segments(self.folder):
            try:
                for kind, contents in records(path):
                    if kind == 1:
                        topic, header, body = reader.read(contents)
                        if header["kind"] == "data":
                            yield header["sequence"], topic, body
            except (AssertionError, struct.error):
                self.assertEqual(path, segments(self.folder)[-1])

    def test_a_torn_tail_is_cut_and_told(self):
        self.open()
        self.lines.both(self.orders(30))
        self.wait_written(30)
        self.daemon.signal(signal.SIGKILL)
        self.daemon.wait_exit()
        path = segments(self.folder)[-1]
        content = read(path)
        write(path, content[:-5])
        self.daemon.start()
        self.daemon.wait_log("cut off")
        self.daemon.stop()
        self.assertTrue(self.verify()["whole"])


class TooLong(test_gateway_quotes.Case):
    def test_a_message_longer_than_a_record_is_published_and_a_hole_in_the_journal(self):
        self.start(self.options + "journal = true\n", agent_part=JOURNAL % ("none", 1 << 20, 1 << 30))
        client = self.join("HF1")
        self.market.A.wait_held(self, "heartbeat/", "HF1/")
        for payload in (b"short", bytes(300_000), b"short again"):
            self.market.quote("HF1", payload)
        got = client.until(lambda message: message["kind"] == "data" and message["body"] == b"short again", "the last")
        data = [message for message in got if message["kind"] == "data"]
        self.assertEqual([len(message["body"]) for message in data], [5, 300_000, 11])
        bus = self.health("state/desk/feed/")
        if bus.states()["feed/quotes"]["values"].get("journal_lost", 0) < 1:
            bus.wait(lambda message: message["values"].get("journal_lost", 0) == 1, "it is counted")
        self.daemon.stop()
        folder = f"{self.daemon.folder}/journal/quotes/0"
        kinds = [kind for path in segments(folder) for kind, contents in records(path, check=True)
                 if kind == 2 or reader.read(contents)[1]["kind"] == "data"]
        self.assertEqual(kinds, [1, 2, 1])
        count = len(list(frames(folder)))
        code, out, errors = holdfast("replay", folder, "--json", "--count", str(count))
        self.assertEqual(code, 0, errors)
        holes = ["hole" in json.loads(line) for line in out.splitlines()]
        self.assertEqual((holes.count(False), holes.count(True)), (count, 1))
        code, out, errors = holdfast("verify", f"{self.daemon.folder}/journal/quotes")
        self.assertEqual(code, 0, errors + out)


class Full(Journalled):
    wrap = ("env", "--ignore-signal=XFSZ")

    def test_where_the_disk_is_full_market_data_goes_on_and_the_journal_later(self):
        self.open()
        self.lines.both(self.orders(3))
        self.wait_written(3)
        size = os.path.getsize(segments(self.folder)[-1])
        # What the kernel refuses beyond this size is, to the gateway, a full disk.
        limits = resource.prlimit(self.daemon.child.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.daemon.child.pid, resource.RLIMIT_FSIZE, (size + 10, limits[1]))
        bus = self.health()
        bus.subscribe("state/desk/feed/")
        self.lines.both(self.orders(3))
        told = bus.wait_state("feed/itch", lambda message: "not journalled" in message["reason"])
        self.assertEqual(told["status"], "warning", told)
        first = self.lines.next
        self.lines.both(self.orders(3))
        received = self.client.until(
            lambda message: message["kind"] == "data" and message["sequence"] >= first + 2, "market data")
        self.assertEqual(self.gaps(received), [])
        resource.prlimit(self.daemon.child.pid, resource.RLIMIT_FSIZE, limits)
        bus.wait_state("feed/itch", lambda message: "not journalled" not in message["reason"])
        self.daemon.wait_log("written again")
        self.daemon.stop()
        kept = [sequence for sequence, _, _ in data(self.folder)]
        self.assertEqual(kept, list(range(1, first + 3)))
        self.assertTrue(self.verify()["whole"])


class Replaying(Journalled):
    def replay(self, *words):
        code, out, errors = holdfast("replay", self.folder, *words)
        self.assertEqual(code, 0, errors)
        return out.splitlines()

    def test_lines_begin_with_a_sequence_or_a_time(self):
        self.open()
        self.lines.both(self.orders(30))
        self.end()
        self.daemon.stop()
        lines = [json.loads(line) for line in self.replay("--json", "--from", "10", "--count", "3")]
        self.assertEqual([line["sequence"] for line in lines], [10, 11, 12])
        self.assertEqual(lines[0]["body"], dict((s, b) for s, _, b in data(self.folder))[10].hex())
        since = [json.loads(line) for line in self.replay("--json", "--since", lines[0]["receive_time"])]
        self.assertEqual(since[-1]["sequence"], self.lines.next - 1)
        self.assertEqual(self.replay("--since", "2100-01-01T00:00:00Z"), [])
        self.assertIn("0 frames", holdfast("replay", self.folder, "--from", "99999999")[2])
        mine = self.replay("--topic", "md/itch/BRAVO/")
        self.assertTrue(mine and all(" md/itch/BRAVO/ " in line for line in mine))

    def test_all_of_it_is_written_or_it_is_no_success(self):
        self.open()
        for _ in range(30):
            self.lines.both(self.orders(10))
        self.end()
        self.daemon.stop()
        words = [binary("holdfast"), "replay", self.folder]
        with open("/dev/full", "w") as full:
            done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=harness.PATIENCE_S)
        self.assertEqual(done.returncode, 74, done.stderr)
        # A pipe that takes a part at a time, and then says that it takes no more for now.
        read_end, write_end = os.pipe()
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(write_end, False)
        player = spawn(self, words, stdout=write_end)
        os.close(write_end)
        with open(read_end) as pipe:
            self.assertEqual(len(pipe.read().splitlines()), len(self.replay()))
        self.assertEqual(player.wait(harness.PATIENCE_S), 0)

    def served(self, *words):
        """What a subscriber of everything gets, to the end: data as (sequence, topic, body), at whatever pace."""
        endpoint = f"ipc://{self.daemon.folder}/replay"
        player = spawn(self, [binary("holdfast"), "replay", self.folder, "--zeromq", endpoint, *words],
                       stderr=subprocess.DEVNULL)
        client = MarketClient(self, endpoint, "itch", everything=True)
        last = data(self.folder)[-1][0]
        received = client.until(
            lambda message: message["kind"] == "data" and message["sequence"] == last, "the last frame")
        self.assertEqual(player.wait(harness.PATIENCE_S), 0)
        client.close()
        return [(message["sequence"], message["topic"], message["body"]) for message in received
                if message["kind"] == "data"]

    def test_subscribers_get_every_frame_flat_out(self):
        self.open()
        for _ in range(1000):
            self.lines.both(self.orders(10))
        self.end()
        self.daemon.stop()
        self.assertEqual(self.served("--flat-out"), data(self.folder))

    def test_a_batch_that_is_being_written_is_no_damage(self):
        self.open()
        self.lines.both(self.orders(3))
        self.end()
        self.daemon.stop()
        whole = self.replay()
        with open(segments(self.folder)[-1], "ab") as last:
            last.write(read(segments(self.folder)[-1])[-20:-5])
        writer = os.open(self.folder, os.O_RDONLY)
        self.addCleanup(os.close, writer)
        fcntl.flock(writer, fcntl.LOCK_EX)
        self.assertEqual(self.replay(), whole)
        fcntl.flock(writer, fcntl.LOCK_UN)
        code, out, errors = holdfast("replay", self.folder)
        self.assertEqual((code, out.splitlines()), (65, whole))
        self.assertIn("cut off", errors)

    def test_subscribers_get_every_frame_at_any_pace_from_a_sequence_or_a_time(self):
        self.open()
        for _ in range(30):
            self.lines.both(self.orders(10))
        self.end()
        self.daemon.stop()
        whole = data(self.folder)
        times = {header["sequence"]: header["receive_time"] for _, header, _ in frames(self.folder)
                 if header["kind"] == "data"}
        since = json.loads(self.replay("--json", "--from", "100", "--count", "1")[0])["receive_time"]
        for words, wanted in (([], whole), (["--speed", "0.5"], whole), (["--speed", "1000000"], whole),
                              (["--from", "100"], whole[99:]), (["--from", "100", "--flat-out"], whole[99:])):
            with self.subTest(words):
                self.assertEqual(self.served(*words), wanted)
        # A time is told in microseconds: it begins with what was received in that one, or after it.
        served = self.served("--since", since)
        self.assertEqual(served, whole[served[0][0] - 1:])
        self.assertLessEqual(served[0][0], 100)
        self.assertTrue(all(times[sequence] // 1000 < times[100] // 1000 for sequence in range(1, served[0][0])))

    def test_where_others_could_read_it_nothing_is_published_unless_that_is_meant(self):
        self.open()
        self.end()
        self.daemon.stop()
        for endpoint in ("tcp://*:0", "tcp://0.0.0.0:0", "tcp://10.82.1.1:7009"):
            status, _, said = holdfast("replay", self.folder, "--zeromq", endpoint)
            self.assertEqual(status, 64, said)
            self.assertIn("--plaintext", said)
        self.assertEqual(holdfast("replay", self.folder, "--plaintext")[0], 64)


class SlowReader:
    """A subscriber of everything that keeps next to nothing of its own, and reads only when it is told to."""

    def __init__(self, case, endpoint):
        context = zmq.Context()
        case.addCleanup(context.destroy, linger=0)
        self.socket = context.socket(zmq.SUB)
        self.socket.set(zmq.RCVHWM, 1)
        self.socket.subscribe(b"")
        self.socket.subscribe(b"sync/slow/")
        self.socket.connect(endpoint)

    def read(self):
        """The next frame; None: none comes."""
        if not self.socket.poll(harness.PATIENCE_S * 1000):
            return None
        return reader.read(self.socket.recv())

    def data(self, count):
        """The next so many messages, or all that there are."""
        found = []
        while len(found) < count and (frame := self.read()):
            topic, header, body = frame
            if header["kind"] == "data":
                found.append((header["sequence"], topic, body))
        return found


class ReplayingToTheSlow(Journalled):
    """More than what lies in the kernel's and the player's buffers."""

    def setUp(self):
        super().setUp()
        self.open()
        for _ in range(800):
            self.lines.both(self.orders(10))
        self.end()
        self.daemon.stop()
        self.whole = data(self.folder)

    def player(self, endpoint, *words):
        player = spawn(self, [binary("holdfast"), "replay", self.folder, "--flat-out", "--zeromq", endpoint, *words],
                       stderr=subprocess.PIPE)
        self.addCleanup(player.stderr.close)
        said = harness.read_line(self, player.stderr)
        return player, re.search(r"replay: (\S+), waiting", said)[1]

    def ended(self, player):
        said = ""
        while line := harness.read_line(self, player.stderr):
            said += line
        return player.wait(harness.PATIENCE_S), said

    def test_a_subscriber_that_is_slow_gets_all_to_the_end(self):
        players = [self.player(endpoint) for endpoint in (f"ipc://{self.daemon.folder}/replay", "tcp://127.0.0.1:*")]
        readers = [SlowReader(self, endpoint) for _, endpoint in players]
        got = [slow.data(1) for slow in readers]
        # Whatever a player keeps for a subscriber is lost if it ends before.
        for player, _ in players:
            with self.assertRaises(subprocess.TimeoutExpired):
                player.wait(6)
        for slow, begun, (player, _) in zip(readers, got, players):
            self.assertEqual(begun + slow.data(len(self.whole) - 1), self.whole)
            while player.poll() is None:
                if slow.socket.poll(100):
                    slow.read()
            code, said = self.ended(player)
            self.assertEqual(code, 0, said)
            self.assertNotIn("did not get", said)

    def test_a_subscriber_that_takes_nothing_is_given_up_and_told_and_the_others_get_all(self):
        player, endpoint = self.player(f"ipc://{self.daemon.folder}/replay", "--patience", "3")
        good = SlowReader(self, endpoint)
        begun = good.data(1)
        sleeper = SlowReader(self, endpoint)
        self.assertIsNotNone(sleeper.read())
        self.assertEqual(begun + good.data(len(self.whole) - 1), self.whole)
        good.socket.close()
        code, said = self.ended(player)
        self.assertEqual(code, 74, said)
        self.assertRegex(said, r"took nothing .* it was sent (\d+) frames, of which the last (\d+) may not have arrived")
        self.assertIn("replay: 1 of its subscribers did not get all of it", said)

    def test_an_interrupt_leaves_the_last_ones_some_seconds_and_the_second_one_none(self):
        players, sleepers = [], []
        for number in range(2):
            player, endpoint = self.player(f"ipc://{self.daemon.folder}/replay{number}", "--count", "100")
            players.append(player)
            sleepers.append(SlowReader(self, endpoint))
            self.assertEqual(sleepers[-1].data(1), self.whole[:1])
            player.send_signal(signal.SIGINT)
            with self.assertRaises(subprocess.TimeoutExpired):
                player.wait(1)
        players[1].send_signal(signal.SIGINT)
        for player in reversed(players):
            code, said = self.ended(player)
            self.assertEqual(code, 74, said)
            self.assertIn("had not taken all when it was stopped", said)


class Remembering(Journalled):
    start = "journal"

    def test_a_gateway_that_starts_in_a_session_has_its_directory(self):
        self.open()
        self.lines.both(self.orders(30))
        self.end()
        for end in (Daemon.stop, self.kill):
            self.wait_written(self.lines.next - 1)
            end(self.daemon)
            self.daemon.start()
            client = MarketClient(self, self.daemon.endpoint("gateway.md"), "itch", everything=True)
            client.sync()
            self.lines.wait_heard(self.health())
            last = self.lines.next
            while True:
                self.lines.both(self.orders(3))
                received = client.until(
                    lambda message: message["kind"] == "data" and message["sequence"] >= self.lines.next - 1, "data")
                if "unresolved" not in received[-1]["flags"]:
                    break
            names = {message["names"][2] for message in received if message["kind"] == "data"}
            self.assertLessEqual(names, set(SYMBOLS))
            bus = self.health()
            self.assertNotIn("directory", bus.settle("feed/itch", "ok")["reason"])
            self.assertGreaterEqual(self.lines.next, last)

    @staticmethod
    def kill(daemon):
        daemon.signal(signal.SIGKILL)
        daemon.wait_exit()


class FromFile(Journalled):
    """A session joined in its middle, whose directory comes from a file."""

    def setUp(self):
        self.file = os.path.join(harness.folder_of(self), "directory")
        self.options = f'directory_file = "{self.file}"\n'
        super().setUp()

    def write(self, messages):
        write(self.file + ".new", b"".join(struct.pack(">H", len(message)) + message for message in messages))
        os.replace(self.file + ".new", self.file)

    def join_late(self):
        self.daemon.stop()
        self.daemon.start()
        self.client = MarketClient(self, self.daemon.endpoint("gateway.md"), "itch", everything=True)
        self.client.sync()
        self.lines.wait_heard(self.health())
        self.lines.both(self.orders(3))
        self.client.wait(lambda message: message["kind"] == "state" and message["told"]["reason"] == "no directory",
                         "that there is no directory")

    def wait_names(self):
        while True:
            first = self.lines.next
            self.lines.both(self.orders(3))
            received = [message for message in self.client.until(
                lambda message: message["kind"] == "data" and message["sequence"] == first + 2, "orders")
                if message["kind"] == "data" and message["sequence"] >= first]
            if not any("unresolved" in message["flags"] for message in received):
                break
        self.assertEqual([message["names"][2] for message in received], list(SYMBOLS))
        self.assertEqual({message["state"] for message in received}, {"live"})

    def test_the_journal_of_one_that_was_there_gives_it(self):
        self.open()
        self.lines.both(self.orders(3))
        self.end()
        self.daemon.stop()
        code, _, said = holdfast("replay", self.folder, "--directory", self.file + ".out")
        self.assertEqual(code, 0, said)
        self.assertRegex(said, rf"^holdfast: replay: 3 instruments of 20\S+Z written to {self.file}.out\n$")
        # It bears the time of what it was taken from.
        last = [header["receive_time"] for _, header, _ in frames(self.folder) if header["kind"] == "data"][-1]
        self.assertEqual(os.stat(self.file + ".out").st_mtime_ns, last)
        locates = {number: symbol for number, symbol in enumerate(SYMBOLS, 1)}
        entries = [venue.directory(number, symbol) for number, symbol in locates.items()]
        self.assertEqual(read(self.file + ".out"), b"".join(b"\x00\x27" + entry for entry in entries))
        self.daemon.start()
        self.join_late()
        self.daemon.wait_log(f"stat {self.file}: No such file")
        os.rename(self.file + ".out", self.file)
        self.wait_names()
        self.daemon.wait_log(f"the directory of 3 instruments was taken from {self.file}")

    def test_one_of_another_session_is_refused(self):
        self.open()
        entries = [venue.directory(number, symbol) for number, symbol in enumerate(SYMBOLS, 1)]
        self.write(entries)
        os.utime(self.file, (0, 0))
        self.join_late()
        self.daemon.wait_log(f"{self.file} is of 1970-01-01T00:00:00.000000Z, another session")
        # Of a day on which its locates were given otherwise.
        self.write([venue.directory(1, "ALFA"), venue.directory(2, "ALFA")])
        self.daemon.wait_log("is another session's: locate 2 is ALFA in it, and BRAVO on the feed")
        self.write([b"?"])
        self.daemon.wait_log(f"{self.file} is no BinaryFILE of ITCH 5.0")
        self.write(entries)
        self.wait_names()

    def test_where_there_is_none_the_command_says_so(self):
        self.daemon.stop()
        code, _, said = holdfast("replay", self.folder, "--directory", self.file)
        self.assertEqual(code, 66, said)
        self.assertIn("no directory of instruments", said)
        self.assertEqual(holdfast("replay", self.folder, "--directory", self.file, "--from", "1")[0], 64)


class Repairing(Journalled):
    segment_bytes, keep_bytes = 1 << 16, 1 << 20

    def setUp(self):
        super().setUp()
        self.raw = []
        take = self.client.read
        self.client.read = lambda frames: self.raw.append(frames[0]) or take(frames)

    def ask(self, request):
        return self.bus.ask_raw(request)

    def repair(self, first, last, **more):
        return [reader.read(frame) for frame in reader.repair(self.ask, "itch", self.epoch, first, last, **more)]

    def flow(self, packets):
        for _ in range(packets):
            self.lines.both(self.orders(3))
        received = self.end()
        self.epoch = received[-1]["epoch"]
        self.wait_written(self.lines.next - 1)
        self.bus = self.health()
        return received

    def test_what_was_missed_comes_as_it_was_published_gaps_among_it(self):
        self.open()
        self.lines.both(self.orders(3))
        self.orders(2)  # to nobody
        self.flow(5)
        headers = [(reader.read(frame)[1], frame) for frame in self.raw]
        sent = {header["sequence"]: frame for header, frame in headers if header["kind"] == "data"}
        frames = list(reader.repair(self.ask, "itch", self.epoch, 5, 12))
        data = [frame for frame in frames if reader.read(frame)[1]["kind"] == "data"]
        self.assertEqual(data, [sent[number] for number in range(5, 13) if number in sent])
        gaps = [reader.control(*reader.read(frame)[1:]) for frame in frames if reader.read(frame)[1]["kind"] == "gap"]
        self.assertEqual([(gap["first"], gap["last"]) for gap in gaps], [(7, 8)])
        mine = self.repair(1, 1000, instrument="BRAVO")
        self.assertEqual({topic for topic, header, _ in mine if header["kind"] == "data"}, {"md/itch/BRAVO/"})

    def test_what_was_released_before_a_restart_can_be_had_after_it(self):
        self.open()
        self.flow(20)
        last = self.lines.next - 1
        self.daemon.stop()
        self.daemon.start()
        self.lines.wait_heard(self.health())
        self.lines.both(self.orders(3))
        self.wait_written(last + 3)
        self.bus = self.health()
        got = [header["sequence"] for _, header, _ in self.repair(last - 2, last + 3) if header["kind"] == "data"]
        self.assertEqual(got, list(range(last - 2, last + 4)))

    def test_long_repairs_come_in_parts_and_old_ones_are_refused_by_the_first_that_can_be_had(self):
        self.open()
        for _ in range(12):
            self.flow(300)
        last = self.lines.next - 1
        reply = self.bus.ask_raw(json.dumps({"v": 1, "request": "repair", "feed": "itch", "epoch": str(self.epoch),
                                             "from": 1, "to": 2}).encode())
        refused = json.loads(reply[0])
        self.assertFalse(refused["ok"])
        self.assertIn(f"can be had from sequence {refused['first']} on", refused["error"])
        self.assertGreater(refused["first"], 1)
        parts = []

        def ask(request):
            parts.append(request)
            return self.ask(request)
        got = [reader.read(frame)[1]["sequence"] for frame in
               reader.repair(ask, "itch", self.epoch, refused["first"], last)]
        self.assertEqual(got, list(range(refused["first"], last + 1)))
        self.assertGreater(len(parts), 1)
        self.assertGreater(self.bus.status()["repairs"], 1)
        self.assertLess(sum(map(os.path.getsize, segments(self.folder))), (1 << 20) + (1 << 18))
        state = self.bus.states()["feed/itch"]["values"]
        self.assertGreater(state["journal_expired"], 0)

    def test_nonsense_is_refused_with_what_would_be_right(self):
        self.open()
        self.flow(2)
        for request, words in (({"feed": "nothing"}, "there is no feed nothing"), ({"channel": 3}, "channel 3"),
                               ({"epoch": "1"}, "nothing of epoch 1"), ({"after": "x"}, "after"),
                               ({"to": 0}, "not below from")):
            whole = {"request": "repair", "feed": "itch", "epoch": str(self.epoch), "from": 1, "to": 3} | request
            reply = self.bus.ask(**whole)
            self.assertFalse(reply["ok"], whole)
            self.assertIn(words, reply["error"])
        for after in ("1:5:0", "1:99999999:7", "9999:0:0"):
            reply = self.bus.ask_raw(json.dumps({"v": 1, "request": "repair", "feed": "itch", "after": after,
                                                 "epoch": str(self.epoch), "from": 1, "to": 3}).encode())
            self.assertIn("ok", json.loads(reply[0]))
        self.assertTrue(self.daemon.is_running())


class JournalledBeyond(test_entitlements.Case):
    """Feeds that are journalled, and a gateway that is asked for them from another host."""

    REQUESTS = f"tcp://{test_entitlements.DESK}:7001"

    def open(self, *names, **clients):
        """A feed of each name, of the same market; the first is `quotes`."""
        self.open_market()
        text = test_entitlements.GATEWAY.replace('req"]', f'req", "{self.REQUESTS}"]')
        text += JOURNAL % ("none", 1 << 20, 1 << 30)
        feed = self.feed().replace("[[feed.path]]", "journal = true\n[[feed.path]]", 1)
        self.start(text + "".join(feed.replace('"quotes"', f'"{name}"', 1) for name in ("quotes", *names)), **clients)

    def asker(self, keys):
        return HealthClient(self, test_entitlements.DATA, self.REQUESTS, curve=(keys, self.host.public),
                            namespace=self.algo)

    def wait_written(self, feed, count):
        bus = self.health("state/desk/feed/")
        subject = f"feed/{feed}"
        if bus.states()[subject]["values"].get("journal_written", 0) < count:
            bus.wait(lambda message: harness.subject_of(message) == subject
                     and message["values"].get("journal_written", 0) >= count, f"{count} frames of {feed} written")


@harness.needs_namespaces
class Entitled(JournalledBeyond):
    def setUp(self):
        super().setUp()
        self.some, self.nothing = curve.Keys(), curve.Keys()
        self.open(some=(self.some, ["md/quotes/HF1/", "md/quotes/HF2/"]), nothing=self.nothing)

    def test_a_client_gets_back_what_it_may_have_and_nothing_else(self):
        local = MarketClient(self, self.gateway.endpoint("gateway.md"), "quotes", everything=True)
        local.sync()
        local.wait_live()
        self.market.A.wait_held(self, test_entitlements.BEAT, "")
        for _ in range(5):
            self.quote_all()
        last = local.wait(lambda message: message["kind"] == "data" and message["names"][2] == "HF4"
                          and message["sequence"] >= 5, "the last quote")
        self.wait_written("quotes", 20)
        some = self.asker(self.some)
        topics = {reader.read(frame)[0] for frame in
                  reader.repair(some.ask_raw, "quotes", last["epoch"], 1, 5, instrument="HF1")}
        self.assertEqual(topics, {"md/quotes/HF1/"})
        topics = {reader.read(frame)[0] for frame in reader.repair(some.ask_raw, "quotes", last["epoch"], 1, 5)}
        self.assertEqual(topics, {"md/quotes/HF1/", "md/quotes/HF2/"})
        with self.assertRaisesRegex(ValueError, "HF3 of quotes is not for this client"):
            list(reader.repair(some.ask_raw, "quotes", last["epoch"], 1, 5, instrument="HF3"))
        with self.assertRaisesRegex(ValueError, "not for this client"):
            list(reader.repair(self.asker(self.nothing).ask_raw, "quotes", last["epoch"], 1, 5))


if __name__ == "__main__":
    unittest.main()
