// The rules for changing sessions: whom to believe, when to leave, what to do with stragglers, and when to
// go back.
import Basics

extension Arbiter {
    /// How many left sessions are remembered.
    private static let leftCapacity = 8
    /// How often a path may go back to the old session before the new one is taken for noise.
    private static let returnsAllowed = 2

    /// No word of another session is in doubt, and none is entered.
    public var isSettled: Bool {
        if case .settled = stage { return true }
        return false
    }

    /// The old epoch is being released, or what waited for the new one is.
    var isChanging: Bool {
        if case .leaving = stage { return true }
        return !backlog.isEmpty
    }

    var changeDeadline: Instant? {
        guard case .doubted(let candidate) = stage else { return nil }
        let isSure = candidate.isConfirmed || candidate.moved == 0
        return candidate.since + (isSure ? options.reorderTime : options.epochQuiet)
    }

    /// A word of another session, or one that comes while the session changes.
    mutating func meet(_ arrival: Arrival, _ payload: ArraySlice<UInt8>?, at now: Instant) -> Offer {
        if isChanging { return wait(arrival, payload) }
        if let index = left.firstIndex(where: { $0.session == arrival.session }) {
            return straggle(arrival, payload, of: index, at: now)
        }
        strayed &= ~arrival.pathBit
        guard park(arrival, payload, at: now) else {
            counters.implausible += 1
            return .refused
        }
        decideChange(at: now, grace: ArbiterOptions.grace)
        return .held
    }

    /// The caller offers before it has drained: what belongs to the new epoch queues up behind the rest.
    private mutating func wait(_ arrival: Arrival, _ payload: ArraySlice<UInt8>?) -> Offer {
        var next = session
        if case .leaving(let departure) = stage { next = departure.session }
        guard arrival.session == next else {
            counters.oldEpoch += 1
            return .oldEpoch
        }
        guard let payload else { return .held }
        return queue(arrival, payload) ? .held : .refused
    }

    /// Puts a message behind those that wait for the new epoch.
    mutating func queue(_ arrival: Arrival, _ payload: ArraySlice<UInt8>) -> Bool {
        guard backlog.count < options.reorderCount else {
            counters.overflow += 1
            return false
        }
        counters.held += 1
        backlog.append(HeldMessage(arrival: arrival, epoch: 0, payload: Array(payload)))
        return true
    }

    /// A word of a session that was left. Only when every path went back to it, and the current session has
    /// been silent, was it wrong to leave.
    private mutating func straggle(
        _ arrival: Arrival, _ payload: ArraySlice<UInt8>?, of index: Int, at now: Instant
    ) -> Offer {
        counters.oldEpoch += 1
        strayed |= arrival.pathBit
        left[index].confirm(arrival)
        let silentSince = max(lastAdvance, lastWord)
        guard left[index].isConfirmed, paths.active & ~strayed == 0, now - silentSince >= options.epochQuiet
        else { return .oldEpoch }
        let back = left[index]
        leave(
            Departure(
                session: back.session, epoch: back.epoch, cause: .resumed, start: back.expected,
                decidedAt: now))
        guard let payload else { return .held }
        return queue(arrival, payload) ? .held : .refused
    }

    /// Keeps what another session brought; false: a third session, while the second is still in doubt.
    private mutating func park(
        _ arrival: Arrival, _ payload: ArraySlice<UInt8>?, at now: Instant
    ) -> Bool {
        var candidate = SessionCandidate(arrival, at: now)
        if case .doubted(let earlier) = stage {
            if earlier.session == arrival.session {
                candidate = earlier
            } else {
                guard earlier.moved == 0 else { return false }
                refute(earlier)
            }
        }
        stage = .settled
        candidate.confirm(arrival)
        if let payload {
            counters.held += 1
            candidate.messages.append(HeldMessage(arrival: arrival, epoch: 0, payload: Array(payload)))
        } else {
            candidate.announced = max(candidate.announced, arrival.sequence)
        }
        stage = .doubted(candidate)
        return true
    }

    /// A path that had moved to another session spoke of the current one again.
    mutating func pathReturned(_ arrival: Arrival) {
        guard case .doubted(var candidate) = stage, candidate.moved & arrival.pathBit != 0 else { return }
        stage = .settled
        candidate.moved &= ~arrival.pathBit
        candidate.returns += 1
        stage = .doubted(candidate)
    }

    /// Leaves for the other session, forgets it, or waits on.
    mutating func decideChange(at now: Instant, grace: Duration = .zero) {
        guard case .doubted(let candidate) = stage else { return }
        let waited = now - candidate.since - grace
        let haveAllMoved = candidate.moved != 0 && paths.active & ~candidate.moved == 0
        if candidate.isConfirmed && haveAllMoved || candidate.messages.count >= options.reorderCount {
            return accept(candidate, at: now)
        }
        if waited >= options.reorderTime, candidate.moved == 0 { return refute(candidate) }
        let limit = candidate.isConfirmed ? options.reorderTime : options.epochQuiet
        guard waited >= limit else { return }
        if candidate.returns <= Self.returnsAllowed { accept(candidate, at: now) } else { refute(candidate) }
    }

    private mutating func refute(_ candidate: SessionCandidate) {
        stage = .settled
        counters.implausible += UInt64(max(1, candidate.messages.count))
    }

    private mutating func accept(_ candidate: SessionCandidate, at now: Instant) {
        let heard = candidate.messages.map(\.arrival.sequence).min()
        var start = heard ?? candidate.announced
        if candidate.announced != 0 { start = min(start, candidate.announced) }
        if let first = options.sessionStart, start >= first, start - first <= options.sessionStartReach {
            start = first
        }
        backlog.append(contentsOf: candidate.messages)
        leave(
            Departure(
                session: candidate.session, epoch: candidate.session, cause: .session, start: start,
                announced: candidate.announced, decidedAt: now))
    }

    /// Nobody was there for so long: what came meanwhile waits to be read, so that the time counts against nothing that is
    /// waited for, and is no silence.
    public mutating func skip(_ time: Duration) {
        guard hasBegun else { return }
        holes.skip(time)
        if let state = catchUp { catchUp?.since = state.since + time }
        (lastAdvance, lastWord, startedAt) = (lastAdvance + time, lastWord + time, startedAt + time)
        run.since = run.since + time
        guard case .doubted(var candidate) = stage else { return }
        stage = .settled
        candidate.since = candidate.since + time
        stage = .doubted(candidate)
    }

    /// Nothing more of the old epoch is waited for.
    mutating func leave(_ departure: Departure) {
        let lost = max(expected, givenUp.through &+ 1)
        if catchUp != nil, lost <= highest { losses.append(.left(SequenceRange(lost, highest))) }
        givenUp.extend(through: highest, cause: .epochLeft)
        stage = .leaving(departure)
    }

    /// Enters the next epoch once everything of the old one is released; `nil`: not now.
    mutating func enterNext() -> EpochChange? {
        guard case .leaving(let departure) = stage, !hasHole else { return nil }
        let change = EpochChange(from: epoch, epoch: departure.epoch, cause: departure.cause)
        left.removeAll { $0.session == departure.session }
        if departure.session != session {
            if left.count == Self.leftCapacity { left.removeFirst() }
            left.append(LeftSession(session: session, epoch: epoch, expected: expected))
        }
        (session, epoch, stage, strayed) = (departure.session, departure.epoch, .settled, 0)
        isResumed = departure.cause == .resumed
        holes.removeAll()
        start(at: departure.start, at: departure.decidedAt)
        announce(departure)
        counters.epochs += 1
        if departure.cause == .inferred { counters.inferredEpochs += 1 }
        return change
    }

    private mutating func announce(_ departure: Departure) {
        guard departure.announced > expected else { return }
        highest = departure.announced - 1
        holes.open(through: highest, at: departure.decidedAt)
    }
}
