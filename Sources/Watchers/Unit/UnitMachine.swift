// One watched unit of systemd. A crash that is followed by a restart never shows as `failed`: it is seen in the state
// between, in the count of restarts and in the id of the run. A value: readings in, findings out.
public import Basics
public import Configuration
import Detection
public import Wire

/// The state of one watched unit.
public struct UnitMachine: Sendable {
    /// Crashes of a window beyond this many are not counted.
    public static let mostCrashes = 1000
    /// After so long systemd is asked again what it has not answered.
    public static let asksAgainAfter: Duration = .seconds(5)

    public let options: UnitWatchOptions
    public let subject: Subject
    public private(set) var reading: UnitReading?
    /// Ends of its runs that systemd answered with a restart, and failures, since the agent watches.
    public private(set) var crashes: UInt64 = 0
    private var lately: [Instant] = []
    private var limit: Limit
    private var lastEnd = UnitEnd.unknown
    private var lastEndAt: Int64 = 0
    /// The run whose crash is counted already.
    private var crashedRun: String?
    /// The run whose restart is awaited, or counted.
    private var restartingRun: String?
    /// Crashes that were seen, and whose restart NRestarts does not count yet.
    private var unrestarted: Int64 = 0
    private var lostFor: String? = "not asked for yet"
    private var asksAgainAt: Instant?
    private var lastJob: String?
    private var told: Finding?
    private var judgedAt = Instant.zero

    public init(_ options: UnitWatchOptions) {
        self.options = options
        subject = Subject(.unit, options.name)
        limit = Limit(.above, options.crashes)
    }

    // MARK: - Events

    /// Before anything is known.
    public mutating func started() -> Finding? { tell(.zero) }

    /// What systemd says now.
    public mutating func read(_ new: UnitReading, at now: Instant) -> Finding? {
        let old = reading
        reading = new
        (lostFor, asksAgainAt) = (nil, nil)
        if new.hasJob || new.isRunning { lastJob = nil }
        noteCrash(old, new, now)
        return judge(now)
    }

    /// systemd has dropped the unit from its memory: nothing runs.
    public mutating func unloaded(at now: Instant) -> Finding? {
        guard var next = reading, next.loadState == "loaded" else { return nil }
        next.activeState = "inactive"
        next.subState = "dead"
        next.hasJob = false
        next.mainPID = 0
        next.lastPID = 0
        reading = next
        return judge(now)
    }

    /// A job of the unit ended otherwise than done: `failed`, `dependency`, `timeout` …
    public mutating func jobEnded(_ result: String, at now: Instant) -> Finding? {
        lastJob = ["done", "skipped", "canceled", "merged"].contains(result) ? nil : result
        return judge(now)
    }

    /// systemd cannot be asked, and why.
    public mutating func lost(_ reason: String, at now: Instant) -> Finding? {
        (lostFor, asksAgainAt) = (reason, nil)
        return judge(now)
    }

    /// systemd did not answer, and why, although the bus is there: that it answers again nobody tells.
    public mutating func unanswered(_ reason: String, at now: Instant) -> Finding? {
        (lostFor, asksAgainAt) = (reason, now + UnitMachine.asksAgainAfter)
        return judge(now)
    }

    /// Whether to ask again now, which it then takes as done.
    public mutating func asksAgain(at now: Instant) -> Bool {
        guard let due = asksAgainAt, now >= due else { return false }
        asksAgainAt = nil
        return true
    }

    /// Time passed.
    public mutating func tick(at now: Instant) -> Finding? { judge(now) }

    /// When time alone may change the verdict, or systemd is to be asked again.
    public var deadline: Instant? {
        guard lostFor == nil else { return asksAgainAt }
        return [limit.deadline, lately.first.map { $0 + options.crashWindow }, grownUp].compactMap(\.self)
            .min()
    }

    /// When a run that is younger than the minimum reaches it.
    private var grownUp: Instant? {
        guard let reading, reading.isRunning, options.minimumUptime > .zero else { return nil }
        let grown = reading.activeFrom + options.minimumUptime
        return grown > judgedAt ? grown : nil
    }

    // MARK: - Crashes

    private mutating func noteCrash(_ old: UnitReading?, _ new: UnitReading, _ now: Instant) {
        guard let old else {
            // What was there before the agent is no news, but how it came about is told.
            if new.isDown { remember(new) }
            return
        }
        let isSameRun = new.invocation == old.invocation
        if isSameRun { noteEnd(new, now) }
        noteRestarts(old, new, now)
        if !isSameRun { noteEnd(new, now) }
    }

    /// The run that the reading is of has ended.
    private mutating func noteEnd(_ new: UnitReading, _ now: Instant) {
        guard new.isDown else { return }
        if crashedRun != new.invocation {
            count(1, now)
        }
        if new.isRestarting, restartingRun != new.invocation {
            restartingRun = new.invocation
            unrestarted &+= 1
        }
        // Also the same end, told in more detail.
        remember(new)
    }

    /// Restarts whose crashes nobody saw, as while the bus was away.
    private mutating func noteRestarts(_ old: UnitReading, _ new: UnitReading, _ now: Instant) {
        guard new.restarts != old.restarts else { return }
        guard new.restarts > old.restarts else { return unrestarted = 0 }
        let missed = new.restarts &- old.restarts &- unrestarted
        unrestarted = max(0, 0 &- missed)
        guard missed > 0 else { return }
        count(missed, now)
        lastEnd = .unknown
        lastEndAt = 0
    }

    private mutating func remember(_ reading: UnitReading) {
        crashedRun = reading.invocation
        lastEnd = reading.end
        lastEndAt = reading.lastExitAt
    }

    private mutating func count(_ number: Int64, _ now: Instant) {
        crashes &+= UInt64(clamping: number)
        let room = UnitMachine.mostCrashes - lately.count
        lately += repeatElement(now, count: min(room, Int(clamping: number)))
    }

    // MARK: - The verdict

    private mutating func judge(_ now: Instant) -> Finding? {
        judgedAt = now
        lately.removeAll { now - $0 >= options.crashWindow }
        _ = limit.observed(Double(lately.count), at: now)
        _ = limit.passed(now)
        return tell(now)
    }

    private mutating func tell(_ now: Instant) -> Finding? {
        let (status, reason) = verdict(now)
        if let told, told.status == status, told.reason == reason { return nil }
        let finding = Finding(subject, status, reason, values: values)
        told = finding
        return finding
    }

    private func verdict(_ now: Instant) -> (Status, String) {
        if let lostFor { return (.unknown, lostFor) }
        guard let reading else { return (.unknown, "not asked for yet") }
        if reading.loadState != "loaded", !reading.isRunning { return unloadable(reading) }
        switch options.expected {
        case .active: return expectedActive(reading, now)
        case .inactive: return expectedInactive(reading)
        }
    }

    private func unloadable(_ reading: UnitReading) -> (Status, String) {
        let isWanted = options.expected == .active
        switch reading.loadState {
        case "not-found": return (isWanted ? .critical : .ok, "there is no such unit")
        case "masked": return (isWanted ? .critical : .ok, "masked")
        default: return (.critical, "cannot be loaded: \(reading.loadState.prefix(32)); see systemctl status")
        }
    }

    private func expectedActive(_ reading: UnitReading, _ now: Instant) -> (Status, String) {
        switch reading.activeState {
        case "active", "reloading", "refreshing": return running(reading, now)
        case "failed": return (.critical, "failed: \(failure(reading))")
        case "activating":
            if reading.isDown { return (.critical, "ended: \(reading.end.words)") }
            return limit.status == .ok ? (.warning, "starting") : crashing("starting")
        case "deactivating":
            return reading.isDown ? (.critical, "ended: \(reading.end.words)") : (.warning, "stopping")
        case "inactive":
            if reading.hasJob { return (.warning, "starting") }
            if let lastJob { return (.critical, "not started: \(UnitMachine.words(job: lastJob))") }
            return (.critical, reading.lastPID == 0 ? "inactive" : "inactive; last: \(reading.end.words)")
        default: return (.warning, "in the state \(reading.activeState.prefix(32))")
        }
    }

    private func running(_ reading: UnitReading, _ now: Instant) -> (Status, String) {
        if limit.status != .ok { return crashing("started") }
        if options.minimumUptime > .zero, now - reading.activeFrom < options.minimumUptime {
            return (.warning, "active for less than \(options.minimumUptime.written)")
        }
        guard reading.mainPID > 0 else { return (.ok, "active (\(reading.subState.prefix(32)))") }
        // So a restart is another reason, and thereby a change of its own.
        return (.ok, "running as pid \(reading.mainPID)")
    }

    /// It runs, or is about to, and has crashed lately.
    private func crashing(_ what: String) -> (Status, String) {
        let often = lately.count > 1 ? "; \(lately.count) times in \(options.crashWindow.written)" : ""
        return (limit.status, "\(what) again after \(lastEnd.words)" + often)
    }

    private func expectedInactive(_ reading: UnitReading) -> (Status, String) {
        switch reading.activeState {
        case "inactive": (.ok, "inactive")
        case "failed": (.warning, "failed: \(failure(reading))")
        default: (.critical, "\(reading.activeState.prefix(32)), and should be inactive")
        }
    }

    private func failure(_ reading: UnitReading) -> String {
        reading.result == "start-limit-hit"
            ? "\(reading.end.words), started too often" : reading.end.words
    }

    private static func words(job result: String) -> String {
        switch result {
        case "dependency": "a unit that it requires failed"
        case "timeout": "its job took too long"
        case "failed": "its start failed"
        default: "its job ended as \(result.prefix(32))"
        }
    }
}

// MARK: - Values

extension UnitMachine {
    private var values: [NamedValue] {
        guard let reading else { return [] }
        var values = [
            NamedValue("active_state", .text(reading.activeState)),
            NamedValue("sub_state", .text(reading.subState)),
            NamedValue("load_state", .text(reading.loadState)),
            NamedValue("invocation_id", .text(reading.invocation)),
            NamedValue("restarts", .integer(reading.restarts)),
            NamedValue("crashes", .integer(Int64(clamping: crashes))),
        ]
        if !reading.result.isEmpty { values.append(NamedValue("result", .text(reading.result))) }
        if reading.mainPID > 0 { values.append(NamedValue("main_pid", .integer(reading.mainPID))) }
        let end = reading.isDown ? reading.end : lastEnd
        switch end {
        case .exited(let code): values.append(NamedValue("exit_status", .integer(Int64(code))))
        case .killed(let signal, _): values.append(NamedValue("exit_signal", .text(signalName(signal))))
        case .result, .unknown: break
        }
        let endedAt = reading.isDown ? reading.lastExitAt : lastEndAt
        if endedAt > 0 {
            let ended = WallTime(nanoseconds: endedAt &* 1000)
            values.append(NamedValue("exited", .text(ended.rfc3339)))
        }
        return values
    }

    /// What is measured of it, each second.
    public func sample(at now: Instant) -> Sample? {
        guard let reading, lostFor == nil else { return nil }
        let isActive = reading.isRunning && reading.activeSince > 0
        let uptime = isActive ? max(0, (now - reading.activeFrom).inSeconds) : 0
        return Sample(
            subject,
            [
                NamedValue("uptime_s", .number(uptime)),
                NamedValue("restarts", .integer(reading.restarts)),
                NamedValue("crashes", .integer(Int64(clamping: crashes))),
            ])
    }
}

extension UnitReading {
    /// It does what it should.
    var isRunning: Bool { ["active", "reloading", "refreshing"].contains(activeState) }

    /// systemd waits to start it again; the word has a longer form from systemd 254 on.
    var isRestarting: Bool { activeState == "activating" && subState.hasPrefix("auto-restart") }

    /// Its run ended in a way that systemd restarts, or calls a failure.
    var isDown: Bool {
        switch activeState {
        case "failed": true
        case "activating": isRestarting
        // What is left of it is stopped; the result is there already.
        case "deactivating": !result.isEmpty && result != "success"
        default: false
        }
    }

    var activeFrom: Instant { Instant(nanoseconds: activeSince &* 1000) }
}
