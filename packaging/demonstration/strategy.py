"""The strategy: subscribes like any client, keeps a ledger, and says what it sees, one JSON object a line.

Commands come on standard input: `window` closes the accounting window, prints it and opens the next;
`end` prints the last one and ends. It knows the daemons by their documented formats only.
"""

import json
import os
import struct
import sys
import time

import zmq

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../Sources/Wire"))
import reader  # noqa: E402  the decoder of the wire document
from ledger import FeedLedger  # noqa: E402

COUNT_MASK = (1 << 40) - 1


def say(**event):
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def itch_count(body):
    """The instrument's own count, which `holdfast play` writes into the order reference."""
    if len(body) >= 19 and body[:1] in b"AEXDP":
        return struct.unpack_from(">Q", body, 11)[0] & COUNT_MASK
    return None


def quote_count(body):
    return json.loads(body)["count"]


class Strategy:
    def __init__(self, settings):
        self.context = zmq.Context()
        self.poller = zmq.Poller()
        self.position, self.runs = reader.Position(), {}  # topic -> the run of the gateway that delivered last
        counts = {"itch": itch_count, "quotes": quote_count}
        self.counts = {feed["name"]: counts[feed.get("content", feed["name"])] for feed in settings["feeds"]}
        self.ledgers = {
            feed["name"]: FeedLedger(feed["name"], feed["policy"], feed["per_topic"], feed["freshness_s"])
            for feed in settings["feeds"]
        }
        self.requests = self.context.socket(zmq.DEALER)
        self.repairs = "requests" in settings
        if self.repairs:
            self.requests.connect(settings["requests"])
        self.market = self.subscriber(settings["market_data"])
        for feed in settings["feeds"]:
            self.market.subscribe(f"control/{feed['name']}/".encode())
            for symbol in feed["symbols"]:
                self.market.subscribe(f"md/{feed['name']}/{symbol}/".encode())
        self.health = {}
        self.statuses = {}
        for name, endpoint in settings["health"].items():
            socket = self.subscriber(endpoint)
            socket.subscribe(b"state/")
            self.health[socket] = name
        self.poller.register(sys.stdin.fileno(), zmq.POLLIN)

    def subscriber(self, endpoint):
        socket = self.context.socket(zmq.SUB)
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.connect(endpoint)
        self.poller.register(socket, zmq.POLLIN)
        return socket

    def run(self):
        while True:
            for ready, _ in self.poller.poll():
                if ready == self.market:
                    self.drain(ready, self.market_data)
                elif ready in self.health:
                    self.drain(ready, lambda frames, at, r=ready: self.state(self.health[r], frames, at))
                elif self.command():
                    return

    def drain(self, socket, handle):
        for _ in range(500):
            try:
                frames = socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            handle(frames, time.monotonic())

    def market_data(self, frames, at):
        topic, header, body = reader.read(frames[0])
        parts = reader.names(topic)
        ledger, kind = self.ledgers[parts[1]], header["kind"]
        told = reader.control(header, body)
        is_new, missing = self.position.take(topic, header, told)
        for instrument, first, last, why in missing:
            if self.repairs and why != "told" and last is not None:
                self.repair(ledger, header, first, last, instrument)
            if why == "restart" and last is not None:
                ledger.gap(first, last, instrument or "")
                say(event="gap", feed=parts[1], at=at, first=first, last=last, reason=why, instrument=instrument)
        if kind == "data" and (is_new or header["run"] == self.runs.get(topic)):  # another run may repeat some
            self.runs[topic] = header["run"]
            ledger.data(parts[2], self.counts[parts[1]](body), header, at, time.time_ns())
        elif kind == "gap":
            ledger.gap(told["first"], told["last"], told["instrument"] or "")
            say(event="gap", feed=parts[1], at=at, **told)
        elif kind == "heartbeat":
            ledger.control(header["state"], at)
        elif kind == "state":  # that it is live again it says before the data that makes it so; its heartbeats are judged
            if ledger.channel_state(header["state"], told["path"], at):
                say(event="channel", feed=parts[1], at=at, state=header["state"], **told)

    def ask(self, frame):
        self.requests.send(frame)
        if not self.requests.poll(5000):
            raise SystemExit("the gateway does not answer")
        return self.requests.recv_multipart()

    def repair(self, ledger, header, first, last, instrument):
        """What the gateway published and did not get here, or published before it ended, is in its journal."""
        only = instrument if ledger.per_topic else None
        for frame in reader.repair(self.ask, ledger.name, header["epoch"], first, last, header["channel"], only):
            topic, header, body = reader.read(frame)
            if header["kind"] == "data":
                ledger.repaired(reader.names(topic)[2], self.counts[ledger.name](body))

    def state(self, publisher, frames, at):
        message = json.loads(frames[1])
        if message.get("gone"):
            return
        key = (publisher, message["kind"], message["name"])
        said = (message["status"], message["reason"], message.get("cause"))
        if self.statuses.get(key) == said:
            return
        self.statuses[key] = said
        say(event="health", publisher=publisher, at=at, subject=f"{message['kind']}/{message['name']}",
            status=message["status"], reason=message["reason"], cause=message.get("cause"))

    def command(self):
        word = sys.stdin.readline().strip()
        at = time.monotonic()
        say(event="window", at=at, feeds={name: ledger.summary(at) for name, ledger in self.ledgers.items()})
        for ledger in self.ledgers.values():
            ledger.open_window(at)
        return word in ("end", "")


if __name__ == "__main__":
    try:
        Strategy(json.loads(sys.argv[1])).run()
    except KeyboardInterrupt:
        sys.exit(130)
