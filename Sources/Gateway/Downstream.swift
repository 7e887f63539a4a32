// The XPUB socket that clients subscribe to: each subscription is judged by the table and granted or refused
// while libzmq still knows whose it is. A client that does not keep up loses messages, which its `previous`
// numbers show.
import Arbitration
import Basics
import Linux
import Logging
import Messaging
import Reactor
import Wire

/// What the downstream socket asks of the rest of the gateway.
protocol DownstreamOwner: AnyObject {
    /// A client was granted a topic: show it where it stands.
    func granted(_ request: TopicRequest, prefix: String)
    /// A feed's upstream subscriptions changed.
    func upstream(_ action: SubscriptionAction)
}

/// Publishes market data and the control topics.
final class Downstream: FrameSink {
    /// Frames that may wait for one client before it loses some.
    static let sendHighWaterMark: Int32 = 50_000
    /// Not the one that carries what comes in: libzmq reads somewhat more at a time than it writes, and what goes out
    /// would wait.
    static let thread = 1
    /// Refused subscriptions that are remembered for the `status` request.
    static let rememberedRefusals = 64

    struct Refused {
        var peer: Peer
        var prefix: String
        var reason: String
        var at: WallTime
    }

    private(set) var table = SubscriptionTable()
    private(set) var refusals = Ring<Refused>(capacity: Downstream.rememberedRefusals)
    /// Frames that libzmq did not take.
    private(set) var failedSends: UInt64 = 0
    /// Messages from clients that are no subscriptions.
    private(set) var malformed: UInt64 = 0

    weak var owner: (any DownstreamOwner)?
    private let loop: EventLoop
    private var server: ServerSocket?
    private var lingering: Timer?
    private let log: LimitedLog
    /// What each client of the list may have, worked out once.
    private var entitlements: [PublicKey: (topics: [String], Entitlements)] = [:]

    init(
        _ context: MessagingContext, _ loop: EventLoop, at endpoints: ServerEndpoints, log: LimitedLog
    ) throws(BusError) {
        self.loop = loop
        self.log = log
        server = try ServerSocket(
            context, loop, .xpub, for: .marketData, at: endpoints, log: log,
            configure: { socket throws(MessagingError) in
                try socket.set(.xpubManual)
                try socket.set(.maximumMessageSize(4096))
                try socket.set(.sendHighWaterMark(Downstream.sendHighWaterMark))
                try socket.set(.thread(Downstream.thread))
            },
            onDeparture: { [unowned self] in perform(table.closed($0, at: loop.now)) },
            onMessage: { [unowned self] in heard($0, $1) })
        // It comes back by itself, and is judged anew: what a connection holds can be taken from it only while
        // it is heard.
        server?.isCurtailed = { old, new in
            !Entitlements(topics: new.topics).covers(Entitlements(topics: old.topics))
        }
        do throws(SystemError) {
            lingering = try Timer(loop, accuracy: .milliseconds(50)) { [unowned self] in expire() }
        } catch {
            throw .system(error)
        }
    }

    /// The endpoint bound last.
    var lastEndpoint: String { server?.lastEndpoint ?? "" }
    /// How many clients are connected.
    var clients: Int { access.clients }
    var access: AccessCounters { server?.counters ?? AccessCounters() }

    /// Who is connected, and how many topics each holds.
    func connections(atMost limit: Int) -> [(peer: Peer, subscriptions: Int)] {
        (server?.peers(atMost: limit) ?? []).map { ($0, table.count(of: $0.connection)) }
    }

    /// Sends one frame to everybody who holds its topic.
    func publish(_ frame: [UInt8]) {
        do throws(MessagingError) {
            try server?.socket.send(frame)
        } catch {
            failedSends &+= 1
        }
    }

    // MARK: - Feeds

    func addFeed(_ name: String, linger: Duration?, hasBatches: Bool) {
        table.addFeed(name, linger: linger, hasBatches: hasBatches)
        lingering?.arm(at: table.deadline)
    }

    func removeFeed(_ name: String) { table.removeFeed(name) }

    // MARK: - Clients

    /// libzmq tells of a closed descriptor before the kernel can give its number to another client, and the server
    /// socket reads that before a subscription is booked on it.
    private func heard(_ message: Socket.Message, _ caller: Caller) {
        guard message.frames.count == 1, let frame = message.frames.first, let first = frame.first, first <= 1
        else {
            malformed &+= 1
            return
        }
        let connection = message.connection
        let prefix = frame.dropFirst()
        if first == 0 {
            perform(table.unsubscribe(prefix, by: connection < 0 ? nil : connection, at: loop.now))
        } else if server?.isConnected(connection) == true {
            let entitled = entitlements(of: caller)
            perform(table.subscribe(prefix, by: connection, entitled: entitled, at: loop.now))
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

    private func expire() { perform(table.tick(at: loop.now)) }

    private func perform(_ actions: [SubscriptionAction]) {
        for action in actions {
            switch action {
            case .grant(let prefix, let request):
                apply(prefix) { () throws(MessagingError) in try server?.socket.subscribe(prefix.utf8) }
                owner?.granted(request, prefix: prefix)
            case .revoke(let prefix):
                apply(prefix) { () throws(MessagingError) in try server?.socket.unsubscribe(prefix.utf8) }
            case .refuse(let connection, let prefix, let refusal):
                tell(connection, prefix, "\(refusal)", "refused the subscription \"\(prefix)\"")
            case .narrow(let connection, let prefix, let entitled):
                tell(
                    connection, prefix, "narrowed to \(entitled)",
                    "narrowed the subscription \"\(prefix)\"")
            case .subscribeUpstream, .unsubscribeUpstream: owner?.upstream(action)
            }
        }
        lingering?.arm(at: table.deadline)
    }

    private func apply(_ prefix: String, _ change: () throws(MessagingError) -> Void) {
        do throws(MessagingError) {
            try change()
        } catch {
            failedSends &+= 1
            log.event(
                .subscriptionRefused, key: "",
                "the subscription \"\(prefix)\" could not be applied: \(error)",
                ["topic": "\(prefix)"])
        }
    }

    /// What a client does not get, or not wholly, is told in the status and in the log; never to the client.
    private func tell(_ connection: Int32, _ prefix: String, _ reason: String, _ what: String) {
        let peer = server?.peer(connection) ?? Peer(connection: connection)
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
