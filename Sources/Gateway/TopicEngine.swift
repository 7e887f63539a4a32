// The engine of a sequenced ZeroMQ feed: every topic has its own numbers, and the venue's idle frames say where
// each stands, so that a failover's losses are known exactly.
import Arbitration
import Basics
import Configuration
import FeedJournal
import FeedProtocols
import Linux
import Wire

final class TopicEngine: FeedEngine {
    private let control: ControlChannel
    private let publisher: FramePublisher
    private let log: EventLog
    private let divergences: DivergenceInbox
    private let pathNames: [String]
    private let demand = TopicDemand()
    private var stream: TopicStream
    /// Of each path.
    private var refused: [RefusedInput]
    private let keepsValues: Bool
    private var isFailover = false
    private var reader: TopicFrameReader

    init(_ plan: EnginePlan, reader: TopicFrameReader = .sequenced) {
        self.reader = reader
        publisher = FramePublisher(plan)
        control = ControlChannel(plan, channel: 0, numberedPerTopic: true, publisher: publisher)
        log = plan.log
        divergences = plan.divergences
        pathNames = plan.options.paths.map(\.name)
        var limits = TopicArbiterOptions(paths: plan.options.paths.count)
        limits.reorderTime = plan.options.reorderTime
        keepsValues = plan.lastValue == .ofEachMessage
        stream = TopicStream(
            arbiter: TopicArbiter(options: limits),
            topics: FeedTopics(
                feed: plan.options.name, demand: demand, keepsValues: keepsValues,
                at: plan.now))
        refused = plan.options.paths.map { _ in RefusedInput() }
    }

    var index: UInt16 {
        get { publisher.feed }
        set { publisher.feed = newValue }
    }

    var deadline: Instant {
        let own = min(control.deadline, stream.topics.deadline ?? control.deadline)
        return stream.arbiter.deadline.map { min($0, own) } ?? own
    }

    /// Kept, since it is asked for with every frame, and seldom another one.
    private(set) var waitingUntil: Instant?

    // MARK: - Frames

    func received(_ bytes: ArraySlice<UInt8>, on path: Int, receivedAt: WallTime, at now: Instant) -> Bool {
        do throws(MalformedInput) {
            let (frame, topic) = try reader.read(bytes)
            let arrival = Arrival(
                path: UInt8(truncatingIfNeeded: path), session: frame.session, sequence: frame.sequence,
                sourceTime: frame.sourceTime.nanoseconds == 0 ? nil : frame.sourceTime, receivedAt: receivedAt
            )
            control.heard(arrival.path, isStale: frame.isStale, at: now, wall: receivedAt)
            switch frame.kind {
            case .heartbeat: return !frame.isStale
            case .data: return data(topic, bytes[frame.payload], arrival, at: now)
            case .idle: return idle(topic, arrival, at: now) && !frame.isStale
            }
        } catch {
            refused[path].add(error, length: bytes.count)
            return false
        }
    }

    private func data(
        _ key: ArraySlice<UInt8>, _ payload: ArraySlice<UInt8>, _ arrival: Arrival, at now: Instant
    ) -> Bool {
        var offered = stream.offer(key, arrival, payload, at: now)
        if offered == nil, handle(key, arrival.path, at: now) != nil {
            offered = stream.offer(key, arrival, payload, at: now)
        }
        guard let offered else { return false }
        // Before what it lets go: the messages that waited for it.
        if let stand = offered.stand {
            publish(offered.topic, stand, payload, arrival, epoch: arrival.session, at: now)
        }
        if offered.isMore || waitingUntil != nil { release(at: now, wall: arrival.receivedAt) }
        return true
    }

    private func handle(_ topic: ArraySlice<UInt8>, _ path: UInt8, at now: Instant) -> Int? {
        if let known = stream.topics.find(topic) { return known }
        guard let name = UpstreamName.name(of: topic) else {
            refused[Int(path)].count("bad-name")
            return nil
        }
        return stream.topics.intern(topic, at: now) { name }
    }

    private func idle(_ key: ArraySlice<UInt8>, _ arrival: Arrival, at now: Instant) -> Bool {
        guard let topic = handle(key, arrival.path, at: now) else { return false }
        stream.arbiter.caughtUp(topic: topic, arrival, at: now)
        release(at: now, wall: arrival.receivedAt)
        if stream.arbiter.last(of: topic) == arrival.sequence {
            stream.topics.caughtUp(topic, last: arrival.sequence, at: now)
        }
        return true
    }

    // MARK: - Releasing

    private func release(at now: Instant, wall: WallTime) {
        defer { waitingUntil = stream.arbiter.deadline }
        while let item = stream.arbiter.nextReleased() {
            switch item.released {
            case .message(let held):
                let stand = stream.topics.published(item.topic, sequence: held.arrival.sequence, at: now)
                publish(item.topic, stand, held.payload[...], held.arrival, epoch: held.epoch, at: now)
            case .gap(let gap):
                stream.topics.forgetValue(of: item.topic)
                control.step(wall: wall, isFailover: isFailover, instrument: instrument(item.topic)) {
                    $0.told(gap, at: now)
                }
            case .epoch(let change): enter(item.topic, change, at: now, wall: wall)
            case .divergence(let found): tell(found, of: item.topic)
            }
        }
    }

    private func tell(_ divergence: Divergence, of topic: Int) {
        if divergence.isRepeated { return divergences.add(divergence) }
        let (path, other) = (pathNames[Int(divergence.path)], pathNames[Int(divergence.deliveredBy)])
        log(
            .copiesDiffer,
            "message \(divergence.sequence) of \(instrument(topic) ?? "") differs between path \(path) and path \(other), whose copy was delivered"
        )
    }

    private func instrument(_ topic: Int) -> String? { UpstreamName.name(of: stream.topics.key(topic)) }

    private func enter(_ topic: Int, _ change: EpochChange, at now: Instant, wall: WallTime) {
        stream.topics.epochChanged(of: topic)
        guard control.epoch != change.epoch else { return }
        stream.topics.forgetValues()
        control.begin(epoch: change.epoch, first: 0, wall: wall)
        log(.epochBegan, "another session: sequences begin anew (\(change.cause.rawValue))")
        control.step(wall: wall) { $0.epochChanged(at: now) }
        control.sendState(wall: wall)
    }

    private func publish(
        _ topic: Int, _ stand: FeedTopics.Stand, _ payload: ArraySlice<UInt8>, _ arrival: Arrival,
        epoch: UInt64,
        at now: Instant
    ) {
        if control.epoch == 0 { control.begin(epoch: epoch, first: 0, wall: arrival.receivedAt) }
        let (flags, state) = control.publishing(
            arrival.sequence, sourceTime: arrival.sourceTime, at: now, wall: arrival.receivedAt)
        let isWritten = stand.isWanted || publisher.isJournalled
        guard isWritten || keepsValues else { return }
        let header = FrameHeader(
            kind: .data, flags: flags, feed: 0, channel: 0, epoch: epoch, sequence: arrival.sequence,
            previous: stand.previous, path: arrival.path, state: state, sourceTime: arrival.sourceTime,
            receiveTime: arrival.receivedAt)
        if keepsValues { stream.topics.keep(topic, header, body: payload) }
        guard isWritten else { return }
        let next = publisher.publish(
            header, topic: stream.topics.wireTopic(topic), body: payload, by: stand.route,
            isWanted: stand.isWanted)
        if next != stand.route { stream.topics.set(next, of: topic) }
    }

    // MARK: - Time and paths

    var hasBatches: Bool { false }
    func flush() {}

    func tick(at now: Instant, wall: WallTime) {
        if let deadline = stream.arbiter.deadline, deadline <= now {
            stream.arbiter.tick(at: now)
            release(at: now, wall: wall)
        }
        control.step(wall: wall) { $0.tick(at: now) }
        if let deadline = stream.topics.deadline, deadline <= now {
            for frame in stream.topics.idle(at: now) { publishIdle(frame.topic, frame.sequence, wall: wall) }
        }
    }

    private func publishIdle(_ topic: Int, _ sequence: UInt64, wall: WallTime) {
        let header = FrameHeader(
            kind: .idle, flags: control.dataFlags(sourceTime: nil, wall: wall), feed: 0, channel: 0,
            epoch: stream.arbiter.epoch(of: topic) ?? 0, sequence: sequence, previous: sequence,
            state: control.state,
            receiveTime: wall)
        publisher.publish(header, topic: stream.topics.wireTopic(topic))
    }

    /// Nobody is asked again over ZeroMQ.
    func recovered(_ bytes: ArraySlice<UInt8>, from server: Int?, receivedAt: WallTime, at now: Instant) {}
    func rejected(_ rejection: RequestRejection, by server: Int, at now: Instant) {}

    func pathsChanged(_ condition: PathCondition, at now: Instant, wall: WallTime) {
        for (path, isActive) in condition.active.enumerated() {
            stream.arbiter.set(UInt8(truncatingIfNeeded: path), isActive: isActive)
        }
        for (path, isDistrusted) in condition.distrusted.enumerated() {
            stream.arbiter.set(UInt8(truncatingIfNeeded: path), isTrusted: !isDistrusted)
        }
        release(at: now, wall: wall)
        control.follow(condition, wasFailover: isFailover, at: now, wall: wall)
        isFailover = condition.failover != nil
    }

    /// A new client is shown where it stands.
    func granted(_ request: TopicRequest, at now: Instant, wall: WallTime) {
        switch request {
        case .control: control.show(wall: wall)
        case .data(_, .one(let name)):
            let key = UpstreamName.topic(of: name)
            demand.want(key)
            stream.topics.want(key, at: now)
            guard let topic = stream.topics.find(key[...]), stream.topics.last(of: topic) > 0 else { return }
            publishIdle(topic, stream.topics.last(of: topic), wall: wall)
        case .data(_, .all):
            demand.wantAll()
            stream.topics.wantAll(at: now)
        case .data(_, .none), .batch, .sync: break
        }
    }

    func place(of channel: UInt16) -> ChannelPlace? { channel == 0 ? control.place : nil }

    func snapshot(_ wants: SnapshotWants, wall: WallTime) -> SnapshotPage? {
        guard keepsValues else { return nil }
        var page = SnapshotPage()
        let keys = wants.instruments?.map { UpstreamName.topic(of: $0) }
        let place = stream.topics.add(to: &page, keys: keys, from: wants.start(in: 0), publisher) {
            control.lastValue($0, wall: wall)
        }
        page.next = place.map { SnapshotRequest.Place(channel: 0, topic: $0) }
        return page
    }

    /// What it had while nobody asked for it is not told as missing, and nobody's message before it.
    func joined(_ topic: UpstreamTopic, alreadyWanted: [UpstreamTopic], at now: Instant, wall: WallTime) {
        for topic in handles(of: topic, but: alreadyWanted) {
            stream.arbiter.join(topic: topic)
            stream.topics.epochChanged(of: topic)
        }
        release(at: now, wall: wall)
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
        for topic in handles(of: topic, but: stillWanted) { stream.topics.epochChanged(of: topic) }
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
        figures.divergent = counters.divergent
        figures.refused = refused[path]
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
            state: control.state, reason: control.reason, published: control.machine.messages,
            gaps: control.machine.missing, topics: stream.topics.count, unresolved: 0,
            epochs: counters.epochs,
            refused: refused.filter { $0.value > 0 }, waiting: stream.arbiter.held,
            lastValues: stream.topics.valueFigures)
    }
}

/// What is known of the topics, opened once for a message.
private struct TopicStream: ~Copyable {
    var arbiter: TopicArbiter
    var topics: FeedTopics

    init(arbiter: consuming TopicArbiter, topics: consuming FeedTopics) {
        self.arbiter = arbiter
        self.topics = topics
    }

    /// Judges one message. `stand`: it is the topic's next one, and booked. `isMore`: something is to
    /// be released, or waits. `nil`: the topic is not known yet.
    @inline(__always)
    mutating func offer(
        _ key: ArraySlice<UInt8>, _ arrival: Arrival, _ payload: ArraySlice<UInt8>, at now: Instant
    ) -> (topic: Int, stand: FeedTopics.Stand?, isMore: Bool)? {
        guard let topic = topics.find(key) else { return nil }
        switch arbiter.offer(topic: topic, arrival, payload: payload, at: now) {
        case .deliver:
            let stand = topics.published(topic, sequence: arrival.sequence, at: now)
            return (topic, stand, arbiter.mayRelease)
        case .held: return (topic, nil, true)
        case .duplicate, .late, .oldEpoch, .refused: return (topic, nil, arbiter.mayRelease)
        }
    }
}
