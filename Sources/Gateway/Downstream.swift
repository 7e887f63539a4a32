// What clients subscribe to: each subscription is judged by the table, which also says whom a message goes to. A client
// that does not keep up loses messages, which its `previous` numbers show and the status counts.
import Arbitration
import Basics
import Linux
import Logging
import Messaging
import Reactor
import Wire

/// What the downstream socket asks of the rest of the gateway.
protocol DownstreamOwner: AnyObject {
    /// A client was granted a topic: show it, and nobody else, where it stands.
    func granted(_ request: TopicRequest, to connection: Int32)
    /// A client's connection is gone.
    func departed(_ connection: Int32)
    /// A feed's upstream subscriptions changed.
    func upstream(_ action: SubscriptionAction)
}

/// Publishes market data and the control topics.
final class Downstream: FrameSink {
    /// Refused subscriptions that are remembered for the `status` request.
    static let rememberedRefusals = 64

    struct Refused {
        var peer: Peer
        var prefix: String
        var reason: String
        var at: WallTime
    }

    /// Nobody is called while it is opened, so that no access overlaps another one: the check for that would be made for
    /// each message.
    @exclusivity(unchecked) private(set) var table = SubscriptionTable()
    private var markers = MarkerQueue()
    private(set) var refusals = Ring<Refused>(capacity: Downstream.rememberedRefusals)
    /// Messages from clients that are no subscriptions.
    private(set) var malformed: UInt64 = 0

    weak var owner: (any DownstreamOwner)?
    private let loop: EventLoop
    private let server: PublisherSocket
    /// Room for whom a message goes to.
    @exclusivity(unchecked) private var receivers: [Int32] = []
    private var lingering: Timer?
    private let log: LimitedLog
    /// What each client of the list may have, worked out once.
    private var entitlements: [PublicKey: (topics: [String], Entitlements)] = [:]

    init(
        _ loop: EventLoop, at endpoints: ServerEndpoints, log: LimitedLog
    ) throws(BusError) {
        self.loop = loop
        self.log = log
        server = try PublisherSocket(loop, for: .marketData, at: endpoints, log: log)
        server.onDeparture = { [unowned self] in departed($0) }
        server.onRequest = { [unowned self] in heard($0, of: $1, $2) }
        // It comes back by itself, and is judged anew: what a connection holds can be taken from it only while
        // it is heard.
        server.isCurtailed = { old, new in
            !Entitlements(topics: new.topics).covers(Entitlements(topics: old.topics))
        }
        do throws(SystemError) {
            lingering = try Timer(loop, accuracy: .milliseconds(50)) { [unowned self] in expire() }
        } catch {
            throw .system(error)
        }
    }

    /// The endpoint bound last.
    var lastEndpoint: String { server.lastEndpoint }
    /// How many clients are connected.
    var clients: Int { access.clients }
    var access: AccessCounters { server.counters }

    /// Connections that ended for what their client sent.
    var broken: UInt64 { server.broken }
    /// Messages that clients did not get since they did not keep up.
    var dropped: UInt64 { server.dropped }

    /// Somebody who is connected.
    struct Connected {
        var peer: Peer
        var subscriptions: Int
        /// Messages that it did not get since it did not keep up.
        var dropped: UInt64
    }

    func connections(atMost limit: Int) -> [Connected] {
        server.peers(atMost: limit).map { peer in
            Connected(
                peer: peer, subscriptions: unsafe table.count(of: peer.connection),
                dropped: server.dropped(of: peer.connection))
        }
    }

    func send(_ frame: [UInt8], to connection: Int32) { server.send(frame, to: connection) }

    /// Sends a marker to one connection, behind all that it is shown.
    func mark(_ frame: [UInt8], to connection: Int32) {
        if !markers.keep(frame, for: connection) { server.send(frame, to: connection) }
    }

    func shows(to connection: Int32) { markers.begin(connection) }

    func shown(to connection: Int32) {
        for marker in markers.end(connection) { server.send(marker, to: connection) }
    }

    func publish(_ frame: [UInt8], topicLength: Int, by route: TopicRoute) -> TopicRoute {
        // Taken out meanwhile, so that nobody else holds it.
        var found: [Int32] = []
        unsafe swap(&found, &receivers)
        let next = unsafe table.findReceivers(
            of: frame.span.extracting(..<topicLength), by: route, into: &found)
        for index in found.indices { server.send(frame, to: found[index]) }
        found.removeAll(keepingCapacity: true)
        unsafe swap(&found, &receivers)
        return next
    }

    // MARK: - Feeds

    func addFeed(_ name: String, linger: Duration?, hasBatches: Bool) {
        perform(unsafe table.addFeed(name, linger: linger, hasBatches: hasBatches, at: loop.now))
    }

    func removeFeed(_ name: String) { unsafe table.removeFeed(name) }

    func refuseBatches(of feed: String) { perform(unsafe table.refuseBatches(of: feed, at: loop.now)) }

    // MARK: - Clients

    private func heard(_ request: PublisherSocket.Request, of connection: Int32, _ caller: Caller) {
        switch request {
        case .subscribe(let prefix):
            let entitled = entitlements(of: caller)
            perform(unsafe table.subscribe(prefix[...], by: connection, entitled: entitled, at: loop.now))
        case .cancel(let prefix): perform(unsafe table.unsubscribe(prefix[...], by: connection, at: loop.now))
        case .strange: malformed &+= 1
        }
    }

    private func entitlements(of caller: Caller) -> Entitlements {
        guard case .client(let client) = caller else { return Entitlements(caller) }
        if let (topics, known) = entitlements[client.key], topics == client.topics { return known }
        if entitlements.count >= AllowList.mostClients { entitlements = [:] }
        let worked = Entitlements(caller)
        entitlements[client.key] = (client.topics, worked)
        return worked
    }

    private func departed(_ connection: Int32) {
        markers.leave(connection)
        owner?.departed(connection)
        perform(unsafe table.closed(connection, at: loop.now))
    }

    private func expire() { perform(unsafe table.tick(at: loop.now)) }

    private func perform(_ actions: [SubscriptionAction]) {
        for action in actions {
            switch action {
            case .grant(let connection, _, let request): owner?.granted(request, to: connection)
            case .refuse(let connection, let prefix, let refusal):
                tell(connection, prefix, "\(refusal)", "refused the subscription \"\(prefix)\"")
            case .narrow(let connection, let prefix, let entitled):
                tell(
                    connection, prefix, "narrowed to \(entitled)",
                    "narrowed the subscription \"\(prefix)\"")
            case .revoke: break
            case .subscribeUpstream, .hastenUpstream, .unsubscribeUpstream: owner?.upstream(action)
            }
        }
        lingering?.arm(at: unsafe table.deadline)
    }

    /// What a client does not get, or not wholly, is told in the status and in the log; never to the client.
    private func tell(_ connection: Int32, _ prefix: String, _ reason: String, _ what: String) {
        let peer = server.peer(connection)
        refusals.append(Refused(peer: peer, prefix: prefix, reason: reason, at: loop.wall))
        var fields: Logger.Metadata = ["connection": "\(connection)", "topic": "\(prefix)"]
        if let client = peer.client { fields["client"] = "\(client)" }
        if let address = peer.address { fields["client_address"] = "\(address)" }
        let whose = peer.client.map { " of client \($0)" } ?? peer.address.map { " of \($0)" } ?? ""
        log.event(
            .subscriptionRefused, key: peer.client ?? peer.address ?? "", "\(what)\(whose): \(reason)", fields
        )
    }
}
