// One value of one subject over time, as the points at which it changed: eight bytes each, and a value that
// stands still costs nothing.
import Basics

/// The recent past of one value. A point holds until the next one; one that is not a number means: no reading.
struct ValueTrack: Sendable {
    struct Point: Hashable, Sendable {
        /// Milliseconds of the monotonic clock; they wrap, and ages are far below that.
        var at: UInt32
        var value: Float
    }

    /// Readings that are so many usual distances apart have a gap between them.
    private static let gapSteps = 3
    /// Readings come at least this often apart before a gap is one.
    private static let shortestStep: Duration = .seconds(1)

    let name: String
    private var points: [Point] = []
    /// Points before this index are past; they are dropped together.
    private var first = 0
    private(set) var lastSeen: Instant
    /// Between the last two readings; `nil`: there was but one.
    private var step: Duration?

    init(_ name: String, at now: Instant) {
        self.name = name
        lastSeen = now
    }

    var count: Int { points.count - first }
    /// The memory behind the points.
    var bytes: Int { points.capacity * MemoryLayout<Point>.stride }

    private static func milliseconds(_ instant: Instant) -> UInt32 {
        UInt32(truncatingIfNeeded: instant.nanoseconds / 1_000_000)
    }

    /// Takes a reading in; of what is older than `keep`, or more than `most` points ago, nothing stays.
    mutating func append(_ value: Float, at now: Instant, keep: Duration, most: Int) {
        let distance = now - lastSeen
        if distance >= keep { empty() }
        if let step, count > 0, distance > step * ValueTrack.gapSteps {
            add(Point(at: ValueTrack.milliseconds(lastSeen + step), value: .nan), most: most)
        }
        if distance > .zero {
            // One pause does not make later ones usual; when readings become rarer it grows with each.
            step = max(
                min(distance, step.map { $0 * ValueTrack.gapSteps } ?? distance), ValueTrack.shortestStep)
        }
        if points.last?.value.bitPattern != value.bitPattern {
            add(Point(at: ValueTrack.milliseconds(now), value: value), most: most)
        }
        lastSeen = now
        expire(now, keep)
        compact(most: most)
    }

    private mutating func empty() {
        points = []
        first = 0
    }

    /// After this time without a reading there is none.
    private var patience: Duration { (step ?? ValueTrack.shortestStep) * ValueTrack.gapSteps }

    private mutating func add(_ point: Point, most: Int) {
        if points.count == points.capacity {
            // No doubling beyond what may be kept: half of it again is room enough to drop past points together.
            points.reserveCapacity(min(max(4, points.count * 2), max(most + most / 2, points.count + 1)))
        }
        points.append(point)
    }

    /// What changed before `keep` is past; the last of it still holds, and is as old as `keep`.
    private mutating func expire(_ now: Instant, _ keep: Duration) {
        let time = ValueTrack.milliseconds(now)
        let oldest = UInt32(clamping: keep.nanoseconds / 1_000_000)
        while count >= 2, time &- points[first + 1].at >= oldest { first += 1 }
        if count > 0, time &- points[first].at > oldest { points[first].at = time &- oldest }
    }

    private mutating func compact(most: Int) {
        if count > most { first = points.count - most }
        guard first > 0, first >= count / 2 || points.count > most + most / 2 else { return }
        // Another array, so that memory of a time with many changes is given back.
        points = Array(points[first...])
        first = 0
    }

    /// Whether it changed in the time before `now`.
    func changed(within span: Duration, of now: Instant) -> Bool {
        guard count >= 2, let last = points.last, now - lastSeen < span else { return false }
        let age = ValueTrack.milliseconds(now) &- last.at
        return age <= UInt32(clamping: span.nanoseconds / 1_000_000)
    }

    /// The value that held at a time; `nil`: there was no reading.
    func value(at time: Instant) -> Float? {
        guard time <= lastSeen + patience else { return nil }
        let target = ValueTrack.milliseconds(time)
        var index = points.count - 1
        while index >= first {
            // A point after the target has an age that wrapped.
            if Int32(bitPattern: target &- points[index].at) >= 0 {
                return points[index].value.isNaN ? nil : points[index].value
            }
            index -= 1
        }
        return nil
    }

    /// The points of the time before `now`, oldest first; the one that held at its beginning comes with it.
    func points(within span: Duration, of now: Instant) -> [HistoryDocument.Point] {
        let time = ValueTrack.milliseconds(now)
        let oldest = UInt32(clamping: span.nanoseconds / 1_000_000)
        guard now - lastSeen < span else { return [] }
        var result: [HistoryDocument.Point] = []
        for index in first..<points.count {
            let isBefore = time &- points[index].at > oldest
            if isBefore, index + 1 < points.count, time &- points[index + 1].at >= oldest { continue }
            let age = min(time &- points[index].at, oldest)
            result.append(
                HistoryDocument.Point(
                    age: .milliseconds(Int64(age)),
                    value: points[index].value.isNaN ? nil : points[index].value.shortest))
        }
        if now - lastSeen > patience {
            result.append(HistoryDocument.Point(age: now - lastSeen, value: nil))
        }
        return result
    }
}

extension Float {
    /// The number that a person would write for it: 0.1, and not what 32 bits make of it in 64.
    var shortest: Double { Double("\(self)") ?? Double(self) }
}
