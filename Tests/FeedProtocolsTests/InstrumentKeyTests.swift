// Which instruments a message concerns, protocol by protocol: made messages, the recorded feeds, and messages that lie.
import Basics
import Testing

@testable import FeedProtocols

/// A keys value with what it said of one message, in words.
private final class Router<Keys: InstrumentKeys> {
    private(set) var keys = Keys()
    private var route = MessageRoute()

    /// Where a message goes: names, `*` for no instrument, `?` in front of what nobody can name.
    func names(_ unit: [UInt8]) throws(MalformedInput) -> [String] {
        try parts(unit[...]).map(\.name)
    }

    func parts(_ unit: ArraySlice<UInt8>) throws(MalformedInput) -> [(name: String, body: [UInt8])] {
        route.begin(unit)
        try keys.route(unit, into: &route)
        let all = [MessageRoute.Part(instrument: route.instrument, body: route.body)] + route.more
        return all.map { part in
            let name = part.instrument < 0 ? "*" : keys.directory.name(of: part.instrument).text
            return (route.isUnresolved ? "?" + name : name, Array(part.body))
        }
    }

    var time: MessageRoute.Time { route.time }
    var meaning: MessageRoute.Meaning { route.meaning }
    func restart() { keys.restart() }
}

/// PITCH messages as the specification lays them out.
private enum Pitch {
    static func message(_ type: UInt8, _ fields: String) -> [UInt8] {
        let bytes = hex(fields)
        return [UInt8(bytes.count + 2), type] + bytes
    }

    static func order(_ number: UInt8) -> String {
        (number < 16 ? "0" : "") + String(number, radix: 16) + "00000000000000"
    }

    /// 100 of the symbol, at a time offset of 1 µs.
    static func add(_ number: UInt8, _ symbol: String = "5A5654202020") -> [UInt8] {
        message(0x22, "E8030000 \(order(number)) 42 6400 \(symbol) 1000 01")
    }

    static func execute(_ number: UInt8, _ quantity: String) -> [UInt8] {
        message(0x23, "E8030000 \(order(number)) \(quantity) 0100000000000000")
    }

    static func delete(_ number: UInt8) -> [UInt8] { message(0x29, "E8030000 \(order(number))") }
}

@Suite struct InstrumentKeyTests {
    // MARK: - PITCH

    @Test func `one instrument on ever more topics of another gateway takes no more memory`() throws {
        var keys = HoldfastKeys(mostTopics: 3)
        for number in 1...9 {
            for name in ["AAPL", "*"] {
                var route = MessageRoute()
                try keys.route(Array("md/up\(number)/\(name)/\u{0}x".utf8)[...], into: &route)
                #expect(route.instrument == (name == "*" ? MessageRoute.noInstrument : 0))
            }
        }
        #expect(keys.topics == 3 && keys.directory.count == 1)
    }

    @Test func `a PITCH message that names an order goes where the order's symbol does`() throws {
        let router = Router<PITCHKeys>()
        #expect(try router.names(Pitch.add(1)) == ["ZVT"])
        #expect(try router.names(Pitch.add(2, "4D4154202020")) == ["MAT"])
        #expect(try router.names(Pitch.execute(1, "32000000")) == ["ZVT"])
        #expect(try router.names(Pitch.message(0x28, "E8030000 \(Pitch.order(2)) 6400 1000 01")) == ["MAT"])
        #expect(try router.names(Pitch.delete(1)) == ["ZVT"])
        #expect(try router.names(Pitch.delete(2)) == ["MAT"])
        #expect(router.keys.openOrders == 0)
    }

    @Test func `an order that nobody saw opened is named by none, and flagged`() throws {
        let router = Router<PITCHKeys>()
        #expect(try router.names(Pitch.delete(9)) == ["?*"])
        #expect(try router.names(Pitch.add(9)) == ["ZVT"])
    }

    @Test func `an order is gone when nothing of it is left, however that came`() throws {
        let router = Router<PITCHKeys>()
        for (number, end) in [
            Pitch.execute(1, "64000000"), Pitch.message(0x25, "E8030000 \(Pitch.order(2)) 64000000"),
            Pitch.message(0x26, "E8030000 \(Pitch.order(3)) 6400"),
            Pitch.message(
                0x24, "E8030000 \(Pitch.order(4)) 64000000 00000000 0100000000000000 1000000000000000"),
            Pitch.message(0x27, "E8030000 \(Pitch.order(5)) 00000000 1000000000000000 01"),
            Pitch.message(0x28, "E8030000 \(Pitch.order(6)) 0000 1000 01"),
        ].enumerated() {
            _ = try router.names(Pitch.add(UInt8(number + 1)))
            #expect(router.keys.openOrders == 1)
            #expect(try router.names(end) == ["ZVT"])
            #expect(router.keys.openOrders == 0, "\(number)")
        }
        _ = try router.names(Pitch.add(7))
        _ = try router.names(Pitch.execute(7, "63000000"))
        #expect(router.keys.openOrders == 1)
    }

    @Test func `a Unit Clear and another numbering void the orders`() throws {
        let router = Router<PITCHKeys>()
        _ = try router.names(Pitch.add(1))
        #expect(try router.names(Pitch.message(0x97, "E8030000")) == ["*"])
        #expect(try router.names(Pitch.delete(1)) == ["?*"])
        _ = try router.names(Pitch.add(1))
        router.restart()
        #expect(try router.names(Pitch.delete(1)) == ["?*"])
    }

    @Test func `PITCH times are the last second and an offset, and the end of the session is said`() throws {
        let router = Router<PITCHKeys>()
        _ = try router.names(Pitch.add(1))
        #expect(router.time == .unknown)
        #expect(try router.names(Pitch.message(0x20, "98850000")) == ["*"])
        #expect(router.time == .ofDay(34_200_000_000_000))
        _ = try router.names(Pitch.add(2))
        #expect(router.time == .ofDay(34_200_000_001_000))
        // A symbol mapping has no time.
        _ = try router.names(Pitch.message(0x2E, "303132333435 \(String(repeating: "20", count: 30))"))
        #expect(router.time == .unknown)
        _ = try router.names(Pitch.message(0x2D, "E8030000"))
        #expect(router.meaning == .endOfSession)
    }

    @Test func `symbols of six and of eight bytes are the same`() throws {
        let router = Router<PITCHKeys>()
        #expect(
            try router.names(
                Pitch.message(
                    0x2F, "E8030000 \(Pitch.order(1)) 42 64000000 5A56542020202020 1000000000000000 01"))
                == ["ZVT"])
        #expect(try router.names(Pitch.message(0x31, "E8030000 5A56542020202020 54303030")) == ["ZVT"])
        #expect(
            try router.names(
                Pitch.message(
                    0x2A,
                    "E8030000 \(Pitch.order(1)) 42 64000000 5A5654202020 1000000000000000 0100000000000000"))
                == ["ZVT"])
        _ = try router.names(Pitch.add(2))
        #expect(router.keys.directory.count == 1)
    }

    @Test func `the table of orders holds what it can, and finds each of them among many`() {
        var orders = PITCHOrders()
        var random = SeededNumbers(11)
        var open: [UInt64: Int32] = [:]
        for step in 0..<200_000 {
            let order = random.next() % 40_000
            switch step % 3 {
            case 0, 1:
                orders.open(order, instrument: Int32(step % 7), quantity: 1)
                open[order] = Int32(step % 7)
            default:
                orders.close(order)
                open[order] = nil
            }
        }
        #expect(orders.count == open.count)
        for order in 0..<40_000 as Range<UInt64> {
            #expect(orders.instrument(of: order) == open[order])
        }
        for order in 0..<UInt64(PITCHOrders.capacity) * 2 { orders.open(order, instrument: 1, quantity: 1) }
        #expect(orders.count <= PITCHOrders.capacity && orders.refused > 0)
        orders.removeAll()
        #expect(orders.count == 0 && orders.instrument(of: 1) == nil)
    }

    // MARK: - IEX

    @Test func `an IEX message has its symbol, a system event has none`() throws {
        let router = Router<IEXKeys>()
        let quote = hex("51 00 0100000000000000 4141504C20202020") + [UInt8](repeating: 0, count: 24)
        #expect(try router.names(quote) == ["AAPL"])
        #expect(router.time == .at(WallTime(nanoseconds: 1)))
        #expect(try router.names(hex("53 4F 0200000000000000")) == ["*"])
        #expect(router.meaning == .nothing)
        #expect(try router.names(hex("53 43 0200000000000000")) == ["*"])
        #expect(router.meaning == .endOfSession)
        #expect(throws: MalformedInput.self) { try router.names(Array(quote.prefix(17))) }
        #expect(throws: MalformedInput.self) { try router.names([]) }
    }

    // MARK: - MDP 3.0

    /// A message with its size: template, root block, and the rest.
    private func sbe(_ template: UInt8, root: String, rest: String = "") -> [UInt8] {
        let (root, rest) = (hex(root), hex(rest))
        let size = UInt8(10 + root.count + rest.count)
        return [size, 0, UInt8(root.count), 0, template, 0, 1, 0, 9, 0] + root + rest
    }

    /// An entry of a volume message (37), sixteen bytes.
    private func volume(_ ids: String...) -> [UInt8] {
        let entries = ids.map { "01000000 \($0) 02000000 00000000" }.joined()
        return sbe(37, root: "0000000000000000 84 0000", rest: "1000 0\(ids.count) \(entries)")
    }

    @Test func `a packet whose messages all concern one security goes to it whole`() throws {
        let router = Router<MDP3Keys>()
        let packet = volume("7E360000") + volume("7E360000", "7E360000")
        let parts = try router.parts(packet[...])
        #expect(parts.map(\.name) == ["13950"] && parts[0].body == packet)
    }

    @Test func `each security gets the messages that concern it, once and in order`() throws {
        let router = Router<MDP3Keys>()
        let (one, both, two) = (
            volume("01000000"), volume("02000000", "01000000", "02000000"), volume("02000000")
        )
        let heartbeat = sbe(12, root: "")
        let parts = try router.parts((one + both + heartbeat + two)[...])
        #expect(parts.map(\.name) == ["*", "1", "2"])
        #expect(parts.map(\.body) == [heartbeat, one + both, both + two])
    }

    @Test func `what names no security goes to no instrument`() throws {
        let router = Router<MDP3Keys>()
        #expect(try router.names([]) == ["*"])
        #expect(try router.names(sbe(4, root: "0000000000000000 84", rest: "0200 01 0A00")) == ["*"])
        #expect(try router.names(sbe(200, root: "01")) == ["*"])
        // A security status of a whole group.
        let status = "0000000000000000 202020202020 202020202020 FFFFFF7F 0000 00 00 00 84"
        #expect(try router.names(sbe(30, root: status)) == ["*"])
    }

    @Test func `a group that claims more than its message is refused`() {
        let router = Router<MDP3Keys>()
        var lying = volume("01000000")
        lying[23] = 2
        #expect(throws: MalformedInput.self) { try router.names(lying) }
        lying = volume("01000000")
        lying[21] = 7
        #expect(throws: MalformedInput.self) { try router.names(lying) }
        lying = volume("01000000")
        lying[2] = 250
        #expect(throws: MalformedInput.self) { try router.names(lying) }
        #expect(throws: MalformedInput.self) { try router.names(sbe(30, root: "00")) }
        #expect(throws: MalformedInput.self) { try router.names([1, 2, 3]) }
    }

    // MARK: - All

    @Test func `a directory that is full names no more and says so`() {
        var directory = InstrumentDirectory(capacity: 2)
        #expect(directory.index(of: .id(1)) == 0 && directory.index(of: .id(2)) == 1)
        #expect(directory.index(of: .id(3)) == nil && directory.index(of: .id(1)) == 0)
        #expect(directory.refused == 1 && directory.count == 2)
    }

    /// Framing and keys together, as the engine runs them.
    private func run<Framing: PacketFraming, Keys: InstrumentKeys>(
        _: Framing.Type, _ router: Router<Keys>, _ packet: [UInt8]
    ) -> Bool {
        guard let framed = try? Framing.read(packet[...]) else { return false }
        var units = framed.units
        var count: UInt32 = 0
        while let unit = units.next() {
            count += 1
            guard let parts = try? router.parts(unit) else { continue }
            #expect(parts.allSatisfy { $0.body.count <= unit.count })
        }
        if case .data(let claimed) = framed.header.kind { #expect(count == claimed) }
        return true
    }

    @Test(arguments: PacketProtocol.allCases)
    func `100,000 broken packets are routed or refused`(name: PacketProtocol) {
        let (mold, pitch, iex, mdp3) = (
            Router<ITCH50Keys>(), Router<PITCHKeys>(), Router<IEXKeys>(), Router<MDP3Keys>()
        )
        let orders = [Pitch.add(1), Pitch.add(2), Pitch.execute(1, "32000000"), Pitch.delete(2)]
        let sound: [UInt8] =
            switch name {
            case .moldUDP64:
                hex("30303030303030303031 0000000000000001 0001 000C 53 0000 0000 000000000001 4F")
            case .pitch: [UInt8(8 + orders.joined().count), 0, 4, 1, 1, 0, 0, 0] + orders.joined()
            case .iexTP:
                hex(
                    "01 00 0480 01000000 0000CA43 2000 0200 0A00000000000000 0500000000000000 0000000000000001"
                )
                    + hex("1200 48 54 0100000000000000 4141504C20202020 0A00 53 4F 0200000000000000")
            case .mdp3: hex("0A000000 0000000000000001") + volume("01000000") + volume("02000000", "01000000")
            }
        var random = SeededNumbers(6)
        var read = 0
        for _ in 0..<100_000 {
            let packet = mutated(sound, &random)
            let isRead =
                switch name {
                case .moldUDP64: run(MoldFraming.self, mold, packet)
                case .pitch: run(PITCHFraming.self, pitch, packet)
                case .iexTP: run(IEXTPFraming.self, iex, packet)
                case .mdp3: run(MDP3Framing.self, mdp3, packet)
                }
            if isRead { read += 1 }
        }
        #expect(read > 0 && read < 100_000)
    }
}

@Suite(.enabled(if: Recordings.arePresent)) struct RecordedKeyTests {
    private func datagrams(_ path: String) throws -> [UDPDatagram] {
        let (found, error) = frames(of: try Recordings.unpacked(path))
        #expect(error == nil)
        return found.compactMap { (try? UDPDatagram($0)) ?? nil }
    }

    /// How many messages of the files went where.
    private func counts<Framing: PacketFraming, Keys: InstrumentKeys>(
        _: Framing.Type, _: Keys.Type, _ paths: [String]
    ) throws -> [String: Int] {
        let router = Router<Keys>()
        var counts: [String: Int] = [:]
        for path in paths {
            for datagram in try datagrams(path) {
                var units = try Framing.read(datagram.payload).units
                while let unit = units.next() {
                    for part in try router.parts(unit) { counts[part.name, default: 0] += 1 }
                }
            }
        }
        return counts
    }

    @Test func `the recorded PITCH feed is about A, and every order in it is known`() throws {
        let counts = try counts(
            PITCHFraming.self, PITCHKeys.self, ["pitch/mcastpitch_realtime_useq.pcap"])
        // 19 time messages.
        #expect(counts["*"] == 19)
        #expect(counts["A"] == 21 && counts.count == 2, "\(counts)")
    }

    @Test func `every recorded PITCH message is routed`() throws {
        let paths = try Recordings.all(under: "omi/Cboe", ending: ".pcap").filter { $0.contains(".Pitch.") }
        let counts = try counts(PITCHFraming.self, PITCHKeys.self, paths)
        #expect(counts["MAT"] != nil && counts["0002Tt"] != nil && counts["0003Gc"] != nil, "\(counts)")
    }

    @Test func `57,668 of the recorded TOPS messages name a symbol, and six are system events`() throws {
        let counts = try counts(IEXTPFraming.self, IEXKeys.self, ["iex/TOPS16.pcap.gz"])
        #expect(counts["*"] == 6)
        #expect(counts.values.reduce(0, +) == 57_674)
        #expect(counts["ZEXIT"] ?? 0 > 0 && counts["AAPL"] ?? 0 > 0)
        #expect(counts.keys.allSatisfy { !$0.hasPrefix("?") })
    }

    @Test func `every recorded DEEP and DEEP+ message is routed`() throws {
        let paths = try Recordings.all(under: "omi/Iex", ending: ".pcap")
        let counts = try counts(IEXTPFraming.self, IEXKeys.self, paths)
        #expect(counts["IBKR"] ?? 0 > 0 && counts["UNH"] ?? 0 > 0, "\(counts)")
    }

    @Test func `every recorded MDP 3_0 packet reaches its securities`() throws {
        let paths = try Recordings.all(under: "omi/Cme", ending: ".pcap").filter {
            $0.contains("/Mdp3.") && !$0.contains(".Tcp.")
        }
        let counts = try counts(MDP3Framing.self, MDP3Keys.self, paths)
        // Security ids in the recordings: 13950 (0x367E), 170506, 121930.
        for id in ["13950", "170506", "121933"] { #expect(counts[id] != nil, "\(counts)") }
        #expect(counts.keys.allSatisfy { !$0.hasPrefix("?") })
    }
}
