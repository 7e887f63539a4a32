// What each path contributes: who was first, who was late, and the share of messages that only the others
// delivered.
import Basics

/// The paths of one arbiter.
struct PathLedger {
    private struct Path {
        var counters = PathCounters()
        var highest: UInt64 = 0
        /// Missed in the current block of settled messages and in the one before.
        var missed = 0
        var missedBefore = 0
        var divergent = DivergentPath()
    }

    /// Messages per block; the loss ratio covers one to two blocks.
    private static let block = 1024

    /// By path; beyond `count` unused.
    private var paths = InlineArray<8, Path>(repeating: Path())
    let count: Int
    /// The paths that are expected to deliver, a bit each.
    private(set) var active: UInt8
    private var settled = 0
    private var settledBefore = 0

    init(count: Int) {
        self.count = count
        active = UInt8(truncatingIfNeeded: (1 << count) - 1)
    }

    func counters(of path: UInt8) -> PathCounters { paths[Int(path)].counters }

    /// The share of the last 1,024 to 2,048 settled messages that the path did not deliver; `nil`: none yet.
    func lossRatio(of path: UInt8) -> Double? {
        let total = settled + settledBefore
        guard total > 0 else { return nil }
        return Double(paths[Int(path)].missed + paths[Int(path)].missedBefore) / Double(total)
    }

    /// A path is expected to deliver, or no longer. What is known of losses begins anew.
    mutating func set(_ path: UInt8, isActive: Bool) {
        let bit: UInt8 = 1 << (path & 7)
        let changed = isActive ? active | bit : active & ~bit
        guard changed != active else { return }
        active = changed
        (settled, settledBefore) = (0, 0)
        for index in 0..<count { (paths[index].missed, paths[index].missedBefore) = (0, 0) }
    }

    @inline(__always)
    mutating func received(_ arrival: Arrival, isFirst: Bool) {
        paths[Int(arrival.path)].counters.received &+= 1
        if isFirst { paths[Int(arrival.path)].counters.first &+= 1 }
        if arrival.sequence > paths[Int(arrival.path)].highest {
            paths[Int(arrival.path)].highest = arrival.sequence
        }
    }

    mutating func duplicate(by path: UInt8) { paths[Int(path)].counters.duplicates &+= 1 }
    mutating func late(by path: UInt8) { paths[Int(path)].counters.late &+= 1 }

    /// A held message that came first was delivered.
    mutating func first(by path: UInt8) { paths[Int(path)].counters.first &+= 1 }

    /// A copy differs. Whether that is to be reported.
    mutating func diverged(
        _ path: UInt8, at now: Instant, isTrusted: Bool, _ options: DivergenceOptions
    ) -> (isReported: Bool, isRepeated: Bool) {
        paths[Int(path)].counters.divergent &+= 1
        return paths[Int(path)].divergent.differs(at: now, isTrusted: isTrusted, options)
    }

    /// The highest number that a path brought of this epoch; 0: none.
    func highest(of path: UInt8) -> UInt64 { paths[Int(path)].highest }

    /// Whether each active path has gone beyond `sequence`.
    func areAllBeyond(_ sequence: UInt64) -> Bool {
        guard active != 0 else { return false }
        return (0..<count).allSatisfy { active & (1 << $0) == 0 || paths[$0].highest > sequence }
    }

    /// A new epoch: no path has delivered anything of it.
    mutating func restart() {
        for index in 0..<count { paths[index].highest = 0 }
    }

    /// A message leaves the history: whoever was active and did not bring it has missed it.
    @inline(__always)
    mutating func settle(_ brought: UInt8) {
        settled &+= 1
        if brought & active != active { countMissed(active & ~brought) }
        if settled >= Self.block { rollBlock() }
    }

    private mutating func countMissed(_ missing: UInt8) {
        for index in 0..<count where missing & (1 << index) != 0 {
            paths[index].counters.missed &+= 1
            paths[index].missed += 1
        }
    }

    private mutating func rollBlock() {
        (settledBefore, settled) = (settled, 0)
        for index in 0..<count {
            (paths[index].missedBefore, paths[index].missed) = (paths[index].missed, 0)
        }
    }
}
