// What a replica takes of bytes that it pulled: all that is whole, and what is damaged over there as it stands, so that
// both have the same bytes in the same places. Each damage is named, with the sequences that are missing for it.
public import Basics
public import Wire

/// Bytes of a segment that are damaged where they were pulled from, and kept as they are.
public struct ReplicaDamage: Hashable, Sendable, CustomStringConvertible {
    public var segment: UInt64
    public var damage: SegmentDamage
    /// The sequences between what is whole before it and behind it that no record has; `nil`: none, or that is not known:
    /// topics have numbers of their own, or nothing whole is on one of its sides.
    public var missing: SequenceRange?

    /// For a person: "segment 1: record 17 (sequence 4711) at byte 1024: the checksum of its contents does not fit;
    /// sequence 4711 is missing".
    public var description: String {
        let words =
            missing.map { $0.first == $0.last ? "; sequence \($0.first) is" : "; sequences \($0) are" }
        return "segment \(segment): \(damage)" + (words.map { "\($0) missing" } ?? "")
    }
}

/// Sequences of a channel that a record delivers, or tells as missing.
public struct Coverage: Hashable, Sendable {
    public var epoch: UInt64
    public var range: SequenceRange
}

extension Record {
    /// `nil`: it says nothing of the channel's sequences.
    public var coverage: Coverage? {
        switch head.kind {
        case .directory: return nil
        case .hole:
            // Topics with numbers of their own have holes of their own.
            guard let hole = Hole(contents, topicLength: head.topicLength), let range = hole.range,
                hole.topic.starts(with: Array("control/".utf8))
            else { return nil }
            return Coverage(epoch: hole.epoch, range: range)
        case .frame: return frameCoverage
        }
    }

    private var frameCoverage: Coverage? {
        let stamp = stamp
        switch stamp.frame {
        case .data:
            let flags = contents.word(at: contents.startIndex + head.topicLength + 3, as: UInt16.self)
            guard !FrameFlags(rawValue: flags).contains(.numberedPerTopic) else { return nil }
            return Coverage(epoch: stamp.epoch, range: SequenceRange(stamp.sequence, stamp.sequence))
        case .gap:
            guard let frame = try? Frame(parsing: contents),
                case .gap(let range, _, nil)? = try? ControlBody(kind: .gap, parsing: frame.body)
            else { return nil }
            return Coverage(epoch: stamp.epoch, range: range)
        case .heartbeat, .state, .idle, .batch, .sync, nil: return nil
        }
    }
}

/// A piece of a segment, judged.
public struct PulledPiece: Sendable {
    /// How far a segment is known before it.
    public struct Position: Sendable {
        public var segment: UInt64
        public var offset = 0
        /// Records before it, damaged ones among them.
        public var records: UInt64 = 0
        /// The last record before it that covers sequences; `nil`: none in this segment.
        public var covered: Coverage?

        public init(segment: UInt64) { self.segment = segment }
    }

    /// A record that is whole: where it stands in the feed's numbering, and where in the segment.
    public typealias Stamp = (stamp: RecordStamp, offset: Int, record: UInt64)

    public private(set) var header: SegmentHeader?
    public private(set) var stamps: [Stamp] = []
    public private(set) var damages: [ReplicaDamage] = []
    /// How many of the bytes are taken; the rest comes again with what follows it. 0: too few came.
    public private(set) var taken = 0
    /// How far the segment is known behind them.
    public private(set) var position: Position
    /// Damages behind which nothing whole was found yet.
    private var pending: [SegmentDamage] = []

    /// - Parameters:
    ///   - position: where the bytes belong.
    ///   - isEnd: the segment ends behind them, as far as it is written: with a record.
    public init(_ bytes: [UInt8], at position: Position, isEnd: Bool, _ crc: @escaping Checksum) {
        self.position = position
        let start = position.offset
        var scanner =
            start == 0
            ? SegmentScanner(crc)
            : SegmentScanner(
                crc, from: start, record: position.records,
                after: position.covered.map { ($0.epoch, $0.range.last) })
        scanner.push(bytes)
        if isEnd { scanner.finish() }
        take(&scanner)
        // Damage is taken with what is behind it, which shows what it cost; unless there is nothing.
        taken = max(0, isEnd ? scanner.position - start : scanner.wholeThrough - start)
        if isEnd || taken == 0 {
            flush(nil)
            taken = scanner.position - start
        }
        // No record is longer than what comes at once: nothing of it is whole, or could be.
        if taken == 0, bytes.count >= SegmentHeader.mostBytes + RecordHead.size + RecordHead.mostBytes {
            scanner.finish()
            take(&scanner)
            flush(nil)
            // The last ones may be of a head of which the rest is still to come.
            taken = bytes.count - (RecordHead.size - 1)
        }
        self.position.offset = start + taken
        self.position.records = scanner.records - UInt64(pending.count)
    }

    private mutating func take(_ scanner: inout SegmentScanner) {
        while let finding = scanner.next() {
            switch finding {
            case .header(let header): self.header = header
            case .damage(let damage): pending.append(damage)
            case .record(let record):
                let coverage = record.coverage
                if !pending.isEmpty { flush(coverage) }
                position.covered = coverage ?? position.covered
                stamps.append((record.stamp, record.offset, record.number))
            }
        }
    }

    /// Names the damages before what is whole again.
    private mutating func flush(_ next: Coverage?) {
        guard !pending.isEmpty else { return }
        let missing = missing(before: next)
        for damage in pending {
            damages.append(ReplicaDamage(segment: position.segment, damage: damage))
        }
        damages[damages.count - 1].missing = missing
        pending = []
    }

    private func missing(before next: Coverage?) -> SequenceRange? {
        guard let next, let before = position.covered, next.epoch == before.epoch,
            next.range.first > before.range.last, next.range.first - before.range.last > 1
        else { return nil }
        return SequenceRange(before.range.last + 1, next.range.first - 1)
    }
}

/// Damage is believed when it comes twice: what was spoilt on the way, or while it was read, comes whole the second time.
public struct ReplicaDoubt: Hashable, Sendable {
    private let place: PullRequest.Place
    private let count: Int
    private let checksum: UInt32

    public init(_ bytes: [UInt8], at place: PullRequest.Place, _ crc: Checksum) {
        self.place = place
        count = bytes.count
        checksum = crc(0, bytes.span)
    }

    /// Whether it is about the bytes that begin there.
    public func isAbout(_ place: PullRequest.Place) -> Bool { place == self.place }

    /// Whether the same bytes came again, with more behind them or not.
    public func isDispelled(by bytes: [UInt8], at place: PullRequest.Place, _ crc: Checksum) -> Bool {
        place == self.place && bytes.count >= count && crc(0, bytes.span.extracting(..<count)) == checksum
    }
}
