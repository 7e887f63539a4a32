// Last values of engines as a dialogue: what a client that joins late gets, and when it gets nothing.
import Arbitration
import Basics
import Configuration
import FeedProtocols
import Testing
import Wire

@testable import Gateway

@Suite struct SnapshotTests {
    private let venue = QuotesVenue()
    private let gone = PathCondition(used: [1], active: [false, true], failover: "A failed")

    @Test func `each topic has its last value, whoever took it`() {
        let bench = Bench(.zeromq, .hotWarm, wantsAll: false)
        for (topic, sequence) in [("AAPL", 5), ("MSFT", 9), ("AAPL", 6)] as [(String, UInt64)] {
            #expect(
                !bench.receive(venue.frame(.data, topic, sequence), on: 0, at: 1).contains {
                    $0.hasPrefix("md/")
                })
        }
        #expect(bench.snapshot(at: 2) == ["md/quotes/AAPL/ 6 live", "md/quotes/MSFT/ 9 live"])
        #expect(bench.snapshot(["MSFT", "GOOG"], at: 2) == ["md/quotes/MSFT/ 9 live"])
        #expect(bench.engine.channel.lastValues?.count == 2)
    }

    @Test func `a value is as fresh as the channel is now`() {
        let bench = Bench(.zeromq, .hotWarm)
        _ = bench.receive(venue.frame(.data, "AAPL", 5), on: 0, at: 1)
        _ = bench.tick(1500)
        #expect(bench.snapshot(at: 1501) == ["md/quotes/AAPL/ 5 stale"])
    }

    @Test func `a gap takes the value that it may have changed`() {
        let bench = Bench(.zeromq, .hotWarm)
        _ = bench.receive(venue.frame(.data, "AAPL", 5), on: 0, at: 1)
        _ = bench.receive(venue.frame(.data, "MSFT", 5), on: 0, at: 1)
        _ = bench.paths(gone, at: 2)
        _ = bench.receive(venue.frame(.idle, "AAPL", 8), on: 1, at: 3)
        #expect(bench.snapshot(at: 4) == ["md/quotes/MSFT/ 5 recovering"])
        #expect(bench.engine.snapshot(SnapshotWants(), wall: wall(4))?.without == 1)
        _ = bench.receive(venue.frame(.data, "AAPL", 9), on: 1, at: 5)
        #expect(bench.snapshot(["AAPL"], at: 6) == ["md/quotes/AAPL/ 9 recovering"])
    }

    @Test func `another session clears all values, those of topics that are silent in it too`() {
        let bench = Bench(.zeromq, .hotWarm)
        _ = bench.receive(venue.frame(.data, "AAPL", 5), on: 0, at: 1)
        _ = bench.receive(venue.frame(.data, "MSFT", 5), on: 0, at: 1)
        _ = bench.receive(QuotesVenue(session: 8).frame(.data, "MSFT", 1), on: 0, at: 2)
        #expect(bench.snapshot(at: 3) == ["md/quotes/MSFT/ 1 live"])
    }

    @Test func `what waited in a session that is left is no last value`() {
        let bench = Bench(.zeromq, .hotHot)
        _ = bench.receive(venue.frame(.data, "AAPL", 4), on: 0, at: 1)
        _ = bench.receive(venue.frame(.data, "AAPL", 6), on: 0, at: 2)
        let lines = bench.receive(QuotesVenue(session: 8).frame(.data, "MSFT", 1), on: 0, at: 3)
        #expect(lines.contains("md/quotes/AAPL/ 6 after 4"), "\(lines)")
        #expect(bench.snapshot(at: 4) == ["md/quotes/MSFT/ 1 live"])
    }

    @Test func `what is no longer subscribed upstream has no value`() {
        let bench = Bench(.zeromq, .hotWarm)
        for topic in ["AAPL", "MSFT", "GOOG"] {
            _ = bench.receive(venue.frame(.data, topic, 5), on: 0, at: 1)
        }
        bench.engine.released(.instrument("AAPL"), stillWanted: [.everything])
        #expect(bench.snapshot(at: 2)?.count == 3)
        bench.engine.released(.instrument("AAPL"), stillWanted: [.instrument("MSFT")])
        #expect(bench.snapshot(at: 2) == ["md/quotes/MSFT/ 5 live", "md/quotes/GOOG/ 5 live"])
        bench.engine.released(.everything, stillWanted: [.instrument("MSFT")])
        #expect(bench.snapshot(at: 2) == ["md/quotes/MSFT/ 5 live"])
    }

    @Test func `a reply holds so much, and says where to go on`() {
        let bench = Bench(.zeromq, .hotWarm, wantsAll: false)
        for number in 0..<5001 {
            _ = bench.receive(venue.frame(.data, "T\(number)", 1), on: 0, at: 1)
        }
        let first = bench.engine.snapshot(SnapshotWants(), wall: wall(2))
        #expect(first?.frames.count == 5000)
        #expect(first?.next == SnapshotRequest.Place(channel: 0, topic: 5000))
        let second = bench.engine.snapshot(SnapshotWants(after: first?.next), wall: wall(2))
        #expect(second?.frames.count == 1)
        #expect(second?.next == nil)
        let beyond = SnapshotRequest.Place(channel: 0, topic: .max)
        #expect(bench.engine.snapshot(SnapshotWants(after: beyond), wall: wall(2))?.frames == [])
    }

    @Test func `to look for what is not there costs something, too`() {
        let bench = Bench(.zeromq, .hotWarm, wantsAll: false)
        _ = bench.receive(venue.frame(.data, "AAPL", 1), on: 0, at: 1)
        func page(_ names: [String]) -> SnapshotPage? {
            bench.engine.snapshot(SnapshotWants(instruments: names), wall: wall(2))
        }
        #expect(page(["AAPL"])?.frames.count == 1)
        let nothing = page((1...100).map { "NONE\($0)" })
        #expect(nothing?.frames == [] && nothing?.without == 0)
        #expect(nothing?.cost == 100 * (page(["NONE"])?.cost ?? 0))
        #expect(nothing?.cost ?? 0 > 0)
    }

    @Test func `changes are not kept`() {
        let bench = Bench(.moldUDP64, .hotHot)
        let mold = MoldVenue()
        _ = bench.receive(mold.packet(1, [mold.directory(1, "AAPL"), mold.delete(1)]), on: 0, at: 1)
        #expect(bench.snapshot(at: 2) == nil)
        #expect(bench.engine.channel.lastValues == nil)
    }

    @Test func `of IEX the quotes of TOPS are kept, until something is lost`() {
        let bench = Bench(.iexTP, .hotHot)
        _ = bench.both(
            IEXVenue.segment(1, [IEXVenue.message("Q", "AAPL"), IEXVenue.message("Q", "MSFT")]), at: 1)
        _ = bench.both(
            IEXVenue.segment(3, [IEXVenue.message("T", "AAPL"), IEXVenue.message("8", "MSFT")]), at: 2)
        #expect(bench.snapshot(at: 3) == ["md/md/AAPL/ 1 live", "md/md/MSFT/ 2 live"])
        _ = bench.both(IEXVenue.segment(6, [IEXVenue.message("Q", "MSFT")]), at: 4)
        _ = bench.tick(500)
        #expect(bench.snapshot(at: 501)?.map { $0.prefix(13) } == ["md/md/MSFT/ 6"])
    }

    @Test func `the catalog and the configuration agree on who has last values`() {
        for name in FeedOptions.FeedProtocol.allCases {
            #expect(
                name.hasLastValues == (FeedProtocolDescription(named: name.rawValue).lastValue != .none))
        }
    }
}

/// Segments of IEX-TP with messages that have a type, a time and a symbol.
private enum IEXVenue {
    static func message(_ type: Character, _ symbol: String) -> [UInt8] {
        var bytes: [UInt8] = [type.asciiValue ?? 0, 0]
        bytes += [UInt8](repeating: 0, count: 8)
        bytes += Array(symbol.utf8) + [UInt8](repeating: 32, count: 8 - symbol.utf8.count)
        return bytes + [UInt8](repeating: 0, count: 24)
    }

    static func segment(_ first: UInt64, _ messages: [[UInt8]]) -> [UInt8] {
        var body: [UInt8] = []
        for message in messages { body += little(UInt64(message.count), 2) + message }
        var bytes: [UInt8] = [1, 0] + little(0x8003, 2) + little(1, 4) + little(5, 4)
        bytes += little(UInt64(body.count), 2) + little(UInt64(messages.count), 2) + little(0, 8)
        return bytes + little(first, 8) + little(UInt64(wall(0).nanoseconds), 8) + body
    }

    private static func little(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
    }
}
