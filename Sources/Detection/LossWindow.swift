// Loss over the newest probes. A probe is pending until it is answered or its time is up: pending is not
// lost. A reply that comes late un-loses its probe, since the path did carry it.
public import Basics

/// The fate of the newest probes towards one target, in memory bounded by the window.
public struct LossWindow: Sendable {
    /// What a reply meant.
    public enum Outcome: Hashable, Sendable {
        /// In time.
        case inTime
        /// After its probe had been counted as lost; it no longer is.
        case late
        /// A second reply to one probe.
        case duplicate
        /// No probe of the window bears this number.
        case foreign
    }

    private enum Fate: Hashable { case unused, pending, answered, lost }

    private struct Probe {
        var number: UInt64
        var sentAt: Instant
        var fate: Fate
    }

    /// How many probes are looked at.
    public let capacity: Int
    /// A probe without a reply for this long is lost.
    public let lossAfter: Duration
    /// Fewer settled probes than this give no ratio.
    public let minimumSamples: Int

    private var probes: [Probe]
    private var next: UInt64 = 0
    /// Every probe below this number is settled or has left the window.
    private var oldestPending: UInt64 = 0
    private var newestAnswered: UInt64?
    /// Probes in the window that count as lost.
    public private(set) var lost = 0
    /// Probes in the window that were answered.
    public private(set) var answered = 0
    /// Lost probes that were sent after the newest one answered.
    public private(set) var lostInARow = 0

    /// - Precondition: `capacity` is at least 1.
    public init(capacity: Int, lossAfter: Duration, minimumSamples: Int) {
        precondition(capacity >= 1, "a window holds at least one probe")
        self.capacity = capacity
        self.lossAfter = lossAfter
        self.minimumSamples = max(1, minimumSamples)
        let unused = Probe(number: 0, sentAt: .zero, fate: .unused)
        probes = Array(repeating: unused, count: capacity)
    }

    /// The number that the next probe will bear.
    public var nextNumber: UInt64 { next }

    /// Probes in the window that are neither answered nor given up.
    public var hasPending: Bool { oldestPending < next }

    /// Lost over settled, from 0 to 1; `nil` below the minimum of samples.
    public var ratio: Double? {
        let settled = lost + answered
        return settled >= minimumSamples ? Double(lost) / Double(settled) : nil
    }

    /// Lost over the whole window, counting probes not yet made as answered: a lower bound that one early
    /// loss cannot inflate. Losses that no reply has followed yet are left out: they may be an outage.
    public var ratioAtLeast: Double { Double(max(0, lost - lostInARow)) / Double(capacity) }

    /// When the oldest pending probe will be lost.
    public var deadline: Instant? { hasPending ? probes[slot(oldestPending)].sentAt + lossAfter : nil }

    /// A probe was sent; returns its number.
    @discardableResult
    public mutating func sent(at now: Instant) -> UInt64 {
        let number = next
        leave(slot(number))
        probes[slot(number)] = Probe(number: number, sentAt: now, fate: .pending)
        next += 1
        if next - oldestPending > UInt64(capacity) { oldestPending = next - UInt64(capacity) }
        skipSettled()
        return number
    }

    /// When the probe of this number was sent; `nil`: it is not in the window.
    public func sentAt(_ number: UInt64) -> Instant? {
        guard holds(number) else { return nil }
        return probes[slot(number)].sentAt
    }

    /// The newest probe whose number ends in these 16 bits, as an ICMP sequence tells it.
    public func number(endingIn sequence: UInt16) -> UInt64? {
        guard next > 0 else { return nil }
        let back = UInt64(UInt16(truncatingIfNeeded: next - 1) &- sequence)
        guard back < next else { return nil }
        return holds(next - 1 - back) ? next - 1 - back : nil
    }

    /// A reply to the probe of this number arrived.
    public mutating func replied(_ number: UInt64) -> Outcome {
        guard holds(number) else { return .foreign }
        let outcome: Outcome
        switch probes[slot(number)].fate {
        case .unused: return .foreign
        case .answered: return .duplicate
        case .pending: outcome = .inTime
        case .lost:
            lost -= 1
            outcome = .late
        }
        probes[slot(number)].fate = .answered
        answered += 1
        if isAfterNewestAnswered(number) {
            newestAnswered = number
            lostInARow = countLost(after: number)
        }
        skipSettled()
        return outcome
    }

    /// The probe never left this host: it says nothing of the path.
    public mutating func cancelled(_ number: UInt64) {
        guard holds(number), probes[slot(number)].fate == .pending else { return }
        probes[slot(number)].fate = .unused
        skipSettled()
    }

    /// Gives up every probe whose time is up; returns how many.
    @discardableResult
    public mutating func expire(at now: Instant) -> Int {
        var given = 0
        while let deadline, deadline <= now {
            lose(oldestPending)
            given += 1
            skipSettled()
        }
        return given
    }

    /// Forgets the fates of all probes, as after an outage that was told otherwise; numbers go on.
    public mutating func restart() {
        for index in probes.indices { probes[index].fate = .unused }
        oldestPending = next
        newestAnswered = nil
        lost = 0
        answered = 0
        lostInARow = 0
    }

    /// Forgets the fates of the probes up to the newest one that was answered, as after an outage that was told
    /// otherwise; replies to those sent after it are still to come.
    public mutating func forgetOutage() {
        guard let newestAnswered else { return restart() }
        for index in probes.indices where probes[index].number <= newestAnswered {
            probes[index].fate = .unused
        }
        answered = 0
        lost = countLost(after: newestAnswered)
        lostInARow = lost
        skipSettled()
    }

    private func slot(_ number: UInt64) -> Int { Int(number % UInt64(capacity)) }

    private func holds(_ number: UInt64) -> Bool {
        let probe = probes[slot(number)]
        return probe.fate != .unused && probe.number == number
    }

    private func isAfterNewestAnswered(_ number: UInt64) -> Bool {
        newestAnswered.map { number > $0 } ?? true
    }

    private mutating func lose(_ number: UInt64) {
        probes[slot(number)].fate = .lost
        lost += 1
        if isAfterNewestAnswered(number) { lostInARow += 1 }
    }

    private mutating func skipSettled() {
        while oldestPending < next, probes[slot(oldestPending)].fate != .pending { oldestPending += 1 }
    }

    private func countLost(after number: UInt64) -> Int {
        guard lost > 0 else { return 0 }
        var count = 0
        for probe in probes where probe.fate == .lost && probe.number > number { count += 1 }
        return count
    }

    private mutating func leave(_ slot: Int) {
        switch probes[slot].fate {
        case .unused: break
        case .pending:  // a window shorter than `lossAfter` gives up early
            if isAfterNewestAnswered(probes[slot].number) { lostInARow += 1 }
        case .answered: answered -= 1
        case .lost: lost -= 1
        }
        probes[slot].fate = .unused
    }
}
