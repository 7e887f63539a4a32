// Hands out upstream subscriptions of one path at the rate that the venue allows, in batches, and says how far
// it is: on failover the whole table is replayed through it. Topics are numbers of an `UpstreamNames`; their classes
// have a turn each, one topic long, and within a class the first is served first.
import Basics
import DequeModule

/// The subscriptions that one path still has to make.
struct SubscriptionPacer: Sendable {
    typealias Number = UpstreamNames.Number

    /// Subscriptions per second.
    let rate: Int
    /// Subscribed or queued.
    private var topics = NumberSet()
    /// Queued and not released since.
    private var pending = NumberSet()
    /// By number, of each topic that is subscribed or queued.
    private var turns: [TurnClass] = []
    /// By class.
    private var lanes = Array(repeating: Lane(), count: TurnClass.count)
    /// Whose turn it is.
    private var lane = 0
    private var total = 0
    /// What is used of the rate.
    private(set) var used: SubscriptionUsage

    /// How much of a second's allowance may go in one batch.
    static let burst: Duration = .milliseconds(100)

    /// - Parameter used: what the venue has counted already.
    /// - Precondition: `rate` is at least 1 per second.
    init(rate: Int, used: SubscriptionUsage = SubscriptionUsage()) {
        precondition(rate >= 1, "a path subscribes at least once a second")
        self.rate = rate
        self.used = used
    }

    /// How many of the subscriptions of this replay are made, and of how many.
    var progress: (made: Int, of: Int) { (total - pending.count, total) }
    var isDone: Bool { pending.isEmpty }
    /// How long the rest takes at this rate.
    var remaining: Duration { .ofSeconds(Double(pending.count) / Double(rate)) }
    /// What is subscribed by now.
    var made: [Number] { topics.numbers.filter { !pending.contains($0) } }

    /// Subscribed or queued.
    func has(_ topic: Number) -> Bool { topics.contains(topic) }

    /// Queues a topic; `false`: the path has it. One that still waits in a higher class waits in this one, too.
    mutating func add(_ topic: Number, _ turn: TurnClass) -> Bool {
        guard topics.insert(topic) else {
            hasten(topic, to: turn)
            return false
        }
        if pending.isEmpty { total = 0 }
        while turns.count <= Int(topic) { turns.append(turn) }
        turns[Int(topic)] = turn
        queue(topic)
        pending.insert(topic)
        total += 1
        return true
    }

    private mutating func hasten(_ topic: Number, to turn: TurnClass) {
        guard turn < turns[Int(topic)] else { return }
        turns[Int(topic)] = turn
        if pending.contains(topic) { queue(topic) }
    }

    private mutating func queue(_ topic: Number) { lanes[Int(turns[Int(topic)].index)].append(topic) }

    /// Gives a topic up; `true` if it was subscribed and must be unsubscribed.
    mutating func remove(_ topic: Number) -> Bool {
        guard topics.remove(topic) else { return false }
        guard pending.remove(topic) else { return true }
        total -= 1
        return false
    }

    /// Gives everything up and returns it.
    mutating func removeAll() -> [Number] {
        defer {
            topics.removeAll()
            turns = []
            forgetQueues()
            total = 0
        }
        return topics.numbers
    }

    /// Everything is to be subscribed again.
    mutating func startAnew() {
        forgetQueues()
        pending = topics
        for topic in topics.numbers { queue(topic) }
        total = topics.count
    }

    /// The same topics for another connection, which has none of them yet.
    func copyStartedAnew() -> SubscriptionPacer {
        var copy = self
        copy.startAnew()
        return copy
    }

    /// What another connection used of the limit that both share is used here, too.
    mutating func count(usedBy other: SubscriptionPacer) { used.follow(other.used) }

    /// When the next batch may go; `nil` if nothing waits.
    var deadline: Instant? {
        guard !pending.isEmpty else { return nil }
        guard let until = used.until else { return .zero }
        return until
    }

    /// The topics to subscribe now.
    mutating func due(at now: Instant) -> [Number] {
        guard !pending.isEmpty else { return [] }
        let left = used.left(of: rate, at: now)
        guard left > 0 else { return [] }
        let allowance = min(max(1, Int(Double(rate) * Self.burst.inSeconds)), left)
        var batch: [Number] = []
        while batch.count < allowance, let topic = next() { batch.append(topic) }
        used.add(batch.count, of: rate, at: now)
        if pending.isEmpty { forgetQueues() }
        return batch
    }

    /// The next topic of the class whose turn it is, or of the next class that has one.
    private mutating func next() -> Number? {
        for _ in lanes.indices {
            let topic = next(in: lane)
            lane = (lane + 1) % lanes.count
            if let topic { return topic }
        }
        return nil
    }

    private mutating func next(in lane: Int) -> Number? {
        while let topic = lanes[lane].popFirst() {
            // A place in a lower class than its own was another topic's, which had the number before.
            guard pending.contains(topic), turns[Int(topic)].index <= lane else { continue }
            pending.remove(topic)
            return topic
        }
        return nil
    }

    private mutating func forgetQueues() {
        pending.removeAll()
        lanes = Array(repeating: Lane(), count: TurnClass.count)
        lane = 0
    }
}

/// Topics that wait with each other, each once: those that are pending, and leftovers that were released, or had their
/// turn in a lower class. One that is added again has its place still.
private struct Lane {
    private var queue: Deque<SubscriptionPacer.Number> = []
    private var queued = NumberSet()

    mutating func append(_ topic: SubscriptionPacer.Number) {
        if queued.insert(topic) { queue.append(topic) }
    }

    mutating func popFirst() -> SubscriptionPacer.Number? {
        guard let topic = queue.popFirst() else { return nil }
        queued.remove(topic)
        return topic
    }
}
