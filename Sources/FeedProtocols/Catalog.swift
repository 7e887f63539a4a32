// Every protocol, message format and file format that Holdfast speaks: one line each.

/// What a feed's arbiter must know of its protocol.
public struct FeedProtocolDescription: Hashable, Sendable {
    /// What sequence numbers count.
    public enum Numbering: Hashable, Sendable {
        /// Messages of one channel; two paths may cut packets differently.
        case messagesOfChannel
        /// Messages of each topic.
        case messagesOfTopic
    }

    /// What opens a new epoch.
    public enum Reset: Hashable, Sendable {
        /// Another session in the packets.
        case session
    }

    /// As configurations spell it.
    public var name: String
    public var numbering: Numbering
    public var reset: Reset
    /// A path that says nothing for this long has failed, unless configured otherwise.
    public var silence: Duration
}

/// The feed protocols, by the names that configurations use.
public let feedProtocols: [FeedProtocolDescription] = [
    FeedProtocolDescription(
        name: "moldudp64", numbering: .messagesOfChannel, reset: .session, silence: .seconds(3)),
    FeedProtocolDescription(
        name: "zeromq", numbering: .messagesOfTopic, reset: .session, silence: .milliseconds(300)),
]

/// The files that a feed can be played from.
public enum RecordingFormat: String, Hashable, Sendable, CaseIterable {
    case pcap
    case pcapng
    case binaryFILE = "binaryfile"

    /// Recognises a file by its first bytes (16 are enough); `nil`: none of these.
    public init?(recognising start: ArraySlice<UInt8>) {
        if PcapFileReader.isPcapng(start) {
            self = .pcapng
        } else if PcapFileReader.isPcap(start) {
            self = .pcap
        } else if BinaryFILEReader.looksLikeITCH(start) {
            self = .binaryFILE
        } else {
            return nil
        }
    }
}
