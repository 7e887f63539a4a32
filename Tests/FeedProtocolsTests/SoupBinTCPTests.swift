// SoupBinTCP packets, as the specification and Nasdaq's own Python library write them, and streams cut anywhere.
import Basics
import FeedProtocols
import Testing

private func read(_ stream: [UInt8], piece: Int = 1) throws(MalformedInput) -> [SoupPacket] {
    var decoder = SoupDecoder()
    var packets: [SoupPacket] = []
    for start in stride(from: 0, to: stream.count, by: piece) {
        decoder.feed(stream[start..<min(stream.count, start + piece)])
        while let packet = try decoder.next() { packets.append(packet) }
    }
    return packets
}

private func text(_ text: String) -> [UInt8] { Array(text.utf8) }

@Suite struct SoupBinTCPTests {
    /// Of the specification, padded on the left, and of Nasdaq's library, padded on the right.
    @Test(arguments: ["      test                   2", "test      2                   "])
    func `where a login was accepted is read with padding on either side`(fields: String) throws {
        let packets = try read([0, 31] + text("A" + fields))
        #expect(packets == [.accepted(SoupPosition(session: MoldSession("test"), next: 2))])
    }

    @Test func `a login is written as the specification has it`() {
        let login = SoupLogin(
            user: "me", password: "secret", position: SoupPosition(session: MoldSession("S1"), next: 42))
        #expect(
            SoupPacket.login(login).bytes == [0, 47]
                + text("Lme    secret            S1                  42"))
        let blank = SoupLogin(user: "", password: "", position: SoupPosition(next: 0))
        #expect(
            SoupPacket.login(blank).bytes == [0, 47] + text("L" + String(repeating: " ", count: 45) + "0"))
    }

    @Test func `every packet is read as it was written, in pieces of any size`() throws {
        let position = SoupPosition(session: MoldSession("DAY1"), next: 18_446_744_073_709_551_614)
        let packets: [SoupPacket] = [
            .login(SoupLogin(user: "user", password: "password", position: position)), .accepted(position),
            .rejected(.notAuthorised), .rejected(.sessionNotAvailable), .rejected(.other(7)),
            .sequenced(text("abc")[...]), .sequenced([]), .unsequenced(text("U")[...]),
            .debug(text("hello")[...]), .serverHeartbeat, .clientHeartbeat, .endOfSession, .logout,
            .sequenced(Array(repeating: 7, count: SoupPacket.longestPayload)[...]),
        ]
        let stream = packets.flatMap(\.bytes)
        for piece in [1, 3, 64, 70_000] { #expect(try read(stream, piece: piece) == packets) }
    }

    @Test func `the login of version 4.1 ends in a heartbeat time`() throws {
        let bytes = [0, 52] + text("Lme    secret            S1                  42   15")
        guard case .login(let login)? = try read(bytes).first else {
            Issue.record("no login")
            return
        }
        #expect(login.user == "me" && login.password == "secret" && login.position.next == 42)
    }

    @Test(arguments: [
        ([0, 0], MalformedInput.Reason.undersized, 0),
        ([0, 1, 0x3F], .unknownKind, 2),
        ([0, 2, 0x48, 0], .oversized, 2),
        ([0, 1, 0x4A], .undersized, 2),
        ([0, 2, 0x41, 0x20], .undersized, 2),
        ([0, 31] + Array("A".utf8) + Array(repeating: 0x20, count: 30), .inconsistent, 13),
        ([0, 31] + Array("AS1        99999999999999999999".utf8), .inconsistent, 13),
        ([0, 31] + Array("AS1                          -1".utf8), .inconsistent, 13),
    ])
    func `what makes no sense is refused with its place`(
        bytes: [UInt8], reason: MalformedInput.Reason, offset: Int
    ) {
        do throws(MalformedInput) {
            _ = try read(SoupPacket.serverHeartbeat.bytes + bytes)
            Issue.record("\(bytes) was read")
        } catch {
            #expect(error.reason == reason && error.offset == 3 + offset, "\(error)")
        }
    }

    @Test func `after nonsense nothing more is read, whatever comes`() {
        var decoder = SoupDecoder()
        decoder.feed([0, 0] + SoupPacket.serverHeartbeat.bytes)
        #expect(throws: MalformedInput.self) { try decoder.next() }
        decoder.feed(SoupPacket.serverHeartbeat.bytes)
        #expect(throws: MalformedInput.self) { try decoder.next() }
    }

    @Test func `no more is held than one packet that is not complete`() throws {
        var decoder = SoupDecoder()
        let packet = SoupPacket.sequenced(Array(repeating: 1, count: 65_534)[...]).bytes
        for _ in 0..<50 {
            decoder.feed(packet.dropLast())
            while try decoder.next() != nil {}
            #expect(decoder.waiting == 65_536)
            decoder.feed(packet.suffix(1))
            #expect(try decoder.next() != nil)
            #expect(decoder.waiting == 0)
        }
    }

    /// An order entry session of Nasdaq's, a packet a file.
    @Test(.enabled(if: Recordings.arePresent))
    func `the recorded session's heartbeats, messages and orders are read and written as they were sent`()
        throws
    {
        let server: UInt16 = 8003
        let recorded: [(String, Character, Int, isServers: Bool)] = [
            ("ServerHeartbeatPacket", "H", 0, true), ("ClientHeartbeatPacket", "R", 0, false),
            ("OrderAcceptedMessage", "S", 73, true), ("CanceledMessage", "S", 18, true),
            ("EnterOrderMessage", "U", 53, false), ("CancelOrderMessage", "U", 9, false),
        ]
        for (name, type, length, isServers) in recorded {
            let (found, error) = frames(
                of: try Recordings.bytes("omi/Nasdaq/Nasdaq.Nsm.Ouch.v5.0/\(name).pcap"))
            #expect(error == nil && found.count == 1)
            let segment = TCPSegment(try #require(found.first))
            #expect((segment.port == server) == isServers, "\(name)")
            let packets = try read(Array(segment.payload))
            let packet = try #require(packets.count == 1 ? packets.first : nil, "\(name)")
            #expect(packet.bytes == Array(segment.payload))
            switch packet {
            case .serverHeartbeat: #expect(type == "H")
            case .clientHeartbeat: #expect(type == "R")
            case .sequenced(let payload): #expect(type == "S" && payload.count == length, "\(name)")
            case .unsequenced(let payload): #expect(type == "U" && payload.count == length, "\(name)")
            case .accepted, .rejected, .debug, .endOfSession, .login, .logout:
                Issue.record("\(name) is \(packet)")
            }
        }
    }
}
