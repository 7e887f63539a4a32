// Where a message of the current session belongs: next, ahead of a hole, or behind what was delivered.
public import Basics

/// Up to where holes are given up, and why.
struct Surrender {
    private(set) var through: UInt64 = 0
    private(set) var cause = GapCause.timeout

    mutating func extend(through sequence: UInt64, cause: GapCause) {
        guard sequence > through else { return }
        through = sequence
        self.cause = cause
    }
}

/// An ascending run of numbers below the expected one.
struct RestartRun {
    var first: UInt64 = 0
    var last: UInt64 = 0
    var count = 0
    var since = Instant.zero
}

extension Arbiter {
    /// The slow path of `offer`.
    @inline(never)
    mutating func weigh(_ arrival: Arrival, _ payload: ArraySlice<UInt8>, at now: Instant) -> Offer {
        guard arrival.sequence != 0, arrival.sequence != .max else {
            counters.implausible += 1
            return .refused
        }
        defer { settleDown() }
        if distrusted & arrival.pathBit != 0 { return compare(arrival, payload, at: now) }
        if !hasBegun { begin(arrival, at: now) }
        guard arrival.session == session, !isChanging else { return meet(arrival, payload, at: now) }
        keep(arrival, at: now)
        expire(at: now, grace: ArbiterOptions.grace)
        return sort(arrival, payload, at: now)
    }

    /// The first word of the channel: it begins here.
    mutating func begin(_ arrival: Arrival, at now: Instant) {
        session = arrival.session
        epoch = arrival.session
        start(at: arrival.sequence, at: now)
    }

    /// The channel goes on behind a number that an earlier run delivered, before its first word: what was sent in
    /// between and comes no more is missing.
    public mutating func resume(_ session: UInt64, after last: UInt64, at now: Instant) {
        guard !hasBegun, last < .max - 1 else { return }
        (self.session, epoch) = (session, session)
        start(at: last + 1, at: now)
    }

    mutating func start(at sequence: UInt64, at now: Instant) {
        first = sequence
        expected = sequence
        highest = sequence &- 1
        history.restart(at: sequence)
        paths.restart()
        givenUp = Surrender()
        catchUp = nil
        dropJumps()
        run = RestartRun()
        (lastAdvance, lastWord, startedAt) = (now, now, now)
    }

    /// A word of the current session.
    mutating func keep(_ arrival: Arrival, at now: Instant) {
        lastWord = now
        strayed &= ~arrival.pathBit
        if case .doubted = stage { pathReturned(arrival) }
    }

    mutating func sort(_ arrival: Arrival, _ payload: ArraySlice<UInt8>, at now: Instant) -> Offer {
        guard !jumps.isEmpty else { return put(arrival, payload, at: now) }
        judgeJumps(by: arrival, on: arrival.sequence, at: now)
        let verdict = put(arrival, payload, at: now)
        reachJumps(at: now)
        return verdict
    }

    private mutating func put(_ arrival: Arrival, _ payload: ArraySlice<UInt8>, at now: Instant) -> Offer {
        if arrival.sequence < expected { return past(arrival, payload, at: now) }
        let print = essence(payload)
        if distrusted != 0, let other = claims.contradicts(arrival.sequence, print) {
            differs(other, from: arrival.path, arrival.sequence, at: now)
        }
        if let held = window.fingerprint(of: arrival.sequence) {
            paths.received(arrival, isFirst: false)
            window.seen(arrival.sequence, by: arrival.pathBit)
            return duplicate(arrival, print == held.fingerprint, deliveredBy: held.path, at: now)
        }
        guard arrival.sequence != expected else {
            deliver(arrival, print, at: now)
            // Nobody has lost what was sent before we were there.
            if catchUp != nil { history.seen(arrival.sequence, by: .max) }
            highest = max(highest, arrival.sequence)
            holes.close(below: expected)
            return .deliver
        }
        return hold(arrival, payload, print, at: now)
    }

    @inline(__always)
    mutating func deliver(_ arrival: Arrival, _ print: UInt32, at now: Instant) {
        paths.received(arrival, isFirst: true)
        record(DeliveryHistory.Entry(fingerprint: print, paths: arrival.pathBit, first: arrival.path))
        expected = arrival.sequence &+ 1
        lastAdvance = now
        counters.delivered &+= 1
    }

    @inline(__always)
    mutating func record(_ entry: DeliveryHistory.Entry) {
        if let settled = history.append(entry) { paths.settle(settled) }
    }

    private mutating func hold(
        _ arrival: Arrival, _ payload: ArraySlice<UInt8>, _ print: UInt32, at now: Instant
    ) -> Offer {
        guard isEnough(arrival, for: arrival.sequence)
        else {
            return doubt(arrival, on: arrival.sequence, payload) ? .held : .refused
        }
        return place(arrival, payload, print, at: now)
    }

    /// Holds a message that is ahead of what is known, and makes a hole of what lies between.
    mutating func place(
        _ arrival: Arrival, _ payload: ArraySlice<UInt8>, _ print: UInt32, at now: Instant
    ) -> Offer {
        if isBeyondReach(arrival.sequence) { return passOver(arrival, at: now) }
        guard makeRoom(for: arrival.sequence) else {
            counters.overflow += 1
            return .refused
        }
        paths.received(arrival, isFirst: false)
        if arrival.sequence > highest + 1 { holes.open(through: arrival.sequence - 1, at: now) }
        highest = max(highest, arrival.sequence)
        window.hold(HeldMessage(arrival: arrival, epoch: epoch, payload: Array(payload)), fingerprint: print)
        lastAdvance = now
        counters.held += 1
        return .held
    }

    /// A slot is free, or taken by a later message: that one gives way, since its turn comes later.
    private mutating func makeRoom(for sequence: UInt64) -> Bool {
        guard window.count < options.reorderCount else { return false }
        guard let occupant = window.occupant(for: sequence) else { return true }
        if occupant > sequence { counters.overflow += 1 }
        return occupant > sequence
    }

    /// A number that was delivered or told before: a copy, a latecomer, or the numbering begins again.
    private mutating func past(
        _ arrival: Arrival, _ payload: ArraySlice<UInt8>, at now: Instant
    ) -> Offer {
        let entry = history.entry(of: arrival.sequence)
        let isCopy = entry.map { !$0.isGap && $0.fingerprint == essence(payload) } ?? false
        // What was told as missing may come after all, and all at once: that is no new numbering.
        let mayBeLate =
            options.neverRestarting & ~restarted & arrival.pathBit != 0
            && !(isResumed && expected == first)
            || entry?.isGap ?? mayBeFromBefore(arrival, at: now)
        if isCopy {
            run.count = 0
        } else if !mayBeLate, beginsAgain(arrival, payload, at: now) {
            return .held
        }
        paths.received(arrival, isFirst: false)
        history.seen(arrival.sequence, by: arrival.pathBit)
        guard let entry, entry.isGap else {
            return duplicate(
                arrival, isCopy || entry == nil, deliveredBy: entry?.first ?? arrival.path, at: now)
        }
        counters.late += 1
        paths.late(by: arrival.path)
        return .late
    }

    /// Whether a number that nobody remembers may have been sent before this arbiter began.
    ///
    /// A path that is slower than the one with which it began, or stood still since, hands on what it has, all at once
    /// and perhaps while nothing new comes: just what a new numbering looks like, but that the numbers of one that begins
    /// are no copies, which cannot be seen of numbers that nobody remembers. What tells them apart is the path: each
    /// keeps its order, so one that already brought a number with which this arbiter began, or a later one, and now goes
    /// back, is in a new numbering, and that counts like any other run. Of a path that was not that far yet nothing is
    /// known, and it is believed to be late for `lateTime`: a new numbering that begins within that time, and only on
    /// such paths, is seen at its end, and not before. Until then the channel stays live by the words of these paths,
    /// publishes nothing and names the same last number in its heartbeats; what of the new numbering it let pass is told
    /// by the first number of the epoch that is entered then.
    private func mayBeFromBefore(_ arrival: Arrival, at now: Instant) -> Bool {
        arrival.sequence < first && first - arrival.sequence <= UInt64(options.historyCount)
            && now - startedAt < options.lateTime && paths.highest(of: arrival.path) < first
    }

    /// Whether it is the same as what was delivered under its number, as most of what a second path brings; then it
    /// is booked. While the channel is calm nothing else is in doubt that its word could settle.
    @inline(__always)
    mutating func isCopy(_ arrival: Arrival, _ print: UInt32, at now: Instant) -> Bool {
        guard history.book(arrival.sequence, print, by: arrival.pathBit) else { return false }
        lastWord = now
        run.count = 0
        paths.received(arrival, isFirst: false)
        counters.duplicates &+= 1
        paths.duplicate(by: arrival.path)
        return true
    }

    /// A path that is not trusted delivers nothing and begins nothing; what it says of a message that was delivered
    /// shows whether it still differs.
    private mutating func compare(
        _ arrival: Arrival, _ payload: ArraySlice<UInt8>, at now: Instant
    ) -> Offer {
        guard arrival.session == session, let entry = history.entry(of: arrival.sequence), !entry.isGap else {
            counters.distrusted += 1
            if arrival.session == session, arrival.sequence >= expected {
                claims.note(arrival.sequence, essence(payload), by: arrival.path)
            }
            return .refused
        }
        paths.received(arrival, isFirst: false)
        return duplicate(
            arrival, entry.fingerprint == essence(payload), deliveredBy: entry.first, at: now)
    }

    private mutating func duplicate(
        _ arrival: Arrival, _ isCopy: Bool, deliveredBy first: UInt8, at now: Instant
    ) -> Offer {
        counters.duplicates += 1
        paths.duplicate(by: arrival.path)
        guard !isCopy else { return .duplicate }
        differs(arrival.path, from: first, arrival.sequence, at: now)
        return .duplicate
    }

    private mutating func differs(_ path: UInt8, from other: UInt8, _ sequence: UInt64, at now: Instant) {
        counters.divergent += 1
        let isTrusted = distrusted & 1 << path == 0
        let news = paths.diverged(path, at: now, isTrusted: isTrusted, options.divergence)
        guard news.isReported else { return }
        divergences.append(
            Divergence(path: path, deliveredBy: other, sequence: sequence, isRepeated: news.isRepeated))
    }

    /// A consistent run of old numbers while no new one came for a while: the numbering began again. What
    /// the run's earlier messages were is not known any more: the new epoch begins with a hole.
    private mutating func beginsAgain(
        _ arrival: Arrival, _ payload: ArraySlice<UInt8>, at now: Instant
    ) -> Bool {
        let continues =
            run.count > 0 && run.since > lastAdvance && arrival.sequence > run.last
            && arrival.sequence - run.last <= UInt64(options.reorderCount)
        if continues {
            run.last = arrival.sequence
            run.count += 1
        } else if run.count == 0 || run.since <= lastAdvance || arrival.sequence < run.first {
            run = RestartRun(first: arrival.sequence, last: arrival.sequence, count: 1, since: now)
        }
        guard run.count >= options.restartCount, now - lastAdvance >= options.epochQuiet else { return false }
        leave(
            Departure(
                session: session, epoch: epoch &+ 1, cause: .inferred, start: run.first, decidedAt: now))
        return queue(arrival, payload)
    }
}
