// Which segments are let go of: the oldest, whole, and never the one that is being written. How old they are is learnt
// from the wall clock once, and they grow older by the monotonic one: a wall clock that jumps makes nothing old.
public import Basics

/// How much of a channel's journal is kept.
public struct Retention: Hashable, Sendable {
    /// Of all segments together.
    public var mostBytes: Int
    /// Since a segment's last frame.
    public var longest: Duration

    public init(mostBytes: Int, longest: Duration) {
        self.mostBytes = mostBytes
        self.longest = longest
    }

    /// A segment that is closed.
    public struct Candidate: Hashable, Sendable {
        public var number: UInt64
        public var size: Int
        /// When its last frame was received, or it was made; before the boot where it is older.
        public var newest: Instant

        public init(number: UInt64, size: Int, newest: Instant) {
            self.number = number
            self.size = size
            self.newest = newest
        }

        /// Of a segment whose time is known by the wall clock only, as that is now. What is said to be still to come is
        /// as if it came now.
        public init(number: UInt64, size: Int, newest: WallTime, at now: Instant, _ wall: WallTime) {
            let age = min(max(.zero, wall - newest), Candidate.oldest)
            self.init(number: number, size: size, newest: now - age)
        }

        /// A hundred years: nothing is kept for so long.
        private static let oldest = Duration.seconds(100 * 366 * 86400)
    }

    /// The segments to remove.
    ///
    /// - Parameters:
    ///   - closed: oldest first.
    ///   - written: the size of the segment that is being written.
    public func expired(_ closed: [Candidate], written: Int, at now: Instant) -> [UInt64] {
        var total = closed.reduce(written) { $0 + $1.size }
        var expired: [UInt64] = []
        for segment in closed {
            guard total > mostBytes || now - segment.newest > longest else { break }
            expired.append(segment.number)
            total -= segment.size
        }
        return expired
    }
}
