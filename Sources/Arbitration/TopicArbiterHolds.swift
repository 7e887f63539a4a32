// One topic's numbers, its changes of session, and what waits for the other path.
import Basics
import DequeModule

/// Where a topic stands.
struct TopicRecord {
    var session: UInt64 = 0
    /// The last number that was delivered or told.
    var last: UInt64 = 0
    var isKnown = false
    /// It was in another session before this one.
    var hasFormer = false
    var isHolding = false
    /// It is subscribed anew: what it had while nobody asked for it is not missing.
    var isJoining = false
    /// The path that brought the message `last`; `nobody`: it was not delivered, or is of another session.
    var deliveredBy = TopicRecord.nobody
    /// Of that message.
    var fingerprint: UInt32 = 0

    static let nobody: UInt8 = .max

    @inline(__always)
    func goesStraightThrough(_ arrival: Arrival) -> Bool {
        isKnown && !isHolding && !isJoining && session == arrival.session && arrival.sequence == last &+ 1
    }

    @inline(__always)
    mutating func deliver(_ arrival: Arrival, _ fingerprint: UInt32) {
        last = arrival.sequence
        deliveredBy = arrival.path
        self.fingerprint = fingerprint
    }

    /// The first word since it was subscribed anew: `last` is what it had before. An older one is from before that.
    mutating func join(after last: UInt64) {
        guard isJoining, last >= self.last else { return }
        isJoining = false
        if last > self.last { pass(to: last) }
    }

    /// What is missing up to there is told, or was named only.
    mutating func pass(to last: UInt64) {
        self.last = last
        deliveredBy = Self.nobody
    }

    mutating func begin(session: UInt64, after last: UInt64) {
        (self.session, self.last, isKnown) = (session, last, true)
    }

    mutating func enter(_ session: UInt64, after last: UInt64) {
        (self.session, self.last, hasFormer) = (session, last, true)
        deliveredBy = Self.nobody
    }
}

/// Where a topic stood in the session before its own, in case that is resumed.
struct FormerStand {
    var session: UInt64 = 0
    var last: UInt64 = 0
}

/// The messages of one topic that wait, and up to where its numbers are known to exist.
struct TopicHold {
    var since: Instant
    var through: UInt64
    /// In ascending order.
    var messages: [HeldMessage] = []
    /// The paths that brought each of them, a bit each.
    var brought: [UInt8] = []

    /// Another path brought one of them, too.
    mutating func bring(_ sequence: UInt64, by path: UInt8) {
        guard let place = messages.firstIndex(where: { $0.arrival.sequence == sequence }) else { return }
        brought[place] |= 1 << (path & 7)
    }

    /// The one with a number; `nil`: it does not wait.
    func message(_ sequence: UInt64) -> HeldMessage? { messages.first { $0.arrival.sequence == sequence } }

    /// Puts a message in its place.
    mutating func insert(_ message: HeldMessage) {
        let place = messages.firstIndex { $0.arrival.sequence > message.arrival.sequence }
        messages.insert(message, at: place ?? messages.count)
        brought.insert(message.arrival.pathBit, at: place ?? brought.count)
    }
}

extension TopicArbiter {
    /// How many sessions are remembered.
    private static let sessionCapacity = 8

    mutating func admit(_ topic: Int) -> Bool {
        guard topic >= topics.count else { return topic >= 0 }
        guard topic < options.maximumTopics else {
            counters.overflow += 1
            return false
        }
        topics.append(contentsOf: repeatElement(TopicRecord(), count: topic + 1 - topics.count))
        return true
    }

    /// Whether the arrival belongs to the current session, which it may be the one to begin. Only active
    /// paths begin one while they speak, and one that was left only when no active path is on the current one any more.
    @inline(__always)
    mutating func follows(_ arrival: Arrival, at now: Instant) -> Bool {
        guard session == arrival.session || changesSession(arrival, at: now) else { return false }
        lastWord = now
        let bit = arrival.pathBit
        if active & bit != 0 { lastActiveWord = now }
        if spoke & ~strayed & bit == 0 { (spoke, strayed) = (spoke | bit, strayed & ~bit) }
        return true
    }

    private mutating func changesSession(_ arrival: Arrival, at now: Instant) -> Bool {
        guard session != nil else {
            move(to: arrival.session)
            return true
        }
        let place = entered.firstIndex(of: arrival.session)
        // While no path is active, or those that are say nothing, the first word of a new session is what makes its
        // path active again.
        let isAlone = active == 0 || now - lastActiveWord >= options.activeQuiet
        guard active & arrival.pathBit != 0 || isAlone && place == nil else { return false }
        if let place {
            strayed |= arrival.pathBit
            guard active & ~strayed == 0, mayResume(place, arrival, at: now) else { return false }
        }
        endWaiting(before: arrival.session)
        move(to: arrival.session)
        (spoke, strayed) = (0, 0)
        counters.epochs += 1
        return true
    }

    /// What the other paths still send of the session that is left is refused from now on, so that nothing is waited for in
    /// it: what is missing is told, and what waited goes out, before anything of the next one. Who takes this feed follows
    /// into that at its first word, and refuses the rest likewise. A topic that is in the next one already goes on waiting.
    private mutating func endWaiting(before next: UInt64) {
        for (topic, _) in waiting where topics[topic].session != next { settle(topic, cause: .epochLeft) }
    }

    mutating func move(to next: UInt64) {
        session = next
        claims = Claims()
        guard !entered.contains(next) else { return }
        if entered.count == Self.sessionCapacity { entered.removeFirst() }
        entered.append(next)
    }

    /// Forward at once: a path that lagged when it took over comes to the session that the others had begun. Back,
    /// only once a path that has spoken of the current session itself has ceased to: an upstream that mixes two
    /// sessions does not make every topic jump to and fro. And beyond the session before, of which topics know where
    /// they stood, never without silence.
    private func mayResume(_ place: Int, _ arrival: Arrival, at now: Instant) -> Bool {
        guard let current = entered.firstIndex(where: { $0 == session }), place < current else { return true }
        return spoke & arrival.pathBit == 0 && place == current - 1
            || now - lastWord >= options.epochQuiet
    }

    /// The slow path of `offer`.
    mutating func weigh(
        _ topic: Int, _ arrival: Arrival, _ payload: Span<UInt8>, at now: Instant
    ) -> Offer {
        let hasEntered =
            topics[topic].isKnown
            ? enter(arrival.session, topic, first: arrival.sequence - 1)
            : begin(arrival.session, topic, after: arrival.sequence - 1)
        topics[topic].join(after: arrival.sequence - 1)
        guard arrival.sequence > topics[topic].last, !isHeld(topic, arrival.sequence) else {
            return duplicate(topic, arrival, payload, at: now)
        }
        heedClaims(topic, arrival, payload, at: now)
        if arrival.sequence == topics[topic].last + 1, !hasEntered {
            topics[topic].deliver(arrival, fingerprint(payload))
            delivered(by: arrival.path)
            note(arrival.sequence, of: topic, by: arrival.path)
            settle(topic, cause: nil)
            return .deliver
        }
        return wait(topic, arrival, payload, at: now)
    }

    private mutating func wait(
        _ topic: Int, _ arrival: Arrival, _ payload: Span<UInt8>, at now: Instant
    ) -> Offer {
        hold(topic, through: arrival.sequence, at: now)
        let message = HeldMessage(
            arrival: arrival, epoch: arrival.session, payload: [UInt8](copying: payload))
        holds[topic]?.insert(message)
        heldCount += 1
        counters.held += 1
        if !mayWait {
            settle(topic, cause: .passed)
        } else if holds[topic].map({ $0.messages.count >= options.heldPerTopic }) == true {
            settle(topic, cause: .windowFull)
        } else {
            settle(topic, cause: nil)
        }
        makeRoom()
        return .held
    }

    /// A topic is heard of for the first time. Returns whether it is the first in a session that follows another one,
    /// which is told: those of the one before may never be heard again.
    @discardableResult
    mutating func begin(_ session: UInt64, _ topic: Int, after last: UInt64) -> Bool {
        topics[topic].begin(session: session, after: last)
        return tellSession(session)
    }

    /// Tells of a session that follows another one, once; whether it is that.
    private mutating func tellSession(_ session: UInt64) -> Bool {
        let told = toldSession
        toldSession = session
        guard let told, told != session else { return false }
        let (old, new) = (entered.firstIndex(of: told), entered.firstIndex(of: session))
        let resumes = if let old, let new { new < old } else { false }
        let change = EpochChange(from: told, epoch: session, cause: resumes ? .resumed : .session)
        released.append(TopicRelease(topic: TopicRelease.noTopic, .epoch(change)))
        return true
    }

    /// Moves a topic to the current session if it is not there yet, and tells what it was waiting for.
    @discardableResult
    mutating func enter(_ session: UInt64, _ topic: Int, first: UInt64) -> Bool {
        guard topics[topic].session != session else { return tellSession(session) }
        settle(topic, cause: .epochLeft)
        let from = topics[topic].session
        let sessionStart = topics[topic].isJoining ? nil : options.sessionStart
        let start = sessionStart.map { max($0, 1) - 1 } ?? first
        let resumes = move(topic, to: session, after: min(start, first))
        toldSession = session
        let change = EpochChange(from: from, epoch: session, cause: resumes ? .resumed : .session)
        released.append(TopicRelease(topic: topic, .epoch(change)))
        return true
    }

    /// Returns whether the session is the one before, which goes on where it stood.
    private mutating func move(_ topic: Int, to session: UInt64, after start: UInt64) -> Bool {
        if topic >= formers.count {
            formers.append(contentsOf: repeatElement(FormerStand(), count: topics.count - formers.count))
        }
        let (record, former) = (topics[topic], formers[topic])
        let resumes = record.hasFormer && former.session == session
        formers[topic] = FormerStand(session: record.session, last: record.last)
        topics[topic].enter(session, after: resumes ? former.last : start)
        positions.forget(topic: topic)
        return resumes
    }

    /// The topic's numbers are known up to `sequence`; it begins to wait if it does not wait already.
    mutating func hold(_ topic: Int, through sequence: UInt64, at now: Instant) {
        if let through = holds[topic]?.through {
            holds[topic]?.through = max(through, sequence)
        } else {
            holds[topic] = TopicHold(since: now, through: sequence)
            topics[topic].isHolding = true
            waiting.append((topic, now))
        }
    }

    /// Lets go what a topic holds: what is next, and, given a cause, everything with the gaps between.
    mutating func settle(_ topic: Int, cause: GapCause?) {
        guard topics[topic].isHolding, let hold = holds.removeValue(forKey: topic) else { return }
        var rest = hold.messages[...]
        let beyond = hold.brought.reduce(0, |)
        while let first = rest.first {
            let sequence = first.arrival.sequence
            if sequence > topics[topic].last + 1 {
                guard let cause else { break }
                tell(topic, through: sequence - 1, cause, beyond: beyond)
            }
            rest.removeFirst()
            heldCount -= 1
            if sequence > topics[topic].last {
                release(topic, first, broughtBy: hold.brought[rest.startIndex - 1])
            }
        }
        if let cause, hold.through > topics[topic].last {
            tell(topic, through: hold.through, cause, beyond: 0)
        }
        topics[topic].isHolding = hold.through > topics[topic].last
        if topics[topic].isHolding {
            holds[topic] = TopicHold(
                since: hold.since, through: hold.through, messages: Array(rest),
                brought: Array(hold.brought[rest.startIndex...]))
        } else {
            forgetWaiting()
        }
    }

    private mutating func release(_ topic: Int, _ message: HeldMessage, broughtBy brought: UInt8) {
        topics[topic].deliver(message.arrival, fingerprint(message.payload.span))
        delivered(by: message.arrival.path)
        for path in 0..<UInt8(options.paths) where brought & 1 << path != 0 {
            note(message.arrival.sequence, of: topic, by: path)
        }
        released.append(TopicRelease(topic: topic, .message(message)))
    }

    /// - Parameter beyond: the paths that are known to have gone past it, a bit each.
    private mutating func tell(_ topic: Int, through last: UInt64, _ cause: GapCause, beyond: UInt8) {
        let range = SequenceRange(topics[topic].last + 1, last)
        pass(range, of: topic, beyond: beyond)
        topics[topic].pass(to: last)
        counters.gapsTold &+= range.count
        counters.gapRanges += 1
        let gap = Gap(epoch: topics[topic].session, range: range, cause: cause)
        released.append(TopicRelease(topic: topic, .gap(gap)))
    }

    /// Too many wait in all: those that have waited longest wait no more.
    mutating func makeRoom() {
        while heldCount > options.heldInAll || waiting.count > 2 * options.heldInAll,
            let oldest = waiting.popFirst()
        {
            if holds[oldest.topic]?.since == oldest.since { settle(oldest.topic, cause: .windowFull) }
        }
    }

    /// Drops the places of topics that wait no more from the front of the queue, so that it stays as short
    /// as what really waits.
    private mutating func forgetWaiting() {
        while let first = waiting.first, holds[first.topic]?.since != first.since { waiting.removeFirst() }
    }
}
