// How often something that does not go is tried again: less and less often, never all together, and without end.

/// The waits between attempts: doubled each time up to a longest one, and each up to a half longer than that.
public struct Backoff: Hashable, Sendable {
    public let first: Duration
    public let longest: Duration
    private var next: Duration

    public init(first: Duration, longest: Duration) {
        (self.first, self.longest, next) = (first, longest, first)
    }

    /// How long to wait before the next attempt.
    ///
    /// - Parameter random: any number; keeps hosts that were refused together apart.
    public mutating func wait(random: UInt64) -> Duration {
        defer { next = min(next * 2, longest) }
        return Backoff.spread(next, random: random)
    }

    /// It went well: the next wait is the first one.
    public mutating func reset() { next = first }

    /// A wait of at least so long, and less than a half longer.
    public static func spread(_ wait: Duration, random: UInt64) -> Duration {
        wait + wait / 2 * (Double(random % 1024) / 1024)
    }
}
