// IEX-TP as the engine for numbered channels reads it: sessions, and channels that are numbered by message.
import Basics

public enum IEXTPFraming: PacketFraming {
    /// The messages of a segment.
    public struct Units: IteratorProtocol {
        fileprivate var messages: IEXTPSegment.Messages

        @inline(__always)
        public mutating func next() -> ArraySlice<UInt8>? { messages.next()?.message }
    }

    public static var hasOneChannel: Bool { false }

    public static func read(_ bytes: ArraySlice<UInt8>) throws(MalformedInput) -> FramedPacket<Units> {
        let segment = try IEXTPSegment(decoding: bytes)
        var framed = FramedPacket(segment.header.sequenced, units: Units(messages: segment.messages))
        framed.sentAt = segment.header.sentAt
        framed.trailingBytes = segment.trailingBytes
        return framed
    }
}
