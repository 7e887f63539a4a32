// How far each path is in each topic that is numbered by itself: what a path went past and another one brought, it
// missed. Of each the low half of a number is kept, so that 100,000 topics on two paths take 800 kB.
import Basics

struct TopicPositions: Sendable {
    private let paths: Int
    /// By topic and path; 0: not known.
    private var numbers: [UInt32] = []

    init(paths: Int) { self.paths = paths }

    /// Moves a path forward to a number that was delivered. Returns how many before it the path did not bring.
    @inline(__always)
    mutating func move(to sequence: UInt64, topic: Int, path: UInt8) -> UInt32 {
        let place = topic * paths + Int(path)
        if place >= numbers.count { makeRoom(topic) }
        let known = numbers[place]
        let steps = Int32(truncatingIfNeeded: sequence) &- Int32(bitPattern: known)
        guard known == 0 || steps > 0 else { return 0 }
        numbers[place] = UInt32(truncatingIfNeeded: sequence)
        return known == 0 ? 0 : UInt32(steps) &- 1
    }

    /// Whether a path is at `sequence` or beyond it; `nil`: where it is is not known.
    func isAt(_ sequence: UInt64, topic: Int, path: UInt8) -> Bool? {
        let place = topic * paths + Int(path)
        guard place < numbers.count, numbers[place] != 0 else { return nil }
        return Int32(bitPattern: numbers[place]) &- Int32(truncatingIfNeeded: sequence) >= 0
    }

    /// Other paths are expected to deliver from now on: what each has brought is not known any more.
    mutating func forgetAll() {
        for place in numbers.indices { numbers[place] = 0 }
    }

    mutating func forget(topic: Int) {
        let first = topic * paths
        guard first < numbers.count else { return }
        for place in first..<first + paths { numbers[place] = 0 }
    }

    private mutating func makeRoom(_ topic: Int) {
        numbers.append(contentsOf: repeatElement(0, count: (topic + 1) * paths - numbers.count))
    }
}

extension TopicArbiter {
    /// A path brought a message that was delivered, perhaps by another one. Where one path delivers alone nothing can be
    /// missed that another one brought.
    @inline(__always)
    mutating func note(_ sequence: UInt64, of topic: Int, by path: UInt8) {
        let bit: UInt8 = 1 << (path & 7)
        guard mayWait, active & ~distrusted & bit != 0 else { return }
        let missed = positions.move(to: sequence, topic: topic, path: path)
        if missed > 0 { paths[Int(path)].counters.missed &+= UInt64(missed) }
    }

    /// A path says that it has sent all up to a number that was delivered.
    mutating func note(through sequence: UInt64, of topic: Int, by path: UInt8) {
        guard mayWait, active & ~distrusted & (1 << (path & 7)) != 0, sequence > 0,
            let isThere = positions.isAt(sequence, topic: topic, path: path),
            !isThere
        else { return }
        note(sequence, of: topic, by: path)
        paths[Int(path)].counters.missed &+= 1
    }

    /// Numbers that nobody brought are told: no path missed them. Before `TopicRecord.last` goes past them.
    /// - Parameter beyond: the paths that have gone past them, a bit each; others may be behind.
    mutating func pass(_ range: SequenceRange, of topic: Int, beyond: UInt8) {
        for path in 0..<UInt8(options.paths) {
            guard let isThere = positions.isAt(range.first - 1, topic: topic, path: path),
                isThere || beyond & 1 << path != 0
            else { continue }
            if !isThere { note(through: range.first - 1, of: topic, by: path) }
            _ = positions.move(to: range.last, topic: topic, path: path)
        }
    }
}
