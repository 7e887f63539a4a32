// A folder in which a small file is written: how long that takes to reach the disk. A value: results and their
// absence in, findings out.
import Basics
import Configuration
import Detection
import Glibc
import Linux
import Wire

/// The state of one write probe.
struct ProbeMachine: Sendable {
    let subject: Subject
    private let hangAfter: Duration
    private var latency: Limit
    private var result: WriteProbe?
    private var trouble: DiskProblem? = DiskProblem(.unknown, "not written yet")
    private(set) var askedAt: Instant?
    private var hungTold: Duration?
    private var told: [DiskProblem]?
    private var toldLatency: Duration?
    private let dependsOn: [Subject]

    /// - Parameter dependsOn: the mount that the folder is on.
    init(_ options: DiskProbeOptions, hangAfter: Duration, dependsOn: [Subject]) {
        subject = Subject(.disk, options.name)
        latency = Limit(.above, options.latency)
        self.hangAfter = hangAfter
        self.dependsOn = dependsOn
    }

    // MARK: - Events

    mutating func asked(at now: Instant) { askedAt = now }

    mutating func wrote(_ probe: WriteProbe, at now: Instant) -> Finding? {
        (askedAt, hungTold, trouble, result) = (nil, nil, nil, probe)
        _ = latency.observed(probe.latency.inSeconds, at: now)
        return tell(at: now)
    }

    /// The write failed.
    mutating func failed(_ error: SystemError, at now: Instant) -> Finding? {
        (askedAt, hungTold, result) = (nil, nil, nil)
        switch error.number {
        // That we may not says nothing of the disk; EROFS is what a sandbox answers, too.
        case EACCES, EPERM, EROFS, ENOENT:
            trouble = .init(
                .unknown, "cannot be tried: \(error); let the agent write there (ReadWritePaths=)")
        default: trouble = .init(.critical, error.description)
        }
        return tell(at: now)
    }

    /// Too many calls hang for this one to be tried.
    mutating func notAsked(at now: Instant) -> Finding? {
        (askedAt, hungTold, result) = (nil, nil, nil)
        trouble = .init(.unknown, "not tried while so many file systems do not answer")
        return tell(at: now)
    }

    /// Time passed.
    mutating func tick(at now: Instant) -> Finding? {
        _ = latency.passed(now)
        return tell(at: now)
    }

    /// When the finding may change by time alone.
    var deadline: Instant? {
        let hang = askedAt.map { $0 + (hungTold.map { $0 * 2 } ?? hangAfter) }
        return [hang, latency.deadline].compactMap(\.self).min()
    }

    // MARK: - Telling

    private mutating func tell(at now: Instant) -> Finding? {
        let problems = [problem(at: now)]
        guard problems != told else { return nil }
        told = problems
        return finding(at: now)
    }

    /// What was told last, with the values of now.
    func finding(at now: Instant) -> Finding {
        Finding(
            subject, told?.status ?? .unknown, told?.reason ?? "not written yet", values: values(at: now),
            dependsOn: dependsOn)
    }

    private mutating func problem(at now: Instant) -> DiskProblem {
        if let age = askedAt.map({ now - $0 }), age >= hangAfter {
            if hungTold.map({ age >= $0 * 2 }) ?? true { hungTold = age }
            return .init(.critical, "a write is not done for \(seconds(hungTold ?? age))")
        }
        if let trouble { return trouble }
        guard latency.status != .ok, let result else {
            toldLatency = nil
            return .init(.ok, "writes reach the disk")
        }
        let value = result.latency
        if toldLatency.map({ value < $0 / 2 || value > $0 * 2 }) ?? true { toldLatency = value }
        let words = Int64((toldLatency ?? value).inMilliseconds.rounded())
        return .init(latency.status, "a write takes \(words) ms to reach the disk")
    }

    /// What is published beside the status.
    func values(at now: Instant) -> [NamedValue] {
        var values: [NamedValue] = []
        if let result {
            values.append(NamedValue("write_latency_s", .number(result.latency.inSeconds)))
            values.append(NamedValue("direct", .flag(result.isDirect)))
        }
        if let age = askedAt.map({ now - $0 }), age >= .milliseconds(100) {
            values.append(NamedValue("unanswered_s", .number(age.inSeconds)))
        }
        return values
    }
}
