// A limit on a measured value, written the same way everywhere:
// `temperature = { warning = 80, critical = 95, dwell = "5s" }`. What is left out keeps its default.

/// Levels at which a measured value is no longer well. Which side is bad is the value's own.
public struct LimitOptions: Hashable, Sendable {
    /// Raises `warning`; `nil`: never.
    public var warning: Double?
    /// Clears it; `nil`: 5 % of the level towards the good side.
    public var warningClear: Double?
    /// Raises `critical`; `nil`: never.
    public var critical: Double?
    public var criticalClear: Double?
    /// How long the value must be bad before an alarm is raised.
    public var dwell: Duration
    /// How long it must be good before the alarm is cleared; `nil`: as long as the dwell.
    public var hold: Duration?
    /// Alarms within `flapWindow` after which the last one stands until the window is over; 0: no damping.
    public var flapCount: Int
    public var flapWindow: Duration

    public init(
        warning: Double? = nil, critical: Double? = nil, dwell: Duration = .zero, hold: Duration? = nil,
        flapCount: Int = 0, flapWindow: Duration = .seconds(60)
    ) {
        self.warning = warning
        self.critical = critical
        self.dwell = dwell
        self.hold = hold
        self.flapCount = flapCount
        self.flapWindow = flapWindow
    }
}

/// Which side of a limit is bad.
enum BadSide: Sendable { case above, below }

extension Key {
    /// A limit, as an inline table or a section.
    static func limit(
        _ name: String, _ target: any WritableKeyPath<Options, LimitOptions> & Sendable, _ side: BadSide,
        _ range: ClosedRange<Double>
    ) -> Key {
        let section = Section<LimitOptions>.limit(side, range)
        return Key(name: name, isRequired: false, paths: [name]) { setting, place, options in
            guard case .table = setting else {
                return place.refuse(
                    setting, "write its levels, such as { warning = 0.9, critical = false, dwell = \"5s\" }")
            }
            section.read(setting, at: place, into: &options[keyPath: target])
        }
    }
}

extension Section where Options == LimitOptions {
    static func limit(_ side: BadSide, _ range: ClosedRange<Double>) -> Section {
        Section(
            keys: [
                .level("warning", \.warning, range),
                .level("warning_clear", \.warningClear, range),
                .level("critical", \.critical, range),
                .level("critical_clear", \.criticalClear, range),
                .value("dwell", \.dwell, Rules.duration(.zero, .seconds(86400))),
                .value("hold", \.hold, Rules.duration(.zero, .seconds(86400))),
                .value("flap_count", \.flapCount, Rules.integer(0...1000)),
                .value("flap_window", \.flapWindow, Rules.duration(.seconds(1), .seconds(86400))),
            ],
            check: { limit, place in checkOrder(limit, side, at: place) })
    }

    private static func checkOrder(_ limit: LimitOptions, _ side: BadSide, at place: Place) {
        func isWorse(_ left: Double, than right: Double) -> Bool {
            side == .above ? left > right : left < right
        }
        let way = side == .above ? "above" : "below"
        for (name, raise, clear) in [
            ("warning", limit.warning, limit.warningClear), ("critical", limit.critical, limit.criticalClear),
        ] where place.accepted(name, name + "_clear") {
            guard let clear else { continue }
            guard let raise else {
                place.key(name + "_clear").refuse("clears what nothing raises; set \(name) too")
                continue
            }
            if isWorse(clear, than: raise) {
                place.key(name + "_clear").refuse(
                    .number(clear), "must not be \(way) \(name) (\(raise)), or it never clears")
            }
        }
        guard place.accepted("warning", "critical"), let warning = limit.warning,
            let critical = limit.critical, isWorse(warning, than: critical)
        else { return }
        place.key("warning").refuse(.number(warning), "must not be \(way) critical (\(critical))")
    }
}

extension Key where Options == LimitOptions {
    /// A number in the range, or false: never.
    fileprivate static func level(
        _ name: String, _ target: any WritableKeyPath<LimitOptions, Double?> & Sendable,
        _ range: ClosedRange<Double>
    ) -> Key {
        Key(name: name, isRequired: false, paths: [name]) { setting, place, options in
            if case .flag(false) = setting { return options[keyPath: target] = nil }
            if let value = Rules.number(range)(setting, place) { options[keyPath: target] = value }
        }
    }
}

extension Rules {
    /// A number in a range; no infinity, and nothing that is no number.
    static func number(_ range: ClosedRange<Double>) -> Rule<Double> {
        { setting, place in
            let value: Double? =
                switch setting {
                case .integer(let whole): Double(whole)
                case .number(let number): number
                case .text, .flag, .list, .table, .other: nil
                }
            guard let value, range.contains(value) else {
                place.refuse(
                    setting,
                    "must be a number from \(range.lowerBound) to \(range.upperBound), or false for never")
                return nil
            }
            return value
        }
    }
}
