// Reads a segment from its first byte to its last, in pieces, and says of each byte either what it is or that it is
// damaged. Behind damage it goes on with the next head that is whole: one flipped byte costs one record.
import Basics
import Wire

/// Bytes of a segment that are not what was written.
public struct SegmentDamage: Hashable, Sendable {
    public enum Problem: Hashable, Sendable {
        case header(SegmentHeader.Problem)
        /// The head's checksum, or its fields.
        case head
        /// The checksum of the contents.
        case contents
        /// The segment ends within the record.
        case truncated(wanted: Int, left: Int)
    }

    public var problem: Problem
    /// The number of the record in the segment; of a damaged head, how many records were before it.
    public var record: UInt64
    public var offset: Int
    public var bytes: Int
    /// The sequence of the record before, and its epoch; `nil`: there is none in this segment.
    public var after: (epoch: UInt64, sequence: UInt64)? {
        afterSequence.map { (afterEpoch, $0) }
    }
    var afterEpoch: UInt64 = 0
    var afterSequence: UInt64?
    /// The sequence that the record itself bears, as far as its damaged contents can be believed.
    public var sequence: UInt64?

    init(_ problem: Problem, record: UInt64, offset: Int, bytes: Int) {
        self.problem = problem
        self.record = record
        self.offset = offset
        self.bytes = bytes
    }
}

extension SegmentDamage: CustomStringConvertible {
    /// For a person: "record 17 (sequence 4711) at byte 1024: the checksum of its contents does not fit".
    public var description: String {
        switch problem {
        case .header(let problem): return "header: \(problem)"
        case .head: return "\(place): its head is damaged, \(bytes) bytes cannot be read"
        case .contents: return "\(place): the checksum of its contents does not fit"
        case .truncated(let wanted, let left):
            return "\(place): cut off, \(wanted) bytes wanted, \(left) left"
        }
    }

    private var place: String {
        let words =
            switch (sequence, afterSequence) {
            case (let sequence?, _): " (sequence \(sequence))"
            case (nil, let after?): " (after sequence \(after))"
            case (nil, nil): ""
            }
        return "record \(record)\(words) at byte \(offset)"
    }
}

/// A value that is fed with a segment's bytes.
public struct SegmentScanner: Sendable {
    public enum Finding: Hashable, Sendable {
        case header(SegmentHeader)
        case record(Record)
        case damage(SegmentDamage)
    }

    private enum Mode { case header, records }

    private let crc: Checksum
    private var unread: ArraySlice<UInt8> = []
    private var isComplete = false
    private var mode = Mode.header
    /// Where in the segment what was not taken apart yet begins: `unread`, or what is passed over before it.
    private var offset = 0
    private var number: UInt64 = 0
    /// The head at `offset` is damaged, and the next one is looked for.
    private var isSearching = false
    /// Bytes before `unread` that hold none, and were let go of.
    private var passed = 0
    private var last: (epoch: UInt64, sequence: UInt64)?
    /// Records of frames that were found whole.
    public private(set) var frames: UInt64 = 0
    /// Where the last whole record, or the header, ends.
    public private(set) var wholeThrough = 0

    public init(_ crc: @escaping Checksum) { self.crc = crc }

    /// The number that the next record has.
    public var records: UInt64 { number }
    /// Bytes that were taken apart.
    public var position: Int { offset }
    /// Where who wants records only can read on: what was searched before holds none.
    public var searchedThrough: Int { offset + passed }
    /// Bytes that wait for more.
    var held: Int { unread.count }

    /// Reads on from a record in the middle of a segment, as an index names it.
    ///
    /// - Parameter last: the epoch and sequence of the record before, where they are known.
    public init(
        _ crc: @escaping Checksum, from offset: Int, record number: UInt64,
        after last: (epoch: UInt64, sequence: UInt64)? = nil
    ) {
        self.crc = crc
        self.last = last
        self.offset = offset
        self.number = number
        mode = .records
    }

    public mutating func push(_ bytes: [UInt8]) {
        unread = unread.isEmpty ? bytes[...] : Array(unread + bytes)[...]
    }

    /// There are no more bytes.
    public mutating func finish() { isComplete = true }

    /// The next finding; `nil`: more bytes are needed, or, after `finish`, that was all.
    public mutating func next() -> Finding? {
        switch mode {
        case .header: header()
        case .records: record()
        }
    }

    private mutating func consume(_ count: Int) {
        unread = unread.dropFirst(count)
        offset += passed + count
        (isSearching, passed) = (false, 0)
    }

    private mutating func header() -> Finding? {
        let isEnough = SegmentHeader.size(of: unread).map { unread.count >= $0 } ?? false
        guard isEnough || isComplete || unread.count >= SegmentHeader.mostBytes else { return nil }
        guard !unread.isEmpty || isComplete else { return nil }
        mode = .records
        do throws(SegmentHeader.Problem) {
            let header = try SegmentHeader(parsing: unread, crc)
            consume(SegmentHeader.size(of: unread) ?? 0)
            wholeThrough = offset
            return .header(header)
        } catch {
            // The records behind it may be whole.
            isSearching = true
            return .damage(SegmentDamage(.header(error), record: 0, offset: 0, bytes: 0))
        }
    }

    private mutating func record() -> Finding? {
        if unread.isEmpty { return nil }
        if !isSearching, let head = RecordHead(unread, crc) { return record(head) }
        if !isSearching, unread.count < RecordHead.size, !isComplete { return nil }
        return search()
    }

    private mutating func record(_ head: RecordHead) -> Finding? {
        let size = RecordHead.size + head.length
        guard unread.count >= size else {
            guard isComplete else { return nil }
            return damage(.truncated(wanted: size, left: unread.count), bytes: unread.count)
        }
        let start = unread.startIndex + RecordHead.size
        let contents = unread[start..<(start + head.length)]
        let record = Record(head: head, number: number, offset: offset, contents: contents)
        guard crc(0, contents.span) == head.checksum else {
            return damage(.contents, bytes: size, sequence: head.kind == .frame ? record.stamp.sequence : nil)
        }
        if head.kind == .frame {
            frames &+= 1
            let stamp = record.stamp
            if stamp.frame == .data { last = (stamp.epoch, stamp.sequence) }
        }
        number &+= 1
        consume(size)
        wholeThrough = offset
        return .record(record)
    }

    private mutating func damage(
        _ problem: SegmentDamage.Problem, bytes: Int, sequence: UInt64? = nil
    ) -> Finding {
        var damage = SegmentDamage(problem, record: number, offset: offset, bytes: passed + bytes)
        damage.afterEpoch = last?.epoch ?? 0
        damage.afterSequence = last?.sequence
        damage.sequence = sequence
        number &+= 1
        consume(bytes)
        return .damage(damage)
    }

    /// Looks for the next head; each place is looked at once, and then let go of.
    private mutating func search() -> Finding? {
        isSearching = true
        // The first byte of all is where the damaged one is.
        var place = unread.startIndex + (passed == 0 ? 1 : 0)
        while place + RecordHead.size <= unread.endIndex {
            if RecordHead(unread[place...], crc) != nil {
                return damage(.head, bytes: place - unread.startIndex)
            }
            place += 1
        }
        guard isComplete else {
            passed += place - unread.startIndex
            unread = unread[place...]
            return nil
        }
        let (wanted, left) = (RecordHead.size, passed + unread.count)
        return left < wanted
            ? damage(.truncated(wanted: wanted, left: left), bytes: unread.count)
            : damage(.head, bytes: unread.count)
    }
}
