// The words of the recovery machine: its limits, what it asks, and what it counts.
public import Basics

/// The limits of one channel's recovery.
public struct RecoveryOptions: Hashable, Sendable {
    /// How many servers can be asked: 1 to 8, in order of preference.
    public var servers: Int
    /// How long a number must be missing before it is asked for: the other path's copy may still come.
    public var patience: Duration = .milliseconds(20)
    /// The most messages that one request asks for.
    public var messagesPerRequest: UInt64 = 1000
    /// The most requests in any second, to all servers together.
    public var requestsPerSecond = 100
    /// A server that has not answered for so long is passed over for the next.
    public var answerWithin: Duration = .milliseconds(100)
    /// The rest of what a short answer left is asked for after this: it may be under way in another packet.
    public var restAfter: Duration = .milliseconds(2)
    /// Requests that may wait for answers at a time.
    public var mostOutstanding = 16

    public init(servers: Int) { self.servers = servers }

    /// Between two requests at least: a tenth of the time that the quota would give each.
    var spacing: Duration { .nanoseconds(100_000_000 / Int64(max(1, requestsPerSecond))) }
}

/// A request that is to be sent.
public struct RecoveryRequest: Hashable, Sendable {
    public var range: SequenceRange
    /// The server's index.
    public var server: Int

    public init(_ range: SequenceRange, server: Int) {
        self.range = range
        self.server = server
    }
}

/// What a recovery machine has done since it began.
public struct RecoveryCounters: Hashable, Sendable {
    public var requests: UInt64 = 0
    /// Packets with messages that were asked for.
    public var answers: UInt64 = 0
    /// Requests to which nothing came in time, or a word that there is nothing.
    public var unanswered: UInt64 = 0

    public init() {}
}
