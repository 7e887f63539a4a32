// When what is read now came in. A gateway that did not run for a while, stopped or on a host that was, finds what came
// meanwhile in its sockets: it is as old as it is, and neither proves that a path lives now nor that a channel is fresh.
// The kernel stamps datagrams; of what a connection brought only that it is no older than the last time the gateway ran.
import Basics

struct AbsenceWatch: Hashable, Sendable {
    /// Who comes later than this was away.
    static let lateness: Duration = .milliseconds(100)

    private struct Absence: Hashable {
        var since: Instant
        /// When it was over.
        var until: WallTime
        /// The paths whose connections may still have something of it, a bit each.
        var waiting: UInt64
    }

    private var seenAt: Instant
    private var last: Absence?

    init(at now: Instant) { seenAt = now }

    /// The gateway is at work.
    mutating func seen(at now: Instant) { seenAt = max(seenAt, now) }

    /// Something is read on a path: how long the gateway was away, if this is how that shows.
    /// - Parameters:
    ///   - age: since when it was there, as far as that is stamped.
    ///   - due: when the gateway was to be at work by its own clock; `nil`: at no time.
    mutating func reads(age: Duration, due: Instant?, at now: Instant, wall: WallTime) -> Duration? {
        defer { seen(at: now) }
        let quiet = now - seenAt
        guard quiet > Self.lateness else { return nil }
        guard age > Self.lateness || due.map({ now - $0 > Self.lateness }) ?? false else { return nil }
        last = Absence(since: seenAt, until: wall, waiting: .max)
        return quiet
    }

    /// When it came in; after `reads`.
    /// - Parameter receivedAt: the kernel's time, or that of reading, where there is no other.
    func cameIn(on path: Int, receivedAt: WallTime, at now: Instant, wall: WallTime) -> Instant {
        guard let last else { return now }
        if receivedAt != wall {
            return receivedAt < last.until ? min(max(last.since, now - (wall - receivedAt)), now) : now
        }
        return last.waiting & Self.bit(of: path) != 0 ? last.since : now
    }

    /// What had arrived on a path's connection is read, all of it.
    mutating func emptied(_ path: Int) { last?.waiting &= ~Self.bit(of: path) }

    private static func bit(of path: Int) -> UInt64 { 1 << UInt64(path & 63) }
}
