// Reads a channel's journal from a place on, segment after segment, as far as it goes.
public import Basics
public import FeedJournal
public import Linux
import Wire

/// Where reading begins.
public enum JournalStart: Hashable, Sendable {
    case beginning
    /// With the first data of this sequence or a later one; `nil`: of any epoch.
    case sequence(UInt64, epoch: UInt64?)
    /// With the first frame, of whatever kind, that was received or made then or later, or with a hole that reaches as
    /// far.
    case time(WallTime)
}

/// A reader of one channel.
public struct JournalCursor {
    public enum Finding: Hashable, Sendable {
        case record(Record, segment: UInt64)
        case damage(SegmentDamage, segment: UInt64)
    }

    private let folder: ChannelFolder
    private let start: JournalStart
    /// What was received then or later is left out. Times do not ascend: what came by a re-request stands where its
    /// number has it.
    private let until: WallTime?
    /// The last segment that there was at the beginning, behind which nothing is read; `nil`: there is none.
    public let last: UInt64?
    private var rest: ArraySlice<UInt64>
    private var scanner: SegmentScanner?
    private var file: ReadFile?
    private var segment: UInt64 = 0
    private var position = 0
    private var hasBegun = false

    /// - Parameter until: leaves out what was received then or later.
    public init(
        _ folder: ChannelFolder, from start: JournalStart, until: WallTime? = nil
    ) throws(SystemError) {
        self.folder = folder
        self.start = start
        self.until = until
        rest = try folder.segments()[...]
        last = rest.last
        hasBegun = start == .beginning
        if !hasBegun { try skip() }
    }

    /// Lets go of the segments that are before the start, by their indices.
    private mutating func skip() throws(SystemError) {
        while let number = rest.first {
            let index = try folder.readIndex(of: number)
            guard let entry = try entry(of: index, number) else {
                rest = rest.dropFirst()
                continue
            }
            try open(number)
            rest = rest.dropFirst()
            if entry.offset > 0 {
                scanner = SegmentScanner(fastestCRC, from: entry.offset, record: entry.record)
                position = entry.offset
            }
            return
        }
    }

    /// Where to begin in a segment; `nil`: nothing in it is wanted.
    private func entry(
        of index: SegmentIndex, _ number: UInt64
    ) throws(SystemError) -> (offset: Int, record: UInt64)? {
        let entry: SegmentIndex.Entry?
        switch start {
        case .beginning: return (0, 0)
        case .time(let time):
            // The first may be anywhere in it, since times do not ascend.
            return index.moments.map { $0.upperBound >= time } == true ? (0, 0) : nil
        case .sequence(let sequence, let epoch):
            let spans = index.spans.filter { epoch == nil || $0.epoch == epoch }
            guard let span = spans.first(where: { $0.last >= sequence }) else {
                return index.isOverfull ? (0, 0) : nil
            }
            entry = index.entry(before: sequence, of: span.epoch)
        }
        guard let entry, try folder.ascends(number, from: index.entries.first) else { return (0, 0) }
        return (entry.offset, entry.record)
    }

    private mutating func open(_ number: UInt64) throws(SystemError) {
        file = try ReadFile(folder.segment(number))
        scanner = SegmentScanner(fastestCRC)
        segment = number
        position = 0
    }

    /// The next finding from the start on; `nil`: there is no more.
    public mutating func next() throws(SystemError) -> Finding? {
        while true {
            if scanner == nil {
                guard let number = rest.popFirst() else { return nil }
                guard try !isTooLate(number) else { continue }
                try open(number)
            }
            while let finding = scanner?.next() {
                switch finding {
                case .header: break
                case .record(let record):
                    if isWanted(record), !isTooLate(record) { return .record(record, segment: segment) }
                case .damage(let damage): return .damage(damage, segment: segment)
                }
            }
            try more()
        }
    }

    private mutating func more() throws(SystemError) {
        guard let file else {
            scanner = nil
            return
        }
        let piece = try file.read(pieceBytes, at: position)
        position += piece.count
        if piece.isEmpty {
            scanner?.finish()
            self.file = nil
        } else {
            scanner?.push(piece)
        }
    }

    /// Whether all of a segment was received or made too late, by its index: not its data alone, since what was told
    /// while none came stands before it.
    private func isTooLate(_ number: UInt64) throws(SystemError) -> Bool {
        guard let until, let moments = try folder.readIndex(of: number).moments else { return false }
        return moments.lowerBound >= until
    }

    private func isTooLate(_ record: Record) -> Bool {
        guard let until else { return false }
        switch record.head.kind {
        case .frame: return record.stamp.receiveTime >= until
        case .hole:
            let hole = Hole(record.contents, topicLength: record.head.topicLength)
            return hole.map { $0.from >= until } ?? false
        case .directory: return false
        }
    }

    private mutating func isWanted(_ record: Record) -> Bool {
        if hasBegun { return true }
        let stamp = record.stamp
        switch start {
        case .beginning: hasBegun = true
        case .time(let time): hasBegun = stamp.lastTime.map { $0 >= time } ?? false
        case .sequence(let sequence, let epoch):
            let isLateEnough = stamp.sequence >= sequence && (epoch == nil || epoch == stamp.epoch)
            hasBegun = stamp.frame == .data && isLateEnough
        }
        return hasBegun
    }
}
