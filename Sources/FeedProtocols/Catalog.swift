// Every protocol, message format and file format that Holdfast speaks: one line each.
public import Basics

/// What a feed's arbiter must know of its protocol.
public struct FeedProtocolDescription: Hashable, Sendable {
    /// What sequence numbers count.
    public enum Numbering: Hashable, Sendable {
        /// Messages of one channel; two paths may cut packets differently.
        case messagesOfChannel
        /// Packets of one channel; both paths bring the same ones.
        case packetsOfChannel
        /// Messages of each topic.
        case messagesOfTopic
    }

    /// What opens a new epoch.
    public enum Reset: Hashable, Sendable {
        /// Another session in the packets.
        case session
        /// A message that says so, or numbers that begin again; each day, or each week.
        case daily
        case weekly
    }

    /// What the last message of a topic says to who joins late.
    public enum LastValue: Hashable, Sendable {
        /// A change: without those before it, it says little.
        case none
        /// All there is to know of the topic.
        case ofEachMessage
        /// Likewise, but of some messages only, which `InstrumentKeys` marks.
        case ofMarkedMessages
    }

    /// As configurations spell it.
    public var name: String
    public var numbering: Numbering
    public var reset: Reset
    /// A path that says nothing for this long has failed, unless configured otherwise: three heartbeats.
    public var silence: Duration
    /// The number after which 1 comes again; `nil`: there is none.
    public var lastSequence: UInt64?
    public var lastValue = LastValue.none
    /// The venue gives each of its sessions a name, within which no number begins anew.
    public var namesSessions = false

    public var isWeekly: Bool {
        switch reset {
        case .weekly: true
        case .session, .daily: false
        }
    }
}

/// The feed protocols, by the names that configurations use.
public let feedProtocols: [FeedProtocolDescription] = [
    FeedProtocolDescription(
        name: "moldudp64", numbering: .messagesOfChannel, reset: .session, silence: .seconds(3),
        namesSessions: true),
    FeedProtocolDescription(
        name: "soupbintcp", numbering: .messagesOfChannel, reset: .session, silence: .milliseconds(1400),
        namesSessions: true),
    FeedProtocolDescription(
        name: "pitch", numbering: .messagesOfChannel, reset: .daily, silence: .seconds(3),
        lastSequence: UInt64(UInt32.max)),
    FeedProtocolDescription(
        name: "iex-tp", numbering: .messagesOfChannel, reset: .session, silence: .seconds(3),
        lastValue: .ofMarkedMessages, namesSessions: true),
    FeedProtocolDescription(
        name: "mdp3", numbering: .packetsOfChannel, reset: .weekly, silence: .seconds(90)),
    FeedProtocolDescription(
        name: "holdfast", numbering: .messagesOfChannel, reset: .session, silence: .milliseconds(300),
        // Where its topics are numbered each by itself: others' messages may be changes.
        lastValue: .ofEachMessage),
    FeedProtocolDescription(
        name: "zeromq", numbering: .messagesOfTopic, reset: .session, silence: .milliseconds(300),
        lastValue: .ofEachMessage),
]

extension FeedProtocolDescription {
    /// - Precondition: the catalog has the name.
    public init(named name: String) {
        guard let found = feedProtocols.first(where: { $0.name == name }) else {
            preconditionFailure("the catalog has every protocol that a configuration may name")
        }
        self = found
    }
}

/// Protocols of numbered UDP packets, of which a line's headers can be watched.
public enum PacketProtocol: String, Hashable, Sendable, CaseIterable {
    case moldUDP64 = "moldudp64"
    case pitch
    case iexTP = "iex-tp"
    case mdp3

    /// The bytes of a packet that hold all that `header` reads.
    public static let headerBytes = 40

    /// What the numbers count.
    public var numbersPackets: Bool { self == .mdp3 }

    /// Three heartbeats of the protocol: CME sends one each 30 s, the others one each second.
    public var silence: Duration { self == .mdp3 ? .seconds(90) : .seconds(3) }

    /// Reads the header of a packet, of which `bytes` may be the beginning only.
    ///
    /// - Parameter length: the packet's on the wire, in bytes.
    /// - Throws: `MalformedInput` where it is not of this protocol.
    public func header(of bytes: ArraySlice<UInt8>, length: Int) throws(MalformedInput) -> SequencedHeader {
        switch self {
        case .moldUDP64: try MoldHeader(bytes).sequenced(length: length)
        case .pitch: try PITCHHeader(decoding: bytes, length: length).sequenced
        case .iexTP: try IEXTPHeader(decoding: bytes, length: length).sequenced
        case .mdp3: try MDP3Header(decoding: bytes, length: length).sequenced
        }
    }
}

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
