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
    /// Frames that may wait unread before libzmq drops some.
    static let receiveHighWaterMark: Int32 = 200_000
    /// How long the venue may take to confirm a subscription before it is believed.
    static let confirmation: Duration = .milliseconds(500)

    /// Where the venue's server is.
    struct Address {
        var endpoint: String
        /// Its key; `nil`: in the clear.
        var serverKey: PublicKey?
        /// The interface through which the connection leaves; `nil`: as routed.
        var interface: String?
    }

    private(set) var counters = SourceCounters()
    private let path: Int
    private let endpoint: String
    private let serverKey: PublicKey?
    private let loop: EventLoop
    private let log: EventLog
    private unowned let owner: any FeedSourceOwner
    private let subscriber: Subscriber
    private var timer: Timer?
    private var pacer: SubscriptionPacer
    private var unconfirmed: Set<[UInt8]> = []
    private var confirmBy: Instant?
    private var isActive = false
    private var isRecovering = false
    private var toldTrouble: String?

    init(
        _ context: MessagingContext, _ loop: EventLoop, path: Int, at address: Address, keys: KeyPair?,
        rate: Int, log: @escaping EventLog, owner: any FeedSourceOwner
    ) throws(BusError) {
        self.loop = loop
        self.path = path
        endpoint = address.endpoint
        serverKey = address.serverKey
        self.log = log
        self.owner = owner
        pacer = SubscriptionPacer(rate: rate)
        var options = Subscriber.Options()
        options.interface = address.interface
        options.receiveHighWaterMark = ZeroMQSource.receiveHighWaterMark
        var deliver: (([[UInt8]]) -> Void)?
        var tell: ((Connection.News) -> Void)?
        subscriber = try Subscriber(
            context, loop, endpoint: endpoint, security: .connecting(to: endpoint, serverKey, with: keys),
            options: options, onConnection: { tell?($0) }
        ) { deliver?($0) }
        deliver = { [unowned self] in received($0) }
        tell = { [unowned self] in connection($0) }
        do throws(SystemError) {
            timer = try Timer(loop, accuracy: .milliseconds(1)) { [unowned self] in tick() }
        } catch {
            throw .system(error)
        }
        attempt { () throws(MessagingError) in
            try subscriber.subscribe(String(decoding: SequencedFrame.heartbeatTopic, as: UTF8.self))
        }
    }

    var note: String? {
        subscriber.isConnected ? nil : subscriber.trouble ?? "not connected to \(endpoint)"
    }

    // MARK: - Connection

    private func connection(_ news: Connection.News) {
        switch news {
        case .connected:
            counters.connects &+= 1
            if toldTrouble != nil { log(.pathReceivingAgain, "connected to \(endpoint)") }
            toldTrouble = nil
            owner.connected(path)
        case .disconnected: owner.disconnected(path, because: "disconnected from \(endpoint)")
        case .failed: tellTrouble()
        }
    }

    /// Each trouble once; it is tried again and again.
    private func tellTrouble() {
        guard let trouble = subscriber.trouble, trouble != toldTrouble else { return }
        toldTrouble = trouble
        log(.pathNotReceiving, "not receiving: \(trouble); trying again")
    }

    func rekey(_ keys: KeyPair) {
        guard let serverKey else { return }
        subscriber.reconnect(.client(keys, of: serverKey))
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
            isWanted ? try subscriber.socket.subscribe(prefix) : try subscriber.socket.unsubscribe(prefix)
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
