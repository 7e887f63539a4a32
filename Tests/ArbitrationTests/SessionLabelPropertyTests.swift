// Two lossy, skewed, reordering, duplicating paths of a venue without sessions, whose numbers begin anew by its own
// word, many times over: the labels and the arbiter together deliver each message once, in order, and mix nothing.
import Arbitration
import Basics
import Testing

/// A message as one path hears it.
private struct Heard {
    var at: Int64
    var path: UInt8
    /// Which numbering it really is of.
    var numbering: Int
    var sequence: UInt64
    var resets: Bool
}

@Suite struct SessionLabelPropertyTests {
    private func scenario(seed: UInt64) -> (events: [Heard], sent: [UInt64]) {
        var random = SeededGenerator(state: seed)
        let loss = Int.random(in: 0...20, using: &random)
        let skew = Int64.random(in: 0...15_000, using: &random)
        let jitter = Int64.random(in: 0...2500, using: &random)
        var events: [Heard] = []
        var sent: [UInt64] = [0]
        for step in 0..<8000 as Range<Int64> {
            let resets = step > 0 && random.chance(1) && sent[sent.count - 1] > 1500
            if resets { sent.append(0) }
            sent[sent.count - 1] += 1
            let sequence = sent[sent.count - 1]
            for path: UInt8 in 0...1 {
                // Where numbers begin, and shortly before, both paths hear everything: who misses that cannot know.
                let isLost = sequence > 5 && random.chance(loss)
                for _ in 0..<(isLost ? 0 : random.chance(3) ? 2 : 1) {
                    let at = step * 1000 + Int64(path) * skew + Int64.random(in: 0...jitter, using: &random)
                    events.append(
                        Heard(
                            at: at, path: path, numbering: sent.count - 1, sequence: sequence, resets: resets)
                    )
                }
            }
        }
        events.sort { $0.at < $1.at }
        return (events, sent)
    }

    @Test(arguments: 1...40 as ClosedRange<UInt64>)
    func `whatever the paths do, nothing comes twice, out of order or under another numbering`(seed: UInt64) {
        let (events, sent) = scenario(seed: seed)
        var labels = SessionLabels(options: SessionLabels.Options(paths: 2))
        var arbiter = Arbiter(options: ArbiterOptions(paths: 2))
        var numbering = 0
        // The stream begins with what comes first.
        var next = events[0].sequence
        var (delivered, told): (UInt64, UInt64) = (0, 0)
        var faults: [String] = []

        func drain() {
            while let released = arbiter.nextReleased() {
                switch released {
                case .message(let held): deliver(held.payload)
                case .gap(let gap):
                    if gap.range.first != next { faults.append("gap \(gap.range) when \(next) was due") }
                    next = gap.range.last + 1
                    told += gap.range.count
                case .epoch: (numbering, next) = (numbering + 1, 1)
                // The second message of a numbering may overtake the first, which says that it is one.
                case .divergence(let found): if found.sequence > 10 { faults.append("\(found)") }
                }
            }
        }

        func deliver(_ payload: [UInt8]) {
            let sequence = payload.dropFirst(2).reduce(0) { $0 << 8 | UInt64($1) }
            let own = Int(payload[0]) << 8 | Int(payload[1])
            if own != numbering || sequence != next {
                faults.append("\(own):\(sequence) when \(numbering):\(next) was due")
            }
            next = sequence + 1
            delivered += 1
        }

        for (count, event) in events.enumerated() {
            let now = Instant(nanoseconds: event.at * 1000)
            while let deadline = arbiter.deadline, deadline <= now {
                arbiter.tick(at: deadline)
                drain()
            }
            let wall = WallTime(nanoseconds: 1_767_355_200_000_000_000 + Int64(count))
            let label = labels.label(
                first: event.sequence, count: 1, resets: event.resets, path: Int(event.path),
                receivedAt: wall,
                at: now)
            let arrival = Arrival(
                path: event.path, session: label.session, sequence: label.first, receivedAt: wall)
            let payload =
                [UInt8(event.numbering >> 8), UInt8(event.numbering & 255)]
                + (0..<4).reversed().map { UInt8(truncatingIfNeeded: event.sequence >> UInt64(8 * $0)) }
            if case .deliver = arbiter.offer(arrival, payload: payload[...], at: now) { deliver(payload) }
            drain()
        }
        #expect(faults.isEmpty, "\(faults.prefix(3))")
        #expect(numbering == sent.count - 1, "\(numbering) of \(sent.count - 1) resets")
        let total = sent.reduce(0, +)
        #expect(delivered + told <= total && delivered > total * 8 / 10, "\(delivered) + \(told) of \(total)")
    }
}
