// Takes SoupBinTCP packets out of a stream that comes in pieces. It holds at most one packet that is not complete,
// which a length of 16 bits bounds.
import Basics

/// Cuts a stream into packets.
public struct SoupDecoder: LoginDecoder {
    private var queue = ByteQueue()
    /// A stream that made no sense once makes none any more: nothing says where the next packet begins.
    private var failure: MalformedInput?

    public init() {}

    /// Adds what came in. Take all packets out of it before the next piece.
    public mutating func feed(_ piece: some Collection<UInt8>) {
        if failure == nil { queue.feed(piece) }
    }

    /// The next packet; `nil`: it has not come in whole. Its payload is a slice of what was fed.
    ///
    /// - Throws: `MalformedInput`: `undersized` for a length of 0, `unknownKind` for a type that is none, and for a
    ///   payload that does not fit its type; the same error again at each call from then on.
    public mutating func next() throws(MalformedInput) -> SoupPacket? {
        if let failure { throw failure }
        do throws(MalformedInput) {
            return try take()
        } catch {
            failure = error
            throw error
        }
    }

    private mutating func take() throws(MalformedInput) -> SoupPacket? {
        guard let head = queue.peek(2), let high = head.first, let low = head.last else { return nil }
        let length = Int(high) << 8 | Int(low)
        guard length > 0 else {
            throw MalformedInput(.undersized, offset: queue.offset, wanted: 1, found: 0)
        }
        let offset = queue.offset + 2
        guard let packet = queue.take(2 + length) else { return nil }
        return try SoupPacket(packet.dropFirst(2), offset: offset)
    }

    /// Bytes of a packet that is not complete.
    public var waiting: Int { queue.count }
}
