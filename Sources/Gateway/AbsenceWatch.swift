// When what is read now came in. A gateway that did not run for a while, stopped or on a host that was, finds what came
// meanwhile in its sockets: it is as old as it is, and makes no channel fresh. The kernel stamps datagrams; of what a
// connection brought is only known that it is no older than the last time the gateway ran. What waited at the sender, since
// our buffer was full, is taken for as old as its way is long: only its own time tells, by the flag `late`.
import Basics

struct AbsenceWatch: Hashable, Sendable {
    /// Who comes later than this was away.
    static let lateness: Duration = .milliseconds(100)
    /// By then the loop has begun to read whatever waited.
    static let turn: Duration = .milliseconds(500)

    private struct Absence: Hashable {
        var since: Instant
        /// When it was over, by both clocks.
        var until: Instant
        var wall: WallTime
        /// The paths of which something that waited has been read, and more may be there, a bit each.
        var reading: UInt64 = 0
        /// The paths that have read all of it.
        var emptied: UInt64 = 0
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
        last = Absence(since: seenAt, until: now, wall: wall)
        return quiet
    }

    /// Something else than a path brings is done: how long the gateway was away, if this is how that shows.
    mutating func works(due: Instant?, at now: Instant, wall: WallTime) -> Duration? {
        // Only its own clock tells: what is read next may be stamped, and tell more.
        guard let due, now - due > Self.lateness else { return nil }
        return reads(age: .zero, due: due, at: now, wall: wall)
    }

    /// When a datagram came in, by the kernel's stamp; after `reads`.
    func cameIn(stamped: WallTime, at now: Instant, wall: WallTime) -> Instant {
        guard let last, stamped < last.wall else { return now }
        return min(max(last.since, now - (wall - stamped)), now)
    }

    /// When what a connection brought came in, or earlier; after `reads`.
    mutating func cameIn(on path: Int, at now: Instant) -> Instant {
        guard let absence = last, absence.emptied & Self.bit(of: path) == 0 else { return now }
        guard absence.reading & Self.bit(of: path) != 0 || now - absence.until <= Self.turn else {
            emptied(path)
            return now
        }
        last?.reading |= Self.bit(of: path)
        return absence.since
    }

    /// What had arrived on a path's connection is read, all of it.
    mutating func emptied(_ path: Int) { last?.emptied |= Self.bit(of: path) }

    private static func bit(of path: Int) -> UInt64 { 1 << UInt64(path & 63) }
}
