// One session after another, on lines that are not equally fast.
import Arbitration
import Basics
import Testing

@Suite struct ArbiterSessionTests {
    @Test func `a new session on every path is a new epoch, and the old one's holes are told`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1)
        _ = dialogue.offer(3)
        #expect(dialogue.offer(1, path: 0, session: 9) == [.refused(.held)])
        #expect(
            dialogue.offer(1, path: 1, session: 9) == [
                .refused(.held), .gap(2, 2, .epochLeft), .message(3), .epoch(9, .session), .message(1),
            ])
        #expect(dialogue.offer(2, session: 9) == [.message(2)])
        #expect(dialogue.arbiter.counters.epochs == 1)
    }

    @Test func `the slower line's tail of the old session still counts`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1...2)
        #expect(dialogue.offer(1, path: 0, session: 9) == [.refused(.held)])
        #expect(dialogue.offer(3...4, path: 1) == [.message(3), .message(4)])
        #expect(dialogue.offer(2, path: 0, session: 9) == [.refused(.held)])
        #expect(
            dialogue.offer(1, path: 1, session: 9) == [
                .refused(.held), .epoch(9, .session), .message(1), .message(2),
            ])
        #expect(dialogue.offer(4, path: 1) == [.refused(.oldEpoch)])
        #expect(dialogue.offer(3, path: 1, session: 9) == [.message(3)])
    }

    @Test func `a session that two packets prove is entered after the reorder time`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1)
        _ = dialogue.offer(1...2, session: 9)
        #expect(dialogue.tick(after: 19) == [])
        #expect(dialogue.tick(after: 1) == [.epoch(9, .session), .message(1), .message(2)])
        #expect(dialogue.arbiter.deadline == nil)
    }

    @Test func `a session begins at one: what was lost of it is told`() {
        var dialogue = Dialogue(paths: 1)
        _ = dialogue.offer(500)
        #expect(dialogue.offer(3, session: 9) == [.refused(.held)])
        #expect(dialogue.offer(4, session: 9) == [.refused(.held), .epoch(9, .session)])
        #expect(dialogue.tick(after: 20) == [.gap(1, 2, .timeout), .message(3), .message(4)])
    }

    @Test func `heartbeats alone can begin a session`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(500)
        #expect(dialogue.heard(next: 3, path: 0, session: 9) == [])
        #expect(dialogue.heard(next: 3, path: 1, session: 9) == [.epoch(9, .session)])
        #expect(dialogue.tick(after: 20) == [.gap(1, 2, .timeout)])
        #expect(dialogue.offer(3, session: 9) == [.message(3)])
    }

    @Test func `one damaged packet that names another session changes nothing`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1)
        #expect(dialogue.offer(2, session: 99) == [.refused(.held)])
        #expect(dialogue.offer(2) == [.message(2)])
        #expect(dialogue.tick(after: 20) == [])
        #expect(dialogue.arbiter.deadline == nil)
        #expect(dialogue.offer(3) == [.message(3)])
        #expect(dialogue.arbiter.counters.epochs == 0)
        #expect(dialogue.arbiter.counters.implausible == 1)
    }

    @Test func `a lonely packet of another session is believed in the end`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(500)
        _ = dialogue.offer(1, session: 9)
        #expect(dialogue.tick(after: 499) == [])
        #expect(dialogue.tick(after: 1) == [.epoch(9, .session), .message(1)])
    }

    @Test func `a third session has to wait`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(500)
        _ = dialogue.offer(1, path: 0, session: 9)
        #expect(dialogue.offer(1, path: 1, session: 10) == [.refused(.refused)])
        #expect(dialogue.arbiter.counters.implausible == 1)
    }

    @Test func `stragglers of a left session do not bring it back while a path stays on the new one`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1)
        _ = dialogue.offer(1, path: 0, session: 9)
        _ = dialogue.offer(2, path: 0, session: 9)
        #expect(dialogue.tick(after: 20) == [.epoch(9, .session), .message(1), .message(2)])
        for sequence: UInt64 in 2...50 {
            dialogue.pass(100)
            #expect(dialogue.offer(sequence, path: 1) == [.refused(.oldEpoch)])
        }
        #expect(dialogue.arbiter.counters.oldEpoch == 49)
        #expect(dialogue.arbiter.counters.epochs == 1)
        #expect(dialogue.offer(3, path: 1, session: 9) == [.message(3)])
    }

    @Test func `a session that was left by mistake is resumed where it stood`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1...4)
        _ = dialogue.offer(70, session: 99)
        _ = dialogue.offer(71, session: 99)
        #expect(dialogue.tick(after: 20).first == .epoch(99, .session))
        #expect(dialogue.tick(after: 20) == [.gap(1, 69, .timeout), .message(70), .message(71)])
        #expect(dialogue.offer(5, path: 0) == [.refused(.oldEpoch)])
        #expect(dialogue.offer(5, path: 1) == [.refused(.oldEpoch)])
        dialogue.pass(500)
        #expect(dialogue.offer(6, path: 0) == [.refused(.held), .epoch(7, .resumed)])
        #expect(dialogue.tick(after: 20) == [.gap(5, 5, .timeout), .message(6)])
        #expect(dialogue.offer(7, path: 1) == [.message(7)])
    }

    @Test func `what waits for a new session is bounded`() {
        var dialogue = Dialogue { $0.reorderCount = 4 }
        _ = dialogue.offer(500)
        #expect(dialogue.offer(1...3, session: 9) == Array(repeating: .refused(.held), count: 3))
        #expect(
            dialogue.offer(4, session: 9) == [
                .refused(.held), .epoch(9, .session), .message(1), .message(2), .message(3), .message(4),
            ])
    }
}
