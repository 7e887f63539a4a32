// A feed of other gateways whose topics are numbered each by itself, as a dialogue with the engine: what they tell as
// missing, and what is left of a session when they are in the next one.
import Arbitration
import Basics
import Configuration
import Testing
import Wire

@testable import Gateway

/// Another gateway that publishes such a feed.
private struct Neighbour {
    var run: UInt32
    var epoch: UInt64 = 9

    private func frame(_ kind: FrameKind, _ topic: String, _ sequence: UInt64, _ body: [UInt8]) -> [UInt8] {
        let header = FrameHeader(
            kind: kind, flags: .numberedPerTopic, feed: 5, channel: 0, epoch: epoch, sequence: sequence,
            state: .live, run: run, sourceTime: kind == .data ? wall(1) : nil, receiveTime: wall(1))
        var frame: [UInt8] = []
        header.encode(topic: Array(topic.utf8)[...], body: body[...], into: &frame)
        return frame
    }

    func data(_ instrument: String, _ sequence: UInt64) -> [UInt8] {
        frame(.data, "md/up/\(instrument)/", sequence, [UInt8(truncatingIfNeeded: sequence)])
    }

    private func control(_ body: ControlBody) -> [UInt8] {
        frame(body.kind, "control/up/0/", 0, body.bytes)
    }

    var state: [UInt8] { control(.state(path: nil, reason: "")) }

    func gap(_ first: UInt64, _ last: UInt64, of instrument: String) -> [UInt8] {
        control(.gap(SequenceRange(first, last), .notRecovered, instrument: instrument))
    }
}

@Suite struct ChainedTopicTests {
    private let a = Neighbour(run: 1)
    private let b = Neighbour(run: 2)
    private let next = Neighbour(run: 1, epoch: 10)

    /// A feed that has heard both gateways, and the same message of them.
    private func joined() -> Bench {
        let bench = Bench(.holdfast, .hotHot)
        for (path, neighbour) in [a, b].enumerated() {
            _ = bench.receive(neighbour.state, on: path, at: 1)
            _ = bench.receive(neighbour.data("X", 4), on: path, at: 2)
        }
        _ = bench.tick(2)
        return bench
    }

    private func withoutStates(_ lines: [String]) -> [String] { lines.filter { !$0.hasPrefix("state") } }

    @Test func `what waits for the other gateway goes out when one says that the next session is there`() {
        let bench = joined()
        #expect(bench.receive(a.data("X", 7), on: 0, at: 3) == [])
        #expect(
            withoutStates(bench.receive(next.state, on: 0, at: 4)) == [
                "gap 5-6 sessionChange of X", "md/md/X/ 7 after 4",
            ])
        #expect(bench.recorder.frames.suffix(2).map(\.header.epoch) == [9, 9])
        #expect(withoutStates(bench.receive(next.data("Y", 1), on: 0, at: 5)) == ["md/md/Y/ 1 after 0"])
        #expect(withoutStates(bench.receive(next.data("X", 1), on: 0, at: 6)) == ["md/md/X/ 1 after 0"])
        #expect(bench.engine.channel.waiting == 0 && bench.engine.channel.gaps == 2)
    }

    @Test func `what one gateway tells as missing is told here if the other one does not bring it in time`() {
        let bench = joined()
        #expect(bench.receive(a.gap(5, 6, of: "X"), on: 0, at: 3) == [])
        #expect(bench.receive(b.data("X", 5), on: 1, at: 50) == ["md/md/X/ 5 after 4"])
        #expect(bench.receive(b.data("X", 6), on: 1, at: 60) == ["md/md/X/ 6 after 5"])
        #expect(bench.tick(150) == [])
        // What came by then is no gap here.
        #expect(bench.receive(a.gap(5, 6, of: "X"), on: 0, at: 160) == [])
        #expect(bench.engine.figures(of: 0).missed == 2)
        #expect(bench.receive(a.gap(7, 9, of: "X"), on: 0, at: 200) == [])
        #expect(bench.receive(b.data("X", 7), on: 1, at: 210) == ["md/md/X/ 7 after 6"])
        #expect(bench.tick(299) == [])
        #expect(bench.tick(300) == ["gap 8-9 notRecovered of X"])
        #expect(bench.recorder.frames.last?.header.epoch == 9)
        #expect(bench.receive(b.gap(8, 9, of: "X"), on: 1, at: 310) == [])
        #expect(bench.receive(a.data("X", 10), on: 0, at: 320) == ["md/md/X/ 10 after 0"])
        #expect(bench.engine.channel.gaps == 2)
    }

    @Test func `what one gateway tells as missing at the end of a session is told before the next one`() {
        let bench = joined()
        #expect(bench.receive(a.gap(5, 6, of: "X"), on: 0, at: 3) == [])
        #expect(bench.receive(next.state, on: 0, at: 4).contains("gap 5-6 sessionChange of X"))
        #expect(bench.recorder.frames.last { $0.header.kind == .gap }?.header.epoch == 9)
        #expect(withoutStates(bench.receive(next.data("X", 1), on: 0, at: 5)) == ["md/md/X/ 1 after 0"])
        // Of a topic that has begun the next one, what is told of the one before is old.
        _ = bench.receive(next.state, on: 1, at: 6)
        #expect(bench.receive(b.gap(5, 8, of: "X"), on: 1, at: 7) == [])
        #expect(bench.engine.channel.gaps == 2)
    }

    @Test func `what is told as missing of a topic that was not heard of is no gap here`() {
        let bench = joined()
        #expect(bench.receive(a.gap(5, 6, of: "Y"), on: 0, at: 3) == [])
        #expect(bench.receive(a.gap(5, 6, of: "X"), on: 0, at: 3) == [])
        #expect(bench.tick(200) == ["gap 5-6 notRecovered of X"])
        #expect(bench.receive(a.data("Y", 7), on: 0, at: 201) == ["md/md/Y/ 7 after 0"])
        // Nor what a gateway says whose messages do not count.
        var condition = PathCondition(used: [0, 1], active: [true, true])
        condition.distrusted = [true, false]
        _ = bench.paths(condition, at: 202)
        #expect(bench.receive(a.gap(7, 9, of: "X"), on: 0, at: 203) == [])
        #expect(bench.tick(400) == [])
    }
}
