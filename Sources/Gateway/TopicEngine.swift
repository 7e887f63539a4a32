// The engine of a sequenced ZeroMQ feed: every topic has its own numbers, and the venue's idle frames say where
// each stands, so that a failover's losses are known exactly.
import Arbitration
import Basics
import Configuration
import FeedJournal
import Wire

final class TopicEngine: FeedEngine {
    private let demand = TopicDemand()
    private var stream: TopicStream
    private var round = PositionRound()
    private let sink: any FrameSink

    /// - Parameter downstream: reads another gateway's feed; `nil`: it is a sequenced ZeroMQ feed.
    init(_ plan: EnginePlan, downstream: HoldfastTopicReader? = nil) {
        stream = TopicStream(plan, demand: demand, downstream: downstream)
        sink = plan.sink
    }

    private var control: ControlChannel { stream.control }

    var index: UInt16 {
        get { stream.publisher.feed }
        set { stream.publisher.feed = newValue }
    }

    var deadline: Instant {
        [stream.topics.deadline, stream.arbiter.deadline, round.deadline].compactMap(\.self)
            .reduce(control.deadline) { min($0, $1) }
    }

    var waitingUntil: Instant? { stream.waitingUntil }

    func received(
        _ bytes: ArraySlice<UInt8>, on path: Int, receivedAt: WallTime, cameIn: Instant, at now: Instant,
        wall: WallTime
    ) -> Bool {
        stream.take(
            bytes, from: FrameOrigin(path: path, receivedAt: receivedAt, cameIn: cameIn, now: now))
    }

    func received(
        _ frames: inout ArrivedFrames, atMost most: Int, on path: Int, receivedAt: WallTime, cameIn: Instant,
        at now: Instant
    ) -> Bool {
        stream.take(
            &frames, atMost: most,
            from: FrameOrigin(path: path, receivedAt: receivedAt, cameIn: cameIn, now: now))
    }

    func returned(after absence: Duration, at now: Instant, wall: WallTime) {
        stream.arbiter.skip(absence)
        control.step(wall: wall) { $0.returned(at: now) }
    }

    // MARK: - Time and paths

    var hasBatches: Bool { false }
    func flush() {}

    func tick(at now: Instant, wall: WallTime) {
        if let deadline = stream.arbiter.deadline, deadline <= now {
            stream.arbiter.tick(at: now)
            stream.release(at: now, wall: wall)
        }
        control.step(wall: wall) { $0.tick(at: now) }
        if let deadline = stream.topics.deadline, deadline <= now {
            for frame in stream.topics.idle(at: now) {
                stream.publishIdle(frame.topic, frame.sequence, wall: wall)
            }
        }
        if let deadline = round.deadline, deadline <= now { show(at: now, wall: wall) }
    }

    /// Who takes all topics learns where the next ones stand.
    private func show(at now: Instant, wall: WallTime) {
        let done = round.turn(of: stream.topics.count, at: now) { topic, connections in
            let last = stream.topics.last(of: topic)
            guard last > 0 else { return }
            for connection in connections { stream.publishIdle(topic, last, to: connection, wall: wall) }
        }
        for connection in done { sink.shown(to: connection) }
    }

    func departed(_ connection: Int32) { round.leave(connection) }

    func close() { for connection in round.end() { sink.shown(to: connection) } }

    /// Nobody is asked again over ZeroMQ.
    func recovered(
        _ bytes: ArraySlice<UInt8>, from server: Int?, receivedAt: WallTime, at now: Instant, wall: WallTime
    ) {}
    func rejected(_ rejection: RequestRejection, by server: Int, at now: Instant) {}

    func pathsChanged(_ condition: PathCondition, at now: Instant, wall: WallTime) {
        for (path, isActive) in condition.active.enumerated() {
            stream.arbiter.set(UInt8(truncatingIfNeeded: path), isActive: isActive)
        }
        for (path, isDistrusted) in condition.distrusted.enumerated() {
            stream.arbiter.set(UInt8(truncatingIfNeeded: path), isTrusted: !isDistrusted)
        }
        stream.release(at: now, wall: wall)
        control.follow(condition, wasSettled: stream.isSettled, at: now, wall: wall)
        stream.isSettled = condition.isSettled
        stream.isFailover = condition.failover != nil
    }

    /// A new client is shown where it stands.
    func granted(_ request: TopicRequest, to connection: Int32?, at now: Instant, wall: WallTime) {
        switch request {
        case .control: control.show(to: connection, wall: wall)
        case .data(_, .one(let name)):
            let key = UpstreamName.topic(of: name)
            demand.want(key)
            stream.topics.want(key, at: now)
            guard let topic = stream.topics.find(key[...]), stream.topics.last(of: topic) > 0 else { return }
            stream.publishIdle(topic, stream.topics.last(of: topic), to: connection, wall: wall)
        case .data(_, .all):
            demand.wantAll()
            stream.topics.wantAll(at: now)
            guard let connection, round.begin(connection, of: stream.topics.count, at: now) else { return }
            sink.shows(to: connection)
        case .data(_, .none), .batch, .sync: break
        }
    }

    func place(of channel: UInt16) -> ChannelPlace? { channel == 0 ? control.place : nil }

    func snapshot(_ wants: SnapshotWants, wall: WallTime) -> SnapshotPage? {
        guard stream.keepsValues else { return nil }
        var page = SnapshotPage()
        let keys = wants.instruments?.map { UpstreamName.topic(of: $0) }
        let place = stream.topics.add(to: &page, keys: keys, from: wants.start(in: 0), stream.publisher) {
            control.lastValue($0, wall: wall)
        }
        page.next = place.map { SnapshotRequest.Place(channel: 0, topic: $0) }
        return page
    }

    /// What it had while nobody asked for it is not told as missing, and nobody's message before it. What waited for
    /// another path is from before, too: who asks for it now would take that for where it begins.
    func joined(_ topic: UpstreamTopic, alreadyWanted: [UpstreamTopic], at now: Instant, wall: WallTime) {
        let joined = handles(of: topic, but: alreadyWanted)
        for topic in joined {
            stream.topics.leave(topic)
            stream.arbiter.join(topic: topic)
        }
        stream.release(at: now, wall: wall, isForNobody: true)
        for topic in joined { stream.topics.join(topic) }
    }

    /// The topics that are known of what is subscribed or not any more, but for some.
    private func handles(of topic: UpstreamTopic, but others: [UpstreamTopic]) -> [Int] {
        switch topic {
        case .instrument(let name):
            return stream.topics.find(UpstreamName.topic(of: name)[...]).map { [$0] } ?? []
        case .everything:
            let known = Set(
                others.compactMap(\.name).compactMap { stream.topics.find(UpstreamName.topic(of: $0)[...]) })
            return (0..<stream.topics.count).filter { !known.contains($0) }
        }
    }

    /// What comes on it is not heard any more: where it stands is not known.
    func released(_ topic: UpstreamTopic, stillWanted: [UpstreamTopic]) {
        guard !stillWanted.contains(.everything) else { return }
        for topic in handles(of: topic, but: stillWanted) { stream.topics.leave(topic) }
    }

    /// Topics name themselves.
    func remember(
        _ memory: JournalMemory, channel: UInt16, at now: Instant, wall: WallTime
    ) {}

    // MARK: - Figures

    func figures(of path: Int) -> PathFigures {
        let counters = stream.arbiter.counters(of: UInt8(truncatingIfNeeded: path))
        var figures = PathFigures()
        figures.messages = counters.received
        figures.first = counters.first
        figures.duplicates = counters.duplicates
        figures.missed = counters.missed
        figures.divergent = counters.divergent
        figures.refused = stream.refused[path]
        return figures
    }

    var channel: ChannelFigures {
        let counters = stream.arbiter.counters
        let refused = [
            "implausible": counters.implausible, "old_epoch": counters.oldEpoch,
            "overflow": counters.overflow,
            "late": counters.late, "distrusted": counters.distrusted, "topics": stream.topics.refused,
        ]
        return ChannelFigures(
            state: control.state, reason: control.reason, published: unsafe control.machine.messages,
            gaps: unsafe control.machine.missing, topics: stream.topics.count, unresolved: 0,
            epochs: counters.epochs,
            refused: refused.filter { $0.value > 0 }, waiting: stream.arbiter.held,
            lastValues: stream.topics.valueFigures)
    }
}
