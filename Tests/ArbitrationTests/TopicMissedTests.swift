// What a path of a feed whose topics are numbered each by itself missed, as far as another one brought it.
import Arbitration
import Basics
import Testing

extension TopicDialogue {
    fileprivate func missed(by path: UInt8) -> UInt64 { arbiter.counters(of: path).missed }

    fileprivate mutating func bring(_ sequences: [UInt64], topic: Int = 0, path: UInt8) {
        for sequence in sequences { _ = offer(sequence, topic: topic, path: path) }
    }
}

@Suite struct TopicMissedTests {
    @Test func `a path that went past what the other brought has missed it`() {
        var dialogue = TopicDialogue(active: [0, 1])
        for sequence: UInt64 in 1...100 {
            dialogue.bring([sequence], path: 0)
            if sequence % 2 == 0 { dialogue.bring([sequence], path: 1) }
        }
        #expect(dialogue.missed(by: 1) == 49, "what it had before its first word is not known")
        #expect(dialogue.missed(by: 0) == 0)
        #expect(dialogue.arbiter.counters.gapsTold == 0)
    }

    @Test func `a path that is only late, however far, has missed nothing`() {
        var dialogue = TopicDialogue(active: [0, 1])
        dialogue.bring(Array(1...500), path: 0)
        dialogue.bring(Array(1...500), path: 1)
        #expect(dialogue.missed(by: 1) == 0)
        dialogue.bring([501], path: 1)
        dialogue.bring([501, 502], path: 0)
        #expect([0, 1].map { dialogue.missed(by: $0) } == [0, 0])
    }

    @Test func `what nobody brought is a gap and no path's miss`() {
        var dialogue = TopicDialogue(active: [0, 1])
        dialogue.bring([1, 2], path: 0)
        dialogue.bring([1, 2], path: 1)
        dialogue.bring([5], path: 0)
        dialogue.bring([5, 6], path: 1)
        #expect(dialogue.tick(after: 20) == [.gap(3, 4, .timeout), .message(5), .message(6)])
        dialogue.bring([6, 7], path: 0)
        dialogue.bring([7], path: 1)
        #expect([0, 1].map { dialogue.missed(by: $0) } == [0, 0])
    }

    @Test func `of a hole that the other path filled in part the rest is a gap`() {
        var dialogue = TopicDialogue(active: [0, 1])
        dialogue.bring([1], path: 0)
        dialogue.bring([1], path: 1)
        dialogue.bring([4], path: 0)
        dialogue.bring([2], path: 1)
        #expect(dialogue.tick(after: 20) == [.gap(3, 3, .timeout), .message(4)])
        dialogue.bring([4], path: 1)
        #expect([0, 1].map { dialogue.missed(by: $0) } == [1, 0])
    }

    @Test func `an idle frame says that the last message was sent, and missed`() {
        var dialogue = TopicDialogue(active: [0, 1])
        dialogue.bring([1, 2], path: 0)
        dialogue.bring([1], path: 1)
        _ = dialogue.caughtUp(2, path: 1)
        #expect(dialogue.missed(by: 1) == 1)
        _ = dialogue.caughtUp(2, path: 1)
        dialogue.bring([3], path: 0)
        dialogue.bring([3], path: 1)
        #expect(dialogue.missed(by: 1) == 1)
    }

    @Test func `nothing is missed while a path is not in use, or in another session`() {
        var dialogue = TopicDialogue(active: [0, 1])
        dialogue.bring([1], path: 0)
        dialogue.bring([1], path: 1)
        dialogue.arbiter.set(1, isActive: false)
        dialogue.bring([2, 3, 4], path: 0)
        dialogue.arbiter.set(1, isActive: true)
        dialogue.bring([5], path: 0)
        dialogue.bring([5], path: 1)
        _ = dialogue.offer(1, path: 0, session: 8)
        _ = dialogue.offer(1, path: 1, session: 8)
        #expect([0, 1].map { dialogue.missed(by: $0) } == [0, 0])
    }

    @Test func `each topic counts by itself, also beyond what half a number holds`() {
        var dialogue = TopicDialogue(active: [0, 1])
        let high: UInt64 = (1 << 32) - 2
        for path: UInt8 in [0, 1] { dialogue.bring([high], topic: 3, path: path) }
        dialogue.bring(Array(high + 1...high + 6), topic: 3, path: 0)
        dialogue.bring([1, 2], topic: 1, path: 0)
        dialogue.bring([high + 6], topic: 3, path: 1)
        #expect(dialogue.missed(by: 1) == 5)
    }
}
