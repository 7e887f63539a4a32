// What becomes of the messages of a feed whose topics are numbered each by itself: each is read, judged, booked and
// published. A value of its own, so that it is opened once for all frames that came together.
import Arbitration
import Basics
import Configuration
import FeedProtocols
import Linux
import Wire

/// Where frames came, and when.
struct FrameOrigin {
    var path: Int
    var receivedAt: WallTime
    /// Earlier than now if they waited to be read while the gateway did not run.
    var cameIn: Instant
    var now: Instant
}

struct TopicStream: ~Copyable {
    let control: ControlChannel
    let publisher: FramePublisher
    private let log: EventLog
    private let divergences: DivergenceInbox
    private let delays: DelayInbox
    private let pathNames: [String]
    let keepsValues: Bool

    var arbiter: TopicArbiter
    var topics: FeedTopics
    /// Reads the frames of another gateway's feed; `nil`: they are those of the sequenced ZeroMQ feed.
    private var downstream: HoldfastTopicReader?
    /// Of each path.
    private(set) var refused: [RefusedInput]
    /// The path of the frames that are being taken was heard, as fresh as it can be: once is enough at one time.
    private var isNoted = false
    /// A path says something else than the others, again and again: it is worth looking at.
    private var hasDiverged = false
    /// All that is wanted is subscribed where it comes from.
    var isSettled = true
    /// Gaps are a move's to another path.
    var isFailover = false
    /// When the first message that waits for another path waits no more; kept, since it is asked for often and seldom
    /// another one.
    private(set) var waitingUntil: Instant?

    init(_ plan: EnginePlan, demand: TopicDemand, downstream: HoldfastTopicReader?) {
        self.downstream = downstream
        publisher = FramePublisher(plan)
        control = ControlChannel(plan, channel: 0, numberedPerTopic: true, publisher: publisher)
        log = plan.log
        divergences = plan.divergences
        delays = plan.delays
        pathNames = plan.options.paths.map(\.name)
        var limits = TopicArbiterOptions(paths: plan.options.paths.count)
        limits.reorderTime = plan.options.reorderTime
        limits.heldInAll = plan.options.reorderCount
        arbiter = TopicArbiter(options: limits)
        keepsValues = plan.lastValue == .ofEachMessage
        topics = FeedTopics(
            feed: plan.options.name, demand: demand, keepsValues: keepsValues, at: plan.now)
        refused = plan.options.paths.map { _ in RefusedInput() }
    }

    func instrument(_ topic: Int) -> String? { UpstreamName.name(of: topics.key(topic)) }
}

// MARK: - Frames

extension TopicStream {
    /// Takes frames, as many as it may, and none behind one that makes a path worth looking at.
    ///
    /// - Returns: whether one of them was of the protocol, and proves something of the path.
    mutating func take(_ frames: inout ArrivedFrames, atMost most: Int, from origin: FrameOrigin) -> Bool {
        var (isHeard, left) = (false, most)
        (hasDiverged, isNoted) = (false, false)
        publisher.beginGathering()
        defer { publisher.endGathering() }
        while left > 0, let place = frames.next() {
            let isOne =
                downstream == nil
                ? read(frames.bytes.span.extracting(place), from: origin)
                : readDownstream(frames.bytes[place], from: origin)
            if isOne { isHeard = true }
            left = hasDiverged ? 0 : left - 1
        }
        return isHeard
    }

    /// Likewise, of one frame that came by itself.
    mutating func take(_ frame: ArraySlice<UInt8>, from origin: FrameOrigin) -> Bool {
        (hasDiverged, isNoted) = (false, false)
        return downstream == nil ? read(frame.span, from: origin) : readDownstream(frame, from: origin)
    }

    @inline(__always)
    private mutating func read(_ bytes: Span<UInt8>, from origin: FrameOrigin) -> Bool {
        do throws(MalformedInput) {
            let frame = try SequencedFrame(decoding: bytes)
            return take(
                frame, bytes.extracting(frame.topic), bytes.extracting(frame.payload), from: origin)
        } catch {
            refused[origin.path].add(error, length: bytes.count)
            return false
        }
    }

    private mutating func readDownstream(_ bytes: ArraySlice<UInt8>, from origin: FrameOrigin) -> Bool {
        do throws(MalformedInput) {
            guard let (frame, topic, missing) = try downstream?.read(bytes) else { return false }
            let payload = bytes[frame.payload]
            let isHeard = take(frame, topic.span, payload.span, from: origin)
            if let missing { goPast(missing, from: origin) }
            return isHeard
        } catch {
            refused[origin.path].add(error, length: bytes.count)
            return false
        }
    }

    /// Another gateway brings nothing any more up to what it tells as missing; what is missing here, too, waits for the other
    /// ones. Where a topic begins that was not heard of, its own frames say.
    private mutating func goPast(_ missing: HoldfastTopicReader.Missing, from origin: FrameOrigin) {
        let path = UInt8(truncatingIfNeeded: origin.path)
        guard arbiter.trusts(path), let topic = topics.find(missing.topic[...]),
            arbiter.epoch(of: topic) != nil
        else { return }
        let arrival = Arrival(
            path: path, session: missing.session, sequence: missing.through, receivedAt: origin.receivedAt)
        arbiter.caughtUp(topic: topic, arrival, mayBeLeft: true, at: origin.now)
        release(at: origin.now, wall: origin.receivedAt)
    }

    @inline(__always)
    private mutating func take(
        _ frame: SequencedFrame, _ topic: Span<UInt8>, _ payload: Span<UInt8>, from origin: FrameOrigin
    ) -> Bool {
        let arrival = Arrival(
            path: UInt8(truncatingIfNeeded: origin.path), session: frame.session, sequence: frame.sequence,
            sourceTime: frame.sourceTime.nanoseconds == 0 ? nil : frame.sourceTime,
            receivedAt: origin.receivedAt)
        if !isNoted || frame.isStale || frame.isRecovering {
            control.heard(
                arrival.path, isStale: frame.isStale, isRecovering: frame.isRecovering,
                cameIn: origin.cameIn, at: origin.now, wall: origin.receivedAt)
            isNoted = !frame.isStale && !frame.isRecovering
            if isNoted, frame.kind == .data, delays.isDue(arrival.path, at: origin.now) {
                sample(.message, arrival, at: origin.now)
            }
        }
        switch frame.kind {
        case .heartbeat:
            if downstream != nil, frame.session != 0 {
                arbiter.heardSession(arrival, at: origin.now)
                // What waited in the session that was left.
                if arbiter.mayRelease { release(at: origin.now, wall: arrival.receivedAt) }
            }
            if let isClosed = frame.isClosed, !isClosed || arbiter.trusts(arrival.path) {
                control.source(
                    arrival.path, isClosed: isClosed, cameIn: origin.cameIn, at: origin.now,
                    wall: origin.receivedAt)
            }
            if !frame.isStale, !frame.isRecovering { sample(.heartbeat, arrival, at: origin.now) }
            return !frame.isStale
        case .data: return data(topic, payload, arrival, at: origin.now)
        case .idle: return idle(topic, arrival, at: origin.now) && !frame.isStale
        }
    }

    /// How old it is what came, if it says when it was made.
    private func sample(_ kind: DelaySample.Kind, _ arrival: Arrival, at now: Instant) {
        guard let sent = arrival.sourceTime else { return }
        delays.add(kind, on: arrival.path, sent: sent, receivedAt: arrival.receivedAt, at: now)
    }

    private mutating func data(
        _ key: Span<UInt8>, _ payload: Span<UInt8>, _ arrival: Arrival, at now: Instant
    ) -> Bool {
        guard let topic = topics.find(key) ?? intern(key, arrival.path, at: now) else { return false }
        let offer = arbiter.offer(topic: topic, arrival, payload: payload, at: now)
        // Before what it lets go: the messages that waited for it.
        if offer == .deliver {
            let stand = topics.published(topic, sequence: arrival.sequence, at: now)
            publish(topic, stand, payload, arrival, epoch: arrival.session, at: now)
        }
        if offer == .held || arbiter.mayRelease || waitingUntil != nil {
            release(at: now, wall: arrival.receivedAt)
        }
        return true
    }

    /// A topic that is new.
    private mutating func intern(_ topic: Span<UInt8>, _ path: UInt8, at now: Instant) -> Int? {
        let key = [UInt8](copying: topic)[...]
        guard let name = UpstreamName.name(of: key) else {
            refused[Int(path)].count("bad-name")
            return nil
        }
        return topics.intern(key, at: now) { name }
    }

    private mutating func idle(_ key: Span<UInt8>, _ arrival: Arrival, at now: Instant) -> Bool {
        guard let topic = topics.find(key) ?? intern(key, arrival.path, at: now) else { return false }
        arbiter.caughtUp(topic: topic, arrival, mayBeLeft: downstream != nil, at: now)
        release(at: now, wall: arrival.receivedAt)
        if arbiter.isThere(topic, at: arrival.sequence, in: arrival.session) {
            topics.caughtUp(topic, last: arrival.sequence, at: now)
        }
        return true
    }
}

// MARK: - Releasing

extension TopicStream {
    /// - Parameter isForNobody: messages are journalled, and not sent.
    mutating func release(at now: Instant, wall: WallTime, isForNobody: Bool = false) {
        while let item = arbiter.nextReleased() {
            switch item.released {
            case .message(let held):
                var stand = topics.published(item.topic, sequence: held.arrival.sequence, at: now)
                if isForNobody { stand.use.remove(.asked) }
                publish(item.topic, stand, held.payload.span, held.arrival, epoch: held.epoch, at: now)
            case .gap(let gap):
                topics.forgetValue(of: item.topic)
                control.step(wall: wall, isFailover: isFailover, instrument: instrument(item.topic)) {
                    $0.told(gap, at: now)
                }
                // Nothing stands behind it: the topic is where it ends.
                if arbiter.isThere(item.topic, at: gap.range.last, in: gap.epoch) {
                    topics.caughtUp(item.topic, last: gap.range.last, at: now)
                }
            case .epoch(let change): enter(item.topic, change, at: now, wall: wall)
            case .divergence(let found): tell(found, of: item.topic)
            }
        }
        waitingUntil = arbiter.deadline
    }

    private mutating func tell(_ divergence: Divergence, of topic: Int) {
        if divergence.isRepeated {
            hasDiverged = true
            return divergences.add(divergence)
        }
        let (path, other) = (pathNames[Int(divergence.path)], pathNames[Int(divergence.deliveredBy)])
        log(
            .copiesDiffer,
            "message \(divergence.sequence) of \(instrument(topic) ?? "") differs between path \(path) and path \(other), whose copy was delivered"
        )
    }

    private mutating func enter(_ topic: Int, _ change: EpochChange, at now: Instant, wall: WallTime) {
        if topic != TopicRelease.noTopic { topics.epochChanged(of: topic) }
        guard control.epoch != change.epoch else { return }
        topics.forgetValues()
        control.begin(epoch: change.epoch, first: 0, wall: wall)
        log(.epochBegan, "another session: sequences begin anew (\(change.cause.rawValue))")
        control.step(wall: wall) { $0.epochChanged(at: now) }
        control.sendState(wall: wall)
    }
}

// MARK: - Publishing

extension TopicStream {
    private mutating func publish(
        _ topic: Int, _ stand: FeedTopics.Stand, _ payload: Span<UInt8>, _ arrival: Arrival, epoch: UInt64,
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
        // One of a session that was left while it waited is no last value, nor is one of a topic that was left.
        if keepsValues, stand.isHeard, epoch == control.epoch { topics.keep(topic, header, body: payload) }
        guard isWritten else { return }
        let next = publisher.publish(
            header, topic: topics.wire.bytes.span.extracting(topics.wire.place(of: topic)), body: payload,
            by: stand.route, isWanted: stand.isWanted)
        if next != stand.route { topics.set(next, of: topic) }
    }

    /// - Parameter connection: who is shown it; `nil`: all who hold the topic.
    func publishIdle(_ topic: Int, _ sequence: UInt64, to connection: Int32? = nil, wall: WallTime) {
        let header = FrameHeader(
            kind: .idle, flags: control.dataFlags(sourceTime: nil, wall: wall), feed: 0, channel: 0,
            epoch: arbiter.epoch(of: topic) ?? 0, sequence: sequence, previous: sequence,
            state: control.state, receiveTime: wall)
        publisher.show(
            header, topic: topics.wire.bytes.span.extracting(topics.wire.place(of: topic)), to: connection)
    }
}
