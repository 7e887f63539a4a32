// One UPS: what is known of it, by what way, and how bad that is. Four things are told apart: whether its server
// answers (transport), whether the server hears the driver, whether what it says is fresh, and the power itself.
// A value: readings and troubles in, verdicts out.
public import Basics
public import Wire

/// What an operator decides about one UPS.
public struct UPSLimits: Hashable, Sendable {
    /// How long this host needs to end its work: less than that left on battery is critical.
    public var hostNeeds: Duration = .seconds(60)
    /// Stale or unheard data is told only after this: drivers lose a device for a poll now and then.
    public var staleDwell: Duration = .seconds(5)

    public init() {}
}

/// What keeps a UPS from being heard.
public enum UPSTrouble: Hashable, Sendable {
    /// Its server cannot be reached, and why.
    case transport(String)
    /// The server has no driver for it.
    case driver(String)
    /// The driver has no fresh data.
    case stale
}

/// The state of one UPS.
public struct UPSMachine: Sendable {
    /// What is wrong or right, without the numbers that move all the time: another one is a change.
    public enum Condition: Hashable, Sendable {
        case neverHeard(UPSTrouble?)
        case unsupported(String)
        case online(UPSStatusWords)
        case onBattery
        /// Less is left than the host needs.
        case onBatteryTooShort
        case onBatteryLow
        case forcedShutdown
        case calibrating
        case off
        case overloaded
        case bypassed
        case lowOnMains
        case needsAttention(String)
        /// Unheard while the battery was being drained: the mains' failure may have taken the network with it.
        /// `isEnding`: it was low when last heard, or no more is left by now than the host needs.
        case lostOnBattery(UPSTrouble, isEnding: Bool)
        case lost(UPSTrouble, last: String)
    }

    public let subject: Subject
    public private(set) var limits: UPSLimits
    public private(set) var reading: UPSReading?
    private var trouble: (what: UPSTrouble, since: Instant)?
    private var forcedShutdown = false
    private var margin = UPSMargin()
    private var told: Condition?
    private var rejections: UInt64 = 0

    public init(_ subject: Subject, limits: UPSLimits = UPSLimits()) {
        self.subject = subject
        self.limits = limits
    }

    /// The verdict, with what it says now.
    public struct Verdict: Hashable, Sendable {
        public var condition: Condition
        public var status: Status
        public var reason: String
        public var values: [NamedValue]
    }

    // MARK: - Events

    /// Before anything was heard.
    public mutating func started(at now: Instant) -> Verdict? { tell(at: now) }

    /// All variables of the UPS, as its server or driver has just told them.
    public mutating func read(_ variables: [String: String], at now: Instant) -> Verdict? {
        let reading = UPSReading(variables: variables)
        rejections &+= UInt64(reading.rejected.count)
        // A driver that is starting says WAIT, and knows less of the power than we do.
        if self.reading != nil, reading.status.isDisjoint(with: UPSMachine.powerWords) {
            return troubled(.driver("it says \"\((reading.statusText ?? "").prefix(32))\""), at: now)
        }
        self.reading = reading
        trouble = nil
        if reading.status.contains(.forcedShutdown) {
            forcedShutdown = true
        } else if reading.status.contains(.onLine) {
            // Latched until the device itself says that it is on mains again.
            forcedShutdown = false
        }
        reading.status.contains(.onBattery) ? margin.drained(reading, at: now) : margin.restored()
        return tell(at: now)
    }

    /// It cannot be heard. The first trouble's time counts, its latest form is told.
    public mutating func troubled(_ what: UPSTrouble, at now: Instant) -> Verdict? {
        trouble = (what, trouble?.since ?? now)
        return tell(at: now)
    }

    /// Time passed.
    public mutating func tick(at now: Instant) -> Verdict? { tell(at: now) }

    /// Other limits hold from here on.
    public mutating func limit(_ new: UPSLimits, at now: Instant) -> Verdict? {
        limits = new
        return tell(at: now)
    }

    /// When the verdict may change by time alone.
    public var deadline: Instant? {
        let dwell = trouble.map { $0.since + limits.staleDwell }
        let short = margin.onBatterySince == nil ? nil : margin.instant(whenLeft: limits.hostNeeds)
        return [isTroubleJudged ? nil : dwell, countsDown ? short : nil].compactMap(\.self).min()
    }

    /// One of these at least is in a status that tells of the power.
    private static let powerWords: UPSStatusWords = [
        .onLine, .onBattery, .off, .bypass, .calibrating, .forcedShutdown,
    ]

    /// Whether what is told holds only as long as more is left than the host needs.
    private var countsDown: Bool {
        switch told {
        case .onBattery: true
        case .lostOnBattery(_, let isEnding): !isEnding
        case nil, .neverHeard, .unsupported, .online, .onBatteryTooShort, .onBatteryLow, .forcedShutdown,
            .calibrating, .off, .overloaded, .bypassed, .lowOnMains, .needsAttention, .lost:
            false
        }
    }

    /// Whether the trouble's dwell changes nothing any more: it is told, or outdone by what was heard last.
    private var isTroubleJudged: Bool {
        switch told {
        case .lost, .lostOnBattery, .neverHeard, .forcedShutdown: true
        case nil, .unsupported, .online, .onBattery, .onBatteryTooShort, .onBatteryLow, .calibrating, .off,
            .overloaded, .bypassed, .lowOnMains, .needsAttention:
            false
        }
    }

    private mutating func tell(at now: Instant) -> Verdict? {
        let condition = condition(at: now)
        guard condition != told else { return nil }
        told = condition
        return verdict(condition, at: now)
    }

    /// What holds now, for a sample or a repeat.
    public func verdict(at now: Instant) -> Verdict { verdict(condition(at: now), at: now) }
}

// MARK: - Judging

extension UPSMachine {
    private func condition(at now: Instant) -> Condition {
        guard let reading else { return .neverHeard(trouble?.what) }
        if let trouble,
            now - trouble.since >= limits.staleDwell || trouble.since == now && limits.staleDwell == .zero
        {
            return lost(trouble.what, reading, at: now)
        }
        return judged(reading, at: now)
    }

    private func lost(_ trouble: UPSTrouble, _ reading: UPSReading, at now: Instant) -> Condition {
        let words = reading.status
        if forcedShutdown { return .forcedShutdown }
        if words.contains(.onBattery), words.isDisjoint(with: [.calibrating, .off, .bypass]) {
            return .lostOnBattery(trouble, isEnding: words.contains(.lowBattery) || isTooShort(at: now))
        }
        return .lost(trouble, last: reading.statusText ?? "")
    }

    private func judged(_ reading: UPSReading, at now: Instant) -> Condition {
        let words = reading.status
        if forcedShutdown { return .forcedShutdown }
        if words.contains(.off) { return .off }
        if words.contains(.calibrating) { return .calibrating }
        if words.contains(.onBattery) { return onBattery(words, at: now) }
        guard words.contains(.onLine) || words.contains(.bypass) else {
            return .unsupported(reading.statusText ?? "")
        }
        if words.contains(.overloaded) { return .overloaded }
        if words.contains(.bypass) { return .bypassed }
        if let attention = attention(reading) { return .needsAttention(attention) }
        if words.contains(.lowBattery) { return .lowOnMains }
        return .online(words.intersection([.trimming, .boosting, .ecoMode, .testing]))
    }

    private func onBattery(_ words: UPSStatusWords, at now: Instant) -> Condition {
        if words.contains(.lowBattery) { return .onBatteryLow }
        return isTooShort(at: now) ? .onBatteryTooShort : .onBattery
    }

    private func isTooShort(at now: Instant) -> Bool {
        margin.left(at: now).map { $0 <= limits.hostNeeds } ?? false
    }

    private func attention(_ reading: UPSReading) -> String? {
        if reading.status.contains(.replaceBattery) { return "the battery must be replaced" }
        if reading.status.contains(.overheated) { return "too hot" }
        if reading.status.contains(.alarm) { return "alarm: " + (reading.alarm ?? "not named by the device") }
        return nil
    }
}

// MARK: - Words

extension UPSMachine {
    private func verdict(_ condition: Condition, at now: Instant) -> Verdict {
        let (status, reason) = words(condition, at: now)
        return Verdict(condition: condition, status: status, reason: reason, values: values(at: now))
    }

    private func words(_ condition: Condition, at now: Instant) -> (Status, String) {
        switch condition {
        case .neverHeard(let trouble):
            (.unknown, "never heard" + (trouble.map { ": " + UPSMachine.words($0) } ?? ""))
        case .unsupported(let text):
            (.unknown, "ups.status \"\(text.prefix(64))\" says neither mains nor battery")
        case .online(let words): (.ok, UPSMachine.onMains(words))
        case .onBattery: (.warning, "on battery, \(leftWords(at: now))")
        case .onBatteryTooShort:
            (.critical, "on battery, \(leftWords(at: now)), the host needs \(whole(limits.hostNeeds))")
        case .onBatteryLow: (.critical, "on battery and low, \(leftWords(at: now))")
        case .forcedShutdown: (.critical, "forced shutdown: the power will be cut")
        case .calibrating: (.warning, "calibrating: the battery is drained on purpose")
        case .off: (.critical, "off: it does not supply its load")
        case .overloaded: (.critical, "overloaded")
        case .bypassed: (.warning, "bypassed: a failure of the mains would not be bridged")
        case .lowOnMains: (.warning, "on mains, and the battery is low")
        case .needsAttention(let what): (.warning, what)
        case .lostOnBattery(let trouble, let isEnding):
            (
                .critical,
                "\(UPSMachine.words(trouble)) while on battery\(isEnding ? " and at its end" : ""), "
                    + "\(leftWords(at: now)) by the last reading"
            )
        case .lost(let trouble, let last):
            (.unknown, "\(UPSMachine.words(trouble)); last heard \"\(last.prefix(64))\"")
        }
    }

    private static func onMains(_ words: UPSStatusWords) -> String {
        if words.contains(.testing) { return "on mains, testing itself" }
        if words.contains(.trimming) { return "on mains, lowering a high voltage" }
        if words.contains(.boosting) { return "on mains, raising a low voltage" }
        return words.contains(.ecoMode) ? "on mains, in its economy mode" : "on mains"
    }

    private static func words(_ trouble: UPSTrouble) -> String {
        switch trouble {
        case .transport(let reason): "not reached: \(reason)"
        case .driver(let reason): "its driver is gone: \(reason)"
        case .stale: "its data is stale"
        }
    }

    private func leftWords(at now: Instant) -> String {
        margin.left(at: now).map { "\(whole($0)) left" } ?? "time left unknown"
    }

    private func whole(_ duration: Duration) -> String { "\(Int64(duration.inSeconds.rounded(.down))) s" }

    private func values(at now: Instant) -> [NamedValue] {
        guard let reading else { return [] }
        var values = [NamedValue("ups_status", .text(String((reading.statusText ?? "").prefix(256))))]
        if let charge = reading.charge { values.append(NamedValue("charge_ratio", .number(charge))) }
        if let load = reading.load { values.append(NamedValue("load_ratio", .number(load))) }
        if let runtime = reading.runtime {
            values.append(NamedValue("runtime_s", .number(runtime.inSeconds)))
        }
        if let left = margin.left(at: now) {
            values.append(NamedValue("left_s", .number(left.inSeconds)))
            values.append(NamedValue("margin_s", .number(left.inSeconds - limits.hostNeeds.inSeconds)))
        }
        if !reading.rejected.isEmpty {
            let names = reading.rejected.keys.sorted().joined(separator: " ")
            values.append(NamedValue("rejected", .text(names)))
        }
        values.append(NamedValue("rejected_values", .integer(Int64(clamping: rejections))))
        return values
    }
}
