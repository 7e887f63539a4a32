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
    /// How long the venue may take to confirm a subscription before it is believed.
    static let confirmation: Duration = .milliseconds(500)

    private(set) var counters = SourceCounters()
    private let path: Int
    private let endpoint: String
    private let loop: EventLoop
    private let log: EventLog
    private unowned let owner: any FeedSourceOwner
    private var link: VenueLink?
    private var timer: Timer?
    private var pacer: SubscriptionPacer
    private var unconfirmed: Set<[UInt8]> = []
    private var confirmBy: Instant?
    private var isActive = false
    private var isRecovering = false
    private var toldTrouble: String?

    init(
        _ context: MessagingContext, _ loop: EventLoop, path: Int, at address: VenueLink.Address,
        keys: KeyPair?,
        rate: Int, log: @escaping EventLog, owner: any FeedSourceOwner
    ) throws(BusError) {
        self.loop = loop
        self.path = path
        endpoint = address.endpoint
        self.log = log
        self.owner = owner
        pacer = SubscriptionPacer(rate: rate)
        do throws(SystemError) {
            timer = try Timer(loop, accuracy: .milliseconds(1)) { [unowned self] in tick() }
        } catch {
            throw .system(error)
        }
        link = try VenueLink(
            context, loop, address, keys: keys,
            VenueLink.Handlers(
                connection: { [unowned self] in connection($0) }, frames: { [unowned self] in received($0) },
                subscriptions: { [unowned self] in
                    [SequencedFrame.heartbeatTopic] + pacer.made.map(ZeroMQSource.prefix)
                }))
    }

    private var isConnected: Bool { link?.isConnected ?? false }

    var note: String? { isConnected ? nil : link?.trouble ?? "not connected to \(endpoint)" }

    // MARK: - Connection

    private func connection(_ news: Connection.News) {
        switch news {
        case .connected:
            counters.connects &+= 1
            if toldTrouble != nil { log(.pathReceivingAgain, "connected to \(endpoint)") }
            toldTrouble = nil
            owner.connected(path)
        case .disconnected:
            toldTrouble = nil
            owner.disconnected(path, because: "disconnected from \(endpoint)")
        case .failed: tellTrouble()
        }
    }

    /// Each trouble once; it is tried again and again.
    private func tellTrouble() {
        guard let trouble = link?.trouble, trouble != toldTrouble else { return }
        toldTrouble = trouble
        let meanwhile = isConnected ? "going on with the key before" : "not receiving"
        log(.pathNotReceiving, "\(trouble); trying again, \(meanwhile)")
    }

    func rekey(_ keys: KeyPair) {
        toldTrouble = nil
        link?.rekey(keys)
    }

    // MARK: - Subscriptions

    func activate(_ topics: [UpstreamTopic]) {
        isActive = true
        isRecovering = true
        for topic in topics { pacer.add(topic) }
        tick()
    }

    func deactivate() {
        isActive = false
        isRecovering = false
        for topic in pacer.removeAll() { change(topic, isWanted: false) }
        unconfirmed = []
        confirmBy = nil
    }

    func subscribe(_ topic: UpstreamTopic) {
        guard isActive else { return }
        pacer.add(topic)
        tick()
    }

    func unsubscribe(_ topic: UpstreamTopic) {
        if pacer.remove(topic) { change(topic, isWanted: false) }
        confirmed(ZeroMQSource.prefix(of: topic))
    }

    private func tick() {
        for topic in pacer.due(at: loop.now) {
            change(topic, isWanted: true)
            guard isRecovering, case .instrument = topic else { continue }
            unconfirmed.insert(ZeroMQSource.prefix(of: topic))
            confirmBy = loop.now + ZeroMQSource.confirmation
        }
        (counters.subscribed, counters.toSubscribe) = pacer.progress
        if let limit = confirmBy, limit <= loop.now, pacer.isDone {
            counters.unconfirmed &+= UInt64(unconfirmed.count)
            if !unconfirmed.isEmpty {
                log(
                    .subscriptionsUnconfirmed,
                    "\(unconfirmed.count) subscriptions were not confirmed by \(endpoint), going on")
            }
            unconfirmed = []
            confirmBy = nil
        }
        finish()
        timer?.arm(at: [pacer.deadline, confirmBy].compactMap(\.self).min())
    }

    private func finish() {
        guard isRecovering, pacer.isDone, unconfirmed.isEmpty else { return }
        isRecovering = false
        confirmBy = nil
        owner.resubscribed(path)
    }

    private func confirmed(_ topic: [UInt8]) {
        if unconfirmed.remove(topic) != nil { finish() }
    }

    private func change(_ topic: UpstreamTopic, isWanted: Bool) {
        let prefix = ZeroMQSource.prefix(of: topic)
        attempt { () throws(MessagingError) in
            try link?.change(prefix, isWanted: isWanted)
        }
    }

    /// The feed's own spelling of an instrument.
    static func prefix(of topic: UpstreamTopic) -> [UInt8] {
        switch topic {
        case .everything: []
        case .instrument(let name): UpstreamName.topic(of: name)
        }
    }

    private func attempt(_ call: () throws(MessagingError) -> Void) {
        do throws(MessagingError) {
            try call()
        } catch {
            counters.failures &+= 1
            log(.upstreamFailed, "\(endpoint): \(error), ignoring")
        }
    }

    func linkChanged(_ news: LinkNews?) {}

    // MARK: - Frames

    private func received(_ frames: [[UInt8]]) {
        for frame in frames {
            counters.packets &+= 1
            counters.bytes &+= UInt64(frame.count)
            owner.received(frame[...], on: path, receivedAt: loop.wall)
            // Behind what it says: a gap that it shows is told before the path counts as recovered.
            if !unconfirmed.isEmpty, let end = frame.firstIndex(of: 0) { confirmed(Array(frame[..<end])) }
        }
    }
}
