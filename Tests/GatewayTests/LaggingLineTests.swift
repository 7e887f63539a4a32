// A line that goes on to speak and is late: what engines see of it, by the stamps that each protocol has, and that the
// feed acts on it.
import Arbitration
import Basics
import Configuration
import FeedProtocols
import Testing
import Wire

@testable import Gateway

@Suite struct LaggingLineTests {
    private let recorder = Recorder()
    private let quotes = QuotesVenue()
    private let mold = MoldVenue()

    private func feed(
        _ feedProtocol: FeedOptions.FeedProtocol, _ policy: FeedOptions.Policy, files: Bool = false
    ) -> FeedCore {
        var options = FeedOptions(
            name: "quotes", feedProtocol: feedProtocol, keys: feedProtocol.keys, policy: policy)
        options.paths = ["A", "B"].map { FeedPathOptions(name: $0) }
        if files { options.paths[0].file = "a.pcap" }
        return startedFeed(options, controlEvery: .seconds(100), into: recorder)
    }

    /// Lets A, and B as well, bring something each 50 ms, A so much later than B.
    private func go(
        _ core: FeedCore, from start: Int64, to end: Int64, lag: Int64,
        _ make: (_ number: UInt64, _ sent: Int64) -> [UInt8]
    ) {
        for time in stride(from: start, to: end, by: 50) {
            for (path, late) in [(0, lag), (1, 0)] where time >= late {
                let sent = time - late
                core.received(
                    make(UInt64(sent / 50) + 1, sent)[...], on: path, receivedAt: wall(time), at: ms(time),
                    wall: wall(time))
            }
            core.tick(at: ms(time), wall: wall(time))
        }
    }

    @Test func `a hot-warm feed leaves a path whose heartbeats wait behind what is queued`() {
        let core = feed(.zeromq, .hotWarm)
        let beat = { (_: UInt64, sent: Int64) in
            quotes.frame(.heartbeat(every: .milliseconds(100)), "heartbeat", 0, at: sent)
        }
        go(core, from: 0, to: 3000, lag: 0, beat)
        #expect(core.machine.current == 0)
        go(core, from: 3000, to: 7000, lag: 2000, beat)
        #expect(core.machine.current == 1 && core.machine.switches == 1)
        #expect(core.machine.state(of: 0) == .failed(.lagging(.seconds(1))))
    }

    @Test func `a late line of second copies is known by their stamps, and data goes on`() {
        let core = feed(.moldUDP64, .hotHot)
        let packet = { (number: UInt64, sent: Int64) in
            mold.packet(number, [mold.delete(1, at: sent)])
        }
        go(core, from: 0, to: 3000, lag: 0, packet)
        #expect(core.machine.redundancy == .full)
        go(core, from: 3000, to: 7000, lag: 2000, packet)
        #expect(core.machine.state(of: 0) == .failed(.lagging(.seconds(1))))
        #expect(core.machine.lag(of: 0, at: ms(6950)) == .seconds(2))
        #expect(core.machine.isWell(1))
        #expect(core.engine.channel.published == 140 && core.engine.channel.gaps == 0)
    }

    @Test func `of copies without stamps it is known by when the first one came`() {
        let core = feed(.pitch, .hotHot)
        // Each 50 ms a delete of one of two units, which take turns.
        let packet = { (number: UInt64, _: Int64) -> [UInt8] in
            let sequence = UInt8((number + 1) / 2)
            return [22, 0, 1, UInt8(1 + number % 2), sequence, 0, 0, 0] + [14, 0x29]
                + [UInt8](repeating: 0, count: 12)
        }
        go(core, from: 0, to: 3000, lag: 0, packet)
        #expect(core.machine.redundancy == .full)
        #expect(core.machine.lag(of: 0, at: ms(2950)) == .zero)
        // A stray packet, far ahead: nobody believes it, and it is no measure for what comes.
        core.received(
            [22, 0, 1, 1, 0, 0, 0, 0x70, 14, 0x29] + [UInt8](repeating: 0, count: 12), on: 1,
            receivedAt: wall(2999), at: ms(2999), wall: wall(2999))
        go(core, from: 3000, to: 7000, lag: 2000, packet)
        #expect(core.machine.state(of: 0) == .failed(.lagging(.seconds(1))))
        #expect(core.machine.lag(of: 0, at: ms(6950)) == .seconds(2))
        #expect(core.machine.isWell(1))
        #expect(core.engine.channel.published == 140 && core.engine.channel.gaps == 0)
        go(core, from: 7000, to: 9500, lag: 0, packet)
        #expect(core.machine.lag(of: 0, at: ms(9450)) == .zero)
    }

    @Test func `a gateway whose stamps are of the future makes no other one late`() {
        let core = feed(.holdfast, .hotHot)
        let hour: Int64 = 3_600_000
        for time in stride(from: Int64(0), to: 5000, by: 50) {
            for (path, ahead) in [(0, hour), (1, 0)] {
                let header = FrameHeader(
                    kind: .data, feed: 0, channel: 0, epoch: 9, sequence: UInt64(time / 50) + 1, state: .live,
                    sourceTime: wall(time + ahead), receiveTime: wall(time + ahead))
                var frame: [UInt8] = []
                header.encode(topic: Array("md/quotes/X/".utf8)[...], body: [1], into: &frame)
                core.received(
                    frame[...], on: path, receivedAt: wall(time), at: ms(time), wall: wall(time))
            }
            core.tick(at: ms(time), wall: wall(time))
        }
        #expect(core.machine.redundancy == .full && core.machine.lag(of: 1, at: ms(4950)) == nil)
    }

    @Test func `messages of topics tell it, too`() {
        let core = feed(.zeromq, .hotHot)
        let message = { (number: UInt64, sent: Int64) in quotes.frame(.data, "AAPL", number, at: sent) }
        go(core, from: 0, to: 3000, lag: 0, message)
        go(core, from: 3000, to: 7000, lag: 2000, message)
        #expect(core.machine.state(of: 0) == .failed(.lagging(.seconds(1))))
        #expect(core.engine.channel.published == 140 && core.engine.channel.gaps == 0)
    }

    @Test func `of captures, which come when they are read, nothing is judged`() {
        let core = feed(.moldUDP64, .hotHot, files: true)
        let packet = { (number: UInt64, sent: Int64) in mold.packet(number, [mold.delete(1, at: sent)]) }
        core.tick(at: ms(2950), wall: wall(2950))
        go(core, from: 3000, to: 9000, lag: 2000, packet)
        #expect(core.machine.lag(of: 0, at: ms(8950)) == nil)
        #expect(core.machine.redundancy == .full)
    }
}
