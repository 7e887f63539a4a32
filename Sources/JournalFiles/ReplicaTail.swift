// The end of a channel's replica, where it grows by what is pulled: every byte is checked before it is written, so that
// the segments here are those over there, and what is damaged there is known here. A value that goes to the thread which writes and comes back with each job.
public import Basics
public import FeedJournal
import Wire
import Linux

/// What a channel's replica is written by.
public struct ReplicaPlan: Hashable, Sendable {
    public var folder: ChannelFolder
    public var feed: String
    public var channel: UInt16
    public var retention: Retention
    /// Whether the disk must have what is acknowledged.
    public var isDurable: Bool

    public init(
        folder: ChannelFolder, feed: String, channel: UInt16, retention: Retention, isDurable: Bool = false
    ) {
        self.folder = folder
        self.feed = feed
        self.channel = channel
        self.retention = retention
        self.isDurable = isDurable
    }
}

/// How a job went.
public struct ReplicaResult: Sendable {
    public var outcome: ReplicaOutcome
    public var tail: ReplicaTail?
    /// What was cut from what is here, or is missing at the end of a segment, for a person.
    public var cut: String?
    /// What is damaged over there, and is now the same here.
    public var damages: [ReplicaDamage] = []
    /// Why a segment that is too old could not be removed.
    public var notRemoved: String?
}

/// The segment that is written to, and those before it.
public struct ReplicaTail: Sendable {
    private let plan: ReplicaPlan
    private let lock: FolderLock
    private var file: AppendedFile?
    private var position = ReplicaPosition()
    /// The one that is written to.
    public var segment: UInt64 { position.place.segment }
    /// The same of the segment that is written to.
    private var piece = PulledPiece.Position(segment: 0)
    /// Something of that segment is damaged: the next one is chained to what it was before.
    private var hasDamage = false
    /// Messages of it that were in damaged records, as far as that is known: nobody waits for them.
    private var lost: UInt64 = 0
    private var doubt: ReplicaDoubt?
    private var hash = SHA256()
    private var index = SegmentIndex()
    private var closed: [Retention.Candidate] = []

    /// Why what came cannot be taken.
    private enum Failure: Error {
        case disk(SystemError)
        case refused(String)
        case doubted
    }

    /// Performs a job; it may take as long as the disk does.
    public static func perform(
        _ job: ReplicaJob, _ tail: ReplicaTail?, _ plan: ReplicaPlan, at now: Instant, wall: WallTime
    ) -> ReplicaResult {
        var result = ReplicaResult(outcome: .failed("the replica is not open"), tail: tail)
        do throws(Failure) {
            switch (job, tail) {
            case (.open, _): try open(plan, at: now, wall, &result)
            case (.store, nil), (.expire, nil): break
            case (.expire, var tail?):
                result.notRemoved = tail.expire(at: now)
                (result.tail, result.outcome) = (tail, .done(tail.position))
            case (.store(let pulled, let bytes, let isEndKnown), var tail?):
                // What it doubts, it remembers.
                defer { result.tail = tail }
                try tail.store(pulled, bytes, isEndKnown: isEndKnown, at: now, wall, &result)
                result.outcome = .done(tail.position)
            }
        } catch {
            switch error {
            case .disk(let error):
                result.outcome = .failed("\(error)")
                // A full disk refuses everything until there is room, and what is too old may be all that can make some.
                // Such a disk is told of already.
                _ = result.tail?.expire(at: now)
            case .refused(let why): result.outcome = .refused(why)
            case .doubted: result.outcome = .doubted
            }
        }
        return result
    }

    private static func disk<T>(_ call: () throws(SystemError) -> T) throws(Failure) -> T {
        do throws(SystemError) { return try call() } catch { throw .disk(error) }
    }

    // MARK: - Opening

    private init(_ plan: ReplicaPlan, _ lock: FolderLock) {
        self.plan = plan
        self.lock = lock
    }

    private static func open(
        _ plan: ReplicaPlan, at now: Instant, _ wall: WallTime, _ result: inout ReplicaResult
    ) throws(Failure) {
        var tail = try disk { () throws(SystemError) in
            try plan.folder.make()
            return ReplicaTail(plan, try FolderLock(plan.folder.path))
        }
        var numbers = try disk { () throws(SystemError) in try plan.folder.segments() }
        if let last = numbers.popLast() {
            result.cut = try disk { () throws(SystemError) in try tail.resume(last) }
        }
        for number in numbers {
            let path = plan.folder.segment(number)
            let size = try disk { () throws(SystemError) in try Files.size(of: path) }
            tail.closed.append(
                Retention.Candidate(
                    number: number, size: size, newest: Files.modified(path) ?? wall, at: now, wall))
        }
        result.tail = tail
        result.outcome = .done(tail.position)
    }

    /// Goes on with a segment behind its last whole record. What is damaged is pulled again.
    private mutating func resume(_ number: UInt64) throws(SystemError) -> String? {
        let path = plan.folder.segment(number)
        let survey = try SegmentSurvey(path)
        let whole = survey.damages.reduce(survey.wholeThrough) { min($0, $1.offset) }
        position.place = PullRequest.Place(segment: number, offset: whole)
        piece = PulledPiece.Position(segment: number)
        let cut =
            whole < survey.size
            ? "\(survey.size - whole) bytes cut from the end of segment \(number): "
                + "\(survey.damages.first.map { "\($0)" } ?? "cut off"); they are pulled again" : nil
        guard let header = survey.header, whole > 0 else {
            position.place.offset = 0
            try Files.remove(path)
            return cut
        }
        if whole < survey.size { try Files.cut(path, to: whole) }
        try digest(path, upTo: whole)
        let rest = whole < survey.size ? try SegmentSurvey(path) : survey
        index = rest.index
        (piece.offset, piece.records, piece.covered) = (whole, rest.index.records, rest.covered)
        position.header = header.checksum(fastestCRC)
        position.messages = index.messages
        position.through = index.times?.last
        file = try AppendedFile(continuing: path)
        // It is acknowledged from now on, also where the end came between the write and the sync.
        if plan.isDurable { try file?.sync() }
        return cut
    }

    private mutating func digest(_ path: String, upTo end: Int) throws(SystemError) {
        let file = try ReadFile(path)
        var at = 0
        while at < end {
            let piece = try file.read(min(pieceBytes, end - at), at: at)
            if piece.isEmpty { return }
            hash.append(piece)
            at += piece.count
        }
    }

    // MARK: - Storing

    private mutating func store(
        _ pulled: PulledBytes, _ bytes: [UInt8], isEndKnown: Bool, at now: Instant, _ wall: WallTime,
        _ result: inout ReplicaResult
    ) throws(Failure) {
        let isNext = pulled.place.segment != position.place.segment || file == nil
        guard isNext ? pulled.place.offset == 0 : pulled.place == position.place else {
            throw .refused("bytes for another place than the one that was asked for")
        }
        if !isNext, pulled.size < position.place.offset {
            var next = self
            result.cut = try ReplicaTail.disk { () throws(SystemError) in
                try next.setAside(from: pulled.size)
            }
            self = next
            return
        }
        let judged = try judge(pulled, bytes, isNext: isNext, isEndKnown: isEndKnown)
        let taken = Array(bytes.prefix(judged.taken))
        let lost = isNext && !isEndKnown ? lostEnd(before: pulled.place.segment, judged.header) : nil
        var next = self
        try ReplicaTail.disk { () throws(SystemError) in
            if isNext { try next.begin(pulled.place.segment, at: now, wall) }
            try next.append(taken, at: pulled.place, isFirst: isNext)
        }
        next.take(judged, taken, pulled)
        if lost != nil { next.position.unended &+= 1 }
        if isNext { result.notRemoved = next.expire(at: now) }
        (result.cut, result.damages) = (lost, judged.damages)
        self = next
    }

    private func append(
        _ bytes: [UInt8], at place: PullRequest.Place, isFirst: Bool
    ) throws(SystemError) {
        do throws(SystemError) {
            try file?.append(bytes, at: place.offset)
            if plan.isDurable { try file?.sync() }
        } catch {
            if isFirst { try? Files.remove(plan.folder.segment(place.segment)) }
            throw error
        }
    }

    /// What is taken of the bytes. Damage in them is taken when it has come twice.
    private mutating func judge(
        _ pulled: PulledBytes, _ bytes: [UInt8], isNext: Bool, isEndKnown: Bool
    ) throws(Failure) -> PulledPiece {
        let number = pulled.place.segment
        let judged = PulledPiece(
            bytes, at: isNext ? PulledPiece.Position(segment: number) : piece,
            isEnd: pulled.place.offset + bytes.count >= pulled.size, fastestCRC)
        if let header = judged.header { try check(header, number, isEndKnown: isEndKnown) }
        guard judged.taken > 0 else { throw .refused("segment \(number): no whole record came") }
        guard let damage = judged.damages.first else {
            doubt = nil
            return judged
        }
        let before = doubt
        doubt = ReplicaDoubt(bytes, at: pulled.place, fastestCRC)
        guard let before, before.isAbout(pulled.place) else { throw .doubted }
        guard before.isDispelled(by: bytes, at: pulled.place, fastestCRC) else {
            throw .refused("\(damage), and differs each time")
        }
        doubt = nil
        return judged
    }

    private func check(_ header: SegmentHeader, _ number: UInt64, isEndKnown: Bool) throws(Failure) {
        guard header.number == number, header.feed == plan.feed,
            header.channel == plan.channel
        else {
            throw .refused(
                "segment \(number): its header is of feed \(header.feed), channel \(header.channel), segment \(header.number)"
            )
        }
        // What is a part here is not what the next one was chained to.
        guard isEndKnown, position.place.segment > 0, position.place.segment == number - 1, file != nil
        else { return }
        let found = hash.digest
        guard header.previous == found || hasDamage else {
            throw .refused(
                "segment \(number) is chained to another segment \(number - 1) than the one here: its digest is \(header.previous) there and \(found) here"
            )
        }
    }

    /// What may be missing of the segment that was written to: it was gone over there before it was known where it ends. If
    /// the next one is chained to it as it is here, it is whole. `nil`: nothing is missing.
    private func lostEnd(before number: UInt64, _ header: SegmentHeader?) -> String? {
        guard file != nil else { return nil }
        let place = position.place
        if place.segment &+ 1 == number, header?.previous == hash.digest { return nil }
        return
            "segment \(place.segment) was gone over there before its end was pulled: whatever stood behind byte \(place.offset) of it is missing here"
    }

    /// Closes the segment and begins another one.
    private mutating func begin(
        _ number: UInt64, at now: Instant, _ wall: WallTime
    ) throws(SystemError) {
        let path = plan.folder.segment(number)
        let made = try AppendedFile(making: path, mode: 0o640)
        do throws(SystemError) {
            if plan.isDurable { try Files.sync(folder: plan.folder.path) }
        } catch {
            // Or it could not be made when it is tried again.
            try? Files.remove(path)
            throw error
        }
        if file != nil {
            keepIndex()
            closed.append(
                Retention.Candidate(
                    number: position.place.segment, size: position.place.offset,
                    newest: position.through ?? wall, at: now, wall))
        }
        file = made
        (hash, index, hasDamage, lost) = (SHA256(), SegmentIndex(), false, 0)
        position.place = PullRequest.Place(segment: number, offset: 0)
        (position.messages, position.header) = (0, nil)
    }

    private mutating func take(_ judged: PulledPiece, _ taken: [UInt8], _ pulled: PulledBytes) {
        hash.append(taken)
        let before = index.messages
        for (stamp, offset, record) in judged.stamps { index.add(stamp, at: offset, record: record) }
        piece = judged.position
        position.place.offset = piece.offset
        position.through = index.times?.last ?? position.through
        if let header = judged.header { position.header = header.checksum(fastestCRC) }
        position.damaged &+= UInt64(judged.damages.count)
        hasDamage = hasDamage || !judged.damages.isEmpty
        // Whoever has all bytes has all messages, but those that nobody can read.
        let more = index.messages - before
        if hasDamage, pulled.next == nil, position.place.offset == pulled.size, pulled.behind > more {
            lost &+= pulled.behind - more
        }
        position.messages = index.messages &+ lost
    }

    private func keepIndex() {
        var index = index
        (index.size, index.records) = (position.place.offset, piece.records)
        try? Files.write(
            index.encoded(digest: hash.digest, fastestCRC), to: plan.folder.index(position.place.segment),
            Files.Attributes(mode: 0o640), replacing: true, durably: false)
    }

    /// What cannot be removed stays until it can be; why, for a person.
    private mutating func expire(at now: Instant) -> String? {
        for number in plan.retention.expired(closed, written: position.place.offset, at: now) {
            do throws(SystemError) { try plan.folder.remove(number) } catch { return "\(error)" }
            closed.removeAll { $0.number == number }
        }
        return nil
    }

    /// The other gateway lost the end of a segment that this one has: what it goes on with is chained to the shorter
    /// one. What is more here is kept beside it.
    private mutating func setAside(from size: Int) throws(SystemError) -> String {
        let (number, end) = (position.place.segment, position.place.offset)
        let path = plan.folder.segment(number)
        try keepSurplus(of: number, try ReadFile(path).read(end - size, at: size))
        try Files.cut(path, to: size)
        let (damaged, unended) = (position.damaged, position.unended)
        (hash, index, position, file) = (SHA256(), SegmentIndex(), ReplicaPosition(), nil)
        (position.damaged, position.unended, hasDamage, lost) = (damaged, unended, false, 0)
        _ = try resume(number)
        return
            "segment \(number) lost its last \(end - size) bytes over there; they are kept in \(plan.folder.surplus(number))"
    }

    /// Puts what is to be cut before what was cut from the segment earlier, where it stood; not twice, where it could not
    /// be cut after that.
    private func keepSurplus(of number: UInt64, _ bytes: [UInt8]) throws(SystemError) {
        let path = plan.folder.surplus(number)
        var earlier: [UInt8] = []
        if Files.exists(path) { earlier = try ReadFile(path).read(try Files.size(of: path), at: 0) }
        guard !earlier.starts(with: bytes) else { return }
        try Files.write(
            bytes + earlier, to: path, Files.Attributes(mode: 0o640), replacing: true,
            durably: plan.isDurable)
    }
}
