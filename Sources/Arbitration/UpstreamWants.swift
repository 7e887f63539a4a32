// What one unicast feed is subscribed to upstream: counts of holders per topic, and a linger after the last
// one left, so that a client which comes back finds its topic live.
import Basics
import DequeModule

struct UpstreamWants: Sendable {
    typealias Number = UpstreamNames.Number

    let linger: Duration
    /// How many topics may be wanted at once, held and lingering.
    let limit: Int
    /// With a use for each holder, and one for the linger.
    private var names = UpstreamNames()
    private var lingering: [Number: Instant] = [:]
    /// In the order of their release; entries that were taken up again are skipped when they come due.
    private var queue: Deque<(topic: Number, until: Instant)> = []

    init(linger: Duration, limit: Int) {
        self.linger = linger
        self.limit = limit
    }

    /// In a stable order: everything first.
    var wanted: [UpstreamTopic] { names.topics }

    func wants(_ topic: UpstreamTopic) -> Bool { names.find(topic) != nil }

    var deadline: Instant? { queue.first?.until }

    /// Adds a holder; `true` if the topic must be subscribed upstream.
    @discardableResult
    mutating func add(_ topic: UpstreamTopic) -> Bool {
        let number = names.take(topic)
        guard lingering.removeValue(forKey: number) == nil else {
            names.drop(number)
            return false
        }
        return names.uses(of: number) == 1
    }

    /// Takes a holder away. The return value is the topic that must go at once because too many are wanted.
    mutating func remove(_ topic: UpstreamTopic, at now: Instant) -> UpstreamTopic? {
        guard let number = names.find(topic), lingering[number] == nil else { return nil }
        guard names.uses(of: number) == 1 else {
            names.drop(number)
            return nil
        }
        lingering[number] = now + linger
        queue.append((number, now + linger))
        guard names.count > limit || queue.count > 2 * limit else { return nil }
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
            let topic = names[first.topic]
            lingering[first.topic] = nil
            names.drop(first.topic)
            if lingering.isEmpty { (lingering, queue) = ([:], []) }
            return topic
        }
        return nil
    }
}
