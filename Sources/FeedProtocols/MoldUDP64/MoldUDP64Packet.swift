// MoldUDP64 1.00 downstream packets: a session, the sequence of the first message, and messages with a
// length each. A packet is checked whole before its first message is given out, and giving them out
// allocates nothing.
import Basics

/// The ten bytes that name a MoldUDP64 session.
public struct MoldSession: Hashable, Sendable, CustomStringConvertible {
    private let head: UInt64
    private let tail: UInt16

    /// - Parameter text: ASCII, cut or right-padded with spaces to ten bytes.
    public init(_ text: String) {
        var utf8 = text.utf8.makeIterator()
        let next = { utf8.next() ?? UInt8(ascii: " ") }
        head = (0..<8).reduce(0) { value, _ in value << 8 | UInt64(next()) }
        tail = (0..<2).reduce(0) { value, _ in value << 8 | UInt16(next()) }
    }

    fileprivate init(_ reader: inout ByteReader) throws(EndOfBytes) {
        head = try reader.integer(UInt64.self)
        tail = try reader.integer(UInt16.self)
    }

    func write(into writer: inout ByteWriter) {
        writer.bigEndian(head)
        writer.bigEndian(tail)
    }

    private func byte(_ index: Int) -> UInt8 {
        index < 8
            ? UInt8(truncatingIfNeeded: head >> UInt64(8 * (7 - index)))
            : UInt8(truncatingIfNeeded: tail >> UInt16(8 * (9 - index)))
    }

    /// The session as a number that is the same on each host.
    public var number: UInt64 { fnv1a((0..<10).lazy.map(byte)) }

    /// The epoch of what it carries: likewise, of its text without the padding on either side.
    public var epoch: UInt64 {
        let isPadding: (Int) -> Bool = { byte($0) == UInt8(ascii: " ") || byte($0) == 0 }
        var first = 0
        var end = 10
        while first < end, isPadding(first) { first += 1 }
        while end > first, isPadding(end - 1) { end -= 1 }
        return fnv1a((first..<end).lazy.map(byte))
    }

    /// Without the padding on either side.
    public var description: String { (0..<10).map(byte)[...].trimmedText }
}

/// The first twenty bytes, which downstream and request packets share.
struct MoldHeader {
    static let length = 20
    let session: MoldSession
    let sequence: UInt64
    let count: UInt16

    init(_ bytes: ArraySlice<UInt8>) throws(MalformedInput) {
        var reader = ByteReader(bytes)
        do {
            session = try MoldSession(&reader)
            sequence = try reader.integer(UInt64.self)
            count = try reader.integer(UInt16.self)
        } catch {
            throw MalformedInput(.truncated, offset: 0, wanted: MoldHeader.length, found: bytes.count)
        }
    }
}

extension MoldHeader {
    /// The numbers alone, of a packet of `length` bytes of which this was the beginning.
    func sequenced(length: Int) throws(MalformedInput) -> SequencedHeader {
        let isEnd = count == MoldUDP64Packet.endOfSessionCount
        let messages = isEnd ? 0 : UInt32(count)
        guard sequence <= UInt64.max - UInt64(messages) else {
            throw MalformedInput(.sequenceOverflow, offset: 10, wanted: 0, found: Int(messages))
        }
        guard length >= MoldHeader.length + 2 * Int(messages) else {
            throw MalformedInput(
                .truncated, offset: MoldHeader.length, wanted: 2 * Int(messages),
                found: length - MoldHeader.length)
        }
        return SequencedHeader(
            session: session.number, firstSequence: sequence,
            kind: isEnd ? .endOfSession : messages == 0 ? .heartbeat : .data(count: messages),
            messages: messages)
    }
}

/// A MoldUDP64 downstream packet.
public struct MoldUDP64Packet {
    public enum Kind: Hashable, Sendable {
        /// So many messages, at least one.
        case data(count: Int)
        /// No messages; the sequence is the next that will be sent.
        case heartbeat
        /// The session has ended; the sequence is one past its last.
        case endOfSession
    }

    /// The count that marks the end of a session.
    static let endOfSessionCount: UInt16 = 0xFFFF
    /// The longest payload that a UDP datagram over IPv4 can carry, in bytes.
    public static let longest = 65_507

    public let session: MoldSession
    /// The sequence of the first message, or the next to come.
    public let firstSequence: UInt64
    public let kind: Kind
    /// Bytes after the last message, which no message claims: worth counting, harmless.
    public let trailingBytes: Int
    private let blocks: ArraySlice<UInt8>

    /// - Throws: `MalformedInput`: `truncated`, `oversized`, or `sequenceOverflow`; then no message of the
    ///   packet may be used.
    public init(decoding packet: ArraySlice<UInt8>) throws(MalformedInput) {
        guard packet.count <= MoldUDP64Packet.longest else {
            throw MalformedInput(
                .oversized, offset: 0, wanted: MoldUDP64Packet.longest, found: packet.count)
        }
        let header = try MoldHeader(packet)
        session = header.session
        firstSequence = header.sequence
        let body = packet.dropFirst(MoldHeader.length)
        var count = 0
        switch header.count {
        case 0: kind = .heartbeat
        case MoldUDP64Packet.endOfSessionCount: kind = .endOfSession
        case let messages:
            count = Int(messages)
            kind = .data(count: count)
            guard header.sequence <= UInt64.max - UInt64(count) else {
                throw MalformedInput(.sequenceOverflow, offset: 10, wanted: 0, found: count)
            }
        }
        let length = try MoldUDP64Packet.length(of: count, in: body)
        blocks = body.prefix(length)
        trailingBytes = body.count - length
    }

    /// How many bytes the first `count` messages take, with their lengths.
    private static func length(of count: Int, in body: ArraySlice<UInt8>) throws(MalformedInput) -> Int {
        var position = body.startIndex
        for _ in 0..<count {
            let left = body.endIndex - position
            let offset = MoldHeader.length + position - body.startIndex
            guard left >= 2 else { throw MalformedInput(.truncated, offset: offset, wanted: 2, found: left) }
            let length = Int(body[position]) << 8 | Int(body[position + 1])
            guard left - 2 >= length else {
                throw MalformedInput(.truncated, offset: offset + 2, wanted: length, found: left - 2)
            }
            position += 2 + length
        }
        return position - body.startIndex
    }

    /// The messages in order, each a slice of the packet.
    public var messages: Messages { Messages(blocks: blocks, sequence: firstSequence) }

    /// Walks over the messages of a packet that was found sound.
    public struct Messages: Sequence, IteratorProtocol {
        private let blocks: ArraySlice<UInt8>
        /// Where the next message's length is.
        private var position: Int
        private var sequence: UInt64

        fileprivate init(blocks: ArraySlice<UInt8>, sequence: UInt64) {
            self.blocks = blocks
            self.sequence = sequence
            position = blocks.startIndex
        }

        public mutating func next() -> (sequence: UInt64, message: ArraySlice<UInt8>)? {
            guard let message = nextMessage() else { return nil }
            defer { sequence &+= 1 }
            return (sequence, message)
        }

        /// The next message, without its number.
        @usableFromInline
        mutating func nextMessage() -> ArraySlice<UInt8>? {
            guard blocks.endIndex - position >= 2 else { return nil }
            let start = position + 2
            let end = start + (Int(blocks[position]) << 8 | Int(blocks[position + 1]))
            guard end <= blocks.endIndex else { return nil }
            position = end
            return blocks[start..<end]
        }
    }
}

/// A MoldUDP64 request packet: asks a server for messages again.
public struct MoldUDP64Request: Hashable, Sendable {
    public var session: MoldSession
    public var firstSequence: UInt64
    /// How many messages; the server may send fewer.
    public var count: UInt16

    public init(session: MoldSession, firstSequence: UInt64, count: UInt16) {
        self.session = session
        self.firstSequence = firstSequence
        self.count = count
    }

    /// - Throws: `MalformedInput`: `truncated`, or `oversized` for anything behind the twenty bytes.
    public init(decoding packet: ArraySlice<UInt8>) throws(MalformedInput) {
        let header = try MoldHeader(packet)
        guard packet.count == MoldHeader.length else {
            throw MalformedInput(.oversized, offset: 20, wanted: MoldHeader.length, found: packet.count)
        }
        self.init(session: header.session, firstSequence: header.sequence, count: header.count)
    }

    /// The twenty bytes of the packet.
    public var bytes: [UInt8] { moldHeader(session, firstSequence, count) }
}

/// The twenty bytes that open every packet.
func moldHeader(_ session: MoldSession, _ sequence: UInt64, _ count: UInt16) -> [UInt8] {
    var writer = ByteWriter(capacity: MoldHeader.length)
    session.write(into: &writer)
    writer.bigEndian(sequence)
    writer.bigEndian(count)
    return writer.bytes
}
