// A MoldUDP64 feed as a dialogue with its engine: packets in, frames out.
import Arbitration
import Basics
import Configuration
import FeedProtocols
import Testing
import Wire

@testable import Gateway

@Suite struct MoldFeedTests {
    private let venue = MoldVenue()

    @Test func `a directory message names the instrument of what follows`() {
        let bench = Bench(.moldUDP64, .hotHot)
        #expect(
            bench.receive(venue.packet(1, [venue.directory(5, "AAPL"), venue.delete(5)]), on: 0, at: 1) == [
                "heartbeat 0 0 recovering from 1", "state live -: no directory yet",
                "md/itch/AAPL/ 1 after 0", "md/itch/AAPL/ 2 after 1",
            ])
    }

    @Test func `without a directory the instrument is its number and flagged`() {
        let bench = Bench(.moldUDP64, .hotHot)
        let lines = bench.receive(venue.packet(1, [venue.delete(117), venue.delete(0)]), on: 0, at: 1)
        #expect(lines.suffix(2) == ["md/itch/%23117/ 1 after 0 unresolved", "md/itch/*/ 2 after 0"])
        #expect(bench.engine.channel.unresolved == 1)
        #expect(bench.engine.channel.reason == "no directory yet")
    }

    @Test func `who joins a session in its middle says where, and recovers until the directory is repeated`()
    {
        let bench = Bench(.moldUDP64, .hotHot)
        #expect(
            bench.receive(venue.packet(100, [venue.delete(117)]), on: 0, at: 1) == [
                "heartbeat 0 0 recovering from 100", "state recovering -: no directory",
                "md/itch/%23117/ 100 after 0 recovering unresolved",
            ])
        #expect(
            bench.receive(venue.packet(101, [venue.directory(117, "X"), venue.delete(117)]), on: 0, at: 2)
                == ["state live -: ", "md/itch/X/ 101 after 0", "md/itch/X/ 102 after 101"])
    }

    @Test func `a directory that comes by another way is taken where it is lacking, and no more`() {
        let bench = Bench(.moldUDP64, .hotHot)
        let file = [venue.directory(117, "X"), venue.directory(5, "Y")]
        // Nothing is known of the session yet.
        #expect(!bench.engine.lacksDirectory())
        _ = bench.receive(venue.packet(100, [venue.delete(117)]), on: 0, at: 1)
        #expect(bench.engine.lacksDirectory())
        #expect(bench.engine.learn(file, at: ms(2), wall: wall(2)) == .taken)
        #expect(bench.recorder.take() == ["state live -: "])
        #expect(!bench.engine.lacksDirectory())
        #expect(
            bench.receive(venue.packet(101, [venue.delete(117), venue.delete(5)]), on: 0, at: 3) == [
                "md/itch/X/ 101 after 0", "md/itch/Y/ 102 after 0",
            ])
        #expect(bench.engine.learn([venue.directory(117, "Z")], at: ms(4), wall: wall(4)) == .notNeeded)
        let lines = bench.receive(venue.packet(103, [venue.delete(117)]), on: 0, at: 5)
        #expect(lines == ["md/itch/X/ 103 after 101"])
    }

    @Test func `a directory that the venue's messages contradict names nothing`() {
        let bench = Bench(.moldUDP64, .hotHot)
        let order = venue.message(
            .addOrder(reference: 1, side: .buy, shares: 1, symbol: ITCHSymbol("AAPL"), price: 1), locate: 117)
        _ = bench.receive(venue.packet(100, [order]), on: 0, at: 1)
        let file = [venue.directory(5, "Y"), venue.directory(117, "MSFT")]
        #expect(
            bench.engine.learn(file, at: ms(2), wall: wall(2))
                == .contradicted("locate 117 is MSFT in it, and AAPL on the feed"))
        #expect(bench.engine.lacksDirectory() && bench.recorder.take() == [])
        #expect(
            bench.receive(venue.packet(101, [venue.delete(5)]), on: 0, at: 3) == [
                "md/itch/%235/ 101 after 0 recovering unresolved"
            ])
        #expect(bench.engine.learn([venue.directory(117, "AAPL")], at: ms(4), wall: wall(4)) == .taken)
        #expect(!bench.engine.lacksDirectory())
    }

    @Test func `a directory that is contradicted later holds no more, and the same one is not taken again`() {
        let bench = Bench(.moldUDP64, .hotHot)
        _ = bench.receive(venue.packet(100, [venue.delete(5)]), on: 0, at: 1)
        let file = [venue.directory(5, "Y"), venue.directory(117, "MSFT")]
        #expect(bench.engine.learn(file, at: ms(2), wall: wall(2)) == .taken)
        _ = bench.recorder.take()
        let order = venue.message(
            .addOrder(reference: 1, side: .buy, shares: 1, symbol: ITCHSymbol("AAPL"), price: 1), locate: 117)
        #expect(
            bench.receive(venue.packet(101, [venue.delete(5), order, venue.delete(5)]), on: 0, at: 3) == [
                "md/itch/Y/ 101 after 0", "state recovering -: no directory",
                "md/itch/%23117/ 102 after 0 recovering unresolved",
                "md/itch/%235/ 103 after 100 recovering unresolved",
            ])
        #expect(bench.engine.lacksDirectory())
        #expect(
            bench.engine.learn(file, at: ms(4), wall: wall(4))
                == .contradicted("locate 117 is MSFT in it, and AAPL on the feed"))
        #expect(
            bench.receive(venue.packet(104, [venue.directory(5, "Y"), venue.delete(5)]), on: 0, at: 5)
                == ["state live -: ", "md/itch/Y/ 104 after 101", "md/itch/Y/ 105 after 104"])
    }

    @Test func `the venue's own entry contradicts one of a file, too`() {
        let bench = Bench(.moldUDP64, .hotHot)
        _ = bench.receive(venue.packet(100, [venue.delete(5)]), on: 0, at: 1)
        let file = [venue.directory(5, "Y"), venue.directory(6, "Z")]
        #expect(bench.engine.learn(file, at: ms(2), wall: wall(2)) == .taken)
        _ = bench.recorder.take()
        #expect(
            bench.receive(venue.packet(101, [venue.directory(5, "X"), venue.delete(6)]), on: 0, at: 3) == [
                "state recovering -: no directory", "state live -: ", "md/itch/X/ 101 after 0",
                "md/itch/%236/ 102 after 0 unresolved",
            ])
    }

    @Test func `where the venue names what is new and no more, the rest is taken from elsewhere`() {
        let bench = Bench(.moldUDP64, .hotHot)
        _ = bench.receive(venue.packet(100, [venue.directory(9, "NEW"), venue.delete(9)]), on: 0, at: 1)
        #expect(!bench.engine.lacksDirectory())
        _ = bench.receive(venue.packet(102, [venue.delete(117)]), on: 0, at: 2)
        #expect(bench.engine.lacksDirectory() && !bench.engine.lacksDirectory())
        let other = [venue.directory(117, "X"), venue.directory(9, "OLD")]
        #expect(
            bench.engine.learn(other, at: ms(3), wall: wall(3))
                == .contradicted("locate 9 is OLD in it, and NEW on the feed"))
        let file = [venue.directory(117, "X"), venue.directory(9, "NEW")]
        #expect(bench.engine.learn(file, at: ms(4), wall: wall(4)) == .taken)
        #expect(
            bench.receive(venue.packet(103, [venue.delete(117), venue.delete(9)]), on: 0, at: 5) == [
                "md/itch/X/ 103 after 0", "md/itch/NEW/ 104 after 101",
            ])
        _ = bench.receive(venue.packet(105, [venue.delete(118)]), on: 0, at: 6)
        #expect(!bench.engine.lacksDirectory())
    }

    @Test func `the next session, joined at its beginning, lacks nothing`() {
        let bench = Bench(.moldUDP64, .hotHot)
        _ = bench.receive(venue.packet(100, [venue.delete(117)]), on: 0, at: 1)
        let next = MoldVenue(session: MoldSession("S2"))
        for path in 0...1 { _ = bench.receive(next.packet(1, [next.delete(0)]), on: path, at: 2) }
        #expect(!bench.engine.lacksDirectory())
    }

    @Test func `where a run begins is told to each who subscribes, and each frame says whose it is`() {
        let bench = Bench(.moldUDP64, .hotHot)
        _ = bench.receive(venue.packet(100, [venue.delete(117)]), on: 0, at: 1)
        bench.engine.granted(.control(feed: "itch", channel: nil), to: nil, at: ms(2), wall: wall(2))
        #expect(
            bench.recorder.take() == [
                "state recovering -: no directory", "heartbeat 1 0 recovering from 100",
            ])
        #expect(bench.recorder.frames.allSatisfy { $0.header.run == 7 })
    }

    @Test func `a heartbeat of the venue's says where a run begins, too`() {
        let bench = Bench(.moldUDP64, .hotHot)
        let beat = MoldUDP64PacketBuilder.heartbeat(session: venue.session, next: 55)
        #expect(bench.receive(beat, on: 0, at: 1).first == "heartbeat 0 0 recovering from 55")
    }

    @Test func `what one path loses the other one fills`() {
        let bench = Bench(.moldUDP64, .hotHot)
        _ = bench.receive(venue.packet(1, [venue.directory(1, "X")]), on: 0, at: 1)
        #expect(bench.receive(venue.packet(1, [venue.directory(1, "X")]), on: 1, at: 1) == [])
        // A loses 2; B is later with its own cut of packets.
        #expect(bench.receive(venue.packet(3, [venue.delete(1)]), on: 0, at: 2) == [])
        #expect(
            bench.receive(venue.packet(2, [venue.delete(1), venue.delete(1)]), on: 1, at: 3) == [
                "md/itch/X/ 2 after 1", "md/itch/X/ 3 after 2",
            ])
        #expect(bench.tick(200) == [])
        #expect(bench.engine.channel.gaps == 0)
        #expect(bench.engine.figures(of: 1).first == 1)
    }

    @Test func `what both paths lose is told as an exact gap and the next previous is what was published`() {
        let bench = Bench(.moldUDP64, .hotHot)
        _ = bench.receive(venue.packet(1, [venue.directory(1, "X")]), on: 0, at: 1)
        #expect(bench.receive(venue.packet(4, [venue.delete(1)]), on: 0, at: 2) == [])
        #expect(bench.engine.deadline <= ms(22))
        #expect(bench.engine.channel.waiting == 1)
        #expect(bench.tick(22) == ["gap 2-3 notRecovered", "md/itch/X/ 4 after 1"])
        #expect(bench.receive(venue.packet(2, [venue.delete(1)]), on: 1, at: 23) == [])
        #expect(bench.engine.channel.gaps == 2)
    }

    @Test func `silence makes the channel stale and a word makes it live again`() {
        let bench = Bench(.moldUDP64, .hotHot)
        _ = bench.receive(venue.packet(1, [venue.directory(1, "X")]), on: 0, at: 0)
        #expect(bench.engine.deadline <= ms(1000))
        #expect(bench.tick(999) == [])
        #expect(
            bench.tick(1000).first { $0.hasPrefix("state") }
                == "state stale -: no word from upstream for 1000 ms")
        #expect(
            bench.receive(venue.packet(2, [venue.delete(1, at: 1500)]), on: 1, at: 1500).filter {
                !$0.contains("idle")
            } == [
                "state live -: ", "md/itch/X/ 2 after 1",
            ])
    }

    @Test
    func `a venue that begins anew in its session right after the gateway came is not called live for long`()
    {
        let bench = Bench(.moldUDP64, .hotHot)
        for path in 0...1 { _ = bench.receive(venue.packet(100, [venue.delete(1)]), on: path, at: 0) }
        let first = venue.packet(1, (0..<15).map { _ in venue.delete(1) })
        #expect(bench.receive(first, on: 0, at: 499).filter { $0.hasPrefix("md/") } == [])
        let lines = bench.receive(venue.packet(16, [venue.delete(1)]), on: 0, at: 500)
        #expect(lines.contains { $0.hasPrefix("heartbeat") && $0.hasSuffix("from 1") }, "\(lines)")
        let later = bench.tick(520)
        #expect(later.contains("gap 1-15 notRecovered"), "\(later)")
        #expect(later.last?.hasPrefix("md/itch/%231/ 16 after 0 inferred") == true, "\(later)")
        // It broke its word: this epoch is no name of its.
        #expect(bench.recorder.named == [true, false])
    }

    @Test func `old data is flagged as late`() {
        let bench = Bench(.moldUDP64, .hotHot)
        _ = bench.receive(venue.packet(1, [venue.directory(1, "X")]), on: 0, at: 0)
        #expect(
            bench.receive(venue.packet(2, [venue.delete(1, at: 100)]), on: 0, at: 1500).last
                == "md/itch/X/ 2 after 1 late")
    }

    @Test func `what waited in the socket while nobody read is as old as it is`() {
        let bench = Bench(.moldUDP64, .hotHot)
        _ = bench.receive(venue.packet(1, [venue.directory(1, "X")]), on: 0, at: 0)
        let old = venue.packet(2, [venue.delete(1, at: 100)])
        #expect(bench.receive(old, on: 0, at: 5000, arrival: 100).last == "md/itch/X/ 2 after 1 late")
        let new = venue.packet(3, [venue.delete(1, at: 4990)])
        #expect(bench.receive(new, on: 0, at: 5000, arrival: 4991).last == "md/itch/X/ 3 after 2")
    }

    @Test func `another session is another epoch and its locates are unknown`() {
        let bench = Bench(.moldUDP64, .hotHot)
        _ = bench.receive(venue.packet(1, [venue.directory(1, "X"), venue.delete(1)]), on: 0, at: 0)
        let next = MoldVenue(session: MoldSession("S2"))
        var lines: [String] = []
        for (time, sequence) in zip(Int64(10)..., UInt64(1)...3) {
            lines += bench.receive(next.packet(sequence, [next.delete(1)]), on: 0, at: time)
            lines += bench.receive(next.packet(sequence, [next.delete(1)]), on: 1, at: time)
        }
        #expect(lines.filter { $0.hasPrefix("md/") }.first == "md/itch/%231/ 1 after 0 unresolved")
        #expect(bench.recorder.frames.last?.header.epoch == FrameHeader.epoch(ofSession: "S2".utf8))
        #expect(bench.engine.channel.epochs == 1)
    }

    @Test func `the end of the session closes the channel`() {
        let bench = Bench(.moldUDP64, .hotHot)
        _ = bench.receive(venue.packet(1, [venue.directory(1, "X")]), on: 0, at: 0)
        let end = MoldUDP64PacketBuilder.endOfSession(session: venue.session, next: 2)
        #expect(bench.receive(end, on: 0, at: 5) == ["state closed -: the session ended"])
        #expect(bench.tick(5000).allSatisfy { !$0.hasPrefix("state") })
    }

    @Test func `an end of the session under a number that nobody believes ends nothing`() {
        let bench = Bench(.moldUDP64, .hotHot)
        _ = bench.receive(venue.packet(1, [venue.directory(1, "X")]), on: 0, at: 0)
        for next in [0, 20_000_000, .max] as [UInt64] {
            let end = MoldUDP64PacketBuilder.endOfSession(session: venue.session, next: next)
            #expect(bench.receive(end, on: 0, at: 5) == [])
        }
        #expect(bench.receive(venue.packet(2, [venue.delete(1)]), on: 0, at: 6) == ["md/itch/X/ 2 after 1"])
        #expect(bench.engine.channel.state == .live)
        // Another path agrees with one that is far ahead.
        let far = MoldUDP64PacketBuilder.endOfSession(session: venue.session, next: 20_000_000)
        #expect(bench.receive(far, on: 0, at: 7) == [])
        #expect(bench.receive(far, on: 1, at: 7) == ["state closed -: the session ended"])
    }

    @Test func `a message whose number nobody believes calls nothing live`() {
        let bench = Bench(.moldUDP64, .hotHot)
        _ = bench.receive(venue.packet(1, [venue.directory(1, "X")]), on: 0, at: 0)
        #expect(bench.tick(5000).contains { $0.hasPrefix("state stale") })
        #expect(bench.receive(venue.packet(9_000_000, [venue.delete(1)]), on: 0, at: 5001) == [])
        #expect(bench.engine.channel.state == .stale)
        #expect(
            bench.receive(venue.packet(2, [venue.delete(1)]), on: 0, at: 5002).last
                == "md/itch/X/ 2 after 1 late")
        #expect(bench.engine.channel.state == .live)
        #expect(bench.engine.channel.refused["unconfirmed"] == 1)
    }

    @Test func `an end of the session on a path that is not trusted ends nothing`() {
        let bench = Bench(.moldUDP64, .hotHot)
        _ = bench.both(venue.packet(1, [venue.directory(1, "X")]), at: 0)
        _ = bench.paths(
            PathCondition(used: [0, 1], active: [true, true], distrusted: [false, true]), at: 1)
        let end = MoldUDP64PacketBuilder.endOfSession(session: venue.session, next: 2)
        #expect(bench.receive(end, on: 1, at: 2) == [])
        #expect(bench.engine.channel.state == .live)
        #expect(bench.receive(end, on: 0, at: 3) == ["state closed -: the session ended"])
    }

    @Test func `a quiet topic is repeated as idle`() {
        let bench = Bench(.moldUDP64, .hotHot)
        _ = bench.receive(venue.packet(1, [venue.directory(1, "X")]), on: 0, at: 0)
        let beat = MoldUDP64PacketBuilder.heartbeat(session: venue.session, next: 2)
        var lines: [String] = []
        for time in stride(from: Int64(100), through: 1500, by: 100) {
            lines += bench.receive(beat, on: 0, at: time) + bench.tick(time)
        }
        #expect(lines == ["md/itch/X/ idle 1"])
    }

    @Test
    func `a new client of a topic or of the control topic is shown where it stands, and nobody else is`() {
        let bench = Bench(.moldUDP64, .hotHot)
        bench.engine.granted(.data(feed: "itch", .one("X")), to: 7, at: ms(0), wall: wall(0))
        let lines = bench.receive(venue.packet(1, [venue.directory(1, "X")]), on: 0, at: 0)
        #expect(lines.last == "md/itch/X/ 1 after 0")
        bench.engine.granted(.data(feed: "itch", .one("X")), to: 8, at: ms(1), wall: wall(1))
        bench.engine.granted(.data(feed: "itch", .one("Y")), to: 8, at: ms(1), wall: wall(1))
        bench.engine.granted(.control(feed: "itch", channel: nil), to: 8, at: ms(1), wall: wall(1))
        #expect(
            bench.recorder.take() == [
                "md/itch/X/ idle 1 to 8", "state live -:  to 8", "heartbeat 1 0 live from 1 to 8",
            ])
    }

    @Test func `packets that are none are counted by name and prove nothing`() {
        let bench = Bench(.moldUDP64, .hotHot)
        for bytes in [[], [1, 2, 3], Array(repeating: UInt8(0xFF), count: 19)] as [[UInt8]] {
            #expect(!bench.engine.received(bytes[...], on: 1, receivedAt: wall(1), at: ms(1), wall: wall(1)))
        }
        var cut = venue.packet(1, [venue.delete(1)])
        cut.removeLast(3)
        #expect(!bench.engine.received(cut[...], on: 1, receivedAt: wall(1), at: ms(1), wall: wall(1)))
        let refused = bench.engine.figures(of: 1).refused
        #expect(refused.counts == ["truncated": 4])
        #expect(refused.refused == 4)
        let last = refused.last.map { "\($0)" }
        #expect(last == "38 bytes, offset 22: truncated, 19 bytes wanted, 16 left")
        #expect(bench.engine.figures(of: 0).refused.last == nil)
        #expect(bench.recorder.take() == [])
    }

    @Test func `a message that is no ITCH reaches the topic of no instrument and is counted`() {
        let bench = Bench(.moldUDP64, .hotHot)
        #expect(bench.receive(venue.packet(1, [[0x52, 0, 1]]), on: 0, at: 1).last == "md/itch/*/ 1 after 0")
        #expect(bench.engine.channel.refused == ["message_truncated": 1])
        let last = bench.engine.channel.refusedMessages.last.map { "\($0)" }
        #expect(last == "3 bytes, offset 0: truncated, 39 bytes wanted, 3 left")
    }

    @Test func `each message of a lossy stream arrives once and in order or is told`() {
        let bench = Bench(.moldUDP64, .hotHot)
        var random = SystemRandomNumberGenerator()
        var delivered: [UInt64] = []
        var told: UInt64 = 0
        func note(_ lines: [String]) {
            for line in lines {
                let words = line.split(separator: " ")
                if line.hasPrefix("md/"), words[1] != "idle" { delivered.append(UInt64(words[1]) ?? 0) }
                if line.hasPrefix("gap") {
                    let ends = words[1].split(separator: "-").compactMap { UInt64($0) }
                    told += ends[1] - ends[0] + 1
                }
            }
        }
        for sequence in UInt64(1)...2000 {
            let time = Int64(sequence)
            for path in 0...1
            where sequence == 1 || sequence == 2000 || Int.random(in: 0..<100, using: &random) >= 10 {
                note(bench.receive(venue.packet(sequence, [venue.delete(1, at: time)]), on: path, at: time))
            }
            note(bench.tick(time))
        }
        note(bench.tick(2100))
        #expect(delivered == delivered.sorted())
        #expect(Set(delivered).count == delivered.count)
        #expect(UInt64(delivered.count) + told == 2000)
    }
}
