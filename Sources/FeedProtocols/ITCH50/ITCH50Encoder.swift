// Writes the ITCH 5.0 messages that the generated feed is made of, at their lengths on the wire.
public import Basics

/// The side of an order.
public enum ITCHSide: UInt8, Hashable, Sendable {
    case buy = 0x42
    case sell = 0x53
}

/// What every ITCH 5.0 message starts with, besides its type.
public struct ITCH50Stamp: Hashable, Sendable {
    public var locate: UInt16
    public var trackingNumber: UInt16
    /// Nanoseconds since midnight; the low 48 bits are sent.
    public var timestamp: UInt64

    public init(locate: UInt16, trackingNumber: UInt16 = 0, timestamp: UInt64) {
        self.locate = locate
        self.trackingNumber = trackingNumber
        self.timestamp = timestamp
    }
}

/// The messages that can be written. Prices have four decimals: 10000 is 1.0000.
public enum ITCH50Body: Hashable, Sendable {
    case systemEvent(code: UInt8)
    case stockDirectory(symbol: ITCHSymbol)
    case addOrder(reference: UInt64, side: ITCHSide, shares: UInt32, symbol: ITCHSymbol, price: UInt32)
    case orderExecuted(reference: UInt64, shares: UInt32, match: UInt64)
    case orderCancel(reference: UInt64, shares: UInt32)
    case orderDelete(reference: UInt64)
    case orderReplace(original: UInt64, new: UInt64, shares: UInt32, price: UInt32)
    case trade(
        reference: UInt64, side: ITCHSide, shares: UInt32, symbol: ITCHSymbol, price: UInt32, match: UInt64)

    /// The type's ASCII letter.
    public var type: UInt8 {
        switch self {
        case .systemEvent: UInt8(ascii: "S")
        case .stockDirectory: UInt8(ascii: "R")
        case .addOrder: UInt8(ascii: "A")
        case .orderExecuted: UInt8(ascii: "E")
        case .orderCancel: UInt8(ascii: "X")
        case .orderDelete: UInt8(ascii: "D")
        case .orderReplace: UInt8(ascii: "U")
        case .trade: UInt8(ascii: "P")
        }
    }

    /// Appends the message to `writer`.
    public func write(_ stamp: ITCH50Stamp, into writer: inout ByteWriter) {
        writer.bigEndian(type)
        writer.bigEndian(stamp.locate)
        writer.bigEndian(stamp.trackingNumber)
        writer.bigEndian(stamp.timestamp, bytes: 6)
        switch self {
        case .systemEvent(let code): writer.bigEndian(code)
        case .stockDirectory(let symbol): writeDirectory(symbol, into: &writer)
        case .addOrder(let reference, let side, let shares, let symbol, let price):
            writeOrder(reference, side, shares, symbol, price, into: &writer)
        case .orderExecuted(let reference, let shares, let match):
            writer.bigEndian(reference)
            writer.bigEndian(shares)
            writer.bigEndian(match)
        case .orderCancel(let reference, let shares):
            writer.bigEndian(reference)
            writer.bigEndian(shares)
        case .orderDelete(let reference): writer.bigEndian(reference)
        case .orderReplace(let original, let new, let shares, let price):
            writer.bigEndian(original)
            writer.bigEndian(new)
            writer.bigEndian(shares)
            writer.bigEndian(price)
        case .trade(let reference, let side, let shares, let symbol, let price, let match):
            writeOrder(reference, side, shares, symbol, price, into: &writer)
            writer.bigEndian(match)
        }
    }

    private func writeOrder(
        _ reference: UInt64, _ side: ITCHSide, _ shares: UInt32, _ symbol: ITCHSymbol, _ price: UInt32,
        into writer: inout ByteWriter
    ) {
        writer.bigEndian(reference)
        writer.bigEndian(side.rawValue)
        writer.bigEndian(shares)
        writer.bigEndian(symbol.packed)
        writer.bigEndian(price)
    }

    /// A common stock of Nasdaq's, trading normally in lots of 100, not a test issue, without further marks:
    /// category Q, status N, classification C, sub-type Z, authenticity P.
    private func writeDirectory(_ symbol: ITCHSymbol, into writer: inout ByteWriter) {
        writer.bigEndian(symbol.packed)
        writer.append("QN".utf8)
        writer.bigEndian(UInt32(100))
        writer.append("NCZ PNN1N".utf8)
        writer.bigEndian(UInt32(0))
        writer.append("N".utf8)
    }
}
