// What one path used of its venue's rate of subscriptions: so many in any second, whichever connection made them, and
// whatever the rate was then.
import Basics
import DequeModule

/// What was subscribed of late, against a rate.
public struct SubscriptionUsage: Sendable {
    /// The moment up to which the rate is used.
    private(set) var until: Instant?
    /// What went out in the last second, which may begin between two batches, and how many that are.
    private var lately: Deque<(from: Instant, at: Instant, count: Int)> = []
    private var latelyCount = 0

    /// What goes out within so short a time is remembered as one.
    private static let grain: Duration = .milliseconds(1)

    public init() {}

    /// How many more may go now; if none, the rate is used until some may.
    mutating func left(of rate: Int, at now: Instant) -> Int {
        if let until, until > now { return 0 }
        while let oldest = lately.first, now - oldest.at >= .seconds(1) {
            latelyCount -= oldest.count
            lately.removeFirst()
        }
        let left = rate - latelyCount
        if left <= 0, let oldest = lately.first { until = oldest.at + .seconds(1) }
        return max(0, left)
    }

    /// So many went out.
    mutating func add(_ count: Int, of rate: Int, at now: Instant) {
        until = now + .ofSeconds(Double(count) / Double(rate))
        guard count > 0 else { return }
        latelyCount += count
        if let last = lately.indices.last, now - lately[last].from < Self.grain {
            lately[last].at = now
            lately[last].count += count
        } else {
            lately.append((now, now, count))
        }
    }

    /// What another connection used, which has counted what went out here, is used here, too.
    mutating func follow(_ other: SubscriptionUsage) {
        until = [until, other.until].compactMap(\.self).max()
        (lately, latelyCount) = (other.lately, other.latelyCount)
    }
}
