// Which segments are let go of: the oldest, whole, and never the one that is being written.
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
        /// When its last frame was received, or it was made.
        public var newest: WallTime

        public init(number: UInt64, size: Int, newest: WallTime) {
            self.number = number
            self.size = size
            self.newest = newest
        }
    }

    /// The segments to remove.
    ///
    /// - Parameters:
    ///   - closed: oldest first.
    ///   - written: the size of the segment that is being written.
    public func expired(_ closed: [Candidate], written: Int, at wall: WallTime) -> [UInt64] {
        var total = closed.reduce(written) { $0 + $1.size }
        var expired: [UInt64] = []
        for segment in closed {
            guard total > mostBytes || wall - segment.newest > longest else { break }
            expired.append(segment.number)
            total -= segment.size
        }
        return expired
    }
}
