// What stands between a feed's sources and its subscribers: decodes, arbitrates, and publishes data and
// control frames. It does no I/O: packets go in, frames come out through a sink.
import Arbitration
import Basics
import Configuration
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

    func engine() -> any FeedEngine {
        switch options.feedProtocol {
        case .moldUDP64: MoldEngine(self)
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
    func pathsChanged(_ condition: PathCondition, at now: Instant, wall: WallTime)
    func tick(at now: Instant, wall: WallTime)
    /// When `tick` is to be called next.
    var deadline: Instant { get }
    /// The part of `deadline` that a packet can bring nearer: what waits for the other path.
    var waitingUntil: Instant? { get }
    /// A client was granted a topic of this feed.
    func granted(_ request: TopicRequest, at now: Instant, wall: WallTime)
    /// What a path contributed; the source's counters are left to the shell.
    func figures(of path: Int) -> PathFigures
    var channel: ChannelFigures { get }
}

/// The feed's figures, for the bus.
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
}
