// The shell of `holdfast play`: each millisecond it sends what has become due on every path, and between
// that heartbeats and idle frames. Time is the wall clock, so that servers on different machines keep step.
import Basics
import Configuration
import FeedProtocols
import Glibc
import Linux
import Messaging
import Reactor

final class PlayServer {
    /// Messages that are due within this time share packets and a wake-up.
    private static let batchEvery = Duration.milliseconds(1)
    /// So that a catching-up server does not overrun its receivers' buffers.
    private static let mostPerBatch: UInt64 = 2000
    private static let heartbeatAfter = Duration.seconds(1)

    private let options: Play
    private let loop: EventLoop
    private let start: WallTime
    private let file: PlayFile?
    private let sessionName: String
    private var stream: any PlayedStream
    private var topics = PlayTopics()
    private let session: MoldSession
    private var builder: any PacketBuilder
    private let context = MessagingContext()
    private var packetPaths: [PlayPacketPath] = []
    private var zeromqPaths: [PlayZeroMQPath] = []
    /// Kept only for those who may ask for it.
    private var history: PlayHistory?
    private var requests: PlayMoldRequests?
    private var soup: PlaySoupServer?
    private var sources: [EventSource] = []
    private var batchTimer: Timer?
    private var beatTimer: Timer?
    private var payload = ByteWriter(capacity: 256)
    private var packetSentAt: Instant?
    private var first: UInt64?
    private var messages: UInt64 = 0
    private var skipped: UInt64 = 0
    private var jumps: UInt64 = 0
    private var jumpSaidAt: Instant?
    private var failure: PlayFailure?
    private let beganAt: WallTime

    init(_ options: Play) throws(PlayFailure) {
        self.options = options
        do throws(SystemError) {
            loop = try EventLoop()
        } catch {
            throw PlayFailure(error, for: "event loop")
        }
        beganAt = Clock.wall
        start = options.startAt.flatMap { WallTime(rfc3339: $0) } ?? beganAt
        let source = try PlaySource(options, start: start)
        file = source.file
        stream = source.stream
        sessionName = options.session ?? PlayServer.derivedSession(options, source.file, start)
        session = MoldSession(sessionName)
        builder = PlayServer.builder(options.dialect, session)
    }

    private static func builder(_ dialect: SyntheticDialect, _ session: MoldSession) -> any PacketBuilder {
        switch dialect {
        case .itch: MoldUDP64PacketBuilder(session: session)
        case .pitch: PITCHPacketBuilder()
        case .deep: IEXTPPacketBuilder(session: UInt32(truncatingIfNeeded: session.number >> 32))
        case .mdp3: MDP3PacketBuilder()
        }
    }

    /// The same for two servers of one stream, another for any other.
    private static func derivedSession(_ options: Play, _ file: PlayFile?, _ start: WallTime) -> String {
        let content =
            file.map { "\($0.fingerprint) \(options.speed ?? 1)" }
            ?? "\(options.generate?.rawValue ?? "") \(options.symbolCount) \(options.directoryMessages)"
        let text = "\(content) \(options.rate ?? 0) \(options.seed) \(start.nanoseconds)"
        let digits = String(fnv1a(text.utf8) >> 32, radix: 16, uppercase: true)
        return "HF" + String(repeating: "0", count: 8 - digits.count) + digits
    }

    func run() throws(PlayFailure) {
        do throws(SystemError) {
            // Signals are blocked before ZeroMQ starts its thread, so that they all come here.
            for signal in [SIGINT, SIGTERM] {
                sources.append(try SignalSource(loop, signal: signal) { [unowned self] in finish() })
            }
            batchTimer = try Timer(loop, accuracy: .microseconds(50)) { [unowned self] in batch() }
            beatTimer = try Timer(loop) { [unowned self] in beat() }
        } catch {
            throw PlayFailure(error, for: "event loop")
        }
        try openPaths()
        announce()
        batchTimer?.arm(at: Clock.monotonic)
        beatTimer?.arm(at: Clock.monotonic)
        do throws(SystemError) {
            _ = try loop.run()
        } catch {
            throw PlayFailure(error, for: "event loop")
        }
        summarise()
        if let failure { throw failure }
    }

    private func openPaths() throws(PlayFailure) {
        try openServers()
        for target in (try? options.packetTargets()) ?? [] {
            packetPaths.append(try PlayPacketPath(target, drop: options.drop, seed: options.seed))
        }
        for endpoint in options.zeromq {
            zeromqPaths.append(
                try PlayZeroMQPath(
                    endpoint, context, loop, session: session.number, drop: options.drop,
                    seed: options.seed
                ) { [unowned self] path, prefix in answer(path, prefix) })
        }
    }

    /// The servers of what was played before.
    private func openServers() throws(PlayFailure) {
        let endpoints = (
            requests: (try? options.requestEndpoint()) ?? nil, soup: (try? options.soupEndpoint()) ?? nil
        )
        guard endpoints.requests != nil || endpoints.soup != nil else { return }
        let history = PlayHistory()
        self.history = history
        if let endpoint = endpoints.requests {
            requests = try PlayMoldRequests(endpoint, loop, session: session, history: history)
        }
        if let endpoint = endpoints.soup {
            soup = try PlaySoupServer(
                endpoint, loop, session: session, history: history, login: try soupLogin())
        }
    }

    private func soupLogin() throws(PlayFailure) -> VenueLogin? {
        guard let path = options.soupLogin else { return nil }
        do throws(ConfigurationError) {
            return try LoginFile.read(path: path)
        } catch {
            throw .unreadable(file: "--soup-login", "\(error)")
        }
    }

    // MARK: Sending what is due

    private var elapsed: Duration { loop.wall - start }

    private func batch() {
        do throws(PlayError) {
            try sendDue()
        } catch {
            failure = PlayFailure(error, file: file?.path ?? "stream")
            finish()
        }
    }

    private func sendDue() throws(PlayError) {
        let limit = options.seconds.map { min(elapsed, .ofSeconds($0)) } ?? elapsed
        try jumpAhead(to: limit - options.catchUpTime)
        var left = PlayServer.mostPerBatch
        var next = try nextDue()
        while left > 0, let due = next, due <= limit {
            try sendNext(due)
            left -= 1
            next = try nextDue()
        }
        flush()
        soup?.flush()
        guard let next, options.seconds.map({ next <= .ofSeconds($0) }) ?? true else { return finish() }
        // At most a second ahead, because the wall clock may be set.
        let wait = min(max(next - elapsed, PlayServer.batchEvery), .seconds(1))
        batchTimer?.arm(at: loop.now + wait)
    }

    /// When the next message is due; `nil`: the stream, or `--count`, has come to its end.
    private func nextDue() throws(PlayError) -> Duration? {
        guard stream.nextNumber <= options.count ?? .max else { return nil }
        return try stream.nextDue()
    }

    private func jumpAhead(to oldest: Duration) throws(PlayError) {
        let over = try stream.skip(dueBefore: oldest)
        guard over > 0 else { return }
        history?.jump(to: stream.nextNumber)
        guard first != nil else {
            return Play.say("the stream began before: joining it at message \(stream.nextNumber)")
        }
        skipped += over
        jumps += 1
        if let jumpSaidAt, loop.now - jumpSaidAt < .seconds(1) { return }
        jumpSaidAt = loop.now
        Play.say("fell behind: jumped over \(over) messages, going on at \(stream.nextNumber)")
    }

    private func sendNext(_ due: Duration) throws(PlayError) {
        let number = stream.nextNumber
        payload.bytes.removeAll(keepingCapacity: true)
        guard let topic = try stream.take(into: &payload) else { return }
        first = first ?? number
        messages += 1
        history?.append(payload.bytes, number: number)
        if !packetPaths.isEmpty { pack(number, due: start + due) }
        guard !zeromqPaths.isEmpty else { return }
        let sequence = stream.lastSequence(ofTopic: topic)
        let name = topics.name(of: topic, in: stream)
        for path in zeromqPaths {
            path.send(
                payload.bytes, topic: name, index: topic, sequence: sequence, due: start + due, at: loop.now)
        }
    }

    private func pack(_ number: UInt64, due: WallTime) {
        if builder.isEmpty { builder.begin(at: number, time: due) }
        if builder.append(payload.bytes) { return }
        flush()
        builder.begin(at: number, time: due)
        _ = builder.append(payload.bytes)
    }

    private func flush() {
        guard !builder.isEmpty else { return }
        sendPacket(builder.bytes)
        builder.begin(at: stream.nextNumber, time: loop.wall)
    }

    private func sendPacket(_ packet: [UInt8]) {
        packetSentAt = loop.now
        for path in packetPaths { path.send(packet, at: loop.now) }
    }

    // MARK: Heartbeats and idle frames

    private func beat() {
        let now = loop.now
        beatTimer?.arm(at: now + PlayZeroMQPath.heartbeatEvery)
        if packetSentAt.map({ now - $0 >= PlayServer.heartbeatAfter }) ?? true {
            let heartbeat = builder.heartbeat(next: stream.nextNumber, time: loop.wall)
            if let heartbeat { sendPacket(heartbeat) }
        }
        soup?.beat()
        for path in zeromqPaths {
            path.sendHeartbeat(wall: loop.wall, at: now)
            for index in 0..<stream.topicCount where path.isIdle(index, at: now) {
                path.sendIdle(
                    topic: topics.name(of: index, in: stream), index: index,
                    sequence: stream.lastSequence(ofTopic: index), wall: loop.wall, at: now)
            }
        }
    }

    /// A subscription is answered at once with where its topics stand.
    private func answer(_ path: PlayZeroMQPath, _ prefix: ArraySlice<UInt8>) {
        guard !prefix.elementsEqual(SequencedFrame.heartbeatTopic) else {
            return path.sendHeartbeat(wall: loop.wall, at: loop.now)
        }
        let indices = topics.indices(under: prefix, in: stream)
        for index in indices {
            path.sendIdle(
                topic: topics.name(of: index, in: stream), index: index,
                sequence: stream.lastSequence(ofTopic: index), wall: loop.wall, at: loop.now)
        }
        guard indices.isEmpty, prefix.last == UInt8(ascii: "/"), prefix.count <= SequencedFrame.longestTopic,
            !prefix.contains(0)
        else { return }
        path.sendIdle(topic: Array(prefix), index: nil, sequence: 0, wall: loop.wall, at: loop.now)
    }

    // MARK: Beginning and end

    private func announce() {
        var paths =
            packetPaths.map { "\($0.target.option) \($0.target.text)" }
            + options.zeromq.map { "zeromq \($0)" }
        if let soup { paths.append("soup \(soup.endpoint)") }
        let what = options.file ?? "generated \(options.generate?.rawValue ?? "")"
        Play.say(
            """
            playing \(what) from \(start.rfc3339), session \(sessionName), on \
            \(paths.joined(separator: ", ")); Ctrl-C ends it
            """)
    }

    private func finish() {
        batchTimer?.disarm()
        beatTimer?.disarm()
        flush()
        if options.end {
            // Three times, because the last packet of a session has no successor that would show its loss.
            let packet = builder.endOfSession(next: stream.nextNumber)
            for _ in 0..<3 { packet.map(sendPacket) }
            soup?.end()
        }
        loop.exit(0)
    }

    private func summarise() {
        let summary = PlaySummary(
            session: sessionName, first: first, next: stream.nextNumber, messages: messages, skipped: skipped,
            jumps: jumps, seconds: (Clock.wall - beganAt).inSeconds,
            recording: (stream as? RecordedStream)?.counts,
            paths: packetPaths.map(\.summary) + zeromqPaths.map(\.summary)
                + [requests?.summary, soup?.summary].compactMap(\.self))
        if options.json {
            write(summary.json.text + "\n")
        } else {
            write(summary.text + "\n")
        }
    }
}
