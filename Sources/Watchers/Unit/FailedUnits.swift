// The units that have failed, whichever they are: what an operator sees without having configured anything. Each has
// a subject of its own, and `unit/failed` sums them up, so that it can be seen that somebody looks. A value.
public import Basics
public import Wire

/// Follows systemd's list of failed units.
public struct FailedUnits: Sendable {
    /// Units beyond this many are counted, and have no subject of their own.
    public static let mostTold = 64
    /// How long a unit that is well again stays on the bus.
    public static let forgottenAfter: Duration = .seconds(60)

    public enum Action: Hashable, Sendable {
        /// Ask how it came about, and answer by `details`.
        case ask(String)
        /// Ask for the list again, and answer by `listed`.
        case list
        case report(Finding)
        case forget(Subject)
    }

    public static let summary = Subject(.unit, "failed")

    /// Units that have a watch of their own.
    private var watched: Set<String>
    private var failed: Set<String> = []
    private var told: Set<String> = []
    private var wellSince: [String: Instant] = [:]
    private var listsAgainAt: Instant?
    private var toldSummary: Finding?

    public init(watched: Set<String>) { self.watched = watched }

    /// Other units have a watch of their own, which tells of them from here on; what had one is told here if it has
    /// failed.
    public mutating func reconfigure(watched new: Set<String>) -> [Action] {
        let released = watched.subtracting(new)
        watched = new
        told.subtract(new)
        for unit in new { wellSince[unit] = nil }
        var actions: [Action] = []
        for unit in released.intersection(failed).sorted() where told.count < FailedUnits.mostTold {
            told.insert(unit)
            actions.append(.ask(unit))
        }
        return actions
    }

    /// The list as it is now.
    public mutating func listed(_ units: [String], at now: Instant) -> [Action] {
        var actions: [Action] = []
        let new = Set(units)
        listsAgainAt = nil
        for unit in told.subtracting(new).sorted() {
            told.remove(unit)
            wellSince[unit] = now
            actions.append(.report(Finding(Subject(.unit, unit), .ok, "no longer failed")))
        }
        for unit in new.subtracting(failed).sorted()
        where !watched.contains(unit) && (told.contains(unit) || told.count < FailedUnits.mostTold) {
            wellSince[unit] = nil
            told.insert(unit)
            actions.append(.ask(unit))
        }
        failed = new
        return actions + summarized()
    }

    /// How a failed unit came to be so; `nil`: it could not be learned.
    public mutating func details(of unit: String, _ reading: UnitReading?) -> [Action] {
        guard told.contains(unit) else { return [] }
        guard let reading, reading.activeState == "failed" else {
            return [.report(Finding(Subject(.unit, unit), .warning, "failed"))]
        }
        var values = [
            NamedValue("result", .text(reading.result)), NamedValue("restarts", .integer(reading.restarts)),
            NamedValue("invocation_id", .text(reading.invocation)),
        ]
        switch reading.end {
        case .exited(let code): values.append(NamedValue("exit_status", .integer(Int64(code))))
        case .killed(let signal, _): values.append(NamedValue("exit_signal", .text(signalName(signal))))
        case .result, .unknown: break
        }
        let reason = reading.end == .unknown ? "failed" : "failed: \(reading.end.words)"
        return [.report(Finding(Subject(.unit, unit), .warning, reason, values: values))]
    }

    /// systemd cannot be asked, and why.
    public mutating func lost(_ reason: String) -> [Action] {
        var actions: [Action] = told.sorted().map {
            .report(Finding(Subject(.unit, $0), .unknown, reason))
        }
        // When it can be asked again, each is told anew.
        failed = []
        listsAgainAt = nil
        let finding = Finding(FailedUnits.summary, .unknown, reason)
        if toldSummary != finding { actions.append(.report(finding)) }
        toldSummary = finding
        return actions
    }

    /// systemd did not answer, and why, although the bus is there: that it answers again nobody tells.
    public mutating func unanswered(_ reason: String, at now: Instant) -> [Action] {
        defer { listsAgainAt = now + UnitMachine.asksAgainAfter }
        return lost(reason)
    }

    /// Units that were well for long enough leave the bus, and what was not answered is asked again.
    public mutating func tick(at now: Instant) -> [Action] {
        let listsAgain = listsAgainAt.map { now >= $0 } ?? false
        if listsAgain { listsAgainAt = nil }
        let due = wellSince.filter { now - $0.value >= FailedUnits.forgottenAfter }.keys.sorted()
        for unit in due { wellSince[unit] = nil }
        return due.map { .forget(Subject(.unit, $0)) } + (listsAgain ? [.list] : [])
    }

    /// All subjects that are on the bus.
    public var subjects: [Subject] {
        (told.sorted() + wellSince.keys.sorted()).map { Subject(.unit, $0) }
            + (toldSummary == nil ? [] : [FailedUnits.summary])
    }

    private mutating func summarized() -> [Action] {
        let names = failed.sorted()
        let shown = names.prefix(4).joined(separator: ", ") + (names.count > 4 ? " …" : "")
        let reason =
            names.isEmpty
            ? "no unit has failed" : "\(counted(names.count, "unit has", "units have")) failed: \(shown)"
        let finding = Finding(
            FailedUnits.summary, names.isEmpty ? .ok : .warning, reason,
            values: [NamedValue("failed_units", .integer(Int64(names.count)))],
            dependsOn: names.prefix(FailedUnits.mostTold).map { Subject(.unit, $0) })
        guard finding != toldSummary else { return [] }
        toldSummary = finding
        return [.report(finding)]
    }
}
