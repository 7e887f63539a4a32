"""A replica of a journal: a second gateway has the same files, says what would be lost with the first one, and whatever
ends or is damaged on the way, it goes on or says why not."""

import json
import os
import resource
import signal
import subprocess
import unittest

import curve
import harness
import test_entitlements
from harness import Daemon, HealthClient, MarketClient, binary, reader, spawn, subject_of
from test_gateway_itch import FEED, SYMBOLS
from test_feed_journal import JOURNAL, Journalled, JournalledBeyond, data, holdfast, read, records, segments, write

REPLICA = """host = "%s"
[bus]
publish = ["ipc://~/gateway.pub"]
request = ["ipc://~/gateway.req"]
[downstream]
publish = ["ipc://~/gateway.md"]
""" + JOURNAL + """[[replica]]
request = "%s"
feeds = ["%s"]
%s
"""


def equal(ours, theirs):
    """Whether both folders have the same segments, byte for byte."""
    names = [os.path.basename(path) for path in segments(ours)]
    return names == [os.path.basename(path) for path in segments(theirs)] and all(
        read(f"{ours}/{name}") == read(f"{theirs}/{name}") for name in names)


class Replicated(Journalled):
    segment_bytes, more = 1 << 18, ""
    wrap_replica = ()

    def setUp(self):
        super().setUp()
        text = REPLICA % ("second", "none", 1 << 20, 1 << 30, self.daemon.endpoint("gateway.req"), "itch", self.more)
        self.replica = Daemon(self, "holdfast-gateway", text, wrap=self.wrap_replica).start()
        self.copy = f"{self.replica.folder}/journal/itch/0"

    def values(self, daemon, host, subject, condition, what):
        """Waits until a replica's figures, which come each second, meet a condition."""
        bus = HealthClient(self, daemon.endpoint("gateway.pub"), daemon.endpoint("gateway.req"))
        bus.subscribe(f"sample/{host}/replica/")
        return bus.wait(lambda message: subject_of(message) == subject and condition(message["values"]), what)["values"]

    def state(self, daemon, host, subject, condition):
        bus = HealthClient(self, daemon.endpoint("gateway.pub"), daemon.endpoint("gateway.req"))
        bus.subscribe(f"state/{host}/replica/")
        return bus.wait_state(subject, condition)

    def here(self, condition, what):
        return self.values(self.replica, "second", "replica/itch", condition, what)

    def there(self, condition, what):
        return self.values(self.daemon, "desk", "replica/itch.second", condition, what)

    def play(self, rate=20000):
        return spawn(self, [binary("holdfast"), "play", "--generate", "itch", "--rate", str(rate), "--symbols", "50",
                            "--session", "REPLICA", "--mold", self.lines.group("A"), "--mold", self.lines.group("B")],
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def settle(self, messages=1):
        """Waits until the replica has everything, by its own word and by the first gateway's."""
        def has_all(values):
            return values["behind_messages"] == 0 and values["behind_s"] == 0
        self.here(lambda values: has_all(values) and values["messages"] >= messages, "that it has everything")
        self.there(has_all, "that the replica has everything")
        for daemon, host, subject in ((self.replica, "second", "replica/itch"), (self.daemon, "desk", "replica/itch.second")):
            self.state(daemon, host, subject, "ok")

    def wait_same(self, condition=lambda: True):
        """Waits until both have the same, byte for byte: looks at each heartbeat. A record of a state is no message, and
        may be on its way when nothing is behind."""
        bus = self.health()
        bus.subscribe("heartbeat/desk/")
        bus.wait(lambda message: condition() and equal(self.folder, self.copy), "that both are the same")

    def is_stale(self):
        """Whether the last that is journalled says that no more comes, which is told of a line that went silent."""
        kind, contents = list(records(segments(self.folder)[-1]))[-1]
        header = reader.read(contents)[1] if kind == 1 else {}
        return (header.get("kind"), header.get("state")) == ("state", "stale")

    def digest(self, folder):
        code, out, errors = holdfast("verify", "--json", folder)
        self.assertEqual(code, 0, out + errors)
        report = json.loads(out)
        self.assertTrue(report["whole"], report)
        return report["channels"][0]["last_digest"]


class Following(Replicated):
    def test_under_load_and_killed_on_either_side_it_becomes_the_same(self):
        self.open()
        player = self.play()
        for victim in (self.replica, self.daemon, self.replica, self.daemon):
            self.wait_written(2000)
            self.here(lambda values: values["messages"] > 100, "100 messages")
            victim.signal(signal.SIGKILL)
            victim.wait_exit()
            victim.start()
        self.wait_written(2000)
        player.terminate()
        player.wait(harness.PATIENCE_S)
        self.settle()
        self.assertGreater(len(segments(self.folder)), 3)
        self.wait_same(self.is_stale)
        self.daemon.stop()
        self.replica.stop()
        self.assertEqual(self.digest(self.folder), self.digest(self.copy))
        self.assertTrue(equal(self.folder, self.copy))

    def test_a_gateway_that_is_gone_is_told_by_how_long_and_both_subjects_are_in_the_status(self):
        self.open()
        self.lines.both(self.orders(3))
        self.settle(3)
        code, out, _ = holdfast("status", "--endpoint", self.replica.endpoint("gateway.req"))
        self.assertIn("replica/itch", out)
        self.daemon.signal(signal.SIGSTOP)
        state = self.state(self.replica, "second", "replica/itch", "warning")
        self.assertEqual(state["reason"], "no answer")
        self.here(lambda values: values["behind_s"] > 1, "a second behind")
        self.daemon.signal(signal.SIGCONT)
        self.settle(3)
        self.replica.signal(signal.SIGSTOP)
        state = self.state(self.daemon, "desk", "replica/itch.second", "warning")
        self.assertEqual(state["reason"], "does not ask")
        self.lines.both(self.orders(3))
        self.there(lambda values: values["behind_messages"] >= 3, "3 messages behind")
        self.replica.signal(signal.SIGCONT)
        self.settle(6)

    def flip(self, number, record=None):
        """Changes a byte of a segment of the first gateway: the last one of a record, or one in its header."""
        path = segments(self.folder)[number - 1]
        content = bytearray(read(path))
        at = 30
        if record is not None:
            sizes = [16 + len(contents) for _, contents in records(path)]
            at = len(content) - sum(sizes[record + 1:]) - 1
        content[at] ^= 1
        write(path, content)

    def faults(self, folder):
        code, out, errors = holdfast("verify", "--json", folder)
        self.assertEqual(code, 65, out + errors)
        return json.loads(out)["channels"][0]["faults"]

    def flow(self, packets):
        for _ in range(packets):
            self.lines.both(self.orders(3))
        self.wait_written(self.lines.next - 1)

    def restart_source(self):
        self.daemon.stop()
        self.daemon.start()
        self.lines.wait_heard(self.health())

    def test_damage_over_there_is_named_and_the_replica_goes_on_behind_it_with_the_same_bytes(self):
        self.replica.stop()
        self.open()
        self.flow(30)
        self.restart_source()
        self.flow(30)
        self.assertEqual(len(segments(self.folder)), 2)
        self.flip(1, record=40)
        self.flip(2, record=40)
        self.flip(2)
        self.replica.start()
        for words in ("segment 1: record ", "segment 2: header: its checksum does not fit", "segment 2: record "):
            self.replica.wait_log(words)
        self.assertRegex(self.replica.log(), r"segment 1: record 40 \(sequence (\d+)\) at byte .* sequence \1 is missing")
        self.settle()
        self.wait_same()
        # Both have what verify names, and the chain that the damage breaks.
        faults = self.faults(self.folder)
        self.assertEqual(faults, self.faults(self.copy))
        count = sum("the segment before it was changed" not in fault for fault in faults)
        self.here(lambda values: values["damaged_records"] == count, f"{count} damaged records")
        # What comes later is whole, in this segment and in the next one.
        self.flow(10)
        self.settle()
        self.wait_same()
        self.restart_source()
        self.flow(10)
        self.settle()
        self.wait_same(lambda: len(segments(self.copy)) == 3)
        self.assertEqual(data(self.copy)[-30:], data(self.folder)[-30:])
        self.here(lambda values: values["damaged_records"] == count and values["missed_segments"] == 0, "no more damage")

    def test_a_replica_that_is_killed_on_damage_has_everything_again(self):
        self.replica.stop()
        self.open()
        self.flow(30)
        self.flip(1, record=40)
        for _ in range(2):
            self.replica.start()
            self.here(lambda values: values["damaged_records"] == 1, "the damage")
            self.settle()
            self.wait_same()
            self.replica.signal(signal.SIGKILL)
            self.replica.wait_exit()
            self.flow(3)
        self.replica.start()
        self.settle()
        self.wait_same()


class Reloaded(Replicated):
    def test_a_feed_that_a_reload_changes_is_followed_on(self):
        self.open()
        self.lines.both(self.orders(3))
        self.settle(3)
        bus = HealthClient(self, self.replica.endpoint("gateway.pub"), self.replica.endpoint("gateway.req"))
        bus.subscribe("state/second/replica/", "heartbeat/second/")
        bus.sync()
        with open(self.daemon.file) as file:
            text = file.read()
        for number in range(4):
            self.daemon.configure(text.replace('policy = "hot-hot"', f'policy = "hot-hot"\nreorder_time = "{10 + number}ms"'))
            self.daemon.signal(signal.SIGHUP)
            self.daemon.wait_told("RELOADING=1")
            self.daemon.wait_told("READY=1")
            self.lines.wait_heard(self.health())
            self.lines.both(self.orders(3))
            self.wait_written(3)
        states = bus.sync()
        self.assertEqual([state for state in states if state.get("status") == "critical"], [])
        self.assertNotIn("there is no feed", self.replica.log())
        self.settle()
        self.wait_same()


class Promoted(Replicated):
    def test_the_second_gateway_takes_the_feed_up_where_its_copy_ends(self):
        self.open()
        for _ in range(20):
            self.lines.both(self.orders())
        last = self.lines.next - 1
        self.wait_written(last)
        self.wait_same()
        self.daemon.signal(signal.SIGKILL)
        self.daemon.wait_exit()
        text = REPLICA.split("[[replica]]")[0] % ("second", "none", 1 << 20, 1 << 30)
        self.replica.configure(text + FEED % (
            'journal = true\nstart = "journal"\n' + self.options, self.lines.group("A"), self.lines.group("B")))
        self.replica.signal(signal.SIGHUP)
        self.replica.wait_log("configuration read again")
        client = MarketClient(self, self.replica.endpoint("gateway.md"), "itch", everything=True)
        client.sync()
        self.lines.wait_heard(HealthClient(self, self.replica.endpoint("gateway.pub"), self.replica.endpoint("gateway.req")))
        self.lines.both(self.orders())
        end = self.lines.next - 1
        heard = []
        client.wait(lambda message: message["kind"] == "data" and (heard.append(message) or message["sequence"] == end), "the end")
        self.assertEqual([message["sequence"] for message in heard], list(range(last + 1, end + 1)))
        self.assertEqual({message["names"][2] for message in heard} - set(SYMBOLS), set(), "the directory is the copy's")
        self.assertEqual(self.replica.stop(), 0)
        self.assertEqual([sequence for sequence, _, _ in data(self.copy, check=True)], list(range(1, end + 1)))
        self.digest(self.copy)
        self.assertNotIn("is not written", self.replica.log())


class FullDisk(Replicated):
    wrap_replica = ("env", "--ignore-signal=XFSZ")

    def test_where_the_disk_is_full_the_replica_says_so_and_goes_on_later(self):
        self.open()
        self.lines.both(self.orders(3))
        self.settle(3)
        limits = resource.prlimit(self.replica.child.pid, resource.RLIMIT_FSIZE)
        size = os.path.getsize(segments(self.copy)[-1])
        resource.prlimit(self.replica.child.pid, resource.RLIMIT_FSIZE, (size + 10, limits[1]))
        self.lines.both(self.orders(3))
        state = self.state(self.replica, "second", "replica/itch", "critical")
        self.assertIn("write", state["reason"])
        resource.prlimit(self.replica.child.pid, resource.RLIMIT_FSIZE, limits)
        self.settle(6)
        self.wait_same()


@harness.needs_namespaces
class Entitled(JournalledBeyond):
    def pull(self, keys, **more):
        request = {"v": 1, "request": "pull", "feed": "quotes", "replica": "me"} | more
        return self.asker(keys).ask_raw(json.dumps(request).encode())

    def play(self):
        """Some of each feed, which somebody takes."""
        for feed in ("quotes", "secret"):
            local = MarketClient(self, self.gateway.endpoint("gateway.md"), feed, everything=True)
            local.sync()
            local.wait_live()
        self.market.A.wait_held(self, test_entitlements.BEAT, test_entitlements.BEAT, "", "")
        for _ in range(20):
            self.quote_all()
        for feed in ("quotes", "secret"):
            self.wait_written(feed, 80)

    def test_a_gateway_gets_the_feeds_that_its_key_may_read_and_is_told_of_the_others(self):
        second = curve.Keys()
        self.open("secret", second=(second, ["md/quotes/", "md/secret/HF1/"]))
        self.play()
        text = REPLICA.replace("[downstream]", '[curve]\nkey = "~/host.key"\nclients = "~/clients.toml"\n[downstream]')
        text %= ("elsewhere", "none", 1 << 20, 1 << 30, self.REQUESTS, 'quotes", "secret',
                 f'server_key = "{self.host.public}"')
        replica = Daemon(self, "holdfast-gateway", text, self.algo)
        second.write(os.path.join(replica.folder, "host.key"))
        curve.write_clients(os.path.join(replica.folder, "clients.toml"))
        replica.start()
        bus = harness.health(self, replica, "state/elsewhere/replica/", "sample/elsewhere/replica/", name="gateway")
        state = bus.wait_state("replica/secret", "critical")
        self.assertIn("for clients that may have md/secret/", state["reason"])
        replica.wait_log("the replica of feed secret does not go on: the journal of secret is for clients that")
        bus.settle("replica/quotes", "ok")
        self.wait_same(replica, bus, "quotes")
        self.assertFalse(os.path.exists(f"{replica.folder}/journal/secret"))
        # On the desk it is called what its key is called, whatever it calls itself, and for what it may have only.
        self.health("state/desk/replica/").wait_state("replica/quotes.second", "ok")
        self.assertEqual([subject for subject in self.health().states() if subject.startswith("replica/")],
                         ["replica/quotes.second"])
        # What it may have from now on, it gets without being started anew.
        self.write_clients(second=(second, ["md/quotes/", "md/secret/"]))
        self.reload()
        bus.settle("replica/secret", "ok")
        replica.wait_log("the replica of feed secret goes on")
        self.wait_same(replica, bus, "secret")

    def wait_same(self, replica, bus, feed):
        """Waits until the messages that were played are there, byte for byte."""
        ours, theirs = (f"{daemon.folder}/journal/{feed}/0" for daemon in (self.gateway, replica))
        bus.wait(lambda message: data(theirs)[-80:] == data(ours), f"the messages of {feed}")

    def test_who_may_have_the_whole_feed_may_pull_and_nobody_else(self):
        self.whole, self.some = curve.Keys(), curve.Keys()
        self.open(whole=(self.whole, ["md/quotes/"]), some=(self.some, ["md/quotes/HF1/"]))
        refused = json.loads(self.pull(self.some)[0])
        self.assertFalse(refused["ok"])
        self.assertIn("for clients that may have md/quotes/", refused["error"])
        local = MarketClient(self, self.gateway.endpoint("gateway.md"), "quotes", everything=True)
        local.sync()
        local.wait_live()
        self.wait_written("quotes", 1)
        reply = self.pull(self.whole)
        self.assertEqual(json.loads(reply[0])["channels"], [0])
        head, content = self.pull(self.whole, channel=0, segment=0, offset=0)
        self.assertTrue(json.loads(head)["ok"], head)
        self.assertEqual(content[:8], b"HFJOURNL")
        for nonsense in ({"segment": 99}, {"offset": 1 << 40}):
            answer = json.loads(self.pull(self.whole, **({"channel": 0, "segment": 1, "offset": 0} | nonsense))[0])
            self.assertIn("ok", answer)
        self.health("state/desk/replica/").wait_state("replica/quotes.whole", lambda message: True)


if __name__ == "__main__":
    unittest.main()
