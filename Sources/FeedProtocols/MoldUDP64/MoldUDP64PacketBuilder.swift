// Builds MoldUDP64 downstream packets: messages go in one after the other until the packet is full.
import Basics

/// Collects consecutive messages into packets of a bounded length. Its buffer is used again and again.
public struct MoldUDP64PacketBuilder {
    public let session: MoldSession
    /// The longest packet that it builds, header included.
    public let maximumLength: Int
    /// The packet as it stands: sound at any time, a heartbeat while it has no message.
    public private(set) var bytes: [UInt8]
    /// How many messages are in it.
    public private(set) var count: UInt16 = 0

    /// - Precondition: `maximumLength` is from 64 to 65,507 bytes.
    public init(session: MoldSession, maximumLength: Int = 1400) {
        precondition((64...MoldUDP64Packet.longest).contains(maximumLength), "a UDP datagram can carry it")
        self.session = session
        self.maximumLength = maximumLength
        bytes = moldHeader(session, 1, 0)
        bytes.reserveCapacity(maximumLength)
    }

    public var isEmpty: Bool { count == 0 }

    /// Starts an empty packet whose first message will be `sequence`.
    public mutating func begin(at sequence: UInt64) {
        bytes.removeAll(keepingCapacity: true)
        bytes.append(contentsOf: moldHeader(session, sequence, 0))
        count = 0
    }

    /// Adds a message.
    /// - Returns: `false`, and nothing is added, when the packet would become too long: send it and begin
    ///   the next one.
    public mutating func append(_ message: some Collection<UInt8>) -> Bool {
        let length = message.count
        guard bytes.count + 2 + length <= maximumLength, count < MoldUDP64Packet.endOfSessionCount - 1 else {
            return false
        }
        bytes.append(UInt8(truncatingIfNeeded: length >> 8))
        bytes.append(UInt8(truncatingIfNeeded: length))
        bytes.append(contentsOf: message)
        count += 1
        bytes[18] = UInt8(truncatingIfNeeded: count >> 8)
        bytes[19] = UInt8(truncatingIfNeeded: count)
        return true
    }

    /// The longest message that an empty packet can take.
    public var longestMessage: Int { maximumLength - MoldHeader.length - 2 }

    /// A packet without messages that names the sequence to come.
    public static func heartbeat(session: MoldSession, next sequence: UInt64) -> [UInt8] {
        moldHeader(session, sequence, 0)
    }

    /// The packet that ends a session, `sequence` being one past its last.
    public static func endOfSession(session: MoldSession, next sequence: UInt64) -> [UInt8] {
        moldHeader(session, sequence, MoldUDP64Packet.endOfSessionCount)
    }
}
