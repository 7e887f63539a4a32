"""The accounting of a subscriber that trusts nobody: what was delivered, told, repeated, late or lost.

It follows each instrument by the count that the generated messages carry in their bodies, not by the
gateway's own numbers, and compares the two. Pure: frames and times go in, figures come out.
"""

LIVE = "live"
OLD = {"recovering", "stale", "late"}  # flags of data that claims no freshness


class Topic:
    """The last message that was delivered for one instrument."""

    def __init__(self, count, sequence, epoch):
        self.count, self.sequence, self.epoch = count, sequence, epoch


class FeedLedger:
    """The accounting of one feed, in windows."""

    def __init__(self, name, policy, per_topic, freshness_s):
        self.name, self.policy, self.per_topic, self.freshness_s = name, policy, per_topic, freshness_s
        self.topics = {}
        self.gaps = {}  # instrument, or "" for the channel -> [(first, last)]
        self.mended = {}  # instrument -> the counts that came from the journal
        self.state, self.path, self.last_data_at = None, None, None
        self.open_window(0.0)

    def open_window(self, at):
        """Starts counting from zero at monotonic time `at`."""
        self.opened_at, self.path_at_open = at, self.path
        self.switched_ms, self.switches = None, 0
        self.lost = self.gaps_told = self.duplicates = self.out_of_order = self.false_live = self.received = 0
        self.repaired_count = 0
        self.longest_silence = 0.0

    def repaired(self, instrument, count):
        """A message was had from the gateway's journal."""
        known = self.topics.get(instrument)
        mended = self.mended.setdefault(instrument, set())
        if count is not None and known is not None and count > known.count and count not in mended:
            mended.add(count)
            self.repaired_count += 1

    def mended_between(self, instrument, low, high):
        """How many counts strictly between `low` and `high` came from the journal; what is below is forgotten."""
        mended = self.mended.pop(instrument, set())
        self.mended[instrument] = {count for count in mended if count >= high}
        return sum(low < count < high for count in mended)

    def gap(self, first, last, instrument):
        """An exact gap was told."""
        self.gaps_told += last - first + 1
        told = self.gaps.setdefault(instrument, [])
        told.append((first, last))
        del told[:-1000]

    def told_between(self, instrument, low, high):
        """How many sequences strictly between `low` and `high` were told as missing."""
        ranges = self.gaps.get(instrument if self.per_topic else "", [])
        return sum(max(0, min(last, high - 1) - max(first, low + 1) + 1) for first, last in ranges)

    def data(self, instrument, count, header, at, wall_ns):
        """A message of `instrument` with its own running `count` (None: it carries none)."""
        self.received += 1
        if self.last_data_at is not None:
            self.longest_silence = max(self.longest_silence, at - max(self.last_data_at, self.opened_at))
        self.last_data_at = at
        if header["source_time"] and not OLD.intersection(header["flags"]):
            if (wall_ns - header["source_time"]) / 1e9 > self.freshness_s and header["state"] == LIVE:
                self.false_live += 1
        if count is None:
            return
        sequence, known = header["sequence"], self.topics.get(instrument)
        if known is not None and known.epoch == header["epoch"]:
            if count == known.count:
                self.duplicates += 1
                return
            if count < known.count or sequence <= known.sequence:
                self.out_of_order += 1
                return
            missing = count - known.count - 1
            if missing:
                missing -= self.mended_between(instrument, known.count, count)
                self.lost += max(0, missing - self.told_between(instrument, known.sequence, sequence))
        self.topics[instrument] = Topic(count, sequence, header["epoch"])

    def control(self, state, at):
        """A heartbeat or a state said how the channel is; it may not be called live without fresh data."""
        if state == LIVE and self.last_data_at is not None and at - self.last_data_at > self.freshness_s + 0.25:
            self.false_live += 1

    def channel_state(self, state, path, at):
        """A state frame. Returns True when it says something new."""
        is_new = (state, path) != (self.state, self.path)
        if path and self.path and path != self.path:
            self.switches += 1
        if path:
            self.path = path
        self.state = state
        moved = self.path_at_open and self.path != self.path_at_open
        if self.policy == "hot-warm" and state == LIVE and moved and self.switched_ms is None:
            self.switched_ms = (at - self.opened_at) * 1000
        return is_new

    def summary(self, at):
        """The figures of the window that is open."""
        silence = self.longest_silence
        if self.last_data_at is not None:
            silence = max(silence, at - max(self.last_data_at, self.opened_at))
        rounded = None if self.switched_ms is None else round(self.switched_ms, 3)
        return {
            "policy": self.policy, "switched_ms": rounded,
            "switches": 0 if self.policy == "hot-hot" else self.switches,
            "lost": self.lost, "gaps_told": self.gaps_told, "duplicates": self.duplicates,
            "out_of_order": self.out_of_order, "longest_silence_ms": round(silence * 1000, 3),
            "repaired": self.repaired_count, "false_live": self.false_live, "received": self.received,
        }
