// When something that fills up will be full, by how it grew lately. What grows for good grew in each third of the
// window; a burst did in one of them, and foretells nothing.
public import Basics

/// Foretells when a growing value reaches a bound, from points of a sliding window.
public struct Forecast: Sendable {
    /// Points of a window that is full.
    private static let points = 60

    private struct Point {
        var at: Instant
        var value: Double
    }

    /// How far back growth is looked at.
    public let window: Duration
    private var kept: Ring<Point>

    /// - Precondition: `window` is positive.
    public init(window: Duration) {
        precondition(window > .zero, "a forecast looks back over some time")
        self.window = window
        kept = Ring(capacity: Forecast.points)
    }

    /// Takes the value as it is now; more points than the window needs are left out.
    public mutating func observed(_ value: Double, at now: Instant) {
        guard value.isFinite else { return }
        if let last = kept.last, now - last.at < window / Forecast.points { return }
        kept.append(Point(at: now, value: value))
    }

    /// How much it grows in a second: the least of the least-squares slopes of the window's thirds, 0 where it did
    /// not grow in each. `nil`: seen for less than a third of the window.
    public var growthPerSecond: Double? {
        guard let first = kept.first, let last = kept.last, kept.count >= 9,
            last.at - first.at >= window / 3
        else { return nil }
        let third = kept.count / 3
        let slopes = [0..<third, third..<(2 * third), (2 * third)..<kept.count].map { slope($0) }
        return max(0, slopes.min() ?? 0)
    }

    /// How long until it reaches `bound`, if it goes on like this. `nil`: it does not grow, or that is not known
    /// yet.
    public func timeLeft(until bound: Double) -> Duration? {
        guard let growth = growthPerSecond, growth > 0, let last = kept.last else { return nil }
        return .ofSeconds(max(0, bound - last.value) / growth)
    }

    /// Forgets everything, as when another thing is measured from now on.
    public mutating func reset() { kept.removeAll() }

    /// The slope of the least-squares line through some of the points.
    private func slope(_ range: Range<Int>) -> Double {
        let points = range.map { kept[$0] }
        guard let origin = points.first else { return 0 }
        let count = Double(points.count)
        let times = points.map { ($0.at - origin.at).inSeconds }
        let meanTime = times.reduce(0, +) / count
        let meanValue = points.reduce(0) { $0 + ($1.value - origin.value) } / count
        var (above, below) = (0.0, 0.0)
        for (time, point) in zip(times, points) {
            above += (time - meanTime) * (point.value - origin.value - meanValue)
            below += (time - meanTime) * (time - meanTime)
        }
        return below > 0 ? above / below : 0
    }
}
