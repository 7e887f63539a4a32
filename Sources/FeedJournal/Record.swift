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
    /// No frame is longer: a venue's datagram, its topic and a header.
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
            return RecordStamp(
                frame: FrameKind(rawValue: contents[start + 1]),
                epoch: contents.word(at: start + 8, as: UInt64.self),
                sequence: contents.word(at: start + 16, as: UInt64.self),
                receiveTime: WallTime(nanoseconds: contents.word(at: start + 48, as: Int64.self)))
        case .hole:
            let hole = Hole([UInt8](copying: contents)[...], topicLength: topicLength)
            return RecordStamp(
                frame: nil, epoch: hole?.epoch ?? 0, sequence: hole?.range?.first ?? 0,
                receiveTime: hole?.from ?? WallTime(nanoseconds: 0))
        case .directory:
            return RecordStamp(
                frame: nil, epoch: contents.word(at: 0, as: UInt64.self), sequence: 0,
                receiveTime: WallTime(nanoseconds: 0))
        }
    }

    private static let noStamp = RecordStamp(
        frame: nil, epoch: 0, sequence: 0, receiveTime: WallTime(nanoseconds: 0))
}

/// Records that wait to be written. Their checksums are made when they are written, on another thread than the one that
/// has market data to pass on, and in place: the storage goes there, becomes what is in the file, and comes back.
public struct RecordBatch: Hashable, Sendable {
    /// Heads, each with its contents, without checksums until they are sealed; and room for more behind them, so that a
    /// record is written in one piece.
    private var storage: [UInt8] = []
    /// How long it is in the file.
    public private(set) var size = 0
    public private(set) var count = 0

    /// - Parameter capacity: bytes that it takes without growing.
    public init(capacity: Int = 0) { storage = [UInt8](repeating: 0, count: capacity) }

    public var isEmpty: Bool { count == 0 }

    /// Bytes that it takes without growing.
    var capacity: Int { storage.capacity }

    /// The records as they are, without a copy.
    public func withBytes<Result, Failure>(
        _ body: (Span<UInt8>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(storage.span.extracting(..<size))
    }

    public static func == (left: RecordBatch, right: RecordBatch) -> Bool {
        left.count == right.count && left.storage.prefix(left.size) == right.storage.prefix(right.size)
    }

    public func hash(into hasher: inout Hasher) { hasher.combine(storage.prefix(size)) }

    /// There are none any more; the storage stays.
    mutating func removeAll() { (size, count) = (0, 0) }

    /// `topicLength`: of the topic at the beginning of the contents.
    ///
    /// - Precondition: the contents are not longer than `RecordHead.mostBytes`.
    public mutating func append(_ kind: RecordKind, _ contents: [UInt8], topicLength: Int) {
        append(kind, contents.span, topicLength: topicLength)
    }

    /// Likewise, of borrowed bytes. Each message passes here.
    mutating func append(_ kind: RecordKind, _ contents: Span<UInt8>, topicLength: Int) {
        precondition(contents.count <= RecordHead.mostBytes, "a record is bounded")
        let head =
            UInt64(UInt32(contents.count)) | UInt64(kind.rawValue) << 32 | UInt64(UInt16(topicLength)) << 48
        makeRoom(for: RecordHead.size + contents.count)
        unsafe storage.withUnsafeMutableBytes { all in
            unsafe all.storeBytes(of: head.littleEndian, toByteOffset: size, as: UInt64.self)
            unsafe all.storeBytes(of: 0, toByteOffset: size + 8, as: UInt64.self)
            unsafe RecordBatch.copy(contents, to: all, at: size + RecordHead.size)
        }
        size += RecordHead.size + contents.count
        count += 1
    }

    /// Goes behind what is there already.
    public mutating func append(_ other: RecordBatch) {
        makeRoom(for: other.size)
        other.withBytes { records in
            unsafe storage.withUnsafeMutableBytes { unsafe RecordBatch.copy(records, to: $0, at: size) }
        }
        size += other.size
        count += other.count
    }

    private mutating func makeRoom(for more: Int) {
        guard storage.count - size < more else { return }
        let least = size + more
        if storage.capacity < least { storage.reserveCapacity(max(least, 2 * storage.capacity)) }
        // Little at a time: what is beyond may never be needed.
        let next = max(least, min(storage.capacity, storage.count + RecordBatch.step))
        storage.append(contentsOf: repeatElement(0, count: next - storage.count))
    }

    /// Bytes that are made ready to be written at once.
    private static let step = 1 << 16

    /// - Precondition: there is room.
    private static func copy(_ bytes: Span<UInt8>, to all: UnsafeMutableRawBufferPointer, at place: Int) {
        unsafe bytes.withUnsafeBytes { bytes in
            unsafe UnsafeMutableRawBufferPointer(rebasing: all[place...]).copyMemory(from: bytes)
        }
    }

    /// Makes the checksums, so that the bytes are those of the file, and tells of each record.
    ///
    /// - Parameters:
    ///   - offset: where the first record goes.
    ///   - each: where a record stands in the feed's numbering, and where in the segment.
    public mutating func seal(at offset: Int, _ crc: Checksum, each: (RecordStamp, Int) -> Void) {
        var start = 0
        while let place = place(at: start) {
            let (stamp, checksum) = judge(place, crc)
            each(stamp, offset + start)
            put(checksum, at: start + 8)
            put(headChecksum(at: start, crc), at: start + 12)
            start = place.contents.upperBound
        }
    }

    /// Each record's contents, in order, and the length of the topic with which they begin.
    func forEach(_ body: (RecordKind, _ contents: Span<UInt8>, _ topicLength: Int) -> Void) {
        var start = 0
        while let place = place(at: start) {
            body(place.kind, storage.span.extracting(place.contents), place.topicLength)
            start = place.contents.upperBound
        }
    }

    private struct Place {
        var kind: RecordKind
        var topicLength: Int
        var contents: Range<Int>
    }

    /// Of the record whose head is there.
    private func place(at start: Int) -> Place? {
        guard start < size, let kind = RecordKind(rawValue: storage[start + 4]) else { return nil }
        let (all, first) = (storage.span, start + RecordHead.size)
        let length = Int(all.word(at: start, as: UInt32.self))
        return Place(
            kind: kind, topicLength: Int(all.word(at: start + 6, as: UInt16.self)),
            contents: first..<(first + length))
    }

    private func judge(_ place: Place, _ crc: Checksum) -> (RecordStamp, UInt32) {
        let contents = storage.span.extracting(place.contents)
        return (Record.stamp(place.kind, contents, topicLength: place.topicLength), crc(0, contents))
    }

    private func headChecksum(at start: Int, _ crc: Checksum) -> UInt32 {
        crc(0, storage.span.extracting(start..<(start + 12)))
    }

    private mutating func put(_ checksum: UInt32, at place: Int) {
        unsafe storage.withUnsafeMutableBytes { bytes in
            unsafe bytes.storeBytes(of: checksum.littleEndian, toByteOffset: place, as: UInt32.self)
        }
    }

    /// The batch as it stands in the file, and each record; `offset`: where the first record goes.
    public func sealed(at offset: Int, _ crc: Checksum, each: (RecordStamp, Int) -> Void) -> [UInt8] {
        var batch = self
        batch.seal(at: offset, crc, each: each)
        return batch.withBytes { [UInt8](copying: $0) }
    }
}
