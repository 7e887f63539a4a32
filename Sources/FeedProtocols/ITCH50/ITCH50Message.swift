// Nasdaq TotalView-ITCH 5.0: the few fields by which messages are routed. Everything is big-endian.

/// A stock's symbol.
public typealias ITCHSymbol = PackedSymbol

/// One ITCH 5.0 message, read in place.
public struct ITCH50Message {
    /// Bytes that every message starts with: type, locate, tracking number, time.
    static let headerLength = 11

    /// The message as it came.
    public let bytes: ArraySlice<UInt8>

    /// - Throws: `MalformedInput`: `truncated` for a message shorter than its type's length. Unknown types
    ///   pass if they hold the common header, and longer messages pass: a venue may append fields.
    public init(_ bytes: ArraySlice<UInt8>) throws(MalformedInput) {
        let wanted = bytes.first.flatMap(ITCH50Message.length(ofType:)) ?? ITCH50Message.headerLength
        guard bytes.count >= wanted else {
            throw MalformedInput(.truncated, offset: 0, wanted: wanted, found: bytes.count)
        }
        self.bytes = bytes
    }

    /// An ASCII letter.
    public var type: UInt8 { bytes[bytes.startIndex] }
    /// The instrument's number for the day; 0 for messages that concern none.
    public var locate: UInt16 { UInt16(truncatingIfNeeded: bigEndian(at: 1, count: 2)) }
    public var trackingNumber: UInt16 { UInt16(truncatingIfNeeded: bigEndian(at: 3, count: 2)) }
    /// Nanoseconds since the venue's midnight.
    public var timestamp: UInt64 { bigEndian(at: 5, count: 6) }

    /// What a stock directory message (`R`) binds its locate to; `nil` for other types.
    public var directorySymbol: ITCHSymbol? {
        type == UInt8(ascii: "R") ? ITCHSymbol(packed: bigEndian(at: 11, count: 8)) : nil
    }

    /// The stock that a message names beside its locate; `nil` for types that do not.
    public var symbol: ITCHSymbol? {
        let offset: Int? =
            switch type {
            case UInt8(ascii: "R"), UInt8(ascii: "H"), UInt8(ascii: "Y"), UInt8(ascii: "K"),
                UInt8(ascii: "J"), UInt8(ascii: "h"), UInt8(ascii: "N"):
                11
            case UInt8(ascii: "L"): 15
            case UInt8(ascii: "Q"): 19
            case UInt8(ascii: "A"), UInt8(ascii: "F"), UInt8(ascii: "P"): 24
            case UInt8(ascii: "I"): 28
            default: nil
            }
        return offset.map { ITCHSymbol(packed: bigEndian(at: $0, count: 8)) }
    }

    /// The code of a system event (`S`), an ASCII letter; `nil` for other types.
    public var systemEvent: UInt8? { type == UInt8(ascii: "S") ? bytes[bytes.startIndex + 11] : nil }

    /// The order reference of the types that carry one; `nil` for the others.
    public var orderReference: UInt64? {
        switch type {
        case UInt8(ascii: "A"), UInt8(ascii: "F"), UInt8(ascii: "E"), UInt8(ascii: "C"), UInt8(ascii: "X"),
            UInt8(ascii: "D"), UInt8(ascii: "U"), UInt8(ascii: "P"):
            bigEndian(at: 11, count: 8)
        default: nil
        }
    }

    /// Within the length that `init` has checked for the type.
    private func bigEndian(at offset: Int, count: Int) -> UInt64 {
        let start = bytes.startIndex + offset
        var value: UInt64 = 0
        for index in start..<(start + count) { value = value << 8 | UInt64(bytes[index]) }
        return value
    }

    /// A message's length in bytes by its type; `nil` for a type that ITCH 5.0 does not have.
    public static func length(ofType type: UInt8) -> Int? {
        switch type {
        case UInt8(ascii: "S"), UInt8(ascii: "W"): 12
        case UInt8(ascii: "B"), UInt8(ascii: "D"): 19
        case UInt8(ascii: "Y"), UInt8(ascii: "N"): 20
        case UInt8(ascii: "h"): 21
        case UInt8(ascii: "X"): 23
        case UInt8(ascii: "H"): 25
        case UInt8(ascii: "L"): 26
        case UInt8(ascii: "K"): 28
        case UInt8(ascii: "E"): 31
        case UInt8(ascii: "V"), UInt8(ascii: "J"), UInt8(ascii: "U"): 35
        case UInt8(ascii: "A"), UInt8(ascii: "C"): 36
        case UInt8(ascii: "R"): 39
        case UInt8(ascii: "F"), UInt8(ascii: "Q"): 40
        case UInt8(ascii: "P"): 44
        case UInt8(ascii: "I"): 50
        default: nil
        }
    }
}
