// How far a line is behind the feed's first line: the same number's arrival on both, taken from the capture's own
// stamps. At high rates only numbers that are a multiple of a power of two are compared, so that what is kept
// covers the same time at each rate.
import Basics

/// When the numbers that are compared arrived on one line of one channel.
struct LineArrivals: Sendable {
    private static let slots = 512
    /// So many comparisons a second are enough.
    static let wantedPerSecond: UInt64 = 1000

    private var numbers: [UInt64] = []
    private var times: [Int64] = []

    /// The number within `first` … `first + count - 1` that is compared, if there is one.
    static func compared(_ first: UInt64, _ count: UInt64, shift: Int) -> UInt64? {
        let (last, overflow) = first.addingReportingOverflow(count &- 1)
        guard count > 0, !overflow, last < .max else { return nil }
        let multiple = (last >> UInt64(shift)) << UInt64(shift)
        return multiple >= first ? multiple : nil
    }

    /// The power of two for a rate of numbers a second.
    static func shift(forRate perSecond: UInt64) -> Int {
        let ratio = perSecond / wantedPerSecond
        return ratio <= 1 ? 0 : UInt64.bitWidth - 1 - ratio.leadingZeroBitCount
    }

    mutating func note(_ number: UInt64, shift: Int, at time: WallTime) {
        if numbers.isEmpty {
            numbers = Array(repeating: .max, count: LineArrivals.slots)
            times = Array(repeating: 0, count: LineArrivals.slots)
        }
        let slot = Int((number >> UInt64(shift)) % UInt64(LineArrivals.slots))
        // The first copy counts.
        guard numbers[slot] != number else { return }
        numbers[slot] = number
        times[slot] = time.nanoseconds
    }

    func time(of number: UInt64, shift: Int) -> WallTime? {
        guard !numbers.isEmpty else { return nil }
        let slot = Int((number >> UInt64(shift)) % UInt64(LineArrivals.slots))
        return numbers[slot] == number ? WallTime(nanoseconds: times[slot]) : nil
    }
}

/// The newest comparisons of a line with the first one.
struct LineSkew: Sendable {
    private static let kept = 256
    private var samples = Ring<Int64>(capacity: LineSkew.kept)

    mutating func add(_ behind: Duration) { samples.append(behind.nanoseconds) }
    mutating func removeAll() { samples.removeAll() }

    /// Median and 99th percentile, in microseconds; above 0: behind the first line.
    var figures: (median: Double, p99: Double)? {
        guard !samples.isEmpty else { return nil }
        let sorted = samples.elements.sorted()
        func at(_ share: Double) -> Double {
            Double(sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]) / 1000
        }
        return (at(0.5), at(0.99))
    }
}
