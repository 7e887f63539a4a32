// The instruments of another gateway's feed: those of its topics.
import Basics
import Wire

public struct HoldfastKeys: InstrumentKeys {
    public private(set) var directory = InstrumentDirectory()
    /// The instrument of each topic; `noInstrument` for the one of messages without.
    private var instruments: [ArraySlice<UInt8>: Int32] = [:]
    /// How many topics are remembered: another gateway may have one instrument on any number of them.
    private let mostTopics: Int

    public init() { self.init(mostTopics: InstrumentDirectory.capacity) }

    init(mostTopics: Int) { self.mostTopics = mostTopics }

    var topics: Int { instruments.count }

    public static var needsDirectory: Bool { false }

    public mutating func restart() {}

    public mutating func route(
        _ unit: ArraySlice<UInt8>, into route: inout MessageRoute
    ) throws(MalformedInput) {
        guard let end = unit.firstIndex(of: 0) else {
            throw MalformedInput(.badTopic, offset: 0, wanted: 1, found: unit.count)
        }
        var topic = unit[..<end]
        if topic.last == HoldfastFraming.unresolvedMark {
            topic = topic.dropLast()
            route.isUnresolved = true
        }
        route.body = unit[(end + 1)...]
        route.prefix = end + 1 - unit.startIndex
        if let known = instruments[topic] {
            route.instrument = known
        } else {
            try meet(topic, &route)
        }
    }

    private mutating func meet(
        _ topic: ArraySlice<UInt8>, _ route: inout MessageRoute
    ) throws(MalformedInput) {
        guard case .marketData(_, let name)? = try? Topic(parsing: topic) else {
            throw MalformedInput(.badTopic, offset: 0, wanted: topic.count, found: topic.count)
        }
        guard let name else { return keep(topic, MessageRoute.noInstrument) }
        // The number of an instrument that the other gateway cannot name stays one.
        let number = name.first == "#" ? UInt32(name.dropFirst()) : nil
        guard let index = directory.index(of: number.map { .unresolved($0) } ?? .text(name)) else {
            return route.isUnresolved = true
        }
        keep(topic, index)
        route.instrument = index
    }

    private mutating func keep(_ topic: ArraySlice<UInt8>, _ instrument: Int32) {
        if topics < mostTopics { instruments[ArraySlice(Array(topic))] = instrument }
    }
}
