// One path of a ZeroMQ feed: a SUB socket that always holds `heartbeat/`, and the instruments while the path
// is active. The venue answers each subscription with the topic's last sequence, which confirms it.
import Arbitration
import Basics
import FeedProtocols
import Linux
import Messaging
import Reactor
import Wire

final class ZeroMQSource: FeedSource {
    private var counted = SourceCounters()
    private let path: Int
    private let endpoint: String
    private let loop: EventLoop
    private let log: EventLog
    private unowned let owner: any FrameSourceOwner
    private var link: VenueLink?
    private var timer: Timer?
    private var replay: SubscriptionReplay
    private let book: UpstreamBook

    /// - Parameters:
    ///   - rate: subscriptions per second.
    ///   - used: what the venue has counted of the path before.
    ///   - book: the feed's.
    init(
        _ loop: EventLoop, _ lookUps: NameLookups, path: Int, at address: VenueLink.Address,
        keys: KeyPair?, rate: Int, used: SubscriptionUsage, book: UpstreamBook, log: @escaping EventLog,
        owner: any FrameSourceOwner
    ) throws(BusError) {
        self.loop = loop
        self.path = path
        endpoint = address.endpoint
        self.log = log
        self.owner = owner
        self.book = book
        replay = SubscriptionReplay(rate: rate, isConnected: false, used: used)
        do throws(SystemError) {
            timer = try Timer(loop, accuracy: .milliseconds(1)) { [unowned self] in
                perform(replay.tick(&book.names, at: self.loop.now))
            }
        } catch {
            throw .system(error)
        }
        link = try VenueLink(
            loop, lookUps, address, keys: keys, always: [SequencedFrame.heartbeatTopic], log: log,
            VenueLink.Handlers(
                connected: { [unowned self] in connected() },
                disconnected: { [unowned self] in disconnected() },
                frames: { [unowned self] in received(&$0) },
                emptied: { [unowned self] in self.owner.emptied(self.path) },
                successor: { [unowned self] in follow($0) }))
    }

    var used: SubscriptionUsage? { replay.used }
    var note: String? { link?.note }
    var counters: SourceCounters { link?.counters(counted) ?? counted }

    // MARK: - Connection

    private func connected() {
        counted.connects &+= 1
        // Where nothing is wanted, it is complete when it is there.
        perform(replay.connected(&book.names, at: loop.now))
        owner.connected(path)
    }

    private func disconnected() {
        perform(replay.disconnected(book.names))
        owner.disconnected(path, because: "disconnected from \(endpoint)")
    }

    func rekey(_ keys: KeyPair) { link?.rekey(keys) }

    /// A connection with other keys is subscribed like any other, beside the one whose place it is to take.
    private func follow(_ news: VenueLink.SuccessorNews) {
        switch news {
        case .connected: perform(replay.successorConnected(&book.names, at: loop.now))
        case .lost:
            replay.successorLost()
            perform([])
        case .tookOver:
            replay.successorTookOver()
            perform([])
        }
    }

    // MARK: - Subscriptions

    func activate(_ topics: [WantedTopic]) {
        perform(replay.activate(topics, &book.names, at: loop.now))
    }

    func deactivate() { perform(replay.deactivate(&book.names)) }

    func subscribe(_ topic: WantedTopic) {
        perform(replay.subscribe(topic, &book.names, at: loop.now))
    }

    func unsubscribe(_ topic: UpstreamTopic) { perform(replay.unsubscribe(topic, &book.names)) }

    private func perform(_ actions: [ReplayAction]) {
        (counted.subscribed, counted.toSubscribe) = replay.progress
        counted.subscribeRemaining = replay.remaining
        timer?.arm(at: replay.deadline)
        for action in actions {
            switch action {
            case .subscribe(let topic): change(topic, isWanted: true)
            case .unsubscribe(let topic): change(topic, isWanted: false)
            case .subscribeOnSuccessor(let topic): change(topic, isWanted: true, onSuccessor: true)
            case .unsubscribeOnSuccessor(let topic): change(topic, isWanted: false, onSuccessor: true)
            case .unconfirmed(let count):
                counted.unconfirmed &+= UInt64(count)
                log(
                    .subscriptionsUnconfirmed,
                    "\(count) subscriptions were not confirmed by \(endpoint), going on")
            case .resubscribed: owner.resubscribed(path)
            }
        }
        link?.successor(isComplete: replay.isSuccessorComplete)
    }

    private func change(_ topic: UpstreamTopic, isWanted: Bool, onSuccessor: Bool = false) {
        link?.change(ZeroMQSource.prefix(of: topic), isWanted: isWanted, onSuccessor: onSuccessor)
    }

    /// The feed's own spelling of an instrument.
    static func prefix(of topic: UpstreamTopic) -> [UInt8] {
        switch topic {
        case .everything: []
        case .instrument(let name): UpstreamName.topic(of: name)
        }
    }

    func linkChanged(_ news: LinkNews?) {}

    // MARK: - Frames

    private func received(_ frames: inout ArrivedFrames) {
        counted.packets &+= UInt64(frames.count)
        counted.bytes &+= UInt64(frames.size)
        let time = loop.time
        while replay.awaitsConfirmation, let place = frames.next() {
            let frame = frames.bytes[place]
            owner.received(frame, on: path, receivedAt: time.wall, at: time)
            // Behind what it says: a gap that it shows is told before the path counts as recovered.
            confirm(frame)
        }
        if replay.listens { listen(to: frames) }
        owner.received(&frames, on: path, at: time)
    }

    /// The venue answers a subscription with an idle frame: others are not looked at, since they may be very many.
    private func listen(to frames: borrowing ArrivedFrames) {
        for place in frames.left where replay.listens {
            guard let frame = try? SequencedFrame(decoding: frames.bytes.span.extracting(place)),
                frame.kind == .idle
            else { continue }
            confirm(frames.bytes[place])
        }
    }

    private func confirm(_ frame: ArraySlice<UInt8>) {
        guard let end = frame.firstIndex(of: 0), let name = UpstreamName.name(of: frame[..<end]) else {
            return
        }
        let actions = replay.confirmed(.instrument(name), &book.names)
        if !actions.isEmpty { perform(actions) }
    }
}
