// Numbers far ahead: one packet alone may be damaged, and is believed when another one agrees.
import Arbitration
import Basics
import Testing

@Suite struct ArbiterJumpTests {
    /// How far ahead these numbers are.
    static let jumps: [UInt64] = [4097, 1_000_000, 10_000_000, 1 << 40]

    @Test(arguments: jumps)
    func `a damaged number far ahead changes nothing, and is dropped when its path goes on`(_ jump: UInt64) {
        var dialogue = Dialogue()
        _ = dialogue.offer(1)
        #expect(dialogue.offer(1 + jump) == [.refused(.held)])
        #expect(dialogue.offer(2 + jump, samePacket: true) == [.refused(.held)])
        #expect(dialogue.arbiter.waiting == 2)
        #expect(dialogue.tick(after: 100) == [])
        #expect(dialogue.offer(2, path: 1) == [.message(2)])
        #expect(dialogue.arbiter.counters.unconfirmed == 0)
        #expect(dialogue.offer(3) == [.message(3)])
        #expect(dialogue.arbiter.counters.unconfirmed == 2)
        #expect(dialogue.arbiter.waiting == 0 && dialogue.arbiter.highest == 3)
        #expect(dialogue.arbiter.mayRelease == false)
    }

    @Test(arguments: jumps)
    func `a jump that the next packet of the path confirms is a gap, and nothing else is lost`(_ jump: UInt64)
    {
        var dialogue = Dialogue(paths: 1)
        _ = dialogue.offer(1)
        #expect(dialogue.offer(1 + jump) == [.refused(.held)])
        #expect(dialogue.offer(2 + jump) == [.refused(.held)])
        #expect(
            dialogue.tick(after: 20) == [.gap(2, jump, .timeout), .message(1 + jump), .message(2 + jump)])
        #expect(dialogue.offer(3 + jump) == [.message(3 + jump)])
        #expect(dialogue.arbiter.counters.unconfirmed == 0)
    }

    @Test func `a jump that another path confirms is a gap`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1)
        _ = dialogue.offer(50_000)
        _ = dialogue.offer(50_001, samePacket: true)
        #expect(dialogue.offer(50_000, path: 1) == [.refused(.duplicate)])
        #expect(dialogue.offer(50_002, path: 1) == [.refused(.held)])
        let released: [Published] = [
            .gap(2, 49_999, .timeout), .message(50_000), .message(50_001), .message(50_002),
        ]
        #expect(dialogue.tick(after: 20) == released)
    }

    @Test func `a heartbeat confirms a jump, and a message one of a heartbeat`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1)
        _ = dialogue.offer(50_000)
        #expect(dialogue.heard(next: 50_001) == [])
        #expect(dialogue.tick(after: 20) == [.gap(2, 49_999, .timeout), .message(50_000)])
        #expect(dialogue.heard(next: 90_001) == [])
        #expect(dialogue.arbiter.deadline == nil && dialogue.arbiter.highest == 50_000)
        #expect(dialogue.offer(90_001) == [.refused(.held)])
        #expect(dialogue.tick(after: 20) == [.gap(50_001, 90_000, .timeout), .message(90_001)])
    }

    @Test func `a jump that a heartbeat of the other path confirms is a gap`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1)
        #expect(dialogue.heard(next: 50_000_000) == [])
        #expect(dialogue.arbiter.deadline == nil)
        #expect(dialogue.heard(next: 50_000_000, path: 1) == [])
        #expect(dialogue.tick(after: 20) == [.gap(2, 49_999_999, .timeout)])
    }

    @Test func `a damaged heartbeat is dropped when its path goes on`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1)
        _ = dialogue.heard(next: 70_000)
        _ = dialogue.heard(next: 2)
        #expect(dialogue.arbiter.counters.unconfirmed == 1)
        #expect(dialogue.heard(next: 70_001) == [])
        #expect(dialogue.offer(2) == [.message(2)])
        #expect(dialogue.arbiter.counters.unconfirmed == 2)
    }

    @Test func `each path has one word that waits, and another one far from it takes its place`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1)
        _ = dialogue.offer(1_000_000)
        _ = dialogue.offer(2_000_000, path: 1)
        _ = dialogue.offer(3_000_000)
        #expect(dialogue.arbiter.waiting == 2 && dialogue.arbiter.counters.unconfirmed == 1)
        // The other path's is the true one.
        _ = dialogue.offer(2_000_001, path: 1)
        #expect(
            dialogue.tick(after: 20)
                == [.gap(2, 1_999_999, .timeout), .message(2_000_000), .message(2_000_001)])
        #expect(dialogue.offer(2_000_002) == [.message(2_000_002)])
        #expect(dialogue.arbiter.counters.unconfirmed == 2)
    }

    @Test func `a jump is believed when the other path comes near it in order`() {
        var dialogue = Dialogue { $0.maximumJump = 10 }
        _ = dialogue.offer(1)
        #expect(dialogue.offer(13) == [.refused(.held)])
        #expect(dialogue.offer(2, path: 1) == [.message(2)])
        #expect(dialogue.offer(3, path: 1) == [.message(3)])
        #expect(
            dialogue.offer(4...12, path: 1) == (4...11).map { .message($0) } + [.message(12), .message(13)])
        #expect(dialogue.arbiter.counters.unconfirmed == 0)
    }

    @Test func `packets that changed places confirm each other`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1)
        _ = dialogue.offer(50_001)
        _ = dialogue.offer(50_000)
        #expect(
            dialogue.tick(after: 20) == [.gap(2, 49_999, .timeout), .message(50_000), .message(50_001)])
    }

    @Test func `what comes over a connection needs no other word`() {
        var dialogue = Dialogue { $0.overConnection = 1 << 1 }
        _ = dialogue.offer(1)
        #expect(dialogue.offer(50_000) == [.refused(.held)])
        #expect(dialogue.offer(90_000, path: 1) == [.refused(.held)])
        #expect(
            dialogue.tick(after: 20) == [
                .gap(2, 49_999, .timeout), .message(50_000), .gap(50_001, 89_999, .timeout), .message(90_000),
            ])
    }

    @Test func `what waits has a bound, and goes with its session`() {
        var dialogue = Dialogue { $0.reorderCount = 4 }
        _ = dialogue.offer(1)
        _ = dialogue.offer(50_000)
        for sequence: UInt64 in 50_001...50_006 { _ = dialogue.offer(sequence, samePacket: true) }
        #expect(dialogue.arbiter.waiting == 4 && dialogue.arbiter.counters.overflow == 3)
        _ = dialogue.offer(1, session: 8)
        _ = dialogue.offer(1, path: 1, session: 8)
        #expect(dialogue.arbiter.epoch == 8 && dialogue.arbiter.waiting == 0)
        #expect(dialogue.arbiter.counters.unconfirmed == 4)
    }

    @Test func `a path that is not trusted any more confirms nothing`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1)
        _ = dialogue.offer(50_000, path: 1)
        dialogue.arbiter.set(1, isTrusted: false)
        #expect(dialogue.offer(50_000) == [.refused(.held)])
        #expect(dialogue.arbiter.highest == 1 && dialogue.arbiter.counters.unconfirmed == 1)
    }
}
