// A record of a segment: a head of 16 bytes with checksums of its own and of what follows, and the contents. README.md
// beside this file has the table of offsets.
public import Basics
public import Wire

/// What a record holds.
public enum RecordKind: UInt8, Hashable, Sendable, CaseIterable {
    /// A frame as it was published, or would have been if somebody had wanted its topic: data, a gap, a state of the
    /// channel, or the heartbeat with which an epoch begins.
    case frame = 1
    /// What was not journalled.
    case hole = 2
    /// Messages of the venue that say which instruments there are.
    case directory = 3
}

/// The 16 bytes before a record's contents.
public struct RecordHead: Hashable, Sendable {
    public static let size = 16
    /// A venue's datagram, its topic and a header are shorter; a longer frame is left out, and noted as a hole.
    public static let mostBytes = 1 << 18

    public var kind: RecordKind
    /// How many bytes follow the head.
    public var length: Int
    /// The length of the topic with which the contents begin, without its NUL; 0: they begin with none.
    public var topicLength: Int
    /// CRC32C of the contents.
    public var checksum: UInt32

    public init(kind: RecordKind, length: Int, topicLength: Int, checksum: UInt32) {
        self.kind = kind
        self.length = length
        self.topicLength = topicLength
        self.checksum = checksum
    }

    /// Reads a head; `nil`: these are not 16 bytes of a head that nothing happened to.
    public init?(_ bytes: ArraySlice<UInt8>, _ crc: Checksum) {
        guard bytes.count >= RecordHead.size else { return nil }
        let start = bytes.startIndex
        // The kind first: it tells nearly all other places without a checksum.
        guard let kind = RecordKind(rawValue: bytes[start + 4]), bytes[start + 5] == 0 else { return nil }
        let length = Int(bytes.word(at: start, as: UInt32.self))
        let topicLength = Int(bytes.word(at: start + 6, as: UInt16.self))
        guard length <= RecordHead.mostBytes, topicLength <= Topic.longest,
            topicLength == 0 || topicLength < length
        else { return nil }
        guard crc(0, bytes.span.extracting(..<12)) == bytes.word(at: start + 12, as: UInt32.self) else {
            return nil
        }
        self.init(
            kind: kind, length: length, topicLength: topicLength,
            checksum: bytes.word(at: start + 8, as: UInt32.self))
    }
}

/// Where a record stands in a feed's numbering; what the index and readers need of it.
public struct RecordStamp: Hashable, Sendable {
    /// What kind of frame it is; `nil`: it is none.
    public var frame: FrameKind?
    public var epoch: UInt64
    /// Of a frame the one in its header; of a hole the first that is missing.
    public var sequence: UInt64
    public var receiveTime: WallTime
    /// When the last of it was received: of a frame the same, of a hole that of the last frame that is missing. `nil`:
    /// it has no time.
    public var lastTime: WallTime?
}

/// A record that nothing happened to, in a segment.
public struct Record: Hashable, Sendable {
    public var head: RecordHead
    /// Its number in the segment, from 0 on.
    public var number: UInt64
    /// Of its head, from the segment's first byte on.
    public var offset: Int
    public var contents: ArraySlice<UInt8>

    /// The topic, `/` included; empty where there is none.
    public var topic: ArraySlice<UInt8> { contents.prefix(head.topicLength) }

    public var stamp: RecordStamp {
        Record.stamp(head.kind, contents.span, topicLength: head.topicLength)
    }

    /// Read from where the fields of a frame's header are: each record passes here.
    static func stamp(
        _ kind: RecordKind, _ contents: Span<UInt8>, topicLength: Int
    ) -> RecordStamp {
        switch kind {
        case .frame:
            let start = topicLength + 1
            guard contents.count - start >= FrameHeader.size else { return Record.noStamp }
            let time = WallTime(nanoseconds: contents.word(at: start + 48, as: Int64.self))
            return RecordStamp(
                frame: FrameKind(rawValue: contents[start + 1]),
                epoch: contents.word(at: start + 8, as: UInt64.self),
                sequence: contents.word(at: start + 16, as: UInt64.self),
                receiveTime: time, lastTime: time)
        case .hole:
            let hole = Hole([UInt8](copying: contents)[...], topicLength: topicLength)
            return RecordStamp(
                frame: nil, epoch: hole?.epoch ?? 0, sequence: hole?.range?.first ?? 0,
                receiveTime: hole?.from ?? WallTime(nanoseconds: 0), lastTime: hole?.to)
        case .directory:
            return RecordStamp(
                frame: nil, epoch: contents.word(at: 0, as: UInt64.self), sequence: 0,
                receiveTime: WallTime(nanoseconds: 0))
        }
    }

    private static let noStamp = RecordStamp(
        frame: nil, epoch: 0, sequence: 0, receiveTime: WallTime(nanoseconds: 0))
}
