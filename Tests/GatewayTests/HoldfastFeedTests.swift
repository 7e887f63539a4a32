// A feed that comes from other gateways, as a dialogue with the engine: their frames in, ours out.
import Arbitration
import Basics
import Configuration
import FeedProtocols
import Testing
import Wire

@testable import Gateway

/// Another gateway that publishes a feed.
private struct Upstream {
    var run: UInt32 = 1
    var epoch: UInt64 = 9

    func frame(
        _ kind: FrameKind, _ topic: String, _ sequence: UInt64, state: ChannelState = .live,
        flags: FrameFlags = [], body: [UInt8] = [], isTimed: Bool = true
    ) -> [UInt8] {
        let header = FrameHeader(
            kind: kind, flags: flags, feed: 5, channel: 3, epoch: epoch, sequence: sequence,
            path: UInt8(run), state: state, run: run,
            sourceTime: kind == .data && isTimed ? wall(1) : nil,
            receiveTime: wall(Int64(run)))
        var frame: [UInt8] = []
        header.encode(topic: Array(topic.utf8)[...], body: body[...], into: &frame)
        return frame
    }

    func data(_ instrument: String, _ sequence: UInt64, flags: FrameFlags = []) -> [UInt8] {
        frame(
            .data, "md/up/\(instrument)/", sequence, flags: flags, body: [UInt8(truncatingIfNeeded: sequence)]
        )
    }

    func beat(
        _ last: UInt64, state: ChannelState = .live, first: UInt64 = 1, isNamed: Bool = false
    ) -> [UInt8] {
        let body = ControlBody.heartbeat(
            published: 0, gaps: 0, interval: .milliseconds(100), first: first, isNamed: isNamed)
        return frame(.heartbeat, "control/up/3/", last, state: state, body: body.bytes)
    }
}

@Suite struct HoldfastFeedTests {
    private let a = Upstream(run: 1)
    private let b = Upstream(run: 2)

    /// A feed that has heard both gateways.
    private func joined() -> Bench {
        let bench = Bench(.holdfast, .hotHot)
        _ = bench.receive(a.beat(10), on: 0, at: 1)
        _ = bench.receive(b.beat(10), on: 1, at: 2)
        return bench
    }

    @Test func `what one gateway lost the other one fills, under the same epoch and numbers`() {
        let bench = joined()
        var lines = bench.receive(a.data("X", 11), on: 0, at: 3)
        lines += bench.receive(a.data("X", 13), on: 0, at: 3)
        for sequence in 11...13 as ClosedRange<UInt64> {
            lines += bench.receive(b.data(sequence == 12 ? "*" : "X", sequence), on: 1, at: 4)
        }
        #expect(lines == ["md/md/X/ 11 after 0", "md/md/*/ 12 after 0", "md/md/X/ 13 after 11"])
        let last = bench.recorder.frames.last
        #expect(last?.header.epoch == 9 && last?.header.channel == 3 && last?.header.sourceTime == wall(1))
        #expect(last.map { Array($0.body) } == [13])
        #expect(bench.engine.figures(of: 1).divergent == 0 && bench.engine.figures(of: 1).duplicates == 2)
    }

    @Test func `the first frames of a channel are published, though they come together`() {
        let bench = Bench(.holdfast, .hotHot)
        var lines = bench.receive(a.beat(0), on: 0, at: 1)
        for sequence in 1...3 as ClosedRange<UInt64> {
            lines += bench.receive(a.data("X", sequence), on: 0, at: 1)
        }
        #expect(
            lines.filter { $0.hasPrefix("md/") } == [
                "md/md/X/ 1 after 0", "md/md/X/ 2 after 1", "md/md/X/ 3 after 2",
            ])
    }

    @Test func `what both lost is told, also when only a heartbeat shows it`() {
        let bench = joined()
        _ = bench.receive(a.beat(12), on: 0, at: 3)
        #expect(bench.tick(150).filter { $0.hasPrefix("gap") } == ["gap 11-12 notRecovered"])
    }

    @Test func `names that need an encoding, and instruments without a name, stay what they are`() {
        let bench = joined()
        #expect(bench.receive(a.data("BRK%2FA", 11), on: 0, at: 3) == ["md/md/BRK%2FA/ 11 after 0"])
        #expect(bench.receive(a.data("%23117", 12), on: 0, at: 3) == ["md/md/%23117/ 12 after 0 unresolved"])
    }

    @Test func `what another gateway says of a message's instrument, and of the epoch, is handed on`() {
        let bench = joined()
        #expect(
            bench.both(a.data("*", 11, flags: .unresolved), at: 3) == [
                "md/md/*/ 11 after 0 unresolved"
            ])
        #expect(bench.receive(a.data("*", 12), on: 0, at: 4) == ["md/md/*/ 12 after 11"])
        #expect(bench.recorder.frames.last.map { Array($0.body) } == [12])
        #expect(bench.engine.channel.unresolved == 1)
        #expect(
            bench.receive(a.data("X", 13, flags: .epochInferred), on: 0, at: 5) == [
                "md/md/X/ 13 after 0 inferred"
            ])
        #expect(bench.receive(b.data("X", 14), on: 1, at: 6) == ["md/md/X/ 14 after 13 inferred"])
        let other = Bench(.holdfast, .hotHot)
        _ = other.receive(a.data("X", 1, flags: .epochInferred), on: 0, at: 1)
        #expect(
            other.receive(a.data("X", 2, flags: .epochInferred), on: 0, at: 2) == [
                "md/md/X/ 2 after 1 inferred"
            ])
    }

    @Test func `a gateway that is stale itself keeps nothing fresh`() {
        let bench = joined()
        #expect(
            !bench.engine.received(
                a.beat(10, state: .stale)[...], on: 0, receivedAt: wall(900), at: ms(900), wall: wall(900)))
        #expect(bench.receive(b.beat(10), on: 1, at: 950) == [])
        #expect(bench.engine.channel.state == .live)
        // When both are, nothing waits for a limit.
        #expect(
            bench.receive(b.beat(10, state: .stale), on: 1, at: 1000)
                == ["state stale -: stale where it comes from"])
        #expect(bench.receive(a.beat(10), on: 0, at: 1100) == ["state live -: "])
    }

    @Test func `a message whose time one gateway does not know is the same message`() {
        let bench = joined()
        _ = bench.receive(a.data("X", 11), on: 0, at: 3)
        _ = bench.receive(
            b.frame(.data, "md/up/X/", 11, body: [11], isTimed: false), on: 1, at: 4)
        #expect(bench.engine.figures(of: 1).divergent == 0 && bench.engine.figures(of: 1).duplicates == 1)
        #expect(bench.recorder.frames.last?.header.sourceTime == wall(1))
    }

    @Test func `a gateway that cannot name instruments does not shut out one that can`() {
        let bench = joined()
        var lines: [String] = []
        for sequence in 11...14 as ClosedRange<UInt64> {
            let time = Int64(sequence)
            lines += bench.receive(
                a.data("%23117", sequence, flags: [.unresolved, .recovering]), on: 0, at: time)
            // That it does not know the order does not make it recovering.
            lines += bench.receive(a.data("*", sequence, flags: .unresolved), on: 0, at: time)
            lines += bench.receive(b.data("AAPL", sequence), on: 1, at: time)
        }
        #expect(lines == (11...14).map { "md/md/AAPL/ \($0) after \($0 == 11 ? 0 : $0 - 1)" })
        #expect(bench.engine.figures(of: 1).divergent == 0 && bench.engine.figures(of: 0).missed == 0)
        #expect(bench.engine.figures(of: 0).divergent == 0 && bench.engine.figures(of: 0).duplicates > 3)
        // What the other one lost comes without a name, when it would be told as missing.
        let lost = a.data("%23117", 15, flags: .unresolved)
        #expect(bench.receive(lost, on: 0, at: 20) == [])
        #expect(bench.receive(b.data("AAPL", 16), on: 1, at: 21) == [])
        #expect(
            bench.tick(120).filter { $0.hasPrefix("md/") } == [
                "md/md/%23117/ 15 after 0 unresolved", "md/md/AAPL/ 16 after 14",
            ])
        // One that nobody can name waits for nobody.
        let both = bench.both(a.data("%23117", 17, flags: .unresolved), at: 121)
        #expect(both == ["md/md/%23117/ 17 after 15 unresolved"])
        #expect(bench.engine.channel.gaps == 0)
    }

    @Test func `what is kept back is never told as missing`() {
        func md(_ lines: [String]) -> [String] { lines.filter { $0.hasPrefix("md/") || $0.hasPrefix("gap") } }
        let bench = joined()
        // The hole is older than the copy.
        #expect(bench.receive(b.data("AAPL", 12), on: 1, at: 20) == [])
        #expect(bench.receive(a.data("%23117", 11, flags: .unresolved), on: 0, at: 30) == [])
        #expect(md(bench.tick(121)) == ["md/md/%23117/ 11 after 0 unresolved", "md/md/AAPL/ 12 after 0"])
        // Behind it the window fills up.
        var lines = bench.receive(a.data("%23117", 13, flags: .unresolved), on: 0, at: 130)
        for sequence in 14...5000 as ClosedRange<UInt64> {
            lines += bench.receive(a.data("X", sequence), on: 0, at: 131)
        }
        #expect(md(lines).count == 4988 && md(lines).first == "md/md/%23117/ 13 after 11 unresolved")
        // The session ends.
        _ = bench.receive(a.data("%23117", 5001, flags: .unresolved), on: 0, at: 140)
        var next = a
        next.epoch = 10
        lines = bench.both(next.data("X", 1), at: 141) + bench.both(next.data("X", 2), at: 142)
        #expect(lines.contains("md/md/%23117/ 5001 after 13 unresolved"), "\(lines)")
        #expect(bench.engine.channel.gaps == 0)
    }

    @Test func `what a gateway brings that is only compared is not kept back, and begins nothing`() {
        let bench = Bench(.holdfast, .hotHot, paths: ["A", "B", "C"])
        var condition = PathCondition(used: [0, 1, 2], active: [true, true, true])
        condition.distrusted = [false, true, false]
        bench.engine.pathsChanged(condition, at: ms(0), wall: wall(0))
        for time in 1...3 as ClosedRange<Int64> {
            let lines = bench.receive(b.data("X", UInt64(20 + time)), on: 1, at: time)
            #expect(!lines.contains { $0.hasPrefix("heartbeat") || $0.contains("live") }, "\(lines)")
        }
        _ = bench.receive(a.beat(10), on: 0, at: 4)
        _ = bench.receive(b.beat(10), on: 1, at: 5)
        _ = bench.receive(Upstream(run: 3).beat(10), on: 2, at: 5)
        var lines = bench.receive(b.data("%23117", 11, flags: .unresolved), on: 1, at: 6)
        lines += bench.receive(a.data("%23117", 11, flags: .unresolved), on: 0, at: 7)
        lines += bench.tick(300)
        #expect(lines.contains("md/md/%23117/ 11 after 0 unresolved"), "\(lines)")
        #expect(bench.engine.channel.gaps == 0)
    }

    @Test func `where nobody else is heard a message without a name goes out at once`() {
        let bench = Bench(.holdfast, .hotHot)
        _ = bench.receive(a.beat(10), on: 0, at: 1)
        #expect(
            bench.receive(a.data("%23117", 11, flags: .unresolved), on: 0, at: 2).suffix(1)
                == ["md/md/%23117/ 11 after 0 unresolved"])
    }

    @Test func `numbers that began anew while the other gateway was away are another epoch`() {
        let bench = Bench(.holdfast, .hotHot)
        _ = bench.both(a.beat(500_000), at: 1)
        let again = Upstream(run: 9)
        _ = bench.both(again.beat(0, first: 12), at: 5000)
        var lines: [String] = []
        for sequence in 12...60 as ClosedRange<UInt64> {
            lines += bench.both(again.data("X", sequence), at: 5000 + 20 * Int64(sequence))
        }
        #expect(lines.contains { $0.hasPrefix("md/md/X/ 60 ") }, "\(lines)")
        #expect(bench.engine.place(of: 3)?.epoch == 10)
    }

    @Test func `a session that is sent again is none, and the venue's name stays one`() {
        let bench = Bench(.holdfast, .hotHot)
        _ = bench.both(a.beat(500_000, isNamed: true), at: 1)
        let again = Upstream(run: 9)
        _ = bench.both(again.beat(0, first: 1, isNamed: true), at: 5000)
        for sequence in 1...60 as ClosedRange<UInt64> {
            let lines = bench.both(again.data("X", sequence), at: 5000 + 20 * Int64(sequence))
            #expect(lines.allSatisfy { !$0.hasPrefix("md/") })
        }
        #expect(bench.engine.place(of: 3)?.epoch == 9)
        #expect(bench.recorder.named.allSatisfy { $0 } && !bench.recorder.named.isEmpty)
    }

    @Test func `what a gateway sends that takes the session from its beginning is no new numbering`() {
        let bench = Bench(.holdfast, .hotHot)
        _ = bench.receive(a.beat(40), on: 0, at: 1)
        _ = bench.receive(b.beat(40), on: 1, at: 2)
        _ = bench.receive(a.data("X", 41), on: 0, at: 3)
        let again = Upstream(run: 3)
        for sequence in 1...41 as ClosedRange<UInt64> {
            let lines = bench.receive(again.data("X", sequence), on: 0, at: 10_000 + 100 * Int64(sequence))
            #expect(lines.allSatisfy { !$0.hasPrefix("md/") })
        }
        #expect(bench.engine.channel.epochs == 0)
        #expect(bench.receive(again.data("X", 42), on: 0, at: 15_000) == ["md/md/X/ 42 after 41 late"])
    }

    @Test func `an epoch to which the gateways go back with numbers of its beginning has begun again`() {
        let bench = joined()
        for sequence in 11...200 as ClosedRange<UInt64> {
            _ = bench.receive(a.data("X", sequence), on: 0, at: 3)
        }
        var next = a
        next.epoch = 10
        for sequence in 1...3 as ClosedRange<UInt64> {
            _ = bench.both(next.data("X", sequence), at: 1000)
        }
        #expect(bench.engine.place(of: 3)?.epoch == 10)
        // Both were started anew, and do not know what they had inferred.
        var lines: [String] = []
        for sequence in 4...60 as ClosedRange<UInt64> {
            lines += bench.both(a.data("X", sequence), at: 5000 + 100 * Int64(sequence))
        }
        #expect(lines.contains { $0.hasPrefix("md/md/X/ 60 ") })
    }

    @Test func `what all gateways send again is not live here, and what one of them does is`() {
        let bench = Bench(.holdfast, .hotHot)
        #expect(
            bench.receive(a.beat(0, state: .recovering), on: 0, at: 1)
                == ["heartbeat 0 0 recovering from 1", "state recovering -: recovering where it comes from"])
        #expect(
            bench.receive(a.data("X", 1, flags: .recovering), on: 0, at: 2)
                == ["md/md/X/ 1 after 0 recovering"])
        #expect(bench.receive(b.beat(1), on: 1, at: 3) == ["state live -: "])
        #expect(bench.receive(a.data("X", 2, flags: .recovering), on: 0, at: 4) == ["md/md/X/ 2 after 1"])
        // It is heard, whatever it says of itself.
        #expect(
            bench.engine.received(
                a.beat(2, state: .recovering)[...], on: 0, receivedAt: wall(5), at: ms(5), wall: wall(5)))
    }

    @Test func `of topics that are numbered each by itself, too`() {
        let bench = Bench(.holdfast, .hotHot)
        bench.engine.granted(.data(feed: "md", .one("X")), to: nil, at: ms(0), wall: wall(0))
        let both: FrameFlags = [.numberedPerTopic, .recovering]
        var lines = bench.receive(a.data("X", 5, flags: both), on: 0, at: 1)
        #expect(lines.last == "md/md/X/ 5 after 0 recovering")
        lines = bench.receive(b.data("X", 6, flags: .numberedPerTopic), on: 1, at: 2)
        #expect(lines == ["state live -: ", "md/md/X/ 6 after 5"])
    }

    @Test func `the end of the session there is the end of it here`() {
        let bench = joined()
        let closed = a.frame(.state, "control/up/3/", 10, state: .closed, body: [0, 0])
        #expect(bench.receive(closed, on: 0, at: 3) == [])
        _ = bench.receive(b.beat(10, state: .closed), on: 1, at: 4)
        #expect(bench.engine.channel.state == .closed)
        #expect(bench.engine.channel.reason == "closed where it comes from")
    }

    @Test func `a gateway that opens again opens this one, also when it is stale`() {
        let bench = Bench(.holdfast, .hotWarm)
        _ = bench.receive(a.beat(10), on: 0, at: 1)
        _ = bench.receive(a.beat(10, state: .closed), on: 0, at: 2)
        #expect(bench.engine.channel.state == .closed)
        #expect(
            bench.receive(a.beat(10, state: .stale), on: 0, at: 100).last
                == "state stale A: stale where it comes from")
        _ = bench.receive(a.beat(10, state: .closed), on: 0, at: 200)
        #expect(bench.receive(a.beat(10), on: 0, at: 300) == ["state live A: "])
    }

    @Test func `what comes of a gateway that is closed is passed on, and opens nothing`() {
        let bench = Bench(.holdfast, .hotWarm)
        _ = bench.receive(a.beat(10), on: 0, at: 1)
        _ = bench.receive(a.beat(10, state: .closed), on: 0, at: 2)
        let message = a.frame(.data, "md/up/X/", 11, state: .closed, body: [11])
        #expect(bench.receive(message, on: 0, at: 3) == ["md/md/X/ 11 after 0"])
        #expect(bench.recorder.frames.last?.header.state == .closed)
        #expect(bench.receive(a.beat(11, state: .closed), on: 0, at: 4) == [])
    }

    @Test func `a gateway that is closed and dies is not closed for ever`() {
        let bench = Bench(.holdfast, .hotWarm)
        _ = bench.receive(a.beat(10, state: .closed), on: 0, at: 1)
        _ = bench.receive(a.beat(10, state: .closed), on: 0, at: 2)
        #expect(bench.engine.channel.state == .closed)
        #expect(bench.tick(1500).first == "state stale A: no word from upstream for 1000 ms")
    }

    @Test func `of two gateways that disagree the one that goes on is believed`() {
        let bench = joined()
        for time: Int64 in stride(from: 100, through: 3000, by: 100) {
            #expect(bench.receive(a.beat(10, state: .closed), on: 0, at: time) == [])
            #expect(bench.receive(b.beat(10), on: 1, at: time) == [])
        }
        // What is stale contradicts nobody.
        _ = bench.receive(b.beat(10, state: .stale), on: 1, at: 3100)
        #expect(bench.engine.channel.state == .closed)
    }

    @Test func `a closed gateway whose topics are numbered each by itself closes this one, and opens it`() {
        let bench = Bench(.holdfast, .hotWarm)
        let body = ControlBody.heartbeat(
            published: 0, gaps: 0, interval: .milliseconds(100), first: 0, isNamed: false
        ).bytes
        func beat(_ state: ChannelState) -> [UInt8] {
            a.frame(.heartbeat, "control/up/0/", 0, state: state, flags: .numberedPerTopic, body: body)
        }
        #expect(bench.receive(beat(.live), on: 0, at: 1) == ["state live A: "])
        #expect(
            bench.receive(beat(.closed), on: 0, at: 2).last == "state closed A: closed where it comes from")
        #expect(bench.receive(beat(.closed), on: 0, at: 100) == [])
        #expect(
            bench.receive(beat(.stale), on: 0, at: 200).last == "state stale A: stale where it comes from")
        _ = bench.receive(beat(.closed), on: 0, at: 300)
        #expect(bench.engine.channel.state == .closed)
        #expect(bench.receive(beat(.live), on: 0, at: 400) == ["state live A: "])
    }

    @Test
    func `a session that ended there and is still being sent is recovering here, and not closed in between`()
    {
        let bench = Bench(.holdfast, .hotHot)
        func closed(_ last: UInt64, _ flags: FrameFlags) -> [UInt8] {
            let body = ControlBody.heartbeat(
                published: 0, gaps: 0, interval: .milliseconds(100), first: 1, isNamed: true)
            return a.frame(
                .heartbeat, "control/up/3/", last, state: .closed, flags: flags, body: body.bytes)
        }
        var lines = bench.receive(closed(0, .recovering), on: 0, at: 1)
        for sequence in 1...3 as ClosedRange<UInt64> {
            lines += bench.receive(a.data("X", sequence, flags: .recovering), on: 0, at: 2)
            lines += bench.receive(closed(sequence, .recovering), on: 0, at: 2)
        }
        #expect(
            lines.filter { $0.hasPrefix("state") } == ["state recovering -: recovering where it comes from"])
        #expect(lines.filter { $0.hasPrefix("md/") }.count == 3)
        #expect(
            bench.receive(closed(3, []), on: 0, at: 3) == ["state closed -: closed where it comes from"])
    }

    @Test func `frames that are numbered in another way are refused by name`() {
        let bench = joined()
        #expect(bench.receive(a.data("X", 11, flags: .numberedPerTopic), on: 0, at: 3) == [])
        #expect(bench.receive(a.data("X", 11, flags: .severalTopics), on: 0, at: 3) == [])
        var cut = a.data("X", 11)
        cut.removeLast(30)
        #expect(bench.receive(cut, on: 0, at: 3) == [])
        #expect(
            bench.engine.figures(of: 0).decodeErrors == ["inconsistent": 2, "truncated": 1])
    }

    @Test func `a feed whose topics are numbered each by itself there is so here`() {
        let bench = Bench(.holdfast, .hotHot)
        bench.engine.granted(.data(feed: "md", .one("A B")), to: nil, at: ms(0), wall: wall(0))
        let flags: FrameFlags = .numberedPerTopic
        for (path, upstream) in [a, b].enumerated() {
            _ = bench.receive(
                upstream.frame(.state, "control/up/0/", 0, flags: flags, body: [0, 0]), on: path, at: 1)
        }
        var lines = bench.receive(a.data("A%20B", 5, flags: flags), on: 0, at: 2)
        lines += bench.receive(a.data("A%20B", 7, flags: flags), on: 0, at: 3)
        lines += bench.receive(b.data("A%20B", 5, flags: flags), on: 1, at: 4)
        lines += bench.receive(b.data("A%20B", 6, flags: flags), on: 1, at: 5)
        #expect(lines == ["md/md/A%20B/ 5 after 0", "md/md/A%20B/ 6 after 5", "md/md/A%20B/ 7 after 6"])
        #expect(bench.recorder.frames.last?.header.flags.contains(.numberedPerTopic) == true)
        #expect(bench.recorder.frames.last?.header.epoch == 9)
    }

    @Test func `a topic that the other gateway left in an older session stops none that it did not`() {
        let bench = Bench(.holdfast, .hotHot)
        let flags: FrameFlags = .numberedPerTopic
        var old = a
        old.epoch = 8
        let state = a.frame(.state, "control/up/0/", 0, flags: flags, body: [0, 0])
        _ = bench.receive(state, on: 0, at: 1)
        var lines = bench.receive(a.frame(.idle, "md/up/X/", 3, flags: flags), on: 0, at: 2)
        for time in stride(from: 10, to: 2000, by: 100) as StrideTo<Int64> {
            lines += bench.receive(old.frame(.idle, "md/up/Y/", 5, flags: flags), on: 0, at: time)
            let sequence = UInt64(4 + time / 100)
            lines += bench.receive(a.data("X", sequence, flags: flags), on: 0, at: time + 10)
        }
        let published = lines.filter { $0.hasPrefix("md/md/X/") && !$0.contains("idle") }
        #expect(published.map { $0.split(separator: " ")[1] } == (4...23).map { "\($0)" })
        #expect(!lines.contains { $0.hasPrefix("gap") }, "\(lines)")
        // What it missed in the older session is told there.
        lines =
            bench.receive(old.frame(.idle, "md/up/Y/", 6, flags: flags), on: 0, at: 2000) + bench.tick(2100)
        #expect(lines.contains("gap 6-6 notRecovered of Y"), "\(lines)")
        #expect(bench.recorder.frames.last { $0.header.kind == .gap }?.header.epoch == 8)
    }

    @Test func `of frames that come together each is as fresh as it says`() {
        let recorder = Recorder()
        let holdfast = FeedOptions.FeedProtocol.holdfast
        var options = FeedOptions(name: "md", feedProtocol: holdfast, keys: holdfast.keys, policy: .hotWarm)
        options.paths = [FeedPathOptions(name: "A")]
        let plan = EnginePlan(
            options: options, index: 3, run: 7, controlEvery: .seconds(100), sink: recorder, log: { _, _ in },
            now: ms(0))
        let engine = TopicEngine(plan, downstream: HoldfastTopicReader())
        engine.pathsChanged(PathCondition(used: [0], active: [true]), at: ms(0), wall: wall(0))
        engine.granted(.data(feed: "md", .all), to: nil, at: ms(0), wall: wall(0))
        let flags: FrameFlags = .numberedPerTopic
        var frames = ArrivedFrames(copying: [
            a.data("X", 1, flags: flags),
            a.frame(.data, "md/up/X/", 2, state: .stale, flags: flags),
            a.data("X", 3, flags: flags),
        ])
        _ = engine.received(&frames, atMost: .max, on: 0, receivedAt: wall(1), cameIn: ms(1), at: ms(1))
        #expect(
            recorder.take().filter { !$0.hasPrefix("heartbeat") } == [
                "state live A: ", "md/md/X/ 1 after 0", "state stale A: stale where it comes from",
                "md/md/X/ 2 after 1 stale", "state live A: ", "md/md/X/ 3 after 2",
            ])
    }

    @Test func `where the other gateway begins is where this one does`() {
        let bench = Bench(.holdfast, .hotHot)
        var lines: [String] = []
        for time in 1...2 as ClosedRange<Int64> {
            lines += bench.receive(a.beat(0, first: 55), on: 0, at: time)
        }
        #expect(lines.contains("heartbeat 0 0 recovering from 55"), "\(lines)")
        #expect(bench.receive(a.data("X", 55), on: 0, at: 3) == ["md/md/X/ 55 after 0"])
    }

    @Test func `before the other gateway has heard its venue there is no channel`() {
        let bench = Bench(.holdfast, .hotHot)
        let quiet = Upstream(run: 1, epoch: 0)
        for time in 1...5 as ClosedRange<Int64> {
            #expect(bench.receive(quiet.beat(0, state: .recovering, first: 0), on: 0, at: time) == [])
        }
        // However long that is, nothing is due.
        #expect(bench.engine.deadline > ms(7 * 86_400_000))
    }
}
