// How long the battery still lasts, by our own reckoning: devices say 0 or 65535, never recalibrate, and may never
// say "low". The reckoning is the most cautious of what is known, and counts down by itself when nobody tells.
public import Basics

/// The seconds that are left on battery.
public struct UPSMargin: Sendable {
    /// A slope over less than this says nothing: charges come in whole per cents.
    public static let shortestSlope: Duration = .seconds(30)
    static let samples = 64

    private struct Sample: Hashable {
        var at: Instant
        var charge: Double
    }

    private var history = Ring<Sample>(capacity: UPSMargin.samples)
    private var last: (at: Instant, left: Duration)?
    public private(set) var onBatterySince: Instant?

    public init() {}

    /// A reading on battery.
    public mutating func drained(_ reading: UPSReading, at now: Instant) {
        if onBatterySince == nil { onBatterySince = now }
        if let charge = reading.charge, history.last?.charge != charge || history.isEmpty {
            history.append(Sample(at: now, charge: charge))
        }
        let estimates = [reading.runtime, bySlope(reading, at: now)].compactMap(\.self)
        if let least = estimates.min() {
            last = (now, least)
        }
    }

    /// Mains are back.
    public mutating func restored() {
        history.removeAll()
        last = nil
        onBatterySince = nil
    }

    /// What is left now; `nil`: nothing was ever known.
    public func left(at now: Instant) -> Duration? {
        last.map { max(.zero, $0.left - (now - $0.at)) }
    }

    /// When no more than `duration` will be left, if nothing else is heard.
    public func instant(whenLeft duration: Duration) -> Instant? {
        last.map { $0.at + max(.zero, $0.left - duration) }
    }

    /// From the fall of the charge since the mains failed, down to where the device cuts off.
    private func bySlope(_ reading: UPSReading, at now: Instant) -> Duration? {
        guard let charge = reading.charge, let first = history.first else { return nil }
        let elapsed = now - first.at
        let fallen = first.charge - charge
        guard elapsed >= UPSMargin.shortestSlope, fallen >= 0.02 else { return nil }
        let usable = max(0, charge - (reading.lowCharge ?? 0))
        return .ofSeconds(usable * elapsed.inSeconds / fallen)
    }
}
