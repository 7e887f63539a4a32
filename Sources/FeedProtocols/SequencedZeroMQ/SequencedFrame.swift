// Holdfast's sequenced ZeroMQ upstream format: one ZeroMQ frame holds a topic, a NUL, a fixed little-endian
// header and the payload. The table is in the README beside this file.
public import Basics

/// One frame of a sequenced ZeroMQ feed.
public struct SequencedFrame {
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

    /// With its closing `/`.
    public let topic: ArraySlice<UInt8>
    public let kind: Kind
    /// One run of one stream; two servers that play the same stream have the same.
    public let session: UInt64
    /// Counts the messages of this topic from 1.
    public let sequence: UInt64
    /// When the server made the message.
    public let sourceTime: WallTime
    public let payload: ArraySlice<UInt8>

    /// A frame that came in another form.
    public init(
        topic: ArraySlice<UInt8>, kind: Kind, session: UInt64, sequence: UInt64, sourceTime: WallTime,
        payload: ArraySlice<UInt8>
    ) {
        self.topic = topic
        self.kind = kind
        self.session = session
        self.sequence = sequence
        self.sourceTime = sourceTime
        self.payload = payload
    }

    /// - Throws: `MalformedInput`: `oversized`, `badTopic`, `truncated`, `unknownVersion`, `unknownKind`; or
    ///   `inconsistent` for a data message with sequence 0 and for a heartbeat under another topic.
    public init(decoding frame: ArraySlice<UInt8>) throws(MalformedInput) {
        guard frame.count <= SequencedFrame.longest else {
            throw MalformedInput(.oversized, offset: 0, wanted: SequencedFrame.longest, found: frame.count)
        }
        topic = try SequencedFrame.topic(of: frame)
        let offset = topic.count + 1
        let rest = frame.dropFirst(offset)
        let header: Header
        do {
            header = try Header(rest)
        } catch {
            throw MalformedInput(
                .truncated, offset: offset, wanted: SequencedFrame.headerLength, found: rest.count)
        }
        guard header.version == SequencedFrame.version else {
            throw MalformedInput(.unknownVersion, offset: offset, wanted: 1, found: Int(header.version))
        }
        kind = try SequencedFrame.kind(of: header, offset: offset, topic: topic)
        session = header.session
        sequence = header.sequence
        sourceTime = WallTime(nanoseconds: header.time)
        payload = rest.dropFirst(SequencedFrame.headerLength)
    }

    private static func topic(of frame: ArraySlice<UInt8>) throws(MalformedInput) -> ArraySlice<UInt8> {
        let searched = frame.prefix(longestTopic + 1)
        guard let end = searched.firstIndex(of: 0), end > frame.startIndex,
            frame[end - 1] == UInt8(ascii: "/")
        else { throw MalformedInput(.badTopic, offset: 0, wanted: longestTopic + 1, found: frame.count) }
        return frame[frame.startIndex..<end]
    }

    private static func kind(
        of header: Header, offset: Int, topic: ArraySlice<UInt8>
    ) throws(MalformedInput) -> Kind {
        switch header.kind {
        case 1:
            guard header.sequence > 0 else {
                throw MalformedInput(.inconsistent, offset: offset + 16, wanted: 1, found: 0)
            }
            return .data
        case 2: return .idle
        case 3:
            guard topic.elementsEqual(heartbeatTopic) else {
                throw MalformedInput(.inconsistent, offset: offset + 1, wanted: 1, found: 3)
            }
            return .heartbeat(every: .milliseconds(Int64(header.interval)))
        default:
            throw MalformedInput(.unknownKind, offset: offset + 1, wanted: 3, found: Int(header.kind))
        }
    }

    /// The 32 bytes behind the NUL.
    private struct Header {
        let version, kind: UInt8
        let interval: UInt32
        let session, sequence: UInt64
        let time: Int64

        init(_ bytes: ArraySlice<UInt8>) throws(EndOfBytes) {
            var reader = ByteReader(bytes)
            version = try reader.littleEndian(UInt8.self)
            kind = try reader.littleEndian(UInt8.self)
            _ = try reader.take(2)
            interval = try reader.littleEndian(UInt32.self)
            session = try reader.littleEndian(UInt64.self)
            sequence = try reader.littleEndian(UInt64.self)
            time = try reader.littleEndian(Int64.self)
        }
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
