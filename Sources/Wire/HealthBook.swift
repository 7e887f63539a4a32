// The publisher's side of the health bus: the current state of each subject, the count of changes, and what
// is to be published when. A pure machine; the agent and the gateway each own one.
public import Basics

/// Everything that one publisher says of its subjects.
public struct HealthBook: Sendable {
    /// What is to be done, in this order.
    public enum Action: Hashable, Sendable {
        /// Send these two frames.
        case publish(topic: String, payload: JSON)
        /// A change of state, for the log.
        case transition(StateMessage)
    }

    public let host: String
    public let incarnation: Incarnation
    /// The number of the latest change.
    public private(set) var change: Int64 = 0
    /// Reports that were refused: beyond the bound on subjects, or a name of no or more than 255 bytes.
    public private(set) var refused: UInt64 = 0
    /// Why this publisher is about to fall silent; `nil`: it is not.
    public private(set) var stopping: String?

    /// How long after its dependent a subject may fail, or after its own recovery be named, and still be
    /// the cause: watchers of one fault do not notice it in the order of cause and effect.
    public static let causeWindow: Duration = .seconds(2)

    /// What the subjects' numbers were lately.
    public internal(set) var past: HistoryBook
    public let heartbeatEvery: Duration
    let expiresAfter: Duration
    let stateEvery: Duration
    let mostSubjects: Int
    var entries: [Subject: Entry] = [:]
    /// In the order of their first reports, each with a number that no other one had or gets.
    var subjects: [Subject] = []
    var serials: [UInt64] = []
    private var lastSerial: UInt64 = 0
    /// Who names whom in `dependsOn`.
    var dependents: [Subject: [Subject]] = [:]
    private var nextHeartbeat = Instant.zero
    private var nextRepeat: Instant?

    public init(
        host: String, incarnation: Incarnation, heartbeatEvery: Duration = .milliseconds(250),
        expiresAfter: Duration = .seconds(1), stateEvery: Duration = .seconds(10), mostSubjects: Int = 10_000,
        history: HistoryLimits = HistoryLimits()
    ) {
        self.host = host
        self.incarnation = incarnation
        self.heartbeatEvery = heartbeatEvery
        self.expiresAfter = expiresAfter
        self.stateEvery = stateEvery
        self.mostSubjects = mostSubjects
        past = HistoryBook(history)
    }

    /// When `tick` is to be called next. A new book wants its first heartbeat at once.
    public var deadline: Instant { nextRepeat.map { min($0, nextHeartbeat) } ?? nextHeartbeat }

    /// The worst status of all subjects.
    public var worst: Status {
        var worst = Status.ok
        for entry in entries.values where !entry.isHearsay {
            if entry.message.status.severity > worst.severity { worst = entry.message.status }
        }
        return worst
    }

    /// The state of a subject as it was last changed, with its newest values.
    public func state(of subject: Subject) -> StateMessage? {
        entries[subject].flatMap { $0.isHearsay ? nil : $0.message }
    }
}

// MARK: - Events

extension HealthBook {
    /// A watcher says what a subject is. Another status, reason or cause is a change and is published at
    /// once; values alone ride along with the next message.
    public mutating func report(_ report: Report, at now: Instant, wall: WallTime) -> [Action] {
        let subject = report.subject
        guard admits(subject) else {
            refused &+= 1
            return []
        }
        let explained = entries[subject]?.explainsSince != nil
        let isNews = store(report, at: now, wall: wall)
        let cause = cause(of: subject, at: now)
        guard isNews || cause != entries[subject]?.message.cause else { return [] }
        let actions = announce(subject, cause: cause, at: now, wall: wall)
        return explained ? actions : actions + explainDependents(of: subject, at: now, wall: wall)
    }

    /// Another publisher says how a subject of its own is. It is not published here, but it can be the cause
    /// of what is: a gateway's feed path names the agent's NIC. Own subjects are not touched.
    public mutating func heard(
        _ subject: Subject, _ status: Status, at now: Instant, wall: WallTime
    ) -> [Action] {
        guard entries[subject]?.isHearsay ?? (entries.count < 2 * mostSubjects) else { return [] }
        let explained = entries[subject]?.explainsSince != nil
        let report = Report(subject, status, reason: "", detectedAt: wall)
        if entries[subject]?.take(report, at: now) == nil {
            var entry = Entry(first: report, stamp: stamp(wall), at: now)
            entry.isHearsay = true
            entries[subject] = entry
        }
        return explained ? [] : explainDependents(of: subject, at: now, wall: wall)
    }

    /// Another publisher's subject is not heard of any more, and explains nothing from now on.
    public mutating func forgetHeard(_ subject: Subject) {
        if entries[subject]?.isHearsay == true { entries[subject] = nil }
    }

    /// A measurement, which changes no state.
    public mutating func sample(_ sample: Sample, at now: Instant, wall: WallTime) -> [Action] {
        record(sample, at: now)
        let message = SampleMessage(stamp: stamp(wall), subject: sample.subject, values: sample.values)
        let topic = entries[sample.subject]?.sampleTopic ?? message.topic.text
        return [.publish(topic: topic, payload: message.json)]
    }

    /// A subject is no longer watched: its last state is a tombstone.
    public mutating func forget(_ subject: Subject, wall: WallTime) -> [Action] {
        guard let entry = entries[subject], !entry.isHearsay else { return [] }
        entries[subject] = nil
        past.forget(subject)
        var message = entry.retired(wall: wall)
        if let index = subjects.firstIndex(of: subject) {
            subjects.remove(at: index)
            serials.remove(at: index)
        }
        unlink(subject)
        change &+= 1
        message.stamp = stamp(wall)
        return [.publish(topic: message.topic.text, payload: message.json), .transition(message)]
    }

    /// The heartbeat and the repeats that are due.
    ///
    /// - Parameter cost: asked for a heartbeat only.
    public mutating func tick(at now: Instant, wall: WallTime, cost: @autoclosure () -> Cost) -> [Action] {
        var actions: [Action] = []
        if let due = nextRepeat, due <= now { actions += repeatStates(at: now, wall: wall) }
        if nextHeartbeat <= now {
            nextHeartbeat = nextMultiple(of: heartbeatEvery, after: now)
            actions.append(heartbeat(wall: wall, cost: cost()))
        }
        return actions
    }

    /// The publisher is about to fall silent, or is not after all: a heartbeat says so at once, and each one after it.
    public mutating func stops(because reason: String?, wall: WallTime, cost: Cost) -> [Action] {
        guard reason != stopping else { return [] }
        stopping = reason
        return [heartbeat(wall: wall, cost: cost)]
    }

    private func heartbeat(wall: WallTime, cost: Cost) -> Action {
        let message = HeartbeatMessage(
            stamp: stamp(wall), expiresAfter: expiresAfter, subjects: Int64(subjects.count), worst: worst,
            cost: cost, stopping: stopping)
        return .publish(topic: message.topic.text, payload: message.json)
    }

    /// All current states, as the `status` request is answered.
    public func snapshot(wall: WallTime) -> JSON {
        let states = subjects.compactMap { entries[$0]?.message(sentAt: wall) }
        return StatusDocument(stamp: stamp(wall), states: states).json
    }
}

// MARK: - Steps

extension HealthBook {
    func stamp(_ wall: WallTime) -> Stamp {
        Stamp(host: host, incarnation: incarnation, change: change, at: wall)
    }

    private func admits(_ subject: Subject) -> Bool {
        if let entry = entries[subject] { return !entry.isHearsay }
        return subjects.count < mostSubjects && (1...Topic.longestName).contains(subject.name.utf8.count)
    }

    /// Takes a report in; true if its status or reason is another one.
    private mutating func store(_ report: Report, at now: Instant, wall: WallTime) -> Bool {
        guard var entry = entries[report.subject] else {
            entries[report.subject] = Entry(first: report, stamp: stamp(wall), at: now)
            subjects.append(report.subject)
            lastSerial &+= 1
            serials.append(lastSerial)
            link(report.subject, to: report.dependsOn)
            return true
        }
        if entry.dependsOn != report.dependsOn {
            unlink(report.subject)
            link(report.subject, to: report.dependsOn)
        }
        let isNews = take(report, into: &entry, at: now)
        entries[report.subject] = entry
        return isNews
    }

    /// Tells the cause of what failed shortly before `subject` did.
    private mutating func explainDependents(of subject: Subject, at now: Instant, wall: WallTime) -> [Action]
    {
        guard entries[subject]?.explainsSince != nil else { return [] }
        var actions: [Action] = []
        for late in unexplainedDependents(of: subject, at: now) {
            actions += announce(late.subject, cause: late.cause, at: now, wall: wall)
        }
        return actions
    }

    /// Gives a state the next number and publishes it.
    private mutating func announce(
        _ subject: Subject, cause: Subject?, at now: Instant, wall: WallTime
    ) -> [Action] {
        guard var entry = entries[subject] else { return [] }
        change &+= 1
        entry.message.cause = cause
        entry.message.stamp = stamp(wall)
        entry.repeatAt = now + stateEvery
        entries[subject] = entry
        nextRepeat = nextRepeat.map { min($0, entry.repeatAt) } ?? entry.repeatAt
        return [entry.publication(wall: wall), .transition(entry.message)]
    }

    /// Repeats what is due, and what will be before the next heartbeat: one wake-up serves many.
    private mutating func repeatStates(at now: Instant, wall: WallTime) -> [Action] {
        var actions: [Action] = []
        nextRepeat = nil
        for subject in subjects {
            guard let due = entries[subject]?.repeatAt else { continue }
            var next = due
            if due - heartbeatEvery < now {
                next = now + stateEvery
                entries[subject]?.repeatAt = next
                if let entry = entries[subject] { actions.append(entry.publication(wall: wall)) }
            }
            nextRepeat = nextRepeat.map { min($0, next) } ?? next
        }
        return actions
    }
}
