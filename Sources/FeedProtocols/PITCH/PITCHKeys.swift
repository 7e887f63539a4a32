// The instruments of PITCH: some messages name their symbol, the others an order that an earlier message opened. A
// message whose order is not known (opened before this gateway listened, lost, or beyond what is remembered) goes
// where messages for no instrument go, flagged. Source: US Equities/Options 2.41, Futures 1.1, Europe 6.49.
import Basics

public struct PITCHKeys: InstrumentKeys {
    /// Types by what they do; offsets count from the message's length.
    private enum Layout {
        /// A symbol of so many bytes at this offset.
        case symbol(at: Int, bytes: Int)
        /// An order is opened: its symbol, and its quantity of so many bytes at 15.
        case open(symbolAt: Int, bytes: Int, quantityBytes: Int)
        /// So much of an order is gone; the quantity's bytes at 14.
        case reduce(quantityBytes: Int)
        /// What is left of an order is said, at this offset.
        case set(at: Int, quantityBytes: Int)
        case close
        case time
        case clear
        case end
        /// Concerns no instrument, or one that it does not name.
        case other
    }

    private static let orderOffset = 6
    /// Of a message that begins with length, type and time offset.
    private static let timeOffset = 2

    public private(set) var directory = InstrumentDirectory()
    private var orders = PITCHOrders()
    /// The seconds since the venue's midnight that time offsets count from.
    private var seconds: UInt64?

    public init() {}

    /// A message says how long after the last Time message it was made.
    public static var haveTimes: Bool { false }
    public static var needsDirectory: Bool { false }

    /// Open orders that are remembered.
    public var openOrders: Int { orders.count }

    public mutating func restart() {
        orders.removeAll()
        seconds = nil
    }

    public mutating func route(
        _ unit: ArraySlice<UInt8>, into route: inout MessageRoute
    ) throws(MalformedInput) {
        guard unit.count >= 2 else {
            throw MalformedInput(.truncated, offset: 0, wanted: 2, found: unit.count)
        }
        let layout = PITCHKeys.layout(ofType: unit[unit.startIndex + 1])
        let wanted = PITCHKeys.length(of: layout)
        guard unit.count >= wanted else {
            throw MalformedInput(.truncated, offset: 0, wanted: wanted, found: unit.count)
        }
        note(timeOf: unit, layout, &route)
        switch layout {
        case .symbol(let offset, let bytes): name(unit, offset, bytes, &route)
        case .open(let offset, let bytes, let quantityBytes):
            name(unit, offset, bytes, &route)
            guard route.instrument >= 0 else { return }
            let quantity = PITCHKeys.quantity(unit, at: 15, bytes: quantityBytes)
            orders.open(PITCHKeys.order(unit), instrument: route.instrument, quantity: quantity)
        case .reduce(let bytes):
            follow(unit, &route)
            orders.reduce(PITCHKeys.order(unit), by: PITCHKeys.quantity(unit, at: 14, bytes: bytes))
        case .set(let offset, let bytes):
            follow(unit, &route)
            orders.set(PITCHKeys.order(unit), quantity: PITCHKeys.quantity(unit, at: offset, bytes: bytes))
        case .close:
            follow(unit, &route)
            orders.close(PITCHKeys.order(unit))
        case .clear: orders.removeAll()
        case .end: route.meaning = .endOfSession
        case .time, .other: break
        }
    }

    private mutating func note(
        timeOf unit: ArraySlice<UInt8>, _ layout: Layout, _ route: inout MessageRoute
    ) {
        switch layout {
        case .time:
            seconds = UInt64(littleEndian(UInt32.self, at: PITCHKeys.timeOffset, of: unit))
            route.time = .ofDay((seconds ?? 0) &* 1_000_000_000)
        // A symbol mapping has no time.
        case .symbol(PITCHKeys.timeOffset, _), .other: break
        case .symbol, .open, .reduce, .set, .close, .clear, .end:
            guard let seconds, unit.count >= PITCHKeys.timeOffset + 4 else { return }
            let offset = littleEndian(UInt32.self, at: PITCHKeys.timeOffset, of: unit)
            route.time = .ofDay(seconds &* 1_000_000_000 &+ UInt64(offset))
        }
    }

    /// Finds the instrument by its symbol.
    private mutating func name(
        _ unit: ArraySlice<UInt8>, _ offset: Int, _ bytes: Int, _ route: inout MessageRoute
    ) {
        let text = bigEndian(at: offset, count: bytes, of: unit)
        let symbol = PackedSymbol(packed: bytes == 6 ? text << 16 | 0x2020 : text)
        guard !symbol.isBlank else { return }
        guard let index = directory.index(of: .symbol(symbol)) else { return route.isUnresolved = true }
        route.instrument = index
    }

    /// Finds the instrument by the order.
    private func follow(_ unit: ArraySlice<UInt8>, _ route: inout MessageRoute) {
        guard let index = orders.instrument(of: PITCHKeys.order(unit)) else {
            return route.isUnresolved = true
        }
        route.instrument = index
    }

    private static func order(_ unit: ArraySlice<UInt8>) -> UInt64 {
        littleEndian(UInt64.self, at: orderOffset, of: unit)
    }

    private static func quantity(_ unit: ArraySlice<UInt8>, at offset: Int, bytes: Int) -> UInt32 {
        bytes == 2
            ? UInt32(littleEndian(UInt16.self, at: offset, of: unit))
            : littleEndian(UInt32.self, at: offset, of: unit)
    }

    /// The bytes that must be there of a message.
    private static func length(of layout: Layout) -> Int {
        switch layout {
        case .symbol(let offset, let bytes): offset + bytes
        case .open(let offset, let bytes, _): offset + bytes
        case .reduce(let bytes): 14 + bytes
        case .set(let offset, let bytes): offset + bytes
        case .close: 14
        case .time: 6
        case .clear, .end, .other: 2
        }
    }

    private static func layout(ofType type: UInt8) -> Layout {
        switch type {
        case 0x20: .time
        // Add order: long, short, expanded; long of Europe.
        case 0x21: .open(symbolAt: 19, bytes: 6, quantityBytes: 4)
        case 0x22: .open(symbolAt: 17, bytes: 6, quantityBytes: 2)
        case 0x2F, 0x40: .open(symbolAt: 19, bytes: 8, quantityBytes: 4)
        // Order executed; executed at a price, with what is left; reduce size, long and short.
        case 0x23, 0x25: .reduce(quantityBytes: 4)
        case 0x24: .set(at: 18, quantityBytes: 4)
        case 0x26: .reduce(quantityBytes: 2)
        // Modify order, long and short; delete.
        case 0x27: .set(at: 14, quantityBytes: 4)
        case 0x28: .set(at: 14, quantityBytes: 2)
        case 0x29: .close
        // Trade: long, short, expanded; long of Europe.
        case 0x2A: .symbol(at: 19, bytes: 6)
        case 0x2B: .symbol(at: 17, bytes: 6)
        case 0x30, 0x41: .symbol(at: 19, bytes: 8)
        // Symbol mapping.
        case 0x2E: .symbol(at: 2, bytes: 6)
        // Trading status, auction update and summary, retail price improvement.
        case 0x31, 0x95, 0x96, 0x98: .symbol(at: 6, bytes: 8)
        // Settlement, end of day summary and instrument definition of futures.
        case 0xB9, 0xBA, 0xBB: .symbol(at: 6, bytes: 6)
        case PITCHPacket.endOfSession: .end
        case PITCHPacket.unitClear: .clear
        default: .other
        }
    }
}
