// MDP 3.0 as the engine for numbered channels reads it: one channel, numbered by packet. The unit is what follows the
// packet's header: its messages, each behind its size.
import Basics

public enum MDP3Framing: PacketFraming {
    /// The one payload of a packet.
    public struct Units: IteratorProtocol {
        fileprivate var payload: ArraySlice<UInt8>?

        @inline(__always)
        public mutating func next() -> ArraySlice<UInt8>? {
            defer { payload = nil }
            return payload
        }
    }

    public static var hasOneChannel: Bool { true }

    public static func read(_ bytes: ArraySlice<UInt8>) throws(MalformedInput) -> FramedPacket<Units> {
        let packet = try MDP3Packet(decoding: bytes)
        var framed = FramedPacket(
            packet.header.sequenced, units: Units(payload: bytes.dropFirst(MDP3Header.length)))
        framed.sentAt = packet.header.sentAt
        framed.resets = packet.resetsChannel
        return framed
    }
}
