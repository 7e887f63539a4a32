// Records that wait to be written, as the bytes which they become in the file.
import Basics

/// Records that wait to be written. Their checksums are made when they are written, on another thread than the one that
/// has market data to pass on, and in place: the storage goes there, becomes what is in the file, and comes back.
///
/// They are in pieces, each of whole records: while a disk keeps tens of megabytes waiting, nothing that is there
/// already is copied to make room for more.
public struct RecordBatch: Hashable, Sendable {
    /// Before the last one; each is full, or was the end of another batch.
    private var full: [Piece] = []
    private var last: Piece
    /// How long it is in the file.
    public private(set) var size = 0
    public private(set) var count = 0

    /// A piece that has as much does not grow: another one is begun. More than a record may have.
    static let mostInPiece = 1 << 20

    /// - Parameter capacity: bytes that it takes without growing.
    public init(capacity: Int = 0) { last = Piece(capacity: capacity) }

    public var isEmpty: Bool { count == 0 }

    /// Bytes that the last piece takes without growing.
    var capacity: Int { last.capacity }

    /// How many pieces there are.
    var pieces: Int { full.count + 1 }

    /// The records as they are, piece by piece and without a copy.
    public func forEachPiece<Failure>(
        _ body: (Span<UInt8>) throws(Failure) -> Void
    ) throws(Failure) {
        for piece in full { try piece.withBytes(body) }
        try last.withBytes(body)
    }

    private var joined: [UInt8] {
        var all: [UInt8] = []
        all.reserveCapacity(size)
        forEachPiece { piece in all += [UInt8](copying: piece) }
        return all
    }

    public static func == (left: RecordBatch, right: RecordBatch) -> Bool {
        left.count == right.count && left.joined == right.joined
    }

    public func hash(into hasher: inout Hasher) { hasher.combine(joined) }

    /// There are none any more; the storage of the last piece stays.
    mutating func removeAll() {
        if !full.isEmpty { full = [] }
        last.size = 0
        (size, count) = (0, 0)
    }

    /// `topicLength`: of the topic at the beginning of the contents.
    ///
    /// - Precondition: the contents are not longer than `RecordHead.mostBytes`.
    public mutating func append(_ kind: RecordKind, _ contents: [UInt8], topicLength: Int) {
        append(kind, contents.span, topicLength: topicLength)
    }

    /// Likewise, of borrowed bytes. Each message passes here.
    mutating func append(_ kind: RecordKind, _ contents: Span<UInt8>, topicLength: Int) {
        precondition(contents.count <= RecordHead.mostBytes, "a record is bounded")
        let length = RecordHead.size + contents.count
        if !last.hasRoom(for: length) { makeRoom(for: length) }
        last.append(kind, contents, topicLength: topicLength)
        size += length
        count += 1
    }

    /// Goes behind what is there already, as a copy.
    public mutating func append(_ other: RecordBatch) {
        other.forEachPiece { piece in
            if !last.hasRoom(for: piece.count) { makeRoom(for: piece.count) }
            last.append(piece)
        }
        size += other.size
        count += other.count
    }

    /// Goes behind what is there already, with its storage where that is more than little.
    mutating func append(taking other: inout RecordBatch) {
        if other.full.isEmpty, last.size + other.size <= RecordBatch.mostInPiece {
            append(other)
            return other.removeAll()
        }
        if last.size > 0 { full.append(last) }
        full += other.full
        last = other.last
        size += other.size
        count += other.count
        other = RecordBatch()
    }

    private mutating func makeRoom(for more: Int) {
        if last.size > 0, last.size + more > RecordBatch.mostInPiece {
            full.append(last)
            last = Piece()
            last.reserve(RecordBatch.mostInPiece)
        }
        last.makeRoom(for: more)
    }

    /// Makes the checksums, so that the bytes are those of the file, and tells of each record.
    ///
    /// - Parameters:
    ///   - offset: where the first record goes.
    ///   - each: where a record stands in the feed's numbering, and where in the segment.
    public mutating func seal(at offset: Int, _ crc: Checksum, each: (RecordStamp, Int) -> Void) {
        var offset = offset
        for index in full.indices {
            full[index].seal(at: offset, crc, each: each)
            offset += full[index].size
        }
        last.seal(at: offset, crc, each: each)
    }

    /// Each record's contents, in order, and the length of the topic with which they begin.
    func forEach(_ body: (RecordKind, _ contents: Span<UInt8>, _ topicLength: Int) -> Void) {
        for piece in full { piece.forEach(body) }
        last.forEach(body)
    }

    /// The batch as it stands in the file, and each record; `offset`: where the first record goes.
    public func sealed(at offset: Int, _ crc: Checksum, each: (RecordStamp, Int) -> Void) -> [UInt8] {
        var batch = self
        batch.seal(at: offset, crc, each: each)
        return batch.joined
    }
}

extension RecordBatch {
    /// Some of the records, one behind another.
    private struct Piece: Sendable {
        /// Heads, each with its contents, without checksums until they are sealed; and room for more behind them, so
        /// that a record is written in one piece.
        private var storage: [UInt8]
        var size = 0

        init(capacity: Int = 0) { storage = [UInt8](repeating: 0, count: capacity) }

        var capacity: Int { storage.capacity }

        func withBytes<Failure>(_ body: (Span<UInt8>) throws(Failure) -> Void) throws(Failure) {
            try body(storage.span.extracting(..<size))
        }

        func hasRoom(for more: Int) -> Bool { storage.count - size >= more }

        mutating func reserve(_ capacity: Int) { storage.reserveCapacity(capacity) }

        mutating func makeRoom(for more: Int) {
            guard !hasRoom(for: more) else { return }
            let least = size + more
            if capacity < least { reserve(max(least, min(2 * capacity, RecordBatch.mostInPiece))) }
            // Little at a time: what is beyond may never be needed.
            let next = max(least, min(capacity, storage.count + Piece.step))
            storage.append(contentsOf: repeatElement(0, count: next - storage.count))
        }

        /// Bytes that are made ready to be written at once.
        private static let step = 1 << 16

        /// - Precondition: there is room.
        mutating func append(_ kind: RecordKind, _ contents: Span<UInt8>, topicLength: Int) {
            let head =
                UInt64(UInt32(contents.count)) | UInt64(kind.rawValue) << 32 | UInt64(UInt16(topicLength))
                << 48
            unsafe storage.withUnsafeMutableBytes { all in
                unsafe all.storeBytes(of: head.littleEndian, toByteOffset: size, as: UInt64.self)
                unsafe all.storeBytes(of: 0, toByteOffset: size + 8, as: UInt64.self)
                unsafe Piece.copy(contents, to: all, at: size + RecordHead.size)
            }
            size += RecordHead.size + contents.count
        }

        /// Whole records.
        ///
        /// - Precondition: there is room.
        mutating func append(_ records: Span<UInt8>) {
            unsafe storage.withUnsafeMutableBytes { unsafe Piece.copy(records, to: $0, at: size) }
            size += records.count
        }

        /// - Precondition: there is room.
        private static func copy(_ bytes: Span<UInt8>, to all: UnsafeMutableRawBufferPointer, at place: Int) {
            unsafe bytes.withUnsafeBytes { bytes in
                unsafe UnsafeMutableRawBufferPointer(rebasing: all[place...]).copyMemory(from: bytes)
            }
        }

        mutating func seal(at offset: Int, _ crc: Checksum, each: (RecordStamp, Int) -> Void) {
            var start = 0
            while let place = place(at: start) {
                let (stamp, checksum) = judge(place, crc)
                each(stamp, offset + start)
                put(checksum, at: start + 8)
                put(headChecksum(at: start, crc), at: start + 12)
                start = place.contents.upperBound
            }
        }

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
    }
}
