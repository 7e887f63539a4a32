// Market-data frames: the byte table of the document, both ways, and hostile frames.
import Basics
import Testing
import Wire

@Suite struct FrameTests {
    static let header = FrameHeader(
        kind: .data, flags: [.recovering, .numberedPerTopic], feed: 0x0102, channel: 0x0304,
        epoch: 0x1112_1314_1516_1718, sequence: 0x2122_2324_2526_2728, previous: 0x3132_3334_3536_3738,
        path: 1, state: .recovering, sourceTime: WallTime(nanoseconds: 0x4142_4344_4546_4748),
        receiveTime: WallTime(nanoseconds: -2))
    static let topic = Topic.marketData(feed: "itch", instrument: "AAPL")

    static func frame(_ header: FrameHeader = header, body: [UInt8] = []) -> [UInt8] {
        var bytes: [UInt8] = []
        header.encode(topic: topic.bytes[...], body: body[...], into: &bytes)
        return bytes
    }

    @Test func `the header lies as in the document's table`() {
        var bytes: [UInt8] = [0xAA]
        FrameTests.header.encode(into: &bytes)
        #expect(
            bytes == [
                0xAA,
                1, 1, 0x11, 0, 2, 1, 4, 3,
                0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,
                0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21,
                0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31,
                1, 2, 0, 0, 0, 0, 0, 0,
                0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41,
                0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
            ])
    }

    @Test func `a frame is topic, NUL, header and body`() throws {
        let frame = try Frame(parsing: FrameTests.frame(body: [9, 0, 9]))
        #expect(try frame.topic() == FrameTests.topic)
        #expect(frame.header == FrameTests.header)
        #expect(Array(frame.body) == [9, 0, 9])
    }

    @Test func `no path and no source time have their own bytes`() throws {
        var header = FrameTests.header
        header.path = nil
        header.sourceTime = nil
        let bytes = FrameTests.frame(header)
        let start = FrameTests.topic.bytes.count + 1
        #expect(bytes[start + 32] == 255)
        #expect(bytes[(start + 40)..<(start + 48)].allSatisfy { $0 == 0 })
        #expect(try Frame(parsing: bytes).header == header)
    }

    @Test func `a frame is read from the middle of a buffer`() throws {
        let bytes = [0, 0, 0] + FrameTests.frame(body: [7])
        #expect(try Frame(parsing: bytes[3...]).body == [7])
    }

    @Test func `an idle frame has no body`() throws {
        var header = FrameTests.header
        header.kind = .idle
        #expect(throws: Never.self) { try Frame(parsing: FrameTests.frame(header)) }
        #expect(throws: FrameError.self) { try Frame(parsing: FrameTests.frame(header, body: [1])) }
    }

    @Test(
        arguments: [
            (0, 2, "version 2, expected 1"), (0, 0, "version 0, expected 1"),
            (1, 0, "kind 0, expected 1 to 7 with the body of that kind"),
            (1, 8, "kind 8, expected 1 to 7 with the body of that kind"),
            (33, 0, "channel state 0, expected 1 to 4"), (33, 5, "channel state 5, expected 1 to 4"),
        ] as [(Int, UInt8, String)])
    func `a wrong byte is named with its offset`(at: Int, byte: UInt8, problem: String) {
        var bytes = FrameTests.frame()
        let start = FrameTests.topic.bytes.count + 1
        bytes[start + at] = byte
        #expect {
            try Frame(parsing: bytes)
        } throws: { error in
            "\(error)" == "offset \(start + at): \(problem)"
        }
    }

    @Test func `unknown flags and reserved bytes are ignored`() throws {
        var bytes = FrameTests.frame()
        let start = FrameTests.topic.bytes.count + 1
        bytes[start + 3] = 0x80
        bytes[start + 34] = 0xFF
        bytes[start + 39] = 0xFF
        let header = try Frame(parsing: bytes).header
        #expect(header.flags.contains([.recovering, .numberedPerTopic]))
        #expect(header.sequence == FrameTests.header.sequence)
    }

    @Test func `every truncation is refused`() {
        let bytes = FrameTests.frame()
        for count in 0..<bytes.count {
            #expect(throws: FrameError.self) { try Frame(parsing: bytes[..<count]) }
        }
    }

    @Test func `a topic without an end is refused within its bound`() {
        let endless = [UInt8](repeating: UInt8(ascii: "a"), count: 10_000_000)
        #expect {
            try Frame(parsing: endless)
        } throws: { error in
            (error as? FrameError)?.problem == .noEndOfTopic
                && (error as? FrameError)?.offset == Topic.longest
        }
        #expect {
            try Frame(parsing: [0] + endless)
        } throws: { error in
            (error as? FrameError)?.problem == .topicWithoutSlash
        }
    }

    @Test func `random bytes never trap`() {
        for _ in 0..<5000 {
            var bytes = FrameTests.frame(body: [1, 2, 3])
            for _ in 0..<3 { bytes[Int.random(in: 0..<bytes.count)] = .random(in: 0...255) }
            guard let frame = try? Frame(parsing: bytes) else { continue }
            _ = try? frame.topic()
            _ = try? ControlBody(kind: frame.header.kind, parsing: frame.body)
        }
    }

    @Test func `an epoch is the FNV-1a of the trimmed session`() {
        let session = FrameHeader.epoch(ofSession: "  S001   \0".utf8)
        #expect(session == fnv1a("S001".utf8))
        #expect(session == FrameHeader.epoch(ofSession: "S001".utf8))
    }
}
