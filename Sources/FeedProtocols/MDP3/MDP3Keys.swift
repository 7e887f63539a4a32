// The instruments of MDP 3.0: a security id in the root of an SBE message or in each entry of its first repeating
// group. What a packet carries is split by instrument, so that each gets the messages that concern it, and gets them
// once. Source: CME's schema `mktdata`, versions 5 to 13.
import Basics

public struct MDP3Keys: InstrumentKeys {
    /// Where a template has its security ids.
    private enum Place {
        /// At this offset of the root block.
        case root(Int)
        /// At this offset of each entry of the first group.
        case entries(Int)
        case nowhere
    }

    /// A message of the packet, and an instrument that it concerns.
    private struct Touch {
        var instrument: Int32
        /// The message with its size, within the unit.
        var range: Range<Int>
    }

    /// Of a message's size and SBE header, behind which its root block begins.
    private static let root = MDP3Header.messageHeader
    /// Of a group's block length and count.
    private static let groupHeader = 3
    /// No security.
    private static let null = Int32.max

    public private(set) var directory = InstrumentDirectory()
    private var touches: [Touch] = []

    public init() {}

    public static var needsDirectory: Bool { false }

    /// Security ids hold beyond a reset.
    public mutating func restart() {}

    public mutating func route(
        _ unit: ArraySlice<UInt8>, into route: inout MessageRoute
    ) throws(MalformedInput) {
        touches.removeAll(keepingCapacity: true)
        var rest = unit
        while !rest.isEmpty {
            let offset = rest.startIndex - unit.startIndex
            guard rest.count >= MDP3Keys.root else {
                throw MalformedInput(.truncated, offset: offset, wanted: MDP3Keys.root, found: rest.count)
            }
            let size = MDP3Packet.number(at: 0, of: rest)
            guard size >= MDP3Keys.root, size <= rest.count else {
                throw MalformedInput(.inconsistent, offset: offset, wanted: rest.count, found: size)
            }
            try find(in: rest.prefix(size), at: offset, &route)
            rest = rest.dropFirst(size)
        }
        deal(unit, into: &route)
    }

    /// Notes the instruments of one message, each once.
    private mutating func find(
        in message: ArraySlice<UInt8>, at offset: Int, _ route: inout MessageRoute
    ) throws(MalformedInput) {
        let range = message.startIndex..<message.endIndex
        let before = touches.count
        let block = MDP3Packet.number(at: 2, of: message)
        switch MDP3Keys.place(inTemplate: MDP3Packet.number(at: 4, of: message)) {
        case .nowhere: break
        case .root(let field):
            try MDP3Keys.check(message, reaches: MDP3Keys.root + field + 4, at: offset)
            note(message, MDP3Keys.root + field, range, since: before, &route)
        case .entries(let field):
            let group = MDP3Keys.root + block
            try MDP3Keys.check(message, reaches: group + MDP3Keys.groupHeader, at: offset)
            let length = MDP3Packet.number(at: group, of: message)
            let count = Int(message[message.startIndex + group + 2])
            guard count == 0 || length >= field + 4 else {
                throw MalformedInput(.undersized, offset: offset + group, wanted: field + 4, found: length)
            }
            let entries = group + MDP3Keys.groupHeader
            try MDP3Keys.check(message, reaches: entries + count * length, at: offset)
            for entry in 0..<count {
                note(message, entries + entry * length + field, range, since: before, &route)
            }
        }
        if touches.count == before {
            touches.append(Touch(instrument: MessageRoute.noInstrument, range: range))
        }
    }

    private static func check(
        _ message: ArraySlice<UInt8>, reaches length: Int, at offset: Int
    ) throws(MalformedInput) {
        guard message.count >= length else {
            throw MalformedInput(.truncated, offset: offset, wanted: length, found: message.count)
        }
    }

    /// Notes the security at a place of the message, unless it has been since `first`.
    private mutating func note(
        _ message: ArraySlice<UInt8>, _ offset: Int, _ range: Range<Int>, since first: Int,
        _ route: inout MessageRoute
    ) {
        let id = littleEndian(Int32.self, at: offset, of: message)
        guard id != MDP3Keys.null else { return }
        let instrument = directory.index(of: .id(Int64(id))) ?? MessageRoute.noInstrument
        if instrument == MessageRoute.noInstrument { route.isUnresolved = true }
        guard !touches[first...].contains(where: { $0.instrument == instrument }) else { return }
        touches.append(Touch(instrument: instrument, range: range))
    }

    /// Gives each instrument its messages.
    private mutating func deal(_ unit: ArraySlice<UInt8>, into route: inout MessageRoute) {
        guard let first = touches.first else { return }
        guard touches.contains(where: { $0.instrument != first.instrument }) else {
            route.instrument = first.instrument
            return
        }
        touches.sort { ($0.instrument, $0.range.lowerBound) < ($1.instrument, $1.range.lowerBound) }
        var rest = touches[...]
        var isFirst = true
        while let next = rest.first {
            let own = rest.prefix { $0.instrument == next.instrument }
            rest = rest.dropFirst(own.count)
            let body = MDP3Keys.body(own, of: unit)
            if isFirst {
                (route.instrument, route.body) = (next.instrument, body)
            } else {
                route.more.append(MessageRoute.Part(instrument: next.instrument, body: body))
            }
            isFirst = false
        }
    }

    private static func body(_ touches: ArraySlice<Touch>, of unit: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        if touches.count == 1, let only = touches.first { return unit[only.range] }
        var body: [UInt8] = []
        for touch in touches { body.append(contentsOf: unit[touch.range]) }
        return body[...]
    }

    private static func place(inTemplate template: Int) -> Place {
        switch template {
        // Book, daily statistics and trade summary; 32, 33 and 42 are their elder versions.
        case 46, 49, 48, 32, 33, 42: .entries(12)
        // Limits banding.
        case 50, 34: .entries(24)
        // Session statistics.
        case 51, 35: .entries(8)
        // Volume.
        case 37: .entries(4)
        // Order book.
        case 47, 43: .entries(28)
        // Quote request.
        case 39: .entries(20)
        // Book, trade summary and session statistics with long quantities; volume.
        case 64, 65, 67: .entries(16)
        case 66: .entries(8)
        // Security status, and that of a workup.
        case 30: .root(20)
        case 60: .root(16)
        // Snapshots; over TCP, and of the top orders.
        case 38, 44, 52, 53, 69: .root(8)
        case 61, 68, 59: .root(9)
        // Instrument definitions of futures, options and spreads.
        case 27, 29, 41, 54, 55, 56: .root(55)
        default: .nowhere
        }
    }
}
