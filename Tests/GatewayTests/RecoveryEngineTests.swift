// A MoldUDP64 engine with a re-request server: what it asks, and what becomes of the answers.
import Arbitration
import Basics
import Configuration
import FeedProtocols
import Testing
import Wire

@testable import Gateway

/// Notes what is asked of whom: `S1 2+3 of 0` asks server 0 for 3 messages from 2 on.
private final class Requests: RecoverySink {
    private var lines: [String] = []
    var isReachable = true

    func ask(_ request: [UInt8], of server: Int) -> Bool {
        guard isReachable, let request = try? MoldUDP64Request(decoding: request[...]) else { return false }
        lines.append("\(request.session) \(request.firstSequence)+\(request.count) of \(server)")
        return true
    }

    func take() -> [String] {
        defer { lines = [] }
        return lines
    }
}

private final class RecoveryBench {
    let requests = Requests()
    let recorder = Recorder()
    let engine: any FeedEngine
    let venue = MoldVenue()

    init(servers: Int = 1) {
        var options = FeedOptions(name: "itch", feedProtocol: .moldUDP64, keys: .itch50, policy: .hotHot)
        options.paths = [FeedPathOptions(name: "A"), FeedPathOptions(name: "B")]
        options.recover.servers = (1...servers).map { "udp://10.0.0.\($0):18000" }
        options.recover.within = .milliseconds(500)
        var plan = EnginePlan(
            options: options, index: 0, run: 1, controlEvery: .seconds(100), sink: recorder, log: { _, _ in },
            now: ms(0))
        plan.recovery = requests
        engine = plan.engine()
        engine.pathsChanged(
            PathCondition(used: [0, 1], active: [true, true], failover: nil), at: ms(0), wall: wall(0))
        engine.granted(.data(feed: "itch", .all), at: ms(0), wall: wall(0))
        _ = tick(0)
        _ = receive(venue.packet(1, [venue.directory(1, "X")]), at: 1)
    }

    func receive(_ bytes: [UInt8], on path: Int = 0, at time: Int64) -> [String] {
        _ = engine.received(bytes[...], on: path, receivedAt: wall(time), at: ms(time))
        return recorder.take()
    }

    func answer(_ bytes: [UInt8], from server: Int = 0, at time: Int64) -> [String] {
        engine.recovered(bytes[...], from: server, receivedAt: wall(time), at: ms(time))
        return recorder.take()
    }

    /// Lets time pass to `time`, as the loop would.
    func tick(_ time: Int64) -> [String] {
        engine.tick(at: ms(time), wall: wall(time))
        return recorder.take()
    }

    func messages(_ range: ClosedRange<UInt64>) -> [UInt8] {
        venue.packet(range.lowerBound, range.map { _ in venue.delete(1) })
    }

    var figures: RecoveryFigures { engine.channel.recovery ?? RecoveryFigures() }
}

@Suite struct RecoveryEngineTests {
    @Test
    func `what both lines lost is asked for and delivered in order, and meanwhile the channel recovers`() {
        let bench = RecoveryBench()
        #expect(bench.receive(bench.messages(4...4), at: 10) == [])
        #expect(bench.requests.take() == [])
        #expect(bench.engine.waitingUntil == ms(30))
        #expect(bench.tick(30) == ["state recovering -: a gap is open"])
        #expect(bench.requests.take() == ["S1 2+2 of 0"])
        #expect(
            bench.answer(bench.messages(2...3), at: 31) == [
                "md/itch/X/ 2 after 1 recovering", "md/itch/X/ 3 after 2 recovering",
                "md/itch/X/ 4 after 3 recovering", "state live -: ",
            ])
        #expect(bench.tick(1000).allSatisfy { !$0.hasPrefix("gap") })
        #expect(bench.figures == RecoveryFigures(requests: 1, recovered: 2))
        #expect(
            bench.recorder.frames.filter { $0.header.kind == .data }.map(\.header.path) == [0, nil, nil, 0])
    }

    @Test func `what the other line brings is not asked for`() {
        let bench = RecoveryBench()
        _ = bench.receive(bench.messages(3...3), at: 10)
        #expect(bench.receive(bench.messages(2...2), on: 1, at: 29).count == 2)
        #expect(bench.tick(30) == [])
        #expect(bench.requests.take() == [])
    }

    @Test func `a server that answers with less is asked for the rest`() {
        let bench = RecoveryBench()
        _ = bench.receive(bench.messages(100...100), at: 10)
        _ = bench.tick(30)
        #expect(bench.requests.take() == ["S1 2+98 of 0"])
        #expect(bench.answer(bench.messages(2...36), at: 31).count == 35)
        _ = bench.tick(33)
        #expect(bench.requests.take() == ["S1 37+63 of 0"])
        _ = bench.answer(bench.messages(37...99), at: 34)
        #expect(bench.engine.channel.gaps == 0 && bench.engine.channel.published == 100)
    }

    @Test func `what nobody answers is told as an exact gap when the time is over`() {
        let bench = RecoveryBench(servers: 2)
        _ = bench.receive(bench.messages(4...4), at: 10)
        var lines: [String] = []
        for time in Int64(11)...600 {
            if let deadline = bench.engine.waitingUntil, deadline <= ms(time) { lines += bench.tick(time) }
        }
        #expect(
            lines == [
                "state recovering -: a gap is open", "gap 2-3 notRecovered",
                "md/itch/X/ 4 after 1 recovering",
                "state live -: ",
            ])
        #expect(
            bench.requests.take() == (0..<5).map { "S1 2+2 of \($0 % 2)" })
        #expect(bench.figures.unanswered >= 4 && bench.engine.channel.gaps == 2)
    }

    @Test func `answers that are none change nothing and are counted`() {
        let bench = RecoveryBench()
        _ = bench.receive(bench.messages(4...4), at: 10)
        _ = bench.tick(30)
        let other = MoldVenue(session: MoldSession("S2"))
        #expect(bench.answer([1, 2, 3], at: 31) == [])
        #expect(bench.answer(other.packet(2, [other.delete(1), other.delete(1)]), at: 31) == [])
        #expect(
            bench.answer(bench.messages(50...60), at: 31) == [], "nothing that is not missing is believed")
        #expect(
            bench.answer(MoldUDP64PacketBuilder.heartbeat(session: bench.venue.session, next: 5), at: 31)
                == [])
        #expect(
            bench.figures.refused == [
                "truncated": 1, "other-session": 1, "nothing-missing": 1, "nothing": 1,
            ])
        #expect(bench.receive(bench.messages(2...3), on: 1, at: 40).count == 4)
        #expect(bench.engine.channel.gaps == 0 && bench.engine.channel.epochs == 0)
    }

    @Test func `answers that come after the gap was told are late and begin no new numbering`() {
        let bench = RecoveryBench()
        _ = bench.receive(bench.messages(40...40), at: 10)
        _ = bench.tick(30)
        _ = bench.tick(530)
        #expect(bench.engine.channel.gaps == 38)
        for time in Int64(1100)...1140 {
            #expect(bench.answer(bench.messages(2...39), at: time).allSatisfy { !$0.hasPrefix("md/") })
        }
        #expect(bench.engine.channel.epochs == 0)
    }

    @Test func `a request that cannot be sent lets the next server be asked`() {
        let bench = RecoveryBench(servers: 2)
        _ = bench.receive(bench.messages(3...3), at: 10)
        bench.requests.isReachable = false
        _ = bench.tick(30)
        bench.requests.isReachable = true
        _ = bench.tick(41)
        #expect(bench.requests.take() == ["S1 2+1 of 1"])
    }
}
