// SoupBinTCP's messages as MoldUDP64 packets: what a client's news become.
import Basics
import Testing

@testable import FeedProtocols

@Suite struct SoupPacketsTests {
    private func begins(_ session: String, at next: UInt64) -> SoupDialect.News {
        .begins(SoupPosition(session: MoldSession(session), next: next))
    }

    private func message(_ sequence: UInt64, _ text: String) -> SoupDialect.News {
        .message(sequence: sequence, Array(text.utf8)[...])
    }

    private func lines(_ packets: [[UInt8]]) throws -> [String] {
        try packets.map { bytes in
            let packet = try MoldUDP64Packet(decoding: bytes[...])
            let place = "\(packet.session) \(packet.firstSequence)"
            switch packet.kind {
            case .heartbeat: return "heartbeat \(place)"
            case .endOfSession: return "end \(place)"
            case .data:
                let texts = packet.messages.map { String(decoding: $0.message, as: UTF8.self) }
                return "\(place) \(texts.joined(separator: ","))"
            }
        }
    }

    @Test func `what comes together goes into one packet`() throws {
        var packets = SoupPackets()
        #expect(try lines(packets.take(begins("S1", at: 5))) == ["heartbeat S1 5"])
        #expect(packets.take(message(5, "a")).isEmpty)
        #expect(packets.take(message(6, "b")).isEmpty)
        #expect(try lines(packets.flush()) == ["S1 5 a,b"])
        #expect(packets.flush().isEmpty)
        #expect(packets.take(message(7, "c")).isEmpty)
        #expect(try lines(packets.take(.heartbeat(next: 8))) == ["S1 7 c", "heartbeat S1 8"])
    }

    @Test func `the end of a session follows its messages, and another one begins`() throws {
        var packets = SoupPackets()
        _ = packets.take(begins("S1", at: 1))
        _ = packets.take(message(1, "a"))
        #expect(try lines(packets.take(.sessionEnded(next: 2))) == ["S1 1 a", "end S1 2"])
        #expect(try lines(packets.take(begins("S2", at: 1))) == ["heartbeat S2 1"])
        _ = packets.take(message(1, "b"))
        #expect(try lines(packets.flush()) == ["S2 1 b"])
    }

    @Test func `a full packet is handed on when the next message comes`() throws {
        var packets = SoupPackets()
        _ = packets.take(begins("S1", at: 1))
        let text = String(repeating: "x", count: 40_000)
        #expect(packets.take(message(1, text)).isEmpty)
        #expect(try lines(packets.take(message(2, text))) == ["S1 1 \(text)"])
        #expect(try lines(packets.flush()) == ["S1 2 \(text)"])
    }

    @Test func `a message that no packet can take is left out and counted`() throws {
        var packets = SoupPackets()
        _ = packets.take(begins("S1", at: 1))
        _ = packets.take(message(1, "a"))
        let long = String(repeating: "x", count: MoldUDP64Packet.longest)
        #expect(try lines(packets.take(message(2, long))) == ["S1 1 a"])
        #expect(packets.tooLong == 1)
        #expect(packets.flush().isEmpty)
        #expect(packets.take(message(3, "b")).isEmpty)
        #expect(try lines(packets.flush()) == ["S1 3 b"])
    }
}
