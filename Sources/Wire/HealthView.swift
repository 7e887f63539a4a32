// The subscriber's side of the health bus, for one publisher: joins without a gap, notices what it missed,
// and knows when what it holds is no longer worth anything. A pure machine; README.md beside this file has
// the rules of joining.
public import Basics

/// What one subscriber knows of one publisher.
public struct HealthView: Sendable {
    /// What a message, an answer or the passing of time meant.
    public enum Event: Hashable, Sendable {
        /// A subject's state is another one; `from` is `nil` if it was not known before.
        case changed(StateMessage, from: Status?)
        /// A subject is no longer watched.
        case gone(Subject)
        case sampled(SampleMessage)
        case heartbeat(HeartbeatMessage)
        /// The publisher is about to fall silent, and why; `nil`: it is not after all.
        case stopping(String?)
        /// No heartbeat for as long as the publisher allows: all its subjects count as unknown.
        case hostExpired
        case hostBack
        /// The publisher was started anew: what was known is void. Ask for `status`.
        case newIncarnation(Incarnation)
        /// Changes with these numbers did not arrive. Ask for `status`.
        case missed(SequenceRange)
        /// The subscription to `sync/<nonce>/` is in place, and all before it too. Ask for `status`.
        case synced(nonce: String)
        /// A message was ignored: it is not what the document says.
        case malformed(String)
    }

    /// Whether the publisher can be heard.
    public enum Liveness: Hashable, Sendable {
        case neverHeard
        case alive
        case expired
    }

    public private(set) var host: String?
    public private(set) var incarnation: Incarnation?
    public private(set) var liveness = Liveness.neverHeard
    /// Why the publisher said that it would fall silent; `nil`: it did not.
    public private(set) var stopping: String?
    /// Messages that were ignored because they are not what the document says.
    public private(set) var malformed: UInt64 = 0
    /// Messages of an earlier run, or older than what is known.
    public private(set) var outdated: UInt64 = 0
    /// States that were ignored because the bound on subjects was reached.
    public private(set) var refused: UInt64 = 0

    private let mostSubjects: Int
    private var expiresAfter: Duration
    private var lastHeard: Instant?
    /// Tombstones too, until a status document that is newer has come.
    private var messages: [Subject: StateMessage] = [:]
    /// Subjects of the run before, until a status document says which of them there are in this one.
    private var former: Set<Subject> = []
    /// The `change` of the newest status document; `nil`: not joined yet.
    private var snapshotChange: Int64?
    /// Up to here, every change has arrived or was told as missed; counts from the marker or the status
    /// document on, because what comes before repeats older numbers in any order.
    private var seenChange: Int64 = 0
    private var isCounting = false
    /// The highest change that was told as missed and that no status document has covered.
    private var missing: Int64?

    /// - Parameters:
    ///   - host: whose messages are taken; `nil`: those of the first host heard.
    ///   - expiresAfter: holds until a heartbeat brings the publisher's own.
    public init(host: String? = nil, expiresAfter: Duration = .seconds(2), mostSubjects: Int = 10_000) {
        self.host = host
        self.expiresAfter = expiresAfter
        self.mostSubjects = mostSubjects
    }

    /// Whether a status document has been received in this incarnation and covers all that was missed.
    public var isComplete: Bool { snapshotChange != nil && missing == nil }

    /// When `tick` is to be called next.
    public var deadline: Instant? {
        guard liveness != .expired else { return nil }
        return lastHeard.map { $0 + expiresAfter }
    }

    /// All states, ordered by subject. Of an expired host they are `unknown`.
    public var currentStates: [StateMessage] {
        messages.values.filter { !$0.isGone }.map(asSeenNow).sorted {
            ($0.subject.kind.rawValue, $0.subject.name) < ($1.subject.kind.rawValue, $1.subject.name)
        }
    }

    /// The state of one subject; `nil` if it is not known.
    public func state(of subject: Subject) -> StateMessage? {
        guard let message = messages[subject], !message.isGone else { return nil }
        return asSeenNow(message)
    }

    private func asSeenNow(_ message: StateMessage) -> StateMessage {
        guard liveness == .expired else { return message }
        var message = message
        message.status = .unknown
        message.reason =
            stopping.map { "\(message.stamp.host) stopped: \($0)" }
            ?? "no heartbeat from \(message.stamp.host)"
        return message
    }
}

// MARK: - Events

extension HealthView {
    /// The two frames of a message.
    public mutating func received(
        topic: some Collection<UInt8>, payload: some Collection<UInt8>, at now: Instant
    ) -> [Event] {
        do {
            return try read(topic: try Topic(parsing: topic), JSON(parsing: payload), at: now)
        } catch let error as WireError {
            return ignore("\(error)")
        } catch let error as TopicError {
            return ignore("\(error)")
        } catch {
            return ignore("payload: \(error)")
        }
    }

    /// The answer to the `status` request, asked for after `synced`, `missed` or `newIncarnation`.
    public mutating func statusReply(_ json: JSON, at now: Instant) -> [Event] {
        let document: StatusDocument
        do throws(WireError) {
            document = try StatusDocument(json: json)
        } catch {
            return ignore("status: \(error)")
        }
        var events: [Event] = []
        guard admit(document.stamp, at: now, events: &events) else { return events }
        if snapshotChange.map({ document.stamp.change < $0 }) ?? false {
            outdated &+= 1
            return events
        }
        events += apply(document)
        return events
    }

    /// Time passed.
    public mutating func tick(at now: Instant) -> [Event] {
        guard let deadline, deadline <= now else { return [] }
        liveness = .expired
        return [.hostExpired]
    }
}

// MARK: - Steps

extension HealthView {
    private mutating func ignore(_ reason: String) -> [Event] {
        malformed &+= 1
        return [.malformed(reason)]
    }

    private mutating func read(topic: Topic, _ json: JSON, at now: Instant) throws -> [Event] {
        var events: [Event] = []
        switch topic {
        case .state:
            let message = try StateMessage(json: json)
            guard message.topic == topic else { return ignore("\(topic) carries \(message.topic)") }
            if admit(message.stamp, at: now, events: &events) { events += apply(message) }
        case .sample:
            let message = try SampleMessage(json: json)
            guard message.topic == topic else { return ignore("\(topic) carries \(message.topic)") }
            if admit(message.stamp, at: now, events: &events) { events.append(.sampled(message)) }
        case .heartbeat:
            let message = try HeartbeatMessage(json: json)
            guard message.topic == topic else { return ignore("\(topic) carries \(message.topic)") }
            if admit(message.stamp, at: now, events: &events) { events += apply(message, at: now) }
        case .sync:
            let message = try SyncMessage(json: json)
            guard message.topic == topic else { return ignore("\(topic) carries \(message.topic)") }
            if admit(message.stamp, at: now, events: &events) { events += apply(message) }
        case .marketData, .batch, .control: return ignore("\(topic) is not of the health bus")
        }
        return events
    }

    /// Whether the message is of our publisher's current run; a later run voids what was known.
    private mutating func admit(_ stamp: Stamp, at now: Instant, events: inout [Event]) -> Bool {
        guard host == nil || host == stamp.host else {
            events += ignore("host \"\(stamp.host)\", expected \"\(host ?? "")\"")
            return false
        }
        host = stamp.host
        lastHeard = lastHeard ?? now
        guard let known = incarnation, known != stamp.incarnation else {
            incarnation = stamp.incarnation
            return true
        }
        guard known < stamp.incarnation else {
            outdated &+= 1
            return false
        }
        incarnation = stamp.incarnation
        stopping = nil
        for (subject, message) in messages where !message.isGone && former.count < mostSubjects {
            former.insert(subject)
        }
        messages.removeAll()
        snapshotChange = nil
        seenChange = 0
        isCounting = false
        missing = nil
        events.append(.newIncarnation(stamp.incarnation))
        return true
    }

    private mutating func apply(_ message: HeartbeatMessage, at now: Instant) -> [Event] {
        expiresAfter = message.expiresAfter
        lastHeard = now
        let wasExpired = liveness == .expired
        liveness = .alive
        let isNews = stopping != message.stopping
        stopping = message.stopping
        return (wasExpired ? [.hostBack] : []) + [.heartbeat(message)]
            + (isNews ? [.stopping(message.stopping)] : []) + advance(to: message.stamp.change)
    }

    private mutating func apply(_ message: StateMessage) -> [Event] {
        let gap = advance(to: message.stamp.change - 1)
        if isCounting { seenChange = max(seenChange, message.stamp.change) }
        return gap + keep(message)
    }

    /// From here on the pipe is in order; what changed before is in the status document to come.
    private mutating func apply(_ message: SyncMessage) -> [Event] {
        isCounting = true
        if message.stamp.change > seenChange {
            seenChange = message.stamp.change
            missing = message.stamp.change
        }
        return [.synced(nonce: message.nonce)]
    }

    /// Every change up to this one should have arrived; says which ones did not, once.
    private mutating func advance(to change: Int64) -> [Event] {
        guard isCounting, change > seenChange else { return [] }
        let range = SequenceRange(UInt64(seenChange + 1), UInt64(change))
        seenChange = change
        missing = change
        return [.missed(range)]
    }

    /// Keeps a state if it is newer than what is known of its subject; a repeat refreshes the values.
    private mutating func keep(_ message: StateMessage) -> [Event] {
        let known = messages[message.subject]
        let floor = known?.stamp.change ?? (snapshotChange.map { $0 + 1 } ?? 0)
        guard message.stamp.change >= floor else {
            outdated &+= 1
            return []
        }
        guard known != nil || hasRoom() else {
            refused &+= 1
            return []
        }
        messages[message.subject] = message
        guard known?.stamp.change != message.stamp.change else { return [] }
        let wasKnown = known.map { !$0.isGone } ?? false
        guard !message.isGone else { return wasKnown ? [.gone(message.subject)] : [] }
        return [.changed(message, from: wasKnown ? known?.status : nil)]
    }

    private mutating func hasRoom() -> Bool {
        if messages.count >= mostSubjects { messages = messages.filter { !$0.value.isGone } }
        return messages.count < mostSubjects
    }

    /// Puts a status document under what has arrived since it was written.
    private mutating func apply(_ document: StatusDocument) -> [Event] {
        let change = document.stamp.change
        var events: [Event] = []
        let listed = Set(document.states.map(\.subject))
        for subject in former where messages[subject]?.isGone ?? !listed.contains(subject) {
            events.append(.gone(subject))
        }
        former = []
        for (subject, message) in messages where message.stamp.change <= change && !listed.contains(subject) {
            messages[subject] = nil
            if !message.isGone { events.append(.gone(subject)) }
        }
        snapshotChange = nil
        for state in document.states { events += keep(state) }
        snapshotChange = change
        seenChange = max(seenChange, change)
        if !isCounting { seenChange = messages.values.reduce(seenChange) { max($0, $1.stamp.change) } }
        isCounting = true
        if let told = missing, told > change {
            events.append(.missed(SequenceRange(UInt64(change + 1), UInt64(told))))
        } else {
            missing = nil
        }
        return events
    }
}
