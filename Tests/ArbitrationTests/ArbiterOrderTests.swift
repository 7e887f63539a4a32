// Order, holes and copies within one session.
import Arbitration
import Basics
import Testing

@Suite struct ArbiterOrderTests {
    @Test func `what is in order goes straight through`() {
        var dialogue = Dialogue()
        #expect(dialogue.offer(5...8) == [.message(5), .message(6), .message(7), .message(8)])
        #expect(dialogue.arbiter.deadline == nil)
        #expect(dialogue.arbiter.counters.held == 0)
        #expect(dialogue.arbiter.lastPublished == 8)
    }

    @Test func `the second copy is a duplicate, and so is one from before the start`() {
        var dialogue = Dialogue()
        #expect(dialogue.offer(5) == [.message(5)])
        #expect(dialogue.offer(5, path: 1) == [.refused(.duplicate)])
        #expect(dialogue.offer(4, path: 1) == [.refused(.duplicate)])
        #expect(dialogue.arbiter.counters.duplicates == 2)
        #expect(dialogue.arbiter.counters.divergent == 0)
    }

    @Test func `an arbiter that goes on behind an earlier run misses what came meanwhile`() {
        var dialogue = Dialogue()
        dialogue.arbiter.resume(7, after: 4, at: dialogue.now)
        let begun = (dialogue.arbiter.hasBegun, dialogue.arbiter.first, dialogue.arbiter.hasHole)
        #expect(begun == (true, 5, false))
        let ahead = dialogue.offer(7)
        #expect(ahead == [.refused(.held)])
        let filled = dialogue.offer(5...6, path: 1)
        #expect(filled == [.message(5), .message(6), .message(7)])
        dialogue.arbiter.resume(7, after: 100, at: dialogue.now)
        let next = dialogue.offer(8)
        #expect(next == [.message(8)])
    }

    @Test func `a hole is filled by the other path`() {
        var dialogue = Dialogue()
        #expect(dialogue.offer(1) == [.message(1)])
        #expect(dialogue.offer(3) == [.refused(.held)])
        #expect(dialogue.offer(4) == [.refused(.held)])
        #expect(dialogue.arbiter.deadline == dialogue.now + .milliseconds(20))
        #expect(dialogue.offer(2, path: 1) == [.message(2), .message(3), .message(4)])
        #expect(dialogue.arbiter.deadline == nil)
        #expect(dialogue.offer(3, path: 1) == [.refused(.duplicate)])
        #expect(dialogue.offer(5) == [.message(5)])
    }

    @Test func `a hole is told after the reorder time, and what comes then is late`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1)
        _ = dialogue.offer(4)
        #expect(dialogue.tick(after: 19) == [])
        #expect(dialogue.tick(after: 1) == [.gap(2, 3, .timeout), .message(4)])
        #expect(dialogue.offer(3, path: 1) == [.refused(.late)])
        #expect(dialogue.offer(5) == [.message(5)])
        #expect(dialogue.arbiter.counters.gapsTold == 2)
        #expect(dialogue.arbiter.counters(of: 1).late == 1)
    }

    @Test func `what waits in the socket of the other path is read before a hole is told`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1)
        _ = dialogue.offer(3)
        // Nobody read for a while; the other path had brought it in time.
        dialogue.pass(60)
        #expect(dialogue.offer(4) == [.refused(.held)])
        #expect(dialogue.offer(2, path: 1) == [.message(2), .message(3), .message(4)])
        // Where reading never ends, no tick comes.
        _ = dialogue.offer(6)
        dialogue.pass(120)
        #expect(dialogue.offer(7) == [.refused(.held), .gap(5, 5, .timeout), .message(6), .message(7)])
    }

    @Test func `each hole has its own time`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1)
        _ = dialogue.offer(3)
        dialogue.pass(10)
        _ = dialogue.offer(5)
        #expect(dialogue.tick(after: 10) == [.gap(2, 2, .timeout), .message(3)])
        #expect(dialogue.arbiter.deadline == dialogue.now + .milliseconds(10))
        #expect(dialogue.tick(after: 10) == [.gap(4, 4, .timeout), .message(5)])
    }

    @Test func `as many as may wait make a hole certain`() {
        var dialogue = Dialogue { $0.reorderCount = 4 }
        _ = dialogue.offer(1)
        #expect(dialogue.offer(3...5) == [.refused(.held), .refused(.held), .refused(.held)])
        let published = dialogue.offer(6)
        #expect(
            published == [
                .refused(.held), .gap(2, 2, .windowFull), .message(3), .message(4), .message(5), .message(6),
            ])
    }

    @Test func `too many waiting bytes make a hole certain`() {
        var dialogue = Dialogue { $0.reorderBytes = 100 }
        _ = dialogue.offer(1)
        _ = dialogue.offer(3, payload: Array(repeating: 1, count: 80))
        let published = dialogue.offer(4, payload: Array(repeating: 1, count: 80))
        #expect(published == [.refused(.held), .gap(2, 2, .windowFull), .message(3), .message(4)])
    }

    @Test func `a message for which there is no room is counted and told`() {
        var dialogue = Dialogue { $0.reorderCount = 2 }
        _ = dialogue.offer(1)
        let bytes: [UInt8] = [1]
        for sequence: UInt64 in 3...4 {
            let arrival = Arrival(
                path: 0, session: 7, sequence: sequence, receivedAt: WallTime(nanoseconds: 99))
            #expect(dialogue.arbiter.offer(arrival, payload: bytes[...], at: dialogue.now) == .held)
        }
        #expect(
            dialogue.offer(5) == [.refused(.refused), .gap(2, 2, .windowFull), .message(3), .message(4)])
        #expect(dialogue.arbiter.counters.overflow == 1)
        #expect(dialogue.offer(6) == [.refused(.held)])
        #expect(dialogue.tick(after: 20) == [.gap(5, 5, .timeout), .message(6)])
    }

    @Test func `when two want one slot the later number gives way`() {
        var dialogue = Dialogue { $0.reorderCount = 4 }
        _ = dialogue.offer(1)
        #expect(dialogue.offer(19) == [.refused(.held)])
        #expect(dialogue.offer(3, path: 1) == [.refused(.held)])
        #expect(dialogue.arbiter.counters.overflow == 1)
        #expect(
            dialogue.tick(after: 20) == [
                .gap(2, 2, .timeout), .message(3), .gap(4, 18, .timeout), .gap(19, 19, .windowFull),
            ])
    }

    @Test func `a heartbeat shows that the last message was lost`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1)
        #expect(dialogue.heard(next: 2) == [])
        #expect(dialogue.arbiter.deadline == nil)
        #expect(dialogue.heard(next: 4) == [])
        #expect(dialogue.offer(3, path: 1) == [.refused(.held)])
        #expect(dialogue.tick(after: 20) == [.gap(2, 2, .timeout), .message(3)])
        #expect(dialogue.offer(4) == [.message(4)])
    }

    @Test func `a channel that began with a heartbeat misses its first message`() {
        var dialogue = Dialogue()
        #expect(dialogue.heard(next: 10) == [])
        #expect(dialogue.offer(11) == [.refused(.held)])
        #expect(dialogue.tick(after: 20) == [.gap(10, 10, .timeout), .message(11)])
    }

    @Test func `a hole that every path has passed is told at once where paths keep their order`() {
        var dialogue = Dialogue { $0.tellsWhenPassed = true }
        _ = dialogue.offer(1)
        #expect(dialogue.offer(3, path: 0) == [.refused(.held)])
        #expect(
            dialogue.offer(4, path: 1) == [.refused(.held), .gap(2, 2, .passed), .message(3), .message(4)])
        dialogue.arbiter.set(1, isActive: false)
        #expect(dialogue.offer(6, path: 0) == [.refused(.held), .gap(5, 5, .passed), .message(6)])
    }

    @Test func `giving up tells everything that is missing`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1)
        _ = dialogue.offer(3)
        _ = dialogue.heard(next: 6)
        #expect(dialogue.giveUp() == [.gap(2, 2, .givenUp), .message(3), .gap(4, 5, .givenUp)])
    }
}
