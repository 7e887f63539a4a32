// One path's subscriptions as they are handed out: numbers of topics in, batches out.
import Basics
import Testing

@testable import Arbitration

private func ms(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

private let few = TurnClass(holding: 0)
private let some = TurnClass(holding: 100)
private let many = TurnClass(holding: 100_000)

@Suite struct SubscriptionPacerTests {
    private func pacer(rate: Int, _ topics: UInt32...) -> SubscriptionPacer {
        var pacer = SubscriptionPacer(rate: rate)
        for topic in topics { #expect(pacer.add(topic, few) == true) }
        return pacer
    }

    /// Batch by batch, until nothing waits.
    private func rest(of pacer: inout SubscriptionPacer) -> [UInt32] {
        var rest: [UInt32] = []
        while let due = pacer.deadline { rest += pacer.due(at: due) }
        return rest
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

    @Test(arguments: [1, 3, 10, 20, 999, 1000, 25_000])
    func `in no second there are more than the venue allows, whenever it begins`(rate: Int) {
        var pacer = SubscriptionPacer(rate: rate)
        var (now, topic, seed) = (Instant(nanoseconds: 5_000_000_000), UInt32(0), UInt64(rate))
        var went: [(at: Instant, count: Int)] = []
        let end = now + .seconds(7)
        while now < end {
            // One by one, a few, and then more than a second's worth.
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            for _ in 0..<[1, 1, 1, 3, 2 * rate][Int(seed >> 60) % 5] {
                _ = pacer.add(topic, few)
                topic += 1
            }
            let next = now + .microseconds(Int64(seed >> 40) % 120_000)
            while now < next {
                let batch = pacer.due(at: now)
                if !batch.isEmpty { went.append((now, batch.count)) }
                now = min(next, max(pacer.deadline ?? next, now + .microseconds(1)))
            }
        }
        var (oldest, sum) = (0, 0)
        for (at, count) in went {
            sum += count
            while at - went[oldest].at >= .seconds(1) {
                sum -= went[oldest].count
                oldest += 1
            }
            #expect(sum <= rate)
        }
        // All of it is used where there is more than it.
        #expect(went.reduce(0) { $0 + $1.count } >= 6 * rate)
    }

    @Test func `what went out at another rate counts against the one in force`() {
        var earlier = pacer(rate: 10, 1, 2, 3, 4, 5, 6)
        var went: [Int64] = []
        for time in stride(from: 0, through: 500, by: 100) as StrideThrough<Int64> {
            went += earlier.due(at: ms(time)).map { _ in time }
        }
        #expect(went.count == 6)
        var later = SubscriptionPacer(rate: 5, used: earlier.used)
        for topic in UInt32(1)...6 { _ = later.add(topic, few) }
        for time in 501..<4000 as Range<Int64> {
            let batch = later.due(at: ms(time))
            went += batch.map { _ in time }
            if !batch.isEmpty { #expect(went.count { $0 > time - 1000 } <= 5) }
        }
        #expect(later.isDone && went.count == 12)
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
            #expect(pacer.add(1, few) == true)
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
        #expect(pacer.add(0, few) == false)
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
        #expect(pacer.add(4, few) == true)
        pacer.startAnew()
        #expect(pacer.made == [])
        #expect(pacer.progress == (0, 3))
        #expect(Set(pacer.due(at: ms(100))) == [2, 4, 9])
    }

    // MARK: - Turns

    @Test func `the classes go by powers of four of what a client held, and a whole feed has its own`() {
        let bounds = [4, 16, 64, 256, 1024, 4096, 16_384]
        for (first, next) in zip([0] + bounds, bounds) {
            #expect(TurnClass(holding: first) == TurnClass(holding: next - 1))
            #expect(TurnClass(holding: first) < TurnClass(holding: next))
        }
        #expect(TurnClass(holding: 16_384) == TurnClass(holding: .max))
        #expect(TurnClass.last == TurnClass(holding: .max))
        #expect(TurnClass.everything < TurnClass(holding: 0))
        #expect(WantedTopic(.everything, holding: 100_000).turn == .everything)
        #expect(WantedTopic(.instrument("A"), holding: 100_000).turn == many)
    }

    @Test func `a client with 5 topics is served within the first batches, behind one with 100,000`() {
        var pacer = SubscriptionPacer(rate: 1000)
        for topic in 1...UInt32(100_000) {
            _ = pacer.add(topic, TurnClass(holding: Int(topic) - 1))
        }
        for topic in UInt32(0)..<5 { _ = pacer.add(200_000 + topic, TurnClass(holding: Int(topic))) }
        let first = pacer.due(at: ms(0)) + pacer.due(at: ms(100))
        #expect(first.count == 200)
        #expect(first.filter { $0 >= 200_000 } == [200_000, 200_001, 200_002, 200_003, 200_004])
        #expect(pacer.progress == (200, 100_005))
        #expect(pacer.remaining == .milliseconds(99_805))
    }

    @Test func `who holds many has a turn in each round, however many others come meanwhile`() {
        var pacer = SubscriptionPacer(rate: 20)
        for topic in UInt32(1)...3 { _ = pacer.add(topic, many) }
        for round in UInt32(0)..<3 {
            for topic in 0..<UInt32(10) { _ = pacer.add(100 + 10 * round + topic, few) }
            #expect(pacer.due(at: ms(100 * Int64(round))) == [100 + round, 1 + round])
        }
        #expect(rest(of: &pacer) == Array(103..<130))
    }

    @Test func `the classes take turns from batch to batch, and within each the first is served first`() {
        var pacer = SubscriptionPacer(rate: 20)
        for topic in [9, 5, 7] as [UInt32] { _ = pacer.add(topic, many) }
        for topic in [8, 2, 6, 3] as [UInt32] { _ = pacer.add(topic, some) }
        for topic in [4, 1] as [UInt32] { _ = pacer.add(topic, few) }
        #expect(pacer.due(at: ms(0)) == [4, 8])
        #expect(pacer.due(at: ms(100)) == [9, 1])
        #expect(pacer.due(at: ms(200)) == [2, 5])
        #expect(pacer.due(at: ms(300)) == [6, 7])
        #expect(pacer.due(at: ms(400)) == [3])
        #expect(pacer.isDone)
    }

    @Test func `a whole feed is the first of each round`() {
        var pacer = SubscriptionPacer(rate: 1000)
        for topic in UInt32(1)...3 { _ = pacer.add(topic, few) }
        _ = pacer.add(0, .everything)
        #expect(pacer.due(at: ms(0)) == [0, 1, 2, 3])
        pacer.startAnew()
        #expect(pacer.due(at: ms(1000)) == [0, 1, 2, 3])
    }

    @Test func `a topic that waits and is asked for by one who holds few has its turn with theirs, once`() {
        var pacer = SubscriptionPacer(rate: 10)
        for topic in UInt32(1)...5 { _ = pacer.add(topic, many) }
        #expect(pacer.add(4, few) == false)
        #expect(pacer.progress == (0, 5))
        #expect(pacer.due(at: ms(0)) == [4])
        // Nothing takes it back into a higher class, nor anew into its own.
        #expect(pacer.add(4, some) == false)
        #expect(pacer.add(4, few) == false)
        #expect(pacer.progress == (1, 5))
        #expect(rest(of: &pacer) == [1, 2, 3, 5])
        pacer.startAnew()
        #expect(pacer.due(at: ms(10_000)) == [4])
    }

    @Test func `a topic that waits in a lower class keeps its place in the higher one, if that is sooner`() {
        var pacer = SubscriptionPacer(rate: 10)
        for topic in UInt32(1)...3 { _ = pacer.add(topic, few) }
        _ = pacer.add(9, many)
        _ = pacer.add(9, few)
        #expect(rest(of: &pacer) == [1, 9, 2, 3])
    }

    @Test func `a number that another topic has now has not the turn of the one before`() {
        var pacer = SubscriptionPacer(rate: 10)
        _ = pacer.add(1, few)
        for topic in UInt32(2)...4 { _ = pacer.add(topic, many) }
        #expect(pacer.remove(1) == false)
        #expect(pacer.add(1, many) == true)
        #expect(pacer.progress == (0, 4))
        #expect(rest(of: &pacer) == [2, 3, 4, 1])
        // Nor when the one before was subscribed.
        #expect(pacer.remove(1) == true)
        #expect(pacer.add(1, some) == true)
        _ = pacer.add(5, few)
        #expect(rest(of: &pacer) == [5, 1])
    }

    @Test func `what begins anew has the turns that it had`() {
        var pacer = SubscriptionPacer(rate: 20)
        for topic in UInt32(1)...4 { _ = pacer.add(topic, many) }
        _ = pacer.add(5, some)
        _ = pacer.add(6, few)
        #expect(pacer.due(at: ms(0)) == [6, 5])
        pacer.startAnew()
        #expect(pacer.progress == (0, 6))
        #expect(pacer.due(at: ms(100)) == [6, 5])
        #expect(pacer.due(at: ms(200)) == [1, 2])
        _ = pacer.add(7, few)
        #expect(pacer.due(at: ms(300)) == [7, 3])
    }

    @Test(arguments: 0..<20)
    func `whatever comes and goes, each topic is handed out once, and the one of the last class in its round`(
        seed: UInt64
    ) {
        var random = SeededGenerator(state: seed)
        var pacer = SubscriptionPacer(rate: 10)
        let classes = [.everything] + [0, 4, 16, 64, 256, 1024, 4096].map(TurnClass.init(holding:))
        let (topics, last) = (UInt32(1)..<60, UInt32(0))
        var (made, waiting): (Set<UInt32>, Set<UInt32>) = ([], [])
        var total = 0
        /// Others that were handed out since the one of the last class waits.
        var passed = 0
        for step in 0..<4000 {
            let isLast = Int.random(in: 0..<10, using: &random) == 0
            let topic = isLast ? last : UInt32.random(in: topics, using: &random)
            let turn = isLast ? many : classes[Int.random(in: classes.indices, using: &random)]
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<60:
                let isNew = !made.contains(topic) && !waiting.contains(topic)
                if isNew {
                    total = (waiting.isEmpty ? 0 : total) + 1
                    waiting.insert(topic)
                }
                #expect(pacer.add(topic, turn) == isNew)
            case 60..<80 where !waiting.contains(last) || topic != last:
                if waiting.remove(topic) != nil { total -= 1 }
                #expect(pacer.remove(topic) == (made.remove(topic) != nil))
            case 80 where step.isMultiple(of: 8):
                pacer.startAnew()
                waiting.formUnion(made)
                (made, total, passed) = ([], waiting.count, 0)
            default:
                for topic in pacer.due(at: ms(Int64(step) * 100)) {
                    #expect(waiting.remove(topic) != nil)
                    made.insert(topic)
                    passed = waiting.contains(last) ? passed + 1 : 0
                    #expect(passed < TurnClass.count)
                }
            }
            #expect(pacer.isDone == waiting.isEmpty)
            #expect(pacer.progress == (total - waiting.count, total))
            #expect(pacer.made == made.sorted())
        }
        #expect(rest(of: &pacer).sorted() == waiting.sorted())
    }
}
