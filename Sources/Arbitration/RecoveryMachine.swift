// Decides what to ask of the venue's re-request servers. Only holes make it ask, never duplicates: what the
// other path may still bring is left alone for a while, then each missing range is asked for, within a quota, and
// again until it is filled or the arbiter tells it as a gap. A server that does not answer is passed over, and one that
// refused a range for good is not asked for it again.
//
// How to use it: tell `suspect` while numbers are missing, call `look` at `deadline` with what is missing then and
// send what it returns; tell what came back.
public import Basics
import DequeModule

/// The re-requests of one channel.
public struct RecoveryMachine: Sendable {
    /// A request that is under way, less what was answered.
    private struct Ask {
        var range: SequenceRange
        var server: Int
        /// The first number as it was asked for, by which a server names the request.
        let asked: UInt64
        /// When it is given up, or its rest asked for again.
        var due: Instant
        var isAnswered = false
    }

    /// What servers will not send, whenever they are asked.
    private struct Refusal {
        var range: SequenceRange
        var servers: Set<Int>
    }

    /// Refusals that are remembered; beyond it the one of the lowest numbers is forgotten, and asked for again.
    private static let mostRefusals = 256

    public let options: RecoveryOptions
    public private(set) var counters = RecoveryCounters()
    /// When `look` must be called; `nil`: nothing is missing.
    public private(set) var deadline: Instant?

    private var asks: [Ask] = []
    /// None overlaps another one.
    private var refusals: [Refusal] = []
    /// The server that is asked next, unless it rests.
    private var preferred = 0
    /// A server that has nothing is left alone until then.
    private var restsUntil: [Instant?]
    /// When the requests of the last second were sent.
    private var sent: Deque<Instant> = []

    /// - Parameter sent: when a machine with other options, whose place this one takes, sent its last requests.
    /// - Precondition: 1 to 8 servers.
    public init(options: RecoveryOptions, sent: [Instant] = []) {
        precondition((1...8).contains(options.servers), "a recovery has 1 to 8 servers")
        self.options = options
        restsUntil = Array(repeating: nil, count: options.servers)
        self.sent = Deque(sent)
    }

    /// When the last requests were sent, all those of the last second among them.
    public var sentLately: [Instant] { Array(sent) }

    /// Whether answers are waited for.
    public var isWaiting: Bool { !asks.isEmpty }

    /// Something is missing, perhaps only since now.
    public mutating func suspect(at now: Instant) { bring(forward: now + options.patience) }

    /// A server sent these messages. What is left of the request that asked for them is asked for soon.
    /// - Parameter server: `nil`: they do not say which; all that were asked for them may have.
    public mutating func answered(_ range: SequenceRange, by server: Int?, at now: Instant) {
        if let server { restsUntil[server] = nil }
        for index in asks.indices.reversed()
        where (server == nil || asks[index].server == server) && overlap(asks[index].range, range) {
            answered(index, range, at: now)
        }
    }

    private mutating func answered(_ index: Int, _ range: SequenceRange, at now: Instant) {
        counters.answers += 1
        guard asks[index].range.last > range.last else {
            asks.remove(at: index)
            return bring(forward: now)
        }
        asks[index].range.first = max(asks[index].range.first, range.last + 1)
        asks[index].isAnswered = true
        asks[index].due = now + options.restAfter
        bring(forward: asks[index].due)
    }

    /// A server said that it has nothing of what it was asked for, or it could not be asked.
    public mutating func refused(by server: Int, at now: Instant) {
        let before = asks.count
        asks.removeAll { $0.server == server }
        counters.unanswered += UInt64(before - asks.count)
        restsUntil[server] = now + options.answerWithin
        passOver(server)
        if deadline != nil { bring(forward: now) }
    }

    /// A server said that it will not send what it was asked for from this number on. `isFinal`: at no other time
    /// either, so that only others are asked for it; else it rests for a while.
    /// - Parameter count: how many were asked for, as the server says it again; 0: it does not, or what it says may be of
    ///   numbers that began again since.
    public mutating func refused(
        from first: UInt64, count: UInt64 = 0, by server: Int, isFinal: Bool, at now: Instant
    ) {
        let (end, isTooFar) = first.addingReportingOverflow(count)
        let refusedLast = count > 0 && !isTooFar ? end - 1 : 0
        guard let index = asks.firstIndex(where: { $0.server == server && $0.asked == first }) else {
            // Another one brought its end meanwhile. What is missing of it is not asked of this one again.
            if isFinal, refusedLast >= first { bar(server, from: SequenceRange(first, refusedLast)) }
            return
        }
        // All of it, also what comes before the last number that was brought: of that some may still be missing. And the
        // request may have been a longer one with the same beginning.
        let range = SequenceRange(first, max(asks.remove(at: index).range.last, refusedLast))
        counters.unanswered += 1
        if isFinal {
            bar(server, from: range)
        } else {
            restsUntil[server] = now + options.answerWithin
            passOver(server)
        }
        bring(forward: now)
    }

    private mutating func bar(_ server: Int, from range: SequenceRange) {
        var (next, kept) = (range.first, [Refusal]())
        var isOver = false
        // What lies between those that are known, and each of these in up to three parts.
        for known in refusals.sorted(by: { $0.range.first < $1.range.first }) {
            guard overlap(known.range, range) else {
                kept.append(known)
                continue
            }
            let common = SequenceRange(max(known.range.first, range.first), min(known.range.last, range.last))
            if next < common.first {
                kept.append(Refusal(range: SequenceRange(next, common.first - 1), servers: [server]))
            }
            if known.range.first < common.first {
                let before = SequenceRange(known.range.first, common.first - 1)
                kept.append(Refusal(range: before, servers: known.servers))
            }
            kept.append(Refusal(range: common, servers: known.servers.union([server])))
            if known.range.last > common.last {
                let behind = SequenceRange(common.last + 1, known.range.last)
                kept.append(Refusal(range: behind, servers: known.servers))
            }
            isOver = common.last == range.last
            next = common.last &+ 1
        }
        if !isOver { kept.append(Refusal(range: SequenceRange(next, range.last), servers: [server])) }
        refusals = kept.suffix(RecoveryMachine.mostRefusals)
    }

    /// A request was not sent after all: its server cannot be asked before then.
    public mutating func withdrawn(_ request: RecoveryRequest, until end: Instant, at now: Instant) {
        guard let index = asks.lastIndex(where: { $0.server == request.server && $0.range == request.range })
        else { return }
        asks.remove(at: index)
        counters.requests -= 1
        restsUntil[request.server] = end
        passOver(request.server)
        bring(forward: now)
    }

    /// Nobody can be asked for what is missing, which no server is to blame for.
    public mutating func wait(at now: Instant) { deadline = now + options.patience }

    /// The numbering began anew: nothing that was asked for matters any more.
    public mutating func reset() {
        asks = []
        refusals = []
        deadline = nil
    }

    /// Time has passed, or an answer came: what is to be asked now.
    /// - Parameter missing: what has been missing for `options.patience`.
    public mutating func look(_ missing: Missing, at now: Instant) -> [RecoveryRequest] {
        forget(missing)
        expire(at: now)
        deadline = missing.ripensAt
        var requests: [RecoveryRequest] = []
        for range in missing.ranges {
            var first = range.first
            while let part = unasked(from: first, through: range.last) {
                let last: UInt64
                switch ask(part, at: now) {
                case .sent(let request):
                    requests.append(request)
                    last = request.range.last
                case .nobody(let end): last = end
                case .notNow: return requests
                }
                guard last < range.last else { break }
                first = last + 1
            }
        }
        for ask in asks { bring(forward: ask.due) }
        return requests
    }

    // MARK: - Asking

    /// What became of the wish to ask for something.
    private enum Asked {
        case sent(RecoveryRequest)
        /// Who did not refuse it rests: nobody may be asked for what is missing up to there.
        case nobody(through: UInt64)
        /// Nobody may be asked for anything.
        case notNow
    }

    /// Asks for the beginning of a range. If not now, the deadline says when.
    private mutating func ask(_ range: SequenceRange, at now: Instant) -> Asked {
        for ask in asks { bring(forward: ask.due) }
        guard asks.count < options.mostOutstanding else { return .notNow }
        let allowed = nextAllowed(at: now)
        guard allowed <= now else {
            bring(forward: allowed)
            return .notNow
        }
        let refusal = refusals.first { $0.range.contains(range.first) }
        // What was refused together is asked for together.
        let end = min(range.last, refusal?.range.last ?? refusedAfter(range.first).map { $0 - 1 } ?? .max)
        guard let server = chooseServer(besides: refusal?.servers ?? [], at: now) else {
            let resting = restsUntil.compactMap(\.self).filter { $0 > now }
            for rest in resting { bring(forward: rest) }
            return resting.count == options.servers ? .notNow : .nobody(through: end)
        }
        let last = min(end, range.first &+ (options.messagesPerRequest - 1))
        let part = SequenceRange(range.first, max(range.first, last))
        asks.append(Ask(range: part, server: server, asked: part.first, due: now + options.answerWithin))
        sent.append(now)
        counters.requests += 1
        return .sent(RecoveryRequest(part, server: server))
    }

    /// Where the next range begins that somebody refused.
    private func refusedAfter(_ first: UInt64) -> UInt64? {
        refusals.lazy.map(\.range.first).filter { $0 > first }.min()
    }

    /// The first part of a range for which nobody has been asked, and somebody can be; `nil`: there is none.
    private func unasked(from start: UInt64, through last: UInt64) -> SequenceRange? {
        let busy = asks.map(\.range) + refusals.filter { $0.servers.count == options.servers }.map(\.range)
        var first = start
        while first <= last, let range = busy.first(where: { $0.contains(first) }) {
            guard range.last < last else { return nil }
            first = range.last + 1
        }
        guard first <= last else { return nil }
        let next = busy.lazy.map(\.first).filter { $0 > first && $0 <= last }.min()
        return SequenceRange(first, next.map { $0 - 1 } ?? last)
    }

    /// When the quota has room for another request.
    private mutating func nextAllowed(at now: Instant) -> Instant {
        while let first = sent.first, now - first >= .seconds(1) { sent.removeFirst() }
        guard let latest = sent.last else { return now }
        let paced = max(now, latest + options.spacing)
        // The quota may have been a larger one.
        let most = max(1, options.requestsPerSecond)
        guard sent.count >= most else { return paced }
        return max(paced, sent[sent.count - most] + .seconds(1))
    }

    private mutating func chooseServer(besides refusing: Set<Int>, at now: Instant) -> Int? {
        for distance in 0..<options.servers {
            let server = (preferred + distance) % options.servers
            if refusing.contains(server) { continue }
            if let end = restsUntil[server], end > now { continue }
            restsUntil[server] = nil
            if refusing.isEmpty { preferred = server }
            return server
        }
        return nil
    }

    // MARK: - Forgetting

    /// Drops requests whose messages have come by some way, or are told.
    private mutating func forget(_ missing: Missing) {
        let horizon = missing.isComplete ? UInt64.max : missing.ranges.last?.last ?? 0
        asks.removeAll { ask in
            ask.range.last <= horizon && !missing.ranges.contains { overlap($0, ask.range) }
        }
        refusals.removeAll { refusal in
            refusal.range.last <= horizon && !missing.ranges.contains { overlap($0, refusal.range) }
        }
    }

    /// Gives up requests whose time is over; their messages are asked for again.
    private mutating func expire(at now: Instant) {
        for ask in asks where ask.due <= now && !ask.isAnswered {
            counters.unanswered += 1
            passOver(ask.server)
        }
        asks.removeAll { $0.due <= now }
    }

    private mutating func passOver(_ server: Int) {
        if preferred == server { preferred = (server + 1) % options.servers }
    }

    private mutating func bring(forward instant: Instant) {
        deadline = deadline.map { min($0, instant) } ?? instant
    }
}

private func overlap(_ one: SequenceRange, _ other: SequenceRange) -> Bool {
    one.first <= other.last && other.first <= one.last
}
