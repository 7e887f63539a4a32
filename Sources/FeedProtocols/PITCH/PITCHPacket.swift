// Cboe Multicast PITCH: a sequenced unit header of eight bytes, little-endian, then messages that open with their
// own length and type. Source: the open codecs to specification 2.41 and the exchange's own captures.
public import Basics

/// The sequenced unit header. It can be read of a packet that was cut behind it.
public struct PITCHHeader: Hashable, Sendable {
    public static let length = 8

    /// Of the header and all messages, in bytes.
    public let packetLength: Int
    public let count: UInt8
    /// The matching unit, each with numbers of its own; 0: unsequenced.
    public let unit: UInt8
    /// The first message's number, of a heartbeat the next one's; 0: not numbered. After 4294967295 comes 1.
    public let sequence: UInt32

    /// - Parameter length: the packet's on the wire, in bytes; `bytes` may be fewer.
    /// - Throws: `MalformedInput`: `truncated`, `undersized`, or `inconsistent` where the length leaves less than
    ///   two bytes for each message.
    public init(decoding bytes: ArraySlice<UInt8>, length: Int) throws(MalformedInput) {
        var reader = ByteReader(bytes)
        do {
            packetLength = Int(try reader.littleEndian(UInt16.self))
            count = try reader.littleEndian(UInt8.self)
            unit = try reader.littleEndian(UInt8.self)
            sequence = try reader.littleEndian(UInt32.self)
        } catch {
            throw MalformedInput(.truncated, offset: 0, wanted: PITCHHeader.length, found: bytes.count)
        }
        guard packetLength >= PITCHHeader.length else {
            throw MalformedInput(.undersized, offset: 0, wanted: PITCHHeader.length, found: packetLength)
        }
        guard packetLength <= length else {
            throw MalformedInput(.truncated, offset: 0, wanted: packetLength, found: length)
        }
        guard packetLength >= PITCHHeader.length + 2 * Int(count) else {
            throw MalformedInput(
                .inconsistent, offset: 2, wanted: (packetLength - PITCHHeader.length) / 2, found: Int(count))
        }
    }

    public var sequenced: SequencedHeader {
        let kind: SequencedHeader.Kind =
            sequence == 0 ? .unsequenced : count == 0 ? .heartbeat : .data(count: UInt32(count))
        return SequencedHeader(
            channel: UInt32(unit), firstSequence: UInt64(sequence), kind: kind, messages: UInt32(count))
    }
}

/// A whole packet of one unit.
public struct PITCHPacket {
    public static let unitClear: UInt8 = 0x97
    public static let endOfSession: UInt8 = 0x2D

    public let header: PITCHHeader
    /// It carries a Unit Clear: the orders of the unit are void.
    public let clearsUnit: Bool
    /// Bytes after the last message, which no message claims.
    public let trailingBytes: Int
    private let body: ArraySlice<UInt8>

    /// - Throws: `MalformedInput`; then no message of the packet may be used.
    public init(decoding packet: ArraySlice<UInt8>) throws(MalformedInput) {
        header = try PITCHHeader(decoding: packet, length: packet.count)
        var rest = packet.prefix(header.packetLength).dropFirst(PITCHHeader.length)
        body = rest
        var clearsUnit = false
        for _ in 0..<header.count {
            let offset = rest.startIndex - packet.startIndex
            guard let length = rest.first.map({ Int($0) }) else {
                throw MalformedInput(.truncated, offset: offset, wanted: 2, found: 0)
            }
            guard length >= 2 else {
                throw MalformedInput(.undersized, offset: offset, wanted: 2, found: length)
            }
            guard length <= rest.count else {
                throw MalformedInput(.truncated, offset: offset, wanted: length, found: rest.count)
            }
            if rest[rest.startIndex + 1] == PITCHPacket.unitClear { clearsUnit = true }
            rest = rest.dropFirst(length)
        }
        self.clearsUnit = clearsUnit
        trailingBytes = rest.count
    }

    /// The messages in order, each with its length and type, and the number that it has; 0: none.
    public var messages: Messages { Messages(rest: body, left: header.count, sequence: header.sequence) }

    /// Walks over the messages of a packet that was found sound.
    public struct Messages: Sequence, IteratorProtocol {
        fileprivate var rest: ArraySlice<UInt8>
        fileprivate var left: UInt8
        fileprivate var sequence: UInt32

        public mutating func next() -> (sequence: UInt32, type: UInt8, message: ArraySlice<UInt8>)? {
            guard left > 0, let length = rest.first.map({ Int($0) }), length >= 2, length <= rest.count else {
                return nil
            }
            let message = rest.prefix(length)
            rest = rest.dropFirst(length)
            left -= 1
            let number = sequence
            if sequence != 0 { sequence = sequence == .max ? 1 : sequence + 1 }
            return (number, message[message.startIndex + 1], message)
        }
    }
}
