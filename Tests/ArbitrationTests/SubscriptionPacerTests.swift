// One path's subscriptions as they are handed out: numbers of topics in, batches out.
import Basics
import Testing

@testable import Arbitration

private func ms(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

@Suite struct SubscriptionPacerTests {
    private func pacer(rate: Int, _ topics: UInt32...) -> SubscriptionPacer {
        var pacer = SubscriptionPacer(rate: rate)
        for topic in topics { #expect(pacer.add(topic) == true) }
        return pacer
    }

    @Test func `a replay goes out in batches under the venue's rate and tells its progress`() {
        var pacer = pacer(rate: 20, 5, 3, 4, 1, 2)
        #expect(pacer.due(at: ms(1000)) == [5, 3])
        #expect(pacer.progress == (2, 5))
        #expect(pacer.remaining == .milliseconds(150))
        #expect(pacer.deadline == ms(1100))
        #expect(pacer.due(at: ms(1050)) == [])
        #expect(pacer.due(at: ms(1100)) == [4, 1])
        #expect(!pacer.isDone)
        #expect(pacer.due(at: ms(1200)) == [2])
        #expect(pacer.isDone)
        #expect(pacer.deadline == nil)
    }

    @Test func `a topic that was released while it waited is not subscribed`() {
        var pacer = pacer(rate: 10, 1, 2)
        #expect(pacer.due(at: ms(0)) == [1])
        #expect(pacer.remove(2) == false)
        #expect(pacer.remove(1) == true)
        #expect(pacer.remove(1) == false)
        #expect(pacer.isDone)
        #expect(pacer.due(at: ms(5000)) == [])
    }

    @Test func `a topic that comes and goes while it waits has one place, the one that it had first`() {
        var pacer = pacer(rate: 10, 1, 2)
        for _ in 0..<1000 {
            #expect(pacer.remove(1) == false)
            #expect(pacer.add(1) == true)
        }
        #expect(pacer.progress == (0, 2))
        #expect(pacer.due(at: ms(0)) == [1])
        #expect(pacer.due(at: ms(100)) == [2])
        #expect(pacer.progress == (2, 2))
        #expect(pacer.made == [1, 2])
    }

    @Test func `what was released is passed over, and what comes behind it goes in its place`() {
        var pacer = pacer(rate: 20, 1, 2, 3, 4)
        #expect(pacer.remove(1) == false)
        #expect(pacer.remove(2) == false)
        #expect(pacer.progress == (0, 2))
        #expect(pacer.due(at: ms(0)) == [3, 4])
        #expect(pacer.isDone)
    }

    @Test func `giving a path up returns all that it had`() {
        var pacer = pacer(rate: 10, 0, 7)
        #expect(pacer.add(0) == false)
        #expect(pacer.due(at: ms(0)) == [0])
        #expect(pacer.made == [0])
        #expect(pacer.removeAll() == [0, 7])
        #expect(pacer.isDone)
        #expect(pacer.progress == (0, 0))
        #expect(pacer.made == [])
    }

    @Test func `what begins anew is all that is wanted`() {
        var pacer = pacer(rate: 1000, 9, 2)
        #expect(pacer.due(at: ms(0)) == [9, 2])
        #expect(pacer.add(4) == true)
        pacer.startAnew()
        #expect(pacer.made == [])
        #expect(pacer.progress == (0, 3))
        #expect(Set(pacer.due(at: ms(100))) == [2, 4, 9])
    }
}
