// Hands out upstream subscriptions of one path at the rate that the venue allows, in batches, and says how far
// it is: on failover the whole table is replayed through it.
public import Basics
import DequeModule

/// The subscriptions that one path still has to make.
public struct SubscriptionPacer: Sendable {
    /// Subscriptions per second.
    public let rate: Int
    /// Subscribed or queued.
    public private(set) var topics: Set<UpstreamTopic> = []
    private var queue: Deque<UpstreamTopic> = []
    /// Queued and not released since; the queue itself may hold leftovers.
    private var pending: Set<UpstreamTopic> = []
    private var total = 0
    /// The moment up to which the rate is used.
    private var usedUntil: Instant?

    /// How much of a second's allowance may go in one batch.
    static let burst: Duration = .milliseconds(100)

    /// - Precondition: `rate` is at least 1 per second.
    public init(rate: Int) {
        precondition(rate >= 1, "a path subscribes at least once a second")
        self.rate = rate
    }

    /// How many of the subscriptions of this replay are made, and of how many.
    public var progress: (made: Int, of: Int) { (total - pending.count, total) }
    public var isDone: Bool { pending.isEmpty }
    /// How long the rest takes at this rate.
    public var remaining: Duration { .ofSeconds(Double(pending.count) / Double(rate)) }
    /// What is subscribed by now.
    public var made: Set<UpstreamTopic> { topics.subtracting(pending) }

    /// Queues a topic unless the path has it.
    public mutating func add(_ topic: UpstreamTopic) {
        guard topics.insert(topic).inserted else { return }
        if pending.isEmpty { total = 0 }
        queue.append(topic)
        pending.insert(topic)
        total += 1
    }

    /// Gives a topic up; `true` if it was subscribed and must be unsubscribed.
    public mutating func remove(_ topic: UpstreamTopic) -> Bool {
        guard topics.remove(topic) != nil else { return false }
        guard pending.remove(topic) != nil else { return true }
        total -= 1
        return false
    }

    /// Gives everything up and returns what was subscribed.
    public mutating func removeAll() -> [UpstreamTopic] {
        let made = made
        topics = []
        pending = []
        queue = []
        total = 0
        return Array(made)
    }

    /// Everything is to be subscribed again; returns what was.
    public mutating func startAnew() -> [UpstreamTopic] {
        let made = made
        pending = topics
        queue = Deque(topics)
        total = topics.count
        return Array(made)
    }

    /// When the next batch may go; `nil` if nothing waits.
    public var deadline: Instant? {
        guard !pending.isEmpty else { return nil }
        guard let usedUntil else { return .zero }
        return usedUntil
    }

    /// The topics to subscribe now.
    public mutating func due(at now: Instant) -> [UpstreamTopic] {
        guard !pending.isEmpty else { return [] }
        if let usedUntil, usedUntil > now { return [] }
        let allowance = max(1, Int(Double(rate) * Self.burst.inSeconds))
        var batch: [UpstreamTopic] = []
        while batch.count < allowance, let topic = queue.popFirst() {
            if pending.remove(topic) != nil { batch.append(topic) }
        }
        usedUntil = now + .ofSeconds(Double(batch.count) / Double(rate))
        if pending.isEmpty { (pending, queue) = ([], []) }
        return batch
    }
}
