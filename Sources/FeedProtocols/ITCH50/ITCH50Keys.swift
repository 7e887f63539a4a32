// The instruments of ITCH 5.0: a message names its stock by a locate, which a directory message (`R`) binds to a
// symbol for the session.
import Basics

public struct ITCH50Keys: InstrumentKeys {
    private static let unbound: Int32 = -1

    public private(set) var directory = InstrumentDirectory()
    /// The instrument of each locate.
    private var locates = Array(repeating: ITCH50Keys.unbound, count: 1 << 16)
    /// What the first message of a locate without a name called its stock, if it did.
    private var called: [UInt16: PackedSymbol] = [:]

    public init() {}

    public static var needsDirectory: Bool { true }

    public mutating func restart() {
        for slot in locates.indices { locates[slot] = ITCH50Keys.unbound }
        called.removeAll()
    }

    public mutating func route(
        _ unit: ArraySlice<UInt8>, into route: inout MessageRoute
    ) throws(MalformedInput) {
        let message = try ITCH50Message(unit)
        route.time = .ofDay(message.timestamp)
        let locate = Int(message.locate)
        if let symbol = message.directorySymbol { return bind(locate, to: symbol, &route) }
        guard locate != 0 else { return }
        if locates[locate] == ITCH50Keys.unbound {
            let index = directory.index(of: .unresolved(UInt32(locate)))
            locates[locate] = index ?? ITCH50Keys.unbound
            if let symbol = message.symbol, !symbol.isBlank { called[message.locate] = symbol }
        }
        route.instrument = locates[locate]
        // Without room for one more name nobody knows whose it is.
        route.isUnresolved = route.instrument == ITCH50Keys.unbound
    }

    public static func time(of unit: ArraySlice<UInt8>) -> MessageRoute.Time {
        (try? ITCH50Message(unit)).map { .ofDay($0.timestamp) } ?? .unknown
    }

    public func contradiction(of entry: ArraySlice<UInt8>) -> String? {
        guard let message = try? ITCH50Message(entry), let symbol = message.directorySymbol,
            let heard = heard(of: message.locate), heard != symbol.description
        else { return nil }
        return "locate \(message.locate) is \(symbol) in it, and \(heard) on the feed"
    }

    public func doubt(by unit: ArraySlice<UInt8>) -> String? {
        guard let message = try? ITCH50Message(unit), let symbol = message.symbol, !symbol.isBlank,
            let name = name(of: message.locate), name != symbol.description
        else { return nil }
        return "locate \(message.locate) is \(name) in it, and \(symbol) on the feed"
    }

    /// What the venue has called a stock in this session.
    private func heard(of locate: UInt16) -> String? { name(of: locate) ?? called[locate]?.description }

    /// What the directory does.
    private func name(of locate: UInt16) -> String? {
        let instrument = locates[Int(locate)]
        guard instrument != ITCH50Keys.unbound else { return nil }
        let name = directory.name(of: instrument)
        return name.isResolved ? name.text : nil
    }

    private mutating func bind(_ locate: Int, to symbol: PackedSymbol, _ route: inout MessageRoute) {
        guard !symbol.isBlank, let index = directory.index(of: .symbol(symbol)) else { return }
        locates[locate] = index
        called.removeValue(forKey: UInt16(truncatingIfNeeded: locate))
        route.instrument = index
        route.meaning = .directory
    }
}
