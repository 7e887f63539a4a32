// What stands between a feed's sources and its subscribers: decodes, arbitrates, and publishes data and
// control frames. It does no I/O: packets go in, frames come out through a sink.
package import Arbitration
package import Basics
package import Configuration
package import FeedJournal
import FeedProtocols
package import Wire

/// Where frames go. It is called while the engine is at work, which is to be asked nothing meanwhile.
package protocol FrameSink: AnyObject {
    /// Sends a frame to everybody who holds its topic, with which it begins.
    ///
    /// - Parameter route: what this returned for the topic before, or a new one.
    /// - Returns: what to give with the topic's next frame.
    func publish(_ frame: [UInt8], topicLength: Int, by route: TopicRoute) -> TopicRoute
    /// Sends a frame to one connection, behind what was sent to it before.
    func send(_ frame: [UInt8], to connection: Int32)
    /// A connection is being shown where topics stand, a few at a time: its markers wait.
    func shows(to connection: Int32)
    /// That is done.
    func shown(to connection: Int32)
}

/// Where what is released is kept. It is called while the engine is at work, which is to be asked nothing meanwhile.
package protocol FrameJournal: AnyObject {
    /// Takes frames of one channel that were released together; none are left.
    func append(_ frames: inout FrameBatch, channel: UInt16)
    /// A frame that is longer than a record may be: what is missing is noted in its place.
    func leaveOut(_ frame: [UInt8], topicLength: Int, channel: UInt16)
    /// A message of the venue's directory.
    func directory(_ unit: ArraySlice<UInt8>, of instrument: UInt32, channel: UInt16, epoch: UInt64)
}

/// Where engines put what differs between paths, until the feed looks.
final class DivergenceInbox {
    private static let most = 64
    private(set) var found: [Divergence] = []
    /// What was found by then is none: the numbers had begun again.
    private(set) var areVoid = false

    var isEmpty: Bool { found.isEmpty && !areVoid }

    func add(_ divergence: Divergence) {
        if found.count < DivergenceInbox.most { found.append(divergence) }
    }

    func void() { (found, areVoid) = ([], true) }

    /// Whether what was found before is void.
    func takeVoid() -> Bool {
        defer { areVoid = false }
        return areVoid
    }

    func take() -> [Divergence] {
        defer { found = [] }
        return found
    }
}

/// Where engines put how old it was what paths brought, until the feed looks: not each message's, which costs too much.
final class DelayInbox {
    /// At most so often of each path and kind.
    static let every: Duration = .milliseconds(20)

    private static let most = 64

    private(set) var found: [DelaySample] = []
    private var messagesDue = InlineArray<8, Instant>(repeating: .zero)
    private var heartbeatsDue = InlineArray<8, Instant>(repeating: .zero)
    /// What is read from files comes when it is read.
    let isMeasuring: Bool

    init(isMeasuring: Bool) { self.isMeasuring = isMeasuring }

    @inline(__always)
    func isDue(_ path: UInt8, at now: Instant) -> Bool { now >= messagesDue[Int(path & 7)] && isMeasuring }

    func add(_ kind: DelaySample.Kind, on path: UInt8, sent: WallTime, receivedAt: WallTime, at now: Instant)
    {
        let place = Int(path & 7)
        switch kind {
        case .message, .copy: messagesDue[place] = now + DelayInbox.every
        case .heartbeat:
            guard isMeasuring, now >= heartbeatsDue[place] else { return }
            heartbeatsDue[place] = now + DelayInbox.every
        }
        let (delay, isBeyond) = receivedAt.nanoseconds.subtractingReportingOverflow(sent.nanoseconds)
        // A stamp that is years off is none, and differences of such are not to overflow.
        guard !isBeyond, delay.magnitude < 1 << 60, found.count < DelayInbox.most else { return }
        found.append(DelaySample(path: Int(path), kind, delay: .nanoseconds(delay)))
    }

    func take() -> [DelaySample] {
        defer { found = [] }
        return found
    }
}

/// What an engine is made from.
package struct EnginePlan {
    package let options: FeedOptions
    package let index: UInt16
    /// Another number than any engine of this feed had before, in this run of the gateway or an earlier one.
    package let run: UInt32
    package let controlEvery: Duration
    package let sink: any FrameSink
    /// `nil`: nothing is journalled.
    package var journal: (any FrameJournal)?
    package let log: EventLog
    package var now: Instant
    /// Where requests for what is missing go; `nil`: nobody is asked.
    package var recovery: (any RecoverySink)?
    /// What the feed had used of its venue's limits before its options were these.
    package var usage: QuotaUsage
    let divergences = DivergenceInbox()
    let delays: DelayInbox

    package init(
        options: FeedOptions, index: UInt16, run: UInt32, controlEvery: Duration, sink: any FrameSink,
        journal: (any FrameJournal)? = nil, log: @escaping EventLog, now: Instant,
        recovery: (any RecoverySink)? = nil, usage: QuotaUsage = QuotaUsage()
    ) {
        self.options = options
        delays = DelayInbox(
            isMeasuring: options.paths.count > 1 && !options.paths.contains { $0.file != nil })
        self.index = index
        self.run = run
        self.controlEvery = controlEvery
        self.sink = sink
        self.journal = journal
        self.log = log
        self.now = now
        self.recovery = recovery
        self.usage = usage
    }

    /// What the catalog says of the feed's protocol.
    var description: FeedProtocolDescription { options.description }

    /// Which messages are kept as their topics' last values.
    var lastValue: FeedProtocolDescription.LastValue {
        options.lastValues == false ? .none : description.lastValue
    }

    package func engine() -> any FeedEngine {
        switch options.feedProtocol {
        // A SoupBinTCP source hands its messages on in MoldUDP64 packets: the numbers are the same.
        case .moldUDP64, .soupBinTCP: ChannelEngine<MoldFraming, ITCH50Keys>(self)
        case .pitch: ChannelEngine<PITCHFraming, PITCHKeys>(self)
        case .iexTP: ChannelEngine<IEXTPFraming, IEXKeys>(self)
        case .mdp3: ChannelEngine<MDP3Framing, MDP3Keys>(self)
        case .holdfast: HoldfastEngine(self)
        case .zeromq: TopicEngine(self)
        }
    }
}

/// How the paths are, as far as the channel depends on it.
package struct PathCondition: Hashable, Sendable {
    /// The paths whose word counts: all of a hot-hot feed, the current one of a hot-warm feed.
    package var used: [UInt8]
    /// The subscribed paths that are well, and so expected to deliver.
    package var active: [Bool]
    /// The paths that say something else than the others, whose messages are only compared.
    package var distrusted: [Bool] = []
    /// Why the feed is moving; `nil`: it is not.
    package var failover: String?
    /// The path that is subscribed anew, where the feed does not move for that; `nil`: none is.
    package var subscribing: String?
    /// Whether the venue trades.
    package var session = SessionPhase.open

    /// Whether all that is wanted is subscribed where it comes from.
    var isSettled: Bool { failover == nil && subscribing == nil }
}

/// One feed's engine.
package protocol FeedEngine: AnyObject {
    /// The feed's index in the configuration.
    var index: UInt16 { get set }
    /// Takes one packet or frame. `false`: it was none of the protocol's, and proves nothing of the path.
    ///
    /// - Parameters:
    ///   - receivedAt: when the host had it.
    ///   - cameIn: the same on the clock that decides; earlier than now if it waited to be read while the gateway did not
    ///     run.
    ///   - wall: when it was read, which is later where the gateway was away: what it brings is as old as that.
    func received(
        _ bytes: ArraySlice<UInt8>, on path: Int, receivedAt: WallTime, cameIn: Instant, at now: Instant,
        wall: WallTime
    ) -> Bool
    /// Takes frames that came together, as many as it may, and none behind one that makes a path worth looking at; at
    /// least one. `false`: none was of the protocol.
    func received(
        _ frames: inout ArrivedFrames, atMost most: Int, on path: Int, receivedAt: WallTime, cameIn: Instant,
        at now: Instant
    ) -> Bool
    /// The gateway did not run for so long, and what came meanwhile is read next: the time counts against nothing that is
    /// waited for, and what is stale by now is told before.
    func returned(after absence: Duration, at now: Instant, wall: WallTime)
    /// Takes what a re-request server sent; `nil`: one of them did, to all who listen.
    func recovered(
        _ bytes: ArraySlice<UInt8>, from server: Int?, receivedAt: WallTime, at now: Instant, wall: WallTime)
    /// A re-request server will not send what it was asked for.
    func rejected(_ rejection: RequestRejection, by server: Int, at now: Instant)
    func pathsChanged(_ condition: PathCondition, at now: Instant, wall: WallTime)
    func tick(at now: Instant, wall: WallTime)
    /// Sends what was kept back until the end of a burst.
    func flush()
    /// Whether it has batch topics.
    var hasBatches: Bool { get }
    /// When `tick` is to be called next.
    var deadline: Instant { get }
    /// The part of `deadline` that the last packet can have brought nearer: what waits for the other path.
    var waitingUntil: Instant? { get }
    /// A client was granted a topic of this feed, and is shown where it stands.
    ///
    /// - Parameter connection: the client's, who alone is shown it; `nil`: of all who hold the topic.
    func granted(_ request: TopicRequest, to connection: Int32?, at now: Instant, wall: WallTime)
    /// A client's connection is gone.
    func departed(_ connection: Int32)
    /// Ends what is under way: nothing is called any more.
    func close()
    /// The venue's directory of an epoch, in the order in which it was kept, as an earlier run of the gateway journalled
    /// it.
    func remember(
        _ memory: JournalMemory, channel: UInt16, at now: Instant, wall: WallTime)
    /// Whether instruments have no names, and the venue may never send them: a session was joined in its middle, and
    /// there is no directory, or messages came since this was last asked of instruments that it does not name.
    func lacksDirectory() -> Bool
    /// Takes a directory that came by another way, where a session was joined in its middle.
    func learn(_ directory: [[UInt8]], at now: Instant, wall: WallTime) -> DirectoryVerdict
    /// Where a channel is; `nil`: it has not begun.
    func place(of channel: UInt16) -> ChannelPlace?
    /// The last values of topics, as many as one reply holds; `nil`: none are kept.
    func snapshot(_ wants: SnapshotWants, wall: WallTime) -> SnapshotPage?
    /// A topic is subscribed upstream, perhaps not for the first time; when it is everything, these already were.
    func joined(_ topic: UpstreamTopic, alreadyWanted: [UpstreamTopic], at now: Instant, wall: WallTime)
    /// A topic is no longer subscribed upstream; when it was everything, these still are.
    func released(_ topic: UpstreamTopic, stillWanted: [UpstreamTopic])
    /// When each channel's last re-requests were sent, all those of the last second among them.
    var requestsLately: [UInt16: [Instant]] { get }
    /// What a path contributed; the source's counters are left to the shell.
    func figures(of path: Int) -> PathFigures
    /// All channels together.
    var channel: ChannelFigures { get }
}

extension FeedEngine {
    package func departed(_ connection: Int32) {}
    package func close() {}
    package var requestsLately: [UInt16: [Instant]] { [:] }
    package func lacksDirectory() -> Bool { false }
    package func learn(_ directory: [[UInt8]], at now: Instant, wall: WallTime) -> DirectoryVerdict {
        .notNeeded
    }

    package func received(
        _ frames: inout ArrivedFrames, atMost most: Int, on path: Int, receivedAt: WallTime, cameIn: Instant,
        at now: Instant
    ) -> Bool {
        guard let place = frames.next() else { return false }
        return received(
            frames.bytes[place], on: path, receivedAt: receivedAt, cameIn: cameIn, at: now, wall: receivedAt)
    }

    /// What is read when it comes.
    package func received(
        _ bytes: ArraySlice<UInt8>, on path: Int, receivedAt: WallTime, at now: Instant, wall: WallTime
    ) -> Bool {
        received(bytes, on: path, receivedAt: receivedAt, cameIn: now, at: now, wall: wall)
    }
}

/// What became of a directory that came by another way than the venue's.
package enum DirectoryVerdict: Hashable, Sendable {
    case taken
    /// There is one that says more.
    case notNeeded
    /// It is another session's, and nothing of it is taken: what it says, and what the feed's messages have said.
    case contradicted(String)
}

/// Where a channel is, for who wants to know how far behind it a client is.
package struct ChannelPlace: Hashable, Sendable {
    package var epoch: UInt64
    /// Where the knowledge of the epoch begins, and its last sequence; 0 where topics are numbered each by itself.
    package var first: UInt64
    package var last: UInt64
    package var run: UInt32
    /// Messages since the run began.
    package var published: UInt64
}

/// The feed's figures, for the bus; of several channels, the sums, and the state of the worst.
package struct ChannelFigures: Hashable, Sendable {
    package var state: ChannelState
    package var reason: String
    package var published: UInt64
    /// Sequences told as missing.
    package var gaps: UInt64
    package var topics: Int
    /// Messages whose instrument has no name yet.
    package var unresolved: UInt64
    package var epochs: UInt64
    /// Messages that were refused by the arbiter, by name.
    package var refused: [String: UInt64]
    /// `nil`: the feed has nobody to ask again.
    package var recovery: RecoveryFigures?
    /// Messages that came early and wait for their turn.
    package var waiting = 0
    /// `nil`: none are kept.
    package var lastValues: LastValueFigures?
    /// Messages that are none of what the protocol carries; counted under `refused`, too.
    package var refusedMessages = RefusedInput()
    /// Messages that are missing of a session that is taken from its beginning.
    package var behind: UInt64 = 0
}

extension ChannelFigures {
    /// What does not stop the feed, and is for somebody to look at; `nil`: nothing. How much was refused is a value of
    /// its own: with each other number in it this would be another state.
    var trouble: String? {
        guard topics >= TopicDemand.limit, refused["topics"] != nil else { return nil }
        return "no room for topics beyond the first \(TopicDemand.limit), on which nothing is published"
    }

    /// Takes in another channel.
    mutating func add(_ other: ChannelFigures, named name: String) {
        if other.state.badness > state.badness {
            (state, reason) = (other.state, "channel \(name): \(other.reason)")
        }
        published &+= other.published
        gaps &+= other.gaps
        topics += other.topics
        unresolved &+= other.unresolved
        epochs &+= other.epochs
        waiting += other.waiting
        if let figures = other.recovery { recovery?.add(figures) }
        if let values = other.lastValues { lastValues = (lastValues ?? LastValueFigures()) + values }
        refused.merge(other.refused) { $0 &+ $1 }
        refusedMessages.add(other.refusedMessages)
        behind &+= other.behind
    }
}

extension ChannelState {
    /// How much of a feed's attention a channel in this state deserves.
    fileprivate var badness: Int {
        switch self {
        case .closed: 0
        case .live: 1
        case .recovering: 2
        case .stale: 3
        }
    }
}

extension FeedOptions {
    /// What the catalog says of its protocol.
    var description: FeedProtocolDescription { FeedProtocolDescription(named: feedProtocol.rawValue) }

    /// Whether what an earlier run journalled is read at the start: to go on from there, or, where the gateway names the
    /// numberings, to give none the name of another one.
    package var wantsMemory: Bool {
        switch description.reset {
        case .daily, .weekly: true
        case .session: start != .now
        }
    }

    /// Whether it has a directory of its instruments, which is journalled.
    var hasDirectory: Bool { keys == .itch50 }
}
