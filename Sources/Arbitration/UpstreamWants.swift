// What one unicast feed is subscribed to upstream: counts of holders per topic, and a linger after the last
// one left, so that a client which comes back finds its topic live.
import Basics
import DequeModule

struct UpstreamWants: Sendable {
    let linger: Duration
    /// How many topics may be wanted at once, held and lingering.
    let limit: Int
    private var holders: [UpstreamTopic: UInt32] = [:]
    private var lingering: [UpstreamTopic: Instant] = [:]
    /// In the order of their release; entries that were taken up again are skipped when they come due.
    private var queue: Deque<(topic: UpstreamTopic, until: Instant)> = []

    init(linger: Duration, limit: Int) {
        self.linger = linger
        self.limit = limit
    }

    var wanted: [UpstreamTopic] {
        (Array(holders.keys) + lingering.keys).sorted { left, right in
            switch (left, right) {
            case (.everything, .instrument): true
            case (.everything, .everything), (.instrument, .everything): false
            case (.instrument(let first), .instrument(let second)): first < second
            }
        }
    }

    func wants(_ topic: UpstreamTopic) -> Bool { holders[topic] != nil || lingering[topic] != nil }

    var deadline: Instant? { queue.first?.until }

    /// Adds a holder; `true` if the topic must be subscribed upstream.
    @discardableResult
    mutating func add(_ topic: UpstreamTopic) -> Bool {
        holders[topic, default: 0] += 1
        return holders[topic] == 1 && lingering.removeValue(forKey: topic) == nil
    }

    /// Takes a holder away. The return value is the topic that must go at once because too many are wanted.
    mutating func remove(_ topic: UpstreamTopic, at now: Instant) -> UpstreamTopic? {
        guard let held = holders[topic] else { return nil }
        guard held == 1 else {
            holders[topic] = held - 1
            return nil
        }
        holders[topic] = nil
        lingering[topic] = now + linger
        queue.append((topic, now + linger))
        guard holders.count + lingering.count > limit || queue.count > 2 * limit else { return nil }
        return oldest(before: nil)
    }

    /// The topics whose linger is over, so many at a time; as long as there are more, the deadline is past.
    mutating func expire(at now: Instant, atMost limit: Int) -> [UpstreamTopic] {
        var expired: [UpstreamTopic] = []
        while expired.count < limit, let topic = oldest(before: now) { expired.append(topic) }
        return expired
    }

    private mutating func oldest(before now: Instant?) -> UpstreamTopic? {
        while let first = queue.first {
            if let now, first.until > now { return nil }
            queue.removeFirst()
            guard lingering[first.topic] == first.until else { continue }
            lingering[first.topic] = nil
            return first.topic
        }
        return nil
    }
}
