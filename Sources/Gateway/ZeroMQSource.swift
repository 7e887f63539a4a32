// One path of a ZeroMQ feed: a SUB socket that always holds `heartbeat/`, and the instruments while the path
// is active. The venue answers each subscription with the topic's last sequence, which confirms it.
import Arbitration
import Basics
import FeedProtocols
import Linux
import Logging
import Messaging
import Reactor
import Wire

final class ZeroMQSource: FeedSource {
    /// Frames that may wait unread before libzmq drops some.
    static let receiveHighWaterMark: Int32 = 200_000
    /// How long the venue may take to confirm a subscription before it is believed.
    static let confirmation: Duration = .milliseconds(500)

    private(set) var counters = SourceCounters()
    private let path: Int
    private let endpoint: String
    private let loop: EventLoop
    private let logger: Logger
    private unowned let owner: any FeedSourceOwner
    private let subscriber: Subscriber
    private var monitor: SocketMonitor?
    private var timer: Timer?
    private var pacer: SubscriptionPacer
    private var unconfirmed: Set<[UInt8]> = []
    private var confirmBy: Instant?
    private var isActive = false
    private var isRecovering = false
    private var isConnected = false

    init(
        _ context: MessagingContext, _ loop: EventLoop, path: Int, endpoint: String, interface: String?,
        rate: Int,
        logger: Logger, owner: any FeedSourceOwner
    ) throws(BusError) {
        self.loop = loop
        self.path = path
        self.endpoint = endpoint
        self.logger = logger
        self.owner = owner
        pacer = SubscriptionPacer(rate: rate)
        var options = Subscriber.Options()
        options.interface = interface
        options.receiveHighWaterMark = ZeroMQSource.receiveHighWaterMark
        var deliver: (([[UInt8]]) -> Void)?
        subscriber = try Subscriber(context, loop, endpoint: endpoint, options: options) { deliver?($0) }
        deliver = { [unowned self] in received($0) }
        monitor = try SocketMonitor(context, loop, of: subscriber.socket) { [unowned self] in connection($0) }
        do throws(SystemError) {
            timer = try Timer(loop, accuracy: .milliseconds(1)) { [unowned self] in tick() }
        } catch {
            throw .system(error)
        }
        attempt { () throws(MessagingError) in
            try subscriber.subscribe(String(decoding: SequencedFrame.heartbeatTopic, as: UTF8.self))
        }
    }

    var note: String? { isConnected ? nil : "not connected to \(endpoint)" }

    // MARK: - Connection

    private func connection(_ event: SocketMonitor.Event) {
        switch event {
        case .handshakeSucceeded:
            isConnected = true
            counters.connects &+= 1
            owner.connected(path)
        case .disconnected:
            guard isConnected else { return }
            isConnected = false
            owner.disconnected(path, because: "disconnected from \(endpoint)")
        case .connected, .accepted, .handshakeFailed, .connectRetried: break
        }
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
                logger.warning(
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
            logger.warning("\(endpoint): \(error), ignoring")
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
