// What is counted of a line, over its life and over the newest stretch of time.
import Basics

/// Counts since the watching began.
public struct LineCounters: Hashable, Sendable {
    public var packets: UInt64 = 0
    public var messages: UInt64 = 0
    public var heartbeats: UInt64 = 0
    /// Holes that a packet left, filled or not.
    public var gaps: UInt64 = 0
    /// Numbers that this line did not bring, and another one did.
    public var lost: UInt64 = 0
    /// Numbers that no line brought.
    public var lostEverywhere: UInt64 = 0
    /// Numbers that are missing while the capture itself dropped packets: nobody knows whose loss it is.
    public var unjudged: UInt64 = 0
    /// Numbers that came again.
    public var duplicates: UInt64 = 0
    /// Packets that filled a hole.
    public var outOfOrder: UInt64 = 0
    /// Packets of an earlier session, or with numbers that nothing confirmed.
    public var strays: UInt64 = 0
    /// Packets that are not of the protocol.
    public var malformed: UInt64 = 0
    /// Packets that the capture dropped for want of buffer.
    public var captureDropped: UInt64 = 0
    /// Numberings that began: sessions, resets, restarts.
    public var epochs: UInt64 = 0
}

/// A count over the newest stretch of time, in slices.
struct RollingCount: Hashable, Sendable {
    private var slices: [UInt64]
    private var current = 0
    private(set) var sum: UInt64 = 0

    init(slices: Int) { self.slices = Array(repeating: 0, count: max(1, slices)) }

    mutating func add(_ count: UInt64) {
        let (slice, over) = slices[current].addingReportingOverflow(count)
        let (total, overTotal) = sum.addingReportingOverflow(count)
        guard !over, !overTotal else { return }
        slices[current] = slice
        sum = total
    }

    /// The oldest slice ends, and a new one begins.
    mutating func rotate() {
        current = (current + 1) % slices.count
        sum -= slices[current]
        slices[current] = 0
    }
}
