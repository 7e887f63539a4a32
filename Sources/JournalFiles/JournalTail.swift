// The end of a channel's journal, where it grows. A value that goes to the thread which writes and comes back with each
// job, so that only one of the two ever has it.
public import Basics
public import FeedJournal
import Linux

/// What a channel's journal is written by.
public struct JournalPlan: Hashable, Sendable {
    public var folder: ChannelFolder
    public var feed: String
    public var channel: UInt16
    public var run: UInt32
    public var retention: Retention
    /// Whether the disk must know of new segments, too.
    public var isDurable: Bool
    /// Whether it is to tell where earlier runs stopped,
    public var wantsMemory: Bool
    /// and what the venue's directory was.
    public var wantsDirectory: Bool

    public init(
        folder: ChannelFolder, feed: String, channel: UInt16, run: UInt32, retention: Retention,
        isDurable: Bool = false, wantsMemory: Bool = false, wantsDirectory: Bool = false
    ) {
        self.folder = folder
        self.feed = feed
        self.channel = channel
        self.run = run
        self.retention = retention
        self.isDurable = isDurable
        self.wantsMemory = wantsMemory
        self.wantsDirectory = wantsDirectory
    }
}

/// What was found when a journal was opened.
public struct JournalOpening: Hashable, Sendable {
    /// Bytes of a write that was cut off, which were removed from the end of a segment.
    public var torn: (segment: UInt64, bytes: Int)? {
        get { tornSegment.map { ($0, tornBytes) } }
        set { (tornSegment, tornBytes) = (newValue?.segment, newValue?.bytes ?? 0) }
    }
    private var tornSegment: UInt64?
    private var tornBytes = 0
    /// What is wrong with the last segment otherwise; it was left as it is.
    public var damages: [String] = []
    public var memory = JournalMemory()

    public init() {}
}

/// How a job went.
public struct JournalResult: Sendable {
    public var outcome: JournalOutcome
    public var tail: JournalTail?
    public var opening: JournalOpening?
    /// Segments that were let go of.
    public var expired = 0
    /// Why one could not be.
    public var notRemoved: String?

    public init(
        outcome: JournalOutcome, tail: JournalTail?, opening: JournalOpening? = nil, expired: Int = 0,
        notRemoved: String? = nil
    ) {
        self.outcome = outcome
        self.tail = tail
        self.opening = opening
        self.expired = expired
        self.notRemoved = notRemoved
    }
}

/// A lock that is kept.
final class FolderLock: Sendable {
    private let descriptor: Descriptor
    init(_ path: String) throws(SystemError) { descriptor = try Files.lockAtOnce(folder: path) }
}

/// The segment that is written to, and those before it.
public struct JournalTail: Sendable {
    /// So many bytes before the end stay in memory once the disk has them, for those who read on there; more would only
    /// drive out what others have in it.
    static let mostInMemory = 16 << 20
    /// How many segments back the directory is looked for.
    static let mostLookedBack = 16

    let plan: JournalPlan
    let lock: FolderLock
    private var file: AppendedFile
    /// Of the segment that is written to.
    public private(set) var number: UInt64
    public private(set) var size: Int
    public private(set) var index = SegmentIndex()
    private var records: UInt64 = 0
    private var hash = SHA256()
    /// Those that are closed, oldest first.
    public private(set) var closed: [Retention.Candidate]

    /// Performs a job; it may take as long as the disk does. Its records are sealed where they are.
    public static func perform(
        _ job: inout JournalJob, _ tail: JournalTail?, _ plan: JournalPlan, at wall: WallTime
    ) -> JournalResult {
        do throws(SystemError) {
            switch job {
            case .open: return try open(plan, at: wall)
            case .sync:
                if let failure = unsynced(tail) { return failure }
                return result(tail)
            case .expire:
                var (tail, result) = (tail, result(tail))
                tail?.expire(at: wall, &result)
                result.tail = tail
                return result
            case .write(var records, let sync):
                // Nobody else has them, or they would be copied.
                job = .sync
                defer { job = .write(records, sync: sync) }
                var tail = tail
                try tail?.write(&records, sync)
                return result(tail)
            case .turn(var records, let sync):
                job = .sync
                defer { job = .turn(records, sync: sync) }
                if plan.isDurable, let failure = unsynced(tail) { return failure }
                var tail = tail
                try tail?.turn(at: wall)
                try tail?.begin(with: &records, sync)
                var result = result(tail)
                tail?.expire(at: wall, &result)
                result.tail = tail
                return result
            }
        } catch {
            return JournalResult(outcome: .failed("\(error)"), tail: tail)
        }
    }

    /// Waits until the disk has what was written; how it refused that.
    private static func unsynced(_ tail: JournalTail?) -> JournalResult? {
        do throws(SystemError) {
            try tail?.sync()
            return nil
        } catch {
            return JournalResult(outcome: .unsynced("\(error)"), tail: tail)
        }
    }

    private static func result(_ tail: JournalTail?) -> JournalResult {
        let outcome = tail.map { JournalOutcome.done(size: $0.size) }
        return JournalResult(outcome: outcome ?? .failed("the journal is not open"), tail: tail)
    }

    /// What fails is written again: it leaves the file as it was, so that a segment which is closed before that has what
    /// its digest says.
    private mutating func write(_ batch: inout RecordBatch, _ sync: Bool) throws(SystemError) {
        var written = self
        batch.seal(at: size, fastestCRC) { stamp, offset in
            written.index.add(stamp, at: offset, record: written.records)
            written.records &+= 1
        }
        do throws(SystemError) {
            try batch.forEachPiece { piece throws(SystemError) in
                try file.append(piece, at: written.size)
                written.size += piece.count
            }
            if sync { try written.sync() }
        } catch {
            file.cut(to: size)
            throw error
        }
        batch.forEachPiece { written.hash.append($0) }
        self = written
    }

    private func sync() throws(SystemError) {
        try file.sync()
        if size > JournalTail.mostInMemory { file.letGo(before: size - JournalTail.mostInMemory) }
    }

    /// Writes what a new segment begins with. Where that fails there is no new segment: it is begun again when this is
    /// tried again.
    private mutating func begin(with batch: inout RecordBatch, _ sync: Bool) throws(SystemError) {
        do throws(SystemError) {
            try write(&batch, sync)
        } catch {
            try? Files.remove(plan.folder.segment(number))
            throw error
        }
    }

    // MARK: - Segments

    private init(
        _ plan: JournalPlan, _ lock: FolderLock, number: UInt64, previous: Digest,
        closed: [Retention.Candidate], at wall: WallTime
    ) throws(SystemError) {
        self.plan = plan
        self.lock = lock
        self.number = number
        self.closed = closed
        let header = SegmentHeader(
            feed: plan.feed, channel: plan.channel, number: number, run: plan.run, created: wall,
            previous: previous
        ).encoded(fastestCRC)
        let path = plan.folder.segment(number)
        file = try AppendedFile(making: path, mode: 0o640)
        do throws(SystemError) {
            try file.append(header, at: 0)
            if plan.isDurable {
                try file.sync()
                try Files.sync(folder: plan.folder.path)
            }
        } catch {
            try? Files.remove(path)
            throw error
        }
        hash.append(header)
        size = header.count
    }

    /// Closes the segment, which the disk has if it must, and begins the next one.
    private mutating func turn(at wall: WallTime) throws(SystemError) {
        let next = try JournalTail(
            plan, lock, number: number + 1, previous: hash.digest,
            closed: closed + [Retention.Candidate(number: number, size: size, newest: wall)], at: wall)
        keepIndex()
        if plan.isDurable { file.letGo(before: size) }
        self = next
    }

    /// An index that cannot be kept is made again by whoever needs it.
    private func keepIndex() {
        var index = index
        index.size = size
        index.records = records
        JournalTail.keep(index, hash.digest, number, in: plan.folder)
    }

    private static func keep(
        _ index: SegmentIndex, _ digest: Digest, _ number: UInt64, in folder: ChannelFolder
    ) {
        try? Files.write(
            index.encoded(digest: digest, fastestCRC), to: folder.index(number),
            Files.Attributes(mode: 0o640),
            replacing: true, durably: false)
    }

    private mutating func expire(at wall: WallTime, _ result: inout JournalResult) {
        for number in plan.retention.expired(closed, written: size, at: wall) {
            do throws(SystemError) {
                try Files.remove(plan.folder.segment(number))
                closed.removeAll { $0.number == number }
                result.expired += 1
                try? Files.remove(plan.folder.index(number))
            } catch {
                result.notRemoved = "\(error)"
                return
            }
        }
    }
}

// MARK: - Opening

extension JournalTail {
    private static func open(_ plan: JournalPlan, at wall: WallTime) throws(SystemError) -> JournalResult {
        try plan.folder.make()
        let lock = try FolderLock(plan.folder.path)
        var numbers = try plan.folder.segments()
        var opening = JournalOpening()
        var previous = Digest.none
        if let last = numbers.last {
            if let survey = try survey(last, plan, &opening) {
                previous = survey.digest
                if plan.wantsMemory { lookBack(from: numbers, plan, &opening) }
            } else {
                numbers.removeLast()
                if let before = numbers.last {
                    let survey = try SegmentSurvey(plan.folder.segment(before))
                    previous = survey.digest
                    opening.memory = survey.memory
                    if plan.wantsMemory { lookBack(from: numbers, plan, &opening) }
                }
            }
        }
        // What was written by a run that was killed before it synced is older than what comes behind it, and is not to
        // be lost where that is kept.
        if plan.isDurable, let last = numbers.last {
            try AppendedFile(continuing: plan.folder.segment(last)).sync()
        }
        var closed: [Retention.Candidate] = []
        for number in numbers {
            let path = plan.folder.segment(number)
            closed.append(
                Retention.Candidate(
                    number: number, size: try Files.size(of: path),
                    newest: Files.modified(path) ?? wall))
        }
        var tail = try JournalTail(
            plan, lock, number: (numbers.last ?? 0) + 1, previous: previous, closed: closed, at: wall)
        var result = JournalResult(outcome: .done(size: tail.size), tail: tail, opening: opening)
        tail.expire(at: wall, &result)
        result.tail = tail
        return result
    }

    /// Looks at the segment that was written last, and cuts what is torn from its end. `nil`: nothing was left of it,
    /// not even a header, and it is gone.
    private static func survey(
        _ number: UInt64, _ plan: JournalPlan, _ opening: inout JournalOpening
    ) throws(SystemError) -> SegmentSurvey? {
        let path = plan.folder.segment(number)
        var survey = try SegmentSurvey(path)
        if survey.isTorn {
            opening.torn = (number, survey.size - survey.wholeThrough)
            guard survey.wholeThrough > 0 else {
                try Files.remove(path)
                return nil
            }
            try Files.cut(path, to: survey.wholeThrough)
            survey = try SegmentSurvey(path)
        }
        opening.damages = survey.damages.map { "segment \(number): \($0)" }
        opening.memory = survey.memory
        keep(survey.index, survey.digest, number, in: plan.folder)
        return survey
    }

    /// The directory stands at the beginning of each segment of a run that knows it; a run that nothing came to says
    /// nothing of where the one before it stopped.
    private static func lookBack(from numbers: [UInt64], _ plan: JournalPlan, _ opening: inout JournalOpening)
    {
        for number in numbers.dropLast().suffix(mostLookedBack).reversed()
        where !opening.memory.isComplete(withDirectory: plan.wantsDirectory) {
            guard let survey = try? SegmentSurvey(plan.folder.segment(number)) else { continue }
            opening.memory.complete(from: survey.memory)
        }
    }
}
