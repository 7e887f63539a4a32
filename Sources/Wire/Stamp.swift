// What each message of the health bus carries: who says it, in which run, after which change, and when.
public import Basics

/// One run of one publisher. A later run compares greater; `RunNumber` sees to it.
public struct Incarnation: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// From 0, below 2^53.
    public let number: Int64

    /// `nil` for a number out of range.
    public init?(_ number: Int64) {
        guard (0..<exactIntegers).contains(number) else { return nil }
        self.number = number
    }

    /// The run that began at this time: its microseconds since 1970.
    public init(startedAt time: WallTime) {
        number = min(max(time.nanoseconds / 1000, 0), exactIntegers - 1)
    }

    public static func < (left: Incarnation, right: Incarnation) -> Bool { left.number < right.number }
    public var description: String { String(number) }
}

/// The fields that are common to all messages of the health bus.
public struct Stamp: Hashable, Sendable {
    public var host: String
    public var incarnation: Incarnation
    /// The publisher's count of changes: of a state, its own; of anything else, the latest.
    public var change: Int64
    /// When the message was sent.
    public var at: WallTime

    public init(host: String, incarnation: Incarnation, change: Int64, at: WallTime) {
        self.host = host
        self.incarnation = incarnation
        self.change = change
        self.at = at
    }

    var members: [JSON.Member] {
        [
            JSON.Member("v", .integer(schemaVersion)),
            JSON.Member("host", .string(host)),
            JSON.Member("incarnation", .integer(incarnation.number)),
            JSON.Member("change", .integer(change)),
            JSON.Member("at", .string(at.rfc3339)),
        ]
    }

    init(_ fields: Fields) throws(WireError) {
        guard let incarnation = Incarnation(try fields.integer("incarnation")) else {
            throw fields.failure("incarnation", "a whole number below 2^53")
        }
        self.init(
            host: try fields.name("host"), incarnation: incarnation, change: try fields.integer("change"),
            at: try fields.time("at"))
    }
}
