// The gateway's end of a path, as MulticastSource and ZeroMQSource are for sockets: a group is joined and stays
// joined; a stream connects again and again, and its subscriptions are those of the production's replay.
import Arbitration
import Basics
import Configuration
import Gateway

/// The gateway's end of a path.
protocol PathSource: AnyObject {
    var path: SimulatedPath { get }
    func open()
    /// The gateway has ended.
    func close()
    func activate(_ topics: [WantedTopic])
    func deactivate()
    func subscribe(_ topic: WantedTopic)
    func unsubscribe(_ topic: UpstreamTopic)
}

final class SimulatedSource: PathSource {
    let path: SimulatedPath
    private unowned let world: Simulation
    private unowned let feed: SimulatedFeed
    private var replay: SubscriptionReplay
    /// What the venue was asked to subscribe, over all connections of this run of the gateway, which does not know what the
    /// one before it asked.
    private var asked = RecentCount()
    private let book: UpstreamBook
    private var isOpen = true
    private var isConnected = false
    private var wake = 0
    private var attempt = 0
    /// What a connection brought that was not read yet.
    private var unread: [Arrival] = []
    private lazy var socket = GatewaySocket(loop, path.place) { [unowned self] in turned($0) }

    /// What reached the gateway's host.
    private struct Arrival {
        var bytes: [UInt8]
        /// When it did, if it is sound.
        var soundAt: Instant?
    }

    /// How long the gateway's loop may be busy with something else.
    static let longestTurn: Duration = .milliseconds(3)

    init(
        _ world: Simulation, _ path: SimulatedPath, _ feed: SimulatedFeed, rate: Int, book: UpstreamBook
    ) {
        self.world = world
        self.path = path
        self.feed = feed
        self.book = book
        replay = SubscriptionReplay(rate: rate, isConnected: !path.takesRequests)
    }

    private var loop: GatewayLoop { world.gateway.loop }

    // MARK: - Connecting

    func open() {
        path.lost = { [weak self] in self?.lost() }
        path.restored = { [weak self] in self?.connectSoon() }
        connectSoon()
    }

    func close() {
        isOpen = false
        wake += 1
        unread = []
        socket.removeAll()
        path.arrival = nil
        path.lost = nil
        path.restored = nil
        path.cutOff()
    }

    private func connectSoon() {
        let later =
            world.now + world.random.duration(.milliseconds(1) ... .milliseconds(path.isStream ? 120 : 5))
        attempt += 1
        world.note(at: later) { [weak self, attempt] in
            self?.hasTime { if attempt == $0.attempt { $0.connect() } }
        }
    }

    private func connect() {
        guard isOpen, !isConnected else { return }
        if path.isRefusing || path.isStream && path.isCut { return connectSoon() }
        isConnected = true
        path.arrival = { [weak self] in self?.received($0, $1) }
        path.upstream?.subscribed()
        // What is wanted is asked for by each connection anew.
        if path.takesRequests { perform(replay.connected(&book.names, at: world.now)) }
        feed.connected(path.index)
    }

    /// The time of something has come that is not done last.
    private func hasTime(_ work: @escaping (SimulatedSource) -> Void) {
        loop.reads(from: "\(path.place)'s clock") { [weak self] in self.map(work) }
    }

    /// The connection ended, and both sides know it; the gateway when it has read what came before.
    private func lost() {
        guard isOpen, path.arrival != nil else { return }
        path.arrival = nil
        path.cutOff()
        socket.take { [weak self] in self?.ended() }
    }

    private func ended() {
        guard isOpen, isConnected else { return }
        read()
        isConnected = false
        if path.takesRequests { perform(replay.disconnected(book.names)) }
        feed.disconnected(path.index)
        connectSoon()
    }

    /// Something is there to be read. What has no room in the socket is lost: the kernel drops datagrams, and the
    /// publisher of a stream what is beyond its queue.
    private func received(_ bytes: ArraySlice<UInt8>, _ evidence: Evidence?) {
        guard socket.hasRoom(for: path.isStream ? SimulatedPath.serverQueue : loop.room) else { return }
        if let evidence { world.checker.arrived(evidence, on: path) }
        if evidence != nil, !loop.isPresent { feed.unreadAt = world.now }
        let arrival = Arrival(bytes: Array(bytes), soundAt: evidence.map { _ in world.now })
        // The kernel stamps datagrams, a moment before they can be read.
        let stamp = path.isStream ? nil : WallTime(nanoseconds: feed.wall.nanoseconds - 1000)
        guard path.takesRequests else {
            return socket.take { [weak self] in self?.take(arrival, stamp) }
        }
        guard loop.isPresent else {
            return socket.take { [weak self] in self?.unread.append(arrival) }
        }
        unread.append(arrival)
        guard unread.count == 1 else { return }
        let busy =
            world.random.chance(0.3) ? world.random.duration(.zero...SimulatedSource.longestTurn) : .zero
        world.note(at: world.now + busy) { [weak self] in self?.socket.take {} }
    }

    private func take(_ arrival: Arrival, _ stamp: WallTime?) {
        if path.upstream != nil, arrival.bytes == UpstreamGateway.marker {
            return feed.resubscribed(path.index)
        }
        note(arrival)
        feed.received(arrival.bytes[...], on: path.index, stamp: stamp)
    }

    private func note(_ arrival: Arrival) {
        if let at = arrival.soundAt { world.checker.isRead(from: at, on: path) }
    }

    /// The socket had its turn.
    private func turned(_ isEmptied: Bool) {
        read()
        if isEmptied { feed.emptied(path.index) }
    }

    /// What has come meanwhile over a connection, together.
    private func read() {
        var rest = unread[...]
        unread = []
        while replay.awaitsConfirmation || replay.listens, let next = rest.popFirst() {
            note(next)
            feed.received(next.bytes[...], on: path.index, stamp: nil)
            confirm(next.bytes[...])
        }
        guard !rest.isEmpty else { return }
        for arrival in rest { note(arrival) }
        feed.received(together: rest.map(\.bytes), on: path.index)
    }

    private func confirm(_ frame: ArraySlice<UInt8>) {
        guard let end = frame.firstIndex(of: 0), let name = UpstreamName.name(of: frame[..<end]) else {
            return
        }
        perform(replay.confirmed(.instrument(name), &book.names))
    }

    // MARK: - Subscriptions

    func activate(_ topics: [WantedTopic]) {
        path.takesRequests
            ? perform(replay.activate(topics, &book.names, at: world.now))
            : path.upstream == nil ? feed.resubscribed(path.index) : ()
    }

    func deactivate() { if path.takesRequests { perform(replay.deactivate(&book.names)) } }
    func subscribe(_ topic: WantedTopic) {
        if path.takesRequests { perform(replay.subscribe(topic, &book.names, at: world.now)) }
    }

    func unsubscribe(_ topic: UpstreamTopic) {
        if path.takesRequests { perform(replay.unsubscribe(topic, &book.names)) }
    }

    private func perform(_ actions: [ReplayAction]) {
        wakeUp()
        for action in actions {
            switch action {
            case .subscribe(let topic): ask(topic, isWanted: true)
            case .unsubscribe(let topic): ask(topic, isWanted: false)
            case .unconfirmed: break
            // Its venue has no keys.
            case .subscribeOnSuccessor, .unsubscribeOnSuccessor: break
            case .resubscribed: feed.resubscribed(path.index)
            }
        }
    }

    private func wakeUp() {
        wake += 1
        guard let due = replay.deadline else { return }
        world.note(at: max(due, world.now)) { [weak self, wake] in
            self?.hasTime { source in
                guard wake == source.wake, source.isOpen else { return }
                source.perform(source.replay.tick(&source.book.names, at: source.world.now))
            }
        }
    }

    private func countRequest() {
        let rate = world.feeds[path.feed].options.topicsPerSecond
        asked.add(at: world.now)
        let lately = asked.inLast(.seconds(1), at: world.now)
        if lately > rate {
            world.checker.violated(
                .quota, "\(path.place) subscribes \(lately) topics in a second, and \(rate) are allowed")
        }
    }

    private func ask(_ topic: UpstreamTopic, isWanted: Bool) {
        guard isConnected else { return }
        if isWanted { countRequest() }
        path.request { path in
            switch topic {
            case .everything:
                path.hasEverything = isWanted
                if isWanted {
                    for index in path.venue.instruments.indices { path.answer(index, keeps: false) }
                }
            case .instrument(let name):
                guard let index = path.instrument(UpstreamName.topic(of: name)) else { return }
                if isWanted { path.answer(index) } else { path.instruments.remove(index) }
            }
        }
    }
}
