// What stands between a feed's sources and its subscribers: decodes, arbitrates, and publishes data and
// control frames. It does no I/O: packets go in, frames come out through a sink.
import Arbitration
import Basics
import Configuration
import FeedProtocols
import Wire

/// Where frames go.
protocol FrameSink: AnyObject {
    func publish(_ frame: [UInt8])
}

/// What an engine is made from.
struct EnginePlan {
    let options: FeedOptions
    let index: UInt16
    /// Another number than any engine of this feed had before, in this run of the gateway or an earlier one.
    let run: UInt32
    let controlEvery: Duration
    let sink: any FrameSink
    let log: EventLog
    let now: Instant
    /// Where requests for what is missing go; `nil`: nobody is asked.
    var recovery: (any RecoverySink)?

    /// What the catalog says of the feed's protocol.
    var description: FeedProtocolDescription {
        FeedProtocolDescription(named: options.feedProtocol.rawValue)
    }

    func engine() -> any FeedEngine {
        switch options.feedProtocol {
        case .moldUDP64: ChannelEngine<MoldFraming, ITCH50Keys>(self)
        case .pitch: ChannelEngine<PITCHFraming, PITCHKeys>(self)
        case .iexTP: ChannelEngine<IEXTPFraming, IEXKeys>(self)
        case .mdp3: ChannelEngine<MDP3Framing, MDP3Keys>(self)
        case .holdfast: ChannelEngine<HoldfastFraming, HoldfastKeys>(self)
        case .zeromq: TopicEngine(self)
        }
    }
}

/// How the paths are, as far as the channel depends on it.
struct PathCondition: Hashable, Sendable {
    /// The paths whose word counts: all of a hot-hot feed, the current one of a hot-warm feed.
    var used: [UInt8]
    /// The subscribed paths that are well, and so expected to deliver.
    var active: [Bool]
    /// Why the feed is moving; `nil`: it is not.
    var failover: String?
}

/// One feed's engine.
protocol FeedEngine: AnyObject {
    /// The feed's index in the configuration.
    var index: UInt16 { get set }
    /// Takes one packet or frame. `false`: it was none of the protocol's, and proves nothing of the path.
    func received(_ bytes: ArraySlice<UInt8>, on path: Int, receivedAt: WallTime, at now: Instant) -> Bool
    /// Takes what a re-request server answered.
    func recovered(_ bytes: ArraySlice<UInt8>, from server: Int, receivedAt: WallTime, at now: Instant)
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
    /// A client was granted a topic of this feed.
    func granted(_ request: TopicRequest, at now: Instant, wall: WallTime)
    /// What a path contributed; the source's counters are left to the shell.
    func figures(of path: Int) -> PathFigures
    /// All channels together.
    var channel: ChannelFigures { get }
}

/// The feed's figures, for the bus; of several channels, the sums, and the state of the worst.
struct ChannelFigures: Hashable, Sendable {
    var state: ChannelState
    var reason: String
    var published: UInt64
    /// Sequences told as missing.
    var gaps: UInt64
    var topics: Int
    /// Messages whose instrument has no name yet.
    var unresolved: UInt64
    var epochs: UInt64
    /// Messages that were refused by the arbiter, by name.
    var refused: [String: UInt64]
    /// `nil`: the feed has nobody to ask again.
    var recovery: RecoveryFigures?
}

extension ChannelFigures {
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
        refused.merge(other.refused) { $0 &+ $1 }
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
