// The generated day in each venue's words: packed as `holdfast play` sends it, read and routed as the gateway does.
import Basics
import Testing
import Wire

@testable import FeedProtocols

@Suite struct DialectTests {
    private let feed = SyntheticITCH(
        symbols: 40, seed: 3, rate: 1000, start: WallTime(nanoseconds: 1_767_355_200_000_000_000))

    /// Packs messages 1 to 4000, reads them, and checks that each goes where it must under its number.
    private func roundTrip<Framing: PacketFraming, Keys: InstrumentKeys>(
        _: Framing.Type, _: Keys.Type, _ dialect: SyntheticDialect, _ builder: some PacketBuilder,
        name: (UInt16) -> String
    ) throws -> [SequencedHeader] {
        var (builder, keys, route) = (builder, Keys(), MessageRoute())
        var wanted: [String] = []
        var packets: [[UInt8]] = []
        for number in 1...4000 as ClosedRange<UInt64> {
            var writer = ByteWriter()
            let locate = feed.write(number, as: dialect, into: &writer)
            wanted.append(locate == 0 ? "*" : name(locate))
            if builder.isEmpty { builder.begin(at: number, time: feed.time(of: number)) }
            if !builder.append(writer.bytes) {
                packets.append(builder.bytes)
                builder.begin(at: number, time: feed.time(of: number))
                let hasRoom = builder.append(writer.bytes)
                #expect(hasRoom)
            }
        }
        packets.append(builder.bytes)
        var headers: [SequencedHeader] = []
        var sequence: UInt64 = 1
        for packet in packets {
            #expect(packet.count <= 1400)
            let framed = try Framing.read(packet[...])
            #expect(framed.header.firstSequence == sequence && framed.trailingBytes == 0)
            headers.append(framed.header)
            var units = framed.units
            while let unit = units.next() {
                route.begin(unit)
                try keys.route(unit, into: &route)
                let name = route.instrument < 0 ? "*" : keys.directory.name(of: route.instrument).text
                #expect(name == wanted[Int(sequence - 1)] && !route.isUnresolved, "\(dialect) \(sequence)")
                sequence += 1
            }
        }
        #expect(sequence == 4001)
        if let heartbeat = builder.heartbeat(next: 4001, time: feed.time(of: 4001)) {
            let header = try Framing.read(heartbeat[...]).header
            #expect(header.kind == .heartbeat && header.firstSequence == 4001)
        }
        return headers
    }

    private func symbol(_ locate: UInt16) -> String { SyntheticITCH.symbol(ofLocate: locate).description }

    @Test func `PITCH units hold the day's orders`() throws {
        let headers = try roundTrip(
            PITCHFraming.self, PITCHKeys.self, .pitch, PITCHPacketBuilder(unit: 7), name: symbol)
        #expect(headers.allSatisfy { $0.channel == 7 })
    }

    @Test func `IEX-TP segments hold the day's price levels`() throws {
        let headers = try roundTrip(
            IEXTPFraming.self, IEXKeys.self, .deep, IEXTPPacketBuilder(session: 99), name: symbol)
        #expect(headers.allSatisfy { $0.session == 99 && $0.channel == 1 })
    }

    @Test func `an MDP 3_0 packet holds one book update`() throws {
        _ = try roundTrip(MDP3Framing.self, MDP3Keys.self, .mdp3, MDP3PacketBuilder()) { "\($0)" }
    }

    @Test func `MoldUDP64 packets hold the day's ITCH messages`() throws {
        _ = try roundTrip(
            MoldFraming.self, ITCH50Keys.self, .itch, MoldUDP64PacketBuilder(session: MoldSession("S")),
            name: symbol)
    }

    @Test func `after the last PITCH number comes 1`() throws {
        var builder = PITCHPacketBuilder()
        builder.begin(at: UInt64(UInt32.max) + 1, time: WallTime(nanoseconds: 0))
        #expect(try PITCHFraming.read(builder.bytes[...]).header.firstSequence == 1)
        builder.begin(at: UInt64(UInt32.max), time: WallTime(nanoseconds: 0))
        #expect(try PITCHFraming.read(builder.bytes[...]).header.firstSequence == UInt64(UInt32.max))
    }
}
