// A market-data message on the wire: one ZeroMQ frame of topic, NUL, a fixed header of 56 little-endian
// bytes, and the body. README.md beside this file has the table of offsets.
public import Basics

/// What a frame is.
public enum FrameKind: UInt8, Hashable, Sendable, CaseIterable {
    /// A venue's message, unchanged, as the body.
    case data = 1
    /// Nothing new on this topic: its last sequence again, without a body.
    case idle = 2
    /// On a control topic: the channel is alive.
    case heartbeat = 3
    /// On a control topic: these sequences will not come.
    case gap = 4
    /// On a control topic: what the channel is now.
    case state = 5
    /// The echo of a subscription to `sync/<nonce>/`.
    case sync = 6
    /// Several consecutive messages of a channel: see `BatchBody`.
    case batch = 7
}

/// How far a channel can be trusted.
public enum ChannelState: UInt8, Hashable, Sendable, CaseIterable {
    /// Complete and within its freshness limit.
    case live = 1
    /// Incomplete: joining, filling a gap or moving to another path.
    case recovering = 2
    /// Silent beyond its freshness limit on every path.
    case stale = 3
    /// The venue ended the session, or the calendar did.
    case closed = 4
}

/// What a frame's flags say.
public struct FrameFlags: OptionSet, Hashable, Sendable {
    public var rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// The channel was recovering when the message was published.
    public static let recovering = FrameFlags(rawValue: 1 << 0)
    /// The channel was stale.
    public static let stale = FrameFlags(rawValue: 1 << 1)
    /// The source time was older than the freshness limit.
    public static let late = FrameFlags(rawValue: 1 << 2)
    /// The epoch was inferred from numbers that began again: the venue named no session.
    public static let epochInferred = FrameFlags(rawValue: 1 << 3)
    /// Sequences are numbered per topic; otherwise per channel.
    public static let numberedPerTopic = FrameFlags(rawValue: 1 << 4)
    /// The instrument is `#` and the venue's decimal number, or not known at all.
    public static let unresolved = FrameFlags(rawValue: 1 << 5)
    /// The message concerns several instruments: other topics have it under the same sequence.
    public static let severalTopics = FrameFlags(rawValue: 1 << 6)
    /// In the answer to a request: the topic's last value. Flags and state are those of the answer's time.
    public static let lastValue = FrameFlags(rawValue: 1 << 7)
}

/// The fixed header of each frame.
public struct FrameHeader: Hashable, Sendable {
    public static let version: UInt8 = 1
    /// Its length in bytes.
    public static let size = 56

    public var kind: FrameKind
    public var flags: FrameFlags
    /// The feed's index in the gateway's configuration; the topic has its name.
    public var feed: UInt16
    public var channel: UInt16
    /// The numbering that `sequence` belongs to; see `epoch(ofSession:)`.
    public var epoch: UInt64
    public var sequence: UInt64
    /// What was published last on this topic, also across a gap; 0: nothing in this run and epoch, or it is not known,
    /// as when a venue that numbers each topic named a last message that did not come. An idle frame names its own
    /// `sequence` here.
    public var previous: UInt64
    /// The index of the path that delivered the message, 0 to 254.
    public var path: UInt8?
    public var state: ChannelState
    /// Which run of the gateway, and of the feed in it, made the frame; 0: it does not say. Runs have no order.
    public var run: UInt32
    /// When the venue sent it; `nil`: the venue does not say.
    public var sourceTime: WallTime?
    /// When it reached the gateway, or when the gateway made it.
    public var receiveTime: WallTime

    public init(
        kind: FrameKind, flags: FrameFlags = [], feed: UInt16, channel: UInt16, epoch: UInt64,
        sequence: UInt64, previous: UInt64 = 0, path: UInt8? = nil, state: ChannelState, run: UInt32 = 0,
        sourceTime: WallTime? = nil, receiveTime: WallTime
    ) {
        self.kind = kind
        self.flags = flags
        self.feed = feed
        self.channel = channel
        self.epoch = epoch
        self.sequence = sequence
        self.previous = previous
        self.path = path
        self.state = state
        self.run = run
        self.sourceTime = sourceTime
        self.receiveTime = receiveTime
    }

    /// Whether the channel is incomplete, or what it sends was sent by the venue before.
    public var isRecovering: Bool { state == .recovering || flags.contains(.recovering) }

    /// The epoch of a venue's session: FNV-1a of its text without padding, so that two gateways agree.
    public static func epoch(ofSession session: some Sequence<UInt8>) -> UInt64 {
        fnv1a(ArraySlice(Array(session)).trimmedText.utf8)
    }
}

// MARK: - Writing

extension FrameHeader {
    /// Appends the 56 bytes: seven words put together in registers and copied once.
    @inlinable
    public func encode(into output: inout [UInt8]) {
        let identity =
            UInt64(FrameHeader.version) | UInt64(kind.rawValue) << 8 | UInt64(flags.rawValue) << 16
            | UInt64(feed) << 32 | UInt64(channel) << 48
        let delivery = UInt64(path ?? .max) | UInt64(state.rawValue) << 8 | UInt64(run) << 32
        let words = (
            identity.littleEndian, epoch.littleEndian, sequence.littleEndian, previous.littleEndian,
            delivery.littleEndian, (sourceTime?.nanoseconds ?? 0).littleEndian,
            receiveTime.nanoseconds.littleEndian
        )
        unsafe withUnsafeBytes(of: words) { unsafe output.append(contentsOf: $0) }
    }

    /// Likewise, of slices.
    @inlinable
    public func encode(topic: ArraySlice<UInt8>, body: ArraySlice<UInt8>, into output: inout [UInt8]) {
        encode(topic: topic.span, body: body.span, into: &output)
    }

    /// Appends the whole frame: `topic`, NUL, this header, `body`.
    @inlinable
    public func encode(topic: Span<UInt8>, body: Span<UInt8>, into output: inout [UInt8]) {
        output.append(copying: topic)
        output.append(0)
        encode(into: &output)
        output.append(copying: body)
    }
}
