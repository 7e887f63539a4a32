// Numbers that cannot be right, copies that differ, and numbering that begins again.
import Arbitration
import Basics
import Testing

@Suite struct ArbiterNumberTests {
    @Test func `a path that is not trusted delivers nothing and begins nothing, and is compared`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1...3)
        dialogue.arbiter.set(1, isTrusted: false)
        let ahead = dialogue.offer(4, path: 1)
        let other = dialogue.offer(1, path: 1, session: 8)
        let beyond = dialogue.heard(next: 900, path: 1)
        #expect(ahead == [.refused(.refused)] && other == [.refused(.refused)] && beyond == [])
        let same = dialogue.offer(3, path: 1)
        let different = dialogue.offer(2, path: 1, payload: [9])
        #expect(same == [.refused(.duplicate)])
        #expect(different == [.refused(.duplicate), .divergent(path: 1)])
        let next = dialogue.offer(4)
        #expect(next == [.message(4)])
        // Said before the others did, and otherwise than they do.
        _ = dialogue.offer(5, path: 1, payload: [9])
        dialogue.pass(10_000)
        let true5 = dialogue.offer(5)
        #expect(true5 == [.message(5), .divergent(path: 1)])
        let (distrusted, divergent) = (
            dialogue.arbiter.counters.distrusted, dialogue.arbiter.counters.divergent
        )
        #expect(distrusted == 3 && divergent == 2)
        dialogue.arbiter.set(1, isTrusted: true)
        let again = dialogue.offer(6, path: 1)
        #expect(again == [.message(6)])
    }

    @Test func `the third copy that differs within a second is reported as repeated`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1...10)
        var reported: [Bool] = []
        for sequence in UInt64(1)...10 {
            let arrival = Arrival(
                path: 1, session: 7, sequence: sequence, receivedAt: WallTime(nanoseconds: 9))
            _ = dialogue.arbiter.offer(arrival, payload: [9], at: dialogue.now)
            while case .divergence(let found)? = dialogue.arbiter.nextReleased() {
                reported.append(found.isRepeated)
            }
            if sequence == 5 { dialogue.pass(1000) }
        }
        #expect(reported == [false, true, true])
    }

    @Test func `a path that is not trusted is reported for as long as it differs, however seldom`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1...6)
        dialogue.arbiter.set(1, isTrusted: false)
        var reported: [Bool] = []
        for sequence in UInt64(1)...6 {
            dialogue.pass(25)
            let arrival = Arrival(
                path: 1, session: 7, sequence: sequence, receivedAt: WallTime(nanoseconds: 9))
            _ = dialogue.arbiter.offer(arrival, payload: [9], at: dialogue.now)
            while case .divergence(let found)? = dialogue.arbiter.nextReleased() {
                reported.append(found.isRepeated)
            }
        }
        #expect(reported == [true, true, true])
    }

    @Test func `zero and the last number are refused`() {
        var dialogue = Dialogue()
        #expect(dialogue.offer(0) == [.refused(.refused)])
        #expect(dialogue.heard(next: 0) == [])
        #expect(dialogue.arbiter.hasBegun == false)
        #expect(dialogue.offer(.max - 1) == [.message(.max - 1)])
        #expect(dialogue.offer(.max) == [.refused(.refused)])
        #expect(dialogue.heard(next: .max) == [])
        #expect(dialogue.arbiter.counters.implausible == 4)
    }

    @Test func `a path whose copies differ is named, once for a while`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1...3)
        #expect(dialogue.offer(1, path: 1, payload: [1]) == [.refused(.duplicate), .divergent(path: 1)])
        #expect(dialogue.offer(2, path: 1, payload: [1]) == [.refused(.duplicate)])
        #expect(dialogue.arbiter.counters.divergent == 2)
        #expect(dialogue.arbiter.counters(of: 1).divergent == 2)
        dialogue.pass(10_000)
        #expect(dialogue.offer(3, path: 1, payload: [1]) == [.refused(.duplicate), .divergent(path: 1)])
    }

    @Test func `a differing copy of a held message is named`() {
        var dialogue = Dialogue()
        _ = dialogue.offer(1)
        _ = dialogue.offer(3)
        #expect(dialogue.offer(3, path: 1, payload: [9]) == [.refused(.duplicate), .divergent(path: 1)])
    }

    @Test func `a straggler below the window is a duplicate`() {
        var dialogue = Dialogue { $0.historyCount = 16 }
        _ = dialogue.offer(1000...1100)
        dialogue.pass(10_000)
        #expect(dialogue.offer(3) == [.refused(.duplicate)])
        #expect(dialogue.offer(1101) == [.message(1101)])
        #expect(dialogue.arbiter.counters.epochs == 0)
    }

    @Test func `a long run of old numbers after silence opens an inferred epoch`() {
        var dialogue = Dialogue { $0.restartCount = 4 }
        _ = dialogue.offer(10000...10100)
        _ = dialogue.offer(10103)
        dialogue.pass(600)
        #expect(dialogue.tick(after: 0) == [.gap(10101, 10102, .timeout), .message(10103)])
        #expect(dialogue.offer(1...3) == Array(repeating: .refused(.duplicate), count: 3))
        #expect(dialogue.offer(4) == [.refused(.held), .epoch(8, .inferred)])
        #expect(dialogue.offer(5) == [.refused(.held)])
        #expect(dialogue.tick(after: 20) == [.gap(1, 3, .timeout), .message(4), .message(5)])
        #expect(dialogue.offer(6) == [.message(6)])
        #expect(dialogue.arbiter.epoch == 8)
        #expect(dialogue.arbiter.counters.inferredEpochs == 1)
    }

    @Test func `what was lost and comes late in one go does not begin the numbering again`() {
        var dialogue = Dialogue { $0.restartCount = 4 }
        _ = dialogue.offer(1...100)
        _ = dialogue.offer(121)
        #expect(dialogue.tick(after: 20) == [.gap(101, 120, .timeout), .message(121)])
        dialogue.pass(600)
        #expect(dialogue.offer(101...120, path: 1) == Array(repeating: .refused(.late), count: 20))
        #expect(dialogue.offer(122) == [.message(122)])
        #expect(dialogue.arbiter.counters.epochs == 0)
    }

    @Test func `what was sent before the arbiter began and comes late does not begin the numbering again`() {
        var dialogue = Dialogue { $0.restartCount = 4 }
        _ = dialogue.offer(1000...1100)
        dialogue.pass(600)
        #expect(dialogue.offer(900...999, path: 1) == Array(repeating: .refused(.duplicate), count: 100))
        #expect(dialogue.offer(1101, path: 1) == [.message(1101)])
        #expect(dialogue.arbiter.counters.epochs == 0)
    }

    @Test func `what still comes long after the arbiter began, from before it, begins the numbering again`() {
        var dialogue = Dialogue { $0.restartCount = 4 }
        _ = dialogue.offer(1000...1100)
        dialogue.pass(2000)
        #expect(dialogue.offer(1...3) == Array(repeating: .refused(.duplicate), count: 3))
        #expect(dialogue.offer(4) == [.refused(.held), .epoch(8, .inferred)])
    }

    @Test func `a path that goes back from where the arbiter began begins the numbering again at once`() {
        var dialogue = Dialogue { $0.restartCount = 4 }
        _ = dialogue.offer(1000...1100)
        _ = dialogue.offer(1050...1100, path: 1)
        dialogue.pass(499)
        #expect(dialogue.offer(1...3) == Array(repeating: .refused(.duplicate), count: 3))
        dialogue.pass(1)
        #expect(dialogue.offer(4) == [.refused(.held), .epoch(8, .inferred)])
        // What it let pass meanwhile is told, exactly.
        #expect(dialogue.tick(after: 20) == [.gap(1, 3, .timeout), .message(4)])
        #expect(dialogue.offer(4...5, path: 1) == [.refused(.duplicate), .message(5)])
    }

    @Test func `a path that was not that far yet is late, though another one went back or is silent`() {
        var dialogue = Dialogue { $0.restartCount = 4 }
        _ = dialogue.offer(1000...1100)
        dialogue.pass(600)
        #expect(dialogue.offer(1...50, path: 1) == Array(repeating: .refused(.duplicate), count: 50))
        #expect(dialogue.arbiter.counters.epochs == 0)
        // By then it would have come.
        dialogue.pass(1400)
        #expect(dialogue.offer(51...53, path: 1) == Array(repeating: .refused(.duplicate), count: 3))
        #expect(dialogue.offer(54, path: 1) == [.refused(.held), .epoch(8, .inferred)])
        // The epoch is known from there on only.
        #expect(dialogue.arbiter.first == 51)
    }

    @Test func `a path that says where it goes on brings copies only, and another one begins again`() {
        var dialogue = Dialogue {
            $0.restartCount = 4
            $0.neverRestarting = 1 << 1
        }
        _ = dialogue.offer(1000...1100)
        dialogue.pass(5000)
        #expect(dialogue.offer(1...999, path: 1) == Array(repeating: .refused(.duplicate), count: 999))
        #expect(dialogue.offer(1101, path: 1) == [.message(1101)])
        #expect(dialogue.arbiter.counters.epochs == 0)
        dialogue.pass(600)
        #expect(dialogue.offer(1...3) == Array(repeating: .refused(.duplicate), count: 3))
        #expect(dialogue.offer(4) == [.refused(.held), .epoch(8, .inferred)])
    }

    @Test func `a path's own latecomers do not begin the numbering again while new numbers come`() {
        var dialogue = Dialogue { $0.restartCount = 4 }
        _ = dialogue.offer(1000)
        dialogue.pass(600)
        _ = dialogue.offer(1001)
        #expect(dialogue.offer(980...999) == Array(repeating: .refused(.duplicate), count: 20))
        #expect(dialogue.offer(1002) == [.message(1002)])
        #expect(dialogue.arbiter.counters.epochs == 0)
    }

    @Test func `a line that lags far behind does not begin the numbering again`() {
        var dialogue = Dialogue {
            $0.historyCount = 16
            $0.restartCount = 4
        }
        _ = dialogue.offer(1...1000)
        for step: UInt64 in 1...100 {
            dialogue.pass(100)
            #expect(dialogue.offer(step, path: 1) == [.refused(.duplicate)])
            #expect(dialogue.offer(1000 + step) == [.message(1000 + step)])
        }
        #expect(dialogue.arbiter.counters.epochs == 0)
    }

    @Test func `a path's losses are known when its messages have left the history`() {
        var dialogue = Dialogue { $0.historyCount = 16 }
        for sequence: UInt64 in 1...1016 {
            _ = dialogue.offer(sequence)
            if sequence % 4 != 0 { _ = dialogue.offer(sequence, path: 1) }
        }
        #expect(dialogue.arbiter.lossRatio(of: 0) == 0)
        #expect(dialogue.arbiter.lossRatio(of: 1) == 0.25)
        #expect(dialogue.arbiter.counters(of: 1).missed == 250)
        #expect(dialogue.arbiter.counters(of: 0).first == 1016)
        dialogue.arbiter.set(1, isActive: false)
        #expect(dialogue.arbiter.lossRatio(of: 1) == nil)
    }
}
