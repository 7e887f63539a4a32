// A session that is taken from its beginning although it has long begun: what was sent before is asked of the venue's
// servers, and comes much slower than a hole is waited for. Until nothing is missing any more the window takes only what
// its room reaches; what comes further ahead is passed over, since it is asked for in its turn, too.
public import Basics

/// What may be asked of the past.
public struct CatchUpOptions: Hashable, Sendable {
    /// Messages that may be missing when it begins.
    public var most: UInt64
    /// What nobody has brought anything of for so long is given up.
    public var patience: Duration = .seconds(10)

    public init(most: UInt64) { self.most = most }

    /// A session of which more is missing runs away: the venue sends faster than its servers do, and that does not end.
    public var runaway: UInt64 { most &+ max(most, 1000) }
}

/// Why what was asked of the past is waited for no longer.
public enum CatchUpLoss: Hashable, Sendable {
    /// Nobody sent anything of this any more.
    case silent(SequenceRange)
    /// More than may be was missing by then.
    case ranAway(SequenceRange)
    /// The venue began another session.
    case left(SequenceRange)

    /// What was given up.
    public var range: SequenceRange {
        switch self {
        case .silent(let range), .ranAway(let range), .left(let range): range
        }
    }
}

/// A channel that is behind its session.
struct CatchUp {
    let options: CatchUpOptions
    /// The number that was delivered next when it was looked at, and since when that is so.
    var expected: UInt64
    var since: Instant
    /// The highest number that was held when something was given up last: what is missing below it has been asked for as
    /// long as that, too.
    var reach: UInt64 = 0
    /// Something was given up when it was looked at last.
    var hasGivenUp = false

    var deadline: Instant { since + options.patience }
}

extension Arbiter {
    /// Whether the channel is behind its session, and what is missing is still being sent.
    public var isCatchingUp: Bool { catchUp != nil }

    /// How many numbers lie between what was delivered and the last one that is known; 0: it is not catching up.
    public var behind: UInt64 { catchUp == nil || !hasHole ? 0 : highest - expected + 1 }

    /// The channel goes on behind a number, 0 from the beginning, before its first word: all that was sent since then
    /// is missing, and is waited for as long as it comes.
    /// - Parameter next: the number of that first word, however far ahead it is.
    public mutating func catchUp(
        _ session: UInt64, after last: UInt64, before next: UInt64, _ options: CatchUpOptions, at now: Instant
    ) {
        guard !hasBegun, last < .max - 1 else { return }
        resume(session, after: last, at: now)
        guard next > expected else { return }
        catchUp = CatchUp(options: options, expected: expected, since: now)
        highest = next - 1
        holes.open(through: highest, at: now)
    }

    /// What of the past was given up since this was asked last, in order.
    public mutating func takeLosses() -> [CatchUpLoss] {
        guard !losses.isEmpty else { return [] }
        defer { losses = [] }
        return losses
    }

    /// What comes further ahead than the window reaches, or has room, is known to exist, and asked for later.
    func isBeyondReach(_ sequence: UInt64) -> Bool {
        catchUp != nil && (sequence - expected >= UInt64(options.reorderCount) || isOutOfRoom)
    }

    /// More bytes wait than may.
    var isOutOfRoom: Bool { window.bytes > options.reorderBytes }

    mutating func passOver(_ arrival: Arrival, at now: Instant) -> Offer {
        paths.received(arrival, isFirst: false)
        counters.passedOver += 1
        lastAdvance = now
        guard arrival.sequence > highest else { return .refused }
        highest = arrival.sequence
        holes.extend(through: highest, at: now, within: options.reorderTime)
        return .refused
    }

    /// Gives up when nothing comes any more, or the session runs away. What nobody has although what follows it came is
    /// given up by itself.
    mutating func judgeCatchUp(at now: Instant) {
        guard var state = catchUp else { return }
        if state.expected != expected {
            // What was let go behind a hole that was given up brought nothing new.
            if !state.hasGivenUp { state.since = now }
            (state.expected, state.hasGivenUp) = (expected, false)
        }
        catchUp = state
        let isRunaway = behind > state.options.runaway
        guard now >= state.deadline || isRunaway else { return }
        guard hasHole else { return catchUp = nil }
        if !isRunaway, let held = window.lowest(above: expected) {
            let through = max(held - 1, state.reach)
            (state.since, state.reach, state.hasGivenUp) = (now, window.highest ?? 0, true)
            catchUp = state
            losses.append(.silent(SequenceRange(expected, through)))
            return givenUp.extend(through: through, cause: .timeout)
        }
        let range = SequenceRange(expected, highest)
        losses.append(isRunaway ? .ranAway(range) : .silent(range))
        givenUp.extend(through: highest, cause: .givenUp)
        catchUp = nil
    }

    /// It is over when nothing is missing.
    mutating func settleCatchUp() {
        if catchUp != nil, expected > first, !hasHole { catchUp = nil }
    }
}
