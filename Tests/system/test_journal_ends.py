"""What each fsync policy of the journal promises, at ends of its gateway in the midst of all that it can carry: SIGKILL,
and a power cut. The files are read here by their document alone.

The power cut is ext4's own (EXT4_IOC_SHUTDOWN, as xfstests make it): from that moment nothing more reaches the device, and
what the file system had not given to it is gone. Only what the gateway had said before is looked at: ext4 can answer an
fdatasync that is under way at that moment as if all were well. A device that loses what it said it had is not tried."""

import fcntl
import json
import os
import signal
import struct
import subprocess
import unittest

import harness
import test_agent_disk as disks
import venue
from harness import GATEWAY_BUS, Daemon, HealthClient, MarketClient, binary, reader, spawn
from test_feed_journal import JOURNAL, holdfast, read, segments
from test_gateway_itch import FEED, SYMBOLS

SHUTDOWN, WITHOUT_FLUSH = 0x8004587D, struct.pack("I", 2)
HEAD = struct.Struct("<IBBHII")
SEGMENT_BYTES, KEEP_BYTES = 1 << 23, 1 << 30
RECOVER = """journal = true
start = "session"
[feed.recover]
servers = ["%s"]
requests_per_second = 2000
"""


class Kept:
    """What the segments of a channel have: frames of each run, and the order of what they release."""

    def __init__(self, case, folder):
        self.case = case
        self.frames = {}  # run -> how many, whatever their kind
        self.through = {}  # run -> the last sequence of data
        self.sequences = []  # of data, as they stand
        self.torn = 0  # bytes behind the last whole record of the last segment
        self.next, self.gaps = {}, []
        paths = segments(folder)
        for path in paths:
            self.torn = self.take(read(path))
            case.assertTrue(path == paths[-1] or not self.torn, f"{path} ends in {self.torn} bytes that are no record")

    def take(self, content):
        """The records of a segment; returns how many bytes behind them are none."""
        if len(content) < 12:
            return len(content)
        at, run = struct.unpack_from("<H", content, 10)[0], struct.unpack_from("<I", content, 32)[0]
        while at + HEAD.size <= len(content):
            length, kind, _, topic, _, _ = HEAD.unpack_from(content, at)
            end = at + HEAD.size + length
            if kind not in (1, 2, 3) or end > len(content):
                break
            contents = memoryview(content)[at + HEAD.size:end]
            if kind == 1:
                self.frame(run, contents, topic)
            elif kind == 2:
                self.hole(*struct.unpack_from("<QQQ", contents, topic + 1))
            at = end
        return len(content) - at

    def frame(self, run, frame, topic):
        fields = dict(zip(reader.FIELDS, reader.HEADER.unpack_from(frame, topic + 1)))
        self.frames[run] = self.frames.get(run, 0) + 1
        kind = reader.KINDS[fields["kind"]]
        if kind == "gap":
            _, header, body = reader.read(frame)
            told = reader.control(header, body)
            self.gap(fields["epoch"], told["first"], told["last"])
        elif kind == "data":
            self.data(run, fields["epoch"], fields["sequence"])

    def hole(self, epoch, first, last):
        """The disk was slower than what came."""
        if last > 0:
            self.gap(epoch, first, last)

    def gap(self, epoch, first, last):
        self.case.assertGreaterEqual(first, self.next.get(epoch, 0), f"{first} to {last} is missing, and released")
        self.gaps.append((first, last))
        self.next[epoch] = last + 1

    def data(self, run, epoch, sequence):
        expected = self.next.get(epoch, 0)
        self.case.assertGreaterEqual(sequence, expected, f"{sequence} twice, or behind {expected - 1}")
        if run in self.through:
            self.case.assertEqual(sequence, expected, f"{expected} to {sequence - 1} are neither here nor told as a gap")
        self.next[epoch] = sequence + 1
        self.through[run] = sequence
        self.sequences.append(sequence)


class Case(unittest.TestCase):
    """Two lines, a gateway with a journal, and what it said of that."""

    wrap = ()

    def make(self, policy, options="journal = true\n", journal="~/journal"):
        self.lines = venue.Lines(self)
        text = GATEWAY_BUS + (JOURNAL % (policy, SEGMENT_BYTES, KEEP_BYTES)).replace("~/journal", journal)
        text += FEED % ('reorder_time = "5ms"\n' + options, self.lines.group("A"), self.lines.group("B"))
        self.daemon = Daemon(self, "holdfast-gateway", text, wrap=self.wrap).start()
        self.folder = (self.daemon.folder + "/journal" if journal == "~/journal" else self.root + journal) + "/itch/0"
        self.bus = HealthClient(self, self.daemon.endpoint("gateway.pub"), self.daemon.endpoint("gateway.req"))
        self.bus.subscribe("sample/desk/feed/itch/", "state/desk/feed/itch/")
        self.said = {}

    def listen(self, name, least):
        """Waits until the gateway says so much; all that it says is kept: a later word holds, too."""
        run = self.bus.status()["incarnation"] % 2**32

        def is_said(message):
            if message["incarnation"] % 2**32 == run:
                self.keep(run, message["values"])
            return self.said.get(run, {}).get(name, 0) >= least
        self.keep(run, self.bus.states().get("feed/itch", {}).get("values", {}))
        if self.said[run].get(name, 0) < least:
            self.bus.wait(is_said, f"{name} {least}")
        return run

    def keep(self, run, values):
        known = self.said.setdefault(run, {})
        for name in ("journal_written", "journal_sequence", "journal_synced"):
            known[name] = max(known.get(name, 0), values.get(name, 0))

    def end(self, number=signal.SIGKILL):
        self.daemon.signal(number)
        self.daemon.wait_exit()

    def flat_out(self):
        """A venue that sends as fast as it goes, more than the gateway can take."""
        return spawn(self, [binary("holdfast-bench"), "send-mold", "--rate", "0", "--symbols", "50", "--messages",
                            "2000000000", "--group", self.lines.group("A"), "--group", self.lines.group("B")],
                     stdout=subprocess.DEVNULL)

    def kept(self, run, promise):
        """Reads the journal, which must have at least what was promised of a run."""
        kept, said = Kept(self, self.folder), self.said[run]
        self.assertGreater(said[promise], 0, f"nothing was said: {said}")
        self.assertGreaterEqual(kept.frames.get(run, 0), said[promise], f"frames of run {run}; {promise}: {said}")
        if promise == "journal_written":
            self.assertGreaterEqual(kept.through[run], said["journal_sequence"])
        return kept

    def verify(self):
        code, out, errors = holdfast("verify", "--json", self.folder)
        self.assertEqual(code, 0, out + errors)
        report = json.loads(out)
        self.assertTrue(report["whole"], report)
        return report


class Killed(Case):
    """`journal_written` frames, through `journal_sequence`, survive whatever the policy is."""

    def through(self, policy):
        self.make(policy)
        sender = self.flat_out()
        cuts, runs = 0, []
        for least in (1, 20_000, 60_000):
            run = self.listen("journal_written", least)
            self.end()
            kept = self.kept(run, "journal_written")
            runs.append(run)
            cuts += 1 if kept.torn else 0
            self.daemon.start()
            self.listen("journal_written", 1)
            self.assertEqual(self.daemon.log().count("ended in a record that was cut off"), cuts)
        sender.terminate()
        sender.wait(harness.PATIENCE_S)
        self.end(signal.SIGTERM)
        kept = Kept(self, self.folder)
        self.assertEqual((len(kept.frames), kept.torn), (4, 0))
        self.verify()
        synced = {said["journal_synced"] > 0 for said in self.said.values()}
        self.assertIn(policy != "none", synced, self.said)

    def test_flat_out_without_syncs(self):
        self.through("none")

    def test_flat_out_with_syncs_now_and_then(self):
        self.through("every")

    def test_flat_out_with_a_sync_of_each_batch(self):
        self.through("each-batch")


class KilledAndSentAgain(Case):
    """A source that can send again, by MoldUDP64's requests: nothing is missing over all the runs."""

    def test_what_came_meanwhile_is_asked_for_and_the_journal_has_each_message_once(self):
        server = f"127.0.0.1:{venue.free_port()}"
        self.make("every", RECOVER % f"udp://{server}")
        client = MarketClient(self, self.daemon.endpoint("gateway.md"), "itch", everything=True)
        client.sync()
        spawn(self, [binary("holdfast"), "play", "--generate", "itch", "--rate", "20000", "--symbols", "50",
                     "--session", "AGAIN", "--mold", self.lines.group("A"), "--mold", self.lines.group("B"),
                     "--mold-requests", server], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for least in (1, 3000, 8000):
            run = self.listen("journal_written", least)
            self.end()
            self.kept(run, "journal_written")
            self.daemon.start()
        run = self.listen("journal_written", 5000)
        heard = []

        def is_enough(message):
            heard.extend([message["sequence"]] if message["kind"] == "data" and message["run"] == run else [])
            return len(heard) > 5000  # so that each instrument was in it
        received = client.until(is_enough, "the last run")
        self.end(signal.SIGTERM)
        kept = Kept(self, self.folder)
        self.assertEqual(kept.gaps, [])
        self.assertEqual(kept.sequences, list(range(kept.sequences[0], kept.sequences[-1] + 1)))
        self.assertEqual(len(kept.through), 4)
        self.verify()
        self.follow(received)

    def follow(self, received):
        """The client has each message once, or knows which it has not, for it was not connected: they are journalled."""
        position, new, missing = reader.Position(), [], []
        for message in received:
            is_new, lost = position.take(message["topic"], message, message["told"])
            new += [message["sequence"]] if is_new else []
            missing += lost
        told = [sequence for _, first, end, _ in missing for sequence in range(first, end + 1)]
        unknown = set(range(new[0], new[-1] + 1)) - {*new, *told}
        self.assertEqual((len(unknown), len(new) - len(set(new))), (0, 0), f"{sorted(unknown)[:5]}, {missing}")


@disks.needs_loop
class PowerCut(Case, disks.Case):
    """`journal_synced` frames survive a power cut."""

    def setUp(self):
        disks.Case.setUp(self)
        self.image, self.mount = os.path.join(self.folder, "disk.img"), self.place("disk")
        with open(self.image, "wb") as file:
            file.truncate(1 << 30)
        harness.run("mkfs.ext4", "-q", self.image)
        self.plug_in()
        self.wrap = self.inside

    def plug_in(self):
        self.run_inside("mount", "-o", "loop", self.image, self.mount)

    def cut(self):
        """The power fails, and the disk comes back with what it has."""
        folder = os.open(self.root + self.mount, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(folder, SHUTDOWN, WITHOUT_FLUSH)
        finally:
            os.close(folder)
        self.end()
        self.run_inside("umount", self.mount)
        self.plug_in()

    def through(self, policy):
        self.make(policy, journal=self.mount)
        sender = self.flat_out()
        for least in (1, 20_000, 60_000):
            run = self.listen("journal_synced", least)
            self.cut()
            self.kept(run, "journal_synced")
            self.daemon.start()
            self.listen("journal_synced", 1)
        sender.terminate()
        sender.wait(harness.PATIENCE_S)
        self.end(signal.SIGTERM)
        self.assertEqual(len(Kept(self, self.folder).frames), 4)

    def test_with_syncs_now_and_then(self):
        self.through("every")

    def test_with_a_sync_of_each_batch(self):
        self.through("each-batch")

    def test_without_syncs_nothing_is_promised_and_the_journal_goes_on(self):
        self.make("none", journal=self.mount)
        self.flat_out()
        run = self.listen("journal_written", 20_000)
        self.cut()
        self.assertEqual(self.said[run]["journal_synced"], 0)
        self.daemon.start()
        self.listen("journal_written", 1)

    def test_what_a_killed_run_had_written_is_on_the_disk_before_the_next_one_goes_on_behind_it(self):
        self.make("every", journal=self.mount)
        self.daemon.stop()
        with open(self.daemon.file) as file:
            text = file.read()
        self.daemon.configure(text.replace('fsync = "every"', 'fsync = "every"\nfsync_every = "60s"'))
        self.daemon.start()
        self.lines.wait_heard(self.bus)
        self.lines.open(*SYMBOLS)
        for _ in range(10):
            self.lines.both(self.lines.orders(3, *SYMBOLS))
        run = self.listen("journal_sequence", 33)
        self.assertEqual(self.said[run]["journal_synced"], 0)
        self.end()
        self.daemon.configure(text.replace('fsync = "every"', 'fsync = "each-batch"'))
        self.daemon.start()
        self.lines.wait_heard(self.bus)
        self.lines.both(self.lines.orders(3, *SYMBOLS))
        self.listen("journal_sequence", 36)
        self.listen("journal_synced", 3)
        self.cut()
        self.assertEqual(Kept(self, self.folder).sequences, list(range(1, 37)))
        self.daemon.start()
        self.listen("journal_written", 0)
        self.daemon.stop()
        self.verify()


if __name__ == "__main__":
    unittest.main()
