// How far a replica of a journal is behind: what would be lost if the gateway that it follows were gone now. Both ends
// judge it by the same rule.
public import Basics
public import Wire

/// One channel's distance.
public struct ReplicaLag: Hashable, Sendable {
    /// So long an answer, or the next request, may take before it counts as silence. It is not asked again so soon.
    public static let patience: Duration = .seconds(1)

    /// Messages that were written and are not in the replica, as far as that is known.
    public var messages: UInt64 = 0
    /// When the replica last had everything that was written.
    public var coveredAt: Instant?
    /// When its last message was received.
    public var through: WallTime?
    /// When one end last heard of the other.
    public var heardAt: Instant
    /// When this began.
    public var since: Instant

    public init(at now: Instant) { (heardAt, since) = (now, now) }

    /// How old the oldest message is that the replica may not have.
    public func time(at now: Instant, wall: WallTime) -> Duration {
        if messages == 0, coveredAt != nil, now - heardAt <= ReplicaLag.patience { return .zero }
        let sinceCovered = now - (coveredAt ?? since)
        guard let through else { return sinceCovered }
        let sinceMessage = max(wall - through, .zero)
        return coveredAt == nil ? sinceMessage : min(sinceCovered, sinceMessage)
    }
}

/// From where on a distance is too great.
public struct ReplicaLimits: Hashable, Sendable {
    public var warning: Duration = .seconds(5)
    public var critical: Duration = .seconds(60)

    public init() {}

    public init(warning: Duration, critical: Duration) {
        self.warning = warning
        self.critical = critical
    }

    public func status(of time: Duration) -> Status {
        if time >= critical { return .critical }
        return time >= warning ? .warning : .ok
    }
}

extension [ReplicaLag] {
    /// All channels together: the sum of the messages, and the longest time.
    public func sum(at now: Instant, wall: WallTime) -> (messages: UInt64, time: Duration) {
        reduce(into: (0, .zero)) { sum, lag in
            sum.messages &+= lag.messages
            sum.time = Swift.max(sum.time, lag.time(at: now, wall: wall))
        }
    }
}
