// What was not journalled, exactly: which sequences of which epoch, and of which topic where each topic has numbers of
// its own.
public import Basics
import Wire

/// A run of sequences that were published and not journalled, because the disk was full or too slow, or a frame too long.
public struct Hole: Hashable, Sendable {
    /// Whose sequences they are: a data topic where each has its own, else the channel's control topic; empty: of
    /// topics of which there were too many to be named.
    public var topic: [UInt8]
    public var epoch: UInt64
    /// `nil`: none were counted, only frames.
    public var range: SequenceRange?
    /// Frames that were not journalled.
    public var count: UInt64
    /// When the first and the last of them were received.
    public var from: WallTime
    public var to: WallTime

    public init(
        topic: [UInt8], epoch: UInt64, range: SequenceRange?, count: UInt64, from: WallTime, to: WallTime
    ) {
        self.topic = topic
        self.epoch = epoch
        self.range = range
        self.count = count
        self.from = from
        self.to = to
    }

    /// The contents of its record.
    public var bytes: [UInt8] {
        var writer = ByteWriter(capacity: topic.count + 49)
        writer.append(topic)
        if !topic.isEmpty { writer.littleEndian(UInt8(0)) }
        writer.littleEndian(epoch)
        writer.littleEndian(range?.first ?? 0)
        writer.littleEndian(range?.last ?? 0)
        writer.littleEndian(count)
        writer.littleEndian(from.nanoseconds)
        writer.littleEndian(to.nanoseconds)
        return writer.bytes
    }

    /// Reads what `bytes` writes; `nil`: it is not that.
    public init?(_ contents: ArraySlice<UInt8>, topicLength: Int) {
        topic = Array(contents.prefix(topicLength))
        let start = contents.startIndex + topicLength + (topicLength > 0 ? 1 : 0)
        guard contents.endIndex - start >= 48 else { return nil }
        epoch = contents.word(at: start, as: UInt64.self)
        let first = contents.word(at: start + 8, as: UInt64.self)
        let last = contents.word(at: start + 16, as: UInt64.self)
        guard first <= last else { return nil }
        range = last == 0 ? nil : SequenceRange(first, last)
        count = contents.word(at: start + 24, as: UInt64.self)
        from = WallTime(nanoseconds: contents.word(at: start + 32, as: Int64.self))
        to = WallTime(nanoseconds: contents.word(at: start + 40, as: Int64.self))
    }
}

/// The holes of a time in which nothing is journalled.
struct HoleBook {
    /// Topics and epochs that are told apart; what is beyond is counted together.
    static let mostSpans = 10_000

    private struct Key: Hashable {
        var topic: [UInt8]
        var epoch: UInt64
    }

    private let control: [UInt8]
    private var spans: [Key: Hole] = [:]
    private var order: [Key] = []
    private var others: Hole?

    /// - Parameter control: the channel's control topic.
    init(control: [UInt8]) { self.control = control }

    var isEmpty: Bool { spans.isEmpty && others == nil }

    /// A frame that is not journalled.
    mutating func note(_ frame: Span<UInt8>, topicLength: Int) {
        let stamp = Record.stamp(.frame, frame, topicLength: topicLength)
        let flags = FrameFlags(rawValue: frame.word(at: topicLength + 3, as: UInt16.self))
        let isNumbered = stamp.frame == .data
        let isOwn = flags.contains(.numberedPerTopic) && isNumbered
        let topic = isOwn ? [UInt8](copying: frame.extracting(..<topicLength)) : control
        let hole = Hole(
            topic: topic, epoch: stamp.epoch,
            range: isNumbered ? SequenceRange(stamp.sequence, stamp.sequence) : nil, count: 1,
            from: stamp.receiveTime, to: stamp.receiveTime)
        add(hole)
    }

    private mutating func add(_ hole: Hole) {
        let key = Key(topic: hole.topic, epoch: hole.epoch)
        if let known = spans[key] {
            spans[key] = known.joined(with: hole)
        } else if spans.count < HoleBook.mostSpans {
            spans[key] = hole
            order.append(key)
        } else {
            var other = hole
            (other.topic, other.epoch, other.range) = ([], 0, nil)
            others = others?.joined(with: other) ?? other
        }
    }

    /// All of them, in the order in which they began; there are none any more.
    mutating func take() -> [Hole] {
        let holes = order.compactMap { spans[$0] } + (others.map { [$0] } ?? [])
        self = HoleBook(control: control)
        return holes
    }
}

extension Hole {
    fileprivate func joined(with other: Hole) -> Hole {
        var both = self
        both.count &+= other.count
        both.from = min(from, other.from)
        both.to = max(to, other.to)
        if let range, let added = other.range {
            both.range = SequenceRange(min(range.first, added.first), max(range.last, added.last))
        } else {
            both.range = range ?? other.range
        }
        return both
    }
}
