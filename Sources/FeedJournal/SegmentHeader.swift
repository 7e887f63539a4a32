// How a segment begins, what it is called, and where it lies.
public import Basics
import Wire

/// The first bytes of a segment.
public struct SegmentHeader: Hashable, Sendable {
    public static let magic = Array("HFJOURNL".utf8)
    public static let version: UInt16 = 1
    /// Its length without the feed's name.
    static let fixedSize = 77
    /// With the longest name.
    public static let mostBytes = fixedSize + 255

    public var feed: String
    public var channel: UInt16
    /// Ascending by one along a chain, from 1 on.
    public var number: UInt64
    /// Which run of the gateway, and of the feed in it, wrote it.
    public var run: UInt32
    public var created: WallTime
    /// The SHA-256 of the whole segment before; `none` of the first one.
    public var previous: Digest

    public init(
        feed: String, channel: UInt16, number: UInt64, run: UInt32, created: WallTime, previous: Digest
    ) {
        self.feed = feed
        self.channel = channel
        self.number = number
        self.run = run
        self.created = created
        self.previous = previous
    }

    /// - Precondition: the feed's name is not longer than 255 bytes.
    public func encoded(_ crc: Checksum) -> [UInt8] {
        precondition(feed.utf8.count <= 255, "a feed's name is bounded")
        var writer = ByteWriter(capacity: SegmentHeader.mostBytes)
        writer.append(SegmentHeader.magic)
        writer.littleEndian(SegmentHeader.version)
        writer.littleEndian(UInt16(SegmentHeader.fixedSize + feed.utf8.count))
        writer.littleEndian(channel)
        writer.littleEndian(UInt16(0))
        writer.littleEndian(number)
        writer.littleEndian(created.nanoseconds)
        writer.littleEndian(run)
        writer.littleEndian(UInt32(0))
        writer.append(previous.bytes)
        writer.littleEndian(UInt8(feed.utf8.count))
        writer.append(feed.utf8)
        writer.littleEndian(crc(0, writer.bytes.span))
        return writer.bytes
    }

    /// By which it is told from another one of the same number.
    public func checksum(_ crc: Checksum) -> UInt32 {
        let bytes = encoded(crc)[...]
        return bytes.word(at: bytes.endIndex - 4, as: UInt32.self)
    }

    /// Why bytes are no header.
    public enum Problem: Error, Hashable, Sendable {
        case truncated(wanted: Int, left: Int)
        case notASegment
        case version(UInt16)
        case checksum
        case name
    }

    /// How many bytes the header takes, as it says itself; `nil`: not even that can be read yet.
    static func size(of bytes: ArraySlice<UInt8>) -> Int? {
        bytes.count >= 12 ? Int(bytes.word(at: bytes.startIndex + 10, as: UInt16.self)) : nil
    }

    public init(parsing bytes: ArraySlice<UInt8>, _ crc: Checksum) throws(Problem) {
        guard bytes.prefix(8).elementsEqual(SegmentHeader.magic.prefix(bytes.count)) else {
            throw .notASegment
        }
        guard let size = SegmentHeader.size(of: bytes) else {
            throw .truncated(wanted: SegmentHeader.fixedSize, left: bytes.count)
        }
        let start = bytes.startIndex
        let version = bytes.word(at: start + 8, as: UInt16.self)
        guard version == SegmentHeader.version else { throw .version(version) }
        guard (SegmentHeader.fixedSize...SegmentHeader.mostBytes).contains(size) else { throw .checksum }
        guard bytes.count >= size else { throw .truncated(wanted: size, left: bytes.count) }
        let end = start + size - 4
        guard crc(0, bytes.span.extracting(..<(size - 4))) == bytes.word(at: end, as: UInt32.self) else {
            throw .checksum
        }
        guard Int(bytes[start + 72]) == size - SegmentHeader.fixedSize,
            let feed = String(validating: bytes[(start + 73)..<end], as: UTF8.self)
        else { throw .name }
        self.init(
            feed: feed, channel: bytes.word(at: start + 12, as: UInt16.self),
            number: bytes.word(at: start + 16, as: UInt64.self),
            run: bytes.word(at: start + 32, as: UInt32.self),
            created: WallTime(nanoseconds: bytes.word(at: start + 24, as: Int64.self)),
            previous: Digest(Array(bytes[(start + 40)..<(start + 72)])))
    }
}

extension SegmentHeader.Problem: CustomStringConvertible {
    public var description: String {
        switch self {
        case .truncated(let wanted, let left): "\(wanted) bytes wanted, \(left) left"
        case .notASegment: "this is no segment of a journal"
        case .version(let version): "format version \(version), expected \(SegmentHeader.version)"
        case .checksum: "its checksum does not fit"
        case .name: "the feed's name is not what its length says"
        }
    }
}

/// Names of a journal's files and folders.
public enum SegmentName {
    public static let suffix = ".journal"
    public static let indexSuffix = ".index"

    /// `itch/0`, below the journal's folder. A name that begins with a dot would be hidden, or lead elsewhere.
    public static func folder(feed: String, channel: UInt16) -> String { "\(folder(feed: feed))/\(channel)" }

    public static func folder(feed: String) -> String {
        let name = PercentEncoding.encode(feed)
        return name.hasPrefix(".") ? "%2E" + name.dropFirst() : name
    }

    /// `000000000042.journal`
    public static func file(_ number: UInt64) -> String { padded(Int64(clamping: number), 12) + suffix }
    public static func index(_ number: UInt64) -> String { padded(Int64(clamping: number), 12) + indexSuffix }

    /// The number of a segment's file; `nil`: the file is none.
    public static func number(of name: some StringProtocol) -> UInt64? {
        guard name.hasSuffix(suffix), let number = UInt64(name.dropLast(suffix.count)), number > 0,
            number <= UInt64(Int64.max), file(number) == name
        else { return nil }
        return number
    }
}
