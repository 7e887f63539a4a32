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
    private func feed(_ paths: String...) -> FeedCore {
        let zeromq = FeedOptions.FeedProtocol.zeromq
        var options = FeedOptions(name: "quotes", feedProtocol: zeromq, keys: zeromq.keys, policy: .hotHot)
        options.paths = paths.map { FeedPathOptions(name: $0) }
        let core = FeedCore(
            EnginePlan(
                options: options, index: 0, run: 1, controlEvery: .seconds(100), sink: recorder,
                log: { _, _ in }, now: ms(0)))
        core.start([.data(feed: "quotes", .all)], at: ms(0), wall: wall(0))
        for path in paths.indices {
            core.connected(path, at: ms(0), wall: wall(0))
            core.resubscribed(path, at: ms(0), wall: wall(0))
        }
        return core
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
}
