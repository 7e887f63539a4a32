// The engine of a MoldUDP64 feed whose messages are ITCH 5.0: one channel, numbered per message; an instrument
// is a stock locate, which a directory message binds to a symbol for the session.
import Arbitration
import Basics
import Configuration
import FeedProtocols
import Linux
import Wire

final class MoldEngine: FeedEngine {
    private let control: ControlChannel
    private let publisher: FramePublisher
    private let log: EventLog
    private var arbiter: Arbiter
    private var topics: FeedTopics
    /// The slot of each locate, -1 where it has none yet.
    private var locates: [Int32]
    /// A symbol was bound to a locate in this session.
    private var hasDirectory = false
    private var clock = SourceClock()
    private var session: (name: MoldSession, number: UInt64)?
    private var decodeErrors: [[String: UInt64]]
    private var messageErrors: [String: UInt64] = [:]
    private var unresolved: UInt64 = 0
    private var isFailover = false

    init(_ plan: EnginePlan) {
        let options = plan.options
        publisher = FramePublisher(plan)
        control = ControlChannel(plan, numberedPerTopic: false, publisher: publisher)
        log = plan.log
        var limits = ArbiterOptions(paths: options.paths.count)
        limits.reorderTime = options.reorderTime
        limits.reorderCount = options.reorderCount
        limits.historyCount = 4096
        arbiter = Arbiter(options: limits)
        topics = FeedTopics(feed: options.name, at: plan.now)
        locates = Array(repeating: -1, count: 1 << 16)
        decodeErrors = options.paths.map { _ in [:] }
        remark()
    }

    var index: UInt16 {
        get { publisher.feed }
        set { publisher.feed = newValue }
    }

    var deadline: Instant {
        let own = min(control.deadline, topics.deadline ?? control.deadline)
        return arbiter.deadline.map { min($0, own) } ?? own
    }

    var waitingUntil: Instant? { arbiter.deadline }

    // MARK: - Packets

    func received(_ bytes: ArraySlice<UInt8>, on path: Int, receivedAt: WallTime, at now: Instant) -> Bool {
        let packet: MoldUDP64Packet
        do throws(MalformedInput) {
            packet = try MoldUDP64Packet(decoding: bytes)
        } catch {
            decodeErrors[path][error.reason.rawValue, default: 0] &+= 1
            return false
        }
        if packet.trailingBytes > 0 { decodeErrors[path]["trailing-bytes", default: 0] &+= 1 }
        take(packet, path: path, receivedAt: receivedAt, at: now)
        return true
    }

    private func take(_ packet: MoldUDP64Packet, path: Int, receivedAt: WallTime, at now: Instant) {
        var arrival = Arrival(
            path: UInt8(truncatingIfNeeded: path), session: number(of: packet.session),
            sequence: packet.firstSequence, receivedAt: receivedAt)
        // The arbiter begins with this word, too: what can be known from then on is told before anything else.
        if !arbiter.hasBegun, arrival.sequence != 0, arrival.sequence != .max {
            begin(epoch: arrival.session, first: arrival.sequence, at: now, wall: receivedAt)
        }
        control.step(wall: receivedAt) { $0.heard(arrival.path, at: now) }
        switch packet.kind {
        case .data:
            for (sequence, message) in packet.messages {
                arrival.sequence = sequence
                if case .deliver = arbiter.offer(arrival, payload: message, at: now) {
                    publish(message, arrival, epoch: arbiter.epoch, at: now)
                }
                if arbiter.mayRelease { release(at: now, wall: receivedAt) }
            }
        case .heartbeat:
            arbiter.heard(arrival, at: now)
            release(at: now, wall: receivedAt)
        case .endOfSession: end(arrival, at: now)
        }
        control.step(wall: receivedAt) { $0.hole(isOpen: arbiter.hasHole, at: now) }
    }

    private func number(of name: MoldSession) -> UInt64 {
        if let session, session.name == name { return session.number }
        let number = FrameHeader.epoch(ofSession: name.description.utf8)
        session = (name, number)
        return number
    }

    private func end(_ arrival: Arrival, at now: Instant) {
        arbiter.heard(arrival, at: now)
        release(at: now, wall: arrival.receivedAt)
        guard arrival.session == arbiter.session else { return }
        control.step(wall: arrival.receivedAt) { $0.sessionEnded(next: arrival.sequence, at: now) }
    }

    // MARK: - Releasing

    private func release(at now: Instant, wall: WallTime) {
        while let released = arbiter.nextReleased() {
            switch released {
            case .message(let held): publish(held.payload[...], held.arrival, epoch: held.epoch, at: now)
            case .gap(let gap):
                topics.gapTold(through: gap.range.last)
                control.step(wall: wall, isFailover: isFailover) { $0.told(gap, at: now) }
            case .epoch(let change): enter(change, at: now, wall: wall)
            case .divergence(let found): tell(found)
            }
        }
    }

    private func enter(_ change: EpochChange, at now: Instant, wall: WallTime) {
        topics.epochChanged()
        for slot in locates.indices { locates[slot] = -1 }
        hasDirectory = false
        clock.restart()
        control.flags = change.cause == .inferred ? [.epochInferred] : []
        remark()
        log(.epochBegan, "another session: sequences begin anew (\(change.cause.rawValue))")
        control.step(wall: wall) { $0.epochChanged(at: now) }
        begin(epoch: arbiter.epoch, first: arbiter.first, at: now, wall: wall)
        control.sendState(wall: wall)
    }

    /// The numbers of an epoch begin here. Whoever joins a session in its middle has missed its directory, and
    /// cannot name instruments before the venue repeats it.
    private func begin(epoch: UInt64, first: UInt64, at now: Instant, wall: WallTime) {
        control.begin(epoch: epoch, first: first, wall: wall)
        control.step(wall: wall) { $0.directory(isKnown: first == 1, at: now) }
    }

    private func tell(_ divergence: Divergence) {
        log(
            .copiesDiffer,
            "message \(divergence.sequence) differs between path \(divergence.path) and path \(divergence.deliveredBy), whose copy was delivered"
        )
    }

    // MARK: - Publishing

    private func publish(_ bytes: ArraySlice<UInt8>, _ arrival: Arrival, epoch: UInt64, at now: Instant) {
        let (slot, sourceTime) = route(bytes, arrival, at: now)
        control.published(arrival.sequence, at: now, wall: arrival.receivedAt)
        guard let slot else { return }
        let flags = topics.flags(slot)
        if flags.contains(.unresolved) { unresolved &+= 1 }
        let previous = topics.published(slot, sequence: arrival.sequence, at: now)
        guard topics.isWanted(slot) else { return }
        let header = FrameHeader(
            kind: .data,
            flags: flags.union(control.dataFlags(sourceTime: sourceTime, wall: arrival.receivedAt)),
            feed: 0, channel: 0, epoch: epoch, sequence: arrival.sequence,
            previous: previous, path: arrival.path,
            state: control.state, sourceTime: sourceTime, receiveTime: arrival.receivedAt)
        publisher.publish(header, topic: topics.wireTopic(slot), body: bytes)
    }

    /// A message's topic, `nil` when there is no room for another one, and when the venue sent it.
    private func route(
        _ bytes: ArraySlice<UInt8>, _ arrival: Arrival, at now: Instant
    ) -> (slot: Int?, sourceTime: WallTime?) {
        do throws(MalformedInput) {
            let message = try ITCH50Message(bytes)
            return (
                slot(for: message, at: now, wall: arrival.receivedAt),
                clock.time(ofDay: message.timestamp, receivedAt: arrival.receivedAt)
            )
        } catch {
            messageErrors[error.reason.rawValue, default: 0] &+= 1
            return (noInstrument(at: now), nil)
        }
    }

    /// Where a message goes. A directory message binds its locate first and goes to its own symbol.
    private func slot(for message: ITCH50Message, at now: Instant, wall: WallTime) -> Int? {
        let locate = Int(message.locate)
        if let symbol = message.directorySymbol { return bind(locate, to: symbol, at: now, wall: wall) }
        guard locate != 0 else { return noInstrument(at: now) }
        if locates[locate] >= 0 { return Int(locates[locate]) }
        let name = "#\(locate)"
        let slot = topics.intern(Array(name.utf8)[...], flags: .unresolved, at: now) { name }
        if let slot { locates[locate] = Int32(slot) }
        return slot
    }

    private func noInstrument(at now: Instant) -> Int? { topics.intern([], at: now) { nil } }

    private func bind(_ locate: Int, to symbol: ITCHSymbol, at now: Instant, wall: WallTime) -> Int? {
        let name = symbol.description
        guard !name.isEmpty, let slot = topics.intern(Array(name.utf8)[...], at: now, instrument: { name })
        else {
            return noInstrument(at: now)
        }
        locates[locate] = Int32(slot)
        if !hasDirectory {
            hasDirectory = true
            remark()
            control.step(wall: wall) { $0.directory(isKnown: true, at: now) }
        }
        return slot
    }

    private func remark() { control.remark = hasDirectory ? "" : "no directory yet" }

    // MARK: - Time and paths

    func tick(at now: Instant, wall: WallTime) {
        if let deadline = arbiter.deadline, deadline <= now {
            arbiter.tick(at: now)
            release(at: now, wall: wall)
        }
        control.step(wall: wall) { $0.hole(isOpen: arbiter.hasHole, at: now) + $0.tick(at: now) }
        if let deadline = topics.deadline, deadline <= now {
            for frame in topics.idle(at: now) { publishIdle(frame.topic, frame.sequence, wall: wall) }
        }
    }

    private func publishIdle(_ slot: Int, _ sequence: UInt64, wall: WallTime) {
        let header = FrameHeader(
            kind: .idle, flags: control.dataFlags(sourceTime: nil, wall: wall).union(topics.flags(slot)),
            feed: 0, channel: 0,
            epoch: arbiter.epoch, sequence: sequence, previous: sequence, state: control.state,
            receiveTime: wall)
        publisher.publish(header, topic: topics.wireTopic(slot))
    }

    func pathsChanged(_ condition: PathCondition, at now: Instant, wall: WallTime) {
        for (path, isActive) in condition.active.enumerated() {
            arbiter.set(UInt8(truncatingIfNeeded: path), isActive: isActive)
        }
        release(at: now, wall: wall)
        control.follow(condition, wasFailover: isFailover, at: now, wall: wall)
        isFailover = condition.failover != nil
    }

    /// A new client is shown where it stands.
    func granted(_ request: TopicRequest, at now: Instant, wall: WallTime) {
        switch request {
        case .control: control.show(wall: wall)
        case .data(_, .one(let name)): show(Array(name.utf8), at: now, wall: wall)
        case .data(_, .none): show([], at: now, wall: wall)
        case .data(_, .all): topics.wantAll(at: now)
        case .sync: break
        }
    }

    private func show(_ key: [UInt8], at now: Instant, wall: WallTime) {
        topics.want(key, at: now)
        guard let slot = topics.find(key[...]), topics.last(of: slot) > 0 else { return }
        publishIdle(slot, topics.last(of: slot), wall: wall)
    }

    // MARK: - Figures

    func figures(of path: Int) -> PathFigures {
        let counters = arbiter.counters(of: UInt8(truncatingIfNeeded: path))
        var figures = PathFigures()
        figures.messages = counters.received
        figures.first = counters.first
        figures.duplicates = counters.duplicates
        figures.missed = counters.missed
        figures.divergent = counters.divergent
        figures.decodeErrors = decodeErrors[path]
        return figures
    }

    var channel: ChannelFigures {
        let counters = arbiter.counters
        let refused = [
            "implausible": counters.implausible, "old_epoch": counters.oldEpoch,
            "overflow": counters.overflow,
            "late": counters.late, "topics": topics.refused,
        ].merging(messageErrors.map { ("message_\($0.key)", $0.value) }) { $0 &+ $1 }
        return ChannelFigures(
            state: control.state, reason: control.reason, published: control.machine.messages,
            gaps: control.machine.missing, topics: topics.count, unresolved: unresolved,
            epochs: counters.epochs,
            refused: refused.filter { $0.value > 0 })
    }
}
