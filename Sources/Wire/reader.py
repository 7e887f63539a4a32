#!/usr/bin/env python3
"""Reads Holdfast's market-data frames with Python's standard library alone; README.md has the table.

As a module: topic, header, body = read(frame); told = control(header, body)
As a program: reader.py FILE, a file of frames, each after its length (u32, little-endian); prints JSON lines.
"""
import json, struct, sys, time
from urllib.parse import unquote

HEADER = struct.Struct("<BBHHHQQQBBHIqq")
FIELDS = ("version kind flags feed channel epoch sequence previous path state "
          "reserved run source_time receive_time").split()
KINDS = {1: "data", 2: "idle", 3: "heartbeat", 4: "gap", 5: "state", 6: "sync", 7: "batch"}
STATES = {1: "live", 2: "recovering", 3: "stale", 4: "closed"}
FLAGS = ("recovering", "stale", "late", "epoch_inferred", "numbered_per_topic", "unresolved",
         "several_topics", "last_value")
REASONS = {1: "not_recovered", 2: "failover", 3: "session_change", 4: "upstream"}


def read(frame):
    """One ZeroMQ frame -> (topic, header, body). ValueError if it is none, or of another version."""
    topic, nul, rest = bytes(frame).partition(b"\0")
    if not nul or not topic.endswith(b"/") or len(rest) < HEADER.size:
        raise ValueError("no topic, NUL and header of 56 bytes")
    header = dict(zip(FIELDS, HEADER.unpack_from(rest)))
    del header["reserved"]
    if header["version"] != 1 or header["kind"] not in KINDS or header["state"] not in STATES:
        raise ValueError("version %(version)d, kind %(kind)d, state %(state)d" % header)
    header["kind"], header["state"] = KINDS[header["kind"]], STATES[header["state"]]
    header["flags"] = [name for bit, name in enumerate(FLAGS) if header["flags"] >> bit & 1]
    header["path"] = None if header["path"] == 255 else header["path"]
    header["source_time"] = header["source_time"] or None
    return topic.decode("ascii"), header, rest[HEADER.size:]


def batch(header, body):
    """The messages of a batch: (sequence, message), in order. ValueError if it is none."""
    try:
        count, = struct.unpack_from("<I", body)
        at = 4
        for sequence in range(header["sequence"] - count + 1, header["sequence"] + 1):
            end = at + 2 + struct.unpack_from("<H", body, at)[0]
            if end > len(body):
                raise ValueError("the body ends in the middle of a message")
            yield sequence, body[at + 2:end]
            at = end
    except struct.error as error:
        raise ValueError("the body is not that of a batch: %r" % error) from None


def names(topic):
    """The parts of a topic, decoded; the instrument of messages for no instrument is None."""
    return [None if part == "*" else unquote(part, errors="strict") for part in topic.split("/")[:-1]]


def control(header, body):
    """What the body of a heartbeat, gap or state says; None for other kinds. More than that is ignored."""
    def text(at):
        end = at + 1 + body[at]
        if end > len(body):
            raise ValueError("the body ends in the middle of a text")
        return body[at + 1:end].decode() or None, end
    try:
        if header["kind"] == "heartbeat":
            told = dict(zip(("published", "gaps", "interval_ms"), struct.unpack_from("<QQI", body)))
            told["first"] = struct.unpack_from("<Q", body, 20)[0] if len(body) > 20 else 0
            told["named"] = body[28:29] == b"\1"
            return told
        if header["kind"] == "gap":
            first, last, reason = struct.unpack_from("<QQB", body)
            return {"first": first, "last": last, "reason": REASONS[reason], "instrument": text(17)[0]}
        if header["kind"] == "state":
            path, end = text(0)
            return {"path": path, "reason": text(end)[0]}
    except (struct.error, KeyError, IndexError) as error:
        raise ValueError("the body is not that of a %s: %r" % (header["kind"], error)) from None
    return None


def repair(ask, feed, epoch, first, last, channel=0, instrument=None):
    """Yields what a gateway has journalled of sequences `first` to `last`: frames for `read`, in order. Those that do
    not come are not journalled, or are told as missing by a gap among the frames. ValueError: refused, and why.

    `ask` sends one frame to the gateway's request socket and returns the frames of the reply:
        dealer.send(frame); return dealer.recv_multipart()
    """
    request = {"v": 1, "request": "repair", "feed": feed, "channel": channel, "epoch": str(epoch),
               "from": first, "to": last}
    if instrument is not None:
        request["instrument"] = instrument
    yield from pages(ask, request)


def snapshot(ask, feed, instruments=None):
    """Yields the last value of each topic, or of those of some instruments: frames for `read`, with the flag
    "last_value". ValueError: refused, and why. `ask` is that of `repair`."""
    request = {"v": 1, "request": "snapshot", "feed": feed}
    if instruments is not None:
        request["instruments"] = list(instruments)
    yield from pages(ask, request)


def pages(ask, request):
    """Yields the frames of all replies to a request that is answered in parts, as soon as each may be asked for."""
    while True:
        reply, *frames = ask(json.dumps(request).encode())
        reply = json.loads(reply)
        if "retry_after_s" in reply:
            time.sleep(reply["retry_after_s"])
            continue
        if not reply["ok"]:
            raise ValueError(reply["error"])
        yield from frames
        if "next" not in reply:
            return
        request["after"] = reply["next"]


class Position:
    """Where a client of one gateway stands, by the rules of README.md. Give it every frame, in order:

        is_new, missing = position.take(topic, header, control(header, body))
        for instrument, first, last, why in missing: ...

    `is_new` is false for data that an earlier frame has brought; of a batch, after a restart, what is not above
    the position may be in it once more. `instrument` is None where sequences of the
    channel are meant, "" where messages for no instrument are; `last` is None where nobody knows the end. `why`:
    "told" by a gap, "restart" while no gateway was there, "own" what was published and did not get here.
    """

    EPOCHS = 8  # of a channel or a topic that are remembered
    OVERLAP = 65536  # where sessions have no names, two runs of a gateway hear the same numbers again over no more

    def __init__(self):
        self.spaces = {}  # what has sequences of its own, a channel or a topic -> Space
        self.last = {}    # topic, channel -> (epoch, sequence)
        self.heard = {}   # feed, channel -> (run, published): of heartbeats where topics are numbered each by itself
        self.missed = 0   # messages that were published and did not get here, and that nobody told
        self.joining = True  # subscriptions are being put in place, one after the other
        self.begun = set()   # topics that were subscribed since, until they are in place
        self.left = set()    # feeds, and feeds and instruments, that were given up
        self.kept = set()    # feeds and instruments that were subscribed since all of the feed was given up

    def take(self, topic, header, told=None):
        is_new, missing = self.judge(topic, header, told)
        self.missed += sum(last - first + 1 for _, first, last, why in missing if why == "own")
        return is_new, missing

    def leased(self):
        """What a lease says of it: how far it is in each channel."""
        numbered = [{"feed": feed, "channel": channel, "epoch": str(epoch), "sequence": space.tops[epoch]}
                    for (feed, channel), space in self.spaces.items() if isinstance(channel, int)
                    for epoch in list(space.tops)[-1:]]
        return numbered + [{"feed": feed, "channel": channel, "run": run, "published": published}
                           for (feed, channel), (run, published) in self.heard.items()]

    def judge(self, topic, header, told):
        kind, epoch, per_topic = header["kind"], header["epoch"], "numbered_per_topic" in header["flags"]
        if kind == "sync":
            self.joined()
        if kind == "sync" or not epoch:
            return False, []
        feed, name = names(topic)[1:3]
        if per_topic and kind == "heartbeat" and told:
            self.heard[feed, header["channel"]] = header["run"], told["published"]
        if per_topic and kind not in ("data", "idle", "gap"):
            return False, []
        if per_topic:
            name = told["instrument"] if kind == "gap" else name
            if kind == "idle" and self.begins(topic):
                self.spaces.pop((feed, name), None)
            is_left = (feed, name) in self.left or (feed,) in self.left and (feed, name) not in self.kept
            if kind == "gap" and (is_left or (feed, name) not in self.spaces):
                return False, []  # the gaps of all topics come, also of those that are not ours
            is_new, missing = self.spaces.setdefault((feed, name), Space()).topic(name, header, told)
            return is_new, [] if is_left else missing
        space = self.spaces.setdefault((feed, header["channel"]), Space())
        missing = space.channel(header, told)
        if kind not in ("data", "idle", "batch"):
            return False, missing
        floor, first = space.runs[header["run"], epoch]
        at, epoch = (topic, header["channel"]), (epoch, space.rounds.get(epoch, 0))
        known, last = self.last.get(at, (None, 0))
        if kind == "idle" and self.begins(topic):
            last = max(floor, header["previous"])
        elif known == epoch:
            last = max(last, floor)
        elif self.joining and kind == "idle":  # what a topic is shown with that was just subscribed
            last = max(floor, header["previous"])
        else:
            last = max(floor, space.joined.get(header["epoch"], 0))
        if header["previous"] > last:
            of = None if kind == "batch" else name or ""
            missing.append((of, max(last + 1, first), header["previous"], "own"))
        is_new = header["sequence"] > (last if known == epoch else floor)
        self.last[at] = epoch, max(header["sequence"], last if known == epoch else 0)
        return kind != "idle" and is_new, missing

    def join(self, *topics):
        """Call it before you subscribe to further topics, also to those that you had given up: what was published on
        them before is not missed."""
        self.begun.update(topics)
        for what in [tuple(names(topic)[1:3]) for topic in topics if topic.startswith("md/")]:
            self.left = {other for other in self.left if other[:len(what)] != what}
            self.kept.add(what)
            for key in [key for key in self.spaces if key[:len(what)] == what and not isinstance(key[1], int)]:
                del self.spaces[key]

    def leave(self, *topics):
        """Call it when you have given topics up: what is published on them from here on is not missed."""
        for what in [tuple(names(topic)[1:3]) for topic in topics if topic.startswith("md/")]:
            self.kept = {other for other in self.kept if other[:len(what)] != what}
            self.left.add(what)

    def begins(self, topic):
        """Whether it is shown with where we begin on it."""
        return any(topic.startswith(prefix) for prefix in self.begun)

    def joined(self):
        """All that was subscribed is in place. A marker that is given to `take` says so; each comes again after a
        disconnection, and what was missed by then is missed."""
        self.begun.clear()
        if not self.joining:
            return
        self.joining = False
        for space in self.spaces.values():
            space.joined = dict(space.tops)


class Space:
    """One sequence of numbers: what is the highest one of each epoch, and what each run of the gateway knows."""

    def __init__(self):
        self.tops = {}    # epoch -> the highest sequence that was received or told
        self.runs = {}    # (run, epoch) -> [the top when it was first heard, where its knowledge begins]
        self.run = None   # the last one that was heard
        self.joined = {}  # epoch -> what came before was before our time
        self.rounds = {}  # epoch -> how often its numbers began anew while no gateway was there

    def enter(self, header):
        """Notes a run that was not heard before; returns what is missing of a session that ended meanwhile."""
        run, epoch = header["run"], header["epoch"]
        if (run, epoch) in self.runs:
            return []
        is_restart = bool(self.runs) and all(known != run for known, _ in self.runs)
        ended = list(self.tops.values())[-1:] if is_restart and epoch not in self.tops else []
        # Who has just come misses nothing; `first` is then no news.
        self.runs[run, epoch] = [self.tops.get(epoch, 0), 0 if self.tops else 1]
        self.joined = self.joined or {epoch: header["sequence"]}
        self.bound(self.runs)
        return [(top + 1, None, "restart") for top in ended]

    def reach(self, epoch, sequence):
        self.tops[epoch] = max(sequence, self.tops.get(epoch, 0))
        self.bound(self.tops)

    @staticmethod
    def bound(table):
        while len(table) > Position.EPOCHS:
            del table[next(iter(table))]

    def channel(self, header, told):
        missing = self.enter(header)
        state = self.runs[header["run"], header["epoch"]]
        floor, first, last, why = state[0], 1, 0, "told"
        is_news = header["kind"] == "heartbeat" and told["first"] and not state[1]
        is_left = floor > 0 and header["epoch"] != list(self.tops)[-1]
        if is_news and not told["named"] and (is_left or told["first"] + Position.OVERLAP < floor):
            missing.append((list(self.tops.values())[-1] + 1, None, "restart"))
            self.rounds[header["epoch"]] = self.rounds.get(header["epoch"], 0) + 1
            del self.tops[header["epoch"]]  # it is the last one again
            self.tops[header["epoch"]] = state[0] = floor = 0
        if is_news:
            state[1], last, why = told["first"], told["first"] - 1, "restart"
        elif header["kind"] == "gap":
            first, last = told["first"], told["last"]
        if max(first, floor + 1) <= last:
            missing.append((max(first, floor + 1), last, why))
        self.reach(header["epoch"], last if header["kind"] == "gap" else max(last, header["sequence"]))
        return [(None, *words) for words in missing]

    def topic(self, name, header, told):
        is_known, is_other = bool(self.tops), header["run"] != self.run
        self.run, missing = header["run"], self.enter(header)
        kind, epoch = header["kind"], header["epoch"]
        top = self.tops.get(epoch, 0)
        if kind == "gap":
            first, last, why = told["first"], told["last"], "told"
            if is_known and top + 1 < first:  # what came before the gap was published
                missing.append((top + 1, first - 1, "restart" if is_other else "own"))
        else:
            first, last = 1, header["sequence"] - (kind == "data")
            why = "restart" if is_other or not header["previous"] else "own"
        if is_known and max(first, top + 1) <= last:
            missing.append((max(first, top + 1), last, why))
        self.reach(epoch, max(last, header["sequence"]))
        return kind == "data" and header["sequence"] > top, [(name, *words) for words in missing]


def main(path):
    with open(path, "rb") as file:
        while length := file.read(4):
            frame = file.read(struct.unpack("<I", length)[0])
            try:
                topic, header, body = read(frame)
                told = control(header, body)
                shown = {"topic": topic, "names": names(topic), **header}
                shown.update({"control": told} if told else {"body": body.hex()})
            except ValueError as error:
                shown = {"error": str(error)}
            print(json.dumps(shown, ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    main(sys.argv[1])
