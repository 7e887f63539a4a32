// MoldUDP64 as the engine for numbered channels reads it: one channel, numbered by message.
import Basics

public enum MoldFraming: PacketFraming {
    /// The messages of a packet.
    public struct Units: IteratorProtocol {
        @usableFromInline var messages: MoldUDP64Packet.Messages

        @inlinable
        public mutating func next() -> ArraySlice<UInt8>? { messages.nextMessage() }
    }

    public static var hasOneChannel: Bool { true }

    public static func read(_ bytes: ArraySlice<UInt8>) throws(MalformedInput) -> FramedPacket<Units> {
        let packet = try MoldUDP64Packet(decoding: bytes)
        let kind: SequencedHeader.Kind
        let messages: UInt32
        switch packet.kind {
        case .data(let count): (kind, messages) = (.data(count: UInt32(count)), UInt32(count))
        case .heartbeat: (kind, messages) = (.heartbeat, 0)
        case .endOfSession: (kind, messages) = (.endOfSession, 0)
        }
        var framed = FramedPacket(
            SequencedHeader(
                session: packet.session.epoch, firstSequence: packet.firstSequence, kind: kind,
                messages: messages),
            units: Units(messages: packet.messages))
        framed.session = packet.session
        framed.trailingBytes = packet.trailingBytes
        return framed
    }

    public static func request(for wanted: WantedMessages) -> [UInt8]? {
        guard let session = wanted.session else { return nil }
        let count = UInt16(clamping: min(wanted.count, 65_534))
        return MoldUDP64Request(session: session, firstSequence: wanted.first, count: count).bytes
    }
}
