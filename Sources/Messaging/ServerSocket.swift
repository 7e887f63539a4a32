// A socket that clients connect to, by endpoints of this host and beyond it: an XPUB or a ROUTER. What is beyond is
// CURVE, but for what is opted in by name. It knows its connections, hangs up on whom it must, and writes to the
// log who was refused.
import Basics
import Linux
import Logging
public import Reactor
public import Wire

/// Where a server socket is bound, and for what.
public struct ServerEndpoints {
    /// Endpoints of this host in the clear; those beyond it with CURVE.
    public var endpoints: [String]
    /// Endpoints beyond this host, in the clear.
    public var plaintext: [String] = []
    /// Needed by endpoints beyond this host.
    public var authenticator: Authenticator?
    /// What counts as this host; another judgement is for tests.
    var isLocal: (String) -> Bool = Endpoint.isLocal
    var limits = ConnectionBook.Limits()

    public init(_ endpoints: [String], plaintext: [String] = [], authenticator: Authenticator? = nil) {
        self.endpoints = endpoints
        self.plaintext = plaintext
        self.authenticator = authenticator
    }
}

/// Counters of a server socket, or of several.
public struct AccessCounters: Hashable, Sendable {
    /// Connections that are through the handshake now.
    public var clients = 0
    /// Connections that were refused.
    public var refused: UInt64 = 0
    /// Connections that ended because their client was taken off the list.
    public var removed: UInt64 = 0

    public init() {}

    public static func + (left: AccessCounters, right: AccessCounters) -> AccessCounters {
        var sum = left
        sum.clients += right.clients
        sum.refused &+= right.refused
        sum.removed &+= right.removed
        return sum
    }
}

/// Somebody who is connected.
public struct Peer: Hashable, Sendable {
    public var connection: Int32
    /// Its name on the list; `nil`: it came in the clear.
    public var client: String?
    /// Its IPv4 address; `nil`: it is of this host, or not known.
    public var address: String?

    public init(connection: Int32, client: String? = nil, address: String? = nil) {
        self.connection = connection
        self.client = client
        self.address = address
    }
}

/// A bound socket and its connections.
public final class ServerSocket {
    public let socket: Socket
    private let loop: EventLoop
    private let service: Service
    private let authenticator: Authenticator?
    private let log: LimitedLog
    private let onMessage: (Socket.Message, Caller) -> Void
    private let onDeparture: (Int32) -> Void
    private var source: SocketSource?
    private var monitor: SocketMonitor?
    private var rebinding: Timer?
    private var book: ConnectionBook
    /// How each endpoint is entered, by the address that libzmq gives to it.
    private var entrances: [String: Entrance] = [:]
    /// Endpoints that are to be bound again, and since when.
    private var unbound: [String] = []
    private var unboundSince: Instant?
    private var events: [SocketMonitor.Event] = []
    private var isSettling = false
    /// Whether a client that stays on the list may do less than before, and has to come in anew.
    public var isCurtailed: (AllowedClient, AllowedClient) -> Bool = { _, _ in false }
    /// Messages that could not be received.
    public private(set) var failed: UInt64 = 0

    /// Binds to each endpoint.
    ///
    /// - Parameters:
    ///   - configure: sets further options before the socket is bound.
    ///   - onDeparture: called when a connection is gone, before its descriptor can be another one's.
    ///   - onMessage: called with each message that no stranger sent, and with who did.
    /// - Throws: `BusError.noKeys` for an endpoint beyond this host without an authenticator.
    public init(
        _ context: MessagingContext, _ loop: EventLoop, _ type: SocketType, for service: Service,
        at endpoints: ServerEndpoints, log: LimitedLog,
        configure: (Socket) throws(MessagingError) -> Void, onDeparture: @escaping (Int32) -> Void = { _ in },
        onMessage: @escaping (Socket.Message, Caller) -> Void
    ) throws(BusError) {
        self.loop = loop
        self.service = service
        self.log = log
        self.onMessage = onMessage
        self.onDeparture = onDeparture
        authenticator = endpoints.authenticator
        book = ConnectionBook(limits: endpoints.limits)
        do throws(MessagingError) {
            socket = try Socket(context, type)
            try ServerSocket.setLimits(of: socket, endpoints.limits)
            try configure(socket)
        } catch {
            throw .messaging(error)
        }
        monitor = try SocketMonitor(context, loop, of: socket) { [unowned self] in told($0) }
        try bind(endpoints)
        do throws(SystemError) {
            source = try SocketSource(loop, socket, onError: { [unowned self] _ in failed &+= 1 }) {
                [unowned self] in heard($0)
            }
            rebinding = try Timer(loop) { [unowned self] in rebind() }
        } catch {
            throw .system(error)
        }
        authenticator?.guards(self, of: service)
    }

    private static func setLimits(of socket: Socket, _ limits: ConnectionBook.Limits) throws(MessagingError) {
        try socket.set(.handshakeInterval(Int32(clamping: limits.handshake.microseconds / 1000)))
        try socket.set(.backlog(512))
        // A host that went without a word: asked after 10 s of silence, given up after 30 s.
        try socket.set(.keepalive(idle: 10, interval: 5, count: 4))
        try socket.set(.longestUnacknowledged(30_000))
    }

    /// The endpoint bound last.
    public var lastEndpoint: String { socket.lastEndpoint }

    /// All endpoints, as they were bound.
    var endpoints: [String] { entrances.keys.sorted() }
    /// How many connections there are, those in their handshake among them.
    var connections: Int { book.count }

    public var counters: AccessCounters {
        var counters = AccessCounters()
        counters.clients = book.clients
        counters.refused = book.refused
        counters.removed = book.removed
        return counters
    }

    /// Who is at the other end of a connection.
    public func peer(_ descriptor: Int32) -> Peer {
        let (address, keys) = book.peer(descriptor)
        let allowed = authenticator?.credentials.allowed
        let name = keys.sorted().compactMap { PublicKey($0) }.compactMap { allowed?[$0]?.name }.first
        return Peer(connection: descriptor, client: name, address: address.map { "\($0.address)" })
    }

    /// The clients from which something was heard, in the order in which they came.
    public func peers(atMost limit: Int) -> [Peer] { book.heard.prefix(limit).map(peer) }

    /// Whether a connection is still there.
    public func isConnected(_ descriptor: Int32) -> Bool { book.contains(descriptor) }
}

// MARK: - Binding

extension ServerSocket {
    private func bind(_ endpoints: ServerEndpoints) throws(BusError) {
        let isLocal = endpoints.isLocal
        for endpoint in endpoints.endpoints where isLocal(endpoint) { try bind(endpoint, .local) }
        for endpoint in endpoints.plaintext { try bind(endpoint, .plaintext) }
        for endpoint in endpoints.endpoints where !isLocal(endpoint) { try bind(endpoint, .guarded) }
    }

    private func bind(_ endpoint: String, _ entrance: Entrance) throws(BusError) {
        let identity = authenticator?.identity(for: service)
        if entrance == .guarded, identity == nil { throw .noKeys(endpoint: endpoint) }
        do throws(MessagingError) {
            if entrance == .guarded, let identity {
                try socket.bind(endpoint, as: identity)
            } else {
                try socket.bind(endpoint)
            }
        } catch {
            throw .messaging(error)
        }
        entrances[socket.lastEndpoint] = entrance
        if entrance == .guarded { book.isGuarded = true }
    }

    /// The entrance of a connection, by its own end of it: `tcp://10.0.0.1:5555`, also of an endpoint that is
    /// bound to all addresses.
    private func entrance(at address: String) -> Entrance {
        if let entrance = entrances[address] { return entrance }
        let port = address.split(separator: ":").last ?? ""
        return entrances["tcp://0.0.0.0:\(port)"] ?? .guarded
    }

    /// Our key is another one: the endpoints that it is for are closed, with the connections by them, and bound
    /// anew.
    private func changeKey() {
        for (endpoint, entrance) in entrances where entrance == .guarded && !unbound.contains(endpoint) {
            do throws(MessagingError) {
                try socket.unbind(endpoint)
                unbound.append(endpoint)
            } catch {
                log.event(.keysReloaded, key: "", "\(endpoint) keeps the key that it had: \(error)")
            }
        }
        unboundSince = loop.now
        rebind()
    }

    /// The kernel gives an address free a little after libzmq has closed it.
    private func rebind() {
        monitor?.drain()
        perform(book.closed(.guarded))
        var refused: BusError?
        unbound = unbound.filter { endpoint in
            do throws(BusError) {
                try bind(endpoint, .guarded)
                return false
            } catch {
                refused = error
                return true
            }
        }
        guard let refused, let since = unboundSince else { return }
        let isSlow = loop.now - since > .seconds(1)
        if isSlow {
            log.event(
                .keysReloaded, key: "", "cannot listen with the new key yet, trying again: \(refused)")
        }
        rebinding?.arm(at: loop.now + (isSlow ? .seconds(1) : .milliseconds(5)))
    }
}

// MARK: - What libzmq tells

extension ServerSocket {
    /// Takes all that has come by now before it acts: a connection that is told to be gone already has a
    /// descriptor that may be another one's.
    private func told(_ event: SocketMonitor.Event) {
        events.append(event)
        guard !isSettling else { return }
        isSettling = true
        defer { isSettling = false }
        repeat {
            monitor?.drain()
            let batch = events
            events = []
            let vanished = ServerSocket.vanished(in: batch)
            for (index, event) in batch.enumerated() {
                perform(take(event, isGone: vanished.contains(index)))
            }
        } while !events.isEmpty
    }

    /// Which of the events are of connections whose end is among the events, too.
    private static func vanished(in events: [SocketMonitor.Event]) -> Set<Int> {
        var ended: Set<Int32> = []
        var vanished: Set<Int> = []
        for (index, event) in events.enumerated().reversed() {
            switch event {
            case .disconnected(let descriptor): ended.insert(descriptor)
            case .accepted(let descriptor, _): if ended.remove(descriptor) != nil { vanished.insert(index) }
            case .connected, .connectRetried, .handshakeFailed, .handshakeSucceeded: break
            }
        }
        return vanished
    }

    private func take(_ event: SocketMonitor.Event, isGone: Bool) -> [ConnectionBook.Action] {
        switch event {
        case .accepted(let descriptor, let address):
            return book.accepted(
                descriptor, by: entrance(at: address), from: isGone ? nil : PeerAddress.of(descriptor),
                at: loop.now)
        case .disconnected(let descriptor): return book.disconnected(descriptor, at: loop.now)
        case .handshakeFailed(let failure): book.failed(failure)
        case .handshakeSucceeded: book.succeeded()
        case .connected, .connectRetried: break
        }
        return []
    }

    private func heard(_ message: Socket.Message) {
        monitor?.drain()
        let allowed = authenticator?.credentials.allowed ?? AllowList()
        let (caller, actions) = book.heard(message.connection, userID: message.userID, allowed: allowed)
        perform(actions)
        if caller != .stranger { onMessage(message, caller) }
    }

    private func perform(_ actions: [ConnectionBook.Action]) {
        for action in actions {
            switch action {
            case .hangUp(let descriptor, let peer): _ = PeerAddress.hangUp(on: descriptor, of: peer)
            case .departed(let descriptor): onDeparture(descriptor)
            case .refused(let peer, let reason): tellRefused(peer, reason)
            case .removed(let client, let peer):
                tell(.clientRemoved, client, peer, "is no longer on the list: hung up on")
            case .curtailed(let client, let peer):
                tell(.clientRemoved, client, peer, "may read less than before: hung up on, to come in anew")
            }
        }
    }
}

// MARK: - What the authenticator tells

extension ServerSocket {
    func admitted(from address: IPv4Address?) {
        monitor?.drain()
        book.admitted(from: address)
    }

    func refused(_ key: PublicKey, from address: IPv4Address?) {
        monitor?.drain()
        perform(book.refused(key, from: address))
    }

    func renewed(from old: Credentials) {
        guard let authenticator else { return }
        monitor?.drain()
        let new = authenticator.credentials
        perform(book.renewed(from: old.allowed, to: new.allowed, isCurtailed: isCurtailed))
        if new.keys != old.keys { changeKey() }
    }
}

// MARK: - The log

extension ServerSocket {
    private func tellRefused(_ peer: IPv4Endpoint?, _ reason: ConnectionRefusal) {
        let address = peer.map { "\($0.address)" } ?? "an address that was gone"
        log.event(
            .clientRefused, key: address, "refused \(address) at \(service.rawValue): \(reason)",
            ["client_address": "\(address)", "service": "\(service.rawValue)"])
    }

    private func tell(
        _ event: JournalEvent, _ client: AllowedClient, _ peer: IPv4Endpoint?, _ what: String
    ) {
        let address = peer.map { "\($0.address)" } ?? ""
        log.event(
            event, key: address, "client \(client.name) \(what)",
            ["client": "\(client.name)", "client_address": "\(address)", "service": "\(service.rawValue)"])
    }
}

extension ConnectionRefusal: CustomStringConvertible {
    /// For a person: "it has another server key than ours".
    var description: String {
        switch self {
        case .unknownKey(let key):
            "its key is not on the list; to let it in: holdfast authorize NAME '\(key)'"
        case .otherServerKey: "it has another server key than ours"
        case .noCURVE: "no CURVE"
        case .notZeroMQ: "it does not speak ZeroMQ's CURVE"
        case .left: "it left in the handshake, as one without CURVE does"
        case .tooSlow(let limit): "no handshake within \(limit)"
        case .crowdedOut(let count): "\(count) others came while its handshake lasted"
        case .full(let count): "there are \(count) connections already"
        }
    }
}
