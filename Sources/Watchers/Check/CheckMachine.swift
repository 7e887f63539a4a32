// One check: when it is due, and what its results amount to. A value: ends of runs and the time in, findings out.
public import Basics
public import Configuration
public import Wire

/// How a run ended.
public enum CheckOutcome: Hashable, Sendable {
    case exited(Int32)
    case killed(signal: Int32)
    /// It was killed after its time was over.
    case timedOut
    /// Its time was over, and killing it has had no effect: it waits in the kernel.
    case stuck
    case notStarted(String)
}

/// What a run left.
public struct CheckResult: Hashable, Sendable {
    public var outcome: CheckOutcome
    public var output: CheckOutput
    public var took: Duration
    /// Bytes that it printed beyond what is read.
    public var discarded: Int

    public init(
        _ outcome: CheckOutcome, output: CheckOutput = CheckOutput([]), took: Duration = .zero,
        discarded: Int = 0
    ) {
        self.outcome = outcome
        self.output = output
        self.took = took
        self.discarded = discarded
    }
}

/// The state of one check.
public struct CheckMachine: Sendable {
    public let options: CheckOptions
    public let subject: Subject
    /// When it is to run next; `nil`: it waits for a place, or runs.
    public private(set) var due: Instant?
    /// The latest result is too old after this.
    private var staleAt: Instant
    private var phase: Instant
    private var result: CheckResult?
    private var told: (status: Status, reason: String, kind: String)?

    /// - Parameter first: when it runs for the first time.
    public init(_ options: CheckOptions, first: Instant) {
        self.options = options
        subject = Subject(.check, options.name)
        due = first
        phase = first
        staleAt = CheckMachine.staleness(after: first, options)
    }

    /// Checks do not all start together: each has its place in a short while, by its name.
    public static func firstStart(_ options: CheckOptions, of count: Int, at now: Instant) -> Instant {
        let spread = min(options.every.nanoseconds, Int64(min(count, 1000)) * 50_000_000)
        let place = Int64(fnv1a(options.name.utf8) % 1024)
        return now + .nanoseconds(spread / 1024 * place)
    }

    private static func staleness(after start: Instant, _ options: CheckOptions) -> Instant {
        start + options.every + options.every + options.timeout + .seconds(1)
    }

    public mutating func started() -> Finding { tell(.unknown, "not run yet", "new") }

    public var deadline: Instant { min(due ?? staleAt, staleAt) }

    /// Whether it is to run now; it is not due again before `finished`.
    public mutating func takeTurn(at now: Instant) -> Bool {
        guard let due, due <= now else { return false }
        self.due = nil
        return true
    }

    /// A run is over.
    public mutating func finished(_ result: CheckResult, at now: Instant) -> Finding {
        self.result = result
        staleAt = CheckMachine.staleness(after: now, options)
        // On its own beat; turns that were missed are left out.
        phase = phase + options.every
        if phase <= now { phase = now + options.every }
        due = phase
        let (status, reason, kind) = judge(result)
        return tell(status, reason, kind)
    }

    /// Time passed without a result.
    public mutating func tick(at now: Instant) -> Finding? {
        guard staleAt <= now else { return nil }
        staleAt = CheckMachine.staleness(after: now, options)
        return tell(
            .unknown, "has not run lately: other checks take all places, or it cannot be killed", "stale")
    }

    /// The plugin's text changes with each run; a reason stays while the status does. The newest is a value.
    private mutating func tell(_ status: Status, _ reason: String, _ kind: String) -> Finding {
        if told?.status != status || told?.kind != kind { told = (status, reason, kind) }
        return Finding(subject, status, told?.reason ?? reason, values: values)
    }

    private func judge(_ result: CheckResult) -> (Status, String, String) {
        let text = result.output.text
        switch result.outcome {
        case .exited(let code):
            let status = Status.allCases.first { $0.exitStatus == code }
            guard let status else {
                let said = text.isEmpty ? "" : ": \(text)"
                return (.unknown, "exit status \(code), which no plugin has\(said)", "exit \(code)")
            }
            return (status, text.isEmpty ? "exit status \(code) and no output" : text, "exit \(code)")
        case .killed(let signal): return (.unknown, "ended by signal \(signal)", "signal \(signal)")
        case .timedOut: return (.unknown, "killed after \(seconds(options.timeout)) without a result", "time")
        case .stuck:
            return (.unknown, "has no result after \(seconds(options.timeout)) and cannot be killed", "stuck")
        case .notStarted(let why): return (.unknown, "cannot be started: \(why)", "start \(why)")
        }
    }

    /// The newest result's.
    public var values: [NamedValue] {
        guard let result else { return [] }
        var values = [NamedValue("took_s", .number(result.took.inSeconds))]
        if case .exited(let code) = result.outcome {
            values.append(NamedValue("exit_status", .integer(Int64(code))))
        }
        if !result.output.text.isEmpty { values.append(NamedValue("output", .text(result.output.text))) }
        if result.discarded > 0 {
            values.append(NamedValue("discarded_bytes", .integer(Int64(result.discarded))))
        }
        if result.output.refused > 0 {
            values.append(NamedValue("malformed_perfdata", .integer(Int64(result.output.refused))))
        }
        let own = Set(values.map(\.name))
        return values + result.output.values.filter { !own.contains($0.name) }
    }
}
