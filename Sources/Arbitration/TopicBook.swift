// What was last published on each downstream topic: the `previous` of each data frame, and the idle frames
// that show a client that it lost a topic's last message. Topics are handles of a `TopicIndex`; a message
// costs a few array accesses, whatever the number of topics.
public import Basics

/// How idle frames are timed.
public struct TopicBookOptions: Hashable, Sendable {
    /// A topic without news for this long gets an idle frame; each further one waits twice as long.
    public var idleAfter: Duration = .seconds(1)
    public var longestIdle: Duration = .seconds(60)
    /// At most this many idle frames in each `paceEvery`.
    public var idlePerTick = 256
    public var paceEvery: Duration = .milliseconds(10)
    /// Handles at or above it are refused and counted.
    public var maximumTopics = TopicIndex.mostOfFeed

    public init() {}
}

/// An idle frame that is to be published.
public struct IdleFrame: Hashable, Sendable {
    public var topic: Int
    /// The topic's last number.
    public var sequence: UInt64

    public init(topic: Int, sequence: UInt64) {
        self.topic = topic
        self.sequence = sequence
    }
}

/// The topics of one channel, or of one feed whose topics are numbered each by itself.
public struct TopicBook: ~Copyable, Sendable {
    struct Record {
        /// 0: nothing of this epoch was published.
        var last: UInt64 = 0
        var generation: UInt32 = 0
        /// Nobody here published what came last.
        var isBroken = false
        /// Somebody is subscribed.
        var isHeld = false
        /// Idle frames since the last news.
        var repeats: UInt8 = 0
        var news = Instant.zero
    }

    public let options: TopicBookOptions
    /// Topics beyond the bound, each time one was named.
    public private(set) var refused: UInt64 = 0
    /// Idle frames so far.
    public private(set) var idleFrames: UInt64 = 0

    var topics: [Record] = []
    var wheel: TimerWheel
    private var generation: UInt32 = 1
    private var pacedUntil: Instant?

    public init(options: TopicBookOptions = TopicBookOptions(), at now: Instant) {
        self.options = options
        wheel = TimerWheel(longest: options.longestIdle, from: now)
    }

    /// A message is about to be published: returns its `previous`, 0 if nothing was published on the topic before.
    /// A gap in between changes nothing: it is told by itself, and who lost the message before it learns so here.
    public mutating func published(_ topic: Int, sequence: UInt64, at now: Instant) -> UInt64 {
        guard admit(topic) else { return 0 }
        let previous = known(topic)
        topics[topic].last = sequence
        topics[topic].generation = generation
        topics[topic].isBroken = false
        topics[topic].news = now
        if topics[topic].isHeld { rearm(topic) }
        return previous
    }

    /// The topic's last number, which nobody had to publish: the upstream named it.
    public mutating func caughtUp(_ topic: Int, last: UInt64, at now: Instant) {
        guard admit(topic), last != 0, topics[topic].generation != generation || last > topics[topic].last
        else { return }
        (topics[topic].last, topics[topic].generation) = (last, generation)
        topics[topic].isBroken = true
        topics[topic].news = now
        if topics[topic].isHeld { rearm(topic) }
    }

    /// The numbering of every topic begins anew.
    public mutating func epochChanged() {
        generation &+= 1
    }

    /// The numbering of one topic begins anew.
    public mutating func epochChanged(of topic: Int) {
        guard admit(topic) else { return }
        (topics[topic].last, topics[topic].isBroken) = (0, false)
    }

    /// The last number published on a topic in this epoch; 0: none.
    public func last(of topic: Int) -> UInt64 {
        guard topics.indices.contains(topic), topics[topic].generation == generation else { return 0 }
        return topics[topic].last
    }

    /// Somebody subscribed to a topic, or nobody is any more. A new subscriber of a quiet topic learns its
    /// last number with the next idle frame, at once.
    public mutating func set(_ topic: Int, isHeld: Bool, at now: Instant) {
        guard admit(topic) else { return }
        topics[topic].isHeld = isHeld
        topics[topic].repeats = 0
        wheel.cancel(topic)
        if isHeld { wheel.schedule(topic, at: max(topics[topic].news + options.idleAfter, now)) }
    }

    /// When `tick` is due; `nil`: no topic is held.
    public var deadline: Instant? { pacedUntil ?? wheel.deadline }

    /// The idle frames that are due, at most `idlePerTick`; the rest comes `paceEvery` later.
    public mutating func tick(at now: Instant) -> [IdleFrame] {
        if let pacedUntil, pacedUntil > now { return [] }
        pacedUntil = nil
        var frames: [IdleFrame] = []
        while let topic = wheel.next(at: now) {
            if let frame = idle(topic, at: now) { frames.append(frame) }
            guard frames.count < options.idlePerTick else {
                pacedUntil = now + options.paceEvery
                break
            }
        }
        idleFrames += UInt64(frames.count)
        return frames
    }

    /// A topic's time has come: either it had news meanwhile, or it is idle.
    private mutating func idle(_ topic: Int, at now: Instant) -> IdleFrame? {
        let due = topics[topic].news + interval(topics[topic].repeats)
        if topics[topic].repeats == 0, due > now {
            wheel.schedule(topic, at: due)
            return nil
        }
        topics[topic].repeats = min(topics[topic].repeats + 1, 32)
        wheel.schedule(topic, at: now + interval(topics[topic].repeats))
        let last = last(of: topic)
        return last == 0 ? nil : IdleFrame(topic: topic, sequence: last)
    }

    /// Twice as long each time.
    private func interval(_ repeats: UInt8) -> Duration {
        min(options.longestIdle, options.idleAfter * (1 << min(max(Int(repeats), 1) - 1, 20)))
    }

    /// After news a topic that was idle is due again after the shortest time. One that was not keeps its
    /// place: when its turn comes, it is put off.
    @inline(__always)
    private mutating func rearm(_ topic: Int) {
        guard topics[topic].repeats != 0 else { return }
        topics[topic].repeats = 0
        wheel.cancel(topic)
        wheel.schedule(topic, at: topics[topic].news + options.idleAfter)
    }

    @inline(__always)
    private func known(_ topic: Int) -> UInt64 {
        let record = topics[topic]
        guard record.generation == generation, !record.isBroken else { return 0 }
        return record.last
    }

    @inline(__always)
    private mutating func admit(_ topic: Int) -> Bool {
        topic >= 0 && topic < topics.count ? true : grow(to: topic)
    }

    private mutating func grow(to topic: Int) -> Bool {
        guard topic >= 0, topic < options.maximumTopics else {
            refused += 1
            return false
        }
        topics.append(contentsOf: repeatElement(Record(), count: topic + 1 - topics.count))
        wheel.grow(to: topics.count)
        return true
    }
}
