// One channel of a feed, a number space of its own, on all lines: which numbering each line is in, how far any of
// them came, and what each one has of the others' holes.
import Basics

struct LineChannel: Sendable {
    struct Step: Hashable, Sendable {
        var step = LineStep()
        /// By how much the packet moved the farthest line.
        var progress: UInt64 = 0
        var isNewEpoch = false
        /// Holes to be judged at once: there is no room for them, or their numbering is over.
        var abandoned: [Abandoned] = []
    }

    struct Abandoned: Hashable, Sendable {
        var line: Int
        var hole: LineHole
    }

    private(set) var epoch = 0
    private var session: UInt64?
    /// One above the highest number of the newest numbering.
    private var farthest: UInt64?
    var numbers: [LineNumbers]
    private var arrivals: [LineArrivals]
    private var shift = 0
    private var progressThisSecond: UInt64 = 0

    init(lines: Int) {
        numbers = Array(repeating: LineNumbers(), count: lines)
        arrivals = Array(repeating: LineArrivals(), count: lines)
    }

    /// `nil`: of an earlier session.
    mutating func take(
        _ first: UInt64, _ count: UInt64, of packetSession: UInt64?, on line: Int, at now: Instant,
        drops: UInt64
    ) -> Step? {
        var result = Step()
        if let packetSession, !enter(packetSession, on: line, into: &result) { return nil }
        let isNewest = numbers[line].epoch == epoch
        let known = isNewest ? farthest ?? 0 : 0
        result.step = numbers[line].take(
            first, count, at: now, drops: drops, known: known, mayRestart: packetSession == nil)
        if result.step.isRestart { restarted(line, into: &result) }
        result.abandoned += result.step.evicted.map { Abandoned(line: line, hole: $0) }
        if numbers[line].epoch == epoch, !result.step.isStray, numbers[line].start != nil {
            result.progress = move(to: numbers[line].next)
        }
        return result
    }

    private mutating func move(to next: UInt64) -> UInt64 {
        guard let before = farthest else {
            farthest = next
            return 0
        }
        guard next > before else { return 0 }
        farthest = next
        progressThisSecond &+= next - before
        return next - before
    }

    // MARK: - Numberings

    /// Has a line be in a session; `false`: it left this one before.
    private mutating func enter(_ packetSession: UInt64, on line: Int, into result: inout Step) -> Bool {
        guard numbers[line].session != packetSession else { return true }
        guard numbers[line].earlierSession != packetSession else { return false }
        if session == nil {
            session = packetSession
        } else if session != packetSession {
            session = packetSession
            epoch += 1
            farthest = nil
        }
        if numbers[line].session != nil { abandonHoles(of: line, into: &result) }
        numbers[line].restart(epoch: epoch, session: packetSession)
        result.isNewEpoch = true
        return true
    }

    /// A line's numbering began anew without a session: it follows another line that did so before, or leads.
    private mutating func restarted(_ line: Int, into result: inout Step) {
        result.isNewEpoch = true
        if numbers[line].epoch == epoch {
            epoch += 1
            farthest = nil
        }
        numbers[line].epoch = epoch
    }

    private mutating func abandonHoles(of line: Int, into result: inout Step) {
        result.abandoned += numbers[line].settle(olderThan: .zero, at: Instant(nanoseconds: .max)).map {
            Abandoned(line: line, hole: $0)
        }
    }

    // MARK: - Comparing

    /// How many numbers of a range no line brought.
    func missingEverywhere(_ range: SequenceRange, on line: Int) -> UInt64 {
        var missing = [range]
        for other in numbers.indices where other != line && numbers[other].epoch == numbers[line].epoch {
            missing = shared(missing, numbers[other].missing(of: range))
        }
        return missing.reduce(0) { $0 &+ $1.count }
    }

    func behind(_ line: Int) -> UInt64 {
        guard numbers[line].epoch == epoch, numbers[line].start != nil, let farthest else { return 0 }
        return farthest - min(farthest, numbers[line].next)
    }

    /// A number's arrival on this line, against its arrival on the first line.
    mutating func compare(
        _ first: UInt64, _ count: UInt64, on line: Int, _ arrival: WallTime
    ) -> [(line: Int, behind: Duration)] {
        guard numbers[line].epoch == epoch,
            let number = LineArrivals.compared(first, count, shift: shift)
        else { return [] }
        arrivals[line].note(number, shift: shift, at: arrival)
        if line > 0 {
            return arrivals[0].time(of: number, shift: shift).map { [(line, arrival - $0)] } ?? []
        }
        return arrivals.indices.dropFirst().compactMap { other in
            arrivals[other].time(of: number, shift: shift).map { (other, $0 - arrival) }
        }
    }

    mutating func endSecond() {
        shift = LineArrivals.shift(forRate: progressThisSecond)
        progressThisSecond = 0
    }
}
