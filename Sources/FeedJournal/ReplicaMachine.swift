// One channel of a replica: what is asked for next, and when. It pulls the bytes behind the place up to which it has
// everything, has them checked and written, and so moves on; it begins again where it stood after whatever goes wrong.
public import Basics
public import Wire

/// Up to where a replica has a channel's journal.
public struct ReplicaPosition: Hashable, Sendable {
    /// Segment 0: there is nothing yet.
    public var place = PullRequest.Place(segment: 0, offset: 0)
    /// Messages of this segment before the place.
    public var messages: UInt64 = 0
    /// When the last message was received.
    public var through: WallTime?
    /// The checksum of the segment's header; `nil`: it is not there yet, or damaged.
    public var header: UInt32?
    /// Damages that were taken since this was opened.
    public var damaged: UInt64 = 0
    /// Segments that lack their end here, since this was opened: they were gone over there before it was pulled.
    public var unended: UInt64 = 0

    public init() {}
}

/// Something for the thread that writes.
public enum ReplicaJob: Hashable, Sendable {
    /// Look at what is there, and cut what is torn.
    case open
    /// Check what came, and write what is whole of it. Where it begins a segment: whether the one before is known to end
    /// over there where it does here.
    case store(PulledBytes, [UInt8], isEndKnown: Bool)
    /// Remove segments that are too old.
    case expire
}

/// How a job ended.
public enum ReplicaOutcome: Hashable, Sendable {
    case done(ReplicaPosition)
    /// The disk refused; why, for a person.
    case failed(String)
    /// What came is not what was written over there, or not there any more; what is wrong, for a person.
    case refused(String)
    /// Something in what came is damaged. The same bytes once more, and it is taken for damaged over there.
    case doubted
}

/// The machine of one channel.
public struct ReplicaMachine: Sendable {
    public struct Options: Hashable, Sendable {
        /// How often it is asked once everything is there.
        public var every: Duration = .milliseconds(100)
        /// After a failure or a refusal it is tried again after this: each time at most a piece comes for nothing, the
        /// figures go on, and the other end, too, does not take it for silent.
        public var retryAfter: Duration = .milliseconds(1500)
        /// A request without an answer for so long is lost, and made again. Over a slow link a piece takes seconds, and
        /// each repeat is answered in full: nothing is lost as long as the connection lasts, but what is above the mark
        /// of the server.
        public var answerWithin: Duration = .seconds(30)
        /// Segments that are too old are looked for after so long, also when nothing comes any more.
        public var expireEvery: Duration = .seconds(600)

        public init() {}
    }

    public enum Action: Hashable, Sendable {
        /// Ask for what is behind `position`.
        case ask
        /// The caller says how it ended with `finished`.
        case perform(ReplicaJob)
    }

    private enum State {
        case closed(until: Instant)
        case opening
        case waiting(until: Instant)
        case asking(since: Instant)
        case storing(PulledBytes, asked: Instant)
        case expiring
    }

    public let options: Options
    public private(set) var position = ReplicaPosition()
    public private(set) var lag: ReplicaLag
    /// Why nothing is written; `nil`: nothing is in the way.
    public private(set) var trouble: String?
    /// The last answer was to ask later.
    private var isPutOff = false
    /// Whether the other end ever answered.
    public private(set) var hasHeard = false
    /// Messages and bytes that were written.
    public private(set) var messages: UInt64 = 0
    public private(set) var bytes: UInt64 = 0
    /// Damages over there, which are the same here.
    public private(set) var damaged: UInt64 = 0
    /// Segments that were gone before they could be pulled, or pulled to their end.
    public private(set) var missed: UInt64 = 0
    /// Requests that nobody answered.
    public private(set) var unanswered: UInt64 = 0
    private var state: State
    /// Whether the last segment of which something is here is known to end where it does here.
    private var isEndKnown = false
    /// When requests were made that nobody answered yet, oldest first; all but the last one were given up. Answers come in
    /// that order, and which one it is does not show: an answer knows what there was when its request was made, at the
    /// latest.
    private var asked: [Instant] = []
    /// When the last one was made: the pause before the next one is counted from there.
    private var askedLast: Instant
    /// Of more than these the oldest is not waited for any more.
    private static let mostAsked = 16
    /// When segments were last looked at, whether they are too old.
    private var expiredSince: Instant

    public init(options: Options = Options(), at now: Instant) {
        self.options = options
        lag = ReplicaLag(at: now)
        state = .closed(until: now)
        (expiredSince, askedLast) = (now, now)
    }

    /// When `next` is to be called; `nil`: when the job that is under way ends.
    public var deadline: Instant? {
        switch state {
        case .opening, .storing, .expiring: nil
        case .closed(let until), .waiting(let until): until
        case .asking(let since): since + options.answerWithin
        }
    }

    /// Whether a request is under way.
    public var isAsking: Bool { if case .asking = state { true } else { false } }

    /// Whether its answer is likely to be long: there is more than was pulled, as far as is known.
    public var expectsPiece: Bool { lag.messages > 0 || lag.coveredAt == nil }

    /// Since when a request waits for its turn; `nil`: none does.
    public func askingDue(at now: Instant) -> Instant? {
        guard case .waiting(let until) = state, until <= now, !isExpiryDue(at: now) else { return nil }
        return until
    }

    private func isExpiryDue(at now: Instant) -> Bool { expiredSince + options.expireEvery <= now }

    /// What is to be done now.
    ///
    /// - Parameter mayAsk: whether it is this channel's turn, where not all may ask at once.
    public mutating func next(at now: Instant, mayAsk: Bool = true) -> Action? {
        if case .asking(let since) = state, since + options.answerWithin <= now {
            unanswered &+= 1
            state = .waiting(until: since + options.answerWithin)
        }
        switch state {
        case .opening, .storing, .expiring, .asking: return nil
        case .closed(let until):
            guard until <= now else { return nil }
            state = .opening
            return .perform(.open)
        case .waiting(let until):
            guard until <= now else { return nil }
            if isExpiryDue(at: now) {
                state = .expiring
                return .perform(.expire)
            }
            guard mayAsk else { return nil }
            state = .asking(since: now)
            asked.append(now)
            askedLast = now
            if asked.count > ReplicaMachine.mostAsked { asked.removeFirst() }
            return .ask
        }
    }

    /// The other end is there again: whatever was asked may be lost.
    public mutating func connected(at now: Instant) {
        if case .asking = state { state = .waiting(until: now) }
    }

    // MARK: - Answers

    /// What is to be done with an answer, also to an earlier request for the same place.
    public mutating func answered(_ body: PullReply.Body, _ bytes: [UInt8], at now: Instant) -> Action? {
        guard let since = asked.first else { return nil }
        switch state {
        case .asking, .waiting: break
        case .closed, .opening, .storing, .expiring:
            // Of one that was given up; what it tells comes again.
            asked.removeFirst()
            return nil
        }
        switch body {
        case .channels: return nil
        case .refused(let reason, let retryAfter, let first):
            // To be put off says nothing of how far it is behind.
            heard(at: retryAfter == nil ? now : lag.heardAt)
            isPutOff = retryAfter != nil
            refused(reason, retryAfter, first, at: now)
            return nil
        case .bytes(let pulled):
            guard pulled.place == position.place || position.place.segment == 0 && pulled.place.offset == 0
            else {
                if asked.count > 1 { asked.removeFirst() }
                return nil
            }
            heard(at: now)
            isPutOff = false
            return take(pulled, bytes, since, at: now)
        }
    }

    private mutating func heard(at now: Instant) {
        (lag.heardAt, hasHeard) = (now, true)
        asked.removeFirst()
    }

    private mutating func take(
        _ pulled: PulledBytes, _ bytes: [UInt8], _ asked: Instant, at now: Instant
    ) -> Action? {
        if let header = position.header, let theirs = pulled.header, header != theirs {
            stop("segment \(position.place.segment) over there is another one than the one here", now)
            return nil
        }
        lag.messages = pulled.behind
        if bytes.isEmpty, pulled.size == position.place.offset {
            trouble = nil
            if let next = pulled.next {
                isEndKnown = isEndKnown || position.place.offset > 0
                begin(next)
            } else {
                lag.coveredAt = asked
            }
            state = .waiting(until: pulled.next == nil ? max(askedLast + options.every, now) : now)
            return nil
        }
        state = .storing(pulled, asked: asked)
        return .perform(.store(pulled, bytes, isEndKnown: isEndKnown))
    }

    private mutating func begin(_ segment: UInt64) {
        let isHere = position.place.offset > 0
        if position.place.segment > 0 { missed &+= segment - position.place.segment - (isHere ? 1 : 0) }
        position.place = PullRequest.Place(segment: segment, offset: 0)
        position.messages = 0
        position.header = nil
    }

    private mutating func refused(
        _ reason: String, _ retryAfter: Duration?, _ first: UInt64?, at now: Instant
    ) {
        if let retryAfter {
            state = .waiting(until: now + min(max(retryAfter, .milliseconds(1)), .seconds(10)))
        } else if let first, first > position.place.segment {
            begin(first)
            state = .waiting(until: now)
        } else {
            stop(reason, now)
        }
    }

    private mutating func stop(_ reason: String, _ now: Instant) {
        trouble = reason
        state = .waiting(until: now + options.retryAfter)
    }

    // MARK: - Jobs

    /// The job has ended.
    public mutating func finished(_ outcome: ReplicaOutcome, at now: Instant) {
        switch (state, outcome) {
        case (.opening, .done(let found)):
            position = found
            lag.through = found.through
            trouble = nil
            state = .waiting(until: now)
        case (.opening, .failed(let why)), (.opening, .refused(let why)):
            trouble = why
            state = .closed(until: now + options.retryAfter)
        case (.opening, .doubted): state = .closed(until: now + options.retryAfter)
        case (.storing(let pulled, let asked), .done(let reached)):
            stored(pulled, reached, asked, at: now)
        case (.storing, .failed(let why)), (.storing, .refused(let why)): stop(why, now)
        case (.storing, .doubted): state = .waiting(until: now)
        case (.expiring, _):
            expiredSince = now
            state = .waiting(until: now)
        case (.closed, _), (.waiting, _), (.asking, _): break
        }
    }

    private mutating func stored(
        _ pulled: PulledBytes, _ reached: ReplicaPosition, _ asked: Instant, at now: Instant
    ) {
        let isSame = reached.place.segment == position.place.segment
        let more = reached.messages &- (isSame ? min(position.messages, reached.messages) : 0)
        messages &+= more
        bytes &+= UInt64(max(0, reached.place.offset - pulled.place.offset))
        damaged &+= reached.damaged > position.damaged ? reached.damaged - position.damaged : 0
        missed &+= reached.unended > position.unended ? reached.unended - position.unended : 0
        isEndKnown = reached.place.offset == pulled.size && pulled.next != nil
        position = reached
        lag.through = reached.through
        lag.messages = pulled.behind > more ? pulled.behind - more : 0
        trouble = nil
        let isAll = reached.place.offset == pulled.size && pulled.next == nil
        if isAll { lag.coveredAt = asked }
        state = .waiting(until: isAll ? max(askedLast + options.every, now) : now)
    }

    // MARK: - Verdict

    /// How the replica is, and why, for a person.
    public func verdict(_ limits: ReplicaLimits, at now: Instant, wall: WallTime) -> (Status, String) {
        if let trouble { return (.critical, trouble) }
        guard hasHeard else { return (.unknown, "the other gateway did not answer yet") }
        return ReplicaDistance(
            messages: lag.messages, time: lag.time(at: now, wall: wall), silence: now - lag.heardAt
        ).verdict(limits, quiet: isPutOff ? "put off again and again" : "no answer")
    }
}
