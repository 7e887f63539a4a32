// CME MDP 3.0 over UDP: a packet header of twelve bytes, little-endian, then SBE messages that open with their own
// size. Packets are numbered, not messages; the numbers begin anew each week and after a channel reset. Source:
// CME Globex, MDP 3.0 message specification, "Binary Packet Header" and "Message Header".
public import Basics

/// The packet header, with what the first message is. It can be read of a packet that was cut behind it.
public struct MDP3Header: Hashable, Sendable {
    public static let length = 12
    /// Of a message's size and its SBE header.
    static let messageHeader = 10
    /// What has to be captured of a packet.
    public static let captured = length + messageHeader
    /// SBE templates that matter to the numbering.
    public static let channelReset: UInt16 = 4
    public static let heartbeat: UInt16 = 12

    /// The packet's number in its channel.
    public let sequence: UInt32
    public let sentAt: WallTime
    /// The first message's SBE template; `nil`: no message.
    public let firstTemplate: UInt16?

    /// - Parameter length: the packet's on the wire, in bytes; `bytes` may be fewer.
    /// - Throws: `MalformedInput`: `truncated`, or `undersized`.
    public init(decoding bytes: ArraySlice<UInt8>, length: Int) throws(MalformedInput) {
        var reader = ByteReader(bytes)
        var first: (size: Int, template: UInt16)?
        do {
            sequence = try reader.littleEndian(UInt32.self)
            sentAt = WallTime(nanoseconds: Int64(truncatingIfNeeded: try reader.littleEndian(UInt64.self)))
            if length > MDP3Header.length {
                let size = Int(try reader.littleEndian(UInt16.self))
                _ = try reader.take(2)
                first = (size, try reader.littleEndian(UInt16.self))
            }
        } catch {
            throw MalformedInput(error, within: 0)
        }
        firstTemplate = first?.template
        if let first {
            try MDP3Header.check(size: first.size, at: MDP3Header.length, left: length - MDP3Header.length)
        }
    }

    fileprivate static func check(size: Int, at offset: Int, left: Int) throws(MalformedInput) {
        guard size >= messageHeader else {
            throw MalformedInput(.undersized, offset: offset, wanted: messageHeader, found: size)
        }
        guard size <= left else {
            throw MalformedInput(.truncated, offset: offset, wanted: size, found: left)
        }
    }

    /// Every packet has a number, heartbeats too; how many messages it carries, its header does not say.
    public var sequenced: SequencedHeader {
        SequencedHeader(
            firstSequence: UInt64(sequence), kind: .data(count: 1),
            messages: firstTemplate == nil || firstTemplate == MDP3Header.heartbeat ? 0 : nil)
    }
}

/// A whole packet.
public struct MDP3Packet {
    public let header: MDP3Header
    /// It carries a channel reset: every book of the channel is void.
    public let resetsChannel: Bool
    private let body: ArraySlice<UInt8>

    /// - Throws: `MalformedInput`; then no message of the packet may be used.
    public init(decoding packet: ArraySlice<UInt8>) throws(MalformedInput) {
        header = try MDP3Header(decoding: packet, length: packet.count)
        body = packet.dropFirst(MDP3Header.length)
        var rest = body
        var resetsChannel = false
        while !rest.isEmpty {
            let offset = rest.startIndex - packet.startIndex
            guard let size = MDP3Packet.size(of: rest) else {
                throw MalformedInput(
                    .truncated, offset: offset, wanted: MDP3Header.messageHeader, found: rest.count)
            }
            try MDP3Header.check(size: size, at: offset, left: rest.count)
            let template = MDP3Packet.number(at: 4, of: rest)
            if template == Int(MDP3Header.channelReset) { resetsChannel = true }
            rest = rest.dropFirst(size)
        }
        self.resetsChannel = resetsChannel
    }

    /// A little-endian 16-bit number, within what has been checked.
    static func number(at offset: Int, of bytes: ArraySlice<UInt8>) -> Int {
        let start = bytes.startIndex + offset
        return Int(bytes[start]) | Int(bytes[start + 1]) << 8
    }

    fileprivate static func size(of rest: ArraySlice<UInt8>) -> Int? {
        guard rest.count >= MDP3Header.messageHeader else { return nil }
        return Int(rest[rest.startIndex]) | Int(rest[rest.startIndex + 1]) << 8
    }

    /// The messages in order, each behind its size, with its SBE template.
    public var messages: Messages { Messages(rest: body) }

    /// Walks over the messages of a packet that was found sound.
    public struct Messages: Sequence, IteratorProtocol {
        fileprivate var rest: ArraySlice<UInt8>

        public mutating func next() -> (template: UInt16, message: ArraySlice<UInt8>)? {
            guard let size = MDP3Packet.size(of: rest), size >= MDP3Header.messageHeader, size <= rest.count
            else { return nil }
            let message = rest.prefix(size).dropFirst(2)
            let template =
                UInt16(message[message.startIndex + 2]) | UInt16(message[message.startIndex + 3]) << 8
            rest = rest.dropFirst(size)
            return (template, message)
        }
    }
}
