// Holdfast's sequenced ZeroMQ upstream format: one ZeroMQ frame holds a topic, a NUL, a fixed little-endian
// header and the payload. The table is in the README beside this file.
public import Basics

/// One frame of a sequenced ZeroMQ feed: what its header says, and where in its bytes the rest is.
public struct SequencedFrame: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        /// The topic's next message.
        case data
        /// The topic has nothing new; the sequence is its last (0: it has not had any).
        case idle
        /// The server lives, and says so again within the interval.
        case heartbeat(every: Duration)
    }

    static let version: UInt8 = 1
    static let headerLength = 32
    /// The longest topic, its closing `/` included, in bytes.
    public static let longestTopic = 255
    /// The longest frame that a reader takes, in bytes.
    public static let longest = 1 << 20
    /// The topic of heartbeats.
    public static let heartbeatTopic = Array("heartbeat/".utf8)

    /// Where the topic is, with its closing `/`.
    public let topic: Range<Int>
    public let kind: Kind
    /// One run of one stream; two servers that play the same stream have the same.
    public let session: UInt64
    /// Counts the messages of this topic from 1.
    public let sequence: UInt64
    /// When the server made the message.
    public let sourceTime: WallTime
    public let payload: Range<Int>
    /// The server says that it is not fresh itself; only of frames that came in another form.
    public let isStale: Bool
    /// Likewise: the server says that it is recovering itself.
    public let isRecovering: Bool
    /// Likewise: whether it says that it is closed itself; `nil`: it says nothing of that. Only of heartbeats.
    public let isClosed: Bool?

    /// A frame that came in another form.
    public init(
        topic: Range<Int>, kind: Kind, session: UInt64, sequence: UInt64, sourceTime: WallTime,
        payload: Range<Int>, isStale: Bool, isRecovering: Bool, isClosed: Bool?
    ) {
        self.topic = topic
        self.kind = kind
        self.session = session
        self.sequence = sequence
        self.sourceTime = sourceTime
        self.payload = payload
        self.isStale = isStale
        self.isRecovering = isRecovering
        self.isClosed = isClosed
    }

    /// - Throws: `MalformedInput`: `oversized`, `badTopic`, `truncated`, `unknownVersion`, `unknownKind`; or
    ///   `inconsistent` for a data message with sequence 0 and for a heartbeat under another topic.
    public init(decoding frame: Span<UInt8>) throws(MalformedInput) {
        guard frame.count <= SequencedFrame.longest else {
            throw MalformedInput(.oversized, offset: 0, wanted: SequencedFrame.longest, found: frame.count)
        }
        let end = try SequencedFrame.endOfTopic(in: frame)
        let header = end + 1
        guard frame.count - header >= SequencedFrame.headerLength else {
            throw MalformedInput(
                .truncated, offset: header, wanted: SequencedFrame.headerLength,
                found: frame.count - header)
        }
        guard frame[header] == SequencedFrame.version else {
            throw MalformedInput(.unknownVersion, offset: header, wanted: 1, found: Int(frame[header]))
        }
        self.init(
            topic: 0..<end, kind: try SequencedFrame.kind(of: frame, header: header),
            session: epoch(ofSession: frame.word(at: header + 8, as: UInt64.self)),
            sequence: frame.word(at: header + 16, as: UInt64.self),
            sourceTime: WallTime(nanoseconds: frame.word(at: header + 24, as: Int64.self)),
            payload: (header + SequencedFrame.headerLength)..<frame.count, isStale: false,
            isRecovering: false, isClosed: nil)
    }

    private static func kind(
        of frame: Span<UInt8>, header: Int
    ) throws(MalformedInput) -> Kind {
        switch frame[header + 1] {
        case 1:
            guard frame.word(at: header + 16, as: UInt64.self) > 0 else {
                throw MalformedInput(.inconsistent, offset: header + 16, wanted: 1, found: 0)
            }
            return .data
        case 2: return .idle
        case 3:
            guard frame.extracting(..<(header - 1)).isEqual(to: heartbeatTopic.span) else {
                throw MalformedInput(.inconsistent, offset: header + 1, wanted: 1, found: 3)
            }
            return .heartbeat(every: .milliseconds(Int64(frame.word(at: header + 4, as: UInt32.self))))
        case let other:
            throw MalformedInput(.unknownKind, offset: header + 1, wanted: 3, found: Int(other))
        }
    }

    /// Where the NUL is.
    private static func endOfTopic(in frame: Span<UInt8>) throws(MalformedInput) -> Int {
        var end = 0
        let limit = min(frame.count, longestTopic + 1)
        while end < limit, frame[end] != 0 { end += 1 }
        guard end < limit, end > 0, frame[end - 1] == UInt8(ascii: "/") else {
            throw MalformedInput(.badTopic, offset: 0, wanted: longestTopic + 1, found: frame.count)
        }
        return end
    }
}

/// What goes into a frame, for the server's side.
public struct SequencedFrameEncoder: Sendable {
    public var session: UInt64

    public init(session: UInt64) { self.session = session }

    /// Appends a frame to `writer`. A heartbeat's interval is cut to whole milliseconds below 2^32.
    /// - Parameter topic: with its closing `/`.
    public func write(
        _ kind: SequencedFrame.Kind, topic: some Collection<UInt8>, sequence: UInt64, sourceTime: WallTime,
        payload: some Collection<UInt8> = [], into writer: inout ByteWriter
    ) {
        writer.append(topic)
        writer.bigEndian(UInt8(0))
        writer.bigEndian(SequencedFrame.version)
        let (code, interval): (UInt8, Int64) =
            switch kind {
            case .data: (1, 0)
            case .idle: (2, 0)
            case .heartbeat(let every): (3, every.nanoseconds / 1_000_000)
            }
        writer.bigEndian(code)
        writer.bigEndian(UInt16(0))
        writer.littleEndian(UInt32(clamping: interval))
        writer.littleEndian(session)
        writer.littleEndian(sequence)
        writer.littleEndian(sourceTime.nanoseconds)
        writer.append(payload)
    }
}
