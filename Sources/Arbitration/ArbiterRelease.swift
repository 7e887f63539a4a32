// What becomes certain is let go here, one item at a time and in order: held messages whose turn came,
// gaps, the change of epoch, and then what waited for it.
import Basics

extension Arbiter {
    /// Whether `nextReleased` may have something; cheaper than asking it.
    public var mayRelease: Bool { !isCalm }

    /// The next item that is to be published; `nil`: nothing more for now.
    public mutating func nextReleased() -> Released? {
        guard !isCalm else { return nil }
        let released = release()
        settleDown()
        return released
    }

    private mutating func release() -> Released? {
        if let divergence = divergences.popLast() { return .divergence(divergence) }
        guard hasBegun else { return nil }
        while true {
            if let held = window.take(expected) {
                return .message(handOver(held.message, held.fingerprint, by: held.paths))
            }
            if let gap = certainGap() { return .gap(tell(gap)) }
            if let change = enterNext() { return .epoch(change) }
            guard let next = backlog.next() else { return nil }
            let payload = next.payload[...]
            if case .deliver = sort(next.arrival, payload, at: lastWord) {
                return .message(HeldMessage(arrival: next.arrival, epoch: epoch, payload: next.payload))
            }
        }
    }

    private mutating func handOver(
        _ message: HeldMessage, _ print: UInt32, by brought: UInt8
    ) -> HeldMessage {
        let arrival = message.arrival
        self.paths.first(by: arrival.path)
        let paths = catchUp == nil ? brought : .max
        record(DeliveryHistory.Entry(fingerprint: print, paths: paths, first: arrival.path))
        expected = arrival.sequence + 1
        holes.close(below: expected)
        counters.delivered += 1
        return message
    }

    /// The hole in front, as far as it is certain.
    private func certainGap() -> Gap? {
        guard hasHole, let cause = certainty() else { return nil }
        var last = window.lowest(above: expected).map { $0 - 1 } ?? highest
        if expected <= givenUp.through { last = min(last, givenUp.through) }
        return Gap(epoch: epoch, range: SequenceRange(expected, last), cause: cause)
    }

    /// Why the hole in front is certain; `nil`: it may still be filled.
    private func certainty() -> GapCause? {
        if expected <= givenUp.through { return givenUp.cause }
        if catchUp != nil { return nil }
        if window.count >= options.reorderCount || isOutOfRoom { return .windowFull }
        // A message gave way for want of room, and nothing remembers since when it is missing.
        if !holes.covers(expected) { return .windowFull }
        guard options.tellsWhenPassed else { return nil }
        return paths.areAllBeyond((window.lowest(above: expected) ?? highest + 1) - 1) ? .passed : nil
    }

    private mutating func tell(_ gap: Gap) -> Gap {
        let range = gap.range
        if range.count > history.capacity { history.restart(at: range.last - history.capacity + 1) }
        while history.next <= range.last { record(DeliveryHistory.Entry(isGap: true)) }
        expected = range.last + 1
        holes.close(below: expected)
        counters.gapsTold &+= range.count
        counters.gapRanges += 1
        return gap
    }

    /// Gives up on what has been missing for as long as a hole may stay open.
    mutating func expire(at now: Instant, grace: Duration = .zero) {
        if catchUp != nil { return judgeCatchUp(at: now) }
        guard !holes.isEmpty, let last = givesUp(at: now - grace) else { return }
        givenUp.extend(through: last, cause: .timeout)
    }

    /// Finds out whether the next message can go straight through again.
    mutating func settleDown() {
        settleCatchUp()
        isCalm =
            hasBegun && window.count == 0 && expected > highest && strayed == 0 && isSettled
            && backlog.isEmpty && divergences.isEmpty && distrusted == 0 && jumps.isEmpty
    }
}
