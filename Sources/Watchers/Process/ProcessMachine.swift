// One watched set of processes: which of them run, and whether that is enough. A value: scans of /proc and
// ends of processes in; findings and what to hold on to out.
public import Basics
public import Configuration
public import Wire

/// A process of the host, told apart from a later one of the same number by when it started.
public struct ProcessIdentity: Hashable, Sendable {
    public var pid: Int32
    /// Clock ticks from the boot to its start: field 22 of /proc/PID/stat.
    public var startTicks: UInt64
    /// The same on the wall clock, to 10 ms; 0 where the boot's time is not known.
    public var startedAt: WallTime

    public init(pid: Int32, startTicks: UInt64, startedAt: WallTime = WallTime(nanoseconds: 0)) {
        self.pid = pid
        self.startTicks = startTicks
        self.startedAt = startedAt
    }

    public static func == (left: ProcessIdentity, right: ProcessIdentity) -> Bool {
        left.pid == right.pid && left.startTicks == right.startTicks
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(pid)
        hasher.combine(startTicks)
    }
}

/// How a process ended, as far as anyone tells.
public enum ProcessEnd: Hashable, Sendable {
    case exited(Int32)
    case killed(signal: Int32)
    /// Killed by the kernel, for lack of memory.
    case outOfMemory
    /// Neither the kernel nor anyone else told.
    case unknown
}

/// Why a scan could not look for a watched set.
public enum ScanTrouble: Hashable, Sendable {
    /// What leads to it is not there, such as the pidfile: it does not run.
    case missing(String)
    /// The agent may not look, or cannot: nobody knows whether it runs.
    case hidden(String)
    /// Whoever looks has not come back.
    case unanswered(String)
}

/// What a scan of /proc found for one watched set.
public struct ProcessScanResult: Hashable, Sendable {
    public var found: [ProcessIdentity]
    /// Resident memory of all of them.
    public var residentBytes: Int64
    /// Processes that might belong, but whose executable this user may not see.
    public var unreadable: Int
    public var trouble: ScanTrouble?

    public init(
        found: [ProcessIdentity], residentBytes: Int64 = 0, unreadable: Int = 0, trouble: ScanTrouble? = nil
    ) {
        self.found = found
        self.residentBytes = residentBytes
        self.unreadable = unreadable
        self.trouble = trouble
    }
}

/// What the shell is to do for a watched set.
public enum ProcessAction: Hashable, Sendable {
    /// Hold the process by descriptor and tell when it ends.
    case hold(ProcessIdentity)
    case release(ProcessIdentity)
    case report(Finding)
    /// Look for a successor now, and again soon.
    case rescan
}

/// The state of one watched set of processes.
public struct ProcessMachine: Sendable {
    /// Processes of one set beyond this many are counted, not held.
    public static let mostHeld = 512

    public let options: ProcessWatchOptions
    public let subject: Subject
    public private(set) var running: [ProcessIdentity] = []
    /// Ends that were seen.
    public private(set) var ends: UInt64 = 0
    /// Processes that appeared after the first scan.
    public private(set) var starts: UInt64 = 0
    /// Those of `running` whose end only a scan can tell.
    private var unheld: Set<ProcessIdentity> = []
    private var surplus = 0
    private var use: ProcessUse
    private var liveness: ProcessLiveness
    private var lastEnd: (pid: Int32, end: ProcessEnd)?
    private var unreadable = 0
    private var trouble: ScanTrouble?
    private var isScanned = false
    /// Whether a scan could look.
    private var hasLooked = false
    private var told: (status: Status, reason: String, running: [ProcessIdentity])?

    public init(_ options: ProcessWatchOptions) {
        self.options = options
        subject = Subject(.process, options.name)
        use = ProcessUse(options)
        liveness = ProcessLiveness(options)
    }

    /// What is measured of the set.
    public var sample: Sample {
        Sample(
            subject,
            [NamedValue("processes", .integer(Int64(count)))] + use.values + [
                NamedValue("ends", .integer(Int64(clamping: ends))),
                NamedValue("starts", .integer(Int64(clamping: starts))),
            ])
    }

    /// How many run.
    public var count: Int { running.count + surplus }

    /// Before the first scan: nobody has looked yet.
    public mutating func started() -> [ProcessAction] { tell() }

    /// All processes that match, as of now.
    public mutating func scanned(_ result: ProcessScanResult) -> [ProcessAction] {
        trouble = result.trouble
        isScanned = true
        // Who may not look has not seen that anything is gone: what is held tells its end itself.
        switch result.trouble {
        case .hidden, .unanswered: return tell()
        case .missing, nil: return found(result) + tell()
        }
    }

    /// A scan has been under way for so long that its end is not waited for.
    public mutating func notScanned(for duration: Duration) -> [ProcessAction] {
        let words =
            "the search for processes has not ended for \(seconds(duration)): /proc does not answer"
        return scanned(ProcessScanResult(found: [], trouble: .unanswered(words)))
    }

    private mutating func found(_ result: ProcessScanResult) -> [ProcessAction] {
        let known = Set(running)
        let found = Set(result.found)
        var actions: [ProcessAction] = []
        for process in running where !found.contains(process) {
            // Gone without a word: the descriptor was not held, or it no longer matches.
            actions.append(.release(process))
            noteEnd(of: process, .unknown)
        }
        running.removeAll { !found.contains($0) }
        unheld.formIntersection(found)
        for process in result.found where !known.contains(process) {
            guard running.count < ProcessMachine.mostHeld else { break }
            if hasLooked { starts &+= 1 }
            running.append(process)
            actions.append(.hold(process))
        }
        surplus = result.found.count - running.count
        use.scanned(residentBytes: result.residentBytes)
        if count == 0 { rest() }
        unreadable = result.unreadable
        hasLooked = true
        return actions
    }

    /// A process that runs cannot be held: only scans tell its end.
    public mutating func notHeld(_ process: ProcessIdentity) -> [ProcessAction] {
        guard running.contains(process) else { return [] }
        unheld.insert(process)
        return tell()
    }

    /// A held process ended, or could not be held because it was gone.
    public mutating func ended(_ process: ProcessIdentity, _ end: ProcessEnd) -> [ProcessAction] {
        guard let index = running.firstIndex(of: process) else { return [] }
        running.remove(at: index)
        unheld.remove(process)
        noteEnd(of: process, end)
        if running.isEmpty { rest() }
        // While enough are left no successor is missed: of some sets the members come and go all the time.
        let isMissed = count < options.minimum || count == 0
        return [.release(process)] + tell() + (isMissed ? [.rescan] : [])
    }

    /// How a process ended was told after its end was.
    public mutating func learned(_ process: ProcessIdentity, _ end: ProcessEnd) -> [ProcessAction] {
        guard let last = lastEnd, last.pid == process.pid, end != .unknown else { return [] }
        // That a kill was for lack of memory may be told after it.
        let isMore = end == .outOfMemory && last.end == .killed(signal: 9)
        guard last.end == .unknown || isMore else { return [] }
        lastEnd = (process.pid, end)
        return tell()
    }

    /// What its processes use now.
    mutating func measured(_ measures: [ProcessMeasure], at now: Instant) -> [ProcessAction] {
        use.measured(measures, at: now)
        return tell()
    }

    /// A connection to it was accepted; or not, and why.
    public mutating func connected(_ check: LivenessCheck, _ failure: String?) -> [ProcessAction] {
        liveness.connected(check, failure)
        return tell()
    }

    /// When its heartbeat file was last written; `nil`: it cannot be seen, and why.
    public mutating func heartbeat(
        _ modified: WallTime?, _ failure: String, wall: WallTime, at now: Instant
    ) -> [ProcessAction] {
        liveness.heartbeat(modified, failure, wall: wall, at: now)
        return tell()
    }

    /// Nothing runs that could be measured or asked.
    private mutating func rest() {
        use.ended()
        liveness.ended()
    }

    private mutating func noteEnd(of process: ProcessIdentity, _ end: ProcessEnd) {
        ends &+= 1
        lastEnd = (process.pid, end)
    }
}

// MARK: - The verdict

extension ProcessMachine {
    private mutating func tell() -> [ProcessAction] {
        let (status, reason) = verdict
        if let told, told.status == status, told.reason == reason, told.running == running { return [] }
        told = (status, reason, running)
        return [.report(Finding(subject, status, reason, values: values, dependsOn: unit))]
    }

    /// The unit that it was found by explains its end.
    private var unit: [Subject] {
        if case .unit(let name) = options.match { [Subject(.unit, name)] } else { [] }
    }

    private var verdict: (Status, String) {
        guard isScanned else { return (.unknown, "not looked for yet") }
        if seen < options.minimum {
            switch trouble {
            case .hidden(let what):
                return notSeen("\(what); let the agent's user read it, or use match_command")
            case .unanswered(let what): return notSeen(what)
            case .missing, nil: break
            }
        }
        if count < options.minimum { return tooFew }
        if let trouble = liveness.trouble { return (.critical, trouble) }
        if let trouble = use.trouble, trouble.status == .critical { return trouble }
        if let maximum = options.maximum, count > maximum {
            return (.warning, "more than \(maximum) running")
        }
        return use.trouble ?? (.ok, runningWords)
    }

    /// One process is named, so that a restart is another reason and thereby a change of its own. How many they are is
    /// a value: of some sets it is another number all the time.
    private var runningWords: String {
        guard count <= 1 else { return "several running" }
        return running.first.map { "running as pid \($0.pid)" } ?? "none running"
    }

    /// How many of them would tell their end by themselves.
    private var seen: Int { running.count - unheld.count }

    /// What ended may have a successor by now.
    private func notSeen(_ what: String) -> (Status, String) {
        let last = lastEnd.map { "; last seen: \(words($0.end)) (pid \($0.pid))" } ?? ""
        let need = options.minimum == 1 ? "" : "; \(seen) of \(options.minimum) seen running"
        return (.unknown, what + last + need)
    }

    private var tooFew: (Status, String) {
        let need = options.minimum == 1 ? "" : "; \(count) of \(options.minimum) running"
        if let lastEnd { return (.critical, words(lastEnd.end) + " (pid \(lastEnd.pid))" + need) }
        if case .missing(let what) = trouble { return (.critical, "not running: \(what)" + need) }
        // Not how many: the number is another one at each scan.
        guard unreadable == 0 else { return (.unknown, ProcessMachine.hiddenWords + need) }
        return (.critical, "not running" + need)
    }

    private static let hiddenWords =
        "not found, but the executables of other users' processes are hidden from the agent:"
        + " use match_command, or install the drop-in executables.conf"

    private func words(_ end: ProcessEnd) -> String {
        switch end {
        case .exited(let code): "exited with status \(code)"
        case .killed(let signal): "killed by \(signalName(signal))"
        case .outOfMemory: "killed for lack of memory"
        case .unknown: "ended, exit: unknown"
        }
    }

    private var values: [NamedValue] {
        var values = [
            NamedValue("processes", .integer(Int64(count))),
            NamedValue("pids", .text(running.prefix(16).map { "\($0.pid)" }.joined(separator: " "))),
        ]
        values += use.values
        if let started = running.map(\.startedAt).min(), started.nanoseconds > 0 {
            values.append(NamedValue("started", .text(started.rfc3339)))
        }
        if let lastEnd, count < options.minimum {
            switch lastEnd.end {
            case .exited(let code): values.append(NamedValue("exit_status", .integer(Int64(code))))
            case .killed(let signal): values.append(NamedValue("exit_signal", .text(signalName(signal))))
            case .outOfMemory: values.append(NamedValue("exit_signal", .text("SIGKILL")))
            case .unknown: values.append(NamedValue("exit", .text("unknown")))
            }
        }
        return values
    }
}

/// The name of a signal on Linux (x86 and ARM number them alike).
func signalName(_ number: Int32) -> String {
    let names = [
        "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL",
        "SIGUSR1",
        "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP",
        "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH",
        "SIGIO", "SIGPWR", "SIGSYS",
    ]
    return number >= 1 && Int(number) <= names.count ? names[Int(number) - 1] : "signal \(number)"
}
