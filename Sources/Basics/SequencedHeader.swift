// What the header of a packet says of a feed's numbering, whatever the protocol: what line watching and
// arbitration need of it, and nothing of the messages themselves.

/// The numbers that one packet of a sequenced feed carries.
public struct SequencedHeader: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        /// So many numbered units, at least one, the first of them `firstSequence`.
        case data(count: UInt32)
        /// Nothing numbered; `firstSequence` is the next to come.
        case heartbeat
        /// The session is over; `firstSequence` is one past its last.
        case endOfSession
        /// The sender does not number this packet; `firstSequence` says nothing.
        case unsequenced
    }

    /// The session that the numbers belong to; `nil`: the protocol has none.
    public var session: UInt64?
    /// The number space within the feed: a PITCH unit, an IEX channel; 0 where there is one only.
    public var channel: UInt32
    public var firstSequence: UInt64
    public var kind: Kind
    /// How many messages the packet carries; `nil`: its header does not say.
    public var messages: UInt32?

    public init(
        session: UInt64? = nil, channel: UInt32 = 0, firstSequence: UInt64, kind: Kind, messages: UInt32?
    ) {
        self.session = session
        self.channel = channel
        self.firstSequence = firstSequence
        self.kind = kind
        self.messages = messages
    }
}
