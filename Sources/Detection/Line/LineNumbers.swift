// The numbers of one channel as one line brought them: how far it came, what it left out, and what came twice.
// Bounded: of more holes than `mostHoles` the lowest are given up.
import Basics

/// Numbers that a line left out.
struct LineHole: Hashable, Sendable {
    var range: SequenceRange
    var since: Instant
    /// What the capture had dropped before the packet ahead of the hole.
    var dropsBefore: UInt64
    /// It was judged; kept, so that other lines' holes can be compared with it.
    var isSettled = false
}

/// What a packet meant to its line.
struct LineStep: Hashable, Sendable {
    /// Numbers that this line brings for the first time, and in order.
    var new: UInt64 = 0
    /// Numbers that fill a hole.
    var filled: UInt64 = 0
    /// Numbers that this line had brought before.
    var duplicates: UInt64 = 0
    var opened: SequenceRange?
    /// Holes that there is no room for, and that nobody has judged.
    var evicted: [LineHole] = []
    /// The numbers are far from where the line was; they count if more of the kind follow.
    var isStray = false
    /// The numbering began anew.
    var isRestart = false
}

struct LineNumbers: Sendable {
    static let mostHoles = 1024
    /// A leap ahead by more than this, that no other line knows of, has to be confirmed.
    static let farthestLeap: UInt64 = 1 << 20
    /// So many packets in a row, over so long, that agree with each other and not with the old numbers, confirm.
    static let confirmingPackets = 5
    static let confirmingTime: Duration = .seconds(1)

    private struct Candidate {
        var first: UInt64
        var next: UInt64
        var packets = 1
        var since: Instant
    }

    /// The numbering that this line is in, as its channel counts them.
    var epoch = 0
    var session: UInt64?
    var earlierSession: UInt64?
    /// This line answers for numbers from here on; `nil`: nothing heard in this epoch.
    private(set) var start: UInt64?
    /// One above the highest number seen.
    private(set) var next: UInt64 = 0
    /// Ascending, none touching another.
    private(set) var holes: [LineHole] = []
    private var candidate: Candidate?
    private var dropsAtLast: UInt64 = 0

    /// Takes the numbers of a packet; `count` 0: only what comes next was told.
    ///
    /// - Parameters:
    ///   - drops: what the capture has dropped so far.
    ///   - known: how far any line came in this epoch.
    ///   - mayRestart: whether lower numbers can be a numbering that began anew (no session tells).
    mutating func take(
        _ first: UInt64, _ count: UInt64, at now: Instant, drops: UInt64, known: UInt64, mayRestart: Bool
    ) -> LineStep {
        defer { dropsAtLast = drops }
        guard start != nil else {
            begin(at: first, count)
            return LineStep(new: count)
        }
        if first > next {
            if isNear(first, known) { return leap(to: first, first &+ count, at: now) }
            guard confirms(first, count, at: now), let candidate else { return LineStep(isStray: true) }
            return leap(to: candidate.first, candidate.next, at: now)
        }
        let end = first &+ count
        guard end < first || end <= next else { return advance(from: first, to: end) }
        return look(back: first, count, at: now, mayRestart: mayRestart)
    }

    private mutating func begin(at first: UInt64, _ count: UInt64) {
        start = first
        next = first &+ count
        holes = []
        candidate = nil
    }

    /// Another numbering: nothing of the old one counts.
    mutating func restart(epoch: Int, session: UInt64?) {
        earlierSession = self.session
        self.session = session
        self.epoch = epoch
        start = nil
        next = 0
        holes = []
        candidate = nil
    }

    private func isNear(_ first: UInt64, _ known: UInt64) -> Bool {
        first - next <= LineNumbers.farthestLeap
            || first <= known || first - known <= LineNumbers.farthestLeap
    }

    private mutating func leap(to first: UInt64, _ end: UInt64, at now: Instant) -> LineStep {
        let gap = SequenceRange(next, first - 1)
        var step = LineStep(new: end - first, opened: gap)
        holes.append(LineHole(range: gap, since: now, dropsBefore: dropsAtLast))
        step.evicted = giveUp()
        next = end
        candidate = nil
        return step
    }

    private mutating func advance(from first: UInt64, to end: UInt64) -> LineStep {
        var step = LineStep(new: end - next)
        if first < next {
            step.filled = fill(SequenceRange(first, next - 1))
            step.duplicates = next - first - step.filled
            step.evicted = giveUp()
        }
        next = end
        candidate = nil
        return step
    }

    private mutating func look(
        back first: UInt64, _ count: UInt64, at now: Instant, mayRestart: Bool
    ) -> LineStep {
        var step = LineStep()
        if count > 0 {
            step.filled = fill(SequenceRange(first, first &+ (count - 1)))
            step.duplicates = count - step.filled
            step.evicted = giveUp()
        }
        guard step.filled == 0, first &+ count < next else {
            candidate = nil
            return step
        }
        if mayRestart, confirms(first, count, at: now), let candidate {
            step = LineStep(isRestart: true)
            begin(at: candidate.first, candidate.next &- candidate.first)
        }
        return step
    }

    /// Whether numbers away from the known ones have been consistent for long enough. What they leave out among
    /// themselves is not counted.
    private mutating func confirms(_ first: UInt64, _ count: UInt64, at now: Instant) -> Bool {
        guard var known = candidate, first >= known.next, first - known.next <= LineNumbers.farthestLeap
        else {
            candidate = Candidate(first: first, next: first &+ count, since: now)
            return false
        }
        known.packets += 1
        known.next = first &+ count
        candidate = known
        return known.packets >= LineNumbers.confirmingPackets
            && now - known.since >= LineNumbers.confirmingTime
    }
}

// MARK: - Holes

extension LineNumbers {
    /// The lowest holes, if there are too many: each number that is filled may make two of one.
    private mutating func giveUp() -> [LineHole] {
        guard holes.count > LineNumbers.mostHoles else { return [] }
        defer { holes.removeFirst(LineNumbers.mostHoles / 4) }
        return holes.prefix(LineNumbers.mostHoles / 4).filter { !$0.isSettled }
    }

    /// Takes numbers out of the holes; returns how many.
    private mutating func fill(_ range: SequenceRange) -> UInt64 {
        guard let last = holes.last, last.range.last >= range.first else { return 0 }
        var index = firstHole(endingAtOrAfter: range.first)
        var filled: UInt64 = 0
        while index < holes.count, holes[index].range.first <= range.last {
            let hole = holes[index]
            let from = max(hole.range.first, range.first)
            let to = min(hole.range.last, range.last)
            filled += to - from + 1
            var rest: [LineHole] = []
            if hole.range.first < from { rest.append(hole.with(SequenceRange(hole.range.first, from - 1))) }
            if to < hole.range.last { rest.append(hole.with(SequenceRange(to + 1, hole.range.last))) }
            holes.replaceSubrange(index...index, with: rest)
            index += rest.count
        }
        return filled
    }

    private func firstHole(endingAtOrAfter number: UInt64) -> Int {
        var low = 0
        var high = holes.count
        while low < high {
            let middle = (low + high) / 2
            if holes[middle].range.last < number { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Marks the holes that are older than `age` as judged, and returns them.
    mutating func settle(olderThan age: Duration, at now: Instant) -> [LineHole] {
        var due: [LineHole] = []
        for index in holes.indices where !holes[index].isSettled && now - holes[index].since >= age {
            holes[index].isSettled = true
            due.append(holes[index])
        }
        return due
    }

    /// The parts of a range that this line did not bring.
    func missing(of range: SequenceRange) -> [SequenceRange] {
        guard let start, start <= range.last, next > range.first else { return [range] }
        var missing: [SequenceRange] = []
        if range.first < start { missing.append(SequenceRange(range.first, start - 1)) }
        var index = firstHole(endingAtOrAfter: range.first)
        while index < holes.count, holes[index].range.first <= range.last {
            let hole = holes[index].range
            missing.append(SequenceRange(max(hole.first, range.first), min(hole.last, range.last)))
            index += 1
        }
        if next <= range.last { missing.append(SequenceRange(max(next, range.first), range.last)) }
        return missing
    }
}

extension LineHole {
    fileprivate func with(_ range: SequenceRange) -> LineHole {
        LineHole(range: range, since: since, dropsBefore: dropsBefore, isSettled: isSettled)
    }
}

/// How many numbers two ascending lists of ranges share, as ranges.
func shared(_ left: [SequenceRange], _ right: [SequenceRange]) -> [SequenceRange] {
    var result: [SequenceRange] = []
    var (i, j) = (0, 0)
    while i < left.count, j < right.count {
        let first = max(left[i].first, right[j].first)
        let last = min(left[i].last, right[j].last)
        if first <= last { result.append(SequenceRange(first, last)) }
        if left[i].last < right[j].last { i += 1 } else { j += 1 }
    }
    return result
}
