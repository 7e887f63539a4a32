// Who subscribes to all topics of a feed is shown where each of them stands, a few in each turn: all who wait are shown
// the same ones, each from where the round is when it comes until it is there again. So it costs a walk through the
// topics, however many come back at the same time.
public import Basics

public struct PositionRound: Sendable {
    /// So many topics in each turn, if that makes no more frames than that for all viewers together.
    static let topicsPerTurn = 256
    static let framesPerTurn = 1024
    static let every: Duration = .milliseconds(10)

    private struct Viewer {
        let connection: Int32
        /// The topic that it was shown first.
        var first: Int
    }

    private var viewers: [Viewer] = []
    /// The topic whose turn it is.
    private var place = 0
    private var due = Instant.zero

    public init() {}

    /// A connection subscribed to all of so many topics. One that is being shown them is shown all of them from here on.
    ///
    /// - Returns: whether its round begins, the end of which `turn` will tell.
    public mutating func begin(_ connection: Int32, of topics: Int, at now: Instant) -> Bool {
        guard topics > 0 else { return false }
        if viewers.isEmpty { due = now }
        if let known = viewers.firstIndex(where: { $0.connection == connection }) {
            viewers[known].first = place
            return false
        }
        viewers.append(Viewer(connection: connection, first: place))
        return true
    }

    /// A connection is gone.
    public mutating func leave(_ connection: Int32) { viewers.removeAll { $0.connection == connection } }

    /// Nobody is shown anything any more.
    ///
    /// - Returns: who was.
    public mutating func end() -> [Int32] {
        defer { viewers = [] }
        return viewers.map(\.connection)
    }

    /// When `turn` is due; `nil`: nobody is shown anything.
    public var deadline: Instant? { viewers.isEmpty ? nil : due }

    /// The next topics.
    ///
    /// - Parameters:
    ///   - topics: how many there are by now; they only become more.
    ///   - show: is given a topic, and whom it is to be shown.
    /// - Returns: who was shown all of them.
    public mutating func turn(of topics: Int, at now: Instant, show: (Int, [Int32]) -> Void) -> [Int32] {
        guard due <= now, topics > 0 else { return [] }
        due = now + PositionRound.every
        let fair = PositionRound.framesPerTurn / max(1, viewers.count)
        var left = max(1, min(PositionRound.topicsPerTurn, fair))
        var connections = viewers.map(\.connection)
        var done: [Int32] = []
        while left > 0, !viewers.isEmpty {
            show(place, connections)
            place = (place + 1) % topics
            left -= 1
            guard viewers.contains(where: { $0.first == place }) else { continue }
            done += viewers.filter { $0.first == place }.map(\.connection)
            viewers.removeAll { $0.first == place }
            connections = viewers.map(\.connection)
        }
        return done
    }
}
