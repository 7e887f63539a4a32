// The words of the channel machine: why a channel is as it is, and what has to be published about it.
public import Basics
public import Wire

/// The limits of one channel.
public struct ChannelOptions: Hashable, Sendable {
    /// A channel of which no active path was heard for this long is stale; data older than this is late.
    public var freshness: Duration
    /// How often the control topic carries a heartbeat.
    public var controlEvery: Duration
    /// A hole that stays open for this long makes the channel `recovering`. Shorter ones are the arbiter's
    /// everyday work.
    public var gapDwell: Duration = .milliseconds(100)

    public init(freshness: Duration, controlEvery: Duration) {
        self.freshness = freshness
        self.controlEvery = controlEvery
    }
}

/// Why a channel is in its state.
public enum ChannelReason: Hashable, Sendable, CustomStringConvertible {
    /// Nothing was heard yet, and the freshness limit has not passed since the start.
    case joining
    /// Everything is in order.
    case complete
    /// The feed moves to another path, for a reason that the path machine names.
    case failover(String)
    /// This path is subscribed anew, and the feed does not move for that.
    case subscribing(String)
    /// What the session had before we came is being sent.
    case catchingUp
    /// A hole is open.
    case gap
    /// Instruments cannot be named yet.
    case noDirectory
    /// No active path said a word for this long.
    case silent(Duration)
    /// Every source in use says that it is stale itself.
    case staleAtSource
    /// Every source in use that is heard says that it is recovering itself.
    case recoveringAtSource
    case sessionEnded
    /// A source in use says that it is closed itself, and none that it is live or recovering.
    case closedAtSource
    /// The venue does not trade at this time.
    case outsideSession(until: SessionOpening?)

    public var description: String {
        switch self {
        case .joining: "joining"
        case .complete: "complete"
        case .failover(let why): "moving to another path: \(why)"
        case .subscribing(let path): "\(path) is being subscribed"
        case .catchingUp: "catching up with the session"
        case .gap: "a gap is open"
        case .noDirectory: "no directory"
        case .silent(let limit): "no word from upstream for \(limit.nanoseconds / 1_000_000) ms"
        case .staleAtSource: "stale where it comes from"
        case .recoveringAtSource: "recovering where it comes from"
        case .sessionEnded: "the session ended"
        case .closedAtSource: "closed where it comes from"
        case .outsideSession(let opening): opening.map { "no session until \($0)" } ?? "no session"
        }
    }
}

/// What has to be published on the control topic, in the order in which it is told.
public enum ChannelAction: Hashable, Sendable {
    /// From now on the channel is so. `path`: the active one, if there is exactly one.
    case state(ChannelState, ChannelReason, path: UInt8?)
    /// `last`: the last number of the channel; `messages` and `missing`: published, and told as gaps, since
    /// the start.
    case heartbeat(last: UInt64, messages: UInt64, missing: UInt64)
    case gap(Gap)
}
