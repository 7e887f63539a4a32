// The state of the host's clock: what its sources say against the limits, and that it was set. A value: answers in,
// findings out.
public import Basics
public import Configuration
import Detection
public import Wire

/// Judges one clock.
public struct ClockMachine: Sendable {
    /// Attempts in a row after which a chronyd that was heard is lost.
    static let mostSilent = 2

    public let subject: Subject
    private let options: ClockOptions
    private var offsetLimit: Limit
    private var errorLimit: Limit
    /// Over 1 for a clock that is not synchronised.
    private var unsynchronised: Limit

    private var kernel: KernelClockReading?
    private var stampAge: Duration?
    private var services: [String]?
    private var chrony: ChronyTracking?
    private var wasChronyHeard = false
    private var silent = 0
    private var reading: ClockReading?
    private var wasSynchronised = false

    private var lead: WallLead?
    /// Steps seen.
    public private(set) var steps: UInt64 = 0
    private var lastStep: Duration?
    private var stepStandsUntil: Instant?
    private var toldStep: Duration?
    private var told: (status: Status, key: [String], reason: String)?

    /// How far the wall clock is ahead of the time since the boot, and how exactly that is known.
    public struct WallLead: Hashable, Sendable {
        public var lead: Duration
        public var uncertainty: Duration

        public init(lead: Duration, uncertainty: Duration = .zero) {
            self.lead = lead
            self.uncertainty = uncertainty
        }
    }

    public init(_ subject: Subject, _ options: ClockOptions) {
        self.subject = subject
        self.options = options
        var offset = options.offset
        var error = options.errorBound
        if let divergence = options.accuracy?.maximumDivergence {
            // Measured further from UTC than the law allows; and not known to be near enough.
            if offset.critical == nil { offset.critical = max(divergence, offset.warning ?? 0) }
            if error.warning == nil { error.warning = min(divergence, error.critical ?? divergence) }
        }
        offsetLimit = Limit(.above, offset)
        errorLimit = Limit(.above, error)
        let level = Limit.Level(raise: 1, clear: 0)
        let isRequired = options.accuracy != nil
        unsynchronised = Limit(
            .above, warning: isRequired ? nil : level, critical: isRequired ? level : nil,
            dwell: options.unsynchronisedFor)
    }

    /// Nothing was asked yet.
    public mutating func started() -> Finding { finding(.unknown, ["start"], "not asked yet") }

    /// When time alone changes something.
    public var deadline: Instant? {
        [unsynchronised.deadline, offsetLimit.deadline, errorLimit.deadline, stepStandsUntil]
            .compactMap(\.self).min()
    }
}

// MARK: - Events

extension ClockMachine {
    /// What the kernel says, `nil` where it may not be asked; how long ago systemd-timesyncd left its stamp; and which
    /// time services run, `nil` where that cannot be seen.
    public mutating func observed(
        kernel: KernelClockReading?, stampAge: Duration? = nil, services: [String]? = nil
    ) {
        self.kernel = kernel
        self.stampAge = stampAge
        self.services = services
    }

    /// An attempt to ask chronyd is over; the poll's verdict follows. `nil`: it is not asked.
    public mutating func answered(_ answer: ChronyAnswer?, at now: Instant, wall: WallTime) -> Finding? {
        switch answer {
        case .tracking(let tracking):
            chrony = tracking
            wasChronyHeard = true
            silent = 0
        case .absent, .refused:
            chrony = nil
            silent = ClockMachine.mostSilent
        case .silent:
            silent = min(silent + 1, ClockMachine.mostSilent)
            if silent >= ClockMachine.mostSilent { chrony = nil }
        case nil: chrony = nil
        }
        reading = currentReading(wall)
        measure(at: now)
        return judge(at: now)
    }

    /// The wall clock against the time since the boot. `wasSet`: the kernel says that the clock was set, so that even
    /// the smallest difference is one.
    public mutating func compared(_ lead: WallLead, wasSet: Bool, at now: Instant) -> Finding? {
        guard let before = self.lead else {
            self.lead = lead
            return nil
        }
        let step = lead.lead - before.lead
        let size = step < .zero ? .zero - step : step
        let noise = lead.uncertainty + before.uncertainty
        guard wasSet || size > max(noise, .microseconds(50)) else {
            // The better reading is kept: the true difference has not changed.
            if lead.uncertainty < before.uncertainty { self.lead = lead }
            return nil
        }
        self.lead = lead
        steps &+= 1
        lastStep = step
        guard size >= options.stepLeast else { return nil }
        toldStep = step
        stepStandsUntil = now + options.stepStands
        return judge(at: now)
    }

    public mutating func tick(at now: Instant) -> Finding? {
        if let until = stepStandsUntil, until <= now { stepStandsUntil = nil }
        _ = unsynchronised.passed(now)
        _ = offsetLimit.passed(now)
        _ = errorLimit.passed(now)
        return judge(at: now)
    }

    private func currentReading(_ wall: WallTime) -> ClockReading? {
        if let chrony { return ClockReading(chrony, at: wall) }
        if let kernel { return ClockReading(kernel) }
        if let stampAge { return ClockReading(stampAge: stampAge) }
        return services.flatMap { ClockReading(services: $0) }
    }

    /// Whether which services run matters: nobody tells how the clock is.
    public var isUntold: Bool { chrony == nil && kernel == nil && stampAge == nil }

    private mutating func measure(at now: Instant) {
        guard let reading else {
            unsynchronised.reset()
            offsetLimit.reset()
            errorLimit.reset()
            return
        }
        let isSynchronised = reading.unsynchronised == nil
        wasSynchronised = wasSynchronised || isSynchronised
        _ = unsynchronised.observed(isSynchronised ? 0 : 1, at: now)
        // What a clock that nobody disciplines says of its own error means nothing.
        guard isSynchronised, let offset = reading.offset, let bound = reading.errorBound else { return }
        _ = offsetLimit.observed(abs(offset), at: now)
        _ = errorLimit.observed(bound, at: now)
    }
}

// MARK: - Verdict

extension ClockMachine {
    private var isChronyLost: Bool { wasChronyHeard && chrony == nil }

    /// The state with its newest values, where it or its reason is another than last told.
    private mutating func judge(at now: Instant) -> Finding? {
        let troubles = troubles()
        let worst = Status.worst(of: troubles.map(\.status))
        let key = troubles.map(\.key) + [reading?.source ?? "", toldStep.map { "\($0)" } ?? ""]
        if let told, told.status == worst, told.key == key {
            return Finding(subject, told.status, told.reason, values: values)
        }
        let words = troubles.sorted { $0.status.severity > $1.status.severity }.map(\.reason)
        return finding(worst, key, words.isEmpty ? fine : words.prefix(2).joined(separator: "; "))
    }

    private var fine: String { reading.map { "synchronised: \($0.source)" } ?? "synchronised" }

    private mutating func finding(_ status: Status, _ key: [String], _ reason: String) -> Finding {
        told = (status, key, reason)
        return Finding(subject, status, reason, values: values)
    }

    private struct Trouble {
        var status: Status
        var key: String
        var reason: String
    }

    private func troubles() -> [Trouble] {
        var troubles: [Trouble] = []
        if stepStandsUntil != nil, let toldStep {
            troubles.append(
                Trouble(
                    status: .warning, key: "step",
                    reason: "the clock was set by \(signed(toldStep.inSeconds))"))
        }
        if isChronyLost {
            troubles.append(
                Trouble(
                    status: .warning, key: "lost",
                    reason: "chronyd no longer answers: see systemctl status chrony"))
        }
        guard let reading else {
            return troubles + [Trouble(status: .unknown, key: "blind \(services ?? [])", reason: untold)]
        }
        if let why = reading.unsynchronised {
            troubles += notSynchronised(why)
        } else if unsynchronised.status != .ok {
            // As long as it took to be told, it must hold.
            let reason = "synchronised again, for less than \(seconds(options.unsynchronisedFor))"
            troubles.append(Trouble(status: unsynchronised.status, key: "again", reason: reason))
        }
        if offsetLimit.status != .ok {
            let reason = "\(signed(reading.offset ?? 0)) from UTC\(class_)"
            troubles.append(Trouble(status: offsetLimit.status, key: "offset", reason: reason))
        }
        if errorLimit.status != .ok {
            let reason = "may be up to \(shortTime(reading.errorBound ?? 0)) from UTC\(class_)"
            troubles.append(Trouble(status: errorLimit.status, key: "error", reason: reason))
        }
        return troubles
    }

    /// Who keeps the clock without telling, where that can be seen.
    private var untold: String {
        guard let service = services?.first else {
            return
                "nobody tells whether it is synchronised: run chronyd, or allow adjtimex by the drop-in clock.conf; "
                + "in a container the host keeps it"
        }
        return service == TimeServices.chrony
            ? "chronyd runs and does not answer on 127.0.0.1:\(options.chronyPort): see cmdport in chrony.conf"
            : "\(service) runs, and only the kernel tells how well: allow adjtimex by the drop-in clock.conf"
    }

    /// Within the dwell a clock that was synchronised still passes for it, and another is not known.
    private func notSynchronised(_ why: String) -> [Trouble] {
        let status = unsynchronised.status
        if status != .ok { return [Trouble(status: status, key: why, reason: "not synchronised: \(why)")] }
        return wasSynchronised
            ? [] : [Trouble(status: .unknown, key: "soon " + why, reason: "not synchronised yet: \(why)")]
    }

    private var class_: String { options.accuracy.map { " (\($0.rawValue))" } ?? "" }

    /// What is measured, however it is judged.
    public var values: [NamedValue] {
        var values: [NamedValue] = []
        if let reading {
            values.append(NamedValue("synchronised", .flag(reading.unsynchronised == nil)))
            if let offset = reading.offset { values.append(NamedValue("offset_s", .number(offset))) }
            if let bound = reading.errorBound { values.append(NamedValue("error_bound_s", .number(bound))) }
            values += reading.values
        }
        values.append(NamedValue("steps", .integer(Int64(clamping: steps))))
        if let lastStep { values.append(NamedValue("last_step_s", .number(lastStep.inSeconds))) }
        return values
    }
}

/// A time for a person, in the unit that leaves one to three digits before the point: `12.3 µs`.
func shortTime(_ seconds: Double) -> String {
    guard seconds.isFinite else { return "\(seconds) s" }
    let magnitude = abs(seconds)
    let (scaled, unit) =
        magnitude < 1e-3 ? (seconds * 1e6, "µs") : magnitude < 1 ? (seconds * 1e3, "ms") : (seconds, "s")
    let tenths = (scaled * 10).rounded()
    guard let whole = Int64(exactly: tenths) else { return "\(scaled) \(unit)" }
    return "\(whole < 0 ? "-" : "")\(whole.magnitude / 10).\(whole.magnitude % 10) \(unit)"
}

private func signed(_ seconds: Double) -> String { (seconds >= 0 ? "+" : "") + shortTime(seconds) }
