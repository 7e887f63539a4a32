// The engine of a sequenced ZeroMQ feed as a dialogue: frames in, frames out, across a failover.
import Arbitration
import Basics
import Configuration
import FeedProtocols
import Testing
import Wire

@testable import Gateway

@Suite struct TopicEngineTests {
    private let venue = QuotesVenue()
    private let moving = PathCondition(used: [1], active: [false, true], failover: "A failed")
    private let moved = PathCondition(used: [1], active: [false, true], failover: nil)

    @Test func `each topic has its own numbers`() {
        let bench = Bench(.zeromq, .hotWarm)
        #expect(
            bench.receive(venue.frame(.data, "AAPL", 5), on: 0, at: 1) == [
                "state live A: ", "md/quotes/AAPL/ 5 after 0",
            ])
        #expect(bench.receive(venue.frame(.data, "MSFT", 9), on: 0, at: 2) == ["md/quotes/MSFT/ 9 after 0"])
        #expect(bench.receive(venue.frame(.data, "AAPL", 6), on: 0, at: 3) == ["md/quotes/AAPL/ 6 after 5"])
        #expect(bench.recorder.frames.last?.header.flags.contains(.numberedPerTopic) == true)
    }

    @Test func `topics that are too long are counted and take nobody's room`() {
        var topics = FeedTopics(feed: "quotes", demand: TopicDemand(), keepsValues: false, at: .zero)
        let long = [UInt8](repeating: 65, count: TopicIndex.longest + 1)
        for _ in 0..<TopicDemand.limit { _ = topics.intern(long[...], at: .zero) { nil } }
        #expect(topics.refused == TopicDemand.limit)
        #expect(topics.intern(Array("AAPL/".utf8)[...], at: .zero) { "AAPL" } == 0)
    }

    @Test func `a failover tells recovering, the exact gap, and live`() {
        let bench = Bench(.zeromq, .hotWarm)
        _ = bench.receive(venue.frame(.data, "AAPL", 5), on: 0, at: 1)
        #expect(bench.paths(moving, at: 400) == ["state recovering B: moving to another path: A failed"])
        #expect(bench.receive(venue.frame(.idle, "AAPL", 8), on: 1, at: 401) == ["gap 6-8 failover of AAPL"])
        #expect(bench.paths(moved, at: 402) == ["state live B: "])
        #expect(
            bench.receive(venue.frame(.data, "AAPL", 9, at: 403), on: 1, at: 403) == [
                "md/quotes/AAPL/ 9 after 0"
            ])
        #expect(bench.receive(venue.frame(.data, "AAPL", 9, at: 403), on: 0, at: 404) == [])
        #expect(bench.engine.channel.gaps == 3)
    }

    @Test func `what the only path lost before it is subscribed anew is no failover's`() {
        let bench = Bench(.zeromq, .hotWarm)
        _ = bench.receive(venue.frame(.data, "AAPL", 5), on: 0, at: 1)
        let back = PathCondition(used: [0], active: [true, false], subscribing: "A")
        #expect(bench.paths(back, at: 400) == ["state recovering A: A is being subscribed"])
        #expect(
            bench.receive(venue.frame(.idle, "AAPL", 8), on: 0, at: 401) == ["gap 6-8 notRecovered of AAPL"])
        // Should the feed move meanwhile, it is one.
        #expect(bench.paths(moving, at: 402) == ["state recovering B: moving to another path: A failed"])
        #expect(bench.receive(venue.frame(.idle, "AAPL", 9), on: 1, at: 403) == ["gap 9-9 failover of AAPL"])
        #expect(bench.paths(moved, at: 404) == ["state live B: "])
    }

    @Test func `nothing is lost when the new path continues where the old one stopped`() {
        let bench = Bench(.zeromq, .hotWarm)
        _ = bench.receive(venue.frame(.data, "AAPL", 5), on: 0, at: 1)
        _ = bench.paths(moving, at: 400)
        #expect(bench.receive(venue.frame(.idle, "AAPL", 5), on: 1, at: 401) == [])
        #expect(
            bench.receive(venue.frame(.data, "AAPL", 6, at: 401), on: 1, at: 401) == [
                "md/quotes/AAPL/ 6 after 5 recovering"
            ])
    }

    @Test func `a failback with both paths subscribed loses and repeats nothing`() {
        let bench = Bench(.zeromq, .hotWarm)
        let both = PathCondition(
            used: [1], active: [true, true], failover: "the preferred path is well again")
        _ = bench.receive(venue.frame(.data, "AAPL", 5), on: 0, at: 1)
        _ = bench.paths(both, at: 2)
        #expect(bench.receive(venue.frame(.idle, "AAPL", 7), on: 1, at: 3) == [])
        #expect(
            bench.receive(venue.frame(.data, "AAPL", 6), on: 0, at: 4).last
                == "md/quotes/AAPL/ 6 after 5 recovering")
        #expect(
            bench.receive(venue.frame(.data, "AAPL", 7), on: 0, at: 5).last
                == "md/quotes/AAPL/ 7 after 6 recovering")
        #expect(
            bench.receive(venue.frame(.data, "AAPL", 8), on: 1, at: 6).last
                == "md/quotes/AAPL/ 8 after 7 recovering")
        #expect(bench.receive(venue.frame(.data, "AAPL", 8), on: 0, at: 7) == [])
        #expect(bench.engine.channel.gaps == 0)
    }

    @Test func `what fills a hole goes out before the messages that waited for it`() {
        let bench = Bench(.zeromq, .hotHot)
        _ = bench.receive(venue.frame(.data, "AAPL", 5), on: 0, at: 1)
        #expect(bench.receive(venue.frame(.data, "AAPL", 7), on: 0, at: 2) == [])
        #expect(bench.receive(venue.frame(.data, "AAPL", 8), on: 0, at: 3) == [])
        #expect(bench.engine.channel.waiting == 2)
        #expect(
            bench.receive(venue.frame(.data, "AAPL", 6), on: 1, at: 4) == [
                "md/quotes/AAPL/ 6 after 5", "md/quotes/AAPL/ 7 after 6", "md/quotes/AAPL/ 8 after 7",
            ])
    }

    @Test func `who comes behind a gap that another path was waited for is shown where it ends`() {
        let bench = Bench(.zeromq, .hotHot)
        for path in 0...1 { _ = bench.receive(venue.frame(.data, "AAPL", 5), on: path, at: 1) }
        #expect(bench.receive(venue.frame(.idle, "AAPL", 8), on: 1, at: 2) == [])
        #expect(bench.tick(600).contains("gap 6-8 notRecovered of AAPL"))
        bench.engine.granted(.data(feed: "quotes", .one("AAPL")), to: 8, at: ms(601), wall: wall(601))
        #expect(bench.recorder.take() == ["md/quotes/AAPL/ idle 8 to 8"])
        #expect(
            bench.receive(venue.frame(.data, "AAPL", 9, at: 602), on: 1, at: 602).last
                == "md/quotes/AAPL/ 9 after 0")
    }

    @Test func `a path that loses half of what the other brings raises its alarm`() {
        let bench = Bench(.zeromq, .hotHot)
        for sequence: UInt64 in 1...400 {
            _ = bench.receive(venue.frame(.data, "AAPL", sequence), on: 0, at: Int64(sequence))
            guard sequence % 2 == 1 else { continue }
            _ = bench.receive(venue.frame(.data, "AAPL", sequence), on: 1, at: Int64(sequence))
        }
        var alarms = [LossAlarm(), LossAlarm()]
        for path in 0...1 {
            let figures = bench.engine.figures(of: path)
            alarms[path].update(received: figures.messages, missed: figures.missed)
        }
        #expect(bench.engine.figures(of: 1).missed == 199)
        #expect(alarms.map(\.isRaised) == [false, true])
    }

    @Test func `heartbeats keep a quiet feed live and silence makes it stale`() {
        let bench = Bench(.zeromq, .hotWarm)
        _ = bench.receive(venue.heartbeat(), on: 0, at: 0)
        _ = bench.receive(venue.heartbeat(), on: 0, at: 900)
        #expect(bench.tick(1500) == [])
        // The standby's heartbeats say nothing of the path in use.
        _ = bench.receive(venue.heartbeat(), on: 1, at: 1850)
        #expect(bench.tick(1900) == ["state stale A: no word from upstream for 1000 ms"])
    }

    @Test func `a new client is shown where a topic stands, and nobody else is`() {
        let bench = Bench(.zeromq, .hotWarm)
        _ = bench.receive(venue.frame(.data, "AAPL", 5), on: 0, at: 1)
        bench.engine.granted(.data(feed: "quotes", .one("AAPL")), to: 8, at: ms(2), wall: wall(2))
        bench.engine.granted(.control(feed: "quotes", channel: 0), to: 8, at: ms(2), wall: wall(2))
        #expect(
            bench.recorder.take() == [
                "md/quotes/AAPL/ idle 5 to 8", "state live A:  to 8", "heartbeat 1 0 live to 8",
            ])
    }

    @Test func `who takes all topics is shown where each of them stands`() {
        let bench = Bench(.zeromq, .hotWarm)
        for number in 0..<300 as Range<UInt64> {
            _ = bench.receive(venue.frame(.data, "T\(number)", 5 + number), on: 0, at: 1)
        }
        bench.engine.granted(.data(feed: "quotes", .all), to: 8, at: ms(2), wall: wall(2))
        #expect(bench.engine.deadline <= ms(2))
        let first = bench.tick(2)
        #expect(first.first == "shows to 8" && first.last == "md/quotes/T255/ idle 260 to 8")
        #expect(bench.tick(11) == [])
        let second = bench.tick(12)
        #expect(second.count == 45 && second.suffix(2) == ["md/quotes/T299/ idle 304 to 8", "shown to 8"])
        // Who is gone is shown nothing, and the feed's end lets go whom it was being shown to.
        bench.engine.granted(.data(feed: "quotes", .all), to: 8, at: ms(20), wall: wall(20))
        bench.engine.granted(.data(feed: "quotes", .all), to: 9, at: ms(20), wall: wall(20))
        bench.engine.departed(8)
        #expect(bench.tick(20).last == "md/quotes/T255/ idle 260 to 9")
        bench.engine.close()
        #expect(bench.recorder.take() == ["shown to 9"])
        #expect(bench.tick(30) == [])
    }

    @Test func `of paths that come back the first one says what all of them missed`() {
        let bench = Bench(.zeromq, .hotHot)
        _ = bench.receive(venue.frame(.data, "AAPL", 5), on: 0, at: 1)
        _ = bench.paths(PathCondition(used: [0, 1], active: [false, false], failover: "A failed"), at: 400)
        #expect(
            bench.receive(venue.frame(.idle, "AAPL", 8), on: 1, at: 5000).last == "gap 6-8 failover of AAPL")
    }

    @Test func `another session begins each topic anew`() {
        let bench = Bench(.zeromq, .hotWarm)
        _ = bench.receive(venue.frame(.data, "AAPL", 5), on: 0, at: 1)
        let next = QuotesVenue(session: 8)
        #expect(bench.receive(next.frame(.data, "AAPL", 1), on: 0, at: 2).last == "md/quotes/AAPL/ 1 after 0")
        #expect(bench.recorder.frames.last?.header.epoch == 8)
        #expect(bench.receive(venue.frame(.data, "AAPL", 6), on: 1, at: 3) == [])
    }

    @Test func `another session is told with its first topic, also if that is a new one`() {
        let bench = Bench(.zeromq, .hotWarm)
        _ = bench.receive(venue.frame(.data, "AAPL", 5), on: 0, at: 1)
        let next = QuotesVenue(session: 8)
        #expect(
            bench.receive(next.frame(.data, "MSFT", 3), on: 0, at: 2) == [
                "state live A: ", "md/quotes/MSFT/ 3 after 0",
            ])
        #expect(bench.recorder.frames.suffix(2).map(\.header.epoch) == [8, 8])
        // Or by where it stands.
        let third = QuotesVenue(session: 9)
        #expect(bench.receive(third.frame(.idle, "IBM", 4), on: 0, at: 3) == ["state live A: "])
        #expect(bench.recorder.frames.last?.header.epoch == 9)
        #expect(bench.receive(third.frame(.data, "AAPL", 1), on: 0, at: 4) == ["md/quotes/AAPL/ 1 after 0"])
    }

    @Test func `what waits when another topic begins the next session goes out before it, as the old one's`()
    {
        let bench = Bench(.zeromq, .hotHot)
        _ = bench.receive(venue.frame(.data, "MSFT", 40), on: 0, at: 1)
        _ = bench.receive(venue.frame(.data, "AAPL", 1000), on: 0, at: 1)
        #expect(bench.receive(venue.frame(.data, "AAPL", 1003), on: 0, at: 2) == [])
        let next = QuotesVenue(session: 8)
        #expect(
            bench.receive(next.frame(.data, "MSFT", 1), on: 0, at: 3) == [
                "gap 1001-1002 sessionChange of AAPL", "md/quotes/AAPL/ 1003 after 1000", "state live -: ",
                "md/quotes/MSFT/ 1 after 0",
            ])
        #expect(bench.recorder.frames.suffix(4).map(\.header.epoch) == [7, 7, 8, 8])
        #expect(!bench.tick(1000).contains { $0.hasPrefix("gap") || $0.contains("AAPL/ 1003 after") })
        // What speaks of the channel is of the session that it is in, before and after.
        bench.engine.granted(.control(feed: "quotes", channel: 0), to: 8, at: ms(1001), wall: wall(1001))
        #expect(bench.recorder.frames.last?.header.epoch == 8)
        #expect(
            bench.receive(next.frame(.data, "AAPL", 1, at: 1002), on: 0, at: 1002).last
                == "md/quotes/AAPL/ 1 after 0")
        #expect(bench.recorder.frames.last?.header.epoch == 8)
    }

    @Test
    func `what a topic leaves behind when it follows into the next session is told of the one it left`() {
        let bench = Bench(.zeromq, .hotHot)
        _ = bench.receive(venue.frame(.data, "AAPL", 1000), on: 0, at: 1)
        _ = bench.receive(venue.frame(.data, "AAPL", 1003), on: 0, at: 2)
        let next = QuotesVenue(session: 8)
        #expect(
            bench.receive(next.frame(.data, "AAPL", 1), on: 0, at: 4).filter { $0.contains("AAPL") } == [
                "gap 1001-1002 sessionChange of AAPL", "md/quotes/AAPL/ 1003 after 1000",
                "md/quotes/AAPL/ 1 after 0",
            ])
        #expect(bench.recorder.frames.suffix(4).map(\.header.epoch) == [7, 7, 8, 8])
    }

    @Test func `names are decoded from the feed's spelling and encoded for clients`() {
        let bench = Bench(.zeromq, .hotWarm)
        #expect(
            bench.receive(venue.frame(.data, "BRK%2FA", 1), on: 0, at: 1).last
                == "md/quotes/BRK%2FA/ 1 after 0")
        #expect(
            bench.receive(venue.frame(.data, "A B", 1), on: 0, at: 1).last == "md/quotes/A%20B/ 1 after 0")
        #expect(
            !bench.engine.received(
                venue.frame(.data, "A%2", 1)[...], on: 0, receivedAt: wall(2), at: ms(2), wall: wall(2)))
        #expect(bench.engine.figures(of: 0).decodeErrors == ["bad-name": 1])
    }

    @Test func `frames that are none are counted by name`() {
        let bench = Bench(.zeromq, .hotWarm)
        for bytes in [[], Array("AAPL".utf8), Array("AAPL/\0".utf8)] as [[UInt8]] {
            #expect(!bench.engine.received(bytes[...], on: 0, receivedAt: wall(1), at: ms(1), wall: wall(1)))
        }
        #expect(bench.engine.figures(of: 0).decodeErrors == ["bad-topic": 2, "truncated": 1])
    }
}
