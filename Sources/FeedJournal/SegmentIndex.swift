// Where in a segment a sequence is, and from when to when it was received: an entry for every so many bytes, and which
// sequences of which epochs are there at all. It lies beside the segment and is made again from it where it is missing
// or does not fit.
public import Basics
import Wire

/// A segment's sparse index.
public struct SegmentIndex: Hashable, Sendable {
    public static let magic = Array("HFJINDEX".utf8)
    /// At least so many bytes of the segment are between two entries.
    static let spacing = 1 << 16
    /// Epochs that are told apart; with more the index says of nothing that it is not there.
    static let mostEpochs = 64
    /// Larger files are none of ours.
    public static let mostBytes = 64 << 20

    /// A record by which reading can begin.
    public struct Entry: Hashable, Sendable {
        public var offset: Int
        public var record: UInt64
        /// Of the first frame with data from here on.
        public var epoch: UInt64
        public var sequence: UInt64
        public var time: WallTime
    }

    /// The data of one epoch.
    public struct Span: Hashable, Sendable {
        public var epoch: UInt64
        public var first: UInt64
        public var last: UInt64
        public var count: UInt64
    }

    /// Of the segment for which it holds.
    public var size = 0
    public var records: UInt64 = 0
    public private(set) var entries: [Entry] = []
    public private(set) var spans: [Span] = []
    /// When the first and the last data was received.
    public private(set) var times: (first: WallTime, last: WallTime)? {
        get { firstTime.map { ($0, lastTime) } }
        set { (firstTime, lastTime) = (newValue?.first, newValue?.last ?? WallTime(nanoseconds: 0)) }
    }
    private var firstTime: WallTime?
    private var lastTime = WallTime(nanoseconds: 0)
    /// From when to when all of it was received or made: frames of every kind, and what holes stand for. `nil`: there is
    /// nothing that has a time.
    public private(set) var moments: ClosedRange<WallTime>?
    /// There are epochs of which it does not say what is there.
    public private(set) var isOverfull = false
    private var latest = 0

    public init() {}

    /// Takes the next record.
    public mutating func add(_ stamp: RecordStamp, at offset: Int, record: UInt64) {
        if let last = stamp.lastTime { widen(from: stamp.receiveTime, to: last) }
        guard stamp.frame == .data else { return }
        times = (min(firstTime ?? stamp.receiveTime, stamp.receiveTime), max(lastTime, stamp.receiveTime))
        if entries.last.map({ offset - $0.offset >= SegmentIndex.spacing }) ?? true {
            entries.append(
                Entry(
                    offset: offset, record: record, epoch: stamp.epoch, sequence: stamp.sequence,
                    time: stamp.receiveTime))
        }
        span(stamp)
    }

    /// A hole can say anything: its two times may stand in either order.
    private mutating func widen(from first: WallTime, to last: WallTime) {
        let known = moments ?? first...first
        moments = min(known.lowerBound, first, last)...max(known.upperBound, first, last)
    }

    private mutating func span(_ stamp: RecordStamp) {
        if latest < spans.count, spans[latest].epoch == stamp.epoch { return widen(stamp) }
        if let known = spans.firstIndex(where: { $0.epoch == stamp.epoch }) {
            latest = known
            widen(stamp)
        } else if spans.count < SegmentIndex.mostEpochs {
            latest = spans.count
            spans.append(
                Span(epoch: stamp.epoch, first: stamp.sequence, last: stamp.sequence, count: 1))
        } else {
            isOverfull = true
        }
    }

    private mutating func widen(_ stamp: RecordStamp) {
        spans[latest].first = min(spans[latest].first, stamp.sequence)
        spans[latest].last = max(spans[latest].last, stamp.sequence)
        spans[latest].count &+= 1
    }

    /// Tells what may be there, and not where.
    public var summary: SegmentIndex {
        var summary = self
        summary.entries = []
        return summary
    }

    // MARK: - Asking

    /// Frames with data.
    public var messages: UInt64 { spans.reduce(0) { $0 &+ $1.count } }

    public func span(of epoch: UInt64) -> Span? { spans.first { $0.epoch == epoch } }

    /// Whether sequences of the range may be here.
    public func mayHold(_ epoch: UInt64, _ range: SequenceRange) -> Bool {
        guard let span = span(of: epoch) else { return isOverfull }
        return span.first <= range.last && range.first <= span.last
    }

    /// The last entry before a sequence, where the channel is numbered as a whole; `nil`: read from the beginning. One with
    /// the same sequence may stand between the frames of a message that concerns several instruments.
    public func entry(before sequence: UInt64, of epoch: UInt64) -> Entry? {
        entries.last { $0.epoch == epoch && $0.sequence < sequence }
    }

    /// Of which sequences of an epoch each of a channel's segments may have something, data or gaps that were told: from
    /// behind the segment before it on to the one behind it, since what is missing between two segments is told at the end
    /// of one or the beginning of the other. `nil`: of none.
    public static func reaches(of epoch: UInt64, in segments: [SegmentIndex]) -> [SequenceRange?] {
        let spans = segments.map { $0.span(of: epoch) }
        var firstBehind = [UInt64?](repeating: nil, count: spans.count)
        var next: UInt64?
        for place in spans.indices.reversed() {
            firstBehind[place] = next
            if let span = spans[place] { next = min(span.first, span.last) }
        }
        var before: UInt64?
        // The segment before has some: the end of what there is may be told in the one behind it.
        var isNext = false
        return spans.indices.map { place in
            let first = before.map { $0 == .max ? .max : $0 + 1 }
            let last = firstBehind[place].map { $0 == 0 ? 0 : $0 - 1 }
            if let span = spans[place] {
                before = max(before ?? 0, span.first, span.last)
                isNext = true
                return SequenceRange(
                    min(span.first, span.last, first ?? .max), max(span.first, span.last, last ?? .max))
            }
            if segments[place].isOverfull { return SequenceRange(0, .max) }
            defer { isNext = false }
            guard let first, isNext || last != nil, first <= last ?? .max else { return nil }
            return SequenceRange(first, last ?? .max)
        }
    }
}

// MARK: - The file

extension SegmentIndex {
    private static let version: UInt16 = 2
    /// Of version 1, which does not say when what is no data was made.
    private static let anyMoments = WallTime(nanoseconds: .min)...WallTime(nanoseconds: .max)

    /// The file's contents.
    public func encoded(digest: Digest, _ crc: Checksum) -> [UInt8] {
        var writer = ByteWriter(capacity: 144 + entries.count * 40 + spans.count * 32)
        writer.append(SegmentIndex.magic)
        writer.littleEndian(SegmentIndex.version)
        writer.littleEndian(UInt16(isOverfull ? 1 : 0))
        writer.littleEndian(UInt32(spans.count))
        writer.littleEndian(UInt64(size))
        writer.littleEndian(records)
        writer.append(digest.bytes)
        writer.littleEndian(firstTime?.nanoseconds ?? 0)
        writer.littleEndian(lastTime.nanoseconds)
        writer.littleEndian(moments?.lowerBound.nanoseconds ?? 0)
        writer.littleEndian(moments?.upperBound.nanoseconds ?? 0)
        for span in spans {
            for word in [span.epoch, span.first, span.last, span.count] { writer.littleEndian(word) }
        }
        for entry in entries {
            for word in [UInt64(entry.offset), entry.record, entry.epoch, entry.sequence] {
                writer.littleEndian(word)
            }
            writer.littleEndian(entry.time.nanoseconds)
        }
        writer.littleEndian(crc(0, writer.bytes.span))
        return writer.bytes
    }

    /// Reads what `encoded` writes, with the digest of the segment; `nil`: it is not that, or of a segment of another
    /// size.
    public static func parse(
        _ bytes: [UInt8], size: Int, _ crc: Checksum
    ) -> (index: SegmentIndex, digest: Digest)? {
        guard bytes.count > 80, bytes.starts(with: magic),
            bytes[...].word(at: bytes.count - 4, as: UInt32.self)
                == crc(0, bytes.span.extracting(droppingLast: 4))
        else { return nil }
        var reader = ByteReader(bytes.dropLast(4).dropFirst(8))
        do throws(EndOfBytes) {
            let version = try reader.littleEndian(UInt16.self)
            guard (1...SegmentIndex.version).contains(version) else { return nil }
            var index = SegmentIndex()
            index.isOverfull = try reader.littleEndian(UInt16.self) != 0
            let spans = try reader.littleEndian(UInt32.self)
            guard try reader.littleEndian(UInt64.self) == UInt64(size), spans <= mostEpochs else {
                return nil
            }
            index.size = size
            index.records = try reader.littleEndian(UInt64.self)
            let digest = Digest(Array(try reader.take(Digest.size)))
            try index.readTimes(&reader)
            guard try index.readMoments(&reader, version) else { return nil }
            for _ in 0..<spans { index.spans.append(try readSpan(&reader)) }
            while !reader.isAtEnd {
                guard let entry = try readEntry(&reader), entry.offset < size else { return nil }
                index.entries.append(entry)
            }
            return (index, digest)
        } catch {
            return nil
        }
    }

    private mutating func readTimes(_ reader: inout ByteReader) throws(EndOfBytes) {
        let first = WallTime(nanoseconds: try reader.littleEndian(Int64.self))
        lastTime = WallTime(nanoseconds: try reader.littleEndian(Int64.self))
        firstTime = first.nanoseconds == 0 ? nil : first
    }

    /// Whether they can be.
    private mutating func readMoments(
        _ reader: inout ByteReader, _ version: UInt16
    ) throws(EndOfBytes) -> Bool {
        guard version > 1 else {
            moments = SegmentIndex.anyMoments
            return true
        }
        let first = WallTime(nanoseconds: try reader.littleEndian(Int64.self))
        let last = WallTime(nanoseconds: try reader.littleEndian(Int64.self))
        guard first <= last else { return false }
        moments = first.nanoseconds == 0 && last.nanoseconds == 0 ? nil : first...last
        return true
    }

    private static func readSpan(_ reader: inout ByteReader) throws(EndOfBytes) -> Span {
        Span(
            epoch: try reader.littleEndian(UInt64.self), first: try reader.littleEndian(UInt64.self),
            last: try reader.littleEndian(UInt64.self), count: try reader.littleEndian(UInt64.self))
    }

    private static func readEntry(_ reader: inout ByteReader) throws(EndOfBytes) -> Entry? {
        guard let offset = Int(exactly: try reader.littleEndian(UInt64.self)) else { return nil }
        return Entry(
            offset: offset, record: try reader.littleEndian(UInt64.self),
            epoch: try reader.littleEndian(UInt64.self), sequence: try reader.littleEndian(UInt64.self),
            time: WallTime(nanoseconds: try reader.littleEndian(Int64.self)))
    }
}
