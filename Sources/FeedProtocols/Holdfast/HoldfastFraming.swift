// Holdfast's own downstream frames as a feed: a gateway takes whole feeds of other gateways, which number alike. The
// frames are in Sources/Wire/README.md. A unit is the topic and the venue's message: what two gateways agree on. The
// source time is the packet's: a gateway that began later may not know it.
import Basics
public import Wire

public enum HoldfastFraming: PacketFraming {
    /// The one message of a frame.
    public struct Units: IteratorProtocol {
        fileprivate var unit: ArraySlice<UInt8>?

        @inline(__always)
        public mutating func next() -> ArraySlice<UInt8>? {
            defer { unit = nil }
            return unit
        }
    }

    public static var hasOneChannel: Bool { false }
    public static var isOverConnection: Bool { true }

    /// - Throws: `MalformedInput`; `inconsistent` at the flags for feeds that are not numbered by channel, and for
    ///   messages that reach several topics under one number.
    public static func read(_ bytes: ArraySlice<UInt8>) throws(MalformedInput) -> FramedPacket<Units> {
        let frame = try HoldfastFraming.frame(bytes)
        let header = frame.header
        let perTopic = FrameFlags.numberedPerTopic.union(.severalTopics)
        guard header.flags.isDisjoint(with: perTopic) else {
            throw MalformedInput(
                .inconsistent, offset: frame.topicBytes.count + 3, wanted: 0,
                found: Int(header.flags.intersection(perTopic).rawValue))
        }
        guard header.sequence < .max else {
            throw MalformedInput(
                .sequenceOverflow, offset: frame.topicBytes.count + 17, wanted: 0, found: 1)
        }
        let run = HoldfastFraming.run(of: frame)
        var framed = FramedPacket(
            HoldfastFraming.numbers(of: frame, in: run),
            units: Units(unit: header.kind == .data ? HoldfastFraming.unit(of: frame) : nil))
        framed.sentAt = header.sourceTime
        framed.isStale = header.state == .stale
        // Who is closed is not live in between.
        framed.isRecovering = header.isRecovering || header.state == .closed && header.kind != .data
        framed.isClosed = HoldfastFraming.isClosed(header)
        framed.isUnresolved = header.kind == .data && header.flags.contains(.unresolved)
        framed.run = run
        framed.isInferred = header.flags.contains(.epochInferred)
        return framed
    }

    /// Whether a frame says that its channel is closed: those of a control topic do. `nil`: it says nothing of that; one
    /// that is still being sent will be closed when all of it was.
    public static func isClosed(_ header: FrameHeader) -> Bool? {
        switch header.kind {
        case .heartbeat, .gap, .state:
            header.state != .closed ? false : header.isRecovering ? nil : true
        case .data, .idle, .sync, .batch: nil
        }
    }

    /// Reads a frame of any kind.
    public static func frame(_ bytes: ArraySlice<UInt8>) throws(MalformedInput) -> Frame {
        do throws(FrameError) {
            return try Frame(parsing: bytes)
        } catch {
            let reason: MalformedInput.Reason =
                switch error.problem {
                case .noEndOfTopic, .topicWithoutSlash, .notUTF8: .badTopic
                case .truncated: .truncated
                case .version: .unknownVersion
                case .kind, .state, .gapReason: .unknownKind
                case .descendingGap: .inconsistent
                case .trailing: .oversized
                }
            throw MalformedInput(reason, offset: error.offset, wanted: FrameHeader.size, found: bytes.count)
        }
    }

    /// Data has its own number; everything else says which one was the last.
    private static func numbers(of frame: Frame, in run: SourceRun?) -> SequencedHeader {
        let header = frame.header
        var numbers = SequencedHeader(
            session: header.epoch, channel: UInt32(header.channel), firstSequence: header.sequence + 1,
            kind: .heartbeat, messages: 0)
        switch header.kind {
        case .data:
            (numbers.firstSequence, numbers.kind, numbers.messages) = (
                header.sequence, .data(count: 1), 1
            )
        case .heartbeat, .gap, .state:
            guard header.sequence == 0 else { break }
            // Nothing was published of the epoch; it begins where its heartbeats say.
            numbers.firstSequence = run?.first ?? 0
            if header.epoch == 0 || numbers.firstSequence == 0 { numbers.kind = .unsequenced }
        case .idle, .sync, .batch: numbers.kind = .unsequenced
        }
        return numbers
    }

    /// What the other gateway says of its run; `nil`: only its heartbeats do.
    private static func run(of frame: Frame) -> SourceRun? {
        guard frame.header.kind == .heartbeat,
            case .heartbeat(_, _, _, let first, let isNamed)? = try? ControlBody(
                kind: .heartbeat, parsing: frame.body)
        else { return nil }
        return SourceRun(number: frame.header.run, first: first, isNamed: isNamed)
    }

    /// Behind the slash with which each topic ends: of which instrument the message is, the other gateway does not know.
    static let unresolvedMark: UInt8 = 1

    /// The topic, the mark if the message has it, a zero, and the message.
    private static func unit(of frame: Frame) -> ArraySlice<UInt8> {
        var unit: [UInt8] = []
        unit.reserveCapacity(frame.topicBytes.count + 2 + frame.body.count)
        unit.append(contentsOf: frame.topicBytes)
        if frame.header.flags.contains(.unresolved) { unit.append(unresolvedMark) }
        unit.append(0)
        unit.append(contentsOf: frame.body)
        return unit[...]
    }
}
