// Reading a frame of the gateway's, from a stranger: bounded, and each refusal says where.
import Basics

/// Why bytes are no frame.
public struct FrameError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was wrong.
    public enum Problem: Hashable, Sendable {
        /// No NUL ends the topic within `Topic.longest` bytes.
        case noEndOfTopic
        /// The topic does not end in `/`.
        case topicWithoutSlash
        /// The frame ends in the middle of a field.
        case truncated(wanted: Int, left: Int)
        /// A version which this reader does not know.
        case version(UInt8)
        /// A kind outside 1 to 7, or one whose body was not asked for.
        case kind(UInt8)
        /// A channel state outside 1 to 4.
        case state(UInt8)
        /// An interval of sequences that does not ascend.
        case descendingGap
        /// A reason for a gap that version 1 does not have.
        case gapReason(UInt8)
        /// Text which is not UTF-8.
        case notUTF8
        /// Bytes after the end.
        case trailing(Int)
    }

    /// From the first byte of what was parsed.
    public var offset: Int
    public var problem: Problem

    init(_ problem: Problem, at offset: Int) {
        self.offset = offset
        self.problem = problem
    }

    init(_ end: EndOfBytes, base: Int = 0) {
        self.init(.truncated(wanted: end.wanted, left: end.left), at: base + end.offset)
    }

    public var description: String { "offset \(offset): \(problem.text)" }
}

extension FrameError.Problem {
    var text: String {
        switch self {
        case .noEndOfTopic: "no NUL ends the topic within \(Topic.longest) bytes"
        case .topicWithoutSlash: "the topic does not end in \"/\""
        case .truncated(let wanted, let left): "\(wanted) bytes wanted, \(left) left"
        case .version(let version): "version \(version), expected \(FrameHeader.version)"
        case .kind(let kind): "kind \(kind), expected 1 to 7 with the body of that kind"
        case .state(let state): "channel state \(state), expected 1 to 4"
        case .descendingGap: "the gap's last sequence is below its first"
        case .gapReason(let reason): "gap reason \(reason), expected 1 to 4"
        case .notUTF8: "the text is not UTF-8"
        case .trailing(let count): "\(count) bytes too many"
        }
    }
}

/// A frame taken apart; it shares the bytes that it was parsed from.
public struct Frame: Hashable, Sendable {
    /// The topic's bytes, `/` included and NUL excluded.
    public var topicBytes: ArraySlice<UInt8>
    public var header: FrameHeader
    /// The venue's message, or what `ControlBody` reads.
    public var body: ArraySlice<UInt8>

    /// Reads one frame. Unknown flags are kept and reserved bytes ignored: later versions may use them.
    public init(parsing bytes: ArraySlice<UInt8>) throws(FrameError) {
        guard let end = Frame.endOfTopic(bytes) else {
            throw FrameError(.noEndOfTopic, at: min(bytes.count, Topic.longest))
        }
        topicBytes = bytes[..<end]
        guard topicBytes.last == UInt8(ascii: "/") else {
            throw FrameError(.topicWithoutSlash, at: topicBytes.count)
        }
        let start = topicBytes.count + 1
        let rest = bytes[(end + 1)...]
        do throws(FrameError) {
            header = try FrameHeader(parsing: rest)
        } catch {
            throw FrameError(error.problem, at: start + error.offset)
        }
        body = rest.dropFirst(FrameHeader.size)
        if header.kind == .idle || header.kind == .sync, !body.isEmpty {
            throw FrameError(.trailing(body.count), at: start + FrameHeader.size)
        }
    }

    public init(parsing bytes: [UInt8]) throws(FrameError) { try self.init(parsing: bytes[...]) }

    /// The index of the NUL, which stands within the longest topic; a scan of raw bytes, because each
    /// message passes here.
    private static func endOfTopic(_ bytes: ArraySlice<UInt8>) -> Int? {
        let length = unsafe bytes.withUnsafeBytes { raw in
            unsafe raw.prefix(Topic.longest + 1).firstIndex(of: 0)
        }
        return length.map { bytes.startIndex + $0 }
    }

    /// The topic, taken apart.
    public func topic() throws(TopicError) -> Topic { try Topic(parsing: topicBytes) }
}

extension FrameHeader {
    /// Reads the first 56 bytes; offsets in errors count from the first of them.
    public init(parsing bytes: ArraySlice<UInt8>) throws(FrameError) {
        guard bytes.count >= FrameHeader.size else {
            throw FrameError(.truncated(wanted: FrameHeader.size, left: bytes.count), at: 0)
        }
        // The count was checked above: seven words lie within the bytes.
        let words: InlineArray<7, UInt64> = unsafe bytes.withUnsafeBytes { raw in
            InlineArray<7, UInt64> {
                unsafe UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self))
            }
        }
        let version = UInt8(truncatingIfNeeded: words[0])
        guard version == FrameHeader.version else { throw FrameError(.version(version), at: 0) }
        let kindByte = UInt8(truncatingIfNeeded: words[0] >> 8)
        guard let kind = FrameKind(rawValue: kindByte) else { throw FrameError(.kind(kindByte), at: 1) }
        let stateByte = UInt8(truncatingIfNeeded: words[4] >> 8)
        guard let state = ChannelState(rawValue: stateByte) else {
            throw FrameError(.state(stateByte), at: 33)
        }
        let path = UInt8(truncatingIfNeeded: words[4])
        let source = Int64(bitPattern: words[5])
        self.init(
            kind: kind, flags: FrameFlags(rawValue: UInt16(truncatingIfNeeded: words[0] >> 16)),
            feed: UInt16(truncatingIfNeeded: words[0] >> 32),
            channel: UInt16(truncatingIfNeeded: words[0] >> 48), epoch: words[1], sequence: words[2],
            previous: words[3], path: path == .max ? nil : path, state: state,
            run: UInt32(truncatingIfNeeded: words[4] >> 32),
            sourceTime: source == 0 ? nil : WallTime(nanoseconds: source),
            receiveTime: WallTime(nanoseconds: Int64(bitPattern: words[6])))
    }
}
