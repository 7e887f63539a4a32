// A gateway that did not run for a while, and what came meanwhile: it is as old as it is. It proves no path and makes no
// channel fresh, no silence was any, and what the other socket brings is waited for.
import Arbitration
import Basics
import Configuration
import FeedProtocols
import Testing
import Wire

@testable import Gateway

@Suite struct AbsenceTests {
    private let recorder = Recorder()
    private let quotes = QuotesVenue()
    private let mold = MoldVenue()

    private func feed(_ feedProtocol: FeedOptions.FeedProtocol) -> FeedCore {
        var options = FeedOptions(
            name: "md", feedProtocol: feedProtocol, keys: feedProtocol.keys, policy: .hotHot)
        options.freshness = .seconds(1)
        options.silence = .seconds(1)
        options.paths = ["A", "B"].map { FeedPathOptions(name: $0) }
        return startedFeed(options, controlEvery: .milliseconds(100), into: recorder)
    }

    private func receive(
        _ bytes: [UInt8], _ core: FeedCore, on path: Int, stamped: Int64? = nil, at time: Int64
    ) {
        core.received(
            bytes[...], on: path, receivedAt: wall(stamped ?? time), at: ms(time), wall: wall(time))
    }

    /// Lets both paths bring a packet each 50 ms, and the gateway's clock strike as often.
    private func go(_ core: FeedCore, to end: Int64, _ make: (_ number: UInt64) -> [UInt8]) {
        for time in stride(from: Int64(0), through: end, by: 50) {
            for path in 0...1 { receive(make(UInt64(time / 50) + 1), core, on: path, at: time) }
            core.tick(at: ms(time), wall: wall(time))
        }
        _ = recorder.take()
    }

    /// What was published, heartbeats left out.
    private func published() -> [String] { recorder.take().filter { !$0.contains("heartbeat") } }

    private func packet(_ number: UInt64) -> [UInt8] {
        mold.packet(number, [mold.delete(1, at: Int64(number - 1) * 50)])
    }

    @Test func `datagrams that waited make no channel live and prove no path`() {
        let core = feed(.moldUDP64)
        go(core, to: 1000, packet)
        // Away from 1000 to 11000; the venue ended at 1200.
        for path in 0...1 {
            for number in UInt64(22)...25 {
                receive(packet(number), core, on: path, stamped: Int64(number - 1) * 50, at: 11_000)
            }
        }
        #expect(
            published() == [
                "state stale -: no word from upstream for 1000 ms",
                "md/md/%231/ 22 after 21 stale late unresolved",
                "md/md/%231/ 23 after 22 stale late unresolved",
                "md/md/%231/ 24 after 23 stale late unresolved",
                "md/md/%231/ 25 after 24 stale late unresolved",
            ])
        core.tick(at: ms(11_000), wall: wall(11_000))
        core.tick(at: ms(11_050), wall: wall(11_050))
        #expect(core.machine.redundancy == .none && core.machine.lastHeard(0) == ms(1200))
        receive(packet(26), core, on: 0, stamped: 11_099, at: 11_100)
        #expect(published() == ["state live -: no directory yet", "md/md/%231/ 26 after 25 late unresolved"])
        #expect(core.machine.isWell(0) && !core.machine.isWell(1))
    }

    @Test func `a channel is live again with what came lately`() {
        let core = feed(.moldUDP64)
        go(core, to: 1000, packet)
        for number in UInt64(22)...60 {
            receive(packet(number), core, on: 0, stamped: Int64(number - 1) * 50, at: 3000)
        }
        let lines = published()
        #expect(lines.first == "state stale -: no word from upstream for 1000 ms")
        // What came at 2050, the 42nd, is the first within the limit.
        #expect(lines.firstIndex { $0.hasPrefix("state live") } == 21)
        #expect(lines.filter { $0.contains("stale") }.count == 21 && core.machine.isWell(0))
    }

    @Test func `of a connection only its last read proves anything`() {
        let core = feed(.zeromq)
        go(core, to: 1000) { quotes.frame(.data, "AAPL", $0, at: Int64($0 - 1) * 50) }
        receive(quotes.frame(.data, "AAPL", 22, at: 1050), core, on: 0, at: 9000)
        receive(quotes.frame(.data, "AAPL", 23, at: 1100), core, on: 0, at: 9000)
        #expect(
            published() == [
                "state stale -: no word from upstream for 1000 ms", "md/md/AAPL/ 22 after 21 stale late",
                "md/md/AAPL/ 23 after 22 stale late",
            ])
        core.tick(at: ms(9000), wall: wall(9000))
        // More of it waited.
        receive(quotes.frame(.data, "AAPL", 24, at: 1150), core, on: 0, at: 9001)
        #expect(core.engine.channel.state == .stale)
        core.emptied(0)
        receive(quotes.frame(.data, "AAPL", 25, at: 9010), core, on: 0, at: 9010)
        #expect(core.engine.channel.state == .live)
        // The other one's is not read yet.
        receive(quotes.frame(.data, "AAPL", 22, at: 1050), core, on: 1, at: 9020)
        #expect(core.machine.lastHeard(1) == ms(9020))
        #expect(core.machine.redundancy == .full)
        core.tick(at: ms(9060), wall: wall(9060))
        #expect(core.machine.redundancy == .full && core.engine.channel.state == .live)
    }

    @Test func `what a connection brings for the first time long after an absence is of then`() {
        let core = feed(.zeromq)
        go(core, to: 1000) { quotes.frame(.data, "AAPL", $0, at: Int64($0 - 1) * 50) }
        receive(quotes.frame(.data, "AAPL", 22, at: 1050), core, on: 0, at: 9000)
        #expect(core.engine.channel.state == .stale)
        core.emptied(0)
        for time in stride(from: Int64(9000), through: 9600, by: 100) {
            core.tick(at: ms(time), wall: wall(time))
        }
        receive(quotes.frame(.data, "AAPL", 22, at: 9600), core, on: 1, at: 9601)
        #expect(core.engine.channel.state == .live)
    }

    @Test func `a hole is waited for as long as if nobody had been away`() {
        let core = feed(.moldUDP64)
        go(core, to: 1000, packet)
        receive(packet(23), core, on: 0, at: 1010)
        receive(packet(24), core, on: 0, stamped: 1100, at: 5000)
        core.tick(at: ms(5000), wall: wall(5000))
        receive(packet(22), core, on: 1, stamped: 1050, at: 5001)
        core.tick(at: ms(5100), wall: wall(5100))
        #expect(core.engine.channel.gaps == 0 && core.engine.channel.published == 24)
    }

    @Test func `what one topic waits for is, too`() {
        let core = feed(.zeromq)
        go(core, to: 1000) { quotes.frame(.data, "AAPL", $0, at: Int64($0 - 1) * 50) }
        receive(quotes.frame(.data, "AAPL", 23, at: 1010), core, on: 0, at: 1010)
        receive(quotes.frame(.data, "AAPL", 24, at: 1100), core, on: 0, at: 5000)
        core.tick(at: ms(5000), wall: wall(5000))
        receive(quotes.frame(.data, "AAPL", 22, at: 1005), core, on: 1, at: 5001)
        #expect(core.engine.channel.gaps == 0 && core.engine.channel.published == 24)
    }

    @Test func `who subscribes before anything is read is shown nothing stale as live`() {
        let core = feed(.zeromq)
        go(core, to: 1000) { quotes.frame(.data, "AAPL", $0, at: Int64($0 - 1) * 50) }
        core.granted(
            .data(feed: "md", .one("AAPL")), to: 7, at: ms(9000), wall: wall(9000))
        let lines = published()
        #expect(lines.first == "state stale -: no word from upstream for 1000 ms")
        #expect(lines.contains("md/md/AAPL/ idle 21 stale to 7"))
    }

    @Test func `what is stale by now is told before a connection's end that is read first`() {
        let core = feed(.moldUDP64)
        go(core, to: 1000, packet)
        receive(packet(23), core, on: 0, at: 1010)
        core.disconnected(0, at: ms(5000), wall: wall(5000))
        #expect(published().first == "state stale -: no word from upstream for 1000 ms")
        receive(packet(22), core, on: 1, stamped: 1050, at: 5001)
        core.tick(at: ms(5100), wall: wall(5100))
        #expect(core.engine.channel.gaps == 0 && core.engine.channel.published == 23)
    }

    @Test func `a snapshot that is asked for before anything is read says that all is stale`() {
        let core = feed(.zeromq)
        go(core, to: 1000) { quotes.frame(.data, "AAPL", $0, at: Int64($0 - 1) * 50) }
        let page = core.snapshot(SnapshotWants(instruments: nil), at: ms(9000), wall: wall(9000))
        let frames = (page?.frames ?? []).compactMap { try? Frame(parsing: $0) }
        #expect(frames.map(\.header.state) == [.stale] && frames[0].header.flags.contains(.stale))
    }

    @Test func `nobody is called silent behind what is still being read`() {
        let core = feed(.moldUDP64)
        go(core, to: 1000, packet)
        // B ended at 1000; A's socket has much, of which each turn takes a little.
        for number in UInt64(22)...200 {
            let time = 11_000 + Int64(number)
            receive(packet(number), core, on: 0, stamped: Int64(number - 1) * 50, at: time)
            core.tick(at: ms(time), wall: wall(time))
            #expect(core.machine.isWell(0))
        }
        for time in stride(from: Int64(11_201), through: 11_300, by: 1) {
            receive(packet(UInt64(time - 11_000)), core, on: 0, at: time)
            core.tick(at: ms(time), wall: wall(time))
        }
        #expect(core.machine.isWell(0) && !core.machine.isWell(1))
    }

    @Test func `what is done after less than an absence hides none`() {
        let core = feed(.moldUDP64)
        go(core, to: 1000, packet)
        // The gateway's clock was to strike at 1050.
        core.health(Dependency(Subject(.nic, "eth0")), .ok, happenedAt: nil, at: ms(1140), wall: wall(1140))
        receive(packet(22), core, on: 0, stamped: 1001, at: 1140)
        #expect(core.machine.lastHeard(0) == ms(1001))
    }

    @Test func `no path is behind its twin because that one's socket is read first`() {
        let core = feed(.moldUDP64)
        go(core, to: 1000, packet)
        for number in UInt64(22)...24 { receive(packet(number), core, on: 0, at: 1001) }
        for number in UInt64(25)...90 {
            receive(packet(number), core, on: 0, stamped: Int64(number - 1) * 50, at: 4500)
        }
        #expect(core.machine.isWell(1))
        for number in UInt64(22)...90 {
            receive(packet(number), core, on: 1, stamped: Int64(number - 1) * 50, at: 4501)
        }
        core.tick(at: ms(4501), wall: wall(4501))
        #expect(core.machine.redundancy == .full && core.engine.channel.gaps == 0)
    }

    @Test func `numbers that come once more after an absence begin no session`() {
        let core = feed(.pitch)
        let packet = { (number: UInt64) -> [UInt8] in
            [22, 0, 1, 1, UInt8(number), 0, 0, 0] + [14, 0x29] + [UInt8](repeating: 0, count: 12)
        }
        go(core, to: 1000, packet)
        // Sent once more, and then what follows.
        for (place, number) in [UInt64(18), 19, 20, 21, 22].enumerated() {
            receive(packet(number), core, on: 0, stamped: 1010 + Int64(place), at: 60_000)
        }
        #expect(core.engine.channel.epochs == 0 && core.engine.channel.published == 22)
    }

    @Test func `a clock that was set is no absence`() {
        let core = feed(.moldUDP64)
        go(core, to: 1000, packet)
        // The stamp is of before.
        core.received(
            packet(22)[...], on: 0, receivedAt: wall(1050), at: ms(1050), wall: wall(3_601_050))
        #expect(core.machine.lastHeard(0) == ms(1050) && core.engine.channel.state == .live)
    }
}
