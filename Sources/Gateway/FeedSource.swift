// What every source of a feed's path tells its feed, and what the feed asks of it. A source carries bytes and
// connection states; it decides nothing about the feed.
import Arbitration
import Basics
import Reactor
import Wire

/// What a path's source tells its feed.
protocol FeedSourceOwner: AnyObject {
    /// A packet or frame came in on a path. `time`: the loop's.
    func received(_ bytes: ArraySlice<UInt8>, on path: Int, receivedAt: WallTime, at time: LoopTime)
    /// What had arrived is read: the burst is over, as far as this source knows.
    func drained(_ path: Int)
    /// Nothing that had arrived on the path waits to be read.
    func emptied(_ path: Int)
    func connected(_ path: Int)
    func disconnected(_ path: Int, because reason: String)
    /// All that is wanted is subscribed on the path, as far as it can be known.
    func resubscribed(_ path: Int)
}

/// Likewise of a source whose frames come together.
protocol FrameSourceOwner: FeedSourceOwner {
    /// Frames came in on a path; it takes them all.
    func received(_ frames: inout ArrivedFrames, on path: Int, at time: LoopTime)
}

/// One path's way in.
protocol FeedSource: AnyObject {
    func activate(_ topics: [WantedTopic])
    func deactivate()
    /// Also of one that it has: it may have its turn sooner.
    func subscribe(_ topic: WantedTopic)
    func unsubscribe(_ topic: UpstreamTopic)
    /// An interface changed; `nil`: any of them may have.
    func linkChanged(_ news: LinkNews?)
    /// Our keys are others from now on.
    func rekey(_ keys: KeyPair)
    /// What is used of the venue's rate of subscriptions; `nil`: it has none.
    var used: SubscriptionUsage? { get }
    var counters: SourceCounters { get }
    /// What is special about the source now, for a person; `nil`: nothing.
    var note: String? { get }
}

extension FeedSource {
    var used: SubscriptionUsage? { nil }
}

/// What a source counted since it was opened.
struct SourceCounters: Hashable, Sendable {
    /// Packets or frames.
    var packets: UInt64 = 0
    var bytes: UInt64 = 0
    /// Packets that the kernel dropped for want of buffer.
    var droppedByKernel: UInt64 = 0
    /// Packets longer than a receive slot.
    var truncated: UInt64 = 0
    /// Connections made, or groups joined.
    var connects: UInt64 = 0
    /// Receives that failed.
    var failures: UInt64 = 0
    /// Packets of a stream that were none, or had no place where they came: each ended its connection.
    var streamErrors: UInt64 = 0
    /// Messages outside the numbering, which are not handed on.
    var unsequenced: UInt64 = 0
    /// Subscriptions made and to be made in the replay that runs or ran last.
    var subscribed = 0
    var toSubscribe = 0
    /// How long the rest of them takes at the venue's rate.
    var subscribeRemaining: Duration = .zero
    /// Attempts to connect, and the wait before the next one as it stands; 0: the source does not tell.
    var attempts: UInt64 = 0
    var retryAfter: Duration = .zero
    /// Subscriptions that the venue did not confirm in time.
    var unconfirmed: UInt64 = 0
}
