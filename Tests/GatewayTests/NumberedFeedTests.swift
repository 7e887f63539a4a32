// Feeds of PITCH, IEX-TP and MDP 3.0 as dialogues with the engine: packets in, frames out.
import Arbitration
import Basics
import Configuration
import FeedProtocols
import Testing
import Wire

@testable import Gateway

/// Packets made by hand, little-endian.
private enum Made {
    static func number(_ value: UInt64, _ bytes: Int) -> [UInt8] {
        (0..<bytes).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
    }

    // MARK: PITCH

    static func unit(_ unit: UInt8, _ sequence: UInt32, _ messages: [[UInt8]]) -> [UInt8] {
        number(UInt64(8 + messages.joined().count), 2) + [UInt8(messages.count), unit]
            + number(UInt64(sequence), 4) + messages.joined()
    }

    /// 100 of a symbol.
    static func add(_ order: UInt64, _ symbol: String) -> [UInt8] {
        let text = Array(symbol.utf8) + [UInt8](repeating: 0x20, count: 6 - symbol.utf8.count)
        return [26, 0x22] + number(0, 4) + number(order, 8) + [0x42] + number(100, 2) + text + number(1, 2)
            + [1]
    }

    static func delete(_ order: UInt64) -> [UInt8] { [14, 0x29] + number(0, 4) + number(order, 8) }
    static let clear: [UInt8] = [6, 0x97, 0, 0, 0, 0]
    static let end: [UInt8] = [6, 0x2D, 0, 0, 0, 0]

    // MARK: IEX-TP

    static func segment(_ session: UInt32, _ first: UInt64, _ messages: [[UInt8]]) -> [UInt8] {
        let payload = messages.reduce(into: [UInt8]()) { $0 += number(UInt64($1.count), 2) + $1 }
        return [1, 0, 3, 0x80] + number(1, 4) + number(UInt64(session), 4)
            + number(UInt64(payload.count), 2)
            + number(UInt64(messages.count), 2) + number(0, 8) + number(first, 8)
            + number(UInt64(wall(0).nanoseconds), 8)
            + payload
    }

    static func status(_ symbol: String, at milliseconds: Int64 = 0) -> [UInt8] {
        let text = Array(symbol.utf8) + [UInt8](repeating: 0x20, count: 8 - symbol.utf8.count)
        return [0x48, 0x54] + number(UInt64(wall(milliseconds).nanoseconds), 8) + text
    }

    static let endOfMessages: [UInt8] = [0x53, 0x43] + number(UInt64(wall(0).nanoseconds), 8)

    // MARK: MDP 3.0

    static func packet(_ sequence: UInt32, _ messages: [[UInt8]], at milliseconds: Int64 = 0) -> [UInt8] {
        number(UInt64(sequence), 4) + number(UInt64(wall(milliseconds).nanoseconds), 8)
            + messages.joined()
    }

    static func sbe(_ template: UInt16, root: [UInt8], rest: [UInt8] = []) -> [UInt8] {
        number(UInt64(10 + root.count + rest.count), 2) + number(UInt64(root.count), 2)
            + number(UInt64(template), 2) + number(1, 2) + number(9, 2) + root + rest
    }

    /// Volumes of securities.
    static func volume(_ ids: Int32...) -> [UInt8] {
        let entries = ids.flatMap {
            number(1, 4) + number(UInt64($0), 4) + number(1, 4) + [UInt8](repeating: 0, count: 4)
        }
        return sbe(
            37, root: [UInt8](repeating: 0, count: 11), rest: number(16, 2) + [UInt8(ids.count)] + entries)
    }

    static let heartbeat = sbe(12, root: [])
    static let reset = sbe(4, root: [UInt8](repeating: 0, count: 9), rest: [2, 0, 1, 0, 0])
}

/// The epoch and number of each data frame, and where each epoch was said to begin.
extension Recorder {
    fileprivate var numbers: [String] {
        frames.compactMap { frame in
            switch frame.header.kind {
            case .data: return "\(frame.header.epoch):\(frame.header.sequence)"
            case .heartbeat:
                guard
                    case .heartbeat(_, _, _, let first, _)? = try? ControlBody(
                        kind: .heartbeat, parsing: frame.body), first > 0
                else { return nil }
                return "\(frame.header.epoch) from \(first)"
            case .batch, .gap, .idle, .state, .sync: return nil
            }
        }
    }
}

@Suite struct PITCHFeedTests {
    private func pitch(_ channels: UInt16...) -> Bench { Bench(.pitch, .hotHot, channels: channels) }

    @Test func `each unit is a channel with its own sequences, and orders keep their instrument`() {
        let bench = pitch(1, 2)
        _ = bench.both(Made.unit(1, 1, []), at: 1)
        _ = bench.both(Made.unit(2, 1, []), at: 1)
        #expect(
            bench.both(Made.unit(1, 1, [Made.add(7, "ZVT"), Made.delete(7)]), at: 2)
                == ["md/md/ZVT/ 1 after 0", "md/md/ZVT/ 2 after 1"])
        #expect(bench.both(Made.unit(2, 1, [Made.add(7, "MAT")]), at: 3) == ["md/md/MAT/ 1 after 0"])
        #expect(bench.recorder.frames.last?.header.channel == 2)
        #expect(bench.engine.channel.published == 3 && bench.engine.channel.state == .live)
    }

    @Test func `a unit that is not configured is opened by its second packet`() {
        let bench = pitch()
        #expect(bench.receive(Made.unit(5, 1, [Made.add(7, "ZVT")]), on: 0, at: 1) == [])
        let opened = bench.receive(Made.unit(5, 1, [Made.add(7, "ZVT")]), on: 1, at: 1)
        #expect(opened.contains("heartbeat 0 0 recovering from 1") && opened.last == "md/md/ZVT/ 1 after 0")
        #expect(bench.engine.figures(of: 0).decodeErrors.isEmpty)
    }

    @Test func `units that are not among the configured ones are ignored and counted`() {
        let bench = pitch(1)
        for time in 1...3 as ClosedRange<Int64> {
            #expect(bench.both(Made.unit(9, 1, [Made.add(7, "ZVT")]), at: time) == [])
        }
        #expect(bench.engine.figures(of: 1).decodeErrors == ["unknown-channel": 3])
    }

    @Test func `an order that nobody saw goes to no instrument, flagged`() {
        let bench = pitch(1)
        _ = bench.both(Made.unit(1, 50, []), at: 1)
        #expect(bench.both(Made.unit(1, 50, [Made.delete(3)]), at: 2) == ["md/md/*/ 50 after 0 unresolved"])
        #expect(bench.engine.channel.unresolved == 1)
    }

    @Test func `numbers that nobody sent in sequence are not published, and prove the path`() {
        let bench = pitch(1)
        let packet = Made.unit(0, 0, [Made.add(7, "ZVT")])
        #expect(bench.engine.received(packet[...], on: 0, receivedAt: wall(1), at: ms(1), wall: wall(1)))
        #expect(bench.recorder.take() == [])
        #expect(bench.engine.figures(of: 0).decodeErrors == ["unsequenced": 1])
    }

    @Test func `after 4294967295 the numbers go on`() {
        let bench = pitch(1)
        _ = bench.both(Made.unit(1, .max, []), at: 1)
        #expect(
            bench.both(Made.unit(1, .max, [Made.add(1, "ZVT"), Made.add(2, "ZVT")]), at: 2)
                == ["md/md/ZVT/ 4294967295 after 0", "md/md/ZVT/ 4294967296 after 4294967295"])
        #expect(
            bench.both(Made.unit(1, 2, [Made.add(3, "ZVT")]), at: 3)
                == ["md/md/ZVT/ 4294967297 after 4294967296"])
        #expect(bench.engine.channel.epochs == 0 && bench.engine.channel.gaps == 0)
    }

    @Test
    func `a Unit Clear that begins the numbers anew opens an epoch once, on whichever path it comes first`() {
        let bench = pitch(1)
        _ = bench.both(Made.unit(1, 1, [Made.add(7, "ZVT")]), at: 1)
        var lines = bench.receive(Made.unit(1, 1, [Made.clear, Made.add(8, "ZVT")]), on: 0, at: 10)
        // The other path still brings a message of before.
        lines += bench.receive(Made.unit(1, 2, [Made.add(9, "ZVT")]), on: 1, at: 11)
        lines += bench.receive(Made.unit(1, 1, [Made.clear, Made.add(8, "ZVT")]), on: 1, at: 12)
        lines += bench.both(Made.unit(1, 3, [Made.delete(7), Made.delete(8)]), at: 13)
        #expect(
            lines.filter { $0.hasPrefix("md/") } == [
                "md/md/ZVT/ 2 after 1", "md/md/*/ 1 after 0", "md/md/ZVT/ 2 after 0",
                "md/md/*/ 3 after 1 unresolved", "md/md/ZVT/ 4 after 2",
            ], "\(lines)")
        #expect(bench.engine.channel.epochs == 1 && bench.engine.channel.gaps == 0)
    }

    @Test func `a venue that starts again without a word is found out by its heartbeats, and flagged`() {
        let bench = pitch(1)
        _ = bench.both(Made.unit(1, 1000, [Made.add(7, "ZVT")]), at: 1)
        var lines: [String] = []
        for time in stride(from: Int64(10_000), through: 16_000, by: 1000) {
            lines += bench.both(Made.unit(1, 1, []), at: time)
            lines += bench.tick(time + 600)
        }
        lines += bench.both(Made.unit(1, 1, [Made.add(7, "ZVT")]), at: 17_000)
        #expect(lines.last == "md/md/ZVT/ 1 after 0 inferred", "\(lines)")
        #expect(bench.recorder.named == [false, false])
        #expect(bench.engine.channel.epochs == 1 && bench.engine.channel.gaps == 0)
    }

    /// A gateway that heard the numbers begin anew, and where its journal ends.
    private func cleared() -> Bench {
        let bench = pitch(1)
        _ = bench.both(Made.unit(1, 5000, [Made.add(7, "ZVT")]), at: 1)
        _ = bench.both(Made.unit(1, 1, [Made.clear, Made.add(8, "ZVT"), Made.add(9, "ZVT")]), at: 10)
        return bench
    }

    @Test
    func `after a Unit Clear and a restart the numbers go on in their epoch, which is not the morning's`() {
        let morning = cleared()
        #expect(morning.recorder.numbers.last == "20260102001000:3")
        let bench = Bench(.pitch, .hotHot, channels: [1], after: morning)
        _ = bench.both(Made.unit(1, 5, [Made.add(11, "ZVT")]), at: 2000)
        #expect(bench.recorder.numbers == ["20260102001000 from 5", "20260102001000:5"])
        // And the next ones are another numbering still.
        _ = bench.both(Made.unit(1, 1, [Made.clear]), at: 3000)
        #expect(bench.recorder.numbers.suffix(2) == ["20260102002000 from 1", "20260102002000:1"])
    }

    @Test func `what an earlier run published is not published again under the same numbers`() {
        let bench = Bench(.pitch, .hotHot, channels: [1], after: cleared())
        _ = bench.both(Made.unit(1, 2, [Made.add(8, "ZVT"), Made.add(9, "ZVT")]), at: 2000)
        #expect(bench.recorder.numbers == ["20260102001000 from 4"])
        _ = bench.both(Made.unit(1, 4, [Made.add(10, "ZVT")]), at: 2001)
        #expect(bench.recorder.numbers.last == "20260102001000:4")
    }

    @Test func `a Unit Clear that is the first word after a restart begins an epoch that was never used`() {
        let bench = Bench(.pitch, .hotHot, channels: [1], after: cleared())
        _ = bench.both(Made.unit(1, 1, [Made.clear]), at: 2000)
        #expect(bench.recorder.numbers == ["20260102002000 from 1", "20260102002000:1"])
        #expect(bench.recorder.frames.allSatisfy { !$0.header.flags.contains(.epochInferred) })
    }

    @Test func `numbers that began anew while no gateway was there are an epoch of their own, flagged`() {
        let before = pitch(1)
        _ = before.both(Made.unit(1, 900_000, [Made.add(7, "ZVT")]), at: 1)
        let bench = Bench(.pitch, .hotHot, channels: [1], after: before)
        _ = bench.both(Made.unit(1, 70, [Made.add(8, "ZVT")]), at: 2000)
        #expect(bench.recorder.numbers == ["20260102001000 from 70", "20260102001000:70"])
        #expect(bench.recorder.frames.last?.header.flags.contains(.epochInferred) == true)
    }

    @Test func `numbers that began anew a little below where the journal ends are found out, and not mixed`()
    {
        let before = pitch(1)
        _ = before.both(Made.unit(1, 900, [Made.add(7, "ZVT")]), at: 1)
        let bench = Bench(.pitch, .hotHot, channels: [1], after: before)
        for number in 1...600 as ClosedRange<Int64> {
            _ = bench.both(Made.unit(1, UInt32(number), [Made.add(8, "ZVT")]), at: number * 10)
            _ = bench.tick(number * 10 + 5)
        }
        let old = bench.recorder.numbers.filter { $0.hasPrefix("20260102000000:") }
        #expect(old.isEmpty)
        #expect(bench.recorder.numbers.last == "20260102000001:600")
    }

    @Test func `the round of a number is that in which the journal ends`() {
        let before = pitch(1)
        _ = before.both(Made.unit(1, .max, [Made.add(1, "ZVT"), Made.add(2, "ZVT")]), at: 1)
        let bench = Bench(.pitch, .hotHot, channels: [1], after: before)
        _ = bench.both(Made.unit(1, 2, [Made.add(3, "ZVT")]), at: 2000)
        #expect(bench.recorder.numbers.last == "20260102000000:4294967297")
    }

    @Test func `the end of the session closes the channel, and what comes after opens it`() {
        let bench = pitch(1)
        _ = bench.both(Made.unit(1, 1, [Made.add(7, "ZVT")]), at: 1)
        #expect(
            bench.both(Made.unit(1, 2, [Made.end]), at: 2)
                == ["md/md/*/ 2 after 0", "state closed -: the session ended"])
        #expect(bench.both(Made.unit(1, 3, [Made.add(8, "ZVT")]), at: 3).first == "state live -: ")
    }
}

@Suite struct IEXFeedTests {
    @Test func `A and B may cut the same messages into other segments`() {
        let bench = Bench(.iexTP, .hotHot, channels: [1])
        _ = bench.both(Made.segment(7, 1, []), at: 1)
        let (a, b, c) = (Made.status("A"), Made.status("B"), Made.status("A"))
        var lines = bench.receive(Made.segment(7, 1, [a]), on: 0, at: 2)
        lines += bench.receive(Made.segment(7, 3, [c]), on: 0, at: 2)
        lines += bench.receive(Made.segment(7, 1, [a, b]), on: 1, at: 3)
        lines += bench.receive(Made.segment(7, 3, [c]), on: 1, at: 4)
        #expect(lines == ["md/md/A/ 1 after 0", "md/md/B/ 2 after 0", "md/md/A/ 3 after 1"])
        #expect(bench.engine.channel.gaps == 0)
        #expect(bench.recorder.frames.last?.header.sourceTime == wall(0))
    }

    @Test func `a heartbeat tells of a lost last message, and another session is another epoch`() {
        let bench = Bench(.iexTP, .hotHot, channels: [1])
        _ = bench.both(Made.segment(7, 1, [Made.status("A")]), at: 1)
        _ = bench.both(Made.segment(7, 3, []), at: 2)
        #expect(bench.tick(30) == ["gap 2-2 notRecovered"])
        var lines: [String] = []
        for time in 40...42 as ClosedRange<Int64> {
            lines += bench.both(Made.segment(8, UInt64(time - 39), [Made.status("A")]), at: time)
        }
        #expect(
            lines.filter { $0.hasPrefix("md/") }
                == ["md/md/A/ 1 after 0", "md/md/A/ 2 after 1", "md/md/A/ 3 after 2"])
        #expect(bench.recorder.frames.last?.header.epoch == 8)
    }

    @Test func `the end of messages closes the channel`() {
        let bench = Bench(.iexTP, .hotHot, channels: [1])
        _ = bench.both(Made.segment(7, 1, [Made.status("A")]), at: 1)
        #expect(
            bench.both(Made.segment(7, 2, [Made.endOfMessages]), at: 2)
                == ["md/md/*/ 2 after 0", "state closed -: the session ended"])
    }
}

@Suite struct MDP3FeedTests {
    @Test func `packets are arbitrated, and their messages reach each security that they concern`() {
        let bench = Bench(.mdp3, .hotHot)
        _ = bench.both(Made.packet(1, [Made.heartbeat]), at: 1)
        #expect(bench.receive(Made.packet(3, [Made.volume(5)]), on: 0, at: 2) == [])
        let two = Made.packet(2, [Made.volume(5), Made.volume(6, 5)])
        #expect(
            bench.receive(two, on: 1, at: 3)
                == ["md/md/5/ 2 after 0", "md/md/6/ 2 after 0", "md/md/5/ 3 after 2"])
        let bodies = bench.recorder.frames.suffix(3).map { Array($0.body) }
        #expect(bodies[0] == Made.volume(5) + Made.volume(6, 5) && bodies[1] == Made.volume(6, 5))
        #expect(bench.engine.channel.published == 3 && bench.engine.channel.gaps == 0)
    }

    @Test func `a channel reset within the numbers is a message for all, one that begins again an epoch`() {
        let bench = Bench(.mdp3, .hotHot)
        _ = bench.both(Made.packet(10, [Made.volume(5)]), at: 1)
        #expect(bench.both(Made.packet(11, [Made.reset]), at: 2) == ["md/md/*/ 11 after 0"])
        #expect(bench.engine.channel.epochs == 0)
        let lines =
            bench.both(Made.packet(1, [Made.reset]), at: 3)
            + bench.both(Made.packet(2, [Made.volume(5)]), at: 4)
        #expect(lines.filter { $0.hasPrefix("md/") } == ["md/md/*/ 1 after 0", "md/md/5/ 2 after 0"])
        #expect(bench.engine.channel.epochs == 1 && bench.engine.channel.gaps == 0)
    }

    @Test func `after a channel reset and a restart the numbers go on in their epoch`() {
        let before = Bench(.mdp3, .hotHot)
        _ = before.both(Made.packet(5000, [Made.volume(5)]), at: 1)
        _ = before.both(Made.packet(1, [Made.reset]), at: 2)
        #expect(before.recorder.numbers.last == "20251228001000:1")
        let bench = Bench(.mdp3, .hotHot, after: before)
        _ = bench.both(Made.packet(4, [Made.volume(5)]), at: 2000)
        #expect(bench.recorder.numbers == ["20251228001000 from 4", "20251228001000:4"])
        _ = bench.both(Made.packet(1, [Made.reset]), at: 3000)
        #expect(bench.recorder.numbers.last == "20251228002000:1")
    }

    @Test func `a packet whose messages make no sense reaches no instrument and is counted`() {
        let bench = Bench(.mdp3, .hotHot)
        var broken = Made.volume(5)
        broken[23] = 200
        #expect(bench.both(Made.packet(1, [broken]), at: 1).last == "md/md/*/ 1 after 0")
        #expect(bench.engine.channel.refused == ["message_truncated": 1])
    }

    @Test func `what is configured by default is what the catalog says`() {
        for feedProtocol in FeedOptions.FeedProtocol.allCases {
            let options = FeedOptions(
                name: "f", feedProtocol: feedProtocol, keys: feedProtocol.keys, policy: .hotHot)
            #expect(options.silence == FeedProtocolDescription(named: feedProtocol.rawValue).silence)
        }
    }
}
