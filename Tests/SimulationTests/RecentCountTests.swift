// How many there were of late: to the nanosecond, and with nothing left over from before.
import Basics
import Testing

@testable import Simulation

@Suite struct RecentCountTests {
    private var recent = RecentCount()

    private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    private func counts(at now: Instant) -> [Int] {
        [recent.inLast(.seconds(1), at: now), recent.inLast(.seconds(60), at: now)]
    }

    @Test mutating func `one counts until it is just as old as the window`() {
        #expect(counts(at: at(0)) == [0, 0])
        recent.add(at: at(500))
        #expect(counts(at: at(500)) == [1, 1])
        #expect(counts(at: at(1500) - .nanoseconds(1)) == [1, 1])
        #expect(counts(at: at(1500)) == [0, 1])
        #expect(counts(at: at(60_500) - .nanoseconds(1)) == [0, 1])
        #expect(counts(at: at(60_500)) == [0, 0])
    }

    @Test mutating func `several at one time count each`() {
        for _ in 0..<3 { recent.add(at: at(10)) }
        recent.add(at: at(900))
        #expect(counts(at: at(900)) == [4, 4])
        #expect(counts(at: at(1010)) == [1, 4])
    }

    @Test mutating func `a steady run fills each window, and no more`() {
        for tick in 0..<1000 as Range<Int64> {
            recent.add(at: at(tick * 100))
            #expect(counts(at: at(tick * 100)) == [min(10, Int(tick) + 1), min(600, Int(tick) + 1)])
        }
    }
}
