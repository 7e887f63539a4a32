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
    /// Where it ends, from an earlier attempt to open it: that is not read again, and not told again.
    public var known: JournalEnd?

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

/// Where a journal ends, as it was found.
public struct JournalEnd: Hashable, Sendable {
    /// The last segment; 0: there is none.
    public var segment: UInt64 = 0
    public var size = 0
    /// So many of its bytes are whole, and the others are to be cut off; without a whole header it does not stay.
    public var whole = 0
    /// Of the last segment that stays.
    public var digest = Digest.none

    public init() {}
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
    /// Also where the journal could be read and not be written.
    public var opening: JournalOpening?
    /// Where an attempt to open the journal found, or left, its end.
    public var end: JournalEnd?
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
        _ job: inout JournalJob, _ tail: JournalTail?, _ plan: JournalPlan, at now: Instant, wall: WallTime
    ) -> JournalResult {
        var result = attempt(&job, tail, plan, at: now, wall)
        if case .done = result.outcome { return result }
        // A full disk refuses everything until there is room, and what is too old may be all that can make some.
        var tail = result.tail.take()
        tail?.expire(at: now, &result)
        result.tail = tail
        // Such a disk is told of already.
        result.notRemoved = nil
        return result
    }

    private static func attempt(
        _ job: inout JournalJob, _ tail: JournalTail?, _ plan: JournalPlan, at now: Instant, _ wall: WallTime
    ) -> JournalResult {
        do throws(SystemError) {
            switch job {
            case .open: return try open(plan, at: now, wall)
            case .sync:
                if let failure = unsynced(tail) { return failure }
                return result(tail)
            case .expire:
                var (tail, result) = (tail, result(tail))
                tail?.expire(at: now, &result)
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
                try tail?.turn(at: now, wall)
                try tail?.begin(with: &records, sync)
                var result = result(tail)
                tail?.expire(at: now, &result)
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
    private mutating func turn(at now: Instant, _ wall: WallTime) throws(SystemError) {
        let next = try JournalTail(
            plan, lock, number: number + 1, previous: hash.digest,
            closed: closed + [Retention.Candidate(number: number, size: size, newest: now)], at: wall)
        keepIndex()
        if plan.isDurable { file.letGo(before: size) }
        self = next
    }

    /// An index that cannot be kept is made again by whoever needs it.
    private func keepIndex() {
        var index = index
        index.size = size
        index.records = records
        plan.folder.keep(index, hash.digest, of: number)
    }

    private mutating func expire(at now: Instant, _ result: inout JournalResult) {
        JournalTail.expire(&closed, written: size, plan, at: now, &result)
    }

    private static func expire(
        _ closed: inout [Retention.Candidate], written: Int, _ plan: JournalPlan, at now: Instant,
        _ result: inout JournalResult
    ) {
        for number in plan.retention.expired(closed, written: written, at: now) {
            do throws(SystemError) {
                try plan.folder.remove(number)
                closed.removeAll { $0.number == number }
                result.expired += 1
            } catch {
                result.notRemoved = "\(error)"
                return
            }
        }
    }
}

// MARK: - Opening

extension JournalTail {
    /// What can be read is told also where nothing can be written.
    private static func open(
        _ plan: JournalPlan, at now: Instant, _ wall: WallTime
    ) throws(SystemError) -> JournalResult {
        try plan.folder.make()
        let lock = try FolderLock(plan.folder.path)
        let numbers = try plan.folder.segments()
        var result = JournalResult(outcome: .failed("nothing was written"), tail: nil)
        var end = try look(at: numbers, plan, &result.opening)
        do throws(SystemError) {
            try begin(behind: numbers, &end, lock, plan, at: now, wall, &result)
        } catch {
            result.outcome = .failed("\(error)")
        }
        result.end = end
        return result
    }

    /// Looks at the segment that was written last, and at those before it as far back as what is wanted.
    private static func look(
        at numbers: [UInt64], _ plan: JournalPlan, _ opening: inout JournalOpening?
    ) throws(SystemError) -> JournalEnd {
        var end = JournalEnd()
        if let last = numbers.last {
            (end.segment, end.size) = (last, try Files.size(of: plan.folder.segment(last)))
        }
        if let known = plan.known, known.segment == end.segment, known.size == end.size { return known }
        var found = JournalOpening()
        if let last = numbers.last { try survey(last, behind: numbers.dropLast(), plan, &end, &found) }
        opening = found
        return end
    }

    private static func survey(
        _ number: UInt64, behind earlier: ArraySlice<UInt64>, _ plan: JournalPlan, _ end: inout JournalEnd,
        _ opening: inout JournalOpening
    ) throws(SystemError) {
        let path = plan.folder.segment(number)
        var survey = try SegmentSurvey(path)
        (end.size, end.whole) = (survey.size, survey.wholeThrough)
        var earlier = earlier
        if end.whole > 0 {
            if survey.isTorn { survey = try SegmentSurvey(path, upTo: end.whole) }
            opening.damages = survey.damages.map { "segment \(number): \($0)" }
            plan.folder.keep(survey.index, survey.digest, of: number)
        } else {
            guard let before = earlier.popLast() else { return }
            survey = try SegmentSurvey(plan.folder.segment(before))
        }
        end.digest = survey.digest
        opening.memory = survey.memory
        if plan.wantsMemory { lookBack(from: earlier, plan, &opening) }
    }

    /// The directory stands at the beginning of each segment of a run that knows it; a run that nothing came to says
    /// nothing of where the one before it stopped.
    private static func lookBack(
        from earlier: ArraySlice<UInt64>, _ plan: JournalPlan, _ opening: inout JournalOpening
    ) {
        for number in earlier.suffix(mostLookedBack).reversed()
        where !opening.memory.isComplete(withDirectory: plan.wantsDirectory) {
            guard let survey = try? SegmentSurvey(plan.folder.segment(number)) else { continue }
            opening.memory.complete(from: survey.memory)
        }
    }

    private static func begin(
        behind numbers: [UInt64], _ end: inout JournalEnd, _ lock: FolderLock, _ plan: JournalPlan,
        at now: Instant, _ wall: WallTime, _ result: inout JournalResult
    ) throws(SystemError) {
        var numbers = numbers
        try cut(&numbers, &end, plan, &result)
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
                    newest: Files.modified(path) ?? wall, at: now, wall))
        }
        // A full disk has room for another one only where some go before it. The last one does not: the next one is
        // numbered by it and chained to it.
        if let last = closed.popLast() {
            expire(&closed, written: last.size, plan, at: now, &result)
            closed.append(last)
        }
        var tail = try JournalTail(
            plan, lock, number: (numbers.last ?? 0) + 1, previous: end.digest, closed: closed, at: wall)
        result.outcome = .done(size: tail.size)
        tail.expire(at: now, &result)
        result.tail = tail
    }

    /// Cuts what is torn from the end.
    private static func cut(
        _ numbers: inout [UInt64], _ end: inout JournalEnd, _ plan: JournalPlan,
        _ result: inout JournalResult
    ) throws(SystemError) {
        guard let last = numbers.last, end.whole < end.size || end.whole == 0 else { return }
        let path = plan.folder.segment(last)
        let torn = end.size - end.whole
        if end.whole > 0 {
            try Files.cut(path, to: end.whole)
            end.size = end.whole
        } else {
            try Files.remove(path)
            numbers.removeLast()
            end.segment = numbers.last ?? 0
            end.size = end.segment > 0 ? try Files.size(of: plan.folder.segment(end.segment)) : 0
            end.whole = end.size
        }
        var opening = result.opening ?? JournalOpening()
        opening.torn = (last, torn)
        result.opening = opening
    }
}
