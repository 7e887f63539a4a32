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
    /// The messages of each closed segment that was looked at.
    public var counts: [UInt64: UInt64]
}

/// Reads for one request.
public struct PullReader: Sendable {
    /// What one reply holds at most: more than the longest record, so that each reply has a whole one.
    public static let mostBytes = 1 << 19

    private let request: PullRequest
    private let folder: ChannelFolder
    private let live: (number: UInt64, size: Int, messages: UInt64)
    private let counts: [UInt64: UInt64]

    /// - Parameter counts: the messages of closed segments, as far as they are known.
    public init(
        _ request: PullRequest, in folder: ChannelFolder, tail: JournalTail, counts: [UInt64: UInt64]
    ) {
        self.request = request
        self.folder = folder
        self.counts = counts
        live = (tail.number, tail.size, tail.index.messages)
    }

    public func read() -> PullFindings {
        var findings = PullFindings(
            body: .refused("nothing is journalled", retryAfter: nil, first: nil), counts: counts)
        do throws(SystemError) {
            try read(&findings)
        } catch {
            findings.body = .refused("the journal cannot be read: \(error)", retryAfter: nil, first: nil)
        }
        return findings
    }

    private func read(_ findings: inout PullFindings) throws(SystemError) {
        let numbers = try folder.segments().filter { $0 <= live.number }
        guard let first = numbers.first else { return }
        let place =
            request.place.segment == 0 ? PullRequest.Place(segment: first, offset: 0) : request.place
        guard numbers.contains(place.segment) else {
            return findings.body = refusal(place.segment, numbers)
        }
        let isLive = place.segment == live.number
        let path = folder.segment(place.segment)
        let size = isLive ? live.size : try Files.size(of: path)
        let file = try ReadFile(path)
        let head = try file.read(SegmentHeader.mostBytes, at: 0)
        let header = try? SegmentHeader(parsing: head[...], fastestCRC)
        if place.offset < size {
            findings.bytes = try file.read(
                min(PullReader.mostBytes, size - place.offset), at: place.offset)
        }
        let messages = try messages(from: place.segment, numbers, &findings)
        findings.isAll = isLive && place.offset + findings.bytes.count == size
        findings.body = .bytes(
            PulledBytes(
                place: place, size: size, header: header?.checksum(fastestCRC),
                next: numbers.first { $0 > place.segment },
                behind: messages > request.messages ? messages - request.messages : 0))
    }

    /// Of a segment and those behind it. Those that went meanwhile count for nothing, and those that cannot be read now
    /// are read again next time.
    private func messages(
        from number: UInt64, _ numbers: [UInt64], _ findings: inout PullFindings
    ) throws(SystemError) -> UInt64 {
        var sum = live.messages
        for closed in numbers where closed >= number && closed != live.number {
            let count = findings.counts[closed] ?? (try? folder.readIndex(of: closed).messages)
            findings.counts[closed] = count
            sum &+= count ?? 0
        }
        findings.counts = findings.counts.filter { numbers.contains($0.key) }
        return sum
    }

    private func refusal(_ number: UInt64, _ numbers: [UInt64]) -> PullReply.Body {
        guard let next = numbers.first(where: { $0 > number }) else {
            return .refused(
                "segment \(number) is not there, and the last one is \(live.number): the journal there is another one",
                retryAfter: nil, first: nil)
        }
        return .refused("segment \(number) is not there any more", retryAfter: nil, first: next)
    }
}
