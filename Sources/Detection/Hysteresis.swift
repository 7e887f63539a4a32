// A threshold with two edges, a dwell and a hold: what is raised at one level is cleared only at a lower one, and
// only a level that lasts for a while changes anything. So a value that dances on a limit raises one alarm.
public import Basics

/// A raised or cleared alarm over a measured value.
public struct Hysteresis: Hashable, Sendable {
    /// At or above this, for `dwell`, the alarm is raised.
    public let raise: Double
    /// At or below this, for `hold`, it is cleared.
    public let clear: Double
    /// How long a value must be bad before it is one.
    public let dwell: Duration
    /// How long it must be good before it no longer is.
    public let hold: Duration
    /// Whether the alarm stands.
    public private(set) var isRaised = false
    private var beyondSince: Instant?

    /// - Parameter hold: `nil`: as long as the dwell.
    /// - Precondition: `clear` is not above `raise`.
    public init(raise: Double, clear: Double, dwell: Duration = .zero, hold: Duration? = nil) {
        precondition(clear <= raise, "an alarm is cleared at or below the level that raises it")
        self.raise = raise
        self.clear = clear
        self.dwell = dwell
        self.hold = hold ?? dwell
    }

    /// When the standing value will have lasted for long enough; `nil`: it is not beyond its edge.
    public var deadline: Instant? { beyondSince.map { $0 + patience } }

    private var patience: Duration { isRaised ? hold : dwell }

    /// Takes a measurement. Returns whether the alarm changed; a value that is not a number changes nothing.
    public mutating func observed(_ value: Double, at now: Instant) -> Bool {
        guard !value.isNaN else { return false }
        guard isRaised ? value <= clear : value >= raise else {
            beyondSince = nil
            return false
        }
        beyondSince = beyondSince ?? now
        return passed(now)
    }

    /// Time passed without a new measurement: the last one still holds. Returns whether the alarm changed.
    public mutating func passed(_ now: Instant) -> Bool {
        guard let since = beyondSince, now - since >= patience else { return false }
        isRaised.toggle()
        beyondSince = nil
        return true
    }

    /// Forgets everything measured, as after an outage that was told otherwise.
    public mutating func reset() {
        isRaised = false
        beyondSince = nil
    }
}
