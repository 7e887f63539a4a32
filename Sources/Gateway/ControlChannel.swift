// The control topic of one channel: publishes what the channel machine decides, in order with the data.
import Arbitration
import Basics
import Configuration
import Wire

final class ControlChannel {
    let publisher: FramePublisher
    /// What decides is given it and calls nobody, so that no access overlaps another one: the check for that would be made
    /// for each message.
    @exclusivity(unchecked) private(set) var machine: ChannelMachine
    /// What goes into the headers.
    private(set) var epoch: UInt64 = 0
    /// Where this run's knowledge of the epoch begins; 0: nowhere yet, or topics are numbered each by itself.
    private var first: UInt64 = 0
    /// The epoch is the venue's name of its session.
    private var isNamed = false
    /// On every frame of the channel.
    var flags: FrameFlags = []
    /// Called before anything is sent: what was kept back goes out first.
    var beforeSending: () -> Void = {}
    /// Worth saying even when all is well; for people.
    var remark = ""

    /// As it stands in the topic and in headers.
    let channel: UInt16
    private let topic: [UInt8]
    private let paths: [String]
    private let every: Duration
    private let isNumberedPerTopic: Bool
    /// The path that a state frame names; kept for repeats.
    private var path: UInt8?

    /// - Parameter now: when the channel is opened, which may be later than the feed.
    init(
        _ plan: EnginePlan, channel: UInt16, numberedPerTopic: Bool, publisher: FramePublisher,
        at now: Instant? = nil
    ) {
        self.channel = channel
        topic = Topic.control(feed: plan.options.name, channel: channel).bytes
        paths = plan.options.paths.map(\.name)
        every = plan.controlEvery
        isNumberedPerTopic = numberedPerTopic
        self.publisher = publisher
        if numberedPerTopic { flags.insert(.numberedPerTopic) }
        var limits = ChannelOptions(freshness: plan.options.freshness, controlEvery: plan.controlEvery)
        // What is asked for again is no longer everyday work.
        if plan.recovery != nil { limits.gapDwell = min(limits.gapDwell, plan.options.reorderTime) }
        unsafe machine = ChannelMachine(options: limits, active: [0], at: now ?? plan.now)
    }

    var deadline: Instant { unsafe machine.deadline }
    var state: ChannelState { unsafe machine.state }

    /// What a state frame gives as the reason.
    var reason: String { unsafe machine.reason == .complete ? remark : machine.reason.description }

    /// The flags of a data frame that is published now.
    func dataFlags(sourceTime: WallTime?, wall: WallTime) -> FrameFlags {
        unsafe machine.flags(sourceTime: sourceTime, wall: wall).union(flags)
    }

    /// A path said something; before what it said is published.
    /// - Parameters:
    ///   - isStale: its source says that it is stale itself.
    ///   - isRecovering: likewise.
    ///   - cameIn: earlier than now if it waited to be read while the gateway did not run.
    func heard(
        _ path: UInt8, isStale: Bool, isRecovering: Bool, cameIn: Instant, at now: Instant, wall: WallTime
    ) {
        if !isStale, !isRecovering, unsafe machine.noteHeard(path, cameIn: cameIn) { return }
        let actions =
            unsafe isStale
            ? machine.heardStale(path, at: now)
            : isRecovering
                ? machine.heardRecovering(path, cameIn: cameIn, at: now)
                : machine.heard(path, cameIn: cameIn, at: now)
        if !actions.isEmpty { step(wall: wall) { _ in actions } }
    }

    /// A path's source says whether it is closed itself; after it was heard.
    func source(_ path: UInt8, isClosed: Bool, cameIn: Instant, at now: Instant, wall: WallTime) {
        step(wall: wall) {
            isClosed ? $0.heardClosed(path, cameIn: cameIn, at: now) : $0.heardOpen(path, at: now)
        }
    }

    /// `nil`: nothing was heard yet.
    var place: ChannelPlace? {
        guard epoch != 0 else { return nil }
        return unsafe ChannelPlace(
            epoch: epoch, first: first, last: isNumberedPerTopic ? 0 : machine.last, run: publisher.run,
            published: machine.messages)
    }

    /// The header of a topic's last value that is sent again now: it is as fresh as the channel is.
    func lastValue(_ header: FrameHeader, wall: WallTime) -> FrameHeader {
        var header = header
        header.flags.subtract([.recovering, .stale])
        header.flags.formUnion(dataFlags(sourceTime: nil, wall: wall).union(.lastValue))
        header.state = unsafe machine.state
        return header
    }

    /// A data message is about to be published: the usual step, without its ceremony.
    private func published(_ sequence: UInt64, at now: Instant, wall: WallTime) {
        let actions = unsafe machine.published(sequence: sequence, at: now)
        if !actions.isEmpty { step(wall: wall) { _ in actions } }
    }

    /// A data message is about to be published: what its header says of the channel.
    func publishing(
        _ sequence: UInt64, sourceTime: WallTime?, at now: Instant, wall: WallTime
    ) -> (flags: FrameFlags, state: ChannelState) {
        if let said = unsafe machine.notePublished(sequence: sequence, sourceTime: sourceTime, wall: wall) {
            return (said.flags.union(flags), said.state)
        }
        published(sequence, at: now, wall: wall)
        return (dataFlags(sourceTime: sourceTime, wall: wall), unsafe machine.state)
    }

    /// Lets the machine decide and publishes what it says. `isFailover`: gaps are the failover's.
    func step(
        wall: WallTime, isFailover: Bool = false, instrument: String? = nil,
        _ decide: (inout ChannelMachine) -> [ChannelAction]
    ) {
        for action in unsafe decide(&machine) {
            switch action {
            case .state(_, _, let path):
                self.path = path
                sendState(wall: wall)
            case .heartbeat: sendHeartbeat(wall: wall)
            case .gap(let gap):
                // Where topics are numbered each by itself, one may be left in the session before.
                send(
                    .gap(gap.range, reason(of: gap, isFailover), instrument: instrument), epoch: gap.epoch,
                    wall: wall)
            }
        }
    }

    /// The numbers of this epoch are known from `first` on, 0 where topics are numbered each by itself. It is
    /// told before the first of them is published, so that a client can say what it missed before.
    func begin(epoch: UInt64, first: UInt64, isNamed: Bool = false, wall: WallTime) {
        self.epoch = epoch
        self.first = first
        self.isNamed = isNamed
        if first != 0 { sendHeartbeat(wall: wall, beginsEpoch: true) }
    }

    /// Where the channel stands: for a client that has just come.
    ///
    /// - Parameter connection: the client's; `nil`: all who hold the topic are shown it.
    func show(to connection: Int32?, wall: WallTime) {
        beforeSending()
        let topic = topic
        for body in [stateBody, heartbeatBody] {
            publisher.show(header(of: body, wall: wall), topic: topic.span, body: body.bytes, to: connection)
        }
    }

    private func sendHeartbeat(wall: WallTime, beginsEpoch: Bool = false) {
        send(heartbeatBody, wall: wall, beginsEpoch: beginsEpoch)
    }

    private var heartbeatBody: ControlBody {
        unsafe .heartbeat(
            published: machine.messages, gaps: machine.missing, interval: every, first: first,
            isNamed: isNamed)
    }

    /// Passes on how the paths are.
    func follow(_ condition: PathCondition, wasSettled: Bool, at now: Instant, wall: WallTime) {
        step(wall: wall) { $0.session(is: condition.session, at: now) }
        step(wall: wall) { machine in
            if let why = condition.failover {
                return machine.failoverBegan(to: condition.used, because: why, at: now)
            }
            if let path = condition.subscribing {
                return machine.subscriptionBegan(on: condition.used, of: path, at: now)
            }
            let moved = machine.use(condition.used, at: now)
            return wasSettled ? moved : moved + machine.resubscribed(at: now)
        }
    }

    /// The state again, because the remark is another one.
    func sendState(wall: WallTime) { send(stateBody, wall: wall) }

    private var stateBody: ControlBody {
        .state(path: path.flatMap { paths.indices.contains(Int($0)) ? paths[Int($0)] : nil }, reason: reason)
    }

    private func reason(of gap: Gap, _ isFailover: Bool) -> GapReason {
        switch gap.cause {
        case .timeout, .windowFull, .passed, .givenUp: isFailover ? .failover : .notRecovered
        case .epochLeft: .sessionChange
        }
    }

    /// - Parameter epoch: in which it holds; `nil`: in the one that the channel is in.
    private func send(
        _ body: ControlBody, epoch: UInt64? = nil, wall: WallTime, beginsEpoch: Bool = false
    ) {
        beforeSending()
        let (topic, bytes) = (topic, body.bytes)
        publisher.publish(
            header(of: body, epoch: epoch, wall: wall), topic: topic.span, body: bytes.span,
            beginsEpoch: beginsEpoch)
    }

    private func header(of body: ControlBody, epoch: UInt64? = nil, wall: WallTime) -> FrameHeader {
        unsafe FrameHeader(
            kind: body.kind, flags: dataFlags(sourceTime: nil, wall: wall), feed: 0, channel: channel,
            epoch: epoch ?? self.epoch,
            sequence: isNumberedPerTopic ? 0 : machine.last, path: path, state: machine.state,
            receiveTime: wall)
    }
}
