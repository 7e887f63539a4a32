// MoldUDP64 against the published vectors, a real capture, and packets that lie.
import Testing

@testable import FeedProtocols

@Suite struct MoldUDP64Tests {
    private let session = MoldSession("0000000001")
    private let oneMessage = hex("30303030303030303031 0000000000000001 0001 0002 4142")

    private func texts(_ packet: MoldUDP64Packet) -> [String] {
        packet.messages.map { "\($0.sequence) \(String(decoding: $0.message, as: UTF8.self))" }
    }

    private func refusal(_ bytes: [UInt8]) -> MalformedInput? {
        do {
            _ = try MoldUDP64Packet(decoding: bytes[...])
            return nil
        } catch {
            return error
        }
    }

    @Test func `the published packet holds message 1, AB`() throws {
        let packet = try MoldUDP64Packet(decoding: oneMessage[...])
        #expect(packet.session == session)
        #expect(packet.session.description == "0000000001")
        #expect(packet.kind == .data(count: 1))
        #expect(texts(packet) == ["1 AB"])
        #expect(packet.trailingBytes == 0)
    }

    @Test func `count FFFF ends the session at the next sequence`() throws {
        let bytes = hex("30303030303030303031 0000000000000002 FFFF")
        let packet = try MoldUDP64Packet(decoding: bytes[...])
        #expect(packet.kind == .endOfSession)
        #expect(packet.firstSequence == 2)
        #expect(texts(packet).isEmpty)
        #expect(MoldUDP64PacketBuilder.endOfSession(session: session, next: 2) == bytes)
    }

    @Test func `count 0 is a heartbeat that names what comes next`() throws {
        let bytes = MoldUDP64PacketBuilder.heartbeat(session: session, next: 77)
        let packet = try MoldUDP64Packet(decoding: bytes[...])
        #expect(packet.kind == .heartbeat)
        #expect(packet.firstSequence == 77)
    }

    @Test func `a packet cut anywhere is refused with the offset`() {
        #expect(refusal([]) == MalformedInput(.truncated, offset: 0, wanted: 20, found: 0))
        #expect(
            refusal(Array(oneMessage.prefix(21)))
                == MalformedInput(.truncated, offset: 20, wanted: 2, found: 1))
        #expect(
            refusal(Array(oneMessage.prefix(23)))
                == MalformedInput(.truncated, offset: 22, wanted: 2, found: 1))
        for length in 0..<oneMessage.count {
            #expect(refusal(Array(oneMessage.prefix(length)))?.reason == .truncated)
        }
    }

    @Test func `a packet longer than UDP allows is refused`() {
        let long = oneMessage + [UInt8](repeating: 0, count: 65_507)
        #expect(refusal(long)?.reason == .oversized)
    }

    @Test func `sequences that would pass the last number are refused`() {
        let bytes = hex("30303030303030303031 FFFFFFFFFFFFFFFF 0001 0002 4142")
        #expect(refusal(bytes) == MalformedInput(.sequenceOverflow, offset: 10, wanted: 0, found: 1))
    }

    @Test func `bytes behind the last message are counted and do no harm`() throws {
        let packet = try MoldUDP64Packet(decoding: (oneMessage + [9, 9, 9])[...])
        #expect(packet.trailingBytes == 3)
        #expect(texts(packet) == ["1 AB"])
    }

    @Test func `a slice within a larger buffer reads the same`() throws {
        let buffer = [1, 2, 3] + oneMessage + [4]
        #expect(texts(try MoldUDP64Packet(decoding: buffer[3..<27])) == ["1 AB"])
    }

    @Test func `two hosts give one session the same number, and two sessions different ones`() throws {
        let packet = try MoldUDP64Packet(decoding: oneMessage[...])
        #expect(packet.session.number == session.number)
        #expect(session.number != MoldSession("0000000002").number)
    }

    @Test func `the builder fills a packet, then refuses until the next is begun`() throws {
        var builder = MoldUDP64PacketBuilder(session: session, maximumLength: 64)
        builder.begin(at: 5)
        var added = 0
        while builder.append([1, 2, 3, 4, 5, 6, 7, 8]) { added += 1 }
        #expect(added == 4)
        let packet = try MoldUDP64Packet(decoding: builder.bytes[...])
        #expect(packet.messages.map(\.sequence) == [5, 6, 7, 8])
        #expect(packet.messages.allSatisfy { $0.message.elementsEqual([1, 2, 3, 4, 5, 6, 7, 8]) })
        builder.begin(at: 9)
        #expect(builder.isEmpty)
        #expect(builder.longestMessage == 42)
        let tooLong = builder.append([UInt8](repeating: 0, count: 43))
        #expect(!tooLong)
    }

    @Test func `a request is written and read back`() throws {
        let request = MoldUDP64Request(session: session, firstSequence: 12, count: 34)
        #expect(request.bytes == hex("30303030303030303031 000000000000000C 0022"))
        #expect(try MoldUDP64Request(decoding: request.bytes[...]) == request)
        #expect(throws: MalformedInput.self) { try MoldUDP64Request(decoding: request.bytes.dropLast()) }
        #expect(throws: MalformedInput.self) { try MoldUDP64Request(decoding: (request.bytes + [0])[...]) }
    }

    @Test(.enabled(if: Recordings.arePresent))
    func `the recorded packets hold 15 and 13 messages, and the cut one is refused`() throws {
        let bytes = try Recordings.bytes("mold/mold.sample.dat")
        var position = 0
        var counts: [Int] = []
        for first in [1, 16] as [UInt64] {
            let packet = try MoldUDP64Packet(decoding: bytes[position...])
            #expect(packet.firstSequence == first)
            let messages = Array(packet.messages)
            counts.append(messages.count)
            position += 20 + messages.reduce(0) { $0 + 2 + $1.message.count }
        }
        #expect(counts == [15, 13])
        #expect(refusal(Array(bytes[position...])) != nil)
        #expect(refusal(Array(bytes[position...]))?.reason == .truncated)
    }
}
