// The instruments of a channel as small numbers, so that what is known of them lies in arrays.
import Basics

/// Up to eight bytes of ASCII that name an instrument, right-padded with spaces: kept as one number, so that tables
/// of symbols allocate nothing.
public struct PackedSymbol: Hashable, Sendable, CustomStringConvertible {
    /// The eight bytes, the first one highest.
    public let packed: UInt64

    public init(packed: UInt64) { self.packed = packed }

    /// - Parameter text: ASCII, cut or right-padded with spaces to eight bytes.
    public init(_ text: String) { self.init(text.utf8) }

    /// - Parameter bytes: the first eight count; fewer are padded with spaces.
    @inlinable
    public init(_ bytes: some Sequence<UInt8>) {
        var packed: UInt64 = 0
        var bytes = bytes.makeIterator()
        for _ in 0..<8 { packed = packed << 8 | UInt64(bytes.next() ?? UInt8(ascii: " ")) }
        self.packed = packed
    }

    /// Without its padding.
    public var description: String {
        var writer = ByteWriter(capacity: 8)
        writer.bigEndian(packed)
        return writer.bytes[...].trimmedText
    }

    /// Nothing but padding.
    @inlinable
    public var isBlank: Bool { packed == 0x2020_2020_2020_2020 || packed == 0 }
}

/// How a feed names an instrument.
public enum InstrumentName: Hashable, Sendable {
    case symbol(PackedSymbol)
    /// Any text.
    case text(String)
    /// The venue's number, which is the name.
    case id(Int64)
    /// The venue's number, while nobody knows the name.
    case unresolved(UInt32)

    public var text: String {
        switch self {
        case .symbol(let symbol): symbol.description
        case .text(let text): text
        case .id(let id): "\(id)"
        case .unresolved(let number): "#\(number)"
        }
    }

    public var isResolved: Bool {
        switch self {
        case .symbol, .text, .id: true
        case .unresolved: false
        }
    }
}

/// A bounded dictionary from names to numbers, 0, 1, 2 …, which are never given up.
public struct InstrumentDirectory: Sendable {
    /// Of one channel; a feed may have more topics than that.
    public static let capacity = 200_000

    private var indices: [InstrumentName: Int32] = [:]
    private var names: [InstrumentName] = []
    private let capacity: Int
    /// How often one was refused because there were too many.
    public private(set) var refused: UInt64 = 0

    public init(capacity: Int = InstrumentDirectory.capacity) { self.capacity = capacity }

    public var count: Int { names.count }

    public func name(of instrument: Int32) -> InstrumentName { names[Int(instrument)] }

    /// The number of an instrument, a new one if need be; `nil`: there are too many, counted.
    public mutating func index(of name: InstrumentName) -> Int32? {
        if let index = indices[name] { return index }
        guard names.count < capacity else {
            refused &+= 1
            return nil
        }
        names.append(name)
        indices[name] = Int32(names.count - 1)
        return Int32(names.count - 1)
    }
}
