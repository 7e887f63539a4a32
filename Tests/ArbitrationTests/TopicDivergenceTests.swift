// Copies of topics' messages that differ: which are compared, what is reported, and what a path is good for that is not
// trusted.
import Arbitration
import Basics
import Testing

@Suite struct TopicDivergenceTests {
    private func both() -> TopicDialogue { TopicDialogue(active: [0, 1]) }

    @Test func `a copy of a topic's last message that differs is named`() {
        var dialogue = both()
        _ = dialogue.offer(1)
        _ = dialogue.offer(9, topic: 5)
        #expect(dialogue.offer(1, path: 1) == [.refused(.duplicate)])
        #expect(
            dialogue.offer(9, topic: 5, path: 1, payload: [9]) == [.refused(.duplicate), .divergent(path: 1)])
        #expect(
            dialogue.arbiter.counters(of: 1).divergent == 1 && dialogue.arbiter.counters(of: 0).divergent == 0
        )
        #expect(dialogue.arbiter.counters.divergent == 1 && dialogue.arbiter.counters.duplicates == 2)
    }

    @Test func `a divergence says of which topic it is, and whose copy was delivered`() {
        var dialogue = both()
        _ = dialogue.offer(4, topic: 3, path: 1)
        let copy = Arrival(path: 0, session: 7, sequence: 4, receivedAt: WallTime(nanoseconds: 0))
        _ = dialogue.arbiter.offer(topic: 3, copy, payload: [9], at: dialogue.now)
        let divergence = Divergence(path: 0, deliveredBy: 1, sequence: 4)
        #expect(dialogue.arbiter.nextReleased() == TopicRelease(topic: 3, .divergence(divergence)))
    }

    @Test func `only the last message of a topic is remembered`() {
        var dialogue = both()
        _ = dialogue.offer(1)
        _ = dialogue.offer(2)
        #expect(dialogue.offer(1, path: 1, payload: [9]) == [.refused(.duplicate)])
        #expect(dialogue.offer(2, path: 1, payload: [9]) == [.refused(.duplicate), .divergent(path: 1)])
    }

    @Test func `a path is not compared with itself`() {
        var dialogue = both()
        _ = dialogue.offer(1)
        #expect(dialogue.offer(1, payload: [9]) == [.refused(.duplicate)])
    }

    @Test func `what was told as missing or only named is not compared`() {
        var dialogue = both()
        _ = dialogue.offer(1)
        _ = dialogue.caughtUp(3)
        #expect(dialogue.tick(after: 20) == [.gap(2, 3, .timeout)])
        #expect(dialogue.offer(3, path: 1, payload: [9]) == [.refused(.duplicate)])
        _ = dialogue.caughtUp(7, topic: 1)
        #expect(dialogue.offer(7, topic: 1, path: 1, payload: [9]) == [.refused(.duplicate)])
        #expect(dialogue.arbiter.counters.divergent == 0)
    }

    @Test func `a session that is resumed is not compared with the one in between`() {
        var dialogue = TopicDialogue()
        _ = dialogue.offer(1, session: 7)
        _ = dialogue.offer(1, session: 8, payload: [8])
        _ = dialogue.tick(after: 500)
        _ = dialogue.offer(2, session: 7)
        #expect(dialogue.offer(2, path: 1, session: 7) == [.refused(.duplicate)])
        #expect(dialogue.offer(1, path: 1, session: 7) == [.refused(.duplicate)])
        #expect(dialogue.arbiter.counters.divergent == 0)
    }

    @Test func `a differing copy of a held message is named, and so is one of what was held`() {
        var dialogue = both()
        _ = dialogue.offer(1)
        _ = dialogue.offer(3)
        #expect(dialogue.offer(3, path: 1, payload: [9]) == [.refused(.duplicate), .divergent(path: 1)])
        #expect(dialogue.offer(2, path: 1) == [.message(2), .message(3)])
        dialogue.now = milliseconds(20_000)
        #expect(dialogue.offer(3, path: 1, payload: [9]) == [.refused(.duplicate), .divergent(path: 1)])
        #expect(dialogue.arbiter.held == 0)
    }

    @Test func `the third copy that differs within a second is reported as repeated, whatever their topics`()
    {
        var dialogue = both()
        var reported: [Bool] = []
        for topic in 0..<10 {
            _ = dialogue.offer(1, topic: topic)
            let copy = Arrival(path: 1, session: 7, sequence: 1, receivedAt: WallTime(nanoseconds: 0))
            _ = dialogue.arbiter.offer(topic: topic, copy, payload: [9], at: dialogue.now)
            while case .divergence(let found)? = dialogue.arbiter.nextReleased()?.released {
                reported.append(found.isRepeated)
            }
            if topic == 4 { _ = dialogue.tick(after: 1000) }
        }
        #expect(reported == [false, true, true])
        #expect(dialogue.arbiter.counters(of: 1).divergent == 10)
    }

    @Test func `a path that is not trusted delivers nothing and begins nothing, and is compared`() {
        var dialogue = both()
        _ = dialogue.offer(1)
        _ = dialogue.offer(2)
        dialogue.arbiter.set(1, isActive: false)
        dialogue.arbiter.set(1, isTrusted: false)
        #expect(dialogue.offer(3, path: 1) == [.refused(.refused)])
        #expect(dialogue.offer(1, path: 1, session: 8) == [.refused(.refused)])
        #expect(dialogue.offer(1, topic: 1, path: 1) == [.refused(.refused)])
        #expect(dialogue.caughtUp(900, path: 1) == [])
        #expect(dialogue.arbiter.session == 7 && dialogue.arbiter.last(of: 0) == 2)
        #expect(dialogue.offer(2, path: 1) == [.refused(.duplicate)])
        #expect(dialogue.offer(2, path: 1, payload: [9]) == [.refused(.duplicate), .divergent(path: 1)])
        // What it said first, as the other does.
        #expect(dialogue.offer(3) == [.message(3)])
        #expect(dialogue.arbiter.counters.distrusted == 3 && dialogue.arbiter.counters.divergent == 1)
        dialogue.arbiter.set(1, isTrusted: true)
        #expect(dialogue.offer(4, path: 1) == [.message(4)])
    }

    @Test func `what a path that is not trusted said first is held against it`() {
        var dialogue = both()
        for topic in 0..<4 { _ = dialogue.offer(1, topic: topic) }
        dialogue.arbiter.set(1, isTrusted: false)
        for topic in 0..<4 { _ = dialogue.offer(2, topic: topic, path: 1, payload: [9]) }
        let said = (0..<4).map { dialogue.offer(2, topic: $0) }
        #expect(
            said == [
                [.message(2), .divergent(path: 1)], [.message(2)], [.message(2)], [.message(2)],
            ])
        #expect(dialogue.arbiter.counters(of: 1).divergent == 4)
    }

    @Test func `a path that is not trusted is reported for as long as it differs, however seldom`() {
        var dialogue = both()
        _ = dialogue.offer(1)
        dialogue.arbiter.set(1, isTrusted: false)
        var reported: [Bool] = []
        for _ in 0..<6 {
            _ = dialogue.tick(after: 25)
            let copy = Arrival(path: 1, session: 7, sequence: 1, receivedAt: WallTime(nanoseconds: 0))
            _ = dialogue.arbiter.offer(topic: 0, copy, payload: [9], at: dialogue.now)
            while case .divergence(let found)? = dialogue.arbiter.nextReleased()?.released {
                reported.append(found.isRepeated)
            }
        }
        #expect(reported == [true, true, true])
        #expect(dialogue.arbiter.counters(of: 1).divergent == 6)
    }

    @Test func `what waits is compared with what a path that is not trusted says of it`() {
        var dialogue = TopicDialogue(active: [0, 1]) { $0.paths = 3 }
        _ = dialogue.offer(1)
        dialogue.arbiter.set(2, isTrusted: false)
        _ = dialogue.offer(3)
        #expect(dialogue.offer(3, path: 2, payload: [9]) == [.refused(.duplicate), .divergent(path: 2)])
        #expect(dialogue.offer(2, path: 1) == [.message(2), .message(3)])
    }
}
