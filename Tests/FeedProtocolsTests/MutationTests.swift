// Sound inputs with bits flipped, bytes put in and ends cut off: each decoder answers or refuses, and never
// traps, over-reads or loops.
import Basics
import Testing
import Wire

@testable import FeedProtocols

@Suite struct MutationTests {
    private func itchMessages() -> [[UInt8]] {
        let feed = SyntheticITCH(symbols: 3, seed: 1, rate: 10, start: WallTime(nanoseconds: 0))
        return (1...40 as ClosedRange<UInt64>).map { number in
            var writer = ByteWriter()
            feed.write(number, into: &writer)
            return writer.bytes
        }
    }

    @Test func `100,000 broken MoldUDP64 packets are read or refused`() {
        var builder = MoldUDP64PacketBuilder(session: MoldSession("FUZZ"))
        builder.begin(at: 1)
        for message in itchMessages() { _ = builder.append(message) }
        var random = SeededNumbers(1)
        var read = 0
        for _ in 0..<100_000 {
            let bytes = mutated(builder.bytes, &random)
            guard let packet = try? MoldUDP64Packet(decoding: bytes[...]) else { continue }
            read += 1
            var count = 0
            for (_, message) in packet.messages {
                count += 1
                guard let message = try? ITCH50Message(message) else { continue }
                _ = (message.locate, message.directorySymbol, message.systemEvent, message.orderReference)
            }
            if case .data(let claimed) = packet.kind { #expect(count == claimed) }
        }
        #expect(read > 0 && read < 100_000)
    }

    @Test func `100,000 broken sequenced frames are read or refused`() {
        var writer = ByteWriter()
        SequencedFrameEncoder(session: 7).write(
            .data, topic: Array("HF0001/".utf8), sequence: 9, sourceTime: WallTime(nanoseconds: 1),
            payload: [1, 2, 3], into: &writer)
        var random = SeededNumbers(2)
        var read = 0
        for _ in 0..<100_000 {
            let bytes = mutated(writer.bytes, &random)
            if (try? SequencedFrame(decoding: bytes.span)) != nil { read += 1 }
        }
        #expect(read > 0 && read < 100_000)
    }

    @Test func `100,000 broken frames of other gateways are read or refused`() throws {
        let header = FrameHeader(
            kind: .data, feed: 1, channel: 2, epoch: 3, sequence: 4, previous: 3, path: 0, state: .live,
            run: 9,
            sourceTime: WallTime(nanoseconds: 5), receiveTime: WallTime(nanoseconds: 6))
        var frame: [UInt8] = []
        header.encode(topic: Array("md/itch/AAPL/".utf8)[...], body: [1, 2, 3], into: &frame)
        var random = SeededNumbers(7)
        var keys = HoldfastKeys()
        var route = MessageRoute()
        var read = 0
        for _ in 0..<100_000 {
            let bytes = mutated(frame, &random)
            guard var packet = try? HoldfastFraming.read(bytes[...]) else { continue }
            read += 1
            while let unit = packet.units.next() {
                route.begin(unit)
                try? keys.route(unit, into: &route)
            }
        }
        #expect(read > 0 && read < 100_000)
    }

    @Test func `100,000 broken recordings are read or refused`() {
        let frame = hex(
            """
            01005E010101 020000000001 8100 0001 0800 4500001E 00000000 0111 0000 0A000001 EF010101
            03E8 07D0 000A 0000 AABB
            """)
        let classic =
            hex("D4C3B2A1 0200 0400 00000000 00000000 00000400 01000000 01000000 02000000 30000000 30000000")
            + frame
        let pcapng =
            hex("0A0D0D0A 1C000000 4D3C2B1A 0100 0000 FFFFFFFFFFFFFFFF 1C000000")
            + hex("01000000 24000000 0100 0000 00000000 0900 0100 83000000 0E00 0800 0A00")
            + hex("000000000000 2C000000")
            + hex("06000000 50000000 00000000 00000000 E8030000 30000000 30000000") + frame + hex("50000000")
            + hex("03000000 40000000 30000000") + frame + hex("40000000")
        var random = SeededNumbers(3)
        for round in 0..<100_000 {
            let (found, _) = frames(of: mutated(round % 2 == 0 ? classic : pcapng, &random), piece: 64)
            for frame in found { _ = try? UDPDatagram(frame) }
        }
    }

    @Test func `100,000 broken BinaryFILEs are read to an end`() {
        let bytes = itchMessages().reduce(into: [UInt8]()) { $0 += [0, UInt8($1.count)] + $1 }
        var random = SeededNumbers(4)
        for _ in 0..<100_000 {
            var reader = BinaryFILEReader()
            reader.feed(mutated(bytes, &random))
            while let message = reader.next() { _ = try? ITCH50Message(message) }
            try? reader.finish()
        }
    }

    @Test func `100,000 broken SoupBinTCP streams are read or refused`() {
        let position = SoupPosition(session: MoldSession("FUZZ"), next: 1)
        let sound =
            SoupPacket.accepted(position).bytes + SoupPacket.serverHeartbeat.bytes
            + itchMessages().prefix(5).flatMap { SoupPacket.sequenced($0[...]).bytes }
            + SoupPacket.login(SoupLogin(user: "me", password: "secret", position: position)).bytes
            + SoupPacket.endOfSession.bytes
        var random = SeededNumbers(5)
        for round in 0..<100_000 {
            let bytes = mutated(sound, &random)
            var decoder = SoupDecoder()
            decoder.feed(bytes.prefix(round % 64))
            while let packet = try? decoder.next() { _ = packet.bytes }
            decoder.feed(bytes.dropFirst(round % 64))
            while let packet = try? decoder.next() { #expect(packet.bytes.count <= bytes.count + 5) }
            #expect(decoder.waiting <= bytes.count)
        }
    }

    @Test func `100,000 broken streams of a gap request proxy are read or refused`() {
        let request = GapRequest(unit: 1, first: 2, count: 3)
        let sound: [GapProxyMessage] = [
            .loginAnswered(.accepted), .heartbeat, .response(GapResponse(request, .outOfRange)),
            .request(request), .login(GapProxyLogin(session: "1", user: "me", password: "secret")),
        ]
        let bytes = sound.flatMap(\.bytes)
        var random = SeededNumbers(8)
        for round in 0..<100_000 {
            let broken = mutated(bytes, &random)
            var decoder = GapProxyDecoder()
            decoder.feed(broken.prefix(round % 64))
            while let message = try? decoder.next() { _ = message.bytes }
            decoder.feed(broken.dropFirst(round % 64))
            while let message = try? decoder.next() { #expect(message.bytes.count <= 30) }
        }
    }

    @Test func `a client of broken streams counts only what was sequenced, and ends in a state that goes on`()
    {
        let sound =
            SoupPacket.accepted(SoupPosition(session: MoldSession("FUZZ"), next: 7)).bytes
            + itchMessages().prefix(5).flatMap { SoupPacket.sequenced($0[...]).bytes }
            + SoupPacket.unsequenced([1, 2, 3]).bytes + SoupPacket.endOfSession.bytes
        var random = SeededNumbers(6)
        let now = Instant(nanoseconds: 1)
        for _ in 0..<20_000 {
            var machine = SoupClientMachine(
                SoupDialect(user: "me", password: "secret"), LoginTimes(deadAfter: .seconds(1)))
            _ = machine.start()
            _ = machine.opened(at: now)
            var next: UInt64?
            for action in machine.received(mutated(sound, &random), at: now) {
                switch action {
                case .news(.begins(let position)): next = position.next
                case .news(.message(let sequence, _)):
                    #expect(sequence == next)
                    next = next.map { $0 + 1 }
                case .connect, .send, .close, .accepted, .news(.heartbeat), .news(.sessionEnded): break
                }
            }
            #expect(machine.deadline != nil)
        }
    }
}
