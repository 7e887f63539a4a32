// The simulator itself: that the promises hold in many worlds, that its checker finds what is wrong, and that a
// seed plays the same each time.
import Basics
import Testing

@testable import Simulation

@Suite struct SimulationTests {
    @Test(arguments: 0..<UInt64(10))
    func `10,000 faults break no promise`(part: UInt64) {
        for seed in (part * 20 + 1)...(part * 20 + 20) {
            let result = Simulation(SimulationPlan(seed: seed, faults: 50)).run()
            #expect(result.violations.isEmpty, "holdfast-simulate --seed \(seed) --faults 50 --trace")
            #expect(result.faults == 50 && result.messages > 1000)
        }
    }

    @Test func `a seed plays the same each time, to the last byte`() {
        func play(_ seed: UInt64) -> [String] {
            var lines: [String] = []
            _ = Simulation(SimulationPlan(seed: seed, faults: 30)) { lines.append($0) }.run()
            return lines
        }
        let first = play(7)
        #expect(first.count > 100)
        #expect(first == play(7))
        #expect(first != play(8))
    }

    @Test(
        arguments: [
            (Defect.dropsGap, Invariant.delivery), (.repeatsMessage, .delivery), (.losesMessage, .delivery),
            (.swapsMessages, .delivery), (.changesMessage, .delivery), (.claimsLive, .freshness),
            (.deafPaths, .liveness), (.blindClients, .losses), (.losesWritten, .journal),
            (.resumesLate, .delivery), (.asksAgain, .quota), (.startsLate, .delivery),
            (.asksTooOften, .quota), (.hoards, .bounds), (.forgetsTopic, .liveness),
            (.forgetsArrival, .freshness), (.ticksFirst, .freshness), (.countsUnread, .freshness),
            (.losesBatch, .losses), (.subscribesTooFast, .quota), (.losesBehindHole, .journal),
            (.keepsClosed, .bounds), (.staysInSession, .losses), (.followsIdle, .delivery),
        ])
    func `a planted mistake is found`(defect: Defect, invariant: Invariant) {
        let found = (UInt64(1)...400).lazy.compactMap { seed in
            Simulation(SimulationPlan(seed: seed, faults: 40, defect: defect)).run().violations.first
        }.first
        #expect(found?.invariant == invariant, "\(found.map { "\($0)" } ?? "nothing was found")")
    }

    @Test func `what happens at one time happens in the order in which it was noted`() {
        var agenda = Agenda()
        var done: [Int] = []
        for (number, at) in [(1, 20), (2, 10), (3, 20), (4, 10), (5, 5)] {
            agenda.note(at: Instant(nanoseconds: Int64(at))) { done.append(number) }
        }
        while let next = agenda.take() { next.work() }
        #expect(done == [5, 2, 4, 1, 3])
    }
}
