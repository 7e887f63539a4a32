// PITCH, IEX-TP and MDP 3.0 headers against published vectors, the recorded feeds, and packets that lie.
import Basics
import Testing

@testable import FeedProtocols

@Suite struct PacketHeaderTests {
    private func header(_ name: PacketProtocol, _ text: String, length: Int? = nil) -> SequencedHeader? {
        let bytes = hex(text)
        return try? name.header(of: bytes[...], length: length ?? bytes.count)
    }

    private func refusal(_ name: PacketProtocol, _ bytes: [UInt8], length: Int? = nil) -> MalformedInput? {
        do {
            _ = try name.header(of: bytes[...], length: length ?? bytes.count)
            return nil
        } catch {
            return error
        }
    }

    // MARK: - PITCH

    @Test func `the published PITCH packet is message 2 of unit 1`() throws {
        let bytes = hex("0E00 01 01 02000000 06 20 AABBCCDD")
        #expect(
            header(.pitch, "0E00 01 01 02000000 06 20 AABBCCDD")
                == SequencedHeader(channel: 1, firstSequence: 2, kind: .data(count: 1), messages: 1))
        let packet = try PITCHPacket(decoding: bytes[...])
        let messages = packet.messages.map { ($0.sequence, $0.type, $0.message.count) }
        #expect(messages.count == 1 && messages[0] == (2, 0x20, 6))
    }

    @Test func `a PITCH heartbeat names what comes next, and sequence 0 is not numbered`() {
        #expect(header(.pitch, "0800 00 07 2B000000")?.kind == .heartbeat)
        #expect(header(.pitch, "0800 00 07 2B000000")?.firstSequence == 43)
        #expect(header(.pitch, "0800 00 00 00000000")?.kind == .unsequenced)
    }

    @Test func `after PITCH message 4294967295 comes 1`() throws {
        let packet = try PITCHPacket(decoding: hex("0D00 02 01 FFFFFFFF 02 97 03 2D 00")[...])
        #expect(packet.messages.map(\.sequence) == [.max, 1])
        #expect(packet.messages.map(\.type) == [PITCHPacket.unitClear, PITCHPacket.endOfSession])
    }

    @Test func `a PITCH packet whose lengths lie is refused where they do`() {
        #expect(refusal(.pitch, hex("0700 00 01 01000000"))?.reason == .undersized)
        #expect(refusal(.pitch, hex("0900 00 01 01000000"))?.reason == .truncated)
        #expect(refusal(.pitch, hex("0B00 02 01 01000000 020202"))?.reason == .inconsistent)
        #expect(refusal(.pitch, hex("0800 00 01 0100"))?.reason == .truncated)
        for text in ["0A00 01 01 01000000 0000", "0A00 01 01 01000000 0100", "0A00 01 01 01000000 0397"] {
            #expect(throws: MalformedInput.self) { try PITCHPacket(decoding: hex(text)[...]) }
        }
    }

    // MARK: - IEX-TP

    private let segment =
        "01 00 0480 01000000 0000CA43 0700 0200 0A00000000000000 0500000000000000 0000000000000001"

    @Test func `an IEX-TP segment has channel, session and the numbers of its messages`() throws {
        let bytes = hex(segment + "0100 41 0200 4243")
        let segment = try IEXTPSegment(decoding: bytes[...])
        #expect(segment.header.channel == 1 && segment.header.session == 0x43CA_0000)
        #expect(segment.header.streamOffset == 10 && segment.header.messageProtocol == 0x8004)
        #expect(segment.messages.map(\.sequence) == [5, 6])
        #expect(segment.messages.map { Array($0.message) } == [[0x41], [0x42, 0x43]])
        #expect(
            segment.header.sequenced
                == SequencedHeader(
                    session: 0x43CA_0000, channel: 1, firstSequence: 5, kind: .data(count: 2), messages: 2))
    }

    @Test func `session 0 of IEX-TP has another name, since 0 is none`() throws {
        let bytes = hex(segment.replacing("0000CA43", with: "00000000") + "0100 41 0200 4243")
        let header = try IEXTPSegment(decoding: bytes[...]).header
        #expect(header.session == 0 && header.sequenced.session == .max)
    }

    @Test func `an IEX-TP segment that was cut behind its header is read by its length on the wire`() {
        let bytes = hex(segment)
        #expect(refusal(.iexTP, bytes) == MalformedInput(.truncated, offset: 12, wanted: 7, found: 0))
        #expect(refusal(.iexTP, bytes, length: 47) == nil)
    }

    @Test func `IEX-TP of another version, or with a count that cannot be, is refused`() {
        var bytes = hex(segment + "0100 41 0200 4243")
        bytes[0] = 2
        #expect(refusal(.iexTP, bytes)?.reason == .unknownVersion)
        bytes[0] = 1
        bytes[14] = 4
        #expect(refusal(.iexTP, bytes)?.reason == .inconsistent)
        bytes[14] = 0
        #expect(refusal(.iexTP, bytes)?.reason == .inconsistent)
        bytes[14] = 2
        bytes[31] = 0xFF
        #expect(refusal(.iexTP, bytes)?.reason == .sequenceOverflow)
        bytes[31] = 0
        bytes[40] = 9
        #expect(throws: MalformedInput.self) { try IEXTPSegment(decoding: bytes[...]) }
    }

    // MARK: - MDP 3.0

    private let packet = "0A000000 0000000000000001 0C00 0000 0C00 0100 0900 AABB 0B00 0100 2E00 0100 0900 CC"

    @Test func `MDP 3.0 numbers packets, and a heartbeat has its number too`() throws {
        let packet = try MDP3Packet(decoding: hex(self.packet)[...])
        #expect(packet.header.sequence == 10 && packet.header.firstTemplate == MDP3Header.heartbeat)
        #expect(packet.messages.map(\.template) == [12, 46])
        #expect(
            packet.header.sequenced == SequencedHeader(firstSequence: 10, kind: .data(count: 1), messages: 0))
        #expect(header(.mdp3, "0A000000 0000000000000001")?.messages == 0)
        #expect(
            header(.mdp3, "0A000000 0000000000000001 0C00 0000 2E00", length: 90)?.messages == .some(nil))
    }

    @Test func `an MDP 3.0 packet whose sizes lie is refused`() {
        #expect(refusal(.mdp3, hex("0A000000 00000000"))?.reason == .truncated)
        #expect(refusal(.mdp3, hex("0A000000 0000000000000001 0900 0000 0C00"))?.reason == .undersized)
        #expect(refusal(.mdp3, hex("0A000000 0000000000000001 FF00 0000 0C00"))?.reason == .truncated)
        #expect(throws: MalformedInput.self) { try MDP3Packet(decoding: hex(packet).dropLast()) }
    }

    // MARK: - All

    @Test func `a MoldUDP64 header is read of a packet that was cut`() {
        let bytes = hex("30303030303030303031 0000000000000001 0002 0002 4142")
        #expect(refusal(.moldUDP64, bytes, length: 40) == nil)
        #expect(refusal(.moldUDP64, Array(bytes.prefix(20)), length: 22)?.reason == .truncated)
        #expect(refusal(.moldUDP64, Array(bytes.prefix(19)))?.reason == .truncated)
        #expect(
            header(.moldUDP64, "30303030303030303031 0000000000000009 FFFF")?.kind == .endOfSession)
        #expect(
            header(.moldUDP64, "30303030303030303031 FFFFFFFFFFFFFFFF 0001", length: 60) == nil)
    }

    @Test(arguments: PacketProtocol.allCases)
    func `50,000 broken packets are read or refused`(name: PacketProtocol) {
        let text =
            switch name {
            case .moldUDP64: "30303030303030303031 0000000000000001 0002 0002 4142 0001 43"
            case .pitch: "0E00 02 01 02000000 04 20 AABB 02 97"
            case .iexTP: segment + "0100 41 0200 4243"
            case .mdp3: packet
            }
        var random = SeededNumbers(5)
        var read = 0
        for _ in 0..<50_000 {
            let bytes = mutated(hex(text), &random)
            if let header = try? name.header(of: bytes[...], length: bytes.count) {
                read += 1
                if case .data(let count) = header.kind { #expect(count > 0) }
            }
            switch name {
            case .moldUDP64: break
            case .pitch:
                if let packet = try? PITCHPacket(decoding: bytes[...]) { for _ in packet.messages {} }
            case .iexTP:
                if let packet = try? IEXTPSegment(decoding: bytes[...]) { for _ in packet.messages {} }
            case .mdp3: if let packet = try? MDP3Packet(decoding: bytes[...]) { for _ in packet.messages {} }
            }
        }
        #expect(read > 0 && read < 50_000)
    }

    @Test func `a datagram that was cut is taken where that is allowed, with its length on the wire`() throws
    {
        let frame = hex(
            """
            01005E010101 020000000001 0800
            4500001E 00000000 0111 0000 0A000001 EF010101
            03E8 07D0 000A 0000 AABB
            """)
        let cut = CapturedFrame(time: nil, link: .ethernet, bytes: frame[..<43], originalLength: 44)
        #expect(throws: MalformedInput.self) { try UDPDatagram(cut) }
        let datagram = try #require(try UDPDatagram(cut, cut: true))
        #expect(datagram.length == 2 && datagram.payload.elementsEqual([0xAA]))
        // A frame that was captured whole may not claim more than it has.
        let liar = CapturedFrame(time: nil, link: .ethernet, bytes: frame[..<43], originalLength: 43)
        #expect(throws: MalformedInput.self) { try UDPDatagram(liar, cut: true) }
    }
}

@Suite(.enabled(if: Recordings.arePresent)) struct RecordedHeaderTests {
    private func datagrams(_ path: String) throws -> [UDPDatagram] {
        let (found, error) = frames(of: try Recordings.unpacked(path))
        #expect(error == nil)
        return found.compactMap { (try? UDPDatagram($0)) ?? nil }
    }

    @Test func `every recorded venue's packets are read whole`() throws {
        var read: [PacketProtocol: Int] = [:]
        for path in try Recordings.all(under: "omi", ending: ".pcap") where !path.contains(".Tcp.") {
            let name: PacketProtocol
            if path.contains("/Mdp3.") {
                name = .mdp3
            } else if path.contains("DepthOfBook.Pitch") {
                name = .pitch
            } else if path.contains("/Iex/") {
                name = .iexTP
            } else {
                continue
            }
            for datagram in try datagrams(path) {
                let header = try name.header(of: datagram.payload, length: datagram.payload.count)
                var messages = 0
                switch name {
                case .mdp3: messages = try MDP3Packet(decoding: datagram.payload).messages.count { _ in true }
                case .pitch:
                    messages = try PITCHPacket(decoding: datagram.payload).messages.count { _ in true }
                default: messages = try IEXTPSegment(decoding: datagram.payload).messages.count { _ in true }
                }
                if let claimed = header.messages { #expect(claimed == messages || name == .mdp3, "\(path)") }
                read[name, default: 0] += 1
            }
        }
        #expect(read[.mdp3] ?? 0 > 0 && read[.pitch] ?? 0 > 0 && read[.iexTP] ?? 0 > 0, "\(read)")
    }

    @Test func `the recorded PITCH feed has 356 heartbeats and messages 3 to 42 of unit 1`() throws {
        var heartbeats = 0
        var unsequenced = 0
        var numbers: [UInt64] = []
        for datagram in try datagrams("pitch/mcastpitch_realtime_useq.pcap") {
            let packet = try PITCHPacket(decoding: datagram.payload)
            let header = packet.header.sequenced
            switch header.kind {
            case .heartbeat: heartbeats += 1
            case .unsequenced: unsequenced += 1
            case .data(let count): numbers += (0..<UInt64(count)).map { header.firstSequence + $0 }
            case .endOfSession: Issue.record("PITCH has no such packet")
            }
            #expect(packet.messages.count { _ in true } == Int(packet.header.count))
        }
        #expect(heartbeats == 356)
        #expect(numbers == Array(3...42))
        #expect(unsequenced > 0)
    }

    @Test func `the recorded TOPS feed is one session, each segment where the one before ends`() throws {
        var heartbeats = 0
        var next: UInt64 = 1
        var offset: UInt64 = 0
        for datagram in try datagrams("iex/TOPS16.pcap.gz") {
            let segment = try IEXTPSegment(decoding: datagram.payload)
            #expect(segment.header.session == 1_137_508_352 && segment.header.channel == 1)
            #expect(segment.header.messageProtocol == 0x8003)
            #expect(segment.header.firstSequence == next && segment.header.streamOffset == offset)
            #expect(segment.trailingBytes == 0)
            if segment.header.sequenced.kind == .heartbeat { heartbeats += 1 }
            let messages = Array(segment.messages)
            #expect(messages.count == Int(segment.header.count))
            next += UInt64(messages.count)
            offset += messages.reduce(0) { $0 + 2 + UInt64($1.message.count) }
        }
        #expect(heartbeats == 237)
        #expect(next == 57_675 && offset == 2_013_448)
    }
}
