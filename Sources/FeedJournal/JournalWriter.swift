// Decides when what is to be journalled is written, and what happens when it cannot be: market data never waits for the
// disk. One job is under way at a time; what comes meanwhile waits, in a bounded queue; what finds no room there is a
// hole, which is recorded exactly as soon as there is room again.
public import Basics
import Wire

/// How a channel's journal is written.
public struct JournalWriterOptions: Hashable, Sendable {
    /// When the disk is to have what was written.
    public enum Sync: Hashable, Sendable {
        /// When the kernel sees fit.
        case never
        /// After so long at the latest.
        case every(Duration)
        /// Before the next batch is written.
        case eachBatch
    }

    /// So many bytes are written at once without waiting for more.
    public var batchBytes = 1 << 18
    /// What came first waits so long for more.
    public var batchTime: Duration = .milliseconds(10)
    /// More may not wait to be written, what is being written included.
    public var mostWaiting = 64 << 20
    public var segmentBytes = 64 << 20
    /// A segment that is older is closed, so that it can expire.
    public var segmentTime: Duration = .seconds(3600)
    public var sync: Sync = .never
    /// After a failure it is tried again after this.
    public var retryAfter: Duration = .seconds(1)
    /// Segments that are too old are looked for after so long, also when nothing comes any more.
    public var expireEvery: Duration = .seconds(600)

    public init() {}
}

/// Something for the thread that writes, which has the records for that long: they come back with how it ended.
public enum JournalJob: Hashable, Sendable {
    /// Look at what is there, cut what is torn, and begin a segment.
    case open
    case write(RecordBatch, sync: Bool)
    /// Close the segment, and begin another one with these records.
    case turn(RecordBatch, sync: Bool)
    /// What was written is to reach the disk.
    case sync
    /// Segments that are too old are to be removed.
    case expire
}

extension JournalJob {
    /// What is written by it; it has none any more.
    public mutating func takeRecords() -> RecordBatch {
        switch self {
        case .open, .sync, .expire: return RecordBatch()
        case .write(let records, let sync):
            self = .write(RecordBatch(), sync: sync)
            return records
        case .turn(let records, let sync):
            self = .turn(RecordBatch(), sync: sync)
            return records
        }
    }
}

/// How a job ended.
public enum JournalOutcome: Hashable, Sendable {
    /// `size`: of the segment that is written to now.
    case done(size: Int)
    /// Nothing of it was written; why, for a person.
    case failed(String)
    /// Likewise, and the disk did not say either that it has what was written before; why, for a person.
    case unsynced(String)
}

/// The figures of a channel's journal.
public struct JournalFigures: Hashable, Sendable {
    /// Frames that the kernel has: no end of the process loses them.
    public var written: UInt64 = 0
    /// The last sequence of these, and its epoch.
    public var writtenThrough: (epoch: UInt64, sequence: UInt64) {
        get { (writtenEpoch, writtenSequence) }
        set { (writtenEpoch, writtenSequence) = newValue }
    }
    private var writtenEpoch: UInt64 = 0
    private var writtenSequence: UInt64 = 0
    /// Frames that the disk has. Not those between a sync that failed and the one before: the kernel may have let go of
    /// them, and tells of that once only (`fsync(2)`, EIO).
    public var synced: UInt64 = 0
    /// Frames that were not journalled.
    public var lost: UInt64 = 0
    /// Times that journalling stopped.
    public var stops: UInt64 = 0

    public init() {}
}

/// The machine of one channel's journal.
public struct JournalWriter: ~Copyable {
    public enum Condition: Hashable, Sendable {
        case opening
        case writing
        /// Nothing is journalled; why, for a person.
        case stopped(String)
    }

    private enum State {
        /// Nothing is under way; `isOpen`: there is a segment.
        case idle(isOpen: Bool)
        case opening
        /// So many bytes.
        case writing(Int, sync: Bool, turns: Bool)
        case syncing
        case expiring
        /// Tried again then.
        case failed(isOpen: Bool, until: Instant)
    }

    public let options: JournalWriterOptions
    public private(set) var figures = JournalFigures()
    private var state = State.idle(isOpen: false)
    private var batch = RecordBatch()
    /// Storage that was written, for the batch after this one.
    private var spare = RecordBatch()
    /// The batch was to begin a segment, and has the directory.
    private var hasDirectory = false
    private var batchFrames: UInt64 = 0
    private var batchLast: (epoch: UInt64, sequence: UInt64) = (0, 0)
    private var jobFrames: UInt64 = 0
    private var jobLast: (epoch: UInt64, sequence: UInt64) = (0, 0)
    private var batchSince: Instant?
    private var unsyncedSince: Instant?
    /// Frames that were written, and of which no sync tells any more whether the disk has them.
    private var unsure: UInt64 = 0
    private var segmentSize = 0
    private var segmentSince: Instant
    /// When segments were last looked at, whether they are too old.
    private var expiredSince: Instant
    private var holes: HoleBook
    private var trouble: String?
    private var isStopped = false
    /// Where there was no room, if that is not here.
    private var isOverBudget = false
    private var share: JournalShare

    /// - Parameters:
    ///   - control: the channel's control topic, which names holes.
    ///   - budget: what waits here counts in it, with what other channels' writers have waiting.
    public init(
        options: JournalWriterOptions, control: [UInt8],
        budget: JournalBudget = JournalBudget(most: .max), at now: Instant
    ) {
        self.options = options
        share = JournalShare(of: budget)
        holes = HoleBook(control: control)
        segmentSince = now
        expiredSince = now
    }

    public var condition: Condition {
        if isStopped || trouble != nil { return .stopped(trouble ?? overflow) }
        switch state {
        case .idle(isOpen: false), .opening, .failed(isOpen: false, _): return .opening
        case .idle(isOpen: true), .writing, .syncing, .expiring, .failed(isOpen: true, _): return .writing
        }
    }

    private var overflow: String {
        let (most, whose) =
            isOverBudget ? (share.budget.most, " of all channels") : (options.mostWaiting, "")
        return "the disk is too slow: more than \(most >> 20) MiB\(whose) wait to be written"
    }

    /// The disk refused what was to be written last.
    public var hasFailed: Bool { trouble != nil }

    /// Frames that were taken: as soon as `figures.written` is as much, all that came until now is written.
    public var taken: UInt64 { figures.written &+ jobFrames &+ batchFrames }

    /// Bytes that wait to be written.
    public var waiting: Int { batch.size + underWay }

    private var underWay: Int {
        if case .writing(let bytes, _, _) = state { bytes } else { 0 }
    }

    // MARK: - Events

    /// Frames were published, or would have been if somebody had wanted them; they are taken out.
    ///
    /// - Returns: whether `deadline` or `condition` is another one now; it is not for most.
    public mutating func take(_ frames: inout FrameBatch, at now: Instant) -> Bool {
        let (wasStopped, before, since) = (isStopped, batch.size, batchSince)
        if !isStopped, hasSpace(for: frames.records.size) {
            batch.append(frames.records)
            share.count(waiting, isStuck: hasFailed)
            batchFrames &+= UInt64(frames.count)
            batchLast = frames.last ?? batchLast
            batchSince = since ?? now
        } else {
            frames.forEach { frame, topicLength in take(frame, topicLength: topicLength, at: now) }
        }
        frames.removeAll()
        let isFull = before < options.batchBytes && batch.size >= options.batchBytes
        return isFull || since != batchSince || wasStopped != isStopped
    }

    /// One of them, where not all find room.
    private mutating func take(_ frame: Span<UInt8>, topicLength: Int, at now: Instant) {
        guard hasRoom(for: frame.count + RecordHead.size, at: now) else {
            figures.lost &+= 1
            return holes.note(frame, topicLength: topicLength)
        }
        batch.append(.frame, frame, topicLength: topicLength)
        share.count(waiting, isStuck: hasFailed)
        batchFrames &+= 1
        let stamp = Record.stamp(.frame, frame, topicLength: topicLength)
        if stamp.frame == .data { batchLast = (stamp.epoch, stamp.sequence) }
        if batchSince == nil { batchSince = now }
    }

    /// A frame that is longer than a record may be was published: what is missing is noted in its place.
    public mutating func leaveOut(_ frame: Span<UInt8>, topicLength: Int, at now: Instant) {
        figures.lost &+= 1
        holes.note(frame, topicLength: topicLength)
        // Where there is no room at all, it waits with the others.
        guard hasRoom(for: 0, at: now), !holes.isEmpty else { return }
        noteHoles(at: now)
    }

    private mutating func noteHoles(at now: Instant) {
        for hole in holes.take() { batch.append(.hole, hole.bytes, topicLength: hole.topic.count) }
        share.count(waiting, isStuck: hasFailed)
        if batchSince == nil { batchSince = now }
    }

    /// The venue told of instruments.
    public mutating func directory(_ contents: [UInt8], at now: Instant) {
        // They come again with the next segment.
        guard hasRoom(for: contents.count + RecordHead.size, at: now) else { return }
        batch.append(.directory, contents, topicLength: 0)
        share.count(waiting, isStuck: hasFailed)
        if batchSince == nil { batchSince = now }
    }

    private mutating func hasRoom(for bytes: Int, at now: Instant) -> Bool {
        if isStopped {
            guard trouble == nil, waiting <= options.mostWaiting / 2, share.budget.isEased else {
                return false
            }
            (isStopped, isOverBudget) = (false, false)
            noteHoles(at: now)
            return true
        }
        guard hasSpace(for: bytes) else {
            isStopped = true
            isOverBudget = waiting + bytes <= options.mostWaiting
            figures.stops &+= 1
            return false
        }
        return true
    }

    private func hasSpace(for bytes: Int) -> Bool {
        waiting + bytes <= options.mostWaiting && share.budget.hasRoom(for: bytes, isStuck: hasFailed)
    }

    /// Whether the next job begins another segment, for which the directory is wanted.
    public func turns(at now: Instant) -> Bool {
        guard case .idle(isOpen: true) = state, !batch.isEmpty else { return false }
        return segmentSize >= options.segmentBytes || now - segmentSince >= options.segmentTime
    }

    /// What is to be done now; the caller says how it ended with `finished`.
    ///
    /// - Parameters:
    ///   - directory: what the next segment begins with, if `turns`.
    ///   - isLast: whether what waits is written although more could come.
    public mutating func nextJob(directory: [[UInt8]] = [], isLast: Bool = false, at now: Instant)
        -> JournalJob?
    {
        switch state {
        case .opening, .writing, .syncing, .expiring: return nil
        case .failed(let isOpen, let until):
            guard until <= now || isLast else { return nil }
            state = .idle(isOpen: isOpen)
            return nextJob(directory: directory, isLast: isLast, at: now)
        case .idle(isOpen: false):
            state = .opening
            return .open
        case .idle(isOpen: true):
            // The room may be what another channel had.
            if isStopped { _ = hasRoom(for: 0, at: now) }
            let isWriteDue = isBatchDue(at: now) || isLast && !batch.isEmpty
            if isSyncDue(at: now) || isLast && !isWriteDue && unsyncedSince != nil {
                state = .syncing
                return .sync
            }
            if isWriteDue { return write(directory, at: now) }
            guard expiredSince + options.expireEvery <= now, !isLast else { return nil }
            state = .expiring
            return .expire
        }
    }

    private func isBatchDue(at now: Instant) -> Bool {
        guard let since = batchSince else { return false }
        return batch.size >= options.batchBytes || since + options.batchTime <= now
    }

    private func isSyncDue(at now: Instant) -> Bool {
        guard let unsyncedSince, case .every(let time) = options.sync else { return false }
        return unsyncedSince + time <= now
    }

    private mutating func write(_ directory: [[UInt8]], at now: Instant) -> JournalJob {
        let sync = options.sync == .eachBatch
        let turns = turns(at: now)
        let job = takeBatch(behind: turns && !hasDirectory ? directory : [])
        hasDirectory = false
        batchSince = nil
        (jobFrames, jobLast) = (jobFrames &+ batchFrames, batchFrames > 0 ? batchLast : jobLast)
        batchFrames = 0
        state = .writing(job.size, sync: sync, turns: turns)
        share.count(waiting, isStuck: hasFailed)
        return turns ? .turn(job, sync: sync) : .write(job, sync: sync)
    }

    /// What waits; from now on it waits in the storage that came back last.
    private mutating func takeBatch(behind directory: [[UInt8]]) -> RecordBatch {
        var job = RecordBatch()
        swap(&job, &spare)
        if job.capacity == 0 { job = RecordBatch(capacity: options.batchBytes + options.batchBytes / 8) }
        if directory.isEmpty {
            swap(&job, &batch)
        } else {
            for contents in directory { job.append(.directory, contents, topicLength: 0) }
            job.append(taking: &batch)
        }
        return job
    }

    private mutating func keepStorage(_ records: consuming RecordBatch) {
        records.removeAll()
        spare = records
    }

    /// The job has ended; `records`: those that it had, for which nobody else has a use.
    public mutating func finished(
        _ outcome: JournalOutcome, returning records: consuming RecordBatch = RecordBatch(),
        at now: Instant
    ) {
        switch (state, outcome) {
        case (.opening, .done(let size)):
            segmentSize = size
            (segmentSince, expiredSince) = (now, now)
            recovered(now)
        case (.writing(_, let sync, let turns), .done(let size)):
            segmentSize = size
            if turns { (segmentSince, expiredSince) = (now, now) }
            figures.written &+= jobFrames
            if jobFrames > 0, jobLast.sequence > 0 { figures.writtenThrough = jobLast }
            jobFrames = 0
            keepStorage(records)
            if sync { synced() } else if unsyncedSince == nil { unsyncedSince = now }
            recovered(now)
        case (.syncing, .done):
            synced()
            recovered(now)
        case (.expiring, .done):
            expiredSince = now
            recovered(now)
        case (.opening, .failed(let why)), (.opening, .unsynced(let why)): failed(why, isOpen: false, now)
        case (.writing(_, _, let turns), .failed(let why)), (.writing(_, _, let turns), .unsynced(let why)):
            hasDirectory = turns
            // They go first when it is tried again.
            records.append(taking: &batch)
            batch = records
            batchFrames &+= jobFrames
            jobFrames = 0
            batchSince = now
            failed(why, isOpen: true, now)
        case (.syncing, .failed(let why)), (.syncing, .unsynced(let why)),
            (.expiring, .failed(let why)), (.expiring, .unsynced(let why)):
            failed(why, isOpen: true, now)
        case (.idle, _), (.failed, _): break
        }
        if case .unsynced = outcome { unsure = figures.written &- figures.synced }
        share.count(waiting, isStuck: hasFailed)
    }

    private mutating func synced() {
        figures.synced = figures.written &- unsure
        unsyncedSince = nil
    }

    private mutating func recovered(_ now: Instant) {
        trouble = nil
        state = .idle(isOpen: true)
        share.count(waiting, isStuck: hasFailed)
        // Holes are recorded as soon as there is room, not with the next frame.
        if isStopped { _ = hasRoom(for: 0, at: now) }
    }

    private mutating func failed(_ why: String, isOpen: Bool, _ now: Instant) {
        if trouble == nil, !isStopped { figures.stops &+= 1 }
        trouble = why
        state = .failed(isOpen: isOpen, until: now + options.retryAfter)
    }

    /// When `nextJob` is to be asked again, should nothing come before; `nil`: when the job that is under way ends, or
    /// something comes.
    public func deadline(at now: Instant) -> Instant? {
        switch state {
        case .opening, .writing, .syncing, .expiring: return nil
        case .failed(_, let until): return until
        case .idle(isOpen: false): return now
        case .idle(isOpen: true):
            let write = batchSince.map {
                batch.size >= options.batchBytes ? now : $0 + options.batchTime
            }
            let sync: Instant? =
                if case .every(let time) = options.sync { unsyncedSince.map { $0 + time } } else { nil }
            // Asked for each frame: no array.
            var due = expiredSince + options.expireEvery
            if let write { due = min(due, write) }
            if let sync { due = min(due, sync) }
            if isStopped { due = min(due, now + options.retryAfter) }
            return due
        }
    }
}
