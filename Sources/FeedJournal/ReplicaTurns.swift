// Whose turn it is to ask: all channels of a replica share one connection, and what is under way on it is bounded. On a
// slow link the answers of a thousand channels at once would come too late each.
public import Basics

/// What may be asked now.
public struct ReplicaTurns: Sendable {
    public struct Limits: Hashable, Sendable {
        /// Requests under way at once: half of the answers that a server lets wait for one client.
        public var requests = 32
        /// Those of them whose answers are likely to be long, of up to 512 KiB.
        public var pieces = 8

        public init() {}
    }

    /// A request that waits for its turn.
    public struct Waiting<Name: Comparable & Sendable>: Sendable {
        public var name: Name
        public var since: Instant
        public var expectsPiece: Bool

        public init(_ name: Name, since: Instant, expectsPiece: Bool) {
            self.name = name
            self.since = since
            self.expectsPiece = expectsPiece
        }
    }

    private var left: Limits

    public init(limits: Limits = Limits()) { left = limits }

    /// A request is under way.
    public mutating func take(expectsPiece: Bool) {
        left.requests -= 1
        if expectsPiece { left.pieces -= 1 }
    }

    /// Those whose turn it is: the one that waits longest first, of equals the first by name.
    public mutating func grant<Name>(_ waiting: [Waiting<Name>]) -> [Name] {
        var granted: [Name] = []
        for request in waiting.sorted(by: { ($0.since, $0.name) < ($1.since, $1.name) }) {
            guard left.requests > 0 else { break }
            guard left.pieces > 0 || !request.expectsPiece else { continue }
            take(expectsPiece: request.expectsPiece)
            granted.append(request.name)
        }
        return granted
    }
}

/// When a feed is asked which channels it has.
public struct ReplicaDiscovery: Sendable {
    public static let every: Duration = .seconds(5)

    private enum State {
        case waiting(until: Instant)
        case asking(since: Instant)
    }

    private let answerWithin: Duration
    private var state: State

    public init(answerWithin: Duration = ReplicaMachine.Options().answerWithin, at now: Instant) {
        self.answerWithin = answerWithin
        state = .waiting(until: now)
    }

    /// When the next request is due, or the last one lost.
    public var deadline: Instant {
        switch state {
        case .waiting(let until): until
        case .asking(let since): since + answerWithin
        }
    }

    public var isAsking: Bool { if case .asking = state { true } else { false } }

    /// Since when a request waits for its turn; `nil`: none does.
    public func askingDue(at now: Instant) -> Instant? {
        guard case .waiting(let until) = state, until <= now else { return nil }
        return until
    }

    /// Gives up a request that was not answered for too long.
    public mutating func advance(at now: Instant) {
        if case .asking(let since) = state, since + answerWithin <= now { state = .waiting(until: now) }
    }

    public mutating func asked(at now: Instant) { state = .asking(since: now) }

    public mutating func answered(at now: Instant) {
        if case .asking(let since) = state {
            state = .waiting(until: max(since + ReplicaDiscovery.every, now))
        }
    }

    /// The other end is there again: it may have other channels.
    public mutating func connected(at now: Instant) { state = .waiting(until: now) }
}
