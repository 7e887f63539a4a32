// Topics that are numbered each by itself, on one path at a time and on two at once.
import Arbitration
import Basics
import Testing

extension TopicArbiter {
    mutating func offer(topic: Int, _ arrival: Arrival, payload: [UInt8], at now: Instant) -> Offer {
        offer(topic: topic, arrival, payload: payload.span, at: now)
    }
}

/// A dialogue with a topic arbiter, in milliseconds.
struct TopicDialogue: ~Copyable {
    var arbiter: TopicArbiter
    var now = milliseconds(1000)

    init(active: [UInt8] = [0], _ change: (inout TopicArbiterOptions) -> Void = { _ in }) {
        var options = TopicArbiterOptions(paths: 2)
        change(&options)
        arbiter = TopicArbiter(options: options)
        for path in active { arbiter.set(path, isActive: true) }
    }

    private func arrival(_ sequence: UInt64, _ path: UInt8, _ session: UInt64) -> Arrival {
        Arrival(path: path, session: session, sequence: sequence, receivedAt: WallTime(nanoseconds: 0))
    }

    mutating func offer(
        _ sequence: UInt64, topic: Int = 0, path: UInt8 = 0, session: UInt64 = 7,
        payload: [UInt8] = [1, 2, 3]
    ) -> [Published] {
        let verdict = arbiter.offer(
            topic: topic, arrival(sequence, path, session), payload: payload, at: now)
        let drained = drain()
        return (verdict == .deliver ? [.message(sequence)] : [.refused(verdict)]) + drained
    }

    mutating func caughtUp(
        _ last: UInt64, topic: Int = 0, path: UInt8 = 0, session: UInt64 = 7, mayBeLeft: Bool = false
    ) -> [Published] {
        arbiter.caughtUp(topic: topic, arrival(last, path, session), mayBeLeft: mayBeLeft, at: now)
        return drain()
    }

    mutating func heardSession(_ session: UInt64, path: UInt8 = 0) -> UInt64? {
        arbiter.heardSession(arrival(0, path, session), at: now)
        return arbiter.session
    }

    mutating func join(topic: Int = 0) -> [Published] {
        arbiter.join(topic: topic)
        return drain()
    }

    mutating func tick(after count: Int64) -> [Published] {
        now = now + .milliseconds(count)
        arbiter.tick(at: now)
        return drain()
    }

    mutating func move(from old: UInt8, to new: UInt8) {
        arbiter.set(old, isActive: false)
        arbiter.set(new, isActive: true)
    }

    private mutating func drain() -> [Published] {
        var published: [Published] = []
        while let next = arbiter.nextReleased() { published.append(Published(next.released)) }
        return published
    }
}

@Suite struct TopicArbiterTests {
    @Test func `each topic has its own numbers`() {
        var dialogue = TopicDialogue()
        #expect(dialogue.offer(10, topic: 0) == [.message(10)])
        #expect(dialogue.offer(3, topic: 5) == [.message(3)])
        #expect(dialogue.offer(11, topic: 0) == [.message(11)])
        #expect(dialogue.arbiter.last(of: 0) == 11)
        #expect(dialogue.arbiter.last(of: 5) == 3)
        #expect(dialogue.arbiter.epoch(of: 5) == 7)
        #expect(dialogue.arbiter.epoch(of: 4) == nil)
    }

    @Test func `on one path what was passed is told at once`() {
        var dialogue = TopicDialogue()
        _ = dialogue.offer(1)
        #expect(dialogue.offer(4) == [.refused(.held), .gap(2, 3, .passed), .message(4)])
        #expect(dialogue.offer(3) == [.refused(.duplicate)])
        #expect(dialogue.arbiter.counters.gapsTold == 2)
        #expect(dialogue.arbiter.deadline == nil)
    }

    @Test func `what a topic had while nobody asked for it is no gap`() {
        var dialogue = TopicDialogue()
        _ = dialogue.offer(1)
        _ = dialogue.offer(2)
        #expect(dialogue.join() == [])
        #expect(dialogue.offer(2) == [.refused(.duplicate)], "from before")
        #expect(dialogue.offer(10) == [.message(10)])
        #expect(dialogue.offer(12) == [.refused(.held), .gap(11, 11, .passed), .message(12)])
        #expect(dialogue.join() == [])
        #expect(dialogue.caughtUp(11) == [], "from before")
        #expect(dialogue.caughtUp(20) == [])
        #expect(dialogue.offer(23) == [.refused(.held), .gap(21, 22, .passed), .message(23)])
        #expect(dialogue.arbiter.counters.gapsTold == 3)
    }

    @Test func `a topic that its upstream left in an older session is told of in that, and moves no other`() {
        var dialogue = TopicDialogue()
        #expect(dialogue.heardSession(8) == 8)
        #expect(dialogue.offer(4, topic: 0, session: 8) == [.message(4)])
        #expect(dialogue.caughtUp(5, topic: 1, session: 7, mayBeLeft: true) == [])
        #expect(dialogue.arbiter.epoch(of: 1) == 7 && dialogue.arbiter.last(of: 1) == 5)
        #expect(dialogue.offer(5, topic: 0, session: 8) == [.message(5)])
        // What it had there, and never came.
        #expect(dialogue.caughtUp(6, topic: 1, session: 7, mayBeLeft: true) == [.gap(6, 6, .passed)])
        // One that has come to the session is not led back.
        #expect(dialogue.caughtUp(9, topic: 0, session: 7, mayBeLeft: true) == [])
        #expect(dialogue.arbiter.session == 8 && dialogue.arbiter.last(of: 0) == 5)
        #expect(dialogue.caughtUp(6, topic: 0, session: 8, mayBeLeft: true) == [.gap(6, 6, .passed)])
        // It comes to it, from its beginning.
        #expect(
            dialogue.offer(2, topic: 1, session: 8) == [
                .refused(.held), .epoch(8, .session), .gap(1, 1, .passed), .message(2),
            ])
    }

    @Test func `the session that an upstream says it is in begins, and an older one does not`() {
        var dialogue = TopicDialogue(active: [0, 1])
        #expect(dialogue.heardSession(7) == 7)
        #expect(dialogue.heardSession(8) == 8)
        #expect(dialogue.heardSession(7, path: 1) == 8)
        dialogue.arbiter.set(1, isTrusted: false)
        #expect(dialogue.heardSession(9, path: 1) == 8)
        #expect(dialogue.heardSession(9) == 9)
        // Who was never in the present one may be behind; alone it is followed.
        dialogue.arbiter.set(1, isTrusted: true)
        #expect(dialogue.heardSession(5, path: 1) == 9)
        dialogue.arbiter.set(0, isActive: false)
        #expect(dialogue.heardSession(5, path: 1) == 5)
    }

    @Test func `where a path that is behind shows a topic, nothing of the present session is missing`() {
        var dialogue = TopicDialogue(active: [0, 1])
        _ = dialogue.offer(1, session: 7)
        _ = dialogue.offer(1, session: 8)
        _ = dialogue.tick(after: 100)
        #expect(dialogue.caughtUp(5, topic: 1, path: 1, session: 7, mayBeLeft: true) == [])
        _ = dialogue.caughtUp(400, topic: 1, session: 8, mayBeLeft: true)
        #expect(dialogue.tick(after: 100) == [] && dialogue.arbiter.last(of: 1) == 400)
        #expect(dialogue.offer(401, topic: 1, session: 8) == [.message(401)])
        #expect(dialogue.arbiter.counters.gapsTold == 0)
    }

    @Test func `a topic that was shown in a session before anybody was in it tells that it begins`() {
        var dialogue = TopicDialogue()
        _ = dialogue.offer(1, topic: 0, session: 7)
        #expect(dialogue.caughtUp(5, topic: 1, session: 8, mayBeLeft: true) == [])
        #expect(
            dialogue.offer(6, topic: 1, session: 8) == [
                .refused(.held), .epoch(8, .session), .message(6),
            ])
        #expect(dialogue.offer(7, topic: 1, session: 8) == [.message(7)])
    }

    @Test func `a topic that had nothing meanwhile, or another session, goes on`() {
        var dialogue = TopicDialogue()
        _ = dialogue.offer(5)
        #expect(dialogue.join() == [])
        #expect(dialogue.caughtUp(5) == [])
        #expect(dialogue.offer(7) == [.refused(.held), .gap(6, 6, .passed), .message(7)])
        #expect(dialogue.join() == [])
        #expect(dialogue.offer(3, session: 8).contains(.message(3)))
        #expect(dialogue.arbiter.counters.gapsTold == 1)
    }

    @Test func `what waits for the other path is told before the topic is subscribed anew`() {
        var dialogue = TopicDialogue(active: [0, 1])
        _ = dialogue.offer(1)
        #expect(dialogue.offer(3) == [.refused(.held)])
        #expect(dialogue.join() == [.gap(2, 2, .passed), .message(3)])
        #expect(dialogue.offer(9, path: 1) == [.message(9)])
        #expect(dialogue.offer(8) == [.refused(.duplicate)])
    }

    @Test func `what the old path still brings after a move is welcome or a duplicate`() {
        var dialogue = TopicDialogue()
        _ = dialogue.offer(1)
        dialogue.move(from: 0, to: 1)
        #expect(dialogue.offer(2, path: 0) == [.message(2)])
        #expect(dialogue.offer(2, path: 1) == [.refused(.duplicate)])
        #expect(dialogue.offer(3, path: 1) == [.message(3)])
    }

    @Test func `the idle frame that answers a subscription shows a missing tail`() {
        var dialogue = TopicDialogue()
        _ = dialogue.offer(1)
        dialogue.move(from: 0, to: 1)
        #expect(dialogue.caughtUp(4, path: 0) == [])
        #expect(dialogue.caughtUp(4, path: 1) == [.gap(2, 4, .passed)])
        #expect(dialogue.caughtUp(4, path: 1) == [])
        #expect(dialogue.offer(5, path: 1) == [.message(5)])
    }

    @Test func `an idle frame of a topic that is new is its start and no gap`() {
        var dialogue = TopicDialogue()
        #expect(dialogue.caughtUp(40) == [])
        #expect(dialogue.offer(42) == [.refused(.held), .gap(41, 41, .passed), .message(42)])
    }

    @Test func `another session is told with its first topic, which may be one that is new`() {
        var dialogue = TopicDialogue()
        _ = dialogue.offer(100, topic: 0)
        #expect(
            dialogue.offer(5, topic: 1, session: 9) == [.refused(.held), .epoch(9, .session), .message(5)])
        #expect(dialogue.offer(1, topic: 2, session: 9) == [.message(1)])
        #expect(
            dialogue.offer(1, topic: 0, session: 9) == [.refused(.held), .epoch(9, .session), .message(1)])
        #expect(dialogue.caughtUp(7, topic: 3, session: 11) == [.epoch(11, .session)])
        dialogue.now = milliseconds(5000)
        #expect(
            dialogue.offer(6, topic: 4, session: 9) == [.refused(.held), .epoch(9, .resumed), .message(6)])
    }

    @Test func `another session resets each topic as it comes`() {
        var dialogue = TopicDialogue()
        _ = dialogue.offer(100, topic: 0)
        _ = dialogue.offer(200, topic: 1)
        #expect(
            dialogue.offer(1, topic: 0, session: 9) == [.refused(.held), .epoch(9, .session), .message(1)])
        #expect(dialogue.offer(201, topic: 1) == [.refused(.oldEpoch)])
        #expect(dialogue.caughtUp(2, topic: 1, session: 9) == [.epoch(9, .session), .gap(1, 2, .passed)])
        #expect(dialogue.offer(2, topic: 0, session: 9) == [.message(2)])
        #expect(dialogue.arbiter.counters.epochs == 1)
        #expect(dialogue.arbiter.counters.oldEpoch == 1)
    }

    @Test func `while no path is active any of them may begin a session, and none goes back`() {
        var dialogue = TopicDialogue()
        _ = dialogue.offer(10)
        dialogue.arbiter.set(0, isActive: false)
        #expect(
            dialogue.offer(1, path: 1, session: 9) == [.refused(.held), .epoch(9, .session), .message(1)])
        #expect(dialogue.offer(11, path: 0) == [.refused(.oldEpoch)])
        #expect(dialogue.offer(2, path: 1, session: 9) == [.message(2)])
    }

    @Test
    func `while the active path says nothing, another one may begin a session, and is left if it was wrong`()
    {
        var dialogue = TopicDialogue()
        _ = dialogue.offer(10)
        _ = dialogue.tick(after: 99)
        #expect(dialogue.offer(1, path: 1, session: 9) == [.refused(.oldEpoch)])
        _ = dialogue.tick(after: 1)
        #expect(
            dialogue.offer(1, path: 1, session: 9) == [.refused(.held), .epoch(9, .session), .message(1)])
        #expect(dialogue.offer(11) == [.refused(.held), .epoch(7, .resumed), .message(11)])
        #expect(dialogue.offer(2, path: 1, session: 9) == [.refused(.oldEpoch)])
    }

    @Test func `going back to a session resumes its numbers`() {
        var dialogue = TopicDialogue()
        _ = dialogue.offer(100)
        dialogue.move(from: 0, to: 1)
        #expect(
            dialogue.offer(1, path: 1, session: 9) == [.refused(.held), .epoch(9, .session), .message(1)])
        #expect(dialogue.offer(101, path: 0) == [.refused(.oldEpoch)])
        dialogue.move(from: 1, to: 0)
        #expect(
            dialogue.offer(103, path: 0) == [
                .refused(.held), .epoch(7, .resumed), .gap(101, 102, .passed), .message(103),
            ])
    }

    @Test func `a standby that lags is followed back a session, and forward again at once`() {
        var dialogue = TopicDialogue()
        _ = dialogue.offer(100)
        _ = dialogue.offer(1, session: 8)
        _ = dialogue.offer(1, session: 9)
        dialogue.move(from: 0, to: 1)
        // Of two sessions ago no topic knows where it stood.
        #expect(dialogue.offer(99, path: 1) == [.refused(.oldEpoch)])
        #expect(
            dialogue.offer(2, path: 1, session: 8) == [.refused(.held), .epoch(8, .resumed), .message(2)])
        #expect(
            dialogue.offer(2, path: 1, session: 9) == [.refused(.held), .epoch(9, .resumed), .message(2)])
        #expect(dialogue.offer(3, path: 1, session: 8) == [.refused(.oldEpoch)])
        #expect(dialogue.offer(3, path: 1, session: 9) == [.message(3)])
    }

    @Test func `a path goes back to a session that it left only after some silence`() {
        var dialogue = TopicDialogue()
        _ = dialogue.offer(100)
        _ = dialogue.offer(1, session: 9)
        #expect(dialogue.offer(101) == [.refused(.oldEpoch)])
        #expect(dialogue.tick(after: 500) == [])
        #expect(
            dialogue.offer(102) == [
                .refused(.held), .epoch(7, .resumed), .gap(101, 101, .passed), .message(102),
            ])
    }

    @Test func `with two paths active a hole waits for the other one`() {
        var dialogue = TopicDialogue(active: [0, 1])
        _ = dialogue.offer(1)
        #expect(dialogue.offer(3, path: 0) == [.refused(.held)])
        #expect(dialogue.arbiter.deadline == dialogue.now + .milliseconds(20))
        #expect(dialogue.offer(3, path: 1) == [.refused(.duplicate)])
        #expect(dialogue.offer(2, path: 1) == [.message(2), .message(3)])
        #expect(dialogue.arbiter.deadline == nil)
        #expect(dialogue.offer(4, path: 1) == [.message(4)])
    }

    @Test func `with two paths active a hole is told in the end`() {
        var dialogue = TopicDialogue(active: [0, 1])
        _ = dialogue.offer(1)
        _ = dialogue.offer(3)
        #expect(dialogue.caughtUp(6, path: 1) == [])
        #expect(dialogue.tick(after: 19) == [])
        #expect(
            dialogue.tick(after: 1) == [.gap(2, 2, .timeout), .message(3), .gap(4, 6, .timeout)])
    }

    @Test func `what waits in a session that is left is told, and what waits in the next one goes on to`() {
        var dialogue = TopicDialogue(active: [0, 1])
        _ = dialogue.offer(4)
        #expect(dialogue.offer(7) == [.refused(.held)])
        // A topic that was shown in the next session, before anybody was in that.
        #expect(dialogue.caughtUp(50, topic: 2, session: 8, mayBeLeft: true) == [])
        #expect(dialogue.caughtUp(51, topic: 2, session: 8, mayBeLeft: true) == [])
        #expect(
            dialogue.offer(1, topic: 1, session: 8) == [
                .refused(.held), .gap(5, 6, .epochLeft), .message(7), .epoch(8, .session), .message(1),
            ])
        #expect(dialogue.arbiter.held == 0)
        #expect(dialogue.offer(5, path: 1) == [.refused(.oldEpoch)])
        #expect(dialogue.offer(51, topic: 2, path: 1, session: 8) == [.message(51)])
        #expect(dialogue.arbiter.deadline == nil)
        #expect(
            dialogue.offer(1, session: 8) == [.refused(.held), .epoch(8, .session), .message(1)])
    }

    @Test func `what waits is bounded for each topic and in all`() {
        var dialogue = TopicDialogue(active: [0, 1]) {
            $0.heldPerTopic = 2
            $0.heldInAll = 2
        }
        _ = dialogue.offer(1, topic: 0)
        _ = dialogue.offer(3, topic: 0)
        #expect(
            dialogue.offer(4, topic: 0) == [
                .refused(.held), .gap(2, 2, .windowFull), .message(3), .message(4),
            ])
        for topic in 1...3 { _ = dialogue.offer(1, topic: topic) }
        #expect(dialogue.offer(3, topic: 1) == [.refused(.held)])
        #expect(dialogue.offer(3, topic: 2) == [.refused(.held)])
        #expect(
            dialogue.offer(3, topic: 3) == [.refused(.held), .gap(2, 2, .windowFull), .message(3)])
        #expect(dialogue.arbiter.last(of: 1) == 3)
        #expect(dialogue.arbiter.last(of: 3) == 1)
    }

    @Test func `topics beyond the bound and impossible numbers are refused`() {
        var dialogue = TopicDialogue { $0.maximumTopics = 2 }
        #expect(dialogue.offer(1, topic: 2) == [.refused(.refused)])
        #expect(dialogue.offer(0, topic: 1) == [.refused(.refused)])
        #expect(dialogue.offer(.max, topic: 1) == [.refused(.refused)])
        #expect(dialogue.offer(.max - 1, topic: 1) == [.message(.max - 1)])
        #expect(dialogue.caughtUp(.max, topic: 1) == [])
        #expect(dialogue.arbiter.counters.overflow == 1)
        #expect(dialogue.arbiter.counters.implausible == 2)
    }

    @Test(arguments: 0..<20) func `each topic's numbers come once, in order, or as a gap`(seed: UInt64) {
        var random = SeededGenerator(state: seed)
        var dialogue = TopicDialogue(active: seed % 2 == 0 ? [0] : [0, 1])
        var next: [UInt64] = Array(repeating: 1, count: 20)
        var due: [UInt64] = Array(repeating: 0, count: 20)
        let loss = Int.random(in: 0...30, using: &random)
        func judge(_ topic: Int, _ first: UInt64, _ last: UInt64) {
            if due[topic] != 0 { #expect(first == due[topic], "seed \(seed), topic \(topic)") }
            due[topic] = last + 1
        }
        func drain() {
            while let item = dialogue.arbiter.nextReleased() {
                switch item.released {
                case .message(let held): judge(item.topic, held.arrival.sequence, held.arrival.sequence)
                case .gap(let gap): judge(item.topic, gap.range.first, gap.range.last)
                case .epoch, .divergence: Issue.record("seed \(seed): \(item)")
                }
            }
        }
        for _ in 0..<2000 {
            let topic = Int.random(in: 0..<20, using: &random)
            for path: UInt8 in 0...1 where !random.chance(loss) {
                let arrival = Arrival(
                    path: path, session: 7, sequence: next[topic], receivedAt: WallTime(nanoseconds: 0))
                let verdict = dialogue.arbiter.offer(
                    topic: topic, arrival, payload: [1], at: dialogue.now)
                if verdict == .deliver { judge(topic, next[topic], next[topic]) }
                drain()
            }
            next[topic] += 1
            dialogue.now = dialogue.now + .microseconds(500)
            dialogue.arbiter.tick(at: dialogue.now)
            drain()
        }
        dialogue.arbiter.tick(at: dialogue.now + .seconds(1))
        drain()
        #expect(dialogue.arbiter.deadline == nil)
    }
}
