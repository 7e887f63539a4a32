// The engine of a feed whose channels are numbered: packets go to their channels, each a number space of its own.
// What a packet is and which instruments a message concerns are the protocol's two values; everything else is the
// same for all.
import Arbitration
import Basics
import Configuration
import FeedJournal
import FeedProtocols
import Linux
import Wire

final class ChannelEngine<Framing: PacketFraming, Keys: InstrumentKeys>: FeedEngine {
    private let plan: EnginePlan
    private let publisher: FramePublisher
    private let demand = TopicDemand()
    private var channels: [OpenChannel<Keys>] = []
    /// The channel that the last packet was for.
    private var latest: OpenChannel<Keys>?
    private var admission = ChannelAdmission(isOverConnection: Framing.isOverConnection)
    /// Of each path.
    private var refused: [RefusedInput]
    private var condition: PathCondition?
    private var isSettled = true
    /// Channels whose batches somebody asked for, some of them perhaps not seen yet.
    private var batched: Set<UInt16> = []
    private var batchesAll = false
    /// What an earlier run knew of channels that have not come yet.
    private var memories: [UInt16: JournalMemory] = [:]

    init(_ plan: EnginePlan) {
        self.plan = plan
        publisher = FramePublisher(plan)
        refused = plan.options.paths.map { _ in RefusedInput() }
        for channel in Framing.hasOneChannel ? [0] : plan.options.channels {
            _ = open(channel, at: plan.now, wall: WallTime(nanoseconds: 0))
        }
    }

    var index: UInt16 {
        get { publisher.feed }
        set { publisher.feed = newValue }
    }

    var deadline: Instant {
        channels.lazy.map { $0.numbered.deadline }.min() ?? Instant(nanoseconds: .max / 2)
    }

    /// As the last packet left it; kept, since it is asked for after each.
    private(set) var waitingUntil: Instant?

    // MARK: - Packets

    // Each message is asked several things of its protocol, which cost more than the rest if they are looked up.
    @_specialize(where Framing == MoldFraming, Keys == ITCH50Keys)
    @_specialize(where Framing == PITCHFraming, Keys == PITCHKeys)
    @_specialize(where Framing == IEXTPFraming, Keys == IEXKeys)
    @_specialize(where Framing == MDP3Framing, Keys == MDP3Keys)
    @_specialize(where Framing == HoldfastFraming, Keys == HoldfastKeys)
    func received(
        _ bytes: ArraySlice<UInt8>, on path: Int, receivedAt: WallTime, cameIn: Instant, at now: Instant,
        wall: WallTime
    ) -> Bool {
        let packet: FramedPacket<Framing.Units>
        do throws(MalformedInput) {
            packet = try Framing.read(bytes)
        } catch {
            refused[path].add(error, length: bytes.count)
            return false
        }
        if packet.trailingBytes > 0 { refused[path].count("trailing-bytes") }
        if case .unsequenced = packet.header.kind {
            // It proves the path; messages without a number cannot be arbitrated.
            if packet.header.messages ?? 0 > 0 { refused[path].count("unsequenced") }
            return !packet.isStale
        }
        guard let channel = channel(of: packet.header, path: path, receivedAt: receivedAt, at: now) else {
            return false
        }
        latest = channel
        publisher.beginGathering()
        defer { publisher.endGathering() }
        channel.numbered.take(
            packet, path: UInt8(truncatingIfNeeded: path), receivedAt: receivedAt, cameIn: cameIn, at: now,
            wall: wall)
        waitingUntil = channel.numbered.waitingUntil
        return !packet.isStale
    }

    func recovered(
        _ bytes: ArraySlice<UInt8>, from server: Int?, receivedAt: WallTime, at now: Instant, wall: WallTime
    ) {
        do throws(MalformedInput) {
            let packet = try Framing.read(bytes)
            let number = packet.header.channel
            guard let channel = channels.first(where: { UInt32($0.number) == number }) else { return }
            latest = channel
            publisher.beginGathering()
            defer { publisher.endGathering() }
            channel.numbered.recovered(packet, from: server, receivedAt: receivedAt, at: now, wall: wall)
        } catch {
            channels.first?.numbered.refuseRecovered(error.reason.rawValue)
        }
    }

    func rejected(_ rejection: RequestRejection, by server: Int, at now: Instant) {
        guard let channel = channels.first(where: { $0.number == rejection.channel }) else { return }
        latest = channel
        channel.numbered.rejected(rejection, by: server, at: now)
    }

    // MARK: - Channels

    /// The channel of a packet, opened if need be; `nil`: not yet, or never.
    private func channel(
        of header: SequencedHeader, path: Int, receivedAt: WallTime, at now: Instant
    ) -> OpenChannel<Keys>? {
        guard let number = UInt16(exactly: header.channel) else { return refuse(path) }
        if let latest, latest.number == number { return latest }
        if let known = channels.first(where: { $0.number == number }) { return known }
        guard plan.options.channels.isEmpty else { return refuse(path) }
        switch admission.judge(number, path: path, receivedAt: receivedAt, at: now) {
        case .admitted: return open(number, at: now, wall: receivedAt)
        case .waits: return nil
        case .refused: return refuse(path)
        }
    }

    /// A packet of a channel that is none of the feed's.
    private func refuse(_ path: Int) -> OpenChannel<Keys>? {
        refused[path].count("unknown-channel")
        return nil
    }

    private func open(_ number: UInt16, at now: Instant, wall: WallTime) -> OpenChannel<Keys> {
        let channel = OpenChannel(
            NumberedChannel<Keys>(number, plan, publisher, demand, encode: Framing.request, at: now))
        channels.append(channel)
        if isBatched(number) { channel.batch.want() }
        if let memory = memories.removeValue(forKey: number) {
            channel.numbered.remember(memory, at: now, wall: wall)
        }
        if let condition {
            channel.numbered.pathsChanged(condition, wasSettled: true, at: now, wall: wall)
        }
        return channel
    }

    private func isBatched(_ number: UInt16) -> Bool { batchesAll || batched.contains(number) }

    // MARK: - Time and paths

    func returned(after absence: Duration, at now: Instant, wall: WallTime) {
        for channel in channels { channel.numbered.returned(after: absence, at: now, wall: wall) }
    }

    func tick(at now: Instant, wall: WallTime) {
        for channel in channels { channel.numbered.tick(at: now, wall: wall) }
        flush()
    }

    var hasBatches: Bool { true }

    func flush() { for channel in channels { channel.batch.flush() } }

    func pathsChanged(_ condition: PathCondition, at now: Instant, wall: WallTime) {
        for channel in channels {
            channel.numbered.pathsChanged(condition, wasSettled: isSettled, at: now, wall: wall)
        }
        flush()
        self.condition = condition
        isSettled = condition.isSettled
    }

    /// A new client is shown where it stands.
    func granted(_ request: TopicRequest, to connection: Int32?, at now: Instant, wall: WallTime) {
        switch request {
        case .control(_, let wanted):
            for channel in channels where wanted ?? channel.number == channel.number {
                channel.control.show(to: connection, wall: wall)
            }
        case .batch(_, let wanted):
            if wanted == nil { batchesAll = true }
            if let wanted { batched.insert(wanted) }
            for channel in channels where isBatched(channel.number) { channel.batch.want() }
        case .data(_, .one(let name)): show(Array(name.utf8), to: connection, at: now, wall: wall)
        case .data(_, .none): show([], to: connection, at: now, wall: wall)
        case .data(_, .all):
            demand.wantAll()
            for channel in channels { channel.numbered.wantAll(at: now) }
        case .sync: break
        }
    }

    private func show(_ key: [UInt8], to connection: Int32?, at now: Instant, wall: WallTime) {
        demand.want(key)
        for channel in channels { channel.numbered.show(key, to: connection, at: now, wall: wall) }
    }

    /// A channel that has not come yet takes it up when it does.
    func remember(
        _ memory: JournalMemory, channel: UInt16, at now: Instant, wall: WallTime
    ) {
        if let known = channels.first(where: { $0.number == channel }) {
            known.numbered.remember(memory, at: now, wall: wall)
        } else {
            memories[channel] = memory
        }
    }

    /// Those who need one have one channel.
    func lacksDirectory() -> Bool { channels.contains { $0.numbered.lacksDirectory() } }

    func learn(_ directory: [[UInt8]], at now: Instant, wall: WallTime) -> DirectoryVerdict {
        var verdict = DirectoryVerdict.notNeeded
        for channel in channels {
            let own = channel.numbered.learn(directory, at: now, wall: wall)
            if own != .notNeeded { verdict = own }
        }
        return verdict
    }

    func place(of channel: UInt16) -> ChannelPlace? {
        channels.first { $0.number == channel }?.control.place
    }

    func snapshot(_ wants: SnapshotWants, wall: WallTime) -> SnapshotPage? {
        guard plan.lastValue == .ofMarkedMessages else { return nil }
        var page = SnapshotPage()
        let first = wants.after?.channel ?? 0
        for channel in channels.sorted(by: { $0.number < $1.number }) where channel.number >= first {
            guard channel.numbered.add(wants, to: &page, wall: wall) else { break }
        }
        return page
    }

    /// All that is sent is heard.
    func joined(_ topic: UpstreamTopic, alreadyWanted: [UpstreamTopic], at now: Instant, wall: WallTime) {}
    func released(_ topic: UpstreamTopic, stillWanted: [UpstreamTopic]) {}

    // MARK: - Figures

    /// Those of channels that have not come yet are an earlier engine's.
    var requestsLately: [UInt16: [Instant]] {
        var lately = plan.usage.requests
        for channel in channels { lately[channel.number] = channel.numbered.requestsLately }
        return lately
    }

    func figures(of path: Int) -> PathFigures {
        var figures = PathFigures()
        for channel in channels { channel.numbered.add(to: &figures, path: UInt8(truncatingIfNeeded: path)) }
        figures.refused = refused[path]
        return figures
    }

    var channel: ChannelFigures {
        guard var figures = channels.first?.numbered.figures else {
            var state = (ChannelState.recovering, ChannelReason.joining)
            if case .closed(let opening)? = condition?.session {
                state = (.closed, .outsideSession(until: opening))
            }
            return ChannelFigures(
                state: state.0, reason: "\(state.1)", published: 0, gaps: 0, topics: 0, unresolved: 0,
                epochs: 0,
                refused: [:])
        }
        for channel in channels.dropFirst() {
            figures.add(channel.numbered.figures, named: "\(channel.number)")
        }
        return figures
    }
}

/// A channel of the feed. It is at work while a packet's messages are published, and is to be asked nothing meanwhile.
private final class OpenChannel<Keys: InstrumentKeys> {
    let number: UInt16
    let control: ControlChannel
    let batch: BatchTopic
    var numbered: NumberedChannel<Keys>

    init(_ numbered: consuming NumberedChannel<Keys>) {
        number = numbered.number
        control = numbered.control
        batch = numbered.batch
        self.numbered = numbered
    }
}
