// What an operator or a protocol decides about arbitration, and what an arbiter counts.
import Basics

/// The limits of one arbiter.
public struct ArbiterOptions: Hashable, Sendable {
    /// How many paths deliver the channel: 1 to 8.
    public var paths: Int
    /// A gap is told this long after it was first seen.
    public var reorderTime: Duration = .milliseconds(20)
    /// How much longer a hole may stay open because somebody recovers what is missing; zero: nobody does.
    public var recoveryTime: Duration = .zero
    /// A gap is told when this many messages wait behind it.
    public var reorderCount = 4096
    /// A gap is told when more than this many bytes wait behind it.
    public var reorderBytes = 16 << 20
    /// A gap is told as soon as each active path has gone past it. Only for paths that keep their order.
    public var tellsWhenPassed = false
    /// How many of the last messages are remembered, to compare copies and to count each path's losses.
    public var historyCount = 8192
    /// A jump ahead by more than this needs a second packet that agrees: one that is no further than this from the first.
    public var maximumJump: UInt64 = 4096
    /// Paths, a bit each, that come over a connection, whole and in order: a jump of theirs needs no other word.
    public var overConnection: UInt8 = 0
    /// The first number of a session that begins while the arbiter runs; `nil`: whatever comes first.
    public var sessionStart: UInt64? = 1
    /// So much of its beginning may be missing; where more is, it begins with whatever comes first.
    public var sessionStartReach: UInt64 = 10_000_000
    /// How long one lonely packet of another session waits for a second one, how long a session must be
    /// silent before one that was left is resumed, and how long no new number may have come before an
    /// ascending run of old ones means that the numbering began again.
    public var epochQuiet: Duration = .milliseconds(500)
    /// So long after its begin what was sent before may still come, by paths that were not that far yet.
    public var lateTime: Duration = .seconds(2)
    /// How long that run must be.
    public var restartCount = 16
    /// Paths, a bit each, whose numbers never begin again within a session, because each connection says where it goes
    /// on, or each message which epoch it is of: old numbers of theirs are copies, however many come and whatever is
    /// remembered of them. Not in a session that was left before, to which all paths went back, and which does not go on
    /// where it was left.
    public var neverRestarting: UInt8 = 0
    /// Payloads begin with a label that ends with a NUL, which is no part of what copies must agree on.
    public var isLabelled = false
    public var divergence = DivergenceOptions()

    public init(paths: Int) { self.paths = paths }

    /// How long a hole may stay open.
    var holeTime: Duration { reorderTime + recoveryTime }

    /// How much longer it stays open for what comes: after a while in which nobody read, what the other path brought in
    /// time may still be in its socket. When all of that is read, `tick` tells what is missing.
    static let grace: Duration = .milliseconds(100)
}

/// What an arbiter has done since it began; each a count of messages unless it says otherwise.
public struct ArbiterCounters: Hashable, Sendable {
    public var delivered: UInt64 = 0
    public var duplicates: UInt64 = 0
    /// Copies that differ from the one that was delivered; among the duplicates too.
    public var divergent: UInt64 = 0
    /// Messages of paths that are only compared, which nobody else had brought by then.
    public var distrusted: UInt64 = 0
    /// Messages that had to wait.
    public var held: UInt64 = 0
    /// Messages told as gaps.
    public var gapsTold: UInt64 = 0
    /// Gaps told, as ranges.
    public var gapRanges: UInt64 = 0
    /// Messages that came after they had been told as a gap.
    public var late: UInt64 = 0
    /// Numbers that cannot be right: 0, the last 64-bit number, refuted sessions.
    public var implausible: UInt64 = 0
    /// Messages, and words of heartbeats, whose numbers were far ahead and which no other packet confirmed.
    public var unconfirmed: UInt64 = 0
    /// Messages and heartbeats of sessions that had been left.
    public var oldEpoch: UInt64 = 0
    /// Messages for which there was no room.
    public var overflow: UInt64 = 0
    /// Messages that came further ahead than the window reaches while the session is taken from its beginning.
    public var passedOver: UInt64 = 0
    /// Epochs entered after the first.
    public var epochs: UInt64 = 0
    /// Those among them that were inferred from the numbers.
    public var inferredEpochs: UInt64 = 0

    public init() {}
}

/// What one path has contributed to a channel; each a count of messages.
public struct PathCounters: Hashable, Sendable {
    public var received: UInt64 = 0
    /// Messages that this path brought first.
    public var first: UInt64 = 0
    /// Messages that another path had brought before.
    public var duplicates: UInt64 = 0
    /// Messages that came after they had been told as a gap.
    public var late: UInt64 = 0
    public var divergent: UInt64 = 0
    /// Messages that this path never brought while it was active, counted as they leave the history.
    public var missed: UInt64 = 0

    public init() {}
}
