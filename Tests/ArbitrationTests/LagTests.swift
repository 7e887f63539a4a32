// A path that goes on to speak and is late: its lag behind the best of the others, and what the path machine makes of it.
import Arbitration
import Basics
import Testing
import Wire

private func ms(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

/// Paths that bring something each 20 ms, whose delays are given in milliseconds.
private struct LagDialogue {
    var machine: PathMachine
    var now: Int64 = 1000

    init(_ policy: PathMachineOptions.Policy = .hotWarm) {
        machine = PathMachine(
            PathMachineOptions(
                policy: policy, paths: [.init("A"), .init("B")], silence: .milliseconds(300),
                silenceBehindTwin: .milliseconds(300), holdDown: .seconds(5)), at: ms(now))
        _ = machine.start(at: ms(now))
        for path in [0, 1] {
            _ = machine.heard(path, at: ms(now))
            _ = machine.resubscribed(path, at: ms(now))
        }
    }

    mutating func sample(_ path: Int, _ delay: Int64, _ kind: DelaySample.Kind = .heartbeat) -> [PathAction] {
        machine.heard(path, at: ms(now))
            + machine.sampled(DelaySample(path: path, kind, delay: .milliseconds(delay)), at: ms(now))
    }

    /// Goes on for so long; `nil`: a path that is heard, and of which nothing can be said.
    mutating func go(
        for duration: Int64, _ kind: DelaySample.Kind = .heartbeat, _ delays: (Int64) -> [Int64?]
    ) -> [PathAction] {
        var actions: [PathAction] = []
        for _ in 0..<duration / 20 {
            now += 20
            actions += machine.tick(at: ms(now))
            for (path, delay) in delays(now).enumerated() {
                actions += delay.map { sample(path, $0, kind) } ?? machine.heard(path, at: ms(now))
            }
        }
        return actions
    }

    func lag(_ path: Int) -> Duration? { machine.lag(of: path, at: ms(now)) }
}

private let lagging = PathFailure.lagging(.seconds(1))

@Suite struct LagTests {
    @Test func `a hot-warm feed leaves a path that speaks and is late, and returns after the hold-down`() {
        var dialogue = LagDialogue()
        #expect(dialogue.go(for: 3000) { _ in [3, 4] } == [])
        let actions = dialogue.go(for: 3000) { _ in [5000, 4] }
        #expect(
            actions == [
                .switched(from: 0, to: 1, .failed(lagging)), .activate(1), .state(0, .failed(lagging)),
                .state(1, .recovering), .redundancy(.reduced),
            ])
        #expect(dialogue.lag(0) == .milliseconds(4996))
        _ = dialogue.machine.resubscribed(1, at: ms(dialogue.now))
        #expect(dialogue.go(for: 4000) { _ in [3, 4] } == [.state(0, .standby), .redundancy(.full)])
        #expect(
            dialogue.go(for: 3000) { _ in [3, 4] }.first == .switched(from: 1, to: 0, .failback))
    }

    @Test func `what a hot-hot line lacks is told, and the feed goes on with the other one`() {
        var dialogue = LagDialogue(.hotHot)
        _ = dialogue.go(for: 2000, .message) { _ in [3, 4] }
        #expect(
            dialogue.go(for: 3000, .message) { _ in [3, 2004] } == [
                .state(1, .failed(lagging)), .redundancy(.reduced),
            ])
        #expect(dialogue.machine.isSubscribed(1) && dialogue.machine.current == 0)
        #expect(
            dialogue.go(for: 3000, .message) { _ in [3, 4] } == [.state(1, .active), .redundancy(.full)])
    }

    @Test func `bursts and jitter are no lag: the least delay counts`() {
        var dialogue = LagDialogue()
        let actions = dialogue.go(for: 20_000) { now in
            let isStalled = now % 3000 < 700
            return [isStalled ? 700 + now % 3000 : 1 + now % 400, 2 + now * 7 % 900]
        }
        #expect(actions == [])
        #expect(dialogue.machine.switches == 0)
    }

    @Test func `what the clocks of venue and host differ by, or how late the venue is, is no lag`() {
        for offset: Int64 in [-7_200_000, 3000, 86_400_000] {
            var dialogue = LagDialogue()
            #expect(dialogue.go(for: 5000) { _ in [offset, offset + 20] } == [])
            #expect(dialogue.lag(1) == .milliseconds(20) && dialogue.lag(0) == .milliseconds(-20))
        }
    }

    @Test func `when the other path is as late the feed stays`() {
        var dialogue = LagDialogue()
        _ = dialogue.go(for: 2000) { _ in [3, 4] }
        #expect(dialogue.go(for: 6000) { _ in [5000, 4900] } == [])
        #expect(dialogue.machine.current == 0)
    }

    @Test func `a clock that is set says nothing of a path`() {
        var dialogue = LagDialogue()
        _ = dialogue.go(for: 1990) { _ in [3, 4] }
        #expect(dialogue.go(for: 6000) { _ in [60_003, 60_004] } == [])
        #expect(dialogue.go(for: 6000) { _ in [-40_003, -40_004] } == [])
    }

    @Test func `messages are not compared with heartbeats`() {
        var dialogue = LagDialogue()
        for _ in 0..<300 {
            dialogue.now += 20
            #expect(dialogue.sample(0, 3000, .message) == [])
            #expect(dialogue.sample(1, 2, .heartbeat) == [])
        }
        #expect(dialogue.lag(0) == nil)
    }

    @Test func `the last path that delivers is not left for its lag`() {
        var dialogue = LagDialogue()
        _ = dialogue.go(for: 2000) { _ in [3, 4] }
        _ = dialogue.machine.disconnected(1, at: ms(dialogue.now))
        for _ in 0..<200 {
            dialogue.now += 20
            #expect(dialogue.sample(0, 5000) == [])
        }
        #expect(dialogue.machine.current == 0 && dialogue.machine.isWell(0))
    }

    @Test func `a lag of which nothing more is known is forgotten`() {
        var dialogue = LagDialogue()
        _ = dialogue.go(for: 2000) { _ in [3, 4] }
        _ = dialogue.go(for: 3000) { _ in [5000, 4] }
        #expect(dialogue.machine.state(of: 0) == .failed(lagging))
        #expect(dialogue.go(for: 4000) { _ in [nil, 4] } == [])
        #expect(
            dialogue.go(for: 3000) { _ in [nil, 4] }.first == .state(0, .active))
    }
}
