// When a connection that was refused is tried again: less and less often, and not all hosts at the same time.

/// The waits between attempts: 1, 2, 4, 8 and 10 s, each up to a half longer.
struct Backoff: Hashable, Sendable {
    static let shortest: Duration = .seconds(1)
    static let longest: Duration = .seconds(10)

    private var next = Backoff.shortest

    /// How long to wait before the next attempt.
    ///
    /// - Parameter random: any number; keeps hosts that were refused together apart.
    mutating func wait(random: UInt64) -> Duration {
        let base = next
        next = min(next * 2, Backoff.longest)
        return base + base / 2 * (Double(random % 1024) / 1024)
    }

    mutating func reset() { next = Backoff.shortest }
}
