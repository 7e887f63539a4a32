// The generated feeds: the same everywhere, complete, and countable by a reader who knows none of our
// sequence numbers.
import Basics
import Testing

@testable import FeedProtocols

@Suite struct SyntheticTests {
    private let start = WallTime(nanoseconds: 1_767_323_045_000_000_000)

    private func itch(symbols: Int = 8000, seed: UInt64 = 1, directoryEvery: UInt64 = 0) -> SyntheticITCH {
        SyntheticITCH(
            symbols: symbols, seed: seed, rate: 20_000, start: start, directoryEvery: directoryEvery)
    }

    private func message(_ number: UInt64, _ feed: SyntheticITCH) throws -> ITCH50Message {
        var writer = ByteWriter()
        feed.write(number, into: &writer)
        return try ITCH50Message(writer.bytes[...])
    }

    @Test func `a stream opens with a system event and the whole directory`() throws {
        let feed = itch()
        #expect(try message(1, feed).systemEvent == UInt8(ascii: "O"))
        for locate in [1, 2, 9, 8000] as [UInt64] {
            let entry = try message(locate + 1, feed)
            #expect(UInt64(entry.locate) == locate)
            #expect(entry.directorySymbol == ITCHSymbol("HF" + padded(Int64(locate), 4)))
        }
        #expect(try message(8002, feed).directorySymbol == nil)
    }

    @Test func `odd messages go to the busy symbols in turn, even ones to the others`() throws {
        let feed = itch()
        for number in 8002...8100 as ClosedRange<UInt64> {
            let locate = try message(number, feed).locate
            #expect(number % 2 == 1 ? (1...16).contains(locate) : locate > 16)
        }
        #expect(try message(8003, feed).locate == 1)
        #expect(try message(8005, feed).locate == 2)
        #expect(try message(8002, feed).locate == 17)
    }

    @Test(arguments: [(8000, 0), (8000, 40_000), (40, 100), (16, 0), (3, 6), (1, 0)])
    func `each instrument counts its own messages without a hole`(symbols: Int, every: Int) throws {
        let feed = itch(symbols: symbols, directoryEvery: UInt64(every))
        var counts: [UInt16: UInt64] = [:]
        for number in UInt64(symbols + 2)...UInt64(symbols + 40_001) {
            let message = try message(number, feed)
            guard let reference = message.orderReference else {
                #expect(message.directorySymbol != nil)
                continue
            }
            let count = counts[message.locate, default: 0] + 1
            counts[message.locate] = count
            #expect(reference == UInt64(message.locate) << 40 | count)
        }
        #expect(counts.count == symbols)
    }

    @Test func `a repeated directory is complete within its period`() throws {
        let feed = itch(directoryEvery: 40_000)
        var seen: Set<UInt16> = []
        for number in 50_001...90_000 as ClosedRange<UInt64> {
            let message = try message(number, feed)
            if message.directorySymbol != nil { seen.insert(message.locate) }
        }
        #expect(seen.count == 8000)
    }

    @Test func `one seed gives the same stream, another a different one`() {
        let bytes = { (feed: SyntheticITCH) in
            var writer = ByteWriter()
            for number in 1...20_000 as ClosedRange<UInt64> { feed.write(number, into: &writer) }
            return writer.bytes
        }
        #expect(bytes(itch()) == bytes(itch()))
        #expect(bytes(itch(seed: 2)) != bytes(itch()))
        // A change here breaks servers of different versions that play one stream together.
        #expect(fnv1a(bytes(itch())) == 4_078_240_202_523_059_295)
    }

    @Test func `most messages are new orders, and every type occurs`() throws {
        var counts: [UInt8: Int] = [:]
        for number in 8002...18_001 as ClosedRange<UInt64> {
            counts[try message(number, itch()).type, default: 0] += 1
        }
        #expect(Set(counts.keys) == Set("AEXDP".utf8))
        #expect(counts[UInt8(ascii: "A"), default: 0] > 7000)
    }

    @Test func `times are those at which messages are due`() throws {
        let feed = itch()
        let midnight = UInt64(start.nanoseconds % 86_400_000_000_000)
        #expect(try message(1, feed).timestamp == midnight)
        #expect(try message(20_001, feed).timestamp == midnight + 1_000_000_000)
        #expect(try message(20_002, feed).timestamp == midnight + 1_000_050_000)
    }

    @Test(arguments: [1, 3, 7, 1000, 20_000, 999_983, 1_000_000_000] as [UInt64])
    func `what is due and when are each other's inverse`(rate: UInt64) {
        let schedule = StreamSchedule(rate: rate)
        var random = SeededNumbers(rate)
        for _ in 0..<1000 {
            let number = UInt64.random(in: 1...1_000_000_000, using: &random)
            let due = schedule.due(number)
            #expect(schedule.last(dueWithin: due) >= number)
            #expect(schedule.last(dueWithin: due - .nanoseconds(1)) < number)
        }
        #expect(schedule.last(dueWithin: .nanoseconds(-1)) == 0)
        #expect(schedule.last(dueWithin: .zero) == 1)
    }

    @Test func `numbers and times at the end of the range do not trap`() throws {
        _ = StreamSchedule(rate: 1_000_000_000).last(dueWithin: .nanoseconds(Int64.max))
        _ = StreamSchedule(rate: 1).due(.max)
        _ = try message(1 << 60, itch(directoryEvery: 16_000))
        _ = SyntheticQuotes(symbols: 100, seed: 1, rate: 1).turn(.max)
    }

    @Test func `quotes take turns, each topic with its own sequence`() {
        let quotes = SyntheticQuotes(symbols: 3, seed: 1, rate: 10)
        var last = [UInt64](repeating: 0, count: 3)
        #expect(String(decoding: quotes.topics[2], as: UTF8.self) == "HF0003/")
        for number in 1...100 as ClosedRange<UInt64> {
            let (topic, sequence) = quotes.turn(number)
            #expect(sequence == last[topic] + 1)
            last[topic] = sequence
            #expect(last == (0..<3).map { quotes.lastSequence(ofTopic: $0, after: number) })
        }
    }

    @Test func `a quote is JSON with the symbol and its count`() throws {
        let quotes = SyntheticQuotes(symbols: 100, seed: 1, rate: 10)
        let json = try JSON(parsing: quotes.payload(topic: 6, sequence: 12))
        #expect(json["symbol"] == .string("HF0007"))
        #expect(json["count"] == .integer(12))
        #expect(try #require(json["ask"]?.double) > (try #require(json["bid"]?.double)))
    }
}
