// `previous` on data frames, and when idle frames are due.
import Arbitration
import Basics
import Testing

@Suite struct TopicBookTests: ~Copyable {
    private var book = TopicBook(at: milliseconds(0))

    /// Ticks as an event loop would until `end`, and returns when each idle frame came.
    private static func run(
        _ book: inout TopicBook, from start: Int64 = 0, until end: Int64
    ) -> [(at: Int64, frame: IdleFrame)] {
        var frames: [(at: Int64, frame: IdleFrame)] = []
        var now = milliseconds(start)
        while let deadline = book.deadline, deadline <= milliseconds(end) {
            now = max(now, deadline)
            frames += book.tick(at: now).map { (now.nanoseconds / 1_000_000, $0) }
        }
        return frames
    }

    @Test mutating func `each message names the one before it`() {
        #expect(book.published(3, sequence: 10, at: milliseconds(0)) == 0)
        #expect(book.published(4, sequence: 11, at: milliseconds(0)) == 0)
        #expect(book.published(3, sequence: 15, at: milliseconds(0)) == 10)
        #expect(book.published(4, sequence: 16, at: milliseconds(0)) == 11)
    }

    @Test mutating func `what the upstream named and nobody published here is not the one before`() {
        _ = book.published(3, sequence: 10, at: milliseconds(0))
        book.caughtUp(3, last: 12, at: milliseconds(0))
        #expect(book.published(3, sequence: 13, at: milliseconds(0)) == 0)
        #expect(book.published(3, sequence: 14, at: milliseconds(0)) == 13)
    }

    @Test mutating func `a new epoch forgets what was before`() {
        _ = book.published(3, sequence: 10, at: milliseconds(0))
        book.epochChanged()
        #expect(book.last(of: 3) == 0)
        #expect(book.published(3, sequence: 1, at: milliseconds(0)) == 0)
        #expect(book.published(3, sequence: 2, at: milliseconds(0)) == 1)
        book.epochChanged(of: 3)
        #expect(book.published(3, sequence: 1, at: milliseconds(0)) == 0)
    }

    @Test mutating func `a quiet topic gets idle frames further and further apart`() {
        _ = book.published(3, sequence: 10, at: milliseconds(0))
        book.set(3, isHeld: true, at: milliseconds(0))
        let frames = Self.run(&book, until: 200_000)
        #expect(frames.allSatisfy { $0.frame == IdleFrame(topic: 3, sequence: 10) })
        #expect(frames.map(\.at) == [1000, 2000, 4000, 8000, 16000, 32000, 64000, 124_000, 184_000])
    }

    @Test mutating func `news put the next idle frame off and bring it near again`() {
        _ = book.published(3, sequence: 10, at: milliseconds(0))
        book.set(3, isHeld: true, at: milliseconds(0))
        #expect(Self.run(&book, until: 900).isEmpty)
        _ = book.published(3, sequence: 11, at: milliseconds(900))
        #expect(Self.run(&book, from: 900, until: 10_000).map(\.at) == [2000, 3000, 5000, 9000])
        _ = book.published(3, sequence: 12, at: milliseconds(10_000))
        let frames = Self.run(&book, from: 10_000, until: 12_500)
        #expect(frames.map(\.at) == [11_000, 12_000])
        #expect(frames.first?.frame.sequence == 12)
    }

    @Test mutating func `only topics that somebody holds get idle frames`() {
        _ = book.published(3, sequence: 10, at: milliseconds(0))
        #expect(book.deadline == nil)
        book.set(3, isHeld: true, at: milliseconds(5000))
        #expect(Self.run(&book, from: 5000, until: 5500).map(\.at) == [5000])
        book.set(3, isHeld: false, at: milliseconds(5500))
        #expect(book.deadline == nil)
        book.set(4, isHeld: true, at: milliseconds(5500))
        #expect(Self.run(&book, from: 5500, until: 20_000).isEmpty)
    }

    @Test mutating func `a number that the upstream named is told to whoever waits`() {
        book.set(3, isHeld: true, at: milliseconds(0))
        book.caughtUp(3, last: 40, at: milliseconds(0))
        #expect(Self.run(&book, until: 1500).map(\.frame) == [IdleFrame(topic: 3, sequence: 40)])
        #expect(book.published(3, sequence: 41, at: milliseconds(1600)) == 0)
    }

    @Test func `idle frames are paced`() {
        var options = TopicBookOptions()
        options.idlePerTick = 10
        var book = TopicBook(options: options, at: milliseconds(0))
        for topic in 0..<25 {
            _ = book.published(topic, sequence: 1, at: milliseconds(0))
            book.set(topic, isHeld: true, at: milliseconds(0))
        }
        #expect(book.tick(at: milliseconds(1000)).count == 10)
        #expect(book.deadline == milliseconds(1010))
        #expect(book.tick(at: milliseconds(1005)).isEmpty)
        #expect(book.tick(at: milliseconds(1010)).count == 10)
        #expect(book.tick(at: milliseconds(1020)).count == 5)
        #expect(book.idleFrames == 25)
    }

    @Test func `topics beyond the bound are counted and have no previous`() {
        var options = TopicBookOptions()
        options.maximumTopics = 2
        var book = TopicBook(options: options, at: milliseconds(0))
        #expect(book.published(2, sequence: 1, at: milliseconds(0)) == 0)
        #expect(book.published(2, sequence: 2, at: milliseconds(0)) == 0)
        book.set(-1, isHeld: true, at: milliseconds(0))
        #expect(book.refused == 3)
        #expect(book.last(of: 2) == 0)
    }

    @Test func `each of a hundred thousand topics gets its idle frame in time`() {
        var options = TopicBookOptions()
        options.idlePerTick = 1000
        var book = TopicBook(options: options, at: milliseconds(0))
        var random = SeededGenerator(state: 1)
        var news: [Int64] = []
        for topic in 0..<100_000 {
            news.append(Int64.random(in: 0...4000, using: &random))
            _ = book.published(topic, sequence: 1, at: milliseconds(news[topic]))
            book.set(topic, isHeld: true, at: milliseconds(news[topic]))
        }
        var seen = Set<Int>()
        var delays: [Int64] = []
        for (at, frame) in Self.run(&book, until: 6500) where seen.insert(frame.topic).inserted {
            delays.append(at - news[frame.topic])
        }
        #expect(seen.count == 100_000)
        #expect(delays.min() ?? 0 >= 1000)
        #expect(delays.max() ?? 0 <= 1700)
    }
}
