// One mounted file system: whether it answers, whether it can be written, how full it is and when it will be, and
// which errors it has noted. A value: answers and their absence in, findings out.
import Basics
import Configuration
import Detection
import Glibc
import Linux
import Wire

/// What the kernel says of a mount without asking the file system.
struct MountFacts: Hashable, Sendable {
    var type = ""
    var source = ""
    var isReadOnly = false
    /// It was mounted so; `false` while `isReadOnly`: the kernel has made it so.
    var isMountReadOnly = false
    /// `nil`: the file system counts none.
    var errors: UInt64?
    /// The device's name, when it is no longer there.
    var goneDevice: String?
    /// Whether this process can ask it.
    var isInSight = true
    /// The arrays and disks below, nearest first.
    var dependsOn: [Subject] = []
}

/// The state of one mount.
struct MountMachine: Sendable {
    /// How long a new error stays critical.
    private static let errorHold: Duration = .seconds(3600)

    let subject: Subject
    private var options: DiskOptions
    private var space: Limit
    private var inodes: Limit
    private var hoursLeft: Limit
    private var spaceForecast: Forecast
    private var inodeForecast: Forecast
    /// `nil`: not mounted.
    private var facts: MountFacts?
    private var usage: FileSystemUsage?
    private var failure: DiskProblem?
    /// When the question that waits for its answer was asked.
    private(set) var askedAt: Instant?
    private var hungTold: Duration?
    private var wasWritable = false
    private var errorsRose: (by: UInt64, at: Instant)?
    private var told: [DiskProblem]?
    /// Per cent, and minutes, in the words that were told.
    private var toldUsed: (space: Int, inodes: Int) = (-1, -1)
    private var toldLeft: Duration?

    init(_ subject: Subject, _ options: DiskOptions) {
        self.subject = subject
        self.options = options
        space = Limit(.above, options.space)
        inodes = Limit(.above, options.inodes)
        hoursLeft = Limit(.below, options.fullInHours)
        spaceForecast = Forecast(window: options.forecastWindow)
        inodeForecast = Forecast(window: options.forecastWindow)
    }

    /// Takes other options over; what they do not change keeps its state.
    mutating func reconfigure(_ new: DiskOptions, at now: Instant) -> Finding? {
        if new.space != options.space { space = Limit(.above, new.space) }
        if new.inodes != options.inodes { inodes = Limit(.above, new.inodes) }
        if new.fullInHours != options.fullInHours { hoursLeft = Limit(.below, new.fullInHours) }
        if new.forecastWindow != options.forecastWindow {
            spaceForecast = Forecast(window: new.forecastWindow)
            inodeForecast = Forecast(window: new.forecastWindow)
        }
        options = new
        // What is no hang by the new options is told as one when it becomes one, and not before.
        if unanswered(at: now) == nil { hungTold = nil }
        if let usage { measure(usage, now) }
        return tell(at: now)
    }

    // MARK: - Events

    /// It is mounted, and this is what the kernel says of it.
    mutating func mounted(_ new: MountFacts, at now: Instant) -> Finding? {
        if facts == nil || facts?.source != new.source || facts?.type != new.type { beginAnew() }
        if !new.isReadOnly { wasWritable = true }
        if let before = facts?.errors, let after = new.errors, after > before {
            errorsRose = (after - before, now)
        }
        facts = new
        return tell(at: now)
    }

    /// It is not mounted, although it should be.
    mutating func unmounted(at now: Instant) -> Finding? {
        beginAnew()
        facts = nil
        return tell(at: now)
    }

    /// The file system is asked.
    mutating func asked(at now: Instant) { askedAt = now }

    /// The answer is awaited no longer: it would be another one's.
    mutating func givenUp() { (askedAt, hungTold) = (nil, nil) }

    mutating func answered(_ answer: FileSystemUsage, at now: Instant) -> Finding? {
        (askedAt, hungTold) = (nil, nil)
        guard answer.freeBytes <= answer.sizeBytes, answer.availableBytes <= answer.sizeBytes,
            answer.freeInodes <= answer.inodes
        else {
            usage = nil
            failure = DiskProblem(.unknown, "it says that more is free than it has")
            return tell(at: now)
        }
        (usage, failure) = (answer, nil)
        measure(answer, now)
        return tell(at: now)
    }

    /// It answered with an error.
    mutating func failed(_ error: SystemError, at now: Instant) -> Finding? {
        (askedAt, hungTold, usage) = (nil, nil, nil)
        switch error.number {
        // That we may not ask, or that it went this moment, says nothing of the file system.
        case EACCES, EPERM, ENOENT: failure = .init(.unknown, "cannot be asked: \(error)")
        default: failure = .init(.critical, error.description)
        }
        return tell(at: now)
    }

    /// Too many others hang for this one to be asked.
    mutating func notAsked(at now: Instant) -> Finding? {
        (askedAt, hungTold, usage) = (nil, nil, nil)
        failure = .init(.unknown, "not asked while so many others do not answer")
        return tell(at: now)
    }

    /// Time passed.
    mutating func tick(at now: Instant) -> Finding? {
        if let rose = errorsRose, now - rose.at >= MountMachine.errorHold { errorsRose = nil }
        _ = space.passed(now)
        _ = inodes.passed(now)
        _ = hoursLeft.passed(now)
        return tell(at: now)
    }

    /// When the finding may change by time alone.
    var deadline: Instant? {
        let hang = askedAt.map { $0 + (hungTold.map { $0 * 2 } ?? options.hangAfter) }
        let calm = errorsRose.map { $0.at + MountMachine.errorHold }
        return [hang, calm, space.deadline, inodes.deadline, hoursLeft.deadline].compactMap(\.self).min()
    }

    /// Another file system stands at the same place.
    private mutating func beginAnew() {
        (usage, failure, askedAt, hungTold, wasWritable) = (nil, nil, nil, nil, false)
        (errorsRose, toldLeft) = (nil, nil)
        space.reset()
        inodes.reset()
        hoursLeft.reset()
        spaceForecast.reset()
        inodeForecast.reset()
    }
}

// MARK: - Measuring

extension MountMachine {
    private mutating func measure(_ usage: FileSystemUsage, _ now: Instant) {
        if let ratio = MountMachine.usedRatio(usage) { _ = space.observed(ratio, at: now) }
        if let ratio = MountMachine.usedInodesRatio(usage) { _ = inodes.observed(ratio, at: now) }
        spaceForecast.observed(Double(usage.sizeBytes - usage.freeBytes), at: now)
        inodeForecast.observed(Double(usage.inodes - usage.freeInodes), at: now)
        _ = hoursLeft.observed(timeLeft.map { $0.inSeconds / 3600 } ?? .infinity, at: now)
    }

    /// Of what everybody may use, as df(1) counts: what is kept for root alone is neither used nor free.
    static func usedRatio(_ usage: FileSystemUsage) -> Double? {
        let used = Double(usage.sizeBytes - usage.freeBytes)
        let all = used + Double(usage.availableBytes)
        return all > 0 ? used / all : nil
    }

    static func usedInodesRatio(_ usage: FileSystemUsage) -> Double? {
        usage.inodes > 0 ? Double(usage.inodes - usage.freeInodes) / Double(usage.inodes) : nil
    }

    /// Until space or inodes run out, whichever is sooner.
    private var timeLeft: Duration? {
        guard let usage else { return nil }
        let bound = Double(usage.sizeBytes - usage.freeBytes) + Double(usage.availableBytes)
        let inodesLeft =
            usage.inodes > 0 ? inodeForecast.timeLeft(until: Double(usage.inodes)) : nil
        return [spaceForecast.timeLeft(until: bound), inodesLeft].compactMap(\.self).min()
    }

    private func unanswered(at now: Instant) -> Duration? {
        askedAt.map { now - $0 }.flatMap { $0 >= options.hangAfter ? $0 : nil }
    }
}

// MARK: - Judging

extension MountMachine {
    private mutating func tell(at now: Instant) -> Finding? {
        let problems = problems(at: now).worstFirst
        guard problems != told else { return nil }
        told = problems
        return finding(at: now)
    }

    /// What was told last, with the values of now.
    func finding(at now: Instant) -> Finding {
        Finding(
            subject, told?.status ?? .unknown, told?.reason ?? "not asked yet", values: values(at: now),
            dependsOn: facts?.dependsOn ?? [])
    }

    private mutating func problems(at now: Instant) -> [DiskProblem] {
        guard let facts else { return [DiskProblem(.critical, "not mounted")] }
        var found: [DiskProblem] = []
        if let device = facts.goneDevice {
            found.append(.init(.critical, "its device \(device) is gone while it is mounted"))
        }
        if let hung = hung(at: now) { return found + [hung] }
        if facts.isReadOnly, wasWritable || !facts.isMountReadOnly {
            let words =
                facts.isMountReadOnly
                ? "remounted read-only" : "the kernel has made it read-only; its log says why (journalctl -k)"
            found.append(.init(.critical, words))
        }
        if !facts.isInSight {
            found.append(.init(.unknown, "mounted on the host, and out of the agent's sight"))
        } else if let failure {
            found.append(failure)
        } else if usage == nil {
            found.append(.init(.unknown, "not asked yet"))
        }
        found += fullness()
        if let errors = errorsProblem(facts, at: now) { found.append(errors) }
        return found.isEmpty ? [.init(.ok, quiet(facts))] : found
    }

    private func quiet(_ facts: MountFacts) -> String {
        let kind = facts.type.isEmpty ? "mounted" : "\(facts.type) on \(facts.source.prefix(128))"
        return facts.isReadOnly ? "\(kind), mounted read-only" : kind
    }

    /// Told when it begins, and again each time that it has lasted twice as long.
    private mutating func hung(at now: Instant) -> DiskProblem? {
        guard let age = unanswered(at: now) else { return nil }
        if let before = hungTold, age < before * 2 {
            return .init(.critical, "does not answer for \(seconds(before))")
        }
        hungTold = age
        return .init(.critical, "does not answer for \(seconds(age))")
    }

    private mutating func fullness() -> [DiskProblem] {
        guard let usage else { return [] }
        var found: [DiskProblem] = []
        if space.status != .ok, let ratio = MountMachine.usedRatio(usage) {
            toldUsed.space = MountMachine.steady(toldUsed.space, ratio)
            found.append(.init(space.status, "\(toldUsed.space) % of its space is used"))
        } else {
            toldUsed.space = -1
        }
        if inodes.status != .ok, let ratio = MountMachine.usedInodesRatio(usage) {
            toldUsed.inodes = MountMachine.steady(toldUsed.inodes, ratio)
            found.append(.init(inodes.status, "\(toldUsed.inodes) % of its inodes are used"))
        } else {
            toldUsed.inodes = -1
        }
        if hoursLeft.status == .ok {
            toldLeft = nil
        } else {
            toldLeft = MountMachine.steady(toldLeft, timeLeft)
            let when = toldLeft.map { "in \(longTime($0))" } ?? "soon"
            found.append(.init(hoursLeft.status, "full \(when) if it goes on like this"))
        }
        return found
    }

    private func errorsProblem(_ facts: MountFacts, at now: Instant) -> DiskProblem? {
        guard let errors = facts.errors, errors > 0 else { return nil }
        if let rose = errorsRose, now - rose.at < MountMachine.errorHold {
            return .init(
                .critical, "\(facts.type) has noted new errors (\(errors) in all); check it with fsck")
        }
        let count = counted(Int(clamping: errors), "error", "errors")
        return .init(.warning, "\(facts.type) has noted \(count) since its last check; check it with fsck")
    }

    /// Per cent that are told: the old ones until it has moved by one and more.
    private static func steady(_ told: Int, _ ratio: Double) -> Int {
        told >= 0 && abs(ratio * 100 - Double(told)) < 1.5 ? told : wholePercent(ratio)
    }

    /// The time left that is told: the old one until it has moved by a quarter.
    private static func steady(_ told: Duration?, _ left: Duration?) -> Duration? {
        guard let told, let left else { return left ?? told }
        return left < told * 0.75 || left > told * 1.25 ? left : told
    }
}

// MARK: - Values

extension MountMachine {
    /// What is published beside the status.
    func values(at now: Instant) -> [NamedValue] {
        guard let facts else { return [] }
        var values: [NamedValue] = []
        if let usage { values += MountMachine.values(usage) }
        if let left = timeLeft { values.append(NamedValue("full_in_s", .number(left.inSeconds.rounded()))) }
        if let growth = spaceForecast.growthPerSecond {
            values.append(NamedValue("growth_bytes_per_s", .number(growth.rounded())))
        }
        if let age = askedAt.map({ now - $0 }), age >= .milliseconds(100) {
            values.append(NamedValue("unanswered_s", .number(age.inSeconds)))
        }
        if let errors = facts.errors {
            values.append(NamedValue("errors", .integer(Int64(clamping: errors))))
        }
        values.append(NamedValue("read_only", .flag(facts.isReadOnly)))
        return values
    }

    private static func values(_ usage: FileSystemUsage) -> [NamedValue] {
        var values = [
            NamedValue("size_bytes", .integer(Int64(clamping: usage.sizeBytes))),
            NamedValue("available_bytes", .integer(Int64(clamping: usage.availableBytes))),
        ]
        if let ratio = usedRatio(usage) { values.append(NamedValue("used_ratio", .number(ratio))) }
        if let ratio = usedInodesRatio(usage) {
            values.append(NamedValue("free_inodes", .integer(Int64(clamping: usage.freeInodes))))
            values.append(NamedValue("used_inodes_ratio", .number(ratio)))
        }
        return values
    }
}
