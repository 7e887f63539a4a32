// The instruments of IEX's TOPS, DEEP and DEEP+: every message but the system event has its symbol in eight bytes at
// offset 10, right-padded, and its time at offset 2. Source: the specifications of TOPS 1.6, DEEP 1.0 and DEEP+ 1.0.
import Basics

public struct IEXKeys: InstrumentKeys {
    private static let timeOffset = 2
    private static let symbolOffset = 10
    /// Of a system event, and of the shortest message that names a symbol.
    private static let shortest = (event: 10, symbol: 18)

    public private(set) var directory = InstrumentDirectory()

    public init() {}

    public static var needsDirectory: Bool { false }

    /// Symbols hold for good.
    public mutating func restart() {}

    public mutating func route(
        _ unit: ArraySlice<UInt8>, into route: inout MessageRoute
    ) throws(MalformedInput) {
        let type = unit.first ?? 0
        let namesSymbol = IEXKeys.namesSymbol(type)
        let wanted = namesSymbol ? IEXKeys.shortest.symbol : IEXKeys.shortest.event
        guard unit.count >= wanted else {
            throw MalformedInput(.truncated, offset: 0, wanted: wanted, found: unit.count)
        }
        let sentAt = littleEndian(UInt64.self, at: IEXKeys.timeOffset, of: unit)
        route.time = .at(WallTime(nanoseconds: Int64(truncatingIfNeeded: sentAt)))
        guard namesSymbol else {
            if type == UInt8(ascii: "S"), unit[unit.startIndex + 1] == UInt8(ascii: "C") {
                route.meaning = .endOfSession
            }
            return
        }
        let symbol = PackedSymbol(packed: bigEndian(at: IEXKeys.symbolOffset, count: 8, of: unit))
        guard !symbol.isBlank else { return }
        // TOPS: the best quote, whole. (DEEP and DEEP+ have no such message.)
        if type == UInt8(ascii: "Q") { route.meaning = .lastValue }
        guard let index = directory.index(of: .symbol(symbol)) else { return route.isUnresolved = true }
        route.instrument = index
    }

    /// Security directory, trading status, operational halt, short sale test, retail liquidity, security event,
    /// quote, price levels, trade, trade break, official price, auction; of DEEP+, the orders.
    private static func namesSymbol(_ type: UInt8) -> Bool {
        switch type {
        case UInt8(ascii: "D"), UInt8(ascii: "H"), UInt8(ascii: "O"), UInt8(ascii: "P"), UInt8(ascii: "I"),
            UInt8(ascii: "E"), UInt8(ascii: "Q"), UInt8(ascii: "8"), UInt8(ascii: "5"), UInt8(ascii: "T"),
            UInt8(ascii: "B"), UInt8(ascii: "X"), UInt8(ascii: "A"), UInt8(ascii: "a"), UInt8(ascii: "M"),
            UInt8(ascii: "R"), UInt8(ascii: "L"):
            true
        default: false
        }
    }
}
