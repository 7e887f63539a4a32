// A line whose copies go on to differ: what the engine sees, the path machine decides, and only compared it stays.
import Arbitration
import Basics
import Configuration
import FeedProtocols
import Testing
import Wire

@testable import Gateway

@Suite struct DivergentLineTests {
    private let venue = QuotesVenue()
    private let recorder = Recorder()

    /// A hot-hot feed of numbered topics, all paths of which are connected and subscribed.
    private func feed(_ paths: String..., by spoken: FeedOptions.FeedProtocol = .zeromq) -> FeedCore {
        var options = FeedOptions(name: "quotes", feedProtocol: spoken, keys: spoken.keys, policy: .hotHot)
        options.paths = paths.map { FeedPathOptions(name: $0) }
        return startedFeed(options, controlEvery: .seconds(100), into: recorder)
    }

    /// Data frames that messages bring which come together, and gaps.
    private func say(
        _ core: FeedCore, together messages: [(topic: String, sequence: UInt64, payload: String)],
        on path: Int, at time: Int64 = 1
    ) -> [String] {
        _ = recorder.take()
        var frames = ArrivedFrames(
            copying: messages.map {
                venue.frame(.data, $0.topic, $0.sequence, at: time, payload: $0.payload)
            })
        core.received(&frames, on: path, receivedAt: wall(time), at: ms(time), wall: wall(time))
        let left = frames.count
        #expect(left == 0)
        return recorder.take().filter { !$0.hasPrefix("state") }
    }

    /// Data frames that a message brings.
    private func say(
        _ core: FeedCore, _ topic: String, _ sequence: UInt64, _ payload: String, on path: Int
    ) -> [String] {
        _ = recorder.take()
        let frame = venue.frame(.data, topic, sequence, at: 1, payload: payload)
        core.received(frame[...], on: path, receivedAt: wall(1), at: ms(1), wall: wall(1))
        return recorder.take().filter { $0.hasPrefix("md/") }
    }

    /// Both lines bring a packet, and the gateway's clock strikes.
    private func both(_ packet: [UInt8], _ core: FeedCore, at time: Int64) {
        for path in 0...1 {
            core.received(packet[...], on: path, receivedAt: wall(time), at: ms(time), wall: wall(time))
        }
        core.tick(at: ms(time), wall: wall(time))
    }

    @Test func `no line is distrusted any longer for numbers that had begun again`() {
        let (core, mold) = (feed("A", "B", by: .moldUDP64), MoldVenue())
        func bring(_ number: UInt64, at time: Int64) {
            both(mold.packet(number, [mold.delete(1, at: time)]), core, at: time)
        }
        for number in UInt64(1)...100 { bring(number, at: Int64(number) * 10) }
        for number in UInt64(1)...20 { bring(number, at: 1000 + Int64(number) * 10) }
        #expect(core.machine.isDistrusted(1) && core.engine.channel.epochs == 0)
        for number in UInt64(21)...90 { bring(number, at: 1000 + Int64(number) * 10) }
        #expect(!core.machine.isDistrusted(1) && core.engine.channel.epochs == 1)
    }

    @Test func `nor where sessions have no names at all`() {
        let core = feed("A", "B", by: .pitch)
        func bring(_ number: UInt8, at time: Int64) {
            let stamp = [UInt8(time & 0xFF), UInt8(time >> 8 & 0xFF)]
            let head: [UInt8] = [22, 0, 1, 1, number, 0, 0, 0, 14, 0x29]
            both(head + stamp + [UInt8](repeating: 0, count: 10), core, at: time)
        }
        for number in UInt8(1)...100 { bring(number, at: Int64(number) * 10) }
        for number in UInt8(1)...9 { bring(number, at: 1000 + Int64(number) * 50) }
        #expect(core.machine.isDistrusted(1) && core.engine.channel.epochs == 0)
        for number in UInt8(10)...40 { bring(number, at: 1000 + Int64(number) * 50) }
        #expect(!core.machine.isDistrusted(1) && core.engine.channel.epochs == 1)
    }

    @Test func `of two lines whose topics' copies differ the preferred one is followed`() {
        let core = feed("A", "B")
        for topic in ["P", "Q", "R", "S"] {
            _ = say(core, topic, 1, "right", on: 0)
            _ = say(core, topic, 1, "wrong", on: 1)
        }
        #expect((0..<2).map(core.machine.isDistrusted) == [false, true])
        #expect(say(core, "P", 2, "wrong", on: 1) == [])
        #expect(say(core, "P", 2, "right", on: 0) == ["md/quotes/P/ 2 after 1"])
        #expect(core.engine.figures(of: 1).divergent == 5 && core.engine.figures(of: 0).divergent == 0)
        #expect(core.engine.channel.refused == ["distrusted": 1])
    }

    @Test func `of three lines the one that differs from two others is left, whether it is preferred or not`()
    {
        for wrong in 0..<3 {
            let core = feed("A", "B", "C")
            for topic in ["P", "Q", "R", "S"] {
                let order = [wrong] + (0..<3).filter { $0 != wrong }
                for path in order { _ = say(core, topic, 1, path == wrong ? "wrong" : "right", on: path) }
            }
            #expect((0..<3).map(core.machine.isDistrusted) == (0..<3).map { $0 == wrong })
            #expect(say(core, "P", 2, "wrong", on: wrong) == [])
        }
    }

    @Test func `what comes together with the copy that is one too many is only compared`() {
        let core = feed("A", "B")
        let topics = ["P", "Q", "R", "S"]
        _ = say(core, together: topics.map { ($0, 1, "right") }, on: 0)
        let wrong = topics.map { ($0, UInt64(1), "wrong") } + [("P", 2, "wrong")]
        #expect(say(core, together: wrong, on: 1) == [])
        #expect((0..<2).map(core.machine.isDistrusted) == [false, true])
        #expect(say(core, together: [("P", 2, "right")], on: 0) == ["md/quotes/P/ 2 after 1"])
    }

    @Test(arguments: [0, 1, 2])
    func `of what comes together the first good one shows that a path lives, before the others are judged`(
        bad: Int
    ) {
        let core = feed("A", "B")
        _ = say(core, together: [("P", 1, "")], on: 0)
        for time: Int64 in [100, 200, 300, 400, 500] {
            let sequence = UInt64(time / 100 + 1)
            _ = say(core, together: [("P", sequence, "")], on: 1, at: time)
            core.tick(at: ms(time), wall: wall(time))
        }
        #expect(!core.machine.isWell(0))
        // Path B may have what is missing: only while both live is it waited for.
        let none = ["A%2", "B%2"].prefix(bad).map { (topic: $0, sequence: UInt64(1), payload: "") }
        #expect(
            say(core, together: none + [("P", 7, ""), ("P", 9, "")], on: 0, at: 510)
                == ["md/quotes/P/ 7 after 6"])
        #expect(
            say(core, together: [("P", 8, "")], on: 1, at: 511) == [
                "md/quotes/P/ 8 after 7", "md/quotes/P/ 9 after 8",
            ])
    }

    @Test func `what is no frame among others is counted, and they are taken`() {
        let core = feed("A", "B")
        var frames = ArrivedFrames(
            copying: [[1], venue.frame(.data, "P", 1), [], venue.frame(.data, "P", 2)])
        core.received(&frames, on: 0, receivedAt: wall(1), at: ms(1), wall: wall(1))
        #expect(
            recorder.take().filter { $0.hasPrefix("md/") }.map { $0.prefix(14) } == [
                "md/quotes/P/ 1", "md/quotes/P/ 2",
            ])
        #expect(core.engine.figures(of: 0).decodeErrors == ["bad-topic": 2])
    }
}
