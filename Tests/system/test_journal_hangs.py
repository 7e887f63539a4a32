"""A journal's disk that does not answer: market data waits for it neither at the start nor at a reload."""

import json
import signal
import time
import unittest

import harness
import test_agent_disk as disks
import venue
from harness import GATEWAY_BUS, Daemon, HealthClient, MarketClient

# So many that the patience of each, one after the other, would be more than that of a test.
FEEDS = range(20)
SYMBOLS = ("ALFA", "BRAVO")

FEED = """[[feed]]
name = "itch%d"
protocol = "moldudp64"
policy = "hot-hot"
journal = true
start = "%s"
reorder_time = "%s"
[[feed.path]]
name = "A"
group = "127.0.0.1:%d"
"""

REPLICA = """[[replica]]
request = "ipc://~/elsewhere.req"
feeds = ["elsewhere"]
"""


class Case(disks.Case):
    start = "journal"

    def setUp(self):
        super().setUp()
        self.path, self.server = self.fuse("hung")
        self.run_inside("stat", self.path)  # it is at work
        self.ports = venue.line_ports(len(FEEDS))
        self.lines = [venue.Lines(self) for _ in FEEDS]
        for lines, port in zip(self.lines, self.ports):
            lines.ports = {"A": port}

    def configuration(self, changed=()):
        text = GATEWAY_BUS + f'[journal]\ndirectory = "{self.path}"\n' + REPLICA
        for number in FEEDS:
            text += FEED % (number, self.start, "7ms" if number in changed else "5ms", self.ports[number])
        return text

    def run_gateway(self):
        self.daemon = Daemon(self, "holdfast-gateway", self.configuration(), wrap=self.inside).start(ready=False)
        # A daemon that hangs in a file system ends when that does, so the server goes first.
        self.addCleanup(self.server.wait)
        self.addCleanup(self.server.kill)
        self.daemon.wait_told("READY=1")
        self.bus = HealthClient(self, self.daemon.endpoint("gateway.pub"), self.daemon.endpoint("gateway.req"))
        self.clients = [MarketClient(self, self.daemon.endpoint("gateway.md"), f"itch{number}", everything=True)
                        for number in FEEDS]
        for client in self.clients:
            client.sync()

    def wait_heard(self):
        until = time.monotonic() + harness.PATIENCE_S
        while time.monotonic() < until:
            for lines in self.lines:
                lines.both(venue.mold_heartbeat(lines.session, lines.next))
            states = self.bus.states()
            if all(states.get(f"feed-path/itch{number}.A", {}).get("status") == "ok" for number in FEEDS):
                return states
        self.fail(f"the gateway does not hear all lines: {states}")

    def assert_delivered(self, number):
        """What comes on a feed's line is delivered."""
        lines = self.lines[number]
        lines.open(*SYMBOLS)
        lines.both(lines.orders(3, *SYMBOLS))
        last = lines.next - 1
        self.clients[number].wait(lambda message: message["kind"] == "data" and message["sequence"] == last,
                                  f"sequence {last} of feed {number}")

    def end(self):
        self.tell(self.server, "answer")
        self.assertEqual(self.daemon.stop(), 0)


@disks.needs_fuse
class Hanging(Case):
    def test_at_the_start_all_feeds_are_delivered(self):
        self.tell(self.server, "hang")
        self.run_gateway()
        states = self.wait_heard()
        for number in FEEDS:
            self.assert_delivered(number)
            self.assertEqual(states[f"feed/itch{number}"]["values"]["journal_written"], 0)
        self.end()

    def test_a_reload_disturbs_no_feed_that_stays_and_the_others_come_again(self):
        self.run_gateway()
        self.wait_heard()
        self.tell(self.server, "hang")
        self.reload(FEEDS[1:])
        self.assert_delivered(0)
        # Those that are dropped leave, those that are changed once more come as they are wanted last.
        self.reload(())
        self.assert_delivered(0)
        self.wait_heard()
        for number in FEEDS[1:]:
            self.assert_delivered(number)
        self.end()

    def test_who_asks_for_a_feed_that_comes_again_is_to_ask_again(self):
        self.run_gateway()
        self.wait_heard()
        feed, answers = "itch1", []
        place = {"segment": 0, "offset": 0, "messages": 0}
        requests = [{"request": "repair", "feed": feed, "epoch": "1", "from": 1, "to": 2},
                    {"request": "snapshot", "feed": feed}, {"request": "pull", "feed": feed, "replica": "r"},
                    {"request": "pull", "feed": feed, "replica": "r", "channel": 0} | place,
                    {"request": "lease", "name": "algo", "expires_after_s": 3,
                     "positions": [{"feed": feed, "epoch": "1", "sequence": 1}]},
                    {"request": "switch", "feed": feed, "path": "A"}, {"request": "release", "feed": feed}]
        self.tell(self.server, "hang")
        self.reload(FEEDS[1:])
        until = time.monotonic() + harness.PATIENCE_S
        while time.monotonic() < until:
            for request in requests:
                answers.append((request["request"], json.loads(self.bus.ask_raw(json.dumps({"v": 1} | request).encode())[0])))
            if f"feed/{feed}" in self.bus.states():
                break
        for request, answer in answers:
            self.assertNotIn("there is no feed", answer.get("error", ""), request)
            if request == "lease":
                self.assertTrue(answer["ok"] or "retry_after_s" in answer, answer)
        put_off = [request for request, answer in answers if "is being opened" in answer.get("error", "")]
        self.assertEqual(set(put_off), {"repair", "snapshot", "pull", "switch", "release"})
        self.assertTrue(all("retry_after_s" in answer for request, answer in answers
                            if request in ("repair", "snapshot", "pull") and "is being opened" in answer.get("error", "")))
        self.end()

    def reload(self, changed):
        self.daemon.configure(self.configuration(changed))
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_told("RELOADING=1")
        self.daemon.wait_told("READY=1")


class AtOnce(Hanging):
    """Feeds that want nothing from their journals."""

    start = "now"


if __name__ == "__main__":
    unittest.main()
