// One line as a whole: whether its capture is open, when it was last heard, what it missed lately.
import Basics

/// A gap as it was seen.
struct LineGap: Hashable, Sendable {
    var channel: UInt32
    var range: SequenceRange
}

struct LineState: Sendable {
    enum Capture: Hashable, Sendable {
        case opening
        case open(since: Instant)
        case closed(String)
    }

    private static let mostSlices = 60
    private static let keptGaps = 4

    let name: String
    var capture = Capture.opening
    var counters = LineCounters()
    /// The last packet of the protocol; `nil`: none so far.
    private(set) var lastHeard: Instant?
    /// The session that was heard last is over.
    private(set) var isEnded = false
    /// Packets in a row that are not of the protocol.
    var garbled = 0
    /// What other lines brought since this one was heard.
    private(set) var twin: (packets: Int, since: Instant)?
    var gaps = Ring<LineGap>(capacity: LineState.keptGaps)
    var skew = LineSkew()
    /// Numbers sent, missing, lost by this line alone, and not judged, within the loss window.
    var sent: RollingCount
    var missing: RollingCount
    var lostHere: RollingCount
    var unjudged: RollingCount
    private(set) var loss: Limit
    /// The loss window, in parts of a second or more: that is how often it is told that time passed.
    private let slices: Int
    private let slice: Duration
    private var sliceEnds: Instant

    init(_ name: String, limits: LineLimits, from now: Instant) {
        self.name = name
        loss = limits.loss
        slices = max(1, min(LineState.mostSlices, Int(limits.lossWindow.inSeconds)))
        slice = limits.lossWindow / slices
        sliceEnds = now + slice
        let none = RollingCount(slices: slices)
        (sent, missing, lostHere, unjudged) = (none, none, none, none)
    }

    mutating func heard(_ header: SequencedHeader, at now: Instant) {
        counters.packets += 1
        counters.messages &+= UInt64(header.messages ?? 0)
        garbled = 0
        lastHeard = now
        twin = nil
        switch header.kind {
        case .endOfSession: isEnded = true
        case .data, .heartbeat, .unsequenced: isEnded = false
        }
        if header.messages == 0 { counters.heartbeats += 1 }
    }

    /// Another line brought data.
    mutating func twinBrought(at now: Instant) {
        twin = (min((twin?.packets ?? 0) + 1, 1_000_000), twin?.since ?? now)
    }

    /// Nothing could be heard for a while: silence counts from now on.
    mutating func restartWait() {
        twin = nil
        garbled = 0
        lastHeard = nil
        isEnded = false
    }

    /// What ended was the session before, and what others brought before it began says nothing.
    mutating func sessionBegan() {
        twin = nil
        isEnded = false
    }

    /// The share of what was sent within the window that is missing; `nil`: nothing was sent.
    var lossRatio: Double? {
        let missing = missing.sum
        guard sent.sum > 0 || missing > 0 else { return nil }
        return min(1, Double(missing) / Double(max(sent.sum, missing)))
    }

    mutating func endSecond(at now: Instant) {
        _ = loss.observed(lossRatio ?? 0, at: now)
        // After an absence several are over; so many are all.
        for _ in 0..<slices where now >= sliceEnds { endSlice() }
        if now >= sliceEnds { sliceEnds = now + slice }
    }

    private mutating func endSlice() {
        sliceEnds = sliceEnds + slice
        sent.rotate()
        missing.rotate()
        lostHere.rotate()
        unjudged.rotate()
    }
}
