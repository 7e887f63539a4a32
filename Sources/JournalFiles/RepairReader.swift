// Finds in a channel's journal what a client missed: bounded in what it reads and in what it returns. It runs where
// waiting for the disk hurts nobody.
public import Basics
import FeedJournal
public import Wire
import Linux

/// What was found.
public struct RepairFindings: Sendable {
    /// Data of the range, and the gaps that were told among it.
    public var frames: [[UInt8]] = []
    /// The first and the last sequence of the epoch that are journalled; `nil`: none.
    public var known: SequenceRange?
    /// Where to read on; `nil`: that was all.
    public var next: RepairRequest.Place?
    /// Why the journal cannot be read.
    public var failure: String?
    /// Bytes of the frames.
    public var bytes = 0
    /// Bytes that were read for it, of segments and of indexes.
    public var read = 0
    /// Segments that were looked at.
    public var segments = 0
    /// What has to be read before the client can be answered, and how far that has come; `nil`: nothing.
    public var unread: String?

    /// Data with this sequence is journalled.
    fileprivate mutating func knows(_ sequence: UInt64) {
        let known = known ?? SequenceRange(sequence, sequence)
        self.known = SequenceRange(min(known.first, sequence), max(known.last, sequence))
    }

    /// What it is charged as, in bytes that are sent: reading costs less than sending, and looking for what is not there
    /// costs something, too.
    public var cost: Int { bytes + read / 8 + segments * 128 }
}

/// Reads for one request.
public struct RepairReader: Sendable {
    /// What one reply holds at most.
    public static let mostFrames = 5000
    public static let mostBytes = 1 << 20
    /// What is read for it at most, and of closed segments whose indexes are not known likewise.
    public static let mostRead = 64 << 20

    private let folder: ChannelFolder
    private let request: RepairRequest
    /// The segment that is being written, and how far it can be read.
    private let live: (number: UInt64, size: Int, index: SegmentIndex)?
    private let mostRead: Int
    private let mayHave: @Sendable (ArraySlice<UInt8>) -> Bool
    private let topic: [UInt8]?

    /// - Parameters:
    ///   - mostRead: what is read for it at most.
    ///   - mayHave: whether the client may have a topic.
    public init(
        _ request: RepairRequest, in folder: ChannelFolder, tail: JournalTail?,
        mostRead: Int = RepairReader.mostRead,
        mayHave: @escaping @Sendable (ArraySlice<UInt8>) -> Bool
    ) {
        self.request = request
        self.folder = folder
        self.mayHave = mayHave
        self.mostRead = mostRead
        live = tail.map { ($0.number, $0.size, $0.index) }
        topic = request.instrument.map { Topic.marketData(feed: request.feed, instrument: $0).bytes }
    }

    /// - Parameter summaries: what closed segments hold, as far as it is known.
    public func read(_ summaries: inout SegmentSummaries) -> RepairFindings {
        var findings = RepairFindings()
        do throws(SystemError) {
            try read(&summaries, &findings)
        } catch {
            findings.failure = "\(error)"
        }
        return findings
    }

    private func read(
        _ summaries: inout SegmentSummaries, _ findings: inout RepairFindings
    ) throws(SystemError) {
        let numbers = try folder.segments().filter { $0 <= live?.number ?? .max }
        findings.segments = numbers.count
        guard try survey(numbers, &summaries, &findings) else { return }
        var left = mostRead
        var verdicts: [ArraySlice<UInt8>: Bool] = [:]
        let segments = numbers.compactMap { number in
            (number == live?.number ? live?.index : summaries.known[number]).map { (number, $0) }
        }
        for case let span? in segments.map({ $0.1.span(of: request.epoch) }) {
            findings.knows(span.first)
            findings.knows(span.last)
        }
        let reaches = SegmentIndex.reaches(of: request.epoch, in: segments.map(\.1))
        for ((number, index), reach) in zip(segments, reaches) where findings.next == nil {
            if let after = request.after, number < after.segment { continue }
            guard let reach, reach.first <= request.range.last, request.range.first <= reach.last else {
                continue
            }
            let places = try places(number, index, &findings)
            guard let start = try start(number, places) else { continue }
            try read(number, from: start, &left, &verdicts, &findings)
        }
    }

    /// What the closed segments hold: as much is read for it as for an answer.
    ///
    /// - Returns: whether all of it is known.
    private func survey(
        _ numbers: [UInt64], _ summaries: inout SegmentSummaries, _ findings: inout RepairFindings
    ) throws(SystemError) -> Bool {
        let closed = numbers.filter { $0 != live?.number }
        summaries.forget(except: closed)
        // Nobody writes to the last one now, but somebody may.
        if live == nil, let last = numbers.last { try summaries.check(last, in: folder) }
        var budget = mostRead
        defer { findings.read += mostRead - budget }
        let isWhole = try summaries.learn(closed, in: folder, &budget, isOurs: live != nil)
        if !isWhole { findings.unread = summaries.progress(closed.count) }
        return isWhole
    }

    /// An index that says where to begin, if that is needed and the index is there.
    private func places(
        _ number: UInt64, _ index: SegmentIndex, _ findings: inout RepairFindings
    ) throws(SystemError) -> SegmentIndex {
        guard number != live?.number, request.after?.segment != number else { return index }
        let (kept, read) = folder.keptIndex(of: number, size: try Files.size(of: folder.segment(number)))
        findings.read += read
        return kept ?? index
    }

    /// Where to begin in a segment; `nil`: nothing of the range is in it.
    private func start(
        _ number: UInt64, _ index: SegmentIndex
    ) throws(SystemError) -> (offset: Int, record: UInt64)? {
        if let after = request.after, after.segment == number { return (after.offset, after.record) }
        guard let first = index.entries.first else { return (0, 0) }
        guard try folder.ascends(number, from: first) else {
            return index.mayHold(request.epoch, request.range) ? (0, 0) : nil
        }
        let entry = index.entry(before: request.range.first, of: request.epoch)
        return entry.map { ($0.offset, $0.record) } ?? (0, 0)
    }

    private func read(
        _ number: UInt64, from start: (offset: Int, record: UInt64), _ left: inout Int,
        _ verdicts: inout [ArraySlice<UInt8>: Bool], _ findings: inout RepairFindings
    ) throws(SystemError) {
        let file = try ReadFile(folder.segment(number))
        let end = number == live?.number ? live?.size ?? .max : .max
        var position = start.offset
        var scanner =
            position == 0
            ? SegmentScanner(fastestCRC) : SegmentScanner(fastestCRC, from: position, record: start.record)
        var isPast = false
        // Whether sequences ascend, as the first record beyond the range says.
        var ascends: Bool?
        while !isPast {
            let piece = try file.read(min(pieceBytes, max(0, end - position)), at: position)
            position += piece.count
            left -= piece.count
            findings.read += piece.count
            piece.isEmpty ? scanner.finish() : scanner.push(piece)
            while !isPast, let finding = scanner.next() {
                guard case .record(let record) = finding else { continue }
                guard findings.frames.count < RepairReader.mostFrames, findings.bytes < RepairReader.mostBytes
                else {
                    findings.next = RepairRequest.Place(
                        segment: number, offset: record.offset, record: record.number)
                    return
                }
                isPast = take(record, &ascends, &verdicts, &findings)
            }
            if piece.isEmpty { return }
            if left <= 0, !isPast {
                findings.next = RepairRequest.Place(
                    segment: number, offset: scanner.searchedThrough, record: scanner.records)
                return
            }
        }
    }

    /// `true`: what follows is beyond the range.
    private func take(
        _ record: Record, _ ascends: inout Bool?, _ verdicts: inout [ArraySlice<UInt8>: Bool],
        _ findings: inout RepairFindings
    ) -> Bool {
        let stamp = record.stamp
        guard stamp.epoch == request.epoch, let kind = stamp.frame else { return false }
        switch kind {
        case .data:
            guard request.range.contains(stamp.sequence) else {
                guard stamp.sequence > request.range.last else { return false }
                let isPast = ascends ?? isNumberedByChannel(record)
                ascends = isPast
                return isPast
            }
            findings.knows(stamp.sequence)
            if let topic, !record.topic.elementsEqual(topic) { return false }
        case .gap:
            guard let frame = try? Frame(parsing: record.contents),
                case .gap(let range, _, let instrument)? = try? ControlBody(kind: .gap, parsing: frame.body),
                range.first <= request.range.last, request.range.first <= range.last,
                instrument == request.instrument || instrument == nil
            else { return false }
        case .idle, .heartbeat, .state, .batch, .sync: return false
        }
        let isAllowed = verdicts[record.topic] ?? mayHave(record.topic)
        if verdicts.count < 10_000 { verdicts[ArraySlice(Array(record.topic))] = isAllowed }
        guard isAllowed else { return false }
        findings.frames.append(Array(record.contents))
        findings.bytes += record.contents.count
        return false
    }

    private func isNumberedByChannel(_ record: Record) -> Bool {
        (try? Frame(parsing: record.contents))?.header.flags.contains(.numberedPerTopic) == false
    }
}
