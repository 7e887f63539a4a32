// The directory of a session from a file: a BinaryFILE of ITCH 5.0, of which the stock directory messages (`R`) are
// taken. A recording of the whole day will do: they are sent before the first order.
internal import Basics

/// Reads the stock directory messages of a BinaryFILE that is fed in pieces.
public struct ITCH50Directory {
    /// How much of a file is read, in bytes: a venue names its stocks in the first few MB of a day.
    public static let mostBytes = 64 << 20

    private var reader = BinaryFILEReader()
    private var byLocate: [UInt16: [UInt8]] = [:]

    public init() {}

    /// - Throws: `MalformedInput` for a message that is none; its offset is within that message.
    public mutating func feed(_ piece: some Collection<UInt8>) throws(MalformedInput) {
        reader.feed(piece)
        while let bytes = reader.next() {
            let message = try ITCH50Message(bytes)
            guard let symbol = message.directorySymbol, !symbol.isBlank else { continue }
            byLocate[message.locate] = Array(bytes)
        }
    }

    /// The message that each locate was named by last, in the order of the locates.
    /// - Parameter isWhole: nothing of the file was left unread.
    /// - Throws: `MalformedInput.truncated` if the file ends within a message.
    public func units(isWhole: Bool) throws(MalformedInput) -> [[UInt8]] {
        if isWhole { try reader.finish() }
        return byLocate.sorted { $0.key < $1.key }.map(\.value)
    }

    /// A BinaryFILE of messages.
    public static func file(of units: [[UInt8]]) -> [UInt8] {
        var writer = ByteWriter()
        for unit in units {
            writer.bigEndian(UInt16(clamping: unit.count))
            writer.append(unit[...])
        }
        return writer.bytes
    }
}
