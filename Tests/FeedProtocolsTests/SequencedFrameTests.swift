// The sequenced ZeroMQ format against its table, and frames that break it.
import Basics
import Testing

@testable import FeedProtocols

@Suite struct SequencedFrameTests {
    private let time = WallTime(nanoseconds: 0x1112_1314_1516_1718)

    private func frame(
        _ kind: SequencedFrame.Kind, topic: String, sequence: UInt64, payload: [UInt8] = []
    ) -> [UInt8] {
        var writer = ByteWriter()
        SequencedFrameEncoder(session: 0x0102_0304_0506_0708).write(
            kind, topic: Array(topic.utf8), sequence: sequence, sourceTime: time, payload: payload,
            into: &writer)
        return writer.bytes
    }

    private func refusal(_ bytes: [UInt8]) -> MalformedInput? {
        do {
            _ = try SequencedFrame(decoding: bytes.span)
            return nil
        } catch {
            return error
        }
    }

    @Test func `a data frame is laid out as the table says`() {
        #expect(
            frame(.data, topic: "AB/", sequence: 5, payload: [0xEE])
                == hex(
                    "41422F 00 01 01 0000 00000000 0807060504030201 0500000000000000 1817161514131211 EE"))
    }

    @Test func `session 0 has another name, since 0 is none`() throws {
        var writer = ByteWriter()
        SequencedFrameEncoder(session: 0).write(
            .data, topic: Array("AB/".utf8), sequence: 5, sourceTime: time, payload: [1], into: &writer)
        #expect(try SequencedFrame(decoding: writer.bytes.span).session == .max)
    }

    @Test func `data, idle and heartbeat frames read back`() throws {
        let bytes = frame(.data, topic: "AB/", sequence: 5, payload: [1, 2])
        let data = try SequencedFrame(decoding: bytes.span)
        #expect(data.kind == .data)
        #expect(bytes[data.topic].elementsEqual("AB/".utf8))
        #expect(data.session == 0x0102_0304_0506_0708)
        #expect(data.sequence == 5)
        #expect(data.sourceTime == time)
        #expect(bytes[data.payload].elementsEqual([1, 2]))
        let idle = try SequencedFrame(decoding: frame(.idle, topic: "AB/", sequence: 0).span)
        #expect(idle.kind == .idle)
        #expect(idle.payload.isEmpty)
        let beat = frame(.heartbeat(every: .milliseconds(100)), topic: "heartbeat/", sequence: 0)
        #expect(try SequencedFrame(decoding: beat.span).kind == .heartbeat(every: .milliseconds(100)))
    }

    @Test func `a frame cut anywhere is refused`() {
        let whole = frame(.data, topic: "AB/", sequence: 5)
        for length in 0..<whole.count { #expect(refusal(Array(whole.prefix(length))) != nil) }
        #expect(
            refusal(Array(whole.dropLast())) == MalformedInput(.truncated, offset: 4, wanted: 32, found: 31))
    }

    @Test func `topics without a slash, empty or endless ones are refused`() {
        #expect(refusal(frame(.data, topic: "AB", sequence: 5))?.reason == .badTopic)
        #expect(refusal(frame(.data, topic: "", sequence: 5))?.reason == .badTopic)
        let long = String(repeating: "x", count: 255) + "/"
        #expect(refusal(frame(.data, topic: long, sequence: 5))?.reason == .badTopic)
        #expect(refusal(frame(.data, topic: String(long.dropFirst()), sequence: 5)) == nil)
    }

    @Test func `another version or kind is refused by name`() {
        var version = frame(.data, topic: "AB/", sequence: 5)
        version[4] = 2
        #expect(refusal(version) == MalformedInput(.unknownVersion, offset: 4, wanted: 1, found: 2))
        var kind = frame(.data, topic: "AB/", sequence: 5)
        kind[5] = 4
        #expect(refusal(kind) == MalformedInput(.unknownKind, offset: 5, wanted: 3, found: 4))
    }

    @Test func `data without a sequence and heartbeats under another topic contradict themselves`() {
        #expect(refusal(frame(.data, topic: "AB/", sequence: 0))?.reason == .inconsistent)
        let beat = frame(.heartbeat(every: .milliseconds(100)), topic: "AB/", sequence: 0)
        #expect(refusal(beat)?.reason == .inconsistent)
    }

    @Test func `a frame longer than a mebibyte is refused`() {
        let payload = [UInt8](repeating: 0, count: SequencedFrame.longest)
        #expect(refusal(frame(.data, topic: "AB/", sequence: 1, payload: payload))?.reason == .oversized)
    }
}
