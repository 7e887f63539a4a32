// Hands out upstream subscriptions of one path at the rate that the venue allows, in batches, and says how far
// it is: on failover the whole table is replayed through it. Topics are numbers of an `UpstreamNames`.
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
    /// Each once: those that are pending, and leftovers that were released. One that is added again, or whose number was
    /// given to another topic, has its place still.
    private var queue: Deque<Number> = []
    private var queued = NumberSet()
    private var total = 0
    /// The moment up to which the rate is used.
    private var usedUntil: Instant?

    /// How much of a second's allowance may go in one batch.
    static let burst: Duration = .milliseconds(100)

    /// - Precondition: `rate` is at least 1 per second.
    init(rate: Int) {
        precondition(rate >= 1, "a path subscribes at least once a second")
        self.rate = rate
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

    /// Queues a topic; `false`: the path has it.
    mutating func add(_ topic: Number) -> Bool {
        guard topics.insert(topic) else { return false }
        if pending.isEmpty { total = 0 }
        if queued.insert(topic) { queue.append(topic) }
        pending.insert(topic)
        total += 1
        return true
    }

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
            forgetQueue()
            total = 0
        }
        return topics.numbers
    }

    /// Everything is to be subscribed again.
    mutating func startAnew() {
        (pending, queued) = (topics, topics)
        queue = Deque(topics.numbers)
        total = topics.count
    }

    /// When the next batch may go; `nil` if nothing waits.
    var deadline: Instant? {
        guard !pending.isEmpty else { return nil }
        guard let usedUntil else { return .zero }
        return usedUntil
    }

    /// The topics to subscribe now.
    mutating func due(at now: Instant) -> [Number] {
        guard !pending.isEmpty else { return [] }
        if let usedUntil, usedUntil > now { return [] }
        let allowance = max(1, Int(Double(rate) * Self.burst.inSeconds))
        var batch: [Number] = []
        while batch.count < allowance, let topic = queue.popFirst() {
            queued.remove(topic)
            if pending.remove(topic) { batch.append(topic) }
        }
        usedUntil = now + .ofSeconds(Double(batch.count) / Double(rate))
        if pending.isEmpty { forgetQueue() }
        return batch
    }

    private mutating func forgetQueue() {
        pending.removeAll()
        queued.removeAll()
        queue = []
    }
}
