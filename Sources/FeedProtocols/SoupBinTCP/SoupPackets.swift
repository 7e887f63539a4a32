// What a SoupBinTCP client hears, as MoldUDP64 packets, which number messages in the same way: so one feed can have paths
// of both.

/// Puts a client's news into packets. Hand on what each call returns, in order, and call `flush` when all that came is
/// taken, and before a connection's end is told.
public struct SoupPackets {
    /// Messages longer than any packet: nobody can have them, and they are told as missing.
    public private(set) var tooLong: UInt64 = 0
    private var packet: MoldUDP64PacketBuilder
    /// What is in the packet was handed on. It is emptied when the next message comes, so that its bytes need no copy.
    private var isSpent = true

    public init() { packet = SoupPackets.builder(MoldSession("")) }

    private static func builder(_ session: MoldSession) -> MoldUDP64PacketBuilder {
        MoldUDP64PacketBuilder(session: session, maximumLength: MoldUDP64Packet.longest)
    }

    /// Takes news.
    /// - Returns: packets that are whole by now; a message waits for those that come with it.
    public mutating func take(_ news: SoupDialect.News) -> [[UInt8]] {
        switch news {
        case .begins(let position):
            let rest = flush()
            if packet.session != position.session { packet = SoupPackets.builder(position.session) }
            return rest + [MoldUDP64PacketBuilder.heartbeat(session: packet.session, next: position.next)]
        case .message(let sequence, let bytes): return add(bytes, sequence)
        case .heartbeat(let next):
            return flush() + [MoldUDP64PacketBuilder.heartbeat(session: packet.session, next: next)]
        case .sessionEnded(let next):
            return flush() + [MoldUDP64PacketBuilder.endOfSession(session: packet.session, next: next)]
        }
    }

    /// The packet that is not full, if there is anything in it.
    public mutating func flush() -> [[UInt8]] {
        guard !isSpent, !packet.isEmpty else { return [] }
        isSpent = true
        return [packet.bytes]
    }

    private mutating func add(_ message: ArraySlice<UInt8>, _ sequence: UInt64) -> [[UInt8]] {
        if isSpent { begin(at: sequence) }
        if packet.append(message) { return [] }
        let full = flush()
        begin(at: sequence)
        if !packet.append(message) {
            tooLong &+= 1
            isSpent = true
        }
        return full
    }

    private mutating func begin(at sequence: UInt64) {
        packet.begin(at: sequence)
        isSpent = false
    }
}
