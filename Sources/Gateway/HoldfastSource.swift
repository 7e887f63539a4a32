// One path of a feed that comes from another gateway: a SUB socket that holds the whole feed and its control topics. A
// marker behind the subscriptions says when they are in place, and that where each topic stands was shown.
import Arbitration
import Basics
import Linux
import Messaging
import Reactor
import Wire

final class HoldfastSource: FeedSource {
    /// Who does not keep up may have lost its marker: it is asked for again. Topics are shown before it, which takes
    /// eight seconds for as many as there may be.
    private static let patience: Duration = .seconds(30)

    private var counted = SourceCounters()
    private let path: Int
    private let endpoint: String
    private let loop: EventLoop
    private let marker: [UInt8]
    private unowned let owner: any FeedSourceOwner
    private var link: VenueLink?
    /// Runs while the marker is awaited.
    private var timer: Timer?

    /// - Parameter feed: its name at the other gateway.
    init(
        _ loop: EventLoop, _ lookUps: NameLookups, path: Int, feed: String,
        at address: VenueLink.Address,
        keys: KeyPair?, log: @escaping EventLog, owner: any FeedSourceOwner
    ) throws(BusError) {
        self.loop = loop
        self.path = path
        endpoint = address.endpoint
        self.owner = owner
        let name = PercentEncoding.encode(feed)
        marker = Topic.sync(nonce: "feed-\(loop.wall.nanoseconds)-\(path)").bytes
        do throws(SystemError) {
            timer = try Timer(loop, accuracy: .milliseconds(50)) { [unowned self] in askAgain() }
        } catch {
            throw .system(error)
        }
        let topics = ["control/\(name)/", "md/\(name)/"].map { Array($0.utf8) } + [marker]
        link = try VenueLink(
            loop, lookUps, address, keys: keys, always: topics, log: log,
            VenueLink.Handlers(
                connected: { [unowned self] in connected() },
                disconnected: { [unowned self] in disconnected() },
                frames: { [unowned self] in received(&$0) },
                emptied: { [unowned self] in self.owner.emptied(self.path) },
                successor: { [unowned self] in
                    if case .connected = $0 { link?.successor(isComplete: true) }
                }))
    }

    var note: String? { link?.note }
    var counters: SourceCounters { link?.counters(counted) ?? counted }

    private func connected() {
        counted.connects &+= 1
        owner.connected(path)
        timer?.arm(at: loop.now + HoldfastSource.patience)
    }

    private func disconnected() {
        timer?.disarm()
        owner.disconnected(path, because: "disconnected from \(endpoint)")
    }

    private func askAgain() {
        link?.change(marker, isWanted: false)
        link?.change(marker, isWanted: true)
        timer?.arm(at: loop.now + HoldfastSource.patience)
    }

    func rekey(_ keys: KeyPair) { link?.rekey(keys) }

    // MARK: - Subscriptions: the whole feed, for good

    func activate(_ topics: [WantedTopic]) {}
    func deactivate() {}
    func subscribe(_ topic: WantedTopic) {}
    func unsubscribe(_ topic: UpstreamTopic) {}
    func linkChanged(_ news: LinkNews?) {}

    // MARK: - Frames

    private func received(_ frames: inout ArrivedFrames) {
        let (owner, time) = (owner, loop.time)
        while let place = frames.next() {
            let frame = frames.bytes[place]
            counted.packets &+= 1
            counted.bytes &+= UInt64(frame.count)
            if frame.starts(with: marker) {
                timer?.disarm()
                owner.resubscribed(path)
            } else {
                owner.received(frame, on: path, receivedAt: time.wall, at: time)
            }
        }
        owner.drained(path)
    }
}
