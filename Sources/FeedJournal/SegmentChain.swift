// What `holdfast verify` decides: whether the segments of a channel are whole, in order, and each the one that the next
// one was chained to.
import Basics
import Wire

/// Something that is wrong with a journal.
public struct JournalFault: Hashable, Sendable, CustomStringConvertible {
    public enum Problem: Hashable, Sendable {
        case damage(SegmentDamage)
        /// The header says another number than the file's name.
        case renumbered(said: UInt64)
        /// The header is of another feed or channel than the segment before.
        case foreign(feed: String, channel: UInt16)
        /// Segments between the one before and this one are not there.
        case missing(from: UInt64, to: UInt64)
        /// The segment before is not the one that this one was chained to.
        case broken(expected: Digest, found: Digest)
        /// A sequence of a channel that does not ascend, within one run.
        case order(record: UInt64, sequence: UInt64, after: UInt64)
    }

    /// The number of the segment.
    public var segment: UInt64
    public var problem: Problem

    public var description: String {
        let text =
            switch problem {
            case .damage(let damage): damage.description
            case .renumbered(let said): "its header says that it is segment \(said)"
            case .foreign(let feed, let channel): "it is of feed \(feed), channel \(channel)"
            case .missing(let from, let to):
                from == to
                    ? "segment \(from) before it is missing"
                    : "segments \(from) to \(to) before it are missing"
            case .broken(let expected, let found):
                "the segment before it was changed: its digest was \(expected) and is \(found)"
            case .order(let record, let sequence, let after):
                "record \(record): sequence \(sequence) comes after \(after)"
            }
        return "segment \(segment): \(text)"
    }
}

/// Checks the segments of one channel, in the order of their numbers. The first one may be chained to one that is not
/// kept any more.
public struct SegmentChain {
    /// Faults that are told one by one; more are counted.
    public static let mostFaults = 1000

    public private(set) var faults: [JournalFault] = []
    public private(set) var faultCount: UInt64 = 0
    public private(set) var segments: UInt64 = 0
    public private(set) var records: UInt64 = 0
    public private(set) var frames: UInt64 = 0
    public private(set) var bytes: UInt64 = 0
    public private(set) var holes: [Hole] = []
    /// The digest of the last segment.
    public private(set) var digest: Digest?
    private let crc: Checksum
    private var number: UInt64 = 0
    private var previousNumber: UInt64?
    private var first: SegmentHeader?
    private var scanner: SegmentScanner
    private var hash = SHA256()
    private var last: (epoch: UInt64, sequence: UInt64)?

    public init(_ crc: @escaping Checksum) {
        self.crc = crc
        scanner = SegmentScanner(crc)
    }

    /// The next segment comes, under the number of its file.
    public mutating func begin(_ number: UInt64) {
        self.number = number
        scanner = SegmentScanner(crc)
        hash = SHA256()
        last = nil
        if let before = previousNumber, before + 1 < number {
            add(.missing(from: before + 1, to: number - 1))
        }
    }

    public mutating func take(_ piece: [UInt8]) {
        hash.append(piece)
        bytes &+= UInt64(piece.count)
        scanner.push(piece)
        examine()
    }

    /// The segment ends here.
    public mutating func end() {
        scanner.finish()
        examine()
        segments &+= 1
        records &+= scanner.records
        frames &+= scanner.frames
        digest = hash.digest
        previousNumber = number
    }

    private mutating func add(_ problem: JournalFault.Problem) {
        faultCount &+= 1
        if faults.count < SegmentChain.mostFaults {
            faults.append(JournalFault(segment: number, problem: problem))
        }
    }

    private mutating func examine() {
        while let finding = scanner.next() {
            switch finding {
            case .header(let header): check(header)
            case .record(let record): check(record)
            case .damage(let damage): add(.damage(damage))
            }
        }
    }

    private mutating func check(_ header: SegmentHeader) {
        if header.number != number { add(.renumbered(said: header.number)) }
        if let first, first.feed != header.feed || first.channel != header.channel {
            add(.foreign(feed: header.feed, channel: header.channel))
        }
        if first == nil { first = header }
        if previousNumber == nil ? number == 1 : previousNumber == number - 1 {
            let found = digest ?? .none
            if header.previous != found { add(.broken(expected: header.previous, found: found)) }
        }
    }

    private mutating func check(_ record: Record) {
        if record.head.kind == .hole, holes.count < SegmentChain.mostFaults,
            let hole = Hole(record.contents, topicLength: record.head.topicLength)
        {
            holes.append(hole)
        }
        let stamp = record.stamp
        guard stamp.frame == .data else { return }
        let flags = record.contents.word(
            at: record.contents.startIndex + record.head.topicLength + 3, as: UInt16.self)
        guard !FrameFlags(rawValue: flags).contains(.numberedPerTopic) else { return }
        // One message may reach several topics, with the same number.
        if let last, last.epoch == stamp.epoch, stamp.sequence < last.sequence {
            add(.order(record: record.number, sequence: stamp.sequence, after: last.sequence))
        }
        last = (stamp.epoch, stamp.sequence)
    }
}
