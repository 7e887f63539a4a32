// What a gateway knows of the replicas that pull its journals: each request acknowledges what is before its place, so
// that it can be told here, too, what would be lost with this gateway.
public import Basics
public import Wire

/// The replicas of all feeds.
public struct ReplicaBook: Sendable {
    /// One replica of one feed.
    public struct Name: Hashable, Sendable {
        public var feed: String
        public var replica: String

        public init(feed: String, replica: String) {
            self.feed = feed
            self.replica = replica
        }
    }

    public struct Limits: Hashable, Sendable {
        /// Replicas of one feed that are remembered. Of more, the one that has been silent for longest gives way, and
        /// if none has been for `givesWayAfter`, they are refused.
        public var replicasOfFeed = 16
        public var givesWayAfter: Duration = .seconds(60)
        public var channels = 256
        /// One that did not ask for so long is forgotten.
        public var forgetAfter: Duration = .seconds(86400)

        public init() {}
    }

    private struct Channel {
        var lag: ReplicaLag
        /// Frames that this run had written when it asked.
        var written: UInt64
        /// The end of what was written when it was last sent everything, and when that was.
        var sent: (place: PullRequest.Place, at: Instant)?

        /// What a request tells by itself.
        mutating func take(_ request: PullRequest) {
            lag.through = request.through
            guard let sent, sent.place == request.place else { return }
            (lag.coveredAt, lag.messages) = (sent.at, 0)
        }
    }

    private struct Replica {
        var channels: [UInt16: Channel] = [:]
        var heardAt: Instant
    }

    private let limits: Limits
    private var replicas: [Name: Replica] = [:]
    /// Those that gave way, until `forget` has told so.
    private var displaced: Set<Name> = []

    public init(limits: Limits = Limits()) { self.limits = limits }

    public var names: [Name] { replicas.keys.sorted { ($0.feed, $0.replica) < ($1.feed, $1.replica) } }

    /// Whether there is room for a replica, or it is known.
    public func mayPull(_ name: Name, _ channel: UInt16, at now: Instant) -> Bool {
        guard let known = replicas[name] else { return room(for: name, at: now) != .none }
        return known.channels[channel] != nil || known.channels.count < limits.channels
    }

    private enum Room: Equatable {
        case free
        case inPlaceOf(Name)
        case none
    }

    private func room(for name: Name, at now: Instant) -> Room {
        let others = replicas.filter { $0.key.feed == name.feed }
        guard others.count >= limits.replicasOfFeed else { return .free }
        guard let silent = others.min(by: { $0.value.heardAt < $1.value.heardAt }),
            now - silent.value.heardAt > limits.givesWayAfter
        else { return .none }
        return .inPlaceOf(silent.key)
    }

    /// A request was answered.
    ///
    /// - Parameters:
    ///   - isAll: whether with everything that was written.
    ///   - written: the frames that this run had written by then.
    public mutating func pulled(
        _ request: PullRequest, by name: Name, _ channel: UInt16, _ answer: PulledBytes, bytes: Int,
        isAll: Bool, written: UInt64, at now: Instant
    ) {
        guard mayPull(name, channel, at: now) else { return }
        if replicas[name] == nil, case .inPlaceOf(let silent) = room(for: name, at: now) {
            replicas[silent] = nil
            displaced.insert(silent)
        }
        replicas[name, default: Replica(heardAt: now)].heardAt = now
        var known = replicas[name]?.channels[channel] ?? Channel(lag: ReplicaLag(at: now), written: written)
        known.written = written
        known.lag.heardAt = now
        known.take(request)
        known.lag.messages = answer.behind
        if isAll {
            let end = PullRequest.Place(segment: answer.place.segment, offset: answer.place.offset + bytes)
            if end == request.place { known.lag.coveredAt = now }
            known.sent = (end, now)
        }
        replicas[name]?.channels[channel] = known
    }

    /// A request was put off: the replica asks, and acknowledges what it has. That it was told nothing leaves its distance
    /// as it was, and growing with time; of one that was never told anything there is no distance.
    public mutating func putOff(
        _ request: PullRequest, by name: Name, _ channel: UInt16, at now: Instant
    ) {
        guard var known = replicas[name]?.channels[channel] else { return }
        known.take(request)
        replicas[name]?.channels[channel] = known
        replicas[name]?.heardAt = now
    }

    /// How far a replica is behind, all its channels together, and for how long it has not asked.
    ///
    /// - Parameter written: the frames that this run has written of a channel.
    public func distance(
        of name: Name, at now: Instant, wall: WallTime, written: (UInt16) -> UInt64
    ) -> ReplicaDistance? {
        guard let replica = replicas[name] else { return nil }
        let lags = replica.channels.map { number, channel in
            var lag = channel.lag
            let now = written(number)
            lag.messages &+= now > channel.written ? now - channel.written : 0
            return lag
        }
        let sum = lags.sum(at: now, wall: wall)
        return ReplicaDistance(messages: sum.messages, time: sum.time, silence: now - replica.heardAt)
    }

    /// Lets go of replicas that ceased to ask long ago, and of those of feeds that are gone; returns them, and those that
    /// gave way.
    public mutating func forget(at now: Instant, except feeds: Set<String>) -> [Name] {
        defer { displaced = [] }
        let gone = replicas.filter {
            now - $0.value.heardAt > limits.forgetAfter || !feeds.contains($0.key.feed)
        }
        for name in gone.keys { replicas[name] = nil }
        return Array(gone.keys) + displaced.filter { replicas[$0] == nil }
    }
}

/// How far a replica is behind.
public struct ReplicaDistance: Hashable, Sendable {
    public var messages: UInt64
    public var time: Duration
    /// Since one end last heard of the other.
    public var silence: Duration

    public init(messages: UInt64, time: Duration, silence: Duration) {
        self.messages = messages
        self.time = time
        self.silence = silence
    }

    /// The state of the replica, and why, for a person; the reason is the same for as long as the state is.
    ///
    /// - Parameter quiet: what its silence is called.
    public func verdict(_ limits: ReplicaLimits, quiet: String) -> (Status, String) {
        let status = limits.status(of: time)
        if silence > ReplicaLag.patience * 2 { return (Status.worst(of: [status, .warning]), quiet) }
        if status == .ok { return (status, "follows") }
        let limit = status == .critical ? limits.critical : limits.warning
        return (status, "more than \(limit.inSeconds) s behind")
    }
}
