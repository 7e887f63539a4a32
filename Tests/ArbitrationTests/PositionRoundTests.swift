// Who takes all topics of a feed is shown where each stands, as a dialogue; and what waits behind that.
import Basics
import Testing

@testable import Arbitration

@Suite struct PositionRoundTests {
    /// What was shown to each connection, and to whom all of it was.
    private struct Dialogue {
        var round = PositionRound()
        var shown: [Int32: [Int]] = [:]
        var done: [Int32] = []

        mutating func turn(of topics: Int, _ milliseconds: Int64) {
            var seen: [(Int, [Int32])] = []
            let done = round.turn(of: topics, at: time(milliseconds)) { seen.append(($0, $1)) }
            for (topic, connections) in seen {
                for connection in connections { shown[connection, default: []].append(topic) }
            }
            self.done += done
        }
    }

    @Test func `each topic is shown once, a few at a time`() {
        var dialogue = Dialogue()
        #expect(dialogue.round.deadline == nil)
        let begins = dialogue.round.begin(3, of: 600, at: time(5))
        #expect(begins && dialogue.round.deadline == time(5))
        dialogue.turn(of: 600, 5)
        #expect(dialogue.shown[3] == Array(0..<256) && dialogue.done.isEmpty)
        #expect(dialogue.round.deadline == time(15))
        dialogue.turn(of: 600, 14)
        #expect(dialogue.shown[3]?.count == 256)
        dialogue.turn(of: 600, 15)
        dialogue.turn(of: 600, 25)
        #expect(dialogue.shown[3] == Array(0..<600) && dialogue.done == [3])
        #expect(dialogue.round.deadline == nil)
    }

    @Test func `who comes later is shown the same ones, and from the beginning what it did not see`() {
        var dialogue = Dialogue()
        _ = dialogue.round.begin(3, of: 300, at: time(0))
        dialogue.turn(of: 300, 0)
        let begins = dialogue.round.begin(4, of: 300, at: time(1))
        #expect(begins)
        dialogue.turn(of: 300, 10)
        #expect(dialogue.done == [3] && dialogue.shown[3] == Array(0..<300))
        // Topics that come meanwhile are nobody's duty: their first message shows them.
        dialogue.turn(of: 301, 20)
        #expect(dialogue.done == [3, 4])
        #expect(dialogue.shown[4]?.sorted() == Array(0..<300))
    }

    @Test func `many are shown fewer at a time, and all of them once`() {
        var dialogue = Dialogue()
        for connection in 0..<2000 as Range<Int32> {
            _ = dialogue.round.begin(connection, of: 3, at: time(0))
        }
        dialogue.turn(of: 3, 0)
        #expect(dialogue.shown[7] == [0])
        for turn in 1...2 as ClosedRange<Int64> { dialogue.turn(of: 3, 10 * turn) }
        #expect(dialogue.done.count == 2000 && dialogue.shown.values.allSatisfy { $0 == [0, 1, 2] })
    }

    @Test func `who asks again is shown all again, and who is gone nothing`() {
        var dialogue = Dialogue()
        _ = dialogue.round.begin(3, of: 300, at: time(0))
        _ = dialogue.round.begin(4, of: 300, at: time(0))
        dialogue.turn(of: 300, 0)
        let begins = dialogue.round.begin(3, of: 300, at: time(1))
        #expect(!begins)
        dialogue.round.leave(4)
        dialogue.turn(of: 300, 10)
        #expect(dialogue.done.isEmpty)
        dialogue.turn(of: 300, 20)
        #expect(dialogue.done == [3])
        #expect(dialogue.shown[3] == Array(0..<300) + Array(0..<256) && dialogue.shown[4]?.count == 256)
        _ = dialogue.round.begin(5, of: 300, at: time(30))
        #expect(dialogue.round.end() == [5] && dialogue.round.deadline == nil)
    }

    @Test func `a feed without topics has nothing to show`() {
        var round = PositionRound()
        let begins = round.begin(3, of: 0, at: time(0))
        #expect(!begins && round.deadline == nil)
    }

    @Test func `markers wait for all feeds that are being shown to their connection`() {
        var queue = MarkerQueue()
        let early = queue.keep([1], for: 3)
        #expect(!early)
        queue.begin(3)
        queue.begin(3)
        let (kept, others) = (queue.keep([2], for: 3), queue.keep([3], for: 4))
        #expect(kept && !others)
        #expect(queue.end(3) == [])
        _ = queue.keep([4], for: 3)
        #expect(queue.end(3) == [[2], [4]])
        let late = queue.keep([5], for: 3)
        #expect(!late && queue.end(3) == [])
    }

    @Test func `markers of who is gone are sent to nobody, and there is a bound`() {
        var queue = MarkerQueue()
        queue.begin(3)
        for number in 0...MarkerQueue.most { _ = queue.keep([UInt8(truncatingIfNeeded: number)], for: 3) }
        #expect(queue.end(3).count == MarkerQueue.most)
        queue.begin(3)
        _ = queue.keep([2], for: 3)
        queue.leave(3)
        #expect(queue.end(3) == [])
    }
}

private func time(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }
