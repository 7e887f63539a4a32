// IEX-TP 1: a segment header of forty bytes, little-endian, then messages with a length each. Lines A and B carry
// the same messages in the same order, but may cut them into other segments. Source: IEX Transport Protocol 1.25
// and the recorded feed.
public import Basics

/// The segment header. It can be read of a segment that was cut behind it.
public struct IEXTPHeader: Hashable, Sendable {
    public static let length = 40
    private static let version: UInt8 = 1

    /// What the messages are: TOPS, DEEP …
    public let messageProtocol: UInt16
    public let channel: UInt32
    /// Another one is another day, or a feed that was started anew.
    public let session: UInt32
    /// Of all messages with their lengths, in bytes.
    public let payloadLength: Int
    /// 0: a heartbeat, whose sequence is the next one's.
    public let count: UInt16
    /// Where the payload begins in the session's stream, in bytes.
    public let streamOffset: UInt64
    public let firstSequence: UInt64
    public let sentAt: WallTime

    /// - Parameter length: the segment's on the wire, in bytes; `bytes` may be fewer.
    /// - Throws: `MalformedInput`: `truncated`, `unknownVersion`, `inconsistent` where the payload's length and the
    ///   count contradict each other, or `sequenceOverflow`.
    public init(decoding bytes: ArraySlice<UInt8>, length: Int) throws(MalformedInput) {
        var reader = ByteReader(bytes)
        let version: UInt8
        let offset: Int64
        let first: Int64
        do {
            version = try reader.littleEndian(UInt8.self)
            _ = try reader.take(1)
            messageProtocol = try reader.littleEndian(UInt16.self)
            channel = try reader.littleEndian(UInt32.self)
            session = try reader.littleEndian(UInt32.self)
            payloadLength = Int(try reader.littleEndian(UInt16.self))
            count = try reader.littleEndian(UInt16.self)
            offset = try reader.littleEndian(Int64.self)
            first = try reader.littleEndian(Int64.self)
            sentAt = WallTime(nanoseconds: try reader.littleEndian(Int64.self))
        } catch {
            throw MalformedInput(.truncated, offset: 0, wanted: IEXTPHeader.length, found: bytes.count)
        }
        guard version == IEXTPHeader.version else {
            throw MalformedInput(
                .unknownVersion, offset: 0, wanted: Int(IEXTPHeader.version), found: Int(version))
        }
        guard IEXTPHeader.length + payloadLength <= length else {
            throw MalformedInput(
                .truncated, offset: 12, wanted: payloadLength, found: length - IEXTPHeader.length)
        }
        guard count == 0 ? payloadLength == 0 : payloadLength >= 2 * Int(count) else {
            throw MalformedInput(.inconsistent, offset: 14, wanted: payloadLength / 2, found: Int(count))
        }
        guard offset >= 0, first >= 0, first <= Int64.max - Int64(count) else {
            throw MalformedInput(.sequenceOverflow, offset: 24, wanted: 0, found: Int(count))
        }
        streamOffset = UInt64(offset)
        firstSequence = UInt64(first)
    }

    public var sequenced: SequencedHeader {
        SequencedHeader(
            session: epoch(ofSession: session), channel: channel, firstSequence: firstSequence,
            kind: count == 0 ? .heartbeat : .data(count: UInt32(count)), messages: UInt32(count))
    }
}

/// A whole segment.
public struct IEXTPSegment {
    public let header: IEXTPHeader
    /// Bytes of the payload after the last message, which no message claims.
    public let trailingBytes: Int
    private let body: ArraySlice<UInt8>

    /// - Throws: `MalformedInput`; then no message of the segment may be used.
    public init(decoding packet: ArraySlice<UInt8>) throws(MalformedInput) {
        header = try IEXTPHeader(decoding: packet, length: packet.count)
        var rest = packet.dropFirst(IEXTPHeader.length).prefix(header.payloadLength)
        body = rest
        for _ in 0..<header.count {
            let offset = rest.startIndex - packet.startIndex
            guard let length = IEXTPSegment.length(of: rest) else {
                throw MalformedInput(.truncated, offset: offset, wanted: 2, found: rest.count)
            }
            guard length <= rest.count - 2 else {
                throw MalformedInput(.truncated, offset: offset + 2, wanted: length, found: rest.count - 2)
            }
            rest = rest.dropFirst(2 + length)
        }
        trailingBytes = rest.count
    }

    fileprivate static func length(of rest: ArraySlice<UInt8>) -> Int? {
        guard rest.count >= 2 else { return nil }
        return Int(rest[rest.startIndex]) | Int(rest[rest.startIndex + 1]) << 8
    }

    /// The messages in order, each a slice of the packet.
    public var messages: Messages {
        Messages(rest: body, left: header.count, sequence: header.firstSequence)
    }

    /// Walks over the messages of a segment that was found sound.
    public struct Messages: Sequence, IteratorProtocol {
        fileprivate var rest: ArraySlice<UInt8>
        fileprivate var left: UInt16
        fileprivate var sequence: UInt64

        public mutating func next() -> (sequence: UInt64, message: ArraySlice<UInt8>)? {
            guard left > 0, let length = IEXTPSegment.length(of: rest), length <= rest.count - 2 else {
                return nil
            }
            let message = rest.dropFirst(2).prefix(length)
            rest = rest.dropFirst(2 + length)
            left -= 1
            defer { sequence &+= 1 }
            return (sequence, message)
        }
    }
}
