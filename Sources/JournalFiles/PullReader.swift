// Reads for a replica what it does not have yet: bytes of one segment, as they stand there. It runs where waiting for
// the disk hurts nobody.
import FeedJournal
public import Wire
import Basics
import Linux

/// What was found.
public struct PullFindings: Sendable {
    public var body: PullReply.Body
    public var bytes: [UInt8] = []
    /// Nothing that is written is behind these bytes.
    public var isAll = false
    /// Bytes that were read to count what is behind.
    public var read = 0

    /// What it is charged as, in bytes that are sent, as `RepairFindings.cost` is.
    public var cost: Int { bytes.count + read / 8 }
}

/// Reads for one request.
public struct PullReader: Sendable {
    /// What one reply holds at most: more than the longest record, so that each reply has a whole one.
    public static let mostBytes = 1 << 19

    private let request: PullRequest
    private let folder: ChannelFolder
    /// The segment with which it ends, and how far that can be read.
    private let last: (number: UInt64, size: Int)
    /// The messages of that one, if it is being written.
    private let messages: UInt64?
    private let mostRead: Int

    /// - Parameter mostRead: what is read at most to count what is behind.
    public init(
        _ request: PullRequest, in folder: ChannelFolder, tail: JournalTail, mostRead: Int = 64 << 20
    ) {
        self.request = request
        self.folder = folder
        self.mostRead = mostRead
        last = (tail.number, tail.size)
        messages = tail.index.messages
    }

    /// Of a journal that could be read and not be opened to be written, as on a full disk: what is whole of it.
    public init(
        _ request: PullRequest, in folder: ChannelFolder, end: JournalEnd, mostRead: Int = 64 << 20
    ) {
        self.request = request
        self.folder = folder
        self.mostRead = mostRead
        // Without a whole header it does not stay.
        last = end.whole > 0 || end.segment == 0 ? (end.segment, end.whole) : (end.segment - 1, .max)
        messages = nil
    }

    /// - Parameter summaries: what closed segments hold, as far as it is known.
    public func read(_ summaries: inout SegmentSummaries) -> PullFindings {
        var findings = PullFindings(
            body: .refused("nothing is journalled", retryAfter: nil, first: nil))
        do throws(SystemError) {
            try read(&summaries, &findings)
        } catch {
            findings.body = .refused("the journal cannot be read: \(error)", retryAfter: nil, first: nil)
        }
        return findings
    }

    private func read(
        _ summaries: inout SegmentSummaries, _ findings: inout PullFindings
    ) throws(SystemError) {
        let numbers = try folder.segments().filter { $0 <= last.number }
        guard let first = numbers.first else { return }
        let place =
            request.place.segment == 0 ? PullRequest.Place(segment: first, offset: 0) : request.place
        guard numbers.contains(place.segment) else {
            return findings.body = refusal(place.segment, numbers)
        }
        guard let messages = messages(from: place.segment, numbers, &summaries, &findings) else { return }
        let isLast = place.segment == last.number
        let path = folder.segment(place.segment)
        let size = isLast && last.size < .max ? last.size : try Files.size(of: path)
        let file = try ReadFile(path)
        let head = try file.read(SegmentHeader.mostBytes, at: 0)
        let header = try? SegmentHeader(parsing: head[...], fastestCRC)
        if place.offset < size {
            findings.bytes = try file.read(
                min(PullReader.mostBytes, size - place.offset), at: place.offset)
        }
        findings.isAll = isLast && place.offset + findings.bytes.count == size
        findings.body = .bytes(
            PulledBytes(
                place: place, size: size, header: header?.checksum(fastestCRC),
                next: numbers.first { $0 > place.segment },
                behind: messages > request.messages ? messages - request.messages : 0))
    }

    /// Of a segment and those behind it. Those that went meanwhile count for nothing, and those that cannot be read now
    /// are read again next time. `nil`: there is more to be read for that than may be at once; a number that is too small
    /// would pass for a replica that has more than it has.
    private func messages(
        from number: UInt64, _ numbers: [UInt64], _ summaries: inout SegmentSummaries,
        _ findings: inout PullFindings
    ) -> UInt64? {
        let closed = messages == nil ? numbers : numbers.filter { $0 != last.number }
        summaries.forget(except: closed)
        var (sum, budget) = (messages ?? 0, mostRead)
        defer { findings.read = mostRead - budget }
        for segment in closed where segment >= number {
            let isKnown = try? summaries.learn([segment], in: folder, &budget, isOurs: messages != nil)
            if isKnown == false {
                findings.body = .refused(
                    summaries.progress(closed.count), retryAfter: .milliseconds(100), first: nil)
                return nil
            }
            sum &+= summaries.known[segment]?.messages ?? 0
        }
        return sum
    }

    private func refusal(_ number: UInt64, _ numbers: [UInt64]) -> PullReply.Body {
        guard let next = numbers.first(where: { $0 > number }) else {
            return .refused(
                "segment \(number) is not there, and the last one is \(last.number): the journal there is another one",
                retryAfter: nil, first: nil)
        }
        return .refused("segment \(number) is not there any more", retryAfter: nil, first: next)
    }
}
