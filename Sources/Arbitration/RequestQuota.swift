// A venue's quota of requests, kept on this side of the wire: so many in any second, any minute and any day. It counts by
// sixtieths of a period, and lets go of one only when all of it is past: never more than allowed, now and then a little
// less.
public import Basics
import DequeModule

/// What was asked of late, against what may be asked.
public struct RequestQuota: Sendable {
    private struct Window {
        let most: Int
        let period: Duration
        /// Requests by the sixtieth of the period in which they were sent.
        private var counts: Deque<(since: Instant, count: Int)> = []
        private var sum = 0

        init(_ most: Int, in period: Duration) {
            self.most = most
            self.period = period
        }

        private var step: Duration { period / 60 }

        mutating func nextAllowed(at now: Instant) -> Instant {
            while let first = counts.first, now >= first.since + step + period {
                sum -= counts.removeFirst().count
            }
            guard sum >= most, let first = counts.first else { return now }
            return first.since + step + period
        }

        mutating func follow(_ other: Window) { (counts, sum) = (other.counts, other.sum) }

        mutating func add(at now: Instant) {
            sum += 1
            if let last = counts.last, now - last.since < step {
                counts[counts.count - 1].count += 1
            } else {
                counts.append((now, 1))
            }
        }
    }

    private var windows: [Window]

    /// - Parameters: the most requests in any of these; `nil`: no limit.
    public init(second: Int?, minute: Int?, day: Int?) {
        windows = [(second, 1), (minute, 60), (day, 86_400)].compactMap { limit, seconds in
            limit.map { Window($0, in: .seconds(seconds)) }
        }
    }

    /// Counts what was counted under other limits, whose place these take.
    public mutating func follow(_ other: RequestQuota) {
        for index in windows.indices {
            let period = windows[index].period
            if let counted = other.windows.first(where: { $0.period == period }) {
                windows[index].follow(counted)
            }
        }
    }

    /// When another request may be sent: `now`, or later.
    public mutating func nextAllowed(at now: Instant) -> Instant {
        var allowed = now
        for index in windows.indices { allowed = max(allowed, windows[index].nextAllowed(at: now)) }
        return allowed
    }

    /// A request is sent.
    public mutating func count(at now: Instant) {
        for index in windows.indices { windows[index].add(at: now) }
    }
}
