// The publisher of the health bus: topic and JSON in two frames, every subscription seen, so that a late joiner gets the
// states that it asked for.
public import Linux
import Logging
public import Reactor
import Wire

/// Publishes to subscribers and hears their subscriptions.
public final class Publisher {
    /// What somebody asks for.
    public struct Subscription: Hashable, Sendable {
        public var prefix: [UInt8]
        public var connection: Int32
    }

    private let server: PublisherSocket
    private let log: LimitedLog
    private var held: BusSubscriptions
    private let onSubscription: (Subscription) -> Void
    /// Called when a subscription is taken back, and when a connection is gone with all that it held.
    var onCancel: (Subscription) -> Void = { _ in }
    var onDeparture: (Int32) -> Void = { _ in }
    /// Called when a connection has taken what it had not when `drain` was called.
    var onDrained: (Int32) -> Void {
        get { server.onDrained }
        set { server.onDrained = newValue }
    }
    /// Messages from subscribers that are no subscriptions.
    public private(set) var malformed = 0

    /// Binds to each endpoint; a stale Unix socket file is replaced.
    ///
    /// - Parameter onSubscription: called with each subscription that is not refused.
    public convenience init(
        _ loop: EventLoop, at endpoints: ServerEndpoints, log: LimitedLog,
        onSubscription: @escaping (Subscription) -> Void
    ) throws(BusError) {
        try self.init(loop, at: endpoints, limits: .init(), log: log, onSubscription: onSubscription)
    }

    init(
        _ loop: EventLoop, at endpoints: ServerEndpoints, limits: BusSubscriptions.Limits, log: LimitedLog,
        onSubscription: @escaping (Subscription) -> Void
    ) throws(BusError) {
        self.log = log
        self.onSubscription = onSubscription
        held = BusSubscriptions(limits: limits)
        server = try PublisherSocket(loop, for: .publish, at: endpoints, log: log)
        server.onRequest = { [unowned self] request, connection, _ in heard(request, of: connection) }
        server.onDeparture = { [unowned self] connection in
            held.departed(connection)
            onDeparture(connection)
        }
    }

    /// The endpoint bound last.
    public var lastEndpoint: String { server.lastEndpoint }
    public var counters: AccessCounters { server.counters }
    /// For tests.
    var endpoints: [String] { server.endpoints }
    var connections: Int { server.connections }

    /// Whether anybody may want samples: what nobody wants need not be written.
    public var isAskedForSamples: Bool { held.isAskedForSamples }
    /// Prefixes that are held, and those that were refused.
    var subscriptions: Int { held.count }
    var refusedSubscriptions: UInt64 { held.refused }
    /// Messages that a subscriber did not get since it did not keep up.
    var dropped: UInt64 { server.dropped }
    /// Connections that ended for what their client sent.
    var broken: UInt64 { server.broken }

    /// Publishes two frames. A subscriber that does not keep up loses messages, which the change numbers
    /// show to it.
    public func publish(topic: String, payload: [UInt8]) {
        let topic = Array(topic.utf8)
        for connection in held.receivers(of: topic) { server.send(topic, payload, to: connection) }
    }

    /// Likewise, to one subscriber, whatever it holds.
    func send(topic: String, payload: [UInt8], to connection: Int32) {
        server.send(Array(topic.utf8), payload, to: connection)
    }

    /// Sends what waits for a subscriber; whether it takes all of it.
    func drain(_ connection: Int32) -> Bool { server.drain(connection) }

    /// What was published is sent now, and not at the end of the loop's turn: there may be none.
    func flush() { server.flush() }

    // MARK: - Subscribers

    private func heard(_ request: PublisherSocket.Request, of connection: Int32) {
        switch request {
        case .subscribe(let prefix): subscribed(to: prefix, by: connection)
        case .cancel(let prefix):
            held.cancel(prefix, by: connection)
            onCancel(Subscription(prefix: prefix, connection: connection))
        case .strange: malformed += 1
        }
    }

    /// A marker is sent once, to who asked for it, and not held.
    private func subscribed(to prefix: [UInt8], by connection: Int32) {
        if Topic.sync(in: prefix) == nil, let refusal = held.subscribe(prefix, by: connection) {
            return refuse(prefix, of: connection, refusal)
        }
        onSubscription(Subscription(prefix: prefix, connection: connection))
    }

    /// Told in the log; the status counts it. The subscriber is not told: ZeroMQ has no word for it.
    func refuse(_ prefix: [UInt8], of connection: Int32, _ refusal: BusSubscriptions.Refusal) {
        let peer = server.peer(connection)
        let who = peer.client.map { "client \($0)" } ?? peer.address ?? "a client of this host"
        let shown = String(decoding: prefix.prefix(100), as: UTF8.self)
        log.event(
            .subscriptionRefused, key: peer.client ?? peer.address ?? "",
            "refused the subscription \"\(shown)\" of \(who) to the health bus: \(refusal)",
            ["connection": "\(connection)", "topic": "\(shown)"])
    }
}

extension Topic {
    /// The nonce of a marker; `nil`: the prefix is another one.
    static func sync(in prefix: [UInt8]) -> String? {
        guard case .sync(let nonce)? = try? Topic(parsing: prefix) else { return nil }
        return nonce
    }
}

/// Why a part of the bus could not be opened.
public enum BusError: Error, Hashable, Sendable, CustomStringConvertible {
    case messaging(MessagingError)
    case system(SystemError)
    /// The endpoint needs CURVE, and the process has no keys.
    case noKeys(endpoint: String)

    public var description: String {
        switch self {
        case .messaging(let error): error.description
        case .system(let error): error.description
        case .noKeys(let endpoint): "\(endpoint) needs the keys of [curve], and there are none"
        }
    }
}
