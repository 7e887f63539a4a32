// Streams as `holdfast play` takes them: due times, topics with sequences of their own, skipped stretches.
import Basics
import Testing

@testable import FeedProtocols

@Suite struct PlayedStreamTests {
    private let start = WallTime(nanoseconds: 0)

    /// Takes everything that is due within `elapsed`: the topics' names with their sequences, in order.
    private func play(_ stream: inout some PlayedStream, until elapsed: Duration) throws -> [String] {
        var lines: [String] = []
        while let due = try stream.nextDue(), due <= elapsed {
            var writer = ByteWriter()
            guard let topic = try stream.take(into: &writer) else { break }
            let name = String(decoding: stream.topic(topic), as: UTF8.self)
            lines.append("\(name)\(stream.lastSequence(ofTopic: topic))")
        }
        return lines
    }

    private func recording(
        _ bytes: [UInt8], _ format: RecordingFormat, _ pace: RecordedStream.Pace, piece: Int = 10
    ) -> RecordedStream {
        var rest = bytes[...]
        return RecordedStream(format, pace: pace) {
            defer { rest = rest.dropFirst(piece) }
            return Array(rest.prefix(piece))
        }
    }

    @Test func `generated quotes are due at their rate, each topic counting`() throws {
        var stream = GeneratedQuoteStream(SyntheticQuotes(symbols: 2, seed: 1, rate: 10))
        #expect(try play(&stream, until: .milliseconds(250)) == ["HF0001/1", "HF0002/1", "HF0001/2"])
        #expect(stream.nextDue() == .milliseconds(300))
    }

    @Test func `what is skipped keeps its numbers`() throws {
        var stream = GeneratedQuoteStream(SyntheticQuotes(symbols: 2, seed: 1, rate: 10))
        #expect(stream.skip(dueBefore: .milliseconds(500)) == 5)
        #expect(stream.lastSequence(ofTopic: 0) == 3)
        #expect(stream.lastSequence(ofTopic: 1) == 2)
        #expect(try play(&stream, until: .milliseconds(600)) == ["HF0002/3", "HF0001/4"])
        #expect(stream.skip(dueBefore: .zero) == 0)
    }

    @Test(arguments: [(40, 0), (40, 100), (16, 0), (5, 12), (1, 2), (17, 34)])
    func `each locate's sequence counts its messages, directory included`(symbols: Int, every: Int) throws {
        let feed = SyntheticITCH(
            symbols: symbols, seed: 1, rate: 1000, start: start, directoryEvery: UInt64(every))
        var stream = GeneratedITCHStream(feed)
        var counts = [UInt64](repeating: 0, count: stream.topicCount)
        for _ in 0..<2000 {
            var writer = ByteWriter()
            let taken = stream.take(into: &writer)
            let topic = try #require(taken)
            counts[topic] += 1
            #expect(stream.lastSequence(ofTopic: topic) == counts[topic])
        }
        #expect((0..<stream.topicCount).allSatisfy { stream.lastSequence(ofTopic: $0) == counts[$0] })
    }

    private func binaryFILE(_ messages: [(ITCH50Body, UInt16, UInt64)]) -> [UInt8] {
        var bytes: [UInt8] = []
        for (body, locate, time) in messages {
            var writer = ByteWriter()
            body.write(ITCH50Stamp(locate: locate, timestamp: time), into: &writer)
            bytes += [0, UInt8(writer.bytes.count)] + writer.bytes
        }
        return bytes
    }

    private var day: [UInt8] {
        binaryFILE([
            (.systemEvent(code: UInt8(ascii: "O")), 0, 1_000_000_000),
            (.orderDelete(reference: 1), 7, 2_000_000_000),
            (.stockDirectory(symbol: ITCHSymbol("BRK/A")), 7, 3_000_000_000),
            (.orderDelete(reference: 1), 7, 2_500_000_000),
            (.orderDelete(reference: 1), 7, 5_000_000_000),
        ])
    }

    @Test func `a recorded day is played at its own pace, under the directory's names`() throws {
        var stream = recording(day, .binaryFILE, .recorded(speed: 2))
        #expect(try play(&stream, until: .zero) == ["*/1"])
        #expect(try stream.nextDue() == .milliseconds(500))
        // The clock's step back makes the fourth message due with the third.
        #expect(try play(&stream, until: .seconds(1)) == ["locate-7/1", "BRK%2FA/1", "BRK%2FA/2"])
        #expect(try stream.nextDue() == .seconds(2))
        #expect(try play(&stream, until: .seconds(2)) == ["BRK%2FA/3"])
        #expect(try stream.nextDue() == nil)
        #expect(stream.nextNumber == 6)
    }

    @Test func `a recorded day is played at a rate, and skipped in part`() throws {
        var stream = recording(day, .binaryFILE, .rate(StreamSchedule(rate: 1)))
        #expect(try stream.skip(dueBefore: .seconds(3)) == 3)
        #expect(try play(&stream, until: .seconds(3)) == ["BRK%2FA/2"])
        #expect(try stream.nextDue() == .seconds(4))
    }

    @Test func `a recording that ends within a message is played up to there`() throws {
        var stream = recording(Array(day.dropLast()), .binaryFILE, .rate(StreamSchedule(rate: 1000)))
        #expect(throws: PlayError.self) { _ = try play(&stream, until: .seconds(9)) }
        #expect(stream.nextNumber == 5)
    }

    /// A raw-IP capture of MoldUDP64 packets: session, first sequence, and how many one-byte messages.
    private func capture(_ packets: [(String, UInt64, Int)]) -> [UInt8] {
        var bytes = hex("D4C3B2A1 0200 0400 00000000 00000000 00000400 65000000")
        for (index, (session, first, count)) in packets.enumerated() {
            var builder = MoldUDP64PacketBuilder(session: MoldSession(session))
            builder.begin(at: first)
            for _ in 0..<count { _ = builder.append([0x58]) }
            var ip = ByteWriter()
            ip.append(hex("4500"))
            ip.bigEndian(UInt16(28 + builder.bytes.count))
            ip.append(hex("00000000 0111 0000 0A000001 EF010101 03E8 07D0"))
            ip.bigEndian(UInt16(8 + builder.bytes.count))
            ip.append([0, 0] + builder.bytes)
            var record = ByteWriter()
            for field in [UInt32(index), 0, UInt32(ip.bytes.count), UInt32(ip.bytes.count)] {
                record.littleEndian(field)
            }
            bytes += record.bytes + ip.bytes
        }
        return bytes
    }

    @Test func `a capture of both lines is played once, and what it lacks is counted`() throws {
        let bytes = capture([("S", 5, 2), ("S", 5, 2), ("T", 1, 1), ("S", 7, 1), ("S", 10, 0), ("S", 10, 1)])
        var stream = recording(bytes, .pcap, .recorded(speed: 1), piece: 50)
        #expect(try play(&stream, until: .seconds(9)) == ["*/1", "*/2", "*/3", "*/4"])
        #expect(stream.nextNumber == 5)
        #expect(stream.counts.duplicates == 2)
        #expect(stream.counts.otherSessions == 1)
        #expect(stream.counts.missing == 2)
        #expect(stream.counts.otherFrames == 0)
    }

    @Test(.enabled(if: Recordings.arePresent)) func `the recorded snippet of 2019 lasts 2.4 ms`() throws {
        let bytes = try Recordings.bytes("itch/12302019_SNIPPET.NASDAQ_ITCH50")
        var stream = recording(bytes, .binaryFILE, .recorded(speed: 1), piece: 4096)
        #expect(try play(&stream, until: .microseconds(2_500)).count == 1000)
        #expect(try stream.nextDue() == nil)
    }
}
