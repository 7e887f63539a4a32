// Where topics that are numbered each by itself stand, as a dialogue with the engine: what nobody knows is shown to nobody.
import Arbitration
import Basics
import Configuration
import FeedProtocols
import Testing
import Wire

@testable import Gateway

@Suite struct TopicPlaceTests {
    private let venue = QuotesVenue()

    /// A frame of another gateway, whose topics are numbered each by itself.
    private func relayed(
        _ kind: FrameKind, _ topic: String, _ sequence: UInt64, epoch: UInt64, body: [UInt8] = []
    ) -> [UInt8] {
        let header = FrameHeader(
            kind: kind, flags: .numberedPerTopic, feed: 5, channel: 0, epoch: epoch, sequence: sequence,
            state: .live, receiveTime: wall(1))
        var frame: [UInt8] = []
        header.encode(topic: Array(topic.utf8)[...], body: body[...], into: &frame)
        return frame
    }

    @Test func `where only a gateway that is behind says that a topic is, is shown to nobody`() {
        let bench = Bench(.holdfast, .hotHot)
        _ = bench.receive(relayed(.state, "control/up/0/", 0, epoch: 9, body: [0, 0]), on: 0, at: 1)
        _ = bench.receive(relayed(.data, "md/up/Y/", 1, epoch: 9, body: [1]), on: 0, at: 2)
        _ = bench.receive(relayed(.idle, "md/up/X/", 50, epoch: 8), on: 1, at: 3)
        bench.engine.granted(.data(feed: "md", .one("X")), to: 8, at: ms(4), wall: wall(4))
        #expect(bench.recorder.take() == [])
        #expect(bench.receive(relayed(.idle, "md/up/X/", 30, epoch: 9), on: 0, at: 5) == [])
        bench.engine.granted(.data(feed: "md", .one("X")), to: 9, at: ms(6), wall: wall(6))
        #expect(bench.recorder.take() == ["md/md/X/ idle 30 to 9"])
        #expect(bench.recorder.frames.last?.header.epoch == 9)
        #expect(bench.engine.channel.gaps == 0)
    }

    @Test func `what was under way when a topic was given up does not say where it is later`() {
        let bench = Bench(.zeromq, .hotWarm)
        _ = bench.receive(venue.frame(.data, "AAPL", 5), on: 0, at: 1)
        bench.engine.released(.instrument("AAPL"), stillWanted: [])
        #expect(bench.receive(venue.frame(.data, "AAPL", 6), on: 0, at: 2) == ["md/quotes/AAPL/ 6 after 0"])
        #expect(bench.receive(venue.frame(.data, "AAPL", 7), on: 0, at: 3) == ["md/quotes/AAPL/ 7 after 0"])
        #expect(bench.receive(venue.frame(.idle, "AAPL", 7), on: 0, at: 4) == [])
        #expect(bench.snapshot(at: 5) == [])
        bench.engine.granted(.data(feed: "quotes", .one("AAPL")), to: 8, at: ms(6), wall: wall(6))
        #expect(bench.recorder.take() == [])
        bench.engine.joined(.instrument("AAPL"), alreadyWanted: [], at: ms(7), wall: wall(7))
        #expect(bench.recorder.take() == [])
        #expect(bench.receive(venue.frame(.idle, "AAPL", 500), on: 0, at: 8) == [])
        bench.engine.granted(.data(feed: "quotes", .one("AAPL")), to: 9, at: ms(9), wall: wall(9))
        #expect(bench.recorder.take() == ["md/quotes/AAPL/ idle 500 to 9"])
        let data = (501...502 as ClosedRange<UInt64>).flatMap {
            bench.receive(venue.frame(.data, "AAPL", $0), on: 0, at: 10)
        }
        #expect(data == ["md/quotes/AAPL/ 501 after 0", "md/quotes/AAPL/ 502 after 501"])
        #expect(bench.snapshot(at: 12) == ["md/quotes/AAPL/ 502 live"])
        #expect(bench.engine.channel.gaps == 0)
    }

    @Test func `what waited for another path when a topic is asked for again is not sent as its beginning`() {
        let bench = Bench(.zeromq, .hotHot)
        for path in 0...1 { _ = bench.receive(venue.frame(.data, "AAPL", 5), on: path, at: 1) }
        #expect(bench.receive(venue.frame(.data, "AAPL", 7), on: 0, at: 2) == [])
        bench.engine.released(.instrument("AAPL"), stillWanted: [])
        bench.engine.joined(.instrument("AAPL"), alreadyWanted: [], at: ms(3), wall: wall(3))
        #expect(!bench.recorder.take().contains { $0.hasPrefix("md/") })
        bench.engine.granted(.data(feed: "quotes", .one("AAPL")), to: 8, at: ms(4), wall: wall(4))
        #expect(bench.recorder.take() == [])
        let lines = bench.receive(venue.frame(.idle, "AAPL", 500), on: 0, at: 5)
        #expect(!lines.contains { $0.hasPrefix("gap") })
        bench.engine.granted(.data(feed: "quotes", .one("AAPL")), to: 9, at: ms(6), wall: wall(6))
        #expect(bench.recorder.take() == ["md/quotes/AAPL/ idle 500 to 9"])
        #expect(bench.engine.channel.waiting == 0)
    }
}
