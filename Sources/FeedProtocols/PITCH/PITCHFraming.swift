// PITCH as the engine for numbered channels reads it: each matching unit is a channel, numbered by message.
import Basics

public enum PITCHFraming: PacketFraming {
    /// The messages of a packet, each with its length and type.
    public struct Units: IteratorProtocol {
        fileprivate var messages: PITCHPacket.Messages

        @inline(__always)
        public mutating func next() -> ArraySlice<UInt8>? { messages.next()?.message }
    }

    public static var hasOneChannel: Bool { false }

    public static func read(_ bytes: ArraySlice<UInt8>) throws(MalformedInput) -> FramedPacket<Units> {
        let packet = try PITCHPacket(decoding: bytes)
        var framed = FramedPacket(packet.header.sequenced, units: Units(messages: packet.messages))
        framed.resets = packet.clearsUnit
        framed.trailingBytes = packet.trailingBytes
        return framed
    }

    /// A message of the Gap Request Proxy.
    public static func request(for wanted: WantedMessages) -> [UInt8]? {
        guard let unit = UInt8(exactly: wanted.channel), let first = UInt32(exactly: wanted.first) else {
            return nil
        }
        return GapProxyMessage.request(
            GapRequest(unit: unit, first: first, count: UInt16(clamping: wanted.count))
        ).bytes
    }
}
