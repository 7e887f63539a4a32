// What the engine tests share: a sink that reads frames back and writes them as short lines, and a way to
// drive an engine with packets and time.
import Arbitration
import Basics
import Configuration
import FeedProtocols
import Wire

@testable import FeedJournal
@testable import Gateway

func ms(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

/// 2026-01-02T12:00:00Z and so many milliseconds.
func wall(_ milliseconds: Int64) -> WallTime {
    WallTime(nanoseconds: noon + milliseconds * 1_000_000)
}

private let noon: Int64 = 1_767_355_200_000_000_000
private let noonInDay: UInt64 = 43_200_000_000_000

final class Recorder: FrameSink {
    private(set) var lines: [String] = []
    private(set) var frames: [Frame] = []
    /// What the journal of all that was published tells a gateway that starts anew.
    private(set) var memory = JournalMemory()

    func publish(_ bytes: [UInt8], topicLength: Int, by route: TopicRoute) -> TopicRoute {
        guard let frame = try? Frame(parsing: bytes) else {
            lines.append("no frame")
            return route
        }
        frames.append(frame)
        lines.append(Recorder.line(frame))
        let head = RecordHead(
            kind: .frame, length: bytes.count, topicLength: topicLength, checksum: 0)
        memory.take(Record(head: head, number: 0, offset: 0, contents: bytes[...]))
        if frame.topicBytes.count != topicLength { lines.append("another topic length: \(topicLength)") }
        return route
    }

    /// A line of what goes to one connection alone ends with that.
    func send(_ frame: [UInt8], to connection: Int32) {
        _ = publish(frame, topicLength: frame.firstIndex(of: 0) ?? 0, by: TopicRoute())
        lines[lines.count - 1] += " to \(connection)"
    }

    func shows(to connection: Int32) { lines.append("shows to \(connection)") }
    func shown(to connection: Int32) { lines.append("shown to \(connection)") }

    /// Whether each heartbeat that says where an epoch begins calls the epoch the venue's name of its session.
    var named: [Bool] {
        frames.compactMap { frame in
            guard
                case .heartbeat(_, _, _, let first, let isNamed)? = try? ControlBody(
                    kind: frame.header.kind, parsing: frame.body), first > 0
            else { return nil }
            return isNamed
        }
    }

    /// What was published since the last call.
    func take() -> [String] {
        defer { lines = [] }
        return lines
    }

    private static func line(_ frame: Frame) -> String {
        let topic = String(decoding: frame.topicBytes, as: UTF8.self)
        let header = frame.header
        let marks = marks(header.flags)
        switch header.kind {
        case .data: return "\(topic) \(header.sequence) after \(header.previous)\(marks)"
        case .idle: return "\(topic) idle \(header.sequence)\(marks)"
        case .sync: return "\(topic) sync"
        case .batch:
            let messages = try? BatchBody.messages(of: frame.body, last: header.sequence)
            let numbers = (messages ?? []).map { "\($0.sequence)" }.joined(separator: " ")
            return "\(topic) \(numbers) after \(header.previous)\(marks)"
        case .heartbeat, .gap, .state:
            guard let body = try? ControlBody(kind: header.kind, parsing: frame.body) else {
                return "bad body"
            }
            return control(body, header)
        }
    }

    private static func control(_ body: ControlBody, _ header: FrameHeader) -> String {
        switch body {
        case .heartbeat(let published, let gaps, _, let first, _):
            "heartbeat \(published) \(gaps) \(header.state)\(first == 0 ? "" : " from \(first)")"
        case .gap(let range, let reason, let instrument):
            "gap \(range.first)-\(range.last) \(reason)\(instrument.map { " of \($0)" } ?? "")"
        case .state(let path, let reason): "state \(header.state) \(path ?? "-"): \(reason)"
        }
    }

    private static func marks(_ flags: FrameFlags) -> String {
        var text = ""
        if flags.contains(.recovering) { text += " recovering" }
        if flags.contains(.stale) { text += " stale" }
        if flags.contains(.late) { text += " late" }
        if flags.contains(.epochInferred) { text += " inferred" }
        if flags.contains(.unresolved) { text += " unresolved" }
        return text
    }
}

/// A feed whose whole is wanted, and whose paths are connected and have all subscriptions, at 0 ms.
func startedFeed(_ options: FeedOptions, controlEvery: Duration, into recorder: Recorder) -> FeedCore {
    let core = FeedCore(
        EnginePlan(
            options: options, index: 0, run: 1, controlEvery: controlEvery, sink: recorder,
            log: { _, _ in }, now: ms(0)))
    core.start([.data(feed: options.name, .all)], at: ms(0), wall: wall(0))
    for path in options.paths.indices {
        core.connected(path, at: ms(0), wall: wall(0))
        core.resubscribed(path, at: ms(0), wall: wall(0))
    }
    return core
}

/// ITCH messages in MoldUDP64 packets.
struct MoldVenue {
    var session = MoldSession("S1")

    func message(_ body: ITCH50Body, locate: UInt16, at milliseconds: Int64 = 0) -> [UInt8] {
        var writer = ByteWriter()
        let time = noonInDay &+ UInt64(bitPattern: milliseconds * 1_000_000)
        body.write(ITCH50Stamp(locate: locate, timestamp: time), into: &writer)
        return writer.bytes
    }

    func directory(_ locate: UInt16, _ symbol: String) -> [UInt8] {
        message(.stockDirectory(symbol: ITCHSymbol(symbol)), locate: locate)
    }

    func delete(_ locate: UInt16, at milliseconds: Int64 = 0) -> [UInt8] {
        message(.orderDelete(reference: 1), locate: locate, at: milliseconds)
    }

    func packet(_ first: UInt64, _ messages: [[UInt8]]) -> [UInt8] {
        var builder = MoldUDP64PacketBuilder(session: session)
        builder.begin(at: first)
        for message in messages { _ = builder.append(message) }
        return builder.bytes
    }
}

/// Frames of a sequenced ZeroMQ venue.
struct QuotesVenue {
    var session: UInt64 = 7

    func frame(
        _ kind: SequencedFrame.Kind, _ topic: String, _ sequence: UInt64, at milliseconds: Int64 = 0,
        payload: String = "x"
    ) -> [UInt8] {
        var writer = ByteWriter()
        SequencedFrameEncoder(session: session).write(
            kind, topic: Array("\(topic)/".utf8), sequence: sequence, sourceTime: wall(milliseconds),
            payload: Array((kind == .data ? payload : "").utf8), into: &writer)
        return writer.bytes
    }

    func heartbeat() -> [UInt8] { frame(.heartbeat(every: .milliseconds(100)), "heartbeat", 0) }
}

/// Lends the engine a buffer that is the source's, which uses it again: of what the engine keeps it must have made a copy.
/// Returns a complaint if it has not.
func lend(_ bytes: [UInt8], to engine: (ArraySlice<UInt8>) -> Void) -> [String] {
    var buffer = bytes.map(\.self)
    let place = buffer.withUnsafeBufferPointer { UnsafeRawPointer($0.baseAddress) }
    engine(buffer[...])
    // One that somebody else holds is copied before it is written to.
    let isFree = buffer.withUnsafeMutableBytes { $0.baseAddress.map { UnsafeRawPointer($0) } } == place
    return isFree ? [] : ["the engine keeps the source's buffer"]
}

/// An engine, its output, and its clock.
final class Bench {
    let recorder = Recorder()
    let engine: any FeedEngine

    init(
        _ feedProtocol: FeedOptions.FeedProtocol, _ policy: FeedOptions.Policy, channels: [UInt16] = [],
        paths: [String] = ["A", "B"], wantsAll: Bool = true, after earlier: Bench? = nil,
        session: SessionCalendar? = nil
    ) {
        let name =
            switch feedProtocol {
            case .moldUDP64, .soupBinTCP: "itch"
            case .zeromq: "quotes"
            case .pitch, .iexTP, .mdp3, .holdfast: "md"
            }
        var options = FeedOptions(
            name: name, feedProtocol: feedProtocol, keys: feedProtocol.keys, policy: policy)
        options.freshness = .seconds(1)
        options.channels = channels
        options.session = session
        options.paths = paths.map { FeedPathOptions(name: $0) }
        engine = EnginePlan(
            options: options, index: 3, run: 7, controlEvery: .seconds(100), sink: recorder, log: { _, _ in },
            now: ms(0)
        ).engine()
        let isHotHot = policy == .hotHot
        engine.pathsChanged(
            PathCondition(
                used: isHotHot ? paths.indices.map(UInt8.init) : [0],
                active: paths.indices.map { isHotHot || $0 == 0 }, failover: nil), at: ms(0), wall: wall(0))
        if wantsAll { engine.granted(.data(feed: options.name, .all), to: nil, at: ms(0), wall: wall(0)) }
        if let earlier {
            engine.remember(
                earlier.recorder.memory, channel: channels.first ?? 0, at: ms(0), wall: wall(0))
        }
        engine.tick(at: ms(0), wall: wall(0))
        _ = recorder.take()
    }

    /// Gives a packet to the engine on both paths, one after the other, and returns what it published.
    func both(_ bytes: [UInt8], at time: Int64) -> [String] {
        receive(bytes, on: 0, at: time) + receive(bytes, on: 1, at: time)
    }

    /// Gives a packet to the engine and returns what it published.
    ///
    /// - Parameter arrival: when the host had it; `nil`: just now.
    func receive(_ bytes: [UInt8], on path: Int, at time: Int64, arrival: Int64? = nil) -> [String] {
        let complaint = lend(bytes) {
            _ = engine.received(
                $0, on: path, receivedAt: wall(arrival ?? time), at: ms(time), wall: wall(time))
        }
        return recorder.take() + complaint
    }

    func tick(_ time: Int64) -> [String] {
        engine.tick(at: ms(time), wall: wall(time))
        return recorder.take()
    }

    /// What a snapshot has, as `<topic> <sequence> <state>`; `nil`: no values are kept.
    func snapshot(_ instruments: [String]? = nil, at time: Int64) -> [String]? {
        engine.snapshot(SnapshotWants(instruments: instruments), wall: wall(time))?.frames.map { bytes in
            guard let frame = try? Frame(parsing: bytes), frame.header.flags.contains(.lastValue) else {
                return "no last value"
            }
            return
                "\(String(decoding: frame.topicBytes, as: UTF8.self)) \(frame.header.sequence) \(frame.header.state)"
        }
    }

    func paths(_ condition: PathCondition, at time: Int64) -> [String] {
        engine.pathsChanged(condition, at: ms(time), wall: wall(time))
        return recorder.take()
    }
}
