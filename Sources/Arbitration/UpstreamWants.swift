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
    /// By number: the lowest class of those who asked for it since nobody held it.
    private var turns: [TurnClass] = []
    private var lingering: [Number: Instant] = [:]
    /// In the order of their release; entries that were taken up again are skipped when they come due.
    private var queue: Deque<(topic: Number, until: Instant)> = []

    init(linger: Duration, limit: Int) {
        self.linger = linger
        self.limit = limit
    }

    /// In a stable order: everything first.
    var wanted: [UpstreamTopic] { names.topics }
    /// Likewise, with its turns.
    var turnsOfWanted: [WantedTopic] {
        names.topics.compactMap { topic in
            names.find(topic).map { WantedTopic(topic, turn: turns[Int($0)]) }
        }
    }

    func wants(_ topic: UpstreamTopic) -> Bool { names.find(topic) != nil }

    private var held: Int { names.count - lingering.count }

    /// Whether so many may be held besides.
    func hasRoom(for more: Int) -> Bool { held + more <= limit }

    /// Whether one more may hold this one.
    func hasRoom(for topic: UpstreamTopic) -> Bool { hasRoom(for: 1) || isHeld(topic) }

    func isHeld(_ topic: UpstreamTopic) -> Bool {
        names.find(topic).map { lingering[$0] == nil } ?? false
    }

    var deadline: Instant? { queue.first?.until }

    /// What a holder more is to the paths.
    enum Addition {
        case subscribe
        /// It is subscribed, or waits: it may do so in a lower class.
        case hasten
    }

    /// Adds a holder; `nil`: nothing changes upstream.
    @discardableResult
    mutating func add(_ wanted: WantedTopic) -> Addition? {
        let number = names.take(wanted.topic)
        let isLingering = lingering.removeValue(forKey: number) != nil
        if isLingering { names.drop(number) }
        let isFirst = names.uses(of: number) == 1
        while turns.count <= Int(number) { turns.append(wanted.turn) }
        let before = turns[Int(number)]
        turns[Int(number)] = isFirst ? wanted.turn : min(before, wanted.turn)
        guard isLingering || !isFirst else { return .subscribe }
        return wanted.turn < before ? .hasten : nil
    }

    /// What lingers and must go at once, because another topic needs its room.
    mutating func makeRoom() -> UpstreamTopic? { names.count > limit ? oldest(before: nil) : nil }

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
