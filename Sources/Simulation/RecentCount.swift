// How many of something there were in the last second and in the last minute: what the simulator holds the gateway's
// requests against. Each one is kept with its time, and nothing of it is RequestQuota's, which this is to catch.
import Basics

struct RecentCount {
    private static let longest: Duration = .seconds(60)

    /// In ascending order.
    private var times: [Instant] = []

    /// One more.
    mutating func add(at now: Instant) {
        times.removeAll { now - $0 >= RecentCount.longest }
        times.append(now)
    }

    /// How many there were in the last so long: one that is just so old is no longer among them.
    ///
    /// - Parameter window: at most a minute.
    func inLast(_ window: Duration, at now: Instant) -> Int {
        precondition(window <= RecentCount.longest, "older ones are forgotten")
        return times.count { now - $0 < window }
    }
}
