// The arbiter of a feed whose topics are numbered each by itself, over paths that keep their order (TCP).
// What an active path has gone past is lost: it is told at once and exactly. Only where several paths are
// active does a topic wait a little for the other path. A copy that comes late is compared with what was delivered.
// Topics are handles of a `TopicIndex`.
//
// It is used like `Arbiter`: offer, publish if told so, drain `nextReleased`. Within one session of the
// upstream a topic's numbers never begin again; numbers that were passed are duplicates.
public import Basics
import DequeModule

/// The limits of one topic arbiter.
public struct TopicArbiterOptions: Hashable, Sendable {
    /// How many paths deliver the feed: 1 to 8.
    public var paths: Int
    /// Handles at or above it are refused and counted.
    public var maximumTopics = TopicIndex.mostOfFeed
    /// How long a topic waits for the other paths, if several are active.
    public var reorderTime: Duration = .milliseconds(20)
    /// How many messages of one topic, and of all together, may wait.
    public var heldPerTopic = 64
    public var heldInAll = 4096
    /// The first number of a topic in a session that begins while the arbiter runs; `nil`: whatever comes
    /// first.
    public var sessionStart: UInt64? = 1
    /// How long the active paths must be silent before another one is believed that a session begins.
    public var activeQuiet: Duration = .milliseconds(100)
    /// How long a session must be silent before a path that spoke of it is followed back to one that was left.
    public var epochQuiet: Duration = .milliseconds(500)
    public var divergence = DivergenceOptions()

    public init(paths: Int) { self.paths = paths }
}

/// What a topic arbiter lets go.
public struct TopicRelease: Hashable, Sendable {
    /// Of a session that begins, and in which no topic has come to another one by it.
    public static let noTopic = -1

    public var topic: Int
    public var released: Released

    public init(topic: Int, _ released: Released) {
        self.topic = topic
        self.released = released
    }
}

/// Merges the copies of many topics' messages into one ordered stream per topic, with exact gaps.
public struct TopicArbiter: ~Copyable, Sendable {
    public let options: TopicArbiterOptions
    public internal(set) var counters = ArbiterCounters()
    /// The upstream's session; topics enter it one by one as they are heard of.
    public internal(set) var session: UInt64? { didSet { noteStraight() } }
    /// The session that was told as begun last; `nil`: no topic is in any.
    var toldSession: UInt64? { didSet { noteStraight() } }
    /// The paths that are subscribed, a bit each.
    public private(set) var active: UInt8 = 0

    var topics: [TopicRecord] = []
    /// By topic; as long as no session has changed, there are none.
    var formers: [FormerStand] = []
    var holds: [Int: TopicHold] = [:]
    /// Topics in the order in which they began to wait; one that has ceased to wait is passed over.
    var waiting: Deque<(topic: Int, since: Instant)> = []
    var heldCount = 0
    var released: Deque<TopicRelease> = []
    /// Active paths whose last word was not of the current session, a bit each.
    var strayed: UInt8 = 0
    /// Paths that have spoken of the current session, a bit each, and when that was last.
    var spoke: UInt8 = 0
    var lastWord = Instant.zero
    /// When an active path last spoke of it.
    var lastActiveWord = Instant.zero
    /// Paths whose messages are only compared, a bit each.
    var distrusted: UInt8 = 0 { didSet { noteStraight() } }
    /// Every path is trusted, and the session was told: what is next on its topic needs no more looking at.
    private var mayGoStraight = false
    /// What these said before anybody else did.
    var claims = Claims()
    var paths: [TopicPath]
    /// How far each path is in each topic.
    var positions: TopicPositions
    /// The sessions that are known, the current one among them, in the order in which they were first entered.
    var entered: [UInt64] = []

    /// - Precondition: 1 to 8 paths.
    public init(options: TopicArbiterOptions) {
        precondition((1...8).contains(options.paths), "a topic arbiter has 1 to 8 paths")
        self.options = options
        paths = Array(repeating: TopicPath(), count: options.paths)
        positions = TopicPositions(paths: options.paths)
    }

    /// A path is subscribed, or not any more. At first none is.
    public mutating func set(_ path: UInt8, isActive: Bool) {
        let bit: UInt8 = 1 << (path & 7)
        let changed = isActive ? active | bit : active & ~bit
        if changed != active { positions.forgetAll() }
        active = changed
        strayed &= active
    }

    /// What a path has contributed, in all topics together. It missed what it went past, while others were active, and
    /// another one brought.
    public func counters(of path: UInt8) -> PathCounters { paths[Int(path)].counters }

    /// The last number of a topic that was delivered or told; 0: none.
    public func last(of topic: Int) -> UInt64 { topics.indices.contains(topic) ? topics[topic].last : 0 }

    /// The epoch of a topic's last message; `nil`: nothing of it was heard.
    public func epoch(of topic: Int) -> UInt64? {
        topics.indices.contains(topic) && topics[topic].isKnown ? topics[topic].session : nil
    }

    /// Whether a topic is known to have got that far in a session. One that is subscribed anew, or of which only a path that
    /// is behind has spoken, is known to be nowhere until its next word.
    public func isThere(_ topic: Int, at sequence: UInt64, in session: UInt64) -> Bool {
        guard topics.indices.contains(topic) else { return false }
        let record = topics[topic]
        return record.isKnown && !record.isJoining && record.session == session && record.last == sequence
    }

    /// Judges one message of a topic. Besides the active paths' messages those that a path sent before it
    /// was left are welcome, if they belong to the current session.
    public mutating func offer(
        topic: Int, _ arrival: Arrival, payload: Span<UInt8>, at now: Instant
    ) -> Offer {
        paths[Int(arrival.path)].counters.received &+= 1
        guard arrival.sequence != 0, arrival.sequence != .max else {
            counters.implausible += 1
            return .refused
        }
        guard admit(topic) else { return .refused }
        if distrusted & arrival.pathBit != 0 { return compare(topic, arrival, payload, at: now) }
        guard follows(arrival, at: now) else {
            counters.oldEpoch += 1
            return .oldEpoch
        }
        guard mayGoStraight, topics[topic].goesStraightThrough(arrival) else {
            return weigh(topic, arrival, payload, at: now)
        }
        topics[topic].deliver(arrival, fingerprint(payload))
        delivered(by: arrival.path)
        note(arrival.sequence, of: topic, by: arrival.path)
        return .deliver
    }

    /// An upstream's idle frame: `arrival.sequence` is the last number of the topic that its path has sent,
    /// 0 if there is none, or has told as missing. What is missing up to there is a gap. Only active paths are believed,
    /// and where none is, each that is trusted: one that was away says first where it stands, and is active when it was
    /// heard for a while.
    ///
    /// - Parameter mayBeLeft: the topic may be in a session that the upstream has left, since it had no word since. So it
    ///   says where the topic is, and nothing of the session that the upstream is in.
    public mutating func caughtUp(
        topic: Int, _ arrival: Arrival, mayBeLeft: Bool = false, at now: Instant
    ) {
        let believed = active != 0 ? active : ~distrusted
        guard believed & arrival.pathBit != 0, arrival.sequence != .max, admit(topic) else { return }
        if mayBeLeft, let session, session != arrival.session {
            // Who is in the present session itself knows that the topic has had nothing in it; another is behind.
            let isLeft = spoke & arrival.pathBit != 0
            if !topics[topic].isKnown {
                topics[topic].begin(session: arrival.session, after: arrival.sequence)
                topics[topic].isJoining = !isLeft
            }
            guard isLeft, topics[topic].session == arrival.session else { return }
        } else {
            guard follows(arrival, at: now) else { return counters.oldEpoch += 1 }
            if !topics[topic].isKnown {
                begin(arrival.session, topic, after: arrival.sequence)
            }
            enter(arrival.session, topic, first: arrival.sequence)
        }
        topics[topic].join(after: arrival.sequence)
        guard arrival.sequence > topics[topic].last else {
            return note(through: arrival.sequence, of: topic, by: arrival.path)
        }
        hold(topic, through: arrival.sequence, at: now)
        if !mayWait { settle(topic, cause: .passed) }
        makeRoom()
    }

    /// The upstream says by itself which session it is in: one that is not known, or comes after the present one, begins,
    /// if the path that says so was in the present one, or is the only one. Another may be behind, and say it for long.
    public mutating func heardSession(_ arrival: Arrival, at now: Instant) {
        guard trusts(arrival.path) else { return }
        let bit = arrival.pathBit
        guard let session, session != arrival.session else {
            if session == nil { move(to: arrival.session) }
            (spoke, strayed) = (spoke | bit, strayed & ~bit)
            return
        }
        if let place = entered.firstIndex(of: arrival.session) {
            guard place > entered.firstIndex(of: session) ?? 0 else { return }
        } else if spoke & bit == 0, active & ~bit != 0 {
            return
        }
        _ = follows(arrival, at: now)
    }

    /// A topic that was not heard for a while is subscribed anew: its next word says where it is, and what it had
    /// meanwhile is no gap.
    public mutating func join(topic: Int) {
        guard topics.indices.contains(topic), topics[topic].isKnown else { return }
        settle(topic, cause: .passed)
        topics[topic].isJoining = true
        positions.forget(topic: topic)
    }

    /// The next item that is to be published; `nil`: nothing more for now.
    public mutating func nextReleased() -> TopicRelease? { released.popFirst() }

    /// Whether `nextReleased` has something.
    public var mayRelease: Bool { !released.isEmpty }

    /// When `tick` must be called; `nil`: nothing waits.
    public var deadline: Instant? { waiting.first.map { $0.since + options.reorderTime } }

    /// Time has passed: what waited long enough is let go, with its gaps.
    public mutating func tick(at now: Instant) {
        while let first = waiting.first, first.since + options.reorderTime <= now {
            waiting.removeFirst()
            if holds[first.topic]?.since == first.since { settle(first.topic, cause: .timeout) }
        }
    }

    /// Nobody was there for so long: what came meanwhile waits to be read, so that the time counts against nothing that is
    /// waited for, and is no silence.
    public mutating func skip(_ time: Duration) {
        for index in waiting.indices { waiting[index].since = waiting[index].since + time }
        holds = holds.mapValues { hold in
            var hold = hold
            hold.since = hold.since + time
            return hold
        }
        (lastWord, lastActiveWord) = (lastWord + time, lastActiveWord + time)
    }

    private mutating func noteStraight() { mayGoStraight = distrusted == 0 && toldSession == session }

    @inline(__always)
    mutating func delivered(by path: UInt8) {
        counters.delivered &+= 1
        paths[Int(path)].counters.first &+= 1
    }

    /// How many messages wait for another path.
    public var held: Int { heldCount }

    /// More than one path is active: the others may have what is missing.
    var mayWait: Bool { active.nonzeroBitCount > 1 }
}
