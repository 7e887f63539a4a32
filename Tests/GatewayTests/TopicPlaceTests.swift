// Where topics that are numbered each by itself stand, as a dialogue with the engine: what nobody knows is shown to nobody.
import Arbitration
import Basics
import Configuration
import FeedProtocols
import Testing
import Wire

@testable import Gateway

@Suite struct TopicPlaceTests {
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
}
