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

    func ask(_ request: [UInt8], of server: Int) -> AskOutcome {
        guard isReachable, let request = try? MoldUDP64Request(decoding: request[...]) else { return .failed }
        lines.append("\(request.session) \(request.firstSequence)+\(request.count) of \(server)")
        return .sent
    }

    func take() -> [String] {
        defer { lines = [] }
        return lines
    }
}

private final class Entries {
    var lines: [String] = []
}

private final class RecoveryBench {
    let requests = Requests()
    let recorder = Recorder()
    let engine: any FeedEngine
    let venue = MoldVenue()

    private let entries = Entries()

    /// What was logged.
    var log: [String] { entries.lines }

    init(
        servers: Int = 1, start: FeedOptions.Start = .now, at first: UInt64 = 1, isNamed: Bool = true,
        window: Int? = nil, perSecond: Int = 100, after earlier: RecoveryBench? = nil
    ) {
        var options = FeedOptions(name: "itch", feedProtocol: .moldUDP64, keys: .itch50, policy: .hotHot)
        options.paths = [FeedPathOptions(name: "A"), FeedPathOptions(name: "B")]
        options.recover.servers = (1...servers).map { "udp://10.0.0.\($0):18000" }
        options.recover.within = .milliseconds(500)
        options.start = start
        if let window { (options.reorderCount, options.recover.count) = (window, window) }
        options.startMessages = 20_000
        options.recover.requestsPerSecond = perSecond
        let entries = entries
        var plan = EnginePlan(
            options: options, index: 0, run: 1, controlEvery: .seconds(100), sink: recorder,
            log: { entries.lines.append($1) }, now: ms(0))
        plan.recovery = requests
        if let earlier { plan.usage = QuotaUsage(requests: earlier.engine.requestsLately) }
        engine = plan.engine()
        engine.pathsChanged(
            PathCondition(used: [0, 1], active: [true, true], failover: nil), at: ms(0), wall: wall(0))
        engine.granted(.data(feed: "itch", .all), to: nil, at: ms(0), wall: wall(0))
        _ = tick(0)
        _ = receive(venue.packet(first, [isNamed ? venue.directory(1, "X") : venue.delete(1)]), at: 1)
    }

    func receive(_ bytes: [UInt8], on path: Int = 0, at time: Int64) -> [String] {
        let complaint = lend(bytes) {
            _ = engine.received($0, on: path, receivedAt: wall(time), at: ms(time), wall: wall(time))
        }
        return recorder.take() + complaint
    }

    func answer(_ bytes: [UInt8], from server: Int = 0, at time: Int64) -> [String] {
        let complaint = lend(bytes) {
            engine.recovered($0, from: server, receivedAt: wall(time), at: ms(time), wall: wall(time))
        }
        return recorder.take() + complaint
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

    @Test func `an engine goes on with what one of other options used of the quota`() {
        let earlier = RecoveryBench(perSecond: 2)
        _ = earlier.receive(earlier.messages(4...4), at: 10)
        _ = earlier.tick(30)
        #expect(earlier.requests.take() == ["S1 2+2 of 0"])
        #expect(earlier.engine.requestsLately == [0: [ms(30)]])
        let bench = RecoveryBench(perSecond: 1, after: earlier)
        _ = bench.receive(bench.messages(4...4), at: 40)
        _ = bench.tick(60)
        #expect(bench.requests.take() == [])
        #expect(bench.engine.requestsLately == [0: [ms(30)]])
        // That is told as lost by now.
        _ = bench.tick(600)
        _ = bench.receive(bench.messages(7...7), at: 1000)
        _ = bench.tick(1029)
        #expect(bench.requests.take() == [])
        _ = bench.tick(1030)
        #expect(bench.requests.take() == ["S1 5+2 of 0"])
    }

    @Test func `what was asked for of a channel that has not come yet is not forgotten`() {
        var options = FeedOptions(name: "md", feedProtocol: .pitch, keys: .pitch, policy: .hotHot)
        options.paths = [FeedPathOptions(name: "A")]
        let usage = QuotaUsage(requests: [7: [ms(30)]])
        let engine = EnginePlan(
            options: options, index: 0, run: 1, controlEvery: .seconds(100), sink: Recorder(),
            log: { _, _ in }, now: ms(0), usage: usage
        ).engine()
        #expect(engine.requestsLately == [7: [ms(30)]])
    }

    @Test func `a desk goes on with what one of other options asked of the proxies`() {
        var options = RecoverOptions()
        (options.requestsPerMinute, options.requestsPerDay) = (1500, 5)
        var earlier = GapProxyDesk(options)
        for time in 0..<3 as Range<Int64> { earlier.sent(at: ms(time)) }
        options.requestsPerDay = 4
        var desk = GapProxyDesk(options, after: earlier.quota)
        var quota = desk.quota
        #expect(quota.nextAllowed(at: ms(5000)) == ms(5000))
        desk.sent(at: ms(5000))
        quota = desk.quota
        #expect(quota.nextAllowed(at: ms(100_000)) >= ms(86_400_000))
    }

    @Test func `nobody is asked by the name of another session, and nobody has left it unanswered`() {
        let bench = RecoveryBench()
        _ = bench.receive(bench.messages(4...4), at: 10)
        let stranger = MoldVenue(session: MoldSession("S2"))
        _ = bench.receive(stranger.packet(50, []), at: 25)
        _ = bench.tick(30)
        #expect(bench.requests.take() == [] && bench.figures == RecoveryFigures())
        #expect(bench.engine.deadline > ms(30))
        _ = bench.receive(bench.venue.packet(5, []), at: 40)
        _ = bench.tick(50)
        #expect(bench.requests.take() == ["S1 2+2 of 0"])
        _ = bench.answer(bench.messages(2...3), at: 51)
        #expect(bench.figures == RecoveryFigures(requests: 1, recovered: 2))
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
            if bench.engine.deadline <= ms(time) { lines += bench.tick(time) }
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

    @Test func `a late gateway asks for the session, publishes it as what it is, and is live behind it`() {
        let bench = RecoveryBench(start: .session, at: 10_000)
        #expect(bench.engine.channel.state == .recovering)
        #expect(bench.engine.channel.reason == "catching up with the session")
        #expect(bench.engine.channel.behind == 10_000)
        _ = bench.tick(30)
        #expect(bench.requests.take() == ["S1 1+1000 of 0"])
        let first = bench.answer(bench.venue.packet(1, [bench.venue.directory(2, "Y")]), at: 31)
        #expect(first == ["md/itch/Y/ 1 after 0 recovering"])
        var time: Int64 = 31
        while bench.engine.channel.behind > 0, time < 100_000 {
            time += 10
            _ = bench.tick(time)
            _ = bench.receive(
                MoldUDP64PacketBuilder.heartbeat(session: bench.venue.session, next: 10_001), at: time)
            for request in bench.requests.take() {
                let numbers = request.split(separator: " ")[1].split(separator: "+").compactMap { UInt64($0) }
                let range = numbers[0]...min(numbers[0] + numbers[1] - 1, numbers[0] + 29)
                for line in bench.answer(bench.messages(range), at: time) {
                    #expect(line.contains(" recovering") || line == "state live -: ")
                }
            }
        }
        #expect(bench.engine.channel.state == .live)
        #expect(bench.engine.channel.gaps == 0 && bench.engine.channel.published == 10_000)
        let numbers = bench.recorder.frames.filter { $0.header.kind == .data }.map(\.header.sequence)
        #expect(numbers == Array(1...10_000))
        #expect(bench.log == [])
        #expect(
            bench.receive(bench.venue.packet(10_001, [bench.venue.delete(2)]), at: time) == [
                "md/itch/Y/ 10001 after 1 late"
            ])
    }

    @Test func `of a session that is over, too, all is flagged, and the channel closes behind it`() {
        let bench = RecoveryBench(start: .session, at: 50)
        #expect(
            bench.receive(MoldUDP64PacketBuilder.endOfSession(session: bench.venue.session, next: 51), at: 2)
                == [])
        _ = bench.tick(30)
        #expect(bench.requests.take() == ["S1 1+49 of 0"])
        let first = bench.answer(bench.venue.packet(1, [bench.venue.directory(2, "Y")]), at: 31)
        #expect(first == ["md/itch/Y/ 1 after 0 recovering"])
        let lines = bench.answer(bench.messages(2...49), at: 32)
        let data = lines.filter { $0.hasPrefix("md/") }
        #expect(data.count == 49 && data.allSatisfy { $0.contains(" recovering") })
        #expect(lines.last == "state closed -: the session ended")
    }

    @Test func `what is sent again hours later has the venue's time, which is told from what comes live`() {
        let bench = RecoveryBench(start: .session, at: 50)
        _ = bench.tick(30)
        // 3 hours and 7 minutes before: of no zone.
        let earlier: Int64 = -11_220_000
        _ = bench.answer(
            bench.venue.packet(1, (1...49).map { _ in bench.venue.delete(1, at: earlier) }), at: 31)
        _ = bench.receive(bench.venue.packet(51, [bench.venue.delete(1, at: 99)]), at: 100)
        let headers = bench.recorder.frames.map(\.header).filter { $0.kind == .data }
        #expect(headers.map(\.sequence) == Array(1...51))
        #expect(headers.prefix(49).allSatisfy { $0.sourceTime == wall(earlier) && $0.flags.contains(.late) })
        #expect(headers.last?.sourceTime == wall(99) && headers.last?.flags.contains(.late) == false)
    }

    @Test func `a session that is too far ahead is taken from where it is, and that is said`() {
        let bench = RecoveryBench(start: .session, at: 30_000)
        #expect(bench.engine.channel.reason != "catching up with the session")
        #expect(bench.engine.place(of: 0)?.first == 30_000)
        #expect(
            bench.log == [
                "the session is 29999 messages ahead, more than start_messages (20000): it is taken from 30000 on"
            ])
    }

    @Test func `a session that is just as far ahead as it may be is asked for, and the venue goes on`() {
        let bench = RecoveryBench(start: .session, at: 20_001)
        for time in Int64(10)...40 {
            _ = bench.receive(bench.messages((20_000 + UInt64(time))...(20_000 + UInt64(time))), at: time)
            #expect(bench.tick(time).allSatisfy { !$0.hasPrefix("gap") })
        }
        #expect(bench.requests.take().first == "S1 1+1000 of 0")
        #expect(bench.engine.channel.reason == "catching up with the session" && bench.log == [])
    }

    @Test func `a session that runs away is given up, and the log says that`() {
        let bench = RecoveryBench(start: .session, at: 20_001)
        _ = bench.receive(bench.messages(40_000...40_000), at: 9)
        _ = bench.receive(bench.messages(40_001...40_001), at: 10)
        #expect(bench.receive(bench.messages(40_002...40_002), at: 11).contains("gap 1-40001 notRecovered"))
        #expect(
            bench.log == [
                "the session ran away: it is 40001 messages ahead: what is missing from 1 to 40001 is told as a gap"
            ])
    }

    @Test func `what is sent again beyond the reach of the window is not counted as recovered`() {
        let bench = RecoveryBench(start: .session, at: 10_000, window: 100)
        _ = bench.tick(30)
        _ = bench.answer(bench.messages(9000...9010), at: 31)
        #expect(bench.figures.recovered == 0 && bench.figures.refused == [:])
        _ = bench.answer(bench.messages(1...3), at: 32)
        _ = bench.answer(bench.messages(5...6), at: 33)
        #expect(bench.figures.recovered == 5)
        _ = bench.answer(bench.messages(1...3), at: 34)
        #expect(bench.figures.recovered == 5 && bench.figures.refused == ["nothing-missing": 1])
    }

    @Test func `a session that ends while it is sent is told as missing, and the log says that`() {
        let bench = RecoveryBench(start: .session, at: 10_000)
        _ = bench.answer(bench.venue.packet(1, [bench.venue.directory(2, "Y")]), at: 31)
        let next = MoldVenue(session: MoldSession("S2"))
        var lines: [String] = []
        for (time, sequence) in zip(Int64(40)..., UInt64(1)...3) {
            for path in 0...1 {
                lines += bench.receive(next.packet(sequence, [next.directory(1, "X")]), on: path, at: time)
            }
        }
        #expect(lines.contains("gap 2-9999 sessionChange"))
        #expect(bench.engine.channel.state == .live)
        #expect(
            bench.log == [
                "another session began before all of this one was sent: what is missing from 2 to 10000 is told as a gap",
                "another session: sequences begin anew (session)",
            ])
    }

    @Test func `what a session lost is no loss of the directory of the next one`() {
        let bench = RecoveryBench(start: .session, at: 10_000, isNamed: false)
        _ = bench.answer(bench.messages(5...10), at: 100)
        let next = MoldVenue(session: MoldSession("S2"))
        _ = bench.receive(next.packet(1, [next.directory(1, "X")]), at: 9_000)
        // The loop stood still: both are overdue, and the loss comes first.
        let lines = bench.tick(60_000)
        #expect(lines.contains("gap 1-4 sessionChange") && lines.contains("gap 11-9999 sessionChange"))
        #expect(bench.engine.channel.reason != "no directory")
        #expect(
            bench.log == [
                "the session was not sent: what is missing from 1 to 4 is told as a gap",
                "another session began before all of this one was sent: what is missing from 5 to 10000 is told as a gap",
                "another session: sequences begin anew (session)",
            ])
    }

    @Test func `a session that nobody sends is told as missing, without a directory`() {
        let bench = RecoveryBench(start: .session, at: 5000, isNamed: false)
        var lines: [String] = []
        for time in stride(from: Int64(100), through: 25_000, by: 100) {
            lines += bench.tick(time)
            lines += bench.receive(
                MoldUDP64PacketBuilder.heartbeat(session: bench.venue.session, next: 5001), at: time)
        }
        #expect(lines.contains("gap 1-4999 notRecovered"))
        #expect(!lines.contains("state recovering -: a gap is open"))
        #expect(bench.engine.channel.reason == "no directory")
        #expect(
            bench.log == [
                "the session was not sent: what is missing from 1 to 4999 is told as a gap"
            ])
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

// MARK: - PITCH

/// Notes what is asked of a Gap Request Proxy: `unit 1 2+3 of 0`.
private final class Proxies: RecoverySink {
    private var lines: [String] = []
    var outcome = AskOutcome.sent

    func ask(_ request: [UInt8], of server: Int) -> AskOutcome {
        var decoder = GapProxyDecoder()
        decoder.feed(request)
        guard outcome == .sent, case .request(let request)? = try? decoder.next() else { return outcome }
        lines.append("unit \(request.unit) \(request.first)+\(request.count) of \(server)")
        return .sent
    }

    func take() -> [String] {
        defer { lines = [] }
        return lines
    }
}

private final class ProxyBench {
    let proxies = Proxies()
    let recorder = Recorder()
    let engine: any FeedEngine

    init(servers: Int = 1, from first: UInt32 = 1, after earlier: ProxyBench? = nil) {
        var options = FeedOptions(name: "md", feedProtocol: .pitch, keys: .pitch, policy: .hotHot)
        if earlier != nil { options.start = .journal }
        options.channels = [1, 2]
        options.paths = [FeedPathOptions(name: "A"), FeedPathOptions(name: "B")]
        options.recover.servers = (1...servers).map { "tcp://10.0.0.\($0):17010" }
        options.recover.groups = ["239.1.1.9:30501"]
        options.recover.within = .milliseconds(500)
        engine = EnginePlan(
            options: options, index: 0, run: 1, controlEvery: .seconds(100), sink: recorder, log: { _, _ in },
            now: ms(0), recovery: proxies
        ).engine()
        engine.pathsChanged(
            PathCondition(used: [0, 1], active: [true, true], failover: nil), at: ms(0), wall: wall(0))
        engine.granted(.data(feed: "md", .all), to: nil, at: ms(0), wall: wall(0))
        _ = tick(0)
        if let earlier { engine.remember(earlier.recorder.memory, channel: 1, at: ms(0), wall: wall(0)) }
        for unit in [1, 2] as [UInt8] where earlier == nil {
            _ = receive(trades(unit, first, 1), at: 1)
            _ = receive(trades(unit, first, 1), on: 1, at: 1)
        }
    }

    /// A packet of so many trades of one symbol, each with its own number in it.
    func trades(_ unit: UInt8, _ first: UInt32, _ count: Int) -> [UInt8] {
        let messages = (0..<count).map { index in
            var writer = ByteWriter()
            writer.bytes += [41, 0x2A, 0, 0, 0, 0]
            writer.littleEndian(UInt64(first) + UInt64(index))
            writer.bytes += [0x42, 100, 0, 0, 0] + Array("ZVT   ".utf8)
            writer.littleEndian(UInt64(1))
            writer.littleEndian(UInt64(1))
            return writer.bytes
        }
        return packet(unit, first, messages)
    }

    func packet(_ unit: UInt8, _ first: UInt32, _ messages: [[UInt8]]) -> [UInt8] {
        let body = messages.flatMap { $0 }
        var writer = ByteWriter()
        writer.littleEndian(UInt16(8 + body.count))
        writer.bytes += [UInt8(messages.count), unit]
        writer.littleEndian(first)
        return writer.bytes + body
    }

    func receive(_ bytes: [UInt8], on path: Int = 0, at time: Int64) -> [String] {
        let complaint = lend(bytes) {
            _ = engine.received($0, on: path, receivedAt: wall(time), at: ms(time), wall: wall(time))
        }
        return recorder.take() + complaint
    }

    /// What the gap multicast brings.
    func replay(_ bytes: [UInt8], at time: Int64) -> [String] {
        let complaint = lend(bytes) {
            engine.recovered($0, from: nil, receivedAt: wall(time), at: ms(time), wall: wall(time))
        }
        return recorder.take() + complaint
    }

    func reject(
        _ unit: UInt16, _ first: UInt64, _ reason: String, isFinal: Bool, by server: Int = 0, at time: Int64
    ) {
        engine.rejected(
            RequestRejection(channel: unit, first: first, count: 1, reason: reason, isFinal: isFinal),
            by: server,
            at: ms(time))
    }

    func tick(_ time: Int64) -> [String] {
        engine.tick(at: ms(time), wall: wall(time))
        return recorder.take()
    }

    var figures: RecoveryFigures { engine.channel.recovery ?? RecoveryFigures() }
}

@Suite struct GapProxyEngineTests {
    @Test func `what both lines of a unit lost is asked for, and filled by what comes to the gap multicast`()
    {
        let bench = ProxyBench()
        _ = bench.receive(bench.trades(2, 4, 1), at: 10)
        #expect(bench.tick(30) == ["state recovering -: a gap is open"])
        #expect(bench.proxies.take() == ["unit 2 2+2 of 0"])
        #expect(
            bench.replay(bench.trades(2, 2, 2), at: 31) == [
                "md/md/ZVT/ 2 after 1 recovering", "md/md/ZVT/ 3 after 2 recovering",
                "md/md/ZVT/ 4 after 3 recovering", "state live -: ",
            ])
        #expect(bench.recorder.frames.suffix(4).map(\.header.channel) == [2, 2, 2, 2])
        #expect(bench.figures == RecoveryFigures(requests: 1, recovered: 2))
        #expect(bench.engine.figures(of: 0).divergent == 0 && bench.engine.figures(of: 1).divergent == 0)
    }

    @Test func `what others asked for fills a hole as well, and is else nobody's`() {
        let bench = ProxyBench()
        _ = bench.receive(bench.trades(1, 3, 1), at: 10)
        #expect(bench.replay(bench.trades(1, 1, 2), at: 12).count == 2)
        #expect(bench.replay(bench.trades(1, 1, 3), at: 13) == [])
        #expect(bench.replay(bench.packet(1, 0, []), at: 14) == [], "a group's heartbeat")
        #expect(bench.replay(bench.trades(9, 1, 3), at: 15) == [], "a unit of others")
        #expect(bench.tick(31) == [] && bench.proxies.take() == [])
        #expect(bench.figures == RecoveryFigures(recovered: 1))
    }

    @Test func `a number that all had is not delivered again, and begins no new numbering`() {
        let bench = ProxyBench()
        _ = bench.receive(bench.trades(1, 2, 50), at: 10)
        for time in Int64(1000)...1040 { #expect(bench.replay(bench.trades(1, 1, 9), at: time) == []) }
        #expect(bench.engine.channel.epochs == 0 && bench.engine.channel.published == 52)
    }

    @Test func `what a proxy refuses for good is asked of the next, and then told as an exact gap`() {
        let bench = ProxyBench(servers: 2)
        _ = bench.receive(bench.trades(1, 4, 1), at: 10)
        _ = bench.tick(30)
        #expect(bench.proxies.take() == ["unit 1 2+2 of 0"])
        bench.reject(1, 2, "out-of-range", isFinal: true, at: 31)
        _ = bench.tick(32)
        #expect(bench.proxies.take() == ["unit 1 2+2 of 1"])
        bench.reject(1, 2, "out-of-range", isFinal: true, by: 1, at: 33)
        var lines: [String] = []
        for time in Int64(34)...600 { lines += bench.tick(time) }
        #expect(bench.proxies.take() == [])
        #expect(
            lines == ["gap 2-3 notRecovered", "md/md/ZVT/ 4 after 1 recovering", "state live -: "])
        #expect(bench.figures.rejected == ["out-of-range": 2] && bench.figures.unanswered == 2)
    }

    @Test func `while the quota is used up nothing is asked, and afterwards it is`() {
        let bench = ProxyBench()
        _ = bench.receive(bench.trades(1, 3, 1), at: 10)
        bench.proxies.outcome = .notBefore(ms(200))
        for time in Int64(30)..<200 { _ = bench.tick(time) }
        #expect(bench.figures.requests == 0)
        bench.proxies.outcome = .sent
        _ = bench.tick(200)
        #expect(bench.proxies.take() == ["unit 1 2+1 of 0"] && bench.figures.requests == 1)
    }

    @Test func `a hole across the last number is asked for in two requests, and filled`() {
        let last = UInt32.max
        let bench = ProxyBench(from: last - 3)
        _ = bench.receive(bench.trades(1, 2, 1), at: 10)
        _ = bench.tick(30)
        #expect(bench.proxies.take() == ["unit 1 \(last - 2)+3 of 0"])
        #expect(bench.replay(bench.trades(1, last - 2, 3), at: 31).count == 3)
        _ = bench.tick(131)
        #expect(bench.proxies.take() == ["unit 1 1+1 of 0"])
        #expect(bench.replay(bench.trades(1, 1, 1), at: 132).count == 3)
        #expect(bench.engine.channel.gaps == 0 && bench.figures.recovered == 4)
    }

    @Test func `after the numbers began anew, what is sent again may be of the old ones and is not used`() {
        let bench = ProxyBench()
        for path in 0...1 { _ = bench.receive(bench.trades(1, 2, 50), on: path, at: 10) }
        let clear: [UInt8] = [6, 0x97, 0, 0, 0, 0]
        for path in 0...1 { _ = bench.receive(bench.packet(1, 1, [clear]), on: path, at: 20) }
        #expect(bench.engine.channel.epochs == 1)
        _ = bench.receive(bench.trades(1, 3, 1), at: 30)
        #expect(bench.replay(bench.trades(1, 2, 1), at: 40) == [])
        #expect(bench.figures.refused == ["other-session": 1])
        #expect(bench.replay(bench.trades(1, 2, 1), at: 520).count == 2)
    }

    @Test func `after the numbers began anew and a restart, what was sent meanwhile is asked for`() {
        let before = ProxyBench()
        for path in 0...1 { _ = before.receive(before.trades(1, 2, 50), on: path, at: 10) }
        let clear: [UInt8] = [6, 0x97, 0, 0, 0, 0]
        for path in 0...1 { _ = before.receive(before.packet(1, 1, [clear]), on: path, at: 20) }
        for path in 0...1 { _ = before.receive(before.trades(1, 2, 5), on: path, at: 30) }
        let bench = ProxyBench(after: before)
        _ = bench.receive(bench.trades(1, 9, 1), at: 1000)
        _ = bench.tick(1020)
        #expect(bench.proxies.take() == ["unit 1 7+2 of 0"])
        #expect(bench.replay(bench.trades(1, 7, 2), at: 1030).filter { $0.hasPrefix("md/") }.count == 3)
        #expect(bench.recorder.frames.last { $0.header.kind == .data }?.header.epoch == 20_260_102_001_000)
        #expect(bench.engine.channel.gaps == 0)
    }

    @Test func `what is no packet is counted`() {
        let bench = ProxyBench()
        #expect(bench.replay([1, 2, 3], at: 10) == [])
        #expect(bench.figures.refused == ["truncated": 1])
    }
}
