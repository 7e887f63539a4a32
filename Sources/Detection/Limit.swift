// A limit on a measured value, as every watcher has it: two levels, each with an edge to raise and one to clear,
// a dwell, a hold, and damping, so that what comes and goes stays told until it keeps quiet.
public import Basics
public import Wire

/// Judges one measured value.
public struct Limit: Sendable {
    /// Which side is bad.
    public enum Direction: Hashable, Sendable {
        /// Much is bad: temperature, loss.
        case above
        /// Little is bad: free memory, fan speed.
        case below
    }

    /// Where an alarm is raised, and where it is cleared again.
    public struct Level: Hashable, Sendable {
        public var raise: Double
        /// On the good side of `raise`, or equal to it.
        public var clear: Double

        public init(raise: Double, clear: Double) {
            self.raise = raise
            self.clear = clear
        }
    }

    public let direction: Direction
    /// What the value amounts to: `ok`, `warning` or `critical`.
    public private(set) var status = Status.ok
    /// Whether the alarm came and went so often lately that it stands although the value is good.
    public private(set) var isFlapping = false
    private var warning: Hysteresis?
    private var critical: Hysteresis?
    private var damping: FlapDamping?
    private var wasRaised = false

    /// - Parameters:
    ///   - dwell: how long the value must be bad before an alarm is raised.
    ///   - hold: how long it must be good before the alarm is cleared; `nil`: as long as the dwell.
    ///   - flapCount: alarms within `flapWindow` that keep the last one standing as `warning`; 0: no damping.
    /// - Precondition: each level clears on its good side.
    public init(
        _ direction: Direction = .above, warning: Level?, critical: Level?, dwell: Duration = .zero,
        hold: Duration? = nil, flapCount: Int = 0, flapWindow: Duration = .seconds(60)
    ) {
        self.direction = direction
        self.warning = warning.map { Limit.hysteresis($0, direction, dwell, hold) }
        self.critical = critical.map { Limit.hysteresis($0, direction, dwell, hold) }
        damping = flapCount > 0 ? FlapDamping(count: flapCount, window: flapWindow) : nil
    }

    private static func hysteresis(
        _ level: Level, _ direction: Direction, _ dwell: Duration, _ hold: Duration?
    ) -> Hysteresis {
        switch direction {
        case .above: Hysteresis(raise: level.raise, clear: level.clear, dwell: dwell, hold: hold)
        case .below: Hysteresis(raise: -level.raise, clear: -level.clear, dwell: dwell, hold: hold)
        }
    }

    /// When time alone may change the status: a dwell, a hold or a flap's window ends.
    public var deadline: Instant? {
        [warning?.deadline, critical?.deadline, isFlapping ? damping?.deadline : nil].compactMap(\.self).min()
    }

    /// Takes a measurement. Returns whether the status changed; a value that is not a number changes nothing.
    public mutating func observed(_ value: Double, at now: Instant) -> Bool {
        let measured = direction == .above ? value : -value
        _ = warning?.observed(measured, at: now)
        _ = critical?.observed(measured, at: now)
        return judge(now)
    }

    /// Time passed without a new measurement: the last one still holds. Returns whether the status changed.
    public mutating func passed(_ now: Instant) -> Bool {
        _ = warning?.passed(now)
        _ = critical?.passed(now)
        return judge(now)
    }

    /// Forgets everything measured, as when nothing can be measured any more.
    public mutating func reset() {
        warning?.reset()
        critical?.reset()
        (status, isFlapping, wasRaised) = (.ok, false, false)
    }

    private mutating func judge(_ now: Instant) -> Bool {
        let raised: Status =
            critical?.isRaised == true ? .critical : warning?.isRaised == true ? .warning : .ok
        if raised != .ok, !wasRaised { damping?.lost(at: now) }
        wasRaised = raised != .ok
        isFlapping = raised == .ok && status != .ok && damping?.isFlapping(at: now) == true
        let next = isFlapping ? .warning : raised
        defer { status = next }
        return next != status
    }
}
